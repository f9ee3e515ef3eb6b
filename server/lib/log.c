// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening a file system and playing its log, once or again and again; and the
 * append protocol. Entries are read in batches into private memory before the
 * first check, because another host may store to the log at any time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uuid/uuid.h>

#include "famfs_log.h"
#include "media_i.h"

#define ENTRY_SIZE sizeof(struct famfs_media_entry)
#define BATCH	   120U /* entries a read, just below 64 KiB */
#define AHEAD	   4U /* entries between a hint and the use */

static struct famfs_at header_at(const struct famfs_fs *fs, struct famfs_error *err)
{
	return (struct famfs_at){
		.err = err,
		.device = fs->media.name,
		.object = FAMFS_OBJ_LOG_HEADER,
		.base = FAMFS_LOG_OFFSET,
	};
}

static struct famfs_at slot_at(const struct famfs_fs *fs, uint64_t index, struct famfs_error *err)
{
	return (struct famfs_at){
		.err = err,
		.device = fs->media.name,
		.object = FAMFS_OBJ_ENTRY,
		.index = index,
		.base = FAMFS_SLOT_OFFSET(index),
	};
}

static void report(const struct famfs_fs *fs, const struct famfs_error *err)
{
	if (fs->report)
		fs->report(fs->report_ctx, err);
}

/* ---- play ---- */

static int read_entries(const struct famfs_fs *fs, uint64_t index, uint64_t n,
			struct famfs_media_entry *buf, struct famfs_error *ret_err)
{
	struct famfs_at at = slot_at(fs, index, ret_err);
	int err;

	err = fs->media.read(&fs->media, at.base, buf, n * ENTRY_SIZE);
	if (err)
		return famfs_bad(&at, err, 0, "read", strerror(-err), "%zu bytes",
				 (size_t)n * ENTRY_SIZE);
	return 0;
}

static void invalidate(const struct famfs_fs *fs, uint64_t offset, size_t len)
{
	/* An error here shows as a stale read, which the checks catch. */
	if (fs->media.invalidate)
		fs->media.invalidate(&fs->media, offset, len);
}

/*
 * Another host's index can be seen before its entry. So an entry that is not
 * whole gets one more chance, from media instead of from this CPU's cache.
 */
static int check_whole(const struct famfs_fs *fs, uint64_t index, struct famfs_media_entry *raw,
		       struct famfs_error *ret_err)
{
	int err;

	err = famfs_entry_check(raw, fs->media.name, index, ret_err);
	if (!err)
		return 0;
	invalidate(fs, FAMFS_SLOT_OFFSET(index), ENTRY_SIZE);
	err = read_entries(fs, index, 1, raw, ret_err);
	if (err)
		return err;
	return famfs_entry_check(raw, fs->media.name, index, ret_err);
}

static int apply_device(struct famfs_fs *fs, const struct famfs_entry *entry,
			struct famfs_error *ret_err)
{
	struct famfs_at at = slot_at(fs, entry->index, ret_err);
	int err = 0;

	famfs_devs_add(&fs->devs, entry);
	if (fs->alloc)
		err = famfs_alloc_add_device(fs->alloc, &fs->devs);
	if (err) {
		fs->devs.count--;
		return famfs_bad_hex(&at, err,
				     offsetof(struct famfs_media_entry, add_daxdev.dd_size),
				     "dd_size", entry->dd_size,
				     "a size whose allocation bitmap fits in memory");
	}
	return famfs_ns_add(fs->ns, entry, fs->media.name, ret_err);
}

/* Entry is whole. 0, also for an entry that was left out, or a fatal error. */
static int apply_entry(struct famfs_fs *fs, uint64_t index, const struct famfs_media_entry *raw,
		       struct famfs_error *ret_err)
{
	struct famfs_entry entry;
	int err;

	err = famfs_entry_decode_body(raw, fs->media.name, index, &fs->devs, &entry, ret_err);
	if (!err && entry.type == FAMFS_ENTRY_ADD_DAXDEV)
		err = apply_device(fs, &entry, ret_err);
	else if (!err)
		err = famfs_ns_add(fs->ns, &entry, fs->media.name, ret_err);
	if (err && ret_err->verdict != FAMFS_SKIP)
		return err;
	/* Left out or not, what the entry claims is not free. */
	if (fs->alloc && le32toh(raw->type) == FAMFS_ENTRY_FILE)
		famfs_alloc_mark(fs->alloc, raw);
	if (!err)
		return 0;
	if (le32toh(raw->type) == FAMFS_ENTRY_INVALID)
		fs->invalid++;
	else
		fs->skipped++;
	report(fs, ret_err);
	return 0;
}

