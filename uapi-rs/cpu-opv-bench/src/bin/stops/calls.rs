// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system call: for its own CPU, and for another that is idle, busy or offline. What is done to it, and what may come
//! of that.

use std::fs;
use std::io::Write;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use crate::helper::{Helper, while_busy};
use crate::marks;
use crate::memory::{ALL, BEFORE, Memory, NOTHING, OTHER, Values, run};
use crate::round::{
    CALLER, Disturbance, ELSEWHERE, Round, TARGET, at_each_instruction, stay_on, wait_until,
};
use crate::userfault::WriteProtection;

/// What the CPU that the vector is for does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Own,
    Idle,
    Busy,
    Offline,
}

use Place::*;

impl Place {
    pub const ALL: [Self; 4] = [Own, Idle, Busy, Offline];

    fn target(self) -> usize {
        match self {
            Own => CALLER,
            Idle | Busy => TARGET,
            Offline => ELSEWHERE,
        }
    }
}

/// One call, over and over.
struct Case<'a> {
    memory: &'a Memory,
    target: usize,
    round: &'a Round,
    /// stop at each, or at every second instruction, and so on
    every: u32,
}

type Outcome = Result<u32, String>;

fn allow(is: bool, what: impl std::fmt::Debug) -> Result<(), String> {
    if is {
        Ok(())
    } else {
        Err(format!("{what:?} came of it"))
    }
}

/// The vector was run as if nothing had happened.
fn as_ever(result: i32, values: Values) -> Result<(), String> {
    allow(result == 0 && values == ALL, (result, values))
}

