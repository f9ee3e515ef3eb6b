/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocation bitmaps, one per device, rebuilt from the log: the only record of
 * what is in use. Space of entries that were left out stays taken, and so does
 * that of a bad layout as far as it can be read; only a bad crc hides it.
 * No locks: belongs to the writer.
 */
#ifndef FAMFS_LIB_ALLOC_H
#define FAMFS_LIB_ALLOC_H

#include "famfs_media.h"

struct famfs_alloc;

/*
 * How a file is interleaved. Strip i goes to device i mod n; the buckets are
 * numbered over all devices in index order, device d having one more than the
 * next while they do not divide evenly; each strip takes a bucket of its own.
 */
struct famfs_layout {
	uint64_t chunk; /* bytes, power of two, multiple of the allocation unit */
	uint32_t nstrips; /* 1..16, <= nbuckets */
	uint32_t nbuckets; /* 1..64, each >= 1 GiB; >= number of devices used */
	uint64_t seed; /* order in which buckets are tried; same seed, same result */
};

struct famfs_bucket_stats {
	uint32_t devindex;
	uint64_t size; /* bytes, all of these */
	uint64_t used;
	uint64_t fragments; /* free runs */
	uint64_t largest; /* free run */
	uint64_t smallest;
};

struct famfs_alloc_stats {
	uint64_t capacity; /* bytes in the devices' superblocks */
	uint64_t bitmap; /* bytes that the bitmaps cover */
	uint64_t used; /* bytes, superblocks and log included */
	uint64_t collisions; /* units that more than one extent claims */
};

/** famfs_alloc_new() - bitmaps for the devices in the table; -E2BIG above FAMFS_MAX_UNITS */
int famfs_alloc_new(const struct famfs_devs *devs, struct famfs_alloc **ret_alloc);
void famfs_alloc_free(struct famfs_alloc *alloc);

/** famfs_alloc_add_device() - one more device, after famfs_devs_add() */
int famfs_alloc_add_device(struct famfs_alloc *alloc, const struct famfs_devs *devs);

/** famfs_alloc_mark() - take what a whole (crc, seqnum) FILE entry claims, clamped */
void famfs_alloc_mark(struct famfs_alloc *alloc, const struct famfs_media_entry *raw);

/** famfs_alloc_check_layout() - 0, or -EINVAL with a sentence in buf */
int famfs_alloc_check_layout(const struct famfs_alloc *alloc, const struct famfs_layout *layout,
			     char *buf, size_t size);

/**
 * famfs_alloc_find() - find space for entry->size bytes; takes nothing
 *
 * Fills ext_type, chunk, next, ext. A layout of NULL, or a size below one chunk,
 * gives one contiguous extent by first fit over the devices in index order.
 * Play of the appended entry marks the space, so nothing leaks if the append
 * fails. Return: 0, -EINVAL (size 0, bad layout), -ENOSPC, -EUCLEAN when the log
 * claims the space many times over.
 */
int famfs_alloc_find(struct famfs_alloc *alloc, const struct famfs_layout *layout,
		     struct famfs_entry *entry);

void famfs_alloc_stats(const struct famfs_alloc *alloc, struct famfs_alloc_stats *ret);

/** famfs_alloc_bucket_stats() - of bucket i of nbuckets; -EINVAL if there is none */
int famfs_alloc_bucket_stats(const struct famfs_alloc *alloc, uint32_t nbuckets, uint32_t i,
			     struct famfs_bucket_stats *ret);

#endif /* FAMFS_LIB_ALLOC_H */
