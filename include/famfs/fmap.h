/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the bytes of a file are, in the form that a page fault reads: one slot of
 * 64 bytes per file, and the resolver that turns a slot and a file position into
 * a mapping. The same lines run in bpf/famfs.bpf.c, in the server, in the unit
 * tests and in the fuzzer. docs/map-layout.md has the picture.
 *
 * The tables:
 *   slots[nodeid - 2]		files of the log, one slot per log entry
 *   reserved[nodeid - 2^32]	files without a log entry (.meta/.superblock, ...)
 *   extents[]			what does not fit into a slot
 *
 * The resolver trusts nobody: whatever a slot holds, it neither loops for long
 * nor reads outside the tables, and shifts by less than the width of the type.
 * It does not check devices or their sizes; the kernel does that with every
 * mapping that it is given.
 *
 * Publishing: a slot is filled, then its type is stored with release semantics;
 * readers load the type first. A published slot is never rewritten, but for
 * FAMFS_SLOT_DEAD stored over its type, once and for all.
 */
#ifndef FAMFS_FMAP_H
#define FAMFS_FMAP_H

#include <linux/errno.h>
#include <linux/types.h>

#define FAMFS_SLOT_STRIPS	6		/* strips inside a slot */
#define FAMFS_SLOT_STRIPS_MAX	16		/* strips of one file, as on media */

/* A unit is the allocation unit of the file system; tables count in units. */
#define FAMFS_UNIT_SHIFT_MIN	12
#define FAMFS_UNIT_SHIFT_MAX	21

/*
 * Limits of the encoding, in units. The first is what makes the reciprocal exact,
 * see famfs_slot_deal(). With 2 MiB units: files of 4 EiB, devices of 8 EiB;
 * with 4 KiB units: 8 TiB and 16 TiB.
 */
#define FAMFS_SLOT_SIZE_MAX	0x7fffffffU	/* file size */
#define FAMFS_SLOT_START_MAX	0xffffffffU	/* start of a strip */

/*
 * Records of the second table: the BPF verifier follows an offset into a map's value up
 * to 2^29 bytes.
 */
#define FAMFS_FMAP_EXTENTS_MAX	(1U << 25)

/* Extents of one file; bounds the binary search. The media has 16 at most. */
#define FAMFS_SLOT_EXTENTS_MAX	(1U << 16)
#define FAMFS_SLOT_SEARCH_STEPS	17

/* One byte; the names show up in `bpftool map dump`. */
enum famfs_slot_type {
	FAMFS_SLOT_EMPTY	= 0,	/* nothing published here */
	FAMFS_SLOT_SIMPLE	= 1,	/* one run: strips[0] */
	FAMFS_SLOT_EXTENTS	= 2,	/* extents[first .. first + count), in order */
	FAMFS_SLOT_INTERLEAVE	= 3,	/* 2..6 strips in the slot */
	FAMFS_SLOT_INTERLEAVE_EXT = 4,	/* 7..16 strips, in extents[first + i] */
	FAMFS_SLOT_INTERLEAVE_PACKED = 5, /* 7..16 strips in the slot, near each other */
	FAMFS_SLOT_DEAD		= 255,	/* the file system is not this one any more */
} __attribute__((packed));

/* Start of a run of bytes. 8 bytes. */
struct famfs_strip {
	__u32	dev;		/* kernel's id of the device; 0 is none */
	__u32	start;		/* in units */
};

/* Record of the second table. 16 bytes. */
struct famfs_slot_extent {
	struct famfs_strip strip;
	__u32	first;		/* its first unit in the file; 0 in INTERLEAVE_EXT */
	__u32	units;		/* its length; 0 in INTERLEAVE_EXT */
};

/*
 * 7 to 16 strips in 48 bytes: of each the distance of its start to the least start of
 * all in 20 bits, and that of its device's id to the least id in 4. What is farther apart
 * is INTERLEAVE_EXT, which costs a second cache line.
 */
struct famfs_slot_packed {
	__u16	low[FAMFS_SLOT_STRIPS_MAX];	/* of the start */
	__u8	high[FAMFS_SLOT_STRIPS_MAX];	/* device << 4 | upper 4 bits of the start */
};

#define FAMFS_SLOT_PACKED_START_BITS	20
#define FAMFS_SLOT_PACKED_HIGH_BITS	(FAMFS_SLOT_PACKED_START_BITS - 16)
#define FAMFS_SLOT_PACKED_DEV_BITS	4

