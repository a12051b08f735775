// SPDX-License-Identifier: GPL-2.0

//! cpu_opv(2): a vector of operations, run on a chosen CPU atomically with respect to it.
//!
//! User space keeps data per CPU so that it needs no atomic instructions and no locks: restartable
//! sequences (rseq) protect the threads of one CPU from each other. This system call is for those
//! who have to get at such data from elsewhere, or cannot use a restartable sequence.
//!
//! # How it works
//!
//! 1. Copy the vector in and [validate](Vector) it.
//! 2. [Pin](Pages) the pages of all operands in the context of the caller. Here, and only here, it
//!    is decided for pinned pages whether the caller may access them.
//! 3. [Be alone](Call::run_alone) with the target CPU, with interrupts disabled.
//! 4. Check that all addresses still [map](Pinned::are_mapped) the pages that were pinned. If not,
//!    nothing has been done yet: start again from 2.
//! 5. [Run](span::run) the operations on the kernel's own mapping of the pages, in the same stretch
//!    with interrupts disabled.
//!
//! Most vectors are of [words], and can do without 2 and 4 where they are run in the context of the
//! caller, or over a thread of its process, if an interrupt handler can tell that it is one.
//!
//! There are three ways to be alone with a CPU:
//!
//! - *On it*, with interrupts disabled.
//! - *It runs nothing*, as it is idle or offline: from the caller's CPU, with the target's runqueue
//!   locked, so that it cannot begin to run anything. It is neither interrupted nor woken.
//! - *It runs something*: by an interrupt. The restartable sequence that is interrupted, if any, is
//!   aborted.
//!
//! # Why 4 is made where 5 is
//!
//! A thread on the target CPU can write to a page that was never touched, or that is shared since
//! fork(), and so have another page than the pinned one come to hold its data. Between the check
//! and the last operation it cannot run:
//!
//! ```text
//!   caller, CPU 0                        thread on CPU 1
//!
//!   pin page P of address A
//!                                        *A = 1; page fault: A maps Q, a copy of P
//!   smp_call_function_single(1) ------>  <interrupt>
//!                                        A maps Q, not P: retry
//!   pin page Q of address A
//!   smp_call_function_single(1) ------>  <interrupt>
//!                                        A maps Q: run the vector
//!                                        </interrupt>
//! ```
//!
//! A caller on its own CPU is not exempt. Interrupts are enabled while it pins, and then another's
//! vector can come in:
//!
//! ```text
//!   caller, CPU 0                        another caller, for CPU 0
//!
//!   pin page P of address A
//!                                        pin page Q of address A, a copy of P
//!   <interrupt>  <---------------------  smp_call_function_single(0)
//!   store to Q
//!   store to R of address B
//!   </interrupt>
//!   pin page R of address B
//!   interrupts off
//!   A maps Q, not P: retry
//! ```
//!
//! Without the check the caller's vector would see the second store of the other, and not the
//! first.
//!
//! # One order
//!
//! All vectors for a CPU, and what threads do on it, have one order that explains their results:
//! that in which they have the CPU. For any two stretches of CPU 1, in which nothing else of it can
//! run:
//!
//! ```text
//!              | thread     on it         runs nothing          interrupt
//!   -----------+-------------------------------------------------------------
//!   thread     | CPU 1      CPU 1         runqueue lock (1)     CPU 1
//!   on it      |            CPU 1         runqueue lock (1)     CPU 1
//!   runs noth. |                          mutex                 mutex (2)
//!   interrupt  |                                                mutex
//! ```
//!
//! - Where it says "CPU 1" both run there, one after the other, and the operations are in program
//!   order with what comes before and after.
//! - (1) Whether the idle task is current is looked at with the runqueue locked, and to switch to
//!   or from it takes the same lock. That orders memory, too; see [`smp::call_while_idle()`].
//! - (2) An interrupt can hit CPU 1 while somebody runs a vector in its stead. So both hold the
//!   target's mutex; see [`Turn`].
//!
//! By the check, the operands are in the pages that hold what CPU 1 has stored to them by then.
//! Words are accessed by the process's mapping while no TLB flush is due: see
//! `user_word_is_plain()`.
//!
//! What the caller did before is ordered before the vector, and the vector before what it does
//! next: by program order, by the runqueue lock, or by `smp_call_function_single()`. For the order
//! of the operations among each other see [`Order`].
//!
//! # Bounds
//!
//! Interrupts are disabled for one vector at a time: at most 4120 bytes, and the check of 16 pages.
//! Calls that are queued by many threads do not run back to back, as each has to have its [`Turn`].
//! So nobody who wants the runqueue of an idle CPU, to wake a task there, spins for longer than
//! that, either: no longer than an interrupt would keep the CPU.
//!
//! The ordinary path allocates nothing, flushes no TLB, and sleeps for no lock; for an idle CPU it
//! spins for that of its runqueue. Nor does it share one with callers for other CPUs, but for those
//! of VMAs where pages are pinned. These are read-locked only. With core scheduling, the runqueue
//! lock is that of a core: one vector for each of its CPUs, then.
//!
//! # Locking
//!
//! ```text
//!   cpu_opv_mutexes[cpu]            waited for with no lock held and no page pinned
//!   mmap_lock                       the same
//!     locks of VMAs                 only tried
//!       cpu_opv_mutexes[cpu]        only tried
//!         pi_lock of the idle task
//!           runqueue lock of cpu
//!       mmap_lock                   only tried; page table locks
//!   folio lock                      waited for under no other lock, with no page pinned but
//!                                   those of files that are yet to be marked dirty
//! ```

