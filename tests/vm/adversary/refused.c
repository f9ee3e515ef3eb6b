// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tries to load each program of refused.bpf.c, and checks what the kernel says. One
 * line per program: "ok - rule" or "not ok - rule: why". Exits with 1 if one was not ok.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "refused.skel.h"

#define LOG_SIZE	(1 << 20)

#define ONLY_RESULT	"may only write into its result"
#define NO_HELPER	"program of this type cannot use helper"

/* said: what the verifier's log must have; NULL: the program must load. */
static const struct {
	const char *program;
	const char *said;
} rules[] = {
	{ "store_past_out",		ONLY_RESULT },
	{ "store_across_the_end",	ONLY_RESULT },
	{ "store_before_out",		"invalid negative access" },
	{ "store_before_out_straddling", "invalid negative access" },
	{ "store_far_away",		ONLY_RESULT },
	{ "store_at_variable_offset",	"variable" },
	{ "store_into_arguments",	"invalid bpf_context access" },
	{ "store_to_an_address",	"invalid mem access 'scalar'" },
	{ "load_from_an_address",	"invalid mem access 'scalar'" },
	{ "atomic_past_out",		"access beyond struct fuse_iomap_io" },
	{ "helper_ktime",		NO_HELPER },
	{ "helper_map_update",		NO_HELPER },
	{ "helper_map_delete",		NO_HELPER },
	{ "helper_probe_read",		NO_HELPER },
	{ "helper_ringbuf",		NO_HELPER },
	{ "helper_spin_lock",		NO_HELPER },
	{ "helper_timer",		NO_HELPER },
	{ "helper_send_signal",		NO_HELPER },
	{ "helper_trace_printk",	NO_HELPER },
	{ "helper_loop",		NO_HELPER },
	{ "helper_copy_from_user",	NO_HELPER },
	{ "sleepable",			"unsupported member iomap_begin" },
	{ "endless_loop",		"infinite loop" },
	{ "array_unchecked",		"invalid mem access 'map_value_or_null'" },
	{ "array_out_of_bounds",	"Clamp or bounds-check" },
	{ "good_all_of_out",		NULL },
	{ "good_atomic_on_out",		NULL },
	{ "good_nothing",		NULL },
};

static bool verbose;

static int no_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return verbose ? vfprintf(stderr, fmt, ap) : 0;
}

/* Return: what loading gave; the log is the verifier's. */
static int try_program(const char *name, char *log)
{
	struct refused_bpf *skel = refused_bpf__open();
	struct bpf_program *prog;
	struct bpf_map *map;
	char ops[64];
	int err;

	if (!skel)
		return -errno;
	snprintf(ops, sizeof(ops), "%s_ops", name);
	bpf_object__for_each_map(map, skel->obj) if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
		bpf_map__set_autocreate(map, !strcmp(bpf_map__name(map), ops));
	bpf_object__for_each_program(prog, skel->obj)
	{
		bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), name));
		bpf_program__set_log_buf(prog, log, LOG_SIZE);
	}
	log[0] = '\0';
	err = refused_bpf__load(skel);
	refused_bpf__destroy(skel);
	return err;
}

static const char *last_lines(char *log)
{
	char *nl, *p = log + strlen(log);
	int lines = 4;

	while (p > log && lines) {
		p--;
		if (*p == '\n')
			lines--;
	}
	while ((nl = strchr(p, '\n')))
		*nl = '|';
	return p;
}

int main(int argc, char **argv)
{
	char *log = malloc(LOG_SIZE);
	int failed = 0;

	verbose = argc > 1 && !strcmp(argv[1], "-v");
	if (!log)
		return 1;
	libbpf_set_print(no_print);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		int err = try_program(rules[i].program, log);
		bool ok = rules[i].said ? err && strstr(log, rules[i].said) : !err;

		if (ok && rules[i].said)
			printf("ok - %s is refused at load\n", rules[i].program);
		else if (ok)
			printf("ok - %s loads\n", rules[i].program);
		else
			printf("not ok - %s: loading gave %s, expected %s%s; log: %s\n",
			       rules[i].program, err ? strerror(-err) : "success",
			       rules[i].said ? "a refusal with " : "success",
			       rules[i].said ? rules[i].said : "", last_lines(log));
		failed |= !ok;
	}
	free(log);
	return failed;
}
