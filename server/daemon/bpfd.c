// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-bpfd, the worker that serves one famfs mount. Started by famfs-holder or by
 * a service manager, with fds in place of arguments (server/lib/hold.h); it never
 * mounts. See docs/operations.md.
 *
 * A first start and a restart are the same but for where things come from:
 *
 *	first	negotiate INIT; register devices; answer mappings of superblock and log
 *		from a table of one slot; read both; load the whole table, swap it in, pin
 *	again	INIT, ids, pinned tables from the predecessor; read superblock and log
 *	both	listen, say ready, drop privileges, serve
 *
 * Exit status: 0 the connection ended and nothing is left behind; 1 otherwise, then
 * whoever holds the fds starts the next one; 3 if it never was ready: then there is
 * nothing to be restarted (RestartPreventExitStatus= of the unit).
 */
#include "worker.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

/* How often a start looks whether mount.famfs is still there. */
#define SETUP_LOOK_MS	50
/* The log is looked at less often when nothing was found in it for a while. */
#define IDLE_AFTER_MS	10000
#define IDLE_POLL_MS	1000
/* How long a stopped unit waits for open files. */
#define STOP_WAIT_MS	10000

/* ---- privileges ---- */

/* Each thread has its own set. Keeps uid 0, to whom pins and sockets belong. */
static void drop_privileges(void *userdata)
{
	(void)userdata;
	capng_clear(CAPNG_SELECT_BOTH);
	/* A restarted worker may not touch the bounding set; it has no need to. */
	if (capng_apply(CAPNG_SELECT_BOTH) && capng_apply(CAPNG_SELECT_CAPS))
		daemon_log(LOG_WARNING, "cannot drop capabilities; continuing with them");
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* ---- starting ---- */

/* What is served while a successor still loads: the log itself. */
static bool early(void *userdata, uint32_t opcode, uint64_t nodeid)
{
	(void)userdata;
	return opcode == FUSE_IOMAP_BEGIN && nodeid >= FAMFS_NODEID_SUPER;
}

static int make_session(struct worker *w, const struct session_init *adopt, struct session_msg *msg)
{
	struct session_config config = {
		.name = "famfs-bpfd",
		.ops = &worker_ops,
		.userdata = w,
		.methods = w->params.mode == MODE_BPF ? FUSE_IOMAP_METHOD_BPF
						      : FUSE_IOMAP_METHOD_UPCALL,
		.iomap_begin = w->params.mode == MODE_UPCALL ? worker_iomap_begin : NULL,
		.dev_event = worker_dev_event,
		.thread_start = drop_privileges,
		.early = early,
		.threads = w->params.threads,
		.adopt = adopt,
		.debug = w->params.debug,
	};

	/* Upcalls: one thread must always be free for them. */
	if (w->params.mode == MODE_UPCALL && config.threads < 2)
		config.threads = w->params.threads = 2;
	return session_new(&config, w->fuse_fd, &w->session, msg);
}

static bool setup_gone(struct worker *w)
{
	struct pollfd pfd = { .fd = w->setup, .events = 0 };

	return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLHUP | POLLERR);
}

/* INIT is read when mount.famfs makes the superblock, if it gets that far. */
static int negotiate(struct worker *w, struct session_msg *msg)
{
	int err;

	err = make_session(w, NULL, msg);
	if (!err)
		err = session_start(w->session, msg);
	if (err)
		return err;
	do {
		err = session_try_init(w->session, SETUP_LOOK_MS, msg);
		if (err == -ETIMEDOUT && setup_gone(w)) {
			session_say(msg, "mount.famfs is gone");
			return -ENOTCONN;
		}
	} while (err == -ETIMEDOUT);
	if (err == -EOPNOTSUPP && w->params.mode == MODE_BPF && strstr(msg->text, "BPF"))
		snprintf(msg->text + strlen(msg->text), sizeof(msg->text) - strlen(msg->text),
			 ", or mount with -o upcall");
	return err;
}

