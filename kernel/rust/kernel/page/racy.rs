// SPDX-License-Identifier: GPL-2.0

//! Access to memory that others write to at the same time.

use super::{
    Page,
    PAGE_SIZE, //
};
use crate::{
    alloc::{
        AllocError,
        Flags, //
    },
    bindings,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::{
        self,
        NonNull, //
    },
};

/// Bytes in a page that anybody may write to at any time.
///
/// Such is memory that user space, a device or another CPU shares with the kernel. There can be no
/// reference to it, and two reads may give different values. A `RacySlice` gives access by value
/// only:
///
/// - [`load()`](Self::load) and [`store()`](RacySliceMut::store) access a naturally aligned integer
///   once and as a whole (eight bytes on a 32-bit architecture as two integers of four bytes);
/// - all others copy or compare bytes as `memmove()` and `memcmp()` do, with no promise on what
///   they see of a write that happens at the same time.
///
/// None orders anything but accesses to the same address on the same CPU.
///
/// All access is through the kernel's own mapping, from any context, and works with pages in high
/// memory. At most two are mapped at a time.
///
/// Where the memory is the owner's to write to, there is a [`RacySliceMut`] of it.
///
/// # Invariants
///
/// - `offset + len <= PAGE_SIZE`.
/// - `page` points to a page that stays allocated for `'a`, that `kmap_local_page()` makes
///   accessible, and whose memory is initialized, and nobody holds a Rust reference to, nor
///   accesses in another way that must not race.
///
/// # Examples
///
/// ```
/// use kernel::page::RacyPage;
///
/// let page = RacyPage::alloc(GFP_KERNEL)?;
/// let word = page.bytes_mut().sub(8, 4);
/// assert_eq!(word.load(), Some(0));
/// word.store(0x1_2345_6789);
/// assert_eq!(word.load(), Some(0x2345_6789));
///
/// let odd = page.bytes_mut().sub(9, 4);
/// assert_eq!(odd.load(), None);
///
/// let copy = page.bytes_mut().sub(101, 4);
/// assert!(!copy.equals(&word));
/// copy.copy_from(&word);
/// assert!(copy.equals(&word));
///
/// assert_eq!(page.bytes_mut().sub(kernel::page::PAGE_SIZE - 1, 2).len(), 1);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct RacySlice<'a> {
    page: NonNull<bindings::page>,
    offset: usize,
    len: usize,
    _page: PhantomData<&'a Page>,
}

// SAFETY: The memory may be accessed by anybody anyway, and the page is not referred to as such.
unsafe impl Send for RacySlice<'_> {}
// SAFETY: As above.
unsafe impl Sync for RacySlice<'_> {}

/// A slice's address in the kernel's mapping.
///
/// # Invariants
///
/// `ptr` is valid for accesses to all of the slice until the value is dropped. `page` is where the
/// page of the slice is mapped, by `kmap_local_page()`.
struct Mapped {
    ptr: *mut u8,
    page: *mut c_void,
}

impl Drop for Mapped {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants; mappings are dropped in reverse order.
        unsafe { bindings::kunmap_local(self.page) }
    }
}

impl RacySlice<'_> {
    /// Returns all bytes of a page.
    ///
    /// # Safety
    ///
    /// `page` must stay allocated for the lifetime, and be accessible where `kmap_local_page()`
    /// maps it, as memory of memfd_secret(2) is not. All of it must be initialized. Nobody may hold
    /// a Rust reference to its memory meanwhile, nor rely on it not to change.
    #[inline]
    pub unsafe fn of_page(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self {
            page,
            offset: 0,
            len: PAGE_SIZE,
            _page: PhantomData,
        }
    }

    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "not a collection")]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether both are in the same page.
    #[inline]
    pub fn shares_page(&self, other: &RacySlice<'_>) -> bool {
        self.page == other.page
    }

    /// Returns `len` bytes from `start` on, or as many of them as there are.
    #[inline]
    pub fn sub(&self, start: usize, len: usize) -> Self {
        let start = start.min(self.len);

        // INVARIANT: It is part of `self`.
        Self {
            offset: self.offset + start,
            len: len.min(self.len - start),
            ..*self
        }
    }

    #[inline]
    fn map(&self) -> Mapped {
        // SAFETY: By the type invariants, the page is valid.
        let page = unsafe { bindings::kmap_local_page(self.page.as_ptr()) };

        // INVARIANT: The slice is within the page, which is mapped until `kunmap_local()`.
        Mapped {
            ptr: page.cast::<u8>().wrapping_add(self.offset),
            page,
        }
    }

    #[inline]
    fn is_word(&self) -> bool {
        matches!(self.len, 1 | 2 | 4 | 8) && self.offset & (self.len - 1) == 0
    }

    /// Loads the integer that the bytes hold, in one access.
    ///
    /// Returns [`None`] unless there are 1, 2, 4 or 8 bytes, naturally aligned.
    #[inline]
    pub fn load(&self) -> Option<u64> {
        if !self.is_word() {
            return None;
        }
        let map = self.map();
        let ptr = map.ptr;

        // SAFETY: By the type invariants of `Mapped`, and with the alignment just checked. That the
        // memory may change at the same time is a data race by Rust's rules, but this is allowed
        // per LKMM: the access is volatile, as `READ_ONCE()` is.
        Some(unsafe {
            match self.len {
                1 => ptr.read_volatile().into(),
                2 => ptr.cast::<u16>().read_volatile().into(),
                4 => ptr.cast::<u32>().read_volatile().into(),
                _ => ptr.cast::<u64>().read_volatile(),
            }
        })
    }

    /// Whether `other` holds the same number of bytes, and the same bytes.
    #[inline]
    pub fn equals(&self, other: &RacySlice<'_>) -> bool {
        if self.len != other.len {
            return false;
        }
        let a = self.map();
        let b = other.map();

        // SAFETY: By the type invariants of `Mapped`. A plain access of the kernel's own
        // `memcmp()`, out of the compiler's sight, to memory that may change: per LKMM that gives
        // some of the values that were there.
        unsafe { bindings::memcmp(a.ptr.cast(), b.ptr.cast(), self.len) == 0 }
    }

    /// Copies to `dst`; as many bytes as the shorter one has.
    #[inline]
    pub fn read(&self, dst: &mut [u8]) {
        let from = self.map();

        // SAFETY: By the type invariants of `Mapped`, and `dst` is valid for writing. They cannot
        // overlap, as nobody else has access to `dst`. For races see `equals()`.
        unsafe {
            bindings::memmove(
                dst.as_mut_ptr().cast(),
                from.ptr.cast::<c_void>(),
                self.len.min(dst.len()),
            );
        }
    }
}

