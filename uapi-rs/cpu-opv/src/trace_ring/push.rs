// SPDX-License-Identifier: MIT OR Apache-2.0

//! The producer of a [`TraceRing`](super::TraceRing).

use core::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use super::{HEADER, LossMode, MOST, Records, SKIP, TIME, WORD, size};
use crate::sys;
use crate::way::{Attempt, Copy, Operation, Stop, Way};

/// Puts a record there; how many words there are to be consumed then, or `None` if there is no room.
pub(super) struct Push<'a> {
    mode: LossMode,
    /// The record, and the number of the next one.
    record: &'a mut [usize],
}

#[inline(never)]
pub(super) fn push_long<R>(mode: LossMode, data: &[u8], push: impl FnOnce(Push<'_>) -> R) -> R {
    push(Push::new(mode, &mut [0; MOST], data))
}

impl<'a> Push<'a> {
    #[inline(always)]
    pub(super) fn new(mode: LossMode, room: &'a mut [usize], data: &[u8]) -> Self {
        let record = &mut room[..=size(data.len())];
        record[1] = data.len();
        for (word, bytes) in record[HEADER..].iter_mut().zip(data.chunks(WORD)) {
            let mut padded = [0; WORD];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = usize::from_ne_bytes(padded);
        }
        Self { mode, record }
    }

    /// Makes room for `len` words from `head` on, by having the oldest records overwritten.
    #[inline(always)]
    fn overwrite<W: Way>(
        way: &W,
        data: &Records,
        (oldest, head): (usize, usize),
        len: usize,
    ) -> Attempt<()> {
        let end = head.wrapping_add(len);
        let mut first = oldest;
        while end.wrapping_sub(first) > data.words.len() {
            if first == head || head.wrapping_sub(first) > data.words.len() {
                // Others have overwritten these: they were no records.
                return Err(Stop::Again);
            }
            (first, _) = data.after(first);
        }
        way.compare_store::<true>(&data.oldest, oldest, first)
    }

    /// Skips what is left before the end.
    #[inline(always)]
    fn skip<W: Way>(way: &W, data: &Records, head: usize, rest: usize) -> Attempt<()> {
        let number = data.word(head).load(Relaxed);
        // Whoever else comes to do this writes the same number. So it may be done in two steps.
        way.compare_store2::<true>((&data.head, head), (&data.words[0], number), head)?;
        let len = data.word(head.wrapping_add(1));
        way.compare_store2::<true>((&data.head, head), (len, SKIP), head.wrapping_add(rest))
    }

    /// The attempt, with the time that `clock` tells.
    #[inline(always)]
    pub(super) fn attempt_by<W: Way>(
        &mut self,
        way: &W,
        data: &Records,
        clock: impl FnOnce() -> u64,
    ) -> Attempt<Option<usize>> {
        let capacity = data.words.len();
        let mut head = data.head.load(Acquire);
        let consumed = data.consumer.0.consumed.load(Acquire);
        let oldest = match self.mode {
            LossMode::Discard => consumed,
            // Acquire: O may have been another thread's.
            LossMode::Overwrite => data.oldest.load(Acquire),
        };
        let used = head.wrapping_sub(oldest);
        if used > capacity {
            // Others have put records there since `head` was loaded.
            return Err(Stop::Again);
        }
        let rest = capacity - data.index(head);
        let skipped = if self.record.len() > rest { rest } else { 0 };
        let len = skipped + self.record.len();
        if used + len > capacity {
            match self.mode {
                LossMode::Discard => {
                    way.add::<false>(&data.discarded, 1)?;
                    return Ok(None);
                }
                LossMode::Overwrite => Self::overwrite(way, data, (oldest, head), len)?,
            }
        }
        // After O.
        fence(Release);
        if skipped != 0 {
            Self::skip(way, data, head, rest)?;
            head = head.wrapping_add(rest);
        }

        let number = data.word(head).load(Relaxed);
        let size = self.record.len() - 1;
        self.record[0] = number;
        self.record[size] = number.wrapping_add(1);
        // Not before `head`: so times are in order.
        let time = clock();
        self.record[2] = time as usize;
        if TIME == 2 {
            self.record[3] = (time >> 32) as usize;
        }
        let copy = Copy {
            // In bounds, with the whole record.
            dst: data
                .words
                .as_ptr()
                .wrapping_add(data.index(head))
                .cast_mut()
                .cast(),
            src: self.record.as_ptr().cast(),
            len: size_of_val(self.record),
            watched: true,
        };
        let end = head.wrapping_add(size);
        // SAFETY: while `head` is this, there is room, where nobody but who commits a `head` writes: what was read there
        // is thrown away. The copy is words, by which others read it.
        unsafe { way.compare_copy_store::<true>(&data.head, head, copy, end) }?;
        Ok(Some(end.wrapping_sub(consumed)))
    }
}

impl Operation<Records> for Push<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Records) -> Attempt<Option<usize>> {
        self.attempt_by(way, data, sys::monotonic_time)
    }
}
