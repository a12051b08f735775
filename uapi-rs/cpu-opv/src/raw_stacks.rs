// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many stacks of words for each CPU in one mapping, for who must not wait, panic or allocate: allocators.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed;

use crate::cpu::Cpu;
use crate::error::Error;
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, whole};
use crate::slots::Slots;
use crate::way::{self, Attempt, Operation, Way};
use crate::word::Word;

/// For each CPU `STACKS` stacks of words, last in, first out, that have `ROOM` for so many words together.
///
/// It is what an allocator is made of: a stack for each class of sizes, of the addresses that are free. So
/// [`push`](Self::push) and [`pop`](Self::pop) need not succeed. Where a [`Stack`](crate::Stack) would take the slow
/// path, wait or panic, these do nothing; the caller has another place to go to.
///
/// ```
/// use cpu_opv::{Cpu, RawStacks};
///
/// // Up to 64 words on one, up to 8 on the other.
/// let free: RawStacks<2, 72> = RawStacks::new([64, 8])?;
///
/// let is_there = free.push(1, 0x1000);
/// assert!(free.pop(0).is_none());
///
/// // What is on the other one, of any CPU:
/// let mut words = [0; 8];
/// for cpu in Cpu::all() {
///     if let Ok(taken) = free.take_on(cpu, 1, &mut words) {
///         assert!(words[..taken].iter().all(|word| is_there && *word == 0x1000));
///     }
/// }
/// # Ok::<(), cpu_opv::Error>(())
/// ```
///
/// # Order
///
/// What a thread did before it pushed a word happens before what is done by who takes it.
///
/// # Progress
///
/// `push`, `pop` and `take` end after some restartable sequences, whether they succeeded or not. With
/// [`Backend::Lock`](crate::Backend::Lock), and where there is [no fast path](crate#where-there-is-a-fast-path), they
/// take the slow path, and may wait for a lock. They do not panic, allocate, or leave another `errno`.
/// The first one of a thread that the libc has not registered with rseq may allocate, see
/// [`register_thread`](crate::register_thread); one that comes in between finds the thread registered.
pub struct RawStacks<const STACKS: usize, const ROOM: usize> {
    /// Where the room of each begins and ends.
    bounds: [Bounds; STACKS],
    per_cpu: PerCpu<Items<STACKS, ROOM>>,
}

#[derive(Clone, Copy, Default)]
struct Bounds {
    start: u32,
    end: u32,
}

#[repr(C)]
struct Items<const STACKS: usize, const ROOM: usize> {
    lens: [Word; STACKS],
    items: [Word; ROOM],
}

impl<const STACKS: usize, const ROOM: usize> RawStacks<STACKS, ROOM> {
    /// Empty stacks, the first of which holds up to `limits[0]` words on each CPU, and so on.
    ///
    /// # Errors
    ///
    /// - [`Error::Layout`]: they do not have that much room together.
    /// - [`Error::Os`]: the system has no memory left.
    pub fn new(limits: [usize; STACKS]) -> Result<Self, Error> {
        const KIND: u32 = 0;
        let mut bounds = [Bounds::default(); STACKS];
        let mut end = 0_u32;
        for (bounds, limit) in bounds.iter_mut().zip(limits) {
            let start = end;
            end = u32::try_from(limit)
                .ok()
                .and_then(|limit| start.checked_add(limit))
                .filter(|end| *end as usize <= ROOM)
                .ok_or(Error::Layout)?;
            *bounds = Bounds { start, end };
        }
        Ok(Self {
            bounds,
            // SAFETY: the stacks are empty then, and the memory is private.
            per_cpu: unsafe { PerCpu::zeroed(&Memory::private(), KIND) }?,
        })
    }

    /// Puts a word onto a stack of the current CPU. Returns whether it is there: not if the stack is full, or if
    /// something kept getting in between.
    ///
    /// # Panics
    ///
    /// If there is no such stack; so do the others.
    #[inline(always)]
    pub fn push(&self, stack: usize, word: usize) -> bool {
        let push = Push(self.at(stack), word);
        self.per_cpu.try_here(whole, push).unwrap_or(false)
    }

    /// Takes the last word off a stack of the current CPU. `None` if the stack is empty, or if something kept getting
    /// in between.
    #[inline(always)]
    pub fn pop(&self, stack: usize) -> Option<usize> {
        self.per_cpu.try_here(whole, Pop(self.at(stack))).flatten()
    }

    /// Takes up to `into.len()` words off a stack of the current CPU, in one step, the last one last. Returns how many.
    pub fn take(&self, stack: usize, into: &mut [usize]) -> usize {
        let take = Take(self.at(stack), into);
        self.per_cpu.try_here(whole, take).unwrap_or(0)
    }

