// SPDX-License-Identifier: MIT OR Apache-2.0

//! What calls cost in a guest of ci/bench: marks them for its plugin, which counts instructions, and prints the
//! kernel's own counts, as rows of tabs between.
//!
//! | | |
//! |---|---|
//! | `row` | number of the row in the trace, where the call works, what it is, calls |
//! | `event` | number of the row, counter, what a number of calls add to it, that number |

mod cases;
mod counters;
mod cpus;
mod crowd;
mod rivals;
mod scale;
mod trace;
mod vector;

use std::{env, thread};

/// How often to call for a row.
#[derive(Clone, Copy)]
pub struct Times {
    /// so that all memory is faulted in
    warm_up: usize,
    /// each counted by itself
    calls: usize,
    /// in which the kernel counts
    events: usize,
}

pub const MANY: Times = Times {
    warm_up: 8,
    calls: 16,
    events: 20,
};
/// For calls that wait for each other.
pub const FEW: Times = Times {
    warm_up: 1,
    calls: 3,
    events: 2,
};

/// What is printed in the end, so that printing is not in what is counted.
#[derive(Default)]
pub struct Report {
    rows: usize,
    lines: Vec<String>,
}

impl Report {
    /// Begins a row of so many calls.
    pub fn row(&mut self, place: &str, name: &str, calls: usize) {
        let number = self.rows;
        self.rows += 1;
        self.lines
            .push(format!("row\t{number}\t{place}\t{name}\t{calls}"));
        trace::row();
    }

    /// Measures `call`, each time after `prepare`, which does not count.
    pub fn measure(&mut self, place: &str, name: &str, prepare: impl Fn(), call: impl Fn()) {
        self.measure_times(MANY, place, name, prepare, call);
    }

    pub fn measure_times(
        &mut self,
        times: Times,
        place: &str,
        name: &str,
        prepare: impl Fn(),
        call: impl Fn(),
    ) {
        let repeat = |times| (0..times).for_each(|_| (prepare(), call()).1);
        let cpu = cpus::here();
        if place == "own" {
            counters::drain();
        }
        repeat(times.warm_up);
        self.row(place, name, times.calls);
        for _ in 0..times.calls {
            prepare();
            trace::begin();
            call();
            trace::end();
        }
        let of_preparing = || (0..times.events).for_each(|_| prepare());
        for (name, count) in counters::count(of_preparing, || repeat(times.events)) {
            if count != 0 {
                let (row, events) = (self.rows - 1, times.events);
                self.lines
                    .push(format!("event\t{row}\t{name}\t{count}\t{events}"));
            }
        }
        assert_eq!(cpus::here(), cpu, "{name} moved");
    }
}

fn main() {
    let mut report = Report::default();
    match env::args().nth(1).as_deref() {
        Some("own") => {
            cpus::stay_on(&[0]);
            cases::all(&mut report, "own", 0);
            cases::alone(&mut report);
            rivals::own(&mut report);
        }
        Some("other") => {
            cpus::stay_on(&[0, 1]);
            cases::all(&mut report, "own", 0);
            for (place, busy) in [("idle", false), ("busy", true)] {
                let mut measure = || {
                    cpus::stay_on(&[0, 1]);
                    cases::all(&mut report, place, 1);
                    rivals::other(&mut report, place, 1);
                };
                if busy {
                    cpus::while_busy(1, measure)
                } else {
                    measure()
                }
            }
        }
        Some("scale") => {
            let cpus = thread::available_parallelism().map_or(1, usize::from);
            scale::all(&mut report, cpus);
            crowd::all(&mut report, cpus);
        }
        _ => panic!("usage: calls own | other | scale"),
    }
    report.lines.iter().for_each(|line| println!("{line}"));
}
