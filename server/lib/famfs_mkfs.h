/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Making a famfs file system: the rules, and the bytes in their order. The
 * caller opens, maps and asks; here nothing is opened and nothing printed.
 */
#ifndef FAMFS_LIB_MKFS_H
#define FAMFS_LIB_MKFS_H

#include "famfs_media.h"

struct famfs_mkfs_device {
	const char *name; /* as given by the user, goes on media (63 bytes) */
	uint64_t size; /* bytes */
	uint8_t uuid[FAMFS_UUID_LEN]; /* random */
};

struct famfs_mkfs {
	uint64_t log_len; /* bytes; 0 means 8 MiB */
	uint8_t uuid[FAMFS_UUID_LEN]; /* random */
	uint8_t system_uuid[FAMFS_UUID_LEN];
	uint32_t ndevs; /* 1, more is our extension */
	struct famfs_mkfs_device dev[FAMFS_MAX_DEVS];
};

/** famfs_mkfs_randomize() - fresh file system and device uuids (after ndevs is set) */
void famfs_mkfs_randomize(struct famfs_mkfs *p);

/**
 * famfs_mkfs_check() - log length and device sizes
 *
 * Return: 0, or -EINVAL with the message of cli-contract section 1 in msg.
 */
int famfs_mkfs_check(const struct famfs_mkfs *p, char *msg, size_t size);

/**
 * famfs_mkfs_check_existing() - may what is there be overwritten?
 * @super:	the first 200 bytes of the device
 *
 * Without force any superblock with the magic blocks, of whatever version, and
 * one of another host has its own message. Return: 0 or -EEXIST with msg.
 */
int famfs_mkfs_check_existing(const void *super, const char *device,
			      const uint8_t system_uuid[FAMFS_UUID_LEN], bool force, char *msg,
			      size_t size);

/**
 * famfs_mkfs_write_secondary() - superblock of device devindex >= 1
 * @super:	the first 2 MiB of that device, writable mapping
 *
 * All secondaries are written before the primary, whose log names them.
 */
int famfs_mkfs_write_secondary(const struct famfs_mkfs *p, uint32_t devindex, void *super,
			       famfs_flush_fn flush, void *ctx);

/**
 * famfs_mkfs_write_primary() - log, then superblock
 * @super:	the first 2 MiB of the primary, writable mapping
 * @log:	device offset 2 MiB, log_len bytes, writable mapping
 *
 * Order: old magic gone, log zeroed, ADD_DAXDEV entries, header, superblock;
 * each flushed before the next, so that a crash leaves no file system rather
 * than half of one. flush NULL means famfs_flush_range().
 */
int famfs_mkfs_write_primary(const struct famfs_mkfs *p, void *super, void *log,
			     famfs_flush_fn flush, void *ctx, struct famfs_error *ret_err);

/** famfs_mkfs_kill() - zero the magic and flush */
int famfs_mkfs_kill(void *super, famfs_flush_fn flush, void *ctx);

#endif /* FAMFS_LIB_MKFS_H */
