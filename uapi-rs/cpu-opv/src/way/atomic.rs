// SPDX-License-Identifier: MIT OR Apache-2.0

//! A primitive as an atomic instruction, where it is one, or else under the lock.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::{Attempt, Copy, Plain, Stop, Way};
use crate::cpu::Cpu;
use crate::stopped::Control;
use crate::word::Word;

/// On the data of any CPU, where there are no sequences.
///
/// A word is changed either by atomic instructions or under the lock, whichever its structure uses, but for the head
/// of a list: nodes are put there by an atomic instruction, and are taken off under the lock. So while one is taken
/// off, it is not taken off and put back by others.
pub(crate) struct Atomic<'a> {
    pub(crate) control: &'a Control,
    pub(crate) cpu: Cpu,
}

impl Atomic<'_> {
    fn locked<T>(&self, primitive: impl FnOnce(Plain<'_>) -> Attempt<T>) -> Attempt<T> {
        let stopped = self.control.stop(self.cpu).map_err(Stop::Failed)?;
        primitive(Plain(&stopped))
    }
}

impl Way for Atomic<'_> {
    fn add<const RELEASE: bool>(&self, v: &Word, n: usize) -> Attempt<()> {
        v.fetch_add(n, if RELEASE { Release } else { Relaxed });
        Ok(())
    }

    // The other ways are ordered with what was done before on that CPU. So this acquires, and always releases.
    fn compare_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        new: usize,
    ) -> Attempt<()> {
        match v.compare_exchange(expect, new, AcqRel, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(Stop::Again),
        }
    }

    fn compare2_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        v2: (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        self.locked(|plain| plain.compare2_store::<RELEASE>(v, v2, new))
    }

    fn compare_store2<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        v2: (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        self.locked(|plain| plain.compare_store2::<RELEASE>(v, v2, new))
    }

    unsafe fn compare_copy_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        copy: Copy,
        new: usize,
    ) -> Attempt<()> {
        // SAFETY: the caller's.
        self.locked(|plain| unsafe { plain.compare_copy_store::<RELEASE>(v, expect, copy, new) })
    }

    unsafe fn compare2_copy_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        is: (&[Word], &[usize]),
        copy: (&[Word], *const usize),
        new: usize,
    ) -> Attempt<()> {
        // SAFETY: the caller's.
        self.locked(|plain| unsafe { plain.compare2_copy_store::<RELEASE>(v, is, copy, new) })
    }

    fn compare_fill_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        fill: (&[Word], &[usize]),
        new: usize,
    ) -> Attempt<()> {
        self.locked(|plain| plain.compare_fill_store::<RELEASE>(v, fill, new))
    }

    unsafe fn pop(&self, v: &Word) -> Attempt<usize> {
        self.locked(|_| {
            loop {
                let head = v.load(Acquire);
                if head == 0 {
                    return Ok(0);
                }
                // SAFETY: the caller answers for what `v` points to, and under the lock nobody else takes it off.
                let link = unsafe { &*(head as *const Word) }.get();
                if v.compare_exchange(head, link, AcqRel, Relaxed).is_ok() {
                    return Ok(head);
                }
            }
        })
    }

    fn take(&self, v: &Word) -> Attempt<usize> {
        self.locked(|_| Ok(v.swap(0, AcqRel)))
    }

    fn copy_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()> {
        self.locked(|plain| plain.copy_all(block, out))
    }

    fn take_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()> {
        self.locked(|plain| plain.take_all(block, out))
    }

    fn finish_take_all(&self, block: &[Word]) -> Attempt<()> {
        self.locked(|plain| plain.finish_take_all(block))
    }
}
