// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in-memory tree. Built for a million entries: one 48-byte node per log slot, one
 * 4-byte hash slot per name at three quarters load, 12 bytes per extent, and names, all in
 * blocks that never move, in huge pages once there is much. A node's place is its
 * log index, so a node id needs no lookup; the hash serves names only, and is keyed with a
 * random seed because names come from media.
 *
 * Locks: none, see the header.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "famfs_namespace.h"
#include "media_i.h"

/* A node's reference: nodeid - 1, so root is 0 and log slot i is i + 1. */
#define REF_ROOT 0U
#define REF_NONE UINT32_MAX

#define NODE_BLOCK 1024U /* nodes per block */
#define EXT_BLOCK  1024U /* extents per block, above any file's 16 */
#define NAME_BLOCK 16384U /* bytes per block, above any name's 79 */
#define HASH_MIN   256U

/* Blocks are cut from pools; the first ones are small. */
#define POOL_SMALL ((size_t)128 << 10)
#define POOL_BIG   ((size_t)2 << 20) /* a huge page, and at its boundary */

/* A hash slot is a reference and bits of the hash; 0 is free, as root has no name. */
#define HASH_REF_BITS 21
#define HASH_REF_MASK ((1U << HASH_REF_BITS) - 1)

_Static_assert(FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MAX) < HASH_REF_MASK, "a reference fits");

/* Readdir cookies; a log entry's is its index + 4, a file of .meta's is 3 and up. */
#define COOKIE_DOT    1U
#define COOKIE_DOTDOT 2U
#define COOKIE_META   3U
#define COOKIE_FIRST  4U

enum node_kind { NODE_NONE, NODE_FILE, NODE_DIR };

struct node {
	uint64_t size;
	uint32_t parent;
	uint32_t next_sibling; /* in log order */
	uint32_t name; /* position in the name arena */
	uint32_t uid;
	uint32_t gid;
	union {
		uint32_t first_child;
		uint32_t ext; /* position in the extent arena */
	};
	union {
		uint32_t last_child;
		uint32_t next; /* number of extents */
	};
	uint32_t subdirs;
	uint16_t mode;
	uint8_t kind;
	uint8_t name_len;
	uint8_t ext_type;
	uint8_t chunk_shift;
};

_Static_assert(sizeof(struct node) == 48, "node size");

/* An extent in allocation units: what the decoder passes fits, see FAMFS_MAX_UNITS. */
struct small_extent {
	uint32_t devindex;
	uint32_t start;
	uint32_t units;
};

struct pool {
	struct pool *next;
	size_t size;
	size_t used; /* bytes, this header included */
};

/* Blocks are allocated one by one and never moved; only the table grows. */
struct arena {
	void **block;
	uint32_t nblocks;
	uint32_t used; /* items, gaps at block ends included */
};

/* A file of .meta, or .meta itself; at nodeid - FAMFS_NODEID_RESERVED. */
struct reserved {
	char name[24];
	struct famfs_extent ext;
};

#define MAX_RESERVED (FAMFS_NODEID_SUPER_N(FAMFS_MAX_DEVS) - FAMFS_NODEID_RESERVED)

struct famfs_ns {
	struct arena nodes;
	struct arena names;
	struct arena exts;
	struct pool *pools; /* the first one has room */
	uint32_t *hash;
	uint32_t hash_size; /* power of two */
	uint32_t hash_used;
	uint32_t unit_shift; /* log2 of the allocation unit */
	/* Where the last entry was put: most have the same parent as the one before. */
	uint32_t dir;
	uint32_t dir_len; /* with the slash; 0: root */
	char dir_path[FAMFS_PATH_LEN];
	uint64_t seed[2];
	uint32_t nreserved;
	bool master;
	struct reserved reserved[MAX_RESERVED];
	struct famfs_ns_stats stats;
};

/* ---- memory ---- */

/* Zeroed, in whole huge pages where the system has them. */
static void *map_big(size_t bytes)
{
	size_t room = bytes + POOL_BIG;
	char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *base;

	if (p == MAP_FAILED)
		return NULL;
	base = (char *)(((uintptr_t)p + POOL_BIG - 1) & ~(uintptr_t)(POOL_BIG - 1));
	if (base > p)
		munmap(p, (size_t)(base - p));
	if (p + room > base + bytes)
		munmap(base + bytes, (size_t)(p + room - (base + bytes)));
	madvise(base, bytes, MADV_HUGEPAGE);
	return base;
}