mod pages;
mod span;
mod stats;
mod vector;
mod words;

#[cfg(CONFIG_CPU_OPV_KUNIT_TEST)]
mod span_kunit;
#[cfg(CONFIG_CPU_OPV_KUNIT_TEST)]
mod vector_kunit;

use core::ptr;
use kernel::{
    array_vec::ArrayVec,
    bindings,
    cpu::CpuId,
    error::{
        to_result,
        Error, //
    },
    ffi,
    interrupt::{
        local_interrupt_disable,
        LocalInterruptDisabled, //
    },
    mm::user_page::UserMemory,
    page::RacyPage,
    prelude::*,
    rseq,
    smp,
    task::{
        might_sleep,
        CurrentTask,
        Task, //
    },
    types::NotThreadSafe,
    uaccess::UserPtr,
    uapi, //
};
use pages::{
    Missing,
    NeedsBuffer,
    Pages,
    Pinned,
    ROUNDS_MAX, //
};
use span::{
    Order,
    Outcome,
    SpanTarget,
    Step, //
};
use stats::{
    count,
    count_idle,
    count_idle_interrupted,
    Event, //
};
use vector::{
    Vector,
    VEC_LEN_MAX, //
};

/// The turn to run a vector on a CPU that the caller is not on. Only one has it.
///
/// Not to be waited for with pages pinned, as others may have to be waited for then.
struct Turn {
    cpu: CpuId,
    _task: NotThreadSafe,
}

impl Turn {
    fn new(cpu: CpuId) -> Self {
        Self {
            cpu,
            _task: NotThreadSafe,
        }
    }

    /// Takes it unless somebody else has it.
    #[inline]
    fn try_take(cpu: CpuId) -> Option<Self> {
        // SAFETY: A call that has a target has been told that the CPU is possible.
        let taken = unsafe { bindings::cpu_opv_trylock(i32::from(cpu)) };

        taken.then(|| Self::new(cpu))
    }

    /// Waits for it. Fails if there is a signal.
    fn wait(cpu: CpuId) -> Result<Self> {
        // SAFETY: As above.
        to_result(unsafe { bindings::cpu_opv_lock_interruptible(i32::from(cpu)) })?;
        Ok(Self::new(cpu))
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The mutex was locked by this task when the value was made.
        unsafe { bindings::cpu_opv_unlock(i32::from(self.cpu)) };
    }
}

