// SPDX-License-Identifier: GPL-2.0-only
/*
 * Resolver, encoder and tables of the slot map, in plain memory: against the slow
 * reference on random layouts, at boundaries, with hostile slots.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "fmap-ref.h"

#define GENERATION	0x12345678U
#define NR_DEVS		3
#define ROUNDS		20000

static const struct slotmap_devs devs = { .count = NR_DEVS, .id = { 7, 1, 256 } };

/* Deterministic: a failure prints the round, and comes again. */
static uint64_t rnd_state;

static uint64_t rnd(void)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return rnd_state;
}

static uint64_t rnd_below(uint64_t n)
{
	return rnd() % n;
}

/* ---- helpers ---- */

static const struct famfs_slot_extent *record_extent(void *ctx, __u64 i)
{
	const struct slotmap_record *r = ctx;

	return i < r->nr_ext ? &r->ext[i] : NULL;
}

static int resolve(struct slotmap_record *r, uint32_t unit_shift, uint64_t pos,
		   struct famfs_run *ret)
{
	return famfs_slot_resolve(&r->slot, record_extent, r, unit_shift, GENERATION, pos, ret);
}

/* ---- the reciprocal ---- */

/* Two strips and more of one unit each, so that chunk n is on strip n % nstrips. */
static void encode_strips_of(uint32_t n, struct slotmap_record *ret)
{
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
	struct famfs_fmap f = {
		.size = 0x7fffffffULL << 12,
		.chunk = 4096,
		.ext_type = FAMFS_EXT_INTERLEAVE,
		.next = n,
		.ext = ext,
	};

	for (uint32_t i = 0; i < n; i++)
		ext[i] = (struct famfs_extent){ .len = 1ULL << 43 };
	/* Far away from the others: what is packed has no reciprocal. */
	ext[n - 1].offset = (1ULL << FAMFS_SLOT_PACKED_START_BITS) << 12;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 12, ret), 0);
	assert_int_not_equal(ret->slot.type, FAMFS_SLOT_INTERLEAVE_PACKED);
	assert_int_equal(ret->slot.nstrips, n);
}

static void reciprocal_is_exact_by_its_bound(void **state)
{
	for (uint32_t n = 2; n <= FAMFS_SLOT_STRIPS_MAX; n++) {
		struct slotmap_record r;
		uint64_t power, error;

		encode_strips_of(n, &r);
		power = 1ULL << r.slot.recip_shift;
		error = (uint64_t)r.slot.recip * n - power;
		/* recip is the ceiling, and its error times 2^31 stays below 2^shift. */
		assert_true((uint64_t)r.slot.recip * n >= power);
		assert_true(error < n);
		assert_true(n <= 1ULL << (r.slot.recip_shift - 31));
		assert_true(error << 31 < power);
	}
}

static void check_quotient(const struct famfs_slot *slot, uint64_t chunk)
{
	uint64_t q = chunk * slot->recip >> slot->recip_shift;

	if (chunk <= FAMFS_SLOT_SIZE_MAX && q != chunk / slot->nstrips)
		fail_msg("%llu / %u gives %llu", (unsigned long long)chunk, slot->nstrips,
			 (unsigned long long)q);
}

static void reciprocal_is_exact_around_every_boundary(void **state)
{
	for (uint32_t n = 2; n <= FAMFS_SLOT_STRIPS_MAX; n++) {
		struct slotmap_record r;

		encode_strips_of(n, &r);
		/* Only at multiples can a quotient be wrong: both sides of some millions */
		for (uint64_t m = 0; m < 2000000; m++) {
			uint64_t low = m * n, high = FAMFS_SLOT_SIZE_MAX / n * n - m * n;

			check_quotient(&r.slot, low);
			check_quotient(&r.slot, low + n - 1);
			check_quotient(&r.slot, high);
			check_quotient(&r.slot, high + n - 1);
		}
		for (int bit = 0; bit < 31; bit++)
			for (int64_t d = -3; d <= 3; d++)
				if ((int64_t)(1ULL << bit) + d >= 0)
					check_quotient(&r.slot, (1ULL << bit) + (uint64_t)d);
		check_quotient(&r.slot, FAMFS_SLOT_SIZE_MAX);
	}
}

/* ---- random layouts ---- */

struct layout {
	uint32_t unit_shift;
	struct famfs_fmap fmap;
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
};

