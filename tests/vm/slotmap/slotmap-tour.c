// SPDX-License-Identifier: GPL-2.0-only
/*
 * slotmap-tour DEVICE: the slot map on a real kernel. A server with a detached mount,
 * files of every form of slot, the program loaded, attached, replaced under faults,
 * pinned, adopted, killed; pins of a connection that is gone told from pins in use; where
 * it must not be attached; upcalls for what it leaves.
 * What the files hold is compared with the device's own bytes, seen through one more
 * file that is the whole device.
 *
 * One line per check: "ok - rule" or "not ok - rule: why". Exit status 1 if one was
 * not ok, 2 if it could not run.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cap-ng.h>
#include <linux/fs.h>

#include "../../unit/fmap-ref.h"
#include "session.h"

#define MIB		0x100000ULL
#define UNIT		(2 * MIB)
#define GENERATION	77U
#define NR_SLOTS	100
#define DEVICE_BYTES	(1000 * MIB)	/* that we use */

static const uint8_t uuid[FAMFS_UUID_LEN] = "slotmap-tour-001";
static int fuse_fd = -1, mnt_fd = -1;
static struct session *session;
static struct slotmap_devs devs = { .count = 1 };
static char msg[SLOTMAP_MSG_MAX];
static int failures;

static void report(bool ok, const char *rule)
{
	printf(ok ? "ok - %s\n" : "not ok - %s: %s\n", rule, msg);
	failures += !ok;
	msg[0] = '\0';
}

static void is(const char *rule, long got, long want)
{
	if (got != want)
		snprintf(msg + strlen(msg), sizeof(msg) - strlen(msg), " (got %ld, wanted %ld)",
			 got, want);
	report(got == want, rule);
}

static void die(const char *what)
{
	fprintf(stderr, "slotmap-tour: %s: %s\n", what, msg[0] ? msg : strerror(errno));
	exit(2);
}

/* ---- the files ---- */

static const struct famfs_extent whole_ext[] = { { .offset = 0, .len = DEVICE_BYTES } };
static const struct famfs_extent simple_ext[] = { { .offset = 100 * MIB, .len = 8 * MIB } };
static const struct famfs_extent uniform_ext[] = {
	{ .offset = 120 * MIB, .len = 4 * MIB },
	{ .offset = 112 * MIB, .len = 4 * MIB },
	{ .offset = 130 * MIB, .len = 2 * MIB },
};
static const struct famfs_extent uneven_ext[] = {
	{ .offset = 140 * MIB, .len = 2 * MIB }, { .offset = 150 * MIB, .len = 6 * MIB },
	{ .offset = 144 * MIB, .len = 4 * MIB }, { .offset = 160 * MIB, .len = 2 * MIB },
	{ .offset = 164 * MIB, .len = 2 * MIB },
};
static struct famfs_extent strips3[3], strips6[6], strips16[16], outside16[16];

static const struct {
	const char *name;
	struct famfs_fmap fmap;
	enum famfs_slot_type type;
} files[] = {
	{ "whole", { DEVICE_BYTES, 0, FAMFS_EXT_SIMPLE, 1, whole_ext }, FAMFS_SLOT_SIMPLE },
	{ "simple", { 8 * MIB - 5, 0, FAMFS_EXT_SIMPLE, 1, simple_ext }, FAMFS_SLOT_SIMPLE },
	{ "uniform", { 10 * MIB, 0, FAMFS_EXT_SIMPLE, 3, uniform_ext }, FAMFS_SLOT_EXTENTS },
	{ "uneven", { 16 * MIB, 0, FAMFS_EXT_SIMPLE, 5, uneven_ext }, FAMFS_SLOT_EXTENTS },
	{ "strips3",
	  { 11 * MIB + 1, UNIT, FAMFS_EXT_INTERLEAVE, 3, strips3 },
	  FAMFS_SLOT_INTERLEAVE },
	{ "strips6", { 24 * MIB, UNIT, FAMFS_EXT_INTERLEAVE, 6, strips6 }, FAMFS_SLOT_INTERLEAVE },
	{ "strips16",
	  { 64 * MIB, UNIT, FAMFS_EXT_INTERLEAVE, 16, strips16 },
	  FAMFS_SLOT_INTERLEAVE_PACKED },
	/* As if they were too far apart to be packed: no device here is that large. */
	{ "outside16",
	  { 64 * MIB, UNIT, FAMFS_EXT_INTERLEAVE, 16, outside16 },
	  FAMFS_SLOT_INTERLEAVE_EXT },
	/* Published later, or never. */
	{ "late",
	  { 2 * MIB, 0, FAMFS_EXT_SIMPLE, 1,
	    &(const struct famfs_extent){ .offset = 300 * MIB, .len = 2 * MIB } },
	  FAMFS_SLOT_SIMPLE },
	{ "never",
	  { 2 * MIB, 0, FAMFS_EXT_SIMPLE, 1,
	    &(const struct famfs_extent){ .offset = 310 * MIB, .len = 2 * MIB } },
	  FAMFS_SLOT_EMPTY },
};

