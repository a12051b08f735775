// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each structure under load, from its own CPU and from others: nothing is lost, nothing is there twice.
//!
//! `CPU_OPV_STRESS=10000000` makes it that many operations for each structure; `CPU_OPV_BACKEND=Lock` and
//! `CPU_OPV_BACKEND=Membarrier` have them done that way.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{
    Pool, Random, allowed, drain, on_all_threads, on_all_threads_while, operations, stir, threads,
};
use cpu_opv::{
    CopyStack, Counter, Cpu, Error, List, Node, PerCpuLock, PushError, Ring, Stack, StealStack,
};

// Miri is slow.
const ITEMS: usize = if cfg!(miri) { 50 } else { 1000 };

#[test]
fn counter_counts_each() {
    let counter = Counter::new();
    let added = AtomicUsize::new(0);
    on_all_threads("counter", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        let mut sum = 0;
        for n in 0..operations() / threads() {
            match random.below(100) {
                0 => counter
                    .add_on(cpus[random.below(cpus.len())], n as u64)
                    .unwrap(),
                _ => counter.add(n as u64),
            }
            sum = usize::wrapping_add(sum, n);
        }
        added.fetch_add(sum, Relaxed);
    });
    assert_eq!(counter.sum(), added.into_inner() as u64);
}

#[test]
fn lock_excludes() {
    let lock = PerCpuLock::new(|_| [0_usize; 2]);
    on_all_threads("lock", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for _ in 0..operations() / threads() {
            let mut both = match random.below(100) {
                0 => lock.lock_on(cpus[random.below(cpus.len())]).unwrap(),
                _ => lock.lock(),
            };
            both[0] += 1;
            if random.below(1000) == 0 {
                thread::yield_now();
            }
            both[1] += 1;
            assert_eq!(both[0], both[1]);
        }
    });
    let sum: usize = allowed()
        .into_iter()
        .map(|cpu| lock.lock_on(cpu).unwrap()[0])
        .sum();
    assert_eq!(sum, operations() / threads() * threads());
}

/// Each of `0..ITEMS` is there once.
fn all_there(mut items: Vec<usize>) {
    items.sort_unstable();
    assert!(items.into_iter().eq(0..ITEMS));
}

/// An item that breaks if two threads have it.
struct Owned {
    number: usize,
    uses: [usize; 2],
}

impl Owned {
    fn new(number: usize) -> Self {
        Self {
            number,
            uses: [0; 2],
        }
    }

    fn work(&mut self) {
        self.uses[0] += 1;
        std::hint::black_box(&mut self.uses);
        self.uses[1] += 1;
        assert_eq!(self.uses[0], self.uses[1]);
    }
}

impl Pool for List<Owned> {
    type Item = Box<Node<Owned>>;

    fn push(&self, item: Self::Item) -> Result<(), Self::Item> {
        self.push(item);
        Ok(())
    }
    fn pop(&self) -> Option<Self::Item> {
        self.pop()
    }
    fn push_on(&self, cpu: Cpu, item: Self::Item) -> Result<(), PushError<Self::Item>> {
        Ok(self.push_on(cpu, item)?)
    }
    fn pop_on(&self, cpu: Cpu) -> Result<Option<Self::Item>, Error> {
        self.pop_on(cpu)
    }
    fn work(item: &mut Self::Item) {
        item.work();
    }
}

#[test]
fn list_keeps_its_nodes() {
    let list = List::new();
    (0..ITEMS).for_each(|number| list.push(Box::new(Node::new(Owned::new(number)))));
    on_all_threads("list", |index| stir(&list, index));
    all_there(drain(&list).iter().map(|node| node.number).collect());
}

#[test]
fn list_is_taken_whole() {
    let list = List::new();
    let taken = AtomicUsize::new(0);
    let pushed = AtomicUsize::new(0);
    on_all_threads("list, taken", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for n in 0..operations() / threads() {
            list.push(Box::new(Node::new(n)));
            pushed.fetch_add(n, Relaxed);
            if random.below(200) == 0 {
                let nodes = list.take_on(cpus[random.below(cpus.len())]).unwrap();
                taken.fetch_add(nodes.map(|node| **node).sum(), Relaxed);
            }
        }
    });
    let left = allowed()
        .into_iter()
        .flat_map(|cpu| list.take_on(cpu).unwrap());
    let left: usize = left.map(|node| **node).sum();
    assert_eq!(taken.into_inner() + left, pushed.into_inner());
}

/// The methods that all stacks have.
macro_rules! pool {
    ($stack:ty, $item:ty, $work:expr) => {
        impl Pool for $stack {
            type Item = $item;

            fn push(&self, item: $item) -> Result<(), $item> {
                self.push(item)
            }
            fn pop(&self) -> Option<$item> {
                self.pop()
            }
            fn push_on(&self, cpu: Cpu, item: $item) -> Result<(), PushError<$item>> {
                self.push_on(cpu, item)
            }
            fn pop_on(&self, cpu: Cpu) -> Result<Option<$item>, Error> {
                self.pop_on(cpu)
            }
            fn work(item: &mut $item) {
                let work: fn(&mut $item) = $work;
                work(item);
            }
        }
    };
}

// Room for all on any CPU.
type Boxes = Stack<Box<Owned>, ITEMS>;
pool!(Boxes, Box<Owned>, |item| item.work());

#[test]
fn stack_keeps_its_values() {
    let stack = Boxes::new();
    for number in 0..ITEMS {
        assert!(stack.push(Box::new(Owned::new(number))).is_ok());
    }
    on_all_threads("stack", |index| stir(&stack, index));
    all_there(drain(&stack).iter().map(|item| item.number).collect());
}

