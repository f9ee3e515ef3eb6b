// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loader of bpf/famfs.bpf.c: libbpf makes maps and program, everything after that is
 * fds, so that an adopted instance is like a loaded one. Pins are made and removed
 * here, by the rules in bpfload.h. Knows nothing of what is in the tables.
 */
#include "bpfload.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <uuid/uuid.h>

#include "famfs.skel.h"

struct link_info {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t pad;
	uint32_t map_id;			/* of a struct_ops link; 0: detached */
	uint32_t more[27];
};

#define BPFFS			"/sys/fs/bpf"
#define BPFLOAD_PATH_MAX	128

/* Order of bpfload_fd; NULL: never pinned. The link comes last. */
static const char *const pin_name[BPFLOAD_NR_FDS] = {
	[BPFLOAD_SLOTS] = "slots",   [BPFLOAD_RESERVED] = "reserved", [BPFLOAD_EXTENTS] = "extents",
	[BPFLOAD_RODATA] = "rodata", [BPFLOAD_LINK] = "link",
};

static void bpfload_say(char *msg, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void bpfload_say(char *msg, const char *fmt, ...)
{
	va_list ap;

	if (!msg)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, BPFLOAD_MSG_MAX, fmt, ap);
	va_end(ap);
}

/* ---- an instance ---- */

static struct bpfload *bpfload_new(void)
{
	struct bpfload *b = calloc(1, sizeof(*b));

	for (int i = 0; b && i < BPFLOAD_NR_FDS; i++)
		b->fd[i] = -1;
	return b;
}

static size_t table_bytes(uint32_t count, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (count * size + page - 1) & ~(page - 1);
}

static void table_unmap(const struct bpfload *b, void *table, uint32_t count, size_t size)
{
	if (!b->writable)
		free(table);
	else if (table)
		munmap(table, table_bytes(count, size));
}

void bpfload_detach(struct bpfload *b)
{
	if (b->fd[BPFLOAD_LINK] >= 0)
		bpf_link_detach(b->fd[BPFLOAD_LINK]);
}

void bpfload_free(struct bpfload *b)
{
	if (!b)
		return;
	table_unmap(b, b->slots, b->config.nr_slots, sizeof(*b->slots));
	table_unmap(b, b->reserved, b->config.nr_reserved, sizeof(*b->reserved));
	table_unmap(b, b->extents, b->config.nr_extents, sizeof(*b->extents));
	famfs_bpf__destroy(b->skel);
	for (int i = 0; i < BPFLOAD_NR_FDS; i++)
		if (b->fd[i] >= 0)
			close(b->fd[i]);
	free(b);
}

/* The kernel does not map a BPF map through a read-only fd: take a copy. */
static int table_copy(int fd, uint32_t count, size_t size, void **ret)
{
	uint32_t batch, n = count, *key = calloc(count, sizeof(*key));
	void *p = calloc(count, size);
	int err = p && key ? 0 : -ENOMEM;

	if (!err)
		err = bpf_map_lookup_batch(fd, NULL, &batch, key, p, &n, NULL);
	free(key);
	/* ENOENT: that was the end of the table. */
	if (err && err != -ENOENT) {
		free(p);
		return err;
	}
	*ret = p;
	return 0;
}

