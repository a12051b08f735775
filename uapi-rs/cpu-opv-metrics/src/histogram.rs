// SPDX-License-Identifier: MIT OR Apache-2.0

//! How often values were in which range.

use std::fmt;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use cpu_opv::Buckets;
use metrics::HistogramFn;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::counter::Total;

/// Counts values, such as durations in seconds, by the range that they are in, and adds them up.
///
/// Observing a value takes no atomic instruction and no lock, [mostly](crate#costs); and whoever
/// reads the counts and the sum finds each value in both of them or in none. A clone is the same
/// histogram.
///
/// On a 32-bit machine it counts right if it is read, as by a scrape, at least once while a count
/// goes up by 2 to the power of 32; a value cannot be observed as often as that at once.
///
/// ```
/// use cpu_opv_metrics::Histogram;
///
/// let seconds = Histogram::new([0.01, 0.1, 1.0]);
/// seconds.observe(0.25);
/// assert_eq!(seconds.get().counts(), [0, 0, 1, 0]);
/// ```
#[derive(Clone)]
pub struct Histogram(pub(crate) Arc<Observed>);

impl Histogram {
    /// A histogram of ranges up to these bounds, and of one above the last. Those that are infinite are left out.
    ///
    /// # Panics
    ///
    /// If a bound is not greater than the one before or is not a number, or if there are more than
    /// [`MAX_BOUNDS`](cpu_opv::Histogram::MAX_BOUNDS): 240, on 32-bit systems 239.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Self {
        let bounds: Vec<f64> = bounds
            .into_iter()
            .filter(|bound| !bound.is_infinite())
            .collect();
        let totals = iter::repeat_with(Total::default).take(bounds.len() + 1);
        Self(Arc::new(Observed {
            totals: Mutex::new(totals.collect()),
            observed: cpu_opv::Histogram::new(bounds),
        }))
    }

    /// Counts a value and adds it to the sum.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.0.observed.observe(value);
    }

    /// Counts a value `count` times, in one step: see [`cpu_opv::Histogram::observe_many`].
    #[inline]
    pub fn observe_many(&self, value: f64, count: u64) {
        self.0.observed.observe_many(value, count);
    }

    /// The upper bounds of its ranges, but for the last, which has none.
    pub fn bounds(&self) -> &[f64] {
        self.0.observed.bounds()
    }

    /// What was observed until now.
    pub fn get(&self) -> Buckets {
        self.0.seen()
    }
}

pub(crate) struct Observed {
    observed: cpu_opv::Histogram,
    /// Of each range.
    totals: Mutex<Box<[Total]>>,
}

impl Observed {
    fn seen(&self) -> Buckets {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        // With the lock, so that what is settled later was read later.
        let mut seen = self.observed.snapshot();
        for (count, total) in seen.counts_mut().iter_mut().zip(&mut *totals) {
            *count = *total.settle(*count);
        }
        seen
    }
}

impl HistogramFn for Observed {
    #[inline]
    fn record(&self, value: f64) {
        self.observed.observe(value);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.observed.observe_many(value, count as u64);
    }
}

impl From<Histogram> for metrics::Histogram {
    fn from(histogram: Histogram) -> Self {
        Self::from_arc(histogram.0)
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seen = self.get();
        // The encoder adds them up, and does not expect that to wrap.
        let mut sum = 0;
        let counts = seen.counts().iter().map(|count| {
            let count = (*count).min(u64::MAX - sum);
            sum += count;
            count
        });
        let bounds = self.bounds().iter().copied();
        let bounds = bounds.chain(iter::once(f64::INFINITY));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        encoder.encode_histogram::<NoLabelSet>(seen.sum(), sum, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("bounds", &self.bounds())
            .field("seen", &self.get())
            .finish()
    }
}
