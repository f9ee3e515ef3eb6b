/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What survives the worker. Whoever manages it (systemd, or famfs-holder) keeps
 * fds for it: passed in by LISTEN_FDS, handed over by sd_notify(). The protocol
 * is sd_listen_fds(3) and sd_notify(3) of libsystemd, nothing of ours but names:
 *
 *	fuse	/dev/fuse of the connection
 *	params	memfd, "key=value" lines: the mount's options
 *	setup	socket to mount.famfs; only while the mount is being made
 *	devN	device N, until it is registered
 *	lock	locked file in the run directory: this uuid is being served
 *	state	memfd, struct worker_state: INIT exchange, device ids
 *	mnt	a private mount of the file system, while it is mounted somewhere
 *	super, log	files of .meta opened through it
 *	slots, reserved, extents, link	BPF
 *
 * X_FAMFS_SB=MAJ:MIN in a notification names the superblock, so that the holder
 * can unmount it when it is told to stop.
 */
#ifndef FAMFS_LIB_HOLD_H
#define FAMFS_LIB_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "session.h"

/* 256 devices, and some more; also FileDescriptorStoreMax= of the unit. */
#define HOLD_FDS_MAX	300
#define HOLD_NAME_MAX	16

/* Exit status of a worker; see famfs-bpfd@.service. */
enum hold_exit {
	HOLD_EXIT_ENDED = 0,	/* nothing is left */
	HOLD_EXIT_AGAIN = 1,	/* start the next */
	HOLD_EXIT_NEVER = 3,	/* never was ready: nothing to be started again */
};

/* ---- the worker's side ---- */

/** hold_listen() - take over the fds that the manager passed. Number or -errno. */
int hold_listen(void);

/**
 * hold_fetch() - first start by a service manager, which has nothing to pass yet: get
 * the fds from mount.famfs and have the manager keep them
 * @instance: of the unit; mount.famfs listens on setup_path() of it
 *
 * Return: 0, or -errno: -ENOENT, -ECONNREFUSED nobody is mounting; -EPERM it is not root.
 */
int hold_fetch(const char *instance, struct session_msg *msg);

/** hold_get() - a passed or stored fd by name, -1 if there is none */
int hold_get(const char *name);

/**
 * hold_store() - have the manager keep a duplicate of fd. Returns after it has:
 * what was stored is there for a successor whatever happens to us.
 */
int hold_store(const char *name, int fd);

/** hold_drop() - close it here and there; a name that does not exist is fine */
int hold_drop(const char *name);

/** hold_ready() - from now on a worker that dies is to be restarted */
int hold_ready(const char *status);

/** hold_superblock() - tell the manager which superblock it is */
int hold_superblock(dev_t dev);

/** hold_stopping() - ask for the file system to be unmounted */
int hold_stopping(void);

/* ---- between mount.famfs and the worker, over the setup socket ---- */

enum setup_type {
	SETUP_MOUNTED = 1,	/* to the worker, with the fd of the private mount */
	SETUP_READY,		/* to mount.famfs: attach it */
	SETUP_FAILED,		/* to mount.famfs: err and text */
	SETUP_ATTACHED,		/* to the worker: it is visible */
	SETUP_FD,		/* to hold_fetch(): text is the name of the fd */
	SETUP_FDS_DONE,
};

struct setup_message {
	uint32_t type;
	int32_t err;
	char text[SESSION_MSG_MAX];
};

/** setup_path() - of the socket on which mount.famfs waits for a manager's worker */
int setup_path(const char *instance, char *buf, size_t size);

/** setup_check_peer() - 0 if root is at the other end, else -EPERM or -errno */
int setup_check_peer(int sock);

/** setup_send() - fd: -1 for none */
int setup_send(int sock, enum setup_type type, int err, const char *text, int fd);

/** setup_recv() - waits; -ENOTCONN when the other end is gone. ret_fd: -1 if none */
int setup_recv(int sock, struct setup_message *ret, int *ret_fd);

/* ---- where is it mounted? ---- */

struct hold_mounts {
	unsigned int count;	/* mounts of the superblock in this namespace */
	unsigned int writable;	/* of these */
	unsigned int hidden;	/* not unmounted: something else is mounted over it */
};

/**
 * hold_find_mounts() - mounts of a superblock in this mount namespace
 * @umount: unmount each lazily, and count those only
 */
int hold_find_mounts(dev_t sb, bool umount, struct hold_mounts *ret);

#endif /* FAMFS_LIB_HOLD_H */
