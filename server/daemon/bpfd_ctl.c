// SPDX-License-Identifier: GPL-2.0-only
/*
 * The run directory /run/famfs/<uuid>: a lock that says that this uuid is being served,
 * and the control socket. A thread per connection, few of them; none of it can keep
 * a FUSE request waiting for longer than an append takes.
 */
#include "worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "ctl.h"

#define CTL_CONNECTIONS_MAX	16
#define CTL_LOCK		"lock"
/* How long a predecessor may take to end. */
#define CTL_LOCK_MS		5000
#define CTL_LOCK_STEP_MS	20

static atomic_uint ctl_connections;

/* ---- requests ---- */

static int ctl_check_path(const char *path, size_t len, struct session_msg *msg)
{
	if (!len || len > CTL_PATH_MAX || memchr(path, '\0', len)) {
		session_say(msg, "path of %zu bytes: 1 to %d are possible", len, CTL_PATH_MAX);
		return len > CTL_PATH_MAX ? -ENAMETOOLONG : -EINVAL;
	}
	return 0;
}

static int ctl_append(struct worker *w, struct famfs_entry *entry,
		      const struct famfs_layout *layout, const char *path, size_t path_len,
		      uint64_t *ret_nodeid, struct session_msg *msg)
{
	struct hold_mounts mounts;
	int err;

	err = ctl_check_path(path, path_len, msg);
	if (err)
		return err;
	err = hold_find_mounts((dev_t)w->state->sb, false, &mounts);
	if (err) {
		session_say(msg, "cannot read the mount table: %s", strerror(-err));
		return err;
	}
	/* Without a mount view_append() knows better why. */
	if (mounts.count && !mounts.writable) {
		session_say(msg, "the file system is mounted read-only");
		return -EROFS;
	}
	memcpy(entry->path, path, path_len);
	entry->path[path_len] = '\0';
	entry->path_len = (uint32_t)path_len;

	err = view_append(&w->view, entry, layout, ret_nodeid, msg);
	/* Before the answer, so that who asked sees it in readdir at once. */
	view_notify(&w->view, w->session);
	return err;
}

static int ctl_op_mkdir(struct worker *w, const char *buf, size_t len, uint64_t *ret_nodeid,
			struct session_msg *msg)
{
	struct famfs_entry entry = { .type = FAMFS_ENTRY_MKDIR };
	struct ctl_mkdir req;

	if (len < sizeof(req))
		return -EPROTO;
	memcpy(&req, buf, sizeof(req));
	if (req.path_len != len - sizeof(req))
		return -EPROTO;
	entry.uid = req.uid;
	entry.gid = req.gid;
	entry.mode = req.mode & 07777;
	return ctl_append(w, &entry, NULL, buf + sizeof(req), req.path_len, ret_nodeid, msg);
}

static int ctl_op_create(struct worker *w, const char *buf, size_t len, uint64_t *ret_nodeid,
			 struct session_msg *msg)
{
	struct famfs_entry entry = { .type = FAMFS_ENTRY_FILE };
	struct famfs_layout layout = { 0 };
	struct ctl_create req;
	int err;

	if (len < sizeof(req))
		return -EPROTO;
	memcpy(&req, buf, sizeof(req));
	if (req.path_len != len - sizeof(req))
		return -EPROTO;
	if (!req.size || req.size > INT64_MAX) {
		session_say(msg, "size %llu: 1 to 2^63 - 1 bytes are possible",
			    (unsigned long long)req.size);
		return -EINVAL;
	}
	entry.size = req.size;
	entry.uid = req.uid;
	entry.gid = req.gid;
	entry.mode = req.mode & 07777;
	entry.flags = FAMFS_FILE_ALL_HOSTS_RW;

	layout.chunk = req.chunk;
	layout.nstrips = req.nstrips;
	layout.nbuckets = req.nbuckets;
	layout.seed = req.seed;
	if (req.nstrips && w->view.fs) {
		pthread_rwlock_rdlock(&w->view.lock);
		err = famfs_alloc_check_layout(w->view.fs->alloc, &layout, msg->text,
					       sizeof(msg->text));
		pthread_rwlock_unlock(&w->view.lock);
		if (err)
			return err;
	}
	return ctl_append(w, &entry, req.nstrips ? &layout : NULL, buf + sizeof(req), req.path_len,
			  ret_nodeid, msg);
}

/* ---- status ---- */

