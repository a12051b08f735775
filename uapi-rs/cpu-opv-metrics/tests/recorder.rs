// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is recorded is there, once, under the right name, and in text that Prometheus can read.

mod common;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use common::{Random, operations, threads};
use cpu_opv_metrics::{
    BuildError, Counter, Gauge, Histogram, Matcher, PrometheusBuilder, PrometheusHandle, Value,
};
use metrics::{counter, describe_counter, describe_gauge, gauge, histogram, with_local_recorder};
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

fn record(builder: PrometheusBuilder, work: impl FnOnce()) -> PrometheusHandle {
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    with_local_recorder(&recorder, work);
    handle
}

fn recorded(work: impl FnOnce()) -> String {
    record(PrometheusBuilder::new(), work).render()
}

#[test]
fn names_and_text_are_what_prometheus_takes() {
    let text = recorded(|| {
        describe_counter!("http.requests", "Of \"all\"\nkinds \\ paths.");
        describe_counter!("http.requests", "Said later.");
        describe_gauge!("nobody's", "Only described.");
        counter!("http.requests", "path" => "C:\\a \"b\"\nc é", "2nd-label" => "x").increment(3);
        counter!("bytes_total").increment((5 << 32) + 1);
        gauge!("0 temperature:°C").set(-0.25);
        gauge!("").set(f64::NAN);
        counter!("_total").increment(2);
    });
    assert_eq!(
        text,
        "# HELP _ \n\
         # TYPE _ gauge\n\
         _ NaN\n\
         # HELP __temperature:_C \n\
         # TYPE __temperature:_C gauge\n\
         __temperature:_C -0.25\n\
         # HELP _total_total \n\
         # TYPE _total_total counter\n\
         _total_total 2\n\
         # HELP bytes_total \n\
         # TYPE bytes_total counter\n\
         bytes_total 21474836481\n\
         # HELP http_requests_total Of \"all\"\\nkinds \\\\ paths.\n\
         # TYPE http_requests_total counter\n\
         http_requests_total{_nd_label=\"x\",path=\"C:\\\\a \\\"b\\\"\\nc é\"} 3\n"
    );
}

#[test]
fn what_is_the_same_to_prometheus_is_one_metric() {
    let builder = PrometheusBuilder::new()
        .add_global_label("zone", "a")
        .add_global_label("host.name", "x");
    let handle = record(builder, || {
        counter!("a.b", "x" => "1", "y" => "2").increment(1);
        counter!("a.b", "y" => "2", "x" => "1", "..name.." => "b").increment(2);
        counter!("a_b_total", "x" => "1", "x" => "1", "y" => "2", "host_name" => "x").increment(4);
        counter!("a.b", "zone" => "b", "empty" => "").increment(8);
        counter!("a.b", "zone" => "").increment(16);
        // Two labels have the same name then.
        counter!("a.b", "x.y" => "1", "x-y" => "2").increment(32);
        counter!("a.b", "x-y" => "2", "x.y" => "1").increment(64);
        counter!("a.b", "x.y" => "2", "x-y" => "1").increment(128);
        // Another name, as it is no counter.
        gauge!("a.b").set(16);
        // Another kind has that name.
        gauge!("a_b_total").set(32);
        histogram!("a-b").record(64);
        gauge!("a-b").increment(128);
    });
    assert_eq!(
        handle.render().replace("# HELP ", "").replace(" \n", "\n"),
        "a_b\n\
         # TYPE a_b gauge\n\
         a_b{host_name=\"x\",zone=\"a\"} 144.0\n\
         a_b_total\n\
         # TYPE a_b_total counter\n\
         a_b_total{host_name=\"x\"} 16\n\
         a_b_total{host_name=\"x\",x=\"1\",y=\"2\",zone=\"a\"} 7\n\
         a_b_total{host_name=\"x\",x_y=\"2\",zone=\"a\"} 224\n\
         a_b_total{host_name=\"x\",zone=\"b\"} 8\n"
    );
    let all = handle.snapshot();
    let names: Vec<_> = all.iter().map(|series| &*series.name).collect();
    assert_eq!(
        names,
        ["a_b", "a_b_total", "a_b_total", "a_b_total", "a_b_total"]
    );
    assert_eq!(all[0].value, Value::Gauge(144.0));
    assert_eq!(all[2].value, Value::Counter(7));
    assert_eq!(all[4].labels[1], ("zone".to_owned(), "b".to_owned()));
}

