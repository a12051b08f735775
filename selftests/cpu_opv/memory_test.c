// SPDX-License-Identifier: GPL-2.0
/*
 * Kinds of memory that cpu_opv(2) works on as the caller itself would: pages
 * that were never touched, that are shared after fork(2), that were remapped,
 * of files, of the program. And the special mappings that it refuses.
 *
 * Needs root to see page frame numbers and to map /dev/mem, which is only read.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/auxv.h>

#include <linux/io_uring.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

FIXTURE(memory)
{
	unsigned char *page;	/* never touched */
	int cpu;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(memory);

FIXTURE_SETUP(memory)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->page = map_pages(2);
	ASSERT_TRUE(self->page != MAP_FAILED);
}

FIXTURE_TEARDOWN(memory)
{
}

/*
 * Expects *p to hold "from", adds to it in the same vector, reads it back.
 * The read may find another page behind the address than the write.
 */
static int read_write_read(__u64 *p, __u64 from, __u64 count, int cpu)
{
	__u64 before = ~from, after = ~from, sum = from + count;
	struct cpu_op ops[] = {
		op_copy(&before, p, sizeof(*p)),
		op_add(p, count, sizeof(*p)),
		op_copy(&after, p, sizeof(*p)),
		op_eq(p, &sum, sizeof(*p)),
	};
	int ret = cpu_opv(ops, ARRAY_SIZE(ops), cpu, 0);

	return ret ?: before != from ? -EIO : after != sum ? -EIO : 0;
}

TEST_F(memory, never_touched)
{
	__u64 *p = (void *)self->page;

	EXPECT_EQ(0, read_write_read(p, 0, 5, self->cpu));
	EXPECT_EQ(5, *p);
	EXPECT_EQ(0, p[1]);
	EXPECT_EQ(0, read_write_read(p, 5, 2, self->cpu));
	EXPECT_EQ(7, *p);
}

/* Read in one call, which may map the zero page, and written in the next. */
TEST_F(memory, never_touched_then_read)
{
	__u64 *p = (void *)self->page, zero = 0;
	struct cpu_op eq = op_eq(p, &zero, sizeof(zero));

	EXPECT_EQ(0, cpu_opv(&eq, 1, self->cpu, 0));
	EXPECT_EQ(0, read_write_read(p, 0, 5, self->cpu));
	EXPECT_EQ(5, *p);
}

/* Two that the zero page may stand for, of which one is then written. */
TEST_F(memory, never_touched_pair)
{
	const __u32 len = 1024;
	unsigned char *other = self->page + page_size();
	struct cpu_op ops[] = {
		op_eq(self->page, other, len),
		op_add(self->page, 1, 1),
		op_ne(self->page, other, len),
	};

	EXPECT_EQ(0, cpu_opv(ops, 3, self->cpu, 0));
	EXPECT_EQ(1, *self->page);
	EXPECT_EQ(0, *other);
}

/* Two never-touched pages for one operand. */
TEST_F(memory, never_touched_crossing)
{
	void *p = self->page + page_size() - 4;
	__u64 value;

	EXPECT_EQ(0, read_write_read(p, 0, 0x0102030405060708, self->cpu));
	memcpy(&value, p, sizeof(value));
	EXPECT_EQ(0x0102030405060708, value);
}

TEST_F(memory, dropped)
{
	__u64 *p = (void *)self->page;

	*p = 42;
	ASSERT_EQ(0, madvise(p, page_size(), MADV_DONTNEED));
	EXPECT_EQ(0, read_write_read(p, 0, 5, self->cpu));
	EXPECT_EQ(5, *p);
}

/*
 * A page that is taken back at will until it is dirty, as a store makes it: of
 * one word, which needs no page pinned, and of two.
 */
TEST_F(memory, freed)
{
	__u64 value = 7;
	int nr;

	for (nr = 1; nr <= 2; nr++) {
		__u64 *p = (void *)(self->page + (nr - 1) * page_size());
		struct cpu_op stores[] = {
			op_copy(&p[0], &value, sizeof(value)),
			op_copy(&p[1], &value, sizeof(value)),
		};

		p[0] = 42;
		if (madvise(p, page_size(), MADV_FREE))
			SKIP(return, "needs MADV_FREE");
		EXPECT_EQ(0, cpu_opv(stores, nr, self->cpu, 0));
		if (madvise(p, page_size(), MADV_PAGEOUT))
			SKIP(return, "needs MADV_PAGEOUT");
		EXPECT_EQ(7, p[0]);
		EXPECT_EQ(nr == 2 ? 7 : 0, p[1]);
	}
}

