# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the tests of the rig share: a cache of their own, and a kernel of a few files. Sourced before them.

scratch=$WORK/rig-tests/scratch
mini=$scratch/mini	# a KDIR
rm -rf "$scratch"
mkdir -p "$scratch/cache/tools/bin"
: >"$scratch/cache/lock"	# which makes it a cache

# afresh CMD...: as if a user called it, though with the cache of the tests.
afresh() { env -u CPU_OPV_TIED -u CPU_OPV_LOCKED -u CPU_OPV_TREE_IS_CURRENT CPU_OPV_CACHE="$scratch/cache" "$@"; }

# fake PROGRAM <SCRIPT: what a script started afresh finds in place of PROGRAM.
fake() {
	cat >"$scratch/cache/tools/bin/$1"
	chmod +x "$scratch/cache/tools/bin/$1"
}

# refuses TEXT CMD...: it fails, and says this.
refuses() {
	local said status=0
	said=$("${@:2}" 2>&1 </dev/null) || status=$?
	echo "$said"
	[ $status != 0 ] && [[ $said == *"$1"* ]]
}

# Git repository of the files that the series changes, and of what makes it look like a kernel.
make_mini() {
	rm -rf "$mini" "$scratch"/cache/kdir-*
	mkdir -p "$mini"
	git -C "$REPO" ls-tree -r --name-only base >"$scratch/files" || return
	printf '%s\n' Makefile Kbuild MAINTAINERS rust/kernel/lib.rs >>"$scratch/files"
	rsync -a --files-from="$scratch/files" "$SRC/" "$mini/" || return
	git -C "$mini" init -q --template= && git -C "$mini" add -A &&
		git -C "$mini" -c user.name=x -c user.email=x@example.org commit -q -m x
}

# The rig with sources that a test may change.
make_checkout() { # DIRECTORY
	rm -rf "$1"
	mkdir -p "$1"
	cp -r "$ROOT"/{.gitignore,ci,arch-wiring,kernel,selftests,patches} "$1/"
}
