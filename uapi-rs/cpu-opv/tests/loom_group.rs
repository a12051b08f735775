// SPDX-License-Identifier: MIT OR Apache-2.0

//! Models of the protocol of `src/group.rs`, which loom tries in many interleavings: that code itself, on the machine of
//! `tests/model`.
//!
//! | | one thread | the other one |
//! |---|---|---|
//! | `read_while_it_changes` | adds to two words, then to the third | reads all, from another CPU |
//! | `read_while_one_is_tried_again` | adds to two words; if that is aborted, to the third in between | the same |
//! | `read_while_it_is_taken` | takes all | the same |
//! | `taken_while_it_changes` | takes all, from another CPU | adds to two words, then to the third, by sequences |
//! | `changed_by_two` | adds to a word by a sequence | the same, to another one, and to that |
//!
//! **Who only looks** finds what the words held at one moment. Two changes use both records, and have the words of one
//! settled: that is all that a reader can come across, whose version is the one before, or any of theirs.
//!
//! **Who changes them** finds that nothing is lost, and nothing there twice. One of the two is stopped where it could go
//! on up to twice, which is as often as it takes for the other one to come in between its look and its commit, and again
//! on the slow path.
//!
//! A mutant has something left out of what the protocol stands on, and must fail: see [`model::Fault`].
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom_group`
#![cfg(loom)]

mod model;
use model::{Fault::*, models, on_abort, spawn};
use model::{arena, backend, cpu, per_cpu, rseq, slots, stopped, sys, vector, word};

#[path = "../src"]
#[allow(dead_code, unused_imports, reason = "not all of it is modelled")]
mod source {
    pub mod error;
    pub mod group;
    pub mod way;
}
use source::{error, way};

use cpu::Cpu;
use loom::thread::JoinHandle;
use source::group::Group;
use std::sync::Arc;

/// One of three words, all 1.
fn group() -> Arc<Group> {
    let group = Group::new(3);
    add(&group, 1);
    add_to_third(&group, 1);
    Arc::new(group)
}

/// Adds to two words.
fn add(group: &Group, n: usize) {
    group.change([0, 1], |[a, b]| (*a, *b) = (*a + n, *b + n));
}

fn add_to_third(group: &Group, n: usize) {
    group.change([2], |[c]| *c += n);
}

fn all(words: &[usize]) -> [usize; 3] {
    [words[0], words[1], words[2]]
}

/// Reads by another thread than this one, which finds one of these.
fn reads(group: &Arc<Group>, any_of: &'static [[usize; 3]]) -> JoinHandle<()> {
    let group = group.clone();
    spawn(move || {
        let read = group.read_on(Cpu, all);
        assert!(any_of.contains(&read), "they never were {read:?}");
    })
}

fn read_while_it_changes() {
    let group = group();
    let reads = reads(&group, &[[1, 1, 1], [11, 11, 1], [11, 11, 11]]);
    add(&group, 10);
    add_to_third(&group, 10);
    reads.join().unwrap();
}

/// Another change comes between the two tries of one.
fn read_while_one_is_tried_again() {
    let group = group();
    let reads = reads(
        &group,
        &[[1, 1, 1], [1, 1, 101], [11, 11, 1], [11, 11, 101]],
    );
    let between = group.clone();
    on_abort(move || add_to_third(&between, 100));
    add(&group, 10);
    reads.join().unwrap();
}

fn read_while_it_is_taken() {
    let group = Arc::new(Group::new(3));
    add(&group, 1);
    let reads = reads(&group, &[[1, 1, 0], [0, 0, 0]]);
    assert_eq!(group.take_on(Cpu, all), Ok([1, 1, 0]));
    reads.join().unwrap();
}

fn taken_while_it_changes() {
    let group = group();
    let changes = {
        let group = group.clone();
        spawn(move || {
            add(&group, 10);
            add_to_third(&group, 10);
        })
    };
    let taken = group.take_on(Cpu, all).unwrap();
    let were = [[1, 1, 1], [11, 11, 1], [11, 11, 11]];
    assert!(were.contains(&taken), "they never were {taken:?}");
    changes.join().unwrap();
    let left = group.read_on(Cpu, all);
    let sums = [0, 1, 2].map(|word| taken[word] + left[word]);
    assert_eq!(sums, [11, 11, 11], "lost, or there twice");
}

fn changed_by_two() {
    let group = group();
    let changes = {
        let group = group.clone();
        spawn(move || {
            group.change([0], |[a]| *a += 10);
            group.change([1], |[b]| *b += 10);
        })
    };
    group.change([1], |[b]| *b += 100);
    changes.join().unwrap();
    assert_eq!(
        group.read_on(Cpu, all),
        [11, 111, 1],
        "lost, or there twice"
    );
}

models! {
    what_is_read_was_so: read_while_it_changes, Looks, None;
    so_was_what_is_read_beside_two_tries: read_while_one_is_tried_again, Looks, None;
    so_was_what_is_read_beside_a_drain: read_while_it_is_taken, Looks, None;
    what_is_taken_is_not_left: taken_while_it_changes, Changes, None;
    what_two_change_is_not_lost: changed_by_two, Changes, None;

    #[should_panic = "they never were"]
    fails_if_the_version_is_loaded_relaxed: read_while_it_changes, Looks, Some(LoadsRelaxed);

    #[should_panic = "they never were"]
    fails_without_the_readers_fence: read_while_it_changes, Looks, Some(NoAcquireFence);

    #[should_panic = "they never were"]
    fails_without_the_fence_before_a_record: read_while_it_changes, Looks, Some(NoReleaseFence);

    #[should_panic = "they never were"]
    fails_if_the_commit_is_relaxed: read_while_it_changes, Looks, Some(CommitsRelaxed);

    #[should_panic = "they never were"]
    fails_if_words_are_settled_relaxed: read_while_it_changes, Looks, Some(StoresRelaxed);

    #[should_panic = "they never were"]
    fails_if_zeroes_are_stored_relaxed: read_while_it_is_taken, Looks, Some(CopiesRelaxed);

    #[should_panic = "they never were"]
    fails_if_the_version_is_not_odd_before: read_while_it_is_taken, Looks, Some(AddsLate);

    #[should_panic = "lost, or there twice"]
    fails_if_a_drain_is_not_one_step: taken_while_it_changes, Changes, Some(VectorsInParts);

    #[should_panic = "lost, or there twice"]
    fails_if_it_commits_whatever_the_version: changed_by_two, Changes, Some(CommitsWhatever);

    #[should_panic = "lost, or there twice"]
    fails_if_it_settles_whatever_the_version: changed_by_two, Changes, Some(StoresWhatever);

    #[should_panic = "lost, or there twice"]
    fails_if_it_settles_nothing: changed_by_two, Changes, Some(StoresNothing);
}
