// SPDX-License-Identifier: MIT OR Apache-2.0

//! Words as `src/word.rs` has them, of the same layout, each with atomics of loom's beside it: one for each thread, from
//! which that thread loads, and to all of which all store.
//!
//! With one for all threads loom 0.7 would miss interleavings. It remembers the last access to an atomic: where a thread
//! has loaded a word, and another one loads and then stores it, it does not try to have that store come first, since the
//! last access before was the same thread's.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic;

use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{self, Acquire, Relaxed, Release},
};

use super::{Fault, has};

/// In it is what was stored last.
#[repr(transparent)]
#[derive(Default)]
pub struct Word(atomic::AtomicUsize);

/// For the first thread, and for the other one.
type Atomics = [AtomicUsize; 2];

loom::thread_local! {
    static IS_OTHER: Cell<bool> = Cell::new(false);
}

/// To be called by the other thread first.
pub fn this_is_the_other_thread() {
    IS_OTHER.with(|is_other| is_other.set(true));
}

/// The one that this thread loads from.
fn mine(atomics: &Atomics) -> &AtomicUsize {
    &atomics[IS_OTHER.with(Cell::get) as usize]
}

thread_local! {
    /// Those of this interleaving, by the addresses of their words.
    static ATOMICS: RefCell<HashMap<usize, Rc<Atomics>>> = RefCell::default();
}

thread_local! {
    /// Whether the first word of what a CPU has counts to four, and its address.
    static COUNTS_TO_FOUR: Cell<(bool, usize)> = const { Cell::new((false, 0)) };
}

/// Has versions come again.
pub fn count_to_four(does: bool) {
    COUNTS_TO_FOUR.set((does, 0));
}

/// This is the version, if there is one.
pub fn is_first(word: *const Word) {
    COUNTS_TO_FOUR.set((COUNTS_TO_FOUR.get().0, word.addr()));
}

/// A new interleaving begins.
pub fn forget() {
    ATOMICS.take();
}

/// Has loom know a word before there are other threads that do.
pub fn know(word: &Word) {
    word.atomics();
}

/// What is at an address: a word or not.
///
/// # Safety
///
/// It can be read.
pub unsafe fn load(address: usize) -> usize {
    let known = ATOMICS.with_borrow(|atomics| atomics.get(&address).cloned());
    match known {
        Some(atomics) => mine(&atomics).load(Relaxed),
        // SAFETY: the caller's.
        None => unsafe { (address as *const usize).read() },
    }
}

/// Stores it there.
///
/// # Safety
///
/// It can be written.
pub unsafe fn store(address: usize, value: usize, order: Ordering) {
    if ATOMICS.with_borrow(|atomics| atomics.contains_key(&address)) {
        // SAFETY: it is one.
        unsafe { &*(address as *const Word) }.store(value, order);
    } else {
        // SAFETY: the caller's.
        unsafe { (address as *mut usize).write(value) };
    }
}

pub fn fence(order: Ordering) {
    let is_left_out = match order {
        Acquire => has(Fault::NoAcquireFence),
        Release => has(Fault::NoReleaseFence),
        _ => false,
    };
    if !is_left_out {
        loom::sync::atomic::fence(order);
    }
}

impl Word {
    pub const fn new(value: usize) -> Self {
        Self(atomic::AtomicUsize::new(value))
    }

    fn atomics(&self) -> Rc<Atomics> {
        let address = (&raw const *self).addr();
        let value = self.0.load(Relaxed);
        let new = || Rc::new([AtomicUsize::new(value), AtomicUsize::new(value)]);
        let mut known = ATOMICS.take();
        let atomics = known.entry(address).or_insert_with(new).clone();
        ATOMICS.set(known);
        atomics
    }

    pub fn load(&self, order: Ordering) -> usize {
        let relaxed = has(Fault::LoadsRelaxed);
        mine(&self.atomics()).load(if relaxed { Relaxed } else { order })
    }

    pub fn get(&self) -> usize {
        self.load(Relaxed)
    }

    /// Whether it was stored last.
    pub fn holds(&self, value: usize) -> bool {
        self.0.load(Relaxed) == value
    }

    /// By who has the CPU, or by the only one who knows the word. To store the same again is left out: who loads a word
    /// finds the same, and learns less.
    pub fn store(&self, value: usize, order: Ordering) {
        let is_short = COUNTS_TO_FOUR.get() == (true, (&raw const *self).addr());
        let value = if is_short { value % 4 } else { value };
        if self.holds(value) {
            return;
        }
        self.0.store(value, Relaxed);
        for atomic in &*self.atomics() {
            atomic.store(value, order);
        }
    }

    pub fn fetch_add(&self, _: usize, _: Ordering) -> usize {
        unreachable!("neither groups nor bounded lists add to a word")
    }

    pub fn compare_exchange(
        &self,
        _: usize,
        _: usize,
        _: Ordering,
        _: Ordering,
    ) -> Result<usize, usize> {
        unreachable!("neither groups nor bounded lists exchange a word")
    }

    pub fn swap(&self, _: usize, _: Ordering) -> usize {
        unreachable!("neither groups nor bounded lists swap a word")
    }

    pub fn as_ptr(&self) -> *mut usize {
        self.0.as_ptr()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
