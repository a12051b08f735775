// SPDX-License-Identifier: GPL-2.0
/*
 * Every limit of cpu_opv(2) and its neighbours: the number of operations,
 * their types, their lengths and the sum of these, the flags.
 */
#include <assert.h>
#include <limits.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

/* The layout is ABI: the same for 64-bit and 32-bit programs. */
static_assert(sizeof(struct cpu_op) == 32, "size of struct cpu_op");
static_assert(offsetof(struct cpu_op, op) == 0, "op");
static_assert(offsetof(struct cpu_op, len) == 4, "len");
static_assert(offsetof(struct cpu_op, u.compare_op.a) == 8, "a");
static_assert(offsetof(struct cpu_op, u.compare_op.b) == 16, "b");
static_assert(offsetof(struct cpu_op, u.compare_op.expect_fault_a) == 24, "expect_fault_a");
static_assert(offsetof(struct cpu_op, u.compare_op.expect_fault_b) == 25, "expect_fault_b");
static_assert(offsetof(struct cpu_op, u.memcpy_op.dst) == 8, "dst");
static_assert(offsetof(struct cpu_op, u.memcpy_op.src) == 16, "src");
static_assert(offsetof(struct cpu_op, u.memcpy_op.expect_fault_dst) == 24, "expect_fault_dst");
static_assert(offsetof(struct cpu_op, u.memcpy_op.expect_fault_src) == 25, "expect_fault_src");
static_assert(offsetof(struct cpu_op, u.arithmetic_op.p) == 8, "p");
static_assert(offsetof(struct cpu_op, u.arithmetic_op.count) == 16, "count");
static_assert(offsetof(struct cpu_op, u.arithmetic_op.expect_fault_p) == 24, "expect_fault_p");

static_assert(CPU_OP_VEC_LEN_MAX == 4, "operations of a vector");
static_assert(CPU_OP_DATA_LEN_MAX == 4096, "bytes of an operation");
static_assert(CPU_OP_VEC_DATA_LEN_MAX == 4120, "bytes of a vector");
static_assert(NR_CPU_OPS == 6, "operation types");

FIXTURE(limits)
{
	unsigned char *a;	/* pages of zeros, as is b */
	unsigned char *b;
	int cpu;
};

FIXTURE_SETUP(limits)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->a = map_pages(2);
	ASSERT_TRUE(self->a != MAP_FAILED);
	self->b = map_pages(2);
	ASSERT_TRUE(self->b != MAP_FAILED);
	self->cpu = nth_cpu(0);
}

FIXTURE_TEARDOWN(limits)
{
}

TEST_F(limits, flags)
{
	static const struct {
		int flags, result;
	} cases[] = {
		{ CPU_OP_NR_FLAG,		NR_CPU_OPS },
		{ CPU_OP_VEC_LEN_MAX_FLAG,	CPU_OP_VEC_LEN_MAX },
		{ CPU_OP_NR_FLAG | CPU_OP_VEC_LEN_MAX_FLAG, -EINVAL },
		{ 1 << 2,			-EINVAL },
		{ CPU_OP_NR_FLAG | 1 << 2,	-EINVAL },
		{ CPU_OP_VEC_LEN_MAX_FLAG | 1 << 3, -EINVAL },
		{ 1 << 30,			-EINVAL },
		{ INT_MIN,			-EINVAL },
		{ INT_MIN | CPU_OP_NR_FLAG,	-EINVAL },
		{ -1,				-EINVAL },
	};
	/* A good call; and one whose other arguments must not be looked at. */
	struct cpu_op *bad = (void *)(uintptr_t)-sizeof(struct cpu_op);
	struct cpu_op op = op_add(self->a, 1, 8);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].result,
			  cpu_opv(&op, 1, self->cpu, cases[i].flags))
			TH_LOG("flags %#x", cases[i].flags);
		EXPECT_EQ(cases[i].result,
			  cpu_opv(bad, INT_MIN, INT_MIN, cases[i].flags))
			TH_LOG("flags %#x", cases[i].flags);
	}
	EXPECT_EQ(0, *self->a);
}

