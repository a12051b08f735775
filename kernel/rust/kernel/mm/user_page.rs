// SPDX-License-Identifier: GPL-2.0

//! Pages of user memory, pinned to be accessed in another context.
//!
//! An interrupt handler cannot take page faults, and may run while another address space is loaded.
//! To work on a task's memory there, the task first faults in and pins the pages that will be
//! needed, as [`UserPage`]s; the handler then asks each whether it
//! [is still mapped](UserPage::is_mapped), and if so accesses it through the kernel's own mapping,
//! as a [`RacySlice`].
//!
//! C header: [`include/linux/user_page.h`](srctree/include/linux/user_page.h)

use crate::{
    bindings,
    error::{
        to_result,
        Result, //
    },
    interrupt::LocalInterruptDisabled,
    mm::{
        MmWithUser,
        MmapReadGuard, //
    },
    page::{
        RacySlice,
        RacySliceMut,
        PAGE_MASK, //
    },
    prelude::EFAULT,
    task::CurrentTask, //
};
use core::{
    marker::PhantomData,
    mem::{
        size_of,
        ManuallyDrop, //
    },
    ptr::{
        self,
        NonNull, //
    },
};

mod private {
    pub trait Sealed {}
}

/// What a [`UserPage`] is pinned for.
pub trait Access: private::Sealed {
    /// Whether the page may be written to.
    const WRITE: bool;
}

/// The page will only be read.
pub struct Read;

/// The page may be written to, too.
pub struct Write;

impl private::Sealed for Read {}
impl private::Sealed for Write {}

impl Access for Read {
    const WRITE: bool = false;
}

impl Access for Write {
    const WRITE: bool = true;
}

/// The memory of the current task.
///
/// # Invariants
///
/// `mm` is that of the current task, which is `current`, and was not interrupted.
#[derive(Clone, Copy)]
pub struct UserMemory<'a> {
    mm: &'a MmWithUser,
    /// Keeps this to the task, and to the time during which it has that memory.
    _current: PhantomData<&'a CurrentTask>,
}

impl<'a> UserMemory<'a> {
    /// Returns the memory of the current task, or [`None`] if it has none, as a kernel thread; or
    /// in an interrupt handler, which may come while the CPU has other memory loaded than that of
    /// the task: see [`Self::remote()`].
    #[inline]
    pub fn of(current: &'a CurrentTask) -> Option<Self> {
        // SAFETY: Always safe to call.
        if !unsafe { bindings::in_task() } {
            return None;
        }
        // INVARIANT: A `CurrentTask` is the current task as long as it is borrowed.
        Some(Self {
            mm: current.mm()?,
            _current: PhantomData,
        })
    }

