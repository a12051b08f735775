// SPDX-License-Identifier: MIT OR Apache-2.0

pub const CPU_OP_ARG_LEN_MAX: u32 = 24;
pub const CPU_OP_DATA_LEN_MAX: u32 = 4096;
pub const CPU_OP_ARITHMETIC_DATA_LEN_MAX: u32 = 8;
pub const CPU_OP_VEC_LEN_MAX: u32 = 4;
pub const CPU_OP_VEC_DATA_LEN_MAX: u32 = 4120;
pub type __u8 = ::core::ffi::c_uchar;
pub type __s32 = ::core::ffi::c_int;
pub type __u32 = ::core::ffi::c_uint;
pub type __s64 = ::core::ffi::c_longlong;
pub type __u64 = ::core::ffi::c_ulonglong;
pub const CPU_OP_NR_FLAG: cpu_op_flags = 1;
pub const CPU_OP_VEC_LEN_MAX_FLAG: cpu_op_flags = 2;
pub type cpu_op_flags = ::core::ffi::c_uint;
pub const CPU_COMPARE_EQ_OP: cpu_op_type = 0;
pub const CPU_COMPARE_NE_OP: cpu_op_type = 1;
pub const CPU_MEMCPY_OP: cpu_op_type = 2;
pub const CPU_MEMCPY_RELEASE_OP: cpu_op_type = 3;
pub const CPU_ADD_OP: cpu_op_type = 4;
pub const CPU_ADD_RELEASE_OP: cpu_op_type = 5;
pub const NR_CPU_OPS: cpu_op_type = 6;
pub type cpu_op_type = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Copy, Clone)]
pub struct cpu_op {
    pub op: __s32,
    pub len: __u32,
    pub u: cpu_op__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union cpu_op__bindgen_ty_1 {
    pub compare_op: cpu_op__bindgen_ty_1__bindgen_ty_1,
    pub memcpy_op: cpu_op__bindgen_ty_1__bindgen_ty_2,
    pub arithmetic_op: cpu_op__bindgen_ty_1__bindgen_ty_3,
    pub __padding: [::core::ffi::c_char; 24usize],
}
#[repr(C)]
#[derive(Copy, Clone)]
pub struct cpu_op__bindgen_ty_1__bindgen_ty_1 {
    pub a: __u64,
    pub b: __u64,
    pub expect_fault_a: __u8,
    pub expect_fault_b: __u8,
    pub reserved: [__u8; 6usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of cpu_op__bindgen_ty_1__bindgen_ty_1",
    ][::core::mem::size_of::<cpu_op__bindgen_ty_1__bindgen_ty_1>() - 24usize];
    [
        "Alignment of cpu_op__bindgen_ty_1__bindgen_ty_1",
    ][::core::mem::align_of::<cpu_op__bindgen_ty_1__bindgen_ty_1>() - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_1::a",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_1, a) - 0usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_1::b",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_1, b) - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_1::expect_fault_a",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_1, expect_fault_a)
        - 16usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_1::expect_fault_b",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_1, expect_fault_b)
        - 17usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_1::reserved",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_1, reserved) - 18usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct cpu_op__bindgen_ty_1__bindgen_ty_2 {
    pub dst: __u64,
    pub src: __u64,
    pub expect_fault_dst: __u8,
    pub expect_fault_src: __u8,
    pub reserved: [__u8; 6usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of cpu_op__bindgen_ty_1__bindgen_ty_2",
    ][::core::mem::size_of::<cpu_op__bindgen_ty_1__bindgen_ty_2>() - 24usize];
    [
        "Alignment of cpu_op__bindgen_ty_1__bindgen_ty_2",
    ][::core::mem::align_of::<cpu_op__bindgen_ty_1__bindgen_ty_2>() - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_2::dst",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_2, dst) - 0usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_2::src",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_2, src) - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_2::expect_fault_dst",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_2, expect_fault_dst)
        - 16usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_2::expect_fault_src",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_2, expect_fault_src)
        - 17usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_2::reserved",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_2, reserved) - 18usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct cpu_op__bindgen_ty_1__bindgen_ty_3 {
    pub p: __u64,
    pub count: __s64,
    pub expect_fault_p: __u8,
    pub reserved: [__u8; 7usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of cpu_op__bindgen_ty_1__bindgen_ty_3",
    ][::core::mem::size_of::<cpu_op__bindgen_ty_1__bindgen_ty_3>() - 24usize];
    [
        "Alignment of cpu_op__bindgen_ty_1__bindgen_ty_3",
    ][::core::mem::align_of::<cpu_op__bindgen_ty_1__bindgen_ty_3>() - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_3::p",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_3, p) - 0usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_3::count",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_3, count) - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_3::expect_fault_p",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_3, expect_fault_p)
        - 16usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1__bindgen_ty_3::reserved",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1__bindgen_ty_3, reserved) - 17usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    [
        "Size of cpu_op__bindgen_ty_1",
    ][::core::mem::size_of::<cpu_op__bindgen_ty_1>() - 24usize];
    [
        "Alignment of cpu_op__bindgen_ty_1",
    ][::core::mem::align_of::<cpu_op__bindgen_ty_1>() - 8usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1::compare_op",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1, compare_op) - 0usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1::memcpy_op",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1, memcpy_op) - 0usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1::arithmetic_op",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1, arithmetic_op) - 0usize];
    [
        "Offset of field: cpu_op__bindgen_ty_1::__padding",
    ][::core::mem::offset_of!(cpu_op__bindgen_ty_1, __padding) - 0usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of cpu_op"][::core::mem::size_of::<cpu_op>() - 32usize];
    ["Alignment of cpu_op"][::core::mem::align_of::<cpu_op>() - 8usize];
    ["Offset of field: cpu_op::op"][::core::mem::offset_of!(cpu_op, op) - 0usize];
    ["Offset of field: cpu_op::len"][::core::mem::offset_of!(cpu_op, len) - 4usize];
    ["Offset of field: cpu_op::u"][::core::mem::offset_of!(cpu_op, u) - 8usize];
};
