// SPDX-License-Identifier: GPL-2.0-only
/*
 * Decoders of superblock, log header and log entry: bytes to struct, each check
 * with the field it refuses. Pure functions over a private copy of the bytes;
 * no I/O, no repair, no state but the device table that the caller passes.
 * Which check comes from where is tabled in docs/media.md.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <uuid/uuid.h>

#include "media_i.h"

/* ---- superblock ---- */

static int super_bad_version(const struct famfs_at *at, uint64_t version)
{
	const uint64_t off = offsetof(struct famfs_media_super, ts_version);

	if (version == 47)
		return famfs_bad_dec(at, -EOPNOTSUPP, off, "ts_version", version,
				     "48 (mount this file system with the famfs release that "
				     "made it, from before 2026-06-28, and copy the files to "
				     "one made anew)");
	return famfs_bad_dec(at, -EOPNOTSUPP, off, "ts_version", version, "48");
}

/* What makes it a superblock that this code may read on. */
static int super_check_identity(const struct famfs_media_super *raw, const struct famfs_at *at)
{
	uint64_t crc = famfs_crc32(raw, FAMFS_SUPER_CRC_LEN);

	if (le64toh(raw->ts_magic) != FAMFS_SUPER_MAGIC)
		return famfs_bad_hex(at, -ENODATA, offsetof(struct famfs_media_super, ts_magic),
				     "ts_magic", le64toh(raw->ts_magic),
				     "0x%llx (no famfs file system)", FAMFS_SUPER_MAGIC);
	if (le64toh(raw->ts_version) != FAMFS_SUPER_VERSION)
		return super_bad_version(at, le64toh(raw->ts_version));
	if (le64toh(raw->ts_crc) != crc)
		return famfs_bad_hex(at, -EBADMSG, offsetof(struct famfs_media_super, ts_crc),
				     "crc", le64toh(raw->ts_crc), "0x%" PRIx64, crc);
	if (le32toh(raw->ts_omf_ver_major) != FAMFS_OMF_MAJOR)
		return famfs_bad_dec(at, -EOPNOTSUPP,
				     offsetof(struct famfs_media_super, ts_omf_ver_major),
				     "ts_omf_ver_major", le32toh(raw->ts_omf_ver_major), "%u",
				     FAMFS_OMF_MAJOR);
	return 0;
}

static int super_check_log(const struct famfs_super *sb, const struct famfs_at *at)
{
	const uint64_t off_len = offsetof(struct famfs_media_super, ts_log_len);

	if (sb->alloc_unit != FAMFS_ALLOC_UNIT && sb->alloc_unit != FAMFS_ALLOC_UNIT_SMALL)
		return famfs_bad_hex(at, -EUCLEAN,
				     offsetof(struct famfs_media_super, ts_alloc_unit),
				     "ts_alloc_unit", sb->alloc_unit, "0x%llx or 0x%llx",
				     FAMFS_ALLOC_UNIT, FAMFS_ALLOC_UNIT_SMALL);
	if (sb->log_offset != FAMFS_LOG_OFFSET)
		return famfs_bad_hex(at, -EUCLEAN,
				     offsetof(struct famfs_media_super, ts_log_offset),
				     "ts_log_offset", sb->log_offset, "0x%llx", FAMFS_LOG_OFFSET);
	if (sb->log_len < FAMFS_LOG_LEN_MIN)
		return famfs_bad_hex(at, -EUCLEAN, off_len, "ts_log_len", sb->log_len,
				     "at least 0x%llx (8 MiB)", FAMFS_LOG_LEN_MIN);
	if (!famfs_is_pow2(sb->log_len))
		return famfs_bad_hex(at, -EUCLEAN, off_len, "ts_log_len", sb->log_len,
				     "a power of two");
	if (sb->log_len > FAMFS_LOG_LEN_MAX)
		return famfs_bad_hex(at, -E2BIG, off_len, "ts_log_len", sb->log_len,
				     "at most 0x%llx (1 GiB, %u entries: the limit of this "
				     "implementation)",
				     FAMFS_LOG_LEN_MAX,
				     (unsigned int)FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MAX));
	return 0;
}

