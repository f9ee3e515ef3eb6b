// SPDX-License-Identifier: GPL-2.0-only
/*
 * famfs dev: devices and their drivers. "list" looks at the dax bus and at DAX
 * block devices; "bind" and "unbind" give a device to fsdev_dax and back to
 * device_dax. Binding is for administrators: nothing else here does it, but -M.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

#include <json-c/json.h>

#include "commands.h"
#include "daxdev.h"
#include "tool.h"

static void print_usage(FILE *out)
{
	fprintf(out,
		"Usage: famfs dev list [--json]\n"
		"       famfs dev bind DEVICE      give it to fsdev_dax, for famfs\n"
		"       famfs dev unbind DEVICE    give it back to device_dax\n"
		"DEVICE is a path like /dev/dax0.0. A device that is mounted, open, or used as\n"
		"system RAM is refused.\n");
}

static const char *kind_name(enum dax_kind kind)
{
	return kind == DAX_BLOCK ? "block" : kind == DAX_CHAR ? "char" : "image";
}

static struct json_object *describe(const char *path)
{
	char msg[TOOL_MSG_MAX], target[4096];
	struct json_object *o;
	struct dax_device d;

	if (dax_identify(path, &d, msg, sizeof(msg)))
		return NULL; /* a block device without DAX: not ours */
	o = json_object_new_object();
	json_object_object_add(o, "device", json_object_new_string(path));
	json_object_object_add(o, "kind", json_object_new_string(kind_name(d.kind)));
	json_object_object_add(o, "driver", d.driver[0] ? json_object_new_string(d.driver) : NULL);
	json_object_object_add(o, "size", json_object_new_int64(d.size));
	json_object_object_add(
		o, "mounted_on",
		dax_find_mount(&d, target, sizeof(target)) ? json_object_new_string(target) : NULL);
	return o;
}

static int add_all(const char *dir, struct json_object *list)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	char path[512];

	if (!d)
		return errno == ENOENT ? 0 : -errno;
	while ((de = readdir(d))) {
		struct json_object *o;

		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/dev/%s", de->d_name);
		o = describe(path);
		if (o)
			json_object_array_add(list, o);
	}
	closedir(d);
	return 0;
}

static int compare(const void *a, const void *b)
{
	struct json_object *const *x = a, *const *y = b;

	return strcmp(json_object_get_string(json_object_object_get(*x, "device")),
		      json_object_get_string(json_object_object_get(*y, "device")));
}

static const char *string_of(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_string(v) : "-";
}

static int list_devices(bool json)
{
	struct json_object *list = json_object_new_array();
	int rc;

	rc = add_all("/sys/bus/dax/devices", list);
	if (!rc)
		rc = add_all("/sys/class/block", list);
	if (rc) {
		tool_error("cannot list devices: %s", strerror(-rc));
		json_object_put(list);
		return rc;
	}
	json_object_array_sort(list, compare);
	if (json) {
		printf("%s\n", json_object_to_json_string_ext(list, JSON_C_TO_STRING_PRETTY));
	} else {
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *o = json_object_array_get_idx(list, i);

			printf("%-16s %-6s %-12s %16" PRId64 "  %s\n", string_of(o, "device"),
			       string_of(o, "kind"), string_of(o, "driver"),
			       json_object_get_int64(json_object_object_get(o, "size")),
			       string_of(o, "mounted_on"));
		}
	}
	json_object_put(list);
	return 0;
}

static int change_driver(const char *path, const char *driver)
{
	char msg[TOOL_MSG_MAX];
	struct dax_device dev;
	int rc;

	rc = dax_identify(path, &dev, msg, sizeof(msg));
	if (!rc)
		rc = dax_bind_driver(&dev, driver, msg, sizeof(msg));
	if (rc) {
		tool_error("%s", msg);
		return rc;
	}
	printf("%s: driver %s\n", path, dev.driver);
	return 0;
}

int famfs_cmd_dev(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	const char *verb;
	int c;

	/* No "+": "famfs dev list --json" reads better than "famfs dev --json list". */
	while ((c = getopt_long(argc, argv, "jh?", options, NULL)) != -1) {
		if (c == '?')
			return commands_bad_option(argv, print_usage);
		if (c == 'h') {
			print_usage(stdout);
			return 0;
		}
		json = true;
	}
	verb = optind < argc ? argv[optind] : "";
	if (!strcmp(verb, "list") && argc - optind == 1)
		return list_devices(json);
	if (!strcmp(verb, "bind") && argc - optind == 2)
		return change_driver(argv[optind + 1], DAX_DRIVER_FSDEV);
	if (!strcmp(verb, "unbind") && argc - optind == 2)
		return change_driver(argv[optind + 1], DAX_DRIVER_DEVDAX);
	print_usage(stderr);
	return EXIT_BAD_USAGE;
}
