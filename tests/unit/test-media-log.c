// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file system in memory: made by mkfs, appended to, played, damaged, played
 * again. Covers log, namespace, allocator, mkfs and fsck together, since each
 * is the other's input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "famfs_fsck.h"
#include "famfs_log.h"
#include "famfs_mkfs.h"
#include "media_i.h"

#define MIB  0x100000ULL
#define GIB  0x40000000ULL
#define HEAD (10 * MIB) /* superblock area and the smallest log */

/* ---- a device in memory: only its head is ever touched ---- */

struct rig {
	uint8_t *head;
	struct famfs_mkfs p;
	struct famfs_media media;
	struct famfs_log_store store;
	unsigned int flushes;
	unsigned int fail_flush; /* the nth from now fails; 0: none */
	uint64_t index_at_entry_flush; /* next_index while the entry was flushed */
	struct famfs_error e;
	unsigned int reports;
	struct famfs_error last_report;
};

static struct famfs_media_log_header *log_header(struct rig *r)
{
	return (void *)(r->head + FAMFS_LOG_OFFSET);
}

static struct famfs_media_entry *slot(struct rig *r, uint64_t i)
{
	return (void *)(r->head + FAMFS_SLOT_OFFSET(i));
}

static int count_flush(void *ctx, const void *addr, size_t len)
{
	struct rig *r = ctx;

	r->flushes++;
	if (len == sizeof(struct famfs_media_entry) && addr != log_header(r))
		r->index_at_entry_flush = le64toh(log_header(r)->next_index);
	if (r->fail_flush && !--r->fail_flush)
		return -EIO;
	return famfs_flush_range(NULL, addr, len);
}

static void on_report(void *ctx, const struct famfs_error *e)
{
	struct rig *r = ctx;

	r->reports++;
	r->last_report = *e;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->head = aligned_alloc(4096, HEAD);
	assert_non_null(r->head);
	memset(r->head, 0xa5, HEAD); /* an earlier life */
	r->p.ndevs = 1;
	r->p.dev[0].name = "/dev/dax0.0";
	r->p.dev[0].size = 16 * GIB;
	r->p.system_uuid[0] = 0x42;
	famfs_mkfs_randomize(&r->p);
	famfs_media_init_memory(&r->media, "/dev/dax0.0", r->head, HEAD, 16 * GIB);
	r->store = (struct famfs_log_store){ r->head + FAMFS_LOG_OFFSET, HEAD - FAMFS_LOG_OFFSET,
					     count_flush, r };
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	free(r->head);
	free(r);
	return 0;
}

static void make(struct rig *r)
{
	assert_int_equal(famfs_mkfs_write_primary(&r->p, r->head, r->head + FAMFS_LOG_OFFSET,
						  count_flush, r, &r->e),
			 0);
}

static struct famfs_fs *open_flags(struct rig *r, unsigned int flags)
{
	struct famfs_fs *fs = NULL;

	assert_int_equal(famfs_fs_open(&r->media, flags, on_report, r, &fs, &r->e), 0);
	return fs;
}

static struct famfs_fs *open_fs(struct rig *r)
{
	return open_flags(r, FAMFS_OPEN_ALLOC);
}

static struct famfs_entry dir_entry(const char *path)
{
	struct famfs_entry e = { .type = FAMFS_ENTRY_MKDIR, .mode = 0755, .uid = 1, .gid = 2 };

	strcpy(e.path, path);
	return e;
}

static struct famfs_entry file_entry(const char *path, uint64_t size)
{
	struct famfs_entry e = { .type = FAMFS_ENTRY_FILE,
				 .mode = 0640,
				 .uid = 3,
				 .gid = 4,
				 .flags = FAMFS_FILE_ALL_HOSTS_RW,
				 .size = size };

	strcpy(e.path, path);
	return e;
}

static void add_dir(struct rig *r, struct famfs_fs *fs, const char *path)
{
	struct famfs_entry e = dir_entry(path);

	assert_int_equal(famfs_fs_append(fs, &r->store, &e, &r->e), 0);
}

static struct famfs_entry add_file(struct rig *r, struct famfs_fs *fs, const char *path,
				   uint64_t size, const struct famfs_layout *layout)
{
	struct famfs_entry e = file_entry(path, size);

	assert_int_equal(famfs_fs_create(fs, &r->store, layout, &e, &r->e), 0);
	return e;
}

static uint64_t find(const struct famfs_fs *fs, const char *path)
{
	uint64_t id;

	return famfs_ns_lookup_path(fs->ns, path, &id) ? 0 : id;
}

/* Stores an entry that the library would not make, with a right crc. */
static void force_entry(struct rig *r, uint64_t i, struct famfs_media_entry *raw)
{
	raw->seqnum = htole64(i);
	raw->crc = htole64(famfs_crc32(raw, FAMFS_ENTRY_CRC_LEN));
	*slot(r, i) = *raw;
	log_header(r)->next_index = htole64(i + 1);
	log_header(r)->next_seqnum = htole64(i + 1);
}

/* ---- mkfs ---- */

static void mkfs_checks_log_length_and_device_size(void **state)
{
	static const struct {
		uint64_t log_len, size;
		const char *msg;
	} cases[] = {
		{ 0, 4 * GIB, NULL },
		{ 8 * MIB, 4 * GIB, NULL },
		{ GIB, 4 * GIB, NULL },
		{ 2 * GIB, 4 * GIB, "Error: invalid log length (2147483648): at most 1 GiB" },
		{ 11 * MIB, 4 * GIB, "Error: invalid log length (11534336)" },
		{ MIB, 4 * GIB, "Error: invalid log length (1048576)" },
		{ 1, 4 * GIB, "Error: invalid log length (1)" },
		{ 8 * MIB, 4 * GIB - 1, "unsupported memory device size (<4GiB)" },
	};
	struct rig *r = *state;
	char msg[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r->p.log_len = cases[i].log_len;
		r->p.dev[0].size = cases[i].size;
		assert_int_equal(famfs_mkfs_check(&r->p, msg, sizeof(msg)),
				 cases[i].msg ? -EINVAL : 0);
		if (cases[i].msg)
			assert_string_equal(msg, cases[i].msg);
	}
}

static void mkfs_does_not_overwrite_unless_forced(void **state)
{
	struct rig *r = *state;
	uint8_t other[16] = { 9 };
	char msg[256];

	assert_int_equal(famfs_mkfs_check_existing(r->head, "D", r->p.system_uuid, false, msg,
						   sizeof(msg)),
			 0);
	make(r);
	assert_int_equal(famfs_mkfs_check_existing(r->head, "D", r->p.system_uuid, false, msg,
						   sizeof(msg)),
			 -EEXIST);
	assert_string_equal(msg, "Device D already has a famfs superblock");
	assert_int_equal(famfs_mkfs_check_existing(r->head, "D", other, false, msg, sizeof(msg)),
			 -EEXIST);
	assert_string_equal(msg, "Device D has a superblock owned by another host.");
	assert_int_equal(famfs_mkfs_check_existing(r->head, "D", other, true, msg, sizeof(msg)), 0);
	/* A version that we cannot mount is somebody's data all the same. */
	((struct famfs_media_super *)r->head)->ts_version = htole64(47);
	assert_int_equal(famfs_mkfs_check_existing(r->head, "D", r->p.system_uuid, false, msg,
						   sizeof(msg)),
			 -EEXIST);
	assert_int_equal(famfs_mkfs_kill(r->head, NULL, NULL), 0);
	assert_int_equal(famfs_mkfs_check_existing(r->head, "D", r->p.system_uuid, false, msg,
						   sizeof(msg)),
			 0);
}

