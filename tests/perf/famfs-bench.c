// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs-bench: the load generator of the A/B harness. Puts one load on files that are
 * there, whatever they are on, and prints one JSON object per figure: median, n, minimum
 * and the rest of the spread. Knows nothing of variants, virtual machines or famfs.
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bench_opts opts = {
	.variant = "mount",
	.prefix = "f",
	.count = 1,
	.seed = 1,
	.passes = 2,
	.threads = 1,
	.dist = DIST_ALL,
};

void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("famfs-bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

#define NULL_CALLS	4096

/* What a system call costs at all: the scale for the other figures. */
void load_null(void)
{
	struct json_object *params = params_new();
	struct samples s;

	if (samples_alloc(&s, NULL_CALLS))
		fail("out of memory");
	for (int i = 0; i < NULL_CALLS; i++) {
		uint64_t a = now();

		syscall(SYS_getppid);
		samples_add(&s, now() - a);
	}
	row_samples("getppid", params, &s);
	row_value("clock-pair", opts.exact ? "instructions" : "ticks", params, (double)clock_pair);
	json_object_put(params);
	samples_free(&s);
}

static const struct load {
	const char *name;
	void (*run)(void);
	const char *what;
} loads[] = {
	{ "touch4k", load_touch, "first touch of each 4 KiB of --file, one fault each" },
	{ "touch2m", load_touch, "first touch of each 2 MiB of --file" },
	{ "sparse", load_touch, "first touch of one 4 KiB in each 2 MiB of --file" },
	{ "scan", load_scan,
	  "touch each 4 KiB (or --size) of --file, the whole timed; and munmap, close" },
	{ "mmaplock", load_mmaplock, "mmap_lock taken by --threads that fault; needs tracefs" },
	{ "fork", load_fork, "touch, fork, and touch in the child" },
	{ "read", load_io, "pread of --size bytes over --file" },
	{ "write", load_io, "pwrite of --size bytes over --file" },
	{ "files", load_files, "open, mmap, touch, munmap, close files of --dir" },
	{ "stat", load_meta, "stat files of --dir" },
	{ "open", load_meta, "open and close files of --dir" },
	{ "readdir", load_meta, "read all of --dir" },
	{ "kv", load_kv, "look keys up in an LMDB database, --file, of --count keys" },
	{ "split", load_split, "parts of a 4 KiB fault, or of a --size 4k call; bench kernel" },
	{ "null", load_null, "a system call that does nothing" },
	{ "fill", load_fill, "(no figures) make --file of --bytes bytes" },
	{ "make", load_make, "(no figures) make --count files of --size bytes in --dir" },
	{ "kv-fill", load_kv_fill,
	  "(no figures) make a database of --count keys, --bytes at most" },
};

static void usage(FILE *f)
{
	fputs("Usage: famfs-bench LOAD [OPTION]...\n\nLoads:\n", f);
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		fprintf(f, "  %-9s %s\n", loads[i].name, loads[i].what);
	fputs("\nOptions; numbers are decimal or 0x..., with k, m, g for KiB, MiB, GiB:\n"
	      "  -f, --file FILE     a file, a DAX device, 'anon' or 'hugetlb'\n"
	      "  -o, --offset N      where in it to begin (0)\n"
	      "  -b, --bytes N       how much of it to use (all)\n"
	      "  -w, --write         touch by writing\n"
	      "  -R, --random        in random order, not in sequence\n"
	      "  -s, --size N        bytes of a read or write (4k)\n"
	      "  -D, --direct        read and write with O_DIRECT\n"
	      "  -d, --dir DIR       with files NAME0, NAME1, ...\n"
	      "      --prefix NAME   ... of this name (f)\n"
	      "  -c, --count N       how many files or keys there are (1)\n"
	      "  -n, --draws N       operations to do (one for each)\n"
	      "      --dist HOW      which ones: all, uniform or zipf (all)\n"
	      "      --seed N        of everything random (1)\n"
	      "  -p, --passes N      the first is cold, the others are warm (2)\n"
	      "  -t, --threads N     each touches a part of the file (1)\n"
	      "      --pin           thread i stays on CPU i\n"
	      "      --ticks         figures in ticks of the TSC, not in ns\n"
	      "      --counters      hardware counters too, where the machine has them\n"
	      "      --exact         runs under qemu -icount: the clock counts instructions\n"
	      "      --variant NAME  word for the rows (mount)\n"
	      "      --param K=V     more parameters for the rows; repeatable\n"
	      "  -h, --help          this text\n\n"
	      "FAMFS_BENCH_VARIANT and FAMFS_BENCH_EXACT in the environment are defaults of\n"
	      "--variant and --exact. A row is one JSON object: value is the median, spread has the minimum.\n"
	      "Exit status: 0, 1 failed, 2 wrong usage.\n",
	      f);
}

static void usage_error(const char *fmt, const char *what)
{
	fputs("famfs-bench: ", stderr);
	fprintf(stderr, fmt, what);
	fputs("; famfs-bench --help\n", stderr);
	exit(2);
}

static uint64_t parse_number(const char *option, const char *text)
{
	static const char suffixes[] = "kmgt";
	const char *suffix;
	char *end;
	uint64_t v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno || end == text || text[0] == '-')
		usage_error("--%s is not a number", option);
	if (*end) {
		suffix = strchr(suffixes, *end | 0x20);
		if (!suffix || end[1] || v > UINT64_MAX >> (10 * (suffix - suffixes + 1)))
			usage_error("--%s is not a number, or too large", option);
		v <<= 10 * (suffix - suffixes + 1);
	}
	return v;
}

