// SPDX-License-Identifier: GPL-2.0
/*
 * An operand of cpu_opv(2) below the stack, where a load or a store makes the
 * stack grow, and so does the call; as far as the stack may grow.
 */
#include <sys/resource.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

/* What is mapped of a stack to begin with is less than the first. */
static const size_t distances[] = { 256 << 10, 512 << 10, 1 << 20 };

#define FURTHEST	(2UL << 20)

FIXTURE(stack)
{
	__u64 *value;		/* = 5 */
	int cpu;
};

FIXTURE_VARIANT(stack)
{
	bool other_cpu;
	bool loads;		/* or does it add? */
	bool may_fault;
};

FIXTURE_VARIANT_ADD(stack, add_on_own_cpu)
{
	.other_cpu = false,
};

FIXTURE_VARIANT_ADD(stack, add_on_other_cpu)
{
	.other_cpu = true,
};

FIXTURE_VARIANT_ADD(stack, add_that_may_fault)
{
	.may_fault = true,
};

FIXTURE_VARIANT_ADD(stack, load_on_own_cpu)
{
	.loads = true,
};

FIXTURE_SETUP(stack)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->value = map_pages(1);
	ASSERT_TRUE((void *)self->value != MAP_FAILED);
}

FIXTURE_TEARDOWN(stack)
{
}

static int access_by_call(FIXTURE_DATA(stack) *self,
			  const FIXTURE_VARIANT(stack) *variant, __u64 *p)
{
	struct cpu_op op = op_add(p, 5, sizeof(*p));

	op.u.arithmetic_op.expect_fault_p = variant->may_fault;
	if (variant->loads)
		op = op_copy(self->value, p, sizeof(*p));
	return cpu_opv(&op, 1, self->cpu, 0);
}

/* So far below this function's frame, or what calls it. */
static __u64 *below(size_t distance)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

	return (__u64 *)((frame - distance) & -(uintptr_t)sizeof(__u64));
}

TEST_F(stack, grows)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(distances); i++) {
		__u64 *p = below(distances[i]);

		ASSERT_EQ(0, access_by_call(self, variant, p))
			TH_LOG("%zu KiB below", distances[i] >> 10);
		EXPECT_EQ(variant->loads ? 0 : 5, *p);
	}
}

/* As a load or a store then gets SIGSEGV. */
TEST_F(stack, does_not_grow_over_its_limit)
{
	struct rlimit limit = { .rlim_cur = FURTHEST, .rlim_max = FURTHEST };
	int error = variant->may_fault ? -EAGAIN : -EFAULT;

	ASSERT_EQ(0, setrlimit(RLIMIT_STACK, &limit));
	EXPECT_EQ(error, access_by_call(self, variant, below(2 * FURTHEST)));
	EXPECT_EQ(0, access_by_call(self, variant, below(FURTHEST / 2)));
}

/*
 * Any memory that is mapped so. Below it a gap has to stay, to other memory
 * that can be accessed, of 256 pages unless the kernel is told otherwise.
 */
TEST_F(stack, of_other_memory)
{
	size_t page = page_size(), size = 1024 * page;
	char *gap = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	char *top = gap + size - page;
	__u64 *p;

	ASSERT_TRUE(gap != MAP_FAILED);
	ASSERT_EQ(0, munmap(gap + page, size - page));
	ASSERT_EQ((void *)top, mmap(top, page, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
				    MAP_GROWSDOWN, -1, 0));
	p = (__u64 *)top - 1;
	EXPECT_EQ(0, access_by_call(self, variant, p));
	EXPECT_EQ(variant->loads ? 0 : 5, *p);
	EXPECT_EQ(variant->may_fault ? -EAGAIN : -EFAULT,
		  access_by_call(self, variant, (__u64 *)(gap + 2 * page)));
}

TEST_HARNESS_MAIN
