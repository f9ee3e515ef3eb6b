// SPDX-License-Identifier: GPL-2.0-only
/*
 * The variant bpf-inode: a program for each file, with its extents as constants.
 * Instructions are written directly; nobody has a compiler at run time. A list is a
 * binary search spelled out, a stripe a division and the same search among its strips.
 */
#include "variants_i.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bpf/btf.h>
#include <linux/bpf.h>

/* Jumps have 16 bits, and the first goes over half of all extents */
#define INODE_EXTENTS_MAX	2048
#define INSNS_PER_EXTENT	20
#define INSNS_FIXED		32

/* Arguments, in 64 bits each, where BPF_PROG() would look */
#define ARG_GENERATION	8
#define ARG_POS		16
#define ARG_OUT		40

#define OUT(field)	((short)offsetof(struct fuse_iomap_io, field))

struct code {
	struct bpf_insn *insn;
	unsigned int len, max;
};

/* From the third instruction on r1 is the result and r2 the position */
static void emit(struct code *c, uint8_t op, int dst, int src, short off, int imm)
{
	if (c->len < c->max)
		c->insn[c->len] = (struct bpf_insn){
			.code = op,
			.dst_reg = (uint8_t)dst & 15,
			.src_reg = (uint8_t)src & 15,
			.off = off,
			.imm = imm,
		};
	c->len++;
}

static void load64(struct code *c, int dst, uint64_t value)
{
	if (value <= INT32_MAX) {
		emit(c, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, (int)value);
		return;
	}
	emit(c, BPF_LD | BPF_DW | BPF_IMM, dst, 0, 0, (int)(uint32_t)value);
	emit(c, 0, 0, 0, 0, (int)(uint32_t)(value >> 32));
}

/* out->field = value, by way of r5 if it is large */
static void store64(struct code *c, short off, uint64_t value)
{
	if (value <= INT32_MAX) {
		emit(c, BPF_ST | BPF_MEM | BPF_DW, BPF_REG_1, 0, off, (int)value);
		return;
	}
	load64(c, BPF_REG_5, value);
	emit(c, BPF_STX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_5, off, 0);
}

