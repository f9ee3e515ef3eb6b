// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmpat: patterns through mappings. The program of the demo and of VM tests that
 * writes a file through mmap, and reads it back by mmap, read(2) and O_DIRECT.
 *
 *	mmpat write [--key KEY] FILE	write KEY's pattern through a mapping
 *	mmpat check [--key KEY] [--by WAY]... FILE	compare with it
 *	mmpat sum [--by WAY]... FILE	sha256 by each way
 *	mmpat list [--by WAY]... ROOT	lines "SHA256 SIZE PATH" on stdin: compare each
 *					file under ROOT, and its counters; SHA256 "-":
 *					not known, the ways have to agree
 *	mmpat touch [--size 4k|2m] [--offset N] [--write] FILE	one fault
 *	mmpat put [--offset N] IMAGE FILE	copy the data of a sparse image into FILE
 *
 * WAY is mmap, read or direct; all three unless given. The pattern is that of the
 * golden images (rule famfs-golden-v1): every page starts with 8 bytes that follow
 * from KEY and the number of the page, the rest follows from the place in the page.
 * KEY is FILE unless given; the independent reader uses the path in the file system.
 * Exit: 0; 1 something differs or fails; 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <openssl/evp.h>

#define PAGE   4096UL
#define HUGE   0x200000UL
#define BUFFER 0x100000UL

enum way { BY_MMAP, BY_READ, BY_DIRECT, WAYS };

static const char *const way_names[WAYS] = { "mmap", "read", "direct" };

struct options {
	const char *key;
	bool by[WAYS];
	uint64_t size; /* of touch */
	uint64_t offset;
	bool write;
};

static int fail(const char *what, const char *path)
{
	fprintf(stderr, "mmpat: cannot %s %s: %s\n", what, path, strerror(errno));
	return 1;
}

/* ---- the pattern ---- */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static uint64_t hash_key(const char *key)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 0x100000001b3ULL;
	return h;
}

static void put_le64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = v >> (8 * i);
}

/* The page with that number of a file with that key. */
static const uint8_t *pattern_page(uint64_t key, uint64_t number)
{
	static uint8_t page[PAGE];

	if (!page[8] && !page[9])
		for (uint64_t i = 0; i < PAGE / 8; i++)
			put_le64(page + 8 * i, mix(i));
	put_le64(page, mix(key + number));
	return page;
}

/* ---- files as bytes, by each way ---- */

struct mapping {
	uint8_t *p;
	size_t len;
	int fd;
};

/*
 * At an address that is congruent with offset modulo 2 MiB, so that huge faults
 * are possible wherever the file has room for them.
 */
