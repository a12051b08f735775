// SPDX-License-Identifier: MIT OR Apache-2.0

//! Structures in memory that two processes share: each item is there, once.

mod common;

use std::fs::File;
use std::os::fd::{AsFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Random, allowed, operations, threads};
use cpu_opv::{
    Backend, CopyStack, Cpu, Error, Memory, Node, PerCpu, PerCpuLock, RawList, Ring, Stack,
    StealStack, Word, slow_path_calls,
};

fn memfd() -> File {
    // SAFETY: a new file descriptor, which nobody else owns.
    unsafe { File::from_raw_fd(libc::memfd_create(c"cpu-opv".as_ptr(), 0)) }
}

#[test]
#[ignore = "needs cpu_opv(2)"]
fn another_structure_is_refused() {
    let file = memfd();
    // SAFETY: nobody else has it.
    let memory = || unsafe { Memory::file(file.as_fd()) };
    let stack = Stack::<usize, 8>::new_in(memory()).unwrap();
    let cpu = allowed()[0];
    stack.push_on(cpu, 1).unwrap();

    // Mapped a second time.
    let same = Stack::<usize, 8>::new_in(memory()).unwrap();
    assert_eq!(same.pop_on(cpu), Ok(Some(1)));
    let longer = Stack::<usize, 800>::new_in(memory());
    assert_eq!(longer.err(), Some(Error::Layout));
    assert_eq!(PerCpu::<Word>::new_in(memory()).err(), Some(Error::Layout));

    // One that takes as much for each CPU.
    let file = memfd();
    // SAFETY: nobody else has it.
    let memory = || unsafe { Memory::file(file.as_fd()) };
    let _words = PerCpu::<Word>::new_in(memory()).unwrap();
    let list = RawList::<usize>::new_in(memory());
    assert_eq!(list.err(), Some(Error::Layout));
    let _same = PerCpu::<Word>::new_in(memory()).unwrap();
}

struct Shared {
    counter: PerCpu<Word>,
    lock: PerCpuLock<[usize; 2]>,
    stack: Stack<usize, 64>,
    steal: StealStack<usize, 64>,
    copies: CopyStack<[usize; 10], 64>,
    ring: Ring<usize, 4, 16>,
    /// Its nodes are in memory that both processes have at the same addresses.
    list: RawList<usize>,
}

const NODES: usize = 20;

/// What was put in, less what was taken out: of the stack, of that to steal from, of the copies, of the ring; then
/// what was counted, how often the lock was held, and how often a node was. The sums of both processes.
type Sums = [AtomicUsize; 7];

fn work(shared: &Shared, sums: &Sums, index: usize) {
    let cpus = allowed();
    let mut random = Random::new(index);
    let put = |sum: usize, n| sums[sum].fetch_add(n, Relaxed);
    let take = |sum: usize, n| sums[sum].fetch_sub(n, Relaxed);
    for n in 0..operations() / threads() / 2 {
        let cpu = cpus[random.below(cpus.len())];
        let remote = random.below(50) == 0;

        match remote {
            true => shared.counter.add_on(cpu, |word| word, n).unwrap(),
            false => shared.counter.add(|word| word, n),
        }
        put(4, n);

        if let Some(mut both) = shared.lock.try_lock() {
            assert_eq!(both[0], both[1]);
            both[0] += 1;
            both[1] += 1;
            put(5, 1);
        }

        let node = match remote {
            true => shared.list.pop_on(cpu).unwrap(),
            false => shared.list.pop(),
        };
        if let Some(mut node) = node {
            // SAFETY: it is ours until it is pushed, and all nodes are mapped by both processes.
            unsafe {
                **node.as_mut() += 1;
                shared.list.push(node);
            }
            put(6, 1);
        }

        if random.below(2) == 0 {
            if shared.stack.push(n).is_ok() {
                put(0, n);
            }
            if shared.steal.push(n).is_ok() {
                put(1, n);
            }
            if shared.copies.push([n; 10]).is_ok() {
                put(2, n);
            }
            if shared.ring.push(n).is_ok() {
                put(3, n);
            }
        } else {
            let popped = match remote {
                true => shared.stack.pop_on(cpu).unwrap(),
                false => shared.stack.pop(),
            };
            popped.map(|n| take(0, n));
            let stolen = match remote {
                true => shared.steal.steal(),
                false => shared.steal.pop(),
            };
            stolen.map(|n| take(1, n));
            if let Some(copy) = shared.copies.pop() {
                assert_eq!(copy, [copy[0]; 10]);
                take(2, copy[0]);
            }
            shared.ring.consume_on(cpu, |n| {
                take(3, n);
            });
        }
    }
}

