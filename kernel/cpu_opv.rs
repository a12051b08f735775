// SPDX-License-Identifier: GPL-2.0

//! cpu_opv(2): a vector of operations, run on a chosen CPU atomically with respect to it.
//!
//! User space keeps data per CPU so that it needs no atomic instructions and no locks: restartable
//! sequences (rseq) protect the threads of one CPU from each other. This system call is for those
//! who have to get at such data from elsewhere, or cannot use a restartable sequence.
//!
//! # How it works
//!
//! 1. Copy the vector in and [validate](Vector::parse) it. User memory is not read twice.
//! 2. [Pin](Pages::pin) the pages of all operands in the context of the caller. Here, and only
//!    here, it is decided whether the caller may access them.
//! 3. [Interrupt](Call::attempt) the target CPU. In the handler, check that all addresses still map
//!    the pages that were pinned; if so, [run](Vector::run) the operations on the kernel's own
//!    mapping of them, and abort the restartable sequence that was interrupted, if any.
//! 4. If a page was replaced meanwhile, nothing has been done yet: start again from 2.
//!
//! The check has to be made on the target CPU, with interrupts disabled. A thread that runs there
//! can write to a page that was never touched, or that is shared after fork(), and so have another
//! page than the pinned one come to hold its data. Between the check and the last operation it
//! cannot run:
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
//! If the target is the current CPU and all pages are present, 2 to 4 are one: with preemption
//! disabled no other thread can run there, so the pages that are [pinned then](Pages::pin_present)
//! are the right ones, and the vector is [run at once](Call::run_here).
//!
//! The pins keep the pages from being reused, and written ones from being shared by fork(). No TLB
//! is flushed, nothing is allocated and no lock is shared between callers on the ordinary path.
//!
//! # Ordering
//!
//! `smp_call_function_single()` orders what the caller did before against the vector, and the
//! vector against what the caller does next. On the target CPU the operations are in program order
//! with what user space does there before and after. Between operations there is a compiler
//! barrier, so that user space elsewhere can upgrade it by membarrier(2); a release operation has a
//! full barrier before it.
//!
//! # Locking
//!
//! `cpu_hotplug_lock` (read), then `cpu_opv_offline_mutex`; both only if the target is offline, and
//! with no page fault taken inside.

use core::{
    mem::{
        offset_of,
        size_of, //
    },
    ptr,
};
use kernel::{
    array_vec::ArrayVec,
    bindings,
    cpu::{
        self,
        CpuId, //
    },
    error::Error,
    ffi,
    interrupt::{
        local_interrupt_disable,
        LocalInterruptDisabled, //
    },
    mm::{
        user_page::{
            Access,
            UserPage, //
        },
        Mm, //
    },
    page::{
        Page,
        RacySlice,
        PAGE_MASK,
        PAGE_SIZE, //
    },
    preempt::{
        self,
        PreemptDisabled, //
    },
    prelude::*,
    rseq, smp,
    sync::{
        barrier::{
            barrier,
            smp_mb,
            Full, //
        },
        Mutex, //
    },
    task::{
        cond_resched,
        CurrentTask,
        Task, //
    },
    uaccess::{
        task_size,
        untagged_addr,
        UserPtr,
        UserSlice, //
    },
};

const VEC_LEN_MAX: usize = bindings::CPU_OP_VEC_LEN_MAX as usize;
const VEC_DATA_LEN_MAX: usize = bindings::CPU_OP_VEC_DATA_LEN_MAX as usize;
const DATA_LEN_MAX: usize = bindings::CPU_OP_DATA_LEN_MAX as usize;

/// Each operation has at most two operands, and each of them is in at most two pages.
const OPERANDS_MAX: usize = VEC_LEN_MAX * 2;
const PAGES_MAX: usize = OPERANDS_MAX * 2;

// An operand, and the buffer for copies that overlap, must not need more pages than that.
const _: () = assert!(DATA_LEN_MAX <= PAGE_SIZE);

/// `struct cpu_op` without its union, all members of which have their fields in the same places.
#[derive(Clone, Copy, Default, FromBytes)]
#[repr(C)]
struct RawOp {
    op: i32,
    len: u32,
    /// `a`, `dst` or `p`.
    first: u64,
    /// `b`, `src` or `count`.
    second: u64,
    expect_fault_first: u8,
    expect_fault_second: u8,
    _padding: [u8; 6],
}

const _: () = {
    assert!(size_of::<RawOp>() == size_of::<bindings::cpu_op>());
    assert!(offset_of!(RawOp, first) == offset_of!(bindings::cpu_op, u));
};