static int receive_mount(struct worker *w, struct session_msg *msg)
{
	struct setup_message m;
	struct stat st;
	int err, fd;

	err = setup_recv(w->setup, &m, &fd);
	if (!err && (m.type != SETUP_MOUNTED || fd < 0))
		err = -EPROTO;
	if (err) {
		session_say(msg, "mount.famfs sent no mount: %s", strerror(-err));
		return err;
	}
	w->mnt_fd = fd;
	if (fstat(fd, &st)) {
		err = -errno;
		session_say(msg, "cannot stat our own mount: %s", strerror(-err));
		return err;
	}
	w->state->sb = st.st_dev;
	return 0;
}

static int keep(const char *name, int fd, struct session_msg *msg)
{
	int err = hold_store(name, fd);

	if (err)
		session_say(msg, "the holder did not take '%s': %s", name, strerror(-err));
	return err;
}

static int keep_state(struct worker *w, struct session_msg *msg)
{
	int fd, err;

	err = worker_state_make(&fd, &w->state, msg);
	if (err)
		return err;
	w->view.state = w->state;
	w->state->init = *session_init_exchange(w->session);
	return keep("state", fd, msg);
}

static int add_device(struct worker *w, uint32_t index, struct session_msg *msg)
{
	char name[HOLD_NAME_MAX];
	uint32_t id;
	int err;

	snprintf(name, sizeof(name), "dev%u", index);
	err = session_add_device(w->fuse_fd, hold_get(name), w->params.dev_path[index], &id, msg);
	if (err)
		return err;
	w->state->dev_id[index] = id;
	w->state->ndevs = index + 1;
	w->view.devs.id[index] = id;
	w->view.devs.count = index + 1;
	/* The kernel has the device now; nobody else needs the fd. */
	hold_drop(name);
	return 0;
}

static int load_map(struct worker *w, bool boot, struct slotmap **ret, struct session_msg *msg)
{
	const struct famfs_fs *fs = w->view.fs;
	struct slotmap_config config = {
		.generation = boot ? w->view.generation : famfs_generation(fs->super.uuid),
		.alloc_unit = boot ? FAMFS_ALLOC_UNIT : fs->super.alloc_unit,
		.nr_slots = boot ? 1 : fs->header.slots,
		.nr_played = boot ? 0 : fs->played,
		.nr_extents = boot ? 0
				   : slotmap_need(fs->ns, fs->played, &w->view.devs,
						  fs->super.alloc_unit),
		.no_bpf = w->params.mode == MODE_UPCALL,
		.verbose = w->params.debug,
	};

	return slotmap_load(&config, w->fuse_fd, ret, msg->text);
}

static int publish_boot(struct worker *w, uint64_t nodeid, uint64_t offset, uint64_t len,
			struct session_msg *msg)
{
	struct famfs_extent ext = { .offset = offset, .len = len };
	struct famfs_fmap fmap = { .size = len, .next = 1, .ext = &ext };
	int err;

	fmap.ext_type = FAMFS_EXT_SIMPLE;
	err = slotmap_publish(w->view.map, nodeid, &fmap, &w->view.devs);
	if (err)
		session_say(msg, "cannot publish nodeid 0x%llx: %s", (unsigned long long)nodeid,
			    strerror(-err));
	return err;
}

/* A table that knows superblock and log only, so that they can be read. */
static int boot_map(struct worker *w, struct session_msg *msg)
{
	int err;

	err = load_map(w, true, &w->view.map, msg);
	if (!err && w->params.mode == MODE_BPF)
		err = slotmap_attach(w->view.map, msg->text);
	if (!err)
		err = publish_boot(w, FAMFS_NODEID_SUPER, FAMFS_SUPER_OFFSET, FAMFS_SUPER_AREA,
				   msg);
	return err;
}

