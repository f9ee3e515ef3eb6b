// SPDX-License-Identifier: GPL-2.0-only
/*
 * FUSE requests. All of them can be done twice, since a successor gets those again
 * that its predecessor did not answer.
 *
 * What is known is cached for ever: attributes and entries never change on media that
 * are only appended to. What is not known is never cached. OPEN and FLUSH are answered
 * ENOSYS once and not asked again; so is everything about xattrs, so that a write(2)
 * does not ask for security.capability. OPENDIR is answered: it looks at the log.
 *
 *	errno		what for
 *	EPERM		create, mkdir, unlink, rename, ... and any change of attributes:
 *			the namespace is made by `famfs creat` and `famfs mkdir`
 *	EIO		file system made anew, or log not readable
 *	ENOENT		as usual
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* Seconds; the kernel takes it for for ever. */
#define FOREVER		1e9

static struct worker *worker_of(fuse_req_t req)
{
	return session_userdata(req);
}

static double valid_for(struct view *v)
{
	/* Boot inodes are replaced when the generation is known. */
	return atomic_load(&v->phase) == VIEW_LIVE ? FOREVER : 0;
}

static int fill_entry(struct view *v, uint64_t nodeid, struct fuse_entry_param *e)
{
	int err;

	memset(e, 0, sizeof(*e));
	err = view_getattr(v, nodeid, &e->attr);
	if (err)
		return err;
	e->ino = nodeid;
	e->generation = v->generation;
	e->attr_timeout = valid_for(v);
	e->entry_timeout = valid_for(v);
	return 0;
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	/* Nodeids are the log's, so file handles hold across restarts and hosts. */
	conn->want |= conn->capable & FUSE_CAP_EXPORT_SUPPORT;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct view *v = &worker_of(req)->view;
	struct fuse_entry_param e;
	uint64_t nodeid;
	int err, found;

	err = view_lookup(v, parent, name, &nodeid);
	if (err == -ENOENT) {
		found = view_refresh(v, true);
		if (found < 0)
			err = found;
		else
			err = view_lookup(v, parent, name, &nodeid);
	}
	if (!err)
		err = fill_entry(v, nodeid, &e);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view *v = &worker_of(req)->view;
	struct stat st;
	int err;

	(void)fi;
	err = view_getattr(v, ino, &st);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_attr(req, &st, valid_for(v));
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	(void)ino;
	(void)attr;
	(void)to_set;
	(void)fi;
	fuse_reply_err(req, EPERM);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

/* ---- directories ---- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view *v = &worker_of(req)->view;
	struct stat st;
	int err;

	err = view_refresh(v, true);
	if (err >= 0)
		err = view_getattr(v, ino, &st);
	if (!err && !S_ISDIR(st.st_mode))
		err = -ENOTDIR;
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = 0;
	fi->cache_readdir = atomic_load(&v->phase) == VIEW_LIVE;
	fi->keep_cache = fi->cache_readdir && !view_take_nokeep(v, ino);
	fuse_reply_open(req, fi);
}

/* Return: bytes that the entry takes, more than size if it does not fit. */
static size_t add_entry(fuse_req_t req, struct view *v, const struct famfs_dirent *d, bool plus,
			char *buf, size_t size)
{
	struct fuse_entry_param e;
	struct stat st = { 0 };
	char name[FAMFS_PATH_LEN + 1];
	uint32_t len = d->name_len < FAMFS_PATH_LEN ? d->name_len : FAMFS_PATH_LEN;

	memcpy(name, d->name, len);
	name[len] = '\0';
	st.st_ino = d->nodeid;
	st.st_mode = d->is_dir ? S_IFDIR : S_IFREG;
	if (!plus)
		return fuse_add_direntry(req, buf, size, name, &st, (off_t)d->cookie);

	/* The kernel makes no inode of nodeid 0: not for . and .., nor without attributes. */
	if (!strcmp(name, ".") || !strcmp(name, "..") || fill_entry(v, d->nodeid, &e)) {
		memset(&e, 0, sizeof(e));
		e.attr = st;
	}
	return fuse_add_direntry_plus(req, buf, size, name, &e, (off_t)d->cookie);
}

/* Return: bytes filled, or -errno. */
static ssize_t fill_dir(fuse_req_t req, struct view *v, uint64_t dir, uint64_t cookie, bool plus,
			char *buf, size_t size)
{
	struct famfs_dirent d;
	size_t at = 0, n;
	int err = 0;

	while (!err) {
		pthread_rwlock_rdlock(&v->lock);
		err = famfs_ns_readdir(v->fs->ns, dir, cookie, &d);
		pthread_rwlock_unlock(&v->lock);
		if (err)
			break;
		n = add_entry(req, v, &d, plus, buf + at, size - at);
		if (n > size - at)
			break;
		at += n;
		cookie = d.cookie;
	}
	return err && err != -ENODATA && !at ? err : (ssize_t)at;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct view *v = &worker_of(req)->view;
	ssize_t n;
	char *buf;

	if (atomic_load(&v->phase) != VIEW_LIVE) {
		fuse_reply_err(req, EIO);
		return;
	}
	buf = calloc(1, size);
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	n = fill_dir(req, v, ino, (uint64_t)off, plus, buf, size);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	read_dir(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	(void)fi;
	read_dir(req, ino, size, off, true);
}

/* ---- the file system ---- */

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct view *v = &worker_of(req)->view;
	struct famfs_alloc_stats alloc = { 0 };
	struct statvfs st = { .f_namemax = FAMFS_PATH_LEN - 1 };
	uint64_t unit, used;

	(void)ino;
	if (atomic_load(&v->phase) == VIEW_BOOT || !v->fs) {
		fuse_reply_statfs(req, &st);
		return;
	}
	pthread_rwlock_rdlock(&v->lock);
	famfs_alloc_stats(v->fs->alloc, &alloc);
	unit = v->fs->super.alloc_unit;
	used = alloc.used < alloc.capacity ? alloc.used : alloc.capacity;
	st.f_files = v->fs->header.slots;
	st.f_ffree = v->fs->header.slots - v->fs->header.next_index;
	pthread_rwlock_unlock(&v->lock);

	st.f_bsize = unit;
	st.f_frsize = unit;
	st.f_blocks = alloc.capacity / unit;
	st.f_bfree = (alloc.capacity - used) / unit;
	st.f_bavail = st.f_bfree;
	st.f_favail = st.f_ffree;
	fuse_reply_statfs(req, &st);
}

/* ---- what the media cannot do ---- */

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)rdev;
	fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		      const char *newname, unsigned int flags)
{
	(void)parent;
	(void)name;
	(void)newparent;
	(void)newname;
	(void)flags;
	fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	(void)ino;
	(void)newparent;
	(void)newname;
	fuse_reply_err(req, EPERM);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)fi;
	fuse_reply_err(req, EPERM);
}

