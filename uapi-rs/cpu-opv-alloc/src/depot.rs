// SPDX-License-Identifier: MIT OR Apache-2.0

//! The depot: where CPUs leave blocks for each other, many at a time.
//!
//! There is one for each class, with some places. In each is a *chain* of free blocks or none: a block's first word is
//! the address of the next one. A chain is put there by one compare-and-exchange with null, and taken by one exchange,
//! as a whole: so no block's link is read by anybody but its owner, and the problem of other such lists, that a block
//! comes back while it is looked at, does not arise. Nobody waits, and a child of `fork(2)` finds each place as it was.

use core::mem;
use core::ptr::null_mut;

use crate::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

/// How many chains fit.
pub(crate) const PLACES: usize = if cfg!(loom) { 2 } else { 8 };

/// The depot of a class. A cache line of places.
#[repr(align(64))]
pub(crate) struct Depot([AtomicPtr<Link>; PLACES]);

/// What a free block begins with.
pub(crate) struct Link {
    next: *mut Link,
}

/// Free blocks, of one class.
pub(crate) struct Chain(*mut Link);

impl Depot {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicPtr::new(null_mut()) }; PLACES])
    }

    /// Leaves a chain here; gives it back if there is no place.
    pub(crate) fn put(&self, chain: Chain) -> Result<(), Chain> {
        let is_put = self.0.iter().any(|place| {
            // Release: pairs with `take`.
            place.load(Relaxed).is_null()
                && place
                    .compare_exchange(null_mut(), chain.0, Release, Relaxed)
                    .is_ok()
        });
        if is_put { Ok(()) } else { Err(chain) }
    }

    /// Takes a chain, which may be empty.
    pub(crate) fn take(&self) -> Chain {
        let taken = self.0.iter().find_map(|place| {
            // Acquire: the links are those that whoever put it there wrote.
            (!place.load(Relaxed).is_null())
                .then(|| place.swap(null_mut(), Acquire))
                .filter(|first| !first.is_null())
        });
        Chain(taken.unwrap_or(null_mut()))
    }

    /// How many chains there are just now.
    pub(crate) fn len(&self) -> usize {
        self.0
            .iter()
            .filter(|place| !place.load(Relaxed).is_null())
            .count()
    }
}

impl Chain {
    pub(crate) const EMPTY: Self = Self(null_mut());

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// Puts a block at the front.
    ///
    /// # Safety
    ///
    /// The block is free, has room for a link and is aligned for it, and is the chain's from now on.
    pub(crate) unsafe fn push(&mut self, block: *mut u8) {
        let link = block.cast::<Link>();
        // SAFETY: the caller's.
        unsafe { link.write(Link { next: self.0 }) };
        self.0 = link;
    }
}

/// The blocks, which are the caller's then.
impl Iterator for Chain {
    type Item = *mut u8;

    fn next(&mut self) -> Option<*mut u8> {
        // SAFETY: `push` wrote it, and it is ours.
        let next = unsafe { self.0.as_ref() }?.next;
        Some(mem::replace(&mut self.0, next).cast())
    }
}
