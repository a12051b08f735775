// SPDX-License-Identifier: MIT OR Apache-2.0

//! Two copies of a library that uses cpu-opv, loaded at run time, in a program that uses it too. A thread can
//! register one area with rseq: where the libc has not, the others do without, and lose nothing. One may be in use while
//! it is loaded.

use std::ffi::{CStr, CString};
use std::mem::transmute;
use std::path::Path;
use std::process::Command;
use std::{env, fs, thread};

use cpu_opv::{Counter, Cpu};

struct Copy {
    work: extern "C" fn(usize) -> usize,
    sum: extern "C" fn() -> u64,
}

impl Copy {
    /// It stays loaded: threads of it might be about.
    fn load(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the library only counts when it is loaded, and its functions have these types.
        unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!library.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
            let [work, sum] = [c"work", c"sum"].map(|name| libc::dlsym(library, name.as_ptr()));
            assert!(!work.is_null() && !sum.is_null());
            Self {
                work: transmute::<*mut libc::c_void, extern "C" fn(usize) -> usize>(work),
                sum: transmute::<*mut libc::c_void, extern "C" fn() -> u64>(sum),
            }
        }
    }
}

/// Each copy has counted so much when it is loaded.
fn use_them(at_first: u64) {
    let program = env::current_exe().unwrap();
    let library = program.with_file_name("libtwo_copies.so");
    let own = Counter::new();
    let copies: Vec<Copy> = ["one", "two"]
        .iter()
        .map(|name| {
            // Under another name, or the loader gives the same one again.
            let copy = env::temp_dir().join(format!("cpu-opv-{}-{name}.so", std::process::id()));
            fs::copy(&library, &copy).unwrap();
            let loaded = Copy::load(&copy);
            fs::remove_file(&copy).unwrap();
            loaded
        })
        .collect();
    let worked = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|index| {
                let (own, copies) = (&own, &copies);
                // In another order each: so each is the first to register in some thread.
                scope.spawn(move || {
                    let mut counted = [0; 2];
                    for n in 0..20_000 {
                        for turn in 0..3 {
                            match (turn + index) % 3 {
                                2 => own.increment(),
                                copy => counted[copy] += (copies[copy].work)(n % Cpu::all().len()),
                            }
                        }
                    }
                    counted
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold([0; 2], |[a, b], [c, d]| [a + c, b + d])
    });
    assert_eq!(own.sum(), 80_000);
    for (copy, counted) in copies.iter().zip(worked) {
        assert_eq!((copy.sum)(), at_first + counted as u64);
    }
}

#[test]
fn with_the_area_of_the_libc() {
    use_them(0);
}

/// Runs a test again, in a process that has this in its environment; returns whether this is that process.
fn is_with(test: &str, variable: &str, value: &str) -> bool {
    const CHILD: &str = "CPU_OPV_CHILD";
    if env::var_os(CHILD).is_some() {
        return true;
    }
    let status = Command::new(env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(CHILD, "1")
        .env(variable, value)
        .status();
    assert!(status.unwrap().success());
    false
}

#[test]
fn with_an_area_of_each_copy() {
    if is_with(
        "with_an_area_of_each_copy",
        "GLIBC_TUNABLES",
        "glibc.pthread.rseq=0",
    ) {
        use_them(0);
    }
}

#[test]
fn while_the_loader_waits() {
    if is_with("while_the_loader_waits", "CPU_OPV_CONSTRUCT", "1") {
        // So that it does not wait for ever, if it does.
        // SAFETY: takes no memory.
        unsafe { libc::alarm(60) };
        use_them(1);
    }
}
