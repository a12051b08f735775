// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counters that belong together.

use core::fmt;

use crate::cpu::Cpu;
use crate::error::Error;
use crate::group::{self, Group};

/// Counters of which up to three are added to in one step, so that whoever reads them or drains them never finds a part
/// of that: how many requests and how many bytes, for example.
///
/// ```
/// use cpu_opv::CounterSet;
///
/// const REQUESTS: usize = 0;
/// const FAILED: usize = 1;
/// const BYTES: usize = 2;
/// static SERVED: CounterSet = CounterSet::new(3);
///
/// SERVED.add([(REQUESTS, 1), (BYTES, 1500)]);
/// SERVED.add([(REQUESTS, 1), (FAILED, 1), (BYTES, 40)]);
/// assert_eq!(SERVED.snapshot(), [2, 1, 1540]);
/// assert_eq!(SERVED.drain(), [2, 1, 1540]);
/// assert_eq!(SERVED.drain(), [0, 0, 0]);
/// ```
///
/// An addition costs about six times as much as one to a [`Counter`](crate::Counter), and is still without atomic
/// instructions. A set takes 14 words for each CPU besides the counters, which lie side by side with those of others.
///
/// It can be a static, and gets its memory when it is first added to. They count modulo 2 to the power of
/// [`usize::BITS`].
///
/// It adds and does nothing else. A maximum, or a bucket of tokens, that must agree with a count goes under a
/// [`PerCpuLock`](crate::PerCpuLock).
///
/// # One step
///
/// The steps are those of each CPU: what was added on one CPU before what was added on another may be missing where that
/// is not. On a 32-bit machine, an addition that was interrupted for as long as 2 to the power of 31 others take, on the
/// same CPU and the same set, to the very one, may undo those.
///
/// # Panics
///
/// The first addition does if the system has no memory left; each does if there is no such counter.
pub struct CounterSet(Group);

// As the documentation says.
const _: () = assert!(CounterSet::MAX_LEN == 242);

impl CounterSet {
    /// How many counters a set can have: 242.
    pub const MAX_LEN: usize = group::MAX_WORDS;

    /// A set of `len` counters at 0.
    ///
    /// # Panics
    ///
    /// If that is none, or more than [`MAX_LEN`](Self::MAX_LEN).
    pub const fn new(len: usize) -> Self {
        Self(Group::new(len))
    }

    /// How many counters there are.
    #[allow(clippy::len_without_is_empty, reason = "it never is")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds to some counters, wrapping: of each its number, the first being 0, and how much. There are 1 to 3 of them,
    /// else it does not compile.
    #[inline]
    pub fn add<const N: usize>(&self, counts: [(usize, u64); N]) {
        self.0
            .change(counts.map(|(counter, _)| counter), sums(counts));
    }

    /// The same on `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    #[inline]
    pub fn add_on<const N: usize>(&self, cpu: Cpu, counts: [(usize, u64); N]) -> Result<(), Error> {
        let counters = counts.map(|(counter, _)| counter);
        self.0.change_on(cpu, counters, sums(counts))
    }

    /// What was counted on `cpu`, all at one moment.
    ///
    /// It needs no permission and mostly no system call. Where additions come so fast that they do not let it see
    /// the same state twice, it takes an operation. If that is one of `cpu_opv(2)`, and this thread is not allowed on
    /// `cpu` then, it goes on trying for as long as they come so fast.
    pub fn snapshot_on(&self, cpu: Cpu) -> Vec<u64> {
        self.0.read_on(cpu, counts)
    }

    /// What was counted on all CPUs: on each at one moment, as [`snapshot_on`](Self::snapshot_on) reads it.
    pub fn snapshot(&self) -> Vec<u64> {
        self.total(|cpu| Ok(self.snapshot_on(cpu)))
    }

    /// What was counted on `cpu` and is 0 then, in one step: each addition is in what one call returns, with all that
    /// was added with it.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn take_on(&self, cpu: Cpu) -> Result<Vec<u64>, Error> {
        self.0.take_on(cpu, counts)
    }

    /// What was counted on all CPUs, which are 0 then, one after the other, each in one step: see
    /// [`take_on`](Self::take_on).
    ///
    /// What cannot be taken, as from a CPU that this thread is not allowed on, stays there for the next call.
    pub fn drain(&self) -> Vec<u64> {
        self.total(|cpu| match self.0.is_zero_on(cpu) {
            true => Ok(Vec::new()),
            false => self.take_on(cpu),
        })
    }

    fn total(&self, on: impl Fn(Cpu) -> Result<Vec<u64>, Error>) -> Vec<u64> {
        let mut total = vec![0_u64; self.len()];
        for counts in Cpu::all().filter_map(|cpu| on(cpu).ok()) {
            for (total, count) in total.iter_mut().zip(counts) {
                *total = total.wrapping_add(count) as usize as u64;
            }
        }
        total
    }
}

/// What adds these to the values of their counters.
#[inline(always)]
fn sums<const N: usize>(counts: [(usize, u64); N]) -> impl Fn(&mut [usize; N]) {
    move |values| {
        for (value, (counter, _)) in values.iter_mut().zip(counts) {
            // All that it is named with, each time: see `Group::change`.
            for (named, n) in counts {
                let n = if named == counter { n as usize } else { 0 };
                *value = value.wrapping_add(n);
            }
        }
    }
}

fn counts(words: &[usize]) -> Vec<u64> {
    words.iter().map(|word| *word as u64).collect()
}

impl fmt::Debug for CounterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CounterSet").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or else who settles them, one after the other, undoes what others have settled.
    #[test]
    fn what_a_counter_is_to_be_is_said_once() {
        let set = CounterSet::new(2);
        set.0.change([1, 0, 1], |values| {
            *values = [5, 6, 5];
            sums([(1, 10), (0, 1), (1, 100)])(values);
            assert_eq!(*values, [115, 7, 115]);
        });
    }
}
