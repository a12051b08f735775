// SPDX-License-Identifier: MIT OR Apache-2.0

//! What lacks or misleads in places where programs run: whatever it is, nothing is lost, and nothing hangs.
//!
//! Each case is a process of its own, which this one starts: the backend is chosen once, and a sandbox is for good.

mod common;

use std::cell::Cell;
use std::env;
use std::ffi::{CStr, CString, c_int, c_ulong, c_void};
use std::fs;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::ptr::null;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{Random, allowed, stay_on};
use cpu_opv::{
    Backend, Batch, BoundedList, BoundedNode, CopyStack, Counter, CounterSet, Cpu, Drain, Error,
    Histogram, List, LossMode, Node, PerCpu, PerCpuLock, Pool, PushError, RawStacks, Ring, Stack,
    StealStack, TraceRing, Word, register_thread, slow_path_calls, support,
};

/// Longer than any of them takes where CPUs are emulated.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test in a process of its own, with these variables set.
fn alone(name: &str, variables: &[(&str, &str)], test: impl FnOnce()) {
    const ALONE: &str = "CPU_OPV_ALONE";
    if env::var_os(ALONE).is_some_and(|alone| alone == name) {
        test();
        return eprintln!("{name}: {:?}, {:?}", Backend::get(), slow_path_calls());
    }
    // By way of a file, as this harness does not capture what it says, and might take it for results of its own.
    let path = env::temp_dir().join(format!("cpu-opv-{}-{name}", std::process::id()));
    let output = fs::File::create(&path).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--include-ignored", "--nocapture"])
        .env(ALONE, name)
        .envs(variables.iter().copied())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    };
    let said = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    println!("{}", said.replace("\ntest ", "\n(alone) test "));
    let time = start.elapsed();
    assert!(status.success(), "{name}: {status}, after {time:?}");
}

macro_rules! alone {
    ($($(#[$attribute:meta])* $name:ident $([$($variable:literal = $value:literal),*])? $test:block)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            alone(stringify!($name), &[$($(($variable, $value)),*)?], || $test);
        }
    )*};
}

/// What all threads work on, and what it must come to.
#[derive(Default)]
struct Work {
    counter: Counter,
    stack: Stack<Box<usize>, 64>,
    list: List<usize>,
    copies: CopyStack<[usize; 5], 64>,
    ring: Ring<usize, 2, 16>,
    counted: AtomicUsize,
    /// Put in, less taken out, of each of the four.
    inside: [AtomicUsize; 4],
    /// Operations on another CPU that were refused.
    refused: AtomicUsize,
}

const ROUNDS: usize = 2000;

impl Work {
    /// One round, with an operation of each kind on this CPU, or on `there`.
    fn round(&self, n: usize, there: Option<Cpu>) {
        let put = |at: usize| self.inside[at].fetch_add(n, Relaxed);
        let take = |at: usize, n| self.inside[at].fetch_sub(n, Relaxed);
        let refuse = |error| {
            assert_ne!(error, Error::CpuNotAllowed);
            self.refused.fetch_add(1, Relaxed);
        };
        match there.map_or_else(
            || {
                self.counter.add(n as u64);
                Ok(())
            },
            |cpu| self.counter.add_on(cpu, n as u64),
        ) {
            Ok(()) => _ = self.counted.fetch_add(n, Relaxed),
            Err(error) => refuse(error),
        }
        let pushed = match there {
            None => self.stack.push(Box::new(n)).map_err(PushError::Full),
            Some(cpu) => self.stack.push_on(cpu, Box::new(n)),
        };
        match pushed {
            Ok(()) => _ = put(0),
            Err(PushError::Failed(error, _)) => refuse(error),
            Err(_) => {}
        }
        match there {
            None => {
                self.list.push(Box::new(Node::new(n)));
                put(1);
                if self.copies.push([n; 5]).is_ok() {
                    put(2);
                }
                if self.ring.push(n).is_ok() {
                    put(3);
                }
                self.stack.pop().map(|n| take(0, *n));
                self.list.pop().map(|n| take(1, **n));
            }
            Some(cpu) => {
                match self.stack.pop_on(cpu) {
                    Ok(popped) => _ = popped.map(|n| take(0, *n)),
                    Err(error) => refuse(error),
                }
                match self.list.pop_on(cpu) {
                    Ok(popped) => _ = popped.map(|n| take(1, **n)),
                    Err(error) => refuse(error),
                }
                match self.copies.pop_on(cpu) {
                    Ok(popped) => _ = popped.map(|copy| take(2, copy[0])),
                    Err(error) => refuse(error),
                }
                self.ring.consume_on(cpu, |n| _ = take(3, n));
            }
        }
    }

