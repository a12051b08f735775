// SPDX-License-Identifier: MIT OR Apache-2.0

//! A ring buffer for each CPU, first in, first out, filled in place.
//!
//! # How it works
//!
//! Entries are numbered from 0 for ever; entry `n` is in place `n % (BLOCKS * ENTRIES)`. For each CPU there are
//!
//! - `reserved`, the number of the next entry to be reserved: changed on that CPU;
//! - `committed[block]`, how many entries of that block were committed, ever: changed on that CPU;
//! - `consumed`, the number of the next entry to be consumed: changed by who holds `consumer`.
//!
//! ```text
//! producer, on CPU c                           consumer, anywhere
//! ------------------                           ------------------
//! if its block is not consumed: full           lock(consumer)
//!        (acquire, pairs with R)               n = committed[block of consumed]   (acquire, pairs with C)
//! reserved += 1               on CPU c         m = reserved
//! write the entry             anywhere         if n entries of the block are all that were reserved of it:
//! C: committed[block] += 1    on CPU c            read them
//!        (release)                                R: consumed += 1               (release)
//! ```
//!
//! Entries are committed in any order, as a producer may be preempted or moved in between. The consumer
//! has to know that all are complete up to some point. It loads `committed` first and `reserved` then:
//! if they are equal, no entry of the block was between the two when `committed` was loaded. That
//! is so at the latest when the block is full and all its producers are through. So the size of a block is how
//! much one slow producer holds up.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::cpu::Cpu;
use crate::error::{Error, PushError};
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, whole};
use crate::slots::Slots;
use crate::vector::Plain;
use crate::way::{Attempt, Operation, Stop, Way};
use crate::word::Word;

/// For each CPU a ring of `BLOCKS` times `ENTRIES` entries, first in, first out.
///
/// A producer [reserves](Self::reserve) an entry on its CPU, fills it in, and [commits](Reservation::commit) it, on
/// that same CPU's ring even if it has been moved meanwhile. A [consumer](Self::consume_on) may be anywhere.
///
/// `BLOCKS` and `ENTRIES` are powers of two. Entries can be consumed when all before them are committed, and all
/// that are reserved in the same block of `ENTRIES`, or the whole block: with small blocks a slow producer
/// keeps fewer entries waiting, with large ones there is less to look at.
///
/// ```
/// use cpu_opv::{Cpu, Ring};
///
/// let trace: Ring<(u64, u32), 8, 128> = Ring::new();
///
/// if let Some(reservation) = trace.reserve() {
///     reservation.commit((1, 42));
/// } // else it is full, and this is lost.
///
/// let mut seen = Vec::new();
/// for cpu in Cpu::all() {
///     trace.consume_on(cpu, |event| seen.push(event));
/// }
/// assert_eq!(seen, [(1, 42)]);
/// ```
///
/// # Order
///
/// What a producer did before it committed an entry happens before what is done by who consumes it. The entries of a
/// CPU are consumed in the order in which they were reserved.
///
/// # Progress
///
/// As of the others for producers; a producer that never commits keeps the consumer from going on. There is one
/// consumer for a CPU at a time.
pub struct Ring<T, const BLOCKS: usize, const ENTRIES: usize>(PerCpu<Entries<T, BLOCKS, ENTRIES>>);

#[repr(C)]
struct Entries<T, const BLOCKS: usize, const ENTRIES: usize> {
    reserved: Word,
    committed: [Word; BLOCKS],
    consumer: Consumer<BLOCKS>,
    entries: [[Entry<T>; ENTRIES]; BLOCKS],
}

/// What is not written on the CPU only, on cache lines of its own.
#[repr(C, align(128))]
struct Consumer<const BLOCKS: usize> {
    consumed: Word,
    busy: AtomicUsize,
    /// As `committed`, by producers that are not allowed on the CPU any more: an atomic addition.
    committed_elsewhere: [AtomicUsize; BLOCKS],
}

