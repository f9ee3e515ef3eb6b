// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoders and encoders against literal bytes: what the real famfs wrote must
 * decode to known values and encode back byte for byte, and each rule of the
 * decoders is one row of a table: one change to good bytes, the refusal it has
 * to give, and the field and device offset that the refusal has to name.
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
#include <unistd.h>

#include "famfs_media.h"
#include "media_i.h"

#define MIB 0x100000ULL
#define GIB 0x40000000ULL

/* ---- bytes written by the real famfs ---- */

struct piece {
	size_t off;
	const char *hex;
};

/* clang-format off */
/* Superblock of a 4 GiB device; what is not listed is zero. */
static const struct piece super_bytes[] = {
	{ 0, "ff82b2870000000030" },
	{ 18, "2000000000000000800000000000000020000000000002000000"
	      "02000000dc8720d55bba4e51a8f13755fa8d26133b76bd15a2d4"
	      "43c39987236114f3ee960f1e2d3c4b5a49788796a5b4c3d2e1f0"
	      "4ed22cec" },
	{ 116, "01" },
	{ 136, "2f6465762f646178302e30" },
	{ 0 },
};

static const struct piece header_bytes[] = {
	{ 0, "0df0fecaad0b000000008000000000003b3c000000000000785087a500000000"
	     "1c000000000000001c" },
	{ 0 },
};

/* Slot 2: MKDIR d1/d2, 0750, 1000:1001. */
static const struct piece mkdir_bytes[] = {
	{ 0, "02000000000000000100000000000000e8030000e9030000e801000064312f6432" },
	{ 536, "0f04abc6" },
	{ 0 },
};

/* Slot 12: FILE m2m1, 2 MiB - 1, 0644, 12:34, one extent at 24 MiB. */
static const struct piece file_bytes[] = {
	{ 0, "0c" },	     { 16, "ffff1f0000000000020000000c00000022000000a40100006d326d31" },
	{ 128, "01" },	     { 146, "800100000000000020" },
	{ 536, "6a4875c2" }, { 0 },
};

/* Slot 5: FILE il/n3c2_7m, 7344127 bytes over 3 strips, chunk 2 MiB. */
static const struct piece striped_bytes[] = {
	{ 0, "05" },
	{ 16, "ff0f70000000000002000000e8030000e8030000a4010000"
	      "696c2f6e3363325f376d" },
	{ 120, "0100000000000000010000000000000003" },
	{ 146, "20" },
	{ 162, "405501000000000040" },
	{ 186, "400100000000000040" },
	{ 210, "80aa02000000000040" },
	{ 536, "8747b328" },
	{ 0 },
};

/* Slot 2: ADD_DAXDEV 1, 4 GiB. */
static const struct piece daxdev_bytes[] = {
	{ 0, "020000000000000003" },
	{ 20, "010000001111111122224333844455555555550101" },
	{ 536, "6da9f8d6" },
	{ 0 },
};
/* clang-format on */

static void put_pieces(void *buf, size_t size, const struct piece *p)
{
	memset(buf, 0, size);
	for (; p->hex; p++) {
		for (size_t i = 0; p->hex[2 * i]; i++) {
			unsigned int byte;

			assert_int_equal(sscanf(p->hex + 2 * i, "%2x", &byte), 1);
			assert_true(p->off + i < size);
			((uint8_t *)buf)[p->off + i] = (uint8_t)byte;
		}
	}
}

/* ---- context that entries are decoded in ---- */

static void make_devs(struct famfs_devs *devs, uint64_t size, uint64_t alloc_unit)
{
	struct famfs_super sb = {
		.alloc_unit = alloc_unit,
		.log_len = 8 * MIB,
		.dev_size = size,
		.dev_uuid = { 1, 2, 3 },
	};

	famfs_devs_init(devs, &sb);
}

static void assert_no_gap(const struct famfs_error *e, const char *device)
{
	char text[FAMFS_ERROR_TEXT_MAX];

	famfs_error_text(e, text, sizeof(text));
	assert_non_null(strstr(text, device));
	assert_non_null(strstr(text, e->field));
	assert_true(e->field[0] && e->found[0] && e->expected[0]);
	assert_non_null(strstr(text, e->found));
	assert_non_null(strstr(text, e->expected));
}

/* ---- values ---- */

static void super_of_real_famfs_decodes_and_encodes_back(void **state)
{
	uint8_t raw[200];
	struct famfs_media_super again;
	struct famfs_super sb;
	struct famfs_error e;

	(void)state;
	put_pieces(raw, sizeof(raw), super_bytes);
	assert_int_equal(famfs_super_decode(raw, sizeof(raw), "d", 4 * GIB, &sb, &e), 0);
	assert_int_equal(sb.version, 48);
	assert_int_equal(sb.log_offset, 2 * MIB);
	assert_int_equal(sb.log_len, 8 * MIB);
	assert_int_equal(sb.alloc_unit, 2 * MIB);
	assert_int_equal(sb.omf_major, 2);
	assert_int_equal(sb.omf_minor, 2);
	assert_int_equal(sb.uuid[0], 0xdc);
	assert_int_equal(sb.dev_uuid[0], 0x3b);
	assert_int_equal(sb.system_uuid[15], 0xf0);
	assert_int_equal(sb.dev_size, 4 * GIB);
	assert_string_equal(sb.dev_name, "/dev/dax0.0");
	assert_false(sb.secondary);
	famfs_super_encode(&sb, &again);
	assert_memory_equal(&again, raw, sizeof(raw));
}

