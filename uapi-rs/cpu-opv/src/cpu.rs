// SPDX-License-Identifier: MIT OR Apache-2.0

//! CPUs, by their number.

use core::ffi::c_int;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::fs;

use crate::rseq;

/// The number of a CPU: of one that this machine has, online or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu(u32);

impl Cpu {
    pub(crate) const FIRST: Self = Self(0);

    /// CPU `number`, if that is not above the highest that this machine can have.
    pub fn new(number: usize) -> Option<Self> {
        u32::try_from(number)
            .ok()
            .filter(|number| *number < count())
            .map(Self)
    }

    /// The CPU that the calling thread is on, which may be another one when this returns.
    pub fn current() -> Self {
        Self(rseq::current_cpu().unwrap_or_else(|| {
            let cpu = match cfg!(miri) {
                // SAFETY: takes nothing.
                false => unsafe { libc::sched_getcpu() },
                true => 0,
            };
            u32::try_from(cpu).expect("each kernel with cpu_opv, rseq or membarrier has getcpu")
        }))
    }

    /// All CPUs that this machine can have, online or not.
    ///
    /// These are the numbers up to the highest: where the machine's numbers have holes, those too, and nothing
    /// ever runs on them.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        (0..count()).map(Self)
    }

    /// Its number.
    #[inline]
    pub fn number(self) -> usize {
        self.0 as usize
    }

    #[inline(always)]
    pub(crate) fn as_u32(self) -> u32 {
        self.0
    }

    pub(crate) fn as_c_int(self) -> c_int {
        self.0 as c_int
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One more than the highest number of a possible CPU.
pub(crate) fn count() -> u32 {
    // Several threads may come to find it out; they find the same.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    match COUNT.load(Relaxed) {
        0 => {
            let count = listed().unwrap_or_else(bound);
            COUNT.store(count, Relaxed);
            count
        }
        count => count,
    }
}

/// By the kernel's list of possible CPUs, of which `0-3,8-11` is an example.
fn listed() -> Option<u32> {
    let list = fs::read_to_string("/sys/devices/system/cpu/possible").ok()?;
    let last = list.trim_end().rsplit([',', '-']).next()?;
    last.parse::<u32>().ok()?.checked_add(1)
}

/// Where sysfs is not mounted: the kernel's CPU masks have room for them all.
fn bound() -> u32 {
    let mut mask = [0_u64; 1024];
    // SAFETY: `mask` is of the size that is given.
    let bytes = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(&mask),
            mask.as_mut_ptr(),
        )
    };
    u32::try_from(bytes).map_or(mask.len() as u32 * 64, |bytes| bytes * 8)
}
