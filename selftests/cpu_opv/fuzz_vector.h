/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vectors of fuzz_test: made at random, for a layout of memory, and
 * printed. Most are good ones whose operands overlap, cross pages and have
 * equal content more often than chance would have it; the others are spoilt
 * here and there.
 */
#ifndef FUZZ_VECTOR_H
#define FUZZ_VECTOR_H

#include <limits.h>
#include <stdio.h>

#include "fuzz_model.h"

#define MAX_OPS		(CPU_OP_VEC_LEN_MAX + 1)

struct vector {
	__u64 seed;
	struct call call;
	struct cpu_op ops[MAX_OPS];
	int nr_ops;		/* in memory, whatever cpuopcnt says */
	enum state states[NR_PAGES];
	/* A byte that is changed before the call, so that all but it is equal. */
	__u64 odd_byte;		/* an address, or 0 */
};

/* What is known while a vector is made. */
struct maker {
	struct rng rng;
	const struct memory *m;
	bool is_spoilt;
	__u32 len_left;		/* of the sum */
	__u64 used[2 * MAX_OPS];	/* addresses, to overlap with */
	int nr_used;
};

/* Whether to spoil something now, if this is a vector for that. */
static bool spoil(struct maker *mk, __u32 nr)
{
	return mk->is_spoilt && one_in(&mk->rng, nr);
}

static __u64 bad_address(struct maker *mk)
{
	struct rng *rng = &mk->rng;

	if (one_in(rng, 3))
		return below(rng, 64);	/* user memory that is not mapped */
	/* What would be good if it were cut off to 32 bits. */
	if (sizeof(long) == 4 && one_in(rng, 2))
		return addr_of(mk->m->base) | 1ULL << 32;
	return -1ULL - below(rng, 64);
}

static __u64 any_address(struct maker *mk, __u32 len)
{
	struct rng *rng = &mk->rng;
	const struct memory *m = mk->m;
	__u64 low = addr_of(m->base);
	__u64 high = low + (NR_PAGES - 1) * m->page_size - 1;
	__u64 addr;

	if (mk->nr_used && one_in(rng, 4)) {
		/* Overlaps another operand. */
		addr = mk->used[below(rng, mk->nr_used)];
		addr += one_in(rng, 2) ? below(rng, 33) - 16ULL :
			below(rng, 2 * len + 1) - (__u64)len;
	} else if (one_in(rng, 3)) {
		/* Crosses a page, or does just not. */
		addr = low + (1 + below(rng, NR_PAGES - 1)) * m->page_size;
		addr -= below(rng, len + 2);
	} else {
		addr = low + below(rng, (NR_PAGES - 1) * m->page_size);
		if (one_in(rng, 2))
			addr &= ~7ULL;
	}
	return addr < low ? low : addr > high ? high : addr;
}

/* The next address from addr on that has the same content as "like". */
static __u64 address_like(const struct memory *m, __u64 addr, __u64 like)
{
	const struct page *page = page_at(m, addr), *other = page_at(m, like);
	size_t pos = page->pos + addr % m->page_size;
	size_t other_pos = other->pos + like % m->page_size;

	return addr + (other_pos % PERIOD + PERIOD - pos % PERIOD) % PERIOD;
}

/* An address for an operand, which has the same content as "like" if not 0. */
static __u64 make_address(struct maker *mk, __u32 len, bool is_written,
			  __u64 like)
{
	int tries = mk->is_spoilt ? 4 : 100;
	__u64 addr;

	if (len > CPU_OP_DATA_LEN_MAX)
		len = CPU_OP_DATA_LEN_MAX;
	if (spoil(mk, 16))
		return bad_address(mk);
	do {
		addr = any_address(mk, len);
		if (like)
			addr = address_like(mk->m, addr, like);
	} while (!is_accessible(mk->m, addr, len, is_written) && --tries);
	if (!page_at(mk->m, addr + CPU_OP_DATA_LEN_MAX))
		addr = addr_of(mk->m->base);
	mk->used[mk->nr_used++] = addr;
	return addr;
}

static __u32 make_len(struct maker *mk, bool is_arithmetic)
{
	struct rng *rng = &mk->rng;
	__u32 max = mk->len_left;
	__u32 len;

	if (spoil(mk, 16))
		return one_in(rng, 2) ? max + 1 : random_number(rng);
	if (max > CPU_OP_DATA_LEN_MAX)
		max = CPU_OP_DATA_LEN_MAX;
	if (is_arithmetic)
		return 1 << below(rng, 4);
	switch (below(rng, 8)) {
	case 0:
		return max;
	case 1:
		return below(rng, max + 1);
	case 2:
		len = below(rng, 257);
		break;
	case 3:
	case 4:
		len = below(rng, 33);
		break;
	default:
		len = 1 << below(rng, 4);
	}
	return len < max ? len : max;
}

static __s64 make_count(struct rng *rng)
{
	switch (below(rng, 4)) {
	case 0:
		return 1;
	case 1:
		return -1;
	case 2:
		return 1ULL << below(rng, 64);
	default:
		return random_number(rng);
	}
}

static __u8 make_expect_fault(struct maker *mk)
{
	if (spoil(mk, 64))
		return random_number(&mk->rng);
	return one_in(&mk->rng, 3);
}

