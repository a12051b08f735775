// SPDX-License-Identifier: GPL-2.0
/*
 * Random vectors on random memory: cpu_opv(2) has to return what a model of it
 * returns, and to leave the memory as the model does.
 *
 * A vector depends on its seed alone. One that fails is made smaller as long
 * as it still fails, and printed. CPU_OPV_SEED=SEED runs and prints one vector.
 */
#include "cpu_opv_common.h"
#include "fuzz_vector.h"
#include "kselftest_harness.h"
#include "cpu_hotplug.h"

#define RUN_USEC	1000000
#define MIN_VECTORS	1000	/* on a slow machine */
#define VECTORS_PER_LAYOUT	64

FIXTURE(fuzz)
{
	struct memory m;
	cpu_set_t targets;	/* CPUs that may be named */
};

struct outcome {
	int ret, expected;
	const unsigned char *difference;	/* in memory, or NULL */
};

static bool is_wrong(const struct outcome *outcome)
{
	return outcome->ret != outcome->expected || outcome->difference;
}

FIXTURE_SETUP(fuzz)
{
	const char *missing = make_memory(&self->m);
	int last = nth_cpu(nr_cpus() - 1);
	cpu_set_t allowed, offline = cpus_offline();

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (missing)
		SKIP(return, "%s", missing);
	/* The caller may not run on the last CPU, if there are several. */
	ASSERT_EQ(0, sched_getaffinity(0, sizeof(allowed), &allowed));
	if (nr_cpus() > 2)
		CPU_CLR(last, &allowed);
	ASSERT_EQ(0, pin_to(nth_cpu(0)));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(allowed), &allowed));
	CPU_OR(&self->targets, &allowed, &offline);
}

FIXTURE_TEARDOWN(fuzz)
{
}

/* Which pages a range is in, bit by bit. */
static __u32 pages_of(const struct memory *m, __u64 addr, __u32 len)
{
	__u64 offset = addr - addr_of(m->base);
	__u32 nr, pages = 0;

	if (!page_at(m, addr) || !len)
		return 0;
	if (len > CPU_OP_DATA_LEN_MAX)
		len = CPU_OP_DATA_LEN_MAX;
	for (nr = offset / m->page_size;
	     nr < NR_PAGES && nr * m->page_size < offset + len; nr++)
		pages |= 1 << nr;
	return pages;
}

/* Writes to memory and to the model, as far as the range is writable. */
static void put(struct memory *m, __u64 to, void *from, __u32 len)
{
	while (len && !is_accessible(m, to, len, true))
		len--;
	memcpy((void *)(uintptr_t)to, from, len);
	store(m, to, from, len);
}

/* Brings the pages that a vector uses to the state that it is to find. */
static void prepare(struct memory *m, struct vector *v)
{
	__u32 pages = 1;
	unsigned char odd;
	int i;

	for (i = 0; i < v->nr_ops; i++) {
		const struct cpu_op *op = &v->ops[i];

		pages |= pages_of(m, op->u.memcpy_op.dst, op->len);
		pages |= pages_of(m, op->u.memcpy_op.src, op->len);
	}
	for (i = 0; i < NR_PAGES; i++) {
		if (pages & 1 << i)
			prepare_page(m, i, v->states[i]);
	}
	if (v->odd_byte) {
		load(m, &odd, v->odd_byte, 1);
		odd ^= 0x80;
		put(m, v->odd_byte, &odd, 1);
	}
	put(m, v->call.ops, v->ops, v->nr_ops * sizeof(v->ops[0]));
}

static struct outcome run(FIXTURE_DATA(fuzz) *self, struct vector *v)
{
	struct call *call = &v->call;
	struct outcome outcome;

	prepare(&self->m, v);
	outcome.ret = cpu_opv((void *)(uintptr_t)call->ops, call->cpuopcnt,
			      call->cpu, call->flags);
	outcome.expected = model_cpu_opv(&self->m, &self->targets, call);
	outcome.difference = find_difference(&self->m);
	return outcome;
}

/* The same on memory that has nothing left of what other vectors did. */
static struct outcome run_anew(FIXTURE_DATA(fuzz) *self, struct vector *v)
{
	struct outcome outcome = {};

	if (!map_layout(&self->m, v->seed / VECTORS_PER_LAYOUT))
		outcome = run(self, v);
	return outcome;
}

/* Each makes a vector smaller in one way, or returns false if it cannot. */

static bool drop_op(struct vector *v, int n)
{
	if (n >= v->nr_ops)
		return false;
	v->nr_ops--;
	memmove(&v->ops[n], &v->ops[n + 1],
		(v->nr_ops - n) * sizeof(v->ops[0]));
	if (v->call.cpuopcnt > 0)
		v->call.cpuopcnt--;
	return true;
}

static bool halve_len(struct vector *v, int n)
{
	v->ops[n].len /= 2;
	return v->ops[n].len;
}

static bool decrement_len(struct vector *v, int n)
{
	return v->ops[n].len && --v->ops[n].len;
}

static bool expect_no_fault(struct vector *v, int n)
{
	__u8 *a = &v->ops[n].u.memcpy_op.expect_fault_dst;
	__u8 *b = &v->ops[n].u.memcpy_op.expect_fault_src;
	bool changed = *a || *b;

	*a = 0;
	*b = 0;
	return changed;
}

static bool use_first_cpu(struct vector *v, int n)
{
	bool changed = v->call.cpu != nth_cpu(0);

	v->call.cpu = nth_cpu(0);
	return changed;
}

static bool use_no_odd_byte(struct vector *v, int n)
{
	bool changed = v->odd_byte;

	v->odd_byte = 0;
	return changed;
}

static bool use_written_page(struct vector *v, int n)
{
	bool changed = v->states[n] != WRITTEN;

	v->states[n] = WRITTEN;
	return changed;
}

