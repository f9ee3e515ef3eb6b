// SPDX-License-Identifier: GPL-2.0-only
/*
 * mkfs.famfs: make a famfs file system on a DAX device, or on an image file.
 *
 * Options, messages and exit codes are those of upstream's tool, where they are
 * known to scripts (docs/tools.md lists the differences). Exit: 0 done, 1 usage
 * or not root, 2 any failure. Nothing stays mounted, whatever happens.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "../lib/famfs_fsck.h"
#include "../lib/famfs_mkfs.h"
#include "media.h"
#include "mode.h"
#include "tool.h"

#define EXIT_USAGE 1
#define EXIT_MKFS  2

struct options {
	bool force;
	bool kill;
	bool loglen_given;
	bool verbose;
	unsigned int media; /* MEDIA_* */
	uint64_t log_len;
	uint32_t ndevs;
	const char *path[FAMFS_MAX_DEVS];
};

struct target {
	struct famfs_mkfs mkfs;
	struct openmedia *om[FAMFS_MAX_DEVS];
};

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: mkfs.famfs [options] DEVICE\n"
		"Make a famfs file system on DEVICE: a character device under fsdev_dax, a block\n"
		"device that does DAX, or an image file.\n"
		"\n"
		"  -f, --force             overwrite a famfs superblock that is there\n"
		"  -k, --kill              with -f: erase the superblock, make nothing\n"
		"  -l, --loglen N[kmg]     log size, a power of two, 8m to 1g (default 8m)\n"
		"  -M, --set-daxmode       bind the device to fsdev_dax if it is not\n"
		"      --add-device DEV    a further device, may be repeated; an extension: files may\n"
		"                          then lie on several devices, which other implementations\n"
		"                          of famfs cannot mount\n"
		"      --raw               map a device under device_dax directly\n"
		"  -D, --nodax             never do that (default where the kernel has fsdev_dax)\n"
		"      --fuse              the only mode there is\n"
		"  -v, --verbose           say what is done\n"
		"  -h, --help              this text\n");
}

enum { OPT_ADD_DEVICE = 256, OPT_FUSE, OPT_RAW };