static int table_map(const struct bpfload *b, enum bpfload_fd which, uint32_t count, size_t size,
		     void **ret)
{
	void *p;

	if (!b->writable && which == BPFLOAD_EXTENTS)
		return table_copy(b->fd[which], 1, count * size, ret);
	if (!b->writable)
		return table_copy(b->fd[which], count, size, ret);
	p = mmap(NULL, table_bytes(count, size), PROT_READ | PROT_WRITE, MAP_SHARED, b->fd[which],
		 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

static int bpfload_map_tables(struct bpfload *b)
{
	const struct bpfload_config *c = &b->config;
	void *slots, *reserved, *extents;
	int err;

	err = table_map(b, BPFLOAD_SLOTS, c->nr_slots, sizeof(*b->slots), &slots);
	if (err)
		return err;
	b->slots = slots;
	err = table_map(b, BPFLOAD_RESERVED, c->nr_reserved, sizeof(*b->reserved), &reserved);
	if (err)
		return err;
	b->reserved = reserved;
	err = table_map(b, BPFLOAD_EXTENTS, c->nr_extents, sizeof(*b->extents), &extents);
	if (err)
		return err;
	b->extents = extents;
	return 0;
}

static int bpfload_dup(struct bpfload *b, enum bpfload_fd which, int fd)
{
	b->fd[which] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return b->fd[which] < 0 ? -errno : 0;
}

/* ---- load and attach ---- */

/* What libbpf said last: the reason behind an errno. One thread loads at a time. */
static char last_words[256];
static bool be_verbose;

static int bpfload_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level == LIBBPF_WARN) {
		va_list copy;

		va_copy(copy, ap);
		vsnprintf(last_words, sizeof(last_words), fmt, copy);
		va_end(copy);
		last_words[strcspn(last_words, "\n")] = '\0';
	}
	return be_verbose ? vfprintf(stderr, fmt, ap) : 0;
}

/* Without a capability libbpf stumbles somewhere, over BTF for example. */
static bool bpfload_may_load(void)
{
	if (capng_get_caps_process())
		return true;
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) ||
	       (capng_have_capability(CAPNG_EFFECTIVE, CAP_BPF) &&
		capng_have_capability(CAPNG_EFFECTIVE, CAP_PERFMON));
}

static int bpfload_load_failed(int err, char *msg)
{
	if (err != -ENOSYS && !bpfload_may_load())
		err = -EPERM;
	switch (err) {
	case -ENOENT:
	case -ESRCH:
		bpfload_say(msg,
			    "kernel lacks struct_ops type fuse_iomap_bpf_ops (%s): boot a "
			    "kernel with CONFIG_FUSE_IOMAP_BPF",
			    last_words);
		return -EOPNOTSUPP;
	case -ENOSYS:
		bpfload_say(msg, "kernel lacks BPF: boot a kernel with CONFIG_BPF_SYSCALL and "
				 "CONFIG_FUSE_IOMAP_BPF");
		return -EOPNOTSUPP;
	case -EPERM:
		bpfload_say(msg, "not permitted to load a BPF program: needs CAP_BPF and "
				 "CAP_PERFMON (root)");
		return err;
	case -ENOMEM:
	case -E2BIG:
		bpfload_say(msg, "no memory for the slot map (%s)", last_words);
		return err;
	default:
		bpfload_say(msg, "cannot load the BPF program: %s%s%s%s", strerror(-err),
			    last_words[0] ? " (" : "", last_words, last_words[0] ? ")" : "");
		return err;
	}
}

static int skel_load(struct famfs_bpf *skel, const struct bpfload_config *c, int fuse_fd)
{
	int err;

	if (!c->nr_extents || c->nr_extents > FAMFS_FMAP_EXTENTS_MAX)
		return -E2BIG;
	skel->rodata->config.unit_shift = c->unit_shift;
	skel->rodata->config.nr_extents = c->nr_extents;
	skel->struct_ops.famfs_ops->fuse_fd = fuse_fd;
	err = bpf_map__set_max_entries(skel->maps.slots, c->nr_slots);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.reserved, c->nr_reserved);
	if (!err)
		err = bpf_map__set_value_size(skel->maps.data_extents,
					      c->nr_extents * sizeof(struct famfs_slot_extent));
	return err ? err : famfs_bpf__load(skel);
}