#define NR_FILES	(sizeof(files) / sizeof(files[0]))
#define WHOLE		0
#define SIMPLE		1
#define STRIPS16	6
#define OUTSIDE16	7
#define LATE		8
#define NEVER		9

static void place_strips(struct famfs_extent *e, uint32_t n, uint64_t start)
{
	for (uint32_t i = 0; i < n; i++)
		e[i] = (struct famfs_extent){ .offset = start + (n - 1 - i) * 8 * MIB,
					      .len = 4 * MIB };
}

static uint64_t nodeid_of(size_t file)
{
	/* The last slot of the table, too. */
	return FAMFS_NODEID_FIRST + (file == STRIPS16 ? NR_SLOTS - 1 : file);
}

/* ---- server ---- */

static void fill_attr(uint64_t nodeid, uint64_t size, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = nodeid;
	st->st_mode = nodeid == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600;
	st->st_nlink = 1;
	st->st_size = (off_t)size;
}

static void reply_entry(fuse_req_t req, uint64_t nodeid, uint64_t size)
{
	struct fuse_entry_param e = {
		.ino = nodeid, .generation = GENERATION, .attr_timeout = 1e9, .entry_timeout = 1e9
	};

	fill_attr(nodeid, size, &e.attr);
	fuse_reply_entry(req, &e);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	for (size_t i = 0; i < NR_FILES; i++) {
		if (!strcmp(name, files[i].name)) {
			reply_entry(req, nodeid_of(i), files[i].fmap.size);
			return;
		}
	}
	if (!strcmp(name, "super"))
		reply_entry(req, FAMFS_NODEID_SUPER, UNIT);
	else
		fuse_reply_err(req, ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	fill_attr(FUSE_ROOT_ID, 0, &st);
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

/* For what the program leaves to the server: one file */
static int op_iomap_begin(void *userdata, uint64_t nodeid, const struct fuse_iomap_begin_in *in,
			  struct fuse_iomap_io *out)
{
	if (nodeid != nodeid_of(SIMPLE))
		return -EIO;
	*out = (struct fuse_iomap_io){
		.length = simple_ext[0].len,
		.addr = simple_ext[0].offset,
		.type = FUSE_IOMAP_TYPE_MAPPED,
		.dev = devs.id[0],
	};
	return 0;
}

static void serve(const char *device, uint32_t methods)
{
	const struct session_config config = {
		.name = "slotmap-tour",
		.ops = &ops,
		.methods = methods,
		.iomap_begin = op_iomap_begin,
	};
	const struct session_mount mount = { .source = "tour", .subtype = "tour" };
	struct session_msg why = { 0 };
	int fd = open(device, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		die(device);
	err = session_open_fuse(&fuse_fd, &why) || session_new(&config, fuse_fd, &session, &why) ||
	      session_start(session, &why) || session_fsmount(fuse_fd, &mount, &mnt_fd, &why);
	/* A connection that has just ended gives it back in its own time */
	for (int i = 0; !err && i < 100; i++) {
		err = session_add_device(fuse_fd, fd, device, &devs.id[0], &why);
		if (err != -EBUSY || i == 99)
			break;
		err = 0;
		usleep(100000);
	}
	if (err) {
		fprintf(stderr, "slotmap-tour: %s\n", why.text);
		exit(2);
	}
	close(fd);
}

static void stop_serving(void)
{
	close(mnt_fd);
	session_stop(session);
	session_wait(session);
	session_free(session);
	close(fuse_fd);
}

/* ---- access ---- */

static int open_file(const char *name)
{
	int fd = openat(mnt_fd, name, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die(name);
	return fd;
}

static int read_errno(const char *name)
{
	int fd = open_file(name);
	char byte;
	int err = pread(fd, &byte, 1, 0) == 1 ? 0 : errno;

	close(fd);
	return err;
}

static uint64_t stamp(size_t file, uint64_t pos)
{
	return (file << 56) ^ pos ^ 0x5a5a5a5aULL;
}

/* Write a number at every page through a mapping, find it on the device. */
static bool file_is_where_it_should(size_t i)
{
	const struct famfs_fmap *f = &files[i].fmap;
	int fd = open_file(files[i].name), dev = open_file("whole");
	char *p = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	bool good = true;

	if (p == MAP_FAILED)
		die("mmap");
	for (uint64_t pos = 0; pos + 8 <= f->size; pos += 4096)
		*(uint64_t *)(p + pos) = stamp(i, pos);
	for (uint64_t pos = 0; good && pos + 8 <= f->size; pos += 4096) {
		struct ref_place place;
		uint64_t found = 0;

		good = ref_place(f, pos, &place) &&
		       pread(dev, &found, sizeof(found), (off_t)place.addr) == sizeof(found) &&
		       found == stamp(i, pos);
		if (!good)
			snprintf(msg, sizeof(msg), "at %llu", (unsigned long long)pos);
	}
	munmap(p, f->size);
	close(fd);
	close(dev);
	return good;
}

static bool file_still_reads(size_t i)
{
	int fd = open_file(files[i].name);
	bool good = true;

	for (uint64_t pos = 0; good && pos + 8 <= files[i].fmap.size; pos += 4096) {
		uint64_t found = 0;

		good = pread(fd, &found, sizeof(found), (off_t)pos) == sizeof(found) &&
		       found == stamp(i, pos);
		if (!good)
			snprintf(msg, sizeof(msg), "at %llu: %s", (unsigned long long)pos,
				 strerror(errno));
	}
	close(fd);
	return good;
}

static long counter(const char *name)
{
	char path[64], line[128], key[64];
	long value = -1, v;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fuse_fd);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "iomap_%63[^:]: %ld", key, &v) == 2 && !strcmp(key, name))
			value = v;
	fclose(f);
	return value;
}

/* ---- the tour ---- */

static struct slotmap *load_map(uint64_t slots)
{
	const struct slotmap_config c = {
		.generation = GENERATION,
		.alloc_unit = UNIT,
		.nr_slots = slots,
	};
	struct slotmap *m;

	if (slotmap_load(&c, fuse_fd, &m, msg))
		die("load");
	return m;
}

static void publish(struct slotmap *m, size_t i)
{
	char rule[64];

	snprintf(rule, sizeof(rule), "publish %s", files[i].name);
	is(rule, slotmap_publish(m, nodeid_of(i), &files[i].fmap, &devs), 0);
}

/* By hand, behind the extents of the others. */
static void publish_outside(struct slotmap *m)
{
	const struct bpfload *b = slotmap_program(m);
	struct famfs_slot *slot = &b->slots[nodeid_of(OUTSIDE16) - FAMFS_NODEID_FIRST];
	struct slotmap_stats st;

	slotmap_stats(m, &st);
	*slot = (struct famfs_slot){
		.generation = GENERATION,
		.nstrips = 16,
		.chunk_shift = 21,
		.recip_shift = 35,
		.recip = 1U << 31,
		.size = 64 * MIB / UNIT,
		.ext = { .first = (uint32_t)st.extents_used, .count = 16 },
	};
	for (uint32_t i = 0; i < 16; i++)
		b->extents[slot->ext.first + i].strip = (struct famfs_strip){
			.dev = devs.id[0],
			.start = (uint32_t)(outside16[i].offset / UNIT),
		};
	__atomic_store_n(&slot->type, FAMFS_SLOT_INTERLEAVE_EXT, __ATOMIC_RELEASE);
}

static struct slotmap *full_map(void)
{
	struct slotmap *m = load_map(NR_SLOTS);

	for (size_t i = 0; i < OUTSIDE16; i++)
		if (slotmap_publish(m, nodeid_of(i), &files[i].fmap, &devs))
			die("publish");
	publish_outside(m);
	return m;
}

/* What the link says of this fuse fd */
static int try_attach(int fd, bool rawio)
{
	const struct slotmap_config c = { .generation = GENERATION,
					  .alloc_unit = UNIT,
					  .nr_slots = 1 };
	struct slotmap *m;
	int err;

	if (slotmap_load(&c, fd, &m, msg))
		die("load");
	capng_get_caps_process();
	if (!rawio) {
		capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_SYS_RAWIO);
		if (capng_apply(CAPNG_SELECT_CAPS))
			die("capng_apply");
	}
	err = slotmap_attach(m, msg);
	if (!rawio) {
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE, CAP_SYS_RAWIO);
		if (capng_apply(CAPNG_SELECT_CAPS))
			die("capng_apply");
	}
	slotmap_free(m);
	msg[0] = '\0';
	return err;
}

