// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzes whole file systems: the input is a program of short records, each of
 * which makes one log entry, with names from a tiny alphabet so that parents,
 * duplicates and type clashes are hit, and numbers near the edges of devices.
 * Then the log is opened, walked, played in two halves, allocated from, appended
 * to and reported on; every view of it must agree with every other.
 */
#include <endian.h>
#include <sys/stat.h>

#include "famfs_fsck.h"
#include "famfs_log.h"
#include "famfs_mkfs.h"
#include "fuzz.h"
#include "media_i.h"

#define GIB	    0x40000000ULL
#define MIB	    0x100000ULL
#define MAX_SIZE    1024
#define MAX_ENTRIES 64
#define HEAD	    (FAMFS_LOG_OFFSET + FAMFS_LOG_LEN_MIN)

static uint8_t *head;

struct input {
	const uint8_t *p;
	size_t left;
};

static uint8_t byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static struct famfs_media_log_header *header(void)
{
	return (void *)(head + FAMFS_LOG_OFFSET);
}

static struct famfs_media_entry *slot(uint64_t i)
{
	return (void *)(head + FAMFS_SLOT_OFFSET(i));
}

/* ---- making ---- */

static uint64_t number(struct input *in)
{
	static const uint64_t edges[] = {
		0,	     1,
		4096,	     2 * MIB,
		8 * MIB,     10 * MIB,
		12 * MIB,    4 * GIB - 2 * MIB,
		4 * GIB,     4 * GIB + 2 * MIB,
		1ULL << 63,  UINT64_MAX,
		0 - 2 * MIB, 1ULL << 32,
	};
	uint8_t b = byte(in);

	if (b < sizeof(edges) / sizeof(edges[0]))
		return edges[b];
	return (uint64_t)b * 2 * MIB;
}

static void make_path(struct input *in, uint8_t *path)
{
	static const char *const parts[] = {
		"a",	 "b",	   "c",	     "d",
		"a/",	 "b/",	   "a/b/",   "../",
		"./",	 "/",	   ".meta/", "",
		".meta", "\xff\n", "..",     "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
	};
	size_t n = 0;

	for (uint8_t b = byte(in); b && n < FAMFS_PATH_LEN; b >>= 4) {
		const char *part = parts[b & 15];

		for (; *part && n < FAMFS_PATH_LEN; part++)
			path[n++] = (uint8_t)*part;
	}
}

static void make_file(struct input *in, struct famfs_media_file *f)
{
	struct famfs_media_extent *ext = f->fmap.simple;
	uint8_t shape = byte(in);
	uint32_t n = shape & 31;

	make_path(in, f->path);
	f->size = htole64(number(in));
	f->mode = htole32(byte(in) * 257U);
	f->fmap.ext_type = htole32(shape >> 5);
	f->fmap.nextents = htole32(n);
	if (shape >> 5 == FAMFS_EXT_INTERLEAVE) {
		f->fmap.nextents = htole32(1);
		f->fmap.interleave.nstrips = htole64(n);
		f->fmap.interleave.chunk_size = htole64(number(in));
		ext = f->fmap.interleave.strips;
	}
	for (uint32_t i = 0; i < n && i < 16; i++) {
		ext[i].devindex = htole64(byte(in) & 3);
		ext[i].offset = htole64(number(in));
		ext[i].len = htole64(number(in));
	}
}

static void make_entry(struct input *in, uint64_t index)
{
	struct famfs_media_entry raw = { 0 };
	uint8_t op = byte(in);

	raw.seqnum = htole64(index);
	raw.type = htole32(op & 7);
	switch (op & 7) {
	case FAMFS_ENTRY_FILE:
		make_file(in, &raw.file);
		break;
	case FAMFS_ENTRY_MKDIR:
		make_path(in, raw.mkdir.path);
		raw.mkdir.mode = htole32(byte(in));
		break;
	case FAMFS_ENTRY_ADD_DAXDEV:
		raw.add_daxdev.dd_index = htole32(byte(in) & 3);
		raw.add_daxdev.dd_uuid[0] = byte(in);
		raw.add_daxdev.dd_size = htole64(number(in));
		break;
	}
	raw.crc = htole64(famfs_crc32(&raw, FAMFS_ENTRY_CRC_LEN));
	if (op == 0xff)
		raw.crc ^= htole64(1);
	if (op == 0xfe)
		raw.seqnum = htole64(index + 1);
	*slot(index) = raw;
}

static void make_fs(void)
{
	static struct famfs_mkfs p = { .ndevs = 1, .uuid = { 1 } };
	struct famfs_error e;

	if (!head) {
		head = aligned_alloc(4096, HEAD);
		CHECK(head);
	}
	p.dev[0].name = "fuzz";
	p.dev[0].size = 4 * GIB;
	famfs_mkfs_kill(head, NULL, NULL);
	/* The whole log need not be zeroed each time: only what was used is dirty. */
	if (!header()->len) {
		CHECK(!famfs_mkfs_write_primary(&p, head, head + FAMFS_LOG_OFFSET, NULL, NULL, &e));
		return;
	}
	memset(slot(0), 0, (MAX_ENTRIES + 2) * sizeof(struct famfs_media_entry));
	((struct famfs_media_super *)head)->ts_magic = htole64(FAMFS_SUPER_MAGIC);
	famfs_log_header_encode(FAMFS_LOG_LEN_MIN, 0, header());
}

static uint64_t make_log(struct input *in)
{
	uint64_t n = 0;

	while (in->left && n < MAX_ENTRIES)
		make_entry(in, n++);
	return n;
}

static void set_next(uint64_t n)
{
	header()->next_index = htole64(n);
	header()->next_seqnum = htole64(n);
}

/* ---- checking ---- */

