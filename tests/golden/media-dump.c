// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what the library makes of device images, one JSON object a line, for
 * run-golden.py to compare. Images are read with pread() or, with --map,
 * through a mapping; the two must agree. Test program, not installed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "famfs_fsck.h"
#include "famfs_log.h"

#define MAP_HEAD (FAMFS_LOG_OFFSET + FAMFS_LOG_LEN_MAX)

struct device {
	int fd;
	uint64_t size;
};

struct options {
	bool map;
	bool time;
	bool fsck;
	bool cat;
	unsigned int flags;
};

static struct device devices[FAMFS_MAX_DEVS];
static int ndevices;

static void print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
}

static void add_str(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_int(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

/* Paths are any bytes, JSON strings are not. */
static void add_hex(struct json_object *o, const char *key, const char *bytes)
{
	char hex[2 * FAMFS_PATH_LEN + 1] = "";

	for (size_t i = 0; bytes[i] && i < FAMFS_PATH_LEN; i++)
		sprintf(hex + 2 * i, "%02x", (uint8_t)bytes[i]);
	add_str(o, key, hex);
}

static void print_error(void *ctx, const struct famfs_error *err)
{
	struct json_object *o = json_object_new_object();
	char text[FAMFS_ERROR_TEXT_MAX];

	add_str(o, "kind", ctx);
	json_object_object_add(o, "errno", json_object_new_int(err->err));
	add_str(o, "verdict", err->verdict == FAMFS_SKIP ? "skip" : "refuse");
	add_int(o, "object", err->object);
	add_int(o, "index", err->index);
	add_int(o, "offset", err->offset);
	add_str(o, "device", err->device);
	add_str(o, "field", err->field);
	add_str(o, "found", err->found);
	add_str(o, "expected", err->expected);
	add_str(o, "text", famfs_error_text(err, text, sizeof(text)));
	print(o);
}

static struct json_object *extents(const struct famfs_fmap *fmap)
{
	struct json_object *list = json_object_new_array();

	for (uint32_t i = 0; i < fmap->next; i++) {
		struct json_object *e = json_object_new_array();

		json_object_array_add(e, json_object_new_uint64(fmap->ext[i].devindex));
		json_object_array_add(e, json_object_new_uint64(fmap->ext[i].offset));
		json_object_array_add(e, json_object_new_uint64(fmap->ext[i].len));
		json_object_array_add(list, e);
	}
	return list;
}

static int print_node(const struct famfs_fs *fs, uint64_t nodeid)
{
	struct json_object *o = json_object_new_object();
	char path[FAMFS_PATH_LEN];
	struct famfs_attr attr;
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap fmap;
	int err;

	err = famfs_ns_getattr(fs->ns, nodeid, &attr);
	if (!err)
		err = famfs_ns_path(fs->ns, nodeid, path, sizeof(path));
	if (err)
		return err;
	add_str(o, "kind", S_ISDIR(attr.mode) ? "dir" : "file");
	add_int(o, "nodeid", nodeid);
	add_hex(o, "path", path);
	add_int(o, "mode", attr.mode);
	add_int(o, "uid", attr.uid);
	add_int(o, "gid", attr.gid);
	add_int(o, "nlink", attr.nlink);
	if (S_ISREG(attr.mode)) {
		err = famfs_ns_fmap(fs->ns, nodeid, &fmap, room);
		if (err)
			return err;
		add_int(o, "size", attr.size);
		add_int(o, "ext_type", fmap.ext_type);
		add_int(o, "chunk", fmap.chunk);
		json_object_object_add(o, "extents", extents(&fmap));
	}
	print(o);
	return 0;
}

/* By readdir and lookup, so that both are compared as well. */
static int print_tree(const struct famfs_fs *fs, uint64_t dir)
{
	struct famfs_dirent d;
	uint64_t cookie = 0, found;
	int err;

	while (!(err = famfs_ns_readdir(fs->ns, dir, cookie, &d))) {
		cookie = d.cookie;
		if (d.name[0] == '.' && (d.name_len == 1 || (d.name_len == 2 && d.name[1] == '.')))
			continue;
		err = famfs_ns_lookup(fs->ns, dir, d.name, d.name_len, &found);
		if (err || found != d.nodeid)
			return err ? err : -EUCLEAN;
		err = print_node(fs, d.nodeid);
		if (!err && d.is_dir)
			err = print_tree(fs, d.nodeid);
		if (err)
			return err;
	}
	return err == -ENODATA ? 0 : err;
}

/* What each further image is: ours (index and name), or why not. */
static void print_secondaries(const struct famfs_fs *fs, char **names)
{
	for (int i = 1; i < ndevices; i++) {
		struct famfs_media m;
		struct famfs_super sb;
		struct famfs_error e;
		int err;

		famfs_media_init_fd(&m, names[i], devices[i].fd, 0, devices[i].size);
		err = famfs_super_read(&m, &sb, &e);
		if (!err)
			err = famfs_super_check_secondary(&sb, names[i], &fs->super, &fs->devs,
							  (uint32_t)i, &e);
		if (err) {
			print_error("secondary-bad", &e);
			continue;
		}
		struct json_object *o = json_object_new_object();

		add_str(o, "kind", "secondary");
		add_int(o, "index", (uint64_t)i);
		print(o);
	}
}

static void print_summary(const struct famfs_fs *fs, double seconds)
{
	struct json_object *o = json_object_new_object();
	struct famfs_alloc_stats a = { 0 };
	struct famfs_ns_stats s;

	famfs_ns_stats(fs->ns, &s);
	if (fs->alloc)
		famfs_alloc_stats(fs->alloc, &a);
	add_str(o, "kind", "summary");
	add_int(o, "files", s.files);
	add_int(o, "dirs", s.dirs);
	add_int(o, "size_bytes", s.size_bytes);
	add_int(o, "memory_bytes", s.memory_bytes);
	add_int(o, "played", fs->played);
	add_int(o, "skipped", fs->skipped);
	add_int(o, "invalid", fs->invalid);
	add_int(o, "bad", fs->bad);
	add_int(o, "recovered", fs->recovered);
	add_int(o, "devices", fs->devs.count);
	add_int(o, "next_seqnum", fs->header.next_seqnum);
	add_int(o, "next_index", fs->header.next_index);
	add_int(o, "collisions", a.collisions);
	add_int(o, "used", a.used);
	json_object_object_add(o, "seconds", json_object_new_double(seconds));
	print(o);
}

/* A file's bytes, through the mapping that the library gives. */
static int cat_file(const struct famfs_fs *fs, uint64_t nodeid)
{
	static uint8_t buf[1 << 20];
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap fmap;
	int err;

	err = famfs_ns_fmap(fs->ns, nodeid, &fmap, room);
	if (err)
		return err;
	for (uint64_t pos = 0; pos < fmap.size;) {
		uint64_t offset, len;
		uint32_t dev;

		err = famfs_fmap_resolve(&fmap, pos, &dev, &offset, &len);
		if (err)
			return err;
		if (len > sizeof(buf))
			len = sizeof(buf);
		if ((int)dev >= ndevices)
			return -ENODEV;
		if (pread(devices[dev].fd, buf, len, (off_t)offset) != (ssize_t)len)
			return -EIO;
		if (fwrite(buf, 1, len, stdout) != len)
			return -EIO;
		pos += len;
	}
	return 0;
}

/* Node ids on stdin, bytes of those files back to back on stdout. */
static int cat_files(const struct famfs_fs *fs)
{
	unsigned long long nodeid;
	int err = 0;

	while (!err && scanf("%llu", &nodeid) == 1)
		err = cat_file(fs, nodeid);
	return err;
}

static int open_devices(int n, char **names)
{
	for (ndevices = 0; ndevices < n; ndevices++) {
		struct stat st;
		int fd = open(names[ndevices], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fstat(fd, &st)) {
			perror(names[ndevices]);
			return -EIO;
		}
		devices[ndevices] = (struct device){ fd, (uint64_t)st.st_size };
	}
	return 0;
}

static int init_media(struct famfs_media *m, const char *name, bool map)
{
	uint64_t size = devices[0].size;
	uint64_t head = size < MAP_HEAD ? size : MAP_HEAD;
	void *p;

	if (!map || !head) {
		famfs_media_init_fd(m, name, devices[0].fd, 0, size);
		return 0;
	}
	p = mmap(NULL, head, PROT_READ, MAP_SHARED, devices[0].fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	famfs_media_init_memory(m, name, p, head, size);
	return 0;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int dump(const struct options *opt, char **names)
{
	const char *name = names[0];
	struct famfs_fsck_options fsck = { .role = "Client", .verbose = true };
	struct famfs_media media;
	struct famfs_error e;
	struct famfs_fs *fs;
	double start;
	int err;

	err = init_media(&media, name, opt->map);
	if (err)
		return err;
	start = now();
	err = famfs_fs_open(&media, opt->flags, opt->cat || opt->fsck ? NULL : print_error, "skip",
			    &fs, &e);
	if (err) {
		print_error("refused", &e);
		return 0;
	}
	start = now() - start;
	if (opt->cat)
		err = cat_files(fs);
	else if (opt->fsck)
		err = famfs_fsck_print(fs, &fsck, stdout) < 0 ? -EIO : 0;
	else if (!opt->time)
		err = print_tree(fs, FAMFS_NODEID_ROOT);
	if (!err && !opt->cat && !opt->fsck && !opt->time)
		print_secondaries(fs, names);
	if (!err && !opt->cat && !opt->fsck)
		print_summary(fs, start);
	famfs_fs_free(fs);
	return err;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "map", no_argument, NULL, 'm' },	{ "time", no_argument, NULL, 't' },
		{ "fsck", no_argument, NULL, 'f' },	{ "cat", no_argument, NULL, 'c' },
		{ "recover", no_argument, NULL, 'r' },	{ "scan", no_argument, NULL, 's' },
		{ "no-alloc", no_argument, NULL, 'a' }, { 0 },
	};
	struct options opt = { .flags = FAMFS_OPEN_ALLOC };
	int c, err;

	while ((c = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
		switch (c) {
		case 'm':
			opt.map = true;
			break;
		case 't':
			opt.time = true;
			break;
		case 'f':
			opt.fsck = true;
			break;
		case 'c':
			opt.cat = true;
			break;
		case 'r':
			opt.flags |= FAMFS_OPEN_RECOVER;
			break;
		case 's':
			opt.flags |= FAMFS_OPEN_SCAN;
			break;
		case 'a':
			opt.flags &= ~FAMFS_OPEN_ALLOC;
			break;
		default:
			return 2;
		}
	}
	if (optind == argc || argc - optind > FAMFS_MAX_DEVS) {
		fprintf(stderr,
			"usage: media-dump [--map] [--time|--fsck|--cat] [--recover|--scan] "
			"DEVICE...\n");
		return 2;
	}
	err = open_devices(argc - optind, argv + optind);
	if (!err)
		err = dump(&opt, argv + optind);
	if (err)
		fprintf(stderr, "media-dump: %s\n", strerror(-err));
	return err ? 1 : 0;
}
