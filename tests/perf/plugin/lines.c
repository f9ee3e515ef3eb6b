// SPDX-License-Identifier: GPL-2.0-only
/*
 * A QEMU TCG plugin that says what CPUs share while they fault side by side: between the
 * clocks of famfs-bench's samples it counts locked instructions, and loads and stores by
 * line of 64 bytes and by CPU. At each rdtscp of famfs-bench, the end of a pass, it says per
 * instruction how often it ran locked, and how many of its loads and stores went to lines
 * that another CPU had to do with, and begins anew.
 *
 *	qemu ... -accel tcg,thread=single -plugin lines.so,out=FILE
 *
 * One thread runs all CPUs in turn, so nothing here is locked. FILE, for each pass: a line
 * "ops N", then "ADDRESS LOCKED SHARED_LOADS SHARED_STORES". QEMU's API version 1; Debian does not
 * package the header, so what is used of it is declared here.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
enum qemu_plugin_mem_rw { QEMU_PLUGIN_MEM_R = 1, QEMU_PLUGIN_MEM_W, QEMU_PLUGIN_MEM_RW };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int, void *),
					    enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*cb)(unsigned int, qemu_plugin_meminfo_t, uint64_t,
						 void *),
				      enum qemu_plugin_cb_flags flags, enum qemu_plugin_mem_rw rw,
				      void *data);

EXPORT int qemu_plugin_version = 1;

#define CPUS		64
#define LINE_SHIFT	6
#define LINES_MAX	(1U << 20)	/* of the hash; a power of two */

/* Where famfs-bench is when addresses are not random; the vDSO's clock is elsewhere. */
#define BENCH_LOW	0x555555554000ULL
#define BENCH_HIGH	0x555555654000ULL

struct site {
	struct site *next;
	uint64_t address;
	uint64_t locked;
};

/* What one instruction did to one line. */
struct access {
	struct access *next;
	struct site *site;
	uint64_t loads, stores;
};

struct line {
	uint64_t number;
	uint64_t cpus;		/* that had to do with it */
	struct access *accesses;
};

static struct site *sites[1 << 16];
static struct line lines[LINES_MAX];
static unsigned int nr_lines;
static bool on[CPUS];
static uint64_t toggles;
static FILE *out;

static struct site *site_get(uint64_t address)
{
	struct site **at = &sites[(address ^ address >> 16) & 0xffff];

	for (struct site *s = *at; s; s = s->next)
		if (s->address == address)
			return s;
	struct site *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->address = address;
	s->next = *at;
	return *at = s;
}

static struct line *line_get(uint64_t number)
{
	size_t i = (number * 0x9e3779b97f4a7c15ULL) >> 44;

	while (lines[i].number && lines[i].number != number)
		i = (i + 1) & (LINES_MAX - 1);
	if (!lines[i].number && ++nr_lines > LINES_MAX / 2)
		abort();
	lines[i].number = number;
	return &lines[i];
}

static void on_clock(unsigned int cpu, void *data)
{
	(void)data;
	on[cpu % CPUS] = !on[cpu % CPUS];
	toggles++;
}

static void sites_write(void)
{
	for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
		for (struct site *s = sites[i]; s; s = s->next) {
			if (s->locked)
				fprintf(out, "%lx %lu 0 0\n", s->address, s->locked);
			s->locked = 0;
		}
	}
}

/* Lines of one CPU are nobody's business. */
static void lines_write(void)
{
	for (size_t i = 0; i < LINES_MAX; i++) {
		bool shared = lines[i].cpus & (lines[i].cpus - 1);
		struct access *next;

		for (struct access *a = lines[i].accesses; a; a = next) {
			if (shared)
				fprintf(out, "%lx 0 %lu %lu\n", a->site->address, a->loads,
					a->stores);
			next = a->next;
			free(a);
		}
		lines[i] = (struct line){ 0 };
	}
	nr_lines = 0;
}

static void on_pass(unsigned int cpu, void *data)
{
	(void)cpu;
	(void)data;
	fprintf(out, "ops %lu\n", toggles / 2);
	sites_write();
	lines_write();
	fflush(out);
	toggles = 0;
	memset(on, 0, sizeof(on));
}

static void on_locked(unsigned int cpu, void *data)
{
	if (on[cpu % CPUS])
		((struct site *)data)->locked++;
}

static void on_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
	struct access *a;
	struct line *l;

	if (!on[cpu % CPUS])
		return;
	l = line_get(address >> LINE_SHIFT);
	l->cpus |= 1ULL << (cpu % CPUS);
	for (a = l->accesses; a && a->site != data; a = a->next)
		;
	if (!a) {
		a = calloc(1, sizeof(*a));
		if (!a)
			abort();
		a->site = data;
		a->next = l->accesses;
		l->accesses = a;
	}
	if (qemu_plugin_mem_is_store(info))
		a->stores++;
	else
		a->loads++;
}

/* A lock prefix, or xchg with memory, which needs none. */
static bool is_locked(const uint8_t *code, size_t size)
{
	size_t i = 0;

	while (i < size && (code[i] == 0x66 || code[i] == 0xf2 || code[i] == 0xf3 ||
			    code[i] == 0x2e || code[i] == 0x3e || code[i] == 0x65))
		i++;
	if (i < size && code[i] == 0xf0)
		return true;
	if (i < size && (code[i] & 0xf0) == 0x40)
		i++;
	return i + 1 < size && (code[i] & 0xfe) == 0x86 && code[i + 1] < 0xc0;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t address = qemu_plugin_insn_vaddr(insn);
		const uint8_t *code = qemu_plugin_insn_data(insn);
		size_t size = qemu_plugin_insn_size(insn);
		struct site *site = site_get(address);

		if (address >= BENCH_LOW && address < BENCH_HIGH && size == 2 &&
		    !memcmp(code, "\x0f\x31", 2))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_clock,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
		if (address >= BENCH_LOW && address < BENCH_HIGH && size == 3 &&
		    !memcmp(code, "\x0f\x01\xf9", 3))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_pass,
							       QEMU_PLUGIN_CB_NO_REGS, NULL);
		if (is_locked(code, size))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_locked,
							       QEMU_PLUGIN_CB_NO_REGS, site);
		qemu_plugin_register_vcpu_mem_cb(insn, on_access, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_RW, site);
	}
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	(void)info;
	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], "out=", 4))
			out = fopen(argv[i] + 4, "w");
	if (!out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	return 0;
}
