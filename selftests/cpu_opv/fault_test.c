// SPDX-License-Identifier: GPL-2.0
/*
 * Operands of cpu_opv(2) that cannot be accessed: each operand of each
 * operation, with each kind of bad address. EFAULT, or EAGAIN for one that
 * may fault; and nothing is written, not even by operations before it.
 */
#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "pkey.h"

FIXTURE(fault)
{
	size_t page;
	unsigned char *zeros;	/* a page for operands */
	unsigned char *ones;	/* another, with other content */
	unsigned char *before;	/* counters of what ran around the operation */
	unsigned char *after;
	unsigned char *hole;	/* unmapped, after a mapped page of zeros */
};

FIXTURE_VARIANT(fault)
{
	int op;
	size_t addr;		/* offsets of the fields of this operand */
	size_t expect_fault;
	size_t sibling_expect_fault;	/* of the other operand, or 0 */
	bool written;
};

#define FIELD(member) offsetof(struct cpu_op, u.member)

FIXTURE_VARIANT_ADD(fault, compare_eq_a)
{
	.op = CPU_COMPARE_EQ_OP,
	.addr = FIELD(compare_op.a),
	.expect_fault = FIELD(compare_op.expect_fault_a),
	.sibling_expect_fault = FIELD(compare_op.expect_fault_b),
};

FIXTURE_VARIANT_ADD(fault, compare_eq_b)
{
	.op = CPU_COMPARE_EQ_OP,
	.addr = FIELD(compare_op.b),
	.expect_fault = FIELD(compare_op.expect_fault_b),
	.sibling_expect_fault = FIELD(compare_op.expect_fault_a),
};

FIXTURE_VARIANT_ADD(fault, compare_ne_a)
{
	.op = CPU_COMPARE_NE_OP,
	.addr = FIELD(compare_op.a),
	.expect_fault = FIELD(compare_op.expect_fault_a),
	.sibling_expect_fault = FIELD(compare_op.expect_fault_b),
};

FIXTURE_VARIANT_ADD(fault, compare_ne_b)
{
	.op = CPU_COMPARE_NE_OP,
	.addr = FIELD(compare_op.b),
	.expect_fault = FIELD(compare_op.expect_fault_b),
	.sibling_expect_fault = FIELD(compare_op.expect_fault_a),
};

FIXTURE_VARIANT_ADD(fault, memcpy_dst)
{
	.op = CPU_MEMCPY_OP,
	.addr = FIELD(memcpy_op.dst),
	.expect_fault = FIELD(memcpy_op.expect_fault_dst),
	.sibling_expect_fault = FIELD(memcpy_op.expect_fault_src),
	.written = true,
};

FIXTURE_VARIANT_ADD(fault, memcpy_src)
{
	.op = CPU_MEMCPY_OP,
	.addr = FIELD(memcpy_op.src),
	.expect_fault = FIELD(memcpy_op.expect_fault_src),
	.sibling_expect_fault = FIELD(memcpy_op.expect_fault_dst),
};

FIXTURE_VARIANT_ADD(fault, memcpy_release_dst)
{
	.op = CPU_MEMCPY_RELEASE_OP,
	.addr = FIELD(memcpy_op.dst),
	.expect_fault = FIELD(memcpy_op.expect_fault_dst),
	.sibling_expect_fault = FIELD(memcpy_op.expect_fault_src),
	.written = true,
};

FIXTURE_VARIANT_ADD(fault, memcpy_release_src)
{
	.op = CPU_MEMCPY_RELEASE_OP,
	.addr = FIELD(memcpy_op.src),
	.expect_fault = FIELD(memcpy_op.expect_fault_src),
	.sibling_expect_fault = FIELD(memcpy_op.expect_fault_dst),
};

FIXTURE_VARIANT_ADD(fault, add_p)
{
	.op = CPU_ADD_OP,
	.addr = FIELD(arithmetic_op.p),
	.expect_fault = FIELD(arithmetic_op.expect_fault_p),
	.written = true,
};

FIXTURE_VARIANT_ADD(fault, add_release_p)
{
	.op = CPU_ADD_RELEASE_OP,
	.addr = FIELD(arithmetic_op.p),
	.expect_fault = FIELD(arithmetic_op.expect_fault_p),
	.written = true,
};

