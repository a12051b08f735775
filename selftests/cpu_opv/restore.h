/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests that change the machine: all is put back at the end of the test,
 * however that comes. A process of its own does it, as a test that takes too
 * long is killed with its whole process group.
 *
 * The set-up of a test calls wait_until_restored(), looks at what is, calls
 * restore_at_end() and then changes it; or change_settings() for all of this.
 * FIXTURE_TEARDOWN_PARENT() calls wait_until_restored() again.
 *
 * Include it after kselftest_harness.h.
 */
#ifndef CPU_OPV_RESTORE_H
#define CPU_OPV_RESTORE_H

#include <stdatomic.h>

#include "cpu_opv_common.h"

/* So much is not as it was: shared by all processes of the program. */
static atomic_int *nr_changed;

static void __attribute__((constructor)) map_nr_changed(void)
{
	nr_changed = mmap(NULL, sizeof(*nr_changed), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Of this test, in the parent, or of one before, that may have been killed. */
static inline void wait_until_restored(void)
{
	while (*nr_changed)
		usleep(1000);
}

/*
 * Has restore(arg) called when this process is gone. It returns 0 or -errno,
 * which fails the test. What was changed last is restored first, as its process
 * still has the pipes of those before.
 */
static inline void restore_at_end(struct __test_metadata *_metadata,
				  int (*restore)(void *arg), void *arg)
{
	int ends[2];
	pid_t pid;
	char none;

	ASSERT_EQ(0, pipe(ends));
	pid = fork();
	if (pid) {
		ASSERT_LT(0, pid);
		++*nr_changed;
		close(ends[0]);
		return;
	}
	/* An ASSERT here would act on one of the test that fails meanwhile. */
	setsid();
	close(ends[1]);
	EXPECT_EQ(0, read(ends[0], &none, sizeof(none)));
	EXPECT_EQ(0, restore(arg));
	--*nr_changed;
	_exit(0);
}

/* A file of the kernel that holds a number or the like. */
struct setting {
	const char *path;
	const char *text;	/* that the test writes */
	char before[64];
};

/* Reads a short file; 0 or -errno. */
static inline int read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, text, size - 1);
	text[len < 0 ? 0 : len] = '\0';
	close(fd);
	return len < 0 ? -EIO : 0;
}

/* The number after the last line that starts with key, or -1. */
static inline long number_in(const char *path, const char *key)
{
	FILE *f = fopen(path, "r");
	long number = -1;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key)))
			number = atol(line + strlen(key));
	}
	if (f)
		fclose(f);
	return number;
}

static inline bool is_as_before(const struct setting *s)
{
	char now[sizeof(s->before)];

	return !read_file(s->path, now, sizeof(now)) && !strcmp(now, s->before);
}

/* The last one first. */
static inline int restore_settings(void *settings)
{
	struct setting *s = settings;
	int ret = 0;

	while (s->path)
		s++;
	while (s-- != settings) {
		if (is_as_before(s))
			continue;
		ret = write_file(s->path, s->before) ?: ret;
		if (!is_as_before(s))
			ret = ret ?: -EIO;
	}
	return ret;
}

/*
 * Changes settings, of which the last one has no path, until the end of the
 * test. Returns 0 or -errno.
 */
static inline int change_settings(struct __test_metadata *_metadata,
				  struct setting *settings)
{
	struct setting *s;
	int ret = 0;

	wait_until_restored();
	for (s = settings; s->path && !ret; s++)
		ret = read_file(s->path, s->before, sizeof(s->before));
	if (ret)
		return ret;
	restore_at_end(_metadata, restore_settings, settings);
	for (s = settings; s->path && !ret; s++)
		ret = write_file(s->path, s->text);
	return ret;
}

#endif /* CPU_OPV_RESTORE_H */
