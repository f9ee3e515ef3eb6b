// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxslice: serves ranges of DAX devices as files, as a text table says. It is the
 * smallest useful server on fuse-iomap, and has nothing to do with famfs: no on-media
 * format, no restart, one directory.
 *
 * The server names its devices to the kernel, by fd, and gets an id for each. From
 * then on it answers one question, "where are the bytes of this file at this
 * position", either when the kernel sends FUSE_IOMAP_BEGIN (--upcall), or through a
 * BPF program that the kernel calls in the page fault itself (--bpf). Both use
 * slice_resolve(). The rest is an ordinary read-only directory of FUSE.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <linux/fs.h>

#include "session.h"
#include "slice_bpf.h"
#include "table.h"

/* Nothing ever changes: the kernel may keep what it was told. */
#define FOREVER_S	1e9

struct server {
	struct table table;
	struct timespec started;
	struct session *session;
	struct slice_bpf *bpf;
	const char *mountpoint;
	int fuse_fd;
	int mnt_fd;
	sigset_t signals;
};

/* To stderr while somebody looks at it, then to the log. */
static bool in_background;

static void say(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (in_background) {
		vsyslog(level, fmt, ap);
	} else {
		fputs("daxslice: ", stderr);
		vfprintf(stderr, fmt, ap);
		fputc('\n', stderr);
	}
	va_end(ap);
}

/* ---- the directory ---- */

static void server_attr(const struct server *s, uint64_t nodeid, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_ino = nodeid;
	ret->st_atim = ret->st_mtim = ret->st_ctim = s->started;
	ret->st_blksize = (blksize_t)sysconf(_SC_PAGESIZE);
	if (nodeid == FUSE_ROOT_ID) {
		ret->st_mode = S_IFDIR | 0755;
		ret->st_nlink = 2;
		return;
	}
	ret->st_mode = S_IFREG | 0644;
	ret->st_nlink = 1;
	ret->st_size = (off_t)s->table.files[nodeid - SLICE_NODEID_FIRST].slice.size;
	ret->st_blocks = ret->st_size / 512;
}

static bool server_has(const struct server *s, uint64_t nodeid)
{
	return nodeid == FUSE_ROOT_ID ||
	       (nodeid >= SLICE_NODEID_FIRST && nodeid - SLICE_NODEID_FIRST < s->table.nr_files);
}

static void server_entry(const struct server *s, uint64_t nodeid, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = nodeid,
		.generation = SLICE_GENERATION,
		.attr_timeout = FOREVER_S,
		.entry_timeout = FOREVER_S,
	};
	server_attr(s, nodeid, &ret->attr);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct server *s = session_userdata(req);
	struct fuse_entry_param e;
	long i = parent == FUSE_ROOT_ID ? table_find(&s->table, name) : -1;

	if (i < 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	server_entry(s, SLICE_NODEID_FIRST + (uint64_t)i, &e);
	fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct server *s = session_userdata(req);
	struct stat st;

	(void)fi;
	if (!server_has(s, ino)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	server_attr(s, ino, &st);
	fuse_reply_attr(req, &st, FOREVER_S);
}

/* ENOSYS: opened without a request from now on, and so closed. */
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

/* One entry of a directory; returns the bytes that it takes, more than size if too many. */
static size_t server_dirent(const struct server *s, fuse_req_t req, bool plus, char *buf,
			    size_t size, size_t i)
{
	uint64_t id = i < 2 ? FUSE_ROOT_ID : SLICE_NODEID_FIRST + i - 2;
	const char *name = i == 0 ? "." : i == 1 ? ".." : s->table.files[i - 2].name;
	struct fuse_entry_param e;
	struct stat st;

	if (plus) {
		server_entry(s, id, &e);
		/* The kernel has these two already, and counts no lookup for them. */
		if (i < 2)
			e.ino = 0;
		return fuse_add_direntry_plus(req, buf, size, name, &e, (off_t)(i + 1));
	}
	server_attr(s, id, &st);
	return fuse_add_direntry(req, buf, size, name, &st, (off_t)(i + 1));
}

/* Cookie n: n entries were given out. */
static void server_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	const struct server *s = session_userdata(req);
	size_t used = 0;
	char *buf;

	if (ino != FUSE_ROOT_ID || off < 0) {
		fuse_reply_err(req, ino != FUSE_ROOT_ID ? ENOTDIR : EINVAL);
		return;
	}
	buf = malloc(size);
	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (size_t i = (size_t)off; i < s->table.nr_files + 2; i++) {
		size_t n = server_dirent(s, req, plus, buf + used, size - used, i);

		if (n > size - used)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	(void)fi;
	server_readdir(req, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	(void)fi;
	server_readdir(req, ino, size, off, true);
}

static const struct fuse_lowlevel_ops server_ops = {
	.lookup		= op_lookup,
	.getattr	= op_getattr,
	.open		= op_open,
	.flush		= op_flush,
	.readdir	= op_readdir,
	.readdirplus	= op_readdirplus,
};

/* ---- the mappings, by upcall ---- */

static const struct slice_range *server_range(void *ctx, uint32_t i)
{
	const struct server *s = ctx;

	return i < s->table.nr_ranges ? &s->table.ranges[i] : NULL;
}

static int server_iomap_begin(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
			      struct fuse_iomap_io *out)
{
	struct server *s = userdata;

	if (nodeid == FUSE_ROOT_ID || !server_has(s, nodeid))
		return -ENXIO;
	if (in->generation != SLICE_GENERATION)
		return -ESTALE;
	return slice_resolve(&s->table.files[nodeid - SLICE_NODEID_FIRST].slice, server_range, s,
			     in->pos, out);
}

static void server_dev_event(void *userdata, const struct fuse_iomap_dev_event_in *in)
{
	const struct server *s = userdata;
	const char *path = "unknown device";

	for (size_t i = 0; i < s->table.nr_devices; i++)
		if (s->table.devices[i].id == in->dev)
			path = s->table.devices[i].path;
	if (in->flags & FUSE_IOMAP_DEV_REMOVED)
		say(LOG_ERR, "%s was removed; files on it give EIO", path);
	else
		say(LOG_ERR, "%s failed at %llu, %llu bytes", path, (unsigned long long)in->offset,
		    (unsigned long long)in->length);
}

/* ---- devices ---- */

/* Bytes; 0 when it is neither a block device nor a DAX device. */
static uint64_t device_size(int fd)
{
	char path[80];
	uint64_t size = 0;
	struct stat st;
	FILE *f;

	if (fstat(fd, &st))
		return 0;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, &size) ? 0 : size;
	if (!S_ISCHR(st.st_mode))
		return 0;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(st.st_rdev),
		 minor(st.st_rdev));
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%lu", &size) != 1)
		size = 0;
	fclose(f);
	return size;
}