static int wait_for_turn(int fd)
{
	char byte;

	return read(fd, &byte, 1) == 1 ? 0 : -EIO;
}

static int give_turn(int fd)
{
	return write(fd, "", 1) == 1 ? 0 : -EIO;
}

/*
 * Parent and child share a page until one of them writes: each keeps its own.
 * Both live until both are done, so that the page stays shared by two.
 */
static void after_fork(struct __test_metadata *_metadata,
		       FIXTURE_DATA(memory) *self, bool child_first)
{
	__u64 *p = (void *)self->page;
	int to_child[2], to_parent[2], status;
	pid_t pid;

	*p = 100;
	ASSERT_EQ(0, pipe(to_child));
	ASSERT_EQ(0, pipe(to_parent));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (!child_first && wait_for_turn(to_child[0]))
			_exit(1);
		if (read_write_read(p, 100, 1, self->cpu))
			_exit(2);
		if (give_turn(to_parent[1]))
			_exit(3);
		if (child_first && wait_for_turn(to_child[0]))
			_exit(4);
		_exit(*p == 101 ? 0 : 5);
	}
	if (child_first)
		EXPECT_EQ(0, wait_for_turn(to_parent[0]));
	EXPECT_EQ(0, read_write_read(p, 100, 10, self->cpu));
	EXPECT_EQ(110, *p);
	EXPECT_EQ(0, give_turn(to_child[1]));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(110, *p);
}

TEST_F(memory, fork_parent_first)
{
	after_fork(_metadata, self, false);
}

TEST_F(memory, fork_child_first)
{
	after_fork(_metadata, self, true);
}

/*
 * Loads leave parent and child the page that they share: of a word, which needs
 * no page pinned, and of two.
 */
TEST_F(memory, fork_then_load)
{
	__u64 *p = (void *)self->page, values[] = { 100, 0 };
	struct cpu_op word = op_eq(p, values, sizeof(*values));
	struct cpu_op words = op_eq(p, values, sizeof(values));
	unsigned long long frame;
	pid_t pid;

	*p = values[0];
	frame = frame_of(p);
	if (!frame)
		SKIP(return, "needs root, to see page frame numbers");
	pid = fork_endless();
	ASSERT_LE(0, pid);
	while (!pid)
		pause();
	EXPECT_EQ(0, cpu_opv(&word, 1, self->cpu, 0));
	EXPECT_EQ(frame, frame_of(p));
	EXPECT_EQ(0, cpu_opv(&words, 1, self->cpu, 0));
	EXPECT_EQ(frame, frame_of(p));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
}

/* New pages at an address that was used before. */
TEST_F(memory, remapped)
{
	size_t page = page_size();
	__u64 i, *p = (void *)self->page;

	for (i = 1; i <= 50; i++) {
		if (i % 2)
			ASSERT_EQ(0, munmap(p, page));
		ASSERT_TRUE(mmap(p, page, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
		if (i % 3)
			*p = i;
		ASSERT_EQ(0, read_write_read(p, i % 3 ? i : 0, 1, self->cpu));
		ASSERT_EQ((i % 3 ? i : 0) + 1, *p);
	}
}

static int file_with(__u64 value, size_t size)
{
	int fd = syscall(__NR_memfd_create, "memory", 0);

	if (fd >= 0 && (ftruncate(fd, size) ||
			pwrite(fd, &value, sizeof(value), 0) != sizeof(value)))
		return -1;
	return fd;
}

TEST_F(memory, shared_file)
{
	size_t page = page_size();
	int fd = file_with(100, page);
	__u64 *p, *alias, value;

	if (fd < 0)
		SKIP(return, "needs memfd_create(2)");
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	alias = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_TRUE(alias != MAP_FAILED);

	EXPECT_EQ(0, read_write_read(p, 100, 1, self->cpu));
	EXPECT_EQ(101, *p);
	EXPECT_EQ(101, *alias);
	EXPECT_EQ(sizeof(value), pread(fd, &value, sizeof(value), 0));
	EXPECT_EQ(101, value);

	value = 200;
	EXPECT_EQ(sizeof(value), pwrite(fd, &value, sizeof(value), 0));
	EXPECT_EQ(0, read_write_read(p, 200, 1, self->cpu));
	EXPECT_EQ(201, *alias);
}

/* Writes go to a copy, as with copy-on-write after fork(2). */
TEST_F(memory, private_file)
{
	size_t page = page_size();
	int fd = file_with(100, page);
	__u64 *p, value;

	if (fd < 0)
		SKIP(return, "needs memfd_create(2)");
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ASSERT_TRUE(p != MAP_FAILED);
	EXPECT_EQ(0, read_write_read(p, 100, 1, self->cpu));
	EXPECT_EQ(101, *p);
	EXPECT_EQ(sizeof(value), pread(fd, &value, sizeof(value), 0));
	EXPECT_EQ(100, value);
}

static const char constant[16] = "of the program";
static char initialized[16] = "data";
static char zeroed[16];
static __thread char thread_local[16];

TEST_F(memory, of_the_program)
{
	char stack[16], *heap = malloc(16);
	void *const dst[] = { initialized, zeroed, thread_local, stack, heap };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dst); i++) {
		struct cpu_op op = op_copy(dst[i], constant, sizeof(constant));

		EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
		EXPECT_STREQ(constant, dst[i]);
	}
	free(heap);
}