static void mkfs_of_a_used_device_leaves_nothing_of_its_earlier_life(void **state)
{
	struct rig *r = *state;
	struct famfs_media_super *raw = (void *)r->head;
	struct famfs_fs *fs;

	make(r);
	assert_int_equal(raw->ts_sb_flags, 0);
	for (size_t i = 0; i < FAMFS_UUID_LEN; i++)
		assert_int_equal(raw->ts_daxdev.dd_uuid[i], 0);
	for (size_t i = FAMFS_LOG_OFFSET + 48; i < HEAD; i++)
		assert_int_equal(r->head[i], 0);
	fs = open_fs(r);
	assert_int_equal(fs->played, 0);
	assert_int_equal(fs->header.slots, 15420);
	assert_memory_equal(fs->super.uuid, r->p.uuid, 16);
	assert_int_equal(fs->super.dev_size, 16 * GIB);
	assert_string_equal(fs->super.dev_name, "/dev/dax0.0");
	famfs_fs_free(fs);
}

static void mkfs_interrupted_anywhere_leaves_no_file_system(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	for (unsigned int n = 1; n <= 3; n++) {
		make(r);
		r->fail_flush = n;
		assert_int_equal(famfs_mkfs_write_primary(&r->p, r->head,
							  r->head + FAMFS_LOG_OFFSET, count_flush,
							  r, &r->e),
				 -EIO);
		if (n < 3)
			assert_int_equal(famfs_fs_open(&r->media, 0, NULL, NULL, &fs, &r->e),
					 -ENODATA);
	}
}

static void make_multi(struct rig *r, uint8_t *second)
{
	r->p.ndevs = 3;
	r->p.dev[1].name = "/dev/dax1.0";
	r->p.dev[1].size = 8 * GIB;
	r->p.dev[2].name = "/dev/dax2.0";
	r->p.dev[2].size = 4 * GIB;
	famfs_mkfs_randomize(&r->p);
	assert_int_equal(famfs_mkfs_write_secondary(&r->p, 0, second, count_flush, r), -EINVAL);
	assert_int_equal(famfs_mkfs_write_secondary(&r->p, 3, second, count_flush, r), -EINVAL);
	assert_int_equal(famfs_mkfs_write_secondary(&r->p, 1, second, count_flush, r), 0);
	make(r);
}

static void mkfs_with_further_devices_writes_table_and_secondaries(void **state)
{
	struct rig *r = *state;
	uint8_t second[200];
	struct famfs_super sb;
	struct famfs_fs *fs, *none;

	make_multi(r, second);
	fs = open_fs(r);
	assert_int_equal(fs->played, 2);
	assert_int_equal(fs->devs.count, 3);
	assert_int_equal(fs->devs.dev[1].size, 8 * GIB);
	assert_int_equal(fs->devs.dev[1].first, 2 * MIB);
	assert_memory_equal(fs->devs.dev[2].uuid, r->p.dev[2].uuid, 16);
	assert_int_equal(famfs_super_decode(second, sizeof(second), "s", 8 * GIB, &sb, &r->e), 0);
	assert_true(sb.secondary);
	assert_int_equal(famfs_super_check_secondary(&sb, "s", &fs->super, &fs->devs, 1, &r->e), 0);
	assert_int_not_equal(find(fs, ".meta/.superblock.2"), 0);
	assert_int_equal(find(fs, ".meta/.superblock.3"), 0);
	famfs_fs_free(fs);
	/* The secondary by itself is no file system. */
	memcpy(r->head, second, sizeof(second));
	assert_int_equal(famfs_fs_open(&r->media, 0, NULL, NULL, &none, &r->e), -EUCLEAN);
	assert_string_equal(r->e.field, "ts_sb_flags");
}

/* ---- append ---- */

static void append_flushes_the_entry_before_the_index_names_it(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;
	struct famfs_entry d = dir_entry("d");

	make(r);
	fs = open_fs(r);
	r->flushes = 0;
	r->index_at_entry_flush = 99;
	assert_int_equal(famfs_fs_append(fs, &r->store, &d, &r->e), 0);
	assert_int_equal(r->flushes, 2);
	assert_int_equal(r->index_at_entry_flush, 0);
	assert_int_equal(le64toh(log_header(r)->next_index), 1);
	assert_int_equal(le64toh(log_header(r)->next_seqnum), 1);
	assert_int_equal(fs->played, 1);
	assert_int_equal(find(fs, "d"), d.index + 2);
	famfs_fs_free(fs);
}

static void append_whose_entry_does_not_reach_media_is_invisible(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;
	struct famfs_entry d = dir_entry("d");

	make(r);
	fs = open_fs(r);
	r->fail_flush = 1;
	assert_int_equal(famfs_fs_append(fs, &r->store, &d, &r->e), -EIO);
	assert_int_equal(le64toh(log_header(r)->next_index), 0);
	assert_int_equal(find(fs, "d"), 0);
	assert_int_equal(famfs_fs_append(fs, &r->store, &d, &r->e), 0);
	assert_int_equal(find(fs, "d"), 2);
	famfs_fs_free(fs);
}

static void append_refuses_what_play_would_leave_out(void **state)
{
	static const struct {
		const char *path;
		int type;
		int err;
	} cases[] = {
		{ "d", FAMFS_ENTRY_MKDIR, -EEXIST },	 { "d", FAMFS_ENTRY_FILE, -EISDIR },
		{ "f", FAMFS_ENTRY_MKDIR, -EEXIST },	 { "f", FAMFS_ENTRY_FILE, -EEXIST },
		{ "nope/x", FAMFS_ENTRY_FILE, -ENOENT }, { "f/x", FAMFS_ENTRY_MKDIR, -ENOTDIR },
		{ "../x", FAMFS_ENTRY_MKDIR, -EUCLEAN }, { ".meta/x", FAMFS_ENTRY_FILE, -EUCLEAN },
		{ "", FAMFS_ENTRY_MKDIR, -EUCLEAN },	 { "d/", FAMFS_ENTRY_MKDIR, -EUCLEAN },
	};
	struct rig *r = *state;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	add_dir(r, fs, "d");
	add_file(r, fs, "f", 1, NULL);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct famfs_entry e = file_entry(cases[i].path, 4096);
		int err;

		e.type = (uint32_t)cases[i].type;
		err = e.type == FAMFS_ENTRY_FILE ? famfs_fs_create(fs, &r->store, NULL, &e, &r->e)
						 : famfs_fs_append(fs, &r->store, &e, &r->e);
		assert_int_equal(err, cases[i].err);
		assert_int_equal(le64toh(log_header(r)->next_index), 2);
	}
	famfs_fs_free(fs);
}

static void append_fills_the_log_to_its_last_slot(void **state)
{
	struct rig *r = *state;
	struct famfs_entry e;
	struct famfs_fs *fs;
	char name[24];

	make(r);
	fs = open_fs(r);
	for (int i = 0; i < 15420; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		e = dir_entry(name);
		if (famfs_fs_append(fs, &r->store, &e, &r->e))
			fail();
	}
	e = dir_entry("one-too-many");
	assert_int_equal(famfs_fs_append(fs, &r->store, &e, &r->e), -ENOSPC);
	assert_string_equal(r->e.field, "next_index");
	famfs_fs_free(fs);
	fs = open_fs(r);
	assert_int_equal(find(fs, "d15419"), 15421);
	famfs_fs_free(fs);
}

