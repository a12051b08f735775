// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is traced comes out, once, in order, and readable.

mod common;

use std::panic::catch_unwind;
use std::time::Duration;
use std::{error, fmt, thread};

use cpu_opv_tracing::{Entry, Kind, LossMode, Reader, ring};
use tracing::subscriber::with_default;
use tracing::{Level, info, info_span, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Identity, SubscriberExt};

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
    assert_ne!(entries[0].span, None);
    for entry in &entries {
        let is_event = entry.kind == Kind::Event;
        assert_eq!(entry.span.is_some(), !is_event);
        assert_eq!(entry.metadata.name() == "request", !is_event);
        assert!(is_event || entry.span == entries[0].span);
    }
    assert!(entries.is_sorted_by_key(|entry| entry.time));
}

#[test]
fn a_line_says_what_happened() {
    let mut entries = entries(|| {
        let span = info_span!("request", path = "/", status = tracing::field::Empty);
        span.in_scope(|| warn!(target: "disk", "full"));
        span.record("status", 200);
    });
    let (cpu, thread, span) = (entries[0].cpu, entries[0].thread, entries[0].span.unwrap());
    let expected = [
        format!("INFO layer: request new #{span} path=\"/\""),
        format!("INFO layer: request enter #{span}"),
        format!("WARN disk: in #{span} full"),
        format!("INFO layer: request exit #{span}"),
        format!("INFO layer: request record #{span} status=200"),
        format!("INFO layer: request close #{span}"),
    ];
    assert_eq!(entries.len(), expected.len());
    for (entry, expected) in entries.iter_mut().zip(expected) {
        entry.time = Duration::new(12, 3_456_999);
        entry.cpu = cpu;
        let line = format!("[   12.003456] {cpu} {thread} {expected}");
        assert_eq!(entry.to_string(), line);
    }
}

/// The name of the span that the first of these entries is in; `None` if it is in none.
fn parent_of(entries: &[Entry], is_it: impl Fn(&Entry) -> bool) -> Option<&str> {
    let parent = entries.iter().find(|entry| is_it(entry)).unwrap().parent?;
    let is_parent = |entry: &&Entry| entry.span == Some(parent);
    Some(entries.iter().find(is_parent).unwrap().metadata.name())
}

#[test]
fn parents() {
    let entries = entries(|| {
        let outer = info_span!("outer");
        let elsewhere = info_span!("elsewhere");
        let late = info_span!(parent: &elsewhere, "late", status = tracing::field::Empty);
        info!("before");
        outer.in_scope(|| {
            info!("current");
            info!(parent: &elsewhere, "explicit");
            info!(parent: None, "root");
            info_span!("current").in_scope(|| info!("nested"));
            info_span!(parent: &elsewhere, "explicit").in_scope(|| info!("nested in explicit"));
            drop(info_span!(parent: None, "root"));
            // It stays in that which it was made in.
            late.record("status", 200);
            late.in_scope(|| {});
        });
        info!("after");
    });
    let of_event = |message| parent_of(&entries, |entry| entry.fields == message);
    assert_eq!(of_event("before"), None);
    assert_eq!(of_event("current"), Some("outer"));
    assert_eq!(of_event("explicit"), Some("elsewhere"));
    assert_eq!(of_event("root"), None);
    assert_eq!(of_event("nested"), Some("current"));
    assert_eq!(of_event("nested in explicit"), Some("explicit"));
    assert_eq!(of_event("after"), None);

    let both = [Kind::New, Kind::Enter];
    let of_spans = [
        ("outer", None, &both[..]),
        ("current", Some("outer"), &both),
        ("explicit", Some("elsewhere"), &both),
        ("root", None, &[Kind::New]),
        ("late", Some("elsewhere"), &both),
        ("late", None, &[Kind::Record, Kind::Exit, Kind::Close]),
    ];
    for (name, parent, kinds) in of_spans {
        for kind in kinds {
            let is_it = |entry: &Entry| entry.metadata.name() == name && entry.kind == *kind;
            assert_eq!(parent_of(&entries, is_it), parent, "{name} {kind:?}");
        }
    }

    let line_of = |kind, text: &str| {
        let mut lines = entries.iter().filter(|entry| entry.kind == kind);
        let line =
            lines.find_map(|entry| Some(entry.to_string()).filter(|line| line.contains(text)));
        line.unwrap()
    };
    let number_of = |name| {
        let mut spans = entries.iter().filter(|entry| entry.span.is_some());
        spans
            .find(|entry| entry.metadata.name() == name)
            .unwrap()
            .span
            .unwrap()
    };
    let (outer, current) = (number_of("outer"), number_of("current"));
    let line = line_of(Kind::New, "current");
    assert!(
        line.ends_with(&format!(" current new #{current} in #{outer}")),
        "{line}"
    );
    let line = line_of(Kind::Event, "current");
    assert!(line.ends_with(&format!(": in #{outer} current")), "{line}");
}

