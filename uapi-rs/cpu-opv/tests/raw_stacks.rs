// SPDX-License-Identifier: MIT OR Apache-2.0

//! `RawStacks` under load, from its own CPU and from others: no word is lost, none is there twice, none on another
//! stack than the one that it was pushed onto, none beyond a stack's limit.
//!
//! `CPU_OPV_STRESS` and `CPU_OPV_BACKEND` are as for `stress.rs`.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use common::{Random, allowed, on_all_threads, operations, threads};
use cpu_opv::{Cpu, Error, RawStacks};

const LIMITS: [usize; 3] = [3, 40, 17];
const STACKS: usize = LIMITS.len();
type Stacks = RawStacks<STACKS, 60>;

/// Each stack has as many words of its own: `n * STACKS + stack`.
const WORDS: usize = if cfg!(miri) { 10 } else { 200 };

#[test]
fn words_are_where_they_were_put() {
    let stacks = Stacks::new(LIMITS).unwrap();
    let held: Vec<AtomicBool> = (0..WORDS * STACKS)
        .map(|_| AtomicBool::new(false))
        .collect();
    let own = |stack, word: usize| {
        assert_eq!(word % STACKS, stack, "it is of another stack");
        assert!(!held[word].swap(true, Relaxed), "it is there twice");
    };
    // Those that found no room, of each stack.
    let spare: [Mutex<Vec<usize>>; STACKS] =
        std::array::from_fn(|stack| Mutex::new((0..WORDS).map(|n| n * STACKS + stack).collect()));
    on_all_threads("raw stacks", |index| {
        let cpus = allowed();
        let mut random = Random::new(index);
        for _ in 0..operations() / threads() {
            let stack = random.below(STACKS);
            let cpu = cpus[random.below(cpus.len())];
            let mut words = [0; 24];
            let room = &mut words[..1 + random.below(24)];
            let taken = match random.below(50) {
                0 => stacks.take_on(cpu, stack, room).unwrap(),
                1..10 => stacks.take(stack, room),
                _ => stacks.pop(stack).map_or(0, |word| {
                    room[0] = word;
                    1
                }),
            };
            let taken = match taken {
                0 => spare[stack].lock().unwrap().pop().as_slice().to_vec(),
                count => room[..count].to_vec(),
            };
            taken.iter().for_each(|word| own(stack, *word));
            for word in taken {
                held[word].store(false, Relaxed);
                if !stacks.push(stack, word) {
                    spare[stack].lock().unwrap().push(word);
                }
            }
        }
    });
    let mut left: Vec<usize> = spare
        .into_iter()
        .flat_map(|spare| spare.into_inner().unwrap())
        .collect();
    for (stack, limit) in LIMITS.into_iter().enumerate() {
        for cpu in allowed() {
            let mut words = [0; 64];
            let len = stacks.len_on(cpu, stack);
            assert!(len <= limit);
            assert_eq!(stacks.take_on(cpu, stack, &mut words), Ok(len));
            left.extend_from_slice(&words[..len]);
        }
    }
    left.sort_unstable();
    assert!(left.into_iter().eq(0..WORDS * STACKS));
}

#[test]
fn the_last_are_taken_first_and_in_order() {
    let stacks = Stacks::new(LIMITS).unwrap();
    let cpu = allowed()[0];
    common::stay_on(&[cpu]);
    // Each may fail, but not always.
    let push = |stack, word| (0..100).any(|_| stacks.push(stack, word));
    (0..40).for_each(|word| assert!(push(1, word)));
    assert!(!push(1, 40));
    assert!(push(2, 7));
    let mut words = [0; 64];
    assert_eq!(stacks.take_on(cpu, 1, &mut words[..30]), Ok(30));
    assert!(words[..30].iter().copied().eq(10..40));
    assert!((0..100).any(|_| stacks.pop(1) == Some(9)));
    assert_eq!(stacks.take_on(cpu, 1, &mut words), Ok(9));
    assert!(words[..9].iter().copied().eq(0..9));
    assert_eq!(stacks.take_on(cpu, 1, &mut words), Ok(0));
    assert_eq!(stacks.pop(1), None);
    assert_eq!(stacks.take_on(cpu, 2, &mut words), Ok(1));
    assert_eq!(words[0], 7);
}

#[test]
fn limits_have_to_fit() {
    assert!(Stacks::new([60, 0, 0]).is_ok());
    assert_eq!(Stacks::new([60, 1, 0]).err(), Some(Error::Layout));
    assert_eq!(Stacks::new([usize::MAX, 61, 0]).err(), Some(Error::Layout));
    let none = Stacks::new([0; STACKS]).unwrap();
    assert!(!none.push(0, 1));
    assert!(Cpu::all().all(|cpu| none.len_on(cpu, 0) == 0));
}