/* Sizes are powers of two, so that a big one is whole huge pages. */
static void *zalloc_big(size_t bytes)
{
	return bytes < POOL_BIG ? calloc(1, bytes) : map_big(bytes);
}

static void free_big(void *p, size_t bytes)
{
	if (bytes < POOL_BIG)
		free(p);
	else if (p)
		munmap(p, bytes);
}

static int pool_add(struct famfs_ns *ns)
{
	size_t size = ns->stats.memory_bytes < POOL_BIG ? POOL_SMALL : POOL_BIG;
	struct pool *pool = zalloc_big(size);

	if (!pool)
		return -ENOMEM;
	*pool = (struct pool){ .next = ns->pools, .size = size, .used = 64 };
	ns->pools = pool;
	ns->stats.memory_bytes += size;
	return 0;
}

static void *pool_cut(struct famfs_ns *ns, size_t bytes)
{
	struct pool *pool = ns->pools;

	if (!pool || pool->size - pool->used < bytes) {
		if (pool_add(ns))
			return NULL;
		pool = ns->pools;
	}
	pool->used += bytes;
	return (char *)pool + pool->used - bytes;
}

/* ---- arenas ---- */

static int arena_add_block(struct famfs_ns *ns, struct arena *a, size_t bytes)
{
	uint32_t n = a->nblocks;
	void *block;

	if ((n & (n - 1)) == 0) { /* the table doubles at powers of two */
		void **table = realloc(a->block, (n ? 2 * (size_t)n : 1) * sizeof(*table));

		if (!table)
			return -ENOMEM;
		a->block = table;
		ns->stats.memory_bytes += (n ? n : 1) * sizeof(*table);
	}
	block = pool_cut(ns, bytes);
	if (!block)
		return -ENOMEM;
	a->block[a->nblocks++] = block;
	return 0;
}

/* Room for n items in one block; *ret_pos is the first. */
static int arena_reserve(struct famfs_ns *ns, struct arena *a, uint32_t per_block, size_t item,
			 uint32_t n, uint32_t *ret_pos)
{
	uint32_t pos = a->used;
	int err;

	if (pos % per_block + n > per_block)
		pos += per_block - pos % per_block;
	if (pos / per_block >= a->nblocks) {
		err = arena_add_block(ns, a, per_block * item);
		if (err)
			return err;
	}
	*ret_pos = pos;
	return 0;
}

static struct node *node_at(const struct famfs_ns *ns, uint32_t ref)
{
	struct node *block = ns->nodes.block[ref / NODE_BLOCK];

	return &block[ref % NODE_BLOCK];
}

static char *name_at(const struct famfs_ns *ns, uint32_t pos)
{
	char *block = ns->names.block[pos / NAME_BLOCK];

	return &block[pos % NAME_BLOCK];
}

static struct small_extent *ext_at(const struct famfs_ns *ns, uint32_t pos)
{
	struct small_extent *block = ns->exts.block[pos / EXT_BLOCK];

	return &block[pos % EXT_BLOCK];
}

/* The node of an id below the reserved range, or NULL. */
static struct node *node_of(const struct famfs_ns *ns, uint64_t nodeid)
{
	struct node *node;

	if (nodeid < FAMFS_NODEID_ROOT || nodeid - 1 >= ns->nodes.used)
		return NULL;
	node = node_at(ns, (uint32_t)(nodeid - 1));
	return node->kind == NODE_NONE ? NULL : node;
}

/* ---- name hash ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* A name in a directory; the hash is of both. */
struct key {
	uint32_t parent;
	uint32_t len;
	const char *name;
	uint64_t hash;
};

static struct key make_key(const struct famfs_ns *ns, uint32_t parent, const char *name, size_t len)
{
	uint64_t h = mix(ns->seed[0] ^ parent, ns->seed[1] ^ (len | 1));
	struct key key = { .parent = parent, .len = (uint32_t)len, .name = name };
	uint64_t word;

	for (; len >= sizeof(word); name += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		h = mix(h ^ word, ns->seed[1]);
	}
	word = 0;
	memcpy(&word, name, len);
	key.hash = mix(h ^ word, ns->seed[1]);
	return key;
}

/* The lower bits choose the slot, the upper ones go into it. */
static uint32_t hash_tag(const struct key *key)
{
	return (uint32_t)(key->hash >> 32) & ~HASH_REF_MASK;
}

