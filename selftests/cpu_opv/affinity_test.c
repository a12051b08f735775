// SPDX-License-Identifier: GPL-2.0
/*
 * A call of cpu_opv(2) that waits for a page while the caller's CPUs change:
 * what it may do is what it may do when it goes on, not when it began.
 *
 * Needs root. Takes the last CPU offline, which is back when it ends.
 */
#include <pthread.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "cpu_hotplug.h"
#include "userfault.h"

FIXTURE(affinity)
{
	__u64 *awaited;		/* a page that is watched */
	void *content;		/* what is served */
	__u64 *ran;		/* by the vector; a word that needs no pin */
	int fd;			/* of userfaultfd */
	int cpu;		/* the target */
	bool for_vector;	/* which is in the awaited page */
	cpu_set_t before, others;
	pthread_t caller;
	int ret;		/* of the call */
};

/* What the call waits for: an operand, or the vector itself. */
FIXTURE_VARIANT(affinity) {
	bool for_vector;
};

FIXTURE_VARIANT_ADD(affinity, operand) { .for_vector = false };
FIXTURE_VARIANT_ADD(affinity, vector) { .for_vector = true };

/* In a thread of its own, which alone loses the CPU. */
static void *call(void *arg)
{
	FIXTURE_DATA(affinity) *self = arg;
	struct cpu_op ops[] = {
		op_add(self->ran, 1, sizeof(*self->ran)),
		op_add(self->awaited, 1, sizeof(*self->awaited)),
	};

	*self->ran = 0;		/* not to be shared with a child any more */
	if (self->for_vector)
		self->ret = cpu_opv((void *)self->awaited, 1, self->cpu, 0);
	else
		self->ret = cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);
	return NULL;
}

FIXTURE_SETUP(affinity)
{
	self->fd = -1;
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->awaited = map_pages(1);
	self->content = map_pages(1);
	self->ran = map_pages(1);
	ASSERT_TRUE((void *)self->awaited != MAP_FAILED);
	ASSERT_TRUE(self->content != MAP_FAILED);
	ASSERT_TRUE((void *)self->ran != MAP_FAILED);
	memset(self->content, 0, page_size());
	self->for_vector = variant->for_vector;
	if (self->for_vector)
		*(struct cpu_op *)self->content =
			op_add(self->ran, 1, sizeof(*self->ran));
	self->fd = userfault_watch(self->awaited, 1,
				   UFFDIO_REGISTER_MODE_MISSING, 0);
	if (self->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
	wait_until_restored();
	bring_back_at_end(_metadata);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->before), &self->before));
	self->cpu = nth_cpu(nr_cpus() - 1);
	self->others = self->before;
	CPU_CLR(self->cpu, &self->others);
}

FIXTURE_TEARDOWN_PARENT(affinity)
{
	wait_until_restored();
}

/* Returns once the call waits for its page. */
static void begin(struct __test_metadata *_metadata,
		  FIXTURE_DATA(affinity) *self)
{
	ASSERT_EQ(0, pthread_create(&self->caller, NULL, call, self));
	ASSERT_EQ(0, userfault_await(self->fd, self->awaited));
}

static void finish(struct __test_metadata *_metadata,
		   FIXTURE_DATA(affinity) *self, int expected)
{
	ASSERT_EQ(0, userfault_copy(self->fd, self->awaited, self->content));
	ASSERT_EQ(0, pthread_join(self->caller, NULL));
	EXPECT_EQ(expected, self->ret);
	EXPECT_EQ(!expected, *self->ran);
	if (!self->for_vector)
		EXPECT_EQ(!expected, *self->awaited);
}

TEST_F(affinity, as_before)
{
	begin(_metadata, self);
	finish(_metadata, self, 0);
}

TEST_F(affinity, lost)
{
	begin(_metadata, self);
	ASSERT_EQ(0, pthread_setaffinity_np(self->caller, sizeof(self->others),
					    &self->others));
	finish(_metadata, self, -EINVAL);
}

TEST_F(affinity, lost_and_got_back)
{
	begin(_metadata, self);
	ASSERT_EQ(0, pthread_setaffinity_np(self->caller, sizeof(self->others),
					    &self->others));
	ASSERT_EQ(0, pthread_setaffinity_np(self->caller, sizeof(self->before),
					    &self->before));
	finish(_metadata, self, 0);
}

/* A CPU that is offline disturbs nobody, and may be named by all. */
TEST_F(affinity, lost_and_offline)
{
	begin(_metadata, self);
	ASSERT_EQ(0, pthread_setaffinity_np(self->caller, sizeof(self->others),
					    &self->others));
	if (set_online(self->cpu, false))
		SKIP(goto out, "cannot take CPU %d offline", self->cpu);
	finish(_metadata, self, 0);
	return;
out:
	finish(_metadata, self, -EINVAL);
}

TEST_F(affinity, back_online_and_not_got_back)
{
	if (set_online(self->cpu, false))
		SKIP(return, "cannot take CPU %d offline", self->cpu);
	begin(_metadata, self);
	ASSERT_EQ(0, pthread_setaffinity_np(self->caller, sizeof(self->others),
					    &self->others));
	ASSERT_EQ(0, set_online(self->cpu, true));
	finish(_metadata, self, -EINVAL);
}

TEST_HARNESS_MAIN
