// SPDX-License-Identifier: GPL-2.0
/*
 * cpu_opv(2) and cpusets: a CPU that the cpuset of the caller does not have is
 * one that the caller may not run on. While the cpuset changes each call is
 * either done or fails with EINVAL, and then has done nothing.
 *
 * Needs root. Takes a CPU offline, which is back when it ends. Until then there
 * is a cgroup more, which the test is in, and cgroup2 has cpusets if it had none.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include <linux/mount.h>

#include "cpu_opv_common.h"
#include "kselftest_harness.h"
#include "cpu_hotplug.h"

#define RUN_USEC	200000
#define MIN_TURNS	5	/* on a slow machine */
#define RMDIR_TRIES	100
#define RMDIR_USEC	10000

FIXTURE(cpuset)
{
	char root[32];		/* of the cgroups */
	char dir[64];		/* the cgroup of this process */
	bool was_enabled;
	char all[4096];		/* lists of CPUs: those allowed at first */
	char others[4096];	/* and those without the target */
	int cpu;		/* the target */
	__u64 counter;
	struct cpu_op add;
	atomic_bool stop;
	int turns;
	int error;
};

/* Writes to, or reads from, a file of a cgroup; 0 or -errno. */

static int write_cgroup(const char *dir, const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return write_file(path, text);
}

static bool file_has(const char *dir, const char *name, const char *word)
{
	char path[128], text[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (f) {
		if (!fgets(text, sizeof(text), f))
			text[0] = '\0';
		fclose(f);
	}
	return strstr(text, word);
}

/* The allowed CPUs, without one of them, as "0,1,3". */
static void list_cpus(char *list, size_t size, int without)
{
	size_t len = 0;
	int n, nr = nr_cpus();

	list[0] = '\0';
	for (n = 0; n < nr && len < size; n++) {
		int cpu = nth_cpu(n);

		if (cpu != without)
			len += snprintf(list + len, size - len, "%s%d",
					len ? "," : "", cpu);
	}
}

/* The root of the cgroups, without mounting it anywhere; or -1. */
static int open_cgroups(void)
{
	int fs = syscall(__NR_fsopen, "cgroup2", 0), root = -1;

	if (fs < 0)
		return -1;
	if (!syscall(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		root = syscall(__NR_fsmount, fs, 0, 0);
	close(fs);
	return root;
}

/* The process has gone, but its cgroup may not have noticed it yet. */
static int remove_cgroup(void *arg)
{
	FIXTURE_DATA(cpuset) *self = arg;
	int tries = 0;

	while (rmdir(self->dir) && errno != ENOENT) {
		if (errno != EBUSY || ++tries == RMDIR_TRIES)
			return -errno;
		usleep(RMDIR_USEC);
	}
	return self->was_enabled ? 0 :
		write_cgroup(self->root, "cgroup.subtree_control", "-cpuset");
}

/* Puts this process into a cgroup of its own. Returns what is missing. */
static const char *enter_cgroup(struct __test_metadata *_metadata,
				FIXTURE_DATA(cpuset) *self)
{
	int root = open_cgroups();

	if (root < 0)
		return "cannot mount cgroup2: needs root and CONFIG_CGROUPS";
	snprintf(self->root, sizeof(self->root), "/proc/self/fd/%d", root);
	if (!file_has(self->root, "cgroup.controllers", "cpuset"))
		return "cgroup2 has no cpusets: needs CONFIG_CPUSETS";
	self->was_enabled = file_has(self->root, "cgroup.subtree_control",
				     "cpuset");
	snprintf(self->dir, sizeof(self->dir), "%s/cpu_opv_test.%d", self->root,
		 getpid());
	restore_at_end(_metadata, remove_cgroup, self);
	if (write_cgroup(self->root, "cgroup.subtree_control", "+cpuset"))
		return "cannot enable cpusets";
	if (mkdir(self->dir, 0755) || write_cgroup(self->dir, "cgroup.procs", "0"))
		return "cannot enter a new cgroup";
	return NULL;
}

FIXTURE_SETUP(cpuset)
{
	const char *missing;

	if (!cpu_opv_available())
		SKIP(return, CPU_OPV_ABSENT);
	if (nr_cpus() < 2)
		SKIP(return, ONE_CPU);
	self->cpu = nth_cpu(1);
	list_cpus(self->all, sizeof(self->all), -1);
	list_cpus(self->others, sizeof(self->others), self->cpu);
	self->add = op_add(&self->counter, 1, sizeof(self->counter));
	wait_until_restored();
	missing = enter_cgroup(_metadata, self);
	if (missing)
		SKIP(return, "%s", missing);
}

FIXTURE_TEARDOWN_PARENT(cpuset)
{
	wait_until_restored();
}

static int set_cpus(FIXTURE_DATA(cpuset) *self, const char *list)
{
	return write_cgroup(self->dir, "cpuset.cpus", list);
}

/* A cpuset loses a CPU that goes offline, and is to get it back. */
TEST_F(cpuset, allows_what_is_offline)
{
	int ret;

	ASSERT_EQ(0, set_cpus(self, self->all));
	bring_back_at_end(_metadata);
	ret = set_online(self->cpu, false);
	if (ret)
		SKIP(return, "cannot take CPU %d offline: %s", self->cpu,
		     strerror(-ret));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, self->cpu, 0));
	EXPECT_EQ(0, cpu_opv(NULL, 0, self->cpu, 0));
	/* It disturbs nobody either if it never had it. */
	EXPECT_EQ(0, set_cpus(self, self->others));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, self->cpu, 0));
	EXPECT_EQ(2, self->counter);
	EXPECT_EQ(0, set_online(self->cpu, true));
	EXPECT_EQ(-EINVAL, cpu_opv(&self->add, 1, self->cpu, 0));
	EXPECT_EQ(0, set_cpus(self, self->all));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, self->cpu, 0));
	EXPECT_EQ(3, self->counter);
}

