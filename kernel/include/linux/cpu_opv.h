/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_CPU_OPV_H
#define _LINUX_CPU_OPV_H

#include <linux/mutex_types.h>
#include <uapi/linux/cpu_opv.h>

extern struct mutex cpu_opv_offline_mutex;

/* The system call, in Rust; see SYSCALL_DEFINE4(cpu_opv). */
long cpu_opv_call(struct cpu_op __user *ops, int cpuopcnt, int cpu, int flags);

#endif /* _LINUX_CPU_OPV_H */
