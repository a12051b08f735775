// SPDX-License-Identifier: MIT OR Apache-2.0

use cpu_opv_sys::{CPU_OP_NR_FLAG, NR_CPU_OPS, cpu_opv};
use std::{fs, io, ptr};

/// Whether this kernel has the call, by the name of its release: no other one may be asked.
pub fn says_so() -> io::Result<bool> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?.contains("cpu_opv"))
}

/// The same, and it knows all operations.
pub fn has_cpu_opv() -> io::Result<bool> {
    // SAFETY: a query looks at no memory.
    let operations = || unsafe { cpu_opv(ptr::null(), 0, 0, CPU_OP_NR_FLAG) };
    Ok(says_so()? && operations() >= NR_CPU_OPS)
}
