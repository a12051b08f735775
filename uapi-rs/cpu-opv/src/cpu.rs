// SPDX-License-Identifier: MIT OR Apache-2.0

//! CPUs, by their number: how many there are, and which ones the calling thread is allowed on.
//!
//! What the system says of that may be wrong. In a container sysfs may be missing, or name the CPUs of the container's
//! share in place of their numbers; a program may be restored on a larger machine. So what it says must agree with
//! the kernel, or the kernel's masks say how many there can be. A thread that is on a CPU beyond that all the same is
//! taken to be on another one: that is slower, and right.

use core::ffi::{CStr, c_int, c_ulong};
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::vec;

use crate::rseq;
use crate::sys::{self, keeping_errno};

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
        Self(current_number() % count())
    }

    /// All CPUs that this machine can have, online or not.
    ///
    /// These are the numbers up to the highest: where the machine's numbers have holes, those too, and nothing
    /// ever runs on them.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        (0..count()).map(Self)
    }

    /// The CPUs that there are or can come to be: [all](Self::all) but for the holes in their numbers.
    ///
    /// All, where the system does not say.
    pub fn possible() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        in_list(c"/sys/devices/system/cpu/possible").unwrap_or_else(Self::each)
    }

    /// The CPUs that are online, as of now.
    ///
    /// [All](Self::all), where the system does not say.
    pub fn online() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        in_list(c"/sys/devices/system/cpu/online").unwrap_or_else(Self::each)
    }

    /// The online CPUs that the calling thread is allowed on, as of now; see `sched_setaffinity(2)`. What is done
    /// [on](crate::PerCpu::add_on) these by their number does not fail with
    /// [`Error::CpuNotAllowed`](crate::Error::CpuNotAllowed), unless that changes.
    ///
    /// [All](Self::all), where the system does not say.
    ///
    /// ```
    /// use cpu_opv::{Counter, Cpu};
    ///
    /// let counter = Counter::new();
    /// for cpu in Cpu::allowed() {
    ///     counter.add_on(cpu, 1)?;
    /// }
    /// # Ok::<(), cpu_opv::Error>(())
    /// ```
    pub fn allowed() -> impl ExactSizeIterator<Item = Self> + DoubleEndedIterator + Clone {
        let mut affinity = Affinity::new();
        match affinity.ask() {
            Some(_) => Self::all()
                .filter(|cpu| affinity.has(cpu.0))
                .collect::<Vec<_>>()
                .into_iter(),
            None => Self::each(),
        }
    }

    /// [All](Self::all), as the iterator that the others are.
    fn each() -> vec::IntoIter<Self> {
        Self::all().collect::<Vec<_>>().into_iter()
    }

    /// Its number.
    #[inline]
    pub fn number(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn as_c_int(self) -> c_int {
        self.0 as c_int
    }

    /// Whether `cpu_opv(2)` would let this thread name it: one that it is allowed on, or that is offline.
    pub(crate) fn is_allowed(self) -> bool {
        let mut affinity = Affinity::new();
        match affinity.ask() {
            Some(_) => affinity.has(self.0) || self.is_offline(),
            // Somebody keeps the answer from it; then the kernel would not be asked for more either.
            None => true,
        }
    }

    fn is_offline(self) -> bool {
        let mut online = false;
        let known = for_each_range(c"/sys/devices/system/cpu/online", |first, last| {
            online |= (first..=last).contains(&self.0);
        });
        known.is_some() && !online
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of the CPU that the calling thread is on, as the kernel has it. 0 if it does not say: each operation
/// is right on any.
fn current_number() -> u32 {
    rseq::current_cpu().unwrap_or_else(|| {
        if cfg!(miri) {
            return 0;
        }
        // SAFETY: takes nothing.
        let cpu = keeping_errno(|| unsafe { libc::sched_getcpu() }.into());
        cpu.map_or(0, |cpu| cpu as u32)
    })
}

/// Whether the calling thread is on a CPU whose number is below `count()`, as it is on any machine that tells the truth.
pub(crate) fn current_is_known() -> bool {
    current_number() < count()
}

/// 0 until it has been found out. Several threads may come to do that: the first answer holds.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// What `count` has returned, if it was ever called.
#[inline(always)]
pub(crate) fn known_count() -> usize {
    COUNT.load(Relaxed) as usize
}

/// One more than the highest number of a possible CPU.
pub(crate) fn count() -> u32 {
    match COUNT.load(Relaxed) {
        0 => {
            let count = find_count();
            COUNT
                .compare_exchange(0, count, Relaxed, Relaxed)
                .map_or_else(|earlier| earlier, |_| count)
        }
        count => count,
    }
}

#[cold]
fn find_count() -> u32 {
    let mut affinity = Affinity::new();
    // The kernel's masks have room for all.
    let room = affinity.ask().unwrap_or(Affinity::MOST);
    let mut listed = None;
    let readable = for_each_range(c"/sys/devices/system/cpu/possible", |_, last| {
        listed = last.checked_add(1);
    });
    let seen = affinity.end().max(current_number() + 1);
    readable
        .and(listed)
        .filter(|count| (seen..=room).contains(count))
        .unwrap_or(room.max(seen))
}

const WORDS: usize = 1024 / size_of::<c_ulong>();

/// The CPUs that the calling thread is allowed on and that are online.
struct Affinity([c_ulong; WORDS]);

impl Affinity {
    /// No kernel can be configured for more.
    const MOST: u32 = WORDS as u32 * c_ulong::BITS;

    fn new() -> Self {
        Self([0; WORDS])
    }

    /// Asks the kernel; how many CPUs its masks have room for, if it answers.
    fn ask(&mut self) -> Option<u32> {
        if cfg!(miri) {
            return None;
        }
        // SAFETY: the mask is of the size that is given.
        let bytes = keeping_errno(|| unsafe {
            let len = size_of_val(&self.0);
            libc::syscall(libc::SYS_sched_getaffinity, 0, len, self.0.as_mut_ptr())
        });
        // A filter may have it return 0, and nothing was written.
        let bits = u32::try_from(bytes.ok()?).ok()?.checked_mul(8)?;
        (bits != 0).then_some(bits.min(Self::MOST))
    }

    fn has(&self, cpu: u32) -> bool {
        let word = self.0.get((cpu / c_ulong::BITS) as usize);
        word.is_some_and(|word| word >> (cpu % c_ulong::BITS) & 1 != 0)
    }

    /// One more than the highest.
    fn end(&self) -> u32 {
        (0..Self::MOST)
            .rev()
            .find(|cpu| self.has(*cpu))
            .map_or(0, |cpu| cpu + 1)
    }
}

/// The CPUs in one of the kernel's lists. `None` if it cannot be read, or names none that there is: then it is that of
/// another machine.
fn in_list(path: &CStr) -> Option<vec::IntoIter<Cpu>> {
    let mut cpus = Vec::new();
    for_each_range(path, |first, last| {
        cpus.extend((first..=last.min(count() - 1)).map(Cpu));
    })?;
    (!cpus.is_empty()).then(|| cpus.into_iter())
}

/// Gives each range of a list of the kernel's to `each`, its first and its last number: `0-3,8` has two.
///
/// `None` if it cannot be read, or is not such a list. It allocates nothing, for signal handlers.
fn for_each_range(path: &CStr, mut each: impl FnMut(u32, u32)) -> Option<()> {
    let (mut first, mut number) = (None, None);
    sys::for_each_byte(path, |byte| {
        match byte {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                number = Some(
                    number
                        .unwrap_or(0_u32)
                        .checked_mul(10)?
                        .checked_add(digit)?,
                );
            }
            b'-' => first = Some(number.take()?),
            b',' | b'\n' => {
                if let Some(last) = number.take() {
                    each(first.take().unwrap_or(last), last);
                }
            }
            _ => return None,
        }
        Some(())
    })
}
