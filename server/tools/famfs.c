// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs: the command line for famfs file systems. The command table is at the
 * end. Exit code: the command's, capped to 127; 1 without a command, 3 for an
 * unknown one.
 */
#include <getopt.h>
#include <string.h>

#include "commands.h"
#include "tool.h"

#define EXIT_NO_COMMAND	     1
#define EXIT_UNKNOWN_COMMAND 3

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "mkdir", "make directories in a mounted file system", famfs_cmd_mkdir },
	{ "creat", "make files in a mounted file system", famfs_cmd_creat },
	{ "verify", "compare files with the pattern that creat -r wrote", famfs_cmd_verify },
	{ "flush", "write files back from the CPU caches and drop them there", famfs_cmd_flush },
	{ "chkread", "compare a file as read with the same file as mapped", famfs_cmd_chkread },
	{ "fsck", "check a device or a mounted file system, read-only", famfs_cmd_fsck },
	{ "status", "what a mounted file system's server reports", famfs_cmd_status },
	{ "dev", "list devices, choose their driver", famfs_cmd_dev },
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

int commands_bad_option(char **argv, void (*print_usage)(FILE *out))
{
	if (tool_help_wanted(argv)) {
		print_usage(stdout);
		return 0;
	}
	fprintf(stderr, "Try '%s --help'.\n", tool_name());
	return EXIT_BAD_USAGE;
}

static void print_usage(FILE *out)
{
	fprintf(out, "Usage: famfs COMMAND [options] ...\n"
		     "       famfs COMMAND --help\n"
		     "\n"
		     "Commands:\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\nFile systems are made by mkfs.famfs(8) and mounted by mount -t famfs.\n");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int run_command(const struct command *c, int argc, char **argv)
{
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "famfs %s", c->name);
	tool_set_name(name);
	argv[0] = name; /* what getopt_long() starts its messages with */
	optind = 0; /* starts getopt_long() afresh on the command's own argv */
	rc = tool_exit_code(c->run(argc, argv));
	if (fflush(stdout) || ferror(stdout)) {
		tool_error("cannot write the output");
		rc = rc ? rc : 1;
	}
	return rc;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "dryrun", no_argument, NULL, 'n' }, /* known, and without effect, upstream too */
		{ NULL, 0, NULL, 0 },
	};
	char *help[] = { NULL, "--help", NULL };
	const struct command *command;
	bool want_help = false;
	int c;

	tool_init("famfs", 1);
	while ((c = getopt_long(argc, argv, "+hn?", options, NULL)) != -1) {
		if (c == '?')
			return commands_bad_option(argv, print_usage);
		if (c == 'h')
			want_help = true;
	}
	if (optind == argc) {
		print_usage(want_help ? stdout : stderr);
		return want_help ? 0 : EXIT_NO_COMMAND;
	}
	command = find_command(argv[optind]);
	if (!command) {
		tool_error("unknown command '%s', see famfs --help", argv[optind]);
		return EXIT_UNKNOWN_COMMAND;
	}
	if (want_help) {
		help[0] = argv[optind];
		return run_command(command, 2, help);
	}
	return run_command(command, argc - optind, argv + optind);
}
