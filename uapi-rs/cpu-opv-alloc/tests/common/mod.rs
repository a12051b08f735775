// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests share.
#![allow(dead_code, reason = "not each test uses all of it")]

mod machine;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Write, stderr};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

use cpu_opv::Backend;
pub use machine::*;

/// Whether there are caches: without restartable sequences all goes to the backing allocator.
pub fn caches() -> bool {
    Backend::get() != Backend::Lock && cpu_opv::register_thread()
}

/// How many operations a stress test does in all.
pub fn operations() -> usize {
    operations_or(400_000)
}

impl Random {
    /// One that is small more often than large, and now and then larger than any class.
    pub fn layout(&mut self) -> Layout {
        let largest = 1 << (3 + self.below(14));
        let size = 1 + self.below(largest);
        let aligns = if self.below(10) == 0 { 9 } else { 5 };
        let align = 1 << self.below(aligns);
        Layout::from_size_align(size, align).unwrap()
    }
}

/// Whether a thread that is cancelled before it does `work` gets to the end of it. It allocates nothing.
pub fn is_done_though_cancelled(work: &dyn Fn()) -> bool {
    extern "C" fn start(work: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: the thread is this one, and what was passed outlives it.
        unsafe {
            libc::pthread_cancel(libc::pthread_self());
            (*work.cast::<&dyn Fn()>())();
        }
        work
    }
    let argument = (&raw const work).cast_mut().cast();
    let mut result = null_mut();
    // SAFETY: the thread gets what it expects, and ends before that does.
    unsafe {
        let mut thread = MaybeUninit::uninit();
        let created = libc::pthread_create(thread.as_mut_ptr(), null(), start, argument);
        assert_eq!(created, 0);
        assert_eq!(libc::pthread_join(thread.assume_init(), &mut result), 0);
    }
    // And not PTHREAD_CANCELED.
    result == argument
}

/// The system's allocator, which keeps account: of the bytes that are out, and that each block comes back with the
/// layout that it was handed out with.
pub struct Accounts {
    out: AtomicIsize,
    calls: AtomicUsize,
    most: isize,
}

/// In front of a block, in as many bytes as it is aligned to, or more: its layout.
type Head = [usize; 2];

impl Accounts {
    pub const fn new() -> Self {
        Self::limited(isize::MAX)
    }

    /// It has no memory for more than so many bytes, or a little less if several threads ask at once.
    pub const fn limited(most: isize) -> Self {
        Self {
            out: AtomicIsize::new(0),
            calls: AtomicUsize::new(0),
            most,
        }
    }

    /// How many bytes are out.
    pub fn out(&self) -> isize {
        self.out.load(Relaxed)
    }

    /// How often it was asked for a block.
    pub fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    fn with_head(layout: Layout) -> (Layout, usize) {
        let whole = Layout::new::<Head>().extend(layout);
        whole.unwrap_or_else(|_| std::process::abort())
    }
}

// SAFETY: a block is one of the system's, but for its first bytes.
unsafe impl GlobalAlloc for &Accounts {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (whole, offset) = Accounts::with_head(layout);
        let size = layout.size() as isize;
        if self.out.fetch_add(size, Relaxed) > self.most - size {
            self.out.fetch_sub(size, Relaxed);
            return null_mut();
        }
        // SAFETY: the layout is as long as the head, at least.
        unsafe {
            let start = System.alloc(whole);
            if start.is_null() {
                self.out.fetch_sub(size, Relaxed);
                return start;
            }
            let block = start.add(offset);
            block
                .cast::<Head>()
                .sub(1)
                .write_unaligned([layout.size(), layout.align()]);
            self.calls.fetch_add(1, Relaxed);
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (whole, offset) = Accounts::with_head(layout);
        // SAFETY: `alloc` returned it, which wrote the head.
        unsafe {
            let head = block.cast::<Head>().sub(1);
            if head.read_unaligned() != [layout.size(), layout.align()] {
                // An allocator must not unwind.
                _ = writeln!(stderr(), "a block is freed with another layout, or twice");
                std::process::abort();
            }
            head.write_unaligned([0; 2]);
            self.out.fetch_sub(layout.size() as isize, Relaxed);
            System.dealloc(block.sub(offset), whole);
        }
    }
}

/// A block that is filled with a pattern of its own.
pub struct Block<'a, A: GlobalAlloc> {
    alloc: &'a A,
    start: *mut u8,
    layout: Layout,
    pattern: u8,
}

// SAFETY: it is a box.
unsafe impl<A: GlobalAlloc + Sync> Send for Block<'_, A> {}

impl<'a, A: GlobalAlloc> Block<'a, A> {
    pub fn new(alloc: &'a A, layout: Layout, zeroed: bool) -> Self {
        // SAFETY: no layout here is of size 0, and a zeroed block can be read.
        unsafe {
            let start = match zeroed {
                true => alloc.alloc_zeroed(layout),
                false => alloc.alloc(layout),
            };
            assert!(!start.is_null());
            assert_eq!(start.addr() % layout.align(), 0, "{layout:?}");
            if zeroed {
                let bytes = std::slice::from_raw_parts(start, layout.size());
                assert!(bytes.iter().all(|byte| *byte == 0), "{layout:?}");
            }
            let mut block = Self {
                alloc,
                start,
                layout,
                pattern: 0,
            };
            block.fill();
            block
        }
    }

    /// With a pattern that the ones before did not have.
    fn fill(&mut self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        self.pattern = NEXT.fetch_add(1, Relaxed) as u8 | 1;
        // SAFETY: it is as long.
        unsafe { self.start.write_bytes(self.pattern, self.layout.size()) };
    }

    fn check(&self, len: usize) {
        // SAFETY: it is as long, and was filled.
        let bytes = unsafe { std::slice::from_raw_parts(self.start, len) };
        let pattern = self.pattern;
        assert!(
            bytes.iter().all(|byte| *byte == pattern),
            "somebody else has it"
        );
    }

    pub fn resize(&mut self, size: usize) {
        let kept = self.layout.size().min(size);
        self.check(self.layout.size());
        // SAFETY: it is of this allocator and layout; the sizes here are not 0, and far from the greatest.
        unsafe {
            self.start = self.alloc.realloc(self.start, self.layout, size);
            assert!(!self.start.is_null());
        }
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        assert_eq!(self.start.addr() % self.layout.align(), 0);
        self.check(kept);
        self.fill();
    }
}

impl<A: GlobalAlloc> Drop for Block<'_, A> {
    fn drop(&mut self) {
        self.check(self.layout.size());
        // SAFETY: it is of this allocator and layout.
        unsafe { self.alloc.dealloc(self.start, self.layout) };
    }
}
