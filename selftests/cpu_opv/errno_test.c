// SPDX-License-Identifier: GPL-2.0
/*
 * The order of the checks of cpu_opv(2): a call with two defects fails with
 * the errno of the one that is checked first.
 */
#include <limits.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

/* Two good operations, a call of them, and addresses to spoil it with. */
struct call {
	struct cpu_op *ops;
	int cpuopcnt;
	int cpu;
	int flags;

	struct cpu_op *straddling;	/* readable one, unreadable one */
	void *forbidden;
};

#define OUTSIDE		(-(__u64)8)	/* the last 8 bytes of 64-bit space */
#define UNREADABLE(c)	((struct cpu_op *)(c)->forbidden)

/* Each spoils a call in one way. */

static void bad_flags(struct call *c)
{
	c->flags = 1 << 5;
}

static void negative_cpu(struct call *c)
{
	c->cpu = -1;
}

static void bad_cpuopcnt(struct call *c)
{
	c->cpuopcnt = CPU_OP_VEC_LEN_MAX + 1;
}

static void impossible_cpu(struct call *c)
{
	c->cpu = INT_MAX;
}

static void unreadable_ops(struct call *c)
{
	c->ops = UNREADABLE(c);
}

static void half_readable_ops(struct call *c)
{
	*c->straddling = c->ops[0];
	c->ops = c->straddling;
}

/*
 * The others go to either operation, unless the array cannot be read: the
 * first of a half readable one takes them too.
 */
static struct cpu_op *first(struct call *c)
{
	static struct cpu_op unused;

	return c->ops == UNREADABLE(c) ? &unused : &c->ops[0];
}

static struct cpu_op *second(struct call *c)
{
	return c->ops == UNREADABLE(c) || c->ops == c->straddling ?
		first(c) : &c->ops[1];
}

static void bad_op(struct call *c)
{
	second(c)->op = NR_CPU_OPS;
}

static void bad_len(struct call *c)
{
	second(c)->len = CPU_OP_DATA_LEN_MAX + 1;
}

static void bad_reserved_byte(struct call *c)
{
	first(c)->u.__padding[CPU_OP_ARG_LEN_MAX - 1] = 1;
}

static void bad_expect_fault(struct call *c)
{
	second(c)->u.memcpy_op.expect_fault_dst = 2;
}

static void bad_sum(struct call *c)
{
	first(c)->len = CPU_OP_DATA_LEN_MAX;
	second(c)->len = CPU_OP_DATA_LEN_MAX;
}

static void outside_first(struct call *c)
{
	first(c)->u.memcpy_op.src = OUTSIDE;
	first(c)->u.memcpy_op.expect_fault_src = 1;
}

static void outside_second(struct call *c)
{
	second(c)->u.memcpy_op.src = OUTSIDE;
	second(c)->u.memcpy_op.expect_fault_src = 1;
}

static void fault_expected(struct call *c)
{
	first(c)->u.memcpy_op.dst = addr_of(c->forbidden);
	first(c)->u.memcpy_op.expect_fault_dst = 1;
}

static void fault_unexpected(struct call *c)
{
	second(c)->u.memcpy_op.dst = addr_of(c->forbidden);
}

/* In the order of the checks; defects of the same rank are one check. */
static const struct {
	const char *name;
	int rank;
	int error;
	void (*spoil)(struct call *c);
} defects[] = {
	{ "flags",		0, EINVAL, bad_flags },
	{ "negative cpu",	1, EINVAL, negative_cpu },
	{ "cpuopcnt",		2, EINVAL, bad_cpuopcnt },
	{ "impossible cpu",	3, EINVAL, impossible_cpu },
	{ "unreadable ops",	4, EFAULT, unreadable_ops },
	{ "half readable ops",	4, EFAULT, half_readable_ops },
	{ "op",			5, EINVAL, bad_op },
	{ "len",		5, EINVAL, bad_len },
	{ "reserved byte",	5, EINVAL, bad_reserved_byte },
	{ "expect_fault byte",	5, EINVAL, bad_expect_fault },
	{ "sum of len",		5, EINVAL, bad_sum },
	{ "outside, 1st op",	6, EFAULT, outside_first },
	{ "outside, 2nd op",	6, EFAULT, outside_second },
	{ "expected fault",	7, EAGAIN, fault_expected },
	{ "unexpected fault",	8, EFAULT, fault_unexpected },
};

