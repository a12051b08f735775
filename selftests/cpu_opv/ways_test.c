// SPDX-License-Identifier: GPL-2.0
/*
 * All ways in which cpu_opv(2) gets to be alone with a CPU at once: by callers
 * on CPUs that go idle and get busy all the time, that come and go, and by
 * callers elsewhere. Some pin pages, and some are of words, on the same memory.
 * No vector is under way while another one is, or a thread of that CPU; each
 * finds what the thread wrote before; none is lost.
 *
 * What the kernel counts of the ways and their edges is printed. Of each way,
 * and in a long run of the edges that are met often, some must have been taken:
 * what was not met was not tested.
 *
 * Needs root for the way of an offline CPU. Takes the last CPU offline, or one
 * of the last two if it runs in full; they are back when it ends.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "cpu_hotplug.h"
#include "stats.h"

#define RUN_USEC	1000000
#define LIMIT_USEC	60000000	/* for all ways to be met */
#define LONG_RUN_USEC	10000000	/* in which edges are met, too */
#define MIN_MET		10
#define TURN_USEC	20000		/* until a CPU comes or goes */
#define NAP_USEC	200
#define LOOKS		50
#define NR_TARGETS	2
#define NR_CALLERS	3
#define LEN		1000

/* In a page of its own. */
struct target {
	atomic_ulong counter;		/* of vectors */
	atomic_ulong turn;		/* of the thread there */
	atomic_ulong loads;		/* of the turn, by vectors, ... */
	atomic_ulong seen;		/* ... and what the last one found */
	atomic_ulong none;		/* which is 0 */
	atomic_char busy[LEN];			/* 1 while a vector is under way */
};

FIXTURE(ways)
{
	int nr_targets;
	int cpus[NR_TARGETS];		/* the targets */
	struct target *targets[NR_TARGETS];
	char *zeros;			/* a page that comes and goes */
	char ones[LEN];
	atomic_bool stop;
	atomic_int error;		/* of a call */
	const char *complaint;
	pid_t stranger;			/* another process on the targets */
	bool can_go;			/* the last target */
	bool has_words;			/* which are not pinned */
	struct worker {
		FIXTURE_DATA(ways) *self;
		pthread_t thread;
		int target;		/* on which it is, or -1 */
		unsigned int random;
		unsigned long done[NR_TARGETS];
		unsigned long looks;
	} workers[NR_TARGETS + NR_CALLERS];
};

FIXTURE_SETUP(ways)
{
	int n;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	wait_until_restored();
	bring_back_at_end(_metadata);
	self->nr_targets = nr_cpus() > NR_TARGETS ? NR_TARGETS : 1;
	self->zeros = map_pages(1);
	ASSERT_TRUE((void *)self->zeros != MAP_FAILED);
	memset(self->ones, 1, LEN);
	for (n = 0; n < self->nr_targets; n++) {
		self->cpus[n] = nth_cpu(nr_cpus() - self->nr_targets + n);
		self->targets[n] = map_pages(1);
		ASSERT_TRUE((void *)self->targets[n] != MAP_FAILED);
	}
}

FIXTURE_TEARDOWN_PARENT(ways)
{
	wait_until_restored();
}

static void complain(FIXTURE_DATA(ways) *self, const char *complaint)
{
	self->complaint = complaint;
	self->stop = true;
}

/* A vector that stays under way for long, if there is no other. */
static int call_alone(FIXTURE_DATA(ways) *self, int n)
{
	struct target *target = self->targets[n];
	struct cpu_op ops[] = {
		op_eq(target->busy, self->zeros, LEN),
		op_copy(target->busy, self->ones, LEN),
		op_add(&target->counter, 1, sizeof(target->counter)),
		op_copy_release(target->busy, self->zeros, LEN),
	};

	return cpu_opv(ops, ARRAY_SIZE(ops), self->cpus[n], 0);
}

/* One that takes note of the turn. */
static int call_to_load(FIXTURE_DATA(ways) *self, int n)
{
	struct target *target = self->targets[n];
	struct cpu_op ops[] = {
		op_eq(target->busy, self->zeros, 8),
		op_copy(&target->seen, &target->turn, sizeof(target->seen)),
		op_add(&target->loads, 1, sizeof(target->loads)),
		op_add(&target->counter, 1, sizeof(target->counter)),
	};

	return cpu_opv(ops, ARRAY_SIZE(ops), self->cpus[n], 0);
}

