// SPDX-License-Identifier: GPL-2.0
/*
 * Push to and pop from a list of one CPU, from all CPUs, while nodes that were
 * popped are unmapped until they are pushed again. A pop reads the next node
 * from where the head pointed when it looked: EAGAIN if nothing is there any
 * more, or that the head has changed, or success; never EFAULT, and never a
 * list that has lost a node or has one twice.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	100000
#define MIN_POPS	50	/* on a slow machine */
#define NR_NODES	8
#define MAX_THREADS	16

/* At the beginning of a page of its own. */
struct node {
	struct node *next;
};

FIXTURE(pop)
{
	atomic_uintptr_t head;		/* struct node * */
	char *pages;			/* of the nodes */
	atomic_bool taken[NR_NODES];	/* popped, and not yet pushed */
	int cpu;
	int (*take)(void *page);
	int (*give)(void *page);
	atomic_ulong pops, retries, faults;
	atomic_bool stop;
	const char *error;
	int errno_of_call;
	pthread_t threads[MAX_THREADS];
};

FIXTURE_VARIANT(pop)
{
	int (*take)(void *page);	/* away, once it is popped */
	int (*give)(void *page);	/* back; 0 or -errno */
	bool faults;			/* meanwhile, who accesses it */
};

static int map(void *page)
{
	return mmap(page, page_size(), PROT_READ | PROT_WRITE, MAP_FIXED |
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == page ? 0 : -errno;
}

static int unmap(void *page)
{
	return munmap(page, page_size()) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(pop, unmap)
{
	.take = unmap,
	.give = map,
	.faults = true,
};

static int forbid(void *page)
{
	return mprotect(page, page_size(), PROT_NONE) ? -errno : 0;
}

static int allow(void *page)
{
	return mprotect(page, page_size(), PROT_READ | PROT_WRITE) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(pop, forbid)
{
	.take = forbid,
	.give = allow,
	.faults = true,
};

static int drop(void *page)
{
	return madvise(page, page_size(), MADV_DONTNEED) ? -errno : 0;
}

static int nothing(void *page)
{
	return 0;
}

/* A stale read of the next node would be of zeros. */
FIXTURE_VARIANT_ADD(pop, drop)
{
	.take = drop,
	.give = nothing,
};

static void fail(FIXTURE_DATA(pop) *self, const char *error, int errno_of_call)
{
	self->errno_of_call = errno_of_call;
	self->error = error;
	self->stop = true;
}

/* Both return as cpu_opv() does. */

static int try_pop(FIXTURE_DATA(pop) *self, struct node *node)
{
	struct cpu_op ops[] = {
		op_eq(&self->head, &node, sizeof(node)),
		op_copy(&self->head, &node->next, sizeof(node)),
	};

	ops[1].u.memcpy_op.expect_fault_src = 1;
	return cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);
}

static int try_push(FIXTURE_DATA(pop) *self, struct node *node)
{
	struct cpu_op ops[] = {
		op_eq(&self->head, &node->next, sizeof(node)),
		op_copy(&self->head, &node, sizeof(node)),
	};

	node->next = (void *)self->head;
	return cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);
}

/* Returns NULL if the list is empty. */
static struct node *pop(FIXTURE_DATA(pop) *self, unsigned int *seed)
{
	while (!self->stop) {
		struct node *node = (void *)self->head;
		int ret;

		if (!node)
			return NULL;
		/* Others pop it, and take it away. */
		if (rand_r(seed) % 2)
			sched_yield();
		ret = try_pop(self, node);
		if (!ret)
			return node;
		self->retries += ret == 1;
		self->faults += ret == -EAGAIN;
		if (ret != 1 && ret != -EAGAIN)
			fail(self, "a call returned what it must not", ret);
	}
	return NULL;
}

static void push(FIXTURE_DATA(pop) *self, struct node *node)
{
	int ret;

	do
		ret = try_push(self, node);
	while (ret == 1);
	if (ret)
		fail(self, "a call returned what it must not", ret);
}

static int index_of(FIXTURE_DATA(pop) *self, struct node *node)
{
	return ((char *)node - self->pages) / page_size();
}

static void *pop_and_push(void *arg)
{
	FIXTURE_DATA(pop) *self = arg;
	unsigned int seed = gettid();

	while (!self->stop) {
		struct node *node = pop(self, &seed);
		int i;

		if (!node)
			continue;
		i = index_of(self, node);
		if (i < 0 || i >= NR_NODES)
			fail(self, "what was popped is no node", 0);
		else if (atomic_exchange(&self->taken[i], true))
			fail(self, "a node was popped twice", 0);
		if (self->error)
			break;
		if (self->take(node))
			fail(self, "cannot take a node away", 0);
		if (rand_r(&seed) % 2)
			sched_yield();
		if (self->give(node))
			fail(self, "cannot give a node back", 0);
		self->taken[i] = false;
		push(self, node);
		self->pops++;
	}
	return NULL;
}

FIXTURE_SETUP(pop)
{
	int i;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(nr_cpus() > 1);
	ASSERT_LE(0, self->cpu);
	self->take = variant->take;
	self->give = variant->give;
	self->pages = map_pages(NR_NODES);
	ASSERT_TRUE(self->pages != MAP_FAILED);
	for (i = 0; i < NR_NODES; i++)
		push(self, (void *)(self->pages + i * page_size()));
	ASSERT_TRUE(!self->error);
}

FIXTURE_TEARDOWN(pop)
{
}

TEST_F_TIMEOUT(pop, tries_again_or_succeeds, RUN_TIMEOUT)
{
	int i, nr = 2 * nr_cpus() < MAX_THREADS ? 2 * nr_cpus() : MAX_THREADS;
	long long end = now_usec() + run_usec(RUN_USEC);
	struct node *node;

	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL,
					    pop_and_push, self));
	while ((now_usec() < end || self->pops < MIN_POPS ||
		(variant->faults && is_awaited(self->faults, end))) &&
	       !self->stop)
		usleep(1000);
	self->stop = true;
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, pthread_join(self->threads[i], NULL));
	ASSERT_TRUE(!self->error)
		TH_LOG("%s (%d)", self->error, self->errno_of_call);

	if (variant->faults)
		EXPECT_LT(0, atomic_load(&self->faults));

	/* Each node is in the list, once. */
	for (i = 0, node = (void *)self->head; node; node = node->next, i++) {
		ASSERT_LE(0, index_of(self, node));
		ASSERT_GT(NR_NODES, index_of(self, node));
		ASSERT_FALSE(atomic_load(&self->taken[index_of(self, node)]));
		self->taken[index_of(self, node)] = true;
	}
	EXPECT_EQ(NR_NODES, i);
	TH_LOG_OPERATIONS(2 * self->pops);
	TH_LOG("%lu times the head had changed, %lu times the node was gone",
	       self->retries, self->faults);
}

TEST_HARNESS_MAIN
