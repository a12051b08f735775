/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * cpu_opv(2): a vector of operations, run on a chosen CPU atomically with
 * respect to everything else that runs there
 *
 *	int cpu_opv(struct cpu_op *ops, int cpuopcnt, int cpu, int flags);
 *
 * The interface, with its names and constants, was designed by Mathieu
 * Desnoyers.
 *
 * Copyright (c) 2017-2018 Mathieu Desnoyers <mathieu.desnoyers@efficios.com>
 */
#ifndef _UAPI_LINUX_CPU_OPV_H
#define _UAPI_LINUX_CPU_OPV_H

#include <linux/types.h>

/* Size of the arguments of an operation, in bytes. */
#define CPU_OP_ARG_LEN_MAX		24
/* Longest operand of a comparison or a copy, in bytes. */
#define CPU_OP_DATA_LEN_MAX		4096
/* Longest operand of an addition, in bytes. */
#define CPU_OP_ARITHMETIC_DATA_LEN_MAX	8
/* Most operations in a vector. */
#define CPU_OP_VEC_LEN_MAX		4
/* Largest sum of all len of a vector, in bytes. */
#define CPU_OP_VEC_DATA_LEN_MAX						\
	(CPU_OP_DATA_LEN_MAX +						\
	 (CPU_OP_VEC_LEN_MAX - 1) * CPU_OP_ARITHMETIC_DATA_LEN_MAX)

/**
 * enum cpu_op_flags - queries; the other arguments are ignored
 * @CPU_OP_NR_FLAG: return the number of operation types, NR_CPU_OPS
 * @CPU_OP_VEC_LEN_MAX_FLAG: return the most operations in a vector
 */
enum cpu_op_flags {
	CPU_OP_NR_FLAG =		(1U << 0),
	CPU_OP_VEC_LEN_MAX_FLAG =	(1U << 1),
};

/**
 * enum cpu_op_type - what an operation does
 * @CPU_COMPARE_EQ_OP: stop the vector unless @a and @b hold the same bytes
 * @CPU_COMPARE_NE_OP: stop the vector unless @a and @b differ
 * @CPU_MEMCPY_OP: copy @src to @dst, which may overlap, as by memmove(3), also
 *	if one page is mapped twice
 * @CPU_MEMCPY_RELEASE_OP: the same; all earlier accesses of the vector are
 *	ordered before the store
 * @CPU_ADD_OP: add @count, truncated to @len, to the integer at @p, wrapping
 * @CPU_ADD_RELEASE_OP: the same, ordered as CPU_MEMCPY_RELEASE_OP is
 * @NR_CPU_OPS: number of operation types
 */
enum cpu_op_type {
	CPU_COMPARE_EQ_OP,
	CPU_COMPARE_NE_OP,
	CPU_MEMCPY_OP,
	CPU_MEMCPY_RELEASE_OP,
	CPU_ADD_OP,
	CPU_ADD_RELEASE_OP,

	NR_CPU_OPS,
};

/**
 * struct cpu_op - one operation of a vector
 * @op: an enum cpu_op_type
 * @len: bytes in each operand: 0 to CPU_OP_DATA_LEN_MAX for comparisons and
 *	copies; 1, 2, 4 or 8 for additions
 * @u: the operands, as user-space addresses
 *
 * When an operand cannot be accessed, as where a thread would get SIGSEGV or
 * SIGBUS, the call fails with EFAULT, or with EAGAIN if the operand's
 * expect_fault byte is 1. That is 0 or 1, and reserved bytes are 0. An operand
 * outside of the address space is EFAULT in any case, also if @len is 0.
 * Operands of 0 bytes are never accessed, and are equal.
 */
struct cpu_op {
	__s32 op;
	__u32 len;
	union {
		struct {
			__aligned_u64 a;
			__aligned_u64 b;
			__u8 expect_fault_a;
			__u8 expect_fault_b;
			__u8 reserved[6];
		} compare_op;
		struct {
			__aligned_u64 dst;
			__aligned_u64 src;
			__u8 expect_fault_dst;
			__u8 expect_fault_src;
			__u8 reserved[6];
		} memcpy_op;
		struct {
			__aligned_u64 p;
			__s64 count;
			__u8 expect_fault_p;
			__u8 reserved[7];
		} arithmetic_op;
		char __padding[CPU_OP_ARG_LEN_MAX];
	} u;
};

#endif /* _UAPI_LINUX_CPU_OPV_H */