static int skel_take_fds(const struct famfs_bpf *skel, struct bpfload *b)
{
	const struct bpf_map *const map[BPFLOAD_NR_FDS] = {
		[BPFLOAD_SLOTS] = skel->maps.slots,
		[BPFLOAD_RESERVED] = skel->maps.reserved,
		[BPFLOAD_EXTENTS] = skel->maps.data_extents,
		[BPFLOAD_RODATA] = skel->maps.rodata,
		[BPFLOAD_OPS]		= skel->maps.famfs_ops,
	};
	int err = 0;

	for (int i = 0; !err && i < BPFLOAD_NR_FDS; i++)
		if (map[i])
			err = bpfload_dup(b, (enum bpfload_fd)i, bpf_map__fd(map[i]));
	return err;
}

int bpfload_load(const struct bpfload_config *config, int fuse_fd, struct bpfload **ret, char *msg)
{
	struct bpfload *b = bpfload_new();
	struct famfs_bpf *skel = NULL;
	int err = -ENOMEM;

	if (!b)
		goto out;
	b->config = *config;
	b->writable = true;
	last_words[0] = '\0';
	be_verbose = config->verbose;
	libbpf_set_print(bpfload_print);

	skel = famfs_bpf__open();
	if (!skel) {
		err = -errno;
		goto out;
	}
	b->skel = skel;
	err = skel_load(skel, config, fuse_fd);
	if (!err)
		err = skel_take_fds(skel, b);
	if (!err)
		err = bpfload_map_tables(b);
out:
	if (err) {
		err = bpfload_load_failed(err, msg);
		bpfload_free(b);
		return err;
	}
	*ret = b;
	return 0;
}

/*
 * libbpf gives the struct_ops map its value when it attaches, and has no call for
 * that alone. Return: 0 and the link's fd in b, or -errno: with -EBUSY the map has its
 * value, and can be the new one of an update.
 */
static int skel_attach(struct bpfload *b)
{
	struct famfs_bpf *skel = b->skel;
	struct bpf_link *link;
	int fd;

	if (!skel)
		return -EINVAL;
	link = bpf_map__attach_struct_ops(skel->maps.famfs_ops);
	if (!link)
		return -errno;
	fd = fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		fd = -errno;
	/* Closes its fd, which was the only one if there is no duplicate */
	bpf_link__destroy(link);
	if (fd < 0)
		return fd;
	b->fd[BPFLOAD_LINK] = fd;
	return 0;
}

static void skel_drop(struct bpfload *b)
{
	famfs_bpf__destroy(b->skel);
	b->skel = NULL;
}

int bpfload_attach(struct bpfload *b, char *msg)
{
	int fd = skel_attach(b);

	if (!fd) {
		skel_drop(b);
		return 0;
	}
	switch (fd) {
	case -EBUSY:
		bpfload_say(msg, "cannot attach the BPF program: the connection has one already");
		break;
	case -EPERM:
		bpfload_say(msg, "not permitted to attach the BPF program: needs CAP_SYS_RAWIO in "
				 "the initial user namespace (root)");
		break;
	case -EOPNOTSUPP:
		bpfload_say(msg, "cannot attach the BPF program: the connection did not choose "
				 "mappings by BPF");
		break;
	default:
		bpfload_say(msg, "cannot attach the BPF program: %s", strerror(-fd));
	}
	return fd;
}

/* ---- pins ---- */

static void pin_dir(const uint8_t uuid[FAMFS_UUID_LEN], char path[BPFLOAD_PATH_MAX])
{
	char text[UUID_STR_LEN];

	uuid_unparse_lower(uuid, text);
	snprintf(path, BPFLOAD_PATH_MAX, "%s/%s", BPFLOAD_PIN_ROOT, text);
}

static void pin_path(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_fd which,
		     char path[BPFLOAD_PATH_MAX])
{
	size_t n;

	pin_dir(uuid, path);
	n = strlen(path);
	snprintf(path + n, BPFLOAD_PATH_MAX - n, "/%s", pin_name[which]);
}

static bool pin_exists(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_fd which)
{
	char path[BPFLOAD_PATH_MAX];
	struct stat st;

	pin_path(uuid, which, path);
	return !lstat(path, &st);
}