static uint8_t *map_at(int fd, uint64_t offset, size_t len, int prot)
{
	uint8_t *area = mmap(NULL, len + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t want;

	if (area == MAP_FAILED)
		return MAP_FAILED;
	want = ((uintptr_t)area + HUGE - 1) / HUGE * HUGE + offset % HUGE;
	return mmap((void *)want, len, prot, MAP_SHARED | MAP_FIXED, fd, offset);
}

static int map_file(const char *path, bool write, struct mapping *ret)
{
	struct mapping m = { .fd = open(path, write ? O_RDWR : O_RDONLY) };
	struct stat st;

	if (m.fd < 0 || fstat(m.fd, &st))
		return fail("open", path);
	m.len = st.st_size;
	if (m.len) {
		m.p = map_at(m.fd, 0, m.len, PROT_READ | (write ? PROT_WRITE : 0));
		if (m.p == MAP_FAILED)
			return fail("map", path);
	}
	*ret = m;
	return 0;
}

static void unmap_file(struct mapping *m)
{
	if (m->p)
		munmap(m->p, m->len);
	close(m->fd);
}

typedef int (*chunk_fn)(void *ctx, const uint8_t *p, size_t len, uint64_t pos);

static int each_chunk_mapped(const char *path, chunk_fn fn, void *ctx)
{
	struct mapping m;
	int rc = 0;

	if (map_file(path, false, &m))
		return 1;
	for (uint64_t pos = 0; !rc && pos < m.len; pos += BUFFER)
		rc = fn(ctx, m.p + pos, m.len - pos < BUFFER ? m.len - pos : BUFFER, pos);
	unmap_file(&m);
	return rc;
}

static int each_chunk_read(const char *path, bool direct, chunk_fn fn, void *ctx)
{
	int fd = open(path, O_RDONLY | (direct ? O_DIRECT : 0)), rc = 0;
	uint8_t *buf = aligned_alloc(PAGE, BUFFER);
	uint64_t pos = 0;
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || !buf || fstat(fd, &st))
		return fail("open", path);
	while (!rc && n > 0) {
		n = read(fd, buf, BUFFER);
		if (n < 0) {
			rc = fail("read", path);
		} else if (n > 0) {
			rc = fn(ctx, buf, n, pos);
			pos += n;
		}
	}
	if (!rc && pos != (uint64_t)st.st_size) {
		fprintf(stderr, "mmpat: %s: read %" PRIu64 " of %jd bytes\n", path, pos,
			(intmax_t)st.st_size);
		rc = 1;
	}
	free(buf);
	close(fd);
	return rc;
}

static int each_chunk(const char *path, enum way way, chunk_fn fn, void *ctx)
{
	if (way == BY_MMAP)
		return each_chunk_mapped(path, fn, ctx);
	return each_chunk_read(path, way == BY_DIRECT, fn, ctx);
}

/* ---- write, check ---- */

static int cmd_write(const struct options *o, const char *path)
{
	uint64_t key = hash_key(o->key ? o->key : path);
	struct mapping m;
	int rc = 0;

	if (map_file(path, true, &m))
		return 1;
	for (uint64_t pos = 0; pos < m.len; pos += PAGE)
		memcpy(m.p + pos, pattern_page(key, pos / PAGE),
		       m.len - pos < PAGE ? m.len - pos : PAGE);
	if (m.p && msync(m.p, m.len, MS_SYNC))
		rc = fail("msync", path);
	unmap_file(&m);
	return rc;
}

struct check {
	const char *path;
	const char *way;
	uint64_t key;
};

static int check_chunk(void *ctx, const uint8_t *p, size_t len, uint64_t pos)
{
	const struct check *c = ctx;

	/* A short read in the middle would leave the pages' grid. */
	if (pos % PAGE) {
		fprintf(stderr, "mmpat: %s: short read before %" PRIu64 "\n", c->path, pos);
		return 1;
	}
	for (size_t at = 0; at < len; at += PAGE) {
		const uint8_t *want = pattern_page(c->key, (pos + at) / PAGE);
		size_t n = len - at < PAGE ? len - at : PAGE;

		if (!memcmp(p + at, want, n))
			continue;
		for (size_t i = 0; i < n; i++) {
			if (p[at + i] == want[i])
				continue;
			fprintf(stderr,
				"mmpat: %s: by %s: byte %" PRIu64 " is 0x%02x, not 0x%02x\n",
				c->path, c->way, pos + at + i, p[at + i], want[i]);
			return 1;
		}
	}
	return 0;
}

static int cmd_check(const struct options *o, const char *path)
{
	struct check c = { .path = path, .key = hash_key(o->key ? o->key : path) };

	for (int way = 0; way < WAYS; way++) {
		c.way = way_names[way];
		if (o->by[way] && each_chunk(path, way, check_chunk, &c))
			return 1;
	}
	return 0;
}

/* ---- sum ---- */

static int sum_chunk(void *ctx, const uint8_t *p, size_t len, uint64_t pos)
{
	(void)pos;
	return !EVP_DigestUpdate(ctx, p, len);
}

