// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that is left when threads have gone quiet.

use std::fs;
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use crate::allocators::Allocator;
use crate::workloads::{Block, Random};

const THREADS: usize = 64;
/// What a thread holds at once, of 8 to 2000 bytes each: 2 MB.
const BLOCKS: usize = 2000;

/// Resident bytes, beside those that there were before: at the peak, when all have freed all and sleep, when one
/// thread has gone on for three seconds, and when that has asked for it to be given back.
pub const MOMENTS: [&str; 4] = ["peak", "quiet", "3 s later", "asked"];

pub fn left(allocator: &'static Allocator) -> [usize; 4] {
    let heap = allocator.heap;
    let barrier = &*Box::leak(Box::new(Barrier::new(THREADS + 1)));
    let (stop, stopped) = mpsc::channel::<()>();
    let stopped = std::sync::Arc::new(std::sync::Mutex::new(stopped));
    for index in 0..THREADS {
        let stopped = stopped.clone();
        thread::spawn(move || {
            let mut random = Random::new(index);
            let mut blocks: Vec<Option<Block>> = (0..BLOCKS).map(|_| None).collect();
            barrier.wait();
            barrier.wait();
            for _ in 0..10 * BLOCKS {
                let block = Block::new(heap, 8 + random.below(1993));
                block.fill();
                blocks[random.below(BLOCKS)] = Some(block);
            }
            barrier.wait();
            barrier.wait();
            blocks.iter_mut().for_each(|block| *block = None);
            barrier.wait();
            // Asleep, until the process ends.
            let _ = stopped.lock().map(|stopped| stopped.recv());
        });
    }
    barrier.wait();
    let before = resident();
    let more = || resident().saturating_sub(before);
    barrier.wait();
    barrier.wait();
    let peak = more();
    barrier.wait();
    barrier.wait();
    thread::sleep(Duration::from_millis(50));
    let quiet = more();
    let mut random = Random::new(THREADS);
    let mut blocks: Vec<Option<Block>> = (0..BLOCKS).map(|_| None).collect();
    for _ in 0..3000 {
        for _ in 0..100 {
            blocks[random.below(BLOCKS)] = Some(Block::new(heap, 8 + random.below(1993)));
        }
        thread::sleep(Duration::from_millis(1));
    }
    drop(blocks);
    let later = more();
    (allocator.give_back)();
    let asked = more();
    drop(stop);
    [peak, quiet, later, asked]
}

fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    // SAFETY: takes no memory.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}