static uint32_t hash_find(const struct famfs_ns *ns, const struct key *key)
{
	uint32_t mask = ns->hash_size - 1, slot;

	for (uint32_t i = (uint32_t)key->hash & mask; (slot = ns->hash[i]); i = (i + 1) & mask) {
		uint32_t ref = slot & HASH_REF_MASK;
		const struct node *node;

		if ((slot ^ hash_tag(key)) & ~HASH_REF_MASK)
			continue;
		node = node_at(ns, ref);
		if (node->parent == key->parent && node->name_len == key->len &&
		    !memcmp(name_at(ns, node->name), key->name, key->len))
			return ref;
	}
	return REF_NONE;
}

static void hash_put(uint32_t *table, uint32_t mask, const struct key *key, uint32_t ref)
{
	uint32_t i = (uint32_t)key->hash & mask;

	while (table[i])
		i = (i + 1) & mask;
	table[i] = hash_tag(key) | ref;
}

static int hash_resize(struct famfs_ns *ns, uint32_t size)
{
	uint32_t *table = zalloc_big(size * sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (uint32_t i = 0; i < ns->hash_size; i++) {
		uint32_t ref = ns->hash[i] & HASH_REF_MASK;
		const struct node *node;
		struct key key;

		if (!ns->hash[i])
			continue;
		node = node_at(ns, ref);
		key = make_key(ns, node->parent, name_at(ns, node->name), node->name_len);
		hash_put(table, size - 1, &key, ref);
	}
	free_big(ns->hash, ns->hash_size * sizeof(*table));
	ns->stats.memory_bytes += (uint64_t)(size - ns->hash_size) * sizeof(*table);
	ns->hash = table;
	ns->hash_size = size;
	return 0;
}

/* Up to three quarters full; at least one free slot ends every probe. */
int famfs_ns_reserve(struct famfs_ns *ns, uint64_t n)
{
	uint32_t size = ns->hash_size ? ns->hash_size : HASH_MIN;

	if (n > FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MAX))
		return -ENOMEM;
	while ((ns->hash_used + n) * 4 > (uint64_t)size * 3)
		size *= 2;
	return size == ns->hash_size ? 0 : hash_resize(ns, size);
}

/* ---- the files of .meta ---- */

static const struct reserved *reserved_of(const struct famfs_ns *ns, uint64_t nodeid)
{
	if (nodeid < FAMFS_NODEID_RESERVED || nodeid - FAMFS_NODEID_RESERVED >= ns->nreserved)
		return NULL;
	return &ns->reserved[nodeid - FAMFS_NODEID_RESERVED];
}

static void reserved_init(struct famfs_ns *ns, uint64_t log_len)
{
	struct reserved *r = ns->reserved;

	strcpy(r[0].name, ".meta");
	strcpy(r[1].name, ".superblock");
	r[1].ext = (struct famfs_extent){ FAMFS_SUPER_OFFSET, FAMFS_SUPER_AREA, 0 };
	strcpy(r[2].name, ".log");
	r[2].ext = (struct famfs_extent){ FAMFS_LOG_OFFSET, log_len, 0 };
	ns->nreserved = 3;
}

/* The superblock of a further device; the decoder bounds the device table. */
static void reserved_add_device(struct famfs_ns *ns, uint32_t devindex)
{
	struct reserved *r = &ns->reserved[ns->nreserved++];

	snprintf(r->name, sizeof(r->name), ".superblock.%u", devindex);
	r->ext = (struct famfs_extent){ FAMFS_SUPER_OFFSET, FAMFS_SUPER_AREA, devindex };
}

static int reserved_lookup(const struct famfs_ns *ns, const char *name, size_t len,
			   uint64_t *ret_nodeid)
{
	for (uint32_t i = 1; i < ns->nreserved; i++) {
		if (strlen(ns->reserved[i].name) != len || memcmp(ns->reserved[i].name, name, len))
			continue;
		*ret_nodeid = FAMFS_NODEID_RESERVED + i;
		return 0;
	}
	return -ENOENT;
}

static void reserved_getattr(const struct famfs_ns *ns, uint64_t nodeid, struct famfs_attr *ret)
{
	*ret = (struct famfs_attr){ .nodeid = nodeid };
	if (nodeid == FAMFS_NODEID_META) {
		ret->parent = FAMFS_NODEID_ROOT;
		ret->mode = S_IFDIR | 0755;
		ret->nlink = 2;
		return;
	}
	ret->parent = FAMFS_NODEID_META;
	ret->size = reserved_of(ns, nodeid)->ext.len;
	ret->allocated = ret->size;
	ret->mode = S_IFREG | 0444;
	if (nodeid == FAMFS_NODEID_LOG && ns->master)
		ret->mode = S_IFREG | 0644;
	ret->nlink = 1;
}

