// SPDX-License-Identifier: GPL-2.0-only
/*
 * mount.famfs, also installed as mount.fuse.famfs: the helper that mount(8) runs for
 * type famfs.
 *
 *	mount.famfs DEVICE DIR [-fnsv] [-o OPTIONS] [-t TYPE] [-N NAMESPACE]
 *
 * It mounts in the caller's namespace; the worker never does. The superblock is made
 * and filled while it is attached nowhere; move_mount() is the last step, so the
 * file system appears complete, or not at all. Target and devices are opened once,
 * and used by fd from then on.
 *
 * Two mounts of the superblock are made. The worker keeps the one that is attached
 * nowhere, to read the log through; what it keeps open there does not make the one
 * that users see busy for umount(8).
 *
 * Exit status as mount(8): 0; 1 usage or permission; 2 system error; 32 failure.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libmount/libmount.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "ctl.h"
#include "daemon_log.h"
#include "devices.h"
#include "hold.h"
#include "mount_options.h"
#include "session.h"

/* From the build; the variable is for trying a build without installing it. */
#ifndef FAMFS_LIBEXECDIR
#error "FAMFS_LIBEXECDIR is set by the build"
#endif
#define LIBEXEC_VARIABLE	"FAMFS_LIBEXECDIR"

/* The unit that is used where systemd runs; its instance is the escaped device. */
#define UNIT_PREFIX		"famfs-bpfd@"
#define UNIT_SUFFIX		".service"
#define INSTANCE_MAX		80
#define UNIT_MAX		(sizeof(UNIT_PREFIX UNIT_SUFFIX) + INSTANCE_MAX)

#define UNIT_BUSY_MS		5000	/* while it ends after an umount */
#define UNIT_BUSY_STEP_MS	100

#define SUBTYPE			"famfs"
#define FSTYPE			"fuse.famfs"

/* Of the mount that the worker keeps. */
#define PRIVATE_ATTRS \
	(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME)
#define ALL_ATTRS                                                                       \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | \
	 MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW)

enum mount_exit {
	EXIT_OK = 0,
	EXIT_USAGE = 1,		/* or not permitted */
	EXIT_SYSTEM = 2,
	EXIT_FAIL = 32,
};

struct mount_job {
	const char *program;
	const char *source;
	const char *target;
	const char *namespace;
	bool fake;
	bool sloppy;
	bool verbose;
	bool foreground;
	struct mount_options options;

	char libexec[256];
	int target_fd;
	struct device dev[FUSE_IOMAP_MAX_DEVS];
	unsigned int ndevs;
	int fuse_fd;
	int params_fd;
	int setup;			/* our end */
	int setup_peer;			/* the worker's */
	pid_t holder;
	bool by_systemd;
	char instance[INSTANCE_MAX];
	char unit[UNIT_MAX];
	pid_t systemctl;		/* "start", which waits for READY */
	bool unit_is_ours;		/* and is to be stopped if we fail */
	int private_fd;
};

static void usage(FILE *f)
{
	fprintf(f,
		"usage: mount.famfs DEVICE DIR [-fnsv] [-o OPTIONS]\n"
		"Mount a famfs file system. Use it through mount(8): mount -t famfs DEVICE DIR\n"
		"\n"
		"  DEVICE  DAX character device under fsdev_dax, or DAX block device\n"
		"  -f      check everything, mount nothing\n"
		"  -n      ignored    -s  ignore unknown options    -v  say what was done\n"
		"  -o      ro, rw, noexec, noatime, ...; nosuid and nodev are on by default,\n"
		"          allow_suid and allow_dev turn them off\n"
		"          dev=N:PATH  further device, N the index that the log gives it\n"
		"          recover     mount the entries before a bad one, read-only\n"
		"          poll=MS     how often the log is looked at (%d..%d, %d)\n"
		"          threads=N   that answer requests (1..%d, %d)\n"
		"          bpf, upcall who computes mappings (bpf)\n"
		"          manager=auto|systemd|holder  who keeps the fds of the worker\n"
		"          remount     change ro, rw, nodev, ... of a mount\n"
		"      --foreground    stay, log to stderr, unmount on SIGINT or SIGTERM\n",
		POLL_MIN_MS, POLL_MAX_MS, POLL_DEFAULT_MS, SESSION_THREADS_MAX, THREADS_DEFAULT);
}

