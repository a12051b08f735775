# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A guest that is not as it should be: of a copy of the rig, with an architecture that is booted with one CPU, and a
# plan that spoils the kernel. But for that the architecture is one whose kernel is built.

copy=$WORK/rig-tests/copy
spoilt=$WORK/rig-tests/spoilt.ktap

# The one that was built last, of those that QEMU boots.
built_architecture() {
	local name
	(cd "$WORK/build" && ls -t ./*/.built) 2>/dev/null | cut -d / -f 2 | while read -r name; do
		[ -f "$CI/arch/$name.sh" ] || continue
		load_architecture "$name"
		[ -z "$qemu" ] || [ ${#boots[@]} = 0 ] || { echo "$name" && return; }
	done
}

# Its own name gives it its own logs; the kernel is the other's.
make_copy() { # ARCH
	rm -rf "$copy"
	mkdir -p "$copy"
	cp -r "$ROOT"/{ci,arch-wiring,kernel,selftests} "$copy/"
	cat >"$copy/ci/arch/one-cpu.sh" <<-END
		. "\$CI/arch/$1.sh"
		configs=("\${configs[@]/#one-cpu/$1}")
		boots=("default	\$(cut -f 2 <<<"\$boots") maxcpus=1")
		mmus=()
	END
	ln -sfn "$1" "$WORK/build/one-cpu"
}

run_spoilt() { # ARCH
	local plan=$WORK/rig-tests/spoilt.plan
	make_copy "$1"
	printf '%s\tktap\t%s\n' \
		spoil "echo 'Call trace:' >/dev/kmsg; echo 64 >/proc/sys/kernel/tainted; printf 'KTAP version 1\n1..1\n1 done not ok 1 x\n'" \
		>"$plan"
	ARCH=one-cpu "$copy/ci/check/guest" "$plan" >"$spoilt"
	rm "$WORK/build/one-cpu"
}

tell_apart() {
	"$CI/report/judge" check "$TREE" "$copy/none" one-cpu "$spoilt" - /dev/null >"$spoilt.said"
	cat "$spoilt.said"
	local case
	for case in "machine: cpus" "guest's console has no kernel report" "health: the kernel is not tainted" \
		"health: all CPUs are on line" "a result that does not begin its line: 1 done not ok 1 x"; do
		grep -qxF "FAILED one-cpu: $case" "$spoilt.said" || { echo "not found: $case"; return 1; }
	done
}

of=$(built_architecture) || true	# there may be no builds at all
if [ -n "$of" ]; then
	check "a guest of $of that is spoilt runs to its end" run_spoilt "$of" || true
	check "what is wrong with it is found" tell_apart || true
else
	report 0 "a guest that is spoilt # SKIP no kernel is built" </dev/null
fi
