// SPDX-License-Identifier: GPL-2.0
/*
 * Increments by cpu_opv(2) while the counter moves from page to page, or from
 * address to address, with what it holds: copy-on-write after fork(2),
 * mprotect(2), mremap(2), munmap(2) and mmap(2), migration, compaction, same-page
 * merging, collapse into huge pages and their split. None is lost, nothing stale
 * is read.
 *
 * stale_test is about pages that are dropped with what they hold.
 *
 * Needs root for compaction, which is of all memory of the machine, and for
 * same-page merging, for which it changes the settings of KSM until it ends.
 */
#include <stdio.h>

#include <linux/mempolicy.h>

#include "kselftest_harness.h"
#include "increments.h"
#include "restore.h"

#define RUN_USEC	100000
#define MIN_TURNS	5	/* of the disturbance, on a slow machine */
#define LOOKS_AT_FINAL	300	/* as long as a vector takes */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define KSM		"/sys/kernel/mm/ksm/"
#define COMPACT		"/proc/sys/vm/compact_memory"
#define THP_SIZE	"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"
#define LARGEST_THP	(32L << 20)
#define FRAGMENTED	(16UL << 20)

FIXTURE(move)
{
	struct increments inc;
	char *page;		/* that holds the counter */
	char *other;		/* page, for use by the disturbance */
	size_t thp;		/* size of a huge page */
	int node;		/* that the page goes to */
	__u64 frame;		/* of page, before what may move it */
	bool is_told;		/* which frame it is */
	bool no_memory;		/* for a huge page */
	unsigned long turns, moves;
};

FIXTURE_VARIANT(move)
{
	/* Sets up page and other; returns why it cannot, or NULL. */
	const char *(*prepare)(FIXTURE_DATA(move) *self);
	int (*disturb)(FIXTURE_DATA(move) *self);	/* 0 or -errno */
	struct setting *settings;	/* of the machine, for this */
	int plain;		/* what works without cpu_opv, at any moment */
	int error;		/* that calls may return */
	bool pause;		/* what is in use is not moved */
	bool moves;		/* if not each time, then soon */
};

static const char *two_pages(FIXTURE_DATA(move) *self)
{
	self->page = map_pages(2);
	self->other = self->page + page_size();
	return self->page == MAP_FAILED ? "needs memory" : NULL;
}

/* Both the watch and the vectors give the parent its own page again. */
static int share_with_child(FIXTURE_DATA(move) *self)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		usleep(200);
		_exit(0);
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 ? -errno : status;
}

FIXTURE_VARIANT_ADD(move, copy_on_write)
{
	.prepare = two_pages,
	.disturb = share_with_child,
	.plain = PROT_READ | PROT_WRITE,
	.pause = true,
	.moves = true,
};

/* A call that has taken a page away from vectors has waited for the last one. */
static int expect_final(const char *page)
{
	const struct incremented *p = (const struct incremented *)page;
	unsigned long counter = p->counter;
	int i;

	for (i = 0; i < LOOKS_AT_FINAL; i++) {
		if (p->counter != counter)
			return -EBUSY;
	}
	return 0;
}

static int protect_and_unprotect(FIXTURE_DATA(move) *self)
{
	int ret;

	if (mprotect(self->page, page_size(), PROT_READ))
		return -errno;
	ret = expect_final(self->page);
	if (mprotect(self->page, page_size(), PROT_READ | PROT_WRITE))
		return -errno;
	return ret;
}

FIXTURE_VARIANT_ADD(move, protect)
{
	.prepare = two_pages,
	.disturb = protect_and_unprotect,
	.plain = PROT_READ,
	.error = -EFAULT,
};

static int move_mapping(char *from, char *to)
{
	return mremap(from, page_size(), page_size(),
		      MREMAP_MAYMOVE | MREMAP_FIXED, to) == to ? 0 : -errno;
}

static int move_away_and_back(FIXTURE_DATA(move) *self)
{
	return move_mapping(self->page, self->other) ?:
		expect_final(self->other) ?:
		move_mapping(self->other, self->page);
}

FIXTURE_VARIANT_ADD(move, remap)
{
	.prepare = two_pages,
	.disturb = move_away_and_back,
	.plain = PROT_NONE,
	.error = -EFAULT,
};

