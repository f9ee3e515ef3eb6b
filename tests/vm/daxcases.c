// SPDX-License-Identifier: GPL-2.0-only
/*
 * daxcases: what the DAX tests of fstests look at, written anew, because Debian has no
 * package of them. The number is that of the test in fstests' generic group whose rule it is.
 *
 *	daxcases CASE DIR [OTHER]	OTHER: a directory that is not DAX, for "dio"
 *
 * dio (413)		copies between a DAX mapping and a file of another kind, by O_DIRECT too
 * stale-pmd (424)	what is written into a hole shows through a mapping of the hole's PMD
 * cow-race (437)	a private page keeps what was written while others fault it away
 * fallocate (438)	what is stored while blocks are allocated below is not lost
 * holes (340, 344, 346, 354)	threads store into a hole, each its own word of each page
 * collision (503)	punch, zero, collapse and truncate against stores and loads
 * read-only (452, 462)	a mapping that is not writable is not written to, by read(2) either
 * exec (452)		a program runs from a DAX file
 * sync			MAP_SYNC: what is stored is there after fsync, and in a second mapping
 * And what is not from there:
 * limits		pages that are mapped around another end with the file and with the mapping
 * reflink		clones: faults of both sizes, stores beside write(2), a page that a pipe has; flush
 * flush		what is dirty is flushed, although the file loses other pages before fsync(2)
 * poison		who maps the page that fails is told, be it in the midst of a large folio
 * soft-dirty		only pages that were stored to are told of, not what is mapped around them
 * write-protect	the same, told of by userfaultfd and PAGEMAP_SCAN; pages that are not there yet
 *
 * Exit: 0 as it should be; 1 not; 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>
#include <linux/userfaultfd.h>

#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif

/* Linux 6.7, newer than the headers of Debian 12 */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef PAGEMAP_SCAN
#define PAGE_IS_WRITTEN (1 << 1)
struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};
struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#define PAGE	4096UL
#define HUGE	0x200000UL
#define SIZE	(4 * HUGE)
#define PAGES	(SIZE / PAGE)
#define THREADS 4

static const char *dir, *other;
static int bad;