#[test]
fn histograms_have_the_buckets_they_were_given() {
    let text = |builder| {
        record(builder, || {
            histogram!("many").record_many(2.0, 1 << 30);
            histogram!("size").record(25);
            histogram!("size_bytes").record(1500);
            histogram!("size_bytes", "le" => "left out").record_many(40.0, 2);
            histogram!("seconds").record(0.5);
        })
        .render()
    };
    let full = Matcher::Full("size_bytes".to_owned());
    let prefix = Matcher::Prefix("size".to_owned());
    let suffix = Matcher::Suffix("bytes".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets(&[0.5, f64::INFINITY])
        .and_then(|builder| builder.set_buckets_for_metric(suffix, &[]))
        .and_then(|builder| builder.set_buckets_for_metric(prefix, &[20.0]))
        .and_then(|builder| builder.set_buckets_for_metric(full, &[40.0, 1e3]))
        .unwrap();
    let expected = "# HELP many \n\
         # TYPE many histogram\n\
         many_bucket{le=\"0.5\"} 0\n\
         many_bucket{le=\"+Inf\"} 1073741824\n\
         many_sum 2147483648.0\n\
         many_count 1073741824\n\
         # HELP seconds \n\
         # TYPE seconds histogram\n\
         seconds_bucket{le=\"0.5\"} 1\n\
         seconds_bucket{le=\"+Inf\"} 1\n\
         seconds_sum 0.5\n\
         seconds_count 1\n\
         # HELP size \n\
         # TYPE size histogram\n\
         size_bucket{le=\"20\"} 0\n\
         size_bucket{le=\"+Inf\"} 1\n\
         size_sum 25.0\n\
         size_count 1\n\
         # HELP size_bytes \n\
         # TYPE size_bytes histogram\n\
         size_bytes_bucket{le=\"40\"} 2\n\
         size_bytes_bucket{le=\"1000\"} 2\n\
         size_bytes_bucket{le=\"+Inf\"} 3\n\
         size_bytes_sum 1580.0\n\
         size_bytes_count 3\n";
    assert_eq!(text(builder), expected);
    assert!(text(PrometheusBuilder::new()).contains("seconds_bucket{le=\"0.25\"} 0\n"));

    let mut bounds: Vec<f64> = (0..)
        .map(f64::from)
        .take(cpu_opv::Histogram::MAX_BOUNDS)
        .collect();
    let most = PrometheusBuilder::new().set_buckets(&bounds).unwrap();
    record(most, || histogram!("of many").record(0.5));
    bounds.push(f64::INFINITY);
    for bounds in [&[1.0, 1.0][..], &[2.0, 1.0], &[f64::NAN], &bounds] {
        let error = PrometheusBuilder::new().set_buckets(bounds).unwrap_err();
        assert!(matches!(error, BuildError::InvalidBuckets), "{error}");
    }
}

#[test]
fn one_recorder_is_that_of_the_program() {
    let first = PrometheusBuilder::new().install_recorder().unwrap();
    let second = PrometheusBuilder::new().install_recorder();
    assert!(matches!(
        second,
        Err(BuildError::FailedToSetGlobalRecorder(_))
    ));
    counter!("of_the_program").increment(1);
    assert_eq!(first.snapshot()[0].value, Value::Counter(1));
}

#[test]
fn more_values_than_can_be_counted_are_still_text() {
    const MANY: usize = usize::MAX;
    let text = recorded(|| {
        histogram!("zeroes").record_many(0.0, MANY);
        histogram!("zeroes").record(1e9);
    });
    let count = (MANY as u64).saturating_add(1);
    for line in [
        format!("zeroes_bucket{{le=\"10\"}} {MANY}\n"),
        format!("zeroes_bucket{{le=\"+Inf\"}} {count}\n"),
        format!("zeroes_count {count}\n"),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[test]
fn counters_go_up_and_gauges_anywhere() {
    let handle = record(PrometheusBuilder::new(), || {
        let requests = counter!("requests");
        requests.increment(3);
        requests.absolute(2);
        requests.increment(1);
        requests.absolute(10);
        requests.increment(1);
        requests.absolute(11);
    });
    assert_eq!(handle.snapshot()[0].value, Value::Counter(11));

    let gauge = Gauge::default();
    gauge.inc_by(5.0);
    gauge.inc_by(0.25);
    gauge.dec();
    assert_eq!(gauge.get(), 4.25);
    gauge.set(-1.5);
    gauge.inc();
    gauge.dec_by(1e12);
    assert_eq!(gauge.get(), -0.5 - 1e12);
    gauge.inc_by(f64::NAN);
    assert!(gauge.get().is_nan());
    gauge.inc();
    gauge.set(0.1);
    assert_eq!(gauge.get(), 0.1);
    gauge.inc_by(f64::NEG_INFINITY);
    assert_eq!(gauge.get(), f64::NEG_INFINITY);
}

/// More than a word of a 32-bit machine can count.
#[test]
fn nothing_wraps_that_is_read_in_time() {
    const STEP: u64 = 3 << 30;
    let (counter, gauge) = (Counter::default(), Gauge::default());
    let histogram = Histogram::new([1.0]);
    for step in 1..=4 {
        counter.inc_by(STEP);
        assert_eq!(counter.get(), step * STEP);
        gauge.dec_by((STEP / 2) as f64);
        assert_eq!(gauge.get(), -((step * STEP / 2) as f64));
        histogram.observe_many(1.0, STEP);
        assert_eq!(histogram.get().counts(), [step * STEP, 0]);
    }
}

#[test]
fn threads_count_at_once_while_others_read() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let each = operations() / threads();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Relaxed) {
                for series in handle.snapshot() {
                    match series.value {
                        Value::Counter(count) => {
                            assert!(last <= count, "{last}, {count}");
                            last = count;
                        }
                        Value::Histogram { buckets, .. } => {
                            // Each value is 2.
                            assert_eq!(buckets.sum(), 2.0 * buckets.count() as f64);
                        }
                        _ => {}
                    }
                }
                thread::yield_now();
            }
        });
        thread::scope(|scope| {
            for index in 0..threads() {
                let recorder = &recorder;
                scope.spawn(move || {
                    with_local_recorder(recorder, || {
                        let (counted, open) = (counter!("counted"), gauge!("open"));
                        let values = histogram!("values");
                        let mut random = Random::new(index);
                        for _ in 0..each {
                            counted.increment(1);
                            open.increment(2);
                            values.record(2.0);
                            match random.below(100) {
                                0 => counter!("counted").absolute(1),
                                1 => gauge!("open").increment(0.5),
                                2 => open.decrement(0.5),
                                _ => {}
                            }
                            open.decrement(1);
                        }
                    });
                });
            }
        });
        done.store(true, Relaxed);
        reader.join().unwrap();
    });
    let total = (each * threads()) as u64;
    let all = handle.snapshot();
    assert_eq!(all[0].value, Value::Counter(total));
    // Halves, as often added as taken off, or not.
    let Value::Gauge(open) = all[1].value else {
        panic!("{all:?}");
    };
    let mut halves = 0.0;
    for index in 0..threads() {
        let mut random = Random::new(index);
        for _ in 0..each {
            match random.below(100) {
                1 => halves += 0.5,
                2 => halves -= 0.5,
                _ => {}
            }
        }
    }
    assert_eq!(open, total as f64 + halves);
    let Value::Histogram { buckets, .. } = &all[2].value else {
        panic!("{all:?}");
    };
    assert_eq!(
        (buckets.count(), buckets.sum()),
        (total, 2.0 * total as f64)
    );
}

