// SPDX-License-Identifier: GPL-2.0
/*
 * Operands of cpu_opv(2) that overlap behave as with memmove(3): in virtual
 * addresses, and in physical ones when the same pages are mapped more than
 * once.
 *
 * A file of two pages is mapped in two windows of three pages each. A variant
 * says which page of the file each page of a window shows. Every copy goes
 * from one window to the other, with a model of the file telling the outcome.
 */
#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define FILE_PAGES	2
#define WINDOW_PAGES	3

static const __u32 lengths[] = { 1, 3, 8, 64, 1000, 4095, 4096 };

/* Where operands start, relative to the boundary of the first two pages. */
static const int starts[] = {
	0, 1, 8, 1000, -1, -4, -13, -1024, -2048, -4095,
};

FIXTURE(overlap)
{
	size_t page;
	unsigned char *file;	/* plain mapping of the whole file */
	unsigned char *dst;	/* windows */
	unsigned char *src;
	unsigned char *model;	/* of the file */
};

FIXTURE_VARIANT(overlap)
{
	int dst[WINDOW_PAGES];
	int src[WINDOW_PAGES];
	bool one_window;	/* src is dst: virtual addresses overlap too */
};

FIXTURE_VARIANT_ADD(overlap, virtual)
{
	.dst = { 0, 1, 0 },
	.src = { 0, 1, 0 },
	.one_window = true,
};

FIXTURE_VARIANT_ADD(overlap, alias)
{
	.dst = { 0, 1, 0 },
	.src = { 0, 1, 0 },
};

FIXTURE_VARIANT_ADD(overlap, swapped)
{
	.dst = { 0, 1, 0 },
	.src = { 1, 0, 1 },
};

/* One page at consecutive addresses: its end goes on at its start. */
FIXTURE_VARIANT_ADD(overlap, magic_ring)
{
	.dst = { 0, 0, 0 },
	.src = { 0, 0, 0 },
};

FIXTURE_VARIANT_ADD(overlap, magic_ring_one_window)
{
	.dst = { 0, 0, 0 },
	.src = { 0, 0, 0 },
	.one_window = true,
};

FIXTURE_VARIANT_ADD(overlap, ring_from_plain)
{
	.dst = { 0, 0, 0 },
	.src = { 0, 1, 0 },
};

FIXTURE_VARIANT_ADD(overlap, ring_to_plain)
{
	.dst = { 1, 0, 1 },
	.src = { 1, 1, 1 },
};

static unsigned char *map_window(int fd, size_t page, const int *shown)
{
	unsigned char *window = map_pages(WINDOW_PAGES);
	int n;

	for (n = 0; n < WINDOW_PAGES && window != MAP_FAILED; n++) {
		if (mmap(window + n * page, page, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd,
			 shown[n] * page) == MAP_FAILED)
			return MAP_FAILED;
	}
	return window;
}

FIXTURE_SETUP(overlap)
{
	size_t page = page_size();
	int fd;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	fd = syscall(__NR_memfd_create, "overlap", 0);
	if (fd < 0)
		SKIP(return, "needs memfd_create(2)");
	ASSERT_EQ(0, ftruncate(fd, FILE_PAGES * page));
	self->page = page;
	self->file = mmap(NULL, FILE_PAGES * page, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);
	ASSERT_TRUE(self->file != MAP_FAILED);
	self->dst = map_window(fd, page, variant->dst);
	ASSERT_TRUE(self->dst != MAP_FAILED);
	self->src = variant->one_window ? self->dst :
			map_window(fd, page, variant->src);
	ASSERT_TRUE(self->src != MAP_FAILED);
	self->model = map_pages(FILE_PAGES);
	ASSERT_TRUE(self->model != MAP_FAILED);
	ASSERT_LE(0, aim(false));
}

FIXTURE_TEARDOWN(overlap)
{
}

/* The byte of the model that a window shows at an offset. */
static unsigned char *modelled(FIXTURE_DATA(overlap) *self, const int *shown,
			       size_t offset)
{
	return self->model + shown[offset / self->page] * self->page +
	       offset % self->page;
}

