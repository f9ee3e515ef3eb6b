// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress: load on mapped files while something is done to what is below them. For files
 * of any server on fuse-iomap; attach is for the program of famfs.
 *
 *	stress fill KEY FILE		write the bytes that KEY stands for
 *	stress check KEY FILE		compare, by read(2)
 *	stress poison POS FILE		let the page there fail
 *	stress pin POS FILE		have a pipe hold the page there, until killed
 *	stress load SPEC...		threads, each KIND:KEY:FILE, until SIGTERM. Says
 *					"started" when all are at work, "failing" when
 *					each has met an error
 *	stress attach ...		see attach.c
 *
 * Exit: 0; 1 wrong bytes, or a thread that does not end; 2 it could not run.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "load.h"

#define PATIENCE 120 /* seconds that an access may take, where a machine is slow */

static bool all_at_work(const struct load *l)
{
	for (unsigned int i = 0; i < l->count; i++)
		if (l->thread[i].right < 10)
			return false;
	return true;
}

static bool all_failing(const struct load *l)
{
	for (unsigned int i = 0; i < l->count; i++)
		if (!l->thread[i].sigbus && !l->thread[i].failed)
			return false;
	return true;
}

static int load_main(int argc, char **argv)
{
	struct timespec tick = { .tv_nsec = 50000000 };
	static struct load l;
	struct load_sum sum;
	bool started = false, failing = false;
	unsigned int hung;
	sigset_t set;

	for (int i = 0; i < argc; i++) {
		if (load_parse(&l, argv[i])) {
			fprintf(stderr, "stress: what is '%s'?\n", argv[i]);
			return 2;
		}
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	load_open(&l);
	load_start(&l);
	while (sigtimedwait(&set, NULL, &tick) != SIGTERM) {
		if (!started && all_at_work(&l)) {
			puts("started");
			started = true;
		}
		if (!failing && all_failing(&l)) {
			puts("failing");
			failing = true;
		}
	}
	hung = load_stop(&l, PATIENCE);
	sum = load_sum(&l);
	load_print(&l);
	printf("right %lu\nsigbus %lu\nfailed %lu\nwrong %lu\nhung %u\n", sum.right, sum.sigbus,
	       sum.failed, sum.wrong, hung);
	fflush(stdout);
	_exit(sum.wrong || hung);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && !strcmp(argv[1], "fill"))
		return load_fill(strtoull(argv[2], NULL, 0), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "check"))
		return load_check(strtoull(argv[2], NULL, 0), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "poison"))
		return load_poison(strtoull(argv[2], NULL, 0), argv[3]);
	if (argc == 4 && !strcmp(argv[1], "pin"))
		return load_pin(strtoull(argv[2], NULL, 0), argv[3]);
	if (argc > 2 && !strcmp(argv[1], "load"))
		return load_main(argc - 2, argv + 2);
	if (argc > 2 && !strcmp(argv[1], "attach"))
		return attach_main(argc - 1, argv + 1);
	fprintf(stderr, "usage: stress fill|check KEY FILE | poison|pin POS FILE | load SPEC... |"
			" attach ...\n");
	return 2;
}
