// SPDX-License-Identifier: MIT OR Apache-2.0

//! Metrics that count for each CPU, for [`metrics`] and for [`prometheus_client`]: counting takes
//! no atomic instruction and no lock, and however many threads do, none slows another one down.
//!
//! # With `metrics`
//!
//! There is a recorder for `metrics` 0.24, whose types and methods are called as in `metrics-exporter-prometheus`, and
//! text for Prometheus. The names of counters always end in `_total`.
//!
//! ```
//! use cpu_opv_metrics::PrometheusBuilder;
//! use metrics::{counter, describe_counter, gauge, histogram};
//!
//! let handle = PrometheusBuilder::new().install_recorder()?;
//!
//! describe_counter!("requests", "Requests that were answered.");
//! let requests = counter!("requests", "path" => "/"); // to be kept
//! requests.increment(1);
//! gauge!("in_progress").increment(1);
//! histogram!("seconds").record(0.02);
//!
//! let text = handle.render(); // for whoever scrapes it
//! assert!(text.contains("# HELP requests_total Requests that were answered.\n"));
//! assert!(text.contains("\nrequests_total{path=\"/\"} 1\n"));
//! # Ok::<(), cpu_opv_metrics::BuildError>(())
//! ```
//!
//! It does not listen for Prometheus: have your HTTP server answer with [`render`](PrometheusHandle::render) and
//! [`CONTENT_TYPE`], as `examples/endpoint.rs` does without one. The handle can be cloned, and sent to that thread.
//!
//! A macro looks up the metric by its name and labels each time, under a lock that readers share:
//! an atomic instruction on a cache line that wanders from CPU to CPU, which takes many times
//! longer than counting. Where that matters, keep what the macro returns.
//!
//! # With `prometheus-client`
//!
//! [`Counter`], [`Gauge`] and [`Histogram`] are metrics for its `Registry` (of version 0.26), in
//! place of its own types, alone or in a [`Family`](prometheus_client::metrics::family::Family). A
//! gauge is an `f64`, and what changes a metric returns nothing.
//!
//! ```
//! use cpu_opv_metrics::{Counter, Histogram};
//! use prometheus_client::encoding::text::encode;
//! use prometheus_client::metrics::family::Family;
//! use prometheus_client::registry::Registry;
//!
//! let mut registry = Registry::default();
//! let requests = Family::<Vec<(String, String)>, Counter>::default();
//! let seconds = Histogram::new([0.01, 0.1, 1.0]);
//! registry.register("requests", "Requests that were answered", requests.clone());
//! registry.register("seconds", "How long that took", seconds.clone());
//!
//! let at_root = requests.get_or_create_owned(&vec![("path".to_owned(), "/".to_owned())]);
//! at_root.inc();
//! seconds.observe(0.02);
//!
//! let mut text = String::new();
//! encode(&mut text, &registry)?;
//! assert!(text.contains("requests_total{path=\"/\"} 1\n"));
//! # Ok::<(), std::fmt::Error>(())
//! ```
//!
//! # Costs
//!
//! | | by each CPU's own | with a lock |
//! |---|---|---|
//! | [`Counter`] | to add what fits a word | to add more; `absolute` of `metrics`; to read |
//! | [`Gauge`] | to add or take off a whole number of up to 31 bits | others; to set; to read |
//! | [`Histogram`] | to observe | to read |
//!
//! A counter or a gauge takes a word for each CPU that the machine can have, from when it is first added to; a histogram
//! takes some 16 more than it has bounds. Who reads one looks at each CPU's part of it.
//!
//! "By each CPU's own" is by restartable sequences. Where [`cpu_opv`] has none, as in some sandboxes, it is by an atomic
//! instruction, or for a histogram under a lock. That crate says more of what it costs, and that nothing is ordered.
//!
//! # Limits
//!
//! - Metrics are never forgotten: labels whose values keep changing take ever more memory. Labels
//!   with no value are left out, as they are none to Prometheus.
//! - Histograms have buckets of fixed bounds, and there are no summaries.
//! - Where the system has no memory left, the first addition to a counter or a gauge panics, and the first observation.
//! - A thread that a sandbox does not let register with rseq panics when it counts, if that was
//!   entered after the first metric was made: see [`cpu_opv`](cpu_opv#progress).
//! - A signal handler may do what the table has as "by each CPU's own", to metrics that the program
//!   has kept, if its thread has done so before. All else may lock or allocate.
//! - In a child of `fork(2)`, whatever another thread of the parent was doing under a lock (see the
//!   table), or looking up, may stay locked for ever. What the table has as "by each CPU's own"
//!   goes on.

mod counter;
mod gauge;
mod histogram;
mod recorder;
mod registry;

pub use counter::Counter;
pub use cpu_opv::Buckets;
pub use gauge::Gauge;
pub use histogram::Histogram;
pub use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
pub use recorder::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder, Series, Value,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
