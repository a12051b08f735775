// SPDX-License-Identifier: GPL-2.0
/*
 * The operations of percpu_op.h do the same by a restartable sequence and by
 * cpu_opv(2), and a lock and a list for each CPU that are made of them hold
 * what many threads do to them on any CPU.
 */
#include <pthread.h>

#include "percpu_uses.h"
#include "kselftest_harness.h"

#define RUN_USEC	100000
#define MIN_TURNS	10	/* of each thread, on a slow machine */
#define MAX_THREADS	32
#define TRIES		1000

FIXTURE(op)
{
	intptr_t v, v2, load;
	intptr_t src[512], dst[512];	/* CPU_OP_DATA_LEN_MAX, on 64 bits */
	int cpu;
};

FIXTURE_VARIANT(op)
{
	bool other_cpu;
	int attempts;
	enum cpu_op_mo mo;
};

FIXTURE_VARIANT_ADD(op, own_cpu)
{
	.attempts = 2,
};

FIXTURE_VARIANT_ADD(op, own_cpu_release)
{
	.attempts = 2,
	.mo = CPU_OP_MO_RELEASE,
};

FIXTURE_VARIANT_ADD(op, own_cpu_by_cpu_opv)
{
};

FIXTURE_VARIANT_ADD(op, own_cpu_by_cpu_opv_release)
{
	.mo = CPU_OP_MO_RELEASE,
};

FIXTURE_VARIANT_ADD(op, other_cpu)
{
	.other_cpu = true,
	.attempts = 2,
};

FIXTURE_VARIANT_ADD(op, other_cpu_release)
{
	.other_cpu = true,
	.attempts = 2,
	.mo = CPU_OP_MO_RELEASE,
};

FIXTURE_SETUP(op)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	rseq_register_current_thread();
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	percpu_op_attempts = variant->attempts;
	self->v = 1;
	self->v2 = 2;
}

FIXTURE_TEARDOWN(op)
{
}

TEST_F(op, cmpeqv_storev)
{
	EXPECT_EQ(1, percpu_cmpeqv_storev(variant->mo, &self->v, 0, 5,
					  self->cpu));
	EXPECT_EQ(1, self->v);
	EXPECT_EQ(0, percpu_cmpeqv_storev(variant->mo, &self->v, 1, -5,
					  self->cpu));
	EXPECT_EQ(-5, self->v);
}

TEST_F(op, cmpnev_storeoffp_load)
{
	struct percpu_node node = { .item = 7, .next = 8 };
	const long offset = offsetof(struct percpu_node, next);

	EXPECT_LT(0, percpu_cmpnev_storeoffp_load(variant->mo, &self->v, 1,
						  offset, &self->load,
						  self->cpu));
	EXPECT_EQ(1, self->v);
	EXPECT_EQ(0, self->load);
	self->v = (intptr_t)&node;
	EXPECT_EQ(0, percpu_cmpnev_storeoffp_load(variant->mo, &self->v, 1,
						  offset, &self->load,
						  self->cpu));
	EXPECT_EQ(8, self->v);
	EXPECT_EQ((intptr_t)&node, self->load);
}

TEST_F(op, addv)
{
	EXPECT_EQ(0, percpu_addv(variant->mo, &self->v, INTPTR_MAX, self->cpu));
	EXPECT_EQ(INTPTR_MIN, self->v);
	EXPECT_EQ(0, percpu_addv(variant->mo, &self->v, -2, self->cpu));
	EXPECT_EQ(INTPTR_MAX - 1, self->v);
}

TEST_F(op, cmpeqv_cmpeqv_storev)
{
	EXPECT_LT(0, percpu_cmpeqv_cmpeqv_storev(variant->mo, &self->v, 0,
						 &self->v2, 2, 5, self->cpu));
	EXPECT_LT(0, percpu_cmpeqv_cmpeqv_storev(variant->mo, &self->v, 1,
						 &self->v2, 1, 5, self->cpu));
	EXPECT_EQ(1, self->v);
	EXPECT_EQ(0, percpu_cmpeqv_cmpeqv_storev(variant->mo, &self->v, 1,
						 &self->v2, 2, 5, self->cpu));
	EXPECT_EQ(5, self->v);
	EXPECT_EQ(2, self->v2);
}

TEST_F(op, cmpeqv_storev_storev)
{
	EXPECT_EQ(1, percpu_cmpeqv_storev_storev(variant->mo, &self->v, 0,
						 &self->v2, 6, 5, self->cpu));
	EXPECT_EQ(1, self->v);
	EXPECT_EQ(0, percpu_cmpeqv_storev_storev(variant->mo, &self->v, 1,
						 &self->v2, 6, 5, self->cpu));
	EXPECT_EQ(5, self->v);
	EXPECT_EQ(6, self->v2);
}

TEST_F(op, cmpeqv_memcpy_storev)
{
	fill(self->src, sizeof(self->src), 1);
	EXPECT_EQ(1, percpu_cmpeqv_memcpy_storev(variant->mo, &self->v, 0,
						 self->dst, self->src,
						 sizeof(self->src), 5,
						 self->cpu));
	EXPECT_EQ(1, self->v);
	EXPECT_EQ(0, percpu_cmpeqv_memcpy_storev(variant->mo, &self->v, 1,
						 self->dst, self->src,
						 sizeof(self->src), 5,
						 self->cpu));
	EXPECT_EQ(5, self->v);
	EXPECT_EQ(0, memcmp(self->dst, self->src, sizeof(self->src)));
}