#[test]
fn what_is_filtered_is_no_parent() {
    let (layer, mut reader) = ring(0, LossMode::Discard);
    let layer = layer.with_filter(filter_fn(|metadata| metadata.name() != "hidden"));
    // Another layer has them all, or they would not be made.
    let subscriber = tracing_subscriber::registry()
        .with(layer)
        .with(Identity::new());
    with_default(subscriber, || {
        info_span!("outer").in_scope(|| {
            info_span!("hidden").in_scope(|| info_span!("inner").in_scope(|| {}));
            info_span!("hidden").in_scope(|| info!("event"));
            info!(parent: &info_span!("hidden"), "explicit");
        });
    });
    let entries: Vec<_> = reader.drain().collect();
    let of_inner = parent_of(&entries, |entry| entry.metadata.name() == "inner");
    assert_eq!(of_inner, Some("outer"));
    let of_event = |message| parent_of(&entries, |entry| entry.fields == message);
    assert_eq!(of_event("event"), Some("outer"));
    assert_eq!(of_event("explicit"), None);
}

fn gettid() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

#[test]
fn a_span_in_two_threads() {
    let (layer, mut reader) = ring(0, LossMode::Discard);
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    let (first, second) = tracing::dispatcher::with_default(&dispatch, || {
        let span = info_span!("moves");
        let thread = thread::scope(|scope| {
            let other = scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || span.in_scope(|| info!("event")));
                gettid()
            });
            other.join().unwrap()
        });
        (gettid(), thread)
    });
    let threads: Vec<_> = reader
        .drain()
        .map(|entry| (entry.kind, entry.thread))
        .collect();
    let expected = [
        (Kind::New, first),
        (Kind::Enter, second),
        (Kind::Event, second),
        (Kind::Exit, second),
        (Kind::Close, first),
    ];
    assert_eq!(threads, expected);
}

#[test]
fn a_child_is_another_thread() {
    let (layer, mut reader) = ring(0, LossMode::Discard);
    with_default(tracing_subscriber::registry().with(layer), || {
        let trace = || info!("event");
        trace();
        let parent = gettid();
        // SAFETY: the child ends without running anything that was registered for that.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes nothing. It ends the child, if that hangs.
            unsafe { libc::alarm(60) };
        }
        trace();
        let drained: Vec<_> = reader.drain().map(|entry| entry.thread).collect();
        if child == 0 {
            let right = gettid() != parent && drained == [parent, gettid()];
            // SAFETY: ends this process.
            unsafe { libc::_exit((!right).into()) };
        }
        assert_eq!(drained, [parent; 2]);
        let mut status = 0;
        // SAFETY: the status is written.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child's threads were others");
    });
}

