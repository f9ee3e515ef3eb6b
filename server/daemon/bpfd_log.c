// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading and playing the log. The view is what the log says, played so far; it only
 * grows. Whoever plays publishes the slots of new files before a lookup can find
 * them. If the device comes to hold another file system, everything dies.
 *
 * The log is read with pread() on files of a private mount: media that fail, or
 * a connection that ends, are an error then, not a signal. In upcall mode each such
 * read makes requests that a session thread must answer, and that thread may be about
 * to wait for view.lock. So nothing is read under that lock: what is new is first
 * copied into a snapshot, then played from there.
 */
#include "worker.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uuid/uuid.h>

#define ENTRY_SIZE	sizeof(struct famfs_media_entry)
/* Entries that are played in one go; bounds the memory of a snapshot (2 MiB). */
#define SNAPSHOT_MAX	4096U

/* ---- reading ---- */

/* Not under view.lock. */
static int log_pread(struct view *v, uint64_t offset, void *buf, size_t len)
{
	bool log = offset >= FAMFS_LOG_OFFSET;
	uint64_t base = log ? FAMFS_LOG_OFFSET : 0;
	size_t got = 0;
	int err = 0;

	pthread_rwlock_rdlock(&v->fd_lock);
	while (!err && got < len) {
		ssize_t n = pread(log ? v->log_fd : v->super_fd, (char *)buf + got, len - got,
				  (off_t)(offset - base + got));

		if (n > 0)
			got += (size_t)n;
		else if (!n || errno != EINTR)
			err = n ? -errno : -EIO;
	}
	pthread_rwlock_unlock(&v->fd_lock);
	return err;
}

static int snapshot_read(const struct view_snapshot *s, uint64_t offset, void *buf, size_t len)
{
	uint64_t first = FAMFS_SLOT_OFFSET(s->first);

	if (offset + len <= sizeof(s->super))
		memcpy(buf, s->super + offset, len);
	else if (s->log_map && offset >= FAMFS_LOG_OFFSET)
		memcpy(buf, s->log_map + (offset - FAMFS_LOG_OFFSET), len);
	else if (offset >= FAMFS_LOG_OFFSET && offset + len <= FAMFS_LOG_OFFSET + sizeof(s->header))
		memcpy(buf, (const uint8_t *)&s->header + (offset - FAMFS_LOG_OFFSET), len);
	else if (offset >= first && offset + len <= first + s->count * ENTRY_SIZE)
		memcpy(buf, s->entries + (offset - first), len);
	else
		return -EIO;
	return 0;
}

/* For the media library; with a snapshot from there and nowhere else. */
static int media_read(const struct famfs_media *m, uint64_t offset, void *buf, size_t len)
{
	struct view *v = m->ctx;

	if (v->snapshot)
		return snapshot_read(v->snapshot, offset, buf, len);
	return log_pread(v, offset, buf, len);
}

void view_media(struct view *v, struct famfs_media *ret)
{
	*ret = (struct famfs_media){
		.name = v->params->dev_path[0],
		.size = v->params->dev_size[0],
		.read = media_read,
		.ctx = v,
		.fd = -1,
		.log_fd = -1,
	};
}

static void view_report(void *ctx, const struct famfs_error *err)
{
	char text[FAMFS_ERROR_TEXT_MAX];

	(void)ctx;
	daemon_log(LOG_WARNING, "log: entry left out: %s",
		   famfs_error_text(err, text, sizeof(text)));
}

/*
 * A bad entry at the end is no reason for a predecessor to stop, nor for a successor:
 * what comes before it is served, and it is tried again. Unless it was played before:
 * then names that somebody uses would not be found.
 */
static int check_prefix(struct view *v, const struct famfs_error *fe, struct session_msg *msg)
{
	char text[FAMFS_ERROR_TEXT_MAX];
	int err = v->fs->open_err;

	famfs_error_text(fe, text, sizeof(text));
	if (v->fs->played < v->state->played) {
		session_say(msg, "%s; it was played before", text);
		famfs_fs_free(v->fs);
		v->fs = NULL;
		return err;
	}
	v->play_err = err;
	daemon_log(LOG_ERR, "log: cannot play: %s; keeping what was played before", text);
	return 0;
}

