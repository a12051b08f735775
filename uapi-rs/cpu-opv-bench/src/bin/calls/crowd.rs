// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many threads that call for one CPU at the same time, with the largest vector that there is.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;

use crate::vector::{Memory, run, the_most};
use crate::{Report, cpus, trace};

/// This CPU is busy, too.
const TARGET: usize = 0;
const CALLS: usize = 3;
const ROUNDS: usize = 3;

pub fn all(report: &mut Report) {
    for callers in [1, 8, 64] {
        measure(report, callers);
    }
}

fn measure(report: &mut Report, callers: usize) {
    let others = thread::available_parallelism().map_or(1, usize::from) - 1;
    let memory = Memory::new(16);
    let (ready, go, done) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let rest = |count: &AtomicUsize, until| {
        while count.load(Acquire) < until {
            spin_loop();
        }
    };
    let call = || {
        for _ in 0..CALLS {
            assert_eq!(run(&the_most(&memory), TARGET), 0);
        }
    };

    thread::scope(|scope| {
        for caller in 0..callers {
            let (ready, go, done, call) = (&ready, &go, &done, &call);
            scope.spawn(move || {
                cpus::stay_on(&[1 + caller % others, TARGET]);
                call();
                ready.fetch_add(1, Release);
                for round in 1..=ROUNDS {
                    while go.load(Acquire) < round {
                        thread::yield_now();
                    }
                    call();
                    done.fetch_add(1, Release);
                }
            });
        }
        cpus::stay_on(&[TARGET]);
        rest(&ready, callers);
        report.row("crowd", &callers.to_string(), callers * CALLS);
        for round in 1..=ROUNDS {
            trace::begin();
            go.store(round, Release);
            rest(&done, round * callers);
            trace::end();
        }
    });
}
