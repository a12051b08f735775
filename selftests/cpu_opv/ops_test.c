// SPDX-License-Identifier: GPL-2.0
/*
 * What the operations of cpu_opv(2) do: each with every class of length and
 * alignment, on the caller's CPU and on another; and what a vector of them
 * does when a comparison stops it.
 */
#include <limits.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define MARGIN	16	/* bytes around an operand that must stay as they are */
#define FILLER	0xee

static const __u32 lengths[] = {
	0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 255, 1000,
	4095, 4096,
};

/* Where operands start, relative to a page boundary. */
static const int starts[] = {
	0, 1, 2, 4, 8, -1, -2, -3, -4, -8, -2047, -2048,
};

FIXTURE(ops)
{
	unsigned char *a;	/* page boundaries, with room on both sides */
	unsigned char *b;
	unsigned char expected[CPU_OP_DATA_LEN_MAX];
	int cpu;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(ops);

FIXTURE_SETUP(ops)
{
	size_t page = page_size();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->a = map_pages(3);
	ASSERT_TRUE(self->a != MAP_FAILED);
	self->a += page;
	self->b = map_pages(3);
	ASSERT_TRUE(self->b != MAP_FAILED);
	self->b += page;
}

FIXTURE_TEARDOWN(ops)
{
}

static bool margins_intact(const unsigned char *p, size_t len)
{
	static const unsigned char filler[MARGIN] = {
		[0 ... MARGIN - 1] = FILLER,
	};

	return !memcmp(p - MARGIN, filler, MARGIN) &&
	       !memcmp(p + len, filler, MARGIN);
}

static void put_margins(unsigned char *p, size_t len)
{
	memset(p - MARGIN, FILLER, MARGIN);
	memset(p + len, FILLER, MARGIN);
}

static void copies(struct __test_metadata *_metadata, FIXTURE_DATA(ops) *self,
		   int type, int dst_start, int src_start, __u32 len)
{
	unsigned char *dst = self->a + dst_start, *src = self->b + src_start;
	struct cpu_op op = op_memcpy(type, dst, src, len);

	put_margins(dst, len);
	memset(dst, 0, len);
	fill(src, len, dst_start + src_start + len + type);
	memcpy(self->expected, src, len);

	ASSERT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
	ASSERT_EQ(0, memcmp(dst, self->expected, len))
		TH_LOG("op %d dst %+d src %+d len %u", type, dst_start,
		       src_start, len);
	ASSERT_EQ(0, memcmp(src, self->expected, len))
		TH_LOG("op %d dst %+d src %+d len %u", type, dst_start,
		       src_start, len);
	ASSERT_TRUE(margins_intact(dst, len))
		TH_LOG("op %d dst %+d src %+d len %u", type, dst_start,
		       src_start, len);
}

static void copies_everywhere(struct __test_metadata *_metadata,
			      FIXTURE_DATA(ops) *self, int type)
{
	size_t d, s, l;

	for (l = 0; l < ARRAY_SIZE(lengths); l++) {
		for (d = 0; d < ARRAY_SIZE(starts); d++) {
			for (s = 0; s < ARRAY_SIZE(starts); s++)
				copies(_metadata, self, type, starts[d],
				       starts[s], lengths[l]);
		}
	}
}

TEST_F(ops, memcpy)
{
	copies_everywhere(_metadata, self, CPU_MEMCPY_OP);
}

TEST_F(ops, memcpy_release)
{
	copies_everywhere(_metadata, self, CPU_MEMCPY_RELEASE_OP);
}

/*
 * Both operands in two pages, parted at other places: whatever the size of a
 * page is, and whatever the tables above hold.
 */
TEST_F(ops, memcpy_crosses_page)
{
	static const int lens[] = { 2, 3, 4, 8, 1000, 4096 - MARGIN };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		copies(_metadata, self, CPU_MEMCPY_OP, -1, 1 - lens[i], lens[i]);
		copies(_metadata, self, CPU_MEMCPY_OP, 1 - lens[i], -1, lens[i]);
		copies(_metadata, self, CPU_MEMCPY_RELEASE_OP, -lens[i] / 2,
		       -1, lens[i]);
	}
}

/* Asserts that the two operands compare as equal, or as different. */
static void compares(struct __test_metadata *_metadata,
		     FIXTURE_DATA(ops) *self, int a_start, int b_start,
		     __u32 len, bool equal)
{
	unsigned char *a = self->a + a_start, *b = self->b + b_start;
	struct cpu_op eq = op_eq(a, b, len), ne = op_ne(a, b, len);

	ASSERT_EQ(equal ? 0 : 1, cpu_opv(&eq, 1, self->cpu, 0))
		TH_LOG("eq: a %+d b %+d len %u", a_start, b_start, len);
	ASSERT_EQ(equal ? 1 : 0, cpu_opv(&ne, 1, self->cpu, 0))
		TH_LOG("ne: a %+d b %+d len %u", a_start, b_start, len);
}