static void reserved_fmap(const struct reserved *r, struct famfs_fmap *ret)
{
	*ret = (struct famfs_fmap){
		.size = r->ext.len,
		.ext_type = FAMFS_EXT_SIMPLE,
		.next = 1,
		.ext = &r->ext,
	};
}

/* ---- life ---- */

int famfs_ns_new(const struct famfs_super *sb, struct famfs_ns **ret_ns)
{
	struct famfs_ns *ns = calloc(1, sizeof(*ns));
	struct node *root;
	uint32_t pos;

	if (!ns)
		return -ENOMEM;
	ns->stats.memory_bytes = sizeof(*ns);
	/* Without the seed a crafted log could degrade the hash, nothing worse. */
	if (getrandom(ns->seed, sizeof(ns->seed), GRND_NONBLOCK) < 0)
		ns->seed[0] = (uintptr_t)ns;
	ns->seed[1] |= 1;
	ns->unit_shift =
		(uint32_t)__builtin_ctzll(sb->alloc_unit ? sb->alloc_unit : FAMFS_ALLOC_UNIT);
	reserved_init(ns, sb->log_len);
	if (famfs_ns_reserve(ns, 1) ||
	    arena_reserve(ns, &ns->nodes, NODE_BLOCK, sizeof(struct node), 1, &pos)) {
		famfs_ns_free(ns);
		return -ENOMEM;
	}
	ns->nodes.used = 1;
	root = node_at(ns, REF_ROOT);
	root->kind = NODE_DIR;
	root->mode = 0755;
	root->first_child = root->last_child = REF_NONE;
	root->next_sibling = REF_NONE;
	*ret_ns = ns;
	return 0;
}

void famfs_ns_free(struct famfs_ns *ns)
{
	struct pool *pool, *next;

	if (!ns)
		return;
	for (pool = ns->pools; pool; pool = next) {
		next = pool->next;
		free_big(pool, pool->size);
	}
	free(ns->nodes.block);
	free(ns->names.block);
	free(ns->exts.block);
	free_big(ns->hash, ns->hash_size * sizeof(*ns->hash));
	free(ns);
}

void famfs_ns_set_master(struct famfs_ns *ns, bool master)
{
	ns->master = master;
}

/* ---- adding ---- */

static uint64_t path_offset(const struct famfs_entry *entry)
{
	return entry->type == FAMFS_ENTRY_FILE ? offsetof(struct famfs_media_entry, file.path)
					       : offsetof(struct famfs_media_entry, mkdir.path);
}

/* Is that the directory of the last entry? */
static bool is_last_dir(const struct famfs_ns *ns, const char *path, size_t dir_len)
{
	return dir_len == ns->dir_len && !memcmp(path, ns->dir_path, dir_len);
}

/* Splits off the last component and walks to its directory. */
static int find_place(const struct famfs_ns *ns, const struct famfs_entry *entry,
		      const struct famfs_at *at, struct key *ret)
{
	const char *path = entry->path, *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	uint32_t dir = REF_ROOT;

	if (is_last_dir(ns, path, (size_t)(name - path))) {
		*ret = make_key(ns, ns->dir, name, strlen(name));
		return 0;
	}
	while (path < name) {
		struct key key;
		char found[352];

		slash = strchr(path, '/');
		key = make_key(ns, dir, path, (size_t)(slash - path));
		dir = hash_find(ns, &key);
		if (dir != REF_NONE && node_at(ns, dir)->kind == NODE_DIR) {
			path = slash + 1;
			continue;
		}
		famfs_escape(entry->path, (size_t)(slash - entry->path), found, sizeof(found));
		if (dir == REF_NONE)
			return famfs_bad(at, -ENOENT, path_offset(entry), "path", found,
					 "a parent that exists");
		return famfs_bad(at, -ENOTDIR, path_offset(entry), "path", found,
				 "a parent that is a directory");
	}
	*ret = make_key(ns, dir, name, strlen(name));
	return 0;
}

static int check_free(const struct famfs_ns *ns, const struct famfs_entry *entry,
		      const struct famfs_at *at, const struct key *key)
{
	uint32_t old = hash_find(ns, key);
	char found[64];
	bool is_dir;

	if (old == REF_NONE)
		return 0;
	is_dir = node_at(ns, old)->kind == NODE_DIR;
	snprintf(found, sizeof(found), "a %s of that name in entry %u",
		 is_dir ? "directory" : "file", old - 1);
	return famfs_bad(at, is_dir && entry->type == FAMFS_ENTRY_FILE ? -EISDIR : -EEXIST,
			 path_offset(entry), "path", found, "a new name");
}

