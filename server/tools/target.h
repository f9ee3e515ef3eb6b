/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A path as part of a mounted famfs file system: which mount, which file system,
 * which name in its log.
 */
#ifndef FAMFS_TOOLS_TARGET_H
#define FAMFS_TOOLS_TARGET_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../lib/famfs_media.h"

#define TARGET_MOUNT_TYPE "fuse.famfs"

/* A file system that is mounted here. */
struct target_fs {
	char mount_point[PATH_MAX];
	char source[PATH_MAX];
	dev_t dev; /* of the superblock, for ctl_connect() */
	int super_fd; /* .meta/.superblock, read-only */
	int log_fd; /* .meta/.log, read-only */
	struct famfs_super super;
};

/** target_fs_mount() - mount point, source and dev only: asks neither media nor server
 *
 * Return: as target_fs_find().
 */
int target_fs_mount(const char *path, struct target_fs *ret, char *msg, size_t msg_size);

/** target_explain() - after an error of path: if its file system is dead, say so instead */
void target_explain(const char *path, char *msg, size_t msg_size);

/** target_fs_find() - the famfs file system that holds an existing path
 *
 * Return: 0 or -errno with a sentence in msg; -ENOENT no such path, -EXDEV not
 * part of a famfs file system, -EIO also if it is dead.
 */
int target_fs_find(const char *path, struct target_fs *ret, char *msg, size_t msg_size);
void target_fs_close(struct target_fs *fs);

/** target_require_owner() - 0, or -EPERM after printing why: only the master may write */
int target_require_owner(const struct target_fs *fs);

/* A path cut into what exists and what does not. */
struct target_path {
	char existing[PATH_MAX]; /* real path, no ".", "..", "//" or links left */
	struct stat st; /* of existing */
	char missing[PATH_MAX]; /* "" or "a/b/c", no "." left */
	unsigned int missing_parts;
};

/**
 * target_path_split() - find the longest existing head of path
 *
 * ".." is followed where directories exist, and refused in what does not exist
 * yet. Return: 0; -ENOTDIR a file in the way; -EINVAL; -ENAMETOOLONG.
 */
int target_path_split(const char *path, struct target_path *ret, char *msg, size_t msg_size);

/**
 * target_relpath() - name in the log of existing + "/" + extra
 * @extra:	"" or a relative path
 *
 * Return: 0; -EXDEV outside the mount; -ENAMETOOLONG above 79 bytes.
 */
int target_relpath(const struct target_fs *fs, const char *existing, const char *extra,
		   char ret[FAMFS_PATH_LEN], char *msg, size_t msg_size);

#endif /* FAMFS_TOOLS_TARGET_H */
