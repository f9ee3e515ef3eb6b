// SPDX-License-Identifier: GPL-2.0-only
/*
 * First touches of a mapped file: touch4k, touch2m, and fork, where the child touches
 * what the parent has. One sample per touch; a mapping is made anew for each pass.
 *
 * touch4k maps the file 4 KiB off the colour of 2 MiB pages and says MADV_RANDOM, so that
 * every touch is one fault of 4 KiB, whatever the file system would rather do. touch2m maps on
 * colour. sparse is off colour and in random order; only with --random it says so by madvise(2).
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_ANON	"anon"
#define FILE_HUGETLB	"hugetlb"

static bool file_is_memory(void)
{
	return !strcmp(opts.file, FILE_ANON) || !strcmp(opts.file, FILE_HUGETLB);
}

/* A DAX character device has no size of its own in stat(2): lseek(2) neither. */
int file_open(uint64_t *ret_bytes)
{
	struct stat st;
	int fd;

	if (!opts.file)
		fail("%s needs --file", opts.load);
	if (file_is_memory()) {
		*ret_bytes = opts.bytes;
		if (!opts.bytes)
			fail("--file %s needs --bytes", opts.file);
		return -1;
	}
	fd = open(opts.file, O_RDWR | O_CLOEXEC | (opts.direct ? O_DIRECT : 0));
	if (fd < 0 || fstat(fd, &st))
		fail("%s: %s", opts.file, strerror(errno));
	*ret_bytes = opts.bytes;
	if (!opts.bytes) {
		off_t end = S_ISCHR(st.st_mode) ? -1 : lseek(fd, 0, SEEK_END);

		if (end <= 0)
			fail("%s: its size is not known, give --bytes", opts.file);
		*ret_bytes = (uint64_t)end > opts.offset ? (uint64_t)end - opts.offset : 0;
	} else if (S_ISREG(st.st_mode) && opts.offset + opts.bytes > (uint64_t)st.st_size) {
		fail("%s: has %lld bytes, fewer than --offset and --bytes say", opts.file,
		     (long long)st.st_size);
	}
	return fd;
}

void window_map(struct window *w, int fd, uint64_t offset, size_t bytes, bool off_colour)
{
	uint64_t align = SZ_2M - 1;
	int flags = MAP_FIXED;
	char *at;

	w->reserved_bytes = bytes + 2 * SZ_2M;
	w->reserved = mmap(NULL, w->reserved_bytes, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->reserved == MAP_FAILED)
		fail("no address space of %zu bytes: %s", w->reserved_bytes, strerror(errno));
	at = (char *)(((uintptr_t)w->reserved + align) & ~align);
	if (off_colour)
		at += SZ_4K;
	if (fd >= 0)
		flags |= MAP_SHARED;
	else
		flags |= MAP_PRIVATE | MAP_ANONYMOUS |
			 (strcmp(opts.file, FILE_HUGETLB) ? 0 : MAP_HUGETLB);
	w->at = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset);
	if (w->at == MAP_FAILED)
		fail("%s: cannot map %zu bytes: %s", opts.file, bytes, strerror(errno));
	if (fd < 0 && strcmp(opts.file, FILE_HUGETLB))
		madvise(w->at, bytes, off_colour ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

void window_unmap(struct window *w)
{
	munmap(w->reserved, w->reserved_bytes);
}

/* ---- one thread's touches ---- */

struct touches {
	char *base;
	size_t stride;
	const uint32_t *order;	/* NULL: in sequence */
	size_t first;
	size_t n;
	struct samples samples;
};

/* Apart, so that nothing but the access is between the clocks. */
static void touch_read(struct touches *t)
{
	for (size_t i = 0; i < t->n; i++) {
		volatile char *x =
			t->base + (t->order ? t->order[t->first + i] : t->first + i) * t->stride;
		uint64_t a = now();

		(void)*x;
		t->samples.v[i] = now() - a;
	}
	t->samples.n = t->n;
}

static void touch_write(struct touches *t)
{
	for (size_t i = 0; i < t->n; i++) {
		volatile char *x =
			t->base + (t->order ? t->order[t->first + i] : t->first + i) * t->stride;
		uint64_t a = now();

		*x = 1;
		t->samples.v[i] = now() - a;
	}
	t->samples.n = t->n;
}

static void *touch_thread(void *arg)
{
	(opts.write ? touch_write : touch_read)(arg);
	return NULL;
}

/* The cpu-th of those that we may run on, in turn. */
static void pin_to(unsigned int cpu)
{
	cpu_set_t may, one;
	int seen = 0;

	if (sched_getaffinity(0, sizeof(may), &may) || !CPU_COUNT(&may))
		return;
	cpu %= (unsigned int)CPU_COUNT(&may);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &may) || (unsigned int)seen++ != cpu)
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

/* All at once: the first would be done before the last is made. */
static pthread_barrier_t touch_start;

static void *touch_pinned(void *arg)
{
	struct touches *t = arg;

	if (opts.pin)
		pin_to((unsigned int)(t->first / t->n));
	pthread_barrier_wait(&touch_start);
	return touch_thread(t);
}