static int pin_mount_bpffs(char *msg)
{
	struct statfs st;
	int err;

	if (!statfs(BPFFS, &st) && st.f_type == BPF_FS_MAGIC)
		return 0;
	if (!mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return 0;
	err = -errno;
	bpfload_say(msg, "cannot mount bpffs on %s: %s", BPFFS, strerror(-err));
	return err;
}

static int pin_make_dir(const uint8_t uuid[FAMFS_UUID_LEN], char *msg)
{
	char path[BPFLOAD_PATH_MAX];
	int err;

	err = pin_mount_bpffs(msg);
	if (err)
		return err;
	pin_dir(uuid, path);
	if ((mkdir(BPFLOAD_PIN_ROOT, 0700) && errno != EEXIST) ||
	    (mkdir(path, 0700) && errno != EEXIST) || chmod(path, 0700)) {
		err = -errno;
		bpfload_say(msg, "cannot make %s: %s", path, strerror(-err));
		return err;
	}
	return 0;
}

/* The kernel's number of a map or link; 0 for neither. */
static uint32_t object_id(int fd, bool link)
{
	struct bpf_map_info map = { 0 };
	struct link_info li = { 0 };
	uint32_t len = link ? sizeof(li) : sizeof(map);

	if (bpf_obj_get_info_by_fd(fd, link ? (void *)&li : (void *)&map, &len))
		return 0;
	return link ? li.id : map.id;
}

static bool pin_is(const char *path, int fd, bool link)
{
	int pinned = bpf_obj_get(path);
	bool same;

	if (pinned < 0)
		return false;
	same = object_id(pinned, link) == object_id(fd, link);
	close(pinned);
	return same;
}

static int pin_one(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_fd which, int fd, char *msg)
{
	bool link = which == BPFLOAD_LINK;
	char path[BPFLOAD_PATH_MAX];
	int err;

	pin_path(uuid, which, path);
	err = bpf_obj_pin(fd, path);
	if (err == -EEXIST) {
		if (pin_is(path, fd, link))
			return 0;
		/* A map without a link of ours is left over; a link may be in use. */
		if (!link && !unlink(path))
			err = bpf_obj_pin(fd, path);
	}
	if (err)
		bpfload_say(msg, "cannot pin %s: %s", path, strerror(-err));
	return err;
}

int bpfload_pin(const struct bpfload *b, const uint8_t uuid[FAMFS_UUID_LEN], char *msg)
{
	int err;

	if (b->fd[BPFLOAD_LINK] < 0) {
		bpfload_say(msg, "cannot pin a BPF program that is not attached");
		return -EINVAL;
	}
	err = pin_make_dir(uuid, msg);
	for (int i = 0; !err && i < BPFLOAD_NR_FDS; i++)
		if (pin_name[i])
			err = pin_one(uuid, (enum bpfload_fd)i, b->fd[i], msg);
	return err;
}

static int pin_remove(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_fd which, char *msg)
{
	char path[BPFLOAD_PATH_MAX];
	int err;

	pin_path(uuid, which, path);
	if (!unlink(path) || errno == ENOENT || errno == ENOTDIR)
		return 0;
	err = -errno;
	bpfload_say(msg, "cannot remove %s: %s", path, strerror(-err));
	return err;
}

static int pin_remove_maps(const uint8_t uuid[FAMFS_UUID_LEN], char *msg)
{
	int err = 0;

	for (int i = 0; !err && i < BPFLOAD_NR_FDS; i++)
		if (pin_name[i] && i != BPFLOAD_LINK)
			err = pin_remove(uuid, (enum bpfload_fd)i, msg);
	return err;
}

int bpfload_unpin(const uint8_t uuid[FAMFS_UUID_LEN], char *msg)
{
	char path[BPFLOAD_PATH_MAX];
	int err;

	err = pin_remove(uuid, BPFLOAD_LINK, msg);
	if (!err)
		err = pin_remove_maps(uuid, msg);
	if (err)
		return err;
	pin_dir(uuid, path);
	if (rmdir(path) && errno != ENOENT) {
		err = -errno;
		bpfload_say(msg, "cannot remove %s: %s", path, strerror(-err));
		return err;
	}
	/* Others may have theirs there. */
	rmdir(BPFLOAD_PIN_ROOT);
	return 0;
}

int bpfload_replace(struct bpfload *new, struct bpfload *old, const uint8_t *uuid, char *msg)
{
	int err;

	if (uuid) {
		err = pin_remove_maps(uuid, msg);
		if (err)
			return err;
	}
	err = skel_attach(new);
	if (!err) {
		/* Nothing was attached any more. */
		skel_drop(new);
		return 0;
	}
	if (err == -EBUSY)
		err = bpf_link_update(old->fd[BPFLOAD_LINK], new->fd[BPFLOAD_OPS], NULL);
	if (err) {
		bpfload_say(msg, "cannot replace the BPF program: %s", strerror(-err));
		return err;
	}
	skel_drop(new);
	new->fd[BPFLOAD_LINK] = old->fd[BPFLOAD_LINK];
	old->fd[BPFLOAD_LINK] = -1;
	return 0;
}

/* ---- adoption ---- */

/*
 * Is the link's connection still there? Replacing the program by itself changes
 * nothing, and fails with ENOTCONN when it is not, with ENOLINK when detached.
 */
static int link_probe(int link_fd, bool *ret_in_use)
{
	struct link_info info = { 0 };
	uint32_t len = sizeof(info);
	int map_fd, err;

	err = bpf_obj_get_info_by_fd(link_fd, &info, &len);
	if (err)
		return err;
	if (info.type != BPF_LINK_TYPE_STRUCT_OPS)
		return -EUCLEAN;
	*ret_in_use = false;
	if (!info.map_id)
		return 0;
	map_fd = bpf_map_get_fd_by_id(info.map_id);
	if (map_fd < 0)
		return map_fd == -ENOENT ? 0 : map_fd;
	err = bpf_link_update(link_fd, map_fd, NULL);
	close(map_fd);
	if (err == -ENOTCONN || err == -ENOLINK)
		return 0;
	*ret_in_use = !err;
	return err;
}

static enum bpfload_pins pins_maps(const uint8_t uuid[FAMFS_UUID_LEN], bool in_use)
{
	unsigned int there = 0, all = 0;

	for (int i = 0; i < BPFLOAD_NR_FDS; i++) {
		if (!pin_name[i] || i == BPFLOAD_LINK)
			continue;
		all++;
		there += pin_exists(uuid, (enum bpfload_fd)i);
	}
	if (in_use)
		return there == all ? BPFLOAD_PINS_WHOLE : BPFLOAD_PINS_LINK;
	return there ? BPFLOAD_PINS_STALE : BPFLOAD_PINS_NONE;
}

int bpfload_probe_pins(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_pins *ret, char *msg)
{
	char path[BPFLOAD_PATH_MAX];
	bool in_use;
	int fd, err;

	if (!pin_exists(uuid, BPFLOAD_LINK)) {
		*ret = pins_maps(uuid, false);
		return 0;
	}
	pin_path(uuid, BPFLOAD_LINK, path);
	fd = bpf_obj_get(path);
	err = fd < 0 ? fd : link_probe(fd, &in_use);
	if (fd >= 0)
		close(fd);
	if (err) {
		bpfload_say(msg, "cannot tell whether %s is in use: %s", path, strerror(-err));
		return err;
	}
	*ret = in_use ? pins_maps(uuid, true) : BPFLOAD_PINS_STALE;
	return 0;
}

static bool map_is_table(int fd, size_t value_size, uint32_t *ret_count)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_MAP_TYPE_ARRAY ||
	    info.key_size != sizeof(uint32_t) || info.value_size != value_size)
		return false;
	*ret_count = info.max_entries;
	return true;
}

