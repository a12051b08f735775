// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads on the CPU that a call is for.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::marks;
use crate::round::{stay_on, wait_until};

/// Does work on a CPU, where it is preferred to all other threads. Sleeps until there is any.
pub struct Helper<'a, T> {
    work: Sender<Box<dyn FnOnce() -> T + Send + 'a>>,
    results: Receiver<T>,
}

impl<'a, T: Send + 'a> Helper<'a, T> {
    pub fn new<'scope>(scope: &'scope thread::Scope<'scope, 'a>, cpu: usize) -> Self
    where
        'a: 'scope,
    {
        let (work, to_do) = channel::<Box<dyn FnOnce() -> T + Send + 'a>>();
        let (done, results) = channel();
        scope.spawn(move || {
            stay_on(0, &[cpu]);
            let priority = libc::sched_param { sched_priority: 1 };
            // SAFETY: the parameters are there.
            let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &priority) };
            assert_eq!(result, 0);
            to_do.iter().for_each(|work| _ = done.send(work()));
        });
        Self { work, results }
    }

    /// Has it do this, and waits for the result.
    pub fn run(&self, work: impl FnOnce() -> T + Send + 'a) -> T {
        self.work.send(Box::new(work)).expect("the helper lives");
        self.results.recv().expect("the helper lives")
    }
}

/// With a thread of this process that runs on `cpu` meanwhile, and does nothing there.
pub fn while_busy<R>(cpu: usize, work: impl FnOnce() -> R) -> R {
    let (begun, ends) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(0, &[cpu]);
            marks::target();
            begun.store(true, SeqCst);
            wait_until(|| ends.load(SeqCst));
        });
        wait_until(|| begun.load(SeqCst));
        let result = work();
        ends.store(true, SeqCst);
        marks::no_target();
        result
    })
}
