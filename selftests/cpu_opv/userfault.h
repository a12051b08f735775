/* SPDX-License-Identifier: GPL-2.0 */
/* userfaultfd(2), for the tests that watch memory by it. */
#ifndef CPU_OPV_USERFAULT_H
#define CPU_OPV_USERFAULT_H

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <linux/fs.h>
#include <linux/userfaultfd.h>

#include "cpu_opv_common.h"

#define USERFAULT_ABSENT	"needs CONFIG_USERFAULTFD with this mode, and root"

#define USERFAULT_MSEC		60000	/* for what is to happen at once */

/* Watches nr pages; returns the descriptor, or -1 if this cannot be had. */
static inline int userfault_watch(const void *p, size_t nr, __u64 mode,
				  __u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = {
		.range = { addr_of(p), nr * page_size() },
		.mode = mode,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg))
		return fd;
	close(fd);
	return -1;
}

/* Who stores to the page, or with the other also who loads, then waits. */

static inline int userfault_write_protect(int fd, const void *page, bool is_on)
{
	struct uffdio_writeprotect wp = {
		.range = { addr_of(page), page_size() },
		.mode = is_on ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
}

static inline int userfault_protect(int fd, const void *page, bool is_on)
{
	struct uffdio_rwprotect rwp = {
		.range = { addr_of(page), page_size() },
		.mode = is_on ? UFFDIO_RWPROTECT_MODE_RWP : 0,
	};

	return ioctl(fd, UFFDIO_RWPROTECT, &rwp) ? -errno : 0;
}

/* Tells which page somebody waits for: 0, or -errno, -EAGAIN if none is. */
static inline int userfault_read(int fd, uintptr_t *page)
{
	struct uffd_msg msg = {};
	ssize_t len = read(fd, &msg, sizeof(msg));

	*page = msg.arg.pagefault.address & -page_size();
	return len == sizeof(msg) ? 0 : -errno;
}

/* Returns once the descriptor, which may be another one, has something to read. */
static inline int userfault_poll(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, USERFAULT_MSEC) > 0 ? 0 : -ETIMEDOUT;
}

/* Returns once somebody waits for the page. */
static inline int userfault_await(int fd, const void *page)
{
	uintptr_t awaited = 0;

	return userfault_poll(fd) ?: userfault_read(fd, &awaited) ?:
	       (awaited == addr_of(page) ? 0 : -EFAULT);
}

static inline int userfault_copy(int fd, const void *dst, const void *src)
{
	struct uffdio_copy copy = {
		.dst = addr_of(dst),
		.src = addr_of(src),
		.len = page_size(),
	};

	return ioctl(fd, UFFDIO_COPY, &copy) ? -errno : 0;
}

/*
 * Whether /proc/self/pagemap, which is open, tells this PAGE_IS_* of the page:
 * 1, 0 or -errno.
 */
static inline int page_is(int pagemap, const void *page, __u64 category)
{
	struct page_region region = {};
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = addr_of(page),
		.end = addr_of(page) + page_size(),
		.vec = addr_of(&region),
		.vec_len = 1,
		.category_mask = category,
		.return_mask = category,
	};
	int ret = ioctl(pagemap, PAGEMAP_SCAN, &arg);

	return ret < 0 ? -errno : ret;
}

#endif /* CPU_OPV_USERFAULT_H */