static int check_extents(const struct famfs_ns *ns, const struct famfs_entry *entry,
			 const struct famfs_at *at)
{
	uint64_t below_unit = (1ULL << ns->unit_shift) - 1;

	if (entry->type != FAMFS_ENTRY_FILE)
		return 0;
	for (uint32_t i = 0; i < entry->next; i++) {
		const struct famfs_extent *e = &entry->ext[i];

		/* The decoder passes nothing like this. */
		if ((e->offset | e->len) & below_unit || e->offset >> ns->unit_shift > UINT32_MAX ||
		    e->len >> ns->unit_shift > UINT32_MAX)
			return famfs_bad_hex(at, -EINVAL, 0, "extent", e->offset,
					     "less than 2^32 whole allocation units");
	}
	return 0;
}

static int check_entry(const struct famfs_ns *ns, const struct famfs_entry *entry,
		       const char *device, struct famfs_error *ret_err, struct key *ret)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = device,
		.object = FAMFS_OBJ_ENTRY,
		.verdict = FAMFS_SKIP,
		.index = entry->index,
		.base = FAMFS_SLOT_OFFSET(entry->index),
		.path = entry->path,
		.path_len = entry->path_len,
	};
	int err;

	err = find_place(ns, entry, &at, ret);
	if (!err)
		err = check_free(ns, entry, &at, ret);
	if (!err)
		err = check_extents(ns, entry, &at);
	return err;
}

/* What is read here is not checked yet: it does no more than warm a cache line. */
void famfs_ns_prefetch(const struct famfs_ns *ns, const void *path)
{
	const char *p = path, *name = p;
	size_t len = strnlen(p, FAMFS_PATH_LEN);
	const char *slash = memrchr(p, '/', len);
	struct key key;

	if (slash)
		name = slash + 1;
	if (!is_last_dir(ns, p, (size_t)(name - p)))
		return;
	key = make_key(ns, ns->dir, name, len - (size_t)(name - p));
	__builtin_prefetch(&ns->hash[(uint32_t)key.hash & (ns->hash_size - 1)], 1);
}

int famfs_ns_check(const struct famfs_ns *ns, const struct famfs_entry *entry, const char *device,
		   struct famfs_error *ret_err)
{
	struct key key;

	if (entry->type == FAMFS_ENTRY_ADD_DAXDEV)
		return 0;
	return check_entry(ns, entry, device, ret_err, &key);
}

/* Blocks up to and including the node; gaps stay NODE_NONE. */
static int reserve_node(struct famfs_ns *ns, uint32_t ref)
{
	while (ref / NODE_BLOCK >= ns->nodes.nblocks) {
		int err = arena_add_block(ns, &ns->nodes, NODE_BLOCK * sizeof(struct node));

		if (err)
			return err;
	}
	return 0;
}

static void link_child(struct famfs_ns *ns, uint32_t parent, uint32_t ref)
{
	struct node *dir = node_at(ns, parent);

	if (dir->first_child == REF_NONE)
		dir->first_child = ref;
	else
		node_at(ns, dir->last_child)->next_sibling = ref;
	dir->last_child = ref;
	if (node_at(ns, ref)->kind == NODE_DIR)
		dir->subdirs++;
}

static void fill_file(struct famfs_ns *ns, struct node *node, const struct famfs_entry *entry,
		      uint32_t ext)
{
	node->kind = NODE_FILE;
	node->size = entry->size;
	node->ext = ext;
	node->next = entry->next;
	node->ext_type = (uint8_t)entry->ext_type;
	node->chunk_shift = entry->chunk ? (uint8_t)__builtin_ctzll(entry->chunk) : 0;
	for (uint32_t i = 0; i < entry->next; i++) {
		*ext_at(ns, ext + i) = (struct small_extent){
			.devindex = entry->ext[i].devindex,
			.start = (uint32_t)(entry->ext[i].offset >> ns->unit_shift),
			.units = (uint32_t)(entry->ext[i].len >> ns->unit_shift),
		};
		ns->stats.alloc_bytes += entry->ext[i].len;
	}
	ns->exts.used = ext + entry->next;
	ns->stats.files++;
	ns->stats.size_bytes += entry->size;
}

