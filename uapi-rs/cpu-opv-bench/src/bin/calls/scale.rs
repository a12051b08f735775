// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several CPUs that call at the same time, each on itself, or all on one.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering::*};
use std::thread;

use crate::vector::{Memory, PAGE, add, run};
use crate::{MANY, Report, cpus, trace};

const CALLS: usize = 16;
/// So that the median has no timer interrupt in it.
const ROUNDS: usize = 5;

pub fn all(report: &mut Report, cpus: usize) {
    for callers in 1..=cpus {
        measure(report, "each on itself", callers, |caller| caller);
        measure(report, "all on one", callers, |_| 0);
    }
}

fn measure(
    report: &mut Report,
    place: &str,
    callers: usize,
    target: impl Fn(usize) -> usize + Sync,
) {
    let memory = Memory::new(callers);
    let (ready, go, done) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let call = |caller: usize, times| {
        let target = target(caller);
        let ops = [add(memory.at(target * PAGE), false)];
        for _ in 0..times {
            assert_eq!(run(&ops, target), 0);
        }
    };
    let rest = |count: &AtomicUsize, until| {
        while count.load(Acquire) < until {
            spin_loop();
        }
    };
    let place_caller = |caller: usize| match target(caller) {
        target if target == caller => cpus::stay_on(&[caller]),
        target => cpus::stay_on(&[caller, target]),
    };

    thread::scope(|scope| {
        for caller in 1..callers {
            let (ready, go, done, call, place_caller) = (&ready, &go, &done, &call, &place_caller);
            scope.spawn(move || {
                place_caller(caller);
                call(caller, MANY.warm_up);
                ready.fetch_add(1, Release);
                for round in 1..=ROUNDS {
                    rest(go, round);
                    call(caller, CALLS);
                    done.fetch_add(1, Release);
                }
            });
        }
        place_caller(0);
        call(0, MANY.warm_up);
        rest(&ready, callers - 1);
        report.row(place, &callers.to_string(), callers * CALLS);
        for round in 1..=ROUNDS {
            trace::begin();
            go.store(round, Release);
            call(0, CALLS);
            rest(&done, round * (callers - 1));
            trace::end();
        }
    });
}
