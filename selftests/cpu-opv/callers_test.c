// SPDX-License-Identifier: GPL-2.0
/*
 * Many callers of cpu_opv(2) for one CPU, with the longest vectors: however many
 * there are, it runs one at a time, and has interrupts enabled between two of
 * them. What the CPU itself has to do goes on as with one caller.
 */
#include <signal.h>
#include <sys/wait.h>

#include "interrupts.h"
#include "kselftest_harness.h"

#define RUN_USEC	500000
#define NR_CALLERS	48
#define MIN_SHARE	10	/* with many callers, of that with one */
#define SOON_USEC	5000000	/* on a slow machine */

FIXTURE(callers)
{
	int cpu;		/* the target */
	struct spinner spinner;	/* there */
	atomic_ulong calls;
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
}

FIXTURE_TEARDOWN(callers)
{
}

/* The target is kept busy, so that all have to interrupt it. */
static void *call_until_stopped(void *arg)
{
	FIXTURE_DATA(callers) *self = arg;
	char from[CPU_OP_DATA_LEN_MAX], to[CPU_OP_DATA_LEN_MAX];
	struct cpu_op op = op_copy(to, from, sizeof(to));
	int error;

	memset(from, 1, sizeof(from));
	while (!self->stop && !self->error) {
		error = cpu_opv(&op, 1, self->cpu, 0);
		if (error)
			self->error = error;
		self->calls++;
	}
	return NULL;
}

static void start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(callers) *self, int nr)
{
	int n;

	self->stop = false;
	for (n = 0; n < nr; n++)
		ASSERT_EQ(0, pthread_create(&self->threads[n], NULL,
					    call_until_stopped, self));
}

static void stop(struct __test_metadata *_metadata,
		 FIXTURE_DATA(callers) *self, int nr)
{
	int n;

	self->stop = true;
	for (n = 0; n < nr; n++)
		ASSERT_EQ(0, pthread_join(self->threads[n], NULL));
	ASSERT_EQ(0, atomic_load(&self->error));
}

/* What the spinner gets done meanwhile. */
static unsigned long turns_beside(struct __test_metadata *_metadata,
				  FIXTURE_DATA(callers) *self, int nr)
{
	unsigned long turns;

	start(_metadata, self, nr);
	usleep(RUN_USEC / 10);
	turns = self->spinner.turns;
	self->calls = 0;
	sleep_usec(run_usec(RUN_USEC));
	turns = self->spinner.turns - turns;
	TH_LOG("%d callers: %lu turns, %lu calls", nr, turns, self->calls);
	stop(_metadata, self, nr);
	return turns;
}

TEST_F_TIMEOUT(callers, leave_as_much_as_one_does, RUN_TIMEOUT)
{
	unsigned long alone, beside_one, beside_many;

	ASSERT_EQ(0, start_spinner(&self->spinner, self->cpu));
	alone = turns_beside(_metadata, self, 0);
	beside_one = turns_beside(_metadata, self, 1);
	beside_many = turns_beside(_metadata, self, NR_CALLERS);
	stop_spinner(&self->spinner);
	EXPECT_LE(beside_one / MIN_SHARE, beside_many);
	TH_LOG("%lu%% of the turns alone beside one, %lu%% beside all",
	       beside_one / (alone / 100), beside_many / (alone / 100));
	TH_LOG_OPERATIONS(self->calls);
}

/* More than one in an interrupt would be one stretch without interrupts. */
TEST_F_TIMEOUT(callers, interrupt_one_by_one, RUN_TIMEOUT)
{
	unsigned long calls;
	long interrupts;

	if (nr_ipis(self->cpu, true) < 0)
		SKIP(return, NO_CALL_INTERRUPTS);
	ASSERT_EQ(0, start_spinner(&self->spinner, self->cpu));
	interrupts = nr_ipis(self->cpu, true);
	start(_metadata, self, NR_CALLERS);
	sleep_usec(run_usec(RUN_USEC));
	stop(_metadata, self, NR_CALLERS);
	calls = self->calls;
	interrupts = nr_ipis(self->cpu, true) - interrupts;
	stop_spinner(&self->spinner);
	/* Some share one with something else that the CPU is to do. */
	EXPECT_LE(calls - calls / 10, interrupts);
	TH_LOG("%lu calls, %ld interrupts", calls, interrupts);
	TH_LOG_OPERATIONS(calls);
}

/* Whatever they wait for, for each other or for the CPU. */
TEST_F_TIMEOUT(callers, can_be_killed, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC), start_usec, longest = 0;
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
		usleep(RUN_USEC / 20);
		start_usec = now_usec();
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (longest < now_usec() - start_usec)
			longest = now_usec() - start_usec;
		ASSERT_TRUE(WIFSIGNALED(status));
		nr++;
	} while (now_usec() < end);
	EXPECT_GT(SOON_USEC, longest);
	TH_LOG_OPERATIONS(nr);
	TH_LOG("dead after %lld us at most", longest);
}

TEST_HARNESS_MAIN
