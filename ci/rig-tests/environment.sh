# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the caller's environment may do to the rig, and what not.

shown=$scratch/environment
cat >"$scratch/show" <<-END
	#!/usr/bin/env bash
	. "$CI/lib.sh"
	export CACHE KDIR
	env
END
chmod +x "$scratch/show"

nothing_leaks() {
	local names=(CFLAGS KCFLAGS LDFLAGS USERCFLAGS KBUILD_VERBOSE KCONFIG_CONFIG W C V TARGETS SKIP_TARGETS CROSS_COMPILE LLVM
		MAKEFLAGS RUSTFLAGS CARGO_BUILD_TARGET RUSTC_WRAPPER LD_PRELOAD PYTHONPATH BASH_ENV GREP_OPTIONS GIT_DIR
		CPU_OPV_TREE_IS_CURRENT CPU_OPV_LOCKED CPU_OPV_BACKEND CPU_OPV_STRESS CPU_OPV_FOR CPU_OPV_SECONDS STREAM BUILD)
	afresh env "${names[@]/%/=leaked}" BASH_ENV= LD_PRELOAD= "$scratch/show" >"$shown" || return
	if grep leaked "$shown"; then return 1; fi
}

the_users_own_stays() {
	local own=(ARCH=arm http_proxy=http://x:1 HTTPS_PROXY=y no_proxy=z SSL_CERT_FILE=/c CURL_CA_BUNDLE=/c CARGO_HOME=/c
		CARGO_HTTP_CAINFO=/c RUSTUP_DIST_SERVER=s TERM=dumb SUDO_ASKPASS=/a "XDG_CONFIG_HOME=/with a space") row
	afresh env "${own[@]}" "$scratch/show" >"$shown" || return
	for row in "${own[@]}"; do grep -xF "$row" "$shown" || { echo "lost: $row"; return 1; }; done
}

home_and_tilde() {
	afresh env HOME="$scratch" KDIR='~/mini' "$scratch/show" | grep -x "KDIR=$mini" || return
	afresh env HOME="$scratch" CPU_OPV_CACHE='~/near' "$scratch/show" | grep -x "CACHE=$scratch/near" || return
	afresh env -u HOME "$scratch/show" | grep '^HOME=/' || return
	refuses "HOME is 'x'" afresh env HOME=x "$scratch/show"
}

paths_of_the_cache() {
	local path
	# shellcheck disable=SC2016 # a $ in a path
	for path in 'a b' a,b a:b 'a$b' 'a#b' 'a%b'; do
		refuses "has a character in its path" afresh env CPU_OPV_CACHE="$scratch/$path" "$scratch/show" || return
	done
	afresh env CPU_OPV_CACHE="$scratch/é+a-b_c.d@e=f" "$scratch/show" | grep "^CACHE=$scratch/é" || return
	(cd "$scratch" && afresh env CPU_OPV_CACHE=near/ "$scratch/show") | grep -x "CACHE=$scratch/near"
}

# make clean would remove what is there.
a_cache_with_files_of_others() {
	mkdir -p "$scratch/home/logs" && touch "$scratch/home/logs/mine" || return
	refuses "has other files in it" afresh env CPU_OPV_CACHE="$scratch/home" "$CI/commands/clean" &&
		[ -e "$scratch/home/logs/mine" ]
}

# Scripts start others, some of them elsewhere.
relative_paths() {
	printf '%s\n' '#!/usr/bin/env bash' ". '$CI/lib.sh'" "cd / && '$scratch/show'" >"$scratch/elsewhere"
	chmod +x "$scratch/elsewhere"
	(cd "$scratch" && afresh env CPU_OPV_CACHE=near KDIR=mini "$scratch/elsewhere") >"$shown" || return
	grep -x "CACHE=$scratch/near" "$shown" && grep -x "KDIR=$mini" "$shown"
}

noexec() {
	# shellcheck disable=SC2016
	refuses "is it mounted noexec?" afresh unshare -m sh -c 'mount -t tmpfs -o noexec x "$CPU_OPV_CACHE" && exec "$1" missing kernel' \
		- "$CI/host/setup"
}

a_substitution_that_fails() {
	cat >"$scratch/fails" <<-END
		#!/usr/bin/env bash
		. "$CI/lib.sh"
		both() { false; echo went on; }
		case \$1 in
		substitution) x=\$(both) ;;
		lines) lines_of x both ;;
		esac
		echo "went on with \${x[*]}"
	END
	chmod +x "$scratch/fails"
	local kind
	for kind in substitution lines; do
		if afresh "$scratch/fails" $kind; then return 1; fi
	done
}

make_mini
check "nothing of the caller's environment leaks into a build" nothing_leaks || true
check "what is the user's to say, and the way to the network, stay" the_users_own_stays || true
check "no HOME, and a KDIR with a tilde" home_and_tilde || true
check "paths of the cache" paths_of_the_cache || true
check "a cache with files of others" a_cache_with_files_of_others || true
check "relative paths" relative_paths || true
if unshare -m true 2>/dev/null; then
	check "a cache that programs cannot be run from" noexec || true
else
	report 0 "a cache that programs cannot be run from # SKIP may not mount" </dev/null
fi
check "a command that fails in a substitution" a_substitution_that_fails || true
