/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The -o string of mount.famfs: which words there are, and what is refused.
 */
#ifndef FAMFS_MOUNT_OPTIONS_H
#define FAMFS_MOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "devices.h"

#define POLL_DEFAULT_MS	100
#define POLL_MIN_MS	10
#define POLL_MAX_MS	60000
#define THREADS_DEFAULT	4

enum mount_mode {
	MODE_BPF,
	MODE_UPCALL,
	MODE_COUNT,
};

/* Who keeps the fds of the worker. */
enum mount_manager {
	MANAGER_AUTO,		/* systemd where it runs, else famfs-holder */
	MANAGER_SYSTEMD,
	MANAGER_HOLDER,
	MANAGER_COUNT,
};

struct mount_options {
	bool remount;
	uint64_t attr_set;		/* MOUNT_ATTR_*: named by the user */
	uint64_t attr_clear;		/* likewise, taken away */
	bool recover;
	bool suid;			/* keep setuid and setgid bits of the log */
	bool debug;
	enum mount_mode mode;
	enum mount_manager manager;
	unsigned int poll_ms;
	unsigned int threads;
	unsigned int ndevs;		/* highest index of dev= */
	char *dev[FUSE_IOMAP_MAX_DEVS];	/* paths by index; 0 unused */
	/* What must not be in a remount: the first such word. */
	char fixed[64];
};

extern const char *const mount_mode_names[MODE_COUNT];

/**
 * mount_options_parse() - parse an option string, several calls add up
 * @sloppy: unknown words are ignored
 *
 * Return: 0, or -EINVAL (unknown or out of range), -EOPNOTSUPP (not built) with
 * the sentence.
 */
int mount_options_parse(const char *optstr, bool sloppy, struct mount_options *ret,
			struct session_msg *msg);
void mount_options_init(struct mount_options *o);

/** mount_options_attrs() - MOUNT_ATTR_* of a new mount, with the defaults */
uint64_t mount_options_attrs(const struct mount_options *o);

#endif /* FAMFS_MOUNT_OPTIONS_H */