static int super_check_size(const struct famfs_super *sb, const struct famfs_at *at,
			    const struct famfs_at *dev_at, uint64_t dev_size)
{
	const uint64_t off = offsetof(struct famfs_media_super, ts_daxdev.dd_size);
	uint64_t head = FAMFS_LOG_OFFSET + (sb->secondary ? 0 : sb->log_len);

	if (dev_size < head)
		return famfs_bad_hex(dev_at, -EUCLEAN, 0, "size", dev_size,
				     "at least 0x%" PRIx64 " (superblock%s)", head,
				     sb->secondary ? "" : " and log");
	/* Not under the crc, yet it bounds every extent and sizes the allocator. */
	if (sb->dev_size < FAMFS_DEV_SIZE_MIN)
		return famfs_bad_hex(at, -EUCLEAN, off, "dd_size", sb->dev_size,
				     "at least 0x%llx (4 GiB)", FAMFS_DEV_SIZE_MIN);
	if (famfs_units(sb->dev_size, sb->alloc_unit) > FAMFS_MAX_UNITS)
		return famfs_bad_hex(at, -E2BIG, off, "dd_size", sb->dev_size,
				     "at most 0x%llx (%llu allocation units: the limit of this "
				     "implementation)",
				     FAMFS_MAX_UNITS * sb->alloc_unit, FAMFS_MAX_UNITS);
	if (sb->dev_size > dev_size)
		return famfs_bad_hex(at, -EUCLEAN, off, "dd_size", sb->dev_size,
				     "at most 0x%" PRIx64 " (the size of the device)", dev_size);
	return 0;
}

/*
 * Real mkfs leaves ts_sb_flags and dd_uuid as the device held them, so a flag
 * alone may be left over from an earlier life. Our secondaries repeat the
 * device uuid, which is new with every mkfs and under the crc, in dd_uuid.
 */
static bool super_is_secondary(const struct famfs_media_super *raw)
{
	return (le32toh(raw->ts_sb_flags) & FAMFS_SUPER_SECONDARY) &&
	       !memcmp(raw->ts_daxdev.dd_uuid, raw->ts_dev_uuid, FAMFS_UUID_LEN);
}

static void super_convert(const struct famfs_media_super *raw, struct famfs_super *sb)
{
	*sb = (struct famfs_super){
		.version = le64toh(raw->ts_version),
		.log_offset = le64toh(raw->ts_log_offset),
		.log_len = le64toh(raw->ts_log_len),
		.alloc_unit = le64toh(raw->ts_alloc_unit),
		.omf_major = le32toh(raw->ts_omf_ver_major),
		.omf_minor = le32toh(raw->ts_omf_ver_minor),
		.flags = le32toh(raw->ts_sb_flags),
		.dev_size = le64toh(raw->ts_daxdev.dd_size),
		.secondary = super_is_secondary(raw),
	};
	memcpy(sb->uuid, raw->ts_uuid, FAMFS_UUID_LEN);
	memcpy(sb->dev_uuid, raw->ts_dev_uuid, FAMFS_UUID_LEN);
	memcpy(sb->system_uuid, raw->ts_system_uuid, FAMFS_UUID_LEN);
	memcpy(sb->dev_name, raw->ts_daxdev.dd_daxdev, FAMFS_DEVNAME_LEN);
}

int famfs_super_decode(const void *buf, size_t len, const char *device, uint64_t dev_size,
		       struct famfs_super *ret, struct famfs_error *ret_err)
{
	struct famfs_at at = { .err = ret_err, .device = device, .object = FAMFS_OBJ_SUPER };
	struct famfs_at dev_at = { .err = ret_err, .device = device, .object = FAMFS_OBJ_DEVICE };
	struct famfs_media_super raw;
	struct famfs_super sb;
	int err;

	if (len < sizeof(raw) || dev_size < sizeof(raw))
		return famfs_bad_dec(&dev_at, -EUCLEAN, 0, "size", dev_size < len ? dev_size : len,
				     "at least %zu (a superblock)", sizeof(raw));
	memcpy(&raw, buf, sizeof(raw));
	err = super_check_identity(&raw, &at);
	if (err)
		return err;
	super_convert(&raw, &sb);
	err = super_check_log(&sb, &at);
	if (err)
		return err;
	err = super_check_size(&sb, &at, &dev_at, dev_size);
	if (err)
		return err;
	*ret = sb;
	return 0;
}

