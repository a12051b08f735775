// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) while another thread keeps changing what the call relies on: the
 * page tables, the mapping, its protection, the sharing with a forked child,
 * the CPU mask of the caller. Each call either adds once or, where that is the
 * right answer, fails and adds nothing.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	100000
#define MIN_TURNS	5	/* of the nuisance, on a slow machine */

FIXTURE(churn)
{
	__u64 *counter;
	cpu_set_t allowed;
	int cpu;		/* the target */
	pid_t caller;
	pthread_t thread;
	atomic_int turns;
	atomic_bool stop;
	int (*nuisance)(FIXTURE_DATA(churn) *self);
	atomic_int error;
};

FIXTURE_VARIANT(churn)
{
	int map_flags;
	/* One turn of what goes on besides; 0 or -errno. */
	int (*nuisance)(FIXTURE_DATA(churn) *self);
	__u8 expect_fault;
	int error;		/* which calls may return as well */
	bool forgets;		/* the counter starts anew at times */
};

/* The page is still there, but no page table entry says so. */
static int zap(FIXTURE_DATA(churn) *self)
{
	return madvise(self->counter, page_size(), MADV_DONTNEED) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(churn, zap)
{
	.map_flags = MAP_SHARED,
	.nuisance = zap,
};

/* Write-protects the page for copy-on-write, and shares it for a while. */
static int fork_and_exit(FIXTURE_DATA(churn) *self)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 || waitpid(pid, &status, 0) < 0 ? -errno : status;
}

FIXTURE_VARIANT_ADD(churn, fork)
{
	.map_flags = MAP_PRIVATE,
	.nuisance = fork_and_exit,
};

static int protect_and_unprotect(FIXTURE_DATA(churn) *self)
{
	if (mprotect(self->counter, page_size(), PROT_READ) ||
	    mprotect(self->counter, page_size(), PROT_READ | PROT_WRITE))
		return -errno;
	return 0;
}

FIXTURE_VARIANT_ADD(churn, protect)
{
	.map_flags = MAP_PRIVATE,
	.nuisance = protect_and_unprotect,
	.error = -EFAULT,
};

FIXTURE_VARIANT_ADD(churn, protect_expected)
{
	.map_flags = MAP_SHARED,
	.nuisance = protect_and_unprotect,
	.expect_fault = 1,
	.error = -EAGAIN,
};

static int unmap_and_map(FIXTURE_DATA(churn) *self)
{
	if (munmap(self->counter, page_size()) ||
	    mmap(self->counter, page_size(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

FIXTURE_VARIANT_ADD(churn, unmap)
{
	.map_flags = MAP_PRIVATE,
	.nuisance = unmap_and_map,
	.error = -EFAULT,
	.forgets = true,
};

FIXTURE_VARIANT_ADD(churn, unmap_expected)
{
	.map_flags = MAP_PRIVATE,
	.nuisance = unmap_and_map,
	.expect_fault = 1,
	.error = -EAGAIN,
	.forgets = true,
};

/* To the target and away from it; the target stays allowed. */
static int migrate(FIXTURE_DATA(churn) *self)
{
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(self->cpu, &only);
	if (sched_setaffinity(self->caller, sizeof(only), &only) ||
	    sched_setaffinity(self->caller, sizeof(only), &self->allowed))
		return -errno;
	return 0;
}

FIXTURE_VARIANT_ADD(churn, migrate)
{
	.map_flags = MAP_PRIVATE,
	.nuisance = migrate,
};

/* Takes the target away, too. */
static int forbid_and_allow(FIXTURE_DATA(churn) *self)
{
	cpu_set_t others = self->allowed;

	CPU_CLR(self->cpu, &others);
	if (sched_setaffinity(self->caller, sizeof(others), &others) ||
	    sched_setaffinity(self->caller, sizeof(others), &self->allowed))
		return -errno;
	return 0;
}

FIXTURE_VARIANT_ADD(churn, forbid_target)
{
	.map_flags = MAP_PRIVATE,
	.nuisance = forbid_and_allow,
	.error = -EINVAL,
};

static void *keep_going(void *arg)
{
	FIXTURE_DATA(churn) *self = arg;

	while (!self->stop && !self->error) {
		self->error = self->nuisance(self);
		self->turns++;
	}
	return NULL;
}

FIXTURE_SETUP(churn)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (variant->nuisance == forbid_and_allow && nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->counter = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			     variant->map_flags | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->counter != MAP_FAILED);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->allowed),
				       &self->allowed));
	self->cpu = aim(nr_cpus() > 1);
	self->caller = gettid();
	self->nuisance = variant->nuisance;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, keep_going, self));
}

FIXTURE_TEARDOWN(churn)
{
}

TEST_F_TIMEOUT(churn, adds_once_or_not_at_all, RUN_TIMEOUT)
{
	struct cpu_op add = op_add(self->counter, 1, sizeof(*self->counter));
	long long end = now_usec() + run_usec(RUN_USEC);
	__u64 done = 0;

	add.u.arithmetic_op.expect_fault_p = variant->expect_fault;
	while (now_usec() < end ||
	       ((self->turns < MIN_TURNS || !done) && !self->error)) {
		int ret = cpu_opv(&add, 1, self->cpu, 0);

		if (ret)
			ASSERT_EQ(variant->error, ret);
		done += !ret;
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
	EXPECT_NE(0, done);
	if (!variant->forgets)
		EXPECT_EQ(done, *self->counter);
	TH_LOG_OPERATIONS(done);
	TH_LOG("%d turns", self->turns);
}

TEST_HARNESS_MAIN