static void header_of_real_famfs_decodes_and_encodes_back(void **state)
{
	struct famfs_super sb = { .log_len = 8 * MIB };
	struct famfs_media_log_header again;
	struct famfs_log_header h;
	struct famfs_error e;
	uint8_t raw[48];

	(void)state;
	put_pieces(raw, sizeof(raw), header_bytes);
	assert_int_equal(famfs_log_header_decode(raw, sizeof(raw), "d", &sb, &h, &e), 0);
	assert_int_equal(h.slots, 15420);
	assert_int_equal(h.next_index, 28);
	assert_int_equal(h.next_seqnum, 28);
	famfs_log_header_encode(8 * MIB, 28, &again);
	assert_memory_equal(&again, raw, sizeof(raw));
}

static void decode_and_back(const struct piece *pieces, uint64_t index, uint64_t dev_size,
			    struct famfs_entry *ret)
{
	struct famfs_media_entry raw, again;
	struct famfs_devs devs;
	struct famfs_error e;

	put_pieces(&raw, sizeof(raw), pieces);
	make_devs(&devs, dev_size, 2 * MIB);
	assert_int_equal(famfs_entry_decode(&raw, "d", index, &devs, ret, &e), 0);
	assert_int_equal(famfs_entry_encode(ret, "d", &devs, &again, &e), 0);
	assert_memory_equal(&again, &raw, sizeof(raw));
}

static void mkdir_of_real_famfs_decodes_and_encodes_back(void **state)
{
	struct famfs_entry entry;

	(void)state;
	decode_and_back(mkdir_bytes, 2, 4 * GIB, &entry);
	assert_int_equal(entry.type, FAMFS_ENTRY_MKDIR);
	assert_string_equal(entry.path, "d1/d2");
	assert_int_equal(entry.path_len, 5);
	assert_int_equal(entry.mode, 0750);
	assert_int_equal(entry.uid, 1000);
	assert_int_equal(entry.gid, 1001);
}

static void file_of_real_famfs_decodes_and_encodes_back(void **state)
{
	struct famfs_entry entry;

	(void)state;
	decode_and_back(file_bytes, 12, 4 * GIB, &entry);
	assert_int_equal(entry.type, FAMFS_ENTRY_FILE);
	assert_string_equal(entry.path, "m2m1");
	assert_int_equal(entry.size, 2 * MIB - 1);
	assert_int_equal(entry.mode, 0644);
	assert_int_equal(entry.uid, 12);
	assert_int_equal(entry.gid, 34);
	assert_int_equal(entry.flags, FAMFS_FILE_ALL_HOSTS_RW);
	assert_int_equal(entry.ext_type, FAMFS_EXT_SIMPLE);
	assert_int_equal(entry.next, 1);
	assert_int_equal(entry.ext[0].devindex, 0);
	assert_int_equal(entry.ext[0].offset, 24 * MIB);
	assert_int_equal(entry.ext[0].len, 2 * MIB);
}

static void striped_file_of_real_famfs_decodes_and_encodes_back(void **state)
{
	struct famfs_entry entry;

	(void)state;
	decode_and_back(striped_bytes, 5, 16 * GIB, &entry);
	assert_int_equal(entry.ext_type, FAMFS_EXT_INTERLEAVE);
	assert_int_equal(entry.chunk, 2 * MIB);
	assert_int_equal(entry.next, 3);
	assert_int_equal(entry.size, 7344127);
	assert_int_equal(entry.ext[0].offset, 5725224960);
	assert_int_equal(entry.ext[1].offset, 20971520);
	assert_int_equal(entry.ext[2].offset, 11450449920);
	assert_int_equal(entry.ext[2].len, 4 * MIB);
}

static void add_daxdev_of_real_famfs_decodes_and_encodes_back(void **state)
{
	struct famfs_entry entry;

	(void)state;
	decode_and_back(daxdev_bytes, 2, 4 * GIB, &entry);
	assert_int_equal(entry.type, FAMFS_ENTRY_ADD_DAXDEV);
	assert_int_equal(entry.dd_index, 1);
	assert_int_equal(entry.dd_size, 4 * GIB);
	assert_int_equal(entry.dd_uuid[15], 0x01);
}

static void padding_and_bytes_behind_the_path_carry_no_meaning(void **state)
{
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	put_pieces(&raw, sizeof(raw), file_bytes);
	raw.pad = htole32(0xdeadbeef);
	memcpy(raw.file.path + 6, "tail", 4);
	raw.crc = htole64(famfs_crc32(&raw, FAMFS_ENTRY_CRC_LEN));
	make_devs(&devs, 4 * GIB, 2 * MIB);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), 0);
	assert_string_equal(entry.path, "m2m1");
}

static void mode_is_masked_to_permissions(void **state)
{
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	put_pieces(&raw, sizeof(raw), file_bytes);
	raw.file.mode = htole32(0140755);
	raw.crc = htole64(famfs_crc32(&raw, FAMFS_ENTRY_CRC_LEN));
	make_devs(&devs, 4 * GIB, 2 * MIB);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), 0);
	assert_int_equal(entry.mode, 0755);
}

/* ---- superblock rules ---- */

struct super_rule {
	const char *name;
	size_t off; /* of the change */
	uint8_t width;
	uint64_t value;
	uint64_t dev_size; /* 0: 4 GiB */
	bool keep_crc;
	int err;
	const char *field;
	uint64_t err_off;
};

#define SB(f) offsetof(struct famfs_media_super, f)