    /// Returns the address space.
    #[inline]
    pub fn mm(&self) -> &'a MmWithUser {
        self.mm
    }

    /// Returns `addr` without the tag that it may have in its upper bits, or [`None`] unless the
    /// `len` bytes from there on lie in the address space of the task.
    ///
    /// A 32-bit task has less of it on a 64-bit kernel, and not every task may use tags. Whether
    /// there is memory is not looked at.
    #[inline]
    pub fn untag(&self, mut addr: usize, len: usize) -> Option<usize> {
        // SAFETY: `addr` is valid for reading and writing, and by the type invariants the task that
        // it is of is the current one.
        let is_valid = unsafe { bindings::user_page_range(&raw mut addr, len) };

        is_valid.then_some(addr)
    }

    /// Faults in the page that holds `addr`, for an access by the task.
    ///
    /// `addr` must be [untagged](Self::untag()). May sleep, for as long as user space likes: hold
    /// no page meanwhile.
    ///
    /// # Errors
    ///
    /// - [`EAGAIN`]: the page changed meanwhile; try again, with a look at pending signals.
    /// - [`EINTR`] or [`ERESTARTSYS`]: a signal is pending.
    /// - [`ENOMEM`]: no memory to fault the page in.
    /// - Others, such as [`EFAULT`]: the task may not access `addr`, or it maps device memory or a
    ///   page that a driver inserted.
    ///
    /// [`EAGAIN`]: crate::prelude::EAGAIN
    /// [`EINTR`]: crate::prelude::EINTR
    /// [`ENOMEM`]: crate::prelude::ENOMEM
    /// [`ERESTARTSYS`]: crate::prelude::ERESTARTSYS
    #[inline]
    pub fn fault_in<A: Access>(&self, addr: usize) -> Result {
        // SAFETY: By the type invariants, there is a current `mm`.
        to_result(unsafe { bindings::user_page_fault_in(addr, A::WRITE) })
    }

    /// Pins the page that holds `addr` if it is present.
    ///
    /// Waits for nothing that is up to user space. If `fault`, a page is faulted in if that takes
    /// nothing but memory; it may be in swap. A caller that holds `mmap_lock` says so.
    ///
    /// A page that is pinned to be [written to](Write) is seen by fork(), which then copies it at
    /// once: the child may miss what is stored to the page from then on, by anybody, and have what
    /// was stored elsewhere later. And one that is only read may get a protection key that
    /// [`UserPage::is_mapped()`] does not look at. So hold `mmap_lock`, or lock the VMA before, and
    /// [unpin](UserPage::unpin()) the page first.
    ///
    /// Fails with [`EAGAIN`] if it is not present, or if [`Self::fault_in()`] has to be asked for
    /// another reason.
    ///
    /// [`EAGAIN`]: crate::prelude::EAGAIN
    #[inline]
    pub fn pin<A: Access>(
        &self,
        addr: usize,
        fault: bool,
        mmap_lock: Option<&MmapReadGuard<'_>>,
    ) -> Result<UserPage<'a, A>> {
        let is_locked = mmap_lock.is_some_and(|guard| ptr::eq(guard.mm, self.mm));
        let how = |is: bool, how| if is { how } else { 0 };
        let how = how(A::WRITE, bindings::user_page_how_USER_PAGE_WRITE)
            | how(fault, bindings::user_page_how_USER_PAGE_FAULT)
            | how(is_locked, bindings::user_page_how_USER_PAGE_MMAP_LOCKED);
        let mut page = ptr::null_mut();

        // SAFETY: `page` is valid for writing. By the type invariants, there is a current `mm`.
        to_result(unsafe { bindings::user_page_pin(addr, how, &raw mut page) })?;
        // SAFETY: `user_page_pin()` just returned the page.
        unsafe { self.pinned(page, addr) }
    }

    /// Returns access to words of the memory, as long as interrupts are disabled.
    #[inline]
    pub fn words<'i>(&self, _irq: &'i LocalInterruptDisabled) -> UserWords<'i>
    where
        'a: 'i,
    {
        // INVARIANT: No page of a task has such an address. By the type invariants of `self`, the
        // current task has memory.
        UserWords {
            plain: [usize::MAX; 2],
            _irq: PhantomData,
        }
    }

    /// Returns what lets an interrupt handler on another CPU access words of the memory, or
    /// [`None`] if none can on this architecture.
    #[inline]
    pub fn remote(&self) -> Option<RemoteUserMemory<'a>> {
        if !cfg!(CONFIG_HAVE_USER_WORD_IN_IRQ) {
            return None;
        }
        // INVARIANT: By the type invariants of `self`.
        Some(RemoteUserMemory {
            mm: self.mm,
            // SAFETY: Always safe to call by a task.
            keys: unsafe { bindings::user_word_keys() },
        })
    }

    /// # Safety
    ///
    /// `page` must have been pinned through `addr` for `A`, and not be unpinned by others.
    #[inline]
    unsafe fn pinned<A: Access>(
        &self,
        page: *mut bindings::page,
        addr: usize,
    ) -> Result<UserPage<'a, A>> {
        // INVARIANT: By the safety requirements of this function.
        Ok(UserPage {
            page: NonNull::new(page).ok_or(EFAULT)?,
            addr,
            mm: self.mm,
            dirty: false,
            _access: PhantomData,
        })
    }
}

/// The memory of a task, for an interrupt handler on another CPU.
///
/// # Invariants
///
/// `keys` is what the protection keys of a task permit that has `mm`.
#[derive(Clone, Copy)]
pub struct RemoteUserMemory<'a> {
    mm: &'a MmWithUser,
    keys: u32,
}

