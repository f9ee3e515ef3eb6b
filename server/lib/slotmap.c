// SPDX-License-Identifier: GPL-2.0-only
/*
 * The slot map's tables: publish, check, fill, kill, resolve. Tables are a BPF
 * program's, or plain memory. What a record looks like is slotmap_encode.c's
 * business, how programs come and go bpfload.c's.
 *
 * Extents are given out in order and never taken back; the first free one follows
 * from the slots, so that nothing needs to be remembered over a restart.
 */
#include "slotmap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Table of extents: what files that are there need is known. Of those to come few have
 * more than one extent or too many strips for a slot: one record each on the average, but
 * enough for a thousand of the worst.
 */
#define SLOTMAP_EXTENTS_FLOOR	(1024U * FAMFS_MAX_EXTENTS)
#define SLOTMAP_SLOTS_MAX	FAMFS_LOG_SLOTS(FAMFS_LOG_LEN_MAX)

struct slotmap {
	struct bpfload *program;	/* NULL without BPF: then the tables are ours */
	struct famfs_slot *slots;
	struct famfs_slot *reserved;
	struct famfs_slot_extent *extents;
	uint32_t nr_slots;
	uint32_t nr_reserved;
	uint32_t nr_extents;
	uint32_t extents_used;
	uint32_t unit_shift;
	uint32_t generation;
	bool fresh;			/* made here: unpublished slots need no check */
	bool dead;
};

static int slotmap_say(int err, char *msg, const char *text)
{
	if (msg)
		snprintf(msg, SLOTMAP_MSG_MAX, "%s", text);
	return err;
}

/* ---- life ---- */

static uint32_t slotmap_size_extents(const struct slotmap_config *c)
{
	uint64_t free_slots = c->nr_slots - c->nr_played;
	uint64_t worst = free_slots * FAMFS_MAX_EXTENTS;
	uint64_t room = free_slots > SLOTMAP_EXTENTS_FLOOR ? free_slots : SLOTMAP_EXTENTS_FLOOR;
	uint64_t n = c->nr_extents + (room < worst ? room : worst);

	if (n > FAMFS_FMAP_EXTENTS_MAX)
		n = FAMFS_FMAP_EXTENTS_MAX;
	return n ? (uint32_t)n : 1;
}

static int slotmap_check_config(const struct slotmap_config *c, char *msg)
{
	if (!c->alloc_unit || (c->alloc_unit & (c->alloc_unit - 1)) ||
	    c->alloc_unit >> FAMFS_UNIT_SHIFT_MIN == 0 || c->alloc_unit >> FAMFS_UNIT_SHIFT_MAX > 1)
		return slotmap_say(-EINVAL, msg,
				   "slot map: allocation unit is no power of two "
				   "from 4 KiB to 2 MiB");
	if (!c->nr_slots || c->nr_slots > SLOTMAP_SLOTS_MAX || c->nr_played > c->nr_slots ||
	    c->nr_extents > c->nr_slots * FAMFS_MAX_EXTENTS)
		return slotmap_say(-E2BIG, msg,
				   "slot map: log has no entries, or more than "
				   "1 GiB of them");
	return 0;
}

static struct slotmap *slotmap_new(const struct slotmap_config *c)
{
	struct slotmap *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->nr_slots = (uint32_t)c->nr_slots;
	m->nr_reserved = SLOTMAP_NR_RESERVED;
	m->nr_extents = slotmap_size_extents(c);
	m->unit_shift = (uint32_t)__builtin_ctzll(c->alloc_unit);
	m->generation = c->generation;
	return m;
}

static void slotmap_use(struct slotmap *m, struct bpfload *b)
{
	m->program = b;
	m->slots = b->slots;
	m->reserved = b->reserved;
	m->extents = b->extents;
	m->nr_slots = b->config.nr_slots;
	m->nr_reserved = b->config.nr_reserved;
	m->nr_extents = b->config.nr_extents;
	m->unit_shift = b->config.unit_shift;
}