FIXTURE(errno_order)
{
	struct cpu_op ops[4];
	unsigned char *data;
	struct cpu_op *straddling;
	void *forbidden;
};

FIXTURE_SETUP(errno_order)
{
	size_t page = page_size();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->data = map_pages(3);
	ASSERT_TRUE(self->data != MAP_FAILED);
	self->forbidden = self->data + 2 * page;
	ASSERT_EQ(0, mprotect(self->forbidden, page, PROT_NONE));
	self->straddling = (struct cpu_op *)self->forbidden - 1;
}

FIXTURE_TEARDOWN(errno_order)
{
}

/* A call that is good as long as nothing is spoilt. */
static struct call good_call(FIXTURE_DATA(errno_order) *self)
{
	unsigned char *dst = self->data, *src = self->data + page_size();

	self->ops[0] = op_copy(dst, src, 8);
	self->ops[1] = op_copy(dst + 8, src, 8);
	memset(dst, 0, 16);
	memset(src, 0x5a, 8);
	return (struct call) {
		.ops = self->ops,
		.cpuopcnt = 2,
		.cpu = nth_cpu(0),
		.straddling = self->straddling,
		.forbidden = self->forbidden,
	};
}

static int make(const struct call *c)
{
	return cpu_opv(c->ops, c->cpuopcnt, c->cpu, c->flags);
}

static bool untouched(FIXTURE_DATA(errno_order) *self)
{
	static const char zeros[16];

	return !memcmp(self->data, zeros, sizeof(zeros));
}

TEST_F(errno_order, none)
{
	struct call call = good_call(self);

	EXPECT_EQ(0, make(&call));
	EXPECT_FALSE(untouched(self));
}

TEST_F(errno_order, each)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(defects); i++) {
		struct call call = good_call(self);

		defects[i].spoil(&call);
		EXPECT_EQ(-defects[i].error, make(&call))
			TH_LOG("%s", defects[i].name);
		EXPECT_TRUE(untouched(self))
			TH_LOG("%s", defects[i].name);
	}
}

TEST_F(errno_order, pairs)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(defects); i++) {
		for (j = i + 1; j < ARRAY_SIZE(defects); j++) {
			struct call call = good_call(self);

			if (defects[i].rank == defects[j].rank)
				continue;
			defects[i].spoil(&call);
			defects[j].spoil(&call);
			EXPECT_EQ(-defects[i].error, make(&call))
				TH_LOG("%s and %s", defects[i].name,
				       defects[j].name);
			EXPECT_TRUE(untouched(self))
				TH_LOG("%s and %s", defects[i].name,
				       defects[j].name);
		}
	}
}

TEST_F(errno_order, unreadable_ops)
{
	struct call call = good_call(self);
	struct cpu_op *bad[] = {
		NULL,
		self->forbidden,
		(void *)(uintptr_t)-sizeof(struct cpu_op),
		(void *)(uintptr_t)-1,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		call.ops = bad[i];
		EXPECT_EQ(-EFAULT, make(&call))
			TH_LOG("ops at %p", (void *)bad[i]);
	}
	EXPECT_TRUE(untouched(self));
}

/* No more than cpuopcnt operations are read, from wherever they are. */
TEST_F(errno_order, readable_ops)
{
	struct call call = good_call(self);
	char *end = self->forbidden;

	call.ops = memcpy(self->straddling - 1, self->ops,
			  2 * sizeof(struct cpu_op));
	EXPECT_EQ(0, make(&call));
	EXPECT_FALSE(untouched(self));

	call = good_call(self);
	call.ops = memmove(end - 2 * sizeof(struct cpu_op) - 1, self->ops,
			   2 * sizeof(struct cpu_op));
	EXPECT_EQ(0, make(&call));
	EXPECT_FALSE(untouched(self));
	ASSERT_EQ(0, mprotect(self->data + page_size(), page_size(),
			      PROT_READ));
	memset(self->data, 0, 16);
	EXPECT_EQ(0, make(&call));
	EXPECT_FALSE(untouched(self));
}

TEST_HARNESS_MAIN
