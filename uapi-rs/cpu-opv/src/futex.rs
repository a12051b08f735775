// SPDX-License-Identifier: MIT OR Apache-2.0

//! A lock in one word, which is 0 at rest, for memory that begins as zeroes.
//!
//! Unlike `std::sync::Mutex` it promises to be async-signal-safe.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::generation;
use crate::sys;

// What it holds: this, or twice the generation of who holds it, and 1 more if somebody may sleep until it is free.
const FREE: u32 = 0;
const AWAITED: u32 = 1;

/// How often to look before going to sleep. The lock is held for an operation of some instructions
/// and two interrupts to another CPU.
const SPINS: u32 = 100;

#[repr(transparent)]
pub(crate) struct FutexLock(AtomicU32);

impl FutexLock {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    pub(crate) fn lock(&self) {
        let mine = mine();
        for _ in 0..SPINS {
            let found = self.0.load(Relaxed);
            if !is_held(found)
                && self
                    .0
                    .compare_exchange_weak(found, mine, Acquire, Relaxed)
                    .is_ok()
            {
                return;
            }
            core::hint::spin_loop();
        }
        while is_held(self.0.swap(mine | AWAITED, Acquire)) {
            sys::futex_wait(&self.0, mine | AWAITED, None);
        }
    }

    /// Whether a thread holds it that is not there, in a child of fork(2).
    pub(crate) fn is_orphaned(&self) -> bool {
        is_orphan(self.0.load(Relaxed))
    }

    /// Takes it if it is orphaned. Does not wait.
    pub(crate) fn inherit(&self) -> bool {
        let found = self.0.load(Relaxed);
        is_orphan(found)
            && self
                .0
                .compare_exchange(found, mine(), Acquire, Relaxed)
                .is_ok()
    }

    pub(crate) fn unlock(&self) {
        if self.0.swap(FREE, Release) & AWAITED != 0 {
            sys::futex_wake(&self.0, 1);
        }
    }
}

fn mine() -> u32 {
    generation::current() << 1
}

/// In a child of fork(2) its parent's threads hold nothing. Nor had they anything half done: what is changed under this
/// lock is committed by one store.
fn is_held(found: u32) -> bool {
    found | AWAITED == mine() | AWAITED
}

fn is_orphan(found: u32) -> bool {
    found != FREE && !is_held(found)
}
