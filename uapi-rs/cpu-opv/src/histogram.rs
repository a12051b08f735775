// SPDX-License-Identifier: MIT OR Apache-2.0

//! How often values were in which range.

use core::fmt;

use crate::cpu::Cpu;
use crate::error::Error;
use crate::group::{self, Group};

/// The sum is a 64-bit float in one word, or in two.
const SUM_WORDS: usize = (u64::BITS / usize::BITS) as usize;

/// Counts values by the range that they are in, and adds them up.
///
/// The ranges are chosen when it is made, by their upper bounds, which are in the range themselves; one more is for all
/// that is above. That is what Prometheus calls a histogram.
///
/// ```
/// use cpu_opv::Histogram;
///
/// let seconds = Histogram::new([0.01, 0.1, 1.0]);
/// for value in [0.003, 0.1, 0.2, 7.5] {
///     seconds.observe(value);
/// }
/// let seen = seconds.snapshot();
/// assert_eq!(seen.counts(), [1, 1, 1, 1]);
/// assert_eq!(seen.count(), 4);
/// assert!((seen.sum() - 7.803).abs() < 1e-9);
/// ```
///
/// A value is counted and added to the sum in one step of its CPU, as with a [`CounterSet`](crate::CounterSet): so the
/// counts and the sum that are read or drained belong together. How many values there were is the sum of the
/// counts. What is said there of cost, memory, steps and panics holds here too.
pub struct Histogram {
    bounds: Box<[f64]>,
    /// The sum, then the counts.
    words: Group,
}

// As the documentation says.
const _: () = assert!(Histogram::MAX_BOUNDS == 241 - SUM_WORDS);

impl Histogram {
    /// How many bounds it can have: 240, on 32-bit systems 239.
    pub const MAX_BOUNDS: usize = group::MAX_WORDS - SUM_WORDS - 1;

    /// A histogram without values, of ranges up to these bounds, and of one above the last.
    ///
    /// # Panics
    ///
    /// If a bound is not greater than the one before or is not a number, or if there are more than
    /// [`MAX_BOUNDS`](Self::MAX_BOUNDS).
    pub fn new(bounds: impl Into<Box<[f64]>>) -> Self {
        let bounds = bounds.into();
        assert!(
            bounds.windows(2).all(|pair| pair[0] < pair[1])
                && bounds.iter().all(|bound| !bound.is_nan()),
            "each bound is greater than the one before"
        );
        let words = Group::new(SUM_WORDS + bounds.len() + 1);
        Self { bounds, words }
    }

    /// The upper bounds of its ranges, but for the last, which has none.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// Counts a value and adds it to the sum.
    ///
    /// What is not a number counts as above all bounds, and makes the sum not a number.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.add(value, value, 1);
    }

    /// Counts a value `count` times, and adds that many times the value to the sum, in one step.
    ///
    /// If `count` is 0, nothing changes.
    #[inline]
    pub fn observe_many(&self, value: f64, count: u64) {
        if count != 0 {
            self.add(value, value * count as f64, count as usize);
        }
    }

    #[inline(always)]
    fn add(&self, value: f64, product: f64, times: usize) {
        let bucket = SUM_WORDS
            + self
                .bounds
                .partition_point(|bound| *bound < value || value.is_nan());
        if SUM_WORDS == 1 {
            self.words.change([0, bucket], |[sum, count]| {
                *sum = (f64::from_bits(*sum as u64) + product).to_bits() as usize;
                *count = count.wrapping_add(times);
            });
        } else {
            self.words.change([0, 1, bucket], |[low, high, count]| {
                let [new_low, new_high] = halves(whole([*low, *high]) + product);
                (*low, *high, *count) = (new_low, new_high, count.wrapping_add(times));
            });
        }
    }

    /// What was observed on all CPUs until now: of each, the counts and the sum are those of one moment, as with
    /// [`CounterSet::snapshot`](crate::CounterSet::snapshot).
    pub fn snapshot(&self) -> Buckets {
        let mut total = self.empty();
        for cpu in Cpu::all() {
            self.words.read_on(cpu, |words| total.put(words));
        }
        total
    }

    /// What was observed on `cpu` and is forgotten then, in one step: each value is in what one call returns.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn take_on(&self, cpu: Cpu) -> Result<Buckets, Error> {
        let mut taken = self.empty();
        self.words.take_on(cpu, |words| taken.put(words))?;
        Ok(taken)
    }

    /// What was observed on all CPUs and is forgotten then, one after the other, each in one step.
    ///
    /// What cannot be taken, as from a CPU that this thread is not allowed on, stays there for the next call.
    pub fn drain(&self) -> Buckets {
        let mut total = self.empty();
        for cpu in Cpu::all().filter(|cpu| !self.words.is_zero_on(*cpu)) {
            // What is an error here is not lost.
            let _ = self.words.take_on(cpu, |words| total.put(words));
        }
        total
    }

    fn empty(&self) -> Buckets {
        Buckets {
            counts: vec![0; self.bounds.len() + 1],
            sum: 0.0,
        }
    }
}

/// What a [`Histogram`] has counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    counts: Vec<u64>,
    sum: f64,
}

impl Buckets {
    /// How many values were in each range, in the order of the bounds: as many as those, and one more.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values there were, wrapping.
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::wrapping_add)
    }

    /// All values added up, in whichever order.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    #[doc(hidden)] // for cpu-opv-metrics
    pub fn counts_mut(&mut self) -> &mut [u64] {
        &mut self.counts
    }

    /// Adds what the words of a CPU hold.
    fn put(&mut self, words: &[usize]) {
        let (sum, counts) = words.split_at(SUM_WORDS);
        self.sum += match sum {
            [sum] => f64::from_bits(*sum as u64),
            [low, high, ..] => whole([*low, *high]),
            [] => 0.0,
        };
        for (total, count) in self.counts.iter_mut().zip(counts) {
            *total = total.wrapping_add(*count as u64);
        }
    }
}

/// The float that is in two words.
fn whole([low, high]: [usize; 2]) -> f64 {
    f64::from_bits(low as u64 & u64::from(u32::MAX) | (high as u64) << 32)
}

/// Its words.
fn halves(value: f64) -> [usize; 2] {
    let bits = value.to_bits();
    [bits as u32 as usize, (bits >> 32) as usize]
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("bounds", &self.bounds)
            .field("seen", &self.snapshot())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_wrap() {
        let mut seen = Histogram::new([1.0]).snapshot();
        seen.counts = vec![u64::MAX, 3];
        assert_eq!(seen.count(), 2);
        let words = [[0; SUM_WORDS].as_slice(), &[5, 0]].concat();
        seen.put(&words);
        assert_eq!(seen.counts(), [4, 3]);
    }
}
