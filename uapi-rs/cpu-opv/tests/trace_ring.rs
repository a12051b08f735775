// SPDX-License-Identifier: MIT OR Apache-2.0

//! Records of a [`TraceRing`] under load: each is whole, in order, there once, or counted as lost.

mod common;

use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    HANDLER, NoteFailure, Random, allowed, alone, is_stress, on_all_threads, on_all_threads_while,
    operations, stay_on, threads,
};
use cpu_opv::LossMode::{Discard, Overwrite};
use cpu_opv::{Cpu, Error, PushError, Record, TraceRing};

/// A record of this thread, of a length that its number tells, up to some 300 bytes; each fiftieth is long.
fn data(thread: usize, number: usize) -> Vec<u8> {
    let len = match number % 50 {
        0 => number * 7 % (TraceRing::MAX_LEN - 16),
        _ => number * 13 % 300,
    };
    let mut data = [thread as u64, number as u64]
        .map(u64::to_le_bytes)
        .concat();
    data.extend((0..len).map(|index| (thread + number + index) as u8));
    data
}

fn parse(record: &Record) -> (usize, usize) {
    let word = |index: usize| {
        let bytes = record.data[8 * index..][..8].try_into().unwrap();
        u64::from_le_bytes(bytes) as usize
    };
    let (thread, number) = (word(0), word(1));
    assert!(record.data == data(thread, number), "torn");
    (thread, number)
}

/// What a consumer has seen: checks order as it comes.
struct Seen {
    /// Of each thread, its numbers, by CPU.
    numbers: Vec<Vec<Vec<usize>>>,
    times: Vec<Duration>,
    missed: usize,
}

impl Seen {
    fn new() -> Self {
        let cpus = Cpu::all().len();
        Self {
            numbers: vec![vec![Vec::new(); cpus]; threads()],
            times: vec![Duration::ZERO; cpus],
            missed: 0,
        }
    }

    /// How many there were.
    fn drain(&mut self, ring: &TraceRing, most: usize) -> usize {
        let mut latest = Duration::ZERO;
        let mut len = 0;
        for record in ring.drain().take(most) {
            let cpu = record.cpu.number();
            assert!(record.time >= latest, "not merged by time");
            assert!(record.time >= self.times[cpu], "times of a CPU go back");
            latest = record.time;
            self.times[cpu] = latest;
            let (thread, number) = parse(&record);
            self.numbers[thread][cpu].push(number);
            self.missed += record.missed;
            len += 1;
        }
        len
    }

    /// Of each thread, its numbers are there once, and on each CPU in order.
    fn check(&self, pushed: impl Fn(usize) -> Vec<usize>) {
        for (thread, by_cpu) in self.numbers.iter().enumerate() {
            assert!(by_cpu.iter().all(|numbers| numbers.is_sorted()));
            let mut numbers = by_cpu.concat();
            numbers.sort_unstable();
            assert_eq!(numbers, pushed(thread), "of thread {thread}");
        }
    }

    fn len(&self) -> usize {
        self.numbers.iter().flatten().map(Vec::len).sum()
    }
}

fn lost(ring: &TraceRing) -> usize {
    Cpu::all().map(|cpu| ring.lost_on(cpu)).sum()
}

/// Pushes on this CPU, or now and then on another.
fn push(ring: &TraceRing, random: &mut Random, cpus: &[Cpu], data: &[u8]) -> bool {
    let pushed = match random.below(50) {
        0 => ring.push_on(cpus[random.below(cpus.len())], data),
        _ => ring.push(data),
    };
    match pushed {
        Ok(()) => true,
        Err(PushError::Full(())) => false,
        Err(error) => panic!("{error}"),
    }
}

/// A consumer that keeps up, as producers wait for it.
#[test]
fn all_are_there_in_order() {
    let _alone = alone();
    let ring = TraceRing::new(64 << 10, Discard);
    let mut seen = Seen::new();
    let mut most = 0;
    let meanwhile = || {
        most = (most + 7) % 1000;
        if seen.drain(&ring, most) < most {
            thread::yield_now();
        }
    };
    let full = AtomicUsize::new(0);
    on_all_threads_while("trace", meanwhile, |index| {
        let (mut random, cpus) = (Random::new(index), allowed());
        for number in 0..operations() / threads() {
            let data = data(index, number);
            while !push(&ring, &mut random, &cpus, &data) {
                full.fetch_add(1, Relaxed);
                common::yield_now();
            }
        }
    });
    while seen.drain(&ring, usize::MAX) != 0 {}
    seen.check(|_| (0..operations() / threads()).collect());
    assert_eq!((seen.missed, lost(&ring)), (0, full.into_inner()));
}

