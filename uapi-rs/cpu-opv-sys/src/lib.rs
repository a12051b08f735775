// SPDX-License-Identifier: MIT OR Apache-2.0

//! The raw interface to `cpu_opv(2)`: the types and constants of `<linux/cpu_opv.h>`, the number
//! of the system call, and a function that makes it.
//!
//! # What the call is for
//!
//! A restartable sequence, see `rseq(2)`, changes the data of the CPU that its thread is on,
//! without a lock and without an atomic instruction. Two things are beyond it: the data of
//! *another* CPU, and ever completing while it is interrupted again and again (as a debugger's
//! single-stepping does). [`cpu_opv`] does both. It runs a *vector*, up to four operations on memory
//! of the calling process, in order, on a CPU named by its number, atomically with respect to
//! everything else that runs on that CPU:
//!
//! - between the first and the last operation no thread, no other vector, and no commit of a
//!   restartable sequence gets in, on that CPU;
//! - what threads wrote on that CPU before is seen;
//! - a restartable sequence that the vector interrupts there, of whatever process, is aborted.
//!
//! Other CPUs are not held off. Data that is worked on this way belongs to one CPU, and all that
//! change it do so on that CPU.
//!
//! # Operations
//!
//! | [`op`](cpu_op::op) | [`len`](cpu_op::len), bytes | operands | effect |
//! |---|---|---|---|
//! | [`CPU_COMPARE_EQ_OP`] | 0 to 4096 | [`compare_op`](cpu_op__u::compare_op) | stops the vector unless `a` and `b` hold the same bytes |
//! | [`CPU_COMPARE_NE_OP`] | 0 to 4096 | [`compare_op`](cpu_op__u::compare_op) | stops the vector unless they differ |
//! | [`CPU_MEMCPY_OP`] | 0 to 4096 | [`memcpy_op`](cpu_op__u::memcpy_op) | copies `src` to `dst` |
//! | [`CPU_MEMCPY_RELEASE_OP`] | 0 to 4096 | [`memcpy_op`](cpu_op__u::memcpy_op) | the same, as a store with release semantics |
//! | [`CPU_ADD_OP`] | 1, 2, 4, 8 | [`arithmetic_op`](cpu_op__u::arithmetic_op) | adds `count` to the integer at `p`, wrapping |
//! | [`CPU_ADD_RELEASE_OP`] | 1, 2, 4, 8 | [`arithmetic_op`](cpu_op__u::arithmetic_op) | the same, as a store with release semantics |
//!
//! A vector has at most [`CPU_OP_VEC_LEN_MAX`] operations, and the sum of their `len` is at most
//! [`CPU_OP_VEC_DATA_LEN_MAX`]. An operand of length 0 is not accessed.
//!
//! **Order.** What the calling thread did before the call comes before the vector, and the vector
//! before what it does next. For the target CPU the operations happen in program order. For other
//! CPUs only the release forms order anything: all that came before, in the vector and before the
//! call, is seen by who sees their store, at every length. Pair them with an acquire load.
//!
//! **Tearing.** An operand of 1, 2, 4 or 8 bytes that is aligned to its length is loaded and stored
//! in one access; on 32-bit kernels one of 8 bytes takes two of 4 bytes.
//!
//! **Overlap.** A copy whose operands overlap acts as `memmove(3)`.
//!
//! # Example
//!
//! Add 1 to the counter of a CPU, from whichever CPU, on a kernel that [has the call](#which-kernels-have-it):
//!
//! ```
//! use core::sync::atomic::{AtomicU64, Ordering};
//! use cpu_opv_sys::*;
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/per_cpu_lists/kernel.rs"));
//!
//! static EVENTS: [AtomicU64; 1024] = [const { AtomicU64::new(0) }; 1024];
//!
//! # fn main() -> io::Result<()> {
//! if !has_cpu_opv()? {
//!     return Ok(());
//! }
//! // Any CPU will do that this thread is allowed on.
//! // SAFETY: takes nothing.
//! let cpu = unsafe { libc::sched_getcpu() };
//! let counter = &EVENTS[cpu as usize];
//!
//! let vector = [cpu_op {
//!     op: CPU_ADD_OP,
//!     len: size_of::<AtomicU64>() as u32,
//!     u: cpu_op__u {
//!         arithmetic_op: cpu_op__arithmetic_op {
//!             p: counter.as_ptr() as u64,
//!             count: 1,
//!             ..Default::default()
//!         },
//!     },
//! }];
//! // SAFETY: the kernel writes nothing but `counter`, which is an atomic.
//! match unsafe { cpu_opv(vector.as_ptr(), vector.len() as _, cpu, 0) } {
//!     0 => assert_eq!(counter.load(Ordering::Relaxed), 1),
//!     -1 => eprintln!("cpu_opv: {}", std::io::Error::last_os_error()),
//!     stopped_at => unreachable!("operation {stopped_at} is no comparison"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The program `examples/per_cpu_lists` shows more. To take the first node off a list, a vector
//! compares the head with that node, and copies the node's link to the head. The node may be back
//! there with another link: it is the link of that moment that is copied. If nodes may be unmapped,
//! the link [may fault](cpu_op__memcpy_op::expect_fault_src). Between two CPUs' lists a node is
//! moved by two vectors, one on each CPU; in between, the caller has it.
//!
//! # Errors
//!
//! When the call fails, **nothing was written**: faults are found before the first store. What is
//! checked is checked in the order of this table, so the first row that applies gives the `errno`.
//!
//! | `errno` | when |
//! |---|---|
//! | `ENOSYS` | this kernel does not have the call |
//! | `EINVAL` | `flags` has an unknown bit, or both queries |
//! | `EINVAL` | `cpu` is negative |
//! | `EINVAL` | `cpuopcnt` is negative, or above [`CPU_OP_VEC_LEN_MAX`] |
//! | `EINVAL` | `cpu` is not a possible CPU, or it is online and not one that the calling thread is allowed on (see `sched_setaffinity(2)`) |
//! | `EFAULT` | `ops` cannot be read |
//! | `EINVAL` | an operation has an unknown `op`, a wrong `len`, an `expect_fault` byte above 1 or a reserved byte that is not 0, or the sum of all `len` is above [`CPU_OP_VEC_DATA_LEN_MAX`] |
//! | `EFAULT` | an operand does not lie in the user address space |
//! | `EFAULT` | an operand is not mapped, does not permit the access, lies where a thread would get `SIGBUS`, as beyond the end of a file, or is in device memory, noncached memory, a `ZONE_DEVICE` page or a special mapping, and its `expect_fault` byte is 0 |
//! | `EAGAIN` | the same, and its `expect_fault` byte is 1 |
//! | `ENOMEM` | no memory was left while an operand was faulted in, or for a copy whose operands overlap |
//!
//! In the last three rows it is the first operand that cannot be accessed that decides, in the
//! order of the vector: `a` before `b`, `dst` before `src`.
//!
//! # Which kernels have it
//!
//! Linux 7.3 with the cpu_opv series and `CONFIG_CPU_OPV=y`. No released kernel has it, and until
//! one does the [number](SYS_cpu_opv) may change.
//!
//! Ask with [`CPU_OP_NR_FLAG`]: a kernel without the call answers `ENOSYS`. But a later one may have
//! given the number to another call, and a sandbox may end a process that makes a call it does not
//! know. So do not ask any kernel, only one of which you know more. The crate `cpu-opv` wants the
//! release, `uname -r`, to have `cpu_opv` in its name, or `CPU_OPV=1` in the environment. Then it
//! looks at what comes of wrong flags and of a vector.
//!
//! ```
#![doc = include_str!("../examples/per_cpu_lists/kernel.rs")]
//! # has_cpu_opv().unwrap();
//! ```
//!
//! A program that does without the call where it is missing decides that once. A lock does not keep
//! vectors out.
//!
//! # How this crate stays true to the header
//!
//! The definitions are written by hand, for the sake of their documentation. `cargo test` holds
//! each of them against what bindgen makes of the C header: value, size, alignment, offset and type.
#![no_std]
#![allow(non_camel_case_types, non_upper_case_globals)]

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "cpu_opv(2) is a system call of Linux: depend on cpu-opv-sys for Linux targets only"
);

