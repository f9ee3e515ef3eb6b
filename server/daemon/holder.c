// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-holder: keeps the fds of one mount, so that its worker can be killed and
 * started again. Used where no service manager does it; speaks the same protocol
 * (sd_listen_fds, sd_notify), so that the worker cannot tell. Parses no media,
 * answers no request, has no threads.
 *
 *	famfs-holder [-f] WORKER [ARGUMENT...]
 *
 * Before the worker's READY=1 its end is the holder's end, and the mount fails.
 * After it, a worker that dies is replaced, later and later while it keeps dying;
 * exit status 0 means that the connection has ended and all is cleaned up. There
 * is never more than one worker: the next is started when the last was reaped.
 *
 * SIGTERM or SIGINT, or the worker's STOPPING=1, unmounts the file system lazily;
 * open files are served until they are closed. A second signal ends the worker.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "daemon_log.h"
#include "hold.h"

/* Restarts: 50 ms after the first death, doubling; anew once a worker served so long. */
#define BACKOFF_MIN_MS	50
#define BACKOFF_MAX_MS	5000
#define BACKOFF_QUIET_MS 1000

#define NOTIFY_MAX	4096
#define NOTIFY_BATCH	64
#define NOTIFY_QUEUE_MAX 4096	/* datagrams; more than net.unix.max_dgram_qlen is as a rule */

struct stored {
	char name[HOLD_NAME_MAX];
	int fd;
};

static struct {
	struct stored fd[HOLD_FDS_MAX];
	int count;
	char **worker_argv;
	char notify_path[64];		/* NOTIFY_SOCKET, "@name" */
	int notify_fd;
	int signal_fd;
	pid_t worker;			/* 0: none */
	int64_t ready_ms;		/* when the worker said so, 0: not yet */
	int64_t restart_ms;		/* when to start it, if there is none */
	int backoff_ms;
	bool ready;
	bool stopping;
	dev_t sb;			/* 0: not known */
} holder;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- the store ---- */

static void store_add(const char *name, int fd)
{
	struct stored *s = &holder.fd[holder.count];

	if (holder.count == HOLD_FDS_MAX) {
		daemon_log(LOG_ERR, "holder: cannot keep '%s': %d fds already", name, HOLD_FDS_MAX);
		close(fd);
		return;
	}
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->fd = fd;
	holder.count++;
}

static void store_remove(const char *name)
{
	for (int i = 0; i < holder.count; i++) {
		if (strcmp(holder.fd[i].name, name))
			continue;
		close(holder.fd[i].fd);
		memmove(&holder.fd[i], &holder.fd[i + 1],
			sizeof(holder.fd[0]) * (size_t)(holder.count - i - 1));
		holder.count--;
		return;
	}
}

/* Ours were passed to us as we pass them to the worker. */
static int store_init(void)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		store_add(names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
	return holder.count ? 0 : -ENOENT;
}

/* ---- the worker ---- */

/* In the child: the store's fds from 3 up, as sd_listen_fds(3) wants them. */
static int worker_pass_fds(void)
{
	char names[HOLD_FDS_MAX * (HOLD_NAME_MAX + 1)] = "";
	int high[HOLD_FDS_MAX];
	char number[16];
	size_t at = 0;

	for (int i = 0; i < holder.count; i++) {
		/* Out of the way first: source and target ranges overlap. */
		high[i] =
			fcntl(holder.fd[i].fd, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + HOLD_FDS_MAX);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < holder.count; i++) {
		if (dup2(high[i], SD_LISTEN_FDS_START + i) < 0)
			return -errno;
		at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", i ? ":" : "",
				       holder.fd[i].name);
	}
	snprintf(number, sizeof(number), "%d", holder.count);
	setenv("LISTEN_FDS", number, 1);
	snprintf(number, sizeof(number), "%d", (int)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	return 0;
}

static void worker_exec(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setenv("NOTIFY_SOCKET", holder.notify_path, 1);
	if (worker_pass_fds())
		_exit(126);
	execv(holder.worker_argv[0], holder.worker_argv);
	_exit(127);
}

static void worker_start(void)
{
	pid_t pid;

	holder.ready_ms = 0;
	pid = fork();
	if (!pid)
		worker_exec();
	if (pid < 0) {
		daemon_log(LOG_ERR, "holder: cannot start the worker: %s", strerror(errno));
		holder.restart_ms = now_ms() + BACKOFF_MAX_MS;
		return;
	}
	holder.worker = pid;
}