static void *slotmap_alloc_table(size_t count, size_t size)
{
	void *table = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	if (table == MAP_FAILED)
		return NULL;
	madvise(table, count * size, MADV_HUGEPAGE);
	return table;
}

static void slotmap_free_table(void *table, size_t count, size_t size)
{
	if (table)
		munmap(table, count * size);
}

static int slotmap_alloc(struct slotmap *m)
{
	m->slots = slotmap_alloc_table(m->nr_slots, sizeof(*m->slots));
	m->reserved = slotmap_alloc_table(m->nr_reserved, sizeof(*m->reserved));
	m->extents = slotmap_alloc_table(m->nr_extents, sizeof(*m->extents));
	return m->slots && m->reserved && m->extents ? 0 : -ENOMEM;
}

/* Could a file like this need the second table? Most cannot, and need no closer look. */
static bool slotmap_may_need(const struct famfs_fmap *f)
{
	if (f->ext_type == FAMFS_EXT_SIMPLE)
		return f->next > 1;
	return f->next > FAMFS_SLOT_STRIPS || f->size / f->next <= f->chunk;
}

uint64_t slotmap_need(const struct famfs_ns *ns, uint64_t played, const struct slotmap_devs *devs,
		      uint64_t alloc_unit)
{
	uint32_t unit_shift = (uint32_t)__builtin_ctzll(alloc_unit);
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct slotmap_record record;
	struct famfs_fmap fmap;
	uint64_t need = 0;

	for (uint64_t i = 0; i < played; i++) {
		if (famfs_ns_fmap(ns, i + FAMFS_NODEID_FIRST, &fmap, room) ||
		    !slotmap_may_need(&fmap))
			continue;
		if (!slotmap_encode(&fmap, devs, 1, unit_shift, &record))
			need += record.nr_ext;
	}
	return need;
}

int slotmap_load(const struct slotmap_config *config, int fuse_fd, struct slotmap **ret, char *msg)
{
	struct bpfload_config c = { .verbose = config->verbose };
	struct bpfload *b;
	struct slotmap *m;
	int err;

	err = slotmap_check_config(config, msg);
	if (err)
		return err;
	m = slotmap_new(config);
	if (!m)
		return slotmap_say(-ENOMEM, msg, "slot map: out of memory");
	m->fresh = true;

	if (config->no_bpf) {
		err = slotmap_alloc(m);
		if (err)
			slotmap_say(err, msg, "slot map: out of memory");
	} else {
		c.unit_shift = m->unit_shift;
		c.nr_slots = m->nr_slots;
		c.nr_reserved = m->nr_reserved;
		c.nr_extents = m->nr_extents;
		err = bpfload_load(&c, fuse_fd, &b, msg);
		if (!err)
			slotmap_use(m, b);
	}
	if (err)
		slotmap_free(m);
	else
		*ret = m;
	return err;
}

int slotmap_attach(struct slotmap *m, char *msg)
{
	return m->program ? bpfload_attach(m->program, msg)
			  : slotmap_say(-EINVAL, msg, "slot map: has no program");
}

int slotmap_replace(struct slotmap *new, struct slotmap *old, const uint8_t *uuid, char *msg)
{
	if (!new->program || !old->program)
		return slotmap_say(-EINVAL, msg, "slot map: has no program");
	return bpfload_replace(new->program, old->program, uuid, msg);
}

void slotmap_free(struct slotmap *m)
{
	if (!m)
		return;
	if (m->program) {
		bpfload_free(m->program);
	} else {
		slotmap_free_table(m->slots, m->nr_slots, sizeof(*m->slots));
		slotmap_free_table(m->reserved, m->nr_reserved, sizeof(*m->reserved));
		slotmap_free_table(m->extents, m->nr_extents, sizeof(*m->extents));
	}
	free(m);
}

