// SPDX-License-Identifier: GPL-2.0
/*
 * While cpu_opv(2) waits for one page it holds no other one: user space decides
 * how long that takes, and somebody else may need that page.
 *
 * The vector needs a page that is there, and then one that userfaultfd(2)
 * watches. Before that is served another thread looks at, or uses, the former.
 */
#include <pthread.h>
#include <signal.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "restore.h"
#include "stats.h"
#include "userfault.h"

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"
#define LARGEST_SIZE	(32L << 20)	/* of a huge page */
#define NR_WAITS	50		/* of one call */
#define OTHERS_USEC	1000000		/* for pins of others */

FIXTURE(pins)
{
	__u64 *page;		/* is there */
	__u64 *awaited;		/* is watched */
	__u64 *awaited_too;	/* and so is this one, which few tests need */
	void *content;		/* of what is served */
	int fd;			/* of userfaultfd */
	int cpu;
	struct cpu_op ops[4];	/* the first one in the page */
	int nr_ops;
	pthread_t caller;
	int ret;		/* of the call */
	__u64 seen;
};

FIXTURE_VARIANT(pins)
{
	bool other_cpu;
	bool loads;		/* of the page, or does it add to that? */
	bool may_fault;
};

FIXTURE_VARIANT_ADD(pins, add_on_own_cpu)
{
	.other_cpu = false,
};

FIXTURE_VARIANT_ADD(pins, add_on_other_cpu)
{
	.other_cpu = true,
};

FIXTURE_VARIANT_ADD(pins, add_that_may_fault)
{
	.may_fault = true,
};

FIXTURE_VARIANT_ADD(pins, load_on_own_cpu)
{
	.loads = true,
};

FIXTURE_VARIANT_ADD(pins, load_on_other_cpu)
{
	.other_cpu = true,
	.loads = true,
};

FIXTURE_SETUP(pins)
{
	self->fd = -1;
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->awaited = map_pages(2);
	self->content = map_pages(1);
	ASSERT_TRUE((void *)self->awaited != MAP_FAILED);
	ASSERT_TRUE(self->content != MAP_FAILED);
	memset(self->content, 0, page_size());
	self->awaited_too = self->awaited + page_size() / sizeof(__u64);
	self->fd = userfault_watch(self->awaited, 2,
				   UFFDIO_REGISTER_MODE_MISSING, 0);
	if (self->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
}

FIXTURE_TEARDOWN_PARENT(pins)
{
	wait_until_restored();
}

static void *call(void *arg)
{
	FIXTURE_DATA(pins) *self = arg;

	self->ret = cpu_opv(self->ops, self->nr_ops, self->cpu, 0);
	return NULL;
}

/* Returns once the call waits. */
static void begin(struct __test_metadata *_metadata, FIXTURE_DATA(pins) *self,
		  const FIXTURE_VARIANT(pins) *variant, int nr_ops)
{
	self->nr_ops = nr_ops;
	if (variant->loads) {
		self->ops[0] = op_copy(&self->seen, self->page,
				       sizeof(self->seen));
	} else {
		self->ops[0] = op_add(self->page, 1, sizeof(*self->page));
		self->ops[0].u.arithmetic_op.expect_fault_p =
			variant->may_fault;
	}
	self->ops[1] = op_add(self->awaited, 1, sizeof(*self->awaited));
	self->ops[2] = op_add(self->awaited_too, 1, sizeof(*self->awaited));
	ASSERT_EQ(0, pthread_create(&self->caller, NULL, call, self));
	ASSERT_EQ(0, userfault_await(self->fd, self->awaited));
}

static void finish(struct __test_metadata *_metadata, FIXTURE_DATA(pins) *self,
		   const FIXTURE_VARIANT(pins) *variant, __u64 found)
{
	ASSERT_EQ(0, userfault_copy(self->fd, self->awaited, self->content));
	ASSERT_EQ(0, pthread_join(self->caller, NULL));
	EXPECT_EQ(0, self->ret);
	EXPECT_EQ(1, *self->awaited);
	if (variant->loads)
		EXPECT_EQ(found, self->seen);
	EXPECT_EQ(found + !variant->loads, *self->page);
}

/* How many pages are pinned at the moment, or -1 if that is not told. */
static long nr_pins(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_RDONLY);
	long acquired, released;
	char text[32];

	/* Has what each CPU counts for itself summed up. */
	if (fd < 0 || read(fd, text, sizeof(text)) < 0)
		return -1;
	close(fd);
	acquired = number_in("/proc/vmstat", "nr_foll_pin_acquired ");
	released = number_in("/proc/vmstat", "nr_foll_pin_released ");
	return acquired < 0 ? -1 : acquired - released;
}