static void append_refuses_a_log_with_index_words_apart(void **state)
{
	static const int64_t ahead[] = { 2, 5, -1 };
	struct rig *r = *state;
	struct famfs_entry e = dir_entry("e");
	struct famfs_fs *fs;

	for (size_t i = 0; i < 3; i++) {
		make(r);
		fs = open_fs(r);
		add_dir(r, fs, "d");
		log_header(r)->next_seqnum = htole64((uint64_t)(1 + ahead[i]));
		assert_int_equal(famfs_fs_append(fs, &r->store, &e, &r->e), -EUCLEAN);
		assert_string_equal(r->e.field, "next_seqnum");
		assert_int_equal(find(fs, "d"), 2);
		famfs_fs_free(fs);
	}
}

static void append_does_again_what_was_interrupted_between_the_index_words(void **state)
{
	struct rig *r = *state;
	struct famfs_entry e = dir_entry("e");
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	add_dir(r, fs, "d");
	log_header(r)->next_seqnum = htole64(2);
	assert_int_equal(famfs_fs_append(fs, &r->store, &e, &r->e), 0);
	assert_int_equal(e.index, 1);
	assert_int_equal(le64toh(log_header(r)->next_index), 2);
	assert_int_equal(le64toh(log_header(r)->next_seqnum), 2);
	famfs_fs_free(fs);
	fs = open_fs(r);
	assert_int_equal(find(fs, "e"), 3);
	famfs_fs_free(fs);
}

static void append_plays_what_another_process_appended_first(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *one, *two;
	struct famfs_entry a, b;

	make(r);
	one = open_fs(r);
	two = open_fs(r);
	add_dir(r, one, "d");
	a = add_file(r, one, "d/a", 3 * MIB, NULL);
	b = add_file(r, two, "d/b", 3 * MIB, NULL);
	assert_int_equal(b.index, 2);
	assert_int_equal(b.ext[0].offset, a.ext[0].offset + 4 * MIB);
	assert_int_equal(find(two, "d/a"), 3);
	assert_int_equal(find(one, "d/b"), 0);
	assert_int_equal(famfs_fs_play(one, &r->e), 0);
	assert_int_equal(find(one, "d/b"), 4);
	famfs_fs_free(one);
	famfs_fs_free(two);
}

static void append_of_a_device_makes_it_usable(void **state)
{
	struct rig *r = *state;
	struct famfs_entry dev = { .type = FAMFS_ENTRY_ADD_DAXDEV,
				   .dd_size = 4 * GIB,
				   .dd_uuid = { 7 } };
	struct famfs_entry f = file_entry("f", 1);
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	assert_int_equal(famfs_fs_append(fs, &r->store, &dev, &r->e), 0);
	assert_int_equal(dev.dd_index, 1);
	f.next = 1;
	f.ext[0] = (struct famfs_extent){ GIB, 2 * MIB, 1 };
	assert_int_equal(famfs_fs_append(fs, &r->store, &f, &r->e), 0);
	dev.dd_uuid[0] = 7;
	assert_int_equal(famfs_fs_append(fs, &r->store, &dev, &r->e), -EUCLEAN);
	assert_string_equal(r->e.field, "dd_uuid");
	famfs_fs_free(fs);
}

/* ---- play ---- */

static void three_entries(struct rig *r)
{
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	add_dir(r, fs, "d");
	add_file(r, fs, "d/a", 1, NULL);
	add_file(r, fs, "d/b", 1, NULL);
	famfs_fs_free(fs);
}

static void bad_entry_refuses_all_unless_recover(void **state)
{
	struct rig *r = *state;
	struct famfs_entry e = dir_entry("x");
	struct famfs_fs *fs = NULL;

	three_entries(r);
	slot(r, 1)->file.size ^= htole64(1);
	assert_int_equal(famfs_fs_open(&r->media, 0, on_report, r, &fs, &r->e), -EBADMSG);
	assert_null(fs);
	assert_int_equal(r->e.index, 1);
	assert_int_equal(r->reports, 0);
	fs = open_flags(r, FAMFS_OPEN_RECOVER);
	assert_true(fs->recovered);
	assert_int_equal(fs->recovered_err.index, 1);
	assert_int_equal(r->reports, 1);
	assert_int_equal(fs->played, 1);
	assert_int_equal(find(fs, "d"), 2);
	assert_int_equal(find(fs, "d/b"), 0);
	assert_int_equal(famfs_fs_play(fs, &r->e), 0);
	assert_int_equal(fs->played, 1);
	assert_int_equal(famfs_fs_append(fs, &r->store, &e, &r->e), -EROFS);
	famfs_fs_free(fs);
}

static void prefix_has_what_comes_before_a_bad_entry(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	slot(r, 1)->file.size ^= htole64(1);
	fs = open_flags(r, FAMFS_OPEN_PREFIX);
	assert_int_equal(fs->open_err, -EBADMSG);
	assert_int_equal(r->e.index, 1);
	assert_false(fs->recovered);
	assert_int_equal(fs->played, 1);
	assert_int_equal(find(fs, "d"), 2);
	assert_int_equal(famfs_fs_play(fs, &r->e), -EBADMSG);
	slot(r, 1)->file.size ^= htole64(1);
	assert_int_equal(famfs_fs_play(fs, &r->e), 0);
	assert_int_equal(fs->played, 3);
	famfs_fs_free(fs);
	fs = open_flags(r, FAMFS_OPEN_PREFIX);
	assert_int_equal(fs->open_err, 0);
	famfs_fs_free(fs);
	/* What is wrong with the header is wrong with all */
	log_header(r)->next_index = htole64(UINT64_MAX);
	assert_int_not_equal(famfs_fs_open(&r->media, FAMFS_OPEN_PREFIX, NULL, NULL, &fs, &r->e),
			     0);
}

static int poisoned_read(const struct famfs_media *m, uint64_t offset, void *buf, size_t len)
{
	uint64_t bad = FAMFS_SLOT_OFFSET(2);

	if (offset <= bad && offset + len > bad)
		return -EIO;
	memcpy(buf, m->map + offset, len);
	return 0;
}

static void entries_before_one_that_cannot_be_read_are_played(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	r->media.read = poisoned_read;
	assert_int_equal(famfs_fs_open(&r->media, 0, NULL, NULL, &fs, &r->e), -EIO);
	fs = open_flags(r, FAMFS_OPEN_PREFIX);
	assert_int_equal(fs->open_err, -EIO);
	assert_int_equal(r->e.index, 2);
	assert_int_equal(fs->played, 2);
	assert_int_equal(find(fs, "d/a"), 3);
	assert_int_equal(find(fs, "d/b"), 0);
	famfs_fs_free(fs);
}

static void scan_goes_on_past_bad_entries_and_counts_them(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	slot(r, 1)->file.size ^= htole64(1);
	fs = open_flags(r, FAMFS_OPEN_SCAN | FAMFS_OPEN_ALLOC);
	assert_int_equal(fs->bad, 1);
	assert_int_equal(fs->played, 3);
	assert_int_equal(find(fs, "d/b"), 4);
	famfs_fs_free(fs);
}

