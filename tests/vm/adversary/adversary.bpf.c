// SPDX-License-Identifier: GPL-2.0-only
/*
 * A program that answers right for the victim's file, and whatever user space has put
 * into `answer` for the attacker's.
 */
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/fuse_iomap.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "adversary.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 victim_dev = 1;
volatile struct answer answer;

SEC("struct_ops/iomap_begin")
int BPF_PROG(adversary_iomap_begin, __u64 nodeid, __u32 generation, __u64 pos, __u64 count,
	     __u32 opflags, struct fuse_iomap_io *out)
{
	__u64 region = pos & ~(REGION - 1);
	__u32 how = answer.how;

	if (nodeid == NODE_VICTIM) {
		out->length = VICTIM_SIZE;
		out->addr = VICTIM_ADDR;
		out->type = FUSE_IOMAP_TYPE_MAPPED;
		out->dev = victim_dev;
		return 1;
	}
	if (generation != answer.generation)
		return -ESTALE;
	if (!(how & HOW_SILENT)) {
		out->offset = answer.offset + (how & HOW_OFFSET_ABS ? 0 : region);
		out->length = answer.length;
		out->addr = answer.addr + (how & HOW_ADDR_ABS ? 0 : ATTACK_ADDR + region);
		out->type = answer.type;
		out->flags = answer.flags;
		out->dev = answer.dev;
	}
	return answer.ret;
}

SEC(".struct_ops.link")
struct fuse_iomap_bpf_ops adversary_ops = {
	.iomap_begin = (void *)adversary_iomap_begin,
	.name = "adversary",
};
