// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs status: what the server of a mounted file system says of itself, as the
 * JSON that it sends. Its keys are described in docs/operations.md.
 */
#include <getopt.h>
#include <string.h>

#include "../lib/ctl.h"
#include "commands.h"
#include "target.h"
#include "tool.h"

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: famfs status [--json] PATH\n"
		"Print what the server of the file system that holds PATH reports, as JSON.\n");
}

int famfs_cmd_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	static char text[CTL_RECORD_MAX];
	_cleanup_close_ int fd = -1;
	char msg[TOOL_MSG_MAX];
	struct target_fs fs;
	int c, rc;

	while ((c = getopt_long(argc, argv, "+jh?", options, NULL)) != -1) {
		if (c == '?')
			return commands_bad_option(argv, print_usage);
		if (c == 'h') {
			print_usage(stdout);
			return 0;
		}
	}
	if (argc - optind != 1) {
		print_usage(stderr);
		return EXIT_BAD_USAGE;
	}
	rc = target_fs_mount(argv[optind], &fs, msg, sizeof(msg));
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	rc = ctl_connect(fs.dev, &fd);
	if (rc) {
		tool_error("cannot reach the server of %s: %s", fs.mount_point, strerror(-rc));
		return rc;
	}
	rc = ctl_status(fd, text, sizeof(text));
	if (rc) {
		tool_error("status of %s: %s", fs.mount_point, text[0] ? text : strerror(-rc));
		return rc;
	}
	printf("%s\n", text);
	return 0;
}
