// SPDX-License-Identifier: GPL-2.0

//! Pages of user memory, pinned to be accessed in another context.
//!
//! An interrupt handler cannot take page faults, and may run while another address space is loaded.
//! To work on a task's memory there, the task first pins the pages that will be needed, as
//! [`UserPage`]s; the handler then asks each whether it [is still mapped](UserPage::is_mapped), and
//! if so accesses it through the kernel's own mapping, as a [`RacySlice`].
//!
//! C header: [`include/linux/user_page.h`](srctree/include/linux/user_page.h)
//!
//! [`RacySlice`]: crate::page::RacySlice

use crate::{
    bindings,
    error::{
        to_result,
        Result, //
    },
    interrupt::LocalInterruptDisabled,
    mm::Mm,
    page::{
        BorrowedPage,
        Page, //
    },
    preempt::PreemptDisabled,
    prelude::EFAULT,
    task::CurrentTask, //
};
use core::ptr::{
    self,
    NonNull, //
};

/// What a [`UserPage`] is pinned for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The page will only be read.
    Read,
    /// The page will be written to. It is marked dirty when it is unpinned.
    Write,
}

/// A pinned page of a task's memory.
///
/// The page stays allocated as long as the value lives, but its content may be changed by anybody
/// who has it mapped, and the address through which it was pinned may come to map another page.
///
/// # Examples
///
/// Store to the memory of the current task, on another CPU:
///
/// ```
/// use kernel::{
///     cpu::CpuId,
///     mm::user_page::{Access, UserPage},
///     page::{RacySlice, PAGE_MASK},
///     smp,
///     task::CurrentTask,
/// };
///
/// fn store_byte(current: &CurrentTask, cpu: CpuId, addr: usize, value: u8) -> Result {
///     let page = UserPage::pin(current, addr, Access::Write)?;
///     let byte = RacySlice::new(page.as_page(), addr & !PAGE_MASK, 1).ok_or(EFAULT)?;
///     let mm = current.mm().ok_or(EFAULT)?;
///
///     let stored = smp::call_on(cpu, |irq| {
///         page.is_mapped(mm, irq) && byte.store(value.into())
///     })?;
///     if stored {
///         Ok(())
///     } else {
///         Err(EAGAIN)
///     }
/// }
/// ```
///
/// # Invariants
///
/// `page` was pinned through `addr` for `access`, and is valid as long as `self` is.
pub struct UserPage {
    page: BorrowedPage<'static>,
    addr: usize,
    access: Access,
}

impl UserPage {
    /// Faults in and pins the page of the current task's memory that holds `addr`.
    ///
    /// `addr` must be [untagged](crate::uaccess::untagged_addr). May sleep.
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
    pub fn pin(_current: &CurrentTask, addr: usize, access: Access) -> Result<Self> {
        let mut page = ptr::null_mut();

        // SAFETY: `page` is valid for writing. The task that is pinned for is the current one.
        to_result(unsafe {
            bindings::user_page_pin(addr, access == Access::Write, &raw mut page)
        })?;
        // SAFETY: `user_page_pin()` just returned the page.
        unsafe { Self::from_pinned(page, addr, access) }
    }

    /// Pins the page of the current task's memory that holds `addr` if it is present.
    ///
    /// Until preemption is enabled again, no other task can run on this CPU, and so everything that
    /// this CPU stored to the address before is found in the page, as if it
    /// [were asked](Self::is_mapped) whether it is still mapped.
    ///
    /// Does not sleep, but dropping the page may. Fails with [`EAGAIN`] if [`Self::pin()`] has to
    /// be asked.
    ///
    /// [`EAGAIN`]: crate::prelude::EAGAIN
    #[inline]
    pub fn pin_present(
        _current: &CurrentTask,
        addr: usize,
        access: Access,
        _preempt: &PreemptDisabled,
    ) -> Result<Self> {
        let mut page = ptr::null_mut();

        // SAFETY: `page` is valid for writing. The task that is pinned for is the current one.
        to_result(unsafe {
            bindings::user_page_pin_present(addr, access == Access::Write, &raw mut page)
        })?;
        // SAFETY: `user_page_pin_present()` just returned the page.
        unsafe { Self::from_pinned(page, addr, access) }
    }

    /// # Safety
    ///
    /// `page` must have been pinned through `addr` for `access`, and not be unpinned by others.
    #[inline]
    unsafe fn from_pinned(page: *mut bindings::page, addr: usize, access: Access) -> Result<Self> {
        let page = NonNull::new(page).ok_or(EFAULT)?;

        // INVARIANT: By the safety requirements of this function.
        Ok(Self {
            // SAFETY: The page is valid until `drop()`. The static lifetime does not leave `self`.
            page: unsafe { BorrowedPage::from_raw(page) },
            addr,
            access,
        })
    }

    /// Whether the address in `mm` that the page was pinned through still maps it, with the access
    /// that it was pinned for.
    ///
    /// Until interrupts are enabled again, no user-space code can run on this CPU, and so
    /// everything that this CPU stored to the address before is found in the page.
    ///
    /// `mm` must be the address space of the task that pinned the page; in any other the answer
    /// has no meaning.
    #[inline]
    pub fn is_mapped(&self, mm: &Mm, _irq: &LocalInterruptDisabled) -> bool {
        // SAFETY: `mm` and the page are valid, and interrupts are disabled.
        unsafe {
            bindings::user_page_mapped(
                mm.as_raw(),
                self.addr,
                self.page.as_ptr(),
                self.access == Access::Write,
            )
        }
    }

    /// Returns the page.
    #[inline]
    pub fn as_page(&self) -> &Page {
        &self.page
    }
}

impl Drop for UserPage {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant the page is pinned for `access`, and this is the last use.
        unsafe { bindings::user_page_unpin(self.page.as_ptr(), self.access == Access::Write) }
    }
}
