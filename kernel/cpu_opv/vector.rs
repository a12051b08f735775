// SPDX-License-Identifier: GPL-2.0

//! A vector of operations, copied in and validated.
//!
//! What a [`Vector`] holds needs no check any more but that of access to its operands. The order of
//! the checks is part of the interface, as the first that fails decides the error.

use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    array_vec::ArrayVec,
    ffi,
    mm::user_page::UserMemory,
    page::{
        PAGE_MASK,
        PAGE_SIZE, //
    },
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
    uapi, //
};

pub(super) const VEC_LEN_MAX: usize = uapi::CPU_OP_VEC_LEN_MAX as usize;
const VEC_DATA_LEN_MAX: usize = uapi::CPU_OP_VEC_DATA_LEN_MAX as usize;
pub(super) const DATA_LEN_MAX: usize = uapi::CPU_OP_DATA_LEN_MAX as usize;

// An operand is in two pages at most.
const _: () = assert!(DATA_LEN_MAX <= PAGE_SIZE);

/// `struct cpu_op` without its union, all members of which have their fields in the same places.
#[derive(Clone, Copy, Default, FromBytes)]
#[repr(C)]
pub(super) struct RawOp {
    pub(super) op: i32,
    pub(super) len: u32,
    /// `a`, `dst` or `p`.
    pub(super) first: u64,
    /// `b`, `src` or `count`.
    pub(super) second: u64,
    pub(super) expect_fault_first: u8,
    pub(super) expect_fault_second: u8,
    pub(super) reserved: [u8; 6],
}

const _: () = {
    assert!(size_of::<RawOp>() == size_of::<uapi::cpu_op>());
    assert!(offset_of!(RawOp, first) == offset_of!(uapi::cpu_op, u));
};

/// A range of user memory that an operation works on.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) addr: usize,
    pub(super) len: usize,
    /// Whether the caller is ready to find it inaccessible.
    pub(super) expect_fault: bool,
}

impl Operand {
    fn new(addr: u64, len: u32, expect_fault: u8) -> Self {
        Self {
            // What does not fit into an address is no better than what is out of range.
            addr: usize::try_from(addr).unwrap_or(usize::MAX),
            len: len as usize,
            expect_fault: expect_fault != 0,
        }
    }

    /// Takes off the tag of the address. Fails with [`EFAULT`] unless the operand lies in the
    /// caller's address space.
    fn untag(&mut self, untag: impl Fn(usize, usize) -> Option<usize>) -> Result {
        self.addr = untag(self.addr, self.len).ok_or(EFAULT)?;
        Ok(())
    }

    /// Where the operand begins in its first page.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.addr & !PAGE_MASK
    }

    /// Returns the address of the page that the operand begins in.
    #[inline]
    pub(super) fn head_page(&self) -> usize {
        self.addr & PAGE_MASK
    }

    /// Returns the address of the page that it ends in, if that is another.
    #[inline]
    pub(super) fn tail_page(&self) -> Option<usize> {
        let crosses = self.offset() + self.len > PAGE_SIZE;

        crosses.then(|| self.head_page() + PAGE_SIZE)
    }

    /// Returns the addresses of the pages that the operand touches: none, one or two.
    #[inline]
    pub(super) fn pages(&self) -> impl Iterator<Item = usize> {
        let head = (self.len > 0).then(|| self.head_page());

        [head, self.tail_page()].into_iter().flatten()
    }
}

/// One operation. Those that store have release semantics if `release`.
#[derive(Debug)]
pub(super) enum Op {
    /// The vector goes on if whether both are equal is as `wanted`.
    Compare {
        a: Operand,
        b: Operand,
        wanted: bool,
    },
    Copy {
        dst: Operand,
        src: Operand,
        release: bool,
    },
    Add {
        p: Operand,
        count: u64,
        release: bool,
    },
}

