// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxstress: everything at once that can happen to the pages of DAX files, and
 * whether every page still has its own data afterwards.
 *
 *	daxstress [-n MAPS] [-j PROCESSES] [-r SEED] [-t] [-g COMMAND] DIR
 *
 * Each process maps MAPS ranges, one after the other. However slow the machine is, that
 * is what is done.
 *
 * -t: files are made in DIR, and some are truncated, punched and allocated again
 * while they are mapped (ext4, XFS). Without it the files *.keep in DIR are used as
 * they are, of a fixed size. -g: COMMAND, run when half of it is done, takes the device
 * away; SIGBUS, EIO and ENXIO are then no failure.
 *
 * Every page starts with a word that names file and page, and has one word for each
 * process, which only that process writes: a counter, whose value everybody knows
 * from anonymous shared memory. A file that is truncated may also have pages of zeroes,
 * but never those of another place. Each process does at random: map some range at an
 * aligned or misaligned address, shared or private, touch it in order or at random,
 * read or write, give advice, change protection, move, shrink, fork, map fixed over it,
 * pin pages; read, write, sync; and rarely drop caches, compact memory, poison a page of
 * a file of its own.
 *
 * Exit: 0 all data are as they should be; 1 not; 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif

#define PAGE	   4096UL
#define HUGE	   0x200000UL
#define PAGES	   1536UL /* of a file: 6 MiB */
#define WORDS	   (PAGE / 8)
#define MAX_FILES  8
#define MAX_PROCS  16
#define MAX_WINDOW (2 * PAGES * PAGE)
#define SECOND	   500 /* where in a page the second copy of the counters is */

enum kind { KEEP, CUT, POISON };

struct file {
	enum kind kind;
	char path[256];
	int fd;
};

struct shared {
	int stop;
	int failed;
	int poisoned;
	unsigned int rounds; /* of all processes */
	uint64_t ops[16];
	/* The counter that each process has last written to each page */
	uint32_t count[MAX_PROCS][MAX_FILES][PAGES];
	uint8_t bad[MAX_FILES][PAGES];
};

enum op {
	OP_MAP,
	OP_TOUCH,
	OP_WRITE,
	OP_FORK,
	OP_PROTECT,
	OP_REMAP,
	OP_ADVISE,
	OP_PIN,
	OP_PIO,
	OP_SYNC,
	OP_CUT,
	OP_DROP,
	OP_COMPACT,
	OP_POISON,
	OP_THREAD,
	OPS
};

static const char *const op_names[OPS] = { "map",   "touch",  "write",	 "fork",   "protect",
					   "remap", "advise", "pin",	 "io",	   "sync",
					   "cut",   "drop",   "compact", "poison", "thread" };

static struct shared *sh;
static struct file files[MAX_FILES];
static unsigned int nr_files;
static unsigned int nr_procs = 4;
static unsigned int me;
static bool gone_ok;
static __thread sigjmp_buf jump;
static __thread volatile sig_atomic_t jumpable;
static __thread uint64_t rng;

static uint64_t rnd(uint64_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng % n;
}

