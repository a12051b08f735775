// SPDX-License-Identifier: GPL-2.0

//! The pages that a vector works on.
//!
//! [`Pages`] is all of them, each once, however many operands are in it. They are pinned all
//! together: [`Pinned`] is the proof. Only that can be asked whether all are still mapped, and
//! makes of the operands' addresses [where they are](Step) in the pages. So there is no operand
//! that is not pinned in what gets to run.
//!
//! # Waiting
//!
//! To fault a page in may take as long as user space likes: a userfaultfd handler or a file system
//! may have to provide it. Meanwhile no other page is held, as that would keep it from all who need
//! it: a store to the only huge page of a pool, which was just dropped, gets SIGBUS as long as
//! somebody still holds that page. So there are rounds:
//!
//! 1. Pin all, without waiting for anything. If a page is not there, let go of all.
//! 2. Fault in each, and let go of it before the next. Start again from 1.
//!
//! Under memory pressure reclaim could win each round. After [`ROUNDS_MAX`] of them, the pages that
//! are there are kept while others are got back from where reclaim has put them. That is the
//! kernel's business alone. What is not goes on as before.
//!
//! # fork() and protection keys
//!
//! A child is not to see what was stored later without what was stored before. So no page that
//! fork() copies must be pinned to be written to when it comes to it, nor must it come between the
//! check and the last store: see `mm/user_page.c`. Until they are unpinned, the VMAs of all pages
//! are locked, or all there are by mmap_lock, without waiting. If neither is to be had, as mappings
//! are just being changed, the next round has mmap_lock.
//!
//! Pages that are only read, fork() may have. Their VMAs are locked as the check cannot look at
//! protection keys: so none is set meanwhile.

use super::{
    span::{
        Span,
        SpanMut,
        SpanTarget,
        Step, //
    },
    vector::{
        Op,
        Operand,
        Vector,
        VEC_LEN_MAX, //
    },
};
use core::ops::Deref;
use kernel::{
    array_vec::ArrayVec,
    interrupt::LocalInterruptDisabled,
    mm::{
        user_page::{
            Read,
            UserMemory,
            UserPage,
            Write, //
        },
        virt::VmaRef,
        MmapReadGuard,
        VmaReadGuard, //
    },
    page::{
        RacyPage,
        RacySlice,
        RacySliceMut, //
    },
    prelude::*,
};

/// After so many rounds the pages that are there are kept.
pub(super) const ROUNDS_MAX: u32 = 16;

/// An operation has two operands, each in two pages, at most.
const PAGES_MAX: usize = VEC_LEN_MAX * 2 * 2;

/// It writes to one of the two at most.
const WRITTEN_MAX: usize = VEC_LEN_MAX * 2;

/// A page is not there, or not as it is needed, or its mapping is just being changed.
pub(super) struct Missing;

/// A buffer is needed, for a copy whose operands overlap.
pub(super) struct NeedsBuffer;

/// A page that a vector needs.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) addr: usize,
    /// Whether it is written to.
    pub(super) write: bool,
    /// Which it is of those that are, or are not.
    pub(super) index: usize,
}

/// The pages that a vector needs, each once, in the order in which the operands have them.
#[derive(Default)]
pub(super) struct WantedPages(ArrayVec<Wanted, PAGES_MAX>);

impl WantedPages {
    /// Adds the pages of `vector`. In place, as it is too large to be moved around.
    pub(super) fn add(&mut self, vector: &Vector) {
        vector.operands().for_each(|(operand, write)| {
            operand.pages().for_each(|addr| {
                match self.0.iter_mut().find(|page| page.addr == addr) {
                    Some(page) => page.write |= write,
                    None => self.0.push(Wanted {
                        addr,
                        write,
                        index: 0,
                    }),
                }
            });
        });

        let (mut written, mut read) = (0, 0);
        for page in self.0.iter_mut() {
            let next = if page.write { &mut written } else { &mut read };
            page.index = *next;
            *next += 1;
        }
    }

    /// Returns the page at `addr`, which is one of them.
    #[inline]
    fn at(&self, addr: usize) -> &Wanted {
        let before = self.iter().take_while(|page| page.addr != addr);

        &self[before.count()]
    }
}

impl Deref for WantedPages {
    type Target = [Wanted];

    #[inline]
    fn deref(&self) -> &[Wanted] {
        &self.0
    }
}

