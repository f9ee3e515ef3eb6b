/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A FUSE session that can hand out DAX mappings (fuse-iomap), on libfuse's low
 * level API. libfuse 3.14 knows nothing of fuse-iomap, so all of it is done where
 * messages pass: a read hook and a write hook around the one /dev/fuse fd.
 *
 * Nothing here knows famfs. A server needs four calls:
 *
 *	session_open_fuse()	/dev/fuse, told that INIT is to be answered first
 *	session_new()		callbacks and methods; session_start(): threads
 *	session_fsmount()	a mount that is attached nowhere; returns when the
 *				threads have answered INIT, or says why not
 *	session_add_device()	a DAX device, by fd -> the kernel's id
 *
 * then move_mount(2) of the fd, which makes it visible. A successor of a killed
 * server calls session_new() with what session_init_exchange() gave the
 * predecessor; see struct session_init.
 *
 * Handlers must reply on the thread that called them: the write hook tells by it
 * which request a reply belongs to. No handler may write a notification; other
 * threads may. fuse_attr.ino of every attribute must be the nodeid.
 *
 * Errors are -errno. Functions that take msg put one sentence there on failure:
 * what went wrong, with the kernel's own words where it has some, and what to do.
 */
#ifndef FAMFS_LIB_SESSION_H
#define FAMFS_LIB_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <linux/fuse_iomap.h>

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif
#include <fuse3/fuse_lowlevel.h>

#define SESSION_MSG_MAX		1024
#define SESSION_INIT_MAX	256
#define SESSION_THREADS_MAX	64

/* One line, no newline; empty until a function failed. */
struct session_msg {
	char text[SESSION_MSG_MAX];
};

