#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Choose golden images for ./run demo --golden and write what its VMs need.

    demo-golden.py DIR OUT      one directory OUT/N for each VM to boot

An image is a directory of DIR with an expect.json. Taken are the whole images
that should mount: those with data and without a "strict" verdict, except the
ones that README.md there says are to be refused. Any other is named, with the
reason. OUT/N gets
    golden              lines "NAME NUMBER_OF_DEVICES"
    golden.d/NAME.list  lines "SHA256 SIZE PATH" of the files it must have
    golden.d/NAME.I.tar.zst     the image of device I
    golden.d/NAME.json  its expect.json
    pmem                sizes of the emulated NVDIMMs, in the order of the devices
    mem                 memory of the VM in GiB
"""

import json
import os
import shutil
import sys

# No verdict in their expect.json; README.md beside them says why they are refused.
REFUSED = {"v47-simple": "superblock version 47", "deleted": "a DELETE entry"}

# Entries that are left out, with the rest mounted; again from README.md.
SKIPPED = {"quirk-alloc-past-end": {1}, "quirk-longpath": {3}}

# What a "strict" verdict is of: a change of another image, superblock and log only.
# `./run test golden` has them all.
STRICT = {
    "reject": "to be refused",
    "skip-entry": "without an entry, and without data to compare",
    "accept": "to be mounted, but without data to compare",
}

# A backing file is that much larger than the image it has to hold.
SLACK = 16 << 20
GIB = 1 << 30
# A VM's devices together, unless one alone is larger: bounds its memory.
VM_BYTES = 96 * GIB


def images(top):
    left_out = {}
    for name in sorted(os.listdir(top)):
        path = os.path.join(top, name, "expect.json")
        if not os.path.isfile(path):
            continue
        with open(path, encoding="utf-8") as f:
            expect = json.load(f)
        if "strict" in expect:
            left_out.setdefault(expect["strict"], []).append(name)
            continue
        if name in REFUSED:
            print("demo: %s is to be refused (%s): not for the demo" % (name, REFUSED[name]))
            continue
        yield name, path, expect
    for verdict, names in sorted(left_out.items()):
        print("demo: not for the demo, %s (%d): %s" % (
            STRICT.get(verdict, "verdict '%s'" % verdict), len(names), ", ".join(names)))


def files(name, expect):
    """(sha256, size, path) of every file that must be there; "-": bytes not known"""
    for e in expect["entries"]:
        if e["type_name"] == "FILE" and e["index"] not in SKIPPED.get(name, ()):
            if "\n" in e["path"]:
                sys.exit("demo: %s: path with a newline" % name)
            yield e.get("sha256") or "-", e["size"], e["path"]


def groups(found):
    """Images that share a VM"""
    group, total = [], 0
    for name, path, expect in sorted(found, key=lambda x: sum(
            d["logical_size"] for d in x[2]["devices"])):
        size = sum(d["logical_size"] for d in expect["devices"])
        if group and total + size > VM_BYTES:
            yield group, total
            group, total = [], 0
        group.append((name, path, expect))
        total += size
    if group:
        yield group, total


def write_group(out, top, group, total):
    data = os.path.join(out, "golden.d")
    os.makedirs(data)
    sizes = []
    with open(os.path.join(out, "golden"), "w", encoding="utf-8") as order:
        for name, path, expect in group:
            shutil.copy(path, os.path.join(data, name + ".json"))
            for i, dev in enumerate(expect["devices"]):
                shutil.copy(os.path.join(top, name, dev["file"]),
                            os.path.join(data, "%s.%d.tar.zst" % (name, i)))
                sizes.append(dev["logical_size"] + SLACK)
            # One character of their paths is one byte on media.
            with open(os.path.join(data, name + ".list"), "w", encoding="latin-1") as f:
                for line in files(name, expect):
                    f.write("%s %d %s\n" % line)
            order.write("%s %d\n" % (name, len(expect["devices"])))
    with open(os.path.join(out, "pmem"), "w", encoding="utf-8") as f:
        f.write("\n".join(map(str, sizes)) + "\n")
    with open(os.path.join(out, "mem"), "w", encoding="utf-8") as f:
        # struct pages are 1/64 of a device
        f.write("%d\n" % (total // 64 // GIB + 3))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    top, out = sys.argv[1:]
    if not os.path.isdir(top):
        sys.exit("demo: no directory %s" % top)
    n = 0
    for group, total in groups(list(images(top))):
        write_group(os.path.join(out, str(n)), top, group, total)
        n += 1
    if not n:
        sys.exit("demo: no golden image that should mount in %s" % top)


if __name__ == "__main__":
    main()