static void give_back(struct code *c, int value)
{
	emit(c, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
	emit(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void finish(struct code *c, uint32_t dev)
{
	emit(c, BPF_ST | BPF_MEM | BPF_H, BPF_REG_1, 0, OUT(type), FUSE_IOMAP_TYPE_MAPPED);
	emit(c, BPF_ST | BPF_MEM | BPF_W, BPF_REG_1, 0, OUT(dev), (int)dev);
	give_back(c, FUSE_IOMAP_BPF_HANDLED);
}

/* One extent is left: say so */
static void leaf_list(struct code *c, const struct bench_extent *e)
{
	if (e->offset)
		store64(c, OUT(offset), e->offset);
	store64(c, OUT(length), e->length);
	store64(c, OUT(addr), e->addr);
	finish(c, e->dev);
}

/* r4: chunk's offset in the file; r3: of its row on the strip */
static void leaf_strip(struct code *c, const struct bench_file *f, const struct bench_extent *e)
{
	emit(c, BPF_STX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_4, OUT(offset), 0);
	store64(c, OUT(length), f->chunk);
	load64(c, BPF_REG_5, e->addr);
	emit(c, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_5, BPF_REG_3, 0, 0);
	emit(c, BPF_STX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_5, OUT(addr), 0);
	finish(c, e->dev);
}

/* r2: what is looked for, position or number of strip */
static void search(struct code *c, const struct bench_file *f, uint32_t low, uint32_t count)
{
	uint32_t half = count / 2;
	unsigned int jump;

	if (count == 1) {
		if (f->chunk)
			leaf_strip(c, f, &f->ext[low]);
		else
			leaf_list(c, &f->ext[low]);
		return;
	}
	if (f->chunk) {
		jump = c->len;
		emit(c, BPF_JMP | BPF_JGE | BPF_K, BPF_REG_2, 0, 0, (int)(low + half));
	} else {
		load64(c, BPF_REG_5, f->ext[low + half].offset);
		jump = c->len;
		emit(c, BPF_JMP | BPF_JGE | BPF_X, BPF_REG_2, BPF_REG_5, 0, 0);
	}
	search(c, f, low, half);
	if (jump < c->max)
		c->insn[jump].off = (short)(c->len - jump - 1);
	search(c, f, low + half, count - half);
}

static void program(struct code *c, const struct bench_file *f)
{
	emit(c, BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_3, BPF_REG_1, ARG_GENERATION, 0);
	emit(c, BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_2, BPF_REG_1, ARG_POS, 0);
	emit(c, BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_1, ARG_OUT, 0);
	emit(c, BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_3, 0, 2, (int)f->generation);
	give_back(c, -ESTALE);
	load64(c, BPF_REG_5, f->size);
	emit(c, BPF_JMP | BPF_JLT | BPF_X, BPF_REG_2, BPF_REG_5, 2, 0);
	give_back(c, -ENXIO);
	if (f->chunk && f->nr > 1) {
		int shift = __builtin_ctzll(f->chunk);

		emit(c, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_2, 0, 0, shift);	/* chunk */
		emit(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_4, BPF_REG_2, 0, 0);
		emit(c, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_4, 0, 0, shift);
		emit(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
		emit(c, BPF_ALU64 | BPF_DIV | BPF_K, BPF_REG_3, 0, 0, (int)f->nr); /* row */
		emit(c, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_5, BPF_REG_3, 0, 0);
		emit(c, BPF_ALU64 | BPF_MUL | BPF_K, BPF_REG_5, 0, 0, (int)f->nr);
		emit(c, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_2, BPF_REG_5, 0, 0);
		emit(c, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_3, 0, 0, shift);
		search(c, f, 0, f->nr);
	} else if (f->chunk) {
		/* All of it, without the extent's own, larger, length */
		struct bench_extent e = f->ext[0];

		e.offset = 0;
		leaf_list(c, &e);
	} else {
		search(c, f, 0, f->nr);
	}
}

static int ops_type_id(void)
{
	static int id;
	struct btf *btf;

	if (id)
		return id;
	btf = btf__load_vmlinux_btf();
	if (!btf)
		return -errno;
	id = btf__find_by_name_kind(btf, "fuse_iomap_bpf_ops", BTF_KIND_STRUCT);
	btf__free(btf);
	return id;
}

static int load(const struct bench_file *f)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	struct code c = { .max = INSNS_FIXED + f->nr * INSNS_PER_EXTENT };
	int fd = ops_type_id();

	if (fd < 0)
		return fd;
	opts.attach_btf_id = (uint32_t)fd;
	/* Member 0: iomap_begin */
	opts.expected_attach_type = 0;
	c.insn = calloc(c.max, sizeof(*c.insn));
	if (!c.insn)
		return -ENOMEM;
	program(&c, f);
	fd = c.len > c.max ? -E2BIG
			   : bpf_prog_load(BPF_PROG_TYPE_STRUCT_OPS, "inode", "GPL", c.insn, c.len,
					   &opts);
	free(c.insn);
	return fd;
}

static int inode_add(struct bench_variant *v, const struct bench_file *f, int fd, char *msg)
{
	struct fuse_iomap_bench_file b = { .fd = fd, .what = FUSE_IOMAP_BENCH_FILE_PROG };
	int err;

	if (f->nr > INODE_EXTENTS_MAX)
		return variant_say(msg, -EOPNOTSUPP, "bpf-inode: jumps reach over %u extents only",
				   INODE_EXTENTS_MAX);
	b.prog_fd = load(f);
	if (b.prog_fd < 0)
		return variant_say(msg, b.prog_fd, "bpf-inode: cannot load a program: %s",
				   strerror(-b.prog_fd));
	err = ioctl(v->bench_fd, FUSE_IOMAP_BENCH_IOC_FILE, &b) ? -errno : 0;
	close(b.prog_fd);
	if (err)
		return variant_say(msg, err, "bpf-inode: the kernel does not take the program: %s",
				   strerror(-err));
	v->info.prog_bytes += b.ret_bytes;
	v->info.programs++;
	return 0;
}

static int inode_attach(struct bench_variant *v, char *msg)
{
	struct fuse_iomap_bench_mode m = { .mode = FUSE_IOMAP_BENCH_PROG };
	int err = variant_bench_open(v, msg);

	if (!err)
		err = variant_for_each(v, true, inode_add, msg);
	return err ? err : variant_bench_mode(v, &m, msg);
}

static void inode_detach(struct bench_variant *v)
{
	variant_kernel_off(v, FUSE_IOMAP_BENCH_FILE_PROG);
}

const struct variant_ops variant_bpf_inode = {
	.name = "bpf-inode",
	.per_file = true,
	.bench_kernel = true,
	.attach = inode_attach,
	.detach = inode_detach,
};
