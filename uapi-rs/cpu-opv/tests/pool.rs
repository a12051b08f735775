// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values that are moved several at once, and a [`Pool`] of objects: nothing is lost, nothing is there twice.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use common::{Random, allowed, is_stress, on_all_threads, operations, threads};
use cpu_opv::{Batch, Cpu, Error, Pool, Pooled, Stack, StealStack};

/// What is left, which nobody else uses now.
fn rest(pop: impl Fn(Cpu) -> Result<Option<usize>, Error>) -> usize {
    let on_one = |cpu| std::iter::from_fn(|| pop(cpu).unwrap()).sum::<usize>();
    allowed().into_iter().map(on_one).sum()
}

#[test]
fn batches_keep_their_values() {
    let stack: Stack<usize, 100> = Stack::new();
    let (put, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all_threads("batches", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for n in 0..operations() / threads() {
            let cpu = cpus[random.below(cpus.len())];
            let mut batch: Batch<usize, 60> = Batch::new();
            let most = random.below(60);
            match random.below(100) {
                0 => stack.take_on(cpu, &mut batch, most).unwrap(),
                _ => stack.take(&mut batch, most),
            }
            assert!(batch.len() <= most);
            // Some are replaced by others.
            for _ in 0..random.below(3) {
                taken.fetch_add(batch.next().unwrap_or(0), Relaxed);
            }
            for value in n..n + random.below(3) {
                if batch.push(value).is_ok() {
                    put.fetch_add(value, Relaxed);
                }
            }
            let before = batch.len();
            let pushed = match random.below(100) {
                0 => stack.push_all_on(cpu, &mut batch).unwrap(),
                _ => stack.push_all(&mut batch),
            };
            assert_eq!(batch.len(), before - pushed);
            // No room.
            taken.fetch_add(batch.sum(), Relaxed);
            if random.below(3) == 0 {
                taken.fetch_add(stack.pop().unwrap_or(0), Relaxed);
            } else if stack.push(n).is_ok() {
                put.fetch_add(n, Relaxed);
            }
        }
    });
    let left = rest(|cpu| stack.pop_on(cpu));
    assert_eq!(taken.into_inner() + left, put.into_inner());
}

#[test]
fn halves_are_stolen_once() {
    let stack: StealStack<usize, 100> = StealStack::new();
    let (put, taken, halves) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    on_all_threads("halves", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for n in 0..operations() / threads() {
            let cpu = cpus[random.below(cpus.len())];
            if random.below(100) == 0 {
                let mut batch: Batch<usize, 50> = Batch::new();
                stack.steal_half(&mut batch);
                halves.fetch_add((batch.len() > 1).into(), Relaxed);
                taken.fetch_add(batch.sum(), Relaxed);
            } else if random.below(20) == 0 {
                // So that others have some, too.
                put.fetch_add(stack.push_on(cpu, n).map_or(0, |()| n), Relaxed);
            } else if stack.push(n).is_ok() {
                put.fetch_add(n, Relaxed);
            }
        }
    });
    assert!(halves.into_inner() != 0 || Cpu::all().len() == 1 || !is_stress());
    let left = rest(|cpu| stack.pop_on(cpu));
    assert_eq!(taken.into_inner() + left, put.into_inner());
}

#[test]
fn a_batch_keeps_the_order_of_the_stack() {
    let cpu = allowed()[0];
    let stack: Stack<usize, 1000> = Stack::new();
    let mut batch: Batch<usize, 1000> = Batch::new();
    (0..700).for_each(|value| batch.push(value).unwrap());
    // No more than 4096 bytes at once, the last ones first.
    const AT_ONCE: usize = 4096 / size_of::<usize>();
    let first = AT_ONCE.min(700);
    assert_eq!(stack.push_all_on(cpu, &mut batch), Ok(first));
    assert_eq!(stack.push_all_on(cpu, &mut batch), Ok(700 - first));
    assert_eq!(stack.pop_on(cpu), Ok(Some(699 - first % 700)));

    let stack: Stack<usize, 4> = Stack::new();
    let mut batch: Batch<usize, 8> = Batch::new();
    (0..6).for_each(|value| batch.push(value).unwrap());
    assert_eq!(stack.push_all_on(cpu, &mut batch), Ok(4));
    assert_eq!(stack.push_all_on(cpu, &mut batch), Ok(0));
    stack.take_on(cpu, &mut batch, 3).unwrap();
    assert!(batch.eq([5, 4, 3, 1, 0]));
    assert_eq!(stack.pop_on(cpu), Ok(Some(2)));
}

