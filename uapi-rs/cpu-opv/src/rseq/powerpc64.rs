// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sequences for 64-bit PowerPC, little-endian.

use core::arch::asm;

pub(super) use super::by_address::{area, cpu_id};
use super::{At, Status};

/// Offset of this crate's own area from the thread pointer.
pub(super) fn own_offset() -> isize {
    // SAFETY: the assembly below defines it, and nothing writes it.
    unsafe { __cpu_opv_rseq_own_offset }
}

// What the linker or the loader finds it to be. In the table of contents it would be by way of register 2, which code
// for Power10 leaves as it is after a call of another library.
core::arch::global_asm!(
    ".pushsection .data.rel.ro.__cpu_opv_rseq_own_offset, \"aw\", %progbits",
    ".weak __cpu_opv_rseq_own_offset",
    ".hidden __cpu_opv_rseq_own_offset",
    ".balign 8",
    "__cpu_opv_rseq_own_offset:",
    ".quad __cpu_opv_rseq_area@tprel",
    ".popsection",
);

unsafe extern "C" {
    static __cpu_opv_rseq_own_offset: isize;
}

/// The thread pointer.
#[inline(always)]
pub(super) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: reads a register.
    unsafe {
        asm!(
            "mr {pointer}, 13",
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
            sequence!(@ ["lwsync", "std {new2}, 0({v2})", "lwsync", "std {new}, 0({v})"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["std {new2}, 0({v2})", "std {new}, 0({v})"], $at, $body, $($operands)*)
        }
    };
    ($release:expr, $at:expr, $body:tt, $($operands:tt)*) => {
        if $release {
            sequence!(@ ["lwsync", "std {new}, 0({v})"], $at, $body, $($operands)*)
        } else {
            sequence!(@ ["std {new}, 0({v})"], $at, $body, $($operands)*)
        }
    };
    (@ [$($commit:literal),*], $at:expr, [$($body:literal),* $(,)?], $($operands:tt)*) => {{
        let status: usize;
        asm!(
            // area.rseq_cs = &descriptor
            "bcl 20, 31, 7f",
            "7:",
            "mflr {status}",
            "addis {status}, {status}, (3f - 7b)@ha",
            "addi {status}, {status}, (3f - 7b)@l",
            "std {status}, 8({area})",
            "2:",
            // if area.cpu_id != cpu: abort
            "lwz {scratch}, 4({area})",
            "cmpw 7, {scratch}, {cpu}",
            "bne- 7, 5f",
            // if *stopped: abort
            "lwz {scratch}, 0({stopped})",
            "cmpwi 7, {scratch}, 0",
            "bne- 7, 5f",
            $($body,)*
            $($commit,)*
            "8:",
            // struct rseq_cs: version and flags, start_ip, post_commit_offset, abort_ip
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "3:",
            ".long 0, 0",
            ".quad 2b, 8b - 2b, 5f",
            ".popsection",
            // Here, as the end of a long function is out of the reach of these branches, which is 32 KiB.
            "b 4f",
            ".long {signature}",
            "5:",
            "li {status}, 0",
            "b 4f",
            "6:",
            "li {status}, 1",
            "4:",
            status = out(reg_nonzero) status,
            scratch = out(reg_nonzero) _,
            area = in(reg_nonzero) $at.area,
            cpu = in(reg) $at.cpu,
            stopped = in(reg_nonzero) $at.stopped,
            signature = const super::SIGNATURE,
            $($operands)*
            out("cr7") _,
            out("lr") _,
            options(nostack),
        );
        Status(status)
    }};
}

sequences! {
    reg_nonzero,
    add: [
        // commit: *v += n
        "ld {new}, 0({v})",
        "add {new}, {new}, {n}",
    ],
    compare_store: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "cmpd 7, {scratch}, {expect}",
        "bne- 7, 6f",
        // commit: *v = new
    ],
    compare2_store: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "cmpd 7, {scratch}, {expect}",
        "bne- 7, 6f",
        // if *v2 != expect2: differs
        "ld {scratch}, 0({v2})",
        "cmpd 7, {scratch}, {expect2}",
        "bne- 7, 6f",
        // commit: *v = new
    ],
    compare_store2: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "cmpd 7, {scratch}, {expect}",
        "bne- 7, 6f",
        // *v2 = new2; commit: *v = new
    ],
    compare_copy_store: [
        // if *v != expect: differs
        "ld {scratch}, 0({v})",
        "cmpd 7, {scratch}, {expect}",
        "bne- 7, 6f",
        // while len >= 8: copy a word
        "addi {len}, {len}, -8",
        "cmpdi 7, {len}, 0",
        "blt 7, 8f",
        "7:",
        "ld {scratch}, 0({src})",
        "std {scratch}, 0({dst})",
        "addi {src}, {src}, 8",
        "addi {dst}, {dst}, 8",
        "addi {len}, {len}, -8",
        "cmpdi 7, {len}, 0",
        "bge 7, 7b",
        "8:",
        // while len > 0: copy a byte
        "addi {len}, {len}, 8",
        "cmpdi 7, {len}, 0",
        "beq 7, 9f",
        "7:",
        "lbz {scratch}, 0({src})",
        "stb {scratch}, 0({dst})",
        "addi {src}, {src}, 1",
        "addi {dst}, {dst}, 1",
        "addi {len}, {len}, -1",
        "cmpdi 7, {len}, 0",
        "bne 7, 7b",
        "9:",
        // commit: *v = new
    ],
    pop: [
        // head = *v; if head == 0: differs
        "ld {head}, 0({v})",
        "cmpdi 7, {head}, 0",
        "beq- 7, 6f",
        // commit: *v = *head
        "ld {new}, 0({head})",
    ],
}
