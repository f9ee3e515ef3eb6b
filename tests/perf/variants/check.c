// SPDX-License-Identifier: GPL-2.0-only
/*
 * variants-check DEVICE DEVICE [VARIANT...]: one mount, all variants after another, the same
 * bytes. Every page of the devices says where it is; each variant must find, at each
 * position of each file, the page that bench_resolve() names: by pread(), by 4 KiB faults
 * and by 2 MiB faults, read and written.
 *
 * variants-check --cost DEVICE DEVICE [VARIANT...]: what that takes, in units of the TSC:
 * instructions under QEMU's -icount.
 *
 * One line per check: "ok - rule" or "not ok - rule: why"; "skip - VARIANT: why" for one
 * that the kernel lacks. Exit status 1 if one was not ok, 2 if it could not run. The
 * content of the devices is lost.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "session.h"

#define GENERATION	7
#define MAGIC		0x5047u
#define CHUNK		HUGE

const char *const file_name[NR_FILES] = {
	[FLAT_1] = "flat1",	  [FLAT_2] = "flat2",		[SIMPLE] = "simple",
	[STRIPS_3] = "3 strips",  [STRIPS_6] = "6 strips",	[STRIPS_16] = "16 strips",
	[LIST_16] = "16 extents", [LIST_1000] = "1000 extents",
};

struct bench_file files[NR_FILES];
struct bench_conn conn;
static struct bench_extent extents[NR_FILES][1000];
static struct session *session;
static int mnt_fd;
static int failures;

void die(const char *what)
{
	fprintf(stderr, "variants-check: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void report(bool ok, const char *variant, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void report(bool ok, const char *variant, const char *fmt, ...)
{
	va_list ap;

	printf("%sok - %s: ", ok ? "" : "not ", variant);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	failures += !ok;
}

/* ---- layouts ---- */

/* Device 1, device 2: bytes given out */
static uint64_t used[3];

static struct bench_extent take(uint32_t dev, uint64_t offset, uint64_t length, uint64_t align)
{
	uint64_t addr = (used[dev] + align - 1) & ~(align - 1);

	used[dev] = addr + length;
	return (struct bench_extent){ offset, length, addr, dev };
}

static void lay_strips(size_t i, uint32_t nr, uint64_t rows)
{
	for (uint32_t k = 0; k < nr; k++)
		extents[i][k] = take(1 + k % 2, 0, rows * CHUNK, HUGE);
	files[i].chunk = CHUNK;
	files[i].nr = nr;
	/* The last row is not full */
	files[i].size = (rows * nr - 1) * CHUNK - 5 * PAGE;
}

static void lay_list(size_t i, uint32_t nr)
{
	uint64_t at = 0;

	for (uint32_t k = 0; k < nr; k++) {
		extents[i][k] = take(1 + k % 2, at, (1 + k % 3) * PAGE, PAGE);
		at += extents[i][k].length;
	}
	files[i].nr = nr;
	files[i].size = at - 100;
}

static void lay_files(void)
{
	for (size_t i = 0; i < NR_FILES; i++) {
		files[i].nodeid = BENCH_NODEID_FIRST + i;
		files[i].generation = GENERATION;
		files[i].ext = extents[i];
	}
	extents[SIMPLE][0] = take(1, 0, 4 * HUGE, HUGE);
	files[SIMPLE].nr = 1;
	files[SIMPLE].size = 4 * HUGE - 100;
	lay_strips(STRIPS_3, 3, 2);
	lay_strips(STRIPS_6, 6, 2);
	lay_strips(STRIPS_16, 16, 2);
	lay_list(LIST_16, 16);
	lay_list(LIST_1000, 1000);
	for (uint32_t dev = 1; dev <= 2; dev++) {
		size_t i = dev == 1 ? FLAT_1 : FLAT_2;

		files[i].size = (used[dev] + HUGE - 1) & ~(HUGE - 1);
		extents[i][0] = (struct bench_extent){ 0, files[i].size, 0, dev };
		files[i].nr = 1;
	}
}

/* ---- the server ---- */

