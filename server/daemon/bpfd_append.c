// SPDX-License-Identifier: GPL-2.0-only
/*
 * Appending to the log on behalf of tools. The stores go through a mapping, because
 * they must be flushed, and everything that the library reads back comes from there.
 * The mapping is populated before view.lock is taken: in upcall mode a fault needs a
 * session thread. Media that fail under us raise SIGBUS; it ends the append, not us.
 */
#include "worker.h"

#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static _Thread_local sigjmp_buf append_jump;
static _Thread_local volatile sig_atomic_t append_guard;

static void append_sigbus(int sig)
{
	if (append_guard)
		siglongjmp(append_jump, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

/* The media may fail, or the connection end, while we store. */
static int append_guarded(struct view *v, const struct famfs_log_store *store,
			  struct famfs_entry *entry, const struct famfs_layout *layout,
			  struct famfs_error *fe)
{
	int err;

	if (sigsetjmp(append_jump, 1)) {
		append_guard = 0;
		memset(fe, 0, sizeof(*fe));
		return -EIO;
	}
	append_guard = 1;
	if (entry->type == FAMFS_ENTRY_FILE)
		err = famfs_fs_create(v->fs, store, layout, entry, fe);
	else
		err = famfs_fs_append(v->fs, store, entry, fe);
	append_guard = 0;
	return err;
}

static int map_log(struct view *v, struct session_msg *msg)
{
	struct sigaction sa = { .sa_handler = append_sigbus };
	void *p;
	int err;

	if (v->log_map)
		return 0;
	if (sigaction(SIGBUS, &sa, NULL))
		return -errno;
	p = mmap(NULL, v->fs->super.log_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		 v->log_fd, 0);
	if (p == MAP_FAILED) {
		err = -errno;
		session_say(msg, "cannot map the log: %s", strerror(-err));
		return err;
	}
	v->log_map = p;
	return 0;
}

static int check(const struct view *v, struct session_msg *msg)
{
	if (v->state->dead) {
		session_say(msg,
			    "Input/output error: another file system was made on %s; unmount "
			    "this one",
			    v->params->dev_path[0]);
		return -EIO;
	}
	if (v->blind || atomic_load(&v->phase) != VIEW_LIVE) {
		session_say(msg, "the file system is being unmounted");
		return -ENOTCONN;
	}
	if (!v->state->master) {
		session_say(msg, "not running on the master: another host made the file system");
		return -EPERM;
	}
	return 0;
}

/*
 * sync(2) takes the right to write away from what is mapped. Once more, as long as no
 * lock is held: header, and the slot that is next.
 */
static void populate(const struct view *v)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	uint64_t at[] = { FAMFS_LOG_OFFSET, FAMFS_SLOT_OFFSET(v->fs->played) };
	uint64_t len[] = { sizeof(struct famfs_media_log_header),
			   sizeof(struct famfs_media_entry) };

	for (int i = 0; i < 2; i++) {
		uint64_t start = at[i] - FAMFS_LOG_OFFSET, end = start + len[i];

		if (end > v->fs->super.log_len)
			continue;
		start &= ~page;
		/* If it fails, so does the store */
		madvise((char *)v->log_map + start, end - start, MADV_POPULATE_WRITE);
	}
}

/* Under writer. */
static int append(struct view *v, struct famfs_entry *entry, const struct famfs_layout *layout,
		  struct session_msg *msg)
{
	struct view_snapshot snapshot = { 0 };
	struct famfs_log_store store = { 0 };
	char text[FAMFS_ERROR_TEXT_MAX];
	struct famfs_error fe = { 0 };
	struct view_head head;
	uint64_t played;
	int err;

	err = check(v, msg);
	if (!err)
		err = map_log(v, msg);
	if (!err)
		err = view_read_head(v, &head);
	if (err)
		return err;
	populate(v);
	memcpy(snapshot.super, head.super, sizeof(snapshot.super));
	snapshot.log_map = v->log_map;
	store.log = v->log_map;
	store.len = v->fs->super.log_len;

	pthread_rwlock_wrlock(&v->lock);
	v->snapshot = &snapshot;
	played = v->fs->played;
	err = append_guarded(v, &store, entry, layout, &fe);
	v->snapshot = NULL;
	if (err == -ESTALE)
		view_die(v, famfs_error_text(&fe, text, sizeof(text)));
	else
		view_publish_from(v, played);
	pthread_rwlock_unlock(&v->lock);
	atomic_store(&v->appended_ms, view_now_ms());
	if (err) {
		session_say(msg, "%s",
			    fe.err ? famfs_error_text(&fe, text, sizeof(text))
				   : "the media failed under the append; its outcome is not known");
		return err;
	}
	if (!view_read_head(v, &head)) {
		pthread_rwlock_wrlock(&v->lock);
		v->head = head;
		pthread_rwlock_unlock(&v->lock);
	}
	return 0;
}

int view_append(struct view *v, struct famfs_entry *entry, const struct famfs_layout *layout,
		uint64_t *ret_nodeid, struct session_msg *msg)
{
	int err;

	pthread_mutex_lock(&v->writer);
	err = append(v, entry, layout, msg);
	pthread_mutex_unlock(&v->writer);
	if (!err)
		*ret_nodeid = entry->index + FAMFS_NODEID_FIRST;
	return err;
}