static void failed(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void failed(const char *fmt, ...)
{
	va_list ap;
	char msg[512];

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	fprintf(stderr, "daxstress: process %u: %s\n", me, msg);
	__atomic_store_n(&sh->failed, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&sh->stop, 1, __ATOMIC_RELAXED);
}

static bool stopping(void)
{
	return __atomic_load_n(&sh->stop, __ATOMIC_RELAXED);
}

static void did(enum op op)
{
	__atomic_fetch_add(&sh->ops[op], 1, __ATOMIC_RELAXED);
}

static void on_bus(int sig)
{
	if (jumpable)
		siglongjmp(jump, sig);
	signal(sig, SIG_DFL);
}

static uint64_t name_of(unsigned int f, unsigned long page)
{
	return 0xda57000000000000ULL | (uint64_t)(f + 1) << 32 | page;
}

/* Can the page of the file be missing, or be gone, without that being a mistake? */
static bool may_fail(unsigned int f)
{
	return gone_ok || files[f].kind != KEEP;
}

/*
 * Look at a page through a mapping. Words of others may change while we look, but are
 * never less than what they were before.
 */
static void look(const volatile uint64_t *at, unsigned int f, unsigned long page, const char *how)
{
	uint64_t name, mine, again;
	bool private = how[0] == 'p';

	name = at[0];
	if (name != name_of(f, page)) {
		if (files[f].kind != CUT || name)
			failed("%s page %lu (%s) is named %llx", files[f].path, page, how,
			       (unsigned long long)name);
		return;
	}
	if (files[f].kind != KEEP)
		return;
	mine = at[1 + me];
	again = at[SECOND - me];
	if (!private && (mine != sh->count[me][f][page] || again != mine))
		failed("%s page %lu (%s) has %llu and %llu of mine, not %u", files[f].path, page,
		       how, (unsigned long long)mine, (unsigned long long)again,
		       sh->count[me][f][page]);
}

static void scribble(volatile uint64_t *at, unsigned int f, unsigned long page)
{
	if (files[f].kind == CUT) {
		at[0] = name_of(f, page);
		return;
	}
	at[1 + me] = sh->count[me][f][page] + 1;
	at[SECOND - me] = sh->count[me][f][page] + 1;
	sh->count[me][f][page]++;
}

struct window {
	unsigned int f;
	unsigned long first, pages; /* in the file */
	char *at;
	bool shared, writable;
	char *room; /* where it lies in */
};

static bool map(struct window *w)
{
	unsigned long room = MAX_WINDOW + 2 * HUGE;
	int prot = PROT_READ, fd;

	w->f = rnd(nr_files);
	w->first = rnd(3) ? rnd(PAGES) : 0;
	w->pages = rnd(3) ? 1 + rnd(PAGES - w->first) : PAGES - w->first;
	w->shared = rnd(4);
	w->writable = rnd(3);
	if (w->writable)
		prot |= PROT_WRITE;
	w->room = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->room == MAP_FAILED) {
		failed("no room: %s", strerror(errno));
		return false;
	}
	w->at = (char *)(((uintptr_t)w->room + HUGE - 1) & ~(HUGE - 1));
	switch (rnd(3)) {
	case 0: /* so that PMDs are possible */
		w->at += w->first * PAGE & (HUGE - 1);
		break;
	case 1: /* off by one */
		w->at += (w->first + 1) * PAGE & (HUGE - 1);
		break;
	default:
		w->at += rnd(HUGE / PAGE) * PAGE;
	}
	fd = files[w->f].fd;
	if (mmap(w->at, w->pages * PAGE, prot, (w->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED,
		 fd, w->first * PAGE) == MAP_FAILED) {
		if (!gone_ok)
			failed("mmap %s: %s", files[w->f].path, strerror(errno));
		munmap(w->room, room);
		return false;
	}
	did(OP_MAP);
	return true;
}

static void unmap(struct window *w)
{
	/* All at once, or piece by piece */
	if (!rnd(3))
		munmap(w->at, w->pages / 2 * PAGE);
	munmap(w->room, MAX_WINDOW + 2 * HUGE);
}

static void touch_one(struct window *w, unsigned long i, bool write)
{
	volatile uint64_t *at = (volatile uint64_t *)(w->at + i * PAGE);
	unsigned long page = w->first + i;

	if (sigsetjmp(jump, 1)) {
		jumpable = 0;
		if (!may_fail(w->f))
			failed("SIGBUS at %s page %lu", files[w->f].path, page);
		return;
	}
	jumpable = 1;
	if (files[w->f].kind == POISON && sh->bad[w->f][page]) {
		jumpable = 0;
		return;
	}
	if (!write)
		look(at, w->f, page, w->shared ? "shared" : "private");
	else if (w->shared && files[w->f].kind != POISON)
		scribble(at, w->f, page);
	else if (!w->shared)
		at[250] = page;
	jumpable = 0;
}

static void touch(struct window *w)
{
	unsigned long n = w->pages, i, start, count, step;
	bool write = w->writable && rnd(2);

	switch (rnd(4)) {
	case 0: /* all, in order */
		for (i = 0; i < n && !stopping(); i++)
			touch_one(w, i, write);
		break;
	case 1: /* some, in order */
		start = rnd(n);
		count = 1 + rnd(100);
		for (i = start; i < n && i < start + count; i++)
			touch_one(w, i, write);
		break;
	case 2: /* backwards with steps */
		step = 1 + rnd(600);
		for (i = n; i > step; i -= step)
			touch_one(w, i - 1, write);
		break;
	default:
		for (i = 0; i < 50; i++)
			touch_one(w, rnd(n), w->writable && rnd(2));
	}
	did(write ? OP_WRITE : OP_TOUCH);
}

static void do_fork(struct window *w)
{
	unsigned int i;
	int status;
	pid_t pid = fork();

	if (!pid) {
		for (i = 0; i < 20; i++)
			touch_one(w, rnd(w->pages), false);
		/* What the child writes to a private page is not the parent's */
		if (!w->shared && w->writable)
			touch_one(w, rnd(w->pages), true);
		_exit(0);
	}
	if (pid < 0)
		return;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) && !may_fail(w->f))
		failed("child died of signal %d", WTERMSIG(status));
	did(OP_FORK);
}

