// SPDX-License-Identifier: GPL-2.0
/*
 * Once a protection stands, cpu_opv(2) stores nothing more, as little as the
 * caller itself could: also not a vector that was already running when the
 * protection was set up on another CPU. On the target another process runs, so
 * that the kernel has nobody there to tell of the protection.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "userfault.h"

#define RUN_USEC	300000
#define MIN_TURNS	50	/* on a slow machine */
#define LOOK_USEC	3000	/* at most */
#define HALF		2048
#define NR_CALLERS	2

FIXTURE(protect)
{
	atomic_ulong *counter;
	char *scratch;		/* to make the vector take its time */
	int cpu;		/* the target */
	int fd;			/* of userfaultfd */
	pid_t neighbour;
	pthread_t threads[NR_CALLERS];
	atomic_ulong done;
	atomic_bool stop;
	atomic_int wrong;	/* result of a call */
};

FIXTURE_VARIANT(protect)
{
	const char *(*prepare)(FIXTURE_DATA(protect) *self);
	int (*set)(FIXTURE_DATA(protect) *self, bool is_on);
};

static const char *nothing(FIXTURE_DATA(protect) *self)
{
	return NULL;
}

static int set_read_only(FIXTURE_DATA(protect) *self, bool is_on)
{
	return mprotect(self->counter, page_size(),
			PROT_READ | (is_on ? 0 : PROT_WRITE)) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(protect, read_only)
{
	.prepare = nothing,
	.set = set_read_only,
};

static int set_tracked(FIXTURE_DATA(protect) *self, bool is_on)
{
	return userfault_write_protect(self->fd, self->counter, is_on);
}

static const char *track(FIXTURE_DATA(protect) *self)
{
	self->fd = userfault_watch(self->counter, 1, UFFDIO_REGISTER_MODE_WP,
				   0);
	return self->fd < 0 ? USERFAULT_ABSENT : NULL;
}

FIXTURE_VARIANT_ADD(protect, userfault)
{
	.prepare = track,
	.set = set_tracked,
};

static void *keep_adding(void *arg)
{
	FIXTURE_DATA(protect) *self = arg;
	struct cpu_op ops[] = {
		op_copy(self->scratch, self->scratch + HALF, HALF),
		op_copy(self->scratch + HALF, self->scratch, HALF - 8),
		op_add(self->counter, 1, sizeof(*self->counter)),
	};

	while (!self->stop) {
		int ret = cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);

		if (!ret)
			self->done++;
		else if (ret != -EFAULT)
			self->wrong = ret;
	}
	return NULL;
}

static pid_t occupy(int cpu)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_to(cpu);
	for (;;)
		;
}

FIXTURE_SETUP(protect)
{
	const char *reason;
	int i;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(true);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->counter = map_pages(1);
	ASSERT_TRUE(self->counter != MAP_FAILED);
	*self->counter = 0;
	self->scratch = map_pages(1);
	ASSERT_TRUE(self->scratch != MAP_FAILED);
	reason = variant->prepare(self);
	if (reason)
		SKIP(return, "%s", reason);
	self->neighbour = occupy(self->cpu);
	ASSERT_LT(0, self->neighbour);
	for (i = 0; i < NR_CALLERS; i++)
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL,
					    keep_adding, self));
}

FIXTURE_TEARDOWN(protect)
{
	kill(self->neighbour, SIGKILL);
	waitpid(self->neighbour, NULL, 0);
}

/* Whether the counter stays what it is, for a while. */
static bool stands_still(const atomic_ulong *counter)
{
	long long end = now_usec() + rand() % LOOK_USEC;
	unsigned long first = *counter;

	while (now_usec() < end) {
		if (*counter != first)
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(protect, nothing_is_stored, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long turns = 0, stores = 0;
	int i;

	for (; now_usec() < end || turns < MIN_TURNS; turns++) {
		ASSERT_EQ(0, variant->set(self, true));
		stores += !stands_still(self->counter);
		ASSERT_EQ(0, variant->set(self, false));
		usleep(rand() % 500);
	}
	self->stop = true;
	for (i = 0; i < NR_CALLERS; i++)
		ASSERT_EQ(0, pthread_join(self->threads[i], NULL));
	EXPECT_EQ(0, stores)
		TH_LOG("of %lu times", turns);
	EXPECT_EQ(0, atomic_load(&self->wrong));
	EXPECT_EQ(self->done, *self->counter);
	TH_LOG_OPERATIONS(self->done);
}

TEST_HARNESS_MAIN