    fn check(self) {
        let Self {
            counter, inside, ..
        } = &self;
        assert_eq!(counter.sum(), self.counted.load(Relaxed) as u64);
        let mut left = [0; 4];
        // By threads that are there, so that nothing that is not permitted is needed.
        for cpu in allowed() {
            stay_on(&[cpu]);
            left[0] += std::iter::from_fn(|| self.stack.pop())
                .map(|n| *n)
                .sum::<usize>();
            left[1] += std::iter::from_fn(|| self.list.pop())
                .map(|n| **n)
                .sum::<usize>();
            left[2] += std::iter::from_fn(|| self.copies.pop())
                .map(|copy| copy[0])
                .sum::<usize>();
            while self.ring.consume_on(Cpu::current(), |n| left[3] += n) != 0 {}
        }
        assert_eq!(left, inside.each_ref().map(|sum| sum.load(Relaxed)));
    }
}

/// All structures, by several threads, on their CPU and on others.
fn exercise() -> usize {
    let cpus = allowed();
    let work = Work::default();
    thread::scope(|scope| {
        for index in 0..4 {
            let (work, cpus) = (&work, &cpus);
            scope.spawn(move || {
                let mut random = Random::new(index);
                for n in 1..ROUNDS {
                    let there = random.below(20) == 0;
                    work.round(n, there.then(|| cpus[random.below(cpus.len())]));
                }
            });
        }
    });
    let refused = work.refused.load(Relaxed);
    thread::scope(|scope| scope.spawn(|| work.check()).join().unwrap());
    refused
}

fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// The number of the call.
const CPU_OPV: libc::c_long = cpu_opv_sys::SYS_cpu_opv;

/// From here on these calls of this thread, and of those that it starts, have this result; with `flags`, a file
/// descriptor.
fn filter(calls: &[libc::c_long], action: u32, flags: c_ulong) -> Option<c_int> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for call in calls {
        program.push(libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *call as u32)
        });
        program.push(statement(libc::BPF_RET | libc::BPF_K, action));
    }
    program.push(statement(
        libc::BPF_RET | libc::BPF_K,
        libc::SECCOMP_RET_ALLOW,
    ));
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program is one, of that length.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &program,
        )
    };
    if result < 0 {
        skip("no filters of seccomp(2) here");
    }
    (result >= 0).then_some(result as c_int)
}

fn refuse(calls: &[libc::c_long]) -> bool {
    let action = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    filter(calls, action, 0).is_some()
}

