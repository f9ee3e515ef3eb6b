// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress attach -f FAULTS -r REPLACES -a ATTACHES PINS PID MOUNT PINS2 PID2 SPEC... -- SPEC2...
 *
 * What may happen to the program of a mounted famfs while its files are in use: replaced,
 * detached, attached, linked twice, unmounted with the link held, freed after that. PINS is
 * the directory of its pins, PID a process that has its /dev/fuse; so are PINS2, PID2 for a
 * second file system of the same kind. SPEC as in stress load; only mappings.
 *
 * More programs are loaded over the same tables. "ok - RULE" or "not ok - RULE: why" for
 * each rule; exit status 1 if one was not kept.
 */
#include "attach.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <famfs/fmap.h>

#include "famfs.skel.h"
#include "load.h"

/* enum bpf_attach_type; the headers of the machine may be older */
#define ATTACH_STRUCT_OPS 44
#define PROGRAMS	  3
#define PATIENCE	  300

static int failures;

static void result(bool good, const char *rule, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void result(bool good, const char *rule, const char *fmt, ...)
{
	va_list ap;

	printf(good ? "ok - %s" : "not ok - %s: ", rule);
	if (!good) {
		va_start(ap, fmt);
		vprintf(fmt, ap);
		va_end(ap);
	}
	putchar('\n');
	failures += !good;
}

static void is(const char *rule, long got, long want)
{
	result(got == want, rule, "got %ld, wanted %ld", got, want);
}

static void between(const char *rule, unsigned long got, unsigned long low, unsigned long high)
{
	result(got >= low && got <= high, rule, "got %lu, wanted %lu to %lu", got, low, high);
}

static void at_least(const char *rule, unsigned long got, unsigned long low)
{
	between(rule, got, low, ULONG_MAX);
}

static void die(const char *what)
{
	fprintf(stderr, "stress attach: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- a connection ---- */

/* As of /proc/PID/fdinfo; what is not printed stays 0. */
struct counters {
	unsigned long fault_pte, fault_pmd, bpf, fallback, upcall, error, rejects, stale;
};

struct side {
	const char *pins;
	pid_t pid;
	int fuse; /* our own copy of the server's */
	struct load load;
};

/* The server looks at files of its own, too: not while we count. */
static void halt(const struct side *s)
{
	char path[64], state = 0;
	FILE *f;

	if (kill(s->pid, SIGSTOP))
		die("kill");
	snprintf(path, sizeof(path), "/proc/%d/stat", s->pid);
	while (state != 'T') {
		usleep(10000);
		f = fopen(path, "re");
		if (!f || fscanf(f, "%*d %*[^)]) %c", &state) != 1)
			die(path);
		fclose(f);
	}
}

static int fuse_of(pid_t pid)
{
	char dir[64], path[400], to[64];
	int fd = -1, pidfd;
	struct dirent *d;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", pid);
	fds = opendir(dir);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (!fds || pidfd < 0)
		die(dir);
	while (fd < 0 && (d = readdir(fds))) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", dir, d->d_name);
		n = readlink(path, to, sizeof(to) - 1);
		if (n > 0 && !strncmp(to, "/dev/fuse", (size_t)n))
			fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(d->d_name), 0);
	}
	closedir(fds);
	close(pidfd);
	if (fd < 0)
		die("/dev/fuse of the server");
	return fd;
}

static struct counters counters(const struct side *s)
{
	char path[64], line[128], key[64];
	struct counters c = { 0 };
	unsigned long v;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", s->fuse);
	f = fopen(path, "re");
	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "iomap_%63[^:]: %lu", key, &v) != 2)
			continue;
		if (!strncmp(key, "reject_", 7))
			c.rejects += v;
		if (!strcmp(key, "fault_pte"))
			c.fault_pte = v;
		else if (!strcmp(key, "fault_pmd"))
			c.fault_pmd = v;
		else if (!strcmp(key, "bpf"))
			c.bpf = v;
		else if (!strcmp(key, "fallback"))
			c.fallback = v;
		else if (!strcmp(key, "upcall"))
			c.upcall = v;
		else if (!strcmp(key, "error"))
			c.error = v;
		else if (!strcmp(key, "reject_stale"))
			c.stale = v;
	}
	fclose(f);
	return c;
}

static struct counters since(const struct side *s, const struct counters *before)
{
	struct counters c = counters(s);

