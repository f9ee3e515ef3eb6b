// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-bench-native: what a resolve costs on this CPU. Programs of native.bpf.c on the
 * machine's own kernel, beside the same loops in C over V10's layout and over our slots,
 * in one process, interleaved: in every round each variant draws the same files, and
 * an empty loop is subtracted. Needs root, for BPF; no famfs kernel.
 *
 * C runs in user space, in huge pages (the kernel's direct map), its metadata in slabs of
 * the sizes that kmalloc would take, without gaps and in order: the best case for it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <famfs/media.h>

#include "fileset.h"
#include "native.skel.h"
#include "rows.h"
#include "walk.h"

#define ROUNDS_MAX	101
#define LLC_ASSUMED	(32ULL << 20)	/* where the CPU does not say */
#define HASH_FILES_MAX	(1ULL << 20)	/* 450 bytes a file, and as many system calls */

enum variant { V_ARRAY, V_HASH, V_C, V_SLOT, V_SLOT_4K, V_EMPTY_BPF, V_EMPTY_C, V_COUNT };

static const char *const variant_name[V_COUNT] = {
	[V_ARRAY] = "bpf-array", [V_HASH] = "bpf-hash",	    [V_C] = "c",
	[V_SLOT] = "c-slot",	 [V_SLOT_4K] = "c-slot-4k", [V_EMPTY_BPF] = "empty-bpf",
	[V_EMPTY_C]	= "empty-c",
};

struct options {
	uint64_t files;		/* of the cold rows */
	uint64_t files_max;	/* of the largest set, 0: from the cache's size */
	uint64_t loops;
	unsigned int rounds;
	bool quick;
	bool verbose;
};

/* One set of files in every form */
struct subject {
	uint64_t n;
	uint32_t strips;
	struct native_bpf *skel;
	bool hash;
	struct famfs_slot *mapped;
	size_t mapped_size;
	struct fileset v10;
	struct arena slots[2];		/* huge, 4k */
	struct arena extents[2];
	uint64_t nr_extents;
};

/* Nanoseconds per resolve, by variant and round */
struct samples {
	unsigned int n;
	double ns[V_COUNT][ROUNDS_MAX];
	double ghz[ROUNDS_MAX];		/* beside them */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int say(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int say(int err, const char *fmt, ...)
{
	va_list ap;

	fputs("famfs-bench-native: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, ": %s\n", strerror(-err));
	return err;
}

/* ---- a set of files ---- */

static void subject_free(struct subject *s)
{
	if (s->mapped)
		munmap(s->mapped, s->mapped_size);
	native_bpf__destroy(s->skel);
	fileset_free(&s->v10);
	for (int i = 0; i < 2; i++) {
		arena_free(&s->slots[i]);
		arena_free(&s->extents[i]);
	}
	*s = (struct subject){ 0 };
}

static int subject_load(struct subject *s)
{
	int err;

	s->skel = native_bpf__open();
	if (!s->skel)
		return -errno;
	s->skel->rodata->unit_shift = FILESET_UNIT_SHIFT;
	s->skel->rodata->generation = FILESET_GENERATION;
	bpf_map__set_max_entries(s->skel->maps.slots, (uint32_t)s->n);
	if (s->nr_extents) {
		s->skel->rodata->nr_extents = (uint32_t)s->nr_extents;
		err = bpf_map__set_value_size(s->skel->maps.data_extents,
					      (uint32_t)s->nr_extents *
						      sizeof(struct famfs_slot_extent));
		if (err)
			return say(err, "the table of extents");
	}
	bpf_map__set_max_entries(s->skel->maps.files, s->hash ? (uint32_t)s->n : 1);
	err = native_bpf__load(s->skel);
	return err ? say(err, "loading the programs") : 0;
}

static void *map_table(struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

static int subject_fill_array(struct subject *s)
{
	size_t extents_size = s->nr_extents * sizeof(struct famfs_slot_extent);
	struct famfs_slot_extent *extents = NULL;
	int64_t used;

	s->mapped_size = s->n * sizeof(struct famfs_slot);
	s->mapped = map_table(s->skel->maps.slots, s->mapped_size);
	if (s->nr_extents)
		extents = map_table(s->skel->maps.data_extents, extents_size);
	if (!s->mapped || (s->nr_extents && !extents))
		return -errno;
	used = fileset_slots(s->n, s->strips, s->mapped, extents, s->nr_extents);
	if (extents)
		munmap(extents, extents_size);
	if (used < 0)
		return say((int)used, "encoding the files");
	return 0;
}

static int subject_fill_slots(struct subject *s)
{
	for (int i = 0; i < 2; i++) {
		int err = arena_init(&s->slots[i], s->n * sizeof(struct famfs_slot), i == 0);
		int64_t used;

		if (!err && s->nr_extents)
			err = arena_init(&s->extents[i],
					 s->nr_extents * sizeof(struct famfs_slot_extent), i == 0);
		if (err)
			return err;
		used = fileset_slots(s->n, s->strips, (void *)s->slots[i].base,
				     (void *)s->extents[i].base, s->nr_extents);
		if (used < 0)
			return (int)used;
	}
	return 0;
}

static int subject_fill_hash(struct subject *s)
{
	const uint32_t batch = 256;
	struct native_hash_file *value = calloc(batch, sizeof(*value));
	uint64_t *key = calloc(batch, sizeof(*key));
	int err = value && key ? 0 : -ENOMEM;

	for (uint64_t i = 0; !err && i < s->n; i += batch) {
		uint32_t n = s->n - i < batch ? (uint32_t)(s->n - i) : batch;

		for (uint32_t k = 0; k < n; k++) {
			key[k] = i + k + FAMFS_NODEID_FIRST;
			fileset_hash_file(i + k, s->strips, &value[k]);
		}
		err = bpf_map_update_batch(bpf_map__fd(s->skel->maps.files), key, value, &n, NULL);
	}
	free(value);
	free(key);
	return err;
}

static int subject_init(struct subject *s, uint64_t n, uint32_t strips, bool hash)
{
	int err;

	*s = (struct subject){ .n = n, .strips = strips, .hash = hash };
	s->nr_extents = n * fileset_extents_max(strips);
	err = subject_load(s);
	if (!err)
		err = subject_fill_array(s);
	if (!err && hash)
		err = subject_fill_hash(s);
	if (!err)
		err = subject_fill_slots(s);
	if (!err)
		err = fileset_v10(&s->v10, n, strips);
	if (err)
		subject_free(s);
	return err ? say(err, "a set of %" PRIu64 " files of %u strips", n, strips) : 0;
}

/* ---- one timed loop ---- */

static struct walk_v10 walk_of_v10(const struct subject *s)
{
	return (struct walk_v10){ .metas = s->v10.meta.base,
				  .devs = &s->v10.devs,
				  .i_size = FILESET_SIZE };
}

static struct walk_slots walk_of_slots(const struct subject *s, int which)
{
	return (struct walk_slots){
		.slots = (void *)s->slots[which].base,
		.extents = (void *)s->extents[which].base,
		.nr_extents = s->nr_extents,
		.unit_shift = FILESET_UNIT_SHIFT,
		.generation = FILESET_GENERATION,
	};
}

static int run_program(const struct subject *s, enum variant v, bool latency,
		       struct native_args *args)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(*args));
	struct bpf_program *p;
	int err;

	if (v == V_ARRAY)
		p = latency ? s->skel->progs.array_latency : s->skel->progs.array_rate;
	else if (v == V_HASH)
		p = latency ? s->skel->progs.hash_latency : s->skel->progs.hash_rate;
	else
		p = latency ? s->skel->progs.empty_latency : s->skel->progs.empty_rate;
	err = bpf_prog_test_run_opts(bpf_program__fd(p), &opts);
	return err ? say(-errno, "running a program") : 0;
}

static int run_c(const struct subject *s, enum variant v, bool latency, struct native_args *args)
{
	struct walk_slots slots = walk_of_slots(s, v == V_SLOT_4K);
	struct walk_v10 v10 = walk_of_v10(s);
	uint64_t start = now_ns();

	if (v == V_C)
		walk_v10(&v10, args, latency);
	else if (v == V_EMPTY_C)
		walk_empty(args, latency);
	else
		walk_slots(&slots, args, latency);
	args->ret_ns = now_ns() - start;
	return 0;
}

static bool is_bpf(enum variant v)
{
	return v == V_ARRAY || v == V_HASH || v == V_EMPTY_BPF;
}

static int run_one(const struct subject *s, enum variant v, bool latency, struct native_args *args)
{
	int err = is_bpf(v) ? run_program(s, v, latency, args) : run_c(s, v, latency, args);

	if (!err && args->ret_bad)
		err = say(-EIO, "%s did not find %" PRIu64 " positions", variant_name[v],
			  (uint64_t)args->ret_bad);
	return err;
}

/* ---- do they agree? ---- */

static int check_v10(const struct subject *s)
{
	struct walk_slots slots = walk_of_slots(s, 0);
	struct walk_v10 v10 = walk_of_v10(s);
	__u64 state = 1;

	for (int i = 0; i < 10000; i++) {
		struct native_draw d = native_draw(&state, s->n, FILESET_SIZE - 1);
		struct famfs_run run = { 0 };
		__u64 addr = 0;

		if (walk_v10_one(&v10, d.index, d.pos, &addr) ||
		    walk_slots_one(&slots, d.index, d.pos, &run) != 1 ||
		    run.addr + (d.pos - run.offset) != addr)
			return say(-EUCLEAN,
				   "file %" PRIu64 " at 0x%" PRIx64 ": the layouts disagree",
				   (uint64_t)d.index, (uint64_t)d.pos);
	}
	return 0;
}

/* Everything but V10 sums the same things. */
static int check_sums(const struct subject *s)
{
	uint64_t sum = 0;

	for (enum variant v = V_ARRAY; v <= V_SLOT_4K; v++) {
		struct native_args args = {
			.files = s->n, .loops = 10000, .seed = 7, .pos_mask = FILESET_SIZE - 1
		};
		int err;

		if (v == V_C || (v == V_HASH && !s->hash))
			continue;
		err = run_one(s, v, true, &args);
		if (err)
			return err;
		if (v == V_ARRAY)
			sum = args.ret_sum;
		else if (args.ret_sum != sum)
			return say(-EUCLEAN, "%s and bpf-array disagree", variant_name[v]);
	}
	return check_v10(s);
}

/* ---- measure ---- */

/* What a cycle is at the moment: additions that wait for each other take one each. */
static double clock_ghz(void)
{
	const unsigned int loops = 100000, adds = 10;
	uint64_t start = now_ns(), x = 0;

	for (unsigned int i = 0; i < loops; i++) {
		for (unsigned int k = 0; k < adds; k++) {
			x += i;
			asm volatile("" : "+r"(x));
		}
	}
	return (double)loops * adds / (double)(now_ns() - start);
}

static int measure(const struct subject *s, const struct options *o, bool latency,
		   struct samples *ret)
{
	/* One file takes no time: more rounds there, since everything else is noise. */
	ret->n = s->n == 1 && o->rounds <= ROUNDS_MAX / 3 ? 3 * o->rounds : o->rounds;
	/* The first round warms up and is overwritten. */
	for (unsigned int round = 0; round <= ret->n; round++) {
		ret->ghz[round ? round - 1 : 0] = clock_ghz();
		for (int i = 0; i < V_COUNT; i++) {
			/* Begin with another one each time */
			enum variant v = (enum variant)((i + round) % V_COUNT);
			struct native_args args = {
				.files = s->n,
				.loops = o->loops,
				.seed = 1000003ULL * (round + 1),
				.pos_mask = FILESET_SIZE - 1,
			};
			int err;

			if (v == V_HASH && !s->hash)
				continue;
			err = run_one(s, v, latency, &args);
			if (err)
				return err;
			ret->ns[v][round ? round - 1 : 0] = (double)args.ret_ns / (double)o->loops;
		}
	}
	for (unsigned int i = 0; i < ret->n; i++)
		for (enum variant v = 0; v <= V_SLOT_4K; v++)
			ret->ns[v][i] -= ret->ns[is_bpf(v) ? V_EMPTY_BPF : V_EMPTY_C][i];
	return 0;
}

static void report(const struct subject *s, const struct options *o, bool latency,
		   const struct samples *x)
{
	for (enum variant v = 0; v < V_COUNT; v++) {
		struct row row = {
			.variant = variant_name[v],
			.load = "resolve",
			.metric = latency ? "latency" : "interval",
			.unit = "ns",
			.kind = "native",
			.n = (uint64_t)o->loops * x->n,
		};

		if (v == V_HASH && !s->hash)
			continue;
		row_param_u64(&row, "files", s->n);
		row_param_u64(&row, "strips", s->strips);
		if (v == V_C)
			row_param_u64(&row, "huge_percent",
				      (uint64_t)arena_huge_percent(&s->v10.meta));
		if (v == V_SLOT)
			row_param_u64(&row, "huge_percent",
				      (uint64_t)arena_huge_percent(&s->slots[0]));
		row_samples(&row, x->ns[v], x->n);
		row_print(&row);
	}
}

static void report_clock(const struct subject *s, const struct samples *x)
{
	struct row row = { .variant = "machine",
			   .load = "resolve",
			   .metric = "clock",
			   .unit = "GHz",
			   .kind = "native",
			   .n = x->n };

	row_param_u64(&row, "files", s->n);
	row_param_u64(&row, "strips", s->strips);
	row_samples(&row, x->ghz, x->n);
	row_print(&row);
}

static double ratio(const struct samples *x, enum variant a, enum variant b)
{
	double r[ROUNDS_MAX];

	for (unsigned int i = 0; i < x->n; i++)
		r[i] = x->ns[a][i] / x->ns[b][i];
	return samples_median(r, x->n);
}

static void report_ratio(const struct subject *s, bool latency, const struct samples *x,
			 enum variant a, enum variant b)
{
	struct row row = {
		.variant = variant_name[a],
		.load = "resolve",
		.metric = latency ? "latency-ratio" : "interval-ratio",
		.unit = "ratio",
		.kind = "native",
		.n = x->n,
	};
	double r[ROUNDS_MAX];

	for (unsigned int i = 0; i < x->n; i++)
		r[i] = x->ns[a][i] / x->ns[b][i];
	row_param_u64(&row, "files", s->n);
	row_param_u64(&row, "strips", s->strips);
	row_param_text(&row, "to", variant_name[b]);
	row_samples(&row, r, x->n);
	row_print(&row);
}

/* What a bar is made from */
struct worst {
	double value;
	uint32_t strips;
};

static void worst_of(struct worst *w, double value, uint32_t strips)
{
	if (value > w->value)
		*w = (struct worst){ value, strips };
}

static void worst_print(const struct worst *w, const char *name, double must, double aim,
			uint64_t files)
{
	char from[64];

	snprintf(from, sizeof(from), "latency, %" PRIu64 " file%s, %u strip%s", files,
		 files == 1 ? "" : "s", w->strips, w->strips == 1 ? "" : "s");
	bar_print(name, w->value, must, aim, from);
}

static int do_set(const struct options *o, uint64_t n, uint32_t strips, struct worst *hot,
		  struct worst *cold)
{
	static struct samples x;
	struct subject s;
	int err;

	if (o->verbose)
		fprintf(stderr, "%" PRIu64 " files of %u strips\n", n, strips);
	err = subject_init(&s, n, strips, n <= HASH_FILES_MAX);
	if (err)
		return err;
	err = check_sums(&s);
	for (int latency = 1; !err && latency >= 0; latency--) {
		err = measure(&s, o, latency, &x);
		if (err)
			break;
		report(&s, o, latency, &x);
		if (latency)
			report_clock(&s, &x);
		report_ratio(&s, latency, &x, V_ARRAY, V_C);
		report_ratio(&s, latency, &x, V_ARRAY, V_SLOT);
		report_ratio(&s, latency, &x, V_SLOT_4K, V_SLOT);
		if (latency && n == 1)
			worst_of(hot, samples_median(x.ns[V_ARRAY], x.n), strips);
		if (latency && n == o->files)
			worst_of(cold, ratio(&x, V_ARRAY, V_C), strips);
	}
	subject_free(&s);
	return err;
}

/* ---- this machine ---- */

static uint64_t llc_bytes(bool *ret_known)
{
	uint64_t best = 0;

	for (int i = 0; i < 8; i++) {
		char path[96];
		unsigned long kb = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%luK", &kb) == 1 && kb * 1024 > best)
			best = kb * 1024;
		fclose(f);
	}
	*ret_known = best > 0;
	return best ? best : LLC_ASSUMED;
}

/* Nobody else on this CPU while a loop runs; without the right to it, medians must do. */
static bool alone(void)
{
	struct sched_param p = { .sched_priority = 1 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
	return !sched_setscheduler(0, SCHED_FIFO, &p);
}

static void report_machine(bool fifo, uint64_t llc, bool known)
{
	struct row row = { .variant = "machine",
			   .load = "resolve",
			   .metric = "last-level-cache",
			   .unit = "bytes",
			   .kind = "native",
			   .n = 1 };
	double v = (double)llc;

	row_param_text(&row, "source", known ? "sysfs" : "assumed");
	row_param_text(&row, "scheduler", fifo ? "fifo" : "other");
	row_samples(&row, &v, 1);
	row_print(&row);
}

static int do_all(const struct options *o)
{
	static const uint32_t all_strips[] = { 1, 3, 6, 16 };
	struct worst hot = { 0 }, cold = { 0 };
	uint64_t sizes[16], llc;
	unsigned int n = 0;
	bool known, fifo = alone();

	llc = llc_bytes(&known);
	report_machine(fifo, llc, known);
	sizes[n++] = 1;
	if (!o->quick) {
		sizes[n++] = 256;		/* L1 */
		sizes[n++] = 8192;		/* L2 */
		sizes[n++] = 65536;
		sizes[n++] = 262144;
	}
	sizes[n++] = o->files;
	if (!o->quick) {
		uint64_t max = o->files_max ? o->files_max : 4 * llc / sizeof(struct famfs_slot);

		if (!o->files_max && max < 4 * o->files)
			max = 4 * o->files;
		if (max > o->files)
			sizes[n++] = max;
	}

	for (unsigned int k = 0; k < 4; k++) {
		for (unsigned int i = 0; i < n; i++) {
			int err = do_set(o, sizes[i], all_strips[k], &hot, &cold);

			if (err)
				return err;
		}
	}
	worst_print(&hot, "ab.native-hot", 10, 5, 1);
	worst_print(&cold, "ab.native-cold-ratio", 0.8, 0.5, o->files);
	return 0;
}

static void usage(FILE *f)
{
	fputs("usage: famfs-bench-native [--quick] [--files N] [--files-max N] [--loops N]\n"
	      "                          [--rounds N] [--output FILE] [--verbose]\n\n"
	      "Times resolves on this CPU and kernel; prints one JSON object per line. --files\n"
	      "(1000000) are those of the cold rows, --files-max those of the largest set (4\n"
	      "times the last-level cache in slots, at least 4 times --files).\n",
	      f);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno || *end || end == text || v < min || v > max) {
		fprintf(stderr,
			"famfs-bench-native: '%s': a number from %" PRIu64 " to %" PRIu64
			" is expected\n",
			text, min, max);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "files", required_argument, NULL, 'n' },
		{ "files-max", required_argument, NULL, 'N' },
		{ "loops", required_argument, NULL, 'l' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "output", required_argument, NULL, 'o' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options o = { .files = 1000000, .loops = 100000, .rounds = 15 };
	int c;

	while ((c = getopt_long(argc, argv, "qn:N:l:r:o:vh", longopts, NULL)) != -1) {
		switch (c) {
		case 'q':
			o.quick = true;
			o.rounds = 5;
			break;
		case 'n':
			o.files = number(optarg, 2, 1 << 26);
			break;
		case 'N':
			o.files_max = number(optarg, 2, 1 << 26);
			break;
		case 'l':
			o.loops = number(optarg, 1000, 8 << 20);
			break;
		case 'r':
			o.rounds = (unsigned int)number(optarg, 1, ROUNDS_MAX);
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'o':
			if (!freopen(optarg, "we", stdout)) {
				say(-errno, "%s", optarg);
				return 1;
			}
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	return do_all(&o) ? 1 : 0;
}
