// SPDX-License-Identifier: MIT OR Apache-2.0

//! What only goes up.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::CounterFn;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A number that only goes up, such as that of the requests since the start.
///
/// Adding to it takes no atomic instruction and no lock, [mostly](crate#costs). A clone is the same
/// counter.
///
/// On a 32-bit machine it counts right if it is read, as by a scrape, at least once while it goes
/// up by 2 to the power of 32. To add as much as that at once takes a lock there.
///
/// ```
/// use cpu_opv_metrics::Counter;
///
/// let requests = Counter::default();
/// requests.inc();
/// requests.inc_by(2);
/// assert_eq!(requests.get(), 3);
/// ```
#[derive(Clone, Default)]
pub struct Counter(pub(crate) Arc<Count>);

impl Counter {
    /// Adds 1.
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `n`.
    #[inline]
    pub fn inc_by(&self, n: u64) {
        self.0.increment(n);
    }

    /// What it is: all that was added before, and maybe what is being added just now.
    pub fn get(&self) -> u64 {
        self.0.at_least(0)
    }
}

#[derive(Default)]
pub(crate) struct Count {
    added: cpu_opv::Counter,
    total: Mutex<Total>,
}

/// What it was when it was last looked at.
#[derive(Default)]
pub(crate) struct Total {
    value: u64,
    /// How much of what was added is in there.
    seen: u64,
}

impl Total {
    /// Takes over what was added, which the CPUs' words say modulo what they can count.
    pub(crate) fn settle(&mut self, added: u64) -> &mut u64 {
        let new = added.wrapping_sub(self.seen) as usize as u64;
        self.seen = added;
        self.value = self.value.wrapping_add(new);
        &mut self.value
    }
}

impl Count {
    fn total(&self) -> MutexGuard<'_, Total> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes it no less than that; what it is then.
    fn at_least(&self, value: u64) -> u64 {
        let mut total = self.total();
        let total = total.settle(self.added.sum());
        *total = value.max(*total);
        *total
    }
}

impl CounterFn for Count {
    #[inline]
    fn increment(&self, n: u64) {
        // A CPU counts in words.
        if usize::try_from(n).is_ok() {
            self.added.add(n);
        } else {
            let mut total = self.total();
            total.value = total.value.wrapping_add(n);
        }
    }

    fn absolute(&self, value: u64) {
        self.at_least(value);
    }
}

impl From<Counter> for metrics::Counter {
    fn from(counter: Counter) -> Self {
        Self::from_arc(counter.0)
    }
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.get()).finish()
    }
}
