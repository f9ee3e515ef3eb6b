/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between variants.c, which knows all variants by name, and the files that know how each
 * is done.
 */
#ifndef FAMFS_PERF_VARIANTS_I_H
#define FAMFS_PERF_VARIANTS_I_H

#include <bpf/bpf.h>

#include "variants.h"

struct bpfload;

/* How a variant is done. attach may leave things half done: detach follows. */
struct variant_ops {
	const char *name;
	bool per_file;
	bool bench_kernel;
	int (*attach)(struct bench_variant *v, char *msg);
	void (*detach)(struct bench_variant *v);
};

struct bench_variant {
	const struct variant_ops *ops;
	struct bench_conn conn;
	const struct bench_file *files;
	size_t n;
	struct bench_variant_info info;
	int bench_fd;			/* FUSE_IOMAP_BENCH_DEV, -1 */
	struct bpfload *tables;		/* bpf-array, c-slot */
	void *skel;			/* bpf-hash, bpf-arena, bpf-blob */
	struct bpf_link *link;
};

/* One sentence; msg may be NULL. Returns err. */
int variant_say(char *msg, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* memlock of a map's or program's fd, as the kernel accounts it */
uint64_t variant_memlock(int fd);
/* Of a program: instructions, auxiliary structure and its share of a page of JITed code */
uint64_t variant_prog_bytes(int fd);

/* Call for each published file, with its fd if it has to be open, else -1 */
typedef int (*variant_file_fn)(struct bench_variant *v, const struct bench_file *f, int fd,
			       char *msg);
int variant_for_each(struct bench_variant *v, bool open, variant_file_fn fn, char *msg);

/* variant_slots.c: slots of include/famfs/fmap.h */
struct famfs_slot;
struct famfs_slot_extent;
struct variant_table {
	struct famfs_slot *slots;
	struct famfs_slot_extent *extents;
	uint32_t nr_slots;
	uint32_t nr_extents;
	uint32_t used;
};
/* How many extents the table will need */
uint64_t variant_slots_extents(const struct bench_variant *v);
int variant_slots_fill(const struct bench_variant *v, struct variant_table *t, char *msg);
int variant_slots_load(struct bench_variant *v, char *msg);

extern const struct variant_ops variant_bpf_array;
extern const struct variant_ops variant_bpf_hash;
extern const struct variant_ops variant_bpf_arena;
extern const struct variant_ops variant_bpf_blob;
extern const struct variant_ops variant_bpf_inode;
extern const struct variant_ops variant_c;
extern const struct variant_ops variant_cv;
extern const struct variant_ops variant_c_slot;
extern const struct variant_ops variant_static;
extern const struct variant_ops variant_upcall;

/* variant_kernel.c */
int variant_bench_open(struct bench_variant *v, char *msg);
int variant_bench_mode(struct bench_variant *v, struct fuse_iomap_bench_mode *m, char *msg);
int variant_bench_file(struct bench_variant *v, struct fuse_iomap_bench_file *b, char *msg);

/* Off, and take away what the files were given */
void variant_kernel_off(struct bench_variant *v, uint32_t what);

#endif /* FAMFS_PERF_VARIANTS_I_H */
