// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stack of words for each CPU, of fixed size.

mod batch;

pub use batch::Batch;

use core::cell::Cell;
use core::convert::Infallible;
use core::fmt;
use core::marker::PhantomData;
use core::mem::needs_drop;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::cpu::Cpu;
use crate::error::{Error, PushError};
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, Zeroed, whole};
use crate::slots::Slots;
use crate::value::Value;
use crate::way::{Attempt, Operation, Way};
use crate::word::Word;

/// For each CPU up to `N` [values](Value), integers or pointers, last in, first out.
///
/// With pointers it is a cache of objects: what was used last on a CPU, and is in its cache, is there for who
/// needs one next. Unlike a [`List`](crate::List) it does not touch the objects, and is bounded. Those that are left when
/// it is dropped are dropped with it.
///
/// ```
/// use cpu_opv::Stack;
///
/// let buffers: Stack<Box<[u8; 4096]>, 64> = Stack::new();
///
/// let buffer = buffers.pop().unwrap_or_else(|| Box::new([0; 4096]));
/// // Use it.
/// if let Err(surplus) = buffers.push(buffer) {
///     drop(surplus);
/// }
/// ```
///
/// # Order
///
/// What a thread did before it pushed a value happens before what is done by who pops it.
///
/// # Progress
///
/// Lock-free with [`Backend::CpuOpv`](crate::Backend::CpuOpv), else not.
pub struct Stack<V: Value, const N: usize>(Inner<V, N, false>);

/// A [`Stack`] that can be looked at and stolen from by other CPUs.
///
/// A push releases: who sees that a value is there, by [`peek_on`](Self::peek_on), sees what was done before the
/// push. On x86_64 that costs nothing. All else that is said of a `Stack` holds here, but that a batch is not pushed at
/// once: such a push does not release.
///
/// ```
/// use cpu_opv::StealStack;
///
/// let jobs: StealStack<usize, 256> = StealStack::new();
/// jobs.push(7).unwrap();
///
/// // A job of this CPU, or else of another one.
/// assert_eq!(jobs.pop().or_else(|| jobs.steal()), Some(7));
/// ```
pub struct StealStack<V: Value, const N: usize>(Inner<V, N, true>);

/// Both kinds of stacks.
struct Inner<V: Value, const N: usize, const RELEASE: bool> {
    per_cpu: PerCpu<Items<N>>,
    /// Values go in by a shared reference, as into a cell: what comes out is of the very same type.
    _values: PhantomData<Cell<V>>,
}

#[repr(C)]
struct Items<const N: usize> {
    len: Word,
    items: [Word; N],
}

// SAFETY: it is empty then, and has no pointers: it is shared for integers only.
unsafe impl<const N: usize> Zeroed for Items<N> {}

// SAFETY: it owns its values, and gives each to one thread. A copy is a value too.
unsafe impl<V: Value + Send, const N: usize, const RELEASE: bool> Send for Inner<V, N, RELEASE> {}
// SAFETY: as above.
unsafe impl<V: Value + Send, const N: usize, const RELEASE: bool> Sync for Inner<V, N, RELEASE> {}

