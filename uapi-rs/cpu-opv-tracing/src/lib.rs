// SPDX-License-Identifier: MIT OR Apache-2.0

//! A layer for [`tracing_subscriber`] that keeps spans and events in a ring buffer for each CPU: a
//! [`TraceRing`].
//!
//! ```
//! use cpu_opv_tracing::{Kind, LossMode, ring};
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let (layer, mut reader) = ring(64 << 10, LossMode::Discard);
//! let subscriber = tracing_subscriber::registry().with(layer);
//!
//! tracing::subscriber::with_default(subscriber, || {
//!     tracing::info!(bytes = 512, "received");
//! });
//!
//! let entry = reader.drain().next().unwrap();
//! assert_eq!(entry.kind, Kind::Event);
//! assert_eq!(entry.fields, "received bytes=512");
//! ```
//!
//! # Which mode
//!
//! With [`LossMode::Discard`] a thread drains the rings all the time, as into a file; what comes while a ring is full is
//! [counted](Reader::lost). With [`LossMode::Overwrite`] nobody needs to: the rings are a flight recorder, to be read
//! when something has gone wrong. What was overwritten before it was read is counted too, and where it is
//! [missing](Entry::missed).
//!
//! # Into a file
//!
//! A thread has the [`Reader`], and writes until the others have ended, which is stored to `done` with `Release`:
//!
//! ```
//! use std::io::{self, BufWriter, Write};
//! use std::sync::atomic::{AtomicBool, Ordering::Acquire};
//! use std::time::Duration;
//!
//! use cpu_opv_tracing::Reader;
//!
//! fn write_down(mut reader: Reader, file: impl Write, done: &AtomicBool) -> io::Result<usize> {
//!     let mut file = BufWriter::new(file);
//!     loop {
//!         let is_done = done.load(Acquire); // before the last look
//!         for entry in reader.drain() {
//!             writeln!(file, "{entry}")?;
//!         }
//!         if is_done {
//!             file.flush()?;
//!             return Ok(reader.lost());
//!         }
//!         // Until a CPU has 64 KiB, or a tenth of a second has passed.
//!         reader.wait(64 << 10, Some(Duration::from_millis(100)));
//!     }
//! }
//! ```
//!
//! # Beside perf and ftrace
//!
//! [Threads](Entry::thread) have the numbers that the kernel gave them, and times are those of `CLOCK_MONOTONIC`. So
//! entries can be put beside what `perf record --clockid=mono` has recorded, or ftrace with `mono` in its `trace_clock`.
//! Of a process in a PID namespace of its own, these show other numbers; of one in a time
//! namespace, they may show times that are offset from those of the entries.
//!
//! # Costs
//!
//! Fields are formatted as text by the thread that traces, into memory of its own; then that is
//! copied to the ring of its CPU. What is known when the program is compiled, such as names and
//! levels, is not copied. An entry has up to 4000 bytes. Longer text is cut, but is formatted to
//! its end before.
//!
//! The first entry of a thread takes a system call more, to get its number. Where the kernel has no
//! `MADV_WIPEONFORK` (Linux before 4.14, gVisor), each entry takes one, to get that of the process.
//!
//! # Limits
//!
//! A thread that loses its CPU at the wrong moment puts its entry there a little later. It may then
//! come after younger ones, in the next [`drain`](Reader::drain); those of one CPU are always in
//! order. If you need them all in order, sort them by their time, with a sort that is stable.
//!
//! Signal handlers must not trace: formatting allocates.
//!
//! A thread that a sandbox does not let register with rseq panics when it traces, if that was
//! entered after the ring was made: see [`cpu_opv`](cpu_opv#progress).
//!
//! That a span [follows from](tracing_core::Subscriber::record_follows_from) another one is not kept.
//!
//! After `fork(2)`, the parent and the child each have all entries that were not read before.

use std::error;
use std::fmt::{self, Write};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use cpu_opv::TraceRing;
pub use cpu_opv::{Cpu, Error, LossMode};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id};
use tracing_core::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

mod entry;
mod thread;

use entry::with_buffer;
pub use entry::{Entry, Kind};

/// A layer that traces into rings of `capacity` bytes for each CPU, and what reads them.
///
/// The capacity is rounded up to a power of two, and to 16 KiB. An entry takes some 50 bytes more than its text.
///
/// # Panics
///
/// If the system has no memory left, or `capacity` is more than 2 GiB, or on 32-bit systems 1 GiB.
pub fn ring(capacity: usize, mode: LossMode) -> (RingLayer, Reader) {
    try_ring(capacity, mode).expect("memory for each CPU")
}

/// As [`ring`], but an error where that panics; see [`TraceRing::try_new`].
pub fn try_ring(capacity: usize, mode: LossMode) -> Result<(RingLayer, Reader), Error> {
    let ring = Arc::new(TraceRing::try_new(capacity, mode)?);
    let layer = RingLayer { ring: ring.clone() };
    Ok((layer, Reader { ring }))
}

/// The layer. See [`ring`].
#[derive(Debug)]
pub struct RingLayer {
    // Nobody else has it: all records in it are of `Entry::encode`.
    ring: Arc<TraceRing>,
}

