// SPDX-License-Identifier: MIT OR Apache-2.0

//! The crate against the C header, compared with what bindgen makes of it
//! (`regenerate.sh`): names, values, sizes, alignments, offsets, types.
//!
//! The generated files assert by themselves that the ABI they are compiled for
//! lays out the structures as clang does.

use core::mem::offset_of;
use cpu_opv_sys as sys;

#[rustfmt::skip]
#[allow(dead_code, non_camel_case_types)]
#[cfg_attr(target_arch = "x86", path = "header/i386.rs")]
#[cfg_attr(not(target_arch = "x86"), path = "header/x86_64.rs")]
mod header;

macro_rules! same_constants {
    ($($name:ident)*) => {$(
        const _: () = assert!(sys::$name as i64 == header::$name as i64, stringify!($name));
    )*};
}

same_constants! {
    CPU_OP_ARG_LEN_MAX
    CPU_OP_DATA_LEN_MAX
    CPU_OP_ARITHMETIC_DATA_LEN_MAX
    CPU_OP_VEC_LEN_MAX
    CPU_OP_VEC_DATA_LEN_MAX
    CPU_OP_NR_FLAG
    CPU_OP_VEC_LEN_MAX_FLAG
    CPU_COMPARE_EQ_OP
    CPU_COMPARE_NE_OP
    CPU_MEMCPY_OP
    CPU_MEMCPY_RELEASE_OP
    CPU_ADD_OP
    CPU_ADD_RELEASE_OP
    NR_CPU_OPS
}

macro_rules! same_layout {
    ($ours:ident, $theirs:ident, $($field:ident)*) => {
        const _: () = {
            assert!(size_of::<sys::$ours>() == size_of::<header::$theirs>(), stringify!($ours));
            assert!(align_of::<sys::$ours>() == align_of::<header::$theirs>(), stringify!($ours));
            $(assert!(
                offset_of!(sys::$ours, $field) == offset_of!(header::$theirs, $field),
                concat!(stringify!($ours), "::", stringify!($field)),
            );)*
        };
    };
}

/// As `same_layout`, and the fields have the same types, which is to compile.
macro_rules! same_struct {
    ($ours:ident, $theirs:ident, $($field:ident)*) => {
        same_layout!($ours, $theirs, $($field)*);
        const _: fn(header::$theirs) -> sys::$ours =
            |header::$theirs { $($field),* }| sys::$ours { $($field),* };
    };
}

same_layout!(cpu_op, cpu_op, op len u);
same_layout!(cpu_op__u, cpu_op__bindgen_ty_1, compare_op memcpy_op arithmetic_op __padding);
same_struct!(cpu_op__compare_op, cpu_op__bindgen_ty_1__bindgen_ty_1, a b expect_fault_a expect_fault_b reserved);
same_struct!(cpu_op__memcpy_op, cpu_op__bindgen_ty_1__bindgen_ty_2, dst src expect_fault_dst expect_fault_src reserved);
same_struct!(cpu_op__arithmetic_op, cpu_op__bindgen_ty_1__bindgen_ty_3, p count expect_fault_p reserved);
same_layout!(cpu_op_flags, cpu_op_flags,);
same_layout!(cpu_op_type, cpu_op_type,);

/// The names of the constants and the fields that `source` declares.
fn declared(source: &str) -> Vec<&str> {
    let mut names: Vec<_> = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("pub ")?.split_once(": "))
        .map(|(item, _type)| item.trim_start_matches("const "))
        .collect();
    names.sort();
    names
}

/// A name that only the header has would escape the tables above.
#[test]
fn nothing_of_the_header_is_missing() {
    let mut ours = declared(include_str!("../src/lib.rs"));
    ours.retain(|&name| name != "SYS_cpu_opv");
    let theirs = declared(include_str!("header/x86_64.rs"));
    assert_eq!(ours, theirs, "names in lib.rs and in the header");
}