/* clang-format off: one rule a row */
static const struct super_rule super_rules[] = {
	{ "super_rejects_other_magic", SB(ts_magic), 8, 0x87b282fe, 0, false, -ENODATA, "ts_magic",
	  0x0 },
	{ "super_rejects_killed_magic", SB(ts_magic), 8, 0, 0, false, -ENODATA, "ts_magic", 0x0 },
	{ "super_rejects_version_47", SB(ts_version), 8, 47, 0, false, -EOPNOTSUPP, "ts_version",
	  0x8 },
	{ "super_rejects_version_49", SB(ts_version), 8, 49, 0, false, -EOPNOTSUPP, "ts_version",
	  0x8 },
	{ "super_rejects_version_beyond_32_bits", SB(ts_version), 8, 48 | 1ULL << 32, 0, false,
	  -EOPNOTSUPP, "ts_version", 0x8 },
	{ "super_rejects_wrong_crc", SB(ts_uuid), 1, 0xdd, 0, true, -EBADMSG, "crc", 0x60 },
	{ "super_compares_crc_as_64_bits", SB(ts_crc) + 4, 4, 1, 0, true, -EBADMSG, "crc", 0x60 },
	{ "super_rejects_omf_major_3", SB(ts_omf_ver_major), 4, 3, 0, false, -EOPNOTSUPP,
	  "ts_omf_ver_major", 0x28 },
	{ "super_accepts_omf_minor_99", SB(ts_omf_ver_minor), 4, 99, 0, false, 0, NULL, 0 },
	{ "super_rejects_alloc_unit_8192", SB(ts_alloc_unit), 8, 8192, 0, false, -EUCLEAN,
	  "ts_alloc_unit", 0x20 },
	{ "super_rejects_alloc_unit_0", SB(ts_alloc_unit), 8, 0, 0, false, -EUCLEAN,
	  "ts_alloc_unit", 0x20 },
	{ "super_accepts_alloc_unit_4096", SB(ts_alloc_unit), 8, 4096, 0, false, 0, NULL, 0 },
	{ "super_rejects_log_offset_0", SB(ts_log_offset), 8, 0, 0, false, -EUCLEAN,
	  "ts_log_offset", 0x10 },
	{ "super_rejects_log_len_0", SB(ts_log_len), 8, 0, 0, false, -EUCLEAN, "ts_log_len", 0x18 },
	{ "super_rejects_log_len_below_8m", SB(ts_log_len), 8, 4 * MIB, 0, false, -EUCLEAN,
	  "ts_log_len", 0x18 },
	{ "super_rejects_log_len_not_power_of_two", SB(ts_log_len), 8, 10 * MIB, 0, false, -EUCLEAN,
	  "ts_log_len", 0x18 },
	{ "super_accepts_log_len_1g", SB(ts_log_len), 8, GIB, 0, false, 0, NULL, 0 },
	{ "super_names_the_limit_above_1g", SB(ts_log_len), 8, 2 * GIB, 0, false, -E2BIG,
	  "ts_log_len", 0x18 },
	{ "super_rejects_log_len_2_to_63", SB(ts_log_len), 8, 1ULL << 63, 0, false, -E2BIG,
	  "ts_log_len", 0x18 },
	{ "super_rejects_dd_size_above_device", SB(ts_daxdev.dd_size), 8, 64 * GIB, 0, true,
	  -EUCLEAN, "dd_size", 0x70 },
	{ "super_rejects_dd_size_below_4g", SB(ts_daxdev.dd_size), 8, 16 * MIB, 0, true, -EUCLEAN,
	  "dd_size", 0x70 },
	{ "super_names_the_limit_of_units", SB(ts_daxdev.dd_size), 8, UINT64_MAX,
	  FAMFS_SIZE_UNKNOWN, true, -E2BIG, "dd_size", 0x70 },
	{ "super_accepts_a_larger_device", SB(ts_sb_flags), 4, 0, 5 * GIB, true, 0, NULL, 0 },
	{ "super_accepts_unknown_device_size", SB(ts_sb_flags), 4, 0, FAMFS_SIZE_UNKNOWN, true, 0,
	  NULL, 0 },
	{ "super_rejects_device_below_a_superblock", SB(ts_sb_flags), 4, 0, 199, true, -EUCLEAN,
	  "size", 0x0 },
	{ "super_rejects_device_below_the_log", SB(ts_sb_flags), 4, 0, 10 * MIB - 1, true, -EUCLEAN,
	  "size", 0x0 },
	{ "super_ignores_unknown_flags", SB(ts_sb_flags), 4, 0x80000000, 0, true, 0, NULL, 0 },
	{ "super_ignores_a_stale_secondary_flag", SB(ts_sb_flags), 4, FAMFS_SUPER_SECONDARY, 0,
	  true, 0, NULL, 0 },
};
/* clang-format on */

static void put_le(uint8_t *p, uint8_t width, uint64_t value)
{
	for (uint8_t i = 0; i < width; i++, value >>= 8)
		p[i] = (uint8_t)value;
}

static void check_super_rule(void **state)
{
	const struct super_rule *r = *state;
	struct famfs_media_super raw;
	struct famfs_super sb = { .version = 12345 };
	struct famfs_error e = { .err = 12345 };
	uint64_t dev_size = r->dev_size ? r->dev_size : 4 * GIB;
	int err;

	put_pieces(&raw, sizeof(raw), super_bytes);
	put_le((uint8_t *)&raw + r->off, r->width, r->value);
	if (!r->keep_crc)
		raw.ts_crc = htole64(famfs_crc32(&raw, FAMFS_SUPER_CRC_LEN));
	err = famfs_super_decode(&raw, sizeof(raw), "/dev/dax9.9", dev_size, &sb, &e);
	assert_int_equal(err, r->err);
	if (!r->err) {
		assert_int_equal(sb.version, 48);
		assert_false(sb.secondary);
		return;
	}
	assert_int_equal(sb.version, 12345); /* outputs only on success */
	assert_int_equal(e.err, r->err);
	assert_int_equal(e.verdict, FAMFS_REFUSE);
	assert_string_equal(e.field, r->field);
	assert_int_equal(e.offset, r->err_off);
	assert_no_gap(&e, "/dev/dax9.9");
}

