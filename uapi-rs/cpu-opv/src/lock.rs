// SPDX-License-Identifier: MIT OR Apache-2.0

//! A spinlock for each CPU.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::UnwindSafe;
use core::sync::atomic::{
    Ordering::{Acquire, Relaxed, Release},
    fence,
};
use std::thread;
use std::time::Duration;

use crate::cpu::Cpu;
use crate::error::Error;
use crate::memory::Memory;
use crate::per_cpu::{PerCpu, Zeroed, whole};
use crate::slots::Slots;
use crate::sys;
use crate::vector::Plain;
use crate::way::{Attempt, Operation, Way};
use crate::word::Word;

const FREE: usize = 0;
const HELD: usize = 1;

/// How often to look again before the holder, who is not on this CPU now, is given time, and how often it is given
/// that before this thread sleeps: the holder may be of a lower priority, to which nobody yields.
const SPINS: u32 = 20;
const YIELDS: u32 = 20;
/// How long it sleeps then: the first time, and at most.
const SLEEP: Duration = Duration::from_micros(20);
const LONGEST_SLEEP: Duration = Duration::from_millis(1);

/// A `T` for each CPU, each under a lock of its own.
///
/// A thread locks the `T` of the CPU that it is on, which takes no atomic instruction. It may then be moved to
/// another CPU, and still holds that lock. This is for what takes more than one operation; where one of
/// the other structures will do, it does better, since a thread that is preempted while it holds a
/// lock keeps the other threads of that CPU waiting.
///
/// ```
/// use cpu_opv::{Cpu, PerCpuLock};
///
/// let recent = PerCpuLock::new(|_cpu| Vec::new());
/// recent.lock().push("event");
///
/// // All of them, from one thread:
/// for cpu in Cpu::all() {
///     if let Ok(mut events) = recent.lock_on(cpu) {
///         events.clear();
///     }
/// }
/// ```
///
/// # Order
///
/// As of a mutex: what was done under a lock happens before what is done under the same lock next.
///
/// # Progress
///
/// Who waits spins a little, then yields, then sleeps for up to a millisecond at a time: for ever, if it holds that
/// lock itself, or if the guard was leaked. It must not be locked by a signal handler that may interrupt a thread that
/// holds it; to [try](Self::try_lock) is fine. It is not poisoned: what
/// a thread that panicked under the lock had changed stays so. That is why it is not
/// [`RefUnwindSafe`](core::panic::RefUnwindSafe).
pub struct PerCpuLock<T>(PerCpu<Locked<T>>);

#[repr(C)]
struct Locked<T> {
    word: Word,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is accessed by one thread at a time, which holds the lock.
unsafe impl<T: Send> Sync for Locked<T> {}
// SAFETY: all zeroes is a lock that is free and a value that is; there are no pointers.
unsafe impl<T: Plain> Zeroed for Locked<T> {}

// Who catches a panic and has it still has all of it to itself. As for `RefCell`, there is no more than that.
impl<T: UnwindSafe> UnwindSafe for PerCpuLock<T> {}

impl<T: Send> PerCpuLock<T> {
    /// Locks on values made by `init`.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new(init: impl FnMut(Cpu) -> T) -> Self {
        Self::try_new(init).expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new(mut init: impl FnMut(Cpu) -> T) -> Result<Self, Error> {
        let locked = |cpu| Locked {
            word: Word::new(FREE),
            value: UnsafeCell::new(init(cpu)),
        };
        PerCpu::try_new(locked).map(Self)
    }

    /// Locks on zeroes in this memory, or on what other processes have made of them.
    ///
    /// # Errors
    ///
    /// As for [`PerCpu::new_in`].
    pub fn new_in(memory: Memory<'_>) -> Result<Self, Error>
    where
        T: Plain,
    {
        const KIND: u32 = 2;
        // SAFETY: it is `Zeroed`.
        unsafe { PerCpu::zeroed(&memory, KIND) }.map(Self)
    }

    /// Locks the `T` of the current CPU. Waits for it.
    #[inline]
    pub fn lock(&self) -> PerCpuLockGuard<'_, T> {
        let mut times = 0;
        loop {
            // Each time anew: the thread may be on another CPU by now.
            if let Some(guard) = self.try_lock() {
                return guard;
            }
            wait(&mut times);
        }
    }

