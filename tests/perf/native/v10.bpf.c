// SPDX-License-Identifier: GPL-2.0-only
/*
 * V10's walk as BPF, so that the line counter can run it. It follows pointers, which no
 * verifier would allow: never loaded into a kernel.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "v10.h"

enum { ARG_META, ARG_DEVS, ARG_I_SIZE, ARG_POS, ARG_LEN, ARG_OUT };

SEC("v10")
int v10_begin(__u64 *ctx)
{
	return v10_resolve((const struct v10_meta *)ctx[ARG_META],
			   (const struct v10_devs *)ctx[ARG_DEVS], ctx[ARG_I_SIZE], ctx[ARG_POS],
			   ctx[ARG_LEN], (struct v10_iomap *)ctx[ARG_OUT]);
}