#[repr(C)]
struct Entry<T> {
    /// 1, or 0 if the producer gave the entry up.
    given: UnsafeCell<usize>,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: it is accessed by one thread at a time: who has reserved it, then who consumes it.
unsafe impl<T: Send> Sync for Entry<T> {}

// A panic leaves nothing half done: an entry is consumed before it is given out, and a reservation that is dropped is
// passed over.
impl<T, const BLOCKS: usize, const ENTRIES: usize> UnwindSafe for Ring<T, BLOCKS, ENTRIES> {}
impl<T, const BLOCKS: usize, const ENTRIES: usize> RefUnwindSafe for Ring<T, BLOCKS, ENTRIES> {}

impl<T: Send, const BLOCKS: usize, const ENTRIES: usize> Ring<T, BLOCKS, ENTRIES> {
    /// Empty rings.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new() -> Self {
        Self::try_new().expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new() -> Result<Self, Error> {
        Self::mapped(&Memory::private())
    }

    fn mapped(memory: &Memory<'_>) -> Result<Self, Error> {
        const KIND: u32 = 7;
        // So that numbers can wrap.
        const { assert!(BLOCKS.is_power_of_two() && ENTRIES.is_power_of_two()) };
        // SAFETY: it is empty then. In memory that processes share it is plain data.
        unsafe { PerCpu::zeroed(memory, KIND) }.map(Self)
    }

    /// Rings in this memory: empty, or what other processes have made of them.
    ///
    /// # Errors
    ///
    /// As for [`PerCpu::new_in`].
    pub fn new_in(memory: Memory<'_>) -> Result<Self, Error>
    where
        T: Plain,
    {
        Self::mapped(&memory)
    }

    /// Reserves the next entry of the current CPU's ring; `None` if it is full.
    #[inline]
    pub fn reserve(&self) -> Option<Reservation<'_, T, BLOCKS, ENTRIES>> {
        let (entries, number) = self.0.here(whole, Reserve)?;
        Some(self.reservation(entries, number))
    }