    /// Locks the `T` of `cpu`. Waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    pub fn lock_on(&self, cpu: Cpu) -> Result<PerCpuLockGuard<'_, T>, Error> {
        let word = &self.0.get_on(cpu).word;
        let mut times = 0;
        loop {
            if let Some(guard) = self.try_lock_on(cpu)? {
                return Ok(guard);
            }
            while word.load(Relaxed) == HELD {
                wait(&mut times);
            }
        }
    }

    /// Locks the `T` of the current CPU, unless it is locked.
    #[inline]
    pub fn try_lock(&self) -> Option<PerCpuLockGuard<'_, T>> {
        let locked = self.0.here(whole, TryLock)?;
        // SAFETY: it is of this `PerCpu`.
        Some(PerCpuLockGuard::new(unsafe { &*locked }))
    }

    /// Locks the `T` of `cpu`, unless it is locked.
    ///
    /// # Errors
    ///
    /// As for [`lock_on`](Self::lock_on).
    pub fn try_lock_on(&self, cpu: Cpu) -> Result<Option<PerCpuLockGuard<'_, T>>, Error> {
        let locked = self.0.on(cpu, whole, TryLock)?;
        // SAFETY: it is of this `PerCpu`.
        Ok(locked.map(|locked| PerCpuLockGuard::new(unsafe { &*locked })))
    }
}

fn wait(times: &mut u32) {
    match times.checked_sub(SPINS) {
        None => core::hint::spin_loop(),
        Some(0..YIELDS) => thread::yield_now(),
        Some(over) => sys::sleep((SLEEP * (over - YIELDS + 1)).min(LONGEST_SLEEP)),
    }
    *times = times.saturating_add(1).min(1000);
}

impl<T> fmt::Debug for PerCpuLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |(cpu, locked): (Cpu, &Locked<T>)| (cpu, locked.word.load(Relaxed) == HELD);
        f.debug_map().entries(self.0.iter().map(held)).finish()
    }
}

/// if free: held
struct TryLock;

impl<T> Operation<Locked<T>> for TryLock {
    type Output = Option<*const Locked<T>>;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, locked: &Locked<T>) -> Attempt<Self::Output> {
        if locked.word.load(Relaxed) != FREE {
            return Ok(None);
        }
        way.compare_store::<false>(&locked.word, FREE, HELD)?;
        Ok(Some(locked))
    }
}

/// A `T` that is locked until this is dropped.
///
/// As with that of [`std::sync::Mutex`], it cannot be sent to another thread, nor be held by a task that may go on
/// on one: who waited for the lock there would be waiting for itself.
pub struct PerCpuLockGuard<'a, T> {
    locked: &'a Locked<T>,
    _not_send: PhantomData<*const ()>,
}

// SAFETY: it gives out `&T`.
unsafe impl<T: Sync> Sync for PerCpuLockGuard<'_, T> {}

impl<'a, T> PerCpuLockGuard<'a, T> {
    #[inline]
    fn new(locked: &'a Locked<T>) -> Self {
        // Pairs with the release in `drop`, which may have been done on another CPU: the sequence or vector
        // has seen what that stored.
        fence(Acquire);
        Self {
            locked,
            _not_send: PhantomData,
        }
    }
}

impl<T> Drop for PerCpuLockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // A plain store, from whichever CPU: nobody else changes the word of a lock that is held.
        self.locked.word.store(FREE, Release);
    }
}

impl<T> Deref for PerCpuLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock.
        unsafe { &*self.locked.value.get() }
    }
}

impl<T> DerefMut for PerCpuLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread holds the lock.
        unsafe { &mut *self.locked.value.get() }
    }
}

impl<T: fmt::Debug> fmt::Debug for PerCpuLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