/* Extents in order on each device, often touching, never overlapping. */
static void place_extents(struct layout *l, uint64_t len_units)
{
	uint64_t next[NR_DEVS], unit = 1ULL << l->unit_shift;
	uint32_t dev = (uint32_t)rnd_below(NR_DEVS);

	for (int i = 0; i < NR_DEVS; i++)
		next[i] = rnd_below(1000) * unit;
	for (uint32_t i = 0; i < l->fmap.next; i++) {
		struct famfs_extent *e = &l->ext[i];

		if (rnd_below(3) == 0)
			dev = (uint32_t)rnd_below(NR_DEVS);
		if (rnd_below(3) != 0)
			next[dev] += rnd_below(50) * unit;
		e->devindex = dev;
		e->offset = next[dev];
		e->len = (len_units ? len_units : 1 + rnd_below(40)) * unit;
		next[dev] += e->len;
	}
}

static void make_simple(struct layout *l)
{
	uint64_t total = 0, uniform = rnd_below(2) ? 1ULL << rnd_below(6) : 0;

	place_extents(l, uniform);
	for (uint32_t i = 0; i < l->fmap.next; i++)
		total += l->ext[i].len;
	l->fmap.size = rnd_below(3) ? 1 + rnd_below(total) : total;
}

static void make_interleave(struct layout *l)
{
	uint64_t unit = 1ULL << l->unit_shift;
	uint64_t chunk = 1ULL << rnd_below(4), stripes = 1 + rnd_below(rnd_below(2) ? 1 : 8);
	uint64_t total = chunk * unit * l->fmap.next * stripes;

	l->fmap.ext_type = FAMFS_EXT_INTERLEAVE;
	l->fmap.chunk = chunk * unit;
	place_extents(l, chunk * stripes);
	l->fmap.size = rnd_below(3) ? 1 + rnd_below(total) : total;
}

static void make_layout(struct layout *l)
{
	memset(l, 0, sizeof(*l));
	l->unit_shift = 12 + (uint32_t)rnd_below(10);
	l->fmap.ext = l->ext;
	l->fmap.ext_type = FAMFS_EXT_SIMPLE;
	l->fmap.next = 1 + (uint32_t)rnd_below(FAMFS_MAX_EXTENTS);
	if (rnd_below(2))
		make_simple(l);
	else
		make_interleave(l);
}

static void check_pos(struct layout *l, struct slotmap_record *r, uint64_t pos)
{
	uint64_t unit = 1ULL << l->unit_shift;
	struct famfs_run run;
	const char *wrong;
	int ret;

	ret = resolve(r, l->unit_shift, pos, &run);
	if (pos / unit >= (l->fmap.size + unit - 1) / unit) {
		assert_int_equal(ret, -ENXIO);
		return;
	}
	assert_int_equal(ret, 1);
	wrong = ref_check_run(&l->fmap, &devs, unit, pos, &run);
	if (wrong)
		fail_msg("pos %llu of %llu, type %d: %s", (unsigned long long)pos,
			 (unsigned long long)l->fmap.size, r->slot.type, wrong);
}

static void resolver_agrees_with_reference(void **state)
{
	unsigned int seen[256] = { 0 }, uniform = 0;

	rnd_state = 0x9e3779b97f4a7c15ULL;
	for (int round = 0; round < ROUNDS; round++) {
		struct slotmap_record r;
		struct layout l;
		uint64_t unit;

		make_layout(&l);
		unit = 1ULL << l.unit_shift;
		assert_int_equal(slotmap_encode(&l.fmap, &devs, GENERATION, l.unit_shift, &r), 0);
		seen[r.slot.type]++;
		uniform += r.slot.type == FAMFS_SLOT_EXTENTS && r.slot.chunk_shift;

		for (uint64_t pos = 0; pos<l.fmap.size + 2 * unit; pos += l.fmap.size> 64 * unit
					       ? unit * (1 + rnd_below(8))
					       : unit)
			check_pos(&l, &r, pos + rnd_below(unit));
		check_pos(&l, &r, 0);
		check_pos(&l, &r, l.fmap.size - 1);
		check_pos(&l, &r, l.fmap.size);
		check_pos(&l, &r, (l.fmap.size + unit - 1) / unit * unit);
		check_pos(&l, &r, INT64_MAX);
		check_pos(&l, &r, UINT64_MAX);
	}
	/* A generator that stopped making one form would go unnoticed. */
	assert_true(seen[FAMFS_SLOT_SIMPLE] > 100 && seen[FAMFS_SLOT_EXTENTS] > 100);
	assert_true(seen[FAMFS_SLOT_INTERLEAVE] > 100 && seen[FAMFS_SLOT_INTERLEAVE_EXT] > 100);
	assert_true(seen[FAMFS_SLOT_INTERLEAVE_PACKED] > 100);
	assert_true(uniform > 100 && uniform < seen[FAMFS_SLOT_EXTENTS] - 100);
}

