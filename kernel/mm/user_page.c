// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of user memory that are pinned in one context and accessed in another
 *
 * To operate on user memory from an interrupt handler, or for another CPU, is
 * to answer two questions at two times:
 *
 *  - May the owner access this address at all? user_page_fault_in() answers
 *    that in the owner's context, where protection keys, userfaultfd and the
 *    rest of the fault path apply. user_page_pin() does so without waiting for
 *    anything, if the page is there, and takes a reference.
 *
 *  - Is the page still what the address maps? A fault on another thread, or
 *    one of reclaim's, may have replaced it since. user_page_mapped() answers
 *    that with interrupts disabled, just before the access. User-space code of
 *    the CPU that asks cannot run before interrupts are enabled again, so what
 *    that CPU has stored to the address by then is in the page.
 *
 * How long user_page_fault_in() takes may be up to user space. So no page
 * should be held meanwhile.
 *
 * fork() and pages to be written to
 * ---------------------------------
 *
 * fork() gives the child a copy of a pinned page at once, where it would have
 * both share another one, write-protected. So the child would have old data
 * there beside what threads have stored elsewhere since. Not only the stores
 * of who pinned the page would be missing, but all that are made to it:
 *
 *   fork()                  pins P          a thread of the parent
 *
 *                           pin P
 *   copy P for the child
 *                                           store to P
 *                                           store to Q, which depends on that
 *   share Q with the child
 *
 * So a page that is to be written to is pinned, written to and unpinned under
 * one lock that fork() has to wait for: mmap_lock, or that of its VMA. So do
 * mprotect(), mremap() and munmap().
 *
 * Under that lock a page that is only read keeps its protection key, too, which
 * cannot be looked at again in another context.
 *
 * Stale TLB entries
 * -----------------
 *
 * Reclaim, and who drops pages, unmap them first, and flush TLBs once they are
 * through with a batch; in between, the latter may wait for a userfaultfd
 * handler. Meanwhile the address may get another page. The threads of a CPU may
 * still find the former by its TLB, and not what was stored to its successor,
 * not even by themselves. So what is due is flushed when a page is pinned.
 *
 * What is unmapped after that was mapped in place of the pinned page, which then
 * is not mapped any more. But the zero page, or one of a file, may come back, as
 * a copy of it is dropped. Until that is flushed, threads may find the copy.
 */

#include <linux/cpufeature.h>
#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/pagemap.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/user_page.h>
#include <linux/userfaultfd_k.h>
#include <linux/workqueue.h>
#include <asm/tlbflush.h>

#ifdef CONFIG_HAVE_USER_WORD_IN_IRQ
#include <asm/pkru.h>
#endif

#include "internal.h"

/*
 * Without FOLL_HONOR_NUMA_FAULT a page that is inaccessible for NUMA balancing
 * would be returned as it is, and never pass for mapped.
 */
#define USER_PAGE_FLAGS	FOLL_HONOR_NUMA_FAULT

/**
 * user_page_range() - whether a range that the current task names can be its own
 * @addr: where it starts; the tag in its upper bits is taken off
 * @len: its length in bytes; may be 0, also at the end of the address space
 *
 * The address space is that of the task: a 32-bit one has less of it, and not
 * every task may use tags. Whether anything is mapped there is not looked at.
 *
 * Context: process context.
 * Return: true if the range lies in the address space. Else @addr is as before.
 */
bool user_page_range(unsigned long *addr, unsigned long len)
{
	unsigned long start = untagged_addr(*addr);

	/* arm64 takes tags off for any task. */
	if (start != *addr && !access_ok((void __user *)*addr, 0))
		return false;
	if (start > TASK_SIZE || len > TASK_SIZE - start)
		return false;
	*addr = start;
	return true;
}

/* Whether @page is not special memory that a driver mapped. */
static bool has_owner(struct page *page)
{
	struct folio *folio = page_folio(page);

	if (folio_is_zone_device(folio))
		return false;

	return likely(READ_ONCE(folio->mapping)) || is_zero_page(page) ||
	       is_huge_zero_folio(folio);
}

