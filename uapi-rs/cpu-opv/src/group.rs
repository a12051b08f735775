// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several words of each CPU of which a few change in one step.
//!
//! A restartable sequence commits by one store, its last instruction. To have it change more, the words come with two
//! *records* of up to three entries, each of which says what a word holds, and with a *version*, which says which record
//! is in effect:
//!
//! ```text
//! block:  version | record 0: (index, value) x 3 | record 1 | nobody's, word 1, word 2, ...
//! ```
//!
//! **What a word holds** is what the record in effect says, or else what is in the word. A change is then
//!
//! 1. to *settle* the record in effect: to store its values to their words, but for those that the other record will
//!    name again. That changes nothing of what they hold, so whoever does it, in part or again, does no harm;
//! 2. to work out what the words are to hold, by plain code;
//! 3. to fill in the other record, which is not in effect, so that nobody looks at it;
//! 4. to store the next version. That is the commit, and puts that record into effect.
//!
//! 1 is a primitive for each such word, 3 and 4 are one, and each does nothing unless the version is still the one that the
//! change began with. Versions never come again (but after 2 to the power of 31 changes on a 32-bit machine), so it
//! commits only what it worked out of the latest state.
//!
//! An entry of index 0 is for the word that is nobody's: all zeroes is the state at the start, and after a drain.
//!
//! # To read and to drain
//!
//! | | to read, or to read and zero, all words of a CPU in one step is |
//! |---|---|
//! | `CpuOpv` | a vector, which copies them, and stores zeroes: it aborts the sequence there, and nothing comes between |
//! | `Membarrier` | plain code while the sequences are stopped |
//! | `Lock` | plain code under the lock that each change takes too |
//!
//! To read there is also a way that takes no system call and needs no permission: to copy them, and see whether the
//! version is the same before and after. Each store that could spoil the copy is made after the version has
//! changed, and in that order for whoever looks from another CPU:
//!
//! | store | comes after a version, which the reader sees by its acquire fence | by |
//! |---|---|---|
//! | to settle the record of version v to its words | v, which the reader of v - 2 does not expect | its release |
//! | to fill in the record of v + 2, which is that of v - 2 | v | the release fence before |
//! | zeroes | an odd one | release; `take_all` |
//!
//! The loads of a change need no more than the acquire of the version: what was stored before that was, on any CPU, is
//! seen, and what is stored later makes the primitives fail.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread;

use crate::arena::{Block, MAX_LEN};
use crate::cpu::Cpu;
use crate::error::Error;
use crate::per_cpu::whole;
use crate::slots::Slots;
use crate::way::{Attempt, Operation, Stop, Way};
use crate::word::{Word, fence};

/// How many words can change in one step.
pub(crate) const MOST: usize = 3;

/// A record as it is in memory: index, value, index, value, ...
type Record = [usize; 2 * MOST];

/// What is in front of the words, that of nobody included.
const HEAD: usize = 1 + 2 * (2 * MOST) + 1;

/// How many words a group can have.
pub(crate) const MAX_WORDS: usize = MAX_LEN - HEAD;

/// How often to read without an operation before there is one.
const READS: u32 = if cfg!(loom) { 1 } else { 100 };

/// Some words of each CPU.
pub(crate) struct Group(Block<usize>);

impl Group {
    /// One of so many words, all 0.
    ///
    /// # Panics
    ///
    /// If that is none, or more than [`MAX_WORDS`].
    pub(crate) const fn new(words: usize) -> Self {
        assert!(
            0 < words && words <= MAX_WORDS,
            "there are 1 to 242 words in one step"
        );
        Self(Block::new(HEAD + words))
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len() - HEAD
    }

    /// Has `change` make of the values of some words what they are to be, on the current CPU: of a word that is named
    /// twice, the same.
    #[inline]
    pub(crate) fn change<const N: usize>(
        &self,
        words: [usize; N],
        change: impl Fn(&mut [usize; N]),
    ) {
        let change = self.operation(words, change);
        self.0.words().here(whole, change);
    }

    /// The same on `cpu`.
    #[inline]
    pub(crate) fn change_on<const N: usize>(
        &self,
        cpu: Cpu,
        words: [usize; N],
        change: impl Fn(&mut [usize; N]),
    ) -> Result<(), Error> {
        let change = self.operation(words, change);
        self.0.try_words()?.on(cpu, whole, change)
    }

