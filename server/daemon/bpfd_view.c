// SPDX-License-Identifier: GPL-2.0-only
/*
 * The file system as it is served: its life (boot, live, dead), the files of .meta it
 * is read through, and what requests ask of it. bpfd_log.c makes it grow.
 */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BITS	64U

int64_t view_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int view_init(struct view *v, const struct worker_params *params, struct worker_state *state,
	      int wake_fd)
{
	memset(v, 0, sizeof(*v));
	v->params = params;
	v->state = state;
	v->wake_fd = wake_fd;
	v->super_fd = -1;
	v->log_fd = -1;
	/* Any will do; the real one follows from the uuid, which is not known yet. */
	v->generation = 1;
	pthread_mutex_init(&v->writer, NULL);
	pthread_rwlock_init(&v->lock, NULL);
	pthread_rwlock_init(&v->fd_lock, NULL);
	pthread_mutex_init(&v->ask_lock, NULL);
	pthread_cond_init(&v->ask_cond, NULL);
	return 0;
}

/* ---- the files of .meta ---- */

static int open_meta(int mnt_fd, const char *name, int flags, int *ret_fd, struct session_msg *msg)
{
	int fd, err;

	fd = openat(mnt_fd, name, flags | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		session_say(msg, "cannot open %s of our own mount: %s", name, strerror(-err));
		return err;
	}
	/*
	 * A close makes a FLUSH until one was answered ENOSYS. When we exit, nobody would
	 * answer, and we could not be reaped: have it asked now.
	 */
	close(dup(fd));
	*ret_fd = fd;
	return 0;
}

int view_open_files(struct view *v, int mnt_fd, bool write, struct session_msg *msg)
{
	int err, super_fd = -1, log_fd = -1;

	err = open_meta(mnt_fd, ".meta/.superblock", O_RDONLY, &super_fd, msg);
	if (err)
		return err;
	if (v->boot_log_len || v->fs)
		err = open_meta(mnt_fd, ".meta/.log", write ? O_RDWR : O_RDONLY, &log_fd, msg);
	if (err) {
		close(super_fd);
		return err;
	}
	pthread_rwlock_wrlock(&v->fd_lock);
	if (v->super_fd >= 0)
		close(v->super_fd);
	if (v->log_fd >= 0)
		close(v->log_fd);
	v->super_fd = super_fd;
	v->log_fd = log_fd;
	pthread_rwlock_unlock(&v->fd_lock);
	return 0;
}

/* ---- directories whose cache is old ---- */

void view_mark_dir(struct view *v, uint64_t dir)
{
	uint64_t bit = dir - 1;

	if (bit >= v->nbits)
		return;
	v->nokeep[bit / BITS] |= 1ULL << bit % BITS;
	for (size_t i = v->nr_stale; i > 0 && i + 8 > v->nr_stale; i--)
		if (v->stale[i - 1] == dir)
			return;
	if (v->nr_stale == v->max_stale) {
		size_t max = v->max_stale ? 2 * v->max_stale : 64;
		uint64_t *p = realloc(v->stale, max * sizeof(*p));

		if (!p)
			return;		/* opendir will see to it, by nokeep */
		v->stale = p;
		v->max_stale = max;
	}
	v->stale[v->nr_stale++] = dir;
}

bool view_take_nokeep(struct view *v, uint64_t nodeid)
{
	uint64_t bit = nodeid - 1, mask = 1ULL << bit % BITS;
	bool old = false;

	if (bit >= v->nbits)
		return false;
	if (__atomic_load_n(&v->nokeep[bit / BITS], __ATOMIC_RELAXED) & mask) {
		pthread_rwlock_wrlock(&v->lock);
		old = v->nokeep[bit / BITS] & mask;
		v->nokeep[bit / BITS] &= ~mask;
		pthread_rwlock_unlock(&v->lock);
	}
	return old;
}

/* ---- its life ---- */

void view_die(struct view *v, const char *why)
{
	if (atomic_exchange(&v->phase, VIEW_DEAD) == VIEW_DEAD)
		return;
	v->state->dead = 1;
	slotmap_kill(v->map);
	atomic_store(&v->kill_pending, true);
	daemon_log(LOG_ERR, "file system is dead, unmount it: %s", why);
}

void view_adopt_dead(struct view *v, const char *why)
{
	v->blind = true;
	v->state->dead = 1;
	if (v->map)
		slotmap_kill(v->map);
	atomic_store(&v->phase, VIEW_DEAD);
	atomic_store(&v->kill_pending, true);
	daemon_log(LOG_ERR, "file system is dead, unmount it: %s", why);
}

int view_go_live(struct view *v, struct session_msg *msg)
{
	int err;

	v->generation = famfs_generation(v->fs->super.uuid);
	v->nbits = v->fs->header.slots + 1;
	v->nokeep = malloc((v->nbits / BITS + 1) * sizeof(*v->nokeep));
	if (!v->nokeep) {
		session_say(msg, "out of memory");
		return -ENOMEM;
	}
	/* What the kernel cached under a predecessor is anybody's guess. */
	memset(v->nokeep, 0xff, (v->nbits / BITS + 1) * sizeof(*v->nokeep));
	atomic_store(&v->phase, VIEW_LIVE);

	if (v->super_fd >= 0) {
		err = view_read_head(v, &v->head);
		if (err) {
			session_say(msg, "%s: cannot read the log's head: %s",
				    v->params->dev_path[0], strerror(-err));
			return err;
		}
	}
	return 0;
}

