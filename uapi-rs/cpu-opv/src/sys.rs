// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls that leave `errno` as it was, so that signal handlers may make them. None is a cancellation point, see
//! `pthreads(7)`: a cancelled thread would unwind through Rust's frames, or leave what it was doing half done.

use core::ffi::{CStr, c_int, c_long};
use core::ptr;
use core::sync::atomic::AtomicU32;
use std::time::Duration;

/// What `errno` was after a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

fn errno() -> *mut c_int {
    // SAFETY: takes nothing; returns the address of this thread's variable.
    unsafe {
        #[cfg(target_os = "android")]
        return libc::__errno();
        #[cfg(not(target_os = "android"))]
        return libc::__errno_location();
    }
}

/// Makes `call`, which returns -1 and sets `errno` when it fails.
pub(crate) fn keeping_errno(call: impl FnOnce() -> c_long) -> Result<c_long, Errno> {
    let variable = errno();
    // SAFETY: `errno` is this thread's.
    let before = unsafe { variable.read() };
    let result = match call() {
        // SAFETY: as above.
        -1 => Err(Errno(unsafe { variable.read() })),
        other => Ok(other),
    };
    // SAFETY: as above.
    unsafe { variable.write(before) };
    result
}

/// `membarrier(2)`.
pub(crate) fn membarrier(command: c_int, flags: c_int, cpu: c_int) -> Result<c_long, Errno> {
    // SAFETY: takes no memory.
    keeping_errno(|| unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) })
}

/// Sleeps while the word is `value`, until it is woken, a signal arrives, or the time is up: the caller looks again.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, timeout: Option<Duration>) {
    // What the kernel takes here is of the size of its words, whatever the libc's type is.
    let timeout = timeout.map(|timeout| {
        let seconds = c_long::try_from(timeout.as_secs()).unwrap_or(c_long::MAX);
        [seconds, timeout.subsec_nanos() as c_long]
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), |timeout| {
        timeout.as_ptr().cast::<libc::timespec>()
    });
    // SAFETY: the word and the time outlive the call.
    let _ = keeping_errno(|| unsafe {
        let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, timeout)
    });
}

/// Sleeps for so long, or until a signal arrives.
pub(crate) fn sleep(time: Duration) {
    futex_wait(&AtomicU32::new(0), 0, Some(time));
}

/// Wakes up to `threads` that wait so.
pub(crate) fn futex_wake(word: &AtomicU32, threads: u32) {
    // SAFETY: takes no memory but the address of the word.
    let _ = keeping_errno(|| unsafe {
        let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, threads)
    });
}

/// Nanoseconds by `CLOCK_MONOTONIC`.
#[inline]
pub(crate) fn monotonic_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: there is room for it. That clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Gives each byte of a file to `each`, which may return `None` to give up; `None` then, or if it cannot be read.
///
/// Not by `open(3)` and so on: these are cancellation points, and whoever allocates or frees may come here.
#[cfg(not(miri))]
pub(crate) fn for_each_byte(path: &CStr, mut each: impl FnMut(u8) -> Option<()>) -> Option<()> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a string.
    let file = keeping_errno(|| unsafe {
        libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags)
    });
    let file = file.ok()? as c_int;
    let result = 'read: loop {
        let mut bytes = [0_u8; 64];
        // SAFETY: there is room for as many.
        let len = keeping_errno(|| unsafe {
            libc::syscall(libc::SYS_read, file, bytes.as_mut_ptr(), bytes.len())
        });
        match len.map(|len| bytes.get(..len as usize)) {
            Ok(Some([])) => break Some(()),
            Ok(Some(bytes)) => {
                for byte in bytes {
                    if each(*byte).is_none() {
                        break 'read None;
                    }
                }
            }
            _ => break None,
        }
    };
    // SAFETY: it was opened here.
    let _ = keeping_errno(|| unsafe { libc::syscall(libc::SYS_close, file) });
    result
}

/// The same, as Miri does not make these calls.
#[cfg(miri)]
pub(crate) fn for_each_byte(path: &CStr, each: impl FnMut(u8) -> Option<()>) -> Option<()> {
    let bytes = std::fs::read(path.to_str().ok()?).ok()?;
    bytes.into_iter().try_for_each(each)
}
