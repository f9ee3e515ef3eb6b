/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Load on mapped files whose every byte is known: threads that fault, read and write, and
 * say of each access whether the bytes were right, it failed, or the bytes were wrong.
 */
#ifndef STRESS_LOAD_H
#define STRESS_LOAD_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOAD_PAGE    4096UL
#define LOAD_HUGE    0x200000UL
#define LOAD_WINDOW  (8 * LOAD_HUGE)
#define LOAD_TOUCHES 64 /* of one window */
#define LOAD_THREADS 16
#define LOAD_ERRNOS  134

enum load_kind {
	LOAD_MMAP_4K, /* one first touch of a 4 KiB page after the other */
	LOAD_MMAP_2M, /* the same where a 2 MiB page fits */
	LOAD_STORE_4K, /* stores what is there */
	LOAD_STORE_2M,
	LOAD_READ,
	LOAD_WRITE, /* writes what is there */
	LOAD_KINDS,
};

/**
 * struct load_thread - one thread's work and what came of it
 * @right:	accesses that gave the right bytes
 * @sigbus:	accesses that ended with SIGBUS
 * @failed:	system calls that failed
 * @wrong:	accesses that gave other bytes: must never be
 * @by_errno:	@failed by errno; a short count is [0]
 * @slowest_ms:	of all accesses
 */
struct load_thread {
	enum load_kind kind;
	const char *path;
	uint64_t key;
	pthread_t thread;
	bool is_running;
	int fd;
	uint64_t size;
	char *window; /* addresses, aligned to 2 MiB */
	char *at; /* what is mapped there, of the file from @from on */
	uint64_t from;
	unsigned int pages, first, touched; /* of the window */
	uint64_t seed;
	sigjmp_buf bus;
	atomic_ulong right, sigbus, failed, wrong;
	atomic_ulong started_ms; /* of the access under way; 0: none is */
	unsigned long by_errno[LOAD_ERRNOS];
	unsigned long slowest_ms;
	uint64_t wrong_pos, wrong_bytes;
};

struct load {
	struct load_thread thread[LOAD_THREADS];
	unsigned int count;
	atomic_bool stop;
};

/* What the 8 bytes at a multiple of 8 are. */
static inline uint64_t load_word(uint64_t key, uint64_t pos)
{
	uint64_t x = (key << 48) + pos;

	x *= 0x9e3779b97f4a7c15ULL;
	x ^= x >> 29;
	return x * 0xbf58476d1ce4e5b9ULL;
}

uint64_t load_now_ms(void);

/** load_parse() - add a thread: "KIND:KEY:FILE", KIND as in load_kind_names */
int load_parse(struct load *l, const char *spec);

extern const char *const load_kind_names[LOAD_KINDS];

/** load_open() - open the files; exits on failure */
void load_open(struct load *l);
void load_close(struct load *l);

/** load_start() - start the threads, and count from 0; exits on failure */
void load_start(struct load *l);

/**
 * load_stop() - let each thread finish the access it is at
 *
 * Return: how many did not within @seconds.
 */
unsigned int load_stop(struct load *l, unsigned int seconds);

struct load_sum {
	unsigned long right, sigbus, failed, wrong;
	unsigned long touched_4k, touched_2m, sigbus_4k, sigbus_2m;
};

/** load_sum() - over all threads; exact once they have stopped */
struct load_sum load_sum(const struct load *l);

/** load_print() - a line for each thread, each begins with "# " */
void load_print(const struct load *l);

/** load_poison() - the page of a file fails, as if the machine had found it broken */
int load_poison(uint64_t pos, const char *path);

/** load_pin() - a pipe has the page of a file, until it is killed; says "pinned" */
int load_pin(uint64_t pos, const char *path);

int load_fill(uint64_t key, const char *path);
int load_check(uint64_t key, const char *path);

#endif /* STRESS_LOAD_H */
