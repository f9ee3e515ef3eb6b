// SPDX-License-Identifier: GPL-2.0-only
/* See walk.h. Compiled with -O2, whatever the build is for. */
#include <stddef.h>

#include "walk.h"

struct loop {
	__u64	sum;
	__u64	bad;
};

static inline __attribute__((always_inline)) __u64 v10_one(const struct walk_v10 *w, struct loop *l,
							   struct native_draw d)
{
	const struct v10_meta *meta = (const void *)(w->metas + d.index * WALK_META_STRIDE);
	struct v10_iomap map;

	if (v10_resolve(meta, w->devs, w->i_size, d.pos, 1ULL << 40, &map)) {
		l->bad++;
		return 0;
	}
	l->sum += map.offset + map.length + (__u64)map.dax_dev;
	return map.addr;
}

static const struct famfs_slot_extent *extent_get(void *ctx, __u64 i)
{
	const struct walk_slots *w = ctx;

	return i < w->nr_extents ? &w->extents[i] : NULL;
}

static inline __attribute__((always_inline)) __u64 slots_one(const struct walk_slots *w,
							     struct loop *l, struct native_draw d)
{
	struct famfs_run run;

	if (famfs_slot_resolve(&w->slots[d.index], extent_get, (void *)w, w->unit_shift,
			       w->generation, d.pos, &run) != 1) {
		l->bad++;
		return 0;
	}
	l->sum += run.offset + run.length + run.dev;
	return run.addr;
}

static inline __attribute__((always_inline)) __u64 empty_one(const void *w, struct loop *l,
							     struct native_draw d)
{
	return d.index + d.pos;
}

/* Two loops and no test inside: the same as two programs */
#define WALK(one, w, args, latency)                                                         \
	do {                                                                                \
		__u64 state = (args)->seed, files = (args)->files, mask = (args)->pos_mask; \
		struct loop l = { 0 };                                                      \
                                                                                            \
		if (latency) {                                                              \
			for (__u64 i = 0; i < (args)->loops; i++) {                         \
				__u64 addr = one(w, &l, native_draw(&state, files, mask));  \
                                                                                            \
				l.sum += addr;                                              \
				native_chain(&state, addr);                                 \
			}                                                                   \
		} else {                                                                    \
			for (__u64 i = 0; i < (args)->loops; i++)                           \
				l.sum += one(w, &l, native_draw(&state, files, mask));      \
		}									\
		(args)->ret_sum = l.sum;                                                    \
		(args)->ret_bad = l.bad;                                                    \
	} while (0)

void walk_empty(struct native_args *args, bool latency)
{
	WALK(empty_one, NULL, args, latency);
}

void walk_v10(const struct walk_v10 *w, struct native_args *args, bool latency)
{
	WALK(v10_one, w, args, latency);
}

void walk_slots(const struct walk_slots *w, struct native_args *args, bool latency)
{
	WALK(slots_one, w, args, latency);
}

int walk_v10_one(const struct walk_v10 *w, __u64 index, __u64 pos, __u64 *ret_addr)
{
	struct v10_iomap map;
	int err = v10_resolve((const void *)(w->metas + index * WALK_META_STRIDE), w->devs,
			      w->i_size, pos, 1ULL << 40, &map);

	if (!err)
		*ret_addr = map.addr;
	return err;
}

int walk_slots_one(const struct walk_slots *w, __u64 index, __u64 pos, struct famfs_run *ret)
{
	return famfs_slot_resolve(&w->slots[index], extent_get, (void *)w, w->unit_shift,
				  w->generation, pos, ret);
}
