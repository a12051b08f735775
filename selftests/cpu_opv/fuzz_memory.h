/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory of fuzz_test: some pages in a row, mapped in all the ways that
 * make a difference to cpu_opv(2), and next to each page what the model has
 * in it
 */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include <fcntl.h>

#include "cpu_opv_common.h"
#include "kselftest.h"

/* Random numbers that depend on the seed only (splitmix64). */
struct rng {
	__u64 state;
};

static __u64 random_number(struct rng *rng)
{
	__u64 z = rng->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static __u32 below(struct rng *rng, __u32 limit)
{
	return (random_number(rng) >> 32) % limit;
}

static bool one_in(struct rng *rng, __u32 nr)
{
	return !below(rng, nr);
}

#define NR_PAGES	16
#define NR_FILE_PAGES	4
/* What is written to pages repeats itself, but not at the same offsets. */
#define PERIOD		251

enum source { NOTHING, ZEROS, PRIVATE_FILE, SHARED_FILE, PAST_THE_END };

static const struct kind {
	const char *name;
	enum source source;
	int prot;
	int share;		/* of all regions, in relation to each other */
} kinds[] = {
	{ "anonymous",		ZEROS,		PROT_READ | PROT_WRITE, 5 },
	{ "anonymous-ro",	ZEROS,		PROT_READ,		1 },
	{ "file",		PRIVATE_FILE,	PROT_READ | PROT_WRITE,	3 },
	{ "file-ro",		PRIVATE_FILE,	PROT_READ,		1 },
	{ "shared",		SHARED_FILE,	PROT_READ | PROT_WRITE,	4 },
	{ "shared-ro",		SHARED_FILE,	PROT_READ,		1 },
	{ "past-the-end",	PAST_THE_END,	PROT_READ | PROT_WRITE,	1 },
	{ "no-access",		ZEROS,		PROT_NONE,		1 },
	{ "hole",		NOTHING,	PROT_NONE,		1 },
};

#define ANONYMOUS	(&kinds[0])
#define NO_ACCESS	(&kinds[ARRAY_SIZE(kinds) - 2])
#define HOLE		(&kinds[ARRAY_SIZE(kinds) - 1])

struct page {
	const struct kind *kind;
	int first;		/* page of its region */
	size_t pos;		/* in the file; that of the page if no file */
	unsigned char *model;	/* what is in it; NULL if not accessible */
};

struct memory {
	unsigned char *base;
	size_t page_size;
	int file[PAST_THE_END + 1];
	unsigned char *shared;		/* all of the shared file */
	unsigned char *private_file;	/* likewise */
	unsigned char *own_model;	/* of NR_PAGES */
	unsigned char *shared_model;	/* of NR_FILE_PAGES */
	unsigned char *pattern;
	struct page pages[NR_PAGES];
};

/* How a page is found by the vector. */
enum state { UNTOUCHED, ONLY_READ, WRITTEN };

static const char *const state_names[] = { "untouched", "read", "written" };

static bool is_shared(const struct page *page)
{
	return page->kind->source == SHARED_FILE;
}

static bool is_writable(const struct page *page)
{
	return page->model && page->kind->prot & PROT_WRITE;
}

static unsigned char *page_address(const struct memory *m, int nr)
{
	return m->base + nr * m->page_size;
}

/* The page that an address is in, or NULL. */
static const struct page *page_at(const struct memory *m, __u64 addr)
{
	__u64 offset = addr - addr_of(m->base);

	return offset < NR_PAGES * m->page_size ?
		&m->pages[offset / m->page_size] : NULL;
}

static const unsigned char *pattern_at(const struct memory *m, size_t pos)
{
	return m->pattern + pos % PERIOD;
}

static int make_file(struct memory *m, unsigned char **view)
{
	size_t size = NR_FILE_PAGES * m->page_size;
	int fd = syscall(__NR_memfd_create, "fuzz", 0);
	size_t i;

	if (fd < 0 || ftruncate(fd, size))
		return -1;
	*view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*view == MAP_FAILED)
		return -1;
	for (i = 0; i < size; i++)
		(*view)[i] = *pattern_at(m, i);
	return fd;
}

