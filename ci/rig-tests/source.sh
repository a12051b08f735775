# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The kernel's source, the user's or downloaded, and the series that is laid over it.

checkout=$scratch/checkout
with_mini() { afresh env KDIR="$mini" "$@"; }
in_tree() { [ -f "$(echo "$scratch"/cache/kdir-*/tree)/$1" ]; }
tree_id() { cat "$scratch"/cache/kdir-*/tree.source; }

of_another_user() {
	make_mini && chown -R 65534 "$mini" || return
	for _ in first second; do
		with_mini "$CI"/kernel/tree && in_tree Kbuild && in_tree kernel/cpu_opv/cpu_opv.rs || return
	done
}

git_that_fails() {
	make_mini && with_mini "$CI"/kernel/tree || return
	echo broken >"$mini/.git/index"
	refuses "git cannot list" with_mini "$CI"/kernel/tree && in_tree Kbuild
}

changes_of_a_kdir() {
	local id
	make_mini && with_mini "$CI"/kernel/tree && id=$(tree_id) || return
	with_mini "$CI"/kernel/tree && [ "$(tree_id)" = "$id" ] || return
	echo "# more" >>"$mini/Kbuild"
	with_mini "$CI"/kernel/tree && [ "$(tree_id)" != "$id" ] || return
	grep '# more' "$scratch"/cache/kdir-*/tree/Kbuild || return
	touch "$mini/extra" && with_mini "$CI"/kernel/tree && in_tree extra || return
	rm "$mini/extra" && with_mini "$CI"/kernel/tree && ! in_tree extra || return
	rm "$mini/Kbuild" && refuses "it has no Kbuild" with_mini "$CI"/kernel/tree
}

leftovers() {
	make_mini && make_checkout "$checkout" || return
	touch "$checkout"/kernel/{cpu_opv.rs~,.cpu_opv.rs.swp,'#cpu_opv.rs#'} "$checkout"/selftests/cpu_opv/ops_test{,.c.orig} \
		"$checkout/arch-wiring/1-fixes/0001-x.patch~"
	ln -s nobody@nowhere "$checkout/kernel/.#cpu_opv.rs"
	with_mini "$checkout/ci/kernel/tree" && with_mini "$checkout/ci/series/verify" current || return
	touch "$checkout/kernel/forgotten.rs"
	refuses "no piece in arch-wiring/ brings: kernel/forgotten.rs" with_mini "$checkout/ci/kernel/tree"
}

odd_paths() {
	make_mini && mv "$mini" "$scratch/my, own:kernel" && make_checkout "$scratch/a b,c:d" || return
	afresh env KDIR="$scratch/my, own:kernel" "$scratch/a b,c:d/ci/series/verify" current
}

settings_of_git() {
	local hook
	make_mini || return
	mkdir -p "$scratch/home" "$scratch/hooks"
	for hook in applypatch-msg pre-commit pre-applypatch; do printf '#!/bin/sh\nexit 1\n' >"$scratch/hooks/$hook"; done
	chmod +x "$scratch"/hooks/*
	cat >"$scratch/home/.gitconfig" <<-END
		[commit]
		gpgsign = true
		[core]
		hooksPath = $scratch/hooks
		autocrlf = true
		[init]
		templateDir = $scratch/hooks
		[diff]
		noprefix = true
	END
	with_mini env HOME="$scratch/home" "$CI"/series/verify current &&
		with_mini env HOME="$scratch/home" "$CI"/series/verify applies
}

# A release 9.9.1 at kernel.org, that is in a directory.
make_release() {
	local site=$scratch/site/v9.x
	make_checkout "$checkout" && rm -rf "$scratch"/cache/{linux,source}-9* "$site" && mkdir -p "$site/linux-9.9.1" || return
	sed -i "s,^KERNEL_MIRROR=.*,KERNEL_MIRROR=file://$scratch/site,; s/^KERNEL_SUITES=.*/KERNEL_SUITES=/" "$checkout/ci/versions"
	printf 'VERSION = 9\nPATCHLEVEL = 9\nSUBLEVEL = 1\nNAME = x\n' >"$site/linux-9.9.1/Makefile"
	tar -C "$site" -cJf "$site/linux-9.9.1.tar.xz" linux-9.9.1 && (cd "$site" && sha256sum linux-9.9.1.tar.xz >sha256sums.asc)
}

fetch() { afresh env KERNEL=9.9 "$checkout/ci/kernel/fetch"; }
nothing_fetched() { ! compgen -G "$scratch/cache/*-9.9*"; }

checksums() {
	make_release && fetch && [ -f "$scratch/cache/linux-9.9/Makefile" ] || return
	make_release && echo more >>"$scratch/site/v9.x/linux-9.9.1.tar.xz" || return
	refuses "does not match its checksum" fetch && nothing_fetched || return
	make_release && : >"$scratch/site/v9.x/sha256sums.asc" || return
	refuses "it lists no linux-9.9.y" fetch && nothing_fetched
}

goes_on() { grep '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; } # PID

# tar has unpacked a part of it when somebody presses Ctrl-C; the next run starts over.
interrupted_fetch() {
	local pid
	make_release || return
	fake tar <<-END
		#!/bin/sh
		touch "$scratch/cache/fetch/linux/half"
		echo \$\$ >"$scratch/tar.pid"
		exec sleep 60
	END
	rm -f "$scratch/tar.pid"
	afresh env KERNEL=9.9 setsid "$checkout/ci/kernel/fetch" &
	pid=$!
	for _ in {1..100}; do [ -s "$scratch/tar.pid" ] && break; sleep 0.1; done
	rm "$scratch/cache/tools/bin/tar"
	kill -TERM $pid
	wait $pid && return 1
	for _ in {1..50}; do goes_on "$(cat "$scratch/tar.pid")" || break; sleep 0.1; done
	if goes_on "$(cat "$scratch/tar.pid")"; then echo "tar goes on"; return 1; fi
	nothing_fetched && fetch && [ ! -e "$scratch/cache/linux-9.9/half" ] && [ -f "$scratch/cache/linux-9.9/Makefile" ]
}

if [ "$(id -u)" = 0 ]; then
	check "a KDIR of another user" of_another_user || true
else
	report 0 "a KDIR of another user # SKIP not root" </dev/null
fi
check "a KDIR whose git fails" git_that_fails || true
check "changes of a KDIR are seen" changes_of_a_kdir || true
check "an editor's leftovers, and a file that is forgotten" leftovers || true
check "paths with spaces, commas and colons" odd_paths || true
check "the user's settings of git" settings_of_git || true
check "checksums of a release" checksums || true
check "a download that is interrupted" interrupted_fetch || true
