// SPDX-License-Identifier: MIT OR Apache-2.0

//! cpu-opv against what one would do otherwise, in one run: by one thread, as many as there are CPUs, four times that.
//!
//! An iteration is a thousand operations, or a thousand pairs of them: so the microseconds that are printed are
//! nanoseconds for one. A sample is 200 iterations, about a millisecond, so that threads get in each other's way.
//! `fastest` is the column to look at on a machine that has other things to do.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;

use cpu_opv::{
    Backend, BoundedList, BoundedNode, CopyStack, Counter, CounterSet, Cpu, Histogram, List, Node,
    PerCpuLock, Ring, Stack,
};
#[cfg(target_arch = "x86_64")]
use cpu_opv_bench::c;
use cpu_opv_bench::{ByCpu, Padded, cpu_by_getcpu, cpu_by_rseq};
use divan::Bencher;

const OPERATIONS: usize = 1000;
/// What a CPU, or a thread, or all share, has at first of what is taken and given back.
const ITEMS: usize = 16;

fn main() {
    println!("{:?}", Backend::get());
    divan::main();
}

fn threads() -> [usize; 3] {
    let cpus = available_parallelism().map_or(1, usize::from);
    [1, cpus, 4 * cpus]
}

/// A thousand increments, in a function of their own as those in C are: so there, too, it is not
/// known where the counter lies.
#[inline(never)]
fn increments(counter: &Counter) {
    (0..OPERATIONS).for_each(|_| counter.increment());
}

#[inline(never)]
fn list_pairs(list: &List<usize>) {
    for _ in 0..OPERATIONS {
        if let Some(node) = list.pop() {
            list.push(node);
        }
    }
}

#[inline(never)]
fn bounded_list_pairs(list: &BoundedList<usize>) {
    for _ in 0..OPERATIONS {
        if let Some(node) = list.pop() {
            let _ = list.push(node);
        }
    }
}

#[inline(never)]
fn stack_pairs(stack: &Stack<usize, 64>) {
    for _ in 0..OPERATIONS {
        if let Some(item) = stack.pop() {
            let _ = stack.push(item);
        }
    }
}

/// A thousand of these an iteration.
#[inline(always)]
fn thousand(bencher: Bencher, operation: impl Fn() + Sync) {
    bencher.bench(|| {
        for _ in 0..OPERATIONS {
            operation();
        }
    });
}

#[divan::bench_group(threads = threads(), sample_size = 200, sample_count = 100)]
mod increment {
    use super::*;

    #[divan::bench]
    fn cpu_opv(bencher: Bencher) {
        let counter = Counter::new();
        bencher.bench(|| increments(&counter));
    }

    #[divan::bench]
    fn cpu_opv_static(bencher: Bencher) {
        bencher.bench(static_increments);
    }

    #[cfg(target_arch = "x86_64")]
    #[divan::bench]
    fn c_with_rseq(bencher: Bencher) {
        let counts = c::Counts::default();
        bencher.bench(|| counts.increment(OPERATIONS));
    }

    #[divan::bench]
    fn thread_local(bencher: Bencher) {
        thread_local!(static LOCAL: Cell<usize> = const { Cell::new(0) });
        thousand(bencher, || {
            LOCAL.with(|count| count.set(black_box(count.get()) + 1))
        });
    }

    #[divan::bench]
    fn sharded_atomics_by_rseq(bencher: Bencher) {
        let counts = ByCpu::new(|| Padded(AtomicUsize::new(0)));
        thousand(bencher, || {
            counts[cpu_by_rseq()].0.fetch_add(1, Relaxed);
        });
    }

    #[divan::bench]
    fn sharded_atomics_by_getcpu(bencher: Bencher) {
        let counts = ByCpu::new(|| Padded(AtomicUsize::new(0)));
        thousand(bencher, || {
            counts[cpu_by_getcpu()].0.fetch_add(1, Relaxed);
        });
    }

    /// As `metrics_util::registry::AtomicStorage` makes them.
    #[divan::bench]
    fn metrics(bencher: Bencher) {
        let counter = metrics::Counter::from_arc(Arc::new(AtomicU64::new(0)));
        thousand(bencher, || counter.increment(1));
    }