    /// Reserves the next entry of the ring of `cpu`; `None` if it is full.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn reserve_on(
        &self,
        cpu: Cpu,
    ) -> Result<Option<Reservation<'_, T, BLOCKS, ENTRIES>>, Error> {
        let reserved = self.0.on(cpu, whole, Reserve)?;
        Ok(reserved.map(|(entries, number)| self.reservation(entries, number)))
    }

    #[inline]
    fn reservation(
        &self,
        entries: *const Entries<T, BLOCKS, ENTRIES>,
        number: usize,
    ) -> Reservation<'_, T, BLOCKS, ENTRIES> {
        Reservation {
            ring: self,
            // SAFETY: it is of this `PerCpu`.
            entries: unsafe { &*entries },
            number,
        }
    }

    /// Puts an entry onto the ring of the current CPU.
    ///
    /// # Errors
    ///
    /// Gives it back if the ring is full.
    #[inline]
    pub fn push(&self, value: T) -> Result<(), T> {
        match self.reserve() {
            Some(reservation) => {
                reservation.commit(value);
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Puts an entry onto the ring of `cpu`.
    ///
    /// # Errors
    ///
    /// Gives it back if the ring is full, or if this thread may not do that.
    pub fn push_on(&self, cpu: Cpu, value: T) -> Result<(), PushError<T>> {
        match self.reserve_on(cpu) {
            Ok(Some(reservation)) => {
                reservation.commit(value);
                Ok(())
            }
            Ok(None) => Err(PushError::Full(value)),
            Err(error) => Err(PushError::Failed(error, value)),
        }
    }

    /// Gives the entries of the ring of `cpu` that can be consumed to `each`, the oldest first; returns how
    /// many. It needs no permission for that CPU.
    ///
    /// 0 also if somebody else consumes them just now. Those that are put there meanwhile are left for the next call, so
    /// there are never more than the ring has room for.
    pub fn consume_on(&self, cpu: Cpu, each: impl FnMut(T)) -> usize {
        self.0.get_on(cpu).consume(each)
    }

    /// How many entries of the ring of `cpu` are reserved or committed, and not consumed, just now.
    pub fn len_on(&self, cpu: Cpu) -> usize {
        let entries = self.0.get_on(cpu);
        let consumed = entries.consumer.consumed.load(Acquire);
        let len = entries.reserved.load(Relaxed).wrapping_sub(consumed);
        // It may have been emptied and filled between the two.
        len.min(BLOCKS * ENTRIES)
    }
}

impl<T, const BLOCKS: usize, const ENTRIES: usize> Entries<T, BLOCKS, ENTRIES> {
    #[inline(always)]
    fn block(number: usize) -> usize {
        number / ENTRIES % BLOCKS
    }

    #[inline(always)]
    fn entry(&self, number: usize) -> &Entry<T> {
        &self.entries[Self::block(number)][number % ENTRIES]
    }

    /// The end of the entries from `number` on that can be consumed.
    fn complete(&self, number: usize) -> usize {
        let block = Self::block(number);
        let start = number - number % ENTRIES;
        // Acquire: pairs with C. And before `reserved` is loaded.
        let committed = self.committed[block]
            .load(Acquire)
            .wrapping_add(self.consumer.committed_elsewhere[block].load(Acquire));
        let reserved = self.reserved.load(Relaxed).wrapping_sub(start).min(ENTRIES);

        // Of those, the ones in earlier rounds. All counts wrap at 2^BITS / BLOCKS, as the numbers do at 2^BITS.
        let earlier = start / ENTRIES / BLOCKS * ENTRIES;
        let committed = committed.wrapping_sub(earlier) & (usize::MAX / BLOCKS);
        if committed == reserved {
            start.wrapping_add(reserved)
        } else {
            number
        }
    }

    /// See [`Ring::consume_on`].
    fn consume(&self, mut each: impl FnMut(T)) -> usize {
        let Some(consumer) = Consuming::new(&self.consumer) else {
            return 0;
        };
        let mut consumed = 0;
        let mut number = consumer.0.consumed.load(Relaxed);
        // Not before `number`: who consumed that has seen as much.
        let reserved = self.reserved.load(Relaxed);
        loop {
            let end = self.complete(number);
            if end == number || number == reserved {
                return consumed;
            }
            while number != end && number != reserved {
                let entry = self.entry(number);
                // SAFETY: it is committed, which `complete` has acquired, and `Consuming` keeps others off.
                let value = unsafe {
                    (entry.given.get().read() != 0).then(|| (*entry.value.get()).assume_init_read())
                };
                number = number.wrapping_add(1);
                // R: the producer that gets the place next sees that this is done with it.
                consumer.0.consumed.store(number, Release);
                if let Some(value) = value {
                    each(value);
                    consumed += 1;
                }
            }
        }
    }
}

impl<T: Send, const BLOCKS: usize, const ENTRIES: usize> Default for Ring<T, BLOCKS, ENTRIES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const BLOCKS: usize, const ENTRIES: usize> Drop for Ring<T, BLOCKS, ENTRIES> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            for (_, entries) in self.0.iter() {
                entries.consume(drop);
            }
        }
    }
}

impl<T, const BLOCKS: usize, const ENTRIES: usize> fmt::Debug for Ring<T, BLOCKS, ENTRIES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// An entry that is reserved: to be [committed](Self::commit). If it is dropped instead, it is passed over.
///
/// It can be sent to another thread. If it is forgotten, nothing after it can be consumed.
#[must_use = "what is reserved after it waits for it"]
pub struct Reservation<'a, T: Send, const BLOCKS: usize, const ENTRIES: usize> {
    ring: &'a Ring<T, BLOCKS, ENTRIES>,
    entries: &'a Entries<T, BLOCKS, ENTRIES>,
    number: usize,
}