/// What a thread puts onto one CPU's ring and then onto another's is never seen in another order, whatever is in which
/// drain.
#[test]
fn a_cause_comes_before_its_effect() {
    let _alone = alone();
    let ring = TraceRing::new(64 << 10, Discard);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _failure = NoteFailure;
        scope.spawn(|| {
            let _failure = NoteFailure;
            let cpus = allowed();
            for number in 0..operations() / 2 {
                let cpu = cpus[number % cpus.len()];
                while ring.push_on(cpu, &number.to_le_bytes()).is_err() {
                    common::yield_now();
                }
            }
            done.store(true, Release);
        });
        let mut next = 0;
        loop {
            let is_done = done.load(Acquire);
            for record in ring.drain() {
                let number = usize::from_le_bytes(record.data[..].try_into().unwrap());
                assert_eq!(number, next, "its cause comes later");
                next += 1;
            }
            if is_done {
                break assert_eq!(next, operations() / 2);
            }
        }
    });
}

/// A slow consumer, whose ring discards: what was pushed is there, and all else is counted.
#[test]
fn what_is_discarded_is_counted() {
    let _alone = alone();
    let ring = TraceRing::new(16 << 10, Discard);
    let pushed: Vec<_> = (0..threads()).map(|_| Mutex::new(Vec::new())).collect();
    let mut seen = Seen::new();
    let meanwhile = || {
        thread::sleep(Duration::from_millis(1));
        seen.drain(&ring, 20);
    };
    on_all_threads_while("trace, slow consumer", meanwhile, |index| {
        let (mut random, cpus) = (Random::new(index), allowed());
        let mut pushed = pushed[index].lock().unwrap();
        for number in 0..operations() / threads() {
            if push(&ring, &mut random, &cpus, &data(index, number)) {
                pushed.push(number);
            }
        }
    });
    while seen.drain(&ring, usize::MAX) != 0 {}
    seen.check(|thread| pushed[thread].lock().unwrap().clone());
    assert!(lost(&ring) != 0 || !is_stress());
    assert_eq!(
        seen.len() + lost(&ring),
        operations() / threads() * threads()
    );
}

/// A slow consumer, whose ring overwrites: producers always succeed, and it knows how many it has missed.
#[test]
fn what_is_overwritten_is_missed() {
    let _alone = alone();
    let ring = TraceRing::new(16 << 10, Overwrite);
    let mut seen = Seen::new();
    let mut nap = 0;
    let meanwhile = || {
        // At times just behind the producers.
        nap = (nap + 1) % 10;
        if nap == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        seen.drain(&ring, usize::MAX);
    };
    on_all_threads_while("trace, overwritten", meanwhile, |index| {
        let (mut random, cpus) = (Random::new(index), allowed());
        for number in 0..operations() / threads() {
            assert!(push(&ring, &mut random, &cpus, &data(index, number)));
        }
    });
    while seen.drain(&ring, usize::MAX) != 0 {}
    for by_cpu in &seen.numbers {
        assert!(by_cpu.iter().all(|numbers| numbers.is_sorted()));
    }
    assert!(seen.missed != 0 || !is_stress());
    assert_eq!(seen.missed, lost(&ring));
    assert_eq!(
        seen.len() + seen.missed,
        operations() / threads() * threads()
    );
}

/// A consumer that takes a few and is never seen again.
#[test]
fn nobody_waits_for_a_dead_consumer() {
    let _alone = alone();
    for mode in [Discard, Overwrite] {
        let ring = TraceRing::new(0, mode);
        ring.push(b"first").unwrap();
        assert_eq!(ring.drain().take(1).count(), 1);
        on_all_threads("trace, dead consumer", |index| {
            let (mut random, cpus) = (Random::new(index), allowed());
            for number in 0..operations() / threads() {
                push(&ring, &mut random, &cpus, &data(index, number));
            }
        });
        // The last of each thread is there if it overwrites, and the first are if it discards.
        let mut seen = Seen::new();
        seen.drain(&ring, usize::MAX);
        let all = operations() / threads() * threads();
        assert_eq!(seen.len() + lost(&ring), all, "{mode:?}");
    }
}

/// A thread that is stopped anywhere in a push keeps neither the consumer nor other producers waiting.
#[test]
#[cfg_attr(miri, ignore = "there are no signals")]
fn nobody_waits_for_a_stopped_producer() {
    let _alone = alone();
    static RING: LazyLock<TraceRing> = LazyLock::new(|| TraceRing::new(0, Discard));
    static CONSUMED: AtomicUsize = AtomicUsize::new(0);
    static STOPS: AtomicUsize = AtomicUsize::new(0);
    const STOPS_ENOUGH: usize = 30;

    extern "C" fn stop(_signal: libc::c_int) {
        // This thread goes on only when others have.
        let before = CONSUMED.load(Relaxed);
        let start = Instant::now();
        while CONSUMED.load(Relaxed) < before + 200 && !common::has_failed() {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "all wait for this one"
            );
            thread::yield_now();
        }
        STOPS.fetch_add(1, Relaxed);
    }
    // SAFETY: the handler does nothing that is forbidden in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stop as *const () as usize;
        assert_eq!(
            libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
            0
        );
    }
    LazyLock::force(&RING);
    let cpu = allowed()[0];
    let (done, victim) = (AtomicBool::new(false), AtomicI32::new(0));
    let is_done = || done.load(Relaxed) || common::has_failed();
    let produce = || {
        let _failure = NoteFailure;
        stay_on(&[cpu]);
        while !is_done() {
            let _ = RING.push(&[1; 100]);
        }
    };
    thread::scope(|scope| {
        let _failure = NoteFailure;
        scope.spawn(|| {
            // SAFETY: takes nothing.
            victim.store(unsafe { libc::gettid() }, Relaxed);
            produce();
        });
        scope.spawn(produce);
        scope.spawn(|| {
            let _failure = NoteFailure;
            while !is_done() {
                CONSUMED.fetch_add(RING.drain().count(), Relaxed);
            }
        });
        while victim.load(Relaxed) == 0 {
            thread::yield_now();
        }
        for stop in 0..STOPS_ENOUGH {
            let victim = victim.load(Relaxed);
            // SAFETY: takes no memory.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), victim, libc::SIGUSR1) };
            while STOPS.load(Relaxed) <= stop {
                common::yield_now();
                thread::sleep(Duration::from_micros(100));
            }
        }
        done.store(true, Relaxed);
    });
}

