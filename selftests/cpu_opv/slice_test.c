// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) and time-slice extensions: a thread that was granted one, and that
 * a call interrupts, makes room at once for the thread that the grant held up.
 * So it is after membarrier(2), which aborts restartable sequences likewise.
 *
 * Run by run_slice_test.sh: the extension is for threads whose rseq is not
 * registered by the C library.
 *
 * As root it has extensions last longer, until it ends.
 */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/utsname.h>

#include "rseq_common.h"
#include "kselftest_harness.h"

#ifdef RSEQ_KNOWS_ARCH

#include <pthread.h>

#include "restore.h"

/* After so many calls for its CPU, and so long, a thread is not just late. */
#define LOST_CALLS	1000
#define LOST_USEC	200000

/* How long an extension is: the longest, for slow machines. */
static struct setting longest_slice[] = {
	{ .path = "/sys/kernel/debug/rseq/slice_ext_nsec", .text = "50000" },
	{},
};

FIXTURE(slice)
{
	int cpu;		/* where holder and waiter run */
	pthread_t holder, waiter;
	atomic_int state;	/* of the holder: 1: runs, -1: cannot */
	atomic_bool stop;
	atomic_uint turns;	/* of the holder */
	atomic_uint grants;	/* that the holder saw */
	atomic_uint wake;	/* the waiter waits for a change of this */
	atomic_uint woken;	/* the last that it saw */
};

FIXTURE_VARIANT(slice)
{
	int (*call)(int cpu);
};

static int call_cpu_opv(int cpu)
{
	return cpu_opv(NULL, 0, cpu, 0);
}

static int call_membarrier(int cpu)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
		       MEMBARRIER_CMD_FLAG_CPU, cpu);
}

FIXTURE_VARIANT_ADD(slice, cpu_opv)
{
	.call = call_cpu_opv,
};

FIXTURE_VARIANT_ADD(slice, membarrier)
{
	.call = call_membarrier,
};

/* Asks for an extension all the time, and makes no system call. */
static void hold(FIXTURE_DATA(slice) *self)
{
	struct rseq_abi *rseq = rseq_get_abi();
	bool granted = false;

	while (!self->stop) {
		self->turns++;
		if (!RSEQ_READ_ONCE(rseq->slice_ctrl.granted)) {
			RSEQ_WRITE_ONCE(rseq->slice_ctrl.request, 1);
			granted = false;
		} else if (!granted) {
			self->grants++;
			granted = true;
		}
	}
}

static void *hold_slices(void *arg)
{
	FIXTURE_DATA(slice) *self = arg;

	if (!pin_to(self->cpu) && !__rseq_register_current_thread(true, false)) {
		if (!prctl(PR_RSEQ_SLICE_EXTENSION,
			   PR_RSEQ_SLICE_EXTENSION_SET,
			   PR_RSEQ_SLICE_EXT_ENABLE, 0, 0)) {
			self->state = 1;
			hold(self);
		}
		rseq_unregister_current_thread();
	}
	if (!self->state)
		self->state = -1;
	return NULL;
}

static void futex(atomic_uint *futex, int op, unsigned int value)
{
	syscall(SYS_futex, futex, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Runs with a priority for which any other thread has to make room. */
static void *wait_to_run(void *arg)
{
	FIXTURE_DATA(slice) *self = arg;
	unsigned int seen = 0;

	while (!self->stop) {
		futex(&self->wake, FUTEX_WAIT, seen);
		seen = self->wake;
		self->woken = seen;
	}
	return NULL;
}

static int start_waiter(FIXTURE_DATA(slice) *self)
{
	struct sched_param param = { .sched_priority = 1 };
	pthread_attr_t attr;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(self->cpu, &cpus);
	return pthread_attr_init(&attr) ?:
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED) ?:
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO) ?:
		pthread_attr_setschedparam(&attr, &param) ?:
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus) ?:
		pthread_create(&self->waiter, &attr, wait_to_run, self);
}

static bool is_preempt_rt(void)
{
	struct utsname name;

	return !uname(&name) && strstr(name.version, "PREEMPT_RT");
}

FIXTURE_SETUP(slice)
{
	const char *missing = rseq_missing();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (missing)
		SKIP(return, "%s", missing);
	if (is_preempt_rt())
		SKIP(return, "PREEMPT_RT has SCHED_FIFO not wait for a slice");
	self->cpu = aim(true);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	ASSERT_EQ(0, syscall(SYS_membarrier,
			     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
			     0, 0));
	/* Without root it does with what there is. */
	change_settings(_metadata, longest_slice);
	if (start_waiter(self))
		SKIP(return, "may not use SCHED_FIFO");
	ASSERT_EQ(0, pthread_create(&self->holder, NULL, hold_slices, self));
	while (!self->state)
		sched_yield();
}

FIXTURE_TEARDOWN_PARENT(slice)
{
	wait_until_restored();
}

/*
 * Wakes the waiter and calls until it ran. Returns whether it did. The calls
 * begin at once, to meet the kernel while it grants, or when a grant is seen.
 */
static bool runs(FIXTURE_DATA(slice) *self, int (*call)(int cpu), bool at_once)
{
	unsigned int turns = self->turns, grants = self->grants;
	long long start;
	int calls;

	while (self->turns == turns)	/* meanwhile it sleeps */
		;
	start = now_usec();
	self->wake++;
	futex(&self->wake, FUTEX_WAKE, 1);
	while (!at_once && self->woken != self->wake && self->grants == grants &&
	       now_usec() - start < LOST_USEC)
		;
	for (calls = 0; self->woken != self->wake; calls++) {
		if (calls >= LOST_CALLS && now_usec() - start >= LOST_USEC)
			return false;
		if (call(self->cpu))
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(slice, is_over_when_revoked, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(1000000);
	unsigned long rounds = 0;

	if (self->state < 0)
		SKIP(return, "needs CONFIG_RSEQ_SLICE_EXTENSION");
	while (now_usec() < end) {
		ASSERT_TRUE(runs(self, variant->call, rounds % 2))
			TH_LOG("lost a reschedule in round %lu, after %u grants",
			       rounds, self->grants);
		rounds++;
	}
	self->stop = true;
	self->wake++;
	futex(&self->wake, FUTEX_WAKE, 1);
	ASSERT_EQ(0, pthread_join(self->holder, NULL));
	ASSERT_EQ(0, pthread_join(self->waiter, NULL));
	TH_LOG_OPERATIONS(rounds);
	if (!self->grants)
		SKIP(return, "this machine is too slow for a slice");
}

#else

TEST(slice)
{
	SKIP(return, RSEQ_ARCH_UNKNOWN);
}

#endif

TEST_HARNESS_MAIN