/// The methods of both.
macro_rules! stack {
    ($stack:ident, $kind:literal) => {
        impl<V: Value, const N: usize> $stack<V, N> {
            /// Empty stacks.
            ///
            /// # Panics
            ///
            /// If the system has no memory left.
            pub fn new() -> Self {
                Self::try_new().expect("memory for each CPU")
            }

            /// The same; [`Error::Os`] if the system has no memory left.
            pub fn try_new() -> Result<Self, Error> {
                Inner::new_in(&Memory::private(), $kind).map(Self)
            }

            /// Puts a value onto the stack of the current CPU.
            ///
            /// # Errors
            ///
            /// Gives it back if the stack is full.
            #[inline]
            pub fn push(&self, value: V) -> Result<(), V> {
                self.0.push(value)
            }

            /// Takes the last value off the stack of the current CPU.
            #[inline]
            pub fn pop(&self) -> Option<V> {
                self.0.pop()
            }

            /// Puts a value onto the stack of `cpu`.
            ///
            /// # Errors
            ///
            /// Gives it back if the stack is full, or if this thread may not do that.
            pub fn push_on(&self, cpu: Cpu, value: V) -> Result<(), PushError<V>> {
                self.0.push_on(cpu, value)
            }

            /// Takes the last value off the stack of `cpu`.
            ///
            /// # Errors
            ///
            /// [`Error::CpuNotAllowed`] if this thread is not.
            pub fn pop_on(&self, cpu: Cpu) -> Result<Option<V>, Error> {
                self.0.pop_on(cpu)
            }

            /// Moves up to `most` values from the stack of the current CPU to `batch`, the last ones, in one step.
            ///
            /// No more than there is room for in the batch, and than 4096 bytes of them at once.
            pub fn take<const M: usize>(&self, batch: &mut Batch<V, M>, most: usize) {
                let Ok(()) = batch.fill(most, |take| {
                    Ok::<_, Infallible>(self.0.per_cpu.here(whole, take))
                });
            }

            /// The same, from the stack of `cpu`.
            ///
            /// # Errors
            ///
            /// [`Error::CpuNotAllowed`] if this thread is not.
            pub fn take_on<const M: usize>(
                &self,
                cpu: Cpu,
                batch: &mut Batch<V, M>,
                most: usize,
            ) -> Result<(), Error> {
                batch.fill(most, |take| self.0.per_cpu.on(cpu, whole, take))
            }

            /// How many values the stack of `cpu` has just now.
            pub fn len_on(&self, cpu: Cpu) -> usize {
                self.0.per_cpu.get_on(cpu).len.load(Relaxed)
            }
        }

        impl<const N: usize> $stack<usize, N> {
            /// Stacks of integers in this memory: empty, or what other processes have made of them.
            ///
            /// # Errors
            ///
            /// As for [`PerCpu::new_in`].
            pub fn new_in(memory: Memory<'_>) -> Result<Self, Error> {
                Inner::new_in(&memory, $kind).map(Self)
            }
        }

        impl<V: Value, const N: usize> Default for $stack<V, N> {
            fn default() -> Self {
                Self::new()
            }
        }

        // A panic leaves nothing half done: a value is there or not, and nobody has it while it is there.
        impl<V: Value, const N: usize> UnwindSafe for $stack<V, N> {}
        impl<V: Value, const N: usize> RefUnwindSafe for $stack<V, N> {}

        impl<V: Value, const N: usize> fmt::Debug for $stack<V, N> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let len = |(cpu, items): (Cpu, &Items<N>)| (cpu, items.len.load(Relaxed));
                f.write_str(concat!(stringify!($stack), " of lengths "))?;
                f.debug_map()
                    .entries(self.0.per_cpu.iter().map(len))
                    .finish()
            }
        }
    };
}
stack!(Stack, 4);
stack!(StealStack, 5);

impl<V: Value, const N: usize> Stack<V, N> {
    /// Moves values from `batch` to the stack of the current CPU, the last ones, in one step; returns how many.
    ///
    /// As many as there is room for, and 4096 bytes of them at most.
    pub fn push_all<const M: usize>(&self, batch: &mut Batch<V, M>) -> usize {
        let Ok(pushed) = batch.empty(|push| Ok::<_, Infallible>(self.0.per_cpu.here(whole, push)));
        pushed
    }

    /// The same, to the stack of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not. Nothing was moved then.
    pub fn push_all_on<const M: usize>(
        &self,
        cpu: Cpu,
        batch: &mut Batch<V, M>,
    ) -> Result<usize, Error> {
        batch.empty(|push| self.0.per_cpu.on(cpu, whole, push))
    }
}

impl<V: Value, const N: usize> StealStack<V, N> {
    /// Takes the last value off the stack of some other CPU: one that has some, and that this thread is allowed on.
    ///
    /// `None` if none was found.
    pub fn steal(&self) -> Option<V> {
        self.others()
            .find_map(|cpu| self.pop_on(cpu).ok().flatten())
    }

    /// Moves half of the values, rounded up, from the stack of some other CPU to `batch`, in one step. They are the last
    /// ones of a CPU that has some, and that this thread is allowed on.
    ///
    /// None if none was found. No more than there is room for in the batch, and than 4096 bytes of them at once.
    ///
    /// ```
    /// use cpu_opv::{Batch, StealStack};
    ///
    /// let jobs: StealStack<usize, 256> = StealStack::new();
    /// let mut mine = Batch::<_, 128>::new();
    /// jobs.steal_half(&mut mine);
    ///
    /// let next = mine.next();
    /// // The others are to be had here, and by who steals in turn.
    /// for job in mine {
    ///     if let Err(job) = jobs.push(job) {
    ///         println!("no room for {job}");
    ///     }
    /// }
    /// ```
    pub fn steal_half<const M: usize>(&self, batch: &mut Batch<V, M>) {
        let before = batch.len();
        let stolen = |cpu| {
            let half = self.len_on(cpu).div_ceil(2);
            let _ = self.take_on(cpu, batch, half);
            batch.len() != before
        };
        self.others().any(stolen);
    }

