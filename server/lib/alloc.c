// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocation bitmaps and the two ways to find space: contiguous first fit, and
 * one strip per bucket. One bit per allocation unit. Space is handed out in
 * multiples of 2 MiB at 2 MiB boundaries even where the allocation unit is
 * 4 KiB, so that huge faults work and the bitmap agrees with what is logged.
 *
 * Finding takes nothing: the play of the appended entry marks the space.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "famfs_alloc.h"
#include "media_i.h"

#define WORD_BITS  64U
/*
 * Every extent of a log may claim a whole device, so marking them all could
 * take days. Once the claims add up to this many times everything there is, the
 * rest is counted without looking, and nothing is given out any more.
 */
#define MAX_CLAIMS 16U

struct dev_bitmap {
	uint64_t *bits;
	uint64_t units; /* ceil(size / unit): what the bitmap covers */
	uint64_t whole; /* floor(size / unit): what may be handed out */
	uint64_t size; /* bytes */
	uint64_t used; /* units */
	uint64_t first_free; /* nothing is free below; never moves back */
};

struct famfs_alloc {
	uint64_t unit; /* bytes */
	uint64_t total_units;
	uint64_t claimed; /* units, counted as often as they are claimed */
	uint64_t collisions;
	uint32_t count;
	struct dev_bitmap dev[FAMFS_MAX_DEVS];
};

/* ---- bits ---- */

/* First bit of that value in [from, to), or to. */
static uint64_t bit_next(const struct dev_bitmap *d, uint64_t from, uint64_t to, bool value)
{
	while (from < to) {
		uint64_t word = d->bits[from / WORD_BITS];

		if (!value)
			word = ~word;
		word >>= from % WORD_BITS;
		if (word) {
			from += (uint64_t)__builtin_ctzll(word);
			return from < to ? from : to;
		}
		from = (from / WORD_BITS + 1) * WORD_BITS;
	}
	return to;
}

/* Returns how many were set already. */
static uint64_t bits_set(struct dev_bitmap *d, uint64_t from, uint64_t to)
{
	uint64_t fresh = 0, n = to - from;

	while (from < to) {
		uint64_t left = WORD_BITS - from % WORD_BITS;
		uint64_t count = left < to - from ? left : to - from;
		uint64_t mask = (count == WORD_BITS ? ~0ULL : (1ULL << count) - 1)
				<< from % WORD_BITS;
		uint64_t *word = &d->bits[from / WORD_BITS];

		fresh += (uint64_t)__builtin_popcountll(mask & ~*word);
		*word |= mask;
		from += count;
	}
	d->used += fresh;
	d->first_free = bit_next(d, d->first_free, d->units, false);
	return n - fresh;
}

/* ---- life ---- */

int famfs_alloc_add_device(struct famfs_alloc *alloc, const struct famfs_devs *devs)
{
	const struct famfs_dev *dev = &devs->dev[alloc->count];
	struct dev_bitmap *d = &alloc->dev[alloc->count];
	uint64_t units;

	if (alloc->count >= devs->count)
		return -EINVAL;
	units = famfs_units(dev->size, alloc->unit);
	if (units > FAMFS_MAX_UNITS - alloc->total_units)
		return -E2BIG;
	d->bits = calloc(units / WORD_BITS + 1, sizeof(*d->bits));
	if (!d->bits)
		return -ENOMEM;
	d->units = units;
	d->whole = dev->size / alloc->unit;
	d->size = dev->size;
	bits_set(d, 0, dev->first / alloc->unit < units ? dev->first / alloc->unit : units);
	alloc->total_units += units;
	alloc->count++;
	return 0;
}

int famfs_alloc_new(const struct famfs_devs *devs, struct famfs_alloc **ret_alloc)
{
	struct famfs_alloc *alloc = calloc(1, sizeof(*alloc));
	int err;

	if (!alloc)
		return -ENOMEM;
	alloc->unit = devs->alloc_unit;
	while (alloc->count < devs->count) {
		err = famfs_alloc_add_device(alloc, devs);
		if (err) {
			famfs_alloc_free(alloc);
			return err;
		}
	}
	*ret_alloc = alloc;
	return 0;
}

void famfs_alloc_free(struct famfs_alloc *alloc)
{
	if (!alloc)
		return;
	for (uint32_t i = 0; i < alloc->count; i++)
		free(alloc->dev[i].bits);
	free(alloc);
}

/* ---- what the log claims ---- */

static bool claims_too_many(const struct famfs_alloc *alloc)
{
	return alloc->claimed / MAX_CLAIMS > alloc->total_units;
}