static bool is_media_fault(int err)
{
	return err == -EBADMSG || err == -EUCLEAN || err == -EOPNOTSUPP || err == -E2BIG;
}

/* 0 to go on, 1 to stop without error, or the error. */
static int judge_bad_entry(struct famfs_fs *fs, int err, const struct famfs_error *why)
{
	if (!is_media_fault(err))
		return err;
	if (fs->flags & FAMFS_OPEN_SCAN) {
		fs->bad++;
		report(fs, why);
		return 0;
	}
	if (fs->flags & FAMFS_OPEN_RECOVER) {
		fs->recovered = true;
		fs->recovered_err = *why;
		report(fs, why);
		return 1;
	}
	return err;
}

static int play_batch(struct famfs_fs *fs, struct famfs_media_entry *buf, uint64_t n,
		      struct famfs_error *ret_err)
{
	int err;

	err = read_entries(fs, fs->played, n, buf, ret_err);
	if (err)
		return err;
	for (uint64_t i = 0; i < n; i++) {
		if (i + AHEAD < n && le32toh(buf[i + AHEAD].type) == FAMFS_ENTRY_FILE)
			famfs_ns_prefetch(fs->ns, buf[i + AHEAD].file.path);
		err = check_whole(fs, fs->played, &buf[i], ret_err);
		if (!err)
			err = apply_entry(fs, fs->played, &buf[i], ret_err);
		if (err)
			err = judge_bad_entry(fs, err, ret_err);
		if (err)
			return err;
		fs->played++;
	}
	return 0;
}

static int play_to(struct famfs_fs *fs, uint64_t end, struct famfs_error *ret_err)
{
	struct famfs_media_entry *buf;
	int err = 0;

	if (fs->played >= end)
		return 0;
	buf = malloc(BATCH * ENTRY_SIZE);
	if (!buf || famfs_ns_reserve(fs->ns, end - fs->played)) {
		struct famfs_at at = slot_at(fs, fs->played, ret_err);

		free(buf);
		return famfs_bad(&at, -ENOMEM, 0, "memory", strerror(ENOMEM),
				 "memory for %" PRIu64 " entries", end - fs->played);
	}
	while (!err && fs->played < end) {
		uint64_t n = end - fs->played;

		n = n < BATCH ? n : BATCH;
		err = play_batch(fs, buf, n, ret_err);
		/* If some cannot be read, those before them perhaps can */
		if (err == -EIO && n > 1)
			err = play_batch(fs, buf, 1, ret_err);
	}
	free(buf);
	return err < 0 ? err : 0;
}

/* The identity can change under a mount: another host may run mkfs. */
static int check_same(struct famfs_fs *fs, struct famfs_error *ret_err)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = fs->media.name,
		.object = FAMFS_OBJ_SUPER,
	};
	char found[UUID_STR_LEN], expected[UUID_STR_LEN];
	struct famfs_super sb;
	int err;

	invalidate(fs, FAMFS_SUPER_OFFSET, sizeof(struct famfs_media_super));
	err = famfs_super_read(&fs->media, &sb, ret_err);
	if (err)
		return err;
	uuid_unparse_lower(sb.uuid, found);
	uuid_unparse_lower(fs->super.uuid, expected);
	if (memcmp(sb.uuid, fs->super.uuid, FAMFS_UUID_LEN))
		return famfs_bad(&at, -ESTALE, offsetof(struct famfs_media_super, ts_uuid),
				 "ts_uuid", found, "%s: the file system was made anew", expected);
	if (sb.log_len != fs->super.log_len || sb.dev_size != fs->super.dev_size)
		return famfs_bad_hex(&at, -ESTALE, offsetof(struct famfs_media_super, ts_log_len),
				     "ts_log_len", sb.log_len,
				     "0x%" PRIx64 ", dd_size 0x%" PRIx64
				     ": the superblock was changed",
				     fs->super.log_len, fs->super.dev_size);
	return 0;
}

int famfs_fs_play(struct famfs_fs *fs, struct famfs_error *ret_err)
{
	struct famfs_at at = header_at(fs, ret_err);
	struct famfs_log_header header;
	int err;

	err = check_same(fs, ret_err);
	if (err)
		return err;
	invalidate(fs, FAMFS_LOG_OFFSET, sizeof(struct famfs_media_log_header));
	err = famfs_log_header_read(&fs->media, &fs->super, &header, ret_err);
	if (err)
		return err;
	if (header.next_index < fs->played)
		return famfs_bad_dec(&at, -ESTALE,
				     offsetof(struct famfs_media_log_header, next_index),
				     "next_index", header.next_index,
				     "at least %" PRIu64 ", which were played", fs->played);
	fs->header = header;
	if (fs->recovered)
		return 0;
	return play_to(fs, header.next_index, ret_err);
}