static void wrong(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void wrong(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	__atomic_store_n(&bad, 1, __ATOMIC_RELAXED);
}

static void die(const char *what)
{
	fprintf(stderr, "daxcases: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int make(const char *where, const char *name, int flags, off_t size, bool allocated)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", where, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | flags, 0700);
	if (fd < 0 || ftruncate(fd, size) || (allocated && posix_fallocate(fd, 0, size)))
		die(path);
	return fd;
}

/* A mapping whose address has the colour of the file, or that of @off more */
static char *map(int fd, int prot, int flags, unsigned long off)
{
	char *room = mmap(NULL, SIZE + 2 * HUGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at;

	if (room == MAP_FAILED)
		die("room");
	at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1)) + off;
	if (mmap(at, SIZE, prot, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
		die("mmap");
	return at;
}

static void fill(char *at, unsigned int seed)
{
	uint64_t *w = (uint64_t *)at;
	unsigned long i;

	for (i = 0; i < SIZE / 8; i++)
		w[i] = i * 0x9e3779b97f4a7c15ULL + seed;
}

static void same(const char *what, const char *a, const char *b)
{
	unsigned long i;

	if (!memcmp(a, b, SIZE))
		return;
	for (i = 0; i < SIZE && a[i] == b[i]; i++)
		;
	wrong("%s: differ at byte %lu", what, i);
}

static void copy(int to, int from, char *buf, bool by_read)
{
	unsigned long done = 0;
	ssize_t n;

	while (done < SIZE) {
		n = by_read ? pread(from, buf + done, SIZE - done, done)
			    : pwrite(to, buf + done, SIZE - done, done);
		if (n <= 0)
			die(by_read ? "read" : "write");
		done += n;
	}
}

static void case_dio(void)
{
	unsigned long off;
	int fd, plain, direct;
	char *at, *ref;

	for (off = 0; off <= PAGE; off += PAGE) {
		for (direct = 0; direct < 2; direct++) {
			fd = make(dir, "dio", 0, SIZE, true);
			plain = make(other, "dio", direct ? O_DIRECT : 0, SIZE, true);
			at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, off);
			ref = map(-1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
			fill(at, 1 + direct);
			/* from the mapping, which is pinned meanwhile, and back into it */
			copy(plain, -1, at, false);
			memset(at, 0, SIZE);
			copy(-1, plain, at, true);
			fill(ref, 1 + direct);
			same("by way of another file", at, ref);
			memset(ref, 0, SIZE);
			copy(-1, fd, ref, true);
			same("the file itself", at, ref);
			close(fd);
			close(plain);
		}
	}
}

static void case_stale_pmd(void)
{
	int fd = make(dir, "stale", 0, SIZE, false);
	char *at = map(fd, PROT_READ, MAP_SHARED, 0), *odd = map(fd, PROT_READ, MAP_SHARED, PAGE);
	unsigned long i, j;
	char byte;

	for (i = 0; i < PAGES; i += 7) {
		byte = 1 + i % 100;
		if (at[i * PAGE] || odd[i * PAGE])
			wrong("page %lu of a hole is not zero", i);
		if (pwrite(fd, &byte, 1, i * PAGE) != 1)
			die("pwrite");
		if (at[i * PAGE] != byte || odd[i * PAGE] != byte)
			wrong("page %lu: %d was written, %d and %d are mapped", i, byte,
			      at[i * PAGE], odd[i * PAGE]);
	}
	for (j = 0; j < PAGES; j++)
		if (at[j * PAGE] != (j % 7 ? 0 : (char)(1 + j % 100)))
			wrong("page %lu has %d at the end", j, at[j * PAGE]);
	close(fd);
}

static int stop;
static char *the_map;
static int the_fd;

static void *zapper(void *arg)
{
	unsigned long i;

	for (i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		/* Another page of the PMD is read and forgotten again */
		(void)*(volatile char *)(the_map + (HUGE + i * 16 * PAGE) % SIZE);
		madvise(the_map + HUGE, HUGE, MADV_DONTNEED);
	}
	return arg;
}

static void case_cow_race(void)
{
	unsigned int round;
	pthread_t thread;
	char *page;

	the_fd = make(dir, "cow", 0, SIZE, true);
	the_map = map(the_fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	page = the_map + 3 * PAGE;
	if (pthread_create(&thread, NULL, zapper, NULL))
		die("thread");
	for (round = 0; round < 400; round++) {
		(void)*(volatile char *)(page + PAGE);
		*(volatile char *)page = round | 1;
		if (*(volatile char *)page != (char)(round | 1))
			wrong("round %u: %d", round, *page);
		if (pread(the_fd, page + PAGE, 1, 3 * PAGE) != 1 || page[PAGE])
			wrong("round %u: the file has what is private", round);
		madvise(page, 2 * PAGE, MADV_DONTNEED);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

static void *allocator(void *arg)
{
	unsigned long i;

	for (i = 0; i < PAGES; i += 8)
		if (posix_fallocate(the_fd, i * PAGE, 8 * PAGE))
			wrong("posix_fallocate");
	return arg;
}

static void case_fallocate(void)
{
	unsigned long off, i;
	pthread_t thread;

	for (off = 0; off <= PAGE; off += PAGE) {
		the_fd = make(dir, "falloc", 0, SIZE, false);
		the_map = map(the_fd, PROT_READ | PROT_WRITE, MAP_SHARED, off);
		if (pthread_create(&thread, NULL, allocator, NULL))
			die("thread");
		for (i = 0; i < PAGES; i++)
			*(volatile uint64_t *)(the_map + i * PAGE) = i + 1;
		pthread_join(thread, NULL);
		for (i = 0; i < PAGES; i++)
			if (*(volatile uint64_t *)(the_map + i * PAGE) != i + 1)
				wrong("page %lu lost what was stored", i);
		close(the_fd);
	}
}

static void *holer(void *arg)
{
	unsigned long me = (unsigned long)arg, i;

	for (i = 0; i < PAGES; i++)
		((volatile uint64_t *)(the_map + i * PAGE))[me * 8] = i * THREADS + me + 1;
	return NULL;
}

static void case_holes(void)
{
	unsigned long off, i, t;
	pthread_t thread[THREADS];
	int allocated, fd;
	uint64_t *copy_of;

	for (allocated = 0; allocated < 2; allocated++) {
		for (off = 0; off <= PAGE; off += PAGE) {
			fd = make(dir, "holes", 0, SIZE, allocated);
			the_map = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, off);
			for (t = 0; t < THREADS; t++)
				if (pthread_create(&thread[t], NULL, holer, (void *)t))
					die("thread");
			for (t = 0; t < THREADS; t++)
				pthread_join(thread[t], NULL);
			copy_of = malloc(SIZE);
			if (!copy_of)
				die("malloc");
			copy(-1, fd, (char *)copy_of, true);
			for (i = 0; i < PAGES; i++)
				for (t = 0; t < THREADS; t++)
					if (copy_of[i * PAGE / 8 + t * 8] != i * THREADS + t + 1)
						wrong("page %lu word %lu: %llu", i, t,
						      (unsigned long long)
							      copy_of[i * PAGE / 8 + t * 8]);
			free(copy_of);
			close(fd);
		}
	}
}

static __thread sigjmp_buf jump;

static void on_bus(int sig)
{
	siglongjmp(jump, sig);
}

static void *collider(void *arg)
{
	volatile unsigned long i, n = (unsigned long)arg;
	volatile uint64_t *at;

	for (i = n; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i += 13) {
		at = (volatile uint64_t *)(the_map + i % PAGES * PAGE);
		if (sigsetjmp(jump, 1))
			continue; /* behind the end */
		if (i & 1)
			at[1 + n] = 0x600d600d600d600dULL;
		else if (at[1 + n] && at[1 + n] != 0x600d600d600d600dULL && at[1 + n] != ~0ULL)
			wrong("page %lu has %llx", i % PAGES, (unsigned long long)at[1 + n]);
	}
	return NULL;
}

static void case_collision(void)
{
	unsigned long off, i, page, n;
	pthread_t thread[THREADS];
	static char ones[PAGE];

	signal(SIGBUS, on_bus);
	memset(ones, 0xff, PAGE);
	for (off = 0; off <= PAGE; off += PAGE) {
		__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
		the_fd = make(dir, "collide", 0, SIZE, true);
		the_map = map(the_fd, PROT_READ | PROT_WRITE, MAP_SHARED, off);
		for (i = 0; i < THREADS; i++)
			if (pthread_create(&thread[i], NULL, collider, (void *)i))
				die("thread");
		for (i = 0; i < 100; i++) {
			page = i * 31 % PAGES;
			n = 1 + i * 7 % (PAGES - page);
			switch (i % 5) {
			case 0:
				fallocate(the_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  page * PAGE, n * PAGE);
				break;
			case 1:
				fallocate(the_fd, FALLOC_FL_ZERO_RANGE, page * PAGE, n * PAGE);
				break;
			case 2:
				fallocate(the_fd, FALLOC_FL_COLLAPSE_RANGE, page * PAGE,
					  n / 2 * PAGE);
				break;
			case 3:
				if (ftruncate(the_fd, page * PAGE))
					wrong("ftruncate: %s", strerror(errno));
				break;
			default:
				if (pwrite(the_fd, ones, PAGE, page * PAGE) != (ssize_t)PAGE)
					wrong("pwrite: %s", strerror(errno));
			}
			if (ftruncate(the_fd, SIZE))
				wrong("ftruncate: %s", strerror(errno));
		}
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
		for (i = 0; i < THREADS; i++)
			pthread_join(thread[i], NULL);
		close(the_fd);
	}
}

static void case_read_only(void)
{
	int fd = make(dir, "ro", 0, SIZE, true), from = make(other, "ro", 0, SIZE, true), ro;
	char path[512], *at;
	unsigned long off;

	snprintf(path, sizeof(path), "%s/ro", dir);
	ro = open(path, O_RDONLY);
	if (ro < 0)
		die(path);
	if (pwrite(from, "wrong", 5, 0) != 5 || pwrite(fd, "right", 5, 0) != 5)
		die("pwrite");
	for (off = 0; off <= PAGE; off += PAGE) {
		at = map(ro, PROT_READ, MAP_SHARED, off);
		/* once before and once after there is a page table entry */
		if (pread(from, at, PAGE, 0) >= 0 || errno != EFAULT)
			wrong("read(2) into a read-only mapping: %s", strerror(errno));
		if (memcmp(at, "right", 5))
			wrong("the data are '%.5s'", at);
		if (pread(from, at, PAGE, 0) >= 0 || errno != EFAULT)
			wrong("read(2) into a mapped read-only page: %s", strerror(errno));
		if (memcmp(at, "right", 5))
			wrong("the data became '%.5s'", at);
		if (!mprotect(at, PAGE, PROT_READ | PROT_WRITE) || errno != EACCES)
			wrong("mprotect: %s", strerror(errno));
	}
}

static void case_exec(void)
{
	char path[512], line[2048];
	int status;

	snprintf(path, sizeof(path), "%s/program", dir);
	snprintf(line, sizeof(line),
		 "cp /bin/echo '%s' && sync '%s' && test \"$('%s' it runs)\" = 'it runs'", path,
		 path, path);
	status = system(line); /* NOLINT */
	if (status)
		wrong("status 0x%x", status);
}

static void case_sync(void)
{
	unsigned long off, i;
	char *at, *second;
	uint64_t word;
	int fd;

	for (off = 0; off <= PAGE; off += PAGE) {
		fd = make(dir, "sync", 0, SIZE, false);
		at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, off);
		second = map(fd, PROT_READ, MAP_SHARED, PAGE - off);
		for (i = 0; i < PAGES; i++) {
			*(volatile uint64_t *)(at + i * PAGE) = i + 1;
			if (i % 64 == 63 && fsync(fd))
				die("fsync");
		}
		for (i = 0; i < PAGES; i++)
			if (pread(fd, &word, 8, i * PAGE) != 8 || word != i + 1 ||
			    *(volatile uint64_t *)(second + i * PAGE) != i + 1)
				wrong("page %lu", i);
		close(fd);
	}
}

static int pagemap(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("/proc/self/pagemap");
	return fd;
}

/* The kernel's own view of a page, which does not fault */
static uint64_t pagemap_entry(const char *at)
{
	uint64_t entry;

	if (pread(pagemap(), &entry, 8, (off_t)((uintptr_t)at / PAGE * 8)) != 8)
		die("pagemap");
	return entry;
}

/* Is something mapped there? */
static bool present(const char *at)
{
	return pagemap_entry(at) >> 63;
}

/* The first @size bytes of a file in a window of @len bytes, touched in sequence */
static void window(int fd, const char *want, off_t size, unsigned long len, bool store, int advice)
{
	const unsigned long all = (size + PAGE - 1) / PAGE;
	const unsigned long pages = all < len / PAGE ? all : len / PAGE;
	unsigned long i;
	char *room, *at;

	room = mmap(NULL, len + 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
	if (room == MAP_FAILED)
		die("room");
	/* Never of the file's colour, never at the end of a page table */
	at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1)) + PAGE;
	if (mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		die("mmap");
	if (advice && madvise(at, len, advice))
		die("madvise");
	for (i = 0; i < pages; i++) {
		unsigned long here = size - i * PAGE < PAGE ? size - i * PAGE : PAGE;

		if (store)
			((volatile char *)at)[i * PAGE] = want[i * PAGE];
		if (memcmp(at + i * PAGE, want + i * PAGE, here))
			wrong("size %ld, window %lu: page %lu", (long)size, len, i);
		if (!store && here < PAGE && at[i * PAGE + here])
			wrong("size %ld: there is something behind the end", (long)size);
	}
	for (; i < len / PAGE; i++)
		if (present(at + i * PAGE))
			wrong("size %ld, window %lu: page %lu is mapped", (long)size, len, i);
	if (present(at - PAGE) || present(at + len))
		wrong("size %ld, window %lu: a neighbour is mapped", (long)size, len);
	if (pages < len / PAGE) {
		if (!sigsetjmp(jump, 1)) {
			(void)*(volatile char *)(at + pages * PAGE);
			wrong("size %ld: no SIGBUS behind the end", (long)size);
		}
	}
	munmap(room, len + 2 * HUGE);
}

static void case_limits(void)
{
	static const off_t sizes[] = { 1,
				       PAGE - 1,
				       PAGE + 1,
				       15 * PAGE + 7,
				       16 * PAGE,
				       HUGE - PAGE,
				       HUGE - 1,
				       HUGE + 1,
				       HUGE + 17 * PAGE + 123,
				       2 * HUGE,
				       3 * HUGE - 5 * PAGE };
	static const unsigned long windows[] = { PAGE, 3 * PAGE, 17 * PAGE, HUGE - PAGE, SIZE };
	static const int advice[] = { 0, MADV_RANDOM, MADV_SEQUENTIAL };
	char *want = malloc(SIZE);
	unsigned long i, w, a;

	signal(SIGBUS, on_bus);
	if (!want)
		die("malloc");
	fill(want, 7);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (w = 0; w < sizeof(windows) / sizeof(*windows); w++)
			for (a = 0; a < 2 * sizeof(advice) / sizeof(*advice); a++) {
				/* A new file: only its first touch makes entries */
				int fd = make(dir, "limits", 0, sizes[i], true);

				if (pwrite(fd, want, sizes[i], 0) != sizes[i])
					die("pwrite");
				window(fd, want, sizes[i], windows[w], a & 1, advice[a / 2]);
				close(fd);
			}
	free(want);
}

static void check_file(const char *what, int fd, const char *want)
{
	char *found = malloc(SIZE);

	if (!found)
		die("malloc");
	copy(-1, fd, found, true);
	same(what, found, want);
	free(found);
}

#define TRACING "/sys/kernel/tracing"

static void tracing(const char *file, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), TRACING "/%s", file);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path);
	close(fd);
}

