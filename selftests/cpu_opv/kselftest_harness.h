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

/* Of cases that leave something to chance: they go on for run_usec(). */
#define RUN_TIMEOUT (24 * 3600)

static int nr_cases_of_chance(void)
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
			if (test->timeout == RUN_TIMEOUT)
				nr += nr_variants;
		}
	}
	return nr;
}

/* The program has CPU_OPV_SECONDS, and each of these cases its share. */
static void __attribute__((constructor)) share_seconds(void)
{
	const char *seconds = getenv("CPU_OPV_SECONDS");
	int nr = nr_cases_of_chance();
	char share[32];

	if (!seconds || !nr)
		return;
	snprintf(share, sizeof(share), "%f", atof(seconds) / nr);
	setenv("CPU_OPV_SECONDS", share, 1);
}
