// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which thread it is that traces.

use std::cell::Cell;

/// The calling thread, as `gettid(2)` has it.
///
/// That is called once in a thread, and once more in a child of `fork(2)`, whose only thread has a copy of what its
/// parent's thread knew.
pub(crate) fn current() -> u32 {
    thread_local!(static KNOWN: Cell<(u32, u32)> = const { Cell::new((0, 0)) });
    let generation = cpu_opv::generation();
    let (known_in, thread) = KNOWN.get();
    if known_in == generation {
        return thread;
    }
    // SAFETY: takes nothing, and does not fail.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    KNOWN.set((generation, thread));
    thread
}
