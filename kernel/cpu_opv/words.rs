// SPDX-License-Identifier: GPL-2.0

//! Vectors of words, which need no pages pinned.
//!
//! Most vectors compare a word or two, and then store to one: a counter, a lock, the head of a
//! list, the end of a ring. The caller could do that by itself, at the addresses that it names, if
//! it were alone with the CPU. So where a vector is run in its context, on that CPU or in the stead
//! of one that runs nothing, that is what is done: with interrupts disabled, in the caller's own
//! mapping. On a CPU that runs another thread of its process, with the same protection keys, an
//! interrupt handler can do the same.
//!
//! There may be a page fault at any moment. As nothing is done after the only store, nothing was
//! done before the fault, and the vector is run as others are.
//!
//! What another thread makes of the mapping meanwhile, by fork() or mprotect() for instance, holds
//! for these accesses as for its own: the hardware checks them.

use super::{
    span::{
        self,
        Order,
        Outcome,
        Step, //
    },
    vector::{
        Op,
        Vector,
        VEC_LEN_MAX, //
    },
};
use kernel::{
    array_vec::ArrayVec,
    interrupt::LocalInterruptDisabled,
    mm::user_page::{
        Fault,
        UserMemory,
        UserWord,
        UserWords,
        Write, //
    },
};

/// Whether nothing of `vector` is done before its last operation, so that there may be a fault at
/// any moment.
pub(super) fn may_fault(vector: &Vector) -> bool {
    match &*vector.ops {
        [before @ .., _] => before.iter().all(|op| matches!(op, Op::Compare { .. })),
        [] => true,
    }
}

/// Whether all operands of `vector` are words, at this moment. An interrupt is in vain if not.
pub(super) fn are_all(
    vector: &Vector,
    memory: &UserMemory<'_>,
    irq: &LocalInterruptDisabled,
) -> bool {
    let mut words = memory.words(irq);

    vector
        .ops
        .iter()
        .rev()
        .all(|op| step(op, &mut words).is_ok())
}

/// Runs `vector`, which [may fault](may_fault), if all its operands are words. If there is a fault,
/// or they are not, nothing was done.
///
/// Takes no lock that anybody holds to wake a task, also in the handler of a fault.
#[inline]
pub(super) fn run(
    vector: &Vector,
    mut words: UserWords<'_>,
    order: Order,
    irq: &LocalInterruptDisabled,
) -> Result<Outcome, Fault> {
    let mut steps = ArrayVec::<_, VEC_LEN_MAX>::new();

    // All have to be accessible, also those that a comparison keeps from being accessed. The last
    // operation comes first, as it may need a page to be written to that others read.
    for op in vector.ops.iter().rev() {
        steps.push(step(op, &mut words)?);
    }
    span::run(steps.iter().rev(), order, irq)
}

// Called, it made an addition 49 instructions dearer.
#[inline(always)]
fn step<'i>(op: &Op, words: &mut UserWords<'i>) -> Result<Step<UserWord<'i, Write>>, Fault> {
    Ok(match op {
        Op::Compare { a, b, wanted } => Step::Compare {
            a: words.get(a.addr, a.len)?,
            b: words.get(b.addr, b.len)?,
            wanted: *wanted,
        },
        Op::Copy { dst, src, release } => Step::Copy {
            dst: words.get(dst.addr, dst.len)?,
            src: words.get(src.addr, src.len)?,
            release: *release,
        },
        Op::Add { p, count, release } => Step::Add {
            p: words.get(p.addr, p.len)?,
            count: *count,
            release: *release,
        },
    })
}
