/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * famfs-bench, shared: options, the clock, samples and the rows made of them.
 *
 * A load takes one sample per operation: clock, operation, clock. What an empty pair of
 * clock reads costs is subtracted. The clock is the TSC where there is one: under
 * QEMU's -icount it advances by one per guest instruction (--exact), on hardware it is
 * converted to ns.
 */
#ifndef FAMFS_PERF_BENCH_H
#define FAMFS_PERF_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <json-c/json.h>

#define SZ_4K	(4UL << 10)
#define SZ_2M	(2UL << 20)

#define THREADS_MAX	256

enum bench_dist { DIST_ALL, DIST_UNIFORM, DIST_ZIPF };

/**
 * struct bench_opts - the command line
 * @bytes:	range of the file that is used; 0: all of it
 * @passes:	the first is "cold", the others "warm": the mapping is made anew for each
 * @size:	of one read or write
 * @count:	files of @dir; names are @prefix and a decimal number from 0
 * @draws:	how many of them to visit, as @dist says
 * @params:	of every row
 */
struct bench_opts {
	const char *load;
	const char *variant;
	const char *file;
	const char *dir;
	const char *prefix;
	uint64_t offset;
	uint64_t bytes;
	uint64_t size;
	uint64_t count;
	uint64_t draws;
	uint64_t seed;
	unsigned int passes;
	unsigned int threads;
	enum bench_dist dist;
	bool exact;
	bool ticks;
	bool pin;
	bool write;
	bool random;
	bool direct;
	bool counters;
	struct json_object *params;
};

extern struct bench_opts opts;

/* ---- clock ---- */

#if defined(__x86_64__) || defined(__i386__)
#define BENCH_CLOCK_IS_TSC	1
static inline uint64_t now(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

/* The end of a pass, for plugin/lines.c. */
static inline void clock_mark(void)
{
	asm volatile("rdtscp" : : : "eax", "edx", "ecx", "memory");
}
#else
static inline void clock_mark(void)
{
}

#define BENCH_CLOCK_IS_TSC	0
static inline uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
#endif

/** clock_init() - what an empty pair costs, how long a tick is. -EPROTO: not --exact */
int clock_init(void);
extern uint64_t clock_pair;	/* ticks of an empty pair */

/* ---- samples ---- */

struct samples {
	uint64_t *v;
	size_t n;
	size_t room;
};

/* Touched beforehand, so that no sample pays for the page it goes to. */
int samples_alloc(struct samples *s, size_t room);
void samples_free(struct samples *s);

static inline void samples_add(struct samples *s, uint64_t ticks)
{
	if (s->n < s->room)
		s->v[s->n++] = ticks;
}

/* ---- rows ---- */

struct json_object *params_new(void);	/* a copy of opts.params */

/** row_samples() - one row: median, with minimum and the rest as spread. Sorts @s */
void row_samples(const char *metric, struct json_object *params, struct samples *s);
/** row_value() - one row of a count or size, exact by nature */
void row_value(const char *metric, const char *unit, struct json_object *params, double value);

/* ---- around a pass ---- */

/* Things that are counted over a whole pass: faults, FUSE requests, hardware counters. */
#define PASS_COUNTERS	4
struct pass {
	long faults;
	long long requests;	/* -1: nobody tells */
	int fd[PASS_COUNTERS];
	double counter[PASS_COUNTERS];
};

void pass_begin(struct pass *p);
void pass_end(struct pass *p);
/** pass_rows() - rows of what was counted; @n operations. Puts @params */
void pass_rows(const struct pass *p, struct json_object *params, size_t n);

/* ---- random ---- */

struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);
/** rng_permutation() - 0..n-1 in random order; NULL without memory */
uint32_t *rng_permutation(uint64_t seed, size_t n);
/** rng_draws() - @draws of the numbers 0..n-1 by opts.dist; the same for the same seed */
uint32_t *rng_draws(uint64_t seed, size_t n, size_t draws, enum bench_dist dist);

/* ---- loads ---- */

void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A range of address space for bytes of opts.file: on the colour of 2 MiB or 4 KiB off. */
struct window {
	void *reserved;
	size_t reserved_bytes;
	char *at;
};
void window_map(struct window *w, int fd, uint64_t offset, size_t bytes, bool off_colour);
void window_unmap(struct window *w);
int file_open(uint64_t *ret_bytes);	/* opts.file; the range of it */

void load_touch(void);
void load_fork(void);
void load_io(void);
void load_files(void);
void load_meta(void);
void load_kv(void);
void load_kv_fill(void);
void load_null(void);
void load_fill(void);
void load_make(void);
void load_split(void);
void load_scan(void);
void load_mmaplock(void);

#endif /* FAMFS_PERF_BENCH_H */
