// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variant bpf-arena: the slots and the resolver of the product, but in an arena.
 * Addresses in it are those of user space; clang 14 knows no address spaces for BPF, so
 * the cast is an instruction written by hand.
 */
#include <linux/bpf.h>
#include <linux/fuse_iomap.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include <famfs/fmap.h>
#include <famfs/media.h>

char LICENSE[] SEC("license") = "GPL";

/* Set before load */
const volatile __u32 unit_shift = FAMFS_UNIT_SHIFT_MAX;
const volatile __u32 nr_slots = 1;
const volatile __u32 nr_extents = 1;
const volatile __u64 slots_base = 0;
const volatile __u64 extents_base = 0;

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA, which older headers lack */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
} arena SEC(".maps");

/*
 * A move of r2 to itself with offset 1 (BPF_ADDR_SPACE_CAST): from address space 1, the
 * arena's, to 0, the kernel's.
 */
static __always_inline void *arena_cast(__u64 addr)
{
	register __u64 r2 asm("r2") = addr;

	asm volatile(".byte 0xbf, 0x22\n"
		     ".short 1\n"
		     ".long 1\n"
		     : "+r"(r2));
	return (void *)r2;
}

static __always_inline const struct famfs_slot_extent *extent_get(void *ctx, __u64 i)
{
	if (i >= nr_extents)
		return NULL;
	return arena_cast(extents_base + i * sizeof(struct famfs_slot_extent));
}

SEC("struct_ops/iomap_begin")
int BPF_PROG(arena_iomap_begin, __u64 nodeid, __u32 generation, __u64 pos, __u64 count,
	     __u32 opflags, struct fuse_iomap_io *out)
{
	__u64 index = nodeid - FAMFS_NODEID_FIRST;
	void *used = &arena;
	struct famfs_run run;
	int ret;

	/* The verifier allows the cast to programs that name the arena */
	asm volatile("" : : "r"(used));
	if (index >= nr_slots)
		return FUSE_IOMAP_BPF_FALLBACK;
	ret = famfs_slot_resolve(arena_cast(slots_base + index * sizeof(struct famfs_slot)),
				 extent_get, NULL, unit_shift, generation, pos, &run);
	if (ret <= 0)
		return ret;
	out->offset = run.offset;
	out->length = run.length;
	out->addr = run.addr;
	out->type = FUSE_IOMAP_TYPE_MAPPED;
	out->dev = run.dev;
	return FUSE_IOMAP_BPF_HANDLED;
}

SEC(".struct_ops.link")
struct fuse_iomap_bpf_ops arena_ops = {
	.iomap_begin = (void *)arena_iomap_begin,
	.name = "arena",
};
