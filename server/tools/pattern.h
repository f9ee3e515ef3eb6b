/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test pattern of famfs creat -r and famfs verify: the low 32 bits of each
 * output of xoroshiro128+ (2016 constants: 55, 14, 36), little endian, its two
 * words of state being the first two outputs of splitmix64 from the seed. The
 * same as other implementations of famfs write, so that files can be verified
 * across them.
 */
#ifndef FAMFS_TOOLS_PATTERN_H
#define FAMFS_TOOLS_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/** pattern_fill() - write the pattern of seed over len bytes */
void pattern_fill(void *buf, size_t len, uint32_t seed);

/** pattern_verify() - offset of the first wrong byte, or len */
size_t pattern_verify(const void *buf, size_t len, uint32_t seed);

#endif /* FAMFS_TOOLS_PATTERN_H */