/* How often the entry that begins at page @first was flushed since the trace began */
static int flushes(int fd, unsigned long first)
{
	char line[512], want[96];
	struct stat st;
	FILE *f = fopen(TRACING "/trace", "r");
	int n = 0;

	if (!f || fstat(fd, &st))
		die("trace");
	snprintf(want, sizeof(want), "ino %#lx pgoff %#lx ", (unsigned long)st.st_ino, first);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "dax_writeback_one:") && strstr(line, want);
	fclose(f);
	return n;
}

/* The last 2 MiB go, one way or another; a store to the second stays dirty until it is flushed */
static void flush_beside(const char *what, int (*lose)(int fd))
{
	int fd = make(dir, what, 0, SIZE, true);
	char *want = malloc(SIZE), *at;

	if (!want)
		die("malloc");
	fill(want, 5);
	copy(fd, -1, want, false);
	at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	tracing("events/fs_dax/dax_writeback_one/enable", "1");
	tracing("trace", "\n");
	*(volatile char *)(at + HUGE + 300 * PAGE) = 'z';
	want[HUGE + 300 * PAGE] = 'z';
	if (flushes(fd, HUGE / PAGE))
		wrong("%s: flushed by a store", what);
	if (lose(fd))
		die(what);
	if (fsync(fd))
		die("fsync");
	if (!flushes(fd, HUGE / PAGE))
		wrong("%s: what is dirty beside it was not flushed", what);
	tracing("events/fs_dax/dax_writeback_one/enable", "0");
	if (memcmp(at, want, SIZE - HUGE))
		wrong("%s: other bytes", what);
	munmap(at, SIZE);
	close(fd);
	free(want);
}

