// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sequences for riscv64.

use core::arch::asm;

pub(super) use super::by_address::{area, cpu_id};
use super::{At, Status};

/// Offset of this crate's own area from the thread pointer.
pub(super) fn own_offset() -> isize {
    let offset: isize;
    // SAFETY: reads what the linker or the loader has put there.
    unsafe {
        asm!(
            "la.tls.ie {offset}, __cpu_opv_rseq_area",
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
            "mv {pointer}, tp",
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
            sequence!(@ ["fence rw, w", "sd {new2}, 0({v2})", "fence rw, w", "sd {new}, 0({v})"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["sd {new2}, 0({v2})", "sd {new}, 0({v})"], $at, $body, $($operands)*)
        }
    };
    ($release:expr, $at:expr, $body:tt, $($operands:tt)*) => {
        if $release {
            sequence!(@ ["fence rw, w", "sd {new}, 0({v})"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["sd {new}, 0({v})"], $at, $body, $($operands)*)
        }
    };
    (@ [$($commit:literal),*], $at:expr, [$($body:literal),* $(,)?], $($operands:tt)*) => {{
        let status: usize;
        asm!(
            // area.rseq_cs = &descriptor
            "lla {status}, 3f",
            "sd {status}, 8({area})",
            "2:",
            // if area.cpu_id != cpu: abort
            "lw {scratch}, 4({area})",
            "subw {scratch}, {scratch}, {cpu}",
            "bnez {scratch}, 5f",
            // if *stopped: abort
            "lw {scratch}, 0({stopped})",
            "bnez {scratch}, 5f",
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
            ".balign 4",
            ".4byte {signature}",
            "5:",
            "li {status}, 0",
            "j 4b",
            "6:",
            "li {status}, 1",
            "j 4b",
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
        "ld {new}, 0({v})",
        "add {new}, {new}, {n}",
    ],
    compare_store: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "bne {scratch}, {expect}, 6f",
        // commit: *v = new
    ],
    compare2_store: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "bne {scratch}, {expect}, 6f",
        // if *v2 != expect2: differs
        "ld {scratch}, 0({v2})",
        "bne {scratch}, {expect2}, 6f",
        // commit: *v = new
    ],
    compare_store2: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "bne {scratch}, {expect}, 6f",
        // *v2 = new2; commit: *v = new
    ],
    compare_copy_store: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "bne {scratch}, {expect}, 6f",
        // while len > 0: copy a byte (what is not aligned may be slow, or trap)
        "beqz {len}, 9f",
        "7:",
        "lb {scratch}, 0({src})",
        "sb {scratch}, 0({dst})",
        "addi {src}, {src}, 1",
        "addi {dst}, {dst}, 1",
        "addi {len}, {len}, -1",
        "bnez {len}, 7b",
        "9:",
        // commit: *v = new
    ],
    pop: [
        // head = *v; if head == 0: differs
        "ld {head}, 0({v})",
        "beqz {head}, 6f",
        // commit: *v = *head
        "ld {new}, 0({head})",
    ],
}
