// SPDX-License-Identifier: MIT OR Apache-2.0

//! The choice of what does the work when a restartable sequence cannot.

use core::sync::atomic::{
    AtomicU8, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::cpu::Cpu;
use crate::error::Error;
use crate::{detect, generation, rseq, stopped};

/// What changes per-CPU data when a restartable sequence cannot: the data is another CPU's, or
/// sequences have been aborted too often.
///
/// It is chosen when the first structure is made, the best first, and then holds for the whole
/// process: they do not mix.
///
/// | | remote operation costs | lock-free | across processes |
/// |---|---|---|---|
/// | [`CpuOpv`](Self::CpuOpv) | a system call, an interrupt if that CPU is busy | yes | yes |
/// | [`Membarrier`](Self::Membarrier) | a system call, an interrupt if a thread of the process is there, a lock; a second interrupt on all but x86_64 | no | no |
/// | [`Lock`](Self::Lock) | an atomic instruction, or a lock; as does each local one | no | no |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// `cpu_opv(2)`: the kernel does the operation, on the CPU.
    CpuOpv,
    /// A lock for each CPU and structure, or for many counters. Who takes it stops the sequences on that CPU with a flag
    /// that each of them checks, and with `membarrier(2)` (Linux 5.10 or later).
    Membarrier,
    /// No sequences at all, for want of rseq or of membarrier: atomic instructions for counters, for locks, for rings
    /// on 64-bit machines, and for a push on a list; the same lock for the rest.
    Lock,
}

/// In the order of preference.
const BACKENDS: [Backend; 3] = [Backend::CpuOpv, Backend::Membarrier, Backend::Lock];

/// 1 + index of the chosen one in `BACKENDS`. Who acquires it sees what `rseq::init` has found.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Backend {
    /// The backend of this process; chooses it if that has not been done.
    #[inline]
    pub fn get() -> Self {
        Self::chosen().unwrap_or_else(Self::choose_best)
    }

    /// Makes this the backend of this process, as for measuring one against another.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if this system does not have it, or another one has been chosen: do this before
    /// the first structure is made.
    pub fn select(self) -> Result<(), Error> {
        Self::init();
        let chosen = Self::chosen();
        if chosen == Some(self) || (chosen.is_none() && self.is_available() && self.choose()) {
            Ok(())
        } else {
            Err(Error::Backend)
        }
    }

    /// What has to be there before a backend is.
    fn init() {
        rseq::init();
        generation::init();
    }

    fn chosen() -> Option<Self> {
        let index = CHOSEN.load(Acquire).checked_sub(1)?;
        BACKENDS.get(usize::from(index)).copied()
    }

    #[cold]
    fn choose_best() -> Self {
        Self::init();
        BACKENDS
            .into_iter()
            .find(|backend| backend.is_available())
            .unwrap_or(Self::Lock)
            .choose();
        Self::get()
    }

    /// False if another thread has chosen another one meanwhile.
    fn choose(self) -> bool {
        let number = 1 + self as u8;
        CHOSEN
            .compare_exchange(0, number, Release, Acquire)
            .map_or_else(|current| current == number, |_| true)
    }

    fn is_available(self) -> bool {
        match self {
            Self::CpuOpv => detect::support().is_some(),
            // Without sequences there is nothing to stop, and atomic instructions do better.
            Self::Membarrier => {
                cfg!(fast_path)
                    && rseq::register_thread()
                    && stopped::register_membarrier(Cpu::current())
            }
            Self::Lock => true,
        }
    }
}

/// How often something else than a restartable sequence did an operation, in this process until now. Of calls
/// at the same time, one may be missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowPathCalls {
    /// Calls of `cpu_opv(2)`, also those that a comparison stopped or that failed.
    pub cpu_opv: usize,
    /// Operations under the lock with the sequences of a CPU stopped.
    pub membarrier: usize,
    /// Operations under the lock alone; those by an atomic instruction are not counted.
    pub lock: usize,
}

static CALLS: [AtomicUsize; BACKENDS.len()] = [const { AtomicUsize::new(0) }; BACKENDS.len()];

/// How often something else than a restartable sequence did an operation, in this process until now.
pub fn slow_path_calls() -> SlowPathCalls {
    let [cpu_opv, membarrier, lock] = [0, 1, 2].map(|index: usize| CALLS[index].load(Relaxed));
    SlowPathCalls {
        cpu_opv,
        membarrier,
        lock,
    }
}

/// Counts one. Where an atomic addition takes several instructions, a debugger that steps through them makes it
/// fail for ever. So it is a load and a store.
pub(crate) fn count(backend: Backend) {
    let calls = &CALLS[backend as usize];
    calls.store(calls.load(Relaxed).wrapping_add(1), Relaxed);
}

/// For operations on the current CPU, which return no error. What is left is a thread that can run no sequences, and
/// that a filter of seccomp(2) keeps from the call that worked before; or one that `cpu_opv(2)` lets do nothing on any
/// CPU that was known of when the first structure was made.
#[cold]
pub(crate) fn slow_path_unavailable(error: Error) -> ! {
    panic!("cpu-opv: cannot do an operation on the current CPU: {error}")
}
