// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log sink of holder and worker. /dev/kmsg is opened while we still may.
 */
#include "daemon_log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Keeps a line below the kernel log's limit. */
#define LINE_MAX_BYTES	900

static const char *log_ident = "famfs";
static bool log_stderr;
static int log_kmsg = -1;

void daemon_log_open(const char *ident, bool foreground)
{
	log_ident = ident;
	log_stderr = foreground;
	if (foreground)
		return;
	if (access("/dev/log", W_OK))
		log_kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	openlog(ident, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

static void log_line(int level, const char *line)
{
	char buf[LINE_MAX_BYTES + 64];
	int n;

	if (log_stderr) {
		fprintf(stderr, "%s: %s\n", log_ident, line);
	} else if (log_kmsg >= 0) {
		n = snprintf(buf, sizeof(buf), "<%d>%s[%d]: %s\n", LOG_DAEMON | level, log_ident,
			     (int)getpid(), line);
		if (write(log_kmsg, buf, (size_t)n) < 0)
			return;		/* nowhere left to say it */
	} else {
		syslog(level, "%s", line);
	}
}

void daemon_log(int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_line(level, line);
}

void daemon_log_limited(struct daemon_log_limit *state, int level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	struct timespec ts;
	unsigned int dropped;
	va_list ap;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	if (__atomic_load_n(&state->last_s, __ATOMIC_RELAXED) == ts.tv_sec + 1) {
		__atomic_add_fetch(&state->dropped, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_store_n(&state->last_s, ts.tv_sec + 1, __ATOMIC_RELAXED);
	dropped = __atomic_exchange_n(&state->dropped, 0, __ATOMIC_RELAXED);

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_line(level, line);
	if (dropped) {
		snprintf(line, sizeof(line), "%u more like the last were not logged", dropped);
		log_line(level, line);
	}
}
