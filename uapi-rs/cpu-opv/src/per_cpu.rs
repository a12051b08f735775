// SPDX-License-Identifier: MIT OR Apache-2.0

//! A value for each CPU, and the operations on its words.

use core::fmt;
use core::marker::PhantomData;
use core::mem::needs_drop;
use core::ptr::NonNull;

use crate::backend::Backend;
use crate::cpu::{self, Cpu};
use crate::error::Error;
use crate::memory::{Mapping, Memory};
use crate::rseq;
use crate::slots::Slots;
use crate::stopped::Control;
use crate::way::{Attempt, Operation, Way};
use crate::word::Word;

/// A `T` for each CPU that the machine can have, each on cache lines of its own.
///
/// What changes of it are its [`Word`]s, by the operations here. Each operation is one step for all that use
/// the same CPU's `T`, and there are two forms of each: one for the CPU that the thread is on, which is
/// as good as free, and one for a CPU by its number, `..._on`, which is a system call unless the thread
/// is on that CPU.
///
/// ```
/// use cpu_opv::{PerCpu, Word};
///
/// #[derive(Default)]
/// struct Requests {
///     served: Word,
///     failed: Word,
/// }
///
/// let requests = PerCpu::new(|_cpu| Requests::default());
///
/// // By any thread, often:
/// requests.add(|here| &here.served, 1);
///
/// // By any thread, now and then:
/// assert_eq!(requests.sum(|there| &there.served), 1);
/// ```
pub struct PerCpu<T> {
    slots: NonNull<Slot<T>>,
    /// How many slots have been initialised: in the end all, one for each CPU.
    cpus: usize,
    /// That of the threads' areas for rseq. Here, it stays in a register in a loop.
    area_offset: isize,
    /// Unmapped when this is dropped.
    _mapping: Mapping,
    _owned: PhantomData<T>,
}

/// The `T` of a CPU. 128 bytes are two lines, which some CPUs fetch as a pair.
#[repr(C, align(128))]
struct Slot<T> {
    control: Control,
    data: T,
}

/// Types that are ready for use as all zeroes, in memory that processes share.
///
/// # Safety
///
/// All zeroes is a value, none that it can come to hold refers to this process (no pointers), and it does not
/// need to be dropped. It is laid out alike in all processes: by `repr(C)` or `repr(transparent)`. And whatever bytes
/// one of them can store there are a value to the others.
pub unsafe trait Zeroed: Sync + 'static {}

// SAFETY: it is 0 then, and any bytes are a number.
unsafe impl Zeroed for Word {}
// SAFETY: it has nothing but items.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

// SAFETY: it gives out `&T` on any thread, and drops the `T`s on the one that drops it.
unsafe impl<T: Sync + Send> Sync for PerCpu<T> {}
// SAFETY: as above.
unsafe impl<T: Sync + Send> Send for PerCpu<T> {}

impl<T: Sync + Send> PerCpu<T> {
    /// A `T` for each CPU, made by `init`, in this process' memory.
    ///
    /// # Panics
    ///
    /// If the system has no memory left.
    pub fn new(init: impl FnMut(Cpu) -> T) -> Self {
        Self::try_new(init).expect("memory for each CPU")
    }

    /// The same; [`Error::Os`] if the system has no memory left.
    pub fn try_new(mut init: impl FnMut(Cpu) -> T) -> Result<Self, Error> {
        let mut per_cpu = Self::mapped(&Memory::private(), 0)?;
        for cpu in Cpu::all() {
            let value = init(cpu);
            // SAFETY: within the mapping, and nobody else has it yet.
            unsafe {
                let slot = per_cpu.slots.add(cpu.number());
                (&raw mut (*slot.as_ptr()).data).write(value);
            }
            // If `init` panics next, what there is is dropped.
            per_cpu.cpus += 1;
        }
        Ok(per_cpu)
    }
}

