// SPDX-License-Identifier: GPL-2.0

//! Calling functions on other CPUs.
//!
//! [`call_on()`] interrupts a CPU and has it run a closure in the handler, with interrupts
//! disabled. While the closure runs, nothing else does on that CPU, so it can work on what belongs
//! to that CPU without locks. The price is latency for whatever was interrupted: keep such closures
//! short.
//!
//! C header: [`include/linux/smp.h`](srctree/include/linux/smp.h)

use crate::{
    bindings,
    cpu::CpuId,
    error::{
        to_result,
        Result, //
    },
    interrupt::LocalInterruptDisabled,
    prelude::ENXIO, //
};
use core::ffi::c_void;

/// A closure on its way to another CPU, and its result on the way back.
struct Call<F, R> {
    func: Option<F>,
    result: Option<R>,
}

/// Runs the closure of a [`Call`].
///
/// # Safety
///
/// `info` must point to a `Call<F, R>` that nobody else accesses, and interrupts must be disabled.
unsafe extern "C" fn run<F, R>(info: *mut c_void)
where
    F: FnOnce(&LocalInterruptDisabled) -> R,
{
    // SAFETY: By the safety requirements of this function.
    let call = unsafe { &mut *info.cast::<Call<F, R>>() };
    // SAFETY: By the safety requirements of this function.
    let irq = unsafe { LocalInterruptDisabled::assume_disabled() };

    if let Some(func) = call.func.take() {
        call.result = Some(func(irq));
    }
}

/// Runs `func` on `cpu` with interrupts disabled, and waits for its result.
///
/// If `cpu` is the current CPU the closure is run in place; otherwise in an interrupt handler on
/// `cpu`, or before `cpu` resumes if it is idle. Whatever the caller did before is visible to the
/// closure, and what the closure does is visible to the caller afterwards.
///
/// `func` must not sleep. This function must be called from a task, with interrupts enabled.
///
/// Fails with [`ENXIO`], without calling `func`, if `cpu` is not online.
///
/// # Examples
///
/// ```
/// use kernel::{cpu::CpuId, smp};
///
/// // Unless the task migrates in between, this is an ordinary call with interrupts disabled.
/// let here = CpuId::current();
/// let there = smp::call_on(here, |_irq| CpuId::current())?;
/// assert_eq!(here, there);
/// # Ok::<(), Error>(())
/// ```
pub fn call_on<F, R>(cpu: CpuId, func: F) -> Result<R>
where
    F: FnOnce(&LocalInterruptDisabled) -> R + Send,
    R: Send,
{
    let mut call = Call {
        func: Some(func),
        result: None,
    };

    // SAFETY: `run()` gets the type of `Call` that it expects. As `wait` is true, `call` outlives
    // the call, and this task does not access it meanwhile. `F` and `R` may move between CPUs.
    to_result(unsafe {
        bindings::smp_call_function_single(
            i32::from(cpu),
            Some(run::<F, R>),
            core::ptr::from_mut(&mut call).cast(),
            true,
        )
    })?;

    call.result.ok_or(ENXIO)
}
