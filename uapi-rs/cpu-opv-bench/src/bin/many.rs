// SPDX-License-Identifier: MIT OR Apache-2.0

//! What 1, 1000 and 100,000 counters cost: bytes, mappings and time, of counters side by side, of one mapping each, and
//! of what one would do otherwise. Each row is a process of its own.
//!
//! They are all made and added to; then half of them are dropped at random, when the mappings are counted; then as many
//! are made again and added to.

use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cpu_opv::{Backend, Counter, Cpu, PerCpu, Word};
use cpu_opv_bench::{ByCpu, Padded, cpu_by_rseq};

/// Whether it could be made and added to.
trait Count: Sized {
    fn counted() -> Option<Self>;
}

impl Count for Counter {
    fn counted() -> Option<Self> {
        let counter = Self::try_new().ok()?;
        counter.increment();
        Some(counter)
    }
}

/// As counters were before they lay side by side.
impl Count for PerCpu<Word> {
    fn counted() -> Option<Self> {
        let counter = Self::try_new(|_| Word::new(0)).ok()?;
        counter.add(|word| word, 1);
        Some(counter)
    }
}

impl Count for ByCpu<Padded<AtomicUsize>> {
    fn counted() -> Option<Self> {
        let counter = Self::new(|| Padded(AtomicUsize::new(0)));
        counter[cpu_by_rseq()].0.fetch_add(1, Relaxed);
        Some(counter)
    }
}

impl Count for Box<AtomicUsize> {
    fn counted() -> Option<Self> {
        let counter = Self::default();
        counter.fetch_add(1, Relaxed);
        Some(counter)
    }
}

/// As `metrics_util::registry::AtomicStorage` makes them.
impl Count for metrics::Counter {
    fn counted() -> Option<Self> {
        let counter = Self::from_arc(Arc::new(AtomicU64::new(0)));
        counter.increment(1);
        Some(counter)
    }
}

impl Count for prometheus_client::metrics::counter::Counter {
    fn counted() -> Option<Self> {
        let counter = Self::default();
        counter.inc();
        Some(counter)
    }
}

type Row = (&'static str, fn(usize));

const ROWS: [Row; 6] = [
    ("cpu_opv::Counter", row::<Counter>),
    ("a mapping each", row::<PerCpu<Word>>),
    ("an atomic for each CPU", row::<ByCpu<Padded<AtomicUsize>>>),
    ("one atomic", row::<Box<AtomicUsize>>),
    ("metrics", row::<metrics::Counter>),
    (
        "prometheus-client",
        row::<prometheus_client::metrics::counter::Counter>,
    ),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [row, number] = &arguments[..] {
        let (_, run) = ROWS[row.parse::<usize>().expect("the number of a row")];
        return run(number.parse().expect("a number"));
    }
    println!("{:?}, {} CPUs\n", Backend::get(), Cpu::all().len());
    println!("| | counters | bytes each | mappings | ns to make | to drop | to make again |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for number in [1, 1000, 100_000] {
        for (index, (name, _)) in ROWS.iter().enumerate() {
            let output = Command::new(env::current_exe().expect("this program"))
                .args([index.to_string(), number.to_string()])
                .output()
                .expect("it runs");
            print!(
                "| {name} | {number} | {}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
    }
}

fn row<T: Count>(number: usize) {
    // What is made at first is not one counter's.
    drop(T::counted());
    let mut counters: Vec<T> = Vec::with_capacity(number);
    let (bytes, mappings) = (resident(), maps());

    let (made, complete) = time(number, || {
        counters.extend(std::iter::from_fn(T::counted).take(number));
        counters.len() == number
    });
    if !complete {
        return println!("none is left to have after {} | | | | |", counters.len());
    }
    let bytes = resident().saturating_sub(bytes) as f64 / number as f64;
    let mut random = 1_u64;
    let half = number.div_ceil(2);
    let (dropped, ()) = time(half, || {
        for _ in 0..half {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            counters.swap_remove((random % counters.len() as u64) as usize);
        }
    });
    let mappings = maps().saturating_sub(mappings);
    let (remade, ()) = time(half, || {
        counters.extend(std::iter::from_fn(T::counted).take(half));
    });
    drop(counters);
    println!(
        "{bytes:.0} | {mappings} | {} | {} | {} |",
        made.as_nanos(),
        dropped.as_nanos(),
        remade.as_nanos()
    );
}

/// How long it takes for one of so many.
fn time<T>(number: usize, work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed() / number as u32, result)
}

/// The bytes of memory that this process has, its page tables included.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let kilobytes = |name: &str| -> usize {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.expect("the kernel says so")
    };
    1024 * (kilobytes("VmRSS:") + kilobytes("VmPTE:"))
}

fn maps() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("procfs");
    maps.lines().count()
}
