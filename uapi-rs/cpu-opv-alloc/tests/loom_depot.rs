// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of `src/depot.rs`, that code itself, in all interleavings of two threads that loom tells apart: each takes a
//! chain and then leaves one of its own, with two places for them. What a thread has is its own, and nothing is lost.
//!
//! A mutant has an exchange done in two steps, or an order left out, and must fail.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom_depot`
#![cfg(loom)]

use std::cell::Cell;
use std::iter;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

#[path = "../src/depot.rs"]
mod depot;
use depot::{Chain, Depot};

/// What `core::sync::atomic` has, made of what loom knows.
mod atomic {
    use std::sync::OnceLock;

    pub use loom::sync::atomic::Ordering;
    use loom::sync::atomic::{AtomicPtr as Modelled, Ordering::Relaxed};

    use super::{Fault::*, has};

    /// Null at first. Loom's own cannot be made in a constant.
    pub struct AtomicPtr<T>(OnceLock<Modelled<T>>);

    impl<T> AtomicPtr<T> {
        pub const fn new(_: *mut T) -> Self {
            Self(OnceLock::new())
        }

        fn modelled(&self) -> &Modelled<T> {
            self.0.get_or_init(Modelled::default)
        }

        pub fn load(&self, order: Ordering) -> *mut T {
            self.modelled().load(order)
        }

        pub fn swap(&self, new: *mut T, order: Ordering) -> *mut T {
            let place = self.modelled();
            if has(TakenInTwoSteps) {
                let old = place.load(order);
                place.store(new, Relaxed);
                old
            } else {
                place.swap(new, if has(NoAcquire) { Relaxed } else { order })
            }
        }

        pub fn compare_exchange(
            &self,
            current: *mut T,
            new: *mut T,
            success: Ordering,
            failure: Ordering,
        ) -> Result<*mut T, *mut T> {
            let place = self.modelled();
            let success = if has(NoRelease) { Relaxed } else { success };
            if has(LeftInTwoSteps) {
                let old = place.load(failure);
                (old == current).then(|| place.store(new, success));
                return if old == current { Ok(old) } else { Err(old) };
            }
            place.compare_exchange(current, new, success, failure)
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    TakenInTwoSteps,
    LeftInTwoSteps,
    NoAcquire,
    NoRelease,
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

fn has(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// A block: room for the link, and what its owner writes there.
#[repr(C)]
struct Block {
    link: *mut u8,
    uses: UnsafeCell<usize>,
}

fn new_block() -> *mut u8 {
    let block = Block {
        link: std::ptr::null_mut(),
        uses: UnsafeCell::new(0),
    };
    Box::into_raw(Box::new(block)).cast()
}

/// Uses a block as only its owner may: loom fails where another one could be at it.
fn use_block(block: *mut u8) {
    // SAFETY: it is one of `new_block`, and freed only at the end.
    let uses = unsafe { &(*block.cast::<Block>()).uses };
    // SAFETY: loom has checked that nobody else has it.
    uses.with_mut(|uses| unsafe { *uses += 1 });
}

fn chain_of(block: *mut u8) -> Chain {
    use_block(block);
    let mut chain = Chain::EMPTY;
    // SAFETY: it begins with room for a link, and whoever calls this has it.
    unsafe { chain.push(block) };
    chain
}

/// Takes a chain, then leaves another one. The blocks that the thread has after it.
fn take_and_put(depot: &Depot, own: *mut u8) -> Vec<usize> {
    let taken = depot.take();
    let rest = depot.put(chain_of(own)).err();
    taken
        .chain(rest.unwrap_or(Chain::EMPTY))
        .inspect(|block| use_block(*block))
        .map(|block| block.expose_provenance())
        .collect()
}

fn check(fault: Option<Fault>) {
    FAULT.set(fault);
    loom::model(|| {
        let depot = Arc::new(Depot::new());
        assert_eq!(depot.len(), 0);
        let blocks = [(); 3].map(|()| new_block());
        assert!(depot.put(chain_of(blocks[0])).is_ok());

        let (own, others) = (blocks[1], blocks[2].expose_provenance());
        let other = {
            let depot = depot.clone();
            thread::spawn(move || {
                take_and_put(&depot, std::ptr::with_exposed_provenance_mut(others))
            })
        };
        let mut had = take_and_put(&depot, own);
        had.extend(other.join().unwrap());

        let left = iter::repeat_with(|| depot.take()).take_while(|chain| !chain.is_empty());
        had.extend(left.flatten().map(|block| block.expose_provenance()));
        had.sort();
        let mut all = blocks.map(|block| block.expose_provenance());
        all.sort();
        assert_eq!(had, all, "lost, or had twice");
        for block in blocks {
            use_block(block);
            // SAFETY: `new_block` made it so, and it is had once.
            drop(unsafe { Box::from_raw(block.cast::<Block>()) });
        }
    });
}

#[test]
fn each_block_is_had_by_one() {
    check(None);
}

#[test]
#[should_panic(expected = "Concurrent write accesses")]
fn taken_in_two_steps() {
    check(Some(Fault::TakenInTwoSteps));
}

#[test]
#[should_panic(expected = "lost, or had twice")]
fn left_in_two_steps() {
    check(Some(Fault::LeftInTwoSteps));
}

#[test]
#[should_panic(expected = "Concurrent write accesses")]
fn no_acquire() {
    check(Some(Fault::NoAcquire));
}

#[test]
#[should_panic(expected = "Concurrent write accesses")]
fn no_release() {
    check(Some(Fault::NoRelease));
}
