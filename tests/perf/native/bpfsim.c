// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfsim.h"

#define R_BPF_64_64	1
#define R_BPF_64_32	10
#define STEPS_MAX	100000
#define FRAMES_MAX	8

static int complain(const char *what)
{
	fprintf(stderr, "bpfsim: %s\n", what);
	return -EINVAL;
}

/* ---- the object ---- */

struct object {
	Elf *elf;
	size_t text, prog, maps, rodata;	/* section numbers, 0: none */
	Elf_Data *symbols;
	size_t strings;
	size_t nr_text;				/* instructions */
};

static Elf_Data *section_data(const struct object *o, size_t i)
{
	Elf_Scn *scn = elf_getscn(o->elf, i);

	return scn ? elf_getdata(scn, NULL) : NULL;
}

static int find_sections(struct object *o, const char *section)
{
	size_t names;
	Elf_Scn *scn = NULL;

	if (elf_getshdrstrndx(o->elf, &names))
		return complain("not an ELF object");
	while ((scn = elf_nextscn(o->elf, scn))) {
		GElf_Shdr sh;
		const char *name;

		if (!gelf_getshdr(scn, &sh))
			continue;
		name = elf_strptr(o->elf, names, sh.sh_name);
		if (!name)
			continue;
		if (sh.sh_type == SHT_SYMTAB) {
			o->symbols = elf_getdata(scn, NULL);
			o->strings = sh.sh_link;
		} else if (!strcmp(name, ".text")) {
			o->text = elf_ndxscn(scn);
		} else if (!strcmp(name, section)) {
			o->prog = elf_ndxscn(scn);
		} else if (!strcmp(name, ".maps")) {
			o->maps = elf_ndxscn(scn);
		} else if (!strcmp(name, ".rodata")) {
			o->rodata = elf_ndxscn(scn);
		}
	}
	return o->prog && o->symbols ? 0 : complain("the object has no such program");
}

static int copy_code(struct bpfsim *s, struct object *o)
{
	Elf_Data *text = o->text ? section_data(o, o->text) : NULL;
	Elf_Data *prog = section_data(o, o->prog);
	Elf_Data *rodata = o->rodata ? section_data(o, o->rodata) : NULL;
	size_t text_size = text ? text->d_size : 0;

	if (!prog)
		return complain("the program is empty");
	s->insns = malloc(text_size + prog->d_size);
	if (!s->insns)
		return -ENOMEM;
	if (text_size)
		memcpy(s->insns, text->d_buf, text_size);
	memcpy((char *)s->insns + text_size, prog->d_buf, prog->d_size);
	o->nr_text = s->entry = text_size / sizeof(struct bpf_insn);
	s->n = s->entry + prog->d_size / sizeof(struct bpf_insn);
	if (!rodata)
		return 0;
	s->rodata_size = rodata->d_size;
	/* Where a cache line begins, as the kernel has it */
	s->rodata = aligned_alloc(4096, (s->rodata_size + 4095) & ~(size_t)4095);
	if (!s->rodata)
		return -ENOMEM;
	memcpy(s->rodata, rodata->d_buf, s->rodata_size);
	return 0;
}

static unsigned int find_map(const struct bpfsim *s, const char *name)
{
	unsigned int i = 0;

	while (i < s->nr_maps && strcmp(s->maps[i].name, name))
		i++;
	return i;
}

static int relocate_address(struct bpfsim *s, const struct object *o, struct bpf_insn *insn,
			    const GElf_Sym *sym, const char *name)
{
	uint64_t value = 0;

	if (sym->st_shndx == o->rodata && o->rodata) {
		value = (uintptr_t)s->rodata + sym->st_value + (uint32_t)insn->imm;
	} else if (sym->st_shndx == o->maps && o->maps) {
		/* What a lookup is handed is the number of the map. */
		value = find_map(s, name);
		if (value == s->nr_maps)
			return complain("a map that nobody has given");
	} else if (find_map(s, name) < s->nr_maps) {
		/* A variable, of which there is nothing else in its section */
		value = (uintptr_t)s->maps[find_map(s, name)].data + (uint32_t)insn->imm;
	} else {
		return complain("an address that is neither a map nor a constant");
	}
	insn[0].imm = (int32_t)value;
	insn[1].imm = (int32_t)(value >> 32);
	return 0;
}

/* Calls are relative to the next instruction, of sections that are one array here. */
static int relocate_call(const struct object *o, struct bpf_insn *insn, const GElf_Sym *sym,
			 size_t at)
{
	int64_t target = (int64_t)(sym->st_value / sizeof(*insn));

	if (sym->st_shndx != o->text)
		return complain("a call out of the object");
	if (GELF_ST_TYPE(sym->st_info) == STT_SECTION)
		target += insn->imm + 1;
	insn->imm = (int32_t)(target - (int64_t)at - 1);
	return 0;
}

