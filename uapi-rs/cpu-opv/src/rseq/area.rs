// SPDX-License-Identifier: MIT OR Apache-2.0

//! The area that a thread shares with the kernel, and its registration.
//!
//! A thread can register one area. glibc (2.35 or later) has done so, at the same offset from the thread
//! pointer in each thread. Where nobody has, this crate brings an area in thread-local storage of the
//! static kind, so that this too is at one offset in all threads; each thread registers it when
//! its first sequence fails for want of that.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{
    AtomicIsize, AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
#[cfg(not(target_feature = "crt-static"))]
use core::{
    ptr::null_mut,
    sync::atomic::{AtomicBool, AtomicPtr},
};

use super::arch;
use crate::sys::{Errno, keeping_errno};

/// What this file needs of `struct rseq`.
#[repr(C)]
struct Area {
    cpu_id_start: AtomicU32,
    cpu_id: AtomicU32,
}

/// The size of this crate's own area, and what it is aligned to.
const SIZE: usize = 64;

/// The size that each kernel takes.
const ORIGINAL_SIZE: usize = 32;

// Values of `cpu_id` while the area is not registered.
const UNINITIALIZED: u32 = -1_i32 as u32;
/// Says: do not try again.
const REGISTRATION_FAILED: u32 = -2_i32 as u32;

const UNREGISTER: c_int = 1;

// The crate's own area: an instance for each thread, `UNINITIALIZED`. It is weak, so that two versions of
// this crate in one program share it: a thread has only one.
core::arch::global_asm!(
    ".pushsection .tdata.__cpu_opv_rseq_area, \"awT\", %progbits",
    ".weak __cpu_opv_rseq_area",
    ".hidden __cpu_opv_rseq_area",
    ".type __cpu_opv_rseq_area, %object",
    ".size __cpu_opv_rseq_area, {size}",
    ".balign {size}",
    "__cpu_opv_rseq_area:",
    ".long 0, 0xffffffff",
    ".zero {size} - 8",
    ".popsection",
    size = const SIZE,
);

/// Offset of each thread's area from its thread pointer. Set by `init`.
static OFFSET: AtomicIsize = AtomicIsize::new(0);

/// Whose areas these are. Set by `init`.
static OWNER: AtomicU8 = AtomicU8::new(NOBODY);
const NOBODY: u8 = 0;
const LIBC: u8 = 1;
const THIS_CRATE: u8 = 2;

/// The key of thread-specific data whose destructor unregisters a thread's area. Set by `init`.
///
/// It is not a `thread_local!` with a destructor: for that, Rust's library may allocate, or the libc take the lock of the
/// dynamic loader. The first operation of a thread may be an allocation, within either.
static AT_EXIT: AtomicU32 = AtomicU32::new(NO_KEY);
/// More than there can be.
const NO_KEY: libc::pthread_key_t = u32::MAX;

/// Finds the area. All that uses sequences comes after it.
///
/// To be called again is harmless.
pub(crate) fn init() {
    let (owner, offset) = match libc_offset() {
        Some(offset) => (LIBC, offset),
        None => (THIS_CRATE, arch::own_offset()),
    };
    if owner == THIS_CRATE && AT_EXIT.load(Relaxed) == NO_KEY {
        make_key();
    }
    OFFSET.store(offset, Relaxed);
    // Who sees the owner sees the offset and the key.
    OWNER.store(owner, Release);
}

/// The offset of the libc's area, if the libc registers one.
fn libc_offset() -> Option<isize> {
    let (offset, size) = libc_constants();
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc defines these constants, a `ptrdiff_t` and an `unsigned int`.
    unsafe { (size.read() != 0).then(|| offset.read()) }
}

/// The addresses of glibc's constants, or null where it does not define them.
#[cfg(not(target_feature = "crt-static"))]
fn libc_constants() -> (*const isize, *const u32) {
    if !LOOKED_UP.load(Acquire) {
        look_up();
    }
    (LIBC_OFFSET.load(Relaxed), LIBC_SIZE.load(Relaxed))
}

/// What `look_up` has found.
#[cfg(not(target_feature = "crt-static"))]
static LIBC_OFFSET: AtomicPtr<isize> = AtomicPtr::new(null_mut());
#[cfg(not(target_feature = "crt-static"))]
static LIBC_SIZE: AtomicPtr<u32> = AtomicPtr::new(null_mut());
#[cfg(not(target_feature = "crt-static"))]
static LOOKED_UP: AtomicBool = AtomicBool::new(false);

/// Looks for glibc's constants. To do so again is harmless.
///
/// By name: with a reference, even a weak one, what was linked with glibc 2.35 or later may not start with an earlier one.
#[cfg(not(target_feature = "crt-static"))]
extern "C" fn look_up() {
    // SAFETY: the names are strings.
    let [offset, size] = [c"__rseq_offset", c"__rseq_size"]
        .map(|name| unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) });
    LIBC_OFFSET.store(offset.cast(), Relaxed);
    LIBC_SIZE.store(size.cast(), Relaxed);
    // Who sees this sees the addresses.
    LOOKED_UP.store(true, Release);
}

/// Looks before the constructors of this program or library: dlsym(3) takes the lock that is held while those run, and
/// one may wait for a thread that does the first operation. Priorities up to 100 are not the user's.
#[cfg(not(target_feature = "crt-static"))]
#[used]
#[unsafe(link_section = ".init_array.00099")]
static LOOK_UP: extern "C" fn() = look_up;

#[cfg(target_feature = "crt-static")]
fn libc_constants() -> (*const isize, *const u32) {
    // SAFETY: the assembly below defines both, with the type of a pointer, and nothing writes them.
    unsafe { (__cpu_opv_rseq_offset, __cpu_opv_rseq_size) }
}