static void fill_dir(struct famfs_ns *ns, struct node *node)
{
	node->kind = NODE_DIR;
	node->first_child = node->last_child = REF_NONE;
	ns->stats.dirs++;
}

static void remember_dir(struct famfs_ns *ns, const struct famfs_entry *entry,
			 const struct key *key)
{
	uint32_t len = (uint32_t)(strlen(entry->path) - key->len);

	if (ns->dir == key->parent && ns->dir_len == len)
		return;
	ns->dir = key->parent;
	ns->dir_len = len;
	memcpy(ns->dir_path, entry->path, len);
}

/* Everything that can fail comes before the first visible change. */
static int add_node(struct famfs_ns *ns, const struct famfs_entry *entry, const struct key *key)
{
	uint32_t ref = (uint32_t)entry->index + 1;
	uint32_t nexts = entry->type == FAMFS_ENTRY_FILE ? entry->next : 0;
	uint32_t name_pos, ext_pos;
	struct node *node;

	if (famfs_ns_reserve(ns, 1) || reserve_node(ns, ref) ||
	    arena_reserve(ns, &ns->names, NAME_BLOCK, 1, key->len, &name_pos) ||
	    arena_reserve(ns, &ns->exts, EXT_BLOCK, sizeof(struct small_extent), nexts, &ext_pos))
		return -ENOMEM;
	memcpy(name_at(ns, name_pos), key->name, key->len);
	ns->names.used = name_pos + key->len;
	node = node_at(ns, ref);
	*node = (struct node){
		.parent = key->parent,
		.next_sibling = REF_NONE,
		.name = name_pos,
		.name_len = (uint8_t)key->len,
		.uid = entry->uid,
		.gid = entry->gid,
		.mode = (uint16_t)entry->mode,
	};
	if (entry->type == FAMFS_ENTRY_FILE)
		fill_file(ns, node, entry, ext_pos);
	else
		fill_dir(ns, node);
	ns->nodes.used = ref + 1;
	link_child(ns, key->parent, ref);
	hash_put(ns->hash, ns->hash_size - 1, key, ref);
	ns->hash_used++;
	remember_dir(ns, entry, key);
	return 0;
}

int famfs_ns_add(struct famfs_ns *ns, const struct famfs_entry *entry, const char *device,
		 struct famfs_error *ret_err)
{
	struct famfs_at at = {
		.err = ret_err,
		.device = device,
		.object = FAMFS_OBJ_ENTRY,
		.verdict = FAMFS_REFUSE,
		.index = entry->index,
		.base = FAMFS_SLOT_OFFSET(entry->index),
	};
	struct key key;
	int err;

	/* Slots above the largest log, or out of order, would break node ids. */
	if (entry->index >= FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MAX) || entry->index + 1 < ns->nodes.used)
		return famfs_bad_dec(&at, -EINVAL, 0, "slot", entry->index, "%u or later",
				     ns->nodes.used - 1);
	if (entry->type == FAMFS_ENTRY_ADD_DAXDEV) {
		if (ns->nreserved == MAX_RESERVED)
			return famfs_bad_dec(&at, -E2BIG, 0, "devices", entry->dd_index,
					     "at most %d", FAMFS_MAX_DEVS);
		reserved_add_device(ns, entry->dd_index);
		return 0;
	}
	err = check_entry(ns, entry, device, ret_err, &key);
	if (err)
		return err;
	err = add_node(ns, entry, &key);
	if (err)
		return famfs_bad(&at, err, 0, "memory", strerror(-err), "memory for the entry");
	return 0;
}

/* ---- looking ---- */

int famfs_ns_lookup(const struct famfs_ns *ns, uint64_t parent, const char *name, size_t len,
		    uint64_t *ret_nodeid)
{
	const struct node *dir;
	struct key key;
	uint32_t ref;

	if (len > 255)
		return -ENAMETOOLONG;
	if (parent == FAMFS_NODEID_META)
		return reserved_lookup(ns, name, len, ret_nodeid);
	if (reserved_of(ns, parent))
		return -ENOTDIR;
	dir = node_of(ns, parent);
	if (!dir)
		return -ENOENT;
	if (dir->kind != NODE_DIR)
		return -ENOTDIR;
	if (parent == FAMFS_NODEID_ROOT && len == 5 && !memcmp(name, ".meta", 5)) {
		*ret_nodeid = FAMFS_NODEID_META;
		return 0;
	}
	key = make_key(ns, (uint32_t)(parent - 1), name, len);
	ref = hash_find(ns, &key);
	if (ref == REF_NONE)
		return -ENOENT;
	*ret_nodeid = (uint64_t)ref + 1;
	return 0;
}