/// What an operation does. Those with an order have release semantics if it is true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    CompareEq,
    CompareNe,
    Copy { release: bool },
    Add { count: u64, release: bool },
}

impl Kind {
    /// Returns what `raw` asks for, or [`EINVAL`] if its `op` or `len` is bad.
    fn parse(raw: &RawOp) -> Result<Self> {
        let kind = match raw.op as ffi::c_uint {
            bindings::cpu_op_type_CPU_COMPARE_EQ_OP => Kind::CompareEq,
            bindings::cpu_op_type_CPU_COMPARE_NE_OP => Kind::CompareNe,
            bindings::cpu_op_type_CPU_MEMCPY_OP => Kind::Copy { release: false },
            bindings::cpu_op_type_CPU_MEMCPY_RELEASE_OP => Kind::Copy { release: true },
            bindings::cpu_op_type_CPU_ADD_OP => Kind::Add {
                count: raw.second,
                release: false,
            },
            bindings::cpu_op_type_CPU_ADD_RELEASE_OP => Kind::Add {
                count: raw.second,
                release: true,
            },
            _ => return Err(EINVAL),
        };

        let len_is_valid = match kind {
            Kind::Add { .. } => matches!(raw.len, 1 | 2 | 4 | 8),
            _ => raw.len as usize <= DATA_LEN_MAX,
        };
        if len_is_valid {
            Ok(kind)
        } else {
            Err(EINVAL)
        }
    }

    fn is_release(self) -> bool {
        matches!(
            self,
            Kind::Copy { release: true } | Kind::Add { release: true, .. }
        )
    }

    /// Whether there is a second operand, which is only read.
    fn has_second(self) -> bool {
        !matches!(self, Kind::Add { .. })
    }

    /// What is done to the first operand.
    fn access(self) -> Access {
        match self {
            Kind::CompareEq | Kind::CompareNe => Access::Read,
            Kind::Copy { .. } | Kind::Add { .. } => Access::Write,
        }
    }
}

/// A range of user memory that an operation works on.
struct Operand {
    addr: usize,
    len: u32,
    access: Access,
    expect_fault: bool,
    /// Which of [`Pages`] hold the beginning and, if it crosses a page, the end of the range.
    slots: [u8; 2],
}

impl Operand {
    fn new(addr: u64, len: u32, access: Access, expect_fault: u8) -> Self {
        Self {
            // What does not fit into an address is no better than what is out of range.
            addr: usize::try_from(addr).unwrap_or(usize::MAX),
            len,
            access,
            expect_fault: expect_fault != 0,
            slots: [0; 2],
        }
    }

    /// Fails with [`EFAULT`] unless the operand lies in the caller's address space, below `limit`.
    fn check_range(&mut self, limit: usize) -> Result {
        self.addr = untagged_addr(self.addr).ok_or(EFAULT)?;
        if self.addr > limit || self.len() > limit - self.addr {
            return Err(EFAULT);
        }
        Ok(())
    }

    /// Returns the addresses of the pages that the operand touches: none, one or two.
    fn pages(&self) -> impl Iterator<Item = usize> {
        let first = self.addr & PAGE_MASK;

        [
            (self.len > 0).then_some(first),
            self.crosses_page().then(|| first + PAGE_SIZE),
        ]
        .into_iter()
        .flatten()
    }

    fn len(&self) -> usize {
        self.len as usize
    }

    fn offset(&self) -> usize {
        self.addr & !PAGE_MASK
    }

    fn crosses_page(&self) -> bool {
        self.offset() + self.len() > PAGE_SIZE
    }
}

/// A vector of operations, validated.
#[derive(Default)]
struct Vector {
    ops: ArrayVec<Kind, VEC_LEN_MAX>,
    /// Those of the first operation, then those of the second, and so on.
    operands: ArrayVec<Operand, OPERANDS_MAX>,
    /// Whether any operand does.
    crosses_page: bool,
}

impl Vector {
    /// Validates a vector: all operations and their lengths first, then all addresses.
    fn parse(&mut self, raw: &[RawOp]) -> Result {
        let mut sum = 0;
        for raw in raw {
            let op = Kind::parse(raw)?;
            sum += raw.len as usize;
            self.ops.push(op).map_err(|_| EINVAL)?;
            self.push_operand(raw.first, raw.len, op.access(), raw.expect_fault_first)?;
            if op.has_second() {
                self.push_operand(raw.second, raw.len, Access::Read, raw.expect_fault_second)?;
            }
        }
        if sum > VEC_DATA_LEN_MAX {
            return Err(EINVAL);
        }

        let limit = task_size();
        self.operands
            .iter_mut()
            .try_for_each(|operand| operand.check_range(limit))
    }