#[test]
fn a_batch_drops_what_is_left() {
    let item = Arc::new(());
    let mut batch: Batch<Arc<()>, 3> = Batch::new();
    for _ in 0..3 {
        batch.push(item.clone()).unwrap();
    }
    assert!(batch.push(item.clone()).is_err());
    drop(batch.next());
    assert_eq!(Arc::strong_count(&item), 3);
    drop(batch);
    assert_eq!(Arc::strong_count(&item), 1);
}

/// An object that breaks if two threads have it.
struct Object<'a> {
    uses: [usize; 2],
    alive: &'a AtomicUsize,
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Relaxed);
    }
}

#[test]
fn pool_keeps_its_objects() {
    let alive = AtomicUsize::new(0);
    let pool = Pool::new(|| {
        alive.fetch_add(1, Relaxed);
        Object {
            uses: [0; 2],
            alive: &alive,
        }
    });
    on_all_threads("pool", |index| {
        let mut random = Random::new(index);
        // So many at a time that magazines come to be empty, and full.
        let mut held = Vec::new();
        for _ in 0..operations() / threads() {
            if random.below(200) == 0 {
                held.truncate(random.below(100));
            }
            if random.below(10_000) == 0 {
                pool.trim();
            }
            let mut object = pool.get();
            object.uses[0] += 1;
            std::hint::black_box(&mut object.uses);
            object.uses[1] += 1;
            assert_eq!(object.uses[0], object.uses[1]);
            match random.below(1000) {
                0 => drop(Pooled::into_inner(object)),
                1 => thread::yield_now(),
                _ => held.push(object),
            }
        }
    });
    let kept = pool.kept();
    assert_eq!(kept, alive.load(Relaxed));
    assert!(kept <= 2 * 64 * Cpu::all().len());
    assert_eq!(pool.trim(), kept);
    assert_eq!(alive.load(Relaxed), 0);
}

/// Between threads of which one gets all and the other one gives all back, objects go around by the depot.
#[test]
fn objects_come_back_from_another_cpu() {
    let made = AtomicUsize::new(0);
    let pool = Pool::new(|| made.fetch_add(1, Relaxed));
    let rounds = if cfg!(miri) { 5 } else { 100 };
    for _ in 0..rounds {
        let (sender, receiver) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let cpus = allowed();
            let pool = &pool;
            let (first, last) = (cpus[0], cpus[cpus.len() - 1]);
            scope.spawn(move || {
                stay_on(first);
                (0..100).for_each(|_| sender.send(pool.get()).unwrap());
            });
            scope.spawn(move || {
                stay_on(last);
                receiver.into_iter().for_each(drop);
            });
        });
    }
    // What is at the CPUs, and under way.
    assert!(made.load(Relaxed) <= 100 + 64 * Cpu::all().len());
    assert_eq!(pool.kept(), made.load(Relaxed));
}

fn stay_on(cpu: Cpu) {
    if cfg!(not(miri)) {
        common::stay_on(&[cpu]);
    }
}

/// An object that looks at its pool when it is dropped.
struct Looks;

static LOOKED_AT: LazyLock<Pool<Looks>> = LazyLock::new(|| Pool::new(|| Looks));

impl Drop for Looks {
    fn drop(&mut self) {
        LOOKED_AT.kept();
    }
}

#[test]
fn objects_are_dropped_without_a_lock() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        // More than there is room for on a CPU: the depot has some.
        drop((0..1000).map(|_| LOOKED_AT.get()).collect::<Vec<_>>());
        assert_ne!(LOOKED_AT.trim(), 0);
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(Duration::from_secs(600))
        .expect("it comes back");
}
