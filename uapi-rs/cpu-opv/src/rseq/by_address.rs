// SPDX-License-Identifier: MIT OR Apache-2.0

//! For the architectures whose sequences take the area by its address, which they all do but x86_64.

use super::arch::thread_pointer;

/// What the sequences take for the area: its address.
#[inline(always)]
pub(super) fn area(offset: isize) -> isize {
    thread_pointer() as isize + offset
}

/// `area.cpu_id`
///
/// # Safety
///
/// `area` is from [`area`].
#[inline(always)]
pub(super) unsafe fn cpu_id(area: isize) -> usize {
    // SAFETY: the caller's. Volatile, as the kernel changes it.
    unsafe { (area as *const u32).add(1).read_volatile() as usize }
}