static void do_protect(struct window *w)
{
	unsigned long i = rnd(w->pages), n = 1 + rnd(w->pages - i);

	mprotect(w->at + i * PAGE, n * PAGE, rnd(2) ? PROT_READ : PROT_NONE);
	mprotect(w->at + i * PAGE, n * PAGE, PROT_READ);
	if (w->writable)
		mprotect(w->at, w->pages * PAGE, PROT_READ | PROT_WRITE);
	did(OP_PROTECT);
}

/* To another colour: what was a PMD has to be taken apart */
static void do_remap(struct window *w)
{
	char *to = w->room + rnd(HUGE / PAGE) * PAGE;
	char *tail;
	unsigned long n;

	if (w->pages < 2)
		return;
	/* Into the unused half of the room, which is PROT_NONE memory */
	n = 1 + rnd(w->pages - 1);
	tail = w->at + (w->pages - n) * PAGE;
	to += (((uintptr_t)w->at - (uintptr_t)w->room) & ~(HUGE - 1)) + PAGES * PAGE + HUGE;
	if (to + n * PAGE > w->room + MAX_WINDOW + 2 * HUGE || to < w->at + w->pages * PAGE)
		return;
	if (mremap(tail, n * PAGE, n * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		return;
	/* Go on with what was moved; the rest goes with the room */
	w->first += w->pages - n;
	w->pages = n;
	w->at = to;
	did(OP_REMAP);
}

static void do_advise(struct window *w)
{
	static const int advice[] = {
		MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL,     MADV_WILLNEED,
		MADV_COLD,   MADV_PAGEOUT,    MADV_NOHUGEPAGE, MADV_HUGEPAGE
	};
	unsigned long i = rnd(w->pages), n = 1 + rnd(w->pages - i);

	/* DONTNEED on a private mapping forgets what was written, as it should */
	madvise(w->at + i * PAGE, n * PAGE,
		rnd(2) ? MADV_DONTNEED : advice[rnd(sizeof(advice) / sizeof(*advice))]);
	did(OP_ADVISE);
}

/* get_user_pages() on the mapping; the pages stay pinned while they are in the pipe */
static void do_pin(struct window *w)
{
	static uint64_t buf[16 * WORDS];
	unsigned long i = rnd(w->pages), n = w->pages - i < 16 ? w->pages - i : 16;
	struct iovec from = { w->at + i * PAGE, n * PAGE };
	ssize_t got, done = 0;
	unsigned long k;
	int p[2];

	if (pipe(p))
		return;
	got = vmsplice(p[1], &from, 1, SPLICE_F_NONBLOCK);
	if (got < 0 && !may_fail(w->f))
		failed("vmsplice %s: %s", files[w->f].path, strerror(errno));
	if (rnd(2))
		usleep(rnd(2000));
	close(p[1]);
	while (done < got) {
		ssize_t ret = read(p[0], (char *)buf + done, got - done);

		if (ret <= 0)
			break;
		done += ret;
	}
	close(p[0]);
	if (done < got && !may_fail(w->f))
		failed("%s: %zd of %zd bytes spliced", files[w->f].path, done, got);
	for (k = 0; done > 0 && k < (unsigned long)done / PAGE; k++)
		look(buf + k * WORDS, w->f, w->first + i + k,
		     w->shared ? "shared, pinned" : "private, pinned");
	did(OP_PIN);
}

static void do_io(void)
{
	static uint64_t buf[WORDS];
	unsigned int f = rnd(nr_files);
	unsigned long page = rnd(PAGES);
	uint64_t word;
	ssize_t n;

	if (sh->bad[f][page])
		return;
	n = pread(files[f].fd, buf, PAGE, page * PAGE);
	if (n == (ssize_t)PAGE)
		look(buf, f, page, "read");
	else if (!may_fail(f))
		failed("pread %s page %lu: %s", files[f].path, page,
		       n < 0 ? strerror(errno) : "short");
	if (files[f].kind == KEEP && n == (ssize_t)PAGE) {
		word = ++sh->count[me][f][page];
		if ((pwrite(files[f].fd, &word, 8, page * PAGE + 8 * (1 + me)) != 8 ||
		     pwrite(files[f].fd, &word, 8, page * PAGE + 8 * (SECOND - me)) != 8) &&
		    !gone_ok)
			failed("pwrite %s page %lu: %s", files[f].path, page, strerror(errno));
	}
	did(OP_PIO);
}

static void do_sync(struct window *w)
{
	unsigned long i = rnd(w->pages);

	if (rnd(2))
		msync(w->at + i * PAGE, (w->pages - i) * PAGE, MS_SYNC);
	else
		fdatasync(files[w->f].fd);
	did(OP_SYNC);
}

/* Truncate, punch or collapse, then fill what is missing with names again */
static void do_cut(void)
{
	unsigned int f = rnd(nr_files);
	unsigned long page = rnd(PAGES), n = 1 + rnd(PAGES - page), i;
	uint64_t name;

	if (files[f].kind != CUT)
		return;
	switch (rnd(4)) {
	case 0:
		if (ftruncate(files[f].fd, page * PAGE + (rnd(PAGE) & ~7UL)) ||
		    ftruncate(files[f].fd, PAGES * PAGE))
			failed("ftruncate %s: %s", files[f].path, strerror(errno));
		break;
	case 1:
		fallocate(files[f].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * PAGE,
			  n * PAGE);
		break;
	case 2:
		fallocate(files[f].fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, page * PAGE,
			  n * PAGE);
		break;
	default:
		fallocate(files[f].fd, 0, 0, PAGES * PAGE);
	}
	for (i = page; i < page + n && rnd(50); i++) {
		name = name_of(f, i);
		pwrite(files[f].fd, &name, 8, i * PAGE);
	}
	did(OP_CUT);
}

static void put(const char *path, const char *what)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, what, strlen(what)) < 0)
		fprintf(stderr, "daxstress: %s: %s\n", path, strerror(errno));
	close(fd);
}

