// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two memfds of a worker: options as lines, written by mount.famfs; and the state
 * for a successor. Both come from our own side; they are checked against mistakes,
 * not against attacks.
 */
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PARAMS_MAX	(FAMFS_MAX_DEVS * (DEVICE_PATH_MAX + 64) + 4096)

static int params_set_dev(const char *key, const char *value, struct worker_params *p)
{
	unsigned int n;

	if (sscanf(key, "dev%u", &n) == 1 && n < FAMFS_MAX_DEVS) {
		snprintf(p->dev_path[n], sizeof(p->dev_path[n]), "%s", value);
		if (n >= p->ndevs)
			p->ndevs = n + 1;
		return 0;
	}
	if (sscanf(key, "size%u", &n) == 1 && n < FAMFS_MAX_DEVS) {
		p->dev_size[n] = strtoull(value, NULL, 10);
		return 0;
	}
	return -EINVAL;
}

static int params_set(const char *key, const char *value, struct worker_params *p)
{
	unsigned int n = (unsigned int)strtoul(value, NULL, 10);

	if (!strcmp(key, "mode")) {
		for (int i = 0; i < MODE_COUNT; i++) {
			if (!strcmp(value, mount_mode_names[i])) {
				p->mode = (enum mount_mode)i;
				return 0;
			}
		}
		return -EINVAL;
	}
	if (!strcmp(key, "recover"))
		p->recover = n;
	else if (!strcmp(key, "suid"))
		p->suid = n;
	else if (!strcmp(key, "debug"))
		p->debug = n;
	else if (!strcmp(key, "foreground"))
		p->foreground = n;
	else if (!strcmp(key, "poll"))
		p->poll_ms = n;
	else if (!strcmp(key, "threads"))
		p->threads = n;
	else
		return params_set_dev(key, value, p);
	return 0;
}

int worker_params_read(int fd, struct worker_params *ret, struct session_msg *msg)
{
	char *buf, *save = NULL;
	ssize_t n;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	buf = malloc(PARAMS_MAX + 1);
	if (!buf)
		return -ENOMEM;
	n = pread(fd, buf, PARAMS_MAX, 0);
	buf[n > 0 ? n : 0] = '\0';
	for (char *line = strtok_r(buf, "\n", &save); line && !err;
	     line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		if (value)
			*value++ = '\0';
		err = value ? params_set(line, value, ret) : -EINVAL;
		if (err)
			session_say(msg,
				    "parameter '%s' is not known: mount.famfs and "
				    "famfs-bpfd are of different versions",
				    line);
	}
	free(buf);
	if (!err && (!ret->ndevs || !ret->threads || !ret->poll_ms)) {
		session_say(msg, "parameters from mount.famfs are not complete");
		err = -EINVAL;
	}
	return err;
}

int worker_state_map(int fd, struct worker_state **ret, struct session_msg *msg)
{
	struct worker_state *s;
	int err;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (s == MAP_FAILED) {
		err = -errno;
		session_say(msg, "cannot map the state: %s", strerror(-err));
		return err;
	}
	if (s->magic != WORKER_STATE_MAGIC || s->version != WORKER_STATE_VERSION) {
		session_say(msg,
			    "the state was left by another version of famfs-bpfd (magic "
			    "0x%llx, version %u): unmount, or start the version that mounted",
			    (unsigned long long)s->magic, s->version);
		munmap(s, sizeof(*s));
		return -ESTALE;
	}
	*ret = s;
	return 0;
}

int worker_state_make(int *ret_fd, struct worker_state **ret, struct session_msg *msg)
{
	struct worker_state first = {
		.magic = WORKER_STATE_MAGIC,
		.version = WORKER_STATE_VERSION,
		.mount_time = time(NULL),
		.starts = 1,
	};
	int fd, err;

	fd = memfd_create("famfs-state", MFD_CLOEXEC);
	if (fd < 0 || write(fd, &first, sizeof(first)) != sizeof(first)) {
		err = fd < 0 ? -errno : -ENOMEM;
		session_say(msg, "memfd: %s", strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = worker_state_map(fd, ret, msg);
	if (err)
		close(fd);
	else
		*ret_fd = fd;
	return err;
}