    fn push_operand(&mut self, addr: u64, len: u32, access: Access, expect_fault: u8) -> Result {
        self.operands
            .push(Operand::new(addr, len, access, expect_fault))
            .map_err(|_| EINVAL)
    }

    /// Copies a vector of `count` operations in from user space, and validates it.
    fn read(&mut self, ptr: UserPtr, count: usize) -> Result {
        let mut raw = ArrayVec::<RawOp, VEC_LEN_MAX>::new();
        let mut reader = UserSlice::new(ptr, count * size_of::<RawOp>()).reader();
        raw.read_from(&mut reader, count)?;
        self.parse(&raw)
    }

    /// Returns the operations, each with its operands.
    fn ops(&self) -> impl Iterator<Item = (Kind, &Operand, Option<&Operand>)> {
        let mut operands = self.operands.iter();

        self.ops.iter().map_while(move |&op| {
            let first = operands.next()?;
            let second = if op.has_second() {
                operands.next()
            } else {
                None
            };
            Some((op, first, second))
        })
    }
}

/// A page that the vector needs.
struct Wanted {
    addr: usize,
    access: Access,
}

/// All pages that a vector needs, each once, however many operands are in it.
#[derive(Default)]
struct Pages {
    wanted: ArrayVec<Wanted, PAGES_MAX>,
    /// In the same order.
    pinned: ArrayVec<UserPage, PAGES_MAX>,
}

impl Pages {
    /// Collects the pages that the operands of `vector` are in, and tells the operands which.
    fn collect(&mut self, vector: &mut Vector) -> Result {
        for operand in vector.operands.iter_mut() {
            let page = operand.addr & PAGE_MASK;
            if operand.len > 0 {
                operand.slots = [self.find_or_add(page, operand.access)?; 2];
            }
            if operand.crosses_page() {
                vector.crosses_page = true;
                operand.slots[1] = self.find_or_add(page + PAGE_SIZE, operand.access)?;
            }
        }
        Ok(())
    }

    /// Returns the index of the page at `addr`, which `access` is wanted to.
    fn find_or_add(&mut self, addr: usize, access: Access) -> Result<u8> {
        for (page, index) in self.wanted.iter_mut().zip(0..) {
            if page.addr == addr {
                if access == Access::Write {
                    page.access = access;
                }
                return Ok(index);
            }
        }
        let index = self.wanted.len() as u8;
        // There is room for every page that a vector can have.
        self.wanted
            .push(Wanted { addr, access })
            .map_err(|_| EINVAL)?;
        Ok(index)
    }

    /// Pins all pages.
    ///
    /// On a retry each page is held until its successor is: reclaim must not take back pages that
    /// are not stale while others are faulted in, or the call might never see all of them mapped.
    fn pin(&mut self, current: &CurrentTask) -> Result {
        for (index, wanted) in self.wanted.iter().enumerate() {
            let page = UserPage::pin(current, wanted.addr, wanted.access)?;
            match self.pinned.get_mut(index) {
                Some(old) => *old = page,
                None => self.pinned.push(page).map_err(|_| EINVAL)?,
            }
        }
        Ok(())
    }

    /// Pins all pages, or as many as are present before the first that is not.
    ///
    /// None of them must be pinned yet: to unpin one may sleep.
    fn pin_present(&mut self, current: &CurrentTask, preempt: &PreemptDisabled) -> Result {
        for wanted in self.wanted.iter() {
            let page = UserPage::pin_present(current, wanted.addr, wanted.access, preempt)?;
            self.pinned.push(page).map_err(|_| EINVAL)?;
        }
        Ok(())
    }

    /// Whether all addresses still map the pages that were pinned.
    fn are_mapped(&self, mm: &Mm, irq: &LocalInterruptDisabled) -> bool {
        self.pinned.iter().all(|page| page.is_mapped(mm, irq))
    }

    #[inline]
    fn page(&self, slot: u8) -> Option<&Page> {
        Some(self.pinned.get(usize::from(slot))?.as_page())
    }

    /// Returns where `operand` is in memory; [`None`] if it has no bytes, or is not pinned.
    #[inline]
    fn span(&self, operand: &Operand) -> Option<Span<'_>> {
        if operand.len == 0 {
            return None;
        }
        let [head, tail] = operand.slots;

