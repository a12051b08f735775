// SPDX-License-Identifier: GPL-2.0
/*
 * Each address in a huge page has to lead GUP to the page that is mapped there,
 * also where the page table entries of a huge page are all the same. Number the
 * pages, and read the numbers by system calls that use GUP and GUP-fast.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hugepage_settings.h"
#include "kselftest.h"

#define MAX_SIZES	10

static int fds[2];
static size_t page_size;

/* get_user_pages_fast() */
static bool read_by_vmsplice(void *addr, unsigned long *number)
{
	struct iovec from = { .iov_base = addr, .iov_len = sizeof(*number) };

	return vmsplice(fds[1], &from, 1, 0) == sizeof(*number) &&
	       read(fds[0], number, sizeof(*number)) == sizeof(*number);
}

/* pin_user_pages_remote() */
static bool read_by_process_vm_readv(void *addr, unsigned long *number)
{
	struct iovec from = { .iov_base = addr, .iov_len = sizeof(*number) };
	struct iovec to = { .iov_base = number, .iov_len = sizeof(*number) };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(*number);
}

static void check(char *huge, unsigned long size, const char *name,
		  bool (*read_number)(void *addr, unsigned long *number))
{
	unsigned long i, number, wrong = 0;

	for (i = 0; i < size / page_size; i++) {
		if (!read_number(huge + i * page_size, &number))
			ksft_exit_fail_perror(name);
		if (number != i && !wrong++)
			ksft_print_msg("page %lu reads as page %lu\n", i, number);
	}

	ksft_test_result(!wrong, "%s, %lu KiB\n", name, size / 1024);
}

static void test_size(unsigned long size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		    __builtin_ctzl(size) << MAP_HUGE_SHIFT;
	unsigned long i;
	char *huge;

	huge = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (huge == MAP_FAILED)
		ksft_exit_fail_perror("mmap");
	for (i = 0; i < size / page_size; i++)
		*(unsigned long *)(huge + i * page_size) = i;

	check(huge, size, "vmsplice", read_by_vmsplice);
	check(huge, size, "process_vm_readv", read_by_process_vm_readv);

	munmap(huge, size);
}

int main(void)
{
	unsigned long i, nr_sizes, sizes[MAX_SIZES];

	ksft_print_header();

	page_size = getpagesize();
	nr_sizes = hugetlb_setup(1, sizes, MAX_SIZES);
	if (!nr_sizes)
		ksft_exit_skip("No free hugepages\n");
	if (pipe(fds))
		ksft_exit_fail_perror("pipe");
	ksft_set_plan(2 * nr_sizes);

	for (i = 0; i < nr_sizes; i++)
		test_size(sizes[i]);

	ksft_finished();
}
