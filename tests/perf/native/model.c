// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdio.h>

#include <famfs/media.h>

#include <famfs/fmap.h>

#include "famfs.skel.h"
#include "model.h"
#include "v10.skel.h"
#include "walk.h"

#define LINE_SHIFT	6

/* Apart from each other, each at the start of a huge page */
#define PLACE_SLOTS	0x0100000000ULL
#define PLACE_EXTENTS	0x1100000000ULL
#define PLACE_META	0x2100000000ULL
#define PLACE_IEXT	0x3100000000ULL
#define PLACE_EXT	0x4100000000ULL
#define PLACE_SHARED	0x5100000000ULL
#define PLACE_INODES	0x6100000000ULL
#define PLACE_PTES	0x7100000000ULL
#define PLACE_PMDS	0x8100000000ULL

/*
 * struct fuse_inode of 7.3 with the series: 808 bytes, in objects of 832. Both ways read
 * the line of i_size and i_generation, and one more.
 */
#define INODE_STRIDE	832
#define INODE_I_SIZE	80
#define INODE_GENERATION 124
#define INODE_NODEID	544
#define INODE_META	776	/* a pointer more at the end, as V10 had it */

/* ---- what is read ---- */

static bool seen(uint64_t *list, unsigned int *n, uint64_t v)
{
	for (unsigned int i = 0; i < *n; i++)
		if (list[i] == v)
			return true;
	if (*n == MODEL_LINES_MAX)
		return true;
	list[(*n)++] = v;
	return false;
}

/* The last level of a walk; those above stay in the walker's own caches. */
static void read_tables(struct model *m, uint64_t addr, unsigned int page_shift)
{
	uint64_t page = addr >> page_shift;
	uint64_t entry = (page_shift == 12 ? PLACE_PTES : PLACE_PMDS) + page * 8;
	uint64_t line = entry >> LINE_SHIFT;

	if (!seen(m->table, &m->nr_tables, line))
		m->count->tables++;
	if (m->use_cache && !cache_access(&m->tlb, page << 1 | (page_shift == 21)))
		m->count->table_misses += !cache_access(&m->llc, line);
}

/* One line; returns when it is there. */
static unsigned int read_line(struct model *m, uint64_t line, unsigned int depth, uint64_t *counter,
			      bool waits)
{
	for (unsigned int i = 0; i < m->nr_lines; i++)
		if (m->line[i] == line)
			return depth > m->ready[i] ? depth : m->ready[i];
	if (m->nr_lines == MODEL_LINES_MAX) {
		m->err = -E2BIG;
		return depth;
	}
	m->line[m->nr_lines] = line;
	m->ready[m->nr_lines++] = waits ? depth + 1 : depth;
	++*counter;
	if (m->use_cache)
		m->count->misses += !cache_access(&m->llc, line);
	return m->ready[m->nr_lines - 1];
}

static unsigned int read_bytes(struct model *m, const struct model_region *r, uint64_t addr,
			       unsigned int size, unsigned int depth)
{
	bool own = r->kind == MODEL_PER_FILE;
	uint64_t *counter = own ? &m->count->lines : &m->count->shared;
	unsigned int when = depth;

	for (uint64_t line = addr >> LINE_SHIFT; line <= (addr + size - 1) >> LINE_SHIFT; line++) {
		unsigned int t = read_line(m, line, depth, counter, own);

		read_tables(m, line << LINE_SHIFT, r->page_shift);
		when = t > when ? t : when;
	}
	return when;
}

static unsigned int on_load(void *ctx, const void *addr, unsigned int size, unsigned int depth)
{
	struct model *m = ctx;

	for (unsigned int i = 0; i < m->nr_regions; i++) {
		const struct model_region *r = &m->region[i];
		uint64_t at = (uint64_t)((const char *)addr - r->base);

		if ((const char *)addr >= r->base && at + size <= r->size)
			return read_bytes(m, r, r->place + at, size, depth);
	}
	fprintf(stderr, "model: a load from nowhere\n");
	m->err = -EFAULT;
	return depth;
}

static void read_inode(struct model *m, uint64_t i, uint64_t offset)
{
	uint64_t addr = PLACE_INODES + i * INODE_STRIDE + offset;

	read_line(m, addr >> LINE_SHIFT, 0, &m->count->inode_lines, false);
	read_tables(m, addr, 21);
}

/* ---- life ---- */

/* Large maps are mapped by huge pages (0043 of the series) */
static unsigned int map_page_shift(size_t size)
{
	return size >= 32 << 20 ? 21 : 12;
}

static void add_region(struct model *m, const void *base, size_t size, uint64_t place,
		       enum model_kind kind, unsigned int page_shift)
{
	if (base)
		m->region[m->nr_regions++] = (struct model_region){
			.base = base,
			.size = size,
			.place = place,
			.kind = kind,
			.page_shift = page_shift,
		};
}

static int open_programs(struct model *m)
{
	const struct bpfsim_ops ops = { .load = on_load, .ctx = m };
	const struct bpfsim_map maps[] = {
		{ "slots", m->slots.base, sizeof(struct famfs_slot), (uint32_t)m->files.n },
		{ "reserved", NULL, sizeof(struct famfs_slot), 0 },
		{ "extents", m->extents.base, sizeof(struct famfs_slot_extent),
		  (uint32_t)m->nr_extents },
	};
	const void *elf;
	size_t size;
	int err;

	elf = famfs_bpf__elf_bytes(&size);
	err = bpfsim_open(&m->slot, elf, size, "struct_ops/iomap_begin", maps, 3, &ops);
	if (err)
		return err;
	((struct famfs_fmap_config *)(void *)m->slot.rodata)->nr_extents = (uint32_t)m->nr_extents;
	elf = v10_bpf__elf_bytes(&size);
	return bpfsim_open(&m->v10, elf, size, "v10", NULL, 0, &ops);
}