static int read_error(const struct famfs_media *m, enum famfs_object object, uint64_t offset,
		      size_t len, int err, struct famfs_error *ret_err)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = m->name,
		.object = object,
		.base = offset,
	};
	char found[96];

	snprintf(found, sizeof(found), "%s", strerror(-err));
	return famfs_bad(&at, err, 0, "read", found, "%zu bytes", len);
}

int famfs_super_read(const struct famfs_media *m, struct famfs_super *ret,
		     struct famfs_error *ret_err)
{
	struct famfs_media_super raw = { 0 };
	int err;

	if (m->size < sizeof(raw))
		return famfs_super_decode(&raw, m->size, m->name, m->size, ret, ret_err);
	err = m->read(m, FAMFS_SUPER_OFFSET, &raw, sizeof(raw));
	if (err)
		return read_error(m, FAMFS_OBJ_SUPER, FAMFS_SUPER_OFFSET, sizeof(raw), err,
				  ret_err);
	return famfs_super_decode(&raw, sizeof(raw), m->name, m->size, ret, ret_err);
}

static int bad_uuid(const struct famfs_at *at, uint64_t off, const char *field,
		    const uint8_t *found, const uint8_t *expected, const char *whose)
{
	char f[UUID_STR_LEN], e[UUID_STR_LEN];

	uuid_unparse_lower(found, f);
	uuid_unparse_lower(expected, e);
	return famfs_bad(at, -EUCLEAN, off, field, f, "%s (%s)", e, whose);
}

int famfs_super_check_secondary(const struct famfs_super *sb, const char *device,
				const struct famfs_super *primary, const struct famfs_devs *devs,
				uint32_t devindex, struct famfs_error *ret_err)
{
	struct famfs_at at = { .err = ret_err, .device = device, .object = FAMFS_OBJ_SUPER };
	const struct famfs_dev *dev;

	if (devindex == 0 || devindex >= devs->count)
		return famfs_bad_dec(&at, -EINVAL, 0, "devindex", devindex, "1 to %u",
				     devs->count - 1);
	dev = &devs->dev[devindex];
	if (!sb->secondary)
		return famfs_bad_hex(&at, -EUCLEAN, offsetof(struct famfs_media_super, ts_sb_flags),
				     "ts_sb_flags", sb->flags, "a secondary superblock (0x%x)",
				     FAMFS_SUPER_SECONDARY);
	if (memcmp(sb->uuid, primary->uuid, FAMFS_UUID_LEN))
		return bad_uuid(&at, offsetof(struct famfs_media_super, ts_uuid), "ts_uuid",
				sb->uuid, primary->uuid, "of the primary");
	if (memcmp(sb->dev_uuid, dev->uuid, FAMFS_UUID_LEN))
		return bad_uuid(&at, offsetof(struct famfs_media_super, ts_dev_uuid), "ts_dev_uuid",
				sb->dev_uuid, dev->uuid, "of the device table");
	if (sb->dev_size != dev->size)
		return famfs_bad_hex(&at, -EUCLEAN,
				     offsetof(struct famfs_media_super, ts_daxdev.dd_size),
				     "dd_size", sb->dev_size, "0x%" PRIx64 " (of the device table)",
				     dev->size);
	return 0;
}

/* ---- log header ---- */