alone! {
    nothing_special {
        assert_eq!(exercise(), 0);
    }

    a_sandbox_refuses_membarrier {
        if refuse(&[libc::SYS_membarrier]) {
            assert_ne!(Backend::get(), Backend::Membarrier);
            assert_eq!(exercise(), 0);
        }
    }

    a_sandbox_that_is_entered_later_refuses_the_slow_path {
        let (cpus, counter) = (allowed(), Counter::new());
        exercise();
        if refuse(&[libc::SYS_membarrier, CPU_OPV]) {
            let locked = Backend::get() == Backend::Lock;
            assert_eq!(exercise() == 0, locked);
            counter.increment();
            if let [here, there, ..] = cpus[..] {
                stay_on(&[here]);
                stay_on(&[here, there]);
                let result = counter.add_on(there, 1);
                assert_eq!(result, if locked { Ok(()) } else { Err(Error::Os(libc::EPERM)) });
                assert_eq!(counter.sum(), 1 + u64::from(locked));
            }
        }
    }

    // glibc's registration has to be off: else glibc itself ends the process when a thread's fails.
    a_sandbox_refuses_all_of_it ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"] {
        let calls = [libc::SYS_membarrier, libc::SYS_rseq, libc::SYS_sched_getaffinity, CPU_OPV];
        let cpus = allowed();
        if refuse(&calls) {
            let counter = Counter::new();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..ROUNDS).for_each(|_| counter.increment()));
                }
            });
            assert_eq!(counter.sum(), 4 * ROUNDS as u64);
            for cpu in cpus {
                counter.add_on(cpu, 1).unwrap();
            }
        }
    }

    threads_that_may_not_register_with_rseq ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"] {
        exercise();
        if refuse(&[libc::SYS_rseq]) {
            assert_eq!(exercise(), 0);
        }
    }

    no_rseq ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"] {
        if refuse(&[libc::SYS_rseq]) {
            // Membarrier would be of no use then.
            assert_ne!(Backend::get(), Backend::Membarrier);
            assert_eq!(exercise(), 0);
        }
    }

    rseq_that_the_libc_does_not_register ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"] {
        assert_eq!(exercise(), 0);
    }

    threads_that_the_libc_does_not_register_end ["GLIBC_TUNABLES" = "glibc.pthread.rseq=0"] {
        threads_end();
    }

    membarrier_that_does_nothing {
        // An error of 0 is success.
        if filter(&[libc::SYS_membarrier], libc::SECCOMP_RET_ERRNO, 0).is_some() {
            assert_ne!(Backend::get(), Backend::Membarrier);
            assert_eq!(exercise(), 0);
        }
    }

    a_sandbox_that_kills_on_unknown_calls {
        if kernel_says_that_it_has_it() {
            return skip("the call is known here");
        }
        if filter(&[CPU_OPV], libc::SECCOMP_RET_KILL_PROCESS, 0).is_some() {
            assert_eq!(support(), None);
            assert_eq!(exercise(), 0);
            assert_eq!(cpu_opv::vector::Vector::new().run(Cpu::current()), Err(Error::NotSupported));
        }
    }

    another_call_by_that_number_answers_7 ["CPU_OPV" = "1"] { answered_with(|_| 7) }
    another_call_by_that_number_answers_0 ["CPU_OPV" = "1"] { answered_with(|_| 0) }
    another_call_by_that_number_answers_the_queries ["CPU_OPV" = "1"] {
        answered_with(|flags| if flags == 1 { 6 } else { 4 })
    }
    another_call_by_that_number_checks_its_flags ["CPU_OPV" = "1"] {
        answered_with(|flags| match flags { 0 => 0, 1 => 6, 2 => 4, _ => -i64::from(libc::EINVAL) })
    }

    sysfs_that_is_not_there {
        if mounted(c"tmpfs", c"/sys", Some(c"tmpfs")) {
            assert!(fs::exists("/sys/devices").is_ok_and(|there| !there));
            assert_eq!(exercise(), 0);
        }
    }
    sysfs_that_names_one_cpu { with_list("0\n") }
    sysfs_that_names_too_many { with_list("0-4000000000\n") }
    sysfs_that_is_empty { with_list("") }
    sysfs_that_is_no_list { with_list("all of them\n") }

    a_cpu_that_nobody_told_of { on_a_cpu_beyond() }

    one_cpu_allowed {
        let cpus = allowed();
        stay_on(&cpus[..1]);
        assert_eq!(exercise(), 0);
        if let [_, other, ..] = cpus[..] {
            let (counter, stack) = (Counter::new(), Stack::<usize, 4>::new());
            stay_on(&cpus);
            stack.push_on(other, 1).unwrap();
            stay_on(&cpus[..1]);
            assert_eq!(counter.add_on(other, 1), Err(Error::CpuNotAllowed));
            assert_eq!(stack.pop_on(other), Err(Error::CpuNotAllowed));
            assert_eq!(stack.push_on(other, 2), Err(PushError::Failed(Error::CpuNotAllowed, 2)));
            assert_eq!((counter.sum(), stack.len_on(other)), (0, 1));
        }
    }

    the_allowed_cpus_change { masks_change() }

    fork_while_others_work { forks() }
    fork_while_others_work_with_locks ["CPU_OPV_BACKEND" = "Lock"] { forks() }
    fork_where_the_kernel_wipes_no_pages {
        // Only what is started now finds that: the backend is chosen at the start.
        if refuse(&[libc::SYS_madvise]) {
            let locks = [("CPU_OPV_BACKEND", "Lock")];
            alone("fork_while_others_work_with_locks", &locks, || unreachable!());
        }
    }
    fork_in_a_drain { forks_in_a_drain() }

    programs_are_started_while_others_work {
        // The standard library does that by posix_spawn(3), and that by vfork(2).
        while_others_work(|_, _| {
            for _ in 0..10 {
                let mut list = Command::new(env::current_exe().unwrap());
                assert!(list.arg("--list").stdout(Stdio::null()).status().unwrap().success());
            }
        });
    }

    the_closure_calls_back { calls_back() }
    the_closure_calls_back_with_locks ["CPU_OPV_BACKEND" = "Lock"] { calls_back() }

    who_waits_for_a_lock_has_priority { priorities() }

    cpu_id_start_is_overwritten { overwritten() }

    nobody_else_is_on_this_cpu { sequences_commit() }
}

