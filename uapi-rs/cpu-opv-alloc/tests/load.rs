// SPDX-License-Identifier: MIT OR Apache-2.0

//! Under load: blocks of all sizes and alignments, by more threads than CPUs, which pass them to each other and are
//! interrupted by signals that move them to another CPU. No block is handed out twice, or moved or zeroed wrongly, and
//! all that the backing allocator gave comes back, with the layout that it was asked for.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::{Accounts, Block, Random, allowed, caches, operations, stay_on, threads};
use cpu_opv::Cpu;
use cpu_opv_alloc::CpuOpvAlloc;

/// The tests themselves, and what they run in, live on one too.
#[global_allocator]
static GLOBAL: CpuOpvAlloc = CpuOpvAlloc::new();

static ACCOUNTS: Accounts = Accounts::new();
static ALLOC: CpuOpvAlloc<&Accounts> = CpuOpvAlloc::with_backing(&ACCOUNTS);
type TestBlock = Block<'static, CpuOpvAlloc<&'static Accounts>>;

static HANDLED: AtomicUsize = AtomicUsize::new(0);

/// The first two that are allowed, or one twice: a handler must not allocate.
static HOMES: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Moves the thread to one CPU, then lets it go where it likes.
extern "C" fn on_signal(_: libc::c_int) {
    let homes = HOMES
        .each_ref()
        .map(|home| Cpu::new(home.load(Relaxed)).unwrap());
    stay_on(&homes[HANDLED.fetch_add(1, Relaxed) % 2..][..1]);
    stay_on(&homes);
}

/// Has each thread handle a signal now and then, until `work` is done on all.
fn interrupted(work: impl Fn(usize) + Sync) {
    let cpus = allowed();
    HOMES[0].store(cpus[0].number(), Relaxed);
    HOMES[1].store(cpus[cpus.len() - 1].number(), Relaxed);
    // SAFETY: the handler makes system calls, and adds to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(
            libc::sigaction(libc::SIGURG, &action, std::ptr::null_mut()),
            0
        );
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let tids: Vec<_> = (0..threads()).map(|_| AtomicUsize::new(0)).collect();
        let tids: &'static [AtomicUsize] = tids.leak();
        let workers: Vec<_> = (0..threads())
            .map(|index| {
                let work = &work;
                scope.spawn(move || {
                    // SAFETY: takes nothing.
                    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as usize;
                    tids[index].store(tid, Relaxed);
                    work(index);
                    tids[index].store(0, Relaxed);
                })
            })
            .collect();
        let interrupter = scope.spawn(|| {
            while !done.load(Relaxed) {
                for tid in tids
                    .iter()
                    .map(|tid| tid.load(Relaxed))
                    .filter(|tid| *tid != 0)
                {
                    // SAFETY: takes no memory. The thread may be gone.
                    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGURG) };
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Relaxed);
        interrupter.join().unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    });
}

#[test]
fn blocks_are_whole_and_all_come_back() {
    // What threads pass to each other.
    let shared: Vec<Mutex<Option<TestBlock>>> = (0..512).map(|_| Mutex::new(None)).collect();
    interrupted(|index| {
        let mut random = Random::new(index + 1);
        let mut own: Vec<Option<TestBlock>> = (0..256).map(|_| None).collect();
        for _ in 0..operations() / threads() {
            let at = random.below(own.len());
            match random.below(16) {
                0 => {
                    if let Some(block) = &mut own[at] {
                        block.resize(random.layout().size());
                    }
                }
                1..4 => {
                    let mut there = shared[random.below(shared.len())].lock().unwrap();
                    std::mem::swap(&mut *there, &mut own[at]);
                }
                4 => own[at] = None,
                kind => own[at] = Some(Block::new(&ALLOC, random.layout(), kind == 5)),
            }
        }
    });
    drop(shared);
    println!(
        "{} signals, {} blocks of the backing allocator's, {} bytes cached",
        HANDLED.load(Relaxed),
        ACCOUNTS.calls(),
        ALLOC.cached()
    );
    assert!(HANDLED.load(Relaxed) > 0);
    if caches() {
        assert!(ALLOC.cached() > 0);
        assert!(ACCOUNTS.out() > 0);
    }
    let out = ACCOUNTS.out();
    assert_eq!(ALLOC.drain() as isize, out);
    assert_eq!(ALLOC.cached(), 0);
    assert_eq!(ACCOUNTS.out(), 0);
}

