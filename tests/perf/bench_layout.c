// SPDX-License-Identifier: GPL-2.0-only
/*
 * Layouts, see bench_layout.h. Space is given out in sequence, device after device in
 * turn; nothing is ever freed.
 */
#include "bench_layout.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define GENERATION	1
#define EXTENTS_MAX	1000000

static int bad(char *msg, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int bad(char *msg, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, LAYOUT_MSG_MAX, fmt, ap);
	va_end(ap);
	return err;
}

/* ---- space ---- */

static uint64_t unit_round(const struct layout *l, uint64_t bytes)
{
	uint64_t unit = 1ULL << l->unit_shift;

	return (bytes + unit - 1) & ~(unit - 1);
}

/* On device number @turn, from an address that is a multiple of 2 MiB if it is that large. */
static int space_take(struct layout *l, size_t turn, uint64_t bytes, struct bench_extent *ret,
		      char *msg)
{
	struct layout_dev *d = &l->devs[turn % l->nr_devs];
	uint64_t align = bytes >= SZ_2M ? SZ_2M : 1ULL << l->unit_shift;
	uint64_t at = (d->used + align - 1) & ~(align - 1);

	if (at > d->size || bytes > d->size - at)
		return bad(msg, -ENOSPC, "device %zu has %llu bytes, too few for the files",
			   turn % l->nr_devs, (unsigned long long)d->size);
	d->used = at + bytes;
	ret->addr = at;
	ret->length = bytes;
	ret->dev = d->id;
	return 0;
}

static int files_grow(struct layout *l, size_t nr)
{
	struct bench_file *f = realloc(l->files, (l->nr_files + nr) * sizeof(*f));

	if (!f)
		return -ENOMEM;
	l->files = f;
	memset(f + l->nr_files, 0, nr * sizeof(*f));
	for (size_t i = l->nr_files; i < l->nr_files + nr; i++) {
		f[i].nodeid = BENCH_NODEID_FIRST + i;
		f[i].generation = GENERATION;
	}
	l->nr_files += nr;
	return 0;
}

/* ---- the kinds of files; @n are the numbers of the word ---- */

static int add_strips(struct layout *l, const uint64_t n[3], char *msg)
{
	struct bench_extent *ext;
	struct bench_file *f;
	uint64_t each;
	int err = 0;

	if (!n[0] || n[0] > BENCH_STRIPS_MAX || !n[1] || n[1] & (n[1] - 1) || !n[2] ||
	    n[1] % (1ULL << l->unit_shift))
		return bad(
			msg, -EINVAL,
			"strips: 1 to %d, a chunk that is a power of two and a multiple of the unit, a size",
			BENCH_STRIPS_MAX);
	ext = calloc(n[0], sizeof(*ext));
	if (!ext || files_grow(l, 1)) {
		free(ext);
		return -ENOMEM;
	}
	each = (n[2] + n[0] * n[1] - 1) / (n[0] * n[1]) * n[1];
	f = &l->files[l->nr_files - 1];
	*f = (struct bench_file){ .nodeid = f->nodeid,
				  .generation = GENERATION,
				  .size = n[2],
				  .chunk = n[1],
				  .ext = ext,
				  .nr = (uint32_t)n[0] };
	for (size_t i = 0; !err && i < n[0]; i++)
		err = space_take(l, i, each, &ext[i], msg);
	return err;
}

static int add_extents(struct layout *l, const uint64_t n[3], char *msg)
{
	struct rng rng = { l->seed };
	uint64_t offset = 0;
	struct bench_extent *ext;
	struct bench_file *f;
	uint32_t *place;
	int err = 0;

	if (!n[0] || n[0] > EXTENTS_MAX)
		return bad(msg, -EINVAL, "extents: 1 to %u", EXTENTS_MAX);
	ext = calloc(n[0], sizeof(*ext));
	place = rng_permutation(l->seed, n[0]);
	if (!ext || !place || files_grow(l, 1)) {
		free(ext);
		free(place);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n[0]; i++)
		ext[i].length = (1 + rng_next(&rng) % 3) << l->unit_shift;
	/* One alone must hold what is asked of it. */
	if (n[0] == 1 && n[1])
		ext[0].length = unit_round(l, n[1]);
	for (size_t i = 0; !err && i < n[0]; i++)
		err = space_take(l, 0, ext[place[i]].length, &ext[place[i]], msg);
	for (size_t i = 0; i < n[0]; i++) {
		ext[i].offset = offset;
		offset += ext[i].length;
	}
	f = &l->files[l->nr_files - 1];
	f->size = n[1] && n[1] < offset ? n[1] : offset;
	f->ext = ext;
	/* Extents past the size would be of no use, and are not given. */
	while (f->nr < n[0] && ext[f->nr].offset < f->size)
		f->nr++;
	free(place);
	return err;
}

