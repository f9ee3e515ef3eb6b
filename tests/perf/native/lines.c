// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-bench-lines: cache lines that a lookup reads, of the product and of V10, counted by
 * model.h. Exact, without root, without a famfs kernel.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "rows.h"

#define SAMPLES	20000

enum which { SLOT, V10 };

static const char *const variant_name[] = { [SLOT] = "bpf-array", [V10] = "c" };

struct options {
	uint64_t files;
	bool quick;		/* no cache */
};

static int lookups(struct model *m, enum which w, uint64_t n, uint64_t seed,
		   struct model_count *count)
{
	__u64 state = seed;

	*count = (struct model_count){ 0 };
	for (uint64_t k = 0; k < n; k++) {
		struct native_draw d = native_draw(&state, m->files.n, FILESET_SIZE - 1);
		struct fuse_iomap_io io;
		struct v10_iomap map;
		int err = w == SLOT ? model_slot(m, d.index, d.pos, &io, count)
				    : model_v10(m, d.index, d.pos, &map, count);

		if (err) {
			fprintf(stderr, "famfs-bench-lines: %s: a lookup failed: %s\n",
				variant_name[w], strerror(-err));
			return err;
		}
	}
	return 0;
}

static void print(const struct model *m, enum which w, const char *metric, uint64_t sum, uint64_t n)
{
	double v = (double)sum / (double)n;
	struct row row = {
		.variant = variant_name[w],
		.load = "lookup",
		.metric = metric,
		.unit = "per lookup",
		.kind = "exact",
		.n = n,
	};

	row_param_u64(&row, "files", m->files.n);
	row_param_u64(&row, "strips", m->files.strips);
	row_samples(&row, &v, 1);
	row_print(&row);
}

/* Every cache cold: each lookup for itself. */
static int do_cold(struct model *m, enum which w, struct model_count *c)
{
	int err;

	model_cache_reset(m, false);
	err = lookups(m, w, SAMPLES, 1, c);
	if (err)
		return err;
	print(m, w, "lines", c->lines, c->lookups);
	print(m, w, "dependent-lines", c->dependent, c->lookups);
	print(m, w, "inode-lines", c->inode_lines, c->lookups);
	print(m, w, "shared-lines", c->shared, c->lookups);
	print(m, w, "page-table-lines", c->tables, c->lookups);
	print(m, w, "program-instructions", c->instructions, c->lookups);
	return 0;
}

/* Random files, until the cache is full of what they need, and then some more. */
static int do_cache(struct model *m, enum which w)
{
	uint64_t warm = (uint64_t)MODEL_LLC_SETS * MODEL_LLC_WAYS;
	struct model_count c;
	int err;

	model_cache_reset(m, true);
	err = lookups(m, w, warm, 2, &c);
	if (!err)
		err = lookups(m, w, SAMPLES * 5, 3, &c);
	if (err)
		return err;
	print(m, w, "llc-misses", c.misses + c.table_misses, c.lookups);
	print(m, w, "llc-misses-page-table", c.table_misses, c.lookups);
	return 0;
}

/* Worst ratio of the interleaved layouts, and where it is */
struct worst {
	double ratio;
	char from[64];
};

static void worst_of(struct worst *w, double slot, double v10, const struct model *m)
{
	if (slot / v10 <= w->ratio)
		return;
	w->ratio = slot / v10;
	snprintf(w->from, sizeof(w->from), "%u strips: %.4g / %.4g", m->files.strips, slot, v10);
}

static int do_layout(const struct options *o, uint32_t strips, struct worst *dependent,
		     struct worst *with_inode)
{
	static struct model m;
	struct model_count c[2];
	int err;

	err = model_init(&m, o->files, strips);
	if (err) {
		fprintf(stderr, "famfs-bench-lines: %s\n", strerror(-err));
		return err;
	}
	for (enum which w = SLOT; !err && w <= V10; w++) {
		err = do_cold(&m, w, &c[w]);
		if (!err && !o->quick)
			err = do_cache(&m, w);
	}
	if (!err && strips > 1) {
		double slot = (double)c[SLOT].dependent / SAMPLES,
		       v10 = (double)c[V10].dependent / SAMPLES;

		worst_of(dependent, slot, v10, &m);
		/* A line of the inode, from which the number of the file or the pointer comes */
		worst_of(with_inode, slot + 1, v10 + 1, &m);
	}
	model_free(&m);
	return err;
}

static void usage(FILE *f)
{
	fputs("usage: famfs-bench-lines [--quick] [--files N]\n\n"
	      "Counts the cache lines that a lookup reads; prints one JSON object per line. Of N\n"
	      "(1000000) files, drawn at random. --quick: without the modelled cache.\n",
	      f);
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "files", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	static const uint32_t all_strips[] = { 1, 3, 6, 16 };
	struct options o = { .files = 1000000 };
	struct worst dependent = { 0 }, with_inode = { 0 };
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "qn:h", longopts, NULL)) != -1) {
		switch (c) {
		case 'q':
			o.quick = true;
			o.files = 10000;
			break;
		case 'n':
			o.files = strtoull(optarg, &end, 0);
			if (*end || !o.files || o.files > 1 << 24) {
				fprintf(stderr,
					"famfs-bench-lines: '%s': a number from 1 to "
					"16777216 is expected\n",
					optarg);
				return 2;
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
	for (int i = 0; i < 4; i++)
		if (do_layout(&o, all_strips[i], &dependent, &with_inode))
			return 1;
	bar_print("ab.lines-cold-ratio", dependent.ratio, 0.6, 0.4, dependent.from);
	bar_print("ab.lines-cold-with-inode-ratio", with_inode.ratio, 0.6, 0.4, with_inode.from);
	return 0;
}