/* A page of a file that has nothing else to do, by a process of its own: it is killed */
static void do_poison(void)
{
	unsigned long page = rnd(PAGES);
	unsigned int f;
	char *at;
	pid_t pid;

	for (f = 0; f < nr_files && files[f].kind != POISON; f++)
		;
	if (f == nr_files || __atomic_add_fetch(&sh->poisoned, 1, __ATOMIC_RELAXED) > 12)
		return;
	sh->bad[f][page] = 1;
	pid = fork();
	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, files[f].fd, 0);
		if (at != MAP_FAILED && *(volatile char *)(at + page * PAGE))
			madvise(at + page * PAGE, PAGE, MADV_HWPOISON);
		_exit(0);
	}
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	did(OP_POISON);
}

struct toucher {
	struct window *w;
	uint64_t seed;
};

static void *toucher(void *arg)
{
	struct toucher *t = arg;
	unsigned long i;

	rng = t->seed;
	for (i = 0; i < t->w->pages && !stopping(); i += 1 + rnd(8))
		touch_one(t->w, i, false);
	return NULL;
}

/* Another thread faults on the same mapping meanwhile */
static void do_thread(struct window *w)
{
	struct toucher t = { w, rnd(~0ULL) | 1 };
	pthread_t thread;
	unsigned long i;

	if (pthread_create(&thread, NULL, toucher, &t))
		return;
	for (i = 0; i < w->pages && !stopping(); i += 1 + rnd(8))
		touch_one(w, i, false);
	madvise(w->at, w->pages * PAGE, w->shared ? MADV_DONTNEED : MADV_NORMAL);
	pthread_join(thread, NULL);
	did(OP_THREAD);
}