static int add_files(struct layout *l, uint64_t nr, uint64_t size, char *msg)
{
	size_t first = l->nr_files;
	struct bench_extent *ext;
	uint32_t *place;
	int err = 0;

	if (!nr || nr > 1U << 24 || !size)
		return bad(msg, -EINVAL, "how many files, of which size?");
	ext = calloc(nr, sizeof(*ext));
	place = rng_permutation(l->seed, nr);
	if (!ext || !place || files_grow(l, nr)) {
		free(ext);
		free(place);
		return -ENOMEM;
	}
	for (size_t i = 0; i < nr; i++) {
		l->files[first + i].size = size;
		l->files[first + i].ext = &ext[i];
		l->files[first + i].nr = 1;
	}
	for (size_t i = 0; !err && i < nr; i++)
		err = space_take(l, i, unit_round(l, size), &ext[place[i]], msg);
	free(place);
	return err;
}

/* ---- words ---- */

/* Up to three numbers, each with k, m or g; how many, or -1 */
static int word_numbers(const char *text, uint64_t n[3])
{
	int count = 0;

	while (*text == ':' && count < 3) {
		char *end;

		n[count] = strtoull(text + 1, &end, 0);
		if (end == text + 1)
			return -1;
		switch (*end) {
		case 'g':
			n[count] <<= 10; /* fall through */
		case 'm':
			n[count] <<= 10; /* fall through */
		case 'k':
			n[count] <<= 10;
			end++;
		}
		count++;
		text = end;
	}
	return *text ? -1 : count;
}

int layout_add(struct layout *l, const char *word, char msg[LAYOUT_MSG_MAX])
{
	const char *equals = strchr(word, '='), *how = equals ? equals + 1 : "";
	size_t name = equals ? (size_t)(equals - word) : 0, len = strcspn(how, ":");
	struct layout_group *g = realloc(l->groups, (l->nr_groups + 1) * sizeof(*g));
	uint64_t n[3] = { 0 };
	int count = word_numbers(how + len, n), err;

	if (!g)
		return -ENOMEM;
	l->groups = g;
	g += l->nr_groups;
	if (!name || name > 16 || count < 1)
		return bad(msg, -EINVAL, "'%s' is not NAME=HOW:NUMBER[:NUMBER]...", word);
	*g = (struct layout_group){ .first = l->nr_files };
	memcpy(g->name, word, name);
	if (len == 6 && !memcmp(how, "simple", 6) && count == 1) {
		err = add_files(l, 1, n[0], msg);
	} else if (len == 6 && !memcmp(how, "strips", 6) && count == 3) {
		err = add_strips(l, n, msg);
	} else if (len == 7 && !memcmp(how, "extents", 7) && count == 2) {
		err = add_extents(l, n, msg);
	} else if (len == 5 && !memcmp(how, "files", 5) && count == 2) {
		g->numbered = true;
		err = add_files(l, n[0], n[1], msg);
	} else {
		return bad(
			msg, -EINVAL,
			"'%s' is none of simple:SIZE, strips:N:CHUNK:SIZE, extents:N:SIZE, files:N:SIZE",
			word);
	}
	if (err == -ENOMEM)
		return bad(msg, err, "out of memory");
	if (err)
		return err;
	g->nr = l->nr_files - g->first;
	l->nr_groups++;
	return 0;
}

long layout_find(const struct layout *l, const char *name)
{
	for (size_t i = 0; i < l->nr_groups; i++) {
		const struct layout_group *g = &l->groups[i];
		size_t len = strlen(g->name);
		unsigned long nr;
		char *end;

		if (strncmp(name, g->name, len))
			continue;
		if (!g->numbered && !name[len])
			return (long)g->first;
		if (!g->numbered || name[len] < '0' || name[len] > '9' ||
		    (name[len] == '0' && name[len + 1]))
			continue;
		nr = strtoul(name + len, &end, 10);
		if (!*end && nr < g->nr)
			return (long)(g->first + nr);
	}
	return -1;
}

void layout_name(const struct layout *l, size_t i, char ret[LAYOUT_NAME_MAX])
{
	const struct layout_group *g = l->groups;

	while (i >= g->first + g->nr)
		g++;
	if (g->numbered)
		snprintf(ret, LAYOUT_NAME_MAX, "%.16s%zu", g->name, i - g->first);
	else
		snprintf(ret, LAYOUT_NAME_MAX, "%s", g->name);
}

int layout_keep_drawn(struct layout *l, size_t draws)
{
	for (size_t g = 0; g < l->nr_groups; g++) {
		struct bench_file *f = l->files + l->groups[g].first;
		size_t nr = l->groups[g].nr;
		uint32_t *zipf = rng_draws(1, nr, draws, DIST_ZIPF);
		uint32_t *uniform = rng_draws(1, nr, draws, DIST_UNIFORM);
		bool *keep = calloc(nr, sizeof(*keep));

		if (!zipf || !uniform || !keep) {
			free(zipf);
			free(uniform);
			free(keep);
			return -ENOMEM;
		}
		for (size_t i = 0; i < draws; i++)
			keep[zipf[i]] = keep[uniform[i]] = true;
		for (size_t i = 0; i < nr; i++)
			if (!keep[i])
				f[i].nr = 0;
		free(zipf);
		free(uniform);
		free(keep);
	}
	return 0;
}

void layout_free(struct layout *l)
{
	/* The extents of a group are one allocation, that of its first file. */
	for (size_t i = 0; i < l->nr_groups; i++)
		free((void *)l->files[l->groups[i].first].ext);
	free(l->files);
	free(l->groups);
}
