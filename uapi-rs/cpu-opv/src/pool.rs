// SPDX-License-Identifier: MIT OR Apache-2.0

//! A pool of objects that are used again: some for each CPU, and the rest in a depot.
//!
//! That is Bonwick's scheme of magazines and a depot, with one magazine for each CPU, of which half goes to the depot when
//! it is full, and half comes from there when it is empty: so who then goes on in either way has a while to the next time.

use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cpu::Cpu;
use crate::error::Error;
use crate::generation;
use crate::stack::{Batch, Stack};

/// How many objects are kept for a CPU, and how many go to the depot or come from there at once.
const MAGAZINE: usize = 64;
const HALF: usize = MAGAZINE / 2;

type Half<T> = Batch<Box<T>, HALF>;

/// Objects that are costly to make, such as buffers and connections, to be used again.
///
/// Up to 64 are kept for each CPU, where one is taken and given back without a lock. From a CPU that has more, the
/// surplus goes to a depot, half of them at once, and comes to CPUs that have none. The depot keeps as many as all CPUs
/// together; what it has no room for is dropped.
///
/// ```
/// use std::sync::LazyLock;
///
/// use cpu_opv::Pool;
///
/// static BUFFERS: LazyLock<Pool<Vec<u8>>> = LazyLock::new(|| Pool::new(|| Vec::with_capacity(4096)));
///
/// let mut buffer = BUFFERS.get(); // an object as somebody left it, or a new one
/// buffer.clear();
/// buffer.extend(b"hello");
/// drop(buffer); // given back
/// ```
///
/// # Order
///
/// What was done to an object before it was given back happens before what is done to it by who gets it next. If a
/// panic gave it back, it is as that left it.
///
/// # Signal handlers
///
/// They must not use it: it allocates and locks.
pub struct Pool<T: Send, F = fn() -> T> {
    magazines: Stack<Box<T>, MAGAZINE>,
    depot: Mutex<Vec<Box<T>>>,
    /// How many the depot keeps.
    limit: usize,
    /// That of the process that made it.
    generation: u32,
    make: F,
}

impl<T: Send, F: Fn() -> T> Pool<T, F> {
    /// A pool without objects yet; `make` makes one when there is none.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new(make: F) -> Self {
        Self::try_new(make).expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new(make: F) -> Result<Self, Error> {
        Ok(Self {
            magazines: Stack::try_new()?,
            depot: Mutex::new(Vec::new()),
            limit: MAGAZINE * Cpu::all().len(),
            generation: generation::current(),
            make,
        })
    }

    /// An object that was given back, as it was then, or else a new one.
    #[inline]
    pub fn get(&self) -> Pooled<'_, T, F> {
        let object = self.magazines.pop().unwrap_or_else(|| self.refill());
        Pooled {
            pool: self,
            object: ManuallyDrop::new(object),
        }
    }

    #[cold]
    #[inline(never)]
    fn refill(&self) -> Box<T> {
        let mut half = Half::new();
        if let Some(mut depot) = self.depot() {
            let rest = depot.len().saturating_sub(HALF);
            for object in depot.drain(rest..) {
                let _ = half.push(object);
            }
        }
        let object = half.next().unwrap_or_else(|| Box::new((self.make)()));
        self.magazines.push_all(&mut half);
        // Others have filled it meanwhile, on this CPU.
        self.store(half);
        object
    }
}

impl<T: Send, F> Pool<T, F> {
    #[inline]
    fn give_back(&self, object: Box<T>) {
        if let Err(object) = self.magazines.push(object) {
            self.flush(object);
        }
    }

    #[cold]
    #[inline(never)]
    fn flush(&self, object: Box<T>) {
        let mut surplus = Half::new();
        self.magazines.take(&mut surplus, HALF - 1);
        let _ = surplus.push(object);
        self.store(surplus);
    }

    /// Puts them in the depot. What it has no room for is dropped, when it is not locked any more.
    fn store(&self, mut objects: Half<T>) {
        if objects.is_empty() {
            return;
        }
        if let Some(mut depot) = self.depot() {
            let room = self.limit.saturating_sub(depot.len());
            depot.extend(objects.by_ref().take(room));
        }
    }

    /// `None` in a child of `fork(2)` if it is locked: maybe for ever, by a thread that the child does not have.
    fn depot(&self) -> Option<MutexGuard<'_, Vec<Box<T>>>> {
        if generation::current() != self.generation {
            return self.depot.try_lock().ok();
        }
        // Nothing panics while it is locked.
        Some(self.depot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Drops the objects that are kept, as when memory is short or the program is idle; returns how many.
    ///
    /// Those of CPUs that this thread is not allowed on stay there.
    pub fn trim(&self) -> usize {
        // They are dropped when it is not locked any more.
        let objects = self.depot().map(|mut depot| core::mem::take(&mut *depot));
        let mut trimmed = objects.as_ref().map_or(0, Vec::len);
        drop(objects);
        for cpu in Cpu::all().filter(|cpu| self.magazines.len_on(*cpu) != 0) {
            let mut objects: Batch<Box<T>, MAGAZINE> = Batch::new();
            let _ = self.magazines.take_on(cpu, &mut objects, MAGAZINE);
            trimmed += objects.len();
        }
        trimmed
    }

    /// How many objects are kept, for all CPUs and in the depot, just now.
    pub fn kept(&self) -> usize {
        let by_cpu = Cpu::all().map(|cpu| self.magazines.len_on(cpu));
        by_cpu.sum::<usize>() + self.depot().map_or(0, |depot| depot.len())
    }
}

impl<T: Send, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// An object of a [`Pool`], which it is given back to when this is dropped.
pub struct Pooled<'a, T: Send, F = fn() -> T> {
    pool: &'a Pool<T, F>,
    object: ManuallyDrop<Box<T>>,
}

impl<T: Send, F> Pooled<'_, T, F> {
    /// The object, which is not given back.
    ///
    /// An associated function, so that it hides no method of `T`.
    pub fn into_inner(this: Self) -> Box<T> {
        let mut this = ManuallyDrop::new(this);
        // SAFETY: `this` is not used again, nor dropped.
        unsafe { ManuallyDrop::take(&mut this.object) }
    }
}

impl<T: Send, F> Deref for Pooled<'_, T, F> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Send, F> DerefMut for Pooled<'_, T, F> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.object
    }
}

impl<T: Send, F> Drop for Pooled<'_, T, F> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it is not used again.
        self.pool
            .give_back(unsafe { ManuallyDrop::take(&mut self.object) });
    }
}

impl<T: Send + fmt::Debug, F> fmt::Debug for Pooled<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "there is no fork")]
    fn a_child_does_not_wait_for_its_parents_threads() {
        let pool = Pool::new(|| 0);
        let locked = pool.depot();
        // SAFETY: the child ends without running anything that was registered for that.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes nothing. It ends the child, if that hangs.
            unsafe { libc::alarm(60) };
            let objects: Vec<_> = (0..3 * MAGAZINE).map(|_| pool.get()).collect();
            drop(objects);
            let kept = pool.kept();
            let right = (1..=MAGAZINE * Cpu::all().len()).contains(&kept) && pool.trim() <= kept;
            // SAFETY: ends this process.
            unsafe { libc::_exit((!right).into()) };
        }
        drop(locked);
        let mut status = 0;
        // SAFETY: the status is written.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "it hung, or lost objects");
    }
}
