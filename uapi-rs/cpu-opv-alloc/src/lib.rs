// SPDX-License-Identifier: MIT OR Apache-2.0

//! A global allocator that keeps free blocks for each CPU, and leaves the rest to another allocator.
//!
//! ```
//! use cpu_opv_alloc::CpuOpvAlloc;
//!
//! #[global_allocator]
//! static ALLOC: CpuOpvAlloc = CpuOpvAlloc::new();
//!
//! fn main() {
//!     let text = String::from("on the heap");
//!     println!("{text}, and {} bytes are free for the next ones", ALLOC.cached());
//! }
//! ```
//!
//! Most allocators of today keep such *caches* for each thread. There are more threads than CPUs, and each hoards:
//! what a thread has freed before it went to sleep is of no use to the others. With a cache for each CPU there is one
//! for as many threads as there are; what a thread has freed, the next one on that CPU uses, and finds it in the CPU's
//! cache still.
//!
//! [`cpu_opv`] makes that as cheap: a block is taken or put there by a restartable sequence, without an atomic
//! instruction, a lock, or thread-local storage.
//!
//! More is in [`docs`]: [patterns](docs::patterns), [limitations](docs::limitations),
//! [performance](docs::performance), and [internals](docs::internals).

mod caches;
mod class;
mod depot;
pub mod docs;
mod trim;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::sync::atomic;
use std::alloc::System;
use std::sync::OnceLock;

use atomic::{AtomicBool, Ordering::Relaxed};
use caches::Caches;
use class::Class;
use cpu_opv::Backend;
pub use cpu_opv::Cpu;

/// An allocator that keeps free blocks of up to 32 KiB for each CPU; the memory comes from `A`.
///
/// ```
/// use cpu_opv_alloc::CpuOpvAlloc;
///
/// #[global_allocator]
/// static ALLOC: CpuOpvAlloc = CpuOpvAlloc::new();
/// # fn main() {}
/// ```
///
/// It is made for a `static`. One that is dropped gives back what its caches hold, of CPUs that the thread is allowed
/// on.
pub struct CpuOpvAlloc<A: GlobalAlloc = System> {
    backing: A,
    caches: OnceLock<Caches>,
    /// Somebody makes the caches, or has tried to.
    begun: AtomicBool,
}

impl CpuOpvAlloc {
    /// On top of the system's allocator, the `malloc(3)` of the libc.
    pub const fn new() -> Self {
        Self::with_backing(System)
    }
}

impl<A: GlobalAlloc> CpuOpvAlloc<A> {
    /// On top of `backing`.
    ///
    /// ```
    /// use cpu_opv_alloc::CpuOpvAlloc;
    /// use std::alloc::System;
    ///
    /// static ALLOC: CpuOpvAlloc<System> = CpuOpvAlloc::with_backing(System);
    /// # assert_eq!(ALLOC.cached(), 0);
    /// ```
    pub const fn with_backing(backing: A) -> Self {
        Self {
            backing,
            caches: OnceLock::new(),
            begun: AtomicBool::new(false),
        }
    }

    /// The allocator that the memory comes from.
    ///
    /// Through this, a block can be had past the caches. It has to go back the same way.
    pub const fn backing(&self) -> &A {
        &self.backing
    }

    /// Gives all that the caches hold back to the backing allocator; returns how many bytes.
    ///
    /// Those of CPUs that are online and that this thread is not allowed on, see `sched_setaffinity(2)`, stay as they
    /// are, as do those of all other CPUs where a sandbox has come to refuse the system calls for that. What other threads
    /// free meanwhile may be kept.
    ///
    /// It takes [some system calls](docs::limitations#idle-cpus) for each CPU and class: this is for a program that is about
    /// to be idle, or short of memory. Whether the backing allocator then gives it back to the system is its own affair;
    /// glibc's does more on `malloc_trim(3)`.
    pub fn drain(&self) -> usize {
        let drained = |caches: &Caches| caches.drain(&self.backing);
        self.caches.get().map_or(0, drained)
    }

    /// Gives back what CPUs hold that were not used since this, or the round that is done by itself each second,
    /// looked at them last, and some of what is on its way between CPUs; returns how many bytes.
    ///
    /// To be called now and then by a program that is idle for long: nothing is done by itself where no thread frees
    /// or allocates.
    pub fn trim(&self) -> usize {
        let trimmed = |caches: &Caches| caches.trim(&self.backing);
        self.caches.get().map_or(0, trimmed)
    }