use core::ffi::{c_char, c_int, c_long};
use core::fmt;

/// Size of [`cpu_op::u`], in bytes, whatever operands it holds.
pub const CPU_OP_ARG_LEN_MAX: usize = 24;

/// Longest operand of a comparison or a copy, in bytes: the limit of [`cpu_op::len`].
pub const CPU_OP_DATA_LEN_MAX: u32 = 4096;

/// Longest operand of an addition, in bytes: the limit of [`cpu_op::len`].
pub const CPU_OP_ARITHMETIC_DATA_LEN_MAX: u32 = 8;

/// Most operations in a vector: the limit of `cpuopcnt`.
pub const CPU_OP_VEC_LEN_MAX: c_int = 4;

/// Largest sum of all [`cpu_op::len`] of a vector, in bytes: one long operand and three words.
pub const CPU_OP_VEC_DATA_LEN_MAX: u32 =
    CPU_OP_DATA_LEN_MAX + (CPU_OP_VEC_LEN_MAX as u32 - 1) * CPU_OP_ARITHMETIC_DATA_LEN_MAX;

/// The `flags` of [`cpu_opv`]: 0 to run a vector, or one of the two queries.
///
/// With a query the other arguments are not looked at.
pub type cpu_op_flags = c_int;

/// Query: returns how many operations this kernel knows, [`NR_CPU_OPS`] or more.
///
/// Not a way to find out about [any kernel](crate#which-kernels-have-it).
pub const CPU_OP_NR_FLAG: cpu_op_flags = 1 << 0;

