#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""In the VM: mount each image of WORK/plan.json and look. One TAP line an image.

    check.py WORK DEVICE:SIZE...
"""

import glob
import hashlib
import json
import mmap
import os
import re
import stat
import subprocess
import sys
import time

MNT = b"/mnt/famfs"
MIB = 1 << 20


class Mismatch(Exception):
    pass


def check(cond, text, *args):
    if not cond:
        raise Mismatch(text % args)


def run(*cmd):
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors="replace", check=False)


class Device:
    def __init__(self, word):
        self.path, size = word.rsplit(":", 1)
        self.size = int(size)
        self.dirty = []

    def load(self, pieces, data):
        """What an image has, and nothing of the one before."""
        fd = os.open(self.path, os.O_RDWR)
        for at, length in self.dirty:
            while length:
                n = os.pwrite(fd, bytes(min(length, MIB)), at)
                at, length = at + n, length - n
        with open(data, "rb") as f:
            for at, length in pieces:
                while length:
                    n = os.pwrite(fd, f.read(min(length, MIB)), at)
                    at, length = at + n, length - n
        os.fsync(fd)
        os.close(fd)
        self.dirty = pieces


def choose(devices, sizes):
    """A device of the VM for each of the image, the smallest that will do."""
    free = sorted(devices, key=lambda d: d.size)
    out = []
    for size in sizes:
        fit = [d for d in free if d.size >= size]
        check(fit, "no device of %d bytes", size)
        out.append(fit[0])
        free.remove(fit[0])
    return out


def left():
    """What is left of a mount; its end is not waited for by umount(8)."""
    out = []
    for _ in range(150):
        out = [l for l in open("/proc/self/mountinfo") if "fuse.famfs" in l]
        out += glob.glob("/run/famfs/*") + glob.glob("/sys/fs/bpf/famfs/*")
        out += run("pidof", "famfs-holder", "famfs-bpfd").stdout.split()
        if not out:
            break
        time.sleep(0.1)
    return out


def log_lines(since):
    return [l for l in run("dmesg").stdout.splitlines()
            if "famfs" in l and float(l[1:].split("]")[0]) >= since]


def now():
    return float(open("/proc/uptime").read().split()[0]) - 0.5


def message(text, device, field):
    for part in (os.path.basename(device), "found ", "expected "):
        check(part in text, "message lacks '%s': %s", part, text)
    check(re.search(r" at 0x[0-9a-f]+: ", text), "message lacks the offset: %s", text)
    check(not field or "%s: found" % field in text, "not about field %s: %s", field, text)


def counters():
    for pid in run("pidof", "famfs-bpfd").stdout.split():
        for fd in glob.glob("/proc/%s/fd/*" % pid):
            if os.readlink(fd) == "/dev/fuse":
                with open(fd.replace("/fd/", "/fdinfo/")) as f:
                    return dict(re.findall(r"^iomap_(\w+):\t(\d+)$", f.read(), re.M))
    raise Mismatch("no /dev/fuse in the worker")


def tree():
    """{path: (is a directory, mode, uid, gid, size)}"""
    out = {}
    todo = [b""]
    while todo:
        top = todo.pop()
        for name in os.listdir(os.path.join(MNT, top)):
            path = os.path.join(top, name)
            if path == b".meta":
                continue
            st = os.lstat(os.path.join(MNT, path))
            is_dir = stat.S_ISDIR(st.st_mode)
            out[path] = (is_dir, st.st_mode & 0o7777, st.st_uid, st.st_gid,
                         0 if is_dir else st.st_size)
            if is_dir:
                todo.append(path)
    return out


def read_file(path, size):
    """sha256 by read(2) and by mmap"""
    by_read, by_mmap = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb", buffering=0) as f:
        while block := f.read(MIB):
            by_read.update(block)
        with mmap.mmap(f.fileno(), size, prot=mmap.PROT_READ) as m:
            for at in range(0, size, MIB):
                by_mmap.update(m[at:at + MIB])
    return by_read.hexdigest(), by_mmap.hexdigest()


def contents(image):
    n = 0
    for e in image["entries"]:
        if not e["sha256"] or not e["size"]:
            continue
        before = int(counters()["bpf"])
        got = read_file(os.path.join(MNT, e["path"].encode("latin-1")), e["size"])
        check(got == (e["sha256"],) * 2, "%s: sha256 by read, mmap: %s, expected %s",
              e["path"], got, e["sha256"])
        check(int(counters()["bpf"]) > before, "%s: nothing by BPF", e["path"])
        n += 1
    c = counters()
    check(c["upcall"] == "0", "%s upcalls", c["upcall"])
    rejects = {k: v for k, v in c.items() if k.startswith("reject_") and v != "0"}
    check(not rejects, "rejects: %s", rejects)
    return n


def mounted(image, devices, since):
    want = {e["path"].encode("latin-1"): (e["dir"], e["mode"], e["uid"], e["gid"],
                                         0 if e["dir"] else e["size"])
            for e in image["entries"]}
    got = tree()
    for path in sorted(set(want) | set(got)):
        check(want.get(path) == got.get(path), "%r: %s, expected %s", path,
              got.get(path), want.get(path))
    check(set(os.listdir(MNT + b"/.meta")) >= {b".superblock", b".log"}, "wrong .meta")
    skips = [l for l in log_lines(since) if "found " in l and "expected " in l]
    if image["skipped"] is None:
        check(not skips, "something was left out: %s", skips)
        note = ""
    else:
        check(len(skips) == 1, "left out: %s", skips)
        message(skips[0], devices[0].path, image["field"])
        note = "; " + skips[0].split("] ", 1)[1]
    return "tree of %d, sha256 of %d%s" % (len(want), contents(image), note)


def one(image, devices, work):
    used = choose(devices, [d["size"] for d in image["devices"]])
    for i, (dev, want) in enumerate(zip(used, image["devices"])):
        dev.load(want["pieces"], "%s/img/%s.%d" % (work, image["name"], i))
    since = now()
    more = ["dev=%d:%s" % (i, d.path) for i, d in enumerate(used) if i]
    # allow_suid: else modes are shown without these bits
    r = run("mount", "-t", "famfs", "-o", ",".join(["ro", "allow_suid"] + more),
            used[0].path, MNT.decode())
    try:
        if image["verdict"] == "reject":
            text = r.stdout.strip()
            check(r.returncode == 32, "exit status %d: %s", r.returncode, text)
            check("\n" not in text, "more than one line: %s", text)
            message(text, used[0].path, image["field"])
            return text
        check(r.returncode == 0, "exit status %d: %s", r.returncode, r.stdout)
        return mounted(image, used, since)
    finally:
        if os.path.ismount(MNT):
            run("umount", MNT.decode())
        still = left()
        check(not still, "left behind: %s", still)


def main():
    work, devices = sys.argv[1], [Device(w) for w in sys.argv[2:]]
    os.makedirs(MNT, exist_ok=True)
    with open(os.path.join(work, "plan.json"), encoding="utf-8") as f:
        images = json.load(f)
    bad = 0
    for n, image in enumerate(images, 1):
        try:
            note = one(image, devices, work).replace("#", "")
            print("ok %d - %s: %s # %s" % (n, image["name"], image["verdict"],
                                           note.encode("ascii", "replace").decode()), flush=True)
        except Mismatch as e:
            bad += 1
            print("not ok %d - %s: %s\n# %s" % (
                n, image["name"], image["verdict"],
                str(e).encode("ascii", "replace").decode().replace("\n", "\n# ")), flush=True)
    print("1..%d" % len(images))
    return bad > 0


sys.exit(main())
