// SPDX-License-Identifier: MIT OR Apache-2.0

//! What traces while it is traced. For that `tracing` takes a subscriber that is for all threads, so this is a program
//! of its own.

use std::fmt;

use cpu_opv_tracing::{LossMode, ring};
use tracing::info;
use tracing_subscriber::layer::SubscriberExt;

struct Traces;

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("inner");
        f.write_str("outer")
    }
}

#[test]
fn what_traces_while_it_is_traced() {
    let (layer, mut reader) = ring(0, LossMode::Discard);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    info!(value = ?Traces);
    let fields: Vec<_> = reader.drain().map(|entry| entry.fields).collect();
    assert_eq!(fields, ["inner", "value=outer"]);
}