/// Handlers push too, wherever they interrupt a push.
#[test]
#[cfg_attr(miri, ignore = "there are no signals")]
fn handlers_may_push() {
    let _alone = alone();
    static RING: LazyLock<TraceRing> = LazyLock::new(|| TraceRing::new(0, Overwrite));
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    static ON: AtomicBool = AtomicBool::new(false);
    LazyLock::force(&RING);
    HANDLER
        .set(|| {
            if ON.load(Relaxed) {
                RING.push(b"from a handler").unwrap();
                HANDLED.fetch_add(1, Relaxed);
            }
        })
        .unwrap();
    ON.store(true, Relaxed);
    let mut handled = 0;
    let mut rest = 0;
    let mut missed = 0;
    let mut drain = || {
        for record in RING.drain() {
            missed += record.missed;
            match record.data.as_slice() {
                b"from a handler" => handled += 1,
                _ => {
                    parse(&record);
                    rest += 1;
                }
            }
        }
    };
    let pushed = AtomicUsize::new(0);
    on_all_threads_while("trace, handlers", &mut drain, |index| {
        let (mut random, cpus) = (Random::new(index), allowed());
        let mut number = 0;
        while number < operations() / threads() || HANDLED.load(Relaxed) < 100 {
            assert!(push(&RING, &mut random, &cpus, &data(index, number % 1000)));
            number += 1;
            if number % 1000 == 0 {
                common::yield_now();
            }
        }
        pushed.fetch_add(number, Relaxed);
    });
    ON.store(false, Relaxed);
    drain();
    assert_ne!(handled, 0);
    assert_eq!(
        handled + rest + missed,
        pushed.into_inner() + HANDLED.load(Relaxed)
    );
}

#[test]
fn each_length_fits_at_each_place() {
    let cpu = allowed()[0];
    for mode in [Discard, Overwrite] {
        let ring = TraceRing::new(0, mode);
        let step = if cfg!(miri) { 997 } else { 1 };
        for len in (0..=TraceRing::MAX_LEN)
            .step_by(step)
            .chain([TraceRing::MAX_LEN])
        {
            let data = vec![len as u8; len];
            assert_eq!(ring.push_on(cpu, &data), Ok(()));
            let records: Vec<_> = ring.drain_on(cpu).collect();
            assert_eq!(records.len(), 1, "{mode:?}, {len}");
            assert_eq!((records[0].cpu, records[0].missed), (cpu, 0));
            assert!(records[0].data == data);
        }
        let too_long = ring.push(&[0; TraceRing::MAX_LEN + 1]);
        assert_eq!(too_long, Err(PushError::Failed(Error::TooLong, ())));
        assert_eq!(lost(&ring), 0);
    }
    assert_eq!(
        TraceRing::try_new(usize::MAX, Discard).err(),
        Some(Error::Layout)
    );
}

/// The first ones are kept, or the last ones.
#[test]
fn the_mode_tells_what_is_lost() {
    let cpu = allowed()[0];
    let numbers = |mode| {
        let ring = TraceRing::new(0, mode);
        for number in 0..2000_u32 {
            let pushed = ring.push_on(cpu, &number.to_le_bytes());
            assert_eq!(pushed.is_err(), mode == Discard && ring.lost_on(cpu) != 0);
        }
        let records: Vec<_> = ring.drain().collect();
        let lost = ring.lost_on(cpu);
        assert_eq!(lost + records.len(), 2000);
        let number = |record: &Record| u32::from_le_bytes(record.data[..].try_into().unwrap());
        (
            number(&records[0]),
            number(records.last().unwrap()),
            records[0].missed,
        )
    };
    let (first, last, missed) = numbers(Discard);
    assert_eq!((first, missed), (0, 0));
    assert!(last < 1000);
    let (first, last, missed) = numbers(Overwrite);
    assert_eq!((last, missed), (1999, first as usize));
    assert!(first > 1000);
}
