// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many files: files (open, mmap, first touch, munmap, close), stat, open (and close),
 * readdir. Names are --prefix and a number from 0 to --count - 1; which of them are
 * visited, and in what order, depends on --dist, --draws and --seed only.
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const dist_names[] = {
	[DIST_ALL] = "all",
	[DIST_UNIFORM] = "uniform",
	[DIST_ZIPF] = "zipf",
};

static int dir_open(void)
{
	int fd = opts.dir ? open(opts.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (!opts.dir)
		fail("%s needs --dir", opts.load);
	if (fd < 0)
		fail("%s: %s", opts.dir, strerror(errno));
	return fd;
}

/* Names in one block, so that making them is not part of a sample. */
#define NAME_ROOM	32
static char *names_make(const uint32_t *draws, size_t n)
{
	char *names = malloc(n * NAME_ROOM);

	if (!names)
		fail("out of memory");
	for (size_t i = 0; i < n; i++)
		snprintf(names + i * NAME_ROOM, NAME_ROOM, "%s%u", opts.prefix, draws[i]);
	return names;
}

static struct json_object *files_params(unsigned int pass)
{
	struct json_object *p = params_new();

	json_object_object_add(p, "files", json_object_new_int64((int64_t)opts.count));
	json_object_object_add(p, "dist", json_object_new_string(dist_names[opts.dist]));
	json_object_object_add(p, "pass", json_object_new_string(pass ? "warm" : "cold"));
	return p;
}

enum { STEP_OPEN, STEP_MMAP, STEP_TOUCH, STEP_MUNMAP, STEP_CLOSE, STEP_ALL, NR_STEPS };

static void files_visit(int dir, const char *name, struct samples s[NR_STEPS])
{
	uint64_t t[NR_STEPS];
	int prot = PROT_READ | (opts.write ? PROT_WRITE : 0);
	volatile char *at;
	int fd;

	t[0] = now();
	fd = openat(dir, name, (opts.write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	t[1] = now();
	if (fd < 0)
		fail("%s/%s: %s", opts.dir, name, strerror(errno));
	at = mmap(NULL, SZ_4K, prot, MAP_SHARED, fd, 0);
	t[2] = now();
	if (at == MAP_FAILED)
		fail("%s/%s: mmap: %s", opts.dir, name, strerror(errno));
	if (opts.write)
		*at = 1;
	else
		(void)*at;
	t[3] = now();
	munmap((void *)at, SZ_4K);
	t[4] = now();
	close(fd);
	t[5] = now();
	for (int i = 0; i < STEP_ALL; i++)
		samples_add(&s[i], t[i + 1] - t[i]);
	samples_add(&s[STEP_ALL], t[STEP_ALL] - t[0]);
}

void load_files(void)
{
	static const char *const metrics[NR_STEPS] = { "open",	 "mmap",  "touch",
						       "munmap", "close", "visit" };
	size_t n = opts.draws ? opts.draws : opts.count;
	struct samples s[NR_STEPS];
	int dir = dir_open();
	uint32_t *draws = rng_draws(opts.seed, opts.count, n, opts.dist);
	char *names;

	if (!draws)
		fail("out of memory");
	names = names_make(draws, n);
	for (int i = 0; i < NR_STEPS; i++)
		if (samples_alloc(&s[i], n))
			fail("out of memory");
	for (unsigned int pass = 0; pass < opts.passes; pass++) {
		struct json_object *params = files_params(pass);
		struct pass counted;

		for (int i = 0; i < NR_STEPS; i++)
			s[i].n = 0;
		pass_begin(&counted);
		for (size_t i = 0; i < n; i++)
			files_visit(dir, names + i * NAME_ROOM, s);
		pass_end(&counted);
		for (int i = 0; i < NR_STEPS; i++)
			row_samples(metrics[i], params, &s[i]);
		pass_rows(&counted, params, n);
	}
	for (int i = 0; i < NR_STEPS; i++)
		samples_free(&s[i]);
	free(names);
	free(draws);
	close(dir);
}

/* ---- stat, open, readdir ---- */

static void meta_stat(int dir, const char *name, struct samples *s)
{
	struct stat st;
	uint64_t a = now();
	int err = fstatat(dir, name, &st, 0);

	samples_add(s, now() - a);
	if (err)
		fail("%s/%s: %s", opts.dir, name, strerror(errno));
}

static void meta_open(int dir, const char *name, struct samples *s)
{
	uint64_t a = now();
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	samples_add(s, now() - a);
	if (fd < 0)
		fail("%s/%s: %s", opts.dir, name, strerror(errno));
}

/* One sample per getdents64(2) of 32 KiB, as readdir(3) does it; entries are counted. */
static size_t meta_readdir(int dir, struct samples *s)
{
	static char buf[32768] __attribute__((aligned(8)));
	size_t entries = 0;
	long n;

	lseek(dir, 0, SEEK_SET);
	do {
		uint64_t a = now();

		n = syscall(SYS_getdents64, dir, buf, sizeof(buf));
		samples_add(s, now() - a);
		if (n < 0)
			fail("%s: readdir: %s", opts.dir, strerror(errno));
		for (long at = 0; at < n; entries++)
			at += ((struct dirent64 *)(buf + at))->d_reclen;
	} while (n > 0);
	return entries;
}

void load_meta(void)
{
	bool is_stat = !strcmp(opts.load, "stat"), is_dir = !strcmp(opts.load, "readdir");
	size_t n = opts.draws ? opts.draws : opts.count, entries = 0;
	int dir = dir_open();
	uint32_t *draws = is_dir ? NULL : rng_draws(opts.seed, opts.count, n, opts.dist);
	char *names = NULL;
	struct samples s;

	if (is_dir)
		n = opts.count + 16;	/* never more calls than entries */
	else if (!draws)
		fail("out of memory");
	else
		names = names_make(draws, n);
	if (samples_alloc(&s, n))
		fail("out of memory");
	for (unsigned int pass = 0; pass < opts.passes; pass++) {
		struct json_object *params = files_params(pass);
		struct pass counted;
		uint64_t a;

		if (is_dir)
			json_object_object_del(params, "dist");
		s.n = 0;
		pass_begin(&counted);
		a = now();
		if (is_dir)
			entries = meta_readdir(dir, &s);
		else
			for (size_t i = 0; i < n; i++)
				(is_stat ? meta_stat : meta_open)(dir, names + i * NAME_ROOM, &s);
		a = now() - a;
		pass_end(&counted);
		row_samples("call", params, &s);
		if (is_dir)
			row_value("entries", "count", params, (double)entries);
		pass_rows(&counted, params, n);
	}
	samples_free(&s);
	free(names);
	free(draws);
	close(dir);
}

/* Files as the other loads expect them, of --size bytes. */
void load_make(void)
{
	char *buf = calloc(1, opts.size ? opts.size : SZ_4K);
	int dir = dir_open();

	if (!buf)
		fail("out of memory");
	for (uint64_t i = 0; i < opts.count; i++) {
		size_t size = opts.size ? opts.size : SZ_4K;
		char name[NAME_ROOM];
		int fd;

		snprintf(name, sizeof(name), "%s%llu", opts.prefix, (unsigned long long)i);
		fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, buf, size) != (ssize_t)size || close(fd))
			fail("%s/%s: %s", opts.dir, name, strerror(errno));
	}
	free(buf);
	close(dir);
}