/* FORGET needs no work, since nothing is freed; libfuse answers RELEASEDIR. */
const struct fuse_lowlevel_ops worker_ops = {
	.init		= op_init,
	.lookup		= op_lookup,
	.getattr	= op_getattr,
	.setattr	= op_setattr,
	.open		= op_open,
	.flush		= op_flush,
	.opendir	= op_opendir,
	.readdir	= op_readdir,
	.readdirplus	= op_readdirplus,
	.statfs		= op_statfs,
	.mknod		= op_mknod,
	.mkdir		= op_mkdir,
	.unlink		= op_remove,
	.rmdir		= op_remove,
	.symlink	= op_symlink,
	.rename		= op_rename,
	.link		= op_link,
	.create		= op_create,
};

/* ---- mappings and devices ---- */

int worker_iomap_begin(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
		       struct fuse_iomap_io *out)
{
	struct worker *w = userdata;

	/* A successor that has no log to read, see adopt_orphan(). */
	if (!w->view.map)
		return -EIO;
	return slotmap_resolve(w->view.map, nodeid, in->generation, in->pos, out);
}

void worker_dev_event(void *userdata, const struct fuse_iomap_dev_event_in *in)
{
	struct worker *w = userdata;
	const char *path = "unknown device";

	for (uint32_t i = 0; i < w->state->ndevs; i++)
		if (w->state->dev_id[i] == in->dev)
			path = w->params.dev_path[i];
	if (in->flags & FUSE_IOMAP_DEV_REMOVED)
		daemon_log(LOG_ERR,
			   "device %s was removed: all files on it answer EIO until it "
			   "is back and the file system was mounted again",
			   path);
	if (in->flags & FUSE_IOMAP_DEV_FAILED)
		daemon_log(LOG_ERR,
			   "device %s: memory failed, bytes 0x%llx to 0x%llx: reads "
			   "there answer EIO",
			   path, (unsigned long long)in->offset,
			   (unsigned long long)(in->offset + in->length - 1));
}
