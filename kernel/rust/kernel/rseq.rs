// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences.
//!
//! A restartable sequence (rseq) is a piece of user-space code that the kernel restarts from an
//! abort handler whenever the thread was preempted, migrated or interrupted by a signal in it. Its
//! last instruction commits what it did. Code in the kernel that changes per-CPU data of user
//! space on that CPU has to abort the sequence that it interrupts there, lest it commits on top of
//! the change.
//!
//! C header: [`include/linux/rseq.h`](srctree/include/linux/rseq.h)

use crate::{
    bindings,
    interrupt::LocalInterruptDisabled, //
};

/// Aborts the restartable sequence that was interrupted on this CPU, if any, before it can commit.
///
/// To be called in the interrupt handler that changed the data, or that made the data's user aware
/// of a change. The sequence may belong to any process, not just to the one that asked for the
/// change. A task that is in a system call is in no sequence, and nothing happens to it.
///
/// # Examples
///
/// ```
/// use kernel::{interrupt::local_interrupt_disable, rseq};
///
/// let irq = local_interrupt_disable();
/// rseq::abort_interrupted(&irq);
/// ```
#[inline]
pub fn abort_interrupted(_irq: &LocalInterruptDisabled) {
    // SAFETY: What it changes is of the current task, and only changed by it and by interrupts on
    // its CPU, which are disabled.
    unsafe { bindings::rseq_abort_interrupted() }
}