static void mark_extent(struct famfs_alloc *alloc, const struct famfs_media_extent *ext)
{
	uint64_t devindex = le64toh(ext->devindex);
	uint64_t start = le64toh(ext->offset);
	uint64_t len = le64toh(ext->len);
	struct dev_bitmap *d;
	uint64_t end;

	if (devindex >= alloc->count)
		return;
	d = &alloc->dev[devindex];
	if (__builtin_add_overflow(start, len, &end) || end > d->size)
		end = d->size;
	if (start >= end)
		return;
	start /= alloc->unit;
	end = famfs_units(end, alloc->unit);
	if (claims_too_many(alloc)) {
		alloc->collisions += end - start;
		return;
	}
	alloc->claimed += end - start;
	alloc->collisions += bits_set(d, start, end);
}

void famfs_alloc_mark(struct famfs_alloc *alloc, const struct famfs_media_entry *raw)
{
	const struct famfs_media_fmap *fmap = &raw->file.fmap;
	const struct famfs_media_extent *ext;
	uint64_t n;

	switch (le32toh(fmap->ext_type)) {
	case FAMFS_EXT_SIMPLE:
		ext = fmap->simple;
		n = le32toh(fmap->nextents);
		break;
	case FAMFS_EXT_INTERLEAVE:
		ext = fmap->interleave.strips;
		n = le32toh(fmap->nextents) ? le64toh(fmap->interleave.nstrips) : 0;
		break;
	default:
		return;
	}
	if (n > FAMFS_MAX_EXTENTS)
		n = FAMFS_MAX_EXTENTS;
	for (uint64_t i = 0; i < n; i++)
		mark_extent(alloc, &ext[i]);
}

/* ---- buckets ---- */

struct bucket {
	uint32_t devindex;
	uint64_t start; /* units */
	uint64_t end;
};

/*
 * Bucket i of nbuckets. Device d has nbuckets / n of them, and one more if d is
 * below the rest of that division, so that strip i on device i mod n finds as
 * many buckets there as it needs whenever nstrips <= nbuckets.
 */
static int bucket_at(const struct famfs_alloc *alloc, uint32_t nbuckets, uint32_t i,
		     struct bucket *ret)
{
	for (uint32_t d = 0; d < alloc->count; d++) {
		uint32_t share = nbuckets / alloc->count + (d < nbuckets % alloc->count);
		uint64_t region;

		if (i >= share) {
			i -= share;
			continue;
		}
		region = alloc->dev[d].whole / share; /* share > i, so not 0 */
		*ret = (struct bucket){ d, i * region, (i + 1) * region };
		return 0;
	}
	return -EINVAL;
}

static int layout_fault(char *buf, size_t size, const char *text)
{
	snprintf(buf, size, "%s", text);
	return -EINVAL;
}

int famfs_alloc_check_layout(const struct famfs_alloc *alloc, const struct famfs_layout *l,
			     char *buf, size_t size)
{
	struct bucket b = { 0 };
	uint64_t stripe;

	if (l->nstrips < 1 || l->nstrips > FAMFS_MAX_STRIPS)
		return layout_fault(buf, size, "nstrips must be 1 to 16");
	if (l->nbuckets < 1 || l->nbuckets > FAMFS_MAX_BUCKETS)
		return layout_fault(buf, size, "nbuckets must be 1 to 64");
	if (l->nstrips > l->nbuckets)
		return layout_fault(buf, size, "nstrips must not be above nbuckets");
	if (!famfs_is_pow2(l->chunk) || l->chunk % FAMFS_ALLOC_UNIT)
		return layout_fault(buf, size,
				    "chunk size must be a power of two and a multiple of 2 MiB");
	/* No decoder takes it, ours neither. */
	if (__builtin_mul_overflow(l->chunk, l->nstrips, &stripe))
		return layout_fault(buf, size, "chunk size times nstrips must be below 2^64");
	for (uint32_t i = 0; i < l->nbuckets; i++) {
		bucket_at(alloc, l->nbuckets, i, &b);
		if ((b.end - b.start) * alloc->unit >= FAMFS_BUCKET_MIN)
			continue;
		snprintf(buf, size,
			 "bucket %u on device %u has %" PRIu64
			 " bytes, less than 1 GiB: use fewer buckets",
			 i, b.devindex, (b.end - b.start) * alloc->unit);
		return -EINVAL;
	}
	return 0;
}

/* ---- finding ---- */

static uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v / to + !!(v % to)) * to;
}

/* First free run of n units in [from, to) that begins at a multiple of align. */
static bool find_run(const struct dev_bitmap *d, uint64_t from, uint64_t to, uint64_t n,
		     uint64_t align, uint64_t *ret_start)
{
	if (from < d->first_free)
		from = d->first_free;
	while (from < to) {
		uint64_t start = round_up(bit_next(d, from, to, false), align);
		uint64_t taken;

		if (start > to || n > to - start)
			return false;
		taken = bit_next(d, start, start + n, true);
		if (taken == start + n) {
			*ret_start = start;
			return true;
		}
		from = taken + 1;
	}
	return false;
}

