// SPDX-License-Identifier: MIT OR Apache-2.0

//! A ring buffer for each CPU of records of different lengths, for tracing.
//!
//! # How it works
//!
//! Positions count words, from 0 for ever; the word at position `p` has the index `p % capacity`. For each CPU there are
//!
//! - `head`, where the next record begins: changed on that CPU;
//! - `oldest`, where the oldest record begins that is not overwritten: changed on that CPU, if records are overwritten;
//! - `consumed`, where the next record to be consumed begins: changed by who has the lock for that.
//!
//! A record is copied to the ring by the very sequence that commits it with a new `head`, so that a producer that is
//! stopped has either put it there or not begun. The copy has one word more, the number of the next record, so that
//! numbers need no step of their own:
//!
//! ```text
//!        +--------+-----+------+--------+--------+ - - - -
//!        | number | len | time | data   | number |
//!        +--------+-----+------+--------+--------+ - - - -
//!        ^ head, before                 ^ head, after
//! ```
//!
//! Records do not wrap. Where one does not fit before the end, what is left there is skipped: its number is put at index
//! 0, which nobody reads before `head` has got there; then `SKIP` takes the place of `len`.
//!
//! # Why nobody reads what is being overwritten
//!
//! ```text
//! producer                                       consumer
//! --------                                       --------
//! O: oldest = a later record                     read the record
//!    fence(Release)                              fence(Acquire)
//!    copy a record to where those were           L: if oldest is past it: it is none
//! ```
//!
//! If the consumer has read a word of the copy, the fences are ordered, and L sees O. What it has read up to then are
//! words, by atomic loads, of which each may be anything; as a length, no more than the ring has.

mod drain;
mod push;
#[cfg(test)]
mod tests;

pub use drain::{Drain, Record};

use core::fmt;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed},
};
use std::alloc::{Layout, alloc_zeroed};
use std::time::Duration;

use cpu_opv_sys::CPU_OP_DATA_LEN_MAX;

use crate::cpu::Cpu;
use crate::error::{Error, PushError};
use crate::futex::FutexLock;
use crate::per_cpu::{PerCpu, whole};
use crate::slots::Slots;
use crate::waiters::Waiters;
use crate::word::Word;
use push::{Push, push_long};

const WORD: usize = size_of::<usize>();
const TIME: usize = size_of::<u64>() / WORD;
/// Words of a record before its data.
const HEADER: usize = 2 + TIME;
/// In place of the length: from here to the end there is no record.
const SKIP: usize = usize::MAX;
/// How many words can be copied at once.
const MOST: usize = CPU_OP_DATA_LEN_MAX as usize / WORD;
/// The same for those that take little of the stack: handlers of signals may have little.
const FEW: usize = 256 / WORD;

/// What becomes of a record when the ring is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossMode {
    /// It is discarded: the ring has what came first. A consumer that keeps up gets all.
    Discard,
    /// It overwrites the oldest ones: the ring has what came last, as a flight recorder.
    Overwrite,
}

/// For each CPU a ring of records, which are bytes with a time, for tracing.
///
/// To put a record there takes no lock and no atomic instruction, nor does a producer that is stopped hold up anyone:
/// a record is there as a whole, or not at all. [`drain`](Self::drain) takes those of all CPUs out, merged by their
/// times; who consumes can [wait](Self::wait) for them.
///
/// ```
/// use cpu_opv::{LossMode, TraceRing};
///
/// let trace = TraceRing::new(64 << 10, LossMode::Discard);
/// trace.push(b"started").unwrap();
/// trace.push(b"ended").unwrap();
///
/// let records: Vec<_> = trace.drain().collect();
/// assert_eq!(records[0].data, b"started");
/// assert!(records[0].time <= records[1].time);
/// ```
///
/// For entries of one size that are filled in place, or own something, see [`Ring`](crate::Ring).
///
/// # Order
///
/// What a producer did before it pushed a record happens before what is done by who consumes it. The records of a CPU are
/// in the order of their times. In that of a [`Drain`] are those of all CPUs that were there when it began; one whose
/// producer lost its CPU at the wrong moment may be put there a little later, and then comes with the next. But of two
/// that were pushed one after the other, the first never comes later than the second, as far as the clock tells them apart.
///
/// # Progress
///
/// Lock-free for producers with [`Backend::CpuOpv`](crate::Backend::CpuOpv), else not. There is one consumer at a time.
///
/// # Signal handlers
///
/// They may [`push`](Self::push) up to 128 bytes with 1 KiB of stack left, or more with 6 KiB. They must not drain.
///
/// # Costs
///
/// Most of a push is to ask for the time. One of 16 bytes takes 37 ns in either mode, of which the time is 23, where a
/// `Mutex<VecDeque>` of such records takes 34 and an `mpsc` channel 34: by one thread that nobody competes with, on a
/// virtual machine (AMD EPYC) without `cpu_opv(2)`, by `cargo run --release --bin push` in cpu-opv-bench.
///
/// A record takes 24 bytes (16 on 32-bit systems) more than its data, in units of two words. Memory of CPUs that nothing
/// is pushed on is not touched, if the rings are large.
pub struct TraceRing {
    per_cpu: PerCpu<Records>,
    mode: LossMode,
    waiters: Waiters,
    consumer: OwnLine<FutexLock>,
}