	c.fault_pte -= before->fault_pte;
	c.fault_pmd -= before->fault_pmd;
	c.bpf -= before->bpf;
	c.fallback -= before->fallback;
	c.upcall -= before->upcall;
	c.error -= before->error;
	c.rejects -= before->rejects;
	c.stale -= before->stale;
	return c;
}

/* ---- programs ---- */

static int pinned(const struct side *s, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->pins, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		die(path);
	return fd;
}

static void reuse(const struct side *s, const char *name, struct bpf_map *map)
{
	int fd = pinned(s, name);

	if (bpf_map__reuse_fd(map, fd))
		die(name);
	close(fd);
}

/* libbpf is to know the size before it is told of the map: it unmaps its own by that */
static void reuse_extents(const struct side *s, struct famfs_bpf *skel)
{
	struct famfs_fmap_config config;
	int fd = pinned(s, "rodata");
	__u32 key = 0;

	if (bpf_map_lookup_elem(fd, &key, &config) ||
	    bpf_map__set_value_size(skel->maps.data_extents,
				    config.nr_extents * sizeof(struct famfs_slot_extent)))
		die("extents");
	close(fd);
	reuse(s, "extents", skel->maps.data_extents);
}

/* One more program over the tables of @s, for whatever connection @fd will be then. */
static int program(const struct side *s, int fd, bool busy)
{
	struct famfs_bpf *skel = famfs_bpf__open();
	struct bpf_link *link;
	int map;

	if (!skel)
		die("open");
	reuse(s, "slots", skel->maps.slots);
	reuse(s, "reserved", skel->maps.reserved);
	reuse_extents(s, skel);
	reuse(s, "rodata", skel->maps.rodata);
	skel->struct_ops.famfs_ops->fuse_fd = fd;
	if (famfs_bpf__load(skel))
		die("load");
	/* libbpf gives the map its value, and then finds a program there */
	link = bpf_map__attach_struct_ops(skel->maps.famfs_ops);
	if (busy)
		is("a second program is not attached", link ? 0 : -errno, -EBUSY);
	bpf_link__destroy(link);
	map = fcntl(bpf_map__fd(skel->maps.famfs_ops), F_DUPFD_CLOEXEC, 3);
	if (map < 0)
		die("dup");
	/* Not libbpf's memory: the maps live on by their fds */
	famfs_bpf__destroy(skel);
	return map;
}

static int attach(int map)
{
	return bpf_link_create(map, 0, (enum bpf_attach_type)ATTACH_STRUCT_OPS, NULL);
}

static int replace(int link, int map)
{
	return bpf_link_update(link, map, NULL);
}

/* ---- phases ---- */

static unsigned long faults_of(const struct load *l)
{
	struct load_sum sum = load_sum(l);

	return sum.right + sum.sigbus + sum.wrong;
}

static void nap(unsigned int us)
{
	usleep(us);
}

static void stop(struct side *s, const char *rule)
{
	is(rule, load_stop(&s->load, PATIENCE), 0);
	load_print(&s->load);
}

/*
 * Each access of the load is one fault that ends in right bytes or SIGBUS. So:
 *
 *	bpf	= right bytes		the program was asked once for each
 *	error	= SIGBUS		there was no program; once for each, not for the
 *					2 MiB fault that is tried again at 4 KiB
 *	fault_pmd >= accesses at 2 MiB. Tries are counted: the first in a range where
 *		  nothing is mapped is for 2 MiB even if that cannot be, and one that has to go
 *		  on with 4 KiB is done twice where the per-VMA lock is given up in between
 *	fault_pte = accesses at 4 KiB + those at 2 MiB that were tried again: all that
 *		  ended with SIGBUS, and some whose 4 KiB came after an attach
 *	nothing else was counted
 */
