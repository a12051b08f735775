//! Against what one would do otherwise: nanoseconds for an operation, by one thread and by one on each CPU.
//!
//! The best of several short rounds is taken, as the machine may have other things to do.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use cpu_opv::{Backend, CopyStack, Counter, Cpu, List, Node, PerCpuLock, Ring, Stack};

const OPERATIONS: usize = 1_000_000;
const ROUNDS: usize = 15;

#[repr(align(128))]
#[derive(Default)]
struct Padded(AtomicUsize);

fn measure(name: &str, operation: impl Fn() + Sync) {
    let on_all = thread::available_parallelism().map_or(1, usize::from);
    let [one, all] = [1, on_all].map(|threads| {
        let round = || {
            let barrier = Barrier::new(threads);
            thread::scope(|scope| {
                let run = || {
                    operation();
                    barrier.wait();
                    let start = Instant::now();
                    for _ in 0..OPERATIONS {
                        operation();
                    }
                    start.elapsed().as_secs_f64() * 1e9 / OPERATIONS as f64
                };
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
                let times = threads.into_iter().map(|thread| thread.join().unwrap());
                times.fold(0.0, f64::max)
            })
        };
        (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
    });
    println!("{name:32}{one:10.2}{all:10.2}");
}

fn main() {
    println!(
        "{:?}\n{:32}{:>10}{:>10}",
        Backend::get(),
        "ns",
        "1 thread",
        "1 a CPU"
    );

    let counter = Counter::new();
    measure("counter: cpu-opv", || counter.increment());
    let atomic = AtomicUsize::new(0);
    measure("counter: atomic", || {
        atomic.fetch_add(1, Relaxed);
    });
    let shards: Vec<Padded> = Cpu::all().map(|_| Padded::default()).collect();
    measure("counter: atomic for each CPU", || {
        // SAFETY: takes nothing.
        let cpu = unsafe { libc::sched_getcpu() } as usize;
        shards[cpu].0.fetch_add(1, Relaxed);
    });
    let mutex = Mutex::new(0_usize);
    measure("counter: mutex", || *mutex.lock().unwrap() += 1);
    thread_local!(static LOCAL: Cell<usize> = const { Cell::new(0) });
    measure("counter: thread-local", || {
        LOCAL.with(|count| count.set(black_box(count.get() + 1)));
    });

    let list: List<usize> = List::new();
    for cpu in Cpu::all() {
        for _ in 0..8 {
            let _ = list.push_on(cpu, Box::new(Node::new(0)));
        }
    }
    let reuse = || {
        if let Some(node) = list.pop() {
            list.push(node);
        }
    };
    measure("pop and push: List", reuse);
    let stack: Stack<usize, 64> = Stack::new();
    let reuse = || {
        let value = stack.pop().unwrap_or(1);
        let _ = stack.push(value);
    };
    measure("pop and push: Stack", reuse);
    let copies: CopyStack<[u8; 64], 64> = CopyStack::new();
    let reuse = || {
        let value = copies.pop().unwrap_or([1; 64]);
        let _ = copies.push(black_box(value));
    };
    measure("pop and push: CopyStack, 64 B", reuse);
    let locks = PerCpuLock::new(|_| Vec::from_iter(0..8_usize));
    let reuse = || {
        let mut values = locks.lock();
        if let Some(value) = values.pop() {
            values.push(black_box(value));
        }
    };
    measure("pop and push: PerCpuLock<Vec>", reuse);
    let mutex = Mutex::new(Vec::from_iter(0..8_usize));
    let reuse = || {
        let value = mutex.lock().unwrap().pop();
        if let Some(value) = value {
            mutex.lock().unwrap().push(black_box(value));
        }
    };
    measure("pop and push: Mutex<Vec>", reuse);

    let ring: Ring<usize, 16, 64> = Ring::new();
    measure("reserve and commit: Ring", || {
        if ring.push(1).is_err() {
            ring.consume(Cpu::current(), drop);
        }
    });
}
