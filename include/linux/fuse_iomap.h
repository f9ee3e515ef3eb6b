/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * fuse-iomap: the additions to <linux/fuse.h> that the kernel series in
 * kernel-patches/ makes, for user space and BPF programs that are built
 * against an older <linux/fuse.h>.  tests/unit/uapi.sh checks every value here
 * against the patched header.  Only cardinal types, so that a BPF program
 * needs no vmlinux.h.
 */
#ifndef _FAMFS_LINUX_FUSE_IOMAP_H
#define _FAMFS_LINUX_FUSE_IOMAP_H

#include <linux/types.h>

#ifndef FUSE_IOMAP

/*
 * INIT: bit 44 of flags|flags2.  In the request it says that mappings can be
 * had from the server; the u32 after fuse_init_in.flags2 then holds the methods
 * offered.  In the reply it asks for them, the u16 after
 * fuse_init_out.request_timeout then holds the methods chosen.
 */
#define FUSE_IOMAP			(1ULL << 44)

#define FUSE_IOMAP_METHOD_UPCALL	(1U << 0)	/* FUSE_IOMAP_BEGIN */
#define FUSE_IOMAP_METHOD_LIST		(1U << 1)	/* FUSE_NOTIFY_IOMAP_LIST */
#define FUSE_IOMAP_METHOD_STRIPE	(1U << 2)	/* FUSE_NOTIFY_IOMAP_STRIPE */
#define FUSE_IOMAP_METHOD_BPF		(1U << 3)	/* struct fuse_iomap_bpf_ops */

/* fuse_attr.flags: regular file whose data is reached through mappings */
#define FUSE_ATTR_IOMAP			(1U << 3)

/* opcodes, kernel to server */
#define FUSE_IOMAP_DEV_EVENT		4088
#define FUSE_IOMAP_BEGIN		4094

/* fuse_backing_map.flags of FUSE_DEV_IOC_BACKING_OPEN: the low byte is a type */
#define FUSE_BACKING_TYPE_MASK		0xffU
#define FUSE_BACKING_TYPE_PASSTHROUGH	0U
#define FUSE_BACKING_TYPE_IOMAP		1U

/* Most devices one connection can register; ids are 1..FUSE_IOMAP_MAX_DEVS. */
#define FUSE_IOMAP_MAX_DEVS		256
#define FUSE_IOMAP_DEV_NULL		0U
#define FUSE_IOMAP_NULL_ADDR		(~0ULL)

/* fuse_iomap_io.type; only HOLE and MAPPED are accepted from a server */
#define FUSE_IOMAP_TYPE_HOLE		0
#define FUSE_IOMAP_TYPE_DELALLOC	1
#define FUSE_IOMAP_TYPE_MAPPED		2
#define FUSE_IOMAP_TYPE_UNWRITTEN	3
#define FUSE_IOMAP_TYPE_INLINE		4
/* write half of a BEGIN reply only: "the same as the read half" */
#define FUSE_IOMAP_TYPE_PURE_OVERWRITE	255

/* opflags of BEGIN and of the BPF op */
#define FUSE_IOMAP_OP_WRITE		(1U << 0)
#define FUSE_IOMAP_OP_ZERO		(1U << 1)
#define FUSE_IOMAP_OP_REPORT		(1U << 2)
#define FUSE_IOMAP_OP_FAULT		(1U << 3)
#define FUSE_IOMAP_OP_DIRECT		(1U << 4)
#define FUSE_IOMAP_OP_NOWAIT		(1U << 5)
#define FUSE_IOMAP_OP_OVERWRITE_ONLY	(1U << 6)
#define FUSE_IOMAP_OP_UNSHARE		(1U << 7)
#define FUSE_IOMAP_OP_DAX		(1U << 8)

/**
 * struct fuse_iomap_io - one mapping, 32 bytes
 * @offset: first byte in the file, multiple of the page size
 * @length: bytes, multiple of the page size, not 0
 * @addr: byte on the device, multiple of the page size; FUSE_IOMAP_NULL_ADDR
 *	for a hole
 * @type: FUSE_IOMAP_TYPE_*
 * @flags: 0; no mapping flag has a use yet
 * @dev: id that FUSE_DEV_IOC_BACKING_OPEN returned; FUSE_IOMAP_DEV_NULL for a
 *	hole
 */
struct fuse_iomap_io {
	__u64	offset;
	__u64	length;
	__u64	addr;
	__u16	type;
	__u16	flags;
	__u32	dev;
};

