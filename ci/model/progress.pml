/* SPDX-License-Identifier: GPL-2.0-only */
/* A caller gets through, whatever goes on for ever: others' calls for the same CPU (B_ENDLESS), or reclaim (RECLAIM). */
#include "machine.pml"
#ifdef B_ENDLESS
#define ENDLESS(me)	(me == B)
#endif
#include "engine.pml"
#define CALLERS_STAY_AWAY
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
#ifdef B_ENDLESS
		run Caller(B);
#endif
#ifdef RECLAIM
		run Reclaim()
#endif
	}
}

ltl gets_through { <> finished[A] }
