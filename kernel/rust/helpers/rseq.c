// SPDX-License-Identifier: GPL-2.0

#include <linux/rseq.h>

__rust_helper void rust_helper_rseq_sched_switch_event(struct task_struct *t)
{
	rseq_sched_switch_event(t);
}