/* memmove() in the model: all of the source is read before any is written. */
static void model_move(FIXTURE_DATA(overlap) *self,
		       const FIXTURE_VARIANT(overlap) *variant,
		       size_t dst, size_t src, __u32 len)
{
	unsigned char held[CPU_OP_DATA_LEN_MAX];
	__u32 i;

	for (i = 0; i < len; i++)
		held[i] = *modelled(self, variant->src, src + i);
	for (i = 0; i < len; i++)
		*modelled(self, variant->dst, dst + i) = held[i];
}

/* Near both ends of a page: operands are nowhere else, however large it is. */
#define NEAR	8192

static bool as_modelled(FIXTURE_DATA(overlap) *self)
{
	size_t near = self->page < NEAR ? self->page : NEAR;
	size_t at, end;

	for (at = 0; at < FILE_PAGES * self->page; at += self->page) {
		end = at + self->page - near;
		if (memcmp(self->file + at, self->model + at, near) ||
		    memcmp(self->file + end, self->model + end, near))
			return false;
	}
	return true;
}

static void moves_everywhere(struct __test_metadata *_metadata,
			     FIXTURE_DATA(overlap) *self,
			     const FIXTURE_VARIANT(overlap) *variant, int type,
			     int cpu)
{
	const size_t size = FILE_PAGES * self->page;
	size_t d, s, l;

	fill(self->file, size, type);
	memcpy(self->model, self->file, size);
	for (l = 0; l < ARRAY_SIZE(lengths); l++) {
		for (d = 0; d < ARRAY_SIZE(starts); d++) {
			for (s = 0; s < ARRAY_SIZE(starts); s++) {
				size_t dst = self->page + starts[d];
				size_t src = self->page + starts[s];
				struct cpu_op op = op_memcpy(type,
							     self->dst + dst,
							     self->src + src,
							     lengths[l]);

				model_move(self, variant, dst, src, lengths[l]);
				ASSERT_EQ(0, cpu_opv(&op, 1, cpu, 0));
				ASSERT_TRUE(as_modelled(self))
					TH_LOG("dst %+d src %+d len %u",
					       starts[d], starts[s], lengths[l]);
			}
		}
		ASSERT_EQ(0, memcmp(self->file, self->model, size));
		/* Copies level the content: renew it. */
		fill(self->file, size, type + l);
		memcpy(self->model, self->file, size);
	}
}

TEST_F(overlap, memcpy)
{
	int cpu;

	for_own_and_other_cpu(cpu)
		moves_everywhere(_metadata, self, variant, CPU_MEMCPY_OP, cpu);
}

TEST_F(overlap, memcpy_release)
{
	int cpu;

	for_own_and_other_cpu(cpu)
		moves_everywhere(_metadata, self, variant,
				 CPU_MEMCPY_RELEASE_OP, cpu);
}

/* Inside one vector, a store through one window is seen through the other. */
static void store_then_load(struct __test_metadata *_metadata,
			    FIXTURE_DATA(overlap) *self,
			    const FIXTURE_VARIANT(overlap) *variant, int cpu)
{
	const size_t size = FILE_PAGES * self->page, dst = self->page - 4;
	unsigned char stored[8], seen[8], expected[8];
	size_t src, i;

	fill(stored, sizeof(stored), 1);
	for (src = dst - 8; src <= dst + 8; src++) {
		struct cpu_op ops[] = {
			op_copy(self->dst + dst, stored, sizeof(stored)),
			op_copy(seen, self->src + src, sizeof(seen)),
			op_eq(seen, self->src + src, sizeof(seen)),
		};

		memset(self->file, 0, size);
		memset(self->model, 0, size);
		for (i = 0; i < sizeof(stored); i++)
			*modelled(self, variant->dst, dst + i) = stored[i];
		for (i = 0; i < sizeof(expected); i++)
			expected[i] = *modelled(self, variant->src, src + i);

		ASSERT_EQ(0, cpu_opv(ops, 3, cpu, 0))
			TH_LOG("dst %zu src %zu", dst, src);
		ASSERT_EQ(0, memcmp(seen, expected, sizeof(seen)))
			TH_LOG("dst %zu src %zu", dst, src);
	}
}

TEST_F(overlap, store_then_load)
{
	int cpu;

	for_own_and_other_cpu(cpu)
		store_then_load(_metadata, self, variant, cpu);
}

TEST_HARNESS_MAIN
