// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpfids: the struct_ops maps and links of the kernel, one a line. What bpftool would
 * show, without parsing the kernel's BTF each time, which takes seconds in a VM.
 *
 * bpfids maps: all maps, of whatever type.
 * bpfids left: the first, and what else a famfs mount leaves: mounts, directories of /run/famfs and
 * of its pins, processes. Ends are asynchronous, so it looks again for ten seconds, until nothing
 * is left; what is then, is printed. A shell that did so would start five programs each time.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

/* Where to print: a buffer for "left", which may look again */
static FILE *out;
static bool all_maps;

static int show_maps(void)
{
	struct bpf_map_info info;
	__u32 id = 0, len;
	int fd;

	while (!bpf_map_get_next_id(id, &id)) {
		fd = bpf_map_get_fd_by_id(id);
		if (fd < 0)
			continue;	/* gone meanwhile */
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (!bpf_map_get_info_by_fd(fd, &info, &len) &&
		    (all_maps || info.type == BPF_MAP_TYPE_STRUCT_OPS))
			fprintf(out, "map %u %s\n", id, info.name);
		close(fd);
	}
	return errno == ENOENT ? 0 : 1;
}

static int show_links(void)
{
	struct bpf_link_info info;
	__u32 id = 0, len;
	int fd;

	while (!bpf_link_get_next_id(id, &id)) {
		fd = bpf_link_get_fd_by_id(id);
		if (fd < 0)
			continue;
		len = sizeof(info);
		memset(&info, 0, sizeof(info));
		if (!bpf_link_get_info_by_fd(fd, &info, &len) &&
		    info.type == BPF_LINK_TYPE_STRUCT_OPS)
			fprintf(out, "link %u\n", id);
		close(fd);
	}
	return errno == ENOENT ? 0 : 1;
}

static void show_mounts(void)
{
	char line[8192];
	FILE *f = fopen("/proc/self/mountinfo", "r");

	if (!f) {
		fputs("mounts are not known\n", out);
		return;
	}
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "fuse.famfs"))
			fputs(line, out);
	fclose(f);
}

static void show_dir(const char *path)
{
	struct dirent *d;
	DIR *dir = opendir(path);

	if (!dir) {
		if (errno != ENOENT)
			fprintf(out, "%s: %s\n", path, strerror(errno));
		return;
	}
	while ((d = readdir(dir)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			fprintf(out, "%s/%s\n", path, d->d_name);
	closedir(dir);
}

static void show_processes(void)
{
	char path[300], comm[32], exe[8];
	struct dirent *d;
	DIR *dir = opendir("/proc");
	FILE *f;

	if (!dir) {
		fputs("processes are not known\n", out);
		return;
	}
	while ((d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		/* A zombie has none: it waits for its parent, and holds nothing */
		snprintf(path, sizeof(path), "/proc/%s/exe", d->d_name);
		if (readlink(path, exe, sizeof(exe)) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;	/* gone meanwhile */
		if (fgets(comm, sizeof(comm), f) &&
		    (!strcmp(comm, "famfs-holder\n") || !strcmp(comm, "famfs-bpfd\n")))
			fprintf(out, "%s %s", d->d_name, comm);
		fclose(f);
	}
	closedir(dir);
}

static int show_bpf(void)
{
	if (show_maps() || show_links()) {
		fprintf(stderr, "bpfids: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}

static int left(void)
{
	char *text = NULL;
	size_t size = 0;
	int i;

	for (i = 0; i < 100; i++) {
		free(text);
		out = open_memstream(&text, &size);
		if (!out) {
			/* Whoever compares with "nothing" must not find it */
			puts("no memory to look");
			return 1;
		}
		show_mounts();
		show_dir("/run/famfs");
		show_dir("/sys/fs/bpf/famfs");
		show_processes();
		if (show_bpf())
			fputs("what there is of BPF is not known\n", out);
		fclose(out);
		if (!size)
			break;
		usleep(100000);
	}
	fputs(text, stdout);
	free(text);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "left"))
		return left();
	all_maps = argc > 1 && !strcmp(argv[1], "maps");
	if (argc > 1 && !all_maps)
		return 2;
	out = stdout;
	return all_maps ? show_maps() : show_bpf();
}