static void delete_refuses_and_invalid_is_left_out(void **state)
{
	struct rig *r = *state;
	struct famfs_media_entry raw = { .type = htole32(FAMFS_ENTRY_INVALID) };
	struct famfs_fs *fs;

	three_entries(r);
	force_entry(r, 3, &raw);
	fs = open_flags(r, 0);
	assert_int_equal(fs->invalid, 1);
	assert_int_equal(fs->skipped, 0);
	assert_int_equal(fs->played, 4);
	assert_int_equal(r->last_report.index, 3);
	famfs_fs_free(fs);
	raw.type = htole32(FAMFS_ENTRY_DELETE);
	force_entry(r, 3, &raw);
	assert_int_equal(famfs_fs_open(&r->media, 0, NULL, NULL, &fs, &r->e), -EOPNOTSUPP);
	assert_int_equal(r->e.index, 3);
}

static void index_seen_before_the_entry_is_tried_again(void **state)
{
	struct rig *r = *state;
	struct famfs_media_entry late;
	struct famfs_fs *fs;

	three_entries(r);
	fs = open_flags(r, 0);
	late = *slot(r, 2);
	strcpy((char *)late.file.path, "d/late");
	log_header(r)->next_index = htole64(4);
	log_header(r)->next_seqnum = htole64(4);
	assert_int_equal(famfs_fs_play(fs, &r->e), -EBADMSG);
	assert_int_equal(r->e.index, 3);
	assert_int_equal(fs->played, 3);
	assert_int_equal(find(fs, "d/b"), 4);
	force_entry(r, 3, &late);
	assert_int_equal(famfs_fs_play(fs, &r->e), 0);
	assert_int_equal(find(fs, "d/late"), 5);
	famfs_fs_free(fs);
}

/* A reader whose first look at the entry is stale, as a CPU cache's would be. */
static unsigned int stale_left;

static int stale_read(const struct famfs_media *m, uint64_t offset, void *buf, size_t len)
{
	memcpy(buf, m->map + offset, len);
	if (stale_left && offset == FAMFS_SLOT_OFFSET(0))
		memset(buf, 0, sizeof(struct famfs_media_entry));
	return 0;
}

static int stale_invalidate(const struct famfs_media *m, uint64_t offset, size_t len)
{
	(void)m;
	if (offset == FAMFS_SLOT_OFFSET(0) && len == sizeof(struct famfs_media_entry))
		stale_left--;
	return 0;
}

static void stale_cache_lines_of_an_entry_are_dropped_once(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	r->media.read = stale_read;
	r->media.invalidate = stale_invalidate;
	stale_left = 1;
	fs = open_flags(r, 0);
	assert_int_equal(stale_left, 0);
	assert_int_equal(fs->played, 3);
	famfs_fs_free(fs);
	stale_left = 2;
	assert_int_equal(famfs_fs_open(&r->media, 0, NULL, NULL, &fs, &r->e), -EBADMSG);
}

static void read_errors_are_passed_on_even_with_recover(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	r->media.base = FAMFS_SLOT_OFFSET(2); /* mapped only so far */
	assert_int_equal(famfs_fs_open(&r->media, FAMFS_OPEN_RECOVER | FAMFS_OPEN_SCAN, NULL, NULL,
				       &fs, &r->e),
			 -EIO);
	assert_string_equal(r->e.field, "read");
}

static void another_file_system_underneath_is_stale(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	fs = open_flags(r, 0);
	famfs_mkfs_randomize(&r->p);
	make(r);
	assert_int_equal(famfs_fs_play(fs, &r->e), -ESTALE);
	assert_string_equal(r->e.field, "ts_uuid");
	famfs_fs_free(fs);
}

static void log_that_shrinks_is_stale(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;

	three_entries(r);
	fs = open_flags(r, 0);
	log_header(r)->next_index = htole64(2);
	assert_int_equal(famfs_fs_play(fs, &r->e), -ESTALE);
	assert_string_equal(r->e.field, "next_index");
	famfs_fs_free(fs);
}

/* ---- namespace ---- */

static void readdir_is_in_log_order_and_cookies_survive_appends(void **state)
{
	static const char *const want[] = { ".", "..", ".meta", "z", "a", "m" };
	struct rig *r = *state;
	struct famfs_dirent d;
	struct famfs_fs *fs;
	uint64_t cookie = 0, last;

	make(r);
	fs = open_fs(r);
	add_dir(r, fs, "z");
	add_dir(r, fs, "a");
	add_dir(r, fs, "z/inner");
	for (int i = 0; i < 5; i++) {
		assert_int_equal(famfs_ns_readdir(fs->ns, 1, cookie, &d), 0);
		assert_int_equal(d.name_len, strlen(want[i]));
		assert_memory_equal(d.name, want[i], d.name_len);
		cookie = d.cookie;
	}
	last = cookie;
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, last, &d), -ENODATA);
	add_dir(r, fs, "m");
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, last, &d), 0);
	assert_memory_equal(d.name, "m", 1);
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, d.cookie, &d), -ENODATA);
	famfs_fs_free(fs);
	/* A cookie given out before a restart means the same after it. */
	fs = open_fs(r);
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, last, &d), 0);
	assert_memory_equal(d.name, "m", 1);
	famfs_fs_free(fs);
}

static void any_number_is_a_cookie(void **state)
{
	struct rig *r = *state;
	struct famfs_dirent d;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	add_dir(r, fs, "a"); /* cookie 4 */
	add_dir(r, fs, "a/x"); /* cookie 5, in another directory */
	add_dir(r, fs, "b"); /* cookie 6 */
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, 5, &d), 0);
	assert_memory_equal(d.name, "b", 1);
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, 6, &d), -ENODATA);
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, 7, &d), -ENODATA);
	assert_int_equal(famfs_ns_readdir(fs->ns, 1, UINT64_MAX, &d), -ENODATA);
	assert_int_equal(famfs_ns_readdir(fs->ns, FAMFS_NODEID_META, UINT64_MAX, &d), -ENODATA);
	assert_int_equal(famfs_ns_readdir(fs->ns, 99, 0, &d), -ENOENT);
	assert_int_equal(famfs_ns_readdir(fs->ns, FAMFS_NODEID_LOG, 0, &d), -ENOTDIR);
	famfs_fs_free(fs);
}