static void fill_attr(uint64_t nodeid, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = nodeid;
	st->st_mode = nodeid == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
	st->st_nlink = 1;
	if (nodeid != FUSE_ROOT_ID)
		st->st_size = (off_t)files[nodeid - BENCH_NODEID_FIRST].size;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .generation = GENERATION,
				      .attr_timeout = 1e9,
				      .entry_timeout = 1e9 };
	size_t i;

	if (sscanf(name, "f%zu", &i) != 1 || i >= NR_FILES) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	e.ino = BENCH_NODEID_FIRST + i;
	fill_attr(e.ino, &e.attr);
	fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	fill_attr(ino, &st);
	fuse_reply_attr(req, &st, 1e9);
}

static void op_enosys(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, ENOSYS);
}

static const struct fuse_lowlevel_ops ops = {
	.lookup = op_lookup,
	.getattr = op_getattr,
	.open = op_enosys,
	.flush = op_enosys,
};

static int iomap_begin(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
		       struct fuse_iomap_io *out)
{
	return bench_resolve(&files[nodeid - BENCH_NODEID_FIRST], in->pos, out);
}

static void add_device(const char *path, uint32_t want)
{
	struct session_msg msg = { 0 };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint32_t id;

	if (fd < 0)
		die(path);
	if (session_add_device(conn.fuse_fd, fd, path, &id, &msg)) {
		fprintf(stderr, "variants-check: %s\n", msg.text);
		exit(2);
	}
	if (id != want)
		die("id of a device");
	close(fd);
}

static int serve_methods(uint32_t methods, struct session_msg *msg)
{
	const struct session_config config = {
		.name = "variants-check",
		.ops = &ops,
		.methods = methods,
		.iomap_begin = iomap_begin,
	};
	const struct session_mount mount = { .source = "variants", .subtype = "variants" };
	int err;

	err = session_open_fuse(&conn.fuse_fd, msg);
	if (!err)
		err = session_new(&config, conn.fuse_fd, &session, msg);
	if (!err)
		err = session_start(session, msg);
	if (!err)
		err = session_fsmount(conn.fuse_fd, &mount, &mnt_fd, msg);
	return err;
}

/* A kernel without static maps refuses the methods: do without them */
static void serve(char **devices)
{
	uint32_t all = FUSE_IOMAP_METHOD_UPCALL | FUSE_IOMAP_METHOD_LIST |
		       FUSE_IOMAP_METHOD_STRIPE | FUSE_IOMAP_METHOD_BPF;
	struct session_msg msg = { 0 };

	if (serve_methods(all, &msg) &&
	    serve_methods(FUSE_IOMAP_METHOD_UPCALL | FUSE_IOMAP_METHOD_BPF, &msg)) {
		fprintf(stderr, "variants-check: %s\n", msg.text);
		exit(2);
	}
	add_device(devices[0], 1);
	add_device(devices[1], 2);
	conn.unit_shift = 12;
	conn.open_file = open_file;
}

int open_file(void *ctx, size_t i)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "f%zu", i);
	fd = openat(mnt_fd, name, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

char *map_file(int fd, size_t size, size_t skew)
{
	char *p = mmap(NULL, size + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1)) + skew;
	p = mmap(p, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	return p == MAP_FAILED ? NULL : p;
}

void drop_pages(size_t i)
{
	int err = session_inval_inode(session, files[i].nodeid);

	if (err && err != -ENOENT) {
		errno = -err;
		die("invalidate");
	}
}

uint64_t counter(const char *name)
{
	char path[64], line[128], want[64];
	uint64_t value = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", conn.fuse_fd);
	snprintf(want, sizeof(want), "iomap_%s:", name);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, want, strlen(want)))
			value = strtoull(line + strlen(want), NULL, 10);
	fclose(f);
	return value;
}

/* ---- what a page says ---- */

struct tag {
	uint32_t magic;
	uint32_t dev;
	uint64_t addr;
};

static void write_tags(size_t i)
{
	static char buf[256 * PAGE];
	int fd = open_file(NULL, i);

	if (fd < 0)
		die("flat file");
	for (uint64_t at = 0; at < files[i].size; at += sizeof(buf)) {
		for (uint64_t k = 0; k < sizeof(buf); k += PAGE)
			*(struct tag *)(buf + k) =
				(struct tag){ MAGIC, files[i].ext[0].dev, at + k };
		if (pwrite(fd, buf, sizeof(buf), (off_t)at) != (ssize_t)sizeof(buf))
			die("write to the flat file");
	}
	close(fd);
}

