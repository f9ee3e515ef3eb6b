// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-bench-mount: what a mount costs the server's CPU. Makes a log in memory with the
 * project's own writer, then does with it what the daemon does at mount: reads superblock
 * and log, checks and decodes every entry, builds the tree and the allocation bitmap,
 * sizes the slot map and fills it. The tables are plain memory here, since this kernel
 * has no fuse_iomap_bpf_ops; filling is the same stores.
 *
 * The devices exist in the superblock only: a million files need 2 TiB.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "famfs_log.h"
#include "famfs_mkfs.h"
#include "rows.h"
#include "slotmap.h"

#define ROUNDS_MAX	101
#define DIR_FILES	1000		/* files of a directory */
#define FILE_SIZE	(2ULL << 20)
#define DEVICES		16
#define DEVICE_SIZE	(1ULL << 43)	/* 8 TiB */

struct options {
	uint64_t log_len;
	uint64_t entries;		/* 0: until it is full */
	uint32_t strips;		/* of interleaved files; 0: a quarter each of 1, 3, 6, 16 */
	unsigned int rounds;
};

/* The primary's head: superblock area and log */
struct image {
	uint8_t *map;
	size_t size;
	uint64_t files;
	uint64_t entries;
	uint64_t next[DEVICES];		/* free space, per device */
};

/* Of this process, whatever else runs */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int fail(int err, const struct famfs_error *fe, const char *what)
{
	char text[FAMFS_ERROR_TEXT_MAX];

	fprintf(stderr, "famfs-bench-mount: %s: %s\n", what,
		fe ? famfs_error_text(fe, text, sizeof(text)) : strerror(-err));
	return err;
}

/* ---- the image ---- */

static int no_flush(void *ctx, const void *addr, size_t len)
{
	return 0;
}

static int image_mkfs(struct image *im, const struct options *o)
{
	static struct famfs_mkfs p;
	struct famfs_error fe;
	int err;

	p = (struct famfs_mkfs){ .log_len = o->log_len, .ndevs = DEVICES };
	for (uint32_t i = 0; i < DEVICES; i++)
		p.dev[i] = (struct famfs_mkfs_device){ .name = "/dev/dax0.0", .size = DEVICE_SIZE };
	famfs_mkfs_randomize(&p);
	err = famfs_mkfs_write_primary(&p, im->map, im->map + FAMFS_LOG_OFFSET, no_flush, NULL,
				       &fe);
	if (err)
		return fail(err, &fe, "mkfs");
	for (uint32_t i = 0; i < DEVICES; i++)
		im->next[i] = FAMFS_LOG_OFFSET + (i ? 0 : o->log_len);
	return 0;
}

static void make_dir(struct famfs_entry *e, uint64_t n)
{
	e->type = FAMFS_ENTRY_MKDIR;
	e->mode = 0755;
	snprintf(e->path, sizeof(e->path), "data-%04" PRIu64, n);
}

static void make_file(struct image *im, const struct options *o, struct famfs_entry *e)
{
	static const uint32_t mix[] = { 1, 3, 6, 16 };
	uint32_t strips = o->strips ? o->strips : mix[im->files % 4];

	e->type = FAMFS_ENTRY_FILE;
	e->mode = 0644;
	e->size = FILE_SIZE * strips;
	e->ext_type = strips == 1 ? FAMFS_EXT_SIMPLE : FAMFS_EXT_INTERLEAVE;
	e->chunk = strips == 1 ? 0 : FAMFS_ALLOC_UNIT;
	e->next = strips;
	for (uint32_t i = 0; i < strips; i++) {
		uint32_t dev = (uint32_t)((im->files + i) % DEVICES);

		e->ext[i] = (struct famfs_extent){ .offset = im->next[dev],
						   .len = FILE_SIZE,
						   .devindex = dev };
		im->next[dev] += FILE_SIZE;
	}
	snprintf(e->path, sizeof(e->path), "data-%04" PRIu64 "/shard-%08" PRIu64 ".parquet",
		 im->files / DIR_FILES, im->files);
}