/* A successor: is what was loaded, or could not be, still what is mounted? */
static int check_loaded(struct view *v, int err, const struct famfs_error *fe,
			struct session_msg *msg)
{
	char uuid[37];

	if (!v->state->ready)
		return err;
	if (!err && memcmp(v->fs->super.uuid, v->state->uuid, FAMFS_UUID_LEN)) {
		uuid_unparse_lower(v->fs->super.uuid, uuid);
		session_say(msg, "%s: holds another file system, %s", v->params->dev_path[0], uuid);
		famfs_fs_free(v->fs);
		v->fs = NULL;
		return -ESTALE;
	}
	if (!err && v->fs->open_err)
		return check_prefix(v, fe, msg);
	/* A superblock that is none any more is not the one that was mounted. */
	return err && err != -EIO && err != -ENOMEM && fe->object == FAMFS_OBJ_SUPER ? -ESTALE
										     : err;
}

int view_load(struct view *v, struct session_msg *msg)
{
	unsigned int flags = FAMFS_OPEN_ALLOC;
	struct famfs_media media;
	struct famfs_error fe;
	char text[FAMFS_ERROR_TEXT_MAX];
	int err;

	if (v->params->recover)
		flags |= FAMFS_OPEN_RECOVER;
	if (v->state->ready)
		flags |= FAMFS_OPEN_PREFIX;
	view_media(v, &media);
	err = famfs_fs_open(&media, flags, view_report, v, &v->fs, &fe);
	if (err) {
		session_say(msg, "%s%s", famfs_error_text(&fe, text, sizeof(text)),
			    fe.object == FAMFS_OBJ_ENTRY && !v->params->recover &&
					    fe.verdict == FAMFS_REFUSE && err != -EIO &&
					    err != -ENOMEM
				    ? "; -o ro,recover mounts what comes before it"
				    : "");
	}
	err = check_loaded(v, err, &fe, msg);
	if (err)
		return err;
	if (v->fs->recovered)
		daemon_log(LOG_WARNING, "log: mounted up to a bad entry, read-only: %s",
			   famfs_error_text(&v->fs->recovered_err, text, sizeof(text)));
	return 0;
}

int view_read_head(struct view *v, struct view_head *ret)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	err = log_pread(v, FAMFS_SUPER_OFFSET, ret->super, sizeof(ret->super));
	if (!err)
		err = log_pread(v, FAMFS_LOG_OFFSET, &ret->header, sizeof(ret->header));
	if (!err && v->fs->played) {
		err = log_pread(v, FAMFS_SLOT_OFFSET(0), ret->entry, sizeof(ret->entry));
		ret->has_entry = true;
	}
	return err;
}

/*
 * What is to be played next. *ret_more: there will be more than fits. A next_index that
 * makes no sense is left for the decoder to refuse.
 */
static int snapshot_take(struct view *v, struct view_snapshot *s, bool *ret_more)
{
	uint64_t next;
	int err;

	memset(s, 0, sizeof(*s));
	*ret_more = false;
	err = log_pread(v, FAMFS_SUPER_OFFSET, s->super, sizeof(s->super));
	if (!err)
		err = log_pread(v, FAMFS_LOG_OFFSET, &s->header, sizeof(s->header));
	if (err)
		return err;

	next = le64toh(s->header.next_index);
	s->first = v->fs->played;
	if (next <= s->first || next > v->fs->header.slots)
		return 0;
	if (next - s->first > SNAPSHOT_MAX) {
		next = s->first + SNAPSHOT_MAX;
		s->header.next_index = htole64(next);
		s->header.next_seqnum = htole64(next);
		*ret_more = true;
	}
	s->count = next - s->first;
	s->entries = malloc(s->count * ENTRY_SIZE);
	if (!s->entries)
		return -ENOMEM;
	err = log_pread(v, FAMFS_SLOT_OFFSET(s->first), s->entries, s->count * ENTRY_SIZE);
	if (err) {
		free(s->entries);
		s->entries = NULL;
	}
	return err;
}

