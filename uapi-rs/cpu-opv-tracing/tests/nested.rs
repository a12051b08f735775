// SPDX-License-Identifier: MIT OR Apache-2.0

//! What traces while it is traced. For that `tracing` takes a subscriber that is for all threads, so this is a program
//! of its own.

mod common;

use std::fmt;

use cpu_opv_tracing::{Entry, Kind, LossMode, ring};
use tracing::{info, info_span};
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
    let span = info_span!("span", value = ?Traces);
    span.in_scope(|| info!(value = ?Traces));
    let events = |entry: &Entry| matches!(entry.kind, Kind::Event | Kind::New);
    let (spans, fields): (Vec<_>, Vec<_>) = reader
        .drain()
        .filter(events)
        .map(|entry| ((entry.span, entry.parent), entry.fields))
        .unzip();
    assert_eq!(fields, ["inner", "value=outer", "inner", "value=outer"]);
    // Each of the records has its own numbers.
    let id = span.id().map(|id| id.into_u64());
    assert_eq!(spans, [(None, None), (id, None), (None, id), (None, id)]);
}
