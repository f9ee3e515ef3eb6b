// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpfids: the struct_ops maps and links of the kernel, one a line. What bpftool would
 * show, without parsing the kernel's BTF each time, which takes seconds in a VM.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

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
		    info.type == BPF_MAP_TYPE_STRUCT_OPS)
			printf("map %u %s\n", id, info.name);
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
			printf("link %u\n", id);
		close(fd);
	}
	return errno == ENOENT ? 0 : 1;
}

int main(void)
{
	if (show_maps() || show_links()) {
		fprintf(stderr, "bpfids: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}
