// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two hooks around /dev/fuse. All that libfuse 3.14 cannot say is added to
 * messages here: bits of the INIT reply, FUSE_ATTR_IOMAP in attributes; and all
 * that it does not know is answered here: FUSE_IOMAP_BEGIN, FUSE_IOMAP_DEV_EVENT,
 * and the INIT of an adopted connection, which the kernel has long had answered.
 *
 * A reply does not say which request it is for. Each thread reads a request and
 * answers it before it reads the next, so the thread remembers.
 */
#include "session_i.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session_current {
	uint64_t unique;
	uint64_t nodeid;
	uint32_t opcode;
};

static _Thread_local struct session_current current;

/* ---- INIT ---- */

static uint64_t session_init_in_flags(const struct fuse_init_in *in)
{
	return in->flags | (in->flags & FUSE_INIT_EXT ? (uint64_t)in->flags2 << 32 : 0);
}

static uint32_t session_init_in_methods(const struct session_init *x)
{
	uint32_t methods;

	memcpy(&methods, x->request + sizeof(struct fuse_in_header) + SESSION_INIT_IN_METHODS,
	       sizeof(methods));
	return methods;
}

/* Does the kernel offer all that the server needs? Says what is missing. */
static int session_check_offer(struct session *s, struct session_msg *msg)
{
	uint32_t want = s->config.methods;
	struct fuse_init_in in;
	uint32_t offered;

	if (!want)
		return 0;

	memcpy(&in, s->exchange.request + sizeof(struct fuse_in_header), sizeof(in));
	if (!(session_init_in_flags(&in) & FUSE_IOMAP)) {
		session_say(msg, "kernel lacks fuse-iomap (INIT bit 44 is not offered): "
				 "boot a kernel with CONFIG_FUSE_IOMAP, and mount with "
				 "CAP_SYS_RAWIO in the initial user namespace");
		return -EOPNOTSUPP;
	}
	offered = session_init_in_methods(&s->exchange);
	if (want & ~offered & FUSE_IOMAP_METHOD_BPF) {
		session_say(msg,
			    "kernel computes no mappings by BPF (method 0x%x of 0x%x "
			    "offered): boot a kernel with CONFIG_FUSE_IOMAP_BPF",
			    FUSE_IOMAP_METHOD_BPF, offered);
		return -EOPNOTSUPP;
	}
	if (want & ~offered) {
		session_say(msg,
			    "kernel lacks a method of fuse-iomap: 0x%x wanted, "
			    "0x%x offered",
			    want, offered);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The one place where it is decided what is negotiated, besides session_op_init(). */
static void session_edit_init(struct session *s, struct fuse_init_out *out)
{
	struct fuse_init_in in;
	uint64_t offered, flags;
	uint16_t methods = (uint16_t)s->config.methods;

	memcpy(&in, s->exchange.request + sizeof(struct fuse_in_header), sizeof(in));
	offered = session_init_in_flags(&in);

	flags = FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_ABORT_ERROR | FUSE_HAS_RESEND;
	flags &= offered;
	if (methods)
		flags |= FUSE_IOMAP;

	out->flags |= (uint32_t)flags | FUSE_INIT_EXT;
	out->flags2 |= (uint32_t)(flags >> 32);
	memcpy((uint8_t *)out + SESSION_INIT_OUT_METHODS, &methods, sizeof(methods));
}

/* Tell the kernel no. It ends the connection, and the mount fails. */
static void session_refuse_init(struct session *s, uint64_t unique)
{
	struct fuse_out_header out = {
		.len = sizeof(out),
		.error = -EPROTO,
		.unique = unique,
	};

	/* If it fails, the connection has ended: the next read says so. */
	if (write(s->fd, &out, sizeof(out)) < 0)
		atomic_store(&s->over, true);
}

/* Return: true if libfuse is to see the request. */
static bool session_see_init(struct session *s, const void *buf, size_t len)
{
	struct session_msg msg;
	int err;

	pthread_mutex_lock(&s->lock);
	s->exchange.request_len = (uint32_t)(len < SESSION_INIT_MAX ? len : SESSION_INIT_MAX);
	memset(s->exchange.request, 0, sizeof(s->exchange.request));
	memcpy(s->exchange.request, buf, s->exchange.request_len);
	pthread_mutex_unlock(&s->lock);

	err = session_check_offer(s, &msg);
	if (!err)
		return true;

	session_refuse_init(s, current.unique);
	session_set_init(s, SESSION_INIT_REFUSED, err, &msg);
	return false;
}

static size_t session_gather(const struct iovec *iov, int count, uint8_t *buf, size_t size)
{
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		if (iov[i].iov_len > size - len)
			return size + 1;
		memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

/* The kernel has its reply; ours must be the same, or we would not fit to it. */
static ssize_t session_compare_init(struct session *s, const uint8_t *reply, size_t len)
{
	const struct session_init *x = &s->exchange;
	struct session_msg msg;
	size_t at;

	for (at = 0; at < len && at < x->reply_len; at++)
		if (reply[at] != x->reply[at])
			break;
	if (len == x->reply_len && at == len) {
		session_set_init(s, SESSION_INIT_DONE, 0, NULL);
		return (ssize_t)len;
	}

	session_say(&msg,
		    "cannot serve the connection of another server version: its "
		    "INIT reply (%u bytes) and ours (%zu bytes) differ at byte %zu; "
		    "unmount, or start the version that mounted",
		    x->reply_len, len, at);
	session_set_init(s, SESSION_INIT_REFUSED, -ESTALE, &msg);
	return (ssize_t)len;
}

static ssize_t session_reply_init(struct session *s, struct iovec *iov, int count)
{
	uint8_t reply[SESSION_INIT_MAX] = { 0 };
	struct fuse_out_header *head = iov[0].iov_base;
	struct session_msg msg;
	size_t len;
	ssize_t n;

	if (!head->error && count == 2 && iov[1].iov_len == SESSION_INIT_OUT_LEN)
		session_edit_init(s, iov[1].iov_base);
	else if (!head->error)
		head->error = -EPROTO;

	len = session_gather(iov, count, reply, sizeof(reply));
	if (head->error || len > sizeof(reply)) {
		session_refuse_init(s, head->unique);
		session_say(&msg, "libfuse refuses the kernel's INIT: its version is not "
				  "one that this server was written for");
		session_set_init(s, SESSION_INIT_REFUSED, -EPROTO, &msg);
		return (ssize_t)len;
	}
	if (s->init_state == SESSION_INIT_REPLAY)
		return session_compare_init(s, reply, len);

	pthread_mutex_lock(&s->lock);
	memcpy(s->exchange.reply, reply, sizeof(reply));
	s->exchange.reply_len = (uint32_t)len;
	pthread_mutex_unlock(&s->lock);

	n = write(s->fd, reply, len);
	if (n >= 0)
		session_set_init(s, SESSION_INIT_DONE, 0, NULL);
	return n;
}

/* ---- requests that libfuse does not know ---- */

static void session_answer(struct session *s, int err, const void *body, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + (err ? 0 : len)),
		.error = err,
		.unique = current.unique,
	};
	struct iovec iov[2] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)body, .iov_len = len },
	};

	/* ENOENT: the caller was killed meanwhile. Others: the next read says it. */
	if (writev(s->fd, iov, err || !len ? 1 : 2) < 0 && errno == ENODEV)
		atomic_store(&s->over, true);
}

