/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A counter that threads on all CPUs increment on one CPU, by compare-and-store
 * and by add, while the test disturbs the memory that it is in. At the end it
 * must hold as many increments as succeeded. A thread on that CPU, the watch,
 * looks at it with plain loads: it must never go back, and what the thread
 * writes beside it must be found by the next vector.
 *
 * Include it after kselftest_harness.h.
 */
#ifndef CPU_OPV_INCREMENTS_H
#define CPU_OPV_INCREMENTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"

#define MAX_WORKERS	16
#define LOOKS		20	/* of the watch, between two of its stores */

/* In the memory that is disturbed. */
struct incremented {
	atomic_ulong counter;
	atomic_ulong turn;	/* of the watch */
};

struct increments {
	struct incremented *p;
	int cpu;		/* the target */
	int plain;		/* PROT_ flags: what always works without cpu_opv */
	int error;		/* that calls may return as well */
	atomic_ulong runs;	/* of vectors */
	atomic_ulong seen;	/* value of turn that the last one found */
	atomic_ulong done;	/* increments */
	atomic_ulong failed;	/* calls */
	atomic_bool paused;
	atomic_bool stop;
	const char *complaint;
	atomic_int wrong;	/* result of a call */
	pthread_t threads[MAX_WORKERS + 1];
	int nr_threads;
};

static inline void complain(struct increments *inc, const char *complaint)
{
	inc->complaint = complaint;
	inc->stop = true;
}

static inline void wait_while_paused(struct increments *inc)
{
	while (inc->paused && !inc->stop)
		usleep(100);
}

static inline int increment_by_add(struct increments *inc)
{
	struct cpu_op ops[] = {
		op_copy(&inc->seen, &inc->p->turn, sizeof(inc->seen)),
		op_add(&inc->runs, 1, sizeof(inc->runs)),
		op_add(&inc->p->counter, 1, sizeof(inc->p->counter)),
	};

	return cpu_opv(ops, ARRAY_SIZE(ops), inc->cpu, 0);
}

static inline int increment_by_compare_and_store(struct increments *inc)
{
	unsigned long before, after = 0;
	struct cpu_op load = op_copy(&before, &inc->p->counter, sizeof(before));
	struct cpu_op ops[] = {
		op_eq(&inc->p->counter, &before, sizeof(before)),
		op_copy(&inc->seen, &inc->p->turn, sizeof(inc->seen)),
		op_add(&inc->runs, 1, sizeof(inc->runs)),
		op_copy(&inc->p->counter, &after, sizeof(after)),
	};
	int ret = cpu_opv(&load, 1, inc->cpu, 0);

	if (ret)
		return ret;
	after = before + 1;
	return cpu_opv(ops, ARRAY_SIZE(ops), inc->cpu, 0);
}

static inline void work(struct increments *inc,
			int (*increment)(struct increments *inc))
{
	while (!inc->stop) {
		int ret;

		wait_while_paused(inc);
		ret = increment(inc);
		if (!ret) {
			inc->done++;
		} else if (ret == inc->error) {
			inc->failed++;
		} else if (ret != 1) {
			inc->wrong = ret;
			complain(inc, "a call returned what it must not");
		}
	}
}

static inline void *work_by_add(void *inc)
{
	work(inc, increment_by_add);
	return NULL;
}

static inline void *work_by_compare_and_store(void *inc)
{
	work(inc, increment_by_compare_and_store);
	return NULL;
}

/* No vector runs between two loads that find "runs" unchanged. */
static inline const char *look_at(struct increments *inc, unsigned long turn,
				  unsigned long touched, unsigned long *last)
{
	unsigned long runs = inc->runs;
	unsigned long seen = inc->seen;
	unsigned long counter = inc->p->counter;

	if (counter < *last)
		return "the counter went back";
	*last = counter;
	if (inc->p->turn != turn)
		return "the memory lost what the watch wrote";
	if (runs == inc->runs && runs != touched && seen != turn &&
	    inc->plain & PROT_WRITE)
		return "a vector did not find what the watch wrote";
	return NULL;
}

static inline void *watch(void *arg)
{
	struct increments *inc = arg;
	unsigned long turn = 0, last = 0, touched;
	const char *complaint = NULL;
	int i;

	wait_while_paused(inc);
	if (pin_to(inc->cpu))
		complain(inc, "cannot pin the thread");
	while (!inc->stop) {
		if (inc->plain & PROT_WRITE)
			inc->p->turn = ++turn;
		touched = inc->runs;
		for (i = 0; i < LOOKS && !complaint; i++)
			complaint = look_at(inc, turn, touched, &last);
		if (complaint)
			complain(inc, complaint);
		wait_while_paused(inc);
	}
	return NULL;
}

/* Starts a thread on the nth CPU; it may run on the others as well, soon. */
static inline void start_on(struct __test_metadata *_metadata,
			    struct increments *inc, int nth,
			    void *(*thread)(void *inc))
{
	cpu_set_t allowed;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
	ASSERT_EQ(0, pin_to(nth_cpu(nth)));
	ASSERT_EQ(0, pthread_create(&inc->threads[inc->nr_threads++], NULL,
				    thread, inc));
	ASSERT_EQ(0, pthread_setaffinity_np(inc->threads[inc->nr_threads - 1],
					    sizeof(allowed), &allowed));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
}

static inline void start(struct __test_metadata *_metadata,
			 struct increments *inc, void *p, int plain, int error)
{
	int i, last = nr_cpus() > MAX_WORKERS ? MAX_WORKERS : nr_cpus() - 1;

	inc->p = p;
	inc->cpu = nth_cpu(last);
	inc->plain = plain;
	inc->error = error;
	inc->paused = true;	/* until the threads may run where they like */
	if (plain)
		start_on(_metadata, inc, last, watch);
	for (i = 0; i < last || !i; i++)
		start_on(_metadata, inc, i, i % 2 ? work_by_add :
			 work_by_compare_and_store);
	inc->paused = false;
}

/* So that nobody has the page when the disturbance begins, and soon all do. */
static inline void pause_increments(struct increments *inc)
{
	inc->paused = true;
	usleep(rand() % 500);
	inc->paused = false;
}

static inline void finish(struct __test_metadata *_metadata,
			  struct increments *inc)
{
	inc->stop = true;
	while (inc->nr_threads)
		ASSERT_EQ(0, pthread_join(inc->threads[--inc->nr_threads],
					  NULL));
	EXPECT_TRUE(!inc->complaint)
		TH_LOG("%s (%d)", inc->complaint, inc->wrong);
	EXPECT_LT(0, atomic_load(&inc->done));
	EXPECT_EQ(atomic_load(&inc->done), atomic_load(&inc->p->counter));
	TH_LOG_OPERATIONS(inc->done + inc->failed);
}

#endif /* CPU_OPV_INCREMENTS_H */
