// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sequences for ARMv7, as A32 code.

use core::arch::asm;

pub(super) use super::by_address::{area, cpu_id};
use super::{At, Status};

/// Offset of this crate's own area from the thread pointer.
pub(super) fn own_offset() -> isize {
    let offset: isize;
    // SAFETY: reads what the linker or the loader has put there.
    unsafe {
        asm!(
            "ldr {offset}, 3f",
            "2:",
            "ldr {offset}, [pc, {offset}]",
            "b 4f",
            "3:",
            ".long __cpu_opv_rseq_area(GOTTPOFF) - ((2b + 8) - 3b)",
            "4:",
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
            "mrc p15, 0, {pointer}, c13, c0, 3",
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
            sequence!(@ ["dmb ish", "str {new2}, [{v2}]", "dmb ish", "str {new}, [{v}]"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["str {new2}, [{v2}]", "str {new}, [{v}]"], $at, $body, $($operands)*)
        }
    };
    ($release:expr, $at:expr, $body:tt, $($operands:tt)*) => {
        if $release {
            sequence!(@ ["dmb ish", "str {new}, [{v}]"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["str {new}, [{v}]"], $at, $body, $($operands)*)
        }
    };
    (@ [$($commit:literal),*], $at:expr, [$($body:literal),* $(,)?], $($operands:tt)*) => {{
        let status: usize;
        asm!(
            // area.rseq_cs = &descriptor
            "movw {status}, #:lower16:(3f - (7f + 8))",
            "movt {status}, #:upper16:(3f - (7f + 8))",
            "7:",
            "add {status}, pc, {status}",
            "str {status}, [{area}, #8]",
            "2:",
            // if area.cpu_id != cpu: abort
            "ldr {scratch}, [{area}, #4]",
            "cmp {scratch}, {cpu}",
            "bne 5f",
            // if *stopped: abort
            "ldr {scratch}, [{stopped}]",
            "cmp {scratch}, #0",
            "bne 5f",
            $($body,)*
            $($commit,)*
            "4:",
            // struct rseq_cs: version and flags, start_ip, post_commit_offset, abort_ip
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "3:",
            ".long 0, 0",
            ".long 2b, 0, 4b - 2b, 0, 5f, 0",
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
        "bne 6f",
        // commit: *v = new
    ],
    compare2_store: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "bne 6f",
        // if *v2 != expect2: differs
        "ldr {scratch}, [{v2}]",
        "cmp {scratch}, {expect2}",
        "bne 6f",
        // commit: *v = new
    ],
    compare_store2: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "bne 6f",
        // *v2 = new2; commit: *v = new
    ],
    compare_copy_store: [
        // if *v != expect: differs
        "ldr {scratch}, [{v}]",
        "cmp {scratch}, {expect}",
        "bne 6f",
        // while len >= 4: copy a word
        "subs {len}, {len}, #4",
        "blo 8f",
        "7:",
        "ldr {scratch}, [{src}], #4",
        "str {scratch}, [{dst}], #4",
        "subs {len}, {len}, #4",
        "bhs 7b",
        "8:",
        // while len > 0: copy a byte
        "adds {len}, {len}, #4",
        "beq 9f",
        "7:",
        "ldrb {scratch}, [{src}], #1",
        "strb {scratch}, [{dst}], #1",
        "subs {len}, {len}, #1",
        "bne 7b",
        "9:",
        // commit: *v = new
    ],
    pop: [
        // head = *v; if head == 0: differs
        "ldr {head}, [{v}]",
        "cmp {head}, #0",
        "beq 6f",
        // commit: *v = *head
        "ldr {new}, [{head}]",
    ],
}
