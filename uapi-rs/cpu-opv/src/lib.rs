// SPDX-License-Identifier: MIT OR Apache-2.0

//! Data of which each CPU has its own: counters, caches of objects, queues, that any number of threads use at once
//! without atomic instructions and without waiting for each other.
//!
//! ```
//! static REQUESTS: cpu_opv::Counter = cpu_opv::Counter::new();
//!
//! REQUESTS.increment(); // by any thread, for about a nanosecond
//! assert_eq!(REQUESTS.sum(), 1);
//! ```
//!
//! # Why
//!
//! A variable that many threads write is a cache line that wanders from CPU to CPU, for some hundred cycles each
//! time. Data per thread avoids that, and brings other trouble: there are many more threads than CPUs, each
//! hoards its share, and what a thread leaves behind has to be collected. Data per CPU is as fast, there is
//! as much of it as there are CPUs, and what one thread puts there the next one finds, still in the cache.
//!
//! The difficulty is that a thread can lose its CPU between any two instructions. Two system calls help:
//!
//! - `rseq(2)`, Linux 4.18 and later: the kernel aborts a *restartable sequence* of instructions that it interrupts.
//!   This is the **fast path**, some ten instructions without a system call.
//! - `cpu_opv(2)`, in no released kernel yet (see [`support`]): the kernel does some operations on a CPU of one's choice. This is the
//!   **slow path**: for the data of *another* CPU, or of one that is offline, and for a thread that is
//!   interrupted again and again, as by a debugger that single-steps.
//!
//! Where the kernel lacks `cpu_opv(2)`, [something else](#backends) takes its place, behind the same functions.
//!
//! # What there is
//!
//! | | for | an operation is |
//! |---|---|---|
//! | [`Counter`], [`Gauge`] | statistics: added to often, read now and then | an addition |
//! | [`CounterSet`] | counters that belong together | an addition to up to three, to read all, to drain all |
//! | [`Histogram`] | how often values were in which range, and their sum | an observation, to read all, to drain all |
//! | [`PerCpu<T>`](PerCpu) | several counters side by side; what you build yourself | an addition, or a comparison and a store |
//! | [`List`] | free lists of any length, of objects that have room for a link | a push, a pop |
//! | [`BoundedList`] | free lists up to a limit, whose length is known | a push, a pop |
//! | [`Stack`] | caches of up to `N` objects, which are not touched | a push, a pop |
//! | [`StealStack`] | work for this CPU, and for others that have none | a push, a pop, a theft |
//! | [`Pool`] | objects that are used again: handles give them back | to get one, to drop it |
//! | [`RawStacks`] | allocators: addresses, by classes, where an operation may fail but not wait | a push, a pop, taking several |
//! | [`CopyStack`] | caches of up to `N` pieces of data | a push, a pop; it copies |
//! | [`Ring`] | events, to be read in order by a consumer | a reservation, a commit |
//! | [`TraceRing`] | traces: records of up to 4000 bytes with their time, discarded or overwritten when it is full | a copy |
//! | [`PerCpuLock<T>`](PerCpuLock) | all that takes more than one step | to lock, to unlock |
//! | [`vector`] | the call itself, safe | up to four operations |
//!
//! Each operation has two forms. One is for the CPU that the thread is on: `push`. The other is for any CPU, by its
//! number: [`push_on`](List::push_on). Both can be used by all threads at any time. A [`Counter`], a [`Gauge`] and a
//! [`CounterSet`] can be statics; put what else is to be one into a [`LazyLock`](std::sync::LazyLock).
//! What is left in a structure that is dropped, and owns it, is dropped with it.
//!
//! When *not* to use them: for what is written seldom (an atomic is simpler), for what must be consistent
//! across CPUs (there is no order between two CPUs' data), for counts that are read as often as written.
//!
//! # Memory ordering
//!
//! What is taken out happens after what was done before it was put in, as through any queue: of nodes, values and
//! data you need not think about ordering. A lock orders as a mutex. Counters, gauges, histograms and
//! [`PerCpu::add`] order nothing; [`PerCpu::compare_store`] releases, to be paired with [`Word::load`] with
//! `Acquire`. Who looks at another CPU's data without an operation ([`StealStack::peek_on`], `len_on`) sees some
//! moment of it, not the last one.
//!
//! # Progress
//!
//! After eight restartable sequences that were aborted the slow path does the operation. That does not take a quiet
//! moment: with `cpu_opv(2)` each operation completes even if each instruction is interrupted, but for those with
//! atomic instructions, where these are several: [`Ring::consume_on`], [`TraceRing::drain`] and
//! [`wait`](TraceRing::wait), a [`Pool`] that goes to its depot, and the first addition to a [`Counter`] or its like.
//! And [`TraceRing::push`] reads the clock: `clock_gettime(3)` begins anew for as long as the kernel's timer comes in
//! between.
//!
//! An operation on the current CPU does not fail: where the kernel has no memory for the slow path, or a sandbox that
//! was entered later refuses it, the operation goes on trying by sequences. It panics only
//!
//! - in a thread that cannot run those either, because that sandbox refused to have it registered with rseq: let
//!   [`register_thread`] be the first thing that a thread does, or enter the sandbox before the first structure is
//!   made;
//! - at the first addition to a [`Counter`], [`Gauge`], [`CounterSet`] or [`Histogram`], if the system has no memory
//!   left;
//! - with `cpu_opv(2)`, in a thread that is allowed only on CPUs that were not known of when the first structure was
//!   made, as after it was restored on a larger machine.
//!
//! With `cpu_opv(2)` all but [`PerCpuLock`], the depot of a [`Pool`] and [`TraceRing::drain`] are lock-free: a thread
//! that stops anywhere holds up no other one, except that what is after an uncommitted [`Reservation`] waits for it,
//! that a [`Ring`] has one consumer at a time, and that who makes or drops a counter waits for another that does. With
//! the other backends, the slow path is a lock.
//!
//! # Backends
//!
//! [`Backend::get`] tells which one is in use. The best that the system has is chosen when the first structure is
//! made, unless [`Backend::select`] has chosen before.
//!
//! - [`Backend::CpuOpv`], if the kernel [says](support) that it has the call.
//! - [`Backend::Membarrier`], Linux 5.10 and later: each sequence checks a flag beside the data; who changes the
//!   data of another CPU takes a lock, sets the flag, and has `membarrier(2)` abort the sequence that may be
//!   running there. The fast path is the same. What it does *not* give:
//!   - **Other processes**: membarrier reaches one process only, so [`Memory::shared`] is refused.
//!   - **Lock-freedom**: if a thread is preempted while it holds the lock, others wait for it, even those on the CPU that
//!     the data belongs to. Counters that lie side by side share that lock.
//! - [`Backend::Lock`]: atomic instructions, and a lock where they do not suffice, with no fast path. For kernels without
//!   rseq or membarrier.
//!
//! What holds with each of them: a thread must be allowed on the CPU that it names, see `sched_setaffinity(2)`, or gets
//! [`Error::CpuNotAllowed`]; the data of an offline CPU can be changed by all.
//!
//! # Other processes, and copies of this one
//!
//! A child of `fork(2)` has a copy of what is in [private memory](Memory::private), and can use it, whatever the other
//! threads of its parent were doing. What they *had* stays with them: a [`PerCpuLock`] that one held, the depot of a
//! [`Pool`] that one was at, an entry of a ring that one had reserved, or was consuming. Where the kernel has no
//! `MADV_WIPEONFORK` (Linux before 4.14, gVisor), the child's process ID must not be that of its parent, as it may be in
//! a new PID namespace.
//!
//! A child of `vfork(2)`, or of `clone(2)` with `CLONE_VM` and without storage for thread-local data of its own, must not do
//! any operation: it has its parent's area for rseq, but the kernel does not abort *its* sequences, so what it does is lost,
//! or does harm. No safe Rust runs in one.
//!
//! Each copy of this crate in a process, such as those in libraries that are loaded at run time, has structures of its own
//! and can be used beside the others. Where the libc does not register threads with rseq, the first copy that does so has
//! the fast path in that thread.
//!
//! # Vectors and membarrier(2)
//!
//! To `membarrier(2)` of this process, the operations of a [`vector`] are in order, as accesses of a thread are that has
//! compiler barriers between them. But membarrier does **not** wait for a vector that is under way on another CPU: when it
//! returns, a vector that has read a flag before may still be about to store. Who has to wait for that runs a
//! [vector without operations](vector::Vector::new) on that CPU, which also aborts the sequence there. Nor does it help
//! with memory that was not written to yet, or not since `fork()`: the first store gives its address another page, and a
//! vector that is under way on an idle CPU, or over another process, may miss that store.
//!
//! # Where there is a fast path
//!
//! | | |
//! |---|---|
//! | x86_64, aarch64, armv7 (A32 code), riscv64 | yes, but not with musl (as on OpenHarmony), unless the program is static, and not on Android |
//! | powerpc64le | with Rust 1.95 or later, which has inline assembly for it |
//! | others | no: all is done by `cpu_opv(2)`, or with the lock |
//!
//! A [`BoundedList`] is changed by the fast path on 64-bit machines only.
//!
//! glibc 2.35 and later registers each thread with rseq, and this crate uses that. With an older one or with musl, it
//! registers a thread itself when that does its first operation. If another library did so by other means, the
//! slow path is taken.
//!
//! With glibc before 2.35, or if its registration is switched off, that area takes 64 bytes of the room for thread-local
//! data of libraries that are loaded at run time.
//!
//! # Costs
//!
//! | | |
//! |---|---|
//! | operation on the current CPU | 10 to 30 instructions, no atomic ones, one or two cache lines, that are this CPU's |
//! | operation on another CPU, or the first after several aborts | a system call, and an interrupt if that CPU is busy: microseconds |
//! | a [`Counter`] or [`Gauge`] | a word for each CPU that the machine can have, beside others; a mapping for each 8000 |
//! | a [`CounterSet`] or [`Histogram`] | 14 words more for each CPU than there are counters or ranges |
//! | the others | 128 bytes for each CPU, or more if the data is longer; a mapping, of whole pages, for each structure |
//!
//! Of what a CPU has, the pages that nothing was written to take no memory; of the rings of a [`TraceRing`], as far as
//! the allocator does not use huge ones. What a counter had another counter gets when it was dropped; it does not go
//! back to the system.
//!
//! [`slow_path_calls`] tells how often which slow path was taken.
//!
//! # Signal handlers
//!
//! A handler may do all operations on [`Counter`], [`Gauge`], [`PerCpu`], [`RawList`], [`Stack`], [`StealStack`],
//! [`CopyStack`], [`TraceRing`] and [`Ring`] on values that need no drop, even if it interrupts one on the same data; with
//! each backend, since the lock is held with signals blocked. `errno` stays as it is. The exceptions:
//!
//! - of a [`TraceRing`] it may push only, and it must not use a [`Pool`];
//! - to make or drop a structure, and what allocates or frees: [`List`] and [`BoundedList`] with their boxes, for example. Of
//!   [`CounterSet`] and [`Histogram`], to add and to observe is fine, to read and to drain is not. The first addition to a
//!   static may be a handler's;
//! - [`PerCpuLock::lock`] and [`lock_on`](PerCpuLock::lock_on), since the interrupted thread may hold it;
//!   [`try_lock`](PerCpuLock::try_lock) is fine;
//! - the first operation of the process, which chooses the backend, and of a thread that the libc has not registered with
//!   rseq: they may allocate. Call [`register_thread`] before.
//!
//! # Cancellation
//!
//! No operation is a cancellation point, see `pthreads(7)`, not even one that waits: a thread that is to be cancelled goes
//! through it. To make a structure in a [file](Memory::file) may be one, and so is a panic, which writes.
//!
//! # Where the promises come from
//!
//! `src/rseq.rs` has the sequences, `src/way.rs` the primitives, each as sequence, as vector and as plain code,
//! `src/group.rs` how several words change in one step, `src/arena.rs` where counters lie,
//! `src/stopped.rs` the argument for the fallback, of which `tests/stopped.rs` checks a model by loom.
//! The tests account for each item under load from all CPUs, from signal handlers, from a second process, for a CPU
//! that is offline, and while each operation is single-stepped.
//!
//! Code with restartable sequences must not be unloaded (`dlclose(3)`) while a thread lives that ran them.

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "restartable sequences and cpu_opv(2) are Linux': depend on cpu-opv for Linux targets only"
);

