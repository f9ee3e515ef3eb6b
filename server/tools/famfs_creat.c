// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs creat: files of a given size in a mounted file system, made by its
 * server, and optionally filled with the test pattern.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "../lib/ctl.h"
#include "commands.h"
#include "filemap.h"
#include "pattern.h"
#include "target.h"
#include "tool.h"

#define DEFAULT_CHUNK 0x200000ULL
#define MAX_MULTI     4096 /* files in one call */
#define MAX_THREADS   256

/* One file to be made. */
struct job {
	const char *path;
	uint64_t size; /* 0: not given */
	uint32_t seed; /* 0: do not fill */
	dev_t dev; /* of the file system that it is in */
	int rc;
};

struct options {
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	struct ctl_layout layout;
	bool interleave;
	bool randomize;
	bool seed_given;
	bool multi;
	bool verbose;
	uint32_t threads;
	struct job *jobs;
	size_t njobs;
};

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: famfs creat -s SIZE [options] FILE\n"
		"       famfs creat --multi FILE,SIZE[,SEED] [--multi ...] [options]\n"
		"Make files of a size that never changes. A file that exists is left as it is, if\n"
		"no other size is asked for.\n"
		"\n"
		"  -s, --size SIZE[kmg]    bytes\n"
		"  -r, --randomize, -S, --seed SEED   fill with the pattern of SEED (not 0)\n"
		"  -m, --mode MODE         octal permissions, before the umask (default 0644)\n"
		"  -u, --uid UID, -g, --gid GID   owner (default: the caller)\n"
		"  -N, --nstrips N         interleave over N strips, 1 to 16\n"
		"  -B, --nbuckets N        divide the devices into N buckets, one strip in each\n"
		"  -C, --chunksize N[kmg]  power of two, multiple of 2m (default 2m)\n"
		"  -M, --multi FILE,SIZE[,SEED]   one of several files\n"
		"  -t, --threadct N        threads that fill files, 0 to 256 (0: one per CPU)\n"
		"  -v, --verbose           print what was made\n"
		"  -h, --help              this text\n"
		"\n"
		"Exit code: number of files that could not be made.\n");
}

