/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The read-only report of famfs fsck, over a file system that was opened with
 * FAMFS_OPEN_ALLOC | FAMFS_OPEN_SCAN.
 */
#ifndef FAMFS_LIB_FSCK_H
#define FAMFS_LIB_FSCK_H

#include <stdio.h>

#include "famfs_log.h"

/* Printed first when the file system is mounted; strings may be NULL. */
struct famfs_fsck_mount {
	const char *mount_point;
	const char *type; /* FAMFS_FUSE */
	const char *backing_dev;
	const char *shadow_path;
};

struct famfs_fsck_options {
	bool human; /* -h: sizes as %.2fG */
	bool verbose; /* -v */
	uint32_t nbuckets; /* -B, 0: none */
	const char *role; /* "Owner", "Client"; decided by the caller */
	const struct famfs_fsck_mount *mount; /* NULL when by device */
};

/**
 * famfs_fsck_print() - write the report of cli-contract section 2.3
 *
 * Return: number of allocation collisions (what fsck exits with), or -errno.
 */
int64_t famfs_fsck_print(const struct famfs_fs *fs, const struct famfs_fsck_options *opt,
			 FILE *out);

/** famfs_fsck_print_super() - the "Famfs Superblock:" block alone */
void famfs_fsck_print_super(const struct famfs_fs *fs, const struct famfs_fsck_options *opt,
			    FILE *out);

#endif /* FAMFS_LIB_FSCK_H */
