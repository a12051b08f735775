// SPDX-License-Identifier: MIT OR Apache-2.0

//! The unit of per-CPU data: a machine word that all ways of changing it access at once.

use core::fmt;
pub(crate) use core::sync::atomic::fence;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A machine word in per-CPU memory.
///
/// It can be read from anywhere. It is changed by the operations of the [`PerCpu`](crate::PerCpu) that
/// it lies in, on the CPU that it belongs to: so there is no `store` here.
#[repr(transparent)]
#[derive(Default)]
pub struct Word(AtomicUsize);

impl Word {
    /// A word that holds `value`.
    pub const fn new(value: usize) -> Self {
        Self(AtomicUsize::new(value))
    }

    /// What it holds.
    ///
    /// [`Ordering::Acquire`] pairs with the operations that say that they release.
    ///
    /// # Panics
    ///
    /// If `order` is [`Ordering::Release`] or [`Ordering::AcqRel`].
    #[inline]
    pub fn load(&self, order: Ordering) -> usize {
        self.0.load(order)
    }

    /// What it holds, without any ordering.
    #[inline(always)]
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Overwrites it; only where no other may change it.
    #[inline(always)]
    pub(crate) fn store(&self, value: usize, order: Ordering) {
        self.0.store(value, order);
    }

    /// Adds to it; only where all others change it by atomic instructions, too. So are the next two.
    #[inline(always)]
    pub(crate) fn fetch_add(&self, n: usize, order: Ordering) -> usize {
        self.0.fetch_add(n, order)
    }

    #[inline(always)]
    pub(crate) fn compare_exchange(
        &self,
        expect: usize,
        new: usize,
        success: Ordering,
        failure: Ordering,
    ) -> Result<usize, usize> {
        self.0.compare_exchange(expect, new, success, failure)
    }

    #[inline(always)]
    pub(crate) fn swap(&self, new: usize, order: Ordering) -> usize {
        self.0.swap(new, order)
    }

    #[inline(always)]
    pub(crate) fn as_ptr(&self) -> *mut usize {
        self.0.as_ptr()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
