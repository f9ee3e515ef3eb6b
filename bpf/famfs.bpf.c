// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program that answers page faults, reads and writes of a famfs mount: nodeid
 * -> slot -> mapping. All it knows is in include/famfs/fmap.h; this file only
 * finds the slot and hands the answer to the kernel, which checks it.
 *
 * One instance serves one connection. The server sizes the tables, sets
 * unit_shift and the connection (fuse_fd) before it loads the object, and fills
 * the tables through mmap; see server/lib/slotmap.h. There are no counters here:
 * the kernel has exact ones, in the fdinfo of /dev/fuse.
 *
 * nodeid: 1 is the root, log entry i is i + 2, files without a log entry are
 * 2^32 and up (include/famfs/media.h). So a file is found by a subtraction.
 */
#include <linux/bpf.h>
#include <linux/fuse_iomap.h>
#include <bpf/bpf_helpers.h>

#include <famfs/fmap.h>
#include <famfs/media.h>

char LICENSE[] SEC("license") = "GPL";

/* log2 of the allocation unit; set before load, constant after it. */
const volatile __u32 unit_shift = FAMFS_UNIT_SHIFT_MAX;

/*
 * Mmapable arrays: the server fills them without a system call per slot, and only
 * these begin at a page, so that a slot is one cache line. The loader sets the
 * sizes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct famfs_slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct famfs_slot);
} reserved SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct famfs_slot_extent);
} extents SEC(".maps");

static __always_inline const struct famfs_slot_extent *extent_get(void *ctx, __u32 i)
{
	return bpf_map_lookup_elem(&extents, &i);
}

/*
 * The reserved table is looked at only when the main index is out of range. Half the
 * range of an index is enough, and half of it can be compared with in one instruction.
 */
static __always_inline const struct famfs_slot *slot_get(__u64 nodeid)
{
	__u64 index = nodeid - FAMFS_NODEID_FIRST;
	const struct famfs_slot *slot;
	__u32 key = index;

	if (index <= 0x7fffffff) {
		slot = bpf_map_lookup_elem(&slots, &key);
		if (slot)
			return slot;
	}
	index = nodeid - FAMFS_NODEID_RESERVED;
	if (index > 0x7fffffff)
		return NULL;
	key = index;
	return bpf_map_lookup_elem(&reserved, &key);
}

static __always_inline int answer(const struct famfs_run *run, struct fuse_iomap_io *out)
{
	out->offset = run->offset;
	out->length = run->length;
	out->addr = run->addr;
	out->type = FUSE_IOMAP_TYPE_MAPPED;
	out->dev = run->dev;
	return FUSE_IOMAP_BPF_HANDLED;
}

/*
 * Arguments of iomap_begin in the context. It is read where a value is needed: what is
 * kept over a call costs a register that has to be saved, in every fault.
 */
enum { ARG_NODEID, ARG_GENERATION, ARG_POS, ARG_COUNT, ARG_OPFLAGS, ARG_OUT };

/* Not inlined, like the next: what they need would cost the others registers. */
static __noinline int begin_packed(__u64 *ctx, const struct famfs_slot *slot)
{
	struct famfs_run run;
	int ret;

	ret = famfs_slot_run_packed(slot, unit_shift, ctx[ARG_POS], &run);
	return ret == 1 ? answer(&run, (void *)ctx[ARG_OUT]) : ret;
}

static __noinline int begin_outside(__u64 *ctx, const struct famfs_slot *slot)
{
	struct fuse_iomap_io *out = (void *)ctx[ARG_OUT];
	struct famfs_run run;
	int ret;

	ret = famfs_slot_resolve_outside(slot, extent_get, NULL, unit_shift, ctx[ARG_POS], &run);
	return ret == 1 ? answer(&run, out) : ret;
}

SEC("struct_ops/iomap_begin")
int famfs_iomap_begin(__u64 *ctx)
{
	const struct famfs_slot *slot = slot_get(ctx[ARG_NODEID]);
	struct famfs_run run;
	int ret;

	if (!slot)
		return FUSE_IOMAP_BPF_FALLBACK;
	ret = famfs_slot_resolve_inside(slot, unit_shift, ctx[ARG_GENERATION], ctx[ARG_POS], &run);
	if (ret == FAMFS_SLOT_PACKED)
		return begin_packed(ctx, slot);
	if (ret == FAMFS_SLOT_OUTSIDE)
		return begin_outside(ctx, slot);
	return ret == 1 ? answer(&run, (void *)ctx[ARG_OUT]) : ret;
}

SEC(".struct_ops.link")
struct fuse_iomap_bpf_ops famfs_ops = {
	.iomap_begin = (void *)famfs_iomap_begin,
	.name = "famfs",
};