static void add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static void add_capabilities(struct json_object *o)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "CapEff:\t", 8))
			continue;
		line[strcspn(line, "\n")] = '\0';
		add_string(o, "capabilities", line + 8);
	}
	if (f)
		fclose(f);
}

static void add_devices(struct json_object *o, struct worker *w)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < w->state->ndevs; i++) {
		struct json_object *d = json_object_new_object();

		add_u64(d, "index", i);
		add_u64(d, "id", w->state->dev_id[i]);
		add_string(d, "path", w->params.dev_path[i]);
		add_u64(d, "size", w->params.dev_size[i]);
		json_object_array_add(list, d);
	}
	json_object_object_add(o, "devices", list);
}

static void add_negotiated(struct json_object *o, struct worker *w)
{
	const struct session_init *x = &w->state->init;
	uint32_t flags, flags2;
	char text[32];

	/* fuse_init_out after fuse_out_header: flags at 12, flags2 at 32 */
	memcpy(&flags, x->reply + 16 + 12, sizeof(flags));
	memcpy(&flags2, x->reply + 16 + 32, sizeof(flags2));
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)flags2 << 32 | flags);
	add_string(o, "init_flags", text);
}

static void add_requests(struct json_object *o, struct worker *w)
{
	struct json_object *list = json_object_new_object();
	struct session_stats st;
	char opcode[16];

	session_stats(w->session, &st);
	for (int i = 0; i < SESSION_OPCODES; i++) {
		snprintf(opcode, sizeof(opcode), "%d", i);
		if (st.opcode[i])
			add_u64(list, opcode, st.opcode[i]);
	}
	json_object_object_add(o, "requests_by_opcode", list);
	add_u64(o, "requests", st.requests);
	add_u64(o, "mapping_upcalls", st.begins);
	add_u64(o, "device_events", st.dev_events);
}

static void add_fs(struct json_object *o, struct view *v)
{
	struct famfs_alloc_stats alloc;
	struct slotmap_stats slots;
	struct famfs_ns_stats ns;

	if (!v->fs)
		return;		/* an orphan */
	pthread_rwlock_rdlock(&v->lock);
	famfs_alloc_stats(v->fs->alloc, &alloc);
	famfs_ns_stats(v->fs->ns, &ns);
	add_u64(o, "log_entries", v->fs->header.next_index);
	add_u64(o, "log_slots", v->fs->header.slots);
	add_u64(o, "log_played", v->fs->played);
	add_u64(o, "log_skipped", v->fs->skipped);
	add_bool(o, "recovered", v->fs->recovered);
	pthread_rwlock_unlock(&v->lock);
	slotmap_stats(v->map, &slots);

	add_u64(o, "files", ns.files);
	add_u64(o, "directories", ns.dirs);
	add_u64(o, "capacity_bytes", alloc.capacity);
	add_u64(o, "used_bytes", alloc.used);
	add_u64(o, "slots_published", slots.published);
	add_u64(o, "map_bytes", slots.bytes);
}

