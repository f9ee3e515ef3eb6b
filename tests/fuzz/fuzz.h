/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the fuzzers: checks that trap, and what every error must be. */
#ifndef FAMFS_FUZZ_H
#define FAMFS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "famfs_media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

/* Complete and printable, whatever the bytes were. */
static inline void fuzz_check_error(const struct famfs_error *e)
{
	char text[FAMFS_ERROR_TEXT_MAX];

	CHECK(e->err < 0);
	CHECK(e->device[0] && e->field[0] && e->found[0] && e->expected[0]);
	famfs_error_text(e, text, sizeof(text));
	CHECK(strlen(text) < sizeof(text) - 1);
	for (const char *p = text; *p; p++)
		CHECK(*p >= 0x20 && *p < 0x7f);
}

#endif /* FAMFS_FUZZ_H */
