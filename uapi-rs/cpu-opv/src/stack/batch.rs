// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several values of a stack at once: a copy, and the new length commits it.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering::Relaxed;

use cpu_opv_sys::CPU_OP_DATA_LEN_MAX;

use super::Items;
use crate::value::Value;
use crate::way::{Attempt, Copy, Operation, Way};

/// How many values can be copied in one step.
const MOST: usize = CPU_OP_DATA_LEN_MAX as usize / size_of::<usize>();

/// Up to `N` [values](Value) that are moved to a [`Stack`](crate::Stack) or from one at once, last in, first out.
///
/// As an iterator it gives them away, the last first. It allocates nothing. Those that are left when it is dropped are
/// dropped with it.
///
/// ```
/// use cpu_opv::Batch;
///
/// let mut batch: Batch<usize, 8> = Batch::new();
/// batch.push(1).unwrap();
/// batch.push(2).unwrap();
/// assert!(batch.eq([2, 1]));
/// ```
pub struct Batch<V: Value, const N: usize> {
    len: usize,
    words: [usize; N],
    _values: PhantomData<V>,
}

impl<V: Value, const N: usize> Batch<V, N> {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            len: 0,
            words: [0; N],
            _values: PhantomData,
        }
    }

    /// Puts a value there.
    ///
    /// # Errors
    ///
    /// Gives it back if there are `N` already.
    pub fn push(&mut self, value: V) -> Result<(), V> {
        match self.words.get_mut(self.len) {
            Some(word) => {
                *word = value.into_word();
                self.len += 1;
                Ok(())
            }
            None => Err(value),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has `take` put some here; in all there are `N` at most.
    pub(super) fn fill<E>(
        &mut self,
        most: usize,
        take: impl FnOnce(Take<'_>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let room = &mut self.words[self.len..];
        let most = most.min(room.len());
        self.len += take(Take(&mut room[..most]))?;
        Ok(())
    }

    /// Has `push` take some away; how many.
    pub(super) fn empty<E>(
        &mut self,
        push: impl FnOnce(PushAll<'_>) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let pushed = push(PushAll(&self.words[..self.len]))?;
        self.len -= pushed;
        Ok(pushed)
    }
}

impl<V: Value, const N: usize> Default for Batch<V, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Value, const N: usize> Iterator for Batch<V, N> {
    type Item = V;

    fn next(&mut self) -> Option<V> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: the word is of a value, and is not among those any more.
        Some(unsafe { V::from_word(self.words[self.len]) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<V: Value, const N: usize> ExactSizeIterator for Batch<V, N> {}

impl<V: Value, const N: usize> Drop for Batch<V, N> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<V: Value, const N: usize> fmt::Debug for Batch<V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// Moves the last values of a stack here, as many as there is room for; how many.
pub(super) struct Take<'a>(&'a mut [usize]);

impl<const N: usize> Operation<Items<N>> for Take<'_> {
    type Output = usize;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<N>) -> Attempt<usize> {
        let len = data.len.load(Relaxed);
        let taken = len.min(self.0.len()).min(MOST);
        let copy = Copy {
            dst: self.0.as_mut_ptr().cast(),
            src: data.items[len - taken..].as_ptr().cast(),
            len: taken * size_of::<usize>(),
            watched: false,
        };
        if taken != 0 {
            // SAFETY: while `len` is this, nobody writes the items before that index; the copy is ours.
            unsafe { way.compare_copy_store::<false>(&data.len, len, copy, len - taken) }?;
        }
        Ok(taken)
    }
}

/// Moves the last of these to a stack, as many as it has room for; how many.
pub(super) struct PushAll<'a>(&'a [usize]);

impl<const N: usize> Operation<Items<N>> for PushAll<'_> {
    type Output = usize;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<N>) -> Attempt<usize> {
        let len = data.len.load(Relaxed);
        let room = &data.items[len..];
        let pushed = room.len().min(self.0.len()).min(MOST);
        let copy = Copy {
            dst: room.as_ptr().cast_mut().cast(),
            src: self.0[self.0.len() - pushed..].as_ptr().cast(),
            len: pushed * size_of::<usize>(),
            // By who is about to pop what is not there any more.
            watched: true,
        };
        if pushed != 0 {
            // SAFETY: while `len` is this, nobody writes the items from that index on, and what was read there is
            // thrown away.
            unsafe { way.compare_copy_store::<false>(&data.len, len, copy, len + pushed) }?;
        }
        Ok(pushed)
    }
}