/// As the crate finds it out.
fn kernel_says_that_it_has_it() -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|name| name.contains("cpu_opv"))
        || env::var_os("CPU_OPV").is_some_and(|value| value == "1")
}

/// The number of the call is that of another one, which gives this answer to these flags.
fn answered_with(answer: impl Fn(u64) -> i64 + Send + 'static) {
    let (sender, listener) = mpsc::channel();
    // It is there before the filter is, so it is not under it.
    thread::spawn(move || {
        let Ok(listener): Result<c_int, _> = listener.recv() else {
            return;
        };
        loop {
            // SAFETY: both are of the kind that the requests take, and all zeroes before.
            unsafe {
                let mut call: libc::seccomp_notif = std::mem::zeroed();
                if libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV as _, &mut call) != 0 {
                    return;
                }
                let answer = answer(call.data.args[3]);
                let mut response: libc::seccomp_notif_resp = std::mem::zeroed();
                response.id = call.id;
                response.val = answer.max(0);
                response.error = answer.min(0) as i32;
                libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND as _, &mut response);
            }
        }
    });
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if let Some(listener) = filter(&[CPU_OPV], libc::SECCOMP_RET_USER_NOTIF, flags as c_ulong) {
        sender.send(listener).unwrap();
        assert_eq!(support(), None);
        assert_ne!(Backend::get(), Backend::CpuOpv);
        assert_eq!(exercise(), 0);
    }
}

/// Mounts something, for this thread and those that it starts.
fn mounted(source: &CStr, target: &CStr, kind: Option<&CStr>) -> bool {
    // SAFETY: they are strings.
    let done = unsafe {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let kind = kind.map_or(null(), CStr::as_ptr);
        let flags = if kind.is_null() { libc::MS_BIND } else { 0 };
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(null(), c"/".as_ptr(), null(), private, null()) == 0
            && libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, null()) == 0
    };
    if !done {
        skip("this user may not mount anything");
    }
    done
}

/// This file has other contents from here on.
fn replaced(path: &str, contents: &str) -> bool {
    let file = env::temp_dir().join(format!("cpu-opv-{}", std::process::id()));
    fs::write(&file, contents).unwrap();
    let source = CString::new(file.to_str().unwrap()).unwrap();
    let done = mounted(&source, &CString::new(path).unwrap(), None);
    fs::remove_file(file).unwrap();
    if done {
        assert_eq!(fs::read_to_string(path).unwrap(), contents);
    }
    done
}