static void meta_is_there_with_fixed_ids(void **state)
{
	struct rig *r = *state;
	struct famfs_attr a;
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap m;
	struct famfs_dirent d;
	struct famfs_fs *fs;
	uint64_t cookie = 0;
	int n = 0;

	make(r);
	fs = open_fs(r);
	assert_int_equal(find(fs, ".meta"), FAMFS_NODEID_META);
	assert_int_equal(find(fs, ".meta/.superblock"), FAMFS_NODEID_SUPER);
	assert_int_equal(find(fs, ".meta/.log"), FAMFS_NODEID_LOG);
	assert_int_equal(find(fs, ".meta/nothing"), 0);
	assert_int_equal(famfs_ns_getattr(fs->ns, FAMFS_NODEID_SUPER, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0444);
	assert_int_equal(a.size, 2 * MIB);
	assert_false(famfs_fs_is_master(fs, r->p.uuid));
	assert_int_equal(famfs_ns_getattr(fs->ns, FAMFS_NODEID_LOG, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0444);
	assert_true(famfs_fs_is_master(fs, r->p.system_uuid));
	assert_int_equal(famfs_ns_getattr(fs->ns, FAMFS_NODEID_LOG, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0644);
	assert_int_equal(famfs_ns_fmap(fs->ns, FAMFS_NODEID_LOG, &m, room), 0);
	assert_int_equal(m.size, 8 * MIB);
	assert_int_equal(m.ext[0].offset, 2 * MIB);
	assert_int_equal(famfs_ns_fmap(fs->ns, FAMFS_NODEID_META, &m, room), -EISDIR);
	assert_int_equal(famfs_ns_fmap(fs->ns, FAMFS_NODEID_SUPER_N(1), &m, room), -ENOENT);
	while (!famfs_ns_readdir(fs->ns, FAMFS_NODEID_META, cookie, &d)) {
		cookie = d.cookie;
		n++;
	}
	assert_int_equal(n, 4);
	famfs_fs_free(fs);
}

static void attributes_come_from_the_log(void **state)
{
	struct rig *r = *state;
	char path[FAMFS_PATH_LEN];
	struct famfs_attr a;
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap m;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	add_dir(r, fs, "d");
	add_dir(r, fs, "d/e");
	add_file(r, fs, "d/e/f", 5 * MIB, NULL);
	assert_int_equal(famfs_ns_getattr(fs->ns, 1, &a), 0);
	assert_int_equal(a.mode, S_IFDIR | 0755);
	assert_int_equal(a.nlink, 4); /* ".", "..", .meta, d */
	assert_int_equal(famfs_ns_getattr(fs->ns, 2, &a), 0);
	assert_int_equal(a.nlink, 3);
	assert_int_equal(a.parent, 1);
	assert_int_equal(a.uid, 1);
	assert_int_equal(a.gid, 2);
	assert_int_equal(famfs_ns_getattr(fs->ns, 4, &a), 0);
	assert_int_equal(a.mode, S_IFREG | 0640);
	assert_int_equal(a.size, 5 * MIB);
	assert_int_equal(a.allocated, 6 * MIB);
	assert_int_equal(a.parent, 3);
	assert_int_equal(famfs_ns_path(fs->ns, 4, path, sizeof(path)), 0);
	assert_string_equal(path, "d/e/f");
	assert_int_equal(famfs_ns_path(fs->ns, 1, path, sizeof(path)), 0);
	assert_string_equal(path, "");
	assert_int_equal(famfs_ns_fmap(fs->ns, 3, &m, room), -EISDIR);
	assert_int_equal(famfs_ns_fmap(fs->ns, 5, &m, room), -ENOENT);
	assert_int_equal(famfs_ns_getattr(fs->ns, 0, &a), -ENOENT);
	assert_int_equal(famfs_ns_getattr(fs->ns, UINT64_MAX, &a), -ENOENT);
	assert_int_equal(famfs_ns_getattr(fs->ns, FAMFS_NODEID_RESERVED - 1, &a), -ENOENT);
	famfs_fs_free(fs);
}

static void lookup_tells_missing_from_not_a_directory(void **state)
{
	struct rig *r = *state;
	struct famfs_fs *fs;
	char name[256];
	uint64_t id;

	make(r);
	fs = open_fs(r);
	add_file(r, fs, "f", 1, NULL);
	memset(name, 'x', sizeof(name));
	assert_int_equal(famfs_ns_lookup(fs->ns, 1, "f", 1, &id), 0);
	assert_int_equal(id, 2);
	assert_int_equal(famfs_ns_lookup(fs->ns, 1, "g", 1, &id), -ENOENT);
	assert_int_equal(famfs_ns_lookup(fs->ns, 2, "x", 1, &id), -ENOTDIR);
	assert_int_equal(famfs_ns_lookup(fs->ns, 3, "x", 1, &id), -ENOENT);
	assert_int_equal(famfs_ns_lookup(fs->ns, FAMFS_NODEID_LOG, "x", 1, &id), -ENOTDIR);
	assert_int_equal(famfs_ns_lookup(fs->ns, 1, name, 255, &id), -ENOENT);
	assert_int_equal(famfs_ns_lookup(fs->ns, 1, name, 256, &id), -ENAMETOOLONG);
	famfs_fs_free(fs);
}

static void left_out_slots_have_no_node(void **state)
{
	struct rig *r = *state;
	struct famfs_media_entry raw;
	struct famfs_attr a;
	struct famfs_fs *fs;

	three_entries(r);
	raw = *slot(r, 2);
	raw.file.fmap.ext_type = htole32(7);
	force_entry(r, 2, &raw);
	strcpy((char *)raw.file.path, "d/c");
	raw.file.fmap.ext_type = 0;
	force_entry(r, 3, &raw);
	fs = open_fs(r);
	assert_int_equal(fs->skipped, 1);
	assert_int_equal(r->reports, 1);
	assert_int_equal(r->last_report.index, 2);
	assert_int_equal(famfs_ns_getattr(fs->ns, 4, &a), -ENOENT);
	assert_int_equal(find(fs, "d/c"), 5);
	famfs_fs_free(fs);
}

/* ---- mapping ---- */

static void interleaved_offsets_follow_the_formula(void **state)
{
	static const struct famfs_extent strips[] = {
		{ 5725224960, 4 * MIB, 0 },
		{ 20971520, 4 * MIB, 0 },
		{ 11450449920, 4 * MIB, 0 },
	};
	static const struct famfs_fmap m = { .size = 7344127,
					     .chunk = 2 * MIB,
					     .ext_type = FAMFS_EXT_INTERLEAVE,
					     .next = 3,
					     .ext = strips };
	/* The worked example of the format's description. */
	static const struct {
		uint64_t pos, offset;
	} cases[] = {
		{ 6291456, 5727322112 },
		{ 7344126, 5728374782 },
		{ 3000000, 21874368 },
	};
	uint64_t offset, len;
	uint32_t dev;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(famfs_fmap_resolve(&m, cases[i].pos, &dev, &offset, &len), 0);
		assert_int_equal(offset, cases[i].offset);
		assert_int_equal(dev, 0);
	}
	assert_int_equal(famfs_fmap_resolve(&m, 7344126, &dev, &offset, &len), 0);
	assert_int_equal(len, 1);
	assert_int_equal(famfs_fmap_resolve(&m, 7344127, &dev, &offset, &len), -ENXIO);
}

static void simple_extents_concatenate(void **state)
{
	static const struct famfs_extent ext[] = {
		{ 100 * MIB, 2 * MIB, 0 },
		{ 50 * MIB, 4 * MIB, 1 },
	};
	static const struct famfs_fmap m = {
		.size = 5 * MIB, .ext_type = FAMFS_EXT_SIMPLE, .next = 2, .ext = ext
	};
	uint64_t offset, len;
	uint32_t dev;

	(void)state;
	assert_int_equal(famfs_fmap_resolve(&m, 2 * MIB - 1, &dev, &offset, &len), 0);
	assert_int_equal(offset, 102 * MIB - 1);
	assert_int_equal(len, 1);
	assert_int_equal(famfs_fmap_resolve(&m, 2 * MIB, &dev, &offset, &len), 0);
	assert_int_equal(dev, 1);
	assert_int_equal(offset, 50 * MIB);
	assert_int_equal(len, 3 * MIB);
}

/* ---- allocation ---- */

static void contiguous_is_first_fit_in_2m_units(void **state)
{
	struct rig *r = *state;
	struct famfs_alloc_stats s;
	struct famfs_entry a, b, c;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	a = add_file(r, fs, "a", 1, NULL);
	b = add_file(r, fs, "b", 2 * MIB + 1, NULL);
	c = add_file(r, fs, "c", 2 * MIB, NULL);
	assert_int_equal(a.ext[0].offset, 10 * MIB);
	assert_int_equal(a.ext[0].len, 2 * MIB);
	assert_int_equal(b.ext[0].offset, 12 * MIB);
	assert_int_equal(b.ext[0].len, 4 * MIB);
	assert_int_equal(c.ext[0].offset, 16 * MIB);
	famfs_alloc_stats(fs->alloc, &s);
	assert_int_equal(s.used, 18 * MIB);
	assert_int_equal(s.collisions, 0);
	famfs_fs_free(fs);
}

static void device_fills_to_the_last_unit_and_not_beyond(void **state)
{
	struct rig *r = *state;
	struct famfs_entry e;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	e = file_entry("too-big", 16 * GIB - 10 * MIB + 1);
	assert_int_equal(famfs_fs_create(fs, &r->store, NULL, &e, &r->e), -ENOSPC);
	assert_string_equal(r->e.field, "space");
	e = add_file(r, fs, "all", 16 * GIB - 10 * MIB, NULL);
	assert_int_equal(e.ext[0].offset + e.ext[0].len, 16 * GIB);
	e = file_entry("one-more", 1);
	assert_int_equal(famfs_fs_create(fs, &r->store, NULL, &e, &r->e), -ENOSPC);
	famfs_fs_free(fs);
}

static void partial_last_unit_is_never_given_out(void **state)
{
	struct famfs_super sb = { .alloc_unit = 2 * MIB,
				  .log_len = 8 * MIB,
				  .dev_size = 4 * GIB + 4096 };
	struct famfs_entry e = { .size = 4 * GIB - 8 * MIB };
	struct famfs_alloc_stats s;
	struct famfs_alloc *alloc;
	struct famfs_devs devs;

	(void)state;
	famfs_devs_init(&devs, &sb);
	assert_int_equal(famfs_alloc_new(&devs, &alloc), 0);
	famfs_alloc_stats(alloc, &s);
	assert_int_equal(s.bitmap, 4 * GIB + 2 * MIB);
	assert_int_equal(famfs_alloc_find(alloc, NULL, &e), -ENOSPC);
	e.size = 4 * GIB - 10 * MIB;
	assert_int_equal(famfs_alloc_find(alloc, NULL, &e), 0);
	famfs_alloc_free(alloc);
}

static void size_0_and_size_above_2_to_63_are_refused(void **state)
{
	struct rig *r = *state;
	struct famfs_entry e;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	e = file_entry("zero", 0);
	assert_int_equal(famfs_fs_create(fs, &r->store, NULL, &e, &r->e), -EINVAL);
	e = file_entry("huge", UINT64_MAX);
	assert_int_equal(famfs_fs_create(fs, &r->store, NULL, &e, &r->e), -ENOSPC);
	famfs_fs_free(fs);
}

static void space_of_left_out_entries_stays_taken(void **state)
{
	struct rig *r = *state;
	struct famfs_media_entry raw;
	struct famfs_entry e;
	struct famfs_fs *fs;

	three_entries(r); /* d/b at 12 MiB */
	raw = *slot(r, 2);
	raw.file.path[0] = '/';
	force_entry(r, 2, &raw);
	fs = open_fs(r);
	assert_int_equal(fs->skipped, 1);
	e = add_file(r, fs, "c", 1, NULL);
	assert_int_equal(e.ext[0].offset, 14 * MIB);
	famfs_fs_free(fs);
}

static void small_alloc_unit_never_gives_overlapping_space(void **state)
{
	struct famfs_super sb = { .alloc_unit = 4096, .log_len = 8 * MIB, .dev_size = 4 * GIB };
	struct famfs_media_entry raw = { 0 };
	struct famfs_entry a = { .size = 1 }, b = { .size = 4097 };
	struct famfs_alloc *alloc;
	struct famfs_devs devs;

	(void)state;
	famfs_devs_init(&devs, &sb);
	assert_int_equal(famfs_alloc_new(&devs, &alloc), 0);
	/* A single page of somebody else in the middle of a 2 MiB unit. */
	raw.file.fmap.nextents = htole32(1);
	raw.file.fmap.simple[0].offset = htole64(10 * MIB + 8192);
	raw.file.fmap.simple[0].len = htole64(4096);
	famfs_alloc_mark(alloc, &raw);
	assert_int_equal(famfs_alloc_find(alloc, NULL, &a), 0);
	assert_int_equal(a.ext[0].offset, 12 * MIB);
	raw.file.fmap.simple[0].offset = htole64(12 * MIB);
	raw.file.fmap.simple[0].len = htole64(2 * MIB);
	famfs_alloc_mark(alloc, &raw);
	assert_int_equal(famfs_alloc_find(alloc, NULL, &b), 0);
	assert_int_equal(b.ext[0].offset, 14 * MIB);
	famfs_alloc_free(alloc);
}

static void mark_survives_every_extent_that_lies(void **state)
{
	static const struct {
		uint64_t dev, off, len;
		uint64_t collisions;
	} cases[] = {
		{ 0, 0, 2 * MIB, 1 }, /* superblock */
		{ 0, 4 * MIB, 2 * MIB, 1 }, /* log */
		{ 0, UINT64_MAX - 2 * MIB, 4 * MIB, 0 }, /* wraps */
		{ 0, 12 * MIB, UINT64_MAX, 0 }, /* to the end and on */
		{ 0, 1ULL << 40, 2 * MIB, 1 - 1 },
		{ 1, 12 * MIB, 2 * MIB, 0 },
		{ UINT64_MAX, 12 * MIB, 2 * MIB, 0 },
		{ 0, 12 * MIB + 1, 1, 0 },
		{ 0, 12 * MIB, 0, 0 },
	};
	struct famfs_super sb = { .alloc_unit = 2 * MIB, .log_len = 8 * MIB, .dev_size = 4 * GIB };
	struct famfs_alloc_stats s;
	struct famfs_devs devs;

	(void)state;
	famfs_devs_init(&devs, &sb);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct famfs_media_entry raw = { 0 };
		struct famfs_alloc *alloc;

		assert_int_equal(famfs_alloc_new(&devs, &alloc), 0);
		raw.file.fmap.nextents = htole32(1);
		raw.file.fmap.simple[0].devindex = htole64(cases[i].dev);
		raw.file.fmap.simple[0].offset = htole64(cases[i].off);
		raw.file.fmap.simple[0].len = htole64(cases[i].len);
		famfs_alloc_mark(alloc, &raw);
		raw.file.fmap.nextents = htole32(0xffffffff);
		raw.file.fmap.simple[0].len = 0;
		famfs_alloc_mark(alloc, &raw);
		famfs_alloc_stats(alloc, &s);
		assert_int_equal(s.collisions, cases[i].collisions);
		famfs_alloc_free(alloc);
	}
}

static void claims_without_end_are_counted_and_end_allocation(void **state)
{
	struct famfs_super sb = { .alloc_unit = 2 * MIB, .log_len = 8 * MIB, .dev_size = 4 * GIB };
	struct famfs_media_entry raw = { 0 };
	struct famfs_entry e = { .size = 1 };
	struct famfs_alloc_stats s;
	struct famfs_alloc *alloc;
	struct famfs_devs devs;
	uint64_t n = 3 * GIB / (2 * MIB);

	(void)state;
	famfs_devs_init(&devs, &sb);
	assert_int_equal(famfs_alloc_new(&devs, &alloc), 0);
	raw.file.fmap.nextents = htole32(1);
	raw.file.fmap.simple[0].offset = htole64(GIB);
	raw.file.fmap.simple[0].len = htole64(3 * GIB);
	for (int i = 0; i < 21; i++)
		famfs_alloc_mark(alloc, &raw);
	assert_int_equal(famfs_alloc_find(alloc, NULL, &e), 0);
	for (int i = 0; i < 100; i++)
		famfs_alloc_mark(alloc, &raw);
	famfs_alloc_stats(alloc, &s);
	assert_int_equal(s.collisions, 120 * n);
	assert_int_equal(famfs_alloc_find(alloc, NULL, &e), -EUCLEAN);
	famfs_alloc_free(alloc);
}

static void layout_rules(void **state)
{
	static const struct {
		struct famfs_layout l;
		bool ok;
	} cases[] = {
		{ { 2 * MIB, 1, 1, 0 }, true },	   { { 2 * MIB, 16, 16, 0 }, true },
		{ { 4 * MIB, 3, 8, 0 }, true },	   { { 2 * MIB, 0, 8, 0 }, false },
		{ { 2 * MIB, 17, 17, 0 }, false }, { { 2 * MIB, 4, 3, 0 }, false },
		{ { 2 * MIB, 4, 0, 0 }, false },   { { 2 * MIB, 4, 65, 0 }, false },
		{ { 2 * MIB, 4, 17, 0 }, false }, /* less than 1 GiB each */
		{ { 6 * MIB, 4, 8, 0 }, false },   { { 4096, 4, 8, 0 }, false },
		{ { 0, 4, 8, 0 }, false },	   { { 1ULL << 63, 2, 8, 0 }, false },
	};
	struct rig *r = *state;
	struct famfs_fs *fs;
	char msg[160];

	make(r);
	fs = open_fs(r);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct famfs_entry e = file_entry("x", 64 * MIB);

		msg[0] = '\0';
		assert_int_equal(!famfs_alloc_check_layout(fs->alloc, &cases[i].l, msg,
							   sizeof(msg)),
				 cases[i].ok);
		assert_int_equal(msg[0] == '\0', cases[i].ok);
		assert_int_equal(!famfs_alloc_find(fs->alloc, &cases[i].l, &e), cases[i].ok);
	}
	famfs_fs_free(fs);
}