static int read_super(struct worker *w, struct session_msg *msg)
{
	struct view *v = &w->view;
	char text[FAMFS_ERROR_TEXT_MAX];
	struct famfs_media media;
	struct famfs_error fe;
	struct famfs_super sb;
	int err;

	err = view_open_files(v, w->mnt_fd, false, msg);
	if (err)
		return err;
	view_media(v, &media);
	err = famfs_super_read(&media, &sb, &fe);
	if (err) {
		session_say(msg, "%s%s", famfs_error_text(&fe, text, sizeof(text)),
			    err == -ENODATA ? "; make a file system with mkfs.famfs" : "");
		return err;
	}
	/* Then the log: its length is known now. */
	v->boot_log_len = sb.log_len;
	err = publish_boot(w, FAMFS_NODEID_LOG, FAMFS_LOG_OFFSET, sb.log_len, msg);
	return err ? err : view_open_files(v, w->mnt_fd, false, msg);
}

/* Every device of the log must have been named, and be large enough. */
static int add_devices(struct worker *w, struct session_msg *msg)
{
	const struct famfs_devs *devs = &w->view.fs->devs;
	char uuid[37];
	int err;

	if (w->params.ndevs > devs->count) {
		session_say(msg,
			    "the file system has %u device(s), index 0 to %u, but dev=%u is "
			    "named",
			    devs->count, devs->count - 1, w->params.ndevs - 1);
		return -ENXIO;
	}
	for (uint32_t i = 1; i < devs->count; i++) {
		uuid_unparse_lower(devs->dev[i].uuid, uuid);
		if (i >= w->params.ndevs) {
			session_say(msg,
				    "device %u of the file system (uuid %s, %llu bytes) is "
				    "missing: name it with -o dev=%u:PATH",
				    i, uuid, (unsigned long long)devs->dev[i].size, i);
			return -ENOENT;
		}
		if (w->params.dev_size[i] < devs->dev[i].size) {
			session_say(msg,
				    "%s: device size: found %llu bytes, expected at least "
				    "%llu: not device %u (uuid %s) of this file system",
				    w->params.dev_path[i],
				    (unsigned long long)w->params.dev_size[i],
				    (unsigned long long)devs->dev[i].size, i, uuid);
			return -EUCLEAN;
		}
		err = add_device(w, i, msg);
		if (err)
			return err;
	}
	return 0;
}

/*
 * A further device that has a superblock must be the one that the log means. One that
 * has none was named by the administrator, who must know.
 */