static void work(unsigned int maps)
{
	struct window w;
	unsigned int i;

	for (; maps && !stopping(); maps--) {
		__atomic_fetch_add(&sh->rounds, 1, __ATOMIC_RELAXED);
		if (!map(&w))
			continue;
		for (i = 1 + rnd(6); i && !stopping(); i--) {
			touch(&w);
			switch (rnd(12)) {
			case 0:
				do_fork(&w);
				break;
			case 1:
				do_protect(&w);
				break;
			case 2:
				do_remap(&w);
				break;
			case 3:
				do_advise(&w);
				break;
			case 4:
				do_pin(&w);
				break;
			case 5:
				do_io();
				break;
			case 6:
				do_sync(&w);
				break;
			case 7:
				do_cut();
				break;
			case 8:
				do_thread(&w);
				break;
			}
		}
		unmap(&w);
		switch (rnd(60)) {
		case 0:
			put("/proc/sys/vm/drop_caches", "3");
			did(OP_DROP);
			break;
		case 1:
			put("/proc/sys/vm/compact_memory", "1");
			did(OP_COMPACT);
			break;
		case 2:
			do_poison();
			break;
		}
	}
}

static int add_file(const char *path, enum kind kind, bool make)
{
	struct file *file = &files[nr_files];
	unsigned long page;
	static uint64_t buf[WORDS];

	if (nr_files == MAX_FILES)
		return 0;
	file->kind = kind;
	snprintf(file->path, sizeof(file->path), "%s", path);
	file->fd = open(path, make ? O_RDWR | O_CREAT | O_TRUNC : O_RDWR, 0600);
	if (file->fd < 0 || (make && fallocate(file->fd, 0, 0, PAGES * PAGE))) {
		fprintf(stderr, "daxstress: %s: %s\n", path, strerror(errno));
		return -1;
	}
	for (page = 0; page < PAGES; page++) {
		memset(buf, 0, PAGE);
		buf[0] = name_of(nr_files, page);
		if (pwrite(file->fd, buf, PAGE, page * PAGE) != (ssize_t)PAGE) {
			fprintf(stderr, "daxstress: write %s: %s\n", path, strerror(errno));
			return -1;
		}
	}
	nr_files++;
	return 0;
}