impl<'a> RemoteUserMemory<'a> {
    /// Returns access to words of the memory, as long as interrupts are disabled, if the task that
    /// was interrupted has the same memory, and what may be accessed of it is the same.
    #[inline]
    pub fn words<'i>(&self, _irq: &'i LocalInterruptDisabled) -> Option<UserWords<'i>>
    where
        'a: 'i,
    {
        // SAFETY: Interrupts are disabled.
        let are_here = unsafe { bindings::user_words_are_here(self.mm.as_raw(), self.keys) };

        // INVARIANT: No page of a task has such an address. As just checked, the current task has
        // the memory.
        are_here.then_some(UserWords {
            plain: [usize::MAX; 2],
            _irq: PhantomData,
        })
    }
}

/// A pinned page of a task's memory.
///
/// The page stays allocated as long as the value lives, but its content may be changed by anybody
/// who has it mapped, and the address through which it was pinned may come to map another page.
///
/// To drop it may sleep, for as long as user space likes, if the page was written to. So
/// [unpin](Self::unpin()) it where locks are held, or other pages.
///
/// # Examples
///
/// Store to the memory of the current task, on another CPU:
///
/// ```
/// use kernel::{
///     cpu::CpuId,
///     mm::user_page::{UserMemory, Write},
///     page::PAGE_MASK,
///     smp,
///     task::CurrentTask,
/// };
///
/// fn store_byte(current: &CurrentTask, cpu: CpuId, addr: usize, value: u8) -> Result {
///     let memory = UserMemory::of(current).ok_or(EFAULT)?;
///     memory.fault_in::<Write>(addr)?;
///     let mmap_lock = memory.mm().mmap_read_lock();
///     let mut page = memory.pin::<Write>(addr, false, Some(&mmap_lock))?;
///     let byte = page.bytes_mut().sub(addr & !PAGE_MASK, 1);
///
///     let stored = smp::call_on(cpu, |irq| page.is_mapped(irq) && byte.store(value.into()))?;
///     if stored {
///         page.mark_dirty();
///     }
///     let _left = page.unpin();
///     drop(mmap_lock);
///     stored.then_some(()).ok_or(EAGAIN)
/// }
/// ```
///
/// # Invariants
///
/// `page` was pinned in `mm` through `addr`, for the access that `A` stands for, and is valid as
/// long as `self` is.
pub struct UserPage<'a, A: Access> {
    page: NonNull<bindings::page>,
    addr: usize,
    mm: &'a MmWithUser,
    dirty: bool,
    _access: PhantomData<A>,
}

// SAFETY: A page may be unpinned by any task.
unsafe impl<A: Access> Send for UserPage<'_, A> {}
// SAFETY: All methods that take a shared reference may be called by several threads.
unsafe impl<A: Access> Sync for UserPage<'_, A> {}

impl<A: Access> UserPage<'_, A> {
    /// Whether the address that the page was pinned through still maps it, with the access that it
    /// was pinned for.
    ///
    /// Until interrupts are enabled again, no user-space code can run on this CPU, and so
    /// everything that this CPU stored to the address before is found in the page.
    #[inline]
    pub fn is_mapped(&self, _irq: &LocalInterruptDisabled) -> bool {
        // SAFETY: By the type invariants, `mm` and the page are valid. Interrupts are disabled.
        unsafe {
            bindings::user_page_mapped(self.mm.as_raw(), self.addr, self.page.as_ptr(), A::WRITE)
        }
    }

    /// Returns all bytes of the page.
    #[inline]
    pub fn bytes(&self) -> RacySlice<'_> {
        // SAFETY: The page is valid as long as `self`. `user_page_pin()` returns none of a driver,
        // nor of memfd_secret(2). So it can be mapped, and user space can read and change it at any
        // time: it is initialized, and nobody can have references to its memory, or rely on what is
        // there.
        unsafe { RacySlice::of_page(self.page) }
    }
}

impl UserPage<'_, Write> {
    /// Returns all bytes of the page, to be written to, too.
    ///
    /// Who did has to [say so](Self::mark_dirty).
    #[inline]
    pub fn bytes_mut(&self) -> RacySliceMut<'_> {
        // SAFETY: As in `bytes()`; and the page is pinned to be written to.
        unsafe { RacySliceMut::of_page(self.page) }
    }

    /// Has the page marked dirty when it is unpinned.
    #[inline]
    pub fn mark_dirty(&mut self) {
        self.dirty = true;
    }
}

