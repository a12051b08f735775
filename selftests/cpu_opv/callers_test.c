// SPDX-License-Identifier: GPL-2.0
/*
 * Many callers of cpu_opv(2) for one CPU, with the longest vectors: however many
 * there are, it runs one at a time, and has interrupts enabled between two of
 * them. Those that wait for that hold nothing, and can be killed.
 */
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "interrupts.h"
#include "kselftest_harness.h"
#include "stats.h"

#define RUN_USEC	500000
#define NR_CALLERS	48
#define MIN_CALLS	200	/* on a slow machine */
#define MIN_CHANGES	5
#define MAX_CHANGES	40
#define FEW		(NR_CALLERS / 4)
#define SOON_USEC	60000000	/* on a slow machine */

FIXTURE(callers)
{
	int cpu;		/* the target */
	struct spinner spinner;	/* there */
	char *pages;		/* two for each caller, and one more */
	atomic_int nr;		/* of callers */
	atomic_ulong calls;	/* from elsewhere */
	atomic_bool stop;
	atomic_int error;
	pthread_t threads[NR_CALLERS];
};

FIXTURE_SETUP(callers)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->cpu = nth_cpu(nr_cpus() - 1);
	self->pages = map_pages(2 * NR_CALLERS + 1);
	ASSERT_TRUE(self->pages != MAP_FAILED);
	if (start_spinner(&self->spinner, self->cpu, true)) {
		stop_spinner(&self->spinner);
		SKIP(return, "needs root, for SCHED_FIFO");
	}
}

FIXTURE_TEARDOWN(callers)
{
	stop_spinner(&self->spinner);
}

/*
 * They may run on the target as well, which else they could not name; but it is
 * kept busy by somebody who goes first.
 */
static void *call_until_stopped(void *arg)
{
	FIXTURE_DATA(callers) *self = arg;
	char from[CPU_OP_DATA_LEN_MAX];
	char *to = self->pages + 2 * self->nr++ * page_size() + sizeof(long);
	struct cpu_op op = op_copy(to, from, sizeof(from));
	int ret;

	memset(from, 1, sizeof(from));
	while (!self->stop && !self->error) {
		bool elsewhere = sched_getcpu() != self->cpu;

		ret = cpu_opv(&op, 1, self->cpu, 0);
		if (ret)
			self->error = ret;
		self->calls += elsewhere && sched_getcpu() != self->cpu;
	}
	return NULL;
}

/*
 * How many calls end while the mapping is changed that all of them store to. The
 * change waits for those that have pages pinned there, as they have it locked,
 * and the others wait for the change. So these are few, unless pages are pinned
 * while a call waits for its turn.
 */
static unsigned long end_while_changing(struct __test_metadata *_metadata,
					FIXTURE_DATA(callers) *self, bool back)
{
	char *last = self->pages + 2 * NR_CALLERS * page_size();
	int prot = back ? PROT_READ | PROT_WRITE : PROT_READ;
	unsigned long calls = self->calls;

	ASSERT_EQ(0, mprotect(last, page_size(), prot));
	return self->calls - calls;
}

/* More than one in an interrupt would be one stretch without interrupts. */
TEST_F_TIMEOUT(callers, interrupt_one_by_one, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	long interrupts = nr_ipis(self->cpu, true);
	unsigned long ended, least = ULONG_MAX;
	struct stats before = read_stats();
	int n, changes = 0;

	if (interrupts < 0)
		SKIP(return, NO_CALL_INTERRUPTS);
	if (nr_cpus() < 3)
		SKIP(return, "needs three CPUs that this thread may run on");
	for (n = 0; n < NR_CALLERS; n++)
		ASSERT_EQ(0, pthread_create(&self->threads[n], NULL,
					    call_until_stopped, self));
	while ((now_usec() < end || self->calls < MIN_CALLS ||
		changes < MIN_CHANGES ||
		(least >= FEW && changes < MAX_CHANGES) ||
		is_to_be_met(&before, "contended", end)) && !self->error) {
		sleep_usec(RUN_USEC / 10);
		/* All have begun. */
		if (self->calls < MIN_CALLS)
			continue;
		ended = end_while_changing(_metadata, self, changes++ % 2);
		least = ended < least ? ended : least;
	}
	self->stop = true;
	for (n = 0; n < NR_CALLERS; n++)
		ASSERT_EQ(0, pthread_join(self->threads[n], NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
	/* Now and then this thread is late to begin, or to look. */
	EXPECT_GT(FEW, least);
	interrupts = nr_ipis(self->cpu, true) - interrupts;
	/* Some share one with something else that the CPU is to do. */
	EXPECT_LE(self->calls - self->calls / 10, interrupts);
	if (before.nr)
		EXPECT_LT(0, counted_since(&before, "contended"));
	TH_LOG_OPERATIONS(self->calls);
	TH_LOG("%ld interrupts; %lu calls at least in each of %d changes",
	       interrupts, least, changes);
}

/* Whatever they wait for, for each other or for the CPU. */
TEST_F_TIMEOUT(callers, can_be_killed, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC), start_usec, longest = 0;
	/* Else they are on one CPU, where who has the turn is hardly disturbed. */
	bool to_meet = nr_cpus() > 2;
	struct stats before = read_stats();
	unsigned long nr = 0;
	int status, n;
	pid_t pid;

	do {
		pid = fork_endless();
		ASSERT_LE(0, pid);
		if (!pid) {
			for (n = 0; n < NR_CALLERS - 1; n++)
				pthread_create(&self->threads[n], NULL,
					       call_until_stopped, self);
			call_until_stopped(self);
			_exit(1);
		}
		usleep(now_usec() < end ? RUN_USEC / 20 : RUN_USEC);
		start_usec = now_usec();
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (longest < now_usec() - start_usec)
			longest = now_usec() - start_usec;
		ASSERT_TRUE(WIFSIGNALED(status));
		nr++;
	} while (now_usec() < end ||
		 (to_meet && is_to_be_met(&before, "contended", end)));
	EXPECT_GT(SOON_USEC, longest);
	if (to_meet && before.nr)
		EXPECT_LT(0, counted_since(&before, "contended"));
	TH_LOG_OPERATIONS(nr);
	TH_LOG("dead after %lld us at most", longest);
}

TEST_HARNESS_MAIN
