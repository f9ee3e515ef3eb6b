#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""remake.py FILE BASE SIZE: write a famfs file system of one file, "new", 2 MiB of 'n', into
FILE at BASE. In the order of mkfs: old magic gone, log, superblock."""

import mmap
import os
import struct
import sys
import uuid
import zlib

MIB = 1 << 20
LOG_LEN = 8 * MIB
path, base, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def entry(index, name, offset):
    body = struct.pack("<QIIII80s", 2 * MIB, 2, 0, 0, 0o644, name)
    body += struct.pack("<IIII", 0, 0, 1, 0) + struct.pack("<QQQ", 0, offset, 2 * MIB)
    raw = struct.pack("<QII", index, 0, 0) + body.ljust(520, b"\0")
    return raw + struct.pack("<Q", zlib.crc32(raw))


def log(entries):
    head = struct.pack("<QQQ", 0xBADCAFEF00D, LOG_LEN, (LOG_LEN - 48) // 544 - 1)
    head += struct.pack("<QQQ", zlib.crc32(head), len(entries), len(entries))
    return (head + b"".join(entries)).ljust(LOG_LEN, b"\0")


def superblock():
    raw = struct.pack("<QQQQQII", 0x87B282FF, 48, 2 * MIB, LOG_LEN, 2 * MIB, 2, 2)
    raw += uuid.uuid4().bytes + uuid.uuid4().bytes + uuid.uuid4().bytes
    raw += struct.pack("<Q", zlib.crc32(raw)) + struct.pack("<II", 0, 0)
    return raw + struct.pack("<Q16s64s", size, b"", b"/dev/remade")


with open(path, "r+b") as f:
    m = mmap.mmap(f.fileno(), 32 * MIB, offset=base // mmap.ALLOCATIONGRANULARITY *
                  mmap.ALLOCATIONGRANULARITY)
    at = base % mmap.ALLOCATIONGRANULARITY
    m[at:at + 8] = bytes(8)
    data = 2 * MIB + LOG_LEN
    m[at + data:at + data + 2 * MIB] = b"n" * (2 * MIB)
    m[at + 2 * MIB:at + data] = log([entry(0, b"new", data)])
    m[at:at + 200] = superblock()
    m.flush()