int slotmap_pin(const struct slotmap *m, const uint8_t uuid[FAMFS_UUID_LEN], char *msg)
{
	return m->program ? bpfload_pin(m->program, uuid, msg) : 0;
}

int slotmap_unpin(const uint8_t uuid[FAMFS_UUID_LEN], char *msg)
{
	return bpfload_unpin(uuid, msg);
}

const struct bpfload *slotmap_program(const struct slotmap *m)
{
	return m->program;
}

/* ---- slots ---- */

static struct famfs_slot *slotmap_slot(const struct slotmap *m, uint64_t nodeid)
{
	uint64_t i = nodeid - FAMFS_NODEID_FIRST;

	if (nodeid >= FAMFS_NODEID_FIRST && i < m->nr_slots)
		return &m->slots[i];
	i = nodeid - FAMFS_NODEID_RESERVED;
	if (nodeid >= FAMFS_NODEID_RESERVED && i < m->nr_reserved)
		return &m->reserved[i];
	return NULL;
}

static bool slotmap_has_extents(const struct famfs_slot *slot)
{
	return slot->type == FAMFS_SLOT_EXTENTS || slot->type == FAMFS_SLOT_INTERLEAVE_EXT;
}

static bool slotmap_same(const struct slotmap *m, const struct famfs_slot *slot,
			 const struct slotmap_record *r)
{
	struct famfs_slot copy = *slot;
	uint32_t first = copy.ext.first;

	if (copy.type != r->slot.type)
		return false;
	if (slotmap_has_extents(&copy))
		copy.ext.first = 0;
	if (memcmp(&copy, &r->slot, sizeof(copy)))
		return false;
	if (!r->nr_ext)
		return true;
	return first <= m->nr_extents && r->nr_ext <= m->nr_extents - first &&
	       !memcmp(&m->extents[first], r->ext, r->nr_ext * sizeof(r->ext[0]));
}

/* Contents first, type last: whoever sees the type sees the rest. */
static int slotmap_store(struct slotmap *m, struct famfs_slot *slot, const struct slotmap_record *r)
{
	struct famfs_slot copy = r->slot;

	if (r->nr_ext > m->nr_extents - m->extents_used)
		return -ENOSPC;
	if (r->nr_ext) {
		copy.ext.first = m->extents_used;
		memcpy(&m->extents[copy.ext.first], r->ext, r->nr_ext * sizeof(r->ext[0]));
		m->extents_used += r->nr_ext;
	}
	copy.type = FAMFS_SLOT_EMPTY;
	*slot = copy;
	__atomic_store_n(&slot->type, r->slot.type, __ATOMIC_RELEASE);
	return 0;
}

int slotmap_publish(struct slotmap *m, uint64_t nodeid, const struct famfs_fmap *fmap,
		    const struct slotmap_devs *devs)
{
	struct famfs_slot *slot = slotmap_slot(m, nodeid);
	struct slotmap_record record;
	enum famfs_slot_type type;
	int err;

	if (!slot)
		return -ERANGE;
	type = famfs_slot_load_type(slot);
	if (m->dead || type == FAMFS_SLOT_DEAD)
		return -ESTALE;
	err = slotmap_encode(fmap, devs, m->generation, m->unit_shift, &record);
	if (err)
		return err;
	if (type != FAMFS_SLOT_EMPTY)
		return slotmap_same(m, slot, &record) ? 0 : -EEXIST;
	return slotmap_store(m, slot, &record);
}

int slotmap_check(const struct slotmap *m, uint64_t nodeid, const struct famfs_fmap *fmap,
		  const struct slotmap_devs *devs)
{
	const struct famfs_slot *slot = slotmap_slot(m, nodeid);
	struct slotmap_record record;
	enum famfs_slot_type type;
	int err;

	if (!slot)
		return -ERANGE;
	type = famfs_slot_load_type(slot);
	if (type == FAMFS_SLOT_DEAD)
		return -ESTALE;
	if (type == FAMFS_SLOT_EMPTY)
		return -ENOENT;
	err = slotmap_encode(fmap, devs, m->generation, m->unit_shift, &record);
	if (err)
		return err;
	return slotmap_same(m, slot, &record) ? 0 : -EUCLEAN;
}