impl<T: Send, const BLOCKS: usize, const ENTRIES: usize> Reservation<'_, T, BLOCKS, ENTRIES> {
    /// The place of the value: to be written, and then [committed](Self::commit_written), if it is large.
    #[inline]
    pub fn value(&mut self) -> &mut MaybeUninit<T> {
        // SAFETY: who has reserved it has it to itself.
        unsafe { &mut *self.entries.entry(self.number).value.get() }
    }

    /// Makes it ready to be consumed, with this value.
    #[inline]
    pub fn commit(mut self, value: T) {
        self.value().write(value);
        // SAFETY: it is written.
        unsafe { self.commit_written() }
    }

    /// Makes it ready to be consumed.
    ///
    /// # Safety
    ///
    /// The [value](Self::value) has been written.
    #[inline]
    pub unsafe fn commit_written(self) {
        ManuallyDrop::new(self).finish(1);
    }

    #[inline]
    fn finish(&mut self, given: usize) {
        // SAFETY: who has reserved it has it to itself.
        unsafe { self.entries.entry(self.number).given.get().write(given) };
        let block = Entries::<T, BLOCKS, ENTRIES>::block(self.number);
        let cpu = self.ring.0.cpu_of(self.entries);
        // C
        if self
            .ring
            .0
            .add_release_on(cpu, |entries| &entries.committed[block], 1)
            .is_err()
        {
            // Not allowed on that CPU any more. The consumer adds this up.
            self.entries.consumer.committed_elsewhere[block].fetch_add(1, Release);
        }
    }
}

impl<T: Send, const BLOCKS: usize, const ENTRIES: usize> Drop
    for Reservation<'_, T, BLOCKS, ENTRIES>
{
    fn drop(&mut self) {
        self.finish(0);
    }
}

impl<T: Send, const BLOCKS: usize, const ENTRIES: usize> fmt::Debug
    for Reservation<'_, T, BLOCKS, ENTRIES>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The right to consume.
struct Consuming<'a, const BLOCKS: usize>(&'a Consumer<BLOCKS>);

impl<'a, const BLOCKS: usize> Consuming<'a, BLOCKS> {
    fn new(consumer: &'a Consumer<BLOCKS>) -> Option<Self> {
        let free = consumer.busy.compare_exchange(0, 1, Acquire, Relaxed);
        free.is_ok().then(|| Self(consumer))
    }
}

impl<const BLOCKS: usize> Drop for Consuming<'_, BLOCKS> {
    fn drop(&mut self) {
        self.0.busy.store(0, Release);
    }
}

/// `if reserved - consumed < size { reserved += 1 }`; the number that was reserved
struct Reserve;

impl<T, const BLOCKS: usize, const ENTRIES: usize> Operation<Entries<T, BLOCKS, ENTRIES>>
    for Reserve
{
    type Output = Option<(*const Entries<T, BLOCKS, ENTRIES>, usize)>;

    #[inline(always)]
    fn attempt<W: Way>(
        &mut self,
        way: &W,
        data: &Entries<T, BLOCKS, ENTRIES>,
    ) -> Attempt<Self::Output> {
        let number = data.reserved.load(Relaxed);
        // It only grows: if there is room now, there is still when `reserved` is changed. Pairs with R.
        let consumed = data.consumer.consumed.load(Acquire);
        // A block is reserved anew when all of it is consumed: else its count would not tell the rounds apart.
        let free_from = consumed - consumed % ENTRIES;
        let len = number.wrapping_sub(free_from) as isize;
        if (number.wrapping_sub(consumed) as isize) < 0 {
            // Others have reserved that number meanwhile.
            return Err(Stop::Again);
        }
        if len as usize >= BLOCKS * ENTRIES {
            return Ok(None);
        }
        let (reserved, next) = (&data.reserved, number.wrapping_add(1));
        if usize::BITS < u64::BITS {
            // The number comes again, while this thread does not run. Then there need not be as much room as there was.
            let consumed = (&data.consumer.consumed, consumed);
            way.compare2_store::<false>((reserved, number), consumed, next)?;
        } else {
            way.compare_store::<false>(reserved, number, next)?;
        }
        Ok(Some((data, number)))
    }
}
