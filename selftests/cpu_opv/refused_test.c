// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that is refused to cpu_opv(2) for whose it is: secret memory, which
 * the kernel does not have mapped, and memory with a protection key, where the
 * rights of the caller count, and not those of the thread that happens to run
 * on the target CPU.
 */
#include <fcntl.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "pkey.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret	447
#endif

#define RUN_USEC	200000
#define MIN_CALLS	50	/* on a slow machine */
#define NR_OTHERS	3	/* operands after the one that matters */
#define SECRET		43

FIXTURE(refused)
{
	__u64 *value;		/* 42 */
	__u64 ran;		/* counter of what ran before the operation */
	int cpu;
};

FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(refused);

FIXTURE_SETUP(refused)
{
	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	self->cpu = aim(variant->other_cpu);
	if (self->cpu < 0)
		SKIP(return, ONE_CPU);
	self->value = map_pages(1);
	ASSERT_TRUE(self->value != MAP_FAILED);
	*self->value = 42;
}

FIXTURE_TEARDOWN(refused)
{
}

/* Operand after operand that is read, and that is written. */
static struct cpu_op read_or_write(FIXTURE_DATA(refused) *self, __u64 *other,
				   int i)
{
	const struct cpu_op ops[] = {
		op_eq(self->value, other, 8),
		op_ne(other, self->value, 8),
		op_copy(other, self->value, 8),
		op_copy(self->value, other, 8),
		op_add(self->value, 1, 8),
	};

	return ops[i];
}

#define NR_READS	3
#define NR_ALL		5

/*
 * Tries the operations from "first" to before "end", after one that writes and
 * alone: then the kernel need not pin what it works on.
 */
static void expect_all(struct __test_metadata *_metadata,
		       FIXTURE_DATA(refused) *self, int first, int end,
		       bool is_good)
{
	__u64 other;
	int i;

	for (i = first; i < end; i++) {
		struct cpu_op ops[] = {
			op_add(&self->ran, 1, 8),
			read_or_write(self, &other, i),
		};
		int ret;

		self->ran = 0;
		other = 0;
		ret = cpu_opv(ops, 2, self->cpu, 0);
		/* A comparison may stop it: it was made. */
		EXPECT_EQ(is_good ? 0 : -EFAULT, ret > 0 ? 0 : ret)
			TH_LOG("operation %d", i);
		EXPECT_EQ(is_good, self->ran);

		ret = cpu_opv(&ops[1], 1, self->cpu, 0);
		EXPECT_EQ(is_good ? 0 : -EFAULT, ret > 0 ? 0 : ret)
			TH_LOG("operation %d alone", i);

		/* Also behind a comparison that stops the vector. */
		ops[0] = op_ne(&other, &other, 8);
		EXPECT_EQ(is_good ? 1 : -EFAULT,
			  cpu_opv(ops, 2, self->cpu, 0))
			TH_LOG("operation %d, not run", i);
	}
}

TEST_F(refused, secret_memory)
{
	int fd = syscall(__NR_memfd_secret, 0);
	__u64 *secret;

	if (fd < 0)
		SKIP(return, "needs CONFIG_SECRETMEM, and secretmem.enable=1");
	ASSERT_EQ(0, ftruncate(fd, page_size()));
	secret = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	if (secret == MAP_FAILED)
		SKIP(return, "needs room for locked memory");

	self->value = secret;
	expect_all(_metadata, self, 0, NR_ALL, false);	/* not there yet */
	*secret = 42;
	expect_all(_metadata, self, 0, NR_ALL, false);
	EXPECT_EQ(42, *secret);
}

/* Not even what a thread could jump to can be read. */
TEST_F(refused, execute_only)
{
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	if (mprotect(self->value, page_size(), PROT_EXEC))
		SKIP(return, "needs to be allowed PROT_EXEC");
	if (write(pipes[1], self->value, 1) == 1)
		SKIP(return, "here what can be executed can be read");
	expect_all(_metadata, self, 0, NR_ALL, false);
}