#[test]
fn stack_is_bounded() {
    let stack: Stack<usize, 3> = Stack::new();
    let cpu = allowed()[0];
    for value in 0..3 {
        assert_eq!(stack.push_on(cpu, value), Ok(()));
    }
    assert_eq!(stack.push_on(cpu, 3), Err(PushError::Full(3)));
    assert_eq!(stack.len_on(cpu), 3);
    assert_eq!(stack.pop_on(cpu), Ok(Some(2)));
}

#[test]
fn stack_drops_what_is_left() {
    let item = std::sync::Arc::new(());
    let stack: Stack<std::sync::Arc<()>, 8> = Stack::new();
    for cpu in allowed() {
        stack.push_on(cpu, item.clone()).unwrap();
    }
    drop(stack);
    assert_eq!(std::sync::Arc::strong_count(&item), 1);
}

#[test]
fn values_are_stolen_once() {
    let stack: StealStack<usize, ITEMS> = StealStack::new();
    let taken = AtomicUsize::new(0);
    let pushed = AtomicUsize::new(0);
    on_all_threads("steal", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for n in 0..operations() / threads() {
            if random.below(2) == 0 {
                if stack.push(n).is_ok() {
                    pushed.fetch_add(n, Relaxed);
                }
            } else if let Some(n) = match random.below(20) {
                0 => stack.steal(),
                _ => stack.pop(),
            } {
                taken.fetch_add(n, Relaxed);
            }
            if random.below(10) == 0 {
                let peeked = stack.peek_on(cpus[random.below(cpus.len())]);
                assert!(peeked.is_none_or(|n| n < operations()));
            }
        }
    });
    let on_one = |cpu| std::iter::from_fn(|| stack.pop_on(cpu).unwrap()).sum::<usize>();
    let left: usize = allowed().into_iter().map(on_one).sum();
    assert_eq!(taken.into_inner() + left, pushed.into_inner());
}

// An odd length, so that there are bytes after the last word.
type Data = [u8; 203];
type Copies = CopyStack<Data, ITEMS>;
pool!(Copies, Data, |item| {
    let number = number(item);
    *item = data(number);
});

fn data(number: usize) -> Data {
    std::array::from_fn(|index| (number >> (index % 2 * 8)) as u8)
}

fn number(data: &Data) -> usize {
    let number = usize::from(u16::from_le_bytes([data[0], data[1]]));
    assert_eq!(*data, self::data(number), "torn");
    number
}

#[test]
fn data_is_copied_whole() {
    let stack = Copies::new();
    for number in 0..ITEMS {
        assert!(stack.push(data(number)).is_ok());
    }
    on_all_threads("copies", |index| stir(&stack, index));
    all_there(drain(&stack).iter().map(number).collect());
}

#[test]
fn ring_keeps_order() {
    let ring: Ring<(usize, usize), 8, 16> = Ring::new();
    // Of each thread, what was seen of it on each CPU.
    let mut seen = vec![vec![Vec::new(); Cpu::all().len()]; threads()];
    let consume = |seen: &mut Vec<Vec<Vec<usize>>>| {
        Cpu::all()
            .map(|cpu| {
                ring.consume_on(cpu, |(thread, number)| {
                    seen[thread][cpu.number()].push(number);
                })
            })
            .sum::<usize>()
    };
    let meanwhile = || {
        if consume(&mut seen) == 0 {
            thread::yield_now();
        }
    };
    on_all_threads_while("ring", meanwhile, |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for number in 0..operations() / threads() {
            let value = (index, number);
            loop {
                let reserved = match random.below(100) {
                    0 => ring.reserve_on(cpus[random.below(cpus.len())]).unwrap(),
                    _ => ring.reserve(),
                };
                let Some(reservation) = reserved else {
                    thread::yield_now();
                    continue;
                };
                match random.below(500) {
                    // Given up; then again.
                    0 => drop(reservation),
                    // Moved in between, most likely.
                    1 => {
                        thread::yield_now();
                        break reservation.commit(value);
                    }
                    _ => break reservation.commit(value),
                }
            }
        }
    });
    while consume(&mut seen) != 0 {}
    for of_thread in seen {
        assert!(of_thread.iter().all(|numbers| numbers.is_sorted()));
        let mut numbers = of_thread.concat();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..operations() / threads()));
    }
}

#[test]
fn ring_gives_no_more_than_it_has_room_for() {
    let ring: Ring<usize, 4, 4> = Ring::new();
    let cpu = allowed()[0];
    ring.push_on(cpu, 0).unwrap();
    // Each makes another one.
    let consumed = ring.consume_on(cpu, |n| {
        if n < 1000 {
            ring.push_on(cpu, n + 1).unwrap();
        }
    });
    assert!(consumed <= 16, "{consumed}");
    assert_eq!(ring.len_on(cpu), 1);
}

#[test]
fn ring_drops_what_is_left() {
    let item = std::sync::Arc::new(());
    let ring: Ring<std::sync::Arc<()>, 2, 2> = Ring::new();
    let cpu = allowed()[0];
    for _ in 0..4 {
        ring.push_on(cpu, item.clone()).unwrap();
    }
    assert!(matches!(
        ring.push_on(cpu, item.clone()),
        Err(PushError::Full(_))
    ));
    drop(ring.reserve());
    let mut consumed = 0;
    ring.consume_on(cpu, |_| consumed += 1);
    assert_eq!(consumed, 4);
    ring.push_on(cpu, item.clone()).unwrap();
    drop(ring);
    assert_eq!(std::sync::Arc::strong_count(&item), 1);
}
