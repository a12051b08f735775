// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is put into the ring, and what comes out.
//!
//! A record is a [`Kind`], the thread, the address of the metadata, the numbers of the span and of the parent if that kind
//! has them, and text.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::ptr;
use std::time::Duration;

use cpu_opv::{Cpu, Record, TraceRing};
use tracing_core::Metadata;
use tracing_core::span::Id;

use crate::thread;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An event.
    Event,
    /// A span was made.
    New,
    /// Fields of a span were recorded later.
    Record,
    /// A span was entered.
    Enter,
    /// A span was left.
    Exit,
    /// A span is gone.
    Close,
}

/// In the order of their numbers.
const KINDS: [(Kind, &str); 6] = [
    (Kind::Event, ""),
    (Kind::New, " new"),
    (Kind::Record, " record"),
    (Kind::Enter, " enter"),
    (Kind::Exit, " exit"),
    (Kind::Close, " close"),
];

const _: () = {
    let mut number = 0;
    while number < KINDS.len() {
        assert!(KINDS[number].0 as usize == number);
        number += 1;
    }
};

impl Kind {
    fn has_span(self) -> bool {
        self != Self::Event
    }

    /// Where one cannot do without: to look for it takes time.
    pub(crate) fn has_parent(self) -> bool {
        matches!(self, Self::Event | Self::New | Self::Enter)
    }
}

/// An event, or what happened to a span.
///
/// It is displayed as a line: the time in seconds, the CPU, the thread, the level, the target, and what the entry is
/// about: the name of the span and what happened to it, the number of the span, that of the parent, the fields.
///
/// ```text
/// [  123.456700] 2 4711 INFO shop: request new #1 path=/
/// [  123.456708] 2 4711 INFO shop: payment new #2 in #1
/// [  123.456712] 2 4711 INFO shop: in #2 received bytes=512
/// ```
///
/// It stays a line that reads as it was written: control characters are escaped, as `\n`, and so
/// are Unicode's other line ends and what changes the direction of text. A `\` stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What happened.
    pub kind: Kind,
    /// When, by `CLOCK_MONOTONIC`.
    pub time: Duration,
    /// On which CPU.
    pub cpu: Cpu,
    /// How many entries of that CPU, just before this one, were overwritten before they were read. Those that were
    /// discarded are only in [`lost`](crate::Reader::lost).
    pub missed: usize,
    /// In which thread, as `gettid(2)` has it, and so `perf` and `ftrace`; of a span, which may go from one thread to
    /// another, where this happened to it. After a thread has ended, another one may get its number.
    pub thread: u32,
    /// What the source says of the event or the span: its name, level, target and place.
    pub metadata: &'static Metadata<'static>,
    /// The span that this happened to, as [`Id::into_u64`] has it; `None` for an event. After a span is
    /// [closed](Kind::Close), another one may get its number.
    pub span: Option<u64>,
    /// The span that the event or the span is in: the one that was given as its `parent`, else the one that the thread was
    /// in when it came about. `None` if there was none. Spans that a filter keeps from this layer are passed over; but
    /// an event that was given such a one has `None`.
    ///
    /// Of a span it is told when it is [made](Kind::New), and again each time when it is [entered](Kind::Enter), since what
    /// went before may be overwritten; with other kinds it is `None`.
    pub parent: Option<u64>,
    /// The message and the fields: `received bytes=512`.
    pub fields: String,
}

/// A record to be.
#[derive(Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // A little more than a ring takes, for `cut` to see. The rest need not be kept, however long that is.
        let room = (TraceRing::MAX_LEN + 4).saturating_sub(self.0.len());
        let kept = text.len().min(room);
        self.0.extend_from_slice(&text.as_bytes()[..kept]);
        Ok(())
    }
}

/// Gives the thread's buffer to `work`; another one if that traces in its turn, or if the thread is about to end.
pub(crate) fn with_buffer(work: impl FnOnce(&mut Buffer)) {
    thread_local!(static BUFFER: Cell<Buffer> = const { Cell::new(Buffer(Vec::new())) });
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.0.clear();
    work(&mut buffer);
    let _ = BUFFER.try_with(|place| place.set(buffer));
}

/// Cuts what a ring would not take, between two characters.
pub(crate) fn cut(Buffer(bytes): &mut Buffer) {
    if bytes.len() > TraceRing::MAX_LEN {
        let is_start = |byte: &u8| byte & 0xc0 != 0x80;
        let end = bytes[..=TraceRing::MAX_LEN].iter().rposition(is_start);
        bytes.truncate(end.unwrap_or(TraceRing::MAX_LEN));
    }
}

/// The next `N` bytes of a record.
fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let (bytes, rest) = data.split_first_chunk().expect("a record is whole");
    *data = rest;
    *bytes
}

/// The number of a span, if `has_id`.
fn take_id(data: &mut &[u8], has_id: bool) -> Option<u64> {
    let id = has_id.then(|| u64::from_ne_bytes(take(data)));
    // No span has the number 0.
    id.filter(|id| *id != 0)
}

impl Entry {
    pub(crate) fn encode(
        Buffer(bytes): &mut Buffer,
        kind: Kind,
        metadata: &'static Metadata<'static>,
        span: Option<&Id>,
        parent: Option<&Id>,
    ) {
        let number = |id: Option<&Id>| id.map_or(0, Id::into_u64).to_ne_bytes();
        bytes.push(kind as u8);
        bytes.extend(thread::current().to_ne_bytes());
        bytes.extend(ptr::from_ref(metadata).expose_provenance().to_ne_bytes());
        if kind.has_span() {
            bytes.extend(number(span));
        }
        if kind.has_parent() {
            bytes.extend(number(parent));
        }
    }

    /// # Safety
    ///
    /// The record is what [`encode`](Self::encode) has made, and text.
    pub(crate) unsafe fn decode(record: Record) -> Self {
        let mut data = &*record.data;
        let [kind] = take(&mut data);
        let (kind, _) = KINDS[usize::from(kind)];
        let thread = u32::from_ne_bytes(take(&mut data));
        let address = usize::from_ne_bytes(take(&mut data));
        let span = take_id(&mut data, kind.has_span());
        let parent = take_id(&mut data, kind.has_parent());
        Self {
            kind,
            time: record.time,
            cpu: record.cpu,
            missed: record.missed,
            thread,
            // SAFETY: it was that of a reference, which is good for ever.
            metadata: unsafe { &*ptr::with_exposed_provenance(address) },
            span,
            parent,
            fields: String::from_utf8_lossy(data).into_owned(),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        let (cpu, thread, metadata) = (self.cpu, self.thread, self.metadata);
        let (level, target) = (metadata.level(), metadata.target());
        write!(
            f,
            "[{seconds:5}.{micros:06}] {cpu} {thread} {level} {}:",
            Escaped(target)
        )?;
        if self.kind != Kind::Event {
            write!(f, " {}", Escaped(metadata.name()))?;
        }
        f.write_str(KINDS[self.kind as usize].1)?;
        if let Some(span) = self.span {
            write!(f, " #{span}")?;
        }
        if let Some(parent) = self.parent {
            write!(f, " in #{parent}")?;
        }
        if !self.fields.is_empty() {
            f.write_char(' ')?;
        }
        Escaped(&self.fields).fmt(f)
    }
}

/// Text without what would end the line, or show it otherwise than it is.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_escaped = |char: char| {
            char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        for part in self.0.split_inclusive(is_escaped) {
            let text = part.trim_end_matches(is_escaped);
            write!(f, "{text}{}", part[text.len()..].escape_debug())?;
        }
        Ok(())
    }
}
