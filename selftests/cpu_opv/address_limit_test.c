// SPDX-License-Identifier: GPL-2.0
/*
 * The end of the caller's address space, wherever this kernel puts it for this
 * kind of program: an operand of cpu_opv(2) may reach up to it, and no further.
 */
#include <stdio.h>
#include <sys/prctl.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE	0x100000
#endif

static void *map_at(uintptr_t addr)
{
	return mmap((void *)addr, page_size(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

/* Whether there can be, or already is, a mapping at this address. */
static bool is_mappable(uintptr_t addr)
{
	void *p = map_at(addr);

	if (p == MAP_FAILED)
		return errno == EEXIST;
	munmap(p, page_size());
	return p == (void *)addr;
}

/* The last page that this program can map. */
static uintptr_t last_page(void)
{
	const uintptr_t page = page_size();
	uintptr_t good, bad, middle;

	/* In pages: a mapping of this program, and what no program can map. */
	good = (uintptr_t)&errno / page;
	bad = UINTPTR_MAX / page;
	if (is_mappable(bad * page))
		return bad * page;
	while (good + 1 < bad) {
		middle = good + (bad - good) / 2;
		if (is_mappable(middle * page))
			good = middle;
		else
			bad = middle;
	}
	return good * page;
}

FIXTURE(limit)
{
	unsigned char *last;	/* the last page */
	bool is_ours;		/* not part of, say, the stack */
	__u64 end;		/* the address behind it */
	unsigned char *other;	/* a page of zeros like it */
	unsigned char *ran;	/* counter of what ran before the operation */
	int cpu;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(limit);

FIXTURE_SETUP(limit)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->last = (unsigned char *)last_page();
	self->is_ours = map_at((uintptr_t)self->last) == self->last;
	self->end = addr_of(self->last) + page_size();
	self->other = map_pages(2);
	ASSERT_TRUE(self->other != MAP_FAILED);
	self->ran = self->other + page_size();
	TH_LOG("the address space ends at %#llx", (unsigned long long)self->end);
}

FIXTURE_TEARDOWN(limit)
{
}

/* Runs each type of operation with each of its operands at addr. */
static void expect_at(struct __test_metadata *_metadata,
		      FIXTURE_DATA(limit) *self, __u64 addr, __u32 len,
		      int result)
{
	struct cpu_op at_a = op_eq(NULL, self->other, len);
	struct cpu_op at_b = op_eq(self->other, NULL, len);
	struct cpu_op ops[2];
	int type, second, expect_fault;

	at_a.u.compare_op.a = addr;
	at_b.u.compare_op.b = addr;
	for (type = 0; type < NR_CPU_OPS; type++) {
		bool is_add = type == CPU_ADD_OP || type == CPU_ADD_RELEASE_OP;
		bool stops = type == CPU_COMPARE_NE_OP && !result;

		if (is_add && len != 1 && len != 8)
			continue;
		for (second = 0; second < 2 - is_add; second++) {
			ops[0] = op_add(self->ran, 1, 1);
			ops[1] = second ? at_b : at_a;
			ops[1].op = type;
			if (is_add)
				ops[1].u.arithmetic_op.count = 0;
			for (expect_fault = 0; expect_fault < 2; expect_fault++) {
				ops[1].u.compare_op.expect_fault_a = expect_fault;
				if (!is_add)
					ops[1].u.compare_op.expect_fault_b =
						expect_fault;
				*self->ran = 0;
				EXPECT_EQ(stops ? 2 : result,
					  cpu_opv(ops, 2, self->cpu, 0))
					TH_LOG("op %d operand %d at %#llx, len %u, expect_fault %d",
					       type, second,
					       (unsigned long long)addr, len,
					       expect_fault);
				EXPECT_EQ(!result, *self->ran);
			}
		}
	}
}

/* Up to the last byte. */
TEST_F(limit, ends_there)
{
	static const __u32 lens[] = { 1, 8, 1000, 4096 };
	size_t i;

	if (!self->is_ours)
		SKIP(return, "the last page, at %p, is in use", self->last);
	for (i = 0; i < ARRAY_SIZE(lens); i++)
		expect_at(_metadata, self, self->end - lens[i], lens[i], 0);
}

/* Accessible in part; the rest never can be. */
TEST_F(limit, crosses)
{
	expect_at(_metadata, self, self->end - 1, 8, -EFAULT);
	expect_at(_metadata, self, self->end - 7, 8, -EFAULT);
	expect_at(_metadata, self, self->end - 1, 4096, -EFAULT);
	expect_at(_metadata, self, self->end - 4095, 4096, -EFAULT);
}

TEST_F(limit, beyond)
{
	const size_t page = page_size();
	const __u64 addrs[] = {
		self->end, self->end + 1, self->end + page - 1,
		self->end + page, self->end + page + 1,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		if (addrs[i] < self->end)
			continue;	/* 64-bit space ends before */
		expect_at(_metadata, self, addrs[i], 1, -EFAULT);
		expect_at(_metadata, self, addrs[i], 8, -EFAULT);
		expect_at(_metadata, self, addrs[i], 4096, -EFAULT);
	}
}

/* No byte is accessed, and the place between the last byte and the limit is in. */
TEST_F(limit, length_0)
{
	expect_at(_metadata, self, self->end - 1, 0, 0);
	expect_at(_metadata, self, self->end, 0, 0);
	expect_at(_metadata, self, self->end + 1, 0, -EFAULT);
	expect_at(_metadata, self, -1, 0, -EFAULT);
}

/* The highest of the program's mappings that the kernel itself made. */
TEST_F(limit, highest_mapping)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long long start, end, highest = 0;
	char line[256], access[5];
	__u64 seen = 0;
	struct cpu_op op;

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%llx %4s", &start, &end, access) == 3 &&
		    !strncmp(access, "rw", 2) &&
		    start != addr_of(self->last))
			highest = end;
	}
	if (!highest)
		SKIP(return, "needs CONFIG_PROC_FS");
	fclose(maps);
	op = op_copy(&seen, NULL, 8);
	op.u.memcpy_op.src = highest - 8;
	EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0))
		TH_LOG("mapping that ends at %#llx", highest);
	EXPECT_EQ(0, memcmp(&seen, (void *)(uintptr_t)(highest - 8), 8));
}

