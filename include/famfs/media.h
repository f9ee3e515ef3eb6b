/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * On-media layout of famfs: superblock, log header, log entry.
 *
 * Only bytes, constants and asserts live here. Every integer on media is
 * little-endian; LP64 widths are part of the format (docs/media.md). Nothing in
 * these structs may be believed before a decoder of server/lib/famfs_media.h
 * has passed it. The header also compiles for BPF, where vmlinux.h, included
 * before it, supplies the __le types.
 */
#ifndef FAMFS_MEDIA_H
#define FAMFS_MEDIA_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Device map of the primary: superblock area, log, then file data. */
#define FAMFS_SUPER_OFFSET 0x0ULL
#define FAMFS_SUPER_AREA   0x200000ULL /* first 2 MiB of every device */
#define FAMFS_LOG_OFFSET   0x200000ULL
#define FAMFS_LOG_LEN_MIN  0x800000ULL /* 8 MiB; always a power of two */
#define FAMFS_LOG_LEN_MAX  0x40000000ULL /* 1 GiB: our limit, see docs/media.md */
#define FAMFS_DEV_SIZE_MIN 0x100000000ULL /* 4 GiB, demanded by mkfs */

#define FAMFS_ALLOC_UNIT       0x200000ULL /* what mkfs writes */
#define FAMFS_ALLOC_UNIT_SMALL 0x1000ULL /* what readers take besides */

#define FAMFS_SUPER_MAGIC   0x87b282ffULL
#define FAMFS_SUPER_VERSION 48ULL
#define FAMFS_OMF_MAJOR	    2U
#define FAMFS_OMF_MINOR	    2U
#define FAMFS_LOG_MAGIC	    0xbadcafef00dULL

#define FAMFS_UUID_LEN	  16
#define FAMFS_PATH_LEN	  80 /* with the NUL */
#define FAMFS_DEVNAME_LEN 64 /* NUL only if shorter */
#define FAMFS_MAX_EXTENTS 16
#define FAMFS_MAX_STRIPS  16
#define FAMFS_MAX_BUCKETS 64
#define FAMFS_BUCKET_MIN  0x40000000ULL /* 1 GiB */

/*
 * Node ids. They follow from the log alone, so every host and every restart of
 * a server names a file by the same number. Root is 1; the entry in log slot i
 * is i + 2; ids from 2^32 up are files that have no log entry.
 */
#define FAMFS_NODEID_ROOT	1ULL
#define FAMFS_NODEID_FIRST	2ULL
#define FAMFS_NODEID_RESERVED	0x100000000ULL
#define FAMFS_NODEID_META	(FAMFS_NODEID_RESERVED + 0)
#define FAMFS_NODEID_SUPER	(FAMFS_NODEID_RESERVED + 1)
#define FAMFS_NODEID_LOG	(FAMFS_NODEID_RESERVED + 2)
/* Superblock of a further device, devindex 1 and up. */
#define FAMFS_NODEID_SUPER_N(n) (FAMFS_NODEID_RESERVED + 2 + (n))

/* ts_sb_flags; upstream neither writes nor reads the field. */
#define FAMFS_SUPER_PRIMARY   0x1U
#define FAMFS_SUPER_SECONDARY 0x2U

enum famfs_media_entry_type {
	FAMFS_ENTRY_FILE = 0,
	FAMFS_ENTRY_MKDIR = 1,
	FAMFS_ENTRY_DELETE = 2, /* no body defined, refused */
	FAMFS_ENTRY_ADD_DAXDEV = 3,
	FAMFS_ENTRY_INVALID = 4, /* marks nothing */
};

enum famfs_media_ext_type {
	FAMFS_EXT_SIMPLE = 0,
	FAMFS_EXT_INTERLEAVE = 1,
};

#define FAMFS_FILE_ALL_HOSTS_RO 0x1U
#define FAMFS_FILE_ALL_HOSTS_RW 0x2U

struct famfs_media_daxdev {
	__le64 dd_size; /* bytes; not under the superblock's crc */
	__u8 dd_uuid[FAMFS_UUID_LEN];
	__u8 dd_daxdev[FAMFS_DEVNAME_LEN];
};

struct famfs_media_super {
	__le64 ts_magic;
	__le64 ts_version;
	__le64 ts_log_offset;
	__le64 ts_log_len;
	__le64 ts_alloc_unit;
	__le32 ts_omf_ver_major;
	__le32 ts_omf_ver_minor;
	__u8 ts_uuid[FAMFS_UUID_LEN];
	__u8 ts_dev_uuid[FAMFS_UUID_LEN];
	__u8 ts_system_uuid[FAMFS_UUID_LEN];
	__le64 ts_crc; /* crc32 of bytes 0..95, upper half zero */
	__le32 ts_sb_flags;
	__le32 ts_pad;
	struct famfs_media_daxdev ts_daxdev;
};

