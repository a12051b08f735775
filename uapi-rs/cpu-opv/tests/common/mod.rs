// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the stress tests share.
#![allow(dead_code, reason = "not each test uses all of it")]

mod machine;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cpu_opv::{Backend, Cpu, Error, PushError};
pub use machine::*;

/// How many operations a stress test does in all.
pub fn operations() -> usize {
    operations_or(200_000)
}

/// Whether that is enough for what is rare to happen.
pub fn is_stress() -> bool {
    operations() >= 100_000
}

/// Runs `work` on all threads at once. Signals interrupt them, and move them to another CPU wherever they are.
pub fn on_all_threads(name: &str, work: impl Fn(usize) + Sync) {
    on_all_threads_while(name, || thread::sleep(TICK), work);
}

/// The same, with `meanwhile` run again and again by this thread.
pub fn on_all_threads_while(name: &str, mut meanwhile: impl FnMut(), work: impl Fn(usize) + Sync) {
    let done = AtomicUsize::new(0);
    let tids: Vec<AtomicI32> = (0..threads()).map(|_| AtomicI32::new(0)).collect();
    if cfg!(not(miri)) {
        handle_signals();
    }
    thread::scope(|scope| {
        for index in 0..threads() {
            let (work, done, tids) = (&work, &done, &tids);
            scope.spawn(move || {
                let _done = Done(done);
                let _failure = NoteFailure;
                tids[index].store(gettid(), Relaxed);
                work(index);
                block_signals();
            });
        }
        let _failure = NoteFailure;
        let mut last = Instant::now();
        while done.load(Relaxed) != threads() {
            meanwhile();
            if cfg!(not(miri)) && last.elapsed() >= TICK {
                tids.iter().for_each(interrupt);
                last = Instant::now();
            }
        }
    });
    check_slow_path(name);
}

/// That of the backend was taken, and no other one.
fn check_slow_path(name: &str) {
    let (backend, calls) = (Backend::get(), cpu_opv::slow_path_calls());
    println!("{name}: {backend:?}, {calls:?}");
    let taken = [
        (Backend::CpuOpv, calls.cpu_opv),
        (Backend::Membarrier, calls.membarrier),
        (Backend::Lock, calls.lock),
    ];
    for (slow_path, calls) in taken {
        if slow_path != backend {
            assert_eq!(calls, 0);
        } else if backend != Backend::Lock && Cpu::all().len() > 1 {
            // With `Lock`, some operations are an atomic instruction.
            assert_ne!(calls, 0);
        }
    }
}

const TICK: Duration = Duration::from_millis(1);

/// What a signal does besides, if a test says so.
pub static HANDLER: OnceLock<fn()> = OnceLock::new();

static ALLOWED: LazyLock<Vec<Cpu>> = LazyLock::new(allowed);

extern "C" fn on_signal(_signal: libc::c_int) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    stay_on(&[ALLOWED[NEXT.fetch_add(1, Relaxed) % ALLOWED.len()]]);
    stay_on(&ALLOWED);
    if let Some(handler) = HANDLER.get() {
        handler();
    }
}

fn handle_signals() {
    LazyLock::force(&ALLOWED);
    // SAFETY: the handler makes system calls, and does what the crate's documentation allows.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(
            libc::sigaction(libc::SIGURG, &action, std::ptr::null_mut()),
            0
        );
    }
}

/// From here on no handler does anything, even though the thread goes on for a while after it counts as ended.
fn block_signals() {
    if cfg!(miri) {
        return;
    }
    // SAFETY: a set of zeroes can be made the set of a signal.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut signals);
        libc::sigaddset(&mut signals, libc::SIGURG);
        assert_eq!(
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals, std::ptr::null_mut()),
            0
        );
    }
}

fn gettid() -> i32 {
    if cfg!(miri) {
        return 0;
    }
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

fn interrupt(tid: &AtomicI32) {
    let tid = tid.load(Relaxed);
    if tid != 0 {
        // SAFETY: takes no memory. The thread may be gone.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGURG) };
    }
}

/// Counts a thread that is done, even if it panicked: whoever waits for all does not wait for ever.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// Whether one of the threads has panicked.
static FAILED: AtomicBool = AtomicBool::new(false);

/// For tests that run one at a time, as they fail one at a time, or have a handler of signals that is one for all.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    FAILED.store(false, Relaxed);
    alone
}

pub fn has_failed() -> bool {
    FAILED.load(Relaxed)
}

/// For who waits for another thread: panics if one has failed, so that the test fails, and does not hang.
pub fn yield_now() {
    assert!(!has_failed(), "another thread has failed");
    thread::yield_now();
}

/// What others wait for does not come if this thread panics.
pub struct NoteFailure;

impl Drop for NoteFailure {
    fn drop(&mut self) {
        if thread::panicking() {
            FAILED.store(true, Relaxed);
        }
    }
}

/// Something that items are put into and taken out of.
pub trait Pool: Sync {
    type Item;

    fn push(&self, item: Self::Item) -> Result<(), Self::Item>;
    fn pop(&self) -> Option<Self::Item>;
    fn push_on(&self, cpu: Cpu, item: Self::Item) -> Result<(), PushError<Self::Item>>;
    fn pop_on(&self, cpu: Cpu) -> Result<Option<Self::Item>, Error>;
    /// Does something to an item that only one thread may do at a time.
    fn work(item: &mut Self::Item);
}

/// One in so many operations is on another CPU.
const REMOTE: usize = 50;

/// Moves items about, `operations()` times.
pub fn stir<P: Pool>(pool: &P, index: usize) {
    let cpus = allowed();
    let mut random = Random::new(index);
    for _ in 0..operations() / threads() {
        let any = cpus[random.below(cpus.len())];
        let popped = match random.below(REMOTE) {
            0 => pool.pop_on(any).unwrap(),
            _ => pool.pop(),
        };
        let Some(mut item) = popped else {
            thread::yield_now();
            continue;
        };
        P::work(&mut item);
        if random.below(1000) == 0 {
            thread::yield_now();
        }
        let mut back = match random.below(REMOTE) {
            0 => pool.push_on(any, item).map_err(|error| {
                assert!(matches!(error, PushError::Full(_)), "{error}");
                error.into_inner()
            }),
            _ => pool.push(item),
        };
        // Full: to whichever has room.
        while let Err(item) = back {
            let any = cpus[random.below(cpus.len())];
            back = pool.push_on(any, item).map_err(PushError::into_inner);
        }
    }
}

/// All that is left, which nobody else uses now.
pub fn drain<P: Pool>(pool: &P) -> Vec<P::Item> {
    let on_one = |cpu| std::iter::from_fn(move || pool.pop_on(cpu).unwrap());
    allowed().into_iter().flat_map(on_one).collect()
}
