// SPDX-License-Identifier: GPL-2.0-only
/*
 * Programs that must not load as fuse_iomap_bpf_ops, and a few neighbours that must.
 * The loader tries them one by one; what each must be told is in refused.c.
 */
#include <linux/bpf.h>
#include <linux/fuse_iomap.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct locked {
	struct bpf_spin_lock lock;
	__u32 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct locked);
} locks SEC(".maps");

struct timed {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct timed);
} timers SEC(".maps");

#define ARGS                                                                   \
	__u64 nodeid, __u32 generation, __u64 pos, __u64 count, __u32 opflags, \
		struct fuse_iomap_io *out

/* PROGRAM(prog) body: a program, and the struct_ops map that has it. */
#define PROGRAM_IN(section, prog)						\
	static __always_inline int prog##_body(ARGS);				\
	SEC(section)								\
	int BPF_PROG(prog, ARGS)						\
	{									\
		return prog##_body(nodeid, generation, pos, count, opflags, out); \
	}									\
	SEC(".struct_ops.link")							\
	struct fuse_iomap_bpf_ops prog##_ops = {				\
		.iomap_begin = (void *)prog,					\
		.name = "refused",						\
	};									\
	static __always_inline int prog##_body(ARGS)
#define PROGRAM(prog)	PROGRAM_IN("struct_ops/iomap_begin", prog)

/* ---- stores ---- */

PROGRAM(store_past_out)
{
	*((volatile __u64 *)out + 4) = 1;
	return 1;
}

PROGRAM(store_across_the_end)
{
	asm volatile("*(u64 *)(%0 + 28) = %1" : : "r"(out), "r"(pos) : "memory");
	return 1;
}

PROGRAM(store_before_out)
{
	*((volatile __u64 *)out - 1) = 1;
	return 1;
}

PROGRAM(store_before_out_straddling)
{
	asm volatile("*(u64 *)(%0 - 4) = %1" : : "r"(out), "r"(pos) : "memory");
	return 1;
}

PROGRAM(store_far_away)
{
	asm volatile("*(u64 *)(%0 + 32760) = %1" : : "r"(out), "r"(pos) : "memory");
	return 1;
}

PROGRAM(store_at_variable_offset)
{
	asm volatile("%0 += %1\n*(u64 *)(%0 + 0) = %1" : : "r"(out), "r"(pos & 24) : "memory");
	return 1;
}

/* Into the context of the program, not the result. */
SEC("struct_ops/iomap_begin")
int store_into_arguments(unsigned long long *ctx)
{
	ctx[0] = 1;
	return 1;
}

SEC(".struct_ops.link")
struct fuse_iomap_bpf_ops store_into_arguments_ops = {
	.iomap_begin = (void *)store_into_arguments,
	.name = "refused",
};

PROGRAM(store_to_an_address)
{
	*(volatile __u64 *)pos = 1;
	return 1;
}

PROGRAM(load_from_an_address)
{
	return *(volatile __u32 *)pos;
}

PROGRAM(atomic_past_out)
{
	__sync_fetch_and_add((__u64 *)out + 4, pos);
	return 1;
}

/* ---- helpers ---- */

PROGRAM(helper_ktime)
{
	return bpf_ktime_get_ns() & 1;
}

PROGRAM(helper_map_update)
{
	__u32 key = 0;

	bpf_map_update_elem(&hash, &key, &pos, BPF_ANY);
	return 1;
}

PROGRAM(helper_map_delete)
{
	__u32 key = 0;

	bpf_map_delete_elem(&hash, &key);
	return 1;
}

PROGRAM(helper_probe_read)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)pos);
	return value & 1;
}

PROGRAM(helper_ringbuf)
{
	bpf_ringbuf_output(&ring, &pos, sizeof(pos), 0);
	return 1;
}

PROGRAM(helper_spin_lock)
{
	__u32 key = 0;
	struct locked *l = bpf_map_lookup_elem(&locks, &key);

	if (!l)
		return 0;
	bpf_spin_lock(&l->lock);
	l->value++;
	bpf_spin_unlock(&l->lock);
	return 1;
}

PROGRAM(helper_timer)
{
	__u32 key = 0;
	struct timed *t = bpf_map_lookup_elem(&timers, &key);

	if (t)
		bpf_timer_init(&t->timer, &timers, 0);
	return 1;
}

PROGRAM(helper_send_signal)
{
	bpf_send_signal(9);
	return 1;
}

PROGRAM(helper_trace_printk)
{
	static const char fmt[] = "pos %llu\n";

	bpf_trace_printk(fmt, sizeof(fmt), pos);
	return 1;
}

static long loop_body(__u32 i, void *ctx)
{
	return 0;
}

PROGRAM(helper_loop)
{
	bpf_loop(1 << 20, loop_body, NULL, 0);
	return 1;
}

PROGRAM(helper_copy_from_user)
{
	__u64 value = 0;

	bpf_copy_from_user(&value, sizeof(value), (void *)pos);
	return value & 1;
}

/* ---- others ---- */

PROGRAM_IN("struct_ops.s/iomap_begin", sleepable)
{
	return 0;
}

PROGRAM(endless_loop)
{
	for (;;)
		asm volatile("" : : : "memory");
	return 1;
}

PROGRAM(array_unchecked)
{
	__u32 key = pos;
	__u64 *value = bpf_map_lookup_elem(&array, &key);

	return *(volatile __u64 *)value;
}

PROGRAM(array_out_of_bounds)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(&array, &key);

	return value ? value[pos] : 0;
}

/* ---- neighbours that must load ---- */

PROGRAM(good_all_of_out)
{
	__u32 key = pos;
	__u64 *value = bpf_map_lookup_elem(&array, &key);

	out->offset = pos;
	out->length = value ? *value : 0;
	out->addr = bpf_get_smp_processor_id();
	out->type = 2;
	out->flags = 0;
	out->dev = 1;
	return 1;
}

PROGRAM(good_atomic_on_out)
{
	__sync_fetch_and_add(&out->addr, pos);
	return 1;
}

PROGRAM(good_nothing)
{
	return 0;
}
