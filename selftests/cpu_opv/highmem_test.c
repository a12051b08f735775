// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) on pages in high memory, which a 32-bit kernel maps only while it
 * accesses them: in the interrupt handler on the target CPU, over whatever the
 * code that it interrupts there has mapped.
 *
 * That the pages are in high memory is seen from /proc: their frames are not
 * below the first one of zone HighMem.
 *
 * Needs root for this. May use up all high memory for some seconds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/uio.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define NR_PAGES	16	/* as many as a vector can need */
#define MAX_TRIES	64	/* to get that many */
#define RUN_USEC	100000
#define MIN_CALLS	100	/* on a slow machine */
#define MIN_COPIES	10
#define USE_UP_USEC	10000000

#define NO_HIGHMEM	"needs CONFIG_HIGHMEM and memory for it (zone HighMem)"

/* The first frame of zone HighMem; 0: there is none, or no memory in it. */
static unsigned long long highmem_start(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	unsigned long long managed = 0, start = 0;
	bool in_zone = false;
	char line[256], name[32];

	while (f && !start && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %*d, zone %31s", name) == 1)
			in_zone = !strcmp(name, "HighMem");
		else if (!in_zone || sscanf(line, " managed %llu", &managed) == 1)
			continue;
		else if (!managed || sscanf(line, " start_pfn: %llu", &start) != 1)
			start = 0;
	}
	if (f)
		fclose(f);
	return start;
}

static int nr_high(const void *pages, int nr, unsigned long long start)
{
	int n, high = 0;

	for (n = 0; n < nr; n++)
		high += frame_of((char *)pages + n * page_size()) >= start;
	return high;
}

FIXTURE(highmem)
{
	size_t page;
	size_t size;		/* of all pages */
	unsigned char *pages;	/* in high memory */
	unsigned char *model;	/* of their content */
	unsigned long long start;
	int cpu;
	/* What keeps the target CPU busy. */
	pthread_t thread;
	atomic_bool stop;
	atomic_int copies;
	const char *error;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(highmem);

FIXTURE_SETUP(highmem)
{
	int tries, high = 0;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->start = highmem_start();
	if (!self->start)
		SKIP(return, NO_HIGHMEM);
	self->page = page_size();
	self->size = NR_PAGES * self->page;
	self->model = map_pages(NR_PAGES);
	ASSERT_TRUE(self->model != MAP_FAILED);
	if (!frame_of(memset(self->model, 1, self->size)))
		SKIP(return, "needs root, and CONFIG_PROC_PAGE_MONITOR");
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);

	/* What is in low memory is kept, to be out of the way. */
	for (tries = 0; tries < MAX_TRIES && high < NR_PAGES; tries++) {
		self->pages = map_pages(NR_PAGES);
		ASSERT_TRUE(self->pages != MAP_FAILED);
		memset(self->pages, 1, self->size);
		high = nr_high(self->pages, NR_PAGES, self->start);
	}
	if (high < NR_PAGES)
		SKIP(return, "needs free pages in high memory");
	TH_LOG("frames %#llx to %#llx, HighMem from %#llx",
	       frame_of(self->pages),
	       frame_of(self->pages + self->size - self->page), self->start);
}

/* If they were moved meanwhile it was not to low memory. */
FIXTURE_TEARDOWN(highmem)
{
	EXPECT_EQ(NR_PAGES, nr_high(self->pages, NR_PAGES, self->start));
}

/* The start of page n, where an operand may cross from page n - 1 to it. */
static size_t boundary(FIXTURE_DATA(highmem) *self, int n)
{
	return n * self->page;
}

static void renew(FIXTURE_DATA(highmem) *self, unsigned int seed)
{
	fill(self->pages, self->size, seed);
	memcpy(self->model, self->pages, self->size);
}

/* Whether all pages are as they should be: results, and what is around them. */
static bool as_modelled(FIXTURE_DATA(highmem) *self)
{
	return !memcmp(self->pages, self->model, self->size);
}

/* Places, from in one page each to in two pages both: four in one operation. */
static const struct {
	int a, b;		/* relative to boundaries */
	__u32 len;
} operands[] = {
	{ 0,	0,	1 },
	{ 8,	16,	8 },
	{ 100,	300,	1000 },
	{ 0,	0,	4096 },
	{ -4,	32,	8 },
	{ 32,	-4,	8 },
	{ -1,	-2,	4 },
	{ -500,	-500,	1000 },
	{ -100,	-900,	1000 },
	{ -2048, -2048,	4096 },
	{ -1,	-4000,	4096 },
};

