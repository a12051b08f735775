// SPDX-License-Identifier: MIT OR Apache-2.0

//! A tracer that writes to a file, `to_file FILE`: threads work and trace what they do, one writes it down.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
use std::time::{Duration, Instant};
use std::{env, thread};

use cpu_opv_tracing::{LossMode, Reader, ring};
use tracing_subscriber::layer::SubscriberExt;

const THREADS: usize = 4;
const REQUESTS: u32 = 20_000;

fn main() -> io::Result<()> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.ok_or_else(|| io::Error::other("usage: to_file FILE"))?;

    // The tracer: from here on, all that the program traces goes there.
    let (layer, reader) = ring(1 << 20, LossMode::Discard);
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;

    let done = AtomicBool::new(false);
    let start = Instant::now();
    let (lines, lost) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_down(reader, &path, &done));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(serve);
            }
        });
        println!("traced in {:?}", start.elapsed());
        done.store(true, Release);
        writer.join().expect("the writer does not panic")
    })?;
    println!("{}: {lines} lines, {lost} lost", path.display());
    Ok(())
}

/// What there is to be traced.
fn serve() {
    for number in 0..REQUESTS {
        let request = tracing::info_span!("request", number);
        request.in_scope(|| tracing::info!(bytes = number * 7 % 1000, "answered"));
    }
}

/// Writes until all are done; how many lines, and how many entries were lost.
fn write_down(mut reader: Reader, path: &Path, done: &AtomicBool) -> io::Result<(usize, usize)> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut lines = 0;
    loop {
        // Before the last look.
        let is_done = done.load(Acquire);
        for entry in reader.drain() {
            writeln!(file, "{entry}")?;
            lines += 1;
        }
        if is_done {
            file.flush()?;
            return Ok((lines, reader.lost()));
        }
        // Sleeps until a CPU has 64 KiB, or a tenth of a second has passed.
        reader.wait(64 << 10, Some(Duration::from_millis(100)));
    }
}