struct famfs_media_log_header {
	__le64 magic;
	__le64 len; /* bytes, equal to ts_log_len */
	__le64 last_index; /* floor((len - 48) / 544) - 1 */
	__le64 crc; /* crc32 of bytes 0..23 */
	__le64 next_seqnum; /* outside the crc, as next_index is */
	__le64 next_index;
};

struct famfs_media_extent {
	__le64 devindex;
	__le64 offset; /* bytes on that device */
	__le64 len; /* bytes */
};

struct famfs_media_interleave {
	__le64 nstrips;
	__le64 chunk_size; /* bytes */
	struct famfs_media_extent strips[FAMFS_MAX_STRIPS];
};

struct famfs_media_fmap {
	__le32 ext_type;
	__le32 pad0;
	__le32 nextents; /* niext, always 1, when interleaved */
	__le32 pad1;
	union {
		struct famfs_media_extent simple[FAMFS_MAX_EXTENTS];
		struct famfs_media_interleave interleave;
	};
};

struct famfs_media_file {
	__le64 size;
	__le32 flags;
	__le32 uid;
	__le32 gid;
	__le32 mode;
	__u8 path[FAMFS_PATH_LEN];
	struct famfs_media_fmap fmap;
};

struct famfs_media_mkdir {
	__le32 uid;
	__le32 gid;
	__le32 mode;
	__u8 path[FAMFS_PATH_LEN];
};

struct famfs_media_add_daxdev {
	__le64 dd_size;
	__u8 dd_uuid[FAMFS_UUID_LEN];
	__le32 dd_index; /* 1, 2, ... in log order */
	__le32 pad;
};

struct famfs_media_entry {
	__le64 seqnum; /* equal to the slot index */
	__le32 type;
	__le32 pad;
	union {
		struct famfs_media_file file;
		struct famfs_media_mkdir mkdir;
		struct famfs_media_add_daxdev add_daxdev;
		__u8 body[520];
	};
	__le64 crc; /* crc32 of bytes 0..535 */
};

#define FAMFS_SUPER_CRC_LEN 96
#define FAMFS_LOG_CRC_LEN   24
#define FAMFS_ENTRY_CRC_LEN 536

/* Number of entry slots in a log of len bytes (len >= 48 + 544). */
#define FAMFS_LOG_SLOTS(len) \
	(((len) - sizeof(struct famfs_media_log_header)) / sizeof(struct famfs_media_entry))

/* Byte offset on the primary device of log slot i. */
#define FAMFS_SLOT_OFFSET(i)                                        \
	(FAMFS_LOG_OFFSET + sizeof(struct famfs_media_log_header) + \
	 (i) * sizeof(struct famfs_media_entry))