    #[inline(always)]
    fn operation<const N: usize, F: Fn(&mut [usize; N])>(
        &self,
        words: [usize; N],
        change: F,
    ) -> Change<N, F> {
        const { assert!(0 < N && N <= MOST, "1 to 3 words change in one step") };
        let len = self.len();
        words
            .iter()
            .for_each(|word| assert!(*word < len, "there are {len} words"));
        Change {
            indices: words.map(|word| word + 1),
            change,
        }
    }

    /// Whether nothing was changed on `cpu` since it was last taken. Where that is not sure, it says no.
    pub(crate) fn is_zero_on(&self, cpu: Cpu) -> bool {
        let is_zero = |block: &[Word]| block[1..].iter().all(|word| word.get() == 0);
        self.0
            .made()
            .is_none_or(|words| is_zero(words.slot_of(cpu).1))
    }

    /// Gives `each` what the words of `cpu` hold, all at one moment.
    pub(crate) fn read_on<T>(&self, cpu: Cpu, each: impl FnOnce(&[usize]) -> T) -> T {
        let mut copy = [0; MAX_LEN];
        let copy = &mut copy[..self.0.len()];
        if let Some(words) = self.0.made() {
            let block = words.slot_of(cpu).1;
            let mut times = 0;
            while !is_read(block, copy) {
                times += 1;
                if times >= READS {
                    if words.on_any(cpu, whole, CopyAll(copy)).is_ok() {
                        break;
                    }
                    thread::yield_now();
                }
            }
        }
        each(held(copy))
    }

    /// The same, and the words are 0 then.
    pub(crate) fn take_on<T>(
        &self,
        cpu: Cpu,
        each: impl FnOnce(&[usize]) -> T,
    ) -> Result<T, Error> {
        let mut copy = [0; MAX_LEN];
        let copy = &mut copy[..self.0.len()];
        if let Some(words) = self.0.made() {
            words.on(cpu, whole, TakeAll(copy))?;
        }
        Ok(each(held(copy)))
    }
}

/// Where the record of this version is in the block.
#[inline(always)]
fn record_at(version: usize) -> usize {
    1 + version / 2 % 2 * (2 * MOST)
}

/// Copies a block without an operation; whether it is that of one moment.
fn is_read(block: &[Word], copy: &mut [usize]) -> bool {
    let version = block[0].load(Acquire);
    for (copy, word) in copy.iter_mut().zip(block) {
        *copy = word.get();
    }
    fence(Acquire);
    copy[0] = version;
    version % 2 == 0 && block[0].load(Relaxed) == version
}

/// What the words hold, by a copy of a block.
fn held(copy: &mut [usize]) -> &[usize] {
    let at = record_at(copy[0]);
    for entry in (at..at + 2 * MOST).step_by(2) {
        let (index, value) = (copy[entry], copy[entry + 1]);
        copy[HEAD - 1 + index] = value;
    }
    &copy[HEAD..]
}

/// See the start of this file.
struct Change<const N: usize, F> {
    /// 1 for the first word.
    indices: [usize; N],
    change: F,
}

impl<const N: usize, F: Fn(&mut [usize; N])> Operation<[Word]> for Change<N, F> {
    type Output = ();

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, block: &[Word]) -> Attempt<()> {
        let (head, words) = block.split_at(HEAD - 1);
        let version = head[0].load(Acquire);
        if version % 2 != 0 {
            way.finish_take_all(block)?;
            return Err(Stop::Again);
        }
        // 1
        let mut values = self.indices.map(|index| words[index].get());
        let at = record_at(version);
        for entry in head[at..at + 2 * MOST].chunks_exact(2) {
            let (index, value) = (entry[0].get(), entry[1].get());
            let mut is_named_again = false;
            for (named, current) in self.indices.iter().zip(&mut values) {
                if *named == index {
                    *current = value;
                    is_named_again = true;
                }
            }
            if !is_named_again {
                // Another version may have come, whose record is half there.
                let word = words.get(index).ok_or(Stop::Again)?;
                let found = word.get();
                if found != value {
                    way.compare2_store::<true>((word, found), (&head[0], version), value)?;
                }
            }
        }
        // 2
        (self.change)(&mut values);
        let mut record: Record = [0; 2 * MOST];
        for (entry, (index, value)) in record
            .chunks_exact_mut(2)
            .zip(self.indices.iter().zip(values))
        {
            entry.copy_from_slice(&[*index, value]);
        }
        // 3 and 4
        fence(Release);
        let next = version.wrapping_add(2);
        let at = record_at(next);
        let fill = (&head[at..at + 2 * MOST], &record[..]);
        way.compare_fill_store::<true>((&head[0], version), fill, next)
    }
}

