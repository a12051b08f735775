// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values that are a machine word.

use core::ptr::{self, NonNull};
use std::sync::Arc;

mod sealed {
    pub trait Sealed {}
}

/// A value that is kept as a machine word: an integer or a pointer.
///
/// The pointers are thin. A `Box<dyn FnOnce()>`, a `Box<[u8]>` or a `Box<str>` has two words, so put it into a box
/// again:
///
/// ```
/// use cpu_opv::Stack;
///
/// type Job = Box<Box<dyn FnOnce() + Send>>;
///
/// let jobs: Stack<Job, 64> = Stack::new();
/// if let Err(job) = jobs.push(Box::new(Box::new(|| println!("later")))) {
///     job(); // there is no room
/// }
/// while let Some(job) = jobs.pop() {
///     job();
/// }
/// ```
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
    [] u32: |value| value as usize, |word| word as u32;
    [] i32: |value| value as usize, |word| word as i32;
    [T] Box<T>: |value| Box::into_raw(value).expose_provenance(),
        |word| Box::from_raw(ptr::with_exposed_provenance_mut(word));
    [T] Arc<T>: |value| Arc::into_raw(value).expose_provenance(),
        |word| Arc::from_raw(ptr::with_exposed_provenance(word));
    [T: 'static] &'static T: |value| (&raw const *value).expose_provenance(),
        |word| &*ptr::with_exposed_provenance(word);
    [T] NonNull<T>: |value| value.as_ptr().expose_provenance(),
        |word| NonNull::new_unchecked(ptr::with_exposed_provenance_mut(word));
}

#[cfg(test)]
mod tests {
    use crate::StealStack;

    #[test]
    fn what_is_shorter_than_a_word_stays_what_it_is() {
        let signed: StealStack<i32, 4> = StealStack::new();
        let cpu = crate::Cpu::allowed().next().unwrap();
        for value in [i32::MIN, -1, i32::MAX] {
            signed.push_on(cpu, value).unwrap();
            assert_eq!(signed.peek_on(cpu), Some(value));
            assert_eq!(signed.pop_on(cpu), Ok(Some(value)));
        }
        let unsigned: StealStack<u32, 4> = StealStack::new();
        unsigned.push_on(cpu, u32::MAX).unwrap();
        assert_eq!(unsigned.pop_on(cpu), Ok(Some(u32::MAX)));
    }
}
