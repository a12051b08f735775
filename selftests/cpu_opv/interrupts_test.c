// SPDX-License-Identifier: GPL-2.0
/*
 * What cpu_opv(2) costs the CPU that it is aimed at: nothing if the caller is
 * there, or if it is idle, which it is left to be; one interrupt if it runs
 * something, be it of this process or another one. The other CPUs are not
 * interrupted.
 */
#include <signal.h>
#include <sys/wait.h>

#include "interrupts.h"
#include "kselftest_harness.h"
#include "stats.h"

#define NR_CALLS	200
#define NR_STRAYS	(NR_CALLS / 10)	/* that have other reasons */
#define NR_TRIES	20
#define SETTLE_USEC	100000
#define SCHED_DEBUG	"/sys/kernel/debug/sched/debug"
#define SWITCHES	" .nr_switches : %ld"

FIXTURE(interrupts)
{
	long *counter;
	int cpu;		/* the target */
	long ipis, calls, switches;	/* of the target, before */
	cpu_set_t others;	/* all but the target */
	long of_others[CPU_SETSIZE];	/* calls, at the last look */
	struct stats stats;
};

FIXTURE_SETUP(interrupts)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	if (nr_ipis(nth_cpu(0), true) < 0)
		SKIP(return, NO_CALL_INTERRUPTS);
	self->counter = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE((void *)self->counter != MAP_FAILED);
	self->cpu = nth_cpu(nr_cpus() - 1);
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(self->others), &self->others));
	CPU_CLR(self->cpu, &self->others);
}

FIXTURE_TEARDOWN(interrupts)
{
}

/* How often the CPU has changed tasks, or -1 if that is not told. */
static long nr_switches(int cpu)
{
	FILE *f = fopen(SCHED_DEBUG, "r");
	int of = -1;
	long nr = -1;
	char line[256];

	while (f && nr < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "cpu#%d", &of) != 1 && of == cpu &&
		    sscanf(line, SWITCHES, &nr) == 1)
			break;
	}
	if (f)
		fclose(f);
	return nr;
}

/* The most calls that one of them has had since the last look. */
static long look_at_others(FIXTURE_DATA(interrupts) *self)
{
	long nr, most = 0;
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &self->others))
			continue;
		nr = nr_ipis(cpu, true);
		if (nr - self->of_others[cpu] > most)
			most = nr - self->of_others[cpu];
		self->of_others[cpu] = nr;
	}
	return most;
}

/* The caller stays away from the target, or there. */
static void settle(struct __test_metadata *_metadata,
		   FIXTURE_DATA(interrupts) *self, int cpu)
{
	cpu_set_t allowed;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
	ASSERT_EQ(0, pin_to(cpu));
	usleep(SETTLE_USEC);
	if (cpu != self->cpu)
		ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
	look_at_others(self);
	self->stats = read_stats();
	self->switches = nr_switches(self->cpu);
	self->ipis = nr_ipis(self->cpu, false);
	self->calls = nr_ipis(self->cpu, true);
}

static void call(struct __test_metadata *_metadata,
		 FIXTURE_DATA(interrupts) *self)
{
	struct cpu_op add = op_add(self->counter, 1, sizeof(long));
	long most;
	int i;

	for (i = 0; i < NR_CALLS; i++)
		ASSERT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	self->calls = nr_ipis(self->cpu, true) - self->calls;
	self->ipis = nr_ipis(self->cpu, false) - self->ipis;
	self->switches = nr_switches(self->cpu) - self->switches;
	self->stats = stats_since(&self->stats);
	most = look_at_others(self);
	EXPECT_EQ(NR_CALLS, *self->counter);
	/* Those that have something else to do are interrupted for that. */
	EXPECT_GT(NR_CALLS / 2, most);
	TH_LOG("%ld interrupts, %ld of them calls; %ld switches of tasks",
	       self->ipis, self->calls, self->switches);
	TH_LOG("of any other CPU %ld at most", most);
}

/* That it was so in each call, where the kernel counts them. */
static void expect_way(struct __test_metadata *_metadata,
		       FIXTURE_DATA(interrupts) *self, const char *way)
{
	if (self->stats.nr)
		EXPECT_LE(NR_CALLS - NR_STRAYS, stat_of(&self->stats, way))
			TH_LOG("%s", way);
}

TEST_F_TIMEOUT(interrupts, none_on_own_cpu, RUN_TIMEOUT)
{
	settle(_metadata, self, self->cpu);
	call(_metadata, self);
	EXPECT_GE(NR_STRAYS, self->ipis);
	expect_way(_metadata, self, "own");
}

/* Something else may run there for a moment. */
TEST_F_TIMEOUT(interrupts, none_of_idle_cpu, RUN_TIMEOUT)
{
	int n;

	for (n = 0; n < NR_TRIES; n++) {
		*self->counter = 0;
		settle(_metadata, self, nth_cpu(0));
		call(_metadata, self);
		if (self->ipis <= NR_STRAYS && self->switches <= NR_STRAYS)
			break;
	}
	EXPECT_GE(NR_STRAYS, self->ipis);
	EXPECT_GE(NR_STRAYS, self->switches);
	expect_way(_metadata, self, "idle");
}

static void expect_one_each(struct __test_metadata *_metadata,
			    FIXTURE_DATA(interrupts) *self)
{
	settle(_metadata, self, nth_cpu(0));
	call(_metadata, self);
	/* Some share one with something else that the CPU is to do. */
	EXPECT_LE(NR_CALLS - NR_STRAYS, self->calls);
	EXPECT_GE(NR_CALLS + NR_STRAYS, self->calls);
	expect_way(_metadata, self, "busy");
}

TEST_F_TIMEOUT(interrupts, one_of_busy_cpu, RUN_TIMEOUT)
{
	struct spinner spinner;

	ASSERT_EQ(0, start_spinner(&spinner, self->cpu, false));
	expect_one_each(_metadata, self);
	stop_spinner(&spinner);
}

/* It need not be pinned, if the handler can access it. */
static void use_private_word(struct __test_metadata *_metadata,
			     FIXTURE_DATA(interrupts) *self)
{
	self->counter = map_pages(1);
	ASSERT_TRUE((void *)self->counter != MAP_FAILED);
}

TEST_F_TIMEOUT(interrupts, one_of_busy_cpu_for_a_word, RUN_TIMEOUT)
{
	struct spinner spinner;

	use_private_word(_metadata, self);
	ASSERT_EQ(0, start_spinner(&spinner, self->cpu, false));
	expect_one_each(_metadata, self);
	stop_spinner(&spinner);
}

TEST_F_TIMEOUT(interrupts, one_of_cpu_busy_with_another_process, RUN_TIMEOUT)
{
	pid_t pid;

	use_private_word(_metadata, self);
	pid = start_spinning_child(self->cpu);
	ASSERT_LT(0, pid);
	expect_one_each(_metadata, self);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	if (self->stats.nr)
		EXPECT_LE(NR_CALLS - NR_STRAYS, stat_of(&self->stats, "foreign"));
}

TEST_HARNESS_MAIN
