// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timed loops of resolves on the machine's own kernel, where no fuse_iomap_bpf_ops
 * exists: the product's resolver over the product's tables, and the HASH layout, in
 * programs of type "syscall". Each comes twice: "latency", where a draw waits for the answer
 * before it, and "rate", where it does not. empty_* are the same loops with nothing
 * resolved.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <famfs/fmap.h>
#include <famfs/media.h>

#include "native.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 unit_shift = FAMFS_UNIT_SHIFT_MAX;
const volatile __u32 generation = 1;
const volatile __u32 nr_extents = 1;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct famfs_slot);
} slots SEC(".maps");

/* As in bpf/famfs.bpf.c */
struct famfs_slot_extent extents[1] SEC(".data.extents");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct native_hash_file);
} files SEC(".maps");

/* A loop's state; bpf_loop() passes it to the body. */
struct loop {
	__u64	state;
	__u64	files;
	__u64	pos_mask;
	__u64	sum;
	__u64	bad;
};

static __always_inline const struct famfs_slot *slot_get(__u64 nodeid)
{
	__u64 index = nodeid - FAMFS_NODEID_FIRST;
	__u32 key = index;

	return index <= 0x7fffffff ? bpf_map_lookup_elem(&slots, &key) : NULL;
}

static __always_inline __u64 array_one(struct loop *l, struct native_draw d)
{
	const struct famfs_slot *slot = slot_get(d.index + FAMFS_NODEID_FIRST);
	struct famfs_extent_table table = famfs_extent_table(extents, nr_extents);
	struct famfs_run run;

	if (!slot || famfs_slot_resolve(slot, famfs_extent_get, &table, unit_shift, generation,
					d.pos, &run) != 1) {
		l->bad++;
		return 0;
	}
	l->sum += run.offset + run.length + run.dev;
	return run.addr;
}

static __always_inline __u64 hash_one(struct loop *l, struct native_draw d)
{
	__u64 nodeid = d.index + FAMFS_NODEID_FIRST;
	const struct native_hash_file *f = bpf_map_lookup_elem(&files, &nodeid);
	__u64 chunk, stripe, nth;

	if (!f || f->generation != generation || d.pos >= f->size)
		goto bad;
	if (!f->chunk) {
		l->sum += f->size + f->strips[0].dev;
		return f->strips[0].addr;
	}
	chunk = d.pos / f->chunk;
	stripe = chunk / f->nstrips;
	nth = chunk - stripe * f->nstrips;
	famfs_fmap_hide(nth);
	if (nth >= NATIVE_HASH_STRIPS)
		goto bad;
	l->sum += chunk * f->chunk + f->chunk + f->strips[nth].dev;
	return f->strips[nth].addr + stripe * f->chunk;
bad:
	l->bad++;
	return 0;
}

static __always_inline __u64 empty_one(struct loop *l, struct native_draw d)
{
	/* What the draw is good for must not be optimised away */
	return d.index + d.pos;
}

#define NATIVE_LOOP(name)							\
	static long name##_latency_body(__u64 i, struct loop *l)                           \
	{                                                                                  \
		__u64 addr = name##_one(l, native_draw(&l->state, l->files, l->pos_mask)); \
                                                                                           \
		l->sum += addr;                                                            \
		native_chain(&l->state, addr);                                             \
		return 0;                                                                  \
	}                                                                                  \
                                                                                           \
	static long name##_rate_body(__u64 i, struct loop *l)                              \
	{                                                                                  \
		l->sum += name##_one(l, native_draw(&l->state, l->files, l->pos_mask));    \
		return 0;                                                                  \
	}                                                                                  \
	NATIVE_PROG(name, latency)                                                         \
	NATIVE_PROG(name, rate)

#define NATIVE_PROG(name, kind)							\
	SEC("syscall")                                              \
	int name##_##kind(struct native_args *args)                 \
	{                                                           \
		struct loop l = {                                   \
			.state = args->seed,                        \
			.files = args->files,                       \
			.pos_mask = args->pos_mask,                 \
		};                                                  \
		__u64 start = bpf_ktime_get_ns();                   \
                                                                    \
		bpf_loop(args->loops, name##_##kind##_body, &l, 0); \
		args->ret_ns = bpf_ktime_get_ns() - start;          \
		args->ret_sum = l.sum;                              \
		args->ret_bad = l.bad;                              \
		return 0;                                           \
	}

NATIVE_LOOP(empty)
NATIVE_LOOP(array)
NATIVE_LOOP(hash)
