// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which types can be sent to other threads and shared with them, and be used after a panic, in tables; and what comes
//! of a panic.

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use cpu_opv::vector::{Addend, Outcome, Source, Target, Vector};
use cpu_opv::{
    Backend, Batch, BoundedList, BoundedNode, Buckets, CopyStack, Counter, CounterSet, Cpu, Drain,
    Error, Gauge, Histogram, List, Memory, Node, PerCpu, PerCpuLock, PerCpuLockGuard, Pool, Pooled,
    PushError, RawList, RawStacks, Record, Reservation, Ring, SlowPathCalls, Stack, StealStack,
    Support, Taken, TraceRing, Word,
};

/// `Is::<T>::SEND` is that of the first `impl` that applies: of a type that is `Send`, or else of the trait.
struct Is<T>(PhantomData<T>);

trait Not {
    const SEND: bool = false;
    const SYNC: bool = false;
    const UNWIND_SAFE: bool = false;
    const REF_UNWIND_SAFE: bool = false;
}
impl<T> Not for Is<T> {}

impl<T: Send> Is<T> {
    const SEND: bool = true;
}
impl<T: Sync> Is<T> {
    const SYNC: bool = true;
}
impl<T: UnwindSafe> Is<T> {
    const UNWIND_SAFE: bool = true;
}
impl<T: RefUnwindSafe> Is<T> {
    const REF_UNWIND_SAFE: bool = true;
}

macro_rules! table {
    ($one:ident, $other:ident; $($type:ty: $is_one:literal, $is_other:literal;)*) => {$(
        let is = (Is::<$type>::$one, Is::<$type>::$other);
        assert_eq!(is, ($is_one, $is_other), stringify!($type));
    )*};
}

#[test]
fn what_can_be_sent_and_shared() {
    table! {
        SEND, SYNC;
        // The test itself can tell.
        u8: true, true;
        Rc<u8>: false, false;
        Cell<u8>: true, false;

        Backend: true, true;
        Counter: true, true;
        Gauge: true, true;
        CounterSet: true, true;
        Histogram: true, true;
        Buckets: true, true;
        Cpu: true, true;
        Error: true, true;
        Memory<'static>: true, true;
        Outcome: true, true;
        SlowPathCalls: true, true;
        Support: true, true;
        Word: true, true;
        Vector<'static>: true, true;
        Addend<'static>: false, false;
        Source<'static>: false, false;
        Target<'static>: false, false;
        PushError<u8>: true, true;
        PushError<Rc<u8>>: false, false;

        // It gives out references on any thread, and is dropped by one of them.
        PerCpu<AtomicU32>: true, true;
        PerCpu<Cell<u8>>: false, false;
        PerCpu<Rc<u8>>: false, false;

        // Each of these gives a value to one thread.
        PerCpuLock<u8>: true, true;
        PerCpuLock<Cell<u8>>: true, true;
        PerCpuLock<Rc<u8>>: false, false;
        List<u8>: true, true;
        List<Cell<u8>>: true, true;
        List<Rc<u8>>: false, false;
        Taken<Cell<u8>>: true, true;
        Taken<Rc<u8>>: false, false;
        Node<u8>: true, true;
        Node<Cell<u8>>: true, false;
        Node<Rc<u8>>: false, false;
        BoundedList<u8>: true, true;
        BoundedList<Cell<u8>>: true, true;
        BoundedList<Rc<u8>>: false, false;
        BoundedNode<Cell<u8>>: true, false;
        Taken<Cell<u8>, 2>: true, true;
        Taken<Rc<u8>, 2>: false, false;
        Stack<usize, 1>: true, true;
        Stack<Box<Cell<u8>>, 1>: true, true;
        Stack<Box<Rc<u8>>, 1>: false, false;
        Stack<Arc<Cell<u8>>, 1>: false, false;
        Stack<&'static Cell<u8>, 1>: false, false;
        Stack<NonNull<u8>, 1>: false, false;
        StealStack<usize, 1>: true, true;
        StealStack<Box<Cell<u8>>, 1>: true, true;
        StealStack<Box<Rc<u8>>, 1>: false, false;
        StealStack<Arc<Cell<u8>>, 1>: false, false;
        CopyStack<u8, 1>: true, true;
        CopyStack<*const u8, 1>: false, false;
        Batch<usize, 1>: true, true;
        Batch<Box<Cell<u8>>, 1>: true, false;
        Batch<Box<Rc<u8>>, 1>: false, false;
        Pool<u8>: true, true;
        Pool<Cell<u8>>: true, true;
        Pooled<'static, u8>: true, true;
        Pooled<'static, Cell<u8>>: true, false;
        TraceRing: true, true;
        Drain<'static>: true, true;
        Record: true, true;
        Ring<u8, 1, 1>: true, true;
        Ring<Cell<u8>, 1, 1>: true, true;
        Ring<Rc<u8>, 1, 1>: false, false;
        Reservation<'static, Cell<u8>, 1, 1>: true, true;

        // Its nodes are the caller's to answer for.
        RawList<Rc<u8>>: true, true;

        // A thread that holds a lock is not to wait for itself on another: as with `std::sync::MutexGuard`.
        PerCpuLockGuard<'static, u8>: false, true;
        PerCpuLockGuard<'static, Cell<u8>>: false, false;
    }
}

