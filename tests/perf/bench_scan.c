// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a whole mapping costs, from the first touch to close: scan, in a mapping that is 4 KiB
 * off the colour of 2 MiB pages, where a file system that maps more than was asked for has few
 * faults and much to take down. And mmaplock: how often threads that fault take mmap_lock.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SCAN_PASSES	9

static struct json_object *scan_params(size_t stride, bool warm)
{
	struct json_object *p = params_new();

	json_object_object_add(p, "access", json_object_new_string(opts.write ? "write" : "read"));
	json_object_object_add(p, "stride", json_object_new_int64((int64_t)stride));
	json_object_object_add(p, "pass", json_object_new_string(warm ? "warm" : "cold"));
	return p;
}

static void scan_touch(char *at, size_t n, size_t stride)
{
	for (size_t i = 0; i < n; i++) {
		volatile char *x = at + i * stride;

		if (opts.write)
			*x = 1;
		else
			(void)*x;
	}
}

/* One pass: what all touches take, and munmap and close together. */
static void scan_pass(size_t stride, struct samples *touch, struct samples *end)
{
	uint64_t bytes, t[4];
	int fd = file_open(&bytes);
	size_t n = bytes / stride;
	struct window w;

	window_map(&w, fd, opts.offset, bytes, true);
	t[0] = now();
	scan_touch(w.at, n, stride);
	t[1] = now();
	munmap(w.at, bytes);
	if (fd >= 0)
		close(fd);
	t[2] = now();
	window_unmap(&w);
	samples_add(touch, (t[1] - t[0]) / n);
	samples_add(end, t[2] - t[1]);
}

/*
 * A sample is the mean of a pass, or a pass: timer ticks are in it. The median of the passes
 * has few of them, but is not exact; the minimum nearly is.
 */
void load_scan(void)
{
	size_t stride = opts.size ? opts.size : SZ_4K;
	struct samples touch, end;

	if (stride < SZ_4K)
		fail("scan: --size is the distance of touches, 4k or more");
	if (samples_alloc(&touch, SCAN_PASSES) || samples_alloc(&end, SCAN_PASSES))
		fail("out of memory");
	for (unsigned int warm = 0; warm < 2; warm++) {
		struct json_object *params = scan_params(stride, warm);

		touch.n = end.n = 0;
		for (unsigned int i = 0; i < (warm ? SCAN_PASSES : 1); i++)
			scan_pass(stride, &touch, &end);
		row_samples("touch-mean", params, &touch);
		row_samples("unmap-close", params, &end);
		json_object_put(params);
	}
	samples_free(&touch);
	samples_free(&end);
}

/* ---- mmap_lock ---- */

#define TRACING		"/sys/kernel/tracing"
#define INSTANCE	TRACING "/instances/famfs-bench"
#define LOCK_EVENT	INSTANCE "/events/mmap_lock/mmap_lock_acquire_returned/enable"

static void trace_put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		int err = errno;

		rmdir(INSTANCE);
		fail("%s: %s: mmaplock needs tracefs, and the tracepoints of mmap_lock", file,
		     strerror(err));
	}
	close(fd);
}

/* Events of all CPUs since the ring was emptied, those that it lost included. */
static long trace_entries(void)
{
	long total = 0, n;

	for (int cpu = 0; cpu < 4096; cpu++) {
		char path[128], line[128];
		FILE *f;

		snprintf(path, sizeof(path), INSTANCE "/per_cpu/cpu%d/stats", cpu);
		f = fopen(path, "re");
		if (!f)
			break;
		while (fgets(line, sizeof(line), f))
			if (sscanf(line, "entries: %ld", &n) == 1 ||
			    sscanf(line, "overrun: %ld", &n) == 1)
				total += n;
		fclose(f);
	}
	return total;
}

struct locker {
	char *at;
	size_t first;
	size_t n;
	size_t step;
	pid_t tid;
	long faults;
};

static pthread_barrier_t lock_ready, lock_go, lock_done, lock_end;

static long thread_faults(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r);
	return r.ru_minflt + r.ru_majflt;
}

static void *lock_thread(void *arg)
{
	struct locker *l = arg;

	l->tid = (pid_t)syscall(SYS_gettid);
	/* Its stack is touched before the count begins */
	l->faults = thread_faults();
	pthread_barrier_wait(&lock_ready);
	pthread_barrier_wait(&lock_go);
	l->faults = thread_faults();
	for (size_t i = l->first; i < l->n; i += l->step) {
		volatile char *x = l->at + i * SZ_4K;

		if (opts.write)
			*x = 1;
		else
			(void)*x;
	}
	l->faults = thread_faults() - l->faults;
	pthread_barrier_wait(&lock_done);
	pthread_barrier_wait(&lock_end);
	return NULL;
}

static void lock_count(char *at, size_t n, long *ret_faults, long *ret_locks)
{
	unsigned int threads = opts.threads > 1 ? opts.threads : 2;
	struct locker l[threads];
	pthread_t id[threads];
	char pids[16 * THREADS_MAX] = "";
	size_t len = 0;

	pthread_barrier_init(&lock_ready, NULL, threads + 1);
	pthread_barrier_init(&lock_go, NULL, threads + 1);
	pthread_barrier_init(&lock_done, NULL, threads + 1);
	pthread_barrier_init(&lock_end, NULL, threads + 1);
	for (unsigned int i = 0; i < threads; i++) {
		l[i] = (struct locker){ .at = at, .first = i, .n = n, .step = threads };
		if (pthread_create(&id[i], NULL, lock_thread, &l[i]))
			fail("cannot make %u threads", threads);
	}
	pthread_barrier_wait(&lock_ready);
	for (unsigned int i = 0; i < threads; i++)
		len += (size_t)snprintf(pids + len, sizeof(pids) - len, "%d ", l[i].tid);
	trace_put(INSTANCE "/set_event_pid", pids);
	trace_put(INSTANCE "/trace", " ");
	trace_put(LOCK_EVENT, "1");
	trace_put(INSTANCE "/tracing_on", "1");
	pthread_barrier_wait(&lock_go);
	pthread_barrier_wait(&lock_done);
	trace_put(INSTANCE "/tracing_on", "0");
	trace_put(LOCK_EVENT, "0");
	*ret_locks = trace_entries();
	*ret_faults = 0;
	pthread_barrier_wait(&lock_end);
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(id[i], NULL);
		*ret_faults += l[i].faults;
	}
	pthread_barrier_destroy(&lock_ready);
	pthread_barrier_destroy(&lock_go);
	pthread_barrier_destroy(&lock_done);
	pthread_barrier_destroy(&lock_end);
}

void load_mmaplock(void)
{
	struct json_object *params = params_new();
	long faults, locks;
	struct window w;
	uint64_t bytes;
	int fd = file_open(&bytes);

	json_object_object_add(params, "access",
			       json_object_new_string(opts.write ? "write" : "read"));
	json_object_object_add(params, "threads",
			       json_object_new_int64(opts.threads > 1 ? opts.threads : 2));
	window_map(&w, fd, opts.offset, bytes, true);
	madvise(w.at, bytes, MADV_RANDOM);
	if (mkdir(INSTANCE, 0700) && errno != EEXIST)
		fail("%s: %s: mmaplock needs tracefs, mounted there", INSTANCE, strerror(errno));
	lock_count(w.at, bytes / SZ_4K, &faults, &locks);
	rmdir(INSTANCE);
	window_unmap(&w);
	row_value("faults", "count", params, (double)faults);
	row_value("mmap-locks", "count", params, (double)locks);
	json_object_put(params);
	if (fd >= 0)
		close(fd);
}
