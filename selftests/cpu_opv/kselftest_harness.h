/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The harness of all kselftests, which here gives a test more time: what takes
 * a second may take many on an emulated CPU of a busy machine.
 */
#include "../kselftest_harness.h"

#include <stdio.h>
#include <stdlib.h>

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 100

/* Of cases that leave something to chance: beside what run_usec() gives them. */
#define RUN_TIMEOUT 250

/* Gives each of these cases so many seconds more. Returns how many there are. */
static int add_seconds(int seconds)
{
	struct __fixture_variant_metadata *variant;
	struct __fixture_metadata *fixture;
	struct __test_metadata *test;
	int nr = 0, nr_variants;

	for (fixture = __fixture_list; fixture; fixture = fixture->next) {
		nr_variants = !fixture->variant;
		for (variant = fixture->variant; variant; variant = variant->next)
			nr_variants++;
		for (test = fixture->tests; test; test = test->next) {
			if (test->timeout != RUN_TIMEOUT)
				continue;
			test->timeout += seconds;
			nr += nr_variants;
		}
	}
	return nr;
}

/* The program has CPU_OPV_SECONDS, and each of these cases its share. */
static void __attribute__((constructor)) share_seconds(void)
{
	const char *seconds = getenv("CPU_OPV_SECONDS");
	int nr = add_seconds(0);
	char share[32];

	if (!seconds || !nr)
		return;
	snprintf(share, sizeof(share), "%f", atof(seconds) / nr);
	setenv("CPU_OPV_SECONDS", share, 1);
	add_seconds(atof(share));
}
