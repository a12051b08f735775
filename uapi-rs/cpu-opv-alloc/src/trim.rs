// SPDX-License-Identifier: MIT OR Apache-2.0

//! When what is not used is given back: each second, in rounds, by threads that have just moved blocks between a CPU
//! and a depot.
//!
//! A round looks at a CPU at each such move. If that has exactly as many blocks of each class as in the round before,
//! nobody has used it: it is offline, or idle, or its threads do something else. Then all that it has is given back. At
//! the end of the round, so is one chain of each depot.
//!
//! It is a guess. A CPU may have as many blocks as it had by chance; then it finds its stacks empty. Threads that
//! start a round at once may look at a CPU twice. Neither does harm.

use core::alloc::GlobalAlloc;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use cpu_opv::{Cpu, Error, Memory, PerCpu, Zeroed};

use crate::caches::Caches;

/// Between two rounds.
const PERIOD_MS: u32 = 1000;

pub(crate) struct Rounds {
    /// When the next one begins or goes on.
    due_ms: AtomicU32,
    /// The number of the CPU to look at.
    next: AtomicUsize,
    seen: PerCpu<Seen>,
}

/// The fingerprint of a CPU's stacks in the last round.
#[repr(transparent)]
struct Seen(AtomicUsize);

// SAFETY: it is 0 then, and any bytes are a number.
unsafe impl Zeroed for Seen {}

impl Rounds {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            due_ms: AtomicU32::new(now_ms().wrapping_add(PERIOD_MS)),
            next: AtomicUsize::new(0),
            seen: PerCpu::new_in(Memory::private())?,
        })
    }

    /// Looks at one CPU, if it is time.
    pub(crate) fn go_on<A: GlobalAlloc>(&self, caches: &Caches, backing: &A) {
        // In this order: else a thread that ends a round in between could set it further ahead than a period.
        let due = self.due_ms.load(Relaxed);
        let now = now_ms();
        if !is_time(now, due) {
            return;
        }
        match Cpu::new(self.next.fetch_add(1, Relaxed)) {
            // Whoever gets here uses this one.
            Some(cpu) if cpu == Cpu::current() => {}
            Some(cpu) => {
                self.look_at(cpu, caches, backing);
            }
            None => {
                self.due_ms.store(now.wrapping_add(PERIOD_MS), Relaxed);
                self.next.store(0, Relaxed);
                caches.drain_depots(1, backing);
            }
        }
    }

    /// A whole round, now; returns how many bytes were given back.
    pub(crate) fn whole<A: GlobalAlloc>(&self, caches: &Caches, backing: &A) -> usize {
        let of_cpus: usize = Cpu::all()
            .map(|cpu| self.look_at(cpu, caches, backing))
            .sum();
        of_cpus + caches.drain_depots(1, backing)
    }

    fn look_at<A: GlobalAlloc>(&self, cpu: Cpu, caches: &Caches, backing: &A) -> usize {
        let fingerprint = caches.fingerprint(cpu);
        let before = self.seen.get_on(cpu).0.swap(fingerprint, Relaxed);
        if fingerprint != 0 && fingerprint == before {
            caches.drain_cpu(cpu, backing)
        } else {
            0
        }
    }
}

/// Whether it is time: not for a period before. What is due further ahead has long been due: the clock wraps around after
/// 49 days, and it may be as long that nobody came here.
fn is_time(now: u32, due: u32) -> bool {
    !(1..=PERIOD_MS).contains(&due.wrapping_sub(now))
}

/// Milliseconds since some moment, of a clock that is cheap to read.
fn now_ms() -> u32 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: it is filled in if the call succeeds.
    unsafe {
        if libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, time.as_mut_ptr()) != 0 {
            return 0;
        }
        let libc::timespec {
            tv_sec, tv_nsec, ..
        } = time.assume_init();
        (tv_sec as u32)
            .wrapping_mul(1000)
            .wrapping_add((tv_nsec / 1_000_000) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_due_however_late_it_is() {
        const DAY: u32 = 24 * 60 * 60 * 1000;
        for begun in [0, 1, u32::MAX / 2, u32::MAX - PERIOD_MS, u32::MAX] {
            let due = begun.wrapping_add(PERIOD_MS);
            let is_time_after = |ms: u32| is_time(begun.wrapping_add(ms), due);
            assert!((0..PERIOD_MS).all(|ms| !is_time_after(ms)));
            assert!((PERIOD_MS..10 * PERIOD_MS).all(is_time_after));
            assert!((1..50).all(|days| is_time_after(days * DAY)));
        }
    }
}
