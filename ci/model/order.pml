/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vector as the fast path of membarrier(2), see Order in kernel/cpu_opv/span.rs:
 *
 *	A's vector		O, elsewhere
 *	adds 1 to Y		stores 1 to X
 *	reads X			membarrier(), of all CPUs or (THIS_CPU) of the vector's
 *				reads Y
 *
 * Not both may read 0. What the hardware may do to that, litmus/ says. This is about what a page fault may do: if
 * nothing was stored to X before (UNTOUCHED), O's store changes which page X maps. BUSY: the CPU always runs T.
 */
#include "machine.pml"
#define WRITES(me, a)	(a == Y)
#define OPERAND(me, i)	(1 - i)
#define OWN_FIND
byte read_x = NONE, read_y = NONE;
inline find(me, a, found) {
	if
	:: a == X -> read_x = found
	:: else
	fi
}
#include "engine.pml"
#include "threads.pml"

proctype Other() {
	byte p, q;

	atomic {
		if
		:: pte[X] == NONE || !writable[X] -> d_step { fault(O, X, true, p, q) }
		:: else
		fi;
		/* The TLBs are flushed before the store. To broadcast that waits for nobody; */
#ifdef FLUSH_INTERRUPTS
		skip
	};
	/* or it interrupts where the process is: not the CPU while that runs another */
	atomic {
		(!irqs_off || curr == another) && !rq_locked ->
#endif
		printf("O: stores 1 to X in page %d\n", pte[X]);
		word[pte[X]] = 1
	};
	atomic {
		if
		:: curr != another && curr != idle -> !irqs_off -> printf("O: membarrier() interrupts the CPU\n")
		:: else -> printf("O: membarrier() passes the CPU over, which runs %e\n", curr)
		fi
	};
#ifndef THIS_CPU
	/* It interrupts the CPU that A runs on; in the stead of one that runs nothing A has interrupts disabled. */
	!rq_locked;
#endif
	atomic {
		if
		:: pte[Y] == NONE -> read_y = 0
		:: else -> read_y = word[pte[Y]]
		fi;
		printf("O: reads Y, which holds %d\n", read_y)
	}
	finished[O] = true
}

proctype Foreign() {
end:	do
	:: d_step { CAN_SWITCH_TO(another) -> switch_to(another) }
	od
}

init {
	atomic {
#ifndef UNTOUCHED
		pte[X] = 1; refs[1] = 1; writable[X] = true;
#endif
		pte[Y] = 2; refs[2] = 1; writable[Y] = true;
#ifdef BUSY
		curr = T;	/* and nothing else */
#else
		run Scheduler(); run Foreign();
#endif
		run Caller(A); run Other()
	}
	atomic {
		finished[A] && finished[O] ->
		if
		:: read_x == 0 && read_y == 0 -> printf("Both read 0\n"); assert(false)
		:: else
		fi
	}
}
