// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this kernel has of `cpu_opv(2)`.
//!
//! Until a kernel is released with the call, its number is not its own: a later kernel may give it to another one, and
//! a sandbox may end a process that makes a call that it does not know. So no call is made unless the kernel says by
//! the name of its release that it has the series, or the environment says so. And then the kernel has to do what only
//! this call does.

use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ptr::null;
use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use std::env;

use cpu_opv_sys::{
    CPU_OP_NR_FLAG, CPU_OP_VEC_LEN_MAX, CPU_OP_VEC_LEN_MAX_FLAG, NR_CPU_OPS, cpu_op_flags, cpu_opv,
};

use crate::cpu::Cpu;
use crate::sys::{Errno, keeping_errno};
use crate::vector::{Outcome, Vector};
use crate::word::Word;

/// What the kernel's `cpu_opv(2)` can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// How many operations it knows, at least the six of [`Vector`].
    pub operations: u32,
    /// How many operations a vector may have, at least 4.
    pub vector_len: u32,
}

/// What the kernel's `cpu_opv(2)` can do; `None` if it does not have the call, or does not say so.
///
/// It says so by the name of its release (`uname -r`), if that has `cpu_opv` in it; as does the environment, for a
/// kernel of another name, by `CPU_OPV=1`. Else no call is made: the number may be another call's.
///
/// The kernel is asked once. After that this costs two loads.
pub fn support() -> Option<Support> {
    const UNASKED: u32 = 0;
    const ABSENT: u32 = u32::MAX;
    // Several threads may come to ask; they get the same answer.
    static OPERATIONS: AtomicU32 = AtomicU32::new(UNASKED);
    static VECTOR_LEN: AtomicU32 = AtomicU32::new(UNASKED);

    match OPERATIONS.load(Acquire) {
        UNASKED => {
            let support = (is_said() && is_right()).then(ask).flatten();
            VECTOR_LEN.store(support.map_or(ABSENT, |it| it.vector_len), Relaxed);
            OPERATIONS.store(support.map_or(ABSENT, |it| it.operations), Release);
            support
        }
        ABSENT => None,
        operations => Some(Support {
            operations,
            vector_len: VECTOR_LEN.load(Relaxed),
        }),
    }
}

/// Whether the kernel or the environment says that there is the call.
fn is_said() -> bool {
    if cfg!(miri) {
        return false;
    }
    let mut names = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: it is filled in, with strings, if the call succeeds.
    let kernel = unsafe {
        libc::uname(names.as_mut_ptr()) == 0
            && CStr::from_ptr((&raw const (*names.as_ptr()).release).cast())
                .to_bytes()
                .windows(7)
                .any(|part| part == b"cpu_opv")
    };
    kernel || env::var_os("CPU_OPV").is_some_and(|value| value == "1")
}

/// Whether it refuses what it must, and does what nothing else does.
fn is_right() -> bool {
    let invalid = Err(Errno(libc::EINVAL));
    query(CPU_OP_NR_FLAG | CPU_OP_VEC_LEN_MAX_FLAG) == invalid
        && query(1 << 30) == invalid
        && ask().is_some()
        && runs_a_vector()
}

fn ask() -> Option<Support> {
    let at_least = |flag, least| {
        let answer = u32::try_from(query(flag).ok()?).ok()?;
        (answer >= least as u32).then_some(answer)
    };
    Some(Support {
        operations: at_least(CPU_OP_NR_FLAG, NR_CPU_OPS)?,
        vector_len: at_least(CPU_OP_VEC_LEN_MAX_FLAG, CPU_OP_VEC_LEN_MAX)?,
    })
}

fn query(flags: cpu_op_flags) -> Result<core::ffi::c_long, Errno> {
    // SAFETY: a query touches no memory, and an error does nothing.
    keeping_errno(|| unsafe { cpu_opv(null(), 0, 0, flags) }.into())
}

/// One that adds, and is stopped by a comparison before it adds again.
fn runs_a_vector() -> bool {
    // The thread may be moved and be forbidden the CPU meanwhile, but not each time.
    (0..3).any(|_| {
        let (word, same) = (Word::new(40), 40_usize);
        let vector = Vector::new()
            .compare_eq(&word, &same)
            .add(&word, 2)
            .compare_eq(&word, &same)
            .add(&word, 2);
        let result = vector.call(Cpu::current());
        result == Ok(Outcome::Stopped(2)) && word.get() == 42
    })
}
