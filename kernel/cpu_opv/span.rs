// SPDX-License-Identifier: GPL-2.0

//! Operations on memory: in pinned pages, or words where the caller maps them.
//!
//! Nothing here can sleep, or take a lock: a [`Step`] knows where its operands are. Nor can it
//! fail, in pinned pages. The memory may change at any moment, so there are no references to it.

use core::convert::Infallible;
use kernel::{
    interrupt::LocalInterruptDisabled,
    mm::user_page::{
        Access,
        Fault,
        Read,
        UserWord,
        Write, //
    },
    page::{
        RacySlice,
        RacySliceMut, //
    },
    sync::barrier::{
        barrier,
        smp_mb,
        Full, //
    },
};

/// The bytes of an operand, in one page or two.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    head: RacySlice<'a>,
    tail: Option<RacySlice<'a>>,
}

/// The same of one that is written to.
#[derive(Clone, Copy)]
pub(super) struct SpanMut<'a> {
    head: RacySliceMut<'a>,
    tail: Option<RacySliceMut<'a>>,
}

impl<'a> Span<'a> {
    /// Returns `len` bytes at `offset` of the page `head`, those that do not fit at the beginning
    /// of the page `tail`.
    #[inline]
    pub(super) fn new(
        head: RacySlice<'a>,
        tail: Option<RacySlice<'a>>,
        offset: usize,
        len: usize,
    ) -> Self {
        let head = head.sub(offset, len);
        let rest = len - head.len();

        Self {
            head,
            tail: tail.map(|tail| tail.sub(0, rest)),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.head.len() + self.tail.map_or(0, |tail| tail.len())
    }

    #[inline]
    fn parts(&self) -> impl Iterator<Item = RacySlice<'a>> {
        [Some(self.head), self.tail].into_iter().flatten()
    }

    /// Returns the bytes from `start` to `end`, which are in one page.
    fn piece(&self, start: usize, end: usize) -> RacySlice<'a> {
        let in_head = self.head.len();

        match self.tail {
            Some(tail) if start >= in_head => tail.sub(start - in_head, end - start),
            _ => self.head.sub(start, end - start),
        }
    }

    /// Returns the integer in a span of 1, 2, 4 or 8 bytes, loaded in one access if aligned.
    #[inline]
    pub(super) fn load(&self) -> u64 {
        let word = match self.tail {
            None => self.head.load(),
            Some(_) => None,
        };
        word.unwrap_or_else(|| self.load_bytes())
    }

    #[cold]
    fn load_bytes(self) -> u64 {
        let mut bytes = [0; 8];
        let mut at = 0;
        for part in self.parts() {
            if let Some(dst) = bytes.get_mut(at..) {
                part.read(dst);
            }
            at += part.len();
        }
        let [b0, b1, b2, b3, ..] = bytes;
        match at {
            1 => b0.into(),
            2 => u16::from_ne_bytes([b0, b1]).into(),
            4 => u32::from_ne_bytes([b0, b1, b2, b3]).into(),
            _ => u64::from_ne_bytes(bytes),
        }
    }

    #[inline]
    fn is_word(&self) -> bool {
        matches!(self.len(), 1 | 2 | 4 | 8)
    }

    /// Whether both, which are of the same length, hold the same bytes.
    #[inline]
    fn equals(&self, other: &Span<'_>) -> bool {
        if self.is_word() {
            self.load() == other.load()
        } else {
            self.equals_bytes(*other)
        }
    }

    #[inline(never)]
    fn equals_bytes(self, other: Span<'_>) -> bool {
        ranges(self.head.len(), other.head.len(), self.len())
            .all(|(start, end)| self.piece(start, end).equals(&other.piece(start, end)))
    }
}

/// Returns the ranges of `0..len` that lie in one page each of two spans, which have so many bytes
/// in their first pages.
fn ranges(a_head: usize, b_head: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let (first, second) = (a_head.min(b_head), a_head.max(b_head));

    [(0, first), (first, second), (second, len)]
        .into_iter()
        .filter(|(start, end)| start < end)
}

impl<'a> SpanMut<'a> {
    /// As [`Span::new()`].
    #[inline]
    pub(super) fn new(
        head: RacySliceMut<'a>,
        tail: Option<RacySliceMut<'a>>,
        offset: usize,
        len: usize,
    ) -> Self {
        let head = head.sub(offset, len);
        let rest = len - head.len();

        Self {
            head,
            tail: tail.map(|tail| tail.sub(0, rest)),
        }
    }