static void session_begin(struct session *s, const uint8_t *body, size_t len)
{
	struct fuse_iomap_begin_out out = { 0 };
	struct fuse_iomap_begin_in in;
	int err;

	atomic_fetch_add(&s->begins, 1);
	if (!s->config.iomap_begin) {
		session_answer(s, -ENOSYS, NULL, 0);
		return;
	}
	if (len < sizeof(in)) {
		session_answer(s, -EIO, NULL, 0);
		return;
	}
	memcpy(&in, body, sizeof(in));

	err = s->config.iomap_begin(s->config.userdata, current.nodeid, &in, &out.read);
	if (err) {
		session_answer(s, err, NULL, 0);
		return;
	}
	out.write.offset = out.read.offset;
	out.write.length = out.read.length;
	out.write.addr = FUSE_IOMAP_NULL_ADDR;
	out.write.type = FUSE_IOMAP_TYPE_PURE_OVERWRITE;
	out.write.dev = FUSE_IOMAP_DEV_NULL;
	session_answer(s, 0, &out, sizeof(out));
}

static void session_dev_event(struct session *s, const uint8_t *body, size_t len)
{
	struct fuse_iomap_dev_event_in in;

	atomic_fetch_add(&s->dev_events, 1);
	if (len >= sizeof(in) && s->config.dev_event) {
		memcpy(&in, body, sizeof(in));
		s->config.dev_event(s->config.userdata, &in);
	}
	session_answer(s, 0, NULL, 0);
}

/* ---- requests that are kept back ---- */

static void session_held_add(struct session *s, const void *buf, size_t len)
{
	struct session_held *h = malloc(sizeof(*h) + len);

	if (!h) {
		session_answer(s, -ENOMEM, NULL, 0);
		return;
	}
	h->next = NULL;
	h->len = len;
	memcpy(h->data, buf, len);

	pthread_mutex_lock(&s->held_lock);
	if (s->held_last)
		s->held_last->next = h;
	else
		s->held_first = h;
	s->held_last = h;
	atomic_fetch_add(&s->held_count, 1);
	pthread_mutex_unlock(&s->held_lock);
}

/* Return: bytes put into buf, which is as large as that of any read; 0 if none. */
static size_t session_held_take(struct session *s, void *buf)
{
	struct session_held *h;
	size_t len;

	if (!atomic_load(&s->held_count) || atomic_load(&s->hold))
		return 0;
	pthread_mutex_lock(&s->held_lock);
	h = s->held_first;
	if (h) {
		s->held_first = h->next;
		if (!h->next)
			s->held_last = NULL;
		atomic_fetch_sub(&s->held_count, 1);
	}
	pthread_mutex_unlock(&s->held_lock);
	if (!h)
		return 0;
	len = h->len;
	memcpy(buf, h->data, len);
	free(h);
	return len;
}

