// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer of encoder and resolver. The input is first taken as a file's record: what
 * the encoder accepts must resolve as the slow reference says. Then as the raw bytes
 * of a slot and its extents: any answer will do, as long as it is one.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/fmap-ref.h"

#define SIZE_CAP	1024

struct input {
	const uint8_t *data;
	size_t left;
};

static uint64_t take(struct input *in, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes && in->left; i++, in->left--)
		v |= (uint64_t)*in->data++ << (8 * i);
	return v;
}

static const struct famfs_slot_extent *record_extent(void *ctx, __u64 i)
{
	const struct slotmap_record *r = ctx;

	return i < r->nr_ext && i < FAMFS_MAX_EXTENTS ? &r->ext[i] : NULL;
}

static void check_record(struct input *in)
{
	struct slotmap_devs devs = { .count = 3, .id = { 1, 2, 3 } };
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
	struct famfs_fmap f = { .ext = ext };
	uint32_t shift = 12 + (uint32_t)take(in, 1) % 10;
	struct slotmap_record r;

	f.ext_type = (uint32_t)take(in, 1) % 3;
	f.next = (uint32_t)take(in, 1) % (FAMFS_MAX_EXTENTS + 1);
	/* Small, so that the reference is fast; with some slack around the unit. */
	f.chunk = (uint64_t)take(in, 1) << shift;
	f.size = take(in, 3) << (shift - 12);
	for (uint32_t i = 0; i < f.next; i++) {
		ext[i].devindex = (uint32_t)take(in, 1) % 4;
		/* Apart from each other: overlaps are the decoder's to refuse. */
		ext[i].offset = (((uint64_t)i << 16) + take(in, 2) % 0x8000) << shift;
		ext[i].len = take(in, 1) << shift;
		if (i && take(in, 1) % 2) {
			ext[i].offset = ext[i - 1].offset + ext[i - 1].len;
			ext[i].devindex = ext[i - 1].devindex;
		}
	}
	if (slotmap_encode(&f, &devs, 9, shift, &r))
		return;

	for (int n = 0; n < 32; n++) {
		uint64_t pos = take(in, 4) << (shift - 12);
		struct famfs_run run;
		int ret;

		ret = famfs_slot_resolve(&r.slot, record_extent, &r, shift, 9, pos, &run);
		if (pos >> shift >= (f.size + (1ULL << shift) - 1) >> shift) {
			if (ret != -ENXIO)
				abort();
			continue;
		}
		if (ret != 1 || ref_check_run(&f, &devs, 1ULL << shift, pos, &run))
			abort();
	}
}

static void check_raw(const uint8_t *data, size_t size)
{
	struct slotmap_record r = { 0 };
	struct famfs_run run;

	memcpy(&r, data, size < sizeof(r) ? size : sizeof(r));
	for (uint32_t shift = FAMFS_UNIT_SHIFT_MIN; shift <= FAMFS_UNIT_SHIFT_MAX; shift++) {
		for (uint32_t bit = 0; bit < 64; bit++) {
			int ret = famfs_slot_resolve(&r.slot, record_extent, &r, shift,
						     r.slot.generation, 1ULL << bit, &run);

			if (ret != 1 && ret != 0 && ret != -EIO && ret != -ENXIO)
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	if (size > SIZE_CAP)
		return 0;
	check_record(&in);
	check_raw(data, size);
	return 0;
}