/* Entries as the project's writer stores them, one after the other. */
static int image_fill(struct image *im, const struct options *o)
{
	struct famfs_media_log_header *header = (void *)(im->map + FAMFS_LOG_OFFSET);
	struct famfs_media_entry *slot = (void *)(im->map + FAMFS_SLOT_OFFSET(0));
	static struct famfs_devs devs;
	struct famfs_super sb;
	struct famfs_error fe;
	uint64_t slots = FAMFS_LOG_SLOTS(o->log_len), dirs = 0;
	int err;

	err = famfs_super_decode(im->map, sizeof(struct famfs_media_super), "memory", DEVICE_SIZE,
				 &sb, &fe);
	if (err)
		return fail(err, &fe, "superblock");
	famfs_devs_init(&devs, &sb);
	im->entries = DEVICES - 1;
	for (uint64_t i = 0; i < DEVICES - 1; i++) {
		static struct famfs_entry e;

		err = famfs_entry_decode(&slot[i], "memory", i, &devs, &e, &fe);
		if (err)
			return fail(err, &fe, "device entry");
		famfs_devs_add(&devs, &e);
	}
	if (o->entries && o->entries < slots)
		slots = o->entries;
	for (uint64_t i = im->entries; i < slots; i++) {
		struct famfs_entry e = { .index = i };

		if (im->files == dirs * DIR_FILES) {
			make_dir(&e, dirs++);
		} else {
			make_file(im, o, &e);
			im->files++;
		}
		err = famfs_entry_encode(&e, "memory", &devs, &slot[i], &fe);
		if (err)
			return fail(err, &fe, "encoding an entry");
	}
	im->entries = slots;
	famfs_log_header_encode(o->log_len, slots, header);
	return 0;
}

