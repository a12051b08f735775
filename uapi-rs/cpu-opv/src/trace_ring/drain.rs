// SPDX-License-Identifier: MIT OR Apache-2.0

//! The consumer of a [`TraceRing`].

use core::cmp::Reverse;
use core::fmt;
use core::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{HEADER, LossMode, Records, TIME, TraceRing, WORD, size};
use crate::cpu::Cpu;
use crate::{generation, sys};

/// A record that was taken out of a [`TraceRing`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Record {
    /// The CPU on whose ring it was.
    pub cpu: Cpu,
    /// When it was put there, by `CLOCK_MONOTONIC`, see `clock_gettime(2)`.
    pub time: Duration,
    /// How many records of that CPU, just before this one, were overwritten before they were consumed.
    pub missed: usize,
    /// What was put there.
    pub data: Vec<u8>,
}

/// An iterator that takes records out of a [`TraceRing`], in the order of their times.
///
/// Each is taken out when it is returned: [`take`](Iterator::take) leaves the others there. While it lives, who else
/// drains the same ring waits, and would wait for ever in the same thread, or after it was leaked. It may end before all that were there when
/// it began, if they are overwritten faster.
///
/// In a child of `fork(2)` one that its parent had is at its end: the ring is there to be drained anew.
pub struct Drain<'a> {
    ring: &'a TraceRing,
    /// That of the process which has the lock.
    generation: u32,
    /// The time of the next record of each CPU that has any left.
    next: BinaryHeap<Reverse<(u64, Cpu)>>,
    /// Where those end that were there when it began, by CPU.
    ends: Vec<usize>,
    /// Before and after those ends were looked at, one after the other. A record of a time in between is left there: of
    /// another one that was put on another CPU before, the end may have been looked at too early.
    looked: (u64, u64),
}

/// What the words before a record's data say.
pub(super) struct Header {
    number: usize,
    time: u64,
    /// `None`: there is no record before the end.
    len: Option<usize>,
    /// Where the next one begins.
    after: usize,
}

/// Where a record is, and what its header says.
pub(super) struct Found {
    pub(super) position: usize,
    number: usize,
    time: u64,
    len: usize,
    after: usize,
}

impl Header {
    /// Any numbers, if others overwrite it.
    pub(super) fn read(records: &Records, position: usize) -> Self {
        let word = |index| records.word(position.wrapping_add(index)).load(Relaxed);
        let mut time = word(2) as u64;
        if TIME == 2 {
            time |= (word(3) as u64) << 32;
        }
        let (after, len) = records.after(position);
        Self {
            number: word(0),
            time,
            len,
            after,
        }
    }
}

impl<'a> Drain<'a> {
    pub(super) fn new(ring: &'a TraceRing, cpus: impl IntoIterator<Item = Cpu>) -> Self {
        // Acquire: pairs with the commits.
        Self::new_by(ring, cpus, |records| records.head.load(Acquire))
    }

    /// The same, with heads read by `head`.
    pub(super) fn new_by(
        ring: &'a TraceRing,
        cpus: impl IntoIterator<Item = Cpu>,
        head: impl Fn(&Records) -> usize,
    ) -> Self {
        ring.consumer.0.lock();
        let mut drain = Self {
            ring,
            generation: generation::current(),
            next: BinaryHeap::new(),
            ends: Vec::new(),
            looked: (sys::monotonic_time(), 0),
        };
        let heads = ring.per_cpu.iter().map(|(_, records)| head(records));
        drain.ends.extend(heads);
        drain.looked.1 = sys::monotonic_time();
        cpus.into_iter().for_each(|cpu| drain.look_at(cpu));
        drain
    }

    /// If not, others may have the lock by now.
    fn is_of_this_process(&self) -> bool {
        self.generation == generation::current()
    }

    /// Puts the next record of this CPU in its place among the others.
    fn look_at(&mut self, cpu: Cpu) {
        let (before, after) = self.looked;
        match self.locate(cpu) {
            // One that is later still is of another clock: that of the parent, in a child in a time namespace.
            Some(found) if found.time <= before || found.time > after => {
                self.next.push(Reverse((found.time, cpu)));
            }
            _ => {}
        }
    }

    /// The oldest record of this CPU that is left.
    fn locate(&self, cpu: Cpu) -> Option<Found> {
        self.locate_by(cpu, Header::read)
    }

