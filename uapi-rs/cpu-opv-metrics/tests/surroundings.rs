// SPDX-License-Identifier: MIT OR Apache-2.0

//! In a child of `fork(2)` and in a handler of signals, whoever has which lock: what is counted by
//! each CPU's own is counted.

mod common;

use std::os::unix::thread::JoinHandleExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use cpu_opv_metrics::{PrometheusBuilder, PrometheusHandle};
use metrics::{counter, gauge, histogram, with_local_recorder};

/// Longer than any of this takes where CPUs are emulated.
const PATIENCE: Duration = Duration::from_secs(120);

struct Metrics {
    counter: metrics::Counter,
    gauge: metrics::Gauge,
    histogram: metrics::Histogram,
    handle: PrometheusHandle,
}

impl Metrics {
    fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || Self {
            counter: counter!("counter"),
            gauge: gauge!("gauge"),
            histogram: histogram!("histogram"),
            handle,
        })
    }

    /// What needs no lock.
    fn count(&self) {
        self.counter.increment(1);
        self.gauge.increment(2);
        self.histogram.record(3);
        self.gauge.decrement(1);
    }

    /// What takes all locks that there are, and has one most of the time.
    fn lock(&self) {
        self.handle.snapshot();
        for _ in 0..100 {
            self.counter.absolute(1);
            self.gauge.increment(0.5);
            self.gauge.decrement(0.5);
        }
    }

    fn is(&self, counted: usize) -> bool {
        let text = self.handle.render();
        [
            format!("\ncounter_total {counted}\n"),
            format!("\ngauge {counted}.0\n"),
            format!("\nhistogram_count {counted}\n"),
        ]
        .iter()
        .all(|line| text.contains(line))
    }
}

#[test]
fn a_child_goes_on_counting() {
    let metrics = Metrics::new();
    metrics.count();
    let (done, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                metrics.lock();
                rounds.fetch_add(1, Relaxed);
            }
        });
        let begun = Instant::now();
        let children = (0..100).take_while(|_| begun.elapsed() < PATIENCE / 4);
        let statuses: Vec<_> = children
            .map(|_| {
                // While that thread runs, or after it was interrupted.
                let round = rounds.load(Relaxed);
                while rounds.load(Relaxed) == round {
                    thread::yield_now();
                }
                status_of_a_child(&metrics)
            })
            .collect();
        done.store(true, Relaxed);
        assert!(statuses.iter().all(|status| *status == 0), "{statuses:?}");
    });
    assert!(metrics.is(1));
}

fn status_of_a_child(metrics: &Metrics) -> i32 {
    // SAFETY: the child does what it may, and ends, after a while even if it hangs.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(PATIENCE.as_secs() as u32 / 4);
            (0..10).for_each(|_| metrics.count());
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    }
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
static COUNTED: AtomicUsize = AtomicUsize::new(0);
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_signal: libc::c_int) {
    METRICS.count();
    HANDLED.fetch_add(1, Relaxed);
}

#[test]
fn a_signal_handler_counts() {
    const SIGNALS: usize = 1000;
    METRICS.count();
    // SAFETY: the handler does what it may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        let nobody = std::ptr::null_mut();
        assert_eq!(libc::sigaction(libc::SIGURG, &action, nobody), 0);
    }
    // Not waited for, if it hangs.
    let worker = thread::spawn(|| {
        while HANDLED.load(Relaxed) < SIGNALS {
            METRICS.count();
            COUNTED.fetch_add(1, Relaxed);
            METRICS.lock();
        }
    });
    let begun = Instant::now();
    while !worker.is_finished() {
        assert!(begun.elapsed() < PATIENCE, "the thread hangs");
        // From when it has counted itself.
        if COUNTED.load(Relaxed) != 0 {
            // SAFETY: the thread was neither joined nor detached.
            unsafe { libc::pthread_kill(worker.as_pthread_t(), libc::SIGURG) };
        }
        thread::sleep(Duration::from_micros(50));
    }
    worker.join().unwrap();
    assert!(METRICS.is(1 + COUNTED.load(Relaxed) + HANDLED.load(Relaxed)));
}
