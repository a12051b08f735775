// SPDX-License-Identifier: GPL-2.0
/*
 * A storm of CPU hotplug while threads work by cpu_opv(2) on the counters and
 * lists of all CPUs, be these online or not: no increment and no node of a
 * list is lost, and none is there twice.
 *
 * Needs root. Takes the last CPU offline, or one after the other if it runs in
 * full; they are back when it ends.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "cpu_hotplug.h"

#define RUN_USEC	300000
#define MIN_TURNS	8	/* of a CPU that comes or goes */
#define TURN_USEC	20000
#define MAX_THREADS	8
#define NR_NODES	64

struct node {
	struct node *next;
	bool seen;		/* at the end */
};

FIXTURE(hotplug)
{
	struct of_cpu {
		__u64 counter;
		struct node *head;	/* of a list */
		char pad[112];
	} of_cpu[CPU_SETSIZE];
	struct node nodes[NR_NODES];
	int cpus[CPU_SETSIZE];		/* that were there at the beginning */
	int nr_cpus;
	int nr_leaving;			/* the last of these come and go */
	bool is_offline[CPU_SETSIZE];
	atomic_int victim;		/* CPU of the moment */
	atomic_bool stop;
	struct worker {
		FIXTURE_DATA(hotplug) *self;
		pthread_t thread;
		unsigned int random;
		unsigned long adds, moves;
		int error;
		char scratch[4096];
	} workers[MAX_THREADS];
};

static int toggle(FIXTURE_DATA(hotplug) *self, int cpu)
{
	int ret = set_online(cpu, self->is_offline[cpu]);

	if (!ret)
		self->is_offline[cpu] = !self->is_offline[cpu];
	return ret;
}

FIXTURE_SETUP(hotplug)
{
	int n, last, ret;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	wait_until_restored();
	bring_back_at_end(_metadata);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->nr_cpus = nr_cpus();
	for (n = 0; n < self->nr_cpus; n++)
		self->cpus[n] = nth_cpu(n);
	self->nr_leaving = runs_in_full() ? self->nr_cpus : 1;
	last = self->cpus[self->nr_cpus - 1];
	self->victim = last;
	ret = toggle(self, last);
	if (ret)
		SKIP(return, "cannot take CPU %d offline: %s", last,
		     strerror(-ret));
}

FIXTURE_TEARDOWN_PARENT(hotplug)
{
	wait_until_restored();
}

/* Mostly the CPU that comes or goes, so that the threads meet there. */
static int random_cpu(struct worker *w)
{
	unsigned int random = rand_r(&w->random);

	return random % 4 ? w->self->victim :
		w->self->cpus[random / 4 % w->self->nr_cpus];
}

static int increment(struct worker *w, int cpu)
{
	int ret;

	do {
		ret = long_increment(&w->self->of_cpu[cpu].counter, w->scratch,
				     cpu);
	} while (ret > 0);
	return ret;
}

/* The list may have changed when the call is made: both try again then. */

static int push(struct worker *w, int cpu, struct node *node)
{
	struct node **head = &w->self->of_cpu[cpu].head, *first = NULL;
	struct cpu_op ops[] = {
		op_eq(head, &first, sizeof(first)),
		op_copy_release(head, &node, sizeof(node)),
	};
	int ret;

	do {
		first = __atomic_load_n(head, __ATOMIC_RELAXED);
		node->next = first;
		ret = cpu_opv(ops, 2, cpu, 0);
	} while (ret > 0);
	return ret;
}

static int pop(struct worker *w, int cpu, struct node **node)
{
	struct node **head = &w->self->of_cpu[cpu].head;
	struct cpu_op ops[2] = { op_eq(head, node, sizeof(*node)) };
	int ret;

	do {
		*node = __atomic_load_n(head, __ATOMIC_CONSUME);
		if (!*node)
			return 0;
		ops[1] = op_copy(head, &(*node)->next, sizeof(*node));
		ret = cpu_opv(ops, 2, cpu, 0);
	} while (ret > 0);
	return ret;
}

/* Increments the counter of a CPU, moves a node from one CPU to another. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct node *node;

	while (!w->self->stop && !w->error) {
		let_be_moved();
		w->error = increment(w, random_cpu(w));
		if (w->error)
			break;
		w->adds++;
		w->error = pop(w, random_cpu(w), &node);
		if (w->error || !node)
			continue;
		w->error = push(w, random_cpu(w), node);
		w->moves++;
	}
	return NULL;
}

static __u64 sum_of_counters(FIXTURE_DATA(hotplug) *self)
{
	__u64 sum = 0;
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		sum += self->of_cpu[cpu].counter;
	return sum;
}

/* How many nodes the lists have, or -1 if one is there twice. */
static int count_nodes(FIXTURE_DATA(hotplug) *self)
{
	struct node *node;
	int cpu, nr = 0;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		for (node = self->of_cpu[cpu].head; node; node = node->next) {
			if (node->seen)
				return -1;
			node->seen = true;
			nr++;
		}
	}
	return nr;
}

/* Takes one CPU after the other away or brings it back, for a while. */
static unsigned int storm(FIXTURE_DATA(hotplug) *self)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned int random = 1, turns = 0;

	while (now_usec() < end || turns < MIN_TURNS) {
		int nth = rand_r(&random) % self->nr_leaving + 1;
		int cpu = self->cpus[self->nr_cpus - nth];

		/* Some CPU cannot go, and the last one online must not. */
		if (toggle(self, cpu))
			continue;
		self->victim = cpu;
		turns++;
		usleep(TURN_USEC);
	}
	return turns;
}

TEST_F_TIMEOUT(hotplug, nothing_is_lost, RUN_TIMEOUT)
{
	int nr = self->nr_cpus + 1 < MAX_THREADS ? self->nr_cpus + 1 :
						   MAX_THREADS;
	unsigned long adds = 0, moves = 0;
	unsigned int turns;
	int n;

	for (n = 0; n < NR_NODES; n++) {
		struct of_cpu *of_cpu = &self->of_cpu[self->cpus[n % 2]];

		self->nodes[n].next = of_cpu->head;
		of_cpu->head = &self->nodes[n];
	}
	for (n = 0; n < nr; n++) {
		self->workers[n].self = self;
		self->workers[n].random = n;
		ASSERT_EQ(0, pthread_create(&self->workers[n].thread, NULL,
					    work, &self->workers[n]));
	}
	turns = storm(self);
	self->stop = true;
	for (n = 0; n < nr; n++) {
		ASSERT_EQ(0, pthread_join(self->workers[n].thread, NULL));
		EXPECT_EQ(0, self->workers[n].error);
		adds += self->workers[n].adds;
		moves += self->workers[n].moves;
	}
	EXPECT_NE(0, adds);
	EXPECT_EQ(adds, sum_of_counters(self));
	EXPECT_EQ(NR_NODES, count_nodes(self));
	TH_LOG_OPERATIONS(adds + 2 * moves);
	TH_LOG("%u times a CPU came or went", turns);
}

TEST_HARNESS_MAIN