/*
 * Pages that no file and no anonymous mapping owns, and device memory. They
 * can be read, or mapped, by the caller, but are refused as operands.
 */
FIXTURE(refused)
{
	void *p;
};

FIXTURE_VARIANT(refused)
{
	const char *name;
	void *(*find)(void);
};

/* Where the first range with this name starts, of a file like /proc/self/maps. */
static unsigned long long find_range(const char *path, const char *name)
{
	FILE *ranges = fopen(path, "r");
	unsigned long long start, found = 0;
	char line[256];

	while (ranges && !found && fgets(line, sizeof(line), ranges)) {
		if (strstr(line, name) && sscanf(line, "%llx-", &start) == 1)
			found = start;
	}
	if (ranges)
		fclose(ranges);
	return found;
}

static void *find_mapping(const char *name)
{
	return (void *)(uintptr_t)find_range("/proc/self/maps", name);
}

static void *find_vvar(void)
{
	return find_mapping("[vvar]");
}

/* Of arm, and of its programs on arm64. */
static void *find_sigpage(void)
{
	return find_mapping("[sigpage]");
}

static void *find_vdso(void)
{
	return (void *)getauxval(AT_SYSINFO_EHDR);
}

static void *map_device(void)
{
	/* On riscv what is at 0, and the firmware's RAM, cannot be read. */
	off_t ram = find_range("/proc/iomem", "Kernel code");
	int fd = open("/dev/mem", O_RDONLY);
	void *p = mmap(NULL, page_size(), PROT_READ, MAP_SHARED, fd, ram);

	return p == MAP_FAILED ? NULL : p;
}

/* The only one that may be written to, too. */
static void *map_ring(void)
{
	struct io_uring_params params = {};
	int fd = syscall(__NR_io_uring_setup, 1, &params);
	void *p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);

	return p == MAP_FAILED ? NULL : p;
}

FIXTURE_VARIANT_ADD(refused, vdso)
{
	.name = "vDSO",
	.find = find_vdso,
};

FIXTURE_VARIANT_ADD(refused, vvar)
{
	.name = "mapping [vvar]",
	.find = find_vvar,
};

FIXTURE_VARIANT_ADD(refused, sigpage)
{
	.name = "mapping [sigpage]",
	.find = find_sigpage,
};

FIXTURE_VARIANT_ADD(refused, device)
{
	.name = "/dev/mem that can be mapped",
	.find = map_device,
};

FIXTURE_VARIANT_ADD(refused, ring)
{
	.name = "ring of io_uring(7)",
	.find = map_ring,
};

FIXTURE_SETUP(refused)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->p = variant->find();
	if (!self->p)
		SKIP(return, "needs a %s", variant->name);
	/* It is there, and needs no fault. */
	atomic_load((atomic_char *)self->p);
	ASSERT_LE(0, aim(false));
}

FIXTURE_TEARDOWN(refused)
{
}

static void expect_refused(struct __test_metadata *_metadata,
			   struct cpu_op *ops, int count, __u8 *expect_fault)
{
	int cpu;

	for_own_and_other_cpu(cpu) {
		*expect_fault = 0;
		EXPECT_EQ(-EFAULT, cpu_opv(ops, count, cpu, 0));
		*expect_fault = 1;
		EXPECT_EQ(-EAGAIN, cpu_opv(ops, count, cpu, 0));
	}
}

TEST_F(refused, read)
{
	__u32 value = 42;
	struct cpu_op ops[] = {
		op_add(&value, 1, 4),
		op_copy(&value, self->p, 4),
	};

	expect_refused(_metadata, ops, 2, &ops[1].u.memcpy_op.expect_fault_src);
	EXPECT_EQ(42, value);
}

TEST_F(refused, write)
{
	struct cpu_op op = op_add(self->p, 1, 4);

	expect_refused(_metadata, &op, 1, &op.u.arithmetic_op.expect_fault_p);
}

TEST_HARNESS_MAIN