/// All pages that a vector needs.
pub(super) struct Pages<'a> {
    memory: UserMemory<'a>,
    wanted: WantedPages,
    /// The pinned ones that are written to, in the order of `wanted`.
    written: ArrayVec<UserPage<'a, Write>, WRITTEN_MAX>,
    /// Those that are only read, in the order of `wanted`.
    read: ArrayVec<UserPage<'a, Read>, PAGES_MAX>,
    /// The mappings of both are locked by one of these.
    vmas: ArrayVec<VmaReadGuard<'a>, PAGES_MAX>,
    mmap_lock: Option<MmapReadGuard<'a>>,
}

impl<'a> Pages<'a> {
    #[inline]
    pub(super) fn new(memory: UserMemory<'a>) -> Self {
        Self {
            memory,
            wanted: WantedPages::default(),
            written: ArrayVec::new(),
            read: ArrayVec::new(),
            vmas: ArrayVec::new(),
            mmap_lock: None,
        }
    }

    /// Adds the pages of `vector`.
    pub(super) fn want(&mut self, vector: &Vector) {
        self.wanted.add(vector);
    }

    /// Pins all pages, without waiting for anything that is up to user space. Fails at the first
    /// that is not there.
    ///
    /// Unless `keep`, no page must be pinned yet. Else pages are faulted in as far as that is the
    /// kernel's business, and each that was pinned before is held until its successor is: reclaim
    /// must not take back pages that are not stale meanwhile.
    pub(super) fn pin(&mut self, keep: bool) -> Result<Pinned<'_>, Missing> {
        for &Wanted { addr, write, index } in self.wanted.iter() {
            lock(&self.memory, addr, &mut self.vmas, &mut self.mmap_lock)?;
            if write {
                let page = self.memory.pin(addr, keep, self.mmap_lock.as_ref());
                put(&mut self.written, index, page.map_err(|_| Missing)?);
            } else {
                let page = self.memory.pin(addr, keep, self.mmap_lock.as_ref());
                put(&mut self.read, index, page.map_err(|_| Missing)?);
            }
        }
        // INVARIANT: All were just pinned.
        Ok(Pinned {
            wanted: &self.wanted,
            written: &self.written,
            read: &self.read,
        })
    }

    /// Faults in all pages, one after the other, with nothing pinned. Then waits until no mapping
    /// is being changed, and keeps it so until the next [`let_go()`](Self::let_go).
    pub(super) fn fault_in(&mut self) -> Result {
        self.let_go();
        self.wanted
            .iter()
            .try_for_each(|page| fault_in(&self.memory, page.addr, page.write))?;
        self.mmap_lock = Some(self.memory.mm().mmap_read_lock_killable()?);
        Ok(())
    }

    /// Finds the first operand of `vector` that the caller may not access, and fails with its
    /// error. Succeeds if there is none any more.
    ///
    /// Nothing is pinned meanwhile.
    pub(super) fn find_fault(&mut self, vector: &Vector) -> Result {
        self.let_go();
        for (operand, write) in vector.operands() {
            for addr in operand.pages() {
                match fault_in(&self.memory, addr, write) {
                    Ok(()) => (),
                    Err(ENOMEM) => return Err(ENOMEM),
                    Err(EAGAIN | EINTR | ERESTARTSYS) => return Ok(()),
                    Err(_) if operand.expect_fault => return Err(EAGAIN),
                    Err(_) => return Err(EFAULT),
                }
            }
        }
        Ok(())
    }

    /// Has the pages marked dirty that `ops`, which were run, wrote to.
    pub(super) fn mark_dirty(&mut self, ops: &[Op]) {
        let operands = ops.iter().flat_map(|op| op.operands());

        operands
            .filter(|(_, write)| *write)
            .for_each(|(operand, _)| {
                operand.pages().for_each(|addr| {
                    self.written[self.wanted.at(addr).index].mark_dirty();
                });
            });
    }

    /// Unpins all pages, and then unlocks their mappings. May sleep, but not before that is done.
    pub(super) fn let_go(&mut self) {
        let mut not_yet_dirty = ArrayVec::<_, WRITTEN_MAX>::new();

        while let Some(page) = self.written.pop() {
            if let Some(page) = page.unpin() {
                not_yet_dirty.push(page);
            }
        }
        self.read.clear();
        self.vmas.clear();
        self.mmap_lock = None;
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Puts `page` where there is one with that `index`, or at the end.
fn put<T, const N: usize>(pages: &mut ArrayVec<T, N>, index: usize, page: T) {
    match pages.get_mut(index) {
        Some(old) => *old = page,
        None => pages.push(page),
    }
}

fn fault_in(memory: &UserMemory<'_>, addr: usize, write: bool) -> Result {
    if write {
        memory.fault_in::<Write>(addr)
    } else {
        memory.fault_in::<Read>(addr)
    }
}

/// Locks the mapping of `addr`, or all, without waiting, unless it is locked.
fn lock<'a>(
    memory: &UserMemory<'a>,
    addr: usize,
    vmas: &mut ArrayVec<VmaReadGuard<'a>, PAGES_MAX>,
    mmap_lock: &mut Option<MmapReadGuard<'a>>,
) -> Result<(), Missing> {
    let has_addr = |vma: &VmaRef| (vma.start()..vma.end()).contains(&addr);
    let mm = memory.mm();

    if mmap_lock.is_some() || vmas.iter().any(|vma| has_addr(vma)) {
        return Ok(());
    }
    match mm.lock_vma_under_rcu(addr) {
        Some(vma) => vmas.push(vma),
        None => *mmap_lock = Some(mm.mmap_read_trylock().ok_or(Missing)?),
    }
    Ok(())
}