static void version_47_says_what_to_do(void **state)
{
	char text[FAMFS_ERROR_TEXT_MAX];
	struct famfs_media_super raw;
	struct famfs_super sb;
	struct famfs_error e;

	(void)state;
	put_pieces(&raw, sizeof(raw), super_bytes);
	raw.ts_version = htole64(47);
	assert_int_not_equal(famfs_super_decode(&raw, sizeof(raw), "d", 4 * GIB, &sb, &e), 0);
	famfs_error_text(&e, text, sizeof(text));
	assert_non_null(strstr(text, "copy the files"));
}

static void short_buffer_is_not_read_past_its_end(void **state)
{
	uint8_t *raw = malloc(199); /* ASan watches the end */
	struct famfs_super sb;
	struct famfs_error e;

	(void)state;
	memset(raw, 0xff, 199);
	assert_int_equal(famfs_super_decode(raw, 199, "d", 4 * GIB, &sb, &e), -EUCLEAN);
	assert_string_equal(e.field, "size");
	free(raw);
}

static void secondary_super_round_trips_and_is_checked(void **state)
{
	struct famfs_super primary = { .uuid = { 7 },
				       .dev_uuid = { 8 },
				       .log_len = 8 * MIB,
				       .alloc_unit = 2 * MIB,
				       .dev_size = 4 * GIB };
	struct famfs_super sb = { .uuid = { 7 },
				  .dev_uuid = { 9 },
				  .log_len = 8 * MIB,
				  .dev_size = 5 * GIB,
				  .secondary = true };
	struct famfs_entry add = { .dd_size = 5 * GIB, .dd_uuid = { 9 } };
	struct famfs_media_super raw;
	struct famfs_super got;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	famfs_super_encode(&sb, &raw);
	assert_int_equal(le32toh(raw.ts_sb_flags), FAMFS_SUPER_SECONDARY);
	assert_int_equal(famfs_super_decode(&raw, sizeof(raw), "d", 5 * GIB, &got, &e), 0);
	assert_true(got.secondary);
	famfs_devs_init(&devs, &primary);
	famfs_devs_add(&devs, &add);
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 1, &e), 0);
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 2, &e), -EINVAL);
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 0, &e), -EINVAL);
	devs.dev[1].uuid[0] = 10;
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 1, &e), -EUCLEAN);
	assert_string_equal(e.field, "ts_dev_uuid");
	devs.dev[1].uuid[0] = 9;
	devs.dev[1].size = 6 * GIB;
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 1, &e), -EUCLEAN);
	assert_string_equal(e.field, "dd_size");
	primary.uuid[0] = 1;
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 1, &e), -EUCLEAN);
	assert_string_equal(e.field, "ts_uuid");
	got.secondary = false;
	assert_int_equal(famfs_super_check_secondary(&got, "d", &primary, &devs, 1, &e), -EUCLEAN);
	assert_string_equal(e.field, "ts_sb_flags");
}

/* ---- log header rules ---- */

struct header_rule {
	const char *name;
	size_t off;
	uint8_t width;
	uint64_t value;
	bool keep_crc;
	int err;
	const char *field;
};

#define LH(f) offsetof(struct famfs_media_log_header, f)

/* clang-format off: one rule a row */
static const struct header_rule header_rules[] = {
	{ "header_rejects_other_magic", LH(magic), 8, 0xbadcafef00eULL, false, -EUCLEAN, "magic" },
	{ "header_rejects_wrong_crc", LH(crc), 8, 0xa5875079, true, -EBADMSG, "crc" },
	{ "header_compares_crc_as_64_bits", LH(crc) + 4, 4, 1, true, -EBADMSG, "crc" },
	{ "header_rejects_len_other_than_super", LH(len), 8, 16 * MIB, false, -EUCLEAN, "len" },
	{ "header_rejects_last_index_too_large", LH(last_index), 8, 99999, false, -EUCLEAN,
	  "last_index" },
	{ "header_rejects_last_index_too_small", LH(last_index), 8, 10, false, -EUCLEAN,
	  "last_index" },
	{ "header_accepts_a_full_log", LH(next_index), 8, 15420, true, 0, NULL },
	{ "header_rejects_next_index_past_the_last_slot", LH(next_index), 8, 15421, true, -EUCLEAN,
	  "next_index" },
	{ "header_rejects_next_index_all_ones", LH(next_index), 8, UINT64_MAX, true, -EUCLEAN,
	  "next_index" },
	{ "header_accepts_next_seqnum_ahead", LH(next_seqnum), 8, 33, true, 0, NULL },
};
/* clang-format on */

static void check_header_rule(void **state)
{
	const struct header_rule *r = *state;
	struct famfs_super sb = { .log_len = 8 * MIB };
	struct famfs_media_log_header raw;
	struct famfs_log_header h;
	struct famfs_error e;
	int err;

	put_pieces(&raw, sizeof(raw), header_bytes);
	put_le((uint8_t *)&raw + r->off, r->width, r->value);
	if (!r->keep_crc)
		raw.crc = htole64(famfs_crc32(&raw, FAMFS_LOG_CRC_LEN));
	err = famfs_log_header_decode(&raw, sizeof(raw), "/dev/dax9.9", &sb, &h, &e);
	assert_int_equal(err, r->err);
	if (!err)
		return;
	assert_string_equal(e.field, r->field);
	assert_int_equal(e.offset, 2 * MIB + (r->off & ~7UL));
	assert_no_gap(&e, "/dev/dax9.9");
}

/* ---- entry rules ---- */

struct entry_rule {
	const char *name;
	const struct piece *bytes;
	uint64_t index;
	size_t off;
	uint8_t width;
	uint64_t value;
	bool keep_crc;
	int err;
	enum famfs_verdict verdict;
	const char *field;
	size_t err_off;
};

