// SPDX-License-Identifier: GPL-2.0
/*
 * Vectors of words, which the kernel accesses where the caller maps them,
 * without pinning their pages: which those are, by its own count, and that all
 * others do as well.
 *
 * Needs root, to read the count.
 */
#include <signal.h>
#include <sys/wait.h>

#include "interrupts.h"
#include "kselftest_harness.h"
#include "pkey.h"
#include "stats.h"

#define TRIES		100
#define RUN_USEC	300000
#define MIN_STORES	20	/* on a slow machine */
#define REGION		(16 << 20)
#define ONES		(-1UL / 255)	/* a word of bytes of 1 */

FIXTURE(words)
{
	char *region;		/* that is dropped */
	atomic_bool stop;
	long *page;		/* the first words: 0, 1, 2 ... */
	int cpu;		/* that the thread is on */
	int other;		/* or -1 */
};

static int run(struct cpu_op *ops, int nr, int cpu, unsigned long *unpinned)
{
	struct stats stats = read_stats();
	int ret = cpu_opv(ops, nr, cpu, 0);

	stats = stats_since(&stats);
	*unpinned = stat_of(&stats, "unpinned");
	return ret;
}

static int run_one(FIXTURE_DATA(words) *self, struct cpu_op op,
		   unsigned long *unpinned)
{
	return run(&op, 1, self->cpu, unpinned);
}

FIXTURE_SETUP(words)
{
	unsigned long unpinned;
	int i;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (!read_stats().nr)
		SKIP(return, STATS_ABSENT);
	self->cpu = nth_cpu(0);
	self->other = nth_cpu(1);
	ASSERT_EQ(0, pin_to(self->cpu));
	self->page = map_pages(2);
	ASSERT_TRUE((void *)self->page != MAP_FAILED);
	for (i = 0; i < 8; i++)
		self->page[i] = i;
	ASSERT_EQ(0, run_one(self, op_add(self->page, 1, sizeof(long)),
			     &unpinned));
	if (!unpinned)
		SKIP(return, "this kernel pins all pages (HAVE_USER_WORD)");
}

FIXTURE_TEARDOWN(words)
{
}

/* The thread stays where it is. */
static void allow_vectors_on_other(struct __test_metadata *_metadata,
				   FIXTURE_DATA(words) *self)
{
	cpu_set_t both;

	CPU_ZERO(&both);
	CPU_SET(self->cpu, &both);
	CPU_SET(self->other, &both);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(both), &both));
	ASSERT_EQ(self->other, aim(true));
}

TEST_F(words, of_all_lengths_are_not_pinned)
{
	unsigned long unpinned;
	size_t len;

	for (len = 1; len <= sizeof(long); len *= 2) {
		EXPECT_EQ(0, run_one(self, op_add(self->page, 1, len),
				     &unpinned));
		EXPECT_EQ(1, unpinned);
	}
	EXPECT_LE(4, self->page[0]);
}

TEST_F(words, are_compared_and_then_stored_to)
{
	long *p = self->page;
	struct cpu_op ops[] = {
		op_eq(&p[1], &p[1], sizeof(long)),
		op_ne(&p[1], &p[2], sizeof(long)),
		op_copy(&p[3], &p[4], sizeof(long)),
	};
	unsigned long unpinned;

	EXPECT_EQ(0, run(ops, 3, self->cpu, &unpinned));
	EXPECT_EQ(1, unpinned);
	EXPECT_EQ(4, p[3]);

	ops[1] = op_eq(&p[1], &p[2], sizeof(long));
	ops[2] = op_copy(&p[3], &p[5], sizeof(long));
	EXPECT_EQ(2, run(ops, 3, self->cpu, &unpinned));
	EXPECT_EQ(1, unpinned);
	EXPECT_EQ(4, p[3]);
}

TEST_F(words, of_an_idle_cpu_are_not_pinned)
{
	struct cpu_op op = op_add(self->page, 1, sizeof(long));
	struct stats before, since;
	int i;

	if (self->other < 0)
		SKIP(return, ONE_CPU);
	allow_vectors_on_other(_metadata, self);
	for (i = 0; i < TRIES; i++) {
		usleep(1000);
		before = read_stats();
		ASSERT_EQ(0, cpu_opv(&op, 1, self->other, 0));
		since = stats_since(&before);
		/* They are if it goes idle after it was looked at for that. */
		if (stat_of(&since, "unpinned"))
			break;
	}
	EXPECT_GT(TRIES, i);
	EXPECT_EQ(1, stat_of(&since, "idle"));
}

/* Where handlers cannot tell whose memory they have, none are accessed there. */
#if defined(__x86_64__) || defined(__i386__)

