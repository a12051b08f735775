/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs that come and go, for the tests of cpu_opv(2)
 */
#ifndef CPU_HOTPLUG_H
#define CPU_HOTPLUG_H

#include <stdio.h>

#include "cpu_opv_common.h"

/* 0, or -errno: -ENOENT if the CPU is always there. */
static int set_online(int cpu, bool online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_file(path, online ? "1" : "0");
}

#endif /* CPU_HOTPLUG_H */
