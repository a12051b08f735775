/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the cpu_opv(2) tests with restartable sequences share: whether these
 * can be had, and where they are
 */
#ifndef CPU_OPV_RSEQ_COMMON_H
#define CPU_OPV_RSEQ_COMMON_H

#include "cpu_opv_common.h"

/* The architectures that ../rseq/rseq.h knows; others have no rseq_missing(). */
#if defined(__x86_64__) || defined(__i386__) || defined(__ARMEL__) || \
	defined(__AARCH64EL__) || defined(__PPC__) || defined(__mips__) || \
	defined(__s390__) || defined(__riscv) || defined(__or1k__)

#define RSEQ_KNOWS_ARCH

#include <linux/init.h>
#include <sys/wait.h>

#include "rseq.h"

/*
 * Where critical sections are: next to __rseq_failure, which the branches of
 * some architectures do not reach across a C library that is linked statically.
 */
#define RSEQ_TEXT	__section("rseq_text")

/*
 * Whether the kernel treats this thread in the way of version 2: it leaves the
 * IDs alone as long as they do not change. With debugging it even kills who
 * writes to them.
 */
static bool rseq_is_v2(void)
{
	int n, left_alone = 0, status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (pin_to(sched_getcpu()))
			_exit(0);
		for (n = 0; n < 10; n++) {
			usleep(1000);
			RSEQ_WRITE_ONCE(rseq_get_abi()->cpu_id_start, -1);
			usleep(1000);
			left_alone += RSEQ_READ_ONCE(rseq_get_abi()->cpu_id_start) == (__u32)-1;
		}
		_exit(left_alone > 5);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status;
}

static const char *rseq_missing(void)
{
	if (!rseq_available())
		return "needs CONFIG_RSEQ";
	if (rseq_register_current_thread() || rseq_current_cpu_raw() < 0)
		return "cannot register for restartable sequences";
	if (getenv("RSEQ_V2") && !rseq_is_v2())
		return "needs rseq of version 2 (CONFIG_GENERIC_IRQ_ENTRY)";
	return NULL;
}

#endif

#define RSEQ_ARCH_UNKNOWN	"the rseq selftests do not know this architecture"

#endif /* CPU_OPV_RSEQ_COMMON_H */
