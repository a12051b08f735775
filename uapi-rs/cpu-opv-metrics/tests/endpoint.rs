// SPDX-License-Identifier: MIT OR Apache-2.0

//! The endpoint of the example, scraped by HTTP while threads count: what it says only goes up, and is right in the end.

mod common;
#[allow(dead_code, reason = "that is a program")]
#[path = "../examples/endpoint.rs"]
mod endpoint;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use common::{operations, threads};
use cpu_opv_metrics::{CONTENT_TYPE, PrometheusBuilder, PrometheusHandle};
use metrics::with_local_recorder;

/// Where the metrics are had from.
enum Source {
    Http(SocketAddr),
    /// There is no TCP.
    Here(PrometheusHandle),
}

impl Source {
    fn new(handle: PrometheusHandle) -> Self {
        let listener = match listen() {
            Ok(listener) => listener,
            Err(error) => {
                // Of a kernel without it, or where the loopback device is down.
                let no_tcp = [libc::ENOSYS, libc::EAFNOSUPPORT, libc::ENETUNREACH].map(Some);
                assert!(no_tcp.contains(&error.raw_os_error()), "{error}");
                println!("not by HTTP: {error}");
                return Self::Here(handle);
            }
        };
        let address = listener.local_addr().unwrap();
        thread::spawn(move || endpoint::serve(&listener, &handle));
        Self::Http(address)
    }

    fn scrape(&self) -> String {
        match self {
            Self::Http(address) => {
                let (head, body) = get(*address, "/metrics");
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
                let content_type = format!("\r\nContent-Type: {CONTENT_TYPE}\r\n");
                assert!(head.contains(&content_type), "{head}");
                let length = format!("\r\nContent-Length: {}\r\n", body.len());
                assert!(head.contains(&length), "{head}");
                body
            }
            Self::Here(handle) => handle.render(),
        }
    }
}

/// Somewhere that this process can connect to.
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    TcpStream::connect(listener.local_addr()?)?;
    listener.accept()?;
    Ok(listener)
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned() + "\r\n", body.to_owned())
}

/// What the lines that begin so come to.
fn sum(text: &str, start: &str) -> f64 {
    let values = text.lines().filter_map(|line| {
        let value = line.strip_prefix(start)?.rsplit(' ').next()?;
        Some(value.parse::<f64>().unwrap())
    });
    values.sum()
}

#[test]
#[cfg_attr(miri, ignore)]
fn what_is_scraped_while_threads_count_is_right_in_the_end() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let source = Source::new(recorder.handle());
    // They sleep a millisecond for each hundred.
    let each = operations() / threads() / 10;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads())
            .map(|index| {
                let work = move || endpoint::work(index, each);
                let recorder = &recorder;
                scope.spawn(move || with_local_recorder(recorder, work))
            })
            .collect();
        let mut last = 0.0;
        while !workers.iter().all(|worker| worker.is_finished()) {
            let count = sum(&source.scrape(), "requests_total{");
            assert!(last <= count, "{last}, {count}");
            last = count;
        }
    });
    let text = source.scrape();
    for index in 0..threads() {
        let of_thread = format!("\nrequests_total{{thread=\"{index}\"}} {each}\n");
        assert!(text.contains(&of_thread), "{of_thread}{text}");
    }
    let total = (each * threads()) as f64;
    assert_eq!(sum(&text, "requests_total{"), total);
    assert_eq!(sum(&text, "request_seconds_count "), total);
    assert_eq!(sum(&text, "request_seconds_bucket{le=\"+Inf\"} "), total);
    assert_eq!(sum(&text, "requests_in_progress "), 0.0);
    if let Source::Http(address) = source {
        let (head, _) = get(address, "/metrics/no-such-thing");
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\n"), "{head}");
    }
}
