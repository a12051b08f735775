// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) and restartable sequences: a critical section that runs on the
 * target CPU, in any process, is aborted before it can commit.
 *
 * The critical section copies so many bytes before it commits that it is
 * still doing so when another CPU sees it under way, calls, and looks again.
 */
#include "cpu_opv_common.h"
#include "kselftest_harness.h"

/* The architectures that ../rseq/rseq.h knows. */
#if defined(__x86_64__) || defined(__i386__) || defined(__ARMEL__) || \
	defined(__AARCH64EL__) || defined(__PPC__) || defined(__mips__) || \
	defined(__s390__) || defined(__riscv) || defined(__or1k__)

#include <linux/init.h>
#include <pthread.h>
#include <stdatomic.h>

#include "rseq.h"

#define MIN_LEN		(256 * 1024)	/* of the copy: as many bytes as take */
#define MAX_LEN		(16 * MIN_LEN)
#define SECTION_USEC	2000		/* this time */
#define ATTEMPTS	40
#define HITS		3	/* calls seen to come in the middle */
#define RUN_USEC	200000
#define MIN_CALLS	100	/* on a slow machine */
#define MAX_THREADS	8
#define ABORTED		-1

/*
 * Where critical sections are: next to __rseq_failure, which the branches of
 * some architectures do not reach across a C library that is linked statically.
 */
#define RSEQ_TEXT	__section("rseq_text")

/*
 * Whether the kernel treats this thread in the way of version 2: it leaves the
 * IDs alone as long as they do not change. With debugging it even kills who
 * writes to them.
 */
static bool rseq_is_v2(void)
{
	int n, left_alone = 0, status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (pin_to(sched_getcpu()))
			_exit(0);
		for (n = 0; n < 10; n++) {
			usleep(1000);
			RSEQ_WRITE_ONCE(rseq_get_abi()->cpu_id_start, -1);
			usleep(1000);
			left_alone += RSEQ_READ_ONCE(rseq_get_abi()->cpu_id_start) == (__u32)-1;
		}
		_exit(left_alone > 5);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status;
}

static const char *rseq_missing(void)
{
	if (!rseq_available())
		return "needs CONFIG_RSEQ";
	if (rseq_register_current_thread() || rseq_current_cpu_raw() < 0)
		return "cannot register for restartable sequences";
	if (getenv("RSEQ_V2") && !rseq_is_v2())
		return "needs rseq of version 2 (CONFIG_GENERIC_IRQ_ENTRY)";
	return NULL;
}

/* What caller and critical section share, be it between processes. */
struct section {
	intptr_t v;		/* to which it commits: 0 -> 1 */
	int cpu;
	atomic_int started;	/* number of the attempt */
	atomic_int ended;
	atomic_bool stop;
	int result;
	size_t len;
	unsigned char src[MAX_LEN];
	unsigned char dst[MAX_LEN];
};

static RSEQ_TEXT void run_sections(struct section *s)
{
	if (pin_to(s->cpu))
		return;
	while (!s->stop) {
		if (s->started == s->ended)
			continue;
		s->result = rseq_cmpeqv_trymemcpy_storev(RSEQ_MO_RELAXED,
							 RSEQ_PERCPU_CPU_ID,
							 &s->v, 0, s->dst,
							 s->src, s->len, 1,
							 s->cpu);
		s->ended = s->started;
	}
}

static void *run_sections_in_thread(void *s)
{
	if (!rseq_register_current_thread())
		run_sections(s);
	return NULL;
}

FIXTURE(section)
{
	struct section *s;
	int own_cpu;
	pthread_t thread;
	pid_t pid;
	struct cpu_op ops[2];
};

FIXTURE_VARIANT(section)
{
	bool in_other_process;
	int cpuopcnt;
	bool stops;
};

FIXTURE_VARIANT_ADD(section, empty_vector)
{
	.cpuopcnt = 0,
};

FIXTURE_VARIANT_ADD(section, adds)
{
	.cpuopcnt = 1,
};

FIXTURE_VARIANT_ADD(section, adds_and_is_stopped)
{
	.cpuopcnt = 2,
	.stops = true,
};

FIXTURE_VARIANT_ADD(section, other_process)
{
	.in_other_process = true,
	.cpuopcnt = 1,
};

