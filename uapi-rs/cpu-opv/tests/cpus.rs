// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CPUs that there are, as the crate has them and as others do.

mod common;

use std::fs;

use cpu_opv::{Counter, Cpu};

fn numbers(cpus: impl Iterator<Item = Cpu>) -> Vec<usize> {
    cpus.map(Cpu::number).collect()
}

/// `0-3,8`
fn listed(name: &str) -> Option<Vec<usize>> {
    let list = fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).ok()?;
    let mut numbers = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

#[test]
fn they_are_those_of_the_system() {
    let [possible, online] = [numbers(Cpu::possible()), numbers(Cpu::online())];
    println!("possible {possible:?}, online {online:?}");
    if let Some(listed) = listed("possible") {
        assert_eq!(possible, listed);
        assert_eq!(Cpu::all().len(), listed.last().unwrap() + 1);
    }
    if let Some(listed) = listed("online") {
        assert_eq!(online, listed);
    }
    assert!(online.iter().all(|cpu| possible.contains(cpu)));
    assert_eq!(
        numbers(Cpu::allowed()),
        numbers(common::allowed().into_iter())
    );
}

#[test]
fn a_thread_is_allowed_where_it_stays() {
    let counter = Counter::new();
    for cpu in common::allowed() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                common::stay_on(&[cpu]);
                assert_eq!(Cpu::allowed().collect::<Vec<_>>(), [cpu]);
                assert_eq!(Cpu::current(), cpu);
                counter.add_on(cpu, 1).unwrap();
            });
        });
        assert_eq!(counter.take_on(cpu), Ok(1));
    }
}
