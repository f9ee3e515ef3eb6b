// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mounter's side of a session: /dev/fuse, the superblock, a mount that is
 * attached nowhere, DAX devices. Turns errors of the kernel into sentences; holds
 * no state.
 */
#include "session_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

/* Neither is in the headers of Debian 12's kernel. */
#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN	_IOW(229, 1, struct fuse_backing_map)
#endif
#ifndef FUSE_DEV_IOC_SYNC_INIT
#define FUSE_DEV_IOC_SYNC_INIT		_IO(229, 3)
#endif

#define SESSION_BUSY_MS		1000
#define SESSION_BUSY_STEP_MS	20

int session_open_fuse(int *ret_fd, struct session_msg *msg)
{
	int fd, err;

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		session_say(msg, "cannot open /dev/fuse: %s%s", strerror(-err),
			    err == -ENOENT || err == -ENODEV || err == -ENXIO
				    ? "; load the module fuse or boot a kernel with CONFIG_FUSE_FS"
				    : "");
		return err;
	}
	if (ioctl(fd, FUSE_DEV_IOC_SYNC_INIT)) {
		err = errno == ENOTTY ? -EOPNOTSUPP : -errno;
		session_say(msg,
			    "kernel lacks fuse-iomap (FUSE_DEV_IOC_SYNC_INIT: %s): boot "
			    "Linux 7.3 or later with CONFIG_FUSE_IOMAP",
			    strerror(errno));
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/*
 * The kernel's own words about the last failure, "" if it has none. Each is a
 * line that begins with a letter for its kind: e, w, i.
 */
static void session_kernel_words(int fs_fd, char *buf, size_t size)
{
	char line[256];
	ssize_t n;

	buf[0] = '\0';
	while ((n = read(fs_fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		if (n > 2 && line[0] == 'e' && line[1] == ' ')
			snprintf(buf, size, "%s", line + 2);
	}
}

static int session_fs_failed(int fs_fd, int err, const char *what, struct session_msg *msg)
{
	char words[256];

	session_kernel_words(fs_fd, words, sizeof(words));
	session_say(msg, "kernel refuses %s: %s%s%s%s", what, strerror(err), words[0] ? " (" : "",
		    words, words[0] ? ")" : "");
	return -err;
}

static int session_set_string(int fs_fd, const char *key, const char *value,
			      struct session_msg *msg)
{
	char what[160];

	if (!fsconfig(fs_fd, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0))
		return 0;

	snprintf(what, sizeof(what), "option '%s%s%s'", key, value ? "=" : "", value ? value : "");
	return session_fs_failed(fs_fd, errno, what, msg);
}

static int session_set_option(int fs_fd, const char *option, struct session_msg *msg)
{
	const char *value = strchr(option, '=');
	char key[64];
	size_t len = value ? (size_t)(value - option) : strlen(option);

	if (!len || len >= sizeof(key)) {
		session_say(msg, "option '%s' has no name that the kernel could know", option);
		return -EINVAL;
	}
	memcpy(key, option, len);
	key[len] = '\0';
	return session_set_string(fs_fd, key, value ? value + 1 : NULL, msg);
}

static int session_set_options(int fs_fd, const struct session_mount *p, struct session_msg *msg)
{
	static const struct {
		const char *key;
		const char *value;
	} fixed[] = {
		{ "rootmode", "40000" },
		{ "user_id", "0" },
		{ "group_id", "0" },
	};
	int err;

	err = session_set_string(fs_fd, "source", p->source, msg);
	if (!err && p->subtype)
		err = session_set_string(fs_fd, "subtype", p->subtype, msg);
	for (size_t i = 0; !err && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		err = session_set_string(fs_fd, fixed[i].key, fixed[i].value, msg);
	if (!err && !p->private)
		err = session_set_string(fs_fd, "allow_other", NULL, msg);
	if (!err && !p->no_default_permissions)
		err = session_set_string(fs_fd, "default_permissions", NULL, msg);
	for (size_t i = 0; !err && p->options && p->options[i]; i++)
		err = session_set_option(fs_fd, p->options[i], msg);
	return err;
}

static int session_create_sb(int fs_fd, int fuse_fd, const struct session_mount *p,
			     struct session_msg *msg)
{
	char value[16];
	int err;

	snprintf(value, sizeof(value), "%d", fuse_fd);
	if (fsconfig(fs_fd, FSCONFIG_SET_STRING, "fd", value, 0))
		return session_fs_failed(fs_fd, errno, "the fd of /dev/fuse", msg);
	err = session_set_options(fs_fd, p, msg);
	if (p->close_fd)
		close(fuse_fd);
	if (err)
		return err;

	/* Returns when INIT was answered. */
	if (!fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return 0;
	if (errno == ENOTCONN) {
		session_say(msg, "the server refused the connection, or ended");
		return -ENOTCONN;
	}
	return session_fs_failed(fs_fd, errno, "to make the file system", msg);
}

int session_fsmount(int fuse_fd, const struct session_mount *p, int *ret_mnt_fd,
		    struct session_msg *msg)
{
	int fs_fd, mnt_fd, err;

	fs_fd = fsopen("fuse", FSOPEN_CLOEXEC);
	if (fs_fd < 0) {
		err = -errno;
		session_say(msg, "cannot mount: fsopen: %s%s", strerror(-err),
			    err == -EPERM    ? "; needs CAP_SYS_ADMIN (root)"
			    : err == -ENODEV ? "; boot a kernel with CONFIG_FUSE_FS"
					     : "");
		if (p->close_fd)
			close(fuse_fd);
		return err;
	}

	err = session_create_sb(fs_fd, fuse_fd, p, msg);
	if (!err) {
		mnt_fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, (unsigned int)p->attrs);
		if (mnt_fd < 0)
			err = session_fs_failed(fs_fd, errno, "to make the mount", msg);
		else
			*ret_mnt_fd = mnt_fd;
	}
	close(fs_fd);
	return err;
}

static int session_device_failed(int err, const char *path, struct session_msg *msg)
{
	switch (err) {
	case EPERM:
		session_say(msg,
			    "%s: not permitted: registering a DAX device needs "
			    "CAP_SYS_RAWIO in the initial user namespace (root)",
			    path);
		break;
	case EOPNOTSUPP:
	case ENOTTY:
		session_say(msg,
			    "%s: cannot be registered: this connection has no mappings "
			    "(boot a kernel with CONFIG_FUSE_IOMAP)",
			    path);
		break;
	case ENODEV:
		session_say(msg,
			    "%s: not a DAX device: give a DAX character device (/dev/daxX.Y) "
			    "or a block device that does DAX (/dev/pmemN in mode fsdax)",
			    path);
		break;
	case ENXIO:
		session_say(msg,
			    "%s: DAX device is not bound to driver fsdev_dax: bind it, "
			    "see docs/operations.md, Mounting",
			    path);
		break;
	case EBUSY:
		session_say(msg,
			    "%s: Device or resource busy: it is in use by another file "
			    "system; unmount that first (umount -l waits for its open files)",
			    path);
		break;
	case ENOSPC:
		session_say(msg, "%s: too many devices: a connection takes %u", path,
			    FUSE_IOMAP_MAX_DEVS);
		break;
	case EINVAL:
		session_say(msg, "%s: not usable: a partition must begin and end on a page", path);
		break;
	default:
		session_say(msg, "%s: cannot register the device: %s", path, strerror(err));
	}
	return -err;
}

int session_add_device(int fuse_fd, int dev_fd, const char *path, uint32_t *ret_id,
		       struct session_msg *msg)
{
	struct fuse_backing_map map = {
		.fd = dev_fd,
		.flags = FUSE_BACKING_TYPE_IOMAP,
	};
	struct timespec pause = { .tv_nsec = SESSION_BUSY_STEP_MS * 1000000L };
	int id, waited_ms = 0;

	/* A file system that was just unmounted has its device a little longer. */
	while ((id = ioctl(fuse_fd, FUSE_DEV_IOC_BACKING_OPEN, &map)) < 0 && errno == EBUSY &&
	       waited_ms < SESSION_BUSY_MS) {
		nanosleep(&pause, NULL);
		waited_ms += SESSION_BUSY_STEP_MS;
	}
	if (id < 0)
		return session_device_failed(errno, path, msg);
	*ret_id = (uint32_t)id;
	return 0;
}