/// As in a program that has both kinds of metrics.
#[test]
fn a_registry_takes_the_metrics_and_the_recorder() {
    let mut registry = Registry::with_prefix("app");
    let requests = Family::<[(&str, &str); 1], Counter>::default();
    let (depth, seconds) = (Gauge::default(), Histogram::new([0.5, f64::INFINITY]));
    registry.register("requests", "Requests", requests.clone());
    registry.register("depth", "Depth", depth.clone());
    registry.register("seconds", "Seconds", seconds.clone());
    registry.register_collector(Box::new(record(PrometheusBuilder::new(), || {
        counter!("recorded", "path" => "C:\\a \"b\"\nc").increment(1);
    })));
    requests.get_or_create(&[("path", "/")]).inc();
    requests.get_or_create_owned(&[("path", "/")]).inc_by(2);
    depth.inc();
    seconds.observe(0.25);
    seconds.observe(2.0);

    let mut openmetrics = String::new();
    text::encode(&mut openmetrics, &registry).unwrap();
    assert_eq!(
        openmetrics,
        "# HELP app_requests Requests.\n\
         # TYPE app_requests counter\n\
         app_requests_total{path=\"/\"} 3\n\
         # HELP app_depth Depth.\n\
         # TYPE app_depth gauge\n\
         app_depth 1.0\n\
         # HELP app_seconds Seconds.\n\
         # TYPE app_seconds histogram\n\
         app_seconds_sum 2.25\n\
         app_seconds_count 2\n\
         app_seconds_bucket{le=\"0.5\"} 1\n\
         app_seconds_bucket{le=\"+Inf\"} 2\n\
         # HELP app_recorded \n\
         # TYPE app_recorded counter\n\
         app_recorded_total{path=\"C:\\\\a \\\"b\\\"\\nc\"} 1\n\
         # EOF\n"
    );
}
