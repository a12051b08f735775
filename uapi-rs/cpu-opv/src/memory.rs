// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where per-CPU data lies.

use core::ffi::c_int;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::backend::Backend;
use crate::cpu;
use crate::error::Error;
use crate::sys::{Errno, keeping_errno};

/// What memory a structure is made in.
///
/// By default it is this process' own. In memory that processes share, a structure only works by
/// [`Backend::CpuOpv`]: the fallbacks stop the restartable sequences of one process. Whoever maps it must be
/// of the same word size and on the same kernel.
#[derive(Debug)]
pub struct Memory<'fd>(Kind<'fd>);

#[derive(Debug)]
enum Kind<'fd> {
    Private,
    Shared,
    File(BorrowedFd<'fd>),
}

impl Memory<'static> {
    /// Of this process. A child that it forks has a copy.
    pub fn private() -> Self {
        Self(Kind::Private)
    }

    /// Of this process and of the children that it forks from now on.
    ///
    /// What the thread that forks has of it, as a guard of a lock or a [`Reservation`](crate::Reservation), the child has
    /// too: one of the two has to [forget](core::mem::forget) it. What a process had that was killed stays taken.
    pub fn shared() -> Self {
        Self(Kind::Shared)
    }
}

impl<'fd> Memory<'fd> {
    /// Of all processes that map this file: shared memory, for example, see `memfd_create(2)` and
    /// `shm_open(3)`. It is made as long as the structure needs; the first one finds it empty.
    ///
    /// # Safety
    ///
    /// All processes that have the file use it for this type of structure, by this crate, and for nothing else,
    /// and nobody makes it shorter.
    pub unsafe fn file(file: BorrowedFd<'fd>) -> Self {
        Self(Kind::File(file))
    }

    pub(crate) fn is_private(&self) -> bool {
        matches!(self.0, Kind::Private)
    }
}

/// What is at the start of the memory: who maps it, too, checks that this is the same.
///
/// All zeroes until somebody has filled it in.
#[repr(C, align(128))]
struct Header([AtomicU32; 6]);

/// A mapping: a header, then a slot for each CPU.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is a range of addresses, which it alone unmaps.
unsafe impl Send for Mapping {}
// SAFETY: nothing changes by a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps memory for a structure of this kind, with a slot of `slot_len` bytes for each CPU.
    pub(crate) fn new(memory: &Memory<'_>, kind: u32, slot_len: usize) -> Result<Self, Error> {
        if !memory.is_private() && Backend::get() != Backend::CpuOpv {
            return Err(Error::Backend);
        }
        let len = slot_len
            .checked_mul(cpu::count() as usize)
            .and_then(|len| len.checked_add(size_of::<Header>()))
            .ok_or(Error::Layout)?;
        let (flags, fd) = match memory.0 {
            Kind::Private => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
            Kind::Shared => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
            Kind::File(file) => {
                grow(file, len)?;
                (libc::MAP_SHARED, file.as_raw_fd())
            }
        };
        let start = map(len, flags, fd)?;
        let mapping = Self { start, len };
        if memory.is_private() {
            use_small_pages(start, len);
        }
        let slot_len = u32::try_from(slot_len).map_err(|_| Error::Layout)?;
        mapping.check_header([
            // The version of the layout; it is not a multiple of 256, so that no byte order reads as another.
            0x6370_7601,
            kind,
            slot_len,
            cpu::count(),
            usize::BITS,
            u32::from_ne_bytes(*b"opv1"),
        ])?;
        Ok(mapping)
    }

    /// Whoever is first fills in the header; all fill in the same, or else it is an error. A 0 says nothing: in memory
    /// that processes share none of the words is one.
    fn check_header(&self, words: [u32; 6]) -> Result<(), Error> {
        // SAFETY: the mapping begins with it, is aligned to a page, and any bytes are a value of it.
        let Header(header) = unsafe { self.start.cast::<Header>().as_ref() };
        let same = header.iter().zip(words).all(|(there, word)| {
            there
                .compare_exchange(0, word, Relaxed, Relaxed)
                .map_or_else(|found| found == word, |_| true)
        });
        if same { Ok(()) } else { Err(Error::Layout) }
    }

    /// The slot of CPU 0; the others follow.
    pub(crate) fn slots(&self) -> NonNull<u8> {
        // SAFETY: the mapping is longer than the header.
        unsafe { self.start.add(size_of::<Header>()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let (start, len) = (self.start.as_ptr().cast(), self.len);
        // SAFETY: it was mapped by `map`, and who owns this has no use of it any more.
        unsafe {
            // It fails where the kernel would have to split a mapping and has no room for one more. Then the addresses
            // are lost, but not what was there.
            if libc::munmap(start, len) != 0 {
                libc::madvise(start, len, libc::MADV_DONTNEED);
            }
        }
    }
}

/// Maps so much of this process' memory, for ever, of which little will be used.
///
/// A page of it takes memory from when it is first written to, and no more than itself.
pub(crate) fn map_sparse(len: usize) -> Result<NonNull<u8>, Error> {
    // Miri has no such flag.
    let sparse = if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | sparse;
    let start = map(len, flags, -1)?;
    use_small_pages(start, len);
    Ok(start)
}

/// A huge page would be that of many CPUs, and take memory for those that use none.
fn use_small_pages(start: NonNull<u8>, len: usize) {
    if cfg!(not(miri)) {
        // Where the kernel has no others, it says so.
        // SAFETY: nothing that is there changes.
        let _ = keeping_errno(|| unsafe {
            libc::madvise(start.as_ptr().cast(), len, libc::MADV_NOHUGEPAGE).into()
        });
    }
}

fn map(len: usize, flags: c_int, fd: c_int) -> Result<NonNull<u8>, Error> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let mut start = libc::MAP_FAILED;
    let mapped = keeping_errno(|| {
        // SAFETY: a new mapping, wherever there is room.
        start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
        if start == libc::MAP_FAILED { -1 } else { 0 }
    });
    match mapped {
        Ok(_) => NonNull::new(start.cast()).ok_or(Error::Layout),
        Err(Errno(errno)) => Err(Error::Os(errno)),
    }
}

/// Makes the file at least `len` bytes long.
fn grow(file: BorrowedFd<'_>, len: usize) -> Result<(), Error> {
    let len = libc::off_t::try_from(len).map_err(|_| Error::Layout)?;
    // SAFETY: no memory is passed. This never makes a file shorter, as ftruncate(2) could in a race.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
        0 => Ok(()),
        errno => Err(Error::Os(errno)),
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_page_is_that_of_many_cpus() {
        let maps = || fs::read_to_string("/proc/self/smaps");
        if !fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() || maps().is_err() {
            return eprintln!("skipped: no huge pages here, or nobody to tell of them");
        }
        let mapping = Mapping::new(&Memory::private(), 0, 4096).unwrap();
        let address = mapping.start.addr().get();
        let maps = maps().unwrap();
        let is_start = |line: &&str| {
            let range = line.split(' ').next().and_then(|it| it.split_once('-'));
            let number = |it| usize::from_str_radix(it, 16).unwrap();
            range.is_some_and(|(start, end)| (number(start)..number(end)).contains(&address))
        };
        let mut lines = maps.lines().skip_while(|line| !is_start(line));
        let flags = lines.find(|line| line.starts_with("VmFlags:")).unwrap();
        // See proc_pid_smaps(5).
        assert!(flags.contains(" nh"), "{flags}");
    }
}
