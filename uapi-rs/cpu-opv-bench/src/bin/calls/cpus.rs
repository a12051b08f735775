// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which CPUs threads are allowed on, and keeping one busy.

use std::hint::{black_box, spin_loop};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Moves this thread to the first of `cpus`, and then allows it on all of them.
pub fn stay_on(cpus: &[usize]) {
    allow(&cpus[..1]);
    allow(cpus);
    assert_eq!(here(), cpus[0]);
}

#[inline(always)]
pub fn allow(cpus: &[usize]) {
    // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(*cpu, &mut set);
        }
        libc::sched_setaffinity(0, mem::size_of_val(&set), &set)
    };
    assert_eq!(result, 0);
}

pub fn here() -> usize {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() as usize }
}

/// With a thread of this process that runs on `cpu` meanwhile, and does nothing there.
pub fn while_busy(cpu: usize, work: impl FnOnce()) {
    let (started, done) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(&[cpu]);
            started.store(true, Relaxed);
            while !done.load(Relaxed) {
                work_a_little();
            }
        });
        while !started.load(Relaxed) {
            spin_loop();
        }
        work();
        done.store(true, Relaxed);
    });
}

/// Emulated CPUs take turns, and `spin_loop` gives the turn away, which takes QEMU some time.
fn work_a_little() {
    (0..100).for_each(|i| _ = black_box(i));
    spin_loop();
}
