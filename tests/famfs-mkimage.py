#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Independent image maker: famfs device images, good and damaged.

    famfs-mkimage.py [--pack] OUT [NAME...]     one folder per image
    famfs-mkimage.py --list                     names, verdicts, what is wrong
    famfs-mkimage.py --big ENTRIES [--log-len N] IMAGE
                                                one image with a long log

Each folder gets devN.img (sparse; --pack: devN.img.tar.zst) and expect.json in
the form of the golden data, with two keys more: `field`, which the refusal has
to name, and for damaged images one rule each, as a change against a good image
of the same run. Nothing of the C side is used. Damage is made with right crcs
unless the crc is the point, so that the rule itself is reached, and the maker
proves that the bytes differ from those of the base.
"""

import argparse
import copy
import json
import os
import struct
import subprocess
import sys
import uuid

import famfs_media as fm
from famfs_media import GIB, MIB

NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
SYSTEM = uuid.UUID("0f1e2d3c-4b5a-4978-8796-a5b4c3d2e1f0")
TOP = 2 * MIB + fm.LOG_MIN


def fixed_uuid(*parts):
    """Same name, same uuid: images are reproducible byte by byte."""
    return uuid.uuid5(NAMESPACE, "/".join(map(str, parts))).bytes


# ---- model -----------------------------------------------------------------


class Dev:
    def __init__(self, name, index, size, secondary):
        self.size = size
        self.index = index
        self.uuid = fixed_uuid(name, "dev", index)
        self.secondary = secondary      # has a superblock of its own
        self.next = TOP if index == 0 else 2 * MIB


class Image:
    def __init__(self, name, sizes=(4 * GIB,), secondary=False):
        self.name = name
        self.devs = [Dev(name, i, s, secondary) for i, s in enumerate(sizes)]
        self.uuid = fixed_uuid(name, "fs")
        self.log_len = fm.LOG_MIN
        self.entries = []
        self.sb = {}                    # fields over the defaults
        self.sb_dd_size = None
        self.sb_flags = 0
        self.sb_dd_uuid = bytes(16)
        self.system = SYSTEM.bytes
        self.header = {}
        self.next_index = None
        self.next_seqnum = None
        self.seqnum = {}                # slot -> seqnum that lies
        self.pad = {}
        self.patches = []               # (device, offset, bytes), last
        self.truncate = None

    # -- building

    def take(self, length, dev=0):
        d = self.devs[dev]
        start, d.next = d.next, d.next + length
        return {"devindex": dev, "offset": start, "len": length}

    def add(self, etype, **fields):
        self.entries.append({"type": etype, **fields})
        return len(self.entries) - 1

    def mkdir(self, path, mode=0o755, uid=0, gid=0):
        return self.add(fm.MKDIR, path=path, mode=mode, uid=uid, gid=gid)

    def file(self, path, size, mode=0o644, uid=0, gid=0, fmap=None):
        if fmap is None:
            length = max(1, -(-size // (2 * MIB))) * 2 * MIB
            fmap = simple(self.take(length))
        return self.add(fm.FILE, path=path, size=size, mode=mode, uid=uid,
                        gid=gid, fmap=fmap)

    def striped(self, path, size, nstrips, chunk=2 * MIB, devs=(0,)):
        length = -(-size // (nstrips * chunk)) * chunk
        strips = [self.take(length, devs[i % len(devs)])
                  for i in range(nstrips)]
        return self.file(path, size, uid=1000, gid=1000,
                         fmap=interleaved(chunk, strips))

    def daxdev(self, index):
        return self.add(fm.ADD_DAXDEV, dd_size=self.devs[index].size,
                        dd_uuid=self.devs[index].uuid, dd_index=index)

    def find(self, path):
        return next(i for i, e in enumerate(self.entries)
                    if e.get("path") == path)

    # -- rendering

    def superblock(self, dev=0):
        d = self.devs[dev]
        if dev:
            return fm.encode_super(self.log_len, self.uuid, d.uuid,
                                   self.system, d.size, "/dev/dax%d.0" % dev,
                                   fm.SB_SECONDARY, d.uuid)
        args = {"log_len": self.log_len, **self.sb}
        size = d.size if self.sb_dd_size is None else self.sb_dd_size
        return fm.encode_super(args.pop("log_len"), self.uuid, d.uuid,
                               self.system, size, "/dev/dax0.0",
                               self.sb_flags, self.sb_dd_uuid, **args)

    def entry_bytes(self, index):
        e = self.entries[index]
        if e["type"] == fm.FILE:
            body = fm.encode_file(e["path"], e["size"], e["mode"], e["uid"],
                                  e["gid"], e["fmap"])
        elif e["type"] == fm.MKDIR:
            body = fm.encode_mkdir(e["path"], e["mode"], e["uid"], e["gid"])
        elif e["type"] == fm.ADD_DAXDEV:
            body = fm.encode_add_daxdev(e["dd_size"], e["dd_uuid"],
                                        e["dd_index"])
        else:
            body = b""
        return fm.encode_entry(self.seqnum.get(index, index), e["type"], body,
                               self.pad.get(index, 0))

    def header_bytes(self):
        n = len(self.entries)
        nxt = n if self.next_index is None else self.next_index
        seq = nxt if self.next_seqnum is None else self.next_seqnum
        return fm.encode_log_header(self.log_len, nxt, seq, **self.header)

    def meta(self):
        """(device, offset, bytes) of superblocks and log."""
        out = [(0, 0, self.superblock())]
        out += [(d.index, 0, self.superblock(d.index))
                for d in self.devs[1:] if d.secondary]
        log = self.header_bytes()
        log += b"".join(self.entry_bytes(i) for i in range(len(self.entries)))
        out.append((0, fm.LOG_OFFSET, log))
        return out + self.patches

    def write(self, folder, data):
        for d in self.devs:
            size = d.size
            if d.index == 0 and self.truncate is not None:
                size = self.truncate
            with open(os.path.join(folder, "dev%d.img" % d.index), "wb") as f:
                f.truncate(size)
                for dev, offset, raw in self.meta():
                    if dev == d.index and offset < size:
                        f.seek(offset)
                        f.write(raw[:size - offset])
        if data:
            self.write_data(folder)

    def write_data(self, folder):
        files = [open(os.path.join(folder, "dev%d.img" % d.index), "r+b")
                 for d in self.devs]
        for e in self.entries:
            if e["type"] != fm.FILE or not e["size"]:
                continue
            content = b"".join(fm.generate(e["path"], e["size"]))
            walk = fm.walk_simple if e["fmap"]["ext_type"] == fm.SIMPLE \
                else fm.walk_interleaved
            pos = 0
            for dev, offset, length in walk(e["size"], e["fmap"]):
                files[dev].seek(offset)
                files[dev].write(content[pos:pos + length])
                pos += length
        for f in files:
            f.close()

    # -- expectations

    def entry_json(self, index, data):
        e = {"index": index, "seqnum": self.seqnum.get(index, index)}
        e.update(self.entries[index])
        e["type_name"] = fm.TYPE_NAMES.get(e["type"], "?")
        if "dd_uuid" in e:
            e["dd_uuid"] = str(uuid.UUID(bytes=e["dd_uuid"]))
        if "path" in e:     # bytes as Latin-1, as the golden data has them
            raw = fm.encode_path(e["path"]).split(b"\0")[0]
            e["path"] = raw.decode("latin-1")
            if data and e["type"] == fm.FILE:
                e["sha256"] = fm.generated_sha256(raw, e["size"])
        return e


def simple(*extents):
    return {"ext_type": 0, "nextents": len(extents), "se": list(extents)}


def interleaved(chunk, strips):
    return {"ext_type": 1, "niext": 1,
            "ie": [{"nstrips": len(strips), "chunk_size": chunk,
                    "strips": strips}]}


# ---- good images -----------------------------------------------------------


def good_empty():
    return Image("empty")


def good_simple():
    m = Image("simple")
    for path, mode, uid, gid in (
            ("d1", 0o755, 0, 0), ("half-owner", 0o755, 0, 1000),
            ("d1/d2", 0o750, 1000, 1001), ("d1/d2/d3", 0o700, 1001, 1002),
            ("sticky", 0o1777, 0, 0), ("modezero", 0, 65534, 65534)):
        m.mkdir(path, mode, uid, gid)
    big = 4294967294
    for path, mode, uid, gid, size in (
            ("one", 0o644, 0, 0, 1), ("b4095", 0o600, 1000, 1000, 4095),
            ("b4096", 0o640, 0, 1000, 4096), ("b4097", 0o664, 1000, 0, 4097),
            ("m2", 0o644, 0, 0, 2 * MIB), ("m2p1", 0o444, 0, 0, 2 * MIB + 1),
            ("m2m1", 0o644, 12, 34, 2 * MIB - 1), ("m6", 0o755, 0, 0, 6 * MIB),
            ("d1/one", 0o4755, 0, 0, 1), ("d1/b4095", 0o2755, 1, 1, 4095),
            ("d1/m2", 0o1644, 65534, 65534, 2 * MIB),
            ("d1/d2/b4096", 0, big, big, 4096),
            ("d1/d2/m2p1", 0o666, 1000, 1000, 2 * MIB + 1),
            ("d1/d2/m4", 0o777, 0, 0, 4 * MIB),
            ("d1/d2/d3/one", 0o600, 1000, 1000, 1),
            ("d1/d2/d3/m6p5", 0o644, 1000, 1000, 6 * MIB + 5),
            ("d1/d2/d3/b100000", 0o640, 7, 8, 100000),
            ("sticky/.hidden", 0o600, 0, 0, 4096),
            ("sticky/caf\u00e9-\u6f22\u5b57", 0o644, 0, 0, 777),
            ("sticky/a:b#c'd\"e", 0o644, 0, 0, 513),
            ("d1/d2/" + "p" * 73, 0o644, 0, 0, 4096),
            ("last", 0o644, 0, 0, 8 * MIB)):
        m.file(path, size, mode, uid, gid)
    return m


def good_interleaved():
    m = Image("interleaved", (16 * GIB,))
    m.mkdir("il")
    m.file("il/n2c2_small", 2 * MIB - 1, uid=1000, gid=1000)
    m.striped("il/n2c2_exact1chunk", 2 * MIB, 2)
    m.striped("il/n2c2_5m", 5 * MIB + 3, 2)
    m.striped("il/n2c2_4m", 4 * MIB, 2)
    m.striped("il/n3c2_7m", 7 * MIB + 4095, 3)
    m.striped("il/n3c2_6m", 6 * MIB, 3)
    m.striped("il/n4c4_33m", 33 * MIB + 1, 4, 4 * MIB)
    m.striped("il/n4c4_4m", 4 * MIB, 4, 4 * MIB)
    m.file("il/n4c4_3m_contig", 3 * MIB)
    m.striped("il/n3of6c2_13m", 13 * MIB, 3)
    m.striped("il/n6c4_30m", 30 * MIB + 12345, 6, 4 * MIB)
    m.striped("il/n5of8c2_21m", 21 * MIB - 1, 5)
    m.striped("il/n1c2_6m", 6 * MIB + 6, 1)
    m.striped("il/n16c2_40m", 40 * MIB + 77, 16)
    m.file("il/plain_3m", 3 * MIB)
    return m


def good_multiext():
    m = Image("handbuilt-multiext")
    m.mkdir("d")
    m.file("d/up", 4096)
    m.file("d/two", 3 * MIB, fmap=simple(m.take(2 * MIB), m.take(2 * MIB)))
    ext = [m.take((2 + 2 * (i % 2)) * MIB) for i in range(16)]
    m.file("d/sixteen", 47 * MIB + 9, fmap=simple(*reversed(ext)))
    m.file("d/zero", 0, fmap=simple())
    m.file("d/zero-with-extent", 0, fmap=simple(m.take(2 * MIB)))
    m.file("d/over-allocated", 10, fmap=simple(m.take(16 * MIB)))
    return m


def multi_files(m):
    m.mkdir("m")
    m.file("m/on0", 2 * MIB + 1)
    for d in m.devs[1:]:
        m.daxdev(d.index)
    m.mkdir("m/sub")
    m.file("m/on1", 5000, fmap=simple(m.take(2 * MIB, 1)))
    m.file("m/on2", 4 * MIB - 7, fmap=simple(m.take(4 * MIB, 2)))
    m.file("m/span012", 9 * MIB + 11, fmap=simple(
        m.take(2 * MIB), m.take(4 * MIB, 1), m.take(4 * MIB, 2)))
    m.striped("m/sub/il3", 17 * MIB + 3, 3, devs=(1, 0, 2))
    m.striped("m/sub/il4same", 15 * MIB, 4, 4 * MIB, devs=(2, 1))
    m.striped("m/sub/il16", 70 * MIB + 1, 16, devs=(0, 1, 2))
    m.file("m/last2", 1, fmap=simple(
        {"devindex": 2, "offset": m.devs[2].size - 2 * MIB, "len": 2 * MIB}))
    return m


def good_multidev():
    return multi_files(Image("multidev", (4 * GIB, 4 * GIB, 6 * GIB)))


def good_secondary():
    return multi_files(Image("made-secondary", (4 * GIB, 4 * GIB, 6 * GIB),
                             secondary=True))


def good_full():
    m = Image("full", (32 * GIB,))
    fill(m, fm.slots(m.log_len))
    return m


def good_biglog():
    m = Image("biglog", (256 * GIB,))
    m.log_len = 64 * MIB
    m.devs[0].next = 2 * MIB + m.log_len
    fill(m, fm.slots(m.log_len))
    return m


GOOD = {f.__name__: f for f in (
    good_empty, good_simple, good_interleaved, good_multiext, good_multidev,
    good_secondary, good_full, good_biglog)}


def fill(m, count):
    dirs = max(1, min(1000, count // 100))
    for i in range(dirs):
        m.mkdir("dir%03d" % i)
    for i in range(count - dirs):
        m.file("dir%03d/f%06d" % (i % dirs, i), (1, 4096, 100000, 2 * MIB)[i % 4],
               uid=i % 7, gid=i % 5)


# ---- damage ----------------------------------------------------------------
# Each rule: name, base, verdict, field that the refusal names, why, and what
# it does to the image; it returns the index of the entry it changed, if any.

RULES = []


def rule(name, base, strict, field, reason, change):
    RULES.append((name, base, strict, field, reason, change))


def patch_sb(offset, fmt, value):
    def change(m):
        m.patches.append((0, offset, struct.pack(fmt, value)))
    return change


def sb_field(**over):
    return lambda m: m.sb.update(over)


def attr(**over):
    def change(m):
        for key, value in over.items():
            setattr(m, key, value)
    return change


def edit(target, /, **over):
    """Change fields of the entry of that path."""
    def change(m):
        i = m.find(target)
        m.entries[i].update(over)
        return i
    return change


def edit_ext(target, /, where=0, **over):
    """Change an extent of the entry of that path."""
    def change(m):
        i = m.find(target)
        fmap = m.entries[i]["fmap"]
        ext = fmap["se"] if "se" in fmap else fmap["ie"][0]["strips"]
        for key, value in over.items():
            ext[where][key] = value(ext) if callable(value) else value
        return i
    return change


def edit_fmap(target, /, **over):
    def change(m):
        i = m.find(target)
        fmap = m.entries[i]["fmap"]
        for key, value in over.items():
            if key in fmap:
                fmap[key] = value
            else:
                fmap["ie"][0][key] = value
        return i
    return change


def crc_plus_one(index):
    def change(m):
        i = index % len(m.entries)
        raw = m.entry_bytes(i)
        (crc,) = struct.unpack("<Q", raw[536:])
        m.patches.append((0, fm.slot_offset(i) + 536, struct.pack("<Q", crc + 1)))
    return change


def append_file(path, like=None, size=10):
    def change(m):
        if like is not None:
            e = copy.deepcopy(m.entries[m.find(like)])
            e["path"] = path
            m.entries.append(e)
            return len(m.entries) - 1
        return m.file(path, size)
    return change


def append_mkdir(path, mode=0o755):
    return lambda m: m.mkdir(path, mode)


def append_type(etype):
    return lambda m: m.add(etype)


def append_devices(*devices):
    """(index, size, uuid seed) each; the last one is the changed entry."""
    def change(m):
        for index, size, seed in devices:
            last = m.add(fm.ADD_DAXDEV, dd_size=size, dd_index=index,
                         dd_uuid=fixed_uuid("extra", seed))
        return last
    return change


def bitflip_size(m):
    i = m.find("b4096")
    raw = m.entry_bytes(i)
    m.patches.append((0, fm.slot_offset(i) + 16, bytes([raw[16] ^ 1])))


def torn_no_entry(m):
    m.next_index = m.next_seqnum = len(m.entries) + 1


def self_overlap(m):
    e = m.take(2 * MIB)
    return m.file("twice", 4 * MIB, fmap=simple(e, dict(e)))


def partial_overlap(m):
    e = m.take(8 * MIB)
    return m.file("partly", 8 * MIB, fmap=simple(
        {**e, "len": 4 * MIB},
        {**e, "offset": e["offset"] + 2 * MIB, "len": 4 * MIB}))


def path_tail(m):
    i = m.find("b4096")
    m.entries[i]["path"] = b"b4096\0tail"
    return i


def path_no_nul(m):
    i = m.find("b4096")
    m.entries[i]["path"] = b"n" * 80
    return i


def mkdir_no_nul(m):
    return m.mkdir(b"n" * 80)


def uneven_strips(m):
    i = m.find("il/n16c2_40m")
    strip = m.entries[i]["fmap"]["ie"][0]["strips"][15]
    strip.update(m.take(6 * MIB))
    return i


def secondary_patch(dev, offset, raw):
    return lambda m: m.patches.append((dev, offset, raw))


def secondary_as_primary(m):
    """Device 0 holds a sound secondary superblock."""
    m.sb_flags = fm.SB_SECONDARY
    m.sb_dd_uuid = m.devs[0].uuid


def too_many_devices(m):
    for i in range(1, 257):
        last = m.add(fm.ADD_DAXDEV, dd_size=4 * GIB, dd_index=i,
                     dd_uuid=fixed_uuid("many", i))
    return last


S, I, MD, SEC = "good_simple", "good_interleaved", "good_multidev", "good_secondary"
REJECT, SKIP, ACCEPT = "reject", "skip-entry", "accept"
N3 = "il/n3c2_7m"

# superblock
rule("bad-sb-magic", S, REJECT, "ts_magic", "not a famfs superblock",
     sb_field(magic=fm.SB_MAGIC ^ 1))
rule("bad-sb-crc", S, REJECT, "crc", "superblock crc mismatch",
     lambda m: m.patches.append((0, 96, struct.pack(
         "<Q", fm.crc32(m.superblock()[:96]) + 1))))
rule("bad-sb-crc-high32", S, REJECT, "crc", "crc field is compared as 64 bits",
     patch_sb(100, "<I", 1))
rule("bad-sb-uuid-flip", S, REJECT, "crc", "superblock crc mismatch",
     lambda m: m.patches.append((0, 48, bytes([m.uuid[0] ^ 1]))))
rule("bad-sb-version-new", S, REJECT, "ts_version", "unsupported version",
     sb_field(version=49))
rule("v47-simple", S, REJECT, "ts_version", "version 47, says what to do",
     sb_field(version=47, omf_minor=1))
rule("bad-sb-omf-major", S, REJECT, "ts_omf_ver_major",
     "unknown major on-media format", sb_field(omf_major=3))
rule("edge-sb-omf-minor-high", S, ACCEPT, "", "minor is additive",
     sb_field(omf_minor=99))
rule("bad-sb-alloc-unit", S, REJECT, "ts_alloc_unit",
     "only 4096 and 2 MiB are legal", sb_field(alloc_unit=8192))
rule("edge-sb-alloc-unit-4096", S, ACCEPT, "", "4096 is legal for readers",
     sb_field(alloc_unit=4096))
rule("bad-sb-log-offset-4m", S, REJECT, "ts_log_offset",
     "log offset must be 2 MiB", sb_field(log_offset=4 * MIB))
rule("bad-sb-log-offset-0", S, REJECT, "ts_log_offset",
     "log overlaps the superblock", sb_field(log_offset=0))
rule("bad-sb-log-len-not-pow2", S, REJECT, "ts_log_len",
     "log length must be a power of two", sb_field(log_len=10 * MIB))
rule("bad-sb-log-len-small", S, REJECT, "ts_log_len",
     "log length below 8 MiB", sb_field(log_len=4 * MIB))
rule("bad-sb-log-len-16m", S, REJECT, "len",
     "superblock and log header disagree", sb_field(log_len=16 * MIB))
rule("bad-sb-log-len-0", S, REJECT, "ts_log_len", "log length below 8 MiB",
     sb_field(log_len=0))
rule("made-sb-log-len-2g", S, REJECT, "ts_log_len",
     "log above 1 GiB is refused by name", sb_field(log_len=2 * GIB))
rule("edge-sb-other-system-uuid", S, ACCEPT, "", "this host is a client",
     attr(system=fixed_uuid("another host")))
rule("edge-sb-flags-unknown", S, ACCEPT, "", "flags are unused",
     attr(sb_flags=0x80000000))
rule("made-sb-flag-secondary-stale", S, ACCEPT, "",
     "a left-over secondary flag without the device uuid in dd_uuid",
     attr(sb_flags=fm.SB_SECONDARY, sb_dd_uuid=fixed_uuid("older life")))
rule("made-sb-secondary-as-primary", S, REJECT, "ts_sb_flags",
     "a further device is no primary", secondary_as_primary)
rule("bad-sb-dd-size-large", S, REJECT, "dd_size",
     "more capacity than the device has", attr(sb_dd_size=64 * GIB))
rule("bad-sb-dd-size-small", S, REJECT, "dd_size",
     "extents lie beyond the stated device size", attr(sb_dd_size=16 * MIB))
rule("bad-zero-sb", S, REJECT, "ts_magic", "killed superblock",
     lambda m: m.patches.append((0, 0, bytes(200))))

# log header
rule("bad-log-magic", S, REJECT, "magic", "not a log",
     lambda m: m.header.update(magic=fm.LOG_MAGIC + 1))
rule("bad-log-hdr-crc", S, REJECT, "crc", "log header crc mismatch",
     lambda m: m.patches.append((0, fm.LOG_OFFSET + 24, struct.pack(
         "<Q", fm.crc32(m.header_bytes()[:24]) + 1))))
rule("made-log-hdr-crc-high32", S, REJECT, "crc", "compared as 64 bits",
     lambda m: m.patches.append((0, fm.LOG_OFFSET + 28, b"\1")))
rule("bad-log-last-index-large", S, REJECT, "last_index",
     "does not follow from the length",
     lambda m: m.header.update(last_index=99999))
rule("bad-log-last-index-small", S, REJECT, "last_index",
     "does not follow from the length",
     lambda m: m.header.update(last_index=10))
rule("bad-log-next-index-gt-last", S, REJECT, "next_index",
     "next_index > last_index + 1",
     attr(next_index=15421, next_seqnum=28))
rule("bad-log-next-index-plus1", S, REJECT, "crc",
     "slot inside the log is not a valid entry",
     attr(next_index=29, next_seqnum=28))
rule("edge-log-next-index-minus1", S, ACCEPT, "", "one entry less",
     attr(next_index=27, next_seqnum=28))
rule("bad-log-next-seqnum", S, ACCEPT, "", "readable, not writable",
     attr(next_index=28, next_seqnum=33))
rule("edge-torn-seqnum-only", S, ACCEPT, "", "readable, not writable",
     attr(next_index=28, next_seqnum=29))
rule("bad-torn-index-no-entry", S, REJECT, "crc", "corrupt last slot",
     torn_no_entry)

# entries as such
rule("bad-entry-crc", S, REJECT, "crc", "corrupt entry", crc_plus_one(8))
rule("bad-entry-last-crc", S, REJECT, "crc", "corrupt entry",
     crc_plus_one(-1))
rule("bad-entry-bitflip", S, REJECT, "crc", "entry crc mismatch", bitflip_size)
rule("made-entry-crc-high32", S, REJECT, "crc", "compared as 64 bits",
     lambda m: m.patches.append((0, fm.slot_offset(8) + 540, b"\1")))
rule("bad-entry-seqnum", S, REJECT, "seqnum",
     "seqnum must equal the slot index", lambda m: m.seqnum.update({8: 9}))
rule("bad-entry-type-delete", S, REJECT, "type", "no defined body",
     append_type(fm.DELETE))
rule("deleted", S, REJECT, "type", "no defined body",
     lambda m: (m.entries.insert(4, {"type": fm.DELETE}), 4)[1])
rule("bad-entry-type-invalid", S, SKIP, "type", "marks nothing",
     append_type(fm.INVALID))
rule("made-entry-type-unknown", S, REJECT, "type", "unknown type",
     append_type(5))
rule("edge-entry-padding", S, ACCEPT, "", "padding carries no meaning",
     lambda m: m.pad.update({8: 0xDEADBEEF}))
rule("edge-entry-path-tail", S, ACCEPT, "", "the path ends at the first NUL",
     path_tail)

# paths
for _name, _path, _why in (
        ("bad-path-dotdot", "../escape", "leaves the mount point"),
        ("bad-path-dotdot-mid", "d1/../../escape2", "leaves the mount point"),
        ("bad-path-dotdot-inside", "d1/../inside", "never needed in a log"),
        ("bad-path-dot", "./b4096x", "not canonical"),
        ("bad-path-trailing-slash", "trail/", "not canonical"),
        ("made-path-double-slash", "d1//x", "not canonical"),
        ("made-path-absolute", "/abs", "absolute path"),
        ("bad-path-empty", "", "empty path"),
        ("bad-path-meta-sb", ".meta/.superblock", ".meta is reserved"),
        ("bad-path-meta-new", ".meta/evil", ".meta is reserved"),
        ("bad-path-meta-cfg", ".meta/.alloc.cfg", ".meta is reserved"),
        ("made-path-meta-itself", ".meta", ".meta is reserved")):
    rule(_name, S, SKIP, "path", _why, edit("b4096", path=_path))
rule("made-path-no-nul", S, SKIP, "path", "no NUL in 80 bytes", path_no_nul)
rule("made-path-dir-no-nul", S, SKIP, "path", "no NUL in 80 bytes",
     mkdir_no_nul)
rule("made-path-metadata", S, ACCEPT, "", "only .meta itself is reserved",
     edit("b4096", path=".metadata"))
rule("made-path-dots", S, ACCEPT, "", "three dots are a name",
     edit("b4096", path="d1/..."))
rule("bad-path-dir-absolute", S, SKIP, "path", "absolute path",
     append_mkdir("/absdir"))
rule("bad-path-dir-dotdot", S, SKIP, "path", "leaves the mount point",
     append_mkdir("../escdir"))
rule("bad-path-dir-empty", S, SKIP, "path", "empty path", append_mkdir(""))
rule("made-path-dir-meta", S, SKIP, "path", ".meta is reserved",
     append_mkdir(".meta"))
rule("bad-path-control-chars", S, ACCEPT, "", "legal bytes for Linux",
     edit("b4096", path="new\nline\x1b[0m"))
rule("edge-path-invalid-utf8", S, ACCEPT, "", "legal bytes for Linux",
     edit("b4096", path=b"\xff\xfebad"))

# tree
rule("bad-mkdir-missing-parent", S, SKIP, "path", "parent does not exist",
     append_mkdir("nope/sub"))
rule("bad-file-missing-parent", S, SKIP, "path", "parent does not exist",
     append_file("nope/file"))
rule("bad-dup-file-same", S, SKIP, "path", "duplicate path",
     append_file("b4096", like="b4096"))
rule("bad-dup-mkdir", S, SKIP, "path", "the first entry wins",
     append_mkdir("d1", 0o700))
rule("bad-file-over-dir", S, SKIP, "path", "already a directory",
     append_file("d1"))
rule("bad-dir-over-file", S, SKIP, "path", "already a file",
     append_mkdir("b4096"))
rule("bad-parent-is-file", S, SKIP, "path", "parent is a file",
     append_file("b4096/child"))
rule("quirk-longpath", S, SKIP, "path", "duplicate path after a cut",
     append_file("d1/d2/" + "p" * 73))

# file
rule("bad-nextents-0", S, SKIP, "size", "size not covered",
     edit_fmap("m2", nextents=0))
rule("bad-nextents-17", S, SKIP, "nextents", "more than 16 extents",
     edit_fmap("m2", nextents=17))
rule("bad-nextents-huge", S, SKIP, "nextents", "more than 16 extents",
     edit_fmap("m2", nextents=0xFFFFFFFF))
rule("bad-devindex-unknown", S, SKIP, "extent 0 devindex", "no such device",
     edit_ext("m2", devindex=5))
rule("bad-devindex-huge", S, SKIP, "extent 0 devindex", "no such device",
     edit_ext("m2", devindex=1 << 32))
rule("bad-extent-beyond-device", S, SKIP, "extent 0 offset",
     "outside the device", edit_ext("m2", offset=4 * GIB))
rule("bad-extent-far-beyond", S, SKIP, "extent 0 offset",
     "outside the device", edit_ext("m2", offset=1 << 40))
rule("bad-extent-straddles-end", S, SKIP, "extent 0 len",
     "outside the device", edit_ext("last", offset=4 * GIB - 2 * MIB))
rule("quirk-alloc-past-end", S, SKIP, "extent 0 len", "outside the device",
     edit_ext("m6", offset=4 * GIB - 4 * MIB))
rule("bad-extent-wrap", S, SKIP, "extent 0 offset", "offset + len overflows",
     edit_ext("m2", offset=(1 << 64) - 2 * MIB, len=4 * MIB))
rule("made-extent-len-wrap", S, SKIP, "extent 0 len", "offset + len overflows",
     edit_ext("m2", len=(1 << 64) - 2 * MIB))
rule("bad-extent-offset-0", S, SKIP, "extent 0 offset",
     "overlaps the superblock", edit_ext("m2", offset=0))
rule("bad-extent-in-log", S, SKIP, "extent 0 offset", "overlaps the log",
     edit_ext("m2", offset=4 * MIB))
rule("bad-extent-self-overlap", S, SKIP, "extent 1 offset",
     "extents overlap each other", self_overlap)
rule("made-extent-partial-overlap", S, SKIP, "extent 1 offset",
     "extents overlap each other", partial_overlap)
rule("bad-extent-len-unaligned", S, SKIP, "extent 0 len",
     "not a multiple of the allocation unit",
     edit_ext("m2", len=2 * MIB + 1))
rule("bad-extent-len-page", S, SKIP, "extent 0 len",
     "not a multiple of the allocation unit", edit_ext("one", len=4096))
rule("made-extent-len-0", S, SKIP, "extent 0 len", "an extent of nothing",
     edit_ext("m2", len=0))
rule("bad-extent-offset-unaligned", S, SKIP, "extent 0 offset",
     "not a multiple of the allocation unit",
     edit_ext("m2", offset=lambda x: x[0]["offset"] + 4096))
rule("bad-extent-sum-lt-size", S, SKIP, "size", "extents do not cover the size",
     edit("m6", size=6 * MIB + 1))
rule("bad-size-huge", S, SKIP, "size", "extents do not cover the size",
     edit("m2", size=1 << 63))
rule("made-size-all-ones", S, SKIP, "size", "extents do not cover the size",
     edit("m2", size=(1 << 64) - 1))
rule("edge-size-0", S, ACCEPT, "", "an empty file with reserved space",
     edit("m2", size=0))
rule("bad-ext-type-unknown", S, SKIP, "ext_type", "unknown extent type",
     edit_fmap("m2", ext_type=7))
rule("edge-mode-filetype-bits", S, ACCEPT, "", "mask with 07777",
     edit("b4096", mode=0o100644))
rule("bad-mode-dir-bits", S, ACCEPT, "", "type comes from the entry",
     edit("b4096", mode=0o040755))

# interleaved
rule("bad-il-nstrips-0", I, SKIP, "nstrips", "nstrips must be 1..16",
     edit_fmap(N3, nstrips=0))
rule("made-il-nstrips-17", I, SKIP, "nstrips", "nstrips must be 1..16",
     edit_fmap("il/n16c2_40m", nstrips=17))
rule("bad-il-nstrips-huge", I, SKIP, "nstrips", "nstrips must be 1..16",
     edit_fmap(N3, nstrips=1 << 40))
rule("bad-il-chunk-0", I, SKIP, "chunk_size", "a non-zero power of two",
     edit_fmap(N3, chunk_size=0))
rule("bad-il-chunk-not-pow2", I, SKIP, "chunk_size", "a power of two",
     edit_fmap(N3, chunk_size=6 * MIB))
rule("edge-il-chunk-4096", I, SKIP, "chunk_size",
     "a multiple of the allocation unit", edit_fmap(N3, chunk_size=4096))
rule("bad-il-chunk-gt-strip", I, SKIP, "strip 0 len",
     "strip shorter than its part", edit_fmap(N3, chunk_size=GIB))
rule("made-il-chunk-2-63", I, SKIP, "chunk_size", "chunk times strips overflows",
     edit_fmap(N3, chunk_size=1 << 63))
rule("bad-il-niext-0", I, SKIP, "niext", "size not covered",
     edit_fmap(N3, niext=0))
rule("bad-il-niext-2", I, SKIP, "niext", "only one fits in an entry",
     edit_fmap(N3, niext=2))
rule("bad-il-strip-short", I, SKIP, "strip 0 len",
     "strip shorter than its part", edit_ext(N3, len=2 * MIB))
rule("bad-il-strips-equal", I, SKIP, "strip 1 offset", "strips overlap",
     edit_ext(N3, 1, offset=lambda x: x[0]["offset"]))
rule("bad-il-strip-offset-unaligned", I, SKIP, "strip 1 offset",
     "not a multiple of the allocation unit",
     edit_ext(N3, 1, offset=lambda x: x[1]["offset"] + 4096))
rule("edge-il-strips-uneven", I, ACCEPT, "", "all strips are long enough",
     uneven_strips)
rule("bad-il-strip-in-log", I, SKIP, "strip 1 offset", "overlaps the log",
     edit_ext(N3, 1, offset=4 * MIB))
rule("bad-il-strip-beyond-device", I, SKIP, "strip 2 offset",
     "outside the device", edit_ext(N3, 2, offset=16 * GIB))
rule("bad-il-strip-devindex", I, SKIP, "strip 2 devindex", "no such device",
     edit_ext(N3, 2, devindex=3))

# devices
rule("bad-adddax-index", S, REJECT, "dd_index", "device table is not dense",
     append_devices((7, 4 * GIB, 1)))
rule("bad-adddax-dup-uuid", S, REJECT, "dd_uuid", "duplicate device",
     append_devices((1, 4 * GIB, 1), (2, 4 * GIB, 1)))
rule("bad-adddax-size-0", S, REJECT, "dd_size", "empty device",
     append_devices((1, 0, 1)))
rule("made-adddax-257th", S, REJECT, "dd_index", "more than 256 devices",
     too_many_devices)
rule("made-devindex-before-add", MD, SKIP, "extent 0 devindex",
     "a device that the log adds later", lambda m: (
         m.entries.insert(2, {
             "type": fm.FILE, "path": "m/early", "size": 1, "mode": 0o644,
             "uid": 0, "gid": 0,
             "fmap": simple({"devindex": 1, "offset": 1 * GIB,
                             "len": 2 * MIB})}), 2)[1])
rule("made-extent-secondary-sb", MD, SKIP, "extent 0 offset",
     "overlaps the superblock of its device", edit_ext("m/on1", offset=0))
rule("made-extent-past-secondary", MD, SKIP, "extent 0 offset",
     "outside its own device, inside another",
     edit_ext("m/on1", offset=5 * GIB))
rule("made-secondary-crc", SEC, ACCEPT, "crc", "the further device is refused",
     secondary_patch(1, 96, bytes(8)))
rule("made-secondary-zero", SEC, ACCEPT, "ts_magic",
     "the further device has no superblock", secondary_patch(1, 0, bytes(200)))

# truncated devices
rule("bad-trunc-0", S, REJECT, "size", "shorter than a superblock",
     attr(truncate=0))
rule("bad-trunc-4k", S, REJECT, "size", "shorter than superblock + log",
     attr(truncate=4096))
rule("bad-trunc-sb-only", S, REJECT, "size", "shorter than superblock + log",
     attr(truncate=2 * MIB))
rule("bad-trunc-in-entries", S, REJECT, "size",
     "shorter than superblock + log", attr(truncate=2 * MIB + 4096))
rule("bad-trunc-in-log", S, REJECT, "size", "shorter than superblock + log",
     attr(truncate=6 * MIB))


# ---- output ----------------------------------------------------------------


def base_name(func):
    return GOOD[func]().name


def expectation(m, data, **more):
    devices = []
    for d in m.devs:
        size = d.size
        if d.index == 0 and m.truncate is not None:
            size = m.truncate
        devices.append({"file": "dev%d.img" % d.index,
                        "member": "dev%d.img" % d.index,
                        "logical_size": size, "devindex": d.index})
    return {"name": m.name, "origin": "tests/famfs-mkimage.py",
            "content_rule": {"name": fm.CONTENT_RULE}, "devices": devices,
            "n_entries": len(m.entries), **more,
            "entries": [m.entry_json(i, data) for i in range(len(m.entries))]}


def save(m, out, data, pack, **more):
    folder = os.path.join(out, m.name)
    os.makedirs(folder)
    m.write(folder, data)
    exp = expectation(m, data, **more)
    if pack:
        for dev in exp["devices"]:
            packed = dev["member"] + ".tar.zst"
            with open(os.path.join(folder, packed), "wb") as f:
                tar = subprocess.Popen(
                    ["tar", "-C", folder, "-cSf", "-", dev["member"]],
                    stdout=subprocess.PIPE)
                subprocess.run(["zstd", "-q", "-c"], stdin=tar.stdout,
                               stdout=f, check=True)
                if tar.wait():
                    raise SystemExit("tar failed")
            os.unlink(os.path.join(folder, dev["member"]))
            dev["file"] = packed
    with open(os.path.join(folder, "expect.json"), "w", encoding="utf-8") as f:
        json.dump(exp, f, indent=1)


def damage(r):
    """The damaged image, and which entry was changed."""
    name, base, _strict, _field, _reason, change = r
    m = GOOD[base]()
    before, size = m.meta(), m.truncate
    changed = change(m)
    if m.meta() == before and m.truncate == size:
        raise SystemExit("%s: the rule changed nothing" % name)
    m.name = name
    return m, changed


def make(out, names, without, pack):
    os.makedirs(out, exist_ok=True)
    wanted = set(names)
    bases = {base_name(f): f for f in GOOD}
    rules = [r for r in RULES if not wanted or r[0] in wanted]
    need = {r[1] for r in rules}
    for name, func in bases.items():
        if name in without:
            continue
        if not wanted or name in wanted or func in need:
            m = GOOD[func]()
            save(m, out, name not in ("full", "biglog"), pack, strict=ACCEPT,
                 strict_reason="good")
    for r in rules:
        m, changed = damage(r)
        exp = {"base": base_name(r[1]), "strict": r[2], "strict_reason": r[4],
               "field": r[3], "change": r[4], "changed_entry": None}
        if changed is not None:
            exp["changed_entry"] = m.entry_json(changed, False)
        save(m, out, False, pack, **exp)


def make_big(path, count, log_len):
    """One image, written as it is generated: a million entries need no model."""
    if count > fm.slots(log_len):
        raise SystemExit("%d entries do not fit: %d slots" % (count, fm.slots(log_len)))
    start = -(-(2 * MIB + log_len) // (2 * MIB)) * 2 * MIB
    size = -(-(start + count * 2 * MIB) // GIB) * GIB
    m = Image("big", (max(size, 4 * GIB),))
    m.log_len = log_len
    dirs = max(1, min(1000, count // 100))
    with open(path, "wb") as f:
        f.truncate(m.devs[0].size)
        f.write(m.superblock())
        f.seek(fm.LOG_OFFSET)
        f.write(fm.encode_log_header(log_len, count))
        for i in range(count):
            if i < dirs:
                body = fm.encode_mkdir("dir%03d" % i, 0o755, 0, 0)
                f.write(fm.encode_entry(i, fm.MKDIR, body))
                continue
            ext = {"devindex": 0, "offset": start + (i - dirs) * 2 * MIB,
                   "len": 2 * MIB}
            body = fm.encode_file("dir%03d/f%07d" % (i % dirs, i),
                                  (1, 4096, 100000, 2 * MIB)[i % 4], 0o644,
                                  i % 7, i % 5, simple(ext))
            f.write(fm.encode_entry(i, fm.FILE, body))


def parse_size(text):
    units = {"k": 1 << 10, "m": MIB, "g": GIB}
    if text[-1:].lower() in units:
        return int(text[:-1], 0) * units[text[-1].lower()]
    return int(text, 0)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--pack", action="store_true", help="devN.img.tar.zst")
    p.add_argument("--without", action="append", default=[], metavar="NAME",
                   help="leave a good image out")
    p.add_argument("--list", action="store_true")
    p.add_argument("--big", type=int, metavar="ENTRIES")
    p.add_argument("--log-len", type=parse_size, default=512 * MIB)
    p.add_argument("out", nargs="?")
    p.add_argument("names", nargs="*", metavar="NAME")
    args = p.parse_args()
    if args.list:
        for func in GOOD:
            print("%-32s %-10s good" % (base_name(func), ACCEPT))
        for name, _base, strict, _field, reason, _change in RULES:
            print("%-32s %-10s %s" % (name, strict, reason))
        return 0
    if not args.out:
        p.error("where to?")
    if args.big:
        make_big(args.out, args.big, args.log_len)
        return 0
    known = {base_name(f) for f in GOOD} | {r[0] for r in RULES}
    for name in args.names:
        if name not in known:
            p.error("no image '%s'" % name)
    make(args.out, args.names, args.without, args.pack)
    return 0


if __name__ == "__main__":
    sys.exit(main())
