// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

int cache_init(struct cache *c, uint32_t sets, uint32_t ways)
{
	*c = (struct cache){ .sets = sets, .ways = ways };
	c->tag = calloc((size_t)sets * ways, sizeof(*c->tag));
	return c->tag ? 0 : -ENOMEM;
}

void cache_free(struct cache *c)
{
	free(c->tag);
	c->tag = NULL;
}

void cache_clear(struct cache *c)
{
	memset(c->tag, 0, (size_t)c->sets * c->ways * sizeof(*c->tag));
}

bool cache_access(struct cache *c, uint64_t block)
{
	uint64_t *set = &c->tag[(block & (c->sets - 1)) * c->ways];
	uint64_t tag = block + 1;
	uint32_t i = 0;

	while (i < c->ways - 1 && set[i] != tag)
		i++;
	if (set[i] == tag) {
		memmove(set + 1, set, i * sizeof(*set));
		set[0] = tag;
		return true;
	}
	memmove(set + 1, set, (c->ways - 1) * sizeof(*set));
	set[0] = tag;
	return false;
}