static int ctl_op_status(struct worker *w, char *text, size_t size)
{
	/* Without "dead" in the state it is a successor after the last umount. */
	static const char *const phases[] = { "boot", "live", "orphan" };
	struct json_object *o = json_object_new_object();
	struct hold_mounts mounts = { 0 };
	char uuid[37];
	int n;

	uuid_unparse_lower(w->state->uuid, uuid);
	add_string(o, "uuid", uuid);
	add_string(o, "state", w->state->dead ? "dead" : phases[atomic_load(&w->view.phase)]);
	add_string(o, "mode", mount_mode_names[w->params.mode]);
	add_string(o, "role", w->state->master ? "master" : "client");
	hold_find_mounts((dev_t)w->state->sb, false, &mounts);
	add_u64(o, "mounts", mounts.count);
	add_bool(o, "writable", mounts.writable);
	add_bool(o, "detached", w->view.blind);
	add_u64(o, "pid", (uint64_t)getpid());
	add_u64(o, "starts", w->state->starts);
	add_string(o, "restart", "yes");
	add_string(o, "manager", w->instance ? "systemd" : "holder");
	add_u64(o, "poll_ms", w->poll_ms);
	add_capabilities(o);
	add_negotiated(o, w);
	add_requests(o, w);
	add_fs(o, &w->view);
	add_devices(o, w);

	n = snprintf(text, size, "%s",
		     json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
							       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	/* Half of it would be no JSON. */
	if (n < 0 || (size_t)n >= size || (size_t)n > CTL_RECORD_MAX - sizeof(struct ctl_reply)) {
		snprintf(text, size, "status is %d bytes long, a reply is shorter", n);
		return -EMSGSIZE;
	}
	return 0;
}

/* ---- connections ---- */

struct ctl_connection {
	struct worker *w;
	int fd;
	char buf[CTL_RECORD_MAX + 1];
	char text[CTL_RECORD_MAX];
};

/* Return: false when the connection is to be closed. */
static bool ctl_serve_one(struct ctl_connection *c)
{
	struct session_msg msg = { 0 };
	const char *text = msg.text;
	struct ctl_header h;
	uint64_t nodeid = 0;
	size_t len;
	int err;

	if (ctl_recv(c->fd, c->buf, sizeof(c->buf), &len))
		return false;
	memcpy(&h, c->buf, sizeof(h));
	switch (h.op) {
	case CTL_OP_STATUS:
		err = ctl_op_status(c->w, c->text, sizeof(c->text));
		text = c->text;
		break;
	case CTL_OP_MKDIR:
		err = ctl_op_mkdir(c->w, c->buf, len, &nodeid, &msg);
		break;
	case CTL_OP_CREATE:
		err = ctl_op_create(c->w, c->buf, len, &nodeid, &msg);
		break;
	default:
		session_say(&msg, "operation %u is not known", h.op);
		err = -EOPNOTSUPP;
	}
	if (err == -EPROTO)
		return false;
	return !ctl_reply(c->fd, h.op, err, nodeid, text);
}

static void *ctl_thread(void *arg)
{
	struct ctl_connection *c = arg;

	while (ctl_serve_one(c))
		;
	close(c->fd);
	free(c);
	atomic_fetch_sub(&ctl_connections, 1);
	return NULL;
}

static void ctl_accept(struct worker *w)
{
	static const struct timespec pause = { .tv_nsec = 100000000L };
	struct ctl_connection *c;
	pthread_t thread;
	int fd;

	fd = accept4(w->ctl_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		/* Out of fds, say: the one that waits makes the next call return, too. */
		if (errno != EINTR && errno != ECONNABORTED)
			nanosleep(&pause, NULL);
		return;
	}
	if (ctl_limit(fd) || setup_check_peer(fd)) {
		ctl_reply(fd, 0, -EPERM, 0, "only root may ask");
		close(fd);
		return;
	}
	c = atomic_load(&ctl_connections) < CTL_CONNECTIONS_MAX ? malloc(sizeof(*c)) : NULL;
	if (!c) {
		ctl_reply(fd, 0, -EAGAIN, 0, "too many connections");
		close(fd);
		return;
	}
	c->w = w;
	c->fd = fd;
	atomic_fetch_add(&ctl_connections, 1);
	if (pthread_create(&thread, NULL, ctl_thread, c)) {
		atomic_fetch_sub(&ctl_connections, 1);
		close(fd);
		free(c);
		return;
	}
	pthread_detach(thread);
}

static void *ctl_accept_thread(void *arg)
{
	for (;;)
		ctl_accept(arg);
	return NULL;
}

/* ---- run directory ---- */

/*
 * Lock the file of that name. Who had it before may be about to remove it: then it is
 * not the one that others would lock.
 */
static int lock_file(const char *path, int *ret_fd)
{
	struct stat by_fd, by_name;
	int fd, err;

	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	if (!err && (fstat(fd, &by_fd) || stat(path, &by_name) || by_fd.st_ino != by_name.st_ino ||
		     by_fd.st_dev != by_name.st_dev))
		err = -ESTALE;
	if (err)
		close(fd);
	else
		*ret_fd = fd;
	return err;
}

static int try_lock(struct worker *w, const char *dir, const char *path)
{
	if (mkdir(CTL_RUN_DIR, 0755) && errno != EEXIST)
		return -errno;
	if (mkdir(dir, 0755) && errno != EEXIST)
		return -errno;
	return lock_file(path, &w->lock_fd);
}

/* A mount may follow an umount at once, while the last worker still cleans up. */
int ctl_lock(struct worker *w, struct session_msg *msg)
{
	const struct timespec pause = { .tv_nsec = CTL_LOCK_STEP_MS * 1000000L };
	char dir[108], path[128];
	int err;

	ctl_path(w->state->uuid, NULL, dir, sizeof(dir));
	ctl_path(w->state->uuid, CTL_LOCK, path, sizeof(path));
	for (int ms = 0; ms < CTL_LOCK_MS; ms += CTL_LOCK_STEP_MS) {
		err = try_lock(w, dir, path);
		if (err != -EWOULDBLOCK && err != -ESTALE && err != -ENOENT)
			break;
		nanosleep(&pause, NULL);
	}
	if (err == -EWOULDBLOCK) {
		session_say(msg,
			    "Device or resource busy: a file system with this uuid is "
			    "mounted already (%s is locked)",
			    path);
		return -EBUSY;
	}
	if (err) {
		session_say(msg, "cannot make and lock %s: %s", path, strerror(-err));
		return err;
	}
	w->made_run_dir = true;
	/* Held through the holder's duplicate for as long as the connection is. */
	err = hold_store("lock", w->lock_fd);
	if (err)
		session_say(msg, "cannot store the lock: %s", strerror(-err));
	return err;
}

/* The directory that a link in the run directory leads to: text of a uuid. */
static bool read_link(int dir_fd, const char *name, char uuid[37])
{
	char target[40];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));

	if (n != 36)
		return false;
	memcpy(uuid, target, 36);
	uuid[36] = '\0';
	return true;
}

