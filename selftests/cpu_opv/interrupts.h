/* SPDX-License-Identifier: GPL-2.0 */
/* What /proc/interrupts says of a CPU, and a thread that keeps that busy. */
#ifndef CPU_OPV_INTERRUPTS_H
#define CPU_OPV_INTERRUPTS_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "cpu_opv_common.h"

#define NO_CALL_INTERRUPTS \
	"/proc/interrupts has no row of function call interrupts"

/* The column of a CPU, from the row of their names; -1 if there is none. */
static inline int column_of(const char *names, int cpu)
{
	int column = 0, length, name;

	while (sscanf(names, " CPU%d%n", &name, &length) == 1) {
		if (name == cpu)
			return column;
		names += length;
		column++;
	}
	return -1;
}

/* A row has a name, a number for each CPU, and what it is. */
static inline long number_of_row(const char *row, int column)
{
	char *at = strchr(row, ':');
	long number = 0;

	for (at = at ? at + 1 : NULL; at && column >= 0; column--)
		number = strtol(at, &at, 10);
	return number;
}

/*
 * The interrupts of a CPU that run a function for another one, or tell it to
 * look what to run. -1 if that is not told.
 */
static inline long nr_ipis(int cpu, bool calls_only)
{
	FILE *f = fopen("/proc/interrupts", "r");
	int column = -1, nr_rows = 0;
	size_t size = 0;
	char *row = NULL;
	long sum = 0;

	if (f && getline(&row, &size, f) > 0)
		column = column_of(row, cpu);
	while (f && column >= 0 && getline(&row, &size, f) > 0) {
		bool is_call = strstr(row, "unction call interrupts");

		nr_rows += is_call;
		if (is_call || (!calls_only &&
				strstr(row, "escheduling interrupts")))
			sum += number_of_row(row, column);
	}
	free(row);
	if (f)
		fclose(f);
	return nr_rows ? sum : -1;
}

/* A thread that does nothing else but count, on a CPU. */
struct spinner {
	int cpu;
	bool alone;		/* keeps other threads off it; needs root */
	int error;
	atomic_ulong turns;
	atomic_bool stop;
	pthread_t thread;
};

static inline void *spin(void *arg)
{
	struct spinner *spinner = arg;
	struct sched_param param = { .sched_priority = 1 };
	unsigned long turns;

	if (pin_to(spinner->cpu) ||
	    (spinner->alone && sched_setscheduler(0, SCHED_FIFO, &param)))
		spinner->error = errno;
	for (turns = 1; !spinner->stop; turns++) {
		atomic_store_explicit(&spinner->turns, turns,
				      memory_order_relaxed);
		/* With PREEMPT_RT, timers have a thread of that priority, too. */
		if (spinner->alone)
			sched_yield();
	}
	return NULL;
}

/* Returns once it spins; 0, or an error number. */
static inline int start_spinner(struct spinner *spinner, int cpu, bool alone)
{
	int error;

	*spinner = (struct spinner) { .cpu = cpu, .alone = alone };
	error = pthread_create(&spinner->thread, NULL, spin, spinner);
	while (!error && !spinner->turns)
		sleep_usec(100);
	return error ?: spinner->error;
}

static inline void stop_spinner(struct spinner *spinner)
{
	spinner->stop = true;
	pthread_join(spinner->thread, NULL);
}

/*
 * A process that does nothing at all, on a CPU, until it is killed. Returns
 * once it does so there: its ID, or -errno.
 */
static inline pid_t start_spinning_child(int cpu)
{
	atomic_int *state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (state == MAP_FAILED)
		return -errno;
	pid = fork_endless();
	if (!pid) {
		*state = pin_to(cpu) ? -errno : 1;
		for (;;)
			;
	}
	while (pid > 0 && !*state)
		sleep_usec(100);
	return pid < 0 ? -errno : *state < 0 ? *state : pid;
}

#endif /* CPU_OPV_INTERRUPTS_H */
