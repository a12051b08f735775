// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) on mappings of files while they are written back and their pages
 * dropped: what was stored to a shared mapping is in the file, also once the
 * caches were dropped, and nothing that was stored to a private one.
 *
 * CPU_OPV_DIR is a directory of a file system on a disk, if there is one.
 *
 * With root it drops the caches of the whole machine, again and again.
 */
#include <sys/vfs.h>

#include <linux/magic.h>

#include "kselftest_harness.h"
#include "increments.h"

#define RUN_USEC	100000
#define MIN_TURNS	5	/* of the disturbance, on a slow machine */
#define DROP_CACHES	"/proc/sys/vm/drop_caches"

FIXTURE(file)
{
	struct increments inc;
	int fd;
	size_t size;		/* of two pages */
	unsigned long turns;
};

FIXTURE_VARIANT(file)
{
	bool disk;		/* or in memory? */
	int map_flags;
};

FIXTURE_VARIANT_ADD(file, shared_in_memory)
{
	.map_flags = MAP_SHARED,
};

FIXTURE_VARIANT_ADD(file, private_in_memory)
{
	.map_flags = MAP_PRIVATE,
};

FIXTURE_VARIANT_ADD(file, shared_on_disk)
{
	.disk = true,
	.map_flags = MAP_SHARED,
};

FIXTURE_VARIANT_ADD(file, private_on_disk)
{
	.disk = true,
	.map_flags = MAP_PRIVATE,
};

static bool is_of_disk(int fd)
{
	static const long magics[] = {
		EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC,
	};
	struct statfs fs;
	size_t i;

	for (i = 0; !fstatfs(fd, &fs) && i < ARRAY_SIZE(magics); i++) {
		if ((unsigned int)fs.f_type == (unsigned int)magics[i])
			return true;
	}
	return false;
}

/* A file without a name, or -1. */
static int open_file(bool disk)
{
	const char *dir = getenv("CPU_OPV_DIR");
	int fd;

	if (!disk)
		return syscall(__NR_memfd_create, "file", 0);
	fd = open(dir ?: ".", O_TMPFILE | O_RDWR, 0600);
	if (fd < 0 || is_of_disk(fd))
		return fd;
	close(fd);
	return -1;
}

FIXTURE_SETUP(file)
{
	self->fd = -1;
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->fd = open_file(variant->disk);
	if (self->fd < 0)
		SKIP(return, variant->disk ?
		     "needs CPU_OPV_DIR, a directory on a disk" :
		     "needs memfd_create(2)");
	self->size = 2 * page_size();
	ASSERT_EQ(0, ftruncate(self->fd, self->size));
}

FIXTURE_TEARDOWN(file)
{
	close(self->fd);
}

/* What the file has, whoever maps it. */
static unsigned long counter_in(int fd)
{
	struct incremented found;

	if (pread(fd, &found, sizeof(found), 0) != sizeof(found))
		return -1;
	return found.counter;
}

/* Has the file's pages written, and so write-protected, and dropped. */
static int write_back(FIXTURE_DATA(file) *self, void *p)
{
	if (msync(p, self->size, self->turns % 2 ? MS_SYNC : MS_ASYNC) ||
	    (self->turns % 4 == 3 && fsync(self->fd)))
		return -errno;
	if (self->turns % 4 == 0)
		madvise(p, self->size, MADV_PAGEOUT);
	if (self->turns % 8 == 0)
		write_file(DROP_CACHES, "1");
	return 0;
}

TEST_F_TIMEOUT(file, has_what_was_stored, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long expected;
	void *p = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
		       variant->map_flags, self->fd, 0);

	ASSERT_TRUE(p != MAP_FAILED);
	start(_metadata, &self->inc, p, PROT_READ | PROT_WRITE, 0);
	for (; (now_usec() < end || self->turns < MIN_TURNS) &&
	     !self->inc.stop; self->turns++)
		ASSERT_EQ(0, write_back(self, p));
	finish(_metadata, &self->inc);

	expected = variant->map_flags == MAP_SHARED ? self->inc.done : 0;
	EXPECT_EQ(expected, counter_in(self->fd));
	EXPECT_EQ(0, msync(p, self->size, MS_SYNC));
	EXPECT_EQ(0, munmap(p, self->size));
	EXPECT_EQ(0, fsync(self->fd));
	if (write_file(DROP_CACHES, "3"))
		TH_LOG("the caches could not be dropped");
	EXPECT_EQ(expected, counter_in(self->fd));
	TH_LOG("%lu turns", self->turns);
}

/* A hole that the vector itself has to fill, and blocks of a shrinking file. */
TEST_F(file, pages_come_and_go)
{
	unsigned long *p = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
				variant->map_flags, self->fd, 0);
	unsigned long *second = (void *)((char *)p + page_size());
	int cpu = nth_cpu(nr_cpus() > 1);
	struct cpu_op add = op_add(second, 1, sizeof(*second));

	ASSERT_TRUE(p != MAP_FAILED);
	EXPECT_EQ(0, cpu_opv(&add, 1, cpu, 0));
	EXPECT_EQ(1, *second);
	ASSERT_EQ(0, ftruncate(self->fd, page_size()));
	EXPECT_EQ(-EFAULT, cpu_opv(&add, 1, cpu, 0));
	ASSERT_EQ(0, ftruncate(self->fd, self->size));
	EXPECT_EQ(0, cpu_opv(&add, 1, cpu, 0));
	EXPECT_EQ(1, *second);
}

TEST_HARNESS_MAIN
