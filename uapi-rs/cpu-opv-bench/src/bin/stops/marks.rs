// SPDX-License-Identifier: MIT OR Apache-2.0

//! Marks for the plugin that stops CPUs (ci/stops/stop.c, which says what each is for). Elsewhere they do nothing.

use std::arch::asm;

macro_rules! marks {
    ($($name:ident $code:literal)*) => {$(
        #[inline(always)]
        pub fn $name() {
            // SAFETY: this is a nop, which reads no memory.
            unsafe { asm!(concat!("nop dword ptr [rax + 0x0b0e00", $code, "]")) }
        }
    )*};
}

marks! {
    case "10"
    user "11"
    arm "12"
    disarm "13"
    target "14"
    no_target "15"
    wait "16"
    done "17"
    skip "18"
}