        Span::new(
            self.page(head)?,
            self.page(tail)?,
            operand.offset(),
            operand.len(),
        )
    }
}

/// The bytes of an operand, in one page or two.
#[derive(Clone, Copy)]
struct Span<'a> {
    head: RacySlice<'a>,
    tail: Option<RacySlice<'a>>,
}

impl<'a> Span<'a> {
    /// Returns `len` bytes at `offset` in `head`, those that do not fit at the beginning of `tail`.
    #[inline]
    fn new(head: &'a Page, tail: &'a Page, offset: usize, len: usize) -> Option<Self> {
        if let Some(head) = RacySlice::new(head, offset, len) {
            return Some(Self { head, tail: None });
        }
        let in_head = PAGE_SIZE - offset;

        Some(Self {
            head: RacySlice::new(head, offset, in_head)?,
            tail: Some(RacySlice::new(tail, 0, len - in_head)?),
        })
    }

    fn parts(&self) -> impl Iterator<Item = RacySlice<'a>> {
        [Some(self.head), self.tail].into_iter().flatten()
    }

    #[inline]
    fn len(&self) -> usize {
        self.head.len() + self.tail.map_or(0, |tail| tail.len())
    }

    /// Calls `f` with piece after piece of `self` and of `other`, each as long as both are in one
    /// page, until it returns false or the shorter one ends.
    #[inline]
    fn all_pieces(
        &self,
        other: &Span<'_>,
        mut f: impl FnMut(RacySlice<'_>, RacySlice<'_>) -> bool,
    ) -> bool {
        let (mut a_parts, mut b_parts) = (self.parts(), other.parts());
        let (mut a_next, mut b_next) = (a_parts.next(), b_parts.next());

        while let (Some(a), Some(b)) = (a_next, b_next) {
            let len = a.len().min(b.len());
            let (a_piece, a_rest) = a.split_at(len);
            let (b_piece, b_rest) = b.split_at(len);
            if !f(a_piece, b_piece) {
                return false;
            }
            a_next = if a_rest.len() > 0 {
                Some(a_rest)
            } else {
                a_parts.next()
            };
            b_next = if b_rest.len() > 0 {
                Some(b_rest)
            } else {
                b_parts.next()
            };
        }
        true
    }

    /// Returns the integer in a span of 1, 2, 4 or 8 bytes, loaded in one access if aligned.
    #[inline]
    fn load(&self) -> u64 {
        let word = match self.tail {
            None => self.head.load(),
            Some(_) => None,
        };
        word.unwrap_or_else(|| self.load_bytes())
    }

    #[cold]
    fn load_bytes(self) -> u64 {
        let mut bytes = [0; 8];
        let mut at = 0;
        for part in self.parts() {
            if let Some(dst) = bytes.get_mut(at..) {
                part.read(dst);
            }
            at += part.len();
        }
        let [b0, b1, b2, b3, ..] = bytes;
        match at {
            1 => b0.into(),
            2 => u16::from_ne_bytes([b0, b1]).into(),
            4 => u32::from_ne_bytes([b0, b1, b2, b3]).into(),
            _ => u64::from_ne_bytes(bytes),
        }
    }

    /// Stores `value`, truncated, to a span of 1, 2, 4 or 8 bytes, in one access if aligned.
    #[inline]
    fn store(&self, value: u64) {
        if self.tail.is_some() || !self.head.store(value) {
            self.store_bytes(value);
        }
    }

    #[cold]
    fn store_bytes(self, value: u64) {
        let bytes = match self.len() {
            1 => &(value as u8).to_ne_bytes()[..],
            2 => &(value as u16).to_ne_bytes()[..],
            4 => &(value as u32).to_ne_bytes()[..],
            _ => &value.to_ne_bytes()[..],
        };
        let mut at = 0;
        for part in self.parts() {
            if let Some(src) = bytes.get(at..) {
                part.write(src);
            }
            at += part.len();
        }
    }

    #[inline]
    fn is_word(&self) -> bool {
        matches!(self.len(), 1 | 2 | 4 | 8)
    }

    /// Whether both hold the same bytes.
    #[inline]
    fn equals(&self, other: &Span<'_>) -> bool {
        if self.is_word() {
            self.load() == other.load()
        } else {
            self.equals_bytes(*other)
        }
    }

    #[inline(never)]
    fn equals_bytes(self, other: Span<'_>) -> bool {
        self.all_pieces(&other, |a, b| a.equals(&b))
    }

    /// Copies from `src`, through `buffer` if it [is needed](Self::needs_buffer).
    #[inline]
    fn copy_from(&self, src: &Span<'_>, buffer: Option<&Page>) {
        if self.is_word() {
            self.store(src.load());
        } else {
            self.copy_bytes(*src, buffer);
        }
    }

    #[inline(never)]
    fn copy_bytes(self, src: Span<'_>, buffer: Option<&Page>) {
        let copy = |dst: &Span<'_>, src: &Span<'_>| {
            dst.all_pieces(src, |dst, src| {
                dst.copy_from(&src);
                true
            });
        };
        match buffer.and_then(|page| Span::new(page, page, 0, self.len())) {
            Some(buffer) => {
                copy(&buffer, &src);
                copy(&self, &buffer);
            }
            None => copy(&self, &src),
        }
    }

    /// Whether a copy from `src` might overwrite bytes before they are read, when it is done piece
    /// by piece.
    ///
    /// The addresses do not tell, as a page can be mapped at more than one.
    fn needs_buffer(&self, src: &Span<'_>) -> bool {
        let share_page = self.parts().any(|dst| {
            src.parts()
                .any(|src| src.page().as_ptr() == dst.page().as_ptr())
        });

        share_page && (self.tail.is_some() || src.tail.is_some())
    }
}

