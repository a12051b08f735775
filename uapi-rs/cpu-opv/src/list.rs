// SPDX-License-Identifier: MIT OR Apache-2.0

//! A list for each CPU, last in, first out, of nodes that bring their link.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::Relaxed;

use crate::cpu::Cpu;
use crate::error::{Error, Refused};
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, whole};
use crate::slots::Slots;
use crate::way::{Attempt, Operation, Way};
use crate::word::Word;

/// A value that can be put on a [`List`], with the room for its link; with two `WORDS` on a
/// [`BoundedList`](crate::BoundedList).
#[repr(C)]
#[derive(Debug)]
pub struct Node<T, const WORDS: usize = 1> {
    /// The node below, and how many there are from there on, if it has room for that. First, so that the address is that
    /// of the node.
    pub(crate) below: [Word; WORDS],
    value: T,
}

impl<T, const WORDS: usize> Node<T, WORDS> {
    /// A node that is on no list.
    pub const fn new(value: T) -> Self {
        Self {
            below: [const { Word::new(0) }; WORDS],
            value,
        }
    }

    /// Its value.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T, const WORDS: usize> Deref for Node<T, WORDS> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, const WORDS: usize> DerefMut for Node<T, WORDS> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default, const WORDS: usize> Default for Node<T, WORDS> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T, const WORDS: usize> From<T> for Node<T, WORDS> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// For each CPU a list of nodes, without a limit, last in, first out.
///
/// As a free list it keeps what was used last on a CPU, and is in its cache, for who needs one next there.
/// To put a node on it or take one off allocates nothing. Nodes that are left when it is dropped are dropped with it.
///
/// ```
/// use cpu_opv::{List, Node};
///
/// let free: List<[u8; 512]> = List::new();
///
/// // One that this CPU had before, or else a new one.
/// let mut buffer = free.pop().unwrap_or_else(|| Box::new(Node::new([0; 512])));
/// buffer[0] = 1;
/// free.push(buffer);
/// ```
///
/// # Order
///
/// What a thread did to a node before it pushed it happens before what is done to it by who pops it.
///
/// # Progress
///
/// Lock-free with [`Backend::CpuOpv`](crate::Backend::CpuOpv), else not.
pub struct List<T>(RawList<T>);

// SAFETY: it owns its nodes, and gives each to one thread.
unsafe impl<T: Send> Send for List<T> {}
// SAFETY: as above; it gives out no reference to a node that is on it.
unsafe impl<T: Send> Sync for List<T> {}

impl<T: Send> List<T> {
    /// Empty lists.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new() -> Self {
        Self::try_new().expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new() -> Result<Self, Error> {
        RawList::new_in(Memory::private()).map(Self)
    }

    /// Puts a node on the list of the current CPU.
    #[inline]
    pub fn push(&self, node: Box<Node<T>>) {
        let node = NonNull::from(Box::leak(node));
        // SAFETY: it was a box, and the list owns it now.
        unsafe { self.0.push(node) }
    }

    /// Takes the last node off the list of the current CPU.
    #[inline]
    pub fn pop(&self) -> Option<Box<Node<T>>> {
        // SAFETY: only `push` put it there, and whoever pops it owns it.
        self.0.pop().map(|node| unsafe { own(node) })
    }

    /// Puts a node on the list of `cpu`.
    ///
    /// # Errors
    ///
    /// Gives it back if this thread may not do that. It is never full.
    pub fn push_on(&self, cpu: Cpu, node: Box<Node<T>>) -> Result<(), Refused<Box<Node<T>>>> {
        let node = NonNull::from(Box::leak(node));
        // SAFETY: as in `push`; with an error it has not been put there.
        unsafe {
            self.0.push_on(cpu, node).map_err(|error| Refused {
                error,
                item: own(node),
            })
        }
    }

    /// Takes the last node off the list of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn pop_on(&self, cpu: Cpu) -> Result<Option<Box<Node<T>>>, Error> {
        // SAFETY: as in `pop`.
        Ok(self.0.pop_on(cpu)?.map(|node| unsafe { own(node) }))
    }

    /// Takes all nodes off the list of `cpu`, in one step.
    ///
    /// # Errors
    ///
    /// As for [`pop_on`](Self::pop_on).
    pub fn take_on(&self, cpu: Cpu) -> Result<Taken<T>, Error> {
        let next = self.0.take_on(cpu)?;
        // SAFETY: as in `pop`.
        Ok(unsafe { Taken::new(next) })
    }

    /// Whether the list of `cpu` is empty just now.
    pub fn is_empty_on(&self, cpu: Cpu) -> bool {
        self.0.is_empty_on(cpu)
    }
}

/// # Safety
///
/// The node was a box, and is nobody else's.
pub(crate) unsafe fn own<N>(node: NonNull<N>) -> Box<N> {
    // SAFETY: the caller's.
    unsafe { Box::from_raw(node.as_ptr()) }
}

impl<T: Send> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        for (_, head) in self.0.heads.iter() {
            // SAFETY: only `List::push` put them there, and nobody has them any more.
            drop(unsafe { Taken::<T>::new(pointer(head.load(Relaxed))) });
        }
    }
}

impl<T> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The nodes that were on a list, the last that was pushed first.
///
/// Those of a [`BoundedList`](crate::BoundedList) are an [`ExactSizeIterator`].
pub struct Taken<T, const WORDS: usize = 1> {
    next: Option<NonNull<Node<T, WORDS>>>,
}

// SAFETY: it owns its nodes.
unsafe impl<T: Send, const WORDS: usize> Send for Taken<T, WORDS> {}
// SAFETY: it gives out nothing by a shared reference.
unsafe impl<T: Send, const WORDS: usize> Sync for Taken<T, WORDS> {}