static int relocate_section(struct bpfsim *s, const struct object *o, Elf_Scn *scn,
			    const GElf_Shdr *sh)
{
	size_t first = sh->sh_info == o->prog ? o->nr_text : 0;
	Elf_Data *data = elf_getdata(scn, NULL);

	for (size_t i = 0; data && i < sh->sh_size / sh->sh_entsize; i++) {
		GElf_Rel rel;
		GElf_Sym sym;
		const char *name;
		size_t at;
		int err;

		if (!gelf_getrel(data, (int)i, &rel) ||
		    !gelf_getsym(o->symbols, (int)GELF_R_SYM(rel.r_info), &sym))
			return complain("a bad relocation");
		name = elf_strptr(o->elf, o->strings, sym.st_name);
		at = first + rel.r_offset / sizeof(struct bpf_insn);
		if (!name || at + 1 >= s->n)
			return complain("a bad relocation");
		if (GELF_R_TYPE(rel.r_info) == R_BPF_64_64)
			err = relocate_address(s, o, &s->insns[at], &sym, name);
		else if (GELF_R_TYPE(rel.r_info) == R_BPF_64_32)
			err = relocate_call(o, &s->insns[at], &sym, at);
		else
			err = complain("an unknown relocation");
		if (err)
			return err;
	}
	return 0;
}

static int relocate(struct bpfsim *s, const struct object *o)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(o->elf, scn))) {
		GElf_Shdr sh;
		int err;

		if (!gelf_getshdr(scn, &sh) || sh.sh_type != SHT_REL ||
		    (sh.sh_info != o->prog && (!o->text || sh.sh_info != o->text)))
			continue;
		err = relocate_section(s, o, scn, &sh);
		if (err)
			return err;
	}
	return 0;
}

int bpfsim_open(struct bpfsim *s, const void *elf, size_t size, const char *section,
		const struct bpfsim_map *maps, unsigned int nr_maps, const struct bpfsim_ops *ops)
{
	struct object o = { 0 };
	char *copy;
	int err = 0;

	*s = (struct bpfsim){ .nr_maps = nr_maps, .ops = *ops };
	if (nr_maps > BPFSIM_MAPS_MAX)
		return complain("too many maps");
	for (unsigned int i = 0; i < nr_maps; i++)
		s->maps[i] = maps[i];
	elf_version(EV_CURRENT);
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, elf, size);
	o.elf = elf_memory(copy, size);
	if (!o.elf)
		err = complain("not an ELF object");
	if (!err)
		err = find_sections(&o, section);
	if (!err)
		err = copy_code(s, &o);
	if (!err)
		err = relocate(s, &o);
	elf_end(o.elf);
	free(copy);
	if (err)
		bpfsim_close(s);
	return err;
}

void bpfsim_close(struct bpfsim *s)
{
	free(s->insns);
	free(s->rodata);
	s->insns = NULL;
	s->rodata = NULL;
}

/* ---- the machine ---- */

struct frame {
	size_t back;
	uint64_t saved[4];		/* r6 to r9 */
	unsigned int saved_depth[4];
	char stack[BPFSIM_STACK];
	unsigned int stack_depth[BPFSIM_STACK];
};

struct machine {
	struct bpfsim *s;
	uint64_t r[11];
	unsigned int depth[11];		/* loads that the value waited for */
	struct frame *frame;
	unsigned int level;
	uint64_t *ctx;
	const unsigned int *ctx_depth;
	char *out;
	size_t out_size;
	unsigned int out_depth;
};

static unsigned int max_depth(unsigned int a, unsigned int b)
{
	return a > b ? a : b;
}

/* The frame that has these bytes of stack: a callee may use its caller's. */
static struct frame *stack_frame(struct machine *m, uint64_t addr, unsigned int size)
{
	for (unsigned int i = 0; i <= m->level; i++) {
		uint64_t base = (uintptr_t)m->frame[i].stack;

		if (addr >= base && addr + size <= base + BPFSIM_STACK)
			return &m->frame[i];
	}
	return NULL;
}

static unsigned int stack_load_depth(const struct frame *f, uint64_t addr, unsigned int size)
{
	size_t at = addr - (uintptr_t)f->stack;
	unsigned int depth = 0;

	for (unsigned int i = 0; i < size; i++)
		depth = max_depth(depth, f->stack_depth[at + i]);
	return depth;
}

static uint64_t load_bytes(uint64_t addr, unsigned int size)
{
	uint64_t v = 0;

	memcpy(&v, (const void *)(uintptr_t)addr, size);
	return v;
}

