/* SPDX-License-Identifier: GPL-2.0-only */
/* A set-associative cache with least recently used replacement: of lines, or a TLB. */
#ifndef FAMFS_PERF_CACHE_H
#define FAMFS_PERF_CACHE_H

#include <stdbool.h>
#include <stdint.h>

struct cache {
	uint32_t sets;		/* power of two */
	uint32_t ways;
	uint64_t *tag;		/* most recent first in each set; 0: empty */
};

int cache_init(struct cache *c, uint32_t sets, uint32_t ways);
void cache_free(struct cache *c);
void cache_clear(struct cache *c);

/** cache_access() - was it there? It is afterwards. @block: number of line or page */
bool cache_access(struct cache *c, uint64_t block);

#endif /* FAMFS_PERF_CACHE_H */
