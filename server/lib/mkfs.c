// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making a file system: rules and bytes. What is written equals what upstream's
 * mkfs writes, except that the bytes it leaves as they were (flags, padding,
 * dd_uuid) are zeroed, and that the superblock comes last.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <uuid/uuid.h>

#include "famfs_mkfs.h"
#include "media_i.h"

static uint64_t log_len(const struct famfs_mkfs *p)
{
	return p->log_len ? p->log_len : FAMFS_LOG_LEN_MIN;
}

void famfs_mkfs_randomize(struct famfs_mkfs *p)
{
	uuid_generate(p->uuid);
	for (uint32_t i = 0; i < p->ndevs && i < FAMFS_MAX_DEVS; i++)
		uuid_generate(p->dev[i].uuid);
}

int famfs_mkfs_check(const struct famfs_mkfs *p, char *msg, size_t size)
{
	uint64_t len = log_len(p);

	if (len < FAMFS_LOG_LEN_MIN || !famfs_is_pow2(len)) {
		snprintf(msg, size, "Error: invalid log length (%" PRIu64 ")", len);
		return -EINVAL;
	}
	if (len > FAMFS_LOG_LEN_MAX) {
		snprintf(msg, size, "Error: invalid log length (%" PRIu64 "): at most 1 GiB", len);
		return -EINVAL;
	}
	if (p->ndevs < 1 || p->ndevs > FAMFS_MAX_DEVS) {
		snprintf(msg, size, "Error: %u devices, 1 to %d are supported", p->ndevs,
			 FAMFS_MAX_DEVS);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < p->ndevs; i++) {
		/* 4 GiB is above the largest log, so the log fits as well. */
		if (p->dev[i].size >= FAMFS_DEV_SIZE_MIN)
			continue;
		snprintf(msg, size, "unsupported memory device size (<4GiB)%s%s",
			 p->ndevs > 1 ? ": " : "", p->ndevs > 1 ? p->dev[i].name : "");
		return -EINVAL;
	}
	return 0;
}

int famfs_mkfs_check_existing(const void *super, const char *device,
			      const uint8_t system_uuid[FAMFS_UUID_LEN], bool force, char *msg,
			      size_t size)
{
	struct famfs_media_super raw;

	memcpy(&raw, super, sizeof(raw));
	if (force || le64toh(raw.ts_magic) != FAMFS_SUPER_MAGIC)
		return 0;
	if (memcmp(raw.ts_system_uuid, system_uuid, FAMFS_UUID_LEN))
		snprintf(msg, size, "Device %s has a superblock owned by another host.", device);
	else
		snprintf(msg, size, "Device %s already has a famfs superblock", device);
	return -EEXIST;
}

/* ---- writing ---- */

static int do_flush(famfs_flush_fn flush, void *ctx, const void *addr, size_t len)
{
	return flush ? flush(ctx, addr, len) : famfs_flush_range(NULL, addr, len);
}

int famfs_mkfs_kill(void *super, famfs_flush_fn flush, void *ctx)
{
	struct famfs_media_super *raw = super;

	__atomic_store_n(&raw->ts_magic, 0, __ATOMIC_RELEASE);
	return do_flush(flush, ctx, raw, sizeof(raw->ts_magic));
}

static int write_super(const struct famfs_mkfs *p, uint32_t devindex, void *super,
		       famfs_flush_fn flush, void *ctx)
{
	struct famfs_super sb = {
		.log_len = log_len(p),
		.dev_size = p->dev[devindex].size,
		.secondary = devindex > 0,
	};
	struct famfs_media_super raw;

	memcpy(sb.uuid, p->uuid, FAMFS_UUID_LEN);
	memcpy(sb.dev_uuid, p->dev[devindex].uuid, FAMFS_UUID_LEN);
	memcpy(sb.system_uuid, p->system_uuid, FAMFS_UUID_LEN);
	snprintf(sb.dev_name, FAMFS_DEVNAME_LEN, "%s", p->dev[devindex].name);
	famfs_super_encode(&sb, &raw);
	memcpy(super, &raw, sizeof(raw));
	return do_flush(flush, ctx, super, sizeof(raw));
}

int famfs_mkfs_write_secondary(const struct famfs_mkfs *p, uint32_t devindex, void *super,
			       famfs_flush_fn flush, void *ctx)
{
	if (devindex == 0 || devindex >= p->ndevs)
		return -EINVAL;
	return write_super(p, devindex, super, flush, ctx);
}

/* The device table: one ADD_DAXDEV per further device, from slot 0. */
static int write_devices(const struct famfs_mkfs *p, uint8_t *log, struct famfs_error *ret_err)
{
	struct famfs_super sb = { .log_len = log_len(p),
				  .alloc_unit = FAMFS_ALLOC_UNIT,
				  .dev_size = p->dev[0].size };
	struct famfs_devs devs;
	int err;

	memcpy(sb.dev_uuid, p->dev[0].uuid, FAMFS_UUID_LEN);
	famfs_devs_init(&devs, &sb);
	for (uint32_t i = 1; i < p->ndevs; i++) {
		struct famfs_entry entry = { .index = i - 1,
					     .type = FAMFS_ENTRY_ADD_DAXDEV,
					     .dd_index = i,
					     .dd_size = p->dev[i].size };
		struct famfs_media_entry raw;

		memcpy(entry.dd_uuid, p->dev[i].uuid, FAMFS_UUID_LEN);
		err = famfs_entry_encode(&entry, p->dev[0].name, &devs, &raw, ret_err);
		if (err)
			return err;
		famfs_devs_add(&devs, &entry);
		memcpy(log + FAMFS_SLOT_OFFSET(entry.index) - FAMFS_LOG_OFFSET, &raw, sizeof(raw));
	}
	return 0;
}

int famfs_mkfs_write_primary(const struct famfs_mkfs *p, void *super, void *log,
			     famfs_flush_fn flush, void *ctx, struct famfs_error *ret_err)
{
	struct famfs_at at = { .err = ret_err,
			       .device = p->dev[0].name,
			       .object = FAMFS_OBJ_DEVICE };
	struct famfs_media_log_header header;
	char msg[160];
	int err;

	err = famfs_mkfs_check(p, msg, sizeof(msg));
	if (err)
		return famfs_bad(&at, err, 0, "parameters", msg, "legal parameters");
	err = famfs_mkfs_kill(super, flush, ctx);
	if (err)
		return famfs_bad(&at, err, 0, "flush", strerror(-err), "the old magic gone");
	memset(log, 0, log_len(p));
	err = write_devices(p, log, ret_err);
	if (err)
		return err;
	famfs_log_header_encode(log_len(p), p->ndevs - 1, &header);
	memcpy(log, &header, sizeof(header));
	err = do_flush(flush, ctx, log, log_len(p));
	if (!err)
		err = write_super(p, 0, super, flush, ctx);
	if (err)
		return famfs_bad(&at, err, 0, "flush", strerror(-err),
				 "log and superblock on media");
	return 0;
}