    #[divan::bench]
    fn prometheus_client(bencher: Bencher) {
        let counter: prometheus_client::metrics::counter::Counter = Default::default();
        thousand(bencher, || {
            counter.inc();
        });
    }

    /// As the counters of most crates are.
    #[divan::bench]
    fn one_atomic(bencher: Bencher) {
        let count = AtomicUsize::new(0);
        thousand(bencher, || {
            count.fetch_add(1, Relaxed);
        });
    }

    #[divan::bench]
    fn mutex(bencher: Bencher) {
        let count = Mutex::new(0_usize);
        thousand(bencher, || *count.lock().unwrap() += 1);
    }
}

/// A static, whose address and whose state the program finds out each time.
#[inline(never)]
fn static_increments() {
    static COUNTER: Counter = Counter::new();
    (0..OPERATIONS).for_each(|_| COUNTER.increment());
}

/// Adds to two counters so that nobody sees one without the other, or not.
#[divan::bench_group(threads = threads(), sample_size = 200, sample_count = 100)]
mod two_counters {
    use super::*;

    #[divan::bench]
    fn cpu_opv_set(bencher: Bencher) {
        let set = CounterSet::new(2);
        thousand(bencher, || set.add([(0, 1), (1, 1500)]));
    }

    #[divan::bench]
    fn cpu_opv_set_of_three(bencher: Bencher) {
        let set = CounterSet::new(3);
        thousand(bencher, || set.add([(0, 1), (1, 1500), (2, 1)]));
    }

    #[divan::bench]
    fn cpu_opv_one_by_one(bencher: Bencher) {
        let (requests, bytes) = (Counter::new(), Counter::new());
        thousand(bencher, || {
            requests.increment();
            bytes.add(1500);
        });
    }

    #[divan::bench]
    fn sharded_mutexes_by_rseq(bencher: Bencher) {
        let counts = ByCpu::new(|| Padded(Mutex::new([0_usize; 2])));
        thousand(bencher, || {
            let mut counts = counts[cpu_by_rseq()].0.lock().unwrap();
            counts[0] += 1;
            counts[1] += 1500;
        });
    }

    #[divan::bench]
    fn atomics_one_by_one(bencher: Bencher) {
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
        thousand(bencher, || {
            counts[0].fetch_add(1, Relaxed);
            counts[1].fetch_add(1500, Relaxed);
        });
    }
}

/// Observes a value, in one of 12 ranges.
#[divan::bench_group(threads = threads(), sample_size = 200, sample_count = 100)]
mod observe {
    use super::*;

    const BOUNDS: [f64; 11] = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ];

    #[divan::bench]
    fn cpu_opv(bencher: Bencher) {
        let histogram = Histogram::new(BOUNDS);
        thousand(bencher, || histogram.observe(black_box(0.3)));
    }

    /// As most crates have it: the sum and the counts do not belong together.
    #[divan::bench]
    fn atomics(bencher: Bencher) {
        let counts: [AtomicUsize; 12] = Default::default();
        let sum = AtomicU64::new(0);
        thousand(bencher, || {
            let value = black_box(0.3);
            counts[BOUNDS.partition_point(|bound| *bound < value)].fetch_add(1, Relaxed);
            let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
            let _ = sum.fetch_update(Relaxed, Relaxed, add);
        });
    }

    #[divan::bench]
    fn mutex(bencher: Bencher) {
        let counts = Mutex::new(([0_usize; 12], 0.0));
        thousand(bencher, || {
            let value = black_box(0.3);
            let mut counts = counts.lock().unwrap();
            counts.0[BOUNDS.partition_point(|bound| *bound < value)] += 1;
            counts.1 += value;
        });
    }
}

/// Takes an object from a pool and gives it back.
#[divan::bench_group(threads = threads(), sample_size = 200, sample_count = 100)]
mod pop_and_push {
    use super::*;

    #[divan::bench]
    fn cpu_opv_list(bencher: Bencher) {
        let list = List::new();
        for cpu in Cpu::all() {
            for item in 0..ITEMS {
                let _ = list.push_on(cpu, Box::new(Node::new(item)));
            }
        }
        bencher.bench(|| list_pairs(&list));
    }