static void each_strip_has_its_own_bucket(void **state)
{
	struct famfs_layout l = { 2 * MIB, 6, 16, 1 };
	struct rig *r = *state;
	struct famfs_entry e;
	struct famfs_fs *fs;
	bool seen[16] = { false };

	make(r);
	fs = open_fs(r);
	e = add_file(r, fs, "s", 50 * MIB, &l);
	assert_int_equal(e.ext_type, FAMFS_EXT_INTERLEAVE);
	assert_int_equal(e.next, 6);
	assert_int_equal(e.chunk, 2 * MIB);
	for (uint32_t i = 0; i < 6; i++) {
		uint64_t bucket = e.ext[i].offset / GIB;

		assert_int_equal(e.ext[i].len, 10 * MIB); /* ceil(25 / 6) chunks */
		assert_false(seen[bucket]);
		seen[bucket] = true;
		assert_in_range(e.ext[i].offset + e.ext[i].len, 0, (bucket + 1) * GIB);
	}
	famfs_fs_free(fs);
}

static void same_seed_gives_the_same_place(void **state)
{
	struct rig *r = *state;
	struct famfs_entry a = file_entry("a", 40 * MIB), b = a, c = a;
	struct famfs_layout l = { 2 * MIB, 5, 16, 7 };
	struct famfs_fs *fs;
	bool differs = false;

	make(r);
	fs = open_fs(r);
	assert_int_equal(famfs_alloc_find(fs->alloc, &l, &a), 0);
	assert_int_equal(famfs_alloc_find(fs->alloc, &l, &b), 0);
	assert_memory_equal(a.ext, b.ext, sizeof(a.ext));
	for (l.seed = 8; l.seed < 16 && !differs; l.seed++) {
		assert_int_equal(famfs_alloc_find(fs->alloc, &l, &c), 0);
		differs = memcmp(a.ext, c.ext, sizeof(a.ext)) != 0;
	}
	assert_true(differs);
	famfs_fs_free(fs);
}

