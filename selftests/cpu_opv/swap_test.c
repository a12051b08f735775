// SPDX-License-Identifier: GPL-2.0
/*
 * Increments by cpu_opv(2) while the counter goes to swap and comes back: to
 * what swap there is, or else to compressed memory. None is lost, nothing
 * stale is read.
 *
 * If there is no swap, it has to run in full and needs root: then the machine
 * has zram0 for it until the test ends.
 */
#include <stdio.h>
#include <sys/swap.h>

#include "kselftest_harness.h"
#include "increments.h"
#include "restore.h"

#define RUN_USEC	100000
#define MIN_TURNS	5	/* of the disturbance, on a slow machine */

#define ZRAM		"/dev/zram0"
#define ZRAM_SIZE	"/sys/block/zram0/disksize"
#define ZRAM_RESET	"/sys/block/zram0/reset"
#define ZRAM_BYTES	(16UL << 20)

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

FIXTURE(swap)
{
	struct increments inc;
	void *page;
	bool is_told;		/* whether the page is there */
	unsigned long turns, gone;
};

FIXTURE_VARIANT(swap)
{
	int map_flags;
	size_t size;		/* of what goes at once */
};

FIXTURE_VARIANT_ADD(swap, private)
{
	.map_flags = MAP_PRIVATE | MAP_ANONYMOUS,
	.size = 1,
};

/* Of a file in memory: it leaves the page cache on its way. */
FIXTURE_VARIANT_ADD(swap, shared)
{
	.map_flags = MAP_SHARED | MAP_ANONYMOUS,
	.size = 1,
};

FIXTURE_VARIANT_ADD(swap, large_private)
{
	.map_flags = MAP_PRIVATE | MAP_ANONYMOUS,
	.size = 4UL << 20,
};

/* What mkswap(8) would write: a header in the first page. */
static bool make_swap(const char *path)
{
	struct {
		char boot[1024];
		__u32 version, last_page;
	} header = {
		.version = 1,
		.last_page = ZRAM_BYTES / page_size() - 1,
	};
	static const char signature[] = "SWAPSPACE2";
	const size_t len = sizeof(signature) - 1;
	char *page = calloc(1, page_size());
	int fd = open(path, O_WRONLY);
	bool made = false;

	if (page && fd >= 0) {
		memcpy(page, &header, sizeof(header));
		memcpy(page + page_size() - len, signature, len);
		made = write(fd, page, page_size()) == (ssize_t)page_size();
	}
	if (fd >= 0)
		close(fd);
	free(page);
	return made;
}

/* One line of /proc/swaps is its heading. */
static bool there_is_swap(void)
{
	FILE *f = fopen("/proc/swaps", "r");
	char line[256];
	int nr = 0;

	while (f && fgets(line, sizeof(line), f))
		nr++;
	if (f)
		fclose(f);
	return nr > 1;
}

static int remove_swap(void *arg)
{
	if (swapoff(ZRAM) && errno != EINVAL)
		return -errno;
	return write_file(ZRAM_RESET, "1");
}

/* Having a size, the device is nobody else's. */
static bool add_swap(struct __test_metadata *_metadata)
{
	char size[32];

	snprintf(size, sizeof(size), "%lu", ZRAM_BYTES);
	if (write_file(ZRAM_SIZE, size))
		return false;
	restore_at_end(_metadata, remove_swap, NULL);
	return make_swap(ZRAM) && !swapon(ZRAM, 0);
}

FIXTURE_SETUP(swap)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->page = mmap(NULL, variant->size,
			  PROT_READ | PROT_WRITE, variant->map_flags, -1, 0);
	ASSERT_TRUE(self->page != MAP_FAILED);
	wait_until_restored();
	if (there_is_swap())
		return;
	if (!runs_in_full())
		SKIP(return, "there is no swap, and this does not run in full");
	if (!add_swap(_metadata))
		SKIP(return, "needs swap, or root, CONFIG_SWAP and CONFIG_ZRAM");
}

FIXTURE_TEARDOWN_PARENT(swap)
{
	wait_until_restored();
}

/*
 * A page that was just brought back is on a list of the CPU that did so, until
 * that has more of them, or somebody there wants one to go.
 */
static void page_out_on_each_cpu(struct __test_metadata *_metadata,
				 FIXTURE_DATA(swap) *self, size_t size)
{
	cpu_set_t allowed;
	int cpu;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && !pin_to(cpu))
			ASSERT_EQ(0, madvise(self->page, size, MADV_PAGEOUT));
	}
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
}

/* What is in use does not go, and what has to be written goes by and by. */
static void page_out(struct __test_metadata *_metadata,
		     FIXTURE_DATA(swap) *self, size_t size, bool is_late)
{
	self->inc.paused = true;
	usleep(rand() % 1000);
	if (is_late)
		page_out_on_each_cpu(_metadata, self, size);
	ASSERT_EQ(0, madvise(self->page, size, MADV_PAGEOUT));
	self->gone += self->is_told && !frame_of(self->page);
	self->inc.paused = false;
	ASSERT_EQ(0, madvise(self->page, size, MADV_PAGEOUT));
	usleep(rand() % 1000);
	self->turns++;
}

TEST_F_TIMEOUT(swap, loses_nothing, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);

	memset(self->page, 0, variant->size);
	self->is_told = frame_of(self->page);
	start(_metadata, &self->inc, self->page, PROT_READ | PROT_WRITE, 0);
	while ((now_usec() < end || self->turns < MIN_TURNS ||
		(self->is_told && is_awaited(self->gone, end))) &&
	       !self->inc.stop)
		page_out(_metadata, self, variant->size, now_usec() >= end);
	finish(_metadata, &self->inc);
	if (self->is_told)
		EXPECT_LT(0, self->gone);
	TH_LOG("%lu turns, the page was gone in %lu", self->turns, self->gone);
}

TEST_HARNESS_MAIN
