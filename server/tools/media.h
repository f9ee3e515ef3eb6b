/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands that work on unmounted devices have in common: the checks
 * before a device is opened, and the file system on what was opened.
 */
#ifndef FAMFS_TOOLS_MEDIA_H
#define FAMFS_TOOLS_MEDIA_H

#include "../lib/famfs_log.h"
#include "openmedia.h"

/* Switch the driver to fsdev_dax if need be (-M). */
#define MEDIA_SET_MODE 0x1U
/* A device under device_dax is mapped as it is (--raw). */
#define MEDIA_RAW      0x2U
#define MEDIA_WRITE    0x4U

/**
 * media_open() - identify, refuse what is mounted or has the wrong driver, open
 * @verb:	"mkfs" or "fsck by device", for "cannot VERB while X is mounted on M"
 *
 * A kernel without the driver fsdev_dax has character devices under device_dax
 * only, which are then mapped as they are.
 * Return: 0 or -errno with a sentence in msg; -EBUSY mounted, -EPERM wrong driver.
 */
int media_open(const char *path, unsigned int flags, const char *verb, struct openmedia **ret,
	       char *msg, size_t msg_size);

/**
 * media_close() - close; NULL is fine
 * @ok:		false: what the device was opened for has failed, so that a driver
 *		that MEDIA_SET_MODE has changed is changed back
 */
void media_close(struct openmedia *om, bool ok);

/** media_init() - the library's view of what is open; lives as long as om and name */
void media_init(struct famfs_media *m, const struct openmedia *om, const char *name);

/** media_print_error() - a famfs_error on stderr; signature of famfs_report_fn, ctx unused */
void media_print_error(void *ctx, const struct famfs_error *err);

/** media_role() - "Owner" or "Client" of the file system, as fsck prints it */
const char *media_role(const struct famfs_super *super);

#endif /* FAMFS_TOOLS_MEDIA_H */
