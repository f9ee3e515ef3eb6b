// SPDX-License-Identifier: GPL-2.0-only
/*
 * adversary [-q] DEVICE [DRIVER_DIR NAME]
 *
 * A server whose BPF program gives wrong mappings of one file, on purpose, one kind
 * after the other, and a victim: another process with another file of the same device
 * mapped, one part by 4 KiB pages and one by a 2 MiB page. For each kind and each way
 * to get at data:
 *
 *   the access fails, with SIGBUS or EIO (or the errno that the program may give);
 *   the right counter of the connection goes up by one, and no other reject does;
 *   the victim still reads its bytes (sha256), without a fault: its mapping stayed;
 *   the connection still answers right.
 *
 * With DRIVER_DIR and NAME the device is unbound in the end: answers that name the
 * dead device. -q, for slow kernels: of each kind only a read fault and a pwrite.
 *
 * One line per check: "ok - rule" or "not ok - rule: why". Exit status 1 if one was
 * not ok, 2 if it could not run. Accesses are made by children, so that SIGBUS has
 * someone to kill.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/fs.h>
#include <openssl/evp.h>

#include "adversary.h"
#include "adversary.skel.h"
#include "session.h"

#define PAGE		4096UL
#define KNOWN_DEV	1U

static int fuse_fd = -1, mnt_fd = -1;
static uint64_t dev_size;
static volatile struct answer *answer;
static int failures;

static void report(bool ok, const char *rule, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void report(bool ok, const char *rule, const char *fmt, ...)
{
	va_list ap;

	printf(ok ? "ok - %s" : "not ok - %s: ", rule);
	va_start(ap, fmt);
	if (!ok)
		vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	failures += !ok;
}

static void die(const char *what)
{
	fprintf(stderr, "adversary: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- the server: two files ---- */

static const struct {
	const char *name;
	uint64_t size;
} files[] = {
	{ "victim", VICTIM_SIZE },
	{ "attack", ATTACK_SIZE },
};

static void fill_attr(uint64_t nodeid, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = nodeid;
	st->st_mode = nodeid == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
	st->st_nlink = 1;
	if (nodeid != FUSE_ROOT_ID)
		st->st_size = (off_t)files[nodeid - NODE_VICTIM].size;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .generation = GENERATION,
				      .attr_timeout = 1e9,
				      .entry_timeout = 1e9 };

	for (uint64_t i = 0; i < 2; i++) {
		if (strcmp(name, files[i].name))
			continue;
		e.ino = NODE_VICTIM + i;
		fill_attr(e.ino, &e.attr);
		fuse_reply_entry(req, &e);
		return;
	}
	fuse_reply_err(req, ENOENT);
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

static uint64_t size_of_device(int fd)
{
	char path[80];
	uint64_t size = 0;
	struct stat st;
	FILE *f;

	if (fstat(fd, &st))
		die("fstat");
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, &size) ? 0 : size;
	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/size", major(st.st_rdev),
		 minor(st.st_rdev));
	f = fopen(path, "re");
	if (!f || fscanf(f, "%lu", &size) != 1)
		die(path);
	fclose(f);
	return size;
}

static void add_device(const char *path)
{
	struct session_msg msg = { 0 };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint32_t id;

	if (fd < 0)
		die(path);
	dev_size = size_of_device(fd);
	if (session_add_device(fuse_fd, fd, path, &id, &msg)) {
		fprintf(stderr, "adversary: %s\n", msg.text);
		exit(2);
	}
	if (id != KNOWN_DEV || dev_size < ATTACK_ADDR + ATTACK_SIZE) {
		fprintf(stderr, "adversary: device has id %u and %lu bytes\n", id, dev_size);
		exit(2);
	}
	close(fd);
}

static void load_program(void)
{
	struct adversary_bpf *skel = adversary_bpf__open();

	if (!skel)
		die("bpf open");
	skel->struct_ops.adversary_ops->fuse_fd = fuse_fd;
	if (adversary_bpf__load(skel))
		die("bpf load");
	/* The link is never destroyed: it goes with the process. */
	if (!bpf_map__attach_struct_ops(skel->maps.adversary_ops))
		die("bpf attach");
	answer = &skel->bss->answer;
}

