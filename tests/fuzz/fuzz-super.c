// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzes the superblock and log header decoders: crcs are made right, so that
 * the rules behind them are reached; what is accepted must be inside the rules
 * and encode back to something that decodes to the same.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "famfs_media.h"
#include "fuzz.h"
#include "media_i.h"

#define MAX_SIZE (8 + 200 + 48)

static void check_super(const struct famfs_super *sb, uint64_t dev_size)
{
	CHECK(sb->version == 48 && sb->omf_major == 2);
	CHECK(sb->log_offset == FAMFS_LOG_OFFSET);
	CHECK(famfs_is_pow2(sb->log_len));
	CHECK(sb->log_len >= FAMFS_LOG_LEN_MIN && sb->log_len <= FAMFS_LOG_LEN_MAX);
	CHECK(sb->alloc_unit == 4096 || sb->alloc_unit == 2097152);
	CHECK(sb->dev_size <= dev_size && sb->dev_size >= FAMFS_DEV_SIZE_MIN);
	CHECK(memchr(sb->dev_name, 0, sizeof(sb->dev_name)));
}

static void check_round_trip(const struct famfs_super *sb)
{
	struct famfs_media_super raw;
	struct famfs_super again;
	struct famfs_error e;

	famfs_super_encode(sb, &raw);
	CHECK(!famfs_super_decode(&raw, sizeof(raw), "again", sb->dev_size, &again, &e));
	CHECK(!memcmp(again.uuid, sb->uuid, FAMFS_UUID_LEN));
	CHECK(!memcmp(again.dev_uuid, sb->dev_uuid, FAMFS_UUID_LEN));
	CHECK(again.log_len == sb->log_len && again.dev_size == sb->dev_size);
	CHECK(again.secondary == sb->secondary);
	CHECK(!strcmp(again.dev_name, sb->dev_name));
}

static void fuzz_header(const struct famfs_super *sb, const uint8_t *data, size_t size)
{
	struct famfs_media_log_header raw = { 0 };
	struct famfs_log_header h;
	struct famfs_error e;

	memcpy(&raw, data, size < sizeof(raw) ? size : sizeof(raw));
	if (le64toh(raw.crc) & 1) /* odd: leave it wrong */
		raw.crc = htole64(famfs_crc32(&raw, FAMFS_LOG_CRC_LEN));
	if (famfs_log_header_decode(&raw, sizeof(raw), "fuzz", sb, &h, &e)) {
		fuzz_check_error(&e);
		return;
	}
	CHECK(h.next_index <= h.slots && h.slots == FAMFS_LOG_SLOTS(sb->log_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct famfs_media_super raw;
	struct famfs_super sb;
	struct famfs_error e;
	uint64_t dev_size;

	if (size < 8 || size > MAX_SIZE)
		return 0;
	memcpy(&dev_size, data, 8);
	data += 8;
	size -= 8;
	if (size < sizeof(raw)) {
		/* An exact allocation, so that ASan sees a byte too many. */
		uint8_t *exact = malloc(size ? size : 1);

		memcpy(exact, data, size);
		CHECK(famfs_super_decode(exact, size, "fuzz", dev_size, &sb, &e));
		fuzz_check_error(&e);
		free(exact);
		return 0;
	}
	memcpy(&raw, data, sizeof(raw));
	if (raw.ts_crc & htole64(1))
		raw.ts_crc = htole64(famfs_crc32(&raw, FAMFS_SUPER_CRC_LEN));
	if (famfs_super_decode(&raw, sizeof(raw), "fuzz", dev_size, &sb, &e)) {
		fuzz_check_error(&e);
		return 0;
	}
	check_super(&sb, dev_size);
	check_round_trip(&sb);
	fuzz_header(&sb, data + sizeof(raw), size - sizeof(raw));
	return 0;
}
