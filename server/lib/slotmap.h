/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The slot map: what the BPF program, or an upcall, knows of where files are. Encodes
 * decoded file records (struct famfs_fmap) into the slots of include/famfs/fmap.h,
 * publishes them, checks them after a restart.
 *
 * How a server uses it:
 *
 *	start	slotmap_load(boot: 1 slot, unit 2 MiB), slotmap_attach();
 *		slotmap_publish() of .meta/.superblock, read that; then of .meta/.log,
 *		read that; slotmap_load(full: slots of the log), slotmap_fill();
 *		slotmap_replace(full, boot), slotmap_free(boot), slotmap_pin(full)
 *	append	slotmap_publish(), then answer
 *	restart	slotmap_adopt(), then as append for what the log has since: slotmap_fill();
 *		if it says -EUCLEAN: a new map, slotmap_replace()
 *	remade	slotmap_kill(), then invalidate inodes
 *	umount	slotmap_unpin()
 *
 * A published slot is never rewritten but by slotmap_kill(). Publishing what is there
 * already is fine, so that requests may be done twice.
 *
 * Locking: none inside. One writer; slotmap_resolve() may run beside it.
 * Errors are -errno; msg as in bpfload.h.
 */
#ifndef FAMFS_LIB_SLOTMAP_H
#define FAMFS_LIB_SLOTMAP_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/fuse_iomap.h>
#include <famfs/fmap.h>

#include "bpfload.h"
#include "famfs_media.h"
#include "famfs_namespace.h"

#define SLOTMAP_MSG_MAX		BPFLOAD_MSG_MAX

/* Files without a log entry: .meta, .superblock, .log, superblocks of devices 1.. */
#define SLOTMAP_NR_RESERVED	(FAMFS_MAX_DEVS + 2)

struct slotmap;

/**
 * struct slotmap_config - size and constants of a map
 * @generation:	of all inodes, famfs_generation()
 * @alloc_unit:	bytes, power of two, 4 KiB to 2 MiB. For a boot map 2 MiB always does
 * @nr_slots:	entries that the log has room for, or 1
 * @nr_played:	entries that are there now, at most @nr_slots
 * @nr_extents:	that files which are there now need, slotmap_need(); room for those
 *		of later ones is added
 * @no_bpf:	tables in plain memory, no program: for upcalls and tests
 */
struct slotmap_config {
	uint32_t generation;
	uint64_t alloc_unit;
	uint64_t nr_slots;
	uint64_t nr_played;
	uint64_t nr_extents;
	bool no_bpf;
	bool verbose;
};

/* Kernel's ids of devices by index on media; 0 where not registered. */
struct slotmap_devs {
	uint32_t count;
	uint32_t id[FAMFS_MAX_DEVS];
};

/**
 * slotmap_need() - records of the table of extents that slotmap_fill() will take
 * @played: log entries played
 */
uint64_t slotmap_need(const struct famfs_ns *ns, uint64_t played, const struct slotmap_devs *devs,
		      uint64_t alloc_unit);

/** slotmap_load() - an empty map; fuse_fd is ignored with no_bpf */
int slotmap_load(const struct slotmap_config *config, int fuse_fd, struct slotmap **ret, char *msg);
int slotmap_attach(struct slotmap *m, char *msg);
/** slotmap_replace() - see bpfload_replace(); uuid NULL if old was never pinned */
int slotmap_replace(struct slotmap *new, struct slotmap *old, const uint8_t *uuid, char *msg);
/** slotmap_free() - the program goes with it unless pinned. NULL is fine */
void slotmap_free(struct slotmap *m);

int slotmap_pin(const struct slotmap *m, const uint8_t uuid[FAMFS_UUID_LEN], char *msg);
int slotmap_unpin(const uint8_t uuid[FAMFS_UUID_LEN], char *msg);

