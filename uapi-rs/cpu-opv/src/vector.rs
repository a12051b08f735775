// SPDX-License-Identifier: MIT OR Apache-2.0

//! The call itself, with its limits checked and its operands borrowed.
//!
//! A [`Vector`] is built operation by operation and [run](Vector::run) on a CPU. For its time there, nothing
//! else runs on that CPU.
//!
//! ```
//! use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
//! use cpu_opv::vector::{Outcome, Vector};
//! use cpu_opv::{Cpu, Error};
//!
//! let owner = AtomicU64::new(0);
//! let acquired = AtomicU64::new(0);
//!
//! // If nobody owns it, I do; and count that.
//! let (nobody, me) = (0_u64, 1_u64);
//! let outcome = Vector::new()
//!     .compare_eq(&owner, &nobody)
//!     .copy(&owner, &me)
//!     .add(&acquired, 1)
//!     .run(Cpu::current());
//!
//! match outcome {
//!     Ok(Outcome::Done) => assert_eq!(acquired.load(Relaxed), 1),
//!     Ok(Outcome::Stopped(index)) => println!("comparison {index} said no"),
//!     Err(Error::NotSupported) => println!("this kernel has no cpu_opv(2)"),
//!     Err(error) => panic!("{error}"),
//! }
//! ```
//!
//! # What is safe here, and what is not
//!
//! The kernel reads and writes the operands as a thread would that uses relaxed atomics; on a 32-bit kernel, of 8 bytes
//! each half by itself. Safe code can give it:
//!
//! - to be read: [plain data](Plain), of which nobody has a `&mut` while it is borrowed, and atomics;
//! - to be written: plain data by `&mut`, which nobody else has, and atomics.
//!
//! As any bytes are a value of these types, all that the kernel can do to them is sound. For anything else
//! there are the unsafe [`Source::from_raw`] and [`Target::from_raw`].
//!
//! That nothing gets in between the operations is a promise about *that CPU*. Other CPUs are not held
//! off: data that is to be changed in one step must be changed on one CPU only.

mod operand;

pub use operand::{Addend, Plain, Source, Target};

use core::fmt;
use core::marker::PhantomData;

use cpu_opv_sys::{
    CPU_ADD_OP, CPU_ADD_RELEASE_OP, CPU_COMPARE_EQ_OP, CPU_COMPARE_NE_OP, CPU_MEMCPY_OP,
    CPU_MEMCPY_RELEASE_OP, CPU_OP_DATA_LEN_MAX, CPU_OP_VEC_DATA_LEN_MAX, CPU_OP_VEC_LEN_MAX,
    cpu_op, cpu_op__arithmetic_op, cpu_op__compare_op, cpu_op__memcpy_op, cpu_op__u, cpu_op_type,
    cpu_opv,
};

use crate::cpu::Cpu;
use crate::detect::support;
use crate::error::Error;
use crate::sys::keeping_errno;

/// How many operations a vector can have.
const MAX_LEN: usize = CPU_OP_VEC_LEN_MAX as usize;

/// How a vector ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All operations were done.
    Done,
    /// This operation, the first being 0, is a comparison and stopped the vector. What comes before it
    /// was done.
    Stopped(usize),
}

/// Up to four operations, to be run on a CPU atomically with respect to that CPU.
#[derive(Clone)]
#[must_use = "a vector does nothing until it is run"]
pub struct Vector<'a> {
    ops: [cpu_op; MAX_LEN],
    len: usize,
    bytes: u32,
    /// The first limit that was exceeded: told when it is run, so that building needs no `?`.
    error: Option<Error>,
    _operands: PhantomData<&'a mut [u8]>,
}

const NO_OP: cpu_op = cpu_op {
    op: CPU_COMPARE_EQ_OP,
    len: 0,
    u: cpu_op__u {
        __padding: [0; cpu_opv_sys::CPU_OP_ARG_LEN_MAX],
    },
};

impl<'a> Vector<'a> {
    /// A vector without operations. It can be run: it still aborts a restartable sequence on the CPU.
    pub const fn new() -> Self {
        Self {
            ops: [NO_OP; MAX_LEN],
            len: 0,
            bytes: 0,
            error: None,
            _operands: PhantomData,
        }
    }

    /// Goes on if `a` and `b` hold the same bytes, else stops.
    #[inline]
    pub fn compare_eq(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>) -> Self {
        self.compare(CPU_COMPARE_EQ_OP, a.into(), b.into())
    }

    /// Goes on if `a` and `b` differ, else stops.
    #[inline]
    pub fn compare_ne(self, a: impl Into<Source<'a>>, b: impl Into<Source<'a>>) -> Self {
        self.compare(CPU_COMPARE_NE_OP, a.into(), b.into())
    }