static int image_make(struct image *im, const struct options *o)
{
	int err;

	*im = (struct image){ .size = FAMFS_LOG_OFFSET + o->log_len };
	im->map = mmap(NULL, im->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (im->map == MAP_FAILED)
		return fail(-errno, NULL, "memory for the log");
	madvise(im->map, im->size, MADV_HUGEPAGE);
	err = image_mkfs(im, o);
	return err ? err : image_fill(im, o);
}

/* ---- a mount ---- */

/* Of the process: all, and of it in the kernel, which is faults and clearing of memory */
struct cpu {
	double all;
	double system;
};

static struct cpu cpu_now(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (struct cpu){
		.all = (double)cpu_ns() / 1e9,
		.system = (double)u.ru_stime.tv_sec + (double)u.ru_stime.tv_usec / 1e6,
	};
}

static struct cpu cpu_since(struct cpu start)
{
	struct cpu now = cpu_now();

	return (struct cpu){ now.all - start.all, now.system - start.system };
}

struct result {
	struct cpu open;	/* seconds: superblock, log, tree, bitmap */
	struct cpu fill;	/* seconds: slot map sized, made, filled */
	uint64_t heap;		/* bytes of the tree, as it counts itself */
	uint64_t malloced;	/* bytes of all that open allocated */
	uint64_t map;		/* bytes of all tables of the slot map */
};

static void on_report(void *ctx, const struct famfs_error *err)
{
	uint64_t *n = ctx;

	++*n;
}

static int fill_map(const struct famfs_fs *fs, struct result *ret)
{
	struct slotmap_config config = {
		.generation = famfs_generation(fs->super.uuid),
		.alloc_unit = fs->super.alloc_unit,
		.nr_slots = fs->header.slots,
		.nr_played = fs->played,
		.no_bpf = true,
	};
	struct slotmap_devs devs = { .count = DEVICES };
	uint64_t skipped = 0, bad = 0;
	struct cpu start = cpu_now();
	char msg[SLOTMAP_MSG_MAX];
	struct slotmap_stats stats;
	struct slotmap *map;
	int err;

	for (uint32_t i = 0; i < DEVICES; i++)
		devs.id[i] = i + 1;
	config.nr_extents = slotmap_need(fs->ns, fs->played, &devs, config.alloc_unit);
	err = slotmap_load(&config, -1, &map, msg);
	if (err) {
		fprintf(stderr, "famfs-bench-mount: %s\n", msg);
		return err;
	}
	err = slotmap_fill(map, fs->ns, fs->played, &devs, &skipped, &bad);
	ret->fill = cpu_since(start);
	slotmap_stats(map, &stats);
	ret->map = stats.bytes;
	if (!err && skipped)
		err = -EUCLEAN;
	slotmap_free(map);
	return err ? fail(err, NULL, "filling the slot map") : 0;
}

static size_t heap_now(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static int mount_once(const struct image *im, struct result *ret)
{
	struct famfs_media media;
	struct famfs_ns_stats stats;
	struct famfs_error fe;
	struct famfs_fs *fs;
	uint64_t reports = 0;
	struct cpu start;
	size_t before;
	int err;

	malloc_trim(0);
	before = heap_now();
	famfs_media_init_memory(&media, "memory", im->map, im->size, DEVICE_SIZE);
	start = cpu_now();
	err = famfs_fs_open(&media, FAMFS_OPEN_ALLOC, on_report, &reports, &fs, &fe);
	ret->open = cpu_since(start);
	if (err)
		return fail(err, &fe, "open");
	ret->malloced = heap_now() - before;
	famfs_ns_stats(fs->ns, &stats);
	ret->heap = stats.memory_bytes;
	if (reports || stats.files != im->files)
		err = fail(-EUCLEAN, NULL, "entries were left out");
	if (!err)
		err = fill_map(fs, ret);
	famfs_fs_free(fs);
	return err;
}

/* ---- results ---- */

static void print(const struct options *o, const struct image *im, const char *metric,
		  const char *unit, const char *kind, const double *v, unsigned int n)
{
	struct row row = {
		.variant = "bpf-array",
		.load = "mount",
		.metric = metric,
		.unit = unit,
		.kind = kind,
		.n = im->entries,
	};

	row_param_u64(&row, "entries", im->entries);
	row_param_u64(&row, "files", im->files);
	if (o->strips)
		row_param_u64(&row, "strips", o->strips);
	else
		row_param_text(&row, "strips", "mixed");
	row_samples(&row, v, n);
	row_print(&row);
}

static void print_per_file(const struct options *o, const struct image *im, const char *metric,
			   uint64_t bytes)
{
	double v = (double)bytes / (double)im->files;

	print(o, im, metric, "bytes", "exact", &v, 1);
}

static int run(const struct options *o)
{
	double open[ROUNDS_MAX], fill[ROUNDS_MAX], total[ROUNDS_MAX], system[ROUNDS_MAX];
	struct result r = { 0 };
	struct image im;
	char from[64];
	int err;

	err = image_make(&im, o);
	if (err)
		return err;
	for (unsigned int i = 0; i < o->rounds; i++) {
		err = mount_once(&im, &r);
		if (err)
			return err;
		open[i] = r.open.all;
		fill[i] = r.fill.all;
		total[i] = r.open.all + r.fill.all;
		system[i] = r.open.system + r.fill.system;
	}
	print(o, &im, "decode", "s", "native", open, o->rounds);
	print(o, &im, "fill", "s", "native", fill, o->rounds);
	print(o, &im, "decode+fill", "s", "native", total, o->rounds);
	print(o, &im, "decode+fill-system", "s", "native", system, o->rounds);
	print_per_file(o, &im, "server-tree-per-file", r.heap);
	print_per_file(o, &im, "server-heap-per-file", r.malloced);
	print_per_file(o, &im, "map-per-file", r.map);
	if (o->strips)
		snprintf(from, sizeof(from), "%" PRIu64 " entries, %u strip%s", im.entries,
			 o->strips, o->strips == 1 ? "" : "s");
	else
		snprintf(from, sizeof(from), "%" PRIu64 " entries, mixed", im.entries);
	bar_print("ab.mount-seconds", samples_median(total, o->rounds), 2, 0.5, from);
	if (o->strips && o->strips <= FAMFS_SLOT_STRIPS)
		bar_print("ab.map-bytes-per-file", (double)r.map / (double)im.files, 64, 64, from);
	munmap(im.map, im.size);
	return 0;
}

static void usage(FILE *f)
{
	fputs("usage: famfs-bench-mount [--log-mib N] [--entries N] [--strips N] [--rounds N]\n\n"
	      "Times what a mount of a full log costs the server; prints one JSON object per\n"
	      "line. --log-mib: 8 to 1024, a power of two (512, 986,880 entries). --strips: 1 to\n"
	      "16 (1), or 0 for a mix.\n",
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
			"famfs-bench-mount: '%s': a number from %" PRIu64 " to %" PRIu64
			" is expected\n",
			text, min, max);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "log-mib", required_argument, NULL, 'L' },
		{ "entries", required_argument, NULL, 'n' },
		{ "strips", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct options o = { .log_len = 512 << 20, .strips = 1, .rounds = 5 };
	int c;

	while ((c = getopt_long(argc, argv, "L:n:s:r:h", longopts, NULL)) != -1) {
		switch (c) {
		case 'L':
			o.log_len = number(optarg, 8, 1024) << 20;
			break;
		case 'n':
			o.entries = number(optarg, DEVICES, UINT32_MAX);
			break;
		case 's':
			o.strips = (uint32_t)number(optarg, 0, FAMFS_MAX_STRIPS);
			break;
		case 'r':
			o.rounds = (unsigned int)number(optarg, 1, ROUNDS_MAX);
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
	return run(&o) ? 1 : 0;
}