static int lose_punch(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SIZE - HUGE, HUGE);
}

static int lose_truncate(int fd)
{
	return ftruncate(fd, SIZE - HUGE);
}

static int lose_clone(int fd)
{
	int piece = make(dir, "piece", 0, 0, false), err;
	struct file_clone_range one = { .src_fd = fd,
					.src_offset = SIZE - HUGE,
					.src_length = HUGE };

	err = ioctl(piece, FICLONERANGE, &one);
	close(piece);
	return err;
}

static char *clone_want;

/* The odd pages of the second half, by write(2) */
static void *clone_writer(void *arg)
{
	static char page[PAGE];
	unsigned long i;

	(void)arg;
	memset(page, 'w', PAGE);
	for (i = PAGES / 2 + 1; i < PAGES; i += 2) {
		if (pwrite(the_fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			wrong("pwrite: %s", strerror(errno));
		memcpy(clone_want + i * PAGE, page, PAGE);
	}
	return NULL;
}

static int clone_of(int fd, const char *name)
{
	int clone = make(dir, name, 0, 0, false);

	if (ioctl(clone, FICLONE, fd))
		die("FICLONE");
	return clone;
}

/* In at most @most tenths of a second */
static bool child_ends(pid_t pid, int most, int *status)
{
	for (; most; most--) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		usleep(100000);
	}
	return false;
}

/* A process reads from a pipe into the very page that it gave to the pipe */
static void clone_pinned(int fd)
{
	int clone = clone_of(fd, "pinned"), ends[2], status;
	char *at = map(clone, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE);
	struct iovec page = { at, PAGE };
	pid_t pid;

	if (pipe(ends))
		die("pipe");
	(void)*(volatile char *)at;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		if (vmsplice(ends[1], &page, 1, 0) != (ssize_t)PAGE)
			_exit(1);
		_exit(read(ends[0], at, PAGE) == (ssize_t)PAGE ? 0 : 3);
	}
	usleep(500000);
	kill(pid, SIGKILL);
	if (!child_ends(pid, 300, &status))
		wrong("cannot be killed");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		wrong("vmsplice");
	close(ends[0]);
	close(ends[1]);
	close(clone);
}

