// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the table of daxslice; its form is described in table.h. Strict: the first
 * line that is not understood, or that could not be served, ends it. Does not look
 * at devices.
 */
#include "table.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLANKS	" \t\r\n"

/* Where we are, and where to say what is wrong. */
struct reader {
	struct table *table;
	const char *path;
	unsigned int line;
	uint64_t page;
	char *msg;
	char *save;		/* of strtok_r() */
};

static int table_bad(const struct reader *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int table_bad(const struct reader *r, const char *fmt, ...)
{
	int n = snprintf(r->msg, TABLE_MSG_MAX, "%s:%u: ", r->path, r->line);
	va_list ap;

	va_start(ap, fmt);
	if (n >= 0 && n < TABLE_MSG_MAX)
		vsnprintf(r->msg + n, TABLE_MSG_MAX - n, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int table_no_memory(const struct reader *r)
{
	table_bad(r, "out of memory");
	return -ENOMEM;
}

/* Room for one more; doubles at powers of two. */
static void *table_grow(void *array, size_t count, size_t size)
{
	if (count & (count - 1))
		return array;
	return reallocarray(array, count ? count * 2 : 1, size);
}

static char *table_word(struct reader *r)
{
	return strtok_r(NULL, BLANKS, &r->save);
}

static int table_number(struct reader *r, const char *word, const char *what, __u64 *ret)
{
	static const char suffixes[] = "KMGT";
	unsigned long long value;
	const char *suffix;
	char *end;

	if (!word)
		return table_bad(r, "%s is missing", what);
	errno = 0;
	value = strtoull(word, &end, 0);
	if (word[0] < '0' || word[0] > '9' || errno)
		return table_bad(r, "%s '%s' is not a number", what, word);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (suffix) {
		unsigned int shift = 10 * (unsigned int)(suffix - suffixes + 1);

		if (value > (ULLONG_MAX >> shift))
			return table_bad(r, "%s '%s' is too large", what, word);
		value <<= shift;
		end++;
	}
	if (*end)
		return table_bad(r, "%s '%s' is not a number", what, word);
	if (value > INT64_MAX)
		return table_bad(r, "%s '%s' is too large", what, word);
	if (value % r->page)
		return table_bad(r, "%s '%s' is not a multiple of the page size %llu", what, word,
				 (unsigned long long)r->page);
	*ret = value;
	return 0;
}

static int table_device(struct reader *r, const char *path, uint32_t *ret_index)
{
	struct table *t = r->table;
	struct table_device *grown;

	if (path[0] != '/')
		return table_bad(r, "device '%s' is not an absolute path", path);
	for (size_t i = 0; i < t->nr_devices; i++) {
		if (!strcmp(t->devices[i].path, path)) {
			*ret_index = (uint32_t)i;
			return 0;
		}
	}
	if (t->nr_devices == FUSE_IOMAP_MAX_DEVS)
		return table_bad(r, "more than %u devices", FUSE_IOMAP_MAX_DEVS);

	grown = table_grow(t->devices, t->nr_devices, sizeof(*grown));
	if (!grown)
		return table_no_memory(r);
	t->devices = grown;
	grown += t->nr_devices;
	memset(grown, 0, sizeof(*grown));
	grown->path = strdup(path);
	if (!grown->path)
		return table_no_memory(r);
	*ret_index = (uint32_t)t->nr_devices++;
	return 0;
}

static int table_check_overlap(const struct reader *r, const struct slice_range *new)
{
	const struct table *t = r->table;

	for (size_t i = 0; i < t->nr_ranges; i++) {
		const struct slice_range *old = &t->ranges[i];

		if (old->dev == new->dev &&new->addr < old->addr + old->length &&
		    old->addr < new->addr + new->length)
			return table_bad(r, "%s: range at %llu overlaps the one at %llu",
					 t->devices[new->dev].path, (unsigned long long)new->addr,
					 (unsigned long long)old->addr);
	}
	return 0;
}

static int table_range(struct reader *r, const char *path, struct slice_file *file)
{
	struct table *t = r->table;
	struct slice_range range = { .start = file->chunk ? 0 : file->size };
	struct slice_range *grown;
	int err;

	err = table_device(r, path, &range.dev);
	if (!err)
		err = table_number(r, table_word(r), "offset", &range.addr);
	if (!err)
		err = table_number(r, table_word(r), "length", &range.length);
	if (err)
		return err;
	if (!range.length)
		return table_bad(r, "length is 0");
	if (range.length > INT64_MAX - range.addr || range.length > INT64_MAX - file->size)
		return table_bad(r, "offset or length is too large");
	if (file->count == SLICE_RANGES_MAX)
		return table_bad(r, "more than %u ranges", SLICE_RANGES_MAX);
	if (file->chunk && range.length % file->chunk)
		return table_bad(r, "length is not a multiple of the chunk");
	if (file->chunk && file->count && range.length != t->ranges[file->first].length)
		return table_bad(r, "ranges of a striped file must have the same length");
	err = table_check_overlap(r, &range);
	if (err)
		return err;

	grown = table_grow(t->ranges, t->nr_ranges, sizeof(*grown));
	if (!grown)
		return table_no_memory(r);
	t->ranges = grown;
	t->ranges[t->nr_ranges++] = range;
	file->count++;
	file->size += range.length;
	if (range.addr + range.length > t->devices[range.dev].end)
		t->devices[range.dev].end = range.addr + range.length;
	return 0;
}

static int table_check_name(const struct reader *r, const char *name)
{
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, "..") ||
	    strlen(name) > NAME_MAX)
		return table_bad(r, "'%s' cannot be the name of a file", name);
	if (table_find(r->table, name) >= 0)
		return table_bad(r, "there is a file '%s' already", name);
	return 0;
}

/* How the ranges of a file are used, and how many there have to be. */
static int table_how(struct reader *r, struct slice_file *file, unsigned int *ret_min,
		     unsigned int *ret_max)
{
	const char *how = table_word(r);
	int err;

	if (!how)
		return table_bad(r, "expected linear, concat or striped after the name");
	if (!strcmp(how, "linear")) {
		*ret_max = 1;
	} else if (!strcmp(how, "striped")) {
		*ret_min = 2;
		err = table_number(r, table_word(r), "chunk", &file->chunk);
		if (err)
			return err;
		if (!file->chunk)
			return table_bad(r, "chunk is 0");
	} else if (strcmp(how, "concat")) {
		return table_bad(r, "'%s' is none of linear, concat, striped", how);
	}
	return 0;
}

static int table_line(struct reader *r, char *line)
{
	struct table *t = r->table;
	struct table_file file = { .slice.first = (uint32_t)t->nr_ranges };
	struct table_file *grown;
	unsigned int min = 1, max = SLICE_RANGES_MAX;
	const char *name, *word;
	int err;

	line[strcspn(line, "#")] = '\0';
	name = strtok_r(line, BLANKS, &r->save);
	if (!name)
		return 0;

	err = table_check_name(r, name);
	if (!err)
		err = table_how(r, &file.slice, &min, &max);
	while (!err && (word = table_word(r)))
		err = table_range(r, word, &file.slice);
	if (err)
		return err;
	if (file.slice.count < min || file.slice.count > max)
		return table_bad(r, "%u ranges, expected %s", file.slice.count,
				 max == 1   ? "one"
				 : min == 1 ? "one or more"
					    : "two or more");

	grown = table_grow(t->files, t->nr_files, sizeof(*grown));
	if (!grown)
		return table_no_memory(r);
	t->files = grown;
	file.name = strdup(name);
	if (!file.name)
		return table_no_memory(r);
	t->files[t->nr_files++] = file;
	return 0;
}

static int table_read_lines(struct reader *r, FILE *f)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int err = 0;

	while (!err && (n = getline(&line, &size, f)) >= 0) {
		r->line++;
		if (memchr(line, '\0', (size_t)n))
			err = table_bad(r, "not text");
		else
			err = table_line(r, line);
	}
	if (!err && ferror(f)) {
		err = errno ? -errno : -EIO;
		snprintf(r->msg, TABLE_MSG_MAX, "%s: %s", r->path, strerror(-err));
	}
	if (!err && !r->table->nr_files) {
		snprintf(r->msg, TABLE_MSG_MAX, "%s: the table has no file", r->path);
		err = -EINVAL;
	}
	free(line);
	return err;
}

int table_read(const char *path, struct table *ret, char *msg)
{
	struct table table = { 0 };
	struct reader r = {
		.table = &table,
		.path = path,
		.page = (uint64_t)sysconf(_SC_PAGESIZE),
		.msg = msg,
	};
	FILE *f = fopen(path, "re");
	int err;

	if (!f) {
		err = -errno;
		snprintf(msg, TABLE_MSG_MAX, "%s: %s", path, strerror(-err));
		return err;
	}
	err = table_read_lines(&r, f);
	fclose(f);
	if (err)
		table_free(&table);
	else
		*ret = table;
	return err;
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->nr_files; i++)
		free(t->files[i].name);
	for (size_t i = 0; i < t->nr_devices; i++)
		free(t->devices[i].path);
	free(t->files);
	free(t->devices);
	free(t->ranges);
	memset(t, 0, sizeof(*t));
}

long table_find(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->nr_files; i++)
		if (!strcmp(t->files[i].name, name))
			return (long)i;
	return -1;
}

void table_set_ids(struct table *t)
{
	for (size_t i = 0; i < t->nr_ranges; i++)
		t->ranges[i].dev = t->devices[t->ranges[i].dev].id;
}