static void serve(const char *device)
{
	const struct session_config config = {
		.name = "adversary",
		.ops = &ops,
		.methods = FUSE_IOMAP_METHOD_BPF,
	};
	const struct session_mount mount = { .source = "adversary", .subtype = "adversary" };
	struct session_msg msg = { 0 };
	struct session *s;

	/* Never moved anywhere: children get at it through the fd. */
	if (session_open_fuse(&fuse_fd, &msg) || session_new(&config, fuse_fd, &s, &msg) ||
	    session_start(s, &msg) || session_fsmount(fuse_fd, &mount, &mnt_fd, &msg)) {
		fprintf(stderr, "adversary: %s\n", msg.text);
		exit(2);
	}
	add_device(device);
	load_program();
}

/* ---- counters ---- */

#define NR_COUNTERS	40

struct counters {
	int n;
	char name[NR_COUNTERS][32];
	uint64_t value[NR_COUNTERS];
};

static void read_counters(struct counters *c)
{
	char path[64], line[128];
	FILE *f;

	c->n = 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fuse_fd);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f) && c->n < NR_COUNTERS)
		if (sscanf(line, "iomap_%31[^:]: %lu", c->name[c->n], &c->value[c->n]) == 2)
			c->n++;
	fclose(f);
}

static uint64_t counter(const struct counters *c, const char *name)
{
	for (int i = 0; i < c->n; i++)
		if (!strcmp(c->name[i], name))
			return c->value[i];
	fprintf(stderr, "adversary: no counter iomap_%s\n", name);
	exit(2);
}

/* Did exactly this one go up, by one, and no reject beside it? */
static bool counted(const struct counters *before, const char *want, char *why, size_t size)
{
	struct counters after;

	read_counters(&after);
	for (int i = 0; i < after.n; i++) {
		bool it = want && !strcmp(after.name[i], want);
		bool judge = it || !strncmp(after.name[i], "reject_", 7) ||
			     !strcmp(after.name[i], "error");
		uint64_t up = after.value[i] - before->value[i];

		if (judge && up != (it ? 1 : 0)) {
			snprintf(why, size, "iomap_%s went up by %lu", after.name[i], up);
			return false;
		}
	}
	if (want)
		counter(&after, want);
	return true;
}

/* ---- accesses, in a child ---- */

enum access {
	READ_PTE,
	WRITE_PTE,
	READ_PMD,
	WRITE_PMD,
	PREAD,
	PWRITE,
	DATA,
	NR_ACCESSES,
};

static const char *const access_name[] = {
	[READ_PTE] = "read fault",
	[WRITE_PTE] = "write fault",
	[READ_PMD] = "2 MiB read fault",
	[WRITE_PMD] = "2 MiB write fault",
	[PREAD] = "pread",
	[PWRITE] = "pwrite",
	[DATA] = "seek",
};

#define FAULTS	(1U << READ_PTE | 1U << WRITE_PTE | 1U << READ_PMD | 1U << WRITE_PMD)
#define READS	(1U << READ_PTE | 1U << READ_PMD | 1U << PREAD)
#define WRITES	(1U << WRITE_PTE | 1U << WRITE_PMD | 1U << PWRITE)
#define ALL	(READS | WRITES)

#define DIED	(-1000)		/* by SIGBUS */

/*
 * Map length bytes; huge: aligned like the file, so that a 2 MiB fault is tried, else
 * off by a page, so that none is, and page by page.
 */
static char *map_file(int fd, uint64_t offset, uint64_t length, bool huge)
{
	char *p = mmap(NULL, length + 2 * REGION, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + REGION - 1) & ~(REGION - 1)) + (huge ? 0 : PAGE);
	p = mmap(p, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	if (p == MAP_FAILED)
		return NULL;
	/* A scan gets an entry of 2 MiB, and many pages for one fault */
	if (!huge && madvise(p, length, MADV_RANDOM))
		return NULL;
	return p;
}

/* One access to the page at offset; 0 or -errno. May die. */
static int do_access(enum access how, uint64_t offset)
{
	bool huge = how == READ_PMD || how == WRITE_PMD;
	int fd = openat(mnt_fd, "attack", O_RDWR | O_CLOEXEC);
	char buf[64] = "written by the attacker";
	volatile char *p;

	if (fd < 0)
		return -errno;
	switch (how) {
	case PREAD:
		return pread(fd, buf, sizeof(buf), (off_t)offset) < 0 ? -errno : 0;
	case PWRITE:
		return pwrite(fd, buf, sizeof(buf), (off_t)offset) < 0 ? -errno : 0;
	case DATA:
		return lseek(fd, (off_t)offset, SEEK_DATA) < 0 ? -errno : 0;
	default:
		break;
	}
	p = map_file(fd, offset & ~(REGION - 1), REGION, huge);
	if (!p)
		return -errno;
	p += offset & (REGION - 1);
	if (how == WRITE_PTE || how == WRITE_PMD)
		*p = 'x';
	else
		(void)*p;
	return 0;
}

