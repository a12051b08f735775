// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can go wrong.

use core::error;
use core::ffi::c_int;
use core::fmt;
use std::io;

use crate::sys::Errno;

/// Why an operation could not be done.
///
/// Whatever the error, nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// This kernel does not have `cpu_opv(2)` (`ENOSYS`), and what was asked for needs it.
    NotSupported,
    /// The CPU does not exist, or the calling thread is not allowed on it (`EINVAL`); see
    /// `sched_setaffinity(2)`. An operation that finds nothing to do, as on an empty stack, may say that instead.
    CpuNotAllowed,
    /// An operand is not mapped, does not permit the access, lies where a thread would get `SIGBUS`, as beyond the end of a
    /// file, or is in memory that the kernel does not touch for anyone: that of devices, for example (`EFAULT`).
    Fault,
    /// The same, of an operand that was [expected to](crate::vector::Source::may_fault) (`EAGAIN`).
    ExpectedFault,
    /// No memory was left while an operand was faulted in, or for a copy whose operands overlap (`ENOMEM`).
    OutOfMemory,
    /// The vector has more than four operations.
    TooManyOperations,
    /// An operand is longer than 4096 bytes, or all operations together are longer than 4120.
    TooLong,
    /// The two operands of an operation differ in length.
    LengthsDiffer,
    /// The memory is too small or not aligned, or was set up for another structure, word size or
    /// number of CPUs.
    Layout,
    /// The [backend](crate::Backend) cannot be had on this system, or another was chosen before.
    Backend,
    /// The system refused for another reason, which is this `errno`. For an operation: a sandbox that was entered after
    /// the [backend](crate::Backend) was chosen does not let it do its work.
    Os(i32),
}

impl Error {
    /// The meaning of what `cpu_opv` sets `errno` to, for a vector whose limits were checked before.
    pub(crate) fn of_cpu_opv(Errno(errno): Errno) -> Self {
        const MEANINGS: [(c_int, Error); 5] = [
            (libc::ENOSYS, Error::NotSupported),
            (libc::EINVAL, Error::CpuNotAllowed),
            (libc::EFAULT, Error::Fault),
            (libc::EAGAIN, Error::ExpectedFault),
            (libc::ENOMEM, Error::OutOfMemory),
        ];
        MEANINGS
            .iter()
            .find(|(number, _)| *number == errno)
            .map_or(Error::Os(errno), |(_, meaning)| *meaning)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::NotSupported => "this kernel does not have cpu_opv(2)",
            Error::CpuNotAllowed => "no such CPU, or this thread is not allowed on it",
            Error::Fault => "an operand cannot be accessed",
            Error::ExpectedFault => "an operand that may be unmapped cannot be accessed",
            Error::OutOfMemory => "no memory is left to fault an operand in",
            Error::TooManyOperations => "a vector has at most 4 operations",
            Error::TooLong => "an operand has at most 4096 bytes, a vector 4120",
            Error::LengthsDiffer => "the two operands of an operation differ in length",
            Error::Layout => "the memory is not that of such a structure on this system",
            Error::Backend => "the backend is not available, or another one is in use",
            Error::Os(errno) => return io::Error::from_raw_os_error(*errno).fmt(f),
        })
    }
}

impl error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::NotSupported | Error::Backend => io::ErrorKind::Unsupported,
            Error::CpuNotAllowed => io::ErrorKind::PermissionDenied,
            Error::OutOfMemory => io::ErrorKind::OutOfMemory,
            Error::Os(errno) => return Self::from_raw_os_error(errno),
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// Something could not be put on another CPU's list. It comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refused<T> {
    /// Why: [`Error::CpuNotAllowed`] if this thread is not allowed on that CPU.
    pub error: Error,
    /// What was to be put there.
    pub item: T,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut refused = f.debug_struct("Refused");
        refused.field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> error::Error for Refused<T> {}

/// Why something could not be put on another CPU's stack or ring. It comes back.
///
/// ```
/// use cpu_opv::{Cpu, Stack};
///
/// let one: Stack<usize, 1> = Stack::new();
/// let cpu = Cpu::allowed().next().unwrap();
/// one.push_on(cpu, 7)?;
/// let error = one.push_on(cpu, 8).unwrap_err();
/// assert!(error.is_full());
/// assert_eq!(error.into_inner(), 8);
/// # Ok::<(), cpu_opv::PushError<usize>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no room.
    Full(T),
    /// The operation could not be done: [`Error::CpuNotAllowed`] if this thread is not allowed on that CPU.
    Failed(Error, T),
}

impl<T> PushError<T> {
    /// What was to be put there.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::Failed(_, item) => item,
        }
    }

    /// Whether there is no room, so that it may be worth to try again later.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("it is full"),
            Self::Failed(error, _) => error.fmt(f),
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(_)"),
            Self::Failed(error, _) => write!(f, "Failed({error:?}, _)"),
        }
    }
}

impl<T> error::Error for PushError<T> {}

impl<T> From<Refused<T>> for PushError<T> {
    fn from(Refused { error, item }: Refused<T>) -> Self {
        Self::Failed(error, item)
    }
}