/* ---- open ---- */

static int open_primary(struct famfs_fs *fs, struct famfs_error *ret_err)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = fs->media.name,
		.object = FAMFS_OBJ_SUPER,
	};
	char uuid[UUID_STR_LEN];
	int err;

	err = famfs_super_read(&fs->media, &fs->super, ret_err);
	if (err)
		return err;
	if (fs->super.secondary) {
		uuid_unparse_lower(fs->super.uuid, uuid);
		return famfs_bad_hex(&at, -EUCLEAN, offsetof(struct famfs_media_super, ts_sb_flags),
				     "ts_sb_flags", fs->super.flags,
				     "a primary superblock (this is a further device of file "
				     "system %s)",
				     uuid);
	}
	famfs_devs_init(&fs->devs, &fs->super);
	return 0;
}

static int no_memory(const struct famfs_media *media, int err, struct famfs_error *ret_err)
{
	struct famfs_at at = { .err = ret_err, .device = media->name, .object = FAMFS_OBJ_DEVICE };

	return famfs_bad(&at, err, 0, "memory", strerror(-err), "memory for the file system");
}

static int open_parts(struct famfs_fs *fs, struct famfs_error *ret_err)
{
	int err;

	err = famfs_ns_new(&fs->super, &fs->ns);
	if (err)
		return no_memory(&fs->media, err, ret_err);
	if (!(fs->flags & FAMFS_OPEN_ALLOC))
		return 0;
	err = famfs_alloc_new(&fs->devs, &fs->alloc);
	return err ? no_memory(&fs->media, err, ret_err) : 0;
}

static int open_play(struct famfs_fs *fs, struct famfs_error *ret_err)
{
	int err = famfs_fs_play(fs, ret_err);

	if (!err || err == -ENOMEM || !(fs->flags & FAMFS_OPEN_PREFIX) ||
	    ret_err->object != FAMFS_OBJ_ENTRY)
		return err;
	fs->open_err = err;
	return 0;
}

int famfs_fs_open(const struct famfs_media *media, unsigned int flags, famfs_report_fn report_fn,
		  void *report_ctx, struct famfs_fs **ret_fs, struct famfs_error *ret_err)
{
	struct famfs_fs *fs = calloc(1, sizeof(*fs));
	int err;

	if (!fs)
		return no_memory(media, -ENOMEM, ret_err);
	fs->media = *media;
	fs->flags = flags;
	fs->report = report_fn;
	fs->report_ctx = report_ctx;
	err = open_primary(fs, ret_err);
	if (!err)
		err = open_parts(fs, ret_err);
	if (!err)
		err = open_play(fs, ret_err);
	if (err) {
		famfs_fs_free(fs);
		return err;
	}
	*ret_fs = fs;
	return 0;
}

void famfs_fs_free(struct famfs_fs *fs)
{
	if (!fs)
		return;
	famfs_ns_free(fs->ns);
	famfs_alloc_free(fs->alloc);
	free(fs);
}

bool famfs_fs_is_master(struct famfs_fs *fs, const uint8_t system_uuid[FAMFS_UUID_LEN])
{
	bool master = !memcmp(fs->super.system_uuid, system_uuid, FAMFS_UUID_LEN);

	famfs_ns_set_master(fs->ns, master);
	return master;
}

/* ---- append ---- */

/* May this log be appended to? After famfs_fs_play(), so everything is played. */
static int check_writable(const struct famfs_fs *fs, const struct famfs_log_store *store,
			  struct famfs_error *ret_err)
{
	struct famfs_at at = header_at(fs, ret_err);