static bool session_keeps_back(struct session *s, const uint8_t *buf)
{
	struct fuse_in_header in;

	if (!atomic_load(&s->hold))
		return false;
	memcpy(&in, buf, sizeof(in));
	if (in.opcode == FUSE_INIT || in.opcode == FUSE_IOMAP_DEV_EVENT)
		return false;
	return !s->config.early || !s->config.early(s->config.userdata, in.opcode, in.nodeid);
}

/* ---- the hooks ---- */

/* Return: true if libfuse is to see the request. */
static bool session_see(struct session *s, const uint8_t *buf, size_t len)
{
	struct fuse_in_header in;

	memcpy(&in, buf, sizeof(in));
	current.unique = in.unique;
	current.nodeid = in.nodeid;
	current.opcode = in.opcode;

	atomic_fetch_add(&s->requests, 1);
	if (in.opcode < SESSION_OPCODES)
		atomic_fetch_add(&s->opcode[in.opcode], 1);

	switch (in.opcode) {
	case FUSE_INIT:
		return session_see_init(s, buf, len);
	case FUSE_IOMAP_BEGIN:
		session_begin(s, buf + sizeof(in), len - sizeof(in));
		return false;
	case FUSE_IOMAP_DEV_EVENT:
		session_dev_event(s, buf + sizeof(in), len - sizeof(in));
		return false;
	}
	return true;
}

ssize_t session_hook_read(int fd, void *buf, size_t len, void *userdata)
{
	struct session *s = userdata;
	ssize_t n;

	if (s->init_state == SESSION_INIT_REPLAY && !s->replayed) {
		struct fuse_in_header in;

		s->replayed = true;
		memcpy(&in, s->exchange.request, sizeof(in));
		current.unique = in.unique;
		current.opcode = FUSE_INIT;
		memcpy(buf, s->exchange.request, s->exchange.request_len);
		return (ssize_t)s->exchange.request_len;
	}

	for (;;) {
		if (atomic_load(&s->stop)) {
			errno = EINTR;
			return -1;
		}
		n = (ssize_t)session_held_take(s, buf);
		if (n > 0) {
			if (session_see(s, buf, (size_t)n))
				return n;
			continue;
		}
		n = read(fd, buf, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;	/* kicked: stop, or take what was held */
			/* ABORT_ERROR tells an abort from an unmount; libfuse knows one. */
			if (errno == ECONNABORTED)
				errno = ENODEV;
			if (errno == ENODEV)
				atomic_store(&s->over, true);
			return -1;
		}
		if ((size_t)n < sizeof(struct fuse_in_header))
			return n;
		if (session_keeps_back(s, buf)) {
			current.unique = ((struct fuse_in_header *)buf)->unique;
			session_held_add(s, buf, (size_t)n);
			continue;
		}
		if (session_see(s, buf, (size_t)n))
			return n;
	}
}

static void session_edit_attr(struct session *s, uint8_t *p)
{
	struct fuse_attr attr;
	bool iomap;

	memcpy(&attr, p, sizeof(attr));
	if (!S_ISREG(attr.mode))
		return;
	iomap = !s->config.is_iomap || s->config.is_iomap(s->config.userdata, attr.ino, attr.mode);
	if (!iomap)
		return;
	attr.flags |= FUSE_ATTR_IOMAP;
	memcpy(p, &attr, sizeof(attr));
}

static void session_edit_entry(struct session *s, uint8_t *p)
{
	uint64_t nodeid;

	memcpy(&nodeid, p + offsetof(struct fuse_entry_out, nodeid), sizeof(nodeid));
	if (nodeid)
		session_edit_attr(s, p + offsetof(struct fuse_entry_out, attr));
}

static void session_edit_readdirplus(struct session *s, uint8_t *p, size_t len)
{
	size_t at = 0;

	while (len - at >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		struct fuse_direntplus d;
		size_t size;

		memcpy(&d, p + at, FUSE_NAME_OFFSET_DIRENTPLUS);
		size = FUSE_DIRENTPLUS_SIZE(&d);
		if (size > len - at)
			break;
		session_edit_entry(s, p + at);
		at += size;
	}
}

static void session_edit(struct session *s, uint8_t *body, size_t len)
{
	switch (current.opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
		if (len >= sizeof(struct fuse_entry_out))
			session_edit_entry(s, body);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		if (len >= sizeof(struct fuse_attr_out))
			session_edit_attr(s, body + offsetof(struct fuse_attr_out, attr));
		break;
	case FUSE_READDIRPLUS:
		session_edit_readdirplus(s, body, len);
		break;
	}
}

ssize_t session_hook_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct session *s = userdata;
	struct fuse_out_header *head = iov[0].iov_base;

	/* A notification has no request, and a code in place of an error. */
	if (head->unique && head->unique == current.unique) {
		if (current.opcode == FUSE_INIT)
			return session_reply_init(s, iov, count);
		if (s->config.methods && !head->error && count == 2)
			session_edit(s, iov[1].iov_base, iov[1].iov_len);
	}
	return writev(fd, iov, count);
}
