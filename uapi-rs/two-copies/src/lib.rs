// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a plug-in might do: it counts, and keeps numbers.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::LazyLock;

use cpu_opv::{Counter, Cpu, Stack};

static COUNTER: Counter = Counter::new();
static STACK: LazyLock<Stack<usize, 100>> = LazyLock::new(Stack::new);

/// Counts and takes what was kept, on the thread's CPU and on the one with this number; how much was counted.
#[unsafe(no_mangle)]
pub extern "C" fn work(cpu: usize) -> usize {
    COUNTER.increment();
    let _ = STACK.push(1);
    STACK.pop();
    let remote = Cpu::new(cpu).is_some_and(|cpu| COUNTER.add_on(cpu, 1).is_ok());
    1 + usize::from(remote)
}

/// How much was counted.
#[unsafe(no_mangle)]
pub extern "C" fn sum() -> u64 {
    COUNTER.sum()
}

/// Has a thread count while the library is loaded, and waits for it, if it is told to.
///
/// A thread of the libc: those of `std` may wait for the dynamic loader.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = {
    extern "C" fn count(_: *mut c_void) -> *mut c_void {
        COUNTER.increment();
        null_mut()
    }
    extern "C" fn construct() {
        // SAFETY: the name is a string, nobody changes the environment meanwhile, and the thread takes nothing.
        unsafe {
            if libc::getenv(c"CPU_OPV_CONSTRUCT".as_ptr()).is_null() {
                return;
            }
            let mut thread = MaybeUninit::uninit();
            let created = libc::pthread_create(thread.as_mut_ptr(), null(), count, null_mut());
            assert_eq!(created, 0);
            assert_eq!(libc::pthread_join(thread.assume_init(), null_mut()), 0);
        }
    }
    construct
};
