# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Two checkouts that work in one cache.

# While another holds the lock, a command does not even look at what is installed.
waits() { # COMMAND
	local pid said=$scratch/said
	fake dpkg-query <<<"#!/bin/sh
		touch '$scratch/looked'"
	rm -f "$scratch/looked"
	flock -o "$scratch/cache/lock" sleep 30 &
	pid=$!
	sleep 0.3
	afresh timeout 2 "$CI/commands/$1" </dev/null >"$said" 2>&1
	kill $pid
	cat "$said"
	rm "$scratch/cache/tools/bin/dpkg-query"
	grep "another run works in" "$said" && [ ! -e "$scratch/looked" ]
}

all_wait() {
	local command
	for command in run boot image patches bisectable bench; do waits $command || return; done
}

# What it builds next takes the image's place, but not its name.
image_stays() {
	cat >"$scratch/images" <<-END
		#!/usr/bin/env bash
		. "$CI/lib.sh"
		mkdir -p "\${IMAGE%/*}"
		echo one >"\$IMAGE"
		first=\$(lasting_image)
		echo two >"\$IMAGE.new"
		mv "\$IMAGE.new" "\$IMAGE"
		[ "\$(lasting_image)" != "\$first" ] && [ "\$(cat "\$first")" = one ]
	END
	chmod +x "$scratch/images"
	afresh "$scratch/images"
}

# A shell runs the image that was there when the lock was let go, and others may work meanwhile.
shell_keeps_its_image() {
	local image="$scratch/cache/work-$KERNEL/build/$ARCH/booted/bzImage" busybox=$scratch/cache/busybox-amd64/bin/busybox
	mkdir -p "${image%/*}" "${busybox%/*}" && echo one >"$image" && cp /bin/true "$busybox" || return
	# shellcheck disable=SC2016 # the script's
	fake qemu-system-x86_64 <<<'#!/bin/sh
		case $* in *--version*) echo QEMU emulator version 10.0; exit ;; esac
		touch "'"$scratch/started"'"
		until [ -e "'"$scratch/replaced"'" ]; do sleep 0.1; done
		while [ "$1" != -kernel ]; do shift; done
		cat "$2"'
	rm -f "$scratch"/{started,replaced}
	printf '%s\n' '#!/usr/bin/env bash' ". '$CI/lib.sh'" lock "exec '$CI/guest/start' shell" >"$scratch/shell"
	chmod +x "$scratch/shell"
	fake uname <<<"#!/bin/sh
		echo other"	# no KVM
	afresh "$scratch/shell" </dev/null >"$scratch/said" 2>&1 &
	for _ in {1..300}; do [ ! -e "$scratch/started" ] || break; sleep 0.1; done
	flock -w 10 "$scratch/cache/lock" sh -c "echo two >'$image.new' && mv '$image.new' '$image'" || return
	touch "$scratch/replaced"
	wait $! || return
	rm "$scratch"/cache/tools/bin/{uname,qemu-system-x86_64}
	[ "$(cat "$scratch/said")" = one ] || { cat "$scratch/said"; return 1; }
}

check "each command holds the lock from its start" all_wait || true
check "the image that make image prints stays as it is" image_stays || true
check "a shell keeps its image, and not the lock" shell_keeps_its_image || true