/* The sequence first where it can be, cpu_opv(2) where it is to be. */
TEST_F(op, takes_the_right_way)
{
	int n, calls = percpu_op_calls;

	if (!variant->other_cpu)
		ASSERT_EQ(0, pin_to(self->cpu));
	for (n = 0; n < TRIES; n++)
		ASSERT_EQ(0, percpu_addv(variant->mo, &self->v, 1, self->cpu));
	EXPECT_EQ(1 + TRIES, self->v);
	calls = percpu_op_calls - calls;
	if (!variant->attempts)
		EXPECT_EQ(TRIES, calls);
	if (variant->attempts && !variant->other_cpu &&
	    rseq_current_cpu_raw() >= 0)
		EXPECT_GT(TRIES / 2, calls);
}

/* Threads, more than there are CPUs, that take turns until time is over. */

FIXTURE(threads)
{
	struct percpu {
		intptr_t lock;
		intptr_t count;
		struct percpu_list list;
	} __aligned(128) of_cpu[CPU_SETSIZE];
	struct percpu_node node[MAX_THREADS];
	int (*turn)(FIXTURE_DATA(threads) *self, int cpu, int next_cpu);
	struct thread {
		FIXTURE_DATA(threads) *self;
		pthread_t id;
		unsigned long turns;
		unsigned long calls;
		int error;
	} thread[MAX_THREADS];
	int nr;
	atomic_bool stop;
};

FIXTURE_SETUP(threads)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->nr = nr_cpus() * 2 + 1;
	if (self->nr > MAX_THREADS)
		self->nr = MAX_THREADS;
}

FIXTURE_TEARDOWN(threads)
{
}

/* On the CPU of the moment, at times on each other. */
static void *take_turns(void *arg)
{
	struct thread *t = arg;
	int cpu, other, nr = nr_cpus();

	rseq_register_current_thread();
	while (!t->error && (!t->self->stop || t->turns < MIN_TURNS)) {
		cpu = rseq_current_cpu();
		other = nth_cpu(t->turns / 8 % nr);
		if (t->turns % 8)
			t->error = t->self->turn(t->self, cpu, cpu);
		else
			t->error = t->self->turn(t->self, other, cpu);
		t->turns++;
	}
	t->calls = percpu_op_calls;
	return NULL;
}

/* Returns how many turns were taken. */
static unsigned long run_threads(struct __test_metadata *_metadata,
				 FIXTURE_DATA(threads) *self)
{
	unsigned long turns = 0, calls = 0;
	int n;

	for (n = 0; n < self->nr; n++) {
		self->thread[n].self = self;
		ASSERT_EQ(0, pthread_create(&self->thread[n].id, NULL,
					    take_turns, &self->thread[n]));
	}
	usleep(run_usec(RUN_USEC));
	self->stop = true;
	for (n = 0; n < self->nr; n++) {
		ASSERT_EQ(0, pthread_join(self->thread[n].id, NULL));
		EXPECT_EQ(0, self->thread[n].error);
		turns += self->thread[n].turns;
		calls += self->thread[n].calls;
	}
	TH_LOG_OPERATIONS(turns);
	TH_LOG("calls of cpu_opv(2): %lu", calls);
	return turns;
}

static int count_locked(FIXTURE_DATA(threads) *self, int cpu, int next_cpu)
{
	struct percpu *p = &self->of_cpu[cpu];
	int ret = percpu_lock(&p->lock, 1, cpu);
	intptr_t count = p->count;

	if (ret)
		return ret;
	if (count % 4 == 0)
		sched_yield();
	p->count = count + 1;
	percpu_unlock(&p->lock);
	return 0;
}

TEST_F_TIMEOUT(threads, spinlock, RUN_TIMEOUT)
{
	unsigned long turns, count = 0;
	int cpu;

	self->turn = count_locked;
	turns = run_threads(_metadata, self);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		count += self->of_cpu[cpu].count;
	EXPECT_EQ(turns, count);
}

/* A node that is taken is marked: who takes it next must not find that. */
static int move_node(FIXTURE_DATA(threads) *self, int cpu, int next_cpu)
{
	struct percpu_node *node;
	int ret = percpu_list_pop(CPU_OP_MO_RELAXED, &self->of_cpu[cpu].list,
				  &node, cpu);

	if (ret > 0)
		return 0;
	if (ret || node->item)
		return ret ?: -EEXIST;
	node->item = 1;
	sched_yield();
	node->item = 0;
	return percpu_list_push(CPU_OP_MO_RELAXED,
				&self->of_cpu[next_cpu].list, node, next_cpu);
}

TEST_F_TIMEOUT(threads, list, RUN_TIMEOUT)
{
	struct percpu_node *node;
	int n, cpu, found = 0;

	for (n = 0; n < MAX_THREADS; n++) {
		cpu = nth_cpu(n % nr_cpus());
		ASSERT_EQ(0, percpu_list_push(CPU_OP_MO_RELAXED,
					      &self->of_cpu[cpu].list,
					      &self->node[n], cpu));
	}
	self->turn = move_node;
	run_threads(_metadata, self);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		node = (struct percpu_node *)self->of_cpu[cpu].list.head;
		for (; node; node = (struct percpu_node *)node->next) {
			ASSERT_EQ(0, node->item)
				TH_LOG("a node is in lists twice");
			node->item = 1;
			found++;
		}
	}
	EXPECT_EQ(MAX_THREADS, found);
}

TEST_HARNESS_MAIN