/** session_say() - printf into a message, which may be NULL */
void session_say(struct session_msg *msg, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The INIT exchange of a connection, byte for byte. The kernel acted on it once
 * and for all, so whoever continues to serve the connection must be set up the
 * same way: libfuse is given the request again and its reply is compared.
 */
struct session_init {
	uint32_t request_len;
	uint32_t reply_len;
	uint8_t request[SESSION_INIT_MAX];	/* fuse_in_header and fuse_init_in */
	uint8_t reply[SESSION_INIT_MAX];	/* fuse_out_header and fuse_init_out */
};

struct session;

/**
 * struct session_config - what a server wants
 * @name:	for messages of libfuse
 * @ops:	libfuse low level callbacks, copied; init may set conn->want, but what is
 *		negotiated in the end is decided in session.c and session_hooks.c
 * @userdata:	what session_userdata() returns in a handler, and first argument of
 *		ops->init and of the callbacks below
 * @methods:	FUSE_IOMAP_METHOD_* that the server can serve; 0: no mappings at
 *		all, works on any kernel. All of them must be offered by the kernel,
 *		else INIT is refused
 * @is_iomap:	does this inode have FUSE_ATTR_IOMAP? NULL: every regular file has.
 *		Must always answer the same for the same nodeid
 * @iomap_begin: answer FUSE_IOMAP_BEGIN: fill *out with a mapping that covers
 *		in->pos, or return -errno. Needed for METHOD_UPCALL. Must not touch
 *		memory that is mapped from the mount itself
 * @dev_event:	a device failed or was removed; may be NULL
 * @thread_start: called first on each thread of the session, to drop privileges; or NULL
 * @early:	what to serve while session_hold() is in force; NULL: nothing
 * @threads:	that read requests, 1..SESSION_THREADS_MAX; 0: 4
 * @adopt:	NULL for a new connection
 */
struct session_config {
	const char *name;
	const struct fuse_lowlevel_ops *ops;
	void *userdata;
	uint32_t methods;
	bool (*is_iomap)(void *userdata, uint64_t nodeid, mode_t mode);
	int (*iomap_begin)(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
			   struct fuse_iomap_io *out);
	void (*dev_event)(void *userdata, const struct fuse_iomap_dev_event_in *in);
	void (*thread_start)(void *userdata);
	bool (*early)(void *userdata, uint32_t opcode, uint64_t nodeid);
	unsigned int threads;
	const struct session_init *adopt;
	bool debug;			/* libfuse prints every request */
};

/**
 * session_open_fuse() - open /dev/fuse for a connection whose mount waits for INIT
 *
 * Return: 0, or -EOPNOTSUPP if the kernel has no FUSE_DEV_IOC_SYNC_INIT.
 */
int session_open_fuse(int *ret_fd, struct session_msg *msg);

/**
 * struct session_mount - superblock and mount of session_fsmount()
 * @source:	first column of /proc/mounts
 * @subtype:	the type becomes fuse.SUBTYPE
 * @private:	not for other users: without allow_other
 * @no_default_permissions: the server checks access itself
 * @attrs:	MOUNT_ATTR_* of the mount
 * @options:	NULL, or further options of the file system, "key" or "key=value",
 *		ended by NULL; the kernel says what it does not know
 * @close_fd:	close fuse_fd as soon as the kernel has it, so that the mount fails,
 *		instead of waiting, when whoever else has it dies
 */
struct session_mount {
	const char *source;
	const char *subtype;
	bool private;
	bool no_default_permissions;
	uint64_t attrs;
	const char *const *options;
	bool close_fd;
};

/**
 * session_fsmount() - make the superblock and a mount that is attached nowhere
 *
 * Some other thread or process must be answering fuse_fd. The mount can be used
 * through openat() at once and disappears with the last reference to the fd.
 * Return: 0, or -errno; -ENOTCONN when INIT was refused: session_wait_init() or
 * the serving process has the reason.
 */
int session_fsmount(int fuse_fd, const struct session_mount *p, int *ret_mnt_fd,
		    struct session_msg *msg);

/** session_new() - serve fuse_fd, which stays the caller's: it is duplicated */
int session_new(const struct session_config *config, int fuse_fd, struct session **ret_session,
		struct session_msg *msg);

/** session_userdata() - in a handler, in place of fuse_req_userdata() */
void *session_userdata(fuse_req_t req);

/**
 * session_start() - start the threads; with @adopt, first play the stored INIT to
 * libfuse, then have the kernel resend what a predecessor left unanswered
 *
 * Call it only when a predecessor can no longer read the fd.
 */
int session_start(struct session *s, struct session_msg *msg);

/**
 * session_wait_init() - wait until INIT was answered
 *
 * Return: 0; -EOPNOTSUPP if the kernel lacks what the server needs, with the
 * sentence to print; -ENODEV if the connection ended before.
 */
int session_wait_init(struct session *s, struct session_msg *msg);

/** session_try_init() - as session_wait_init(), for timeout_ms; -ETIMEDOUT */
int session_try_init(struct session *s, unsigned int timeout_ms, struct session_msg *msg);

/**
 * session_hold() - before session_start(): keep requests back, but for those that
 * config.early lets through, until session_release(). For a successor that must have
 * mappings answered (by upcall) to find out what it serves.
 */
void session_hold(struct session *s);
void session_release(struct session *s);

/** session_init_exchange() - after session_wait_init(): what a successor needs */
const struct session_init *session_init_exchange(const struct session *s);

/** session_add_device() - register a DAX device. path: for the sentence only.
 *
 * Waits a second for one that is in use. Not from a thread that answers requests.
 * Return: 0 and the id; -ENODEV not DAX, -ENXIO wrong driver, -EBUSY in use,
 * -ENOSPC too many, -EPERM, -EOPNOTSUPP, ...
 */
int session_add_device(int fuse_fd, int dev_fd, const char *path, uint32_t *ret_id,
		       struct session_msg *msg);

/*
 * Notifications. Not from a handler. -ENOENT: the kernel has no such inode; -EBUSY: nobody
 * has it mapped any more, but a page is pinned, or somebody reads or writes.
 */
int session_inval_inode(struct session *s, uint64_t nodeid);
int session_inc_epoch(struct session *s);

/**
 * session_wait() - wait for the end of all threads
 *
 * Return: 0 when the connection ended (unmounted or aborted) or after
 * session_stop(); -errno when reading failed otherwise.
 */
int session_wait(struct session *s);

/** session_is_over() - has the connection ended? Does not wait. */
bool session_is_over(const struct session *s);

/** session_stop() - make the threads return; the connection stays as it is */
void session_stop(struct session *s);

/** session_free() - after session_wait(); NULL is fine */
void session_free(struct session *s);

/* Requests seen, by opcode; for tests and status. */
#define SESSION_OPCODES		64
struct session_stats {
	uint64_t requests;
	uint64_t begins;		/* FUSE_IOMAP_BEGIN */
	uint64_t dev_events;
	uint64_t opcode[SESSION_OPCODES];
};
void session_stats(const struct session *s, struct session_stats *ret);

#endif /* FAMFS_LIB_SESSION_H */
