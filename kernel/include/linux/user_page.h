/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_USER_PAGE_H
#define _LINUX_USER_PAGE_H

#include <linux/types.h>

struct mm_struct;
struct page;

bool user_page_range(unsigned long *addr, unsigned long len);
int user_page_pin(unsigned long addr, bool write, struct page **page);
int user_page_pin_present(unsigned long addr, bool write, bool fault,
			  struct page **page);
void user_page_unpin(struct page *page, bool write, bool dirty);
bool user_page_mapped(struct mm_struct *mm, unsigned long addr,
		      const struct page *page, bool write);

#endif /* _LINUX_USER_PAGE_H */