static void add_regions(struct model *m)
{
	/* BPF maps are vmalloc'ed, what is kmalloc'ed is in the direct map. */
	add_region(m, m->slots.base, m->slots.size, PLACE_SLOTS, MODEL_PER_FILE,
		   map_page_shift(m->slots.size));
	add_region(m, m->extents.base, m->extents.size, PLACE_EXTENTS, MODEL_PER_FILE,
		   map_page_shift(m->extents.size));
	add_region(m, m->files.meta.base, m->files.meta.size, PLACE_META, MODEL_PER_FILE, 21);
	add_region(m, m->files.iext.base, m->files.iext.size, PLACE_IEXT, MODEL_PER_FILE, 21);
	add_region(m, m->files.ext.base, m->files.ext.size, PLACE_EXT, MODEL_PER_FILE, 21);
	add_region(m, m->files.dev, sizeof(m->files.dev), PLACE_SHARED, MODEL_SHARED, 21);
	add_region(m, &m->files.devs, sizeof(m->files.devs), PLACE_SHARED + 4096, MODEL_SHARED, 21);
	add_region(m, m->slot.rodata, m->slot.rodata_size, PLACE_SHARED + 8192, MODEL_SHARED, 12);
}

int model_init(struct model *m, uint64_t n, uint32_t strips)
{
	int64_t used;
	int err;

	*m = (struct model){ .nr_extents = n * fileset_extents_max(strips) };
	err = fileset_v10(&m->files, n, strips);
	if (!err)
		err = arena_init(&m->slots, n * sizeof(struct famfs_slot), true);
	if (!err && m->nr_extents)
		err = arena_init(&m->extents, m->nr_extents * sizeof(struct famfs_slot_extent),
				 true);
	if (!err) {
		used = fileset_slots(n, strips, (void *)m->slots.base, (void *)m->extents.base,
				     m->nr_extents);
		err = used < 0 ? (int)used : 0;
	}
	if (!err)
		err = open_programs(m);
	if (!err)
		err = cache_init(&m->llc, MODEL_LLC_SETS, MODEL_LLC_WAYS);
	if (!err)
		err = cache_init(&m->tlb, MODEL_TLB_SETS, MODEL_TLB_WAYS);
	if (err) {
		model_free(m);
		return err;
	}
	add_regions(m);
	return 0;
}

void model_free(struct model *m)
{
	bpfsim_close(&m->slot);
	bpfsim_close(&m->v10);
	fileset_free(&m->files);
	arena_free(&m->slots);
	arena_free(&m->extents);
	cache_free(&m->llc);
	cache_free(&m->tlb);
}

void model_cache_reset(struct model *m, bool use)
{
	cache_clear(&m->llc);
	cache_clear(&m->tlb);
	m->use_cache = use;
}

/* ---- a lookup ---- */

static void begin(struct model *m, struct model_count *count)
{
	m->count = count;
	m->nr_lines = m->nr_tables = 0;
	m->err = 0;
}

static int end(struct model *m, const struct bpfsim *s, int err, unsigned int depth)
{
	m->count->lookups++;
	m->count->dependent += depth;
	m->count->instructions += s->steps;
	return err ? err : m->err;
}

int model_slot(struct model *m, uint64_t i, uint64_t pos, struct fuse_iomap_io *ret,
	       struct model_count *count)
{
	static const unsigned int depth[BPFSIM_CTX_WORDS];
	uint64_t ctx[BPFSIM_CTX_WORDS] = {
		i + FAMFS_NODEID_FIRST, FILESET_GENERATION, pos, 1ULL << 40, 0, (uintptr_t)ret,
	};
	unsigned int waited = 0;
	uint64_t r0 = 0;
	int err;

	begin(m, count);
	read_inode(m, i, INODE_NODEID);
	read_inode(m, i, INODE_GENERATION);
	err = bpfsim_run(&m->slot, ctx, depth, ret, sizeof(*ret), &r0, &waited);
	if (!err && (int)r0 != FUSE_IOMAP_BPF_HANDLED)
		err = -EIO;
	return end(m, &m->slot, err, waited);
}

int model_v10(struct model *m, uint64_t i, uint64_t pos, struct v10_iomap *ret,
	      struct model_count *count)
{
	static const unsigned int depth[BPFSIM_CTX_WORDS];
	uint64_t ctx[BPFSIM_CTX_WORDS] = {
		(uintptr_t)(m->files.meta.base + i * WALK_META_STRIDE),
		(uintptr_t)&m->files.devs,
		FILESET_SIZE,
		pos,
		1ULL << 40,
		(uintptr_t)ret,
	};
	unsigned int waited = 0;
	uint64_t r0 = 0;
	int err;

	begin(m, count);
	read_inode(m, i, INODE_META);
	read_inode(m, i, INODE_I_SIZE);
	err = bpfsim_run(&m->v10, ctx, depth, ret, sizeof(*ret), &r0, &waited);
	if (!err && (int)r0)
		err = (int)r0;
	return end(m, &m->v10, err, waited);
}
