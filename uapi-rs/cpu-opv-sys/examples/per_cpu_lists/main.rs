// SPDX-License-Identifier: MIT OR Apache-2.0

//! Lists of items, one for each CPU, worked on from all CPUs without a lock.
//!
//! On each CPU a thread takes items from the list of its CPU, works on them and puts them back. One
//! more thread, wherever it happens to run, drains each list in turn onto the others, as one would
//! before a CPU goes offline. At the end every item must be there, once.
//!
//! What makes that work is in `list.rs`.
//!
//! Exits with 0 if all items are there, 1 if not or on an error, 2 if the kernel lacks the call.

mod cpus;
mod kernel;
mod list;

use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use list::List;

const ITEMS_PER_CPU: usize = 250;
const RUN_TIME: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    demo().unwrap_or_else(|error| {
        eprintln!("per_cpu_lists: {error}");
        ExitCode::FAILURE
    })
}

fn demo() -> io::Result<ExitCode> {
    if !kernel::has_cpu_opv()? {
        eprintln!("this kernel has no cpu_opv(2): boot one with `make run`");
        return Ok(ExitCode::from(2));
    }
    let cpus = cpus::allowed()?;
    let items: Vec<usize> = (1..=ITEMS_PER_CPU * cpus.len()).collect();
    let lists: Vec<List> = cpus
        .iter()
        .zip(items.chunks(ITEMS_PER_CPU))
        .map(|(&cpu, share)| List::new(cpu, share, items.len()))
        .collect();

    println!(
        "{} items, on a list for each CPU. For {RUN_TIME:?},",
        items.len()
    );
    println!("  a thread on each CPU takes items from its list, works on them and puts them back;");
    match cpus.len() {
        1 => println!("  with one CPU there is no other list to move items to."),
        _ => println!("  another thread drains each list in turn onto the others."),
    }
    run(&lists)?;
    print_table(&lists);
    Ok(verdict(&lists, items))
}

/// Lets all threads loose on the lists, for `RUN_TIME`.
fn run(lists: &[List]) -> io::Result<()> {
    let end = Instant::now() + RUN_TIME;
    thread::scope(|scope| {
        let workers: Vec<_> = lists
            .iter()
            .map(|list| scope.spawn(move || keep_working(list, end)))
            .collect();
        drain_in_turn(lists, end)?;
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no worker panics"))
    })
}

/// What the thread on each CPU does.
fn keep_working(list: &List, end: Instant) -> io::Result<()> {
    cpus::stay_on(list.cpu)?;
    while Instant::now() < end {
        match list.pop(&list.taken)? {
            Some(item) => list.push(work(item), &list.put_back)?,
            None => thread::yield_now(),
        }
    }
    Ok(())
}

/// Spends some time on an item, and gives it back as it was.
///
/// It sleeps rather than computes: an emulated CPU that never idles is slow to be interrupted.
fn work(item: usize) -> usize {
    thread::sleep(Duration::from_micros(50));
    item
}

/// Drains one list after the other, each item to the shortest of the other lists.
fn drain_in_turn(lists: &[List], end: Instant) -> io::Result<()> {
    for from in lists.iter().cycle() {
        let others = || lists.iter().filter(|list| list.cpu != from.cpu);
        while Instant::now() < end {
            let Some(to) = others().min_by_key(|list| list.len()) else {
                return Ok(()); // the only CPU
            };
            let Some(item) = from.pop(&from.moved_out)? else {
                break;
            };
            to.push(item, &to.moved_in)?;
        }
        if Instant::now() >= end {
            break;
        }
    }
    Ok(())
}

type Column = (&'static str, fn(&List) -> usize);

const COLUMNS: [Column; 6] = [
    ("at start", |_| ITEMS_PER_CPU),
    ("worked", |list| list.put_back.get()),
    ("moved in", |list| list.moved_in.get()),
    ("moved out", |list| list.moved_out.get()),
    ("at end", |list| list.len()),
    ("retries", |list| list.retries.get()),
];

fn print_table(lists: &[List]) {
    let print_row = |name: &str, cells: [String; COLUMNS.len()]| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
        println!("{name:>6}{cells}");
    };
    print_row("CPU", COLUMNS.map(|(title, _)| title.to_string()));
    for list in lists {
        let cells = COLUMNS.map(|(_, value)| value(list).to_string());
        print_row(&list.cpu.to_string(), cells);
    }
    let sum = |(_, value): Column| lists.iter().map(value).sum::<usize>();
    print_row("all", COLUMNS.map(|column| sum(column).to_string()));
}

/// Says whether the items on the lists are `items`, and the counters agree.
fn verdict(lists: &[List], items: Vec<usize>) -> ExitCode {
    let mut left: Vec<usize> = lists.iter().flat_map(List::items).collect();
    left.sort();
    let sum = |items: &[usize]| items.iter().sum::<usize>();
    println!(
        "Sum of all items: {} at start, {} at end.",
        sum(&items),
        sum(&left)
    );

    if left != items {
        println!("FAILED: the items at the end are not those of the start.");
        ExitCode::FAILURE
    } else if !lists.iter().all(|list| list.adds_up(ITEMS_PER_CPU)) {
        println!("FAILED: the items are there, but the counters do not add up.");
        ExitCode::FAILURE
    } else {
        println!("Every item is there, once.");
        ExitCode::SUCCESS
    }
}