    #[inline]
    pub(super) fn as_span(&self) -> Span<'a> {
        Span {
            head: *self.head,
            tail: self.tail.map(|tail| *tail),
        }
    }

    fn piece(&self, start: usize, end: usize) -> RacySliceMut<'a> {
        let in_head = self.head.len();

        match self.tail {
            Some(tail) if start >= in_head => tail.sub(start - in_head, end - start),
            _ => self.head.sub(start, end - start),
        }
    }

    /// Stores `value`, truncated, to a span of 1, 2, 4 or 8 bytes, in one access if aligned.
    #[inline]
    pub(super) fn store(&self, value: u64) {
        if self.tail.is_some() || !self.head.store(value) {
            self.store_bytes(value);
        }
    }

    #[cold]
    fn store_bytes(self, value: u64) {
        let bytes = match self.as_span().len() {
            1 => &(value as u8).to_ne_bytes()[..],
            2 => &(value as u16).to_ne_bytes()[..],
            4 => &(value as u32).to_ne_bytes()[..],
            _ => &value.to_ne_bytes()[..],
        };
        let mut at = 0;
        for part in [Some(self.head), self.tail].into_iter().flatten() {
            if let Some(src) = bytes.get(at..) {
                part.write(src);
            }
            at += part.len();
        }
    }

    /// Copies from `src`, which is of the same length, through a page if it
    /// [is needed](Self::needs_buffer).
    #[inline]
    fn copy_from(&self, src: &Span<'_>, buffer: Option<RacySliceMut<'_>>) {
        if src.is_word() {
            self.store(src.load());
        } else {
            self.copy_bytes(*src, buffer);
        }
    }

    #[inline(never)]
    fn copy_bytes(self, src: Span<'_>, buffer: Option<RacySliceMut<'_>>) {
        match buffer {
            Some(page) => {
                let buffer = SpanMut::new(page, None, 0, src.len());
                buffer.copy_pieces(&src);
                self.copy_pieces(&buffer.as_span());
            }
            None => self.copy_pieces(&src),
        }
    }

    fn copy_pieces(&self, src: &Span<'_>) {
        for (start, end) in ranges(self.head.len(), src.head.len(), src.len()) {
            self.piece(start, end).copy_from(&src.piece(start, end));
        }
    }

    /// Whether a copy from `src` might overwrite bytes before they are read, when it is done piece
    /// by piece.
    ///
    /// The addresses do not tell, as a page can be mapped at more than one.
    pub(super) fn needs_buffer(&self, src: &Span<'_>) -> bool {
        let in_one_page_each = self.tail.is_none() && src.tail.is_none();
        if in_one_page_each || src.is_word() {
            return false;
        }
        self.as_span()
            .parts()
            .any(|dst| src.parts().any(|src| src.shares_page(&dst)))
    }
}

/// An operand that is only read.
pub(super) trait Source {
    /// What may come in between.
    type Fault;

    /// Whether both, which are of the same length, hold the same bytes.
    fn equals(&self, other: &Self) -> Result<bool, Self::Fault>;
}

/// An operand that is written to. If there is a fault, nothing was.
pub(super) trait Target {
    type Source: Source;

    /// Copies from `src`, which is of the same length.
    fn copy_from(&self, src: &Self::Source) -> Result<(), FaultOf<Self>>;

    fn add(&self, count: u64) -> Result<(), FaultOf<Self>>;
}

type FaultOf<T> = <<T as Target>::Source as Source>::Fault;

impl Source for Span<'_> {
    type Fault = Infallible;

    #[inline]
    fn equals(&self, other: &Self) -> Result<bool, Infallible> {
        Ok(Span::equals(self, other))
    }
}

/// A span that is written to, and the page through which to copy to it if that
/// [is needed](SpanMut::needs_buffer).
pub(super) struct SpanTarget<'a> {
    pub(super) span: SpanMut<'a>,
    pub(super) buffer: Option<RacySliceMut<'a>>,
}

impl<'a> Target for SpanTarget<'a> {
    type Source = Span<'a>;

    #[inline]
    fn copy_from(&self, src: &Span<'a>) -> Result<(), Infallible> {
        self.span.copy_from(src, self.buffer);
        Ok(())
    }

    #[inline]
    fn add(&self, count: u64) -> Result<(), Infallible> {
        self.span
            .store(self.span.as_span().load().wrapping_add(count));
        Ok(())
    }
}

impl<A: Access> Source for UserWord<'_, A> {
    type Fault = Fault;

    #[inline]
    fn equals(&self, other: &Self) -> Result<bool, Fault> {
        Ok(self.load()? == other.load()?)
    }
}

