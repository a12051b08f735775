// SPDX-License-Identifier: MIT OR Apache-2.0

//! Stops calls at each of their instructions, in a guest with the plugin of ci/stops, does there what another CPU could
//! do, and looks whether what comes of it is allowed. Prints KTAP.

mod calls;
mod helper;
mod marks;
mod memory;
mod round;
mod sequences;
mod subjects;
mod userfault;

use std::process::{Command, ExitCode};

use calls::Place;

/// The guest has a disk for it.
fn swap_on() {
    let script = "grep -q zram0 /proc/swaps && exit; echo 64M >/sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0";
    let status = Command::new("sh")
        .args(["-c", script])
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "no swap");
}

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let (mut number, mut failed) = (0, 0);
    swap_on();
    // It may also use the CPUs that it has no need to go to.
    round::stay_on(
        0,
        &[
            round::DISTURBER,
            round::CALLER,
            round::TARGET,
            round::ELSEWHERE,
        ],
    );
    println!("TAP version 13");
    let mut report = |place: &str, name: &str, outcome: Result<u32, String>| {
        number += 1;
        match outcome {
            Ok(instructions) => {
                println!("ok {number} {place}: {name}, at {instructions} instructions")
            }
            Err(what) => {
                failed += 1;
                println!("not ok {number} {place}: {name}\n# {what}");
            }
        }
    };
    for place in Place::ALL {
        let name = format!("{place:?}").to_lowercase();
        if wanted.is_empty() || wanted.contains(&name) {
            calls::run_all(place, |what, outcome| report(&name, what, outcome));
        }
    }
    if wanted.is_empty() || wanted.contains(&"sequences".into()) {
        sequences::run_all(|what, outcome| report("sequences", what, outcome));
    }
    println!("1..{number}");
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
