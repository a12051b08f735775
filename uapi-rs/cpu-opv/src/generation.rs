// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which copy of its memory a process is: `fork(2)` makes another one, in which the threads that did not call it are
//! gone, and what they held stays held.
//!
//! A page that the kernel gives to a child as zeroes tells. Unlike `pthread_atfork(3)` that also holds for who makes
//! the system call by itself; and who shares the memory, as the child of `vfork(2)` does, is not taken for a copy.
//! Where there are no such pages, the process ID tells.

use core::ptr;
use core::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// The page's first word: the generation, or 0 in a child that has not asked yet. Null before `init`, and where the
/// kernel (before 4.14, gVisor) has no such pages.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// The latest that was tried with the page, here or by a process that this one is a copy of.
static KNOWN: AtomicU32 = AtomicU32::new(0);

/// What differs between a process and its children: an odd number, of 31 bits.
#[inline]
pub fn current() -> u32 {
    // SAFETY: `init` put it there, and it stays.
    let Some(page) = (unsafe { PAGE.load(Acquire).as_ref() }) else {
        return of_process_id();
    };
    match page.load(Acquire) {
        0 => {
            // Before it is in use: a child that another thread forks then begins with another one.
            let new = KNOWN.fetch_add(2, Relaxed).wrapping_add(2) & (u32::MAX >> 1);
            // Threads that come here at once agree: one stores it.
            page.compare_exchange(0, new, Release, Acquire)
                .map_or_else(|earlier| earlier, |_| new)
        }
        generation => generation,
    }
}

/// The generation of a process without a page, and of the one that makes it, so that it stays the same.
#[cold]
fn of_process_id() -> u32 {
    let id = if cfg!(miri) {
        1
    } else {
        // Not by getpid(3): before glibc 2.25 that remembers what it was.
        // SAFETY: takes nothing.
        unsafe { libc::syscall(libc::SYS_getpid) }
    };
    // There are no more than 2 to the power of 22.
    (id as u32) << 1 | 1
}

/// Makes the page. To be called again is harmless.
pub(crate) fn init() {
    if cfg!(miri) || !PAGE.load(Relaxed).is_null() {
        return;
    }
    const LEN: usize = 1;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, of a page, which is zeroes.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), LEN, protection, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return;
        }
        let word = page.cast::<AtomicU32>();
        let first = of_process_id();
        KNOWN.store(first, Relaxed);
        (*word).store(first, Relaxed);
        let unmarked = libc::madvise(page, LEN, libc::MADV_WIPEONFORK) != 0;
        let nobody = ptr::null_mut();
        if unmarked
            || PAGE
                .compare_exchange(nobody, word, Release, Relaxed)
                .is_err()
        {
            // Another thread was first, or it is of no use.
            libc::munmap(page, LEN);
        }
    }
}
