// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tables of option words. Flags of the mount (ro, nodev, ...) reach only a helper,
 * not the kernel: forgetting one here would silently grant what was denied, so an
 * unknown word is an error.
 */
#include "mount_options.h"

#include <errno.h>
#include <libmount/libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

const char *const mount_mode_names[MODE_COUNT] = { "bpf", "upcall" };

static const struct {
	const char *name;
	uint64_t set;
	uint64_t clear;
} attr_words[] = {
	{ "ro",		MOUNT_ATTR_RDONLY,	0 },
	{ "rw",		0,			MOUNT_ATTR_RDONLY },
	{ "nosuid",	MOUNT_ATTR_NOSUID,	0 },
	{ "suid",	0,			MOUNT_ATTR_NOSUID },
	/* mount(8) keeps to itself what is its own default. */
	{ "allow_suid",	0,			MOUNT_ATTR_NOSUID },
	{ "allow_dev",	0,			MOUNT_ATTR_NODEV },
	{ "nodev",	MOUNT_ATTR_NODEV,	0 },
	{ "dev",	0,			MOUNT_ATTR_NODEV },
	{ "noexec",	MOUNT_ATTR_NOEXEC,	0 },
	{ "exec",	0,			MOUNT_ATTR_NOEXEC },
	{ "noatime",	MOUNT_ATTR_NOATIME,	MOUNT_ATTR__ATIME },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "relatime",	MOUNT_ATTR_RELATIME,	MOUNT_ATTR__ATIME },
	{ "atime",	MOUNT_ATTR_RELATIME,	MOUNT_ATTR__ATIME },
	{ "norelatime",	MOUNT_ATTR_RELATIME,	MOUNT_ATTR__ATIME },
	{ "nodiratime",	MOUNT_ATTR_NODIRATIME,	0 },
	{ "diratime",	0,			MOUNT_ATTR_NODIRATIME },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "symfollow",	0,			MOUNT_ATTR_NOSYMFOLLOW },
};

/* For mount(8) and systemd, or always so; and what /proc/mounts shows of us. */
static const char *const ignored_words[] = {
	"defaults", "auto",	   "noauto",
	"nofail",   "_netdev",	   "async",
	"user",	    "nouser",	   "users",
	"nousers",  "owner",	   "noowner",
	"group",    "nogroup",	   "uhelper",
	"helper",   "comment",	   "loud",
	"silent",   "allow_other", "default_permissions",
	"user_id",  "group_id",
};

void mount_options_init(struct mount_options *o)
{
	memset(o, 0, sizeof(*o));
	o->poll_ms = POLL_DEFAULT_MS;
	o->threads = THREADS_DEFAULT;
}

uint64_t mount_options_attrs(const struct mount_options *o)
{
	uint64_t attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

	attrs &= ~o->attr_clear;
	attrs |= o->attr_set;
	if (o->recover)
		attrs |= MOUNT_ATTR_RDONLY;
	return attrs;
}

static bool parse_attr(const char *name, struct mount_options *o)
{
	for (size_t i = 0; i < sizeof(attr_words) / sizeof(attr_words[0]); i++) {
		if (strcmp(attr_words[i].name, name))
			continue;
		/* The last word counts. */
		o->attr_set &= ~(attr_words[i].clear | attr_words[i].set);
		o->attr_clear &= ~attr_words[i].set;
		o->attr_set |= attr_words[i].set;
		o->attr_clear |= attr_words[i].clear;
		return true;
	}
	return false;
}

static bool is_ignored(const char *name)
{
	if (!strncasecmp(name, "x-", 2))
		return true;
	for (size_t i = 0; i < sizeof(ignored_words) / sizeof(ignored_words[0]); i++)
		if (!strcmp(ignored_words[i], name))
			return true;
	return false;
}

static int parse_number(const char *name, const char *value, unsigned int min, unsigned int max,
			unsigned int *ret, struct session_msg *msg)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = value && *value >= '0' && *value <= '9' ? strtoul(value, &end, 10) : 0;
	if (!value || *value < '0' || *value > '9' || errno || *end || n < min || n > max) {
		session_say(msg, "option '%s=%s': expected a number from %u to %u", name,
			    value ? value : "", min, max);
		return -EINVAL;
	}
	*ret = (unsigned int)n;
	return 0;
}

