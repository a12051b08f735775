// SPDX-License-Identifier: GPL-2.0
/*
 * All vectors of cpu_opv(2) on a CPU have one order that explains what each
 * finds, be the caller on that CPU or not.
 *
 * The vectors of one thread, the reader, look at the words of all others, then
 * count themselves. Each of the others, the writers, has its word set to 1 by a
 * vector that notes this count: so it is known which vector of the reader is
 * the next, and that one has to find the word set.
 *
 * Before, the word is in the page of zeros that a load maps, which the store
 * replaces. So a call that looks up its pages, and then lets other vectors come
 * before its own, finds a word in a page that is no longer there. For the same
 * reason it would not heed a protection that was set up in between.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "userfault.h"

#define RUN_USEC	300000
#define MIN_ROUNDS	20	/* on a slow machine */
#define MIN_CHANGES	200
#define WAIT_USEC	20
#define MAX_WRITERS	3
#define NR_OPERANDS	(2 * MAX_WRITERS)
#define NR_FOUND	65536

FIXTURE(order)
{
	int cpu;			/* the target */
	bool stays;			/* the reader, on that CPU */
	char *pages;
	__u64 *count;			/* of the reader's vectors */
	atomic_ulong done;		/* of these, it is known what they found */
	bool found[NR_FOUND][MAX_WRITERS];	/* by the last ones */
	pthread_t reader;
	int error;			/* of the reader */
	int nr_writers;
	atomic_bool stop;
	struct writer {
		FIXTURE_DATA(order) *self;
		pthread_t thread;
		int nr;
		int begin;		/* CPU */
		__u64 *word;		/* one of the reader's operands */
		atomic_ulong rounds;
		unsigned long wrong, unknown;
		int error;
	} writers[MAX_WRITERS];
};

FIXTURE_VARIANT(order)
{
	bool other_cpu;		/* is the reader elsewhere, too? */
};

FIXTURE_VARIANT_ADD(order, reader_on_that_cpu)
{
	.other_cpu = false,
};

FIXTURE_VARIANT_ADD(order, reader_elsewhere)
{
	.other_cpu = true,
};

/* The two words around the end of a page: to look that up takes longer. */
static __u64 *operand(char *pages, int nr)
{
	return (__u64 *)(pages + (2 * nr + 1) * page_size()) - 1;
}

#define OPERAND_LEN	(2 * (__u32)sizeof(__u64))

/* What operands are in, present; and one page more. NULL if it is not there. */
static char *map_operands(void)
{
	size_t len = (2 * NR_OPERANDS + 1) * page_size();
	char *pages = map_pages(2 * NR_OPERANDS + 1);

	if (pages == MAP_FAILED)
		return NULL;
	madvise(pages, len, MADV_NOHUGEPAGE);
	memset(pages, 0, len);
	return pages;
}

static int begin_on(int cpu, bool stay)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) || pin_to(cpu) ||
	    (!stay && sched_setaffinity(0, sizeof(allowed), &allowed)))
		return -errno;
	return 0;
}

static void *read_words(void *arg)
{
	FIXTURE_DATA(order) *self = arg;
	struct cpu_op ops[MAX_WRITERS + 1];
	unsigned long done;
	int n;

	for (n = 0; n < MAX_WRITERS; n++)
		ops[n] = op_copy(operand(self->pages, MAX_WRITERS + n),
				 operand(self->pages, n), OPERAND_LEN);
	ops[n] = op_add(self->count, 1, sizeof(*self->count));
	if (self->stays)
		self->error = begin_on(self->cpu, true);
	for (done = 0; !self->stop && !self->error; done++) {
		self->error = cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);
		for (n = 0; n < MAX_WRITERS; n++)
			self->found[done % NR_FOUND][n] =
				*operand(self->pages, MAX_WRITERS + n);
		self->done = done + 1;
	}
	return NULL;
}

/* Returns how many vectors of the reader came before. */
static unsigned long set_word(struct writer *writer)
{
	FIXTURE_DATA(order) *self = writer->self;
	__u64 count = 0;
	/* The page that is replaced is the last to be looked up. */
	struct cpu_op ops[] = {
		op_copy(&count, self->count, sizeof(count)),
		op_add(writer->word, 1, sizeof(*writer->word)),
	};

	writer->error = cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);
	return count;
}

