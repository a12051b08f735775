// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each field lies where the kernel looks for it.

use core::mem::{MaybeUninit, offset_of};
use cpu_opv_sys::*;

const SIZE: usize = size_of::<cpu_op>();

/// What the kernel reads after `set` has set a field, all else being 0.
fn bytes_after(set: impl FnOnce(&mut cpu_op)) -> [u8; SIZE] {
    let mut op = MaybeUninit::<cpu_op>::zeroed();
    // SAFETY: a cpu_op of zeroes is valid.
    set(unsafe { op.assume_init_mut() });
    // SAFETY: all bytes are initialised: to zero, and some again by `set`.
    unsafe { op.as_ptr().cast::<[u8; SIZE]>().read() }
}

/// Checks the table of offsets at compile time, and then by writing each field.
macro_rules! layout {
    ($($offset:literal: $type:ident $($field:ident).+;)*) => {
        $(const _: () = assert!(offset_of!(cpu_op, $($field).+) == $offset);)*

        #[test]
        fn each_field_is_written_where_the_kernel_reads_it() {
            $({
                let value = 0x8182_8384_8586_8788_u64 as $type;
                let bytes = value.to_ne_bytes();
                let mut expected = [0; SIZE];
                expected[$offset..$offset + bytes.len()].copy_from_slice(&bytes);
                assert_eq!(bytes_after(|op| op.$($field).+ = value), expected, stringify!($($field).+));
            })*
        }
    };
}

layout! {
    0: i32 op;
    4: u32 len;
    8: u64 u.compare_op.a;
    16: u64 u.compare_op.b;
    24: u8 u.compare_op.expect_fault_a;
    25: u8 u.compare_op.expect_fault_b;
    8: u64 u.memcpy_op.dst;
    16: u64 u.memcpy_op.src;
    24: u8 u.memcpy_op.expect_fault_dst;
    25: u8 u.memcpy_op.expect_fault_src;
    8: u64 u.arithmetic_op.p;
    16: i64 u.arithmetic_op.count;
    24: u8 u.arithmetic_op.expect_fault_p;
}

const _: () = assert!(size_of::<cpu_op>() == 32);
const _: () = assert!(size_of::<cpu_op__u>() == CPU_OP_ARG_LEN_MAX);
const _: () = assert!(align_of::<cpu_op>() == 8);

/// The kernel walks the vector in steps of 32 bytes.
#[test]
fn a_vector_has_no_gaps() {
    let add = cpu_op {
        op: CPU_ADD_OP,
        len: 8,
        u: cpu_op__u {
            arithmetic_op: cpu_op__arithmetic_op::default(),
        },
    };
    let vector = [add; CPU_OP_VEC_LEN_MAX as usize];
    for (index, op) in vector.iter().enumerate() {
        let distance = (&raw const *op).addr() - vector.as_ptr().addr();
        assert_eq!(distance, 32 * index);
    }
    assert_eq!(size_of_val(&vector), 128);
}

/// With the operands that its operation has.
#[test]
fn an_operation_can_be_printed() {
    let compare_op = cpu_op__compare_op {
        a: 71,
        ..Default::default()
    };
    let compare = |op| cpu_op {
        op,
        len: 8,
        u: cpu_op__u { compare_op },
    };
    let printed = format!("{:?}", compare(CPU_COMPARE_NE_OP));
    assert!(
        printed.contains("len: 8") && printed.contains("a: 71"),
        "{printed}"
    );
    let printed = format!("{:?}", compare(CPU_ADD_OP));
    assert!(printed.contains("p: 71"), "{printed}");
    let printed = format!("{:?}", compare(-1));
    assert!(printed.contains("op: -1"), "{printed}");
}
