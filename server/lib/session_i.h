/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the session share: session.c (life and threads) and
 * session_hooks.c (every message passes it).
 */
#ifndef FAMFS_LIB_SESSION_I_H
#define FAMFS_LIB_SESSION_I_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "session.h"

#include <linux/fuse.h>

/* Not in the header of Debian 12's kernel. */
#ifndef FUSE_HAS_RESEND
#define FUSE_HAS_RESEND		(1ULL << 39)
#endif
#define SESSION_NOTIFY_RESEND		7
#define SESSION_NOTIFY_INC_EPOCH	8

/* Bytes at fixed places of INIT that <linux/fuse.h> of Debian 12 calls unused. */
#define SESSION_INIT_IN_METHODS		20	/* u32, after flags2 */
#define SESSION_INIT_OUT_METHODS	42	/* u16, after request_timeout */
#define SESSION_INIT_OUT_LEN		64

enum session_init_state {
	SESSION_INIT_NONE,
	SESSION_INIT_REPLAY,	/* an adopted INIT is on its way through libfuse */
	SESSION_INIT_DONE,
	SESSION_INIT_REFUSED,
	SESSION_INIT_ENDED,	/* the connection ended before */
};

/* A request that is kept back. */
struct session_held {
	struct session_held *next;
	size_t len;
	uint8_t data[];
};

struct session {
	struct session_config config;
	struct fuse_lowlevel_ops ops;	/* the server's, with our init in between */
	void (*op_init)(void *userdata, struct fuse_conn_info *conn);	/* the server's */
	struct fuse_session *fuse;
	int fd;				/* libfuse's, closed by it */

	/* Protects init_*, exchange, live, result; cond: init_state or live changed. */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	enum session_init_state init_state;
	int init_err;
	struct session_msg init_msg;
	struct session_init exchange;
	unsigned int live;		/* threads that have not returned */
	int result;

	pthread_t thread[SESSION_THREADS_MAX];
	unsigned int nr_threads;
	atomic_bool stop;
	atomic_bool over;		/* reading said that the connection ended */
	bool replayed;			/* replay only: the request was given out */

	/* Protects held_first, held_last; held_count is read without. */
	pthread_mutex_t held_lock;
	struct session_held *held_first;
	struct session_held *held_last;
	atomic_uint held_count;
	atomic_bool hold;

	atomic_ullong begins;
	atomic_ullong dev_events;
	atomic_ullong requests;
	atomic_ullong opcode[SESSION_OPCODES];
};

/* session_hooks.c */
ssize_t session_hook_read(int fd, void *buf, size_t len, void *userdata);
ssize_t session_hook_writev(int fd, struct iovec *iov, int count, void *userdata);

/* session.c: what became of INIT; wakes session_wait_init() */
void session_set_init(struct session *s, enum session_init_state state, int err,
		      const struct session_msg *msg);

#endif /* FAMFS_LIB_SESSION_I_H */
