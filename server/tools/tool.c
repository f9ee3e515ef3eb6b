// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mkfs.famfs and famfs share: talking to the user and parsing of option
 * arguments.
 */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <syslog.h>

static char program[64] = "famfs";
/* Read by the SIGBUS handler: always a whole string. */
static char object[256];
static int exit_on_sigbus = 1;

static void write_all(const char *s)
{
	ssize_t n = write(STDERR_FILENO, s, strlen(s));

	(void)n;
}

static void on_sigbus(int sig)
{
	(void)sig;
	write_all(program);
	write_all(": cannot access the memory of ");
	write_all(object[0] ? object : "the file");
	write_all(
		": failed memory, the device is gone, or the server has died (SIGBUS); see dmesg\n");
	_exit(exit_on_sigbus);
}

void tool_init(const char *name, int sigbus_exit)
{
	struct sigaction sa = { .sa_handler = on_sigbus };

	tool_set_name(name);
	exit_on_sigbus = sigbus_exit;
	sigaction(SIGBUS, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	openlog("famfs", LOG_PID, LOG_DAEMON);
}

void tool_set_name(const char *name)
{
	snprintf(program, sizeof(program), "%s", name);
}

const char *tool_name(void)
{
	return program;
}

void tool_set_object(const char *name)
{
	snprintf(object, sizeof(object), "%s", name ? name : "");
}

void tool_error(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", program);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static int parse_u64(const char *s, int base, uint64_t *ret, const char **ret_end)
{
	unsigned long long v;
	char *end;

	/* strtoull takes "-1" and " 1" */
	if (s[0] < '0' || s[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, base);
	if (errno)
		return -errno;
	*ret = v;
	*ret_end = end;
	return 0;
}

int tool_parse_size(const char *s, uint64_t *ret)
{
	const char *end;
	int shift = 0, rc;
	uint64_t v;

	rc = parse_u64(s, 0, &v, &end);
	if (rc)
		return rc;
	switch (*end) {
	case '\0':
		break;
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	default:
		return -EINVAL;
	}
	if (*end && end[1])
		return -EINVAL;
	if (v > (UINT64_MAX >> shift))
		return -ERANGE;
	*ret = v << shift;
	return 0;
}

int tool_parse_u32(const char *s, uint32_t *ret)
{
	const char *end;
	uint64_t v;
	int rc;

	rc = parse_u64(s, 0, &v, &end);
	if (rc)
		return rc;
	if (*end)
		return -EINVAL;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = v;
	return 0;
}

int tool_parse_mode(const char *s, uint32_t *ret)
{
	const char *end;
	uint64_t v;

	if (parse_u64(s, 8, &v, &end) || *end || v > 07777)
		return -EINVAL;
	*ret = v;
	return 0;
}

bool tool_help_wanted(char **argv)
{
	const char *last = argv[optind - 1];
	size_t len = strlen(last);

	/* An unknown letter is left in optopt, an unknown word starts with "--". */
	return optopt == 0 && len >= 2 && last[0] == '-' && last[1] != '-' && last[len - 1] == '?';
}

int tool_exit_code(int64_t rc)
{
	uint64_t v = rc < 0 ? -(uint64_t)rc : (uint64_t)rc;

	return v > TOOL_EXIT_MAX ? TOOL_EXIT_MAX : (int)v;
}
