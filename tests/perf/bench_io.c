// SPDX-License-Identifier: GPL-2.0-only
/*
 * read and write: pread(2) and pwrite(2) of --size bytes over a range of a file, in
 * sequence or at random, with and without O_DIRECT. fill: put the file there first.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void load_io(void)
{
	uint32_t *order = NULL;
	struct samples s;
	uint64_t bytes;
	size_t size = opts.size ? opts.size : SZ_4K, n;
	bool write = !strcmp(opts.load, "write");
	int fd = file_open(&bytes);
	char *buf;

	n = bytes / size;
	if (fd < 0 || !n)
		fail("%s: %s needs a file of at least --size bytes", opts.file, opts.load);
	if (opts.draws && opts.draws < n)
		n = opts.draws;
	if (posix_memalign((void **)&buf, SZ_4K, size) || samples_alloc(&s, n))
		fail("out of memory");
	memset(buf, 0x5a, size);
	if (opts.random && !(order = rng_permutation(opts.seed, bytes / size)))
		fail("out of memory");
	for (unsigned int pass = 0; pass < opts.passes; pass++) {
		struct json_object *params = params_new();
		struct pass counted;

		json_object_object_add(params, "size", json_object_new_int64((int64_t)size));
		json_object_object_add(params, "direct", json_object_new_boolean(opts.direct));
		json_object_object_add(params, "order",
				       json_object_new_string(opts.random ? "random"
									  : "sequential"));
		json_object_object_add(params, "pass",
				       json_object_new_string(pass ? "warm" : "cold"));
		s.n = 0;
		pass_begin(&counted);
		for (size_t i = 0; i < n; i++) {
			off_t at = (off_t)(opts.offset + (order ? order[i] : i) * size);
			uint64_t a = now();
			ssize_t done = write ? pwrite(fd, buf, size, at) : pread(fd, buf, size, at);
			uint64_t ticks = now() - a;

			if (done != (ssize_t)size)
				fail("%s: %s of %zu bytes at %lld: %s", opts.file, opts.load, size,
				     (long long)at, done < 0 ? strerror(errno) : "less was done");
			samples_add(&s, ticks);
		}
		pass_end(&counted);
		row_samples("call", params, &s);
		pass_rows(&counted, params, n);
	}
	free(order);
	free(buf);
	samples_free(&s);
	close(fd);
}

/* In 2 MiB writes, after fallocate(2), which is what makes ext4 and XFS use 2 MiB extents. */
void load_fill(void)
{
	char *buf;
	int fd;

	if (!opts.file || !opts.bytes)
		fail("fill needs --file and --bytes");
	fd = open(opts.file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		fail("%s: %s", opts.file, strerror(errno));
	if (posix_memalign((void **)&buf, SZ_4K, SZ_2M))
		fail("out of memory");
	memset(buf, 0x5a, SZ_2M);
	if (fallocate(fd, 0, 0, (off_t)opts.bytes) && errno != EOPNOTSUPP)
		fail("%s: no room for %llu bytes: %s", opts.file, (unsigned long long)opts.bytes,
		     strerror(errno));
	for (uint64_t at = 0; at < opts.bytes; at += SZ_2M) {
		size_t n = opts.bytes - at < SZ_2M ? opts.bytes - at : SZ_2M;

		if (pwrite(fd, buf, n, (off_t)at) != (ssize_t)n)
			fail("%s: write: %s", opts.file, strerror(errno));
	}
	if (fsync(fd) && errno != ENOSYS && errno != EINVAL)
		fail("%s: fsync: %s", opts.file, strerror(errno));
	free(buf);
	close(fd);
}
