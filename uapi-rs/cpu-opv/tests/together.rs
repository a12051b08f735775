// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is added in one step is found together, whoever reads or drains it; what is added in two is not.
//!
//! `CPU_OPV_STRESS` and `CPU_OPV_BACKEND` are those of `stress.rs`.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::{Random, allowed, on_all_threads_while, operations, threads};
use cpu_opv::{Counter, CounterSet, Cpu, Gauge, Histogram};

/// More than a chunk of the arena has room for.
const MANY: usize = if cfg!(miri) { 100 } else { 10_000 };

static STATIC: Counter = Counter::new();
static STATIC_GAUGE: Gauge = Gauge::new();

#[test]
fn a_static_is_there_at_once() {
    assert_eq!((STATIC.sum(), STATIC.drain()), (0, 0));
    // All threads come first.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                STATIC.add(3);
                STATIC.sub(1);
                STATIC_GAUGE.add(-5);
                STATIC_GAUGE.increment();
            });
        }
    });
    assert_eq!((STATIC.sum(), STATIC_GAUGE.sum()), (16, -32));
    assert_eq!((STATIC.drain(), STATIC.sum()), (16, 0));
}

#[test]
fn neighbours_do_not_mix() {
    let mut random = Random::new(1);
    let mut counters: Vec<(Counter, u64)> = Vec::new();
    for n in 0..3 * MANY {
        if counters.len() < MANY {
            counters.push((Counter::new(), 0));
        } else {
            // Whoever gets its memory next begins at 0.
            drop(counters.swap_remove(random.below(counters.len())));
        }
        let at = random.below(counters.len());
        let (counter, added) = &mut counters[at];
        counter.add(n as u64);
        *added += n as u64;
    }
    for (counter, added) in counters {
        assert_eq!(counter.sum(), added);
    }
}

#[test]
fn a_drain_loses_nothing() {
    let counter = Counter::new();
    let added = AtomicUsize::new(0);
    let mut drained = 0_u64;
    let meanwhile = || drained = drained.wrapping_add(counter.drain());
    on_all_threads_while("drain", meanwhile, |index| {
        let add = |elsewhere, n| match elsewhere {
            Some(cpu) => counter.add_on(cpu, n).unwrap(),
            None => counter.add(n),
        };
        adds(index, add, &added);
    });
    drained = drained.wrapping_add(counter.drain());
    assert_eq!(wrapping(drained), added.into_inner() as u64);
}

/// Has one number after the other added, now and then on a CPU that is named; what they came to goes to `added`.
fn adds(index: usize, add: impl Fn(Option<Cpu>, u64), added: &AtomicUsize) {
    let cpus = allowed();
    let mut random = Random::new(index);
    let mut sum = 0_u64;
    for _ in 0..operations() / threads() {
        let n = random.below(1000) as u64;
        let elsewhere = (random.below(200) == 0).then(|| cpus[random.below(cpus.len())]);
        add(elsewhere, n);
        sum = sum.wrapping_add(n);
    }
    added.fetch_add(sum as usize, Relaxed);
}

/// The sum, as far as a word goes.
fn wrapping(sum: u64) -> u64 {
    sum as usize as u64
}

#[test]
fn what_is_added_together_is_found_together() {
    let set = CounterSet::new(6);
    let added = AtomicUsize::new(0);
    let (mut taken, mut rounds) = (0_u64, 0);
    // The first, the fourth and the last are to be alike, wherever and whenever one looks.
    let check = |counts: &[u64]| {
        assert_eq!(counts.len(), 6);
        assert!(
            counts[0] == counts[3] && counts[0] == counts[5],
            "{counts:?}"
        );
        assert_eq!(counts[1..3], [0, 0]);
        counts[0]
    };
    let meanwhile = || {
        for cpu in allowed() {
            for _ in 0..20 {
                check(&set.snapshot_on(cpu));
            }
            taken = taken.wrapping_add(check(&set.take_on(cpu).unwrap()));
        }
        check(&set.snapshot());
        rounds += 1;
    };
    on_all_threads_while("set", meanwhile, |index| {
        let add = |elsewhere, n| {
            let counts = [(5, n), (0, n), (3, n)];
            match elsewhere {
                Some(cpu) => set.add_on(cpu, counts).unwrap(),
                None => set.add(counts),
            }
        };
        adds(index, add, &added);
    });
    taken = taken.wrapping_add(check(&set.drain()));
    println!("{rounds} rounds");
    assert_eq!(wrapping(taken), added.into_inner() as u64);
    assert_eq!(set.snapshot(), [0; 6]);
}

