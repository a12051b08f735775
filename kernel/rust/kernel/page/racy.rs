// SPDX-License-Identifier: GPL-2.0

//! Access to memory that others write to at the same time.

use super::{
    Page,
    PAGE_SIZE, //
};
use crate::{
    bindings,
    prelude::*, //
};
use core::ptr;

/// Bytes in a page that anybody may write to at any time.
///
/// Such is memory that user space, a device or another CPU shares with the kernel. There can be no
/// reference to it, and two reads may give different values. A `RacySlice` gives access by value
/// only:
///
/// - [`load()`](Self::load) and [`store()`](Self::store) access a naturally aligned integer once
///   and as a whole (eight bytes on a 32-bit architecture as two integers of four bytes);
/// - all others copy or compare bytes as `memmove()` and `memcmp()` do, with no promise on what
///   they see of a write that happens at the same time.
///
/// None orders anything but accesses to the same address on the same CPU.
///
/// All access is through the kernel's own mapping, from any context, and works with pages in high
/// memory. At most two are mapped at a time.
///
/// # Invariants
///
/// `offset + len <= PAGE_SIZE`.
///
/// # Examples
///
/// ```
/// use kernel::page::{Page, RacySlice};
///
/// let page = Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?;
/// let word = RacySlice::new(&page, 8, 4).ok_or(EINVAL)?;
/// word.store(0x1_2345_6789);
/// assert_eq!(word.load(), Some(0x2345_6789));
///
/// let odd = RacySlice::new(&page, 9, 4).ok_or(EINVAL)?;
/// assert_eq!(odd.load(), None);
///
/// let copy = RacySlice::new(&page, 101, 4).ok_or(EINVAL)?;
/// assert!(!copy.equals(&word));
/// copy.copy_from(&word);
/// assert!(copy.equals(&word));
///
/// assert!(RacySlice::new(&page, kernel::page::PAGE_SIZE, 1).is_none());
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct RacySlice<'a> {
    page: &'a Page,
    offset: usize,
    len: usize,
}

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

impl<'a> RacySlice<'a> {
    /// Returns `len` bytes at `offset` of `page`, or [`None`] if they do not fit.
    #[inline]
    pub fn new(page: &'a Page, offset: usize, len: usize) -> Option<Self> {
        if offset > PAGE_SIZE || len > PAGE_SIZE - offset {
            return None;
        }
        // INVARIANT: Just checked.
        Some(Self { page, offset, len })
    }

    /// Returns the number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "not a collection")]
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the page that the bytes are in.
    #[inline]
    pub fn page(&self) -> &'a Page {
        self.page
    }

    /// Divides into the first `mid` bytes, or all if there are fewer, and the rest.
    #[inline]
    pub fn split_at(&self, mid: usize) -> (Self, Self) {
        let mid = mid.min(self.len);

        // INVARIANT: Both are part of `self`.
        (
            Self { len: mid, ..*self },
            Self {
                offset: self.offset + mid,
                len: self.len - mid,
                ..*self
            },
        )
    }

    #[inline]
    fn map(&self) -> Mapped {
        // SAFETY: The page is valid as long as the reference to it.
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

        // SAFETY: By the type invariants of `Mapped`, and with the alignment just checked. The
        // access is volatile, as `READ_ONCE()` is.
        Some(unsafe {
            match self.len {
                1 => ptr.read_volatile().into(),
                2 => ptr.cast::<u16>().read_volatile().into(),
                4 => ptr.cast::<u32>().read_volatile().into(),
                _ => ptr.cast::<u64>().read_volatile(),
            }
        })
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

        // SAFETY: By the type invariants of `Mapped`, and with the alignment just checked. The
        // access is volatile, as `WRITE_ONCE()` is.
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

        // SAFETY: By the type invariants of `Mapped`, and of `Self` for another offset in the same
        // page. These functions are C: that the bytes may change meanwhile affects but which ones
        // are copied. Different pages do not overlap.
        unsafe {
            if ptr::eq(self.page.as_ptr(), src.page.as_ptr()) {
                // By one mapping of the page, so that the addresses tell what overlaps.
                bindings::memmove(dst, to.page.byte_add(src.offset), len);
            } else {
                let from = src.map();
                bindings::memcpy(dst, from.ptr.cast::<c_void>(), len);
            }
        }
    }

    /// Whether `other` holds the same number of bytes, and the same bytes.
    #[inline]
    pub fn equals(&self, other: &RacySlice<'_>) -> bool {
        if self.len != other.len {
            return false;
        }
        let a = self.map();
        let b = other.map();

        // SAFETY: By the type invariants of `Mapped`. `memcmp()` is C, as above.
        unsafe { bindings::memcmp(a.ptr.cast(), b.ptr.cast(), self.len) == 0 }
    }

    /// Copies to `dst`; as many bytes as the shorter one has.
    #[inline]
    pub fn read(&self, dst: &mut [u8]) {
        let from = self.map();

        // SAFETY: By the type invariants of `Mapped`, and `dst` is valid for writing. They cannot
        // overlap, as nobody else has access to `dst`.
        unsafe {
            bindings::memmove(
                dst.as_mut_ptr().cast(),
                from.ptr.cast::<c_void>(),
                self.len.min(dst.len()),
            );
        }
    }

    /// Copies from `src`; as many bytes as the shorter one has.
    #[inline]
    pub fn write(&self, src: &[u8]) {
        let to = self.map();

        // SAFETY: By the type invariants of `Mapped`, and `src` is valid for reading.
        unsafe {
            bindings::memmove(
                to.ptr.cast(),
                ptr::from_ref(src).cast::<c_void>(),
                self.len.min(src.len()),
            );
        }
    }
}
