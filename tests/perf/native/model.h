/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a lookup reads: distinct cache lines, how many of them wait for each other, which
 * are those of the page tables; of the product's own program and of V10's walk, both
 * interpreted (bpfsim.h), over the same files. And misses of a modelled last-level cache.
 *
 * Addresses are the model's, not this process's: tables begin at fixed places, so that
 * every count is exact and repeats.
 */
#ifndef FAMFS_PERF_MODEL_H
#define FAMFS_PERF_MODEL_H

#include <linux/fuse_iomap.h>

#include "bpfsim.h"
#include "cache.h"
#include "fileset.h"

/* Of the files, or the same whatever the file is (table of devices, constants). */
enum model_kind { MODEL_PER_FILE, MODEL_SHARED };

struct model_region {
	const char *base;
	size_t size;
	uint64_t place;		/* where the model has it */
	enum model_kind kind;
	unsigned int page_shift;	/* 12: vmalloc, 21: direct map, large maps */
};

#define MODEL_REGIONS_MAX	8
#define MODEL_LINES_MAX		64

/* The modelled machine: 32 MiB of last-level cache, 2048 entries of TLB */
#define MODEL_LLC_SETS		32768
#define MODEL_LLC_WAYS		16
#define MODEL_TLB_SETS		128
#define MODEL_TLB_WAYS		16

/**
 * struct model_count - sums over lookups
 * @lines: distinct lines of the file's own metadata
 * @inode_lines: distinct lines of the inode, read to get there
 * @dependent: of @lines, the longest chain in which each waits for the one before
 * @shared: distinct other lines; they are in the cache as long as anybody looks anything up
 * @tables: distinct lines of page tables, of all that is read
 * @instructions: of the program
 * @misses, @table_misses: of the modelled cache, if it is used
 */
struct model_count {
	uint64_t lookups;
	uint64_t lines;
	uint64_t inode_lines;
	uint64_t dependent;
	uint64_t shared;
	uint64_t tables;
	uint64_t instructions;
	uint64_t misses;
	uint64_t table_misses;
};

struct model {
	struct bpfsim slot, v10;
	struct fileset files;
	struct arena slots, extents;
	uint64_t nr_extents;
	struct model_region region[MODEL_REGIONS_MAX];
	unsigned int nr_regions;
	bool use_cache;
	struct cache llc, tlb;
	struct model_count *count;	/* of the lookup under way */
	uint64_t line[MODEL_LINES_MAX];	/* that it has read, and when they were there */
	unsigned int ready[MODEL_LINES_MAX];
	unsigned int nr_lines;
	uint64_t table[MODEL_LINES_MAX];
	unsigned int nr_tables;
	int err;
};

int model_init(struct model *m, uint64_t n, uint32_t strips);
void model_free(struct model *m);

/** model_cache_reset() - empty caches, used from now on or not */
void model_cache_reset(struct model *m, bool use);

/** model_slot() - the product's program for position @pos of file @i. 0 or -errno */
int model_slot(struct model *m, uint64_t i, uint64_t pos, struct fuse_iomap_io *ret,
	       struct model_count *count);

/** model_v10() - V10's walk */
int model_v10(struct model *m, uint64_t i, uint64_t pos, struct v10_iomap *ret,
	      struct model_count *count);

#endif /* FAMFS_PERF_MODEL_H */