static int wait_child(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGBUS ? DIED : -2000 - WTERMSIG(status);
	return -WEXITSTATUS(status);
}

static int try_access(enum access how, uint64_t offset)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(-do_access(how, offset));
	return wait_child(pid);
}

/* ---- the victim ---- */

/* The head of region 0 by 4 KiB pages, region 1 by one page of 2 MiB, the rest not at all. */
#define VICTIM_PTE	0
#define VICTIM_PMD	REGION
#define VICTIM_PAGES	64UL		/* of 4 KiB */
#define VICTIM_HEAD	(VICTIM_PAGES * PAGE)
#define HASH_SIZE	32		/* sha256 */

static int victim_in, victim_out;

/* What the mappings show, and what read(2) does. */
static void victim_hash(const char *pte, const char *pmd, int fd, uint8_t *ret)
{
	static char buf[REGION + 2 * VICTIM_HEAD];

	memcpy(buf, pmd, REGION);
	memcpy(buf + REGION, pte, VICTIM_HEAD);
	if (pread(fd, buf + REGION + VICTIM_HEAD, VICTIM_HEAD, VICTIM_PTE) !=
		    (ssize_t)VICTIM_HEAD ||
	    !EVP_Digest(buf, sizeof(buf), ret, NULL, EVP_sha256(), NULL))
		memset(ret, 0, HASH_SIZE);
}

static void victim_main(int in, int out)
{
	uint8_t hash[HASH_SIZE];
	int fd = openat(mnt_fd, "victim", O_RDWR | O_CLOEXEC);
	char *pte, *pmd, byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd < 0)
		_exit(1);
	pte = map_file(fd, VICTIM_PTE, VICTIM_HEAD, false);
	pmd = map_file(fd, VICTIM_PMD, REGION, true);
	if (!pte || !pmd)
		_exit(1);
	for (uint64_t i = 0; i < REGION; i++)
		pmd[i] = (char)(i * 13 + (i >> 12) + 1);
	memset(hash, 0, sizeof(hash));
	if (write(out, hash, sizeof(hash)) != sizeof(hash) || read(in, &byte, 1) != 1)
		_exit(1);
	for (uint64_t i = 0; i < VICTIM_HEAD; i++)
		pte[i] = (char)(i * 7 + (i >> 12));
	do {
		victim_hash(pte, pmd, fd, hash);
		if (write(out, hash, sizeof(hash)) != sizeof(hash))
			_exit(1);
	} while (read(in, &byte, 1) == 1);
	_exit(0);
}

static void victim_answer(uint8_t *ret)
{
	if (read(victim_out, ret, HASH_SIZE) != HASH_SIZE)
		memset(ret, 0, HASH_SIZE);
}

static pid_t victim_start(uint8_t *ret_hash)
{
	struct counters c[3];
	uint64_t pmd, pte;
	int in[2], out[2];
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		die("pipe");
	read_counters(&c[0]);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		close(in[1]);
		close(out[0]);
		victim_main(in[0], out[1]);
	}
	close(in[0]);
	close(out[1]);
	victim_in = in[1];
	victim_out = out[0];
	victim_answer(ret_hash);
	read_counters(&c[1]);
	if (write(victim_in, "", 1) != 1)
		die("victim");
	victim_answer(ret_hash);
	read_counters(&c[2]);

	pmd = counter(&c[1], "fault_pmd") - counter(&c[0], "fault_pmd");
	pte = counter(&c[1], "fault_pte") - counter(&c[0], "fault_pte");
	report(pmd == 1 && !pte, "victim has one page of 2 MiB", "%lu and %lu faults", pmd, pte);
	pte = counter(&c[2], "fault_pte") - counter(&c[1], "fault_pte");
	report(pte == VICTIM_PAGES, "victim has 64 pages of 4 KiB", "%lu faults", pte);
	return pid;
}