    /// Takes up to `into.len()` words, but not more than 512, off a stack of `cpu`, in one step. Returns how many: 0 if
    /// it is empty. Unlike the others, it waits where it has to.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn take_on(&self, cpu: Cpu, stack: usize, into: &mut [usize]) -> Result<usize, Error> {
        self.per_cpu.on(cpu, whole, Take(self.at(stack), into))
    }

    /// How many words a stack of `cpu` has just now.
    pub fn len_on(&self, cpu: Cpu, stack: usize) -> usize {
        self.per_cpu.get_on(cpu).lens[stack].load(Relaxed)
    }

    #[inline(always)]
    fn at(&self, stack: usize) -> At {
        At {
            stack,
            bounds: self.bounds[stack],
        }
    }
}

impl<const STACKS: usize, const ROOM: usize> fmt::Debug for RawStacks<STACKS, ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawStacks of lengths ")?;
        let lens = |(cpu, items)| (cpu, &Items::<STACKS, ROOM>::lens(items)[..]);
        f.debug_map()
            .entries(self.per_cpu.iter().map(lens))
            .finish()
    }
}

impl<const STACKS: usize, const ROOM: usize> Items<STACKS, ROOM> {
    fn lens(&self) -> &[Word; STACKS] {
        &self.lens
    }

    /// Of a stack: its length, the word that has it, and the room for the next item.
    #[inline(always)]
    fn len(&self, at: At) -> (&Word, usize) {
        let word = &self.lens[at.stack];
        (word, word.load(Relaxed))
    }

    /// An item of a stack, if it has room for as many.
    #[inline(always)]
    fn item(&self, at: At, index: usize) -> Option<&Word> {
        let index = at.bounds.start as usize + index;
        (index < at.bounds.end as usize)
            .then(|| self.items.get(index))
            .flatten()
    }
}

/// A stack, of any CPU.
#[derive(Clone, Copy)]
struct At {
    stack: usize,
    bounds: Bounds,
}

/// `if len < limit { items[len] = word; len += 1 }`; whether there was room
struct Push(At, usize);

impl<const STACKS: usize, const ROOM: usize> Operation<Items<STACKS, ROOM>> for Push {
    type Output = bool;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<STACKS, ROOM>) -> Attempt<bool> {
        let (word, len) = data.len(self.0);
        let Some(item) = data.item(self.0, len) else {
            return Ok(false);
        };
        way.compare_store2::<false>((word, len), (item, self.1), len + 1)?;
        Ok(true)
    }
}

/// `if len > 0 { len -= 1; items[len] }`
struct Pop(At);

impl<const STACKS: usize, const ROOM: usize> Operation<Items<STACKS, ROOM>> for Pop {
    type Output = Option<usize>;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<STACKS, ROOM>) -> Attempt<Option<usize>> {
        let (word, len) = data.len(self.0);
        let Some(item) = len
            .checked_sub(1)
            .and_then(|index| data.item(self.0, index))
        else {
            return Ok(None);
        };
        let found = item.load(Relaxed);
        // The item too: others may have popped it and pushed another one.
        way.compare2_store::<false>((word, len), (item, found), len - 1)?;
        Ok(Some(found))
    }
}

/// `len -= n; items[len..len + n]`, with as great an `n` as there is room for and the stack has
struct Take<'a>(At, &'a mut [usize]);

/// The longest operand of a vector has 4096 bytes.
const MOST: usize = 512;

impl<const STACKS: usize, const ROOM: usize> Operation<Items<STACKS, ROOM>> for Take<'_> {
    type Output = usize;

    fn attempt<W: Way>(&mut self, way: &W, data: &Items<STACKS, ROOM>) -> Attempt<usize> {
        let (word, len) = data.len(self.0);
        let count = len.min(self.1.len()).min(MOST);
        let start = self.0.bounds.start as usize + (len - count);
        let Some(items @ [_, ..]) = data.items.get(start..start + count) else {
            return Ok(0);
        };
        let copy = way::Copy {
            dst: self.1.as_mut_ptr().cast(),
            src: items.as_ptr().cast(),
            len: size_of_val(items),
            watched: false,
        };
        // SAFETY: while `len` is this, nobody writes the items before that index; what is written is ours alone.
        unsafe { way.compare_copy_store::<false>(word, len, copy, len - count) }?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    #[test]
    #[cfg_attr(miri, ignore = "there is no fork")]
    fn a_child_has_nothing_stopped() {
        let stacks: RawStacks<1, 8> = RawStacks::new([8]).unwrap();
        if Backend::get() != Backend::Membarrier {
            return eprintln!("skipped: nothing is stopped by this backend");
        }
        // As by a thread that is draining them.
        let stop = |cpu| stacks.per_cpu.slot_of(cpu).0.stop(cpu).unwrap();
        let mut stopped: Vec<_> = Cpu::all().map(stop).collect();
        assert!(!stacks.push(0, 1));
        // SAFETY: the child ends without running anything that was registered for that.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let right = stacks.push(0, 1) && stacks.pop(0) == Some(1);
            // SAFETY: ends this process.
            unsafe { libc::_exit((!right).into()) };
        }
        // The first one has the signals that were blocked before, so it comes last.
        while stopped.pop().is_some() {}
        let mut status = 0;
        // SAFETY: the status is written.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "it finds its sequences stopped");
    }
}
