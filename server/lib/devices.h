/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device as it is named on a command line: opened once, looked at through the
 * fd only, and told apart: DAX character device and its driver, block device,
 * image file, anything else. Nothing is bound, unbound or read here.
 */
#ifndef FAMFS_LIB_DEVICES_H
#define FAMFS_LIB_DEVICES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "session.h"

#define DEVICE_PATH_MAX	256

struct device {
	int fd;				/* -1: not open */
	bool is_block;
	bool read_only;			/* could not be opened for writing */
	dev_t rdev;
	uint64_t size;			/* bytes */
	char path[DEVICE_PATH_MAX];	/* resolved */
	char name[64];			/* dax0.0, pmem0 */
};

/**
 * device_open() - open a DAX device for registration
 * @path: as given
 * @read_only: do not even try to open it for writing
 *
 * Return: 0; -ENOENT; -ENODEV not a device that could do DAX; -ENXIO a DAX
 * character device under another driver than fsdev_dax; other -errno. msg says
 * what and what to do.
 */
int device_open(const char *path, bool read_only, struct device *ret, struct session_msg *msg);
void device_close(struct device *d);

#endif /* FAMFS_LIB_DEVICES_H */
