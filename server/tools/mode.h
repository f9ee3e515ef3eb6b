/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The choice between FUSE and the stand-alone kernel module that upstream's
 * tools have. Here there is FUSE alone; the options and FAMFS_MODE are accepted
 * where they ask for it.
 */
#ifndef FAMFS_TOOLS_MODE_H
#define FAMFS_TOOLS_MODE_H

enum mode_choice {
	MODE_AUTO, /* ask FAMFS_MODE */
	MODE_FUSE,
	MODE_NOFUSE,
};

/** mode_check() - 0, or -EOPNOTSUPP after saying why */
int mode_check(enum mode_choice choice);

#endif /* FAMFS_TOOLS_MODE_H */
