// SPDX-License-Identifier: GPL-2.0-only
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 0x100000UL

const char *const load_kind_names[LOAD_KINDS] = {
	[LOAD_MMAP_4K] = "mmap4k",   [LOAD_MMAP_2M] = "mmap2m", [LOAD_STORE_4K] = "store4k",
	[LOAD_STORE_2M] = "store2m", [LOAD_READ] = "read",	[LOAD_WRITE] = "write",
};

static __thread struct load_thread *self;
static __thread volatile sig_atomic_t is_armed;

static void die(const char *what)
{
	fprintf(stderr, "stress: %s: %s\n", what, strerror(errno));
	exit(2);
}

uint64_t load_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Memory that failed is told of at any time, and then again to whoever touches it. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (is_armed && info->si_code != BUS_MCEERR_AO) {
		is_armed = 0;
		siglongjmp(self->bus, 1);
	}
	if (info->si_code != BUS_MCEERR_AO)
		signal(SIGBUS, SIG_DFL);
}

static bool is_huge(enum load_kind kind)
{
	return kind == LOAD_MMAP_2M || kind == LOAD_STORE_2M;
}

static bool is_mmap(enum load_kind kind)
{
	return kind != LOAD_READ && kind != LOAD_WRITE;
}

static uint64_t draw(struct load_thread *t, uint64_t n)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return t->seed % n;
}

static void failed(struct load_thread *t, int err)
{
	t->failed++;
	t->by_errno[err < LOAD_ERRNOS ? err : LOAD_ERRNOS - 1]++;
}

static void compare(struct load_thread *t, uint64_t pos, uint64_t found)
{
	if (found == load_word(t->key, pos)) {
		t->right++;
		return;
	}
	t->wrong_pos = pos;
	t->wrong_bytes = found;
	t->wrong++;
}

/*
 * A window of the file, of the colour that 2 MiB pages need, or just not. Each page of it is
 * touched once, so that each touch is exactly one fault, until there is a new one: what is
 * unmapped has to be forgotten by all CPUs, which takes long where a VM gets little of them.
 */
static bool map_window(struct load_thread *t)
{
	uint64_t size = is_huge(t->kind) ? LOAD_WINDOW : LOAD_HUGE;
	char *at = t->window + (is_huge(t->kind) ? 0 : LOAD_PAGE);

	if (size > t->size)
		size = t->size;
	t->pages = (unsigned int)(size / (is_huge(t->kind) ? LOAD_HUGE : LOAD_PAGE));
	t->touched = 0;
	t->first = (unsigned int)draw(t, t->pages);
	t->from = draw(t, (t->size - size) / LOAD_HUGE + 1) * LOAD_HUGE;
	t->at = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, t->fd,
		     (off_t)t->from);
	if (t->at == MAP_FAILED) {
		failed(t, errno);
		t->at = NULL;
		return false;
	}
	/* No page but the one asked for */
	if (madvise(t->at, size, MADV_RANDOM))
		die("MADV_RANDOM");
	return true;
}

static void access_mmap(struct load_thread *t)
{
	uint64_t page = is_huge(t->kind) ? LOAD_HUGE : LOAD_PAGE, place, pos, found;
	volatile uint64_t *p;

	if ((!t->at || t->touched == t->pages || t->touched == LOAD_TOUCHES) && !map_window(t))
		return;
	/* 7 has no divisor in common with powers of two */
	place = (t->first + t->touched++ * 7) % t->pages * page + draw(t, page / 8) * 8;
	pos = t->from + place;
	p = (volatile uint64_t *)(t->at + place);
	if (sigsetjmp(t->bus, 0)) {
		t->sigbus++;
	} else if (t->kind == LOAD_STORE_4K || t->kind == LOAD_STORE_2M) {
		is_armed = 1;
		*p = load_word(t->key, pos);
		/* The file's content is found by others; this is what it says now */
		found = *p;
		is_armed = 0;
		compare(t, pos, found);
	} else {
		is_armed = 1;
		found = *p;
		is_armed = 0;
		compare(t, pos, found);
	}
}