impl<A: Access> UserPage<'_, A> {
    /// Unpins the page, without waiting for anything. Returns what is left to do after that, if
    /// anything.
    #[inline]
    pub fn unpin(self) -> Option<NotYetDirty> {
        ManuallyDrop::new(self).release()
    }

    /// Must not be called again.
    #[inline]
    fn release(&mut self) -> Option<NotYetDirty> {
        // SAFETY: By the type invariants the page is pinned for `A`, and this is the last use.
        let folio = unsafe { bindings::user_page_unpin(self.page.as_ptr(), A::WRITE, self.dirty) };

        // INVARIANT: It is what was returned.
        NonNull::new(folio).map(NotYetDirty)
    }
}

impl<A: Access> Drop for UserPage<'_, A> {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

/// A page that could not be marked dirty when it was unpinned, as somebody had it locked.
///
/// When this is dropped it is, which may take as long as user space likes. If it is of a file, it
/// stays pinned until then.
///
/// # Invariants
///
/// It was returned by `user_page_unpin()`.
pub struct NotYetDirty(NonNull<bindings::folio>);

impl Drop for NotYetDirty {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, and this is the last use.
        unsafe { bindings::user_page_mark_dirty(self.0.as_ptr()) }
    }
}

/// A fault, after which nothing was done.
pub struct Fault;

/// Words of the current task's memory, accessed where the task maps them, without pinning pages.
///
/// In an interrupt handler that is the task that was interrupted. What it may do is what the
/// hardware lets it do at the moment of the access. Nothing is held.
///
/// # Invariants
///
/// `plain` are addresses of pages that were found to be plain, 1 more for those that may be written
/// to, or of none. The current task has memory, and interrupts are disabled as long as `self`
/// lives.
pub struct UserWords<'i> {
    plain: [usize; 2],
    /// Also keeps it to the task: another one has another address space.
    _irq: PhantomData<&'i LocalInterruptDisabled>,
}

impl<'i> UserWords<'i> {
    /// Returns the word of `len` bytes at `addr`, which must be [untagged](UserMemory::untag()).
    ///
    /// Fails unless there are 1, 2, 4 or, on a 64-bit architecture, 8 bytes, naturally aligned, in
    /// anonymous memory that is present, and that the task may access: else the page has to be
    /// pinned.
    #[inline]
    pub fn get<A: Access>(&mut self, addr: usize, len: usize) -> Result<UserWord<'i, A>, Fault> {
        if !matches!(len, 1 | 2 | 4 | 8) || len > size_of::<usize>() || addr & (len - 1) != 0 {
            return Err(Fault);
        }

        let page = addr & PAGE_MASK;
        let to_write = page | 1;
        let is_known = self
            .plain
            .iter()
            .any(|plain| *plain == to_write || (!A::WRITE && *plain == page));
        if !is_known {
            // SAFETY: By the type invariants.
            if !unsafe { bindings::user_word_is_plain(addr, A::WRITE) } {
                return Err(Fault);
            }
            let plain = if A::WRITE { to_write } else { page };
            // INVARIANT: It was just found to be.
            self.plain = [plain, self.plain[0]];
        }
        // INVARIANT: As just checked.
        Ok(UserWord {
            addr,
            len: len as u32,
            _access: PhantomData,
        })
    }
}

/// One of [`UserWords`].
///
/// # Invariants
///
/// `addr` is the address of a naturally aligned word of `len` bytes, of the current task, whose
/// page was found to be plain. Interrupts are disabled as long as `self` lives.
pub struct UserWord<'i, A: Access> {
    addr: usize,
    len: u32,
    _access: PhantomData<(A, &'i LocalInterruptDisabled)>,
}

impl<A: Access> UserWord<'_, A> {
    /// Loads it, in one access.
    #[inline]
    pub fn load(&self) -> Result<u64, Fault> {
        let mut value = 0;

        // SAFETY: By the type invariants; `value` is valid for writing.
        let loaded = unsafe { bindings::user_word_load(self.addr, self.len, &raw mut value) };
        if loaded {
            Ok(value)
        } else {
            Err(Fault)
        }
    }
}

impl UserWord<'_, Write> {
    /// Stores `value`, truncated, in one access.
    #[inline]
    pub fn store(&self, value: u64) -> Result<(), Fault> {
        // SAFETY: By the type invariants.
        let stored = unsafe { bindings::user_word_store(self.addr, self.len, value) };
        if stored {
            Ok(())
        } else {
            Err(Fault)
        }
    }
}
