// SPDX-License-Identifier: GPL-2.0
/*
 * What a thread wrote on the target CPU is seen by cpu_opv(2), and what
 * cpu_opv(2) wrote is seen by the thread, although the thread keeps giving the
 * address another page: also right after the call has looked which one it is,
 * where something else has the CPU of the caller for a while.
 *
 * Only root, who is told how often, can be sure that such a page is met.
 *
 * As no vector runs between two instructions of a thread on the target CPU
 * that find "runs" unchanged, the thread can tell what it must find.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "stats.h"

#define RUN_USEC	200000
#define MIN_PAGES	20	/* on a slow machine */
#define MIN_CALLS	50
#define LOOKS		4	/* at each page */
#define GAP_USEC	50	/* until the caller is preempted again, or more */
#define LONGEST_GAP	10000
#define PREEMPT_USEC	30	/* enough for the thread to renew the page */

/* In the page that changes. */
struct page {
	atomic_ulong adds;	/* by vectors */
	atomic_ulong turn;	/* by the thread, whose first touch it is */
};

FIXTURE(stale)
{
	struct page *page;
	atomic_ulong runs;	/* of the vector */
	atomic_ulong seen;	/* value of turn that it found */
	int cpu;		/* the target */
	pthread_t thread;
	pthread_t preempter;	/* of a caller on another CPU */
	atomic_int pages;
	atomic_bool stop;
	int (*renew)(void *page);
	bool adds;
	const char *error;
};

FIXTURE_VARIANT(stale)
{
	/* Gives the address another page; 0 or -errno. */
	int (*renew)(void *page);
	bool adds;		/* or does the vector only read? */
	bool own_cpu;		/* is the target that of the caller? */
};

static int drop(void *page)
{
	return madvise(page, page_size(), MADV_DONTNEED) ? -errno : 0;
}

static int remap(void *page)
{
	return mmap(page, page_size(), PROT_READ | PROT_WRITE, MAP_FIXED |
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == page ? 0 : -errno;
}

FIXTURE_VARIANT_ADD(stale, dropped_and_read)
{
	.renew = drop,
};

FIXTURE_VARIANT_ADD(stale, dropped_and_written)
{
	.renew = drop,
	.adds = true,
};

FIXTURE_VARIANT_ADD(stale, remapped_and_read)
{
	.renew = remap,
};

FIXTURE_VARIANT_ADD(stale, remapped_and_written)
{
	.renew = remap,
	.adds = true,
};

/* The caller and the thread take turns, also in the middle of the call. */
FIXTURE_VARIANT_ADD(stale, dropped_and_read_on_own_cpu)
{
	.renew = drop,
	.own_cpu = true,
};

FIXTURE_VARIANT_ADD(stale, dropped_and_written_on_own_cpu)
{
	.renew = drop,
	.adds = true,
	.own_cpu = true,
};

/*
 * Looks once. The value of runs was "fresh" when the page was new, if that is
 * known, and "touched" after the thread wrote "turn" to it.
 */
static const char *look(FIXTURE_DATA(stale) *self, bool is_known,
			unsigned long fresh, unsigned long turn,
			unsigned long touched)
{
	unsigned long runs = self->runs;
	unsigned long adds = self->page->adds;
	unsigned long seen = self->seen;

	if (self->page->turn != turn)
		return "the page lost what the thread wrote";
	if (runs != self->runs)
		return NULL;
	if (runs != touched && seen != turn)
		return "the vector did not find what the thread wrote";
	if (self->adds && is_known && adds != runs - fresh)
		return "the page does not have what the vector wrote";
	return NULL;
}

/* On the target CPU: has a new page, touches it, looks at it for a while. */
static void *keep_renewing(void *arg)
{
	FIXTURE_DATA(stale) *self = arg;
	unsigned long turn, before, fresh, touched;
	int i;

	if (pin_to(self->cpu))
		self->error = "cannot pin the thread";
	for (turn = 1; !self->stop && !self->error; turn++) {
		before = self->runs;
		if (self->renew(self->page))
			self->error = "cannot renew the page";
		fresh = self->runs;
		self->page->turn = turn;
		touched = self->runs;
		for (i = 0; i < LOOKS && !self->error; i++)
			self->error = look(self, before == fresh, fresh, turn,
					   touched);
		self->pages++;
	}
	return NULL;
}

/*
 * On the CPU of the caller: has it for a while now and then. It is woken by an
 * interrupt, so it comes into the middle of calls, above all right after they
 * had interrupts disabled. Without root, and a priority, it does so less often.
 */
static void *preempt_caller(void *arg)
{
	FIXTURE_DATA(stale) *self = arg;
	struct sched_param param = { .sched_priority = 1 };
	long long end, gap = GAP_USEC;
	unsigned long last = 0;

	if (pin_to(nth_cpu(0)))
		self->error = "cannot pin the thread that preempts";
	sched_setscheduler(0, SCHED_FIFO, &param);
	while (!self->stop) {
		sleep_usec(gap);
		/* On a slow machine a call may need more than one. */
		gap = self->runs == last && gap < LONGEST_GAP ? 2 * gap :
								GAP_USEC;
		last = self->runs;
		end = now_usec() + PREEMPT_USEC;
		while (now_usec() < end)
			;
	}
	return NULL;
}

/* So that the caller stays where it is, as the target has its thread. */
static int allow_two_cpus(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nth_cpu(0), &set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

FIXTURE_SETUP(stale)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(!variant->own_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	ASSERT_EQ(0, variant->own_cpu ? pin_to(self->cpu) :
		     allow_two_cpus(self->cpu));
	self->page = map_pages(1);
	ASSERT_TRUE(self->page != MAP_FAILED);
	self->renew = variant->renew;
	self->adds = variant->adds;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, keep_renewing, self));
	if (!variant->own_cpu)
		ASSERT_EQ(0, pthread_create(&self->preempter, NULL,
					    preempt_caller, self));
}

FIXTURE_TEARDOWN(stale)
{
}

TEST_F_TIMEOUT(stale, the_page_of_the_moment_is_used, RUN_TIMEOUT)
{
	struct cpu_op ops[] = {
		op_copy(&self->seen, &self->page->turn,
			sizeof(self->seen)),
		op_add(&self->runs, 1, sizeof(self->runs)),
		op_add(&self->page->adds, 1, sizeof(self->page->adds)),
	};
	int cpuopcnt = variant->adds ? 3 : 2;
	long long end = now_usec() + run_usec(RUN_USEC);
	/* A VMA that is locked, or all, may keep pages from being remapped. */
	bool to_meet = variant->renew == drop && !variant->own_cpu;
	struct stats before = read_stats();
	unsigned long calls = 0;
	int ret = 0;

	while ((now_usec() < end || self->pages < MIN_PAGES ||
		calls < MIN_CALLS ||
		(to_meet && is_to_be_met(&before, "stale", end))) &&
	       !self->error && !ret) {
		ret = cpu_opv(ops, cpuopcnt, self->cpu, 0);
		calls++;
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	if (!variant->own_cpu)
		ASSERT_EQ(0, pthread_join(self->preempter, NULL));
	EXPECT_EQ(0, ret);
	EXPECT_TRUE(!self->error)
		TH_LOG("%s", self->error);
	EXPECT_EQ(calls, atomic_load(&self->runs));
	if (to_meet && before.nr)
		EXPECT_LT(0, counted_since(&before, "stale"));
	TH_LOG_OPERATIONS(calls);
	TH_LOG("%d pages, %lu times another one than was looked up",
	       self->pages, counted_since(&before, "stale"));
}

TEST_HARNESS_MAIN
