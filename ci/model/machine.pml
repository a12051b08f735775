/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The machine: one CPU that vectors are for, and the memory of one process.
 *
 * Tasks that are not bound to the CPU have CPUs of their own elsewhere, except while this one has switched to them. All
 * that is done is printed, for traces.
 */

/* A, B: callers. T: a thread bound to the CPU. O: threads elsewhere. another: a task of another process. */
mtype = { idle, A, B, T, O, another, stopper };
#define TASKS	8

mtype curr = idle;	/* what the CPU runs */
bool online = true;
bool irqs_off;		/* it handles an interrupt, or its task has disabled them */
bool rq_locked;		/* somebody has locked its runqueue */
byte sent;		/* interrupts on their way to it */
bool bound[TASKS];	/* has preemption disabled */
bool allowed[TASKS] = true;	/* may run there, and interrupt it */
bool finished[TASKS];

/* Whether a task that runs elsewhere, or is preempted there, or is on the CPU and not interrupted, can go on. */
#define RUNS(task)	(curr != (task) || !irqs_off)
#define IS_ON(task)	(curr == (task) && !irqs_off)

/* The restartable sequence of T. It is aborted when T next gets to execute an instruction of it. */
bool in_sequence;
bool abort_sequence;

/* A switch has the runqueue locked from its beginning to its end. */
#define CAN_SWITCH	(online && curr != stopper && !irqs_off && !rq_locked && !bound[curr])
#define CAN_SWITCH_TO(task)	(CAN_SWITCH && curr != (task) && !bound[task] && allowed[task] && !finished[task])

inline switch_to(task) {
	printf("CPU: switches from %e to %e\n", curr, task);
	abort_sequence = abort_sequence || in_sequence;
	curr = task
}

/* Memory. X and Y are in a page each, of which one word matters. */
#define X	0
#define Y	1
#define NAME(a)	(88 + (a))

#ifndef PAGES
#define PAGES	6
#endif
#define ZERO	0	/* the page of zeroes */
#define NONE	15

byte pte[2];
bool writable[2];
bool unmapped[2];	/* for good: who touches it faults */
byte swapped[2] = NONE;	/* the page that reclaim took from the address */
byte word[PAGES];
byte refs[PAGES];	/* of our mapping, of pins, of a child's mapping, of somebody else; free if 0 */
byte pins[PAGES];	/* how many of them are pins, of which fork() makes a copy */
byte locks[2];		/* of the mapping, for reading: fork() and munmap() wait */
bool childs[PAGES];	/* a child of ours maps it */
bool theirs[PAGES];	/* it was freed, and is another process's now */

/*
 * What the order says is in memory. Threads elsewhere can drop it at any time, which has no place in the order of the
 * CPU: what a vector has looked at by then, or a sequence, it may use.
 */
byte spec[2];
bool dropped[2];	/* since a vector looked */
bool changed[2];	/* since the sequence of T looked */

inline find_free(p) {
	p = 1;
	do
	:: p < PAGES && refs[p] != 0 -> p++
	:: else -> break
	od;
	assert(p < PAGES)	/* else PAGES is too small */
}

inline put(p) {
	if
	:: p != ZERO && p != NONE -> refs[p]--
	:: else
	fi
}

/* Has an address map a page. For a store, it is one that is not shared. */
inline fault(task, a, write, p, q) {
	p = pte[a];
	if
	:: p == NONE && swapped[a] != NONE ->
		p = swapped[a]; swapped[a] = NONE; pte[a] = p; writable[a] = true;
		printf("%e: faults %c in from swap, page %d\n", task, NAME(a), p)
	:: p == NONE && swapped[a] == NONE && !write ->
		pte[a] = ZERO; writable[a] = false;
		printf("%e: faults %c in, the page of zeroes\n", task, NAME(a))
	:: write && p != NONE && !writable[a] && p != ZERO && refs[p] == 1 ->
		writable[a] = true;
		printf("%e: makes %c writable, page %d\n", task, NAME(a), p)
	:: write && ((p == NONE && swapped[a] == NONE) || (p != NONE && !writable[a] && (p == ZERO || refs[p] > 1))) ->
		find_free(q);
		refs[q] = 1; word[q] = (p == NONE -> 0 : word[p]); theirs[q] = false;
		put(p);
		pte[a] = q; writable[a] = true;
		printf("%e: has %c map a page of its own, %d, which holds %d\n", task, NAME(a), q, word[q])
	:: else
	fi;
	p = 0;
	q = 0
}
