// SPDX-License-Identifier: MIT OR Apache-2.0

//! A primitive as a restartable sequence.

use super::{Attempt, Copy, Stop, Way};
use crate::rseq::{self, At, End};
use crate::word::Word;

/// On the data of the CPU that the thread is on.
pub(crate) struct Fast(At);

impl Fast {
    /// # Safety
    ///
    /// `at` is of an initialised area. For as long as this lives, its `stopped` can be read, and is that
    /// of the data that primitives are used on.
    #[inline(always)]
    pub(crate) unsafe fn new(at: At) -> Self {
        Self(at)
    }
}

#[inline(always)]
fn committed(status: rseq::Status) -> Attempt<()> {
    match status.end() {
        End::Committed => Ok(()),
        End::Aborted | End::Differs => Err(Stop::Again),
    }
}

impl Way for Fast {
    #[inline(always)]
    fn add<const RELEASE: bool>(&self, v: &Word, n: usize) -> Attempt<()> {
        // SAFETY: `new` was promised this.
        committed(unsafe { rseq::add::<RELEASE>(self.0, v, n) })
    }

    #[inline(always)]
    fn compare_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        new: usize,
    ) -> Attempt<()> {
        // SAFETY: `new` was promised this.
        committed(unsafe { rseq::compare_store::<RELEASE>(self.0, v, expect, new) })
    }

    #[inline(always)]
    fn compare2_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        v2: (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        // SAFETY: `new` was promised this.
        committed(unsafe { rseq::compare2_store::<RELEASE>(self.0, v, v2, new) })
    }

    #[inline(always)]
    fn compare_store2<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        v2: (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        // SAFETY: `new` was promised this.
        committed(unsafe { rseq::compare_store2::<RELEASE>(self.0, v, v2, new) })
    }

    #[inline(always)]
    unsafe fn compare_copy_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        copy: Copy,
        new: usize,
    ) -> Attempt<()> {
        let copy = (copy.dst, copy.src, copy.len);
        // SAFETY: `new` was promised this, and the caller answers for the bytes.
        committed(unsafe { rseq::compare_copy_store::<RELEASE>(self.0, v, expect, copy, new) })
    }

    #[inline(always)]
    unsafe fn compare2_copy_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        _: (&[Word], &[usize]),
        copy: (&[Word], *const usize),
        new: usize,
    ) -> Attempt<()> {
        if usize::BITS < u64::BITS {
            return Err(Stop::Again);
        }
        // SAFETY: `new` was promised this, and the caller answers for the source: as `*v` has not come again, the other
        // words have not changed.
        committed(unsafe { rseq::compare_fill_store::<RELEASE>(self.0, v, copy, new) })
    }

    #[inline(always)]
    fn compare_fill_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        (dst, src): (&[Word], &[usize]),
        new: usize,
    ) -> Attempt<()> {
        let fill = (&dst[..dst.len().min(src.len())], src.as_ptr());
        // SAFETY: `new` was promised this, and the source is a reference.
        committed(unsafe { rseq::compare_fill_store::<RELEASE>(self.0, v, fill, new) })
    }

    #[inline(always)]
    unsafe fn pop(&self, v: &Word) -> Attempt<usize> {
        // SAFETY: `new` was promised this, and the caller answers for what `v` points to.
        let (status, head) = unsafe { rseq::pop::<false>(self.0, v) };
        match status.end() {
            End::Committed => Ok(head),
            // It was 0.
            End::Differs => Ok(0),
            End::Aborted => Err(Stop::Again),
        }
    }

    // What reads or stores many words in one step has no sequence.
    #[inline(always)]
    fn copy_all(&self, _: &[Word], _: &mut [usize]) -> Attempt<()> {
        Err(Stop::Again)
    }

    #[inline(always)]
    fn take_all(&self, _: &[Word], _: &mut [usize]) -> Attempt<()> {
        Err(Stop::Again)
    }
}