/**
 * slotmap_adopt() - the map that a predecessor pinned
 * @config:	what slotmap_load() would get; must agree with what is there
 *
 * Return: 0; -ENOENT nothing pinned or only stale pins, which are removed; -EUCLEAN
 * something is in use there, but not a whole map of this form: *ret is then set too,
 * good for nothing but slotmap_replace(new, *ret, uuid).
 */
int slotmap_adopt(const struct slotmap_config *config, const uint8_t uuid[FAMFS_UUID_LEN],
		  struct slotmap **ret, char *msg);

/** slotmap_program() - fds, for passing them on; the map keeps them */
const struct bpfload *slotmap_program(const struct slotmap *m);

/**
 * slotmap_publish() - make a file known
 *
 * Return: 0, also if it was published just so before. -ERANGE no such slot in this
 * map; -EEXIST the slot says something else; -ESTALE the map was killed; -ENOSPC
 * table of extents full; -ENODEV a device that is not registered; -E2BIG over a limit
 * of the encoding (fmap.h); -EINVAL not a record that the media decoder would pass.
 */
int slotmap_publish(struct slotmap *m, uint64_t nodeid, const struct famfs_fmap *fmap,
		    const struct slotmap_devs *devs);

/**
 * slotmap_check() - is this what is published?
 *
 * Return: 0; -ENOENT nothing is published there; -EUCLEAN something else is; -ESTALE,
 * -ERANGE and encoding errors as slotmap_publish().
 */
int slotmap_check(const struct slotmap *m, uint64_t nodeid, const struct famfs_fmap *fmap,
		  const struct slotmap_devs *devs);

/**
 * slotmap_fill() - publish all files of a namespace, reserved ones included
 * @played:	log entries played
 * @ret_bad:	nodeid that failed, or NULL
 *
 * What is there already must be just so. Slots of entries that are no files, and of
 * entries past @played, must be empty. Idempotent; right after slotmap_load() as well
 * as after slotmap_adopt(). Files that cannot be encoded, for devices that are not
 * registered or limits, are passed over and counted in *ret_skipped: their slot stays
 * empty. Return: 0; -EUCLEAN; -ENOSPC; -ERANGE; -ESTALE.
 */
int slotmap_fill(struct slotmap *m, const struct famfs_ns *ns, uint64_t played,
		 const struct slotmap_devs *devs, uint64_t *ret_skipped, uint64_t *ret_bad);

/** slotmap_kill() - every slot, published or not, answers EIO from now on, for good */
void slotmap_kill(struct slotmap *m);

/**
 * slotmap_resolve() - what the program would answer; for upcalls
 *
 * Return: 0 and *ret_io; -ENXIO past the end or nothing published; -ESTALE, -EIO.
 */
int slotmap_resolve(const struct slotmap *m, uint64_t nodeid, uint32_t generation, uint64_t pos,
		    struct fuse_iomap_io *ret_io);

struct slotmap_stats {
	uint64_t slots;
	uint64_t published;	/* reserved ones not counted */
	uint64_t reserved;	/* published ones */
	uint64_t extents;
	uint64_t extents_used;
	uint64_t bytes;		/* of all tables */
	bool dead;
};

void slotmap_stats(const struct slotmap *m, struct slotmap_stats *ret);

/* ---- encoding, for tests and tools ---- */

struct slotmap_record {
	struct famfs_slot slot;		/* ext.first counts from ext[0] */
	struct famfs_slot_extent ext[FAMFS_MAX_EXTENTS];
	uint32_t nr_ext;
};

/**
 * slotmap_encode() - one file's slot and extents
 *
 * Finds the simplest form: extents that touch are joined, so that runs are as long
 * as they can be. Of ret->ext only the first ret->nr_ext are set; on failure *ret is
 * undefined. Return: 0, -ENODEV, -E2BIG, -EINVAL as slotmap_publish().
 */
int slotmap_encode(const struct famfs_fmap *fmap, const struct slotmap_devs *devs,
		   uint32_t generation, uint32_t unit_shift, struct slotmap_record *ret);

#endif /* FAMFS_LIB_SLOTMAP_H */
