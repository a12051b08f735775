// SPDX-License-Identifier: MIT OR Apache-2.0

//! What one would do otherwise.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use std::{ptr, thread};

use crate::vector::{Memory, PAGE};
use crate::{FEW, Report, cpus};

pub fn own(report: &mut Report) {
    // SAFETY: takes nothing.
    report.measure(
        "own",
        "getppid(), for scale",
        || (),
        || unsafe {
            libc::syscall(libc::SYS_getppid);
        },
    );

    let memory = Memory::new(4);
    // SAFETY: takes nothing.
    let process = unsafe { libc::getpid() };
    let range = |offset| libc::iovec {
        iov_base: memory.at(offset).cast(),
        iov_len: PAGE,
    };
    let (dst, src) = (range(100), range(2 * PAGE + 200));
    report.measure(
        "own",
        "process_vm_writev() of 4096 bytes, both crossing a page",
        || (),
        || {
            // SAFETY: nobody has a reference to what is written.
            let written = unsafe { libc::process_vm_writev(process, &src, 1, &dst, 1, 0) };
            assert_eq!(written, PAGE as isize);
        },
    );
}

pub fn other(report: &mut Report, place: &str, cpu: usize) {
    register();
    report.measure(
        place,
        "membarrier(PRIVATE_EXPEDITED_RSEQ) to that CPU",
        || (),
        || interrupt(cpu),
    );

    let counter = AtomicU64::new(0);
    report.measure_times(
        FEW,
        place,
        "sched_setaffinity(), add there, and back",
        || (),
        || {
            cpus::allow(&[cpu]);
            black_box(&counter).store(counter.load(Relaxed) + 1, Relaxed);
            cpus::allow(&[0]);
        },
    );
    hand_over(report, place, cpu);
}

/// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ`
fn register() {
    // SAFETY: has no effect on memory.
    assert_eq!(
        unsafe { libc::syscall(libc::SYS_membarrier, 1 << 8, 0, 0) },
        0
    );
}

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ`, with `MEMBARRIER_CMD_FLAG_CPU`
#[inline(always)]
fn interrupt(cpu: usize) {
    // SAFETY: has no effect on memory.
    assert_eq!(
        unsafe { libc::syscall(libc::SYS_membarrier, 1 << 7, 1, cpu) },
        0
    );
}

const NONE: u32 = 0;
const ASKED: u32 = 1;
const STOP: u32 = 2;

/// A thread that sits on that CPU and does what it is asked for.
fn hand_over(report: &mut Report, place: &str, cpu: usize) {
    let (request, counter) = (AtomicU32::new(NONE), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            cpus::stay_on(&[cpu]);
            loop {
                wait(&request, NONE);
                match request.load(Acquire) {
                    ASKED => counter.store(counter.load(Relaxed) + 1, Relaxed),
                    STOP => return,
                    _ => continue,
                }
                request.store(NONE, Release);
                wake(&request);
            }
        });
        report.measure_times(
            FEW,
            place,
            "hand-over to a thread on that CPU, by futexes",
            || (),
            || {
                request.store(ASKED, Release);
                wake(&request);
                while request.load(Acquire) == ASKED {
                    wait(&request, ASKED);
                }
            },
        );
        request.store(STOP, Release);
        wake(&request);
    });
}

#[inline(always)]
fn wait(word: &AtomicU32, value: u32) {
    let timeout: *const libc::timespec = ptr::null();
    // SAFETY: the word lives as long as the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            timeout,
        )
    };
}

#[inline(always)]
fn wake(word: &AtomicU32) {
    // SAFETY: the word lives as long as the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}
