// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `metrics` records to, and what Prometheus reads from.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use cpu_opv::Buckets;
use metrics::{Key, KeyName, Metadata, Recorder, SetRecorderError, SharedString, Unit};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};

use crate::registry::{Kind, Labels, Metric, Registry, label_name};
use crate::{Counter, Gauge, Histogram};

/// Seconds that requests take, from some milliseconds on: what Prometheus' own libraries have.
const DEFAULT_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Makes a [`PrometheusRecorder`].
///
/// ```
/// use cpu_opv_metrics::{Matcher, PrometheusBuilder};
///
/// # fn main() -> Result<(), cpu_opv_metrics::BuildError> {
/// let handle = PrometheusBuilder::new()
///     .add_global_label("instance", "blue")
///     .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &[1e3, 1e6, 1e9])?
///     .install_recorder()?;
///
/// metrics::counter!("requests", "path" => "/").increment(1);
/// assert!(handle.render().contains("\nrequests_total{instance=\"blue\",path=\"/\"} 1\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PrometheusBuilder {
    buckets: Vec<f64>,
    buckets_for: BTreeMap<Matcher, Vec<f64>>,
    labels: BTreeMap<String, String>,
}

/// Which metrics are meant, by their names as they are in the program. If there are several, a [`Full`](Self::Full) one
/// counts more than a [`Prefix`](Self::Prefix), and that more than a [`Suffix`](Self::Suffix).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Matcher {
    /// That of this name.
    Full(String),
    /// Those whose name begins so.
    Prefix(String),
    /// Those whose name ends so.
    Suffix(String),
}

impl Matcher {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Full(full) => name == full,
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Suffix(suffix) => name.ends_with(suffix),
        }
    }
}

impl PrometheusBuilder {
    /// A recorder without labels for all, and with the buckets of Prometheus' own libraries: from 5 ms to 10 s.
    pub fn new() -> Self {
        Self {
            buckets: DEFAULT_BUCKETS.into(),
            buckets_for: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Has histograms count by ranges up to these bounds, and one above.
    ///
    /// # Errors
    ///
    /// [`BuildError::InvalidBuckets`].
    pub fn set_buckets(mut self, bounds: &[f64]) -> Result<Self, BuildError> {
        self.buckets = valid(bounds)?;
        Ok(self)
    }

    /// The same for some histograms only.
    ///
    /// # Errors
    ///
    /// [`BuildError::InvalidBuckets`].
    pub fn set_buckets_for_metric(
        mut self,
        matcher: Matcher,
        bounds: &[f64],
    ) -> Result<Self, BuildError> {
        self.buckets_for.insert(matcher, valid(bounds)?);
        Ok(self)
    }

    /// Gives all metrics a label, but for those that have one of that name.
    #[must_use]
    pub fn add_global_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(label_name(&name.into()), value.into());
        self
    }

    /// The recorder, to be installed by [`metrics::set_global_recorder`] or [`metrics::with_local_recorder`].
    pub fn build_recorder(self) -> PrometheusRecorder {
        PrometheusRecorder(Arc::new(Inner {
            settings: self,
            registry: Registry::default(),
        }))
    }

    /// Makes the recorder that of the program; returns what reads it.
    ///
    /// # Errors
    ///
    /// [`BuildError::FailedToSetGlobalRecorder`].
    pub fn install_recorder(self) -> Result<PrometheusHandle, BuildError> {
        let recorder = self.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
        Ok(handle)
    }
}

impl Default for PrometheusBuilder {
    fn default() -> Self {
        Self::new()
    }
}

fn valid(bounds: &[f64]) -> Result<Vec<f64>, BuildError> {
    let is_valid = bounds.len() <= cpu_opv::Histogram::MAX_BOUNDS
        && bounds.iter().all(|bound| !bound.is_nan())
        && bounds.windows(2).all(|pair| pair[0] < pair[1]);
    is_valid
        .then(|| bounds.to_vec())
        .ok_or(BuildError::InvalidBuckets)
}

/// Why there is no recorder.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// There is one already, of this library or another.
    FailedToSetGlobalRecorder(SetRecorderError<PrometheusRecorder>),
    /// A bound is not greater than the one before or is not a number, or there are more than
    /// [`MAX_BOUNDS`](cpu_opv::Histogram::MAX_BOUNDS).
    InvalidBuckets,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedToSetGlobalRecorder(error) => error.fmt(f),
            Self::InvalidBuckets => {
                f.write_str("bounds must increase, must be numbers, and there may be at most ")?;
                cpu_opv::Histogram::MAX_BOUNDS.fmt(f)
            }
        }
    }
}

impl Error for BuildError {}

struct Inner {
    settings: PrometheusBuilder,
    registry: Registry,
}

impl Inner {
    fn metric(&self, key: &Key, kind: Kind) -> Option<Metric> {
        self.registry.find(key, kind).unwrap_or_else(|| {
            let labels = self.labels(key, kind);
            let metric = match kind {
                Kind::Counter => Metric::Counter(Counter::default()),
                Kind::Gauge => Metric::Gauge(Gauge::default()),
                Kind::Histogram => Metric::Histogram(self.histogram(key)),
            };
            self.registry.add(key, labels, metric)
        })
    }

