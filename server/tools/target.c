// SPDX-License-Identifier: GPL-2.0-only
/*
 * A path as part of a mounted famfs file system.
 */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <libmount.h>
#include <stdbool.h>
#include <string.h>

#include "../lib/ctl.h"
#include "tool.h"

#define MAX_DEPTH 64

static int not_famfs(const char *path, char *msg, size_t msg_size)
{
	snprintf(msg, msg_size, "%s is not in a famfs file system", path);
	return -EXDEV;
}

/* The mount that a real path lies in, if it is one of famfs. */
static int find_mount(const char *real, struct target_fs *fs)
{
	/* The kernel's table, not the file system itself, which may be dead. */
	struct libmnt_table *tb = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_fs *m = tb ? mnt_table_find_mountpoint(tb, real, MNT_ITER_BACKWARD) : NULL;
	const char *type = m ? mnt_fs_get_fstype(m) : NULL;
	const char *root = m ? mnt_fs_get_root(m) : NULL;
	int rc = -EXDEV;

	/* A bind mount of a directory has no .meta: the file system is not to be found. */
	if (type && !strcmp(type, TARGET_MOUNT_TYPE) && (!root || !strcmp(root, "/"))) {
		const char *source = mnt_fs_get_srcpath(m);

		snprintf(fs->mount_point, sizeof(fs->mount_point), "%s", mnt_fs_get_target(m));
		snprintf(fs->source, sizeof(fs->source), "%s", source ? source : "");
		fs->dev = mnt_fs_get_devno(m);
		rc = 0;
	}
	mnt_unref_table(tb);
	return rc;
}

static int open_meta(const struct target_fs *fs, const char *name, char *msg, size_t msg_size)
{
	char path[PATH_MAX + 32];
	int fd;

	snprintf(path, sizeof(path), "%s/.meta/%s", fs->mount_point, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fd = -errno;
		snprintf(msg, msg_size, "cannot open %s: %s", path, strerror(-fd));
	}
	return fd;
}

void target_fs_close(struct target_fs *fs)
{
	if (fs->super_fd >= 0)
		close(fs->super_fd);
	if (fs->log_fd >= 0)
		close(fs->log_fd);
	fs->super_fd = fs->log_fd = -1;
}

int target_fs_mount(const char *path, struct target_fs *ret, char *msg, size_t msg_size)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	int rc;

	ret->super_fd = ret->log_fd = -1;
	if (!real) {
		rc = -errno;
		snprintf(msg, msg_size, "cannot find %s: %s", path, strerror(-rc));
		if (rc == -EIO)
			target_explain(path, msg, msg_size);
		return rc;
	}
	return find_mount(real, ret) ? not_famfs(path, msg, msg_size) : 0;
}

int target_fs_find(const char *path, struct target_fs *ret, char *msg, size_t msg_size)
{
	struct famfs_media media;
	struct famfs_error err;
	int rc;

	rc = target_fs_mount(path, ret, msg, msg_size);
	if (rc)
		return rc;
	ret->super_fd = open_meta(ret, ".superblock", msg, msg_size);
	rc = ret->super_fd < 0 ? ret->super_fd : 0;
	if (!rc) {
		ret->log_fd = open_meta(ret, ".log", msg, msg_size);
		rc = ret->log_fd < 0 ? ret->log_fd : 0;
	}
	if (!rc) {
		famfs_media_init_meta(&media, ret->source, ret->super_fd, ret->log_fd,
				      FAMFS_SIZE_UNKNOWN);
		rc = famfs_super_read(&media, &ret->super, &err);
		if (rc)
			famfs_error_text(&err, msg, msg_size);
	}
	if (rc) {
		target_fs_close(ret);
		target_explain(ret->mount_point, msg, msg_size);
	}
	return rc;
}

int target_require_owner(const struct target_fs *fs)
{
	uint8_t uuid[FAMFS_UUID_LEN];

	if (!famfs_system_uuid_get(NULL, false, uuid) &&
	    !memcmp(uuid, fs->super.system_uuid, FAMFS_UUID_LEN))
		return 0;
	tool_error("Error not running on FAMFS_MASTER node");
	return -EPERM;
}