static bool tag_is_right(size_t i, uint64_t pos, const struct tag *t)
{
	struct fuse_iomap_io io;

	if (bench_resolve(&files[i], pos, &io))
		return false;
	return t->magic == MAGIC && t->dev == io.dev && t->addr == io.addr + (pos - io.offset);
}

/* ---- checks ---- */

static sigjmp_buf on_sigbus;

static void sigbus(int sig)
{
	siglongjmp(on_sigbus, 1);
}

/* Every page by pread(); some pages written back as they are */
static const char *check_rw(size_t i, int fd)
{
	struct tag t;

	for (uint64_t pos = 0; pos < files[i].size; pos += PAGE) {
		if (pread(fd, &t, sizeof(t), (off_t)pos) != sizeof(t))
			return strerror(errno);
		if (!tag_is_right(i, pos, &t))
			return "another page";
		if (pos / PAGE % 61 == 0 && pwrite(fd, &t, sizeof(t), (off_t)pos) != sizeof(t))
			return strerror(errno);
	}
	return NULL;
}

/* A page in step, every other one written to first */
static const char *check_map(size_t i, int fd, size_t skew, uint64_t step)
{
	char *p = map_file(fd, files[i].size, skew);
	const char *volatile why = NULL;
	uint64_t pos;

	if (!p)
		return strerror(errno);
	for (pos = 0; pos < files[i].size && !why; pos += step) {
		if (sigsetjmp(on_sigbus, 1)) {
			why = "SIGBUS";
			break;
		}
		if (pos / step % 2)
			*(volatile uint32_t *)(p + pos) = MAGIC;
		if (!tag_is_right(i, pos, (struct tag *)(p + pos)))
			why = "another page";
	}
	munmap(p, files[i].size);
	return why;
}

static void check_file(const char *variant, size_t i)
{
	int fd = open_file(NULL, i);
	uint64_t pte, pmd;
	const char *why;

	if (fd < 0)
		die("open");
	drop_pages(i);
	why = check_rw(i, fd);
	report(!why, variant, "%s, pread and pwrite%s%s", file_name[i], why ? ": " : "",
	       why ? why : "");

	pte = counter("fault_pte");
	pmd = counter("fault_pmd");
	why = check_map(i, fd, PAGE, 17 * PAGE);
	pte = counter("fault_pte") - pte;
	pmd = counter("fault_pmd") - pmd;
	if (!why && !pte)
		why = "not by 4 KiB pages";
	report(!why, variant, "%s, 4 KiB faults%s%s", file_name[i], why ? ": " : "",
	       why ? why : "");
	drop_pages(i);
	if (i < LIST_16) {
		pte = counter("fault_pte");
		pmd = counter("fault_pmd");
		why = check_map(i, fd, 0, HUGE);
		pte = counter("fault_pte") - pte;
		pmd = counter("fault_pmd") - pmd;
		/* The end of the file is no whole page of 2 MiB */
		if (!why && (pmd < files[i].size / HUGE || pte > 2))
			why = "not by 2 MiB pages";
		report(!why, variant, "%s, 2 MiB faults%s%s", file_name[i], why ? ": " : "",
		       why ? why : "");
		drop_pages(i);
	}
	close(fd);
}

