# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# KTAP that is not as it should be, and what ci/report/judge says of it; consoles, and ci/report/console.

judged=$WORK/rig-tests/judge
rm -rf "$judged"
mkdir -p "$judged/expected"
cat >"$judged/right" <<-'END'
	KTAP version 1
	1..3
	ok 1 kernel builds
	KTAP version 1
	# Subtest: abi/tests/one
	1..3
	ok 1 a
	ok 2 b # SKIP needs more
	ok 3 c
	ok 2 abi/tests/one
	KTAP version 1
	# Subtest: abi/tests/two
	1..1
	ok 1 a
	ok 3 abi/tests/two
END
printf '%s\t%s\n' tests/one 3 tests/two 1 >"$judged/expected/cases"
printf '%s\t%s\n%s\t%s\t%s\n' "kernel builds" 1 "abi/tests/one" 1 "needs more" >"$judged/expected/machine"

judge_this() { # NAME <KTAP: what the judge says of it, and what failed by the rows it leaves
	cat >"$judged/ktap"
	rm -f "$judged/counts"
	"$CI/report/judge" check "$TREE" "$judged/expected" "$1" "$judged/ktap" tcg "$judged/counts" abi/
	awk -F'\t' '{ failed += $4 } END { exit failed > 0 }' "$judged/counts"
}

passes() { judge_this machine; } # <KTAP
# fails TEXT <KTAP: it is not only found, but told.
fails() {
	if judge_this machine >"$judged/said"; then cat "$judged/said"; return 1; fi
	grep -qF -- "$1" "$judged/said" || { cat "$judged/said"; return 1; }
}
altered() { sed "$@" "$judged/right"; }

wrong_ktap() {
	altered '' | passes || return
	altered 's/^ok 3 c/not &/; s/^ok 2 abi/not &/' | fails "FAILED machine: abi/tests/one: c" || return
	altered '/^ok 3 c/d' | fails "missing expected subtest" || return
	# twice the same name, and the first fails
	altered '2s/3/4/; 3s/.*/not ok 1 kernel builds\nok 2 kernel builds/; s/^ok 3 abi/ok 4 abi/; s/^ok 2 abi/ok 3 abi/' |
		fails "FAILED machine: kernel builds" || return
	altered '/^1..1$/d' | fails "abi/tests/two" || return
	altered '2d' | fails "no plan" || return
	altered 's/^1..1$/1..0/; /^ok 1 a$/d' | fails "0 tests run" || return
	: | fails "no plan"
}

glued_result() {
	altered 's/^ok 3 c/12 done not &/' | fails "12 done not ok 3 c" || return
	# here nothing but this tells: the number is given twice
	altered 's/^ok 3 c/# 12 done, not &\n&/' | fails "12 done, not ok 3 c"
}

unexpected_skip() {
	altered 's/^ok 3 c/& # SKIP needs another/' | fails "skips 1 cases, and not 0: needs another" || return
	altered 's/^ok 3 c/& # SKIP needs more/' | fails "skips 2 cases, and not 1: needs more" || return
	altered 's/ # SKIP.*//' | fails "skips 0 cases, and not 1: needs more" || return
	sed 's/\t1\tneeds/\t0-2\tneeds/' "$judged/expected/machine" >"$judged/expected/may"
	altered 's/ # SKIP.*//' | judge_this may || return
	# by the accelerator
	printf '%s\t%s\t%s\n' abi/tests/one 0-1 "needs another" >"$judged/expected/tcg"
	altered 's/^ok 3 c/& # SKIP needs another/' | passes
}

# With CPU_OPV_SECONDS a program may have other cases.
torture() {
	printf '%s\t%s\n' tests/one 4 >"$judged/expected/torture"
	altered '' | passes || return
	altered '' | CPU_OPV_SECONDS=3 fails "abi/tests/one has 3 cases, and not 4"
}

missing_rows() {
	altered '6s/3/2/; /^ok 3 c/d' | fails "abi/tests/one has 2 cases, and not 3" || return
	altered '2s/3/2/; /two/Q' | head -n -1 | fails "abi/tests/two has 0 cases, and not 1" || return
	altered 's/tests.two/tests\/three/' | fails "abi/tests/three has 1 cases, and not 0"
}

nothing_is_known() {
	# shellcheck disable=SC2251 # its status is the function's
	! altered '' | judge_this other
}

recorded() {
	local ktap=$judged/ktap
	altered 's/ # SKIP needs more/ # SKIP needs less/' >"$ktap"
	cp -r "$judged/expected" "$judged/recorded"
	"$CI/report/judge" record "$TREE" "$judged/recorded" machine "$ktap" tcg abi/ || return
	"$CI/report/judge" check "$TREE" "$judged/recorded" machine "$ktap" tcg /dev/null abi/ | grep "4 passed, 0 failed" || return
	altered 's/^ok 3 c/not &/; s/^ok 2 abi/not &/' >"$ktap"
	# shellcheck disable=SC2251
	! "$CI/report/judge" record "$TREE" "$judged/recorded" machine "$ktap" tcg abi/
}

# A line that ci/report/console has to find among others, and one that it has not.
console_finds() { # LINE
	printf '%s\n' "Run /init as init process" "$1" alive >"$judged/console"
	if "$CI/report/console" "$judged/console"; then echo "not found: $1"; return 1; fi
}
console_passes() { # LINE
	printf '%s\n' "$1" >"$judged/console"
	"$CI/report/console" "$judged/console"
}

consoles() {
	local line
	while read -r line; do console_finds "$line" || return; done <<-'END'
		Call trace:
		Call Trace:
		WARNING: CPU: 1 PID: 640 at mm/gup.c:71 try_grab_folio+0x1/0x2
		BUG: KASAN: slab-use-after-free in cpu_opv+0x1/0x2
		BUG kmalloc-64 (Tainted: G    B): Poison overwritten
		Internal error: Oops: 5 [#1] SMP ARM
		8<--- cut here ---
		Unable to handle kernel NULL pointer dereference at virtual address 00000000
		CPU1: failed to come online
		smpboot: do_boot_cpu failed(-1) to wakeup CPU#3
		Processor 3 is stuck.
		swapper/0: page allocation failure: order:2, mode:0xcc0(GFP_KERNEL)
		SLUB: Unable to allocate memory on CPU 1 (of node 0) on node -1, gfp=0xcc0(GFP_KERNEL)
		kmemleak: Kernel memory leak detector disabled
		kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
		rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
		watchdog: BUG: soft lockup - CPU#1 stuck for 62s!
		INFO: task init:1 blocked for more than 120 seconds.
		Out of memory: Killed process 77 (swap_test)
	END
	while read -r line; do console_passes "$line" || return; done <<-'END'
		Kernel command line: console=ttyS0 panic=-1 panic_on_warn=1 oops=panic
		kasan: KernelAddressSanitizer initialized (generic)
		SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=4, Nodes=2
		calibrate_delay_direct() failed to get a good estimate for loops_per_jiffy.
		debug: bug is no word here
	END
	: >"$judged/console"
	# shellcheck disable=SC2251
	! "$CI/report/console" "$judged/console"
}

check "KTAP that fails, or is not all there" wrong_ktap || true
check "a result that does not begin its line" glued_result || true
check "skips that are not expected, and such that are" unexpected_skip || true
check "cases that are missing" missing_rows || true
check "what torture does otherwise" torture || true
check "a run of which nothing is expected" nothing_is_known || true
check "what is recorded is expected" recorded || true
check "reports on the console" consoles || true