    /// Copies `src` to `dst`.
    #[inline]
    pub fn copy(self, dst: impl Into<Target<'a>>, src: impl Into<Source<'a>>) -> Self {
        self.memcpy(CPU_MEMCPY_OP, dst.into(), src.into())
    }

    /// Copies `src` to `dst`. Who sees any of it through an acquire load sees all that this thread and the
    /// vector stored before.
    #[inline]
    pub fn copy_release(self, dst: impl Into<Target<'a>>, src: impl Into<Source<'a>>) -> Self {
        self.memcpy(CPU_MEMCPY_RELEASE_OP, dst.into(), src.into())
    }

    /// Adds `count` to the integer, wrapping.
    #[inline]
    pub fn add(self, integer: impl Into<Addend<'a>>, count: i64) -> Self {
        self.arithmetic(CPU_ADD_OP, integer.into(), count)
    }

    /// Adds `count` to the integer, wrapping. Who sees the sum through an acquire load sees all that this
    /// thread and the vector stored before.
    #[inline]
    pub fn add_release(self, integer: impl Into<Addend<'a>>, count: i64) -> Self {
        self.arithmetic(CPU_ADD_RELEASE_OP, integer.into(), count)
    }

    /// Runs it on `cpu`, which the calling thread must be allowed on.
    ///
    /// # Errors
    ///
    /// Whatever the error, nothing was written. [`Error::TooManyOperations`], [`Error::TooLong`] and
    /// [`Error::LengthsDiffer`] are found before the kernel is called; so is [`Error::NotSupported`], if the kernel does
    /// not [say](crate::support) that it has the call. The others are what it says.
    pub fn run(self, cpu: Cpu) -> Result<Outcome, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if support().is_none() {
            return Err(Error::NotSupported);
        }
        self.call(cpu)
    }

    /// Makes the call.
    pub(crate) fn call(self, cpu: Cpu) -> Result<Outcome, Error> {
        // SAFETY: the operands were borrowed for 'a, or somebody answered for them, and they are still.
        let result = keeping_errno(|| unsafe {
            cpu_opv(self.ops.as_ptr(), self.len as _, cpu.as_c_int(), 0).into()
        });
        match result {
            Ok(0) => Ok(Outcome::Done),
            Ok(number) => Ok(Outcome::Stopped(number as usize - 1)),
            Err(errno) => Err(Error::of_cpu_opv(errno)),
        }
    }

    #[inline]
    fn compare(self, op: cpu_op_type, a: Source<'a>, b: Source<'a>) -> Self {
        let compare_op = cpu_op__compare_op {
            a: a.address(),
            b: b.address(),
            expect_fault_a: a.fault_expected(),
            expect_fault_b: b.fault_expected(),
            reserved: [0; 6],
        };
        self.push(op, [a.len(), b.len()], cpu_op__u { compare_op })
    }

    #[inline]
    fn memcpy(self, op: cpu_op_type, dst: Target<'a>, src: Source<'a>) -> Self {
        let memcpy_op = cpu_op__memcpy_op {
            dst: dst.address(),
            src: src.address(),
            expect_fault_dst: dst.fault_expected(),
            expect_fault_src: src.fault_expected(),
            reserved: [0; 6],
        };
        self.push(op, [dst.len(), src.len()], cpu_op__u { memcpy_op })
    }

    #[inline]
    fn arithmetic(self, op: cpu_op_type, integer: Addend<'a>, count: i64) -> Self {
        let arithmetic_op = cpu_op__arithmetic_op {
            p: integer.address(),
            count,
            expect_fault_p: 0,
            reserved: [0; 7],
        };
        let len = integer.len();
        self.push(op, [len, len], cpu_op__u { arithmetic_op })
    }

    /// Puts an operation at the end, if its operands, which are of these lengths, keep to the limits.
    #[inline]
    fn push(mut self, op: cpu_op_type, [len, len2]: [usize; 2], u: cpu_op__u) -> Self {
        let fits = |bytes: &u32| *bytes <= CPU_OP_VEC_DATA_LEN_MAX;
        let within = u32::try_from(len)
            .ok()
            .filter(|len| *len <= CPU_OP_DATA_LEN_MAX);
        let bytes = within.and_then(|len| Some(len + self.bytes).filter(fits));
        let error = match (self.ops.get_mut(self.len), within, bytes) {
            _ if len != len2 => Error::LengthsDiffer,
            (None, _, _) => Error::TooManyOperations,
            (Some(slot), Some(len), Some(bytes)) => {
                *slot = cpu_op { op, len, u };
                self.len += 1;
                self.bytes = bytes;
                return self;
            }
            _ => Error::TooLong,
        };
        self.error.get_or_insert(error);
        self
    }
}

impl Default for Vector<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Vector<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vector")
            .field("operations", &self.len)
            .field("bytes", &self.bytes)
            .field("error", &self.error)
            .finish()
    }
}