int famfs_ns_lookup_path(const struct famfs_ns *ns, const char *path, uint64_t *ret_nodeid)
{
	uint64_t id = FAMFS_NODEID_ROOT;

	while (*path) {
		size_t len = strcspn(path, "/");
		int err = famfs_ns_lookup(ns, id, path, len, &id);

		if (err)
			return err;
		path += len;
		if (*path == '/')
			path++;
	}
	*ret_nodeid = id;
	return 0;
}

int famfs_ns_getattr(const struct famfs_ns *ns, uint64_t nodeid, struct famfs_attr *ret)
{
	const struct node *node;

	if (reserved_of(ns, nodeid)) {
		reserved_getattr(ns, nodeid, ret);
		return 0;
	}
	node = node_of(ns, nodeid);
	if (!node)
		return -ENOENT;
	*ret = (struct famfs_attr){
		.nodeid = nodeid,
		.parent = (uint64_t)node->parent + 1,
		.uid = node->uid,
		.gid = node->gid,
		.mode = node->mode,
	};
	if (node->kind == NODE_FILE) {
		ret->mode |= S_IFREG;
		ret->size = node->size;
		ret->nlink = 1;
		for (uint32_t i = 0; i < node->next; i++)
			ret->allocated += (uint64_t)ext_at(ns, node->ext + i)->units
					  << ns->unit_shift;
		return 0;
	}
	ret->mode |= S_IFDIR;
	ret->nlink = 2 + node->subdirs + (nodeid == FAMFS_NODEID_ROOT);
	return 0;
}

static void expand_extents(const struct famfs_ns *ns, const struct node *node,
			   struct famfs_extent *ret)
{
	for (uint32_t i = 0; i < node->next; i++) {
		const struct small_extent *e = ext_at(ns, node->ext + i);

		ret[i] = (struct famfs_extent){
			.offset = (uint64_t)e->start << ns->unit_shift,
			.len = (uint64_t)e->units << ns->unit_shift,
			.devindex = e->devindex,
		};
	}
}

int famfs_ns_fmap(const struct famfs_ns *ns, uint64_t nodeid, struct famfs_fmap *ret,
		  struct famfs_extent room[FAMFS_MAX_EXTENTS])
{
	const struct reserved *r = reserved_of(ns, nodeid);
	const struct node *node;

	if (r) {
		if (nodeid == FAMFS_NODEID_META)
			return -EISDIR;
		reserved_fmap(r, ret);
		return 0;
	}
	node = node_of(ns, nodeid);
	if (!node)
		return -ENOENT;
	if (node->kind == NODE_DIR)
		return -EISDIR;
	expand_extents(ns, node, room);
	*ret = (struct famfs_fmap){
		.size = node->size,
		.chunk = node->ext_type == FAMFS_EXT_INTERLEAVE ? 1ULL << node->chunk_shift : 0,
		.ext_type = node->ext_type,
		.next = node->next,
		.ext = room,
	};
	return 0;
}

/* The first child whose cookie is above the given one, or REF_NONE. */
static uint32_t child_after(const struct famfs_ns *ns, uint32_t dir, uint64_t cookie)
{
	uint64_t ref = cookie < COOKIE_FIRST ? 0 : cookie - COOKIE_FIRST + 1;
	uint32_t child;

	/* Usual: the cookie is that of a child, so its sibling is next. */
	if (ref && ref < ns->nodes.used && node_at(ns, (uint32_t)ref)->kind != NODE_NONE &&
	    node_at(ns, (uint32_t)ref)->parent == dir)
		return node_at(ns, (uint32_t)ref)->next_sibling;
	child = node_at(ns, dir)->first_child;
	while (child != REF_NONE && child <= ref)
		child = node_at(ns, child)->next_sibling;
	return child;
}

static void set_dirent(struct famfs_dirent *ret, uint64_t nodeid, uint64_t cookie, const char *name,
		       size_t len, bool is_dir)
{
	*ret = (struct famfs_dirent){ nodeid, cookie, name, (uint32_t)len, is_dir };
}

static int reserved_readdir(const struct famfs_ns *ns, uint64_t cookie, struct famfs_dirent *ret)
{
	/* The file at place i, from 1, has cookie i + 2. */
	uint64_t i = cookie < COOKIE_META ? 1 : cookie - 1;

	if (i >= ns->nreserved)
		return -ENODATA;
	set_dirent(ret, FAMFS_NODEID_RESERVED + i, i + 2, ns->reserved[i].name,
		   strlen(ns->reserved[i].name), false);
	return 0;
}

