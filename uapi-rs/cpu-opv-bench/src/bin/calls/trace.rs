// SPDX-License-Identifier: MIT OR Apache-2.0

//! Marks for the plugin that counts instructions (ci/bench/trace.c). Elsewhere they do nothing.

use std::arch::asm;

macro_rules! mark {
    ($(#[$doc:meta])* $name:ident, $code:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            // SAFETY: this is a nop, which reads no memory.
            unsafe { asm!(concat!("nop dword ptr [rax + 0x0b0e", $code, "]")) }
        }
    };
}

mark!(
    /// Ends what is counted.
    end, "0000"
);
mark!(
    /// Begins what is counted.
    begin, "0001"
);
mark!(
    /// What comes next belongs to the next row.
    row, "0002"
);