impl<'a> Target for UserWord<'a, Write> {
    type Source = UserWord<'a, Read>;

    #[inline]
    fn copy_from(&self, src: &UserWord<'a, Read>) -> Result<(), Fault> {
        self.store(src.load()?)
    }

    #[inline]
    fn add(&self, count: u64) -> Result<(), Fault> {
        self.store(self.load()?.wrapping_add(count))
    }
}

/// What is to be done with memory.
///
/// What stores has release semantics if `release`: all earlier accesses of the vector are ordered
/// before the store.
pub(super) enum Step<T: Target> {
    /// The vector goes on if whether both are equal is as `wanted`.
    Compare {
        a: T::Source,
        b: T::Source,
        wanted: bool,
    },
    Copy {
        dst: T,
        src: T::Source,
        release: bool,
    },
    Add {
        p: T,
        count: u64,
        release: bool,
    },
    /// What is left of the others if the operands have no bytes.
    Nothing {
        goes_on: bool,
        release: bool,
    },
}

impl<T: Target> Step<T> {
    /// Does it. Returns whether the vector goes on.
    #[inline]
    pub(super) fn run(&self) -> Result<bool, FaultOf<T>> {
        match self {
            Step::Compare { a, b, wanted } => Ok(a.equals(b)? == *wanted),
            Step::Copy { dst, src, release } => {
                order_release(*release);
                dst.copy_from(src)?;
                Ok(true)
            }
            Step::Add { p, count, release } => {
                order_release(*release);
                p.add(*count)?;
                Ok(true)
            }
            Step::Nothing { goes_on, release } => {
                order_release(*release);
                Ok(*goes_on)
            }
        }
    }
}

#[inline]
fn order_release(release: bool) {
    if release {
        smp_mb(Full);
    }
}

/// What is between two operations of a vector, for `membarrier(2)` of the caller's process to pair
/// with.
///
/// User space may have made a barrier of its fast path a compiler barrier, for membarrier on the
/// slow path to upgrade. A vector is such a fast path:
///
/// ```text
///   CPU 0, on the slow path              CPU 1, runs a vector: y = 1, r1 = x
///
///   x = 1
///   membarrier():
///     a: smp_mb()
///                                        y = 1
///                                        m: between the operations
///                                        r1 = x
///     b: look at curr of CPU 1
///        if its mm is ours: IPI; wait
///     c: smp_mb()
///   r2 = y
///
///                  never r1 == 0 && r2 == 0
/// ```
///
/// - If curr of CPU 1 has the caller's mm, then b interrupts it. Interrupts are disabled while the
///   vector runs, so the barrier of the IPI comes before or after all of it, and pairs with a and c
///   as in scenarios A and B of kernel/sched/membarrier.c. For m the compiler is all that is to be
///   held up. So it is where the caller is on the CPU that it named, and in a handler that
///   interrupted its process.
/// - If the handler interrupted another process or a kernel thread, b passes CPU 1 over. m has to
///   be a full barrier, which pairs with a and c.
/// - If CPU 1 is idle or offline, it is the CPU of the caller that runs the vector. b interrupts
///   that, but not if membarrier is told to look at CPU 1 alone (MEMBARRIER_CMD_FLAG_CPU). So m has
///   to be a full barrier there, too.
///
/// When another task is switched in on CPU 1 between the vector and b, the barriers of the switch
/// do, as in scenario C there.
///
/// That orders. It does not make membarrier wait for a vector in progress. Nor does it hold for the
/// first store to a page that nobody wrote to, or not since fork(): that replaces the page, and if
/// b passes CPU 1 over, the vector goes on with the one that it was checked for.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// A barrier for the compiler: membarrier interrupts the CPU that runs the vector.
    Compiler,
    /// A full barrier: it need not.
    Full,
}

/// How a vector ended.
pub(super) enum Outcome {
    /// All of it was run.
    Complete,
    /// A comparison, counted from 0, stopped it. What is before that was run.
    StoppedAt(usize),
}

/// Runs the operations on memory that has just been found to be mapped.
#[inline]
pub(super) fn run<'s, T: Target + 's>(
    steps: impl Iterator<Item = &'s Step<T>>,
    order: Order,
    _irq: &LocalInterruptDisabled,
) -> Result<Outcome, FaultOf<T>> {
    for (index, step) in steps.enumerate() {
        if !step.run()? {
            return Ok(Outcome::StoppedAt(index));
        }
        match order {
            Order::Compiler => barrier(),
            Order::Full => smp_mb(Full),
        }
    }
    Ok(Outcome::Complete)
}