/**
 * struct famfs_slot - one file, 64 bytes
 * @generation: FUSE generation of the inode
 * @type: stored last
 * @nstrips: interleaved: strips of the file
 * @chunk_shift: interleaved: log2 of the chunk in bytes. EXTENTS: log2 of the
 *	extents' length in bytes if all but the last are equal, a power of two, else 0
 * @recip_shift: n / nstrips == (n * recip) >> recip_shift
 * @recip: see @recip_shift
 * @base_dev: PACKED: least device id of its strips, less 1
 * @base_start: PACKED: least start of its strips
 * @size: of the file in units, rounded up
 * @strips: SIMPLE, INTERLEAVE; zero where unused
 * @ext: EXTENTS, INTERLEAVE_EXT: records of the second table
 * @packed: PACKED
 */
struct famfs_slot {
	__u32	generation;
	enum famfs_slot_type type;
	__u8	nstrips;
	__u8	chunk_shift;
	union {
		__u8	recip_shift;
		__u8	base_dev;
	};
	union {
		__u32	recip;
		__u32	base_start;
	};
	__u32	size;
	union {
		struct famfs_strip strips[FAMFS_SLOT_STRIPS];
		struct famfs_slot_packed packed;
		struct {
			__u32	first;
			__u32	count;
		} ext;
	};
} __attribute__((aligned(64)));

_Static_assert(sizeof(enum famfs_slot_type) == 1, "slot type is a byte");
_Static_assert(sizeof(struct famfs_strip) == 8, "strip size");
_Static_assert(sizeof(struct famfs_slot_extent) == 16, "extent size");
_Static_assert(sizeof(struct famfs_slot) == 64, "slot size");
_Static_assert(__builtin_offsetof(struct famfs_slot, generation) == 0, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, type) == 4, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, nstrips) == 5, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, chunk_shift) == 6, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, recip_shift) == 7, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, recip) == 8, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, size) == 12, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, strips) == 16, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, ext) == 16, "");
_Static_assert(__builtin_offsetof(struct famfs_slot, packed) == 16, "");
_Static_assert(sizeof(struct famfs_slot_packed) == 48, "packed strips size");

/**
 * struct famfs_fmap_config - constants of the program that reads the tables
 * @unit_shift: log2 of the allocation unit in bytes, 12..21
 * @nr_extents: records of the second table, 1..FAMFS_FMAP_EXTENTS_MAX
 */
struct famfs_fmap_config {
	__u32	unit_shift;
	__u32	nr_extents;
};

/* A contiguous run of a file on a device, all of it in bytes. */
struct famfs_run {
	__u64	offset;		/* in the file */
	__u64	length;
	__u64	addr;		/* on the device */
	__u32	dev;
};

/* Record i of the second table, NULL if there is none. */
typedef const struct famfs_slot_extent *(*famfs_extent_fn)(void *ctx, __u64 i);

#define FAMFS_FMAP_INLINE	static inline __attribute__((always_inline, unused))

#ifdef __bpf__
/*
 * clang 14 has no load-acquire for BPF; on x86 the machine orders loads by itself,
 * elsewhere it does not.
 */
#ifndef __TARGET_ARCH_x86
#error "needs a compiler with BPF load-acquire on this architecture"
#endif
/* Shifts by what a slot says. BPF defines them for any count, C does not. */
#define famfs_fmap_shl(x, n)	asm("%0 <<= %1" : "+r"(x) : "r"((__u64)(n)))
#define famfs_fmap_shr(x, n)	asm("%0 >>= %1" : "+r"(x) : "r"((__u64)(n)))
/* Into the register of the first; the compiler would take another */
#define famfs_fmap_mul(x, y)	asm("%0 *= %1" : "+r"(x) : "r"((__u64)(y)))
/* Or the verifier sees a check on one register and an access by another. */
#define famfs_fmap_hide(x)	asm volatile("" : "+r"(x))
/* The verifier wants a bound, which then costs nothing. */
#define famfs_fmap_unroll	_Pragma("unroll")
#else
#define famfs_fmap_unroll
#define famfs_fmap_shl(x, n) ((x) <<= (n)&63)
#define famfs_fmap_shr(x, n) ((x) >>= (n)&63)
#define famfs_fmap_mul(x, y) ((x) *= (y))
#define famfs_fmap_hide(x) \
	do {               \
	} while (0)
#endif

#ifdef __bpf__
/* The second table as the one value of a data section, and its famfs_extent_fn */
struct famfs_extent_table {
	const struct famfs_slot_extent *at;
	__u64	nr;
};

