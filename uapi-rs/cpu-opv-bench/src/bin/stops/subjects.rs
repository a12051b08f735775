// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crate's operations that are stopped, each with one that gets in between.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use cpu_opv::{
    CopyStack, Counter, CounterSet, Cpu, Memory, Node, PerCpuLock, RawList, Ring, Stack, StealStack,
};

use crate::round::CALLER;

/// An operation on the data of the CPU that a thread is on, over and over.
pub trait Subject: Sync {
    fn prepare(&self);

    fn call(&self) -> i32;

    /// What another thread does to the data of `cpu`, or of the CPU that it is on. A signal handler may do it.
    fn disturb(&self, cpu: Option<Cpu>);

    /// Whether nothing was lost or done twice.
    fn check(&self, result: i32) -> Result<(), String>;
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{found:?}, not {wanted:?}"))
    }
}

/// Something to put items into and to take them out of.
trait Bag: Sync {
    fn push(&self, cpu: Option<Cpu>, item: usize);
    fn pop(&self, cpu: Option<Cpu>) -> Option<usize>;
}

const ROOM: usize = 8;
const ALLOWED: &str = "this thread may use each CPU";
const FITS: &str = "there is room";

macro_rules! bags {
    ($($type:ty: $into:expr, $from:expr;)*) => {$(
        impl Bag for $type {
            fn push(&self, cpu: Option<Cpu>, item: usize) {
                let pushed = match cpu {
                    None => self.push($into(item)).is_ok(),
                    Some(cpu) => self.push_on(cpu, $into(item)).is_ok(),
                };
                assert!(pushed, "{FITS}");
            }

            fn pop(&self, cpu: Option<Cpu>) -> Option<usize> {
                let item = match cpu {
                    None => self.pop(),
                    Some(cpu) => self.pop_on(cpu).expect(ALLOWED),
                };
                item.map($from)
            }
        }
    )*};
}

bags! {
    Stack<usize, ROOM>: |item| item, |item| item;
    StealStack<usize, ROOM>: |item| item, |item| item;
    CopyStack<[usize; 5], ROOM>: |item| [item; 5], |[item, rest @ ..]: [usize; 5]| {
        assert_eq!(rest, [item; 4], "an item is whole");
        item
    };
}

/// Of nodes that are never freed, as who pops may look at one that another has taken.
struct Nodes(RawList<usize>, [NonNull<Node<usize>>; ROOM]);

// SAFETY: nobody accesses a node but who has taken it out of the list.
unsafe impl Sync for Nodes {}

impl Nodes {
    fn new() -> Self {
        let node = |item| NonNull::from(Box::leak(Box::new(Node::new(item))));
        Self(
            RawList::new_in(Memory::private()).expect("memory"),
            std::array::from_fn(node),
        )
    }
}

impl Bag for Nodes {
    fn push(&self, cpu: Option<Cpu>, item: usize) {
        let node = self.1[item];
        // SAFETY: it is in no list, and never freed.
        unsafe {
            match cpu {
                None => self.0.push(node),
                Some(cpu) => self.0.push_on(cpu, node).expect(ALLOWED),
            }
        }
    }

    fn pop(&self, cpu: Option<Cpu>) -> Option<usize> {
        let node = match cpu {
            None => self.0.pop(),
            Some(cpu) => self.0.pop_on(cpu).expect(ALLOWED),
        };
        node.and_then(|node| self.1.iter().position(|of_item| *of_item == node))
    }
}

/// A push, or a pop, where another takes two items and gives one back: the head is what it was, and what is below it is
/// not.
struct BagSubject<B> {
    bag: B,
    pops: bool,
    kept: AtomicUsize,
}

const PUSHED: usize = 4;

impl<B: Bag> Subject for BagSubject<B> {
    fn prepare(&self) {
        self.kept.store(0, SeqCst);
        let caller = Cpu::new(CALLER);
        (1..=3).for_each(|item| self.bag.push(caller, item));
    }

    fn call(&self) -> i32 {
        if self.pops {
            return self.bag.pop(None).unwrap_or(0) as i32;
        }
        self.bag.push(None, PUSHED);
        0
    }

    fn disturb(&self, cpu: Option<Cpu>) {
        let first = self.bag.pop(cpu);
        self.kept.store(self.bag.pop(cpu).unwrap_or(0), SeqCst);
        if let Some(item) = first {
            self.bag.push(cpu, item);
        }
    }

    fn check(&self, result: i32) -> Result<(), String> {
        // No more than there can be: a list that is broken may have no end.
        let of = |cpu| std::iter::from_fn(move || self.bag.pop(Some(cpu))).take(ROOM);
        let left = Cpu::all().flat_map(of);
        let mut items: Vec<usize> = left
            .chain([result as usize, self.kept.load(SeqCst)])
            .collect();
        items.retain(|item| *item != 0);
        items.sort();
        let last = if self.pops { 3 } else { PUSHED };
        equal(items, (1..=last).collect())
    }
}

