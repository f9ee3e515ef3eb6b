/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A whole regular file in memory.
 */
#ifndef FAMFS_TOOLS_FILEMAP_H
#define FAMFS_TOOLS_FILEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct filemap {
	int fd;
	uint8_t *p; /* NULL when the file is empty */
	size_t len;
};

/**
 * filemap_open() - open and map all of a regular file; prints what fails
 *
 * Return: 0 or -errno; -EISDIR or -EINVAL when it is not a regular file.
 */
int filemap_open(const char *path, bool write, struct filemap *ret);
void filemap_close(struct filemap *m);

/**
 * filemap_run() - call work(ctx, 0..count-1) from a number of threads
 * @threads:	0: one for each CPU
 *
 * SIGBUS in a thread ends the program, as everywhere in the tools.
 */
void filemap_run(unsigned int threads, size_t count, void (*work)(void *ctx, size_t i), void *ctx);

#endif /* FAMFS_TOOLS_FILEMAP_H */