static int slotmap_check_empty(const struct famfs_slot *slot)
{
	switch (famfs_slot_load_type(slot)) {
	case FAMFS_SLOT_EMPTY:
		return 0;
	case FAMFS_SLOT_DEAD:
		return -ESTALE;
	default:
		return -EUCLEAN;
	}
}

static int slotmap_fill_one(struct slotmap *m, const struct famfs_ns *ns, uint64_t nodeid,
			    const struct slotmap_devs *devs, uint64_t *skipped)
{
	struct famfs_extent room[FAMFS_MAX_EXTENTS];
	struct famfs_fmap fmap;
	int err;

	/* A directory, or an entry that made nothing */
	if (famfs_ns_fmap(ns, nodeid, &fmap, room))
		return slotmap_check_empty(slotmap_slot(m, nodeid));

	err = slotmap_publish(m, nodeid, &fmap, devs);
	switch (err) {
	case -EEXIST:
		return -EUCLEAN;
	case -ENODEV:
	case -E2BIG:
	case -EINVAL:
		++*skipped;
		return slotmap_check_empty(slotmap_slot(m, nodeid));
	default:
		return err;
	}
}

int slotmap_fill(struct slotmap *m, const struct famfs_ns *ns, uint64_t played,
		 const struct slotmap_devs *devs, uint64_t *ret_skipped, uint64_t *ret_bad)
{
	uint64_t skipped = 0, nodeid = 0;
	int err = played > m->nr_slots ? -ERANGE : 0;

	for (uint64_t i = 0; !err && i < m->nr_reserved; i++) {
		nodeid = FAMFS_NODEID_RESERVED + i;
		err = slotmap_fill_one(m, ns, nodeid, devs, &skipped);
	}
	for (uint64_t i = 0; !err && i < played; i++) {
		nodeid = FAMFS_NODEID_FIRST + i;
		err = slotmap_fill_one(m, ns, nodeid, devs, &skipped);
	}
	for (uint64_t i = played; !err && !m->fresh && i < m->nr_slots; i++) {
		nodeid = FAMFS_NODEID_FIRST + i;
		err = slotmap_check_empty(&m->slots[i]);
	}
	if (!err)
		*ret_skipped = skipped;
	else if (ret_bad)
		*ret_bad = nodeid;
	return err;
}

static void slotmap_kill_table(struct famfs_slot *table, uint32_t count)
{
	for (uint32_t i = 0; table && i < count; i++)
		__atomic_store_n(&table[i].type, FAMFS_SLOT_DEAD, __ATOMIC_RELEASE);
}

void slotmap_kill(struct slotmap *m)
{
	m->dead = true;
	slotmap_kill_table(m->slots, m->nr_slots);
	slotmap_kill_table(m->reserved, m->nr_reserved);
	/* Adopted, and of a form that cannot be written: better no answer than an old one */
	if (m->program && !m->slots)
		bpfload_detach(m->program);
}

/* ---- adoption ---- */

/* The first extent that no slot uses; -EUCLEAN if one uses what is not there. */
static int slotmap_count_extents(struct slotmap *m, const struct famfs_slot *table, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct famfs_slot *slot = &table[i];
		enum famfs_slot_type type = famfs_slot_load_type(slot);

		if (type == FAMFS_SLOT_DEAD)
			m->dead = true;
		if (!slotmap_has_extents(slot))
			continue;
		if (slot->ext.first > m->nr_extents ||
		    slot->ext.count > m->nr_extents - slot->ext.first)
			return -EUCLEAN;
		if (slot->ext.first + slot->ext.count > m->extents_used)
			m->extents_used = slot->ext.first + slot->ext.count;
	}
	return 0;
}