/* Cut the last component off in place. Return: it, or NULL if there is none left. */
static char *cut_last(char *path)
{
	size_t len = strlen(path);
	char *slash;

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	slash = strrchr(path, '/');
	if (!slash || !slash[1])
		return NULL;
	*slash = '\0';
	return slash + 1;
}

/* Does the server of this mount say that it is dead? */
static bool is_dead(const struct target_fs *fs)
{
	static char text[CTL_RECORD_MAX];
	_cleanup_close_ int fd = -1;

	return !ctl_connect(fs->dev, &fd) && !ctl_status(fd, text, sizeof(text)) &&
	       strstr(text, "\"state\":\"dead\"");
}

void target_explain(const char *path, char *msg, size_t msg_size)
{
	char head[PATH_MAX], real[PATH_MAX];
	struct target_fs fs;

	/* Of a dead file system the root is all that can be found. */
	if ((size_t)snprintf(head, sizeof(head), "%s%s", path[0] == '/' ? "" : "./", path) >=
	    sizeof(head))
		return;
	while (!realpath(head[0] ? head : "/", real))
		if (!cut_last(head))
			return;
	if (!find_mount(real, &fs) && is_dead(&fs))
		snprintf(msg, msg_size,
			 "%s: Input/output error: another file system was made on "
			 "%s; unmount %s",
			 path, fs.source, fs.mount_point);
}

static int prepend(struct target_path *p, const char *part)
{
	char rest[PATH_MAX];

	if (!strcmp(part, "."))
		return 0;
	if (++p->missing_parts > MAX_DEPTH)
		return -ENAMETOOLONG;
	memcpy(rest, p->missing, sizeof(rest));
	if ((size_t)snprintf(p->missing, sizeof(p->missing), "%s%s%s", part, rest[0] ? "/" : "",
			     rest) >= sizeof(p->missing))
		return -ENAMETOOLONG;
	return 0;
}

static int split(const char *path, struct target_path *ret)
{
	char head[PATH_MAX];
	const char *part;
	int rc;

	/* "" becomes ".", "a" becomes "./a": so there is always a slash to cut at */
	if ((size_t)snprintf(head, sizeof(head), "%s%s", path[0] == '/' ? "" : "./", path) >=
	    sizeof(head))
		return -ENAMETOOLONG;
	for (;;) {
		if (realpath(head[0] ? head : "/", ret->existing))
			break;
		if (errno != ENOENT)
			return -errno;
		part = cut_last(head);
		if (!part)
			return -ENOENT;
		/* What it would lead to cannot be known before there is something. */
		if (!strcmp(part, ".."))
			return -EINVAL;
		rc = prepend(ret, part);
		if (rc)
			return rc;
	}
	if (stat(ret->existing, &ret->st))
		return -errno;
	return ret->missing[0] && !S_ISDIR(ret->st.st_mode) ? -ENOTDIR : 0;
}

int target_path_split(const char *path, struct target_path *ret, char *msg, size_t msg_size)
{
	int rc;

	memset(ret, 0, sizeof(*ret));
	rc = path[0] ? split(path, ret) : -ENOENT;
	if (rc == -EINVAL)
		snprintf(msg, msg_size, "'..' in the part of %s that does not exist", path);
	else if (rc)
		snprintf(msg, msg_size, "cannot follow %s: %s", path, strerror(-rc));
	if (rc == -EIO)
		target_explain(path, msg, msg_size);
	return rc;
}

int target_relpath(const struct target_fs *fs, const char *existing, const char *extra,
		   char ret[FAMFS_PATH_LEN], char *msg, size_t msg_size)
{
	size_t len = strlen(fs->mount_point);
	const char *rel = existing + len;

	if (strncmp(existing, fs->mount_point, len) || (*rel && *rel != '/'))
		return not_famfs(existing, msg, msg_size);
	while (*rel == '/')
		rel++;
	if (snprintf(ret, FAMFS_PATH_LEN, "%s%s%s", rel, *rel && *extra ? "/" : "", extra) >=
	    FAMFS_PATH_LEN) {
		snprintf(msg, msg_size,
			 "%s%s%s is too long: a path in the log has at most %d bytes", rel,
			 *rel && *extra ? "/" : "", extra, FAMFS_PATH_LEN - 1);
		return -ENAMETOOLONG;
	}
	return 0;
}
