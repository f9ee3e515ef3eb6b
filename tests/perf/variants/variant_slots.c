// SPDX-License-Identifier: GPL-2.0-only
/*
 * Variants on the slots of include/famfs/fmap.h: bpf-array is the product's program with
 * its own loader, c-slot walks the same maps in C, bpf-arena has the slots in an arena.
 */
#include "variants_i.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "bpfload.h"
#include "slotmap.h"

#include "arena.skel.h"

/* ---- layouts to slots ---- */

/* Lists that no famfs media has: one record an extent, found by a shift or a search */
static int encode_list(const struct bench_file *f, uint32_t unit_shift, struct famfs_slot *slot,
		       struct famfs_slot_extent *ext)
{
	uint64_t length = f->ext[0].length;
	bool uniform = !(length & (length - 1));

	for (uint32_t i = 0; i < f->nr; i++) {
		const struct bench_extent *e = &f->ext[i];

		if (e->length != length && (i < f->nr - 1 || e->length > length))
			uniform = false;
		ext[i] = (struct famfs_slot_extent){
			.strip = { .dev = e->dev, .start = (uint32_t)(e->addr >> unit_shift) },
			.first = (uint32_t)(e->offset >> unit_shift),
			.units = (uint32_t)(e->length >> unit_shift),
		};
	}
	*slot = (struct famfs_slot){
		.type = FAMFS_SLOT_EXTENTS,
		.generation = f->generation,
		.size = (uint32_t)((f->size + (1ULL << unit_shift) - 1) >> unit_shift),
		.chunk_shift = uniform ? (uint8_t)__builtin_ctzll(length) : 0,
	};
	slot->ext.count = f->nr;
	return 0;
}

/* What famfs media can have goes through the product's own encoder */
static int encode_media(const struct bench_file *f, uint32_t unit_shift, struct slotmap_record *ret)
{
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
	struct slotmap_devs devs = { .count = FAMFS_MAX_DEVS };
	struct famfs_fmap fmap = {
		.size = f->size,
		.chunk = f->chunk,
		.ext_type = f->chunk ? FAMFS_EXT_INTERLEAVE : FAMFS_EXT_SIMPLE,
		.next = f->nr,
		.ext = ext,
	};

	/* Ids stand for themselves */
	for (uint32_t i = 0; i < FAMFS_MAX_DEVS; i++)
		devs.id[i] = i;
	for (uint32_t i = 0; i < f->nr; i++) {
		ext[i] = (struct famfs_extent){
			.devindex = f->ext[i].dev,
			.offset = f->ext[i].addr,
			.len = f->ext[i].length,
		};
	}
	return slotmap_encode(&fmap, &devs, f->generation, unit_shift, ret);
}

uint64_t variant_slots_extents(const struct bench_variant *v)
{
	uint64_t total = 0;

	for (size_t i = 0; i < v->n; i++)
		if (v->files[i].nr > 1 &&
		    (!v->files[i].chunk || v->files[i].nr > FAMFS_SLOT_STRIPS))
			total += v->files[i].nr;
	return total ? total : 1;
}

static int slot_fill(const struct bench_variant *v, struct variant_table *t,
		     const struct bench_file *f)
{
	struct famfs_slot *to = &t->slots[f->nodeid - BENCH_NODEID_FIRST], slot;
	struct famfs_slot_extent *ext = &t->extents[t->used];
	enum famfs_slot_type type;
	int err;

	if (f->nr > FAMFS_MAX_EXTENTS) {
		err = encode_list(f, v->conn.unit_shift, &slot, ext);
		slot.ext.first = t->used;
		t->used += f->nr;
	} else {
		struct slotmap_record rec;

		err = encode_media(f, v->conn.unit_shift, &rec);
		if (err)
			return err;
		slot = rec.slot;
		if (rec.nr_ext) {
			memcpy(ext, rec.ext, rec.nr_ext * sizeof(rec.ext[0]));
			slot.ext.first = t->used;
			t->used += rec.nr_ext;
		}
	}
	if (err)
		return err;
	type = slot.type;
	slot.type = FAMFS_SLOT_EMPTY;
	*to = slot;
	__atomic_store_n(&to->type, type, __ATOMIC_RELEASE);
	return 0;
}

int variant_slots_fill(const struct bench_variant *v, struct variant_table *t, char *msg)
{
	for (size_t i = 0; i < v->n; i++) {
		int err;

		if (!v->files[i].nr)
			continue;
		if (v->files[i].nr > t->nr_extents - t->used && v->files[i].nr > 1 &&
		    (!v->files[i].chunk || v->files[i].nr > FAMFS_SLOT_STRIPS))
			return -ENOSPC;
		err = slot_fill(v, t, &v->files[i]);
		if (err)
			return variant_say(msg, err, "%s: file %zu cannot be encoded: %s",
					   v->ops->name, i, strerror(-err));
	}
	return 0;
}

/* ---- bpf-array, c-slot ---- */

int variant_slots_load(struct bench_variant *v, char *msg)
{
	const struct bpfload_config config = {
		.unit_shift = v->conn.unit_shift,
		.nr_slots = v->n ? (uint32_t)v->n : 1,
		.nr_reserved = 1,
		.nr_extents = (uint32_t)variant_slots_extents(v),
	};
	struct variant_table t = { .nr_slots = config.nr_slots, .nr_extents = config.nr_extents };
	int err;

	err = bpfload_load(&config, v->conn.fuse_fd, &v->tables, msg);
	if (err)
		return err;
	t.slots = v->tables->slots;
	t.extents = v->tables->extents;
	for (int i = BPFLOAD_SLOTS; i <= BPFLOAD_RODATA; i++)
		v->info.map_bytes += variant_memlock(v->tables->fd[i]);
	return variant_slots_fill(v, &t, msg);
}

