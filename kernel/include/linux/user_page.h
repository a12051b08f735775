/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_USER_PAGE_H
#define _LINUX_USER_PAGE_H

#include <linux/types.h>

struct folio;
struct mm_struct;
struct page;

enum user_page_how {
	USER_PAGE_WRITE = 1 << 0,
	USER_PAGE_FAULT = 1 << 1,
	USER_PAGE_MMAP_LOCKED = 1 << 2,
};

bool user_page_range(unsigned long *addr, unsigned long len);
int user_page_fault_in(unsigned long addr, bool write);
int user_page_pin(unsigned long addr, unsigned int how, struct page **page);
struct folio *user_page_unpin(struct page *page, bool write, bool dirty);
void user_page_mark_dirty(struct folio *folio);
bool user_page_mapped(struct mm_struct *mm, unsigned long addr,
		      const struct page *page, bool write);

u32 user_word_keys(void);
bool user_words_are_here(const struct mm_struct *mm, u32 keys);
bool user_word_is_plain(unsigned long addr, bool write);
bool user_word_load(unsigned long addr, unsigned int len, u64 *value);
bool user_word_store(unsigned long addr, unsigned int len, u64 value);

#endif /* _LINUX_USER_PAGE_H */
