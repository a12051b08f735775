// SPDX-License-Identifier: MIT OR Apache-2.0

//! The workloads, after the benchmarks of the same names that papers on allocators use. Each does about as many pairs
//! of an allocation and a free, in all, whatever the number of threads.

use std::alloc::Layout;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::allocators::Heap;

pub struct Workload {
    pub name: &'static str,
    /// Does about `pairs` pairs by so many threads; returns how many it did.
    pub run: fn(heap: Heap, threads: usize, pairs: usize) -> usize,
    pub pairs: usize,
}

pub static WORKLOADS: [Workload; 7] = [
    Workload {
        name: "pairs",
        run: pairs,
        pairs: 10_000_000,
    },
    Workload {
        name: "threadtest",
        run: threadtest,
        pairs: 4_000_000,
    },
    Workload {
        name: "larson",
        run: larson,
        pairs: 4_000_000,
    },
    Workload {
        name: "xmalloc-test",
        run: xmalloc_test,
        pairs: 2_000_000,
    },
    Workload {
        name: "cache-scratch",
        run: cache_scratch,
        pairs: 400_000,
    },
    Workload {
        name: "sh6bench",
        run: sh6bench,
        pairs: 4_000_000,
    },
    Workload {
        name: "come and go",
        run: come_and_go,
        pairs: 200_000,
    },
];

/// A block, which its owner frees.
pub struct Block(Heap, *mut u8, Layout);

// SAFETY: it is a box.
unsafe impl Send for Block {}

impl Block {
    /// Of at least 1 byte. It is written to, as blocks are.
    pub fn new(heap: Heap, size: usize) -> Self {
        let layout = Layout::from_size_align(size.max(1), 8).unwrap();
        // SAFETY: it is not of size 0.
        let start = unsafe { heap.alloc(layout) };
        assert!(!start.is_null());
        let block = Self(heap, start, layout);
        block.write(1);
        block
    }

    pub fn write(&self, byte: u8) {
        // SAFETY: it is ours. Each write is done.
        unsafe { self.1.write_volatile(byte) };
    }

    /// Writes to all of it.
    pub fn fill(&self) {
        // SAFETY: it is ours, and as long.
        unsafe { self.1.write_bytes(1, self.2.size()) };
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated so.
        unsafe { self.0.dealloc(self.1, self.2) };
    }
}

pub struct Random(u64);

impl Random {
    pub fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn on_threads(threads: usize, work: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for index in 0..threads {
            let work = &work;
            scope.spawn(move || work(index));
        }
    });
}

/// A block of 64 bytes, and at once its free.
fn pairs(heap: Heap, threads: usize, pairs: usize) -> usize {
    let each = pairs / threads;
    on_threads(threads, |_| {
        for _ in 0..each {
            drop(Block::new(heap, 64));
        }
    });
    each * threads
}

/// A thousand blocks of 64 bytes, then their frees, again and again.
fn threadtest(heap: Heap, threads: usize, pairs: usize) -> usize {
    const BLOCKS: usize = 1000;
    let rounds = pairs / threads / BLOCKS;
    on_threads(threads, |_| {
        let mut blocks = Vec::with_capacity(BLOCKS);
        for _ in 0..rounds {
            blocks.extend((0..BLOCKS).map(|_| Block::new(heap, 64)));
            blocks.clear();
        }
    });
    rounds * threads * BLOCKS
}

/// A server: each thread holds a thousand blocks of 8 to 500 bytes, and replaces one at random. After a while it hands
/// them to a new thread, and ends.
fn larson(heap: Heap, threads: usize, pairs: usize) -> usize {
    const BLOCKS: usize = 1000;
    const GENERATIONS: usize = 10;
    let each = pairs / threads / GENERATIONS;
    fn generation(heap: Heap, mut blocks: Vec<Block>, left: usize, each: usize) {
        let mut random = Random::new(left);
        for _ in 0..each {
            let at = random.below(blocks.len());
            blocks[at] = Block::new(heap, 8 + random.below(493));
        }
        if left > 1 {
            let next = move || generation(heap, blocks, left - 1, each);
            thread::spawn(next).join().unwrap();
        }
    }
    on_threads(threads, |index| {
        let mut random = Random::new(index);
        let blocks = (0..BLOCKS)
            .map(|_| Block::new(heap, 8 + random.below(493)))
            .collect();
        generation(heap, blocks, GENERATIONS, each);
    });
    each * threads * GENERATIONS
}

/// One half of the threads allocates blocks of 8 to 500 bytes, a hundred at a time, and the other half frees them.
fn xmalloc_test(heap: Heap, threads: usize, pairs: usize) -> usize {
    const BATCH: usize = 100;
    let couples = threads.div_ceil(2);
    let batches = pairs / couples / BATCH;
    type Batch = Vec<Block>;
    thread::scope(|scope| {
        for index in 0..couples {
            let (sender, receiver): (SyncSender<Batch>, Receiver<Batch>) = sync_channel(16);
            scope.spawn(move || {
                let mut random = Random::new(index);
                for _ in 0..batches {
                    let blocks = (0..BATCH).map(|_| Block::new(heap, 8 + random.below(493)));
                    sender.send(blocks.collect()).unwrap();
                }
            });
            scope.spawn(move || receiver.iter().for_each(drop));
        }
    });
    couples * batches * BATCH
}

/// Each thread frees a block of 8 bytes that it was given, beside those of the others, then allocates one, writes to it a
/// hundred times, and frees it: whether the threads come to write to the same lines.
fn cache_scratch(heap: Heap, threads: usize, pairs: usize) -> usize {
    let each = pairs / threads;
    thread::scope(|scope| {
        let given: Vec<_> = (0..threads).map(|_| Block::new(heap, 8)).collect();
        for block in given {
            scope.spawn(move || {
                drop(block);
                for _ in 0..each {
                    let block = Block::new(heap, 8);
                    (0..100).for_each(|byte| block.write(byte));
                }
            });
        }
    });
    each * threads
}

/// Blocks of 1 to 1000 bytes, most of them small; every second one is freed in the order of allocation, and later the
/// others in the reverse order.
fn sh6bench(heap: Heap, threads: usize, pairs: usize) -> usize {
    const BLOCKS: usize = 1000;
    let rounds = pairs / threads / BLOCKS;
    on_threads(threads, |index| {
        let mut random = Random::new(index);
        let mut blocks: Vec<Option<Block>> = Vec::with_capacity(BLOCKS);
        for _ in 0..rounds {
            for _ in 0..BLOCKS {
                let most = 1 + random.below(1000);
                blocks.push(Some(Block::new(heap, 1 + random.below(most))));
            }
            blocks.iter_mut().step_by(2).for_each(|block| *block = None);
            while blocks.pop().is_some() {}
        }
    });
    rounds * threads * BLOCKS
}

/// A thread for each hundred pairs, `threads` at a time.
fn come_and_go(heap: Heap, threads: usize, pairs: usize) -> usize {
    const BLOCKS: usize = 100;
    let rounds = pairs / threads / BLOCKS;
    for _ in 0..rounds {
        on_threads(threads, |index| {
            let mut random = Random::new(index);
            let blocks: Vec<_> = (0..BLOCKS)
                .map(|_| Block::new(heap, 8 + random.below(493)))
                .collect();
            drop(blocks);
        });
    }
    rounds * threads * BLOCKS
}