mod arena;
mod backend;
mod bounded_list;
mod copy_stack;
mod counter;
mod counter_set;
mod cpu;
mod detect;
mod error;
mod futex;
mod generation;
mod group;
mod histogram;
mod list;
mod lock;
mod memory;
mod per_cpu;
mod pool;
mod raw_stacks;
mod ring;
mod rseq;
#[cfg_attr(miri, path = "signals/miri.rs")]
mod signals;
mod slots;
mod stack;
mod stopped;
mod sys;
mod trace_ring;
mod value;
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(doctest)]
mod variance;
pub mod vector;
mod waiters;
mod way;
mod word;

pub use backend::{Backend, SlowPathCalls, slow_path_calls};
pub use bounded_list::{BoundedList, BoundedNode};
pub use copy_stack::CopyStack;
pub use counter::{Counter, Gauge};
pub use counter_set::CounterSet;
pub use cpu::Cpu;
pub use detect::{Support, support};
pub use error::{Error, PushError, Refused};
#[doc(hidden)] // for cpu-opv-tracing
pub use generation::current as generation;
pub use histogram::{Buckets, Histogram};
pub use list::{List, Node, RawList, Taken};
pub use lock::{PerCpuLock, PerCpuLockGuard};
pub use memory::Memory;
pub use per_cpu::{PerCpu, Zeroed};
pub use pool::{Pool, Pooled};
pub use raw_stacks::RawStacks;
pub use ring::{Reservation, Ring};
pub use stack::{Batch, Stack, StealStack};
pub use trace_ring::{Drain, LossMode, Record, TraceRing};
pub use value::Value;
pub use word::Word;

/// Registers the calling thread with rseq, if the libc has not; returns whether it can run restartable sequences.
///
/// It need not be called, except before a [signal handler](crate#signal-handlers) does the first operation of
/// the process or of a thread.
pub fn register_thread() -> bool {
    Backend::get();
    rseq::register_thread()
}
