// SPDX-License-Identifier: GPL-2.0
/*
 * A page that user space cannot read is not to be read through GUP either, whichever
 * way it goes. GUP looks at the VMA, GUP-fast at the page table
 * alone: vmsplice(), which uses the latter, has to fail as write() does.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kselftest.h"

static int fds[2];
static char *page;

/* copy_from_user() */
static bool read_by_write(void)
{
	return write(fds[1], page, 1) == 1;
}

/* get_user_pages_fast() */
static bool read_by_vmsplice(void)
{
	struct iovec from = { .iov_base = page, .iov_len = 1 };

	return vmsplice(fds[1], &from, 1, 0) == 1;
}

/* pin_user_pages_remote() */
static bool read_by_process_vm_readv(void)
{
	char byte;
	struct iovec from = { .iov_base = page, .iov_len = 1 };
	struct iovec to = { .iov_base = &byte, .iov_len = 1 };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
}

/* Each has to find the page, or the test would say nothing. */
static void check_readable(void)
{
	if (!read_by_write())
		ksft_exit_fail_perror("write");
	if (!read_by_vmsplice())
		ksft_exit_fail_perror("vmsplice");
	if (!read_by_process_vm_readv())
		ksft_exit_skip("needs CONFIG_CROSS_MEMORY_ATTACH\n");
}

static void test_refused(const char *name, const char *prot,
			 bool (*read_page)(void))
{
	bool refused = !read_page();

	ksft_test_result(refused && errno == EFAULT, "%s of a page with %s\n",
			 name, prot);
}

static void test_prot(int prot, const char *name)
{
	if (mprotect(page, getpagesize(), prot))
		ksft_exit_fail_perror("mprotect");
	if (read_by_write()) {
		ksft_test_result_skip("vmsplice: %s lets read here\n", name);
		ksft_test_result_skip("process_vm_readv: %s lets read here\n",
				      name);
		return;
	}
	test_refused("vmsplice", name, read_by_vmsplice);
	test_refused("process_vm_readv", name, read_by_process_vm_readv);
}

int main(void)
{
	ksft_print_header();
	ksft_set_plan(4);

	page = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		ksft_exit_fail_perror("mmap");
	*page = 1;
	if (pipe(fds))
		ksft_exit_fail_perror("pipe");

	check_readable();
	test_prot(PROT_EXEC, "PROT_EXEC");
	test_prot(PROT_NONE, "PROT_NONE");

	ksft_finished();
}