static void make_odd_byte(struct maker *mk, struct vector *v, __u64 addr,
			  __u32 len)
{
	__u32 at = one_in(&mk->rng, 2) ? len - 1 : below(&mk->rng, len);
	const struct page *page = page_at(mk->m, addr + at);

	if (page && is_writable(page))
		v->odd_byte = addr + at;
}

static void make_op(struct maker *mk, struct vector *v, struct cpu_op *op)
{
	struct rng *rng = &mk->rng;
	const struct op_type *type;
	__u64 like = 0;

	op->op = below(rng, NR_CPU_OPS);
	type = &op_types[op->op];
	op->len = make_len(mk, type->is_arithmetic);
	op->u.memcpy_op.dst = make_address(mk, op->len, type->writes_first, 0);
	op->u.memcpy_op.expect_fault_dst = make_expect_fault(mk);
	if (!type->is_arithmetic || spoil(mk, 64))
		op->u.memcpy_op.expect_fault_src = make_expect_fault(mk);
	if (spoil(mk, 64))
		op->u.__padding[CPU_OP_ARG_LEN_MAX - 1 - below(rng, 6)] =
			random_number(rng);
	if (type->is_arithmetic) {
		op->u.arithmetic_op.count = make_count(rng);
	} else {
		if (!type->writes_first && !one_in(rng, 4) &&
		    page_at(mk->m, op->u.compare_op.a))
			like = op->u.compare_op.a;
		op->u.memcpy_op.src = make_address(mk, op->len, false, like);
		if (like && op->len && one_in(rng, 4))
			make_odd_byte(mk, v, one_in(rng, 2) ? like :
				      op->u.compare_op.b, op->len);
	}
	mk->len_left -= op->len < mk->len_left ? op->len : mk->len_left;
	if (spoil(mk, 32))
		op->op = one_in(rng, 2) ? NR_CPU_OPS : (int)random_number(rng);
}

/* Where the vector is: in the first page, unless that is to be spoilt. */
static __u64 make_ops_address(struct maker *mk)
{
	__u64 end = addr_of(mk->m->base) + mk->m->page_size;
	__u32 size = MAX_OPS * sizeof(struct cpu_op);

	if (spoil(mk, 64))
		return (uintptr_t)bad_address(mk);
	if (spoil(mk, 16))
		return end - below(&mk->rng, size);
	return end - size - below(&mk->rng, mk->m->page_size - size + 1);
}

static int random_cpu(struct rng *rng, const cpu_set_t *targets)
{
	int cpu = 0, nth = below(rng, CPU_COUNT(targets));

	for (;; cpu++) {
		if (CPU_ISSET(cpu, targets) && !nth--)
			return cpu;
	}
}

/* Mostly the first CPU: calls to others take longer. */
static int make_cpu(struct maker *mk, const cpu_set_t *targets)
{
	if (spoil(mk, 32))
		return one_in(&mk->rng, 2) ? (int)random_number(&mk->rng) :
			(int)below(&mk->rng, 8);
	return one_in(&mk->rng, 16) ? random_cpu(&mk->rng, targets) :
		nth_cpu(0);
}

static int make_flags(struct maker *mk)
{
	if (spoil(mk, 32))
		return one_in(&mk->rng, 2) ? (int)below(&mk->rng, 4) :
			(int)random_number(&mk->rng);
	return 0;
}

static void make_vector(const struct memory *m, const cpu_set_t *targets,
			__u64 seed, struct vector *v)
{
	struct maker mk = {
		.rng = { seed },
		.m = m,
		.len_left = CPU_OP_VEC_DATA_LEN_MAX,
	};
	int i;

	mk.is_spoilt = one_in(&mk.rng, 3);
	memset(v, 0, sizeof(*v));
	v->seed = seed;
	v->nr_ops = below(&mk.rng, CPU_OP_VEC_LEN_MAX + 1 + mk.is_spoilt);
	for (i = 0; i < v->nr_ops; i++)
		make_op(&mk, v, &v->ops[i]);
	for (i = 0; i < NR_PAGES; i++)
		v->states[i] = one_in(&mk.rng, 2) ? WRITTEN :
			below(&mk.rng, WRITTEN);
	v->call.ops = make_ops_address(&mk);
	v->call.cpuopcnt = spoil(&mk, 32) ? (int)random_number(&mk.rng) :
		v->nr_ops;
	v->call.cpu = make_cpu(&mk, targets);
	v->call.flags = make_flags(&mk);
}

/* "[5 shared]+0x10": region that begins with page 5, offset in it. */
static const char *address_name(const struct memory *m, __u64 addr)
{
	static char names[4][64];
	static int turn;
	char *name = names[turn++ % 4];
	const struct page *page = page_at(m, addr);

	if (page)
		snprintf(name, sizeof(names[0]), "[%d %s]+%#llx", page->first,
			 page->kind->name,
			 (unsigned long long)(addr -
			 addr_of(page_address(m, page->first))));
	else
		snprintf(name, sizeof(names[0]), "%#llx",
			 (unsigned long long)addr);
	return name;
}

#endif /* FUZZ_VECTOR_H */