impl Kind {
    /// Does the operation on operands that are not empty. Returns whether the vector goes on.
    #[inline]
    fn run(self, first: &Span<'_>, second: Option<&Span<'_>>, buffer: Option<&Page>) -> bool {
        if self.is_release() {
            smp_mb(Full);
        }
        match (self, second) {
            (Kind::CompareEq, Some(second)) => return first.equals(second),
            (Kind::CompareNe, Some(second)) => return !first.equals(second),
            (Kind::Copy { .. }, Some(second)) => first.copy_from(second, buffer),
            (Kind::Add { count, .. }, _) => first.store(first.load().wrapping_add(count)),
            (_, None) => (),
        }
        true
    }

    /// The same for operands that are empty, and equal in that.
    #[inline]
    fn run_empty(self) -> bool {
        self != Kind::CompareNe
    }
}

impl Vector {
    /// Whether a copy in the vector needs a buffer of a page.
    fn needs_buffer(&self, pages: &Pages) -> bool {
        if !self.crosses_page {
            return false;
        }
        self.ops().any(|(op, first, second)| {
            let (Kind::Copy { .. }, Some(second)) = (op, second) else {
                return false;
            };
            match (pages.span(first), pages.span(second)) {
                (Some(dst), Some(src)) => dst.needs_buffer(&src),
                _ => false,
            }
        })
    }

    /// Runs the operations on pages that have just been found to be mapped.
    ///
    /// Returns 0 if all were run, the 1-based index of the comparison that stopped the vector
    /// otherwise.
    fn run(&self, pages: &Pages, buffer: Option<&Page>, _irq: &LocalInterruptDisabled) -> i32 {
        for ((op, first, second), index) in self.ops().zip(1..) {
            let second = second.and_then(|second| pages.span(second));
            let go_on = match pages.span(first) {
                Some(first) => op.run(&first, second.as_ref(), buffer),
                None => op.run_empty(),
            };
            if !go_on {
                return index;
            }
            barrier();
        }
        0
    }
}

/// A call of cpu_opv(2), its arguments checked.
struct Call<'a> {
    current: &'a CurrentTask,
    cpu: CpuId,
    vector: &'a Vector,
}