/*
 * Why @page, which is pinned, has no owner: -EAGAIN if it just lost it.
 *
 * Truncation, and shmem on its way to swap, unmap the page and clear
 * folio->mapping under the folio lock. A page that stays mapped without
 * them never had an owner.
 */
static noinline int no_owner_error(unsigned long addr, struct page *page,
				   bool write)
{
	struct folio *folio = page_folio(page);
	bool lost;

	if (folio_is_zone_device(folio))
		return -EFAULT;

	if (folio_lock_killable(folio))
		return -EINTR;
	local_irq_disable();
	lost = folio->mapping || folio_test_swapcache(folio) ||
	       !user_page_mapped(current->mm, addr, page, write);
	local_irq_enable();
	folio_unlock(folio);

	return lost ? -EAGAIN : -EFAULT;
}

/*
 * FOLL_PIN keeps reclaim from unmapping the page. Pages that are only read need
 * no more than a reference, and FOLL_PIN would unshare them.
 */
static void put(struct page *page, bool write)
{
	if (write)
		unpin_user_page(page);
	else
		put_page(page);
}

static bool pin_without_locks(unsigned long addr, bool write,
			      struct page **page)
{
	if (write)
		return pin_user_pages_fast_only(addr, 1, FOLL_WRITE, page) == 1;
	return get_user_pages_fast_only(addr, 1, 0, page) == 1;
}

/* Whether faults of @vma wait for nothing but memory and what is in swap. */
static bool is_up_to_kernel(struct vm_area_struct *vma)
{
	return (vma_is_anonymous(vma) || vma_is_shmem(vma)) &&
	       !userfaultfd_armed(vma);
}

/*
 * For pages that GUP-fast leaves to its slow sibling: the zero page, all on an
 * architecture that has no GUP-fast, and with USER_PAGE_FAULT those that are
 * not there. mmap_lock is held.
 */
static bool pin_locked(unsigned long addr, unsigned int how, struct page **page)
{
	struct vm_area_struct *vma = vma_lookup(current->mm, addr);
	unsigned int flags = USER_PAGE_FLAGS;

	/* GUP has something to say of addresses just below a stack. */
	if (!vma)
		return false;
	if (!(how & USER_PAGE_FAULT) || !is_up_to_kernel(vma))
		flags |= FOLL_NOFAULT;
	if (how & USER_PAGE_WRITE)
		return pin_user_pages(addr, 1, flags | FOLL_WRITE, page) == 1;
	return get_user_pages(addr, 1, flags, page) == 1;
}

/* Others may hold mmap_lock for as long as they wait for a page fault. */
static noinline bool pin_if_not_locked(unsigned long addr, unsigned int how,
				       struct page **page)
{
	bool pinned;

	if (how & USER_PAGE_MMAP_LOCKED)
		return pin_locked(addr, how, page);
	if (!mmap_read_trylock(current->mm))
		return false;
	pinned = pin_locked(addr, how, page);
	mmap_read_unlock(current->mm);

	return pinned;
}

/**
 * user_page_pin() - pin a page of the current task that is present
 * @addr: any user address in the page, untagged
 * @how: USER_PAGE_WRITE if the page will be written to; USER_PAGE_FAULT to fault
 *	it in if that waits for nothing but memory; USER_PAGE_MMAP_LOCKED if the
 *	caller holds mmap_lock
 * @page: where to return the page
 *
 * The caller holds mmap_lock or the lock of the VMA until it has unpinned the
 * page. If the page is only read, and no protection key has to hold for that,
 * it need not.
 *
 * The page has an owner, or is the zero page: it is not one that a driver has
 * mapped. Nor is it of memfd_secret(2), which the kernel cannot access.
 *
 * Context: process context; waits for nothing that is up to user space, and so
 * may be called with other pages pinned. May sleep.
 * Return: 0, or -EAGAIN if this is one for user_page_fault_in().
 */