impl<T, const WORDS: usize> Taken<T, WORDS> {
    /// Those from this one on.
    ///
    /// # Safety
    ///
    /// They were boxes, and are nobody else's.
    pub(crate) unsafe fn new(next: Option<NonNull<Node<T, WORDS>>>) -> Self {
        Self { next }
    }
}

impl<T, const WORDS: usize> Iterator for Taken<T, WORDS> {
    type Item = Box<Node<T, WORDS>>;

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: as `new` was promised.
        let node = unsafe { own(self.next?) };
        self.next = pointer(node.below[0].load(Relaxed));
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let Some(node) = self.next else {
            return (0, Some(0));
        };
        // SAFETY: as `new` was promised.
        match unsafe { node.as_ref() }.below.get(1) {
            Some(len) => (1 + len.get(), Some(1 + len.get())),
            None => (1, None),
        }
    }
}

impl<T> ExactSizeIterator for Taken<T, 2> {}

impl<T, const WORDS: usize> Drop for Taken<T, WORDS> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl<T, const WORDS: usize> fmt::Debug for Taken<T, WORDS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken").finish_non_exhaustive()
    }
}

/// A [`List`] that does not own its nodes, for those in memory of another kind.
///
/// In memory that processes share, the nodes must lie at the same addresses in all of them.
pub struct RawList<T> {
    heads: PerCpu<Word>,
    _nodes: PhantomData<*mut Node<T>>,
}

// SAFETY: it passes addresses on; `push` is unsafe for what comes of that.
unsafe impl<T> Send for RawList<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for RawList<T> {}

// A panic leaves nothing half done, as with `Stack`.
impl<T> UnwindSafe for RawList<T> {}
impl<T> RefUnwindSafe for RawList<T> {}

impl<T> RawList<T> {
    /// Empty lists in this memory, or what other processes have made of them.
    ///
    /// # Errors
    ///
    /// As for [`PerCpu::new_in`].
    pub fn new_in(memory: Memory<'_>) -> Result<Self, Error> {
        const KIND: u32 = 3;
        // SAFETY: the word is 0 then, which stands for no node. For the nodes that it comes to hold,
        // `push` makes its caller answer.
        let heads = unsafe { PerCpu::zeroed(&memory, KIND) }?;
        Ok(Self {
            heads,
            _nodes: PhantomData,
        })
    }

    /// Puts a node on the list of the current CPU.
    ///
    /// # Safety
    ///
    /// The node can be read and written, in all processes that use this list, until it is popped; it is on no
    /// list, and until it is popped nobody accesses its link. Whoever pops it may do with it what comes then.
    #[inline]
    pub unsafe fn push(&self, node: NonNull<Node<T>>) {
        self.heads.here(whole, Push(node));
    }

    /// Takes the last node off the list of the current CPU.
    #[inline]
    pub fn pop(&self) -> Option<NonNull<Node<T>>> {
        pointer(self.heads.here(whole, Pop))
    }

    /// Puts a node on the list of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push).
    pub unsafe fn push_on(&self, cpu: Cpu, node: NonNull<Node<T>>) -> Result<(), Error> {
        self.heads.on(cpu, whole, Push(node))
    }

    /// Takes the last node off the list of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn pop_on(&self, cpu: Cpu) -> Result<Option<NonNull<Node<T>>>, Error> {
        self.heads.on(cpu, whole, Pop).map(pointer)
    }

    /// Takes all nodes off the list of `cpu`, in one step; returns the last that was pushed, whose
    /// [link](Self::below) leads to the others.
    ///
    /// # Errors
    ///
    /// As for [`pop_on`](Self::pop_on).
    pub fn take_on(&self, cpu: Cpu) -> Result<Option<NonNull<Node<T>>>, Error> {
        self.heads.on(cpu, whole, Take).map(pointer)
    }

    /// The node that was below this one when it was taken off.
    ///
    /// # Safety
    ///
    /// The node can be read, is on no list, and was [taken](Self::take_on) off one or was below one that was.
    pub unsafe fn below(node: NonNull<Node<T>>) -> Option<NonNull<Node<T>>> {
        // SAFETY: the caller's.
        pointer(unsafe { node.as_ref() }.below[0].load(Relaxed))
    }

    /// Whether the list of `cpu` is empty just now.
    pub fn is_empty_on(&self, cpu: Cpu) -> bool {
        self.heads.get_on(cpu).load(Relaxed) == 0
    }
}

impl<T> fmt::Debug for RawList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawList").finish_non_exhaustive()
    }
}

pub(crate) fn pointer<N>(word: usize) -> Option<NonNull<N>> {
    NonNull::new(ptr::with_exposed_provenance_mut(word))
}

/// `node.link = *head; *head = node`
struct Push<T>(NonNull<Node<T>>);

impl<T> Operation<Word> for Push<T> {
    type Output = ();

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, head: &Word) -> Attempt<()> {
        let below = head.load(Relaxed);
        // SAFETY: nobody else accesses the link before the node is on the list.
        unsafe { &(*self.0.as_ptr()).below[0] }.store(below, Relaxed);
        way.compare_store::<false>(head, below, self.0.as_ptr().expose_provenance())
    }
}

/// `node = *head; *head = node.link`
struct Pop;

impl Operation<Word> for Pop {
    type Output = usize;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, head: &Word) -> Attempt<usize> {
        // SAFETY: while a node is on the list its link, with which it begins, can be read: see `RawList::push`.
        unsafe { way.pop(head) }
    }
}

/// `node = *head; *head = 0`
struct Take;

impl Operation<Word> for Take {
    type Output = usize;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, head: &Word) -> Attempt<usize> {
        way.take(head)
    }
}
