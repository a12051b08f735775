// SPDX-License-Identifier: GPL-2.0
/*
 * Message passing by the release operations of cpu_opv(2): who sees the flag,
 * by an acquiring load on another CPU, also sees the data that the vector
 * wrote before it; and what the vector read before it is older than anything
 * that is written by who has seen the flag.
 *
 * This fails if the operations are out of order, or if a store of theirs is
 * torn or late. Whether there is a barrier it shows only where stores can
 * overtake each other: not on x86, nor in a QEMU guest (TCG) of any
 * architecture whose host is x86, where they never do.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	100000
#define MIN_CALLS	100	/* on a slow machine */
#define NR_FLAGS	8

FIXTURE(message)
{
	/* Numbers of calls, in cache lines and pages of their own. */
	unsigned long *data;
	unsigned long *flags;
	unsigned long *answer;	/* by the reader, to a flag */
	int reader_cpu;
	pthread_t reader;
	int nr_flags;
	bool after;		/* the release, the flag is stored */
	atomic_bool stop;
	atomic_int is_ready;
	atomic_ulong changes;	/* of the flag that the reader saw */
	const char *error;
};

FIXTURE_VARIANT(message)
{
	int release_op;
	int nr_flags;		/* so many words are stored by it; 0: after it */
};

FIXTURE_VARIANT_ADD(message, memcpy_release)
{
	.release_op = CPU_MEMCPY_RELEASE_OP,
	.nr_flags = 1,
};

FIXTURE_VARIANT_ADD(message, memcpy_release_of_more)
{
	.release_op = CPU_MEMCPY_RELEASE_OP,
	.nr_flags = NR_FLAGS,
};

/* Which orders what comes before it and after it. */
FIXTURE_VARIANT_ADD(message, memcpy_release_of_nothing)
{
	.release_op = CPU_MEMCPY_RELEASE_OP,
	.nr_flags = 0,
};

FIXTURE_VARIANT_ADD(message, add_release)
{
	.release_op = CPU_ADD_RELEASE_OP,
	.nr_flags = 1,
};

/* On a CPU of its own: looks at one flag after the other, then at the data. */
static void *read_messages(void *arg)
{
	FIXTURE_DATA(message) *self = arg;
	unsigned long flag, data, last = 0;
	unsigned int n;

	if (pin_to(self->reader_cpu))
		self->error = "cannot pin the thread";
	self->is_ready = 1;
	for (n = 0; !self->stop && !self->error; n++) {
		flag = __atomic_load_n(&self->flags[n % self->nr_flags],
				       __ATOMIC_ACQUIRE);
		data = __atomic_load_n(self->data, __ATOMIC_RELAXED);
		if (data < flag)
			self->error = "saw the flag and not the data";
		__atomic_store_n(self->answer, flag, __ATOMIC_RELAXED);
		self->changes += flag != last;
		last = flag;
	}
	return NULL;
}

FIXTURE_SETUP(message)
{
	char *pages;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->reader_cpu = aim(true);
	if (self->reader_cpu < 0)
		SKIP(return, ONE_CPU);
	pages = map_pages(3);
	ASSERT_TRUE((void *)pages != MAP_FAILED);
	self->data = (void *)pages;
	self->flags = (void *)(pages + page_size() + 256);
	self->answer = (void *)(pages + 2 * page_size() + 512);
	self->nr_flags = variant->nr_flags ?: 1;
	self->after = !variant->nr_flags;
	ASSERT_EQ(0, pthread_create(&self->reader, NULL, read_messages, self));
	while (!self->is_ready)
		sched_yield();
}

FIXTURE_TEARDOWN(message)
{
}

/* Sends message after message on a CPU; returns how many. */
static unsigned long send(struct __test_metadata *_metadata,
			  FIXTURE_DATA(message) *self, int release_op, int cpu)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long number, answer, next[NR_FLAGS];
	struct cpu_op ops[] = {
		op_copy(&answer, self->answer, sizeof(answer)),
		op_copy(self->data, next, sizeof(next[0])),
		release_op == CPU_ADD_RELEASE_OP ?
			op_arithmetic(release_op, self->flags, 1,
				      sizeof(next[0])) :
			op_memcpy(release_op, self->flags, next, self->after ?
				  0 : self->nr_flags * sizeof(next[0])),
		op_copy(self->flags, next, sizeof(next[0])),
	};
	int n, nr = self->after ? 4 : 3;

	for (number = 1; (now_usec() < end || number <= MIN_CALLS ||
			  !self->changes) && !self->error; number++) {
		for (n = 0; n < NR_FLAGS; n++)
			next[n] = number;
		ASSERT_EQ(0, cpu_opv(ops, nr, cpu, 0));
		ASSERT_LT(answer, number)
			TH_LOG("read what was written after the flag was seen");
	}
	return number - 1;
}

static void pass_messages(struct __test_metadata *_metadata,
			  FIXTURE_DATA(message) *self, int release_op, int cpu)
{
	unsigned long calls = send(_metadata, self, release_op, cpu);

	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->reader, NULL));
	EXPECT_TRUE(!self->error)
		TH_LOG("%s", self->error);
	EXPECT_EQ(calls, *self->flags);
	EXPECT_NE(0, atomic_load(&self->changes));
	TH_LOG_OPERATIONS(calls);
	TH_LOG("%lu of them seen", self->changes);
}

TEST_F_TIMEOUT(message, from_own_cpu, RUN_TIMEOUT)
{
	pass_messages(_metadata, self, variant->release_op, nth_cpu(0));
}

TEST_F_TIMEOUT(message, from_other_cpu, RUN_TIMEOUT)
{
	if (nr_cpus() < 3)
		SKIP(return, "needs three CPUs that this thread may run on");
	pass_messages(_metadata, self, variant->release_op, nth_cpu(2));
}

/* The vector then interrupts the reader itself. */
TEST_F_TIMEOUT(message, from_cpu_of_reader, RUN_TIMEOUT)
{
	pass_messages(_metadata, self, variant->release_op, self->reader_cpu);
}

TEST_HARNESS_MAIN
