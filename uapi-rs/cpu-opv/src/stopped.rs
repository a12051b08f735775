// SPDX-License-Identifier: MIT OR Apache-2.0

//! The fallback where there is no `cpu_opv(2)`: stop the sequences on a CPU's data, and change it by plain
//! code under a lock.
//!
//! # Protocol
//!
//! In front of each CPU's data, or of a stripe of it (see `arena.rs`), are two words, `stopped` and `lock`. Each sequence checks `stopped` after
//! its start, and aborts unless it is 0.
//!
//! ```text
//! thread that stops CPU c                       sequence on CPU c
//! ------------------------                      -----------------
//! lock(lock)
//! stopped = 1                                   S: area.rseq_cs = &descriptor
//! M1: membarrier(rseq, c)                          if *stopped: abort
//! load and store the data                          load the data
//! M2: membarrier(rseq, c)    (not on x86_64)       C: store the data (commit)
//! stopped = 0                (release)
//! unlock(lock)
//! ```
//!
//! # Why no sequence commits between M1 and `stopped = 0`
//!
//! M1 interrupts CPU c if it runs a thread of this process, with a full barrier there, and aborts the
//! sequence in progress. If it runs another process, or is offline, then none is in progress: those of
//! threads that were preempted there are aborted when they go on, and the switch to them has the full
//! barrier that pairs with those of membarrier. So for each sequence one of these holds:
//!
//! - It committed before M1: the store is seen after M1.
//! - It was between S and C: it aborts.
//! - It started after M1: it sees `stopped == 1`, or what was stored to it since.
//!
//! # Why a sequence that sees `stopped == 0` sees the data
//!
//! Its loads are not ordered: an architecture may load the data before `stopped`. Were M2 not there,
//! such a sequence could load old data, then `stopped` as 0 again, and commit. M2 aborts what started
//! before it, and what starts after it sees all that was stored before M2, in whichever order it
//! loads. So the price of that order is paid here, and not by an acquire in each sequence. x86_64
//! keeps loads in order, and stores too.
//!
//! # What this is not
//!
//! It is not lock-free: who is preempted between `lock` and `unlock` keeps all others waiting, those on the
//! CPU included. It is not for memory shared between processes: membarrier reaches the threads of one.
//! That is what `cpu_opv(2)` is better at.
//!
//! With the backend `Lock`, `stopped` is 1 from the start and for ever. So it is, from then on, if M2 fails.
//!
//! # fork(2)
//!
//! A child finds the lock held and `stopped == 1` if another thread was between M1 and the end. That thread is not there:
//! the child takes the lock all the same (see `futex.rs`). No sequence of its own was in progress at the fork, and those
//! that it has started since saw the flag: it is as after M1. Who takes the lock clears the flag in the end. Where nobody
//! need take it, those that find the sequences stopped do so ([`resume`](Control::resume)).

use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::Release};

use crate::backend::{self, Backend};
use crate::cpu::Cpu;
use crate::error::Error;
use crate::futex::FutexLock;
use crate::signals::BlockedSignals;
use crate::sys::{self, Errno};

/// The words in front of the data of a CPU. All zeroes is the state at rest.
#[repr(C)]
pub(crate) struct Control {
    stopped: AtomicU32,
    lock: FutexLock,
}

impl Control {
    pub(crate) const fn new(stopped: bool) -> Self {
        Self {
            stopped: AtomicU32::new(stopped as u32),
            lock: FutexLock::new(),
        }
    }

    /// For the sequences.
    #[inline(always)]
    pub(crate) fn stopped(&self) -> *const u32 {
        self.stopped.as_ptr()
    }

    /// Stops the sequences on this data, which is that of `cpu`, until the result is dropped.
    ///
    /// Waits for others that have done so.
    ///
    /// # Errors
    ///
    /// If membarrier fails, as in a sandbox that was entered since it was tried. Then nothing was changed.
    pub(crate) fn stop(&self, cpu: Cpu) -> Result<Stopped<'_>, Error> {
        let backend = Backend::get();
        backend::count(backend);
        let signals = BlockedSignals::new();
        self.lock.lock();
        // If it is not 0, it has been since an M1: none has started since then that could commit.
        if self.stopped.load(Relaxed) == 0 {
            self.stopped.store(1, Relaxed);
            if let Err(Errno(errno)) = membarrier(cpu) {
                self.stopped.store(0, Relaxed);
                self.lock.unlock();
                return Err(Error::Os(errno));
            }
        }
        Ok(Stopped {
            control: self,
            cpu,
            backend,
            _signals: signals,
        })
    }

    /// In a child of fork(2), ends what a thread had begun that is not there. Does not wait for one that is.
    pub(crate) fn resume(&self, cpu: Cpu) {
        if self.stopped.load(Relaxed) == 0 || !self.lock.is_orphaned() {
            return;
        }
        let signals = BlockedSignals::new();
        if self.lock.inherit() {
            drop(Stopped {
                control: self,
                cpu,
                backend: Backend::get(),
                _signals: signals,
            });
        }
    }

    /// Waits for those that have stopped it, if any, without stopping it.
    pub(crate) fn wait(&self) {
        if self.stopped.load(Relaxed) != 0 {
            let _signals = BlockedSignals::new();
            self.lock.lock();
            self.lock.unlock();
        }
    }
}

/// A proof that nobody else changes the data of a CPU.
pub(crate) struct Stopped<'a> {
    control: &'a Control,
    cpu: Cpu,
    backend: Backend,
    // Dropped after `drop` has let go of the lock.
    _signals: BlockedSignals,
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let let_go = self.backend == Backend::Membarrier
            && (cfg!(target_arch = "x86_64") || membarrier(self.cpu).is_ok());
        // Or they stay stopped: all go by the lock then, which is slow and right.
        if let_go {
            self.control.stopped.store(0, Release);
        }
        self.control.lock.unlock();
    }
}

// From <linux/membarrier.h>.
const QUERY: c_int = 0;
const PRIVATE_EXPEDITED_RSEQ: c_int = 1 << 7;
const REGISTER_PRIVATE_EXPEDITED_RSEQ: c_int = 1 << 8;
const FLAG_CPU: c_int = 1 << 0;

/// Prepares this process for `membarrier`; false if the kernel does not have it.
///
/// Some that pass for Linux answer each command with 0 and do nothing: so it has to be among those that they name.
pub(crate) fn register_membarrier(cpu: Cpu) -> bool {
    let call = |command, flags| sys::membarrier(command, flags, cpu.as_c_int());
    const NEEDED: c_int = PRIVATE_EXPEDITED_RSEQ | REGISTER_PRIVATE_EXPEDITED_RSEQ;
    call(QUERY, 0).is_ok_and(|commands| commands as c_int & NEEDED == NEEDED)
        && call(REGISTER_PRIVATE_EXPEDITED_RSEQ, 0).is_ok()
        && call(PRIVATE_EXPEDITED_RSEQ, FLAG_CPU).is_ok()
}

/// A full barrier on `cpu`, which aborts the sequence in progress, and one here.
fn membarrier(cpu: Cpu) -> Result<(), Errno> {
    sys::membarrier(PRIVATE_EXPEDITED_RSEQ, FLAG_CPU, cpu.as_c_int()).map(|_| ())
}
