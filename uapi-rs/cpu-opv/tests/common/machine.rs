// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of several crates share.

use std::env;
use std::ffi::CStr;
use std::thread;

use cpu_opv::{Backend, Cpu};

/// Before anything else: the backend of CPU_OPV_BACKEND, or the best. Without an allocation, which would choose one.
#[used]
#[unsafe(link_section = ".init_array")]
static SELECT_BACKEND: extern "C" fn() = {
    extern "C" fn select() {
        // SAFETY: the names are strings, and nobody changes the environment meanwhile.
        let name = unsafe {
            let name = libc::getenv(c"CPU_OPV_BACKEND".as_ptr());
            (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())
        };
        let selected = match name {
            None => Ok(()),
            Some(b"CpuOpv") => Backend::CpuOpv.select(),
            Some(b"Membarrier") => Backend::Membarrier.select(),
            Some(b"Lock") => Backend::Lock.select(),
            Some(b"Fallback") => Backend::Membarrier
                .select()
                .or_else(|_| Backend::Lock.select()),
            Some(_) => panic!("CPU_OPV_BACKEND is CpuOpv, Membarrier, Lock or Fallback"),
        };
        selected.expect("this system has CPU_OPV_BACKEND");
    }
    select
};

/// More threads than CPUs, so that they preempt each other.
pub fn threads() -> usize {
    2 * thread::available_parallelism().map_or(2, usize::from) + 1
}

/// CPU_OPV_STRESS: how many operations a stress test does in all.
pub fn operations_or(enough_to_see_it_work: usize) -> usize {
    env::var("CPU_OPV_STRESS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(enough_to_see_it_work)
}

/// The CPUs that this thread is allowed on.
pub fn allowed() -> Vec<Cpu> {
    // SAFETY: a set of zeroes is empty, and the kernel fills in as much as it is told that there is room for.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        set
    };
    Cpu::all()
        // SAFETY: the set is initialised.
        .filter(|cpu| unsafe { libc::CPU_ISSET(cpu.number(), &set) })
        .collect()
}

/// Restricts this thread to these CPUs. It allocates nothing.
pub fn stay_on(cpus: &[Cpu]) {
    // SAFETY: a set of zeroes is empty, and of the size that the kernel is told.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for cpu in cpus {
            libc::CPU_SET(cpu.number(), &mut set);
        }
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &set), 0);
    }
}

/// Numbers that are good enough to mix things up: xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: usize) -> Self {
        Self((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