impl RingLayer {
    fn put(
        &self,
        kind: Kind,
        metadata: &'static Metadata<'static>,
        span: Option<&Id>,
        parent: Option<&Id>,
        fields: impl FnOnce(&mut Fields<'_>),
    ) {
        with_buffer(|buffer| {
            Entry::encode(buffer, kind, metadata, span, parent);
            fields(&mut Fields::new(buffer));
            entry::cut(buffer);
            // If it is full, the ring has counted it.
            let _ = self.ring.push(buffer.as_bytes());
        });
    }

    fn put_of_span<S>(
        &self,
        kind: Kind,
        id: &Id,
        context: &Context<'_, S>,
        fields: impl FnOnce(&mut Fields<'_>),
    ) where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        // The references to the spans are gone before the fields are formatted, which may trace.
        let found = context.span(id).map(|span| {
            let parent = kind.has_parent().then(|| span.parent()).flatten();
            (span.metadata(), parent.map(|parent| parent.id()))
        });
        if let Some((metadata, parent)) = found {
            self.put(kind, metadata, Some(id), parent.as_ref(), fields);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RingLayer {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let parent = context.event_span(event).map(|span| span.id());
        self.put(
            Kind::Event,
            event.metadata(),
            None,
            parent.as_ref(),
            |fields| event.record(fields),
        );
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.put_of_span(Kind::New, id, &context, |fields| attributes.record(fields));
    }

    fn on_record(&self, id: &Id, values: &tracing_core::span::Record<'_>, context: Context<'_, S>) {
        self.put_of_span(Kind::Record, id, &context, |fields| values.record(fields));
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.put_of_span(Kind::Enter, id, &context, |_| {});
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.put_of_span(Kind::Exit, id, &context, |_| {});
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.put_of_span(Kind::Close, &id, &context, |_| {});
    }
}

/// Writes fields as `fmt` does: the message, then `name=value`.
struct Fields<'a> {
    buffer: &'a mut entry::Buffer,
    /// Whether another one was before.
    is_after: bool,
}

impl<'a> Fields<'a> {
    fn new(buffer: &'a mut entry::Buffer) -> Self {
        Self {
            buffer,
            is_after: false,
        }
    }

    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let space = if self.is_after { " " } else { "" };
        self.is_after = true;
        // The buffer takes all. A value that fails has no more to say.
        let _ = match field.name() {
            "message" => write!(self.buffer, "{space}{value}"),
            name => {
                // A keyword.
                let name = name.strip_prefix("r#").unwrap_or(name);
                write!(self.buffer, "{space}{name}={value}")
            }
        };
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.write(field, format_args!("{value}")),
            _ => self.write(field, format_args!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn error::Error + 'static)) {
        match value.source() {
            Some(_) => {
                let (name, sources) = (field.name(), Sources(value));
                self.write(field, format_args!("{value} {name}.sources={sources:?}"));
            }
            None => self.write(field, format_args!("{value}")),
        }
    }
}

/// What an error comes from.
struct Sources<'a>(&'a (dyn error::Error + 'static));

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = iter::successors(self.0.source(), |error| error.source());
        let mut list = f.debug_list();
        for error in sources {
            list.entry(&format_args!("{error}"));
        }
        list.finish()
    }
}

/// What takes the entries out. See [`ring`].
#[derive(Debug)]
pub struct Reader {
    ring: Arc<TraceRing>,
}

impl Reader {
    /// Takes out the entries that are there, of all CPUs, in the order of their times. Those that come meanwhile are left
    /// for the next time.
    ///
    /// # Deadlock
    ///
    /// It waits for ever if what an earlier call returned was leaked, as by [`mem::forget`](std::mem::forget).
    pub fn drain(&mut self) -> Drain<'_> {
        Drain(self.ring.drain())
    }

    /// Waits until a CPU has `watermark` bytes to be read, or any if it is 0; returns whether one has: `false` if
    /// `timeout` was over before. See [`TraceRing::wait`].
    pub fn wait(&self, watermark: usize, timeout: Option<Duration>) -> bool {
        self.ring.wait(watermark, timeout)
    }

    /// How many entries were lost until now, wrapping: see [`TraceRing::lost_on`].
    ///
    /// When all threads that trace have ended and the ring was drained, this and what was drained is all there was, but
    /// for entries whose fields panicked as they were formatted.
    pub fn lost(&self) -> usize {
        let lost = Cpu::all().map(|cpu| self.ring.lost_on(cpu));
        lost.fold(0, usize::wrapping_add)
    }
}

/// An iterator that takes entries out, in the order of their times: that of [`Reader::drain`].
///
/// Each is taken out when it is returned: [`take`](Iterator::take) leaves the others there.
///
/// # Deadlock
///
/// After it was leaked, as by [`mem::forget`](std::mem::forget), the next one waits for ever.
#[derive(Debug)]
pub struct Drain<'a>(cpu_opv::Drain<'a>);

impl Iterator for Drain<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let record = self.0.next()?;
        // SAFETY: the ring is filled by `RingLayer::put` alone.
        Some(unsafe { Entry::decode(record) })
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
