// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs verify, flush and chkread: commands that look at the bytes of files, in
 * famfs or elsewhere, through mappings.
 */
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include "../lib/famfs_media.h"
#include "commands.h"
#include "filemap.h"
#include "pattern.h"
#include "tool.h"

#define MAX_FILES   4096
#define MAX_THREADS 256
#define READ_BYTES  0x100000

/* ---- verify ---- */

struct job {
	const char *path;
	uint32_t seed;
	bool quiet;
	int rc;
};

static void print_verify_usage(FILE *out)
{
	fprintf(out, "Usage: famfs verify -f FILE -S SEED [-q]\n"
		     "       famfs verify --multi FILE,SEED [--multi ...] [-t THREADS]\n"
		     "Compare files with the pattern that famfs creat -r -S SEED wrote.\n"
		     "\n"
		     "  -f, --fname FILE   the file\n"
		     "  -S, --seed SEED    its seed\n"
		     "  -m, --multi FILE,SEED   one of several files\n"
		     "  -t, --threadct N   threads, 0 to 256 (0: one per CPU)\n"
		     "  -q, --quiet        say nothing of files that are right\n"
		     "  -h, --help         this text\n"
		     "\n"
		     "Exit code: number of files that are wrong.\n");
}

static void verify_job(void *ctx, size_t i)
{
	struct job *job = (struct job *)ctx + i;
	struct filemap m;
	size_t good;

	/* For writing, as upstream does: dropping cache lines may write them back. */
	job->rc = filemap_open(job->path, true, &m);
	if (job->rc)
		return;
	famfs_invalidate_range(NULL, m.p, m.len);
	good = pattern_verify(m.p, m.len, job->seed);
	if (good != m.len) {
		tool_error("Verify fail: %s at offset %zu of %zu bytes", job->path, good, m.len);
		job->rc = -EBADMSG;
	} else if (!job->quiet) {
		printf("Success: verified %zu bytes in file %s\n", m.len, job->path);
	}
	filemap_close(&m);
}

/* "FILE,SEED", cut in place. */
static int parse_pair(char *pair, struct job *job)
{
	char *seed = strchr(pair, ',');

	if (!seed || seed == pair || strchr(seed + 1, ','))
		return -EINVAL;
	*seed++ = '\0';
	job->path = pair;
	return tool_parse_u32(seed, &job->seed);
}

static int verify_all(struct job *jobs, size_t n, bool multi, uint32_t threads)
{
	size_t bad = 0;

	filemap_run(threads, n, verify_job, jobs);
	for (size_t i = 0; i < n; i++)
		bad += !!jobs[i].rc;
	if (multi)
		printf("Verify complete for %zu files with %zu errs\n", n, bad);
	return bad > TOOL_EXIT_MAX ? TOOL_EXIT_MAX : (int)bad;
}

