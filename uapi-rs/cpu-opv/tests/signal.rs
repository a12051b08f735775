// SPDX-License-Identifier: MIT OR Apache-2.0

//! Operations in a signal handler, which interrupts operations on the same structures.

mod common;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, OnceLock};

use common::{HANDLER, Random, allowed, on_all_threads, operations, threads};
use cpu_opv::{
    CopyStack, Counter, CounterSet, Cpu, Memory, Node, PerCpuLock, RawList, Ring, StealStack,
};

struct All {
    counter: Counter,
    set: CounterSet,
    lock: PerCpuLock<usize>,
    list: RawList<usize>,
    stack: StealStack<usize, 64>,
    copies: CopyStack<[usize; 9], 64>,
    ring: Ring<usize, 4, 64>,
    // What has been done, by other means.
    added: AtomicUsize,
    locked: AtomicUsize,
    /// Pushed less popped.
    on_stack: AtomicUsize,
    on_copies: AtomicUsize,
    on_ring: AtomicUsize,
    handled: AtomicUsize,
}

static ALL: LazyLock<All> = LazyLock::new(|| All {
    counter: Counter::new(),
    set: CounterSet::new(2),
    lock: PerCpuLock::new(|_| 0),
    list: RawList::new_in(Memory::private()).unwrap(),
    stack: StealStack::new(),
    copies: CopyStack::new(),
    ring: Ring::new(),
    added: AtomicUsize::new(0),
    locked: AtomicUsize::new(0),
    on_stack: AtomicUsize::new(0),
    on_copies: AtomicUsize::new(0),
    on_ring: AtomicUsize::new(0),
    handled: AtomicUsize::new(0),
});

static CPUS: OnceLock<Vec<Cpu>> = OnceLock::new();

/// As many signals are there to be, at least.
const ENOUGH: usize = 100;

/// Each operation, on this CPU or another.
fn work(n: usize) {
    let all = &*ALL;
    let cpus = CPUS.get().unwrap();
    let remote = n % 50 == 0;
    let cpu = cpus[n / 50 % cpus.len()];

    match remote {
        true => all.counter.add_on(cpu, n as u64).unwrap(),
        false => all.counter.add(n as u64),
    }
    let both = [(0, n as u64), (1, n as u64)];
    match remote {
        true => all.set.add_on(cpu, both).unwrap(),
        false => all.set.add(both),
    }
    all.added.fetch_add(n, Relaxed);

    // A handler may not wait for a lock, but try.
    if let Some(mut sum) = all.lock.try_lock() {
        *sum += n;
        all.locked.fetch_add(n, Relaxed);
    }

    // The nodes were leaked, so that nothing is allocated or freed here.
    let node = match remote {
        true => all.list.pop_on(cpu).unwrap(),
        false => all.list.pop(),
    };
    if let Some(mut node) = node {
        // SAFETY: it was popped, so it is ours; and it was on the list, so it was readable.
        unsafe {
            **node.as_mut() += 1;
            all.list.push(node);
        }
    }

    if n % 2 == 0 {
        if all.stack.push(n).is_ok() {
            all.on_stack.fetch_add(n, Relaxed);
        }
        if all.copies.push([n; 9]).is_ok() {
            all.on_copies.fetch_add(n, Relaxed);
        }
        if all.ring.push(n).is_ok() {
            all.on_ring.fetch_add(n, Relaxed);
        }
    } else {
        if let Some(n) = all.stack.pop() {
            all.on_stack.fetch_sub(n, Relaxed);
        }
        if let Some(copy) = all.copies.pop() {
            assert!(copy.iter().all(|n| *n == copy[0]));
            all.on_copies.fetch_sub(copy[0], Relaxed);
        }
        all.ring.consume_on(cpu, |n| {
            all.on_ring.fetch_sub(n, Relaxed);
        });
    }
}

#[test]
fn handlers_may_do_operations() {
    CPUS.set(allowed()).unwrap();
    const NODES: usize = 20;
    for _ in 0..NODES {
        let node = NonNull::from(Box::leak(Box::new(Node::new(0))));
        // SAFETY: it was a box and stays for ever.
        unsafe { ALL.list.push(node) };
    }
    let handler = || work(ALL.handled.fetch_add(1, Relaxed));
    HANDLER.set(handler).unwrap();
    on_all_threads("signal", |index| {
        let mut random = Random::new(index);
        let mut left = operations() / threads();
        while left > 0 || ALL.handled.load(Relaxed) < ENOUGH {
            work(random.below(10_000));
            left = left.saturating_sub(1);
        }
    });

    let all = &*ALL;
    println!("{} signals", all.handled.load(Relaxed));
    assert_eq!(all.counter.sum(), all.added.load(Relaxed) as u64);
    assert_eq!(all.set.snapshot(), [all.counter.sum(); 2]);
    let [mut locked, mut nodes, mut stack, mut copies, mut ring] = [0; 5];
    for cpu in CPUS.get().unwrap().iter().copied() {
        locked += *all.lock.lock_on(cpu).unwrap();
        while let Some(node) = all.list.pop_on(cpu).unwrap() {
            // SAFETY: it was a box.
            drop(unsafe { Box::from_raw(node.as_ptr()) });
            nodes += 1;
        }
        stack += std::iter::from_fn(|| all.stack.pop_on(cpu).unwrap()).sum::<usize>();
        copies += std::iter::from_fn(|| all.copies.pop_on(cpu).unwrap())
            .map(|copy| copy[0])
            .sum::<usize>();
        all.ring.consume_on(cpu, |n| ring += n);
    }
    assert_eq!(locked, all.locked.load(Relaxed));
    assert_eq!(nodes, NODES);
    assert_eq!(stack, all.on_stack.load(Relaxed));
    assert_eq!(copies, all.on_copies.load(Relaxed));
    assert_eq!(ring, all.on_ring.load(Relaxed));
}
