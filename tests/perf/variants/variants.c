// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variants by name: attach, detach, and what they answer. See variants.h.
 */
#include "variants_i.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>

/* In the order of reports */
static const struct variant_ops *const variants[] = {
	&variant_c,	    &variant_cv,       &variant_static,	   &variant_c_slot,
	&variant_bpf_array, &variant_bpf_hash, &variant_bpf_arena, &variant_bpf_blob,
	&variant_bpf_inode, &variant_upcall,
};

#define NR_VARIANTS (sizeof(variants) / sizeof(variants[0]))

const char *const bench_variant_names[] = {
	"c",	    "c+v",	 "static",   "c-slot",	  "bpf-array", "bpf-hash",
	"bpf-arena", "bpf-blob", "bpf-inode", "upcall", NULL,
};

int variant_say(char *msg, int err, const char *fmt, ...)
{
	va_list ap;

	if (msg) {
		va_start(ap, fmt);
		vsnprintf(msg, BENCH_MSG_MAX, fmt, ap);
		va_end(ap);
	}
	return err;
}

static const struct variant_ops *variant_find(const char *name)
{
	for (size_t i = 0; i < NR_VARIANTS; i++)
		if (!strcmp(variants[i]->name, name))
			return variants[i];
	return NULL;
}

uint64_t variant_memlock(int fd)
{
	char path[64], line[128];
	uint64_t bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %lu", &bytes) == 1)
			break;
	fclose(f);
	return bytes;
}

uint64_t variant_prog_bytes(int fd)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_prog_get_info_by_fd(fd, &info, &len))
		return 0;
	/* Code is packed into pages in units of 64 bytes, with a header of 8 */
	return variant_memlock(fd) + ((info.jited_prog_len + 8 + 63) & ~63U);
}

uint32_t bench_methods(uint32_t offered)
{
	return offered & (FUSE_IOMAP_METHOD_UPCALL | FUSE_IOMAP_METHOD_LIST |
			  FUSE_IOMAP_METHOD_STRIPE | FUSE_IOMAP_METHOD_BPF);
}

bool bench_variant_per_file(const char *name)
{
	const struct variant_ops *ops = variant_find(name);

	return ops && ops->per_file;
}

int bench_variant_probe(const char *name, char *msg)
{
	const struct variant_ops *ops = variant_find(name);

	if (!ops)
		return variant_say(msg, -EINVAL, "there is no variant '%s'", name);
	if (ops->bench_kernel && access(FUSE_IOMAP_BENCH_DEV, F_OK))
		return variant_say(msg, -EOPNOTSUPP, "%s: the kernel lacks CONFIG_FUSE_IOMAP_BENCH",
				   name);
	return 0;
}

/* The rules of struct bench_file */
static int file_check(const struct bench_conn *c, const struct bench_file *f, size_t i)
{
	uint64_t unit = 1ULL << c->unit_shift, end = 0;

	if (f->nodeid != BENCH_NODEID_FIRST + i)
		return -EINVAL;
	if (f->chunk && (f->chunk & (f->chunk - 1) || f->chunk < unit || f->nr > BENCH_STRIPS_MAX))
		return -EINVAL;
	for (uint32_t k = 0; k < f->nr; k++) {
		const struct bench_extent *e = &f->ext[k];

		if (!e->dev || !e->length || (e->length | e->addr) & (unit - 1))
			return -EINVAL;
		if (f->chunk)
			continue;
		if (e->offset != end)
			return -EINVAL;
		end += e->length;
	}
	return f->nr && !f->chunk && end < f->size ? -EINVAL : 0;
}

int variant_for_each(struct bench_variant *v, bool open, variant_file_fn fn, char *msg)
{
	for (size_t i = 0; i < v->n; i++) {
		int fd = -1, err;

		if (!v->files[i].nr)
			continue;
		if (open) {
			fd = v->conn.open_file ? v->conn.open_file(v->conn.ctx, i) : -EINVAL;
			if (fd < 0)
				return variant_say(msg, fd, "%s: cannot open file %zu: %s",
						   v->ops->name, i, strerror(-fd));
		}
		err = fn(v, &v->files[i], fd, msg);
		if (open)
			close(fd);
		if (err)
			return err;
	}
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* libbpf's own warnings would drown the one line that we print */
static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return getenv("LIBBPF_LOG_LEVEL") && level != LIBBPF_DEBUG ? vfprintf(stderr, fmt, ap) : 0;
}

int bench_variant_attach(const struct bench_conn *conn, const char *name,
			 const struct bench_file *files, size_t n, struct bench_variant **ret,
			 char *msg)
{
	struct bench_variant *v;
	uint64_t start;
	int err;

	err = bench_variant_probe(name, msg);
	if (err)
		return err;
	if (conn->unit_shift < 12 || conn->unit_shift > 21)
		return variant_say(msg, -EINVAL, "unit_shift is %u", conn->unit_shift);
	for (size_t i = 0; i < n; i++) {
		err = file_check(conn, &files[i], i);
		if (err)
			return variant_say(msg, err, "file %zu: its layout breaks a rule", i);
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->ops = variant_find(name);
	v->conn = *conn;
	v->files = files;
	v->n = n;
	v->bench_fd = -1;
	libbpf_set_print(quiet);
	variant_say(msg, 0, "%s", "");
	start = now_ns();
	err = v->ops->attach(v, msg);
	v->info.load_ns = now_ns() - start;
	if (err) {
		if (msg && !msg[0])
			variant_say(msg, err, "%s: %s", name, strerror(-err));
		bench_variant_detach(v);
		return err;
	}
	*ret = v;
	return 0;
}

void bench_variant_detach(struct bench_variant *v)
{
	if (!v)
		return;
	if (v->ops->detach)
		v->ops->detach(v);
	if (v->bench_fd >= 0)
		close(v->bench_fd);
	free(v);
}

void bench_variant_info(const struct bench_variant *v, struct bench_variant_info *ret)
{
	*ret = v->info;
}

/* The last extent that begins at or before pos */
static const struct bench_extent *extent_find(const struct bench_file *f, uint64_t pos)
{
	uint32_t low = 0, count = f->nr;

	while (count > 1) {
		uint32_t half = count / 2;

		if (f->ext[low + half].offset <= pos) {
			low += half;
			count -= half;
		} else {
			count = half;
		}
	}
	return &f->ext[low];
}

int bench_resolve(const struct bench_file *f, uint64_t pos, struct fuse_iomap_io *ret)
{
	const struct bench_extent *e;

	if (!f->nr || pos >= f->size)
		return -ENXIO;
	memset(ret, 0, sizeof(*ret));
	ret->type = FUSE_IOMAP_TYPE_MAPPED;
	if (f->chunk) {
		uint64_t chunk = pos / f->chunk;

		e = &f->ext[chunk % f->nr];
		ret->offset = chunk * f->chunk;
		ret->length = f->chunk;
		ret->addr = e->addr + chunk / f->nr * f->chunk;
	} else {
		e = extent_find(f, pos);
		ret->offset = e->offset;
		ret->length = e->length;
		ret->addr = e->addr;
	}
	ret->dev = e->dev;
	return 0;
}

static int upcall_attach(struct bench_variant *v, char *msg)
{
	return 0;
}

const struct variant_ops variant_upcall = {
	.name = "upcall",
	.attach = upcall_attach,
};