static int find_files(const char *dir, bool make)
{
	char path[256];
	glob_t found;
	unsigned int i;
	int err = 0;

	if (make) {
		for (i = 0; i < 6 && !err; i++) {
			snprintf(path, sizeof(path), "%s/%s%u", dir,
				 i < 3	 ? "keep"
				 : i < 5 ? "cut"
					 : "poison",
				 i);
			err = add_file(path, i < 3 ? KEEP : i < 5 ? CUT : POISON, true);
		}
		return err;
	}
	snprintf(path, sizeof(path), "%s/*.keep", dir);
	if (!glob(path, 0, NULL, &found))
		for (i = 0; i < found.gl_pathc && !err; i++)
			err = add_file(found.gl_pathv[i], KEEP, false);
	globfree(&found);
	snprintf(path, sizeof(path), "%s/*.poison", dir);
	if (!err && !glob(path, 0, NULL, &found))
		for (i = 0; i < found.gl_pathc && !err; i++)
			err = add_file(found.gl_pathv[i], POISON, false);
	globfree(&found);
	if (!err && !nr_files) {
		fprintf(stderr, "daxstress: no *.keep in %s\n", dir);
		err = -1;
	}
	return err;
}

/* Every page, by read(2) and through a mapping: what everybody wrote is there */
static void compare(void)
{
	uint64_t *at, buf[WORDS];
	unsigned long page;
	unsigned int f, p;

	for (f = 0; f < nr_files; f++) {
		if (files[f].kind == POISON)
			continue;
		at = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, files[f].fd, 0);
		if (at == MAP_FAILED) {
			failed("mmap %s: %s", files[f].path, strerror(errno));
			return;
		}
		for (page = 0; page < PAGES; page++) {
			if (pread(files[f].fd, buf, PAGE, page * PAGE) != (ssize_t)PAGE ||
			    memcmp(buf, at + page * WORDS, PAGE))
				failed("%s page %lu: read(2) and mmap differ", files[f].path, page);
			for (p = 0; p < nr_procs; p++) {
				me = p;
				look(at + page * WORDS, f, page, "shared, at the end");
			}
		}
		munmap(at, PAGES * PAGE);
	}
}

int main(int argc, char **argv)
{
	const char *command = NULL;
	unsigned int i, maps = 100;
	uint64_t seed = 1;
	bool make = false;
	int c, status;

	while ((c = getopt(argc, argv, "n:j:r:tg:")) != -1) {
		switch (c) {
		case 'n':
			maps = atoi(optarg);
			break;
		case 'j':
			nr_procs = atoi(optarg);
			break;
		case 'r':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			make = true;
			break;
		case 'g':
			gone_ok = true;
			command = optarg;
			break;
		default:
			optind = argc;
			break;
		}
	}
	if (optind != argc - 1 || !maps || !nr_procs || nr_procs > MAX_PROCS) {
		fprintf(stderr,
			"usage: daxstress [-n MAPS] [-j PROCESSES] [-r SEED] [-t] [-g COMMAND] DIR\n");
		return 2;
	}

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED || find_files(argv[optind], make))
		return 1;
	signal(SIGBUS, on_bus);

	printf("seed %llu, %u processes, %u files, %u maps each\n", (unsigned long long)seed,
	       nr_procs, nr_files, maps);
	fflush(stdout);
	for (i = 0; i < nr_procs; i++) {
		if (fork())
			continue;
		me = i;
		rng = (seed + 1) * 0x9e3779b97f4a7c15ULL + i * 0xbf58476d1ce4e5b9ULL;
		work(maps);
		_exit(0);
	}

	if (command) {
		while (!stopping() &&
		       __atomic_load_n(&sh->rounds, __ATOMIC_RELAXED) < nr_procs * maps / 2)
			usleep(10000);
		status = system(command);
		if (status)
			failed("%s: status 0x%x", command, status);
	}
	for (i = 0; i < nr_procs; i++)
		if (wait(&status) > 0 && (!WIFEXITED(status) || WEXITSTATUS(status)))
			failed("a process ended with status 0x%x", status);

	if (!gone_ok)
		compare();
	for (i = 0; i < OPS; i++)
		printf("%s %llu%c", op_names[i], (unsigned long long)sh->ops[i],
		       i == OPS - 1 ? '\n' : ' ');
	return sh->failed;
}
