/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the cpu_opv(2) tests share: the call, its operations, the choice of
 * a CPU, memory to work on
 */
#ifndef CPU_OPV_COMMON_H
#define CPU_OPV_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/cpu_opv.h>

#ifndef __NR_cpu_opv
#define __NR_cpu_opv 473
#endif

#define CPU_OPV_ABSENT	"this kernel has no cpu_opv(2) (CONFIG_CPU_OPV)"
#define ONE_CPU		"needs two CPUs that this thread may run on"

/* The result of the call, or -errno. */
static inline int cpu_opv(struct cpu_op *ops, int cpuopcnt, int cpu, int flags)
{
	int ret = syscall(__NR_cpu_opv, ops, cpuopcnt, cpu, flags);

	return ret == -1 ? -errno : ret;
}

static inline bool cpu_opv_available(void)
{
	return cpu_opv(NULL, 0, 0, CPU_OP_NR_FLAG) != -ENOSYS;
}

/* Operations: a pointer becomes a __u64 here and nowhere else. */

static inline __u64 addr_of(const void *p)
{
	return (uintptr_t)p;
}

static inline struct cpu_op op_compare(int op, const void *a, const void *b,
				       __u32 len)
{
	return (struct cpu_op) {
		.op = op,
		.len = len,
		.u.compare_op = { .a = addr_of(a), .b = addr_of(b) },
	};
}

static inline struct cpu_op op_eq(const void *a, const void *b, __u32 len)
{
	return op_compare(CPU_COMPARE_EQ_OP, a, b, len);
}

static inline struct cpu_op op_ne(const void *a, const void *b, __u32 len)
{
	return op_compare(CPU_COMPARE_NE_OP, a, b, len);
}

static inline struct cpu_op op_memcpy(int op, void *dst, const void *src,
				      __u32 len)
{
	return (struct cpu_op) {
		.op = op,
		.len = len,
		.u.memcpy_op = { .dst = addr_of(dst), .src = addr_of(src) },
	};
}

static inline struct cpu_op op_copy(void *dst, const void *src, __u32 len)
{
	return op_memcpy(CPU_MEMCPY_OP, dst, src, len);
}

static inline struct cpu_op op_copy_release(void *dst, const void *src,
					    __u32 len)
{
	return op_memcpy(CPU_MEMCPY_RELEASE_OP, dst, src, len);
}

static inline struct cpu_op op_arithmetic(int op, void *p, __s64 count,
					  __u32 len)
{
	return (struct cpu_op) {
		.op = op,
		.len = len,
		.u.arithmetic_op = { .p = addr_of(p), .count = count },
	};
}

static inline struct cpu_op op_add(void *p, __s64 count, __u32 len)
{
	return op_arithmetic(CPU_ADD_OP, p, count, len);
}

/*
 * Increments a counter and returns as cpu_opv() does: 1 if the counter changed
 * before the call. Takes its time between comparison and store, so that two
 * of these that overlap would lose an increment. "scratch" is for it alone.
 */
static inline int long_increment(__u64 *counter, char *scratch, int cpu)
{
	const __u32 half = 2048;
	__u64 seen = *counter, next = seen + 1;
	struct cpu_op ops[] = {
		op_eq(counter, &seen, sizeof(seen)),
		op_copy(scratch, scratch + half, half),
		op_copy(scratch + half, scratch, half),
		op_copy(counter, &next, sizeof(next)),
	};

	return cpu_opv(ops, 4, cpu, 0);
}

/* CPUs: the thread's allowed ones, counted from 0. */

static inline int nr_cpus(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) ?
		0 : CPU_COUNT(&allowed);
}

/* The nth allowed CPU, or -1 if there are fewer. */
static inline int nth_cpu(int nth)
{
	cpu_set_t allowed;
	int cpu;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -1;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && !nth--)
			return cpu;
	}
	return -1;
}

static inline int pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/*
 * Moves the thread to its first CPU, without narrowing its mask for longer
 * than that takes, and returns the CPU to aim at: the same or another one.
 * Returns -1 if there is no other.
 */
static inline int aim(bool other)
{
	int own = nth_cpu(0), cpu = nth_cpu(other);
	cpu_set_t allowed;

	if (cpu < 0 || sched_getaffinity(0, sizeof(allowed), &allowed) ||
	    pin_to(own) || sched_setaffinity(0, sizeof(allowed), &allowed))
		return -1;
	return cpu;
}

