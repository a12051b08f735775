// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the rivals are made of.

use std::ops::Deref;

use cpu_opv::Cpu;

/// One for each CPU.
pub struct ByCpu<T>(Vec<T>);

/// On cache lines of its own.
#[repr(C, align(128))]
pub struct Padded<T>(pub T);

impl<T> ByCpu<T> {
    pub fn new(each: impl Fn() -> T) -> Self {
        Self(Cpu::all().map(|_| each()).collect())
    }
}

impl<T> Deref for ByCpu<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

#[inline(always)]
pub fn cpu_by_getcpu() -> usize {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() as usize }
}

/// The CPU number in the area that glibc shares with the kernel, as cheap as it can be had.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn cpu_by_rseq() -> usize {
    unsafe extern "C" {
        static __rseq_offset: isize;
    }
    let cpu: u32;
    // SAFETY: glibc has an area there in each thread, and the number at its start.
    unsafe {
        std::arch::asm!(
            "mov {cpu:e}, dword ptr fs:[{offset}]",
            offset = in(reg) __rseq_offset,
            cpu = out(reg) cpu,
            options(nostack, preserves_flags, readonly),
        );
    }
    cpu as usize
}

/// Elsewhere glibc's sched_getcpu(3) is the nearest to it: it looks there too.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub fn cpu_by_rseq() -> usize {
    cpu_by_getcpu()
}

#[cfg(target_arch = "x86_64")]
pub mod c {
    //! `src/rseq.c`

    use super::{ByCpu, Padded};
    use std::cell::UnsafeCell;

    const MAX_ITEMS: usize = 64;

    /// `struct slot`
    #[repr(C, align(128))]
    struct Slot {
        word: usize,
        items: [usize; MAX_ITEMS],
    }

    unsafe extern "C" {
        fn c_increment(counters: *mut Padded<usize>, times: usize);
        fn c_list(slots: *mut Slot, times: usize);
        fn c_stack(slots: *mut Slot, times: usize);
    }

    /// A count for each CPU.
    pub struct Counts(ByCpu<UnsafeCell<Padded<usize>>>);

    /// A list or a stack for each CPU.
    pub struct Slots(ByCpu<UnsafeCell<Slot>>);

    // SAFETY: all threads change it by restartable sequences.
    unsafe impl Sync for Counts {}
    // SAFETY: as above.
    unsafe impl Sync for Slots {}

    impl Default for Counts {
        fn default() -> Self {
            Self(ByCpu::new(|| UnsafeCell::new(Padded(0))))
        }
    }

    impl Counts {
        pub fn increment(&self, times: usize) {
            // SAFETY: there is one for each CPU.
            unsafe { c_increment(UnsafeCell::raw_get(self.0.as_ptr()).cast(), times) }
        }
    }

    impl Slots {
        fn new(word: impl Fn() -> usize) -> Self {
            Self(ByCpu::new(|| {
                UnsafeCell::new(Slot {
                    word: word(),
                    items: [1; MAX_ITEMS],
                })
            }))
        }

        /// A list of so many nodes, which are leaked.
        pub fn of_nodes(count: usize) -> Self {
            let push = |below: usize, _| Box::into_raw(Box::new(below)).expose_provenance();
            Self::new(|| (0..count).fold(0, push))
        }

        /// A stack of so many items.
        pub fn of_items(count: usize) -> Self {
            Self::new(|| count)
        }

        pub fn list(&self, times: usize) {
            // SAFETY: there is one for each CPU, and the nodes stay for ever.
            unsafe { c_list(UnsafeCell::raw_get(self.0.as_ptr()), times) }
        }

        pub fn stack(&self, times: usize) {
            // SAFETY: there is one for each CPU.
            unsafe { c_stack(UnsafeCell::raw_get(self.0.as_ptr()), times) }
        }
    }
}
