// SPDX-License-Identifier: MIT OR Apache-2.0

//! Write protection by userfaultfd(2), of which libc has no definitions.

const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
const UFFDIO_WRITEPROTECT: libc::c_ulong = 0xc018_aa06;
const MODE_WP: u64 = 2;
const WP: u64 = 1;

pub struct WriteProtection(i32);

impl WriteProtection {
    pub fn new() -> Self {
        // SAFETY: takes no addresses.
        let fd =
            unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
        let this = Self(fd as i32);
        this.control(UFFDIO_API, &mut [UFFD_API, 0, 0]);
        this
    }

    fn control<const N: usize>(&self, request: libc::c_ulong, argument: &mut [u64; N]) {
        // SAFETY: the argument has the size that is in the request.
        let result = unsafe { libc::ioctl(self.0, request as _, argument.as_mut_ptr()) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// Has this memory watched, which was not yet.
    pub fn watch(&self, start: *mut libc::c_void, len: usize) {
        self.control(UFFDIO_REGISTER, &mut [start as u64, len as u64, MODE_WP, 0]);
    }

    /// Protects it, or lets all go on that wait to write to it.
    pub fn set(&self, start: *mut libc::c_void, len: usize, protected: bool) {
        let mode = if protected { WP } else { 0 };
        self.control(UFFDIO_WRITEPROTECT, &mut [start as u64, len as u64, mode]);
        if !protected {
            let mut message = [0u8; 32];
            // SAFETY: there is room for a message.
            while unsafe { libc::read(self.0, message.as_mut_ptr().cast(), message.len()) } > 0 {}
        }
    }

    /// Whether somebody waits to write to it.
    pub fn has_faults(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.0,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: it is one.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }
}

impl Drop for WriteProtection {
    fn drop(&mut self) {
        // SAFETY: it is this value's.
        unsafe { libc::close(self.0) };
    }
}
