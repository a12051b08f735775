// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is put into the ring, and what comes out.
//!
//! A record is a [`Kind`], the address of the metadata, the number of the span, and text.

use std::cell::Cell;
use std::fmt::{self, Write};
use std::ptr;
use std::time::Duration;

use cpu_opv::{Cpu, Record, TraceRing};
use tracing_core::Metadata;

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

/// An event, or what happened to a span.
///
/// It is displayed as a line: the time in seconds, the CPU, the level, the target, and what the entry is about: the name
/// of the span and what happened to it, the number of the span, the fields.
///
/// ```text
/// [  123.456700] 2 INFO shop: request new #1 path=/
/// [  123.456712] 2 INFO shop: #1 received bytes=512
/// ```
///
/// Line ends and other control characters in the fields are escaped there, as `\n`.
#[derive(Clone, Debug)]
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
    /// What the source says of the event or the span: its name, level, target and place.
    pub metadata: &'static Metadata<'static>,
    /// The span, or that in which the event was, as [`Id::into_u64`](tracing_core::span::Id::into_u64) has it. After a
    /// span is [closed](Kind::Close), another one may get its number.
    pub span: Option<u64>,
    /// The message and the fields: `received bytes=512`.
    pub fields: String,
}

const WORD: usize = size_of::<usize>();
const METADATA: usize = 1;
const SPAN: usize = METADATA + WORD;
const TEXT: usize = SPAN + size_of::<u64>();

/// A record to be.
#[derive(Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn has_text(&self) -> bool {
        self.0.len() > TEXT
    }
}

impl fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Gives the thread's buffer to `work`; another one if that traces in its turn, or if the thread is about to end.
pub(crate) fn with_buffer(work: impl FnOnce(&mut Buffer)) {
    thread_local!(static BUFFER: Cell<Buffer> = const { Cell::new(Buffer(Vec::new())) });
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.0.clear();
    work(&mut buffer);
    buffer.0.shrink_to(TraceRing::MAX_LEN);
    let _ = BUFFER.try_with(|place| place.set(buffer));
}

/// Cuts what a ring would not take, between two characters.
pub(crate) fn cut(Buffer(bytes): &mut Buffer) {
    if bytes.len() > TraceRing::MAX_LEN {
        let is_start = |byte: &u8| byte & 0xc0 != 0x80;
        let end = bytes[..=TraceRing::MAX_LEN].iter().rposition(is_start);
        bytes.truncate(end.unwrap_or(TEXT));
    }
}

impl Entry {
    pub(crate) fn encode(
        Buffer(bytes): &mut Buffer,
        kind: Kind,
        metadata: &'static Metadata<'static>,
        span: u64,
    ) {
        bytes.push(kind as u8);
        bytes.extend(ptr::from_ref(metadata).expose_provenance().to_ne_bytes());
        bytes.extend(span.to_ne_bytes());
    }

    /// # Safety
    ///
    /// The record is what [`encode`](Self::encode) has made, with text.
    pub(crate) unsafe fn decode(record: Record) -> Self {
        let mut data = record.data;
        let mut address = [0; WORD];
        address.copy_from_slice(&data[METADATA..SPAN]);
        let mut span = [0; size_of::<u64>()];
        span.copy_from_slice(&data[SPAN..TEXT]);
        let address = usize::from_ne_bytes(address);
        Self {
            kind: KINDS[usize::from(data[0])].0,
            time: record.time,
            cpu: record.cpu,
            missed: record.missed,
            // SAFETY: it was that of a reference, which is good for ever.
            metadata: unsafe { &*ptr::with_exposed_provenance(address) },
            span: Some(u64::from_ne_bytes(span)).filter(|span| *span != 0),
            fields: String::from_utf8_lossy(&data.split_off(TEXT)).into_owned(),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.as_secs(), self.time.subsec_micros());
        let (cpu, metadata) = (self.cpu, self.metadata);
        let (level, target) = (metadata.level(), metadata.target());
        write!(f, "[{seconds:5}.{micros:06}] {cpu} {level} {target}:")?;
        if self.kind != Kind::Event {
            write!(f, " {}", metadata.name())?;
        }
        f.write_str(KINDS[self.kind as usize].1)?;
        if let Some(span) = self.span {
            write!(f, " #{span}")?;
        }
        if !self.fields.is_empty() {
            f.write_char(' ')?;
        }
        for part in self.fields.split_inclusive(char::is_control) {
            let text = part.trim_end_matches(char::is_control);
            write!(f, "{text}{}", part[text.len()..].escape_debug())?;
        }
        Ok(())
    }
}
