// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which metrics there are: by the keys of `metrics`, and by the names and labels that Prometheus takes.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Key, SharedString};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;

use crate::{Counter, Gauge, Histogram};

/// Names and values.
pub(crate) type Labels = Arc<[(String, String)]>;

/// Any of them.
#[derive(Clone)]
pub(crate) enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Metric {
    fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }
}

impl EncodeMetric for Metric {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Counter(counter) => counter.encode(encoder),
            Self::Gauge(gauge) => gauge.encode(encoder),
            Self::Histogram(histogram) => histogram.encode(encoder),
        }
    }

    fn metric_type(&self) -> MetricType {
        match self {
            Self::Counter(counter) => counter.metric_type(),
            Self::Gauge(gauge) => gauge.metric_type(),
            Self::Histogram(histogram) => histogram.metric_type(),
        }
    }
}

/// All metrics of a name, which are of one kind, and what was said of them.
#[derive(Clone, Default)]
pub(crate) struct Family {
    help: Option<SharedString>,
    pub(crate) series: BTreeMap<Labels, Metric>,
}

impl Family {
    pub(crate) fn encode(&self, name: &str, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(first) = self.series.values().next() else {
            // It was only described.
            return Ok(());
        };
        // The encoder puts that back.
        let name = match first.kind() {
            Kind::Counter => name.strip_suffix(TOTAL).expect("a counter ends so"),
            Kind::Gauge | Kind::Histogram => name,
        };
        let help = self.help.as_deref().unwrap_or_default();
        let mut encoder = encoder.encode_descriptor(name, help, None, first.metric_type())?;
        for (labels, metric) in &self.series {
            metric.encode(encoder.encode_family(&&**labels)?)?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Registry(RwLock<State>);

#[derive(Default)]
struct State {
    /// Of each kind, as they were asked for: so they are found again without anything being allocated.
    /// `None` is what was refused.
    by_key: [HashMap<Key, Option<Metric>>; 3],
    families: BTreeMap<Arc<str>, Family>,
}

impl Registry {
    /// What [`add`](Self::add) has returned for this key, if it was called.
    pub(crate) fn find(&self, key: &Key, kind: Kind) -> Option<Option<Metric>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.by_key[kind as usize].get(key).cloned()
    }

    /// Adds this one for the key, or else another one that has the same name and labels already; returns that.
    /// `None` if what has that name is of another kind.
    pub(crate) fn add(&self, key: &Key, labels: Labels, metric: Metric) -> Option<Metric> {
        let kind = metric.kind();
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let family = state.families.entry(name(key.name(), kind)).or_default();
        let mut others = family.series.values();
        let is_refused = others.next().is_some_and(|other| other.kind() != kind);
        let metric = (!is_refused).then(|| family.series.entry(labels).or_insert(metric).clone());
        state.by_key[kind as usize].insert(key.clone(), metric.clone());
        metric
    }

    /// Says what the metrics of a name are, unless somebody has.
    pub(crate) fn describe(&self, key: &str, kind: Kind, help: SharedString) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let family = state.families.entry(name(key, kind)).or_default();
        family.help.get_or_insert(help);
    }

    /// All of them, by their names. They are to be read when nobody waits for the lock.
    pub(crate) fn families(&self) -> BTreeMap<Arc<str>, Family> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.families.clone()
    }
}

const TOTAL: &str = "_total";

/// What Prometheus calls it.
fn name(key: &str, kind: Kind) -> Arc<str> {
    let name = sanitized(key, |char| char == '_' || char == ':');
    match kind {
        // What is left without it is a name, too.
        Kind::Counter if name.strip_suffix(TOTAL).is_none_or(str::is_empty) => {
            (name + TOTAL).into()
        }
        _ => name.into(),
    }
}

/// The same of the name of a label.
pub(crate) fn label_name(key: &str) -> String {
    sanitized(key, |char| char == '_')
}

/// With `_` for each character that is not taken: there are letters and digits, but no digit first, and some more.
fn sanitized(key: &str, is_taken_too: impl Fn(char) -> bool) -> String {
    let is_taken = |(index, char): (usize, char)| {
        let is_taken = char.is_ascii_alphabetic()
            || is_taken_too(char)
            || (index != 0 && char.is_ascii_digit());
        if is_taken { char } else { '_' }
    };
    match key {
        "" => "_".to_owned(),
        key => key.chars().enumerate().map(is_taken).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So that it is found the next time by those who read, and nobody writes.
    #[test]
    fn a_refusal_is_remembered() {
        let registry = Registry::default();
        let add = |name, metric| registry.add(&Key::from_static_name(name), [].into(), metric);
        assert!(add("a", Metric::Counter(Counter::default())).is_some());
        assert!(add("a_total", Metric::Gauge(Gauge::default())).is_none());
        let found = |name, kind| registry.find(&Key::from_static_name(name), kind);
        assert!(matches!(found("a", Kind::Counter), Some(Some(_))));
        assert!(matches!(found("a_total", Kind::Gauge), Some(None)));
        assert!(found("a_total", Kind::Counter).is_none());
    }
}
