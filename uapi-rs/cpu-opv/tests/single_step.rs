// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each operation completes while a debugger steps through it, instruction by instruction.
//!
//! Each step interrupts the program, so no restartable sequence ever commits: the slow path has to take over.
//! This program forks and is the debugger of its child. It has no harness, so that it has one thread.

mod common;

use std::io::Write;
use std::panic;
use std::process::ExitCode;
use std::ptr::null_mut;

use cpu_opv::{
    Backend, Batch, BoundedList, BoundedNode, CopyStack, Counter, CounterSet, Cpu, Histogram, List,
    Node, PerCpuLock, Ring, SlowPathCalls, Stack, StealStack, slow_path_calls,
};

/// Many times more than an operation takes.
const MAX_STEPS: usize = 100_000;

fn main() -> ExitCode {
    // As the harness says it.
    println!("running 1 test");
    // On QEMU 7.2's s390x single steps go past each branch, whoever the child is.
    let astray = cfg!(target_arch = "s390x") && panic::catch_unwind(|| debug(nothing)).is_err();
    let outcome = match astray {
        true => Ok(Stepped::NotHere),
        false => panic::catch_unwind(|| debug(child)),
    };
    let verdict = match outcome {
        Ok(Stepped::Through) => "ok",
        Ok(Stepped::NotHere) => "ignored, ptrace(2) cannot single-step here",
        Err(_) => "FAILED",
    };
    let result = if outcome.is_ok() { "ok" } else { "FAILED" };
    println!("test each_operation_completes ... {verdict}\n\ntest result: {result}.");
    ExitCode::from(u8::from(outcome.is_err()))
}

struct All {
    cpu: Cpu,
    counter: Counter,
    set: CounterSet,
    histogram: Histogram,
    lock: PerCpuLock<usize>,
    list: List<usize>,
    bounded: BoundedList<usize>,
    stack: Stack<usize, 4>,
    steal: StealStack<usize, 4>,
    copies: CopyStack<[u8; 100], 4>,
    ring: Ring<usize, 2, 2>,
}

