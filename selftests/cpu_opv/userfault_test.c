// SPDX-License-Identifier: GPL-2.0
/*
 * Operands of cpu_opv(2) in memory that userfaultfd(2) watches: pages that are
 * missing or write-protected until another thread serves them, that are never
 * served, or that turn out to be bad.
 *
 * Needs root, as userfaultfd(2) does for what the kernel accesses.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "userfault.h"

#define RUN_USEC	100000
#define MIN_CALLS	50	/* on a slow machine */
#define WAIT_USEC	50000	/* for something that is not to happen */
#define NR_PAGES	2
#define SERVED		100	/* first number in page 0, and 1 more in each */

FIXTURE(userfault)
{
	int fd;
	char *pages;
	char *content;		/* what to serve */
	int cpu;
	__u64 mode;		/* UFFDIO_REGISTER_MODE_* */
	pthread_t server;
	atomic_ulong served;
	atomic_bool serving;
	atomic_int error;	/* of the server */
	int ends[2];		/* of a pipe: a child's call waits */
	pthread_t caller;	/* that waits */
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(userfault);

static bool watch(FIXTURE_DATA(userfault) *self, __u64 mode, __u64 features)
{
	self->mode = mode;
	self->fd = userfault_watch(self->pages, NR_PAGES, mode, features);
	return self->fd >= 0;
}

static int give_page(FIXTURE_DATA(userfault) *self, char *page)
{
	int error = userfault_copy(self->fd, page,
				   self->content + (page - self->pages));

	/* Two threads may have asked for it. */
	return error == -EEXIST ? 0 : error;
}

static int serve(FIXTURE_DATA(userfault) *self)
{
	uintptr_t page;
	int error = userfault_read(self->fd, &page);

	if (error)
		return error == -EAGAIN ? 0 : error;
	self->served++;
	if (self->mode == UFFDIO_REGISTER_MODE_WP)
		return userfault_write_protect(self->fd, (void *)page, false);
	if (self->mode == UFFDIO_REGISTER_MODE_RWP)
		return userfault_protect(self->fd, (void *)page, false);
	return give_page(self, (char *)page);
}

static void *keep_serving(void *arg)
{
	FIXTURE_DATA(userfault) *self = arg;
	struct pollfd pollfd = { .fd = self->fd, .events = POLLIN };

	while (self->serving && !self->error) {
		if (poll(&pollfd, 1, 10) > 0)
			self->error = serve(self);
	}
	return NULL;
}

static void start_server(struct __test_metadata *_metadata,
			 FIXTURE_DATA(userfault) *self)
{
	self->serving = true;
	ASSERT_EQ(0, pthread_create(&self->server, NULL, keep_serving, self));
}

static void stop_server(struct __test_metadata *_metadata,
			FIXTURE_DATA(userfault) *self)
{
	self->serving = false;
	ASSERT_EQ(0, pthread_join(self->server, NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
}

FIXTURE_SETUP(userfault)
{
	int i;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->pages = map_pages(NR_PAGES);
	ASSERT_TRUE(self->pages != MAP_FAILED);
	self->content = map_pages(NR_PAGES);
	ASSERT_TRUE(self->content != MAP_FAILED);
	for (i = 0; i < NR_PAGES; i++)
		*(__u64 *)(self->content + i * page_size()) = SERVED + i;
	if (!watch(self, UFFDIO_REGISTER_MODE_MISSING, 0))
		SKIP(return, USERFAULT_ABSENT);
}

FIXTURE_TEARDOWN(userfault)
{
	close(self->fd);
}

/* Each operand waits for its page; the vector finds what was served. */
TEST_F(userfault, missing)
{
	__u64 *first = (void *)self->pages;
	__u64 *second = (void *)(self->pages + page_size());
	__u64 seen = 0;
	struct cpu_op ops[] = {
		op_copy(&seen, first, 8),
		op_ne(first, second, 8),
		op_add(second, 5, 8),
	};

	start_server(_metadata, self);
	EXPECT_EQ(0, cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0));
	stop_server(_metadata, self);
	EXPECT_EQ(NR_PAGES, atomic_load(&self->served));
	EXPECT_EQ(SERVED, seen);
	EXPECT_EQ(SERVED + 1 + 5, *second);
}

/* Missing is not unmapped: a page is waited for, whether it may fault or not. */
TEST_F(userfault, missing_and_expected)
{
	struct cpu_op op = op_add(self->pages, 5, 8);

	op.u.arithmetic_op.expect_fault_p = 1;
	start_server(_metadata, self);
	EXPECT_EQ(0, cpu_opv(&op, 1, self->cpu, 0));
	stop_server(_metadata, self);
	EXPECT_EQ(SERVED + 5, *(__u64 *)self->pages);
}

/* One of the two is missing in each call. */
TEST_F_TIMEOUT(userfault, missing_again_and_again, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	__u64 *first = (void *)self->pages;
	__u64 *second = (void *)(self->pages + page_size());
	struct cpu_op ops[] = {
		op_copy(first, second, 8),
		op_add(first, 5, 8),
	};
	unsigned long calls = 0;

	start_server(_metadata, self);
	for (; now_usec() < end || calls < MIN_CALLS; calls++) {
		ASSERT_EQ(0, cpu_opv(ops, 2, self->cpu, 0));
		ASSERT_EQ(SERVED + 1 + 5, *first);
		ASSERT_EQ(0, madvise(calls % 2 ? first : second, page_size(),
				     MADV_DONTNEED));
	}
	stop_server(_metadata, self);
	EXPECT_LE(calls, atomic_load(&self->served));
	TH_LOG_OPERATIONS(calls);
}

/* Only stores wait. */
TEST_F(userfault, write_protected)
{
	__u64 *counter = (void *)self->pages, one = 1;
	struct cpu_op add = op_add(counter, 1, 8);
	struct cpu_op eq = op_eq(counter, &one, 8);

	close(self->fd);
	*counter = 1;
	if (!watch(self, UFFDIO_REGISTER_MODE_WP, 0))
		SKIP(return, USERFAULT_ABSENT);
	ASSERT_EQ(0, userfault_write_protect(self->fd, counter, true));
	start_server(_metadata, self);
	EXPECT_EQ(0, cpu_opv(&eq, 1, self->cpu, 0));
	EXPECT_EQ(0, atomic_load(&self->served));
	EXPECT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	EXPECT_EQ(1, atomic_load(&self->served));
	EXPECT_EQ(2, *counter);
	stop_server(_metadata, self);
}

/* Loads wait, too. */
TEST_F(userfault, read_write_protected)
{
	__u64 *counter = (void *)self->pages, one = 1;
	struct cpu_op add = op_add(counter, 1, 8);
	struct cpu_op eq = op_eq(counter, &one, 8);

	close(self->fd);
	*counter = 1;
	if (!watch(self, UFFDIO_REGISTER_MODE_RWP, UFFD_FEATURE_RWP))
		SKIP(return, USERFAULT_ABSENT);
	start_server(_metadata, self);
	ASSERT_EQ(0, userfault_protect(self->fd, counter, true));
	EXPECT_EQ(0, cpu_opv(&eq, 1, self->cpu, 0));
	EXPECT_EQ(1, atomic_load(&self->served));
	ASSERT_EQ(0, userfault_protect(self->fd, counter, true));
	EXPECT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	EXPECT_EQ(2, atomic_load(&self->served));
	EXPECT_EQ(2, *counter);
	stop_server(_metadata, self);
}

/* A bad page is one that cannot be accessed. */
static void bad(struct __test_metadata *_metadata,
		FIXTURE_DATA(userfault) *self)
{
	__u64 *ran = (void *)self->content;
	struct cpu_op ops[] = {
		op_add(ran, 1, 8),
		op_add(self->pages, 1, 8),
	};

	EXPECT_EQ(-EFAULT, cpu_opv(ops, 2, self->cpu, 0));
	ops[1].u.arithmetic_op.expect_fault_p = 1;
	EXPECT_EQ(-EAGAIN, cpu_opv(ops, 2, self->cpu, 0));
	EXPECT_EQ(SERVED, *ran);
}

TEST_F(userfault, missing_raises_sigbus)
{
	close(self->fd);
	if (!watch(self, UFFDIO_REGISTER_MODE_MISSING, UFFD_FEATURE_SIGBUS))
		SKIP(return, USERFAULT_ABSENT);
	bad(_metadata, self);
}

TEST_F(userfault, poisoned)
{
	struct uffdio_poison poison = {
		.range = { addr_of(self->pages), page_size() },
	};

	close(self->fd);
	if (!watch(self, UFFDIO_REGISTER_MODE_MISSING, UFFD_FEATURE_POISON))
		SKIP(return, USERFAULT_ABSENT);
	ASSERT_EQ(0, ioctl(self->fd, UFFDIO_POISON, &poison));
	bad(_metadata, self);
}

static void call_and_exit(FIXTURE_DATA(userfault) *self)
{
	struct cpu_op add = op_add(self->pages, 1, 8);

	_exit(cpu_opv(&add, 1, self->cpu, 0) ? 1 : 0);
}

static void *call(void *arg)
{
	call_and_exit(arg);
	return NULL;
}

static void *tell_that_it_waits(void *arg)
{
	FIXTURE_DATA(userfault) *self = arg;

	if (userfault_poll(self->fd) || write(self->ends[1], "", 1) != 1)
		_exit(4);
	return NULL;
}

/* In a process of its own, as it is not to come back. */
static void never_served(FIXTURE_DATA(userfault) *self, bool in_thread)
{
	pthread_t thread, teller;

	/* What was watched for the parent is not, here. */
	if (!watch(self, UFFDIO_REGISTER_MODE_MISSING, 0))
		_exit(2);
	if (pthread_create(&teller, NULL, tell_that_it_waits, self))
		_exit(3);
	if (in_thread && pthread_create(&thread, NULL, call, self))
		_exit(3);
	if (!in_thread)
		call_and_exit(self);
	pause();
}

static void can_be_killed(struct __test_metadata *_metadata,
			  FIXTURE_DATA(userfault) *self, bool in_thread)
{
	int status;
	pid_t pid;
	char byte;

	ASSERT_EQ(0, pipe(self->ends));
	pid = fork_endless();
	ASSERT_LE(0, pid);
	if (!pid)
		never_served(self, in_thread);
	close(self->ends[1]);
	EXPECT_EQ(0, userfault_poll(self->ends[0]));
	EXPECT_EQ(1, read(self->ends[0], &byte, 1));
	usleep(WAIT_USEC);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG))
		TH_LOG("status %#x", status);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_F(userfault, never_served_can_be_killed)
{
	can_be_killed(_metadata, self, false);
}

TEST_F(userfault, never_served_thread_can_be_killed)
{
	can_be_killed(_metadata, self, true);
}

static FIXTURE_DATA(userfault) *served_by_signal;

/* The wait is over meanwhile, so that there is no event to be read. */
static void serve_in_handler(int sig)
{
	served_by_signal->served++;
	served_by_signal->error = give_page(served_by_signal,
					    served_by_signal->pages);
}

static void *signal_who_waits(void *arg)
{
	FIXTURE_DATA(userfault) *self = arg;

	if (!userfault_poll(self->fd))
		pthread_kill(self->caller, SIGALRM);
	return NULL;
}

/*
 * As in a load or store of the thread itself, a signal is handled while it
 * waits. Here nothing but the handler serves the page.
 */
TEST_F_TIMEOUT(userfault, signal_is_handled_while_waiting, 100)
{
	struct sigaction action = { .sa_handler = serve_in_handler };
	struct cpu_op add = op_add(self->pages, 5, 8);
	pthread_t thread;

	served_by_signal = self;
	self->caller = pthread_self();
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, pthread_create(&thread, NULL, signal_who_waits, self));
	EXPECT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
	EXPECT_EQ(1, atomic_load(&self->served));
	EXPECT_EQ(SERVED + 5, *(__u64 *)self->pages);
}

