// SPDX-License-Identifier: MIT OR Apache-2.0

//! What others do at the worst moment, by hand: under load it is too rare to tell a missing check.

use core::cell::Cell;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use super::drain::{Drain, Header};
use super::push::Push;
use super::{LossMode, MOST, Record, Records, TraceRing, size};
use crate::backend::Backend;
use crate::cpu::Cpu;
use crate::per_cpu::whole;
use crate::slots::Slots;
use crate::sys;
use crate::way::{Atomic, Attempt, Operation, Opv, Stop, Way};

fn push(ring: &TraceRing, cpu: Cpu, data: &[u8]) {
    ring.push_on(cpu, data).unwrap();
}

/// Overwrites all that there is, by records of another layout, and so that no header is where one was.
fn overwrite(ring: &TraceRing, cpu: Cpu) {
    for _ in 0..20 {
        push(ring, cpu, &[0xff; 1000]);
    }
}

/// What is taken out of a record that was overwritten after it was found, and after `act`, which gets its position.
fn taken_out_after(act: impl Fn(&Records, usize)) -> Option<Record> {
    let cpu = Cpu::current();
    let ring = TraceRing::new(0, LossMode::Overwrite);
    push(&ring, cpu, b"first");
    let drain = ring.drain_on(cpu);
    let found = drain.locate_by(cpu, Header::read).unwrap();
    overwrite(&ring, cpu);
    act(ring.per_cpu.get_on(cpu), found.position);
    // It has the first one's header, and others' data.
    drain.take_out(cpu, &found)
}

#[test]
fn data_that_was_overwritten_is_not_taken_out() {
    assert_eq!(taken_out_after(|_, _| {}), None);
}

#[test]
fn a_header_that_was_overwritten_is_not_used() {
    let cpu = Cpu::current();
    let ring = TraceRing::new(0, LossMode::Overwrite);
    // More than one, so that what was there when the drain began is not all gone.
    for _ in 0..100 {
        push(&ring, cpu, b"some");
    }
    let drain = ring.drain_on(cpu);
    let reads = Cell::new(0);
    let read = |records: &Records, position| {
        reads.set(reads.get() + 1);
        if reads.get() == 1 {
            // As much as overwrites some of them: the last of the old ones are there.
            while records.oldest.load(Relaxed) == 0 {
                push(&ring, cpu, &[0xff; 1000]);
            }
        }
        Header::read(records, position)
    };
    let found = drain.locate_by(cpu, read).unwrap();
    assert_eq!(reads.get(), 2);
    assert_eq!(found.position, ring.per_cpu.get_on(cpu).oldest.get());
    assert_eq!(drain.take_out(cpu, &found).unwrap().data, b"some");
}

/// A record, with something done while it asks for the time.
struct Interrupted<'a> {
    push: Push<'a>,
    by: &'a dyn Fn(),
}

impl Operation<Records> for Interrupted<'_> {
    type Output = Option<usize>;

    fn attempt<W: Way>(&mut self, way: &W, data: &Records) -> Attempt<Option<usize>> {
        self.push.attempt_by(way, data, || {
            let time = sys::monotonic_time();
            (self.by)();
            time
        })
    }
}

/// One attempt to push a record, with something done while it asks for the time.
fn push_while(ring: &TraceRing, cpu: Cpu, data: &[u8], by: &dyn Fn()) -> Attempt<Option<usize>> {
    let (control, records) = ring.per_cpu.slot_of(cpu);
    let mut room = [0; MOST];
    let push = Push::new(ring.mode, &mut room, data);
    let mut interrupted = Interrupted { push, by };
    // Of the ways, those that keep nobody off between two primitives, with any thread on any CPU.
    let records = whole(records);
    match Backend::get() {
        Backend::CpuOpv => interrupted.attempt(&Opv(cpu), records),
        _ => interrupted.attempt(&Atomic { control, cpu }, records),
    }
}

#[test]
fn a_time_that_others_are_past_is_not_used() {
    let cpu = Cpu::current();
    let ring = TraceRing::new(0, LossMode::Discard);
    let attempt = push_while(&ring, cpu, b"earlier", &|| push(&ring, cpu, b"later"));
    assert!(matches!(attempt, Err(Stop::Again)), "{attempt:?}");
    let drained: Vec<_> = ring.drain_on(cpu).map(|record| record.data).collect();
    assert_eq!(drained, [b"later"]);
}

/// As on 32-bit systems, where that is 8 GiB of records.
#[test]
fn a_consumer_may_be_late_by_half_of_all_positions() {
    let cpu = Cpu::current();
    let ring = TraceRing::new(0, LossMode::Overwrite);
    let records = ring.per_cpu.get_on(cpu);
    for late in [
        usize::MAX / 2 - 1,
        usize::MAX / 2 + 1,
        usize::MAX - (1 << 20) + 1,
    ] {
        let head = records.head.get();
        records
            .consumer
            .0
            .consumed
            .store(head.wrapping_sub(late), Relaxed);
        records.oldest.store(head, Relaxed);
        push(&ring, cpu, b"at last");
        let drained: Vec<_> = ring.drain_on(cpu).map(|record| record.data).collect();
        assert_eq!(drained, [b"at last"], "late by {late}");
    }
}

