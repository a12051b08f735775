// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a plug-in might do: it counts, and keeps numbers.

use std::sync::LazyLock;

use cpu_opv::{Counter, Cpu, Stack};

static COUNTER: Counter = Counter::new();
static STACK: LazyLock<Stack<usize, 100>> = LazyLock::new(Stack::new);

/// Counts and takes what was kept, on the thread's CPU and on the one with this number; how much was counted.
#[unsafe(no_mangle)]
pub extern "C" fn work(cpu: usize) -> usize {
    COUNTER.increment();
    let _ = STACK.push(1);
    STACK.pop();
    let remote = Cpu::new(cpu).is_some_and(|cpu| COUNTER.add_on(cpu, 1).is_ok());
    1 + usize::from(remote)
}

/// How much was counted.
#[unsafe(no_mangle)]
pub extern "C" fn sum() -> u64 {
    COUNTER.sum()
}
