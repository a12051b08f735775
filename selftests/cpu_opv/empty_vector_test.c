// SPDX-License-Identifier: GPL-2.0
/*
 * An empty vector of cpu_opv(2) waits for those that are under way on its CPU,
 * whatever runs there: who has stored something before knows that all that
 * comes after has found it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "interrupts.h"
#include "kselftest_harness.h"

#define RUN_USEC	150000
#define MIN_ROUNDS	20	/* on a slow machine */
#define WAIT_USEC	20
#define LOOK_USEC	200	/* for what is not to happen */
#define LEN		2000

/* What the target CPU runs. */
enum target {
	CALLER,
	NOTHING,
	THREAD,
	STRANGER,
};

FIXTURE(empty_vector)
{
	int cpu;			/* the target */
	int begin;			/* CPU of the caller */
	bool stays;			/* the caller, there */
	pthread_t caller;
	struct spinner spinner;
	pid_t stranger;
	atomic_bool stop;
	int error;			/* of the caller */
	/* Pages of their own. */
	atomic_ulong *stop_word;	/* vectors go on while it is 0, ... */
	atomic_ulong *count;		/* ... and then are counted */
};

FIXTURE_VARIANT(empty_vector)
{
	enum target target;
};

FIXTURE_VARIANT_ADD(empty_vector, of_own_cpu)
{
	.target = CALLER,
};

FIXTURE_VARIANT_ADD(empty_vector, of_idle_cpu)
{
	.target = NOTHING,
};

FIXTURE_VARIANT_ADD(empty_vector, of_busy_cpu)
{
	.target = THREAD,
};

FIXTURE_VARIANT_ADD(empty_vector, of_cpu_busy_with_another_process)
{
	.target = STRANGER,
};

FIXTURE_SETUP(empty_vector)
{
	int needed = variant->target == CALLER ? 2 : 3;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < needed)
		SKIP(return, "needs %d CPUs that this thread may run on",
		     needed);
	self->cpu = nth_cpu(nr_cpus() - 1);
	self->begin = variant->target == CALLER ? self->cpu : nth_cpu(1);
	self->stays = variant->target == CALLER;
	self->stop_word = map_pages(1);
	self->count = map_pages(1);
	ASSERT_TRUE((void *)self->stop_word != MAP_FAILED);
	ASSERT_TRUE((void *)self->count != MAP_FAILED);
	*self->stop_word = 0;
	*self->count = 0;
	if (variant->target == THREAD)
		ASSERT_EQ(0, start_spinner(&self->spinner, self->cpu,
					   false));
	if (variant->target != STRANGER)
		return;
	self->stranger = start_spinning_child(self->cpu);
	ASSERT_LT(0, self->stranger);
}

FIXTURE_TEARDOWN(empty_vector)
{
	if (self->stranger > 0) {
		kill(self->stranger, SIGKILL);
		waitpid(self->stranger, NULL, 0);
	}
}

static int settle(FIXTURE_DATA(empty_vector) *self)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) ||
	    pin_to(self->begin) ||
	    (!self->stays && sched_setaffinity(0, sizeof(allowed), &allowed)))
		return -errno;
	return 0;
}

/* By vectors that take long between the look at the word and the count. */
static void *count_slowly(void *arg)
{
	FIXTURE_DATA(empty_vector) *self = arg;
	char from[LEN], to[LEN];
	unsigned long zero = 0;
	struct cpu_op ops[] = {
		op_eq(self->stop_word, &zero, sizeof(zero)),
		op_copy(to, from, LEN),
		op_copy(from, to, LEN),
		op_add(self->count, 1, sizeof(*self->count)),
	};

	memset(from, 1, LEN);
	self->error = settle(self);
	while (!self->stop && !self->error) {
		int ret = cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);

		if (ret < 0)
			self->error = ret;
	}
	return NULL;
}

TEST_F_TIMEOUT(empty_vector, waits, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long rounds, count, wrong = 0;
	cpu_set_t allowed;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
	ASSERT_EQ(0, pthread_create(&self->caller, NULL, count_slowly, self));
	/* Elsewhere, but with the target in the mask. */
	ASSERT_EQ(0, pin_to(nth_cpu(0)));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
	for (rounds = 0; (now_usec() < end || rounds < MIN_ROUNDS) &&
	     !self->error; rounds++) {
		*self->stop_word = 1;
		ASSERT_EQ(0, cpu_opv(NULL, 0, self->cpu, 0));
		count = *self->count;
		sleep_usec(LOOK_USEC);
		wrong += *self->count != count;
		count = *self->count;
		*self->stop_word = 0;
		while (*self->count == count && !self->error)
			sleep_usec(WAIT_USEC);
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->caller, NULL));
	if (self->spinner.turns)
		stop_spinner(&self->spinner);
	EXPECT_EQ(0, self->error);
	EXPECT_EQ(0, wrong);
	TH_LOG_OPERATIONS(*self->count);
}

TEST_HARNESS_MAIN
