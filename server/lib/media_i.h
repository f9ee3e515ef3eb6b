/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the media modules share and nobody else needs: filling a famfs_error,
 * and checked little-endian loads.
 */
#ifndef FAMFS_MEDIA_I_H
#define FAMFS_MEDIA_I_H

#include <endian.h>

#include "famfs_media.h"

/* Where a decoder stands; enough to name any field in an error. */
struct famfs_at {
	struct famfs_error *err; /* filled on failure */
	const char *device;
	enum famfs_object object;
	enum famfs_verdict verdict;
	uint64_t index;
	uint64_t base; /* device offset of the object */
	const char *path; /* of the entry, or NULL */
	size_t path_len;
};

/* All return errnum, so that a check is one statement. off is from at->base. */
int famfs_bad(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
	      const char *found, const char *expected, ...) __attribute__((format(printf, 6, 7)));
int famfs_bad_hex(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
		  uint64_t found, const char *expected, ...) __attribute__((format(printf, 6, 7)));
int famfs_bad_dec(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
		  uint64_t found, const char *expected, ...) __attribute__((format(printf, 6, 7)));

/* famfs_entry_decode() of an entry that famfs_entry_check() has passed. */
int famfs_entry_decode_body(const struct famfs_media_entry *raw, const char *device, uint64_t index,
			    const struct famfs_devs *devs, struct famfs_entry *ret,
			    struct famfs_error *ret_err);

uint64_t famfs_crc32(const void *buf, size_t len);

/* Allocation units of a device, a partial last one included. */
static inline uint64_t famfs_units(uint64_t size, uint64_t alloc_unit)
{
	return size / alloc_unit + !!(size % alloc_unit);
}

static inline bool famfs_is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

#endif /* FAMFS_MEDIA_I_H */
