// SPDX-License-Identifier: MIT OR Apache-2.0

//! A primitive as plain code.

use core::sync::atomic::Ordering::{Relaxed, Release};

use super::{Attempt, Copy, Stop, Way};
use crate::stopped::Stopped;
use crate::word::{Word, fence};

/// On data whose CPU's sequences are stopped.
pub(crate) struct Plain<'a>(
    #[expect(dead_code, reason = "it is a proof")] pub(crate) &'a Stopped<'a>,
);

fn store<const RELEASE: bool>(v: &Word, new: usize) {
    v.store(new, if RELEASE { Release } else { Relaxed });
}

fn check(same: bool) -> Attempt<()> {
    if same { Ok(()) } else { Err(Stop::Again) }
}

/// # Safety
///
/// The words can be read, and written as atomic ones.
unsafe fn copy_words(Copy { dst, src, len, .. }: Copy) {
    let (dst, src) = (dst.cast::<Word>(), src.cast::<usize>());
    for index in 0..len / size_of::<Word>() {
        // SAFETY: the caller's.
        unsafe { (*dst.add(index)).store(src.add(index).read(), Relaxed) };
    }
}

impl Way for Plain<'_> {
    fn add<const RELEASE: bool>(&self, v: &Word, n: usize) -> Attempt<()> {
        store::<RELEASE>(v, v.get().wrapping_add(n));
        Ok(())
    }

    fn compare_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        new: usize,
    ) -> Attempt<()> {
        check(v.get() == expect)?;
        store::<RELEASE>(v, new);
        Ok(())
    }

    fn compare2_store<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (v2, expect2): (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        check(v.get() == expect && v2.get() == expect2)?;
        store::<RELEASE>(v, new);
        Ok(())
    }

    fn compare_store2<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (v2, new2): (&Word, usize),
        new: usize,
    ) -> Attempt<()> {
        check(v.get() == expect)?;
        store::<RELEASE>(v2, new2);
        store::<RELEASE>(v, new);
        Ok(())
    }

    unsafe fn compare_copy_store<const RELEASE: bool>(
        &self,
        v: &Word,
        expect: usize,
        copy: Copy,
        new: usize,
    ) -> Attempt<()> {
        check(v.get() == expect)?;
        // SAFETY: the caller answers for the bytes.
        unsafe {
            match copy.watched {
                true => copy_words(copy),
                false => copy.dst.copy_from_nonoverlapping(copy.src, copy.len),
            }
        }
        store::<RELEASE>(v, new);
        Ok(())
    }

    unsafe fn compare2_copy_store<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (words, expected): (&[Word], &[usize]),
        (dst, src): (&[Word], *const usize),
        new: usize,
    ) -> Attempt<()> {
        check(v.get() == expect && words.iter().map(Word::get).eq(expected.iter().copied()))?;
        for (index, word) in dst.iter().enumerate() {
            // SAFETY: the caller's, as they are the same.
            store::<false>(word, unsafe { src.add(index).read() });
        }
        store::<RELEASE>(v, new);
        Ok(())
    }

    fn compare_fill_store<const RELEASE: bool>(
        &self,
        (v, expect): (&Word, usize),
        (dst, src): (&[Word], &[usize]),
        new: usize,
    ) -> Attempt<()> {
        check(v.get() == expect)?;
        for (word, value) in dst.iter().zip(src) {
            store::<false>(word, *value);
        }
        store::<RELEASE>(v, new);
        Ok(())
    }

    unsafe fn pop(&self, v: &Word) -> Attempt<usize> {
        let head = v.get();
        if head != 0 {
            // SAFETY: the caller answers for what `v` points to; nobody else changes it, see `Plain`.
            let link = unsafe { &*(head as *const Word) };
            store::<false>(v, link.get());
        }
        Ok(head)
    }

    fn copy_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()> {
        self.finish_take_all(block)?;
        for (out, word) in out.iter_mut().zip(block) {
            *out = word.get();
        }
        Ok(())
    }

    fn take_all(&self, block: &[Word], out: &mut [usize]) -> Attempt<()> {
        self.copy_all(block, out)?;
        let [version, ..] = block else { return Ok(()) };
        store::<false>(version, version.get().wrapping_add(1));
        self.finish_take_all(block)
    }

    fn finish_take_all(&self, block: &[Word]) -> Attempt<()> {
        let [version, words @ ..] = block else {
            return Ok(());
        };
        if version.get() % 2 != 0 {
            // Who sees one of the zeroes sees that they were about to be stored.
            fence(Release);
            words.iter().for_each(|word| store::<false>(word, 0));
            store::<true>(version, version.get().wrapping_add(1));
        }
        Ok(())
    }
}