/// Why a vector was not run, and is to be tried again. Nothing was done.
enum Again {
    /// Pages are to be faulted in first.
    Missing,
    /// An address maps another page than it did, or another access; or words could not be accessed
    /// in the handler.
    Stale,
    /// Memory is to be allocated first.
    NeedsBuffer,
    /// Another call has its turn.
    Contended,
    /// The CPU just went offline, and the last task still is current there; or it just came online,
    /// and is not the caller's to interrupt.
    Between,
}

impl From<Missing> for Again {
    fn from(_: Missing) -> Self {
        Again::Missing
    }
}

impl From<NeedsBuffer> for Again {
    fn from(_: NeedsBuffer) -> Self {
        Again::NeedsBuffer
    }
}

/// A call of cpu_opv(2), its arguments checked.
///
/// # Invariants
///
/// `cpu` is possible.
struct Call<'a> {
    current: &'a CurrentTask,
    memory: UserMemory<'a>,
    cpu: CpuId,
    vector: &'a Vector,
}

impl Call<'_> {
    /// Runs a vector by `run`, in the context of the caller, if that is alone with the CPU: on it,
    /// or in its stead as it runs nothing. Else returns [`None`]; `turn` is taken then unless
    /// another call has it.
    ///
    /// # Safety
    ///
    /// As for [`smp::call_while_idle()`].
    #[inline]
    unsafe fn run_in_context<E>(
        &self,
        turn: &mut Option<Turn>,
        run: impl Fn(Order, &LocalInterruptDisabled) -> Result<Outcome, E>,
    ) -> Option<Result<Outcome, E>> {
        let cpu = self.cpu;

        // On it.
        {
            let irq = local_interrupt_disable();
            if CpuId::current() == cpu {
                let result = run(Order::Compiler, &irq);
                if result.is_ok() {
                    count(Event::Own);
                }
                return Some(result);
            }
        }

        if turn.is_none() {
            *turn = Some(Turn::try_take(cpu)?);
        }

        // It runs nothing.
        // SAFETY: By the type invariants.
        if !unsafe { smp::runs_idle_task(cpu) } {
            return None;
        }
        let run = |irq: &LocalInterruptDisabled| {
            let result = run(Order::Full, irq);
            if result.is_ok() {
                count_idle(cpu);
            }
            result
        };
        // SAFETY: By the safety requirements of this function, and the type invariants.
        let result = unsafe { smp::call_while_idle(cpu, run) };
        if result.is_none() {
            count(Event::IdleLost);
        }
        result
    }

    /// Runs a vector by `run` in an interrupt handler on the CPU, and aborts the restartable
    /// sequence that was interrupted. The caller must have its turn.
    fn run_in_handler(
        &self,
        run: impl FnOnce(Order, &LocalInterruptDisabled) -> Result<Outcome, Again> + Send,
    ) -> Result<Outcome, Again> {
        let cpu = self.cpu;
        // SAFETY: The CPU number is valid.
        if !unsafe { bindings::cpu_opv_cpu_may_be_interrupted(i32::from(cpu)) } {
            return Err(Again::Between);
        }
        let caller: &Task = self.current;
        let mm = self.memory.mm();
        let result = smp::call_on(cpu, |irq| {
            let here = Task::current_raw();
            count_idle_interrupted();
            if ptr::eq(here, caller.as_ptr()) {
                count(Event::Moved);
            }

            // SAFETY: The current task is valid, and its `mm` is only changed by itself.
            let order = if ptr::eq(unsafe { (*here).mm }, mm.as_raw()) {
                Order::Compiler
            } else {
                count(Event::Foreign);
                Order::Full
            };
            let outcome = run(order, irq)?;
            rseq::abort_interrupted(irq);
            count(Event::Busy);
            Ok(outcome)
        });
        // It fails if the CPU is not online.
        result.unwrap_or_else(|_| {
            count(Event::NotOnline);
            Err(Again::Between)
        })
    }

    /// Tries to run a vector of words over a thread of the caller's process, without pinning its
    /// pages. Else nothing was done. The caller must have its turn.
    // Out of the way of those who interrupt nobody.
    #[inline(never)]
    fn interrupt_for_words(&self) -> Option<Outcome> {
        let remote = self.memory.remote()?;
        // SAFETY: By the type invariants.
        let runs_mm = unsafe { smp::runs_mm(self.cpu, self.memory.mm()) };

        // In vain, there would be two interrupts.
        if !runs_mm || !words::are_all(self.vector, &self.memory, &local_interrupt_disable()) {
            return None;
        }

        let vector = self.vector;
        let result = self.run_in_handler(|order, irq| {
            let words = remote.words(irq).ok_or(Again::Stale)?;
            words::run(vector, words, order, irq).map_err(|_| Again::Stale)
        });
        if let Err(Again::Stale) = result {
            count(Event::WordsLost);
        }
        result.ok()
    }

    /// Tries to run a vector of words without pinning its pages. Else nothing was done, and `turn`
    /// may be taken.
    fn attempt_words(&self, turn: &mut Option<Turn>) -> Option<Outcome> {
        // SAFETY: To look at page tables and to access memory takes no locks and wakes nobody. Nor
        // does a fault, as page faults are disabled then; but with PowerPC's hash MMU it may lock
        // an entry of the hash table, and with NOHZ_FULL a node of RCU. Nobody wakes a task who has
        // locked these. Nothing is dropped.
        let result = unsafe {
            self.run_in_context(turn, |order, irq| {
                words::run(self.vector, self.memory.words(irq), order, irq)
            })
        };
        let outcome = match result {
            Some(result) => result.ok()?,
            None if turn.is_some() => self.interrupt_for_words()?,
            None => return None,
        };
        count(Event::Unpinned);
        Some(outcome)
    }

    /// Tries to be alone with the CPU, and runs the vector.
    ///
    /// Its pages are `pinned`, and `steps` are in them.
    fn run_alone(
        &self,
        pinned: &Pinned<'_>,
        steps: &[Step<SpanTarget<'_>>],
        mut turn: Option<Turn>,
    ) -> Result<Outcome, Again> {
        let check_and_run = |order, irq: &LocalInterruptDisabled| {
            if !pinned.are_mapped(irq) {
                return Err(Again::Stale);
            }
            let Ok(outcome) = span::run(steps.iter(), order, irq);
            Ok(outcome)
        };

        // SAFETY: To look at page tables, to map pages locally and to access them takes no locks
        // and wakes nobody. Nothing is dropped.
        if let Some(result) = unsafe { self.run_in_context(&mut turn, check_and_run) } {
            return result;
        }
        if turn.is_none() {
            return Err(Again::Contended);
        }

        self.run_in_handler(check_and_run)
    }

    /// Tries to run the vector.
    fn attempt(
        &self,
        pages: &mut Pages<'_>,
        keep: bool,
        buffer: Option<&RacyPage>,
        turn: Option<Turn>,
    ) -> Result<Outcome, Again> {
        let outcome = {
            let pinned = pages.pin(keep)?;
            let mut steps = ArrayVec::new();
            pinned.add_steps(self.vector, buffer, &mut steps)?;
            self.run_alone(&pinned, &steps, turn)?
        };

        let ran = match outcome {
            Outcome::Complete => &self.vector.ops[..],
            Outcome::StoppedAt(index) => &self.vector.ops[..index],
        };
        pages.mark_dirty(ran);
        Ok(outcome)
    }

    /// What is left of an error of a page fault: none if it passes, and another try is due.
    fn fault_error(&self, pages: &mut Pages<'_>, error: Error) -> Result {
        match error {
            ENOMEM => Err(ENOMEM),
            EAGAIN | EINTR | ERESTARTSYS => Ok(()),
            _ => pages.find_fault(self.vector),
        }
    }

    /// Whether the caller still may have vectors run on the CPU. It may have slept since it was
    /// asked.
    fn check_cpu(&self) -> Result {
        if is_allowed(self.cpu) {
            return Ok(());
        }
        count(Event::Denied);
        Err(EINVAL)
    }

    /// Runs the vector.
    fn run(&self) -> Result<Outcome> {
        let mut turn = None;

        if words::may_fault(self.vector) {
            // To read the vector may have taken long.
            self.check_cpu()?;
            if let Some(outcome) = self.attempt_words(&mut turn) {
                return Ok(outcome);
            }
        }
        self.run_pinned(turn)
    }

    /// Runs the vector on pinned pages.
    fn run_pinned(&self, mut turn: Option<Turn>) -> Result<Outcome> {
        let mut pages = Pages::new(self.memory);
        pages.want(self.vector);
        let mut buffer = None;
        let mut rounds = 0;

        loop {
            self.check_cpu()?;
            // Who has its turn is not to be waited for.
            let keep = rounds >= ROUNDS_MAX && turn.is_none();
            if keep {
                count(Event::Kept);
            }
            match self.attempt(&mut pages, keep, buffer.as_ref(), turn.take()) {
                Ok(outcome) => return Ok(outcome),
                Err(Again::Missing) => {
                    count(Event::Faulted);
                    rounds += 1;
                    if let Err(error) = pages.fault_in() {
                        self.fault_error(&mut pages, error)?;
                    }
                }
                Err(Again::NeedsBuffer) => {
                    count(Event::Buffered);
                    pages.let_go();
                    buffer = Some(RacyPage::alloc(GFP_KERNEL)?);
                }
                Err(Again::Contended) => {
                    count(Event::Contended);
                    pages.let_go();
                    turn = Turn::wait(self.cpu).ok();
                }
                Err(Again::Stale) => {
                    count(Event::Stale);
                    if !keep {
                        pages.let_go();
                    }
                }
                Err(Again::Between) => pages.let_go(),
            }
            if self.current.signal_pending() {
                count(Event::Restarted);
                return Err(ERESTARTNOINTR);
            }
            // Calls that are tried over and over are no reason not to be preempted.
            might_sleep();
        }
    }
}