/* The one line, there and in the log, and the exit status for an error. */
static int fail(const struct mount_job *job, int err, const struct session_msg *msg)
{
	char line[SESSION_MSG_MAX + 2 * PATH_MAX];

	snprintf(line, sizeof(line), "cannot mount '%s' on '%s': %s",
		 job->source ? job->source : "", job->target ? job->target : "",
		 msg->text[0] ? msg->text : strerror(-err));
	fprintf(stderr, "%s: %s\n", job->program, line);
	daemon_log_open(job->program, false);
	daemon_log(LOG_ERR, "%s", line);
	switch (err) {
	case -EPERM:
	case -EINVAL:
	case -ENXIO:		/* wrong driver */
	case -EOPNOTSUPP:	/* decided by an option; see fail_kernel() */
		return EXIT_USAGE;
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
		return EXIT_SYSTEM;
	}
	return EXIT_FAIL;
}

/* What came from the kernel or the worker is not the user's usage. */
static int fail_kernel(const struct mount_job *job, int err, const struct session_msg *msg)
{
	if (err == -EINVAL || err == -EOPNOTSUPP)
		err = -EIO;
	return fail(job, err, msg);
}

/* ---- before anything is done ---- */

static int parse_args(int argc, char **argv, struct mount_job *job, struct session_msg *msg)
{
	static const struct option options[] = {
		{ "foreground", no_argument, NULL, 'F' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c, err;

	mount_options_init(&job->options);
	while ((c = getopt_long(argc, argv, "fnsvo:t:N:h", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			job->fake = true;
			break;
		case 's':
			job->sloppy = true;
			break;
		case 'v':
			job->verbose = true;
			break;
		case 'n':
		case 't':
			break;
		case 'N':
			job->namespace = optarg;
			break;
		case 'F':
			job->foreground = true;
			break;
		case 'o':
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_OK);
		default:
			usage(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (argc - optind != 2) {
		usage(stderr);
		exit(EXIT_USAGE);
	}
	job->source = argv[optind];
	job->target = argv[optind + 1];

	/* Again for -o, which -s may follow. */
	optind = 1;
	while ((c = getopt_long(argc, argv, "fnsvo:t:N:h", options, NULL)) != -1) {
		if (c != 'o')
			continue;
		err = mount_options_parse(optarg, job->sloppy, &job->options, msg);
		if (err)
			return err;
	}
	return 0;
}

static int check_privilege(struct session_msg *msg)
{
	if (getauxval(AT_SECURE) || getuid() != geteuid()) {
		session_say(msg, "must not be installed setuid or with file capabilities");
		return -EPERM;
	}
	if (geteuid()) {
		session_say(msg, "only root may mount famfs: it hands out device memory");
		return -EPERM;
	}
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) ||
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_RAWIO)) {
		session_say(msg, "needs CAP_SYS_ADMIN and CAP_SYS_RAWIO");
		return -EPERM;
	}
	return 0;
}

static int enter_namespace(const struct mount_job *job, struct session_msg *msg)
{
	int fd, err = 0;

	if (!job->namespace)
		return 0;
	fd = open(job->namespace, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNS)) {
		err = -errno;
		session_say(msg, "cannot enter the mount namespace '%s': %s", job->namespace,
			    strerror(-err));
	}
	if (fd >= 0)
		close(fd);
	return err;
}

static int check_program(const char *dir, const char *name, struct session_msg *msg)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!access(path, X_OK))
		return 0;
	session_say(msg, "%s: %s; install famfs completely, or set %s", path, strerror(errno),
		    LIBEXEC_VARIABLE);
	return -ENOENT;
}

static int find_programs(struct mount_job *job, struct session_msg *msg)
{
	const char *dir = getenv(LIBEXEC_VARIABLE);
	struct stat st;
	int err;

	if (dir && (dir[0] != '/' || stat(dir, &st) || !S_ISDIR(st.st_mode) || st.st_uid ||
		    st.st_mode & (S_IWGRP | S_IWOTH))) {
		session_say(msg, "%s=%s: not a directory that only root can write to",
			    LIBEXEC_VARIABLE, dir);
		return -EINVAL;
	}
	if (snprintf(job->libexec, sizeof(job->libexec), "%s", dir ? dir : FAMFS_LIBEXECDIR) >=
	    (int)sizeof(job->libexec)) {
		session_say(msg, "%s: name too long", LIBEXEC_VARIABLE);
		return -EINVAL;
	}
	err = check_program(job->libexec, "famfs-holder", msg);
	return err ? err : check_program(job->libexec, "famfs-bpfd", msg);
}