type Operation = (&'static str, fn(&All));

const OPERATIONS: &[Operation] = &[
    ("Counter::add", |all| all.counter.add(1)),
    ("Counter::add_on", |all| {
        all.counter.add_on(all.cpu, 1).unwrap()
    }),
    ("CounterSet::add", |all| {
        all.set.add([(0, 1), (1, 2), (2, 3)])
    }),
    ("CounterSet::add_on", |all| {
        all.set.add_on(all.cpu, [(2, 1)]).unwrap()
    }),
    ("CounterSet::take_on", |all| {
        assert_eq!(all.set.take_on(all.cpu).unwrap(), [1, 2, 4])
    }),
    ("Histogram::observe", |all| all.histogram.observe(0.5)),
    ("PerCpuLock::lock", |all| *all.lock.lock() += 1),
    ("List::pop, push", |all| {
        all.list.push(all.list.pop().unwrap())
    }),
    ("BoundedList::pop, push", |all| {
        assert!(all.bounded.push(all.bounded.pop().unwrap()).is_ok())
    }),
    ("BoundedList::take_on", |all| {
        assert_eq!(all.bounded.take_on(all.cpu).unwrap().len(), 1)
    }),
    ("Stack::push", |all| all.stack.push(1).unwrap()),
    ("Stack::pop", |all| assert_eq!(all.stack.pop(), Some(1))),
    ("StealStack::push", |all| all.steal.push(1).unwrap()),
    ("StealStack::pop_on", |all| {
        assert_eq!(all.steal.pop_on(all.cpu), Ok(Some(1)))
    }),
    ("CopyStack::push", |all| all.copies.push([1; 100]).unwrap()),
    ("CopyStack::pop", |all| {
        assert_eq!(all.copies.pop(), Some([1; 100]))
    }),
    ("Stack::push_all, take", |all| {
        let mut batch: Batch<usize, 2> = Batch::new();
        batch.push(1).unwrap();
        assert_eq!(all.stack.push_all(&mut batch), 1);
        all.stack.take(&mut batch, 2);
        assert_eq!(batch.next(), Some(1));
    }),
    ("Ring::push", |all| all.ring.push(1).unwrap()),
    // It has an atomic exchange. Where that takes several instructions, debuggers step over them as one; this does not.
    #[cfg(any(target_arch = "x86_64", target_arch = "x86", target_arch = "s390x"))]
    ("Ring::consume_on", |all| {
        assert_eq!(all.ring.consume_on(all.cpu, drop), 1)
    }),
];

fn child() {
    // So that the operations by number are on this CPU too.
    common::stay_on(&[Cpu::current()]);
    let all = All {
        cpu: Cpu::current(),
        counter: Counter::new(),
        set: CounterSet::new(3),
        histogram: Histogram::new([1.0]),
        lock: PerCpuLock::new(|_| 0),
        list: List::new(),
        bounded: BoundedList::new(1),
        stack: Stack::new(),
        steal: StealStack::new(),
        copies: CopyStack::new(),
        ring: Ring::new(),
    };
    all.list.push(Box::new(Node::new(0)));
    assert!(all.bounded.push(Box::new(BoundedNode::new(0))).is_ok());
    // The first addition makes the memory, with atomic instructions.
    all.counter.add(0);
    all.set.add([(0, 0)]);
    all.histogram.observe(0.5);
    for &(name, operation) in OPERATIONS {
        let before = total(slow_path_calls());
        stop();
        operation(&all);
        stop();
        let slow = total(slow_path_calls()) - before;
        println!("{name}: {slow} by the slow path");
        // To consume needs no sequence, and with `Lock` there are atomic instructions.
        assert!(slow > 0 || name == "Ring::consume_on" || Backend::get() == Backend::Lock);
    }
}

/// A child that does nothing but what the debugger itself needs.
fn nothing() {
    stop();
    stop();
}

/// Gives the debugger a turn.
fn stop() {
    // SAFETY: takes no memory.
    unsafe { libc::raise(libc::SIGSTOP) };
}

fn total(calls: SlowPathCalls) -> usize {
    calls.cpu_opv + calls.membarrier + calls.lock
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t) -> bool {
    // SAFETY: none of the requests used here touches this process' memory.
    unsafe {
        libc::ptrace(
            request as _,
            pid,
            null_mut::<libc::c_void>(),
            null_mut::<libc::c_void>(),
        ) == 0
    }
}

/// Waits for the child to stop; `Err` with how it ended if it does not.
fn wait(pid: libc::pid_t) -> Result<libc::c_int, libc::c_int> {
    let mut status = 0;
    // SAFETY: the status is written.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    match libc::WIFSTOPPED(status) {
        true => Ok(libc::WSTOPSIG(status)),
        false => Err(status),
    }
}

enum Stepped {
    Through,
    NotHere,
}

fn debug(child: fn()) -> Stepped {
    // SAFETY: this process has one thread, so the child may do anything.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        ptrace(libc::PTRACE_TRACEME as _, 0);
        stop();
        let panicked = panic::catch_unwind(child).is_err();
        // SAFETY: ends the process.
        unsafe { libc::_exit(panicked.into()) };
    }
    assert!(pid > 0);
    assert_eq!(wait(pid), Ok(libc::SIGSTOP));

    let mut stepping = false;
    let mut steps = 0;
    loop {
        let request = match stepping {
            true => libc::PTRACE_SINGLESTEP,
            false => libc::PTRACE_CONT,
        };
        if !ptrace(request as _, pid) {
            let error = std::io::Error::last_os_error();
            ptrace(libc::PTRACE_KILL as _, pid);
            if error.raw_os_error() == Some(libc::EIO) {
                return Stepped::NotHere;
            }
            panic!("ptrace: {error}");
        }
        match wait(pid) {
            Ok(libc::SIGSTOP) => {
                stepping = !stepping;
                if stepping {
                    steps = 0;
                } else {
                    print!("{steps} steps, ");
                    std::io::stdout().flush().unwrap();
                }
            }
            Ok(libc::SIGTRAP) => {
                steps += 1;
                if steps > MAX_STEPS {
                    ptrace(libc::PTRACE_KILL as _, pid);
                    panic!("an operation did not complete in {MAX_STEPS} steps");
                }
            }
            Ok(signal) => panic!("signal {signal}"),
            Err(0) => return Stepped::Through,
            Err(status) => panic!("the child ended with status {status:#x}"),
        }
    }
}