FIXTURE_SETUP(fault)
{
	unsigned char *pages;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->page = page_size();
	self->zeros = map_pages(4);
	ASSERT_TRUE(self->zeros != MAP_FAILED);
	self->ones = self->zeros + self->page;
	memset(self->ones, 1, self->page);
	self->before = self->zeros + 2 * self->page;
	self->after = self->before + 1;

	/* Last, so that nothing is mapped into it. */
	pages = map_pages(3);
	ASSERT_TRUE(pages != MAP_FAILED);
	self->hole = pages + self->page;
	ASSERT_EQ(0, munmap(self->hole, self->page));
}

FIXTURE_TEARDOWN(fault)
{
}

static bool is_add(int op)
{
	return op == CPU_ADD_OP || op == CPU_ADD_RELEASE_OP;
}

/* The operation of this variant: it goes on if the operand holds zeros. */
static struct cpu_op operation(FIXTURE_DATA(fault) *self,
			       const FIXTURE_VARIANT(fault) *variant, __u32 len)
{
	if (is_add(variant->op))
		return op_arithmetic(variant->op, self->zeros, 1, len);
	if (variant->op == CPU_COMPARE_NE_OP)
		return op_compare(variant->op, self->ones, self->ones, len);
	return op_compare(variant->op, self->zeros, self->zeros, len);
}

static void put(struct cpu_op *op, size_t offset, const void *value, size_t size)
{
	memcpy((char *)op + offset, value, size);
}

/* Calls with the operand at addr, between two operations that write. */
static int call(FIXTURE_DATA(fault) *self,
		const FIXTURE_VARIANT(fault) *variant, __u64 addr, __u32 len,
		__u8 expect_fault, __u8 sibling)
{
	struct cpu_op ops[] = {
		op_add(self->before, 1, 1),
		operation(self, variant, len),
		op_add(self->after, 1, 1),
	};

	put(&ops[1], variant->addr, &addr, sizeof(addr));
	put(&ops[1], variant->expect_fault, &expect_fault, 1);
	if (variant->sibling_expect_fault)
		put(&ops[1], variant->sibling_expect_fault, &sibling, 1);
	*self->before = 0;
	*self->after = 0;
	return cpu_opv(ops, ARRAY_SIZE(ops), nth_cpu(nr_cpus() > 1), 0);
}

