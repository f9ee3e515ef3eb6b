/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where holder and worker say what an administrator will look for: syslog, facility
 * daemon; stderr in the foreground. Where no syslog daemon listens, the kernel log.
 */
#ifndef FAMFS_DAEMON_LOG_H
#define FAMFS_DAEMON_LOG_H

#include <stdbool.h>
#include <syslog.h>

void daemon_log_open(const char *ident, bool foreground);
void daemon_log(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * daemon_log_limited() - at most one a second per call site, for what other hosts
 * or programs can provoke. state: a static of the call site, zero at first.
 */
struct daemon_log_limit {
	long last_s;
	unsigned int dropped;
};
void daemon_log_limited(struct daemon_log_limit *state, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* FAMFS_DAEMON_LOG_H */