static void touch_run(struct touches *t, unsigned int threads)
{
	pthread_t id[threads];

	if (threads == 1) {
		if (opts.pin)
			pin_to(0);
		touch_thread(t);
		return;
	}
	pthread_barrier_init(&touch_start, NULL, threads);
	for (unsigned int i = 0; i < threads; i++)
		if (pthread_create(&id[i], NULL, touch_pinned, &t[i]))
			fail("cannot make %u threads", threads);
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	pthread_barrier_destroy(&touch_start);
}

static struct json_object *touch_params(unsigned int pass)
{
	struct json_object *p = params_new();

	json_object_object_add(p, "access", json_object_new_string(opts.write ? "write" : "read"));
	json_object_object_add(p, "order",
			       json_object_new_string(opts.random ? "random" : "sequential"));
	json_object_object_add(p, "pass", json_object_new_string(pass ? "warm" : "cold"));
	if (opts.threads > 1)
		json_object_object_add(p, "threads", json_object_new_int64(opts.threads));
	return p;
}

/* All threads' samples in one set. */
static void touch_join(struct touches *t, unsigned int threads, struct samples *all)
{
	all->n = 0;
	for (unsigned int i = 0; i < threads; i++)
		for (size_t k = 0; k < t[i].samples.n; k++)
			samples_add(all, t[i].samples.v[k]);
}

void load_touch(void)
{
	bool small = !strcmp(opts.load, "touch4k"), sparse = !strcmp(opts.load, "sparse");
	size_t stride = small ? SZ_4K : SZ_2M, n, each;
	struct touches t[opts.threads];
	struct samples all;
	uint32_t *order = NULL;
	struct window w;
	uint64_t bytes;
	int fd = file_open(&bytes);

	n = bytes / stride;
	if (n < opts.threads)
		fail("%s: %llu bytes are too few", opts.file, (unsigned long long)bytes);
	if (opts.draws && opts.draws < n)
		n = opts.draws;
	each = n / opts.threads;
	if (opts.random || sparse) {
		order = rng_permutation(opts.seed, bytes / stride);
		if (!order)
			fail("out of memory");
	}
	if (samples_alloc(&all, each * opts.threads))
		fail("out of memory");
	for (unsigned int i = 0; i < opts.threads; i++) {
		t[i] = (struct touches){
			.stride = stride, .order = order, .first = each * i, .n = each
		};
		if (samples_alloc(&t[i].samples, each))
			fail("out of memory");
	}
	for (unsigned int pass = 0; pass < opts.passes; pass++) {
		struct json_object *params = touch_params(pass);
		struct pass counted;

		if (sparse)
			json_object_object_add(params, "advice",
					       json_object_new_string(opts.random ? "random"
										  : "none"));
		window_map(&w, fd, opts.offset, bytes, small || sparse);
		if (small || (sparse && opts.random))
			madvise(w.at, bytes, MADV_RANDOM);
		for (unsigned int i = 0; i < opts.threads; i++)
			t[i].base = w.at;
		pass_begin(&counted);
		touch_run(t, opts.threads);
		if (opts.pin)
			clock_mark();
		pass_end(&counted);
		window_unmap(&w);
		touch_join(t, opts.threads, &all);
		row_samples("touch", params, &all);
		pass_rows(&counted, params, all.n);
	}
	for (unsigned int i = 0; i < opts.threads; i++)
		samples_free(&t[i].samples);
	samples_free(&all);
	free(order);
	if (fd >= 0)
		close(fd);
}

/* ---- fork ---- */

/*
 * Page tables of shared mappings are not copied by fork(2): the child faults again. Its
 * samples come back through shared memory. The parent's pages are touched 4 KiB apart.
 */
void load_fork(void)
{
	struct samples forks;
	struct window w;
	struct touches t;
	uint64_t bytes, *shared;
	int fd = file_open(&bytes);
	size_t n = bytes / SZ_4K;

	shared = mmap(NULL, n * sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (shared == MAP_FAILED || samples_alloc(&forks, 1))
		fail("out of memory");
	for (unsigned int pass = 0; pass < opts.passes; pass++) {
		struct json_object *params = touch_params(pass);
		int status;
		pid_t pid;

		window_map(&w, fd, opts.offset, bytes, true);
		madvise(w.at, bytes, MADV_RANDOM);
		t = (struct touches){
			.base = w.at, .stride = SZ_4K, .n = n, .samples = { .v = shared, .room = n }
		};
		touch_thread(&t);
		/* In the child these pages are there already, or each sample faults twice. */
		forks.n = 0;
		fflush(stdout);
		{
			uint64_t a = now();

			pid = fork();
			if (!pid) {
				for (size_t i = 0; i < n; i += SZ_4K / sizeof(*shared))
					shared[i] = 0;
				touch_thread(&t);
				_exit(0);
			}
			samples_add(&forks, now() - a);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			fail("fork: the child failed");
		window_unmap(&w);
		t.samples.n = n;
		row_samples("touch-child", params, &t.samples);
		row_samples("fork", params, &forks);
		json_object_put(params);
	}
	munmap(shared, n * sizeof(*shared));
	samples_free(&forks);
	if (fd >= 0)
		close(fd);
}