FAMFS_FMAP_INLINE struct famfs_extent_table famfs_extent_table(const struct famfs_slot_extent *at,
							       __u64 nr)
{
	struct famfs_extent_table table = { .at = at, .nr = nr };

	/* The compiler takes it for the one record that it is declared as */
	famfs_fmap_hide(table.at);
	return table;
}

FAMFS_FMAP_INLINE const struct famfs_slot_extent *famfs_extent_get(void *ctx, __u64 i)
{
	const struct famfs_extent_table *table = ctx;

	famfs_fmap_hide(i);
	__builtin_assume(table->at);
	return i < table->nr ? &table->at[i] : 0;
}
#endif

FAMFS_FMAP_INLINE enum famfs_slot_type famfs_slot_load_type(const struct famfs_slot *slot)
{
#ifdef __bpf__
	enum famfs_slot_type type = *(const volatile enum famfs_slot_type *)&slot->type;

	asm volatile("" : : : "memory");
	return type;
#else
	return __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE);
#endif
}

/* Why a slot gives no mapping: what is wrong with it first, then with the question. */
FAMFS_FMAP_INLINE int famfs_slot_refuse(const struct famfs_slot *slot, __u32 unit_shift,
					__u32 generation, __u64 pos)
{
	enum famfs_slot_type type = famfs_slot_load_type(slot);

	if (type > FAMFS_SLOT_INTERLEAVE_PACKED)
		return -EIO;
	if (slot->generation != generation)
		return -ESTALE;
	/* What else would be wrong with a slot of a known type that was looked into? */
	return pos >> unit_shift >= slot->size ? -ENXIO : -EIO;
}

/*
 * Chunk number and stripe number of a position; returns the strip's.
 *
 * The division by the number of strips is a multiplication: with
 * recip = ceil(2^s / n), s = 31 + ceil(log2 n), it is exact for chunk numbers below
 * 2^31, because recip * n - 2^s < n <= 2^(s - 31); and neither recip (32 bits) nor
 * the product (63 bits) overflows. FAMFS_SLOT_SIZE_MAX keeps chunk numbers there.
 */
FAMFS_FMAP_INLINE __u64 famfs_slot_deal(const struct famfs_slot *slot, __u64 pos, __u64 *ret_chunk,
					__u64 *ret_stripe)
{
	__u64 chunk = pos, stripe, nth, dealt = slot->nstrips;

	famfs_fmap_shr(chunk, slot->chunk_shift);
	stripe = chunk * slot->recip;
	famfs_fmap_shr(stripe, slot->recip_shift);
	famfs_fmap_mul(dealt, stripe);
	nth = chunk - dealt;
	famfs_fmap_hide(nth);
	*ret_chunk = chunk;
	*ret_stripe = stripe;
	return nth;
}

FAMFS_FMAP_INLINE void famfs_slot_run_chunk(const struct famfs_strip *strip, __u64 chunk_shift,
					    __u32 unit_shift, __u64 chunk, __u64 stripe,
					    struct famfs_run *ret)
{
	__u64 length = 1;

	famfs_fmap_shl(length, chunk_shift);
	famfs_fmap_shl(chunk, chunk_shift);
	famfs_fmap_shl(stripe, chunk_shift);
	ret->offset = chunk;
	ret->length = length;
	ret->addr = ((__u64)strip->start << unit_shift) + stripe;
	ret->dev = strip->dev;
}

/*
 * As famfs_slot_deal(), for INTERLEAVE_PACKED, where the reciprocal's place is taken. Of 7
 * to 16 strips there are 8 or 16 as a rule: shifted. The others pay for a division, a short
 * one, since chunk numbers have 31 bits (FAMFS_SLOT_SIZE_MAX).
 */
FAMFS_FMAP_INLINE __u64 famfs_slot_deal_packed(const struct famfs_slot *slot, __u64 pos,
					       __u64 *ret_chunk, __u64 *ret_stripe)
{
	__u64 dealt = slot->nstrips, stripe, nth;

	famfs_fmap_shr(pos, slot->chunk_shift);
	stripe = pos;
	if (dealt & (dealt - 1))
		stripe = (__u32)stripe / (__u32)dealt;
	else if (dealt == 16)
		stripe >>= 4;
	else
		stripe >>= 3;
	famfs_fmap_mul(dealt, stripe);
	nth = pos - dealt;
	famfs_fmap_hide(nth);
	*ret_chunk = pos;
	*ret_stripe = stripe;
	return nth;
}

