// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU cache maintenance over mapped media. Shared memory between hosts is not
 * coherent: what this host stored reaches the others when its cache lines are
 * written back, and what they stored is seen when our stale lines are dropped.
 */
#include <errno.h>

#include "famfs_media.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define LINE 64

enum flush_insn { FLUSH_UNKNOWN, FLUSH_CLFLUSH, FLUSH_CLFLUSHOPT, FLUSH_CLWB };

/* In a VM every cpuid is an exit, so ask once. Racing threads agree anyway. */
static _Atomic int flush_cached;

static enum flush_insn flush_probe(void)
{
	enum flush_insn insn = (enum flush_insn)flush_cached;
	unsigned int a, b, c, d;

	if (insn != FLUSH_UNKNOWN)
		return insn;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		insn = FLUSH_CLFLUSH;
	else if (b & bit_CLWB)
		insn = FLUSH_CLWB;
	else if (b & bit_CLFLUSHOPT)
		insn = FLUSH_CLFLUSHOPT;
	else
		insn = FLUSH_CLFLUSH;
	flush_cached = (int)insn;
	return insn;
}

__attribute__((target("clwb"))) static void lines_clwb(uintptr_t p, uintptr_t end)
{
	for (; p < end; p += LINE)
		_mm_clwb((void *)p);
}

__attribute__((target("clflushopt"))) static void lines_clflushopt(uintptr_t p, uintptr_t end)
{
	for (; p < end; p += LINE)
		_mm_clflushopt((void *)p);
}

static void lines_clflush(uintptr_t p, uintptr_t end)
{
	for (; p < end; p += LINE)
		_mm_clflush((const void *)p);
}

int famfs_flush_range(void *ctx, const void *addr, size_t len)
{
	uintptr_t end = (uintptr_t)addr + len;
	uintptr_t p = (uintptr_t)addr & ~(uintptr_t)(LINE - 1);

	(void)ctx;
	switch (flush_probe()) {
	case FLUSH_CLWB:
		lines_clwb(p, end);
		break;
	case FLUSH_CLFLUSHOPT:
		lines_clflushopt(p, end);
		break;
	default:
		lines_clflush(p, end);
		break;
	}
	_mm_sfence();
	return 0;
}

int famfs_invalidate_range(void *ctx, const void *addr, size_t len)
{
	uintptr_t end = (uintptr_t)addr + len;
	uintptr_t p = (uintptr_t)addr & ~(uintptr_t)(LINE - 1);

	(void)ctx;
	/* clwb may keep the line, so it cannot be used here. */
	if (flush_probe() == FLUSH_CLFLUSH)
		lines_clflush(p, end);
	else
		lines_clflushopt(p, end);
	_mm_mfence();
	return 0;
}

#elif defined(__aarch64__)

static size_t line_size(void)
{
	uint64_t ctr;

	__asm__("mrs %0, ctr_el0" : "=r"(ctr));
	return (size_t)4 << ((ctr >> 16) & 0xf);
}

int famfs_flush_range(void *ctx, const void *addr, size_t len)
{
	size_t line = line_size();
	uintptr_t end = (uintptr_t)addr + len;

	(void)ctx;
	for (uintptr_t p = (uintptr_t)addr & ~(line - 1); p < end; p += line)
		__asm__ volatile("dc cvac, %0" : : "r"(p) : "memory");
	__asm__ volatile("dsb sy" : : : "memory");
	return 0;
}

int famfs_invalidate_range(void *ctx, const void *addr, size_t len)
{
	size_t line = line_size();
	uintptr_t end = (uintptr_t)addr + len;

	(void)ctx;
	for (uintptr_t p = (uintptr_t)addr & ~(line - 1); p < end; p += line)
		__asm__ volatile("dc civac, %0" : : "r"(p) : "memory");
	__asm__ volatile("dsb sy" : : : "memory");
	return 0;
}

#else
#error "cache write-back is not written for this machine"
#endif
