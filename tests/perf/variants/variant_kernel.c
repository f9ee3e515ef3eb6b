// SPDX-License-Identifier: GPL-2.0-only
/*
 * Variants that keep something at the inode, in a kernel with CONFIG_FUSE_IOMAP_BENCH:
 * c, c+v, bpf-blob. And the marks of that kernel.
 */
#include "variants_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "blob.skel.h"

int variant_bench_open(struct bench_variant *v, char *msg)
{
	if (v->bench_fd >= 0)
		return 0;
	v->bench_fd = open(FUSE_IOMAP_BENCH_DEV, O_RDWR | O_CLOEXEC);
	if (v->bench_fd < 0)
		return variant_say(msg, -errno, "%s: %s", FUSE_IOMAP_BENCH_DEV, strerror(errno));
	return 0;
}

int variant_bench_mode(struct bench_variant *v, struct fuse_iomap_bench_mode *m, char *msg)
{
	int err = variant_bench_open(v, msg);

	if (err)
		return err;
	m->fuse_fd = v->conn.fuse_fd;
	if (ioctl(v->bench_fd, FUSE_IOMAP_BENCH_IOC_MODE, m))
		return variant_say(msg, -errno, "%s: cannot switch the connection: %s",
				   v->ops->name, strerror(errno));
	return 0;
}

int variant_bench_file(struct bench_variant *v, struct fuse_iomap_bench_file *b, char *msg)
{
	if (ioctl(v->bench_fd, FUSE_IOMAP_BENCH_IOC_FILE, b))
		return variant_say(msg, -errno, "%s: the kernel takes no such file: %s",
				   v->ops->name, strerror(errno));
	v->info.kernel_bytes += b->ret_bytes;
	return 0;
}

/* Off first, or the kernel would find a file without */
void variant_kernel_off(struct bench_variant *v, uint32_t what)
{
	struct fuse_iomap_bench_mode m = { .fuse_fd = v->conn.fuse_fd };

	if (v->bench_fd < 0)
		return;
	ioctl(v->bench_fd, FUSE_IOMAP_BENCH_IOC_MODE, &m);
	for (size_t i = 0; i < v->n; i++) {
		struct fuse_iomap_bench_file b = { .what = what, .prog_fd = -1 };

		if (!v->files[i].nr || !v->conn.open_file)
			continue;
		b.fd = v->conn.open_file(v->conn.ctx, i);
		if (b.fd < 0)
			continue;
		ioctl(v->bench_fd, FUSE_IOMAP_BENCH_IOC_FILE, &b);
		close(b.fd);
	}
}

/* ---- c, c+v ---- */

static void put_exts(struct fuse_iomap_bench_ext *to, const struct bench_file *f)
{
	for (uint32_t i = 0; i < f->nr; i++) {
		to[i] = (struct fuse_iomap_bench_ext){
			.dev = f->ext[i].dev,
			.addr = f->ext[i].addr,
			.length = f->ext[i].length,
		};
	}
}

static int c_add(struct bench_variant *v, const struct bench_file *f, int fd, char *msg)
{
	size_t head = sizeof(struct fuse_iomap_bench_meta) +
		      (f->chunk ? sizeof(struct fuse_iomap_bench_iext) : 0);
	size_t size = head + f->nr * sizeof(struct fuse_iomap_bench_ext);
	struct fuse_iomap_bench_file b = {
		.fd = fd,
		.what = FUSE_IOMAP_BENCH_FILE_META,
		.size = (uint32_t)size,
	};
	struct fuse_iomap_bench_meta *m = calloc(1, size);
	int err;

	if (!m)
		return -ENOMEM;
	m->ext_type = f->chunk ? FUSE_IOMAP_BENCH_INTERLEAVE : FUSE_IOMAP_BENCH_SIMPLE;
	m->nextents = f->chunk ? 1 : f->nr;
	m->file_size = f->size;
	if (f->chunk) {
		struct fuse_iomap_bench_iext *ie = (void *)(m + 1);

		ie->nstrips = f->nr;
		ie->chunk = (uint32_t)f->chunk;
		ie->nbytes = f->size;
	}
	put_exts((void *)((char *)m + head), f);
	b.data = (uintptr_t)m;
	err = variant_bench_file(v, &b, msg);
	free(m);
	return err;
}

static int c_attach_mode(struct bench_variant *v, uint32_t mode, char *msg)
{
	struct fuse_iomap_bench_mode m = { .mode = mode };
	int err = variant_bench_open(v, msg);

	if (!err)
		err = variant_for_each(v, true, c_add, msg);
	return err ? err : variant_bench_mode(v, &m, msg);
}

static int c_attach(struct bench_variant *v, char *msg)
{
	return c_attach_mode(v, FUSE_IOMAP_BENCH_C, msg);
}