static void add_up(const struct side *s, const struct counters *before)
{
	struct load_sum sum = load_sum(&s->load);
	struct counters c = since(s, before);

	printf("# %lu faults at 4 KiB, %lu at 2 MiB: bpf %lu, error %lu; accesses: %lu right, %lu SIGBUS\n",
	       c.fault_pte, c.fault_pmd, c.bpf, c.error, sum.right, sum.sigbus);
	is("no wrong bytes", (long)sum.wrong, 0);
	is("no mmap failed", (long)sum.failed, 0);
	is("one answer of a program for each access with right bytes", (long)c.bpf,
	   (long)sum.right);
	is("one error for each SIGBUS", (long)c.error, (long)sum.sigbus);
	between("2 MiB faults: accesses at 2 MiB, and vain tries", c.fault_pmd, sum.touched_2m,
		2 * (sum.touched_2m + sum.touched_4k));
	between("4 KiB faults: accesses at 4 KiB, and what was tried again", c.fault_pte,
		sum.touched_4k + sum.sigbus_2m, sum.touched_4k + sum.touched_2m);
	is("no fallback, upcall or reject", (long)(c.fallback + c.upcall + c.rejects), 0);
}

static void only_replace(struct side *s, int link, const int *map, unsigned long replaces)
{
	struct counters before = counters(s);
	struct load_sum sum;
	int bad = 0;

	load_start(&s->load);
	while (faults_of(&s->load) < 100)
		nap(10000);
	for (unsigned long i = 0; i < replaces; i++) {
		bad += !!replace(link, map[i % PROGRAMS]);
		nap(1000);
	}
	stop(s, "replace: all threads end");
	is("replace: each succeeds", bad, 0);
	sum = load_sum(&s->load);
	at_least("replace: there were faults meanwhile", sum.right, 200);
	is("replace: no fault finds no program", (long)sum.sigbus, 0);
	add_up(s, &before);
}

/* Replaces, with a detach and attach now and then. Returns the link that is there last. */
static int everything(struct side *s, int link, const int *map, unsigned long faults,
		      unsigned long replaces, unsigned long attaches)
{
	unsigned long replaced = 0, attached = 0, per = replaces / attaches + 1;
	struct counters before = counters(s);
	struct load_sum sum;
	int bad = 0;

	load_start(&s->load);
	while (faults_of(&s->load) < faults || replaced < replaces || attached < attaches) {
		for (unsigned long i = 0; i < per; i++) {
			bad += !!replace(link, map[(replaced + attached) % PROGRAMS]);
			replaced++;
			nap(200);
		}
		bad += !!bpf_link_detach(link);
		/* A link is detached once and for all */
		bad += replace(link, map[0]) != -ENOLINK;
		if (attached % 4 == 0)
			nap(2000);
		close(link);
		link = attach(map[attached % PROGRAMS]);
		if (link < 0)
			die("attach under load");
		attached++;
		if (attached % 20 == 0)
			printf("# so far %lu faults, %lu replaces, %lu attaches\n",
			       faults_of(&s->load), replaced, attached);
		nap(20000);
	}
	stop(s, "all at once: all threads end");
	is("all at once: each succeeds", bad, 0);
	sum = load_sum(&s->load);
	printf("# %lu faults, %lu replaces, %lu times detached and attached\n", faults_of(&s->load),
	       replaced, attached);
	at_least("all at once: as many faults as asked for", faults_of(&s->load), faults);
	at_least("all at once: as many replaces", replaced, replaces);
	at_least("all at once: as many times detached and attached", attached, attaches);
	at_least("all at once: faults between detach and attach were seen", sum.sigbus, 1);
	add_up(s, &before);
	return link;
}

/*
 * One map, linked to two connections. Its tables are of the first one's files, and say so
 * by their generation.
 */
