// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices as the tools see them. Facts come from stat() and sysfs, never from
 * a path's name: /dev/dax0.0 may be a link or live in a chroot.
 */
#include "daxdev.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "tool.h"

#define DAX_BUS "/sys/bus/dax"

/* One line of a sysfs file without its newline. */
static int read_line(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

static int read_u64(const char *path, uint64_t *ret)
{
	char buf[64];
	int rc = read_line(path, buf, sizeof(buf));

	return rc ? rc : tool_parse_size(buf, ret);
}

static int write_line(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0)
		return -errno;
	return write(fd, text, len) == (ssize_t)len ? 0 : -errno;
}

/* Last component of what a symbolic link points to. */
static int link_name(const char *path, char *ret, size_t size)
{
	char buf[PATH_MAX];
	const char *base;
	ssize_t n = readlink(path, buf, sizeof(buf) - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	base = strrchr(buf, '/');
	base = base ? base + 1 : buf;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	memcpy(ret, base, strlen(base) + 1);
	return 0;
}

static int read_driver(struct dax_device *dev)
{
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), DAX_BUS "/devices/%s/driver", dev->name);
	rc = link_name(path, dev->driver, sizeof(dev->driver));
	if (rc == -ENOENT) {
		dev->driver[0] = '\0';
		return 0;
	}
	return rc;
}

static int identify_char(struct dax_device *dev, const char *path, char *msg, size_t msg_size)
{
	char sys[128], file[PATH_MAX], subsystem[64];

	snprintf(sys, sizeof(sys), "/sys/dev/char/%u:%u", major(dev->rdev), minor(dev->rdev));
	snprintf(file, sizeof(file), "%s/subsystem", sys);
	if (link_name(file, subsystem, sizeof(subsystem)) || strcmp(subsystem, "dax")) {
		snprintf(msg, msg_size,
			 "%s is not a DAX device: a character device of another kind", path);
		return -ENODEV;
	}
	snprintf(file, sizeof(file), "%s/size", sys);
	if (link_name(sys, dev->name, sizeof(dev->name)) || read_u64(file, &dev->size)) {
		snprintf(msg, msg_size, "cannot read the size of %s from %s", path, file);
		return -EIO;
	}
	snprintf(file, sizeof(file), "%s/align", sys);
	if (read_u64(file, &dev->align))
		dev->align = 0x200000;
	if (read_driver(dev)) {
		snprintf(msg, msg_size, "cannot read the driver of %s from %s", path, sys);
		return -EIO;
	}
	return 0;
}

static int identify_block(struct dax_device *dev, const char *path, char *msg, size_t msg_size)
{
	char sys[64], file[PATH_MAX];
	uint64_t v;

	snprintf(sys, sizeof(sys), "/sys/dev/block/%u:%u", major(dev->rdev), minor(dev->rdev));
	snprintf(file, sizeof(file), "%s/size", sys);
	if (link_name(sys, dev->name, sizeof(dev->name)) || read_u64(file, &v)) {
		snprintf(msg, msg_size, "cannot read the size of %s from %s", path, file);
		return -EIO;
	}
	dev->size = v * 512; /* sysfs counts sectors, whatever the device's block is */
	/* A partition has the queue of its disk. */
	snprintf(file, sizeof(file), "%s/queue/dax", sys);
	if (read_u64(file, &v)) {
		snprintf(file, sizeof(file), "%s/../queue/dax", sys);
		if (read_u64(file, &v))
			v = 0;
	}
	if (!v) {
		snprintf(
			msg, msg_size,
			"%s is not a DAX device: its queue/dax is 0 (for an NVDIMM: ndctl create-namespace -m fsdax)",
			path);
		return -ENODEV;
	}
	return 0;
}

