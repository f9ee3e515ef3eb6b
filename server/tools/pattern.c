// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test pattern of famfs creat -r and famfs verify.
 */
#include "pattern.h"

#include <endian.h>
#include <string.h>

struct generator {
	uint64_t a, b;
};

static uint64_t rotate_left(uint64_t v, unsigned int n)
{
	return v << n | v >> (64 - n);
}

static uint64_t splitmix(uint64_t *state)
{
	uint64_t v;

	*state += 0x9e3779b97f4a7c15ULL;
	v = *state;
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ULL;
	v = (v ^ v >> 27) * 0x94d049bb133111ebULL;
	return v ^ v >> 31;
}

static struct generator start(uint32_t seed)
{
	uint64_t state = seed;
	struct generator g;

	g.a = splitmix(&state);
	g.b = splitmix(&state);
	return g;
}

static uint32_t next(struct generator *g)
{
	uint64_t sum = g->a + g->b;
	uint64_t mixed = g->a ^ g->b;

	g->a = rotate_left(g->a, 55) ^ mixed ^ mixed << 14;
	g->b = rotate_left(mixed, 36);
	return htole32((uint32_t)sum);
}

void pattern_fill(void *buf, size_t len, uint32_t seed)
{
	struct generator g = start(seed);
	uint8_t *p = buf;
	uint32_t word;

	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		word = next(&g);
		memcpy(p, &word, sizeof(word));
	}
	if (len) {
		word = next(&g);
		memcpy(p, &word, len);
	}
}

size_t pattern_verify(const void *buf, size_t len, uint32_t seed)
{
	struct generator g = start(seed);
	const uint8_t *p = buf;
	uint8_t want[4];
	uint32_t word;
	size_t i;

	for (i = 0; i < len; i++) {
		if (i % sizeof(word) == 0) {
			word = next(&g);
			memcpy(want, &word, sizeof(word));
			if (len - i >= sizeof(word) && !memcmp(p + i, want, sizeof(word))) {
				i += sizeof(word) - 1;
				continue;
			}
		}
		if (p[i] != want[i % sizeof(word)])
			return i;
	}
	return len;
}