/* ---- publishing ---- */

static void publish_one(struct view *v, uint64_t nodeid)
{
	static struct daemon_log_limit limit;
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap fmap;
	struct famfs_attr attr;
	char path[128];
	int err;

	if (!famfs_ns_getattr(v->fs->ns, nodeid, &attr))
		view_mark_dir(v, attr.parent);
	if (famfs_ns_fmap(v->fs->ns, nodeid, &fmap, room))
		return;
	err = slotmap_publish(v->map, nodeid, &fmap, &v->devs);
	if (!err)
		return;
	if (famfs_ns_path(v->fs->ns, nodeid, path, sizeof(path)))
		path[0] = '\0';
	daemon_log_limited(&limit, LOG_ERR,
			   "cannot publish '%s' (nodeid %llu): %s; its data "
			   "answer EIO",
			   path, (unsigned long long)nodeid,
			   err == -ENODEV ? "a device of it is not registered; mount with "
					    "-o dev=N:PATH"
					  : strerror(-err));
}

void view_publish_from(struct view *v, uint64_t played)
{
	for (uint64_t i = played; i < v->fs->played; i++)
		publish_one(v, i + FAMFS_NODEID_FIRST);
	v->state->played = v->fs->played;
}

/* ---- playing ---- */

/* Is the error of a play, or what it left unnoticed, another file system? */
static bool is_remade(struct view *v, const struct view_head *head, int err,
		      const struct famfs_error *fe, char *text, size_t size)
{
	if (!err) {
		if (!v->head.has_entry || !head->has_entry ||
		    !memcmp(v->head.entry, head->entry, sizeof(head->entry)))
			return false;
		snprintf(text, size, "%s: entry 0 of the log changed", v->params->dev_path[0]);
		return true;
	}
	famfs_error_text(fe, text, size);
	/* A superblock that is none any more is not the one that was mounted. */
	return err == -ESTALE || (fe->object == FAMFS_OBJ_SUPER && err != -EIO);
}

/* Under writer. Return: 0, or -errno with text; dead or not. */
static int play_some(struct view *v, const struct view_head *head, bool *ret_more, char *text,
		     size_t size)
{
	struct view_snapshot snapshot;
	struct famfs_error fe;
	uint64_t played;
	int err;

	err = snapshot_take(v, &snapshot, ret_more);
	if (err) {
		snprintf(text, size, "%s: cannot read the log: %s", v->params->dev_path[0],
			 strerror(-err));
		return err;
	}
	pthread_rwlock_wrlock(&v->lock);
	v->snapshot = &snapshot;
	played = v->fs->played;
	err = famfs_fs_play(v->fs, &fe);
	v->snapshot = NULL;
	if (is_remade(v, head, err, &fe, text, size)) {
		view_die(v, text);
		err = -ESTALE;
	} else {
		view_publish_from(v, played);
	}
	pthread_rwlock_unlock(&v->lock);
	free(snapshot.entries);
	return err;
}

/* Under writer. Return: as view_refresh(). */
static int play(struct view *v)
{
	static struct daemon_log_limit limit;
	uint64_t played = v->fs->played;
	char text[FAMFS_ERROR_TEXT_MAX];
	struct view_head head;
	bool more = false;
	int err;

	err = view_read_head(v, &head);
	if (err)
		return err;
	do {
		err = play_some(v, &head, &more, text, sizeof(text));
	} while (!err && more);

	pthread_rwlock_wrlock(&v->lock);
	if (!err)
		v->head = head;
	v->play_err = err;
	pthread_rwlock_unlock(&v->lock);

	if (err && err != -ESTALE)
		daemon_log_limited(&limit, LOG_ERR,
				   "log: cannot play: %s; keeping what was "
				   "played before",
				   text);
	if (err)
		return -EIO;
	atomic_store(&v->appended_ms, view_now_ms());
	return v->fs->played > played;
}

