// SPDX-License-Identifier: MIT OR Apache-2.0

//! The call itself.
//!
//! All but one of these tests need a kernel that has it: there, run them with `--include-ignored`.

#[path = "../examples/per_cpu_lists/kernel.rs"]
#[allow(dead_code, reason = "the tests ask in more ways")]
mod kernel;

use core::ffi::c_int;
use core::ptr::null;
use std::io::Error;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cpu_opv_sys::*;

const WORD: u32 = size_of::<usize>() as u32;

/// What the call returned, or its errno.
fn call(vector: &[cpu_op], cpu: c_int) -> Result<c_int, c_int> {
    // SAFETY: the vectors of these tests write to atomics only.
    let returned = unsafe { cpu_opv(vector.as_ptr(), vector.len() as c_int, cpu, 0) };
    result(returned)
}

/// The same with flags and nothing else.
fn query(flags: c_int) -> Result<c_int, c_int> {
    // SAFETY: no operations.
    let returned = unsafe { cpu_opv(null(), -1, -1, flags) };
    result(returned)
}

fn result(returned: c_int) -> Result<c_int, c_int> {
    match returned {
        -1 => Err(Error::last_os_error().raw_os_error().unwrap()),
        other => Ok(other),
    }
}

fn this_cpu() -> c_int {
    // SAFETY: takes nothing.
    unsafe { libc::sched_getcpu() }
}

fn add(counter: &AtomicUsize, count: i64) -> cpu_op {
    cpu_op {
        op: CPU_ADD_OP,
        len: WORD,
        u: cpu_op__u {
            arithmetic_op: cpu_op__arithmetic_op {
                p: counter.as_ptr() as u64,
                count,
                expect_fault_p: 0,
                reserved: [0; 7],
            },
        },
    }
}

fn compare(op: cpu_op_type, a: &AtomicUsize, b: &AtomicUsize) -> cpu_op {
    cpu_op {
        op,
        len: WORD,
        u: cpu_op__u {
            compare_op: cpu_op__compare_op {
                a: a.as_ptr() as u64,
                b: b.as_ptr() as u64,
                ..Default::default()
            },
        },
    }
}

fn copy(dst: &AtomicUsize, src: &AtomicUsize) -> cpu_op {
    cpu_op {
        op: CPU_MEMCPY_OP,
        len: WORD,
        u: cpu_op__u {
            memcpy_op: cpu_op__memcpy_op {
                dst: dst.as_ptr() as u64,
                src: src.as_ptr() as u64,
                ..Default::default()
            },
        },
    }
}

#[test]
fn the_kernel_has_it_whole_or_not_at_all() {
    if !kernel::says_so().unwrap() {
        return;
    }
    match query(CPU_OP_NR_FLAG) {
        Ok(operations) => assert!(operations >= NR_CPU_OPS),
        Err(errno) => assert_eq!(errno, libc::ENOSYS),
    }
}

#[test]
#[ignore = "needs a kernel with cpu_opv(2)"]
fn queries() {
    assert_eq!(query(CPU_OP_NR_FLAG), Ok(NR_CPU_OPS));
    assert_eq!(query(CPU_OP_VEC_LEN_MAX_FLAG), Ok(CPU_OP_VEC_LEN_MAX));
    assert_eq!(
        query(CPU_OP_NR_FLAG | CPU_OP_VEC_LEN_MAX_FLAG),
        Err(libc::EINVAL)
    );
    assert_eq!(query(1 << 2), Err(libc::EINVAL));
}

#[test]
#[ignore = "needs a kernel with cpu_opv(2)"]
fn operations_run_in_order() {
    let [counter, before, after] = [40, 0, 0].map(AtomicUsize::new);
    let vector = [
        copy(&before, &counter),
        add(&counter, 3),
        add(&counter, -1),
        copy(&after, &counter),
    ];
    assert_eq!(call(&vector, this_cpu()), Ok(0));
    assert_eq!(
        [&before, &counter, &after].map(|word| word.load(Relaxed)),
        [40, 42, 42]
    );
}

#[test]
#[ignore = "needs a kernel with cpu_opv(2)"]
fn a_comparison_stops_the_vector_and_tells_which() {
    let [counter, zero] = [0, 0].map(AtomicUsize::new);
    let vector = [
        compare(CPU_COMPARE_EQ_OP, &counter, &zero),
        add(&counter, 1),
        compare(CPU_COMPARE_NE_OP, &zero, &zero),
        add(&counter, 10),
    ];
    let cpu = this_cpu();
    assert_eq!(call(&vector, cpu), Ok(3));
    assert_eq!(call(&vector, cpu), Ok(1));
    assert_eq!(counter.load(Relaxed), 1);
}

#[test]
#[ignore = "needs a kernel with cpu_opv(2)"]
fn an_error_leaves_nothing_done() {
    let counter = AtomicUsize::new(0);
    let cpu = this_cpu();
    let good = add(&counter, 1);
    let wrong_len = cpu_op { len: 3, ..good };
    let wrong_op = cpu_op {
        op: NR_CPU_OPS,
        ..good
    };
    let mut unmapped = good;
    unmapped.u.arithmetic_op.p = 8;
    let mut expected = unmapped;
    expected.u.arithmetic_op.expect_fault_p = 1;
    let (mut reserved, mut no_bool) = (good, good);
    reserved.u.arithmetic_op.reserved = [0, 0, 0, 0, 0, 0, 1];
    no_bool.u.arithmetic_op.expect_fault_p = 2;

    assert_eq!(call(&[good, wrong_len], cpu), Err(libc::EINVAL));
    assert_eq!(call(&[good, wrong_op], cpu), Err(libc::EINVAL));
    assert_eq!(call(&[good, reserved], cpu), Err(libc::EINVAL));
    assert_eq!(call(&[good, no_bool], cpu), Err(libc::EINVAL));
    assert_eq!(call(&[good; 5], cpu), Err(libc::EINVAL));
    assert_eq!(call(&[good], -1), Err(libc::EINVAL));
    assert_eq!(call(&[good], c_int::MAX), Err(libc::EINVAL));
    assert_eq!(call(&[good, unmapped], cpu), Err(libc::EFAULT));
    assert_eq!(call(&[good, expected], cpu), Err(libc::EAGAIN));
    assert_eq!(counter.load(Relaxed), 0);
}
