// SPDX-License-Identifier: MIT OR Apache-2.0

//! The six sequences as functions, for the architectures that load and store by instructions of their own: all but
//! x86_64. They have the same operands; what an architecture has to say are the instructions.

/// Makes the functions of the bodies, each of which is for the architecture's `sequence!`. `$base` is the class of the
/// registers that can hold an address.
macro_rules! sequences {
    (
        $base:ident,
        add: $add:tt,
        compare_store: $compare_store:tt,
        compare2_store: $compare2_store:tt,
        compare_store2: $compare_store2:tt,
        compare_copy_store: $compare_copy_store:tt,
        pop: $pop:tt $(,)?
    ) => {
        #[inline(always)]
        pub(super) unsafe fn add<const RELEASE: bool>(at: At, v: *mut usize, n: usize) -> Status {
            // SAFETY: the caller's.
            unsafe {
                sequence!(RELEASE, at, $add, v = in($base) v, n = in(reg) n, new = out(reg) _,)
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
                sequence!(RELEASE, at, $compare_store,
                    v = in($base) v, expect = in(reg) expect, new = in(reg) new,)
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
                sequence!(RELEASE, at, $compare2_store,
                    v = in($base) v, expect = in(reg) expect, new = in(reg) new,
                    v2 = in($base) v2, expect2 = in(reg) expect2,)
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
                sequence!(RELEASE, at, $compare_store2 store2,
                    v = in($base) v, expect = in(reg) expect, new = in(reg) new,
                    v2 = in($base) v2, new2 = in(reg) new2,)
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
                sequence!(RELEASE, at, $compare_copy_store,
                    v = in($base) v, expect = in(reg) expect, new = in(reg) new,
                    dst = inout($base) dst => _, src = inout($base) src => _, len = inout($base) len => _,)
            }
        }

        #[inline(always)]
        pub(super) unsafe fn pop<const RELEASE: bool>(at: At, v: *mut usize) -> (Status, usize) {
            let head: usize;
            // SAFETY: the caller's.
            let status = unsafe {
                sequence!(RELEASE, at, $pop, v = in($base) v, head = out($base) head, new = out(reg) _,)
            };
            (status, head)
        }
    };
}
