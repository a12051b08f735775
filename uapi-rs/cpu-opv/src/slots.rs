// SPDX-License-Identifier: MIT OR Apache-2.0

//! How an operation comes to be done to the data of a CPU, wherever that data lies: by a restartable sequence if that
//! commits, and else by the slow path.

use std::thread;

use crate::backend::{Backend, slow_path_unavailable};
use crate::cpu::{self, Cpu};
use crate::error::Error;
use crate::rseq::{self, At};
use crate::stopped::Control;
use crate::way::{Atomic, Attempt, Fast, Operation, Opv, Plain, Stop};

/// How often a restartable sequence is tried before the slow path takes over. It is far more than what
/// happens by chance; who single-steps a program gets through after so many.
const ATTEMPTS: u32 = 8;

/// Data of which each CPU has its own.
///
/// # Safety
///
/// Who has one has gone through `Backend::get`. It has data for each CPU that a [`Cpu`] can be, and gives with it the
/// control that all who change it go by.
pub(crate) unsafe trait Slots {
    /// What a CPU has.
    type Data: ?Sized;

    /// That of the threads' areas for rseq.
    fn area_offset(&self) -> isize;

    /// Whether it has data for the CPU of this number.
    ///
    /// The kernel keeps its word on how many there are; but who restores a process on a larger machine may not, nor
    /// a container's sysfs. So its numbers are checked, for two instructions, which take 2 to 8 percent of an operation.
    fn has(&self, cpu: usize) -> bool;

    /// What the CPU of this number has.
    ///
    /// # Safety
    ///
    /// It [has](Self::has) data for it.
    unsafe fn slot_unchecked(&self, cpu: usize) -> (&Control, &Self::Data);

    /// The same of a number from the kernel.
    #[inline(always)]
    fn slot(&self, cpu: usize) -> Option<(&Control, &Self::Data)> {
        // SAFETY: that was asked.
        self.has(cpu).then(|| unsafe { self.slot_unchecked(cpu) })
    }

    /// The same of a CPU that there is.
    #[inline(always)]
    fn slot_of(&self, cpu: Cpu) -> (&Control, &Self::Data) {
        self.slot(cpu.number())
            .expect("there is a slot for each CPU that a `Cpu` can be")
    }

    /// Does it by one restartable sequence, if the thread is on this CPU and nothing gets in between.
    #[inline(always)]
    fn try_fast<D: ?Sized, O: Operation<D>>(
        &self,
        (area, cpu): (isize, usize),
        part: &impl Fn(&Self::Data) -> &D,
        operation: &mut O,
    ) -> Attempt<O::Output> {
        if !self.has(cpu) {
            return Err(Stop::Again);
        }
        // SAFETY: that was asked. By `slot`, the compiler would check it once more.
        let (control, data) = unsafe { self.slot_unchecked(cpu) };
        // SAFETY: `Backend::get` initialises the area, and the word is that of the data.
        let fast = unsafe {
            Fast::new(At {
                area,
                cpu,
                stopped: control.stopped(),
            })
        };
        operation.attempt(&fast, part(data))
    }

    /// Does it to a part of the current CPU's data.
    #[inline(always)]
    fn here<D: ?Sized, O: Operation<D>>(
        &self,
        part: impl Fn(&Self::Data) -> &D,
        mut operation: O,
    ) -> O::Output {
        match self.try_fast(rseq::cpu_start(self.area_offset()), &part, &mut operation) {
            Ok(output) => output,
            Err(_) => self.here_slow(part, operation),
        }
    }