/* The table of extents is a single value, and the program knows its length. */
static bool map_is_extents(int fd, uint32_t nr_extents)
{
	uint32_t count;

	return nr_extents && nr_extents <= FAMFS_FMAP_EXTENTS_MAX &&
	       map_is_table(fd, nr_extents * sizeof(struct famfs_slot_extent), &count) &&
	       count == 1;
}

/* Sizes from the kernel and from the program's constants; then mapped. */
static void adopt_tables(struct bpfload *b)
{
	struct bpfload_config *c = &b->config;
	struct famfs_fmap_config consts;
	struct bpfload none = { 0 };
	uint32_t key = 0, count;

	if (map_is_table(b->fd[BPFLOAD_SLOTS], sizeof(struct famfs_slot), &c->nr_slots) &&
	    map_is_table(b->fd[BPFLOAD_RESERVED], sizeof(struct famfs_slot), &c->nr_reserved) &&
	    map_is_table(b->fd[BPFLOAD_RODATA], sizeof(consts), &count) &&
	    !bpf_map_lookup_elem(b->fd[BPFLOAD_RODATA], &key, &consts) &&
	    map_is_extents(b->fd[BPFLOAD_EXTENTS], consts.nr_extents)) {
		c->unit_shift = consts.unit_shift;
		c->nr_extents = consts.nr_extents;
		if (!bpfload_map_tables(b))
			return;
	}

	table_unmap(b, b->slots, c->nr_slots, sizeof(*b->slots));
	table_unmap(b, b->reserved, c->nr_reserved, sizeof(*b->reserved));
	b->slots = b->reserved = NULL;
	*c = none.config;
}