static int check_secondary(struct worker *w, uint32_t index, struct session_msg *msg)
{
	const struct famfs_fs *fs = w->view.fs;
	const char *path = w->params.dev_path[index];
	char name[32], text[FAMFS_ERROR_TEXT_MAX];
	struct famfs_media_super raw;
	struct famfs_super sb;
	struct famfs_error fe;
	ssize_t n;
	int fd, err;

	snprintf(name, sizeof(name), ".meta/.superblock.%u", index);
	fd = openat(w->mnt_fd, name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : pread(fd, &raw, sizeof(raw), 0);
	err = n == sizeof(raw) ? 0 : fd < 0 || n < 0 ? -errno : -EIO;
	if (fd >= 0)
		close(fd);
	if (err) {
		session_say(msg, "%s: cannot read its superblock: %s", path, strerror(-err));
		return err;
	}
	err = famfs_super_decode(&raw, sizeof(raw), path, w->params.dev_size[index], &sb, &fe);
	if (err == -ENODATA) {
		daemon_log(LOG_WARNING,
			   "%s has no superblock; taken as device %u because it "
			   "was named so",
			   path, index);
		return 0;
	}
	if (!err)
		err = famfs_super_check_secondary(&sb, path, &fs->super, &fs->devs, index, &fe);
	if (err)
		session_say(msg, "%s", famfs_error_text(&fe, text, sizeof(text)));
	return err;
}

/* Fill a whole table and let it answer instead of the old one. */
static int swap_map(struct worker *w, const uint8_t *old_pins, struct session_msg *msg)
{
	struct view *v = &w->view;
	struct slotmap *old = v->map, *map;
	uint64_t skipped = 0, bad = 0;
	int err;

	err = load_map(w, false, &map, msg);
	if (err)
		return err;
	err = slotmap_fill(map, v->fs->ns, v->fs->played, &v->devs, &skipped, &bad);
	if (err) {
		session_say(msg, "cannot fill the slot map: nodeid %llu: %s",
			    (unsigned long long)bad, strerror(-err));
		slotmap_free(map);
		return err;
	}
	if (skipped)
		daemon_log(LOG_WARNING, "%llu file(s) cannot be mapped; their data answer EIO",
			   (unsigned long long)skipped);
	if (w->params.mode == MODE_BPF && old) {
		err = slotmap_replace(map, old, old_pins, msg->text);
		if (err) {
			slotmap_free(map);
			return err;
		}
	}
	__atomic_store_n(&v->map, map, __ATOMIC_RELEASE);
	/* In upcall mode a thread may be looking at the old one; it is small. */
	if (w->params.mode == MODE_BPF)
		slotmap_free(old);
	return 0;
}

static int pin(struct worker *w, struct session_msg *msg)
{
	int err;

	if (w->params.mode != MODE_BPF)
		return 0;
	/* We hold the lock of this uuid: what is there belongs to nobody. */
	err = slotmap_unpin(w->state->uuid, msg->text);
	if (!err)
		err = slotmap_pin(w->view.map, w->state->uuid, msg->text);
	if (!err)
		w->pinned = true;
	return err;
}

static void find_role(struct worker *w)
{
	uint8_t system_uuid[FAMFS_UUID_LEN];

	w->state->master = !famfs_system_uuid_get(NULL, false, system_uuid) &&
			   famfs_fs_is_master(w->view.fs, system_uuid) && !w->view.fs->recovered;
	famfs_ns_set_master(w->view.fs->ns, w->state->master);
}

/* Everything that is read, read; everything that answers, in place. */
static int first_load(struct worker *w, struct session_msg *msg)
{
	struct view *v = &w->view;
	int err;

	err = boot_map(w, msg);
	if (!err)
		err = read_super(w, msg);
	if (!err)
		err = view_load(v, msg);
	if (err)
		return err;
	memcpy(w->state->uuid, v->fs->super.uuid, FAMFS_UUID_LEN);
	w->state->log_len = v->fs->super.log_len;
	w->state->alloc_unit = v->fs->super.alloc_unit;
	w->state->nr_slots = v->fs->header.slots;
	w->state->played = v->fs->played;
	find_role(w);

	err = ctl_lock(w, msg);
	if (!err)
		err = add_devices(w, msg);
	if (!err)
		err = swap_map(w, NULL, msg);
	if (!err)
		err = pin(w, msg);
	return err;
}

/* With the generation known, the files of .meta are other inodes: open them again. */
static int first_live(struct worker *w, struct session_msg *msg)
{
	struct view *v = &w->view;
	int err;

	v->generation = famfs_generation(v->fs->super.uuid);
	atomic_store(&v->phase, VIEW_LIVE);
	err = view_open_files(v, w->mnt_fd, w->state->master, msg);
	for (uint32_t i = 1; !err && i < v->fs->devs.count; i++)
		err = check_secondary(w, i, msg);
	if (!err)
		err = view_go_live(v, msg);
	if (!err)
		err = keep("super", v->super_fd, msg);
	if (!err)
		err = keep("log", v->log_fd, msg);
	if (!err)
		err = keep("mnt", w->mnt_fd, msg);
	return err;
}

static int first_start(struct worker *w, struct session_msg *msg)
{
	int err;

	err = negotiate(w, msg);
	if (!err)
		err = keep_state(w, msg);
	if (!err)
		err = receive_mount(w, msg);
	if (!err)
		err = add_device(w, 0, msg);
	if (!err)
		err = first_load(w, msg);
	if (!err)
		err = first_live(w, msg);
	return err;
}

/*
 * Nobody sees the file system any more, though files may be open. What we have open
 * of it is in the way of its end.
 */
static void let_go(struct worker *w)
{
	view_go_blind(&w->view);
	w->mnt_fd = -1;
	hold_drop("super");
	hold_drop("log");
	hold_drop("mnt");
}

/* ---- starting again ---- */

/* What answers our reads of the log: the pinned program, or our threads. */
static int adopt_map(struct worker *w, bool *ret_broken, struct session_msg *msg)
{
	struct view *v = &w->view;
	struct slotmap_config config = {
		.generation = famfs_generation(w->state->uuid),
		.alloc_unit = w->state->alloc_unit,
		.nr_slots = w->state->nr_slots,
	};
	int err;

	v->generation = config.generation;
	if (w->params.mode == MODE_BPF) {
		err = slotmap_adopt(&config, w->state->uuid, &v->map, msg->text);
		*ret_broken = err == -EUCLEAN;
		return *ret_broken ? 0 : err;
	}
	err = boot_map(w, msg);
	if (!err)
		err = publish_boot(w, FAMFS_NODEID_LOG, FAMFS_LOG_OFFSET, w->state->log_len, msg);
	session_hold(w->session);
	return err ? err : session_start(w->session, msg);
}

/*
 * A whole map says just what the log says, and gets what came since. What it says
 * otherwise was not written by us: -ESTALE. One that is not whole was left by
 * somebody who died while he replaced it.
 */
static int adopt_fill(struct worker *w, bool broken, struct session_msg *msg)
{
	struct view *v = &w->view;
	uint64_t skipped, bad = 0;
	int err;

	if (w->params.mode != MODE_BPF)
		return swap_map(w, NULL, msg);
	if (broken) {
		daemon_log(LOG_WARNING, "making a new slot map: %s", msg->text);
		err = swap_map(w, w->state->uuid, msg);
		return err ? err : slotmap_pin(v->map, w->state->uuid, msg->text);
	}
	err = slotmap_fill(v->map, v->fs->ns, v->fs->played, &v->devs, &skipped, &bad);
	if (!err)
		return 0;
	session_say(msg, "%s: the log is not what it was: nodeid %llu: %s", w->params.dev_path[0],
		    (unsigned long long)bad, strerror(-err));
	return err == -EUCLEAN || err == -ERANGE ? -ESTALE : err;
}

static int adopt_load(struct worker *w, struct session_msg *msg)
{
	struct view *v = &w->view;
	bool broken = false;
	int err;

	v->boot_log_len = w->state->log_len;
	err = adopt_map(w, &broken, msg);
	if (err)
		return err;
	if (w->state->dead) {
		session_say(msg, "%s was made anew before", w->params.dev_path[0]);
		err = -ESTALE;
	}
	if (!err)
		err = view_load(v, msg);
	if (!err) {
		famfs_ns_set_master(v->fs->ns, w->state->master);
		err = adopt_fill(w, broken, msg);
	}
	if (!err) {
		w->state->played = v->fs->played;
		return view_go_live(v, msg);
	}
	if (err != -ESTALE)
		return err;
	view_adopt_dead(v, msg->text);
	return 0;
}

/*
 * Nothing is mounted any more and only open files are left. There is nothing to be
 * read; mapped files go on without us.
 */
static int adopt_orphan(struct worker *w)
{
	daemon_log(LOG_NOTICE, "unmounted, files are still open: serving nothing but the end of "
			       "the connection");
	atomic_store(&w->view.phase, VIEW_DEAD);
	w->view.blind = true;
	return 0;
}

/* Was it unmounted while there was no worker? */
static bool is_unmounted(struct worker *w)
{
	struct hold_mounts mounts;

	return w->attached && !hold_find_mounts((dev_t)w->state->sb, false, &mounts) &&
	       !mounts.count;
}

static int adopt_start(struct worker *w, struct session_msg *msg)
{
	struct view *v = &w->view;
	int err;

	err = worker_state_map(hold_get("state"), &w->state, msg);
	if (err)
		return err;
	if (!w->state->ready) {
		session_say(msg, "the first worker of this mount ended before it was ready");
		w->first = true;
		return -ESTALE;
	}
	w->state->starts++;
	v->state = w->state;
	v->devs.count = w->state->ndevs;
	memcpy(v->devs.id, w->state->dev_id, sizeof(v->devs.id));
	w->pinned = w->params.mode == MODE_BPF;
	w->made_run_dir = true;
	w->attached = w->setup < 0;	/* else mount.famfs will say */
	w->lock_fd = hold_get("lock");
	w->mnt_fd = hold_get("mnt");
	v->super_fd = hold_get("super");
	v->log_fd = hold_get("log");

	err = make_session(w, &w->state->init, msg);
	if (err)
		return err;
	if (is_unmounted(w))
		let_go(w);
	if (v->super_fd < 0 || v->log_fd < 0)
		err = adopt_orphan(w);
	else
		err = adopt_load(w, msg);
	if (err)
		return err;

	/* The predecessor was reaped: what it read and did not answer comes again. */
	if (w->params.mode == MODE_UPCALL && v->super_fd >= 0) {
		session_release(w->session);
		return 0;
	}
	return session_start(w->session, msg);
}

/* ---- the loop ---- */

static void *wait_thread(void *arg)
{
	struct worker *w = arg;
	uint64_t one = 1;
	int err;

	err = session_wait(w->session);
	if (err)
		daemon_log(LOG_ERR, "cannot read requests: %s", strerror(-err));
	atomic_store(&w->session_ended, true);
	if (write(w->wake_fd, &one, sizeof(one)) < 0)
		daemon_log(LOG_ERR, "cannot wake the main loop: %s", strerror(errno));
	return NULL;
}

static void look_at_mounts(struct worker *w)
{
	struct hold_mounts mounts;
	char c;

	/* Reading is what resets the event. */
	if (pread(w->mountinfo_fd, &c, 1, 0) < 0)
		return;
	if (!w->attached || w->mnt_fd < 0)
		return;
	if (!hold_find_mounts((dev_t)w->state->sb, false, &mounts) && !mounts.count)
		let_go(w);
}

/* mount.famfs says that it is visible, or went away. */
static void look_at_setup(struct worker *w)
{
	struct hold_mounts mounts = { 0 };
	struct setup_message m;
	int fd, err;

	err = setup_recv(w->setup, &m, &fd);
	if (!err && fd >= 0)
		close(fd);
	hold_find_mounts((dev_t)w->state->sb, false, &mounts);
	w->setup = -1;
	hold_drop("setup");
	w->attached = true;
	if (!mounts.count)
		let_go(w);
}

/* Return: true if it is time to end, whatever is open. */
static bool look_at_signals(struct worker *w)
{
	struct signalfd_siginfo info;

	while (read(w->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			continue;
		/* systemd has unmounted before, or is about to power off. */
		if (w->signals++ || (w->instance && info.ssi_pid == 1))
			return true;
		daemon_log(LOG_NOTICE, "signal %u: %s", info.ssi_signo,
			   w->instance ? "use systemctl stop, or send it twice" : "unmounting");
		if (!w->instance)
			hold_stopping();
	}
	return false;
}

static int poll_timeout(struct worker *w)
{
	struct view *v = &w->view;
	bool idle = view_now_ms() - atomic_load(&v->appended_ms) > IDLE_AFTER_MS;

	w->poll_ms = w->params.poll_ms;
	if (idle && w->poll_ms < IDLE_POLL_MS)
		w->poll_ms = IDLE_POLL_MS;
	return (int)w->poll_ms;
}

/* Until the connection ends, or a second signal. */
static void serve(struct worker *w)
{
	while (!atomic_load(&w->session_ended)) {
		struct pollfd pfd[] = {
			{ .fd = w->signal_fd, .events = POLLIN },
			{ .fd = w->wake_fd, .events = POLLIN },
			{ .fd = w->mountinfo_fd, .events = POLLPRI },
			{ .fd = w->setup, .events = POLLIN },
		};
		uint64_t n;

		if (poll(pfd, 4, poll_timeout(w)) < 0 && errno != EINTR)
			daemon_log(LOG_ERR, "poll: %s", strerror(errno));
		if (pfd[0].revents && look_at_signals(w))
			return;
		if (pfd[1].revents && read(w->wake_fd, &n, sizeof(n)) < 0)
			continue;
		if (pfd[3].revents)
			look_at_setup(w);
		if (pfd[2].revents)
			look_at_mounts(w);
		view_refresh(&w->view, false);
		view_notify(&w->view, w->session);
	}
}

/* ---- main ---- */

static int open_fds(struct worker *w, struct session_msg *msg)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->mountinfo_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (w->signal_fd >= 0 && w->wake_fd >= 0 && w->mountinfo_fd >= 0)
		return 0;
	err = -errno;
	session_say(msg, "cannot open what every worker needs: %s", strerror(-err));
	return err;
}

static int announce(struct worker *w, struct session_msg *msg)
{
	char status[DEVICE_PATH_MAX + 80], uuid[37];
	int err;

	uuid_unparse_lower(w->state->uuid, uuid);
	snprintf(status, sizeof(status), "serving %s, file system %s", w->params.dev_path[0], uuid);
	err = hold_superblock((dev_t)w->state->sb);
	if (!err) {
		w->state->ready = 1;
		err = hold_ready(status);
	}
	if (err) {
		session_say(msg, "the holder does not listen: %s", strerror(-err));
		return err;
	}
	daemon_log(LOG_INFO, "%s (%s, %s, start %u)", status, mount_mode_names[w->params.mode],
		   w->state->master ? "master" : "client", w->state->starts);
	/* If it is gone, the main loop sees that and ends as after an umount. */
	if (w->setup >= 0)
		setup_send(w->setup, SETUP_READY, 0, NULL, -1);
	return 0;
}

static int start(struct worker *w, struct session_msg *msg)
{
	int err;

	err = open_fds(w, msg);
	if (!err)
		err = view_init(&w->view, &w->params, NULL, w->wake_fd);
	if (!err)
		err = w->first ? first_start(w, msg) : adopt_start(w, msg);
	if (!err)
		err = ctl_listen(w, msg);
	if (err)
		return err;

	/* Threads that are made from here on have none to begin with. */
	prctl(PR_SET_DUMPABLE, 0);
	drop_privileges(NULL);
	err = -pthread_create(&w->waiter, NULL, wait_thread, w);
	if (!err)
		err = ctl_start(w, msg);
	return err ? err : announce(w, msg);
}

static int take_fds(struct worker *w, struct session_msg *msg)
{
	int err;

	err = hold_listen();
	if (err < 0)
		return err;
	w->first = hold_get("state") < 0;
	if (w->instance && !err)
		err = hold_fetch(w->instance, msg);
	else if (w->instance && w->first)
		err = -ESTALE;		/* the first worker died at once */
	if (err < 0)
		return err;
	w->fuse_fd = hold_get("fuse");
	w->setup = hold_get("setup");
	if (w->fuse_fd < 0 || hold_get("params") < 0) {
		session_say(msg, "no fds were passed: mount with mount -t famfs, or use "
				 "famfs-bpfd -f");
		return -EINVAL;
	}
	err = worker_params_read(hold_get("params"), &w->params, msg);
	if (!err)
		daemon_log_open("famfs-bpfd", w->params.foreground);
	return err;
}

/* Nothing of ours is to be left: pins, sockets; the devices go with the superblock. */
static void clean_up(struct worker *w)
{
	char msg[SLOTMAP_MSG_MAX];

	if (!w->state)
		return;
	if (w->pinned && slotmap_unpin(w->state->uuid, msg))
		daemon_log(LOG_ERR, "cannot remove the pins: %s", msg);
	ctl_close(w);
}

static int run_mount(int argc, char **argv)
{
	char path[] = FAMFS_SBINDIR "/mount.famfs";
	char *args[16] = { path, "--foreground" };
	int n = 2;

	for (int i = 0; i < argc && n < 15; i++)
		args[n++] = argv[i];
	execv(args[0], args);
	fprintf(stderr, "famfs-bpfd: cannot run %s: %s\n", args[0], strerror(errno));
	return 2;
}

static int usage(FILE *f)
{
	fprintf(f, "usage: famfs-bpfd -f DEVICE DIR [-o OPTIONS]\n"
		   "Mount in the foreground, as mount.famfs does in the background. Without\n"
		   "arguments it takes fds from famfs-holder; with --instance=NAME or\n"
		   "--stop=NAME it is part of famfs-bpfd@NAME.service.\n");
	return f == stdout ? 0 : 1;
}

/*
 * ExecStop= of the unit, which also runs when the worker was killed and is about to be
 * replaced: then there is no MAINPID. Files that are still open have a while to be closed;
 * then the manager's SIGTERM ends the worker.
 */
static int stop_unit(const char *instance)
{
	const char *main_pid = getenv("MAINPID");
	struct pollfd pfd = { .events = POLLIN };
	struct hold_mounts mounts;
	dev_t sb;
	int err;

	if (!main_pid)
		return 0;
	err = ctl_find_instance(instance, &sb);
	if (!err)
		err = hold_find_mounts(sb, true, &mounts);
	if (err) {
		daemon_log(LOG_ERR, "stop: cannot find the mounts of %s: %s", instance,
			   strerror(-err));
		return 1;
	}
	daemon_log(mounts.hidden ? LOG_WARNING : LOG_NOTICE,
		   "stop: unmounted %u mount(s), left %u that something else is mounted over",
		   mounts.count, mounts.hidden);
	pfd.fd = pidfd_open((pid_t)strtol(main_pid, NULL, 10), 0);
	if (pfd.fd < 0)
		return 0;		/* that was all it waited for */
	poll(&pfd, 1, STOP_WAIT_MS);
	return 0;
}

static int run(struct worker *w)
{
	struct session_msg msg = { 0 };
	int err;

	err = take_fds(w, &msg);
	if (!err)
		err = start(w, &msg);
	if (err) {
		daemon_log(LOG_ERR, "cannot serve: %s", msg.text[0] ? msg.text : strerror(-err));
		/* A successor may do better; a first start leaves nothing. */
		if (!w->first)
			return HOLD_EXIT_AGAIN;
		if (w->setup >= 0)
			setup_send(w->setup, SETUP_FAILED, err, msg.text, -1);
		clean_up(w);
		return HOLD_EXIT_NEVER;
	}

	serve(w);
	daemon_log(LOG_INFO, "the end: %s",
		   atomic_load(&w->session_ended) ? "unmounted or aborted" : "told to stop");
	clean_up(w);
	return HOLD_EXIT_ENDED;
}

int main(int argc, char **argv)
{
	static struct worker w = {
		.fuse_fd = -1,
		.setup = -1,
		.mnt_fd = -1,
		.wake_fd = -1,
		.signal_fd = -1,
		.mountinfo_fd = -1,
		.ctl_fd = -1,
		.lock_fd = -1,
	};

	if (argc > 1 && !strcmp(argv[1], "-f"))
		return run_mount(argc - 2, argv + 2);
	daemon_log_open("famfs-bpfd", false);
	if (argc == 2 && !strncmp(argv[1], "--stop=", 7))
		return stop_unit(argv[1] + 7);
	if (argc == 2 && !strncmp(argv[1], "--instance=", 11))
		w.instance = argv[1] + 11;
	else if (argc > 1)
		return usage(argc == 2 && !strcmp(argv[1], "--help") ? stdout : stderr);
	return run(&w);
}