static void do_load(struct machine *m, const struct bpf_insn *i, unsigned int size)
{
	uint64_t addr = m->r[i->src_reg] + (uint64_t)(int64_t)i->off;
	uint64_t ctx = (uintptr_t)m->ctx;
	unsigned int depth = m->depth[i->src_reg];
	struct frame *f = stack_frame(m, addr, size);

	if (f)
		depth = max_depth(depth, stack_load_depth(f, addr, size));
	else if (addr >= ctx && addr + size <= ctx + BPFSIM_CTX_WORDS * sizeof(*m->ctx))
		depth = max_depth(depth, m->ctx_depth[(addr - ctx) / sizeof(*m->ctx)]);
	else
		depth = m->s->ops.load(m->s->ops.ctx, (void *)(uintptr_t)addr, size, depth);
	m->r[i->dst_reg] = load_bytes(addr, size);
	m->depth[i->dst_reg] = depth;
}

static int do_store(struct machine *m, const struct bpf_insn *i, unsigned int size)
{
	uint64_t addr = m->r[i->dst_reg] + (uint64_t)(int64_t)i->off;
	uint64_t out = (uintptr_t)m->out, value = (uint64_t)(int64_t)i->imm;
	struct frame *f = stack_frame(m, addr, size);
	unsigned int depth = 0;

	if (BPF_CLASS(i->code) == BPF_STX) {
		value = m->r[i->src_reg];
		depth = m->depth[i->src_reg];
	}
	if (f) {
		for (unsigned int k = 0; k < size; k++)
			f->stack_depth[addr - (uintptr_t)f->stack + k] = depth;
	} else if (addr >= out && addr + size <= out + m->out_size) {
		m->out_depth = max_depth(m->out_depth, depth);
	} else {
		return complain("a store that is neither to the stack nor a result");
	}
	memcpy((void *)(uintptr_t)addr, &value, size);
	return 0;
}

static int alu64(uint8_t op, uint64_t *dst, uint64_t src)
{
	switch (op) {
	case BPF_ADD:
		*dst += src;
		return 0;
	case BPF_SUB:
		*dst -= src;
		return 0;
	case BPF_MUL:
		*dst *= src;
		return 0;
	case BPF_DIV:
		*dst = src ? *dst / src : 0;
		return 0;
	case BPF_MOD:
		*dst = src ? *dst % src : *dst;
		return 0;
	case BPF_OR:
		*dst |= src;
		return 0;
	case BPF_AND:
		*dst &= src;
		return 0;
	case BPF_XOR:
		*dst ^= src;
		return 0;
	case BPF_LSH:
		*dst <<= src & 63;
		return 0;
	case BPF_RSH:
		*dst >>= src & 63;
		return 0;
	case BPF_ARSH:
		*dst = (uint64_t)((int64_t)*dst >> (src & 63));
		return 0;
	case BPF_NEG:
		*dst = -*dst;
		return 0;
	case BPF_MOV:
		*dst = src;
		return 0;
	}
	return complain("an unknown operation");
}

static int alu32(uint8_t op, uint64_t *dst, uint64_t src)
{
	uint64_t d = (uint32_t)*dst, s = (uint32_t)src;
	int err = 0;

	if (op == BPF_LSH || op == BPF_RSH)
		s &= 31;
	if (op == BPF_ARSH)
		d = (uint64_t)((int32_t)d >> (s & 31));
	else
		err = alu64(op, &d, s);
	*dst = (uint32_t)d;
	return err;
}

static int do_alu(struct machine *m, const struct bpf_insn *i)
{
	bool reg = BPF_SRC(i->code) == BPF_X, wide = BPF_CLASS(i->code) == BPF_ALU64;
	uint64_t src = reg ? m->r[i->src_reg] : (uint64_t)(int64_t)i->imm;
	unsigned int depth = reg ? m->depth[i->src_reg] : 0;
	uint8_t op = BPF_OP(i->code);

	if (i->off)
		return complain("an operation of a newer instruction set");
	if (op != BPF_MOV)
		depth = max_depth(depth, m->depth[i->dst_reg]);
	m->depth[i->dst_reg] = depth;
	return wide ? alu64(op, &m->r[i->dst_reg], src) : alu32(op, &m->r[i->dst_reg], src);
}

static int jump_taken(const struct machine *m, const struct bpf_insn *i)
{
	uint64_t a = m->r[i->dst_reg];
	uint64_t b = BPF_SRC(i->code) == BPF_X ? m->r[i->src_reg] : (uint64_t)(int64_t)i->imm;
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	if (BPF_CLASS(i->code) == BPF_JMP32) {
		a = (uint32_t)a;
		b = (uint32_t)b;
		sa = (int32_t)a;
		sb = (int32_t)b;
	}
	switch (BPF_OP(i->code)) {
	case BPF_JA:
		return 1;
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JLT:
		return a < b;
	case BPF_JLE:
		return a <= b;
	case BPF_JSET:
		return !!(a & b);
	case BPF_JSGT:
		return sa > sb;
	case BPF_JSGE:
		return sa >= sb;
	case BPF_JSLT:
		return sa < sb;
	case BPF_JSLE:
		return sa <= sb;
	}
	return complain("an unknown jump");
}

