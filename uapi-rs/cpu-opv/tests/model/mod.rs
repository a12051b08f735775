// SPDX-License-Identifier: MIT OR Apache-2.0

//! The machine that the models of `src/group.rs` and `src/bounded_list.rs` run on.
//!
//! They are the crate's own code: those files, `way.rs` with all ways, and `list.rs`, compiled once more, as modules of
//! the test. What they stand on is here, by the names that they have for it, and made of what loom knows:
//!
//! | | in the model |
//! |---|---|
//! | a word | an atomic of loom's: who loads it without an order may find any value that is not known to be overwritten |
//! | a CPU | a mutex. There is one: no two CPUs share data |
//! | a restartable sequence | its instructions under that mutex; or, if it is aborted, the first few of them |
//! | `cpu_opv(2)` | the operations under that mutex, the stores one after the other for who looks from another CPU |
//! | to stop the sequences, or the lock | to have that mutex: that it is as good is what `tests/stopped.rs` shows |
//! | an operation on the current CPU | a sequence, and then, if that failed, the slow path |
//!
//! # Why that is enough
//!
//! - Whatever comes between two instructions of a sequence aborts it, and what it has stored by then is stored before
//!   that. So one that commits can be in one piece, and one that is aborted needs no cause: each test is run with each
//!   sequence aborted after each store, and with none aborted.
//! - The mutex orders no more than the kernel does: what changes the data of a CPU is one thread, or one after the
//!   other with a switch or an interrupt in between. Who only looks does not take it.
//! - What an operation loads before its primitive it may load from anywhere, as a thread does that is moved to another
//!   CPU and back: without the mutex.
//! - More sequences before the slow path would only do again what one does. So would more reads before one under the
//!   mutex: `READS` of `src/group.rs` is 1 here.
//! - A thread that only looks changes nothing for the other one. So it may as well look when all is stored, since it may
//!   find whatever was there before and is not known to be overwritten: there is no need to stop the one that stores.
//!   Where both change something, loom stops one where it could go on up to [twice](PREEMPTIONS): these are not all
//!   interleavings.
//!
//! What loom does not have are loads of what is stored later. Each store here depends on the loads before it, or comes
//! after a fence that orders them.

#![allow(dead_code, reason = "not each test uses all of it")]

pub mod rseq;
pub mod vector;
pub mod word;

use std::cell::Cell;

use loom::lazy_static;
use loom::model::Builder;
use loom::sync::{Mutex, MutexGuard};
use loom::thread::{self, JoinHandle};

use backend::Backend;

lazy_static! {
    static ref CPU: Mutex<()> = Mutex::new(());
}

/// Nobody else changes the data of the CPU while this is there.
pub fn cpu_is_mine() -> MutexGuard<'static, ()> {
    CPU.lock().unwrap()
}

/// Something that the protocols need, and that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Loads do not acquire.
    LoadsRelaxed,
    /// Fences do not acquire.
    NoAcquireFence,
    /// Fences do not release.
    NoReleaseFence,
    /// The commit of several words does not release.
    CommitsRelaxed,
    /// A store of a word does not release.
    StoresRelaxed,
    /// To store a word is done whatever the version is.
    StoresWhatever,
    /// To store a word does nothing.
    StoresNothing,
    /// The commit of several words is done whatever the version is.
    CommitsWhatever,
    /// A vector compares the first thing only.
    ComparesOne,
    /// A vector does not add without release, and twice with.
    AddsLate,
    /// The copies of a vector do not release.
    CopiesRelaxed,
    /// Others come between the first two operations of a vector.
    VectorsInParts,
}

/// Of which sequence to abort, and after how many of its stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    pub sequence: usize,
    pub stores: usize,
}

thread_local! {
    // All threads of a model are of one thread of the system.
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    static SLOW: Cell<Backend> = const { Cell::new(Backend::CpuOpv) };
    static ABORT: Cell<Option<Abort>> = const { Cell::new(None) };
    static BACKWARDS: Cell<bool> = const { Cell::new(false) };
    /// How many sequences there were since there are two threads.
    static SEQUENCES: Cell<usize> = const { Cell::new(0) };
    /// Whether that one was there to be aborted.
    static ABORTED: Cell<bool> = const { Cell::new(false) };
    static HANDLER: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
    static INTERLEAVINGS: Cell<usize> = const { Cell::new(0) };
}

