// SPDX-License-Identifier: MIT OR Apache-2.0

//! To keep signals away: a handler that came to wait for the lock that its own thread holds would wait for ever.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr;

/// Keeps signals from being handled by this thread, until it is dropped.
pub(crate) struct BlockedSignals {
    before: libc::sigset_t,
    // To be undone by the same thread.
    _not_send: PhantomData<*const ()>,
}

impl BlockedSignals {
    pub(crate) fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both are sets, the first of which is initialised before use, the second then.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            before.assume_init()
        };
        Self {
            before,
            _not_send: PhantomData,
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` is what `new` found.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}