TEST_F(words, of_a_busy_cpu_are_not_pinned)
{
	struct cpu_op op = op_add(self->page, 1, sizeof(long));
	struct spinner spinner;
	struct stats before, since;
	int i;

	if (self->other < 0)
		SKIP(return, ONE_CPU);
	allow_vectors_on_other(_metadata, self);
	ASSERT_EQ(0, start_spinner(&spinner, self->other, false));
	*self->page = 0;
	for (i = 1; i <= TRIES; i++) {
		before = read_stats();
		ASSERT_EQ(0, cpu_opv(&op, 1, self->other, 0));
		since = stats_since(&before);
		/* They are if the thread is preempted. */
		if (stat_of(&since, "unpinned") && stat_of(&since, "busy"))
			break;
	}
	EXPECT_GE(TRIES, i);
	EXPECT_EQ(i, *self->page);
	stop_spinner(&spinner);
}

/* The rights of the caller count, on the other CPU, too. */
static void with_rights(struct __test_metadata *_metadata,
			FIXTURE_DATA(words) *self, unsigned int here,
			unsigned int there, int result)
{
	struct cpu_op op = op_add(self->page, 1, sizeof(long));
	struct stats before = read_stats();
	struct neighbour neighbour;
	int i, ret;

	if (self->other < 0)
		SKIP(return, ONE_CPU);
	allow_vectors_on_other(_metadata, self);
	*self->page = 0;
	ret = start_neighbour(&neighbour, self->other, self->page, there);
	if (neighbour.pkey < 0)
		SKIP(return, PKEY_ABSENT);
	ASSERT_EQ(0, ret);
	set_rights(neighbour.pkey, here);
	for (i = 0; i < TRIES; i++)
		ASSERT_EQ(result, cpu_opv(&op, 1, self->other, 0));
	EXPECT_EQ(0, counted_since(&before, "unpinned"));
	EXPECT_EQ(!result, !!counted_since(&before, "words_lost"));
	set_rights(neighbour.pkey, 0);
	EXPECT_EQ(result ? 0 : TRIES, *self->page);
	ASSERT_EQ(0, stop_neighbour(&neighbour));
}

TEST_F(words, that_the_neighbour_may_not_access_are_pinned)
{
	with_rights(_metadata, self, 0, PKEY_DISABLE_ACCESS, 0);
}

TEST_F(words, that_the_caller_may_not_access_are_refused)
{
	with_rights(_metadata, self, PKEY_DISABLE_ACCESS, 0, -EFAULT);
}

#endif

/* At the same address it has memory of its own. */
TEST_F(words, are_the_callers_where_another_process_runs)
{
	long *page = self->page;
	struct cpu_op op = op_add(&page[1], 1, sizeof(long));
	long long end = now_usec();
	struct stats before;
	pid_t child;
	int i;

	if (self->other < 0)
		SKIP(return, ONE_CPU);
	allow_vectors_on_other(_metadata, self);
	page[1] = 100;
	child = start_spinning_child(self->other);
	ASSERT_LT(0, child);
	page[1] = 1;
	before = read_stats();
	for (i = 0; i < TRIES || is_to_be_met(&before, "foreign", end); i++)
		ASSERT_EQ(0, cpu_opv(&op, 1, self->other, 0));
	EXPECT_LT(0, counted_since(&before, "foreign"));
	EXPECT_EQ(1 + i, page[1]);
	kill(child, SIGKILL);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
}