TEST_F(ops, compare)
{
	size_t i, j, k, l;

	for (l = 0; l < ARRAY_SIZE(lengths); l++) {
		__u32 len = lengths[l];
		__u32 where[] = { 0, len / 2, len - 1 };

		for (i = 0; i < ARRAY_SIZE(starts); i++) {
			unsigned char *a = self->a + starts[i];
			/* Each start meets each other once as l goes on. */
			unsigned char *b;

			j = (i + l) % ARRAY_SIZE(starts);
			b = self->b + starts[j];
			fill(a, len, l + i);
			memcpy(b, a, len);
			/* What is around the operands does not count. */
			a[-1] = 1;
			a[len] = 1;
			b[-1] = 2;
			b[len] = 2;
			compares(_metadata, self, starts[i], starts[j], len,
				 true);
			for (k = 0; len && k < ARRAY_SIZE(where); k++) {
				b[where[k]] ^= 0x80;
				compares(_metadata, self, starts[i], starts[j],
					 len, false);
				b[where[k]] ^= 0x80;
			}
		}
	}
}

/* The difference is in either page, or there is none. */
TEST_F(ops, compare_crosses_page)
{
	static const __u32 lens[] = { 2, 3, 4, 8, 1000, 4096 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		int a_start = -1, b_start = 1 - (int)lens[i];
		unsigned char *a = self->a + a_start, *b = self->b + b_start;
		__u32 last = lens[i] - 1;

		fill(a, lens[i], i);
		memcpy(b, a, lens[i]);
		compares(_metadata, self, a_start, b_start, lens[i], true);
		b[0] ^= 1;
		compares(_metadata, self, a_start, b_start, lens[i], false);
		b[0] ^= 1;
		b[last] ^= 1;
		compares(_metadata, self, a_start, b_start, lens[i], false);
	}
}

static void adds(struct __test_metadata *_metadata, FIXTURE_DATA(ops) *self,
		 int type, int start, __u32 len, __u64 value, __s64 count)
{
	unsigned char *p = self->a + start;
	struct cpu_op op = op_arithmetic(type, p, count, len);
	__u64 sum = (value + count) & (UINT64_MAX >> (64 - 8 * len));

	put_margins(p, len);
	put_integer(p, value, len);
	ASSERT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
	ASSERT_EQ(sum, get_integer(p, len))
		TH_LOG("op %d start %+d len %u: %#llx + %lld", type, start, len,
		       (unsigned long long)value, (long long)count);
	ASSERT_TRUE(margins_intact(p, len))
		TH_LOG("op %d start %+d len %u", type, start, len);
}

static void adds_everywhere(struct __test_metadata *_metadata,
			    FIXTURE_DATA(ops) *self, int type)
{
	static const struct {
		__u64 value;
		__s64 count;
	} cases[] = {
		{ 0, 0 },
		{ 0, 1 },
		{ 0, -1 },
		{ 1, -1 },
		{ 0x7f, 1 },			/* carries, signs, wraps: */
		{ 0xff, 1 },			/* 1 byte, */
		{ 0x7fff, 1 },
		{ 0xffff, 1 },			/* 2, */
		{ 0x7fffffff, 1 },
		{ 0xffffffff, 1 },		/* 4, */
		{ INT64_MAX, 1 },
		{ UINT64_MAX, 1 },		/* 8; */
		{ UINT64_MAX, -1 },
		{ UINT64_MAX, INT64_MIN },
		{ 1, INT64_MAX },
		{ 5, 0x0101010101010100 },	/* truncated to len */
		{ 0x0123456789abcdef, 0x1122334455667788 },
		{ 0x0123456789abcdef, -0x1122334455667788 },
	};
	size_t c, s;
	__u32 len;

	for (c = 0; c < ARRAY_SIZE(cases); c++) {
		for (s = 0; s < ARRAY_SIZE(starts); s++) {
			for (len = 1; len <= 8; len *= 2)
				adds(_metadata, self, type, starts[s], len,
				     cases[c].value, cases[c].count);
		}
	}
}

TEST_F(ops, add)
{
	adds_everywhere(_metadata, self, CPU_ADD_OP);
}

TEST_F(ops, add_release)
{
	adds_everywhere(_metadata, self, CPU_ADD_RELEASE_OP);
}

/* Every byte carries into the next one, and so into the other page. */
TEST_F(ops, add_crosses_page)
{
	__u32 len;
	int start;

	for (len = 2; len <= 8; len *= 2) {
		for (start = 1 - (int)len; start < 0; start++) {
			adds(_metadata, self, CPU_ADD_OP, start, len,
			     UINT64_MAX, 1);
			adds(_metadata, self, CPU_ADD_OP, start, len, 0, -1);
			adds(_metadata, self, CPU_ADD_RELEASE_OP, start, len,
			     0x0123456789abcdef, 0x1122334455667788);
		}
	}
}

