// SPDX-License-Identifier: MIT OR Apache-2.0

//! Counts words: which are the most frequent ones in all files below some directories.
//!
//! ```sh
//! cargo run --release --example word_count -- src tests
//! ```
//!
//! One thread finds the files, others read them and count, and the first one merges what they send: so what one thread
//! allocates another one frees. At the end the program says what the caches hold, has that given back, and says how
//! much memory it still has.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, mpsc};
use std::time::Instant;
use std::{env, fs, thread};

use cpu_opv_alloc::CpuOpvAlloc;

#[global_allocator]
static ALLOC: CpuOpvAlloc = CpuOpvAlloc::new();

type Counts = HashMap<String, usize>;

fn main() -> Result<(), Box<dyn Error>> {
    let roots: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if roots.is_empty() {
        return Err("usage: word_count DIRECTORY...".into());
    }
    let start = Instant::now();
    let (files, counts) = count(&roots);
    println!(
        "{files} files, {} words, {:?}",
        counts.len(),
        start.elapsed()
    );

    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by_key(|(word, count)| (std::cmp::Reverse(**count), *word));
    for (word, count) in words.iter().take(10) {
        println!("{count:8} {word}");
    }
    drop(words);
    drop(counts);

    println!(
        "{} KiB free in caches, {} KiB resident",
        ALLOC.cached() >> 10,
        resident_kib()?
    );
    let bytes = ALLOC.drain();
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no memory.
    unsafe {
        libc::malloc_trim(0);
    }
    println!(
        "{} KiB given back, {} KiB resident",
        bytes >> 10,
        resident_kib()?
    );
    Ok(())
}

/// How many files there were, and the words in them.
fn count(roots: &[PathBuf]) -> (usize, Counts) {
    let (path_sender, paths) = mpsc::channel();
    let (count_sender, counts) = mpsc::channel::<Counts>();
    let paths = Mutex::new(paths);
    thread::scope(|scope| {
        // Where these are links, they are meant to be followed.
        let real = roots.iter().filter_map(|root| root.canonicalize().ok());
        scope.spawn(move || real.for_each(|root| find(&root, &path_sender)));
        for _ in 0..2 * thread::available_parallelism().map_or(2, usize::from) {
            let (paths, count_sender) = (&paths, count_sender.clone());
            scope.spawn(move || {
                while let Some(path) = next(paths) {
                    // What cannot be read is no text.
                    let text = fs::read_to_string(path).unwrap_or_default();
                    if count_sender.send(words_in(&text)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(count_sender);
        let mut files = 0;
        let mut all = Counts::new();
        for some in counts {
            files += 1;
            for (word, count) in some {
                *all.entry(word).or_default() += count;
            }
        }
        (files, all)
    })
}

/// The next path, or none when no more will come.
fn next(paths: &Mutex<mpsc::Receiver<PathBuf>>) -> Option<PathBuf> {
    paths.lock().ok()?.recv().ok()
}

/// Sends the paths of all files below this one.
fn find(path: &Path, files: &mpsc::Sender<PathBuf>) {
    // Not through links, which may lead back; and what is neither, such as a pipe, may have no end.
    match fs::symlink_metadata(path).map(|found| found.file_type()) {
        Ok(is) if is.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.for_each(|entry| find(&entry.path(), files));
        }
        // Nobody listens any more if that fails.
        Ok(is) if is.is_file() => drop(files.send(path.to_owned())),
        _ => {}
    }
}

fn words_in(text: &str) -> Counts {
    let mut counts = Counts::new();
    let words = text.split(|character: char| !character.is_alphabetic());
    for word in words.filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

fn resident_kib() -> Result<usize, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}
