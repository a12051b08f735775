// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sequences for x86_64. The area is addressed relative to FS, which is the thread pointer.
//!
//! Stores are not reordered with earlier accesses here, so each form releases.

use core::arch::asm;

use super::{At, Status};

/// Offset of this crate's own area from the thread pointer.
pub(super) fn own_offset() -> isize {
    let offset: isize;
    // SAFETY: reads what the linker or the loader has put into the global offset table.
    unsafe {
        asm!(
            "mov {offset}, qword ptr [rip + __cpu_opv_rseq_area@GOTTPOFF]",
            offset = out(reg) offset,
            options(nostack, preserves_flags, pure, readonly),
        );
    }
    offset
}

/// The thread pointer.
pub(super) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: the ABI has the thread pointer point to itself.
    unsafe {
        asm!(
            "mov {pointer}, qword ptr fs:[0]",
            pointer = out(reg) pointer,
            options(nostack, preserves_flags, pure, readonly),
        );
    }
    pointer
}

/// What the sequences take for the area: its offset.
#[inline(always)]
pub(super) fn area(offset: isize) -> isize {
    offset
}

/// `area.cpu_id`
///
/// # Safety
///
/// `area` is from [`area`].
#[inline(always)]
pub(super) unsafe fn cpu_id(area: isize) -> usize {
    let cpu;
    // SAFETY: the caller's.
    unsafe {
        asm!(
            "mov {cpu:e}, dword ptr fs:[{area} + 4]",
            cpu = out(reg) cpu,
            area = in(reg) area,
            options(nostack, preserves_flags, readonly),
        );
    }
    cpu
}

/// A sequence: the checks that start each, then `$body`, whose last instruction commits, and how it is `$left`.
///
/// In the body, label 5 is where to go to abort, 6 where a comparison failed, and 4 the end. `{status}` is a register
/// to use.
macro_rules! sequence {
    ($at:expr, [$($body:literal),* $(,)?], [$($left:literal),*], $($operands:tt)*) => {
        asm!(
            // area.rseq_cs = &descriptor
            "lea {status}, [rip + 3f]",
            "mov qword ptr fs:[{area} + 8], {status}",
            "2:",
            // if area.cpu_id != cpu: abort
            "cmp dword ptr fs:[{area} + 4], {cpu:e}",
            "jne 5f",
            // if *stopped: abort
            "cmp dword ptr [{stopped}], 0",
            "jne 5f",
            $($body,)*
            "4:",
            // struct rseq_cs: version and flags, start_ip, post_commit_offset, abort_ip
            ".pushsection __rseq_cs, \"aw\"",
            ".balign 32",
            "3:",
            ".long 0, 0",
            ".quad 2b, 4b - 2b, 5f",
            ".popsection",
            ".pushsection __rseq_failure, \"ax\"",
            // ud1 edi, [rip + SIGNATURE]
            ".byte 0x0f, 0xb9, 0x3d",
            ".long {signature}",
            $($left,)*
            ".popsection",
            area = in(reg) $at.area,
            cpu = in(reg) $at.cpu,
            stopped = in(reg) $at.stopped,
            signature = const super::SIGNATURE,
            $($operands)*
            options(nostack),
        )
    };
}

/// A sequence that leaves how it ended in a register.
macro_rules! end_by_sequence {
    ($at:expr, $body:tt, $($operands:tt)*) => {{
        let status: usize;
        sequence!($at, $body,
            ["5:", "xor {status:e}, {status:e}", "jmp 4b", "6:", "mov {status:e}, 1", "jmp 4b"],
            status = out(reg) status,
            $($operands)*
        );
        Status(status)
    }};
}

#[inline(always)]
pub(super) unsafe fn add<const RELEASE: bool>(at: At, v: *mut usize, n: usize) -> Status {
    // SAFETY: the caller's.
    unsafe {
        end_by_sequence!(at, [
            // commit: *v += n
            "add qword ptr [{v}], {n}",
        ], v = in(reg) v, n = in(reg) n,)
    }
}

#[inline(always)]
pub(super) unsafe fn compare_store<const RELEASE: bool>(
    at: At,
    v: *mut usize,
    expect: usize,
    new: usize,
) -> Status {
    // SAFETY: the caller's.
    unsafe {
        end_by_sequence!(at, [
            // if *v != expect: differs
            "cmp qword ptr [{v}], {expect}",
            "jne 6f",
            // commit: *v = new
            "mov qword ptr [{v}], {new}",
        ], v = in(reg) v, expect = in(reg) expect, new = in(reg) new,)
    }
}

