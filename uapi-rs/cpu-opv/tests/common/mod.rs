//! What the stress tests share.
#![allow(dead_code, reason = "not each test uses all of it")]

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use cpu_opv::{Backend, Cpu, Error, PushError};

/// Before anything else: the backend of CPU_OPV_BACKEND, or the best.
#[used]
#[unsafe(link_section = ".init_array")]
static SELECT_BACKEND: extern "C" fn() = {
    extern "C" fn select() {
        let Some(name) = env::var_os("CPU_OPV_BACKEND") else {
            return;
        };
        let backends = [Backend::CpuOpv, Backend::Membarrier, Backend::Lock];
        let backend = backends
            .into_iter()
            .find(|backend| *name == *format!("{backend:?}"))
            .expect("CPU_OPV_BACKEND is CpuOpv, Membarrier or Lock");
        backend.select().expect("this system has CPU_OPV_BACKEND");
    }
    select
};

/// More threads than CPUs, so that they preempt each other.
pub fn threads() -> usize {
    2 * thread::available_parallelism().map_or(2, usize::from) + 1
}

/// How many operations a stress test does in all: CPU_OPV_STRESS, or enough to see it work.
pub fn operations() -> usize {
    env::var("CPU_OPV_STRESS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(200_000)
}

/// The CPUs that this thread is allowed on.
pub fn allowed() -> Vec<Cpu> {
    // SAFETY: a set of zeroes is empty, and the kernel fills in as much as it is told that there is room for.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        set
    };
    Cpu::all()
        // SAFETY: the set is initialised.
        .filter(|cpu| unsafe { libc::CPU_ISSET(cpu.number(), &set) })
        .collect()
}

/// Restricts this thread to these CPUs.
pub fn stay_on(cpus: &[Cpu]) {
    // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(cpu.number(), &mut set);
        }
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

/// Numbers that are good enough to mix things up: xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Runs `work` on all threads at once, and prints what it took.
pub fn on_all_threads(name: &str, work: impl Fn(usize) + Sync) {
    let before = cpu_opv::slow_path_calls();
    thread::scope(|scope| {
        for index in 0..threads() {
            let work = &work;
            scope.spawn(move || work(index));
        }
    });
    println!(
        "{name}: {:?}, before {before:?}, after {:?}",
        Backend::get(),
        cpu_opv::slow_path_calls()
    );
}

/// Counts a thread that is done, even if it panicked: whoever waits for all does not wait for ever.
pub struct Done<'a>(pub &'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
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