fn with_list(list: &str) {
    if replaced("/sys/devices/system/cpu/possible", list) {
        assert!(Cpu::all().len() < 10_000);
        assert!(Cpu::all().any(|cpu| Some(&cpu) == allowed().last()));
        assert_eq!(exercise(), 0);
    }
}

/// The crate comes to know of fewer CPUs than there are, and then this thread is on the last one.
fn on_a_cpu_beyond() {
    // SAFETY: a set of zeroes is empty, and of the size that is given.
    let stay_on = |choose: &dyn Fn(&[usize]) -> usize| unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of_val(&set), &mut set);
        let all = (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set));
        let cpu = choose(&all.collect::<Vec<_>>());
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of_val(&one), &one);
        cpu
    };
    let last = {
        // Another thread, so that this one is still allowed on all.
        let first = thread::scope(|scope| {
            let first = scope.spawn(|| {
                let first = stay_on(&|cpus| cpus[0]);
                let replaced = replaced("/sys/devices/system/cpu/possible", "0\n");
                replaced.then(|| assert_eq!(Cpu::all().len(), first + 1))
            });
            first.join().unwrap()
        });
        if first.is_none() {
            return;
        }
        stay_on(&|cpus| *cpus.last().unwrap())
    };
    let (counter, stack) = (Counter::new(), Stack::<usize, 4>::new());
    if Backend::get() == Backend::CpuOpv {
        return skip("the kernel does not let this thread name a CPU that it knows of");
    }
    for _ in 0..10 {
        counter.increment();
        assert_eq!(stack.push(1), Ok(()));
        assert_eq!(stack.pop(), Some(1));
    }
    assert_eq!(counter.sum(), 10);
    assert!(last == 0 || Cpu::new(last).is_none());
}

/// Has other threads work on all structures until `meanwhile` is done, which gets their ids too.
fn while_others_work(meanwhile: impl FnOnce(&Work, &[AtomicI32])) {
    let work = Work::default();
    let done = AtomicBool::new(false);
    let tids = [const { AtomicI32::new(0) }; 4];
    let cpus = allowed();
    thread::scope(|scope| {
        for (index, tid) in tids.iter().enumerate() {
            let (work, done, cpus) = (&work, &done, &cpus);
            scope.spawn(move || {
                // SAFETY: takes nothing.
                tid.store(unsafe { libc::syscall(libc::SYS_gettid) } as i32, Relaxed);
                let mut random = Random::new(index);
                while !done.load(Relaxed) {
                    let there = random.below(2) == 0;
                    let there = there.then(|| cpus[random.below(cpus.len())]);
                    // The mask may be another one by now.
                    if there.is_none_or(|cpu| work.counter.add_on(cpu, 0).is_ok()) {
                        work.round(1, there);
                    }
                }
            });
        }
        meanwhile(&work, &tids);
        done.store(true, Relaxed);
    });
    thread::scope(|scope| scope.spawn(|| work.check()).join().unwrap());
}

/// Others restrict the threads to one CPU after the other. What is refused then is not counted.
fn masks_change() {
    let cpus = allowed();
    let counter = Counter::new();
    let added = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let tids: Vec<_> = (0..4)
            .map(|index| {
                let (sender, tid) = mpsc::channel();
                let (counter, added, done, cpus) = (&counter, &added, &done, &cpus);
                scope.spawn(move || {
                    // SAFETY: takes nothing.
                    sender
                        .send(unsafe { libc::syscall(libc::SYS_gettid) } as i32)
                        .unwrap();
                    let mut random = Random::new(index);
                    while !done.load(Relaxed) {
                        counter.increment();
                        let there = counter.add_on(cpus[random.below(cpus.len())], 1);
                        assert!(matches!(there, Ok(()) | Err(Error::CpuNotAllowed)));
                        added.fetch_add(1 + usize::from(there.is_ok()), Relaxed);
                    }
                });
                tid.recv().unwrap()
            })
            .collect();
        for round in 0..2000 {
            let cpu = cpus[round % cpus.len()];
            // SAFETY: a set of zeroes is empty, and of the size that is given.
            unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(cpu.number(), &mut set);
                let tid = tids[round / cpus.len() % tids.len()];
                assert_eq!(libc::sched_setaffinity(tid, size_of_val(&set), &set), 0);
            }
        }
        done.store(true, Relaxed);
    });
    assert_eq!(counter.sum(), added.into_inner() as u64);
}

