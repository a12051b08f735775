/* SPDX-License-Identifier: GPL-2.0-only */
/* Two callers, while the CPU goes offline and comes back, and one of them may no longer run there. */
#ifndef THREAD
#define THREAD	0
#endif
#include "machine.pml"
#include "engine.pml"
#include "threads.pml"

/* sched_setaffinity() by another process, or a cpuset. */
proctype Affinity() {
	atomic { printf("A: is not allowed on the CPU any more\n"); allowed[A] = false }
}

init {
	atomic {
		run Scheduler(); run Thread(THREAD); run Caller(A); run Caller(B); run Hotplug(); run Affinity()
	}
}
