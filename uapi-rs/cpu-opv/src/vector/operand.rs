// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operands: memory that is borrowed until the vector has run.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicUsize,
};
#[cfg(target_has_atomic = "64")]
use core::sync::atomic::{AtomicI64, AtomicU64};

use crate::word::Word;

mod sealed {
    pub trait Sealed {}
}

/// Plain data: without padding, and any bytes are a value.
///
/// # Safety
///
/// Both must hold. The trait is sealed: it is that of integers and arrays of them.
pub unsafe trait Plain: sealed::Sealed + Copy + Send + Sync + 'static {}

/// An operand that is read.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    pointer: *const u8,
    len: usize,
    may_fault: bool,
    _borrow: PhantomData<&'a [u8]>,
}

/// An operand that is written.
pub struct Target<'a> {
    pointer: *mut u8,
    len: usize,
    may_fault: bool,
    _borrow: PhantomData<&'a mut [u8]>,
}

/// An integer that is added to.
pub struct Addend<'a> {
    pointer: *mut u8,
    len: usize,
    _borrow: PhantomData<&'a mut [u8]>,
}

impl Source<'_> {
    /// `len` bytes at `pointer`.
    ///
    /// # Safety
    ///
    /// When the vector comes to read them, no data race comes of that: what other threads write there at
    /// the same time, they write as atomics. If they are copied, the bytes are values for what they are
    /// copied to. They need not be mapped: that is an error of the vector and no more.
    #[inline]
    pub const unsafe fn from_raw(pointer: *const u8, len: usize) -> Self {
        Self {
            pointer,
            len,
            may_fault: false,
            _borrow: PhantomData,
        }
    }

    /// Says that this operand may have been unmapped, which is then
    /// [`Error::ExpectedFault`](crate::Error::ExpectedFault): load its address again, and try again.
    #[inline]
    pub const fn may_fault(self) -> Self {
        Self {
            may_fault: true,
            ..self
        }
    }
}

impl Target<'_> {
    /// `len` bytes at `pointer`.
    ///
    /// # Safety
    ///
    /// If the vector comes to write them, they may be changed so: no reference says that they are constant
    /// or unshared, what is written is a value for what they hold, and what other threads access at the same
    /// time, they access as atomics. They need not be mapped: that is an error of the vector and no more.
    #[inline]
    pub const unsafe fn from_raw(pointer: *mut u8, len: usize) -> Self {
        Self {
            pointer,
            len,
            may_fault: false,
            _borrow: PhantomData,
        }
    }

    /// Says that this operand may have been unmapped; see [`Source::may_fault`].
    #[inline]
    pub const fn may_fault(self) -> Self {
        Self {
            may_fault: true,
            ..self
        }
    }
}

/// What the kernel is told of an operand.
macro_rules! kernel_view {
    ($($operand:ident)*) => {$(
        impl $operand<'_> {
            #[inline]
            pub(super) fn address(&self) -> u64 {
                self.pointer.expose_provenance() as u64
            }

            #[inline]
            pub(super) fn len(&self) -> usize {
                self.len
            }
        }

        impl fmt::Debug for $operand<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} bytes at {:p}", self.len, self.pointer)
            }
        }
    )*};
}
kernel_view!(Source Target Addend);

impl Source<'_> {
    #[inline]
    pub(super) fn fault_expected(&self) -> u8 {
        self.may_fault.into()
    }
}

impl Target<'_> {
    #[inline]
    pub(super) fn fault_expected(&self) -> u8 {
        self.may_fault.into()
    }
}

impl<'a, T: Plain> From<&'a T> for Source<'a> {
    #[inline]
    fn from(data: &'a T) -> Self {
        core::slice::from_ref(data).into()
    }
}

impl<'a, T: Plain> From<&'a [T]> for Source<'a> {
    #[inline]
    fn from(data: &'a [T]) -> Self {
        // SAFETY: it is initialised, and not written while it is borrowed.
        unsafe { Self::from_raw(data.as_ptr().cast(), size_of_val(data)) }
    }
}

impl<'a, T: Plain> From<&'a mut T> for Target<'a> {
    #[inline]
    fn from(data: &'a mut T) -> Self {
        core::slice::from_mut(data).into()
    }
}

impl<'a, T: Plain> From<&'a mut [T]> for Target<'a> {
    #[inline]
    fn from(data: &'a mut [T]) -> Self {
        let len = size_of_val(data);
        // SAFETY: any bytes are a value, and nobody else has it while it is borrowed.
        unsafe { Self::from_raw(data.as_mut_ptr().cast(), len) }
    }
}

macro_rules! plain {
    ($($integer:ident)*) => {$(
        impl sealed::Sealed for $integer {}
        // SAFETY: an integer has no padding, and any bytes are a value.
        unsafe impl Plain for $integer {}
    )*};
}
plain!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

impl<T: Plain, const N: usize> sealed::Sealed for [T; N] {}
// SAFETY: an array has no padding but that of its items.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// Atomics can be read, written and added to, by a shared reference.
macro_rules! atomic {
    ($($atomic:ident)*) => {$(
        impl<'a> From<&'a $atomic> for Source<'a> {
            #[inline]
            fn from(atomic: &'a $atomic) -> Self {
                // SAFETY: it is initialised, and whoever writes it does so as an atomic.
                unsafe { Self::from_raw(atomic.as_ptr().cast(), size_of::<$atomic>()) }
            }
        }

        impl<'a> From<&'a $atomic> for Target<'a> {
            #[inline]
            fn from(atomic: &'a $atomic) -> Self {
                // SAFETY: any bytes are a value, and whoever accesses it does so as an atomic.
                unsafe { Self::from_raw(atomic.as_ptr().cast(), size_of::<$atomic>()) }
            }
        }

        impl<'a> From<&'a $atomic> for Addend<'a> {
            #[inline]
            fn from(atomic: &'a $atomic) -> Self {
                Self {
                    pointer: atomic.as_ptr().cast(),
                    len: size_of::<$atomic>(),
                    _borrow: PhantomData,
                }
            }
        }
    )*};
}
atomic!(AtomicU8 AtomicU16 AtomicU32 AtomicUsize AtomicI8 AtomicI16 AtomicI32 AtomicIsize Word);
#[cfg(target_has_atomic = "64")]
atomic!(AtomicU64 AtomicI64);
