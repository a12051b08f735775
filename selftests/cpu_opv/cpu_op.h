/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Compare, store, add and copy on a given CPU: what ../rseq/rseq.h does by
 * restartable sequences on the CPU of the caller, by one call of cpu_opv(2).
 *
 * All return 0 if done, a number greater than 0 if a comparison had another
 * outcome, or -errno. Words are intptr_t, as in ../rseq/rseq.h.
 */
#ifndef CPU_OP_H
#define CPU_OP_H

#include "cpu_opv_common.h"

/* Memory order of the last store; with the values of enum rseq_mo. */
enum cpu_op_mo {
	CPU_OP_MO_RELAXED = 0,
	CPU_OP_MO_RELEASE = 3,
};

static inline struct cpu_op op_storev(enum cpu_op_mo mo, intptr_t *v,
				      const intptr_t *newv)
{
	return op_memcpy(mo == CPU_OP_MO_RELEASE ? CPU_MEMCPY_RELEASE_OP :
			 CPU_MEMCPY_OP, v, newv, sizeof(*v));
}

/* if (*v == expect) *v = newv */
static inline int cpu_op_cmpeqv_storev(enum cpu_op_mo mo, intptr_t *v,
				       intptr_t expect, intptr_t newv, int cpu)
{
	struct cpu_op ops[] = {
		op_eq(v, &expect, sizeof(*v)),
		op_storev(mo, v, &newv),
	};

	return cpu_opv(ops, 2, cpu, 0);
}

/*
 * if (*v != expectnot) { *load = *v; *v = *(*v + voffp) }
 *
 * The operations need to know *v before they run. If that has changed, or what
 * it points to is gone, the result is -EAGAIN: to be tried again.
 */
static inline int cpu_op_cmpnev_storeoffp_load(enum cpu_op_mo mo, intptr_t *v,
					       intptr_t expectnot, long voffp,
					       intptr_t *load, int cpu)
{
	intptr_t seen = __atomic_load_n(v, __ATOMIC_RELAXED);
	struct cpu_op ops[] = {
		op_eq(v, &seen, sizeof(*v)),
		op_storev(mo, v, (intptr_t *)(seen + voffp)),
	};
	int ret;

	if (seen == expectnot)
		return 1;
	ops[1].u.memcpy_op.expect_fault_src = 1;
	ret = cpu_opv(ops, 2, cpu, 0);
	if (!ret)
		*load = seen;
	return ret > 0 ? -EAGAIN : ret;
}

/* *v += count */
static inline int cpu_op_addv(enum cpu_op_mo mo, intptr_t *v, intptr_t count,
			      int cpu)
{
	struct cpu_op op = op_arithmetic(mo == CPU_OP_MO_RELEASE ?
					 CPU_ADD_RELEASE_OP : CPU_ADD_OP,
					 v, count, sizeof(*v));

	return cpu_opv(&op, 1, cpu, 0);
}

/* if (*v == expect && *v2 == expect2) *v = newv */
static inline int cpu_op_cmpeqv_cmpeqv_storev(enum cpu_op_mo mo, intptr_t *v,
					      intptr_t expect, intptr_t *v2,
					      intptr_t expect2, intptr_t newv,
					      int cpu)
{
	struct cpu_op ops[] = {
		op_eq(v, &expect, sizeof(*v)),
		op_eq(v2, &expect2, sizeof(*v2)),
		op_storev(mo, v, &newv),
	};

	return cpu_opv(ops, 3, cpu, 0);
}

/* if (*v == expect) { copy len bytes from src to dst; *v = newv } */
static inline int cpu_op_cmpeqv_memcpy_storev(enum cpu_op_mo mo, intptr_t *v,
					      intptr_t expect, void *dst,
					      const void *src, size_t len,
					      intptr_t newv, int cpu)
{
	struct cpu_op ops[] = {
		op_eq(v, &expect, sizeof(*v)),
		op_copy(dst, src, len),
		op_storev(mo, v, &newv),
	};

	return cpu_opv(ops, 3, cpu, 0);
}

#endif /* CPU_OP_H */