/* Strip @nth of an INTERLEAVE_PACKED, 0..15 */
FAMFS_FMAP_INLINE struct famfs_strip famfs_slot_unpack(const struct famfs_slot *slot, __u64 nth)
{
	__u32 high = slot->packed.high[nth];
	__u32 low = slot->packed.low[nth];
	struct famfs_strip strip;

	strip.start =
		((high & ((1U << FAMFS_SLOT_PACKED_HIGH_BITS) - 1)) << 16 | low) + slot->base_start;
	strip.dev = (high >> FAMFS_SLOT_PACKED_HIGH_BITS) + slot->base_dev + 1U;
	return strip;
}

FAMFS_FMAP_INLINE int famfs_slot_run_packed(const struct famfs_slot *slot, __u32 unit_shift,
					    __u64 pos, struct famfs_run *ret)
{
	struct famfs_strip strip;
	__u64 chunk, stripe, nth;

	nth = famfs_slot_deal_packed(slot, pos, &chunk, &stripe);
	if (nth >= FAMFS_SLOT_STRIPS_MAX)
		return -EIO;
	strip = famfs_slot_unpack(slot, nth);
	famfs_slot_run_chunk(&strip, slot->chunk_shift, unit_shift, chunk, stripe, ret);
	return 1;
}

/* famfs_slot_resolve_inside(): who knows */
#define FAMFS_SLOT_IN_EXTENTS	2
#define FAMFS_SLOT_IN_PACKED	3
#define FAMFS_SLOT_IN_STRIPS	4
#define FAMFS_SLOT_REFUSED	5

/**
 * famfs_slot_resolve_inside() - famfs_slot_resolve() for one extent, or up to 6 strips
 *
 * Return: 1; 0 for an empty slot; FAMFS_SLOT_IN_* if famfs_slot_run_*() knows the answer; FAMFS_SLOT_REFUSED
 * if there is none and famfs_slot_refuse() knows why.
 */
FAMFS_FMAP_INLINE int famfs_slot_resolve_inside(const struct famfs_slot *slot, __u32 unit_shift,
						__u32 generation, __u64 pos, struct famfs_run *ret)
{
	__u64 type = famfs_slot_load_type(slot);
	const struct famfs_strip *strip;
	__u64 chunk, stripe, shift, nth;

	/* One test in the usual case; the exact reason is looked for afterwards. */
	if (slot->generation != generation || pos >> unit_shift >= slot->size)
		return type == FAMFS_SLOT_EMPTY ? 0 : FAMFS_SLOT_REFUSED;

	if (type == FAMFS_SLOT_SIMPLE) {
		ret->offset = 0;
		ret->length = (__u64)slot->size << unit_shift;
		ret->addr = (__u64)slot->strips[0].start << unit_shift;
		ret->dev = slot->strips[0].dev;
		return 1;
	}
	/* Or the compiler asks for the others first */
	famfs_fmap_hide(type);
	if (type == FAMFS_SLOT_INTERLEAVE) {
		nth = famfs_slot_deal(slot, pos, &chunk, &stripe);
		if (nth >= FAMFS_SLOT_STRIPS)
			return FAMFS_SLOT_REFUSED;
		/* In this order no more registers are needed than a call may change */
		shift = slot->chunk_shift;
		famfs_fmap_hide(shift);
		strip = &slot->strips[nth];
		famfs_fmap_hide(strip);
		famfs_slot_run_chunk(strip, shift, unit_shift, chunk, stripe, ret);
		return 1;
	}
	famfs_fmap_hide(type);
	/* Not here: it would cost the others a register. */
	if (type == FAMFS_SLOT_INTERLEAVE_PACKED)
		return FAMFS_SLOT_IN_PACKED;
	famfs_fmap_hide(type);
	if (type == FAMFS_SLOT_EXTENTS)
		return FAMFS_SLOT_IN_EXTENTS;
	if (type == FAMFS_SLOT_INTERLEAVE_EXT)
		return FAMFS_SLOT_IN_STRIPS;
	/* The type that was seen here: an empty slot may be published at any moment */
	return type == FAMFS_SLOT_EMPTY ? 0 : FAMFS_SLOT_REFUSED;
}

/*
 * The last extent whose first unit is not past @unit. Extents that are equal powers
 * of two are found by a shift, others by a search.
 */