/* The operand at addr fails the call, with this errno if it may fault. */
static void fails(struct __test_metadata *_metadata,
		  FIXTURE_DATA(fault) *self,
		  const FIXTURE_VARIANT(fault) *variant, __u64 addr,
		  int if_expected)
{
	const __u32 len = 8;
	const struct {
		__u8 expect_fault, sibling;
		int error;
	} cases[] = {
		{ 0,	0,	EFAULT },
		{ 0,	1,	EFAULT },	/* meant for the other operand */
		{ 1,	0,	if_expected },
		{ 1,	1,	if_expected },
		{ 2,	0,	EINVAL },	/* neither 0 nor 1 */
		{ 0x80,	0,	EINVAL },
		{ 0xff,	0,	EINVAL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(-cases[i].error,
			  call(self, variant, addr, len, cases[i].expect_fault,
			       cases[i].sibling))
			TH_LOG("at %#llx, expect_fault %#x, sibling's %#x",
			       (unsigned long long)addr, cases[i].expect_fault,
			       cases[i].sibling);
		EXPECT_EQ(0, *self->before);
		EXPECT_EQ(0, *self->after);
	}
}

/* The operand at addr is good, whether or not it may fault. */
static void succeeds(struct __test_metadata *_metadata,
		     FIXTURE_DATA(fault) *self,
		     const FIXTURE_VARIANT(fault) *variant, __u64 addr,
		     __u32 len)
{
	int expect_fault;

	for (expect_fault = 0; expect_fault < 2; expect_fault++) {
		EXPECT_EQ(0, call(self, variant, addr, len, expect_fault, 0))
			TH_LOG("at %#llx", (unsigned long long)addr);
		EXPECT_EQ(1, *self->before);
		EXPECT_EQ(1, *self->after);
	}
}

TEST_F(fault, good)
{
	unsigned char *zeros = map_pages(1);

	ASSERT_TRUE(zeros != MAP_FAILED);
	succeeds(_metadata, self, variant, addr_of(zeros), 8);
}

/* Whole, or in part: at the end of the operand or at its start. */
TEST_F(fault, unmapped)
{
	unsigned char *end = self->hole + self->page;

	fails(_metadata, self, variant, 0, EAGAIN);
	fails(_metadata, self, variant, addr_of(self->hole), EAGAIN);
	fails(_metadata, self, variant, addr_of(end - 8), EAGAIN);
	fails(_metadata, self, variant, addr_of(self->hole - 4), EAGAIN);
	fails(_metadata, self, variant, addr_of(self->hole - 1), EAGAIN);
	fails(_metadata, self, variant, addr_of(end - 4), EAGAIN);
	fails(_metadata, self, variant, addr_of(end - 1), EAGAIN);
}

TEST_F(fault, prot_none)
{
	unsigned char *page = map_pages(1);

	ASSERT_TRUE(page != MAP_FAILED);
	memset(page, 0, self->page);
	ASSERT_EQ(0, mprotect(page, self->page, PROT_NONE));
	fails(_metadata, self, variant, addr_of(page), EAGAIN);
}

/* Whether its page was touched or not, and if only one of two pages is. */
TEST_F(fault, read_only)
{
	unsigned char *pages = map_pages(3);
	__u64 addrs[3];
	size_t i;

	ASSERT_TRUE(pages != MAP_FAILED);
	addrs[0] = addr_of(pages + self->page - 4);
	addrs[1] = addr_of(pages + self->page);
	addrs[2] = addr_of(pages + 2 * self->page);
	memset(pages, 0, 2 * self->page);
	ASSERT_EQ(0, mprotect(pages + self->page, 2 * self->page, PROT_READ));
	for (i = 0; i < ARRAY_SIZE(addrs); i++) {
		if (variant->written)
			fails(_metadata, self, variant, addrs[i], EAGAIN);
		else
			succeeds(_metadata, self, variant, addrs[i], 8);
	}
	/* Not even the part that could be. */
	EXPECT_EQ(0, pages[self->page - 1]);
}

/* Mapped, but the file ends before it: what raises SIGBUS elsewhere. */
TEST_F(fault, beyond_end_of_file)
{
	int fd = syscall(__NR_memfd_create, "short", 0);
	unsigned char *pages;

	if (fd < 0)
		SKIP(return, "needs memfd_create(2)");
	ASSERT_EQ(0, ftruncate(fd, self->page));
	pages = mmap(NULL, 2 * self->page, PROT_READ | PROT_WRITE, MAP_SHARED,
		     fd, 0);
	ASSERT_TRUE(pages != MAP_FAILED);
	fails(_metadata, self, variant, addr_of(pages + self->page), EAGAIN);
	fails(_metadata, self, variant, addr_of(pages + self->page - 4), EAGAIN);
}

/* A protection key of this thread forbids what the page table allows. */
static void with_pkey(struct __test_metadata *_metadata,
		      FIXTURE_DATA(fault) *self,
		      const FIXTURE_VARIANT(fault) *variant, int rights)
{
	int pkey = syscall(__NR_pkey_alloc, 0, rights);
	unsigned char *page = map_pages(1);

	if (pkey < 0)
		SKIP(return, PKEY_ABSENT);
	ASSERT_TRUE(page != MAP_FAILED);
	memset(page, 0, self->page);
	ASSERT_EQ(0, syscall(__NR_pkey_mprotect, page, self->page,
			     PROT_READ | PROT_WRITE, pkey));
	if (variant->written || rights == PKEY_DISABLE_ACCESS)
		fails(_metadata, self, variant, addr_of(page), EAGAIN);
	else
		succeeds(_metadata, self, variant, addr_of(page), 8);
}

TEST_F(fault, pkey_disable_access)
{
	with_pkey(_metadata, self, variant, PKEY_DISABLE_ACCESS);
}

TEST_F(fault, pkey_disable_write)
{
	with_pkey(_metadata, self, variant, PKEY_DISABLE_WRITE);
}

/*
 * Addresses that no user mapping can have, on any machine. The last 8 bytes
 * end, and the last 4 wrap, where 64-bit space does. User space of s390
 * reaches up to these; arm64 takes the upper byte of an address for a tag, if
 * bit 55 does not make it one of the kernel.
 */
static const __u64 outside[] = {
	0xfffffffffffffff8,
	0xfffffffffffffffc,
	0xffffffffffffffff,
#ifndef __s390__
	0xffffffffff600000,	/* the vsyscall page of x86-64 */
	0xffffffff81000000,	/* kernel text of x86-64, */
	0xffff888000000000,	/* direct mapping */
	0xffff800000000000,	/* kernel of arm64, first canonical of x86-64 */
	0xff60000000000000,	/* direct mapping of riscv with 57 bits */
#ifndef __aarch64__
	0xc000000000000000,	/* direct mapping of powerpc */
	0x8000000000000000,	/* non-canonical, */
	0x0100000000010000,	/* above what 57 bits of address leave to users */
#endif
#endif
};

/* Never "try again": this cannot become good. */
TEST_F(fault, outside)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(outside); i++)
		fails(_metadata, self, variant, outside[i], EFAULT);
}

