// SPDX-License-Identifier: MIT OR Apache-2.0

//! A program with a metrics endpoint, `endpoint [ADDRESS]`: threads work and count what they do, and one answers
//! Prometheus, or `curl http://127.0.0.1:9000/metrics`, until it is interrupted.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{env, thread};

use cpu_opv_metrics::{CONTENT_TYPE, PrometheusBuilder, PrometheusHandle};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{gauge, histogram};

const THREADS: usize = 4;

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9000"))?;
    let handle = PrometheusBuilder::new()
        .set_buckets(&[1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(io::Error::other)?;
    describe_counter!("requests", "Requests that were answered.");
    describe_gauge!("requests_in_progress", "Requests that are yet to be.");
    describe_histogram!("request_seconds", Unit::Seconds, "How long that took.");

    for thread in 0..THREADS {
        thread::spawn(move || work(thread, usize::MAX));
    }
    println!("http://{}/metrics", listener.local_addr()?);
    serve(&listener, &handle);
    Ok(())
}

/// Some requests that are answered, and counted.
pub fn work(thread: usize, requests: usize) {
    // Looked up once.
    let answered = counter!("requests", "thread" => thread.to_string());
    let (in_progress, seconds) = (
        gauge!("requests_in_progress"),
        histogram!("request_seconds"),
    );
    for number in 0..requests {
        let start = Instant::now();
        in_progress.increment(1);
        std::hint::black_box("answer".repeat(number % 1000));
        in_progress.decrement(1);
        answered.increment(1);
        seconds.record(start.elapsed());
        if number % 100 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Answers who connects, one after the other.
pub fn serve(listener: &TcpListener, handle: &PrometheusHandle) {
    for stream in listener.incoming() {
        let answered = match stream {
            Ok(stream) => answer(&Limited::new(stream), handle),
            Err(error) => {
                // It may be out of files, and so it is for some time.
                thread::sleep(Duration::from_millis(100));
                Err(error)
            }
        };
        if let Err(error) = answered {
            eprintln!("{error}");
        }
    }
}

/// A connection that ends in time. Who says nothing, or next to nothing, does not hold up the others.
struct Limited {
    stream: TcpStream,
    end: Instant,
}

impl Limited {
    fn new(stream: TcpStream) -> Self {
        let end = Instant::now() + Duration::from_secs(5);
        Self { stream, end }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for &Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        (&self.stream).read(buffer)
    }
}

impl Write for &Limited {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        (&self.stream).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn answer(mut stream: &Limited, handle: &PrometheusHandle) -> io::Result<()> {
    let mut head = BufReader::new(stream.take(8192)).lines();
    let request = head.next().transpose()?.unwrap_or_default();
    for line in head {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = if request.starts_with("GET /metrics ") {
        ("200 OK", handle.render())
    } else {
        ("404 Not Found", String::new())
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