/* The kernel holds the device from here on; the fd is not needed any more. */
static int server_add_device(struct server *s, struct table_device *dev, struct session_msg *msg)
{
	int fd = open(dev->path, O_RDWR | O_CLOEXEC);
	uint64_t size;
	int err;

	if (fd < 0) {
		err = -errno;
		session_say(msg, "%s: %s", dev->path, strerror(-err));
		return err;
	}
	size = device_size(fd);
	err = session_add_device(s->fuse_fd, fd, dev->path, &dev->id, msg);
	close(fd);
	if (!err && dev->end > size) {
		session_say(msg, "%s: a range of the table ends at %llu, the device at %llu",
			    dev->path, (unsigned long long)dev->end, (unsigned long long)size);
		err = -ERANGE;
	}
	return err;
}

static int server_add_devices(struct server *s, struct session_msg *msg)
{
	for (size_t i = 0; i < s->table.nr_devices; i++) {
		int err = server_add_device(s, &s->table.devices[i], msg);

		if (err)
			return err;
	}
	table_set_ids(&s->table);
	return 0;
}

/* ---- life ---- */

/* The mount is made whole while it is attached nowhere, then shown. */
static int server_mount(struct server *s, bool bpf, struct session_msg *msg)
{
	const struct session_mount mount = {
		.source = "daxslice",
		.subtype = "daxslice",
		.attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	};
	struct session_msg why = { 0 };
	int err;

	err = session_fsmount(s->fuse_fd, &mount, &s->mnt_fd, msg);
	if (err == -ENOTCONN) {
		/* INIT was refused; who refused it knows why. */
		int init_err = session_wait_init(s->session, &why);

		if (init_err && why.text[0])
			*msg = why;
	}
	if (err)
		return err;

	err = server_add_devices(s, msg);
	if (!err && bpf)
		err = slice_bpf_attach(&s->table, s->fuse_fd, &s->bpf, msg);
	if (err)
		return err;

	if (move_mount(s->mnt_fd, "", AT_FDCWD, s->mountpoint, MOVE_MOUNT_F_EMPTY_PATH)) {
		err = -errno;
		session_say(msg, "cannot mount on %s: %s", s->mountpoint, strerror(-err));
	}
	return err;
}

static int server_start(struct server *s, bool bpf, struct session_msg *msg)
{
	const struct session_config config = {
		.name = "daxslice",
		.ops = &server_ops,
		.userdata = s,
		.methods = bpf ? FUSE_IOMAP_METHOD_BPF : FUSE_IOMAP_METHOD_UPCALL,
		.iomap_begin = server_iomap_begin,
		.dev_event = server_dev_event,
	};
	int err;

	err = session_open_fuse(&s->fuse_fd, msg);
	if (err)
		return err;
	err = session_new(&config, s->fuse_fd, &s->session, msg);
	if (err)
		return err;
	err = session_start(s->session, msg);
	if (err)
		return err;
	return server_mount(s, bpf, msg);
}

/* In this order: a connection without a mount ends, and with it the threads. */
static void server_end(struct server *s)
{
	if (s->mnt_fd >= 0)
		close(s->mnt_fd);
	if (s->session) {
		session_stop(s->session);
		session_wait(s->session);
	}
	slice_bpf_free(s->bpf);
	session_free(s->session);
	if (s->fuse_fd >= 0)
		close(s->fuse_fd);
	table_free(&s->table);
}