int famfs_log_header_decode(const void *buf, size_t len, const char *device,
			    const struct famfs_super *sb, struct famfs_log_header *ret,
			    struct famfs_error *ret_err)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = device,
		.object = FAMFS_OBJ_LOG_HEADER,
		.base = FAMFS_LOG_OFFSET,
	};
	struct famfs_media_log_header raw;
	uint64_t crc, slots, next;

	if (len < sizeof(raw))
		return famfs_bad_dec(&at, -EUCLEAN, 0, "size", len, "%zu", sizeof(raw));
	memcpy(&raw, buf, sizeof(raw));
	crc = famfs_crc32(&raw, FAMFS_LOG_CRC_LEN);
	slots = FAMFS_LOG_SLOTS(sb->log_len);
	next = le64toh(raw.next_index);

	if (le64toh(raw.magic) != FAMFS_LOG_MAGIC)
		return famfs_bad_hex(&at, -EUCLEAN, offsetof(struct famfs_media_log_header, magic),
				     "magic", le64toh(raw.magic), "0x%llx", FAMFS_LOG_MAGIC);
	if (le64toh(raw.crc) != crc)
		return famfs_bad_hex(&at, -EBADMSG, offsetof(struct famfs_media_log_header, crc),
				     "crc", le64toh(raw.crc), "0x%" PRIx64, crc);
	if (le64toh(raw.len) != sb->log_len)
		return famfs_bad_hex(&at, -EUCLEAN, offsetof(struct famfs_media_log_header, len),
				     "len", le64toh(raw.len),
				     "0x%" PRIx64 " (ts_log_len of the superblock)", sb->log_len);
	if (le64toh(raw.last_index) != slots - 1)
		return famfs_bad_dec(&at, -EUCLEAN,
				     offsetof(struct famfs_media_log_header, last_index),
				     "last_index", le64toh(raw.last_index),
				     "%" PRIu64 " (from the log's length)", slots - 1);
	if (next > slots)
		return famfs_bad_dec(&at, -EUCLEAN,
				     offsetof(struct famfs_media_log_header, next_index),
				     "next_index", next, "at most %" PRIu64, slots);
	*ret = (struct famfs_log_header){
		.len = sb->log_len,
		.slots = slots,
		.next_seqnum = le64toh(raw.next_seqnum),
		.next_index = next,
	};
	return 0;
}

int famfs_log_header_read(const struct famfs_media *m, const struct famfs_super *sb,
			  struct famfs_log_header *ret, struct famfs_error *ret_err)
{
	struct famfs_media_log_header raw;
	int err;

	err = m->read(m, FAMFS_LOG_OFFSET, &raw, sizeof(raw));
	if (err)
		return read_error(m, FAMFS_OBJ_LOG_HEADER, FAMFS_LOG_OFFSET, sizeof(raw), err,
				  ret_err);
	return famfs_log_header_decode(&raw, sizeof(raw), m->name, sb, ret, ret_err);
}

/* ---- log entry ---- */

static struct famfs_at entry_at(const char *device, uint64_t index, struct famfs_error *err)
{
	return (struct famfs_at){
		.err = err,
		.device = device,
		.object = FAMFS_OBJ_ENTRY,
		.verdict = FAMFS_REFUSE,
		.index = index,
		.base = FAMFS_SLOT_OFFSET(index),
	};
}

int famfs_entry_check(const struct famfs_media_entry *raw, const char *device, uint64_t index,
		      struct famfs_error *ret_err)
{
	struct famfs_at at = entry_at(device, index, ret_err);
	uint64_t crc = famfs_crc32(raw, FAMFS_ENTRY_CRC_LEN);

	if (le64toh(raw->crc) != crc)
		return famfs_bad_hex(&at, -EBADMSG, offsetof(struct famfs_media_entry, crc), "crc",
				     le64toh(raw->crc), "0x%" PRIx64, crc);
	if (le64toh(raw->seqnum) != index)
		return famfs_bad_dec(&at, -EUCLEAN, offsetof(struct famfs_media_entry, seqnum),
				     "seqnum", le64toh(raw->seqnum), "%" PRIu64, index);
	return 0;
}

static bool component_is(const char *p, size_t len, const char *name)
{
	return len == strlen(name) && !memcmp(p, name, len);
}

/* Relative, canonical, inside the mount point, and not in .meta. */
static const char *path_fault(const char *path, size_t len)
{
	size_t start = 0;

	if (len == 0)
		return "a path that is not empty";
	if (path[0] == '/')
		return "a path relative to the mount point";
	for (size_t i = 0; i <= len; i++) {
		if (i < len && path[i] != '/')
			continue;
		if (i == start)
			return "a path without empty components";
		if (component_is(path + start, i - start, ".") ||
		    component_is(path + start, i - start, ".."))
			return "a path without . and ..";
		if (start == 0 && component_is(path, i, ".meta"))
			return "a path outside .meta, which is reserved";
		start = i + 1;
	}
	return NULL;
}