static int parse_and_verify(int argc, char **argv, struct job *jobs)
{
	static const struct option options[] = {
		{ "fname", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 'S' },
		{ "multi", required_argument, NULL, 'm' },
		{ "threadct", required_argument, NULL, 't' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool have_seed = false, quiet = false, bad = false;
	struct job single = { 0 };
	uint32_t threads = 0;
	size_t n = 0;
	int c;

	while ((c = getopt_long(argc, argv, "+f:S:m:t:qvh?", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			single.path = optarg;
			break;
		case 'S':
			have_seed = true;
			bad = tool_parse_u32(optarg, &single.seed);
			break;
		case 'm':
			bad = n == MAX_FILES || parse_pair(optarg, &jobs[n]);
			n++;
			break;
		case 't':
			bad = tool_parse_u32(optarg, &threads) || threads > MAX_THREADS;
			break;
		case 'q':
			quiet = true;
			break;
		case 'v':
			break;
		case 'h':
			print_verify_usage(stdout);
			return 0;
		default:
			return commands_bad_option(argv, print_verify_usage);
		}
		if (bad) {
			tool_error("option -%c: bad value '%s'", c, optarg);
			return EXIT_BAD_USAGE;
		}
	}
	if (n ? single.path || have_seed : !single.path || !have_seed) {
		tool_error(n ? "--multi excludes --fname and --seed"
			     : "must specify --fname and --seed");
		return EXIT_BAD_USAGE;
	}
	if (!n)
		jobs[0] = single;
	for (size_t i = 0; i < (n ? n : 1); i++)
		jobs[i].quiet = quiet;
	return verify_all(jobs, n ? n : 1, n, threads);
}

int famfs_cmd_verify(int argc, char **argv)
{
	struct job *jobs = calloc(MAX_FILES, sizeof(*jobs));
	int rc;

	if (!jobs) {
		tool_error("out of memory");
		return -ENOMEM;
	}
	rc = parse_and_verify(argc, argv, jobs);
	free(jobs);
	return rc;
}

/* ---- flush ---- */

static void print_flush_usage(FILE *out)
{
	fprintf(out, "Usage: famfs flush [-v] FILE...\n"
		     "Write the CPU cache lines of files back to memory and drop them.\n"
		     "Exit code: number of files for which that failed.\n");
}

int famfs_cmd_flush(int argc, char **argv)
{
	static const struct option options[] = {
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool verbose = false;
	struct filemap m;
	int c, bad = 0;

	while ((c = getopt_long(argc, argv, "+vh?", options, NULL)) != -1) {
		if (c == '?')
			return commands_bad_option(argv, print_flush_usage);
		if (c == 'h') {
			print_flush_usage(stdout);
			return 0;
		}
		verbose = true;
	}
	if (optind == argc) {
		tool_error("must specify at least one file");
		return EXIT_BAD_USAGE;
	}
	for (int i = optind; i < argc; i++) {
		/* A mapping for reading is enough, so files of .meta can be flushed too. */
		if (filemap_open(argv[i], false, &m)) {
			bad++;
			continue;
		}
		tool_set_object(argv[i]);
		famfs_flush_range(NULL, m.p, m.len);
		famfs_invalidate_range(NULL, m.p, m.len);
		if (verbose)
			printf("famfs flush: %s: %zu bytes\n", argv[i], m.len);
		filemap_close(&m);
	}
	if (bad)
		tool_error("%d errors were detected", bad);
	return bad;
}

/* ---- chkread ---- */

static void print_chkread_usage(FILE *out)
{
	fprintf(out, "Usage: famfs chkread [-s|-l] FILE\n"
		     "Compare a file as read(2) gives it with the same file as mapped.\n"
		     "\n"
		     "  -s, --superblock   it is a superblock: print its head from both\n"
		     "  -l, --log          it is a log: print its head from both\n");
}

static void print_head(const char *from, const uint8_t *p, size_t len, char what)
{
	uint64_t v[6] = { 0 };

	memcpy(v, p, len < sizeof(v) ? len : sizeof(v));
	for (size_t i = 0; i < 6; i++)
		v[i] = le64toh(v[i]);
	if (what == 's')
		printf("famfs superblock: (%s)\n  magic:      0x%" PRIx64 "\n  version:    %" PRIu64
		       "\n  log offset: 0x%" PRIx64 "\n  log len:    %" PRIu64 "\n",
		       from, v[0], v[1], v[2], v[3]);
	else
		printf("famfs log: (%s)\n  magic:      0x%" PRIx64 "\n  len:        %" PRIu64
		       "\n  last index: %" PRIu64 "\n  next index: %" PRIu64 "\n",
		       from, v[0], v[1], v[2], v[5]);
}

static int compare(const char *path, char what)
{
	_cleanup_free_ uint8_t *buf = malloc(READ_BYTES);
	struct filemap m;
	size_t at = 0;
	ssize_t n = 0;
	int rc;

	if (!buf) {
		tool_error("out of memory");
		return -ENOMEM;
	}
	rc = filemap_open(path, false, &m);
	if (rc)
		return 1;
	tool_set_object(path);
	while (!rc && (n = pread(m.fd, buf, READ_BYTES, at)) > 0) {
		if (what && !at) {
			print_head("read", buf, n, what);
			print_head("mmap", m.p, m.len, what);
		}
		if (at + n > m.len || memcmp(buf, m.p + at, n))
			rc = 1;
		at += n;
	}
	if (n < 0)
		tool_error("cannot read %s: %s", path, strerror(errno));
	if (n < 0 || (!rc && at != m.len))
		rc = 1;
	printf("Read and mmap %s\n", rc ? "miscompare" : "match");
	filemap_close(&m);
	return rc;
}

int famfs_cmd_chkread(int argc, char **argv)
{
	static const struct option options[] = {
		{ "superblock", no_argument, NULL, 's' },
		{ "log", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char what = 0;
	int c;

	while ((c = getopt_long(argc, argv, "+slh?", options, NULL)) != -1) {
		if (c == '?')
			return commands_bad_option(argv, print_chkread_usage);
		if (c == 'h') {
			print_chkread_usage(stdout);
			return 0;
		}
		what = c;
	}
	if (argc - optind != 1) {
		tool_error("must specify one file");
		return EXIT_BAD_USAGE;
	}
	return compare(argv[optind], what);
}
