// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that somebody else has locked, when they are unpinned or faulted in;
 * which pages pass for mapped; which words need no pin
 */
#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/mmu_context.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/user_page.h>
#include <asm/tlbflush.h>

#define TRIES	500
#define READ_WRITE	(PROT_READ | PROT_WRITE)

KUNIT_DEFINE_ACTION_WRAPPER(put_file, fput, struct file *);
KUNIT_DEFINE_ACTION_WRAPPER(clear_private, folio_clear_private, struct folio *);

static struct file *open_file(struct kunit *test)
{
	struct file *file = shmem_file_setup("user_page", PAGE_SIZE,
					     EMPTY_VMA_FLAGS);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_file,
							   file));
	return file;
}

/* Of the file, or anonymous. */
static unsigned long map(struct kunit *test, struct file *file,
			 unsigned long len, unsigned long prot)
{
	unsigned long flags = file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	unsigned long addr;

	addr = kunit_vm_mmap(test, file, 0, len, prot, flags, 0);
	KUNIT_ASSERT_FALSE(test, !addr || IS_ERR_VALUE(addr));
	return addr;
}

static unsigned long map_file(struct kunit *test, unsigned long prot)
{
	return map(test, open_file(test), PAGE_SIZE, prot);
}

static int pin_if_present(unsigned long addr, unsigned int how,
			  struct page **page)
{
	int ret;

	mmap_read_lock(current->mm);
	ret = user_page_pin(addr, how | USER_PAGE_MMAP_LOCKED, page);
	mmap_read_unlock(current->mm);
	return ret;
}

static struct page *pin_at(struct kunit *test, unsigned long addr,
			   unsigned int how)
{
	struct page *page;

	KUNIT_ASSERT_EQ(test, 0, user_page_fault_in(addr,
						    how & USER_PAGE_WRITE));
	KUNIT_ASSERT_EQ(test, 0, pin_if_present(addr, how, &page));
	return page;
}

/* Of the file, or anonymous. Its folio is clean. */
static struct page *pin(struct kunit *test, struct file *file)
{
	unsigned long addr = map(test, file, PAGE_SIZE, READ_WRITE);
	struct page *page = pin_at(test, addr, USER_PAGE_WRITE);

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

/* As a filesystem has it that keeps track of parts: one of them may be clean. */
static void are_dirty_in_parts(struct kunit *test)
{
	struct page *page = pin(test, open_file(test));
	struct folio *folio = page_folio(page);

	folio_mark_dirty(folio);
	folio_set_private(folio);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, clear_private,
							   folio));
	unpin_locked(test, page);
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

/* Another thread that has the memory of the test. */
struct other {
	struct mm_struct *mm;
	unsigned long addr;
	int ret;
	struct completion done;
};

static int fault_in(void *arg)
{
	struct other *other = arg;

	kthread_use_mm(other->mm);
	other->ret = user_page_fault_in(other->addr, false);
	kthread_unuse_mm(other->mm);
	complete(&other->done);
	return 0;
}

/* As shmem takes it, on the way to swap, from one that was just mapped. */
static void that_lost_their_owner_are_tried_again(struct kunit *test)
{
	struct other other;
	struct address_space *mapping;
	struct task_struct *task;
	struct folio *folio;
	int tries;

	other.addr = map_file(test, READ_WRITE);
	other.mm = current->mm;
	init_completion(&other.done);
	folio = page_folio(pin_at(test, other.addr, 0));
	folio_lock(folio);
	mapping = folio->mapping;
	WRITE_ONCE(folio->mapping, NULL);

	task = kthread_run(fault_in, &other, "user_page");
	for (tries = 0; tries < TRIES && !IS_ERR(task) &&
	     !folio_test_waiters(folio) && !completion_done(&other.done);
	     tries++)
		msleep(20);
	WRITE_ONCE(folio->mapping, mapping);
	folio_unlock(folio);
	folio_put(folio);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	wait_for_completion(&other.done);
	KUNIT_EXPECT_EQ(test, -EAGAIN, other.ret);
}

static struct kunit_case user_page_locked_cases[] = {
	KUNIT_CASE(of_a_file_stay_pinned),
	KUNIT_CASE(that_are_anonymous_do_not),
	KUNIT_CASE(are_dirty_in_parts),
	KUNIT_CASE(are_not_waited_for_if_killed),
	KUNIT_CASE(that_lost_their_owner_are_tried_again),
	{}
};

static struct kunit_suite user_page_locked_suite = {
	.name = "user_page_locked",
	.test_cases = user_page_locked_cases,
};

static bool is_mapped(unsigned long addr, struct page *page, bool write)
{
	bool mapped;

	local_irq_disable();
	mapped = user_page_mapped(current->mm, addr, page, write);
	local_irq_enable();
	return mapped;
}

