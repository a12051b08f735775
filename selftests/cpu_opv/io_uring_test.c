// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) aimed at a CPU on which the workers of io_uring(7) work for the
 * process: threads that have its memory, but never run in user space, and so
 * have no restartable sequence to be aborted.
 */
#include <stdatomic.h>

#include <linux/io_uring.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "stats.h"

#define RUN_USEC	300000
#define MIN_READS	20	/* on a slow machine */
#define NR_ENTRIES	8
#define LEN		(256 << 10)	/* of a read, so that it takes some time */

FIXTURE(io_uring)
{
	int fd;
	unsigned int *sq_tail, *sq_array, sq_mask;
	unsigned int *cq_head, *cq_tail, cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
	int file;		/* of which zeros are read */
	char *buffer;
	int cpu;		/* the target */
	unsigned int under_way;
	unsigned long reads;
	int error;		/* of a read */
};

static void *map_ring(int fd, size_t len, off_t offset)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, offset);
}

/* Returns what is missing. */
static const char *make_ring(FIXTURE_DATA(io_uring) *self)
{
	struct io_uring_params p = {};
	char *sq, *cq;

	self->fd = syscall(__NR_io_uring_setup, NR_ENTRIES, &p);
	if (self->fd < 0)
		return "needs CONFIG_IO_URING";
	sq = map_ring(self->fd, p.sq_off.array + p.sq_entries * sizeof(__u32),
		      IORING_OFF_SQ_RING);
	cq = map_ring(self->fd, p.cq_off.cqes +
		      p.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	self->sqes = map_ring(self->fd, p.sq_entries * sizeof(*self->sqes),
			      IORING_OFF_SQES);
	if (sq == MAP_FAILED || cq == MAP_FAILED || self->sqes == MAP_FAILED)
		return "cannot map the rings";
	self->sq_tail = (void *)(sq + p.sq_off.tail);
	self->sq_array = (void *)(sq + p.sq_off.array);
	self->sq_mask = *(unsigned int *)(sq + p.sq_off.ring_mask);
	self->cq_head = (void *)(cq + p.cq_off.head);
	self->cq_tail = (void *)(cq + p.cq_off.tail);
	self->cq_mask = *(unsigned int *)(cq + p.cq_off.ring_mask);
	self->cqes = (void *)(cq + p.cq_off.cqes);
	return NULL;
}

/* Has the workers run there. */
static int move_workers(FIXTURE_DATA(io_uring) *self, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return syscall(__NR_io_uring_register, self->fd,
		       IORING_REGISTER_IOWQ_AFF, &set, sizeof(set));
}

/* Has a worker read zeros into the buffer. */
static int begin_read(FIXTURE_DATA(io_uring) *self)
{
	unsigned int tail = *self->sq_tail, at = tail & self->sq_mask;

	self->sqes[at] = (struct io_uring_sqe) {
		.opcode = IORING_OP_READ,
		.flags = IOSQE_ASYNC,
		.fd = self->file,
		.addr = addr_of(self->buffer),
		.len = LEN,
	};
	self->sq_array[at] = at;
	__atomic_store_n(self->sq_tail, tail + 1, __ATOMIC_RELEASE);
	self->under_way++;
	return syscall(__NR_io_uring_enter, self->fd, 1, 0, 0, NULL, 0) == 1 ?
		0 : -errno;
}

/* Takes note of the reads that have ended. */
static void end_reads(FIXTURE_DATA(io_uring) *self)
{
	unsigned int head = *self->cq_head;

	while (head != __atomic_load_n(self->cq_tail, __ATOMIC_ACQUIRE)) {
		int res = self->cqes[head++ & self->cq_mask].res;

		if (res != LEN)
			self->error = res < 0 ? res : -EIO;
		self->reads++;
		self->under_way--;
		__atomic_store_n(self->cq_head, head, __ATOMIC_RELEASE);
	}
}

FIXTURE_SETUP(io_uring)
{
	const char *missing;

	self->fd = -1;
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(true);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	missing = make_ring(self);
	if (missing)
		SKIP(return, "%s", missing);
	self->file = open("/dev/zero", O_RDONLY);
	ASSERT_LE(0, self->file);
	self->buffer = map_pages(LEN / page_size());
	ASSERT_TRUE((void *)self->buffer != MAP_FAILED);
	ASSERT_EQ(0, move_workers(self, self->cpu));
}

FIXTURE_TEARDOWN(io_uring)
{
	close(self->fd);
}

TEST_F_TIMEOUT(io_uring, workers_on_the_target, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	struct stats stats = read_stats();
	__u64 counter = 0, done = 0;
	char scratch[4096];

	while (now_usec() < end || self->reads < MIN_READS) {
		if (self->under_way < NR_ENTRIES)
			ASSERT_EQ(0, begin_read(self));
		ASSERT_EQ(0, long_increment(&counter, scratch, self->cpu));
		done++;
		ASSERT_EQ(done, counter);
		end_reads(self);
		ASSERT_EQ(0, self->error);
	}
	while (self->under_way)
		end_reads(self);
	stats = stats_since(&stats);
	if (stats.nr)
		EXPECT_LT(0, stat_of(&stats, "busy"));
	TH_LOG_OPERATIONS(done);
	TH_LOG("%lu reads; %lu times a worker was interrupted", self->reads,
	       stat_of(&stats, "busy"));
}

TEST_HARNESS_MAIN