/// Query: returns how long a vector this kernel takes, [`CPU_OP_VEC_LEN_MAX`] or more.
pub const CPU_OP_VEC_LEN_MAX_FLAG: cpu_op_flags = 1 << 1;

/// What an operation does: the type of [`cpu_op::op`].
pub type cpu_op_type = i32;

/// Goes on if `a` and `b` hold the same bytes, else stops the vector.
///
/// Operands: [`cpu_op__compare_op`]; 0 to [`CPU_OP_DATA_LEN_MAX`] bytes. Those of length 0 are equal.
pub const CPU_COMPARE_EQ_OP: cpu_op_type = 0;

/// Goes on if `a` and `b` differ, else stops the vector.
///
/// Operands: [`cpu_op__compare_op`]; 0 to [`CPU_OP_DATA_LEN_MAX`] bytes. Those of length 0 are equal.
pub const CPU_COMPARE_NE_OP: cpu_op_type = 1;

/// Copies `src` to `dst`, which may overlap.
///
/// Operands: [`cpu_op__memcpy_op`]; 0 to [`CPU_OP_DATA_LEN_MAX`] bytes.
pub const CPU_MEMCPY_OP: cpu_op_type = 2;

/// Copies as [`CPU_MEMCPY_OP`] does, with release semantics.
///
/// A CPU that sees any of the copied bytes through an acquire load also sees all that the vector
/// did before, and the calling thread before the call.
pub const CPU_MEMCPY_RELEASE_OP: cpu_op_type = 3;

/// Adds `count`, truncated to `len`, to the integer at `p`. It wraps at its width.
///
/// Operands: [`cpu_op__arithmetic_op`]; 1, 2, 4 or 8 bytes.
pub const CPU_ADD_OP: cpu_op_type = 4;

/// Adds as [`CPU_ADD_OP`] does, with release semantics.
///
/// A CPU that sees the sum through an acquire load also sees all that the vector did before, and
/// the calling thread before the call.
pub const CPU_ADD_RELEASE_OP: cpu_op_type = 5;