/// Keeps what is written by consumers from what producers read.
#[repr(align(128))]
struct OwnLine<T>(T);

#[repr(C)]
struct Records {
    head: Word,
    oldest: Word,
    /// How many were discarded.
    discarded: Word,
    words: Box<[Word]>,
    consumer: OwnLine<Consumer>,
}

/// Changed by who has the lock.
#[derive(Default)]
struct Consumer {
    consumed: AtomicUsize,
    /// The number of the next record, if none is missed.
    number: AtomicUsize,
    /// How many were missed.
    missed: AtomicUsize,
}

impl TraceRing {
    /// How many bytes a record has at most.
    pub const MAX_LEN: usize = 4000;

    /// Empty rings of `capacity` bytes for each CPU, which is rounded up to a power of two, and to 16 KiB.
    ///
    /// # Panics
    ///
    /// If the system has no memory left, or `capacity` is more than 2 GiB, or on 32-bit systems 1 GiB.
    pub fn new(capacity: usize, mode: LossMode) -> Self {
        Self::try_new(capacity, mode).expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left, [`Error::Layout`] if `capacity` is too much.
    pub fn try_new(capacity: usize, mode: LossMode) -> Result<Self, Error> {
        // Twice what two of the longest records take: so what has no room for one, as it is skipped to the start, is half full.
        const LEAST: usize = 16 << 10;
        const LARGEST: usize = 1 << 31;
        if capacity > LARGEST {
            return Err(Error::Layout);
        }
        let len = capacity.max(LEAST).next_power_of_two() / WORD;
        let mut words = Vec::new();
        for _ in Cpu::all() {
            words.push(zeroes(len)?);
        }
        let records = |_| Records {
            head: Word::new(0),
            oldest: Word::new(0),
            discarded: Word::new(0),
            words: words.pop().expect("as many as there are CPUs"),
            consumer: OwnLine(Consumer::default()),
        };
        Ok(Self {
            per_cpu: PerCpu::try_new(records)?,
            mode,
            waiters: Waiters::new(),
            consumer: OwnLine(FutexLock::new()),
        })
    }

    /// Puts a record onto the ring of the current CPU, with the time of now.
    ///
    /// # Errors
    ///
    /// - [`PushError::Full`]: the ring is, and [discards](LossMode::Discard). It is counted as [lost](Self::lost_on).
    /// - [`PushError::Failed`] with [`Error::TooLong`]: there are more bytes than [`MAX_LEN`](Self::MAX_LEN).
    #[inline]
    pub fn push(&self, data: &[u8]) -> Result<(), PushError<()>> {
        self.push_by(data, |push| Ok(self.per_cpu.here(whole, push)))
    }

    /// Puts a record onto the ring of `cpu`.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push), and [`Error::CpuNotAllowed`] if this thread is not.
    pub fn push_on(&self, cpu: Cpu, data: &[u8]) -> Result<(), PushError<()>> {
        self.push_by(data, |push| self.per_cpu.on(cpu, whole, push))
    }

    #[inline]
    fn push_by(
        &self,
        data: &[u8],
        push: impl FnOnce(Push<'_>) -> Result<Option<usize>, Error>,
    ) -> Result<(), PushError<()>> {
        let unread = match size(data.len()) {
            // The number after it comes on top.
            ..FEW => push(Push::new(self.mode, &mut [0; FEW], data)),
            _ if data.len() <= Self::MAX_LEN => push_long(self.mode, data, push),
            _ => Err(Error::TooLong),
        };
        let unread = unread.map_err(|error| PushError::Failed(error, ()))?;
        self.waiters.notify(unread.ok_or(PushError::Full(()))?);
        Ok(())
    }

    /// Takes out the records that are there, of all CPUs, in the order of their times.
    ///
    /// Those that are put there meanwhile are left for the next time.
    ///
    /// # Deadlock
    ///
    /// It waits until no other [`Drain`] of this ring lives: for ever if this thread has one, or if one was leaked, as by
    /// [`mem::forget`](core::mem::forget). Producers never wait for a drain.
    pub fn drain(&self) -> Drain<'_> {
        Drain::new(self, Cpu::all())
    }

    /// Takes out the records of `cpu` that are there, as [`drain`](Self::drain) does, and waits as that does. It needs no
    /// permission for that CPU.
    pub fn drain_on(&self, cpu: Cpu) -> Drain<'_> {
        Drain::new(self, [cpu])
    }