static int cv_attach(struct bench_variant *v, char *msg)
{
	return c_attach_mode(v, FUSE_IOMAP_BENCH_CV, msg);
}

static void c_detach(struct bench_variant *v)
{
	variant_kernel_off(v, FUSE_IOMAP_BENCH_FILE_META);
}

const struct variant_ops variant_c = {
	.name = "c",
	.per_file = true,
	.bench_kernel = true,
	.attach = c_attach,
	.detach = c_detach,
};

const struct variant_ops variant_cv = {
	.name = "c+v",
	.per_file = true,
	.bench_kernel = true,
	.attach = cv_attach,
	.detach = c_detach,
};

/* ---- bpf-blob ---- */

static int blob_add(struct bench_variant *v, const struct bench_file *f, int fd, char *msg)
{
	struct fuse_iomap_bench_blob blob = {
		.generation = f->generation,
		.nstrips = (uint8_t)f->nr,
		.size = f->size,
	};
	struct fuse_iomap_bench_file b = {
		.fd = fd,
		.what = FUSE_IOMAP_BENCH_FILE_BLOB,
		.data = (uintptr_t)&blob,
		.size = sizeof(blob),
	};

	if (!f->chunk && f->nr > 1)
		return variant_say(msg, -EOPNOTSUPP, "bpf-blob knows no lists of extents");
	if (f->chunk && f->nr > 1) {
		uint32_t shift = 31 + (32 - (uint32_t)__builtin_clz(f->nr - 1));

		blob.chunk_shift = (uint8_t)__builtin_ctzll(f->chunk);
		blob.recip_shift = (uint8_t)shift;
		blob.recip = (uint32_t)(((1ULL << shift) + f->nr - 1) / f->nr);
	}
	for (uint32_t i = 0; i < f->nr; i++) {
		blob.strips[i].addr = f->ext[i].addr;
		blob.strips[i].dev = f->ext[i].dev;
	}
	return variant_bench_file(v, &b, msg);
}

static int blob_attach(struct bench_variant *v, char *msg)
{
	struct fuse_iomap_bench_mode m = { .mode = FUSE_IOMAP_BENCH_BLOB };
	struct blob_bpf *skel = blob_bpf__open();
	int err;

	if (!skel)
		return -errno;
	v->skel = skel;
	err = blob_bpf__load(skel);
	if (err)
		return variant_say(msg, err, "cannot load the program of bpf-blob: %s",
				   strerror(-err));
	v->link = bpf_map__attach_struct_ops(skel->maps.blob_ops);
	if (!v->link)
		return variant_say(msg, -errno, "cannot attach the program of bpf-blob: %s",
				   strerror(errno));
	err = variant_bench_open(v, msg);
	if (!err)
		err = variant_for_each(v, true, blob_add, msg);
	if (!err)
		err = variant_bench_mode(v, &m, msg);
	v->info.prog_bytes = variant_prog_bytes(bpf_program__fd(skel->progs.blob_iomap_begin));
	v->info.programs = 1;
	return err;
}

static void blob_detach(struct bench_variant *v)
{
	variant_kernel_off(v, FUSE_IOMAP_BENCH_FILE_BLOB);
	bpf_link__destroy(v->link);
	blob_bpf__destroy(v->skel);
}

const struct variant_ops variant_bpf_blob = {
	.name = "bpf-blob",
	.per_file = true,
	.bench_kernel = true,
	.attach = blob_attach,
	.detach = blob_detach,
};

/* ---- marks ---- */

static int marks_fd = -1;

int bench_marks_start(void)
{
	struct fuse_iomap_bench_marks m = { .on = 1 };

	if (marks_fd < 0)
		marks_fd = open(FUSE_IOMAP_BENCH_DEV, O_RDWR | O_CLOEXEC);
	if (marks_fd < 0)
		return -errno;
	return ioctl(marks_fd, FUSE_IOMAP_BENCH_IOC_MARK, &m) ? -errno : 0;
}

long bench_marks_read(struct fuse_iomap_bench_record *ret, size_t n, uint64_t *ret_cost)
{
	struct fuse_iomap_bench_marks m = { .on = 0 };

	if (marks_fd < 0)
		return -ENODATA;
	if (ioctl(marks_fd, FUSE_IOMAP_BENCH_IOC_MARK, &m))
		return -errno;
	m.nr = n > FUSE_IOMAP_BENCH_RING ? FUSE_IOMAP_BENCH_RING : (uint32_t)n;
	m.records = (uintptr_t)ret;
	if (ioctl(marks_fd, FUSE_IOMAP_BENCH_IOC_READ, &m))
		return -errno;
	*ret_cost = m.cost;
	return m.nr;
}