TEST_F(highmem, compare)
{
	size_t a, b, i;

	for (i = 0; i < ARRAY_SIZE(operands); i++) {
		__u32 len = operands[i].len;
		struct cpu_op eq, ne;

		a = boundary(self, 1) + operands[i].a;
		b = boundary(self, 3) + operands[i].b;
		eq = op_eq(self->pages + a, self->pages + b, len);
		ne = op_ne(self->pages + a, self->pages + b, len);
		renew(self, i);
		memcpy(self->pages + b, self->pages + a, len);
		memcpy(self->model + b, self->model + a, len);
		EXPECT_EQ(0, cpu_opv(&eq, 1, self->cpu, 0))
			TH_LOG("operands %zu", i);
		EXPECT_EQ(1, cpu_opv(&ne, 1, self->cpu, 0))
			TH_LOG("operands %zu", i);

		self->pages[b + len - 1] ^= 0x80;
		self->model[b + len - 1] ^= 0x80;
		EXPECT_EQ(1, cpu_opv(&eq, 1, self->cpu, 0))
			TH_LOG("operands %zu", i);
		EXPECT_EQ(0, cpu_opv(&ne, 1, self->cpu, 0))
			TH_LOG("operands %zu", i);
		EXPECT_TRUE(as_modelled(self));
	}
}

static void copies(struct __test_metadata *_metadata,
		   FIXTURE_DATA(highmem) *self, int type)
{
	size_t dst, src, i;

	for (i = 0; i < ARRAY_SIZE(operands); i++) {
		__u32 len = operands[i].len;
		struct cpu_op op;

		dst = boundary(self, 1) + operands[i].a;
		src = boundary(self, 3) + operands[i].b;
		op = op_memcpy(type, self->pages + dst, self->pages + src, len);
		renew(self, i);
		memcpy(self->model + dst, self->model + src, len);
		EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
		EXPECT_TRUE(as_modelled(self))
			TH_LOG("operands %zu", i);
	}
}

TEST_F(highmem, memcpy)
{
	copies(_metadata, self, CPU_MEMCPY_OP);
}

TEST_F(highmem, memcpy_release)
{
	copies(_metadata, self, CPU_MEMCPY_RELEASE_OP);
}

/*
 * Inside of a page too, which may then be mapped twice: virtual addresses in
 * the kernel do not tell that, nor in which direction, the operands overlap.
 */