#[test]
fn an_entry_is_a_line() {
    let entries = entries(|| {
        info!(path = %"/\r\nINFO", "é\n\n\tlie\u{1b}[1m");
        info!(target: "a\nb", "1\u{2028}2\u{2029}3\u{202a}4\u{202e}5\u{2066}6\u{2069}7");
        info!("C:\\n\u{2027}\u{202f}\u{2065}\u{206a}");
        let _span = info_span!(target: "a\nb", "c\rd");
    });
    let expected = [
        r"INFO layer: é\n\n\tlie\u{1b}[1m path=/\r\nINFO",
        r"INFO a\nb: 1\u{2028}2\u{2029}3\u{202a}4\u{202e}5\u{2066}6\u{2069}7",
        "INFO layer: C:\\n\u{2027}\u{202f}\u{2065}\u{206a}",
        r"INFO a\nb: c\rd new #",
    ];
    for (entry, expected) in entries.iter().zip(expected) {
        let line = entry.to_string();
        assert!(line.contains(expected), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("begun")?;
        panic!("as it is formatted");
    }
}

#[test]
fn what_comes_after_a_panic_is_whole() {
    let entries = entries(|| {
        info!("before");
        catch_unwind(|| info!(value = ?Panics, "lost")).unwrap_err();
        info!("after");
    });
    let fields: Vec<_> = entries.iter().map(|entry| &*entry.fields).collect();
    assert_eq!(fields, ["before", "after"]);
}

#[test]
fn threads_at_once() {
    const EACH: usize = 5000;
    let work = || (0..EACH).for_each(|number| info!(number, thread = gettid()));
    let mut reader = trace(4 << 20, LossMode::Discard, work, 4);
    let mut fields = Vec::new();
    for entry in reader.drain() {
        let thread = format!(" thread={}", entry.thread);
        assert!(entry.fields.ends_with(&thread), "{entry}");
        fields.push(entry.fields);
    }
    assert_eq!((fields.len(), reader.lost()), (4 * EACH, 0));
    fields.sort_unstable();
    fields.dedup();
    assert_eq!(fields.len(), 4 * EACH);

    for mode in [LossMode::Discard, LossMode::Overwrite] {
        let mut reader = trace(8 << 10, mode, work, 4);
        let (mut read, mut missed) = (0, 0);
        for entry in reader.drain() {
            (read, missed) = (read + 1, missed + entry.missed);
        }
        assert_ne!(reader.lost(), 0);
        assert_eq!(read + reader.lost(), 4 * EACH);
        // What was discarded is missing nowhere in particular.
        let overwritten = if mode == LossMode::Overwrite {
            reader.lost()
        } else {
            0
        };
        assert_eq!(missed, overwritten);
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

/// A text of 100 GB, as it is formatted.
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = "0123456789".repeat(1 << 20);
        (0..10_000).try_for_each(|_| f.write_str(&part))
    }
}

#[test]
fn what_is_cut_takes_no_memory() {
    let entries = entries(|| info!(last = "unseen", "{Endless}"));
    assert!(entries[0].fields.starts_with("01234567890"));
    assert!(!entries[0].fields.contains("unseen"));
}

#[derive(Debug)]
struct Layered(&'static str, Option<Box<Layered>>);

impl fmt::Display for Layered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl error::Error for Layered {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(self.1.as_deref()?)
    }
}

/// As `fmt` writes them.
#[test]
fn errors_have_their_sources() {
    let disk = || Layered("disk full", None);
    let write = Layered("cannot write", Some(Box::new(disk())));
    let save = Layered("cannot save", Some(Box::new(write)));
    let entries = entries(|| {
        info!(error = &disk() as &(dyn error::Error + 'static));
        info!(error = &save as &(dyn error::Error + 'static), "left");
    });
    let fields: Vec<_> = entries.iter().map(|entry| &*entry.fields).collect();
    let expected = [
        "error=disk full",
        "left error=cannot save error.sources=[cannot write, disk full]",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_reader_outlives_the_layer() {
    let (layer, mut reader) = ring(0, LossMode::Overwrite);
    with_default(tracing_subscriber::registry().with(layer), || info!("last"));
    assert!(reader.wait(0, None));
    // That is less than is waited for.
    let a_moment = Some(Duration::from_millis(1));
    assert!(!reader.wait(4 << 10, a_moment));
    let entry = reader.drain().next().unwrap();
    assert_eq!(entry.fields, "last");
    assert_eq!(entry, entry.clone());
    assert!(!reader.wait(0, a_moment));
}
