/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the bytes of a slice are, for the server and for its BPF program alike: a
 * file is a list of ranges of devices, one after the other or striped.
 */
#ifndef DAXSLICE_SLICE_H
#define DAXSLICE_SLICE_H

#include <linux/errno.h>
#include <linux/fuse_iomap.h>
#include <linux/types.h>

#define SLICE_NODEID_FIRST	2ULL	/* of the first file; 1 is the root */
#define SLICE_GENERATION	1U
#define SLICE_RANGES_MAX	64	/* of one file; bounds the loop in BPF */

struct slice_range {
	__u64	start;		/* in the file; 0 when striped */
	__u64	length;
	__u64	addr;		/* on the device */
	__u32	dev;		/* kernel's id of the device */
	__u32	pad;
};

struct slice_file {
	__u64	size;
	__u64	chunk;		/* bytes; 0: ranges follow each other */
	__u32	first;		/* range */
	__u32	count;		/* of ranges */
};

/* Range i of all files, NULL if there is none. */
typedef const struct slice_range *(*slice_range_fn)(void *ctx, __u32 i);

static inline __attribute__((always_inline)) void slice_map(const struct slice_range *r,
							    __u64 offset, __u64 length, __u64 skip,
							    struct fuse_iomap_io *out)
{
	out->offset = offset;
	out->length = length;
	out->addr = r->addr + skip;
	out->type = FUSE_IOMAP_TYPE_MAPPED;
	out->flags = 0;
	out->dev = r->dev;
}

/**
 * slice_resolve() - the mapping that holds a position
 *
 * The whole range of a linear or concatenated file, one chunk of a striped one.
 * Return: 0, or -ENXIO past the end.
 */
static inline __attribute__((always_inline)) int slice_resolve(const struct slice_file *f,
							       slice_range_fn range, void *ctx,
							       __u64 pos, struct fuse_iomap_io *out)
{
	const struct slice_range *r;
	__u64 chunk;
	__u32 i;

	if (pos >= f->size)
		return -ENXIO;

	if (f->chunk && f->count) {
		chunk = pos / f->chunk;
		r = range(ctx, f->first + (__u32)(chunk % f->count));
		if (!r)
			return -ENXIO;
		slice_map(r, chunk * f->chunk, f->chunk, chunk / f->count * f->chunk, out);
		return 0;
	}

	for (i = 0; i < SLICE_RANGES_MAX && i < f->count; i++) {
		r = range(ctx, f->first + i);
		if (!r)
			break;
		if (pos - r->start < r->length) {
			slice_map(r, r->start, r->length, 0, out);
			return 0;
		}
	}
	return -ENXIO;
}

#endif /* DAXSLICE_SLICE_H */