/// The test above can tell: two counters that are added to one after the other come apart, sooner or later, though
/// their sums do not.
#[test]
fn what_is_added_one_by_one_comes_apart() {
    const LONG: Duration = Duration::from_secs(300);
    let pair = [Counter::new(), Counter::new()];
    let (added, apart) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut taken = [0_u64; 2];
    let meanwhile = || {
        let drained = pair.each_ref().map(Counter::drain);
        apart.fetch_add(usize::from(drained[0] != drained[1]), Relaxed);
        for (taken, drained) in taken.iter_mut().zip(drained) {
            *taken = taken.wrapping_add(drained);
        }
    };
    let start = Instant::now();
    on_all_threads_while("pair", meanwhile, |index| {
        let add = |elsewhere: Option<Cpu>, n| {
            for counter in &pair {
                match elsewhere {
                    Some(cpu) => counter.add_on(cpu, n).unwrap(),
                    None => counter.add(n),
                }
                // Even on one CPU others have their turn in between.
                if n == 0 && apart.load(Relaxed) == 0 {
                    thread::yield_now();
                }
            }
        };
        adds(index, add, &added);
        while apart.load(Relaxed) == 0 && start.elapsed() < LONG && cfg!(not(miri)) {
            adds(index, add, &added);
        }
    });
    println!("apart {} times", apart.load(Relaxed));
    for (taken, counter) in taken.into_iter().zip(&pair) {
        let sum = taken.wrapping_add(counter.drain());
        assert_eq!(wrapping(sum), added.load(Relaxed) as u64);
    }
    // Miri is slow.
    assert!(apart.into_inner() > 0 || cfg!(miri));
}

#[test]
fn a_counter_can_be_named_twice() {
    let set = CounterSet::new(CounterSet::MAX_LEN);
    let last = set.len() - 1;
    set.add([(last, 1), (last, 2), (last, 4)]);
    set.add_on(Cpu::current(), [(0, 1), (last, 1)])
        .or_else(|_| {
            // Moved, and forbidden it.
            set.add([(0, 1), (last, 1)]);
            Ok::<(), cpu_opv::Error>(())
        })
        .unwrap();
    let counts = set.snapshot();
    assert_eq!((counts[0], counts[1], counts[last]), (1, 0, 8));
    assert_eq!(set.drain(), counts);
}

#[test]
fn there_is_no_such_counter() {
    let set = CounterSet::new(2);
    let panics = |add: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        assert!(std::panic::catch_unwind(add).is_err());
    };
    panics(&|| set.add([(2, 1)]));
    panics(&|| set.add([(0, 1), (usize::MAX, 1)]));
    panics(&|| drop(CounterSet::new(0)));
    panics(&|| drop(CounterSet::new(CounterSet::MAX_LEN + 1)));
    assert_eq!(set.snapshot(), [0, 0]);
}

#[test]
fn a_histogram_counts_each_value_once() {
    let histogram = Histogram::new([1.0, 10.0, 100.0]);
    let observed: [AtomicUsize; 4] = Default::default();
    let mut total = [0_usize; 4];
    let mut sum = 0.0;
    // Of each range there is one value, so that the counts say what the sum is; and integers, so that it is exact.
    const VALUES: [f64; 4] = [1.0, 7.0, 100.0, 1001.0];
    let mut take = |seen: cpu_opv::Buckets| {
        let counts = seen.counts().iter();
        let expected: f64 = counts.zip(VALUES).map(|(n, value)| *n as f64 * value).sum();
        assert_eq!(seen.sum(), expected, "{seen:?}");
        assert_eq!(seen.count(), seen.counts().iter().sum::<u64>());
        for (total, count) in total.iter_mut().zip(seen.counts()) {
            *total += *count as usize;
        }
        sum += seen.sum();
    };
    on_all_threads_while(
        "histogram",
        || take(histogram.drain()),
        |index| {
            let mut random = Random::new(index);
            for _ in 0..operations() / threads() {
                let range = random.below(4);
                histogram.observe(VALUES[range]);
                observed[range].fetch_add(1, Relaxed);
            }
        },
    );
    take(histogram.drain());
    assert_eq!(total, observed.map(AtomicUsize::into_inner));
    assert_eq!(histogram.snapshot().count(), 0);
}

#[test]
fn the_bounds_are_in_their_range() {
    let histogram = Histogram::new(vec![-1.0, 0.0, f64::INFINITY]);
    for value in [
        f64::NEG_INFINITY,
        -1.0,
        -0.5,
        -0.0,
        0.0,
        1e300,
        f64::INFINITY,
    ] {
        histogram.observe(value);
    }
    assert_eq!(histogram.snapshot().counts(), [2, 3, 2, 0]);
    histogram.observe(f64::NAN);
    let seen = histogram.drain();
    assert_eq!(seen.counts(), [2, 3, 2, 1]);
    assert!(seen.sum().is_nan());
    histogram.observe(0.5);
    assert_eq!(histogram.snapshot().sum(), 0.5);
    histogram.observe_many(-2.0, 5);
    histogram.observe_many(f64::NAN, 0);
    let seen = histogram.drain();
    assert_eq!((seen.counts(), seen.sum()), (&[5, 0, 1, 0][..], -9.5));

    let most = (0..Histogram::MAX_BOUNDS).map(|bound| bound as f64);
    let histogram = Histogram::new(most.collect::<Vec<_>>());
    histogram.observe(1e9);
    assert_eq!(histogram.snapshot().counts().last(), Some(&1));

    for bounds in [
        vec![1.0, 1.0],
        vec![2.0, 1.0],
        vec![f64::NAN],
        vec![0.0, f64::NAN],
    ] {
        assert!(std::panic::catch_unwind(|| Histogram::new(bounds)).is_err());
    }
}