/* The upper half of an address counts in a 32-bit program too. */
TEST_F(fault, upper_half)
{
	__u64 good = addr_of(self->zeros);
	int bit;

	if (sizeof(void *) == 8)
		SKIP(return, "is for 32-bit programs");
	for (bit = 32; bit < 64; bit++)
		fails(_metadata, self, variant, good | 1ULL << bit, EFAULT);
}

/* No byte of it is accessed, but the address is still to be one of user space. */
TEST_F(fault, length_0)
{
	int good = 0, bad = -EFAULT;
	size_t i;

	if (variant->op == CPU_COMPARE_NE_OP)
		good = 2;		/* no bytes, no difference */
	if (is_add(variant->op)) {
		good = -EINVAL;		/* has no length 0, wherever it is */
		bad = -EINVAL;
	}

	EXPECT_EQ(good, call(self, variant, 0, 0, 0, 0));
	EXPECT_EQ(good, call(self, variant, addr_of(self->hole), 0, 0, 0));
	EXPECT_EQ(good, call(self, variant, addr_of(self->hole), 0, 1, 1));
	if (sizeof(void *) == 4) {
		__u64 above = addr_of(self->zeros) | 1ULL << 32;

		EXPECT_EQ(bad, call(self, variant, above, 0, 0, 0));
		EXPECT_EQ(bad, call(self, variant, above, 0, 1, 1));
	}
	for (i = 0; i < ARRAY_SIZE(outside); i++) {
		EXPECT_EQ(bad, call(self, variant, outside[i], 0, 0, 0))
			TH_LOG("at %#llx", (unsigned long long)outside[i]);
		EXPECT_EQ(bad, call(self, variant, outside[i], 0, 1, 1))
			TH_LOG("at %#llx", (unsigned long long)outside[i]);
	}
}

/*
 * A comparison that would stop the vector before it does not hide a fault, here
 * of words that need no page pinned: the thread is there, and so is the page.
 */
TEST_F(fault, after_stopping_comparison)
{
	/* Not a new one, which would be mapped into the hole. */
	unsigned char *page = self->zeros + 3 * self->page;
	__u64 addrs[] = { addr_of(self->hole), addr_of(page) };
	struct cpu_op ops[] = {
		op_eq(self->zeros, self->ones, 1),
		operation(self, variant, 4),
	};
	const __u8 off = 0, on = 1;
	int cpu = aim(false);
	size_t i;

	memset(page, 0, self->page);
	memset(self->zeros, 0, self->page);
	ASSERT_EQ(0, mprotect(page, self->page, PROT_READ));
	EXPECT_EQ(1, cpu_opv(ops, 2, cpu, 0));
	for (i = 0; i < (variant->written ? 2 : 1); i++) {
		put(&ops[1], variant->addr, &addrs[i], sizeof(addrs[i]));
		put(&ops[1], variant->expect_fault, &off, 1);
		EXPECT_EQ(-EFAULT, cpu_opv(ops, 2, cpu, 0));
		put(&ops[1], variant->expect_fault, &on, 1);
		EXPECT_EQ(-EAGAIN, cpu_opv(ops, 2, cpu, 0));
	}
}

TEST_HARNESS_MAIN