/* The kernel makes a lookup in an array a comparison and an addition. */
static int do_lookup(struct machine *m)
{
	struct frame *f = stack_frame(m, m->r[2], sizeof(uint32_t));
	const struct bpfsim_map *map;
	uint32_t key;

	if (m->r[1] >= m->s->nr_maps || !f)
		return complain("a bad lookup");
	map = &m->s->maps[m->r[1]];
	key = (uint32_t)load_bytes(m->r[2], sizeof(key));
	m->depth[0] = stack_load_depth(f, m->r[2], sizeof(key));
	m->r[0] = key < map->max_entries ? (uintptr_t)map->data + (uint64_t)key * map->value_size
					 : 0;
	return 0;
}

static int do_call(struct machine *m, const struct bpf_insn *i, size_t *pc)
{
	struct frame *f = &m->frame[m->level];

	if (i->src_reg != BPF_PSEUDO_CALL)
		return i->imm == BPF_FUNC_map_lookup_elem ? do_lookup(m)
							  : complain("an unknown helper");
	if (m->level + 1 == FRAMES_MAX)
		return complain("calls too deep");
	f->back = *pc;
	memcpy(f->saved, &m->r[6], sizeof(f->saved));
	memcpy(f->saved_depth, &m->depth[6], sizeof(f->saved_depth));
	m->level++;
	m->r[10] = (uintptr_t)m->frame[m->level].stack + BPFSIM_STACK;
	*pc += (size_t)(int64_t)i->imm;
	return 0;
}

/* Returns 1 at the end of the program. */
static int do_exit(struct machine *m, size_t *pc)
{
	struct frame *f;

	if (!m->level)
		return 1;
	f = &m->frame[--m->level];
	memcpy(&m->r[6], f->saved, sizeof(f->saved));
	memcpy(&m->depth[6], f->saved_depth, sizeof(f->saved_depth));
	m->r[10] = (uintptr_t)f->stack + BPFSIM_STACK;
	*pc = f->back;
	return 0;
}

static unsigned int access_size(uint8_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	case BPF_W:
		return 4;
	default:
		return 8;
	}
}

/* One instruction; pc is already at the next one. 1 at the end of the program. */
static int step(struct machine *m, const struct bpf_insn *i, size_t *pc)
{
	int taken;

	switch (BPF_CLASS(i->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		return do_alu(m, i);
	case BPF_LDX:
		if (BPF_MODE(i->code) != BPF_MEM)
			break;
		do_load(m, i, access_size(i->code));
		return 0;
	case BPF_ST:
	case BPF_STX:
		if (BPF_MODE(i->code) != BPF_MEM)
			break;
		return do_store(m, i, access_size(i->code));
	case BPF_LD:
		if (i->code != (BPF_LD | BPF_IMM | BPF_DW))
			break;
		m->r[i->dst_reg] = (uint32_t)i[0].imm | (uint64_t)(uint32_t)i[1].imm << 32;
		m->depth[i->dst_reg] = 0;
		++*pc;
		return 0;
	case BPF_JMP:
		if (BPF_OP(i->code) == BPF_CALL)
			return do_call(m, i, pc);
		if (BPF_OP(i->code) == BPF_EXIT)
			return do_exit(m, pc);
		/* fall through */
	case BPF_JMP32:
		taken = jump_taken(m, i);
		if (taken < 0)
			return taken;
		if (taken)
			*pc += (size_t)(int64_t)i->off;
		return 0;
	}
	return complain("an unknown instruction");
}

int bpfsim_run(struct bpfsim *s, uint64_t *ctx, const unsigned int *depth, void *out,
	       size_t out_size, uint64_t *ret_r0, unsigned int *ret_depth)
{
	static struct frame frame[FRAMES_MAX];
	struct machine m = {
		.s = s,
		.frame = frame,
		.ctx = ctx,
		.ctx_depth = depth,
		.out = out,
		.out_size = out_size,
	};
	size_t pc = s->entry;
	int err = 0;

	m.r[1] = (uintptr_t)ctx;
	m.r[10] = (uintptr_t)frame[0].stack + BPFSIM_STACK;
	for (s->steps = 0; !err; s->steps++) {
		const struct bpf_insn *i = &s->insns[pc];

		if (pc >= s->n || s->steps == STEPS_MAX)
			return complain("the program does not end");
		pc++;
		err = step(&m, i, &pc);
	}
	if (err < 0)
		return err;
	*ret_r0 = m.r[0];
	*ret_depth = m.out_depth;
	return 0;
}
