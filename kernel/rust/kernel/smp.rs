// SPDX-License-Identifier: GPL-2.0

//! Being alone with another CPU.
//!
//! Who wants to work on what belongs to a CPU, without locks, has to keep everything else from
//! running there meanwhile.
//!
//! - [`call_on()`] interrupts the CPU and has it run a closure in the handler, with interrupts
//!   disabled. The price is latency for whatever was interrupted: keep such closures short.
//! - [`call_while_idle()`] runs a closure in the CPU's stead, while it runs nothing. The CPU is
//!   neither interrupted nor woken, and may as well be offline. It only cannot begin to run
//!   anything else before the closure ends.
//!
//! Neither keeps the other's closures away: who uses both for one CPU needs a lock around them.
//!
//! C headers: [`include/linux/smp.h`](srctree/include/linux/smp.h),
//! [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::{
    bindings,
    cpu::CpuId,
    error::{
        to_result,
        Result, //
    },
    interrupt::LocalInterruptDisabled,
    mm::Mm,
    prelude::ENXIO, //
};
use core::ffi::{
    c_int,
    c_void, //
};

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
/// `cpu`, or by its idle task, which is woken for it. Whatever the caller did before is visible to
/// the closure, and what the closure does is visible to the caller afterwards.
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

/// Whether `cpu` runs its idle task, as it does all the time while it is offline.
///
/// Looked at without a lock, so the answer may be outdated.
///
/// The idle task need not be done idling: it is what runs until another task is switched in, also
/// if one was woken already.
///
/// # Safety
///
/// `cpu` must be possible, which not every CPU number is.
#[inline]
pub unsafe fn runs_idle_task(cpu: CpuId) -> bool {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::cpu_runs_idle_task(i32::from(cpu)) }
}

/// Whether `cpu` runs a task that has the address space `mm`.
///
/// Looked at without a lock, so the answer may be outdated.
///
/// # Safety
///
/// `cpu` must be possible.
#[inline]
pub unsafe fn runs_mm(cpu: CpuId, mm: &Mm) -> bool {
    // SAFETY: By the safety requirements of this function.
    unsafe { bindings::cpu_runs_mm(i32::from(cpu), mm.as_raw()) }
}

/// Runs the closure of a [`Call`] if `idle` is what its CPU runs.
///
/// # Safety
///
/// As for [`run()`]; and `idle` must be an idle task, the runqueue of its CPU locked.
unsafe extern "C" fn run_if_current<F, R>(
    idle: *mut bindings::task_struct,
    info: *mut c_void,
) -> c_int
where
    F: FnOnce(&LocalInterruptDisabled) -> R,
{
    // SAFETY: By the safety requirements of this function, `idle` is a valid task.
    if unsafe { bindings::task_curr(idle) } != 0 {
        // SAFETY: By the safety requirements of this function.
        unsafe { run::<F, R>(info) };
    }
    0
}

/// Runs `func` on the current CPU while `cpu` runs its idle task, and is kept from running anything
/// else. Returns [`None`], without calling `func`, if it runs another task.
///
/// `cpu` may be offline, or never have been online. It is neither interrupted nor woken. Only
/// interrupt handlers can run there meanwhile.
///
/// ```text
///   current CPU                          cpu
///
///                                        a task: X = 1
///                                        switch to the idle task:
///                                          lock runqueue, curr = idle, unlock
///   lock runqueue; curr is idle   <----    (1)
///     func(): sees X == 1, Y = 1
///   unlock runqueue               ---->    (2)
///                                        switch from the idle task:
///                                          lock runqueue, curr = another, unlock
///                                        another task: sees Y == 1
/// ```
///
/// By (1) all that `cpu` did before is visible to `func`; by (2) what `func` does is visible to all
/// that `cpu` does next.
///
/// # Safety
///
/// `cpu` must be possible.
///
/// `func` is called with interrupts disabled, and with `cpu`'s runqueue locked. It must not sleep,
/// nor take a lock that is ever held while a task is woken; so it must not wake anybody, print or
/// warn, either. While it runs, CPUs that want to wake a task on `cpu` spin.
pub unsafe fn call_while_idle<F, R>(cpu: CpuId, func: F) -> Option<R>
where
    F: FnOnce(&LocalInterruptDisabled) -> R,
{
    // SAFETY: By the safety requirements of this function.
    let idle = unsafe { bindings::idle_task(i32::from(cpu)) };
    if idle.is_null() {
        return None;
    }
    let mut call = Call {
        func: Some(func),
        result: None,
    };

    // SAFETY: An idle task lives for ever. As it always is runnable, its CPU's runqueue is locked
    // when `run_if_current()` is called, which gets the type of `Call` that it expects. What `func`
    // must not do it does not, by the safety requirements of this function.
    unsafe {
        bindings::task_call_func(
            idle,
            Some(run_if_current::<F, R>),
            core::ptr::from_mut(&mut call).cast(),
        )
    };
    call.result
}