/// How this child ends, which it is made to if it hangs.
fn status_of(child: libc::pid_t) -> c_int {
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: the status is written.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > PATIENCE / 4 {
            // SAFETY: it is this process' child.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(1));
    }
    status
}

/// A drain that was begun before the fork goes on in the parent. In the child it is at its end, as others may drain there.
fn forks_in_a_drain() {
    let ring = TraceRing::new(0, LossMode::Discard);
    let cpu = allowed()[0];
    let push = |numbers: Range<u8>| numbers.for_each(|n| ring.push_on(cpu, &[n; 900]).unwrap());
    let first_bytes = |drain: &mut Drain<'_>| drain.map(|it| it.data[0]).collect::<Vec<_>>();
    push(0..3);
    let mut drain = ring.drain_on(cpu);
    assert_eq!(drain.next().unwrap().data[0], 0);
    // SAFETY: the child has what threads left behind, takes no locks of theirs, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut right = first_bytes(&mut ring.drain_on(cpu)) == [1, 2];
        // As often as the ring takes: so something else is where the drain would go on.
        for _ in 0..10 {
            push(10..14);
            right &= drain.next().is_none();
            right &= first_bytes(&mut ring.drain_on(cpu)) == [10, 11, 12, 13];
        }
        push(20..22);
        let mut other = ring.drain_on(cpu);
        drop(drain);
        thread::scope(|scope| {
            let third = scope.spawn(|| first_bytes(&mut ring.drain_on(cpu)));
            thread::sleep(Duration::from_millis(100));
            right &= !third.is_finished() && first_bytes(&mut other) == [20, 21];
            drop(other);
            right &= third.join().is_ok_and(|numbers| numbers.is_empty());
        });
        // SAFETY: ends this process.
        unsafe { libc::_exit(c_int::from(!right)) };
    }
    assert_eq!(status_of(child), 0);
    assert_eq!(first_bytes(&mut drain), [1, 2]);
}

/// Children of a process of many threads use what that made.
fn forks() {
    let counter = Counter::new();
    let stack = Stack::<usize, 1000>::new();
    let cpus = allowed();
    let set = CounterSet::new(3);
    let (counter, stack, set, cpus) = (&counter, &stack, &set, &cpus[..]);
    let work = move || {
        // Which takes memory that others had, and gives it back.
        let new = Counter::new();
        new.increment();
        assert_eq!(new.sum(), 1);
        set.add([(0, 1), (2, 1)]);
        for cpu in cpus {
            counter.add_on(*cpu, 1).unwrap();
            set.add_on(*cpu, [(2, 1), (0, 1)]).unwrap();
            let taken = set.take_on(*cpu).unwrap();
            assert_eq!(taken[0], taken[2]);
            stack.push_on(*cpu, 1).unwrap();
            stack.pop_on(*cpu).unwrap().unwrap();
        }
        counter.increment();
    };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    work();
                }
            });
        }
        // Fewer on a machine that is slow.
        let begun = Instant::now();
        for _ in (0..50).take_while(|_| begun.elapsed() < PATIENCE / 4) {
            // SAFETY: the child does what a signal handler may do, and ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let before = counter.sum();
                (0..10).for_each(|_| work());
                let right = counter.sum() - before == 10 * (cpus.len() as u64 + 1);
                // SAFETY: ends this process.
                unsafe { libc::_exit(c_int::from(!right)) };
            }
            let status = status_of(child);
            done.store(status != 0, Relaxed);
            assert_eq!(status, 0, "a child hung, or lost a count");
        }
        done.store(true, Relaxed);
    });
}

