// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cpu-opv-alloc` against other allocators, in one run.
//!
//! Each measurement is a process of its own. They are interleaved: each allocator in turn does a workload, and that as
//! often as the first argument says (7). What is printed is the median. With a second argument, only the workloads
//! whose name begins so are run, `memory` among them.

mod allocators;
mod memory;
mod workloads;

use std::env;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use allocators::{ALLOCATORS, Allocator};
use memory::MOMENTS;
use workloads::{WORKLOADS, Workload};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--child", allocator, "memory"] => {
            let left = memory::left(find(allocator));
            println!("{}", left.map(|bytes| bytes.to_string()).join(" "));
        }
        ["--child", allocator, workload, threads] => {
            let is_it = |it: &&Workload| it.name == workload;
            let workload = WORKLOADS.iter().find(is_it).expect("a workload");
            child(find(allocator), workload, threads.parse().unwrap());
        }
        _ => {
            let times = arguments.first().map_or(7, |times| times.parse().unwrap());
            parent(times, arguments.get(1).unwrap_or(&""));
        }
    }
}

fn find(name: &str) -> &'static Allocator {
    let is_it = |it: &&Allocator| it.name == name;
    ALLOCATORS.iter().find(is_it).expect("an allocator")
}

/// Prints picoseconds for a pair: of the clock, times the CPUs that could be used, and of CPUs.
fn child(allocator: &Allocator, workload: &Workload, threads: usize) {
    // What it takes to begin is not counted.
    (workload.run)(allocator.heap, threads, workload.pairs / 20);
    let (start, start_cpu) = (Instant::now(), cpu_time());
    let pairs = (workload.run)(allocator.heap, threads, workload.pairs);
    let per_pair = |time: Duration| time.as_nanos() * 1000 / pairs as u128;
    let cpus = threads.min(cpus()) as u32;
    println!(
        "{} {}",
        per_pair(start.elapsed() * cpus),
        per_pair(cpu_time() - start_cpu)
    );
}

/// What this process has used of CPUs.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it is filled in.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn cpus() -> usize {
    available_parallelism().map_or(1, usize::from)
}

fn parent(times: usize, prefix: &str) {
    println!(
        "{times} times on {} CPUs, {:?}",
        cpus(),
        cpu_opv::Backend::get()
    );
    println!();
    println!("Nanoseconds for a pair, by the clock (and of CPU time)");
    heading("");
    for workload in WORKLOADS.iter().filter(|it| it.name.starts_with(prefix)) {
        for threads in [1, cpus(), 4 * cpus()] {
            let threads = threads.to_string();
            let [clock, cpu] = medians(times, &[workload.name, &threads]);
            print!("| {}, {threads} |", workload.name);
            for (clock, cpu) in clock.iter().zip(cpu) {
                print!(" {} ({}) |", nanoseconds(*clock), nanoseconds(cpu));
            }
            println!();
        }
    }
    if "memory".starts_with(prefix) {
        println!();
        println!("KiB of memory more than before");
        heading("");
        let moments: [Vec<u64>; 4] = medians(times.div_ceil(2), &["memory"]);
        for (moment, bytes) in MOMENTS.iter().zip(moments) {
            print!("| {moment} |");
            bytes.iter().for_each(|bytes| print!(" {} |", bytes >> 10));
            println!();
        }
    }
}

fn heading(first: &str) {
    let names = ALLOCATORS.iter().map(|it| it.name);
    println!("| {first} | {} |", names.collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "--:|".repeat(ALLOCATORS.len()));
}

fn nanoseconds(picoseconds: u64) -> String {
    let nanoseconds = picoseconds as f64 / 1000.0;
    format!("{nanoseconds:.*}", if nanoseconds < 99.95 { 1 } else { 0 })
}

/// For each of the `N` numbers that a child prints, and each allocator: the median.
fn medians<const N: usize>(times: usize, what: &[&str]) -> [Vec<u64>; N] {
    let mut found = vec![[const { Vec::new() }; N]; ALLOCATORS.len()];
    for _ in 0..times {
        for (allocator, found) in ALLOCATORS.iter().zip(&mut found) {
            let output = Command::new(env::current_exe().unwrap())
                .args(["--child", allocator.name])
                .args(what)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{} {what:?}: {output:?}",
                allocator.name
            );
            let text = String::from_utf8(output.stdout).unwrap();
            for (number, found) in text.split_whitespace().zip(found) {
                found.push(number.parse::<u64>().unwrap());
            }
        }
    }
    let median = |numbers: &Vec<u64>| {
        let mut numbers = numbers.clone();
        numbers.sort_unstable();
        numbers[numbers.len() / 2]
    };
    std::array::from_fn(|index| found.iter().map(|found| median(&found[index])).collect())
}
