// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cpu_opv(2)`, by the interface of `src/vector.rs`.

use std::marker::PhantomData;

use loom::sync::atomic::{
    Ordering::{Relaxed, Release},
    fence,
};

use super::cpu::Cpu;
use super::word::{self, Word};
use super::{Fault, cpu_is_mine, has};
use crate::error::Error;

#[derive(Clone, Copy)]
struct Operand {
    address: usize,
    words: usize,
}

impl Operand {
    fn of_bytes(address: usize, len: usize) -> Self {
        let words = len / size_of::<usize>();
        Self { address, words }
    }

    fn addresses(self) -> impl Iterator<Item = usize> {
        (0..self.words).map(move |index| self.address + index * size_of::<usize>())
    }

    fn load(self) -> Vec<usize> {
        // SAFETY: `from_raw` was promised this, or it is a reference.
        let load = |address| unsafe { word::load(address) };
        self.addresses().map(load).collect()
    }

    fn store(self, values: &[usize], release: bool) {
        if release {
            fence(Release);
        }
        assert_eq!(self.words, values.len());
        for (address, value) in self.addresses().zip(values) {
            // SAFETY: as above.
            unsafe { word::store(address, *value, Relaxed) };
        }
    }
}

pub struct Source<'a>(Operand, PhantomData<&'a ()>);
pub struct Target<'a>(Operand, PhantomData<&'a mut ()>);

impl Source<'_> {
    /// # Safety
    ///
    /// It can be read when its turn comes.
    pub unsafe fn from_raw(first: *const u8, len: usize) -> Self {
        Self(Operand::of_bytes(first.addr(), len), PhantomData)
    }

    pub fn may_fault(self) -> Self {
        self
    }
}

impl Target<'_> {
    /// # Safety
    ///
    /// It can be written when its turn comes.
    pub unsafe fn from_raw(first: *mut u8, len: usize) -> Self {
        Self(Operand::of_bytes(first.addr(), len), PhantomData)
    }
}

macro_rules! from {
    ($($operand:ident: $($of:ty),*;)*) => {$($(
        impl<'a> From<$of> for $operand<'a> {
            fn from(of: $of) -> Self {
                let (address, len) = ((&raw const *of).cast::<u8>().addr(), size_of_val(of));
                Self(Operand::of_bytes(address, len), PhantomData)
            }
        }
    )*)*};
}

from! {
    Source: &'a Word, &'a usize, &'a [usize];
    Target: &'a Word, &'a mut usize, &'a mut [usize];
}

enum Operation {
    Compare(Operand, Operand),
    Copy(Operand, Operand, bool),
    Add(Operand, i64, bool),
}
use Operation::*;

#[derive(Default)]
pub struct Vector<'a>(Vec<Operation>, PhantomData<&'a mut ()>);

pub enum Outcome {
    Done,
    Stopped(usize),
}

impl<'a> Vector<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    fn and(mut self, operation: Operation) -> Self {
        self.0.push(operation);
        self
    }

    pub fn compare_eq(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>) -> Self {
        self.and(Compare(a.into().0, b.into().0))
    }

    pub fn copy(self, dst: impl Into<Target<'a>>, src: impl Into<Source<'a>>) -> Self {
        self.and(Copy(dst.into().0, src.into().0, false))
    }

    pub fn copy_release(self, dst: impl Into<Target<'a>>, src: impl Into<Source<'a>>) -> Self {
        let release = !has(Fault::CopiesRelaxed);
        self.and(Copy(dst.into().0, src.into().0, release))
    }

    pub fn add(self, word: &'a Word, n: i64) -> Self {
        let n = if has(Fault::AddsLate) { 0 } else { n };
        self.and(Add(Target::from(word).0, n, false))
    }

    pub fn add_release(self, word: &'a Word, n: i64) -> Self {
        let n = if has(Fault::AddsLate) { 2 * n } else { n };
        self.and(Add(Target::from(word).0, n, true))
    }

    pub fn call(self, _: Cpu) -> Result<Outcome, Error> {
        let mut cpu = cpu_is_mine();
        let mut compared = 0;
        for (index, operation) in self.0.into_iter().enumerate() {
            match operation {
                Compare(a, b) => {
                    compared += 1;
                    let is_left_out = compared == 2 && has(Fault::ComparesOne);
                    if a.load() != b.load() && !is_left_out {
                        return Ok(Outcome::Stopped(index));
                    }
                }
                Copy(dst, src, release) => dst.store(&src.load(), release),
                Add(word, n, release) => {
                    let sum = word.load()[0].wrapping_add_signed(n as isize);
                    word.store(&[sum], release);
                }
            }
            if index == 0 && has(Fault::VectorsInParts) {
                drop(cpu);
                cpu = cpu_is_mine();
            }
        }
        Ok(Outcome::Done)
    }
}