/// A closure that points out a word does an operation itself, on the same data.
fn calls_back() {
    let both = PerCpu::new(|_| [Word::new(0), Word::new(0)]);
    let other = Cpu::all().find(|cpu| *cpu != Cpu::current() && allowed().contains(cpu));
    let cpus: Vec<_> = [Some(Cpu::current()), other]
        .into_iter()
        .flatten()
        .collect();
    for cpu in &cpus {
        let calls = Cell::new(0);
        let result = both.add_on(
            *cpu,
            |[one, _]| {
                both.add_on(*cpu, |[_, two]| two, 1).unwrap();
                calls.set(calls.get() + 1);
                one
            },
            1,
        );
        assert_eq!(result, Ok(()));
        let [one, two] = both.get_on(*cpu);
        assert_eq!((one.load(Relaxed), two.load(Relaxed)), (1, calls.get()));
    }
}

/// Restricts this thread to a CPU and gives it a priority there, above all that have none.
fn real_time(cpu: Cpu, priority: c_int) -> bool {
    // SAFETY: the parameter is one.
    let done = unsafe {
        let mut parameter: libc::sched_param = std::mem::zeroed();
        parameter.sched_priority = priority;
        libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &parameter) == 0
    };
    // Now, so that it comes to run there even if a thread of a lower priority does not let go.
    stay_on(&[cpu]);
    done
}

/// A thread waits for a lock whose holder only runs when that one does not.
fn priorities() {
    let lock = PerCpuLock::new(|_| 0);
    let cpu = allowed()[0];
    let (held, is_held) = mpsc::channel();
    thread::scope(|scope| {
        let lock = &lock;
        scope.spawn(move || {
            if !real_time(cpu, 1) {
                return skip("this user may not have a priority");
            }
            let mut guard = lock.lock();
            held.send(()).unwrap();
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
            *guard += 1;
        });
        scope.spawn(move || {
            if real_time(cpu, 2) && is_held.recv().is_ok() {
                *lock.lock() += 1;
            }
        });
    });
}

/// The area is there as long as a thread has destructors of thread-local data, and is unregistered then.
fn threads_end() {
    const UNKNOWN: usize = 2;
    static LOCAL: AtomicUsize = AtomicUsize::new(UNKNOWN);
    static SPECIFIC: AtomicUsize = AtomicUsize::new(UNKNOWN);
    struct Last;
    impl Drop for Last {
        fn drop(&mut self) {
            LOCAL.store(register_thread().into(), Relaxed);
        }
    }
    thread_local!(static LAST: Last = const { Last });
    extern "C" fn last(_: *mut c_void) {
        SPECIFIC.store(register_thread().into(), Relaxed);
    }

    let registered = register_thread();
    let mut key = 0;
    // SAFETY: the key is written. It comes after the crate's.
    assert_eq!(unsafe { libc::pthread_key_create(&mut key, Some(last)) }, 0);
    let counter = Counter::new();
    let work = || {
        LAST.with(|_| {
            // SAFETY: it is a key, and the destructor takes any value.
            let set = unsafe { libc::pthread_setspecific(key, (&raw const key).cast()) };
            assert_eq!(set, 0);
            counter.increment();
            assert_eq!(register_thread(), registered);
        });
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap());
    assert_eq!(counter.sum(), 1);
    // Elsewhere Rust's library has a key, too, and either may come first.
    if cfg!(all(target_env = "gnu", not(target_feature = "crt-static"))) {
        assert_eq!(LOCAL.load(Relaxed), registered.into());
    }
    assert_eq!(SPECIFIC.load(Relaxed), 0);
}

/// How often the slow path was taken until now, whichever it is.
fn slow() -> usize {
    let calls = slow_path_calls();
    calls.cpu_opv + calls.membarrier + calls.lock
}

