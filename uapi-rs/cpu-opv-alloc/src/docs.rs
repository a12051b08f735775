// SPDX-License-Identifier: MIT OR Apache-2.0

//! What there is to know, beyond how to call it.

/// How to use it.
#[doc = include_str!("docs/patterns.md")]
pub mod patterns {}

/// What it does not do, and when another allocator is the better choice.
#[doc = include_str!("docs/limitations.md")]
pub mod limitations {}

/// What it costs, next to others.
#[doc = include_str!("docs/performance.md")]
pub mod performance {}

/// How it works, and why that is right.
#[doc = include_str!("docs/internals.md")]
pub mod internals {}
