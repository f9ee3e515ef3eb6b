// SPDX-License-Identifier: GPL-2.0-only
/*
 * The choice between FUSE and the stand-alone kernel module.
 */
#include "mode.h"

#include <errno.h>
#include <string.h>

#include "tool.h"

int mode_check(enum mode_choice choice)
{
	const char *env = getenv("FAMFS_MODE");

	if (choice == MODE_AUTO && env && strcmp(env, "fuse")) {
		if (!strcmp(env, "v1"))
			choice = MODE_NOFUSE;
		else
			tool_error("unrecognized FAMFS_MODE value '%s', using fuse", env);
	}
	if (choice != MODE_NOFUSE)
		return 0;
	tool_error(
		"the stand-alone famfs kernel module is not supported: leave --nofuse and FAMFS_MODE=v1 out");
	return -EOPNOTSUPP;
}
