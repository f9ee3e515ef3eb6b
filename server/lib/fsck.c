// SPDX-License-Identifier: GPL-2.0-only
/*
 * The text of famfs fsck. Scripts parse words and columns of these lines, so
 * labels and widths are an interface; docs/media.md says which ones.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <uuid/uuid.h>

#include "famfs_fsck.h"
#include "media_i.h"

#define GIB 1073741824.0

struct report {
	FILE *out;
	bool human;
};

/* A label of at least 24 columns, two spaces before it, then the bytes. */
static void size_line(const struct report *r, const char *label, uint64_t bytes)
{
	if (r->human)
		fprintf(r->out, "  %-23s %0.2fG\n", label, (double)bytes / GIB);
	else
		fprintf(r->out, "  %-23s %" PRIu64 "\n", label, bytes);
}

static void uuid_line(const struct report *r, const char *label, const uint8_t *uuid)
{
	char text[UUID_STR_LEN];

	uuid_unparse_lower(uuid, text);
	fprintf(r->out, "  %-18s %s\n", label, text);
}

static void print_mount(const struct famfs_fsck_mount *m, FILE *out)
{
	fprintf(out, "famfs fsck:\n");
	fprintf(out, "  mount point: %s\n", m->mount_point ? m->mount_point : "");
	fprintf(out, "  mount type:  %s\n", m->type ? m->type : "NOT_FAMFS");
	fprintf(out, "  backing dev: %s\n", m->backing_dev ? m->backing_dev : "");
	fprintf(out, "  shadow path: %s\n", m->shadow_path ? m->shadow_path : "");
}

static void print_devices(const struct famfs_fs *fs, const struct report *r)
{
	char name[4 * FAMFS_DEVNAME_LEN + 1], uuid[UUID_STR_LEN];

	famfs_escape(fs->super.dev_name, strnlen(fs->super.dev_name, FAMFS_DEVNAME_LEN), name,
		     sizeof(name));
	if (r->human)
		fprintf(r->out, "  primary: %s   %0.2fG\n", name, (double)fs->super.dev_size / GIB);
	else
		fprintf(r->out, "  primary: %s   %" PRIu64 "\n", name, fs->super.dev_size);
	for (uint32_t i = 1; i < fs->devs.count; i++) {
		uuid_unparse_lower(fs->devs.dev[i].uuid, uuid);
		if (r->human)
			fprintf(r->out, "  device %u: %s   %0.2fG\n", i, uuid,
				(double)fs->devs.dev[i].size / GIB);
		else
			fprintf(r->out, "  device %u: %s   %" PRIu64 "\n", i, uuid,
				fs->devs.dev[i].size);
	}
}

void famfs_fsck_print_super(const struct famfs_fs *fs, const struct famfs_fsck_options *opt,
			    FILE *out)
{
	struct report r = { out, opt->human };

	fprintf(out, "Famfs Superblock:\n");
	uuid_line(&r, "Filesystem UUID:", fs->super.uuid);
	uuid_line(&r, "Device UUID:", fs->super.dev_uuid);
	uuid_line(&r, "System UUID:", fs->super.system_uuid);
	fprintf(out, "  role of this node: %s\n", opt->role ? opt->role : "Client");
	fprintf(out, "  alloc_unit:        0x%" PRIx64 "\n", fs->super.alloc_unit);
	fprintf(out, "  OMF major version: %u\n", fs->super.omf_major);
	fprintf(out, "  OMF minor version: %u\n", fs->super.omf_minor);
	fprintf(out, "  sizeof superblock: %zu\n", sizeof(struct famfs_media_super));
	fprintf(out, "  log size (bytes):  %" PRIu64 "\n", fs->super.log_len);
	print_devices(fs, &r);
}

static void print_log_stats(const struct famfs_fs *fs, const struct report *r)
{
	uint64_t in_use = sizeof(struct famfs_media_log_header) +
			  fs->header.next_index * sizeof(struct famfs_media_entry);

	fprintf(r->out, "\nLog stats:\n");
	fprintf(r->out, "  # of log entries in use: %" PRIu64 " of %" PRIu64 "\n",
		fs->header.next_index, fs->header.slots);
	size_line(r, "Log size in use:", in_use);
	size_line(r, "Log size (total bytes):", fs->super.log_len);
}