impl Case<'_> {
    fn at_each<S>(
        &self,
        prepare: impl FnMut(),
        disturb: impl FnMut() -> S,
        check: impl FnMut(i32, S) -> Result<(), String>,
    ) -> Outcome {
        let ops = self.memory.vector(1);
        let this = Disturbance {
            every: self.every,
            prepare,
            disturb,
            check,
        };
        at_each_instruction(
            self.round,
            &[CALLER, self.target],
            || run(&ops, self.target),
            this,
        )
    }

    /// With anonymous memory; what was stored is looked at again when the call is over.
    fn at_each_with<S>(
        &self,
        disturb: impl FnMut() -> S,
        mut check: impl FnMut(i32, S, Values) -> Result<(), String>,
    ) -> Outcome {
        let memory = self.memory;
        self.at_each(
            || memory.reset(),
            disturb,
            |result, seen| check(result, seen, memory.values()),
        )
    }

    fn nothing(&self) -> Outcome {
        self.at_each_with(|| (), |result, (), values| as_ever(result, values))
    }

    /// Another CPU stores to what the vector reads and writes, which no order is promised for.
    fn store(&self) -> Outcome {
        self.at_each_with(
            || self.memory.store_x(5000),
            |result, (), values| {
                let Values { x, y, copy } = values;
                let before = result == 1 && values == Values { x: 5000, ..NOTHING };
                let after = result == 0
                    && y == ALL.y
                    && [5000, 5001, ALL.x].contains(&x)
                    && [BEFORE, 5000].contains(&copy);
                allow(before || after, (result, values))
            },
        )
    }

    /// The child keeps what it got, whatever the vector does after.
    fn fork(&self) -> Outcome {
        self.at_each_with(
            || {
                let mut pipe = [0; 2];
                // SAFETY: there is room for two.
                assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
                // SAFETY: the child does nothing but system calls, and looks at `Memory`.
                let child = unsafe { libc::fork() };
                assert_ne!(child, -1);
                if child == 0 {
                    let first = self.memory.values();
                    // SAFETY: as above; there is room for one byte.
                    unsafe {
                        libc::close(pipe[1]);
                        libc::read(pipe[0], [0u8].as_mut_ptr().cast(), 1);
                        let last = self.memory.values();
                        libc::_exit(if last == first {
                            (last.x - BEFORE) as i32
                        } else {
                            9
                        });
                    }
                }
                (child, pipe, self.memory.values())
            },
            |result, (child, pipe, at_fork), values| {
                let mut status = 0;
                // SAFETY: they are this function's.
                unsafe {
                    libc::close(pipe[0]);
                    libc::close(pipe[1]);
                    libc::waitpid(child, &mut status, 0);
                }
                let childs = libc::WEXITSTATUS(status);
                let kept = childs == 0 || (childs == 1 && at_fork.x == ALL.x);
                as_ever(result, values)?;
                allow(kept, (at_fork, childs))
            },
        )
    }

    /// What is stored after the protection is in place is a bug.
    fn protect(&self) -> Outcome {
        let (page, len) = self.memory.page();
        self.at_each_with(
            || {
                // SAFETY: nobody has a reference to it.
                assert_eq!(unsafe { libc::mprotect(page, len, libc::PROT_READ) }, 0);
                self.memory.values()
            },
            |result, seen, values| {
                let wanted = if result == 0 { ALL } else { NOTHING };
                let known = [0, -libc::EFAULT].contains(&result);
                allow(
                    known && seen == wanted && values == wanted,
                    (result, seen, values),
                )
            },
        )
    }

    fn write_protect(&self) -> Outcome {
        let protection = WriteProtection::new();
        let (page, len) = self.memory.page();
        self.at_each(
            || {
                self.memory.reset();
                protection.watch(page, len);
            },
            || {
                protection.set(page, len, true);
                let seen = self.memory.values();
                marks::done();
                wait_until(|| protection.has_faults() || self.round.has_returned());
                let still = self.memory.values();
                protection.set(page, len, false);
                (seen, still)
            },
            |result, (seen, still)| {
                as_ever(result, self.memory.values())?;
                allow(seen.x == still.x, (seen, still))
            },
        )
    }

    fn unmap(&self) -> Outcome {
        let (page, len) = self.memory.page();
        self.at_each(
            || self.memory.reset(),
            || {
                // SAFETY: nobody has a reference to it; `reset` maps it again.
                assert_eq!(unsafe { libc::munmap(page, len) }, 0);
                self.memory.values_but_x()
            },
            |result, seen| {
                let Values { y, copy, .. } = self.memory.values_but_x();
                let wanted = if result == 0 {
                    (ALL.y, ALL.copy)
                } else {
                    (BEFORE, 0)
                };
                let known = [0, -libc::EFAULT].contains(&result);
                let kept = (seen.y, seen.copy) == (y, copy);
                allow(
                    known && (y, copy) == wanted && kept,
                    (result, seen, y, copy),
                )
            },
        )
    }

    /// Another page takes the place of that of `x`.
    fn remap(&self) -> Outcome {
        let memory = self.memory;
        let look = || {
            let Values { y, copy, .. } = memory.values_but_x();
            (memory.of_file(0), memory.of_file(1), y, copy)
        };
        self.at_each(
            || memory.reset_to_file(),
            || {
                memory.put_page_of_file(1);
                look()
            },
            |result, seen| {
                let wanted = match result {
                    0 => (ALL.x, OTHER, ALL.y, ALL.copy),
                    _ => (BEFORE, OTHER, BEFORE, 0),
                };
                let known = [0, 1].contains(&result);
                allow(
                    known && seen == wanted && look() == wanted,
                    (result, seen, look()),
                )
            },
        )
    }

    fn discarded(&self, x: u64, result: i32, seen: Values, values: Values) -> Result<(), String> {
        let wanted = match result {
            0 => Values { x, ..ALL },
            _ => Values { x, ..NOTHING },
        };
        let known = [0, 1].contains(&result);
        allow(
            known && seen == wanted && values == wanted,
            (result, seen, values),
        )
    }

    fn advise(&self, advice: i32) {
        let (page, len) = self.memory.page();
        // SAFETY: nobody has a reference to it.
        assert_eq!(unsafe { libc::madvise(page, len, advice) }, 0);
    }

    fn discard(&self) -> Outcome {
        self.at_each_with(
            || {
                self.advise(libc::MADV_DONTNEED);
                self.memory.values()
            },
            |result, seen, values| self.discarded(0, result, seen, values),
        )
    }

    /// To swap.
    fn page_out(&self) -> Outcome {
        self.at_each_with(
            || self.advise(libc::MADV_PAGEOUT),
            |result, (), values| as_ever(result, values),
        )
    }

    fn one_after_the_other(first: i32, second: i32, values: Values) -> Result<(), String> {
        let allowed = match (first, second) {
            (0, 1) => values == ALL,
            (1, 0) => {
                values
                    == Values {
                        x: BEFORE + 10,
                        y: BEFORE + 10,
                        copy: BEFORE,
                    }
            }
            _ => false,
        };
        allow(allowed, (first, second, values))
    }

    /// Somebody else's vector for the same CPU.
    fn vector(&self) -> Outcome {
        let ops = self.memory.vector(10);
        self.at_each_with(|| run(&ops, self.target), Self::one_after_the_other)
    }

    /// A vector of a thread on that CPU.
    fn thread(&self) -> Outcome {
        thread::scope(|scope| {
            let helper = Helper::new(scope, self.target);
            let (memory, target) = (self.memory, self.target);
            self.at_each_with(
                || helper.run(move || run(&memory.vector(10), target)),
                Self::one_after_the_other,
            )
        })
    }

    /// A thread on that CPU has another page come to be at `x`, by a store.
    fn touch(&self) -> Outcome {
        thread::scope(|scope| {
            let helper = Helper::new(scope, self.target);
            let (memory, (page, len)) = (self.memory, self.memory.page());
            let page = page.expose_provenance();
            let work = move || {
                let page = ptr::with_exposed_provenance_mut(page);
                // SAFETY: nobody has a reference to it.
                assert_eq!(unsafe { libc::madvise(page, len, libc::MADV_DONTNEED) }, 0);
                memory.store_x(OTHER);
                memory.values()
            };
            self.at_each_with(
                || helper.run(work),
                |result, seen, values| self.discarded(OTHER, result, seen, values),
            )
        })
    }

    fn unplug(&self) -> Outcome {
        let prepare = || {
            set_online(self.target, true);
            self.memory.reset();
        };
        let check = |result, ()| as_ever(result, self.memory.values());
        let outcome = self.at_each(prepare, || set_online(self.target, false), check);
        set_online(self.target, true);
        outcome
    }

    fn signal(&self) -> Outcome {
        extern "C" fn nothing(_: i32) {}
        // SAFETY: the handler does nothing.
        unsafe { libc::signal(libc::SIGUSR1, nothing as *const () as usize) };
        self.at_each_with(
            || {
                let thread = self.round.thread.load(SeqCst);
                // SAFETY: takes no addresses.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
            },
            |result, (), values| as_ever(result, values),
        )
    }

    /// The caller is moved away, and may not use the target any more.
    fn move_away(&self) -> Outcome {
        let thread = || self.round.thread.load(SeqCst);
        self.at_each(
            || {
                stay_on(thread(), &[CALLER, self.target]);
                self.memory.reset();
            },
            || stay_on(thread(), &[ELSEWHERE]),
            |result, ()| {
                let values = self.memory.values();
                let refused = result == -libc::EINVAL && values == NOTHING;
                allow(refused || as_ever(result, values).is_ok(), (result, values))
            },
        )
    }
}