    /// The same, for who has another way if this one fails: it does not panic, and by sequences it does not wait.
    #[inline(always)]
    fn try_here<D: ?Sized, O: Operation<D>>(
        &self,
        part: impl Fn(&Self::Data) -> &D,
        mut operation: O,
    ) -> Option<O::Output> {
        match self.try_fast(rseq::cpu_start(self.area_offset()), &part, &mut operation) {
            Ok(output) => Some(output),
            Err(_) => self.try_here_again(part, operation),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_here_again<D: ?Sized, O: Operation<D>>(
        &self,
        part: impl Fn(&Self::Data) -> &D,
        mut operation: O,
    ) -> Option<O::Output> {
        if Backend::get() == Backend::Lock || !cfg!(fast_path) {
            let cpu = Cpu::current();
            let (control, data) = self.slot_of(cpu);
            return slow(control, part(data), cpu, &mut operation).ok();
        }
        if !rseq::register_thread() {
            return None;
        }
        (0..ATTEMPTS).find_map(|_| {
            let start = rseq::cpu_start(self.area_offset());
            if let (Some((control, _)), Some(cpu)) = (self.slot(start.1), Cpu::new(start.1)) {
                control.resume(cpu);
            }
            self.try_fast(start, &part, &mut operation).ok()
        })
    }

    #[cold]
    #[inline(never)]
    fn here_slow<D: ?Sized, O: Operation<D>>(
        &self,
        part: impl Fn(&Self::Data) -> &D,
        mut operation: O,
    ) -> O::Output {
        let sequences = Backend::get() != Backend::Lock && rseq::register_thread();
        // If this thread is on a CPU that nobody told of, and not allowed on the one that stands for it: others.
        let mut others = Cpu::all();
        let mut instead = None;
        loop {
            for _ in 0..if sequences { ATTEMPTS } else { 0 } {
                let start = rseq::cpu_start(self.area_offset());
                if let Some((control, _)) = self.slot(start.1) {
                    control.wait();
                }
                if let Ok(output) = self.try_fast(start, &part, &mut operation) {
                    return output;
                }
            }
            let cpu = instead.unwrap_or_else(Cpu::current);
            let (control, data) = self.slot_of(cpu);
            match slow(control, part(data), cpu, &mut operation) {
                Ok(output) => return output,
                // Moved to another CPU, and forbidden this one.
                Err(Error::CpuNotAllowed) if cpu::current_is_known() => instead = None,
                Err(error @ Error::CpuNotAllowed) => {
                    instead = others.next();
                    if instead.is_none() {
                        slow_path_unavailable(error);
                    }
                }
                // There is no memory just now.
                Err(Error::OutOfMemory) => {}
                // A sequence will do it. Or it meets what the kernel did, and that is a signal then.
                Err(_) if sequences => {}
                Err(error) => slow_path_unavailable(error),
            }
            thread::yield_now();
        }
    }

    /// Does it to a part of the data of `cpu`, if this thread is allowed on that: with all backends alike.
    #[inline]
    fn on<D: ?Sized, O: Operation<D>>(
        &self,
        cpu: Cpu,
        part: impl Fn(&Self::Data) -> &D,
        operation: O,
    ) -> Result<O::Output, Error> {
        // The kernel looks by itself.
        let is_allowed = || Backend::get() == Backend::CpuOpv || cpu.is_allowed();
        self.on_if(is_allowed, cpu, part, operation)
    }

    /// The same, but the fallbacks do it to the data of any CPU: they need no permission there.
    #[inline]
    fn on_any<D: ?Sized, O: Operation<D>>(
        &self,
        cpu: Cpu,
        part: impl Fn(&Self::Data) -> &D,
        operation: O,
    ) -> Result<O::Output, Error> {
        self.on_if(|| true, cpu, part, operation)
    }

    #[inline]
    fn on_if<D: ?Sized, O: Operation<D>>(
        &self,
        is_allowed: impl Fn() -> bool,
        cpu: Cpu,
        part: impl Fn(&Self::Data) -> &D,
        mut operation: O,
    ) -> Result<O::Output, Error> {
        let start = rseq::cpu_start(self.area_offset());
        if start.1 == cpu.number() {
            if let Ok(output) = self.try_fast(start, &part, &mut operation) {
                return Ok(output);
            }
        }
        if !is_allowed() {
            return Err(Error::CpuNotAllowed);
        }
        let (control, data) = self.slot_of(cpu);
        slow(control, part(data), cpu, &mut operation)
    }
}

/// Does it to data of `cpu`, not by a restartable sequence.
///
/// What the user's code had to say, which is where the data is, it has said before: it is not called with a lock held.
#[inline(never)]
pub(crate) fn slow<D: ?Sized, O: Operation<D>>(
    control: &Control,
    data: &D,
    cpu: Cpu,
    operation: &mut O,
) -> Result<O::Output, Error> {
    let backend = Backend::get();
    loop {
        let attempt = match backend {
            Backend::CpuOpv => operation.attempt(&Opv(cpu), data),
            Backend::Membarrier => operation.attempt(&Plain(&control.stop(cpu)?), data),
            Backend::Lock => operation.attempt(&Atomic { control, cpu }, data),
        };
        match attempt {
            Ok(output) => return Ok(output),
            // Something else has succeeded then.
            Err(Stop::Again) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
}