/**
 * struct fuse_iomap_begin_in - FUSE_IOMAP_BEGIN request, 32 bytes
 * @opflags: FUSE_IOMAP_OP_*
 * @generation: of the inode, as the server gave it in fuse_entry_out
 * @attr_ino: fuse_attr.ino of the inode
 * @pos: first byte asked for
 * @count: bytes asked for
 */
struct fuse_iomap_begin_in {
	__u32	opflags;
	__u32	generation;
	__u64	attr_ino;
	__u64	pos;
	__u64	count;
};

/**
 * struct fuse_iomap_begin_out - FUSE_IOMAP_BEGIN reply, 64 bytes
 * @read: the mapping; must cover the page of pos
 * @write: type PURE_OVERWRITE, offset and length of @read, no address, no
 *	device, no flags
 */
struct fuse_iomap_begin_out {
	struct fuse_iomap_io	read;
	struct fuse_iomap_io	write;
};

#define FUSE_IOMAP_DEV_FAILED	(1U << 0)	/* the range is poisoned */
#define FUSE_IOMAP_DEV_REMOVED	(1U << 1)	/* the device is dead for good */

/**
 * struct fuse_iomap_dev_event_in - FUSE_IOMAP_DEV_EVENT request, 24 bytes
 * @dev: id of the device
 * @flags: FUSE_IOMAP_DEV_*
 * @offset: first byte of the range, in the address space of mappings
 * @length: bytes
 *
 * Tells the server what happened; the reply has no body and is not waited for.
 */
struct fuse_iomap_dev_event_in {
	__u32	dev;
	__u32	flags;
	__u64	offset;
	__u64	length;
};

/* Notifications: all mappings of a file at once. Most that a file can have */
#define FUSE_NOTIFY_IOMAP_STRIPE	102
#define FUSE_NOTIFY_IOMAP_LIST		103
#define FUSE_IOMAP_MAX_LIST		131072
#define FUSE_IOMAP_MAX_STRIPS		64

/**
 * struct fuse_notify_iomap_list_out - FUSE_NOTIFY_IOMAP_LIST, 16 bytes
 * @nodeid: a file whose inode the kernel has
 * @generation: as in fuse_entry_out
 * @count: of struct fuse_iomap_io that follow, in the order of the file, not
 *	overlapping; 0: forget what was sent before
 */
struct fuse_notify_iomap_list_out {
	__u64	nodeid;
	__u32	generation;
	__u32	count;
};

/**
 * struct fuse_notify_iomap_stripe_out - FUSE_NOTIFY_IOMAP_STRIPE, 32 bytes
 * @nodeid: a file whose inode the kernel has
 * @generation: as in fuse_entry_out
 * @count: of struct fuse_iomap_strip that follow
 * @chunk: bytes that go to one strip, then to the next; a power of two, not less
 *	than the page size
 * @length: bytes of the file, from its start, that are mapped; a multiple of the
 *	page size
 */
struct fuse_notify_iomap_stripe_out {
	__u64	nodeid;
	__u32	generation;
	__u32	count;
	__u64	chunk;
	__u64	length;
};

/* The part of a striped file on one device, 24 bytes */
struct fuse_iomap_strip {
	__u64	addr;
	__u64	length;
	__u32	dev;
	__u32	reserved;
};

#endif /* FUSE_IOMAP */

/* Return values of fuse_iomap_bpf_ops::iomap_begin besides -errno. */
#define FUSE_IOMAP_BPF_FALLBACK	0
#define FUSE_IOMAP_BPF_HANDLED	1

/**
 * struct fuse_iomap_bpf_ops - the struct_ops type as a program declares it
 * @iomap_begin: write the mapping that covers @pos into @out (zeroed before)
 *	and return 1; or return 0 to fall back to the next method, or -EIO,
 *	-ESTALE, -ENXIO; any other value counts as a reject and becomes -EIO
 * @fuse_fd: /dev/fuse of a connection whose INIT chose FUSE_IOMAP_METHOD_BPF;
 *	read at attach, ignored by an update
 * @reserved: 0
 * @name: for tracing and bpftool
 *
 * libbpf matches this declaration with the kernel's by name.
 */
#ifdef __bpf__
struct fuse_iomap_bpf_ops {
	int (*iomap_begin)(__u64 nodeid, __u32 generation, __u64 pos, __u64 count, __u32 opflags,
			   struct fuse_iomap_io *out);
	int	fuse_fd;
	__u32	reserved;
	char	name[16];
};
#endif

#endif /* _FAMFS_LINUX_FUSE_IOMAP_H */
