#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Independent reader: the files of a famfs file system, from raw images.

    famfs-read.py DEVICE...             sha256, size and path of every file
    famfs-read.py --json DEVICE...      the whole tree as one JSON object a line
    famfs-read.py --cat PATH DEVICE...  the bytes of one file
    famfs-read.py --expect FILE DEVICE...  compare with an expect.json
    famfs-read.py --pattern DEVICE...   every file must hold its own pattern

DEVICE is PATH, PATH@BASE or PATH@BASE:SIZE, the primary first. A namespace
starts inside its backing file (usually 2 MiB in): that is what BASE is for.
Exit: 0, or 1 if something does not match or cannot be read, or 2 for usage.
"""

import argparse
import json
import sys

import famfs_media as fm


def shown(path):
    return path.decode("utf-8", "backslashreplace")


def list_files(vol, _args):
    for e in vol.files():
        print("%s %12d %s" % (vol.sha256(e), e["size"], shown(e["path"])))
    return 0


def list_json(vol, _args):
    for e in vol.dirs():
        print(json.dumps({"kind": "dir", "path": shown(e["path"]),
                          "mode": e["mode"] & 0o7777, "uid": e["uid"],
                          "gid": e["gid"]}))
    for e in vol.files():
        print(json.dumps({"kind": "file", "path": shown(e["path"]),
                          "mode": e["mode"] & 0o7777, "uid": e["uid"],
                          "gid": e["gid"], "size": e["size"],
                          "fmap": e["fmap"], "sha256": vol.sha256(e)}))
    return 0


def cat(vol, args):
    want = args.cat.encode("utf-8", "surrogateescape")
    for e in vol.files():
        if e["path"] == want:
            for piece in vol.content(e):
                sys.stdout.buffer.write(piece)
            return 0
    print("famfs-read: no file '%s'" % args.cat, file=sys.stderr)
    return 1


def expect(vol, args):
    with open(args.expect, encoding="utf-8") as f:
        want = {e["index"]: e for e in json.load(f)["entries"]
                if e.get("sha256")}
    # Every entry, also one whose path an earlier entry has: its bytes are there.
    files = {e["index"]: e for e in vol.entries if e["type"] == fm.FILE}
    bad = 0
    for index, e in sorted(want.items()):
        got = vol.sha256(files[index]) if index in files else "missing"
        if got != e["sha256"]:
            bad += 1
            print("entry %d '%s': sha256 %s, expected %s"
                  % (index, e["path"], got, e["sha256"]))
    print("%d files compared, %d differ" % (len(want), bad))
    return 1 if bad or not want else 0


def pattern(vol, _args):
    count = bad = 0
    for e in vol.files():
        count += 1
        if vol.sha256(e) != fm.generated_sha256(e["path"], e["size"]):
            bad += 1
            print("'%s': not its pattern" % shown(e["path"]))
    print("%d files compared, %d differ" % (count, bad))
    return 1 if bad or not count else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    group = p.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true")
    group.add_argument("--cat", metavar="PATH")
    group.add_argument("--expect", metavar="FILE")
    group.add_argument("--pattern", action="store_true")
    p.add_argument("device", nargs="+")
    args = p.parse_args()
    if args.json:
        action = list_json
    elif args.cat is not None:
        action = cat
    elif args.expect:
        action = expect
    elif args.pattern:
        action = pattern
    else:
        action = list_files
    try:
        vol = fm.Volume([fm.Device.parse(d) for d in args.device])
        return action(vol, args)
    except (fm.FamfsError, OSError) as e:
        print("famfs-read: %s" % e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