    /// Waits until a CPU has `watermark` bytes to be consumed, headers included; returns whether one has: `false` if
    /// `timeout` was over before. `None` is no limit.
    ///
    /// 0 stands for any record. More than half of the capacity is taken as that half. While nobody waits, producers pay
    /// a load for it.
    pub fn wait(&self, watermark: usize, timeout: Option<Duration>) -> bool {
        let half = self.per_cpu.get_on(Cpu::FIRST).words.len() / 2;
        let amount = watermark.div_ceil(WORD).clamp(1, half);
        self.waiters.wait(amount as u32, timeout, || {
            let mut unread = self.per_cpu.iter().map(|(_, records)| records.unread());
            unread.any(|unread| unread >= amount)
        })
    }

    /// How many records of `cpu` were lost until now: those that were [discarded](LossMode::Discard), or those that were
    /// [overwritten](LossMode::Overwrite) unread, as far as consumers have come to miss them. The latter are also what
    /// [`Record::missed`] tells, record by record.
    ///
    /// When all who push have ended and the ring was drained, what was pushed is what was drained and what was lost.
    pub fn lost_on(&self, cpu: Cpu) -> usize {
        let records = self.per_cpu.get_on(cpu);
        let missed = records.consumer.0.missed.load(Relaxed);
        records.discarded.load(Relaxed).wrapping_add(missed)
    }
}

/// Words that are 0, and where nothing is touched if they are many.
fn zeroes(len: usize) -> Result<Box<[Word]>, Error> {
    let layout = Layout::array::<Word>(len).map_err(|_| Error::Layout)?;
    // SAFETY: `len` is not 0; and a word can be all zeroes.
    unsafe {
        let words = alloc_zeroed(layout).cast::<Word>();
        if words.is_null() {
            return Err(Error::Os(libc::ENOMEM));
        }
        Ok(Box::from_raw(core::ptr::slice_from_raw_parts_mut(
            words, len,
        )))
    }
}

/// How many words a record takes: an even number, so that there is always room for a number and a length.
#[inline(always)]
fn size(len: usize) -> usize {
    (HEADER + len.div_ceil(WORD)).next_multiple_of(2)
}

impl Records {
    #[inline(always)]
    fn index(&self, position: usize) -> usize {
        position & (self.words.len() - 1)
    }

    #[inline(always)]
    fn word(&self, position: usize) -> &Word {
        &self.words[self.index(position)]
    }

    /// Where what comes after what begins at `position` begins; the length of that, unless it is to be skipped.
    #[inline(always)]
    fn after(&self, position: usize) -> (usize, Option<usize>) {
        match self.word(position.wrapping_add(1)).load(Relaxed) {
            SKIP => {
                let rest = self.words.len() - self.index(position);
                (position.wrapping_add(rest), None)
            }
            // It may be no length at all, if others overwrite it.
            len => {
                let len = len.min(TraceRing::MAX_LEN);
                (position.wrapping_add(size(len)), Some(len))
            }
        }
    }

    fn unread(&self) -> usize {
        // Acquire: who consumed up to there has seen as much of `head`. Else it may look like more than all.
        let consumed = self.consumer.0.consumed.load(Acquire);
        self.head.load(Acquire).wrapping_sub(consumed)
    }
}

impl fmt::Debug for TraceRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceRing")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
