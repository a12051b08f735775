/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The model that fuzz_test compares cpu_opv(2) with: what a call has to return
 * and to leave in memory. It is written from the specification of the call,
 * not from its implementation, and does everything in the simplest way.
 *
 * The specification says in which order everything is checked, so there is
 * never more than one right result.
 */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include "fuzz_memory.h"

struct call {
	__u64 ops;		/* an address */
	int cpuopcnt;
	int cpu;
	int flags;
};

/* Where an operation has its operands. */
static const struct op_type {
	const char *name;
	bool is_arithmetic;
	bool writes_first;
} op_types[NR_CPU_OPS] = {
	[CPU_COMPARE_EQ_OP]	= { "COMPARE_EQ",	false,	false },
	[CPU_COMPARE_NE_OP]	= { "COMPARE_NE",	false,	false },
	[CPU_MEMCPY_OP]		= { "MEMCPY",		false,	true },
	[CPU_MEMCPY_RELEASE_OP]	= { "MEMCPY_RELEASE",	false,	true },
	[CPU_ADD_OP]		= { "ADD",		true,	true },
	[CPU_ADD_RELEASE_OP]	= { "ADD_RELEASE",	true,	true },
};

/* An operand, wherever it stands in the union. */
struct operand {
	__u64 addr;
	__u32 len;
	bool is_written;
	bool expect_fault;
};

/* Returns how many operands an operation has: one or two. */
static int operands_of(const struct cpu_op *op, struct operand operands[2])
{
	const struct op_type *type = &op_types[op->op];

	if (type->is_arithmetic) {
		operands[0] = (struct operand) {
			.addr = op->u.arithmetic_op.p,
			.len = op->len,
			.is_written = true,
			.expect_fault = op->u.arithmetic_op.expect_fault_p,
		};
		return 1;
	}
	/* The fields of a copy have the same places as those of a comparison. */
	operands[0] = (struct operand) {
		.addr = op->u.compare_op.a,
		.len = op->len,
		.is_written = type->writes_first,
		.expect_fault = op->u.compare_op.expect_fault_a,
	};
	operands[1] = (struct operand) {
		.addr = op->u.compare_op.b,
		.len = op->len,
		.expect_fault = op->u.compare_op.expect_fault_b,
	};
	return 2;
}

/* There are the pages under test and, at 0, user memory that is not mapped. */
static bool is_user_address(const struct memory *m, __u64 addr)
{
	return page_at(m, addr) || addr < m->page_size;
}

static bool is_accessible(const struct memory *m, __u64 addr, __u32 len,
			  bool is_written)
{
	while (len) {
		const struct page *page = page_at(m, addr);
		__u32 rest = m->page_size - addr % m->page_size;

		if (!page || !page->model || (is_written && !is_writable(page)))
			return false;
		addr += rest;
		len -= rest < len ? rest : len;
	}
	return true;
}

/*
 * Copies between a buffer and the model of a range, which is accessible. One
 * page of the model can be at several addresses.
 */
static void load_or_store(const struct memory *m, __u64 addr, void *buffer,
			  __u32 len, bool is_store)
{
	unsigned char *here = buffer;

	while (len) {
		__u32 offset = addr % m->page_size;
		__u32 rest = m->page_size - offset;
		__u32 piece = len < rest ? len : rest;
		unsigned char *there = page_at(m, addr)->model + offset;

		if (is_store)
			memcpy(there, here, piece);
		else
			memcpy(here, there, piece);
		addr += piece;
		here += piece;
		len -= piece;
	}
}

static void load(const struct memory *m, void *to, __u64 from, __u32 len)
{
	load_or_store(m, from, to, len, false);
}

static void store(const struct memory *m, __u64 to, void *from, __u32 len)
{
	load_or_store(m, to, from, len, true);
}

/* The addresses or numbers, flags that are 0 or 1, and nothing else. */
static bool are_valid_args(const struct cpu_op *op)
{
	const __u8 *arg = (const __u8 *)&op->u;
	int at = 2 * sizeof(__u64);
	int end_of_flags = at + (op_types[op->op].is_arithmetic ? 1 : 2);

	for (; at < CPU_OP_ARG_LEN_MAX; at++) {
		if (arg[at] > 1 || (arg[at] && at >= end_of_flags))
			return false;
	}
	return true;
}