/* The example of the format's description, image il/n3c2_7m. */
static void resolver_gives_the_documented_example(void **state)
{
	const struct famfs_extent ext[] = {
		{ .offset = 5725224960, .len = 4194304 },
		{ .offset = 20971520, .len = 4194304 },
		{ .offset = 11450449920, .len = 4194304 },
	};
	const struct famfs_fmap f = {
		.size = 7344127,
		.chunk = 2097152,
		.ext_type = FAMFS_EXT_INTERLEAVE,
		.next = 3,
		.ext = ext,
	};
	const uint64_t at[][2] = {
		{ 6291456, 5727322112 },
		{ 7344126, 5728374782 },
		{ 3000000, 21874368 },
	};
	struct slotmap_record r;

	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), 0);
	assert_int_equal(r.slot.type, FAMFS_SLOT_INTERLEAVE);
	for (size_t i = 0; i < 3; i++) {
		struct famfs_run run;

		assert_int_equal(resolve(&r, 21, at[i][0], &run), 1);
		assert_int_equal(run.addr + (at[i][0] - run.offset), at[i][1]);
		assert_int_equal(run.length, 2097152);
		assert_int_equal(run.dev, 7);
	}
}

/* ---- encoder ---- */

static void slot_has_these_bytes(void **state)
{
	const struct famfs_extent ext[] = {
		{ .offset = 0x600000, .len = 0x400000, .devindex = 0 },
		{ .offset = 0x1000000, .len = 0x400000, .devindex = 1 },
		{ .offset = 0x200000, .len = 0x400000, .devindex = 2 },
	};
	const struct famfs_fmap f = {
		.size = 0xa00001,
		.chunk = 0x200000,
		.ext_type = FAMFS_EXT_INTERLEAVE,
		.next = 3,
		.ext = ext,
	};
	static const uint8_t expect[64] = {
		0x78, 0x56, 0x34, 0x12,		/* generation */
		3, 3, 21, 33,			/* type, strips, chunk, shift */
		0xab, 0xaa, 0xaa, 0xaa,		/* ceil(2^33 / 3) */
		6, 0, 0, 0,			/* size in units */
		7,    0,    0,	  0,	3, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0,
	};
	struct slotmap_record r;

	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), 0);
	assert_memory_equal(&r.slot, expect, sizeof(expect));
}

static void encoder_joins_extents_that_touch(void **state)
{
	const struct famfs_extent ext[] = {
		{ .offset = 0x200000, .len = 0x200000 },
		{ .offset = 0x400000, .len = 0x400000 },
		{ .offset = 0x800000, .len = 0x200000 },
	};
	struct famfs_fmap f = {
		.size = 0x700000,
		.ext_type = FAMFS_EXT_SIMPLE,
		.next = 3,
		.ext = ext,
	};
	struct slotmap_record r;

	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), 0);
	assert_int_equal(r.slot.type, FAMFS_SLOT_SIMPLE);
	/* One stripe over strips in a row is the same run. */
	f.ext_type = FAMFS_EXT_INTERLEAVE;
	f.chunk = 0x200000;
	f.next = 2;
	f.size = 0x400000;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), 0);
	assert_int_equal(r.slot.type, FAMFS_SLOT_SIMPLE);
	/* One strip is no interleave. */
	f.next = 1;
	f.size = 0x200000;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), 0);
	assert_int_equal(r.slot.type, FAMFS_SLOT_SIMPLE);
}