/* On the target CPU, whose TLB has the page when it is dropped. */
struct loader {
	atomic_ulong *word;
	int cpu;
	atomic_bool has_page;
	atomic_bool ran;	/* the vector */
	unsigned long seen;	/* after that */
};

static void *keep_loading(void *arg)
{
	struct loader *loader = arg;

	if (pin_to(loader->cpu))
		return "cannot pin the thread";
	*loader->word = SERVED;
	while (!loader->ran)
		loader->has_page = *loader->word == SERVED;
	loader->seen = *loader->word;
	return NULL;
}

static void *drop(void *arg)
{
	FIXTURE_DATA(userfault) *self = arg;

	if (madvise(self->pages, NR_PAGES * page_size(), MADV_DONTNEED))
		self->error = errno;
	return NULL;
}

/*
 * Dropping both pages waits for whoever watches the second. The first is gone
 * by then, but TLBs are yet to be flushed. A thread on the target CPU has to
 * find what the vector stores to its successor all the same.
 */
TEST_F(userfault, stored_while_pages_are_dropped)
{
	struct loader loader = {
		.word = (void *)self->pages,
		.cpu = self->cpu,
	};
	struct cpu_op add = op_add(self->pages, 5, sizeof(long));
	pthread_t thread, dropper;
	struct uffd_msg msg;
	void *error;

	close(self->fd);
	self->fd = userfault_watch(self->pages + page_size(), 1,
				   UFFDIO_REGISTER_MODE_MISSING,
				   UFFD_FEATURE_EVENT_REMOVE);
	if (self->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
	if (!variant->other_cpu)
		ASSERT_EQ(0, pin_to(self->cpu));
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_loading, &loader));
	while (!loader.has_page)
		sched_yield();
	ASSERT_EQ(0, pthread_create(&dropper, NULL, drop, self));
	ASSERT_EQ(0, userfault_poll(self->fd));
	EXPECT_EQ(0, cpu_opv(&add, 1, self->cpu, 0));
	EXPECT_EQ(5, atomic_load(loader.word));
	loader.ran = true;
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(NULL, error);
	EXPECT_EQ(5, loader.seen);
	EXPECT_EQ(sizeof(msg), read(self->fd, &msg, sizeof(msg)));
	ASSERT_EQ(0, pthread_join(dropper, NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
}

TEST_HARNESS_MAIN