TEST_F(limits, cpuopcnt)
{
	static const struct {
		int cpuopcnt, result;
	} cases[] = {
		{ INT_MIN, -EINVAL }, { -1, -EINVAL },
		{ 0, 0 }, { 1, 0 }, { 2, 0 }, { 3, 0 }, { 4, 0 },
		{ 5, -EINVAL }, { 6, -EINVAL }, { 1 << 16, -EINVAL },
		{ INT_MAX, -EINVAL },
	};
	struct cpu_op ops[8];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = op_add(self->a, 1, 1);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int cpuopcnt = cases[i].cpuopcnt;
		int ran = 0;

		if (!cases[i].result)
			ran = cpuopcnt;
		*self->a = 0;
		EXPECT_EQ(cases[i].result,
			  cpu_opv(ops, cpuopcnt, self->cpu, 0))
			TH_LOG("cpuopcnt %d", cpuopcnt);
		EXPECT_EQ(ran, *self->a)
			TH_LOG("cpuopcnt %d", cpuopcnt);
	}
}

/* No operation, no array: nothing to read. */
TEST_F(limits, empty_vector)
{
	EXPECT_EQ(0, cpu_opv(NULL, 0, self->cpu, 0));
	EXPECT_EQ(0, cpu_opv((void *)(uintptr_t)-1, 0, self->cpu, 0));
}

TEST_F(limits, op)
{
	static const struct {
		int op, result;
	} cases[] = {
		{ CPU_COMPARE_EQ_OP, 0 },	/* equal: goes on */
		{ CPU_COMPARE_NE_OP, 2 },	/* equal: stops */
		{ CPU_MEMCPY_OP, 0 },
		{ CPU_MEMCPY_RELEASE_OP, 0 },
		{ CPU_ADD_OP, 0 },
		{ CPU_ADD_RELEASE_OP, 0 },
		{ NR_CPU_OPS, -EINVAL },
		{ -1, -EINVAL },
		{ 1 << 8, -EINVAL },		/* not truncated */
		{ 1 << 16, -EINVAL },
		{ INT_MAX, -EINVAL },
		{ INT_MIN, -EINVAL },
	};
	unsigned char *ran = self->a + 16;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_op ops[] = {
			op_add(ran, 1, 1),
			op_compare(cases[i].op, self->a, self->b, 8),
		};

		*ran = 0;
		EXPECT_EQ(cases[i].result, cpu_opv(ops, 2, self->cpu, 0))
			TH_LOG("op %d", cases[i].op);
		EXPECT_EQ(cases[i].result >= 0, *ran)
			TH_LOG("op %d", cases[i].op);
	}
}

/* Which lengths each type takes. */
TEST_F(limits, len)
{
	static const struct {
		__u32 len;
		bool data, arithmetic;
	} cases[] = {
		{ 0,	true,	false },
		{ 1,	true,	true },
		{ 2,	true,	true },
		{ 3,	true,	false },
		{ 4,	true,	true },
		{ 5,	true,	false },
		{ 6,	true,	false },
		{ 7,	true,	false },
		{ 8,	true,	true },
		{ 9,	true,	false },
		{ 16,	true,	false },
		{ 4095,	true,	false },
		{ 4096,	true,	false },
		{ 4097,	false,	false },
		{ 1 << 16, false, false },
		{ INT_MAX, false, false },
		{ 1U << 31, false, false },
		{ UINT_MAX, false, false },
	};
	struct cpu_op op;
	size_t i;
	int type;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (type = 0; type < NR_CPU_OPS; type++) {
			bool good = cases[i].data;
			int result = 0;

			op = op_compare(type, self->a, self->b, cases[i].len);
			if (type == CPU_ADD_OP || type == CPU_ADD_RELEASE_OP) {
				op = op_arithmetic(type, self->a, 0, cases[i].len);
				good = cases[i].arithmetic;
			}
			/* What is equal stops this one, and so do 0 bytes. */
			if (type == CPU_COMPARE_NE_OP)
				result = 1;
			EXPECT_EQ(good ? result : -EINVAL,
				  cpu_opv(&op, 1, self->cpu, 0))
				TH_LOG("op %d len %u", type, cases[i].len);
		}
	}
}