static void worker_schedule(void)
{
	bool quiet = holder.ready_ms && now_ms() - holder.ready_ms > BACKOFF_QUIET_MS;

	if (quiet || !holder.backoff_ms)
		holder.backoff_ms = BACKOFF_MIN_MS;
	else if (holder.backoff_ms < BACKOFF_MAX_MS / 2)
		holder.backoff_ms *= 2;
	else
		holder.backoff_ms = BACKOFF_MAX_MS;
	holder.restart_ms = now_ms() + holder.backoff_ms;
}

/* Return: true when the holder is to end, with *ret_status. */
static bool worker_ended(int status, int *ret_status)
{
	holder.worker = 0;
	if (WIFEXITED(status) &&
	    (WEXITSTATUS(status) == HOLD_EXIT_ENDED || WEXITSTATUS(status) == HOLD_EXIT_NEVER)) {
		*ret_status = WEXITSTATUS(status);
		return true;
	}
	if (!holder.ready) {
		*ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		return true;
	}
	worker_schedule();
	if (WIFSIGNALED(status))
		daemon_log(LOG_WARNING,
			   "holder: worker was killed by signal %d (%s); "
			   "restarting it in %d ms",
			   WTERMSIG(status), strsignal(WTERMSIG(status)), holder.backoff_ms);
	else
		daemon_log(LOG_WARNING,
			   "holder: worker ended with status %d; "
			   "restarting it in %d ms",
			   WEXITSTATUS(status), holder.backoff_ms);
	return false;
}

/* ---- stopping ---- */

static void unmount_all(void)
{
	struct hold_mounts mounts;

	if (!holder.sb || hold_find_mounts(holder.sb, true, &mounts))
		return;
	if (mounts.count)
		daemon_log(LOG_NOTICE,
			   "holder: unmounted %u mount(s); open files are served "
			   "until they are closed",
			   mounts.count);
	if (mounts.hidden)
		daemon_log(LOG_WARNING,
			   "holder: %u mount(s) left: something else is mounted over them",
			   mounts.hidden);
}

static void stop(bool by_signal)
{
	bool again = holder.stopping;

	holder.stopping = true;
	if (!again)
		unmount_all();
	if (!by_signal)
		return;
	if (holder.worker)
		kill(holder.worker, SIGTERM);
	else
		holder.restart_ms = now_ms();	/* it has to clean up */
}

/* ---- notifications ---- */

/*
 * From now on: unmounting, and registering devices for the worker. The bounding set
 * goes too, so that a worker that is started again begins with no more.
 */
static void drop_privileges(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			  CAP_SYS_ADMIN, CAP_SYS_RAWIO, -1) ||
	    capng_apply(CAPNG_SELECT_BOTH))
		daemon_log(LOG_WARNING, "holder: cannot drop capabilities; continuing with them");
}

static void notify_line(const char *line, const char **ret_name, bool *ret_store, bool *ret_remove)
{
	unsigned int maj, min;

	if (!strcmp(line, "FDSTORE=1"))
		*ret_store = true;
	else if (!strcmp(line, "FDSTOREREMOVE=1"))
		*ret_remove = true;
	else if (!strncmp(line, "FDNAME=", 7))
		*ret_name = line + 7;
	else if (!strcmp(line, "STOPPING=1"))
		stop(false);
	else if (sscanf(line, "X_FAMFS_SB=%u:%u", &maj, &min) == 2)
		holder.sb = makedev(maj, min);
	else if (!strcmp(line, "READY=1")) {
		holder.ready_ms = now_ms();
		if (!holder.ready)
			drop_privileges();
		holder.ready = true;
	}
}

static void notify_act(char *text, int *fds, int nfds)
{
	bool add = false, remove = false;
	const char *name = "stored";
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		notify_line(line, &name, &add, &remove);
	if (remove)
		store_remove(name);
	for (int i = 0; i < nfds; i++) {
		if (add)
			store_add(name, fds[i]);
		else
			close(fds[i]);	/* BARRIER=1 waits for this */
	}
}