/* Looks what the reader's vector of this number found, once it is done. */
static void check(struct writer *writer, unsigned long nr)
{
	FIXTURE_DATA(order) *self = writer->self;
	bool found;

	while (self->done <= nr && !self->stop)
		sleep_usec(WAIT_USEC);
	found = self->found[nr % NR_FOUND][writer->nr];
	atomic_thread_fence(memory_order_seq_cst);
	if (self->done - nr >= NR_FOUND || self->stop)
		writer->unknown++;
	else
		writer->wrong += !found;
}

static void *write_word(void *arg)
{
	struct writer *writer = arg;
	void *page = (char *)(writer->word + 1) - page_size();

	writer->error = begin_on(writer->begin, false);
	while (!writer->self->stop && !writer->error) {
		if (madvise(page, page_size(), MADV_DONTNEED))
			writer->error = -errno;
		if (*writer->word)
			writer->error = -EIO;
		check(writer, set_word(writer));
		writer->rounds++;
	}
	return NULL;
}

FIXTURE_SETUP(order)
{
	int n, nr = nr_cpus() - 1 - variant->other_cpu;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr < 1)
		SKIP(return, "needs %d CPUs that this thread may run on",
		     2 + variant->other_cpu);
	self->cpu = nth_cpu(0);
	self->stays = !variant->other_cpu;
	self->pages = map_operands();
	ASSERT_TRUE(!!self->pages);
	self->count = (void *)(self->pages + 2 * NR_OPERANDS * page_size());
	self->nr_writers = nr < MAX_WRITERS ? nr : MAX_WRITERS;
	for (n = 0; n < self->nr_writers; n++)
		self->writers[n] = (struct writer) {
			.self = self,
			.nr = n,
			.begin = nth_cpu(1 + variant->other_cpu + n),
			.word = operand(self->pages, n),
		};
}

FIXTURE_TEARDOWN(order)
{
}

static bool has_enough(FIXTURE_DATA(order) *self)
{
	int n;

	/* Without the reader, writers wait for it. */
	if (self->error)
		return true;
	for (n = 0; n < self->nr_writers; n++) {
		if (self->writers[n].rounds < MIN_ROUNDS &&
		    !self->writers[n].error)
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(order, explains_what_is_found, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long rounds = 0, wrong = 0, unknown = 0;
	int n;

	for (n = 0; n < self->nr_writers; n++)
		ASSERT_EQ(0, pthread_create(&self->writers[n].thread, NULL,
					    write_word, &self->writers[n]));
	ASSERT_EQ(0, pthread_create(&self->reader, NULL, read_words, self));
	while (now_usec() < end || !has_enough(self))
		sleep_usec(10000);
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->reader, NULL));
	EXPECT_EQ(0, self->error);
	for (n = 0; n < self->nr_writers; n++) {
		struct writer *writer = &self->writers[n];

		ASSERT_EQ(0, pthread_join(writer->thread, NULL));
		EXPECT_EQ(0, writer->error);
		rounds += writer->rounds;
		wrong += writer->wrong;
		unknown += writer->unknown;
	}
	EXPECT_EQ(0, wrong);
	TH_LOG_OPERATIONS(rounds + self->done);
	TH_LOG("%lu rounds, %lu of them not looked at", rounds, unknown);
}

/*
 * A thread changes a page, then sets a flag: the vector that finds the flag set
 * has to heed the change, be its pages looked up before that or not. One change
 * is to replace the page, the other to have stores to it noted anew: neither
 * waits for a page that a vector has looked up, as mprotect(2) does. The latter
 * needs root, for userfaultfd(2).
 *
 * That what changes meanwhile waits for the end of a vector that has begun is so
 * only where it has to interrupt the CPU: on x86, if that runs the process.
 */
FIXTURE(change)
{
	char *pages;
	__u64 *word;		/* in the page that changes */
	__u64 *flag;
	int cpu;		/* of the thread */
	int fd;			/* of userfaultfd */
	int pagemap;
	pthread_t thread;
	atomic_bool stop;
	atomic_ulong calls, rounds;
	int (*change)(FIXTURE_DATA(change) *self);
	int (*undo)(FIXTURE_DATA(change) *self);
	int error;		/* of the thread */
};

FIXTURE_VARIANT(change)
{
	/* 0 or -errno; with undo() the next one can be made. */
	int (*change)(FIXTURE_DATA(change) *self);
	int (*undo)(FIXTURE_DATA(change) *self);
	bool protects;		/* from stores, or does it set the word? */
};

