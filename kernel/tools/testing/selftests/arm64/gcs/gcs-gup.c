// SPDX-License-Identifier: GPL-2.0-only
/*
 * Only GCS operations may write to a guarded control stack.  Check that the
 * kernel does not do so for a program that reads a file to one.  A buffered
 * read writes through the user space mapping, a direct read to the pages
 * themselves, which it gets from GUP-fast.
 *
 * This needs a current directory on a file system with direct I/O.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <asm/hwcap.h>
#include <asm/mman.h>

#include <linux/magic.h>

#include "kselftest_harness.h"

#include "gcs-util.h"

FIXTURE(gcs_gup)
{
	char *gcs;		/* with a cap token in its only page */
	char *buf;		/* what it contains */
	char *data;		/* what the file contains */
	size_t size;
	int fd;
	int direct_fd;
};

FIXTURE_SETUP(gcs_gup)
{
	char name[] = "gcs-gup.XXXXXX";
	struct statfs fs;

	self->gcs = MAP_FAILED;
	self->buf = MAP_FAILED;
	self->data = MAP_FAILED;
	self->size = sysconf(_SC_PAGE_SIZE);
	self->fd = -1;
	self->direct_fd = -1;

	if (!(getauxval(AT_HWCAP) & HWCAP_GCS))
		SKIP(return, "GCS not supported");

	self->fd = mkstemp(name);
	if (self->fd < 0)
		SKIP(return, "Cannot create a file here: %d", errno);
	self->direct_fd = open(name, O_RDWR | O_DIRECT);
	unlink(name);

	/* tmpfs takes O_DIRECT but copies */
	ASSERT_EQ(fstatfs(self->fd, &fs), 0);
	if (self->direct_fd < 0 || fs.f_type == TMPFS_MAGIC)
		SKIP(return, "No direct I/O here");

	self->buf = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->buf, MAP_FAILED);
	self->data = mmap(NULL, self->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->data, MAP_FAILED);
	memset(self->data, 0x5a, self->size);
	ASSERT_EQ(pwrite(self->fd, self->data, self->size, 0), self->size);
	ASSERT_EQ(fsync(self->fd), 0);

	/* The kernel writes the cap token, that maps the page as writable */
	self->gcs = (void *)syscall(__NR_map_shadow_stack, 0, self->size,
				    SHADOW_STACK_SET_TOKEN);
	ASSERT_NE(self->gcs, MAP_FAILED);
	memcpy(self->buf, self->gcs, self->size);
}

FIXTURE_TEARDOWN(gcs_gup)
{
	if (self->gcs != MAP_FAILED)
		munmap(self->gcs, self->size);
	if (self->data != MAP_FAILED)
		munmap(self->data, self->size);
	if (self->buf != MAP_FAILED)
		munmap(self->buf, self->size);
	if (self->direct_fd >= 0)
		close(self->direct_fd);
	if (self->fd >= 0)
		close(self->fd);
}

/* Other memory can be read to */
TEST_F(gcs_gup, direct_read_elsewhere)
{
	ASSERT_EQ(pread(self->direct_fd, self->buf, self->size, 0), self->size);
	ASSERT_EQ(memcmp(self->buf, self->data, self->size), 0);
}

/* A direct read writes to the pages */
TEST_F(gcs_gup, direct_read)
{
	EXPECT_EQ(pread(self->direct_fd, self->gcs, self->size, 0), -1)
		TH_LOG("A guarded control stack was written to");
	EXPECT_EQ(errno, EFAULT);
	ASSERT_EQ(memcmp(self->gcs, self->buf, self->size), 0);
}

/* A guarded control stack can be read, so it can be written to a file */
TEST_F(gcs_gup, direct_write)
{
	ASSERT_EQ(pwrite(self->direct_fd, self->gcs, self->size, 0),
		  self->size);
	ASSERT_EQ(pread(self->fd, self->data, self->size, 0), self->size);
	ASSERT_EQ(memcmp(self->data, self->gcs, self->size), 0);
}

/* A buffered read writes through the mapping, which must end in a fault */
TEST_F(gcs_gup, buffered_read)
{
	ASSERT_EQ(pread(self->fd, self->gcs, self->size, 0), -1);
	EXPECT_EQ(errno, EFAULT);
	ASSERT_EQ(memcmp(self->gcs, self->buf, self->size), 0);
}

TEST_HARNESS_MAIN