static bool is_valid_op(const struct cpu_op *op)
{
	if (op->op < 0 || op->op >= NR_CPU_OPS || !are_valid_args(op))
		return false;
	if (op_types[op->op].is_arithmetic)
		return op->len == 1 || op->len == 2 || op->len == 4 ||
		       op->len == 8;
	return op->len <= CPU_OP_DATA_LEN_MAX;
}

static int check_operations(const struct cpu_op *ops, int nr)
{
	__u64 sum = 0;
	int i;

	for (i = 0; i < nr; i++) {
		if (!is_valid_op(&ops[i]))
			return -EINVAL;
		sum += ops[i].len;
	}
	return sum > CPU_OP_VEC_DATA_LEN_MAX ? -EINVAL : 0;
}

static int check_address(const struct memory *m, const struct operand *o)
{
	return is_user_address(m, o->addr) ? 0 : -EFAULT;
}

static int check_access(const struct memory *m, const struct operand *o)
{
	if (is_accessible(m, o->addr, o->len, o->is_written))
		return 0;
	return o->expect_fault ? -EAGAIN : -EFAULT;
}

/* Of all operands of a vector, in its order, with the first error. */
static int check_operands(const struct memory *m, const struct cpu_op *ops,
			  int nr, int (*check)(const struct memory *m,
					       const struct operand *o))
{
	struct operand operands[2];
	int i, n, ret = 0;

	for (i = 0; i < nr && !ret; i++) {
		int nr_operands = operands_of(&ops[i], operands);

		for (n = 0; n < nr_operands && !ret; n++)
			ret = check(m, &operands[n]);
	}
	return ret;
}

/* Returns whether the vector goes on. */
static bool run_operation(const struct memory *m, const struct cpu_op *op)
{
	unsigned char a[CPU_OP_DATA_LEN_MAX], b[CPU_OP_DATA_LEN_MAX];

	switch (op->op) {
	case CPU_COMPARE_EQ_OP:
	case CPU_COMPARE_NE_OP:
		load(m, a, op->u.compare_op.a, op->len);
		load(m, b, op->u.compare_op.b, op->len);
		return !memcmp(a, b, op->len) == (op->op == CPU_COMPARE_EQ_OP);
	case CPU_MEMCPY_OP:
	case CPU_MEMCPY_RELEASE_OP:
		load(m, a, op->u.memcpy_op.src, op->len);
		store(m, op->u.memcpy_op.dst, a, op->len);
		return true;
	default:
		load(m, a, op->u.arithmetic_op.p, op->len);
		put_integer(a, get_integer(a, op->len) +
			    op->u.arithmetic_op.count, op->len);
		store(m, op->u.arithmetic_op.p, a, op->len);
		return true;
	}
}

/* The result of the call, or -errno. */
static int model_cpu_opv(const struct memory *m, const cpu_set_t *targets,
			 const struct call *call)
{
	struct cpu_op ops[CPU_OP_VEC_LEN_MAX];
	int i, ret, nr = call->cpuopcnt;

	if (call->flags == CPU_OP_NR_FLAG)
		return NR_CPU_OPS;
	if (call->flags == CPU_OP_VEC_LEN_MAX_FLAG)
		return CPU_OP_VEC_LEN_MAX;
	if (call->flags || nr < 0 || nr > CPU_OP_VEC_LEN_MAX)
		return -EINVAL;
	if (call->cpu < 0 || call->cpu >= CPU_SETSIZE ||
	    !CPU_ISSET(call->cpu, targets))
		return -EINVAL;
	if (!is_accessible(m, call->ops, nr * sizeof(*ops), false))
		return -EFAULT;
	load(m, ops, call->ops, nr * sizeof(*ops));

	ret = check_operations(ops, nr) ?:
	      check_operands(m, ops, nr, check_address) ?:
	      check_operands(m, ops, nr, check_access);
	if (ret)
		return ret;
	for (i = 0; i < nr; i++) {
		if (!run_operation(m, &ops[i]))
			return i + 1;
	}
	return 0;
}

#endif /* FUZZ_MODEL_H */