/* Runs what follows with cpu being that of the caller, then another, if any. */
#define for_own_and_other_cpu(cpu) \
	for (int other_ = 0; other_ < 2 && (cpu = aim(other_)) >= 0; other_++)

/*
 * The variants of a fixture that aims at the CPU of the caller and at another.
 * Its set-up does so by aim(variant->other_cpu).
 */
#define FIXTURE_VARIANTS_OWN_AND_OTHER_CPU(fixture) \
	FIXTURE_VARIANT(fixture) { bool other_cpu; }; \
	FIXTURE_VARIANT_ADD(fixture, own_cpu) { .other_cpu = false }; \
	FIXTURE_VARIANT_ADD(fixture, other_cpu) { .other_cpu = true }

/* Time. */

static inline long long now_usec(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/*
 * How long a test goes on that leaves something to chance: CPU_OPV_SECONDS,
 * or usec. It has this timeout, and logs how many operations it did.
 */
static inline long long run_usec(long long usec)
{
	const char *seconds = getenv("CPU_OPV_SECONDS");

	return seconds ? atof(seconds) * 1000000 : usec;
}

/* A test that has not met by chance what it is about goes on for so long. */
#define CHANCE_USEC	30000000

/* Whether one that was to end at "end" goes on, to meet that. */
static inline bool is_awaited(bool met, long long end)
{
	return !met && now_usec() < end + CHANCE_USEC;
}

static inline void sleep_usec(long long usec)
{
	struct timespec time = {
		.tv_sec = usec / 1000000,
		.tv_nsec = usec % 1000000 * 1000,
	};

	nanosleep(&time, NULL);
}

/*
 * A child that would go on for ever: it is killed at the latest when the thread
 * that calls this is gone, as one is whose ASSERT fails.
 */
static inline pid_t fork_endless(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

#define TH_LOG_OPERATIONS(nr)	TH_LOG("operations: %lu", (unsigned long)(nr))

/* Writes to a file, most likely one of the kernel's; 0 or -errno. */
static inline int write_file(const char *path, const char *text)
{
	ssize_t len = strlen(text), written;
	int fd = open(path, O_WRONLY);
	int ret = 0;

	if (fd < 0)
		return -errno;
	written = write(fd, text, len);
	if (written != len)
		ret = written < 0 ? -errno : -EIO;
	close(fd);
	return ret;
}

/*
 * Whether a test may do to the machine all that it can, as "make run_full_test"
 * has it. Else it takes one CPU offline at most, and adds no swap space.
 */
static inline bool runs_in_full(void)
{
	return getenv("CPU_OPV_FULL");
}

/* Memory. */

static inline size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Never-touched private pages, or MAP_FAILED. */
static inline void *map_pages(size_t nr)
{
	return mmap(NULL, nr * page_size(), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#define THP_ALIGN	(4UL << 20)

/* A page, or a huge one, which has to be aligned; NULL if it cannot be had. */
static inline void *map_page(bool huge)
{
	size_t align = huge ? THP_ALIGN : page_size();
	char *p = map_pages(2 * align / page_size());

	if (p == MAP_FAILED)
		return NULL;
	p += -(uintptr_t)p % align;
	return huge && madvise(p, align, MADV_HUGEPAGE) ? NULL : p;
}

/*
 * Number of the page frame, or 0 if it is not told or there is none. In the
 * process that asked first, and not in its children.
 */
static inline unsigned long long frame_of(const void *p)
{
	off_t at = (uintptr_t)p / page_size() * sizeof(__u64);
	static int fd = -1;
	__u64 entry = 0;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY);
	if (pread(fd, &entry, sizeof(entry), at) != sizeof(entry))
		return 0;
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* Content that differs from byte to byte and from seed to seed. */
static inline void fill(void *p, size_t len, unsigned int seed)
{
	unsigned char *c = p;
	size_t i;

	for (i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		c[i] = seed >> 16;
	}
}

/* One integer of len bytes, at any alignment, in the byte order of this machine. */

static inline __u64 get_integer(const void *p, __u32 len)
{
	__u64 v = 0;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	memcpy((char *)&v + sizeof(v) - len, p, len);
#else
	memcpy(&v, p, len);
#endif
	return v;
}

static inline void put_integer(void *p, __u64 v, __u32 len)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	memcpy(p, (char *)&v + sizeof(v) - len, len);
#else
	memcpy(p, &v, len);
#endif
}

#endif /* CPU_OPV_COMMON_H */
