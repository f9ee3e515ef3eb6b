/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree of a famfs file system in memory: directories, files, owners,
 * modes, sizes, extents. It is fed by famfs_fs_play() in log order and only
 * ever grows; nothing in it moves, so names handed out stay valid until
 * famfs_ns_free().
 *
 * Locking: none inside. One writer (whoever plays the log) and any number of
 * readers, kept apart by a rwlock that the caller owns. Pointers obtained under
 * the read lock may be used after it.
 */
#ifndef FAMFS_LIB_NAMESPACE_H
#define FAMFS_LIB_NAMESPACE_H

#include "famfs_media.h"

struct famfs_ns;

struct famfs_attr {
	uint64_t nodeid;
	uint64_t parent; /* root's is root */
	uint64_t size; /* bytes; 0 for directories */
	uint64_t allocated; /* bytes of all extents */
	uint32_t mode; /* S_IFREG or S_IFDIR | permissions */
	uint32_t uid;
	uint32_t gid;
	uint32_t nlink;
};

struct famfs_dirent {
	uint64_t nodeid;
	uint64_t cookie; /* pass it to get the entry after this one */
	const char *name; /* not NUL-terminated */
	uint32_t name_len;
	bool is_dir;
};

struct famfs_ns_stats {
	uint64_t files; /* without .meta */
	uint64_t dirs; /* without root and .meta */
	uint64_t size_bytes; /* sum of file sizes */
	uint64_t alloc_bytes; /* sum of extents */
	uint64_t memory_bytes; /* heap used by the tree */
};

/** famfs_ns_new() - tree with root (0755, 0:0) and .meta */
int famfs_ns_new(const struct famfs_super *sb, struct famfs_ns **ret_ns);
void famfs_ns_free(struct famfs_ns *ns);

/** famfs_ns_set_master() - .meta/.log is 0644 on the master and 0444 elsewhere (default) */
void famfs_ns_set_master(struct famfs_ns *ns, bool master);

/** famfs_ns_reserve() - make room for n more names at once. 0 or -ENOMEM */
int famfs_ns_reserve(struct famfs_ns *ns, uint64_t n);

/**
 * famfs_ns_check() - may this decoded entry be added?
 *
 * The parent must exist and be a directory, the name must be new. Failures have
 * verdict FAMFS_SKIP. Return: 0, -ENOENT, -ENOTDIR, -EEXIST, -EISDIR; -EINVAL for what
 * the decoder would not have passed.
 */
int famfs_ns_check(const struct famfs_ns *ns, const struct famfs_entry *entry, const char *device,
		   struct famfs_error *ret_err);

/**
 * famfs_ns_add() - famfs_ns_check(), then add a FILE, MKDIR or ADD_DAXDEV entry
 *
 * entry->index must not be below that of an earlier call. -ENOMEM on top.
 */
int famfs_ns_add(struct famfs_ns *ns, const struct famfs_entry *entry, const char *device,
		 struct famfs_error *ret_err);

/**
 * famfs_ns_prefetch() - an entry with this path will be added soon
 * @path:	FAMFS_PATH_LEN bytes, not checked yet
 *
 * A hint: a million names are a million cache misses, one after the other, otherwise.
 */
void famfs_ns_prefetch(const struct famfs_ns *ns, const void *path);

/** famfs_ns_lookup() - find a name in a directory. 0, -ENOENT, -ENOTDIR, -ENAMETOOLONG */
int famfs_ns_lookup(const struct famfs_ns *ns, uint64_t parent, const char *name, size_t len,
		    uint64_t *ret_nodeid);

/** famfs_ns_lookup_path() - "a/b/c" from root; "" is root. Errors as above */
int famfs_ns_lookup_path(const struct famfs_ns *ns, const char *path, uint64_t *ret_nodeid);

/** famfs_ns_getattr() - 0 or -ENOENT */
int famfs_ns_getattr(const struct famfs_ns *ns, uint64_t nodeid, struct famfs_attr *ret);

/**
 * famfs_ns_fmap() - where the bytes of a file are; also for files of .meta
 * @room:	ret->ext may point to it
 *
 * Slots that hold no file (directory, skipped, INVALID, not played) return
 * -EISDIR or -ENOENT, so a slot map is filled by trying every index.
 */
int famfs_ns_fmap(const struct famfs_ns *ns, uint64_t nodeid, struct famfs_fmap *ret,
		  struct famfs_extent room[FAMFS_MAX_EXTENTS]);

/**
 * famfs_ns_readdir() - the entry after cookie (0: the first)
 *
 * Order: ".", "..", ".meta" (in root), then log order. A cookie follows from
 * the log index, so it survives restarts and appends; any number is a valid
 * cookie. Return: 0, -ENODATA after the last, -ENOTDIR, -ENOENT.
 */
int famfs_ns_readdir(const struct famfs_ns *ns, uint64_t dir, uint64_t cookie,
		     struct famfs_dirent *ret);

/** famfs_ns_path() - path from root, NUL-terminated, truncated; "" for root */
int famfs_ns_path(const struct famfs_ns *ns, uint64_t nodeid, char *buf, size_t size);

void famfs_ns_stats(const struct famfs_ns *ns, struct famfs_ns_stats *ret);

/**
 * famfs_fmap_resolve() - one contiguous run from a file offset
 *
 * Plain reference for hosts, tools and tests; the fast resolver is in fmap.h.
 * Return: 0, or -ENXIO at or past the size.
 */
int famfs_fmap_resolve(const struct famfs_fmap *fmap, uint64_t pos, uint32_t *ret_devindex,
		       uint64_t *ret_offset, uint64_t *ret_len);

#endif /* FAMFS_LIB_NAMESPACE_H */