static void print_capacity(const struct famfs_fs *fs, const struct report *r,
			   const struct famfs_alloc_stats *a)
{
	struct famfs_ns_stats ns;
	uint64_t head = 0;

	famfs_ns_stats(fs->ns, &ns);
	for (uint32_t i = 0; i < fs->devs.count; i++)
		head += fs->devs.dev[i].first;
	fprintf(r->out, "\nCapacity:\n");
	size_line(r, "Device capacity:", a->capacity);
	size_line(r, "Bitmap capacity:", a->bitmap);
	size_line(r, "Sum of file sizes:", ns.size_bytes);
	size_line(r, r->human ? "Allocated space:" : "Allocated bytes:", a->used);
	size_line(r, "Free space:", a->bitmap - a->used);
	fprintf(r->out, "  %-23s %0.2f\n", "Space amplification:",
		ns.size_bytes && a->used > head ? (double)(a->used - head) / (double)ns.size_bytes
						: 0.0);
	fprintf(r->out, "  %-23s %0.1f%%\n",
		"Percent used:", a->bitmap ? 100.0 * (double)a->used / (double)a->bitmap : 0.0);
}

static void print_log(const struct famfs_fs *fs, FILE *out)
{
	struct famfs_ns_stats ns;

	famfs_ns_stats(fs->ns, &ns);
	fprintf(out, "\nFamfs log:\n");
	fprintf(out, "  %" PRIu64 " of %" PRIu64 " entries used\n", fs->header.next_index,
		fs->header.slots);
	fprintf(out, "  %" PRIu64 " bad log entries detected\n", fs->bad);
	if (fs->skipped)
		fprintf(out, "  %" PRIu64 " entries left out\n", fs->skipped);
	fprintf(out, "  %" PRIu64 " files\n", ns.files);
	fprintf(out, "  %" PRIu64 " directories\n", ns.dirs);
}

static int print_buckets(const struct famfs_fs *fs, const struct report *r, uint32_t nbuckets,
			 const struct famfs_alloc_stats *a)
{
	struct famfs_bucket_stats b;
	uint64_t in_buckets = 0;

	for (uint32_t i = 0; i < nbuckets; i++) {
		if (famfs_alloc_bucket_stats(fs->alloc, nbuckets, i, &b))
			return -EINVAL;
		in_buckets += b.size;
	}
	fprintf(r->out, "\nStripe bucket info:\n");
	size_line(r, "Wasted overhang:", a->bitmap - in_buckets);
	for (uint32_t i = 0; i < nbuckets; i++) {
		famfs_alloc_bucket_stats(fs->alloc, nbuckets, i, &b);
		fprintf(r->out, "Bitmap range %u:", i);
		if (fs->devs.count > 1)
			fprintf(r->out, " (device %u)", b.devindex);
		fprintf(r->out, "\n");
		size_line(r, "Size:", b.size);
		size_line(r, "In use:", b.used);
		size_line(r, "Free:", b.size - b.used);
		fprintf(r->out, "  %-23s %" PRIu64 "\n", "Free fragments:", b.fragments);
		size_line(r, "Largest frag:", b.largest);
		size_line(r, "Smallest frag:", b.smallest);
	}
	return 0;
}

int64_t famfs_fsck_print(const struct famfs_fs *fs, const struct famfs_fsck_options *opt, FILE *out)
{
	struct report r = { out, opt->human };
	struct famfs_alloc_stats a;

	if (!fs->alloc)
		return -EINVAL;
	famfs_alloc_stats(fs->alloc, &a);
	if (opt->mount)
		print_mount(opt->mount, out);
	famfs_fsck_print_super(fs, opt, out);
	print_log_stats(fs, &r);
	if (opt->verbose)
		fprintf(out, "  log_len:           %" PRIu64 "\n", fs->super.log_len);
	if (a.collisions) {
		fprintf(out, "ERROR: %" PRIu64 " ALLOCATION COLLISIONS FOUND\n", a.collisions);
	} else {
		fprintf(out, "\nNo allocation errors found\n");
		print_capacity(fs, &r, &a);
	}
	print_log(fs, out);
	if (opt->nbuckets && print_buckets(fs, &r, opt->nbuckets, &a))
		return -EINVAL;
	return ferror(out) ? -EIO : (int64_t)a.collisions;
}