/* The sum of all lengths, in every order, over copies, comparisons and adds. */
TEST_F(limits, sum_of_len)
{
	static const struct {
		__u32 len[4];
		int result;
	} cases[] = {
		{ { 4096, 8, 8, 8 },		0 },
		{ { 4096, 8, 8, 9 },		-EINVAL },
		{ { 9, 8, 8, 4096 },		-EINVAL },
		{ { 4096, 24, 0, 0 },		0 },
		{ { 4096, 25, 0, 0 },		-EINVAL },
		{ { 0, 0, 24, 4096 },		0 },
		{ { 0, 0, 25, 4096 },		-EINVAL },
		{ { 1030, 1030, 1030, 1030 },	0 },
		{ { 1030, 1030, 1030, 1031 },	-EINVAL },
		{ { 2060, 0, 2060, 0 },		0 },
		{ { 2060, 0, 2061, 0 },		-EINVAL },
		{ { 4096, 4096, 0, 0 },		-EINVAL },
		{ { 4096, 4096, 4096, 4096 },	-EINVAL },
	};
	struct cpu_op ops[4];
	size_t i;
	int n;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (n = 0; n < 4; n++) {
			__u32 len = cases[i].len[n];

			ops[n] = n % 2 ? op_eq(self->a, self->b, len) :
					 op_copy(self->a, self->b, len);
		}
		EXPECT_EQ(cases[i].result, cpu_opv(ops, 4, self->cpu, 0))
			TH_LOG("case %zu", i);
	}

	/* An addition counts as well. */
	ops[0] = op_copy(self->a, self->b, 4096);
	for (n = 1; n < 4; n++)
		ops[n] = op_add(self->a, 0, 8);
	EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
	ops[3] = op_copy(self->a, self->b, 17);
	EXPECT_EQ(-EINVAL, cpu_opv(ops, 4, self->cpu, 0));
}

/* The most pages that a vector can need: eight operands, two pages each. */
TEST_F(limits, sixteen_pages)
{
	const __u32 len = CPU_OP_VEC_DATA_LEN_MAX / 4;
	size_t page = page_size();
	unsigned char *pages = map_pages(16);
	struct cpu_op ops[4];
	int n;

	ASSERT_TRUE(pages != MAP_FAILED);
	for (n = 0; n < 4; n++) {
		unsigned char *dst = pages + (4 * n + 1) * page - len / 2;
		unsigned char *src = dst + 2 * page;

		fill(src, len, n + 1);
		ops[n] = op_copy(dst, src, len);
	}
	EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
	for (n = 0; n < 4; n++) {
		unsigned char *dst = pages + (4 * n + 1) * page - len / 2;

		EXPECT_EQ(0, memcmp(dst, dst + 2 * page, len))
			TH_LOG("operation %d", n);
		EXPECT_EQ(0, dst[-1]);
		EXPECT_EQ(0, dst[len]);
	}
}

/* What is unused of the arguments, which begin with the addresses. */
static size_t first_reserved(int type)
{
	return type == CPU_ADD_OP || type == CPU_ADD_RELEASE_OP ?
		offsetof(struct cpu_op, u.arithmetic_op.expect_fault_p) + 1 :
		offsetof(struct cpu_op, u.memcpy_op.expect_fault_src) + 1;
}

/* What comes after them is 0, or an expect_fault byte of 1. */
TEST_F(limits, bytes_after_the_addresses)
{
	static const unsigned char values[] = { 0, 1, 2, 0x80, 0xff };
	const size_t begin = offsetof(struct cpu_op, u.compare_op.b) + 8;
	unsigned char *ran = self->a + 16;
	size_t at, i;
	int type;

	for (type = 0; type < NR_CPU_OPS; type++) {
		for (at = begin; at < sizeof(struct cpu_op); at++) {
			for (i = 0; i < ARRAY_SIZE(values); i++) {
				struct cpu_op ops[] = {
					op_add(ran, 1, 1),
					op_compare(type, self->a, self->b, 8),
				};
				bool good = values[i] <= (at < first_reserved(type));
				/* What is equal stops this one. */
				int result = type == CPU_COMPARE_NE_OP ? 2 : 0;

				*ran = 0;
				((unsigned char *)&ops[1])[at] = values[i];
				ASSERT_EQ(good ? result : -EINVAL,
					  cpu_opv(ops, 2, self->cpu, 0))
					TH_LOG("op %d, byte %zu is %d", type,
					       at, values[i]);
				ASSERT_EQ(good, *ran);
			}
		}
	}
}

TEST_HARNESS_MAIN
