// SPDX-License-Identifier: GPL-2.0
/*
 * Once membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) is back, no sequence
 * commits that was under way before, whatever the kernel did for it meanwhile.
 *
 * A thread increments a number by sequences that take their time and that see
 * whether bit 0 is set. Another thread sets it, and calls membarrier(). From
 * then on the number must not change until the bit is cleared.
 *
 * Just before, it has the kernel look whether it is another thread's turn on
 * that CPU, so that many a call interrupts it when it has found that it is not.
 *
 * Needs root, for the priority of a thread that goes up and down.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/membarrier.h>

#include "rseq.h"

#include "kselftest.h"

#define RUN_SEC		5
#define MIN_STOPS	2000	/* on a slow machine */
#define COPY_LEN	2048	/* for how long a sequence is */
#define STOPPED		1L	/* in the number */
#define INCREMENT	2L
#define LOOKS		1000	/* while it is stopped */
#define MAX_DELAY	2000	/* turns between what interrupts the sequence */

static int cpu;			/* of the sequences */
static intptr_t number;
static pid_t tid;		/* of their thread */
static int done;
static unsigned long tries, commits, aborts;

static int stop_sequences(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
		       MEMBARRIER_CMD_FLAG_CPU, cpu);
}

static void go_to_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		ksft_exit_fail_perror("sched_setaffinity");
}

static void *increment(void *arg)
{
	static char from[COPY_LEN], to[COPY_LEN];

	go_to_cpu();
	if (rseq_register_current_thread())
		ksft_exit_skip("rseq cannot be registered\n");
	RSEQ_WRITE_ONCE(tid, syscall(SYS_gettid));

	while (!RSEQ_READ_ONCE(done)) {
		intptr_t seen = RSEQ_READ_ONCE(number);

		if (seen & STOPPED)
			continue;
		RSEQ_WRITE_ONCE(tries, tries + 1);
		if (rseq_cmpeqv_trymemcpy_storev(RSEQ_MO_RELAXED,
						 RSEQ_PERCPU_CPU_ID, &number,
						 seen, to, from, COPY_LEN,
						 seen + INCREMENT, cpu))
			aborts++;
		else
			commits++;
	}

	rseq_unregister_current_thread();
	return NULL;
}

/* What else there is to run on that CPU, and hardly ever does. */
static void *idle(void *arg)
{
	struct sched_param param = {};

	go_to_cpu();
	if (sched_setscheduler(0, SCHED_IDLE, &param))
		ksft_exit_fail_perror("sched_setscheduler");
	while (!RSEQ_READ_ONCE(done))
		;
	return NULL;
}

/* Whether the number changed while it was stopped. */
static bool stop_once(void)
{
	unsigned long before = RSEQ_READ_ONCE(tries);
	bool changed = false;
	intptr_t stopped;
	int i, delay;

	/* Else there would be little to stop. */
	while (RSEQ_READ_ONCE(tries) == before)
		;

	/* A commit may clear it as long as nobody has called. */
	do {
		stopped = __atomic_or_fetch(&number, STOPPED, __ATOMIC_SEQ_CST);
		/* A thread that loses priority may have to make room. */
		setpriority(PRIO_PROCESS, tid, 1);
		for (delay = rand() % MAX_DELAY; delay > 0; delay--)
			rseq_barrier();
		if (stop_sequences())
			ksft_exit_fail_perror("membarrier");
	} while (RSEQ_READ_ONCE(number) != stopped);

	for (i = 0; i < LOOKS && !changed; i++)
		changed = RSEQ_READ_ONCE(number) != stopped;

	setpriority(PRIO_PROCESS, tid, 0);
	RSEQ_WRITE_ONCE(number, stopped & ~STOPPED);
	return changed;
}

int main(void)
{
	unsigned long stops = 0, changes = 0;
	pthread_t incrementer, idler;
	cpu_set_t set;
	time_t end;

	ksft_print_header();
	ksft_set_plan(1);

	if (sched_getaffinity(0, sizeof(set), &set))
		ksft_exit_fail_perror("sched_getaffinity");
	if (CPU_COUNT(&set) < 2)
		ksft_exit_skip("needs two CPUs\n");
	for (cpu = CPU_SETSIZE - 1; !CPU_ISSET(cpu, &set); cpu--)
		;
	if (syscall(SYS_membarrier,
		    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) ||
	    stop_sequences())
		ksft_exit_skip("membarrier() does not know rseq\n");

	if (setpriority(PRIO_PROCESS, 0, 1) || setpriority(PRIO_PROCESS, 0, 0))
		ksft_exit_skip("needs root\n");

	/* The CPU of the sequences is for them alone. */
	CPU_CLR(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		ksft_exit_fail_perror("sched_setaffinity");
	if (pthread_create(&incrementer, NULL, increment, NULL))
		ksft_exit_fail_msg("no thread can be had\n");
	while (!RSEQ_READ_ONCE(tid))
		;
	if (pthread_create(&idler, NULL, idle, NULL))
		ksft_exit_fail_msg("no thread can be had\n");

	end = time(NULL) + RUN_SEC;
	while (time(NULL) < end || stops < MIN_STOPS) {
		changes += stop_once();
		stops++;
	}

	RSEQ_WRITE_ONCE(done, 1);
	pthread_join(incrementer, NULL);
	pthread_join(idler, NULL);

	ksft_print_msg("%lu sequences committed, %lu did not\n", commits, aborts);
	ksft_test_result(!changes && commits && aborts,
			 "a commit after membarrier(): %lu of %lu times\n",
			 changes, stops);
	ksft_finished();
}
