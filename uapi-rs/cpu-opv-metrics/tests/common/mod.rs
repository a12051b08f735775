// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests share.
#![allow(dead_code, reason = "not each test uses all of it")]

mod machine;

pub use machine::*;

/// How many operations a test does in all.
pub fn operations() -> usize {
    operations_or(200_000)
}