/* One of words. */
static int call_for_words(FIXTURE_DATA(ways) *self, int n)
{
	struct target *target = self->targets[n];
	struct cpu_op ops[] = {
		op_eq(target->busy, &target->none, sizeof(target->none)),
		op_add(&target->counter, 1, sizeof(target->counter)),
	};

	return cpu_opv(ops, ARRAY_SIZE(ops), self->cpus[n], 0);
}

static int call_of_some_kind(FIXTURE_DATA(ways) *self, int n, int kind)
{
	switch (kind % 3) {
	case 0:
		return call_alone(self, n);
	case 1:
		return call_to_load(self, n);
	default:
		return call_for_words(self, n);
	}
}

static void call(struct worker *worker, int n)
{
	FIXTURE_DATA(ways) *self = worker->self;
	int ret = call_of_some_kind(self, n, rand_r(&worker->random));

	if (ret == 1)
		complain(self, "a vector found another one under way");
	else if (ret)
		self->error = ret;
	worker->done[n] += !ret;
}

static bool goes_on(FIXTURE_DATA(ways) *self)
{
	return !self->stop && !self->error;
}

static void *call_all(void *arg)
{
	struct worker *worker = arg;
	int nr = worker->self->nr_targets;

	while (goes_on(worker->self)) {
		call(worker, rand_r(&worker->random) % nr);
		let_be_moved();
	}
	return NULL;
}

/* What a thread finds wrong with its CPU, if it is still there then. */
static const char *look(struct target *target, unsigned long turn,
			unsigned long before)
{
	unsigned long loads = target->loads, seen = target->seen;

	if (atomic_load(&target->busy[0]) || atomic_load(&target->busy[LEN - 1]))
		return "a thread found a vector under way on its CPU";
	if (loads == target->loads && loads != before && seen != turn)
		return "a vector did not find what a thread wrote there";
	return NULL;
}

static void nap(unsigned int *random)
{
	switch (rand_r(random) % 4) {
	case 0:
		sched_yield();
		break;
	case 1:
		usleep(1);
		break;
	default:
		usleep(rand_r(random) % NAP_USEC);
	}
}

/*
 * On a target: calls, looks, and lets the CPU go idle, again and again. It is
 * driven away when the CPU goes, and comes back.
 */
static void *flip(void *arg)
{
	struct worker *worker = arg;
	int cpu = worker->self->cpus[worker->target];
	struct target *target = worker->self->targets[worker->target];
	unsigned long turn, loads;
	const char *complaint;
	int i;

	for (turn = 1; goes_on(worker->self); turn++) {
		if (sched_getcpu() != cpu && pin_to(cpu)) {
			usleep(TURN_USEC / 10);
			continue;
		}
		target->turn = turn;
		loads = target->loads;
		if (rand_r(&worker->random) % 2)
			call(worker, worker->target);
		for (i = rand_r(&worker->random) % LOOKS; i >= 0; i--) {
			complaint = look(target, turn, loads);
			if (complaint && sched_getcpu() == cpu)
				complain(worker->self, complaint);
			worker->looks++;
		}
		nap(&worker->random);
	}
	return NULL;
}

/* Another process, on the last target, which flips likewise. */
static pid_t start_stranger(FIXTURE_DATA(ways) *self)
{
	int cpu = self->cpus[self->nr_targets - 1];
	unsigned int random = 1;
	pid_t pid = fork_endless();
	long long end;

	while (!pid) {
		if (sched_getcpu() != cpu && pin_to(cpu))
			usleep(TURN_USEC / 10);
		end = now_usec() + rand_r(&random) % NAP_USEC;
		while (now_usec() < end)
			;
		nap(&random);
	}
	return pid;
}

static void start(struct __test_metadata *_metadata, FIXTURE_DATA(ways) *self)
{
	int n;

	self->stranger = start_stranger(self);
	ASSERT_LT(0, self->stranger);
	for (n = 0; n < self->nr_targets + NR_CALLERS; n++) {
		struct worker *worker = &self->workers[n];

		worker->self = self;
		worker->random = n;
		worker->target = n < self->nr_targets ? n : -1;
		ASSERT_EQ(0, pthread_create(&worker->thread, NULL,
					    n < self->nr_targets ? flip :
					    call_all, worker));
	}
}

