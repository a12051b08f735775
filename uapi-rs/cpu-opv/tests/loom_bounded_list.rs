// SPDX-License-Identifier: MIT OR Apache-2.0

//! Models of `src/bounded_list.rs`
#![cfg(loom)]

mod model;
use model::{Fault::*, Other, check, on_abort, spawn};
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

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use cpu::Cpu;
use loom::cell::UnsafeCell;
use source::bounded_list::{BoundedList, BoundedNode};

/// Whether somebody has the node, who has it alone.
type Node = BoundedNode<UnsafeCell<bool>>;

/// It is not dropped, nor are nodes: what fails may have them twice.
type List = ManuallyDrop<BoundedList<UnsafeCell<bool>>>;

const LIMIT: usize = 4;

/// With so many nodes on it.
fn list(len: usize) -> Arc<List> {
    let list = ManuallyDrop::new(BoundedList::new(LIMIT));
    (0..len).for_each(|_| push(&list, node()));
    Arc::new(list)
}

fn node() -> Box<Node> {
    let node = Box::new(Node::new(UnsafeCell::new(true)));
    node.below.iter().for_each(word::know);
    node
}

/// To be done with what comes off a list.
fn have(node: Box<Node>) -> Box<Node> {
    node.with_mut(|is_had| {
        // SAFETY: nobody else has it; loom checks it.
        let was_had = unsafe { is_had.replace(true) };
        assert!(!was_had, "two have it");
    });
    node
}

/// And with what is put on one.
fn let_go(node: Box<Node>) -> Box<Node> {
    // SAFETY: as above.
    node.with_mut(|is_had| unsafe { *is_had = false });
    node
}

fn push(list: &List, node: Box<Node>) {
    assert!(list.push(let_go(node)).is_ok());
}

fn push_on(list: &List, node: Box<Node>) {
    assert!(list.push_on(Cpu, let_go(node)).is_ok());
}

/// Takes all, of which there are as many as the list says.
fn take(list: &List) -> usize {
    let said = list.len_on(Cpu);
    let taken = list.take_on(Cpu).unwrap();
    let counted = taken.map(|node| drop(Box::leak(have(node)))).count();
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
    // Comes between the two tries.
    let between = list.clone();
    on_abort(move || {
        take(&between);
        length_is(0);
    });
    push(&list, node());
    length_is(1 + LENGTHS.with_borrow(|lengths| lengths[lengths.len() - 1]));
    take(&list);
    length_is(0);
    push(&list, node());
    length_is(1);
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
            let had = [&first, &second].into_iter().flatten().count();
            first.into_iter().for_each(|node| push_on(&list, node));
            second.into_iter().for_each(|node| drop(Box::leak(node)));
            had
        })
    };
    let popped = list.pop().map(have);
    let mine = popped.is_some() as usize;
    popped.into_iter().for_each(|node| push(&list, node));
    let had = other.join().unwrap();
    assert_eq!(take(&list), 3 - had.max(1), "{mine}");
}

macro_rules! models {
    ($($(#[$result:meta])? $name:ident: $threads:ident, $other:ident, $fault:expr;)*) => {$(
        #[test]
        $(#[$result])?
        fn $name() {
            check($fault, Other::$other, $threads);
        }
    )*};
}

models! {
    a_length_was_so: looked_at_while_it_changes, Looks, None;
    each_node_is_had_by_one: changed_by_two, Changes, None;

    #[should_panic = "it never was"]
    fails_if_the_version_is_loaded_relaxed: looked_at_while_it_changes, Looks, Some(LoadsRelaxed);

    #[should_panic = "it never was"]
    fails_without_the_fence_before_the_second_look: looked_at_while_it_changes, Looks, Some(NoAcquireFence);

    #[should_panic = "it never was"]
    fails_without_the_fence_before_a_state: looked_at_while_it_changes, Looks, Some(NoReleaseFence);

    #[should_panic = "it never was"]
    fails_if_the_commit_is_relaxed: looked_at_while_it_changes, Looks, Some(CommitsRelaxed);

    #[should_panic]
    fails_if_it_commits_whatever_the_version: changed_by_two, Changes, Some(CommitsWhatever);

    #[should_panic]
    fails_if_a_change_is_not_one_step: changed_by_two, Changes, Some(VectorsInParts);
}