/* n strips, all at start 5 of device 1 but for the last, which is that much farther */
static void encode_far(uint32_t n, uint64_t start, uint32_t last_id, struct slotmap_record *ret)
{
	struct slotmap_devs two = { .count = 2, .id = { 2, last_id } };
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
	struct famfs_fmap f = {
		.size = (uint64_t)n * 3 * 0x200000 - 5,
		.chunk = 0x200000,
		.ext_type = FAMFS_EXT_INTERLEAVE,
		.next = n,
		.ext = ext,
	};
	uint64_t last = (n - 1) * 0x200000ULL + 1;
	struct famfs_run run;

	for (uint32_t i = 0; i < n; i++)
		ext[i] = (struct famfs_extent){ .offset = 5ULL << 21, .len = 3 * 0x200000 };
	ext[n - 1].offset = (5 + start) << 21;
	ext[n - 1].devindex = 1;
	assert_int_equal(slotmap_encode(&f, &two, GENERATION, 21, ret), 0);

	assert_int_equal(resolve(ret, 21, last, &run), 1);
	assert_int_equal(run.dev, last_id);
	assert_int_equal(run.addr, (5 + start) << 21);
	assert_int_equal(run.offset, last - 1);
	assert_int_equal(run.length, 0x200000);
	assert_int_equal(resolve(ret, 21, last + 2 * n * 0x200000ULL, &run), 1);
	assert_int_equal(run.addr, (5 + start + 2) << 21);
	assert_int_equal(resolve(ret, 21, n * 0x200000ULL, &run), 1);
	assert_int_equal(run.dev, 2);
	assert_int_equal(run.addr, 6 << 21);
}

static void many_strips_near_each_other_stay_in_the_slot(void **state)
{
	const uint64_t start_max = (1 << FAMFS_SLOT_PACKED_START_BITS) - 1;
	const uint32_t id_max = 2 + (1 << FAMFS_SLOT_PACKED_DEV_BITS) - 1;
	struct slotmap_record r;

	for (uint32_t n = FAMFS_SLOT_STRIPS + 1; n <= FAMFS_SLOT_STRIPS_MAX; n++) {
		encode_far(n, start_max, id_max, &r);
		assert_int_equal(r.slot.type, FAMFS_SLOT_INTERLEAVE_PACKED);
		assert_int_equal(r.nr_ext, 0);
		encode_far(n, start_max, 1, &r);
		assert_int_equal(r.slot.type, FAMFS_SLOT_INTERLEAVE_PACKED);
		encode_far(n, start_max + 1, id_max, &r);
		assert_int_equal(r.slot.type, FAMFS_SLOT_INTERLEAVE_EXT);
		assert_int_equal(r.nr_ext, n);
		encode_far(n, start_max, id_max + 1, &r);
		assert_int_equal(r.slot.type, FAMFS_SLOT_INTERLEAVE_EXT);
	}
	encode_far(FAMFS_SLOT_STRIPS, 1, 3, &r);
	assert_int_equal(r.slot.type, FAMFS_SLOT_INTERLEAVE);
}

static void encoder_refuses(void **state)
{
	struct famfs_extent ext[2] = {
		{ .offset = 0x200000, .len = 0x200000 },
		{ .offset = 0x800000, .len = 0x200000 },
	};
	const struct famfs_fmap good = {
		.size = 0x400000,
		.ext_type = FAMFS_EXT_SIMPLE,
		.next = 2,
		.ext = ext,
	};
	struct slotmap_record r;
	struct famfs_fmap f;

	assert_int_equal(slotmap_encode(&good, &devs, GENERATION, 21, &r), 0);
	f = good;
	f.size++;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f = good;
	f.next = 17;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f = good;
	f.ext_type = 2;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f = good;
	f.size = (uint64_t)INT64_MAX + 1;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f = good;
	f.ext_type = FAMFS_EXT_INTERLEAVE;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f.chunk = 0x300000;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f.chunk = 0x1000;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f.chunk = 1ULL << 63;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f.chunk = 0x200000;
	f.size = 0x400001;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), -EINVAL);
	f = good;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 11, &r), -EINVAL);
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 22, &r), -EINVAL);

	ext[1].devindex = NR_DEVS;
	assert_int_equal(slotmap_encode(&good, &devs, GENERATION, 21, &r), -ENODEV);
	ext[1].devindex = 0;
	ext[1].offset = 0x800001;
	assert_int_equal(slotmap_encode(&good, &devs, GENERATION, 21, &r), -EINVAL);
	ext[1].offset = 0x800000;
	ext[1].len = 0;
	assert_int_equal(slotmap_encode(&good, &devs, GENERATION, 21, &r), -EINVAL);
}

