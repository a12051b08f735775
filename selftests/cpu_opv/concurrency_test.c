// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that call cpu_opv(2) for the same CPU exclude each other. Each test
 * lets its threads run for a while and then does the sums.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	200000
#define MAX_THREADS	8

FIXTURE(threads)
{
	/* One page, private or shared: what the threads work on. */
	struct {
		__u64 counter;
		__u64 lock;
		__u64 unlocked_value;
	} *data;
	int cpu;
	int nr;
	atomic_bool stop;
	struct worker {
		FIXTURE_DATA(threads) *self;
		pthread_t thread;
		int number;
		__u64 done;
		int error;	/* the first unexpected result */
	} workers[MAX_THREADS];
};

FIXTURE_VARIANT(threads)
{
	int map_flags;
};

FIXTURE_VARIANT_ADD(threads, private_memory)
{
	.map_flags = MAP_PRIVATE,
};

FIXTURE_VARIANT_ADD(threads, shared_memory)
{
	.map_flags = MAP_SHARED,
};

FIXTURE_SETUP(threads)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->data = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			  variant->map_flags | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->data != MAP_FAILED);
	self->cpu = nth_cpu(nr_cpus() > 1);
	self->nr = nr_cpus() + 1 < MAX_THREADS ? nr_cpus() + 1 : MAX_THREADS;
}

FIXTURE_TEARDOWN(threads)
{
}

static void start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(threads) *self, void *(*work)(void *))
{
	int n;

	for (n = 0; n < self->nr; n++) {
		struct worker *w = &self->workers[n];

		w->self = self;
		w->number = n;
		ASSERT_EQ(0, pthread_create(&w->thread, NULL, work, w));
	}
}

/* Returns how often the workers did their work. */
static __u64 stop(struct __test_metadata *_metadata,
		  FIXTURE_DATA(threads) *self)
{
	__u64 done = 0;
	int n;

	self->stop = true;
	for (n = 0; n < self->nr; n++) {
		struct worker *w = &self->workers[n];

		ASSERT_EQ(0, pthread_join(w->thread, NULL));
		EXPECT_EQ(0, w->error)
			TH_LOG("thread %d", n);
		done += w->done;
	}
	EXPECT_NE(0, done);
	TH_LOG_OPERATIONS(done);
	return done;
}

static bool going_on(struct worker *w)
{
	return !w->self->stop && !w->error;
}

static void *add(void *arg)
{
	struct worker *w = arg;
	__u64 *counter = &w->self->data->counter;
	struct cpu_op op = op_arithmetic(w->number % 2 ? CPU_ADD_OP :
							 CPU_ADD_RELEASE_OP,
					 counter, 1, sizeof(*counter));

	while (going_on(w)) {
		w->error = cpu_opv(&op, 1, w->self->cpu, 0);
		w->done += !w->error;
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, add, RUN_TIMEOUT)
{
	start(_metadata, self, add);
	sleep_usec(run_usec(RUN_USEC));
	EXPECT_EQ(stop(_metadata, self), self->data->counter);
}

/* Increments that have to be retried when another thread was faster. */
static void *compare_and_store(void *arg)
{
	struct worker *w = arg;
	char scratch[4096];

	while (going_on(w)) {
		int ret = long_increment(&w->self->data->counter, scratch,
					 w->self->cpu);

		w->done += !ret;
		if (ret < 0)
			w->error = ret;
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, compare_and_store, RUN_TIMEOUT)
{
	start(_metadata, self, compare_and_store);
	sleep_usec(run_usec(RUN_USEC));
	EXPECT_EQ(stop(_metadata, self), self->data->counter);
}

/* A lock: taken if 0, released by a store. What it protects is not atomic. */
static void *lock_and_unlock(void *arg)
{
	static const __u64 zero, one = 1;
	struct worker *w = arg;
	__u64 *lock = &w->self->data->lock;
	__u64 *value = &w->self->data->unlocked_value;
	struct cpu_op take[] = {
		op_eq(lock, &zero, sizeof(zero)),
		op_copy(lock, &one, sizeof(one)),
	};
	struct cpu_op release = op_copy_release(lock, &zero, sizeof(zero));

	while (going_on(w)) {
		int ret = cpu_opv(take, 2, w->self->cpu, 0);

		if (ret > 0) {
			sched_yield();
			continue;
		}
		w->error = ret;
		if (ret)
			break;
		*value += 1;
		w->done++;
		w->error = cpu_opv(&release, 1, w->self->cpu, 0);
	}
	return NULL;
}

TEST_F_TIMEOUT(threads, lock, RUN_TIMEOUT)
{
	start(_metadata, self, lock_and_unlock);
	sleep_usec(run_usec(RUN_USEC));
	EXPECT_EQ(stop(_metadata, self), self->data->unlocked_value);
}

TEST_HARNESS_MAIN
