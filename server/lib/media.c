// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readers of a device, the error object, and small things around the media
 * format that daemon and tools share. No decoder is here.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libdeflate.h>
#include <uuid/uuid.h>

#include "media_i.h"

#define SYSTEM_UUID_PATH "/opt/famfs/system_uuid"

/* ---- errors ---- */

const char *famfs_escape(const void *bytes, size_t len, char *buf, size_t size)
{
	const uint8_t *p = bytes;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		bool plain = p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\'' && p[i] != '"' &&
			     p[i] != '\\';

		if (n + (plain ? 1 : 4) >= size)
			break;
		if (plain)
			buf[n++] = (char)p[i];
		else
			n += (size_t)sprintf(buf + n, "\\x%02x", p[i]);
	}
	if (size)
		buf[n] = '\0';
	return buf;
}

static void set_error(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
		      const char *found, const char *expected, va_list ap)
{
	struct famfs_error *e = at->err;

	e->err = errnum;
	e->verdict = at->verdict;
	e->object = at->object;
	e->index = at->index;
	e->offset = at->base + off;
	/* Device names come from the command line, but land in logs all the same. */
	famfs_escape(at->device, strlen(at->device), e->device, sizeof(e->device));
	snprintf(e->field, sizeof(e->field), "%s", field);
	snprintf(e->found, sizeof(e->found), "%s", found);
	vsnprintf(e->expected, sizeof(e->expected), expected, ap);
	e->path[0] = '\0';
	if (at->path)
		famfs_escape(at->path, at->path_len, e->path, sizeof(e->path));
}

int famfs_bad(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
	      const char *found, const char *expected, ...)
{
	va_list ap;

	va_start(ap, expected);
	set_error(at, errnum, off, field, found, expected, ap);
	va_end(ap);
	return errnum;
}

int famfs_bad_hex(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
		  uint64_t found, const char *expected, ...)
{
	char buf[24];
	va_list ap;

	snprintf(buf, sizeof(buf), "0x%" PRIx64, found);
	va_start(ap, expected);
	set_error(at, errnum, off, field, buf, expected, ap);
	va_end(ap);
	return errnum;
}

int famfs_bad_dec(const struct famfs_at *at, int errnum, uint64_t off, const char *field,
		  uint64_t found, const char *expected, ...)
{
	char buf[24];
	va_list ap;

	snprintf(buf, sizeof(buf), "%" PRIu64, found);
	va_start(ap, expected);
	set_error(at, errnum, off, field, buf, expected, ap);
	va_end(ap);
	return errnum;
}

static const char *object_name(const struct famfs_error *e, char *buf, size_t size)
{
	switch (e->object) {
	case FAMFS_OBJ_DEVICE:
		return "device";
	case FAMFS_OBJ_SUPER:
		return "superblock";
	case FAMFS_OBJ_LOG_HEADER:
		return "log header";
	case FAMFS_OBJ_ENTRY:
		snprintf(buf, size, "log entry %" PRIu64, e->index);
		return buf;
	}
	return "media";
}

const char *famfs_error_text(const struct famfs_error *e, char *buf, size_t size)
{
	char object[40];

	snprintf(buf, size, "%s: %s at 0x%" PRIx64 ": %s: found %s, expected %s%s%s%s", e->device,
		 object_name(e, object, sizeof(object)), e->offset, e->field, e->found, e->expected,
		 e->path[0] ? " (path '" : "", e->path, e->path[0] ? "')" : "");
	return buf;
}

/* ---- readers ---- */

static int memory_read(const struct famfs_media *m, uint64_t offset, void *buf, size_t len)
{
	uint64_t end;

	if (__builtin_add_overflow(offset, len, &end) || end > m->base)
		return -EIO;
	memcpy(buf, m->map + offset, len);
	return 0;
}

static int memory_invalidate(const struct famfs_media *m, uint64_t offset, size_t len)
{
	uint64_t end;

	if (__builtin_add_overflow(offset, len, &end) || end > m->base)
		return -EIO;
	return famfs_invalidate_range(NULL, m->map + offset, len);
}

void famfs_media_init_memory(struct famfs_media *m, const char *name, const void *map,
			     size_t mapped, uint64_t size)
{
	*m = (struct famfs_media){
		.name = name,
		.size = size,
		.read = memory_read,
		.invalidate = memory_invalidate,
		.map = map,
		.base = mapped,
		.fd = -1,
		.log_fd = -1,
	};
}

