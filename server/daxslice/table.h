/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The table of daxslice: which ranges of which devices are served as which file.
 * Plain text, one file per line, words separated by blanks, '#' begins a comment:
 *
 *	# NAME   HOW             DEVICE OFFSET LENGTH ...
 *	boot     linear          /dev/pmem0 0 64M
 *	both     concat          /dev/pmem0 64M 128M   /dev/dax1.0 0 1G
 *	fast     striped 2M      /dev/pmem0 1G 1G      /dev/dax1.0 1G 1G
 *
 * linear takes one range; concat puts 1 to 64 ranges one after the other; striped
 * deals chunks to 2 to 64 ranges of the same length, a multiple of the chunk. Numbers
 * are decimal, or hexadecimal with 0x, with K, M, G or T after them, and multiples of
 * the page size. A name has no '/' and no blank. No two ranges may overlap: a page can
 * be in one file only, the kernel refuses the second.
 */
#ifndef DAXSLICE_TABLE_H
#define DAXSLICE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "slice.h"

#define TABLE_MSG_MAX	512

struct table_file {
	char *name;
	struct slice_file slice;
};

struct table_device {
	char *path;
	uint64_t end;		/* of the last range on it */
	uint32_t id;		/* the kernel's, once registered */
};

/* slice_range.dev is an index into devices until table_set_ids(). */
struct table {
	struct table_file *files;
	size_t nr_files;
	struct slice_range *ranges;
	size_t nr_ranges;
	struct table_device *devices;
	size_t nr_devices;
};

/**
 * table_read() - read and check a whole table
 * @msg:	TABLE_MSG_MAX bytes: "file:line: what is wrong" on failure
 *
 * Return: 0, -EINVAL for a mistake in the table, or the errno of reading it.
 */
int table_read(const char *path, struct table *ret, char *msg);
void table_free(struct table *t);

/** table_find() - index of a file by name, or -1 */
long table_find(const struct table *t, const char *name);

/** table_set_ids() - put the kernel's ids, all registered by now, into the ranges */
void table_set_ids(struct table *t);

#endif /* DAXSLICE_TABLE_H */
