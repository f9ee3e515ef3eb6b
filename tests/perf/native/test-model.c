// SPDX-License-Identifier: GPL-2.0-only
/* The line counter: does it run the programs as they are, and count what is there? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cache.h"
#include "model.h"
#include "walk.h"

#define FILES	500
#define ROUNDS	2000

static const uint32_t all_strips[] = { 1, 2, 3, 6, 7, 8, 15, 16 };

#define NR_STRIPS (sizeof(all_strips) / sizeof(all_strips[0]))

static void program_finds_what_c_finds(void **state)
{
	for (size_t k = 0; k < NR_STRIPS; k++) {
		struct model m;
		struct walk_slots w;
		struct model_count count = { 0 };
		__u64 random = k + 1;

		assert_int_equal(model_init(&m, FILES, all_strips[k]), 0);
		w = (struct walk_slots){
			.slots = (void *)m.slots.base,
			.extents = (void *)m.extents.base,
			.nr_extents = m.nr_extents,
			.unit_shift = FILESET_UNIT_SHIFT,
			.generation = FILESET_GENERATION,
		};
		for (int i = 0; i < ROUNDS; i++) {
			struct native_draw d = native_draw(&random, FILES, FILESET_SIZE - 1);
			struct fuse_iomap_io io = { 0 };
			struct v10_iomap map = { 0 };
			struct famfs_run run;

			assert_int_equal(walk_slots_one(&w, d.index, d.pos, &run), 1);
			assert_int_equal(model_slot(&m, d.index, d.pos, &io, &count), 0);
			assert_int_equal(model_v10(&m, d.index, d.pos, &map, &count), 0);
			assert_int_equal(io.addr, run.addr);
			assert_int_equal(io.offset, run.offset);
			assert_int_equal(io.length, run.length);
			assert_int_equal(io.dev, run.dev);
			assert_int_equal(map.addr, run.addr + (d.pos - run.offset));
			assert_int_equal((uintptr_t)map.dax_dev, run.dev);
		}
		model_free(&m);
	}
}

static void a_slot_is_one_line_whatever_the_layout(void **state)
{
	for (size_t k = 0; k < NR_STRIPS; k++) {
		struct model_count slot = { 0 }, v10 = { 0 };
		struct model m;

		assert_int_equal(model_init(&m, FILES, all_strips[k]), 0);
		for (uint64_t i = 0; i < FILES; i++) {
			struct fuse_iomap_io io;
			struct v10_iomap map;

			assert_int_equal(model_slot(&m, i, 0, &io, &slot), 0);
			assert_int_equal(model_v10(&m, i, 0, &map, &v10), 0);
		}
		assert_int_equal(slot.lines, FILES);
		assert_int_equal(slot.dependent, FILES);
		/* Strip 0 begins where its allocation does, so nothing straddles. */
		assert_int_equal(v10.dependent, (all_strips[k] == 1 ? 2 : 3) * FILES);
		assert_int_equal(v10.lines, v10.dependent);
		assert_int_equal(slot.inode_lines, 2 * FILES);
		assert_int_equal(v10.inode_lines, 2 * FILES);
		model_free(&m);
	}
}

static void a_strip_over_a_boundary_is_two_lines(void **state)
{
	struct model_count count = { 0 };
	struct v10_iomap map;
	struct model m;

	assert_int_equal(model_init(&m, FILES, 16), 0);
	/* Strip 5 is at bytes 120 to 144: index and offset are in different lines. */
	assert_int_equal(model_v10(&m, 0, 5 * FILESET_CHUNK, &map, &count), 0);
	assert_int_equal(count.lines, 4);
	assert_int_equal(count.dependent, 3);
	model_free(&m);
}

static void counts_repeat(void **state)
{
	struct model_count count[2] = { { 0 }, { 0 } };

	for (int run = 0; run < 2; run++) {
		struct model m;
		__u64 random = 9;

		assert_int_equal(model_init(&m, FILES, 6), 0);
		model_cache_reset(&m, true);
		for (int i = 0; i < ROUNDS; i++) {
			struct native_draw d = native_draw(&random, FILES, FILESET_SIZE - 1);
			struct v10_iomap map;

			assert_int_equal(model_v10(&m, d.index, d.pos, &map, &count[run]), 0);
		}
		/* All of it fits into the cache: each line is missed once at most. */
		assert_true(count[run].misses <= FILES * 8 + 100);
		model_free(&m);
	}
	assert_memory_equal(&count[0], &count[1], sizeof(count[0]));
}

static void bad_slots_are_not_answered(void **state)
{
	struct model_count count = { 0 };
	struct fuse_iomap_io io;
	struct model m;

	assert_int_equal(model_init(&m, FILES, 6), 0);
	assert_int_not_equal(model_slot(&m, FILES, 0, &io, &count), 0);
	assert_int_not_equal(model_slot(&m, 0, FILESET_SIZE, &io, &count), 0);
	((struct famfs_slot *)m.slots.base)[1].type = FAMFS_SLOT_DEAD;
	assert_int_not_equal(model_slot(&m, 1, 0, &io, &count), 0);
	model_free(&m);
}

static void cache_forgets_the_least_recently_used(void **state)
{
	struct cache c;

	assert_int_equal(cache_init(&c, 2, 2), 0);
	assert_false(cache_access(&c, 0));
	assert_false(cache_access(&c, 2));
	assert_true(cache_access(&c, 0));
	assert_false(cache_access(&c, 1));	/* the other set */
	assert_false(cache_access(&c, 4));	/* 2 goes */
	assert_true(cache_access(&c, 0));
	assert_false(cache_access(&c, 2));
	assert_true(cache_access(&c, 1));
	cache_clear(&c);
	assert_false(cache_access(&c, 0));
	cache_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(program_finds_what_c_finds),
		cmocka_unit_test(a_slot_is_one_line_whatever_the_layout),
		cmocka_unit_test(a_strip_over_a_boundary_is_two_lines),
		cmocka_unit_test(counts_repeat),
		cmocka_unit_test(bad_slots_are_not_answered),
		cmocka_unit_test(cache_forgets_the_least_recently_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
