#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""On the host: turn golden images into what the VM can load fast.

    prepare.py WORK

Images are those of run-golden.py: of $FAMFS_GOLDEN or ../shared/golden, and
where there are none, those of tests/famfs-mkimage.py. WORK/img/NAME.N has the
data of device N without holes, WORK/plan.json where each piece belongs and what
is expected, WORK/notes what is not run here and why.
"""

import importlib.util
import json
import os
import shutil
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(os.path.dirname(HERE))
spec = importlib.util.spec_from_file_location(
    "run_golden", os.path.join(TESTS, "golden", "run-golden.py"))
rg = importlib.util.module_from_spec(spec)
spec.loader.exec_module(rg)

# The largest device that the VM has.
LARGEST = 32 << 30
# A mount needs a device for each; those of the VM have other sizes.
SMALLEST = 4 << 30


def pieces(image, out):
    """Copy what is not a hole; [offset, length] of each."""
    found = []
    with open(image, "rb") as src, open(out, "wb") as dst:
        end = os.fstat(src.fileno()).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(src.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            stop = os.lseek(src.fileno(), at, os.SEEK_HOLE)
            found.append([at, stop - at])
            src.seek(at)
            while at < stop:
                block = src.read(min(stop - at, 1 << 20))
                dst.write(block)
                at += len(block)
    return found


def wanted(entries, skipped, has_data):
    for e in entries:
        if e["index"] == skipped or e["type"] not in (rg.FILE, rg.MKDIR):
            continue
        yield {"path": e["path"], "dir": e["type"] == rg.MKDIR,
               "mode": e["mode"] & 0o7777, "uid": e["uid"], "gid": e["gid"],
               "size": e.get("size", 0), "sha256": e.get("sha256") if has_data else None}


def plan(runner, folder, work):
    exp = runner.expect(folder)
    name = exp["name"]
    verdict, skipped = runner.verdict(exp)
    one = {"name": name, "verdict": verdict, "skipped": None, "entries": [],
           "field": "" if verdict == "accept" else runner.field(exp), "devices": []}
    if verdict != "reject":
        entries = runner.entries(folder, exp)
        # What is a change of another image has superblock and log only
        one["entries"] = list(wanted(entries, skipped, not exp.get("base")))
        one["skipped"] = skipped
    for i, image in enumerate(runner.unpack(folder, exp)):
        one["devices"].append({
            "size": os.path.getsize(image),
            "pieces": pieces(image, os.path.join(work, "img", "%s.%d" % (name, i)))})
        os.unlink(image)
    return one


def main():
    work = sys.argv[1]
    tmp = tempfile.mkdtemp(prefix="golden-", dir=work)
    made_top = os.path.join(tmp, "made")
    top, golden = rg.golden_folders()
    rg.make_images(made_top, True)
    notes, plans = [], []
    if golden:
        notes.append("golden images of %s" % top)
    else:
        notes.append("no golden images in %s: those of tests/famfs-mkimage.py" % top)
    os.mkdir(os.path.join(work, "img"))
    for folder in golden or rg.folders(made_top):
        with open(os.path.join(folder, "expect.json"), encoding="utf-8") as f:
            sizes = [d["logical_size"] for d in json.load(f)["devices"]]
        name = os.path.basename(folder)
        if min(sizes) < SMALLEST:
            notes.append("%s: too short for a DAX device, on the host only" % name)
            continue
        if max(sizes) > LARGEST:
            notes.append("%s: %d GiB, in ./run demo --golden" % (name, max(sizes) >> 30))
            continue
        if len(sizes) > 3:
            notes.append("%s: %d devices, on the host only" % (name, len(sizes)))
            continue
        unpacked = os.path.join(tmp, "unpacked")
        os.mkdir(unpacked)
        runner = rg.Runner(None, made_top, unpacked)
        plans.append(plan(runner, folder, work))
        shutil.rmtree(unpacked)
    shutil.rmtree(tmp)
    with open(os.path.join(work, "notes"), "w", encoding="utf-8") as f:
        f.write("\n".join(notes) + "\n")
    with open(os.path.join(work, "plan.tmp"), "w", encoding="utf-8") as f:
        json.dump(plans, f)
    os.rename(os.path.join(work, "plan.tmp"), os.path.join(work, "plan.json"))


main()
