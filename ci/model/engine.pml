/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cpu_opv(2), as it is in kernel/cpu_opv/cpu_opv.rs: run(), attempt() and run_alone() of Call are the parts of Caller().
 *
 * The vector of a caller has two operations, on X and Y. Each is to find what the order says, and may add 1.
 */

/* The mutants: each leaves out one rule. */
#ifdef NO_CHECK			/* are_mapped() is not asked */
#define CHECKS(way)	false
#elif defined(NO_CHECK_ON_IT)	/* nor if the caller was on the CPU, not to be preempted, since before it pinned */
#define CHECKS(way)	(way != on_it || !bound[me])
#elif defined(CHECK_BEFORE)	/* not in the handler, but before it is called */
#define CHECKS(way)	(way != interrupt)
#else
#define CHECKS(way)	true
#endif

#ifndef ROUNDS_MAX
#define ROUNDS_MAX	2
#endif

/* By default A reads X and adds to Y, B reads Y and adds to X. */
#ifndef WRITES
#define WRITES(me, a)	((me == A) == (a == Y))
#endif
#ifndef OPERAND
#define OPERAND(me, i)	(me == A -> i : 1 - i)
#endif

/* What is of no interest in a trace that goes on for ever. */
#ifdef BRIEF
#define tell(...)	skip
#else
#define tell(...)	printf(__VA_ARGS__)
#endif

/* Whether a caller calls again and again. */
#ifndef ENDLESS
#define ENDLESS(me)	false
#endif

mtype:way = { none, on_it, runs_nothing, interrupt };

mtype turn;	/* who has it */
mtype heir;	/* who has waited for it longest, and is to get it next */

/* Where the models have to get to, or they say nothing. With COVER the verifier prints, once, that it did. */
#ifdef COVER
c_decl { \#include <stdbool.h>
	static bool covered[32]; };
#define REACHED(n, what)	c_code { if (!covered[n]) { covered[n] = true; puts("reached: " what); } }
#else
#define REACHED(n, what)	skip
#endif

/* FOLL_PIN, of a page that is to be written to */
#ifdef GET_FOR_PIN
#define PINNED	0
#else
#define PINNED	1
#endif

#ifdef NOT_LOCKED
#define LOCKED	0
#else
#define LOCKED	1
#endif

inline let_go(me) {
	d_step {
		a = 0;
		do
		:: a < 2 ->
			if
			:: page[a] != NONE ->
#ifndef NO_PIN
				put(page[a]);
				if
				:: WRITES(me, a) && page[a] != ZERO -> pins[page[a]] = pins[page[a]] - PINNED; locks[a] = locks[a] - LOCKED
				:: else
				fi;
#endif
				page[a] = NONE
			:: else
			fi;
			a++
		:: else -> break
		od;
		a = 0
	}
}

/* user_page_pin(), and the lock of the mapping. By itself it drops the old pin after it has the new one. */
inline pin(me) {
	d_step {
		p = page[a];
		page[a] = pte[a];
#ifndef NO_PIN
		if
		:: page[a] != ZERO -> refs[page[a]]++
		:: else
		fi;
		if
		:: WRITES(me, a) && page[a] != ZERO -> pins[page[a]] = pins[page[a]] + PINNED; locks[a] = locks[a] + LOCKED
		:: else
		fi;
		if
		:: p != NONE ->
			put(p);
			if
			:: WRITES(me, a) && p != ZERO -> pins[p] = pins[p] - PINNED; locks[a] = locks[a] - LOCKED
			:: else
			fi
		:: else
		fi;
#endif
		p = 0;
		printf("%e: pins page %d of %c\n", me, page[a], NAME(a))
	}
}

#define IS_MAPPED(me, a)	(pte[a] == page[a] && (writable[a] || !WRITES(me, a)))
#define IS_PRESENT(me, a)	(pte[a] != NONE && (writable[a] || !WRITES(me, a)))

inline drop_turn(me) {
	if
	:: turn == me -> turn = 0
	:: else
	fi
}

#ifndef OWN_FIND
inline find(me, a, found) {
	if
	:: found != old[a] ->
		printf("%e: finds %d in %c, but the order says %d\n", me, found, NAME(a), old[a]);
		assert(false)
	:: else
	fi
}
#endif

