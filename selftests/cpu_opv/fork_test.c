// SPDX-License-Identifier: GPL-2.0
/*
 * What a child of fork(2) sees of its parent's memory while other threads of
 * the parent go on: never what a thread stored later without what it stored
 * before, be that by a vector or beside another's. A page that is pinned while
 * fork() comes to it would be copied at once, and what is stored to it from
 * then on be missing.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	500000
#define MIN_CHILDREN	20	/* on a slow machine */
#define BETWEEN		(8 << 20)	/* takes fork() its time */

/* In the order in which fork() comes to them. */
struct memory {
	atomic_ulong first;	/* what is done before ... */
	unsigned long beside;	/* ... in a page that has this, too */
	char between[BETWEEN];
	atomic_ulong second;	/* ... that is */
};

FIXTURE(fork)
{
	struct memory *memory;
	int cpu;
	pthread_t threads[2];
	int nr_threads;
	atomic_bool stop;
	atomic_int error;
	unsigned long children;
};

FIXTURE_VARIANT(fork)
{
	bool other_cpu;
	/* What the threads do; there may be one thread only. */
	void *(*store)(void *self);
	void *(*beside)(void *self);
	bool at_once;		/* both stores */
};

static void add(FIXTURE_DATA(fork) *self, struct cpu_op *ops, int nr)
{
	int ret = cpu_opv(ops, nr, self->cpu, 0);

	if (ret)
		self->error = ret;
}

static void *add_then_store(void *arg)
{
	FIXTURE_DATA(fork) *self = arg;
	struct cpu_op first = op_add(&self->memory->first, 1, sizeof(long));
	unsigned long done;

	for (done = 1; !self->stop; done++) {
		add(self, &first, 1);
		self->memory->second = done;
	}
	return NULL;
}

static void *add_both(void *arg)
{
	FIXTURE_DATA(fork) *self = arg;
	struct cpu_op both[] = {
		op_add(&self->memory->first, 1, sizeof(long)),
		op_add(&self->memory->second, 1, sizeof(long)),
	};

	while (!self->stop)
		add(self, both, 2);
	return NULL;
}

static void *add_beside(void *arg)
{
	FIXTURE_DATA(fork) *self = arg;
	struct cpu_op beside = op_add(&self->memory->beside, 1, sizeof(long));

	while (!self->stop)
		add(self, &beside, 1);
	return NULL;
}

static void *store_both(void *arg)
{
	FIXTURE_DATA(fork) *self = arg;
	unsigned long done;

	for (done = 1; !self->stop; done++) {
		self->memory->first = done;
		self->memory->second = done;
	}
	return NULL;
}

FIXTURE_VARIANT_ADD(fork, vector_first_on_own_cpu)
{
	.store = add_then_store,
};

FIXTURE_VARIANT_ADD(fork, vector_first_on_other_cpu)
{
	.other_cpu = true,
	.store = add_then_store,
};

FIXTURE_VARIANT_ADD(fork, vector_beside_on_own_cpu)
{
	.store = store_both,
	.beside = add_beside,
};

FIXTURE_VARIANT_ADD(fork, vector_beside_on_other_cpu)
{
	.other_cpu = true,
	.store = store_both,
	.beside = add_beside,
};

FIXTURE_VARIANT_ADD(fork, both_in_a_vector_on_own_cpu)
{
	.store = add_both,
	.at_once = true,
};

FIXTURE_VARIANT_ADD(fork, both_in_a_vector_on_other_cpu)
{
	.other_cpu = true,
	.store = add_both,
	.at_once = true,
};

FIXTURE_SETUP(fork)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->memory = mmap(NULL, sizeof(*self->memory), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->memory != MAP_FAILED);
	madvise(self->memory, sizeof(*self->memory), MADV_NOHUGEPAGE);
	memset(self->memory, 0, sizeof(*self->memory));
}

FIXTURE_TEARDOWN(fork)
{
	munmap(self->memory, sizeof(*self->memory));
}

static void start(struct __test_metadata *_metadata, FIXTURE_DATA(fork) *self,
		  void *(*run)(void *))
{
	if (!run)
		return;
	ASSERT_EQ(0, pthread_create(&self->threads[self->nr_threads], NULL,
				    run, self));
	self->nr_threads++;
}

static bool is_split(const struct memory *memory, bool at_once)
{
	unsigned long first = memory->first, second = memory->second;

	return at_once ? second != first : second > first;
}

static int fork_and_look(const struct memory *memory, bool at_once)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(is_split(memory, at_once));
	waitpid(pid, &status, 0);
	return status;
}

TEST_F_TIMEOUT(fork, child_sees_what_was_before_what_it_sees,
	       RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long split = 0;

	start(_metadata, self, variant->store);
	start(_metadata, self, variant->beside);
	while (now_usec() < end || self->children < MIN_CHILDREN) {
		split += fork_and_look(self->memory, variant->at_once) != 0;
		self->children++;
	}
	self->stop = true;
	while (self->nr_threads)
		pthread_join(self->threads[--self->nr_threads], NULL);
	EXPECT_EQ(0, atomic_load(&self->error));
	TH_LOG("%lu children, %lu of them split", self->children, split);
	EXPECT_EQ(0, split);
}

TEST_HARNESS_MAIN