    /// The same, with headers read by `header`.
    pub(super) fn locate_by(
        &self,
        cpu: Cpu,
        header: impl Fn(&Records, usize) -> Header,
    ) -> Option<Found> {
        let records = self.ring.per_cpu.get_on(cpu);
        let end = self.ends[cpu.number()];
        let mut position = self.first(records, end);
        loop {
            if self.is_gone(records, position) {
                position = records.oldest.load(Acquire);
            }
            // It may be past the end.
            let left = end.wrapping_sub(position);
            if left == 0 || left > records.words.len() {
                return None;
            }
            let header = header(records, position);
            if self.is_gone(records, position) {
                continue;
            }
            let Some(len) = header.len else {
                position = header.after;
                // There may be no record yet. Who waits for one is not to find this.
                records.consumer.0.consumed.store(position, Release);
                continue;
            };
            return Some(Found {
                position,
                number: header.number,
                time: header.time,
                len,
                after: header.after,
            });
        }
    }

    /// Where to go on, or the oldest record if the consumer is late.
    fn first(&self, records: &Records, end: usize) -> usize {
        let consumer = &records.consumer.0;
        let consumed = consumer.consumed.load(Relaxed);
        if self.ring.mode == LossMode::Discard {
            return consumed;
        }
        // With 32 bits positions come again: if it is late by all of them, any words may be there. But each record, and the
        // end, begins with its number; and from the one to the other there are no more than fit. In a child of `fork(2)`
        // it may be the one that its parent was just taking out.
        let next = consumer.number.load(Relaxed);
        let [here, last] = [consumed, end].map(|position| records.word(position).load(Relaxed));
        let unread = end.wrapping_sub(consumed);
        let is_next = unread <= records.words.len()
            && next.wrapping_sub(here) <= 1
            && last.wrapping_sub(next) <= unread / size(0);
        if is_next {
            consumed
        } else {
            records.oldest.load(Acquire)
        }
    }

    /// Whether what was read there may have been overwritten: see the module's text, L.
    fn is_gone(&self, records: &Records, position: usize) -> bool {
        fence(Acquire);
        // What is there begins between `oldest` and a `head` that was seen before, which are no further apart than that.
        let is_there =
            || position.wrapping_sub(records.oldest.load(Relaxed)) <= records.words.len();
        self.ring.mode == LossMode::Overwrite && !is_there()
    }

    /// Takes this record out, unless it is overwritten meanwhile.
    pub(super) fn take_out(&self, cpu: Cpu, found: &Found) -> Option<Record> {
        let records = self.ring.per_cpu.get_on(cpu);
        let mut data = Vec::with_capacity(found.len.next_multiple_of(WORD));
        for index in 0..found.len.div_ceil(WORD) {
            let word = records.word(found.position.wrapping_add(HEADER + index));
            data.extend_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        // That it is there may be by chance: with 32 bits, positions come again.
        let is_there = !self.is_gone(records, found.position)
            && records.word(found.position).load(Relaxed) == found.number;
        if !is_there {
            return None;
        }
        data.truncate(found.len);

        // Only who has the lock changes these.
        let consumer = &records.consumer.0;
        let missed = match found.number.wrapping_sub(consumer.number.load(Relaxed)) {
            // In a child of `fork(2)`, that which its parent was just taking out.
            usize::MAX => 0,
            missed => missed,
        };
        let all_missed = consumer.missed.load(Relaxed).wrapping_add(missed);
        consumer.missed.store(all_missed, Relaxed);
        consumer.number.store(found.number.wrapping_add(1), Relaxed);
        // The producer that gets the room next sees that this is done with it.
        consumer.consumed.store(found.after, Release);
        Some(Record {
            cpu,
            time: Duration::from_nanos(found.time),
            missed,
            data,
        })
    }
}

impl Iterator for Drain<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            if !self.is_of_this_process() {
                return None;
            }
            let Reverse((time, cpu)) = self.next.pop()?;
            // If the one that was found before is overwritten, a later one is, which may not be the next of all.
            let record = self
                .locate(cpu)
                .filter(|found| found.time == time)
                .and_then(|found| self.take_out(cpu, &found));
            self.look_at(cpu);
            if record.is_some() {
                return record;
            }
        }
    }
}

impl Drop for Drain<'_> {
    fn drop(&mut self) {
        if self.is_of_this_process() {
            self.ring.consumer.0.unlock();
        }
    }
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").finish_non_exhaustive()
    }
}
