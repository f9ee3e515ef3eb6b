/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The slow reference for the resolver: walks a file's record one chunk, and one
 * extent, at a time, as section 9 of the format describes it, without a division, a
 * shift or a table. And the rules that an answer of the resolver must keep to.
 */
#ifndef FMAP_REF_H
#define FMAP_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "slotmap.h"

struct ref_place {
	uint32_t devindex;
	uint64_t addr;
};

static inline bool ref_simple(const struct famfs_fmap *f, uint64_t pos, struct ref_place *ret)
{
	uint64_t begin = 0;

	for (uint32_t i = 0; i < f->next; i++) {
		if (pos - begin < f->ext[i].len) {
			ret->devindex = f->ext[i].devindex;
			ret->addr = f->ext[i].offset + (pos - begin);
			return true;
		}
		begin += f->ext[i].len;
	}
	return false;
}

/* Chunk after chunk, strip after strip, stripe after stripe. */
static inline bool ref_interleave(const struct famfs_fmap *f, uint64_t pos, struct ref_place *ret)
{
	uint64_t begin = 0, in_strip = 0;
	uint32_t strip = 0;

	while (pos - begin >= f->chunk) {
		begin += f->chunk;
		if (++strip == f->next) {
			strip = 0;
			in_strip += f->chunk;
		}
	}
	if (in_strip + (pos - begin) >= f->ext[strip].len)
		return false;
	ret->devindex = f->ext[strip].devindex;
	ret->addr = f->ext[strip].offset + in_strip + (pos - begin);
	return true;
}

static inline bool ref_place(const struct famfs_fmap *f, uint64_t pos, struct ref_place *ret)
{
	return f->ext_type == FAMFS_EXT_SIMPLE ? ref_simple(f, pos, ret)
					       : ref_interleave(f, pos, ret);
}

/* Is the unit at b right behind the unit at a? */
static inline bool ref_touch(const struct famfs_fmap *f, uint64_t a, uint64_t b, uint64_t unit)
{
	struct ref_place pa, pb;

	return ref_place(f, a, &pa) && ref_place(f, b, &pb) && pa.devindex == pb.devindex &&
	       pa.addr + unit == pb.addr;
}

/*
 * Check an answer; every unit of it if there are few, else the first and last ones.
 * Return: NULL or what is wrong.
 */
static inline const char *ref_check_run(const struct famfs_fmap *f, const struct slotmap_devs *devs,
					uint64_t unit, uint64_t pos, const struct famfs_run *run)
{
	uint64_t end = run->offset + run->length;
	uint64_t size = (f->size + unit - 1) / unit * unit;
	struct ref_place place;

	if ((run->offset | run->length | run->addr) % unit)
		return "not in units";
	if (!run->length || pos - run->offset >= run->length)
		return "does not cover the position";

	for (uint64_t u = run->offset; u < end; u += unit) {
		if (u - run->offset > 64 * unit && end - u > 64 * unit)
			u = end - 64 * unit;
		if (!ref_place(f, u, &place))
			return "reaches past the space of the file";
		if (devs->id[place.devindex] != run->dev)
			return "wrong device";
		if (place.addr != run->addr + (u - run->offset))
			return "wrong address";
	}
	if (end < size && ref_touch(f, end - unit, end, unit))
		return "could be longer";
	if (run->offset && ref_touch(f, run->offset - unit, run->offset, unit))
		return "could begin earlier";
	return NULL;
}

#endif /* FMAP_REF_H */
