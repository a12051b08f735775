// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) and restartable sequences: a critical section that runs on the
 * target CPU, in any process, is aborted before it can commit.
 *
 * The critical section copies so many bytes before it commits that it is
 * still doing so when another CPU sees it under way, calls, and looks again.
 */
#include "rseq_common.h"
#include "kselftest_harness.h"

#ifdef RSEQ_KNOWS_ARCH

#include <pthread.h>
#include <stdatomic.h>

#define MIN_LEN		(256 * 1024)	/* of the copy: as many bytes as take */
#define MAX_LEN		(16 * MIN_LEN)
#define SECTION_USEC	2000		/* this time */
#define HITS		3	/* calls seen to come in the middle */
#define COMMITS		40	/* of a section left alone, after which all should */

/*
 * On a busy machine few sections are seen under way, and fewer commit: who
 * looks, or who runs them, has just lost its CPU. They do in the end.
 */
#define PATIENCE_USEC	15000000
#define TIMEOUT_SEC	100
#define ABORTED		-1

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
		self->pid = fork_endless();
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
	long long start, deadline = now_usec() + PATIENCE_USEC;
	size_t *len = &self->s->len;

	*len = MIN_LEN;
	while ((start = now_usec()) < deadline) {
		if (!commits(self, 0, -1))
			continue;
		if (*len == MAX_LEN || now_usec() - start >= SECTION_USEC)
			return true;
		*len *= 2;
	}
	return false;
}

#define BUSY	"this machine is too busy for a long critical section"

TEST_F_TIMEOUT(section, is_aborted, TIMEOUT_SEC)
{
	long long deadline;
	int ret, hits = 0;

	if (!calibrate(self))
		SKIP(return, BUSY);
	deadline = now_usec() + PATIENCE_USEC;
	while (hits < HITS && now_usec() < deadline) {
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
	int left_alone = 0, called = 0;
	long long deadline;

	if (!calibrate(self))
		SKIP(return, BUSY);
	deadline = now_usec() + PATIENCE_USEC;
	while (!called && left_alone < COMMITS && now_usec() < deadline) {
		called += commits(self, cpuopcnt, cpu);
		left_alone += commits(self, 0, -1);
	}
	if (!called && left_alone < HITS)
		SKIP(return, BUSY);
	EXPECT_NE(0, called)
		TH_LOG("%d committed when left alone", left_alone);
}

TEST_F_TIMEOUT(section, on_other_cpu_commits, TIMEOUT_SEC)
{
	leaves_alone(_metadata, self, 0, self->own_cpu);
}

TEST_F_TIMEOUT(section, commits_if_the_call_is_bad, TIMEOUT_SEC)
{
	leaves_alone(_metadata, self, -1, self->s->cpu);
}

#else

TEST(rseq)
{
	SKIP(return, RSEQ_ARCH_UNKNOWN);
}

#endif

TEST_HARNESS_MAIN