#define FAMFS_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type " size")
#define FAMFS_ASSERT_AT(type, field, off) \
	_Static_assert(__builtin_offsetof(struct type, field) == (off), #type "." #field " offset")

FAMFS_ASSERT_SIZE(famfs_media_daxdev, 88);
FAMFS_ASSERT_AT(famfs_media_daxdev, dd_size, 0);
FAMFS_ASSERT_AT(famfs_media_daxdev, dd_uuid, 8);
FAMFS_ASSERT_AT(famfs_media_daxdev, dd_daxdev, 24);

FAMFS_ASSERT_SIZE(famfs_media_super, 200);
FAMFS_ASSERT_AT(famfs_media_super, ts_magic, 0);
FAMFS_ASSERT_AT(famfs_media_super, ts_version, 8);
FAMFS_ASSERT_AT(famfs_media_super, ts_log_offset, 16);
FAMFS_ASSERT_AT(famfs_media_super, ts_log_len, 24);
FAMFS_ASSERT_AT(famfs_media_super, ts_alloc_unit, 32);
FAMFS_ASSERT_AT(famfs_media_super, ts_omf_ver_major, 40);
FAMFS_ASSERT_AT(famfs_media_super, ts_omf_ver_minor, 44);
FAMFS_ASSERT_AT(famfs_media_super, ts_uuid, 48);
FAMFS_ASSERT_AT(famfs_media_super, ts_dev_uuid, 64);
FAMFS_ASSERT_AT(famfs_media_super, ts_system_uuid, 80);
FAMFS_ASSERT_AT(famfs_media_super, ts_crc, FAMFS_SUPER_CRC_LEN);
FAMFS_ASSERT_AT(famfs_media_super, ts_sb_flags, 104);
FAMFS_ASSERT_AT(famfs_media_super, ts_pad, 108);
FAMFS_ASSERT_AT(famfs_media_super, ts_daxdev, 112);

FAMFS_ASSERT_SIZE(famfs_media_log_header, 48);
FAMFS_ASSERT_AT(famfs_media_log_header, magic, 0);
FAMFS_ASSERT_AT(famfs_media_log_header, len, 8);
FAMFS_ASSERT_AT(famfs_media_log_header, last_index, 16);
FAMFS_ASSERT_AT(famfs_media_log_header, crc, FAMFS_LOG_CRC_LEN);
FAMFS_ASSERT_AT(famfs_media_log_header, next_seqnum, 32);
FAMFS_ASSERT_AT(famfs_media_log_header, next_index, 40);

FAMFS_ASSERT_SIZE(famfs_media_extent, 24);
FAMFS_ASSERT_AT(famfs_media_extent, devindex, 0);
FAMFS_ASSERT_AT(famfs_media_extent, offset, 8);
FAMFS_ASSERT_AT(famfs_media_extent, len, 16);

FAMFS_ASSERT_SIZE(famfs_media_interleave, 400);
FAMFS_ASSERT_AT(famfs_media_interleave, nstrips, 0);
FAMFS_ASSERT_AT(famfs_media_interleave, chunk_size, 8);
FAMFS_ASSERT_AT(famfs_media_interleave, strips, 16);

FAMFS_ASSERT_SIZE(famfs_media_fmap, 416);
FAMFS_ASSERT_AT(famfs_media_fmap, ext_type, 0);
FAMFS_ASSERT_AT(famfs_media_fmap, nextents, 8);
FAMFS_ASSERT_AT(famfs_media_fmap, simple, 16);
FAMFS_ASSERT_AT(famfs_media_fmap, interleave, 16);

FAMFS_ASSERT_SIZE(famfs_media_file, 520);
FAMFS_ASSERT_SIZE(famfs_media_mkdir, 92);
FAMFS_ASSERT_SIZE(famfs_media_add_daxdev, 32);

/* Offsets from the start of the entry. */
FAMFS_ASSERT_SIZE(famfs_media_entry, 544);
FAMFS_ASSERT_AT(famfs_media_entry, seqnum, 0);
FAMFS_ASSERT_AT(famfs_media_entry, type, 8);
FAMFS_ASSERT_AT(famfs_media_entry, pad, 12);
FAMFS_ASSERT_AT(famfs_media_entry, body, 16);
FAMFS_ASSERT_AT(famfs_media_entry, crc, FAMFS_ENTRY_CRC_LEN);
FAMFS_ASSERT_AT(famfs_media_entry, file.size, 16);
FAMFS_ASSERT_AT(famfs_media_entry, file.flags, 24);
FAMFS_ASSERT_AT(famfs_media_entry, file.uid, 28);
FAMFS_ASSERT_AT(famfs_media_entry, file.gid, 32);
FAMFS_ASSERT_AT(famfs_media_entry, file.mode, 36);
FAMFS_ASSERT_AT(famfs_media_entry, file.path, 40);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.ext_type, 120);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.pad0, 124);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.nextents, 128);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.pad1, 132);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.simple, 136);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.interleave.nstrips, 136);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.interleave.chunk_size, 144);
FAMFS_ASSERT_AT(famfs_media_entry, file.fmap.interleave.strips, 152);
FAMFS_ASSERT_AT(famfs_media_entry, mkdir.uid, 16);
FAMFS_ASSERT_AT(famfs_media_entry, mkdir.gid, 20);
FAMFS_ASSERT_AT(famfs_media_entry, mkdir.mode, 24);
FAMFS_ASSERT_AT(famfs_media_entry, mkdir.path, 28);
FAMFS_ASSERT_AT(famfs_media_entry, add_daxdev.dd_size, 16);
FAMFS_ASSERT_AT(famfs_media_entry, add_daxdev.dd_uuid, 24);
FAMFS_ASSERT_AT(famfs_media_entry, add_daxdev.dd_index, 40);

_Static_assert(FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MIN) == 15420, "slots of 8 MiB");
_Static_assert(FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MAX) == 1973790, "slots of 1 GiB");

#endif /* FAMFS_MEDIA_H */