static void encoder_knows_its_limits(void **state)
{
	struct famfs_extent ext = { .offset = 0, .len = 1ULL << 43 };
	struct famfs_fmap f = {
		.size = (uint64_t)FAMFS_SLOT_SIZE_MAX << 12,
		.ext_type = FAMFS_EXT_SIMPLE,
		.next = 1,
		.ext = &ext,
	};
	struct slotmap_record r;
	struct famfs_run run;

	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 12, &r), 0);
	assert_int_equal(resolve(&r, 12, f.size - 1, &run), 1);
	assert_int_equal(run.length, f.size);
	assert_int_equal(resolve(&r, 12, f.size, &run), -ENXIO);
	f.size++;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 12, &r), -E2BIG);

	f.size = 4096;
	ext.len = 4096;
	ext.offset = (uint64_t)FAMFS_SLOT_START_MAX << 12;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 12, &r), 0);
	assert_int_equal(resolve(&r, 12, 0, &run), 1);
	assert_int_equal(run.addr, ext.offset);
	ext.offset += 4096;
	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 12, &r), -E2BIG);
}

static void empty_file_has_no_bytes(void **state)
{
	const struct famfs_fmap f = { .ext_type = FAMFS_EXT_SIMPLE };
	struct slotmap_record r;
	struct famfs_run run;

	assert_int_equal(slotmap_encode(&f, &devs, GENERATION, 21, &r), 0);
	assert_int_equal(resolve(&r, 21, 0, &run), -ENXIO);
}

/* ---- resolver, other answers ---- */

static void resolver_refuses(void **state)
{
	struct slotmap_record r = {
		.slot = {
			.generation = GENERATION, .type = FAMFS_SLOT_SIMPLE, .size = 1,
			.strips[0] = { .dev = 1, .start = 5 },
		},
	};
	struct famfs_run run;

	assert_int_equal(resolve(&r, 21, 0, &run), 1);
	assert_int_equal(famfs_slot_resolve(&r.slot, record_extent, &r, 21, GENERATION + 1, 0,
					    &run),
			 -ESTALE);
	r.slot.type = FAMFS_SLOT_EMPTY;
	assert_int_equal(resolve(&r, 21, 0, &run), 0);
	/* Dead comes before stale: nobody may conclude anything from a dead map. */
	r.slot.type = FAMFS_SLOT_DEAD;
	assert_int_equal(famfs_slot_resolve(&r.slot, record_extent, &r, 21, 0, 0, &run), -EIO);
	r.slot.type = 100;
	assert_int_equal(resolve(&r, 21, 0, &run), -EIO);
	/* Extents that are not there. */
	r.slot.type = FAMFS_SLOT_EXTENTS;
	r.slot.ext.first = 1;
	r.slot.ext.count = 2;
	assert_int_equal(resolve(&r, 21, 0, &run), -EIO);
	r.slot.chunk_shift = 21;
	assert_int_equal(resolve(&r, 21, 0, &run), -EIO);
	r.slot.type = FAMFS_SLOT_INTERLEAVE_EXT;
	assert_int_equal(resolve(&r, 21, 0, &run), -EIO);
}

/* More than the media allows: the search must work for what the table can hold. */
static const struct famfs_slot_extent *many_extent(void *ctx, __u64 i)
{
	const struct famfs_slot_extent *table = ctx;

	return i < FAMFS_SLOT_EXTENTS_MAX ? &table[i] : NULL;
}

static void search_finds_each_of_many_extents(void **state)
{
	struct famfs_slot_extent *table = calloc(FAMFS_SLOT_EXTENTS_MAX, sizeof(*table));
	struct famfs_slot slot = {
		.generation = GENERATION,
		.type = FAMFS_SLOT_EXTENTS,
		.ext.count = FAMFS_SLOT_EXTENTS_MAX,
	};
	struct famfs_run run;

	assert_non_null(table);
	rnd_state = 1;
	for (uint32_t i = 0; i < FAMFS_SLOT_EXTENTS_MAX; i++) {
		table[i].strip.dev = 1;
		table[i].strip.start = i * 7;
		table[i].first = slot.size;
		table[i].units = 1 + (uint32_t)rnd_below(5);
		slot.size += table[i].units;
	}
	for (uint32_t i = 0; i < FAMFS_SLOT_EXTENTS_MAX; i++) {
		uint64_t unit = table[i].first + rnd_below(table[i].units);

		assert_int_equal(famfs_slot_resolve(&slot, many_extent, table, 12, GENERATION,
						    unit << 12, &run),
				 1);
		assert_int_equal(run.addr, (uint64_t)table[i].strip.start << 12);
		assert_int_equal(run.offset, (uint64_t)table[i].first << 12);
	}
	free(table);
}