static void twice(struct side *a, struct side *b, int link, int number, const int *map)
{
	int keep = fcntl(a->fuse, F_DUPFD_CLOEXEC, 100), old, second, again;
	struct counters before_a = counters(a), before_b;
	struct load_sum sum;

	old = pinned(b, "link");
	is("twice: the second file system's own is detached", bpf_link_detach(old), 0);
	close(old);
	before_b = counters(b);
	load_start(&a->load);
	load_start(&b->load);
	is("twice: the map is in use once", replace(link, map[1]), 0);
	if (dup2(b->fuse, number) < 0)
		die("dup2");
	second = attach(map[1]);
	result(second >= 0, "twice: it is linked to the other connection, too", "%s",
	       strerror(errno));
	is("twice: but not a third time", attach(map[1]), -EBUSY);
	for (int i = 0; i < 50; i++) {
		nap(5000);
		if (i % 2)
			failures += !!replace(second, map[i % PROGRAMS]);
	}
	is("twice: replaced in the one connection by what the other has", replace(second, map[1]),
	   0);
	/* First in, first out; then the other way round */
	is("twice: detach the first", bpf_link_detach(link), 0);
	nap(20000);
	if (dup2(keep, number) < 0)
		die("dup2");
	again = attach(map[1]);
	result(again >= 0, "twice: and attach it again", "%s", strerror(errno));
	nap(20000);
	close(second);
	nap(20000);
	stop(a, "twice: the first one's threads end");
	stop(b, "twice: the second one's threads end");

	sum = load_sum(&a->load);
	is("twice: no wrong bytes in the first", (long)sum.wrong, 0);
	at_least("twice: right ones", sum.right, 100);
	is("twice: one answer for each, one error for each SIGBUS",
	   since(a, &before_a).bpf == sum.right && since(a, &before_a).error == sum.sigbus, 1);
	sum = load_sum(&b->load);
	is("twice: nothing but SIGBUS in the second", (long)(sum.wrong + sum.right), 0);
	is("twice: as stale, or without a program",
	   (long)(since(b, &before_b).stale + since(b, &before_b).error), (long)sum.sigbus);
	at_least("twice: as stale", since(b, &before_b).stale, 1);
	close(keep);
	close(link);
	is("twice: what is left works", replace(again, map[0]), 0);
	if (dup2(again, link) < 0)
		die("dup2");
	close(again);
}

static int wait_for(int link, int map, int want)
{
	int err = 0;

	for (int i = 0; i < 1200 && err != want; i++) {
		err = replace(link, map);
		nap(50000);
	}
	return err;
}

/* The file system goes first, its program and link afterwards. */
static void outlive(struct side *s, const char *mount, int link, const int *map)
{
	load_start(&s->load);
	while (faults_of(&s->load) < 100)
		nap(10000);
	is("unmount: not while files are open", umount2(mount, 0) ? -errno : 0, -EBUSY);
	stop(s, "unmount: all threads end");
	load_close(&s->load);
	is("unmount: with the link held", umount2(mount, 0) ? -errno : 0, 0);
	close(s->fuse);
	is("unmount: nothing can be replaced then", wait_for(link, map[0], -ENOTCONN), -ENOTCONN);
	is("unmount: nothing is attached", attach(map[0]) < 0, 1);
	is("unmount: the link can be detached", bpf_link_detach(link), 0);
	close(link);
	for (int i = 0; i < PROGRAMS; i++)
		close(map[i]);
}

int attach_main(int argc, char **argv)
{
	unsigned long faults = 100000, replaces = 1000, attaches = 100;
	static struct side a, b;
	int map[PROGRAMS], link, own, number, i, o;
	const char *mount;

	while ((o = getopt(argc, argv, "+f:r:a:")) != -1) {
		unsigned long n = o == '?' ? 0 : strtoul(optarg, NULL, 0);

		if (!n)
			return 2;
		*(o == 'f' ? &faults : o == 'r' ? &replaces : &attaches) = n;
	}
	if (argc - optind < 7)
		return 2;
	a.pins = argv[optind++];
	a.pid = atoi(argv[optind++]);
	a.fuse = fuse_of(a.pid);
	mount = argv[optind++];
	b.pins = argv[optind++];
	b.pid = atoi(argv[optind++]);
	b.fuse = fuse_of(b.pid);
	for (i = optind; i < argc && strcmp(argv[i], "--"); i++)
		if (load_parse(&a.load, argv[i]))
			return 2;
	for (i++; i < argc; i++)
		if (load_parse(&b.load, argv[i]))
			return 2;
	if (!a.load.count || !b.load.count)
		return 2;

	number = fcntl(a.fuse, F_DUPFD_CLOEXEC, 50);
	for (i = 0; i < PROGRAMS; i++)
		map[i] = program(&a, number, true);
	own = pinned(&a, "link");
	load_open(&a.load);
	load_open(&b.load);
	halt(&a);
	halt(&b);
	only_replace(&a, own, map, replaces / 4);
	is("detach the server's own", bpf_link_detach(own), 0);
	close(own);
	link = attach(map[0]);
	if (link < 0)
		die("attach");
	link = everything(&a, link, map, faults, replaces, attaches);
	twice(&a, &b, link, number, map);
	close(number);
	load_close(&b.load);
	kill(a.pid, SIGCONT);
	kill(b.pid, SIGCONT);
	outlive(&a, mount, link, map);
	return failures > 0;
}
