// SPDX-License-Identifier: MIT OR Apache-2.0

//! A [`BoundedList`] under load, from its own CPU and from others: nothing is lost, nothing is there twice, it is never
//! longer than its limit, and its length is that of its nodes.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Pool, Random, allowed, drain, on_all_threads, operations, stir, threads};
use cpu_opv::{BoundedList, BoundedNode, Cpu, Error, PushError};

// Miri is slow.
const ITEMS: usize = if cfg!(miri) { 50 } else { 1000 };

type Item = Box<BoundedNode<Owned>>;

/// An item that breaks if two threads have it.
struct Owned {
    number: usize,
    uses: [usize; 2],
}

fn item(number: usize) -> Item {
    let uses = [0; 2];
    Box::new(BoundedNode::new(Owned { number, uses }))
}

impl Pool for BoundedList<Owned> {
    type Item = Item;

    fn push(&self, item: Item) -> Result<(), Item> {
        self.push(item)
    }
    fn pop(&self) -> Option<Item> {
        self.pop()
    }
    fn push_on(&self, cpu: Cpu, item: Item) -> Result<(), PushError<Item>> {
        self.push_on(cpu, item)
    }
    fn pop_on(&self, cpu: Cpu) -> Result<Option<Item>, Error> {
        self.pop_on(cpu)
    }
    fn work(item: &mut Item) {
        item.uses[0] += 1;
        std::hint::black_box(&mut item.uses);
        item.uses[1] += 1;
        assert_eq!(item.uses[0], item.uses[1]);
    }
}

/// Each of `0..ITEMS` is there once.
fn all_there(mut items: Vec<usize>) {
    items.sort_unstable();
    assert!(items.into_iter().eq(0..ITEMS));
}

/// How many there are on all CPUs.
fn len<T: Send>(list: &BoundedList<T>) -> usize {
    Cpu::all().map(|cpu| list.len_on(cpu)).sum()
}

#[test]
fn it_keeps_its_nodes() {
    let list = BoundedList::new(ITEMS);
    for number in 0..ITEMS {
        assert!(list.push(item(number)).is_ok());
    }
    on_all_threads("bounded list", |index| stir(&list, index));
    assert_eq!(len(&list), ITEMS);
    all_there(drain(&list).iter().map(|item| item.number).collect());
    assert_eq!(len(&list), 0);
}

/// With a limit that they run into all the time.
#[test]
fn it_keeps_to_its_limit() {
    let cpus = allowed();
    let list = BoundedList::new(ITEMS.div_ceil(cpus.len()) + 1);
    for number in 0..ITEMS {
        let cpu = cpus[number % cpus.len()];
        assert!(list.push_on(cpu, item(number)).is_ok());
    }
    on_all_threads("bounded list, full", |index| {
        stir(&list, index);
        assert!(cpus.iter().all(|cpu| list.len_on(*cpu) <= list.limit()));
    });
    all_there(drain(&list).iter().map(|item| item.number).collect());
}

#[test]
fn it_is_taken_whole() {
    const LIMIT: usize = 20;
    let list = BoundedList::new(LIMIT);
    let (put, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    on_all_threads("bounded list, taken", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for n in 0..operations() / threads() {
            let cpu = cpus[random.below(cpus.len())];
            match random.below(100) {
                0 => {
                    let nodes = list.take_on(cpu).unwrap();
                    let len = nodes.len();
                    assert!(len <= LIMIT, "{len}");
                    let nodes: Vec<_> = nodes.map(|node| **node).collect();
                    assert_eq!(nodes.len(), len);
                    taken.fetch_add(nodes.iter().sum(), Relaxed);
                }
                1..10 => {
                    let node = list.pop();
                    taken.fetch_add(node.map_or(0, |node| **node), Relaxed);
                }
                _ => {
                    let pushed = list.push(Box::new(BoundedNode::new(n)));
                    put.fetch_add(pushed.map_or(0, |()| n), Relaxed);
                }
            }
            assert!(list.len_on(cpu) <= LIMIT);
        }
    });
    let mut left = 0;
    for cpu in allowed() {
        let len = list.len_on(cpu);
        let nodes = list.take_on(cpu).unwrap();
        assert_eq!(nodes.len(), len);
        left += nodes.map(|node| **node).sum::<usize>();
    }
    assert_eq!(taken.into_inner() + left, put.into_inner());
}

/// A thread that changes a list, and one that only looks, on another CPU if there is one.
#[test]
fn its_length_is_that_of_a_moment() {
    let cpu = allowed()[0];
    let list = BoundedList::new(2);
    // From here on it has one or two, and is neither empty nor longer.
    list.push_on(cpu, Box::new(BoundedNode::new(0))).unwrap();
    let rounds = operations() / 10;
    thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for _ in 0..rounds {
                list.push_on(cpu, Box::new(BoundedNode::new(0))).unwrap();
                let full = list.push_on(cpu, Box::new(BoundedNode::new(0)));
                assert!(matches!(full, Err(PushError::Full(_))), "{full:?}");
                assert!(list.pop_on(cpu).unwrap().is_some());
            }
        });
        while !changes.is_finished() {
            let len = list.len_on(cpu);
            assert!((1..=2).contains(&len), "{len}");
        }
    });
}

#[test]
fn it_is_last_in_first_out_up_to_its_limit() {
    let cpu = allowed()[0];
    let list = BoundedList::new(3);
    for number in 0..3 {
        assert_eq!(list.len_on(cpu), number);
        assert!(list.push_on(cpu, item(number)).is_ok());
    }
    let Err(PushError::Full(surplus)) = list.push_on(cpu, item(3)) else {
        panic!("that is one too many");
    };
    assert_eq!((surplus.number, list.len_on(cpu)), (3, 3));
    let number = |item: Option<Item>| item.map(|item| item.number);
    assert_eq!(number(list.pop_on(cpu).unwrap()), Some(2));
    assert_eq!(list.len_on(cpu), 2);
    assert!(list.push_on(cpu, surplus).is_ok());

    let mut nodes = list.take_on(cpu).unwrap();
    assert_eq!((nodes.len(), list.len_on(cpu)), (3, 0));
    assert_eq!(number(nodes.next()), Some(3));
    assert_eq!(nodes.len(), 2);
    assert!(nodes.map(|item| item.number).eq([1, 0]));
    assert_eq!(list.take_on(cpu).unwrap().len(), 0);
    assert!(list.pop_on(cpu).unwrap().is_none());
    assert!(BoundedList::new(0).push(item(0)).is_err());
}

#[test]
fn it_drops_what_is_left() {
    let alive = Arc::new(());
    let list = BoundedList::new(3);
    for cpu in allowed() {
        for _ in 0..3 {
            let node = Box::new(BoundedNode::new(alive.clone()));
            list.push_on(cpu, node).unwrap();
        }
    }
    drop(list.take_on(allowed()[0]).unwrap());
    assert_eq!(Arc::strong_count(&alive), 1 + 3 * (allowed().len() - 1));
    drop(list);
    assert_eq!(Arc::strong_count(&alive), 1);
}
