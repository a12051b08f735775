# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What set-up asks apt for, and what it says where it cannot help. The Debian here is made of empty packages.

debian=$scratch/debian
# shellcheck source=../host/apt.sh
. "$CI/host/apt.sh"

package() { # NAME VERSION [FIELD...]
	printf '%s\n' "Package: $1" "Version: $2" "Architecture: amd64" "Maintainer: x" "Description: x" "${@:3}"
}

# Installed: a tool at its first version, and something that does not go with emulator-all.
make_debian() {
	mkdir -p "$debian"/{repo,etc/{apt.conf.d,preferences.d,sources.list.d},state/lists/partial,cache/archives/partial,dpkg}
	cat >"$debian/apt.conf" <<-END
		Dir::Etc "$debian/etc";
		Dir::State "$debian/state";
		Dir::State::status "$debian/dpkg/status";
		Dir::Cache "$debian/cache";
		APT::Architecture "amd64";
		APT::Architectures "amd64";
		APT::Sandbox::User "root";
	END
	echo "deb [trusted=yes] file:$debian/repo ./" >"$debian/etc/sources.list"
	{
		package tool 1 "Status: install ok installed" && echo
		package old 1 "Status: install ok installed" && echo
	} >"$debian/dpkg/status"
	{
		package plain 1 && echo
		package tool 2 && echo
		package needs-newer 1 "Depends: tool (>= 2)" && echo
		package breaks-old 1 "Conflicts: old" && echo
		package needs-none 1 "Depends: not-to-be-had" && echo
	} | awk -v RS= '{ n++; print $0 "\nFilename: ./x" n ".deb\nSize: 1\nSHA256: " sprintf("%064d", n) "\n" }' >"$debian/repo/Packages"
	apt-get -q update
}

plan_says() { # TEXT PACKAGE...
	local found
	found=$(obstacle system "${@:2}")
	echo "${*:2}: $found"
	[ "$found" = "$1" ]
}

plans() {
	local -x APT_CONFIG=$debian/apt.conf
	make_debian || return
	plan_says "" plain || return
	plan_says "it would upgrade tool; to have that: apt-get install --only-upgrade tool" plain needs-newer || return
	plan_says "it would remove old" breaks-old || return
	plan_says "Unable to locate package unheard-of" plain unheard-of || return
	[[ $(obstacle system needs-none) == *not-to-be-had* ]] || return
	# what the user prefers is theirs
	printf 'Package: plain\nPin: version *\nPin-Priority: -1\n' >"$debian/etc/preferences.d/user"
	plan_says "Package 'plain' has no installation candidate" plain
}

# Nor does that reach into what is got beside the system.
plans_of_our_own() {
	local -x APT_CONFIG=$debian/apt.conf
	make_debian || return
	echo 'APT::Default-Release "nothing";' >"$debian/etc/apt.conf.d/user"
	mkdir -p "$debian"/own/{parts,lists/partial,cache/archives/partial}
	cp "$debian/etc/sources.list" "$debian/own/parts/debian.list"
	private_apt "$debian/own" update && private_apt "$debian/own" -s install plain | grep '^Inst plain'
}

another_apt() {
	local tries=0
	sleep() { tries=$((tries + 1)); }
	# shellcheck disable=SC2317,SC2329 # patiently calls it
	held() { [ "$tries" -ge 2 ] || { echo "E: Could not get lock /x/lock. It is held by process 1 (other)"; return 100; }; }
	# shellcheck disable=SC2317,SC2329
	broken() { echo "E: broken"; return 100; }
	patiently held && [ "$tries" = 2 ] || return
	patiently broken && return 1
	unset -f sleep
}

# A sudo that lets apt-get be called, and nothing else.
sudo_for_apt_alone() {
	mkdir -p "$scratch/bin"
	printf '#!/bin/sh\necho 1000\n' >"$scratch/bin/id"
	# shellcheck disable=SC2016 # the script's
	printf '%s\n' '#!/bin/sh' '[ "$1" != -v ] || exit 0' '[ "$1" != -n ] || shift' '[ "$1" = apt-get ] || exit 1' 'exec "$@"' \
		>"$scratch/bin/sudo"
	chmod +x "$scratch"/bin/*
	local PATH=$scratch/bin:$PATH
	become_root && by_system --version
}

no_sudo() {
	printf '#!/bin/sh\nexit 1\n' >"$scratch/bin/sudo"
	local PATH=$scratch/bin:$PATH
	# shellcheck disable=SC2251 # its status is the function's
	! become_root
}

another_machine() {
	fake uname <<<"#!/bin/sh
		echo aarch64"
	refuses "this machine is aarch64" afresh "$CI/host/setup" missing demo || return
	rm "$scratch/cache/tools/bin/uname"
}

another_system() {
	printf 'ID=ubuntu\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04"\n' >"$scratch/os-release"
	make_checkout "$scratch/checkout" || return
	sed -i "s,/etc/os-release,$scratch/os-release,; s/^LLVM=.*/LLVM=1/" "$scratch/checkout/ci/host/apt.sh" "$scratch/checkout/ci/versions"
	refuses "no clang-1 here, and packages are only added to Debian" afresh "$scratch/checkout/ci/host/setup" kernel &&
		afresh "$scratch/checkout/ci/host/setup" missing demo 2>&1 | grep "may not work on Ubuntu 24.04 (x86_64)"
}

if command -v apt-get >/dev/null; then
	check "apt is only asked to add packages" plans || true
	check "the user's settings of apt stay out of what is got beside the system" plans_of_our_own || true
	check "another apt that is busy" another_apt || true
	check "a sudo for apt-get alone" sudo_for_apt_alone || true
	check "no sudo" no_sudo || true
else
	report 0 "apt # SKIP this is no Debian" </dev/null
fi
check "a machine of another architecture" another_machine || true
check "another system" another_system || true