static void tour_refused(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int unused = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (null < 0 || unused < 0)
		die("open");
	is("attach to an fd that is none", try_attach(9999, true), -EBADF);
	is("attach to what is no connection", try_attach(null, true), -EINVAL);
	is("attach to a connection that is not there yet", try_attach(unused, true), -ENOTCONN);
	is("attach without CAP_SYS_RAWIO", try_attach(fuse_fd, false), -EPERM);
	close(null);
	close(unused);
}

static void tour_boot(struct slotmap *boot)
{
	const struct famfs_fmap super = {
		.size = UNIT,
		.ext_type = FAMFS_EXT_SIMPLE,
		.next = 1,
		.ext = &(const struct famfs_extent){ .offset = 0, .len = UNIT },
	};
	struct slotmap *second = load_map(1);

	is("no program: EIO", read_errno("super"), EIO);
	is("attach", slotmap_attach(boot, msg), 0);
	is("attach another to the same connection", slotmap_attach(second, msg), -EBUSY);
	msg[0] = '\0';
	slotmap_free(second);
	is("nothing published: EIO", read_errno("super"), EIO);
	is("counted as a fallback", counter("fallback"), 1);
	is("publish a reserved file", slotmap_publish(boot, FAMFS_NODEID_SUPER, &super, &devs), 0);
	is("it reads", read_errno("super"), 0);
	is("a slot past the table: EIO", read_errno("simple"), EIO);
}