static int entry_decode_path(const uint8_t *raw, uint64_t off, struct famfs_at *at,
			     struct famfs_entry *ret)
{
	const uint8_t *nul = memchr(raw, 0, FAMFS_PATH_LEN);
	size_t len = nul ? (size_t)(nul - raw) : FAMFS_PATH_LEN;
	const char *fault = NULL;
	char found[352];

	at->path = (const char *)raw;
	at->path_len = len;
	if (!nul)
		fault = "a NUL within 80 bytes";
	else
		fault = path_fault((const char *)raw, len);
	if (fault) {
		found[0] = '\'';
		famfs_escape(raw, len, found + 1, sizeof(found) - 2);
		strcat(found, "'");
		return famfs_bad(at, -EUCLEAN, off, "path", found, "%s", fault);
	}
	ret->path_len = (uint32_t)len;
	memcpy(ret->path, raw, len);
	ret->path[len] = '\0';
	return 0;
}

/* A field of extent or strip i; formed only once something is wrong with it. */
struct ext_at {
	const struct famfs_at *at;
	uint64_t off; /* of the extent, from the start of the entry */
	const char *what; /* "extent" or "strip" */
	unsigned int i;
};

static const char *ext_field(const struct ext_at *x, const char *field, char *buf, size_t size)
{
	snprintf(buf, size, "%s %u %s", x->what, x->i, field);
	return buf;
}

static int extent_check_offset(const struct famfs_extent *e, uint64_t devindex,
			       const struct famfs_devs *devs, const struct ext_at *x)
{
	const uint64_t off = x->off + offsetof(struct famfs_media_extent, offset);
	const struct famfs_dev *dev = &devs->dev[devindex];
	char buf[32];

	if (e->offset % devs->alloc_unit)
		return famfs_bad_hex(x->at, -EUCLEAN, off, ext_field(x, "offset", buf, sizeof(buf)),
				     e->offset, "a multiple of 0x%" PRIx64, devs->alloc_unit);
	if (e->offset < dev->first)
		return famfs_bad_hex(x->at, -EUCLEAN, off, ext_field(x, "offset", buf, sizeof(buf)),
				     e->offset, "at least 0x%" PRIx64 " (behind the superblock%s)",
				     dev->first, devindex ? "" : " and the log");
	if (e->offset >= dev->size)
		return famfs_bad_hex(x->at, -EUCLEAN, off, ext_field(x, "offset", buf, sizeof(buf)),
				     e->offset,
				     "below 0x%" PRIx64 " (the size of device %" PRIu64 ")",
				     dev->size, devindex);
	return 0;
}

static int extent_check(const struct famfs_extent *e, uint64_t devindex,
			const struct famfs_devs *devs, const struct ext_at *x)
{
	const uint64_t off = x->off + offsetof(struct famfs_media_extent, len);
	uint64_t end;
	char buf[32];
	int err;

	if (devindex >= devs->count)
		return famfs_bad_dec(x->at, -EUCLEAN, x->off,
				     ext_field(x, "devindex", buf, sizeof(buf)), devindex,
				     "a device of the table (0 to %u)", devs->count - 1);
	err = extent_check_offset(e, devindex, devs, x);
	if (err)
		return err;
	if (e->len == 0 || e->len % devs->alloc_unit)
		return famfs_bad_hex(x->at, -EUCLEAN, off, ext_field(x, "len", buf, sizeof(buf)),
				     e->len, "a multiple of 0x%" PRIx64 ", not 0",
				     devs->alloc_unit);
	if (__builtin_add_overflow(e->offset, e->len, &end) || end > devs->dev[devindex].size)
		return famfs_bad_hex(x->at, -EUCLEAN, off, ext_field(x, "len", buf, sizeof(buf)),
				     e->len,
				     "at most 0x%" PRIx64 " (up to the end of device %" PRIu64 ")",
				     devs->dev[devindex].size - e->offset, devindex);
	return 0;
}