/// Copies a block.
struct CopyAll<'a>(&'a mut [usize]);

impl Operation<[Word]> for CopyAll<'_> {
    type Output = ();

    fn attempt<W: Way>(&mut self, way: &W, block: &[Word]) -> Attempt<()> {
        way.copy_all(block, self.0)
    }
}

/// Copies a block and makes it 0.
struct TakeAll<'a>(&'a mut [usize]);

impl Operation<[Word]> for TakeAll<'_> {
    type Output = ();

    fn attempt<W: Way>(&mut self, way: &W, block: &[Word]) -> Attempt<()> {
        way.take_all(block, self.0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::backend::Backend;

    fn add(group: &Group, n: usize) {
        group.change([0, 1], |[a, b]| (*a, *b) = (*a + n, *b + n));
    }

    fn total(read: impl Fn(Cpu) -> usize) -> usize {
        Cpu::all().map(read).sum()
    }

    fn both(words: &[usize]) -> usize {
        assert_eq!(words[0], words[1]);
        words[0]
    }

    /// A change that something comes between, after it has looked and before it commits, looks again.
    fn between(act: impl Fn(&Group)) -> usize {
        let group = Group::new(2);
        add(&group, 1);
        let first = Cell::new(true);
        // The first try is a sequence, and holds nothing.
        group.change([0, 1], |[a, b]| {
            if first.take() {
                act(&group);
            }
            (*a, *b) = (*a + 10, *b + 10);
        });
        total(|cpu| group.read_on(cpu, both))
    }

    #[test]
    fn what_comes_between_is_not_undone() {
        assert_eq!(between(|group| add(group, 100)), 111);
        // The same record is in effect again.
        assert_eq!(between(|group| (0..2).for_each(|_| add(group, 100))), 211);
        let taken = Cell::new(0);
        let left = between(|group| {
            let take = |cpu| group.take_on(cpu, both).unwrap_or(0);
            taken.set(total(take));
        });
        assert_eq!((taken.get(), left), (1, 10));
    }

    #[test]
    fn what_is_taken_is_gone() {
        let group = Group::new(MAX_WORDS);
        assert!(Cpu::all().all(|cpu| group.is_zero_on(cpu)));
        for n in [1, 2, 3] {
            add(&group, n);
        }
        assert!(!Cpu::all().all(|cpu| group.is_zero_on(cpu)));
        assert_eq!(total(|cpu| group.take_on(cpu, both).unwrap_or(0)), 6);
        assert!(Cpu::all().all(|cpu| group.is_zero_on(cpu)));
        add(&group, 4);
        assert_eq!(total(|cpu| group.read_on(cpu, both)), 4);
    }

    /// As in a child of `fork(2)` whose parent was at it.
    #[test]
    fn what_is_half_taken_is_not_read() {
        let group = Group::new(3);
        add(&group, 1);
        // So that the others are where they belong.
        group.change([2], |_| {});
        let words = group.0.words();
        // By a vector, it is taken as a whole.
        if Backend::get() != Backend::CpuOpv {
            for cpu in Cpu::all() {
                let block = words.slot_of(cpu).1;
                block[0].store(block[0].get() | 1, Relaxed);
                block[1..=HEAD]
                    .iter()
                    .for_each(|word| word.store(0, Relaxed));
            }
        }
        // To read needs no permission, then neither.
        thread::scope(|scope| {
            scope.spawn(|| {
                stay_on(Cpu::current());
                total(|cpu| group.read_on(cpu, both));
            });
        });
    }

    fn stay_on(cpu: Cpu) {
        // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
        unsafe {
            let mut set: libc::cpu_set_t = core::mem::zeroed();
            libc::CPU_SET(cpu.number(), &mut set);
            assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
        }
    }
}