static int log_readdir(const struct famfs_ns *ns, uint64_t dir, uint64_t cookie,
		       struct famfs_dirent *ret)
{
	const struct node *child;
	uint32_t ref;

	if (dir == FAMFS_NODEID_ROOT && cookie < COOKIE_META) {
		set_dirent(ret, FAMFS_NODEID_META, COOKIE_META, ns->reserved[0].name, 5, true);
		return 0;
	}
	ref = child_after(ns, (uint32_t)(dir - 1), cookie);
	if (ref == REF_NONE)
		return -ENODATA;
	child = node_at(ns, ref);
	set_dirent(ret, (uint64_t)ref + 1, (uint64_t)ref - 1 + COOKIE_FIRST,
		   name_at(ns, child->name), child->name_len, child->kind == NODE_DIR);
	return 0;
}

int famfs_ns_readdir(const struct famfs_ns *ns, uint64_t dir, uint64_t cookie,
		     struct famfs_dirent *ret)
{
	struct famfs_attr attr;
	int err = famfs_ns_getattr(ns, dir, &attr);

	if (err)
		return err;
	if (!S_ISDIR(attr.mode))
		return -ENOTDIR;
	if (cookie < COOKIE_DOT) {
		set_dirent(ret, dir, COOKIE_DOT, ".", 1, true);
		return 0;
	}
	if (cookie < COOKIE_DOTDOT) {
		set_dirent(ret, attr.parent, COOKIE_DOTDOT, "..", 2, true);
		return 0;
	}
	if (dir == FAMFS_NODEID_META)
		return reserved_readdir(ns, cookie, ret);
	return log_readdir(ns, dir, cookie, ret);
}

int famfs_ns_path(const struct famfs_ns *ns, uint64_t nodeid, char *buf, size_t size)
{
	const struct reserved *r = reserved_of(ns, nodeid);
	char path[FAMFS_PATH_LEN];
	size_t pos = sizeof(path) - 1;
	uint32_t ref;

	if (r) {
		snprintf(buf, size, "%s%s", nodeid == FAMFS_NODEID_META ? "" : ".meta/", r->name);
		return 0;
	}
	if (!node_of(ns, nodeid))
		return -ENOENT;
	path[pos] = '\0';
	/* The whole path came from an entry of at most 79 bytes. */
	for (ref = (uint32_t)(nodeid - 1); ref != REF_ROOT; ref = node_at(ns, ref)->parent) {
		const struct node *node = node_at(ns, ref);

		if (path[pos])
			path[--pos] = '/';
		pos -= node->name_len;
		memcpy(path + pos, name_at(ns, node->name), node->name_len);
	}
	snprintf(buf, size, "%s", path + pos);
	return 0;
}

void famfs_ns_stats(const struct famfs_ns *ns, struct famfs_ns_stats *ret)
{
	*ret = ns->stats;
}

/* ---- mapping ---- */

static int resolve_simple(const struct famfs_fmap *fmap, uint64_t pos,
			  const struct famfs_extent **ret_ext, uint64_t *ret_within,
			  uint64_t *ret_len)
{
	for (uint32_t i = 0; i < fmap->next; i++) {
		const struct famfs_extent *ext = &fmap->ext[i];

		if (pos < ext->len) {
			*ret_ext = ext;
			*ret_within = pos;
			*ret_len = ext->len - pos;
			return 0;
		}
		pos -= ext->len;
	}
	return -ENXIO;
}

int famfs_fmap_resolve(const struct famfs_fmap *fmap, uint64_t pos, uint32_t *ret_devindex,
		       uint64_t *ret_offset, uint64_t *ret_len)
{
	const struct famfs_extent *ext;
	uint64_t chunk, within, len;
	int err;

	if (pos >= fmap->size)
		return -ENXIO;
	if (fmap->ext_type == FAMFS_EXT_SIMPLE) {
		err = resolve_simple(fmap, pos, &ext, &within, &len);
		if (err)
			return err;
	} else {
		chunk = pos / fmap->chunk;
		ext = &fmap->ext[chunk % fmap->next];
		within = chunk / fmap->next * fmap->chunk + pos % fmap->chunk;
		len = fmap->chunk - pos % fmap->chunk;
	}
	*ret_devindex = ext->devindex;
	*ret_offset = ext->offset + within;
	*ret_len = len < fmap->size - pos ? len : fmap->size - pos;
	return 0;
}
