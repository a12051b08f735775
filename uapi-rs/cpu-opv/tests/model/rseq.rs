// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sequences of `src/rseq.rs` that groups and bounded lists have.

use loom::sync::atomic::Ordering::{self, Relaxed, Release};

use super::word::{self, Word};
use super::{ABORT, ABORTED, BACKWARDS, Fault, SEQUENCES, cpu_is_mine, has};

#[derive(Clone, Copy)]
pub struct At;

pub struct Status(End);

#[derive(Clone, Copy)]
pub enum End {
    Aborted,
    Differs,
    Committed,
}

impl Status {
    pub fn end(self) -> End {
        self.0
    }
}

/// Counts a sequence. The result says whether to abort it after so many stores.
fn start() -> impl Fn(usize) -> bool {
    let sequence = SEQUENCES.replace(SEQUENCES.get() + 1);
    let abort = ABORT.get().filter(|abort| abort.sequence == sequence);
    move |stores| {
        let aborted = abort.is_some_and(|abort| abort.stores == stores);
        ABORTED.set(ABORTED.get() || aborted);
        aborted
    }
}

fn release(is: bool, fault: Fault) -> Ordering {
    match is && !has(fault) {
        true => Release,
        false => Relaxed,
    }
}

/// # Safety
///
/// None: that is for the original.
pub unsafe fn compare2_store<const RELEASE: bool>(
    _: At,
    (v, expect): (&Word, usize),
    (v2, expect2): (&Word, usize),
    new: usize,
) -> Status {
    let _cpu = cpu_is_mine();
    let is_aborted = start();
    if v.get() != expect {
        return Status(End::Differs);
    }
    if v2.get() != expect2 && !has(Fault::StoresWhatever) {
        return Status(End::Differs);
    }
    if is_aborted(0) {
        return Status(End::Aborted);
    }
    if !has(Fault::StoresNothing) {
        v.store(new, release(RELEASE, Fault::StoresRelaxed));
    }
    Status(End::Committed)
}

/// # Safety
///
/// While `*v == expect`, the words can be read at the source.
pub unsafe fn compare_fill_store<const RELEASE: bool>(
    _: At,
    (v, expect): (&Word, usize),
    (dst, src): (&[Word], *const usize),
    new: usize,
) -> Status {
    let _cpu = cpu_is_mine();
    let is_aborted = start();
    if v.get() != expect && !has(Fault::CommitsWhatever) {
        return Status(End::Differs);
    }
    let mut stores = 0;
    for count in 0..dst.len() {
        // On x86_64 the last one is first.
        let index = match BACKWARDS.get() {
            true => dst.len() - 1 - count,
            false => count,
        };
        // SAFETY: the caller's.
        let value = unsafe { word::load(src.add(index).addr()) };
        if !dst[index].holds(value) {
            if is_aborted(stores) {
                return Status(End::Aborted);
            }
            dst[index].store(value, Relaxed);
            stores += 1;
        }
    }
    if is_aborted(stores) {
        return Status(End::Aborted);
    }
    v.store(new, release(RELEASE, Fault::CommitsRelaxed));
    Status(End::Committed)
}

macro_rules! others {
    ($($name:ident($($of:ty),*) -> $result:ty;)*) => {$(
        /// # Safety
        ///
        /// It is not to be called.
        pub unsafe fn $name<const RELEASE: bool>(_: At, $(_: $of),*) -> $result {
            unreachable!("neither groups nor bounded lists have it")
        }
    )*};
}

others! {
    add(&Word, usize) -> Status;
    compare_store(&Word, usize, usize) -> Status;
    compare_store2((&Word, usize), (&Word, usize), usize) -> Status;
    compare_copy_store(&Word, usize, (*mut u8, *const u8, usize), usize) -> Status;
    pop(&Word) -> (Status, usize);
}