/* Every end is inside its device by now, so sums cannot wrap. */
static int extents_check_overlap(const struct famfs_entry *e, const struct famfs_at *at,
				 uint64_t off, const char *what)
{
	for (uint32_t i = 1; i < e->next; i++) {
		for (uint32_t k = 0; k < i; k++) {
			const struct famfs_extent *a = &e->ext[i], *b = &e->ext[k];
			char field[32];

			if (a->devindex != b->devindex || a->offset >= b->offset + b->len ||
			    b->offset >= a->offset + a->len)
				continue;
			snprintf(field, sizeof(field), "%s %u offset", what, i);
			return famfs_bad_hex(at, -EUCLEAN,
					     off + i * sizeof(struct famfs_media_extent) +
						     offsetof(struct famfs_media_extent, offset),
					     field, a->offset, "no overlap with %s %u", what, k);
		}
	}
	return 0;
}

static int extents_decode(const struct famfs_media_extent *raw, uint32_t n, uint64_t off,
			  const char *what, const struct famfs_devs *devs,
			  const struct famfs_at *at, struct famfs_entry *ret)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct ext_at x = { at, off + i * sizeof(raw[i]), what, i };
		uint64_t devindex = le64toh(raw[i].devindex);
		int err;

		ret->ext[i].offset = le64toh(raw[i].offset);
		ret->ext[i].len = le64toh(raw[i].len);
		err = extent_check(&ret->ext[i], devindex, devs, &x);
		if (err)
			return err;
		ret->ext[i].devindex = (uint32_t)devindex;
	}
	ret->next = n;
	return extents_check_overlap(ret, at, off, what);
}

static int simple_decode(const struct famfs_media_fmap *raw, const struct famfs_devs *devs,
			 const struct famfs_at *at, struct famfs_entry *ret)
{
	uint32_t n = le32toh(raw->nextents);
	uint64_t sum = 0;
	int err;

	if (n > FAMFS_MAX_EXTENTS)
		return famfs_bad_dec(at, -EUCLEAN,
				     offsetof(struct famfs_media_entry, file.fmap.nextents),
				     "nextents", n, "at most %d", FAMFS_MAX_EXTENTS);
	err = extents_decode(raw->simple, n, offsetof(struct famfs_media_entry, file.fmap.simple),
			     "extent", devs, at, ret);
	if (err)
		return err;
	for (uint32_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, ret->ext[i].len, &sum))
			sum = UINT64_MAX;
	if (sum < ret->size)
		return famfs_bad_hex(at, -EUCLEAN, offsetof(struct famfs_media_entry, file.size),
				     "size", ret->size,
				     "at most 0x%" PRIx64 " (what the extents cover)", sum);
	ret->chunk = 0;
	return 0;
}

/* Strip length that size needs: ceil(size / (chunk * n)) * chunk. False on overflow. */
static bool strip_len_needed(uint64_t size, uint64_t chunk, uint64_t n, uint64_t *ret)
{
	uint64_t stripe;

	if (__builtin_mul_overflow(chunk, n, &stripe))
		return false;
	return !__builtin_mul_overflow(size / stripe + !!(size % stripe), chunk, ret);
}

