/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's own counts of which ways calls of cpu_opv(2) took. */
#ifndef CPU_OPV_STATS_H
#define CPU_OPV_STATS_H

#include <stdio.h>

#include "cpu_opv_common.h"

#define CPU_OPV_STATS	"/sys/kernel/debug/cpu_opv/stats"
#define STATS_ABSENT	"needs root, debugfs and CONFIG_CPU_OPV_STATS"
#define MAX_STATS	32

struct stats {
	int nr;
	struct stat_of {
		char name[32];
		unsigned long value;
	} of[MAX_STATS];
};

/* None if they are not told. */
static inline struct stats read_stats(void)
{
	FILE *f = fopen(CPU_OPV_STATS, "r");
	struct stats stats = {};

	while (f && stats.nr < MAX_STATS &&
	       fscanf(f, "%31s %lu", stats.of[stats.nr].name,
		      &stats.of[stats.nr].value) == 2)
		stats.nr++;
	if (f)
		fclose(f);
	return stats;
}

/* What was counted since; of a name that there is not, nothing. */
static inline struct stats stats_since(const struct stats *before)
{
	struct stats stats = read_stats();
	int i;

	for (i = 0; i < stats.nr && i < before->nr; i++)
		stats.of[i].value -= before->of[i].value;
	return stats;
}

static inline unsigned long stat_of(const struct stats *stats, const char *name)
{
	int i;

	for (i = 0; i < stats->nr; i++) {
		if (!strcmp(stats->of[i].name, name))
			return stats->of[i].value;
	}
	return 0;
}

static inline unsigned long counted_since(const struct stats *before,
					  const char *name)
{
	struct stats stats = stats_since(before);

	return stat_of(&stats, name);
}

/* The same as is_awaited(), for what is counted by this name, if anything is. */
static inline bool is_to_be_met(const struct stats *before, const char *name,
				long long end)
{
	return before->nr && is_awaited(counted_since(before, name), end);
}

#endif /* CPU_OPV_STATS_H */
