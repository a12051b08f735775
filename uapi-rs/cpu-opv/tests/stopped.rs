// SPDX-License-Identifier: MIT OR Apache-2.0

//! A model of the protocol of `src/stopped.rs`, of which loom tries the interleavings that it tells apart: of the
//! accesses to an atomic it remembers the last one. `tests/model/word.rs` has the way around that.
//!
//! One thread, on some other CPU, stops the sequences of a CPU, adds to its word by plain code, and lets them go
//! on; twice. Another thread, on that CPU, adds to the word by sequences. In the end all must have been added.
//! Each test is a list of steps: that of `src/stopped.rs`, and those with a step missing or in another place, which
//! must fail, or else the model would show nothing.
//!
//! # What is modelled, and as what
//!
//! | | |
//! |---|---|
//! | restartable sequence | starts; checks the flag; loads the word; commits, in one step, unless aborted since it started |
//! | `membarrier(2)` | a full barrier on that CPU and on this one, and the abort of the sequence in progress there |
//! | preemption, migration, signals | nothing: they abort sequences too, and one that is aborted changes nothing |
//! | loads of a sequence | `Relaxed`: loom has them find any value that is not yet known to be overwritten, as if executed early; `Acquire` for x86_64, which keeps loads in order |
//! | the lock | nothing: there is one that stops. That a lock excludes is not in question |
//!
//! The barrier and the abort are a mutex, under which a sequence starts and commits, and membarrier counts.
//! That orders no more than the kernel does: only one thread has steps on that CPU, and a membarrier and such a step
//! are ordered by the interrupt, whichever comes first. What loom does not have are loads of what is stored later;
//! there is no place for one, as each store here depends on the loads before it.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test stopped`
#![cfg(loom)]

use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{self, Acquire, Relaxed, Release},
};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// What the thread that stops the sequences does.
#[derive(Clone, Copy)]
enum Step {
    /// `stopped = 1`
    Set,
    Membarrier,
    /// Loads the word.
    Load,
    /// Stores the sum to it.
    Store,
    /// `stopped = 0`
    Clear,
}
use Step::*;

#[derive(Default)]
struct Cpu {
    stopped: AtomicUsize,
    word: AtomicUsize,
    /// How often a sequence in progress was to be aborted.
    aborts: Mutex<usize>,
}

/// How often each thread adds, and what: so that the sum tells what was lost.
const TIMES: usize = 2;
const BY_PLAIN_CODE: usize = 10;
const BY_SEQUENCE: usize = 1;

impl Cpu {
    fn change(&self, steps: &[Step]) {
        for _ in 0..TIMES {
            let mut found = None;
            for step in steps {
                match step {
                    Set => self.stopped.store(1, Relaxed),
                    Membarrier => *self.aborts.lock().unwrap() += 1,
                    Load => found = Some(self.word.load(Relaxed)),
                    Store => self.word.store(found.unwrap() + BY_PLAIN_CODE, Relaxed),
                    Clear => self.stopped.store(0, Release),
                }
            }
        }
    }

    /// A sequence; whether it has committed.
    fn sequence(&self, loads: Ordering) -> bool {
        let start = *self.aborts.lock().unwrap();
        if self.stopped.load(loads) != 0 {
            return false;
        }
        let sum = self.word.load(loads) + BY_SEQUENCE;
        let aborts = self.aborts.lock().unwrap();
        let in_progress = *aborts == start;
        if in_progress {
            self.word.store(sum, Relaxed);
        }
        in_progress
    }
}

fn check(steps: &'static [Step], loads: Ordering) {
    loom::model(move || {
        let cpu = Arc::new(Cpu::default());
        let on_cpu = {
            let cpu = cpu.clone();
            thread::spawn(move || (0..TIMES).filter(|_| cpu.sequence(loads)).count())
        };
        cpu.change(steps);
        let committed = on_cpu.join().unwrap();
        let sum = TIMES * BY_PLAIN_CODE + committed * BY_SEQUENCE;
        assert_eq!(cpu.word.load(Relaxed), sum, "an addition is lost");
    });
}

macro_rules! protocols {
    ($($(#[$result:meta])? $name:ident: $loads:ident, $($step:ident),*;)*) => {$(
        #[test]
        $(#[$result])?
        fn $name() {
            check(&[$($step),*], $loads);
        }
    )*};
}

protocols! {
    holds: Relaxed, Set, Membarrier, Load, Store, Membarrier, Clear;
    holds_on_x86_64: Acquire, Set, Membarrier, Load, Store, Clear;

    #[should_panic = "an addition is lost"]
    fails_without_the_first_membarrier: Relaxed, Set, Load, Store, Membarrier, Clear;

    #[should_panic = "an addition is lost"]
    fails_without_the_first_membarrier_on_x86_64: Acquire, Set, Load, Store, Clear;

    #[should_panic = "an addition is lost"]
    fails_if_the_flag_is_set_after_it: Relaxed, Membarrier, Set, Load, Store, Membarrier, Clear;

    #[should_panic = "an addition is lost"]
    fails_without_the_second_membarrier: Relaxed, Set, Membarrier, Load, Store, Clear;

    #[should_panic = "an addition is lost"]
    fails_if_the_flag_is_cleared_early: Relaxed, Set, Membarrier, Load, Clear, Store, Membarrier;

    #[should_panic = "an addition is lost"]
    fails_if_the_flag_is_cleared_early_on_x86_64: Acquire, Set, Membarrier, Load, Clear, Store;
}
