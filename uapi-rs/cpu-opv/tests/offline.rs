// SPDX-License-Identifier: MIT OR Apache-2.0

//! The data of a CPU that is offline.
//!
//! The test takes one offline, so it is ignored: it is for a machine that is nobody else's, such as the guest.

mod common;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{allowed, operations, stay_on, threads};
use cpu_opv::{CopyStack, Counter, Cpu, List, Node, Ring, Stack};

/// A CPU that is offline until this is dropped.
struct Offline(Cpu);

fn switch(cpu: Cpu, online: &str) -> std::io::Result<()> {
    fs::write(format!("/sys/devices/system/cpu/cpu{cpu}/online"), online)
}

impl Offline {
    fn new(cpu: Cpu) -> std::io::Result<Self> {
        switch(cpu, "0").map(|()| Self(cpu))
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        switch(self.0, "1").unwrap();
    }
}

#[test]
#[ignore = "takes a CPU offline"]
fn data_of_an_offline_cpu_can_be_changed() {
    let (counter, list, ring) = (Counter::new(), List::new(), Ring::<usize, 4, 4>::new());
    let (stack, copies) = (Stack::<usize, 8>::new(), CopyStack::<[usize; 9], 8>::new());
    let cpu = *allowed().last().unwrap();
    let offline = match Offline::new(cpu) {
        Ok(offline) => offline,
        Err(error) => return eprintln!("skipped: CPU {cpu} cannot be taken offline: {error}"),
    };

    list.push_on(cpu, Box::new(Node::new(0))).unwrap();
    let consumed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                for n in 0..operations() / threads() / 10 {
                    counter.add_on(cpu, 1).unwrap();
                    if let Some(mut node) = list.pop_on(cpu).unwrap() {
                        **node += 1;
                        list.push_on(cpu, node).unwrap();
                    }
                    if stack.push_on(cpu, n).is_err() {
                        stack.pop_on(cpu).unwrap();
                    }
                    if copies.push_on(cpu, [n; 9]).is_err() {
                        let copy = copies.pop_on(cpu).unwrap();
                        assert!(copy.is_none_or(|copy| copy == [copy[0]; 9]));
                    }
                    while ring.push_on(cpu, n).is_err() {
                        consumed.fetch_add(ring.consume_on(cpu, drop), Relaxed);
                        thread::yield_now();
                    }
                }
            });
        }
    });
    let each = operations() / threads() / 10 * threads();
    assert_eq!(counter.get_on(cpu), each as u64);
    assert_eq!(consumed.into_inner() + ring.len_on(cpu), each);

    // It finds what was put there.
    drop(offline);
    stay_on(&[cpu]);
    assert!(list.pop().is_some_and(|node| **node > 0));
    assert!(list.pop().is_none());
    let len = stack.len_on(cpu);
    assert_eq!(std::iter::from_fn(|| stack.pop()).count(), len);
    counter.increment();
    assert_eq!(counter.get_on(cpu), each as u64 + 1);
}
