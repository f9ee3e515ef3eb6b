// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program of the second server, daxslice: ranges of DAX devices as files. Two
 * arrays that the server fills before it attaches the program and then leaves
 * alone; what they mean is in server/daxslice/slice.h.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "slice.h"

char LICENSE[] SEC("license") = "GPL";

/* The loader sets the sizes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slice_file);
} files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slice_range);
} ranges SEC(".maps");

static __always_inline const struct slice_range *range_get(void *ctx, __u32 i)
{
	return bpf_map_lookup_elem(&ranges, &i);
}

SEC("struct_ops/iomap_begin")
int BPF_PROG(daxslice_iomap_begin, __u64 nodeid, __u32 generation, __u64 pos, __u64 count,
	     __u32 opflags, struct fuse_iomap_io *out)
{
	__u64 index = nodeid - SLICE_NODEID_FIRST;
	const struct slice_file *f;
	__u32 key = index;
	int err;

	if (generation != SLICE_GENERATION)
		return -ESTALE;
	if (index > 0xffffffff)
		return FUSE_IOMAP_BPF_FALLBACK;
	f = bpf_map_lookup_elem(&files, &key);
	if (!f)
		return FUSE_IOMAP_BPF_FALLBACK;

	err = slice_resolve(f, range_get, NULL, pos, out);
	return err ? err : FUSE_IOMAP_BPF_HANDLED;
}

SEC(".struct_ops.link")
struct fuse_iomap_bpf_ops daxslice_ops = {
	.iomap_begin = (void *)daxslice_iomap_begin,
	.name = "daxslice",
};
