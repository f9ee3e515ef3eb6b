/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The BPF program of daxslice: load it for a table, attach it to a connection.
 */
#ifndef DAXSLICE_SLICE_BPF_H
#define DAXSLICE_SLICE_BPF_H

#include "session.h"
#include "table.h"

struct slice_bpf;

/**
 * slice_bpf_attach() - load the program, fill its arrays, attach it to fuse_fd
 *
 * The table must have the kernel's ids. The connection must have chosen
 * FUSE_IOMAP_METHOD_BPF. Return: 0 or -errno, with a sentence in msg.
 */
int slice_bpf_attach(const struct table *t, int fuse_fd, struct slice_bpf **ret,
		     struct session_msg *msg);

/** slice_bpf_free() - detach and unload; NULL is fine */
void slice_bpf_free(struct slice_bpf *b);

#endif /* DAXSLICE_SLICE_BPF_H */
