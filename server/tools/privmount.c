// SPDX-License-Identifier: GPL-2.0-only
/*
 * A private mount: one DAX device as one file. See privmount.h for the reason.
 *
 * The child serves; parent and child share one anonymous page in which the
 * child leaves the sentence that no errno of open() could carry.
 */
#include "privmount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../lib/session.h"
#include "tool.h"

#define DEV_NAME     "dev"
#define DEV_NODEID   2
#define PAGE_BYTES   4096ULL
/* How long the child may need to notice that the mount is gone. */
#define CHILD_END_MS 10000

/* Written by the child before it replies or exits, read by the parent after. */
struct said {
	struct session_msg msg;
};

struct privmount {
	int mnt_fd;
	pid_t child;
	struct said *said;
};

/* The child's. */
struct server {
	int fuse_fd;
	int dev_fd;
	const char *path;
	uint64_t bytes; /* of the file: whole pages of the device */
	uint32_t id; /* the kernel's, 0 until registered */
	struct said *said;
};

static void fill_attr(const struct server *sv, uint64_t nodeid, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = nodeid;
	if (nodeid == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0500;
		st->st_nlink = 2;
		return;
	}
	st->st_mode = S_IFREG | 0600;
	st->st_nlink = 1;
	st->st_size = sv->bytes;
	st->st_blocks = sv->bytes / 512;
	st->st_blksize = PAGE_BYTES;
}

/*
 * The device is registered here and not after INIT: only the lookup is sure to
 * come after the kernel has acted on the INIT reply.
 */
static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct server *sv = session_userdata(req);
	struct fuse_entry_param e = {
		.ino = DEV_NODEID,
		.generation = 1,
		.attr_timeout = 1e9,
		.entry_timeout = 1e9,
	};
	int rc;

	if (parent != FUSE_ROOT_ID || strcmp(name, DEV_NAME)) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	if (!sv->id) {
		rc = session_add_device(sv->fuse_fd, sv->dev_fd, sv->path, &sv->id, &sv->said->msg);
		if (rc) {
			fuse_reply_err(req, -rc);
			return;
		}
	}
	fill_attr(sv, DEV_NODEID, &e.attr);
	fuse_reply_entry(req, &e);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	fill_attr(session_userdata(req), ino, &st);
	fuse_reply_attr(req, &st, 1e9);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS); /* "no open needed", for all of the connection */
}

static int map_device(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
		      struct fuse_iomap_io *out)
{
	const struct server *sv = userdata;

	if (nodeid != DEV_NODEID || in->pos >= sv->bytes)
		return -EIO;
	out->length = sv->bytes;
	out->type = FUSE_IOMAP_TYPE_MAPPED;
	out->dev = sv->id;
	return 0;
}

/* Does not return. The exit status is for nobody: the sentence is in said. */
static void serve(struct server *sv, pid_t parent)
{
	static const struct fuse_lowlevel_ops ops = {
		.lookup = do_lookup,
		.getattr = do_getattr,
		.open = do_open,
	};
	struct session_config config = {
		.name = "famfs",
		.ops = &ops,
		.userdata = sv,
		.methods = FUSE_IOMAP_METHOD_UPCALL,
		.iomap_begin = map_device,
		.threads = 1,
	};
	struct session *session = NULL;

	/* The mount ends with its last reference; should it not, so with its maker. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	/* ^C ends the parent, which ends the mount; the child must outlive both. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);

	if (session_new(&config, sv->fuse_fd, &session, &sv->said->msg) ||
	    session_start(session, &sv->said->msg) || session_wait_init(session, &sv->said->msg))
		_exit(1);
	session_wait(session);
	_exit(0);
}

static void reap(struct privmount *pm)
{
	struct pollfd p = { .fd = syscall(SYS_pidfd_open, pm->child, 0), .events = POLLIN };

	if (p.fd < 0 || poll(&p, 1, CHILD_END_MS) != 1)
		kill(pm->child, SIGKILL);
	if (p.fd >= 0)
		close(p.fd);
	while (waitpid(pm->child, NULL, 0) < 0 && errno == EINTR)
		;
	pm->child = 0;
}

void privmount_close(struct privmount *pm)
{
	if (!pm)
		return;
	if (pm->mnt_fd >= 0)
		close(pm->mnt_fd);
	if (pm->child)
		reap(pm);
	if (pm->said)
		munmap(pm->said, sizeof(*pm->said));
	free(pm);
}

static int start_child(struct privmount *pm, struct server *sv, char *msg, size_t msg_size)
{
	pid_t parent = getpid();

	fflush(NULL);
	pm->child = fork();
	if (pm->child < 0) {
		int rc = -errno;

		pm->child = 0;
		snprintf(msg, msg_size, "cannot fork: %s", strerror(-rc));
		return rc;
	}
	if (!pm->child)
		serve(sv, parent);
	return 0;
}

static int open_file(struct privmount *pm, const char *path, bool write, int *ret_fd, char *msg,
		     size_t msg_size)
{
	int fd = openat(pm->mnt_fd, DEV_NAME, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	int rc;

	if (fd < 0) {
		rc = -errno;
		if (pm->said->msg.text[0])
			snprintf(msg, msg_size, "%s", pm->said->msg.text);
		else
			snprintf(msg, msg_size, "cannot open %s through a private mount: %s", path,
				 strerror(-rc));
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

int privmount_open(const char *path, int dev_fd, uint64_t size, bool write, struct privmount **ret,
		   int *ret_fd, char *msg, size_t msg_size)
{
	struct privmount *pm = calloc(1, sizeof(*pm));
	struct server sv = { .dev_fd = dev_fd, .path = path, .bytes = size & ~(PAGE_BYTES - 1) };
	struct session_mount mount = {
		.source = path,
		.subtype = "famfs-private",
		.private = true,
		.attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
			 (write ? 0 : MOUNT_ATTR_RDONLY),
		.close_fd = true,
	};
	struct session_msg why = { .text = "" };
	int rc;

	if (!pm) {
		snprintf(msg, msg_size, "out of memory");
		return -ENOMEM;
	}
	pm->mnt_fd = -1;
	pm->said = mmap(NULL, sizeof(*pm->said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (pm->said == MAP_FAILED) {
		pm->said = NULL;
		privmount_close(pm);
		snprintf(msg, msg_size, "out of memory");
		return -ENOMEM;
	}
	sv.said = pm->said;

	rc = session_open_fuse(&sv.fuse_fd, &why);
	if (rc) {
		privmount_close(pm);
		snprintf(msg, msg_size, "%s", why.text);
		return rc;
	}
	rc = start_child(pm, &sv, msg, msg_size);
	if (rc) {
		close(sv.fuse_fd);
		privmount_close(pm);
		return rc;
	}
	/* Takes the descriptor over: only the child has it then, so its death is noticed. */
	rc = session_fsmount(sv.fuse_fd, &mount, &pm->mnt_fd, &why);
	if (rc) {
		pm->mnt_fd = -1;
		reap(pm);
		snprintf(msg, msg_size, "%s",
			 pm->said->msg.text[0] ? pm->said->msg.text : why.text);
		privmount_close(pm);
		return rc;
	}
	rc = open_file(pm, path, write, ret_fd, msg, msg_size);
	if (rc) {
		privmount_close(pm);
		return rc;
	}
	*ret = pm;
	return 0;
}
