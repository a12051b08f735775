// SPDX-License-Identifier: MIT OR Apache-2.0

//! The caller, whose call is stopped at each instruction in turn, and the disturber, who does something then.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::SeqCst};
use std::{mem, thread};

use crate::marks;

/// Where each thread runs.
pub const CALLER: usize = 0;
pub const TARGET: usize = 1;
pub const DISTURBER: usize = 2;
pub const ELSEWHERE: usize = 3;

/// So many calls have to come to their end before they are stopped for there to be no more instructions: how many a
/// call has differs, by its cache lines and by interrupts.
const BEYOND: u32 = 16;

/// What caller and disturber know of each other. A round is a call.
#[derive(Default)]
pub struct Round {
    /// the caller's
    pub thread: AtomicI32,
    asked_for: AtomicU32,
    begun: AtomicU32,
    returned: AtomicU32,
    over: AtomicU32,
    result: AtomicI32,
    ends: AtomicBool,
}

impl Round {
    /// Whether the call has returned.
    pub fn has_returned(&self) -> bool {
        self.returned.load(SeqCst) == self.asked_for.load(SeqCst)
    }

    fn call_as_asked_for(&self, call: impl Fn() -> i32) {
        // SAFETY: takes nothing.
        self.thread.store(unsafe { libc::gettid() }, SeqCst);
        loop {
            let last = self.over.load(SeqCst);
            wait_until(|| self.asked_for.load(SeqCst) != last || self.ends.load(SeqCst));
            if self.ends.load(SeqCst) {
                return;
            }
            marks::arm();
            self.begun.store(last + 1, SeqCst);
            let result = call();
            self.returned.store(last + 1, SeqCst);
            marks::disarm();
            self.result.store(result, SeqCst);
            self.over.store(last + 1, SeqCst);
        }
    }

    /// Has it called once, and `disturb` done when it stops; returns what that and the call returned.
    fn disturb<S>(&self, disturb: impl FnOnce() -> S) -> (i32, S, bool) {
        let number = self.asked_for.load(SeqCst) + 1;
        self.asked_for.store(number, SeqCst);
        wait_until(|| self.begun.load(SeqCst) == number);
        marks::wait();
        let was_over = self.has_returned();
        let seen = disturb();
        marks::done();
        wait_until(|| self.over.load(SeqCst) == number);
        (self.result.load(SeqCst), seen, was_over)
    }
}

/// One thing to be done while a call stands still.
pub struct Disturbance<P, D, C> {
    /// 1, or more to leave out instructions in between
    pub every: u32,
    /// what is done before each call
    pub prepare: P,
    pub disturb: D,
    /// whether what came of it, of what the call returned and what the disturber saw, is allowed
    pub check: C,
}

/// Has a thread on the caller's CPU make this call again and again, and stops it where it is one instruction further each
/// time. Returns how many instructions that were, or what was not allowed.
///
/// It is allowed on these CPUs, the first of which is the caller's.
pub fn at_each_instruction<S>(
    round: &Round,
    cpus: &[usize],
    call: impl Fn() -> i32 + Send,
    mut this: Disturbance<
        impl FnMut(),
        impl FnMut() -> S,
        impl FnMut(i32, S) -> Result<(), String>,
    >,
) -> Result<u32, String> {
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(0, cpus);
            round.call_as_asked_for(call);
        });
        let _end = OnDrop(|| round.ends.store(true, SeqCst));
        wait_until(|| round.thread.load(SeqCst) != 0);
        let (mut number, mut beyond) = (0, 0);
        while beyond < BEYOND {
            (this.prepare)();
            let (result, seen, was_over) = round.disturb(&mut this.disturb);
            (this.check)(result, seen).map_err(|what| format!("instruction {number}: {what}"))?;
            number += this.every;
            (1..this.every).for_each(|_| marks::skip());
            beyond = if was_over { beyond + 1 } else { 0 };
        }
        Ok(number - beyond * this.every)
    })
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

pub fn wait_until(this: impl Fn() -> bool) {
    while !this() {
        spin_loop();
    }
}

/// Allows a thread (0: this one) on these CPUs alone; it moves to the first.
pub fn stay_on(thread: i32, cpus: &[usize]) {
    for cpus in [&cpus[..1], cpus] {
        // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
        let result = unsafe {
            let mut set: libc::cpu_set_t = mem::zeroed();
            cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
            libc::sched_setaffinity(thread, size_of_val(&set), &set)
        };
        assert_eq!(result, 0);
    }
}