/* Which a 32-bit kernel adds to by halves: the lower carries into the upper. */
TEST_F(ops, add_8_bytes)
{
	static const int at[] = { 0, 8, -8, 1, 4 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(at); i++) {
		adds(_metadata, self, CPU_ADD_OP, at[i], 8, UINT32_MAX, 1);
		adds(_metadata, self, CPU_ADD_OP, at[i], 8, 1ULL << 32, -1);
		adds(_metadata, self, CPU_ADD_OP, at[i], 8, 1, 1LL << 32);
		adds(_metadata, self, CPU_ADD_RELEASE_OP, at[i], 8,
		     UINT32_MAX, UINT32_MAX);
	}
}

/* Each operation sees what the ones before it did. */
TEST_F(ops, in_order)
{
	unsigned char *a = self->a, *b = self->b;
	__u64 *sum = (void *)(a + 64), *expected = (void *)(b + 64);
	struct cpu_op relay[] = {
		op_copy(a, b, 8),
		op_copy(a + 8, a, 8),
		op_copy_release(b + 8, a + 8, 8),
		op_eq(b, b + 8, 8),
	};
	struct cpu_op tally[] = {
		op_add(sum, 40, 8),
		op_ne(sum, expected, 8),
		op_arithmetic(CPU_ADD_RELEASE_OP, sum, 2, 8),
		op_eq(sum, expected, 8),
	};

	fill(b, 8, 1);
	EXPECT_EQ(0, cpu_opv(relay, 4, self->cpu, 0));
	EXPECT_EQ(0, memcmp(b, b + 8, 8));

	*expected = 42;
	EXPECT_EQ(0, cpu_opv(tally, 4, self->cpu, 0));
	EXPECT_EQ(42, *sum);
}

/*
 * A comparison at each of the four places stops the vector there: the result
 * tells its place, what comes before is done, what comes after is not.
 */
TEST_F(ops, stopped_at)
{
	unsigned char *ran = self->a, *zero = self->b, *one = self->b + 1;
	struct {
		struct cpu_op stops, goes_on;
	} kinds[] = {
		{ op_eq(zero, one, 1),	op_ne(zero, one, 1) },
		{ op_ne(zero, zero, 1),	op_eq(zero, zero, 1) },
	};
	struct cpu_op ops[4];
	int place, n;
	size_t k;

	*one = 1;
	for (k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (place = 0; place < 4; place++) {
			memset(ran, 0, 4);
			for (n = 0; n < 4; n++)
				ops[n] = op_add(ran + n, 1, 1);
			ops[place] = kinds[k].stops;
			EXPECT_EQ(place + 1, cpu_opv(ops, 4, self->cpu, 0));
			for (n = 0; n < 4; n++)
				EXPECT_EQ(n < place, ran[n])
					TH_LOG("stopped at %d, operation %d",
					       place + 1, n + 1);

			/* One that holds changes nothing else. */
			memset(ran, 0, 4);
			ops[place] = kinds[k].goes_on;
			EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
			for (n = 0; n < 4; n++)
				EXPECT_EQ(n != place, ran[n])
					TH_LOG("went on at %d, operation %d",
					       place + 1, n + 1);
		}
	}
}

/* The first comparison that fails tells the result, not a later one. */
TEST_F(ops, first_stop_counts)
{
	unsigned char *zero = self->b, *one = self->b + 1;
	struct cpu_op ops[4];
	int place, n;

	*one = 1;
	for (place = 0; place < 4; place++) {
		for (n = 0; n < 4; n++)
			ops[n] = n < place ? op_ne(zero, one, 1) :
					     op_eq(zero, one, 1);
		EXPECT_EQ(place + 1, cpu_opv(ops, 4, self->cpu, 0));
	}
}

/* A comparison sees the store before it: it may stop what would have run. */
TEST_F(ops, stopped_by_own_store)
{
	unsigned char *a = self->a, *b = self->b;
	struct cpu_op ops[] = {
		op_eq(a, b, 1),
		op_add(a, 1, 1),
		op_eq(a, b, 1),
		op_add(b, 1, 1),
	};

	EXPECT_EQ(3, cpu_opv(ops, 4, self->cpu, 0));
	EXPECT_EQ(1, *a);
	EXPECT_EQ(0, *b);
}

/* The operations are copied in first: a vector may overwrite its own array. */
TEST_F(ops, array_as_operand)
{
	struct cpu_op *ops = (void *)self->a;

	memset(self->b, 0xff, CPU_OP_DATA_LEN_MAX);
	ops[0] = op_copy(ops, self->b, 4 * sizeof(*ops));
	ops[1] = op_add(self->b, 2, 1);
	EXPECT_EQ(0, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(0xff, *self->a);
	EXPECT_EQ(1, *self->b);
}

TEST_HARNESS_MAIN
