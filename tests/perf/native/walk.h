/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The loops of native.bpf.c in C, over memory of this process: V10's layout, and our own
 * slots, which separates what the layout gains from what BPF costs.
 */
#ifndef FAMFS_PERF_WALK_H
#define FAMFS_PERF_WALK_H

#include <stdbool.h>

#include <famfs/fmap.h>

#include "native.h"
#include "v10.h"

/* kmalloc-64: what metas are apart. Reached by multiplication, as if the inode was at hand. */
#define WALK_META_STRIDE	64

struct walk_v10 {
	const char *metas;
	const struct v10_devs *devs;
	__u64 i_size;
};

struct walk_slots {
	const struct famfs_slot *slots;
	const struct famfs_slot_extent *extents;
	__u64 nr_extents;
	__u32 unit_shift;
	__u32 generation;
};

/* @latency: as in native.bpf.c. Time is left to the caller; ret_sum, ret_bad are set */
void walk_empty(struct native_args *args, bool latency);
void walk_v10(const struct walk_v10 *w, struct native_args *args, bool latency);
void walk_slots(const struct walk_slots *w, struct native_args *args, bool latency);

/* One position; 0 and device index + address, or an error */
int walk_v10_one(const struct walk_v10 *w, __u64 index, __u64 pos, __u64 *ret_addr);
int walk_slots_one(const struct walk_slots *w, __u64 index, __u64 pos, struct famfs_run *ret);

#endif /* FAMFS_PERF_WALK_H */
