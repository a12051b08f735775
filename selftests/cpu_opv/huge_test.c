// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) on huge pages: transparent ones and those of hugetlbfs.
 *
 * Needs root for the latter, of which the machine has two more until it ends.
 */
#include <stdio.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "restore.h"

#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"
#define THP_SIZE	"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

FIXTURE(huge)
{
	size_t size;		/* of a huge page */
	unsigned char *pages;	/* two of them, never touched */
	int cpu;
};

FIXTURE_VARIANT(huge)
{
	bool hugetlb;
	const char *config;
};

FIXTURE_VARIANT_ADD(huge, transparent)
{
	.hugetlb = false,
	.config = "CONFIG_TRANSPARENT_HUGEPAGE",
};

FIXTURE_VARIANT_ADD(huge, hugetlb)
{
	.hugetlb = true,
	.config = "CONFIG_HUGETLBFS",
};

/* Two more than there are. They may be there even if this cannot be done. */
static void reserve(struct __test_metadata *_metadata)
{
	static struct setting settings[] = { { .path = NR_HUGEPAGES }, {} };
	char text[32];

	wait_until_restored();
	snprintf(text, sizeof(text), "%ld", number_in(NR_HUGEPAGES, "") + 2);
	settings[0].text = text;
	change_settings(_metadata, settings);
}

static void *map_hugetlb(size_t size)
{
	return mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
}

/* Aligned: a huge page needs it. */
static void *map_transparent(size_t size)
{
	char *p = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return p;
	p += -(uintptr_t)p % size;
	return madvise(p, 2 * size, MADV_HUGEPAGE) ? MAP_FAILED : p;
}

/* What a small machine has room for. */
#define LARGEST_SIZE	(32L << 20)

FIXTURE_SETUP(huge)
{
	long size;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(nr_cpus() > 1);
	ASSERT_LE(0, self->cpu);
	size = variant->hugetlb ?
		number_in("/proc/meminfo", "Hugepagesize:") * 1024 :
		number_in(THP_SIZE, "");
	if (size <= 0)
		SKIP(return, "needs %s, and a CPU with huge pages",
		     variant->config);
	if (size > LARGEST_SIZE)
		SKIP(return, "huge pages of %ld MiB are too large", size >> 20);
	self->size = size;
	if (variant->hugetlb) {
		reserve(_metadata);
		self->pages = map_hugetlb(size);
	} else {
		self->pages = map_transparent(size);
	}
	if (self->pages == MAP_FAILED)
		SKIP(return, "needs 2 huge pages of %ld KiB", size >> 10);
}

FIXTURE_TEARDOWN_PARENT(huge)
{
	wait_until_restored();
}

/* Whether the kernel backed the touched pages with huge ones. */
static bool backed(FIXTURE_DATA(huge) *self)
{
	long before = number_in("/proc/self/smaps_rollup", "AnonHugePages:");

	memset(self->pages, 0, 2 * self->size);
	return number_in("/proc/self/smaps_rollup", "AnonHugePages:") > before;
}

/* Moves content from one place to another, past the boundary at each. */
static void works_at(struct __test_metadata *_metadata,
		     FIXTURE_DATA(huge) *self, size_t dst_at, size_t src_at)
{
	const size_t len = 1000;
	unsigned char *dst = self->pages + dst_at - len / 2;
	unsigned char *src = self->pages + src_at - len / 2;
	__u64 *sum = (void *)(self->pages + dst_at + 2048);
	__u64 from = *sum;
	struct cpu_op ops[] = {
		op_copy(dst, src, len),
		op_eq(dst, src, len),
		op_add(sum, 3, sizeof(*sum)),
	};

	fill(src, len, dst_at);
	EXPECT_EQ(0, cpu_opv(ops, 3, self->cpu, 0));
	EXPECT_EQ(0, memcmp(dst, src, len));
	EXPECT_EQ(from + 3, *sum);
}

TEST_F(huge, inside_and_across)
{
	size_t page = page_size();

	if (!variant->hugetlb && !backed(self))
		SKIP(return, "the kernel gave no huge pages");
	works_at(_metadata, self, page, 5 * page);
	works_at(_metadata, self, self->size - page, self->size);
	works_at(_metadata, self, self->size, self->size + page);
}

/* Of which a read alone may map the huge zero page. */
TEST_F(huge, never_touched)
{
	unsigned char *p = self->pages + self->size - 4;
	__u64 seen = 1, value;
	struct cpu_op read = op_copy(&seen, p, 8);
	struct cpu_op ops[] = {
		op_copy(&seen, p, 8),
		op_add(p, 0x0102030405060708, 8),
		op_copy(&value, p, 8),
	};

	EXPECT_EQ(0, cpu_opv(&read, 1, self->cpu, 0));
	EXPECT_EQ(0, seen);
	seen = 1;
	EXPECT_EQ(0, cpu_opv(ops, 3, self->cpu, 0));
	EXPECT_EQ(0, seen);
	EXPECT_EQ(0x0102030405060708, value);
	EXPECT_EQ(0, memcmp(p, &value, 8));
}

TEST_HARNESS_MAIN
