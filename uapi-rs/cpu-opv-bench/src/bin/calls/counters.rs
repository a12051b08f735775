// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's own counters of what costs others, or time.

use std::collections::BTreeMap;
use std::fs;

pub type Counters = BTreeMap<String, i64>;

/// Interrupts to other CPUs by kind, over all CPUs, and events of the memory management.
pub fn read() -> Counters {
    let interrupts = fs::read_to_string("/proc/interrupts").expect("it is there");
    let vmstat = fs::read_to_string("/proc/vmstat").expect("it is there");
    let of_all_cpus = interrupts.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once(':')?;
        let counts = rest
            .split_whitespace()
            .map_while(|word| word.parse::<i64>().ok());
        ["CAL", "RES", "TLB"]
            .contains(&name)
            .then(|| (name.to_owned(), counts.sum()))
    });
    let of_memory = vmstat.lines().filter_map(|line| {
        let (name, count) = line.split_once(' ')?;
        let counts = ["pgalloc_", "pgfree", "pgfault", "nr_tlb_"]
            .iter()
            .any(|start| name.starts_with(start));
        counts.then(|| (name.to_owned(), count.parse().expect("a number")))
    });
    of_all_cpus.chain(of_memory).collect()
}

/// What `work` adds to them, beyond what `control` does.
pub fn count(mut control: impl FnMut(), mut work: impl FnMut()) -> Counters {
    let difference = |work: &mut dyn FnMut()| {
        let before = read();
        work();
        let mut after = read();
        after
            .iter_mut()
            .for_each(|(name, count)| *count -= before[name]);
        after
    };
    let less = difference(&mut control);
    let mut more = difference(&mut work);
    more.iter_mut()
        .for_each(|(name, count)| *count -= less[name]);
    more
}

/// Has the kernel put pages where they belong that it keeps to do so in batches: how full a batch is depends on what
/// was before, and tells in the cost of faults.
pub fn drain() {
    fs::write("/proc/sys/vm/drop_caches", "1").expect("this is root");
}
