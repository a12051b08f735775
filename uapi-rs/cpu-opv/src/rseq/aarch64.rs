// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sequences for aarch64.

use core::arch::asm;

pub(super) use super::by_address::{area, cpu_id};
use super::{At, Status};

/// Offset of this crate's own area from the thread pointer.
pub(super) fn own_offset() -> isize {
    let offset: isize;
    // SAFETY: reads what the linker or the loader has put there.
    unsafe {
        asm!(
            "adrp {offset}, :gottprel:__cpu_opv_rseq_area",
            "ldr {offset}, [{offset}, :gottprel_lo12:__cpu_opv_rseq_area]",
            offset = out(reg) offset,
            options(nostack, preserves_flags, pure, readonly),
        );
    }
    offset
}

/// The thread pointer.
#[inline(always)]
pub(super) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: reads a register.
    unsafe {
        asm!(
            "mrs {pointer}, tpidr_el0",
            pointer = out(reg) pointer,
            options(nostack, preserves_flags, pure, nomem),
        );
    }
    pointer
}

/// A sequence: the checks that start each, then `$body`, then the commit.
///
/// In the body, label 5 is where to go to abort, and 6 where a comparison failed. `{status}` and `{scratch}` are
/// registers to use; what is in `{status}` at the end is to be neither 0 nor 1. The macro adds the commit, which
/// stores `{new}` to `*{v}`.
macro_rules! sequence {
    // Before the commit another store, which is plain or releases as the commit does.
    ($release:expr, $at:expr, $body:tt store2, $($operands:tt)*) => {
        if $release {
            sequence!(@ ["stlr {new2}, [{v2}]", "stlr {new}, [{v}]"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["str {new2}, [{v2}]", "str {new}, [{v}]"], $at, $body, $($operands)*)
        }
    };
    ($release:expr, $at:expr, $body:tt, $($operands:tt)*) => {
        if $release {
            sequence!(@ ["stlr {new}, [{v}]"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["str {new}, [{v}]"], $at, $body, $($operands)*)
        }
    };
    (@ [$($commit:literal),*], $at:expr, [$($body:literal),* $(,)?], $($operands:tt)*) => {{
        let status: usize;
        asm!(
            // area.rseq_cs = &descriptor
            "adrp {status}, 3f",
            "add {status}, {status}, :lo12:3f",
            "str {status}, [{area}, #8]",
            "2:",
            // if area.cpu_id != cpu: abort
            "ldr {scratch:w}, [{area}, #4]",
            "cmp {scratch:w}, {cpu:w}",
            "b.ne 5f",
            // if *stopped: abort
            "ldr {scratch:w}, [{stopped}]",
            "cbnz {scratch:w}, 5f",
            $($body,)*
            $($commit,)*
            "4:",
            // struct rseq_cs: version and flags, start_ip, post_commit_offset, abort_ip
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "3:",
            ".long 0, 0",
            ".quad 2b, 4b - 2b, 5f",
            ".popsection",
            // At the end of this function's code, within reach of the branches.
            ".subsection 1",
            ".inst {signature}",
            "5:",
            "mov {status}, #0",
            "b 4b",
            "6:",
            "mov {status}, #1",
            "b 4b",
            ".subsection 0",
            status = out(reg) status,
            scratch = out(reg) _,
            area = in(reg) $at.area,
            cpu = in(reg) $at.cpu,
            stopped = in(reg) $at.stopped,
            signature = const super::SIGNATURE,
            $($operands)*
            options(nostack),
        );
        Status(status)
    }};
}

sequences! {
    reg,
    add: [
        // commit: *v += n
        "ldr {new}, [{v}]",
        "add {new}, {new}, {n}",
    ],
    compare_store: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "b.ne 6f",
        // commit: *v = new
    ],
    compare2_store: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "b.ne 6f",
        // if *v2 != expect2: differs
        "ldr {scratch}, [{v2}]",
        "cmp {scratch}, {expect2}",
        "b.ne 6f",
        // commit: *v = new
    ],
    compare_store2: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "b.ne 6f",
        // *v2 = new2; commit: *v = new
    ],
    compare_copy_store: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "b.ne 6f",
        // while len >= 8: copy a word
        "subs {len}, {len}, #8",
        "b.lo 8f",
        "7:",
        "ldr {scratch}, [{src}], #8",
        "str {scratch}, [{dst}], #8",
        "subs {len}, {len}, #8",
        "b.hs 7b",
        "8:",
        // while len > 0: copy a byte
        "adds {len}, {len}, #8",
        "b.eq 9f",
        "7:",
        "ldrb {scratch:w}, [{src}], #1",
        "strb {scratch:w}, [{dst}], #1",
        "subs {len}, {len}, #1",
        "b.ne 7b",
        "9:",
        // commit: *v = new
    ],
    pop: [
        // head = *v; if head == 0: differs
        "ldr {head}, [{v}]",
        "cbz {head}, 6f",
        // commit: *v = *head
        "ldr {new}, [{head}]",
    ],
}
