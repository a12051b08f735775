// SPDX-License-Identifier: MIT OR Apache-2.0

//! The choice of the backend, which is once for a process: so there is one test in this file.

use cpu_opv::{Backend, Counter, Error, Memory, PerCpu, Stack, Word, slow_path_calls, support};

#[test]
fn backend_is_chosen_once() {
    Backend::Lock.select().unwrap();
    Backend::Lock.select().unwrap();
    assert_eq!(Backend::get(), Backend::Lock);
    assert_eq!(Backend::Membarrier.select(), Err(Error::Backend));
    assert_eq!(Backend::CpuOpv.select(), Err(Error::Backend));
    println!("{:?}", support());

    // All by atomic instructions, or else by the lock.
    const EACH: usize = if cfg!(miri) { 50 } else { 1000 };
    let (counter, stack) = (Counter::new(), Stack::<usize, EACH>::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..EACH).for_each(|_| counter.increment()));
        }
    });
    assert_eq!(counter.sum(), 4 * EACH as u64);
    assert_eq!(slow_path_calls().lock, 0);
    (0..EACH).for_each(|n| assert_eq!(stack.push(n), Ok(())));
    assert_eq!(slow_path_calls().lock, EACH);

    // That is not for other processes.
    assert_eq!(
        PerCpu::<Word>::new_in(Memory::shared()).err(),
        Some(Error::Backend)
    );
}