static void on_report(void *ctx, const struct famfs_error *e)
{
	unsigned int *count = ctx;

	fuzz_check_error(e);
	(*count)++;
}

static void check_node(const struct famfs_fs *fs, uint64_t parent, const struct famfs_dirent *d)
{
	char path[FAMFS_PATH_LEN];
	struct famfs_attr a;
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap m;
	uint64_t id;

	CHECK(!famfs_ns_lookup(fs->ns, parent, d->name, d->name_len, &id) && id == d->nodeid);
	CHECK(!famfs_ns_getattr(fs->ns, id, &a) && a.parent == parent);
	CHECK(S_ISDIR(a.mode) == d->is_dir);
	CHECK(!famfs_ns_path(fs->ns, id, path, sizeof(path)));
	CHECK(!famfs_ns_lookup_path(fs->ns, path, &id) && id == d->nodeid);
	if (d->is_dir) {
		CHECK(famfs_ns_fmap(fs->ns, id, &m, room) == -21);
		return;
	}
	CHECK(!famfs_ns_fmap(fs->ns, id, &m, room) && m.size == a.size);
	for (uint64_t pos = 0, step = m.size / 17 + 1; pos < m.size; pos += step) {
		uint64_t offset, len;
		uint32_t dev;

		CHECK(!famfs_fmap_resolve(&m, pos, &dev, &offset, &len));
		CHECK(dev < fs->devs.count && offset + len <= fs->devs.dev[dev].size);
	}
}

static unsigned int walk(const struct famfs_fs *fs, uint64_t dir)
{
	unsigned int n = 0;
	uint64_t cookie = 0;
	struct famfs_dirent d;

	while (!famfs_ns_readdir(fs->ns, dir, cookie, &d)) {
		CHECK(d.cookie > cookie);
		cookie = d.cookie;
		if (cookie <= 2)
			continue;
		check_node(fs, dir, &d);
		if (d.nodeid < FAMFS_NODEID_RESERVED)
			n++;
		if (d.is_dir)
			n += walk(fs, d.nodeid);
	}
	return n;
}

static void check_fs(const struct famfs_fs *fs, unsigned int reports)
{
	struct famfs_alloc_stats a;
	struct famfs_ns_stats s;

	famfs_ns_stats(fs->ns, &s);
	CHECK(walk(fs, FAMFS_NODEID_ROOT) == s.files + s.dirs);
	CHECK(s.files + s.dirs + fs->skipped + fs->invalid + fs->bad + (fs->devs.count - 1) ==
	      fs->played);
	CHECK(reports == fs->skipped + fs->invalid + fs->bad + fs->recovered);
	if (fs->alloc) {
		famfs_alloc_stats(fs->alloc, &a);
		CHECK(a.used <= a.bitmap);
	}
}

static void check_append(struct famfs_fs *fs)
{
	struct famfs_log_store store = { head + FAMFS_LOG_OFFSET, FAMFS_LOG_LEN_MIN, NULL, NULL };
	struct famfs_layout l = { 2 * MIB, 3, 3, 5 };
	struct famfs_entry e = { .type = FAMFS_ENTRY_FILE, .path = "new", .size = 7 * MIB };
	struct famfs_alloc_stats before, after;
	struct famfs_error err;
	uint64_t id;

	famfs_alloc_stats(fs->alloc, &before);
	if (famfs_fs_create(fs, &store, &l, &e, &err)) {
		fuzz_check_error(&err);
		return;
	}
	famfs_alloc_stats(fs->alloc, &after);
	CHECK(after.collisions == before.collisions && after.used > before.used);
	CHECK(!famfs_ns_lookup_path(fs->ns, "new", &id) && id == e.index + 2);
}

static void check_report(const struct famfs_fs *fs)
{
	struct famfs_fsck_options opt = { .nbuckets = 3, .verbose = true };
	static FILE *null;

	if (!null)
		null = fopen("/dev/null", "w");
	famfs_fsck_print(fs, &opt, null);
}

/* Half now, half later gives what all at once gives. */
static void check_halves(const struct famfs_media *m, uint64_t n, const struct famfs_fs *whole)
{
	unsigned int reports = 0;
	struct famfs_ns_stats a, b;
	struct famfs_error e;
	struct famfs_fs *fs;

	set_next(n / 2);
	CHECK(!famfs_fs_open(m, FAMFS_OPEN_ALLOC, on_report, &reports, &fs, &e));
	set_next(n);
	CHECK(!famfs_fs_play(fs, &e));
	check_fs(fs, reports);
	famfs_ns_stats(whole->ns, &a);
	famfs_ns_stats(fs->ns, &b);
	CHECK(a.files == b.files && a.dirs == b.dirs && a.alloc_bytes == b.alloc_bytes);
	famfs_fs_free(fs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int reports = 0;
	struct famfs_media m;
	struct famfs_error e;
	struct famfs_fs *fs;
	unsigned int flags;
	uint64_t n;

	if (size < 1 || size > MAX_SIZE)
		return 0;
	make_fs();
	flags = byte(&in) & (FAMFS_OPEN_RECOVER | FAMFS_OPEN_ALLOC | FAMFS_OPEN_SCAN);
	n = make_log(&in);
	set_next(n);
	famfs_media_init_memory(&m, "fuzz", head, HEAD, 4 * GIB);
	if (famfs_fs_open(&m, flags, on_report, &reports, &fs, &e)) {
		fuzz_check_error(&e);
		return 0;
	}
	CHECK(fs->played == n || fs->recovered);
	check_fs(fs, reports);
	if (fs->alloc)
		check_report(fs);
	if (!fs->recovered && !fs->bad)
		check_halves(&m, n, fs);
	if (fs->alloc)
		check_append(fs);
	famfs_fs_free(fs);
	return 0;
}
