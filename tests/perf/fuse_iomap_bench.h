/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * Control of the variants that only a kernel with CONFIG_FUSE_IOMAP_BENCH has.
 * scripts/kernel-build.sh puts this very file into the kernel that has
 * kernel-patches/bench/. For measurements; no stable interface.
 */
#ifndef _UAPI_LINUX_FUSE_IOMAP_BENCH_H
#define _UAPI_LINUX_FUSE_IOMAP_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FUSE_IOMAP_BENCH_DEV	"/dev/fuse_iomap_bench"

/* Who answers in place of the program of a connection */
enum {
	FUSE_IOMAP_BENCH_OFF	= 0,	/* the product: program, static map, server */
	FUSE_IOMAP_BENCH_C	= 1,	/* meta of the inode, fills the iomap itself */
	FUSE_IOMAP_BENCH_CV	= 2,	/* the same, through the product's validation */
	FUSE_IOMAP_BENCH_SLOT	= 3,	/* slots in BPF arrays, walked in C */
	FUSE_IOMAP_BENCH_BLOB	= 4,	/* program, given a blob of the inode */
	FUSE_IOMAP_BENCH_PROG	= 5,	/* program of the inode */
};

/**
 * struct fuse_iomap_bench_mode - switch a connection
 * @fuse_fd: /dev/fuse of the connection
 * @mode: FUSE_IOMAP_BENCH_*
 * @slots_fd: SLOT: array maps as of bpf/famfs.bpf.c
 * @reserved_fd: SLOT
 * @extents_fd: SLOT
 * @unit_shift: SLOT
 *
 * One connection at a time can have a mode other than OFF: -EBUSY. The program of
 * BLOB is attached to /dev/fuse_iomap_bench by its own struct_ops type,
 * fuse_iomap_bench_ops, before the switch.
 */
struct fuse_iomap_bench_mode {
	__s32	fuse_fd;
	__u32	mode;
	__s32	slots_fd;
	__s32	reserved_fd;
	__s32	extents_fd;
	__u32	unit_shift;
};

/* What a file is given */
enum {
	FUSE_IOMAP_BENCH_FILE_META = 1,		/* for C, CV: fuse_iomap_bench_meta */
	FUSE_IOMAP_BENCH_FILE_BLOB = 2,		/* for BLOB: fuse_iomap_bench_blob */
	FUSE_IOMAP_BENCH_FILE_PROG = 3,		/* for PROG: fd of a program */
};

/**
 * struct fuse_iomap_bench_file - give a file what its mode needs, or take it away
 * @fd: the file, open, of any connection with FUSE_IOMAP
 * @what: FUSE_IOMAP_BENCH_FILE_*
 * @data: user pointer; 0 takes away
 * @size: bytes at @data
 * @prog_fd: FILE_PROG: a program of fuse_iomap_bpf_ops.iomap_begin; -1 takes away
 * @ret_bytes: kernel memory that it takes
 *
 * Replaces what was there. Goes with the inode, so keep that in memory.
 */
struct fuse_iomap_bench_file {
	__s32	fd;
	__u32	what;
	__u64	data;
	__u32	size;
	__s32	prog_fd;
	__u64	ret_bytes;
};

#define FUSE_IOMAP_BENCH_STRIPS_MAX	16
#define FUSE_IOMAP_BENCH_SIMPLE		0
#define FUSE_IOMAP_BENCH_INTERLEAVE	1

/*
 * FILE_META: this header, then SIMPLE: @nextents fuse_iomap_bench_ext, in the order of
 * the file; or INTERLEAVE: one fuse_iomap_bench_iext and its strips.
 */
struct fuse_iomap_bench_meta {
	__u32	ext_type;
	__u32	nextents;
	__u64	file_size;
};

struct fuse_iomap_bench_ext {
	__u32	dev;		/* id of the device */
	__u32	pad;
	__u64	addr;
	__u64	length;
};

struct fuse_iomap_bench_iext {
	__u32	nstrips;
	__u32	chunk;
	__u64	nbytes;
};

/* FILE_BLOB: as the program of BLOB sees it, one allocation */
struct fuse_iomap_bench_blob_strip {
	__u64	addr;
	__u32	dev;
	__u32	pad;
};

struct fuse_iomap_bench_blob {
	__u32	generation;
	__u8	nstrips;	/* 1: simple */
	__u8	chunk_shift;
	__u8	recip_shift;
	__u8	pad;
	__u32	recip;
	__u32	pad2;
	__u64	size;
	__u64	pad3;
	struct fuse_iomap_bench_blob_strip strips[FUSE_IOMAP_BENCH_STRIPS_MAX];
};

/*
 * Marks: while on, each fault, read and write writes one record of time stamps (TSC;
 * instructions under -icount) into a ring. [i] is 0 where it did not come by.
 */
enum {
	FUSE_IOMAP_BENCH_MARK_ENTRY,	/* our fault handler, read_iter, write_iter */
	FUSE_IOMAP_BENCH_MARK_DAX,	/* before fs/dax is called */
	FUSE_IOMAP_BENCH_MARK_BEGIN,	/* called back for a mapping */
	FUSE_IOMAP_BENCH_MARK_OBTAIN,	/* before it is obtained */
	FUSE_IOMAP_BENCH_MARK_OBTAINED,	/* after; before validation */
	FUSE_IOMAP_BENCH_MARK_ACCEPTED,	/* validated and translated */
	FUSE_IOMAP_BENCH_MARK_DONE,	/* fs/dax returned */
	FUSE_IOMAP_BENCH_MARK_EXIT,	/* our handler returns */
	FUSE_IOMAP_BENCH_NR_MARKS,
};

struct fuse_iomap_bench_record {
	__u64	mark[FUSE_IOMAP_BENCH_NR_MARKS];
};

/**
 * struct fuse_iomap_bench_marks - records
 * @on: 1: start (an empty ring), 0: stop
 * @nr: READ: room at @records; set to how many there were
 * @records: READ: user pointer
 * @cost: READ: instructions that one mark takes, as seen by the next
 * @lost: READ: records that did not fit into the ring, the oldest
 */
struct fuse_iomap_bench_marks {
	__u32	on;
	__u32	nr;
	__u64	records;
	__u64	cost;
	__u64	lost;
};

#define FUSE_IOMAP_BENCH_RING	16384

#define FUSE_IOMAP_BENCH_IOC_MODE	_IOW('F', 0xb0, struct fuse_iomap_bench_mode)
#define FUSE_IOMAP_BENCH_IOC_FILE	_IOWR('F', 0xb1, struct fuse_iomap_bench_file)
#define FUSE_IOMAP_BENCH_IOC_MARK	_IOW('F', 0xb2, struct fuse_iomap_bench_marks)
#define FUSE_IOMAP_BENCH_IOC_READ	_IOWR('F', 0xb3, struct fuse_iomap_bench_marks)

#endif /* _UAPI_LINUX_FUSE_IOMAP_BENCH_H */
