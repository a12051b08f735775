// SPDX-License-Identifier: MIT OR Apache-2.0

//! A record of 16 bytes and its time, put into a `TraceRing` or elsewhere, by one thread: nanoseconds each, and as a
//! ratio to that of a mutex. Medians of rounds, in which all take turns; nothing is taken out while it is measured.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use cpu_opv::{Backend, LossMode, TraceRing};

const PUSHES: usize = 1000;
const ROUNDS: usize = 2000;
const DATA: [u8; 16] = [7; 16];

struct Rival<'a> {
    name: &'static str,
    push: Box<dyn Fn() + 'a>,
    empty: Box<dyn Fn() + 'a>,
    nanoseconds: Vec<f64>,
}

impl<'a> Rival<'a> {
    fn new(name: &'static str, push: impl Fn() + 'a, empty: impl Fn() + 'a) -> Self {
        Self {
            name,
            // The loop is compiled with what it calls.
            push: Box::new(move || (0..PUSHES).for_each(|_| push())),
            empty: Box::new(empty),
            nanoseconds: Vec::new(),
        }
    }

    fn round(&mut self) {
        let start = Instant::now();
        (self.push)();
        let taken = start.elapsed().as_secs_f64();
        self.nanoseconds.push(taken * 1e9 / PUSHES as f64);
        (self.empty)();
    }

    fn median(&mut self) -> f64 {
        self.nanoseconds.sort_by(f64::total_cmp);
        self.nanoseconds[self.nanoseconds.len() / 2]
    }
}

fn main() {
    const ROOM: usize = 64 << 10;
    let discards = TraceRing::new(ROOM, LossMode::Discard);
    let overwrites = TraceRing::new(ROOM, LossMode::Overwrite);
    let full = TraceRing::new(ROOM, LossMode::Overwrite);
    let queue = Mutex::new(VecDeque::with_capacity(PUSHES));
    let (sender, receiver) = mpsc::channel();
    let record = || (Instant::now(), black_box(DATA));
    let push = |ring: &TraceRing| ring.push(black_box(&DATA)).expect("there is room");
    let mut rivals = [
        Rival::new(
            "Mutex<VecDeque>",
            || queue.lock().unwrap().push_back(record()),
            || queue.lock().unwrap().clear(),
        ),
        Rival::new(
            "mpsc::channel",
            || sender.send(record()).unwrap(),
            || receiver.try_iter().for_each(drop),
        ),
        Rival::new(
            "TraceRing, Discard",
            || push(&discards),
            || discards.drain().for_each(drop),
        ),
        Rival::new(
            "TraceRing, Overwrite, drained",
            || push(&overwrites),
            || overwrites.drain().for_each(drop),
        ),
        Rival::new("TraceRing, Overwrite, full", || push(&full), || ()),
        Rival::new("the time alone", || _ = black_box(Instant::now()), || ()),
    ];
    for _ in 0..ROUNDS {
        rivals.iter_mut().for_each(Rival::round);
    }
    println!("{:?}", Backend::get());
    let unit = rivals[0].median();
    for rival in &mut rivals {
        let median = rival.median();
        println!("{:30} {median:6.1} ns {:5.2}", rival.name, median / unit);
    }
}
