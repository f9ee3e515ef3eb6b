// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the commands that work on unmounted devices have in common.
 */
#include "media.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "tool.h"

static int check_driver(struct dax_device *dev, const char *path, unsigned int flags, char *msg,
			size_t msg_size)
{
	bool devdax = dev->kind == DAX_CHAR && !strcmp(dev->driver, DAX_DRIVER_DEVDAX);

	if (devdax && (flags & MEDIA_RAW || !dax_driver_exists(DAX_DRIVER_FSDEV)))
		return 0;
	return dax_need_fsdev(dev, path, flags & MEDIA_SET_MODE, msg, msg_size);
}

static void restore_driver(struct dax_device *dev, const char *old)
{
	char msg[TOOL_MSG_MAX];

	if (old[0] && strcmp(old, dev->driver) && dax_bind_driver(dev, old, msg, sizeof(msg)))
		tool_error("cannot put the old driver back: %s", msg);
}

int media_open(const char *path, unsigned int flags, const char *verb, struct openmedia **ret,
	       char *msg, size_t msg_size)
{
	char target[PATH_MAX], old[sizeof(((struct dax_device *)NULL)->driver)];
	struct dax_device dev;
	int rc;

	rc = dax_identify(path, &dev, msg, msg_size);
	if (rc)
		return rc;
	if (dax_find_mount(&dev, target, sizeof(target))) {
		if (!strcmp(verb, "fsck"))
			snprintf(msg, msg_size,
				 "cannot fsck by device (%s) when mounted: it is on %s", path,
				 target);
		else
			snprintf(msg, msg_size, "cannot %s while %s is mounted on %s", verb, path,
				 target);
		return -EBUSY;
	}
	memcpy(old, dev.driver, sizeof(old));
	rc = check_driver(&dev, path, flags, msg, msg_size);
	if (rc)
		return rc;
	rc = openmedia_open(path, &dev, flags & MEDIA_WRITE ? OPENMEDIA_WRITE : 0, ret, msg,
			    msg_size);
	if (rc)
		restore_driver(&dev, old);
	else
		memcpy((*ret)->old_driver, old, sizeof(old));
	return rc;
}

void media_close(struct openmedia *om, bool ok)
{
	struct dax_device dev;
	char old[sizeof(dev.driver)];

	if (!om)
		return;
	dev = om->dev;
	memcpy(old, om->old_driver, sizeof(old));
	openmedia_close(om);
	if (!ok)
		restore_driver(&dev, old);
}

void media_init(struct famfs_media *m, const struct openmedia *om, const char *name)
{
	famfs_media_init_memory(m, name, om->map, om->mapped, om->dev.size);
}

void media_print_error(void *ctx, const struct famfs_error *err)
{
	char text[FAMFS_ERROR_TEXT_MAX];

	(void)ctx;
	tool_error("%s", famfs_error_text(err, text, sizeof(text)));
}

const char *media_role(const struct famfs_super *super)
{
	uint8_t uuid[FAMFS_UUID_LEN];

	/* A host that has no identity cannot be the owner. */
	if (famfs_system_uuid_get(NULL, false, uuid) ||
	    memcmp(uuid, super->system_uuid, FAMFS_UUID_LEN))
		return "Client";
	return "Owner";
}
