// SPDX-License-Identifier: GPL-2.0
/*
 * The CPU that cpu_opv(2) is aimed at: any that the calling thread may run
 * on, and no other.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include <linux/io_uring.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

FIXTURE(target)
{
	__u64 counter;
	struct cpu_op add;
};

FIXTURE_SETUP(target)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->add = op_add(&self->counter, 1, sizeof(self->counter));
}

FIXTURE_TEARDOWN(target)
{
}

/* Among them CPUs that are isolated, which no thread may run on unasked. */
static int allow_all_cpus(void)
{
	cpu_set_t cpus;

	memset(&cpus, 0xff, sizeof(cpus));
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

TEST_F(target, each_allowed_cpu)
{
	int n, caller;

	ASSERT_EQ(0, allow_all_cpus());
	/* From each allowed CPU, which makes it the own one and all others. */
	for (caller = 0; caller < nr_cpus(); caller++) {
		cpu_set_t allowed;

		ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
		ASSERT_EQ(0, pin_to(nth_cpu(caller)));
		ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
		for (n = 0; n < nr_cpus(); n++)
			EXPECT_EQ(0, cpu_opv(&self->add, 1, nth_cpu(n), 0))
				TH_LOG("CPU %d", nth_cpu(n));
	}
	EXPECT_EQ(nr_cpus() * nr_cpus(), self->counter);
}

TEST_F(target, each_allowed_cpu_empty_vector)
{
	int n;

	ASSERT_EQ(0, allow_all_cpus());
	for (n = 0; n < nr_cpus(); n++)
		EXPECT_EQ(0, cpu_opv(NULL, 0, nth_cpu(n), 0))
			TH_LOG("CPU %d", nth_cpu(n));
}

/* A pinned thread may still aim at its own CPU. */
TEST_F(target, pinned)
{
	int cpu = nth_cpu(nr_cpus() - 1);

	ASSERT_EQ(0, pin_to(cpu));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, cpu, 0));
	EXPECT_EQ(1, self->counter);
}

/* It runs a thread that has the caller's memory, and never is in user space. */
TEST_F(target, polls_io_uring)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF,
		.sq_thread_idle = 10000,	/* for so many ms */
	};
	int cpu = aim(true);
	int n, ring;

	if (cpu < 0)
		SKIP(return, ONE_CPU);
	params.sq_thread_cpu = cpu;
	ring = syscall(__NR_io_uring_setup, 1, &params);
	if (ring < 0)
		SKIP(return, "needs CONFIG_IO_URING");
	for (n = 0; n < 1000; n++)
		EXPECT_EQ(0, cpu_opv(&self->add, 1, cpu, 0));
	EXPECT_EQ(1000, self->counter);
	close(ring);
}

/* The last number of a file such as "0-3,8", or of "63". */
static int last_number(const char *path)
{
	FILE *f = fopen(path, "r");
	int number = -1, c = 0;

	while (f && c != EOF) {
		if (fscanf(f, "%d", &number) < 0)
			break;
		c = fgetc(f);
	}
	if (f)
		fclose(f);
	return number;
}

TEST_F(target, no_such_cpu)
{
	const int cpus[] = {
		-1,
		INT_MIN,
		INT_MAX,
		last_number("/sys/devices/system/cpu/possible") + 1,
		last_number("/sys/devices/system/cpu/kernel_max") + 1,
		0x10000,		/* not truncated to CPU 0 */
		0x10000000,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cpus); i++) {
		if (!cpus[i])
			continue;	/* the file was not there */
		EXPECT_EQ(-EINVAL, cpu_opv(&self->add, 1, cpus[i], 0))
			TH_LOG("CPU %d", cpus[i]);
		EXPECT_EQ(-EINVAL, cpu_opv(NULL, 0, cpus[i], 0))
			TH_LOG("CPU %d", cpus[i]);
	}
	EXPECT_EQ(0, self->counter);
}

static void *add_on(void *cpu)
{
	__u64 counter = 0;
	struct cpu_op add = op_add(&counter, 1, sizeof(counter));
	int ret = cpu_opv(&add, 1, (intptr_t)cpu, 0);

	return (void *)(intptr_t)(ret ?: counter == 1 ? 0 : -EIO);
}

/* The mask at the moment of the call decides, of this thread only. */
TEST_F(target, not_allowed)
{
	int own = nth_cpu(0), other = nth_cpu(1);
	pthread_attr_t attr;
	cpu_set_t allowed;
	pthread_t thread;
	void *ret;

	if (other < 0)
		SKIP(return, ONE_CPU);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
	ASSERT_EQ(0, pin_to(own));
	EXPECT_EQ(-EINVAL, cpu_opv(&self->add, 1, other, 0));
	EXPECT_EQ(-EINVAL, cpu_opv(NULL, 0, other, 0));
	EXPECT_EQ(0, self->counter);

	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setaffinity_np(&attr, sizeof(allowed),
						 &allowed));
	ASSERT_EQ(0, pthread_create(&thread, &attr, add_on,
				    (void *)(intptr_t)other));
	ASSERT_EQ(0, pthread_join(thread, &ret));
	EXPECT_EQ(0, (intptr_t)ret);

	ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, other, 0));
	EXPECT_EQ(1, self->counter);
}

TEST_HARNESS_MAIN
