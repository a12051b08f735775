/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the threads of param_percpu_op_test do: work on the structures of
 * percpu_uses.h, of all CPUs, in shared memory, and notice it if something is
 * wrong.
 */
#ifndef PARAM_USES_H
#define PARAM_USES_H

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/time.h>

#include "rseq_inject.h"

static void rseq_inject(void);
static __thread unsigned long rseq_aborts;

#include "kselftest.h"
#include "percpu_uses.h"

#define MAX_PROCESSES	2
#define MAX_THREADS	(PERCPU_ITEMS / MAX_PROCESSES / 2)
#define NOTHING		-1	/* to be done on this CPU */

/* What one thread did; its successor goes on, should it be killed. */
struct tally {
	unsigned long done;
	unsigned long signals;
	unsigned long aborts;
	unsigned long calls;
};

struct shared {
	struct percpu {
		intptr_t lock;
		intptr_t before;	/* counted under the lock: first this */
		intptr_t after;		/* then that */
		intptr_t count;
		intptr_t signals;
		struct percpu_list list;
		struct percpu_buffer buffer;
		struct percpu_records records;
		struct percpu_ring ring;
	} __aligned(128) of_cpu[CPU_SETSIZE];
	struct item {
		struct percpu_node node;
		intptr_t is_held;	/* by a thread */
		intptr_t stamp;		/* of its record */
	} item[PERCPU_ITEMS];
	struct tally tally[MAX_PROCESSES][MAX_THREADS];
	atomic_bool stop;
};

static struct shared *shared;
static int cpus[CPU_SETSIZE], nr;	/* the allowed ones */

/* The parameters. */
static const struct use *use;
static int nr_threads, nr_processes = 1;
static enum cpu_op_mo mo = CPU_OP_MO_RELAXED;
static bool yields;
static int signal_usec;

static pid_t self_pid;
static __thread struct tally *tally;
static __thread unsigned int seed;

static __noreturn __printf(1, 2) void fail(const char *format, ...)
{
	va_list args;

	if (shared)
		shared->stop = true;
	va_start(args, format);
	printf("# %s: ", program_invocation_short_name);
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_exit(KSFT_FAIL);
}

/* The result of an operation that has to be done, or may be NOTHING. */
static int checked(const char *what, int ret)
{
	if (ret < 0)
		fail("%s: %s", what, strerror(-ret));
	return ret ? NOTHING : 0;
}

static void yield_at_times(void)
{
	if (!(rand_r(&seed) % 4))
		sched_yield();
}

/* Before each sequence, and between the steps of percpu_uses.h. */
static void rseq_inject(void)
{
	if (yields)
		yield_at_times();
}

/* The uses. */

static int count_locked(int cpu)
{
	struct percpu *p = &shared->of_cpu[cpu];
	intptr_t before;

	checked("lock", percpu_lock(&p->lock, self_pid, cpu));
	before = ++p->before;
	yield_at_times();
	p->after++;
	if (percpu_read(&p->before) != before || p->after != before)
		fail("the lock did not keep others out");
	percpu_unlock(&p->lock);
	return 0;
}

static int count(int cpu)
{
	return checked("add", percpu_addv(mo, &shared->of_cpu[cpu].count, 1,
					  cpu));
}

static int list_pop(int cpu, intptr_t *item)
{
	struct percpu_node *node;
	int ret = percpu_list_pop(mo, &shared->of_cpu[cpu].list, &node, cpu);

	if (!ret)
		*item = node->item;
	return ret;
}

static int list_push(int cpu, intptr_t item)
{
	return percpu_list_push(mo, &shared->of_cpu[cpu].list,
				&shared->item[item].node, cpu);
}

static int buffer_pop(int cpu, intptr_t *item)
{
	return percpu_buffer_pop(mo, &shared->of_cpu[cpu].buffer, item, cpu);
}

static int buffer_push(int cpu, intptr_t item)
{
	return percpu_buffer_push(mo, &shared->of_cpu[cpu].buffer, item, cpu);
}

/* A record is of one piece, and the latest of its item. */
static int records_pop(int cpu, intptr_t *item)
{
	struct percpu_record record;
	int i, ret;

	ret = percpu_records_pop(mo, &shared->of_cpu[cpu].records, &record,
				 cpu);
	if (ret)
		return ret;
	*item = record.word[0] % PERCPU_ITEMS;
	for (i = 0; i < PERCPU_RECORD; i++) {
		if (record.word[i] != shared->item[*item].stamp + i)
			fail("word %d of a record is wrong", i);
	}
	return 0;
}

