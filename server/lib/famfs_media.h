/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Decoders and encoders for what famfs keeps on media, and the error they
 * share. Bytes come in through a reader or a buffer; nothing in them is
 * believed before the decoder of its struct has passed it. The library returns
 * -errno, describes the failure in a struct famfs_error, and never prints.
 * The format and its sources: docs/media.md.
 *
 * Errors: -ENODATA no famfs superblock; -EBADMSG checksum; -EUCLEAN well-formed
 * but inconsistent; -EOPNOTSUPP version or type that is not understood; -E2BIG
 * over a documented limit; -EINVAL the caller's mistake; -EIO from the reader.
 */
#ifndef FAMFS_LIB_MEDIA_H
#define FAMFS_LIB_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <famfs/media.h>

/* Devices of one file system; as many as a connection can register. */
#define FAMFS_MAX_DEVS	256
/* Allocation units of all devices together: 8 PiB at 2 MiB, 16 TiB at 4 KiB. */
#define FAMFS_MAX_UNITS (1ULL << 32)

enum famfs_object {
	FAMFS_OBJ_DEVICE,
	FAMFS_OBJ_SUPER,
	FAMFS_OBJ_LOG_HEADER,
	FAMFS_OBJ_ENTRY,
};

/* What a failed check means for the file system. */
enum famfs_verdict {
	FAMFS_REFUSE, /* the whole file system is refused */
	FAMFS_SKIP, /* only this entry is left out */
};

/* One failed check. Strings are printable: media bytes in them are escaped. */
struct famfs_error {
	int err; /* negative errno */
	enum famfs_verdict verdict;
	enum famfs_object object;
	uint64_t index; /* slot, for FAMFS_OBJ_ENTRY */
	uint64_t offset; /* byte offset of the field on the device */
	char device[128];
	char field[48];
	char found[352];
	char expected[128];
	char path[352]; /* of the entry, where known, else "" */
};

/* Long enough for every famfs_error_text(). */
#define FAMFS_ERROR_TEXT_MAX 1024

/**
 * famfs_error_text() - render an error as one sentence without newline
 *
 * "DEVICE: superblock at 0x60: crc: found 0x1, expected 0x2". For an entry
 * with a known path, " (path 'P')" follows. Always NUL-terminates.
 * Return: buf.
 */
const char *famfs_error_text(const struct famfs_error *err, char *buf, size_t size);

/**
 * famfs_escape() - write bytes printably: control, non-ASCII, quote and
 * backslash as \xNN. Always NUL-terminates; truncates. Return: buf.
 */
const char *famfs_escape(const void *bytes, size_t len, char *buf, size_t size);

/* Gets one sentence per skipped entry. May be NULL where a caller does not care. */
typedef void (*famfs_report_fn)(void *ctx, const struct famfs_error *err);

/* ---- reading a device ---- */

#define FAMFS_SIZE_UNKNOWN UINT64_MAX

/*
 * Where the bytes of one device come from. read() fills all len bytes or
 * returns -errno. invalidate() drops CPU cache lines over a range, so that the
 * next read sees what another host stored; NULL when there is nothing to drop.
 */
struct famfs_media {
	const char *name; /* for messages; must outlive the media */
	uint64_t size; /* bytes, or FAMFS_SIZE_UNKNOWN */
	int (*read)(const struct famfs_media *m, uint64_t offset, void *buf, size_t len);
	int (*invalidate)(const struct famfs_media *m, uint64_t offset, size_t len);
	void *ctx; /* the caller's own */
	/* State of the stock readers below. */
	const uint8_t *map;
	uint64_t base;
	int fd;
	int log_fd;
};

/**
 * famfs_media_init_memory() - read a device, or its head, through a mapping
 * @map:	address of the device's first byte
 * @mapped:	bytes mapped; reads beyond return -EIO
 * @size:	size of the device, or FAMFS_SIZE_UNKNOWN
 */
void famfs_media_init_memory(struct famfs_media *m, const char *name, const void *map,
			     size_t mapped, uint64_t size);

/**
 * famfs_media_init_fd() - read a device with pread() at base + offset
 */
void famfs_media_init_fd(struct famfs_media *m, const char *name, int fd, uint64_t base,
			 uint64_t size);