#define EN(f)	 offsetof(struct famfs_media_entry, f)
#define SIMPLE	 file_bytes, 12
#define STRIPED	 striped_bytes, 5
#define MKDIR	 mkdir_bytes, 2
#define DAXDEV	 daxdev_bytes, 2
#define EXT0	 EN(file.fmap.simple)
#define NEXT	 EN(file.fmap.nextents)
#define NSTRIPS	 EN(file.fmap.interleave.nstrips)
#define CHUNK	 EN(file.fmap.interleave.chunk_size)
#define STRIP(i) (EN(file.fmap.interleave.strips) + 24 * (i))
#define REFUSE	 FAMFS_REFUSE
#define SKIP	 FAMFS_SKIP

/* clang-format off: one rule a row */
static const struct entry_rule entry_rules[] = {
	{ "entry_rejects_wrong_crc", SIMPLE, EN(crc), 8, 1, true, -EBADMSG, REFUSE, "crc", 536 },
	{ "entry_compares_crc_as_64_bits", SIMPLE, EN(crc) + 4, 4, 1, true, -EBADMSG, REFUSE, "crc",
	  536 },
	{ "entry_rejects_a_flipped_bit", SIMPLE, EN(file.size), 1, 0xfe, true, -EBADMSG, REFUSE,
	  "crc", 536 },
	{ "entry_crc_covers_the_tail_of_the_body", SIMPLE, 535, 1, 1, true, -EBADMSG, REFUSE, "crc",
	  536 },
	{ "entry_rejects_seqnum_of_another_slot", SIMPLE, EN(seqnum), 8, 13, false, -EUCLEAN,
	  REFUSE, "seqnum", 0 },
	{ "entry_rejects_delete", SIMPLE, EN(type), 4, 2, false, -EOPNOTSUPP, REFUSE, "type", 8 },
	{ "entry_rejects_unknown_type", SIMPLE, EN(type), 4, 5, false, -EOPNOTSUPP, REFUSE, "type",
	  8 },
	{ "entry_rejects_type_all_ones", SIMPLE, EN(type), 4, 0xffffffff, false, -EOPNOTSUPP,
	  REFUSE, "type", 8 },
	{ "entry_skips_invalid", SIMPLE, EN(type), 4, 4, false, -EUCLEAN, SKIP, "type", 8 },
	{ "file_skips_empty_path", SIMPLE, EN(file.path), 1, 0, false, -EUCLEAN, SKIP, "path", 40 },
	{ "file_skips_absolute_path", SIMPLE, EN(file.path), 1, '/', false, -EUCLEAN, SKIP, "path",
	  40 },
	{ "file_skips_dotdot", SIMPLE, EN(file.path), 4, 0x2e2e, false, -EUCLEAN, SKIP, "path",
	  40 },
	{ "file_skips_dot", SIMPLE, EN(file.path), 4, 0x2e, false, -EUCLEAN, SKIP, "path", 40 },
	{ "file_skips_trailing_slash", SIMPLE, EN(file.path) + 3, 1, '/', false, -EUCLEAN, SKIP,
	  "path", 40 },
	{ "file_skips_double_slash", SIMPLE, EN(file.path) + 1, 2, 0x2f2f, false, -EUCLEAN, SKIP,
	  "path", 40 },
	{ "file_skips_inner_dotdot", STRIPED, EN(file.path) + 3, 3, 0x2f2e2e, false, -EUCLEAN, SKIP,
	  "path", 40 },
	{ "file_accepts_two_dots_in_a_name", SIMPLE, EN(file.path) + 1, 2, 0x2e2e, false, 0, SKIP,
	  NULL, 0 },
	{ "mkdir_skips_absolute_path", MKDIR, EN(mkdir.path), 1, '/', false, -EUCLEAN, SKIP, "path",
	  28 },
	{ "mkdir_skips_empty_path", MKDIR, EN(mkdir.path), 1, 0, false, -EUCLEAN, SKIP, "path",
	  28 },
	{ "file_skips_unknown_extent_type", SIMPLE, EN(file.fmap.ext_type), 4, 7, false, -EUCLEAN,
	  SKIP, "ext_type", 120 },
	{ "file_skips_no_extents_for_a_size", SIMPLE, NEXT, 4, 0, false, -EUCLEAN, SKIP, "size",
	  16 },
	{ "file_skips_17_extents", SIMPLE, NEXT, 4, 17, false, -EUCLEAN, SKIP, "nextents", 128 },
	{ "file_skips_extents_all_ones", SIMPLE, NEXT, 4, 0xffffffff, false, -EUCLEAN, SKIP,
	  "nextents", 128 },
	{ "file_skips_a_second_extent_of_zeros", SIMPLE, NEXT, 4, 2, false, -EUCLEAN, SKIP,
	  "extent 1 offset", 136 + 24 + 8 },
	{ "file_accepts_size_0", SIMPLE, EN(file.size), 8, 0, false, 0, SKIP, NULL, 0 },
	{ "file_accepts_size_equal_to_extents", SIMPLE, EN(file.size), 8, 2 * MIB, false, 0, SKIP,
	  NULL, 0 },
	{ "file_skips_size_above_extents", SIMPLE, EN(file.size), 8, 2 * MIB + 1, false, -EUCLEAN,
	  SKIP, "size", 16 },
	{ "file_skips_size_2_to_63", SIMPLE, EN(file.size), 8, 1ULL << 63, false, -EUCLEAN, SKIP,
	  "size", 16 },
	{ "file_skips_unknown_device", SIMPLE, EXT0, 8, 1, false, -EUCLEAN, SKIP,
	  "extent 0 devindex", 136 },
	{ "file_skips_device_beyond_32_bits", SIMPLE, EXT0, 8, 1ULL << 32, false, -EUCLEAN, SKIP,
	  "extent 0 devindex", 136 },
	{ "file_skips_extent_in_superblock", SIMPLE, EXT0 + 8, 8, 0, false, -EUCLEAN, SKIP,
	  "extent 0 offset", 144 },
	{ "file_skips_extent_in_log", SIMPLE, EXT0 + 8, 8, 8 * MIB, false, -EUCLEAN, SKIP,
	  "extent 0 offset", 144 },
	{ "file_accepts_extent_right_behind_log", SIMPLE, EXT0 + 8, 8, 10 * MIB, false, 0, SKIP,
	  NULL, 0 },
	{ "file_accepts_extent_up_to_the_end", SIMPLE, EXT0 + 8, 8, 4 * GIB - 2 * MIB, false, 0,
	  SKIP, NULL, 0 },
	{ "file_skips_extent_at_the_end", SIMPLE, EXT0 + 8, 8, 4 * GIB, false, -EUCLEAN, SKIP,
	  "extent 0 offset", 144 },
	{ "file_skips_unaligned_offset", SIMPLE, EXT0 + 8, 8, 24 * MIB + 4096, false, -EUCLEAN,
	  SKIP, "extent 0 offset", 144 },
	{ "file_skips_wrapping_offset", SIMPLE, EXT0 + 8, 8, 0 - 2 * MIB, false, -EUCLEAN, SKIP,
	  "extent 0 offset", 144 },
	{ "file_skips_empty_extent", SIMPLE, EXT0 + 16, 8, 0, false, -EUCLEAN, SKIP, "extent 0 len",
	  152 },
	{ "file_skips_unaligned_length", SIMPLE, EXT0 + 16, 8, 2 * MIB + 1, false, -EUCLEAN, SKIP,
	  "extent 0 len", 152 },
	{ "file_skips_extent_past_the_end", SIMPLE, EXT0 + 16, 8, 4 * GIB, false, -EUCLEAN, SKIP,
	  "extent 0 len", 152 },
	{ "file_skips_wrapping_length", SIMPLE, EXT0 + 16, 8, 0 - 2 * MIB, false, -EUCLEAN, SKIP,
	  "extent 0 len", 152 },
	{ "striped_skips_niext_0", STRIPED, NEXT, 4, 0, false, -EUCLEAN, SKIP, "niext", 128 },
	{ "striped_skips_niext_2", STRIPED, NEXT, 4, 2, false, -EUCLEAN, SKIP, "niext", 128 },
	{ "striped_skips_0_strips", STRIPED, NSTRIPS, 8, 0, false, -EUCLEAN, SKIP, "nstrips", 136 },
	{ "striped_skips_17_strips", STRIPED, NSTRIPS, 8, 17, false, -EUCLEAN, SKIP, "nstrips",
	  136 },
	{ "striped_skips_strips_beyond_32_bits", STRIPED, NSTRIPS, 8, 3 | 1ULL << 40, false,
	  -EUCLEAN, SKIP, "nstrips", 136 },
	{ "striped_skips_chunk_0", STRIPED, CHUNK, 8, 0, false, -EUCLEAN, SKIP, "chunk_size", 144 },
	{ "striped_skips_chunk_not_power_of_two", STRIPED, CHUNK, 8, 6 * MIB, false, -EUCLEAN, SKIP,
	  "chunk_size", 144 },
	{ "striped_skips_chunk_below_alloc_unit", STRIPED, CHUNK, 8, 4096, false, -EUCLEAN, SKIP,
	  "chunk_size", 144 },
	{ "striped_skips_chunk_above_strip", STRIPED, CHUNK, 8, GIB, false, -EUCLEAN, SKIP,
	  "strip 0 len", 152 + 16 },
	{ "striped_skips_chunk_whose_stripe_overflows", STRIPED, CHUNK, 8, 1ULL << 63, false,
	  -EUCLEAN, SKIP, "chunk_size", 144 },
	{ "striped_skips_short_strip", STRIPED, STRIP(2) + 16, 8, 2 * MIB, false, -EUCLEAN, SKIP,
	  "strip 2 len", 152 + 48 + 16 },
	{ "striped_accepts_longer_strip", STRIPED, STRIP(2) + 16, 8, 8 * MIB, false, 0, SKIP, NULL,
	  0 },
	{ "striped_skips_equal_strips", STRIPED, STRIP(1) + 8, 8, 5725224960, false, -EUCLEAN, SKIP,
	  "strip 1 offset", 152 + 24 + 8 },
	{ "striped_skips_partly_overlapping_strips", STRIPED, STRIP(1) + 8, 8, 5725224960 + 2 * MIB,
	  false, -EUCLEAN, SKIP, "strip 1 offset", 152 + 24 + 8 },
	{ "striped_accepts_adjacent_strips", STRIPED, STRIP(1) + 8, 8, 5725224960 + 4 * MIB, false,
	  0, SKIP, NULL, 0 },
	{ "striped_skips_unknown_device", STRIPED, STRIP(2), 8, 3, false, -EUCLEAN, SKIP,
	  "strip 2 devindex", 152 + 48 },
	{ "striped_accepts_size_0", STRIPED, EN(file.size), 8, 0, false, 0, SKIP, NULL, 0 },
	{ "daxdev_rejects_gap_in_table", DAXDEV, EN(add_daxdev.dd_index), 4, 7, false, -EUCLEAN,
	  REFUSE, "dd_index", 40 },
	{ "daxdev_rejects_index_0", DAXDEV, EN(add_daxdev.dd_index), 4, 0, false, -EUCLEAN, REFUSE,
	  "dd_index", 40 },
	{ "daxdev_rejects_size_0", DAXDEV, EN(add_daxdev.dd_size), 8, 0, false, -EUCLEAN, REFUSE,
	  "dd_size", 16 },
	{ "daxdev_names_the_limit_of_units", DAXDEV, EN(add_daxdev.dd_size), 8,
	  FAMFS_MAX_UNITS * 2 * MIB, false, -E2BIG, REFUSE, "dd_size", 16 },
	{ "daxdev_accepts_units_up_to_the_limit", DAXDEV, EN(add_daxdev.dd_size), 8,
	  FAMFS_MAX_UNITS * 2 * MIB - 4 * GIB, false, 0, REFUSE, NULL, 0 },
	{ "daxdev_rejects_nothing_but_a_superblock", DAXDEV, EN(add_daxdev.dd_size), 8, 2 * MIB,
	  false, -EUCLEAN, REFUSE, "dd_size", 16 },
};
/* clang-format on */

