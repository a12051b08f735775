// SPDX-License-Identifier: MIT OR Apache-2.0

//! What stands for the sequences where there are none: they all abort.

use super::{At, Status};

pub(crate) fn init() {}

pub(crate) fn current_cpu() -> Option<u32> {
    None
}

pub(crate) fn register_thread() -> bool {
    false
}

#[inline(always)]
pub(crate) fn cpu_start(_: isize) -> (isize, usize) {
    (0, usize::MAX)
}

pub(crate) fn offset() -> isize {
    0
}

#[inline(always)]
pub(crate) fn in_register<T>(address: *mut T) -> *mut T {
    address
}

const ABORTED: Status = Status::ABORTED;

pub(super) unsafe fn add<const RELEASE: bool>(_: At, _: *mut usize, _: usize) -> Status {
    ABORTED
}

pub(super) unsafe fn compare_store<const RELEASE: bool>(
    _: At,
    _: *mut usize,
    _: usize,
    _: usize,
) -> Status {
    ABORTED
}

pub(super) unsafe fn compare2_store<const RELEASE: bool>(
    _: At,
    _: *mut usize,
    _: usize,
    _: *mut usize,
    _: usize,
    _: usize,
) -> Status {
    ABORTED
}

pub(super) unsafe fn compare_store2<const RELEASE: bool>(
    _: At,
    _: *mut usize,
    _: usize,
    _: *mut usize,
    _: usize,
    _: usize,
) -> Status {
    ABORTED
}

pub(super) unsafe fn compare_copy_store<const RELEASE: bool>(
    _: At,
    _: *mut usize,
    _: usize,
    _: (*mut u8, *const u8, usize),
    _: usize,
) -> Status {
    ABORTED
}

pub(super) unsafe fn pop<const RELEASE: bool>(_: At, _: *mut usize) -> (Status, usize) {
    (ABORTED, 0)
}