FAMFS_FMAP_INLINE const struct famfs_slot_extent *famfs_slot_search(const struct famfs_slot *slot,
								    famfs_extent_fn extent,
								    void *ctx, __u64 pos,
								    __u32 unit)
{
	const struct famfs_slot_extent *e;
	__u64 low = slot->ext.first;
	__u64 count = slot->ext.count;
	__u32 step;

	if (slot->chunk_shift) {
		famfs_fmap_shr(pos, slot->chunk_shift);
		return pos < count ? extent(ctx, low + pos) : 0;
	}

	/*
	 * Invariant: extent low begins at or before unit, extent low + count after. The
	 * larger half is taken either way, which costs no step, and saves a branch.
	 */
	famfs_fmap_unroll
	for (step = 0; step < FAMFS_SLOT_SEARCH_STEPS; step++) {
		__u64 half = count / 2;

		if (!half)
			break;
		e = extent(ctx, low + half);
		if (!e)
			break;
		if (e->first <= unit)
			low += half;
		count -= half;
	}
	return extent(ctx, low);
}

/* @e, if it holds @unit of the file */
FAMFS_FMAP_INLINE int famfs_slot_run_extent(const struct famfs_slot_extent *e, __u32 unit,
					    __u32 unit_shift, struct famfs_run *ret)
{
	if (!e || unit - e->first >= e->units)
		return -EIO;
	ret->offset = (__u64)e->first << unit_shift;
	ret->length = (__u64)e->units << unit_shift;
	ret->addr = (__u64)e->strip.start << unit_shift;
	ret->dev = e->strip.dev;
	return 1;
}

FAMFS_FMAP_INLINE int famfs_slot_run_extents(const struct famfs_slot *slot, famfs_extent_fn extent,
					     void *ctx, __u32 unit_shift, __u64 pos,
					     struct famfs_run *ret)
{
	__u32 unit = (__u32)(pos >> unit_shift);

	return famfs_slot_run_extent(famfs_slot_search(slot, extent, ctx, pos, unit), unit,
				     unit_shift, ret);
}

FAMFS_FMAP_INLINE int famfs_slot_run_strips(const struct famfs_slot *slot, famfs_extent_fn extent,
					    void *ctx, __u32 unit_shift, __u64 pos,
					    struct famfs_run *ret)
{
	const struct famfs_slot_extent *e;
	__u64 chunk, stripe, nth;

	nth = famfs_slot_deal(slot, pos, &chunk, &stripe);
	if (nth >= FAMFS_SLOT_STRIPS_MAX)
		return -EIO;
	e = extent(ctx, slot->ext.first + nth);
	if (!e)
		return -EIO;
	famfs_slot_run_chunk(&e->strip, slot->chunk_shift, unit_shift, chunk, stripe, ret);
	return 1;
}

/**
 * famfs_slot_resolve() - the longest contiguous run of a file that holds a position
 * @slot:	of the file
 * @extent:	access to the second table
 * @ctx:	for @extent
 * @unit_shift:	log2 of the unit in bytes, 12..21
 * @generation:	of the inode that asks
 * @pos:	byte in the file
 * @ret:	set when 1 is returned
 *
 * A run begins and ends at units; the last one may reach past the file's size, in
 * space that belongs to the file.
 *
 * Return: 1; 0 if nothing is published here: the slot knows nothing of the file,
 * so another method may; without one the kernel makes it EIO and counts a
 * fallback. -ESTALE if the inode is of another generation: never fall back, since
 * the inode is not the file that the server knows by this number. -EIO if the file
 * system is gone (DEAD) or the slot makes no sense. -ENXIO at or past the size.
 */
FAMFS_FMAP_INLINE int famfs_slot_resolve(const struct famfs_slot *slot, famfs_extent_fn extent,
					 void *ctx, __u32 unit_shift, __u32 generation, __u64 pos,
					 struct famfs_run *ret)
{
	int err = famfs_slot_resolve_inside(slot, unit_shift, generation, pos, ret);

	switch (err) {
	case FAMFS_SLOT_IN_PACKED:
		return famfs_slot_run_packed(slot, unit_shift, pos, ret);
	case FAMFS_SLOT_IN_EXTENTS:
		return famfs_slot_run_extents(slot, extent, ctx, unit_shift, pos, ret);
	case FAMFS_SLOT_IN_STRIPS:
		return famfs_slot_run_strips(slot, extent, ctx, unit_shift, pos, ret);
	case FAMFS_SLOT_REFUSED:
		return famfs_slot_refuse(slot, unit_shift, generation, pos);
	default:
		return err;
	}
}

#endif /* FAMFS_FMAP_H */
