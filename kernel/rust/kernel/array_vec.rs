// SPDX-License-Identifier: GPL-2.0

//! A vector of limited length that allocates nothing.

use crate::{
    prelude::*,
    uaccess::UserSliceReader, //
};
use core::{
    mem::MaybeUninit,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr, //
};

/// A vector that holds up to `N` elements in place.
///
/// For short lists of known limit, on the stack of code that must not allocate, or that is too hot
/// to. Unlike an array of [`Option`]s it costs nothing for elements that are not there, neither to
/// make nor to drop.
///
/// Everything that slices can do is available through [`Deref`].
///
/// # Invariants
///
/// The first `len` elements of `elements` are initialized, and `len <= N`.
///
/// # Examples
///
/// ```
/// use kernel::array_vec::ArrayVec;
///
/// let mut squares = ArrayVec::<u32, 3>::new();
/// for i in 1..=3 {
///     squares.push(i * i);
/// }
/// squares[0] += 1;
/// assert_eq!(squares.iter().sum::<u32>(), 2 + 4 + 9);
/// assert_eq!(squares.len(), 3);
///
/// assert_eq!(squares.pop(), Some(9));
/// squares.clear();
/// assert!(squares.is_empty());
/// ```
pub struct ArrayVec<T, const N: usize> {
    elements: [MaybeUninit<T>; N],
    len: usize,
}

impl<T, const N: usize> ArrayVec<T, N> {
    /// Creates a vector without elements.
    #[inline(always)]
    pub const fn new() -> Self {
        // INVARIANT: There are no elements.
        Self {
            elements: [const { MaybeUninit::uninit() }; N],
            len: 0,
        }
    }

    /// Appends an element.
    ///
    /// # Panics
    ///
    /// If there is no room for it. This is for those who know their limit when they choose `N`.
    #[inline]
    pub fn push(&mut self, element: T) {
        self.elements[self.len].write(element);
        // INVARIANT: The element was just initialized, and there is one with this index.
        self.len += 1;
    }

    /// Removes the last element and returns it, or [`None`] if there is none.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        // INVARIANT: One less of them is initialized.
        self.len = self.len.checked_sub(1)?;
        // SAFETY: By the type invariants, the element was initialized; it is not used again.
        Some(unsafe { self.elements[self.len].assume_init_read() })
    }

    /// Drops all elements.
    #[inline]
    pub fn clear(&mut self) {
        let elements = ptr::from_mut(&mut **self);

        // INVARIANT: There are no elements any more, also if to drop one panics.
        self.len = 0;
        // SAFETY: By the type invariants, these elements were initialized; they are not used again.
        unsafe { ptr::drop_in_place(elements) }
    }

    /// Appends `count` elements that are read from user space.
    ///
    /// Fails with [`ENOSPC`] if there is no room for them, and with [`EFAULT`] if the read happens
    /// on a bad address or goes out of bounds of `reader`. Nothing is appended then.
    #[inline]
    pub fn read_from(&mut self, reader: &mut UserSliceReader, count: usize) -> Result
    where
        T: FromBytes,
    {
        let free = self.elements.get_mut(self.len..).unwrap_or_default();
        let free = free.get_mut(..count).ok_or(ENOSPC)?;
        let bytes = ptr::from_mut(free).cast::<MaybeUninit<u8>>();

        // SAFETY: `bytes` points to the free elements, and may be written to as long as they are
        // borrowed. What is not initialized has no alignment and no invalid values.
        let bytes = unsafe { core::slice::from_raw_parts_mut(bytes, size_of_val(free)) };
        reader.read_raw(bytes)?;

        // INVARIANT: `read_raw()` initialized the elements, any bytes are valid for their type, and
        // there are that many.
        self.len += count;
        Ok(())
    }
}

impl<T, const N: usize> Default for ArrayVec<T, N> {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Deref for ArrayVec<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: By the type invariants, these elements are initialized.
        unsafe { core::slice::from_raw_parts(self.elements.as_ptr().cast(), self.len) }
    }
}

impl<T, const N: usize> DerefMut for ArrayVec<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: By the type invariants, these elements are initialized.
        unsafe { core::slice::from_raw_parts_mut(self.elements.as_mut_ptr().cast(), self.len) }
    }
}

impl<T, const N: usize> Drop for ArrayVec<T, N> {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}