impl Call<'_> {
    /// Runs the vector if the current CPU is the target, and all pages are present.
    fn run_here(&self, pages: &mut Pages) -> Option<i32> {
        let preempt = preempt::disable();
        if preempt.cpu() != self.cpu {
            return None;
        }
        pages.pin_present(self.current, &preempt).ok()?;
        if self.vector.needs_buffer(pages) {
            return None;
        }

        // Vectors of other CPUs come as interrupts.
        let irq = local_interrupt_disable();
        Some(self.vector.run(pages, None, &irq))
    }

    /// Tries to run the vector. Returns [`None`] if nothing was done, and another try is due.
    fn attempt(&self, pages: &mut Pages) -> Result<Option<i32>> {
        match pages.pin(self.current) {
            Ok(()) => (),
            Err(ENOMEM) => return Err(ENOMEM),
            Err(EAGAIN | EINTR | ERESTARTSYS) => return Ok(None),
            Err(_) => return self.find_fault(),
        }

        let buffer = if self.vector.needs_buffer(pages) {
            Some(Page::alloc_page(GFP_KERNEL)?)
        } else {
            None
        };

        let caller: &Task = self.current;
        let mm: &Mm = self.current.mm().ok_or(EFAULT)?;
        let (vector, pages, buffer) = (self.vector, &*pages, buffer.as_ref());

        self.call_on_target(|irq| {
            if !pages.are_mapped(mm, irq) {
                return None;
            }
            let result = vector.run(pages, buffer, irq);
            // The caller itself is in a system call, and so in no restartable sequence.
            if !ptr::eq(Task::current_raw(), caller.as_ptr()) {
                rseq::abort_current(irq);
            }
            Some(result)
        })
    }

    /// Runs `func` on the target CPU, or in its stead if it is offline.
    fn call_on_target(
        &self,
        func: impl Fn(&LocalInterruptDisabled) -> Option<i32> + Sync,
    ) -> Result<Option<i32>> {
        match smp::call_on(self.cpu, |irq| func(irq)) {
            Err(ENXIO) => (),
            result => return result,
        }

        let hotplug = cpu::hotplug_read_lock();
        if self.cpu.is_online(&hotplug) {
            return Ok(None);
        }
        // SAFETY: The mutex is statically initialized, and lives for ever.
        let mutex = unsafe { Mutex::<()>::from_raw(&raw mut bindings::cpu_opv_offline_mutex) };
        let _guard = mutex.lock();
        smp::call_on(CpuId::current(), |irq| func(irq))
    }

    /// Finds the first operand that the caller may not access, now that some page could not be
    /// pinned, and returns its error. If there is none any more the call is to be tried again.
    fn find_fault(&self) -> Result<Option<i32>> {
        for operand in self.vector.operands.iter() {
            for addr in operand.pages() {
                match UserPage::pin(self.current, addr, operand.access) {
                    Ok(_) => (),
                    Err(ENOMEM) => return Err(ENOMEM),
                    Err(EAGAIN | EINTR | ERESTARTSYS) => return Ok(None),
                    Err(_) if operand.expect_fault => return Err(EAGAIN),
                    Err(_) => return Err(EFAULT),
                }
            }
        }
        Ok(None)
    }
}

