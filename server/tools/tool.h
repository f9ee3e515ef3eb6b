/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mkfs.famfs and famfs share: talking to the user, parsing of option
 * arguments, cleanup attributes. Nothing here knows devices or media.
 */
#ifndef FAMFS_TOOLS_TOOL_H
#define FAMFS_TOOLS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Length of a sentence that a function hands to its caller to print. */
#define TOOL_MSG_MAX 1536

/* famfs never exits with more: the smoke scripts take 128 and up for a crash. */
#define TOOL_EXIT_MAX 127

static inline void tool_freep(void *p)
{
	free(*(void **)p);
}

static inline void tool_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void tool_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 __attribute__((cleanup(tool_freep)))
#define _cleanup_close_	 __attribute__((cleanup(tool_closep)))
#define _cleanup_fclose_ __attribute__((cleanup(tool_fclosep)))

/**
 * tool_init() - to be called first in main()
 * @name:	what messages start with, "mkfs.famfs" or "famfs creat"
 *
 * Opens syslog as cli-contract says (ident famfs, daemon) and makes a failed
 * access to mapped media (SIGBUS: poison, device gone, server of the private
 * mount dead) one sentence and a plain exit code instead of a crash.
 */
void tool_init(const char *name, int sigbus_exit);

/** tool_set_name() - from now on messages start with name */
void tool_set_name(const char *name);
const char *tool_name(void);

/** tool_set_object() - what is mapped, for the message on SIGBUS; NULL: nothing */
void tool_set_object(const char *object);

/** tool_error() - "NAME: message" and a newline on stderr */
void tool_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** tool_parse_size() - base-0 number with one optional suffix k, m or g; -EINVAL, -ERANGE */
int tool_parse_size(const char *s, uint64_t *ret);

/** tool_parse_u32() - base-0 number; -EINVAL, -ERANGE */
int tool_parse_u32(const char *s, uint32_t *ret);

/** tool_parse_mode() - octal permission bits, 0..07777; -EINVAL */
int tool_parse_mode(const char *s, uint32_t *ret);

/**
 * tool_help_wanted() - did getopt_long() return '?' for "-?", a request for help?
 *
 * With '?' among the options it does so for "-?" and for what it does not know.
 */
bool tool_help_wanted(char **argv);

/** tool_exit_code() - min(abs(rc), 127) */
int tool_exit_code(int64_t rc);

#endif /* FAMFS_TOOLS_TOOL_H */