/// Before that no sequence is aborted.
const ALONE: usize = usize::MAX / 2;

pub fn has(fault: Fault) -> bool {
    FAULT.get() == Some(fault)
}

/// What the thread does that was [spawned](spawn) beside the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It changes nothing, so that it may as well look when all is stored: it can find then what was there before.
    Looks,
    Changes,
}

/// How often one of two threads that change the data may be stopped where it could go on.
const PREEMPTIONS: usize = 2;

/// Has loom run both threads: with each slow path, and with each sequence aborted.
pub fn check(fault: Option<Fault>, other: Other, threads: fn()) {
    FAULT.set(fault);
    for slow in [Backend::CpuOpv, Backend::Membarrier] {
        SLOW.set(slow);
        model(None, other, threads);
        let aborts = |sequence| {
            let abort = move |stores| Abort { sequence, stores };
            (0..).take_while(move |stores| model(Some(abort(*stores)), other, threads))
        };
        // Who does not look does not see in which order they are stored.
        for backwards in [false, true]
            .into_iter()
            .take(if other == Other::Looks { 2 } else { 1 })
        {
            BACKWARDS.set(backwards);
            (0..).find(|sequence| aborts(*sequence).count() == 0);
        }
    }
    println!("{} interleavings", INTERLEAVINGS.take());
}

/// Tests by their names: the threads of each, what the other one does, the fault if there is one.
macro_rules! models {
    ($($(#[$result:meta])? $name:ident: $threads:ident, $other:ident, $fault:expr;)*) => {$(
        #[test]
        $(#[$result])?
        fn $name() {
            $crate::model::check($fault, $crate::model::Other::$other, $threads);
        }
    )*};
}
pub(crate) use models;

/// Whether the sequence was aborted in any interleaving.
fn model(abort: Option<Abort>, other: Other, threads: fn()) -> bool {
    ABORT.set(abort);
    ABORTED.set(false);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(if other == Other::Looks {
        0
    } else {
        PREEMPTIONS
    });
    builder.check(move || {
        INTERLEAVINGS.set(INTERLEAVINGS.get() + 1);
        SEQUENCES.set(ALONE);
        HANDLER.take();
        word::forget();
        // Made before the threads are.
        drop(cpu_is_mine());
        threads();
    });
    ABORTED.get()
}

/// What happens when a sequence is aborted, before there is another try.
pub fn on_abort(handler: impl FnOnce() + 'static) {
    HANDLER.set(Some(Box::new(handler)));
}

/// A second thread.
pub fn spawn<T: 'static>(act: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    SEQUENCES.set(0);
    thread::spawn(|| {
        word::this_is_the_other_thread();
        act()
    })
}

pub mod arena {
    use std::sync::OnceLock;

    use super::per_cpu::Slot;
    use super::word::{self, Word};
    use crate::error::Error;

    pub const MAX_LEN: usize = 256;

    pub struct Block<L> {
        len: L,
        words: OnceLock<Slot<[Word]>>,
    }

    impl Block<usize> {
        pub const fn new(len: usize) -> Self {
            let words = OnceLock::new();
            Self { len, words }
        }

        pub const fn len(&self) -> usize {
            self.len
        }

        pub fn made(&self) -> Option<&Slot<[Word]>> {
            self.words.get()
        }

        pub fn words(&self) -> &Slot<[Word]> {
            self.words.get_or_init(|| {
                let words = (0..self.len).map(|_| Word::new(0)).collect::<Box<_>>();
                words.iter().for_each(word::know);
                Slot(words)
            })
        }

        pub fn try_words(&self) -> Result<&Slot<[Word]>, Error> {
            Ok(self.words())
        }
    }
}

pub mod backend {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Backend {
        CpuOpv,
        Membarrier,
    }

    pub fn count(_: Backend) {}
}

pub mod cpu {
    #[derive(Clone, Copy)]
    pub struct Cpu;
}

pub mod memory {
    use std::marker::PhantomData;

    pub struct Memory<'a>(PhantomData<&'a ()>);

    impl Memory<'_> {
        pub fn private() -> Self {
            Self(PhantomData)
        }
    }
}

pub mod per_cpu {
    use std::mem::MaybeUninit;

