//! Each operation completes while a debugger steps through it, instruction by instruction.
//!
//! Each step interrupts the program, so no restartable sequence ever commits: the slow path has to take over.
//! This program runs itself as a child and is the debugger. It has no harness, so that the
//! child has one thread.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::ptr::null_mut;

use cpu_opv::{
    CopyStack, Counter, Cpu, List, Node, PerCpuLock, Ring, SlowPathCalls, Stack, StealStack,
    slow_path_calls,
};

/// Many times more than an operation takes.
const MAX_STEPS: usize = 100_000;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("child") {
        child();
        return ExitCode::SUCCESS;
    }
    debug()
}

type Operation = (&'static str, Box<dyn Fn()>);

fn operations() -> Vec<Operation> {
    let list = List::new();
    list.push(Box::new(Node::new(0)));
    let steal = StealStack::<usize, 4>::new();
    let copies = CopyStack::<[u8; 100], 4>::new();
    let cpu = Cpu::current();
    // The structures are leaked so that closures can borrow them.
    let counter: &Counter = Box::leak(Box::default());
    let lock: &PerCpuLock<usize> = Box::leak(Box::new(PerCpuLock::new(|_| 0)));
    let list: &List<usize> = Box::leak(Box::new(list));
    let stack: &Stack<usize, 4> = Box::leak(Box::default());
    let steal: &StealStack<usize, 4> = Box::leak(Box::new(steal));
    let copies: &CopyStack<[u8; 100], 4> = Box::leak(Box::new(copies));
    let ring: &Ring<usize, 2, 2> = Box::leak(Box::default());
    vec![
        ("Counter::add", Box::new(|| counter.add(1))),
        (
            "Counter::add_on",
            Box::new(move || counter.add_on(cpu, 1).unwrap()),
        ),
        ("PerCpuLock::lock", Box::new(|| *lock.lock() += 1)),
        (
            "List::pop, push",
            Box::new(|| list.pop().into_iter().for_each(|node| list.push(node))),
        ),
        ("Stack::push", Box::new(|| stack.push(1).unwrap())),
        ("Stack::pop", Box::new(|| assert_eq!(stack.pop(), Some(1)))),
        ("StealStack::push", Box::new(|| steal.push(1).unwrap())),
        (
            "StealStack::pop_on",
            Box::new(move || assert_eq!(steal.pop_on(cpu), Ok(Some(1)))),
        ),
        (
            "CopyStack::push",
            Box::new(|| copies.push([1; 100]).unwrap()),
        ),
        (
            "CopyStack::pop",
            Box::new(|| assert_eq!(copies.pop(), Some([1; 100]))),
        ),
        ("Ring::push", Box::new(|| ring.push(1).unwrap())),
        (
            "Ring::consume",
            Box::new(move || assert_eq!(ring.consume(cpu, drop), 1)),
        ),
    ]
}

fn child() {
    stay_here();
    let operations = operations();
    let stop = || {
        // SAFETY: the debugger expects that.
        unsafe { libc::raise(libc::SIGSTOP) };
    };
    for (name, operation) in &operations {
        let before = total(slow_path_calls());
        stop();
        operation();
        stop();
        let slow = total(slow_path_calls()) - before;
        println!("{name}: {slow} by the slow path");
        // To consume needs no sequence.
        assert!(slow > 0 || *name == "Ring::consume");
    }
}

fn total(calls: SlowPathCalls) -> usize {
    calls.cpu_opv + calls.membarrier + calls.lock
}

/// So that the operations by number are on this CPU too.
fn stay_here() {
    // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(Cpu::current().number(), &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

fn ptrace(request: libc::c_uint, pid: libc::pid_t) -> bool {
    // SAFETY: none of the requests used here touches this process' memory.
    unsafe {
        libc::ptrace(
            request,
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

fn debug() -> ExitCode {
    let mut command = Command::new(env::current_exe().unwrap());
    command.arg("child");
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(|| {
            ptrace(libc::PTRACE_TRACEME as _, 0);
            Ok(())
        })
    };
    let pid = command.spawn().unwrap().id() as libc::pid_t;
    assert_eq!(wait(pid), Ok(libc::SIGTRAP), "it stops after execve");

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
                eprintln!("skipped: ptrace(2) cannot single-step here");
                return ExitCode::SUCCESS;
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
                    use std::io::Write;
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
            Err(0) => return ExitCode::SUCCESS,
            Err(status) => panic!("the child ended with status {status:#x}"),
        }
    }
}