static void hostile_slots_end_in_an_answer(void **state)
{
	unsigned int handled = 0;

	rnd_state = 42;
	for (int round = 0; round < 300000; round++) {
		uint64_t raw[sizeof(struct slotmap_record) / 8];
		struct slotmap_record r;
		struct famfs_run run;
		int ret;

		for (size_t i = 0; i < sizeof(raw) / 8; i++)
			raw[i] = rnd() >> rnd_below(64);
		memcpy(&r, raw, sizeof(raw));
		r.nr_ext %= FAMFS_MAX_EXTENTS + 1;
		r.slot.type = (uint8_t)rnd_below(6);
		r.slot.generation = GENERATION;
		ret = resolve(&r, 12 + (uint32_t)rnd_below(10), rnd() >> rnd_below(64), &run);
		assert_true(ret == 1 || ret == 0 || ret == -EIO || ret == -ENXIO);
		handled += ret == 1;
	}
	assert_true(handled > 1000);
}

/* ---- tables ---- */

static struct slotmap *plain_map(uint64_t nr_slots)
{
	const struct slotmap_config c = {
		.generation = GENERATION,
		.alloc_unit = 0x200000,
		.nr_slots = nr_slots,
		.no_bpf = true,
	};
	struct slotmap *m;
	char msg[SLOTMAP_MSG_MAX];

	assert_int_equal(slotmap_load(&c, -1, &m, msg), 0);
	return m;
}

static const struct famfs_extent one_extent[] = { { .offset = 0x800000, .len = 0x200000 } };
static const struct famfs_fmap one = {
	.size = 5000,
	.ext_type = FAMFS_EXT_SIMPLE,
	.next = 1,
	.ext = one_extent,
};
static const struct famfs_extent wide_extent[] = {
	{ .offset = 0x1000000, .len = 0x200000 }, { .offset = 0x2000000, .len = 0x400000 },
	{ .offset = 0x3000000, .len = 0x200000 }, { .offset = 0x4000000, .len = 0x200000 },
	{ .offset = 0x5000000, .len = 0x200000 }, { .offset = 0x6000000, .len = 0x200000 },
	{ .offset = 0x7000000, .len = 0x200000 }, { .offset = 0x8000000, .len = 0x200000 },
	{ .offset = 0x9000000, .len = 0x200000 },
};
static const struct famfs_fmap wide = {
	.size = 0x1300000,
	.ext_type = FAMFS_EXT_SIMPLE,
	.next = 9,
	.ext = wide_extent,
};

static void publish_is_idempotent_and_final(void **state)
{
	struct slotmap *m = plain_map(4);
	struct famfs_fmap other = one;
	struct fuse_iomap_io io;

	assert_int_equal(slotmap_resolve(m, 2, GENERATION, 0, &io), -ENXIO);
	assert_int_equal(slotmap_check(m, 2, &one, &devs), -ENOENT);
	assert_int_equal(slotmap_publish(m, 2, &one, &devs), 0);
	assert_int_equal(slotmap_publish(m, 2, &one, &devs), 0);
	assert_int_equal(slotmap_check(m, 2, &one, &devs), 0);
	other.size = 0x200001;
	assert_int_equal(slotmap_publish(m, 2, &other, &devs), -EINVAL);
	assert_int_equal(slotmap_publish(m, 2, &wide, &devs), -EEXIST);
	assert_int_equal(slotmap_check(m, 2, &wide, &devs), -EUCLEAN);
	assert_int_equal(slotmap_publish(m, 3, &wide, &devs), 0);
	assert_int_equal(slotmap_publish(m, 3, &wide, &devs), 0);
	assert_int_equal(slotmap_check(m, 3, &wide, &devs), 0);

	assert_int_equal(slotmap_resolve(m, 2, GENERATION, 4999, &io), 0);
	assert_int_equal(io.addr, 0x800000);
	assert_int_equal(io.dev, 7);
	assert_int_equal(io.type, FUSE_IOMAP_TYPE_MAPPED);
	assert_int_equal(slotmap_resolve(m, 2, GENERATION + 1, 0, &io), -ESTALE);
	assert_int_equal(slotmap_resolve(m, 3, GENERATION, 0x400000, &io), 0);
	assert_int_equal(io.offset, 0x200000);
	assert_int_equal(io.length, 0x400000);
	slotmap_free(m);
}

