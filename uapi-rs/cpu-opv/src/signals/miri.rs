// SPDX-License-Identifier: MIT OR Apache-2.0

//! Miri has no signals.

pub(crate) struct BlockedSignals;

impl BlockedSignals {
    pub(crate) fn new() -> Self {
        Self
    }
}