static int head_moved(struct view *v, bool *ret_moved)
{
	struct view_head head;
	int err;

	err = view_read_head(v, &head);
	if (err)
		return err;
	pthread_rwlock_rdlock(&v->lock);
	*ret_moved = memcmp(head.super, v->head.super, sizeof(head.super)) ||
		     memcmp(&head.header, &v->head.header, sizeof(head.header)) ||
		     memcmp(head.entry, v->head.entry, sizeof(head.entry)) || v->play_err;
	pthread_rwlock_unlock(&v->lock);
	return 0;
}

static void wake(struct view *v)
{
	uint64_t one = 1;

	/* Cannot fail but when it is awake already. */
	if (write(v->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static int refresh_now(struct view *v)
{
	bool moved;
	int err;

	if (atomic_load(&v->phase) == VIEW_DEAD)
		return -EIO;
	if (v->blind || v->fs->recovered)
		return 0;
	/* Without the lock first: misses of many threads must not queue up. */
	err = head_moved(v, &moved);
	if (err)
		return v->blind ? 0 : -EIO;
	if (!moved)
		return 0;

	pthread_mutex_lock(&v->writer);
	if (atomic_load(&v->phase) == VIEW_DEAD)
		err = -EIO;
	else if (!v->blind)
		err = play(v);
	pthread_mutex_unlock(&v->writer);
	if (err > 0 || atomic_load(&v->kill_pending))
		wake(v);
	return err;
}

/*
 * Upcall mode: reading the log makes requests, which some thread must be free to
 * answer. So handlers do not read: the main loop does, and one thread never waits.
 */
static int refresh_ask(struct view *v)
{
	uint64_t mine;
	int err = 0;

	pthread_mutex_lock(&v->ask_lock);
	if (v->waiting + 1 < v->params->threads) {
		v->waiting++;
		mine = ++v->asked;
		wake(v);
		while (v->answered < mine)
			pthread_cond_wait(&v->ask_cond, &v->ask_lock);
		err = v->answer;
		v->waiting--;
	}
	pthread_mutex_unlock(&v->ask_lock);
	return err;
}

int view_refresh(struct view *v, bool handler)
{
	uint64_t asked;
	int err;

	if (atomic_load(&v->phase) == VIEW_BOOT)
		return 0;
	if (v->params->mode == MODE_UPCALL && handler)
		return refresh_ask(v);

	pthread_mutex_lock(&v->ask_lock);
	asked = v->asked;
	pthread_mutex_unlock(&v->ask_lock);

	err = refresh_now(v);

	pthread_mutex_lock(&v->ask_lock);
	if (asked > v->answered) {
		v->answered = asked;
		v->answer = err;
		pthread_cond_broadcast(&v->ask_cond);
	}
	pthread_mutex_unlock(&v->ask_lock);
	return err;
}

/* ---- telling the kernel ---- */

/*
 * What is mapped is unmapped, also where the kernel says -EBUSY since somebody has a page
 * pinned, or reads: that ends with whoever does it, and the slots are dead.
 */
static void notify_all(struct view *v, struct session *s)
{
	/* All that there can be: a successor does not know how many its predecessor had. */
	uint64_t n = v->state->nr_slots;

	for (uint64_t i = 0; i < n; i++)
		session_inval_inode(s, i + FAMFS_NODEID_FIRST);
	for (uint32_t i = 0; i < v->state->ndevs + 2; i++)
		session_inval_inode(s, FAMFS_NODEID_RESERVED + i);
	session_inval_inode(s, FAMFS_NODEID_ROOT);
	session_inc_epoch(s);
}

void view_notify(struct view *v, struct session *s)
{
	uint64_t *stale;
	size_t n;

	if (atomic_exchange(&v->kill_pending, false))
		notify_all(v, s);

	pthread_rwlock_wrlock(&v->lock);
	stale = v->stale;
	n = v->nr_stale;
	v->stale = NULL;
	v->nr_stale = 0;
	v->max_stale = 0;
	pthread_rwlock_unlock(&v->lock);
	for (size_t i = 0; i < n; i++)
		session_inval_inode(s, stale[i]);
	free(stale);
}
