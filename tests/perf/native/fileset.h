/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set of files, all of one kind, in the layouts that are compared: slots as the
 * server encodes them, V10's metas and a hash's values. The placement on devices is made
 * up, the encodings are the real ones.
 */
#ifndef FAMFS_PERF_FILESET_H
#define FAMFS_PERF_FILESET_H

#include <stddef.h>
#include <stdint.h>

#include <famfs/fmap.h>

#include "native.h"
#include "v10.h"

#define FILESET_UNIT_SHIFT	21
#define FILESET_CHUNK		(1ULL << FILESET_UNIT_SHIFT)
#define FILESET_SIZE		(64ULL << 20)	/* of each file, and of positions */
#define FILESET_DEVS		16
#define FILESET_GENERATION	1

/* Memory in huge pages, or surely not. */
struct arena {
	char *base;
	size_t size;
	size_t used;
};

int arena_init(struct arena *a, size_t size, bool huge);
void arena_free(struct arena *a);
/** arena_huge_percent() - how much of it the kernel really gave as huge pages */
int arena_huge_percent(const struct arena *a);

/**
 * struct fileset - the files
 * @n:		how many
 * @strips:	1: one extent; else strips of FILESET_CHUNK
 * @meta:	of file i, WALK_META_STRIDE apart
 */
struct fileset {
	uint64_t n;
	uint32_t strips;
	struct arena meta, iext, ext;
	struct v10_devs devs;
	struct v10_dev dev[FILESET_DEVS];
};

/** fileset_v10() - V10's structures, each kind in a slab of its kmalloc size, in order */
int fileset_v10(struct fileset *fs, uint64_t n, uint32_t strips);
void fileset_free(struct fileset *fs);

/** fileset_extents_max() - records of the second table that a file may take */
uint32_t fileset_extents_max(uint32_t strips);

/**
 * fileset_slots() - encode into tables of n slots and room for @nr_extents records
 *
 * Return: records used, or -errno.
 */
int64_t fileset_slots(uint64_t n, uint32_t strips, struct famfs_slot *slots,
		      struct famfs_slot_extent *extents, uint64_t nr_extents);

void fileset_hash_file(uint64_t i, uint32_t strips, struct native_hash_file *ret);

#endif /* FAMFS_PERF_FILESET_H */
