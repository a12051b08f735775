// SPDX-License-Identifier: MIT OR Apache-2.0

//! Restartable sequences: the fast path.
//!
//! A thread shares an *area* with the kernel. In it the kernel keeps the number of the CPU that the
//! thread is on, and the thread puts there, before it starts a sequence of instructions, the address
//! of a *descriptor*: where the sequence begins and ends, and where to go on if it is aborted. The kernel
//! aborts a sequence when it preempts or migrates the thread, delivers a signal to it, or is asked to
//! by `cpu_opv(2)` or `membarrier(2)`. So all instructions of a sequence but the last must be
//! without effect on what others rely on; the last one *commits*.
//!
//! # Sequences
//!
//! There is a file for each architecture, with the same six sequences. All begin so:
//!
//! ```text
//! area.rseq_cs = &descriptor
//! if area.cpu_id != cpu: abort            # moved since the CPU was looked up
//! if *stopped: abort                      # see `stopped.rs`
//! ```
//!
//! and go on with
//!
//! | | |
//! |---|---|
//! | `add` | commit `*v += n` |
//! | `compare_store` | if `*v != expect`: differs; commit `*v = new` |
//! | `compare2_store` | if `*v != expect`: differs; if `*v2 != expect2`: differs; commit `*v = new` |
//! | `compare_store2` | if `*v != expect`: differs; `*v2 = new2`; commit `*v = new` |
//! | `compare_copy_store` | if `*v != expect`: differs; copy `len` bytes from `src` to `dst`; commit `*v = new` |
//! | `compare_fill_store` | the same by words: a sequence of its own on x86_64, elsewhere that one |
//! | `pop` | `head = *v`; if `head == 0`: differs; commit `*v = *head` |
//!
//! `abort` and `differs` leave the sequence with that [`Status`]. With `RELEASE` the commit, and the store to `*v2`
//! before it, are stores with release semantics.
//!
//! # Order
//!
//! A sequence on a CPU and whatever changed the same words before on that CPU are ordered by the
//! kernel: it was the same thread, or one was switched to the other there, or it was cpu_opv(2) in an
//! interrupt. That is why the comparisons need no acquire. `stopped.rs` has the argument for the
//! fallback, in which another CPU makes the change.

#[cfg(fast_path)]
mod area;
#[cfg(fast_path)]
pub(crate) use area::{cpu_start, current_cpu, init, offset, register_thread};

#[cfg(all(fast_path, not(target_arch = "x86_64")))]
mod by_address;
#[cfg(all(fast_path, not(target_arch = "x86_64")))]
#[macro_use]
mod sequences;

#[cfg(all(fast_path, target_arch = "x86_64"))]
#[path = "rseq/x86_64.rs"]
mod arch;
#[cfg(all(fast_path, target_arch = "aarch64"))]
#[path = "rseq/aarch64.rs"]
mod arch;
#[cfg(all(fast_path, target_arch = "arm"))]
#[path = "rseq/arm.rs"]
mod arch;
#[cfg(all(fast_path, target_arch = "powerpc64"))]
#[path = "rseq/powerpc64.rs"]
mod arch;
#[cfg(all(fast_path, target_arch = "riscv64"))]
#[path = "rseq/riscv64.rs"]
mod arch;

#[cfg(not(fast_path))]
mod none;
#[cfg(not(fast_path))]
use none as arch;
#[cfg(not(fast_path))]
pub(crate) use none::{cpu_start, current_cpu, in_register, init, offset, register_thread};

use crate::word::Word;

/// What the kernel finds before the instruction to go on with after an abort. That keeps rseq from being
/// a way to have the kernel jump anywhere. It has to be the one that the libc registered with, and is
/// on each architecture an instruction that traps.
#[cfg(fast_path)]
const SIGNATURE: u32 = if cfg!(target_arch = "x86_64") {
    0x5305_3053
} else if cfg!(target_arch = "aarch64") {
    0xd428_bc00
} else if cfg!(target_arch = "arm") {
    0xe7f5_def3
} else if cfg!(target_arch = "powerpc64") {
    0x0fe5_000b
} else {
    0xf140_1073 // riscv64
};

/// Makes the compiler have this address in one register, by which it then finds all that is near. Else it computes
/// each address from the start, and a pop and a push on a stack take a quarter longer.
#[cfg(fast_path)]
#[inline(always)]
#[allow(
    clippy::pointers_in_nomem_asm_block,
    reason = "nothing is read or written there"
)]
pub(crate) fn in_register<T>(address: *mut T) -> *mut T {
    let same;
    // SAFETY: does nothing.
    unsafe {
        core::arch::asm!(
            "/* {same} */",
            same = inout(reg) address => same,
            options(nostack, preserves_flags, pure, nomem),
        );
    }
    same
}

/// Where a sequence is to run.
#[derive(Clone, Copy)]
#[cfg_attr(not(fast_path), expect(dead_code, reason = "there are no sequences"))]
pub(crate) struct At {
    /// The thread's area: what `arch::area` makes of its offset from the thread pointer.
    pub(crate) area: isize,
    /// The CPU that the data belongs to.
    pub(crate) cpu: usize,
    /// The word that stops the sequences on this data.
    pub(crate) stopped: *const u32,
}

/// How a sequence ended.
#[derive(Clone, Copy)]
pub(crate) struct Status(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Aborted,
    Differs,
    Committed,
}

#[cfg_attr(
    not(all(fast_path, target_arch = "x86_64")),
    expect(dead_code, reason = "the others have it in a register")
)]
impl Status {
    const ABORTED: Self = Self(0);
    const DIFFERS: Self = Self(1);
    /// Any but these two: mostly the address of the descriptor, which is at hand.
    const COMMITTED: Self = Self(2);

