// SPDX-License-Identifier: MIT OR Apache-2.0

//! A list for each CPU that has a limit and knows its length.
//!
//! A restartable sequence commits by one store, and such a list is two words: its first node, and how many there are. So
//! each CPU has two *states*, and a *version* says which one is in effect. A change makes the other one what the list is
//! to be, and commits that by the next version:
//!
//! ```text
//! version | states[0]: first node, length | states[1]: the same
//! ```
//!
//! A node that is pushed keeps the state that the list was in before. To pop it puts that back: it is copied from the
//! node to the state that is not in effect. The node may be gone by then; so that is done only if the version is still
//! the one that was looked at, which means that the node is still the first.
//!
//! # Why nobody takes the state for another one
//!
//! While version v + 1 is in effect, who changes the list may fill in what was the state of version v, and stop half-way.
//! Who has found v in effect either goes on to a primitive, which compares the version, or looks at it again:
//!
//! ```text
//! who changes the list                     who looks at it
//! --------------------                     ---------------
//! load the version: v + 1                  load the version: v     (acquire)
//!    fence(Release)                        load the state of v
//! fill in the state of v                      fence(Acquire)
//!                                          L: load the version: if it is not v, look again
//! ```
//!
//! If a word of what was filled in was loaded, the fences are ordered, and L finds v + 1 or what came after.

use core::fmt;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::cpu::Cpu;
use crate::error::{Error, PushError};
use crate::list::{Node, Taken, own, pointer};
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, whole};
use crate::slots::Slots;
use crate::way::{Attempt, Operation, Stop, Way};
use crate::word::{Word, fence};

/// A value that can be put on a [`BoundedList`], with the room for its link and a length.
pub type BoundedNode<T> = Node<T, 2>;

/// For each CPU a list of nodes up to a limit, last in, first out, whose length is known.
///
/// It is a [`List`](crate::List) for caches that must not grow without end: of what a CPU has too many, the surplus can
/// go elsewhere. Unlike a [`Stack`](crate::Stack) it has a limit that is chosen at run time, and no memory for what is
/// not there; all nodes of a CPU are taken in one step. To put a node on it or take one off allocates nothing.
///
/// ```
/// use cpu_opv::{BoundedList, BoundedNode};
///
/// let free: BoundedList<[u8; 512]> = BoundedList::new(64);
///
/// // One that this CPU had before, or else a new one.
/// let mut buffer = free.pop().unwrap_or_else(|| Box::new(BoundedNode::new([0; 512])));
/// buffer[0] = 1;
/// if let Err(surplus) = free.push(buffer) {
///     drop(surplus); // there are 64
/// }
/// ```
///
/// # Order
///
/// What a thread did to a node before it pushed it happens before what is done to it by who pops it.
///
/// # Progress
///
/// Lock-free with [`Backend::CpuOpv`](crate::Backend::CpuOpv), else not. On 32-bit machines all changes take the slow path:
/// a version that has 32 bits comes again.
pub struct BoundedList<T> {
    lists: PerCpu<States>,
    limit: usize,
    _nodes: PhantomData<*mut BoundedNode<T>>,
}

/// The first node, or 0, and how many there are.
type State = [Word; 2];

#[repr(C)]
struct States {
    version: Word,
    states: [State; 2],
}

// SAFETY: it owns its nodes, and gives each to one thread.
unsafe impl<T: Send> Send for BoundedList<T> {}
// SAFETY: as above; it gives out no reference to a node that is on it.
unsafe impl<T: Send> Sync for BoundedList<T> {}

// A panic leaves nothing half done, as with `Stack`.
impl<T> UnwindSafe for BoundedList<T> {}
impl<T> RefUnwindSafe for BoundedList<T> {}

impl<T: Send> BoundedList<T> {
    /// Empty lists of up to `limit` nodes each.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new(limit: usize) -> Self {
        Self::try_new(limit).expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new(limit: usize) -> Result<Self, Error> {
        const KIND: u32 = 0;
        Ok(Self {
            // SAFETY: both states are an empty list then, and the memory is private.
            lists: unsafe { PerCpu::zeroed(&Memory::private(), KIND) }?,
            limit,
            _nodes: PhantomData,
        })
    }

    /// How many nodes the list of a CPU can have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Puts a node on the list of the current CPU.
    ///
    /// # Errors
    ///
    /// Gives it back if there are as many as the limit.
    #[inline]
    pub fn push(&self, node: Box<BoundedNode<T>>) -> Result<(), Box<BoundedNode<T>>> {
        let node = NonNull::from(Box::leak(node));
        match self.lists.here(whole, self.push_of(node)) {
            true => Ok(()),
            // SAFETY: it was a box, and was not put there.
            false => Err(unsafe { own(node) }),
        }
    }