FIXTURE_SETUP(section)
{
	const char *missing = rseq_missing();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (missing)
		SKIP(return, "%s", missing);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->s = mmap(NULL, sizeof(*self->s), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->s != MAP_FAILED);
	memset(self->s->src, 1, MAX_LEN);
	memset(self->s->dst, 1, MAX_LEN);
	self->s->cpu = aim(true);
	self->own_cpu = nth_cpu(0);
	self->ops[0] = op_add(&self->s->v, 2, sizeof(self->s->v));
	self->ops[1] = op_eq(&self->s->v, &self->s->src, sizeof(self->s->v));

	if (variant->in_other_process) {
		self->pid = fork();
		ASSERT_LE(0, self->pid);
		if (!self->pid) {
			run_sections(self->s);
			_exit(0);
		}
	} else {
		ASSERT_EQ(0, pthread_create(&self->thread, NULL,
					    run_sections_in_thread, self->s));
	}
}

FIXTURE_TEARDOWN(section)
{
	self->s->stop = true;
	if (variant->in_other_process)
		waitpid(self->pid, NULL, 0);
	else
		pthread_join(self->thread, NULL);
}

/*
 * Starts one critical section and, once that is under way, calls for cpu (for
 * none: -1). Returns whether the call came and went before the section had
 * copied all; *ret is the result of the call.
 */
static bool attempt(FIXTURE_DATA(section) *self, int cpuopcnt, int cpu, int *ret)
{
	struct section *s = self->s;
	/* Which of them is copied first depends on the architecture. */
	unsigned char *low = s->dst, *high = s->dst + s->len - 1;
	bool under_way;

	s->v = 0;
	*low = 0;
	*high = 0;
	s->started++;
	while (!RSEQ_READ_ONCE(*low) && !RSEQ_READ_ONCE(*high) &&
	       s->started != s->ended)
		;
	under_way = s->started != s->ended;
	if (cpu >= 0)
		*ret = cpu_opv(self->ops, cpuopcnt, cpu, 0);
	under_way = under_way && !(RSEQ_READ_ONCE(*low) && RSEQ_READ_ONCE(*high));
	while (s->started != s->ended)
		;
	return under_way;
}

static bool commits(FIXTURE_DATA(section) *self, int cpuopcnt, int cpu)
{
	int ret;

	return attempt(self, cpuopcnt, cpu, &ret) && !self->s->result;
}

/*
 * Finds the length for a section that takes its time, and yet commits when
 * left alone: that is what makes an abort tell something. On a fast machine
 * it is the greatest.
 */
static bool calibrate(FIXTURE_DATA(section) *self)
{
	size_t *len = &self->s->len;
	long long start;
	int n;

	*len = MIN_LEN;
	for (n = 0; n < ATTEMPTS; n++) {
		start = now_usec();
		if (!commits(self, 0, -1))
			continue;
		if (*len == MAX_LEN || now_usec() - start >= SECTION_USEC)
			return true;
		*len *= 2;
	}
	return false;
}

#define BUSY	"this machine is too busy for a long critical section"

TEST_F(section, is_aborted)
{
	int n, ret, hits = 0;

	if (!calibrate(self))
		SKIP(return, BUSY);
	for (n = 0; n < ATTEMPTS && hits < HITS; n++) {
		if (!attempt(self, variant->cpuopcnt, self->s->cpu, &ret))
			continue;
		hits++;
		EXPECT_EQ(variant->stops ? 2 : 0, ret);
		EXPECT_EQ(ABORTED, self->s->result);
		/* What the vector wrote was not overwritten. */
		EXPECT_EQ(variant->cpuopcnt ? 2 : 0, self->s->v);
	}
	if (!hits)
		SKIP(return, "no call came in the middle of a critical section");
}

/* A call that is not for this CPU, or is not made, aborts nothing here. */
static void leaves_alone(struct __test_metadata *_metadata,
			 FIXTURE_DATA(section) *self, int cpuopcnt, int cpu)
{
	int n, left_alone = 0, called = 0;

	if (!calibrate(self))
		SKIP(return, BUSY);
	for (n = 0; n < ATTEMPTS && !called; n++) {
		called += commits(self, cpuopcnt, cpu);
		left_alone += commits(self, 0, -1);
	}
	if (!called && left_alone < HITS)
		SKIP(return, BUSY);
	EXPECT_NE(0, called)
		TH_LOG("%d committed when left alone", left_alone);
}

TEST_F(section, on_other_cpu_commits)
{
	leaves_alone(_metadata, self, 0, self->own_cpu);
}

TEST_F(section, commits_if_the_call_is_bad)
{
	leaves_alone(_metadata, self, -1, self->s->cpu);
}

