/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The operations of cpu_op.h on the data of any CPU: by a restartable sequence
 * if that is the CPU of the caller, by cpu_opv(2) if it is not, or if the
 * sequence was aborted too often.
 *
 * A sequence can be aborted for ever (by a debugger that single-steps) and
 * cannot work on the data of another CPU. cpu_opv(2) can, and aborts the
 * sequences there that it would disturb.
 */
#ifndef PERCPU_OP_H
#define PERCPU_OP_H

#include <linux/init.h>
#include <stdatomic.h>

#include "cpu_op.h"
#include "rseq.h"

static_assert((int)CPU_OP_MO_RELAXED == (int)RSEQ_MO_RELAXED &&
	      (int)CPU_OP_MO_RELEASE == (int)RSEQ_MO_RELEASE,
	      "cpu_op.h has the values of rseq.h");

/* After how many aborts cpu_opv(2) takes over; at once if there is no rseq. */
static int percpu_op_attempts = 2;

static __thread unsigned long percpu_op_calls;	/* of cpu_opv(2) */

/*
 * Critical sections are next to __rseq_failure, which the branches of some
 * architectures do not reach across a C library that is linked statically.
 */
#define PERCPU_OP static noinline __maybe_unused __section("rseq_text") int

#define percpu_op(cpu, sequence, vector) ({				\
	int ret_ = -1, attempt_;					\
									\
	for (attempt_ = 0; attempt_ < percpu_op_attempts && ret_ < 0 &&	\
	     rseq_current_cpu_raw() == (cpu); attempt_++)		\
		ret_ = (sequence);					\
	if (ret_ < 0) {							\
		percpu_op_calls++;					\
		ret_ = (vector);					\
	}								\
	ret_;								\
})

/* For sequences that have no release form. */
static inline void percpu_op_release(enum cpu_op_mo mo)
{
	if (mo == CPU_OP_MO_RELEASE)
		atomic_thread_fence(memory_order_release);
}

/* if (*v == expect) *v = newv */
PERCPU_OP percpu_cmpeqv_storev(enum cpu_op_mo mo, intptr_t *v, intptr_t expect,
			       intptr_t newv, int cpu)
{
	percpu_op_release(mo);
	return percpu_op(cpu,
			 rseq_cmpeqv_storev(RSEQ_MO_RELAXED, RSEQ_PERCPU_CPU_ID,
					    v, expect, newv, cpu),
			 cpu_op_cmpeqv_storev(mo, v, expect, newv, cpu));
}

/* if (*v != expectnot) { *load = *v; *v = *(*v + voffp) } */
PERCPU_OP percpu_cmpnev_storeoffp_load(enum cpu_op_mo mo, intptr_t *v,
				       intptr_t expectnot, long voffp,
				       intptr_t *load, int cpu)
{
	int ret;

	percpu_op_release(mo);
	do {
		ret = percpu_op(cpu,
				rseq_cmpnev_storeoffp_load(RSEQ_MO_RELAXED,
							   RSEQ_PERCPU_CPU_ID,
							   v, expectnot, voffp,
							   load, cpu),
				cpu_op_cmpnev_storeoffp_load(mo, v, expectnot,
							     voffp, load, cpu));
	} while (ret == -EAGAIN);
	return ret;
}

/* *v += count */
PERCPU_OP percpu_addv(enum cpu_op_mo mo, intptr_t *v, intptr_t count, int cpu)
{
	percpu_op_release(mo);
	return percpu_op(cpu,
			 rseq_addv(RSEQ_MO_RELAXED, RSEQ_PERCPU_CPU_ID, v,
				   count, cpu),
			 cpu_op_addv(mo, v, count, cpu));
}

/* if (*v == expect && *v2 == expect2) *v = newv */
PERCPU_OP percpu_cmpeqv_cmpeqv_storev(enum cpu_op_mo mo, intptr_t *v,
				      intptr_t expect, intptr_t *v2,
				      intptr_t expect2, intptr_t newv, int cpu)
{
	percpu_op_release(mo);
	return percpu_op(cpu,
			 rseq_cmpeqv_cmpeqv_storev(RSEQ_MO_RELAXED,
						   RSEQ_PERCPU_CPU_ID, v,
						   expect, v2, expect2, newv,
						   cpu),
			 cpu_op_cmpeqv_cmpeqv_storev(mo, v, expect, v2, expect2,
						     newv, cpu));
}

/* if (*v == expect) { *v2 = newv2; *v = newv } */
PERCPU_OP percpu_cmpeqv_storev_storev(enum cpu_op_mo mo, intptr_t *v,
				      intptr_t expect, intptr_t *v2,
				      intptr_t newv2, intptr_t newv, int cpu)
{
	return percpu_op(cpu,
			 rseq_cmpeqv_trystorev_storev((enum rseq_mo)mo,
						      RSEQ_PERCPU_CPU_ID, v,
						      expect, v2, newv2, newv,
						      cpu),
			 cpu_op_cmpeqv_memcpy_storev(mo, v, expect, v2, &newv2,
						     sizeof(newv2), newv, cpu));
}

/* if (*v == expect) { copy len bytes from src to dst; *v = newv } */
PERCPU_OP percpu_cmpeqv_memcpy_storev(enum cpu_op_mo mo, intptr_t *v,
				      intptr_t expect, void *dst, void *src,
				      size_t len, intptr_t newv, int cpu)
{
	return percpu_op(cpu,
			 rseq_cmpeqv_trymemcpy_storev((enum rseq_mo)mo,
						      RSEQ_PERCPU_CPU_ID, v,
						      expect, dst, src, len,
						      newv, cpu),
			 cpu_op_cmpeqv_memcpy_storev(mo, v, expect, dst, src,
						     len, newv, cpu));
}

#endif /* PERCPU_OP_H */
