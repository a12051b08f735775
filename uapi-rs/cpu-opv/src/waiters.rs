// SPDX-License-Identifier: MIT OR Apache-2.0

//! To wait until some CPU has enough for a consumer, at the expense of who waits.
//!
//! ```text
//! producer, on any CPU                 who waits
//! --------------------                 ---------
//! P1: commit                           W1: awaited = how much
//! P2: if awaited <= what there is:     W2: membarrier
//!         awaited = 0; wake            W3: unless there is enough: sleep while awaited is what it was
//! ```
//!
//! Either P2 sees W1, or W3 sees P1: wherever a producer is when W2 interrupts its CPU, it is before P2 or after P1. The
//! producer needs no barrier for that, as the compiler keeps P1 and P2 in order. Where there is no such membarrier, both
//! have a full barrier. `tests/waiters.rs` has a model.
//!
//! Several may wait. If one has come as far as W3 and P2 then wakes it, `awaited` is 0, and it does not sleep; unless
//! another one is at W1 meanwhile, for as much. That one finds enough at W3, then, and wakes the first itself.

use core::ffi::c_int;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::sys;

// From <linux/membarrier.h>.
const PRIVATE_EXPEDITED: c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

/// How long to sleep at a time if membarrier has come to fail, as in a sandbox, so that a wake-up may be lost.
const NAP: Duration = Duration::from_millis(1);

pub(crate) struct Waiters {
    /// The least that somebody waits for; 0 if nobody does. A futex.
    awaited: AtomicU32,
    /// Whether producers need a barrier.
    fences: bool,
}

impl Waiters {
    pub(crate) fn new() -> Self {
        // Producers by atomic instructions can afford it. And to a model checker, only this is a barrier.
        let fences = Backend::get() == Backend::Lock
            || sys::membarrier(REGISTER_PRIVATE_EXPEDITED, 0, 0).is_err();
        Self {
            awaited: AtomicU32::new(0),
            fences,
        }
    }

    /// To be called with how much there is, after the commit.
    #[inline(always)]
    pub(crate) fn notify(&self, amount: usize) {
        if self.fences {
            fence(SeqCst);
        }
        let awaited = self.awaited.load(Relaxed);
        if awaited != 0 && awaited as usize <= amount {
            self.wake();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake(&self) {
        // Those that wait for more look, and wait again.
        if self.awaited.swap(0, Relaxed) != 0 {
            sys::futex_wake(&self.awaited, u32::MAX >> 1);
        }
    }

    /// Waits until `is_enough`, which becomes so by a [`notify`](Self::notify) with `amount`; whether it was in time.
    pub(crate) fn wait(
        &self,
        amount: u32,
        timeout: Option<Duration>,
        is_enough: impl Fn() -> bool,
    ) -> bool {
        // One that is beyond the end of time is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            if is_enough() {
                return true;
            }
            let awaited = self.announce(amount);
            let reliable = self.barrier();
            if is_enough() {
                // Of those that were woken, one may be about to sleep still, and take this for what it has seen.
                self.wake();
                return true;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return false;
            }
            let nap = (!reliable).then_some(NAP);
            sys::futex_wait(&self.awaited, awaited, left.into_iter().chain(nap).min());
        }
    }

    /// Makes what is awaited no more than `amount`; returns what it is.
    fn announce(&self, amount: u32) -> u32 {
        let least = |found| match found {
            0 => Some(amount),
            _ => (amount < found).then_some(amount),
        };
        match self.awaited.fetch_update(Relaxed, Relaxed, least) {
            Ok(_) => amount,
            Err(found) => found,
        }
    }

    /// False if it failed.
    fn barrier(&self) -> bool {
        fence(SeqCst);
        self.fences || sys::membarrier(PRIVATE_EXPEDITED, 0, 0).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::cell::Cell;

    use super::*;

    /// Another one begins to wait when this one was woken and has not come to sleep, for as much.
    #[test]
    fn who_is_about_to_sleep_is_woken_if_another_one_waits() {
        let waiters = Waiters::new();
        let (first, second) = (Cell::new(0), Cell::new(0));
        let nth = |calls: &Cell<u32>| calls.replace(calls.get() + 1);
        let start = Instant::now();
        let is_enough = waiters.wait(1, Some(Duration::from_secs(5)), || {
            // The second look is the last one before it sleeps; then there is enough, and who waits is woken.
            if nth(&first) == 1 {
                let is_enough = waiters.wait(1, None, || {
                    let looks = nth(&second);
                    if looks == 0 {
                        waiters.notify(1);
                    }
                    looks != 0
                });
                assert!(is_enough);
            }
            first.get() > 2
        });
        assert!(is_enough);
        assert!(start.elapsed() < Duration::from_secs(4), "nobody woke it");
    }
}