TEST_F(highmem, memcpy_overlapping)
{
	static const struct {
		int start, distance;
		__u32 len;
	} cases[] = {
		{ 0,	1,	64 },		/* in one page: */
		{ 0,	-1,	64 },
		{ 100,	50,	1000 },
		{ 100,	-50,	1000 },
		{ 100,	2,	3 },
		{ 100,	-2,	3 },
		{ -2000, 100,	1000 },
		{ -1000, 100,	2000 },		/* in two */
		{ -1000, -100,	2000 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t src = boundary(self, 1) + 200 + cases[i].start;
		size_t dst = src + cases[i].distance;
		__u32 len = cases[i].len;
		struct cpu_op op = op_copy(self->pages + dst, self->pages + src,
					   len);

		renew(self, i);
		memmove(self->model + dst, self->model + src, len);
		EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
		EXPECT_TRUE(as_modelled(self))
			TH_LOG("start %+d distance %+d len %u", cases[i].start,
			       cases[i].distance, len);
	}
}

static void adds(struct __test_metadata *_metadata, FIXTURE_DATA(highmem) *self,
		 int type)
{
	const __s64 count = 0x1122334455667788;
	__u32 len;
	int start;

	for (len = 1; len <= 8; len *= 2) {
		for (start = -8; start <= 8; start++) {
			size_t at = boundary(self, 1) + start;
			struct cpu_op op = op_arithmetic(type, self->pages + at,
							 count, len);

			renew(self, start);
			put_integer(self->model + at,
				    get_integer(self->model + at, len) + count,
				    len);
			EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
			EXPECT_TRUE(as_modelled(self))
				TH_LOG("start %+d len %u", start, len);
		}
	}
}

TEST_F(highmem, add)
{
	adds(_metadata, self, CPU_ADD_OP);
}

TEST_F(highmem, add_release)
{
	adds(_metadata, self, CPU_ADD_RELEASE_OP);
}

/* As many pages as a vector can need: eight operands, two pages each. */
TEST_F(highmem, sixteen_pages)
{
	const __u32 len = CPU_OP_VEC_DATA_LEN_MAX / 4;
	struct cpu_op ops[4];
	size_t dst, src;
	int n;

	renew(self, 1);
	for (n = 0; n < 4; n++) {
		dst = boundary(self, 4 * n + 1) - len / 2;
		src = boundary(self, 4 * n + 3) - len / 2;
		ops[n] = op_copy(self->pages + dst, self->pages + src, len);
		memcpy(self->model + dst, self->model + src, len);
	}
	EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
	EXPECT_TRUE(as_modelled(self));
}

/* One of each kind, in four pages. */
TEST_F(highmem, vector)
{
	size_t a = boundary(self, 1) - 400, b = boundary(self, 3) - 300;
	struct cpu_op ops[] = {
		op_copy(self->pages + a, self->pages + b, 1000),
		op_eq(self->pages + a, self->pages + b, 1000),
		op_add(self->pages + a + 396, 1, 8),
		op_ne(self->pages + a, self->pages + b, 1000),
	};

	renew(self, 1);
	memcpy(self->model + a, self->model + b, 1000);
	put_integer(self->model + a + 396,
		    get_integer(self->model + a + 396, 8) + 1, 8);
	EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
	EXPECT_TRUE(as_modelled(self));
}

/* What was only read is the zero page, which is part of the kernel. */
TEST_F(highmem, with_zero_page)
{
	const size_t at = boundary(self, 1) - 1000;
	unsigned char *zeros = map_pages(2);
	struct cpu_op ops[] = {
		op_ne(self->pages + at, zeros + self->page - 500, 2000),
		op_copy(self->pages + at, zeros + self->page - 500, 2000),
		op_eq(zeros + self->page - 1, self->pages + at, 8),
	};

	ASSERT_TRUE(zeros != MAP_FAILED);
	ASSERT_EQ(0, zeros[0] | zeros[self->page]);
	if (nr_high(zeros, 2, self->start))
		SKIP(return, "needs a zero page in low memory");
	renew(self, 1);
	memset(self->model + at, 0, 2000);
	EXPECT_EQ(0, cpu_opv(ops, 3, self->cpu, 0));
	EXPECT_TRUE(as_modelled(self));
}

/* As memory is taken from low memory if high memory is used up: that costs. */
static bool get_low_page(FIXTURE_DATA(highmem) *self, unsigned char *p)
{
	long long end = now_usec() + USE_UP_USEC;
	const size_t chunk = 4 << 20;

	while (now_usec() < end) {
		*p = 1;
		if (!nr_high(p, 1, self->start))
			return true;
		if (madvise(p, self->page, MADV_DONTNEED) ||
		    mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE |
			 MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1,
			 0) == MAP_FAILED)
			return false;
	}
	return false;
}

TEST_F(highmem, with_low_memory)
{
	const size_t at = boundary(self, 1) - 1000;
	unsigned char *high = map_pages(2), *low = high + self->page;
	struct cpu_op ops[] = {
		op_copy(low + 8, self->pages + at, 2000),	/* from high */
		op_copy(low - 100, low + 8, 108),		/* and back, */
		op_copy(self->pages, low - 50, 100),		/* in both */
		op_add(low - 4, 1, 8),
	};

	if (!variant->other_cpu)
		SKIP(return, "is done once, for another CPU");
	ASSERT_TRUE(high != MAP_FAILED);
	memset(high, 0, self->page);
	ASSERT_EQ(1, nr_high(high, 1, self->start));
	if (!get_low_page(self, low))
		SKIP(return, "there is too much high memory to use it up in %d s",
		     USE_UP_USEC / 1000000);
	TH_LOG("frame %#llx, and %#llx before it", frame_of(low),
	       frame_of(high));
	memset(low, 0, self->page);
	renew(self, 1);
	memcpy(self->model, self->model + at + 50, 50);
	memcpy(self->model + 50, self->model + at + 100, 8);
	memcpy(self->model + 58, self->model + at, 42);
	EXPECT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
	EXPECT_TRUE(as_modelled(self));
	EXPECT_EQ(0, memcmp(low - 100, self->model + at, 96));
	EXPECT_EQ(get_integer(self->model + at + 96, 8) + 1,
		  get_integer(low - 4, 8));
	EXPECT_EQ(0, memcmp(low + 8, self->model + at, 2000));
	EXPECT_EQ(0, low[2008]);
	EXPECT_EQ(0, low[-101]);
}

