// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an access takes under each variant, in units of the TSC, which are instructions in
 * a VM that counts them: median of a warm pass (the second one). And, where the kernel has
 * marks, what of it is obtaining the mapping and what is validating it.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#define SAMPLES	512

static uint64_t sample[SAMPLES];

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return n ? v[n / 2] : 0;
}

/* One pass of faults over a new mapping; returns how many */
static size_t touch(int fd, size_t i, size_t skew, uint64_t step, bool write)
{
	char *p = map_file(fd, files[i].size, skew);
	size_t n = 0;

	if (!p)
		die("mmap");
	for (uint64_t pos = 0; pos + step <= files[i].size && n < SAMPLES; pos += step, n++) {
		volatile char *at = p + pos + 64;
		uint64_t t = __rdtsc();

		if (write)
			*at = 1;
		else
			(void)*at;
		sample[n] = __rdtsc() - t;
	}
	munmap(p, files[i].size);
	return n;
}

static uint64_t faults(int fd, size_t i, bool huge, bool write)
{
	uint64_t step = huge ? HUGE : PAGE;
	size_t skew = huge ? 0 : PAGE, n;

	drop_pages(i);
	touch(fd, i, skew, step, write);
	n = touch(fd, i, skew, step, write);
	return median(sample, n);
}

static uint64_t calls(int fd, size_t i, bool write)
{
	static char buf[PAGE];
	size_t n = 0;

	drop_pages(i);
	for (uint64_t pos = 0; pos + PAGE <= files[i].size && n < SAMPLES; pos += PAGE, n++) {
		uint64_t t = __rdtsc();
		ssize_t got = write ? pwrite(fd, buf, PAGE, (off_t)pos)
				    : pread(fd, buf, PAGE, (off_t)pos);

		sample[n] = __rdtsc() - t;
		if (got != PAGE)
			die("pread or pwrite");
	}
	return median(sample, n);
}

#define NR_SPLITS 5

/* Medians of the parts, without what the marks took */
static void split(int fd, size_t i, uint64_t *ret)
{
	static struct fuse_iomap_bench_record rec[SAMPLES];
	static const struct {
		int from, to;
	} parts[NR_SPLITS] = {
		{ FUSE_IOMAP_BENCH_MARK_ENTRY, FUSE_IOMAP_BENCH_MARK_DAX },
		{ FUSE_IOMAP_BENCH_MARK_DAX, FUSE_IOMAP_BENCH_MARK_BEGIN },
		{ FUSE_IOMAP_BENCH_MARK_BEGIN, FUSE_IOMAP_BENCH_MARK_OBTAIN },
		{ FUSE_IOMAP_BENCH_MARK_OBTAIN, FUSE_IOMAP_BENCH_MARK_OBTAINED },
		{ FUSE_IOMAP_BENCH_MARK_OBTAINED, FUSE_IOMAP_BENCH_MARK_ACCEPTED },
	};
	uint64_t mark_cost;
	long n;

	memset(ret, 0, NR_SPLITS * sizeof(*ret));
	if (bench_marks_start())
		return;
	touch(fd, i, PAGE, PAGE, false);
	n = bench_marks_read(rec, SAMPLES, &mark_cost);
	for (size_t k = 0; k < NR_SPLITS; k++) {
		for (long j = 0; j < n; j++)
			sample[j] =
				rec[j].mark[parts[k].to] - rec[j].mark[parts[k].from] - mark_cost;
		ret[k] = n > 0 ? median(sample, (size_t)n) : 0;
	}
}

static void cost_file(const char *variant, size_t i)
{
	int fd = open_file(NULL, i);
	uint64_t part[NR_SPLITS];

	if (fd < 0)
		die("open");
	printf("%-10s %-12s", variant, file_name[i]);
	for (int huge = 0; huge < 2; huge++)
		for (int write = 0; write < 2; write++)
			printf(" %6lu", faults(fd, i, huge, write));
	printf(" %6lu", calls(fd, i, false));
	printf(" %6lu", calls(fd, i, true));
	split(fd, i, part);
	for (size_t k = 0; k < NR_SPLITS; k++)
		printf(" %5ld", (long)part[k]);
	printf("\n");
	close(fd);
}

int cost(const char *const *names)
{
	char msg[BENCH_MSG_MAX] = "";

	printf("%-10s %-12s %6s %6s %6s %6s %6s %6s %5s %5s %5s %5s %5s\n", "variant", "layout",
	       "4K r", "4K w", "2M r", "2M w", "pread", "pwrite", "->dax", "->beg", "->obt", "obtn",
	       "valid");
	for (size_t k = 0; names[k]; k++) {
		struct bench_variant *v;

		if (bench_variant_attach(&conn, names[k], files, LIST_16, &v, msg)) {
			printf("%-10s %s\n", names[k], msg);
			continue;
		}
		for (size_t i = SIMPLE; i <= STRIPS_16; i++)
			cost_file(names[k], i);
		bench_variant_detach(v);
	}
	return 0;
}
