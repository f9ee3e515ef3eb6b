/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs a BPF program of an object file in this process, one instruction at a time, and
 * tells of each load from memory: which bytes, and how many loads it had to wait for. Just
 * what the programs of bpf/ and of this directory need: no verifier, helper 1
 * (bpf_map_lookup_elem of an array) only. Not for programs that are not trusted.
 */
#ifndef FAMFS_PERF_BPFSIM_H
#define FAMFS_PERF_BPFSIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/bpf.h>

struct bpfsim_map {
	const char *name;	/* as in the object: a map's, or a variable's */
	char *data;
	uint32_t value_size;
	uint32_t max_entries;
};

/**
 * struct bpfsim_ops - who looks on
 * @load: a load that is not from the stack and not from the context. @depth: what
 *	its address waited for; returns what the value waited for, at least @depth
 */
struct bpfsim_ops {
	unsigned int (*load)(void *ctx, const void *addr, unsigned int size, unsigned int depth);
	void *ctx;
};

#define BPFSIM_MAPS_MAX	8
#define BPFSIM_CTX_WORDS 8
#define BPFSIM_STACK	512

struct bpfsim {
	struct bpf_insn *insns;		/* .text, then the program */
	size_t n;
	size_t entry;
	struct bpfsim_map maps[BPFSIM_MAPS_MAX];
	unsigned int nr_maps;
	char *rodata;
	size_t rodata_size;
	struct bpfsim_ops ops;
	uint64_t steps;			/* instructions of the last run */
};

/**
 * bpfsim_open() - a program of an object
 * @section: of the program
 * @maps: those that it may look up in; kept by the caller
 *
 * Return: 0; -EINVAL with a line on stderr: not an object, or something in it is not known.
 */
int bpfsim_open(struct bpfsim *s, const void *elf, size_t size, const char *section,
		const struct bpfsim_map *maps, unsigned int nr_maps, const struct bpfsim_ops *ops);
void bpfsim_close(struct bpfsim *s);

/**
 * bpfsim_run() - run it
 * @ctx: BPFSIM_CTX_WORDS words; @depth: what each of them waited for
 * @out, @out_size: memory that only results are stored to
 * @ret_r0: what it returned
 * @ret_depth: the most that a value stored to @out waited for
 *
 * Return: 0, or -EINVAL with a line on stderr: an instruction that is not known, a
 * store that is not to the stack or @out, too many steps.
 */
int bpfsim_run(struct bpfsim *s, uint64_t *ctx, const unsigned int *depth, void *out,
	       size_t out_size, uint64_t *ret_r0, unsigned int *ret_depth);

#endif /* FAMFS_PERF_BPFSIM_H */