int user_page_pin(unsigned long addr, unsigned int how, struct page **page)
{
	const bool write = how & USER_PAGE_WRITE;

	if (!pin_without_locks(addr, write, page) &&
	    !pin_if_not_locked(addr, how, page))
		return -EAGAIN;

	if (unlikely(!has_owner(*page))) {
		put(*page, write);
		return -EAGAIN;
	}
	/* Who finds the page finds what was due when it was mapped. */
	smp_rmb();
	if (unlikely(mm_tlb_flush_pending(current->mm)))
		flush_tlb_mm(current->mm);
	flush_tlb_batched_pending(current->mm);
	return 0;
}

/**
 * user_page_fault_in() - fault in a page of the current task
 * @addr: any user address in the page, untagged
 * @write: whether the page will be written to
 *
 * Does what a load or store of the task would do, with regard to what may be
 * accessed, and to what is made accessible by that.
 *
 * Context: process context; may sleep.
 * Return: 0; -EAGAIN if the page changed meanwhile and another try is due;
 * -EINTR or -ERESTARTSYS if a signal is pending; -ENOMEM; otherwise an
 * error that says that the task may not access @addr, or that the page is
 * device memory or has no owner.
 */
int user_page_fault_in(unsigned long addr, bool write)
{
	/*
	 * FOLL_INTERRUPTIBLE lets any signal end the wait for a userfaultfd
	 * handler, as it does when the task itself touches the page. A
	 * reference will do: no lock is held, so fork() may come.
	 */
	const unsigned int flags = write ? FOLL_WRITE : 0;
	const unsigned int slow_flags =
		flags | USER_PAGE_FLAGS | FOLL_INTERRUPTIBLE;
	struct mm_struct *mm = current->mm;
	struct page *page;
	int ret;

	/* What is there is not to be marked dirty, as GUP does then. */
	if (get_user_pages_fast_only(addr, 1, flags, &page) != 1) {
		/* Lets the stack grow, as the fault handler does, not GUP. */
		if (!lock_mm_and_find_vma(mm, addr, NULL))
			return fatal_signal_pending(current) ? -EINTR : -EFAULT;
		mmap_read_unlock(mm);

		ret = get_user_pages_unlocked(addr, 1, &page, slow_flags);
		if (ret != 1)
			return ret < 0 ? ret : -EAGAIN;
	}
	ret = likely(has_owner(page)) ? 0 : no_owner_error(addr, page, write);
	put_page(page);

	return ret;
}

/*
 * What keeps a folio until it is marked dirty.
 *
 * One of a file stays pinned. Reclaim takes the filesystem's buffers from one
 * that is clean and not pinned, and without them the filesystem would lose what
 * was stored. An anonymous one has none, and fork() is not to find it pinned.
 */
static void keep(struct folio *folio, struct page *page)
{
	if (folio_test_anon(folio)) {
		folio_get(folio);
		unpin_user_page(page);
	}
}

static void let_go(struct folio *folio)
{
	if (folio_test_anon(folio))
		folio_put(folio);
	else
		unpin_user_folio(folio, 1);
}

struct late_dirty {
	struct delayed_work work;
	struct folio *folio;
};

static void late_dirty(struct work_struct *work)
{
	struct late_dirty *late = container_of(to_delayed_work(work),
					       struct late_dirty, work);

	/* That may be for as long as user space likes: hold up no worker. */
	if (!folio_trylock(late->folio)) {
		queue_delayed_work(system_dfl_wq, &late->work, HZ / 10);
		return;
	}
	folio_mark_dirty(late->folio);
	folio_unlock(late->folio);
	let_go(late->folio);
	kfree(late);
}

/* Who was killed is not to wait. */
static noinline void mark_dirty_later(struct folio *folio)
{
	struct late_dirty *late;

	late = kmalloc_obj(*late, GFP_KERNEL | __GFP_NOFAIL);
	late->folio = folio;
	INIT_DELAYED_WORK(&late->work, late_dirty);
	queue_delayed_work(system_dfl_wq, &late->work, 0);
}