    #[inline(always)]
    pub(crate) fn end(self) -> End {
        match self.0 {
            0 => End::Aborted,
            1 => End::Differs,
            _ => End::Committed,
        }
    }
}

// What follows only gives the sequences references to words in place of addresses. Their contract is
// that of `At`.

/// `*v += n`
///
/// # Safety
///
/// `at` is of an initialised area, and its `stopped` can be read.
#[inline(always)]
pub(crate) unsafe fn add<const RELEASE: bool>(at: At, v: &Word, n: usize) -> Status {
    // SAFETY: the caller's, and `v` is a reference.
    unsafe { arch::add::<RELEASE>(at, v.as_ptr(), n) }
}

/// `if *v == expect { *v = new }`
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn compare_store<const RELEASE: bool>(
    at: At,
    v: &Word,
    expect: usize,
    new: usize,
) -> Status {
    // SAFETY: the caller's, and `v` is a reference.
    unsafe { arch::compare_store::<RELEASE>(at, v.as_ptr(), expect, new) }
}

/// `if *v == expect && *v2 == expect2 { *v = new }`
///
/// # Safety
///
/// As for [`add`].
#[inline(always)]
pub(crate) unsafe fn compare2_store<const RELEASE: bool>(
    at: At,
    (v, expect): (&Word, usize),
    (v2, expect2): (&Word, usize),
    new: usize,
) -> Status {
    // SAFETY: the caller's, and the words are references.
    unsafe { arch::compare2_store::<RELEASE>(at, v.as_ptr(), expect, v2.as_ptr(), expect2, new) }
}

/// `if *v == expect { *v2 = new2; *v = new }`
///
/// # Safety
///
/// As for [`add`]. An aborted sequence may have written `*v2`.
#[inline(always)]
pub(crate) unsafe fn compare_store2<const RELEASE: bool>(
    at: At,
    (v, expect): (&Word, usize),
    (v2, new2): (&Word, usize),
    new: usize,
) -> Status {
    // SAFETY: the caller's, and the words are references.
    unsafe { arch::compare_store2::<RELEASE>(at, v.as_ptr(), expect, v2.as_ptr(), new2, new) }
}

/// `if *v == expect { copy; *v = new }`
///
/// # Safety
///
/// As for [`add`]. `copy` is where to, from where and how many bytes, all of which must be valid for as
/// long as `*v == expect`. An aborted sequence may have written some of them.
#[inline(always)]
pub(crate) unsafe fn compare_copy_store<const RELEASE: bool>(
    at: At,
    v: &Word,
    expect: usize,
    copy: (*mut u8, *const u8, usize),
    new: usize,
) -> Status {
    // SAFETY: the caller's, and `v` is a reference.
    unsafe { arch::compare_copy_store::<RELEASE>(at, v.as_ptr(), expect, copy, new) }
}

/// `if *v == expect { dst = src; *v = new }`
///
/// # Safety
///
/// As for [`add`]. While `*v == expect`, as many words as `dst` has can be read at `src`. An aborted sequence may have
/// written some of the words.
#[inline(always)]
pub(crate) unsafe fn compare_fill_store<const RELEASE: bool>(
    at: At,
    (v, expect): (&Word, usize),
    (dst, src): (&[Word], *const usize),
    new: usize,
) -> Status {
    // As `Word::as_ptr`, for all of them.
    let (dst, len) = (dst.as_ptr().cast_mut().cast::<usize>(), dst.len());
    // Bytes are copied by 16 there. What was just stored as words takes long to load so.
    #[cfg(all(fast_path, target_arch = "x86_64"))]
    // SAFETY: the caller's, and what is written are references.
    unsafe {
        arch::compare_fill_store::<RELEASE>(at, v.as_ptr(), expect, (dst, src, len), new)
    }
    #[cfg(not(all(fast_path, target_arch = "x86_64")))]
    // SAFETY: the caller's, and what is written are references.
    unsafe {
        let copy = (dst.cast(), src.cast(), len * size_of::<usize>());
        arch::compare_copy_store::<RELEASE>(at, v.as_ptr(), expect, copy, new)
    }
}

/// `head = *v; if head != 0 { *v = *head }`; returns `head` if it was committed.
///
/// # Safety
///
/// As for [`add`]. What `*v` points to can be read for as long as it does.
#[inline(always)]
pub(crate) unsafe fn pop<const RELEASE: bool>(at: At, v: &Word) -> (Status, usize) {
    // SAFETY: the caller's, and `v` is a reference.
    unsafe { arch::pop::<RELEASE>(at, v.as_ptr()) }
}

#[cfg(all(test, not(miri)))]
mod tests {
    /// That a program is static, the build script has to find out by itself.
    #[test]
    fn there_are_sequences_where_the_documentation_says() {
        let rustc_minor: u32 = env!("CPU_OPV_RUSTC_MINOR").parse().unwrap();
        assert_ne!(rustc_minor, 0);
        // Functions in Thumb code have an odd address.
        let this = there_are_sequences_where_the_documentation_says as fn();
        let a32 = (this as usize) % 2 == 0;
        let named = if cfg!(target_endian = "big") {
            false
        } else if cfg!(target_pointer_width = "32") {
            env!("CPU_OPV_TARGET").starts_with("armv7") && a32
        } else {
            cfg!(any(
                target_arch = "x86_64",
                target_arch = "aarch64",
                target_arch = "riscv64"
            )) || cfg!(target_arch = "powerpc64") && rustc_minor >= 95
        };
        let musl = cfg!(any(target_env = "musl", target_env = "ohos"));
        let is_static = cfg!(target_feature = "crt-static");
        let android = cfg!(target_os = "android");
        assert_eq!(cfg!(fast_path), named && !android && (!musl || is_static));
    }
}
