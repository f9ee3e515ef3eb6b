// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variant bpf-hash: a hash from nodeid to a file's whole metadata; a linear search
 * of its extents, two divisions for a stripe. What the prototype printed for every
 * mapping is left out. It did not look at the generation, either.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/fuse_iomap.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "hash.h"

char LICENSE[] SEC("license") = "GPL";

/* The loader sets the size */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct hash_file_meta);
} files SEC(".maps");

static __always_inline int map_out(struct fuse_iomap_io *out, __u64 offset, __u64 length,
				   __u64 addr, __u64 dev)
{
	out->offset = offset;
	out->length = length;
	out->addr = addr;
	out->type = FUSE_IOMAP_TYPE_MAPPED;
	out->dev = (__u32)dev;
	return FUSE_IOMAP_BPF_HANDLED;
}

static __always_inline int find_interleave(const struct hash_file_meta *meta, __u64 pos,
					   struct fuse_iomap_io *out)
{
	__u64 local = pos, start = 0;

	for (__u32 i = 0; i < HASH_EXTENTS && i < meta->next; i++) {
		const struct hash_interleaved_ext *ie = &meta->ie[i];

		if (local < ie->nbytes) {
			__u64 chunk, stripe, nth;

			if (!ie->chunk_size || !ie->nstrips)
				return -EIO;
			chunk = local / ie->chunk_size;
			stripe = chunk / ie->nstrips;
			nth = chunk % ie->nstrips;
			if (nth >= HASH_STRIPS)
				return -EIO;
			return map_out(out, start + chunk * ie->chunk_size, ie->chunk_size,
				       ie->strips[nth].offset + stripe * ie->chunk_size,
				       ie->strips[nth].dev_index);
		}
		local -= ie->nbytes;
		start += ie->nbytes;
	}
	return -EIO;
}

SEC("struct_ops/iomap_begin")
int BPF_PROG(hash_iomap_begin, __u64 nodeid, __u32 generation, __u64 pos, __u64 count,
	     __u32 opflags, struct fuse_iomap_io *out)
{
	const struct hash_file_meta *meta = bpf_map_lookup_elem(&files, &nodeid);
	__u64 local = pos;

	if (!meta)
		return FUSE_IOMAP_BPF_FALLBACK;
	if (meta->error || pos >= meta->file_size)
		return -EIO;
	if (meta->ext_type == HASH_EXT_INTERLEAVE)
		return find_interleave(meta, pos, out);

	for (__u32 i = 0; i < HASH_EXTENTS && i < meta->next; i++) {
		const struct hash_simple_ext *e = &meta->se[i];

		if (local < e->len)
			return map_out(out, pos - local, e->len, e->offset, e->dev_index);
		local -= e->len;
	}
	return -EIO;
}

SEC(".struct_ops.link")
struct fuse_iomap_bpf_ops hash_ops = {
	.iomap_begin = (void *)hash_iomap_begin,
	.name = "hash",
};
