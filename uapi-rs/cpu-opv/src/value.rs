// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values that are a machine word.

use core::ptr::{self, NonNull};
use std::sync::Arc;

mod sealed {
    pub trait Sealed {}
}

/// A value that is kept as a machine word: an integer or a pointer.
///
/// # Safety
///
/// `from_word` gives back what `into_word` was given. The trait is sealed.
pub unsafe trait Value: sealed::Sealed + Sized {
    /// The word for it, which owns it now.
    #[doc(hidden)]
    fn into_word(self) -> usize;

    /// It.
    ///
    /// # Safety
    ///
    /// `word` came from `into_word`, and from each such word it is made once, or as often as one likes if
    /// it is [`Copy`].
    #[doc(hidden)]
    unsafe fn from_word(word: usize) -> Self;
}

macro_rules! values {
    ($([$($generics:tt)*] $type:ty: |$value:ident| $into:expr, |$word:ident| $from:expr;)*) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}
        // SAFETY: the one is the inverse of the other.
        unsafe impl<$($generics)*> Value for $type {
            #[inline(always)]
            fn into_word(self) -> usize {
                let $value = self;
                $into
            }

            #[inline(always)]
            unsafe fn from_word($word: usize) -> Self {
                // SAFETY: the caller's.
                #[allow(unused_unsafe, reason = "not all of them need it")]
                unsafe { $from }
            }
        }
    )*};
}

values! {
    [] usize: |value| value, |word| word;
    [] isize: |value| value as usize, |word| word as isize;
    [T] Box<T>: |value| Box::into_raw(value).expose_provenance(),
        |word| Box::from_raw(ptr::with_exposed_provenance_mut(word));
    [T] Arc<T>: |value| Arc::into_raw(value).expose_provenance(),
        |word| Arc::from_raw(ptr::with_exposed_provenance(word));
    [T: 'static] &'static T: |value| (&raw const *value).expose_provenance(),
        |word| &*ptr::with_exposed_provenance(word);
    [T] NonNull<T>: |value| value.as_ptr().expose_provenance(),
        |word| NonNull::new_unchecked(ptr::with_exposed_provenance_mut(word));
}