/*
 * See unpin_user_pages_dirty_lock() for why it is enough to look. Filesystems
 * may keep track of parts of a folio, in what is private to it. Then the part
 * that was stored to may be clean.
 */
static bool is_dirty(struct folio *folio)
{
	return folio_test_dirty(folio) && !folio_test_private(folio);
}

/**
 * user_page_unpin() - release a page that was pinned
 * @page: the page
 * @write: as it was pinned
 * @dirty: whether it was written to; only if @write
 *
 * Waits for nothing. So it leaves a folio that somebody has locked as it is.
 *
 * Context: process context, with interrupts and preemption enabled.
 * Return: NULL; or, if somebody has it locked, the folio that is to be given to
 * user_page_mark_dirty().
 */
struct folio *user_page_unpin(struct page *page, bool write, bool dirty)
{
	struct folio *folio = page_folio(page);

	if (dirty) {
		smp_mb();	/* what was stored first */
		if (unlikely(!is_dirty(folio))) {
			if (!folio_trylock(folio)) {
				keep(folio, page);
				return folio;
			}
			folio_mark_dirty(folio);
			folio_unlock(folio);
		}
	}
	put(page, write);

	return NULL;
}

/**
 * user_page_mark_dirty() - do what user_page_unpin() left to do
 * @folio: what it returned
 *
 * Truncation, for instance, may have it locked until a FUSE server is done.
 * That may need what others can only have once VMAs are unlocked: do that
 * first. A folio of a file is pinned until then.
 *
 * Context: process context; sleeps for as long as user space likes.
 */
void user_page_mark_dirty(struct folio *folio)
{
	if (folio_lock_killable(folio)) {
		mark_dirty_later(folio);
		return;
	}
	folio_mark_dirty(folio);
	folio_unlock(folio);
	let_go(folio);
}

/* What an address maps, by the page table. */
struct entry {
	unsigned long pfn;
	bool special;	/* not that of a page with an owner */
};

static bool set_entry(struct entry *entry, unsigned long addr,
		      unsigned long pfn, unsigned long size, bool special)
{
	entry->pfn = pfn + ((addr & (size - 1)) >> PAGE_SHIFT);
	entry->special = special;
	return true;
}

/*
 * Finds what @addr maps, to be written to if @write. Returns false if that may
 * not be accessed, or is not there, for instance while it is being migrated.
 *
 * Without locks, on any CPU. That is sound because with interrupts disabled
 * page tables are not freed: either they are freed by RCU
 * (MMU_GATHER_RCU_TABLE_FREE), or there is no other CPU to free them.
 *
 * Protection keys are looked at if they are the current task's @own.
 */
static __always_inline bool find_entry(struct mm_struct *mm, unsigned long addr,
				       bool write, bool own, struct entry *entry)
{
	pgd_t *pgdp, pgd;
	p4d_t *p4dp, p4d;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;
	pte_t *ptep, pte;

	lockdep_assert_irqs_disabled();

	pgdp = pgd_offset(mm, addr);
	pgd = pgdp_get(pgdp);
	if (pgd_none(pgd))
		return false;

	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = p4dp_get(p4dp);
	if (!p4d_present(p4d))
		return false;

	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = pudp_get(pudp);
	if (!pud_present(pud))
		return false;
	if (unlikely(pud_leaf(pud)))
		return (own ? pud_access_permitted(pud, write) :
			      pud_access_permitted_nopkey(pud, write)) &&
		       set_entry(entry, addr, pud_pfn(pud), PUD_SIZE,
				 pud_special(pud));

	pmdp = pmd_offset_lockless(pudp, pud, addr);
	pmd = pmdp_get_lockless(pmdp);
	if (!pmd_present(pmd))
		return false;
	if (unlikely(pmd_leaf(pmd)))
		return !pmd_protnone(pmd) &&
		       (own ? pmd_access_permitted(pmd, write) :
			      pmd_access_permitted_nopkey(pmd, write)) &&
		       set_entry(entry, addr, pmd_pfn(pmd), PMD_SIZE,
				 pmd_special(pmd));

	ptep = pte_offset_map(&pmd, addr);
	if (!ptep)
		return false;
	pte = ptep_get_lockless(ptep);
	pte_unmap(ptep);

	return !pte_protnone(pte) &&
	       (own ? pte_access_permitted(pte, write) :
		      pte_access_permitted_nopkey(pte, write)) &&
	       set_entry(entry, addr, pte_pfn(pte), PAGE_SIZE,
			 pte_special(pte));
}