/* What the thread on the target CPU copies, by the page and from high memory. */
struct copied {
	unsigned char *from;
	unsigned char *to;
	size_t len;
	int fd;
};

/* Both ways through a file in memory, of which the kernel maps its pages. */
static bool copy_by_file(struct copied *c)
{
	return pwrite(c->fd, c->from, c->len, 100) == (ssize_t)c->len &&
	       pread(c->fd, c->to, c->len, 100) == (ssize_t)c->len;
}

static bool copy_by_process_vm(struct copied *c)
{
	struct iovec from = { .iov_base = c->from, .iov_len = c->len };
	struct iovec to = { .iov_base = c->to, .iov_len = c->len };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) ==
	       (ssize_t)c->len;
}

static void keep_copying(FIXTURE_DATA(highmem) *self,
			 bool (*copy)(struct copied *c))
{
	struct copied c = {
		.len = self->size - 1000,
		.fd = syscall(__NR_memfd_create, "highmem", 0),
		.from = map_pages(NR_PAGES),
		.to = map_pages(NR_PAGES),
	};
	unsigned char *file = MAP_FAILED;

	if (!ftruncate(c.fd, self->size))
		file = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED, c.fd, 0);
	if (pin_to(self->cpu) || file == MAP_FAILED || c.from == MAP_FAILED ||
	    c.to == MAP_FAILED) {
		self->error = "cannot set up what is copied";
		return;
	}
	memset(file, 1, self->size);
	fill(c.from, self->size, 1);
	if (!nr_high(file, NR_PAGES, self->start) ||
	    !nr_high(c.from, NR_PAGES, self->start))
		self->error = "nothing of what is copied is in high memory";

	while (!self->stop && !self->error) {
		c.from[self->copies % c.len]++;
		if (!copy(&c))
			self->error = "cannot copy";
		else if (memcmp(c.from, c.to, c.len))
			self->error = "the copy differs";
		self->copies++;
	}
}

static void *keep_copying_by_file(void *self)
{
	keep_copying(self, copy_by_file);
	return NULL;
}

static void *keep_copying_by_process_vm(void *self)
{
	keep_copying(self, copy_by_process_vm);
	return NULL;
}

/*
 * On another CPU the vector interrupts the thread while it has pages mapped; on
 * the own one each of them is preempted by the other.
 */
static void while_copying(struct __test_metadata *_metadata,
			  FIXTURE_DATA(highmem) *self,
			  const FIXTURE_VARIANT(highmem) *variant,
			  void *(*copy)(void *))
{
	size_t dst = boundary(self, 1) - 900, src = boundary(self, 3) - 100;
	size_t sum = boundary(self, 5) - 4;
	struct cpu_op ops[] = {
		op_copy(self->pages + dst, self->pages + src, 1000),
		op_eq(self->pages + dst, self->pages + src, 1000),
		op_add(self->pages + src + 10, 1, 8),
		op_add(self->pages + sum, 1, 8),
	};
	long long end = now_usec() + RUN_USEC;
	int calls = 0;

	renew(self, 1);
	if (!variant->other_cpu)
		ASSERT_EQ(0, pin_to(self->cpu));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, copy, self));
	while ((now_usec() < end || calls < MIN_CALLS ||
		self->copies < MIN_COPIES) && !self->error) {
		ASSERT_EQ(0, cpu_opv(ops, 4, self->cpu, 0));
		calls++;
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_TRUE(!self->error)
		TH_LOG("%s", self->error);
	TH_LOG("%d calls, %d copies", calls, self->copies);

	put_integer(self->model + src + 10,
		    get_integer(self->model + src + 10, 8) + calls, 8);
	put_integer(self->model + sum,
		    get_integer(self->model + sum, 8) + calls, 8);
	memcpy(self->model + dst, self->model + src, 1000);
	put_integer(self->model + dst + 10,
		    get_integer(self->model + dst + 10, 8) - 1, 8);
	EXPECT_TRUE(as_modelled(self));
}

TEST_F(highmem, while_file_is_copied)
{
	while_copying(_metadata, self, variant, keep_copying_by_file);
}

TEST_F(highmem, while_process_memory_is_copied)
{
	if (process_vm_readv(getpid(), NULL, 0, NULL, 0, 0))
		SKIP(return, "needs CONFIG_CROSS_MEMORY_ATTACH");
	while_copying(_metadata, self, variant, keep_copying_by_process_vm);
}

TEST_HARNESS_MAIN
