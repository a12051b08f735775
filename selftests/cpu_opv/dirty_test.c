// SPDX-License-Identifier: GPL-2.0
/*
 * A page that cpu_opv(2) would have written, but did not, since the vector
 * stopped before or failed, is not dirty: it need not be written to the disk or
 * to swap space.
 *
 * In memory of a file that is in memory itself, a load alone makes the page
 * writable, and leaves it clean.
 */
#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define KPAGEFLAGS	"/proc/kpageflags"
#define KPF_DIRTY	4

FIXTURE(dirty)
{
	__u64 *page;		/* of zeros, clean */
	int cpu;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(dirty);

/* 1 or 0, or -1 if that is not told. */
static int is_dirty(const void *p)
{
	unsigned long long frame = frame_of(p);
	__u64 flags = 0;
	int fd, ret = -1;

	if (!frame)
		return -1;
	fd = open(KPAGEFLAGS, O_RDONLY);
	if (pread64(fd, &flags, sizeof(flags), frame * sizeof(flags)) ==
	    sizeof(flags))
		ret = flags >> KPF_DIRTY & 1;
	close(fd);
	return ret;
}

FIXTURE_SETUP(dirty)
{
	int fd;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	fd = syscall(__NR_memfd_create, "dirty", 0);
	if (fd < 0)
		SKIP(return, "needs memfd_create(2)");
	ASSERT_EQ(0, ftruncate(fd, page_size()));
	self->page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);
	ASSERT_TRUE((void *)self->page != MAP_FAILED);
	close(fd);
	if (*self->page || is_dirty(self->page) < 0)
		SKIP(return, "needs root and CONFIG_PROC_PAGE_MONITOR");
	if (is_dirty(self->page))
		SKIP(return, "a load makes the page dirty");
}

FIXTURE_TEARDOWN(dirty)
{
}

TEST_F(dirty, when_stored_to)
{
	struct cpu_op add = op_add(self->page, 1, sizeof(*self->page));

	EXPECT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	EXPECT_EQ(1, is_dirty(self->page));
}

TEST_F(dirty, not_when_loaded)
{
	__u64 seen = 1;
	struct cpu_op load = op_copy(&seen, self->page, sizeof(seen));

	EXPECT_EQ(0, cpu_opv(&load, 1, self->cpu, 0));
	EXPECT_EQ(0, seen);
	EXPECT_EQ(0, is_dirty(self->page));
}

TEST_F(dirty, not_when_stopped)
{
	__u64 one = 1;
	struct cpu_op ops[] = {
		op_eq(self->page, &one, sizeof(one)),
		op_add(self->page, 1, sizeof(*self->page)),
	};

	EXPECT_EQ(1, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(0, is_dirty(self->page));
}

TEST_F(dirty, when_stopped_after)
{
	__u64 zero = 0;
	struct cpu_op ops[] = {
		op_add(self->page, 1, sizeof(*self->page)),
		op_eq(self->page, &zero, sizeof(zero)),
	};

	EXPECT_EQ(2, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(1, is_dirty(self->page));
}

TEST_F(dirty, not_when_failed)
{
	struct cpu_op ops[] = {
		op_add(self->page, 1, sizeof(*self->page)),
		op_copy(NULL, self->page, sizeof(*self->page)),
	};

#ifdef __arm__
	/* No LPAE, no huge pages, no GUP-fast: whoever looks marks the page. */
	if (access("/sys/kernel/mm/hugepages", F_OK))
		SKIP(return, "page tables without LPAE");
#endif
	EXPECT_EQ(-EFAULT, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(0, is_dirty(self->page));
	ops[1].u.memcpy_op.expect_fault_dst = 1;
	EXPECT_EQ(-EAGAIN, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(0, is_dirty(self->page));
}

TEST_HARNESS_MAIN
