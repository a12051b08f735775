/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_CPU_OPV_H
#define _LINUX_CPU_OPV_H

#include <linux/types.h>
#include <uapi/linux/cpu_opv.h>

/* What kernel/cpu_opv/syscall.c and the Rust beside it have of each other. */

long cpu_opv_call(struct cpu_op __user *ops, int cpuopcnt, int cpu, int flags);

bool cpu_opv_cpu_is_allowed(int cpu);
bool cpu_opv_cpu_may_be_interrupted(int cpu);

bool cpu_opv_trylock(int cpu);
int cpu_opv_lock_interruptible(int cpu);
void cpu_opv_unlock(int cpu);

/* What CONFIG_CPU_OPV_STATS counts. */
enum cpu_opv_event {
	/* ways: each successful call takes one of them */
	CPU_OPV_OWN,
	CPU_OPV_IDLE,
	CPU_OPV_OFFLINE,
	CPU_OPV_BUSY,
	/* edges */
	CPU_OPV_UNPINNED,
	CPU_OPV_WORDS_LOST,
	CPU_OPV_STALE,
	CPU_OPV_IDLE_LOST,
	CPU_OPV_IDLE_BUSY,
	CPU_OPV_MOVED,
	CPU_OPV_FOREIGN,
	CPU_OPV_NOT_ONLINE,
	CPU_OPV_CONTENDED,
	CPU_OPV_FAULTED,
	CPU_OPV_KEPT,
	CPU_OPV_BUFFERED,
	CPU_OPV_RESTARTED,
	CPU_OPV_DENIED,

	NR_CPU_OPV_EVENTS,
};

void cpu_opv_count(enum cpu_opv_event event);
void cpu_opv_count_idle(int cpu);
void cpu_opv_count_idle_interrupted(void);

#endif /* _LINUX_CPU_OPV_H */
