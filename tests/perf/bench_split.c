// SPDX-License-Identifier: GPL-2.0-only
/*
 * split: where the instructions of an operation go. A kernel with CONFIG_FUSE_IOMAP_BENCH
 * writes a record of time stamps for each fault, read and write; what the stamps
 * themselves cost is taken off. Totals are measured by the other loads, without stamps.
 */
#include "bench.h"
#include "fuse_iomap_bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MARK(name)	FUSE_IOMAP_BENCH_MARK_##name

/* In the order in which they are passed. */
static const struct {
	const char *name;
	int from, to;
} parts[] = {
	{ "entry", MARK(ENTRY), MARK(DAX) },
	{ "to-begin", MARK(DAX), MARK(BEGIN) },
	{ "to-obtain", MARK(BEGIN), MARK(OBTAIN) },
	{ "obtain", MARK(OBTAIN), MARK(OBTAINED) },
	{ "validate", MARK(OBTAINED), MARK(ACCEPTED) },
	{ "after-begin", MARK(ACCEPTED), MARK(DONE) },
	{ "exit", MARK(DONE), MARK(EXIT) },
};

/* c has no validation: the nearest mark that is there ends the part before. */
static bool part_ticks(const struct fuse_iomap_bench_record *r, size_t part, uint64_t cost,
		       uint64_t *ret)
{
	uint64_t a = r->mark[parts[part].from], b = r->mark[parts[part].to];

	if (!a || !b || b < a)
		return false;
	*ret = b - a > cost ? b - a - cost : 0;
	return true;
}

static void split_rows(const struct fuse_iomap_bench_record *r, size_t n, uint64_t cost)
{
	struct json_object *params = params_new();
	struct samples s;
	uint64_t ticks;

	json_object_object_add(params, "access",
			       json_object_new_string(opts.write ? "write" : "read"));
	if (opts.size)
		json_object_object_add(params, "size", json_object_new_int64((int64_t)opts.size));
	if (samples_alloc(&s, n))
		fail("out of memory");
	for (size_t part = 0; part < sizeof(parts) / sizeof(parts[0]); part++) {
		s.n = 0;
		for (size_t i = 0; i < n; i++)
			if (part_ticks(&r[i], part, cost, &ticks))
				/* What is taken off a sample for the clock is not in these */
				samples_add(&s, ticks + clock_pair);
		row_samples(parts[part].name, params, &s);
	}
	row_value("mark", "instructions", params, (double)cost);
	samples_free(&s);
	json_object_put(params);
}

/* One fault or call per 4 KiB, as touch4k, read and write do it. */
static void split_pass(int fd, uint64_t bytes)
{
	static char buf[SZ_4K];
	struct window w;

	if (opts.size) {
		for (uint64_t at = 0; at + SZ_4K <= bytes; at += SZ_4K) {
			ssize_t done = opts.write ? pwrite(fd, buf, SZ_4K, (off_t)at)
						  : pread(fd, buf, SZ_4K, (off_t)at);

			if (done != SZ_4K)
				fail("%s: %s", opts.file, strerror(errno));
		}
		return;
	}
	window_map(&w, fd, 0, bytes, true);
	madvise(w.at, bytes, MADV_RANDOM);
	for (uint64_t at = 0; at < bytes; at += SZ_4K) {
		volatile char *x = w.at + at;

		if (opts.write)
			*x = 1;
		else
			(void)*x;
	}
	window_unmap(&w);
}

void load_split(void)
{
	struct fuse_iomap_bench_marks m = { .on = 1 };
	struct fuse_iomap_bench_record *r = calloc(FUSE_IOMAP_BENCH_RING, sizeof(*r));
	int bench = open(FUSE_IOMAP_BENCH_DEV, O_RDWR | O_CLOEXEC);
	uint64_t bytes;
	int fd = file_open(&bytes);

	if (bench < 0)
		fail("%s: %s: split needs a kernel with CONFIG_FUSE_IOMAP_BENCH",
		     FUSE_IOMAP_BENCH_DEV, strerror(errno));
	if (!r)
		fail("out of memory");
	if (opts.size && opts.size != SZ_4K)
		fail("split knows --size 4k only");
	split_pass(fd, bytes);
	if (ioctl(bench, FUSE_IOMAP_BENCH_IOC_MARK, &m))
		fail("%s: %s", FUSE_IOMAP_BENCH_DEV, strerror(errno));
	/* A file that was opened before has no marks in its reads and writes */
	close(fd);
	fd = file_open(&bytes);
	split_pass(fd, bytes);
	m = (struct fuse_iomap_bench_marks){ .nr = FUSE_IOMAP_BENCH_RING, .records = (uintptr_t)r };
	if (ioctl(bench, FUSE_IOMAP_BENCH_IOC_MARK, &m) ||
	    ioctl(bench, FUSE_IOMAP_BENCH_IOC_READ, &m))
		fail("%s: %s", FUSE_IOMAP_BENCH_DEV, strerror(errno));
	if (!m.nr || m.lost)
		fail("split: %u records, %llu lost", m.nr, (unsigned long long)m.lost);
	split_rows(r, m.nr, m.cost);
	free(r);
	close(bench);
	close(fd);
}