/* Same bytes, no fault. */
static bool victim_is_well(const uint8_t *hash, char *why, size_t size)
{
	static const uint8_t nothing[HASH_SIZE];
	uint8_t now[HASH_SIZE];
	struct counters before, after;

	read_counters(&before);
	if (write(victim_in, "", 1) != 1)
		die("victim");
	victim_answer(now);
	read_counters(&after);
	if (!memcmp(now, nothing, sizeof(now)) || memcmp(hash, now, sizeof(now))) {
		snprintf(why, size, "the victim's bytes have changed");
		return false;
	}
	if (counter(&after, "fault_pte") != counter(&before, "fault_pte") ||
	    counter(&after, "fault_pmd") != counter(&before, "fault_pmd")) {
		snprintf(why, size, "the victim lost a mapping");
		return false;
	}
	return true;
}

/* ---- kinds ---- */

static void answer_good(struct answer *a)
{
	*a = (struct answer){
		.ret = 1,
		.generation = GENERATION,
		.dev = KNOWN_DEV,
		.length = REGION,
		.type = FUSE_IOMAP_TYPE_MAPPED,
	};
}

/* offset, length, addr, ret and so on that differ from the good answer's. */
struct kind {
	const char *name;
	const char *counter;	/* that goes up by one; NULL: none */
	unsigned int accesses;
	int error;		/* of system calls; 0: the access works */
	void (*spoil)(struct answer *a);
};

#define SPOIL(name, ...)                   \
	static void name(struct answer *a) \
	{                                  \
		__VA_ARGS__;               \
	}

SPOIL(s_enomem, a->ret = -ENOMEM)
SPOIL(s_eagain, a->ret = -EAGAIN)
SPOIL(s_eintr, a->ret = -EINTR)
SPOIL(s_ebusy, a->ret = -EBUSY)
SPOIL(s_erestartsys, a->ret = -512)
SPOIL(s_eopnotsupp, a->ret = -EOPNOTSUPP)
SPOIL(s_ret2, a->ret = 2)
SPOIL(s_ret_max, a->ret = INT32_MAX)
SPOIL(s_ret_min, a->ret = INT32_MIN)
SPOIL(s_estale, a->ret = -ESTALE)
SPOIL(s_generation, a->generation = GENERATION + 1)
SPOIL(s_eio, a->ret = -EIO)
SPOIL(s_enxio, a->ret = -ENXIO)
SPOIL(s_fallback, a->ret = 0)
SPOIL(s_delalloc, a->type = FUSE_IOMAP_TYPE_DELALLOC)
SPOIL(s_unwritten, a->type = FUSE_IOMAP_TYPE_UNWRITTEN)
SPOIL(s_inline, a->type = FUSE_IOMAP_TYPE_INLINE)
SPOIL(s_type5, a->type = 5)
SPOIL(s_overwrite, a->type = FUSE_IOMAP_TYPE_PURE_OVERWRITE)
SPOIL(s_type_max, a->type = UINT16_MAX)
SPOIL(s_flag0, a->flags = 1)
SPOIL(s_flag15, a->flags = 1U << 15)
SPOIL(s_length0, a->length = 0)
SPOIL(s_silent, a->how |= HOW_SILENT)
SPOIL(s_length_odd, a->length = REGION + 1)
SPOIL(s_length_sector, a->length = 512)
SPOIL(s_offset_odd, a->offset = -512ULL; a->length = 2 * REGION)
SPOIL(s_addr_odd, a->addr = 512)
SPOIL(s_addr_null, a->addr = FUSE_IOMAP_NULL_ADDR; a->how |= HOW_ADDR_ABS)
SPOIL(s_wrap_64, a->offset = -PAGE; a->how |= HOW_OFFSET_ABS; a->length = ATTACK_SIZE)
SPOIL(s_wrap_63, a->length = 1ULL << 63; a->how |= HOW_OFFSET_ABS)
SPOIL(s_length_max, a->length = -PAGE; a->how |= HOW_OFFSET_ABS)
SPOIL(s_behind, a->offset = REGION)
SPOIL(s_before, a->offset = -REGION)
SPOIL(s_dev0, a->dev = 0)
SPOIL(s_dev2, a->dev = 2)
SPOIL(s_dev256, a->dev = 256)
SPOIL(s_dev257, a->dev = 257)
SPOIL(s_dev_max, a->dev = UINT32_MAX)
SPOIL(s_past_end, a->addr = dev_size & ~(REGION - 1); a->how |= HOW_ADDR_ABS;
      a->addr += a->addr < dev_size ? REGION : 0)
