// SPDX-License-Identifier: MIT OR Apache-2.0

//! What it costs to add to another CPU's counter: by `Counter::add_on`, and by going there and back.
//!
//! The other CPU does nothing, or runs a thread of this process. `CPU_OPV_BACKEND=Membarrier` measures what is done
//! where the kernel has no cpu_opv(2).

use std::env;
use std::hint;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use cpu_opv::{Backend, Counter, Cpu};

/// How often each is measured, in turn with the others; the median counts.
const SAMPLES: usize = 51;
/// Operations in a sample.
const OPERATIONS: u32 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if env::var_os("CPU_OPV_BACKEND").is_some_and(|name| name == "Membarrier") {
        Backend::Membarrier.select()?;
    }
    let cpus: Vec<Cpu> = Cpu::all().filter(|cpu| stay_on(&[*cpu])).collect();
    let &[here, there, ..] = &cpus[..] else {
        return Err("this takes two CPUs that the process is allowed on".into());
    };

    println!("{:?}: microseconds for an addition\n", Backend::get());
    println!("                            CPU {there} idle   busy");
    let idle = measure(here, there);
    let busy = while_busy(there, || measure(here, there));
    for (name, idle, busy) in [
        ("Counter::add_on", idle.0, busy.0),
        ("sched_setaffinity and back", idle.1, busy.1),
    ] {
        println!("{name:26} {:11.2} {:6.2}", micros(idle), micros(busy));
    }
    Ok(())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6 / f64::from(OPERATIONS)
}

/// By `add_on`, and by going there and back.
fn measure(here: Cpu, there: Cpu) -> (Duration, Duration) {
    let counter = Counter::new();
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..SAMPLES {
        // To be allowed on a CPU is all that `add_on` needs.
        stay_on(&[here]);
        stay_on(&[here, there]);
        samples[0].push(time(|| counter.add_on(there, 1).expect("it is allowed")));
        stay_on(&[here]);
        samples[1].push(time(|| {
            stay_on(&[there]);
            counter.increment();
            stay_on(&[here]);
        }));
    }
    let [add_on, there_and_back] = samples.map(|mut samples| {
        samples.sort();
        samples[SAMPLES / 2]
    });
    (add_on, there_and_back)
}

fn time(operation: impl Fn()) -> Duration {
    let start = Instant::now();
    (0..OPERATIONS).for_each(|_| operation());
    start.elapsed()
}

/// With a thread that keeps `cpu` busy meanwhile.
fn while_busy<R>(cpu: Cpu, work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            stay_on(&[cpu]);
            while !done.load(Relaxed) {
                hint::spin_loop();
            }
        });
        let result = work();
        done.store(true, Relaxed);
        result
    })
}

/// Restricts this thread to these CPUs, if it may run there.
fn stay_on(cpus: &[Cpu]) -> bool {
    // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(cpu.number(), &mut set);
        }
        libc::sched_setaffinity(0, mem::size_of_val(&set), &set) == 0
    }
}
