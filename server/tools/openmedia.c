// SPDX-License-Identifier: GPL-2.0-only
/*
 * Open media: superblock and log of a device that is not mounted, as memory.
 */
#include "openmedia.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <famfs/media.h>

#include "privmount.h"
#include "tool.h"

#define HUGE_BYTES 0x200000ULL

static uint64_t round_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) / align * align;
}

/*
 * Map len bytes at an address that huge pages can be used at: an 8 MiB log is
 * five faults then, not two thousand, each of them a request.
 */
static void *map_aligned(int fd, size_t len, int prot)
{
	uint8_t *area, *p;
	size_t head;

	area = mmap(NULL, len + HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		return MAP_FAILED;
	p = (uint8_t *)round_up((uintptr_t)area, HUGE_BYTES);
	head = p - area;
	if (mmap(p, len, prot, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int err = errno;

		munmap(area, len + HUGE_BYTES);
		errno = err;
		return MAP_FAILED;
	}
	if (head)
		munmap(area, head);
	munmap(p + round_up(len, 4096), HUGE_BYTES - head);
	return p;
}

static int map_head(struct openmedia *om, const char *path, int fd, unsigned int flags, char *msg,
		    size_t msg_size)
{
	uint64_t len = FAMFS_LOG_OFFSET + FAMFS_LOG_LEN_MAX;
	int prot = PROT_READ | (flags & OPENMEDIA_WRITE ? PROT_WRITE : 0);
	bool devdax = om->dev.kind == DAX_CHAR && !om->pm;
	void *p;

	if (devdax) /* maps whole units of its alignment, at such an address, or not at all */
		len = round_up(len, om->dev.align);
	if (len > om->dev.size)
		len = om->dev.size;
	if (om->pm)
		len &= ~4095ULL;
	if (!len)
		return 0;
	p = devdax ? mmap(NULL, len, prot, MAP_SHARED, fd, 0) : map_aligned(fd, len, prot);
	if (p == MAP_FAILED) {
		int rc = -errno;

		snprintf(msg, msg_size, "cannot map %s: %s", path, strerror(-rc));
		return rc;
	}
	om->map = p;
	om->mapped = len;
	return 0;
}

/* The path may name another device by now: what was judged is what is used. */
static int check_same(const struct dax_device *dev, const char *path, int fd, char *msg,
		      size_t msg_size)
{
	struct stat st;

	if (fstat(fd, &st) ||
	    (dev->kind == DAX_IMAGE ? !S_ISREG(st.st_mode) : st.st_rdev != dev->rdev)) {
		snprintf(msg, msg_size, "%s became another file while it was opened", path);
		return -ESTALE;
	}
	return 0;
}

static int open_device(const struct dax_device *dev, const char *path, unsigned int flags,
		       char *msg, size_t msg_size)
{
	/* A device is registered with the kernel for reading and writing. */
	bool write = flags & OPENMEDIA_WRITE || dev->kind == DAX_BLOCK ||
		     (dev->kind == DAX_CHAR && !strcmp(dev->driver, DAX_DRIVER_FSDEV));
	int fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	int rc;

	if (fd >= 0)
		return fd;
	rc = -errno;
	if (dev->kind == DAX_CHAR && !dev->driver[0])
		snprintf(msg, msg_size,
			 "cannot open %s: no driver is bound to it; run: famfs dev bind %s", path,
			 path);
	else
		snprintf(msg, msg_size, "cannot open %s: %s", path, strerror(-rc));
	return rc;
}

void openmedia_close(struct openmedia *om)
{
	if (!om)
		return;
	tool_set_object(NULL);
	if (om->map)
		munmap(om->map, om->mapped);
	privmount_close(om->pm);
	free(om->path);
	free(om);
}

int openmedia_open(const char *path, const struct dax_device *dev, unsigned int flags,
		   struct openmedia **ret, char *msg, size_t msg_size)
{
	_cleanup_close_ int dev_fd = open_device(dev, path, flags, msg, msg_size);
	_cleanup_close_ int file_fd = -1;
	struct openmedia *om;
	int rc;

	if (dev_fd < 0)
		return dev_fd;
	rc = check_same(dev, path, dev_fd, msg, msg_size);
	if (rc)
		return rc;
	om = calloc(1, sizeof(*om));
	if (om)
		om->path = strdup(path);
	if (!om || !om->path) {
		openmedia_close(om);
		snprintf(msg, msg_size, "out of memory");
		return -ENOMEM;
	}
	om->dev = *dev;
	if (dev->kind == DAX_BLOCK ||
	    (dev->kind == DAX_CHAR && !strcmp(dev->driver, DAX_DRIVER_FSDEV))) {
		rc = privmount_open(om->path, dev_fd, dev->size, flags & OPENMEDIA_WRITE, &om->pm,
				    &file_fd, msg, msg_size);
		if (rc) {
			openmedia_close(om);
			return rc;
		}
	}
	rc = map_head(om, path, file_fd >= 0 ? file_fd : dev_fd, flags, msg, msg_size);
	/*
	 * Before a mount that has nothing mapped can go, its file must be closed.
	 */
	if (rc) {
		if (file_fd >= 0) {
			close(file_fd);
			file_fd = -1;
		}
		openmedia_close(om);
		return rc;
	}
	tool_set_object(om->path);
	*ret = om;
	return 0;
}