SPOIL(s_across_end, a->addr = (dev_size & ~(PAGE - 1)) - REGION + PAGE; a->how |= HOW_ADDR_ABS)
SPOIL(s_far_past, a->addr = 1ULL << 52; a->how |= HOW_ADDR_ABS)
SPOIL(s_addr_wrap, a->addr = -PAGE; a->how |= HOW_ADDR_ABS)
SPOIL(s_addr_sign, a->addr = 1ULL << 63; a->how |= HOW_ADDR_ABS)
SPOIL(s_longer_than_device, a->length = dev_size + ATTACK_SIZE; a->offset = 0;
      a->how |= HOW_OFFSET_ABS | HOW_ADDR_ABS; a->length &= ~(PAGE - 1))
SPOIL(s_hole_addr, a->type = FUSE_IOMAP_TYPE_HOLE; a->dev = 0)
SPOIL(s_hole_addr0, a->type = FUSE_IOMAP_TYPE_HOLE; a->dev = 0; a->addr = 0; a->how |= HOW_ADDR_ABS)
SPOIL(s_hole_dev, a->type = FUSE_IOMAP_TYPE_HOLE; a->addr = FUSE_IOMAP_NULL_ADDR;
      a->how |= HOW_ADDR_ABS)
SPOIL(s_hole, a->type = FUSE_IOMAP_TYPE_HOLE; a->dev = 0; a->addr = FUSE_IOMAP_NULL_ADDR;
      a->how |= HOW_ADDR_ABS)

static const struct kind kinds[] = {
	{ "-ENOMEM", "reject_errno", ALL, EIO, s_enomem },
	{ "-EAGAIN", "reject_errno", ALL, EIO, s_eagain },
	{ "-EINTR", "reject_errno", ALL, EIO, s_eintr },
	{ "-EBUSY", "reject_errno", ALL, EIO, s_ebusy },
	{ "-ERESTARTSYS", "reject_errno", ALL, EIO, s_erestartsys },
	{ "-EOPNOTSUPP", "reject_errno", ALL, EIO, s_eopnotsupp },
	{ "returning 2", "reject_errno", ALL, EIO, s_ret2 },
	{ "returning INT_MAX", "reject_errno", ALL, EIO, s_ret_max },
	{ "returning INT_MIN", "reject_errno", ALL, EIO, s_ret_min },
	{ "-ESTALE", "reject_stale", ALL, ESTALE, s_estale },
	{ "stale generation", "reject_stale", ALL, ESTALE, s_generation },
	{ "-EIO", "error", ALL, EIO, s_eio },
	{ "-ENXIO", "error", ALL, ENXIO, s_enxio },
	{ "falling back to nothing", "error", ALL, EIO, s_fallback },
	{ "type delalloc", "reject_type", ALL, EIO, s_delalloc },
	{ "type unwritten", "reject_type", ALL, EIO, s_unwritten },
	{ "type inline", "reject_type", ALL, EIO, s_inline },
	{ "type 5", "reject_type", ALL, EIO, s_type5 },
	{ "type pure overwrite", "reject_type", ALL, EIO, s_overwrite },
	{ "type 65535", "reject_type", ALL, EIO, s_type_max },
	{ "flag 0", "reject_flags", ALL, EIO, s_flag0 },
	{ "flag 15", "reject_flags", ALL, EIO, s_flag15 },
	{ "length 0", "reject_length", ALL, EIO, s_length0 },
	{ "nothing written", "reject_length", ALL, EIO, s_silent },
	{ "length not of pages", "reject_align", ALL, EIO, s_length_odd },
	{ "length of a sector", "reject_align", ALL, EIO, s_length_sector },
	{ "offset not at a page", "reject_align", ALL, EIO, s_offset_odd },
	{ "address not at a page", "reject_addr", ALL, EIO, s_addr_odd },
	{ "no address", "reject_addr", ALL, EIO, s_addr_null },
	{ "offset plus length wraps", "reject_overflow", ALL, EIO, s_wrap_64 },
	{ "length past the largest file", "reject_overflow", ALL, EIO, s_wrap_63 },
	{ "largest length", "reject_overflow", ALL, EIO, s_length_max },
	{ "behind the position", "reject_cover", ALL, EIO, s_behind },
	{ "before the position", "reject_cover", ALL, EIO, s_before },
	{ "device 0", "reject_dev", ALL, EIO, s_dev0 },
	{ "unknown device", "reject_dev", ALL, EIO, s_dev2 },
	{ "last device", "reject_dev", ALL, EIO, s_dev256 },
	{ "device past the table", "reject_dev", ALL, EIO, s_dev257 },
	{ "device 4294967295", "reject_dev", ALL, EIO, s_dev_max },
	{ "past the end of the device", "reject_range", ALL, EIO, s_past_end },
	{ "across the end of the device", "reject_range", ALL, EIO, s_across_end },
	{ "far past the end", "reject_range", ALL, EIO, s_far_past },
	{ "address wraps", "reject_range", ALL, EIO, s_addr_wrap },
	{ "address with the sign bit", "reject_range", ALL, EIO, s_addr_sign },
	{ "longer than the device", "reject_range", ALL, EIO, s_longer_than_device },
	{ "hole with an address", "reject_addr", ALL, EIO, s_hole_addr },
	{ "hole with address 0", "reject_addr", ALL, EIO, s_hole_addr0 },
	{ "hole with a device", "reject_dev", ALL, EIO, s_hole_dev },
	{ "written hole", "reject_hole", WRITES, EIO, s_hole },
	/* Neighbours that are right. */
	{ "a hole that is read", NULL, 1U << PREAD | 1U << DATA, 0, s_hole },
};