static void to_be_written_to(struct kunit *test)
{
	unsigned long addr = map_file(test, READ_WRITE);
	struct page *page = pin_at(test, addr, USER_PAGE_WRITE);

	KUNIT_EXPECT_TRUE(test, is_mapped(addr, page, false));
	KUNIT_EXPECT_TRUE(test, is_mapped(addr, page, true));
	user_page_unpin(page, true, false);
}

static void to_be_read_only(struct kunit *test)
{
	unsigned long addr = map_file(test, PROT_READ);
	struct page *page = pin_at(test, addr, 0);

	KUNIT_EXPECT_TRUE(test, is_mapped(addr, page, false));
	KUNIT_EXPECT_FALSE(test, is_mapped(addr, page, true));
	user_page_unpin(page, false, false);
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* What is read of memory that was never written to is a page of zeros. */
static void to_be_read_only_if_huge(struct kunit *test)
{
	unsigned long addr = map(test, NULL, 2 * HPAGE_PMD_SIZE, READ_WRITE);
	struct page *page;

	addr = ALIGN(addr, HPAGE_PMD_SIZE) + PAGE_SIZE;
	page = pin_at(test, addr, 0);
	if (!is_huge_zero_folio(page_folio(page))) {
		user_page_unpin(page, false, false);
		kunit_skip(test, "needs a huge page of zeros");
	}

	KUNIT_EXPECT_TRUE(test, is_mapped(addr, page, false));
	KUNIT_EXPECT_FALSE(test, is_mapped(addr, page, true));
	user_page_unpin(page, false, false);
}
#endif

static void not_as_another_page(struct kunit *test)
{
	unsigned long addr = map_file(test, READ_WRITE);
	unsigned long other_addr = map_file(test, READ_WRITE);
	struct page *page = pin_at(test, addr, 0);
	struct page *other = pin_at(test, other_addr, 0);

	KUNIT_EXPECT_FALSE(test, is_mapped(addr, other, false));
	KUNIT_EXPECT_FALSE(test, is_mapped(other_addr, page, false));
	user_page_unpin(other, false, false);
	user_page_unpin(page, false, false);
}

/* As mprotect(2) does, but for the VMA. */
static void forbid(struct kunit *test, unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	spinlock_t *ptl; /* of the page table */
	pte_t *ptep, pte;

	mmap_write_lock(mm);
	vma = vma_lookup(mm, addr);
	ptep = get_locked_pte(mm, addr, &ptl);
	if (ptep) {
		pte = ptep_modify_prot_start(vma, addr, ptep);
		ptep_modify_prot_commit(vma, addr, ptep, pte,
					pte_modify(pte, vm_get_page_prot(0)));
		pte_unmap_unlock(ptep, ptl);
		flush_tlb_page(vma, addr);
	}
	mmap_write_unlock(mm);
	KUNIT_ASSERT_NOT_NULL(test, ptep);
}

static void not_once_forbidden(struct kunit *test)
{
	unsigned long addr = map_file(test, READ_WRITE);
	struct page *page = pin_at(test, addr, 0);

	forbid(test, addr);
	KUNIT_EXPECT_FALSE(test, is_mapped(addr, page, false));
	KUNIT_EXPECT_FALSE(test, is_mapped(addr, page, true));
	user_page_unpin(page, false, false);
}

static void not_once_unmapped(struct kunit *test)
{
	unsigned long addr = map_file(test, READ_WRITE);
	struct page *page = pin_at(test, addr, 0);

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, is_mapped(addr, page, false));
	user_page_unpin(page, false, false);
}

#ifdef CONFIG_NUMA_BALANCING
/* Has the next access tell where the page is used. */
static bool balance(unsigned long addr)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long nr = 0;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	if (vma)
		nr = change_prot_numa(vma, addr, addr + PAGE_SIZE);
	mmap_read_unlock(mm);
	return nr;
}

static void not_for_numa_balancing(struct kunit *test)
{
	unsigned long addr = map_file(test, READ_WRITE);
	struct page *page = pin_at(test, addr, 0);
	struct page *again;

	if (!balance(addr)) {
		user_page_unpin(page, false, false);
		kunit_skip(test, "needs NUMA balancing to be on");
	}
	KUNIT_EXPECT_FALSE(test, is_mapped(addr, page, false));
	KUNIT_EXPECT_EQ(test, -EAGAIN, pin_if_present(addr, 0, &again));
	again = pin_at(test, addr, 0);
	KUNIT_EXPECT_TRUE(test, is_mapped(addr, again, false));
	user_page_unpin(again, false, false);
	user_page_unpin(page, false, false);
}
#endif