void view_go_blind(struct view *v)
{
	pthread_mutex_lock(&v->writer);
	pthread_rwlock_wrlock(&v->fd_lock);
	v->blind = true;
	if (v->log_map)
		munmap(v->log_map, v->fs->super.log_len);
	v->log_map = NULL;
	v->super_fd = -1;
	v->log_fd = -1;
	pthread_rwlock_unlock(&v->fd_lock);
	pthread_mutex_unlock(&v->writer);
}

/* ---- what requests ask ---- */

static int boot_lookup(struct view *v, uint64_t parent, const char *name, uint64_t *ret_nodeid)
{
	if (parent == FAMFS_NODEID_ROOT && !strcmp(name, ".meta"))
		*ret_nodeid = FAMFS_NODEID_META;
	else if (parent == FAMFS_NODEID_META && !strcmp(name, ".superblock"))
		*ret_nodeid = FAMFS_NODEID_SUPER;
	else if (parent == FAMFS_NODEID_META && !strcmp(name, ".log") && v->boot_log_len)
		*ret_nodeid = FAMFS_NODEID_LOG;
	else
		return -ENOENT;
	return 0;
}

static int boot_getattr(struct view *v, uint64_t nodeid, struct famfs_attr *ret)
{
	*ret = (struct famfs_attr){ .nodeid = nodeid, .nlink = 1, .mode = S_IFREG | 0444 };
	switch (nodeid) {
	case FAMFS_NODEID_ROOT:
	case FAMFS_NODEID_META:
		ret->mode = S_IFDIR | 0755;
		ret->nlink = 2;
		return 0;
	case FAMFS_NODEID_SUPER:
		ret->size = FAMFS_SUPER_AREA;
		return 0;
	case FAMFS_NODEID_LOG:
		ret->size = v->boot_log_len;
		return ret->size ? 0 : -ENOENT;
	}
	return -ENOENT;
}

int view_lookup(struct view *v, uint64_t parent, const char *name, uint64_t *ret_nodeid)
{
	struct famfs_attr attr;
	int err = 0;

	switch ((enum view_phase)atomic_load(&v->phase)) {
	case VIEW_DEAD:
		return -EIO;
	case VIEW_BOOT:
		return boot_lookup(v, parent, name, ret_nodeid);
	case VIEW_LIVE:
		break;
	}
	pthread_rwlock_rdlock(&v->lock);
	if (!strcmp(name, ".")) {		/* a file handle: nodeids are for ever */
		err = famfs_ns_getattr(v->fs->ns, parent, &attr);
		*ret_nodeid = parent;
	} else if (!strcmp(name, "..")) {
		err = famfs_ns_getattr(v->fs->ns, parent, &attr);
		*ret_nodeid = attr.parent;
	} else {
		err = famfs_ns_lookup(v->fs->ns, parent, name, strlen(name), ret_nodeid);
	}
	pthread_rwlock_unlock(&v->lock);
	return err;
}

int view_getattr(struct view *v, uint64_t nodeid, struct stat *ret)
{
	struct famfs_attr attr;
	int err;

	switch ((enum view_phase)atomic_load(&v->phase)) {
	case VIEW_DEAD:
		/* The root must answer, or umount(8) could not name it. */
		if (nodeid != FAMFS_NODEID_ROOT)
			return -EIO;
		err = boot_getattr(v, nodeid, &attr);
		break;
	case VIEW_BOOT:
		err = boot_getattr(v, nodeid, &attr);
		break;
	default:
		pthread_rwlock_rdlock(&v->lock);
		err = famfs_ns_getattr(v->fs->ns, nodeid, &attr);
		pthread_rwlock_unlock(&v->lock);
	}
	if (err)
		return err;

	memset(ret, 0, sizeof(*ret));
	ret->st_ino = nodeid;
	ret->st_mode = attr.mode;
	if (S_ISREG(attr.mode) && !v->params->suid)
		ret->st_mode &= (mode_t) ~(S_ISUID | S_ISGID);
	ret->st_nlink = attr.nlink;
	ret->st_uid = attr.uid;
	ret->st_gid = attr.gid;
	ret->st_size = (off_t)attr.size;
	ret->st_blocks = (blkcnt_t)((attr.allocated ? attr.allocated : attr.size) / 512);
	/* A hint for read and write sizes; mappings are of pages anyway. */
	ret->st_blksize = v->fs ? (blksize_t)v->fs->super.alloc_unit : 4096;
	ret->st_atime = v->state->mount_time;
	ret->st_mtime = v->state->mount_time;
	ret->st_ctime = v->state->mount_time;
	return 0;
}