static void set_answer(const struct answer *a)
{
	memcpy((void *)answer, a, sizeof(*a));
}

static void check_one(const struct kind *k, enum access how, uint64_t offset, const uint8_t *hash)
{
	struct counters before;
	char rule[128], why[128] = "";
	struct answer a;
	int want, got;

	answer_good(&a);
	k->spoil(&a);
	set_answer(&a);
	read_counters(&before);
	got = try_access(how, offset);

	if (how == DATA && !k->error)
		want = -ENXIO;		/* a hole up to the end */
	else if (1U << how & FAULTS && k->error)
		want = DIED;
	else
		want = -k->error;
	snprintf(rule, sizeof(rule), "%s, %s", k->name, access_name[how]);
	if (got != want)
		report(false, rule, "got %d, expected %d", got, want);
	else if (!counted(&before, k->counter, why, sizeof(why)) ||
		 !victim_is_well(hash, why, sizeof(why)))
		report(false, rule, "%s", why);
	else
		report(true, rule, " ");

	answer_good(&a);
	set_answer(&a);
	got = try_access(PREAD, offset);
	if (got)
		report(false, rule, "afterwards a good answer gives %d", got);
}

static void check_kinds(const uint8_t *hash, unsigned int accesses)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (int how = 0; how < NR_ACCESSES; how++)
			if (kinds[i].accesses & accesses & 1U << how)
				check_one(&kinds[i], (enum access)how, 5 * REGION + 3 * PAGE, hash);
}

/* ---- aliases: good answers by themselves, but the page is another file's ---- */

static void check_alias(const char *rule, enum access how, uint64_t offset, uint64_t addr,
			const char *want_counter, int want, const uint8_t *hash)
{
	struct counters before;
	char why[128] = "";
	struct answer a;
	int got;

	answer_good(&a);
	a.how = HOW_ADDR_ABS;
	a.addr = addr;
	set_answer(&a);
	read_counters(&before);
	got = try_access(how, offset);
	if (got != want)
		report(false, rule, "got %d, expected %d", got, want);
	else if (!counted(&before, want_counter, why, sizeof(why)) ||
		 !victim_is_well(hash, why, sizeof(why)))
		report(false, rule, "%s", why);
	else
		report(true, rule, " ");
}