static void tour_files(const struct slotmap *m)
{
	for (size_t i = 1; i < LATE; i++) {
		char rule[64];

		snprintf(rule, sizeof(rule), "%s is where it should be", files[i].name);
		report(file_is_where_it_should(i), rule);
		is("its slot has the form meant", slotmap_program(m)->slots[nodeid_of(i) - 2].type,
		   files[i].type);
	}
	is("an empty slot: EIO", read_errno("never"), EIO);
	is("no rejects", counter("reject_errno"), 0);
}

static atomic_bool stop_load;
static atomic_long loads, bad_loads;

/* Fault and read without end. */
static void *load_thread(void *arg)
{
	size_t i = (size_t)arg;
	int fd = open_file(files[i].name);

	while (!stop_load) {
		uint64_t pos = (uint64_t)(rand() % (files[i].fmap.size / 4096)) * 4096;
		uint64_t *p, found = 0;

		p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, (off_t)pos);
		if (p == MAP_FAILED || *p != stamp(i, pos))
			bad_loads++;
		munmap(p, 4096);
		if (pread(fd, &found, 8, (off_t)pos) != 8 || found != stamp(i, pos))
			bad_loads++;
		loads++;
	}
	close(fd);
	return NULL;
}

static struct slotmap *tour_replace(struct slotmap *m)
{
	pthread_t thread[3];
	int bad = 0;

