/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs that come and go, for the tests of cpu_opv(2)
 *
 * Include it after kselftest_harness.h.
 */
#ifndef CPU_HOTPLUG_H
#define CPU_HOTPLUG_H

#include <stdio.h>

#include "cpu_opv_common.h"
#include "restore.h"

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

/*
 * For loops that go on while a CPU goes offline. A task that is preempted with
 * migration disabled, as with a page of high memory mapped, stays there until
 * it is scheduled anew, and nothing else may come to bring that about.
 */
static inline void let_be_moved(void)
{
	sched_yield();
}

/* 0, or -errno: -ENOENT if the CPU is always there. */
static inline int set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_file(path, online ? "1" : "0");
}

static int bring_back(void *cpus)
{
	cpu_set_t now;
	int cpu, ret = 0;

	if (sched_getaffinity(0, sizeof(now), &now))
		return -errno;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, (cpu_set_t *)cpus) && !CPU_ISSET(cpu, &now))
			ret = set_online(cpu, true) ?: ret;
	}
	return ret;
}

/* All CPUs that this thread may run on now are there again after the test. */
static inline void bring_back_at_end(struct __test_metadata *_metadata)
{
	static cpu_set_t cpus;

	ASSERT_EQ(0, sched_getaffinity(0, sizeof(cpus), &cpus));
	restore_at_end(_metadata, bring_back, &cpus);
}

#endif /* CPU_HOTPLUG_H */