/// How many operations there are.
pub const NR_CPU_OPS: cpu_op_type = 6;

/// One operation of a vector.
///
/// 32 bytes on every ABI. Operands are addresses in the calling process, as integers: write
/// `pointer as u64`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cpu_op {
    /// What to do; it decides which field of `u` is read. Anything but the six operations: `EINVAL`.
    pub op: cpu_op_type,
    /// Length of each operand, in bytes: 0 to [`CPU_OP_DATA_LEN_MAX`] for comparisons and copies;
    /// 1, 2, 4 or 8 for additions. Anything else: `EINVAL`.
    pub len: u32,
    /// The operands.
    pub u: cpu_op__u,
}

impl fmt::Debug for cpu_op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: each of them is integers, of which any bytes are a value.
        let operands: &dyn fmt::Debug = unsafe {
            match self.op {
                CPU_COMPARE_EQ_OP | CPU_COMPARE_NE_OP => &self.u.compare_op,
                CPU_MEMCPY_OP | CPU_MEMCPY_RELEASE_OP => &self.u.memcpy_op,
                CPU_ADD_OP | CPU_ADD_RELEASE_OP => &self.u.arithmetic_op,
                _ => &self.u.__padding,
            }
        };
        f.debug_struct("cpu_op")
            .field("op", &self.op)
            .field("len", &self.len)
            .field("u", operands)
            .finish()
    }
}

// What the kernel steps by in the array that it is given.
const _: () = assert!(size_of::<cpu_op>() == 32);

/// The operands of an operation: [`cpu_op::u`].
#[repr(C)]
#[derive(Clone, Copy)]
pub union cpu_op__u {
    /// Of [`CPU_COMPARE_EQ_OP`] and [`CPU_COMPARE_NE_OP`].
    pub compare_op: cpu_op__compare_op,
    /// Of [`CPU_MEMCPY_OP`] and [`CPU_MEMCPY_RELEASE_OP`].
    pub memcpy_op: cpu_op__memcpy_op,
    /// Of [`CPU_ADD_OP`] and [`CPU_ADD_RELEASE_OP`].
    pub arithmetic_op: cpu_op__arithmetic_op,
    /// Gives the union its size.
    pub __padding: [c_char; CPU_OP_ARG_LEN_MAX],
}

/// The operands of a comparison: [`cpu_op__u::compare_op`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct cpu_op__compare_op {
    /// Address of the one operand, which is read.
    pub a: u64,
    /// Address of the other, which is read.
    pub b: u64,
    /// 1: `EAGAIN` instead of `EFAULT` when `a` cannot be accessed. Else 0.
    pub expect_fault_a: u8,
    /// 1: `EAGAIN` instead of `EFAULT` when `b` cannot be accessed. Else 0.
    pub expect_fault_b: u8,
    /// 0, else: `EINVAL`.
    pub reserved: [u8; 6],
}

/// The operands of a copy: [`cpu_op__u::memcpy_op`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct cpu_op__memcpy_op {
    /// Address to copy to, which is written.
    pub dst: u64,
    /// Address to copy from, which is read.
    pub src: u64,
    /// 1: `EAGAIN` instead of `EFAULT` when `dst` cannot be accessed. Else 0.
    pub expect_fault_dst: u8,
    /// 1: `EAGAIN` instead of `EFAULT` when `src` cannot be accessed. Else 0.
    pub expect_fault_src: u8,
    /// 0, else: `EINVAL`.
    pub reserved: [u8; 6],
}

/// The operands of an addition: [`cpu_op__u::arithmetic_op`].
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default)]
pub struct cpu_op__arithmetic_op {
    /// Address of the integer, which is read and written, in the byte order of the machine. It need
    /// not be aligned.
    pub p: u64,
    /// What to add, truncated to the width of the integer.
    pub count: i64,
    /// 1: `EAGAIN` instead of `EFAULT` when `p` cannot be accessed. Else 0.
    pub expect_fault_p: u8,
    /// 0, else: `EINVAL`.
    pub reserved: [u8; 7],
}

