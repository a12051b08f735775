/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A caller gets through, if who can go on does so at some time (weak fairness): after what happens a few times (WITH_B,
 * HOTPLUG, OTHERS), and during what goes on for ever (B_ENDLESS: calls for the same CPU; RECLAIM).
 * Only A writes, so that there is an end to the states.
 */
#include "machine.pml"
#define BRIEF
#define WRITES(me, a)	(me == A)
#ifdef B_ENDLESS
#define ENDLESS(me)	(me == B)
#define WITH_B
#endif
#if defined(B_ENDLESS) || defined(RECLAIM)
#define CALLERS_STAY_AWAY
#endif
#include "engine.pml"
#include "threads.pml"

/* Takes any page that nobody pins. */
proctype Reclaim() {
end:	do
	:: d_step {
		pte[X] != NONE && pte[X] != ZERO && refs[pte[X]] == 1 ->
		printf("reclaim: takes page %d of X\n", pte[X]);
		swapped[X] = pte[X]; pte[X] = NONE
	   }
	:: d_step {
		pte[Y] != NONE && pte[Y] != ZERO && refs[pte[Y]] == 1 ->
		printf("reclaim: takes page %d of Y\n", pte[Y]);
		swapped[Y] = pte[Y]; pte[Y] = NONE
	   }
	od
}

init {
	atomic {
		pte[X] = 1; refs[1] = 1; writable[X] = true;
		pte[Y] = 2; refs[2] = 1; writable[Y] = true;
		run Scheduler(); run Caller(A);
#ifdef WITH_B
		run Caller(B);
#endif
#ifdef HOTPLUG
		run Hotplug();
#endif
#ifdef OTHERS
		run Others(2);
#endif
#ifdef RECLAIM
		run Reclaim()
#endif
	}
}

ltl gets_through { <> finished[A] }
