// SPDX-License-Identifier: MIT OR Apache-2.0

//! The restartable sequences of the crate, with all that is around them in an operation: what gets in between at each
//! instruction.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};
use std::{ptr, thread};

use cpu_opv::{Cpu, vector::Vector};

use crate::helper::Helper;
use crate::marks;
use crate::round::{
    CALLER, Disturbance, ELSEWHERE, Round, at_each_instruction, stay_on, wait_until,
};
use crate::subjects::{Subject, all};

/// What the signal handler disturbs.
static DISTURBED: AtomicPtr<Box<dyn Subject>> = AtomicPtr::new(ptr::null_mut());
static SENT: AtomicU32 = AtomicU32::new(0);
static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_signal(_: i32) {
    // SAFETY: it is null, or what `with_handler` has borrowed until nobody is sent signals any more.
    if let Some(subject) = unsafe { DISTURBED.load(SeqCst).as_ref() } {
        subject.disturb(None);
    }
    HANDLED.fetch_add(1, SeqCst);
}

/// With a handler for SIGUSR1 that disturbs `subject`.
fn with_handler<R>(subject: &Box<dyn Subject>, work: impl FnOnce() -> R) -> R {
    DISTURBED.store(ptr::from_ref(subject).cast_mut(), SeqCst);
    // SAFETY: the handler does what the crate allows handlers to do.
    unsafe { libc::signal(libc::SIGUSR1, on_signal as *const () as usize) };
    let result = work();
    DISTURBED.store(ptr::null_mut(), SeqCst);
    result
}

fn at_each(subject: &dyn Subject, mut disturb: impl FnMut(&Round)) -> Result<u32, String> {
    marks::case();
    marks::user();
    let round = Round::default();
    let this = Disturbance {
        every: 1,
        prepare: || {
            subject.prepare();
            stay_on(thread_of(&round), &[CALLER]);
        },
        disturb: || disturb(&round),
        check: |result, ()| {
            // It may be only now, as the caller waits for the next round.
            wait_until(|| HANDLED.load(SeqCst) == SENT.load(SeqCst));
            subject.check(result)
        },
    };
    at_each_instruction(&round, &[CALLER], || subject.call(), this)
}

fn thread_of(round: &Round) -> i32 {
    round.thread.load(SeqCst)
}

fn send_signal(round: &Round) {
    SENT.fetch_add(1, SeqCst);
    // SAFETY: takes no addresses.
    unsafe {
        libc::syscall(
            libc::SYS_tgkill,
            libc::getpid(),
            thread_of(round),
            libc::SIGUSR1,
        )
    };
}

/// By a thread that is preferred there.
fn preempt(subject: &dyn Subject) -> Result<u32, String> {
    thread::scope(|scope| {
        let helper = Helper::new(scope, CALLER);
        at_each(subject, |_| helper.run(|| subject.disturb(None)))
    })
}

/// Tells `report` what came of each.
pub fn run_all(mut report: impl FnMut(&str, Result<u32, String>)) {
    let caller = Cpu::new(CALLER).expect("there is a CPU 0");
    for (name, subject) in all() {
        let mut tell = |what: &str, outcome| report(&format!("{name}, {what}"), outcome);

        tell(
            "remote operation",
            at_each(&*subject, |_| subject.disturb(Some(caller))),
        );
        tell(
            "empty vector",
            at_each(&*subject, |_| _ = Vector::new().run(caller)),
        );
        tell(
            "migration",
            at_each(&*subject, |round| stay_on(thread_of(round), &[ELSEWHERE])),
        );
        tell(
            "signal",
            with_handler(&subject, || at_each(&*subject, send_signal)),
        );
        tell("preemption", preempt(&*subject));
    }
}
