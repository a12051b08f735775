// SPDX-License-Identifier: GPL-2.0

#include <linux/compiler.h>
#include <linux/sched.h>

__rust_helper bool rust_helper_cpu_runs_idle_task(int cpu)
{
	struct task_struct *idle = idle_task(cpu);

	/* Without the runqueue's lock: the answer may be outdated anyhow. */
	return idle && data_race(task_curr(idle));
}
