// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the libc does not register threads with rseq, and where a sandbox comes to refuse the system calls that the
//! caches take: the program goes on, without caches if need be. Each in a process of its own.

mod common;

use std::alloc::Layout;
use std::env;
use std::hint::black_box;
use std::process::Command;
use std::thread;

use common::{Accounts, Block};
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
    let threads = (0..20).map(|index| {
        thread::spawn(move || {
            for size in 1..2000 {
                let block = black_box(vec![index; size]);
                LAST.with_borrow_mut(|last| last.push(block));
            }
            let right = |last: &mut Vec<Vec<u8>>| last.iter().all(|block| block[0] == index);
            assert!(LAST.with_borrow_mut(right));
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
    drop(some_blocks());
    let out = ACCOUNTS.out();
    refuse();
    work();
    // What a thread cannot cache goes back at once.
    thread::spawn(|| drop(some_blocks())).join().unwrap();
    assert!(ACCOUNTS.out() <= out);
    // Of other CPUs', nothing comes back now.
    GLOBAL.drain();
    GLOBAL.trim();
    work();
    assert_eq!(had_caches, common::caches());
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
