// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loads bpf/daxslice.bpf.c with libbpf: two arrays sized and filled from the table,
 * then a struct_ops map that names the connection, then a link. When the link goes,
 * with the process or before, the program is detached.
 */
#include "slice_bpf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "daxslice.skel.h"

struct slice_bpf {
	struct daxslice_bpf *skel;
	struct bpf_link *link;
};

static int slice_bpf_fill(const struct slice_bpf *b, const struct table *t)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < t->nr_files; i++)
		err = bpf_map__update_elem(b->skel->maps.files, &i, sizeof(i), &t->files[i].slice,
					   sizeof(t->files[i].slice), 0);
	for (uint32_t i = 0; !err && i < t->nr_ranges; i++)
		err = bpf_map__update_elem(b->skel->maps.ranges, &i, sizeof(i), &t->ranges[i],
					   sizeof(t->ranges[i]), 0);
	return err;
}

static int slice_bpf_load(struct slice_bpf *b, const struct table *t, int fuse_fd)
{
	int err;

	b->skel = daxslice_bpf__open();
	if (!b->skel)
		return -errno;
	b->skel->struct_ops.daxslice_ops->fuse_fd = fuse_fd;
	err = bpf_map__set_max_entries(b->skel->maps.files, (uint32_t)t->nr_files);
	if (!err)
		err = bpf_map__set_max_entries(b->skel->maps.ranges, (uint32_t)t->nr_ranges);
	if (!err)
		err = daxslice_bpf__load(b->skel);
	if (!err)
		err = slice_bpf_fill(b, t);
	return err;
}

/* libbpf's own warnings would drown the one line that we print. */
static int slice_bpf_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN && getenv("LIBBPF_LOG_LEVEL") ? vfprintf(stderr, fmt, ap) : 0;
}

int slice_bpf_attach(const struct table *t, int fuse_fd, struct slice_bpf **ret,
		     struct session_msg *msg)
{
	struct slice_bpf *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	libbpf_set_print(slice_bpf_print);
	err = slice_bpf_load(b, t, fuse_fd);
	if (err) {
		session_say(msg, "cannot load the BPF program: %s%s", strerror(-err),
			    err == -ESRCH || err == -ENOENT
				    ? "; boot a kernel with CONFIG_FUSE_IOMAP_BPF"
				    : "");
		slice_bpf_free(b);
		return err;
	}
	b->link = bpf_map__attach_struct_ops(b->skel->maps.daxslice_ops);
	if (!b->link) {
		err = -errno;
		session_say(msg, "cannot attach the BPF program: %s", strerror(-err));
		slice_bpf_free(b);
		return err;
	}
	*ret = b;
	return 0;
}

void slice_bpf_free(struct slice_bpf *b)
{
	if (!b)
		return;
	bpf_link__destroy(b->link);
	daxslice_bpf__destroy(b->skel);
	free(b);
}