static void finish(struct __test_metadata *_metadata, FIXTURE_DATA(ways) *self)
{
	unsigned long done[NR_TARGETS] = {}, all = 0, looks = 0;
	int n, i;

	self->stop = true;
	for (n = 0; n < self->nr_targets + NR_CALLERS; n++) {
		ASSERT_EQ(0, pthread_join(self->workers[n].thread, NULL));
		for (i = 0; i < self->nr_targets; i++)
			done[i] += self->workers[n].done[i];
		looks += self->workers[n].looks;
	}
	kill(self->stranger, SIGKILL);
	waitpid(self->stranger, NULL, 0);
	EXPECT_EQ(0, atomic_load(&self->error));
	EXPECT_TRUE(!self->complaint)
		TH_LOG("%s", self->complaint);
	for (i = 0; i < self->nr_targets; i++) {
		EXPECT_EQ(done[i], atomic_load(&self->targets[i]->counter));
		all += done[i];
	}
	TH_LOG_OPERATIONS(all);
	TH_LOG("%lu looks", looks);
}

/* Whether a kernel that can do without pins did. */
static bool has_words(FIXTURE_DATA(ways) *self)
{
	struct stats before = read_stats();

	self->targets[0]->counter = 0;
	call_for_words(self, 0);
	self->targets[0]->counter = 0;
	return counted_since(&before, "unpinned");
}

static const char * const the_ways[] = {
	"own", "idle", "busy", "offline", "unpinned",
};

static const char * const often_met[] = {
	"foreign", "contended", "idle_lost", "faulted",
};

/* Whether there is such a way here, so far. */
static bool is_there(FIXTURE_DATA(ways) *self, const char *way)
{
	return (self->can_go || strcmp(way, "offline")) &&
	       (self->has_words || strcmp(way, "unpinned"));
}

/* The first that was not met often enough, if that is known, or NULL. */
static const char *not_met(FIXTURE_DATA(ways) *self, const struct stats *before,
			   bool was_long)
{
	struct stats stats = stats_since(before);
	size_t i;

	for (i = 0; stats.nr && i < ARRAY_SIZE(the_ways); i++) {
		if (stat_of(&stats, the_ways[i]) < MIN_MET &&
		    is_there(self, the_ways[i]))
			return the_ways[i];
	}
	for (i = 0; stats.nr && was_long && i < ARRAY_SIZE(often_met); i++) {
		if (!stat_of(&stats, often_met[i]))
			return often_met[i];
	}
	return NULL;
}

static void print(const struct stats *before)
{
	struct stats stats = stats_since(before);
	int i;

	if (!stats.nr)
		ksft_print_msg("ways not known: " STATS_ABSENT "\n");
	for (i = 0; i < stats.nr; i++)
		ksft_print_msg("way %-12s %10lu\n", stats.of[i].name,
			       stats.of[i].value);
}

/* Takes a target away, or brings it back, again and again for a while. */
static unsigned int storm(FIXTURE_DATA(ways) *self, const struct stats *before)
{
	long long run = run_usec(RUN_USEC), begin = now_usec();
	bool is_offline[NR_TARGETS] = {};
	unsigned int random = 1, turns = 0;

	while (goes_on(self)) {
		int n = runs_in_full() ? rand_r(&random) % self->nr_targets :
					 self->nr_targets - 1;

		if (!set_online(self->cpus[n], is_offline[n])) {
			is_offline[n] = !is_offline[n];
			self->can_go = true;
			turns++;
		}
		usleep(rand_r(&random) % (2 * TURN_USEC));
		/* What a load finds there does not change. */
		madvise(self->zeros, page_size(), MADV_DONTNEED);
		if (now_usec() - begin > run &&
		    (!not_met(self, before, run >= LONG_RUN_USEC) ||
		     now_usec() - begin > run + LIMIT_USEC))
			break;
	}
	return turns;
}

TEST_F_TIMEOUT(ways, all_at_once, RUN_TIMEOUT)
{
	struct stats before;
	const char *missing;
	unsigned int turns;

	self->has_words = has_words(self);
	before = read_stats();
	start(_metadata, self);
	turns = storm(self, &before);
	finish(_metadata, self);
	print(&before);
	TH_LOG("%u times a CPU came or went", turns);
	missing = not_met(self, &before, run_usec(RUN_USEC) >= LONG_RUN_USEC);
	EXPECT_TRUE(!missing)
		TH_LOG("\"%s\" was not met, so that it is not tested", missing);
}

TEST_HARNESS_MAIN