/// As on 32-bit systems, after any multiple of 16 GiB: then that is where a record is, or will be.
#[test]
fn a_consumer_may_be_late_by_more_than_all_positions() {
    let cpu = Cpu::current();
    // The number is far, and what is there looks like it; or the number fits, and not what is there.
    let far = 0_usize.wrapping_sub(1 << 23);
    for (at, next) in [(4, far), (1000, far), (2000, far), (2040, far), (4, 1)] {
        let ring = TraceRing::new(0, LossMode::Overwrite);
        let records = ring.per_cpu.get_on(cpu);
        let data = [far; 100].map(usize::to_ne_bytes).concat();
        while records.oldest.get() == 0 {
            push(&ring, cpu, &data);
        }
        let consumer = &records.consumer.0;
        let consumed = records.oldest.get() + at;
        consumer.consumed.store(consumed, Relaxed);
        consumer.number.store(next, Relaxed);
        let drained: Vec<_> = ring.drain_on(cpu).map(|record| record.data).collect();
        assert!(!drained.is_empty() && drained.iter().all(|it| *it == data));
        let last = records.word(records.head.get()).get();
        let seen = ring.lost_on(cpu).wrapping_add(drained.len());
        assert_eq!(seen, last.wrapping_sub(next));
    }
}

/// As on 32-bit systems, while 16 GiB go by: then it looks as if nothing had been overwritten.
#[test]
fn a_consumer_may_be_stopped_for_all_positions() {
    let come_again = |records: &Records, position| records.oldest.store(position, Relaxed);
    assert_eq!(taken_out_after(come_again), None);
}

/// Where a producer was stopped, or gave up, after it had skipped what was left before the end.
#[test]
fn what_is_skipped_is_not_waited_for_and_found() {
    let cpu = Cpu::current();
    for mode in [LossMode::Discard, LossMode::Overwrite] {
        let ring = TraceRing::new(0, mode);
        let is_any = || ring.wait(0, Some(Duration::ZERO));
        let records = ring.per_cpu.get_on(cpu);
        while records.head.get() + size(1000) < records.words.len() {
            push(&ring, cpu, &[1; 1000]);
            assert_eq!(ring.drain_on(cpu).count(), 1);
        }
        let attempt = push_while(&ring, cpu, &[2; 1000], &|| {
            assert_eq!(records.head.get(), records.words.len());
            assert_eq!(ring.drain_on(cpu).count(), 0);
            assert!(!is_any(), "there is none");
        });
        assert!(matches!(attempt, Ok(Some(_))), "{attempt:?}");
        assert!(is_any());
        assert_eq!(ring.drain_on(cpu).next().unwrap().data, [2; 1000]);
    }
}

/// If one CPU is looked at, something happens there, and then on another CPU that is looked at next.
#[test]
fn a_cause_is_not_left_for_later_than_its_effect() {
    let Ok([first, .., last]) = <[Cpu; 2]>::try_from(Cpu::allowed().take(2).collect::<Vec<_>>())
    else {
        return;
    };
    let ring = TraceRing::new(0, LossMode::Discard);
    push(&ring, first, b"before");
    let looked = Cell::new(0);
    let drain = Drain::new_by(&ring, Cpu::all(), |records| {
        if looked.replace(looked.get() + 1) == last.number() {
            push(&ring, first, b"cause");
            push(&ring, last, b"effect");
        }
        records.head.load(Acquire)
    });
    let mut drained: Vec<_> = drain.map(|record| record.data).collect();
    assert_eq!(drained[0], b"before");
    drained.extend(ring.drain().map(|record| record.data));
    assert_eq!(drained, [&b"before"[..], b"cause", b"effect"]);
}

/// As in a child of `fork(2)` whose parent was at it.
#[test]
fn what_is_taken_out_again_was_not_missed() {
    let cpu = Cpu::current();
    let ring = TraceRing::new(0, LossMode::Overwrite);
    push(&ring, cpu, b"some");
    let records = ring.per_cpu.get_on(cpu);
    records.consumer.0.number.store(1, Relaxed);
    let missed: Vec<_> = ring.drain_on(cpu).map(|record| record.missed).collect();
    assert_eq!((&missed[..], ring.lost_on(cpu)), (&[0][..], 0));
}

/// Or else who waits for as much as there can be, waits for ever.
#[test]
fn what_is_full_is_half_full() {
    let cpu = Cpu::current();
    // Wherever it begins, and with something there.
    for len in (0..TraceRing::MAX_LEN).step_by(if cfg!(miri) { 1216 } else { 16 }) {
        let ring = TraceRing::new(0, LossMode::Discard);
        push(&ring, cpu, &vec![0; len]);
        assert_eq!(ring.drain_on(cpu).count(), 1);
        push(&ring, cpu, &[0; 300]);
        while ring.push_on(cpu, &[0; TraceRing::MAX_LEN]).is_ok() {}
        assert!(ring.wait(usize::MAX, Some(Duration::ZERO)), "{len}");
    }
}