    fn labels(&self, key: &Key, kind: Kind) -> Labels {
        // Keys with the same labels in another order are the same.
        let mut own = BTreeMap::<_, &str>::new();
        for label in key.labels() {
            let value = own.entry(label_name(label.key())).or_default();
            *value = label.value().max(value);
        }
        let mut labels = self.settings.labels.clone();
        labels.extend(
            own.into_iter()
                .map(|(name, value)| (name, value.to_owned())),
        );
        if kind == Kind::Histogram {
            // Buckets have one of their own.
            labels.remove("le");
        }
        // What Prometheus calls a metric's own name, and refuses to find twice.
        labels.remove("__name__");
        // One that is empty is not there to it.
        labels.retain(|_, value| !value.is_empty());
        labels.into_iter().collect()
    }

    fn histogram(&self, key: &Key) -> Histogram {
        let PrometheusBuilder {
            buckets,
            buckets_for,
            ..
        } = &self.settings;
        let matches = |(matcher, _): &(&Matcher, _)| matcher.matches(key.name());
        let bounds = buckets_for
            .iter()
            .find(matches)
            .map_or(buckets, |(_, bounds)| bounds);
        Histogram::new(bounds.iter().copied())
    }
}

/// A recorder for [`metrics`], to be made by a [`PrometheusBuilder`] and read by a [`PrometheusHandle`].
///
/// What has the same name and labels is the same metric. Characters that Prometheus does not take
/// in names become `_`; of the labels of a metric that then have the same name, the one with the
/// greatest value stays. The names of counters end in `_total`.
///
/// What would then have the name of another kind of metric is not recorded; nor are units, the
/// label `__name__`, and the label `le` of a histogram. A gauge must not be called as a histogram
/// with `_sum`, `_count` or `_bucket`: these names are not looked at.
pub struct PrometheusRecorder(Arc<Inner>);

impl PrometheusRecorder {
    /// What reads it.
    pub fn handle(&self) -> PrometheusHandle {
        PrometheusHandle(self.0.clone())
    }
}

impl fmt::Debug for PrometheusRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusRecorder").finish_non_exhaustive()
    }
}

impl Recorder for PrometheusRecorder {
    fn describe_counter(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        let registry = &self.0.registry;
        registry.describe(key.as_str(), Kind::Counter, description);
    }

    fn describe_gauge(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        let registry = &self.0.registry;
        registry.describe(key.as_str(), Kind::Gauge, description);
    }

    fn describe_histogram(&self, key: KeyName, _unit: Option<Unit>, description: SharedString) {
        let registry = &self.0.registry;
        registry.describe(key.as_str(), Kind::Histogram, description);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> metrics::Counter {
        match self.0.metric(key, Kind::Counter) {
            Some(Metric::Counter(counter)) => counter.into(),
            _ => metrics::Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> metrics::Gauge {
        match self.0.metric(key, Kind::Gauge) {
            Some(Metric::Gauge(gauge)) => gauge.into(),
            _ => metrics::Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> metrics::Histogram {
        match self.0.metric(key, Kind::Histogram) {
            Some(Metric::Histogram(histogram)) => histogram.into(),
            _ => metrics::Histogram::noop(),
        }
    }
}

/// Reads what a [`PrometheusRecorder`] records, as often as one likes and while others record.
///
/// It is also a [`Collector`], for a [`Registry`](prometheus_client::registry::Registry) that has other metrics, too. In
/// OpenMetrics the `_total` is no part of a counter's name: what is no counter must not be called the same without it.
/// And its encoder writes descriptions as they are: there must be no line ends in them. Where that registry has labels of
/// its own, no metric must have one of these, which Prometheus would find twice.
#[derive(Clone)]
pub struct PrometheusHandle(Arc<Inner>);

impl PrometheusHandle {
    /// All metrics in Prometheus' text format, whose media type is [`CONTENT_TYPE`](crate::CONTENT_TYPE).
    pub fn render(&self) -> String {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a string takes all");
        text
    }

    /// All metrics, by their names and then their labels.
    ///
    /// They are read one after the other, without any order between them.
    pub fn snapshot(&self) -> Vec<Series> {
        let mut all = Vec::new();
        for (name, family) in self.0.registry.families() {
            all.extend(family.series.into_iter().map(|(labels, metric)| Series {
                name: name.clone(),
                labels,
                value: Value::of(&metric),
            }));
        }
        all
    }
}

impl Collector for PrometheusHandle {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = self.0.registry.families();
        let mut families = families.iter();
        families.try_for_each(|(name, family)| family.encode(name, &mut encoder))
    }
}

impl fmt::Debug for PrometheusHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusHandle").finish_non_exhaustive()
    }
}

/// A metric as it was when it was [read](PrometheusHandle::snapshot).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    /// What Prometheus calls it.
    pub name: Arc<str>,
    /// The names and values of its labels.
    pub labels: Arc<[(String, String)]>,
    /// What it was.
    pub value: Value,
}

/// What a metric was.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// That of a counter.
    Counter(u64),
    /// That of a gauge.
    Gauge(f64),
    /// That of a histogram.
    #[non_exhaustive]
    Histogram {
        /// The upper bounds of its ranges, but for the last, which has none.
        bounds: Box<[f64]>,
        /// How many values were in each range, and what they come to.
        buckets: Buckets,
    },
}

impl Value {
    fn of(metric: &Metric) -> Self {
        match metric {
            Metric::Counter(counter) => Self::Counter(counter.get()),
            Metric::Gauge(gauge) => Self::Gauge(gauge.get()),
            Metric::Histogram(histogram) => Self::Histogram {
                bounds: histogram.bounds().into(),
                buckets: histogram.get(),
            },
        }
    }
}