static int adopt_pin(const uint8_t uuid[FAMFS_UUID_LEN], enum bpfload_fd which, bool writable,
		     int *ret_fd, char *msg)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = writable ? 0 : BPF_F_RDONLY);
	char path[BPFLOAD_PATH_MAX];
	int fd;

	pin_path(uuid, which, path);
	fd = bpf_obj_get_opts(path, &opts);
	if (fd == -ENOENT && which != BPFLOAD_LINK)
		return 0;
	if (fd < 0) {
		bpfload_say(msg, "cannot open %s: %s", path, strerror(-fd));
		return fd;
	}
	*ret_fd = fd;
	return 0;
}

int bpfload_adopt(const uint8_t uuid[FAMFS_UUID_LEN], bool writable, struct bpfload **ret,
		  char *msg)
{
	struct bpfload *b = bpfload_new();
	int err = 0;

	if (!b) {
		bpfload_say(msg, "out of memory");
		return -ENOMEM;
	}
	b->writable = writable;
	for (int i = 0; !err && i < BPFLOAD_NR_FDS; i++)
		if (pin_name[i] && (writable || i != BPFLOAD_LINK))
			err = adopt_pin(uuid, (enum bpfload_fd)i, writable, &b->fd[i], msg);
	if (err) {
		bpfload_free(b);
		return err;
	}
	adopt_tables(b);
	*ret = b;
	return 0;
}

int bpfload_adopt_fds(const int fd[BPFLOAD_NR_FDS], struct bpfload **ret, char *msg)
{
	struct bpfload *b = bpfload_new();
	int err = b ? 0 : -ENOMEM;

	for (int i = 0; !err && i < BPFLOAD_NR_FDS; i++)
		if (pin_name[i] && fd[i] >= 0)
			err = bpfload_dup(b, (enum bpfload_fd)i, fd[i]);
	if (err) {
		bpfload_say(msg, "cannot take over the slot map: %s", strerror(-err));
		bpfload_free(b);
		return err;
	}
	b->writable = true;
	adopt_tables(b);
	*ret = b;
	return 0;
}
