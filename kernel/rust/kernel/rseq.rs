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
    interrupt::LocalInterruptDisabled,
    task::Task, //
};

/// Aborts the restartable sequence that the current task is in, if any, before it can commit.
///
/// To be called in the interrupt handler that changed the data, or that made the data's user aware
/// of a change. The sequence may belong to any process, not just to the one that asked for the
/// change. A task that is in a system call is in no sequence, and nothing happens to it.
///
/// Does what `membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)` does on each CPU that it
/// interrupts, save for the memory barrier.
///
/// # Examples
///
/// ```
/// use kernel::{interrupt::local_interrupt_disable, rseq};
///
/// let irq = local_interrupt_disable();
/// rseq::abort_current(&irq);
/// ```
#[inline]
pub fn abort_current(_irq: &LocalInterruptDisabled) {
    // SAFETY: `current` is a valid task, and its rseq state is only changed by itself and by
    // interrupts on its CPU, which are disabled.
    unsafe { bindings::rseq_sched_switch_event(Task::current_raw()) }
}
