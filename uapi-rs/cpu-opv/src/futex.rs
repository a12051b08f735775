// SPDX-License-Identifier: MIT OR Apache-2.0

//! A lock in one word, which is 0 at rest, for memory that begins as zeroes.
//!
//! Unlike `std::sync::Mutex` it promises to be async-signal-safe.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::sys::keeping_errno;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may sleep until it is free.
const AWAITED: u32 = 2;

/// How often to look before going to sleep. The lock is held for an operation of some instructions
/// and two interrupts to another CPU.
const SPINS: u32 = 100;

#[repr(transparent)]
pub(crate) struct FutexLock(AtomicU32);

impl FutexLock {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(FREE))
    }

    pub(crate) fn lock(&self) {
        for _ in 0..SPINS {
            if self
                .0
                .compare_exchange_weak(FREE, HELD, Acquire, Relaxed)
                .is_ok()
            {
                return;
            }
            core::hint::spin_loop();
        }
        while self.0.swap(AWAITED, Acquire) != FREE {
            self.futex(libc::FUTEX_WAIT, AWAITED);
        }
    }

    pub(crate) fn unlock(&self) {
        if self.0.swap(FREE, Release) == AWAITED {
            self.futex(libc::FUTEX_WAKE, 1);
        }
    }

    fn futex(&self, operation: c_int, value: u32) {
        // SAFETY: the word outlives the call, and there is no timeout. Whatever the result, the caller looks
        // at the word again.
        let _ = keeping_errno(|| unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                operation | libc::FUTEX_PRIVATE_FLAG,
                value,
                ptr::null::<libc::timespec>(),
            )
        });
    }
}