#if defined(__x86_64__) || defined(__i386__)

/* The first nr_good operations are what the caller can do. */
static void with_rights(struct __test_metadata *_metadata,
			FIXTURE_DATA(refused) *self, unsigned int here,
			unsigned int there, int nr_good)
{
	struct neighbour neighbour;
	int ret = start_neighbour(&neighbour, self->cpu, self->value, there);

	if (neighbour.pkey < 0)
		SKIP(return, PKEY_ABSENT);
	ASSERT_EQ(0, ret);
	set_rights(neighbour.pkey, here);
	expect_all(_metadata, self, 0, nr_good, true);
	expect_all(_metadata, self, nr_good, NR_ALL, false);
	set_rights(neighbour.pkey, 0);
	EXPECT_EQ(nr_good == NR_ALL ? 2 : 42, *self->value);
	ASSERT_EQ(0, stop_neighbour(&neighbour));
}

TEST_F(refused, pkey_of_neighbour_forbids_access)
{
	with_rights(_metadata, self, 0, PKEY_DISABLE_ACCESS, NR_ALL);
}

TEST_F(refused, pkey_of_neighbour_forbids_write)
{
	with_rights(_metadata, self, 0, PKEY_DISABLE_WRITE, NR_ALL);
}

TEST_F(refused, pkey_of_caller_forbids_access)
{
	with_rights(_metadata, self, PKEY_DISABLE_ACCESS, 0, 0);
}

TEST_F(refused, pkey_of_caller_forbids_write)
{
	with_rights(_metadata, self, PKEY_DISABLE_WRITE, 0, NR_READS);
}

/* A page that has a secret while it has the key, which the caller cannot use. */
struct vault {
	atomic_ulong *value;
	int pkey;
	atomic_bool stop;
	atomic_ulong locked;
};

static int set_key(struct vault *vault, int pkey)
{
	return syscall(__NR_pkey_mprotect, vault->value, page_size(),
		       PROT_READ | PROT_WRITE, pkey);
}

static void *keep_locking(void *arg)
{
	struct vault *vault = arg;

	while (!vault->stop) {
		if (set_key(vault, vault->pkey))
			return "cannot set the key";
		*vault->value = SECRET;
		*vault->value = 42;
		if (set_key(vault, 0))
			return "cannot take the key back";
		vault->locked++;
	}
	return NULL;
}

/* The page comes first of many, so there is some time before it is read. */
TEST_F_TIMEOUT(refused, pkey_set_meanwhile, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	char *others = map_pages(2 * NR_OTHERS);
	struct vault vault = { .value = (void *)self->value };
	unsigned long calls, good = 0;
	__u64 seen[2] = {};
	struct cpu_op ops[1 + NR_OTHERS] = {
		op_copy(seen, self->value, sizeof(seen)),
	};
	pthread_t thread;
	void *error;
	int i, ret;

	ASSERT_TRUE(others != MAP_FAILED);
	vault.pkey = syscall(__NR_pkey_alloc, 0, 0);
	if (vault.pkey < 0)
		SKIP(return, PKEY_ABSENT);
	for (i = 0; i < NR_OTHERS; i++) {
		char *end_of_page = others + (2 * i + 1) * page_size();

		ops[1 + i] = op_eq(end_of_page - 8, end_of_page - 8, 16);
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_locking, &vault));
	set_rights(vault.pkey, PKEY_DISABLE_ACCESS);
	for (calls = 0; now_usec() < end || good < MIN_CALLS; calls++) {
		ret = cpu_opv(ops, ARRAY_SIZE(ops), self->cpu, 0);
		ASSERT_TRUE(!ret || ret == -EFAULT);
		good += !ret;
		ASSERT_NE(SECRET, seen[0]);
	}
	vault.stop = true;
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(NULL, error);
	TH_LOG("%lu calls of %lu read it, %lu times it was locked", good, calls,
	       vault.locked);
	TH_LOG_OPERATIONS(calls);
}

#endif

TEST_HARNESS_MAIN