    /// How many bytes the caches of all CPUs hold just now, and those that are on their way between them, at most.
    pub fn cached(&self) -> usize {
        let of_cpus: usize = Cpu::all().map(|cpu| self.cached_on(cpu)).sum();
        let on_their_way = self.caches.get().map_or(0, Caches::bytes_in_depots);
        of_cpus + on_their_way
    }

    /// How many bytes the caches of `cpu` hold just now.
    pub fn cached_on(&self, cpu: Cpu) -> usize {
        self.caches.get().map_or(0, |caches| caches.bytes_on(cpu))
    }

    #[inline(always)]
    fn caches(&self) -> Option<&Caches> {
        self.caches.get().or_else(|| self.begin())
    }

    /// Makes the caches, if nobody has begun to. What that allocates comes here again, and is told that there are none;
    /// so are other threads until it is done.
    #[cold]
    #[inline(never)]
    fn begin(&self) -> Option<&Caches> {
        if self.begun.load(Relaxed) || self.begun.swap(true, Relaxed) {
            return None;
        }
        // With system calls or locks for each block, they would be slower than what they are to make faster.
        if Backend::get() == Backend::Lock || !cpu_opv::register_thread() {
            return None;
        }
        // Without memory for them it goes on without them.
        self.caches.set(Caches::new().ok()?).ok()?;
        self.caches.get()
    }

    /// A block that this CPU does not have.
    #[cold]
    #[inline(never)]
    fn alloc_of_class(&self, class: Class) -> *mut u8 {
        self.caches
            .get()
            .and_then(|caches| caches.refill(class, &self.backing))
            // SAFETY: no class is of size 0.
            .unwrap_or_else(|| self.backed(move |backing| unsafe { backing.alloc(class.layout()) }))
    }

    /// A block of the backing allocator's.
    #[inline]
    fn backed(&self, ask: impl Fn(&A) -> *mut u8) -> *mut u8 {
        let block = ask(&self.backing);
        if block.is_null() {
            return self.drain_and_ask(ask);
        }
        block
    }

    /// The same, if it has no memory left but what the caches hold. Another thread may have drained them just now: so it is
    /// asked whatever this one finds there.
    #[cold]
    #[inline(never)]
    fn drain_and_ask(&self, ask: impl Fn(&A) -> *mut u8) -> *mut u8 {
        self.drain();
        ask(&self.backing)
    }
}

// SAFETY: A block comes from `backing`, which has handed it out for this layout, or for the one of its class, which is
// at least as large and as aligned. The caches hand out no block that they have not been given by `dealloc`, and each
// once. Nothing here panics.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CpuOpvAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            // SAFETY: the caller's.
            return self.backed(move |backing| unsafe { backing.alloc(layout) });
        };
        match self.caches().and_then(|caches| caches.pop(class)) {
            Some(block) => block,
            None => self.alloc_of_class(class),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = Class::of(layout) else {
            // SAFETY: the caller's; there is no class for it now, so there was none when it was allocated.
            return unsafe { self.backing.dealloc(block, layout) };
        };
        // SAFETY: the caller gives away a block of this class.
        unsafe {
            match self.caches() {
                Some(caches) if caches.push(class, block) => {}
                Some(caches) => caches.spill(class, block, &self.backing),
                None => self.backing.dealloc(block, class.layout()),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's, and a block is as long as was asked for.
        unsafe {
            if Class::of(layout).is_none() {
                return self.backed(move |backing| backing.alloc_zeroed(layout));
            }
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (Class::of(layout), Class::of(new)) {
            (None, None) => self.backed(move |backing| {
                // SAFETY: the caller's; it is a block of the backing allocator's own, and stays one, if this fails too.
                unsafe { backing.realloc(block, layout, new_size) }
            }),
            (from, to) if from == to => block,
            // SAFETY: the caller's; both blocks have as many bytes as are copied.
            _ => unsafe {
                let moved = self.alloc(new);
                if !moved.is_null() {
                    moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                    self.dealloc(block, layout);
                }
                moved
            },
        }
    }
}

impl<A: GlobalAlloc + Default> Default for CpuOpvAlloc<A> {
    fn default() -> Self {
        Self::with_backing(A::default())
    }
}

impl<A: GlobalAlloc> Drop for CpuOpvAlloc<A> {
    fn drop(&mut self) {
        self.drain();
    }
}

impl<A: GlobalAlloc> fmt::Debug for CpuOpvAlloc<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CpuOpvAlloc");
        debug
            .field("cached", &self.cached())
            .finish_non_exhaustive()
    }
}