/* The program of a struct_ops map: found by its name, as nobody else has loaded one since */
static void array_program(struct bench_variant *v)
{
	uint32_t id = 0, last = 0;
	int fd;

	while (!bpf_prog_get_next_id(id, &id)) {
		struct bpf_prog_info info = { 0 };
		uint32_t len = sizeof(info);

		fd = bpf_prog_get_fd_by_id(id);
		if (fd < 0)
			continue;
		if (!bpf_prog_get_info_by_fd(fd, &info, &len) &&
		    info.type == BPF_PROG_TYPE_STRUCT_OPS && !strncmp(info.name, "famfs_", 6))
			last = id;
		close(fd);
	}
	fd = last ? bpf_prog_get_fd_by_id(last) : -1;
	if (fd >= 0) {
		v->info.prog_bytes = variant_prog_bytes(fd);
		v->info.programs = 1;
		close(fd);
	}
}

static int array_attach(struct bench_variant *v, char *msg)
{
	int err = variant_slots_load(v, msg);

	if (!err)
		err = bpfload_attach(v->tables, msg);
	if (!err)
		array_program(v);
	return err;
}

static void slots_detach(struct bench_variant *v)
{
	bpfload_free(v->tables);
}

const struct variant_ops variant_bpf_array = {
	.name = "bpf-array",
	.attach = array_attach,
	.detach = slots_detach,
};

static int c_slot_attach(struct bench_variant *v, char *msg)
{
	struct fuse_iomap_bench_mode m = { .mode = FUSE_IOMAP_BENCH_SLOT };
	int err = variant_slots_load(v, msg);

	if (err)
		return err;
	m.slots_fd = v->tables->fd[BPFLOAD_SLOTS];
	m.reserved_fd = v->tables->fd[BPFLOAD_RESERVED];
	m.extents_fd = v->tables->fd[BPFLOAD_EXTENTS];
	m.unit_shift = v->conn.unit_shift;
	return variant_bench_mode(v, &m, msg);
}

const struct variant_ops variant_c_slot = {
	.name = "c-slot",
	.bench_kernel = true,
	.attach = c_slot_attach,
	.detach = slots_detach,
};

/* ---- bpf-arena ---- */

/* Where user space sees it; nothing else is that high in a process of ours */
#define ARENA_BASE	(1ULL << 44)
#define ARENA_MAX	(1ULL << 32)

static int arena_load(struct bench_variant *v, struct arena_bpf *skel, uint64_t extents_at,
		      uint64_t bytes)
{
	int err;

	skel->rodata->unit_shift = v->conn.unit_shift;
	skel->rodata->slots_base = ARENA_BASE;
	skel->rodata->nr_slots = (uint32_t)v->n;
	skel->rodata->extents_base = ARENA_BASE + extents_at;
	skel->rodata->nr_extents = (uint32_t)variant_slots_extents(v);
	skel->struct_ops.arena_ops->fuse_fd = v->conn.fuse_fd;
	err = bpf_map__set_max_entries(skel->maps.arena, (uint32_t)(bytes / 4096));
	if (!err)
		err = bpf_map__set_map_extra(skel->maps.arena, ARENA_BASE);
	return err ? err : arena_bpf__load(skel);
}

static int arena_attach(struct bench_variant *v, char *msg)
{
	uint64_t nr_extents = variant_slots_extents(v);
	uint64_t extents_at = (v->n * sizeof(struct famfs_slot) + 4095) & ~4095ULL;
	uint64_t bytes = (extents_at + nr_extents * sizeof(struct famfs_slot_extent) + 4095) &
			 ~4095ULL;
	struct variant_table t = { .nr_slots = (uint32_t)v->n, .nr_extents = (uint32_t)nr_extents };
	struct arena_bpf *skel = arena_bpf__open();
	size_t size;
	char *base;
	int err;

	if (!skel)
		return -errno;
	v->skel = skel;
	if (bytes >= ARENA_MAX)
		return variant_say(msg, -EOPNOTSUPP, "an arena has 4 GiB at most");
	err = arena_load(v, skel, extents_at, bytes);
	if (err)
		return variant_say(msg, err, "cannot load the program of bpf-arena: %s",
				   strerror(-err));
	base = bpf_map__initial_value(skel->maps.arena, &size);
	if (!base)
		return -EIO;
	t.slots = (struct famfs_slot *)base;
	t.extents = (struct famfs_slot_extent *)(base + extents_at);
	err = variant_slots_fill(v, &t, msg);
	if (err)
		return err;
	v->link = bpf_map__attach_struct_ops(skel->maps.arena_ops);
	if (!v->link)
		return variant_say(msg, -errno, "cannot attach the program of bpf-arena: %s",
				   strerror(errno));
	/* Pages are there from the first touch on; all of them were touched */
	v->info.map_bytes = bytes + variant_memlock(bpf_map__fd(skel->maps.rodata));
	v->info.prog_bytes = variant_prog_bytes(bpf_program__fd(skel->progs.arena_iomap_begin));
	v->info.programs = 1;
	return 0;
}

static void arena_detach(struct bench_variant *v)
{
	bpf_link__destroy(v->link);
	arena_bpf__destroy(v->skel);
}

const struct variant_ops variant_bpf_arena = {
	.name = "bpf-arena",
	.attach = arena_attach,
	.detach = arena_detach,
};
