// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening devices. The name is resolved once and opened once; all that follows
 * asks the fd and sysfs by device number, so a name that changes its meaning
 * meanwhile changes nothing.
 */
#include "devices.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Last part of where /sys/dev/char/MAJ:MIN/LINK points, "" if it is not there. */
static void device_sys_link(dev_t rdev, const char *link, char *buf, size_t size)
{
	char path[96], target[PATH_MAX];
	const char *base;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/%s", major(rdev), minor(rdev), link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		n = 0;
	target[n] = '\0';
	base = strrchr(target, '/');
	snprintf(buf, size, "%.*s", (int)size - 1, base ? base + 1 : target);
}

static int device_sys_size(dev_t rdev, uint64_t *ret_size)
{
	char path[96];
	unsigned long long size;
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(rdev), minor(rdev));
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%llu", &size);
	fclose(f);
	if (n != 1)
		return -EIO;
	*ret_size = size;
	return 0;
}

static int device_check_char(struct device *d, struct session_msg *msg)
{
	char subsystem[64], driver[64];
	int err;

	device_sys_link(d->rdev, "subsystem", subsystem, sizeof(subsystem));
	if (strcmp(subsystem, "dax")) {
		session_say(msg,
			    "%s: not a DAX device: give a DAX character device "
			    "(/dev/daxX.Y) or a block device that does DAX",
			    d->path);
		return -ENODEV;
	}
	device_sys_link(d->rdev, "driver", driver, sizeof(driver));
	if (strcmp(driver, "fsdev_dax")) {
		session_say(msg,
			    "%s: bound to %s, not to driver fsdev_dax; if nobody uses it: "
			    "echo %s > /sys/bus/dax/drivers/%s/unbind; "
			    "echo %s > /sys/bus/dax/drivers/fsdev_dax/new_id",
			    d->path, driver[0] ? driver : "no driver", d->name,
			    driver[0] ? driver : "device_dax", d->name);
		return -ENXIO;
	}
	err = device_sys_size(d->rdev, &d->size);
	if (err)
		session_say(msg, "%s: cannot read its size from sysfs: %s", d->path,
			    strerror(-err));
	return err;
}

/* Without any driver a character device cannot even be opened: say that instead. */
static void device_explain(struct device *d, int err, struct session_msg *msg)
{
	struct stat st;

	if (err != -ENXIO || stat(d->path, &st) || !S_ISCHR(st.st_mode))
		return;
	d->rdev = st.st_rdev;
	device_check_char(d, msg);
}

static int device_check_block(struct device *d, struct session_msg *msg)
{
	int err;

	if (!ioctl(d->fd, BLKGETSIZE64, &d->size))
		return 0;
	err = -errno;
	session_say(msg, "%s: cannot get its size: %s", d->path, strerror(-err));
	return err;
}

static int device_check(struct device *d, struct session_msg *msg)
{
	struct stat st;
	int err;

	if (fstat(d->fd, &st)) {
		err = -errno;
		session_say(msg, "%s: cannot stat: %s", d->path, strerror(-err));
		return err;
	}
	d->rdev = st.st_rdev;
	d->is_block = S_ISBLK(st.st_mode);
	if (d->is_block)
		return device_check_block(d, msg);
	if (S_ISCHR(st.st_mode))
		return device_check_char(d, msg);

	if (S_ISREG(st.st_mode))
		session_say(msg,
			    "%s: an image file, not a DAX device; files can only be "
			    "mounted in mode compat, which is not built",
			    d->path);
	else
		session_say(msg, "%s: not a device", d->path);
	return -ENODEV;
}

int device_open(const char *path, bool read_only, struct device *ret, struct session_msg *msg)
{
	struct device d = { .fd = -1, .read_only = read_only };
	char *real;
	int err;

	real = realpath(path, NULL);
	if (!real) {
		err = -errno;
		session_say(msg, "%s: %s", path,
			    err == -ENOENT ? "no such device" : strerror(-err));
		return err;
	}
	if (strlen(real) >= sizeof(d.path)) {
		session_say(msg, "%s: name is longer than %zu bytes", path, sizeof(d.path) - 1);
		free(real);
		return -ENAMETOOLONG;
	}
	strcpy(d.path, real);
	snprintf(d.name, sizeof(d.name), "%s", strrchr(real, '/') + 1);
	free(real);

	/* NONBLOCK: a FIFO or a tape must not make us wait. */
	if (!read_only) {
		d.fd = open(d.path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (d.fd < 0 && (errno == EROFS || errno == EACCES || errno == EISDIR))
			d.read_only = true;
	}
	if (d.read_only)
		d.fd = open(d.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (d.fd < 0) {
		err = -errno;
		session_say(msg, "%s: cannot open: %s", d.path, strerror(-err));
		device_explain(&d, err, msg);
		return err;
	}
	err = device_check(&d, msg);
	if (err) {
		close(d.fd);
		return err;
	}
	*ret = d;
	return 0;
}

void device_close(struct device *d)
{
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
}
