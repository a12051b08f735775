// SPDX-License-Identifier: MIT OR Apache-2.0

//! A stack of data for each CPU, of fixed size.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::sync::atomic::Ordering::Relaxed;

use cpu_opv_sys::CPU_OP_DATA_LEN_MAX;

use crate::cpu::Cpu;
use crate::error::{Error, PushError};
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, whole};
use crate::slots::Slots;
use crate::vector::Plain;
use crate::way::{self, Attempt, Operation, Way};
use crate::word::Word;

/// For each CPU up to `N` items of data of up to 4096 bytes, last in, first out, which are copied in and out.
///
/// ```
/// use cpu_opv::CopyStack;
///
/// #[derive(Clone, Copy)]
/// struct Event {
///     time: u64,
///     what: [u8; 12],
/// }
///
/// let events: CopyStack<Event, 100> = CopyStack::new();
/// if events.push(Event { time: 1, what: *b"power button" }).is_err() {
///     println!("too many");
/// }
/// assert_eq!(events.pop().map(|event| event.time), Some(1));
/// ```
///
/// # Order
///
/// What a thread did before it pushed an item happens before what is done by who pops it.
///
/// # Progress
///
/// Lock-free with [`Backend::CpuOpv`](crate::Backend::CpuOpv), else not. The longer an item, the more often is
/// a restartable sequence interrupted while it copies it, and begins again.
pub struct CopyStack<T, const N: usize>(PerCpu<Items<T, N>>);

#[repr(C)]
struct Items<T, const N: usize> {
    len: Word,
    items: UnsafeCell<[MaybeUninit<T>; N]>,
}

// SAFETY: the items are data that can be sent, and one operation at a time accesses them.
unsafe impl<T: Copy + Send, const N: usize> Sync for Items<T, N> {}

// A panic leaves nothing half done, as with `Stack`.
impl<T, const N: usize> UnwindSafe for CopyStack<T, N> {}
impl<T, const N: usize> RefUnwindSafe for CopyStack<T, N> {}

impl<T: Copy + Send + 'static, const N: usize> CopyStack<T, N> {
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
        Self::mapped(&Memory::private())
    }

    fn mapped(memory: &Memory<'_>) -> Result<Self, Error> {
        const KIND: u32 = 6;
        const {
            assert!(
                size_of::<T>() <= CPU_OP_DATA_LEN_MAX as usize,
                "an item has at most 4096 bytes"
            )
        };
        // SAFETY: it is empty then. In memory that processes share it is plain data.
        unsafe { PerCpu::zeroed(memory, KIND) }.map(Self)
    }

    /// Stacks in this memory: empty, or what other processes have made of them.
    ///
    /// # Errors
    ///
    /// As for [`PerCpu::new_in`].
    pub fn new_in(memory: Memory<'_>) -> Result<Self, Error>
    where
        T: Plain,
    {
        Self::mapped(&memory)
    }

    /// Puts an item onto the stack of the current CPU.
    ///
    /// # Errors
    ///
    /// Gives it back if the stack is full.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), T> {
        match self.0.here(whole, Push(&item)) {
            true => Ok(()),
            false => Err(item),
        }
    }

    /// Takes the last item off the stack of the current CPU.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        let mut item = MaybeUninit::uninit();
        self.0
            .here(whole, Pop::new(&mut item))
            // SAFETY: it was copied there.
            .then(|| unsafe { item.assume_init() })
    }

    /// Puts an item onto the stack of `cpu`.
    ///
    /// # Errors
    ///
    /// Gives it back if the stack is full, or if this thread may not do that.
    pub fn push_on(&self, cpu: Cpu, item: T) -> Result<(), PushError<T>> {
        match self.0.on(cpu, whole, Push(&item)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(PushError::Full(item)),
            Err(error) => Err(PushError::Failed(error, item)),
        }
    }

    /// Takes the last item off the stack of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn pop_on(&self, cpu: Cpu) -> Result<Option<T>, Error> {
        let mut item = MaybeUninit::uninit();
        let popped = self.0.on(cpu, whole, Pop::new(&mut item))?;
        // SAFETY: it was copied there.
        Ok(popped.then(|| unsafe { item.assume_init() }))
    }

    /// How many items the stack of `cpu` has just now.
    pub fn len_on(&self, cpu: Cpu) -> usize {
        self.0.get_on(cpu).len.load(Relaxed)
    }
}

impl<T: Copy + Send + 'static, const N: usize> Default for CopyStack<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> fmt::Debug for CopyStack<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyStack").finish_non_exhaustive()
    }
}

impl<T, const N: usize> Items<T, N> {
    /// The room for item `index`, if there is.
    #[inline(always)]
    fn item(&self, index: usize) -> Option<*mut u8> {
        // In bounds, as it is below `N`.
        let first = self.items.get().cast::<T>();
        (index < N).then(|| first.wrapping_add(index).cast())
    }
}

/// `if len < N { items[len] = item; len += 1 }`; whether there was room
struct Push<'a, T>(&'a T);

impl<T, const N: usize> Operation<Items<T, N>> for Push<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<T, N>) -> Attempt<bool> {
        let len = data.len.load(Relaxed);
        let Some(dst) = data.item(len) else {
            return Ok(false);
        };
        let src = (&raw const *self.0).cast();
        let copy = way::Copy {
            dst,
            src,
            len: size_of::<T>(),
            watched: false,
        };
        // SAFETY: while `len` is this, nobody accesses the item with that index.
        unsafe { way.compare_copy_store::<false>(&data.len, len, copy, len + 1) }?;
        Ok(true)
    }
}

/// `if len > 0 { len -= 1; item = items[len] }`; whether there was one
struct Pop<'a, T> {
    item: *mut u8,
    _item: PhantomData<&'a mut T>,
}

impl<'a, T> Pop<'a, T> {
    #[inline(always)]
    fn new(item: &'a mut MaybeUninit<T>) -> Self {
        Self {
            item: item.as_mut_ptr().cast(),
            _item: PhantomData,
        }
    }
}

impl<T, const N: usize> Operation<Items<T, N>> for Pop<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, data: &Items<T, N>) -> Attempt<bool> {
        let len = data.len.load(Relaxed);
        let Some(src) = len.checked_sub(1).and_then(|index| data.item(index)) else {
            return Ok(false);
        };
        let copy = way::Copy {
            dst: self.item,
            src,
            len: size_of::<T>(),
            watched: false,
        };
        // SAFETY: while `len` is this, nobody writes the item before that index; the copy is ours.
        unsafe { way.compare_copy_store::<false>(&data.len, len, copy, len - 1) }?;
        Ok(true)
    }
}