static int interleave_decode(const struct famfs_media_fmap *raw, const struct famfs_devs *devs,
			     const struct famfs_at *at, struct famfs_entry *ret)
{
	const struct famfs_media_interleave *il = &raw->interleave;
	const uint64_t off_chunk =
		offsetof(struct famfs_media_entry, file.fmap.interleave.chunk_size);
	const uint64_t off_strips = offsetof(struct famfs_media_entry, file.fmap.interleave.strips);
	uint64_t nstrips = le64toh(il->nstrips);
	uint64_t need;
	int err;

	if (le32toh(raw->nextents) != 1)
		return famfs_bad_dec(at, -EUCLEAN,
				     offsetof(struct famfs_media_entry, file.fmap.nextents),
				     "niext", le32toh(raw->nextents), "1");
	if (nstrips < 1 || nstrips > FAMFS_MAX_STRIPS)
		return famfs_bad_dec(at, -EUCLEAN,
				     offsetof(struct famfs_media_entry,
					      file.fmap.interleave.nstrips),
				     "nstrips", nstrips, "1 to %d", FAMFS_MAX_STRIPS);
	ret->chunk = le64toh(il->chunk_size);
	if (!famfs_is_pow2(ret->chunk) || ret->chunk % devs->alloc_unit)
		return famfs_bad_hex(at, -EUCLEAN, off_chunk, "chunk_size", ret->chunk,
				     "a power of two and a multiple of 0x%" PRIx64,
				     devs->alloc_unit);
	if (!strip_len_needed(ret->size, ret->chunk, nstrips, &need))
		return famfs_bad_hex(at, -EUCLEAN, off_chunk, "chunk_size", ret->chunk,
				     "a strip shorter than 2^64");
	err = extents_decode(il->strips, (uint32_t)nstrips, off_strips, "strip", devs, at, ret);
	if (err)
		return err;
	for (uint32_t i = 0; i < ret->next; i++) {
		char field[32];

		if (ret->ext[i].len >= need)
			continue;
		snprintf(field, sizeof(field), "strip %u len", i);
		return famfs_bad_hex(at, -EUCLEAN,
				     off_strips + i * sizeof(il->strips[0]) +
					     offsetof(struct famfs_media_extent, len),
				     field, ret->ext[i].len, "at least 0x%" PRIx64 " for the size",
				     need);
	}
	return 0;
}

static int file_decode(const struct famfs_media_file *raw, const struct famfs_devs *devs,
		       struct famfs_at *at, struct famfs_entry *ret)
{
	int err;

	at->verdict = FAMFS_SKIP;
	err = entry_decode_path(raw->path, offsetof(struct famfs_media_entry, file.path), at, ret);
	if (err)
		return err;
	ret->uid = le32toh(raw->uid);
	ret->gid = le32toh(raw->gid);
	ret->mode = le32toh(raw->mode) & 07777;
	ret->flags = le32toh(raw->flags);
	ret->size = le64toh(raw->size);
	if (ret->size > INT64_MAX)
		return famfs_bad_hex(at, -EUCLEAN, offsetof(struct famfs_media_entry, file.size),
				     "size", ret->size, "at most 0x%" PRIx64, INT64_MAX);
	ret->ext_type = le32toh(raw->fmap.ext_type);
	switch (ret->ext_type) {
	case FAMFS_EXT_SIMPLE:
		return simple_decode(&raw->fmap, devs, at, ret);
	case FAMFS_EXT_INTERLEAVE:
		return interleave_decode(&raw->fmap, devs, at, ret);
	}
	return famfs_bad_dec(at, -EUCLEAN, offsetof(struct famfs_media_entry, file.fmap.ext_type),
			     "ext_type", ret->ext_type, "0 (simple) or 1 (interleaved)");
}

static int mkdir_decode(const struct famfs_media_mkdir *raw, struct famfs_at *at,
			struct famfs_entry *ret)
{
	int err;

	at->verdict = FAMFS_SKIP;
	err = entry_decode_path(raw->path, offsetof(struct famfs_media_entry, mkdir.path), at, ret);
	if (err)
		return err;
	ret->uid = le32toh(raw->uid);
	ret->gid = le32toh(raw->gid);
	ret->mode = le32toh(raw->mode) & 07777;
	return 0;
}

static int add_daxdev_decode(const struct famfs_media_add_daxdev *raw,
			     const struct famfs_devs *devs, const struct famfs_at *at,
			     struct famfs_entry *ret)
{
	const uint64_t off_index = offsetof(struct famfs_media_entry, add_daxdev.dd_index);
	char text[UUID_STR_LEN];