/**
 * famfs_media_init_meta() - read through the files .meta/.superblock and
 * .meta/.log of a mount, also one that is not attached anywhere
 */
void famfs_media_init_meta(struct famfs_media *m, const char *name, int super_fd, int log_fd,
			   uint64_t size);

/* ---- decoded objects ---- */

struct famfs_super {
	uint64_t version;
	uint64_t log_offset;
	uint64_t log_len;
	uint64_t alloc_unit;
	uint32_t omf_major;
	uint32_t omf_minor;
	uint8_t uuid[FAMFS_UUID_LEN];
	uint8_t dev_uuid[FAMFS_UUID_LEN];
	uint8_t system_uuid[FAMFS_UUID_LEN]; /* host that ran mkfs: the master */
	uint32_t flags;
	uint64_t dev_size;
	char dev_name[FAMFS_DEVNAME_LEN + 1]; /* raw bytes, may be unprintable */
	bool secondary; /* see docs/media.md, secondary superblock */
};

struct famfs_log_header {
	uint64_t len;
	uint64_t slots; /* last_index + 1 */
	uint64_t next_seqnum; /* a writer must refuse if it is not next_index */
	uint64_t next_index; /* entries in use, <= slots */
};

struct famfs_dev {
	uint64_t size; /* bytes that extents may use, from media */
	uint64_t first; /* first byte that extents may use */
	uint8_t uuid[FAMFS_UUID_LEN];
};

/* The device table. Index 0 is the primary, the others come from the log. */
struct famfs_devs {
	uint64_t alloc_unit;
	uint64_t units; /* of all devices, <= FAMFS_MAX_UNITS */
	uint32_t count;
	struct famfs_dev dev[FAMFS_MAX_DEVS];
};

struct famfs_extent {
	uint64_t offset; /* bytes on the device, multiple of alloc_unit */
	uint64_t len; /* bytes, multiple of alloc_unit, not 0 */
	uint32_t devindex; /* < devs.count */
};

/*
 * Where a file's bytes are. Simple: the extents in order. Interleaved: file
 * offset o is on strip (o / chunk) % next at
 * (o / (chunk * next)) * chunk + o % chunk. Together the extents cover size.
 */
struct famfs_fmap {
	uint64_t size; /* bytes, <= INT64_MAX */
	uint64_t chunk; /* bytes, power of two; 0 when simple */
	uint32_t ext_type; /* FAMFS_EXT_SIMPLE or _INTERLEAVE */
	uint32_t next; /* extents or strips, 0..16; 0 only if size is 0 */
	const struct famfs_extent *ext;
};

struct famfs_entry {
	uint64_t index;
	uint32_t type; /* enum famfs_media_entry_type */
	/* FILE and MKDIR */
	uint32_t uid;
	uint32_t gid;
	uint32_t mode; /* permission bits only: & 07777 */
	uint32_t flags; /* FILE: as found; writers pass ALL_HOSTS_RW */
	uint32_t path_len;
	char path[FAMFS_PATH_LEN];
	/* FILE */
	uint64_t size;
	uint64_t chunk;
	uint32_t ext_type;
	uint32_t next;
	struct famfs_extent ext[FAMFS_MAX_EXTENTS];
	/* ADD_DAXDEV */
	uint32_t dd_index;
	uint64_t dd_size;
	uint8_t dd_uuid[FAMFS_UUID_LEN];
};

/* ---- decode and validate ---- */

/**
 * famfs_super_decode() - decode and validate a superblock
 * @buf, @len:	bytes from offset 0 of the device, 200 needed
 * @device:	name for messages
 * @dev_size:	real size of the device in bytes, or FAMFS_SIZE_UNKNOWN
 * @ret:	set on success only
 * @ret_err:	set on failure only
 *
 * Passes secondary superblocks too (ret->secondary); a caller that wants the
 * primary has to look. Return: 0 or -errno, see the top of the file.
 */
int famfs_super_decode(const void *buf, size_t len, const char *device, uint64_t dev_size,
		       struct famfs_super *ret, struct famfs_error *ret_err);

/** famfs_super_read() - read from media, then famfs_super_decode() */
int famfs_super_read(const struct famfs_media *m, struct famfs_super *ret,
		     struct famfs_error *ret_err);