static int records_push(int cpu, intptr_t item)
{
	struct percpu_record record;
	intptr_t stamp = item + PERCPU_ITEMS * (rand_r(&seed) % 0x10000);
	int i;

	for (i = 0; i < PERCPU_RECORD; i++)
		record.word[i] = stamp + i;
	shared->item[item].stamp = stamp;
	return percpu_records_push(mo, &shared->of_cpu[cpu].records, &record,
				   cpu);
}

static int ring_pop(int cpu, intptr_t *item)
{
	return percpu_ring_pop(&shared->of_cpu[cpu].ring, item, cpu);
}

static int ring_push(int cpu, intptr_t item)
{
	return percpu_ring_push(&shared->of_cpu[cpu].ring, item, cpu);
}

/* Either it counts something, or it takes items and puts them back. */
static const struct use {
	const char *name;
	int (*count)(int cpu);
	size_t counter;			/* in struct percpu */
	int (*pop)(int cpu, intptr_t *item);
	int (*push)(int cpu, intptr_t item);
	bool is_blocking;		/* if one is killed that uses it */
} uses[] = {
	{ "spinlock", count_locked, offsetof(struct percpu, after) },
	{ "counter", count, offsetof(struct percpu, count) },
	{ "list", .pop = list_pop, .push = list_push },
	{ "buffer", .pop = buffer_pop, .push = buffer_push },
	{ "memcpy", .pop = records_pop, .push = records_push },
	{ "ring", .pop = ring_pop, .push = ring_push, .is_blocking = true },
};

/* Items. */

static int take(int cpu, intptr_t *item)
{
	struct item *taken;
	int ret = checked("pop", use->pop(cpu, item));

	if (ret)
		return ret;
	if (*item < 0 || *item >= PERCPU_ITEMS)
		fail("%ld is no item", (long)*item);
	taken = &shared->item[*item];
	if (taken->is_held)
		fail("item %ld was there twice", (long)*item);
	taken->is_held = 1;
	return 0;
}

static void give(int cpu, intptr_t item)
{
	shared->item[item].is_held = 0;
	if (checked("push", use->push(cpu, item)))
		fail("there is no place for item %ld", (long)item);
}

static int any_cpu(void)
{
	return rand_r(&seed) % 4 ? rseq_current_cpu() :
		cpus[rand_r(&seed) % nr];
}

static int move_item(void)
{
	intptr_t item;

	if (take(any_cpu(), &item))
		return NOTHING;
	yield_at_times();
	give(any_cpu(), item);
	return 0;
}

/* The threads. */

/* Interrupts any place of the other operations with one of its own. */
static void handle_signal(int signal)
{
	int cpu = rseq_current_cpu(), saved = errno;

	checked("add in a signal handler",
		percpu_addv(CPU_OP_MO_RELAXED, &shared->of_cpu[cpu].signals, 1,
			    cpu));
	tally->signals++;
	errno = saved;
}

static void *work(void *arg)
{
	sigset_t signals;

	tally = arg;
	seed = self_pid + (uintptr_t)arg;
	rseq_register_current_thread();
	sigemptyset(&signals);
	sigaddset(&signals, SIGALRM);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);

	while (!shared->stop) {
		if (!(use->count ? use->count(any_cpu()) : move_item()))
			tally->done++;
		else
			sched_yield();
	}
	tally->aborts += rseq_aborts;
	tally->calls += percpu_op_calls;
	return NULL;
}

static __noreturn void run_threads(struct tally *tallies)
{
	struct itimerval often = { .it_interval.tv_usec = signal_usec,
				   .it_value.tv_usec = signal_usec };
	pthread_t threads[MAX_THREADS];
	sigset_t signals;
	int n;

	self_pid = getpid();
	sigemptyset(&signals);
	sigaddset(&signals, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGALRM, handle_signal);
	for (n = 0; n < nr_threads; n++) {
		if (pthread_create(&threads[n], NULL, work, &tallies[n]))
			fail("cannot create a thread");
	}
	setitimer(ITIMER_REAL, &often, NULL);
	for (n = 0; n < nr_threads; n++)
		pthread_join(threads[n], NULL);
	_exit(KSFT_PASS);
}

#endif /* PARAM_USES_H */
