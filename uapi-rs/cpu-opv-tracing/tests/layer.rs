// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is traced comes out, once, in order, and readable.

use std::thread;

use cpu_opv_tracing::{Entry, Kind, LossMode, Reader, ring};
use tracing::subscriber::with_default;
use tracing::{Level, info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt;

fn trace(capacity: usize, mode: LossMode, work: impl Fn() + Sync, threads: usize) -> Reader {
    let (layer, reader) = ring(capacity, mode);
    let subscriber = tracing_subscriber::registry().with(layer);
    let dispatch = tracing::Dispatch::new(subscriber);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| tracing::dispatcher::with_default(&dispatch, &work));
        }
    });
    reader
}

fn entries(work: impl Fn() + Sync) -> Vec<Entry> {
    trace(1 << 20, LossMode::Discard, work, 1).drain().collect()
}

#[test]
fn events_and_spans() {
    let entries = entries(|| {
        let span = info_span!("request", path = "/", status = tracing::field::Empty);
        span.in_scope(|| warn!(target: "disk", left = 3_u64, name = %"sda", "nearly {}", "full"));
        span.record("status", 200);
        info!(r#type = "disk", message = "full");
    });
    let kinds = [
        Kind::New,
        Kind::Enter,
        Kind::Event,
        Kind::Exit,
        Kind::Record,
        Kind::Event,
        Kind::Close,
    ];
    assert!(entries.iter().map(|entry| entry.kind).eq(kinds));
    let event = &entries[2];
    assert_eq!(event.fields, "nearly full left=3 name=sda");
    assert_eq!(
        (*event.metadata.level(), event.metadata.target()),
        (Level::WARN, "disk")
    );
    assert_eq!(entries[0].fields, "path=\"/\"");
    assert_eq!(entries[4].fields, "status=200");
    // As `fmt` writes it.
    assert_eq!(entries[5].fields, "type=\"disk\" full");
    for entry in entries.iter().filter(|entry| entry.span.is_some()) {
        assert_eq!(entry.span, entries[0].span);
        assert_eq!(
            entry.kind == Kind::Event,
            entry.metadata.name() != "request"
        );
    }
    assert!(entries.is_sorted_by_key(|entry| entry.time));
    let line = entries[0].to_string();
    assert!(line.contains(" INFO layer: request new #"), "{line}");
    assert!(line.ends_with(" path=\"/\""), "{line}");
}

#[test]
fn an_entry_is_a_line() {
    let entries = entries(|| info!(path = %"/\r\nINFO", "é\n\n\tlie\u{1b}[1m"));
    let line = entries[0].to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
    let end = r": é\n\n\tlie\u{1b}[1m path=/\r\nINFO";
    assert!(line.ends_with(end), "{line:?}");
}

#[test]
fn threads_at_once() {
    const EACH: usize = 5000;
    let work = || (0..EACH).for_each(|number| info!(number, thread = ?thread::current().id()));
    let mut reader = trace(4 << 20, LossMode::Discard, work, 4);
    let mut fields: Vec<_> = reader.drain().map(|entry| entry.fields).collect();
    assert_eq!((fields.len(), reader.lost()), (4 * EACH, 0));
    fields.sort_unstable();
    fields.dedup();
    assert_eq!(fields.len(), 4 * EACH);

    for mode in [LossMode::Discard, LossMode::Overwrite] {
        let mut reader = trace(8 << 10, mode, work, 4);
        let read = reader.drain().count();
        assert_ne!(reader.lost(), 0);
        assert_eq!(read + reader.lost(), 4 * EACH);
    }
}

#[test]
fn what_is_too_long_is_cut() {
    for pad in 0..4 {
        let text = "x".repeat(pad) + &"€".repeat(2000);
        let entries = entries(|| info!("{text}"));
        let fields = &entries[0].fields;
        assert!(
            fields.len() > 3900 && text.starts_with(&**fields),
            "{fields}"
        );
    }
}

#[test]
fn a_reader_outlives_the_layer() {
    let (layer, mut reader) = ring(0, LossMode::Overwrite);
    with_default(tracing_subscriber::registry().with(layer), || info!("last"));
    assert!(reader.wait(0, None));
    assert_eq!(reader.drain().next().unwrap().fields, "last");
    assert!(!reader.wait(0, Some(std::time::Duration::from_millis(1))));
}