static void give_to_pipe(int end, char *at)
{
	struct iovec page = { at, PAGE };

	if (vmsplice(end, &page, 1, 0) != (ssize_t)PAGE)
		die("vmsplice");
}

/* A page of a clone; the process ends with 0 when that is done */
static pid_t store_by_child(int fd, unsigned long page, char *at, char with)
{
	static char bytes[PAGE];
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	memset(bytes, with, PAGE);
	if (at)
		memset(at + page * PAGE, with, PAGE);
	else if (pwrite(fd, bytes, PAGE, page * PAGE) != (ssize_t)PAGE)
		_exit(1);
	_exit(0);
}

/* What a pipe has stays what it is, although write(2) copies the page; until then that waits */
static void clone_pinned_write(int fd)
{
	int clone = clone_of(fd, "pinned-write"), ends[2], status;
	char *at = map(clone, PROT_READ | PROT_WRITE, MAP_SHARED, 0), *want = malloc(SIZE);
	char got[PAGE];
	pid_t pid;

	if (!want || pipe(ends))
		die("pipe");
	memcpy(want, at, SIZE);
	give_to_pipe(ends[1], at + 5 * PAGE);

	pid = store_by_child(clone, 5, NULL, 'k');
	if (child_ends(pid, 5, &status))
		wrong("write(2) took a page from under a pipe");
	kill(pid, SIGKILL);
	if (!child_ends(pid, 300, &status))
		wrong("a write(2) that waits cannot be killed");

	pid = store_by_child(clone, 5, NULL, 'w');
	usleep(300000);
	if (read(ends[0], got, PAGE) != (ssize_t)PAGE || memcmp(got, want + 5 * PAGE, PAGE))
		wrong("the pipe has other bytes");
	if (!child_ends(pid, 300, &status) || status)
		wrong("write(2) did not go on");
	memset(want + 5 * PAGE, 'w', PAGE);
	same("written to beside a pipe", at, want);
	check_file("written to beside a pipe, by read(2)", clone, want);
	close(ends[0]);
	close(ends[1]);
	munmap(at, SIZE);
	close(clone);
	free(want);
}

