// SPDX-License-Identifier: MIT OR Apache-2.0

//! A statistics counter.

use crate::cpu::Cpu;
use crate::error::Error;
use crate::memory::Memory;
use crate::per_cpu::PerCpu;
use crate::word::Word;

/// A counter that is added to often and read now and then.
///
/// To add costs about as much as to add to a variable of the thread; all threads may do so at once, and none
/// slows another down. To read it adds up the counts of all CPUs.
///
/// It counts modulo 2 to the power of [`usize::BITS`].
///
/// ```
/// let requests = cpu_opv::Counter::new();
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             for _ in 0..1000 {
///                 requests.increment();
///             }
///         });
///     }
/// });
/// assert_eq!(requests.sum(), 4000);
/// ```
///
/// # Order
///
/// None: a thread that sees the sum sees nothing else by that. Additions that happened before the call of
/// [`sum`](Self::sum), such as those of threads that were joined, are in it; of those at the same time any may be.
#[derive(Debug)]
pub struct Counter(PerCpu<Word>);

impl Counter {
    /// A counter at 0.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new() -> Self {
        Self::try_new().expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new() -> Result<Self, Error> {
        Self::new_in(Memory::private())
    }

    /// A counter in this memory: at 0, or where other processes have brought it.
    ///
    /// # Errors
    ///
    /// As for [`PerCpu::new_in`].
    pub fn new_in(memory: Memory<'_>) -> Result<Self, Error> {
        const KIND: u32 = 1;
        // SAFETY: the word is 0 then, and holds no pointer.
        unsafe { PerCpu::zeroed(&memory, KIND) }.map(Self)
    }

    /// Adds 1.
    #[inline(always)]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`, wrapping.
    #[inline(always)]
    pub fn add(&self, n: usize) {
        self.0.add(|word| word, n);
    }

    /// Adds `n`, wrapping, to what counts for `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    #[inline]
    pub fn add_on(&self, cpu: Cpu, n: usize) -> Result<(), Error> {
        self.0.add_on(cpu, |word| word, n)
    }

    /// What was counted on `cpu`.
    pub fn get_on(&self, cpu: Cpu) -> usize {
        self.0.get_on(cpu).get()
    }

    /// What was counted on all CPUs.
    pub fn sum(&self) -> usize {
        self.0
            .iter()
            .fold(0, |sum, (_, word)| sum.wrapping_add(word.get()))
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}
