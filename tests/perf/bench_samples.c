// SPDX-License-Identifier: GPL-2.0-only
/*
 * Samples and what is counted beside them, and the rows that are made of both: one JSON
 * object a line on stdout, in the form of tests/perf/results.schema.json.
 */
#include "bench.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t clock_pair;
static double clock_ns = 1;	/* of a tick */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* ---- clock ---- */

#define CLOCK_PAIRS	101

static double clock_calibrate(void)
{
	struct timespec t0, t1, pause = { .tv_nsec = 50000000 };
	uint64_t a, b;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t0);
	a = now();
	nanosleep(&pause, NULL);
	clock_gettime(CLOCK_MONOTONIC_RAW, &t1);
	b = now();
	return ((double)(t1.tv_sec - t0.tv_sec) * 1e9 + (double)(t1.tv_nsec - t0.tv_nsec)) /
	       (double)(b - a);
}

int clock_init(void)
{
	uint64_t pairs[CLOCK_PAIRS];

	for (int i = 0; i < CLOCK_PAIRS; i++) {
		uint64_t a = now();

		pairs[i] = now() - a;
	}
	qsort(pairs, CLOCK_PAIRS, sizeof(pairs[0]), compare_u64);
	clock_pair = pairs[CLOCK_PAIRS / 2];
	/* Instructions, not time: nearly all pairs are the same handful of them. */
	if (opts.exact &&
	    (!BENCH_CLOCK_IS_TSC || clock_pair > 8 || pairs[CLOCK_PAIRS * 9 / 10] != pairs[0]))
		return -EPROTO;
	if (!opts.exact && !opts.ticks && BENCH_CLOCK_IS_TSC)
		clock_ns = clock_calibrate();
	return 0;
}

/* ---- samples ---- */

int samples_alloc(struct samples *s, size_t room)
{
	s->v = malloc((room ? room : 1) * sizeof(*s->v));
	if (!s->v)
		return -ENOMEM;
	memset(s->v, 1, (room ? room : 1) * sizeof(*s->v));
	s->n = 0;
	s->room = room;
	return 0;
}

void samples_free(struct samples *s)
{
	free(s->v);
	memset(s, 0, sizeof(*s));
}

/* ---- rows ---- */

struct json_object *params_new(void)
{
	struct json_object *copy = NULL;

	if (json_object_deep_copy(opts.params, &copy, NULL))
		fail("out of memory");
	return copy;
}

static struct json_object *number(double v)
{
	char text[32];

	if (v == (double)(int64_t)v)
		return json_object_new_int64((int64_t)v);
	/* Or json-c prints 17 digits. A tenth is enough, but not of 0.03 misses per touch */
	snprintf(text, sizeof(text), v < 100 ? "%.4g" : "%.1f", v);
	return json_object_new_double_s(v, text);
}

static void row_print(const char *metric, const char *unit, const char *kind,
		      struct json_object *params, struct json_object *value, size_t n,
		      struct json_object *spread)
{
	struct json_object *row = json_object_new_object();

	json_object_object_add(row, "variant", json_object_new_string(opts.variant));
	json_object_object_add(row, "load", json_object_new_string(opts.load));
	json_object_object_add(row, "params", json_object_get(params));
	json_object_object_add(row, "metric", json_object_new_string(metric));
	json_object_object_add(row, "unit", json_object_new_string(unit));
	json_object_object_add(row, "kind", json_object_new_string(kind));
	json_object_object_add(row, "value", value);
	json_object_object_add(row, "n", json_object_new_int64((int64_t)n));
	json_object_object_add(row, "spread", spread);
	puts(json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(row);
}

/* A tenth of a ns is all that a clock is good for. */
static double ticks_value(uint64_t ticks)
{
	if (opts.exact)
		return (double)ticks;
	return (double)(int64_t)((double)ticks * clock_ns * 10 + 0.5) / 10;
}

void row_samples(const char *metric, struct json_object *params, struct samples *s)
{
	static const struct {
		const char *name;
		unsigned int per_mille;
	} quantiles[] = {
		{ "min", 0 }, { "p25", 250 }, { "p75", 750 }, { "p99", 990 }, { "max", 1000 },
	};
	struct json_object *spread;
	double sum = 0;

	if (!s->n)
		return;
	for (size_t i = 0; i < s->n; i++) {
		s->v[i] -= clock_pair < s->v[i] ? clock_pair : s->v[i];
		sum += (double)s->v[i];
	}
	qsort(s->v, s->n, sizeof(*s->v), compare_u64);

	spread = json_object_new_object();
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		size_t at = s->n * quantiles[i].per_mille / 1000;

		json_object_object_add(spread, quantiles[i].name,
				       number(ticks_value(s->v[at < s->n ? at : s->n - 1])));
	}
	json_object_object_add(spread, "mean", number(ticks_value((uint64_t)(sum / (double)s->n))));
	row_print(metric,
		  opts.exact   ? "instructions"
		  : opts.ticks ? "ticks"
			       : "ns",
		  opts.exact ? "exact" : "native", params, number(ticks_value(s->v[s->n / 2])),
		  s->n, spread);
}

void row_value(const char *metric, const char *unit, struct json_object *params, double value)
{
	row_print(metric, unit, opts.exact ? "exact" : "native", params, number(value), 1, NULL);
}

/* ---- around a pass ---- */