static void access_call(struct load_thread *t)
{
	uint64_t words[512], pos = draw(t, t->size / sizeof(words)) * sizeof(words);
	ssize_t n;

	if (t->kind == LOAD_WRITE) {
		for (unsigned int i = 0; i < 512; i++)
			words[i] = load_word(t->key, pos + 8 * i);
		n = pwrite(t->fd, words, sizeof(words), (off_t)pos);
	} else {
		memset(words, 0, sizeof(words));
		n = pread(t->fd, words, sizeof(words), (off_t)pos);
	}
	if (n != sizeof(words)) {
		failed(t, n < 0 ? errno : 0);
		return;
	}
	for (unsigned int i = 0; i < 512; i++) {
		if (words[i] != load_word(t->key, pos + 8 * i) || i == 511) {
			compare(t, pos + 8 * i, words[i]);
			break;
		}
	}
}

struct start {
	struct load *load;
	struct load_thread *thread;
};

static void *load_main(void *arg)
{
	struct start start = *(struct start *)arg;
	struct load_thread *t = start.thread;

	free(arg);
	self = t;
	while (!start.load->stop) {
		uint64_t began = load_now_ms(), ms;

		t->started_ms = began;
		if (is_mmap(t->kind))
			access_mmap(t);
		else
			access_call(t);
		t->started_ms = 0;
		ms = load_now_ms() - began;
		if (ms > t->slowest_ms)
			t->slowest_ms = ms;
	}
	return NULL;
}

int load_parse(struct load *l, const char *spec)
{
	struct load_thread *t = &l->thread[l->count];
	const char *colon = strchr(spec, ':');
	char *end;

	if (l->count == LOAD_THREADS || !colon)
		return -EINVAL;
	for (int i = 0; i < LOAD_KINDS; i++) {
		if (strlen(load_kind_names[i]) == (size_t)(colon - spec) &&
		    !strncmp(spec, load_kind_names[i], (size_t)(colon - spec))) {
			t->kind = (enum load_kind)i;
			t->key = strtoull(colon + 1, &end, 0);
			t->path = end + 1;
			t->seed = 0x9e3779b97f4a7c15ULL * (l->count + 1);
			if (*end != ':')
				return -EINVAL;
			l->count++;
			return 0;
		}
	}
	return -EINVAL;
}

void load_open(struct load *l)
{
	for (unsigned int i = 0; i < l->count; i++) {
		struct load_thread *t = &l->thread[i];
		struct stat st;
		char *p;

		t->fd = open(t->path, O_RDWR | O_CLOEXEC);
		if (t->fd < 0 || fstat(t->fd, &st))
			die(t->path);
		t->size = (uint64_t)st.st_size;
		p = mmap(NULL, LOAD_WINDOW + 2 * LOAD_HUGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (p == MAP_FAILED)
			die("mmap");
		t->window = p + (LOAD_HUGE - (uintptr_t)p % LOAD_HUGE) % LOAD_HUGE;
	}
}

void load_close(struct load *l)
{
	for (unsigned int i = 0; i < l->count; i++) {
		munmap(l->thread[i].window, LOAD_WINDOW + LOAD_PAGE);
		close(l->thread[i].fd);
	}
}

void load_start(struct load *l)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_NODEFER | SA_SIGINFO };

	sigaction(SIGBUS, &sa, NULL);
	l->stop = false;
	for (unsigned int i = 0; i < l->count; i++) {
		struct load_thread *t = &l->thread[i];
		struct start *start = malloc(sizeof(*start));

		if (!start)
			die("malloc");
		t->right = t->sigbus = t->failed = t->wrong = 0;
		memset(t->by_errno, 0, sizeof(t->by_errno));
		t->slowest_ms = 0;
		t->at = NULL;
		*start = (struct start){ l, t };
		errno = pthread_create(&t->thread, NULL, load_main, start);
		if (errno)
			die("pthread_create");
		t->is_running = true;
	}
}

unsigned int load_stop(struct load *l, unsigned int seconds)
{
	struct timespec until;
	unsigned int hung = 0;

	l->stop = true;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	for (unsigned int i = 0; i < l->count; i++) {
		struct load_thread *t = &l->thread[i];

		if (!t->is_running)
			continue;
		if (pthread_timedjoin_np(t->thread, NULL, &until)) {
			hung++;
			continue;
		}
		t->is_running = false;
	}
	return hung;
}

