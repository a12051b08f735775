// SPDX-License-Identifier: GPL-2.0
/*
 * fork(2) again and again, with several children at a time, while cpu_opv(2)
 * increments a counter of the parent: children never see an increment that was
 * made after their fork, nor the parent one of theirs, and the parent loses
 * none.
 */
#include "kselftest_harness.h"
#include "increments.h"

#define RUN_USEC	150000
#define MIN_CHILDREN	8	/* on a slow machine */
#define AT_A_TIME	4
#define LOOKS_OF_CHILD	50

FIXTURE(fork_storm)
{
	struct increments inc;
	struct incremented *p;
	/* Shared with each child: how many increments its fork may have seen. */
	atomic_ulong *at_most;
	unsigned long children;
};

FIXTURE_VARIANT(fork_storm)
{
	bool huge;
};

FIXTURE_VARIANT_ADD(fork_storm, small_pages)
{
	.huge = false,
};

FIXTURE_VARIANT_ADD(fork_storm, huge_pages)
{
	.huge = true,
};

/* Why a child fails, as its exit status. */
enum {
	CHANGED = 1,		/* its counter, without its doing */
	LOST,			/* an increment made before the fork */
	AHEAD,			/* it has one made after the fork */
	CALL_FAILED,
	NOT_ITS_OWN,		/* what it wrote is not there */
};

/*
 * Starts with the increments of the parent up to the fork, adds its own, and
 * sees no others, also while both still have to part with the page.
 */
static int be_child(FIXTURE_DATA(fork_storm) *self, unsigned long at_least,
		    atomic_ulong *at_most)
{
	unsigned long first = self->p->counter;
	struct cpu_op add = op_add(&self->p->counter, 1, sizeof(first));
	struct cpu_op eq = op_eq(&self->p->counter, &first, sizeof(first));
	int i;

	if (first < at_least)
		return LOST;
	for (i = 0; i < LOOKS_OF_CHILD; i++) {
		if (self->p->counter != first)
			return CHANGED;
		sched_yield();
	}
	for (i = 0; i < LOOKS_OF_CHILD; i++) {
		int ret = cpu_opv(&eq, 1, self->inc.cpu, 0);

		if (ret)
			return ret == 1 ? CHANGED : CALL_FAILED;
		if (cpu_opv(&add, 1, self->inc.cpu, 0))
			return CALL_FAILED;
		if (self->p->counter != ++first)
			return NOT_ITS_OWN;
	}
	while (!*at_most)
		usleep(100);
	return first - LOOKS_OF_CHILD > *at_most ? AHEAD : 0;
}

FIXTURE_SETUP(fork_storm)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->p = map_page(variant->huge);
	if (!self->p)
		SKIP(return, "needs CONFIG_TRANSPARENT_HUGEPAGE");
	self->at_most = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->at_most != MAP_FAILED);
}

FIXTURE_TEARDOWN(fork_storm)
{
}

/* Calls that are under way may have done their increment, too. */
static pid_t fork_child(FIXTURE_DATA(fork_storm) *self, atomic_ulong *at_most)
{
	unsigned long at_least = self->inc.done;
	pid_t pid;

	*at_most = 0;
	pid = fork();
	if (!pid)
		_exit(be_child(self, at_least, at_most));
	*at_most = self->inc.done + self->inc.nr_threads;
	return pid;
}

static void fork_some(struct __test_metadata *_metadata,
		      FIXTURE_DATA(fork_storm) *self)
{
	pid_t pids[AT_A_TIME];
	int i, status;

	for (i = 0; i < AT_A_TIME; i++) {
		pids[i] = fork_child(self, &self->at_most[i]);
		ASSERT_LT(0, pids[i]);
	}
	for (i = 0; i < AT_A_TIME; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_TRUE(WIFEXITED(status));
		EXPECT_EQ(0, WEXITSTATUS(status));
		self->children++;
	}
}

TEST_F_TIMEOUT(fork_storm, keeps_parent_and_children_apart, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);

	start(_metadata, &self->inc, self->p, PROT_READ | PROT_WRITE, 0);
	while ((now_usec() < end || self->children < MIN_CHILDREN) &&
	       !self->inc.stop && _metadata->exit_code == KSFT_PASS)
		fork_some(_metadata, self);
	finish(_metadata, &self->inc);
	TH_LOG("%lu children", self->children);
}

TEST_HARNESS_MAIN
