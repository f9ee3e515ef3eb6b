// SPDX-License-Identifier: GPL-2.0-only
/*
 * Records of the control socket, both ends. What arrives is hostile: length and
 * version are checked here, the body by whoever asked for it. Never prints.
 */
#include "ctl.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

int ctl_path(const uint8_t uuid[16], const char *name, char *buf, size_t size)
{
	char text[37];
	int n;

	uuid_unparse_lower(uuid, text);
	n = snprintf(buf, size, "%s/%s%s%s", CTL_RUN_DIR, text, name ? "/" : "", name ? name : "");
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int ctl_link_path(dev_t sb, const char *name, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s/%u:%u%s%s", CTL_RUN_DIR, major(sb), minor(sb),
			 name ? "/" : "", name ? name : "");

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int ctl_limit(int fd)
{
	struct timeval tv = { .tv_sec = CTL_TIMEOUT_S };

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		return -errno;
	return 0;
}

int ctl_connect(dev_t sb, int *ret_fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	err = ctl_link_path(sb, CTL_SOCKET, addr.sun_path, sizeof(addr.sun_path));
	if (err)
		return err;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int ctl_send(int fd, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct iovec iov[2] = {
		{ .iov_base = (void *)a, .iov_len = a_len },
		{ .iov_base = (void *)b, .iov_len = b ? b_len : 0 },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	while (iov[0].iov_len || iov[1].iov_len) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		for (int i = 0; i < 2; i++) {
			size_t take = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;

			iov[i].iov_base = (char *)iov[i].iov_base + take;
			iov[i].iov_len -= take;
			n -= (ssize_t)take;
		}
	}
	return 0;
}

static int64_t ctl_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* All of len bytes before the deadline; -ENODATA at a clean end before the first. */
static int ctl_recv_all(int fd, char *buf, size_t len, int64_t deadline_ms)
{
	size_t got = 0;

	while (got < len) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - ctl_now_ms();
		ssize_t n;

		if (deadline_ms >= 0 && left <= 0)
			return -ETIMEDOUT;
		if (poll(&pfd, 1, left > INT_MAX ? INT_MAX : (int)left) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!pfd.revents)
			continue;
		n = recv(fd, buf + got, len - got, MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return -errno;
		}
		if (!n)
			return got ? -EPROTO : -ENODATA;
		got += (size_t)n;
	}
	return 0;
}

static int ctl_recv_until(int fd, char *buf, size_t size, size_t *ret_len, int64_t deadline_ms)
{
	struct ctl_header h;
	int err;

	err = ctl_recv_all(fd, buf, sizeof(h), deadline_ms);
	if (err)
		return err;
	memcpy(&h, buf, sizeof(h));
	if (h.version != CTL_VERSION)
		return -EPROTONOSUPPORT;
	if (h.length < sizeof(h) || h.length > CTL_RECORD_MAX || h.length >= size)
		return -EPROTO;

	err = ctl_recv_all(fd, buf + sizeof(h), h.length - sizeof(h), deadline_ms);
	if (err)
		return err == -ENODATA ? -EPROTO : err;
	buf[h.length] = '\0';
	*ret_len = h.length;
	return 0;
}

int ctl_recv(int fd, void *buf, size_t size, size_t *ret_len)
{
	return ctl_recv_until(fd, buf, size, ret_len, ctl_now_ms() + CTL_TIMEOUT_S * 1000LL);
}

int ctl_reply(int fd, uint16_t op, int err, uint64_t nodeid, const char *text)
{
	size_t max = CTL_RECORD_MAX - sizeof(struct ctl_reply);
	size_t len = text ? strnlen(text, max) : 0;
	struct ctl_reply reply = {
		.h.length = (uint32_t)(sizeof(reply) + len),
		.h.version = CTL_VERSION,
		.h.op = op | CTL_OP_REPLY,
		.err = err,
		.text_len = (uint32_t)len,
		.nodeid = nodeid,
	};

	return ctl_send(fd, &reply, sizeof(reply), text, len);
}

int ctl_call(int fd, void *request, size_t len, const char *string, size_t string_len,
	     struct ctl_reply *ret, char *text, size_t size)
{
	static _Thread_local char buf[CTL_RECORD_MAX + 1];
	struct ctl_header *h = request;
	struct ctl_reply reply;
	size_t got;
	int err;

	if (len < sizeof(*h) || len + string_len > CTL_RECORD_MAX)
		return -EINVAL;
	h->length = (uint32_t)(len + string_len);
	h->version = CTL_VERSION;

	err = ctl_send(fd, request, len, string, string_len);
	if (err)
		return err;
	/* The daemon may be restarting with the request in hand: no deadline. */
	err = ctl_recv_until(fd, buf, sizeof(buf), &got, -1);
	if (err)
		return err == -ENODATA ? -ECONNRESET : err;
	if (got < sizeof(reply))
		return -EPROTO;
	memcpy(&reply, buf, sizeof(reply));
	if (reply.h.op != (h->op | CTL_OP_REPLY) || reply.text_len != got - sizeof(reply))
		return -EPROTO;

	*ret = reply;
	if (size)
		snprintf(text, size, "%s", buf + sizeof(reply));
	return 0;
}

static int ctl_ask(int fd, void *request, size_t len, const char *path, size_t path_len, char *text,
		   size_t size)
{
	struct ctl_reply reply;
	int err;

	err = ctl_call(fd, request, len, path, path_len, &reply, text, size);
	if (err) {
		if (size)
			snprintf(text, size, "no answer from the daemon: %s", strerror(-err));
		return err;
	}
	return reply.err;
}

int ctl_mkdir(int fd, const char *path, uint32_t uid, uint32_t gid, uint32_t mode, char *text,
	      size_t size)
{
	struct ctl_mkdir req = {
		.h.op = CTL_OP_MKDIR,
		.uid = uid,
		.gid = gid,
		.mode = mode,
		.path_len = (uint32_t)strlen(path),
	};

	return ctl_ask(fd, &req, sizeof(req), path, req.path_len, text, size);
}

int ctl_create_file(int fd, const char *path, uint64_t bytes, uint32_t uid, uint32_t gid,
		    uint32_t mode, const struct ctl_layout *layout, char *text, size_t size)
{
	struct ctl_create req = {
		.h.op = CTL_OP_CREATE,
		.size = bytes,
		.uid = uid,
		.gid = gid,
		.mode = mode,
		.nstrips = layout ? layout->nstrips : 0,
		.chunk = layout ? layout->chunk : 0,
		.seed = layout ? layout->seed : 0,
		.nbuckets = layout ? layout->nbuckets : 0,
		.path_len = (uint32_t)strlen(path),
	};

	return ctl_ask(fd, &req, sizeof(req), path, req.path_len, text, size);
}

int ctl_status(int fd, char *text, size_t size)
{
	struct ctl_header req = { .op = CTL_OP_STATUS };

	return ctl_ask(fd, &req, sizeof(req), NULL, 0, text, size);
}
