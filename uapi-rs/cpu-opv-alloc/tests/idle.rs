// SPDX-License-Identifier: MIT OR Apache-2.0

//! What CPUs hold that nobody uses any more: others give it back, by themselves or when asked.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use common::{Accounts, allowed, caches, is_done_though_cancelled, stay_on};
use cpu_opv::Cpu;
use cpu_opv_alloc::CpuOpvAlloc;

type Alloc = CpuOpvAlloc<&'static Accounts>;

/// With a backing allocator of its own.
fn allocator() -> (&'static Alloc, &'static Accounts) {
    let accounts: &Accounts = Box::leak(Box::new(Accounts::new()));
    (
        Box::leak(Box::new(CpuOpvAlloc::with_backing(accounts))),
        accounts,
    )
}

const SIZE: usize = 1024;

/// Has so many blocks at once, and frees them.
fn churn(alloc: &Alloc, count: usize) {
    let layout = Layout::from_size_align(SIZE, 8).unwrap();
    // SAFETY: the layout is not of size 0, and each block is freed once.
    unsafe {
        let blocks: Vec<_> = (0..count).map(|_| alloc.alloc(layout)).collect();
        blocks
            .into_iter()
            .for_each(|block| alloc.dealloc(block, layout));
    }
}

/// Leaves blocks in the cache of a CPU, by a thread that is gone.
fn leave_on(cpu: Cpu, alloc: &'static Alloc) {
    let leave = move || {
        stay_on(&[cpu]);
        churn(alloc, 10);
    };
    thread::spawn(leave).join().unwrap();
    assert!(alloc.cached_on(cpu) > 0);
    assert!(alloc.cached_on(cpu) <= 10 * SIZE);
}

/// Whether it comes to be, while some thread goes on doing `meanwhile`.
fn comes_to_be(is_so: impl Fn() -> bool, meanwhile: impl Fn()) -> bool {
    let start = Instant::now();
    while !is_so() && start.elapsed() < Duration::from_secs(20) {
        meanwhile();
        thread::sleep(Duration::from_millis(1));
    }
    is_so()
}

/// Two CPUs that this thread is allowed on, unless there are no caches.
fn two_cpus() -> Option<[Cpu; 2]> {
    match allowed()[..] {
        [one, other, ..] if caches() => Some([one, other]),
        _ => {
            eprintln!("skipped: no caches, or one CPU");
            None
        }
    }
}

#[test]
fn others_give_back_what_an_idle_cpu_holds() {
    let Some([busy, idle]) = two_cpus() else {
        return;
    };
    let (alloc, _) = allocator();
    leave_on(idle, alloc);
    let given_back = comes_to_be(
        || alloc.cached_on(idle) == 0,
        || {
            // It has to be allowed there, but is not to go there.
            stay_on(&[busy]);
            stay_on(&[busy, idle]);
            // So many that they go through the depot.
            churn(alloc, 200);
            stay_on(&[busy]);
        },
    );
    assert!(given_back);
    assert!(alloc.cached_on(busy) > 0, "that one is not idle");
}

#[test]
fn a_cancelled_thread_goes_on_when_it_looks_at_an_idle_cpu() {
    let Some([busy, idle]) = two_cpus() else {
        return;
    };
    let (alloc, _) = allocator();
    leave_on(idle, alloc);
    let is_done = is_done_though_cancelled(&|| {
        // Forbidden the idle CPU: so that a fallback asks whether that is offline.
        stay_on(&[busy]);
        let start = Instant::now();
        // Two rounds, and more.
        while start.elapsed() < Duration::from_secs(3) {
            churn(alloc, 200);
            thread::yield_now();
        }
    });
    assert!(is_done);
}

#[test]
fn trim_gives_back_what_was_not_used_since_the_last_time() {
    let Some([one, other]) = two_cpus() else {
        return;
    };
    let (alloc, accounts) = allocator();
    let on = |cpu| stay_on(&[cpu]);
    let trim = || {
        stay_on(&[one, other]);
        alloc.trim()
    };
    leave_on(other, alloc);
    assert_eq!(trim(), 0, "it was used before this");
    on(one);
    churn(alloc, 7);
    let held = alloc.cached_on(other);
    assert_eq!(trim(), held, "one was used, the other not");
    assert_eq!(alloc.cached_on(other), 0);
    assert!(alloc.cached_on(one) > 0);
    assert!(trim() > 0);
    assert_eq!(alloc.cached(), 0);
    assert_eq!(accounts.out(), 0);
}

#[test]
fn trim_empties_the_depots_too() {
    if !caches() {
        return;
    }
    let (alloc, accounts) = allocator();
    churn(alloc, 600);
    let on_cpus = || Cpu::all().map(|cpu| alloc.cached_on(cpu)).sum();
    assert!(alloc.cached() > on_cpus(), "the depot has some");
    for _ in 0..20 {
        alloc.trim();
    }
    assert_eq!(accounts.out(), 0);
}

#[test]
fn a_cpu_that_one_is_not_allowed_on_is_left_alone() {
    let Some([one, other]) = two_cpus() else {
        return;
    };
    let (alloc, accounts) = allocator();
    leave_on(other, alloc);
    let held = alloc.cached_on(other);
    stay_on(&[one]);
    assert_eq!(alloc.drain(), 0);
    assert_eq!(alloc.cached_on(other), held);
    stay_on(&[one, other]);
    assert_eq!(alloc.drain(), held);
    assert_eq!(accounts.out(), 0);
}

#[test]
#[ignore = "takes a CPU offline"]
fn what_an_offline_cpu_holds_is_given_back() {
    let Some([one, other]) = two_cpus() else {
        return;
    };
    let (alloc, _) = allocator();
    leave_on(other, alloc);
    let switch = |on: &str| fs::write(format!("/sys/devices/system/cpu/cpu{other}/online"), on);
    if let Err(error) = switch("0") {
        return eprintln!("skipped: CPU {other} cannot be taken offline: {error}");
    }
    // No permission is needed for that.
    stay_on(&[one]);
    let given_back = comes_to_be(|| alloc.cached_on(other) == 0, || churn(alloc, 200));
    switch("1").unwrap();
    assert!(given_back);
}