/* Is this the root of a famfs mount? Asks no server. *ret_id: of the mount. */
static bool is_famfs(int fd)
{
	struct statx stx;
	struct libmnt_table *table;
	struct libmnt_iter *iter;
	struct libmnt_fs *fs;
	bool found = false;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) ||
	    !(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return false;
	table = mnt_new_table_from_file("/proc/self/mountinfo");
	iter = mnt_new_iter(MNT_ITER_FORWARD);
	while (table && iter && !mnt_table_next_fs(table, iter, &fs))
		if ((uint64_t)mnt_fs_get_id(fs) == stx.stx_mnt_id)
			found = mnt_fs_match_fstype(fs, FSTYPE);
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return found;
}

static int open_target(struct mount_job *job, struct session_msg *msg)
{
	int err;

	job->target_fd = open(job->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (job->target_fd < 0) {
		err = -errno;
		session_say(msg, "mount point: %s%s", strerror(-err),
			    err == -ENOENT ? "; make the directory first" : "");
		return err;
	}
	return 0;
}

static int open_devices(struct mount_job *job, struct session_msg *msg)
{
	bool read_only = mount_options_attrs(&job->options) & MOUNT_ATTR_RDONLY;
	int err;

	/* A mount that is remounted rw needs devices that can be written to. */
	err = device_open(job->source, job->options.recover, &job->dev[0], msg);
	if (err)
		return err;
	job->ndevs = 1;
	if (job->dev[0].read_only && !read_only) {
		session_say(msg, "%s: device is read-only; mount with -o ro", job->source);
		return -EROFS;
	}
	for (unsigned int i = 1; i <= job->options.ndevs; i++) {
		if (!job->options.dev[i]) {
			session_say(msg,
				    "device %u is not named, but device %u is: add "
				    "-o dev=%u:PATH",
				    i, job->options.ndevs, i);
			return -EINVAL;
		}
		err = device_open(job->options.dev[i], job->options.recover, &job->dev[i], msg);
		if (err)
			return err;
		job->ndevs++;
	}
	return 0;
}

/* ---- remount ---- */

static int remount(struct mount_job *job, struct session_msg *msg)
{
	struct mount_attr attr = { 0 };
	int err;

	if (job->options.fixed[0]) {
		session_say(msg, "remount cannot change '%s': unmount and mount again",
			    job->options.fixed);
		return -EINVAL;
	}
	err = open_target(job, msg);
	if (err)
		return err;
	if (!is_famfs(job->target_fd)) {
		session_say(msg, "not a mount of famfs");
		return -EINVAL;
	}
	attr.attr_set = job->options.attr_set;
	attr.attr_clr = job->options.attr_clear;
	if (attr.attr_set & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	if (job->fake)
		return 0;
	if (mount_setattr(job->target_fd, "", AT_EMPTY_PATH, &attr, sizeof(attr))) {
		err = -errno;
		session_say(msg, "remount: %s%s", strerror(-err),
			    err == -EBUSY ? "; files are open for writing" : "");
		return err;
	}
	return 0;
}

/* ---- the mount ---- */

/* What the worker is to know, as lines in a sealed memfd that outlives it. */
static int make_params(struct mount_job *job, struct session_msg *msg)
{
	const struct mount_options *o = &job->options;
	FILE *f;
	int fd, err;

	fd = memfd_create("famfs-params", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	f = fd < 0 ? NULL : fdopen(dup(fd), "w");
	if (!f) {
		err = -errno;
		session_say(msg, "memfd: %s", strerror(-err));
		return err;
	}
	fprintf(f,
		"mode=%s\nrecover=%d\nsuid=%d\npoll=%u\nthreads=%u\ndebug=%d\n"
		"foreground=%d\n",
		mount_mode_names[o->mode], o->recover, o->suid, o->poll_ms, o->threads,
		o->debug && job->foreground, job->foreground);
	for (unsigned int i = 0; i < job->ndevs; i++)
		fprintf(f, "dev%u=%s\nsize%u=%llu\n", i, job->dev[i].path, i,
			(unsigned long long)job->dev[i].size);
	err = ferror(f) ? -EIO : 0;
	if (fclose(f) || err ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		session_say(msg, "memfd: %s", strerror(errno));
		return -EIO;
	}
	job->params_fd = fd;
	return 0;
}

/* In the child: fds from 3 up with their names, as sd_listen_fds(3) wants them. */
static int pass_fds(const struct mount_job *job)
{
	struct {
		int fd;
		char name[HOLD_NAME_MAX];
	} pass[FUSE_IOMAP_MAX_DEVS + 3];
	char names[(FUSE_IOMAP_MAX_DEVS + 3) * (HOLD_NAME_MAX + 1)] = "";
	char number[16];
	size_t at = 0;
	int n = 0;

	pass[n].fd = job->fuse_fd;
	strcpy(pass[n++].name, "fuse");
	pass[n].fd = job->params_fd;
	strcpy(pass[n++].name, "params");
	pass[n].fd = job->setup_peer;
	strcpy(pass[n++].name, "setup");
	for (unsigned int i = 0; i < job->ndevs; i++) {
		pass[n].fd = job->dev[i].fd;
		snprintf(pass[n++].name, HOLD_NAME_MAX, "dev%u", i);
	}
	for (int i = 0; i < n; i++) {
		pass[i].fd = fcntl(pass[i].fd, F_DUPFD_CLOEXEC, 3 + HOLD_FDS_MAX);
		if (pass[i].fd < 0)
			return -errno;
	}
	for (int i = 0; i < n; i++) {
		if (dup2(pass[i].fd, 3 + i) < 0)
			return -errno;
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i ? ":" : "",
				       pass[i].name);
	}
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	/* Nor what our caller left open: a lock, the end of a pipe */
	return close_range(3 + (unsigned int)n, ~0U, CLOSE_RANGE_CLOEXEC) ? -errno : 0;
}

static void exec_holder(const struct mount_job *job)
{
	char holder[300], worker[300];
	char *argv[] = { holder, worker, NULL, NULL };
	int null;

	snprintf(holder, sizeof(holder), "%s/famfs-holder", job->libexec);
	snprintf(worker, sizeof(worker), "%s/famfs-bpfd", job->libexec);
	if (job->foreground) {
		argv[1] = "-f";
		argv[2] = worker;
	}

	clearenv();
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setsid();
	umask(022);
	if (chdir("/"))
		_exit(126);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		_exit(126);
	dup2(null, 0);
	if (!job->foreground) {
		dup2(null, 1);
		dup2(null, 2);
	}
	if (pass_fds(job))
		_exit(126);
	execv(holder, argv);
	_exit(127);
}

static int start_holder(struct mount_job *job, struct session_msg *msg)
{
	int pair[2], err;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		err = -errno;
		session_say(msg, "socketpair: %s", strerror(-err));
		return err;
	}
	job->setup = pair[0];
	job->setup_peer = pair[1];

	job->holder = fork();
	if (!job->holder)
		exec_holder(job);
	err = job->holder < 0 ? -errno : 0;
	close(job->setup_peer);
	if (err) {
		job->holder = 0;
		session_say(msg, "fork: %s", strerror(-err));
		return err == -EAGAIN ? -ENOMEM : err;
	}
	/* From here on only holder and worker have the devices. */
	for (unsigned int i = 0; i < job->ndevs; i++)
		device_close(&job->dev[i]);
	return 0;
}

/* ---- systemd in place of the holder ---- */

/* As systemd-escape --path does it. Return: false if it does not fit. */
static bool escape_path(const char *path, char *buf, size_t size)
{
	static const char plain[] = "0123456789:_abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t at = 0;

	for (const char *p = path + 1; *p; p++) {
		bool keep = strchr(plain, *p) || (*p == '.' && p > path + 1);

		if (at + 5 > size)
			return false;
		at += (size_t)sprintf(buf + at,
				      *p == '/' ? "-"
				      : keep	? "%c"
						: "\\x%02x",
				      (unsigned char)*p);
	}
	return at > 0;
}

/* Its services must see our mount: not from another mount namespace. */
static bool shares_namespace(void)
{
	struct stat ours, theirs;

	return !stat("/proc/self/ns/mnt", &ours) && !stat("/proc/1/ns/mnt", &theirs) &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static const char *why_no_systemd(const struct mount_job *job)
{
	if (job->foreground)
		return "not in the foreground";
	if (sd_booted() <= 0)
		return "it does not run";
	if (getenv(LIBEXEC_VARIABLE))
		return LIBEXEC_VARIABLE " is set";
	if (access(FAMFS_UNITDIR "/" UNIT_PREFIX UNIT_SUFFIX, R_OK))
		return FAMFS_UNITDIR "/" UNIT_PREFIX UNIT_SUFFIX " is not installed";
	if (!shares_namespace())
		return "the mount is made in another mount namespace than its own";
	return NULL;
}

static int choose_manager(struct mount_job *job, struct session_msg *msg)
{
	const char *why = why_no_systemd(job);

	if (job->options.manager == MANAGER_HOLDER)
		return 0;
	if (!why && !escape_path(job->dev[0].path, job->instance, sizeof(job->instance)))
		why = "the name of the device is too long for a unit";
	if (!why) {
		job->by_systemd = true;
		snprintf(job->unit, sizeof(job->unit), UNIT_PREFIX "%s" UNIT_SUFFIX, job->instance);
	} else if (job->options.manager == MANAGER_SYSTEMD) {
		session_say(msg, "manager=systemd: %s", why);
		return -EINVAL;
	}
	return 0;
}

/* Its output goes to out, or nowhere if that is -1. */
static pid_t systemctl(const struct mount_job *job, const char *verb, const char *option, int out)
{
	char *argv[] = { "systemctl",	      (char *)verb,	 (char *)option,
			 "--no-ask-password", (char *)job->unit, NULL };
	pid_t pid = fork();
	int null;

	if (pid)
		return pid;
	clearenv();
	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		_exit(126);
	for (int fd = 0; fd < 3; fd++)
		dup2(fd == 1 && out >= 0 ? out : null, fd);
	execvp(argv[0], argv);
	_exit(127);
}

static void systemctl_wait(const struct mount_job *job, const char *verb)
{
	pid_t pid = systemctl(job, verb, "--quiet", -1);

	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* Does nobody use it? Not if it waits to be started again, for somebody else's mount. */
static bool unit_is_idle(const struct mount_job *job)
{
	char state[32] = "";
	ssize_t n, got = 0;
	int end[2];
	pid_t pid;

	if (pipe2(end, O_CLOEXEC))
		return false;
	pid = systemctl(job, "show", "--property=ActiveState", end[1]);
	close(end[1]);
	while ((n = read(end[0], state + got, sizeof(state) - 1 - (size_t)got)) > 0)
		got += n;
	close(end[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return !strcmp(state, "ActiveState=inactive\n") || !strcmp(state, "ActiveState=failed\n");
}

/* Return: the listening socket, or -errno. */
static int setup_listen(const struct mount_job *job, char path[108])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, err;

	err = setup_path(job->instance, addr.sun_path, sizeof(addr.sun_path));
	if (err)
		return err;
	if (mkdir(CTL_RUN_DIR, 0755) && errno != EEXIST)
		return -errno;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* One of a mount that was killed. Of two at a time, one gets no connection. */
	unlink(addr.sun_path);
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1) ? -errno : 0;
	umask(mask);
	if (err) {
		close(fd);
		return err;
	}
	strcpy(path, addr.sun_path);
	return fd;
}

/* Is there still a mount of this device, with which the unit has to do? */
static bool is_mounted(const struct mount_job *job)
{
	struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;
	bool found = false;

	while (table && iter && !found && !mnt_table_next_fs(table, iter, &fs))
		found = mnt_fs_match_fstype(fs, FSTYPE) &&
			mnt_fs_streq_srcpath(fs, job->dev[0].path);
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return found;
}

/* Until the worker connects, or systemctl is done without that. */
static int setup_accept(struct mount_job *job, int listening, struct session_msg *msg)
{
	struct pollfd pfd[] = {
		{ .fd = listening, .events = POLLIN },
		{ .fd = pidfd_open(job->systemctl, 0), .events = POLLIN },
	};
	int status, fd = -1;
	bool started;

	while (poll(pfd, 2, -1) < 0 && errno == EINTR)
		;
	if (pfd[1].fd >= 0)
		close(pfd[1].fd);
	if (pfd[0].revents & POLLIN)
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && !setup_check_peer(fd)) {
		job->setup = fd;
		job->unit_is_ours = true;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	started = waitpid(job->systemctl, &status, 0) > 0 && WIFEXITED(status) &&
		  !WEXITSTATUS(status);
	job->systemctl = 0;
	if (started) {
		session_say(msg,
			    "Device or resource busy: %s is active, and serves a mount of "
			    "this device; umount -l waits for open files",
			    job->unit);
		return -EBUSY;
	}
	session_say(msg,
		    "systemctl start %s: failed; look at systemctl status %s, or mount with "
		    "-o manager=holder",
		    job->unit, job->unit);
	return -EIO;
}

static int send_fds(struct mount_job *job)
{
	char name[HOLD_NAME_MAX];
	int err;

	err = setup_send(job->setup, SETUP_FD, 0, "fuse", job->fuse_fd);
	if (!err)
		err = setup_send(job->setup, SETUP_FD, 0, "params", job->params_fd);
	for (unsigned int i = 0; !err && i < job->ndevs; i++) {
		snprintf(name, sizeof(name), "dev%u", i);
		err = setup_send(job->setup, SETUP_FD, 0, name, job->dev[i].fd);
	}
	return err ? err : setup_send(job->setup, SETUP_FDS_DONE, 0, NULL, -1);
}

static int start_unit(struct mount_job *job, struct session_msg *msg)
{
	char path[108];
	int fd, err, waited_ms = 0;

	fd = setup_listen(job, path);
	if (fd < 0) {
		session_say(msg, "cannot listen for %s: %s", job->unit, strerror(-fd));
		return fd;
	}
	/* After an umount the unit takes a while to end, as with the holder */
	for (;;) {
		job->unit_is_ours = unit_is_idle(job);
		job->systemctl = systemctl(job, "start", "--quiet", -1);
		err = job->systemctl < 0 ? -errno : setup_accept(job, fd, msg);
		if (err != -EBUSY || waited_ms >= UNIT_BUSY_MS || is_mounted(job))
			break;
		usleep(UNIT_BUSY_STEP_MS * 1000);
		waited_ms += UNIT_BUSY_STEP_MS;
	}
	close(fd);
	unlink(path);
	if (!err && send_fds(job)) {
		session_say(msg, "%s ended before it began; look at systemctl status %s", job->unit,
			    job->unit);
		err = -EIO;
	}
	for (unsigned int i = 0; !err && i < job->ndevs; i++)
		device_close(&job->dev[i]);
	return err;
}

/* The worker is ready when systemctl is done; or both have failed. */
static void finish_unit(struct mount_job *job, bool stop)
{
	if (stop && job->unit_is_ours) {
		systemctl_wait(job, "stop");
		systemctl_wait(job, "reset-failed");
	}
	if (job->systemctl > 0)
		waitpid(job->systemctl, NULL, 0);
	job->systemctl = 0;
}

/* Whatever went wrong: if the worker knows why, its sentence is the better one. */
static int ask_worker(struct mount_job *job, int err, struct session_msg *msg)
{
	struct setup_message m;
	int fd, got;

	/* It sends its reason, or ends. */
	while (!(got = setup_recv(job->setup, &m, &fd))) {
		if (fd >= 0)
			close(fd);
		if (m.type == SETUP_FAILED) {
			session_say(msg, "%s", m.text);
			return m.err ? m.err : -EIO;
		}
	}
	if (err == -ENOTCONN)
		session_say(msg, "famfs-bpfd ended without a reason; see the system's log");
	return err;
}

static int make_superblock(struct mount_job *job, struct session_msg *msg)
{
	static const char *const read_only[] = { "ro", NULL };
	struct session_mount m = {
		.source = job->dev[0].path,
		.subtype = SUBTYPE,
		.attrs = PRIVATE_ATTRS,
		.options = job->options.recover ? read_only : NULL,
		.close_fd = true,
	};
	int err;

	err = session_fsmount(job->fuse_fd, &m, &job->private_fd, msg);
	return err == -ENOTCONN ? ask_worker(job, err, msg) : err;
}

static int fill(struct mount_job *job, struct session_msg *msg)
{
	struct setup_message m;
	int err, fd;

	err = setup_send(job->setup, SETUP_MOUNTED, 0, NULL, job->private_fd);
	if (!err)
		err = setup_recv(job->setup, &m, &fd);
	if (err)
		return ask_worker(job, -ENOTCONN, msg);
	if (fd >= 0)
		close(fd);
	if (m.type == SETUP_READY)
		return 0;
	session_say(msg, "%s", m.type == SETUP_FAILED ? m.text : "famfs-bpfd answers nonsense");
	return m.type == SETUP_FAILED && m.err ? m.err : -EPROTO;
}

static int attach(struct mount_job *job, struct session_msg *msg)
{
	struct mount_attr attr = {
		.attr_set = mount_options_attrs(&job->options),
		.attr_clr = ALL_ATTRS,
	};
	const char *what = "open_tree";
	int fd, err;

	fd = open_tree(job->private_fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		goto failed;
	what = "mount_setattr";
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		goto failed;
	what = "move_mount";
	if (move_mount(fd, "", job->target_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		goto failed;
	close(fd);
	/* If it is gone by now, the holder starts another. */
	setup_send(job->setup, SETUP_ATTACHED, 0, NULL, -1);
	return 0;

failed:
	err = -errno;
	if (fd >= 0)
		close(fd);
	session_say(msg, "%s: %s", what, strerror(-err));
	return err;
}

/* Let go of everything and wait until nothing is left that we started. */
static void give_up(struct mount_job *job)
{
	if (job->private_fd >= 0)
		close(job->private_fd);
	if (job->setup >= 0)
		close(job->setup);
	if (job->holder > 0)
		waitpid(job->holder, NULL, 0);
	if (job->by_systemd)
		finish_unit(job, true);
}

static int mount_all(struct mount_job *job, struct session_msg *msg)
{
	int err;

	err = make_params(job, msg);
	if (!err)
		err = session_open_fuse(&job->fuse_fd, msg);
	if (!err)
		err = job->by_systemd ? start_unit(job, msg) : start_holder(job, msg);
	if (!err)
		err = make_superblock(job, msg);
	if (!err)
		err = fill(job, msg);
	if (!err)
		err = attach(job, msg);
	if (err)
		give_up(job);
	else if (job->by_systemd)
		finish_unit(job, false);
	return err;
}

/* ---- foreground ---- */

static volatile sig_atomic_t forward_to;

static void forward(int sig)
{
	(void)sig;
	if (forward_to)
		kill((pid_t)forward_to, SIGTERM);
}

static int stay(struct mount_job *job)
{
	struct sigaction sa = { .sa_handler = forward };
	int status;

	forward_to = job->holder;
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	close(job->private_fd);
	close(job->setup);
	while (waitpid(job->holder, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_SYSTEM;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SYSTEM;
}

int main(int argc, char **argv)
{
	struct mount_job job = {
		.target_fd = -1,
		.fuse_fd = -1,
		.params_fd = -1,
		.setup = -1,
		.setup_peer = -1,
		.private_fd = -1,
	};
	struct session_msg msg = { 0 };
	int err;

	/* It survives exec if somebody ignores it, and then there is nothing to wait for */
	signal(SIGCHLD, SIG_DFL);
	job.program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	err = parse_args(argc, argv, &job, &msg);
	if (!err)
		err = check_privilege(&msg);
	if (!err)
		err = enter_namespace(&job, &msg);
	if (err)
		return fail(&job, err, &msg);

	if (job.options.remount) {
		err = remount(&job, &msg);
		return err ? fail(&job, err, &msg) : EXIT_OK;
	}

	err = find_programs(&job, &msg);
	if (!err)
		err = open_target(&job, &msg);
	if (!err && is_famfs(job.target_fd)) {
		session_say(&msg, "mount point: Device or resource busy: famfs is mounted there");
		err = -EBUSY;
	}
	if (!err)
		err = open_devices(&job, &msg);
	if (!err)
		err = choose_manager(&job, &msg);
	if (err)
		return fail(&job, err, &msg);
	if (job.fake)
		return EXIT_OK;

	err = mount_all(&job, &msg);
	if (err)
		return fail_kernel(&job, err, &msg);
	if (job.verbose)
		printf("%s: %s mounted on %s.\n", job.program, job.dev[0].path, job.target);
	return job.foreground ? stay(&job) : EXIT_OK;
}
