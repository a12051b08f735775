// SPDX-License-Identifier: MIT OR Apache-2.0

//! The caches: for each CPU and class a stack of free blocks, and the depot behind.
//!
//! ```text
//!           pop                take a chain
//! caller  <------   CPU's    <--------------   depot of   <--- (a block at a time) --- backing allocator
//!         ------>   stack    -------------->   the class  ------ (when it is full) -->
//!           push               some of it
//! ```
//!
//! Blocks get into a cache only by being freed: on a miss, one is had from the backing allocator, not a batch.

use core::alloc::GlobalAlloc;
use core::ptr::with_exposed_provenance_mut;

use cpu_opv::{Cpu, Error, RawStacks};

use crate::class::{BATCH, CLASSES, Class, LIMITS, ROOM};
use crate::depot::{Chain, Depot, PLACES};
use crate::trim::Rounds;

/// How many blocks are taken off another CPU's stack at once: as many as a system call can.
const AT_ONCE: usize = 512;

/// # Invariants
///
/// - What is on a stack or in a depot is a free block of that class, and is nowhere else.
/// - The backing allocator that is passed is the same each time: that of the [`CpuOpvAlloc`](crate::CpuOpvAlloc) that
///   this is part of.
pub(crate) struct Caches {
    stacks: RawStacks<CLASSES, ROOM>,
    depots: [Depot; CLASSES],
    rounds: Rounds,
}

impl Caches {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            stacks: RawStacks::new(LIMITS)?,
            depots: [const { Depot::new() }; CLASSES],
            rounds: Rounds::new()?,
        })
    }

    /// A block of this CPU's.
    #[inline(always)]
    pub(crate) fn pop(&self, class: Class) -> Option<*mut u8> {
        self.stacks
            .pop(class.index())
            .map(with_exposed_provenance_mut)
    }

    /// Keeps a free block on this CPU; returns whether it could.
    ///
    /// # Safety
    ///
    /// It is of the class, and the caller's; if this succeeds, no more.
    #[inline(always)]
    pub(crate) unsafe fn push(&self, class: Class, block: *mut u8) -> bool {
        self.stacks.push(class.index(), block.expose_provenance())
    }

    /// A block from the depot. What comes with it goes to this CPU.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill<A: GlobalAlloc>(&self, class: Class, backing: &A) -> Option<*mut u8> {
        let mut chain = self.depots[class.index()].take();
        let block = chain.next()?;
        while let Some(another) = chain.next() {
            // SAFETY: it is of the depot of this class, and was taken from there.
            unsafe {
                if !self.push(class, another) {
                    // Others have put as many there meanwhile.
                    chain.push(another);
                    self.put(class, chain, backing);
                    break;
                }
            }
        }
        self.rounds.go_on(self, backing);
        Some(block)
    }

    /// Keeps a free block for which there was no room on this CPU: a batch of what is there goes to the depot.
    ///
    /// # Safety
    ///
    /// It is of the class, and the caller's.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn spill<A: GlobalAlloc>(&self, class: Class, block: *mut u8, backing: &A) {
        let mut words = [0; BATCH];
        let batch = &mut words[..class.batch()];
        let count = self.stacks.take(class.index(), batch);
        self.put(class, chain(&batch[..count]), backing);
        // SAFETY: all blocks of a class come from there, with this layout; and it is the caller's.
        unsafe {
            if !self.push(class, block) {
                backing.dealloc(block, class.layout());
            }
        }
        self.rounds.go_on(self, backing);
    }

    /// To the depot, or to the backing allocator if there is no place.
    fn put<A: GlobalAlloc>(&self, class: Class, chain: Chain, backing: &A) {
        if chain.is_empty() {
            return;
        }
        if let Err(chain) = self.depots[class.index()].put(chain) {
            give_back(class, chain, backing);
        }
    }

    /// Gives back all that `cpu` holds; returns how many bytes.
    pub(crate) fn drain_cpu<A: GlobalAlloc>(&self, cpu: Cpu, backing: &A) -> usize {
        let mut bytes = 0;
        for class in Class::all() {
            // What there is now. Others may go on filling it for ever.
            let mut left = self.stacks.len_on(cpu, class.index());
            while left != 0 {
                let mut words = [0; AT_ONCE];
                match self.stacks.take_on(cpu, class.index(), &mut words) {
                    Ok(count @ 1..) => {
                        bytes += give_back(class, chain(&words[..count]), backing);
                        left = left.saturating_sub(count);
                    }
                    Ok(0) => break,
                    // This thread may not, and no more for the other classes.
                    Err(_) => return bytes,
                }
            }
        }
        bytes
    }

    /// Gives back a chain of each class, or all; returns how many bytes.
    pub(crate) fn drain_depots<A: GlobalAlloc>(&self, chains: usize, backing: &A) -> usize {
        Class::all()
            .flat_map(|class| (0..chains).map(move |_| class))
            .map(|class| give_back(class, self.depots[class.index()].take(), backing))
            .sum()
    }

    pub(crate) fn drain<A: GlobalAlloc>(&self, backing: &A) -> usize {
        let of_cpus: usize = Cpu::all().map(|cpu| self.drain_cpu(cpu, backing)).sum();
        of_cpus + self.drain_depots(PLACES, backing)
    }

    pub(crate) fn trim<A: GlobalAlloc>(&self, backing: &A) -> usize {
        self.rounds.whole(self, backing)
    }

    /// How many bytes `cpu` holds just now.
    pub(crate) fn bytes_on(&self, cpu: Cpu) -> usize {
        let bytes = |class: Class| self.stacks.len_on(cpu, class.index()) * class.size();
        Class::all().map(bytes).sum()
    }

    /// How many bytes the depots hold just now, at most: some chains are shorter than others.
    pub(crate) fn bytes_in_depots(&self) -> usize {
        let bytes = |class: Class| self.depots[class.index()].len() * class.batch() * class.size();
        Class::all().map(bytes).sum()
    }

    /// A number that is another one, most likely, if a block was put on or taken off the stacks of `cpu`.
    pub(crate) fn fingerprint(&self, cpu: Cpu) -> usize {
        Class::all().fold(0, |sum: usize, class| {
            sum.wrapping_mul(31)
                .wrapping_add(self.stacks.len_on(cpu, class.index()))
        })
    }
}

/// Of blocks that were taken off a stack of a class.
fn chain(blocks: &[usize]) -> Chain {
    let mut chain = Chain::EMPTY;
    for block in blocks {
        // SAFETY: each is free and was taken off by this thread; the smallest class has room for a link.
        unsafe { chain.push(with_exposed_provenance_mut(*block)) };
    }
    chain
}

/// Returns how many bytes.
fn give_back<A: GlobalAlloc>(class: Class, chain: Chain, backing: &A) -> usize {
    let mut bytes = 0;
    for block in chain {
        // SAFETY: all blocks of a class come from there, with this layout, and the chain owned it.
        unsafe { backing.dealloc(block, class.layout()) };
        bytes += class.size();
    }
    bytes
}