static void check_entry_rule(void **state)
{
	const struct entry_rule *r = *state;
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;
	int err;

	make_devs(&devs, r->bytes == striped_bytes ? 16 * GIB : 4 * GIB, 2 * MIB);
	put_pieces(&raw, sizeof(raw), r->bytes);
	assert_int_equal(famfs_entry_decode(&raw, "d", r->index, &devs, &entry, &e), 0);
	put_le((uint8_t *)&raw + r->off, r->width, r->value);
	if (!r->keep_crc)
		raw.crc = htole64(famfs_crc32(&raw, FAMFS_ENTRY_CRC_LEN));
	err = famfs_entry_decode(&raw, "/dev/dax9.9", r->index, &devs, &entry, &e);
	assert_int_equal(err, r->err);
	if (!err)
		return;
	assert_int_equal(e.verdict, r->verdict);
	assert_string_equal(e.field, r->field);
	assert_int_equal(e.index, r->index);
	assert_int_equal(e.offset, 2 * MIB + 48 + 544 * r->index + r->err_off);
	assert_no_gap(&e, "/dev/dax9.9");
}

static void set_path(struct famfs_media_entry *raw, const char *path, size_t len)
{
	memset(raw->file.path, 0, sizeof(raw->file.path));
	memcpy(raw->file.path, path, len);
	raw->crc = htole64(famfs_crc32(raw, FAMFS_ENTRY_CRC_LEN));
}

