// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whole regular files in memory, and threads to work on many of them.
 */
#include "filemap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tool.h"

#define MAX_THREADS 256

int filemap_open(const char *path, bool write, struct filemap *ret)
{
	struct filemap m = { .fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC) };
	struct stat st;
	void *p;
	int rc;

	if (m.fd < 0 || fstat(m.fd, &st)) {
		rc = -errno;
		tool_error("cannot open %s: %s", path, strerror(-rc));
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		tool_error("%s is not a regular file", path);
		rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
		goto fail;
	}
	m.len = st.st_size;
	if (m.len) {
		p = mmap(NULL, m.len, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, m.fd, 0);
		if (p == MAP_FAILED) {
			rc = -errno;
			tool_error("cannot map %s: %s", path, strerror(-rc));
			goto fail;
		}
		m.p = p;
	}
	*ret = m;
	return 0;
fail:
	if (m.fd >= 0)
		close(m.fd);
	return rc;
}

void filemap_close(struct filemap *m)
{
	if (m->p)
		munmap(m->p, m->len);
	close(m->fd);
	m->p = NULL;
	m->fd = -1;
}

struct crew {
	size_t next; /* taken with an atomic add */
	size_t count;
	void (*work)(void *ctx, size_t i);
	void *ctx;
};

static void *crew_main(void *arg)
{
	struct crew *crew = arg;
	size_t i;

	while ((i = __atomic_fetch_add(&crew->next, 1, __ATOMIC_RELAXED)) < crew->count)
		crew->work(crew->ctx, i);
	return NULL;
}

void filemap_run(unsigned int threads, size_t count, void (*work)(void *ctx, size_t i), void *ctx)
{
	struct crew crew = { .count = count, .work = work, .ctx = ctx };
	pthread_t ids[MAX_THREADS];
	unsigned int started = 0;

	if (!threads)
		threads = sysconf(_SC_NPROCESSORS_ONLN);
	if (threads > MAX_THREADS)
		threads = MAX_THREADS;
	/* This thread is one of them, so nothing is left undone if none starts. */
	while (started + 1 < threads && started + 1 < count &&
	       !pthread_create(&ids[started], NULL, crew_main, &crew))
		started++;
	crew_main(&crew);
	while (started)
		pthread_join(ids[--started], NULL);
}
