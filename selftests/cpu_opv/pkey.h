/* SPDX-License-Identifier: GPL-2.0 */
/* Protection keys, and a thread whose rights are others than the caller's. */
#ifndef CPU_OPV_PKEY_H
#define CPU_OPV_PKEY_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "cpu_opv_common.h"

#ifndef PKEY_DISABLE_ACCESS
#define PKEY_DISABLE_ACCESS	0x1
#define PKEY_DISABLE_WRITE	0x2
#endif

#define PKEY_ABSENT	"needs protection keys"

#if defined(__x86_64__) || defined(__i386__)

/* In what the thread may do, each key has two bits. */
static inline void set_rights(int pkey, unsigned int rights)
{
	unsigned int all, none;

	asm volatile("rdpkru" : "=a"(all), "=d"(none) : "c"(0));
	all = (all & ~(3U << 2 * pkey)) | rights << 2 * pkey;
	asm volatile("wrpkru" : : "a"(all), "c"(0), "d"(0) : "memory");
}

struct neighbour {
	int cpu;
	int pkey;
	unsigned int rights;
	atomic_bool running, stop;
	pthread_t thread;
};

static inline void *run_with_rights(void *arg)
{
	struct neighbour *neighbour = arg;

	pin_to(neighbour->cpu);
	set_rights(neighbour->pkey, neighbour->rights);
	neighbour->running = true;
	while (!neighbour->stop)
		;
	return NULL;
}

/* Gives the page a key, and returns once the thread runs; 0 or -errno. */
static inline int start_neighbour(struct neighbour *neighbour, int cpu,
				  void *page, unsigned int rights)
{
	int error;

	*neighbour = (struct neighbour) {
		.cpu = cpu,
		.pkey = syscall(__NR_pkey_alloc, 0, 0),
		.rights = rights,
	};
	if (neighbour->pkey < 0 ||
	    syscall(__NR_pkey_mprotect, page, page_size(),
		    PROT_READ | PROT_WRITE, neighbour->pkey))
		return -errno;
	error = pthread_create(&neighbour->thread, NULL, run_with_rights,
			       neighbour);
	while (!error && !neighbour->running)
		sched_yield();
	return -error;
}

static inline int stop_neighbour(struct neighbour *neighbour)
{
	neighbour->stop = true;
	return pthread_join(neighbour->thread, NULL);
}

#endif

#endif /* CPU_OPV_PKEY_H */
