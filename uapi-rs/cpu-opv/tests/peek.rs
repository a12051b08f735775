// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of [`cpu_opv::StealStack::peek_on`], of which loom tries the interleavings that it tells apart.
//!
//! One thread, on the stack's CPU, pushes, pops and pushes again; of the sequences that would push, some are aborted
//! before they commit. Another thread, anywhere, peeks and reads what the value points to. That is what has to be
//! written by then, whichever of the values it is: loom reports a read that is not ordered after its write.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test peek`
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{self, Acquire, Relaxed, Release},
};
use loom::thread;

/// A stack with room for one, and what its values, which are indices, point to.
struct Stack {
    len: AtomicUsize,
    item: AtomicUsize,
    objects: [UnsafeCell<usize>; 3],
}

impl Stack {
    /// `compare_store2`: stores the item with this ordering, then commits, or is aborted before.
    fn push(&self, object: usize, item: Ordering, commits: bool) {
        // SAFETY: nobody knows of this object yet; loom checks it.
        self.objects[object].with_mut(|object| unsafe { *object = 1 });
        self.item.store(object, item);
        if commits {
            self.len.store(1, Release);
        }
    }

    fn pop(&self) {
        self.len.store(0, Relaxed);
    }

    /// As the crate does it, but for the loop.
    fn peek(&self) -> Option<usize> {
        let before = self.len.load(Acquire);
        before.checked_sub(1)?;
        let object = self.item.load(Acquire);
        (self.len.load(Relaxed) == before).then_some(object)
    }
}

fn check(item: Ordering, second_commits: bool) {
    loom::model(move || {
        let stack = Arc::new(Stack {
            len: AtomicUsize::new(0),
            item: AtomicUsize::new(0),
            objects: std::array::from_fn(|_| UnsafeCell::new(0)),
        });
        let producer = {
            let stack = stack.clone();
            thread::spawn(move || {
                stack.push(0, item, true);
                stack.pop();
                stack.push(1, item, second_commits);
                if !second_commits {
                    stack.push(2, item, true);
                }
            })
        };
        if let Some(object) = stack.peek() {
            // SAFETY: it was pushed; loom checks it.
            let found = stack.objects[object].with(|object| unsafe { *object });
            assert_eq!(found, 1);
        }
        producer.join().unwrap();
    });
}

#[test]
fn what_is_peeked_at_is_complete() {
    check(Release, true);
}

#[test]
fn so_is_what_an_aborted_push_left() {
    check(Release, false);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_if_the_item_is_stored_relaxed() {
    check(Relaxed, true);
}

#[test]
#[should_panic = "Causality violation"]
fn fails_if_an_aborted_push_stores_it_relaxed() {
    check(Relaxed, false);
}
