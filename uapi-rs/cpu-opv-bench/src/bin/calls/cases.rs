// SPDX-License-Identifier: MIT OR Apache-2.0

//! cpu_opv(2), in all the shapes that differ in cost.

use cpu_opv_sys::cpu_op;

use crate::Report;
use crate::vector::{BEFORE_END, Memory, PAGE, add, compare, copy, run, the_most};

/// What is of interest on any CPU.
pub fn all(report: &mut Report, place: &str, cpu: usize) {
    let memory = Memory::new(16);
    // Pages of their own, as far into them as asked.
    let at = move |page: usize, offset: usize| memory.at(page * PAGE + offset);
    let on = |page| at(page, 0);
    let mut measure = |name, ops: &[cpu_op]| {
        report.measure(place, name, || (), || assert_eq!(run(ops, cpu), 0));
    };

    measure("no operation", &[]);
    measure("add of 8 bytes", &[add(on(0), false)]);
    measure(
        "add of 8 bytes, crossing a page",
        &[add(at(0, BEFORE_END), false)],
    );
    measure(
        "compare and store of 8 bytes",
        &[compare(on(9), at(10, 8), 8), copy(on(9), at(10, 16), 8)],
    );
    let in_page = |page: usize| move |index: usize| at(page, 8 * index);
    let (data, stack) = (in_page(11), in_page(12));
    measure(
        "4 operations on 7 ranges, in 2 pages",
        &[
            compare(data(0), stack(0), 8),
            copy(data(1), stack(1), 8),
            copy(data(2), stack(2), 8),
            add(data(3), false),
        ],
    );
    measure(
        "4 operations on 7 ranges, in 7 pages",
        &[
            compare(on(2), on(3), 8),
            copy(on(4), on(5), 8),
            copy(on(6), on(7), 8),
            add(on(8), false),
        ],
    );
    measure("copy of 4096 bytes", &[copy(on(0), on(2), PAGE)]);
    measure(
        "copy of 4096 bytes, both crossing a page",
        &[copy(at(0, 100), at(2, 200), PAGE)],
    );

    let worst = the_most(&memory);
    measure("the most: 4120 bytes in 16 pages", &worst);
    report.measure(
        place,
        "the same, all pages to be faulted in",
        || memory.forget(),
        || {
            assert_eq!(run(&worst, cpu), 0);
        },
    );
}

/// What only the caller's CPU has to do with: faults, and errors.
pub fn alone(report: &mut Report) {
    let memory = Memory::new(1);
    let ops = [add(memory.at(0), false)];
    report.measure(
        "own",
        "add to a page to be faulted in",
        || memory.forget(),
        || assert_eq!(run(&ops, 0), 0),
    );
    report.measure(
        "own",
        "a store there, without the call",
        || memory.forget(),
        || {
            // SAFETY: nobody has a reference to it.
            unsafe { memory.at(0).write_volatile(1) }
        },
    );

    let nowhere = Memory::new(1);
    nowhere.protect();
    let mut unknown = ops;
    unknown[0].op = -1;
    let mut fails = |name, ops: &[cpu_op], cpu, error| {
        report.measure("own", name, || (), || assert_eq!(run(ops, cpu), error));
    };
    fails("EINVAL: no such CPU", &ops, 4096, libc::EINVAL);
    fails("EINVAL: no such operation", &unknown, 0, libc::EINVAL);
    fails(
        "EFAULT: an operand that is not accessible",
        &[add(nowhere.at(0), false)],
        0,
        libc::EFAULT,
    );
    fails(
        "EAGAIN: the same, expected",
        &[add(nowhere.at(0), true)],
        0,
        libc::EAGAIN,
    );
}
