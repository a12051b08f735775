// SPDX-License-Identifier: GPL-2.0
/*
 * What another thread does to the memory of a call of cpu_opv(2) that is under
 * way: the vector works on what is there in the end, or the call fails and has
 * done nothing.
 *
 * The vector needs one page that is there, and then one that userfaultfd(2)
 * watches. Who serves the latter changes the former before, and so after the
 * call has had it pinned: nothing is left to chance. While it waits nothing is
 * pinned, but what it found before is not to count any more.
 *
 * Needs root, as userfaultfd(2) does for what the kernel accesses.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "userfault.h"

#define BEFORE		10	/* in the page that changes */
#define AFTER		20
#define SERVED		30	/* in the other one */
#define TIMEOUT_SEC	100	/* on a slow machine */

FIXTURE(meanwhile)
{
	__u64 *page;		/* changes */
	__u64 *awaited;		/* is watched */
	__u64 *content;		/* of what is served */
	__u64 *now_at;		/* where the page is, if it can be read */
	struct cpu_op *ops;	/* of the call */
	__u64 ran, seen;	/* by the vector */
	size_t size;		/* of the page */
	int fd, page_fd;	/* of userfaultfd */
	int cpu;
	pid_t child;
	pthread_t server;
	int (*change)(FIXTURE_DATA(meanwhile) *self);
	int (*protect)(int fd, const void *page, bool is_on);
	bool waits;		/* the call, for the page until it may be accessed */
	int error;		/* of the server */
};

FIXTURE_VARIANT(meanwhile)
{
	bool untouched;		/* before the call */
	bool huge;
	/* The page is watched as well, in this mode. */
	__u64 mode, features;
	/* 0 or -errno */
	int (*change)(FIXTURE_DATA(meanwhile) *self);
	/* Who accesses the page then waits. */
	int (*protect)(int fd, const void *page, bool is_on);
	bool load_waits;	/* or is it only the store? */
	int load, store;	/* what these return */
	__u64 value;		/* what they find */
};

