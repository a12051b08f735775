// SPDX-License-Identifier: MIT OR Apache-2.0

//! Models of the protocol of `src/bounded_list.rs`, which loom tries in many interleavings: that code itself, on the
//! machine of `tests/model`.
//!
//! | | one thread | the other one |
//! |---|---|---|
//! | `looked_at_while_it_changes` | pushes two; if that is aborted, takes all in between | asks for the length, from another CPU |
//! | `changed_by_two` | pops by a sequence, and pushes that node again | from another CPU: pops two, and pushes the first again |
//! | `popped_where_there_is_one` | pops two; if that is aborted, pushes one in between | pops, from another CPU |
//! | `popped_when_versions_come_again` | pops, from another CPU | changes the list as often as it takes for a version to come again; another node is the first one then |
//! | `pushed_when_versions_come_again` | pushes, from another CPU | the same; the same node is the first one, of a shorter list |
//!
//! **Who only looks** finds a length that the list had at some time since it was asked. The lengths that the list had
//! before, and the one that an aborted push has left behind, are others.
//!
//! **Who changes it**: no node is had by two, which loom sees by a cell in each; none is lost; and the list has as many
//! as it says; who pops finds one if there is always one. The second thread makes the first node the first one again, with another one below.
//!
//! There are two states, of which two changes use each again. With two threads that change the list,
//! one is stopped where it could go on up to twice, which is as often as it takes for the other one to come in between
//! its look and its commit, and again on the slow path.
//!
//! A mutant has something left out of what the protocol stands on, and must fail: see [`model::Fault`].
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom_bounded_list`
#![cfg(loom)]

mod model;
use model::{Fault::*, models, on_abort, spawn};
use model::{arena, backend, cpu, memory, per_cpu, rseq, slots, stopped, sys, vector, word};

#[path = "../src"]
#[allow(dead_code, unused_imports, reason = "not all of it is modelled")]
mod source {
    pub mod bounded_list;
    pub mod error;
    pub mod list;
    pub mod way;
}
use source::{error, list, way};

use std::cell::{Cell, RefCell};
use std::iter;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use cpu::Cpu;
use loom::cell::UnsafeCell;
use source::bounded_list::{BoundedList, BoundedNode};

/// Whether somebody has the node, who has it alone.
type Node = BoundedNode<UnsafeCell<bool>>;

/// It is not dropped, nor are nodes: what fails may have them twice.
type List = ManuallyDrop<BoundedList<UnsafeCell<bool>>>;

const LIMIT: usize = 5;

/// With so many nodes on it.
fn list(len: usize) -> Arc<List> {
    let list = ManuallyDrop::new(BoundedList::new(LIMIT));
    (0..len).for_each(|_| push(&list, node()));
    Arc::new(list)
}

fn node() -> &'static mut Node {
    let node = Box::new(Node::new(UnsafeCell::new(true)));
    node.below.iter().for_each(word::know);
    Box::leak(node)
}

/// To be done with what comes off a list.
fn have(node: Box<Node>) -> &'static mut Node {
    let node = Box::leak(node);
    node.with_mut(|is_had| {
        // SAFETY: nobody else has it; loom checks it.
        let was_had = unsafe { is_had.replace(true) };
        assert!(!was_had, "two have it");
    });
    node
}

/// And with what is put on one.
fn let_go(node: &'static mut Node) -> Box<Node> {
    // SAFETY: as above.
    node.with_mut(|is_had| unsafe { *is_had = false });
    // SAFETY: it was a box, and whoever has it has it alone.
    unsafe { Box::from_raw(node) }
}

fn push(list: &List, node: &'static mut Node) {
    assert!(list.push(let_go(node)).is_ok());
}

fn push_on(list: &List, node: &'static mut Node) {
    assert!(list.push_on(Cpu, let_go(node)).is_ok());
}

/// Takes all, of which there are as many as the list says.
fn take(list: &List) -> usize {
    let said = list.len_on(Cpu);
    let mut taken = ManuallyDrop::new(list.take_on(Cpu).unwrap());
    let counted = iter::from_fn(|| taken.next().map(have)).count();
    assert_eq!(said, counted, "that is not its length");
    counted
}

thread_local! {
    /// The lengths that a list has had.
    static LENGTHS: RefCell<Vec<usize>> = RefCell::default();
}

fn length_is(len: usize) {
    LENGTHS.with_borrow_mut(|lengths| lengths.push(len));
}

fn looked_at_while_it_changes() {
    LENGTHS.take();
    let list = list(3);
    length_is(3);
    let looks = {
        let list = list.clone();
        spawn(move || {
            let len = list.len_on(Cpu);
            let was_so = LENGTHS.with_borrow(|lengths| lengths.contains(&len));
            assert!(was_so, "it never was {len}");
        })
    };
    // Comes between the two tries, of which the first one may have left a length behind.
    let between = list.clone();
    on_abort(move || {
        take(&between);
        length_is(0);
    });
    for _ in 0..2 {
        push(&list, node());
        length_is(1 + LENGTHS.with_borrow(|lengths| *lengths.last().unwrap()));
    }
    looks.join().unwrap();
}

fn changed_by_two() {
    let list = list(2);
    let other = {
        let list = list.clone();
        spawn(move || {
            let first = list.pop_on(Cpu).unwrap().map(have);
            let second = list.pop_on(Cpu).unwrap().map(have);
            // The first one is the first again, if it was.
            first.into_iter().for_each(|node| push_on(&list, node));
            second.is_some() as usize
        })
    };
    list.pop()
        .map(have)
        .into_iter()
        .for_each(|node| push(&list, node));
    let kept = other.join().unwrap();
    assert_eq!(take(&list) + kept, 2, "one is lost");
}

thread_local! {
    /// Whether one was pushed between two tries of a pop.
    static IS_PUSHED: Cell<bool> = const { Cell::new(false) };
}

fn popped_where_there_is_one() {
    IS_PUSHED.set(false);
    let list = list(2);
    let other = {
        let list = list.clone();
        spawn(move || list.pop_on(Cpu).unwrap().map(have).is_some())
    };
    // Then there is always one left, but what the aborted pop has left behind may be a list without any.
    let between = list.clone();
    on_abort(move || {
        push(&between, node());
        IS_PUSHED.set(true);
    });
    for _ in 0..2 {
        list.pop().map(have);
    }
    let has_found = other.join().unwrap();
    assert!(
        has_found || !IS_PUSHED.get(),
        "none is found where there is one"
    );
}

/// As on 32-bit machines, where versions come again: here each fourth. They do while another thread is between its look
/// and its commit.
fn versions_come_again(is_back: usize, meanwhile: fn(&List)) {
    word::count_to_four(true);
    let list = list(2);
    let other = {
        let list = list.clone();
        spawn(move || {
            let mut taken = ManuallyDrop::new(list.take_on(Cpu).unwrap());
            let nodes = iter::from_fn(|| taken.next().map(have));
            let back = nodes.collect::<Vec<_>>().into_iter().nth(is_back);
            back.into_iter().for_each(|node| push_on(&list, node));
            let popped = list.pop_on(Cpu).unwrap().map(have);
            popped.into_iter().for_each(|node| push_on(&list, node));
        })
    };
    meanwhile(&list);
    other.join().unwrap();
    take(&list);
    word::count_to_four(false);
}

/// With the same node as the first one, and another length.
fn pushed_when_versions_come_again() {
    versions_come_again(0, |list| push_on(list, node()));
}

/// With another node.
fn popped_when_versions_come_again() {
    versions_come_again(1, |list| {
        list.pop_on(Cpu).unwrap().map(have);
    });
}

models! {
    a_length_was_so: looked_at_while_it_changes, Looks, None;
    each_node_is_had_by_one: changed_by_two, Changes, None;

    one_that_is_there_is_found: popped_where_there_is_one, Changes, None;
    each_is_when_versions_come_again: popped_when_versions_come_again, Changes, None;
    the_length_is_right_when_versions_come_again: pushed_when_versions_come_again, Changes, None;

    #[should_panic = "it never was"]
    fails_if_the_version_is_loaded_relaxed: looked_at_while_it_changes, Looks, Some(LoadsRelaxed);

    #[should_panic = "it never was"]
    fails_without_the_fence_before_the_second_look: looked_at_while_it_changes, Looks, Some(NoAcquireFence);

    #[should_panic = "it never was"]
    fails_without_the_fence_before_a_state: looked_at_while_it_changes, Looks, Some(NoReleaseFence);

    #[should_panic = "it never was"]
    fails_if_the_commit_is_relaxed: looked_at_while_it_changes, Looks, Some(CommitsRelaxed);

    #[should_panic = "none is found where there is one"]
    fails_without_the_fence_before_it_says_that_there_is_none: popped_where_there_is_one, Changes, Some(NoAcquireFence);

    #[should_panic = "two have it"]
    fails_if_it_commits_whatever_the_version: changed_by_two, Changes, Some(CommitsWhatever);

    #[should_panic = "one is lost"]
    fails_if_a_change_is_not_one_step: changed_by_two, Changes, Some(VectorsInParts);

    #[should_panic = "two have it"]
    fails_if_it_compares_the_version_alone_that_comes_again: popped_when_versions_come_again, Changes, Some(ComparesOne);
}