    /// Takes the last node off the list of the current CPU.
    #[inline]
    pub fn pop(&self) -> Option<Box<BoundedNode<T>>> {
        // SAFETY: only a push put it there, and whoever pops it owns it.
        pointer(self.lists.here(whole, Pop)).map(|node| unsafe { own(node) })
    }

    /// Puts a node on the list of `cpu`.
    ///
    /// # Errors
    ///
    /// Gives it back if there are as many as the limit, or if this thread may not do that.
    pub fn push_on(
        &self,
        cpu: Cpu,
        node: Box<BoundedNode<T>>,
    ) -> Result<(), PushError<Box<BoundedNode<T>>>> {
        let node = NonNull::from(Box::leak(node));
        // SAFETY: it was a box, and was not put there.
        let back = || unsafe { own(node) };
        match self.lists.on(cpu, whole, self.push_of(node)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PushError::Full(back())),
            Err(error) => Err(PushError::Failed(error, back())),
        }
    }

    /// Takes the last node off the list of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn pop_on(&self, cpu: Cpu) -> Result<Option<Box<BoundedNode<T>>>, Error> {
        let node = self.lists.on(cpu, whole, Pop)?;
        // SAFETY: as in `pop`.
        Ok(pointer(node).map(|node| unsafe { own(node) }))
    }

    /// Takes all nodes off the list of `cpu`, in one step.
    ///
    /// # Errors
    ///
    /// As for [`pop_on`](Self::pop_on).
    ///
    /// ```
    /// use cpu_opv::{BoundedList, Cpu};
    ///
    /// let free: BoundedList<u64> = BoundedList::new(100);
    /// // Those of CPUs that have many, for others:
    /// for cpu in Cpu::all().filter(|cpu| free.len_on(*cpu) > 50) {
    ///     for node in free.take_on(cpu)? {
    ///         println!("{}", **node);
    ///     }
    /// }
    /// # Ok::<(), cpu_opv::Error>(())
    /// ```
    pub fn take_on(&self, cpu: Cpu) -> Result<Taken<T, 2>, Error> {
        let first = self.lists.on(cpu, whole, Take)?;
        // SAFETY: as in `pop`.
        Ok(unsafe { Taken::new(pointer(first)) })
    }

    /// How many nodes the list of `cpu` has just now.
    ///
    /// It takes no system call, and needs no permission.
    pub fn len_on(&self, cpu: Cpu) -> usize {
        let lists = self.lists.get_on(cpu);
        loop {
            let (version, [_, len]) = lists.look();
            if lists.is_still(version) {
                return len;
            }
        }
    }

    #[inline(always)]
    fn push_of(&self, node: NonNull<BoundedNode<T>>) -> Push<T> {
        let limit = self.limit;
        Push { node, limit }
    }
}

impl<T> Drop for BoundedList<T> {
    fn drop(&mut self) {
        for (_, lists) in self.lists.iter() {
            let (_, [first, _]) = lists.look();
            // SAFETY: only a push put them there, and nobody has them any more.
            drop(unsafe { Taken::<T, 2>::new(pointer(first)) });
        }
    }
}

impl<T> fmt::Debug for BoundedList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedList")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl States {
    /// The version, and the state that is in effect while it is.
    #[inline(always)]
    fn look(&self) -> (usize, [usize; 2]) {
        let version = self.version.load(Acquire);
        let [first, len] = &self.states[version % 2];
        (version, [first.get(), len.get()])
    }

    /// Whether that was what the list is.
    #[inline(always)]
    fn is_still(&self, version: usize) -> bool {
        fence(Acquire);
        self.version.load(Relaxed) == version
    }

    /// For a change that has nothing to do: `output`, if that was what the list is.
    #[inline(always)]
    fn unchanged<T>(&self, version: usize, output: T) -> Attempt<T> {
        match self.is_still(version) {
            true => Ok(output),
            false => Err(Stop::Again),
        }
    }

    /// Makes the list what is in memory at `state`.
    ///
    /// # Safety
    ///
    /// While the list is what was found, that can be read.
    #[inline(always)]
    unsafe fn change<W: Way>(
        &self,
        way: &W,
        (version, found): (usize, [usize; 2]),
        state: *const usize,
    ) -> Attempt<()> {
        fence(Release);
        let next = version.wrapping_add(1);
        let is = (&self.states[version % 2][..], &found[..]);
        let copy = (&self.states[next % 2][..], state);
        // SAFETY: the caller's.
        unsafe { way.compare2_copy_store::<true>((&self.version, version), is, copy, next) }
    }
}