static int drop(FIXTURE_DATA(meanwhile) *self)
{
	return madvise(self->page, self->size, MADV_DONTNEED) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(meanwhile, dropped)
{
	.change = drop,
};

static int write_after(FIXTURE_DATA(meanwhile) *self)
{
	*self->page = AFTER;
	return 0;
}

static int drop_and_write(FIXTURE_DATA(meanwhile) *self)
{
	return drop(self) ?: write_after(self);
}

FIXTURE_VARIANT_ADD(meanwhile, dropped_and_written)
{
	.change = drop_and_write,
	.value = AFTER,
};

FIXTURE_VARIANT_ADD(meanwhile, huge_dropped_and_written)
{
	.huge = true,
	.change = drop_and_write,
	.value = AFTER,
};

static int remap_and_write(FIXTURE_DATA(meanwhile) *self)
{
	if (mmap(self->page, self->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -errno;
	return write_after(self);
}

FIXTURE_VARIANT_ADD(meanwhile, remapped_and_written)
{
	.change = remap_and_write,
	.value = AFTER,
};

/* A load of its own would have found the zero page. */
FIXTURE_VARIANT_ADD(meanwhile, touched)
{
	.untouched = true,
	.change = write_after,
	.value = AFTER,
};

/* What counts is the vector that was passed. */
static int change_vector(FIXTURE_DATA(meanwhile) *self)
{
	self->ops[0].u.arithmetic_op.count = 2;
	return drop_and_write(self);
}

FIXTURE_VARIANT_ADD(meanwhile, dropped_and_vector_changed)
{
	.change = change_vector,
	.value = AFTER,
};

static int fork_and_write(FIXTURE_DATA(meanwhile) *self)
{
	pid_t pid = fork_endless();

	if (pid < 0)
		return -errno;
	while (!pid)
		pause();
	self->child = pid;
	return write_after(self);
}

FIXTURE_VARIANT_ADD(meanwhile, forked_and_written)
{
	.change = fork_and_write,
	.value = AFTER,
};

static int make_read_only(FIXTURE_DATA(meanwhile) *self)
{
	return mprotect(self->page, self->size, PROT_READ) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(meanwhile, read_only)
{
	.change = make_read_only,
	.store = -EFAULT,
	.value = BEFORE,
};

FIXTURE_VARIANT_ADD(meanwhile, huge_read_only)
{
	.huge = true,
	.change = make_read_only,
	.store = -EFAULT,
	.value = BEFORE,
};

static int forbid(FIXTURE_DATA(meanwhile) *self)
{
	self->now_at = NULL;
	return mprotect(self->page, self->size, PROT_NONE) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(meanwhile, forbidden)
{
	.change = forbid,
	.load = -EFAULT,
	.store = -EFAULT,
};

/* 7.3 takes such a page for not present on ARM, and warns when it goes. */
#ifndef __arm__
FIXTURE_VARIANT_ADD(meanwhile, huge_forbidden)
{
	.huge = true,
	.change = forbid,
	.load = -EFAULT,
	.store = -EFAULT,
};
#endif

static int unmap(FIXTURE_DATA(meanwhile) *self)
{
	self->now_at = NULL;
	return munmap(self->page, self->size) ? -errno : 0;
}

FIXTURE_VARIANT_ADD(meanwhile, unmapped)
{
	.change = unmap,
	.load = -EFAULT,
	.store = -EFAULT,
};

static int move_away(FIXTURE_DATA(meanwhile) *self)
{
	void *to = map_pages(1);

	if (to == MAP_FAILED)
		return -errno;
	self->now_at = mremap(self->page, self->size, self->size,
			      MREMAP_MAYMOVE | MREMAP_FIXED, to);
	return self->now_at == MAP_FAILED ? -errno : 0;
}

FIXTURE_VARIANT_ADD(meanwhile, moved_away)
{
	.change = move_away,
	.load = -EFAULT,
	.store = -EFAULT,
	.value = BEFORE,
};

static int protect(FIXTURE_DATA(meanwhile) *self)
{
	return self->protect(self->page_fd, self->page, true);
}

FIXTURE_VARIANT_ADD(meanwhile, write_protected)
{
	.mode = UFFDIO_REGISTER_MODE_WP,
	.protect = userfault_write_protect,
	.change = protect,
	.value = BEFORE,
};

FIXTURE_VARIANT_ADD(meanwhile, read_write_protected)
{
	.mode = UFFDIO_REGISTER_MODE_RWP,
	.features = UFFD_FEATURE_RWP,
	.protect = userfault_protect,
	.change = protect,
	.load_waits = true,
	.value = BEFORE,
};

static int give(FIXTURE_DATA(meanwhile) *self, const void *page)
{
	return userfault_copy(self->fd, page, self->content);
}

static void *change_and_serve(void *arg)
{
	FIXTURE_DATA(meanwhile) *self = arg;

	self->error = userfault_await(self->fd, self->awaited) ?:
		      self->change(self) ?:
		      give(self, self->awaited);
	if (self->waits && !self->error)
		self->error = userfault_await(self->page_fd, self->page) ?:
			      self->protect(self->page_fd, self->page, false);
	return NULL;
}

FIXTURE_SETUP(meanwhile)
{
	self->fd = -1;
	self->page_fd = -1;
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(nr_cpus() > 1);
	ASSERT_LE(0, self->cpu);
	self->size = variant->huge ? THP_ALIGN : page_size();
	self->page = map_page(variant->huge);
	if (!self->page)
		SKIP(return, "needs CONFIG_TRANSPARENT_HUGEPAGE");
	self->now_at = self->page;
	self->awaited = map_pages(1);
	self->content = map_pages(1);
	ASSERT_TRUE(self->awaited != MAP_FAILED && self->content != MAP_FAILED);
	*self->content = SERVED;
	if (!variant->untouched)
		*self->page = BEFORE;
	self->fd = userfault_watch(self->awaited, 1,
				   UFFDIO_REGISTER_MODE_MISSING, 0);
	if (variant->mode)
		self->page_fd = userfault_watch(self->page, 1, variant->mode,
						variant->features);
	if (self->fd < 0 || (variant->mode && self->page_fd < 0))
		SKIP(return, USERFAULT_ABSENT);
	self->change = variant->change;
	self->protect = variant->protect;
}

FIXTURE_TEARDOWN(meanwhile)
{
	if (self->child > 0) {
		kill(self->child, SIGKILL);
		waitpid(self->child, NULL, 0);
	}
	close(self->fd);
	close(self->page_fd);
}

/* Calls for this operation on the page, which comes before what is awaited. */
static void call(struct __test_metadata *_metadata,
		 FIXTURE_DATA(meanwhile) *self, struct cpu_op op, int expected)
{
	__u64 served = 0;
	struct cpu_op ops[] = {
		op_add(&self->ran, 1, sizeof(self->ran)),
		op,
		op_copy(&served, self->awaited, sizeof(served)),
	};

	self->ops = ops;
	ASSERT_EQ(0, pthread_create(&self->server, NULL, change_and_serve,
				    self));
	EXPECT_EQ(expected, cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0));
	ASSERT_EQ(0, pthread_join(self->server, NULL));
	EXPECT_EQ(0, self->error);
	EXPECT_EQ(expected ? 0 : 1, self->ran);
	EXPECT_EQ(expected ? 0 : SERVED, served);
}

TEST_F_TIMEOUT(meanwhile, load, TIMEOUT_SEC)
{
	struct cpu_op load = op_copy(&self->seen, self->page, 8);

	self->waits = variant->load_waits;
	call(_metadata, self, load, variant->load);
	EXPECT_EQ(variant->load ? 0 : variant->value, self->seen);
}

static void store(struct __test_metadata *_metadata,
		  FIXTURE_DATA(meanwhile) *self,
		  const FIXTURE_VARIANT(meanwhile) *variant, bool may_fault)
{
	struct cpu_op add = op_add(self->page, 1, 8);
	int expected = variant->store;

	add.u.arithmetic_op.expect_fault_p = may_fault;
	self->waits = variant->protect;
	call(_metadata, self, add, may_fault && expected ? -EAGAIN : expected);
	if (self->now_at)
		EXPECT_EQ(variant->value + !expected, *self->now_at);
}

TEST_F_TIMEOUT(meanwhile, store, TIMEOUT_SEC)
{
	store(_metadata, self, variant, false);
}

TEST_F_TIMEOUT(meanwhile, store_that_may_fault, TIMEOUT_SEC)
{
	store(_metadata, self, variant, true);
}

/*
 * A page that cannot be accessed when the call first tries, and can be when it
 * looks again, to tell which operand it is: the call is done after all.
 */
FIXTURE(comes_back)
{
	FIXTURE_DATA(meanwhile) m;
};

FIXTURE_SETUP(comes_back)
{
	FIXTURE_DATA(meanwhile) *m = &self->m;

	m->fd = -1;
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	m->cpu = aim(nr_cpus() > 1);
	ASSERT_LE(0, m->cpu);
	m->size = page_size();
	m->awaited = map_pages(2);
	m->content = map_pages(1);
	ASSERT_TRUE(m->awaited != MAP_FAILED && m->content != MAP_FAILED);
	m->page = (void *)((char *)m->awaited + page_size());
	*m->content = SERVED;
	m->fd = userfault_watch(m->awaited, 2, UFFDIO_REGISTER_MODE_MISSING, 0);
	if (m->fd < 0)
		SKIP(return, USERFAULT_ABSENT);
}

FIXTURE_TEARDOWN(comes_back)
{
	close(self->m.fd);
}

/* Who waits for the page finds that it may not access it. */
static int forbid_and_wake(FIXTURE_DATA(meanwhile) *m)
{
	struct uffdio_range range = { addr_of(m->page), m->size };

	return forbid(m) ?: ioctl(m->fd, UFFDIO_WAKE, &range) ? -errno : 0;
}

static int allow(FIXTURE_DATA(meanwhile) *m)
{
	return mprotect(m->page, m->size, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static void *forbid_and_allow(void *arg)
{
	FIXTURE_DATA(meanwhile) *m = arg;

	/* The first look: the second page cannot be accessed. */
	m->error = userfault_await(m->fd, m->awaited) ?:
		   give(m, m->awaited) ?:
		   userfault_await(m->fd, m->page);
	if (!m->error && madvise(m->awaited, m->size, MADV_DONTNEED))
		m->error = -errno;
	/* The second one begins with the first page, which is gone. */
	m->error = m->error ?:
		   forbid_and_wake(m) ?:
		   userfault_await(m->fd, m->awaited) ?:
		   allow(m) ?:
		   give(m, m->awaited) ?:
		   userfault_await(m->fd, m->page) ?:
		   give(m, m->page);
	return NULL;
}

TEST_F_TIMEOUT(comes_back, is_done, TIMEOUT_SEC)
{
	FIXTURE_DATA(meanwhile) *m = &self->m;
	struct cpu_op ops[] = {
		op_copy(&m->seen, m->awaited, 8),
		op_add(m->page, 1, 8),
	};

	ASSERT_EQ(0, pthread_create(&m->server, NULL, forbid_and_allow, m));
	EXPECT_EQ(0, cpu_opv(ops, ARRAY_SIZE(ops), m->cpu, 0));
	ASSERT_EQ(0, pthread_join(m->server, NULL));
	EXPECT_EQ(0, m->error);
	EXPECT_EQ(SERVED, m->seen);
	EXPECT_EQ(SERVED + 1, *m->page);
}

TEST_HARNESS_MAIN