	ret->dd_index = le32toh(raw->dd_index);
	ret->dd_size = le64toh(raw->dd_size);
	memcpy(ret->dd_uuid, raw->dd_uuid, FAMFS_UUID_LEN);
	if (devs->count >= FAMFS_MAX_DEVS)
		return famfs_bad_dec(at, -E2BIG, off_index, "dd_index", ret->dd_index,
				     "at most %d devices: the limit of this implementation",
				     FAMFS_MAX_DEVS);
	if (ret->dd_index != devs->count)
		return famfs_bad_dec(at, -EUCLEAN, off_index, "dd_index", ret->dd_index,
				     "%u (the table is dense)", devs->count);
	if (ret->dd_size < FAMFS_SUPER_AREA + FAMFS_ALLOC_UNIT)
		return famfs_bad_hex(at, -EUCLEAN,
				     offsetof(struct famfs_media_entry, add_daxdev.dd_size),
				     "dd_size", ret->dd_size, "at least 0x%llx",
				     FAMFS_SUPER_AREA + FAMFS_ALLOC_UNIT);
	if (famfs_units(ret->dd_size, devs->alloc_unit) > FAMFS_MAX_UNITS - devs->units)
		return famfs_bad_hex(at, -E2BIG,
				     offsetof(struct famfs_media_entry, add_daxdev.dd_size),
				     "dd_size", ret->dd_size,
				     "at most %llu allocation units with the devices before it: "
				     "the limit of this implementation",
				     FAMFS_MAX_UNITS);
	for (uint32_t i = 0; i < devs->count; i++) {
		if (memcmp(devs->dev[i].uuid, ret->dd_uuid, FAMFS_UUID_LEN))
			continue;
		uuid_unparse_lower(ret->dd_uuid, text);
		return famfs_bad(at, -EUCLEAN,
				 offsetof(struct famfs_media_entry, add_daxdev.dd_uuid), "dd_uuid",
				 text, "a uuid other than that of device %u", i);
	}
	return 0;
}

int famfs_entry_decode_body(const struct famfs_media_entry *raw, const char *device, uint64_t index,
			    const struct famfs_devs *devs, struct famfs_entry *ret,
			    struct famfs_error *ret_err)
{
	const uint64_t off = offsetof(struct famfs_media_entry, type);
	struct famfs_at at = entry_at(device, index, ret_err);

	ret->index = index;
	ret->type = le32toh(raw->type);
	switch (ret->type) {
	case FAMFS_ENTRY_FILE:
		return file_decode(&raw->file, devs, &at, ret);
	case FAMFS_ENTRY_MKDIR:
		return mkdir_decode(&raw->mkdir, &at, ret);
	case FAMFS_ENTRY_ADD_DAXDEV:
		return add_daxdev_decode(&raw->add_daxdev, devs, &at, ret);
	case FAMFS_ENTRY_INVALID:
		at.verdict = FAMFS_SKIP;
		return famfs_bad(&at, -EUCLEAN, off, "type", "4 (INVALID)", "an entry in use");
	case FAMFS_ENTRY_DELETE:
		return famfs_bad(&at, -EOPNOTSUPP, off, "type", "2 (DELETE)",
				 "FILE, MKDIR, ADD_DAXDEV or INVALID (a DELETE has no defined "
				 "body)");
	}
	return famfs_bad_dec(&at, -EOPNOTSUPP, off, "type", ret->type, "0, 1, 3 or 4");
}

int famfs_entry_decode(const struct famfs_media_entry *raw, const char *device, uint64_t index,
		       const struct famfs_devs *devs, struct famfs_entry *ret,
		       struct famfs_error *ret_err)
{
	int err;

	err = famfs_entry_check(raw, device, index, ret_err);
	if (err)
		return err;
	return famfs_entry_decode_body(raw, device, index, devs, ret, ret_err);
}

/* ---- device table ---- */

void famfs_devs_init(struct famfs_devs *devs, const struct famfs_super *sb)
{
	devs->alloc_unit = sb->alloc_unit;
	devs->units = famfs_units(sb->dev_size, sb->alloc_unit);
	devs->count = 1;
	devs->dev[0] = (struct famfs_dev){
		.size = sb->dev_size,
		.first = FAMFS_LOG_OFFSET + sb->log_len,
	};
	memcpy(devs->dev[0].uuid, sb->dev_uuid, FAMFS_UUID_LEN);
}

void famfs_devs_add(struct famfs_devs *devs, const struct famfs_entry *entry)
{
	struct famfs_dev *dev = &devs->dev[devs->count++];

	devs->units += famfs_units(entry->dd_size, devs->alloc_unit);
	*dev = (struct famfs_dev){ .size = entry->dd_size, .first = FAMFS_SUPER_AREA };
	memcpy(dev->uuid, entry->dd_uuid, FAMFS_UUID_LEN);
}
