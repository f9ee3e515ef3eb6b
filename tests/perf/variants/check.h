/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mount of variants-check: some files, each of one kind of layout, on two devices.
 */
#ifndef FAMFS_PERF_CHECK_H
#define FAMFS_PERF_CHECK_H

#include "variants.h"

#define PAGE	4096UL
#define HUGE	(2UL << 20)

enum { FLAT_1, FLAT_2, SIMPLE, STRIPS_3, STRIPS_6, STRIPS_16, LIST_16, LIST_1000, NR_FILES };

extern const char *const file_name[NR_FILES];
extern struct bench_file files[NR_FILES];
extern struct bench_conn conn;

int open_file(void *ctx, size_t i);
/* Map a file, at a multiple of 2 MiB plus skew; NULL on failure */
char *map_file(int fd, size_t size, size_t skew);
/* Drop what the kernel has of a file's pages */
void drop_pages(size_t i);
/* iomap_NAME of the connection */
uint64_t counter(const char *name);
void die(const char *what);

/* check_cost.c: instructions, if the machine counts them; exit status */
int cost(const char *const *names);

#endif /* FAMFS_PERF_CHECK_H */
