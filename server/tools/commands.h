/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The commands of famfs. Each gets its own argv, [0] being the command's name,
 * and returns the exit code before it is capped to 127; negative values are
 * errnos.
 */
#ifndef FAMFS_TOOLS_COMMANDS_H
#define FAMFS_TOOLS_COMMANDS_H

#include <stdio.h>

#define EXIT_BAD_USAGE 1

int famfs_cmd_mkdir(int argc, char **argv);
int famfs_cmd_creat(int argc, char **argv);
int famfs_cmd_verify(int argc, char **argv);
int famfs_cmd_flush(int argc, char **argv);
int famfs_cmd_chkread(int argc, char **argv);
int famfs_cmd_fsck(int argc, char **argv);
int famfs_cmd_status(int argc, char **argv);
int famfs_cmd_dev(int argc, char **argv);

/**
 * commands_bad_option() - end of a command that got '?' from getopt_long()
 *
 * "-?" is a request for help, printed on stdout, exit 0. For anything else getopt
 * has printed its line, where to find help follows: exit 1, where upstream's tool
 * says 0 and lets a typing error pass for success.
 */
int commands_bad_option(char **argv, void (*print_usage)(FILE *out));

#endif /* FAMFS_TOOLS_COMMANDS_H */
