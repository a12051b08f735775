// SPDX-License-Identifier: GPL-2.0
/*
 * Which of several inaccessible operands decides the errno of cpu_opv(2): the
 * first in vector order, a before b, dst before src. Every combination of
 * good and bad for the four operands of two operations.
 */
#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define NR_OPERANDS	4

enum state { GOOD, BAD, BAD_EXPECTED, NR_STATES };

FIXTURE(fault_order)
{
	unsigned char *good;
	unsigned char *bad;
};

FIXTURE_VARIANT(fault_order)
{
	int op[2];
};

FIXTURE_VARIANT_ADD(fault_order, compare)
{
	.op = { CPU_COMPARE_EQ_OP, CPU_COMPARE_EQ_OP },
};

FIXTURE_VARIANT_ADD(fault_order, memcpy)
{
	.op = { CPU_MEMCPY_OP, CPU_MEMCPY_RELEASE_OP },
};

FIXTURE_VARIANT_ADD(fault_order, compare_then_memcpy)
{
	.op = { CPU_COMPARE_EQ_OP, CPU_MEMCPY_OP },
};

FIXTURE_VARIANT_ADD(fault_order, memcpy_then_compare)
{
	.op = { CPU_MEMCPY_OP, CPU_COMPARE_EQ_OP },
};

FIXTURE_SETUP(fault_order)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->good = map_pages(2);
	ASSERT_TRUE(self->good != MAP_FAILED);
	self->bad = self->good + page_size();
	ASSERT_EQ(0, mprotect(self->bad, page_size(), PROT_NONE));
}

FIXTURE_TEARDOWN(fault_order)
{
}

static void set_operand(FIXTURE_DATA(fault_order) *self, struct cpu_op *op,
			bool second, enum state state)
{
	__u64 addr = addr_of(state == GOOD ? self->good : self->bad);
	__u8 expect_fault = state == BAD_EXPECTED;

	/* Comparisons and copies have the same layout. */
	if (second) {
		op->u.memcpy_op.src = addr;
		op->u.memcpy_op.expect_fault_src = expect_fault;
	} else {
		op->u.memcpy_op.dst = addr;
		op->u.memcpy_op.expect_fault_dst = expect_fault;
	}
}

static int expected(const enum state *states)
{
	int n;

	for (n = 0; n < NR_OPERANDS; n++) {
		if (states[n] != GOOD)
			return states[n] == BAD ? -EFAULT : -EAGAIN;
	}
	return 0;
}

TEST_F(fault_order, every_combination)
{
	int combination, rest, n;

	for (combination = 0; combination < 3 * 3 * 3 * 3; combination++) {
		struct cpu_op ops[] = {
			op_compare(variant->op[0], NULL, NULL, 8),
			op_compare(variant->op[1], NULL, NULL, 8),
		};
		enum state states[NR_OPERANDS];

		rest = combination;
		for (n = 0; n < NR_OPERANDS; n++) {
			states[n] = rest % NR_STATES;
			rest /= NR_STATES;
			set_operand(self, &ops[n / 2], n % 2, states[n]);
		}
		EXPECT_EQ(expected(states), cpu_opv(ops, 2, nth_cpu(0), 0))
			TH_LOG("states %d %d %d %d", states[0], states[1],
			       states[2], states[3]);
	}
}

TEST_HARNESS_MAIN