static const struct option long_options[] = {
	{ "force", no_argument, NULL, 'f' },
	{ "kill", no_argument, NULL, 'k' },
	{ "loglen", required_argument, NULL, 'l' },
	{ "set-daxmode", no_argument, NULL, 'M' },
	{ "add-device", required_argument, NULL, OPT_ADD_DEVICE },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "nodax", no_argument, NULL, 'D' },
	{ "nofuse", no_argument, NULL, 'F' },
	{ "fuse", no_argument, NULL, OPT_FUSE },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool add_device(struct options *o, const char *path)
{
	if (o->ndevs == FAMFS_MAX_DEVS) {
		tool_error("at most %d devices", FAMFS_MAX_DEVS);
		return false;
	}
	o->path[o->ndevs++] = path;
	return true;
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(int argc, char **argv, struct options *o)
{
	enum mode_choice mode = MODE_AUTO;
	bool nodax = false;
	int c;

	o->ndevs = 1; /* the primary's place */
	while ((c = getopt_long(argc, argv, "+h?fkl:MDFv", long_options, NULL)) != -1) {
		switch (c) {
		case 'f':
			o->force = true;
			break;
		case 'k':
			o->kill = true;
			break;
		case 'l':
			o->loglen_given = true;
			if (tool_parse_size(optarg, &o->log_len)) {
				tool_error("Error: invalid log length (%s)", optarg);
				return EXIT_MKFS;
			}
			/* 0 is how the library is asked for the default */
			if (!o->log_len) {
				tool_error("Error: invalid log length (0)");
				return EXIT_MKFS;
			}
			break;
		case 'M':
			o->media |= MEDIA_SET_MODE;
			break;
		case OPT_ADD_DEVICE:
			if (!add_device(o, optarg))
				return EXIT_USAGE;
			break;
		case OPT_RAW:
			o->media |= MEDIA_RAW;
			break;
		case 'D':
			nodax = true;
			break;
		case 'F':
			mode = MODE_NOFUSE;
			break;
		case OPT_FUSE:
			mode = MODE_FUSE;
			break;
		case 'v':
			o->verbose = true;
			break;
		case '?': /* getopt has said what it does not know; "-?" itself is help */
			if (!tool_help_wanted(argv)) {
				fprintf(stderr, "Try 'mkfs.famfs --help'.\n");
				return EXIT_USAGE;
			}
			print_usage(stdout);
			return 0;
		default:
			print_usage(stdout);
			return 0;
		}
	}
	if (optind == argc) {
		tool_error("must specify memory device");
		return EXIT_USAGE;
	}
	o->path[0] = argv[optind];
	if (nodax)
		o->media &= ~MEDIA_RAW;
	return mode_check(mode) ? EXIT_MKFS : -1;
}

/* Image files are the caller's own; devices are root's whatever their mode says. */
static bool may_run(const struct options *o)
{
	struct stat st;

	for (uint32_t i = 0; geteuid() && i < o->ndevs; i++)
		if (stat(o->path[i], &st) || !S_ISREG(st.st_mode))
			return false;
	return true;
}

static int refuse_same_device(const struct options *o)
{
	struct stat a, b;

	for (uint32_t i = 0; i < o->ndevs; i++)
		for (uint32_t j = i + 1; j < o->ndevs; j++) {
			if (stat(o->path[i], &a) || stat(o->path[j], &b))
				continue; /* opening it will say what is wrong */
			if (S_ISREG(a.st_mode)
				    ? a.st_dev == b.st_dev && a.st_ino == b.st_ino
				    : a.st_rdev == b.st_rdev &&
					      (a.st_mode & S_IFMT) == (b.st_mode & S_IFMT)) {
				tool_error("%s and %s are the same device", o->path[i], o->path[j]);
				return -EINVAL;
			}
		}
	return 0;
}

/*
 * Is there something of another kind, as other mkfs tools ask? A character device cannot be
 * read; of ours media says more. Before it is opened: then nothing of it is cached.
 */
static int refuse_other_content(const char *path)
{
	const char *name = NULL;
	blkid_probe probe;
	struct stat st;
	int rc;

	if (stat(path, &st) || S_ISCHR(st.st_mode))
		return 0;
	probe = blkid_new_probe_from_filename(path);
	if (!probe)
		return 0; /* opening it will say what is wrong */
	blkid_probe_enable_partitions(probe, true);
	rc = blkid_do_safeprobe(probe);
	if (!rc && blkid_probe_lookup_value(probe, "TYPE", &name, NULL))
		blkid_probe_lookup_value(probe, "PTTYPE", &name, NULL);
	if (!rc && name)
		tool_error("%s holds %s; -f writes over it", path, name);
	else if (rc == -2)
		tool_error("%s holds several file systems; -f writes over them", path);
	blkid_free_probe(probe);
	return (!rc && name) || rc == -2 ? -EEXIST : 0;
}

/* The last first: its server was forked when the others were open, and keeps them so. */
static void close_all(const struct options *o, struct target *t, bool ok)
{
	for (uint32_t i = o->ndevs; i-- > 0;)
		media_close(t->om[i], ok);
}

static int open_all(const struct options *o, struct target *t)
{
	char msg[TOOL_MSG_MAX];
	int rc;

	t->mkfs.ndevs = o->ndevs;
	t->mkfs.log_len = o->log_len;
	for (uint32_t i = 0; i < o->ndevs; i++) {
		rc = o->force ? 0 : refuse_other_content(o->path[i]);
		if (rc)
			return rc;
		rc = media_open(o->path[i], o->media | MEDIA_WRITE, "mkfs", &t->om[i], msg,
				sizeof(msg));
		if (rc) {
			tool_error("%s", msg);
			return rc;
		}
		t->mkfs.dev[i].name = o->path[i];
		t->mkfs.dev[i].size = t->om[i]->dev.size;
		if (o->verbose)
			fprintf(stderr, "mkfs.famfs: %s: %" PRIu64 " bytes, driver %s\n",
				o->path[i], t->om[i]->dev.size,
				t->om[i]->dev.driver[0] ? t->om[i]->dev.driver : "none");
	}
	return 0;
}

static int check_existing(const struct options *o, const struct target *t)
{
	char msg[TOOL_MSG_MAX];
	int rc;

	for (uint32_t i = 0; i < o->ndevs; i++) {
		/* Shorter than a superblock: holds none, and its size will be refused. */
		if (t->om[i]->mapped < sizeof(struct famfs_media_super))
			continue;
		rc = famfs_mkfs_check_existing(t->om[i]->map, o->path[i], t->mkfs.system_uuid,
					       o->force, msg, sizeof(msg));
		if (rc) {
			tool_error("%s", msg);
			return rc;
		}
	}
	return 0;
}

static int kill_all(const struct options *o, struct target *t)
{
	int rc;

	for (uint32_t i = 0; i < o->ndevs; i++) {
		if (t->om[i]->mapped < sizeof(struct famfs_media_super)) {
			tool_error("%s is too short to hold a superblock", o->path[i]);
			return -EINVAL;
		}
		rc = famfs_mkfs_kill(t->om[i]->map, NULL, NULL);
		if (rc) {
			tool_error("cannot flush %s: %s", o->path[i], strerror(-rc));
			return rc;
		}
	}
	printf("Famfs superblock killed\n");
	return 0;
}

/* What other mkfs tools wrote into the first 2 MiB would be found before ours. */
static int wipe(const struct options *o, const struct target *t, uint32_t i)
{
	uint8_t *map = t->om[i]->map;
	int rc = famfs_mkfs_kill(map, NULL, NULL);

	if (!rc && t->om[i]->mapped >= FAMFS_SUPER_AREA) {
		memset(map, 0, FAMFS_SUPER_AREA);
		rc = famfs_flush_range(NULL, map, FAMFS_SUPER_AREA);
	}
	if (rc)
		tool_error("cannot wipe %s: %s", o->path[i], strerror(-rc));
	return rc;
}

static int write_all(const struct options *o, struct target *t)
{
	struct famfs_error err;
	int rc;

	famfs_mkfs_randomize(&t->mkfs);
	for (uint32_t i = 0; i < o->ndevs; i++) {
		rc = wipe(o, t, i);
		if (rc)
			return rc;
	}
	for (uint32_t i = 1; i < o->ndevs; i++) {
		rc = famfs_mkfs_write_secondary(&t->mkfs, i, t->om[i]->map, NULL, NULL);
		if (rc) {
			tool_error("cannot write the superblock of %s: %s", o->path[i],
				   strerror(-rc));
			return rc;
		}
	}
	rc = famfs_mkfs_write_primary(&t->mkfs, t->om[0]->map, t->om[0]->map + FAMFS_LOG_OFFSET,
				      NULL, NULL, &err);
	if (rc)
		media_print_error(NULL, &err);
	return rc;
}

/* Read back what was written, with the decoder that mount uses. */
static int report(const struct options *o, const struct target *t)
{
	struct famfs_fsck_options opt = { .human = true, .verbose = o->verbose };
	struct famfs_media media;
	struct famfs_error err;
	struct famfs_fs *fs;
	int64_t rc;

	media_init(&media, t->om[0], o->path[0]);
	rc = famfs_fs_open(&media, FAMFS_OPEN_ALLOC | FAMFS_OPEN_SCAN, media_print_error, NULL, &fs,
			   &err);
	if (rc) {
		media_print_error(NULL, &err);
		return rc;
	}
	opt.role = media_role(&fs->super);
	printf("devsize: %" PRIu64 "\n", t->om[0]->dev.size);
	rc = famfs_fsck_print(fs, &opt, stdout);
	famfs_fs_free(fs);
	return rc > 0 ? -EUCLEAN : rc;
}

static int make_or_kill(const struct options *o, struct target *t)
{
	char msg[TOOL_MSG_MAX];
	int rc;

	rc = famfs_system_uuid_get(NULL, true, t->mkfs.system_uuid);
	if (rc) {
		tool_error("cannot read or make this host's identity /opt/famfs/system_uuid: %s",
			   strerror(-rc));
		return rc;
	}
	rc = open_all(o, t);
	if (rc)
		return rc;
	rc = check_existing(o, t);
	if (rc)
		return rc;
	if (o->kill)
		return kill_all(o, t);
	rc = famfs_mkfs_check(&t->mkfs, msg, sizeof(msg));
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	if (o->loglen_given)
		printf("loglen: %" PRIu64 "\n", o->log_len);
	rc = write_all(o, t);
	return rc ? rc : report(o, t);
}

/* The log length does not depend on the device: wrong is wrong, whatever is there. */
static int check_loglen(const struct options *o)
{
	struct famfs_mkfs any = { .log_len = o->log_len,
				  .ndevs = 1,
				  .dev[0] = { .name = "", .size = FAMFS_DEV_SIZE_MIN } };
	char msg[TOOL_MSG_MAX];
	int rc = famfs_mkfs_check(&any, msg, sizeof(msg));

	if (rc)
		tool_error("%s", msg);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct target *t;
	int rc;

	tool_init("mkfs.famfs", EXIT_MKFS);
	rc = parse_options(argc, argv, &o);
	if (rc >= 0)
		return rc;
	if (!may_run(&o)) {
		tool_error("must run as root");
		return EXIT_USAGE;
	}
	if (o.kill && !o.force) {
		tool_error("--kill erases a file system: it needs --force as well");
		return EXIT_MKFS;
	}
	if (check_loglen(&o) || refuse_same_device(&o))
		return EXIT_MKFS;
	t = calloc(1, sizeof(*t));
	if (!t) {
		tool_error("out of memory");
		return EXIT_MKFS;
	}
	rc = make_or_kill(&o, t);
	close_all(&o, t, !rc);
	free(t);
	if (!rc && (fflush(stdout) || ferror(stdout)))
		rc = -EIO;
	syslog(LOG_NOTICE, "mkfs.famfs %s on %s",
	       rc	? "failed"
	       : o.kill ? "killed superblock"
			: "done",
	       o.path[0]);
	return rc ? EXIT_MKFS : 0;
}
