// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs fsck: what is on the media, read-only, by device or by any path in a
 * mount. Exit: number of units that more than one file claims; errnos of what
 * kept it from looking.
 */
#include "../lib/famfs_fsck.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "commands.h"
#include "media.h"
#include "mode.h"
#include "target.h"
#include "tool.h"

struct options {
	struct famfs_fsck_options report;
	unsigned int media;
	const char *path;
};

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: famfs fsck [options] DEVICE|PATH\n"
		"Check a famfs file system without changing it: by device or image file when it\n"
		"is not mounted, by any path in it when it is.\n"
		"\n"
		"  -h, --human         sizes in GiB\n"
		"  -v, --verbose       more lines\n"
		"  -B, --nbuckets N    use of space in N buckets\n"
		"  -M, --set-daxmode   bind the device to fsdev_dax if it is not\n"
		"      --raw           map a device under device_dax directly\n"
		"  -m, --mmap, -r, --read   accepted, one of them: how upstream reads a log\n"
		"  -D, --nodax, -L, --load-module, -f, --force, --fuse   accepted, no effect\n"
		"  -?, --help          this text\n"
		"\n"
		"Exit code: number of allocation collisions, 0 if clean.\n");
}

enum { OPT_FUSE = 256, OPT_RAW, OPT_HELP };

static const struct option long_options[] = {
	{ "human", no_argument, NULL, 'h' },	      { "verbose", no_argument, NULL, 'v' },
	{ "nbuckets", required_argument, NULL, 'B' }, { "set-daxmode", no_argument, NULL, 'M' },
	{ "load-module", no_argument, NULL, 'L' },    { "raw", no_argument, NULL, OPT_RAW },
	{ "mmap", no_argument, NULL, 'm' },	      { "read", no_argument, NULL, 'r' },
	{ "nodax", no_argument, NULL, 'D' },	      { "force", no_argument, NULL, 'f' },
	{ "nofuse", no_argument, NULL, 'F' },	      { "fuse", no_argument, NULL, OPT_FUSE },
	{ "help", no_argument, NULL, OPT_HELP },      { NULL, 0, NULL, 0 },
};

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	enum mode_choice mode = MODE_AUTO;
	bool by_mmap = false, by_read = false;
	int c;

	while ((c = getopt_long(argc, argv, "+hvB:MLmrDfF?", long_options, NULL)) != -1) {
		switch (c) {
		case 'h':
			o->report.human = true;
			break;
		case 'v':
			o->report.verbose = true;
			break;
		case 'B':
			if (tool_parse_u32(optarg, &o->report.nbuckets) || o->report.nbuckets < 1 ||
			    o->report.nbuckets > FAMFS_MAX_BUCKETS) {
				tool_error("number of buckets '%s' is not 1 to %d", optarg,
					   FAMFS_MAX_BUCKETS);
				return EXIT_BAD_USAGE;
			}
			break;
		case 'M':
			o->media |= MEDIA_SET_MODE;
			break;
		case OPT_RAW:
			o->media |= MEDIA_RAW;
			break;
		case 'm':
			by_mmap = true;
			break;
		case 'r':
			by_read = true;
			break;
		case 'F':
			mode = MODE_NOFUSE;
			break;
		case OPT_FUSE:
			mode = MODE_FUSE;
			break;
		case OPT_HELP:
			print_usage(stdout);
			return 0;
		case '?':
			return commands_bad_option(argv, print_usage);
		default: /* -D -L -f: nothing to choose */
			break;
		}
	}
	if (by_mmap && by_read) {
		tool_error("--mmap and --read exclude each other");
		return EXIT_BAD_USAGE;
	}
	if (optind == argc) {
		tool_error("must specify a device or a path");
		return EXIT_BAD_USAGE;
	}
	o->path = argv[optind];
	return mode_check(mode) ? EXIT_BAD_USAGE : -1;
}

static int check(const struct famfs_media *media, struct options *o)
{
	struct famfs_error err;
	struct famfs_fs *fs;
	int64_t rc;

	rc = famfs_fs_open(media, FAMFS_OPEN_ALLOC | FAMFS_OPEN_SCAN, media_print_error, NULL, &fs,
			   &err);
	if (rc) {
		media_print_error(NULL, &err);
		return rc;
	}
	o->report.role = media_role(&fs->super);
	rc = famfs_fsck_print(fs, &o->report, stdout);
	famfs_fs_free(fs);
	if (rc == -EINVAL && o->report.nbuckets)
		tool_error("cannot divide this file system into %u buckets", o->report.nbuckets);
	return rc > TOOL_EXIT_MAX ? TOOL_EXIT_MAX : (int)rc;
}

static int check_device(struct options *o)
{
	struct famfs_media media;
	struct openmedia *om;
	char msg[TOOL_MSG_MAX];
	int rc;

	rc = media_open(o->path, o->media, "fsck", &om, msg, sizeof(msg));
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	media_init(&media, om, o->path);
	rc = check(&media, o);
	media_close(om, rc >= 0);
	return rc;
}

static int check_mounted(struct options *o)
{
	struct famfs_fsck_mount mount = { .type = "FAMFS_FUSE" };
	char msg[TOOL_MSG_MAX], shadow[PATH_MAX];
	struct famfs_media media;
	struct target_fs fs;
	ssize_t n;
	int rc;

	rc = target_fs_find(o->path, &fs, msg, sizeof(msg));
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	n = getxattr(fs.mount_point, "user.famfs.shadow", shadow, sizeof(shadow) - 1);
	shadow[n > 0 ? n : 0] = '\0';
	mount.mount_point = fs.mount_point;
	mount.backing_dev = fs.source;
	mount.shadow_path = shadow;
	o->report.mount = &mount;

	tool_set_object(fs.mount_point);
	famfs_media_init_meta(&media, fs.source, fs.super_fd, fs.log_fd, FAMFS_SIZE_UNKNOWN);
	rc = check(&media, o);
	target_fs_close(&fs);
	return rc;
}

int famfs_cmd_fsck(int argc, char **argv)
{
	struct options o = { 0 };
	struct target_fs fs;
	char msg[TOOL_MSG_MAX];
	struct stat st;
	int rc;

	rc = parse_options(argc, argv, &o);
	if (rc >= 0)
		return rc;
	if (stat(o.path, &st)) {
		rc = -errno;
		tool_error("cannot stat %s: %s", o.path, strerror(-rc));
		return rc;
	}
	if (S_ISDIR(st.st_mode))
		return check_mounted(&o);
	if (!S_ISREG(st.st_mode))
		return check_device(&o);
	/* A regular file is part of a mount, or else an image. */
	rc = target_fs_find(o.path, &fs, msg, sizeof(msg));
	if (rc == -EXDEV)
		return check_device(&o);
	if (!rc)
		target_fs_close(&fs);
	return check_mounted(&o);
}