static void path_fills_79_bytes_and_no_more(void **state)
{
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;
	char path[80];

	(void)state;
	make_devs(&devs, 4 * GIB, 2 * MIB);
	put_pieces(&raw, sizeof(raw), file_bytes);
	memset(path, 'n', sizeof(path));
	set_path(&raw, path, 79);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), 0);
	assert_int_equal(entry.path_len, 79);
	set_path(&raw, path, 80);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), -EUCLEAN);
	assert_int_equal(e.verdict, FAMFS_SKIP);
	assert_string_equal(e.field, "path");
}

static void only_meta_itself_is_reserved(void **state)
{
	static const struct {
		const char *path;
		bool ok;
	} cases[] = {
		{ ".meta", false }, { ".meta/x", false }, { ".metadata", true },
		{ ".met", true },   { "a/.meta", true },
	};
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	make_devs(&devs, 4 * GIB, 2 * MIB);
	put_pieces(&raw, sizeof(raw), file_bytes);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set_path(&raw, cases[i].path, strlen(cases[i].path));
		assert_int_equal(!famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e),
				 cases[i].ok);
	}
}

static void control_bytes_of_a_path_are_escaped_in_messages(void **state)
{
	char text[FAMFS_ERROR_TEXT_MAX];
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	make_devs(&devs, 4 * GIB, 2 * MIB);
	put_pieces(&raw, sizeof(raw), file_bytes);
	raw.file.fmap.ext_type = htole32(9);
	set_path(&raw, "a\n\x1b[31m'\xff", 9);
	assert_int_equal(famfs_entry_decode(&raw, "d\n", 12, &devs, &entry, &e), -EUCLEAN);
	famfs_error_text(&e, text, sizeof(text));
	assert_non_null(strstr(text, "a\\x0a\\x1b[31m\\x27\\xff"));
	for (const char *p = text; *p; p++)
		assert_in_range(*p, 0x20, 0x7e);
}

static void error_text_survives_any_buffer(void **state)
{
	struct famfs_error e = { .device = "d", .field = "f", .found = "x", .expected = "y" };
	char text[8];

	(void)state;
	for (size_t n = 1; n <= sizeof(text); n++) {
		famfs_error_text(&e, text, n);
		assert_true(strlen(text) < n);
	}
}

static void second_device_has_its_own_bounds(void **state)
{
	struct famfs_entry add = { .dd_size = 8 * GIB, .dd_uuid = { 9 } };
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	make_devs(&devs, 4 * GIB, 2 * MIB);
	put_pieces(&raw, sizeof(raw), file_bytes);
	raw.file.fmap.simple[0].devindex = htole64(1);
	raw.file.fmap.simple[0].offset = htole64(2 * MIB);
	set_path(&raw, "x", 1);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), -EUCLEAN);
	famfs_devs_add(&devs, &add);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), 0);
	assert_int_equal(entry.ext[0].devindex, 1);
	raw.file.fmap.simple[0].offset = htole64(6 * GIB);
	set_path(&raw, "x", 1);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), 0);
	raw.file.fmap.simple[0].offset = 0;
	set_path(&raw, "x", 1);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), -EUCLEAN);
}

