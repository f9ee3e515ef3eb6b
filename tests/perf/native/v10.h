/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rival: how famfs V10 (March 2026) keeps a file's layout in the kernel, and how it
 * finds a position in it, written anew from the description of its structures. A
 * file's meta, its extents and their strips are three allocations; devices are in a
 * table. Compiled by gcc for native.c and by clang for the line counter.
 */
#ifndef FAMFS_PERF_V10_H
#define FAMFS_PERF_V10_H

#include <linux/errno.h>
#include <linux/types.h>

enum v10_ext_type { V10_SIMPLE, V10_INTERLEAVE };

/* 24 bytes: an extent, or a strip */
struct v10_ext {
	__u64	dev;		/* index into the table of devices */
	__u64	offset;
	__u64	len;
};

/* 32 bytes */
struct v10_iext {
	__u64	nstrips;
	__u64	chunk;
	__u64	nbytes;
	struct v10_ext *strips;
};

/* 56 bytes */
struct v10_meta {
	__u8	error;
	__u32	file_type;
	__u64	file_size;
	__u32	ext_type;
	__u64	dev_bitmap;
	__u64	nextents;
	union {
		struct v10_ext *se;
		struct v10_iext *ie;
	};
	__u64	spare;
};

_Static_assert(sizeof(struct v10_ext) == 24, "extent");
_Static_assert(sizeof(struct v10_iext) == 32, "interleaved extent");
_Static_assert(sizeof(struct v10_meta) == 56, "meta");

struct v10_dev {
	__u8	valid;
	__u8	error;
	__u32	devno;
	void	*devp;
	char	*name;
};

struct v10_devs {
	__u64	nslots;
	struct v10_dev *list;
};

/* What it fills of a struct iomap */
struct v10_iomap {
	__u64	addr;
	__u64	offset;
	__u64	length;
	void	*dax_dev;
	__u16	type;
	__u16	flags;
};

#define V10_INLINE	static inline __attribute__((always_inline, unused))

V10_INLINE int v10_dev_bad(const struct v10_devs *devs, __u64 i)
{
	const struct v10_dev *dev;

	if (i >= devs->nslots)
		return 1;
	dev = &devs->list[i];
	return !dev->valid || dev->error;
}

V10_INLINE void v10_answer(const struct v10_devs *devs, __u64 dev, __u64 addr, __u64 pos, __u64 len,
			   struct v10_iomap *ret)
{
	ret->addr = addr;
	ret->offset = pos;
	ret->length = len;
	ret->dax_dev = devs->list[dev].devp;
	ret->type = 2;		/* IOMAP_MAPPED */
	ret->flags = 0;
}

V10_INLINE int v10_interleave(const struct v10_meta *meta, const struct v10_devs *devs, __u64 pos,
			      __u64 len, struct v10_iomap *ret)
{
	__u64 left = pos;

	for (__u64 i = 0; i < meta->nextents; i++) {
		const struct v10_iext *ie = &meta->ie[i];
		__u64 nbytes = ie->nbytes < meta->file_size ? ie->nbytes : meta->file_size;

		if (!nbytes)
			return -EIO;
		if (left < nbytes) {
			__u64 chunk = left / ie->chunk;
			__u64 within = left % ie->chunk;
			__u64 stripe = chunk / ie->nstrips;
			__u64 nth = chunk % ie->nstrips;
			__u64 rest = ie->chunk - within;
			const struct v10_ext *strip = &ie->strips[nth];

			if (v10_dev_bad(devs, strip->dev))
				return -EIO;
			v10_answer(devs, strip->dev, strip->offset + stripe * ie->chunk + within,
				   pos, len < rest ? len : rest, ret);
			return 0;
		}
		left -= nbytes;
	}
	return -EIO;
}

V10_INLINE int v10_simple(const struct v10_meta *meta, const struct v10_devs *devs, __u64 pos,
			  __u64 len, struct v10_iomap *ret)
{
	__u64 left = pos;

	for (__u64 i = 0; i < meta->nextents; i++) {
		const struct v10_ext *se = &meta->se[i];

		if (left < se->len) {
			__u64 rest = se->len - left;

			if (v10_dev_bad(devs, se->dev))
				return -EIO;
			v10_answer(devs, se->dev, se->offset + left, pos, len < rest ? len : rest,
				   ret);
			return 0;
		}
		left -= se->len;
	}
	return -EIO;
}

/* @i_size: of the inode, which V10 compares with its own copy */
V10_INLINE int v10_resolve(const struct v10_meta *meta, const struct v10_devs *devs, __u64 i_size,
			   __u64 pos, __u64 len, struct v10_iomap *ret)
{
	if (!meta || i_size != meta->file_size || meta->error)
		return -EIO;
	if (pos >= meta->file_size)
		return -EIO;
	if (meta->ext_type == V10_INTERLEAVE)
		return v10_interleave(meta, devs, pos, len, ret);
	return v10_simple(meta, devs, pos, len, ret);
}

#endif /* FAMFS_PERF_V10_H */
