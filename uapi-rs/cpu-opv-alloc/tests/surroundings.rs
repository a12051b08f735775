// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the libc does not register threads with rseq, where a sandbox comes to refuse the system calls that the caches
//! take, where there is no memory for them, and where a thread is cancelled: the program goes on, without caches if need
//! be. Each in a process of its own.

mod common;

use std::alloc::{GlobalAlloc, Layout};
use std::env;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use common::{Accounts, Block, allowed, is_done_though_cancelled, stay_on};
use cpu_opv::Backend;
use cpu_opv_alloc::CpuOpvAlloc;

#[global_allocator]
static GLOBAL: CpuOpvAlloc = CpuOpvAlloc::new();

/// Runs a test again, in a process in which `is_child` holds, and glibc does not register threads; with this in its
/// environment, too.
fn in_child(test: &str, variable: &str) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .envs([
            (CHILD, test),
            ("GLIBC_TUNABLES", "glibc.pthread.rseq=0"),
            (variable, "1"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(" 1 passed"), "{text}");
}

const CHILD: &str = "CPU_OPV_ALLOC_CHILD";

fn is_child(test: &str) -> bool {
    env::var(CHILD).is_ok_and(|value| value == test)
}

/// On some threads, which allocate and free, also while they end.
fn work() {
    thread_local!(static LAST: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) });
    let threads = (0..20_u8).map(|index| {
        thread::spawn(move || {
            // Of a class no two have the same.
            let pattern = |size: usize| (size as u8).wrapping_add(index);
            for size in 1..2000 {
                let block = black_box(vec![pattern(size); size]);
                LAST.with_borrow_mut(|last| last.push(block));
            }
            let is_right = |block: &Vec<u8>| block.iter().all(|byte| *byte == pattern(block.len()));
            assert!(LAST.with_borrow(|last| last.iter().all(is_right)));
        })
    });
    threads.for_each(|thread| thread.join().unwrap());
}

#[test]
fn threads_that_the_libc_does_not_register() {
    const NAME: &str = "threads_that_the_libc_does_not_register";
    if !is_child(NAME) {
        return in_child(NAME, "CPU_OPV_ALLOC_LATER");
    }
    work();
    assert_eq!(GLOBAL.cached() > 0, common::caches());
    GLOBAL.drain();
    work();
}

#[test]
fn what_the_first_allocation_allocates() {
    const NAME: &str = "what_the_first_allocation_allocates";
    // To look at the value of this variable takes an allocation, while the caches are made.
    if !is_child(NAME) {
        return in_child(NAME, "CPU_OPV");
    }
    work();
    assert_eq!(GLOBAL.cached() > 0, common::caches());
}

#[test]
fn a_cancelled_thread_that_allocates_first() {
    const NAME: &str = "a_cancelled_thread_that_allocates_first";
    if !is_child(NAME) {
        return in_child(NAME, "CPU_OPV_ALLOC_CANCELLED");
    }
    assert!(IS_DONE.load(Relaxed));
    work();
    assert_eq!(GLOBAL.cached() > 0, common::caches());
}

static IS_DONE: AtomicBool = AtomicBool::new(false);

/// Before the first allocation, and so by a cancelled thread.
#[used]
#[unsafe(link_section = ".init_array.00100")]
static CANCELLED: extern "C" fn() = {
    extern "C" fn early() {
        // SAFETY: the name is a string, and nobody changes the environment meanwhile.
        if unsafe { !libc::getenv(c"CPU_OPV_ALLOC_CANCELLED".as_ptr()).is_null() } {
            let allocate = || drop(black_box(Box::new([0_u8; 64])));
            IS_DONE.store(is_done_though_cancelled(&allocate), Relaxed);
        }
    }
    early
};

static ACCOUNTS: Accounts = Accounts::new();
static ALLOC: CpuOpvAlloc<&Accounts> = CpuOpvAlloc::with_backing(&ACCOUNTS);

