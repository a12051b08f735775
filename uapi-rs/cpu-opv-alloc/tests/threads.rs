// SPDX-License-Identifier: MIT OR Apache-2.0

//! Ten thousand threads that come and go (a thousand at the least, by `CPU_OPV_STRESS`), and 64 that stay: what they
//! hoard is what the CPUs may, and no more.

mod common;

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Accounts, Block, Random, allowed, operations};
use cpu_opv_alloc::CpuOpvAlloc;

#[global_allocator]
static GLOBAL: CpuOpvAlloc = CpuOpvAlloc::new();

static ACCOUNTS: Accounts = Accounts::new();
static ALLOC: CpuOpvAlloc<&Accounts> = CpuOpvAlloc::with_backing(&ACCOUNTS);
type TestBlock = Block<'static, CpuOpvAlloc<&'static Accounts>>;

/// The most that a CPU keeps, and all depots together, as the documentation says; and then some, since threads are
/// preempted with blocks in hand.
const PER_CPU: usize = 4 << 20;
const DEPOTS: usize = 12 << 20;

fn some_blocks(random: &mut Random, count: usize) -> Vec<TestBlock> {
    (0..count)
        .map(|_| Block::new(&ALLOC, random.layout(), false))
        .collect()
}

/// Frees a block when a thread ends: after that what its thread-local data still does.
struct AtExit(Option<TestBlock>);

thread_local!(static AT_EXIT: std::cell::RefCell<AtExit> = const { std::cell::RefCell::new(AtExit(None)) });

impl Drop for AtExit {
    fn drop(&mut self) {
        let block = self.0.take();
        // One more is had and freed, that late.
        drop((block, black_box(Box::new([0_u8; 100]))));
        FREED_AT_EXIT.fetch_add(1, Relaxed);
    }
}

static FREED_AT_EXIT: AtomicUsize = AtomicUsize::new(0);

#[test]
fn threads_leave_nothing_behind() {
    // No others come to hold anything.
    let cpus = allowed().len();
    let most = cpus * PER_CPU + DEPOTS;

    // A hundred at a time: each frees what one before it has allocated.
    const AT_ONCE: usize = 100;
    const BLOCKS: usize = 20;
    let rounds = (operations() / 4_000).max(10);
    let mut handed_on: Vec<Vec<TestBlock>> = (0..AT_ONCE).map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let threads: Vec<_> = handed_on
            .into_iter()
            .enumerate()
            .map(|(index, before)| {
                thread::spawn(move || {
                    drop(before);
                    let mut random = Random::new(round * AT_ONCE + index);
                    AT_EXIT
                        .with_borrow_mut(|at_exit| at_exit.0 = some_blocks(&mut random, 1).pop());
                    some_blocks(&mut random, BLOCKS)
                })
            })
            .collect();
        handed_on = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
    }
    drop(handed_on);
    assert_eq!(FREED_AT_EXIT.load(Relaxed), rounds * AT_ONCE);
    println!("{} bytes out, {} cached", ACCOUNTS.out(), ALLOC.cached());
    assert!(ACCOUNTS.out() as usize <= most);

    // All at once, and then asleep. Who fails an assertion would keep the others waiting: so they come last.
    const MANY: usize = 64;
    // Of 4 KiB on average: more than the caches may keep.
    let many_blocks = (20 * cpus).max(500);
    let step = Barrier::new(MANY + 1);
    let [peak, left, drained] = thread::scope(|scope| {
        for index in 0..MANY {
            let step = &step;
            scope.spawn(move || {
                let blocks = some_blocks(&mut Random::new(index), many_blocks);
                step.wait(); // all have theirs
                step.wait(); // and that was seen
                drop(blocks);
                step.wait(); // all are free
                step.wait(); // all was looked at
            });
        }
        step.wait();
        let peak = ACCOUNTS.out();
        step.wait();
        step.wait();
        let left = ACCOUNTS.out();
        // They are asleep, and one that is not can have it all.
        ALLOC.drain();
        let drained = ACCOUNTS.out();
        step.wait();
        [peak, left, drained]
    });
    println!("{MANY} threads: {peak} bytes out, {left} when they are asleep");
    assert!(peak as usize > most, "else it shows nothing");
    assert!(left as usize <= most);
    assert_eq!(drained, 0);
}