	for (size_t i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, load_thread, (void *)(i + 4));
	for (int i = 0; i < 100; i++) {
		struct slotmap *next = full_map();

		bad += !!slotmap_replace(next, m, NULL, msg);
		slotmap_free(m);
		m = next;
	}
	stop_load = true;
	for (size_t i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	is("100 replaces under faults", bad, 0);
	is("no access failed or gave other bytes", bad_loads, 0);
	snprintf(msg, sizeof(msg), "%ld accesses", loads);
	report(loads > 100, "there were accesses meanwhile");
	return m;
}

static void pin_path(const char *name, char *path, size_t size)
{
	snprintf(path, size, BPFLOAD_PIN_ROOT "/736c6f74-6d61-702d-746f-75722d303031/%s", name);
}

static bool has_pin(const char *name)
{
	char path[160];

	pin_path(name, path, sizeof(path));
	return !access(path, F_OK);
}

static void drop_pin(const char *name)
{
	char path[160];

	pin_path(name, path, sizeof(path));
	if (unlink(path))
		die(path);
}

static enum bpfload_pins probe(void)
{
	enum bpfload_pins pins = -1;

	if (bpfload_probe_pins(uuid, &pins, msg))
		die("probe");
	return pins;
}

static int adopt(struct slotmap **ret)
{
	const struct slotmap_config c = {
		.generation = GENERATION,
		.alloc_unit = UNIT,
		.nr_slots = NR_SLOTS,
	};

	return slotmap_adopt(&c, uuid, ret, msg);
}

/* Returns the adopted map; m is gone, as after a crash. */
static struct slotmap *tour_pins(struct slotmap *m)
{
	struct slotmap_stats st;
	struct bpfload *view;
	struct stat dir;
	char path[160];
	uint32_t key = 0;
	int bad = 0;

	is("nothing is pinned", probe(), BPFLOAD_PINS_NONE);
	is("pin", slotmap_pin(m, uuid, msg), 0);
	is("pin again", slotmap_pin(m, uuid, msg), 0);
	is("pins are whole", probe(), BPFLOAD_PINS_WHOLE);
	pin_path("", path, sizeof(path));
	is("directory is private", !stat(path, &dir) && (dir.st_mode & 0777) == 0700, 1);
	slotmap_free(m);
	report(file_still_reads(STRIPS16), "the program outlives its loader");

	is("adopt", adopt(&m), 0);
	for (size_t i = 0; i < OUTSIDE16; i++)
		bad += !!slotmap_check(m, nodeid_of(i), &files[i].fmap, &devs);
	is("slots are as published", bad, 0);
	slotmap_stats(m, &st);
	is("number of slots", (long)st.published, LATE);
	is("number of extents", (long)st.extents_used, 3 + 5 + 16);
	is("late is not there", read_errno("late"), EIO);
	publish(m, LATE);
	report(file_is_where_it_should(LATE), "late is where it should be");

	is("adopt to look at", bpfload_adopt(uuid, false, &view, msg), 0);
	is("its unit", view->config.unit_shift, 21);
	is("its slots", view->config.nr_slots, NR_SLOTS);
	is("a slot of it", view->slots[nodeid_of(LATE) - 2].type, FAMFS_SLOT_SIMPLE);
	is("it cannot be written",
	   bpf_map_update_elem(view->fd[BPFLOAD_SLOTS], &key, &view->slots[0], 0), -EPERM);
	bpfload_free(view);
	return m;
}

/* A crash between removing map pins and making new ones. */
static struct slotmap *tour_half_pins(struct slotmap *m)
{
	struct slotmap *half = NULL, *next;

	drop_pin("slots");
	is("a map pin is missing", probe(), BPFLOAD_PINS_LINK);
	slotmap_free(m);
	is("that is not adopted", adopt(&half), -EUCLEAN);
	if (!half)
		die("adopt");
	msg[0] = '\0';
	next = full_map();
	is("but replaced", slotmap_replace(next, half, uuid, msg), 0);
	slotmap_free(half);
	is("old map pins are gone", has_pin("extents"), 0);
	is("the link's pin stays", has_pin("link"), 1);
	is("pin the new maps", slotmap_pin(next, uuid, msg), 0);
	is("pins are whole again", probe(), BPFLOAD_PINS_WHOLE);
	report(file_still_reads(STRIPS16), "files read with it");
	return next;
}

/*
 * A pinned map in whose place there is one of another form, as after an update of the
 * daemon: it cannot be marked dead, so the program is detached. Returns a map of ours,
 * attached anew; m is gone.
 */
static struct slotmap *tour_other_version(struct slotmap *m)
{
	struct slotmap *other = NULL;
	char path[160];
	int fd;