static enum bench_dist parse_dist(const char *text)
{
	if (!strcmp(text, "uniform"))
		return DIST_UNIFORM;
	if (!strcmp(text, "zipf"))
		return DIST_ZIPF;
	if (strcmp(text, "all"))
		usage_error("--dist is '%s', not all, uniform or zipf", text);
	return DIST_ALL;
}

/* K=V; a number becomes one. */
static void parse_param(char *text)
{
	char *equals = strchr(text, '='), *end;
	long long v;

	if (!equals || equals == text)
		usage_error("--param '%s' is not KEY=VALUE", text);
	*equals++ = '\0';
	v = strtoll(equals, &end, 10);
	json_object_object_add(opts.params, text,
			       *equals && !*end ? json_object_new_int64(v)
						: json_object_new_string(equals));
}

enum {
	OPT_PREFIX = 256,
	OPT_DIST,
	OPT_SEED,
	OPT_COUNTERS,
	OPT_EXACT,
	OPT_TICKS,
	OPT_PIN,
	OPT_VARIANT,
	OPT_PARAM
};

static const struct option options[] = {
	{ "file", required_argument, NULL, 'f' },
	{ "offset", required_argument, NULL, 'o' },
	{ "bytes", required_argument, NULL, 'b' },
	{ "write", no_argument, NULL, 'w' },
	{ "random", no_argument, NULL, 'R' },
	{ "size", required_argument, NULL, 's' },
	{ "direct", no_argument, NULL, 'D' },
	{ "dir", required_argument, NULL, 'd' },
	{ "prefix", required_argument, NULL, OPT_PREFIX },
	{ "count", required_argument, NULL, 'c' },
	{ "draws", required_argument, NULL, 'n' },
	{ "dist", required_argument, NULL, OPT_DIST },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "passes", required_argument, NULL, 'p' },
	{ "threads", required_argument, NULL, 't' },
	{ "counters", no_argument, NULL, OPT_COUNTERS },
	{ "ticks", no_argument, NULL, OPT_TICKS },
	{ "pin", no_argument, NULL, OPT_PIN },
	{ "exact", no_argument, NULL, OPT_EXACT },
	{ "variant", required_argument, NULL, OPT_VARIANT },
	{ "param", required_argument, NULL, OPT_PARAM },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static void parse_option(int opt, const char *name)
{
	switch (opt) {
	case 'f':
		opts.file = optarg;
		break;
	case 'o':
		opts.offset = parse_number(name, optarg);
		break;
	case 'b':
		opts.bytes = parse_number(name, optarg);
		break;
	case 'w':
		opts.write = true;
		break;
	case 'R':
		opts.random = true;
		break;
	case 's':
		opts.size = parse_number(name, optarg);
		break;
	case 'D':
		opts.direct = true;
		break;
	case 'd':
		opts.dir = optarg;
		break;
	case OPT_PREFIX:
		opts.prefix = optarg;
		break;
	case 'c':
		opts.count = parse_number(name, optarg);
		break;
	case 'n':
		opts.draws = parse_number(name, optarg);
		break;
	case OPT_DIST:
		opts.dist = parse_dist(optarg);
		break;
	case OPT_SEED:
		opts.seed = parse_number(name, optarg);
		break;
	case 'p':
		opts.passes = (unsigned int)parse_number(name, optarg);
		break;
	case 't':
		opts.threads = (unsigned int)parse_number(name, optarg);
		break;
	case OPT_COUNTERS:
		opts.counters = true;
		break;
	case OPT_TICKS:
		opts.ticks = true;
		break;
	case OPT_PIN:
		opts.pin = true;
		break;
	case OPT_EXACT:
		opts.exact = true;
		break;
	case OPT_VARIANT:
		opts.variant = optarg;
		break;
	case OPT_PARAM:
		parse_param(optarg);
		break;
	case 'h':
		usage(stdout);
		exit(0);
	default:
		fputs("famfs-bench --help\n", stderr);
		exit(2);
	}
}

static const char *option_name(int opt)
{
	for (const struct option *o = options; o->name; o++)
		if (o->val == opt)
			return o->name;
	return "?";
}

#define COUNT_MAX	(1UL << 31)

int main(int argc, char **argv)
{
	const struct load *load = NULL;
	int opt;

	opts.params = json_object_new_object();
	if (getenv("FAMFS_BENCH_VARIANT"))
		opts.variant = getenv("FAMFS_BENCH_VARIANT");
	opts.exact = getenv("FAMFS_BENCH_EXACT") != NULL;
	while ((opt = getopt_long(argc, argv, "f:o:b:wRs:Dd:c:n:p:t:h", options, NULL)) >= 0)
		parse_option(opt, option_name(opt));
	if (argc - optind != 1)
		usage_error("%s", argc == optind ? "which load?" : "one load at a time");
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
		if (!strcmp(loads[i].name, argv[optind]))
			load = &loads[i];
	if (!load)
		usage_error("no load '%s'", argv[optind]);
	opts.load = load->name;
	if (!opts.threads || opts.threads > THREADS_MAX || !opts.count || opts.count > COUNT_MAX ||
	    opts.draws > COUNT_MAX)
		usage_error("%s", "--threads, --count or --draws is out of range");
	if (strlen(opts.prefix) > 16)
		usage_error("%s", "--prefix is too long");
	if (clock_init())
		fail("--exact: the clock does not count instructions; is this qemu -icount shift=0?");
	load->run();
	json_object_put(opts.params);
	return 0;
}
