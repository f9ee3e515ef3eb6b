/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The layout of the variant bpf-hash, as of the prototype in which mappings by BPF were
 * first shown: a hash from nodeid to everything that there is to know of a file, with
 * room for the largest: 13 KiB a file.
 */
#ifndef FAMFS_PERF_BPF_HASH_H
#define FAMFS_PERF_BPF_HASH_H

#include <linux/types.h>

#define HASH_FILES_MAX	32768	/* of its map */
#define HASH_EXTENTS	32
#define HASH_STRIPS	16

struct hash_simple_ext {
	__u64	dev_index;
	__u64	offset;
	__u64	len;
};

struct hash_interleaved_ext {
	__u64	nstrips;
	__u64	chunk_size;
	__u64	nbytes;
	struct hash_simple_ext strips[HASH_STRIPS];
};

enum {
	HASH_EXT_SIMPLE,
	HASH_EXT_INTERLEAVE,
};

struct hash_file_meta {
	__u8	error;
	__u32	file_type;
	__u64	file_size;
	__u32	ext_type;
	__u64	dev_bitmap;
	__u64	next;
	union {
		struct hash_simple_ext se[HASH_EXTENTS];
		struct hash_interleaved_ext ie[HASH_EXTENTS];
	};
};

_Static_assert(sizeof(struct hash_file_meta) == 13096, "as large as the prototype's");

#endif /* FAMFS_PERF_BPF_HASH_H */