/* Sizes may be larger than asked for, but not smaller. */
static int slotmap_check_adopted(struct slotmap *m, const struct slotmap_config *c, char *msg)
{
	const struct bpfload *b = m->program;
	int err;

	if (!b->slots)
		return slotmap_say(-EUCLEAN, msg,
				   "slot map: pins are not complete, or of another version");
	if (b->config.unit_shift != (uint32_t)__builtin_ctzll(c->alloc_unit))
		return slotmap_say(-EUCLEAN, msg,
				   "slot map: pinned map has another allocation unit");
	if (b->config.nr_slots < c->nr_slots || b->config.nr_reserved < SLOTMAP_NR_RESERVED)
		return slotmap_say(-EUCLEAN, msg, "slot map: pinned map is too small for the log");
	err = slotmap_count_extents(m, m->slots, m->nr_slots);
	if (!err)
		err = slotmap_count_extents(m, m->reserved, m->nr_reserved);
	if (err)
		slotmap_say(err, msg, "slot map: pinned map uses extents that it does not have");
	return err;
}

int slotmap_adopt(const struct slotmap_config *config, const uint8_t uuid[FAMFS_UUID_LEN],
		  struct slotmap **ret, char *msg)
{
	enum bpfload_pins pins;
	struct bpfload *b;
	struct slotmap *m;
	int err;

	err = slotmap_check_config(config, msg);
	if (!err)
		err = bpfload_probe_pins(uuid, &pins, msg);
	if (err)
		return err;
	if (pins == BPFLOAD_PINS_STALE) {
		err = bpfload_unpin(uuid, msg);
		if (err)
			return err;
	}
	if (pins == BPFLOAD_PINS_STALE || pins == BPFLOAD_PINS_NONE)
		return slotmap_say(-ENOENT, msg, "slot map: nothing is pinned");

	m = slotmap_new(config);
	if (!m)
		return slotmap_say(-ENOMEM, msg, "slot map: out of memory");
	err = bpfload_adopt(uuid, true, &b, msg);
	if (err) {
		free(m);
		return err;
	}
	slotmap_use(m, b);
	*ret = m;
	return slotmap_check_adopted(m, config, msg);
}

/* ---- upcalls and status ---- */

static const struct famfs_slot_extent *slotmap_extent(void *ctx, __u64 i)
{
	const struct slotmap *m = ctx;

	return i < m->nr_extents ? &m->extents[i] : NULL;
}

int slotmap_resolve(const struct slotmap *m, uint64_t nodeid, uint32_t generation, uint64_t pos,
		    struct fuse_iomap_io *ret_io)
{
	const struct famfs_slot *slot = slotmap_slot(m, nodeid);
	struct famfs_run run;
	int ret;

	if (!slot)
		return -ENXIO;
	ret = famfs_slot_resolve(slot, slotmap_extent, (void *)m, m->unit_shift, generation, pos,
				 &run);
	if (ret <= 0)
		return ret ? ret : -ENXIO;
	*ret_io = (struct fuse_iomap_io){
		.offset = run.offset,
		.length = run.length,
		.addr = run.addr,
		.type = FUSE_IOMAP_TYPE_MAPPED,
		.dev = run.dev,
	};
	return 0;
}

static uint64_t slotmap_count(const struct famfs_slot *table, uint32_t count)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		n += famfs_slot_load_type(&table[i]) != FAMFS_SLOT_EMPTY;
	return n;
}

void slotmap_stats(const struct slotmap *m, struct slotmap_stats *ret)
{
	*ret = (struct slotmap_stats){
		.slots = m->nr_slots,
		.published = slotmap_count(m->slots, m->nr_slots),
		.reserved = slotmap_count(m->reserved, m->nr_reserved),
		.extents = m->nr_extents,
		.extents_used = m->extents_used,
		.bytes = ((uint64_t)m->nr_slots + m->nr_reserved) * sizeof(*m->slots) +
			 (uint64_t)m->nr_extents * sizeof(*m->extents),
		.dead = m->dead,
	};
}
