// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) under a debugger that lets its child go on instruction by
 * instruction, stops it at each system call, or interrupts it again and again,
 * also while the page of the operand vanishes: each call does its work once.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	100000
#define NR_CALLS	5	/* each step takes its time */
#define MAX_STEPS	100000

FIXTURE(debugger)
{
	/* In a page of its own: shared with the child, which adds. */
	struct counted {
		__u64 counter;
		unsigned long calls;
		int error;
	} *page;
	int cpu;
	pid_t pid;
};

FIXTURE_VARIANT(debugger)
{
	bool other_cpu;
	bool zap;		/* make the call retry */
};

FIXTURE_VARIANT_ADD(debugger, own_cpu)
{
	.other_cpu = false,
};

FIXTURE_VARIANT_ADD(debugger, own_cpu_and_retry)
{
	.zap = true,
};

FIXTURE_VARIANT_ADD(debugger, other_cpu)
{
	.other_cpu = true,
};

FIXTURE_VARIANT_ADD(debugger, other_cpu_and_retry)
{
	.other_cpu = true,
	.zap = true,
};

FIXTURE_SETUP(debugger)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->page != MAP_FAILED);
}

FIXTURE_TEARDOWN(debugger)
{
	if (self->pid > 0) {
		kill(self->pid, SIGKILL);
		waitpid(self->pid, NULL, 0);
	}
}

/* Makes page table entries vanish, not the memory that they lead to. */
static void *zap(void *page)
{
	for (;;)
		madvise(page, page_size(), MADV_DONTNEED);
	return NULL;
}

/* The child: calls, for ever if nr is 0. */
static void call(FIXTURE_DATA(debugger) *self, unsigned long nr)
{
	struct counted *page = self->page;
	struct cpu_op add = op_add(&page->counter, 1, sizeof(page->counter));

	do {
		page->error = cpu_opv(&add, 1, self->cpu, 0);
		page->calls++;
	} while (!page->error && (!nr || page->calls < nr));
}

static pid_t fork_caller(FIXTURE_DATA(debugger) *self, bool retries,
			 unsigned long nr)
{
	pthread_t zapper;
	pid_t pid = fork();

	if (!pid) {
		if (retries && pthread_create(&zapper, NULL, zap, self->page))
			_exit(1);
		raise(SIGSTOP);
		call(self, nr);
		_exit(0);
	}
	return pid;
}

/* Starts a child that is traced, and has stopped before its first call. */
static void start(struct __test_metadata *_metadata,
		  FIXTURE_DATA(debugger) *self, bool retries, unsigned long nr)
{
	int status;

	self->pid = fork_caller(self, retries, nr);
	ASSERT_LE(0, self->pid);
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, self->pid, 0, 0));
	ASSERT_EQ(0, kill(self->pid, SIGCONT));
}

/* Lets the child go on to its next stop. Returns false if it ended. */
static bool next_stop(FIXTURE_DATA(debugger) *self, int request, int *status)
{
	if (ptrace(request, self->pid, 0, 0) ||
	    waitpid(self->pid, status, 0) != self->pid)
		return false;
	return WIFSTOPPED(*status);
}

static void lead_to_the_end(struct __test_metadata *_metadata,
			    FIXTURE_DATA(debugger) *self, bool retries,
			    int request)
{
	unsigned long stops = 0;
	int status = 0;

	start(_metadata, self, retries, NR_CALLS);
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, self->pid, 0, 0));
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	if (ptrace(request, self->pid, 0, 0) && errno == EIO)
		SKIP(return, "the kernel cannot do this on this architecture");
	ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
	while (stops < MAX_STEPS && next_stop(self, request, &status))
		stops++;
	ASSERT_TRUE(WIFEXITED(status))
		TH_LOG("status %#x after %lu stops", status, stops);
	self->pid = 0;
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, self->page->error);
	EXPECT_EQ(NR_CALLS, self->page->counter);
	EXPECT_LT(NR_CALLS, stops);
	TH_LOG("%lu stops", stops);
}

/* On QEMU 7.2's s390x single steps go past each branch, whoever the child is. */
static bool steps_go_astray(void)
{
	struct utsname name;
	int status, steps = 0;
	pid_t pid;

	if (uname(&name) || strcmp(name.machine, "s390x"))
		return false;

	pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	do {
		ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status))
			return false;
	} while (WSTOPSIG(status) == SIGTRAP && ++steps < MAX_STEPS / 10);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return true;
}

TEST_F(debugger, single_steps)
{
	if (steps_go_astray())
		SKIP(return, "needs single steps that take branches");
	lead_to_the_end(_metadata, self, variant->zap, PTRACE_SINGLESTEP);
}

TEST_F(debugger, stops_at_system_calls)
{
	lead_to_the_end(_metadata, self, variant->zap, PTRACE_SYSCALL);
}

TEST_F_TIMEOUT(debugger, interrupts, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	struct counted *page = self->page;
	unsigned long stops = 0;
	int status;

	start(_metadata, self, variant->zap, 0);
	while (now_usec() < end || page->calls < 2) {
		ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, self->pid, 0, 0));
		ASSERT_EQ(self->pid, waitpid(self->pid, &status, 0));
		ASSERT_TRUE(WIFSTOPPED(status))
			TH_LOG("status %#x", status);
		stops++;
		/* It may have stopped between the call and the count. */
		ASSERT_EQ(0, page->error);
		ASSERT_GE(1, page->counter - page->calls);
		ASSERT_EQ(0, ptrace(PTRACE_CONT, self->pid, 0, 0));
		usleep(stops % 8 * 100);
	}
	TH_LOG_OPERATIONS(page->calls);
	TH_LOG("%lu stops", stops);
}

TEST_HARNESS_MAIN