/* dev=N:PATH */
static int parse_device(const char *value, struct mount_options *o, struct session_msg *msg)
{
	const char *colon = strchr(value, ':');
	char number[16];
	unsigned int n;
	int err;

	if (!colon || (size_t)(colon - value) >= sizeof(number) || colon[1] != '/') {
		session_say(msg,
			    "option 'dev=%s': expected dev=N:/PATH, N the index that the "
			    "log gives the device",
			    value);
		return -EINVAL;
	}
	memcpy(number, value, (size_t)(colon - value));
	number[colon - value] = '\0';
	err = parse_number("dev", number, 1, FUSE_IOMAP_MAX_DEVS - 1, &n, msg);
	if (err)
		return err;
	if (o->dev[n]) {
		session_say(msg, "option 'dev=%s': device %u is named twice", value, n);
		return -EINVAL;
	}
	o->dev[n] = strdup(colon + 1);
	if (!o->dev[n])
		return -ENOMEM;
	if (n > o->ndevs)
		o->ndevs = n;
	return 0;
}

static int parse_manager(const char *value, struct mount_options *o, struct session_msg *msg)
{
	static const char *const names[MANAGER_COUNT] = { "auto", "systemd", "holder" };

	for (int i = 0; value && i < MANAGER_COUNT; i++) {
		if (!strcmp(names[i], value)) {
			o->manager = (enum mount_manager)i;
			return 0;
		}
	}
	session_say(msg, "option 'manager=%s': expected auto, systemd or holder",
		    value ? value : "");
	return -EINVAL;
}

static int parse_mode(const char *name, struct mount_options *o, struct session_msg *msg)
{
	for (int i = 0; i < MODE_COUNT; i++) {
		if (!strcmp(mount_mode_names[i], name)) {
			o->mode = (enum mount_mode)i;
			return 0;
		}
	}
	if (!strcmp(name, "static")) {
		session_say(msg, "mode static: not built; use bpf (the default) or upcall");
		return -EOPNOTSUPP;
	}
	if (!strcmp(name, "compat")) {
		session_say(msg, "mode compat (without DAX, for kernels without fuse-iomap): not "
				 "built; use bpf (the default) or upcall");
		return -EOPNOTSUPP;
	}
	return -ENOENT;
}

/* Return: -ENOENT for a word that is not ours. */
static int parse_ours(const char *name, const char *value, struct mount_options *o,
		      struct session_msg *msg)
{
	int err;

	if (!strcmp(name, "dev") && value)
		return parse_device(value, o, msg);
	if (!strcmp(name, "manager"))
		return parse_manager(value, o, msg);
	if (!strcmp(name, "poll"))
		return parse_number(name, value, POLL_MIN_MS, POLL_MAX_MS, &o->poll_ms, msg);
	if (!strcmp(name, "threads"))
		return parse_number(name, value, 1, SESSION_THREADS_MAX, &o->threads, msg);
	if (value)
		return -ENOENT;
	if (!strcmp(name, "recover")) {
		o->recover = true;
		return 0;
	}
	if (!strcmp(name, "debug")) {
		o->debug = true;
		return 0;
	}
	err = parse_mode(name, o, msg);
	return err;
}

static int parse_word(const char *name, const char *value, bool sloppy, struct mount_options *o,
		      struct session_msg *msg)
{
	int err;

	if (!strcmp(name, "remount") && !value) {
		o->remount = true;
		return 0;
	}
	if (!value && parse_attr(name, o)) {
		o->suid = o->attr_clear & MOUNT_ATTR_NOSUID;
		return 0;
	}
	err = parse_ours(name, value, o, msg);
	if (err != -ENOENT) {
		if (!o->fixed[0])
			snprintf(o->fixed, sizeof(o->fixed), "%s", name);
		return err;
	}
	if (is_ignored(name) || sloppy)
		return 0;
	session_say(msg, "option '%s%s%s' is not known", name, value ? "=" : "",
		    value ? value : "");
	return -EINVAL;
}

int mount_options_parse(const char *optstr, bool sloppy, struct mount_options *ret,
			struct session_msg *msg)
{
	char *copy = strdup(optstr), *at = copy;
	char *name, *value;
	size_t name_len, value_len;
	int err = copy ? 0 : -ENOMEM;
	int more;

	while (!err) {
		char *n, *v;

		more = mnt_optstr_next_option(&at, &name, &name_len, &value, &value_len);
		if (more) {
			if (more < 0) {
				session_say(msg, "option string '%s' cannot be parsed", optstr);
				err = -EINVAL;
			}
			break;
		}
		n = strndup(name, name_len);
		v = value ? strndup(value, value_len) : NULL;
		err = !n || (value && !v) ? -ENOMEM : parse_word(n, v, sloppy, ret, msg);
		free(n);
		free(v);
	}
	free(copy);
	if (err == -ENOMEM)
		session_say(msg, "out of memory");
	return err;
}