#[inline(always)]
pub(super) unsafe fn compare2_store<const RELEASE: bool>(
    at: At,
    v: *mut usize,
    expect: usize,
    v2: *mut usize,
    expect2: usize,
    new: usize,
) -> Status {
    // SAFETY: the caller's.
    unsafe {
        end_by_sequence!(at, [
            // if *v != expect: differs
            "cmp qword ptr [{v}], {expect}",
            "jne 6f",
            // if *v2 != expect2: differs
            "cmp qword ptr [{v2}], {expect2}",
            "jne 6f",
            // commit: *v = new
            "mov qword ptr [{v}], {new}",
        ],
        v = in(reg) v, expect = in(reg) expect, new = in(reg) new,
        v2 = in(reg) v2, expect2 = in(reg) expect2,)
    }
}

#[inline(always)]
pub(super) unsafe fn compare_store2<const RELEASE: bool>(
    at: At,
    v: *mut usize,
    expect: usize,
    v2: *mut usize,
    new2: usize,
    new: usize,
) -> Status {
    // SAFETY: the caller's.
    unsafe {
        end_by_sequence!(at, [
            // if *v != expect: differs
            "cmp qword ptr [{v}], {expect}",
            "jne 6f",
            // *v2 = new2
            "mov qword ptr [{v2}], {new2}",
            // commit: *v = new
            "mov qword ptr [{v}], {new}",
        ],
        v = in(reg) v, expect = in(reg) expect, new = in(reg) new,
        v2 = in(reg) v2, new2 = in(reg) new2,)
    }
}

#[inline(always)]
pub(super) unsafe fn compare_copy_store<const RELEASE: bool>(
    at: At,
    v: *mut usize,
    expect: usize,
    (dst, src, len): (*mut u8, *const u8, usize),
    new: usize,
) -> Status {
    // SAFETY: the caller's.
    unsafe {
        end_by_sequence!(at, [
            // if *v != expect: differs
            "cmp qword ptr [{v}], {expect}",
            "jne 6f",
            // while len >= 16: copy 16 bytes
            "sub {len}, 16",
            "jb 8f",
            "7:",
            "movups {bytes}, xmmword ptr [{src}]",
            "movups xmmword ptr [{dst}], {bytes}",
            "add {src}, 16",
            "add {dst}, 16",
            "sub {len}, 16",
            "jae 7b",
            "8:",
            // if len & 8: copy a word
            "test {len:l}, 8",
            "jz 7f",
            "mov {status}, qword ptr [{src}]",
            "mov qword ptr [{dst}], {status}",
            "add {src}, 8",
            "add {dst}, 8",
            "7:",
            // while len & 7: copy a byte
            "and {len:e}, 7",
            "jz 9f",
            "8:",
            "mov {status:l}, byte ptr [{src}]",
            "mov byte ptr [{dst}], {status:l}",
            "inc {src}",
            "inc {dst}",
            "dec {len:e}",
            "jnz 8b",
            "9:",
            "mov {status:e}, 2",
            // commit: *v = new
            "mov qword ptr [{v}], {new}",
        ],
        v = in(reg) v, expect = in(reg) expect, new = in(reg) new,
        dst = inout(reg) dst => _, src = inout(reg) src => _, len = inout(reg) len => _, bytes = out(xmm_reg) _,)
    }
}

#[inline(always)]
pub(super) unsafe fn compare_fill_store<const RELEASE: bool>(
    at: At,
    v: *mut usize,
    expect: usize,
    (dst, src, len): (*mut usize, *const usize, usize),
    new: usize,
) -> Status {
    // SAFETY: the caller's.
    unsafe {
        end_by_sequence!(at, [
            // if *v != expect: differs
            "cmp qword ptr [{v}], {expect}",
            "jne 6f",
            // while len > 0: copy a word, the last one first
            "test {len}, {len}",
            "jz 8f",
            "7:",
            "mov {status}, qword ptr [{src} + 8 * {len} - 8]",
            "mov qword ptr [{dst} + 8 * {len} - 8], {status}",
            "dec {len}",
            "jnz 7b",
            "8:",
            "mov {status:e}, 2",
            // commit: *v = new
            "mov qword ptr [{v}], {new}",
        ],
        v = in(reg) v, expect = in(reg) expect, new = in(reg) new,
        dst = in(reg) dst, src = in(reg) src, len = inout(reg) len => _,)
    }
}

#[inline(always)]
pub(super) unsafe fn pop<const RELEASE: bool>(at: At, v: *mut usize) -> (Status, usize) {
    // Where there can be no node.
    const ABORTED: usize = 1;
    let head: usize;
    // SAFETY: the caller's.
    unsafe {
        sequence!(at, [
            // head = *v; if head == 0: differs
            "mov {head}, qword ptr [{v}]",
            "test {head}, {head}",
            "jz 4f",
            // commit: *v = *head
            "mov {status}, qword ptr [{head}]",
            "mov qword ptr [{v}], {status}",
        ], ["5:", "mov {head:e}, {aborted}", "jmp 4b"],
        status = out(reg) _, v = in(reg) v, head = out(reg) head, aborted = const ABORTED,);
    }
    let status = match head {
        0 => Status::DIFFERS,
        ABORTED => Status::ABORTED,
        _ => Status::COMMITTED,
    };
    (status, head)
}
