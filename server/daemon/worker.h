/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * famfs-bpfd, the worker: what its parts share.
 *
 *	bpfd.c		main: start, adoption, the loop, the end
 *	bpfd_params.c	options from mount.famfs; the state that a successor needs
 *	bpfd_view.c	the file system as it is served
 *	bpfd_log.c	reading and playing its log, publishing slots
 *	bpfd_append.c	appending to it
 *	bpfd_ops.c	FUSE requests
 *	bpfd_ctl.c	control socket: appends and status
 *
 * Threads: the session's (requests), one that waits for the session's end, the
 * main loop (signals, mount table, watching the log), one per control connection.
 *
 * Locks, in this order:
 *	view.writer	who plays, appends, closes the log; protects snapshot, log_map
 *	view.fd_lock	rwlock: super_fd, log_fd; held while they are read
 *	view.lock	rwlock: namespace, alloc, head, old directories. Nothing is read
 *			from the mount under it
 * Slots are read by the kernel's program without any. No notification is written
 * under a lock: it can wait for a request that a handler must answer.
 */
#ifndef FAMFS_WORKER_H
#define FAMFS_WORKER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "daemon_log.h"
#include "famfs_log.h"
#include "hold.h"
#include "mount_options.h"
#include "session.h"
#include "slotmap.h"

/* ---- options and state ---- */

struct worker_params {
	enum mount_mode mode;
	bool recover;
	bool suid;
	bool debug;
	bool foreground;
	unsigned int poll_ms;
	unsigned int threads;
	uint32_t ndevs;
	char dev_path[FAMFS_MAX_DEVS][DEVICE_PATH_MAX];
	uint64_t dev_size[FAMFS_MAX_DEVS];
};

#define WORKER_STATE_MAGIC	0x66616d7362706664ULL
#define WORKER_STATE_VERSION	3

/* In a memfd that the holder keeps. Written before READY, then only by one worker. */
struct worker_state {
	uint64_t magic;
	uint32_t version;
	uint32_t ndevs;
	uint32_t dev_id[FAMFS_MAX_DEVS];	/* kernel's ids, by index on media */
	uint8_t uuid[FAMFS_UUID_LEN];
	uint64_t sb;			/* dev_t of the superblock */
	uint64_t log_len;
	uint64_t alloc_unit;
	uint64_t nr_slots;		/* of the log */
	uint64_t played;		/* entries whose files are published */
	int64_t mount_time;		/* s; time stamps of all inodes */
	uint32_t master;		/* this host may append */
	uint32_t starts;		/* of workers, this one included */
	uint32_t dead;			/* the file system was made anew */
	uint32_t ready;			/* said so: there is something to be restarted */
	struct session_init init;
};

int worker_params_read(int fd, struct worker_params *ret, struct session_msg *msg);
int worker_state_make(int *ret_fd, struct worker_state **ret, struct session_msg *msg);
int worker_state_map(int fd, struct worker_state **ret, struct session_msg *msg);

/* ---- the file system as it is served ---- */

enum view_phase {
	VIEW_BOOT,		/* only the files of .meta, by nodeid, not cached */
	VIEW_LIVE,
	VIEW_DEAD,		/* made anew: EIO for everything */
};

/* What tells one file system from another, and one log head from the next. */
struct view_head {
	uint8_t super[sizeof(struct famfs_media_super)];
	struct famfs_media_log_header header;
	uint8_t entry[sizeof(struct famfs_media_entry)];	/* the first, if played */
	bool has_entry;
};

/* A copy of the media, good for one play. */
struct view_snapshot {
	uint8_t super[sizeof(struct famfs_media_super)];
	struct famfs_media_log_header header;
	uint64_t first;			/* of entries */
	uint64_t count;
	uint8_t *entries;
	const uint8_t *log_map;		/* or the log as a whole, mapped */
};

struct view {
	const struct worker_params *params;
	struct worker_state *state;

	atomic_int phase;		/* enum view_phase; DEAD is for good */
	uint32_t generation;
	struct famfs_fs *fs;		/* NULL in BOOT */
	struct slotmap *map;
	struct slotmap_devs devs;

	/* The log, through the private mount. Closed when nothing is mounted. */
	pthread_mutex_t writer;
	pthread_rwlock_t fd_lock;
	const struct view_snapshot *snapshot;
	int super_fd;
	int log_fd;
	bool blind;			/* closed: nothing new can be learned */
	void *log_map;			/* for appends */
	uint64_t boot_log_len;		/* 0 until the superblock was read */
	int play_err;			/* of the last play; logged when it changes */

