// SPDX-License-Identifier: MIT OR Apache-2.0

//! What goes up and down.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::GaugeFn;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A number that goes up and down, such as that of the requests in progress, or is set, such as a temperature.
///
/// To add a whole number of up to 31 bits, or to take one off, takes no atomic instruction and no
/// lock, [mostly](crate#costs). All else is under a lock: to add any other number; and to set it,
/// as a value for each CPU cannot be set in one step. For what is set often by many threads it is
/// no better than an atomic. A clone is the same gauge.
///
/// Who reads it while some add may find what was taken off without what had been added before, on
/// another CPU: by another thread, or by the same one before it was moved. So what is never below 0
/// may be read as less, and by more than 1. What is added while it is set may come to be in it, or
/// not; also if that was added before, and is taken off after it.
///
/// On a 32-bit machine it is right if it is read, or set, at least once while it goes up or down by
/// 2 to the power of 31.
///
/// ```
/// use cpu_opv_metrics::Gauge;
///
/// let in_progress = Gauge::default();
/// in_progress.inc();
/// in_progress.dec();
/// assert_eq!(in_progress.get(), 0.0);
///
/// let load = Gauge::default();
/// load.set(0.75);
/// assert_eq!(load.get(), 0.75);
/// ```
#[derive(Clone, Default)]
pub struct Gauge(pub(crate) Arc<Level>);

impl Gauge {
    /// Adds 1.
    pub fn inc(&self) {
        self.inc_by(1.0);
    }

    /// Takes 1 off.
    pub fn dec(&self) {
        self.dec_by(1.0);
    }

    /// Adds `n`.
    #[inline]
    pub fn inc_by(&self, n: f64) {
        self.0.add(n);
    }

    /// Takes `n` off.
    #[inline]
    pub fn dec_by(&self, n: f64) {
        self.0.add(-n);
    }

    /// Makes it this value.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// What it is.
    pub fn get(&self) -> f64 {
        self.0.settle().value
    }
}

#[derive(Default)]
pub(crate) struct Level {
    /// What was added of whole numbers.
    added: cpu_opv::Gauge,
    settled: Mutex<Settled>,
}

/// What it was when it was last looked at, and what was added of others.
#[derive(Default)]
struct Settled {
    value: f64,
    /// How much of what was added is in there.
    seen: i64,
}

impl Level {
    #[inline]
    fn add(&self, n: f64) {
        // NaN becomes 0.
        let whole = n as i32;
        if f64::from(whole) == n {
            self.added.add(whole.into());
        } else {
            self.lock().value += n;
        }
    }

    /// Takes over what was added.
    fn settle(&self) -> MutexGuard<'_, Settled> {
        let mut settled = self.lock();
        let added = self.added.sum();
        // Modulo what a word can count.
        settled.value += added.wrapping_sub(settled.seen) as isize as f64;
        settled.seen = added;
        settled
    }

    fn lock(&self) -> MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GaugeFn for Level {
    #[inline]
    fn increment(&self, n: f64) {
        self.add(n);
    }

    #[inline]
    fn decrement(&self, n: f64) {
        self.add(-n);
    }

    fn set(&self, value: f64) {
        self.settle().value = value;
    }
}

impl From<Gauge> for metrics::Gauge {
    fn from(gauge: Gauge) -> Self {
        Self::from_arc(gauge.0)
    }
}

impl TypedMetric for Gauge {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for Gauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.get()).finish()
    }
}