/* Whether no more are than before: others have some for a moment. */
static bool none_pinned_since(long before)
{
	long long end = now_usec() + OTHERS_USEC;

	while (nr_pins() > before) {
		if (now_usec() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* Nor while the call looks which operand is at fault: the last one is. */
static void find_fault(struct __test_metadata *_metadata,
		       FIXTURE_DATA(pins) *self,
		       const FIXTURE_VARIANT(pins) *variant)
{
	__u64 *forbidden = map_pages(1), found = *self->page;
	long before = nr_pins();

	ASSERT_TRUE((void *)forbidden != MAP_FAILED);
	ASSERT_EQ(0, mprotect(forbidden, page_size(), PROT_NONE));
	self->ops[3] = op_add(forbidden, 1, sizeof(*forbidden));
	ASSERT_EQ(0, madvise(self->awaited, page_size(), MADV_DONTNEED));
	begin(_metadata, self, variant, 4);
	ASSERT_EQ(0, userfault_copy(self->fd, self->awaited, self->content));
	ASSERT_EQ(0, userfault_await(self->fd, self->awaited_too));
	/* It comes to the last one, then looks at all once more. */
	ASSERT_EQ(0, madvise(self->awaited, page_size(), MADV_DONTNEED));
	ASSERT_EQ(0, userfault_copy(self->fd, self->awaited_too,
				    self->content));
	ASSERT_EQ(0, userfault_await(self->fd, self->awaited));
	EXPECT_TRUE(none_pinned_since(before));
	ASSERT_EQ(0, userfault_copy(self->fd, self->awaited, self->content));
	ASSERT_EQ(0, pthread_join(self->caller, NULL));
	EXPECT_EQ(-EFAULT, self->ret);
	EXPECT_EQ(found, *self->page);
	EXPECT_EQ(0, *self->awaited);
	EXPECT_TRUE(none_pinned_since(before));
}

/* What a load alone needs is not counted there. */
TEST_F(pins, none_is_held)
{
	struct stats stats = read_stats();
	long before = nr_pins();

	if (before < 0)
		SKIP(return, "needs root, and nr_foll_pin_* in /proc/vmstat");
	self->page = map_pages(1);
	ASSERT_TRUE((void *)self->page != MAP_FAILED);
	*self->page = 5;
	begin(_metadata, self, variant, 2);
	EXPECT_TRUE(none_pinned_since(before));
	finish(_metadata, self, variant, 5);
	EXPECT_TRUE(none_pinned_since(before));
	find_fault(_metadata, self, variant);
	/* Pages are only kept by a call that waits again and again. */
	EXPECT_EQ(0, counted_since(&stats, "kept"));
}

/*
 * Who serves one page drops the other before, so that the call has to wait
 * again, and again.
 */
TEST_F(pins, none_is_held_however_often_it_waits)
{
	long before = nr_pins();
	struct stats stats = read_stats();
	__u64 *served, *dropped;
	bool none = true;
	int n;

	if (before < 0)
		SKIP(return, "needs root, and nr_foll_pin_* in /proc/vmstat");
	self->page = map_pages(1);
	ASSERT_TRUE((void *)self->page != MAP_FAILED);
	*self->page = 5;
	begin(_metadata, self, variant, 3);
	for (n = 0; n < NR_WAITS && none; n++) {
		served = n % 2 ? self->awaited_too : self->awaited;
		dropped = n % 2 ? self->awaited : self->awaited_too;
		ASSERT_EQ(0, madvise(dropped, page_size(), MADV_DONTNEED));
		ASSERT_EQ(0, userfault_copy(self->fd, served, self->content));
		ASSERT_EQ(0, userfault_await(self->fd, dropped));
		none = none_pinned_since(before);
	}
	EXPECT_TRUE(none)
		TH_LOG("after it has waited %d times", n);
	dropped = n % 2 ? self->awaited_too : self->awaited;
	ASSERT_EQ(0, userfault_copy(self->fd, dropped, self->content));
	ASSERT_EQ(0, pthread_join(self->caller, NULL));
	EXPECT_EQ(0, self->ret);
	EXPECT_EQ(1, *self->awaited);
	EXPECT_EQ(1, *self->awaited_too);
	if (stats.nr)
		EXPECT_LT(0, counted_since(&stats, "kept"));
}

static long huge_page_size(void)
{
	return number_in("/proc/meminfo", "Hugepagesize:") * 1024;
}

/* Makes a pool of huge pages with one that is free. Returns what is missing. */
static const char *have_one_huge_page(struct __test_metadata *_metadata,
				      FIXTURE_DATA(pins) *self)
{
	static char text[32];
	static struct setting settings[] = {
		{ .path = NR_HUGEPAGES, .text = text }, {}
	};
	const char *meminfo = "/proc/meminfo";
	long used, free, size = huge_page_size();

	if (size <= 0 || size > LARGEST_SIZE)
		return "needs CONFIG_HUGETLBFS, and huge pages that are not too large";
	wait_until_restored();
	free = number_in(meminfo, "HugePages_Free:");
	if (free > 1)
		return "needs a pool of huge pages with one that is free at most";
	used = number_in(NR_HUGEPAGES, "") - free;
	snprintf(text, sizeof(text), "%ld", used + 1);
	if (change_settings(_metadata, settings) ||
	    number_in(meminfo, "HugePages_Free:") != 1 ||
	    number_in(meminfo, "HugePages_Rsvd:"))
		return "needs root, and one huge page that is free";
	self->page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			  MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	return self->page == MAP_FAILED ? "cannot map a huge page" : NULL;
}

/* Gives the only page of the pool back, to whoever needs it next. */
static void drop(struct __test_metadata *_metadata, FIXTURE_DATA(pins) *self)
{
	ASSERT_EQ(0, madvise(self->page, huge_page_size(), MADV_DONTNEED));
}

static void end_by_sigbus(int sig)
{
	static const char text[] = "# SIGBUS: the page is held\n";

	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(KSFT_FAIL);
	_exit(KSFT_FAIL);
}

/* A store has to get the page that was dropped, or else SIGBUS. */
TEST_F(pins, store_gets_huge_page)
{
	const char *missing = have_one_huge_page(_metadata, self);
	struct sigaction action = { .sa_handler = end_by_sigbus };

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, sigaction(SIGBUS, &action, NULL));
	*self->page = 5;
	begin(_metadata, self, variant, 2);
	drop(_metadata, self);
	*self->page = 6;
	finish(_metadata, self, variant, 6);
}

/* And so does the call. */
TEST_F(pins, call_gets_huge_page)
{
	const char *missing = have_one_huge_page(_metadata, self);

	if (missing)
		SKIP(return, "%s", missing);
	*self->page = 5;
	begin(_metadata, self, variant, 2);
	drop(_metadata, self);
	finish(_metadata, self, variant, 0);
}

TEST_HARNESS_MAIN