static int sum_file(const char *path, enum way way, char hex[65])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t digest[32];
	int rc = 1;

	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
	    !each_chunk(path, way, sum_chunk, md) && EVP_DigestFinal_ex(md, digest, NULL)) {
		for (int i = 0; i < 32; i++)
			snprintf(hex + 2 * i, 3, "%02x", digest[i]);
		rc = 0;
	}
	EVP_MD_CTX_free(md);
	return rc;
}

static int cmd_sum(const struct options *o, const char *path)
{
	char hex[65];

	for (int way = 0; way < WAYS; way++) {
		if (!o->by[way])
			continue;
		if (sum_file(path, way, hex))
			return 1;
		printf("%s %-6s %s\n", hex, way_names[way], path);
	}
	return 0;
}

/* ---- two ways, bytes not known ---- */

#define AGREE_ALL     (64UL << 20)
#define AGREE_WINDOWS 16

/*
 * What read(2) gives is what is mapped. Of a file above 64 MiB only 16 windows of
 * 1 MiB, from the first to the last.
 */
static int agree(const char *path)
{
	uint8_t *buf = malloc(BUFFER);
	struct mapping m;
	uint64_t windows, stride;
	int rc = 0;

	if (!buf || map_file(path, false, &m))
		return 1;
	if (m.len > AGREE_ALL) {
		windows = AGREE_WINDOWS;
		stride = (m.len - BUFFER) / (windows - 1);
	} else {
		windows = (m.len + BUFFER - 1) / BUFFER;
		stride = BUFFER;
	}
	for (uint64_t i = 0; i < windows && !rc; i++) {
		uint64_t pos = stride * i;
		ssize_t n;

		n = pread(m.fd, buf, BUFFER, pos);
		if (n <= 0 || memcmp(buf, m.p + pos, n)) {
			fprintf(stderr, "mmpat: %s: read and mmap differ from byte %" PRIu64 "\n",
				path, pos);
			rc = 1;
		}
	}
	unmap_file(&m);
	free(buf);
	return rc;
}

/* ---- the counters of a connection ---- */

struct counters {
	uint64_t fault_pte, fault_pmd, bpf, upcall, reject;
};

/* A descriptor of /dev/fuse of the connection with this device number, any process's. */
static int find_fdinfo(dev_t dev, char *ret, size_t size)
{
	char line[128], link[64], name[PATH_MAX];
	bool found = false;
	unsigned int id;
	glob_t g;

	if (glob("/proc/[0-9]*/fdinfo/*", GLOB_NOSORT, NULL, &g))
		return 1;
	for (size_t i = 0; i < g.gl_pathc && !found; i++) {
		char *slash = strstr(g.gl_pathv[i], "/fdinfo/");
		ssize_t n;
		FILE *f;

		snprintf(name, sizeof(name), "%.*s/fd/%s", (int)(slash - g.gl_pathv[i]),
			 g.gl_pathv[i], slash + 8);
		n = readlink(name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, "/dev/fuse"))
			continue;
		f = fopen(g.gl_pathv[i], "r");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "fuse_connection: %u", &id) == 1 && id == minor(dev))
				found = true;
		if (f)
			fclose(f);
		if (found)
			snprintf(ret, size, "%s", g.gl_pathv[i]);
	}
	globfree(&g);
	return !found;
}

static int read_counters(const char *fdinfo, struct counters *ret)
{
	FILE *f = fopen(fdinfo, "r");
	char line[128], name[64];
	uint64_t v;

	memset(ret, 0, sizeof(*ret));
	if (!f)
		return fail("open", fdinfo);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "iomap_%63[^:]: %" SCNu64, name, &v) != 2)
			continue;
		if (!strcmp(name, "fault_pte"))
			ret->fault_pte = v;
		else if (!strcmp(name, "fault_pmd"))
			ret->fault_pmd = v;
		else if (!strcmp(name, "bpf"))
			ret->bpf = v;
		else if (!strcmp(name, "upcall"))
			ret->upcall = v;
		else if (!strncmp(name, "reject_", 7))
			ret->reject += v;
	}
	fclose(f);
	return 0;
}