/**
 * user_page_mapped() - whether a user address still maps a pinned page
 * @mm: the address space in which @page was pinned
 * @addr: the address through which @page was pinned
 * @page: the page; the caller holds a reference
 * @write: whether @addr must map @page writable
 *
 * Protection keys are not looked at: they are those of the task that
 * pinned the page, not of the one that happens to run here. Who pinned it keeps
 * its mapping locked, so the key is that with which it was pinned.
 *
 * Context: any context with interrupts disabled.
 * Return: true if @addr maps @page with the permission asked for. false, for
 * instance also while the page is being migrated, means that it has to be
 * pinned anew.
 */
bool user_page_mapped(struct mm_struct *mm, unsigned long addr,
		      const struct page *page, bool write)
{
	struct entry entry;

	return find_entry(mm, addr, write, false, &entry) &&
	       entry.pfn == page_to_pfn(page);
}

#ifdef CONFIG_HAVE_USER_WORD_IN_IRQ
/**
 * user_word_keys() - what its protection keys permit the current task
 *
 * Context: process context.
 * Return: a value for user_words_are_here().
 */
u32 user_word_keys(void)
{
	return read_pkru();
}

/**
 * user_words_are_here() - whether a handler may access the words of a task
 * @mm: address space of the task
 * @keys: what user_word_keys() returned to the task
 *
 * An interrupt may hit another task that has the same address space. The
 * handler can access there what the first one has mapped, as long as the same
 * protection keys apply: the hardware then checks what it would check there.
 *
 * That a task has @mm does not say that it is loaded. The kernel may be about
 * to load it, or may use another one for the moment, such as that of EFI.
 *
 * Context: interrupt handler, with interrupts disabled.
 * Return: whether the functions below can be used, until the handler returns.
 */
bool user_words_are_here(const struct mm_struct *mm, u32 keys)
{
	return current->mm == mm && nmi_uaccess_okay() && read_pkru() == keys;
}
#else
u32 user_word_keys(void)
{
	return 0;
}

bool user_words_are_here(const struct mm_struct *mm, u32 keys)
{
	return false;
}
#endif /* CONFIG_HAVE_USER_WORD_IN_IRQ */

/* Whether an access through an address without its tag would fail. */
static bool tags_are_checked(void)
{
#ifdef CONFIG_ARM64_MTE
	return system_supports_mte();
#else
	return false;
#endif
}

/**
 * user_word_is_plain() - whether a word may be accessed where the task maps it
 * @addr: address of the word, untagged
 * @write: whether it will be written to
 *
 * A word of the current task that is in ordinary memory can be accessed where
 * it is mapped, without pinning its page. What may not be accessed like this,
 * or not without a page fault, is left to user_page_pin(): all but anonymous
 * memory, and what of that is on a device. There a load might have side
 * effects, or not be the kernel's to do.
 *
 * That the page is anonymous is looked at without holding it. Should the
 * address come to map something else before the access, it is the task that
 * has had it so, and could access it by itself.
 *
 * While others drop pages of the task, or after reclaim has unmapped some, the
 * TLB of this CPU may still have one where another is mapped already. What was
 * stored to that on another CPU, or through a pin, would not be found. So as
 * long as a flush is due, words are left to user_page_pin(), too:
 *
 *   this CPU                             madvise(MADV_DONTNEED), elsewhere
 *
 *   TLB: A maps P
 *                                        flush is pending; clear A
 *   pin A: a fault maps Q; store to Q
 *   load from A: P, by the TLB
 *                                        flush; it is pending no more
 *
 * That it is pending is looked at after the page table, as who finds Q there
 * then finds it; and before the access, which cannot have been made by an entry
 * from before the flush then.
 *
 * Context: process context, or a handler where user_words_are_here(); with
 * interrupts disabled, until the access.
 * Return: whether user_word_load() and, with @write, user_word_store() can be
 * tried. So they can on all words of the page.
 */
