// SPDX-License-Identifier: GPL-2.0
/*
 * Counters that are incremented by restartable sequences and by cpu_opv(2)
 * alike, by the threads of a process or by several processes: a sequence that
 * commits over what a call did loses an increment.
 */
#include "rseq_common.h"
#include "kselftest_harness.h"

#ifdef RSEQ_KNOWS_ARCH

#include <pthread.h>
#include <stdatomic.h>

#define RUN_USEC	200000
#define MIN_CALLS	100	/* on a slow machine */
#define MAX_WORKERS	8

FIXTURE(counters)
{
	/* In memory that is shared between processes. */
	struct shared {
		struct counter {
			intptr_t v;
			char pad[120];
		} of_cpu[CPU_SETSIZE];
		atomic_bool stop;
		int cpu;
		struct worker {
			struct shared *shared;
			void (*work)(struct worker *w);
			pthread_t thread;
			pid_t pid;
			intptr_t done;
			int error;
		} workers[MAX_WORKERS];
	} *shared;
	int nr_workers;
};

FIXTURE_VARIANT(counters)
{
	bool in_other_processes;
};

FIXTURE_VARIANT_ADD(counters, same_process)
{
	.in_other_processes = false,
};

FIXTURE_VARIANT_ADD(counters, other_processes)
{
	.in_other_processes = true,
};

FIXTURE_SETUP(counters)
{
	const char *missing = rseq_missing();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (missing)
		SKIP(return, "%s", missing);
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->shared != MAP_FAILED);
}

FIXTURE_TEARDOWN(counters)
{
}

static void *work_in_thread(void *arg)
{
	struct worker *w = arg;

	w->error = rseq_register_current_thread();
	if (!w->error)
		w->work(w);
	return NULL;
}

/* A forked process has the registration of its parent. */
static pid_t work_in_process(struct worker *w)
{
	pid_t pid = fork_endless();

	if (!pid) {
		w->work(w);
		_exit(0);
	}
	return pid;
}

static void start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(counters) *self, bool in_other_process,
		  void (*work)(struct worker *w))
{
	struct worker *w = &self->shared->workers[self->nr_workers++];

	w->shared = self->shared;
	w->work = work;
	if (in_other_process) {
		w->pid = work_in_process(w);
		ASSERT_LE(0, w->pid);
	} else {
		ASSERT_EQ(0, pthread_create(&w->thread, NULL, work_in_thread, w));
	}
}

/* Returns how many increments the workers did. */
static intptr_t stop(struct __test_metadata *_metadata,
		     FIXTURE_DATA(counters) *self)
{
	intptr_t done = 0;
	int n, status;

	self->shared->stop = true;
	for (n = 0; n < self->nr_workers; n++) {
		struct worker *w = &self->shared->workers[n];

		if (w->pid) {
			ASSERT_EQ(w->pid, waitpid(w->pid, &status, 0));
			EXPECT_EQ(0, status);
		} else {
			ASSERT_EQ(0, pthread_join(w->thread, NULL));
		}
		EXPECT_EQ(0, w->error);
		EXPECT_NE(0, w->done);
		done += w->done;
	}
	return done;
}

static intptr_t total(const struct shared *shared)
{
	intptr_t sum = 0;
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		sum += shared->of_cpu[cpu].v;
	return sum;
}

static int slow_increment(struct shared *shared, int cpu)
{
	intptr_t *v = &shared->of_cpu[cpu].v;
	struct cpu_op add = op_add(v, 1, sizeof(*v));

	return cpu_opv(&add, 1, cpu, 0);
}

/* Only restartable sequences, on one CPU, with a copy to take some time. */
static RSEQ_TEXT void increment_fast(struct worker *w)
{
	struct shared *shared = w->shared;
	intptr_t *v = &shared->of_cpu[shared->cpu].v;
	char src[1024] = "", dst[1024];

	w->error = pin_to(shared->cpu);
	while (!w->error && !shared->stop) {
		intptr_t expect = RSEQ_READ_ONCE(*v);

		if (!rseq_cmpeqv_trymemcpy_storev(RSEQ_MO_RELAXED,
						  RSEQ_PERCPU_CPU_ID, v, expect,
						  dst, src, sizeof(dst),
						  expect + 1, shared->cpu))
			w->done++;
	}
}

/* A restartable sequence; the call if that is aborted, and now and then. */
static RSEQ_TEXT void increment_any(struct worker *w)
{
	struct shared *shared = w->shared;
	int nr = nr_cpus();
	unsigned int n;

	for (n = 0; !w->error && !shared->stop; n++) {
		int cpu = n % 16 ? (int)rseq_cpu_start() : nth_cpu(n / 16 % nr);

		if (!(n % 16) ||
		    rseq_addv(RSEQ_MO_RELAXED, RSEQ_PERCPU_CPU_ID,
			      &shared->of_cpu[cpu].v, 1, cpu))
			w->error = slow_increment(shared, cpu);
		w->done += !w->error;
	}
}

TEST_F_TIMEOUT(counters, fast_here_slow_from_afar, RUN_TIMEOUT)
{
	struct shared *shared = self->shared;
	struct worker *fast = &shared->workers[0];
	intptr_t calls = 0;
	long long end;

	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	shared->cpu = aim(true);
	start(_metadata, self, variant->in_other_processes, increment_fast);
	while (!RSEQ_READ_ONCE(fast->done) && !RSEQ_READ_ONCE(fast->error))
		sched_yield();
	end = now_usec() + run_usec(RUN_USEC);
	for (; now_usec() < end || calls < MIN_CALLS; calls++)
		ASSERT_EQ(0, slow_increment(shared, shared->cpu));
	EXPECT_EQ(calls + stop(_metadata, self), total(shared));
	TH_LOG_OPERATIONS(calls);
	TH_LOG("%ld sequences", (long)fast->done);
}

TEST_F_TIMEOUT(counters, fast_or_slow_everywhere, RUN_TIMEOUT)
{
	int nr = nr_cpus() + 1 < MAX_WORKERS ? nr_cpus() + 1 : MAX_WORKERS;
	intptr_t done;

	while (nr--)
		start(_metadata, self, variant->in_other_processes,
		      increment_any);
	sleep_usec(run_usec(RUN_USEC));
	done = stop(_metadata, self);
	EXPECT_EQ(done, total(self->shared));
	TH_LOG_OPERATIONS(done);
}

#else

TEST(rseq_counter)
{
	SKIP(return, RSEQ_ARCH_UNKNOWN);
}

#endif

TEST_HARNESS_MAIN
