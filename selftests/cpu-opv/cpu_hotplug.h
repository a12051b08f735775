/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs that come and go, for the tests of cpu_opv(2)
 */
#ifndef CPU_HOTPLUG_H
#define CPU_HOTPLUG_H

#include <stdio.h>

#include "cpu_opv_common.h"

/* The CPUs that are "possible", "present" or "online"; none if it is not told. */
static inline cpu_set_t cpus_that_are(const char *what)
{
	int cpu, first, last;
	cpu_set_t set;
	char path[64];
	FILE *f;

	CPU_ZERO(&set);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s", what);
	f = fopen(path, "r");
	if (!f)
		return set;
	while (fscanf(f, "%d", &first) == 1) {
		last = first;
		if (fscanf(f, "-%d", &last) < 0)
			last = first;
		for (cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
			CPU_SET(cpu, &set);
		if (fgetc(f) != ',')
			break;
	}
	fclose(f);
	return set;
}

/* Those that exist and run nothing. */
static inline cpu_set_t cpus_offline(void)
{
	cpu_set_t set = cpus_that_are("possible");
	cpu_set_t online = cpus_that_are("online");

	/* The one is part of the other. */
	CPU_XOR(&set, &set, &online);
	return set;
}

/* 0, or -errno: -ENOENT if the CPU is always there. */
static inline int set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_file(path, online ? "1" : "0");
}

#endif /* CPU_HOTPLUG_H */
