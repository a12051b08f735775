// SPDX-License-Identifier: GPL-2.0
/*
 * Who keeps track of which pages a program uses, for a snapshot or to migrate
 * it, finds what cpu_opv(2) did as if the program itself had loaded or stored:
 * soft-dirty pages, and userfaultfd(2) in its modes that only take notes.
 *
 * Needs root for the latter.
 */
#include "kselftest_harness.h"
#include "increments.h"
#include "userfault.h"

FIXTURE(tracking)
{
	__u64 *used;		/* pages */
	__u64 *unused;
	int fd;			/* of userfaultfd */
	int pagemap;
	int cpu;
};

FIXTURE_VARIANT(tracking)
{
	__u64 category;		/* PAGE_IS_*: what is noted */
	__u64 mode, features;	/* of userfaultfd */
	bool loads;		/* are noted, too */
	/* Forgets what was noted of the page; 0 or -errno. */
	int (*forget)(int fd, const void *page, bool is_on);
};

static int forget_soft_dirty(int fd, const void *page, bool is_on)
{
	return write_file("/proc/self/clear_refs", "4");
}

FIXTURE_VARIANT_ADD(tracking, soft_dirty)
{
	.category = PAGE_IS_SOFT_DIRTY,
	.forget = forget_soft_dirty,
};

FIXTURE_VARIANT_ADD(tracking, written)
{
	.category = PAGE_IS_WRITTEN,
	.mode = UFFDIO_REGISTER_MODE_WP,
	.features = UFFD_FEATURE_WP_ASYNC,
	.forget = userfault_write_protect,
};

FIXTURE_VARIANT_ADD(tracking, accessed)
{
	.category = PAGE_IS_ACCESSED,
	.mode = UFFDIO_REGISTER_MODE_RWP,
	.features = UFFD_FEATURE_RWP | UFFD_FEATURE_RWP_ASYNC,
	.loads = true,
	.forget = userfault_protect,
};

/* 1 or 0, or -errno. */
static int is_noted(FIXTURE_DATA(tracking) *self,
		    const FIXTURE_VARIANT(tracking) *variant, const void *page)
{
	return page_is(self->pagemap, page, variant->category);
}

static void forget(struct __test_metadata *_metadata,
		   FIXTURE_DATA(tracking) *self,
		   const FIXTURE_VARIANT(tracking) *variant)
{
	ASSERT_EQ(0, variant->forget(self->fd, self->used, true));
	ASSERT_EQ(0, variant->forget(self->fd, self->unused, true));
	ASSERT_EQ(0, is_noted(self, variant, self->used));
	ASSERT_EQ(0, is_noted(self, variant, self->unused));
}

FIXTURE_SETUP(tracking)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(nr_cpus() > 1);
	ASSERT_LE(0, self->cpu);
	self->used = map_pages(2);
	ASSERT_TRUE(self->used != MAP_FAILED);
	self->unused = self->used + page_size() / sizeof(*self->used);
	self->fd = -1;
	self->pagemap = open("/proc/self/pagemap", O_RDONLY);
	if (variant->mode)
		self->fd = userfault_watch(self->used, 2, variant->mode,
					   variant->features);
	if (variant->mode && self->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
	*self->used = 1;
	*self->unused = 1;
	if (is_noted(self, variant, self->used) != 1)
		SKIP(return, "needs PAGEMAP_SCAN, and CONFIG_MEM_SOFT_DIRTY");
	/* Without the option, PowerPC has the bit set and does not clear it. */
	if (variant->category == PAGE_IS_SOFT_DIRTY &&
	    (forget_soft_dirty(-1, NULL, true) ||
	     is_noted(self, variant, self->used)))
		SKIP(return, "needs CONFIG_MEM_SOFT_DIRTY");
}

FIXTURE_TEARDOWN(tracking)
{
	close(self->fd);
	close(self->pagemap);
}

TEST_F(tracking, load)
{
	__u64 seen = 0;
	struct cpu_op op = op_copy(&seen, self->used, sizeof(seen));

	forget(_metadata, self, variant);
	EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
	EXPECT_EQ(1, seen);
	EXPECT_EQ(variant->loads, is_noted(self, variant, self->used));
	EXPECT_EQ(0, is_noted(self, variant, self->unused));
}

/* Each time anew, also where the page was written to before. */
TEST_F(tracking, store)
{
	struct cpu_op op = op_add(self->used, 1, sizeof(*self->used));
	int i;

	for (i = 0; i < 10; i++) {
		forget(_metadata, self, variant);
		EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
		EXPECT_EQ(1, is_noted(self, variant, self->used));
		EXPECT_EQ(0, is_noted(self, variant, self->unused));
	}
	EXPECT_EQ(11, *self->used);
}

TEST_F(tracking, store_without_load)
{
	__u64 value = 5;
	struct cpu_op op = op_copy_release(self->used, &value, sizeof(value));

	forget(_metadata, self, variant);
	EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
	EXPECT_EQ(1, is_noted(self, variant, self->used));
	EXPECT_EQ(5, *self->used);
}

TEST_HARNESS_MAIN