static void publish_knows_its_range(void **state)
{
	struct slotmap *m = plain_map(4);

	assert_int_equal(slotmap_publish(m, 0, &one, &devs), -ERANGE);
	assert_int_equal(slotmap_publish(m, 1, &one, &devs), -ERANGE);
	assert_int_equal(slotmap_publish(m, 5, &one, &devs), 0);
	assert_int_equal(slotmap_publish(m, 6, &one, &devs), -ERANGE);
	assert_int_equal(slotmap_publish(m, FAMFS_NODEID_RESERVED - 1, &one, &devs), -ERANGE);
	assert_int_equal(slotmap_publish(m, FAMFS_NODEID_SUPER, &one, &devs), 0);
	assert_int_equal(slotmap_publish(m, FAMFS_NODEID_SUPER_N(FAMFS_MAX_DEVS - 1), &one, &devs),
			 0);
	assert_int_equal(slotmap_publish(m, FAMFS_NODEID_RESERVED + SLOTMAP_NR_RESERVED, &one,
					 &devs),
			 -ERANGE);
	assert_int_equal(slotmap_publish(m, UINT64_MAX, &one, &devs), -ERANGE);
	/* Not another file's slot by truncation */
	assert_int_equal(slotmap_publish(m, (2ULL << 32) + 2, &one, &devs), -ERANGE);
	slotmap_free(m);
}

static void publish_says_when_extents_run_out(void **state)
{
	/* One slot: room for the 16 extents of one file. */
	struct slotmap *m = plain_map(1);
	struct slotmap_stats st;

	assert_int_equal(slotmap_publish(m, 2, &wide, &devs), 0);
	assert_int_equal(slotmap_publish(m, FAMFS_NODEID_SUPER, &wide, &devs), -ENOSPC);
	assert_int_equal(slotmap_check(m, FAMFS_NODEID_SUPER, &wide, &devs), -ENOENT);
	slotmap_stats(m, &st);
	assert_int_equal(st.extents, 16);
	assert_int_equal(st.extents_used, 9);
	assert_int_equal(st.published, 1);
	slotmap_free(m);
}

static void kill_is_for_good(void **state)
{
	struct slotmap *m = plain_map(4);
	struct fuse_iomap_io io;

	assert_int_equal(slotmap_publish(m, 2, &one, &devs), 0);
	slotmap_kill(m);
	assert_int_equal(slotmap_resolve(m, 2, GENERATION, 0, &io), -EIO);
	/* Also what was never published: it must not fall back to anything. */
	assert_int_equal(slotmap_resolve(m, 3, GENERATION, 0, &io), -EIO);
	assert_int_equal(slotmap_resolve(m, FAMFS_NODEID_LOG, GENERATION, 0, &io), -EIO);
	assert_int_equal(slotmap_publish(m, 2, &one, &devs), -ESTALE);
	assert_int_equal(slotmap_publish(m, 3, &one, &devs), -ESTALE);
	assert_int_equal(slotmap_check(m, 2, &one, &devs), -ESTALE);
	slotmap_free(m);
}

static void load_checks_its_config(void **state)
{
	const struct slotmap_config bad[] = {
		{ .alloc_unit = 0x200000, .nr_slots = 0 },
		{ .alloc_unit = 0x200000, .nr_slots = 1973791 },
		{ .alloc_unit = 0, .nr_slots = 1 },
		{ .alloc_unit = 2048, .nr_slots = 1 },
		{ .alloc_unit = 0x300000, .nr_slots = 1 },
		{ .alloc_unit = 0x400000, .nr_slots = 1 },
	};
	char msg[SLOTMAP_MSG_MAX];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct slotmap_config c = bad[i];
		struct slotmap *m = NULL;

		c.no_bpf = true;
		msg[0] = '\0';
		assert_true(slotmap_load(&c, -1, &m, msg) < 0);
		assert_true(msg[0] && !m);
	}
}

/* ---- filling from a namespace ---- */

