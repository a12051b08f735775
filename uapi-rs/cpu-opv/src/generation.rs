// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which copy of its memory a process is: `fork(2)` makes another one, in which the threads that did not call it are
//! gone, and what they held stays held.
//!
//! A page that the kernel gives to a child as zeroes tells. Unlike `pthread_atfork(3)` that also holds for who makes
//! the system call by itself; and who shares the memory, as the child of `vfork(2)` does, is not taken for a copy.

use core::ptr;
use core::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// The page's first word: the generation, or 0 in a child that has not asked yet. Null before `init`, and where the
/// kernel (before 4.14) has no such pages.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// The latest that is known here: in a child, that of its parent.
static KNOWN: AtomicU32 = AtomicU32::new(FIRST);
const FIRST: u32 = 1;

/// What differs between a process and its children: 1 and above, 31 bits of it.
#[inline]
pub fn current() -> u32 {
    // SAFETY: `init` put it there, and it stays.
    let Some(page) = (unsafe { PAGE.load(Acquire).as_ref() }) else {
        return FIRST;
    };
    match page.load(Relaxed) {
        0 => {
            // Threads that come here at once agree: one stores it.
            let new = (KNOWN.load(Relaxed) + 1) & (u32::MAX >> 1);
            let generation = page
                .compare_exchange(0, new, Relaxed, Relaxed)
                .map_or_else(|earlier| earlier, |_| new);
            KNOWN.store(generation, Relaxed);
            generation
        }
        generation => generation,
    }
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
        (*word).store(FIRST, Relaxed);
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