/* That the other file's page is in a pipe is no reason to wait: it keeps it */
static void clone_pinned_other(int fd)
{
	int clone = clone_of(fd, "pinned-other"), ends[2], status;
	char *at = map(clone, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	char *other_at = map(fd, PROT_READ, MAP_SHARED, 0), *want = malloc(SIZE);
	char got[PAGE];
	pid_t pid;

	if (!want || pipe(ends))
		die("pipe");
	memcpy(want, at, SIZE);
	same("both", at, other_at);
	give_to_pipe(ends[1], other_at + 7 * PAGE);
	pid = store_by_child(clone, 7, at, 's');
	if (!child_ends(pid, 100, &status)) {
		wrong("a store waits for a pipe that has another file's page");
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	if (read(ends[0], got, PAGE) != (ssize_t)PAGE || memcmp(got, want + 7 * PAGE, PAGE))
		wrong("the pipe has other bytes");
	same("the other file", other_at, want);
	memset(want + 7 * PAGE, 's', PAGE);
	same("stored to", at, want);
	close(ends[0]);
	close(ends[1]);
	munmap(at, SIZE);
	munmap(other_at, SIZE);
	close(clone);
	free(want);
}

static void case_reflink(void)
{
	int fd = make(dir, "original", 0, SIZE, true);
	char *original = malloc(SIZE), *whole, *paged;
	pthread_t writer;
	unsigned long i;

	clone_want = malloc(SIZE);
	if (!original || !clone_want)
		die("malloc");
	fill(original, 3);
	copy(fd, -1, original, false);
	memcpy(clone_want, original, SIZE);
	the_fd = clone_of(fd, "clone");
	whole = map(the_fd, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	same("clone, as cloned", whole, original);

	/* One page of a large entry: the others stay what they are */
	paged = map(the_fd, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE);
	for (i = 5; i < PAGES / 2; i += 600) {
		*(volatile char *)(paged + i * PAGE) = 'x';
		clone_want[i * PAGE] = 'x';
	}
	same("clone, by the large mapping", whole, clone_want);
	same("clone, by the other", paged, clone_want);

	if (pthread_create(&writer, NULL, clone_writer, NULL))
		die("thread");
	for (i = PAGES / 2; i < PAGES; i += 2) {
		*(volatile char *)(paged + i * PAGE + 1) = 'y';
		clone_want[i * PAGE + 1] = 'y';
	}
	pthread_join(writer, NULL);
	if (fsync(the_fd))
		die("fsync");
	same("clone, stored and written to", paged, clone_want);
	check_file("clone, by read(2)", the_fd, clone_want);
	check_file("original", fd, original);
	clone_pinned(fd);
	clone_pinned_write(fd);
	clone_pinned_other(fd);
	check_file("original, in the end", fd, original);
	flush_beside("clone", lose_clone);
	free(original);
	free(clone_want);
}

static void case_flush(void)
{
	flush_beside("punch", lose_punch);
	flush_beside("truncate", lose_truncate);
}

static char *poisoned;

static void on_poison(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	/* 4: BUS_MCEERR_AR, 5: BUS_MCEERR_AO */
	_exit((info->si_code == 4 || info->si_code == 5) && info->si_addr == (void *)poisoned &&
			      info->si_addr_lsb == 12
		      ? 0
		      : 3);
}

static void case_poison(void)
{
	struct sigaction sa = { .sa_sigaction = on_poison, .sa_flags = SA_SIGINFO };
	int fd = make(dir, "poisoned", 0, SIZE, true), status;
	char *want = malloc(SIZE), *at;
	pid_t pid;

	if (!want)
		die("malloc");
	fill(want, 9);
	copy(fd, -1, want, false);
	/* A large entry, of which only the second half is mapped, and by pages */
	at = map(fd, PROT_READ, MAP_SHARED, 0);
	same("before", at, want);
	munmap(at, SIZE);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		at = mmap(NULL, HUGE / 2, PROT_READ | PROT_WRITE, MAP_SHARED, fd, HUGE / 2);
		if (at == MAP_FAILED)
			_exit(1);
		poisoned = at + 44 * PAGE;
		(void)*(volatile char *)poisoned;
		sigaction(SIGBUS, &sa, NULL);
		if (madvise(poisoned, PAGE, MADV_HWPOISON))
			_exit(1);
		_exit(4);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		wrong("status 0x%x", status);
	else if (WEXITSTATUS(status))
		wrong("%s", WEXITSTATUS(status) == 4   ? "nobody was told"
			    : WEXITSTATUS(status) == 3 ? "told of something else"
						       : "it could not be tried");
	free(want);
	close(fd);
}

/* Ask to be told of the pages of a mapping that are written to from now on */
static void soft_dirty_begin(char *at)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	(void)at;
	if (fd < 0 || write(fd, "4", 1) != 1)
		die("clear_refs");
	close(fd);
}

static bool soft_dirty(const char *at)
{
	return pagemap_entry(at) >> 55 & 1;
}

static void write_protect_begin(char *at)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC };
	struct uffdio_register all = { .range = { .start = (uintptr_t)at, .len = SIZE },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect wp = { .range = all.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	/* It stays open: closing it is the end of being told */
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &all) ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		die("userfaultfd");
}

static bool write_protect_ended(const char *at)
{
	struct page_region region;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)at,
		.end = (uintptr_t)at + PAGE,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int n = ioctl(pagemap(), PAGEMAP_SCAN, &scan);

	if (n < 0)
		die("PAGEMAP_SCAN");
	return n;
}