// The addresses of glibc's constants, or null where it does not define them.
#[cfg(target_feature = "crt-static")]
core::arch::global_asm!(
    ".weak __rseq_offset",
    ".weak __rseq_size",
    ".pushsection .data.rel.ro.__cpu_opv_rseq, \"aw\", %progbits",
    ".weak __cpu_opv_rseq_offset",
    ".weak __cpu_opv_rseq_size",
    ".hidden __cpu_opv_rseq_offset",
    ".hidden __cpu_opv_rseq_size",
    ".balign {size}",
    "__cpu_opv_rseq_offset:",
    ".{size}byte __rseq_offset",
    "__cpu_opv_rseq_size:",
    ".{size}byte __rseq_size",
    ".popsection",
    size = const size_of::<usize>(),
);

#[cfg(target_feature = "crt-static")]
unsafe extern "C" {
    static __cpu_opv_rseq_offset: *const isize;
    static __cpu_opv_rseq_size: *const u32;
}

/// The areas' offset, once `init` has run: before `Backend::get` returns, without which there is no structure.
#[inline(always)]
pub(crate) fn offset() -> isize {
    OFFSET.load(Relaxed)
}

/// Where the calling thread's area is, and the CPU that the thread is on or lately was; no number of a CPU if the
/// kernel does not keep it there.
///
/// That is `cpu_id`, and not `cpu_id_start`: there are allocators that put something of their own into the latter.
///
/// `offset` is from [`offset`].
#[inline(always)]
pub(crate) fn cpu_start(offset: isize) -> (isize, usize) {
    let area = arch::area(offset);
    // SAFETY: each thread has an area there: the libc's, or in static thread-local storage.
    (area, unsafe { arch::cpu_id(area) })
}

fn area() -> Option<&'static Area> {
    if OWNER.load(Acquire) == NOBODY {
        return None;
    }
    let pointer = arch::thread_pointer().wrapping_offset(OFFSET.load(Relaxed));
    // SAFETY: as in `cpu_start`; it lives as long as the thread, and the reference is not passed on.
    Some(unsafe { &*pointer.cast::<Area>() })
}

/// The CPU that the thread is on, if the kernel keeps that in its area.
pub(crate) fn current_cpu() -> Option<u32> {
    match area()?.cpu_id.load(Relaxed) {
        UNINITIALIZED | REGISTRATION_FAILED => None,
        cpu => Some(cpu),
    }
}

/// Whether this thread can run sequences; registers its area if that has to be done.
pub(crate) fn register_thread() -> bool {
    let Some(area) = area() else {
        return false;
    };
    match area.cpu_id.load(Relaxed) {
        REGISTRATION_FAILED => false,
        UNINITIALIZED if OWNER.load(Acquire) == THIS_CRATE => register(area),
        UNINITIALIZED => false,
        _ => true,
    }
}

fn register(area: &'static Area) -> bool {
    match rseq(area, 0) {
        // EBUSY: it is registered already, by a signal handler just now.
        Ok(()) | Err(Errno(libc::EBUSY)) => {
            // The kernel may write to the area until the thread is gone, but some libcs unmap it before.
            unregister_at_exit(area) || {
                unregister(area);
                false
            }
        }
        Err(_) => {
            area.cpu_id.store(REGISTRATION_FAILED, Relaxed);
            false
        }
    }
}

fn make_key() {
    extern "C" fn at_exit(area: *mut c_void) {
        // SAFETY: it is what `unregister_at_exit` got, in this thread.
        unregister(unsafe { &*area.cast::<Area>() });
    }
    let mut key = NO_KEY;
    // SAFETY: the key is written.
    if unsafe { libc::pthread_key_create(&mut key, Some(at_exit)) } == 0
        && AT_EXIT
            .compare_exchange(NO_KEY, key, Relaxed, Relaxed)
            .is_err()
    {
        // SAFETY: another thread was first, and so nobody has this one.
        unsafe { libc::pthread_key_delete(key) };
    }
}

/// Returns whether the area will be unregistered when this thread ends: in the next round of destructors, if it is at them.
/// Whether there is another one cannot be told.
fn unregister_at_exit(area: &'static Area) -> bool {
    let key = AT_EXIT.load(Relaxed);
    // SAFETY: the key is one, and the destructor expects this.
    let set = || unsafe { libc::pthread_setspecific(key, (&raw const *area).cast()) };
    key != NO_KEY && keeping_errno(|| set().into()) == Ok(0)
}

fn unregister(area: &'static Area) {
    if rseq(area, UNREGISTER).is_ok() {
        // What other destructors still do goes by the slow path.
        area.cpu_id.store(REGISTRATION_FAILED, Relaxed);
    }
}

/// How long a registration is to be. New kernels keep to the ways of old ones for one of the original size, which cost
/// more; they say how long their area is, and which alignment that takes follows from it.
fn registered_size() -> usize {
    const AT_RSEQ_FEATURE_SIZE: libc::c_ulong = 27;
    // SAFETY: takes nothing.
    let features = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) } as usize;
    if (ORIGINAL_SIZE + 1..=SIZE).contains(&features) {
        SIZE
    } else {
        ORIGINAL_SIZE
    }
}

/// `rseq(2)`
fn rseq(area: &'static Area, flags: c_int) -> Result<(), Errno> {
    // SAFETY: the area is this thread's, and stays until it is unregistered, by `at_exit`.
    keeping_errno(|| unsafe {
        libc::syscall(
            libc::SYS_rseq,
            &raw const *area,
            registered_size(),
            flags,
            super::SIGNATURE,
        )
    })
    .map(|_| ())
}