static struct famfs_ns *small_namespace(void)
{
	const struct famfs_super sb = {
		.version = FAMFS_SUPER_VERSION,
		.log_offset = FAMFS_LOG_OFFSET,
		.log_len = FAMFS_LOG_LEN_MIN,
		.alloc_unit = FAMFS_ALLOC_UNIT,
		.dev_size = 1ULL << 34,
	};
	struct famfs_entry dir = {
		.index = 0, .type = FAMFS_ENTRY_MKDIR, .path = "d", .path_len = 1, .mode = 0755
	};
	struct famfs_entry file = {
		.index = 2,
		.type = FAMFS_ENTRY_FILE,
		.path = "d/f",
		.path_len = 3,
		.mode = 0644,
		.size = 5000,
		.ext_type = FAMFS_EXT_SIMPLE,
		.next = 1,
		.ext[0] = { .offset = 0x1000000, .len = 0x200000 },
	};
	struct famfs_error err;
	struct famfs_ns *ns;

	assert_int_equal(famfs_ns_new(&sb, &ns), 0);
	assert_int_equal(famfs_ns_add(ns, &dir, "dev", &err), 0);
	assert_int_equal(famfs_ns_add(ns, &file, "dev", &err), 0);
	file.index = 3;
	file.path[2] = 'g';
	file.ext[0].devindex = 5;	/* a device that is not there */
	assert_int_equal(famfs_ns_add(ns, &file, "dev", &err), 0);
	return ns;
}

static void fill_publishes_files_only(void **state)
{
	struct famfs_ns *ns = small_namespace();
	struct slotmap *m = plain_map(15420);
	uint64_t skipped, bad = 0;
	struct slotmap_stats st;
	struct fuse_iomap_io io;

	for (int again = 0; again < 2; again++) {
		assert_int_equal(slotmap_fill(m, ns, 4, &devs, &skipped, &bad), 0);
		assert_int_equal(skipped, 1);
		slotmap_stats(m, &st);
		assert_int_equal(st.published, 1);
		assert_true(st.reserved >= 2);
	}
	assert_int_equal(slotmap_resolve(m, 4, GENERATION, 0, &io), 0);
	assert_int_equal(io.addr, 0x1000000);
	assert_int_equal(slotmap_resolve(m, FAMFS_NODEID_SUPER, GENERATION, 0, &io), 0);
	assert_int_equal(io.addr, 0);
	assert_int_equal(slotmap_resolve(m, FAMFS_NODEID_LOG, GENERATION, 0, &io), 0);
	assert_int_equal(io.addr, FAMFS_LOG_OFFSET);
	assert_int_equal(io.length, FAMFS_LOG_LEN_MIN);
	assert_int_equal(slotmap_fill(m, ns, 15421, &devs, &skipped, &bad), -ERANGE);
	slotmap_free(m);

	/* A slot where the log has a directory. */
	m = plain_map(8);
	assert_int_equal(slotmap_publish(m, 2, &one, &devs), 0);
	assert_int_equal(slotmap_fill(m, ns, 4, &devs, &skipped, &bad), -EUCLEAN);
	assert_int_equal(bad, 2);
	slotmap_free(m);

	/* A slot that is not what the log says. */
	m = plain_map(8);
	assert_int_equal(slotmap_publish(m, 4, &one, &devs), 0);
	assert_int_equal(slotmap_fill(m, ns, 4, &devs, &skipped, &bad), -EUCLEAN);
	assert_int_equal(bad, 4);
	slotmap_free(m);
	famfs_ns_free(ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reciprocal_is_exact_by_its_bound),
		cmocka_unit_test(reciprocal_is_exact_around_every_boundary),
		cmocka_unit_test(resolver_agrees_with_reference),
		cmocka_unit_test(resolver_gives_the_documented_example),
		cmocka_unit_test(slot_has_these_bytes),
		cmocka_unit_test(encoder_joins_extents_that_touch),
		cmocka_unit_test(many_strips_near_each_other_stay_in_the_slot),
		cmocka_unit_test(encoder_refuses),
		cmocka_unit_test(encoder_knows_its_limits),
		cmocka_unit_test(empty_file_has_no_bytes),
		cmocka_unit_test(resolver_refuses),
		cmocka_unit_test(search_finds_each_of_many_extents),
		cmocka_unit_test(hostile_slots_end_in_an_answer),
		cmocka_unit_test(publish_is_idempotent_and_final),
		cmocka_unit_test(publish_knows_its_range),
		cmocka_unit_test(publish_says_when_extents_run_out),
		cmocka_unit_test(kill_is_for_good),
		cmocka_unit_test(load_checks_its_config),
		cmocka_unit_test(fill_publishes_files_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