/* A store has a page fault, which notes that the page is written. */
static int protect(FIXTURE_DATA(change) *self)
{
	return userfault_write_protect(self->fd, self->word, true);
}

static int nothing(FIXTURE_DATA(change) *self)
{
	return 0;
}

FIXTURE_VARIANT_ADD(change, protected)
{
	.change = protect,
	.undo = nothing,
	.protects = true,
};

static void set(__u64 *word, __u64 value)
{
	__atomic_store_n((unsigned long *)word, value, __ATOMIC_RELEASE);
}

static int replace_and_set(FIXTURE_DATA(change) *self)
{
	if (madvise(self->word, page_size(), MADV_DONTNEED))
		return -errno;
	set(self->word, 1);
	return 0;
}

static int unset(FIXTURE_DATA(change) *self)
{
	set(self->word, 0);
	return 0;
}

FIXTURE_VARIANT_ADD(change, replaced)
{
	.change = replace_and_set,
	.undo = unset,
};

FIXTURE_SETUP(change)
{
#if !defined(__x86_64__) && !defined(__i386__)
	SKIP(return, "not promised on this architecture");
#endif
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->pages = map_operands();
	ASSERT_TRUE(!!self->pages);
	self->word = (void *)(self->pages + 2 * NR_OPERANDS * page_size());
	self->flag = operand(self->pages, 0);
	self->change = variant->change;
	self->undo = variant->undo;
	self->cpu = nth_cpu(1);
	if (!variant->protects)
		return;
	self->pagemap = open("/proc/self/pagemap", O_RDONLY);
	self->fd = userfault_watch(self->word, 1, UFFDIO_REGISTER_MODE_WP,
				   UFFD_FEATURE_WP_ASYNC);
	if (self->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
	ASSERT_EQ(1, page_is(self->pagemap, self->word, PAGE_IS_WRITTEN));
}

FIXTURE_TEARDOWN(change)
{
}

/* Until one that began after this has ended. */
static void wait_for_calls(FIXTURE_DATA(change) *self)
{
	unsigned long calls = self->calls;

	while (self->calls - calls < 2 && !self->stop)
		sleep_usec(WAIT_USEC);
}

/* Whether a vector that found the flag set has heeded the change. */
static bool is_heeded(FIXTURE_DATA(change) *self,
		      const FIXTURE_VARIANT(change) *variant, __u64 found)
{
	if (!variant->protects)
		return found;
	return page_is(self->pagemap, self->word, PAGE_IS_WRITTEN) == 1;
}

static void *keep_changing(void *arg)
{
	FIXTURE_DATA(change) *self = arg;

	self->error = begin_on(self->cpu, true);
	while (!self->stop && !self->error) {
		self->error = self->change(self);
		set(self->flag, 1);
		wait_for_calls(self);
		set(self->flag, 0);
		wait_for_calls(self);
		self->error = self->error ?: self->undo(self);
		self->rounds++;
	}
	return NULL;
}

TEST_F_TIMEOUT(change, is_heeded_once_it_is_acknowledged, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long stored = 0, wrong = 0;
	__u64 *flag_found = operand(self->pages, 1);
	__u64 *found = operand(self->pages, 2);
	/* The page that changes is looked up first, and accessed last. */
	struct cpu_op ops[] = {
		op_eq(self->word + 1, operand(self->pages, 3), OPERAND_LEN),
		op_copy(operand(self->pages, 4), operand(self->pages, 5),
			OPERAND_LEN),
		op_copy(flag_found, self->flag, sizeof(*self->flag)),
		op_copy(found, self->word, sizeof(*self->word)),
	};
	int cpu = nth_cpu(0);

	if (variant->protects)
		ops[3] = op_add(self->word, 1, sizeof(*self->word));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, keep_changing, self));
	ASSERT_EQ(0, begin_on(cpu, true));
	while ((now_usec() < end || self->rounds < MIN_CHANGES) &&
	       !self->error) {
		ASSERT_EQ(0, cpu_opv(ops, ARRAY_SIZE(ops), cpu, 0));
		stored += variant->protects;
		wrong += *flag_found && !is_heeded(self, variant, *found);
		self->calls++;
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(0, self->error);
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(stored, *self->word);
	TH_LOG_OPERATIONS(self->calls);
	TH_LOG("%lu changes", self->rounds);
}

TEST_HARNESS_MAIN
