/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goes on around the callers: a thread on the CPU, the CPU's scheduler, other threads of the process elsewhere.
 */

/* T adds 1 to X so many times, by a restartable sequence that looks at Y, too. */
proctype Thread(byte times) {
	byte x, y, p, q;

	do
	:: times == 0 -> break
	:: else ->
again:		atomic {
			IS_ON(T) ->
			in_sequence = true; abort_sequence = false;
			if
			:: pte[X] == NONE -> d_step { fault(T, X, false, p, q) }; goto again
			:: pte[X] != NONE && pte[Y] == NONE && !unmapped[Y] -> d_step { fault(T, Y, false, p, q) }; goto again
			:: else -> x = word[pte[X]]; y = (unmapped[Y] -> spec[Y] : word[pte[Y]])
			fi;
			changed[X] = false; changed[Y] = false;
			printf("T: begins a sequence: X holds %d, Y %d\n", x, y);
			if
			:: x != spec[X] || y != spec[Y] ->
				printf("T: but the order says that they hold %d and %d\n", spec[X], spec[Y]);
				assert(false)
			:: else
			fi
		};
		atomic {
			IS_ON(T) ->
			if
			:: abort_sequence ->
				printf("T: its sequence is aborted\n");
				REACHED(16, "a sequence is aborted");
				x = 0; y = 0;
				goto again
			:: else
			fi;
			if
			:: pte[X] == NONE || !writable[X] -> d_step { fault(T, X, true, p, q) }
			:: else
			fi
		};
		atomic {
			IS_ON(T) ->
			if
			:: abort_sequence ->
				printf("T: its sequence is aborted\n");
				REACHED(16, "a sequence is aborted");
				x = 0; y = 0;
				goto again
			:: pte[X] == NONE || !writable[X] -> x = 0; y = 0; goto again
			:: else
			fi;
			if
			:: (x != spec[X] && !changed[X]) || (y != spec[Y] && !changed[Y]) ->
				printf("T: commits %d to X, but the order says that it held %d, and Y %d\n", x + 1, spec[X], spec[Y]);
				assert(false)
			:: else
			fi;
			printf("T: commits %d to X in page %d\n", x + 1, pte[X]);
			word[pte[X]] = x + 1; spec[X] = x + 1;
			in_sequence = false; x = 0; y = 0;
			times--
		}
	od;
	finished[T] = true
}

/* The CPU switches at any time to anything that there is to run. */
#ifdef CALLERS_STAY_AWAY
#define SWITCH_TO_CALLERS
#else
#define SWITCH_TO_CALLERS \
	:: d_step { CAN_SWITCH_TO(A) -> switch_to(A) } \
	:: d_step { CAN_SWITCH_TO(B) -> switch_to(B) }
#endif
proctype Scheduler() {
end:	do
	:: d_step { CAN_SWITCH_TO(idle) -> switch_to(idle) }
	:: d_step { CAN_SWITCH_TO(T) -> switch_to(T) }
	SWITCH_TO_CALLERS
	od
}

/* Other threads of the process do so many of these things elsewhere. */
proctype Others(byte times) {
	byte a, p, q;

end:	do
	:: atomic {
		times > 0 ->
		times--;
		if
		:: a = X
		:: a = Y
		fi;
		p = pte[a];
		if
		:: p != NONE && p != ZERO && !childs[p] && locks[a] == 0 ->
			printf("O: fork(): the child shares page %d of %c\n", p, NAME(a));
			assert(pins[p] == 0);	/* else it gets a copy, in which later stores to it are missing */
			writable[a] = false; childs[p] = true; refs[p]++
		:: p != NONE && childs[p] ->
			printf("O: the child gives page %d back\n", p);
			childs[p] = false; put(p)
		:: p == NONE || !writable[a] ->
			printf("O: stores to another word in the page of %c\n", NAME(a));
			if
			:: !unmapped[a] -> d_step { fault(O, a, true, p, q) }
			:: else
			fi
		:: p != NONE ->
			printf("O: MADV_DONTNEED of %c, page %d\n", NAME(a), p);
			put(p); pte[a] = NONE; writable[a] = false;
			spec[a] = 0; dropped[a] = true; changed[a] = true
		:: p != NONE && a == Y && locks[a] == 0 ->
			printf("O: munmap() of %c, page %d\n", NAME(a), p);
			put(p); pte[a] = NONE; writable[a] = false; unmapped[a] = true;
			spec[a] = 0; dropped[a] = true; changed[a] = true
		fi;
		a = 0; p = 0
	   }
	od
}

/* A page that was freed is another process's. */
proctype Somebody() {
	byte p;

	atomic {
		dropped[X] || dropped[Y] ->
		p = 1;
		do
		:: p < PAGES && (refs[p] != 0 || word[p] == 0) -> p++
		:: else -> break
		od;
		if
		:: p < PAGES -> refs[p] = 1; theirs[p] = true; printf("another process: gets page %d\n", p)
		:: else
		fi;
		p = 0
	}
}

/* The CPU goes offline, and comes back. */
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