    use super::cpu::Cpu;
    use super::memory::Memory;
    use super::slots::Slots;
    use super::stopped::Control;
    use super::word::{self, Word};
    use crate::error::Error;

    /// The data of the CPU.
    pub struct Slot<D: ?Sized>(pub Box<D>);

    pub type PerCpu<T> = Slot<T>;

    impl<T> Slot<T> {
        /// # Safety
        ///
        /// It is made of words.
        pub unsafe fn zeroed(_: &Memory<'_>, _kind: u32) -> Result<Self, Error> {
            // SAFETY: words can be 0.
            let data = unsafe { Box::<MaybeUninit<T>>::new(MaybeUninit::zeroed()).assume_init() };
            let words = (&raw const *data).cast::<Word>();
            word::is_first(words);
            for index in 0..size_of::<T>() / size_of::<Word>() {
                // SAFETY: the caller's.
                word::know(unsafe { &*words.add(index) });
            }
            Ok(Self(data))
        }

        pub fn get_on(&self, _: Cpu) -> &T {
            &self.0
        }

        pub fn iter(&self) -> impl Iterator<Item = (Cpu, &T)> {
            std::iter::once((Cpu, &*self.0))
        }
    }

    impl<D: ?Sized> Slots for Slot<D> {
        type Data = D;

        fn slot_of(&self, _: Cpu) -> (&Control, &D) {
            (&Control, &self.0)
        }
    }

    pub fn whole<T: ?Sized>(data: &T) -> &T {
        data
    }
}

pub mod slots {
    use super::backend::Backend;
    use super::cpu::Cpu;
    use super::rseq::At;
    use super::stopped::Control;
    use crate::error::Error;
    use crate::way::{Fast, Operation, Opv, Plain, Stop};

    pub trait Slots {
        type Data: ?Sized;

        fn slot_of(&self, cpu: Cpu) -> (&Control, &Self::Data);

        /// By a thread on the CPU.
        fn here<D: ?Sized, O: Operation<D>>(
            &self,
            part: impl Fn(&Self::Data) -> &D,
            mut operation: O,
        ) -> O::Output {
            // SAFETY: there are no areas here.
            let fast = unsafe { Fast::new(At) };
            match operation.attempt(&fast, part(self.slot_of(Cpu).1)) {
                Ok(output) => output,
                Err(_) => {
                    super::HANDLER
                        .take()
                        .into_iter()
                        .for_each(|handle| handle());
                    self.on(Cpu, part, operation).expect("nobody refuses it")
                }
            }
        }

        /// By a thread elsewhere.
        fn on<D: ?Sized, O: Operation<D>>(
            &self,
            cpu: Cpu,
            part: impl Fn(&Self::Data) -> &D,
            mut operation: O,
        ) -> Result<O::Output, Error> {
            let (control, data) = self.slot_of(cpu);
            let data = part(data);
            loop {
                let attempt = match super::SLOW.get() {
                    Backend::CpuOpv => operation.attempt(&Opv(cpu), data),
                    Backend::Membarrier => operation.attempt(&Plain(&control.stop(cpu)?), data),
                };
                match attempt {
                    Ok(output) => return Ok(output),
                    // What is half done, as seen from elsewhere, comes to its end.
                    Err(Stop::Again) => drop(super::cpu_is_mine()),
                    Err(Stop::Failed(error)) => return Err(error),
                }
            }
        }

        /// The same: nobody refuses it.
        fn on_any<D: ?Sized, O: Operation<D>>(
            &self,
            cpu: Cpu,
            part: impl Fn(&Self::Data) -> &D,
            operation: O,
        ) -> Result<O::Output, Error> {
            self.on(cpu, part, operation)
        }
    }
}

pub mod stopped {
    use std::marker::PhantomData;

    use loom::sync::MutexGuard;

    use super::cpu::Cpu;
    use crate::error::Error;

    pub struct Control;

    pub struct Stopped<'a>(MutexGuard<'static, ()>, PhantomData<&'a Control>);

    impl Control {
        pub fn stop(&self, _: Cpu) -> Result<Stopped<'_>, Error> {
            Ok(Stopped(super::cpu_is_mine(), PhantomData))
        }
    }
}

pub mod sys {
    pub struct Errno(pub std::ffi::c_int);
}