static const struct {
	bool (*shrink)(struct vector *v, int n);
	int nr;			/* of values for n */
} shrinkers[] = {
	{ drop_op,		MAX_OPS },
	{ halve_len,		MAX_OPS },
	{ decrement_len,	MAX_OPS },
	{ expect_no_fault,	MAX_OPS },
	{ use_first_cpu,	1 },
	{ use_no_odd_byte,	1 },
	{ use_written_page,	NR_PAGES },
};

/* Makes a vector smaller by one step, if it still fails then. */
static bool shrink_once(FIXTURE_DATA(fuzz) *self, struct vector *v)
{
	size_t i;
	int n;

	for (i = 0; i < ARRAY_SIZE(shrinkers); i++) {
		for (n = 0; n < shrinkers[i].nr; n++) {
			struct vector smaller = *v;
			struct outcome outcome;

			if (!shrinkers[i].shrink(&smaller, n))
				continue;
			outcome = run_anew(self, &smaller);
			if (is_wrong(&outcome)) {
				*v = smaller;
				return true;
			}
		}
	}
	return false;
}

static void print_op(const struct memory *m, const struct cpu_op *op)
{
	struct operand operands[2];
	int i, nr;

	if (op->op < 0 || op->op >= NR_CPU_OPS) {
		ksft_print_msg("  op %d\n", op->op);
		return;
	}
	ksft_print_msg("  %s len %u\n", op_types[op->op].name, op->len);
	nr = operands_of(op, operands);
	for (i = 0; i < nr; i++)
		ksft_print_msg("    %s %s%s\n", i ? "and" : "at",
			       address_name(m, operands[i].addr),
			       operands[i].expect_fault ? ", may fault" : "");
	if (op_types[op->op].is_arithmetic)
		ksft_print_msg("    count %lld\n",
			       (long long)op->u.arithmetic_op.count);
}

static void print_layout(const struct memory *m, const struct vector *v)
{
	int nr;

	for (nr = 0; nr < NR_PAGES; nr++) {
		const struct page *page = &m->pages[nr];

		ksft_print_msg("  page %d: %s, position %#zx, %s\n", nr,
			       page->kind->name, page->pos,
			       state_names[v->states[nr]]);
	}
}

static void print_vector(const struct memory *m, const struct vector *v)
{
	int i;

	print_layout(m, v);
	if (v->odd_byte)
		ksft_print_msg("  changed before: %s\n",
			       address_name(m, v->odd_byte));
	ksft_print_msg("cpu_opv(%s, %d, %d, %#x)\n",
		       address_name(m, v->call.ops), v->call.cpuopcnt,
		       v->call.cpu, v->call.flags);
	for (i = 0; i < v->nr_ops; i++)
		print_op(m, &v->ops[i]);
}

static void print_outcome(const struct memory *m, const struct outcome *outcome)
{
	ksft_print_msg("returned %d, expected %d\n", outcome->ret,
		       outcome->expected);
	if (outcome->difference)
		ksft_print_msg("memory differs at %s\n",
			       address_name(m, addr_of(outcome->difference)));
}

static void shrink_and_print(FIXTURE_DATA(fuzz) *self, struct vector *v)
{
	struct outcome outcome;

	while (shrink_once(self, v))
		;
	outcome = run_anew(self, v);
	ksft_print_msg("made smaller:\n");
	print_vector(&self->m, v);
	print_outcome(&self->m, &outcome);
}

/*
 * What may come out; to show that vectors of all kinds are made. The last one
 * is rare, as it needs one value of the flags.
 */
static const int results[] = { 0, 1, 2, 3, 4, -EINVAL, -EFAULT, -EAGAIN,
			       NR_CPU_OPS };
#define NR_COMMON	(ARRAY_SIZE(results) - 1)

/* Whether all but that came out, the rarest of them once in 170 vectors. */
static bool all_came_out(const unsigned long *counts)
{
	size_t i;

	for (i = 0; i < NR_COMMON; i++) {
		if (!counts[i])
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(fuzz, does_as_the_model, RUN_TIMEOUT)
{
	const char *one = getenv("CPU_OPV_SEED");
	__u64 first = one ? strtoull(one, NULL, 0) : (__u64)now_usec() << 16;
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long counts[ARRAY_SIZE(results)] = {};
	unsigned long nr = 0;
	struct vector v;
	size_t i;

	TH_LOG("first seed %llu", (unsigned long long)first);
	do {
		struct outcome outcome;
		__u64 seed = first + nr;

		if (!nr || seed % VECTORS_PER_LAYOUT == 0)
			ASSERT_EQ(0, map_layout(&self->m,
						seed / VECTORS_PER_LAYOUT));
		make_vector(&self->m, &self->targets, seed, &v);
		outcome = run(self, &v);
		if (one || is_wrong(&outcome)) {
			print_vector(&self->m, &v);
			print_outcome(&self->m, &outcome);
		}
		if (is_wrong(&outcome))
			shrink_and_print(self, &v);
		ASSERT_FALSE(is_wrong(&outcome))
			TH_LOG("CPU_OPV_SEED=%llu runs it again",
			       (unsigned long long)seed);
		for (i = 0; i < ARRAY_SIZE(results); i++)
			counts[i] += outcome.ret == results[i];
		nr++;
	} while (!one && (nr < MIN_VECTORS || now_usec() < end ||
			  is_awaited(all_came_out(counts), end)));

	for (i = 0; i < ARRAY_SIZE(results) && !one; i++)
		TH_LOG("result %d: %lu", results[i], counts[i]);
	EXPECT_TRUE(one || all_came_out(counts));
	TH_LOG_OPERATIONS(nr);
}

TEST_HARNESS_MAIN
