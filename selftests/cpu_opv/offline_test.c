// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) aimed at an offline CPU: the vector runs elsewhere, with the
 * callers for that CPU still excluding each other.
 *
 * Needs root. Takes the last CPU offline, which is back when it ends.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "cpu_hotplug.h"

#define MAX_THREADS	8
#define NR_CALLERS	32
#define RUN_USEC	200000

FIXTURE(offline)
{
	int cpu;
	__u64 counter;
	__u64 *page;
	atomic_bool stop;
};

FIXTURE_SETUP(offline)
{
	int ret;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	wait_until_restored();
	bring_back_at_end(_metadata);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->page = map_pages(1);
	ASSERT_TRUE(self->page != MAP_FAILED);
	self->cpu = nth_cpu(nr_cpus() - 1);
	ret = set_online(self->cpu, false);
	if (ret)
		SKIP(return, "cannot take CPU %d offline: %s", self->cpu,
		     strerror(-ret));
}

FIXTURE_TEARDOWN_PARENT(offline)
{
	wait_until_restored();
}

TEST_F(offline, runs)
{
	__u64 seen = 0, *page = self->page;
	struct cpu_op ops[] = {
		op_copy(page + 1, page, sizeof(*page)),
		op_add(page, 42, sizeof(*page)),
		op_copy_release(&seen, page, sizeof(*page)),
		op_ne(page, page + 1, sizeof(*page)),
	};

	EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
	EXPECT_EQ(42, *page);
	EXPECT_EQ(42, seen);
	EXPECT_EQ(0, cpu_opv(NULL, 0, self->cpu, 0));
}

TEST_F(offline, stopped)
{
	struct cpu_op ops[] = {
		op_add(&self->counter, 1, sizeof(self->counter)),
		op_eq(&self->counter, self->page, sizeof(self->counter)),
		op_add(&self->counter, 1, sizeof(self->counter)),
	};

	EXPECT_EQ(2, cpu_opv(ops, 3, self->cpu, 0));
	EXPECT_EQ(1, self->counter);
}