/**
 * famfs_super_check_secondary() - does this superblock belong to device
 * devindex of the file system? Compares uuids and sizes.
 */
int famfs_super_check_secondary(const struct famfs_super *sb, const char *device,
				const struct famfs_super *primary, const struct famfs_devs *devs,
				uint32_t devindex, struct famfs_error *ret_err);

/** famfs_log_header_decode() - decode and validate 48 bytes against the superblock */
int famfs_log_header_decode(const void *buf, size_t len, const char *device,
			    const struct famfs_super *sb, struct famfs_log_header *ret,
			    struct famfs_error *ret_err);

/** famfs_log_header_read() - read from media, then famfs_log_header_decode() */
int famfs_log_header_read(const struct famfs_media *m, const struct famfs_super *sb,
			  struct famfs_log_header *ret, struct famfs_error *ret_err);

/**
 * famfs_entry_check() - is this a whole entry for that slot? crc and seqnum
 * only, nothing about its body. Return: 0, -EBADMSG or -EUCLEAN.
 */
int famfs_entry_check(const struct famfs_media_entry *raw, const char *device, uint64_t index,
		      struct famfs_error *ret_err);

/**
 * famfs_entry_decode() - famfs_entry_check(), then decode and validate the body
 * @raw:	a private copy, not a live mapping
 * @index:	slot it was read from
 * @devs:	device table as of this point of the log
 *
 * ret_err->verdict tells a bad log (FAMFS_REFUSE) from an entry to leave out
 * (FAMFS_SKIP). The namespace's own rules (parent, duplicates) are
 * famfs_ns_check(). *ret is undefined on failure. Return: 0 or -errno; an
 * INVALID entry fails with verdict FAMFS_SKIP.
 */
int famfs_entry_decode(const struct famfs_media_entry *raw, const char *device, uint64_t index,
		       const struct famfs_devs *devs, struct famfs_entry *ret,
		       struct famfs_error *ret_err);

/** famfs_devs_init() - device table with the primary only */
void famfs_devs_init(struct famfs_devs *devs, const struct famfs_super *sb);

/** famfs_devs_add() - append what a decoded ADD_DAXDEV entry says */
void famfs_devs_add(struct famfs_devs *devs, const struct famfs_entry *entry);

/* ---- encode ---- */

/** famfs_super_encode() - fill 200 bytes, crc last; version and OMF are ours */
void famfs_super_encode(const struct famfs_super *sb, struct famfs_media_super *ret);

/** famfs_log_header_encode() - fill 48 bytes of a log of len bytes with next entries */
void famfs_log_header_encode(uint64_t len, uint64_t next, struct famfs_media_log_header *ret);

/**
 * famfs_entry_encode() - fill 544 bytes and pass them through
 * famfs_entry_decode(), so that nothing is stored that would not be loaded
 */
int famfs_entry_encode(const struct famfs_entry *entry, const char *device,
		       const struct famfs_devs *devs, struct famfs_media_entry *ret,
		       struct famfs_error *ret_err);

/* ---- small things that daemon and tools share ---- */

/** famfs_generation() - 32-bit FUSE generation of a file system, never 0 */
uint32_t famfs_generation(const uint8_t uuid[FAMFS_UUID_LEN]);

/**
 * famfs_system_uuid_get() - this host's uuid
 * @path:	NULL for /opt/famfs/system_uuid
 * @create:	make a random one when the file is missing or unreadable as a uuid
 */
int famfs_system_uuid_get(const char *path, bool create, uint8_t ret_uuid[FAMFS_UUID_LEN]);

/**
 * famfs_flush_range() - write the CPU cache lines of a range back to media
 * (clwb, clflushopt or clflush), then a store fence. Signature of famfs_flush_fn.
 */
int famfs_flush_range(void *ctx, const void *addr, size_t len);

/** famfs_invalidate_range() - drop the CPU cache lines of a range, then a full fence */
int famfs_invalidate_range(void *ctx, const void *addr, size_t len);

typedef int (*famfs_flush_fn)(void *ctx, const void *addr, size_t len);

#endif /* FAMFS_LIB_MEDIA_H */