/// Memory of zeroes, of this process and its children.
///
/// # Safety
///
/// All zeroes is a `T`.
unsafe fn zeroes<T>() -> &'static mut T {
    // SAFETY: new memory, for ever; the caller's.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let len = size_of::<T>();
        let map = libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0);
        assert_ne!(map, libc::MAP_FAILED);
        &mut *map.cast::<T>()
    }
}

#[test]
#[ignore = "needs cpu_opv(2)"]
fn two_processes_share() {
    assert_eq!(Backend::get(), Backend::CpuOpv);
    let shared = Shared {
        counter: PerCpu::new_in(Memory::shared()).unwrap(),
        lock: PerCpuLock::new_in(Memory::shared()).unwrap(),
        stack: Stack::new_in(Memory::shared()).unwrap(),
        steal: StealStack::new_in(Memory::shared()).unwrap(),
        copies: CopyStack::new_in(Memory::shared()).unwrap(),
        ring: Ring::new_in(Memory::shared()).unwrap(),
        list: RawList::new_in(Memory::shared()).unwrap(),
    };
    // SAFETY: they are integers.
    let (sums, nodes) = unsafe { (zeroes::<Sums>(), zeroes::<[Node<usize>; NODES]>()) };
    for node in nodes {
        // SAFETY: nobody uses it but through the list.
        unsafe { shared.list.push(NonNull::from(node)) };
    }

    let on_threads = |first: usize| {
        thread::scope(|scope| {
            for index in 0..threads() {
                let shared = &shared;
                let sums = &*sums;
                scope.spawn(move || work(shared, sums, first + index));
            }
        });
    };
    // SAFETY: the child starts threads, for which glibc's fork prepares it, and ends without running anything
    // of its parent.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| on_threads(100)));
        // SAFETY: ends this process.
        unsafe { libc::_exit(panicked.is_err().into()) };
    }
    on_threads(200);
    let mut status = 0;
    // SAFETY: the status is written.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);

    let on_all =
        |each: &mut dyn FnMut(Cpu) -> usize| allowed().into_iter().map(each).sum::<usize>();
    let all = |pop: &mut dyn FnMut(Cpu) -> Option<usize>| {
        on_all(&mut |cpu| std::iter::from_fn(|| pop(cpu)).sum::<usize>())
    };
    let mut nodes = 0;
    let uses = all(&mut |cpu| {
        let node = shared.list.pop_on(cpu).unwrap()?;
        nodes += 1;
        // SAFETY: it is ours.
        Some(**unsafe { node.as_ref() })
    });
    assert_eq!(nodes, NODES);
    let left = [
        all(&mut |cpu| shared.stack.pop_on(cpu).unwrap()),
        all(&mut |cpu| shared.steal.pop_on(cpu).unwrap()),
        all(&mut |cpu| shared.copies.pop_on(cpu).unwrap().map(|copy| copy[0])),
        on_all(&mut |cpu| {
            let mut sum = 0;
            shared.ring.consume_on(cpu, |n| sum += n);
            sum
        }),
        shared.counter.sum(|word| word),
        on_all(&mut |cpu| shared.lock.lock_on(cpu).unwrap()[0]),
        uses,
    ];
    assert_eq!(left, sums.each_ref().map(|sum| sum.load(Relaxed)));
    println!("two processes: {:?}", slow_path_calls());
}
