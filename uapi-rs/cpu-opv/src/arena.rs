// SPDX-License-Identifier: MIT OR Apache-2.0

//! Words of many structures side by side, so that one costs a word for each CPU and no mapping of its own.
//!
//! ```text
//! chunk:  stripe of CPU 0                   stripe of CPU 1                   ...
//!         control | block | block | ...     control | block | block | ...
//! ```
//!
//! A *chunk* is a mapping with a *stripe* for each CPU that the machine can have. A *block*, which is what a structure
//! has, is at the same place in each stripe: so the address of its first word on CPU 0 says it all. The stripes are
//! aligned to their length, and so an address also says where the control of its stripe is, which stops the sequences on
//! all that is in it.
//!
//! Blocks that are next to each other share cache lines, which are those of one CPU. A stripe that no thread has written
//! to takes no memory. When a chunk is used up another one is mapped, and nothing is moved: only who makes a structure
//! waits for that.
//!
//! What was dropped is used again, for blocks of the same length; it is never given back to the system.
//!
//! # Signal handlers and fork(2)
//!
//! A static counter gets its block when it is first used, which may be by a signal handler: so nothing here calls the
//! heap, and signals are blocked while the lock is held. Each change is committed by one store. A child of `fork(2)`
//! that takes the lock from a thread that it does not have finds a block lost at worst.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::backend::Backend;
use crate::cpu::{self, Cpu};
use crate::error::Error;
use crate::futex::FutexLock;
use crate::memory;
use crate::rseq;
use crate::signals::BlockedSignals;
use crate::slots::Slots;
use crate::stopped::Control;
use crate::word::Word;

/// The length of a stripe in bytes.
const STRIPE: usize = 8192 * size_of::<Word>();

/// The longest block, in words.
pub(crate) const MAX_LEN: usize = 256;

static ARENA: Arena = Arena {
    lock: FutexLock::new(),
    next: AtomicPtr::new(ptr::null_mut()),
    free: [const { AtomicPtr::new(ptr::null_mut()) }; MAX_LEN + 1],
};

struct Arena {
    lock: FutexLock,
    /// Where the latest chunk goes on, on CPU 0. At the start of a stripe, where the control is, if it is used up; null
    /// if there is none.
    next: AtomicPtr<Word>,
    /// For each length, a list of the blocks that were dropped. Their first word on CPU 0 is the address of the next.
    free: [AtomicPtr<Word>; MAX_LEN + 1],
}

impl Arena {
    /// A block of zeroes.
    fn take(&self, len: usize) -> Result<NonNull<Word>, Error> {
        // Which makes what the lock needs.
        let backend = Backend::get();
        self.locked(|| match NonNull::new(self.free[len].load(Relaxed)) {
            Some(first) => {
                // SAFETY: it was given back, so nobody else has it; chunks stay mapped.
                let link = unsafe { first.as_ref() };
                let rest = ptr::with_exposed_provenance_mut(link.get());
                self.free[len].store(rest, Relaxed);
                link.store(0, Relaxed);
                Ok(first)
            }
            None => self.take_new(len, backend),
        })
    }

    /// One that was never used before.
    fn take_new(&self, len: usize, backend: Backend) -> Result<NonNull<Word>, Error> {
        let mut first = self.next.load(Relaxed);
        let used = first.addr() % STRIPE;
        if used == 0 || used + len * size_of::<Word>() > STRIPE {
            let chunk = new_chunk(backend)?;
            // SAFETY: the control is at the start of the stripe, and no longer than a word or two.
            first = unsafe { chunk.byte_add(size_of::<Control>()) };
        }
        // In the chunk, if it is the start of the next stripe.
        self.next.store(first.wrapping_add(len), Relaxed);
        NonNull::new(first).ok_or(Error::Layout)
    }

    /// Gives back a block that nobody uses any more.
    fn give(&self, first: NonNull<Word>, len: usize) {
        for cpu in Cpu::all() {
            // SAFETY: the caller's block, which has as many words on each CPU.
            let words = unsafe { slice::from_raw_parts(on_cpu(first, cpu.number()), len) };
            // To write would take memory for those that were never used.
            words
                .iter()
                .filter(|word| word.get() != 0)
                .for_each(|word| word.store(0, Relaxed));
        }
        self.locked(|| {
            // SAFETY: it is the caller's.
            let link = unsafe { first.as_ref() };
            link.store(self.free[len].load(Relaxed).expose_provenance(), Relaxed);
            self.free[len].store(first.as_ptr(), Relaxed);
        });
    }

    fn locked<T>(&self, change: impl FnOnce() -> T) -> T {
        let _signals = BlockedSignals::new();
        self.lock.lock();
        let result = change();
        self.lock.unlock();
        result
    }
}

/// The stripe of CPU 0 of a new chunk.
fn new_chunk(backend: Backend) -> Result<*mut Word, Error> {
    let stripes = cpu::count() as usize;
    // One more, so that they can be aligned.
    let len = STRIPE.checked_mul(stripes + 1).ok_or(Error::Layout)?;
    let start = memory::map_sparse(len)?;
    // SAFETY: there is room for one stripe more than are used.
    let first = unsafe { start.byte_add(start.addr().get().wrapping_neg() % STRIPE) };
    if backend == Backend::Lock {
        for cpu in 0..stripes {
            // SAFETY: each stripe begins with one, and nobody else has it yet.
            unsafe {
                first
                    .byte_add(cpu * STRIPE)
                    .cast()
                    .write(Control::new(true))
            };
        }
    }
    Ok(first.cast().as_ptr())
}