static int pread_all(int fd, uint64_t offset, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n;

		if (offset > INT64_MAX)
			return -EIO;
		n = pread(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* shorter than it claimed to be */
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int fd_read(const struct famfs_media *m, uint64_t offset, void *buf, size_t len)
{
	uint64_t start;

	if (__builtin_add_overflow(m->base, offset, &start))
		return -EIO;
	return pread_all(m->fd, start, buf, len);
}

void famfs_media_init_fd(struct famfs_media *m, const char *name, int fd, uint64_t base,
			 uint64_t size)
{
	*m = (struct famfs_media){
		.name = name,
		.size = size,
		.read = fd_read,
		.base = base,
		.fd = fd,
		.log_fd = -1,
	};
}

static int meta_read(const struct famfs_media *m, uint64_t offset, void *buf, size_t len)
{
	if (offset >= FAMFS_LOG_OFFSET)
		return pread_all(m->log_fd, offset - FAMFS_LOG_OFFSET, buf, len);
	if (len > FAMFS_LOG_OFFSET - offset)
		return -EIO; /* no caller reads across the two files */
	return pread_all(m->fd, offset, buf, len);
}

void famfs_media_init_meta(struct famfs_media *m, const char *name, int super_fd, int log_fd,
			   uint64_t size)
{
	*m = (struct famfs_media){
		.name = name,
		.size = size,
		.read = meta_read,
		.fd = super_fd,
		.log_fd = log_fd,
	};
}

/* ---- identities ---- */

uint64_t famfs_crc32(const void *buf, size_t len)
{
	return libdeflate_crc32(0, buf, len);
}

uint32_t famfs_generation(const uint8_t uuid[FAMFS_UUID_LEN])
{
	uint32_t gen = (uint32_t)famfs_crc32(uuid, FAMFS_UUID_LEN);

	/* FUSE takes 0 for "no generation". */
	return gen ? gen : 1;
}

static int read_uuid(const char *path, uint8_t ret_uuid[FAMFS_UUID_LEN])
{
	char text[64] = "";
	uuid_t uuid;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -errno;
	text[strcspn(text, " \t\r\n")] = '\0';
	if (uuid_parse(text, uuid))
		return -EUCLEAN;
	memcpy(ret_uuid, uuid, FAMFS_UUID_LEN);
	return 0;
}

/* A file system that names this host must not be more durable than its name. */
static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = fsync(fd) && errno != EINVAL ? -errno : 0;
	close(fd);
	return err;
}

/*
 * Written beside, so that no reader ever sees half of it, and linked: of two that make one
 * at a time both take the first. One that is there but is none is replaced.
 */
static int create_uuid(const char *path, bool replace)
{
	char *dir, *slash, *tmp = NULL;
	char text[UUID_STR_LEN + 1];
	uuid_t uuid;
	int fd, err = -ENOMEM;

	dir = strdup(path);
	if (!dir)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		if (mkdir(dir, 0755) && errno != EEXIST) {
			err = -errno;
			goto out;
		}
	}
	if (asprintf(&tmp, "%s.XXXXXX", path) < 0) {
		tmp = NULL;
		goto out;
	}
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	uuid_generate(uuid);
	uuid_unparse_lower(uuid, text);
	strcat(text, "\n");
	err = 0;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, 0444) || fsync(fd))
		err = errno ? -errno : -EIO;
	close(fd);
	if (!err && replace)
		err = rename(tmp, path) ? -errno : 0;
	else if (!err && link(tmp, path) && errno != EEXIST)
		err = -errno;
	if (err || !replace)
		unlink(tmp);
	if (!err && slash && slash != dir)
		err = sync_dir(dir);
out:
	free(tmp);
	free(dir);
	return err;
}

int famfs_system_uuid_get(const char *path, bool create, uint8_t ret_uuid[FAMFS_UUID_LEN])
{
	int err;

	if (!path)
		path = SYSTEM_UUID_PATH;
	err = read_uuid(path, ret_uuid);
	if (!err || !create || (err != -ENOENT && err != -EUCLEAN))
		return err;
	err = create_uuid(path, err == -EUCLEAN);
	if (err)
		return err;
	return read_uuid(path, ret_uuid);
}
