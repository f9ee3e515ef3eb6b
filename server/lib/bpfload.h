/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instances of bpf/famfs.bpf.c: load one with tables of a given size, attach it to
 * a connection, replace one by another under load, pin it, find it again. What is in
 * the tables is slotmap.h's business.
 *
 * An instance is five maps and a link, held by fds. The kernel keeps program and
 * maps for as long as the link lives; the link lives while someone has its fd or it
 * is pinned. An instance that is not pinned dies with the process, and page faults
 * fail from then on.
 *
 * Pins: /sys/fs/bpf/famfs/UUID/ (0700) with slots, reserved, extents, rodata, link.
 * Maps are pinned before the link and removed after it, and a replaced instance's
 * maps before the replacement: where the link and all maps are there, they belong
 * together. Everything else found there is left over from a crash.
 *
 * No locks; one thread at a time per instance. Errors are -errno; msg, where taken,
 * has BPFLOAD_MSG_MAX bytes and gets one sentence on failure; NULL is fine.
 */
#ifndef FAMFS_LIB_BPFLOAD_H
#define FAMFS_LIB_BPFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <famfs/fmap.h>
#include <famfs/media.h>

#define BPFLOAD_MSG_MAX		512
#define BPFLOAD_PIN_ROOT	"/sys/fs/bpf/famfs"

struct bpfload_config {
	uint32_t unit_shift;	/* log2 of the allocation unit, 12..21 */
	uint32_t nr_slots;	/* of each table, at least 1 */
	uint32_t nr_reserved;
	uint32_t nr_extents;	/* at most FAMFS_FMAP_EXTENTS_MAX */
	bool verbose;		/* libbpf and the verifier talk to stderr */
};

enum bpfload_fd {
	BPFLOAD_SLOTS,
	BPFLOAD_RESERVED,
	BPFLOAD_EXTENTS,
	BPFLOAD_RODATA,
	BPFLOAD_OPS,		/* the struct_ops map; -1 when adopted */
	BPFLOAD_LINK,		/* -1 until attached */
	BPFLOAD_NR_FDS,
};

struct bpfload {
	struct bpfload_config config;
	int fd[BPFLOAD_NR_FDS];
	bool writable;
	void *skel;		/* libbpf's, until it is attached or replaces another */
	/* Mapped, and shared with the program; a copy if not writable. */
	struct famfs_slot *slots;
	struct famfs_slot *reserved;
	struct famfs_slot_extent *extents;
};

/**
 * bpfload_load() - make maps, load the program for the connection of fuse_fd
 *
 * The tables are empty and mapped; nothing is attached yet. Needs CAP_BPF and
 * CAP_PERFMON. Return: 0; -EOPNOTSUPP if the kernel has no fuse_iomap_bpf_ops;
 * -EPERM; -ENOMEM; ...
 */
int bpfload_load(const struct bpfload_config *config, int fuse_fd, struct bpfload **ret, char *msg);

/**
 * bpfload_attach() - make the link: from now on this program answers
 *
 * Needs CAP_SYS_RAWIO. Return: 0; -EBUSY if the connection has a program already;
 * -EOPNOTSUPP if it did not choose FUSE_IOMAP_METHOD_BPF; -EPERM; -ENOTCONN.
 */
int bpfload_attach(struct bpfload *b, char *msg);

/**
 * bpfload_replace() - let the program of new answer instead of old's, in one step
 *
 * new must be loaded and not attached; it takes the link over. old may be adopted;
 * it is left without link, and without pins of its maps if uuid is given (the
 * link's stays): bpfload_pin(new) then completes them. Free old afterwards.
 * On failure all is as before, except that old's maps may have lost their pins.
 */
int bpfload_replace(struct bpfload *new, struct bpfload *old, const uint8_t *uuid, char *msg);

/** bpfload_free() - close fds, unmap; does not touch pins. NULL is fine */
void bpfload_free(struct bpfload *b);

/**
 * bpfload_detach() - the connection is without a program from now on
 * @b:	may be without a link
 */
void bpfload_detach(struct bpfload *b);

/** bpfload_pin() - make the pins that are missing; mounts bpffs if need be */
int bpfload_pin(const struct bpfload *b, const uint8_t uuid[FAMFS_UUID_LEN], char *msg);

/** bpfload_unpin() - remove all pins of a file system; none is fine */
int bpfload_unpin(const uint8_t uuid[FAMFS_UUID_LEN], char *msg);

enum bpfload_pins {
	BPFLOAD_PINS_NONE,	/* no directory, or an empty one */
	BPFLOAD_PINS_STALE,	/* link gone, detached, or of a connection that is gone */
	BPFLOAD_PINS_LINK,	/* link in use, but a map has no pin: replace it */
	BPFLOAD_PINS_WHOLE,	/* link in use, maps complete: adopt it */
};

/**
 * bpfload_probe_pins() - what is pinned for this file system, and is it in use?
 *
 * Asks the kernel, by replacing the link's program with itself, which fails once the
 * connection is gone; never guesses from names or ages. Needs CAP_SYS_ADMIN.
 */
int bpfload_probe_pins(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_pins *ret, char *msg);

/**
 * bpfload_adopt() - an instance from pins
 * @writable:	false for programs that only show: maps by read-only fds, tables are a
 *		copy as of now, no link
 *
 * Where a map has no pin, or has not the form of ours, the result has no tables
 * (slots is NULL) and is good for bpfload_replace() only. Return: 0; -ENOENT; -EPERM.
 */
int bpfload_adopt(const uint8_t uuid[FAMFS_UUID_LEN], bool writable, struct bpfload **ret,
		  char *msg);

/**
 * bpfload_adopt_fds() - an instance from fds that someone kept for us
 * @fd:		indexed by enum bpfload_fd; duplicated; LINK may be -1, OPS is ignored
 */
int bpfload_adopt_fds(const int fd[BPFLOAD_NR_FDS], struct bpfload **ret, char *msg);

#endif /* FAMFS_LIB_BPFLOAD_H */