    /// The other CPUs that have any, from this one on.
    fn others(&self) -> impl Iterator<Item = Cpu> {
        let here = Cpu::current();
        let after = Cpu::all().skip(here.number() + 1);
        let before = Cpu::all().take(here.number());
        after.chain(before).filter(|cpu| self.len_on(*cpu) != 0)
    }

    /// The last value of the stack of `cpu`, which somebody may take just now, or one that is about to be put there.
    ///
    /// What was done before that value was pushed is seen.
    pub fn peek_on(&self, cpu: Cpu) -> Option<V>
    where
        V: Copy,
    {
        let Items { len, items } = self.0.per_cpu.get_on(cpu);
        loop {
            let before = len.load(Acquire);
            // Acquire: pairs with the store of the item, which releases too. That of the length is not enough: this
            // may be a later item than the one that was there with this length, and of a push that is not committed.
            let item = items.get(before.checked_sub(1)?)?.load(Acquire);
            // Else it was popped, and may be long gone.
            if len.load(Relaxed) == before {
                // SAFETY: the word is of a push, committed or not, and the value can be copied.
                return Some(unsafe { V::from_word(item) });
            }
        }
    }
}

impl<V: Value, const N: usize, const RELEASE: bool> Inner<V, N, RELEASE> {
    fn new_in(memory: &Memory<'_>, kind: u32) -> Result<Self, Error> {
        // SAFETY: it is `Zeroed`.
        let per_cpu = unsafe { PerCpu::zeroed(memory, kind) }?;
        Ok(Self {
            per_cpu,
            _values: PhantomData,
        })
    }

    #[inline(always)]
    fn push(&self, value: V) -> Result<(), V> {
        let word = value.into_word();
        match self.per_cpu.here(whole, Push::<RELEASE>(word)) {
            true => Ok(()),
            // SAFETY: it was not put there.
            false => Err(unsafe { V::from_word(word) }),
        }
    }

    #[inline(always)]
    fn pop(&self) -> Option<V> {
        // SAFETY: `push` put it there, and whoever pops it owns it.
        self.per_cpu
            .here(whole, Pop)
            .map(|word| unsafe { V::from_word(word) })
    }

    fn push_on(&self, cpu: Cpu, value: V) -> Result<(), PushError<V>> {
        let word = value.into_word();
        // SAFETY: it was not put there.
        let back = || unsafe { V::from_word(word) };
        match self.per_cpu.on(cpu, whole, Push::<RELEASE>(word)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PushError::Full(back())),
            Err(error) => Err(PushError::Failed(error, back())),
        }
    }

    fn pop_on(&self, cpu: Cpu) -> Result<Option<V>, Error> {
        let word = self.per_cpu.on(cpu, whole, Pop)?;
        // SAFETY: as in `pop`.
        Ok(word.map(|word| unsafe { V::from_word(word) }))
    }
}

impl<V: Value, const N: usize, const RELEASE: bool> Drop for Inner<V, N, RELEASE> {
    fn drop(&mut self) {
        if needs_drop::<V>() {
            for (_, Items { len, items }) in self.per_cpu.iter() {
                for item in items.iter().take(len.load(Relaxed)) {
                    // SAFETY: `push` put it there, and nobody has popped it.
                    drop(unsafe { V::from_word(item.load(Relaxed)) });
                }
            }
        }
    }
}

/// `if len < N { items[len] = word; len += 1 }`; whether there was room
struct Push<const RELEASE: bool>(usize);

impl<const N: usize, const RELEASE: bool> Operation<Items<N>> for Push<RELEASE> {
    type Output = bool;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<N>) -> Attempt<bool> {
        let len = data.len.load(Relaxed);
        let Some(item) = data.items.get(len) else {
            return Ok(false);
        };
        way.compare_store2::<RELEASE>((&data.len, len), (item, self.0), len + 1)?;
        Ok(true)
    }
}

/// `if len > 0 { len -= 1; items[len] }`
struct Pop;

impl<const N: usize> Operation<Items<N>> for Pop {
    type Output = Option<usize>;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<N>) -> Attempt<Option<usize>> {
        let len = data.len.load(Relaxed);
        let Some(item) = len.checked_sub(1).and_then(|index| data.items.get(index)) else {
            return Ok(None);
        };
        let word = item.load(Relaxed);
        // The item too: others may have popped it and pushed another one.
        way.compare2_store::<false>((&data.len, len), (item, word), len - 1)?;
        Ok(Some(word))
    }
}
