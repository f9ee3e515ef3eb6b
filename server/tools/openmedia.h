/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open media: superblock and log of a device that is not mounted, as memory.
 * Block devices and devices under fsdev_dax through a private mount, image files
 * and devices under device_dax by plain mmap. No driver is changed here.
 */
#ifndef FAMFS_TOOLS_OPENMEDIA_H
#define FAMFS_TOOLS_OPENMEDIA_H

#include <stddef.h>
#include <stdint.h>

#include "daxdev.h"

#define OPENMEDIA_WRITE 0x1U

struct privmount;

struct openmedia {
	struct dax_device dev;
	/*
	 * Device offset 0 and on: superblock area and the longest log, or all of a
	 * shorter device. NULL if the device has no bytes. Read-only memory without
	 * OPENMEDIA_WRITE.
	 */
	uint8_t *map;
	size_t mapped; /* bytes */
	/* For the caller: what the device had before it was bound for this. */
	char old_driver[sizeof(((struct dax_device *)NULL)->driver)];
	/* Private. */
	struct privmount *pm;
	char *path;
};

/**
 * openmedia_open() - open and map
 * @dev:	what dax_identify() said; the driver has been judged by the caller
 *
 * Return: 0 or -errno with a sentence in msg: -EBUSY in use, -EOPNOTSUPP the
 * kernel has no fuse-iomap, -ENXIO no driver bound, errors of open() and mmap().
 */
int openmedia_open(const char *path, const struct dax_device *dev, unsigned int flags,
		   struct openmedia **ret, char *msg, size_t msg_size);

/** openmedia_close() - unmap; the device can be used by others when this returns */
void openmedia_close(struct openmedia *om);

#endif /* FAMFS_TOOLS_OPENMEDIA_H */
