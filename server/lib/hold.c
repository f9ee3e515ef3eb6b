// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worker's side of the fd store, the setup socket, and the mount table. The
 * keeping side is the service manager or server/daemon/holder.c.
 */
#include "hold.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount/libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "ctl.h"

/* The manager answers at once unless it is stopped; a start may be slow under TCG. */
#define HOLD_BARRIER_US	(30ULL * 1000 * 1000)

static struct {
	char name[HOLD_NAME_MAX];
	int fd;
} hold_fds[HOLD_FDS_MAX];
static int hold_count;

int hold_listen(void)
{
	char **names = NULL;
	int n;

	n = sd_listen_fds_with_names(1, &names);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (hold_count < HOLD_FDS_MAX) {
			snprintf(hold_fds[hold_count].name, HOLD_NAME_MAX, "%s", names[i]);
			hold_fds[hold_count++].fd = SD_LISTEN_FDS_START + i;
		}
		free(names[i]);
	}
	free(names);
	return hold_count;
}

/* One fd that mount.famfs sends. *ret_done: it was the last. */
static int hold_fetch_one(int sock, bool *ret_done)
{
	struct setup_message m;
	int fd, err;

	err = setup_recv(sock, &m, &fd);
	if (err)
		return err;
	*ret_done = m.type == SETUP_FDS_DONE;
	if (m.type == SETUP_FD && fd >= 0 && strlen(m.text) < HOLD_NAME_MAX)
		err = hold_store(m.text, fd);
	else if (!*ret_done)
		err = -EPROTO;
	if (err && fd >= 0)
		close(fd);
	return err;
}

int hold_fetch(const char *instance, struct session_msg *msg)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	bool done = false;
	int sock, err;

	err = setup_path(instance, addr.sun_path, sizeof(addr.sun_path));
	if (err)
		return err;
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		err = -errno;
	else
		err = setup_check_peer(sock);
	while (!err && !done)
		err = hold_fetch_one(sock, &done);
	if (!err)
		err = hold_store("setup", sock);
	if (!err)
		return 0;
	session_say(msg, "no fds from mount.famfs at %s: %s", addr.sun_path, strerror(-err));
	if (sock >= 0)
		close(sock);
	return err;
}

static int hold_find(const char *name)
{
	for (int i = 0; i < hold_count; i++)
		if (!strcmp(hold_fds[i].name, name))
			return i;
	return -1;
}

int hold_get(const char *name)
{
	int i = hold_find(name);

	return i < 0 ? -1 : hold_fds[i].fd;
}

static int hold_notify(const char *text, int fd)
{
	int n;

	n = fd < 0 ? sd_notify(0, text) : sd_pid_notify_with_fds(0, 0, text, &fd, 1);
	if (n < 0)
		return n;
	if (!n)
		return -ENOTCONN;	/* no manager */
	n = sd_notify_barrier(0, HOLD_BARRIER_US);
	return n < 0 ? n : 0;
}

int hold_store(const char *name, int fd)
{
	char text[64];
	int err;

	if (hold_count == HOLD_FDS_MAX || hold_find(name) >= 0)
		return -ENOSPC;
	/* FDPOLL: /dev/fuse polls as broken before it is mounted, and would be dropped. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	err = hold_notify(text, fd);
	if (err)
		return err;
	snprintf(hold_fds[hold_count].name, HOLD_NAME_MAX, "%s", name);
	hold_fds[hold_count++].fd = fd;
	return 0;
}

int hold_drop(const char *name)
{
	char text[64];
	int i = hold_find(name);

	if (i >= 0) {
		close(hold_fds[i].fd);
		hold_fds[i] = hold_fds[--hold_count];
	}
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return hold_notify(text, -1);
}

int hold_ready(const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
	return hold_notify(text, -1);
}

int hold_superblock(dev_t dev)
{
	char text[64];

	snprintf(text, sizeof(text), "X_FAMFS_SB=%u:%u", major(dev), minor(dev));
	return hold_notify(text, -1);
}

int hold_stopping(void)
{
	return hold_notify("STOPPING=1", -1);
}

/* ---- setup socket ---- */

int setup_path(const char *instance, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%s/%s.setup", CTL_RUN_DIR, instance);

	if (strchr(instance, '/'))
		return -EINVAL;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int setup_check_peer(int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -errno;
	return cred.uid ? -EPERM : 0;
}

int setup_send(int sock, enum setup_type type, int err, const char *text, int fd)
{
	struct setup_message m = { .type = type, .err = err };
	struct iovec iov = { .iov_base = &m, .iov_len = sizeof(m) };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	snprintf(m.text, sizeof(m.text), "%s", text ? text : "");
	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int setup_recv(int sock, struct setup_message *ret, int *ret_fd)
{
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -1;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -ENOTCONN : -errno;
	if (!n)
		return -ENOTCONN;

	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	if (n != sizeof(*ret)) {
		if (fd >= 0)
			close(fd);
		return -EPROTO;
	}
	ret->text[sizeof(ret->text) - 1] = '\0';
	*ret_fd = fd;
	return 0;
}

/* ---- mount table ---- */

/* Does its path lead to it? If something else is mounted there, that is not ours. */
static bool hold_is_on_top(struct libmnt_fs *fs)
{
	struct statx stx;

	return !statx(AT_FDCWD, mnt_fs_get_target(fs),
		      AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID,
		      &stx) &&
	       stx.stx_mnt_id == (uint64_t)mnt_fs_get_id(fs);
}

static void hold_see_mount(struct libmnt_fs *fs, bool umount, struct hold_mounts *ret)
{
	const char *options = mnt_fs_get_vfs_options(fs);

	if (umount &&
	    (!hold_is_on_top(fs) || umount2(mnt_fs_get_target(fs), MNT_DETACH | UMOUNT_NOFOLLOW))) {
		ret->hidden++;
		return;
	}
	ret->count++;
	if (options && mnt_optstr_get_option(options, "ro", NULL, NULL) == 1)
		ret->writable++;
}

int hold_find_mounts(dev_t sb, bool umount, struct hold_mounts *ret)
{
	struct hold_mounts found = { 0 };
	struct libmnt_iter *iter;
	struct libmnt_table *table;
	struct libmnt_fs *fs;

	table = mnt_new_table_from_file("/proc/self/mountinfo");
	if (!table)
		return -EIO;
	/* The last mounted first: it may hide others. */
	iter = mnt_new_iter(MNT_ITER_BACKWARD);
	if (!iter) {
		mnt_unref_table(table);
		return -ENOMEM;
	}
	while (!mnt_table_next_fs(table, iter, &fs))
		if (mnt_fs_get_devno(fs) == sb)
			hold_see_mount(fs, umount, &found);
	mnt_free_iter(iter);
	mnt_unref_table(table);
	*ret = found;
	return 0;
}