    #[divan::bench]
    fn cpu_opv_bounded_list(bencher: Bencher) {
        let list = BoundedList::new(64);
        for cpu in Cpu::all() {
            for item in 0..ITEMS {
                let _ = list.push_on(cpu, Box::new(BoundedNode::new(item)));
            }
        }
        bencher.bench(|| bounded_list_pairs(&list));
    }

    #[cfg(target_arch = "x86_64")]
    #[divan::bench]
    fn c_with_rseq_list(bencher: Bencher) {
        let lists = c::Slots::of_nodes(ITEMS);
        bencher.bench(|| lists.list(OPERATIONS));
    }

    #[divan::bench]
    fn cpu_opv_stack(bencher: Bencher) {
        let stack: Stack<usize, 64> = Stack::new();
        for cpu in Cpu::all() {
            for item in 0..ITEMS {
                let _ = stack.push_on(cpu, item);
            }
        }
        bencher.bench(|| stack_pairs(&stack));
    }

    #[cfg(target_arch = "x86_64")]
    #[divan::bench]
    fn c_with_rseq_stack(bencher: Bencher) {
        let stacks = c::Slots::of_items(ITEMS);
        bencher.bench(|| stacks.stack(OPERATIONS));
    }

    #[divan::bench]
    fn cpu_opv_lock(bencher: Bencher) {
        let locks = PerCpuLock::new(|_| Vec::from_iter(0..ITEMS));
        thousand(bencher, || {
            let item = locks.lock().pop();
            if let Some(item) = black_box(item) {
                locks.lock().push(item);
            }
        });
    }

    #[divan::bench]
    fn thread_local(bencher: Bencher) {
        thread_local!(static LOCAL: RefCell<Vec<usize>> = RefCell::new((0..ITEMS).collect()));
        thousand(bencher, || {
            let item = LOCAL.with_borrow_mut(Vec::pop);
            if let Some(item) = black_box(item) {
                LOCAL.with_borrow_mut(|items| items.push(item));
            }
        });
    }

    /// A mutex for each CPU.
    fn sharded(bencher: Bencher, cpu: impl Fn() -> usize + Sync) {
        let pools = ByCpu::new(|| Padded(Mutex::new(Vec::from_iter(0..ITEMS))));
        thousand(bencher, || {
            let item = pools[cpu()].0.lock().unwrap().pop();
            if let Some(item) = black_box(item) {
                pools[cpu()].0.lock().unwrap().push(item);
            }
        });
    }

    #[divan::bench]
    fn sharded_mutexes_by_rseq(bencher: Bencher) {
        sharded(bencher, cpu_by_rseq);
    }

    #[divan::bench]
    fn sharded_mutexes_by_getcpu(bencher: Bencher) {
        sharded(bencher, cpu_by_getcpu);
    }

    #[divan::bench]
    fn mutex(bencher: Bencher) {
        let pool = Mutex::new(Vec::from_iter(0..ITEMS));
        thousand(bencher, || {
            let item = pool.lock().unwrap().pop();
            if let Some(item) = black_box(item) {
                pool.lock().unwrap().push(item);
            }
        });
    }
}

/// What has no rival here.
#[divan::bench_group(threads = threads(), sample_size = 200, sample_count = 100)]
mod others {
    use super::*;

    #[divan::bench(consts = [16, 64, 1024])]
    fn copy_stack_pop_and_push<const LEN: usize>(bencher: Bencher) {
        let stack: CopyStack<[u8; LEN], 64> = CopyStack::new();
        thousand(bencher, || {
            let item = stack.pop().unwrap_or([1; LEN]);
            let _ = stack.push(black_box(item));
        });
    }

    #[divan::bench]
    fn ring_reserve_and_commit(bencher: Bencher) {
        let ring: Ring<usize, 16, 64> = Ring::new();
        thousand(bencher, || {
            if ring.push(1).is_err() {
                ring.consume_on(Cpu::current(), drop);
            }
        });
    }
}
