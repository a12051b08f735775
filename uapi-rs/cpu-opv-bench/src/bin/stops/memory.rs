// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that the vector works on, and the vector.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use cpu_opv_sys::*;

const PAGE: usize = 4096;

/// What `x` and `y` are before a call.
pub const BEFORE: u64 = 1000;
/// What an `x` of another page is.
pub const OTHER: u64 = 7000;

/// The values of the operands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Values {
    pub x: u64,
    pub y: u64,
    pub copy: u64,
}

/// None of the vector's stores is done.
pub const NOTHING: Values = Values {
    x: BEFORE,
    y: BEFORE,
    copy: 0,
};
/// All of them are.
pub const ALL: Values = Values {
    x: BEFORE + 1,
    y: BEFORE + 1,
    copy: BEFORE,
};

/// Two pages of a file, of which the first can be put at the address of `x`; or anonymous memory. `y` and `copy` are in
/// a third page, and what `x` is compared with is in a fourth.
pub struct Memory {
    x: *mut u64,
    rest: *mut u64,
    expected: *mut u64,
    /// The file's pages at another address, which stay.
    alias: *mut u64,
    file: i32,
}

// SAFETY: it gives out nothing but addresses, and values that are loaded and stored as atomics.
unsafe impl Sync for Memory {}

fn map(at: *mut u64, pages: usize, flags: i32, file: i32, offset: usize) -> *mut u64 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, or one in place of `Memory`'s, to which there are no references.
    let start = unsafe {
        libc::mmap(
            at.cast(),
            pages * PAGE,
            protection,
            flags,
            file,
            offset as i64,
        )
    };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

/// The value at an address that is mapped.
fn at<'a>(p: *mut u64) -> &'a AtomicU64 {
    // SAFETY: it is mapped, aligned, and accessed by atomics alone.
    unsafe { AtomicU64::from_ptr(p) }
}

impl Memory {
    pub fn new() -> Self {
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: the name is a string.
        let file = unsafe { libc::memfd_create(c"x".as_ptr(), 0) };
        // SAFETY: takes no addresses.
        assert_eq!(unsafe { libc::ftruncate(file, 2 * PAGE as i64) }, 0);
        Self {
            x: map(ptr::null_mut(), 1, anonymous, -1, 0),
            rest: map(ptr::null_mut(), 1, anonymous, -1, 0),
            expected: map(ptr::null_mut(), 1, anonymous, -1, 0),
            alias: map(ptr::null_mut(), 2, libc::MAP_SHARED, file, 0),
            file,
        }
    }

    /// Anonymous memory is at `x` again, and all is as before a call.
    pub fn reset(&self) {
        map(
            self.x,
            1,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        );
        self.fill();
    }

    /// The file's first page is.
    pub fn reset_to_file(&self) {
        self.put_page_of_file(0);
        at(self.alias.wrapping_add(PAGE / 8)).store(OTHER, SeqCst);
        self.fill();
    }

    fn fill(&self) {
        at(self.x).store(BEFORE, SeqCst);
        at(self.rest).store(BEFORE, SeqCst);
        at(self.rest.wrapping_add(1)).store(0, SeqCst);
        at(self.expected).store(BEFORE, SeqCst);
    }

    /// Has this page of the file come to be where `x` is, in one step.
    pub fn put_page_of_file(&self, index: usize) {
        map(
            self.x,
            1,
            libc::MAP_SHARED | libc::MAP_FIXED | libc::MAP_POPULATE,
            self.file,
            index * PAGE,
        );
    }

    pub fn values(&self) -> Values {
        Values {
            x: at(self.x).load(SeqCst),
            ..self.values_but_x()
        }
    }

    /// For when `x` cannot be read.
    pub fn values_but_x(&self) -> Values {
        Values {
            x: 0,
            y: at(self.rest).load(SeqCst),
            copy: at(self.rest.wrapping_add(1)).load(SeqCst),
        }
    }

    /// `x` of the file's pages.
    pub fn of_file(&self, index: usize) -> u64 {
        at(self.alias.wrapping_add(index * PAGE / 8)).load(SeqCst)
    }

    pub fn store_x(&self, value: u64) {
        at(self.x).store(value, SeqCst);
    }

    /// The page that `x` is in.
    pub fn page(&self) -> (*mut libc::c_void, usize) {
        (self.x.cast(), PAGE)
    }

    /// If `x` is as before: copies it to `copy`, and adds `n` to `x` and to `y`.
    pub fn vector(&self, n: i64) -> [cpu_op; 4] {
        let [x, y, copy, expected] =
            [self.x, self.rest, self.rest.wrapping_add(1), self.expected].map(|p| p as u64);
        let op = |op, u| cpu_op { op, len: 8, u };
        let compare_op = cpu_op__compare_op {
            a: x,
            b: expected,
            ..Default::default()
        };
        let memcpy_op = cpu_op__memcpy_op {
            dst: copy,
            src: x,
            ..Default::default()
        };
        let add = |p| {
            let arithmetic_op = cpu_op__arithmetic_op {
                p,
                count: n,
                ..Default::default()
            };
            op(CPU_ADD_OP, cpu_op__u { arithmetic_op })
        };
        [
            op(CPU_COMPARE_EQ_OP, cpu_op__u { compare_op }),
            op(CPU_MEMCPY_OP, cpu_op__u { memcpy_op }),
            add(x),
            add(y),
        ]
    }
}

/// Runs a vector on `cpu`. Returns its result, or the negative errno.
pub fn run(ops: &[cpu_op; 4], cpu: usize) -> i32 {
    // SAFETY: they work on `Memory`, which is accessed by atomics alone.
    match unsafe { cpu_opv(ops.as_ptr(), 4, cpu as i32, 0) } {
        -1 => -std::io::Error::last_os_error().raw_os_error().unwrap_or(0),
        result => result,
    }
}