TEST_F(offline, fails)
{
	struct cpu_op ops[] = {
		op_add(&self->counter, 1, sizeof(self->counter)),
		op_copy(self->page, NULL, 8),
	};

	EXPECT_EQ(-EFAULT, cpu_opv(ops, 2, self->cpu, 0));
	ops[1].u.memcpy_op.expect_fault_src = 1;
	EXPECT_EQ(-EAGAIN, cpu_opv(ops, 2, self->cpu, 0));
	ops[1].op = NR_CPU_OPS;
	EXPECT_EQ(-EINVAL, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(0, self->counter);
}

/* It disturbs nobody there, so that any thread may. */
TEST_F(offline, not_in_the_mask)
{
	struct cpu_op add = op_add(&self->counter, 1, sizeof(self->counter));

	ASSERT_EQ(0, pin_to(nth_cpu(0)));
	EXPECT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	EXPECT_EQ(1, self->counter);
	EXPECT_EQ(0, cpu_opv(NULL, 0, self->cpu, 0));
	ASSERT_EQ(0, set_online(self->cpu, true));
	EXPECT_EQ(-EINVAL, cpu_opv(&add, 1, self->cpu, 0));
	EXPECT_EQ(-EINVAL, cpu_opv(NULL, 0, self->cpu, 0));
	EXPECT_EQ(1, self->counter);
}

struct worker {
	FIXTURE_DATA(offline) *self;
	pthread_t thread;
	__u64 done;
	int error;
};

static void *increment_until_stopped(void *arg)
{
	struct worker *w = arg;
	char scratch[4096];

	while (!w->self->stop && !w->error) {
		int ret = long_increment(&w->self->counter, scratch,
					 w->self->cpu);

		w->done += !ret;
		if (ret < 0)
			w->error = ret;
		let_be_moved();
	}
	return NULL;
}

/* Threads increment; meanwhile the CPU comes and goes, or stays away. */
static void increment(struct __test_metadata *_metadata,
		      FIXTURE_DATA(offline) *self, bool toggle)
{
	int n, nr = nr_cpus() + 1 < MAX_THREADS ? nr_cpus() + 1 : MAX_THREADS;
	struct worker workers[MAX_THREADS] = {};
	long long end = now_usec() + run_usec(RUN_USEC);
	__u64 done = 0;

	for (n = 0; n < nr; n++) {
		workers[n].self = self;
		ASSERT_EQ(0, pthread_create(&workers[n].thread, NULL,
					    increment_until_stopped,
					    &workers[n]));
	}
	do {
		usleep(RUN_USEC / 10);
		if (!toggle)
			continue;
		EXPECT_EQ(0, set_online(self->cpu, true));
		usleep(RUN_USEC / 10);
		EXPECT_EQ(0, set_online(self->cpu, false));
	} while (now_usec() < end);
	self->stop = true;
	for (n = 0; n < nr; n++) {
		ASSERT_EQ(0, pthread_join(workers[n].thread, NULL));
		EXPECT_EQ(0, workers[n].error);
		done += workers[n].done;
	}
	EXPECT_NE(0, done);
	EXPECT_EQ(done, self->counter);
	TH_LOG_OPERATIONS(done);
}

TEST_F_TIMEOUT(offline, callers_exclude_each_other, RUN_TIMEOUT)
{
	increment(_metadata, self, false);
}

TEST_F_TIMEOUT(offline, comes_and_goes, RUN_TIMEOUT)
{
	increment(_metadata, self, true);
}

struct watch {
	FIXTURE_DATA(offline) *self;
	atomic_ulong busy;		/* a vector is under way */
	atomic_ulong seen_busy, looks;
	atomic_int error;
};

/* The result is 1 if another vector is under way as well. */
static void *run_long_vectors(void *arg)
{
	struct watch *watch = arg;
	char from[4080], to[4080];
	unsigned long one = 1, zero = 0;
	struct cpu_op ops[] = {
		op_eq(&watch->busy, &zero, sizeof(zero)),
		op_copy(&watch->busy, &one, sizeof(one)),
		op_copy(to, from, sizeof(to)),
		op_copy(&watch->busy, &zero, sizeof(zero)),
	};

	while (!watch->self->stop && !watch->error) {
		watch->error = cpu_opv(ops, 4, watch->self->cpu, 0);
		let_be_moved();
	}
	return NULL;
}

/* On the CPU as soon as it is back, where no vector can be under way then. */
static void *look_from_cpu(void *arg)
{
	struct watch *watch = arg;
	int cpu = watch->self->cpu;

	while (!watch->self->stop) {
		if (sched_getcpu() != cpu) {
			pin_to(cpu);
		} else {
			bool busy = watch->busy;

			if (busy && sched_getcpu() == cpu)
				watch->seen_busy++;
			watch->looks++;
		}
	}
	return NULL;
}

/* Many callers, so that some have not run theirs yet when the CPU is back. */
TEST_F_TIMEOUT(offline, is_over_once_the_cpu_is_back, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	struct watch watch = { .self = self };
	pthread_t watcher, callers[NR_CALLERS];
	int n;

	ASSERT_EQ(0, pthread_create(&watcher, NULL, look_from_cpu, &watch));
	for (n = 0; n < NR_CALLERS; n++)
		ASSERT_EQ(0, pthread_create(&callers[n], NULL, run_long_vectors,
					    &watch));
	do {
		usleep(RUN_USEC / 20);
		EXPECT_EQ(0, set_online(self->cpu, true));
		usleep(RUN_USEC / 20);
		EXPECT_EQ(0, set_online(self->cpu, false));
	} while (now_usec() < end || !watch.looks);
	self->stop = true;
	ASSERT_EQ(0, pthread_join(watcher, NULL));
	for (n = 0; n < NR_CALLERS; n++)
		ASSERT_EQ(0, pthread_join(callers[n], NULL));
	EXPECT_EQ(0, atomic_load(&watch.error));
	EXPECT_EQ(0, atomic_load(&watch.seen_busy));
	TH_LOG_OPERATIONS(watch.looks);
}

/* CPUs that the kernel has not started: booted with maxcpus=, for example. */
TEST(never_online)
{
	cpu_set_t set = cpus_offline();
	__u64 counter = 0, expected = 0;
	struct cpu_op add = op_add(&counter, 1, sizeof(counter));
	int cpu;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (!CPU_COUNT(&set))
		SKIP(return, "needs a CPU that is possible and not online");
	ASSERT_EQ(0, pin_to(nth_cpu(0)));
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		EXPECT_EQ(0, cpu_opv(NULL, 0, cpu, 0))
			TH_LOG("CPU %d", cpu);
		EXPECT_EQ(0, cpu_opv(&add, 1, cpu, 0))
			TH_LOG("CPU %d", cpu);
		EXPECT_EQ(++expected, counter);
	}
}

TEST_HARNESS_MAIN
