// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many threads that call for one CPU at the same time, with the largest vector that there is.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;

use crate::vector::{Memory, run, the_most};
use crate::{Report, cpus, trace};

/// This CPU is busy, too.
const TARGET: usize = 0;
const CALLS: usize = 3;
const ROUNDS: usize = 3;

pub fn all(report: &mut Report, cpus: usize) {
    for callers in [1, 8, 64] {
        measure(report, callers, cpus - 1);
    }
}

fn measure(report: &mut Report, callers: usize, others: usize) {
    let memory = Memory::new(16);
    // Callers sleep until it is their turn: where many share a CPU, to spin would be all that they do.
    let go = Barrier::new(callers + 1);
    let done = AtomicUsize::new(0);
    let call = || {
        for _ in 0..CALLS {
            assert_eq!(run(&the_most(&memory), TARGET), 0);
        }
    };

    thread::scope(|scope| {
        for caller in 0..callers {
            let (go, done, call) = (&go, &done, &call);
            scope.spawn(move || {
                cpus::stay_on(&[1 + caller % others, TARGET]);
                call();
                for _ in 0..ROUNDS {
                    go.wait();
                    call();
                    done.fetch_add(1, Release);
                }
            });
        }
        cpus::stay_on(&[TARGET]);
        report.row("crowd", &callers.to_string(), callers * CALLS);
        for round in 1..=ROUNDS {
            go.wait();
            trace::begin();
            while done.load(Acquire) < round * callers {
                spin_loop();
            }
            trace::end();
        }
    });
}