/* Which counter goes up when a variant answers */
static const char *counter_of(const char *variant)
{
	static const struct {
		const char *variant, *counter;
	} table[] = {
		{ "bpf-array", "bpf" },	   { "bpf-hash", "bpf" },      { "bpf-arena", "bpf" },
		{ "c-slot", "bpf" },	   { "static", "static" },     { "upcall", "upcall" },
		{ "bpf-blob", "bench" },   { "bpf-inode", "bench" },   { "c", "bench" },
		{ "c+v", "bench" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(table[i].variant, variant))
			return table[i].counter;
	return "none";
}

static const char *const all_counters[] = { "bpf", "static", "upcall", "bench" };

static void check_counters(const char *variant, const uint64_t *before)
{
	const char *mine = counter_of(variant);

	for (size_t k = 0; k < 4; k++) {
		uint64_t up = counter(all_counters[k]) - before[k];

		if (!strcmp(all_counters[k], mine) ? !up : up) {
			report(false, variant, "counted %lu for %s", up, all_counters[k]);
			return;
		}
	}
	report(true, variant, "it was this one that answered");
}

static void check_variant(const char *variant)
{
	struct bench_file mine[NR_FILES];
	struct bench_variant_info info;
	char msg[BENCH_MSG_MAX] = "";
	struct bench_variant *v;
	uint64_t before[4];
	int err;

	err = bench_variant_probe(variant, msg);
	if (err == -EOPNOTSUPP) {
		printf("skip - %s\n", msg);
		return;
	}
	/* What a variant cannot do, it must say: one file at a time */
	memcpy(mine, files, sizeof(files));
	for (size_t i = 0; i < NR_FILES; i++) {
		struct bench_file one[NR_FILES];

		memcpy(one, files, sizeof(files));
		for (size_t k = 0; k < NR_FILES; k++)
			one[k].nr = k == i ? files[k].nr : 0;
		err = bench_variant_attach(&conn, variant, one, NR_FILES, &v, msg);
		if (err == -EOPNOTSUPP && i >= LIST_16) {
			mine[i].nr = 0;
			printf("# %s: %s\n", file_name[i], msg);
		} else if (err) {
			report(false, variant, "%s: %s", file_name[i], msg);
			return;
		} else {
			bench_variant_detach(v);
		}
	}
	err = bench_variant_attach(&conn, variant, mine, NR_FILES, &v, msg);
	if (err) {
		report(false, variant, "%s", msg);
		return;
	}
	for (size_t k = 0; k < 4; k++)
		before[k] = counter(all_counters[k]);
	for (size_t i = SIMPLE; i < NR_FILES; i++)
		if (mine[i].nr)
			check_file(variant, i);
	check_counters(variant, before);
	bench_variant_info(v, &info);
	printf("# %s: maps %lu, kernel %lu, programs %lu (%lu bytes), %lu us\n", variant,
	       info.map_bytes, info.kernel_bytes, info.programs, info.prog_bytes,
	       info.load_ns / 1000);
	bench_variant_detach(v);
}

static void check_refusals(void)
{
	struct bench_variant *v, *w;
	char msg[BENCH_MSG_MAX] = "";
	int err;

	err = bench_variant_attach(&conn, "nonsense", files, NR_FILES, &v, msg);
	report(err == -EINVAL, "refused", "an unknown name (%s)", msg);
	if (bench_variant_attach(&conn, "bpf-array", files, NR_FILES, &v, msg))
		return;
	err = bench_variant_attach(&conn, "bpf-hash", files, LIST_16, &w, msg);
	report(err == -EBUSY, "refused", "a second one (%s)", msg);
	if (!bench_variant_probe("c", NULL)) {
		err = bench_variant_attach(&conn, "c", files, NR_FILES, &w, msg);
		report(err == -EBUSY, "refused", "a second one, in C (%s)", msg);
	}
	bench_variant_detach(v);
	files[SIMPLE].chunk = 3 * PAGE;
	err = bench_variant_attach(&conn, "bpf-array", files, NR_FILES, &v, msg);
	files[SIMPLE].chunk = 0;
	report(err == -EINVAL, "refused", "a chunk that is no power of two (%s)", msg);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = sigbus };
	const char *const *names = bench_variant_names;
	bool costs = argc > 1 && !strcmp(argv[1], "--cost");

	argv += costs;
	argc -= costs;
	if (argc < 3) {
		fprintf(stderr, "usage: variants-check [--cost] DEVICE DEVICE [VARIANT...]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGBUS, &sa, NULL);
	if (argc > 3)
		names = (const char *const *)argv + 3;
	lay_files();
	serve(argv + 1);
	if (costs)
		return cost(names);

	/* The server itself says where the flat files are */
	write_tags(FLAT_1);
	write_tags(FLAT_2);
	for (size_t i = 0; names[i]; i++)
		check_variant(names[i]);
	if (argc == 3)
		check_refusals();
	return failures > 0;
}
