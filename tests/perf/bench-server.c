// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-bench-server: serves files of a layout on DAX devices under one variant of the
 * mapping, runs a command on them, and ends with it:
 *
 *	famfs-bench-server --variant bpf-array --device /dev/pmem0 --layout 'l=simple:64m' \
 *		/mnt/bench -- famfs-bench touch4k --file /mnt/bench/l
 *
 * Its files may be many, 4 KiB large, or in pieces, which famfs media cannot be. With
 * --plain cache|direct it is a server without mappings that keeps the files in memory:
 * what plain FUSE costs. The command inherits FAMFS_BENCH_CTL, an fd: a byte written
 * there is answered by the number of FUSE requests so far.
 *
 * Prints rows as famfs-bench does: memory, counters of the kernel, time to attach.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "bench_layout.h"
#include "devices.h"
#include "session.h"

#define FOREVER_S	1e9

enum plain { PLAIN_NO, PLAIN_CACHE, PLAIN_DIRECT };

struct server {
	struct layout layout;
	struct device devs[LAYOUT_DEVS_MAX];
	size_t nr_devs;
	const char *const *words;
	size_t nr_words;
	enum plain plain;
	size_t drawn;			/* keep the layout of files only that --draws of these visit */
	char *store;			/* plain: all files, one after the other */
	uint64_t *store_at;
	struct session *session;
	struct bench_variant *variant;
	const char *mountpoint;
	int fuse_fd, mnt_fd;
	bool mounted;
};

/* famfs-bench's rows name a variant and a load; of these the load is "server". */
struct bench_opts opts = { .load = "server", .variant = "upcall", .seed = 1 };

