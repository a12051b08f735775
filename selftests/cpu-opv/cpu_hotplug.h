/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs that come and go, for the tests of cpu_opv(2)
 */
#ifndef CPU_HOTPLUG_H
#define CPU_HOTPLUG_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* 0, or -errno: -ENOENT if the CPU is always there. */
static int set_online(int cpu, bool online)
{
	char path[64];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	if (write(fd, online ? "1" : "0", 1) != 1)
		ret = -errno;
	close(fd);
	return ret;
}

#endif /* CPU_HOTPLUG_H */