static void small_alloc_unit_takes_page_aligned_extents(void **state)
{
	struct famfs_media_entry raw;
	struct famfs_entry entry;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	make_devs(&devs, 4 * GIB, 4096);
	put_pieces(&raw, sizeof(raw), file_bytes);
	raw.file.fmap.simple[0].offset = htole64(24 * MIB + 4096);
	set_path(&raw, "x", 1);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), 0);
	raw.file.fmap.simple[0].offset = htole64(24 * MIB + 512);
	set_path(&raw, "x", 1);
	assert_int_equal(famfs_entry_decode(&raw, "d", 12, &devs, &entry, &e), -EUCLEAN);
}

static void encode_refuses_what_decode_refuses(void **state)
{
	struct famfs_entry entry = { .type = FAMFS_ENTRY_FILE,
				     .path = "x",
				     .size = 1,
				     .next = 1,
				     .flags = FAMFS_FILE_ALL_HOSTS_RW,
				     .ext = { { 12 * MIB, 2 * MIB, 0 } } };
	struct famfs_media_entry raw;
	struct famfs_devs devs;
	struct famfs_error e;

	(void)state;
	make_devs(&devs, 4 * GIB, 2 * MIB);
	assert_int_equal(famfs_entry_encode(&entry, "d", &devs, &raw, &e), 0);
	entry.ext[0].offset = 4 * MIB;
	assert_int_equal(famfs_entry_encode(&entry, "d", &devs, &raw, &e), -EUCLEAN);
	entry.ext[0].offset = 12 * MIB;
	entry.next = 17;
	assert_int_equal(famfs_entry_encode(&entry, "d", &devs, &raw, &e), -EINVAL);
	entry.next = 1;
	entry.type = FAMFS_ENTRY_DELETE;
	assert_int_equal(famfs_entry_encode(&entry, "d", &devs, &raw, &e), -EINVAL);
	entry.type = FAMFS_ENTRY_MKDIR;
	strcpy(entry.path, "../x");
	assert_int_equal(famfs_entry_encode(&entry, "d", &devs, &raw, &e), -EUCLEAN);
}

static void generation_follows_from_the_uuid_and_is_never_0(void **state)
{
	uint8_t a[16] = { 1 }, b[16] = { 2 };

	(void)state;
	assert_int_equal(famfs_generation(a), famfs_generation(a));
	assert_int_not_equal(famfs_generation(a), famfs_generation(b));
	assert_int_not_equal(famfs_generation(a), 0);
}

static void system_uuid_is_made_once_and_read_back(void **state)
{
	char dir[] = "/tmp/famfs-uuid-XXXXXX", path[96], sub[64];
	uint8_t first[16], second[16];
	struct stat st;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/famfs", dir);
	snprintf(path, sizeof(path), "%s/system_uuid", sub);
	assert_int_equal(famfs_system_uuid_get(path, false, first), -ENOENT);
	assert_int_equal(famfs_system_uuid_get(path, true, first), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0444);
	assert_int_equal(famfs_system_uuid_get(path, true, second), 0);
	assert_memory_equal(first, second, 16);
	assert_int_equal(unlink(path), 0);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("not a uuid\n", f);
	fclose(f);
	assert_int_equal(famfs_system_uuid_get(path, false, second), -EUCLEAN);
	assert_int_equal(famfs_system_uuid_get(path, true, second), 0);
	assert_memory_not_equal(first, second, 16);
	unlink(path);
	rmdir(sub);
	rmdir(dir);
}

/* ---- table ---- */

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const struct CMUnitTest single_tests[] = {
	cmocka_unit_test(super_of_real_famfs_decodes_and_encodes_back),
	cmocka_unit_test(header_of_real_famfs_decodes_and_encodes_back),
	cmocka_unit_test(mkdir_of_real_famfs_decodes_and_encodes_back),
	cmocka_unit_test(file_of_real_famfs_decodes_and_encodes_back),
	cmocka_unit_test(striped_file_of_real_famfs_decodes_and_encodes_back),
	cmocka_unit_test(add_daxdev_of_real_famfs_decodes_and_encodes_back),
	cmocka_unit_test(padding_and_bytes_behind_the_path_carry_no_meaning),
	cmocka_unit_test(mode_is_masked_to_permissions),
	cmocka_unit_test(version_47_says_what_to_do),
	cmocka_unit_test(short_buffer_is_not_read_past_its_end),
	cmocka_unit_test(secondary_super_round_trips_and_is_checked),
	cmocka_unit_test(path_fills_79_bytes_and_no_more),
	cmocka_unit_test(only_meta_itself_is_reserved),
	cmocka_unit_test(control_bytes_of_a_path_are_escaped_in_messages),
	cmocka_unit_test(error_text_survives_any_buffer),
	cmocka_unit_test(second_device_has_its_own_bounds),
	cmocka_unit_test(small_alloc_unit_takes_page_aligned_extents),
	cmocka_unit_test(encode_refuses_what_decode_refuses),
	cmocka_unit_test(generation_follows_from_the_uuid_and_is_never_0),
	cmocka_unit_test(system_uuid_is_made_once_and_read_back),
};

int main(void)
{
	struct CMUnitTest
		tests[N(single_tests) + N(super_rules) + N(header_rules) + N(entry_rules)];
	size_t n = N(single_tests);

	memcpy(tests, single_tests, sizeof(single_tests));
	for (size_t i = 0; i < N(super_rules); i++)
		tests[n++] = (struct CMUnitTest){ super_rules[i].name, check_super_rule, NULL, NULL,
						  (void *)&super_rules[i] };
	for (size_t i = 0; i < N(header_rules); i++)
		tests[n++] = (struct CMUnitTest){ header_rules[i].name, check_header_rule, NULL,
						  NULL, (void *)&header_rules[i] };
	for (size_t i = 0; i < N(entry_rules); i++)
		tests[n++] = (struct CMUnitTest){ entry_rules[i].name, check_entry_rule, NULL, NULL,
						  (void *)&entry_rules[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
