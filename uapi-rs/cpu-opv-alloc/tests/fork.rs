// SPDX-License-Identifier: MIT OR Apache-2.0

//! Children of `fork(2)`, whatever the other threads of their parent were doing.

mod common;

use std::alloc::Layout;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Block, Random, allowed, caches, operations, stay_on, threads};
use cpu_opv::slow_path_calls;
use cpu_opv_alloc::CpuOpvAlloc;

#[global_allocator]
static GLOBAL: CpuOpvAlloc = CpuOpvAlloc::new();

/// Looks at what it holds when it is dropped.
type TestBlock = Block<'static, CpuOpvAlloc>;

/// Allocates, frees, moves; so much that it comes to the depots.
fn work(random: &mut Random, shared: &Mutex<Vec<TestBlock>>) {
    for _ in 0..20 {
        let layout = Layout::from_size_align(8 << random.below(10), 8).unwrap();
        let block = Block::new(&GLOBAL, layout, false);
        let mut shared = shared.lock().unwrap();
        if shared.len() < 3000 {
            shared.push(block);
            continue;
        }
        let at = random.below(3000);
        let before = std::mem::replace(&mut shared[at], block);
        drop(shared);
        drop(before);
    }
    if random.below(50) == 0 {
        let all: Vec<Vec<u8>> = (0..3000).map(|_| vec![1; 64]).collect();
        drop(black_box(all));
    }
}

/// Works on a thread of the libc. Those of `std` may wait for ever in a child of a process whose threads were just
/// starting: they take a lock of theirs then.
fn on_thread_of_its_own(shared: &Mutex<Vec<TestBlock>>) {
    extern "C" fn work_on(shared: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: it is what was passed, and outlives the thread.
        let shared = unsafe { &*shared.cast::<Mutex<Vec<TestBlock>>>() };
        (0..100).for_each(|_| work(&mut Random::new(8), shared));
        null_mut()
    }
    // SAFETY: the thread gets what it expects, and ends before that does.
    unsafe {
        let mut thread = MaybeUninit::uninit();
        let shared = (&raw const *shared).cast_mut().cast();
        let created = libc::pthread_create(thread.as_mut_ptr(), null(), work_on, shared);
        assert_eq!(created, 0);
        assert_eq!(libc::pthread_join(thread.assume_init(), null_mut()), 0);
    }
}

/// Whether each CPU keeps what is freed there, whatever was being done to it at the fork.
fn each_caches() -> bool {
    let cpus = allowed();
    let right = cpus.iter().all(|cpu| {
        stay_on(&[*cpu]);
        let block = black_box(Box::new([0_u8; 64]));
        let before = GLOBAL.cached_on(*cpu);
        drop(block);
        GLOBAL.cached_on(*cpu) > before
    });
    stay_on(&cpus);
    right
}

/// The status of a child in which all was right is 0.
fn child() -> i32 {
    // So that it does not wait for ever, if it does.
    // SAFETY: takes no memory.
    unsafe { libc::alarm(120) };
    if each_caches() != caches() {
        return 2;
    }
    let shared = Mutex::new(Vec::new());
    let mut random = Random::new(7);
    (0..200).for_each(|_| work(&mut random, &shared));
    on_thread_of_its_own(&shared);
    drop(shared);
    let was_cached = GLOBAL.cached() > 0;
    GLOBAL.drain();
    (0..100).for_each(|_| work(&mut random, &Mutex::new(Vec::new())));
    i32::from(was_cached != caches())
}

#[test]
fn children_can_allocate() {
    let stop = AtomicBool::new(false);
    let drained = AtomicUsize::new(0);
    let shared = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for index in 0..threads() {
            let (stop, shared) = (&stop, &shared);
            scope.spawn(move || {
                let mut random = Random::new(index + 1);
                while !stop.load(Relaxed) {
                    work(&mut random, shared);
                }
            });
        }
        // One that is in the slow path most of the time.
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                drained.fetch_add(GLOBAL.drain(), Relaxed);
            }
        });
        let children = (operations() / 8000).clamp(5, 50);
        let results: Vec<_> = (0..children).map(|_| fork_and_wait(child)).collect();
        stop.store(true, Relaxed);
        assert!(results.iter().all(|status| *status == 0), "{results:?}");
    });
    println!(
        "{} bytes drained meanwhile, {:?}",
        drained.load(Relaxed),
        slow_path_calls()
    );
    assert_eq!(drained.load(Relaxed) > 0, caches());
    assert!(allowed().len() < 2 || !caches() || slow_path_calls() != Default::default());
}

/// The status that a child ends with: 0 if it ran, and returned 0.
fn fork_and_wait(child: impl Fn() -> i32) -> i32 {
    // SAFETY: the child runs in a copy of this process; the libc and this allocator work in one.
    unsafe {
        match libc::fork() {
            -1 => panic!("{}", std::io::Error::last_os_error()),
            0 => libc::_exit(child()),
            pid => {
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &mut status, 0), pid);
                status
            }
        }
    }
}
