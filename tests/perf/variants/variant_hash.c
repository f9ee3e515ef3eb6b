// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variant bpf-hash: see bpf/hash.h.
 */
#include "variants_i.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "bpf/hash.h"

#include "hash.skel.h"

static void hash_encode(const struct bench_file *f, struct hash_file_meta *m)
{
	struct hash_simple_ext *to = f->chunk ? m->ie[0].strips : m->se;

	memset(m, 0, sizeof(*m));
	m->file_size = f->size;
	m->ext_type = f->chunk ? HASH_EXT_INTERLEAVE : HASH_EXT_SIMPLE;
	m->next = f->chunk ? 1 : f->nr;
	if (f->chunk) {
		m->ie[0].nstrips = f->nr;
		m->ie[0].chunk_size = f->chunk;
		m->ie[0].nbytes = f->size;
	}
	for (uint32_t i = 0; i < f->nr; i++) {
		to[i].dev_index = f->ext[i].dev;
		to[i].offset = f->ext[i].addr;
		to[i].len = f->ext[i].length;
		m->dev_bitmap |= 1ULL << (f->ext[i].dev & 63);
	}
}

static int hash_add(struct bench_variant *v, const struct bench_file *f, int fd, char *msg)
{
	struct hash_bpf *skel = v->skel;
	struct hash_file_meta m;

	if (f->nr > HASH_EXTENTS)
		return variant_say(msg, -EOPNOTSUPP, "bpf-hash has room for %u extents",
				   HASH_EXTENTS);
	hash_encode(f, &m);
	return bpf_map__update_elem(skel->maps.files, &f->nodeid, sizeof(f->nodeid), &m, sizeof(m),
				    BPF_ANY);
}

static int hash_attach(struct bench_variant *v, char *msg)
{
	struct hash_bpf *skel = hash_bpf__open();
	uint32_t n = 0;
	int err;

	if (!skel)
		return -errno;
	v->skel = skel;
	for (size_t i = 0; i < v->n; i++)
		n += v->files[i].nr > 0;
	if (n > HASH_FILES_MAX)
		return variant_say(msg, -EOPNOTSUPP, "bpf-hash has room for %u files, not %u",
				   HASH_FILES_MAX, n);
	skel->struct_ops.hash_ops->fuse_fd = v->conn.fuse_fd;
	err = bpf_map__set_max_entries(skel->maps.files, n ? n : 1);
	if (!err)
		err = hash_bpf__load(skel);
	if (err)
		return variant_say(msg, err, "cannot load the program of bpf-hash: %s",
				   strerror(-err));
	err = variant_for_each(v, false, hash_add, msg);
	if (err)
		return err;
	v->link = bpf_map__attach_struct_ops(skel->maps.hash_ops);
	if (!v->link)
		return variant_say(msg, -errno, "cannot attach the program of bpf-hash: %s",
				   strerror(errno));
	v->info.map_bytes = variant_memlock(bpf_map__fd(skel->maps.files));
	v->info.prog_bytes = variant_prog_bytes(bpf_program__fd(skel->progs.hash_iomap_begin));
	v->info.programs = 1;
	return 0;
}

static void hash_detach(struct bench_variant *v)
{
	bpf_link__destroy(v->link);
	hash_bpf__destroy(v->skel);
}

const struct variant_ops variant_bpf_hash = {
	.name = "bpf-hash",
	.attach = hash_attach,
	.detach = hash_detach,
};
