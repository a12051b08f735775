// SPDX-License-Identifier: MIT OR Apache-2.0

//! Statistics in one number.

use core::fmt;

use crate::arena::{Block, One};
use crate::cpu::Cpu;
use crate::error::Error;
use crate::per_cpu::Add;
use crate::slots::Slots;
use crate::way::{Attempt, Operation, Way};
use crate::word::Word;

/// A word of each CPU.
struct Sum(Block<One>);

impl Sum {
    const fn new() -> Self {
        Self(Block::new(One))
    }

    #[inline(always)]
    fn add(&self, n: usize) {
        self.0.words().here(only, Add::<false>(n));
    }

    #[inline]
    fn add_on(&self, cpu: Cpu, n: usize) -> Result<(), Error> {
        self.0.try_words()?.on(cpu, only, Add::<false>(n))
    }

    fn get_on(&self, cpu: Cpu) -> usize {
        self.0
            .made()
            .map_or(0, |words| only(words.slot_of(cpu).1).get())
    }

    fn get(&self) -> usize {
        let all = self.0.made();
        let words = all.iter().flat_map(|words| words.iter());
        words.fold(0, |sum, words| sum.wrapping_add(only(words).get()))
    }

    fn take_on(&self, cpu: Cpu) -> Result<usize, Error> {
        match self.0.made() {
            Some(words) => words.on(cpu, only, Take),
            None => Ok(0),
        }
    }
}

/// A block of one word has this one.
#[inline(always)]
fn only(words: &[Word]) -> &Word {
    &words[0]
}

/// Makes it 0.
struct Take;

impl Operation<Word> for Take {
    type Output = usize;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, word: &Word) -> Attempt<usize> {
        way.take(word)
    }
}

/// A counter that is added to often and read now and then.
///
/// To add costs about as much as to add to a variable of the thread; all threads may do so at once, and none
/// slows another down. To read it adds up the counts of all CPUs.
///
/// It can be a static, and many are cheap: a counter takes 8 bytes, and from when it is first used 8 more for each CPU
/// that the machine can have, side by side with other counters. For one in memory that processes share, take a
/// [`PerCpu<Word>`](crate::PerCpu).
///
/// It counts modulo 2 to the power of [`usize::BITS`].
///
/// ```
/// use cpu_opv::Counter;
///
/// static REQUESTS: Counter = Counter::new();
///
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             for _ in 0..1000 {
///                 REQUESTS.increment();
///             }
///         });
///     }
/// });
/// assert_eq!(REQUESTS.sum(), 4000);
/// ```
///
/// # Order
///
/// None: a thread that sees the sum sees nothing else by that. Additions that happened before the call of
/// [`sum`](Self::sum), such as those of threads that were joined, are in it; of those at the same time any may be.
///
/// # Panics
///
/// The first addition does if the system has no memory left; see [`try_new`](Self::try_new).
pub struct Counter(Sum);

impl Counter {
    /// A counter at 0. It gets its memory when it is first added to.
    pub const fn new() -> Self {
        Self(Sum::new())
    }

    /// A counter at 0 that has its memory, so that no addition panics; [`Error::Os`] if the system has none left.
    pub fn try_new() -> Result<Self, Error> {
        let counter = Self::new();
        counter.0.0.try_words()?;
        Ok(counter)
    }

    /// Adds 1.
    #[inline(always)]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`, wrapping.
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.add(n as usize);
    }

    /// Takes `n` off, wrapping, as of what was counted too early. For a number that goes down as often as up there is
    /// [`Gauge`].
    #[inline(always)]
    pub fn sub(&self, n: u64) {
        self.0.add((n as usize).wrapping_neg());
    }

    /// Adds `n`, wrapping, to what counts for `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    #[inline]
    pub fn add_on(&self, cpu: Cpu, n: u64) -> Result<(), Error> {
        self.0.add_on(cpu, n as usize)
    }

    /// What was counted on `cpu`.
    pub fn get_on(&self, cpu: Cpu) -> u64 {
        self.0.get_on(cpu) as u64
    }

    /// What was counted on all CPUs.
    pub fn sum(&self) -> u64 {
        self.0.get() as u64
    }

    /// What was counted on `cpu`, which is 0 then: each addition is in what one call returns.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn take_on(&self, cpu: Cpu) -> Result<u64, Error> {
        Ok(self.0.take_on(cpu)? as u64)
    }

    /// What was counted on all CPUs, which are 0 then, one after the other: each addition is in what one call returns.
    ///
    /// What cannot be taken, as from a CPU that this thread is not allowed on, stays there for the next call. To be told
    /// of that use [`take_on`](Self::take_on).
    ///
    /// ```
    /// # use cpu_opv::Counter;
    /// static BYTES: Counter = Counter::new();
    /// BYTES.add(1500);
    /// assert_eq!(BYTES.drain(), 1500);
    /// assert_eq!(BYTES.drain(), 0);
    /// ```
    pub fn drain(&self) -> u64 {
        Cpu::all()
            .filter(|cpu| self.get_on(*cpu) != 0)
            .filter_map(|cpu| self.0.take_on(cpu).ok())
            .fold(0, usize::wrapping_add) as u64
    }
}

/// A number that goes up and down: what is in use, or in progress.
///
/// What [`Counter`]'s documentation says of cost, memory, order and panics holds here as well. There is no way to set it:
/// each CPU has a part of it, which may be negative.
///
/// It wraps at the limits of [`isize`].
///
/// ```
/// static CONNECTIONS: cpu_opv::Gauge = cpu_opv::Gauge::new();
///
/// CONNECTIONS.increment();
/// CONNECTIONS.increment();
/// CONNECTIONS.decrement(); // by whichever thread, on any CPU
/// assert_eq!(CONNECTIONS.sum(), 1);
/// ```
pub struct Gauge(Sum);

impl Gauge {
    /// A gauge at 0. It gets its memory when it is first added to.
    pub const fn new() -> Self {
        Self(Sum::new())
    }

    /// A gauge at 0 that has its memory, so that no addition panics; [`Error::Os`] if the system has none left.
    pub fn try_new() -> Result<Self, Error> {
        let gauge = Self::new();
        gauge.0.0.try_words()?;
        Ok(gauge)
    }

    /// Adds 1.
    #[inline(always)]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Takes 1 off.
    #[inline(always)]
    pub fn decrement(&self) {
        self.sub(1);
    }

    /// Adds `n`, wrapping.
    #[inline(always)]
    pub fn add(&self, n: i64) {
        self.0.add(n as usize);
    }

    /// Takes `n` off, wrapping.
    #[inline(always)]
    pub fn sub(&self, n: i64) {
        self.0.add((n as usize).wrapping_neg());
    }

    /// Adds `n`, wrapping, to the part of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    #[inline]
    pub fn add_on(&self, cpu: Cpu, n: i64) -> Result<(), Error> {
        self.0.add_on(cpu, n as usize)
    }

    /// What all CPUs' parts come to.
    pub fn sum(&self) -> i64 {
        self.0.get() as isize as i64
    }
}

macro_rules! numbers {
    ($($number:ident)*) => {$(
        impl Default for $number {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Debug for $number {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($number)).field(&self.sum()).finish()
            }
        }
    )*};
}
numbers!(Counter Gauge);
