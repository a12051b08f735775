// SPDX-License-Identifier: GPL-2.0
/*
 * Many callers of cpu_opv(2) for one CPU, with the longest vectors: however many
 * there are, it runs one at a time, and has interrupts enabled between two of
 * them. They can be killed while they wait for that.
 */
#include <signal.h>
#include <sys/wait.h>

#include "interrupts.h"
#include "kselftest_harness.h"
#include "stats.h"

#define RUN_USEC	500000
#define NR_CALLERS	48
#define MIN_CALLS	200	/* on a slow machine */
#define SOON_USEC	60000000	/* on a slow machine */

FIXTURE(callers)
{
	int cpu;		/* the target */
	struct spinner spinner;	/* there */
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
	char from[CPU_OP_DATA_LEN_MAX], to[CPU_OP_DATA_LEN_MAX];
	struct cpu_op op = op_copy(to, from, sizeof(to));
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

/* More than one in an interrupt would be one stretch without interrupts. */
TEST_F_TIMEOUT(callers, interrupt_one_by_one, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	long interrupts = nr_ipis(self->cpu, true);
	struct stats before = read_stats();
	int n;

	if (interrupts < 0)
		SKIP(return, NO_CALL_INTERRUPTS);
	if (nr_cpus() < 3)
		SKIP(return, "needs three CPUs that this thread may run on");
	for (n = 0; n < NR_CALLERS; n++)
		ASSERT_EQ(0, pthread_create(&self->threads[n], NULL,
					    call_until_stopped, self));
	while ((now_usec() < end || self->calls < MIN_CALLS ||
		is_to_be_met(&before, "contended", end)) && !self->error)
		sleep_usec(RUN_USEC / 10);
	self->stop = true;
	for (n = 0; n < NR_CALLERS; n++)
		ASSERT_EQ(0, pthread_join(self->threads[n], NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
	interrupts = nr_ipis(self->cpu, true) - interrupts;
	/* Some share one with something else that the CPU is to do. */
	EXPECT_LE(self->calls - self->calls / 10, interrupts);
	if (before.nr)
		EXPECT_LT(0, counted_since(&before, "contended"));
	TH_LOG_OPERATIONS(self->calls);
	TH_LOG("%ld interrupts", interrupts);
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
		pid = fork();
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