/* Maps the memory at one address at another one, too: any, or this one. */
static char *map_again(char *from, char *at)
{
	int flags = at ? MREMAP_MAYMOVE | MREMAP_FIXED : MREMAP_MAYMOVE;

	return mremap(from, 0, page_size(), flags, at);
}

static const char *prepare_shared(FIXTURE_DATA(move) *self)
{
	self->page = mmap(NULL, page_size(), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (self->page == MAP_FAILED)
		return "needs memory";
	self->other = map_again(self->page, NULL);
	return self->other == MAP_FAILED ? "needs memory" : NULL;
}

static int unmap_and_map(FIXTURE_DATA(move) *self)
{
	int ret;

	if (munmap(self->page, page_size()))
		return -errno;
	ret = expect_final(self->other);
	if (map_again(self->other, self->page) != self->page)
		return -errno;
	return ret;
}

FIXTURE_VARIANT_ADD(move, unmap)
{
	.prepare = prepare_shared,
	.disturb = unmap_and_map,
	.plain = PROT_NONE,
	.error = -EFAULT,
};

/* From one node to the other, if the page is not in use at that moment. */
static int migrate(FIXTURE_DATA(move) *self)
{
	void *page = self->page;
	int status;

	self->node = !self->node;
	return syscall(__NR_move_pages, 0, 1, &page, &self->node, &status,
		       MPOL_MF_MOVE) < 0 ? -errno : 0;
}

static const char *prepare_nodes(FIXTURE_DATA(move) *self)
{
	const char *reason = two_pages(self);

	if (reason)
		return reason;
	*self->page = 0;
	return migrate(self) || migrate(self) ?
		"needs two NUMA nodes (CONFIG_NUMA; numa=fake=2)" : NULL;
}

FIXTURE_VARIANT_ADD(move, migrate)
{
	.prepare = prepare_nodes,
	.disturb = migrate,
	.plain = PROT_READ | PROT_WRITE,
	.pause = true,
	.moves = true,
};

/* Compaction has something to do: free pages here and there. */
static const char *prepare_compaction(FIXTURE_DATA(move) *self)
{
	size_t i, page = page_size(), nr = FRAGMENTED / page;
	char *pages = map_pages(nr);

	if (pages == MAP_FAILED)
		return "needs memory";
	memset(pages, 0, nr * page);
	for (i = 1; i < nr; i += 2)
		madvise(pages + i * page, page, MADV_DONTNEED);
	self->page = pages + nr / 2 * page;
	self->other = pages;
	return write_file(COMPACT, "1") ? "needs root and CONFIG_COMPACTION" : NULL;
}

/* A page of its own each time, so that not all are where they are to be. */
static int compact(FIXTURE_DATA(move) *self)
{
	int error = share_with_child(self);

	/* What counts is what comes now; it may be where it is to be. */
	self->frame = frame_of(self->page);
	return error ?: write_file(COMPACT, "1");
}

FIXTURE_VARIANT_ADD(move, compact)
{
	.prepare = prepare_compaction,
	.disturb = compact,
	.plain = PROT_READ | PROT_WRITE,
	.pause = true,
};

static struct setting ksm_settings[] = {
	{ KSM "smart_scan", "0" },
	{ KSM "sleep_millisecs", "0" },
	{ KSM "pages_to_scan", "10000" },
	{ KSM "run", "1" },
	{},
};

static const char *prepare_merging(FIXTURE_DATA(move) *self)
{
	const char *reason = two_pages(self);

	if (reason)
		return reason;
	return madvise(self->page, 2 * page_size(), MADV_MERGEABLE) ?
		"needs CONFIG_KSM" : NULL;
}

/*
 * Both pages hold the same for so long that it may be found out: what is under
 * way ends before, and the first time it is to be.
 */
static int merge(FIXTURE_DATA(move) *self)
{
	self->inc.paused = true;
	usleep(1000);
	memcpy(self->other, self->page, page_size());
	usleep(rand() % (self->moves ? 20000 : 200000));
	self->inc.paused = false;
	usleep(rand() % 500);
	return 0;
}

FIXTURE_VARIANT_ADD(move, merge)
{
	.prepare = prepare_merging,
	.disturb = merge,
	.settings = ksm_settings,
	.plain = PROT_READ | PROT_WRITE,
	.moves = true,
};

/* The counter is in the middle of what can be a huge page, other at its end. */
static const char *prepare_huge(FIXTURE_DATA(move) *self)
{
	FILE *f = fopen(THP_SIZE, "r");
	unsigned long size = 0;
	char *p;

	if (f) {
		if (fscanf(f, "%lu", &size) != 1)
			size = 0;
		fclose(f);
	}
	if (!size || size > LARGEST_THP)
		return "needs CONFIG_TRANSPARENT_HUGEPAGE, and small huge pages";
	p = map_pages(2 * size / page_size());
	if (p == MAP_FAILED)
		return "needs memory";
	p += -(uintptr_t)p % size;
	memset(p, 0, size);
	self->thp = size;
	self->page = p + size / 2;
	self->other = p + size - page_size();
	return madvise(p, size, MADV_COLLAPSE) && errno == EINVAL ?
		"needs MADV_COLLAPSE" : NULL;
}

static int collapse(FIXTURE_DATA(move) *self)
{
	if (!madvise(self->page - self->thp / 2, self->thp, MADV_COLLAPSE))
		return 0;
	/* Pages are in use, or there is no huge page to be had. */
	self->no_memory |= errno == ENOMEM;
	return errno == EAGAIN || errno == EBUSY || errno == ENOMEM ? 0 : -errno;
}

static int drop_part_and_collapse(FIXTURE_DATA(move) *self)
{
	if (madvise(self->other, page_size(), MADV_DONTNEED))
		return -errno;
	return collapse(self);
}

FIXTURE_VARIANT_ADD(move, drop_part_and_collapse)
{
	.prepare = prepare_huge,
	.disturb = drop_part_and_collapse,
	.plain = PROT_READ | PROT_WRITE,
	.pause = true,
	.moves = true,
};

static int protect_part_and_collapse(FIXTURE_DATA(move) *self)
{
	if (mprotect(self->other, page_size(), PROT_READ) ||
	    mprotect(self->other, page_size(), PROT_READ | PROT_WRITE))
		return -errno;
	return collapse(self);
}

FIXTURE_VARIANT_ADD(move, protect_part_and_collapse)
{
	.prepare = prepare_huge,
	.disturb = protect_part_and_collapse,
	.plain = PROT_READ | PROT_WRITE,
	.pause = true,
	.moves = true,
};

FIXTURE_SETUP(move)
{
	const char *reason;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	reason = variant->prepare(self);
	if (reason)
		SKIP(return, "%s", reason);
	if (variant->settings && change_settings(_metadata, variant->settings))
		SKIP(return, "needs root, to change %s",
		     variant->settings->path);
}

FIXTURE_TEARDOWN_PARENT(move)
{
	wait_until_restored();
}

static void turn(struct __test_metadata *_metadata, FIXTURE_DATA(move) *self,
		 const FIXTURE_VARIANT(move) *variant, bool at_rest)
{
	__u64 after;

	self->frame = frame_of(self->page);
	self->is_told |= self->frame;
	if (variant->pause)
		pause_increments(&self->inc);
	if (at_rest) {
		self->inc.paused = true;
		usleep(10000);
	}
	EXPECT_EQ(0, variant->disturb(self));
	self->inc.paused = false;
	after = frame_of(self->page);
	/* To be there at last is not to have moved. */
	self->moves += self->frame && after && self->frame != after;
	self->turns++;
}

static bool is_to_move(FIXTURE_DATA(move) *self,
		       const FIXTURE_VARIANT(move) *variant)
{
	return variant->moves && self->is_told && !self->no_memory;
}

TEST_F_TIMEOUT(move, loses_nothing, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);

	start(_metadata, &self->inc, self->page, variant->plain,
	      variant->error);
	while ((now_usec() < end || self->turns < MIN_TURNS ||
		(is_to_move(self, variant) && is_awaited(self->moves, end))) &&
	       !self->inc.stop && _metadata->exit_code == KSFT_PASS) {
		/* Where somebody always has the page it does not move else. */
		bool at_rest = now_usec() >= end && self->turns % 2;

		turn(_metadata, self, variant, at_rest);
	}
	finish(_metadata, &self->inc);
	if (is_to_move(self, variant))
		EXPECT_LT(0, self->moves);
	TH_LOG("%lu turns, the page moved in %lu; %lu calls failed",
	       self->turns, self->moves, self->inc.failed);
}

TEST_HARNESS_MAIN