/// Where the numbers of this ABI begin; in most tables that is 0.
const FIRST_NUMBER: c_long = if cfg!(all(target_arch = "x86_64", target_pointer_width = "32")) {
    0x4000_0000 // x32
} else if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) {
    4000 // o32
} else if cfg!(any(target_arch = "mips64", target_arch = "mips64r6")) {
    5000 // n64
} else {
    0
};

/// The number of the system call, on the ABI that this is compiled for.
///
/// Provisional: see [which kernels have it](crate#which-kernels-have-it).
#[doc(alias = "__NR_cpu_opv")]
#[allow(unexpected_cfgs, reason = "rustc has no name for alpha")]
pub const SYS_cpu_opv: c_long = FIRST_NUMBER
    + if cfg!(target_arch = "alpha") {
        583
    } else {
        473
    };

/// Runs the `cpuopcnt` operations at `ops`, in order, on CPU `cpu`, atomically with respect to
/// everything else that runs on that CPU; or answers a query.
///
/// - `ops` is read once, before anything is done, and never written.
/// - `cpuopcnt` is 0 to [`CPU_OP_VEC_LEN_MAX`]. 0 operations are valid: they still abort a
///   restartable sequence on that CPU.
/// - `cpu` is a possible CPU that is offline, or that the calling thread is allowed on. If it is
///   offline or idle, the vector runs on the current CPU, with `cpu` kept from running anything
///   else; it is neither interrupted nor woken.
/// - `flags` is 0, or one of the queries [`CPU_OP_NR_FLAG`] and [`CPU_OP_VEC_LEN_MAX_FLAG`].
///
/// # Result
///
/// - 0: the whole vector ran.
/// - 1 to 4: that comparison stopped the vector, the first operation being 1. What ran before
///   it stays done.
/// - With a query: its answer.
/// - -1: failed, and wrote nothing. `errno` is one of [these](crate#errors).
///
/// Signals do not show: a call that has to wait for a page is restarted after the handler, and
/// nothing of it has been done then.
///
/// # With membarrier(2)
///
/// To membarrier of this process the operations are in order, as accesses of a thread are that has
/// compiler barriers between them. But membarrier does **not** wait for a vector that is under way:
/// when it returns, one that read a flag before may still be about to store. To wait for vectors on
/// a CPU, run one without operations there. That aborts a restartable sequence as
/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ` does, in whichever process.
///
/// Nor does it help with memory that was not written to yet, or not since `fork()`: the first store
/// gives its address another page, and a vector that is under way on an idle CPU, or over another
/// process, may miss that store.
///
/// # Safety
///
/// The kernel reads and writes at the addresses in `ops` as though a thread on CPU `cpu` did. What
/// it cannot access is an error and not undefined behaviour, but what it writes must be memory
/// that this program allows to change so:
///
/// - Each operand that is written (`dst` of a copy, `p` of an addition) is valid for writes of `len`
///   bytes, and no reference to it says that it is constant or unshared. Take its address from a raw
///   pointer: `as_ptr()` of an atomic, `get()` of an `UnsafeCell`, `&raw mut` of a local.
/// - What it then holds is valid for its type.
/// - There is no data race: what other threads access at the same time, they access through atomics.
///   Towards them the vector's accesses are relaxed ones, or release ones where it says so.
///
/// That nothing gets in between the operations is only true of what is changed on CPU `cpu` alone.
pub unsafe fn cpu_opv(
    ops: *const cpu_op,
    cpuopcnt: c_int,
    cpu: c_int,
    flags: cpu_op_flags,
) -> c_int {
    // SAFETY: the number takes these four arguments; the caller answers for the operands.
    unsafe { libc::syscall(SYS_cpu_opv, ops, cpuopcnt, cpu, flags) as c_int }
}
