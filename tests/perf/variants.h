/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The variants of the A/B harness: ways for one and the same mount to find out where the
 * bytes of a file are. A server mounts, with its devices registered, and then switches:
 *
 *	session_config.methods = what bench_methods() offers
 *	...
 *	bench_variant_attach(&conn, "bpf-hash", files, n, &v, msg);
 *	measure
 *	bench_variant_detach(v);
 *	bench_variant_attach(&conn, "c", files, n, &v, msg);
 *
 * Mappings are the same under every variant, so that pages which are mapped, and inodes,
 * may stay. Between detach and attach, mappings are asked of the server (FUSE_IOMAP_BEGIN).
 *
 * Open and map files after attach (and after bench_marks_start()): c, c+v, bpf-blob,
 * bpf-inode and the marks have file operations of their own, which a file gets then.
 *
 * c, c+v, c-slot, bpf-blob and bpf-inode need a kernel with CONFIG_FUSE_IOMAP_BENCH
 * (scripts/kernel-build.sh bench).
 *
 * Errors are -errno; msg has BENCH_MSG_MAX bytes and gets one sentence; NULL is fine.
 * No locks: one thread at a time.
 */
#ifndef FAMFS_PERF_VARIANTS_H
#define FAMFS_PERF_VARIANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/fuse_iomap.h>

#include "fuse_iomap_bench.h"

#define BENCH_MSG_MAX		512
#define BENCH_STRIPS_MAX	16

/* Nodeid of the first file: file i of the array must have BENCH_NODEID_FIRST + i. */
#define BENCH_NODEID_FIRST	2ULL

/* A run of bytes. strips: offset is 0, length that of the strip. */
struct bench_extent {
	uint64_t offset;	/* in the file */
	uint64_t length;
	uint64_t addr;		/* on the device */
	uint32_t dev;		/* kernel's id of the device */
};

/**
 * struct bench_file - a file and its layout
 * @nodeid:	BENCH_NODEID_FIRST + its index
 * @generation:	as in fuse_entry_out, the same for all files
 * @size:	bytes, as in fuse_attr
 * @chunk:	0: @ext are extents, in order, without gaps, and cover @size. Else bytes, a
 *		power of two: @ext are strips (1 to 16), dealt chunks in turn
 *		A strip must be long enough for whole rows of chunks, the last one included
 * @ext:	kept by the caller until detach. Everything in it is a multiple of the unit
 * @nr:		of @ext; 0: the file is not published, and the server is asked for it
 *
 * Extents that all have one length, a power of two (the last may be shorter), are
 * found by a shift where the layout knows that; others by a search.
 */
struct bench_file {
	uint64_t nodeid;
	uint64_t size;
	uint64_t chunk;
	const struct bench_extent *ext;
	uint32_t nr;
	uint32_t generation;
};

/**
 * struct bench_conn - the mount
 * @fuse_fd:	its /dev/fuse
 * @unit_shift:	log2 of what all offsets, lengths and addresses are multiples of, 12..21
 * @open_file:	open file number i, read and write; return fd or -errno. Called by attach
 *		for the variants that keep something at the inode (bench_variant_per_file());
 *		the fd is closed at once. The inode must then stay in memory. May be NULL if
 *		only others are used
 * @ctx:	for @open_file
 */
struct bench_conn {
	int fuse_fd;
	uint32_t unit_shift;
	int (*open_file)(void *ctx, size_t i);
	void *ctx;
};

struct bench_variant;

/* "c", "c+v", "static", "c-slot", "bpf-array", ...; ended by NULL */
extern const char *const bench_variant_names[];

/** bench_methods() - FUSE_IOMAP_METHOD_* that serve all variants this kernel has */
uint32_t bench_methods(uint32_t offered);

/** bench_variant_per_file() - does attach open every file? */
bool bench_variant_per_file(const char *name);

/** bench_variant_probe() - 0; -EINVAL unknown name; -EOPNOTSUPP the kernel lacks it */
int bench_variant_probe(const char *name, char *msg);

/**
 * bench_variant_attach() - from now on this variant answers for the mount
 *
 * Return: 0; -EINVAL no such variant, or a layout that breaks the rules above;
 * -EOPNOTSUPP the kernel lacks it, or it cannot do this layout (bpf-inode, bpf-blob and
 * bpf-hash have limits, see variants.c); -EBUSY another is attached; -ENOMEM; -EPERM; or what
 * open_file returned. On failure nothing is attached.
 */
int bench_variant_attach(const struct bench_conn *conn, const char *name,
			 const struct bench_file *files, size_t n, struct bench_variant **ret,
			 char *msg);

/** bench_variant_detach() - the server is asked again. NULL is fine */
void bench_variant_detach(struct bench_variant *v);

/**
 * struct bench_variant_info - what it took
 * @map_bytes:	of BPF maps, as the kernel accounts them (memlock of fdinfo)
 * @kernel_bytes: of other kernel memory: metadata, blobs, static maps
 * @prog_bytes:	of programs: JITed code and instructions
 * @load_ns:	time to load and attach, CLOCK_MONOTONIC, files included
 * @programs:	how many
 */
struct bench_variant_info {
	uint64_t map_bytes;
	uint64_t kernel_bytes;
	uint64_t prog_bytes;
	uint64_t load_ns;
	uint64_t programs;
};

void bench_variant_info(const struct bench_variant *v, struct bench_variant_info *ret);

/** bench_resolve() - what every variant answers; for FUSE_IOMAP_BEGIN. 0 or -ENXIO */
int bench_resolve(const struct bench_file *f, uint64_t pos, struct fuse_iomap_io *ret);

/* ---- where the instructions of an operation go; bench kernel only ---- */

/*
 * Under -icount a record is in instructions. mark i minus mark j holds (i - j) times
 * *ret_cost that the marks themselves took; use it when marks are on only: totals are
 * measured with marks off.
 */
int bench_marks_start(void);
/** bench_marks_read() - stop, and get up to n records; returns how many, or -errno */
long bench_marks_read(struct fuse_iomap_bench_record *ret, size_t n, uint64_t *ret_cost);

#endif /* FAMFS_PERF_VARIANTS_H */
