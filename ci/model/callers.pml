/* SPDX-License-Identifier: GPL-2.0-only */
/* Two callers for one CPU, and a thread on it. Their writes are the first to their pages. */
#ifndef THREAD
#define THREAD	1
#endif
#include "machine.pml"
#include "engine.pml"
#include "threads.pml"

init {
	atomic {
		run Scheduler(); run Thread(THREAD); run Caller(A); run Caller(B);
#ifdef OTHERS
		run Others(OTHERS)
#endif
	}
}