static bool stored_to(unsigned long i)
{
	return i == 3 || (i >= 10 && i < 30) || (i >= 600 && i < 640) || i == PAGES - 1;
}

/* Who is told which pages are written to is told of no others, such as are mapped around them */
static void written(unsigned long off, void (*begin)(char *at), bool (*is_written)(const char *at))
{
	int fd = make(dir, "written", 0, SIZE, true), others = 0;
	char *want = malloc(SIZE), *at;
	unsigned long i;

	if (!want)
		die("malloc");
	fill(want, 3);
	copy(fd, -1, want, false);
	at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, off);
	for (i = 0; i < 64; i++)
		if (at[i * PAGE] != want[i * PAGE])
			wrong("page %lu: other bytes", i);
	begin(at);
	for (i = 0; i < PAGES; i++) {
		if (!stored_to(i))
			continue;
		want[i * PAGE + 8] ^= 1;
		((volatile char *)at)[i * PAGE + 8] ^= 1;
	}
	/* What was never there is read, too, in sequence */
	for (i = 700; i < 800; i++)
		if (at[i * PAGE] != want[i * PAGE])
			wrong("page %lu: other bytes", i);
	for (i = 0; i < PAGES; i++)
		if (is_written(at + i * PAGE) != stored_to(i) && ++others < 5)
			wrong("offset %lu: page %lu is told of as %swritten to", off, i,
			      stored_to(i) ? "not " : "");
	same("read by mmap", at, want);
	check_file("read by read", fd, want);
	munmap(at, SIZE);
	close(fd);
	free(want);
}