impl<T: Zeroed> PerCpu<T> {
    /// A `T` for each CPU, all zeroes, in this memory, or what other processes have made of them.
    ///
    /// # Errors
    ///
    /// - [`Error::Backend`]: processes can only share it with [`Backend::CpuOpv`].
    /// - [`Error::Layout`]: the memory is in use for something else.
    /// - [`Error::Os`]: it could not be mapped.
    pub fn new_in(memory: Memory<'_>) -> Result<Self, Error> {
        const KIND: u32 = 1;
        // SAFETY: the trait says so.
        unsafe { Self::zeroed(&memory, KIND) }
    }
}

impl<T> PerCpu<T> {
    /// For a structure of this kind, which is 0 for one that is never in memory that processes share.
    ///
    /// # Safety
    ///
    /// All zeroes is a value of `T`. In memory that processes share, `T` is fit for that.
    pub(crate) unsafe fn zeroed(memory: &Memory<'_>, kind: u32) -> Result<Self, Error> {
        let mut per_cpu = Self::mapped(memory, kind)?;
        per_cpu.cpus = cpu::count() as usize;
        Ok(per_cpu)
    }

    /// With each `T` still to be initialised.
    fn mapped(memory: &Memory<'_>, kind: u32) -> Result<Self, Error> {
        const {
            assert!(
                align_of::<Slot<T>>() == 128,
                "T needs no stricter alignment"
            )
        };
        let stopped = Backend::get() == Backend::Lock;
        let mapping = Mapping::new(memory, kind, size_of::<Slot<T>>())?;
        let slots = mapping.slots().cast::<Slot<T>>();
        if stopped {
            for index in 0..cpu::count() as usize {
                // SAFETY: within the mapping, and nobody else has it yet: it is private, with this backend.
                unsafe {
                    let slot = slots.add(index);
                    (&raw mut (*slot.as_ptr()).control).write(Control::new(true));
                }
            }
        }
        Ok(Self {
            slots,
            cpus: 0,
            area_offset: rseq::offset(),
            _mapping: mapping,
            _owned: PhantomData,
        })
    }

    /// The `T` of `cpu`, to look at.
    #[inline]
    pub fn get_on(&self, cpu: Cpu) -> &T {
        self.slot_of(cpu).1
    }