static void file_below_one_chunk_is_contiguous(void **state)
{
	struct famfs_layout l = { 4 * MIB, 4, 8, 0 };
	struct rig *r = *state;
	struct famfs_entry e;
	struct famfs_fs *fs;

	make(r);
	fs = open_fs(r);
	e = add_file(r, fs, "a", 4 * MIB - 1, &l);
	assert_int_equal(e.ext_type, FAMFS_EXT_SIMPLE);
	assert_int_equal(e.next, 1);
	e = add_file(r, fs, "b", 4 * MIB, &l);
	assert_int_equal(e.ext_type, FAMFS_EXT_INTERLEAVE);
	famfs_fs_free(fs);
}

static void strips_go_round_the_devices(void **state)
{
	struct famfs_layout l = { 2 * MIB, 10, 12, 3 };
	struct rig *r = *state;
	uint8_t second[200];
	struct famfs_alloc_stats s;
	struct famfs_bucket_stats b;
	struct famfs_entry e;
	struct famfs_fs *fs;

	make_multi(r, second); /* 16, 8 and 4 GiB: four buckets each */
	fs = open_fs(r);
	e = add_file(r, fs, "s", 100 * MIB, &l);
	assert_int_equal(e.next, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(e.ext[i].devindex, i % 3);
	famfs_alloc_stats(fs->alloc, &s);
	assert_int_equal(s.capacity, 28 * GIB);
	assert_int_equal(s.used, 10 * MIB + 2 * 2 * MIB + 10 * 10 * MIB);
	assert_int_equal(s.collisions, 0);
	assert_int_equal(famfs_alloc_bucket_stats(fs->alloc, 12, 3, &b), 0);
	assert_int_equal(b.devindex, 0);
	assert_int_equal(b.size, 4 * GIB);
	assert_int_equal(famfs_alloc_bucket_stats(fs->alloc, 12, 4, &b), 0);
	assert_int_equal(b.devindex, 1);
	assert_int_equal(b.size, 2 * GIB);
	assert_int_equal(famfs_alloc_bucket_stats(fs->alloc, 12, 11, &b), 0);
	assert_int_equal(b.devindex, 2);
	assert_int_equal(famfs_alloc_bucket_stats(fs->alloc, 12, 12, &b), -EINVAL);
	famfs_fs_free(fs);
}

static void full_primary_overflows_to_the_next_device(void **state)
{
	struct rig *r = *state;
	uint8_t second[200];
	struct famfs_entry e;
	struct famfs_fs *fs;

	make_multi(r, second);
	fs = open_fs(r);
	add_file(r, fs, "all", 16 * GIB - 10 * MIB, NULL);
	e = add_file(r, fs, "more", 1, NULL);
	assert_int_equal(e.ext[0].devindex, 1);
	assert_int_equal(e.ext[0].offset, 2 * MIB);
	famfs_fs_free(fs);
	fs = open_fs(r);
	assert_int_equal(fs->skipped, 0);
	famfs_fs_free(fs);
}

static void random_files_never_overlap(void **state)
{
	struct rig *r = *state;
	struct famfs_alloc_stats s;
	struct famfs_fs *fs;
	uint8_t second[200];
	uint64_t seed = 1;
	char name[24];

	make_multi(r, second);
	fs = open_fs(r);
	for (int i = 0; i < 500; i++) {
		struct famfs_layout l = { (2 * MIB) << (i % 3), 1 + (uint32_t)i % 10,
					  10 + (uint32_t)i % 3, seed };

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		snprintf(name, sizeof(name), "f%d", i);
		add_file(r, fs, name, 1 + seed % (40 * MIB), i % 4 ? &l : NULL);
	}
	famfs_alloc_stats(fs->alloc, &s);
	assert_int_equal(s.collisions, 0);
	famfs_fs_free(fs);
	fs = open_fs(r);
	famfs_alloc_stats(fs->alloc, &s);
	assert_int_equal(s.collisions, 0);
	assert_int_equal(fs->skipped, 0);
	famfs_fs_free(fs);
}

/* ---- fsck ---- */

static char *report_of(struct rig *r, const struct famfs_fsck_options *opt, int64_t *ret_collisions)
{
	struct famfs_fs *fs = open_flags(r, FAMFS_OPEN_ALLOC | FAMFS_OPEN_SCAN);
	size_t size;
	char *text;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	*ret_collisions = famfs_fsck_print(fs, opt, f);
	fclose(f);
	famfs_fs_free(fs);
	return text;
}

static void fsck_prints_the_lines_that_scripts_parse(void **state)
{
	struct famfs_fsck_options opt = { .role = "Owner" };
	struct rig *r = *state;
	int64_t collisions;
	char *text;

	three_entries(r);
	text = report_of(r, &opt, &collisions);
	assert_int_equal(collisions, 0);
	assert_non_null(strstr(text, "\n  Device capacity:        17179869184\n"));
	assert_non_null(strstr(text, "\n  Free space:             17165189120\n"));
	assert_non_null(strstr(text, "\n  role of this node: Owner\n"));
	assert_non_null(strstr(text, "\n  # of log entries in use: 3 of 15420\n"));
	assert_non_null(strstr(text, "\nNo allocation errors found\n"));
	assert_non_null(strstr(text, "\n  2 files\n  1 directories\n"));
	assert_null(strstr(text, "log_len"));
	free(text);
	opt.verbose = true;
	opt.nbuckets = 4;
	text = report_of(r, &opt, &collisions);
	assert_non_null(strstr(text, "\n  log_len:           8388608\n"));
	assert_null(strstr(strstr(text, "log_len") + 1, "log_len"));
	assert_non_null(strstr(text, "Bitmap range 3:"));
	free(text);
	opt.human = true;
	text = report_of(r, &opt, &collisions);
	assert_non_null(strstr(text, "\n  Device capacity:        16.00G\n"));
	assert_non_null(strstr(text, "Allocated space:"));
	free(text);
}

static void fsck_counts_collisions_and_omits_capacity(void **state)
{
	struct famfs_fsck_options opt = { 0 };
	struct rig *r = *state;
	struct famfs_media_entry raw;
	int64_t collisions;
	char *text;

	three_entries(r);
	raw = *slot(r, 2);
	strcpy((char *)raw.file.path, "d/twin");
	force_entry(r, 3, &raw);
	text = report_of(r, &opt, &collisions);
	assert_int_equal(collisions, 1);
	assert_non_null(strstr(text, "ERROR: 1 ALLOCATION COLLISIONS FOUND\n"));
	assert_null(strstr(text, "Capacity:"));
	free(text);
}

static void fsck_counts_bad_entries(void **state)
{
	struct famfs_fsck_options opt = { 0 };
	struct rig *r = *state;
	int64_t collisions;
	char *text;

	three_entries(r);
	slot(r, 1)->crc ^= htole64(1);
	text = report_of(r, &opt, &collisions);
	assert_int_equal(collisions, 0);
	assert_non_null(strstr(text, "\n  1 bad log entries detected\n"));
	free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(mkfs_checks_log_length_and_device_size),
		TEST(mkfs_does_not_overwrite_unless_forced),
		TEST(mkfs_of_a_used_device_leaves_nothing_of_its_earlier_life),
		TEST(mkfs_interrupted_anywhere_leaves_no_file_system),
		TEST(mkfs_with_further_devices_writes_table_and_secondaries),
		TEST(append_flushes_the_entry_before_the_index_names_it),
		TEST(append_whose_entry_does_not_reach_media_is_invisible),
		TEST(append_refuses_what_play_would_leave_out),
		TEST(append_fills_the_log_to_its_last_slot),
		TEST(append_refuses_a_log_with_index_words_apart),
		TEST(append_does_again_what_was_interrupted_between_the_index_words),
		TEST(append_plays_what_another_process_appended_first),
		TEST(append_of_a_device_makes_it_usable),
		TEST(bad_entry_refuses_all_unless_recover),
		TEST(prefix_has_what_comes_before_a_bad_entry),
		TEST(entries_before_one_that_cannot_be_read_are_played),
		TEST(scan_goes_on_past_bad_entries_and_counts_them),
		TEST(delete_refuses_and_invalid_is_left_out),
		TEST(index_seen_before_the_entry_is_tried_again),
		TEST(stale_cache_lines_of_an_entry_are_dropped_once),
		TEST(read_errors_are_passed_on_even_with_recover),
		TEST(another_file_system_underneath_is_stale),
		TEST(log_that_shrinks_is_stale),
		TEST(readdir_is_in_log_order_and_cookies_survive_appends),
		TEST(any_number_is_a_cookie),
		TEST(meta_is_there_with_fixed_ids),
		TEST(attributes_come_from_the_log),
		TEST(lookup_tells_missing_from_not_a_directory),
		TEST(left_out_slots_have_no_node),
		TEST(interleaved_offsets_follow_the_formula),
		TEST(simple_extents_concatenate),
		TEST(contiguous_is_first_fit_in_2m_units),
		TEST(device_fills_to_the_last_unit_and_not_beyond),
		TEST(partial_last_unit_is_never_given_out),
		TEST(size_0_and_size_above_2_to_63_are_refused),
		TEST(space_of_left_out_entries_stays_taken),
		TEST(small_alloc_unit_never_gives_overlapping_space),
		TEST(mark_survives_every_extent_that_lies),
		TEST(claims_without_end_are_counted_and_end_allocation),
		TEST(layout_rules),
		TEST(each_strip_has_its_own_bucket),
		TEST(same_seed_gives_the_same_place),
		TEST(file_below_one_chunk_is_contiguous),
		TEST(strips_go_round_the_devices),
		TEST(full_primary_overflows_to_the_next_device),
		TEST(random_files_never_overlap),
		TEST(fsck_prints_the_lines_that_scripts_parse),
		TEST(fsck_counts_collisions_and_omits_capacity),
		TEST(fsck_counts_bad_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