/* Returns what is missing, or NULL. */
static const char *make_memory(struct memory *m)
{
	size_t i;

	m->page_size = page_size();
	m->pattern = malloc(PERIOD + m->page_size);
	m->own_model = malloc(NR_PAGES * m->page_size);
	m->shared_model = malloc(NR_FILE_PAGES * m->page_size);
	m->base = map_pages(NR_PAGES);
	if (!m->pattern || !m->own_model || !m->shared_model ||
	    m->base == MAP_FAILED)
		return "needs more memory";
	fill(m->pattern, PERIOD, 1);
	for (i = PERIOD; i < PERIOD + m->page_size; i++)
		m->pattern[i] = m->pattern[i - PERIOD];
	m->file[PRIVATE_FILE] = make_file(m, &m->private_file);
	m->file[SHARED_FILE] = make_file(m, &m->shared);
	m->file[PAST_THE_END] = m->file[SHARED_FILE];
	if (m->file[PRIVATE_FILE] < 0 || m->file[SHARED_FILE] < 0)
		return "needs memfd_create(2)";
	return NULL;
}

/* Brings a page to a state with known content: in memory and in the model. */
static void prepare_page(struct memory *m, int nr, enum state state)
{
	struct page *page = &m->pages[nr];
	unsigned char *p = page_address(m, nr);
	const void *pattern = pattern_at(m, page->pos);
	size_t size = m->page_size;

	if (!page->model)
		return;
	if (is_shared(page))
		memcpy(m->shared + page->pos, pattern, size);
	if (state == WRITTEN && is_writable(page)) {
		memcpy(p, pattern, size);
		memcpy(page->model, pattern, size);
		return;
	}
	madvise(p, size, MADV_DONTNEED);
	if (page->kind->source == ZEROS)
		memset(page->model, 0, size);
	else
		memcpy(page->model, pattern, size);
	if (state != UNTOUCHED)
		madvise(p, size, MADV_POPULATE_READ);
}

static const struct kind *random_kind(struct rng *rng)
{
	int sum = 0, at;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		sum += kinds[i].share;
	at = below(rng, sum);
	for (i = 0; at >= kinds[i].share; i++)
		at -= kinds[i].share;
	return &kinds[i];
}

/* Maps a region of a kind; 0 or -errno. A file is mapped from a random page. */
static int map_region(struct memory *m, struct rng *rng,
		      const struct kind *kind, int first, int nr)
{
	enum source source = kind->source;
	size_t size = m->page_size;
	size_t file_pos = below(rng, NR_FILE_PAGES - nr + 1) * size;
	int flags = source == ZEROS ? MAP_PRIVATE | MAP_ANONYMOUS :
		    source == PRIVATE_FILE ? MAP_PRIVATE : MAP_SHARED;
	bool is_file = source == PRIVATE_FILE || source == SHARED_FILE;
	unsigned char *p = page_address(m, first);
	int i;

	if (source == PAST_THE_END)
		file_pos = NR_FILE_PAGES * size;
	if (source == NOTHING ? munmap(p, nr * size) :
	    mmap(p, nr * size, kind->prot, flags | MAP_FIXED,
		 source == ZEROS ? -1 : m->file[source],
		 source == ZEROS ? 0 : file_pos) != p)
		return -errno;
	for (i = first; i < first + nr; i++) {
		struct page *page = &m->pages[i];

		page->kind = kind;
		page->first = first;
		page->pos = is_file ? file_pos + (i - first) * size : i * size;
		page->model = NULL;
		if (kind->prot && source == SHARED_FILE)
			page->model = m->shared_model + page->pos;
		else if (kind->prot && source != PAST_THE_END)
			page->model = m->own_model + i * size;
	}
	return 0;
}

/*
 * A random layout. It begins with a page for the vector itself, before one
 * that is not accessible, and ends with a hole.
 */
static int map_layout(struct memory *m, __u64 seed)
{
	struct rng rng = { seed };
	int nr, first, ret;

	ret = map_region(m, &rng, ANONYMOUS, 0, 1) ?:
	      map_region(m, &rng, one_in(&rng, 2) ? NO_ACCESS : HOLE, 1, 1) ?:
	      map_region(m, &rng, HOLE, NR_PAGES - 1, 1);
	for (first = 2; first < NR_PAGES - 1 && !ret; first += nr) {
		nr = 1 + below(&rng, 3);
		if (nr > NR_PAGES - 1 - first)
			nr = NR_PAGES - 1 - first;
		ret = map_region(m, &rng, random_kind(&rng), first, nr);
	}
	for (first = 0; first < NR_PAGES && !ret; first++)
		prepare_page(m, first, UNTOUCHED);
	return ret;
}

/* The first address that does not have what the model has, or NULL. */
static const unsigned char *find_difference(const struct memory *m)
{
	size_t i;
	int nr;

	for (nr = 0; nr < NR_PAGES; nr++) {
		const unsigned char *p = page_address(m, nr);
		const unsigned char *model = m->pages[nr].model;

		if (!model || !memcmp(p, model, m->page_size))
			continue;
		for (i = 0; p[i] == model[i]; i++)
			;
		return p + i;
	}
	return NULL;
}

#endif /* FUZZ_MEMORY_H */
