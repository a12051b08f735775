// SPDX-License-Identifier: MIT OR Apache-2.0

//! The allocators, and how each is told to give back what it can.

use std::alloc::{GlobalAlloc, System};
use std::ptr::null_mut;

use cpu_opv_alloc::CpuOpvAlloc;
use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

/// All are called by a pointer, as the program's allocator is by a function of the linker's: none is inlined.
pub type Heap = &'static (dyn GlobalAlloc + Sync);

pub struct Allocator {
    pub name: &'static str,
    pub heap: Heap,
    /// Has it give back to the system what is free, as far as there is a function for that.
    pub give_back: fn(),
}

pub static ALLOCATORS: [Allocator; 6] = [
    Allocator {
        name: "glibc",
        heap: &System,
        give_back: trim_glibc,
    },
    Allocator {
        name: "jemalloc",
        heap: &Jemalloc,
        give_back: purge_jemalloc,
    },
    Allocator {
        name: "mimalloc",
        heap: &MiMalloc,
        give_back: collect_mimalloc,
    },
    Allocator {
        name: "ours/glibc",
        heap: &OVER_GLIBC,
        give_back: || {
            OVER_GLIBC.drain();
            trim_glibc();
        },
    },
    Allocator {
        name: "ours/jemalloc",
        heap: &OVER_JEMALLOC,
        give_back: || {
            OVER_JEMALLOC.drain();
            purge_jemalloc();
        },
    },
    Allocator {
        name: "ours/mimalloc",
        heap: &OVER_MIMALLOC,
        give_back: || {
            OVER_MIMALLOC.drain();
            collect_mimalloc();
        },
    },
];

static OVER_GLIBC: CpuOpvAlloc = CpuOpvAlloc::new();
static OVER_JEMALLOC: CpuOpvAlloc<Jemalloc> = CpuOpvAlloc::with_backing(Jemalloc);
static OVER_MIMALLOC: CpuOpvAlloc<MiMalloc> = CpuOpvAlloc::with_backing(MiMalloc);

fn trim_glibc() {
    // SAFETY: takes no memory.
    unsafe { libc::malloc_trim(0) };
}

/// The cache of this thread and all arenas; nobody can reach the caches of other threads.
fn purge_jemalloc() {
    for command in [c"thread.tcache.flush", c"arena.4096.purge"] {
        let none = null_mut();
        // SAFETY: these take nothing and return nothing.
        let result =
            unsafe { tikv_jemalloc_sys::mallctl(command.as_ptr(), none, none.cast(), none, 0) };
        assert_eq!(result, 0, "{command:?}");
    }
}

/// The heap of this thread, and what others that are gone have left.
fn collect_mimalloc() {
    // SAFETY: takes no memory.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
