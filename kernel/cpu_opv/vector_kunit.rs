// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of what a vector may be, and of the pages that it needs.

use super::{
    pages::{
        Wanted,
        WantedPages, //
    },
    vector::{
        RawOp,
        Vector, //
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    uapi, //
};

const EQ: i32 = uapi::cpu_op_type_CPU_COMPARE_EQ_OP as i32;
const COPY: i32 = uapi::cpu_op_type_CPU_MEMCPY_OP as i32;
const ADD: i32 = uapi::cpu_op_type_CPU_ADD_OP as i32;
const NR_OPS: i32 = uapi::cpu_op_type_NR_CPU_OPS as i32;

fn raw(op: i32, len: u32, first: u64, second: u64) -> RawOp {
    RawOp {
        op,
        len,
        first,
        second,
        ..RawOp::default()
    }
}

/// The end of an address space for the tests.
const LIMIT: usize = 0x4000_0000;

fn untag(addr: usize, len: usize) -> Option<usize> {
    (addr <= LIMIT && len <= LIMIT - addr).then_some(addr)
}

fn parse(ops: &[RawOp]) -> Result<Vector> {
    let mut vector = Vector::default();
    vector.parse(ops, untag)?;
    Ok(vector)
}

fn parse_error(ops: &[RawOp]) -> Option<Error> {
    parse(ops).err()
}

#[kunit_tests(cpu_opv_vector)]
mod tests {
    use super::*;

    #[test]
    fn operation_and_length() {
        let op_error = |op, len| parse_error(&[raw(op, len, 0, 0)]);

        for op in [-1, NR_OPS, i32::MIN, i32::MAX] {
            assert_eq!(op_error(op, 0), Some(EINVAL));
        }
        for op in EQ..ADD {
            assert_eq!(op_error(op, 0), None);
            assert_eq!(op_error(op, 4096), None);
            assert_eq!(op_error(op, 4097), Some(EINVAL));
            assert_eq!(op_error(op, u32::MAX), Some(EINVAL));
        }
        for op in ADD..NR_OPS {
            for len in 0..=16 {
                let valid = matches!(len, 1 | 2 | 4 | 8);
                assert_eq!(op_error(op, len).is_none(), valid);
            }
            assert_eq!(op_error(op, 4096), Some(EINVAL));
        }
    }

    #[test]
    fn reserved_bytes() {
        for op in EQ..NR_OPS {
            let good = raw(op, 8, 0, 0);

            for at in 0..good.reserved.len() {
                let mut bad = good;
                bad.reserved[at] = 1;
                assert_eq!(parse_error(&[bad]), Some(EINVAL));
            }
            for value in [0, 1, 2, 0x80, 0xff] {
                let (mut first, mut second) = (good, good);
                first.expect_fault_first = value;
                assert_eq!(parse_error(&[first]).is_none(), value <= 1);
                second.expect_fault_second = value;
                let valid = value <= 1 && (op < ADD || value == 0);
                assert_eq!(parse_error(&[second]).is_none(), valid);
            }
        }
    }

    #[test]
    fn sum_of_lengths() {
        let with_first = |len| {
            let add = raw(ADD, 8, 0, 0);
            parse_error(&[raw(COPY, len, 0, 0), add, add, raw(EQ, 8, 0, 0)])
        };

        assert_eq!(with_first(4096), None);
        let long = raw(COPY, 2061, 0, 0);
        assert_eq!(parse_error(&[long, long]), Some(EINVAL));
        let fits = raw(COPY, 2060, 0, 0);
        assert_eq!(parse_error(&[fits, fits]), None);
        assert_eq!(parse_error(&[fits, fits, raw(ADD, 1, 0, 0)]), Some(EINVAL));
    }

    #[test]
    fn address_range() {
        let limit = LIMIT as u64;

        for (addr, len, error) in [
            (0, 8, None),
            (limit - 8, 8, None),
            (limit - 7, 8, Some(EFAULT)),
            (limit, 0, None),
            (limit, 1, Some(EFAULT)),
            (limit + 1, 0, Some(EFAULT)),
            (u64::MAX, 1, Some(EFAULT)),
            (u64::MAX, 0, Some(EFAULT)),
            (u64::MAX - 4095, 4096, Some(EFAULT)),
        ] {
            assert_eq!(parse_error(&[raw(EQ, len, addr, 0)]), error);
            assert_eq!(parse_error(&[raw(COPY, len, 0, addr)]), error);
        }
    }

    #[test]
    fn bad_operation_before_bad_address() {
        assert_eq!(
            parse_error(&[raw(EQ, 8, u64::MAX, 0), raw(NR_OPS, 8, 0, 0)]),
            Some(EINVAL)
        );
    }

    #[test]
    fn operands_in_order() -> Result {
        let vector = parse(&[raw(EQ, 8, 1, 2), raw(COPY, 8, 3, 4), raw(ADD, 8, 5, 6)])?;

        let addrs = vector
            .operands()
            .map(|(operand, write)| (operand.addr, write));
        assert!(addrs.eq([(1, false), (2, false), (3, true), (4, false), (5, true)]));
        Ok(())
    }

    #[test]
    fn operand_in_pages() -> Result {
        let page = PAGE_SIZE as u64;

        for (addr, len, pages) in [
            (page, 0, &[][..]),
            (2 * page - 1, 0, &[]),
            (page, 1, &[PAGE_SIZE]),
            (2 * page - 8, 8, &[PAGE_SIZE]),
            (2 * page - 7, 8, &[PAGE_SIZE, 2 * PAGE_SIZE]),
            (2 * page - 1, 4096, &[PAGE_SIZE, 2 * PAGE_SIZE]),
        ] {
            let vector = parse(&[raw(EQ, len, addr, 0)])?;
            let (operand, _) = vector.operands().next().ok_or(EINVAL)?;
            assert!(operand.pages().eq(pages.iter().copied()));
        }
        Ok(())
    }

    #[test]
    fn page_is_collected_once() -> Result {
        let page = PAGE_SIZE as u64;
        let vector = parse(&[
            raw(EQ, 8, page, 5 * page),
            raw(COPY, 16, 2 * page - 8, 4 * page),
            raw(ADD, 8, page + 128, 1),
        ])?;

        let wanted = |number, write, index| Wanted {
            addr: number * PAGE_SIZE,
            write,
            index,
        };
        let mut pages = WantedPages::default();
        pages.add(&vector);
        assert!(
            pages[..]
                == [
                    wanted(1, true, 0),
                    wanted(5, false, 0),
                    wanted(2, true, 1),
                    wanted(4, false, 1),
                ]
        );
        Ok(())
    }
}