/// Of a class, more than it has room for on a CPU. The depot has places for the rest.
fn some_blocks() -> Vec<impl Sized> {
    let layout = Layout::new::<[u64; 128]>();
    (0..100)
        .map(|_| Block::new(&ALLOC, layout, false))
        .collect()
}

/// Has the kernel answer what the caches take with EPERM from now on, in this thread and those that it starts.
///
/// It does not allocate, to come before what does.
fn refuse() {
    /// The number of cpu_opv(2).
    const CPU_OPV: libc::c_long = 473;
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let line = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut filter = [
        line(LOAD, 0, 0),
        line(JUMP_EQUAL, 3, libc::SYS_rseq as u32),
        line(JUMP_EQUAL, 2, libc::SYS_membarrier as u32),
        line(JUMP_EQUAL, 1, CPU_OPV as u32),
        line(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        line(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program is as long as it says, and is copied.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program
            ),
            0
        );
    }
}

/// Whether the kernel has filters: then what it finds missing is the program.
fn has_sandboxes() -> bool {
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel finds no program there, and does nothing.
    unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, none) };
    let has = std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
    if !has {
        eprintln!("skipped: no filters of seccomp(2) here");
    }
    has
}

#[test]
fn a_sandbox_that_is_entered_later() {
    const NAME: &str = "a_sandbox_that_is_entered_later";
    // Threads that start in it cannot be registered then: glibc would end the process.
    if !is_child(NAME) {
        if has_sandboxes() {
            in_child(NAME, "CPU_OPV_ALLOC_LATER");
        }
        return;
    }
    work();
    let had_caches = GLOBAL.cached() > 0;
    // All on one CPU, so that it does not have room for them all.
    stay_on(&allowed()[..1]);
    drop(some_blocks());
    let out = ACCOUNTS.out();
    refuse();
    work();
    // What a thread cannot cache goes back at once: those from the depot, too.
    thread::spawn(|| drop(some_blocks())).join().unwrap();
    assert_eq!(ACCOUNTS.out() < out, had_caches);
    // Of other CPUs', nothing comes back now.
    GLOBAL.drain();
    GLOBAL.trim();
    work();
    assert_eq!(had_caches, common::caches());
}

#[test]
fn no_memory_for_the_caches() {
    const NAME: &str = "no_memory_for_the_caches";
    if !is_child(NAME) {
        return in_child(NAME, "CPU_OPV_ALLOC_LATER");
    }
    let layout = Layout::new::<[u64; 5]>();
    // SAFETY: the layout is not of size 0, each block is freed once, and the limit is one.
    unsafe {
        // So that the system's allocator has one at hand.
        (&ACCOUNTS).dealloc((&ACCOUNTS).alloc(layout), layout);
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &mut limit), 0);
        let none = libc::rlimit {
            rlim_cur: 0,
            ..limit
        };
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &none), 0);
        let block = ALLOC.alloc(layout);
        assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &limit), 0);
        assert!(!block.is_null());
        ALLOC.dealloc(block, layout);
    }
    drop(some_blocks());
    assert_eq!(ALLOC.cached(), 0);
    assert_eq!(ACCOUNTS.out(), 0);
}

#[test]
fn a_sandbox_from_the_start() {
    const NAME: &str = "a_sandbox_from_the_start";
    if !is_child(NAME) {
        if has_sandboxes() {
            in_child(NAME, "CPU_OPV_ALLOC_REFUSE");
        }
        return;
    }
    work();
    assert_eq!(Backend::get(), Backend::Lock);
    assert_eq!(GLOBAL.cached(), 0);
}

/// Before the first allocation.
#[used]
#[unsafe(link_section = ".init_array.00100")]
static REFUSE: extern "C" fn() = {
    extern "C" fn early() {
        // SAFETY: the name is a string, and nobody changes the environment meanwhile.
        if unsafe { !libc::getenv(c"CPU_OPV_ALLOC_REFUSE".as_ptr()).is_null() } {
            refuse();
        }
    }
    early
};