/// Pages that are pinned, as [`Pages`] has them.
///
/// # Invariants
///
/// All of them are.
pub(super) struct Pinned<'a> {
    wanted: &'a WantedPages,
    written: &'a [UserPage<'a, Write>],
    read: &'a [UserPage<'a, Read>],
}

impl<'a> Pinned<'a> {
    /// Whether all addresses still map the pages that were pinned, with the access needed.
    ///
    /// Until interrupts are enabled again, everything that this CPU stored before to the operands
    /// is in the pages.
    pub(super) fn are_mapped(&self, irq: &LocalInterruptDisabled) -> bool {
        self.written.iter().all(|page| page.is_mapped(irq))
            && self.read.iter().all(|page| page.is_mapped(irq))
    }

    fn bytes_mut(&self, addr: usize) -> RacySliceMut<'a> {
        self.written[self.wanted.at(addr).index].bytes_mut()
    }

    fn bytes(&self, addr: usize) -> RacySlice<'a> {
        let page = self.wanted.at(addr);
        if page.write {
            self.written[page.index].bytes()
        } else {
            self.read[page.index].bytes()
        }
    }

    fn span_mut(&self, operand: &Operand) -> SpanMut<'a> {
        SpanMut::new(
            self.bytes_mut(operand.head_page()),
            operand.tail_page().map(|addr| self.bytes_mut(addr)),
            operand.offset(),
            operand.len,
        )
    }

    fn span(&self, operand: &Operand) -> Span<'a> {
        Span::new(
            self.bytes(operand.head_page()),
            operand.tail_page().map(|addr| self.bytes(addr)),
            operand.offset(),
            operand.len,
        )
    }

    fn step(
        &self,
        op: &Op,
        buffer: Option<&'a RacyPage>,
    ) -> Result<Step<SpanTarget<'a>>, NeedsBuffer> {
        Ok(match op {
            Op::Compare { a, wanted, .. } if a.len == 0 => Step::Nothing {
                goes_on: *wanted,
                release: false,
            },
            Op::Copy { dst, release, .. } if dst.len == 0 => Step::Nothing {
                goes_on: true,
                release: *release,
            },
            Op::Compare { a, b, wanted } => Step::Compare {
                a: self.span(a),
                b: self.span(b),
                wanted: *wanted,
            },
            Op::Copy { dst, src, release } => {
                let (dst, src) = (self.span_mut(dst), self.span(src));
                let buffer = match (dst.needs_buffer(&src), buffer) {
                    (false, _) => None,
                    (true, None) => return Err(NeedsBuffer),
                    (true, Some(page)) => Some(page.bytes_mut()),
                };
                Step::Copy {
                    dst: SpanTarget { span: dst, buffer },
                    src,
                    release: *release,
                }
            }
            Op::Add { p, count, release } => Step::Add {
                p: SpanTarget {
                    span: self.span_mut(p),
                    buffer: None,
                },
                count: *count,
                release: *release,
            },
        })
    }

    /// Adds to `steps` what is to be done, where in memory: all that can fail has been done then.
    pub(super) fn add_steps(
        &self,
        vector: &Vector,
        buffer: Option<&'a RacyPage>,
        steps: &mut ArrayVec<Step<SpanTarget<'a>>, VEC_LEN_MAX>,
    ) -> Result<(), NeedsBuffer> {
        for op in vector.ops.iter() {
            steps.push(self.step(op, buffer)?);
        }
        Ok(())
    }
}