/// Where a block's words of a CPU are. It may be used for all of the CPU's stripe.
#[inline(always)]
fn on_cpu(first: NonNull<Word>, cpu: usize) -> *mut Word {
    rseq::in_register(first.as_ptr().wrapping_byte_add(cpu * STRIPE))
}

/// How many words a block has.
pub(crate) trait Len: Copy {
    fn get(self) -> usize;
}

/// One word, which the compiler knows.
#[derive(Clone, Copy)]
pub(crate) struct One;

impl Len for One {
    #[inline(always)]
    fn get(self) -> usize {
        1
    }
}

impl Len for usize {
    #[inline(always)]
    fn get(self) -> usize {
        self
    }
}

/// A block, or where one will be: it is made when it is first used.
pub(crate) struct Block<L: Len> {
    /// Its first word on CPU 0. Null until it is made.
    first: AtomicPtr<Word>,
    len: L,
}

impl<L: Len> Block<L> {
    /// One of so many words, at most [`MAX_LEN`].
    pub(crate) const fn new(len: L) -> Self {
        let first = AtomicPtr::new(ptr::null_mut());
        Self { first, len }
    }

    /// Its words, if they were ever used.
    #[inline(always)]
    pub(crate) fn made(&self) -> Option<Words<'_, L>> {
        // Pairs with the release in `try_words`: who made it has found it to be zeroes.
        NonNull::new(self.first.load(Acquire)).map(|first| self.at(first))
    }

    /// Its words.
    ///
    /// # Panics
    ///
    /// If they are used for the first time, and the system has no memory left.
    #[inline(always)]
    pub(crate) fn words(&self) -> Words<'_, L> {
        #[cold]
        #[inline(never)]
        fn make<L: Len>(block: &Block<L>) -> Words<'_, L> {
            block.try_words().expect("memory for each CPU")
        }
        self.made().unwrap_or_else(|| make(self))
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub(crate) fn try_words(&self) -> Result<Words<'_, L>, Error> {
        if let Some(words) = self.made() {
            return Ok(words);
        }
        let len = self.len.get();
        assert!((1..=MAX_LEN).contains(&len));
        let first = ARENA.take(len)?;
        let exchanged =
            self.first
                .compare_exchange(ptr::null_mut(), first.as_ptr(), Release, Acquire);
        let first = match exchanged.map_err(NonNull::new) {
            Err(Some(earlier)) => {
                ARENA.give(first, len);
                earlier
            }
            _ => first,
        };
        Ok(self.at(first))
    }

    #[inline(always)]
    fn at(&self, first: NonNull<Word>) -> Words<'_, L> {
        Words {
            first,
            len: self.len,
            _block: PhantomData,
        }
    }
}

impl Block<usize> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl<L: Len> Drop for Block<L> {
    fn drop(&mut self) {
        if let Some(first) = NonNull::new(*self.first.get_mut()) {
            ARENA.give(first, self.len.get());
        }
    }
}

/// The words of a block, on each CPU.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a, L> {
    first: NonNull<Word>,
    len: L,
    _block: PhantomData<&'a [Word]>,
}

impl<L: Len> Words<'_, L> {
    /// Those of each CPU, to look at.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Word]> {
        Cpu::all().map(|cpu| self.slot_of(cpu).1)
    }
}

// SAFETY: to take a block goes through `Backend::get`; there is a stripe for each CPU, which begins with its control.
unsafe impl<L: Len> Slots for Words<'_, L> {
    type Data = [Word];

    #[inline(always)]
    fn area_offset(&self) -> isize {
        rseq::offset()
    }

    #[inline(always)]
    fn has(&self, cpu: usize) -> bool {
        cpu < cpu::known_count()
    }

    #[inline(always)]
    unsafe fn slot_unchecked(&self, cpu: usize) -> (&Control, &[Word]) {
        let words = on_cpu(self.first, cpu);
        let control = words.map_addr(|address| address & !(STRIPE - 1));
        // SAFETY: there is a stripe for each CPU, which begins with its control. Chunks stay mapped, and the block is
        // not given back while it is borrowed.
        unsafe {
            let words = slice::from_raw_parts(words, self.len.get());
            (&*control.cast(), words)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the next block of this length comes from.
    fn address(block: &Block<usize>) -> usize {
        block.words().first.addr().get()
    }

    #[test]
    fn neighbours_are_side_by_side_and_memory_is_used_again() {
        // Lengths that no other test here has.
        let pairs: Vec<_> = (0..20)
            .map(|_| (Block::new(201), Block::new(202)))
            .collect();
        assert!(pairs.iter().all(|(a, _)| a.made().is_none()));
        // Another test may come between two, or a chunk may end there.
        let ends = |(a, b): &_| address(a) + 201 * size_of::<Word>() == address(b);
        assert!(pairs.iter().any(ends));

        let a = Block::new(201);
        let at_a = address(&a);
        for words in a.words().iter() {
            words[200].store(7, Relaxed);
        }
        drop(a);
        let again = Block::new(201);
        assert_eq!(address(&again), at_a);
        assert!(again.words().iter().flatten().all(|word| word.get() == 0));
    }

    #[test]
    fn a_chunk_is_followed_by_another() {
        let blocks: Vec<_> = (0..3 * STRIPE / size_of::<Word>() / MAX_LEN)
            .map(|_| Block::new(MAX_LEN))
            .collect();
        let mut ranges: Vec<_> = blocks
            .iter()
            .map(|block| (address(block), address(block) + MAX_LEN * size_of::<Word>()))
            .collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        for (first, end) in ranges {
            assert_ne!(first % STRIPE, 0, "there is the control");
            assert_eq!(first / STRIPE, (end - 1) / STRIPE, "on one CPU");
        }
    }
}