fn set_online(cpu: usize, online: bool) {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    let value = if online { "1" } else { "0" };
    if fs::read_to_string(&path)
        .expect("this CPU can go offline")
        .trim()
        != value
    {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("root may do so");
        file.write_all(value.as_bytes()).expect("the CPU goes");
    }
}

/// Prints what came of each disturbance of a call for such a CPU.
pub fn run_all(place: Place, mut report: impl FnMut(&str, Outcome)) {
    type Run = fn(&Case<'_>) -> Outcome;
    // Whether a CPU that is offline can have it, and at how many instructions: fewer if it takes long.
    let disturbances: [(&str, bool, u32, Run); 15] = [
        ("nothing", true, 1, |case| case.nothing()),
        ("protect", true, 1, |case| case.protect()),
        ("write-protect", true, 1, |case| case.write_protect()),
        ("unmap", true, 1, |case| case.unmap()),
        ("remap", true, 1, |case| case.remap()),
        ("discard", true, 1, |case| case.discard()),
        ("touch", false, 1, |case| case.touch()),
        ("page out", true, 1, |case| case.page_out()),
        ("store", true, 1, |case| case.store()),
        ("vector", true, 1, |case| case.vector()),
        ("thread", false, 1, |case| case.thread()),
        ("signal", true, 1, |case| case.signal()),
        ("move away", false, 1, |case| case.move_away()),
        ("fork", true, 8, |case| case.fork()),
        ("unplug", false, 32, |case| case.unplug()),
    ];
    let memory = Memory::new();
    set_online(ELSEWHERE, place != Offline);
    for (name, offline_too, every, run) in disturbances {
        // CPU 0 stays online, and a busy one takes its spinning thread elsewhere.
        if (place == Offline && !offline_too) || (name == "unplug" && place != Idle) {
            continue;
        }
        marks::case();
        let round = Round::default();
        let case = Case {
            memory: &memory,
            target: place.target(),
            round: &round,
            every,
        };
        let outcome = match place {
            Busy => while_busy(TARGET, || run(&case)),
            _ => run(&case),
        };
        report(name, outcome);
    }
    set_online(ELSEWHERE, true);
}