	if (fs->recovered)
		return famfs_bad_dec(&at, -EROFS,
				     offsetof(struct famfs_media_log_header, next_index),
				     "next_index", fs->header.next_index,
				     "%" PRIu64 ": the log was recovered up to a bad entry",
				     fs->played);
	if (fs->flags & FAMFS_OPEN_SCAN || store->len < fs->super.log_len)
		return famfs_bad_hex(&at, -EINVAL, 0, "mapping", store->len,
				     "0x%" PRIx64 " bytes, opened for writing", fs->super.log_len);
	/* One more: an append ended between the two words. Nobody has seen its entry. */
	if (fs->header.next_seqnum != fs->header.next_index &&
	    fs->header.next_seqnum != fs->header.next_index + 1)
		return famfs_bad_dec(&at, -EUCLEAN,
				     offsetof(struct famfs_media_log_header, next_seqnum),
				     "next_seqnum", fs->header.next_seqnum,
				     "%" PRIu64 " (next_index): an append was interrupted, the log "
				     "can be read but not written",
				     fs->header.next_index);
	if (fs->header.next_index >= fs->header.slots)
		return famfs_bad_dec(&at, -ENOSPC,
				     offsetof(struct famfs_media_log_header, next_index),
				     "next_index", fs->header.next_index,
				     "below %" PRIu64 ": the log is full", fs->header.slots);
	return 0;
}

static int flush(const struct famfs_log_store *store, const void *addr, size_t len)
{
	if (store->flush)
		return store->flush(store->flush_ctx, addr, len);
	return famfs_flush_range(NULL, addr, len);
}

/*
 * Entry first, on media before the index names it. Both index words are in one
 * cache line; seqnum goes first, since a log with only that advanced is still
 * readable as it was.
 */
static int store_entry(const struct famfs_log_store *store, uint64_t index,
		       const struct famfs_media_entry *raw)
{
	struct famfs_media_log_header *header = store->log;
	uint8_t *slot = (uint8_t *)store->log + FAMFS_SLOT_OFFSET(index) - FAMFS_LOG_OFFSET;
	int err;

	memcpy(slot, raw, ENTRY_SIZE);
	err = flush(store, slot, ENTRY_SIZE);
	if (err)
		return err;
	atomic_thread_fence(memory_order_seq_cst);
	__atomic_store_n(&header->next_seqnum, htole64(index + 1), __ATOMIC_RELEASE);
	__atomic_store_n(&header->next_index, htole64(index + 1), __ATOMIC_RELEASE);
	return flush(store, header, sizeof(*header));
}

int famfs_fs_append(struct famfs_fs *fs, const struct famfs_log_store *store,
		    struct famfs_entry *entry, struct famfs_error *ret_err)
{
	struct famfs_at at;
	struct famfs_media_entry raw;
	int err;

	err = famfs_fs_play(fs, ret_err);
	if (err)
		return err;
	err = check_writable(fs, store, ret_err);
	if (err)
		return err;
	entry->index = fs->played;
	entry->path_len = (uint32_t)strnlen(entry->path, sizeof(entry->path));
	if (entry->type == FAMFS_ENTRY_ADD_DAXDEV)
		entry->dd_index = fs->devs.count;
	err = famfs_entry_encode(entry, fs->media.name, &fs->devs, &raw, ret_err);
	if (!err)
		err = famfs_ns_check(fs->ns, entry, fs->media.name, ret_err);
	if (err)
		return err;
	err = store_entry(store, entry->index, &raw);
	if (err) {
		at = slot_at(fs, entry->index, ret_err);
		return famfs_bad(&at, err, 0, "flush", strerror(-err), "the entry on media");
	}
	return famfs_fs_play(fs, ret_err);
}

int famfs_fs_create(struct famfs_fs *fs, const struct famfs_log_store *store,
		    const struct famfs_layout *layout, struct famfs_entry *entry,
		    struct famfs_error *ret_err)
{
	struct famfs_at at;
	int err;

	/* What another process of this host appended has taken its space. */
	err = famfs_fs_play(fs, ret_err);
	if (err)
		return err;
	entry->index = fs->played;
	at = slot_at(fs, entry->index, ret_err);
	at.path = entry->path;
	at.path_len = strnlen(entry->path, sizeof(entry->path));
	if (!fs->alloc)
		return famfs_bad(&at, -EINVAL, 0, "open", "no bitmap", "FAMFS_OPEN_ALLOC");
	err = famfs_alloc_find(fs->alloc, layout, entry);
	if (err == -ENOSPC)
		return famfs_bad_hex(&at, err, offsetof(struct famfs_media_entry, file.size),
				     "space", entry->size, "so many free bytes");
	if (err == -EUCLEAN)
		return famfs_bad(&at, err, 0, "space", "claimed many times over",
				 "a log without collisions");
	if (err)
		return famfs_bad_hex(&at, err, offsetof(struct famfs_media_entry, file.size),
				     "layout", entry->size, "a size above 0 and a legal layout");
	return famfs_fs_append(fs, store, entry, ret_err);
}