/* ---- list ---- */

struct list {
	const struct options *o;
	char fdinfo[PATH_MAX];
	uint64_t files, bytes, pte, pmd;
};

/* The faults of this one file: all by BPF, none by upcall, none rejected. */
static int check_counters(const char *path, const struct counters *a, const struct counters *b,
			  uint64_t size, bool mapped)
{
	uint64_t faults = b->fault_pte - a->fault_pte + b->fault_pmd - a->fault_pmd;

	if (b->upcall == a->upcall && b->reject == a->reject &&
	    (!size || !mapped || (faults > 0 && b->bpf > a->bpf)))
		return 0;
	fprintf(stderr,
		"mmpat: %s: %" PRIu64 " faults, %" PRIu64 " by BPF, %" PRIu64 " upcalls, %" PRIu64
		" rejects\n",
		path, faults, b->bpf - a->bpf, b->upcall - a->upcall, b->reject - a->reject);
	return 1;
}

static int list_one(struct list *l, const char *path, const char *sha, uint64_t size)
{
	struct counters before, after;
	bool known = strcmp(sha, "-");
	char hex[65];
	struct stat st;
	int rc = 0;

	if (stat(path, &st))
		return fail("stat", path);
	if ((uint64_t)st.st_size != size) {
		fprintf(stderr, "mmpat: %s: %jd bytes, not %" PRIu64 "\n", path,
			(intmax_t)st.st_size, size);
		return 1;
	}
	if (!l->fdinfo[0] && find_fdinfo(st.st_dev, l->fdinfo, sizeof(l->fdinfo))) {
		fprintf(stderr, "mmpat: %s: no process has the connection of this file system\n",
			path);
		return 1;
	}
	if (read_counters(l->fdinfo, &before))
		return 1;
	for (int way = 0; way < WAYS && known; way++) {
		if (!l->o->by[way])
			continue;
		if (sum_file(path, way, hex))
			return 1;
		if (!strcmp(hex, sha))
			continue;
		fprintf(stderr, "mmpat: %s: by %s: sha256 %s, not %s\n", path, way_names[way], hex,
			sha);
		rc = 1;
	}
	if (!known)
		rc = agree(path);
	if (read_counters(l->fdinfo, &after))
		return 1;
	l->files++;
	l->bytes += size;
	l->pte += after.fault_pte - before.fault_pte;
	l->pmd += after.fault_pmd - before.fault_pmd;
	return rc | check_counters(path, &before, &after, size, l->o->by[BY_MMAP]);
}