/// An addition.
struct Count(Counter, AtomicU64);

impl Subject for Count {
    fn prepare(&self) {
        self.1.store(self.0.sum(), SeqCst);
    }

    fn call(&self) -> i32 {
        self.0.add(1);
        0
    }

    fn disturb(&self, cpu: Option<Cpu>) {
        self.1.fetch_add(100, SeqCst);
        match cpu {
            None => self.0.add(100),
            Some(cpu) => self.0.add_on(cpu, 100).expect(ALLOWED),
        }
    }

    fn check(&self, _: i32) -> Result<(), String> {
        equal(self.0.sum(), self.1.load(SeqCst).wrapping_add(1))
    }
}

/// An addition to two counters in one step.
struct Together(CounterSet, AtomicU64);

impl Together {
    fn add(&self, cpu: Option<Cpu>, n: u64) {
        match cpu {
            None => self.0.add([(0, n), (1, n)]),
            Some(cpu) => self.0.add_on(cpu, [(0, n), (1, n)]).expect(ALLOWED),
        }
    }
}

impl Subject for Together {
    fn prepare(&self) {
        self.1.store(0, SeqCst);
    }

    fn call(&self) -> i32 {
        self.add(None, 1);
        0
    }

    fn disturb(&self, cpu: Option<Cpu>) {
        self.1.fetch_add(100, SeqCst);
        self.add(cpu, 100);
    }

    fn check(&self, _: i32) -> Result<(), String> {
        equal(self.0.drain(), vec![self.1.load(SeqCst) + 1; 2])
    }
}

/// A lock, which one has who counts.
struct Locked(PerCpuLock<usize>, AtomicUsize);

impl Subject for Locked {
    fn prepare(&self) {
        self.1.store(self.sum(), SeqCst);
    }

    fn call(&self) -> i32 {
        *self.0.lock() += 1;
        0
    }

    fn disturb(&self, cpu: Option<Cpu>) {
        let guard = match cpu {
            None => self.0.try_lock(),
            Some(cpu) => self.0.try_lock_on(cpu).expect(ALLOWED),
        };
        if let Some(mut count) = guard {
            *count += 100;
            self.1.fetch_add(100, SeqCst);
        }
    }

    fn check(&self, _: i32) -> Result<(), String> {
        equal(self.sum(), self.1.load(SeqCst) + 1)
    }
}

impl Locked {
    fn sum(&self) -> usize {
        Cpu::all()
            .map(|cpu| *self.0.lock_on(cpu).expect(ALLOWED))
            .sum()
    }
}

/// An entry of a ring.
struct Entry(Ring<usize, 1, ROOM>, AtomicUsize);

impl Subject for Entry {
    fn prepare(&self) {
        self.1.store(0, SeqCst);
    }

    fn call(&self) -> i32 {
        self.0.push(1).expect(FITS);
        0
    }

    fn disturb(&self, cpu: Option<Cpu>) {
        self.1.fetch_add(1, SeqCst);
        match cpu {
            None => self.0.push(2).expect(FITS),
            Some(cpu) => assert!(self.0.push_on(cpu, 2).is_ok(), "{FITS}"),
        }
    }

    fn check(&self, _: i32) -> Result<(), String> {
        let mut found = vec![];
        for cpu in Cpu::all() {
            self.0.consume_on(cpu, |item| found.push(item));
        }
        found.sort();
        let mut wanted = vec![1];
        wanted.resize(1 + self.1.load(SeqCst), 2);
        equal(found, wanted)
    }
}

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Box<dyn Subject>)> {
    fn of_bag<B: Bag + 'static>(bag: B, pops: bool) -> Box<dyn Subject> {
        Box::new(BagSubject {
            bag,
            pops,
            kept: AtomicUsize::new(0),
        })
    }
    let zero = || AtomicUsize::new(0);
    vec![
        (
            "set of counters",
            Box::new(Together(CounterSet::new(2), AtomicU64::new(0))),
        ),
        ("count", Box::new(Count(Counter::new(), AtomicU64::new(0)))),
        ("list push", of_bag(Nodes::new(), false)),
        ("list pop", of_bag(Nodes::new(), true)),
        ("stack push", of_bag(Stack::new(), false)),
        ("stack pop", of_bag(Stack::new(), true)),
        ("steal-stack push", of_bag(StealStack::new(), false)),
        ("steal-stack pop", of_bag(StealStack::new(), true)),
        ("copy-stack push", of_bag(CopyStack::new(), false)),
        ("copy-stack pop", of_bag(CopyStack::new(), true)),
        ("ring push", Box::new(Entry(Ring::new(), zero()))),
        ("lock", Box::new(Locked(PerCpuLock::new(|_| 0), zero()))),
    ]
}
