// SPDX-License-Identifier: MIT OR Apache-2.0

//! The vector builder: what is checked before the kernel is called, and what the kernel answers.

mod common;

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use common::allowed;
use cpu_opv::vector::{Outcome, Source, Target, Vector};
use cpu_opv::{Cpu, Error, support};

#[test]
fn limits_are_checked_before_the_kernel_is_called() {
    let cpu = allowed()[0];
    let (long, longer) = ([0_u8; 4096], [0_u8; 4097]);
    let words = [0_u64; 3];
    let counter = AtomicU32::new(0);

    let too_many = (0..5).fold(Vector::new(), |vector, _| vector.add(&counter, 1));
    assert_eq!(too_many.run(cpu), Err(Error::TooManyOperations));

    let too_long = Vector::new().compare_eq(&longer, &longer);
    assert_eq!(too_long.run(cpu), Err(Error::TooLong));

    let too_long_in_all = Vector::new()
        .compare_eq(&long, &long)
        .compare_eq(&words, &words)
        .compare_eq(&0_u8, &0_u8);
    assert_eq!(too_long_in_all.run(cpu), Err(Error::TooLong));

    let different = Vector::new().compare_eq(&0_u8, &0_u16);
    assert_eq!(different.run(cpu), Err(Error::LengthsDiffer));

    // The first one is told.
    let several = Vector::new()
        .compare_eq(&longer, &longer)
        .compare_eq(&0_u8, &0_u16);
    assert_eq!(several.run(cpu), Err(Error::TooLong));
}

#[test]
fn a_kernel_without_the_call_says_so() {
    if support().is_none() {
        let result = Vector::new().run(allowed()[0]);
        assert_eq!(result, Err(Error::NotSupported));
    }
}

#[test]
fn operations_run_in_order() {
    let Some(support) = support() else {
        return eprintln!("skipped: this kernel has no cpu_opv(2)");
    };
    assert!(support.operations >= 6 && support.vector_len >= 4);

    let cpu = allowed()[0];
    let [counter, copy] = [40, 0].map(AtomicU32::new);
    let mut before = 0_u32;
    let vector = Vector::new()
        .copy(&mut before, &counter)
        .add(&counter, 3)
        .add_release(&counter, -1)
        .copy_release(&copy, &counter);
    assert_eq!(vector.run(cpu), Ok(Outcome::Done));
    assert_eq!(
        (before, counter.load(Relaxed), copy.load(Relaxed)),
        (40, 42, 42)
    );

    let stopped = Vector::new()
        .compare_ne(&counter, &0_u32)
        .add(&counter, 1)
        .compare_eq(&counter, &0_u32)
        .add(&counter, 1);
    assert_eq!(stopped.run(cpu), Ok(Outcome::Stopped(2)));
    assert_eq!(counter.load(Relaxed), 43);

    let byte = AtomicU8::new(255);
    assert_eq!(Vector::new().add(&byte, 2).run(cpu), Ok(Outcome::Done));
    assert_eq!(byte.load(Relaxed), 1);
}

#[test]
#[ignore = "needs cpu_opv(2)"]
fn errors_have_their_meaning() {
    let cpu = allowed()[0];
    let counter = AtomicU32::new(0);
    // SAFETY: nothing is there to be read.
    let nowhere = unsafe { Source::from_raw(8 as *const u8, 4) };
    let to_counter = || Vector::new().add(&counter, 1);

    let fault = to_counter().copy(&counter, nowhere);
    assert_eq!(fault.run(cpu), Err(Error::Fault));
    let expected = to_counter().copy(&counter, nowhere.may_fault());
    assert_eq!(expected.run(cpu), Err(Error::ExpectedFault));
    // SAFETY: nothing is there to be written.
    let to_nowhere = unsafe { Target::from_raw(8 as *mut u8, 4) }.may_fault();
    let expected = to_counter().copy(to_nowhere, &counter);
    assert_eq!(expected.run(cpu), Err(Error::ExpectedFault));

    common::stay_on(&[cpu]);
    if let Some(other) = Cpu::all().find(|other| *other != cpu) {
        assert_eq!(to_counter().run(other), Err(Error::CpuNotAllowed));
    }
    assert_eq!(counter.load(Relaxed), 0);
}