impl Op {
    /// Returns what `raw` asks for, or [`EINVAL`] if anything but an address is bad.
    fn parse(raw: &RawOp) -> Result<Self> {
        let op = match raw.op as ffi::c_uint {
            uapi::cpu_op_type_CPU_COMPARE_EQ_OP => Op::compare(raw, true),
            uapi::cpu_op_type_CPU_COMPARE_NE_OP => Op::compare(raw, false),
            uapi::cpu_op_type_CPU_MEMCPY_OP => Op::copy(raw, false),
            uapi::cpu_op_type_CPU_MEMCPY_RELEASE_OP => Op::copy(raw, true),
            uapi::cpu_op_type_CPU_ADD_OP => Op::add(raw, false),
            uapi::cpu_op_type_CPU_ADD_RELEASE_OP => Op::add(raw, true),
            _ => return Err(EINVAL),
        };
        let is_add = matches!(op, Op::Add { .. });

        let len_is_valid = if is_add {
            matches!(raw.len, 1 | 2 | 4 | 8)
        } else {
            raw.len as usize <= DATA_LEN_MAX
        };
        // An addition has no second operand that could fault.
        let second_max = if is_add { 0 } else { 1 };
        let unused_is_zero = raw.expect_fault_first <= 1
            && raw.expect_fault_second <= second_max
            && raw.reserved == [0; 6];

        if len_is_valid && unused_is_zero {
            Ok(op)
        } else {
            Err(EINVAL)
        }
    }

    fn first(raw: &RawOp) -> Operand {
        Operand::new(raw.first, raw.len, raw.expect_fault_first)
    }

    fn second(raw: &RawOp) -> Operand {
        Operand::new(raw.second, raw.len, raw.expect_fault_second)
    }

    fn compare(raw: &RawOp, wanted: bool) -> Self {
        Op::Compare {
            a: Self::first(raw),
            b: Self::second(raw),
            wanted,
        }
    }

    fn copy(raw: &RawOp, release: bool) -> Self {
        Op::Copy {
            dst: Self::first(raw),
            src: Self::second(raw),
            release,
        }
    }

    fn add(raw: &RawOp, release: bool) -> Self {
        Op::Add {
            p: Self::first(raw),
            count: raw.second,
            release,
        }
    }

    /// Returns the operands in the order in which they are checked, each with whether it is written
    /// to.
    #[inline]
    pub(super) fn operands(&self) -> impl Iterator<Item = (&Operand, bool)> {
        let (first, second) = match self {
            Op::Compare { a, b, .. } => ((a, false), Some((b, false))),
            Op::Copy { dst, src, .. } => ((dst, true), Some((src, false))),
            Op::Add { p, .. } => ((p, true), None),
        };
        [Some(first), second].into_iter().flatten()
    }

    fn untag(&mut self, untag: impl Fn(usize, usize) -> Option<usize>) -> Result {
        match self {
            Op::Compare {
                a: first,
                b: second,
                ..
            }
            | Op::Copy {
                dst: first,
                src: second,
                ..
            } => {
                first.untag(&untag)?;
                second.untag(&untag)
            }
            Op::Add { p, .. } => p.untag(&untag),
        }
    }
}

/// A vector of operations, validated.
#[derive(Default)]
pub(super) struct Vector {
    pub(super) ops: ArrayVec<Op, VEC_LEN_MAX>,
}

impl Vector {
    /// Copies a vector of `count` operations in from user space, and validates it.
    ///
    /// User memory is not read twice.
    pub(super) fn read(&mut self, ptr: UserPtr, count: usize, memory: &UserMemory<'_>) -> Result {
        let mut raw = ArrayVec::<RawOp, VEC_LEN_MAX>::new();
        let mut reader = UserSlice::new(ptr, count * size_of::<RawOp>()).reader();
        raw.read_from(&mut reader, count)?;
        self.parse(&raw, |addr, len| memory.untag(addr, len))
    }

    /// Returns all operands in the order in which they are checked, each with whether it is written
    /// to.
    #[inline]
    pub(super) fn operands(&self) -> impl Iterator<Item = (&Operand, bool)> {
        self.ops.iter().flat_map(|op| op.operands())
    }

    /// Validates a vector of at most [`VEC_LEN_MAX`] operations: all of them and the sum of their
    /// lengths first, then all addresses, with [`UserMemory::untag()`].
    pub(super) fn parse(
        &mut self,
        raw: &[RawOp],
        untag: impl Fn(usize, usize) -> Option<usize>,
    ) -> Result {
        let mut sum = 0;
        for raw in raw {
            self.ops.push(Op::parse(raw)?);
            sum += raw.len as usize;
        }
        if sum > VEC_DATA_LEN_MAX {
            return Err(EINVAL);
        }

        self.ops.iter_mut().try_for_each(|op| op.untag(&untag))
    }
}
