/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the timed loops of native.bpf.c and of native.c share: the context of the
 * programs, and the driver, which is the same lines in both so that they do the same
 * work around a resolve.
 */
#ifndef FAMFS_PERF_NATIVE_H
#define FAMFS_PERF_NATIVE_H

#include <linux/types.h>

/**
 * struct native_args - context of the timed programs
 * @files:	draw from so many, less than 2^32
 * @loops:	so many resolves
 * @seed:	state of the generator; another one draws other files
 * @pos_mask:	positions are below it, a power of two minus one
 * @ret_ns:	time of the loop
 * @ret_sum:	of what was found, so that nothing is optimised away and variants can be
 *		compared
 * @ret_bad:	resolves that found nothing
 */
struct native_args {
	__u64	files;
	__u64	loops;
	__u64	seed;
	__u64	pos_mask;
	__u64	ret_ns;
	__u64	ret_sum;
	__u64	ret_bad;
};

/* Random file, random position. Knuth's 64-bit generator; the upper bits are good. */
struct native_draw {
	__u64	index;
	__u64	pos;
};

static inline __attribute__((always_inline)) struct native_draw
native_draw(__u64 *state, __u64 files, __u64 pos_mask)
{
	struct native_draw d;

	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	d.index = (*state >> 32) * files >> 32;
	d.pos = *state >> 20 & pos_mask;
	return d;
}

/*
 * Makes the next draw wait for @value, which is below 2^63: that is what a latency is.
 * The compiler does not know that the sum does not change.
 */
static inline __attribute__((always_inline)) void native_chain(__u64 *state, __u64 value)
{
	*state += value >> 63;
}

/*
 * Value of the hash map: a whole file, as in the layout that the HASH map was proposed
 * with, its strips inside.
 */
#define NATIVE_HASH_STRIPS	16

struct native_hash_strip {
	__u64	dev;
	__u64	addr;
	__u64	length;
};

struct native_hash_file {
	__u64	size;
	__u64	chunk;		/* 0: one extent, strips[0] */
	__u32	generation;
	__u32	nstrips;
	struct native_hash_strip strips[NATIVE_HASH_STRIPS];
};

#endif /* FAMFS_PERF_NATIVE_H */
