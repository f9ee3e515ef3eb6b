/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A private mount: one DAX device as one file, visible to nobody but its maker.
 *
 * A device under fsdev_dax can be neither read nor mapped, and the page cache of
 * a DAX block device knows nothing of what is stored through a mapping. So the
 * tools reach superblock and log as a file system would: a FUSE mount that is
 * attached nowhere, with the one file "dev" whose mapping is the device itself.
 *
 * The requests are answered by a child process. Not by a thread: a fault that
 * waits for its mapping holds the mmap_lock of the process that faults, so a
 * server in the same process would hang at its next malloc().
 */
#ifndef FAMFS_TOOLS_PRIVMOUNT_H
#define FAMFS_TOOLS_PRIVMOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct privmount;

/**
 * privmount_open() - make the mount and open its file
 * @path:	for the source column and for messages
 * @dev_fd:	the device, open for reading and writing; stays the caller's
 * @size:	bytes of the device
 * @write:	else the mount is read-only
 * @ret_fd:	the file "dev", page size multiple of bytes; the caller's to close
 *
 * Needs CAP_SYS_ADMIN and CAP_SYS_RAWIO. Return: 0 or -errno with a sentence in
 * msg; -EBUSY when the device is held by someone else.
 */
int privmount_open(const char *path, int dev_fd, uint64_t size, bool write, struct privmount **ret,
		   int *ret_fd, char *msg, size_t msg_size);

/**
 * privmount_close() - drop the mount, wait until the device is given back
 *
 * To be called after the last mapping and the last descriptor of the file are
 * gone: each of them keeps the mount.
 */
void privmount_close(struct privmount *pm);

#endif /* FAMFS_TOOLS_PRIVMOUNT_H */
