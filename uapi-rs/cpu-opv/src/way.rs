// SPDX-License-Identifier: MIT OR Apache-2.0

//! The primitives that all structures are built on, and the four ways to make one atomic.
//!
//! A primitive changes the words of one CPU in one step, as seen by all that change them:
//!
//! | | |
//! |---|---|
//! | [`add`](Way::add) | `*v += n` |
//! | [`compare_store`](Way::compare_store) | if `*v == expect`: `*v = new` |
//! | [`compare2_store`](Way::compare2_store) | if `*v == expect` and `*v2 == expect2`: `*v = new` |
//! | [`compare_store2`](Way::compare_store2) | if `*v == expect`: `*v2 = new2`, `*v = new` |
//! | [`compare_copy_store`](Way::compare_copy_store) | if `*v == expect`: copy bytes, `*v = new` |
//! | [`compare2_copy_store`](Way::compare2_copy_store) | if `*v == expect`, and some words hold what is expected: copy words, `*v = new` |
//! | [`compare_fill_store`](Way::compare_fill_store) | if `*v == expect`: store some words, `*v = new` |
//! | [`pop`](Way::pop) | if `*v != 0`: `*v = **v`, return the former `*v` |
//! | [`take`](Way::take) | `*v = 0`, return the former `*v` |
//! | [`copy_all`](Way::copy_all) | return all words of a block |
//! | [`take_all`](Way::take_all) | the same, which are 0 then, and the first of them 2 more |
//!
//! | way | a primitive is | needs | fails with [`Stop::Again`] |
//! |---|---|---|---|
//! | [`Fast`] | a restartable sequence | to be on that CPU | when interrupted, when stopped, when it differs |
//! | [`Opv`] | a vector for `cpu_opv(2)` | the kernel | when it differs |
//! | [`Plain`] | plain code | all others to be stopped | when it differs from what was looked at before |
//! | [`Atomic`] | an atomic instruction, or plain code under a lock | that nobody uses sequences | when it differs |
//!
//! With `RELEASE`, who sees a store of a word through an acquire load sees all that this thread stored before: also
//! the first of two, which others may see before the last one is made, or without it.
//!
//! The last two are no sequences: `Fast` leaves them to the others.
//!
//! What a structure does is an [`Operation`]: it is written once, on these primitives, and compiled for
//! each way.

mod atomic;
mod fast;
mod opv;
mod plain;

pub(crate) use atomic::Atomic;
pub(crate) use fast::Fast;
pub(crate) use opv::Opv;
pub(crate) use plain::Plain;

use crate::error::Error;
use crate::word::Word;

/// Why an attempt did nothing.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something got in between. Look at the words again.
    Again,
    Failed(Error),
}

pub(crate) type Attempt<T> = Result<T, Stop>;

/// One of the ways. The words are those of the CPU that it is for.
pub(crate) trait Way {
    fn add<const RELEASE: bool>(&self, v: &Word, n: usize) -> Attempt<()>;

    fn compare_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        new: usize,
    ) -> Attempt<()>;

    fn compare2_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        v2: (&Word, usize),
        new: usize,
    ) -> Attempt<()>;

    /// It may write to the second word and then fail.
    fn compare_store2<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        v2: (&Word, usize),
        new: usize,
    ) -> Attempt<()>;

    /// It may copy some bytes and then fail.
    ///
    /// # Safety
    ///
    /// While `*v == expect`, the bytes of `copy` can be written and read, and nobody else accesses those
    /// that are written. They do not overlap.
    unsafe fn compare_copy_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        copy: Copy,
        new: usize,
    ) -> Attempt<()>;

    /// It may copy some words and then fail, so nobody takes the destination for anything while `*v == expect`.
    ///
    /// `*v` counts up. Where it has 64 bits it does not come again, and a sequence compares it alone; with 32 bits there
    /// is no sequence, and the second comparison, of as many words as there are values, makes sure of what is to be copied.
    ///
    /// # Safety
    ///
    /// While both are the same, as many words as there are to be written can be read from the source.
    unsafe fn compare2_copy_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        is: (&[Word], &[usize]),
        copy: (&[Word], *const usize),
        new: usize,
    ) -> Attempt<()>;

    /// It may store some of the words and then fail: `dst` is where nobody looks while `*v == expect`.
    fn compare_fill_store<const RELEASE: bool>(
        &self,
        v: (&Word, usize),
        fill: (&[Word], &[usize]),
        new: usize,
    ) -> Attempt<()>;

    /// 0 if `*v` is 0.
    ///
    /// # Safety
    ///
    /// While `*v` is not 0, it is the address of a word that can be read.
    unsafe fn pop(&self, v: &Word) -> Attempt<usize>;

    fn take(&self, v: &Word) -> Attempt<usize> {
        let found = v.get();
        if found != 0 {
            self.compare_store::<false>(v, found, 0)?;
        }
        Ok(found)
    }

    /// Copies a block of words to `out`, which is as long.
    fn copy_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()>;

    /// Copies a block of words to `out`, which is as long, and makes them 0, but for the first. That is 1 more before
    /// any is 0, and 2 more when all are: who reads them without an operation can tell.
    fn take_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()>;

    /// Makes it 2 more, and the others 0, where that stopped half-way, as it does in a child of `fork(2)` whose parent
    /// was at it.
    fn finish_take_all(&self, _block: &[Word]) -> Attempt<()> {
        Err(Stop::Again)
    }
}

/// Bytes to be copied.
#[derive(Clone, Copy)]
pub(crate) struct Copy {
    pub(crate) dst: *mut u8,
    pub(crate) src: *const u8,
    pub(crate) len: usize,
    /// Whether others may look at the destination meanwhile, by atomic loads of words: then all are words, and have a
    /// value.
    pub(crate) watched: bool,
}

/// Something to be done to the data of a CPU: of any, until it is done.
pub(crate) trait Operation<T: ?Sized> {
    type Output;

    /// Looks at the data and changes it with one primitive, whose failure it returns. It may come to be
    /// called again, with the data of another CPU.
    fn attempt<W: Way>(&mut self, way: &W, data: &T) -> Attempt<Self::Output>;
}
