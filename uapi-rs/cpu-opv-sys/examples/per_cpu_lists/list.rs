// SPDX-License-Identifier: MIT OR Apache-2.0

//! A list of items that belongs to a CPU and can be changed from every CPU.
//!
//! All that change the list run a vector on *its* CPU: if the list still has `n` items, copy an
//! item, change the length, count it. As a vector is one step for its CPU, no lock is taken and no
//! atomic instruction is used; and a thread that is on that CPU could do the same by rseq(2).

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cpu_opv_sys::*;

/// A word that vectors change. It is atomic so that Rust knows: other threads may look at it.
#[derive(Default)]
pub struct Word(AtomicUsize);

impl Word {
    pub fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn as_ptr(&self) -> *mut usize {
        self.0.as_ptr()
    }
}

/// Last in, first out. It is aligned to keep it off the cache lines of other CPUs.
#[repr(align(128))]
pub struct List {
    pub cpu: c_int,
    len: Word,
    /// Room for all items that there are, so that no list is ever full.
    slots: Box<[Word]>,
    pub taken: Word,
    pub put_back: Word,
    pub moved_in: Word,
    pub moved_out: Word,
    /// How many vectors a comparison stopped, because the list had changed meanwhile.
    pub retries: Word,
}

impl List {
    pub fn new(cpu: c_int, items: &[usize], capacity: usize) -> Self {
        let mut slots: Box<[Word]> = (0..capacity).map(|_| Word::default()).collect();
        for (slot, &item) in slots.iter_mut().zip(items) {
            *slot = Word(item.into());
        }
        Self {
            cpu,
            len: Word(items.len().into()),
            slots,
            taken: Word::default(),
            put_back: Word::default(),
            moved_in: Word::default(),
            moved_out: Word::default(),
            retries: Word::default(),
        }
    }

    /// Takes the last item off the list, if there is one, and adds 1 to `counter`.
    pub fn pop(&self, counter: &Word) -> io::Result<Option<usize>> {
        loop {
            let len = self.len();
            if len == 0 {
                return Ok(None);
            }
            let mut item = 0;
            let vector = [
                compare_eq(self.len.as_ptr(), &raw const len),
                copy(&raw mut item, self.slot(len - 1)?.as_ptr()),
                add(self.len.as_ptr(), -1),
                add(counter.as_ptr(), 1),
            ];
            // SAFETY: writes to words, and to `item`, which nobody else has.
            if unsafe { self.run(&vector) }? {
                return Ok(Some(item));
            }
        }
    }

    /// Puts `item` at the end of the list, and adds 1 to `counter`.
    pub fn push(&self, item: usize, counter: &Word) -> io::Result<()> {
        loop {
            let len = self.len();
            let vector = [
                compare_eq(self.len.as_ptr(), &raw const len),
                copy(self.slot(len)?.as_ptr(), &raw const item),
                add(self.len.as_ptr(), 1),
                add(counter.as_ptr(), 1),
            ];
            // SAFETY: writes to words only.
            if unsafe { self.run(&vector) }? {
                return Ok(());
            }
        }
    }

    /// Runs the vector on the CPU of this list; false if a comparison stopped it.
    ///
    /// # Safety
    ///
    /// As for `cpu_opv`: what the vector writes may change.
    unsafe fn run(&self, vector: &[cpu_op]) -> io::Result<bool> {
        // SAFETY: the caller's.
        match unsafe { cpu_opv(vector.as_ptr(), vector.len() as c_int, self.cpu, 0) } {
            0 => Ok(true),
            -1 => Err(self.error(io::Error::last_os_error())),
            _stopped_at => {
                self.retries.0.fetch_add(1, Relaxed);
                Ok(false)
            }
        }
    }

    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// The items, while no one changes the list.
    pub fn items(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().take(self.len()).map(Word::get)
    }

    /// Whether the counters agree, if there were `at_start` items and none is in anyone's hands.
    pub fn adds_up(&self, at_start: usize) -> bool {
        at_start + self.moved_in.get() == self.len() + self.moved_out.get()
            && self.taken.get() == self.put_back.get()
    }

    fn slot(&self, index: usize) -> io::Result<&Word> {
        self.slots
            .get(index)
            .ok_or_else(|| self.error("the list has more items than there are"))
    }

    fn error(&self, what: impl std::fmt::Display) -> io::Error {
        io::Error::other(format!("CPU {}: {what}", self.cpu))
    }
}

const WORD: u32 = size_of::<Word>() as u32;

fn compare_eq(a: *const usize, b: *const usize) -> cpu_op {
    let compare_op = cpu_op__compare_op {
        a: a as u64,
        b: b as u64,
        ..Default::default()
    };
    cpu_op {
        op: CPU_COMPARE_EQ_OP,
        len: WORD,
        u: cpu_op__u { compare_op },
    }
}

fn copy(dst: *mut usize, src: *const usize) -> cpu_op {
    let memcpy_op = cpu_op__memcpy_op {
        dst: dst as u64,
        src: src as u64,
        ..Default::default()
    };
    cpu_op {
        op: CPU_MEMCPY_OP,
        len: WORD,
        u: cpu_op__u { memcpy_op },
    }
}

fn add(p: *mut usize, count: i64) -> cpu_op {
    let arithmetic_op = cpu_op__arithmetic_op {
        p: p as u64,
        count,
        ..Default::default()
    };
    cpu_op {
        op: CPU_ADD_OP,
        len: WORD,
        u: cpu_op__u { arithmetic_op },
    }
}