/* Hardware counters: only what the machine has; a row that it has not is not there. */
static const struct {
	const char *metric;
	uint32_t type;
	uint64_t config;
} counters[PASS_COUNTERS] = {
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
	{ "llc-misses", PERF_TYPE_HW_CACHE,
	  PERF_COUNT_HW_CACHE_LL | PERF_COUNT_HW_CACHE_OP_READ << 8 |
		  PERF_COUNT_HW_CACHE_RESULT_MISS << 16 },
	{ "dtlb-misses", PERF_TYPE_HW_CACHE,
	  PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 |
		  PERF_COUNT_HW_CACHE_RESULT_MISS << 16 },
};

static int counter_open(int i)
{
	static bool told[PASS_COUNTERS];
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = counters[i].type,
		.config = counters[i].config,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.disabled = 1,
		.inherit = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 && !told[i]) {
		fprintf(stderr, "famfs-bench: no hardware counter of %s here: %s\n",
			counters[i].metric, strerror(errno));
		told[i] = true;
	}
	return fd;
}

/*
 * More counters than the CPU has take turns: what was not counted is estimated from what was.
 * -1: it never had its turn.
 */
static double counter_read(int fd, const char *metric)
{
	struct {
		uint64_t value, enabled, running;
	} r;

	if (read(fd, &r, sizeof(r)) != sizeof(r))
		return -1;
	if (!r.running) {
		fprintf(stderr, "famfs-bench: the counter of %s never ran\n", metric);
		return -1;
	}
	return (double)r.value * ((double)r.enabled / (double)r.running);
}

/* The server of the harness says how many FUSE requests it has seen. */
static long long requests_seen(void)
{
	const char *env = getenv("FAMFS_BENCH_CTL");
	char reply[32];
	ssize_t n;

	if (!env || write(atoi(env), "r", 1) != 1)
		return -1;
	n = read(atoi(env), reply, sizeof(reply) - 1);
	if (n <= 0)
		return -1;
	reply[n] = '\0';
	return atoll(reply);
}

static long faults_seen(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return r.ru_minflt + r.ru_majflt;
}

void pass_begin(struct pass *p)
{
	for (int i = 0; i < PASS_COUNTERS; i++)
		p->fd[i] = opts.counters ? counter_open(i) : -1;
	p->requests = requests_seen();
	p->faults = faults_seen();
	for (int i = 0; i < PASS_COUNTERS; i++)
		if (p->fd[i] >= 0)
			ioctl(p->fd[i], PERF_EVENT_IOC_ENABLE, 0);
}

void pass_end(struct pass *p)
{
	for (int i = 0; i < PASS_COUNTERS; i++) {
		if (p->fd[i] < 0)
			continue;
		ioctl(p->fd[i], PERF_EVENT_IOC_DISABLE, 0);
		p->counter[i] = counter_read(p->fd[i], counters[i].metric);
		if (p->counter[i] < 0) {
			close(p->fd[i]);
			p->fd[i] = -1;
		}
	}
	p->faults = faults_seen() - p->faults;
	if (p->requests >= 0)
		p->requests = requests_seen() - p->requests;
}

void pass_rows(const struct pass *p, struct json_object *params, size_t n)
{
	row_value("faults", "count", params, (double)p->faults);
	if (p->requests >= 0)
		row_value("requests", "count", params, (double)p->requests);
	for (int i = 0; i < PASS_COUNTERS; i++) {
		if (p->fd[i] < 0)
			continue;
		row_print(counters[i].metric, "count/op", "hardware", params,
			  number(p->counter[i] / (double)(n ? n : 1)), n, NULL);
		close(p->fd[i]);
	}
	json_object_put(params);
}

/* ---- random ---- */

/* splitmix64: the whole state is the seed. */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint32_t *rng_permutation(uint64_t seed, size_t n)
{
	uint32_t *p = malloc((n ? n : 1) * sizeof(*p));
	struct rng r = { seed };

	if (!p)
		return NULL;
	for (size_t i = 0; i < n; i++)
		p[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t j = rng_next(&r) % i;
		uint32_t t = p[i - 1];

		p[i - 1] = p[j];
		p[j] = t;
	}
	return p;
}

/* Rank k with probability 1/k; which file has which rank is random, too. */
static int rng_zipf(struct rng *r, size_t n, uint32_t *ret, size_t draws)
{
	double *cdf = malloc(n * sizeof(*cdf)), sum = 0;
	uint32_t *file = rng_permutation(rng_next(r), n);

	if (!cdf || !file) {
		free(cdf);
		free(file);
		return -ENOMEM;
	}
	for (size_t k = 0; k < n; k++)
		cdf[k] = sum += 1.0 / (double)(k + 1);
	for (size_t i = 0; i < draws; i++) {
		double u = (double)(rng_next(r) >> 11) / (double)(1ULL << 53) * sum;
		size_t low = 0, high = n - 1;

		while (low < high) {
			size_t mid = (low + high) / 2;

			if (cdf[mid] <= u)
				low = mid + 1;
			else
				high = mid;
		}
		ret[i] = file[low];
	}
	free(cdf);
	free(file);
	return 0;
}

uint32_t *rng_draws(uint64_t seed, size_t n, size_t draws, enum bench_dist dist)
{
	uint32_t *d = malloc((draws ? draws : 1) * sizeof(*d));
	struct rng r = { seed };

	if (!d)
		return NULL;
	if (dist == DIST_ZIPF) {
		if (!rng_zipf(&r, n, d, draws))
			return d;
		free(d);
		return NULL;
	}
	for (size_t i = 0; i < draws; i++)
		d[i] = (uint32_t)(dist == DIST_ALL ? i % n : rng_next(&r) % n);
	return d;
}
