// SPDX-License-Identifier: GPL-2.0-only
/*
 * From a decoded file record to the slot that page faults read. Pure: no tables, no
 * I/O. A record comes from the media decoder, but nothing here depends on that: what
 * would make a wrong slot is refused.
 */
#include "slotmap.h"

#include <errno.h>
#include <stdint.h>

/*
 * A file under encoding, and its pieces in order, each one run on a device. Pieces are
 * made where the caller wants extents, since that is what they become. A million of these
 * are made at mount: nothing is cleared or copied that need not be.
 */
struct pieces {
	const struct famfs_fmap *fmap;
	const struct slotmap_devs *devs;
	uint32_t unit_shift;
	uint32_t size;			/* units */
	uint32_t covered;		/* units in piece[] */
	uint32_t count;
	bool joined;			/* at least two touched */
	struct famfs_slot_extent *piece;	/* FAMFS_MAX_EXTENTS */
};

static int encode_strip(const struct pieces *p, const struct famfs_extent *e,
			struct famfs_strip *ret)
{
	uint64_t below_unit = (1ULL << p->unit_shift) - 1;

	if (!e->len || (e->len | e->offset) & below_unit || e->len > UINT64_MAX - e->offset)
		return -EINVAL;
	if (e->devindex >= p->devs->count || !p->devs->id[e->devindex])
		return -ENODEV;
	if (e->offset >> p->unit_shift > FAMFS_SLOT_START_MAX)
		return -E2BIG;
	ret->dev = p->devs->id[e->devindex];
	ret->start = (uint32_t)(e->offset >> p->unit_shift);
	return 0;
}

/* Append len bytes at the start of e, less when the file ends before. */
static int pieces_add(struct pieces *p, const struct famfs_extent *e, uint64_t len)
{
	struct famfs_slot_extent *last = p->count ? &p->piece[p->count - 1] : NULL;
	uint64_t units = len >> p->unit_shift;
	struct famfs_strip strip;
	int err;

	err = encode_strip(p, e, &strip);
	if (err)
		return err;
	if (units > p->size - p->covered)
		units = p->size - p->covered;
	if (!units)
		return 0;

	if (last && last->strip.dev == strip.dev &&
	    (uint64_t)last->strip.start + last->units == strip.start) {
		last->units += (uint32_t)units;
		p->joined = true;
	} else {
		p->piece[p->count++] = (struct famfs_slot_extent){
			.strip = strip,
			.first = p->covered,
			.units = (uint32_t)units,
		};
	}
	p->covered += (uint32_t)units;
	return 0;
}

/* log2 of the extents' length in units if all but the last are that long, else 0. */
static uint32_t pieces_shift(const struct pieces *p)
{
	uint32_t units = p->piece[0].units;

	if (units & (units - 1))
		return 0;
	for (uint32_t i = 1; i < p->count; i++) {
		if (p->piece[i].units > units || (p->piece[i].units < units && i < p->count - 1))
			return 0;
	}
	return p->unit_shift + (uint32_t)__builtin_ctz(units);
}

static int encode_pieces(const struct pieces *p, struct slotmap_record *ret)
{
	struct famfs_slot *slot = &ret->slot;

	if (p->covered < p->size)
		return -EINVAL;
	if (p->count <= 1) {
		slot->type = FAMFS_SLOT_SIMPLE;
		if (p->count)
			slot->strips[0] = p->piece[0].strip;
		return 0;
	}
	slot->type = FAMFS_SLOT_EXTENTS;
	slot->chunk_shift = (uint8_t)pieces_shift(p);
	slot->ext.count = p->count;
	ret->nr_ext = p->count;
	return 0;
}

static int encode_simple(struct pieces *p, struct slotmap_record *ret)
{
	const struct famfs_fmap *f = p->fmap;

	for (uint32_t i = 0; i < f->next; i++) {
		int err = pieces_add(p, &f->ext[i], f->ext[i].len);

		if (err)
			return err;
	}
	return encode_pieces(p, ret);
}

/*
 * A file of one stripe has each strip once: it is a list of extents, some of which
 * may touch. With more stripes no two chunks in a row can touch, unless strips
 * overlapped.
 */
static int encode_one_stripe(struct pieces *p)
{
	const struct famfs_fmap *f = p->fmap;

	for (uint32_t i = 0; i < f->next; i++) {
		int err = pieces_add(p, &f->ext[i], f->chunk);

		if (err)
			return err;
	}
	return 0;
}

/* See famfs_slot_resolve() for why this is exact. */
static void encode_reciprocal(uint32_t n, struct famfs_slot *slot)
{
	uint32_t shift = 31 + (32 - (uint32_t)__builtin_clz(n - 1));

	slot->recip_shift = (uint8_t)shift;
	slot->recip = (uint32_t)(((1ULL << shift) + n - 1) / n);
}

