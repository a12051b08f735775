// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who waits for records of a [`TraceRing`] is woken when there are enough.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::{NoteFailure, Random, allowed, operations};
use cpu_opv::LossMode::Discard;
use cpu_opv::TraceRing;

/// Far longer than it takes, but not for ever: the test is to fail then.
const LONG: Option<Duration> = Some(Duration::from_secs(60));

/// Each that waits is woken, as nothing but a wake-up ends the wait in time.
#[test]
fn who_waits_is_woken() {
    let ring = TraceRing::new(0, Discard);
    let rounds = if cfg!(miri) { 20 } else { operations() / 100 };
    let turn = AtomicUsize::new(0);
    let yield_until = |value| {
        while turn.load(Relaxed) != value {
            common::yield_now();
        }
    };
    thread::scope(|scope| {
        let _failure = NoteFailure;
        scope.spawn(|| {
            let _failure = NoteFailure;
            let mut random = Random::new(1);
            for round in 0..rounds {
                yield_until(2 * round + 1);
                // About when the other one goes to sleep.
                for _ in 0..random.below(200) {
                    std::hint::spin_loop();
                }
                ring.push(b"wake up").unwrap();
            }
        });
        for round in 0..rounds {
            turn.store(2 * round + 1, Relaxed);
            let start = Instant::now();
            assert!(ring.wait(0, LONG));
            assert!(start.elapsed() < Duration::from_secs(30), "nobody woke it");
            assert_eq!(ring.drain().count(), 1);
            turn.store(2 * round + 2, Relaxed);
        }
    });
    assert!(!ring.wait(0, Some(Duration::from_millis(1))));
}

#[test]
fn who_waits_for_more_is_not_woken_by_less() {
    let ring = TraceRing::new(0, Discard);
    let cpu = allowed()[0];
    thread::scope(|scope| {
        let more = scope.spawn(|| ring.wait(2000, LONG));
        let less = scope.spawn(|| ring.wait(100, LONG));
        ring.push_on(cpu, &[0; 100]).unwrap();
        assert!(less.join().unwrap());
        assert!(!ring.wait(2000, Some(Duration::from_millis(10))));
        assert!(!more.is_finished());
        for _ in 0..20 {
            ring.push_on(cpu, &[0; 100]).unwrap();
        }
        assert!(more.join().unwrap());
    });
    // More than there can be.
    while ring.push_on(cpu, &[0; 100]).is_ok() {}
    assert!(ring.wait(usize::MAX, LONG));
}