/// Whether the caller may have a vector run on `cpu`, at this moment.
fn is_allowed(cpu: CpuId) -> bool {
    // SAFETY: Always safe to call.
    unsafe { bindings::cpu_opv_cpu_is_allowed(i32::from(cpu)) }
}

fn cpu_opv(ops: UserPtr, cpuopcnt: i32, cpu: i32, flags: i32) -> Result<i32> {
    match flags as ffi::c_uint {
        0 => (),
        uapi::cpu_op_flags_CPU_OP_NR_FLAG => return Ok(uapi::cpu_op_type_NR_CPU_OPS as i32),
        uapi::cpu_op_flags_CPU_OP_VEC_LEN_MAX_FLAG => return Ok(VEC_LEN_MAX as i32),
        _ => return Err(EINVAL),
    }

    let current = current!();
    let count = usize::try_from(cpuopcnt)?;
    if count > VEC_LEN_MAX {
        return Err(EINVAL);
    }
    let cpu = CpuId::from_i32(cpu).ok_or(EINVAL)?;
    if !is_allowed(cpu) {
        return Err(EINVAL);
    }

    // A task that has none, in the kernel, makes no system calls.
    let memory = UserMemory::of(current).ok_or(EFAULT)?;
    let mut vector = Vector::default();
    vector.read(ops, count, &memory)?;
    // INVARIANT: Nobody is allowed on a CPU that is not possible.
    let call = Call {
        current,
        memory,
        cpu,
        vector: &vector,
    };
    Ok(match call.run()? {
        Outcome::Complete => 0,
        Outcome::StoppedAt(index) => index as i32 + 1,
    })
}

/// The system call; see `SYSCALL_DEFINE4(cpu_opv)` for its arguments.
///
/// # Safety
///
/// Always safe to call from a system call.
// Required to be unsafe due to the `#[export]` annotation.
#[export]
pub unsafe extern "C" fn cpu_opv_call(
    ops: *mut bindings::cpu_op,
    cpuopcnt: ffi::c_int,
    cpu: ffi::c_int,
    flags: ffi::c_int,
) -> ffi::c_long {
    cpu_opv(UserPtr::from_ptr(ops.cast()), cpuopcnt, cpu, flags).unwrap_or_else(Error::to_errno)
        as ffi::c_long
}
