/* SPDX-License-Identifier: GPL-2.0-only */
/* Two callers, while the CPU goes offline and comes back, and one of them may no longer run there. */
#include "machine.pml"
#include "engine.pml"
#include "threads.pml"

proctype Hotplug() {
	/* the stopper gets the CPU, as any task does */
	atomic {
		!irqs_off && !rq_locked && !bound[curr] ->
		abort_sequence = abort_sequence || (curr == T && in_sequence);
		printf("CPU: is about to go offline\n");
		curr = stopper
	};
	/* stop_machine() waits for all who have disabled preemption */
	atomic { !bound[A] && !bound[B] && !irqs_off -> printf("CPU: is offline\n"); online = false };
	atomic { !rq_locked -> printf("CPU: is offline, its idle task is current\n"); curr = idle };
	atomic { printf("CPU: is online\n"); online = true }
}

/* sched_setaffinity() by another process, or a cpuset. */
proctype Affinity() {
	atomic { printf("A: is not allowed on the CPU any more\n"); allowed[A] = false }
}

init {
	atomic {
		run Scheduler(); run Caller(A); run Caller(B); run Hotplug(); run Affinity()
	}
}
