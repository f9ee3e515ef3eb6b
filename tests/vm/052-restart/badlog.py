#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""badlog.py LOG index|entry N DELTA: damage to a mounted log, and its repair. index: next_index and
next_seqnum are N + DELTA entries; entry: one byte of entry N is changed, back again by the same words."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
import famfs_media as media  # noqa: E402 pylint: disable=wrong-import-position


def main():
    path, what, n, delta = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    fd = os.open(path, os.O_RDWR)
    log_len = os.fstat(fd).st_size
    if what == "index":
        os.pwrite(fd, media.encode_log_header(log_len, n + delta), 0)
    else:
        at = media.slot_offset(n) - media.LOG_OFFSET + 40
        os.pwrite(fd, bytes([os.pread(fd, 1, at)[0] ^ delta]), at)
    os.close(fd)


main()
