// SPDX-License-Identifier: GPL-2.0

//! Preemption.
//!
//! A task that disabled preemption stays on its CPU, and no other task runs there, until it enables
//! preemption again. It must not sleep meanwhile. Interrupts are served.
//!
//! C header: [`include/linux/preempt.h`](srctree/include/linux/preempt.h)

use crate::{
    bindings,
    cpu::CpuId,
    types::NotThreadSafe, //
};

/// Proof that preemption is disabled. It is enabled again when the value is dropped.
///
/// # Invariants
///
/// Preemption is disabled as long as the value exists.
#[must_use]
pub struct PreemptDisabled(NotThreadSafe);

/// Disables preemption.
///
/// # Examples
///
/// ```
/// use kernel::{cpu::CpuId, preempt};
///
/// let preempt = preempt::disable();
/// assert_eq!(preempt.cpu(), CpuId::current());
/// ```
#[inline]
pub fn disable() -> PreemptDisabled {
    // SAFETY: It is always safe to disable preemption.
    unsafe { bindings::preempt_disable() };

    // INVARIANT: Preemption was just disabled, and is enabled again only by `drop()`.
    PreemptDisabled(NotThreadSafe)
}

impl PreemptDisabled {
    /// Returns the CPU that the task is on, and stays on.
    #[inline]
    pub fn cpu(&self) -> CpuId {
        CpuId::current()
    }
}

impl Drop for PreemptDisabled {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariant, this ends what `disable()` began.
        unsafe { bindings::preempt_enable() };
    }
}