/* Links to our directory, also those of a predecessor that was killed. */
static void remove_links(const char *uuid)
{
	DIR *dir = opendir(CTL_RUN_DIR);
	struct dirent *d;
	char target[37];

	while (dir && (d = readdir(dir)))
		if (read_link(dirfd(dir), d->d_name, target) && !strcmp(target, uuid))
			unlinkat(dirfd(dir), d->d_name, 0);
	if (dir)
		closedir(dir);
}

int ctl_find_instance(const char *instance, dev_t *ret_sb)
{
	char want[37], target[37];
	unsigned int maj, min;
	int err = -ENOENT;
	struct dirent *d;
	DIR *dir;

	dir = strchr(instance, '/') ? NULL : opendir(CTL_RUN_DIR);
	if (!dir)
		return err;
	if (read_link(dirfd(dir), instance, want))
		while (err && (d = readdir(dir)))
			if (sscanf(d->d_name, "%u:%u", &maj, &min) == 2 &&
			    read_link(dirfd(dir), d->d_name, target) && !strcmp(target, want)) {
				*ret_sb = makedev(maj, min);
				err = 0;
			}
	closedir(dir);
	return err;
}

static int make_link(struct worker *w, struct session_msg *msg)
{
	char path[PATH_MAX], uuid[37];
	int err = ctl_link_path((dev_t)w->state->sb, NULL, path, sizeof(path));

	if (err)
		return err;
	uuid_unparse_lower(w->state->uuid, uuid);
	remove_links(uuid);
	unlink(path);		/* of a mount that had this number before us */
	err = symlink(uuid, path) ? -errno : 0;
	if (!err && w->instance) {
		snprintf(path, sizeof(path), "%s/%s", CTL_RUN_DIR, w->instance);
		unlink(path);
		err = symlink(uuid, path) ? -errno : 0;
	}
	if (err)
		session_say(msg, "cannot make the link %s: %s", path, strerror(-err));
	return err;
}

int ctl_listen(struct worker *w, struct session_msg *msg)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int err = 0;

	err = ctl_path(w->state->uuid, CTL_SOCKET, addr.sun_path, sizeof(addr.sun_path));
	if (err)
		return err;
	unlink(addr.sun_path);		/* a predecessor's */
	w->ctl_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	if (w->ctl_fd < 0 || bind(w->ctl_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(w->ctl_fd, 16))
		err = -errno;
	umask(mask);
	if (err) {
		session_say(msg, "cannot listen on %s: %s", addr.sun_path, strerror(-err));
		return err;
	}
	return make_link(w, msg);
}

int ctl_start(struct worker *w, struct session_msg *msg)
{
	pthread_t thread;
	int err;

	err = pthread_create(&thread, NULL, ctl_accept_thread, w);
	if (err)
		session_say(msg, "cannot start a thread: %s", strerror(err));
	else
		pthread_detach(thread);
	return -err;
}

void ctl_close(struct worker *w)
{
	static const char *const names[] = { CTL_SOCKET, CTL_LOCK };
	char path[128], uuid[37];

	if (!w->made_run_dir)
		return;
	/* No append is to be cut in the middle; none begins after this. */
	pthread_mutex_lock(&w->view.writer);
	uuid_unparse_lower(w->state->uuid, uuid);
	remove_links(uuid);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!ctl_path(w->state->uuid, names[i], path, sizeof(path)))
			unlink(path);
	if (!ctl_path(w->state->uuid, NULL, path, sizeof(path)))
		rmdir(path);
}
