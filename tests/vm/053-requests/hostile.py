#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""hostile.py SOCKET: records that no tool of ours sends, to the control socket. Each is
to be answered with an error, or the connection closed; nothing is to be made. Prints
what was not so, one a line."""

import random
import socket
import struct
import sys
import time

PATH = sys.argv[1]
STATUS, MKDIR, CREATE = 1, 2, 3
ENOENT, EINVAL, EOPNOTSUPP = -2, -22, -95
U64 = (1 << 64) - 1


def connect():
    s = socket.socket(socket.AF_UNIX)
    # A timeout of Python's would make a full backlog an error at once
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("qq", 60, 0))
    s.connect(PATH)
    s.settimeout(60)
    return s


def exactly(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            return None
        data += more
    return data


def reply(s):
    """err of the reply, None when the connection was closed."""
    try:
        head = exactly(s, 24)
        if head is None:
            return None
        length, _, _, err, text_len, _ = struct.unpack("<IHHiIQ", head)
        text = exactly(s, length - 24)
        if length - 24 != text_len or text is None:
            return "a reply that is none"
        return err
    except ConnectionResetError:
        return None


def ask(raw, close=False):
    with connect() as s:
        s.sendall(raw)
        if close:
            s.shutdown(socket.SHUT_WR)
        return reply(s)


def head(op, body, length=None, version=1):
    return struct.pack("<IHH", 8 + len(body) if length is None else length, version, op) + body


def mkdir(path, path_len=None, mode=0o755):
    n = len(path) if path_len is None else path_len
    return head(MKDIR, struct.pack("<IIII", 0, 0, mode, n) + path)


def create(path, size=2 << 20, nstrips=0, chunk=0, seed=0, nbuckets=0, path_len=None):
    n = len(path) if path_len is None else path_len
    return head(CREATE, struct.pack("<QIIIIQQII", size, 0, 0, 0o644, nstrips, chunk, seed,
                                    nbuckets, n) + path)


CLOSED = {
    "no record": b"",
    "half a header": b"\x08\0\0",
    "length 0": head(STATUS, b"", 0),
    "length 7": head(STATUS, b"", 7),
    "length 65537": head(STATUS, b"", 65537),
    "length 2^32 - 1": head(STATUS, b"", 0xffffffff),
    "version 0": head(STATUS, b"", None, 0),
    "version 2": head(STATUS, b"", None, 2),
    "half a body": head(MKDIR, b"x" * 10, 65536),
    "mkdir without a body": head(MKDIR, b""),
    "mkdir, path_len too large": mkdir(b"x", 2),
    "mkdir, path_len too small": mkdir(b"xy", 1),
    "mkdir, path_len 2^32 - 1": mkdir(b"x", 0xffffffff),
    "creat without a body": head(CREATE, b""),
    "creat, path_len too large": create(b"x", path_len=80),
    "creat, path_len 2^32 - 1": create(b"x", path_len=0xffffffff),
}
REFUSED = {
    "operation 0": head(0, b""),
    "operation 4": head(4, b""),
    "a reply": head(0x8001, b""),
    "path empty": mkdir(b""),
    "path of 80 bytes": mkdir(b"x" * 80),
    "path of 60000 bytes": mkdir(b"x" * 60000),
    "path absolute": mkdir(b"/x"),
    "path with NUL": mkdir(b"x\0y"),
    "path ..": mkdir(b".."),
    "path ../x": mkdir(b"../x"),
    "path d/../x": mkdir(b"d/../x"),
    "path .": mkdir(b"."),
    "path with //": mkdir(b"d//x"),
    "path with a slash at the end": mkdir(b"x/"),
    "path into a file": mkdir(b"d/f/x"),
    "path into nothing": mkdir(b"none/x"),
    "path that is there": mkdir(b"d"),
    "path in .meta": create(b".meta/x"),
    "creat, size 0": create(b"x", 0),
    "creat, size 2^63": create(b"x", 1 << 63),
    "creat, size 2^64 - 1": create(b"x", U64),
    "creat, larger than the device": create(b"x", (1 << 63) - 1),
    "creat, 17 strips": create(b"x", nstrips=17, chunk=2 << 20, nbuckets=17),
    "creat, 2^32 - 1 strips": create(b"x", nstrips=0xffffffff, chunk=2 << 20, nbuckets=2),
    "creat, chunk 0": create(b"x", nstrips=2, chunk=0, nbuckets=2),
    "creat, chunk 3": create(b"x", nstrips=2, chunk=3, nbuckets=2),
    "creat, chunk 2^63": create(b"x", nstrips=2, chunk=1 << 63, nbuckets=2),
    "creat, chunk 2^64 - 1": create(b"x", nstrips=2, chunk=U64, nbuckets=2),
    "creat, 0 buckets": create(b"x", nstrips=2, chunk=2 << 20, nbuckets=0),
    "creat, more strips than buckets": create(b"x", nstrips=3, chunk=2 << 20, nbuckets=2),
    "creat, 2^32 - 1 buckets": create(b"x", nstrips=2, chunk=2 << 20, nbuckets=0xffffffff),
}


def main():
    for name, raw in CLOSED.items():
        got = ask(raw, True)
        if got is not None:
            print("%s: wanted the connection closed, got %s" % (name, got))
    for name, raw in REFUSED.items():
        got = ask(raw)
        if not isinstance(got, int) or got >= 0:
            print("%s: wanted an error, got %s" % (name, got))

    # Noise, seeded: in all but the path, no part of which is a good one
    rnd = random.Random(1)
    for i in range(100):
        path = b"../x"
        raw = bytearray(rnd.choice([mkdir(path), create(path, nstrips=2, chunk=2 << 20,
                                                        nbuckets=2)]))
        for _ in range(rnd.randrange(1, 4)):
            raw[rnd.randrange(len(raw) - len(path))] = rnd.randrange(256)
        got = ask(bytes(raw), True)
        if got == 0 and raw[6] != STATUS:
            print("noise %d: accepted: %s" % (i, bytes(raw).hex()))

    # A client that asks and does not read, one that says nothing, and too many of them
    deaf = connect()
    deaf.settimeout(1)
    try:
        while True:
            deaf.sendall(head(STATUS, b"") * 100)
    except OSError:
        pass
    silent = [connect() for _ in range(20)]
    end = time.monotonic() + 120
    while True:
        try:
            if ask(head(STATUS, b"")) == 0:
                break
        except OSError:
            pass
        if time.monotonic() > end:
            print("others keep the socket for themselves")
            break
        time.sleep(0.5)
    for s in silent + [deaf]:
        s.close()


main()
