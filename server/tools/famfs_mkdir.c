// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs mkdir: directories in a mounted file system, made by its server.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "../lib/ctl.h"
#include "commands.h"
#include "target.h"
#include "tool.h"

struct options {
	bool parents;
	bool verbose;
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
};

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: famfs mkdir [options] DIRECTORY\n"
		     "\n"
		     "  -p, --parents     make parents too; no error if it exists\n"
		     "  -m, --mode MODE   octal permissions, before the umask (default 0755)\n"
		     "  -u, --uid UID, -g, --gid GID   owner (default: the caller)\n"
		     "  -v, --verbose     print what was made\n"
		     "  -h, --help        this text\n");
}

static int make_one(int ctl, const struct options *o, const char *rel, const char *shown)
{
	char why[TOOL_MSG_MAX] = "";
	int rc = ctl_mkdir(ctl, rel, o->uid, o->gid, o->mode, why, sizeof(why));

	if (rc) {
		tool_error("cannot make directory '%s': %s", shown, why[0] ? why : strerror(-rc));
		return rc;
	}
	if (o->verbose)
		printf("famfs mkdir: created directory '%s'\n", shown);
	return 0;
}

/* The missing part, one directory after the other. */
static int make_all(int ctl, const struct options *o, const struct target_fs *fs,
		    struct target_path *p)
{
	char rel[FAMFS_PATH_LEN], shown[2 * PATH_MAX], msg[TOOL_MSG_MAX];
	char *slash = p->missing;
	int rc;

	do {
		slash = strchr(slash, '/');
		if (slash)
			*slash = '\0';
		rc = target_relpath(fs, p->existing, p->missing, rel, msg, sizeof(msg));
		if (rc) {
			tool_error("%s", msg);
			return rc;
		}
		snprintf(shown, sizeof(shown), "%s/%s", p->existing, p->missing);
		rc = make_one(ctl, o, rel, shown);
		if (slash)
			*slash++ = '/';
	} while (!rc && slash);
	return rc;
}

static int check_path(const struct options *o, const char *path, const struct target_path *p)
{
	if (!p->missing[0]) {
		if (o->parents && S_ISDIR(p->st.st_mode))
			return 0;
		tool_error("cannot make directory '%s': it exists", path);
		return -EEXIST;
	}
	if (p->missing_parts > 1 && !o->parents) {
		tool_error("cannot make directory '%s': its parent does not exist (see --parents)",
			   path);
		return -ENOENT;
	}
	return 0;
}

static int make_path(const struct options *o, const char *path)
{
	_cleanup_close_ int ctl = -1;
	char msg[TOOL_MSG_MAX], rel[FAMFS_PATH_LEN];
	struct target_path p;
	struct target_fs fs;
	int rc;

	rc = target_path_split(path, &p, msg, sizeof(msg));
	if (!rc)
		rc = target_fs_find(p.existing, &fs, msg, sizeof(msg));
	if (!rc) {
		target_fs_close(&fs);
		/* The whole name first: no half of a path that is too long. */
		rc = target_relpath(&fs, p.existing, p.missing, rel, msg, sizeof(msg));
	}
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	rc = check_path(o, path, &p);
	if (rc || !p.missing[0])
		return rc;
	rc = target_require_owner(&fs);
	if (rc)
		return rc;
	rc = ctl_connect(fs.dev, &ctl);
	if (rc) {
		tool_error("cannot reach the server of %s: %s", fs.mount_point, strerror(-rc));
		return rc;
	}
	return make_all(ctl, o, &fs, &p);
}

int famfs_cmd_mkdir(int argc, char **argv)
{
	static const struct option options[] = {
		{ "parents", no_argument, NULL, 'p' },
		{ "mode", required_argument, NULL, 'm' },
		{ "uid", required_argument, NULL, 'u' },
		{ "gid", required_argument, NULL, 'g' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .mode = 0755, .uid = geteuid(), .gid = getegid() };
	bool bad = false;
	mode_t mask;
	int c;

	while ((c = getopt_long(argc, argv, "+pm:u:g:vh?", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			o.parents = true;
			break;
		case 'm':
			bad = tool_parse_mode(optarg, &o.mode);
			break;
		case 'u':
			bad = tool_parse_u32(optarg, &o.uid);
			break;
		case 'g':
			bad = tool_parse_u32(optarg, &o.gid);
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			return commands_bad_option(argv, print_usage);
		}
		if (bad) {
			tool_error("option -%c: '%s' is not a number in range", c, optarg);
			return EXIT_BAD_USAGE;
		}
	}
	if (argc - optind != 1) {
		tool_error("must specify one directory");
		return EXIT_BAD_USAGE;
	}
	mask = umask(0);
	umask(mask);
	o.mode &= ~mask;
	return make_path(&o, argv[optind]) ? 1 : 0;
}