fn cpu_opv(ops: UserPtr, cpuopcnt: i32, cpu: i32, flags: i32) -> Result<i32> {
    match flags as ffi::c_uint {
        0 => (),
        bindings::cpu_op_flags_CPU_OP_NR_FLAG => return Ok(bindings::cpu_op_type_NR_CPU_OPS as i32),
        bindings::cpu_op_flags_CPU_OP_VEC_LEN_MAX_FLAG => return Ok(VEC_LEN_MAX as i32),
        _ => return Err(EINVAL),
    }

    let current = current!();
    let count = usize::try_from(cpuopcnt)?;
    if count > VEC_LEN_MAX {
        return Err(EINVAL);
    }
    let cpu = CpuId::from_i32(cpu).ok_or(EINVAL)?;
    if !cpu.is_possible() || !current.may_run_on(cpu) {
        return Err(EINVAL);
    }

    let mut vector = Vector::default();
    vector.read(ops, count)?;
    let mut pages = Pages::default();
    pages.collect(&mut vector)?;
    let call = Call {
        current,
        cpu,
        vector: &vector,
    };
    if let Some(result) = call.run_here(&mut pages) {
        return Ok(result);
    }
    loop {
        if let Some(result) = call.attempt(&mut pages)? {
            return Ok(result);
        }
        if current.signal_pending() {
            return Err(ERESTARTNOINTR);
        }
        cond_resched();
    }
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

#[cfg(CONFIG_CPU_OPV_KUNIT_TEST)]
#[kunit_tests(cpu_opv)]
mod tests {
    use super::*;

    const EQ: i32 = bindings::cpu_op_type_CPU_COMPARE_EQ_OP as i32;
    const COPY: i32 = bindings::cpu_op_type_CPU_MEMCPY_OP as i32;
    const ADD: i32 = bindings::cpu_op_type_CPU_ADD_OP as i32;
    const NR_OPS: i32 = bindings::cpu_op_type_NR_CPU_OPS as i32;

    fn raw(op: i32, len: u32, first: u64, second: u64) -> RawOp {
        RawOp {
            op,
            len,
            first,
            second,
            ..RawOp::default()
        }
    }

    fn parse_error(ops: &[RawOp]) -> Option<Error> {
        Vector::default().parse(ops).err()
    }

    #[test]
    fn operation_and_length() {
        let op_error = |op, len| parse_error(&[raw(op, len, 0, 0)]);

        for (op, len, error) in [
            (-1, 0, Some(EINVAL)),
            (NR_OPS, 0, Some(EINVAL)),
            (i32::MIN, 0, Some(EINVAL)),
        ] {
            assert_eq!(op_error(op, len), error);
        }
        for op in EQ..ADD {
            assert_eq!(op_error(op, 0), None);
            assert_eq!(op_error(op, 4096), None);
            assert_eq!(op_error(op, 4097), Some(EINVAL));
            assert_eq!(op_error(op, u32::MAX), Some(EINVAL));
        }
        for op in ADD..NR_OPS {
            for len in 0..=16 {
                let valid = matches!(len, 1 | 2 | 4 | 8);
                assert_eq!(op_error(op, len).is_none(), valid);
            }
            assert_eq!(op_error(op, 4096), Some(EINVAL));
        }
    }

    #[test]
    fn sum_of_lengths() {
        let with_first = |len| {
            let add = raw(ADD, 8, 0, 0);
            parse_error(&[raw(COPY, len, 0, 0), add, add, raw(EQ, 8, 0, 0)])
        };

        assert_eq!(with_first(4096), None);
        let long = raw(COPY, 2061, 0, 0);
        assert_eq!(parse_error(&[long, long]), Some(EINVAL));
        let fits = raw(COPY, 2060, 0, 0);
        assert_eq!(parse_error(&[fits, fits]), None);
        assert_eq!(parse_error(&[fits, fits, raw(ADD, 1, 0, 0)]), Some(EINVAL));
    }

    #[test]
    fn address_range() {
        let limit = task_size() as u64;

        for (addr, len, error) in [
            (0, 8, None),
            (limit - 8, 8, None),
            (limit - 7, 8, Some(EFAULT)),
            (limit, 0, None),
            (limit, 1, Some(EFAULT)),
            (limit + 1, 0, Some(EFAULT)),
            (u64::MAX, 1, Some(EFAULT)),
            (u64::MAX, 0, Some(EFAULT)),
            (u64::MAX - 4095, 4096, Some(EFAULT)),
        ] {
            assert_eq!(parse_error(&[raw(EQ, len, addr, 0)]), error);
            assert_eq!(parse_error(&[raw(COPY, len, 0, addr)]), error);
        }
    }

    #[test]
    fn bad_operation_before_bad_address() {
        assert_eq!(
            parse_error(&[raw(EQ, 8, u64::MAX, 0), raw(NR_OPS, 8, 0, 0)]),
            Some(EINVAL)
        );
    }

    #[test]
    fn page_is_collected_once() -> Result {
        let page = PAGE_SIZE as u64;
        let mut vector = Vector::default();
        vector.parse(&[
            raw(EQ, 8, page, page + 64),
            raw(COPY, 16, 2 * page - 8, 4 * page),
            raw(ADD, 8, page + 128, 1),
        ])?;
        let mut pages = Pages::default();
        pages.collect(&mut vector)?;
        let mut wanted = pages.wanted.iter();

        for (addr, access) in [
            (page, Access::Write),
            (2 * page, Access::Write),
            (4 * page, Access::Read),
        ] {
            let next = wanted.next().ok_or(EINVAL)?;
            assert!(next.addr as u64 == addr && next.access == access);
        }
        assert!(wanted.next().is_none());

        let slots = vector.operands.iter().map(|operand| operand.slots);
        assert!(slots.eq([[0, 0], [0, 0], [0, 1], [2, 2], [0, 0]]));
        Ok(())
    }

    /// Allocates a page as user space has them: from high memory, if there is any.
    fn user_page() -> Result<Page> {
        Ok(Page::alloc_page(GFP_KERNEL | __GFP_HIGHMEM)?)
    }

    /// Two pages of known bytes, no two of which are the same within 251.
    struct Memory {
        pages: [Page; 2],
    }

    impl Memory {
        fn new() -> Result<Self> {
            let memory = Self {
                pages: [user_page()?, user_page()?],
            };
            for i in 0..2 * PAGE_SIZE {
                memory.span(i, 1)?.store((i % 251) as u64);
            }
            Ok(memory)
        }

        fn span(&self, offset: usize, len: usize) -> Result<Span<'_>> {
            let [a, b] = &self.pages;
            let span = if offset < PAGE_SIZE {
                Span::new(a, b, offset, len)
            } else {
                Span::new(b, b, offset - PAGE_SIZE, len)
            };
            span.ok_or(EINVAL)
        }

        fn byte(&self, offset: usize) -> Result<u8> {
            Ok(self.span(offset, 1)?.load() as u8)
        }
    }

    fn run(kind: Kind, first: Span<'_>, second: Span<'_>) -> Result<bool> {
        let buffer = if first.needs_buffer(&second) {
            Some(Page::alloc_page(GFP_KERNEL)?)
        } else {
            None
        };
        Ok(kind.run(&first, Some(&second), buffer.as_ref()))
    }

    /// Offsets around which a span of a few bytes is aligned, is not, and crosses a page.
    fn offsets() -> impl Iterator<Item = usize> {
        [0..16, PAGE_SIZE - 16..PAGE_SIZE + 8].into_iter().flatten()
    }

    #[test]
    fn integers_at_any_alignment() -> Result {
        let memory = Memory::new()?;
        let value: u64 = 0xfedc_ba98_7654_3210;

        for len in [1, 2, 4, 8] {
            let mask = u64::MAX >> (64 - 8 * len);
            for offset in offsets() {
                let span = memory.span(offset, len)?;
                span.store(value);
                assert_eq!(span.load(), value & mask);
            }
        }
        Ok(())
    }

    #[test]
    fn compare() -> Result {
        let (a, b) = (Memory::new()?, Memory::new()?);

        assert!(Kind::CompareEq.run_empty());
        assert!(!Kind::CompareNe.run_empty());
        for len in [1, 2, 3, 4, 7, 8, 9, 100, DATA_LEN_MAX] {
            for offset in [0, 1, 8, 4000] {
                let (a, b_span) = (a.span(offset, len)?, b.span(offset, len)?);
                assert!(run(Kind::CompareEq, a, b_span)?);
                assert!(!run(Kind::CompareNe, a, b_span)?);

                // The last byte counts, and the one after it does not.
                let last = b.span(offset + len - 1, 1)?;
                let byte = last.load();
                last.store(byte ^ 0x80);
                assert!(!run(Kind::CompareEq, a, b_span)?);
                assert!(run(Kind::CompareNe, a, b_span)?);
                last.store(byte);
            }
        }
        Ok(())
    }

    #[test]
    fn copy_that_overlaps() -> Result {
        let kind = Kind::Copy { release: false };

        for len in [1, 2, 3, 8, 63, 1000, DATA_LEN_MAX] {
            for (src, dst) in [
                (0, 0),
                (8, 9),
                (9, 8),
                (100, 4),
                (PAGE_SIZE - len, PAGE_SIZE - len / 2),
                (PAGE_SIZE - len / 2, PAGE_SIZE - len),
            ] {
                let (memory, before) = (Memory::new()?, Memory::new()?);
                run(kind, memory.span(dst, len)?, memory.span(src, len)?)?;

                for i in 0..2 * PAGE_SIZE {
                    let copied = (dst..dst + len).contains(&i);
                    let from = if copied { i - dst + src } else { i };
                    assert_eq!(memory.byte(i)?, before.byte(from)?);
                }
            }
        }
        Ok(())
    }

    /// Both operands cross into a page that is mapped twice in a row, as a ring buffer may be.
    #[test]
    fn copy_within_a_ring() -> Result {
        let kind = Kind::Copy { release: true };

        for len in [16, 3000, DATA_LEN_MAX] {
            for (src, dst) in [(PAGE_SIZE - 8, 500), (500, PAGE_SIZE - 8), (2000, 500)] {
                let (memory, before) = (Memory::new()?, Memory::new()?);
                let [page, _] = &memory.pages;
                let ring = |offset| Span::new(page, page, offset, len).ok_or(EINVAL);
                run(kind, ring(dst)?, ring(src)?)?;

                for i in 0..len {
                    let at = (dst + i) % PAGE_SIZE;
                    let from = (src + i) % PAGE_SIZE;
                    assert_eq!(memory.byte(at)?, before.byte(from)?);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn add_wraps() -> Result {
        let memory = Memory::new()?;

        for release in [false, true] {
            for len in [1, 2, 4, 8] {
                let mask = u64::MAX >> (64 - 8 * len);
                for offset in offsets() {
                    let span = memory.span(offset, len)?;
                    let before = memory.span(offset + len, 1)?.load();
                    span.store(u64::MAX);
                    for (count, sum) in [(1, 0), (u64::MAX, mask), (0x1_0203, 0x1_0202 & mask)] {
                        assert!(Kind::Add { count, release }.run(&span, None, None));
                        assert_eq!(span.load(), sum);
                    }
                    assert_eq!(memory.span(offset + len, 1)?.load(), before);
                }
            }
        }
        Ok(())
    }
}
