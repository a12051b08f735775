// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which CPUs a thread runs on: `sched_setaffinity(2)`.

use std::ffi::c_int;
use std::io;

/// The CPUs that the calling thread may run on.
pub fn allowed() -> io::Result<Vec<c_int>> {
    let mut set = empty_set();
    // SAFETY: writes no more than the size it is given.
    match unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } {
        // SAFETY: the set has a bit for each of these numbers.
        0 => Ok((0..libc::CPU_SETSIZE)
            .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu as usize, &set) })
            .collect()),
        _ => Err(error("cannot tell the allowed CPUs")),
    }
}

/// Keeps the calling thread on `cpu`, one of [`allowed`].
pub fn stay_on(cpu: c_int) -> io::Result<()> {
    let mut set = empty_set();
    // SAFETY: `cpu` is in such a set.
    unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    // SAFETY: reads no more than the size it is given.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(error(&format!("cannot stay on CPU {cpu}"))),
    }
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: all zeroes is the empty set.
    unsafe { std::mem::zeroed() }
}

fn error(what: &str) -> io::Error {
    io::Error::other(format!("{what}: {}", io::Error::last_os_error()))
}
