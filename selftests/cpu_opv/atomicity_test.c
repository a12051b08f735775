// SPDX-License-Identifier: GPL-2.0
/*
 * An operand of 1, 2, 4 or 8 bytes, naturally aligned, is loaded and stored as
 * one access: while it changes between two values that differ in every byte,
 * no mixture of the two is ever seen.
 *
 * The two threads are on a CPU each, and calls are for that of the caller: none
 * keeps the other thread from running meanwhile. Vectors of one operation on a
 * word are run without pinning its page, longer ones here are not.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"

#define RUN_USEC	100000

/* Both in every length, by their lower bytes. */
#define LOW		0x1111111111111111ULL
#define HIGH		0xeeeeeeeeeeeeeeeeULL

FIXTURE(word)
{
	/* Of len bytes; in a page that another CPU works on at the same time. */
	void *word;
	int cpu;		/* of that thread, which stays there */
	atomic_bool stop;
	pthread_t thread;
	__u32 len;
	struct cpu_op ops[4];
	atomic_ulong calls;
	atomic_int error;
};

FIXTURE_VARIANT(word)
{
	__u32 len;
};

FIXTURE_VARIANT_ADD(word, 2_bytes)
{
	.len = 2,
};

FIXTURE_VARIANT_ADD(word, 4_bytes)
{
	.len = 4,
};

FIXTURE_VARIANT_ADD(word, 8_bytes)
{
	.len = 8,
};

/* Single accesses; the longest are 4 bytes for a 32-bit program. */

static __u64 load(const void *p, __u32 len)
{
	switch (len) {
	case 2:
		return __atomic_load_n((__u16 *)p, __ATOMIC_RELAXED);
	case 4:
		return __atomic_load_n((__u32 *)p, __ATOMIC_RELAXED);
	default:
		return __atomic_load_n((unsigned long *)p, __ATOMIC_RELAXED);
	}
}

static void store(void *p, __u64 value, __u32 len)
{
	switch (len) {
	case 2:
		__atomic_store_n((__u16 *)p, value, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n((__u32 *)p, value, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n((unsigned long *)p, value, __ATOMIC_RELAXED);
	}
}

static __u64 part(__u64 value, __u32 len)
{
	return value & (UINT64_MAX >> (64 - 8 * len));
}

static bool torn(__u64 value, __u32 len)
{
	return value != part(LOW, len) && value != part(HIGH, len);
}

FIXTURE_SETUP(word)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (variant->len > sizeof(long))
		SKIP(return, "8 bytes are two accesses on 32 bits");
	self->cpu = aim(true);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->len = variant->len;
	self->word = map_pages(1);
	ASSERT_TRUE(self->word != MAP_FAILED);
	ASSERT_EQ(0, pin_to(nth_cpu(0)));
	store(self->word, LOW, self->len);
}

FIXTURE_TEARDOWN(word)
{
}

static void *toggle_by_calls(void *arg)
{
	FIXTURE_DATA(word) *self = arg;
	unsigned int n;

	if (pin_to(self->cpu))
		self->error = -errno;
	/*
	 * To the one, the other and the one; then the other way round. Or only
	 * once to each.
	 */
	for (n = 0; !self->stop && !self->error; n++) {
		self->error = cpu_opv(&self->ops[n % 2], n / 2 % 2 ? 1 : 3,
				      self->cpu, 0);
		self->calls++;
	}
	return NULL;
}

/* Looks on from here while the two operations take turns over there. */
static void stores(struct __test_metadata *_metadata, FIXTURE_DATA(word) *self,
		   struct cpu_op to_high, struct cpu_op to_low)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	bool low = false, high = false;
	int n;

	for (n = 0; n < 4; n++)
		self->ops[n] = n % 2 ? to_low : to_high;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, toggle_by_calls, self));
	while ((now_usec() < end || !low || !high) && !self->error) {
		__u64 value = 0;
		int looks;

		/* Many: a mixture would be there for some instructions only. */
		for (looks = 0; looks < 10000; looks++) {
			value = load(self->word, self->len);
			if (torn(value, self->len))
				break;
			low = low || value == part(LOW, self->len);
			high = high || value == part(HIGH, self->len);
		}
		ASSERT_FALSE(torn(value, self->len))
			TH_LOG("saw %#llx", (unsigned long long)value);
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
	TH_LOG_OPERATIONS(self->calls);
}

TEST_F_TIMEOUT(word, memcpy_stores, RUN_TIMEOUT)
{
	__u64 low = 0, high = 0;

	store(&low, LOW, self->len);
	store(&high, HIGH, self->len);
	stores(_metadata, self, op_copy(self->word, &high, self->len),
	       op_copy(self->word, &low, self->len));
}

TEST_F_TIMEOUT(word, memcpy_release_stores, RUN_TIMEOUT)
{
	__u64 low = 0, high = 0;

	store(&low, LOW, self->len);
	store(&high, HIGH, self->len);
	stores(_metadata, self, op_copy_release(self->word, &high, self->len),
	       op_copy_release(self->word, &low, self->len));
}

TEST_F_TIMEOUT(word, add_stores, RUN_TIMEOUT)
{
	stores(_metadata, self, op_add(self->word, HIGH - LOW, self->len),
	       op_add(self->word, LOW - HIGH, self->len));
}

static void *toggle_by_stores(void *arg)
{
	FIXTURE_DATA(word) *self = arg;
	unsigned int n;

	if (pin_to(self->cpu))
		self->error = -errno;
	/* Each is there for as long as the other one, wherever this is stopped. */
	for (n = 0; !self->stop && !self->error; n++)
		store(self->word, n % 2 ? HIGH : LOW, self->len);
	return NULL;
}

TEST_F_TIMEOUT(word, memcpy_loads, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	int n, nr, cpu = nth_cpu(0);
	bool low = false, high = false;
	__u64 seen[4] = {};

	for (n = 0; n < 4; n++)
		self->ops[n] = op_copy(&seen[n], self->word, self->len);
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, toggle_by_stores,
				    self));
	while (now_usec() < end || is_awaited(low && high, end)) {
		nr = self->calls % 2 ? 1 : 4;
		ASSERT_EQ(0, cpu_opv(self->ops, nr, cpu, 0));
		self->calls++;
		for (n = 0; n < nr; n++) {
			__u64 value = load(&seen[n], self->len);

			ASSERT_FALSE(torn(value, self->len))
				TH_LOG("saw %#llx", (unsigned long long)value);
			low = low || value == part(LOW, self->len);
			high = high || value == part(HIGH, self->len);
		}
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(self->thread, NULL));
	EXPECT_EQ(0, atomic_load(&self->error));
	EXPECT_TRUE(low && high);
	TH_LOG_OPERATIONS(self->calls);
}

TEST_HARNESS_MAIN
