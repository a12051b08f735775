// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the protocol of `src/waiters.rs`, of which loom tries the interleavings that it tells apart.
//!
//! A producer commits, then looks whether somebody waits; a consumer says that it waits, has a membarrier, looks whether
//! there is something, and else sleeps. If it comes to sleep and the producer has seen nobody, it sleeps for ever.
//!
//! `membarrier(2)` is an interrupt on the producer's CPU, between two of its instructions, with a full barrier there and
//! one here. So there is a mutex that the producer takes between any two steps and the consumer takes once: that
//! orders no more than the kernel does, since either comes first. In between, the producer has no barrier.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test waiters`
#![cfg(loom)]

use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, Release},
};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// What the consumer does before it sleeps.
#[derive(Clone, Copy)]
enum Step {
    /// `awaited = 1`
    Announce,
    Membarrier,
    /// Whether there is anything.
    Look,
}
use Step::*;

/// What the producer does.
#[derive(Clone, Copy)]
enum Produce {
    Commit,
    /// Wakes the consumer, if it says that it waits.
    Notify,
}
use Produce::*;

#[derive(Default)]
struct Ring {
    head: AtomicUsize,
    awaited: AtomicUsize,
    interrupt: Mutex<()>,
}

impl Ring {
    /// Whether it sleeps in the end.
    fn wait(&self, steps: &[Step]) -> bool {
        let mut sleeps = true;
        for step in steps {
            match step {
                Announce => self.awaited.store(1, Relaxed),
                Membarrier => drop(self.interrupt.lock().unwrap()),
                Look => sleeps = self.head.load(Relaxed) == 0,
            }
        }
        sleeps
    }

    /// Whether it has woken it.
    fn produce(&self, steps: [Produce; 2]) -> bool {
        let mut woken = false;
        for step in steps {
            match step {
                Commit => self.head.store(1, Release),
                Notify => woken = self.awaited.load(Relaxed) != 0,
            }
            // Here, or never, is where the interrupt finds it between the two.
            drop(self.interrupt.lock().unwrap());
        }
        woken
    }
}

fn check(consumer: &'static [Step], producer: [Produce; 2]) {
    loom::model(move || {
        let ring = Arc::new(Ring::default());
        let on_cpu = {
            let ring = ring.clone();
            thread::spawn(move || ring.produce(producer))
        };
        let sleeps = ring.wait(consumer);
        let woken = on_cpu.join().unwrap();
        assert!(woken || !sleeps, "it sleeps for ever");
    });
}

macro_rules! protocols {
    ($($(#[$result:meta])? $name:ident: [$($step:ident),*], [$($produce:ident),*];)*) => {$(
        #[test]
        $(#[$result])?
        fn $name() {
            check(&[$($step),*], [$($produce),*]);
        }
    )*};
}

protocols! {
    nobody_sleeps_for_ever: [Announce, Membarrier, Look], [Commit, Notify];

    #[should_panic = "it sleeps for ever"]
    fails_without_the_membarrier: [Announce, Look], [Commit, Notify];

    #[should_panic = "it sleeps for ever"]
    fails_if_it_looks_before: [Look, Announce, Membarrier], [Commit, Notify];

    #[should_panic = "it sleeps for ever"]
    fails_if_the_membarrier_is_first: [Membarrier, Announce, Look], [Commit, Notify];

    #[should_panic = "it sleeps for ever"]
    fails_if_the_producer_looks_before_it_commits: [Announce, Membarrier, Look], [Notify, Commit];
}