static void check_aliases(const uint8_t *hash)
{
	const uint64_t at = 8 * REGION, pte = VICTIM_ADDR + VICTIM_PTE,
		       pmd = VICTIM_ADDR + VICTIM_PMD;
	const char *counter = "reject_alias";

	check_alias("alias 4 KiB of 4 KiB, read", READ_PTE, at, pte, counter, DIED, hash);
	check_alias("alias 4 KiB of 4 KiB, write", WRITE_PTE, at + PAGE, pte, counter, DIED, hash);
	check_alias("alias 2 MiB of 4 KiB, read", READ_PMD, at, pte, counter, DIED, hash);
	check_alias("alias 2 MiB of 4 KiB, write", WRITE_PMD, at, pte, counter, DIED, hash);
	check_alias("alias 4 KiB of 2 MiB, first page", READ_PTE, at, pmd, counter, DIED, hash);
	check_alias("alias 4 KiB of 2 MiB, last page", WRITE_PTE, at + REGION - PAGE, pmd, counter,
		    DIED, hash);
	check_alias("alias 2 MiB of 2 MiB, read", READ_PMD, at, pmd, counter, DIED, hash);
	check_alias("alias 2 MiB of 2 MiB, write", WRITE_PMD, at, pmd, counter, DIED, hash);
	/* Not aligned as a 2 MiB page has to be: 4 KiB of the victim's 2 MiB. */
	check_alias("alias 2 MiB askew", READ_PMD, at, pmd + REGION / 2, counter, DIED, hash);
	/* A neighbour: what nobody has mapped may be mapped, and is given back. */
	check_alias("no alias, 4 KiB", READ_PTE, 9 * REGION, ATTACK_ADDR, NULL, 0, hash);
	check_alias("no alias, 2 MiB", WRITE_PMD, 10 * REGION, ATTACK_ADDR + 4 * REGION, NULL, 0,
		    hash);
	/* Two pages of one file on one page of the device. */
	check_alias("alias within a file", READ_PTE, 11 * REGION, ATTACK_ADDR, counter, DIED, hash);
}

/* A page that was mapped must not move: the old one stays, or the access fails. */
static int moved_child(uint64_t offset)
{
	int fd = openat(mnt_fd, "attack", O_RDWR | O_CLOEXEC);
	struct answer a;
	volatile char *p;

	if (fd < 0)
		return errno;
	p = map_file(fd, offset, REGION, false);
	if (!p)
		return errno;
	answer_good(&a);
	set_answer(&a);
	*p = 'a';
	a.addr += 16 * REGION;
	set_answer(&a);
	if (madvise((void *)p, PAGE, MADV_DONTNEED))
		return errno;
	return *p == 'a' ? 0 : 99;
}

static void check_moved(const uint8_t *hash)
{
	const char *rule = "a page that moved under a live entry";
	char why[128] = "";
	pid_t pid;
	int got;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(moved_child(13 * REGION));
	got = wait_child(pid);
	if (got && got != DIED)
		report(false, rule, "got %d, expected the old page or SIGBUS", got);
	else
		report(victim_is_well(hash, why, sizeof(why)), rule, "%s", why);
}

/* ---- removal ---- */

static bool unbind(const char *driver, const char *name)
{
	char path[256];
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/unbind", driver);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void check_dead(const char *driver, const char *name)
{
	struct answer a;

	report(unbind(driver, name), "device is unbound under the victim", "%s", strerror(errno));
	answer_good(&a);
	set_answer(&a);
	for (int how = 0; how < NR_ACCESSES; how++) {
		char rule[128], why[128] = "";
		struct counters before;
		int want, got;

		if (!(ALL & 1U << how))
			continue;
		snprintf(rule, sizeof(rule), "dead device, %s", access_name[how]);
		want = 1U << how & FAULTS ? DIED : -EIO;
		read_counters(&before);
		got = try_access((enum access)how, 20 * REGION);
		if (got != want)
			report(false, rule, "got %d, expected %d", got, want);
		else
			report(counted(&before, "reject_dead", why, sizeof(why)), rule, "%s", why);
	}
}

static int no_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

int main(int argc, char **argv)
{
	uint8_t hash[HASH_SIZE];
	unsigned int accesses = ~0U;
	struct answer a;
	pid_t victim;

	if (argc > 1 && !strcmp(argv[1], "-q")) {
		accesses = 1U << READ_PTE | 1U << PWRITE;
		argc--;
		argv++;
	}
	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: adversary [-q] DEVICE [DRIVER_DIR NAME]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_print(no_print);
	serve(argv[1]);
	answer_good(&a);
	set_answer(&a);
	victim = victim_start(hash);

	check_kinds(hash, accesses);
	check_aliases(hash);
	check_moved(hash);
	if (argc == 4) {
		check_dead(argv[2], argv[3]);
		/* It dies at the first byte that it reads. */
		if (write(victim_in, "", 1) != 1)
			die("victim");
		report(wait_child(victim) == DIED, "the victim of the removal gets SIGBUS",
		       "it did not");
	} else {
		close(victim_in);
		report(!wait_child(victim), "the victim ends well", "it did not");
	}
	return failures > 0;
}
