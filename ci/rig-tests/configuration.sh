# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A kernel build that drops an option, as syncconfig drops CONFIG_RUST when bindgen no longer works. Kbuild would take
# minutes for that; in its place is what takes the fragments for the configuration, and drops an option when told.

checkout=$scratch/checkout

build_mini() { afresh env KDIR="$mini" "$checkout/ci/kernel/build"; }
of_build() { cat "$scratch"/cache/kdir-*/build/"$ARCH/$1"; } # FILE

dropped_option() {
	make_mini && make_checkout "$checkout" || return
	# shellcheck disable=SC2016 # the script's
	printf '%s\n' '#!/bin/sh' 'build=$2' 'case $*' 'in *allnoconfig) cp "$build/wanted.config" "$build/.config"; exit ;; esac' \
		'echo >>"$build/made"' "if [ -e '$scratch/drop' ]; then sed -i /CONFIG_RUST=y/d \"\$build/.config\"; fi" \
		"mkdir -p \"\$build/arch/x86/boot\" && date +%N >\"\$build/arch/x86/boot/bzImage\"" >"$checkout/ci/kernel/kbuild"
	rm -f "$scratch/drop"
	build_mini && [ "$(of_build made | wc -l)" = 1 ] && build_mini && [ "$(of_build made | wc -l)" = 1 ] || return
	touch "$scratch/drop"
	build_mini || return	# as there is nothing to do
	echo "// edited" >>"$checkout/kernel/cpu_opv/cpu_opv.rs"
	refuses "cannot be built as " build_mini || return
	refuses "asks: CONFIG_RUST=y" build_mini || return	# it does not go away by itself
	rm "$scratch/drop"
	build_mini && of_build .config | grep -x CONFIG_RUST=y || return
	[ "$(of_build booted/bzImage)" = "$(of_build arch/x86/boot/bzImage)" ]
}

# A tool of another version makes another kernel.
another_linker() {
	local made
	made=$(of_build made | wc -l)
	build_mini && [ "$(of_build made | wc -l)" = "$made" ] || return
	fake "ld.lld-$LLVM" <<<"#!/bin/sh
		echo another"
	build_mini && [ "$(of_build made | wc -l)" -gt "$made" ] || return
	rm "$scratch/cache/tools/bin/ld.lld-$LLVM"
	build_mini
}

check "a build that drops an option" dropped_option || true
check "a linker that changes" another_linker || true