/* The first signal unmounts, which waits for open files; the second gives up. */
static void *server_signals(void *arg)
{
	struct server *s = arg;
	bool again = false;
	int sig;

	while (!sigwait(&s->signals, &sig)) {
		if (again || umount2(s->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW))
			session_stop(s->session);
		again = true;
	}
	return NULL;
}

static int server_watch_signals(struct server *s)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, server_signals, s))
		return -EAGAIN;
	pthread_detach(thread);
	return 0;
}

/* The parent may go, and whoever waits for the end of its output, too. */
static int leave_terminal(int ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 ||
	    write(ready_fd, "", 1) != 1)
		return -1;
	openlog("daxslice", LOG_PID, LOG_DAEMON);
	in_background = true;
	close(null);
	close(ready_fd);
	return chdir("/");
}

/* ready_fd: gets one byte once the mount is there; -1 in the foreground. */
static int server_run(struct server *s, bool bpf, int ready_fd)
{
	struct session_msg msg = { 0 };
	int err;

	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGTERM);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
	/* Somebody killed the parent: leave_terminal() says so */
	signal(SIGPIPE, SIG_IGN);

	err = server_start(s, bpf, &msg);
	if (!err)
		err = server_watch_signals(s);
	if (err) {
		say(LOG_ERR, "%s", msg.text[0] ? msg.text : strerror(-err));
		return 1;
	}
	/* Or the mount would live for as long as we hold it. */
	close(s->mnt_fd);
	s->mnt_fd = -1;
	if (ready_fd >= 0 && leave_terminal(ready_fd)) {
		umount2(s->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
		return 1;
	}

	err = session_wait(s->session);
	if (err)
		say(LOG_ERR, "reading /dev/fuse: %s", strerror(-err));
	return err ? 1 : 0;
}

/*
 * The parent's exit status says whether the mount is there. Must come before any
 * thread. Return: -1 in the child, else what to exit with.
 */
static int background(int *ret_ready_fd)
{
	int pipe_fd[2], status;
	char byte;
	pid_t pid;

	if (pipe2(pipe_fd, O_CLOEXEC) || (pid = fork()) < 0) {
		say(LOG_ERR, "cannot go to the background: %s", strerror(errno));
		return 1;
	}
	if (pid) {
		close(pipe_fd[1]);
		if (read(pipe_fd[0], &byte, 1) == 1)
			return 0;
		waitpid(pid, &status, 0);
		return 1;
	}
	close(pipe_fd[0]);
	setsid();
	*ret_ready_fd = pipe_fd[1];
	return -1;
}

static void usage(FILE *f)
{
	fputs("Usage: daxslice [-f] [--bpf|--upcall] TABLE MOUNTPOINT\n"
	      "Serve ranges of DAX devices as files.\n\n"
	      "  -f, --foreground  stay in the foreground\n"
	      "      --bpf         a BPF program answers page faults\n"
	      "      --upcall      the server answers them (default)\n"
	      "  -h, --help        this text\n\n"
	      "TABLE has one file per line, numbers in bytes or with K, M, G, T:\n"
	      "  NAME linear         DEVICE OFFSET LENGTH\n"
	      "  NAME concat         DEVICE OFFSET LENGTH [DEVICE OFFSET LENGTH]...\n"
	      "  NAME striped CHUNK  DEVICE OFFSET LENGTH [DEVICE OFFSET LENGTH]...\n",
	      f);
}

int main(int argc, char **argv)
{
	enum { OPT_BPF = 256, OPT_UPCALL };
	static const struct option options[] = {
		{ "foreground", no_argument, NULL, 'f' },
		{ "bpf", no_argument, NULL, OPT_BPF },
		{ "upcall", no_argument, NULL, OPT_UPCALL },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct server server = { .fuse_fd = -1, .mnt_fd = -1 };
	bool foreground = false, bpf = false;
	char msg[TABLE_MSG_MAX];
	int opt, ready_fd = -1, ret;

	while ((opt = getopt_long(argc, argv, "fh", options, NULL)) >= 0) {
		switch (opt) {
		case 'f':
			foreground = true;
			break;
		case OPT_BPF:
		case OPT_UPCALL:
			bpf = opt == OPT_BPF;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (argc - optind != 2) {
		usage(stderr);
		return 2;
	}

	if (table_read(argv[optind], &server.table, msg)) {
		say(LOG_ERR, "%s", msg);
		return 1;
	}
	server.mountpoint = realpath(argv[optind + 1], NULL);
	if (!server.mountpoint) {
		say(LOG_ERR, "%s: %s", argv[optind + 1], strerror(errno));
		ret = 1;
	} else {
		clock_gettime(CLOCK_REALTIME, &server.started);
		ret = foreground ? -1 : background(&ready_fd);
		if (ret < 0)
			ret = server_run(&server, bpf, ready_fd);
	}
	server_end(&server);
	free((char *)server.mountpoint);
	return ret;
}