TEST_F(cpuset, allows_and_forbids)
{
	ASSERT_EQ(0, set_cpus(self, self->all));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, self->cpu, 0));
	ASSERT_EQ(0, set_cpus(self, self->others));
	EXPECT_EQ(-EINVAL, cpu_opv(&self->add, 1, self->cpu, 0));
	EXPECT_EQ(-EINVAL, cpu_opv(NULL, 0, self->cpu, 0));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, nth_cpu(0), 0));
	EXPECT_EQ(2, self->counter);
	/* Not for the asking either. */
	EXPECT_EQ(-1, pin_to(self->cpu));
	EXPECT_EQ(-EINVAL, cpu_opv(&self->add, 1, self->cpu, 0));
	ASSERT_EQ(0, set_cpus(self, self->all));
	EXPECT_EQ(0, cpu_opv(&self->add, 1, self->cpu, 0));
	EXPECT_EQ(3, self->counter);
}

static void *keep_changing(void *arg)
{
	FIXTURE_DATA(cpuset) *self = arg;

	while (!self->stop && !self->error) {
		self->error = set_cpus(self, self->others) ?:
			      set_cpus(self, self->all);
		self->turns++;
	}
	return NULL;
}

TEST_F_TIMEOUT(cpuset, changes, RUN_TIMEOUT)
{
	long long end = now_usec() + run_usec(RUN_USEC);
	unsigned long done = 0, refused = 0;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_changing, self));
	while ((now_usec() < end || self->turns < MIN_TURNS ||
		is_awaited(done && refused, end)) &&
	       !self->error) {
		int ret = cpu_opv(&self->add, 1, self->cpu, 0);

		if (ret)
			ASSERT_EQ(-EINVAL, ret);
		done += !ret;
		refused += !!ret;
		ASSERT_EQ(done, self->counter);
	}
	self->stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, self->error);
	EXPECT_NE(0, done);
	EXPECT_NE(0, refused);
	TH_LOG_OPERATIONS(done);
	TH_LOG("%lu refused, %d turns", refused, self->turns);
}

TEST_HARNESS_MAIN