bool user_word_is_plain(unsigned long addr, bool write)
{
	struct mm_struct *mm = current->mm;
	struct entry entry;
	struct page *page;

	if (!IS_ENABLED(CONFIG_HAVE_USER_WORD) || tags_are_checked() ||
	    !find_entry(mm, addr, write, true, &entry) || entry.special)
		return false;
	page = pfn_to_page(entry.pfn);
	/* It may be freed meanwhile. */
	if (data_race(!folio_test_anon(page_folio(page)) ||
		      is_zone_device_page(page)))
		return false;

	smp_rmb();	/* the page table first */
	if (mm_tlb_flush_pending(mm) || is_tlb_batched_pending(mm))
		return false;
	smp_rmb();	/* the access last */
	return true;
}

/**
 * user_word_load() - load a word that was found to be plain
 * @addr: address of the word, naturally aligned
 * @len: its length in bytes: 1, 2, 4 or, on a 64-bit architecture, 8
 * @value: where to return it
 *
 * The word is accessed once, as a whole.
 *
 * Context: as user_word_is_plain().
 * Return: false if there was a fault after all.
 */
bool user_word_load(unsigned long addr, unsigned int len, u64 *value)
{
	const void __user *ptr = (const void __user *)addr;
	bool loaded = false;
	union {
		u8 u8;
		u16 u16;
		u32 u32;
		unsigned long word;
	} v;

	pagefault_disable();
	if (!user_read_access_begin(ptr, len))
		goto out;
	switch (len) {
	case 1:
		unsafe_get_user(v.u8, (const u8 __user *)ptr, fault);
		*value = v.u8;
		break;
	case 2:
		unsafe_get_user(v.u16, (const u16 __user *)ptr, fault);
		*value = v.u16;
		break;
	case 4:
		unsafe_get_user(v.u32, (const u32 __user *)ptr, fault);
		*value = v.u32;
		break;
	default:
		unsafe_get_user(v.word, (const unsigned long __user *)ptr,
				fault);
		*value = v.word;
		break;
	}
	loaded = true;
fault:
	user_read_access_end();
out:
	pagefault_enable();
	return loaded;
}

/**
 * user_word_store() - store to a word that was found to be plain
 * @addr: address of the word, naturally aligned
 * @len: its length in bytes: 1, 2, 4 or, on a 64-bit architecture, 8
 * @value: what to store, truncated
 *
 * The word is accessed once, as a whole.
 *
 * Context: as user_word_is_plain().
 * Return: false if there was a fault after all, and nothing was stored.
 */
bool user_word_store(unsigned long addr, unsigned int len, u64 value)
{
	void __user *ptr = (void __user *)addr;
	bool stored = false;

	pagefault_disable();
	if (!user_write_access_begin(ptr, len))
		goto out;
	switch (len) {
	case 1:
		unsafe_put_user((u8)value, (u8 __user *)ptr, fault);
		break;
	case 2:
		unsafe_put_user((u16)value, (u16 __user *)ptr, fault);
		break;
	case 4:
		unsafe_put_user((u32)value, (u32 __user *)ptr, fault);
		break;
	default:
		unsafe_put_user((unsigned long)value,
				(unsigned long __user *)ptr, fault);
		break;
	}
	stored = true;
fault:
	user_write_access_end();
out:
	pagefault_enable();
	return stored;
}
