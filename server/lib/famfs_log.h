/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A famfs file system as read from its primary device: superblock, log played
 * into a namespace and a device table, and the append protocol.
 *
 * Locking: none inside. famfs_fs_play() and famfs_fs_append() are the writer
 * of the namespace; see famfs_namespace.h. While mounted there is one writer
 * per host; between hosts nothing on media protects, only the master writes.
 */
#ifndef FAMFS_LIB_LOG_H
#define FAMFS_LIB_LOG_H

#include "famfs_alloc.h"
#include "famfs_media.h"
#include "famfs_namespace.h"

/* Play the entries before a bad one instead of refusing; then read-only. */
#define FAMFS_OPEN_RECOVER 0x1U
/* Build the allocation bitmap: for writers, fsck and exact statfs. */
#define FAMFS_OPEN_ALLOC   0x2U
/* Go on past bad entries, counting them: for fsck alone, never to mount. */
#define FAMFS_OPEN_SCAN	   0x4U
/* A bad entry ends it as it ends a play: what comes before it is there, see open_err. */
#define FAMFS_OPEN_PREFIX  0x8U

struct famfs_fs {
	/* Read-only for callers. */
	struct famfs_super super;
	struct famfs_log_header header; /* as of the last play */
	struct famfs_devs devs;
	struct famfs_ns *ns;
	struct famfs_alloc *alloc; /* NULL without FAMFS_OPEN_ALLOC */
	uint64_t played; /* slots read; nodeids below played + 2 are settled */
	uint64_t skipped; /* FILE and MKDIR entries left out, each reported */
	uint64_t invalid; /* INVALID entries, each reported */
	uint64_t bad; /* with SCAN: bad entries, each reported */
	bool recovered; /* RECOVER met a bad entry: must stay read-only */
	struct famfs_error recovered_err; /* ... this one */
	int open_err; /* with PREFIX: of the entry that was not played, then in *ret_err */

	/* Private. */
	struct famfs_media media;
	unsigned int flags;
	famfs_report_fn report;
	void *report_ctx;
};

/**
 * famfs_fs_open() - read superblock and log header, play the whole log
 * @media:	primary device; copied; its name, ctx, mapping, fds must outlive the fs
 * @flags:	FAMFS_OPEN_*
 * @report:	called once per entry left out, or NULL
 *
 * Return: 0, or -errno with *ret_err set (-ENOMEM included). With FAMFS_OPEN_PREFIX
 * also 0 with (*ret_fs)->open_err and *ret_err set.
 */
int famfs_fs_open(const struct famfs_media *media, unsigned int flags, famfs_report_fn report,
		  void *report_ctx, struct famfs_fs **ret_fs, struct famfs_error *ret_err);
void famfs_fs_free(struct famfs_fs *fs);

/**
 * famfs_fs_play() - play what was appended since
 *
 * Drops the cache lines of the header first. A bad entry returns its error and
 * leaves everything before it played; the next call tries it again, because an
 * entry of another host may become visible later than the index.
 * Return: 0; -ESTALE if the device now holds another file system or a shorter
 * log (nothing may be believed any more); other -errno as famfs_fs_open().
 */
int famfs_fs_play(struct famfs_fs *fs, struct famfs_error *ret_err);

/** famfs_fs_is_master() - did the host with this uuid run mkfs? Sets the mode of .meta/.log */
bool famfs_fs_is_master(struct famfs_fs *fs, const uint8_t system_uuid[FAMFS_UUID_LEN]);

/* A mapped log that may be written. flush NULL means famfs_flush_range(). */
struct famfs_log_store {
	void *log; /* device offset FAMFS_LOG_OFFSET */
	size_t len; /* bytes mapped, >= super.log_len */
	famfs_flush_fn flush;
	void *flush_ctx;
};

/**
 * famfs_fs_append() - append one entry and play it
 * @entry:	index and, for ADD_DAXDEV, dd_index are filled in here
 *
 * Plays forward first. Refuses what its own reader would refuse or skip, a full
 * log (-ENOSPC), a log whose next_seqnum is neither next_index nor one more (-EUCLEAN),
 * and a recovered file system (-EROFS). Stores the entry, flushes and fences, then
 * the index words, flushes. On success the nodeid is entry->index + 2. After a
 * flush error the log must be taken for unknown: play again.
 */
int famfs_fs_append(struct famfs_fs *fs, const struct famfs_log_store *store,
		    struct famfs_entry *entry, struct famfs_error *ret_err);

/**
 * famfs_fs_create() - allocate space for entry->size bytes, then famfs_fs_append()
 * @entry:	a FILE with path, size (not 0), owner, mode; extents are filled in
 * @layout:	NULL for contiguous
 *
 * Needs FAMFS_OPEN_ALLOC. -ENOSPC also when no space is left (field "space").
 */
int famfs_fs_create(struct famfs_fs *fs, const struct famfs_log_store *store,
		    const struct famfs_layout *layout, struct famfs_entry *entry,
		    struct famfs_error *ret_err);

#endif /* FAMFS_LIB_LOG_H */
