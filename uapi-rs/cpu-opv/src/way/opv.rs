// SPDX-License-Identifier: MIT OR Apache-2.0

//! A primitive as a vector for `cpu_opv(2)`.

use super::{Attempt, Copy, Stop, Way};
use crate::arena::MAX_LEN;
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

/// Words as they are in memory.
fn source(words: &[Word]) -> Source<'_> {
    // SAFETY: whoever writes them does so as atomics.
    unsafe { Source::from_raw(words.as_ptr().cast(), size_of_val(words)) }
}

/// The same, to be written.
fn target(words: &[Word]) -> Target<'_> {
    // SAFETY: any bytes are a value, and whoever accesses them does so as atomics.
    unsafe { Target::from_raw(words.as_ptr().cast_mut().cast(), size_of_val(words)) }
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

    unsafe fn compare2_copy_store<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (words, expected): (&[Word], &[usize]),
        (dst, src): (&[Word], *const usize),
        new: usize,
    ) -> Attempt<()> {
        // As in `pop`, it may be gone.
        // SAFETY: the caller's.
        let src = unsafe { Source::from_raw(src.cast(), size_of_val(dst)) };
        let vector = Vector::new()
            .compare_eq(v, &expect)
            .compare_eq(source(words), expected)
            .copy(target(dst), src.may_fault());
        self.run(store::<RELEASE>(vector, v, &new))
    }

    fn compare_fill_store<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (dst, src): (&[Word], &[usize]),
        new: usize,
    ) -> Attempt<()> {
        let vector = Vector::new().compare_eq(v, &expect).copy(target(dst), src);
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

    fn take(&self, v: &Word) -> Attempt<usize> {
        let mut found = 0;
        // It is not worth a call if there is nothing.
        if v.get() != 0 {
            self.run(Vector::new().copy(&mut found, v).copy(v, &0_usize))?;
        }
        Ok(found)
    }

    fn copy_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()> {
        self.run(Vector::new().copy(out, source(block)))
    }

    fn take_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()> {
        static ZEROES: [usize; MAX_LEN] = [0; MAX_LEN];
        let [version, words @ ..] = block else {
            return Ok(());
        };
        // As the primitive says: who sees one of the zeroes sees that they were about to be stored.
        let vector = Vector::new()
            .copy(out, source(block))
            .add(version, 1)
            .copy_release(target(words), &ZEROES[..words.len()])
            .add_release(version, 1);
        self.run(vector)
    }
}