static int cmd_list(const struct options *o, const char *root)
{
	struct list l = { .o = o };
	char *line = NULL, sha[65], path[PATH_MAX];
	uint64_t size, bad = 0;
	size_t room = 0;
	ssize_t len;
	int at;

	while ((len = getline(&line, &room, stdin)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (sscanf(line, "%64s %" SCNu64 " %n", sha, &size, &at) != 2) {
			fprintf(stderr, "mmpat: bad line '%s'\n", line);
			return 2;
		}
		snprintf(path, sizeof(path), "%s/%s", root, line + at);
		bad += list_one(&l, path, sha, size);
	}
	free(line);
	printf("%" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64 " faults of 4 KiB, %" PRIu64
	       " of 2 MiB, %" PRIu64 " files differ\n",
	       l.files, l.bytes, l.pte, l.pmd, bad);
	return bad || !l.files;
}

/* ---- touch, put ---- */

static int cmd_touch(const struct options *o, const char *path)
{
	int fd = open(path, o->write ? O_RDWR : O_RDONLY);
	uint64_t size = o->size ? o->size : PAGE;
	volatile uint8_t *p;

	if (fd < 0)
		return fail("open", path);
	/* One page of mapping has no room for a huge fault. */
	p = map_at(fd, o->offset / size * size, size, PROT_READ | (o->write ? PROT_WRITE : 0));
	if (p == MAP_FAILED)
		return fail("map", path);
	/* No load before the store: it would be a fault of its own. */
	if (o->write)
		p[o->offset % size] = 0x5a;
	printf("byte %" PRIu64 " of %s is 0x%02x\n", o->offset, path, p[o->offset % size]);
	close(fd);
	return 0;
}

static int copy_range(int from, int to, off_t start, off_t end, uint64_t shift, uint8_t *buf)
{
	while (start < end) {
		size_t len = end - start < (off_t)BUFFER ? (size_t)(end - start) : BUFFER;

		if (pread(from, buf, len, start) != (ssize_t)len ||
		    pwrite(to, buf, len, start + shift) != (ssize_t)len)
			return 1;
		start += len;
	}
	return 0;
}

static int cmd_put(const struct options *o, const char *image, const char *path)
{
	int from = open(image, O_RDONLY), to = open(path, O_WRONLY);
	uint8_t *buf = malloc(BUFFER);
	off_t data = 0, hole;

	if (from < 0 || !buf)
		return fail("open", image);
	if (to < 0)
		return fail("open", path);
	while ((data = lseek(from, data, SEEK_DATA)) >= 0) {
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0 || copy_range(from, to, data, hole, o->offset, buf))
			return fail("copy", image);
		data = hole;
	}
	if (errno != ENXIO)
		return fail("seek in", image);
	free(buf);
	return 0;
}

/* ---- main ---- */

static int usage(void)
{
	fprintf(stderr,
		"usage: mmpat write|check|sum|touch|list|put [options] FILE, see the source\n");
	return 2;
}

static int parse_size(const char *s, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(s, &end, 0);
	if (*end == 'k')
		*ret <<= 10;
	else if (*end == 'm')
		*ret <<= 20;
	else if (*end)
		return 1;
	return errno != 0 || (*end && end[1]);
}

static int parse_way(const char *name, struct options *o)
{
	for (int way = 0; way < WAYS; way++) {
		if (strcmp(name, way_names[way]))
			continue;
		o->by[way] = true;
		return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' },
		{ "by", required_argument, NULL, 'b' },
		{ "size", required_argument, NULL, 's' },
		{ "offset", required_argument, NULL, 'o' },
		{ "write", no_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { 0 };
	const char *cmd;
	int c, bad = 0;

	if (argc < 3)
		return usage();
	cmd = argv[1];
	argc--;
	argv++;
	while (!bad && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'k':
			o.key = optarg;
			break;
		case 'b':
			bad = parse_way(optarg, &o);
			break;
		case 's':
			bad = parse_size(optarg, &o.size) || (o.size != PAGE && o.size != HUGE);
			break;
		case 'o':
			bad = parse_size(optarg, &o.offset);
			break;
		case 'w':
			o.write = true;
			break;
		default:
			bad = 1;
		}
	}
	if (bad || optind >= argc)
		return usage();
	if (!o.by[BY_MMAP] && !o.by[BY_READ] && !o.by[BY_DIRECT])
		o.by[BY_MMAP] = o.by[BY_READ] = o.by[BY_DIRECT] = true;
	if (!strcmp(cmd, "put"))
		return argc - optind == 2 ? cmd_put(&o, argv[optind], argv[optind + 1]) : usage();
	if (argc - optind != 1)
		return usage();
	if (!strcmp(cmd, "write"))
		return cmd_write(&o, argv[optind]);
	if (!strcmp(cmd, "check"))
		return cmd_check(&o, argv[optind]);
	if (!strcmp(cmd, "sum"))
		return cmd_sum(&o, argv[optind]);
	if (!strcmp(cmd, "list"))
		return cmd_list(&o, argv[optind]);
	if (!strcmp(cmd, "touch"))
		return cmd_touch(&o, argv[optind]);
	return usage();
}