static const struct option long_options[] = {
	{ "size", required_argument, NULL, 's' },
	{ "randomize", no_argument, NULL, 'r' },
	{ "seed", required_argument, NULL, 'S' },
	{ "mode", required_argument, NULL, 'm' },
	{ "uid", required_argument, NULL, 'u' },
	{ "gid", required_argument, NULL, 'g' },
	{ "chunksize", required_argument, NULL, 'C' },
	{ "nstrips", required_argument, NULL, 'N' },
	{ "nbuckets", required_argument, NULL, 'B' },
	{ "multi", required_argument, NULL, 'M' },
	{ "threadct", required_argument, NULL, 't' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* "FILE,SIZE[,SEED]", cut in place. */
static int add_tuple(struct options *o, char *tuple)
{
	struct job job = { .path = tuple };
	char *size = strchr(tuple, ',');
	char *seed = size ? strchr(size + 1, ',') : NULL;

	if (!size || (seed && strchr(seed + 1, ',')))
		return -EINVAL;
	*size++ = '\0';
	if (seed)
		*seed++ = '\0';
	if (!tuple[0] || tool_parse_size(size, &job.size) ||
	    (seed && tool_parse_u32(seed, &job.seed)))
		return -EINVAL;
	if (o->njobs == MAX_MULTI) {
		tool_error("at most %d files in one call", MAX_MULTI);
		return -E2BIG;
	}
	o->jobs[o->njobs++] = job;
	return 0;
}

static int parse_one(int c, char *arg, struct options *o, struct job *single)
{
	switch (c) {
	case 's':
		/* 0 is how "not given" is told apart: as a size it is refused anyway */
		if (tool_parse_size(arg, &single->size) || !single->size)
			return -EINVAL;
		return 0;
	case 'r':
		o->randomize = true;
		return 0;
	case 'S':
		o->seed_given = true;
		return tool_parse_u32(arg, &single->seed);
	case 'm':
		return tool_parse_mode(arg, &o->mode);
	case 'u':
		return tool_parse_u32(arg, &o->uid);
	case 'g':
		return tool_parse_u32(arg, &o->gid);
	case 'C':
		o->interleave = true;
		return tool_parse_size(arg, &o->layout.chunk);
	case 'N':
		o->interleave = true;
		return tool_parse_u32(arg, &o->layout.nstrips);
	case 'B':
		o->interleave = true;
		return tool_parse_u32(arg, &o->layout.nbuckets);
	case 'M':
		o->multi = true;
		return add_tuple(o, arg);
	case 't':
		if (tool_parse_u32(arg, &o->threads))
			return -EINVAL;
		return o->threads > MAX_THREADS ? -ERANGE : 0;
	default:
		o->verbose = true;
		return 0;
	}
}

/* -C, -N and -B replace the whole set; all zero means contiguous, as upstream has it. */
static int check_layout(struct options *o)
{
	struct ctl_layout *l = &o->layout;

	if (!l->chunk && !l->nstrips && !l->nbuckets)
		o->interleave = false;
	if (!o->interleave) {
		memset(l, 0, sizeof(*l));
		return 0;
	}
	if (l->nstrips < 1 || l->nstrips > FAMFS_MAX_STRIPS) {
		tool_error("number of strips %u is not 1 to %d", l->nstrips, FAMFS_MAX_STRIPS);
		return -EINVAL;
	}
	/* The rest depends on the devices: the server knows them. */
	return getrandom(&l->seed, sizeof(l->seed), 0) == sizeof(l->seed) ? 0 : -EIO;
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	struct job single = { 0 };
	mode_t mask;
	int c;

	while ((c = getopt_long(argc, argv, "+s:rS:m:u:g:C:N:B:M:t:vh?", long_options, NULL)) !=
	       -1) {
		if (c == '?')
			return commands_bad_option(argv, print_usage);
		if (c == 'h') {
			print_usage(stdout);
			return 0;
		}
		if (parse_one(c, optarg, o, &single)) {
			tool_error("option -%c: bad value '%s'", c, optarg);
			return EXIT_BAD_USAGE;
		}
	}
	if (o->multi) {
		if (o->seed_given || single.size || optind < argc) {
			tool_error("--multi excludes --size, --seed and a further file name");
			return EXIT_BAD_USAGE;
		}
	} else {
		if (argc - optind != 1) {
			tool_error("must specify one file");
			return EXIT_BAD_USAGE;
		}
		if (o->seed_given && !o->randomize) {
			tool_error("--seed needs --randomize");
			return EXIT_BAD_USAGE;
		}
		single.path = argv[optind];
		o->jobs[o->njobs++] = single;
	}
	mask = umask(0);
	umask(mask);
	o->mode &= ~mask;
	return check_layout(o) ? EXIT_BAD_USAGE : -1;
}

static int check_existing(const struct job *job, const struct target_path *p)
{
	if (!S_ISREG(p->st.st_mode)) {
		tool_error("%s exists and is not a regular file", job->path);
		return -EEXIST;
	}
	if (job->size && (uint64_t)p->st.st_size != job->size) {
		tool_error("%s exists with a size of %jd bytes, not %" PRIu64, job->path,
			   (intmax_t)p->st.st_size, job->size);
		return -EEXIST;
	}
	return 0;
}

static int ask_server(const struct options *o, const struct job *job, const struct target_fs *fs,
		      const char *rel)
{
	_cleanup_close_ int ctl = -1;
	char why[TOOL_MSG_MAX] = "";
	int rc;

	rc = ctl_connect(fs->dev, &ctl);
	if (rc) {
		tool_error("cannot reach the server of %s: %s", fs->mount_point, strerror(-rc));
		return rc;
	}
	rc = ctl_create_file(ctl, rel, job->size, o->uid, o->gid, o->mode, &o->layout, why,
			     sizeof(why));
	if (rc == -ENOSPC && strstr(why, "space"))
		tool_error("alloc failed: Out of space! %s", why);
	else if (rc)
		tool_error("cannot create %s: %s", job->path, why[0] ? why : strerror(-rc));
	return rc;
}

static int create(const struct options *o, struct job *job)
{
	char rel[FAMFS_PATH_LEN], msg[TOOL_MSG_MAX];
	size_t len = strlen(job->path);
	struct target_path p;
	struct target_fs fs;
	int rc;

	rc = target_path_split(job->path, &p, msg, sizeof(msg));
	if (!rc)
		rc = target_fs_find(p.existing, &fs, msg, sizeof(msg));
	if (!rc) {
		target_fs_close(&fs);
		rc = target_relpath(&fs, p.existing, p.missing, rel, msg, sizeof(msg));
	}
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	job->dev = fs.dev;
	if (!p.missing[0])
		return check_existing(job, &p);
	if (p.missing_parts > 1) {
		tool_error("cannot create %s: its directory does not exist", job->path);
		return -ENOENT;
	}
	if (job->path[len - 1] == '/') {
		tool_error("cannot create %s: a file's name does not end with '/'", job->path);
		return -EISDIR;
	}
	if (!job->size) {
		tool_error("cannot create %s: a size above 0 is needed", job->path);
		return -EINVAL;
	}
	rc = target_require_owner(&fs);
	if (rc)
		return rc;
	rc = ask_server(o, job, &fs, rel);
	if (!rc && o->verbose)
		printf("famfs creat: created '%s', %" PRIu64 " bytes\n", job->path, job->size);
	return rc;
}

static int fill(struct job *job)
{
	struct filemap m;
	struct stat st;
	int rc;

	rc = filemap_open(job->path, true, &m);
	if (rc)
		return rc;
	/* Whoever owns a directory on the way may have put a link in its place */
	if (fstat(m.fd, &st) || st.st_dev != job->dev) {
		tool_error("%s is not in the file system any more that it was made in", job->path);
		filemap_close(&m);
		return -EXDEV;
	}
	pattern_fill(m.p, m.len, job->seed);
	rc = famfs_flush_range(NULL, m.p, m.len);
	if (rc)
		tool_error("cannot flush %s: %s", job->path, strerror(-rc));
	else
		printf("randomized %zu bytes: %s\n", m.len, job->path);
	filemap_close(&m);
	return rc;
}

static void fill_job(void *ctx, size_t i)
{
	struct job *job = *((struct job **)ctx + i);

	job->rc = fill(job);
}

static int fill_all(const struct options *o)
{
	struct job **todo = calloc(o->njobs, sizeof(*todo));
	size_t n = 0, bad = 0;

	if (!todo) {
		tool_error("out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < o->njobs; i++)
		if (!o->jobs[i].rc && o->jobs[i].seed)
			todo[n++] = &o->jobs[i];
	if (o->multi && n)
		printf("randomize_multi: randomizing %zu files via %u threads\n", n,
		       o->threads ? o->threads : (unsigned int)sysconf(_SC_NPROCESSORS_ONLN));
	filemap_run(o->threads, n, fill_job, todo);
	for (size_t i = 0; i < n; i++)
		bad += !!todo[i]->rc;
	if (o->multi && n)
		printf("Randomize complete for %zu of %zu files with %zu errs\n", n - bad, n, bad);
	free(todo);
	return 0;
}

static size_t count_bad(const struct options *o)
{
	size_t bad = 0;

	for (size_t i = 0; i < o->njobs; i++)
		bad += !!o->jobs[i].rc;
	return bad;
}

static int create_all(struct options *o)
{
	size_t bad;
	int rc;

	/* One after the other: there is one writer of the log anyway. */
	for (size_t i = 0; i < o->njobs; i++)
		o->jobs[i].rc = create(o, &o->jobs[i]);
	bad = count_bad(o);
	if (o->multi)
		printf("Create complete for %zu of %zu files with %zu errs\n", o->njobs - bad,
		       o->njobs, bad);
	rc = fill_all(o);
	bad = count_bad(o);
	return rc ? rc : bad > TOOL_EXIT_MAX ? TOOL_EXIT_MAX : (int)bad;
}

int famfs_cmd_creat(int argc, char **argv)
{
	struct options o = {
		.mode = 0644,
		.uid = geteuid(),
		.gid = getegid(),
		.layout.chunk = DEFAULT_CHUNK,
	};
	int rc;

	o.jobs = calloc(MAX_MULTI, sizeof(*o.jobs));
	if (!o.jobs) {
		tool_error("out of memory");
		return -ENOMEM;
	}
	rc = parse_options(argc, argv, &o);
	if (rc < 0)
		rc = create_all(&o);
	free(o.jobs);
	return rc;
}
