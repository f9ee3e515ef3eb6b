#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The library against device images: one TAP line per image.

    run-golden.py --dump MEDIA_DUMP [--only NAME]...

Two sets of images. `golden`: made by the real famfs, in $FAMFS_GOLDEN or, by
default, ../shared/golden beside the project. `made`: by tests/famfs-mkimage.py,
always, and the only ones where there is no golden data. For each image the tree
(ids, modes, owners, sizes, extents) must be exactly what expect.json says, in
both ways of reading; the content of files must have the sha256 it says; and a
bad one must be refused, or lose exactly the entry it says, for the reason that
the rule of that name is about, in a message with device, offset, field, found
and expected. --only NAME selects images; nothing is skipped silently.
"""

import argparse
import glob
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
ROOT = os.path.dirname(TESTS)

sys.path.insert(0, TESTS)
import famfs_media as fm  # noqa: E402

FILE, MKDIR, DELETE, ADD_DAXDEV, INVALID = range(5)
META = 1 << 32
MIB = 1 << 20

# Golden folders without a verdict of their own (golden/README.md), and the
# entry that is left out. Any other without one has to be accepted.
VERDICTS = {
    "empty": ("accept", None), "simple": ("accept", None),
    "interleaved": ("accept", None), "full": ("accept", None),
    "biglog": ("accept", None), "multidev": ("accept", None),
    "handbuilt-multiext": ("accept", None), "v47-simple": ("reject", None),
    "deleted": ("reject", None), "quirk-alloc-past-end": ("skip-entry", 1),
    "quirk-longpath": ("skip-entry", 3),
}
# The index words of these do not follow from their entries.
HIDDEN = {"edge-log-next-index-minus1": 1}
# Upstream's fsck counts what is not there: garbage behind the sixteenth extent,
# and all devices as if they were the first.
OTHER_COLLISIONS = {"bad-nextents-17", "multidev", "made-secondary"}


class Mismatch(Exception):
    pass


def check(cond, text, *args):
    if not cond:
        raise Mismatch(text % args)


class Runner:
    def __init__(self, dump, made, tmp):
        self.dump = dump
        self.made = made
        self.tmp = tmp
        self.expects = {}

    # -- inputs

    def expect(self, folder):
        if folder not in self.expects:
            with open(os.path.join(folder, "expect.json"), encoding="utf-8") as f:
                exp = json.load(f)
            packed = os.path.join(folder, "entries.jsonl.zst")
            if os.path.exists(packed):
                exp["sampled"] = exp["entries"]
                out = subprocess.run(["zstd", "-dcq", packed], check=True,
                                     stdout=subprocess.PIPE).stdout
                exp["entries"] = [json.loads(l) for l in out.splitlines()]
            self.expects[folder] = exp
        return self.expects[folder]

    def unpack(self, folder, exp):
        """Paths of the raw images, device 0 first."""
        out = []
        for dev in sorted(exp["devices"], key=lambda d: d["devindex"]):
            path = os.path.join(folder, dev["file"])
            if path.endswith(".tar.zst"):
                zstd = subprocess.Popen(["zstd", "-dcq", path],
                                        stdout=subprocess.PIPE)
                subprocess.run(["tar", "-C", self.tmp, "-xSf", "-"],
                               stdin=zstd.stdout, check=True)
                check(zstd.wait() == 0, "%s: zstd failed", path)
                path = os.path.join(self.tmp, dev["member"])
            check(os.path.getsize(path) == dev["logical_size"],
                  "%s has the wrong size", path)
            out.append(path)
        return out

    def run(self, images, *options):
        p = subprocess.run([self.dump, *options, *images], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(p.returncode == 0, "media-dump exits %d: %s", p.returncode,
              p.stderr.decode(errors="replace")[-2000:])
        return p.stdout

    def objects(self, images, *options):
        return [json.loads(l) for l in self.run(images, *options).splitlines()]

    # -- expectations

    def entries(self, folder, exp):
        """The log as it is in this image, from the base and the one change."""
        if not exp.get("base"):
            return exp["entries"]
        if "entries" in exp:
            entries = list(exp["entries"])
        else:
            base = os.path.join(os.path.dirname(folder), exp["base"])
            if not os.path.isdir(base):
                base = os.path.join(self.made, exp["base"])
            check(os.path.isdir(base), "no image '%s', which it is made from",
                  exp["base"])
            entries = list(self.expect(base)["entries"])
            changed = exp["changed_entry"]
            if changed:
                entries[changed["index"]:changed["index"] + 1] = [changed]
        return entries[:len(entries) - HIDDEN.get(exp["name"], 0)]

    def verdict(self, exp):
        """(verdict, index that is left out)"""
        if "strict" not in exp:
            return VERDICTS.get(exp["name"], ("accept", None))
        changed = exp.get("changed_entry")
        if exp["strict"] == "skip-entry":
            return "skip-entry", changed["index"]
        return exp["strict"], None

    def field(self, exp):
        """The field that the rule of this name is about."""
        if exp.get("field") is not None:
            return exp["field"]
        made = os.path.join(self.made, exp["name"])
        return self.expect(made)["field"] if os.path.isdir(made) else ""

    # -- comparing

    def image(self, folder):
        exp = self.expect(folder)
        images = self.unpack(folder, exp)
        verdict, skipped = self.verdict(exp)
        out = self.objects(images)
        check(strip(out) == strip(self.objects(images, "--map")),
              "pread and mapping give different results")
        if verdict == "reject":
            return self.refused(folder, exp, images, out)
        check(out[0]["kind"] != "refused", "refused: %s", out[0].get("text"))
        entries = self.entries(folder, exp)
        keep = {e["index"] for e in entries
                if e["index"] != skipped and e["type"] in (FILE, MKDIR)}
        self.tree(entries, keep, out)
        self.messages(exp, images, out, [] if skipped is None else [skipped])
        self.secondaries(exp, out)
        self.collisions(exp, out)
        self.facts(exp, images)
        note = self.content(exp, images, keep)
        left_out = [o["text"] for o in out if o["kind"] == "skip"]
        return "; ".join([note] + left_out)

    def refused(self, folder, exp, images, out):
        check(len(out) == 1 and out[0]["kind"] == "refused",
              "not refused, but %d lines", len(out))
        r = out[0]
        check(r["verdict"] == "refuse", "verdict %s", r["verdict"])
        self.message(exp, images, r)
        if r["object"] == 3:
            self.recovered(folder, exp, images, r["index"])
        return r["text"]

    def recovered(self, folder, exp, images, index):
        """recover plays exactly what is before the bad entry."""
        entries = [e for e in self.entries(folder, exp) if e["index"] < index]
        out = self.objects(images, "--recover")
        self.tree(entries, {e["index"] for e in entries
                            if e["type"] in (FILE, MKDIR)}, out)
        check(out[-1]["recovered"] == 1, "not marked as recovered")
        scan = self.objects(images, "--scan")
        check(scan[-1]["kind"] == "summary" and scan[-1]["bad"] >= 1,
              "scan does not count the bad entry")

    def tree(self, entries, keep, out):
        nodes = [o for o in out if o["kind"] in ("file", "dir")
                 and o["nodeid"] < META]
        want = {e["index"] + 2: want_node(e) for e in entries
                if e["index"] in keep}
        got = {o["nodeid"]: got_node(o) for o in nodes}
        check(len(got) == len(nodes), "a node id appears twice")
        for nodeid in sorted(set(want) | set(got)):
            check(want.get(nodeid) == got.get(nodeid),
                  "node %d: %s, expected %s", nodeid, got.get(nodeid),
                  want.get(nodeid))
        order = [o["nodeid"] for o in nodes]
        depth_first_in_log_order(nodes)
        check(out[-1]["files"] + out[-1]["dirs"] == len(order), "wrong counts")
        self.meta([o for o in out if o["kind"] in ("file", "dir")
                   and o["nodeid"] >= META], out[-1]["devices"])

    def meta(self, nodes, devices):
        names = [".meta", ".meta/.superblock", ".meta/.log"]
        names += [".meta/.superblock.%d" % i for i in range(1, devices)]
        check([(o["nodeid"] - META, path(o)) for o in nodes] ==
              list(enumerate(n.encode() for n in names)), "wrong .meta")
        check(nodes[1]["size"] == 2 * MIB and
              nodes[2]["extents"] == [[0, 2 * MIB, nodes[2]["size"]]],
              "wrong extents of .meta files")

    def message(self, exp, images, r):
        for part in (os.path.basename(images[0]), "0x%x" % r["offset"],
                     r["field"], r["found"], r["expected"]):
            check(part and part in r["text"], "message lacks '%s': %s", part,
                  r["text"])
        check(r["field"] == (self.field(exp) or r["field"]),
              "for another reason: %s, expected field %s", r["text"],
              self.field(exp))

    def messages(self, exp, images, out, want):
        skips = [o for o in out if o["kind"] == "skip"]
        check([o["index"] for o in skips] == want, "left out: %s, expected %s",
              [o["text"] for o in skips], want)
        for o in skips:
            check(o["verdict"] == "skip", "verdict %s", o["verdict"])
            self.message(exp, images, o)

    def secondaries(self, exp, out):
        found = [o for o in out if o["kind"].startswith("secondary")]
        check(len(found) == len(exp["devices"]) - 1, "devices: %s", found)
        ours = exp["name"] == "made-secondary" or \
            exp.get("base") == "made-secondary"
        for i, o in enumerate(found, 1):
            damaged = exp["name"] != "made-secondary" and i == 1
            if ours and not damaged:
                check(o["kind"] == "secondary", "device %d: %s", i, o)
            else:
                check(o["kind"] == "secondary-bad" and o["field"] ==
                      (exp.get("field") if ours else "ts_magic"),
                      "device %d: %s", i, o)

    def collisions(self, exp, out):
        stages = (exp.get("upstream") or exp.get("upstream_reader")
                  or {"stages": {}})["stages"]
        rc = stages.get("fsck_raw", {}).get("rc")
        if isinstance(rc, int) and rc >= 0 and \
                exp["name"] not in OTHER_COLLISIONS:
            check(out[-1]["collisions"] == rc, "%d collisions, upstream has %d",
                  out[-1]["collisions"], rc)

    def facts(self, exp, images):
        """Lines of upstream's fsck that ours has to have, word by word."""
        if exp.get("base") or exp["name"] in OTHER_COLLISIONS or \
                exp["name"].startswith("quirk"):
            return
        facts = exp.get("upstream_reader", {"stages": {}})["stages"]
        facts = facts.get("fsck_raw", {}).get("stdout_facts", [])
        lines = {l.strip() for l in
                 self.run(images, "--fsck").decode().splitlines()}
        for fact in facts:
            check(fact in lines, "fsck lacks the line '%s'", fact)

    def content(self, exp, images, keep):
        entries = [e for e in exp.get("sampled", exp.get("entries", []))
                   if e.get("sha256") and e["index"] in keep]
        if not entries:
            return "tree of %d" % len(keep)
        with subprocess.Popen([self.dump, "--cat", *images],
                              stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as p:
            p.stdin.write(b"".join(b"%d\n" % (e["index"] + 2)
                                   for e in entries))
            p.stdin.close()
            for e in entries:
                check(sha256_of(p.stdout, e["size"]) == e["sha256"],
                      "entry %d '%s': wrong content", e["index"], e["path"])
            check(not p.stdout.read(1), "more bytes than the files have")
        check(p.returncode == 0, "media-dump --cat exits %d", p.returncode)
        self.second_reader(images, entries)
        return "tree of %d, sha256 of %d by both readers" % (len(keep),
                                                             len(entries))

    def second_reader(self, images, entries):
        """famfs_media.py gets the same bytes, by code of its own."""
        vol = fm.Volume([fm.Device(i) for i in images])
        for e in entries:
            own = vol.entries[e["index"]]
            check(own["path"] == e["path"].encode("latin-1") and
                  own["fmap"] == e["fmap"] and vol.sha256(own) == e["sha256"],
                  "famfs_media.py: entry %d differs", e["index"])
        for dev in vol.devices.values():
            dev.close()


def strip(objects):
    return [{k: v for k, v in o.items() if k != "seconds"} for o in objects]


def path(node):
    return bytes.fromhex(node["path"])


def want_node(e):
    raw = e["path"].encode("latin-1")
    mode = e["mode"] & 0o7777
    if e["type"] == MKDIR:
        return ("dir", raw, mode | stat.S_IFDIR, e["uid"], e["gid"])
    fmap = e["fmap"]
    if fmap["ext_type"] == 1:
        il = fmap["ie"][0]
        chunk, ext = il["chunk_size"], il["strips"]
    else:
        chunk, ext = 0, fmap["se"][:fmap["nextents"]]
    return ("file", raw, mode | stat.S_IFREG, e["uid"], e["gid"], e["size"],
            fmap["ext_type"], chunk,
            [[x["devindex"], x["offset"], x["len"]] for x in ext])


def got_node(o):
    head = (o["kind"], path(o), o["mode"], o["uid"], o["gid"])
    if o["kind"] == "dir":
        return head
    return head + (o["size"], o["ext_type"], o["chunk"], o["extents"])


def depth_first_in_log_order(nodes):
    """readdir gives each directory in log order."""
    last = {}
    for o in nodes:
        parent = os.path.dirname(path(o))
        check(last.get(parent, 0) < o["nodeid"], "'%s' is out of order", path(o))
        last[parent] = o["nodeid"]


def sha256_of(stream, size):
    h = hashlib.sha256()
    while size:
        piece = stream.read(min(size, MIB))
        if not piece:
            return "too short"
        h.update(piece)
        size -= len(piece)
    return h.hexdigest()


def folders(top):
    return sorted(os.path.dirname(p)
                  for p in glob.glob(os.path.join(top, "*", "expect.json")))


def golden_folders():
    """(where they would be, those that are there)"""
    top = os.environ.get("FAMFS_GOLDEN") or \
        os.path.join(os.path.dirname(ROOT), "shared", "golden")
    return top, folders(top)


def make_images(top, golden):
    """The big one takes long and adds nothing where the golden one is."""
    cmd = [sys.executable, os.path.join(TESTS, "famfs-mkimage.py"), top]
    subprocess.run(cmd + (["--without", "biglog"] if golden else []), check=True)


def maker_covers(golden, made):
    """Every golden image has its like among the made ones."""
    missing = {os.path.basename(f) for f in golden} - \
        {os.path.basename(f) for f in made} - {"biglog"}
    check(not missing, "famfs-mkimage.py lacks %s", sorted(missing))
    return "%d names" % len(golden)


def tap(number, name, func, *args):
    try:
        note = func(*args)
        print("ok %d - %s # %s" % (number, name, note.replace("#", "")),
              flush=True)
        return True
    except Mismatch as e:
        print("not ok %d - %s" % (number, name))
        print("# %s" % str(e).replace("\n", "\n# "), flush=True)
        return False


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--dump", required=True)
    p.add_argument("--only", action="append", default=[])
    args = p.parse_args()
    top, golden = golden_folders()
    tmp = tempfile.mkdtemp(prefix="famfs-golden-")
    try:
        made_top = os.path.join(tmp, "made")
        make_images(made_top, golden)
        made = folders(made_top)
        if golden:
            print("# golden images: %d in %s" % (len(golden), top))
        else:
            print("# no golden images in %s: only those of the image maker, "
                  "which have the same names and rules" % top)
        todo = [("golden", f) for f in golden] + [("made", f) for f in made]
        if args.only:
            todo = [t for t in todo if os.path.basename(t[1]) in args.only]
        # Whoever names a directory may have put other images there
        covers = golden and not os.environ.get("FAMFS_GOLDEN")
        plan = len(todo) + bool(covers)
        print("1..%d" % plan, flush=True)
        unpacked = os.path.join(tmp, "unpacked")
        good = 0
        for i, (kind, folder) in enumerate(todo, 1):
            os.makedirs(unpacked)
            runner = Runner(args.dump, made_top, unpacked)
            good += tap(i, kind + "/" + os.path.basename(folder),
                        runner.image, folder)
            shutil.rmtree(unpacked)
        if covers:
            good += tap(plan, "maker covers golden", maker_covers, golden, made)
        return 0 if good == plan else 1
    finally:
        shutil.rmtree(tmp)


if __name__ == "__main__":
    sys.exit(main())
