// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variant bpf-blob: the kernel hangs a blob off the inode and hands it to the program.
 * An argument can be read at constant offsets only, so strips are reached through a
 * function of the kernel that returns it as memory of a known size.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/fuse_iomap.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "fuse_iomap_bench.h"

char LICENSE[] SEC("license") = "GPL";

struct fuse_iomap_bench_ops {
	int (*iomap_begin)(struct fuse_iomap_bench_blob *blob, __u32 generation, __u64 pos,
			   __u64 count, __u32 opflags, struct fuse_iomap_io *out);
	__u64 reserved;
};

typedef __u8 blob_mem[sizeof(struct fuse_iomap_bench_blob)];

extern blob_mem *fuse_iomap_bench_blob_data(struct fuse_iomap_bench_blob *blob) __ksym;

SEC("struct_ops/iomap_begin")
int BPF_PROG(blob_iomap_begin, struct fuse_iomap_bench_blob *arg, __u32 generation, __u64 pos,
	     __u64 count, __u32 opflags, struct fuse_iomap_io *out)
{
	const struct fuse_iomap_bench_blob *blob = (void *)fuse_iomap_bench_blob_data(arg);
	__u64 chunk, stripe, nth;

	if (blob->generation != generation)
		return -ESTALE;
	if (pos >= blob->size)
		return -ENXIO;
	out->type = FUSE_IOMAP_TYPE_MAPPED;
	if (blob->nstrips == 1) {
		out->length = (blob->size + 4095) & ~4095ULL;
		out->addr = blob->strips[0].addr;
		out->dev = blob->strips[0].dev;
		return FUSE_IOMAP_BPF_HANDLED;
	}
	chunk = pos >> (blob->chunk_shift & 63);
	stripe = chunk * blob->recip >> (blob->recip_shift & 63);
	nth = chunk - stripe * blob->nstrips;
	/* Or the verifier sees a check on one register and an access by another */
	asm volatile("" : "+r"(nth));
	if (nth >= FUSE_IOMAP_BENCH_STRIPS_MAX)
		return -EIO;
	out->offset = chunk << (blob->chunk_shift & 63);
	out->length = 1ULL << (blob->chunk_shift & 63);
	out->addr = blob->strips[nth].addr + (stripe << (blob->chunk_shift & 63));
	out->dev = blob->strips[nth].dev;
	return FUSE_IOMAP_BPF_HANDLED;
}

SEC(".struct_ops.link")
struct fuse_iomap_bench_ops blob_ops = {
	.iomap_begin = (void *)blob_iomap_begin,
};