	pthread_rwlock_t lock;
	struct view_head head;		/* as of the last play */
	/* One bit per directory, by nodeid - 1. */
	uint64_t *nokeep;		/* the kernel's cache of it is old */
	uint64_t nbits;
	/* Directories to be invalidated, by whoever is no handler. */
	uint64_t *stale;
	size_t nr_stale;
	size_t max_stale;
	atomic_bool kill_pending;	/* DEAD was found by a handler */

	/* Upcall mode: handlers have the main loop look at the log. */
	pthread_mutex_t ask_lock;
	pthread_cond_t ask_cond;
	uint64_t asked;
	uint64_t answered;
	int answer;
	unsigned int waiting;
	int wake_fd;			/* eventfd of the main loop */
	_Atomic int64_t played_ms;	/* when it was last looked at */
	_Atomic int64_t appended_ms;	/* when something new was last found */
};

int view_init(struct view *v, const struct worker_params *params, struct worker_state *state,
	      int wake_fd);

/** view_media() - reads through super_fd and log_fd */
void view_media(struct view *v, struct famfs_media *ret);

/** view_open_files() - open .meta/.superblock and .meta/.log below a mount */
int view_open_files(struct view *v, int mnt_fd, bool write, struct session_msg *msg);

/**
 * view_load() - famfs_fs_open(), with the errors of the media in words
 *
 * Return: 0 or -errno; -ESTALE in a successor whose device holds another file system.
 */
int view_load(struct view *v, struct session_msg *msg);

/** view_go_live() - after load, with map and devs set */
int view_go_live(struct view *v, struct session_msg *msg);

/** view_die() - the device holds another file system. Under lock */
void view_die(struct view *v, const char *why);

/** view_adopt_dead() - likewise in a successor: whatever it did not get to do, again */
void view_adopt_dead(struct view *v, const char *why);

/** view_go_blind() - let go of super_fd and log_fd; the caller closes them */
void view_go_blind(struct view *v);

/** view_read_head() - 0 and what is there now, or the error of reading. Not under lock */
int view_read_head(struct view *v, struct view_head *ret);

/** view_publish_from() - slots of entries played since. Under lock, for writing */
void view_publish_from(struct view *v, uint64_t played);

/** view_mark_dir() - the kernel's cache of this directory is old. Under lock */
void view_mark_dir(struct view *v, uint64_t dir);

/** view_refresh() - look at the log's head, play what is new.
 *
 * From a handler, and from others. Return: 0 nothing new; 1 something was played;
 * -errno. -EIO when dead.
 */
int view_refresh(struct view *v, bool handler);

/** view_notify() - invalidate what refresh and appends left to be; not in a handler */
void view_notify(struct view *v, struct session *s);

/** view_append() - on behalf of a tool; entry->path etc. are filled in */
int view_append(struct view *v, struct famfs_entry *entry, const struct famfs_layout *layout,
		uint64_t *ret_nodeid, struct session_msg *msg);

int view_lookup(struct view *v, uint64_t parent, const char *name, uint64_t *ret_nodeid);
int view_getattr(struct view *v, uint64_t nodeid, struct stat *ret);
/** view_take_nokeep() - is the kernel's cache of this directory old? Clears it */
bool view_take_nokeep(struct view *v, uint64_t nodeid);

int64_t view_now_ms(void);

/* ---- the worker ---- */

struct worker {
	struct worker_params params;
	struct worker_state *state;
	struct view view;
	struct session *session;
	int fuse_fd;
	int setup;		/* socket to mount.famfs, -1 later */
	int mnt_fd;		/* the private mount, -1 when let go */
	int wake_fd;
	int signal_fd;
	int mountinfo_fd;
	int ctl_fd;		/* listening */
	int lock_fd;
	bool attached;		/* was visible: when it is no more, let go */
	bool made_run_dir;
	bool pinned;
	unsigned int signals;
	atomic_bool session_ended;
	const char *instance;	/* of the service manager's unit, or NULL */
	bool first;		/* nobody served this connection before */
	pthread_t waiter;
	unsigned int poll_ms;	/* now */
};

extern const struct fuse_lowlevel_ops worker_ops;

/** worker_iomap_begin() - FUSE_IOMAP_BEGIN */
int worker_iomap_begin(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
		       struct fuse_iomap_io *out);
void worker_dev_event(void *userdata, const struct fuse_iomap_dev_event_in *in);

/** ctl_open() - lock the uuid, make run directory and control socket */
int ctl_lock(struct worker *w, struct session_msg *msg);
int ctl_listen(struct worker *w, struct session_msg *msg);
int ctl_start(struct worker *w, struct session_msg *msg);
void ctl_close(struct worker *w);

/** ctl_find_instance() - superblock that the unit of a service manager serves */
int ctl_find_instance(const char *instance, dev_t *ret_sb);

#endif /* FAMFS_WORKER_H */
