// SPDX-License-Identifier: GPL-2.0
/*
 * Increments by cpu_opv(2) while the page with the counter is taken away and
 * given back through userfaultfd(2) all the time. Who needs it meanwhile waits,
 * as the caller itself would; no increment is lost, nothing stale is read.
 *
 * Needs root, as userfaultfd(2) does for what the kernel accesses.
 */
#include "kselftest_harness.h"
#include "increments.h"
#include "userfault.h"

#define RUN_USEC	100000
#define MIN_TURNS	10	/* on a slow machine */

FIXTURE(userfault_storm)
{
	struct increments inc;
	int fd;
	char *page;
	char *other;		/* where the page may go */
	unsigned long turns, busy;
};

FIXTURE_VARIANT(userfault_storm)
{
	__u64 mode, features;
	/* 0, -EBUSY because of a vector, or another -errno. */
	int (*take)(FIXTURE_DATA(userfault_storm) *self);
	int (*give)(FIXTURE_DATA(userfault_storm) *self);
	bool may_be_busy;
};

static int take_write(FIXTURE_DATA(userfault_storm) *self)
{
	return userfault_write_protect(self->fd, self->page, true);
}

static int give_write(FIXTURE_DATA(userfault_storm) *self)
{
	return userfault_write_protect(self->fd, self->page, false);
}

FIXTURE_VARIANT_ADD(userfault_storm, write_protect)
{
	.mode = UFFDIO_REGISTER_MODE_WP,
	.take = take_write,
	.give = give_write,
};

static int take_access(FIXTURE_DATA(userfault_storm) *self)
{
	return userfault_protect(self->fd, self->page, true);
}

static int give_access(FIXTURE_DATA(userfault_storm) *self)
{
	return userfault_protect(self->fd, self->page, false);
}

FIXTURE_VARIANT_ADD(userfault_storm, read_write_protect)
{
	.mode = UFFDIO_REGISTER_MODE_RWP,
	.features = UFFD_FEATURE_RWP,
	.take = take_access,
	.give = give_access,
};

static int move(int fd, const char *from, const char *to)
{
	struct uffdio_move move = {
		.dst = addr_of(to),
		.src = addr_of(from),
		.len = page_size(),
	};

	return ioctl(fd, UFFDIO_MOVE, &move) ? -errno : 0;
}

static int move_away(FIXTURE_DATA(userfault_storm) *self)
{
	int error = move(self->fd, self->page, self->other);

	return error == -EAGAIN ? -EBUSY : error;
}

/* A call may still have the page from before. */
static int move_back(FIXTURE_DATA(userfault_storm) *self)
{
	int error;

	do
		error = move(self->fd, self->other, self->page);
	while (error == -EAGAIN || error == -EBUSY);
	return error;
}

FIXTURE_VARIANT_ADD(userfault_storm, move)
{
	.mode = UFFDIO_REGISTER_MODE_MISSING,
	.features = UFFD_FEATURE_MOVE,
	.take = move_away,
	.give = move_back,
	.may_be_busy = true,
};

FIXTURE_SETUP(userfault_storm)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->page = map_pages(2);
	ASSERT_TRUE(self->page != MAP_FAILED);
	self->other = self->page + page_size();
	*self->page = 0;
	self->fd = userfault_watch(self->page, 2, variant->mode,
				   variant->features);
	if (self->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
}

FIXTURE_TEARDOWN(userfault_storm)
{
}

static void turn(struct __test_metadata *_metadata,
		 FIXTURE_DATA(userfault_storm) *self,
		 const FIXTURE_VARIANT(userfault_storm) *variant, bool is_late)
{
	int error;

	if (!is_late)
		pause_increments(&self->inc);
	error = variant->take(self);
	self->turns++;
	if (error == -EBUSY) {
		self->busy++;
		return;
	}
	ASSERT_EQ(0, error);
	usleep(rand() % 200);
	ASSERT_EQ(0, variant->give(self));
	usleep(rand() % 200);
}

TEST_F_TIMEOUT(userfault_storm, loses_nothing, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	bool to_meet = variant->may_be_busy && nr_cpus() > 1;

	start(_metadata, &self->inc, self->page, PROT_READ | PROT_WRITE, 0);
	while ((now_usec() < end || self->turns < MIN_TURNS ||
		(to_meet && is_awaited(self->busy, end))) &&
	       !self->inc.stop)
		turn(_metadata, self, variant, now_usec() >= end);
	finish(_metadata, &self->inc);
	if (to_meet)
		EXPECT_LT(0, self->busy);
	TH_LOG("%lu turns, the page was in use in %lu", self->turns,
	       self->busy);
}

TEST_HARNESS_MAIN
