// SPDX-License-Identifier: GPL-2.0
/*
 * Signals that arrive while cpu_opv(2) runs, and while it has to retry: they
 * are handled, and the call is never seen to have been interrupted. A fatal
 * one ends it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "stats.h"

#define INTERVAL_USEC	500
#define LONGEST_USEC	100000
#define STALLED		50	/* signals, while no call returned */
#define RUN_USEC	100000
#define SOON_USEC	60000000	/* on a slow machine */

static atomic_int nr_signals;
static atomic_ulong nr_calls;	/* that have returned */

static void set_timer(long usec)
{
	struct itimerval interval = {
		.it_interval.tv_usec = usec,
		.it_value.tv_usec = usec,
	};

	setitimer(ITIMER_REAL, &interval, NULL);
}

/* On a slow machine a call that retries may need more than one interval. */
static void count_signal(int sig)
{
	static long interval = INTERVAL_USEC;
	static unsigned long last;
	static int stalled;

	nr_signals++;
	stalled = nr_calls == last ? stalled + 1 : 0;
	last = nr_calls;
	if (stalled == STALLED && interval < LONGEST_USEC) {
		stalled = 0;
		interval *= 2;
		set_timer(interval);
	}
}

FIXTURE(signal_storm)
{
	__u64 *counter;		/* in shared memory: page tables may forget it */
	int cpu;
	pthread_t zapper;
	atomic_bool stop;
};

FIXTURE_VARIANT(signal_storm)
{
	int sa_flags;
	bool zap;		/* make the call retry */
};

FIXTURE_VARIANT_ADD(signal_storm, restart)
{
	.sa_flags = SA_RESTART,
};

FIXTURE_VARIANT_ADD(signal_storm, no_restart)
{
	.sa_flags = 0,
};

FIXTURE_VARIANT_ADD(signal_storm, restart_and_retry)
{
	.sa_flags = SA_RESTART,
	.zap = true,
};

FIXTURE_VARIANT_ADD(signal_storm, no_restart_and_retry)
{
	.sa_flags = 0,
	.zap = true,
};

/* Makes page table entries vanish, not the memory that they lead to. */
static void *zap(void *arg)
{
	FIXTURE_DATA(signal_storm) *self = arg;

	while (!self->stop)
		madvise(self->counter, page_size(), MADV_DONTNEED);
	return NULL;
}

FIXTURE_SETUP(signal_storm)
{
	struct sigaction action = {
		.sa_handler = count_signal,
		.sa_flags = variant->sa_flags,
	};
	sigset_t alarm;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(nr_cpus() > 1);
	ASSERT_LE(0, self->cpu);
	self->counter = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->counter != MAP_FAILED);
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	if (variant->zap) {
		/* All signals are for the caller. */
		sigemptyset(&alarm);
		sigaddset(&alarm, SIGALRM);
		ASSERT_EQ(0, pthread_sigmask(SIG_BLOCK, &alarm, NULL));
		ASSERT_EQ(0, pthread_create(&self->zapper, NULL, zap, self));
		ASSERT_EQ(0, pthread_sigmask(SIG_UNBLOCK, &alarm, NULL));
	}
}

FIXTURE_TEARDOWN(signal_storm)
{
	self->stop = true;
	set_timer(0);
	if (variant->zap)
		pthread_join(self->zapper, NULL);
}

/* Each call adds exactly once, as often as it had to start over. */
TEST_F_TIMEOUT(signal_storm, is_not_seen, RUN_TIMEOUT)
{
	struct cpu_op add = op_add(self->counter, 1, sizeof(*self->counter));
	long long end = now_usec() + run_usec(RUN_USEC);
	/* Else entries vanish only while the caller does not run. */
	bool to_meet = variant->zap && nr_cpus() > 1;
	struct stats before = read_stats();

	set_timer(INTERVAL_USEC);
	while (now_usec() < end ||
	       (to_meet && is_to_be_met(&before, "restarted", end))) {
		ASSERT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
		nr_calls++;
	}
	set_timer(0);
	EXPECT_EQ(atomic_load(&nr_calls), *self->counter);
	EXPECT_LT(0, atomic_load(&nr_signals));
	if (to_meet && before.nr)
		EXPECT_LT(0, counted_since(&before, "restarted"));
	TH_LOG_OPERATIONS(nr_calls);
	TH_LOG("%d signals, %lu times the call had to start over", nr_signals,
	       counted_since(&before, "restarted"));
}

/* Nor is it when the call has something else to say. */
TEST_F_TIMEOUT(signal_storm, keeps_results, RUN_TIMEOUT)
{
	__u64 other = 1;
	struct cpu_op stops = op_eq(self->counter, &other, sizeof(other));
	struct cpu_op faults = op_copy(NULL, self->counter, sizeof(other));
	struct cpu_op retries = faults;
	long long end = now_usec() + run_usec(RUN_USEC);

	retries.u.memcpy_op.expect_fault_dst = 1;
	set_timer(INTERVAL_USEC);
	while (now_usec() < end) {
		ASSERT_EQ(1, cpu_opv(&stops, 1, self->cpu, 0));
		ASSERT_EQ(-EFAULT, cpu_opv(&faults, 1, self->cpu, 0));
		ASSERT_EQ(-EAGAIN, cpu_opv(&retries, 1, self->cpu, 0));
		nr_calls += 3;
	}
	set_timer(0);
	EXPECT_LT(0, atomic_load(&nr_signals));
	TH_LOG_OPERATIONS(nr_calls);
	TH_LOG("%d signals", nr_signals);
}

/* Calls all the time; page table entries vanish of this process, too. */
static void call_until_killed(FIXTURE_DATA(signal_storm) *self, bool retries)
{
	struct cpu_op add = op_add(self->counter, 1, sizeof(*self->counter));
	pthread_t zapper;

	if (retries && pthread_create(&zapper, NULL, zap, self))
		_exit(1);
	while (!cpu_opv(&add, 1, self->cpu, 0))
		;
	_exit(2);
}

/* A child that does nothing but call dies soon after it was killed. */
TEST_F_TIMEOUT(signal_storm, fatal_signal, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC), start, longest = 0;
	unsigned long nr = 0;
	int status;
	pid_t pid;

	do {
		*self->counter = 0;
		pid = fork_endless();
		ASSERT_LE(0, pid);
		if (!pid)
			call_until_killed(self, variant->zap);
		/* The counter is shared with the child. */
		while (!*self->counter && !waitpid(pid, &status, WNOHANG))
			;
		usleep(nr % 8 * 100);
		start = now_usec();
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		if (longest < now_usec() - start)
			longest = now_usec() - start;
		ASSERT_TRUE(WIFSIGNALED(status))
			TH_LOG("status %#x", status);
		ASSERT_EQ(SIGKILL, WTERMSIG(status));
		nr++;
	} while (now_usec() < end);
	EXPECT_GT(SOON_USEC, longest);
	TH_LOG_OPERATIONS(nr);
	TH_LOG("dead after %lld us at most", longest);
}

TEST_HARNESS_MAIN
