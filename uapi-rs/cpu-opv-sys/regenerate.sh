#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Writes tests/header/*.rs: the C header as bindgen sees it, which `cargo test`
# holds against the crate.
#
#   regenerate.sh            write them
#   regenerate.sh --check    fail if what is there is not what would be written
#
# Needs bindgen (named by $BINDGEN if it is not on PATH), libclang and
# <linux/types.h>.
set -eu

# The ABIs that differ, by the name of their file: 64-bit integers are aligned
# to 8 bytes everywhere but on i386.
abis='x86_64 i386'
# Versions of bindgen may differ in what they write.
written_by='bindgen 0.73.2'
# The tag of this script is theirs too.
spdx=$(sed -n '2s/^# //p' "$0")

die() {
	echo "regenerate.sh: $*" >&2
	exit 1
}

case "$*" in
'' | --check) ;;
*) die "usage: regenerate.sh [--check]" ;;
esac

cd "$(dirname "$0")"
header=../../kernel/include/uapi/linux/cpu_opv.h
bindgen=${BINDGEN:-bindgen}
[ -r "$header" ] || die "no $header: run this in a checkout of the whole repository"
command -v "$bindgen" >/dev/null ||
	die "no $bindgen: cargo install bindgen-cli --locked, or set BINDGEN"

# The asm/ of any architecture defines the same integers; a foreign target does
# not find the system's by itself.
for asm in /usr/include/asm /usr/include/*/asm; do
	[ -r "$asm/types.h" ] && break
done
[ -r "$asm/types.h" ] || die "no <linux/types.h>: install linux-libc-dev"

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for abi in $abis; do
	"$bindgen" "$header" --output "$out/$abi.rs" \
		--allowlist-file '.*/cpu_opv\.h' \
		--rust-target 1.85 --rust-edition 2024 --use-core \
		--formatter prettyplease --disable-header-comment \
		--no-doc-comments --no-prepend-enum-name --no-derive-debug \
		--raw-line "// $spdx" \
		-- "--target=$abi-linux-gnu" -idirafter "${asm%/asm}" ||
		die "bindgen failed on $header for $abi"
done

if [ "$*" = --check ]; then
	diff -ru tests/header "$out" >&2 ||
		die "tests/header is out of date: run $PWD/regenerate.sh, then cargo test" \
			"(this is $("$bindgen" --version), it was written by $written_by)"
else
	rm -f tests/header/*
	cp "$out"/*.rs tests/header/
fi