proctype Caller(mtype me) {
	byte page[2] = NONE;	/* what is pinned */
	byte old[2];		/* what it is to find */
	bool mapped[2];		/* whether an address was found to map its page in this stretch */
	mtype:way way = none;
	byte rounds, i, a, p, q;
	bool keep, is_stale, had, looked;

try:	/* Call::run_pinned(): a try begins with a look at the permission. */
	atomic {
		RUNS(me) ->
		had = allowed[me];
		if
#ifdef LOOK_ONCE
		:: !looked && !allowed[me] && online -> goto denied
#else
		:: !allowed[me] && online -> goto denied
#endif
		:: else -> looked = true
		fi;
		keep = rounds >= ROUNDS_MAX && turn != me;
#ifdef NO_CHECK_ON_IT
		bound[me] = (curr == me);
#endif
#ifdef NEVER_KEEP
		keep = false;
#endif
		assert(keep || (page[X] == NONE && page[Y] == NONE));
		i = 0
	}

	/* attempt(): pin */
	do
	:: atomic { RUNS(me) && i == 2 -> i = 0; break }
	:: atomic {
		RUNS(me) && i < 2 ->
		a = OPERAND(me, i);
		if
		:: IS_PRESENT(me, a) -> pin(me); i++
		:: !IS_PRESENT(me, a) && !unmapped[a] && keep ->
			REACHED(0, "pages are kept");
			d_step { fault(me, a, WRITES(me, a), p, q) };
			pin(me); i++
		:: else -> printf("%e: lets go of all, as %c is not there\n", me, NAME(a)); goto missing
		fi;
		a = 0
	   }
	od;

	/* run_alone(): on it */
	atomic {
		RUNS(me) ->
		if
		:: curr == me ->
			printf("%e: is on the CPU, and disables interrupts\n", me);
			irqs_off = true; way = on_it;
			goto alone
		:: else
		fi
	};

	atomic {
		RUNS(me) ->
#ifndef NO_TURN
		if
		:: turn == me
		:: turn != me && (turn != 0 || (heir != 0 && heir != me)) ->
			printf("%e: it is another's turn\n", me);
			goto contended
		:: else -> turn = me
		fi
#endif
	};

	/* it runs nothing */
	atomic {
		RUNS(me) ->
		if
		:: curr != idle -> goto busy
		:: else
		fi
	};
	atomic {
#ifdef NO_RQ_LOCK
		RUNS(me) ->
#else
		RUNS(me) && !rq_locked ->
#endif
		if
		:: curr != idle -> REACHED(1, "the CPU is idle no more")
		:: else ->
#ifndef NO_RQ_LOCK
			printf("%e: locks the runqueue; the CPU runs nothing\n", me);
			rq_locked = true;
#else
			printf("%e: sees that the CPU runs nothing\n", me);
#endif
			bound[me] = true; way = runs_nothing;
			goto alone
		fi
	};

busy:	/* it runs something */
	atomic {
		RUNS(me) ->
#ifndef LOOK_ONCE
#ifndef NO_SECOND_LOOK
		if
		:: !allowed[me] -> REACHED(2, "it may not be interrupted, that was offline"); goto between
		:: else
		fi;
#endif
#endif
		bound[me] = true;
#ifdef CHECK_BEFORE
		mapped[X] = IS_MAPPED(me, X); mapped[Y] = IS_MAPPED(me, Y);
		if
		:: !mapped[X] || !mapped[Y] -> goto stale
		:: else -> old[X] = spec[X]; old[Y] = spec[Y]
		fi;
		mapped[X] = false; mapped[Y] = false;
#endif
		if
		:: !online -> REACHED(3, "it may not be interrupted, as it is not online"); goto between
		:: else -> sent++
		fi
	};
	atomic {
		!irqs_off ->
		printf("%e: interrupts the CPU, which runs %e\n", me, curr);
		if
		:: curr == me -> REACHED(4, "the caller moved to it")
		:: else
		fi;
		assert(had || curr == me);
		irqs_off = true; sent--; way = interrupt
	};

alone:	/* the check */
	do
	:: i < 2 && CHECKS(way) -> atomic {
		a = OPERAND(me, i);
		mapped[a] = IS_MAPPED(me, a);
		if
		:: !mapped[a] ->
			printf("%e: %c does not map page %d as it is needed: again\n", me, NAME(a), page[a]);
			is_stale = true;
			goto leave
		:: else ->
			tell("%e: %c maps page %d\n", me, NAME(a), page[a]);
			old[a] = spec[a]; dropped[a] = false
		fi;
		a = 0;
		i++
	   }
	:: atomic { i < 2 && !CHECKS(way) ->
		mapped[i] = IS_MAPPED(me, i);
		old[i] = spec[i]; dropped[i] = false;
		i++
	   }
	:: atomic { i == 2 -> i = 0; break }
	od;

	/* the operations */
	do
	:: atomic {
		i < 2 ->
		a = OPERAND(me, i);
		p = page[a];
		if
		:: i > 0
		:: i == 0 && WRITES(me, X) && !dropped[X] -> spec[X] = old[X] + 1
		:: else
		fi;
		if
		:: i == 0 && WRITES(me, Y) && !dropped[Y] -> spec[Y] = old[Y] + 1
		:: else
		fi;
		find(me, a, word[p]);
		if
		:: WRITES(me, a) ->
			tell("%e: adds 1 to %c in page %d\n", me, NAME(a), p);
#ifndef ONLY_ORDER
			assert(mapped[a]);
#endif
			assert(!theirs[p]);
			word[p]++
		:: else -> tell("%e: reads %c in page %d, which holds %d\n", me, NAME(a), p, word[p])
		fi;
		a = 0; p = 0;
		i++
	   }
	:: atomic { i == 2 -> i = 0; break }
	od;

leave:
	atomic {
		if
		:: way == on_it && !is_stale -> REACHED(5, "a vector on it")
		:: way == on_it && is_stale -> REACHED(6, "a retry on it")
		:: way == runs_nothing && !is_stale && online -> REACHED(7, "a vector while it is idle")
		:: way == runs_nothing && !is_stale && !online -> REACHED(8, "a vector while it is offline")
		:: way == runs_nothing && is_stale -> REACHED(9, "a retry while it is idle")
		:: way == interrupt && !is_stale -> REACHED(10, "a vector in an interrupt")
		:: way == interrupt && is_stale -> REACHED(11, "a retry in an interrupt")
		fi;
		if
		:: way == runs_nothing -> rq_locked = false
		:: else -> irqs_off = false
		fi;
#ifndef NO_ABORT
		if
		:: way == interrupt && !is_stale && curr == T && in_sequence ->
			abort_sequence = true;
			REACHED(12, "a sequence is interrupted")
		:: else
		fi;
#endif
		bound[me] = false;
		a = 0; i = 0; p = 0; mapped[X] = false; mapped[Y] = false; old[X] = 0; old[Y] = 0;
		if
		:: is_stale -> is_stale = false; way = none; goto stale
		:: else
		fi;
		drop_turn(me);
		printf("%e: is done\n", me);
		way = none
	};
	atomic { RUNS(me) -> let_go(me); goto done };

missing:
	atomic {
		i = 0;
		drop_turn(me);
		if
		:: rounds < ROUNDS_MAX -> rounds++
		:: else
		fi
	};
	atomic {
		RUNS(me) ->
		bound[me] = false;
#ifndef HOLD_PINS
		let_go(me)
#endif
	};
	atomic {
		RUNS(me) ->
		assert(page[X] == NONE && page[Y] == NONE && turn != me);
		a = OPERAND(me, (IS_PRESENT(me, OPERAND(me, 0)) -> 1 : 0));
		if
		:: unmapped[a] ->
			printf("%e: may not access %c: fails, nothing was done\n", me, NAME(a));
			REACHED(13, "an operand that is not accessible");
			goto done
		:: else -> d_step { fault(me, a, WRITES(me, a), p, q) }
		fi;
		a = 0;
		goto try
	};

contended:
	bound[me] = false;
#ifndef SPIN_FOR_TURN
	atomic { RUNS(me) -> let_go(me); REACHED(14, "the turn is waited for") };
	assert(page[X] == NONE && page[Y] == NONE);
	do
	:: atomic { heir == 0 -> heir = me }
	:: atomic { RUNS(me) && turn == 0 && heir == me -> turn = me; heir = 0; break }
	od;
#else
	atomic { RUNS(me) -> let_go(me) };
#endif
	goto try;

stale:
	atomic {
		drop_turn(me); bound[me] = false;
		if
		:: !keep -> let_go(me)
		:: else
		fi;
		goto try
	};

between:
	atomic { drop_turn(me); bound[me] = false; i = 0; let_go(me); goto try };

denied:
	atomic {
		printf("%e: is not allowed: fails, nothing was done\n", me);
		REACHED(15, "a caller that is not allowed");
		let_go(me); drop_turn(me)
	};

done:	atomic {
		i = 0; keep = false; rounds = 0; a = 0; looked = false; had = false;
		if
		:: ENDLESS(me) -> goto try
		:: else -> finished[me] = true
		fi
	}
}
