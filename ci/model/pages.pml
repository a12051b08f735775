/* SPDX-License-Identifier: GPL-2.0-only */
/* One caller, a thread on the CPU, and others elsewhere that change what the addresses map. */
#include "machine.pml"
#define WRITES(me, a)	true
#include "engine.pml"
#include "threads.pml"

init {
	atomic {
		/* X was never written; Y was, and is not shared */
		pte[X] = ZERO;
		pte[Y] = 1; refs[1] = 1; writable[Y] = true;
		run Scheduler(); run Thread(1); run Caller(A); run Others(2); run Somebody()
	}
}