    /// Each CPU's `T`, to look at.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Cpu, &T)> + DoubleEndedIterator {
        Cpu::all().map(|cpu| (cpu, self.get_on(cpu)))
    }

    /// The sum, wrapping, of the words that `word` points out of each CPU's `T`.
    ///
    /// They are read one after the other, without any ordering: of additions at the same time, any may be in it.
    pub fn sum(&self, word: impl Fn(&T) -> &Word) -> usize {
        self.iter()
            .fold(0, |sum, (_, data)| sum.wrapping_add(word(data).get()))
    }

    /// Adds `n`, wrapping, to the word of the current CPU's `T` that `word` points out.
    #[inline(always)]
    pub fn add(&self, word: impl Fn(&T) -> &Word, n: usize) {
        self.here(word, Add::<false>(n));
    }

    /// Adds `n`, wrapping, to a word of the `T` of `cpu`.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    #[inline]
    pub fn add_on(&self, cpu: Cpu, word: impl Fn(&T) -> &Word, n: usize) -> Result<(), Error> {
        self.on(cpu, word, Add::<false>(n))
    }

    /// The same, with release semantics, and see [`on_any`](Slots::on_any).
    #[inline]
    pub(crate) fn add_release_on(
        &self,
        cpu: Cpu,
        word: impl Fn(&T) -> &Word,
        n: usize,
    ) -> Result<(), Error> {
        self.on_any(cpu, word, Add::<true>(n))
    }

    /// If the word of the current CPU's `T` that `word` points out is `expect`, makes it `new`; returns
    /// whether it was. The store releases.
    ///
    /// To compute the one from the other, read the word of the [current CPU](Cpu::current) and try until it succeeds.
    /// If the thread is moved in between, it is the other CPU's word that is compared, and changed if it holds the same.
    ///
    /// ```
    /// use std::sync::atomic::Ordering::Relaxed;
    ///
    /// use cpu_opv::{Cpu, PerCpu, Word};
    ///
    /// /// Takes a token of this CPU, if it has one left.
    /// fn take(tokens: &PerCpu<Word>) -> bool {
    ///     loop {
    ///         let left = tokens.get_on(Cpu::current()).load(Relaxed);
    ///         let Some(less) = left.checked_sub(1) else { return false };
    ///         if tokens.compare_store(|word| word, left, less) {
    ///             return true;
    ///         }
    ///     }
    /// }
    ///
    /// assert!(take(&PerCpu::new(|_cpu| Word::new(10))));
    /// ```
    #[doc(alias = "compare_exchange")]
    #[inline(always)]
    pub fn compare_store(&self, word: impl Fn(&T) -> &Word, expect: usize, new: usize) -> bool {
        self.here(word, CompareStore { expect, new })
    }

    /// If a word of the `T` of `cpu` is `expect`, makes it `new`; returns whether it was. The store releases.
    ///
    /// # Errors
    ///
    /// [`Error::CpuNotAllowed`] if this thread is not.
    #[inline]
    pub fn compare_store_on(
        &self,
        cpu: Cpu,
        word: impl Fn(&T) -> &Word,
        expect: usize,
        new: usize,
    ) -> Result<bool, Error> {
        self.on(cpu, word, CompareStore { expect, new })
    }

    /// The CPU that this `T` is of, which is one of these.
    #[inline]
    pub(crate) fn cpu_of(&self, data: &T) -> Cpu {
        let first = &raw const *self.slot_of(Cpu::FIRST).1;
        let distance = (&raw const *data).addr() - first.addr();
        Cpu::new(distance / size_of::<Slot<T>>()).expect("it is one of these")
    }
}

// SAFETY: to make one, `mapped` goes through `Backend::get`, and there is a slot for each CPU.
unsafe impl<T> Slots for PerCpu<T> {
    type Data = T;

    #[inline(always)]
    fn area_offset(&self) -> isize {
        self.area_offset
    }

    #[inline(always)]
    fn has(&self, cpu: usize) -> bool {
        cpu < self.cpus
    }

    #[inline(always)]
    unsafe fn slot_unchecked(&self, cpu: usize) -> (&Control, &T) {
        let slot = rseq::in_register(self.slots.as_ptr().wrapping_add(cpu));
        // SAFETY: the mapping has a slot for each of them, initialised, for as long as `self` lives.
        let slot = unsafe { &*slot };
        (&slot.control, &slot.data)
    }
}

/// All of the data is the part.
#[inline(always)]
pub(crate) fn whole<T: ?Sized>(data: &T) -> &T {
    data
}

impl<T> Drop for PerCpu<T> {
    fn drop(&mut self) {
        if needs_drop::<T>() {
            for index in 0..self.cpus {
                // SAFETY: it is within the mapping, was initialised, and nobody has it any more.
                unsafe { (&raw mut (*self.slots.add(index).as_ptr()).data).drop_in_place() };
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for PerCpu<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// `*word += n`
pub(crate) struct Add<const RELEASE: bool>(pub(crate) usize);

impl<const RELEASE: bool> Operation<Word> for Add<RELEASE> {
    type Output = ();

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, word: &Word) -> Attempt<()> {
        way.add::<RELEASE>(word, self.0)
    }
}

/// `if *word == expect { *word = new }`
struct CompareStore {
    expect: usize,
    new: usize,
}

impl Operation<Word> for CompareStore {
    type Output = bool;

    #[inline(always)]
    fn attempt<W: Way>(&mut self, way: &W, word: &Word) -> Attempt<bool> {
        if word.get() != self.expect {
            return Ok(false);
        }
        way.compare_store::<true>(word, self.expect, self.new)?;
        Ok(true)
    }
}
