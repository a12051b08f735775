// SPDX-License-Identifier: GPL-2.0
/* Pages that somebody else has locked when they are unpinned. */
#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/user_page.h>

#define TRIES	500

KUNIT_DEFINE_ACTION_WRAPPER(put_file, fput, struct file *);

static struct file *open_file(struct kunit *test)
{
	struct file *file = shmem_file_setup("user_page", PAGE_SIZE,
					     EMPTY_VMA_FLAGS);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_file,
							   file));
	return file;
}

/* Of the file, or anonymous. Its folio is clean. */
static struct page *pin(struct kunit *test, struct file *file)
{
	unsigned long flags = file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	struct page *page;
	unsigned long addr;
	int ret;

	addr = kunit_vm_mmap(test, file, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     flags, 0);
	KUNIT_ASSERT_FALSE(test, !addr || IS_ERR_VALUE(addr));
	KUNIT_ASSERT_EQ(test, 0, user_page_fault_in(addr, true));

	mmap_read_lock(current->mm);
	ret = user_page_pin(addr, USER_PAGE_WRITE | USER_PAGE_MMAP_LOCKED,
			    &page);
	mmap_read_unlock(current->mm);
	KUNIT_ASSERT_EQ(test, 0, ret);

	folio_clear_dirty(page_folio(page));
	return page;
}

/* Unpins it while it is locked, which it still is then. */
static struct folio *unpin_locked(struct kunit *test, struct page *page)
{
	struct folio *folio = page_folio(page);
	struct folio *left;

	folio_lock(folio);
	left = user_page_unpin(page, true, true);
	if (left != folio)
		folio_unlock(folio);
	KUNIT_ASSERT_PTR_EQ(test, folio, left);
	return folio;
}

static void expect_done(struct kunit *test, struct folio *folio)
{
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(folio));
	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(folio));
}

/* So that reclaim does not take what a filesystem has to have then. */
static void of_a_file_stay_pinned(struct kunit *test)
{
	struct folio *folio = unpin_locked(test, pin(test, open_file(test)));

	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(folio));
	folio_unlock(folio);
	user_page_mark_dirty(folio);
	expect_done(test, folio);
}

/* So that fork() does not find them pinned. */
static void that_are_anonymous_do_not(struct kunit *test)
{
	struct folio *folio = unpin_locked(test, pin(test, NULL));

	KUNIT_EXPECT_FALSE(test, folio_maybe_dma_pinned(folio));
	folio_unlock(folio);
	user_page_mark_dirty(folio);
	expect_done(test, folio);
}

static void are_not_waited_for_if_killed(struct kunit *test)
{
	struct folio *folio = unpin_locked(test, pin(test, open_file(test)));
	int tries;

	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	user_page_mark_dirty(folio);
	flush_signals(current);
	disallow_signal(SIGKILL);

	KUNIT_EXPECT_FALSE(test, folio_test_dirty(folio));
	KUNIT_EXPECT_TRUE(test, folio_maybe_dma_pinned(folio));
	folio_unlock(folio);
	for (tries = 0; tries < TRIES && folio_maybe_dma_pinned(folio); tries++)
		msleep(20);
	expect_done(test, folio);
}

static struct kunit_case user_page_test_cases[] = {
	KUNIT_CASE(of_a_file_stay_pinned),
	KUNIT_CASE(that_are_anonymous_do_not),
	KUNIT_CASE(are_not_waited_for_if_killed),
	{}
};

static struct kunit_suite user_page_test_suite = {
	.name = "user_page_locked",
	.test_cases = user_page_test_cases,
};

kunit_test_suite(user_page_test_suite);

MODULE_DESCRIPTION("KUnit tests of pinned user pages");
MODULE_LICENSE("GPL");
