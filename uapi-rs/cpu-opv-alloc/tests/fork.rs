// SPDX-License-Identifier: MIT OR Apache-2.0

//! Children of `fork(2)`, whatever the other threads of their parent were doing.

mod common;

use std::fs;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use common::{Random, allowed, caches, operations, threads};
use cpu_opv::slow_path_calls;
use cpu_opv_alloc::CpuOpvAlloc;

#[global_allocator]
static GLOBAL: CpuOpvAlloc = CpuOpvAlloc::new();

/// Allocates, frees, moves; so much that it comes to the depots.
fn work(random: &mut Random, shared: &Mutex<Vec<Vec<u8>>>) {
    for _ in 0..20 {
        let size = 8 << random.below(10);
        let block = vec![size as u8; size];
        let before = {
            let mut shared = shared.lock().unwrap();
            if shared.len() < 3000 {
                shared.push(block);
                continue;
            }
            let at = random.below(3000);
            std::mem::replace(&mut shared[at], block)
        };
        assert!(before.iter().all(|byte| *byte == before.len() as u8));
    }
    if random.below(50) == 0 {
        let all: Vec<Vec<u8>> = (0..3000).map(|_| vec![1; 64]).collect();
        drop(black_box(all));
    }
}

/// Returns how many bytes the child drained: its result.
fn child() -> i32 {
    // So that it does not wait for ever, if it does.
    // SAFETY: takes no memory.
    unsafe { libc::alarm(120) };
    let shared = Mutex::new(Vec::new());
    let mut random = Random::new(7);
    (0..200).for_each(|_| work(&mut random, &shared));
    // With a thread of its own.
    thread::scope(|scope| {
        let other = scope.spawn(|| (0..100).for_each(|_| work(&mut Random::new(8), &shared)));
        other.join().unwrap();
    });
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

/// Where the threads of a child are, for one that does not end.
fn tell_of(pid: libc::pid_t) {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
    {
        let path = thread.unwrap().path();
        println!("{}", path.display());
        for file in ["syscall", "wchan", "stack", "stat"] {
            println!("{file}: {:?}", fs::read_to_string(path.join(file)));
        }
    }
    println!("{:?}", fs::read_to_string(format!("/proc/{pid}/maps")));
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
                for tenths in 0.. {
                    match libc::waitpid(pid, &mut status, libc::WNOHANG) {
                        0 => thread::sleep(Duration::from_millis(100)),
                        ended => {
                            assert_eq!(ended, pid);
                            break;
                        }
                    }
                    if tenths == 600 || tenths == 610 {
                        tell_of(pid);
                    }
                }
                status
            }
        }
    }
}
