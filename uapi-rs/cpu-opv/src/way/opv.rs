// SPDX-License-Identifier: MIT OR Apache-2.0

//! A primitive as a vector for `cpu_opv(2)`.

use super::{Attempt, Copy, Stop, Way};
use crate::backend::{self, Backend};
use crate::cpu::Cpu;
use crate::error::Error;
use crate::vector::{Outcome, Source, Target, Vector};
use crate::word::Word;

/// On the data of this CPU, from whichever.
pub(crate) struct Opv(pub(crate) Cpu);

impl Opv {
    fn run(&self, vector: Vector<'_>) -> Attempt<()> {
        backend::count(Backend::CpuOpv);
        match vector.call(self.0) {
            Ok(Outcome::Done) => Ok(()),
            // A comparison, or what was to be read is gone since its address was loaded.
            Ok(Outcome::Stopped(_)) | Err(Error::ExpectedFault) => Err(Stop::Again),
            Err(error) => Err(Stop::Failed(error)),
        }
    }
}

/// `*v = new`
fn store<'a, const RELEASE: bool>(vector: Vector<'a>, v: &'a Word, new: &'a usize) -> Vector<'a> {
    if RELEASE {
        vector.copy_release(v, new)
    } else {
        vector.copy(v, new)
    }
}

impl Way for Opv {
    fn add<const RELEASE: bool>(&self, v: &Word, n: usize) -> Attempt<()> {
        self.run(if RELEASE {
            Vector::new().add_release(v, n as i64)
        } else {
            Vector::new().add(v, n as i64)
        })
    }

    fn compare_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        new: usize,
    ) -> Attempt<()> {
        let vector = Vector::new().compare_eq(v, &expect);
        self.run(store::<RELEASE>(vector, v, &new))
    }

    fn compare2_store<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (v2, expect2): (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        let vector = Vector::new()
            .compare_eq(v, &expect)
            .compare_eq(v2, &expect2);
        self.run(store::<RELEASE>(vector, v, &new))
    }

    fn compare_store2<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (v2, new2): (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        let vector = Vector::new().compare_eq(v, &expect);
        let vector = store::<RELEASE>(vector, v2, &new2);
        self.run(store::<RELEASE>(vector, v, &new))
    }

    unsafe fn compare_copy_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        copy: Copy,
        new: usize,
    ) -> Attempt<()> {
        // SAFETY: the caller answers for the bytes.
        let (dst, src) = unsafe {
            (
                Target::from_raw(copy.dst, copy.len),
                Source::from_raw(copy.src, copy.len),
            )
        };
        let vector = Vector::new().compare_eq(v, &expect).copy(dst, src);
        self.run(store::<RELEASE>(vector, v, &new))
    }

    unsafe fn pop(&self, v: &Word) -> Attempt<usize> {
        let head = v.get();
        if head == 0 {
            return Ok(0);
        }
        // Somebody may pop the head meanwhile and unmap it: an expected fault. If it comes to be the
        // head again, its link is right again.
        // SAFETY: that is copied only if `v` still holds its address, and then the caller answers for it.
        let link = unsafe { Source::from_raw(head as *const u8, size_of::<Word>()) };
        self.run(Vector::new().compare_eq(v, &head).copy(v, link.may_fault()))?;
        Ok(head)
    }
}
