// SPDX-License-Identifier: GPL-2.0

//! Counts of what calls do, for tests, in kernels with CONFIG_CPU_OPV_STATS. What each means stands
//! where it is counted.

use kernel::{
    bindings,
    cpu::CpuId, //
};

/// What is counted.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Event {
    Own = bindings::cpu_opv_event_CPU_OPV_OWN,
    Busy = bindings::cpu_opv_event_CPU_OPV_BUSY,
    Unpinned = bindings::cpu_opv_event_CPU_OPV_UNPINNED,
    WordsLost = bindings::cpu_opv_event_CPU_OPV_WORDS_LOST,
    Stale = bindings::cpu_opv_event_CPU_OPV_STALE,
    IdleLost = bindings::cpu_opv_event_CPU_OPV_IDLE_LOST,
    Moved = bindings::cpu_opv_event_CPU_OPV_MOVED,
    Foreign = bindings::cpu_opv_event_CPU_OPV_FOREIGN,
    NotOnline = bindings::cpu_opv_event_CPU_OPV_NOT_ONLINE,
    Contended = bindings::cpu_opv_event_CPU_OPV_CONTENDED,
    Faulted = bindings::cpu_opv_event_CPU_OPV_FAULTED,
    Kept = bindings::cpu_opv_event_CPU_OPV_KEPT,
    Buffered = bindings::cpu_opv_event_CPU_OPV_BUFFERED,
    Restarted = bindings::cpu_opv_event_CPU_OPV_RESTARTED,
    Denied = bindings::cpu_opv_event_CPU_OPV_DENIED,
}

#[inline]
pub(super) fn count(_event: Event) {
    #[cfg(CONFIG_CPU_OPV_STATS)]
    // SAFETY: Always safe to call, also with a runqueue locked.
    unsafe {
        bindings::cpu_opv_count(_event as u32)
    };
}

/// Counts a vector that was run in the stead of `_cpu`, which is idle or offline.
#[inline]
pub(super) fn count_idle(_cpu: CpuId) {
    #[cfg(CONFIG_CPU_OPV_STATS)]
    // SAFETY: As above; and a [`CpuId`] is a valid CPU number.
    unsafe {
        bindings::cpu_opv_count_idle(i32::from(_cpu))
    };
}

/// Counts a handler that interrupted the idle task after all.
#[inline]
pub(super) fn count_idle_interrupted() {
    #[cfg(CONFIG_CPU_OPV_STATS)]
    // SAFETY: Always safe to call in an interrupt handler.
    unsafe {
        bindings::cpu_opv_count_idle_interrupted()
    };
}