/* Least of all strips, and how far the others are from it. False: too far. */
static bool encode_packed(const struct famfs_slot_extent *ext, uint32_t n, struct famfs_slot *slot)
{
	struct famfs_strip low = ext[0].strip, high = ext[0].strip;

	for (uint32_t i = 1; i < n; i++) {
		const struct famfs_strip *s = &ext[i].strip;

		low.dev = s->dev < low.dev ? s->dev : low.dev;
		low.start = s->start < low.start ? s->start : low.start;
		high.dev = s->dev > high.dev ? s->dev : high.dev;
		high.start = s->start > high.start ? s->start : high.start;
	}
	if ((high.dev - low.dev) >> FAMFS_SLOT_PACKED_DEV_BITS ||
	    (high.start - low.start) >> FAMFS_SLOT_PACKED_START_BITS || low.dev > UINT8_MAX + 1U)
		return false;

	slot->type = FAMFS_SLOT_INTERLEAVE_PACKED;
	slot->base_dev = (uint8_t)(low.dev - 1);
	slot->base_start = low.start;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t code = (ext[i].strip.dev - low.dev) << FAMFS_SLOT_PACKED_START_BITS |
				(ext[i].strip.start - low.start);

		slot->packed.low[i] = (uint16_t)code;
		slot->packed.high[i] = (uint8_t)(code >> 16);
	}
	return true;
}

static int encode_strips(struct pieces *p, struct slotmap_record *ret)
{
	const struct famfs_fmap *f = p->fmap;
	struct famfs_slot *slot = &ret->slot;
	bool inside = f->next <= FAMFS_SLOT_STRIPS;

	for (uint32_t i = 0; i < f->next; i++) {
		struct famfs_strip strip;
		int err = encode_strip(p, &f->ext[i], &strip);

		if (err)
			return err;
		if (inside)
			slot->strips[i] = strip;
		else
			ret->ext[i] = (struct famfs_slot_extent){ .strip = strip };
	}
	slot->nstrips = (uint8_t)f->next;
	slot->chunk_shift = (uint8_t)__builtin_ctzll(f->chunk);
	if (!inside && encode_packed(ret->ext, f->next, slot))
		return 0;

	slot->type = inside ? FAMFS_SLOT_INTERLEAVE : FAMFS_SLOT_INTERLEAVE_EXT;
	encode_reciprocal(f->next, slot);
	if (!inside) {
		slot->ext.count = f->next;
		ret->nr_ext = f->next;
	}
	return 0;
}

static int encode_interleave(struct pieces *p, struct slotmap_record *ret)
{
	const struct famfs_fmap *f = p->fmap;
	uint64_t stripe, need;
	int err;

	if (!f->next || !f->chunk || (f->chunk & (f->chunk - 1)) ||
	    f->chunk >> p->unit_shift == 0 || __builtin_mul_overflow(f->chunk, f->next, &stripe))
		return -EINVAL;
	need = (f->size / stripe + !!(f->size % stripe)) * f->chunk;
	for (uint32_t i = 0; i < f->next; i++)
		if (f->ext[i].len < need)
			return -EINVAL;

	if (f->next == 1)
		return encode_simple(p, ret);
	if (f->size <= stripe) {
		err = encode_one_stripe(p);
		if (err)
			return err;
		if (p->count <= 1 || p->joined)
			return encode_pieces(p, ret);
	}
	return encode_strips(p, ret);
}

int slotmap_encode(const struct famfs_fmap *fmap, const struct slotmap_devs *devs,
		   uint32_t generation, uint32_t unit_shift, struct slotmap_record *ret)
{
	struct pieces p = {
		.fmap = fmap,
		.devs = devs,
		.unit_shift = unit_shift,
		.piece = ret->ext,
	};
	uint64_t units;

	if (unit_shift < FAMFS_UNIT_SHIFT_MIN || unit_shift > FAMFS_UNIT_SHIFT_MAX ||
	    fmap->next > FAMFS_MAX_EXTENTS || fmap->size > INT64_MAX)
		return -EINVAL;
	units = (fmap->size + (1ULL << unit_shift) - 1) >> unit_shift;
	if (units > FAMFS_SLOT_SIZE_MAX)
		return -E2BIG;
	p.size = (uint32_t)units;
	ret->nr_ext = 0;
	ret->slot = (struct famfs_slot){ .generation = generation, .size = p.size };

	if (fmap->ext_type == FAMFS_EXT_SIMPLE)
		return encode_simple(&p, ret);
	if (fmap->ext_type == FAMFS_EXT_INTERLEAVE)
		return encode_interleave(&p, ret);
	return -EINVAL;
}