static void case_soft_dirty(void)
{
	/* A large page would be dirty as a whole */
	written(PAGE, soft_dirty_begin, soft_dirty);
}

static void case_write_protect(void)
{
	/* A fault that is tried again and again ends here */
	alarm(120);
	written(PAGE, write_protect_begin, write_protect_ended);
	written(0, write_protect_begin, write_protect_ended);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "dio", case_dio },
	{ "stale-pmd", case_stale_pmd },
	{ "cow-race", case_cow_race },
	{ "fallocate", case_fallocate },
	{ "holes", case_holes },
	{ "collision", case_collision },
	{ "read-only", case_read_only },
	{ "exec", case_exec },
	{ "sync", case_sync },
	{ "limits", case_limits },
	{ "reflink", case_reflink },
	{ "flush", case_flush },
	{ "poison", case_poison },
	{ "soft-dirty", case_soft_dirty },
	{ "write-protect", case_write_protect },
};

int main(int argc, char **argv)
{
	unsigned int i;

	for (i = 0; argc >= 3 && i < sizeof(cases) / sizeof(*cases); i++) {
		if (strcmp(argv[1], cases[i].name))
			continue;
		dir = argv[2];
		other = argc > 3 ? argv[3] : argv[2];
		cases[i].run();
		return bad;
	}
	fprintf(stderr, "usage: daxcases CASE DIR [OTHER]\n");
	return 2;
}