int dax_identify(const char *path, struct dax_device *ret, char *msg, size_t msg_size)
{
	struct dax_device dev = { 0 };
	struct stat st;
	int rc;

	if (stat(path, &st)) {
		rc = -errno;
		snprintf(msg, msg_size, "cannot stat %s: %s", path, strerror(-rc));
		return rc;
	}
	if (S_ISREG(st.st_mode)) {
		dev.kind = DAX_IMAGE;
		dev.size = st.st_size;
		snprintf(dev.name, sizeof(dev.name), "%s", path);
		rc = 0;
	} else if (S_ISCHR(st.st_mode)) {
		dev.kind = DAX_CHAR;
		dev.rdev = st.st_rdev;
		rc = identify_char(&dev, path, msg, msg_size);
	} else if (S_ISBLK(st.st_mode)) {
		dev.kind = DAX_BLOCK;
		dev.rdev = st.st_rdev;
		rc = identify_block(&dev, path, msg, msg_size);
	} else {
		snprintf(msg, msg_size,
			 "%s is not a DAX device: neither character nor block device", path);
		rc = -ENODEV;
	}
	if (!rc)
		*ret = dev;
	return rc;
}

int dax_identify_name(const char *name, struct dax_device *ret, char *msg, size_t msg_size)
{
	struct dax_device dev = { .kind = DAX_CHAR };
	char path[PATH_MAX], buf[32];
	unsigned int maj, min;

	snprintf(path, sizeof(path), DAX_BUS "/devices/%s/dev", name);
	if (read_line(path, buf, sizeof(buf)) || sscanf(buf, "%u:%u", &maj, &min) != 2) {
		snprintf(msg, msg_size, "there is no device '%s' on the dax bus", name);
		return -ENOENT;
	}
	dev.rdev = makedev(maj, min);
	if (identify_char(&dev, name, msg, msg_size))
		return -EIO;
	*ret = dev;
	return 0;
}

bool dax_driver_exists(const char *driver)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), DAX_BUS "/drivers/%s", driver);
	return !access(path, F_OK);
}

bool dax_find_mount(const struct dax_device *dev, char *ret_target, size_t size)
{
	struct libmnt_table *tb;
	struct libmnt_iter *it;
	struct libmnt_fs *fs;
	bool found = false;
	struct stat st;

	if (dev->kind == DAX_IMAGE)
		return false;
	tb = mnt_new_table_from_file("/proc/self/mountinfo");
	it = mnt_new_iter(MNT_ITER_FORWARD);
	while (tb && it && !found && !mnt_table_next_fs(tb, it, &fs)) {
		const char *source = mnt_fs_get_source(fs);

		if (!source || source[0] != '/' || stat(source, &st) || st.st_rdev != dev->rdev ||
		    !(dev->kind == DAX_CHAR ? S_ISCHR(st.st_mode) : S_ISBLK(st.st_mode)))
			continue;
		snprintf(ret_target, size, "%s", mnt_fs_get_target(fs));
		found = true;
	}
	mnt_free_iter(it);
	mnt_unref_table(tb);
	return found;
}

static bool process_has_device(int fds, const struct dax_device *dev)
{
	DIR *dir = fdopendir(fds);
	struct dirent *de;
	bool found = false;
	struct stat st;

	if (!dir) {
		close(fds);
		return false;
	}
	while (!found && (de = readdir(dir)))
		found = !fstatat(dirfd(dir), de->d_name, &st, 0) && st.st_rdev == dev->rdev &&
			(dev->kind == DAX_CHAR ? S_ISCHR(st.st_mode) : S_ISBLK(st.st_mode));
	closedir(dir);
	return found;
}