/// `if len < limit { node.below = (first, len); (first, len) = (node, len + 1) }`; whether there was room
struct Push<T> {
    node: NonNull<BoundedNode<T>>,
    limit: usize,
}

impl<T> Operation<States> for Push<T> {
    type Output = bool;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, lists: &States) -> Attempt<bool> {
        let (version, [first, len]) = lists.look();
        if len >= self.limit {
            return lists.unchanged(version, false);
        }
        // SAFETY: nobody else accesses the node before it is on the list.
        let below = unsafe { &(*self.node.as_ptr()).below };
        below[0].store(first, Relaxed);
        below[1].store(len, Relaxed);
        let state = [self.node.as_ptr().expose_provenance(), len + 1];
        // SAFETY: that can be read.
        unsafe { lists.change(way, (version, [first, len]), state.as_ptr()) }?;
        Ok(true)
    }
}

/// `if len > 0 { node = first; (first, len) = node.below }`; the node, or 0
struct Pop;

impl Operation<States> for Pop {
    type Output = usize;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, lists: &States) -> Attempt<usize> {
        let (version, [first, len]) = lists.look();
        if first == 0 {
            return lists.unchanged(version, 0);
        }
        let below = ptr::with_exposed_provenance(first);
        // SAFETY: while a node is on the list, what it begins with can be read.
        unsafe { lists.change(way, (version, [first, len]), below) }?;
        Ok(first)
    }
}

/// `node = first; (first, len) = (0, 0)`; the node, or 0
struct Take;

impl Operation<States> for Take {
    type Output = usize;

    fn attempt<W: Way>(&mut self, way: &W, lists: &States) -> Attempt<usize> {
        let (version, [first, len]) = lists.look();
        if first == 0 {
            return lists.unchanged(version, 0);
        }
        // SAFETY: that can be read.
        unsafe { lists.change(way, (version, [first, len]), [0; 2].as_ptr()) }?;
        Ok(first)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn node(value: usize) -> Box<BoundedNode<usize>> {
        Box::new(BoundedNode::new(value))
    }

    /// A pop, before which something happens once it has looked.
    struct PopAfter<F>(Option<F>);

    impl<F: FnOnce()> Operation<States> for PopAfter<F> {
        type Output = usize;

        fn attempt<W: Way>(&mut self, way: &W, lists: &States) -> Attempt<usize> {
            let (version, [first, len]) = lists.look();
            // The first try is a sequence, and holds nothing.
            if let Some(act) = self.0.take() {
                act();
            }
            if first == 0 {
                return Ok(0);
            }
            let below = ptr::with_exposed_provenance(first);
            // SAFETY: as in `Pop`.
            unsafe { lists.change(way, (version, [first, len]), below) }?;
            Ok(first)
        }
    }

    #[test]
    fn what_was_popped_in_between_is_not_popped_again() {
        let list = BoundedList::new(4);
        let mut popped = None;
        let in_between = || {
            // Four changes, after which the list is as long as before.
            popped = list.pop();
            if let Some(other) = list.pop() {
                assert!(list.push(other).is_ok());
            }
            assert!(list.push(node(3)).is_ok());
        };
        assert!(list.push(node(1)).is_ok());
        assert!(list.push(node(2)).is_ok());
        let first = list.lists.here(whole, PopAfter(Some(in_between)));
        if let Some(popped) = popped {
            assert_ne!(first, (&raw const *popped).addr());
        }
        // SAFETY: it was popped, by nobody else.
        drop(pointer(first).map(|node| unsafe { own::<BoundedNode<usize>>(node) }));
    }

    #[test]
    fn what_was_looked_at_is_known_to_have_changed() {
        let list = BoundedList::new(4);
        for cpu in Cpu::all() {
            let lists = list.lists.get_on(cpu);
            let (version, state) = lists.look();
            assert_eq!(state, [0, 0]);
            assert!(lists.is_still(version));
            if list.push_on(cpu, node(0)).is_ok() {
                assert!(!lists.is_still(version));
                assert!(lists.unchanged(version, ()).is_err());
                assert_eq!(lists.look().1[1], 1);
            }
        }
    }
}