/// What sequences can do they do, but for those that happen to be interrupted again and again.
fn sequences_commit() {
    if !cfg!(fast_path) || Backend::get() == Backend::Lock || !register_thread() {
        return skip("there are no sequences here");
    }
    let here = allowed()[0];
    stay_on(&[here]);
    let counter = Counter::new();
    let set = CounterSet::new(3);
    let histogram = Histogram::new([10.0, 1000.0]);
    let words = PerCpu::new(|_| [Word::new(0), Word::new(0)]);
    let lock = PerCpuLock::new(|_| 0);
    let list = List::new();
    let bounded = BoundedList::new(4);
    let stack = Stack::<usize, 8>::new();
    let steal = StealStack::<usize, 8>::new();
    let copies = CopyStack::<[u8; 43], 8>::new();
    let raw = RawStacks::<2, 8>::new([4, 4]).unwrap();
    let pool = Pool::new(|| 0);
    let ring = Ring::<usize, 2, 4>::new();
    let trace = TraceRing::new(0, LossMode::Overwrite);

    // Each does one thing and says whether it is done.
    let operations: &[(&str, &dyn Fn(usize) -> bool)] = &[
        ("Counter", &|_| {
            counter.increment();
            true
        }),
        ("CounterSet", &|_| {
            set.add([(0, 1), (2, 1)]);
            true
        }),
        ("Histogram", &|n| {
            histogram.observe(n as f64);
            true
        }),
        ("PerCpu::add", &|_| {
            words.add(|[one, _]| one, 1);
            true
        }),
        ("PerCpu::compare_store", &|n| {
            words.compare_store(|[_, two]| two, n, n + 1)
        }),
        ("PerCpuLock", &|n| {
            *lock.lock() += n;
            true
        }),
        ("List", &|n| {
            list.push(Box::new(Node::new(n)));
            list.pop().is_some()
        }),
        ("BoundedList", &|n| {
            // With 32 bits it has no sequences.
            cfg!(target_pointer_width = "32")
                || bounded.push(Box::new(BoundedNode::new(n))).is_ok() && bounded.pop().is_some()
        }),
        ("Stack", &|n| {
            stack.push(n).is_ok() && stack.pop() == Some(n)
        }),
        ("Stack, by a batch", &|n| {
            let mut batch = Batch::<usize, 4>::new();
            (0..3).for_each(|more| batch.push(n + more).unwrap());
            let pushed = stack.push_all(&mut batch);
            stack.take(&mut batch, 3);
            pushed == 3 && batch.len() == 3
        }),
        ("StealStack", &|n| {
            steal.push(n).is_ok() && steal.pop() == Some(n)
        }),
        ("CopyStack", &|n| {
            let copy = [n as u8; 43];
            copies.push(copy).is_ok() && copies.pop() == Some(copy)
        }),
        ("RawStacks", &|n| raw.push(1, n) && raw.pop(1) == Some(n)),
        ("RawStacks, by several", &|n| {
            raw.push(0, n) && raw.push(0, n) && raw.take(0, &mut [0; 4]) == 2
        }),
        ("Pool", &|n| *pool.get() <= n),
        ("Ring", &|n| {
            ring.push(n).is_ok() && ring.consume_on(here, |_| ()) == 1
        }),
        ("TraceRing", &|n| trace.push(&[n as u8; 43]).is_ok()),
    ];
    for (name, operation) in operations {
        let before = slow();
        let undone = (0..ROUNDS).filter(|n| !operation(*n)).count();
        let slowly = slow() - before;
        assert!(
            slowly + undone < ROUNDS / 10,
            "{name}: {slowly} slowly, {undone} not"
        );
    }
}

/// An allocator keeps something of its own in `cpu_id_start`: that is no reason to be slow.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn overwritten() {
    unsafe extern "C" {
        static __rseq_offset: isize;
    }
    let counter = Counter::new();
    let before = slow();
    for _ in 0..ROUNDS {
        // SAFETY: glibc has an area there, of which this is the first word.
        unsafe {
            std::arch::asm!("mov dword ptr fs:[{}], 0x80000001", in(reg) __rseq_offset);
        }
        counter.increment();
    }
    assert_eq!(counter.sum(), ROUNDS as u64);
    assert!(slow() - before < ROUNDS / 10, "{:?}", slow_path_calls());
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
fn overwritten() {
    skip("this is written for x86_64 and glibc");
}