struct load_sum load_sum(const struct load *l)
{
	struct load_sum sum = { 0 };

	for (unsigned int i = 0; i < l->count; i++) {
		const struct load_thread *t = &l->thread[i];
		unsigned long touched = t->right + t->sigbus + t->wrong;

		sum.right += t->right;
		sum.sigbus += t->sigbus;
		sum.failed += t->failed;
		sum.wrong += t->wrong;
		if (!is_mmap(t->kind))
			continue;
		*(is_huge(t->kind) ? &sum.touched_2m : &sum.touched_4k) += touched;
		*(is_huge(t->kind) ? &sum.sigbus_2m : &sum.sigbus_4k) += t->sigbus;
	}
	return sum;
}

void load_print(const struct load *l)
{
	for (unsigned int i = 0; i < l->count; i++) {
		const struct load_thread *t = &l->thread[i];

		printf("# %s %s: %lu right, %lu SIGBUS, %lu failed", load_kind_names[t->kind],
		       t->path, t->right, t->sigbus, t->failed);
		for (int e = 0; e < LOAD_ERRNOS; e++)
			if (t->by_errno[e])
				printf(" (%s %lu)", e ? strerrorname_np(e) : "short",
				       t->by_errno[e]);
		printf(", %lu wrong, slowest %lu ms%s\n", t->wrong, t->slowest_ms,
		       t->is_running ? ", HUNG" : "");
		if (t->wrong)
			printf("# at %llu: found %llx, wanted %llx\n",
			       (unsigned long long)t->wrong_pos, (unsigned long long)t->wrong_bytes,
			       (unsigned long long)load_word(t->key, t->wrong_pos));
	}
}

/* Whole buffers: sizes are multiples of 8 */
static int each_buffer(uint64_t key, const char *path, bool write)
{
	uint64_t *want = malloc(BUFFER), *found = malloc(BUFFER);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (!want || !found || fd < 0 || fstat(fd, &st))
		die(path);
	for (uint64_t pos = 0; pos < (uint64_t)st.st_size; pos += BUFFER) {
		uint64_t left = (uint64_t)st.st_size - pos, n = left < BUFFER ? left : BUFFER;
		ssize_t got;

		for (uint64_t i = 0; i < n / 8; i++)
			want[i] = load_word(key, pos + 8 * i);
		got = write ? pwrite(fd, want, n, (off_t)pos) : pread(fd, found, n, (off_t)pos);
		if (got != (ssize_t)n)
			die(path);
		if (!write && memcmp(want, found, n)) {
			fprintf(stderr, "stress: %s: wrong bytes from %llu on\n", path,
				(unsigned long long)pos);
			return 1;
		}
	}
	close(fd);
	free(want);
	free(found);
	return 0;
}

static void was_told(int sig)
{
	(void)sig;
	_exit(0);
}

int load_poison(uint64_t pos, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	volatile char *p;

	if (fd < 0)
		die(path);
	p = mmap(NULL, LOAD_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)pos);
	if (p == MAP_FAILED)
		die("mmap");
	(void)*p;
	/* Whoever maps it is told by SIGBUS: us, too, and that cannot be ignored */
	signal(SIGBUS, was_told);
	if (madvise((void *)p, LOAD_PAGE, MADV_HWPOISON))
		die("MADV_HWPOISON");
	return 0;
}

int load_pin(uint64_t pos, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), ends[2];
	struct iovec page = { .iov_len = LOAD_PAGE };

	if (fd < 0)
		die(path);
	page.iov_base = mmap(NULL, LOAD_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)pos);
	if (page.iov_base == MAP_FAILED)
		die("mmap");
	if (pipe(ends) || vmsplice(ends[1], &page, 1, 0) != (ssize_t)LOAD_PAGE)
		die("vmsplice");
	munmap(page.iov_base, LOAD_PAGE);
	close(fd);
	puts("pinned");
	fflush(stdout);
	pause();
	return 0;
}

int load_fill(uint64_t key, const char *path)
{
	return each_buffer(key, path, true);
}

int load_check(uint64_t key, const char *path)
{
	return each_buffer(key, path, false);
}