/*
 * Counters that are incremented by restartable sequences and by cpu_opv()
 * alike: no increment is lost.
 */
FIXTURE(counters)
{
	struct counter {
		intptr_t v;
		char pad[120];
	} of_cpu[CPU_SETSIZE];
	atomic_bool stop;
	int cpu;
};

FIXTURE_SETUP(counters)
{
	const char *missing = rseq_missing();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (missing)
		SKIP(return, "%s", missing);
}

FIXTURE_TEARDOWN(counters)
{
}

struct incrementer {
	FIXTURE_DATA(counters) *self;
	pthread_t thread;
	intptr_t done;
	int error;
};

static int slow_increment(FIXTURE_DATA(counters) *self, int cpu)
{
	intptr_t *v = &self->of_cpu[cpu].v;
	struct cpu_op add = op_add(v, 1, sizeof(*v));

	return cpu_opv(&add, 1, cpu, 0);
}

/* Only restartable sequences, on one CPU, with a copy to take some time. */
static RSEQ_TEXT void *increment_fast(void *arg)
{
	struct incrementer *i = arg;
	intptr_t *v = &i->self->of_cpu[i->self->cpu].v;
	char src[1024] = "", dst[1024];

	i->error = rseq_register_current_thread() ?: pin_to(i->self->cpu);
	while (!i->error && !i->self->stop) {
		intptr_t expect = RSEQ_READ_ONCE(*v);

		if (!rseq_cmpeqv_trymemcpy_storev(RSEQ_MO_RELAXED,
						  RSEQ_PERCPU_CPU_ID, v, expect,
						  dst, src, sizeof(dst),
						  expect + 1, i->self->cpu))
			i->done++;
	}
	return NULL;
}

/* A restartable sequence; the call if that is aborted, and now and then. */
static RSEQ_TEXT void *increment_any(void *arg)
{
	struct incrementer *i = arg;
	int n, nr = nr_cpus();

	i->error = rseq_register_current_thread();
	for (n = 0; !i->error && !i->self->stop; n++) {
		int cpu = n % 16 ? (int)rseq_cpu_start() : nth_cpu(n / 16 % nr);

		if (!(n % 16) ||
		    rseq_addv(RSEQ_MO_RELAXED, RSEQ_PERCPU_CPU_ID,
			      &i->self->of_cpu[cpu].v, 1, cpu))
			i->error = slow_increment(i->self, cpu);
		i->done += !i->error;
	}
	return NULL;
}

static intptr_t total(FIXTURE_DATA(counters) *self)
{
	intptr_t sum = 0;
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		sum += self->of_cpu[cpu].v;
	return sum;
}

TEST_F(counters, fast_here_slow_from_afar)
{
	struct incrementer fast = { .self = self };
	long long end = now_usec() + RUN_USEC;
	intptr_t done = 0;

	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->cpu = aim(true);
	ASSERT_EQ(0, pthread_create(&fast.thread, NULL, increment_fast, &fast));
	while (!RSEQ_READ_ONCE(fast.done) && !RSEQ_READ_ONCE(fast.error))
		sched_yield();
	for (; now_usec() < end || done < MIN_CALLS; done++)
		ASSERT_EQ(0, slow_increment(self, self->cpu));
	self->stop = true;
	ASSERT_EQ(0, pthread_join(fast.thread, NULL));
	EXPECT_EQ(0, fast.error);
	EXPECT_EQ(done + fast.done, total(self));
}

TEST_F(counters, fast_or_slow_everywhere)
{
	struct incrementer inc[MAX_THREADS] = {};
	int n, nr = nr_cpus() + 1 < MAX_THREADS ? nr_cpus() + 1 : MAX_THREADS;
	intptr_t done = 0;

	for (n = 0; n < nr; n++) {
		inc[n].self = self;
		ASSERT_EQ(0, pthread_create(&inc[n].thread, NULL, increment_any,
					    &inc[n]));
	}
	usleep(RUN_USEC);
	self->stop = true;
	for (n = 0; n < nr; n++) {
		ASSERT_EQ(0, pthread_join(inc[n].thread, NULL));
		EXPECT_EQ(0, inc[n].error);
		done += inc[n].done;
	}
	EXPECT_NE(0, done);
	EXPECT_EQ(done, total(self));
}

#else

TEST(rseq)
{
	SKIP(return, "the rseq selftests do not know this architecture");
}

#endif

TEST_HARNESS_MAIN