#[test]
fn what_has_no_class_is_the_backing_allocators() {
    static ACCOUNTS: Accounts = Accounts::new();
    static ALLOC: CpuOpvAlloc<&Accounts> = CpuOpvAlloc::with_backing(&ACCOUNTS);
    for (size, align) in [(32 << 10, 64), ((32 << 10) + 1, 1), (1, 4096), (1 << 20, 8)] {
        let layout = Layout::from_size_align(size, align).unwrap();
        drop(Block::new(&ALLOC, layout, false));
        drop(Block::new(&ALLOC, layout, true));
        assert_eq!(ALLOC.cached(), 0);
        assert_eq!(ACCOUNTS.out(), 0);
    }
    // And what outgrows the classes, or comes back to them, moves.
    let mut block = Block::new(&ALLOC, Layout::new::<[u64; 5]>(), false);
    for size in [48, 41, 40, 1, 40_000, 50_000, 32 << 10, 7] {
        block.resize(size);
    }
    drop(block);
    ALLOC.drain();
    assert_eq!(ACCOUNTS.out(), 0);
}

#[test]
fn blocks_are_used_again_and_given_back_when_it_is_dropped() {
    let accounts = Accounts::new();
    let alloc = CpuOpvAlloc::with_backing(&accounts);
    let layout = Layout::new::<[u64; 5]>();
    let use_some = |count| {
        // SAFETY: the layout is not of size 0, and each block is freed once.
        unsafe {
            let blocks: Vec<_> = (0..count).map(|_| alloc.alloc(layout)).collect();
            blocks
                .into_iter()
                .for_each(|block| alloc.dealloc(block, layout));
        }
    };
    (0..100).for_each(|_| use_some(100));
    // On each CPU that this came to, the first ones.
    assert_eq!(accounts.calls() <= 5000, caches());
    assert_eq!(alloc.cached() > 0, caches());
    drop(alloc);
    assert_eq!(accounts.out(), 0);
}

#[test]
fn what_the_caches_hold_is_there_when_memory_is_short() {
    const MOST: isize = 256 << 10;
    let accounts = Accounts::limited(MOST);
    let alloc = CpuOpvAlloc::with_backing(&accounts);
    let layout = |size| Layout::from_size_align(size, 8).unwrap();
    let (small, other, large) = (layout(1 << 10), layout(2 << 10), layout(50_000));
    // SAFETY: no layout is of size 0, and each block is freed once, with what it has then.
    unsafe {
        // All that there is, into the caches.
        let fill = || {
            let next = || Some(alloc.alloc(small)).filter(|block| !block.is_null());
            let blocks: Vec<_> = std::iter::from_fn(next).collect();
            assert!(accounts.out() > MOST - (1 << 10));
            blocks
                .into_iter()
                .for_each(|block| alloc.dealloc(block, small));
            // Most of it: there may have been a round meanwhile.
            assert_eq!(accounts.out() > MOST / 2, caches());
        };
        let check = |block: *mut u8, layout| {
            assert!(!block.is_null());
            alloc.dealloc(block, layout);
        };
        fill();
        check(alloc.alloc(other), other);
        fill();
        check(alloc.alloc(large), large);
        fill();
        check(alloc.alloc_zeroed(large), large);
        let grows = alloc.alloc(large);
        fill();
        check(alloc.realloc(grows, large, 100_000), layout(100_000));
        // What there is not, there is not.
        fill();
        assert!(alloc.alloc(layout(MOST as usize + 1)).is_null());
    }
    drop(alloc);
    assert_eq!(accounts.out(), 0);
}

#[test]
fn types_without_a_size_allocate_nothing() {
    static ACCOUNTS: Accounts = Accounts::new();
    static ALLOC: CpuOpvAlloc<&Accounts> = CpuOpvAlloc::with_backing(&ACCOUNTS);
    // By way of the global one, too.
    let units: Vec<()> = vec![(); 1000];
    let boxed = Box::new([0_u8; 0]);
    assert_eq!((units.len(), boxed.len()), (1000, 0));
    // What the contract forbids is left to the backing allocator to answer for, not to a class.
    let none = Layout::from_size_align(0, 1).unwrap();
    // SAFETY: the backing allocator takes it; its block is longer, by its head.
    unsafe { ALLOC.dealloc(ALLOC.alloc(none), none) };
    assert_eq!(ACCOUNTS.calls(), 1);
    assert_eq!(ALLOC.cached(), 0);
}
