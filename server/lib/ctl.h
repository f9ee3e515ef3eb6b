/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket of a mounted file system: /run/famfs/<fs uuid>/ctl, 0600,
 * AF_UNIX stream. /run/famfs/<major>:<minor>, the superblock's device number as in
 * mountinfo, links to the directory, so that it is found without reading the media. While a file system is mounted every append to its log goes
 * through here, so that there is one writer. The daemon allocates, appends,
 * flushes, publishes, then answers: whoever asked sees the file at once.
 *
 * A record is a header and a body, in host byte order, fixed layout, strings last
 * and counted. One request, one reply, any number of them on a connection. The
 * daemon closes the connection after a record that it cannot parse, and after
 * CTL_TIMEOUT_S seconds without a whole record. Peers other than uid 0 are
 * answered -EPERM.
 */
#ifndef FAMFS_LIB_CTL_H
#define FAMFS_LIB_CTL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CTL_RUN_DIR	"/run/famfs"
#define CTL_SOCKET	"ctl"
#define CTL_VERSION	1
#define CTL_RECORD_MAX	65536	/* bytes, header included */
#define CTL_PATH_MAX	79	/* bytes on media, without the NUL */
#define CTL_TIMEOUT_S	10

enum ctl_op {
	CTL_OP_STATUS = 1,	/* no body; reply text is JSON, docs/operations.md */
	CTL_OP_MKDIR = 2,	/* struct ctl_mkdir */
	CTL_OP_CREATE = 3,	/* struct ctl_create */
	CTL_OP_REPLY = 0x8000,	/* or-ed to the op that is answered */
};

struct ctl_header {
	uint32_t length;	/* of the whole record */
	uint16_t version;	/* CTL_VERSION */
	uint16_t op;
};

/* Followed by path_len bytes: relative to the mount's root, no leading '/'. */
struct ctl_mkdir {
	struct ctl_header h;
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;		/* permission bits */
	uint32_t path_len;	/* 1..CTL_PATH_MAX */
};

/* Likewise. nstrips 0: contiguous, then chunk, nbuckets and seed are 0. */
struct ctl_create {
	struct ctl_header h;
	uint64_t size;		/* bytes, not 0 */
	uint32_t uid;
	uint32_t gid;
	uint32_t mode;
	uint32_t nstrips;
	uint64_t chunk;		/* bytes */
	uint64_t seed;		/* order in which buckets are tried */
	uint32_t nbuckets;
	uint32_t path_len;
};

/* Followed by text_len bytes: a sentence when err is not 0, else op's result. */
struct ctl_reply {
	struct ctl_header h;
	int32_t err;		/* 0 or -errno */
	uint32_t text_len;
	uint64_t nodeid;	/* of what was made */
};

_Static_assert(sizeof(struct ctl_header) == 8, "ctl_header");
_Static_assert(sizeof(struct ctl_mkdir) == 24, "ctl_mkdir");
_Static_assert(sizeof(struct ctl_create) == 56, "ctl_create");
_Static_assert(sizeof(struct ctl_reply) == 24, "ctl_reply");

/* ---- for tools ---- */

/**
 * ctl_connect() - connect to the daemon that serves a file system
 * @sb: st_dev of the mount
 *
 * Return: 0; -ENOENT or -ECONNREFUSED if none serves it; other -errno.
 */
int ctl_connect(dev_t sb, int *ret_fd);

/**
 * ctl_call() - send one record, wait for its reply
 * @request: starts with a ctl_header of which op is set; body follows
 * @len: bytes of request without the string
 * @string, @string_len: appended; NULL, 0
 * @ret: the reply's fixed part; ret->err is what the daemon says
 * @text, @size: gets the reply's text, NUL-terminated, truncated
 *
 * Return: 0 when a reply came, whatever it says; -errno (-EPROTO) otherwise.
 */
int ctl_call(int fd, void *request, size_t len, const char *string, size_t string_len,
	     struct ctl_reply *ret, char *text, size_t size);

/** ctl_mkdir() - 0 or -errno; text (size bytes) says why */
int ctl_mkdir(int fd, const char *path, uint32_t uid, uint32_t gid, uint32_t mode, char *text,
	      size_t size);

/* How ctl_create_file() lays a file out; all 0: contiguous. */
struct ctl_layout {
	uint64_t chunk;
	uint64_t seed;
	uint32_t nstrips;
	uint32_t nbuckets;
};

/** ctl_create_file() - likewise */
int ctl_create_file(int fd, const char *path, uint64_t bytes, uint32_t uid, uint32_t gid,
		    uint32_t mode, const struct ctl_layout *layout, char *text, size_t size);

/** ctl_status() - JSON into text */
int ctl_status(int fd, char *text, size_t size);

/* ---- for the daemon ---- */

/** ctl_recv() - one whole, checked record of at most size bytes, NUL after it */
int ctl_recv(int fd, void *buf, size_t size, size_t *ret_len);

/** ctl_send() - all bytes of two buffers; the second may be NULL */
int ctl_send(int fd, const void *a, size_t a_len, const void *b, size_t b_len);

/** ctl_reply() - answer a request */
int ctl_reply(int fd, uint16_t op, int err, uint64_t nodeid, const char *text);

/** ctl_limit() - no read or write on fd waits for longer than CTL_TIMEOUT_S */
int ctl_limit(int fd);

/** ctl_link_path() - the link to the run directory of a superblock, plus name */
int ctl_link_path(dev_t sb, const char *name, char *buf, size_t size);

/** ctl_path() - run directory of a file system, "/run/famfs/<uuid>" plus name */
int ctl_path(const uint8_t uuid[16], const char *name, char *buf, size_t size);

#endif /* FAMFS_LIB_CTL_H */