	drop_pin("slots");
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slots", sizeof(uint32_t), 32, NR_SLOTS, NULL);
	pin_path("slots", path, sizeof(path));
	if (fd < 0 || bpf_obj_pin(fd, path))
		die(path);
	close(fd);
	slotmap_free(m);
	is("pins of another version look whole", probe(), BPFLOAD_PINS_WHOLE);
	is("they are not adopted", adopt(&other), -EUCLEAN);
	if (!other)
		die("adopt");
	msg[0] = '\0';
	report(file_still_reads(STRIPS16), "the program still answers");
	slotmap_kill(other);
	is("killed: no program answers", read_errno("simple"), EIO);
	is("the link is of no use any more", probe(), BPFLOAD_PINS_STALE);
	slotmap_free(other);
	is("unpin it", slotmap_unpin(uuid, msg), 0);

	m = full_map();
	is("attach again", slotmap_attach(m, msg), 0);
	is("pin again", slotmap_pin(m, uuid, msg), 0);
	report(file_still_reads(STRIPS16), "files read again");
	return m;
}

static void tour_kill(struct slotmap *m)
{
	int fd = open_file("simple");
	volatile char *p = mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	slotmap_kill(m);
	is("killed: EIO", read_errno("simple"), EIO);
	is("killed: EIO where nothing was", read_errno("never"), EIO);
	is("killed: publish", slotmap_publish(m, nodeid_of(NEVER), &files[NEVER].fmap, &devs),
	   -ESTALE);
	munmap((void *)p, 8 * MIB);
	close(fd);
}

static void tour_stale(struct slotmap *m)
{
	struct slotmap *none = NULL;

	slotmap_free(m);
	is("pins in use", probe(), BPFLOAD_PINS_WHOLE);
	stop_serving();
	is("connection is gone: stale", probe(), BPFLOAD_PINS_STALE);
	is("stale pins are not adopted", adopt(&none), -ENOENT);
	is("and removed", probe(), BPFLOAD_PINS_NONE);
	is("with their directory", has_pin(""), 0);
	is("unpin nothing", slotmap_unpin(uuid, msg), 0);
}

/* New connections: the server answers where the program does not; and a program is refused. */
static void tour_upcall(const char *device)
{
	uint64_t asked;
	struct slotmap *m;

	serve(device, FUSE_IOMAP_METHOD_BPF | FUSE_IOMAP_METHOD_UPCALL);
	m = load_map(NR_SLOTS);
	is("attach beside upcalls", slotmap_attach(m, msg), 0);
	publish(m, WHOLE);
	asked = counter("upcall");
	report(file_is_where_it_should(SIMPLE), "what the program leaves, the server answers");
	report(counter("upcall") > asked, "it was asked");
	report(counter("fallback") > 0 && counter("bpf") > 0, "both answered");
	is("what neither has: EIO", read_errno("uniform"), EIO);
	slotmap_free(m);
	stop_serving();

	serve(device, FUSE_IOMAP_METHOD_UPCALL);
	is("attach where only upcalls were chosen", try_attach(fuse_fd, true), -EOPNOTSUPP);
	is("it reads by upcall", read_errno("simple"), 0);
	stop_serving();
}

int main(int argc, char **argv)
{
	struct slotmap *boot, *m;

	if (argc != 2) {
		fprintf(stderr, "usage: slotmap-tour DEVICE\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	place_strips(strips3, 3, 400 * MIB);
	place_strips(strips6, 6, 500 * MIB);
	place_strips(strips16, 16, 600 * MIB);
	place_strips(outside16, 16, 760 * MIB);
	serve(argv[1], FUSE_IOMAP_METHOD_BPF);

	tour_refused();
	boot = load_map(1);
	tour_boot(boot);
	m = full_map();
	is("replace the boot map", slotmap_replace(m, boot, NULL, msg), 0);
	slotmap_free(boot);
	tour_files(m);
	m = tour_replace(m);
	m = tour_pins(m);
	if (getenv("BPFTOOL_SHOW"))
		failures += !!system(getenv("BPFTOOL_SHOW"));
	m = tour_half_pins(m);
	m = tour_other_version(m);
	tour_kill(m);
	tour_stale(m);
	tour_upcall(argv[1]);
	return failures > 0;
}