/// A [`RacySlice`] that may be written to.
///
/// # Invariants
///
/// The page may be written to.
#[derive(Clone, Copy)]
pub struct RacySliceMut<'a>(RacySlice<'a>);

impl<'a> Deref for RacySliceMut<'a> {
    type Target = RacySlice<'a>;

    #[inline]
    fn deref(&self) -> &RacySlice<'a> {
        &self.0
    }
}

impl RacySliceMut<'_> {
    /// Returns all bytes of a page.
    ///
    /// # Safety
    ///
    /// As for [`RacySlice::of_page()`], and the page must be one that may be written to.
    #[inline]
    pub unsafe fn of_page(page: NonNull<bindings::page>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: By the safety requirements of this function.
        Self(unsafe { RacySlice::of_page(page) })
    }

    /// Returns `len` bytes from `start` on, or as many of them as there are.
    #[inline]
    pub fn sub(&self, start: usize, len: usize) -> Self {
        // INVARIANT: It is in the same page.
        Self(self.0.sub(start, len))
    }

    /// Stores `value`, truncated to the length of the slice, in one access.
    ///
    /// Returns [`false`], and does nothing, unless there are 1, 2, 4 or 8 bytes, naturally aligned.
    #[inline]
    pub fn store(&self, value: u64) -> bool {
        if !self.is_word() {
            return false;
        }
        let map = self.map();
        let ptr = map.ptr;

        // SAFETY: By the type invariants, also those of `Mapped`, and with the alignment just
        // checked. For races see `load()`: the access is volatile, as `WRITE_ONCE()` is.
        unsafe {
            match self.len {
                1 => ptr.write_volatile(value as u8),
                2 => ptr.cast::<u16>().write_volatile(value as u16),
                4 => ptr.cast::<u32>().write_volatile(value as u32),
                _ => ptr.cast::<u64>().write_volatile(value),
            }
        }
        true
    }

    /// Copies from `src`, which may overlap; as many bytes as the shorter one has.
    #[inline]
    pub fn copy_from(&self, src: &RacySlice<'_>) {
        let len = self.len.min(src.len);
        let to = self.map();
        let dst = to.ptr.cast();

        // SAFETY: By the type invariants, also those of `Mapped`, and of `src` for another offset
        // in the same page. Different pages do not overlap. For races see `equals()`.
        unsafe {
            if self.shares_page(src) {
                // By one mapping of the page, so that the addresses tell what overlaps.
                bindings::memmove(dst, to.page.byte_add(src.offset), len);
            } else {
                let from = src.map();
                bindings::memcpy(dst, from.ptr.cast::<c_void>(), len);
            }
        }
    }

    /// Copies from `src`; as many bytes as the shorter one has.
    #[inline]
    pub fn write(&self, src: &[u8]) {
        let to = self.map();

        // SAFETY: By the type invariants, also those of `Mapped`, and `src` is valid for reading.
        // For races see `equals()`.
        unsafe {
            bindings::memmove(
                to.ptr.cast(),
                ptr::from_ref(src).cast::<c_void>(),
                self.len.min(src.len()),
            );
        }
    }
}

/// A page of one's own that is only accessed as [`RacySlice`]s.
///
/// Other than a [`Page`], it cannot be got from whom has references to its memory.
pub struct RacyPage(Page);

impl RacyPage {
    /// Allocates a page of zeros.
    #[inline]
    pub fn alloc(flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(Page::alloc_page(flags | __GFP_ZERO)?))
    }

    /// Returns all bytes of the page.
    #[inline]
    pub fn bytes_mut(&self) -> RacySliceMut<'_> {
        // SAFETY: The page is allocated until `self` is dropped, and of zeros at first. It is never
        // given away, and so is only accessed by slices.
        unsafe { RacySliceMut::of_page(self.0.page) }
    }
}