/* Something would be done before a fault at the second. */
TEST_F(words, are_pinned_if_two_are_stored_to)
{
	struct cpu_op ops[] = {
		op_add(&self->page[1], 1, sizeof(long)),
		op_add(&self->page[2], 1, sizeof(long)),
	};
	unsigned long unpinned;

	EXPECT_EQ(0, run(ops, 2, self->cpu, &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(2, self->page[1]);
	EXPECT_EQ(3, self->page[2]);

	/* The second may not be stored to. */
	ASSERT_EQ(0, mprotect((char *)self->page + page_size(), page_size(),
			      PROT_READ));
	ops[1] = op_add((char *)self->page + page_size(), 1, sizeof(long));
	EXPECT_EQ(-EFAULT, run(ops, 2, self->cpu, &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(2, self->page[1]);
}

TEST_F(words, that_are_none_are_pinned)
{
	char *p = (char *)self->page;
	unsigned long unpinned;

	EXPECT_EQ(0, run_one(self, op_add(p + 1, 1, 2), &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(0, run_one(self, op_add(p + page_size() - 2, 1, 4),
			     &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(0, run_one(self, op_copy(p, p + 100, 3), &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(0, run_one(self, op_copy(p, p + 100, 0), &unpinned));
	EXPECT_EQ(0, unpinned);
}

TEST_F(words, that_are_not_there_are_pinned)
{
	long *p = self->page;
	unsigned long unpinned;

	ASSERT_EQ(0, madvise(p, page_size(), MADV_DONTNEED));
	EXPECT_EQ(0, run_one(self, op_add(p, 1, sizeof(long)), &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(1, *p);
	EXPECT_EQ(0, run_one(self, op_add(p, 1, sizeof(long)), &unpinned));
	EXPECT_EQ(1, unpinned);
	EXPECT_EQ(2, *p);
}

TEST_F(words, that_may_not_be_stored_to_are_refused)
{
	long *p = self->page;
	unsigned long unpinned;

	ASSERT_EQ(0, mprotect(p, page_size(), PROT_READ));
	EXPECT_EQ(-EFAULT, run_one(self, op_add(p + 1, 1, sizeof(long)),
				   &unpinned));
	EXPECT_EQ(0, run_one(self, op_eq(p + 1, p + 1, sizeof(long)),
			     &unpinned));
	EXPECT_EQ(1, unpinned);
	EXPECT_EQ(1, p[1]);
}

/* It may be a device's. */
TEST_F(words, of_a_file_are_pinned)
{
	int fd = syscall(__NR_memfd_create, "words", 0);
	unsigned long unpinned;
	long *p;

	if (fd < 0)
		SKIP(return, "needs memfd_create(2)");
	ASSERT_EQ(0, ftruncate(fd, page_size()));
	p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_TRUE((void *)p != MAP_FAILED);
	*p = 1;
	EXPECT_EQ(0, run_one(self, op_add(p, 1, sizeof(long)), &unpinned));
	EXPECT_EQ(0, unpinned);
	EXPECT_EQ(2, *p);
}

/* Also where mappings have no locks of their own, so all are locked. */
TEST(pages_that_are_there_are_not_faulted_in)
{
	long *page = map_pages(1);
	struct cpu_op ops[] = {
		op_add(&page[0], 1, sizeof(long)),
		op_add(&page[1], 1, sizeof(long)),
	};
	struct stats stats;
	int cpu;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (!read_stats().nr)
		SKIP(return, STATS_ABSENT);
	page[0] = 1;
	for_own_and_other_cpu(cpu) {
		stats = read_stats();
		EXPECT_EQ(0, cpu_opv(ops, 2, cpu, 0));
		stats = stats_since(&stats);
		EXPECT_EQ(0, stat_of(&stats, "faulted"));
		EXPECT_EQ(0, stat_of(&stats, "unpinned"));
	}
}

/* From its first page on, for as long as it takes to drop them all. */
static void *drop(void *arg)
{
	FIXTURE_DATA(words) *self = arg;

	pin_to(self->other);
	while (!self->stop) {
		memset(self->region, 1, REGION);
		madvise(self->region, REGION, MADV_DONTNEED);
	}
	return NULL;
}

/*
 * A CPU may still access a page that is being dropped, where others map a new
 * one already. While none is, loads are not pinned.
 */
TEST_F_TIMEOUT(words, are_those_that_were_stored_last, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long stale = 0, n = 0, unpinned;
	struct stats before = read_stats();
	long *p, found, other = 0;
	pthread_t thread;

	if (self->other < 0)
		SKIP(return, ONE_CPU);
	self->region = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE((void *)self->region != MAP_FAILED);
	madvise(self->region, REGION, MADV_NOHUGEPAGE);
	p = (long *)self->region;
	ASSERT_EQ(0, pthread_create(&thread, NULL, drop, self));
	while (now_usec() < end || n < 2 * MIN_STORES ||
	       is_to_be_met(&before, "unpinned", end)) {
		struct cpu_op stores[] = {
			op_copy(p, &n, sizeof(n)),
			op_copy(&other, &n, sizeof(n)),
		};
		struct cpu_op load = op_copy(&found, p, sizeof(found));

		n += 2;
		ASSERT_EQ(0, cpu_opv(stores, 2, self->cpu, 0));
		ASSERT_EQ(0, cpu_opv(&load, 1, self->cpu, 0));
		/* Or dropped, or what drop() stores. */
		stale += found && found != n && found != ONES;
	}
	self->stop = true;
	pthread_join(thread, NULL);
	unpinned = counted_since(&before, "unpinned");
	TH_LOG("%lu stores, %lu loads not pinned, %lu of another one", n / 2,
	       unpinned, stale);
	EXPECT_EQ(0, stale);
	EXPECT_LT(0, unpinned);
}

TEST_HARNESS_MAIN
