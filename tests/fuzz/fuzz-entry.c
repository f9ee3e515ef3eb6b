// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzes the entry decoder in a table of three devices. seqnum and crc are made
 * right. What is accepted must map every byte of the file inside a device, no
 * byte twice, outside superblocks and log; and encode back to the same.
 */
#include <endian.h>
#include <sys/stat.h>

#include "famfs_alloc.h"
#include "famfs_namespace.h"
#include "fuzz.h"
#include "media_i.h"

#define GIB	 0x40000000ULL
#define MAX_SIZE (1 + 544)
#define INDEX	 7

static void make_devs(struct famfs_devs *devs, uint64_t alloc_unit, bool more)
{
	struct famfs_super sb = { .alloc_unit = alloc_unit,
				  .log_len = FAMFS_LOG_LEN_MIN,
				  .dev_size = 4 * GIB,
				  .dev_uuid = { 1 } };
	struct famfs_entry add = { .dd_size = 8 * GIB, .dd_uuid = { 2 } };

	famfs_devs_init(devs, &sb);
	if (!more)
		return;
	famfs_devs_add(devs, &add);
	add.dd_uuid[0] = 3;
	add.dd_size = UINT64_MAX;
	famfs_devs_add(devs, &add);
}

static void check_extents(const struct famfs_entry *e, const struct famfs_devs *devs)
{
	CHECK(e->next <= 16);
	for (uint32_t i = 0; i < e->next; i++) {
		const struct famfs_extent *x = &e->ext[i];
		uint64_t end;

		CHECK(x->devindex < devs->count && x->len);
		CHECK(!__builtin_add_overflow(x->offset, x->len, &end));
		CHECK(x->offset >= devs->dev[x->devindex].first);
		CHECK(end <= devs->dev[x->devindex].size);
		CHECK(x->offset % devs->alloc_unit == 0 && x->len % devs->alloc_unit == 0);
		for (uint32_t k = 0; k < i; k++)
			CHECK(e->ext[k].devindex != x->devindex || e->ext[k].offset >= end ||
			      x->offset >= e->ext[k].offset + e->ext[k].len);
	}
}

/* Is the run inside one of the file's extents? */
static void check_run(const struct famfs_fmap *m, uint64_t pos)
{
	uint64_t offset, len;
	uint32_t dev;
	bool inside = false;

	CHECK(!famfs_fmap_resolve(m, pos, &dev, &offset, &len));
	CHECK(len && len <= m->size - pos);
	for (uint32_t i = 0; i < m->next; i++)
		if (m->ext[i].devindex == dev && offset >= m->ext[i].offset &&
		    offset + len <= m->ext[i].offset + m->ext[i].len)
			inside = true;
	CHECK(inside);
}

static void check_mapping(const struct famfs_entry *e)
{
	struct famfs_fmap m = { .size = e->size,
				.chunk = e->chunk,
				.ext_type = e->ext_type,
				.next = e->next,
				.ext = e->ext };
	uint64_t offset, len, step = e->size / 257 + 1;
	uint32_t dev;

	CHECK(famfs_fmap_resolve(&m, e->size, &dev, &offset, &len));
	if (!e->size)
		return;
	check_run(&m, 0);
	check_run(&m, e->size - 1);
	for (uint64_t pos = 0; pos < e->size; pos += step)
		check_run(&m, pos);
}

static void check_again(const struct famfs_entry *e, const struct famfs_devs *devs)
{
	struct famfs_media_entry raw;
	struct famfs_entry again;
	struct famfs_error err;

	CHECK(!famfs_entry_encode(e, "again", devs, &raw, &err));
	CHECK(!famfs_entry_decode(&raw, "again", e->index, devs, &again, &err));
	CHECK(again.type == e->type);
	if (e->type == FAMFS_ENTRY_ADD_DAXDEV) {
		CHECK(again.dd_size == e->dd_size && again.dd_index == e->dd_index);
		return;
	}
	CHECK(again.mode == e->mode && again.uid == e->uid && again.gid == e->gid);
	CHECK(!strcmp(again.path, e->path));
	if (e->type != FAMFS_ENTRY_FILE)
		return;
	CHECK(again.size == e->size && again.next == e->next && again.chunk == e->chunk);
	for (uint32_t i = 0; i < e->next; i++)
		CHECK(again.ext[i].offset == e->ext[i].offset &&
		      again.ext[i].len == e->ext[i].len &&
		      again.ext[i].devindex == e->ext[i].devindex);
}

static void fuzz_mark(const struct famfs_media_entry *raw, uint64_t alloc_unit)
{
	struct famfs_alloc_stats s;
	struct famfs_alloc *alloc;
	struct famfs_devs devs;

	make_devs(&devs, alloc_unit, false);
	CHECK(!famfs_alloc_new(&devs, &alloc));
	famfs_alloc_mark(alloc, raw);
	famfs_alloc_stats(alloc, &s);
	CHECK(s.used <= s.bitmap);
	famfs_alloc_free(alloc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct famfs_media_entry raw = { 0 };
	struct famfs_entry e;
	struct famfs_error err;
	struct famfs_devs devs;
	uint64_t unit;

	if (size < 1 || size > MAX_SIZE)
		return 0;
	unit = data[0] & 1 ? FAMFS_ALLOC_UNIT_SMALL : FAMFS_ALLOC_UNIT;
	make_devs(&devs, unit, data[0] & 2);
	memcpy(&raw, data + 1, size - 1);
	if (!(data[0] & 4)) {
		raw.seqnum = htole64(INDEX);
		raw.crc = htole64(famfs_crc32(&raw, FAMFS_ENTRY_CRC_LEN));
	}
	if (data[0] & 8 && le32toh(raw.type) == FAMFS_ENTRY_FILE)
		fuzz_mark(&raw, FAMFS_ALLOC_UNIT);
	if (famfs_entry_decode(&raw, "fuzz", INDEX, &devs, &e, &err)) {
		fuzz_check_error(&err);
		return 0;
	}
	CHECK(e.index == INDEX);
	if (e.type == FAMFS_ENTRY_FILE) {
		check_extents(&e, &devs);
		check_mapping(&e);
	}
	if (e.type != FAMFS_ENTRY_ADD_DAXDEV) {
		CHECK(e.path_len && e.path_len < 80 && strlen(e.path) == e.path_len);
		CHECK(e.path[0] != '/' && !strstr(e.path, "//"));
		CHECK(!(e.mode & ~07777U));
	}
	check_again(&e, &devs);
	return 0;
}