static volatile sig_atomic_t interrupted;

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("famfs-bench-server: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* ---- the directory ---- */

static bool server_has(const struct server *s, uint64_t nodeid)
{
	return nodeid == FUSE_ROOT_ID || nodeid - BENCH_NODEID_FIRST < s->layout.nr_files;
}

static void server_attr(const struct server *s, uint64_t nodeid, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_ino = nodeid;
	ret->st_blksize = SZ_4K;
	ret->st_nlink = nodeid == FUSE_ROOT_ID ? 2 : 1;
	ret->st_mode = nodeid == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	if (nodeid != FUSE_ROOT_ID)
		ret->st_size = (off_t)s->layout.files[nodeid - BENCH_NODEID_FIRST].size;
	ret->st_blocks = ret->st_size / 512;
}

static void server_entry(const struct server *s, uint64_t nodeid, struct fuse_entry_param *ret)
{
	*ret = (struct fuse_entry_param){
		.ino = nodeid,
		.generation = nodeid == FUSE_ROOT_ID
				      ? 0
				      : s->layout.files[nodeid - BENCH_NODEID_FIRST].generation,
		.attr_timeout = FOREVER_S,
		.entry_timeout = FOREVER_S,
	};
	server_attr(s, nodeid, &ret->attr);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct server *s = session_userdata(req);
	long i = parent == FUSE_ROOT_ID ? layout_find(&s->layout, name) : -1;
	struct fuse_entry_param e;

	if (i < 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	server_entry(s, BENCH_NODEID_FIRST + (uint64_t)i, &e);
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

/* Mapped files need neither open nor release; a plain server says how it caches. */
static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct server *s = session_userdata(req);

	(void)ino;
	if (!s->plain) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->direct_io = s->plain == PLAIN_DIRECT;
	fi->keep_cache = s->plain == PLAIN_CACHE;
	fuse_reply_open(req, fi);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static size_t server_dirent(const struct server *s, fuse_req_t req, bool plus, char *buf,
			    size_t size, size_t i)
{
	uint64_t id = i < 2 ? FUSE_ROOT_ID : BENCH_NODEID_FIRST + i - 2;
	char name[LAYOUT_NAME_MAX] = "..";
	struct fuse_entry_param e;
	struct stat st;

	if (i == 0)
		name[1] = '\0';
	else if (i > 1)
		layout_name(&s->layout, i - 2, name);
	if (plus) {
		server_entry(s, id, &e);
		if (i < 2)
			e.ino = 0;
		return fuse_add_direntry_plus(req, buf, size, name, &e, (off_t)(i + 1));
	}
	server_attr(s, id, &st);
	return fuse_add_direntry(req, buf, size, name, &st, (off_t)(i + 1));
}

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
	for (size_t i = (size_t)off; i < s->layout.nr_files + 2; i++) {
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

/* ---- data, of a plain server only ---- */

static char *store_range(const struct server *s, fuse_ino_t ino, off_t off, size_t *size)
{
	const struct bench_file *f = &s->layout.files[ino - BENCH_NODEID_FIRST];

	if ((uint64_t)off >= f->size)
		*size = 0;
	else if (*size > f->size - (uint64_t)off)
		*size = f->size - (uint64_t)off;
	return s->store + s->store_at[ino - BENCH_NODEID_FIRST] + off;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	const struct server *s = session_userdata(req);
	char *at;

	(void)fi;
	if (!s->store) {
		fuse_reply_err(req, EIO);
		return;
	}
	at = store_range(s, ino, off, &size);
	fuse_reply_buf(req, at, size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	const struct server *s = session_userdata(req);
	char *at;

	(void)fi;
	if (!s->store) {
		fuse_reply_err(req, EIO);
		return;
	}
	at = store_range(s, ino, off, &size);
	memcpy(at, buf, size);
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops server_ops = {
	.lookup		= op_lookup,
	.getattr	= op_getattr,
	.open		= op_open,
	.flush		= op_flush,
	.read		= op_read,
	.write		= op_write,
	.readdir	= op_readdir,
	.readdirplus	= op_readdirplus,
};

static int server_iomap_begin(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
			      struct fuse_iomap_io *out)
{
	struct server *s = userdata;

	if (nodeid == FUSE_ROOT_ID || !server_has(s, nodeid))
		return -ENXIO;
	return bench_resolve(&s->layout.files[nodeid - BENCH_NODEID_FIRST], in->pos, out);
}

/* ---- what there is to serve ---- */

static int store_make(struct server *s)
{
	uint64_t bytes = 0;

	s->store_at = calloc(s->layout.nr_files, sizeof(*s->store_at));
	if (!s->store_at)
		return -ENOMEM;
	for (size_t i = 0; i < s->layout.nr_files; i++) {
		s->store_at[i] = bytes;
		bytes += (s->layout.files[i].size + SZ_4K - 1) & ~(SZ_4K - 1);
	}
	s->store = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s->store == MAP_FAILED) {
		s->store = NULL;
		return -ENOMEM;
	}
	memset(s->store, 0x5a, bytes);
	return 0;
}

static int server_make_layout(struct server *s, struct session_msg *msg)
{
	struct layout *l = &s->layout;
	char why[LAYOUT_MSG_MAX] = "";

	for (size_t i = 0; i < s->nr_words; i++) {
		int err = layout_add(l, s->words[i], why);

		if (err) {
			session_say(msg, "%s", why[0] ? why : strerror(-err));
			return err;
		}
	}
	if (s->drawn)
		return layout_keep_drawn(l, s->drawn);
	return s->plain ? store_make(s) : 0;
}

static int server_add_devices(struct server *s, struct session_msg *msg)
{
	for (size_t i = 0; i < s->nr_devs; i++) {
		struct layout_dev *d = &s->layout.devs[i];
		int err =
			session_add_device(s->fuse_fd, s->devs[i].fd, s->devs[i].path, &d->id, msg);

		if (err)
			return err;
		d->size = s->devs[i].size;
	}
	s->layout.nr_devs = s->nr_devs;
	if (s->plain) {
		/* Nowhere: only sizes count */
		s->layout.devs[0].size = UINT64_MAX / 2;
		s->layout.nr_devs = 1;
	}
	return 0;
}

static int server_open_file(void *ctx, size_t i)
{
	struct server *s = ctx;
	char name[LAYOUT_NAME_MAX];
	int fd;

	layout_name(&s->layout, i, name);
	fd = openat(s->mnt_fd, name, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int server_attach(struct server *s, struct session_msg *msg)
{
	const struct bench_conn conn = {
		.fuse_fd = s->fuse_fd,
		.unit_shift = s->layout.unit_shift,
		.open_file = server_open_file,
		.ctx = s,
	};
	char why[BENCH_MSG_MAX] = "";
	int err;

	if (s->plain || !strcmp(opts.variant, "upcall"))
		return 0;
	err = bench_variant_attach(&conn, opts.variant, s->layout.files, s->layout.nr_files,
				   &s->variant, why);
	if (err)
		session_say(msg, "%s: %s", opts.variant, why[0] ? why : strerror(-err));
	return err;
}

/* Up to a mount that is attached nowhere. */
static int server_session(struct server *s, uint32_t methods, struct session_msg *msg)
{
	const struct session_config config = {
		.name = "famfs-bench-server",
		.ops = &server_ops,
		.userdata = s,
		.methods = methods,
		.iomap_begin = server_iomap_begin,
		.threads = 1,
	};
	const struct session_mount mount = { .source = "famfs-bench", .subtype = "famfs-bench" };
	int err;

	err = session_open_fuse(&s->fuse_fd, msg);
	if (!err)
		err = session_new(&config, s->fuse_fd, &s->session, msg);
	if (!err)
		err = session_start(s->session, msg);
	if (!err)
		err = session_fsmount(s->fuse_fd, &mount, &s->mnt_fd, msg);
	if (err == -ENOTCONN)
		session_wait_init(s->session, msg);
	return err;
}

static void server_session_end(struct server *s)
{
	if (s->mnt_fd >= 0)
		close(s->mnt_fd);
	if (s->session) {
		session_stop(s->session);
		session_wait(s->session);
	}
	session_free(s->session);
	s->session = NULL;
	if (s->fuse_fd >= 0)
		close(s->fuse_fd);
	s->fuse_fd = s->mnt_fd = -1;
}

static int server_start(struct server *s, struct session_msg *msg)
{
	uint32_t all = s->plain ? 0 : bench_methods(~0U);
	uint32_t some = all & (FUSE_IOMAP_METHOD_UPCALL | FUSE_IOMAP_METHOD_BPF);
	int err;

	err = server_session(s, all, msg);
	/* A kernel without static maps refuses what asks for them. */
	if (err && all != some && strcmp(opts.variant, "static")) {
		server_session_end(s);
		memset(msg, 0, sizeof(*msg));
		err = server_session(s, some, msg);
	}
	if (!err)
		err = server_add_devices(s, msg);
	if (!err)
		err = server_make_layout(s, msg);
	if (!err)
		err = server_attach(s, msg);
	if (err)
		return err;
	if (move_mount(s->mnt_fd, "", AT_FDCWD, s->mountpoint, MOVE_MOUNT_F_EMPTY_PATH)) {
		err = -errno;
		session_say(msg, "cannot mount on %s: %s", s->mountpoint, strerror(-err));
		return err;
	}
	s->mounted = true;
	return 0;
}

static void server_end(struct server *s)
{
	if (s->mounted)
		umount2(s->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
	/* While its files can still be opened */
	bench_variant_detach(s->variant);
	server_session_end(s);
	for (size_t i = 0; i < s->nr_devs; i++)
		device_close(&s->devs[i]);
	layout_free(&s->layout);
}

/* ---- what it took ---- */

/* A number of a line "name: number" of a file of /proc. */
static long long proc_number(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	size_t len = strlen(name);
	long long value = -1;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = atoll(line + len + 1);
	if (f)
		fclose(f);
	return value;
}

struct memory {
	long long slab;
	long long vmalloc;
	long long server;
};

static void memory_read(struct memory *m)
{
	m->slab = proc_number("/proc/meminfo", "Slab") << 10;
	m->vmalloc = proc_number("/proc/meminfo", "VmallocUsed") << 10;
	m->server = proc_number("/proc/self/status", "VmRSS") << 10;
}

static void server_report(const struct server *s, const struct memory *before)
{
	struct json_object *p = params_new();
	struct bench_variant_info info;
	struct memory after;

	json_object_object_add(p, "files", json_object_new_int64((int64_t)s->layout.nr_files));
	memory_read(&after);
	if (s->variant) {
		bench_variant_info(s->variant, &info);
		row_value("mem.map", "bytes", p, (double)info.map_bytes);
		row_value("mem.kernel", "bytes", p, (double)info.kernel_bytes);
		row_value("mem.programs", "bytes", p, (double)info.prog_bytes);
		row_value("programs", "count", p, (double)info.programs);
		row_value("attach-time", "ns", p, (double)info.load_ns);
	}
	row_value("mem.slab", "bytes", p, (double)(after.slab - before->slab));
	row_value("mem.vmalloc", "bytes", p, (double)(after.vmalloc - before->vmalloc));
	row_value("mem.server", "bytes", p, (double)(after.server - before->server));
	json_object_put(p);
}

/*
 * A figure of another variant than the one it is said to be of would be worse than none:
 * who answered is in the kernel's own counters.
 */
static int server_check(const struct server *s)
{
	static const char *const must_be_0[] = { "iomap_upcall", "iomap_fallback", "iomap_error" };
	long long rejects = 0;
	char path[64], line[128];
	FILE *f;

	if (s->plain)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", s->fuse_fd);
	for (size_t i = 0; s->variant && i < 3; i++) {
		long long n = proc_number(path, must_be_0[i]);

		if (n > 0) {
			fprintf(stderr,
				"famfs-bench-server: %s: %s is %lld, not 0: another variant answered\n",
				opts.variant, must_be_0[i], n);
			return 1;
		}
	}
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "iomap_reject_", 13) && strchr(line, ':'))
			rejects += atoll(strchr(line, ':') + 1);
	if (f)
		fclose(f);
	if (rejects)
		fprintf(stderr, "famfs-bench-server: %s: the kernel rejected %lld mappings\n",
			opts.variant, rejects);
	return rejects != 0;
}

/* ---- the command ---- */

static void on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static pid_t command_start(char **argv, int ctl[2])
{
	char env[16];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ctl))
		return -1;
	fcntl(ctl[0], F_SETFD, FD_CLOEXEC);
	snprintf(env, sizeof(env), "%d", ctl[1]);
	setenv("FAMFS_BENCH_CTL", env, 1);
	setenv("FAMFS_BENCH_VARIANT", opts.variant, 1);
	if (opts.exact)
		setenv("FAMFS_BENCH_EXACT", "1", 1);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		execvp(argv[0], argv);
		fprintf(stderr, "famfs-bench-server: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(ctl[1]);
	return pid;
}

/* Answer the command's questions until it and its children are gone. */
static void command_serve(const struct server *s, int ctl, pid_t pid)
{
	struct session_stats stats;
	char question, answer[32];

	while (!interrupted) {
		struct pollfd p = { .fd = ctl, .events = POLLIN };

		if (poll(&p, 1, -1) <= 0 || read(ctl, &question, 1) != 1)
			break;
		session_stats(s->session, &stats);
		snprintf(answer, sizeof(answer), "%llu", (unsigned long long)stats.requests);
		if (write(ctl, answer, strlen(answer)) < 0)
			break;
	}
	if (interrupted)
		kill(-pid, SIGTERM);
}

/* Exit status of the command. */
static int command_run(const struct server *s, char **argv)
{
	int ctl[2], status = 0;
	pid_t pid = command_start(argv, ctl);

	if (pid < 0) {
		fprintf(stderr, "famfs-bench-server: cannot start %s: %s\n", argv[0],
			strerror(errno));
		return 1;
	}
	command_serve(s, ctl[0], pid);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (interrupted)
			kill(-pid, SIGTERM);
	close(ctl[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- */

static void usage(FILE *f)
{
	fputs("Usage: famfs-bench-server [OPTION]... MOUNTPOINT -- COMMAND [ARGUMENT]...\n"
	      "Serve files on DAX devices under a variant of the mapping while COMMAND runs.\n\n"
	      "      --variant NAME    who answers: upcall (default)",
	      f);
	for (const char *const *v = bench_variant_names; *v; v++)
		fprintf(f, ", %s", *v);
	fputs("\n      --device DEV      /dev/pmemN, or /dev/daxN.M under fsdev_dax; repeatable\n"
	      "      --layout WORD     files; repeatable:\n"
	      "                        NAME=simple:SIZE  NAME=strips:N:CHUNK:SIZE\n"
	      "                        NAME=extents:N:SIZE  NAME=files:N:SIZE\n"
	      "      --unit N          log2 of the allocation unit, 12 to 21 (21)\n"
	      "      --plain HOW       no mappings: cache or direct (FOPEN_DIRECT_IO)\n"
	      "      --only-drawn N    only files that N draws, zipf or uniform, would visit have\n"
	      "                        a layout; for variants that open each file beforehand\n"
	      "      --exact           runs under qemu -icount\n"
	      "      --fifo            server and command run as SCHED_FIFO, so that which of\n"
	      "                        them runs does not depend on where a tick falls\n"
	      "      --param K=V       more parameters for the rows; repeatable\n"
	      "      --probe NAME      only say whether the kernel has this variant\n"
	      "  -h, --help            this text\n",
	      f);
}

static void usage_error(const char *what)
{
	fprintf(stderr, "famfs-bench-server: %s; famfs-bench-server --help\n", what);
	exit(2);
}

static int probe(const char *name)
{
	char msg[BENCH_MSG_MAX] = "";
	int err = strcmp(name, "upcall") ? bench_variant_probe(name, msg) : 0;

	if (err)
		fprintf(stderr, "famfs-bench-server: %s: %s\n", name,
			msg[0] ? msg : strerror(-err));
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	enum {
		OPT_VARIANT = 256,
		OPT_DEVICE,
		OPT_LAYOUT,
		OPT_UNIT,
		OPT_PLAIN,
		OPT_EXACT,
		OPT_FIFO,
		OPT_DRAWN,
		OPT_PARAM,
		OPT_PROBE
	};
	static const struct option options[] = {
		{ "variant", required_argument, NULL, OPT_VARIANT },
		{ "device", required_argument, NULL, OPT_DEVICE },
		{ "layout", required_argument, NULL, OPT_LAYOUT },
		{ "unit", required_argument, NULL, OPT_UNIT },
		{ "plain", required_argument, NULL, OPT_PLAIN },
		{ "exact", no_argument, NULL, OPT_EXACT },
		{ "fifo", no_argument, NULL, OPT_FIFO },
		{ "only-drawn", required_argument, NULL, OPT_DRAWN },
		{ "param", required_argument, NULL, OPT_PARAM },
		{ "probe", required_argument, NULL, OPT_PROBE },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct server s = { .fuse_fd = -1,
			    .mnt_fd = -1,
			    .layout = { .unit_shift = 21, .seed = 1 } };
	const char **words = calloc((size_t)argc, sizeof(*words));
	struct sigaction action = { .sa_handler = on_signal };
	struct session_msg msg = { 0 };
	struct memory before;
	int opt, status, err;

	opts.params = json_object_new_object();
	while ((opt = getopt_long(argc, argv, "+h", options, NULL)) >= 0) {
		switch (opt) {
		case OPT_VARIANT:
			opts.variant = optarg;
			break;
		case OPT_DEVICE:
			if (s.nr_devs == LAYOUT_DEVS_MAX)
				usage_error("too many devices");
			if (device_open(optarg, false, &s.devs[s.nr_devs], &msg))
				fail("%s", msg.text);
			s.nr_devs++;
			break;
		case OPT_LAYOUT:
			words[s.nr_words++] = optarg;
			break;
		case OPT_UNIT:
			s.layout.unit_shift = (uint32_t)atoi(optarg);
			break;
		case OPT_PLAIN:
			s.plain = strcmp(optarg, "cache") ? PLAIN_DIRECT : PLAIN_CACHE;
			break;
		case OPT_EXACT:
			opts.exact = true;
			break;
		case OPT_FIFO:
			if (sched_setscheduler(0, SCHED_FIFO,
					       &(struct sched_param){ .sched_priority = 1 }))
				fail("--fifo: %s", strerror(errno));
			break;
		case OPT_DRAWN:
			s.drawn = (size_t)atol(optarg);
			break;
		case OPT_PARAM:
			if (!strchr(optarg, '='))
				usage_error("--param is not KEY=VALUE");
			*strchr(optarg, '=') = '\0';
			json_object_object_add(opts.params, optarg,
					       json_object_new_string(optarg + strlen(optarg) + 1));
			break;
		case OPT_PROBE:
			return probe(optarg);
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage_error("wrong option");
		}
	}
	if (argc - optind < 3 || strcmp(argv[optind + 1], "--"))
		usage_error("no MOUNTPOINT -- COMMAND");
	if (!s.nr_words || (!s.nr_devs && !s.plain))
		usage_error("needs --layout, and --device");
	if (s.layout.unit_shift < 12 || s.layout.unit_shift > 21)
		usage_error("--unit is not between 12 and 21");
	if (strcmp(opts.variant, "upcall") && !s.plain && probe(opts.variant))
		return 1;
	s.words = words;
	s.mountpoint = argv[optind];
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);

	memory_read(&before);
	err = server_start(&s, &msg);
	if (err) {
		fprintf(stderr, "famfs-bench-server: %s\n",
			msg.text[0] ? msg.text : strerror(-err));
		status = 1;
	} else {
		status = command_run(&s, argv + optind + 2);
		server_report(&s, &before);
		if (server_check(&s))
			status = 1;
	}
	server_end(&s);
	free(words);
	json_object_put(opts.params);
	return status;
}