#[test]
fn what_can_be_used_after_a_panic() {
    table! {
        UNWIND_SAFE, REF_UNWIND_SAFE;
        u8: true, true;
        Cell<u8>: true, false;
        &mut u8: false, true;

        Counter: true, true;
        Gauge: true, true;
        CounterSet: true, true;
        Histogram: true, true;
        PerCpu<Word>: true, true;
        TraceRing: true, true;
        Drain<'static>: true, true;
        RawStacks<1, 1>: true, true;

        // What values they have nobody sees.
        List<Cell<u8>>: true, true;
        RawList<Cell<u8>>: true, true;
        BoundedList<Cell<u8>>: true, true;
        Stack<Box<Cell<u8>>, 1>: true, true;
        StealStack<Box<Cell<u8>>, 1>: true, true;
        CopyStack<*const Cell<u8>, 1>: true, true;
        Ring<Cell<u8>, 1, 1>: true, true;
        Pool<Cell<u8>>: true, true;

        // It is not poisoned.
        PerCpuLock<u8>: true, false;
        PerCpuLock<&mut u8>: false, false;
    }
}

#[test]
fn a_panic_while_making_drops_what_was_made() {
    for made in 0..Cpu::all().len() {
        let alive = Arc::new(());
        let mut left = made;
        let mut init = |_| {
            left = left.checked_sub(1).expect("this panics");
            alive.clone()
        };
        let result = catch_unwind(AssertUnwindSafe(|| drop(PerCpu::new(&mut init))));
        assert!(result.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);

        left = made;
        let mut init = |_| -> Box<dyn Send> {
            left = left.checked_sub(1).expect("this panics");
            Box::new(alive.clone())
        };
        let result = catch_unwind(AssertUnwindSafe(|| drop(PerCpuLock::new(&mut init))));
        assert!(result.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}

/// Values that are read by way of a peek have been written before, for all that threads see: for Miri, mostly.
#[test]
fn what_is_peeked_at_is_complete() {
    const ROUNDS: usize = if cfg!(miri) { 500 } else { 100_000 };
    // What is leaked is still to be found there.
    static LEAKED: Mutex<Vec<&[usize; 2]>> = Mutex::new(Vec::new());
    let jobs: StealStack<&'static [usize; 2], 4> = StealStack::new();
    let cpu = Cpu::current();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..ROUNDS {
                let job = &*Box::leak(Box::new([n, n]));
                LEAKED.lock().unwrap().push(job);
                let _ = jobs.push_on(cpu, job);
                if n % 3 != 0 {
                    let _ = jobs.pop_on(cpu);
                }
            }
        });
        for _ in 0..ROUNDS {
            if let Some([a, b]) = jobs.peek_on(cpu) {
                assert_eq!(a, b);
            }
        }
    });
}

#[test]
fn errors_are_errors_of_the_standard_library_too() {
    let kind = |error: Error| io::Error::from(error).kind();
    assert_eq!(kind(Error::NotSupported), io::ErrorKind::Unsupported);
    assert_eq!(kind(Error::CpuNotAllowed), io::ErrorKind::PermissionDenied);
    assert_eq!(kind(Error::TooLong), io::ErrorKind::InvalidInput);
    let error = io::Error::from(Error::Os(libc::EPERM));
    assert_eq!(error.raw_os_error(), Some(libc::EPERM));

    let all = || -> io::Result<u64> {
        let counter = Counter::try_new()?;
        counter
            .add_on(Cpu::current(), 1)
            .or_else(|error| match error {
                // Moved, and forbidden it.
                Error::CpuNotAllowed => {
                    counter.add(1);
                    Ok(())
                }
                error => Err(error),
            })?;
        Ok(counter.sum())
    };
    assert_eq!(all().unwrap(), 1);
}
