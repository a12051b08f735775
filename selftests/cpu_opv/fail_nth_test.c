// SPDX-License-Identifier: GPL-2.0
/*
 * Each allocation that a call makes fails once: then nothing is done and the
 * error is ENOMEM, or the call finds another way. The next call is as ever.
 *
 * Needs root, debugfs and fault injection: CONFIG_FAILSLAB,
 * CONFIG_FAIL_PAGE_ALLOC and CONFIG_FAULT_INJECTION_DEBUG_FS. Changes which
 * allocations of the machine can be made to fail, until it ends.
 */
#include <stdio.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "restore.h"

#define MAX_NTH		200	/* far more than a call allocates */
#define DEBUGFS		"/sys/kernel/debug/"

/*
 * By default allocations that may wait do not fail, nor single pages; and each
 * failure is told on the console with a trace.
 */
static struct setting all_fail[] = {
	{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
	{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ DEBUGFS "fail_page_alloc/min-order", "0" },
	{ DEBUGFS "failslab/verbose", "0" },
	{ DEBUGFS "fail_page_alloc/verbose", "0" },
	{},
};

FIXTURE(fail_nth)
{
	int fd;			/* of fail-nth */
	int cpu;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(fail_nth);

FIXTURE_SETUP(fail_nth)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (self->fd < 0 || change_settings(_metadata, all_fail))
		SKIP(return, "needs fault injection, debugfs and root");
}

FIXTURE_TEARDOWN_PARENT(fail_nth)
{
	wait_until_restored();
}

/* Has the nth allocation from here on fail; 0 has none fail. */
static void fail(int fd, int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);

	if (pwrite(fd, text, len, 0) != len)
		abort();
}

/* Whether it has failed by now. */
static bool has_failed(int fd)
{
	char c;

	return pread(fd, &c, 1, 0) == 1 && c == '0';
}

static void each_fails(struct __test_metadata *_metadata,
		       FIXTURE_DATA(fail_nth) *self, bool buffer)
{
	int nr = buffer ? 3 : 2;
	int nth, ret, errors = 0;
	bool failed = true;

	for (nth = 1; failed && nth < MAX_NTH; nth++) {
		char *pages = map_pages(2);
		char *end = pages + page_size();
		__u64 *dst = (__u64 *)end + 1, src = nth;
		struct cpu_op ops[] = {
			op_copy(pages, &src, sizeof(src)),
			op_copy(dst, &src, sizeof(src)),
			/* Overlaps across two pages, and so needs a buffer. */
			op_copy(end - 20, end - 40, 24),
		};

		ASSERT_TRUE(pages != MAP_FAILED);
		if (buffer)
			memset(pages, 0, 2 * page_size());
		fail(self->fd, nth);
		ret = cpu_opv(ops, nr, self->cpu, 0);
		failed = has_failed(self->fd);
		fail(self->fd, 0);

		if (ret) {
			EXPECT_EQ(-ENOMEM, ret);
			EXPECT_TRUE(failed);
			EXPECT_EQ(0, *(__u64 *)pages);
			EXPECT_EQ(0, *dst);
			EXPECT_EQ(0, cpu_opv(ops, nr, self->cpu, 0));
			errors++;
		}
		EXPECT_EQ(nth, *(__u64 *)pages);
		EXPECT_EQ(nth, *dst);
		munmap(pages, 2 * page_size());
	}
	EXPECT_FALSE(failed);
	EXPECT_LT(0, errors);
	TH_LOG_OPERATIONS(nth - 1 + errors);
}

TEST_F(fail_nth, done_or_enomem)
{
	each_fails(_metadata, self, false);
}

/* All pages are there: but for the buffer the call needs nothing. */
TEST_F(fail_nth, buffer_or_enomem)
{
	each_fails(_metadata, self, true);
}

TEST_HARNESS_MAIN
