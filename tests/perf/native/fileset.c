// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fileset.h"
#include "slotmap.h"
#include "walk.h"

#define HUGE (2UL << 20)

/* ---- memory ---- */

int arena_init(struct arena *a, size_t size, bool huge)
{
	size_t room = (size + HUGE - 1) & ~(HUGE - 1);
	char *p = mmap(NULL, room + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *base;

	if (p == MAP_FAILED)
		return -errno;
	base = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	if (base > p)
		munmap(p, (size_t)(base - p));
	munmap(base + room, (size_t)(p + HUGE - base));
	madvise(base, room, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(base, 0, room);
	*a = (struct arena){ .base = base, .size = room };
	return 0;
}

void arena_free(struct arena *a)
{
	if (a->base)
		munmap(a->base, a->size);
	a->base = NULL;
}

int arena_huge_percent(const struct arena *a)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uint64_t start, end, kb = 0;
	bool in = false;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &start, &end) == 2)
			in = start <= (uintptr_t)a->base && (uintptr_t)a->base < end;
		else if (in && sscanf(line, "AnonHugePages: %" SCNu64, &kb) == 1)
			break;
	}
	if (f)
		fclose(f);
	kb <<= 10;
	return (int)((kb < a->size ? kb : a->size) * 100 / a->size);
}

/* ---- placement ---- */

/*
 * Strip k of file i: devices in turn, each file after the one before it. Starts are
 * spread a little, as they are when files of other sizes lie between.
 */
static void place(uint64_t i, uint32_t k, uint32_t strips, uint32_t *ret_dev, uint64_t *ret_addr)
{
	uint64_t per = FILESET_SIZE / FILESET_CHUNK / strips + 1;

	*ret_dev = strips == 1 ? (uint32_t)(i % FILESET_DEVS) : (uint32_t)((i + k) % FILESET_DEVS);
	*ret_addr = (16 + i * per + k) * FILESET_CHUNK;
}

static uint64_t strip_length(uint32_t strips)
{
	if (strips == 1)
		return FILESET_SIZE;
	return (FILESET_SIZE + FILESET_CHUNK * strips - 1) / (FILESET_CHUNK * strips) *
	       FILESET_CHUNK;
}

/* ---- V10 ---- */

/* Size classes of kmalloc up to what is needed here */
static size_t kmalloc_size(size_t size)
{
	static const size_t class[] = { 32, 64, 96, 128, 192, 256, 512 };

	for (size_t i = 0; i < sizeof(class) / sizeof(class[0]); i++)
		if (size <= class[i])
			return class[i];
	abort();
}

static void v10_strips(struct v10_ext *e, uint64_t i, uint32_t strips)
{
	for (uint32_t k = 0; k < strips; k++) {
		uint32_t dev;
		uint64_t addr;

		place(i, k, strips, &dev, &addr);
		e[k] = (struct v10_ext){ .dev = dev, .offset = addr, .len = strip_length(strips) };
	}
}

int fileset_v10(struct fileset *fs, uint64_t n, uint32_t strips)
{
	size_t ext_size = kmalloc_size(strips * sizeof(struct v10_ext));
	int err;

	*fs = (struct fileset){ .n = n, .strips = strips };
	for (uint32_t i = 0; i < FILESET_DEVS; i++)
		fs->dev[i] = (struct v10_dev){ .valid = 1, .devp = (void *)(uintptr_t)(i + 1) };
	fs->devs = (struct v10_devs){ .nslots = FILESET_DEVS, .list = fs->dev };

	err = arena_init(&fs->meta, n * WALK_META_STRIDE, true);
	if (!err)
		err = arena_init(&fs->ext, n * ext_size, true);
	if (!err && strips > 1)
		err = arena_init(&fs->iext, n * sizeof(struct v10_iext), true);
	if (err) {
		fileset_free(fs);
		return err;
	}
	for (uint64_t i = 0; i < n; i++) {
		struct v10_meta *meta = (void *)(fs->meta.base + i * WALK_META_STRIDE);
		struct v10_ext *ext = (void *)(fs->ext.base + i * ext_size);
		struct v10_iext *iext = (void *)fs->iext.base;

		*meta = (struct v10_meta){ .file_size = FILESET_SIZE,
					   .nextents = 1,
					   .dev_bitmap = (1 << FILESET_DEVS) - 1 };
		v10_strips(ext, i, strips);
		if (strips == 1) {
			meta->ext_type = V10_SIMPLE;
			meta->se = ext;
			continue;
		}
		meta->ext_type = V10_INTERLEAVE;
		meta->ie = &iext[i];
		iext[i] = (struct v10_iext){ .nstrips = strips,
					     .chunk = FILESET_CHUNK,
					     .nbytes = FILESET_SIZE,
					     .strips = ext };
	}
	return 0;
}

void fileset_free(struct fileset *fs)
{
	arena_free(&fs->meta);
	arena_free(&fs->iext);
	arena_free(&fs->ext);
}

/* ---- slots and hash ---- */

static int encode(uint64_t i, uint32_t strips, struct slotmap_record *ret)
{
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
	struct famfs_fmap fmap = {
		.size = FILESET_SIZE,
		.chunk = strips > 1 ? FILESET_CHUNK : 0,
		.ext_type = strips > 1 ? FAMFS_EXT_INTERLEAVE : FAMFS_EXT_SIMPLE,
		.next = strips,
		.ext = ext,
	};
	struct slotmap_devs devs = { .count = FILESET_DEVS };

	for (uint32_t d = 0; d < FILESET_DEVS; d++)
		devs.id[d] = d + 1;
	for (uint32_t k = 0; k < strips; k++) {
		place(i, k, strips, &ext[k].devindex, &ext[k].offset);
		ext[k].len = strip_length(strips);
	}
	return slotmap_encode(&fmap, &devs, FILESET_GENERATION, FILESET_UNIT_SHIFT, ret);
}

/* All files are alike. */
uint32_t fileset_extents_max(uint32_t strips)
{
	struct slotmap_record r;

	return encode(0, strips, &r) ? FAMFS_MAX_EXTENTS : r.nr_ext;
}

int64_t fileset_slots(uint64_t n, uint32_t strips, struct famfs_slot *slots,
		      struct famfs_slot_extent *extents, uint64_t nr_extents)
{
	struct slotmap_record r;
	uint64_t used = 0;

	for (uint64_t i = 0; i < n; i++) {
		int err = encode(i, strips, &r);

		if (err)
			return err;
		if (r.nr_ext > nr_extents - used)
			return -ENOSPC;
		if (r.nr_ext) {
			memcpy(&extents[used], r.ext, r.nr_ext * sizeof(r.ext[0]));
			r.slot.ext.first = (uint32_t)used;
			used += r.nr_ext;
		}
		slots[i] = r.slot;
	}
	return (int64_t)used;
}

void fileset_hash_file(uint64_t i, uint32_t strips, struct native_hash_file *ret)
{
	*ret = (struct native_hash_file){
		.size = FILESET_SIZE,
		.chunk = strips > 1 ? FILESET_CHUNK : 0,
		.generation = FILESET_GENERATION,
		.nstrips = strips,
	};
	for (uint32_t k = 0; k < strips; k++) {
		uint32_t dev;
		uint64_t addr;

		place(i, k, strips, &dev, &addr);
		ret->strips[k] = (struct native_hash_strip){
			.dev = dev + 1,
			.addr = addr,
			.length = strip_length(strips),
		};
	}
}
