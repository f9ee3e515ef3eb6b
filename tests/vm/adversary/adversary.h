/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the adversary's program answers, chosen by user space for every attempt.
 */
#ifndef ADVERSARY_H
#define ADVERSARY_H

#include <linux/types.h>

#define NODE_VICTIM	2ULL
#define NODE_ATTACK	3ULL
#define GENERATION	5U

#define REGION		0x200000ULL	/* one attempt happens in one of these */
#define VICTIM_SIZE	(4 * REGION)
#define ATTACK_SIZE	(32 * REGION)
#define VICTIM_ADDR	(32 * REGION)	/* on the device */
#define ATTACK_ADDR	(64 * REGION)

/* answer.how */
#define HOW_OFFSET_ABS	(1U << 0)	/* offset is not relative to the region of pos */
#define HOW_ADDR_ABS	(1U << 1)	/* nor is addr */
#define HOW_SILENT	(1U << 2)	/* nothing is written at all */

/* A good answer is the region of pos, at ATTACK_ADDR plus its offset: how = 0. */
struct answer {
	__s32	ret;
	__u32	how;
	__u32	generation;
	__u32	dev;
	__u64	offset;
	__u64	length;
	__u64	addr;
	__u16	type;
	__u16	flags;
	__u32	pad;
};

#endif /* ADVERSARY_H */
