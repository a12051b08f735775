// SPDX-License-Identifier: MIT OR Apache-2.0

//! What this kernel has of `cpu_opv(2)`.

use core::ptr::null;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use cpu_opv_sys::{CPU_OP_NR_FLAG, CPU_OP_VEC_LEN_MAX_FLAG, cpu_op_flags, cpu_opv};

use crate::sys::keeping_errno;

/// What the kernel's `cpu_opv(2)` can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// How many operations it knows, at least the six of [`Vector`](crate::vector::Vector).
    pub operations: u32,
    /// How many operations a vector may have, at least 4.
    pub vector_len: u32,
}

/// What the kernel's `cpu_opv(2)` can do; `None` if it does not have the call.
///
/// The kernel is asked once. After that this costs two loads.
pub fn support() -> Option<Support> {
    const UNASKED: u32 = 0;
    const ABSENT: u32 = u32::MAX;
    // Several threads may come to ask; they get the same answer.
    static OPERATIONS: AtomicU32 = AtomicU32::new(UNASKED);
    static VECTOR_LEN: AtomicU32 = AtomicU32::new(UNASKED);

    let cached = |cache: &AtomicU32, flag| match cache.load(Relaxed) {
        UNASKED => {
            let answer = query(flag).unwrap_or(ABSENT);
            cache.store(answer, Relaxed);
            answer
        }
        answer => answer,
    };
    match (
        cached(&OPERATIONS, CPU_OP_NR_FLAG),
        cached(&VECTOR_LEN, CPU_OP_VEC_LEN_MAX_FLAG),
    ) {
        (ABSENT, _) | (_, ABSENT) => None,
        (operations, vector_len) => Some(Support {
            operations,
            vector_len,
        }),
    }
}

/// The answer to a query. Any error means that the call cannot be used: a sandbox may refuse it with
/// another one than `ENOSYS`.
fn query(flag: cpu_op_flags) -> Option<u32> {
    if cfg!(miri) {
        return None;
    }
    // SAFETY: a query touches no memory.
    let answer = keeping_errno(|| unsafe { cpu_opv(null(), 0, 0, flag) }.into()).ok()?;
    u32::try_from(answer).ok().filter(|answer| *answer > 0)
}