pid_t dax_find_user(const struct dax_device *dev, char *ret_comm, size_t size)
{
	DIR *proc = dev->kind == DAX_IMAGE ? NULL : opendir("/proc");
	char path[PATH_MAX];
	struct dirent *de;
	pid_t found = 0;
	int fds;

	while (proc && !found && (de = readdir(proc))) {
		pid_t pid = atoi(de->d_name);

		if (!isdigit((unsigned char)de->d_name[0]) || pid == getpid())
			continue;
		snprintf(path, sizeof(path), "%s/fd", de->d_name);
		fds = openat(dirfd(proc), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fds < 0 || !process_has_device(fds, dev))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (read_line(path, ret_comm, size))
			snprintf(ret_comm, size, "?");
		found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* Make driver take the device, which no driver has. */
static int attach_driver(const char *name, const char *driver)
{
	struct dax_device now = { 0 };
	char path[PATH_MAX];
	int rc;

	snprintf(now.name, sizeof(now.name), "%s", name);
	/*
	 * fsdev_dax matches devices by an id list alone: new_id adds the name and
	 * probes. The id is taken out again once bound, or the next device that
	 * gets this name would go to fsdev_dax by itself.
	 */
	if (!strcmp(driver, DAX_DRIVER_FSDEV)) {
		snprintf(path, sizeof(path), DAX_BUS "/drivers/%s/new_id", driver);
		rc = write_line(path, name);
	} else {
		rc = 0;
	}
	if (!read_driver(&now) && !now.driver[0]) {
		snprintf(path, sizeof(path), DAX_BUS "/drivers/%s/bind", driver);
		rc = write_line(path, name);
	}
	if (!strcmp(driver, DAX_DRIVER_FSDEV)) {
		snprintf(path, sizeof(path), DAX_BUS "/drivers/%s/remove_id", driver);
		write_line(path, name);
	}
	if (read_driver(&now))
		return -EIO;
	if (!strcmp(now.driver, driver))
		return 0;
	return rc ? rc : -ENODEV;
}

static int refuse_bind(const struct dax_device *dev, const char *driver, char *msg, size_t msg_size)
{
	char target[PATH_MAX], comm[32];
	pid_t pid;

	if (dev->kind != DAX_CHAR) {
		snprintf(msg, msg_size,
			 "%s is not a device of the dax bus, it has no driver to choose",
			 dev->name);
		return -EINVAL;
	}
	if (!dax_driver_exists(driver)) {
		snprintf(msg, msg_size, "this kernel has no driver %s (CONFIG_DEV_DAX_FSDEV)",
			 driver);
		return -ENODEV;
	}
	if (!strcmp(dev->driver, DAX_DRIVER_KMEM)) {
		snprintf(
			msg, msg_size,
			"%s is in use as system RAM (driver kmem): take it offline first (daxctl offline-memory %s)",
			dev->name, dev->name);
		return -EBUSY;
	}
	if (dax_find_mount(dev, target, sizeof(target))) {
		snprintf(msg, msg_size, "%s is mounted on %s", dev->name, target);
		return -EBUSY;
	}
	pid = dax_find_user(dev, comm, sizeof(comm));
	if (pid) {
		snprintf(msg, msg_size, "%s is in use: process %d (%s) has it open", dev->name, pid,
			 comm);
		return -EBUSY;
	}
	return 0;
}

int dax_bind_driver(struct dax_device *dev, const char *driver, char *msg, size_t msg_size)
{
	char old[sizeof(dev->driver)], path[PATH_MAX];
	int rc;

	if (dev->kind == DAX_CHAR && !strcmp(dev->driver, driver))
		return 0;
	rc = refuse_bind(dev, driver, msg, msg_size);
	if (rc)
		return rc;

	memcpy(old, dev->driver, sizeof(old));
	if (old[0]) {
		snprintf(path, sizeof(path), DAX_BUS "/drivers/%s/unbind", old);
		rc = write_line(path, dev->name);
		if (rc) {
			snprintf(msg, msg_size, "cannot unbind %s from driver %s: %s", dev->name,
				 old, strerror(-rc));
			return rc;
		}
	}
	rc = attach_driver(dev->name, driver);
	if (rc) {
		const char *then = "it had none before";

		if (old[0])
			then = attach_driver(dev->name, old) ? "its old driver did not take it back"
							     : "its old driver has it again";
		snprintf(msg, msg_size, "cannot bind %s to driver %s: %s; %s", dev->name, driver,
			 strerror(-rc), then);
	}
	read_driver(dev);
	return rc;
}

int dax_need_fsdev(struct dax_device *dev, const char *path, bool set, char *msg, size_t msg_size)
{
	if (dev->kind != DAX_CHAR || !strcmp(dev->driver, DAX_DRIVER_FSDEV))
		return 0;
	if (set)
		return dax_bind_driver(dev, DAX_DRIVER_FSDEV, msg, msg_size);
	snprintf(
		msg, msg_size,
		"%s has driver %s and needs %s. Re-run with --set-daxmode (-M), or run: famfs dev bind %s",
		path, dev->driver[0] ? dev->driver : "(none)", DAX_DRIVER_FSDEV, path);
	return -EPERM;
}
