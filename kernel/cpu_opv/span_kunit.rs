// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the operations on memory: at every alignment, across pages, and with operands
//! that overlap.

use super::{
    span::{
        run,
        Order,
        Outcome,
        Span,
        SpanMut,
        SpanTarget,
        Step, //
    },
    vector::DATA_LEN_MAX, //
};
use kernel::{
    interrupt::local_interrupt_disable,
    page::{
        RacyPage,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Allocates a page as user space has them: from high memory, if there is any.
fn user_page() -> Result<RacyPage> {
    Ok(RacyPage::alloc(GFP_KERNEL | __GFP_HIGHMEM)?)
}

/// Two pages of known bytes, no two of which are the same within 251.
struct Memory {
    pages: [RacyPage; 2],
}

impl Memory {
    fn new() -> Result<Self> {
        let memory = Self {
            pages: [user_page()?, user_page()?],
        };
        for i in 0..2 * PAGE_SIZE {
            memory.span(i, 1).store((i % 251) as u64);
        }
        Ok(memory)
    }

    fn span(&self, offset: usize, len: usize) -> SpanMut<'_> {
        let [a, b] = &self.pages;
        if offset >= PAGE_SIZE {
            SpanMut::new(b.bytes_mut(), None, offset - PAGE_SIZE, len)
        } else {
            let tail = (offset + len > PAGE_SIZE).then(|| b.bytes_mut());
            SpanMut::new(a.bytes_mut(), tail, offset, len)
        }
    }

    fn byte(&self, offset: usize) -> u8 {
        self.span(offset, 1).as_span().load() as u8
    }
}

fn are(wanted: bool, a: Span<'_>, b: Span<'_>) -> bool {
    let Ok(goes_on) = Step::<SpanTarget<'_>>::Compare { a, b, wanted }.run();
    goes_on
}

fn copy(dst: SpanMut<'_>, src: Span<'_>, release: bool) -> Result {
    let page = if dst.needs_buffer(&src) {
        Some(user_page()?)
    } else {
        None
    };
    let step = Step::Copy {
        dst: SpanTarget {
            span: dst,
            buffer: page.as_ref().map(|page| page.bytes_mut()),
        },
        src,
        release,
    };
    assert!(matches!(step.run(), Ok(true)));
    Ok(())
}

fn add(span: SpanMut<'_>, count: u64, release: bool) {
    let p = SpanTarget { span, buffer: None };

    assert!(matches!(Step::Add { p, count, release }.run(), Ok(true)));
}

/// Offsets around which a span of a few bytes is aligned, is not, and crosses a page.
fn offsets() -> impl Iterator<Item = usize> {
    [0..16, PAGE_SIZE - 16..PAGE_SIZE + 8].into_iter().flatten()
}

#[kunit_tests(cpu_opv_span)]
mod tests {
    use super::*;

    #[test]
    fn integers_at_any_alignment() -> Result {
        let memory = Memory::new()?;
        let value: u64 = 0xfedc_ba98_7654_3210;

        for len in [1, 2, 4, 8] {
            let mask = u64::MAX >> (64 - 8 * len);
            for offset in offsets() {
                let span = memory.span(offset, len);
                span.store(value);
                assert_eq!(span.as_span().load(), value & mask);
            }
        }
        Ok(())
    }

    #[test]
    fn compare() -> Result {
        let (a, b) = (Memory::new()?, Memory::new()?);

        for len in [1, 2, 3, 4, 7, 8, 9, 100, DATA_LEN_MAX] {
            for offset in [0, 1, 8, 4000] {
                let a = a.span(offset, len).as_span();
                let b_span = b.span(offset, len).as_span();
                assert!(are(true, a, b_span));
                assert!(!are(false, a, b_span));

                // The last byte counts, and the one after it does not.
                let last = b.span(offset + len - 1, 1);
                let byte = last.as_span().load();
                last.store(byte ^ 0x80);
                assert!(!are(true, a, b_span));
                assert!(are(false, a, b_span));
                last.store(byte);
            }
        }
        Ok(())
    }

    /// Each is divided by a page at another place.
    #[test]
    fn compare_across_pages() -> Result {
        let (a, b) = (Memory::new()?, Memory::new()?);

        for len in [3, 100, DATA_LEN_MAX] {
            for (in_a, in_b) in [(1, 2), (2, 1), (len - 1, 1), (2, 2)] {
                let a_span = a.span(PAGE_SIZE - in_a, len);
                let b_span = b.span(PAGE_SIZE - in_b, len);
                copy(a_span, b_span.as_span(), false)?;
                assert!(are(true, a_span.as_span(), b_span.as_span()));

                for at in [0, 1, 2, len - 2, len - 1] {
                    let byte = a.span(PAGE_SIZE - in_a + at, 1);
                    let was = byte.as_span().load();
                    byte.store(was ^ 1);
                    assert!(!are(true, a_span.as_span(), b_span.as_span()));
                    byte.store(was);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn copy_that_overlaps() -> Result {
        for len in [1, 2, 3, 8, 63, 1000, DATA_LEN_MAX] {
            for (src, dst) in [
                (0, 0),
                (8, 9),
                (9, 8),
                (100, 4),
                (PAGE_SIZE - len, PAGE_SIZE - len / 2),
                (PAGE_SIZE - len / 2, PAGE_SIZE - len),
            ] {
                let (memory, before) = (Memory::new()?, Memory::new()?);
                copy(
                    memory.span(dst, len),
                    memory.span(src, len).as_span(),
                    false,
                )?;

                for i in 0..2 * PAGE_SIZE {
                    let copied = (dst..dst + len).contains(&i);
                    let from = if copied { i - dst + src } else { i };
                    assert_eq!(memory.byte(i), before.byte(from));
                }
            }
        }
        Ok(())
    }

    /// Both operands cross into a page that is mapped twice in a row, as a ring buffer may be.
    #[test]
    fn copy_within_a_ring() -> Result {
        for len in [16, 3000, DATA_LEN_MAX] {
            for (src, dst) in [(PAGE_SIZE - 8, 500), (500, PAGE_SIZE - 8), (2000, 500)] {
                let (memory, before) = (Memory::new()?, Memory::new()?);
                let [page, _] = &memory.pages;
                let ring = |offset| {
                    let tail = (offset + len > PAGE_SIZE).then(|| page.bytes_mut());
                    SpanMut::new(page.bytes_mut(), tail, offset, len)
                };
                copy(ring(dst), ring(src).as_span(), true)?;

                for i in 0..len {
                    let at = (dst + i) % PAGE_SIZE;
                    let from = (src + i) % PAGE_SIZE;
                    assert_eq!(memory.byte(at), before.byte(from));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn add_wraps() -> Result {
        let memory = Memory::new()?;

        for release in [false, true] {
            for len in [1, 2, 4, 8] {
                let mask = u64::MAX >> (64 - 8 * len);
                for offset in offsets() {
                    let p = memory.span(offset, len);
                    let after = memory.byte(offset + len);
                    p.store(u64::MAX);
                    for (count, sum) in [(1, 0), (u64::MAX, mask), (0x1_0203, 0x1_0202 & mask)] {
                        add(p, count, release);
                        assert_eq!(p.as_span().load(), sum);
                    }
                    assert_eq!(memory.byte(offset + len), after);
                }
            }
        }
        Ok(())
    }

    /// Runs the steps, and returns the index of the one that stopped them.
    fn stopped_at(steps: &[Step<SpanTarget<'_>>], order: Order) -> Option<usize> {
        match run(steps.iter(), order, &local_interrupt_disable()) {
            Ok(Outcome::Complete) => None,
            Ok(Outcome::StoppedAt(index)) => Some(index),
        }
    }

    #[test]
    fn nothing_runs_after_a_stop() -> Result {
        let memory = Memory::new()?;
        let (p, other) = (memory.span(0, 8), memory.span(8, 8));

        for order in [Order::Compiler, Order::Full] {
            p.store(1);
            other.store(2);
            let add = || Step::Add {
                p: SpanTarget {
                    span: p,
                    buffer: None,
                },
                count: 1,
                release: false,
            };
            let compare = |wanted| Step::Compare {
                a: p.as_span(),
                b: other.as_span(),
                wanted,
            };

            assert_eq!(stopped_at(&[], order), None);
            assert_eq!(stopped_at(&[compare(true), add()], order), Some(0));
            assert_eq!(p.as_span().load(), 1);
            assert_eq!(stopped_at(&[add(), compare(true), add()], order), None);
            assert_eq!(p.as_span().load(), 3);
            assert_eq!(stopped_at(&[add(), compare(true), add()], order), Some(1));
            assert_eq!(p.as_span().load(), 4);
        }
        Ok(())
    }

    #[test]
    fn nothing_goes_on_or_stops() {
        for release in [false, true] {
            for goes_on in [false, true] {
                let Ok(went_on) = Step::<SpanTarget<'_>>::Nothing { goes_on, release }.run();
                assert_eq!(went_on, goes_on);
            }
        }
    }
}