static int find_contiguous(const struct famfs_alloc *alloc, struct famfs_entry *entry)
{
	uint64_t align = FAMFS_ALLOC_UNIT / alloc->unit;
	uint64_t len = round_up(entry->size, FAMFS_ALLOC_UNIT);
	uint64_t start;

	for (uint32_t d = 0; d < alloc->count; d++) {
		if (!find_run(&alloc->dev[d], 0, alloc->dev[d].whole, len / alloc->unit, align,
			      &start))
			continue;
		entry->ext_type = FAMFS_EXT_SIMPLE;
		entry->chunk = 0;
		entry->next = 1;
		entry->ext[0] = (struct famfs_extent){ start * alloc->unit, len, d };
		return 0;
	}
	return -ENOSPC;
}

/* splitmix64: small, and the same everywhere for the same seed. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static void shuffle(uint32_t *order, uint32_t n, uint64_t seed)
{
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t k = (uint32_t)(next_random(&seed) % i);
		uint32_t t = order[i - 1];

		order[i - 1] = order[k];
		order[k] = t;
	}
}

/* One strip from the first bucket of that device, in random order, with room. */
static bool find_strip(const struct famfs_alloc *alloc, const struct famfs_layout *l,
		       uint32_t devindex, uint64_t len, uint32_t *order, struct famfs_extent *ret)
{
	uint64_t align = FAMFS_ALLOC_UNIT / alloc->unit;
	uint64_t start;

	for (uint32_t i = 0; i < l->nbuckets; i++) {
		struct bucket b;

		if (order[i] == UINT32_MAX || bucket_at(alloc, l->nbuckets, order[i], &b) ||
		    b.devindex != devindex)
			continue;
		if (!find_run(&alloc->dev[devindex], b.start, b.end, len / alloc->unit, align,
			      &start))
			continue;
		order[i] = UINT32_MAX;
		*ret = (struct famfs_extent){ start * alloc->unit, len, devindex };
		return true;
	}
	return false;
}

static int find_interleaved(const struct famfs_alloc *alloc, const struct famfs_layout *l,
			    struct famfs_entry *entry)
{
	uint32_t order[FAMFS_MAX_BUCKETS];
	uint64_t stripe, len;

	if (__builtin_mul_overflow(l->chunk, l->nstrips, &stripe) ||
	    __builtin_mul_overflow(entry->size / stripe + !!(entry->size % stripe), l->chunk, &len))
		return -ENOSPC;
	shuffle(order, l->nbuckets, l->seed);
	for (uint32_t i = 0; i < l->nstrips; i++)
		if (!find_strip(alloc, l, i % alloc->count, len, order, &entry->ext[i]))
			return -ENOSPC;
	entry->ext_type = FAMFS_EXT_INTERLEAVE;
	entry->chunk = l->chunk;
	entry->next = l->nstrips;
	return 0;
}

int famfs_alloc_find(struct famfs_alloc *alloc, const struct famfs_layout *layout,
		     struct famfs_entry *entry)
{
	char unused[128];

	if (entry->size == 0)
		return -EINVAL;
	if (claims_too_many(alloc))
		return -EUCLEAN;
	if (entry->size > INT64_MAX)
		return -ENOSPC;
	if (layout && famfs_alloc_check_layout(alloc, layout, unused, sizeof(unused)))
		return -EINVAL;
	if (!layout || entry->size < layout->chunk)
		return find_contiguous(alloc, entry);
	return find_interleaved(alloc, layout, entry);
}

/* ---- statistics ---- */

void famfs_alloc_stats(const struct famfs_alloc *alloc, struct famfs_alloc_stats *ret)
{
	*ret = (struct famfs_alloc_stats){ .collisions = alloc->collisions };
	for (uint32_t i = 0; i < alloc->count; i++) {
		ret->capacity += alloc->dev[i].size;
		ret->bitmap += alloc->dev[i].units * alloc->unit;
		ret->used += alloc->dev[i].used * alloc->unit;
	}
}

int famfs_alloc_bucket_stats(const struct famfs_alloc *alloc, uint32_t nbuckets, uint32_t i,
			     struct famfs_bucket_stats *ret)
{
	struct bucket b;
	uint64_t pos;

	if (nbuckets < 1 || nbuckets > FAMFS_MAX_BUCKETS || i >= nbuckets ||
	    bucket_at(alloc, nbuckets, i, &b))
		return -EINVAL;
	*ret = (struct famfs_bucket_stats){
		.devindex = b.devindex,
		.size = (b.end - b.start) * alloc->unit,
		.used = (b.end - b.start) * alloc->unit,
	};
	for (pos = b.start; pos < b.end;) {
		uint64_t from = bit_next(&alloc->dev[b.devindex], pos, b.end, false);
		uint64_t to = bit_next(&alloc->dev[b.devindex], from, b.end, true);
		uint64_t run = (to - from) * alloc->unit;

		pos = to;
		if (!run)
			continue;
		ret->used -= run;
		if (!ret->fragments++ || run < ret->smallest)
			ret->smallest = run;
		if (run > ret->largest)
			ret->largest = run;
	}
	return 0;
}