static struct kunit_case user_page_mapped_cases[] = {
	KUNIT_CASE(to_be_written_to),
	KUNIT_CASE(to_be_read_only),
#ifdef CONFIG_TRANSPARENT_HUGEPAGE
	KUNIT_CASE(to_be_read_only_if_huge),
#endif
	KUNIT_CASE(not_as_another_page),
	KUNIT_CASE(not_once_forbidden),
	KUNIT_CASE(not_once_unmapped),
#ifdef CONFIG_NUMA_BALANCING
	KUNIT_CASE(not_for_numa_balancing),
#endif
	{}
};

static struct kunit_suite user_page_mapped_suite = {
	.name = "user_page_mapped",
	.test_cases = user_page_mapped_cases,
};

kunit_test_suites(&user_page_locked_suite, &user_page_mapped_suite);

#ifdef CONFIG_HAVE_USER_WORD
static bool is_plain(unsigned long addr)
{
	bool plain;

	local_irq_disable();
	plain = user_word_is_plain(addr, true);
	local_irq_enable();
	return plain;
}

static unsigned long map_word(struct kunit *test)
{
	unsigned long addr = map(test, NULL, PAGE_SIZE, READ_WRITE);

	KUNIT_ASSERT_EQ(test, 0, user_page_fault_in(addr, true));
	if (!is_plain(addr))
		kunit_skip(test, "needs a CPU that does not check tags");
	return addr;
}

static void are_not_plain_while_a_flush_is_due(struct kunit *test)
{
	unsigned long addr = map_word(test);

	inc_tlb_flush_pending(current->mm);
	KUNIT_EXPECT_FALSE(test, is_plain(addr));
	dec_tlb_flush_pending(current->mm);
	KUNIT_EXPECT_TRUE(test, is_plain(addr));
}

#ifdef CONFIG_ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH
static void are_not_plain_while_reclaim_has_to_flush(struct kunit *test)
{
	unsigned long addr = map_word(test);

	atomic_set(&current->mm->tlb_flush_batched, 1);
	KUNIT_EXPECT_FALSE(test, is_plain(addr));
	atomic_set(&current->mm->tlb_flush_batched, 0);
	KUNIT_EXPECT_TRUE(test, is_plain(addr));
}

/* What is stored to the page by the pin is to be found there. */
static void are_plain_once_it_was_flushed_for_a_pin(struct kunit *test)
{
	unsigned long addr = map_word(test);
	struct page *page;

	atomic_set(&current->mm->tlb_flush_batched, 1);
	KUNIT_ASSERT_EQ(test, 0, pin_if_present(addr, USER_PAGE_WRITE, &page));
	KUNIT_EXPECT_TRUE(test, is_plain(addr));
	user_page_unpin(page, true, false);
}
#endif

#ifdef CONFIG_HAVE_USER_WORD_IN_IRQ
static bool are_here(const struct mm_struct *mm, u32 keys)
{
	bool here;

	local_irq_disable();
	here = user_words_are_here(mm, keys);
	local_irq_enable();
	return here;
}

static void are_here_by_their_mm_and_keys(struct kunit *test)
{
	u32 keys = user_word_keys();

	map_word(test);
	KUNIT_EXPECT_TRUE(test, are_here(current->mm, keys));
	KUNIT_EXPECT_FALSE(test, are_here(&init_mm, keys));
	KUNIT_EXPECT_FALSE(test, are_here(current->mm, ~keys));
}

/* As the kernel does to call EFI, for instance. */
static void are_not_here_while_another_mm_is_loaded(struct kunit *test)
{
	struct mm_struct *mm, *loaded;
	bool here;

	map_word(test);
	mm = mm_alloc();
	KUNIT_ASSERT_NOT_NULL(test, mm);
	local_irq_disable();
	loaded = use_temporary_mm(mm);
	here = user_words_are_here(current->mm, user_word_keys());
	unuse_temporary_mm(loaded);
	local_irq_enable();
	mmput(mm);
	KUNIT_EXPECT_FALSE(test, here);
}
#endif

static struct kunit_case user_word_cases[] = {
	KUNIT_CASE(are_not_plain_while_a_flush_is_due),
#ifdef CONFIG_ARCH_WANT_BATCHED_UNMAP_TLB_FLUSH
	KUNIT_CASE(are_not_plain_while_reclaim_has_to_flush),
	KUNIT_CASE(are_plain_once_it_was_flushed_for_a_pin),
#endif
#ifdef CONFIG_HAVE_USER_WORD_IN_IRQ
	KUNIT_CASE(are_here_by_their_mm_and_keys),
	KUNIT_CASE(are_not_here_while_another_mm_is_loaded),
#endif
	{}
};

static struct kunit_suite user_word_suite = {
	.name = "user_word",
	.test_cases = user_word_cases,
};

kunit_test_suite(user_word_suite);
#endif

MODULE_DESCRIPTION("KUnit tests of pinned user pages");
MODULE_LICENSE("GPL");
