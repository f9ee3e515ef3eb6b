// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variant static: the kernel's own maps, a list or a stripe, sent in advance.
 */
#include "variants_i.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* struct fuse_out_header of <linux/fuse.h>, which cannot be had beside <linux/fuse_iomap.h> */
struct out_header {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};

static int notify(struct bench_variant *v, int code, void *head, size_t head_size, void *recs,
		  size_t recs_size)
{
	struct out_header h = {
		.len = (uint32_t)(sizeof(h) + head_size + recs_size),
		.error = code,
	};
	struct iovec iov[3] = {
		{ &h, sizeof(h) },
		{ head, head_size },
		{ recs, recs_size },
	};

	return writev(v->conn.fuse_fd, iov, recs_size ? 3 : 2) < 0 ? -errno : 0;
}

static int send_stripe(struct bench_variant *v, const struct bench_file *f)
{
	struct fuse_notify_iomap_stripe_out out = {
		.nodeid = f->nodeid,
		.generation = f->generation,
		.count = f->nr,
		.chunk = f->chunk,
		.length = (f->size + 4095) & ~4095ULL,
	};
	struct fuse_iomap_strip strips[BENCH_STRIPS_MAX] = { 0 };

	for (uint32_t i = 0; i < f->nr; i++) {
		strips[i].addr = f->ext[i].addr;
		strips[i].length = f->ext[i].length;
		strips[i].dev = f->ext[i].dev;
	}
	/* The map, its header and two words of RCU, in a cache of a power of two or so */
	v->info.kernel_bytes += 40 + f->nr * sizeof(strips[0]);
	return notify(v, FUSE_NOTIFY_IOMAP_STRIPE, &out, sizeof(out), strips,
		      f->nr * sizeof(strips[0]));
}

static int send_list(struct bench_variant *v, const struct bench_file *f)
{
	struct fuse_notify_iomap_list_out out = {
		.nodeid = f->nodeid,
		.generation = f->generation,
		.count = f->nr,
	};
	struct fuse_iomap_io *io = calloc(f->nr, sizeof(*io));
	int err;

	if (!io)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->nr; i++) {
		io[i].offset = f->ext[i].offset;
		io[i].length = f->ext[i].length;
		io[i].addr = f->ext[i].addr;
		io[i].type = FUSE_IOMAP_TYPE_MAPPED;
		io[i].dev = f->ext[i].dev;
	}
	v->info.kernel_bytes += 40 + f->nr * sizeof(io[0]);
	err = notify(v, FUSE_NOTIFY_IOMAP_LIST, &out, sizeof(out), io, f->nr * sizeof(io[0]));
	free(io);
	return err;
}

static int static_add(struct bench_variant *v, const struct bench_file *f, int fd, char *msg)
{
	int err = f->chunk ? send_stripe(v, f) : send_list(v, f);

	if (err == -EINVAL || err == -EOPNOTSUPP)
		variant_say(msg, err, "static: the kernel takes no static maps%s",
			    err == -EINVAL ? ", or not this one" : ": method not chosen at INIT");
	return err;
}

static int static_attach(struct bench_variant *v, char *msg)
{
	return variant_for_each(v, true, static_add, msg);
}

static int static_drop(struct bench_variant *v, const struct bench_file *f, int fd, char *msg)
{
	struct fuse_notify_iomap_list_out out = { .nodeid = f->nodeid,
						  .generation = f->generation };

	/* One that is not in memory has none */
	notify(v, FUSE_NOTIFY_IOMAP_LIST, &out, sizeof(out), NULL, 0);
	return 0;
}

static void static_detach(struct bench_variant *v)
{
	variant_for_each(v, false, static_drop, NULL);
}

const struct variant_ops variant_static = {
	.name = "static",
	.per_file = true,
	.attach = static_attach,
	.detach = static_detach,
};