#ifdef __arm__

#define KUSER_HELPERS	0xffff0000

/*
 * The kernel's page of helpers, or nothing but vectors: programs may read it,
 * but it is not theirs. Only to a 64-bit kernel it is in their address space.
 */
TEST_F(limit, kuser_helpers)
{
	int if_expected = self->end > KUSER_HELPERS ? -EAGAIN : -EFAULT;
	__u64 seen = 0;
	struct cpu_op op = op_copy(&seen, (void *)KUSER_HELPERS, 8);

	EXPECT_EQ(-EFAULT, cpu_opv(&op, 1, self->cpu, 0));
	op.u.memcpy_op.expect_fault_src = 1;
	EXPECT_EQ(if_expected, cpu_opv(&op, 1, self->cpu, 0));
	op = op_copy((void *)KUSER_HELPERS, &seen, 8);
	EXPECT_EQ(-EFAULT, cpu_opv(&op, 1, self->cpu, 0));
	op.u.memcpy_op.expect_fault_dst = 1;
	EXPECT_EQ(if_expected, cpu_opv(&op, 1, self->cpu, 0));
	EXPECT_EQ(0, seen);
}

#endif

#if defined(__aarch64__) && defined(PR_SET_TAGGED_ADDR_CTRL)

/* The upper byte does not count, once the program said that it tags pointers. */
TEST_F(limit, tagged)
{
	const __u64 tag = 0x5aULL << 56;
	struct cpu_op op = op_add(self->other, 1, 1);

	if (prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE, 0, 0, 0))
		SKIP(return, "needs CONFIG_ARM64_TAGGED_ADDR_ABI");
	op.u.arithmetic_op.p |= tag;
	EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
	EXPECT_EQ(1, *self->other);
	op.u.arithmetic_op.p = self->end | tag;
	EXPECT_EQ(-EFAULT, cpu_opv(&op, 1, self->cpu, 0));
	op.u.arithmetic_op.expect_fault_p = 1;
	EXPECT_EQ(-EFAULT, cpu_opv(&op, 1, self->cpu, 0));
}

#endif

TEST_HARNESS_MAIN