/*
 * Who sent what comes next? Without room for them no fd is installed, so that a stranger
 * cannot have us close a file whose close waits, for his own FUSE server say.
 * Return: its pid if root, 0 for others, -errno when there is nothing.
 */
static pid_t notify_peek(void)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_control = &control, .msg_controllen = sizeof(control) };
	const struct cmsghdr *c;
	struct ucred cred;

	if (recvmsg(holder.notify_fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return 0;
	memcpy(&cred, CMSG_DATA(c), sizeof(cred));
	return cred.uid ? 0 : cred.pid;
}

/* Return: false when there is nothing more. */
static bool notify_receive(void)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(16 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char text[NOTIFY_MAX + 1];
	struct iovec iov = { .iov_base = text, .iov_len = NOTIFY_MAX };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	pid_t sender = notify_peek();
	int fds[16], nfds = 0;
	ssize_t n;

	if (sender < 0)
		return sender == -EINTR;
	/* The address is no secret: anybody may send. */
	if (sender && sender == holder.worker) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	n = recvmsg(holder.notify_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR;
	if (!msg.msg_control)
		return true;
	text[n] = '\0';
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		nfds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), (size_t)nfds * sizeof(int));
	}
	notify_act(text, fds, nfds);
	return true;
}

/* Strangers can keep it full, but not keep us from anything else. */
static void notify_drain(unsigned int most)
{
	while (most-- && notify_receive())
		;
}

static int notify_open(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	int one = 1;

	holder.notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (holder.notify_fd < 0)
		return -errno;
	/* Only a family: the kernel chooses an abstract address. */
	if (setsockopt(holder.notify_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
	    bind(holder.notify_fd, (struct sockaddr *)&addr, sizeof(addr.sun_family)) ||
	    getsockname(holder.notify_fd, (struct sockaddr *)&addr, &len))
		return -errno;
	snprintf(holder.notify_path, sizeof(holder.notify_path), "@%.*s",
		 (int)(len - sizeof(addr.sun_family) - 1), addr.sun_path + 1);
	return 0;
}

/* ---- main ---- */

static int signals_open(void)
{
	sigset_t set;

	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	holder.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return holder.signal_fd < 0 ? -errno : 0;
}

static bool reap(int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != holder.worker)
			continue;
		/* What it stored before it died comes first. */
		notify_drain(NOTIFY_QUEUE_MAX);
		if (worker_ended(status, ret_status))
			return true;
	}
	return false;
}

/* Return: true when the holder is to end. */
static bool signals_act(int *ret_status)
{
	struct signalfd_siginfo info;

	while (read(holder.signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			if (reap(ret_status))
				return true;
		} else if (info.ssi_signo != SIGHUP) {
			stop(true);
		}
	}
	return false;
}

static int timeout_ms(void)
{
	int64_t left;

	if (holder.worker)
		return -1;
	left = holder.restart_ms - now_ms();
	return left < 0 ? 0 : (int)left;
}

static int run(void)
{
	int status = 1;

	worker_start();
	for (;;) {
		struct pollfd pfd[] = {
			{ .fd = holder.signal_fd, .events = POLLIN },
			{ .fd = holder.notify_fd, .events = POLLIN },
		};

		if (poll(pfd, 2, timeout_ms()) < 0 && errno != EINTR)
			return 1;
		if (pfd[1].revents)
			notify_drain(NOTIFY_BATCH);
		if (pfd[0].revents && signals_act(&status))
			return status;
		if (!holder.worker && now_ms() >= holder.restart_ms)
			worker_start();
	}
}

int main(int argc, char **argv)
{
	bool foreground = argc > 1 && !strcmp(argv[1], "-f");
	int err;

	argv += foreground ? 2 : 1;
	argc -= foreground ? 2 : 1;
	if (argc < 1) {
		fprintf(stderr, "usage: famfs-holder [-f] WORKER [ARGUMENT...]\n"
				"Keeps fds for famfs-bpfd; mount.famfs starts it.\n");
		return 1;
	}
	holder.worker_argv = argv;
	daemon_log_open("famfs-holder", foreground);
	prctl(PR_SET_DUMPABLE, 0);

	err = store_init();
	if (!err)
		err = signals_open();
	if (!err)
		err = notify_open();
	if (err) {
		daemon_log(LOG_ERR, "holder: cannot start: %s", strerror(-err));
		return 1;
	}
	return run();
}
