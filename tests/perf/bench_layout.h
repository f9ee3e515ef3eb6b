/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the server of the harness serves: files and where their bytes are, made from
 * words of the command line. The same words make the same layout, whatever the variant.
 *
 *	NAME=simple:SIZE		one run
 *	NAME=strips:N:CHUNK:SIZE	chunks dealt to N strips in turn
 *	NAME=extents:N:SIZE		N extents of 1 to 3 units, in random places, so that
 *					neither a shift nor a guess finds one. SIZE is what
 *					is used of them; 0: all
 *	NAME=files:N:SIZE		files NAME0, NAME1, ..., each one run, in random places
 */
#ifndef FAMFS_PERF_BENCH_LAYOUT_H
#define FAMFS_PERF_BENCH_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "variants.h"

#define LAYOUT_MSG_MAX	256
#define LAYOUT_NAME_MAX	32
#define LAYOUT_DEVS_MAX	16

struct layout_dev {
	uint64_t size;
	uint64_t used;
	uint32_t id;		/* kernel's */
};

/* Files of one word: many with a number after the name, or one without. */
struct layout_group {
	char name[LAYOUT_NAME_MAX];
	size_t first;
	size_t nr;
	bool numbered;
};

struct layout {
	uint32_t unit_shift;
	struct layout_dev devs[LAYOUT_DEVS_MAX];
	size_t nr_devs;
	struct bench_file *files;
	size_t nr_files;
	struct layout_group *groups;
	size_t nr_groups;
	uint64_t seed;
};

/** layout_add() - make the files of one word; 0 or -errno and a sentence */
int layout_add(struct layout *l, const char *word, char msg[LAYOUT_MSG_MAX]);

/** layout_find() - index of a file by name, or -1 */
long layout_find(const struct layout *l, const char *name);
/** layout_name() - the opposite */
void layout_name(const struct layout *l, size_t i, char ret[LAYOUT_NAME_MAX]);

/**
 * layout_keep_drawn() - unpublish what nobody will visit
 *
 * Of numbered files, those that famfs-bench visits with --draws @draws, --seed 1 and --dist
 * zipf or uniform keep their layout. The others are there, but have none.
 */
int layout_keep_drawn(struct layout *l, size_t draws);

void layout_free(struct layout *l);

#endif /* FAMFS_PERF_BENCH_LAYOUT_H */
