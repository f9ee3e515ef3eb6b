#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""load.py DIR PATTERN STOP: faults, reads and lookups in DIR, all at once, until there
is a file STOP, while somebody kills the server. Prints one line a worker: what,
operations, failures, the longest one in ms; "hung" for one that does not end."""

import ctypes
import mmap
import os
import random
import signal
import sys
import time

DIR, PATTERN, STOP = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3]
# How long an operation may last before it counts as hung
HUNG_S = 300
# A worker rests for so many times as long as its operation took, but not for longer than
# that: nine that spin would leave the server no CPU
REST, REST_MAX_S = 8, 0.2
PAGE = 4096
MADV_DONTNEED = 4
libc = ctypes.CDLL(None, use_errno=True)


def faults(seed):
    """Every access is a fault: the page is dropped again at once."""
    rnd = random.Random(seed)
    fd = os.open(DIR + "/f1", os.O_RDWR)
    m = mmap.mmap(fd, len(PATTERN))
    os.close(fd)

    def one():
        at = rnd.randrange(len(PATTERN) // PAGE) * PAGE
        good = m[at:at + 64] == PATTERN[at:at + 64]
        m.madvise(MADV_DONTNEED, at, PAGE)
        return good
    return one


def writes(seed):
    """Write faults, and what they wrote."""
    rnd = random.Random(seed)
    fd = os.open(DIR + "/f2", os.O_RDWR)
    m = mmap.mmap(fd, len(PATTERN))
    os.close(fd)

    def one():
        at = rnd.randrange(len(PATTERN) // PAGE) * PAGE
        m[at:at + 8] = at.to_bytes(8, "little")
        m.madvise(MADV_DONTNEED, at, PAGE)
        return m[at:at + 8] == at.to_bytes(8, "little")
    return one


def reads(seed):
    rnd = random.Random(seed)
    fd = os.open(DIR + "/f1", os.O_RDONLY)

    def one():
        at = rnd.randrange(len(PATTERN) - PAGE)
        return os.pread(fd, PAGE, at) == PATTERN[at:at + PAGE]
    return one


def opens(_):
    def one():
        fd = os.open(DIR + "/f1", os.O_RDONLY)
        good = os.pread(fd, 16, 0) == PATTERN[:16]
        os.close(fd)
        return good
    return one


def missing(seed):
    rnd = random.Random(seed)
    return lambda: not os.path.exists("%s/none%d" % (DIR, rnd.randrange(1 << 30)))


def existing(seed):
    """A lookup that reaches the server, since the cache is dropped now and then."""
    rnd = random.Random(seed)
    names = ["f%d" % i for i in range(1, 9)]

    def one():
        if rnd.randrange(20) == 0:
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("2")
        return os.stat(DIR + "/" + rnd.choice(names)).st_size == len(PATTERN)
    return one


def listing(_):
    want = sorted("f%d" % i for i in range(1, 9))
    return lambda: sorted(os.listdir(DIR)) == want


def worker(name, one, pipe):
    count = failed = 0
    longest = 0.0
    while not os.path.exists(STOP):
        start = time.monotonic()
        try:
            good = one()
        except OSError as e:
            good = False
            os.write(2, ("%s: %s\n" % (name, e)).encode())
        took = time.monotonic() - start
        longest = max(longest, took)
        count += 1
        failed += not good
        time.sleep(min(REST * took, REST_MAX_S))
    os.write(pipe, ("%s %d %d %d\n" % (name, count, failed, longest * 1000)).encode())


def main():
    kinds = [faults, faults, writes, reads, opens, missing, missing, existing, listing]
    rd, wr = os.pipe()
    children = {}
    for i, kind in enumerate(kinds):
        name = "%s%d" % (kind.__name__, i)
        pid = os.fork()
        if pid == 0:
            worker(name, kind(i), wr)
            os._exit(0)
        children[pid] = name
    os.close(wr)
    while not os.path.exists(STOP):
        time.sleep(0.2)
    deadline = time.monotonic() + HUNG_S
    while children and time.monotonic() < deadline:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            name = children.pop(pid)
            if status:
                print("%s 0 1 0" % name)       # SIGBUS, or a bug
        else:
            time.sleep(0.05)
    sys.stdout.write(os.fdopen(rd).read() if not children else
                     os.read(rd, 65536).decode())
    for pid, name in children.items():
        print("%s hung" % name)
        os.kill(pid, signal.SIGKILL)
    sys.stdout.flush()
    os._exit(0)


main()
