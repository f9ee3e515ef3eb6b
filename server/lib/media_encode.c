// SPDX-License-Identifier: GPL-2.0-only
/*
 * Encoders, the inverse of media_decode.c. An entry goes through the decoder
 * before anybody sees it, so nothing is stored that would not be loaded. Unused
 * bytes are zero, as upstream's writer leaves them.
 */
#include <errno.h>
#include <string.h>

#include "media_i.h"

void famfs_super_encode(const struct famfs_super *sb, struct famfs_media_super *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->ts_magic = htole64(FAMFS_SUPER_MAGIC);
	ret->ts_version = htole64(FAMFS_SUPER_VERSION);
	ret->ts_log_offset = htole64(FAMFS_LOG_OFFSET);
	ret->ts_log_len = htole64(sb->log_len);
	ret->ts_alloc_unit = htole64(FAMFS_ALLOC_UNIT);
	ret->ts_omf_ver_major = htole32(FAMFS_OMF_MAJOR);
	ret->ts_omf_ver_minor = htole32(FAMFS_OMF_MINOR);
	memcpy(ret->ts_uuid, sb->uuid, FAMFS_UUID_LEN);
	memcpy(ret->ts_dev_uuid, sb->dev_uuid, FAMFS_UUID_LEN);
	memcpy(ret->ts_system_uuid, sb->system_uuid, FAMFS_UUID_LEN);
	ret->ts_daxdev.dd_size = htole64(sb->dev_size);
	memcpy(ret->ts_daxdev.dd_daxdev, sb->dev_name, strnlen(sb->dev_name, FAMFS_DEVNAME_LEN));
	if (sb->secondary) {
		ret->ts_sb_flags = htole32(FAMFS_SUPER_SECONDARY);
		memcpy(ret->ts_daxdev.dd_uuid, sb->dev_uuid, FAMFS_UUID_LEN);
	}
	ret->ts_crc = htole64(famfs_crc32(ret, FAMFS_SUPER_CRC_LEN));
}

void famfs_log_header_encode(uint64_t len, uint64_t next, struct famfs_media_log_header *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->magic = htole64(FAMFS_LOG_MAGIC);
	ret->len = htole64(len);
	ret->last_index = htole64(FAMFS_LOG_SLOTS(len) - 1);
	ret->crc = htole64(famfs_crc32(ret, FAMFS_LOG_CRC_LEN));
	ret->next_seqnum = htole64(next);
	ret->next_index = htole64(next);
}

static void extents_encode(const struct famfs_entry *entry, struct famfs_media_extent *raw)
{
	for (uint32_t i = 0; i < entry->next; i++) {
		raw[i].devindex = htole64(entry->ext[i].devindex);
		raw[i].offset = htole64(entry->ext[i].offset);
		raw[i].len = htole64(entry->ext[i].len);
	}
}

static int file_encode(const struct famfs_entry *entry, struct famfs_media_file *raw)
{
	raw->size = htole64(entry->size);
	raw->flags = htole32(entry->flags);
	raw->uid = htole32(entry->uid);
	raw->gid = htole32(entry->gid);
	raw->mode = htole32(entry->mode & 07777);
	memcpy(raw->path, entry->path, strnlen(entry->path, FAMFS_PATH_LEN));
	raw->fmap.ext_type = htole32(entry->ext_type);
	switch (entry->ext_type) {
	case FAMFS_EXT_SIMPLE:
		if (entry->next > FAMFS_MAX_EXTENTS)
			return -EINVAL;
		raw->fmap.nextents = htole32(entry->next);
		extents_encode(entry, raw->fmap.simple);
		return 0;
	case FAMFS_EXT_INTERLEAVE:
		if (entry->next > FAMFS_MAX_STRIPS)
			return -EINVAL;
		raw->fmap.nextents = htole32(1);
		raw->fmap.interleave.nstrips = htole64(entry->next);
		raw->fmap.interleave.chunk_size = htole64(entry->chunk);
		extents_encode(entry, raw->fmap.interleave.strips);
		return 0;
	}
	return -EINVAL;
}

static void mkdir_encode(const struct famfs_entry *entry, struct famfs_media_mkdir *raw)
{
	raw->uid = htole32(entry->uid);
	raw->gid = htole32(entry->gid);
	raw->mode = htole32(entry->mode & 07777);
	memcpy(raw->path, entry->path, strnlen(entry->path, FAMFS_PATH_LEN));
}

static void add_daxdev_encode(const struct famfs_entry *entry, struct famfs_media_add_daxdev *raw)
{
	raw->dd_size = htole64(entry->dd_size);
	memcpy(raw->dd_uuid, entry->dd_uuid, FAMFS_UUID_LEN);
	raw->dd_index = htole32(entry->dd_index);
}

int famfs_entry_encode(const struct famfs_entry *entry, const char *device,
		       const struct famfs_devs *devs, struct famfs_media_entry *ret,
		       struct famfs_error *ret_err)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = device,
		.object = FAMFS_OBJ_ENTRY,
		.verdict = FAMFS_SKIP,
		.index = entry->index,
		.base = FAMFS_SLOT_OFFSET(entry->index),
	};
	struct famfs_entry check;
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	ret->seqnum = htole64(entry->index);
	ret->type = htole32(entry->type);
	switch (entry->type) {
	case FAMFS_ENTRY_FILE:
		err = file_encode(entry, &ret->file);
		break;
	case FAMFS_ENTRY_MKDIR:
		mkdir_encode(entry, &ret->mkdir);
		break;
	case FAMFS_ENTRY_ADD_DAXDEV:
		add_daxdev_encode(entry, &ret->add_daxdev);
		break;
	default:
		return famfs_bad_dec(&at, -EINVAL, offsetof(struct famfs_media_entry, type), "type",
				     entry->type, "FILE, MKDIR or ADD_DAXDEV");
	}
	if (err)
		return famfs_bad_dec(&at, err,
				     offsetof(struct famfs_media_entry, file.fmap.nextents),
				     "extents", entry->next, "at most %d, simple or interleaved",
				     FAMFS_MAX_EXTENTS);
	ret->crc = htole64(famfs_crc32(ret, FAMFS_ENTRY_CRC_LEN));
	return famfs_entry_decode(ret, device, entry->index, devs, &check, ret_err);
}
