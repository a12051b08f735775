// SPDX-License-Identifier: MIT OR Apache-2.0

//! Vectors of operations, and the memory that they work on.

use std::ptr;

use cpu_opv_sys::*;

pub const PAGE: usize = 4096;
/// Where 8 bytes are in two pages.
pub const BEFORE_END: usize = PAGE - 4;

fn op(op: cpu_op_type, len: usize, u: cpu_op__u) -> cpu_op {
    let len = len as u32;
    cpu_op { op, len, u }
}

pub fn compare(a: *mut u8, b: *mut u8, len: usize) -> cpu_op {
    let compare_op = cpu_op__compare_op {
        a: a as u64,
        b: b as u64,
        ..Default::default()
    };
    op(CPU_COMPARE_EQ_OP, len, cpu_op__u { compare_op })
}

pub fn copy(dst: *mut u8, src: *mut u8, len: usize) -> cpu_op {
    let memcpy_op = cpu_op__memcpy_op {
        dst: dst as u64,
        src: src as u64,
        ..Default::default()
    };
    op(CPU_MEMCPY_OP, len, cpu_op__u { memcpy_op })
}

pub fn add(p: *mut u8, expect_fault: bool) -> cpu_op {
    let arithmetic_op = cpu_op__arithmetic_op {
        p: p as u64,
        count: 1,
        expect_fault_p: expect_fault.into(),
        ..Default::default()
    };
    op(CPU_ADD_OP, 8, cpu_op__u { arithmetic_op })
}

/// The largest vector: 4120 bytes, in all 16 pages of `memory`.
pub fn the_most(memory: &Memory) -> [cpu_op; 4] {
    let at = |page: usize, offset: usize| memory.at(page * PAGE + offset);
    [
        copy(at(0, 100), at(2, 200), PAGE),
        copy(at(4, BEFORE_END), at(6, BEFORE_END), 8),
        copy(at(8, BEFORE_END), at(10, BEFORE_END), 8),
        copy(at(12, BEFORE_END), at(14, BEFORE_END), 8),
    ]
}

/// Runs `ops` on `cpu`. Returns 0, or the errno.
#[inline(always)]
pub fn run(ops: &[cpu_op], cpu: usize) -> i32 {
    // SAFETY: they work on `Memory`, to which nobody has a reference.
    match unsafe { cpu_opv(ops.as_ptr(), ops.len() as i32, cpu as i32, 0) } {
        -1 => errno(),
        result => result,
    }
}

pub fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Pages of zeroes, which are there from the beginning. Never unmapped.
#[derive(Clone, Copy)]
pub struct Memory(*mut u8, usize);

// SAFETY: it gives out nothing but addresses.
unsafe impl Sync for Memory {}

impl Memory {
    pub fn new(pages: usize) -> Self {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
        );
        // SAFETY: a new mapping.
        let start = unsafe { libc::mmap(ptr::null_mut(), pages * PAGE, protection, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        Self(start.cast(), pages * PAGE)
    }

    /// The address so far into it.
    pub fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.1);
        self.0.wrapping_add(offset)
    }

    /// Gives the pages back: they are there again when they are touched.
    pub fn forget(&self) {
        // SAFETY: nobody has a reference to it.
        assert_eq!(
            unsafe { libc::madvise(self.0.cast(), self.1, libc::MADV_DONTNEED) },
            0
        );
    }

    /// Makes it inaccessible, for ever.
    pub fn protect(&self) {
        // SAFETY: nobody has a reference to it.
        assert_eq!(
            unsafe { libc::mprotect(self.0.cast(), self.1, libc::PROT_NONE) },
            0
        );
    }
}
