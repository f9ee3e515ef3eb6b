/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices as the tools see them: what a path names, which driver it has, who
 * uses it, and binding to fsdev_dax. Binding is an administrator's act: only
 * -M and "famfs dev" call dax_bind_*(); everything else only looks.
 */
#ifndef FAMFS_TOOLS_DAXDEV_H
#define FAMFS_TOOLS_DAXDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DAX_DRIVER_FSDEV  "fsdev_dax"
#define DAX_DRIVER_DEVDAX "device_dax"
#define DAX_DRIVER_KMEM	  "kmem"

enum dax_kind {
	DAX_IMAGE, /* regular file */
	DAX_BLOCK, /* block device that does DAX */
	DAX_CHAR, /* character device of the dax bus; see driver */
};

struct dax_device {
	enum dax_kind kind;
	dev_t rdev; /* 0 for an image */
	uint64_t size; /* bytes */
	uint64_t align; /* of mappings, bytes; character devices */
	char name[64]; /* "dax0.0", "pmem0"; the path for an image */
	char driver[64]; /* DAX_DRIVER_*, "" when none is bound */
};

/**
 * dax_identify() - what does this path name?
 * @msg:	on failure a sentence that names the path
 *
 * Opens nothing. Return: 0; -ENOENT and other errors of stat(); -ENODEV neither
 * a regular file nor a device that does DAX; -EIO sysfs gives no answer.
 */
int dax_identify(const char *path, struct dax_device *ret, char *msg, size_t msg_size);

/** dax_identify_name() - the same for the name of a device on the dax bus */
int dax_identify_name(const char *name, struct dax_device *ret, char *msg, size_t msg_size);

/** dax_driver_exists() - does this kernel have the driver? */
bool dax_driver_exists(const char *driver);

/**
 * dax_find_mount() - is the device the source of a mount?
 * @ret_target:	mount point
 *
 * By device number, not by name; looks at this mount namespace.
 */
bool dax_find_mount(const struct dax_device *dev, char *ret_target, size_t size);

/**
 * dax_find_user() - a process other than this one that has the device open
 *
 * As far as /proc shows it to the caller. Return: its pid, or 0.
 */
pid_t dax_find_user(const struct dax_device *dev, char *ret_comm, size_t size);

/**
 * dax_bind_driver() - give the device to another driver through sysfs
 * @driver:	DAX_DRIVER_FSDEV or DAX_DRIVER_DEVDAX
 *
 * Nothing to do when it is bound already. Refuses system RAM (-EBUSY) and a
 * device that is mounted or open (-EBUSY). If the new driver does not take the
 * device, the old one gets it back. Updates dev->driver.
 * Return: 0 or -errno with a sentence in msg.
 */
int dax_bind_driver(struct dax_device *dev, const char *driver, char *msg, size_t msg_size);

/**
 * dax_need_fsdev() - the driver check of mkfs, fsck and mount
 * @set:	-M: bind it if need be
 *
 * Return: 0; -EPERM when the driver is wrong (msg names both ways to change
 * it); or as dax_bind_driver(). Images and block devices always pass.
 */
int dax_need_fsdev(struct dax_device *dev, const char *path, bool set, char *msg, size_t msg_size);

#endif /* FAMFS_TOOLS_DAXDEV_H */
