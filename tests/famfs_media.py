# SPDX-License-Identifier: GPL-2.0-only
"""The famfs on-media format, in Python, from its description alone.

Written from the format's tables (docs/media.md) and sharing no code with the
C side, so that the two can check each other. `Volume` reads raw device images:
superblock, log, and the bytes of every file computed through its extents. The
encode functions serve the image maker. Standard library only.

A reader of good file systems: it refuses what is not whole (magic, version,
crc, sequence), and trusts what is. Judging hostile media is the C decoder's
job; here a bad extent is a FamfsError when its bytes are asked for.
"""

import hashlib
import os
import struct
import uuid
import zlib

MIB = 1 << 20
GIB = 1 << 30

SB_MAGIC = 0x87B282FF
SB_VERSION = 48
SB_SIZE = 200
SB_CRC_LEN = 96
SB_AREA = 2 * MIB
SB_SECONDARY = 2
OMF = (2, 2)
LOG_MAGIC = 0x0000BADCAFEF00D
LOG_OFFSET = 2 * MIB
LOG_HEADER = 48
LOG_CRC_LEN = 24
LOG_MIN = 8 * MIB
ENTRY = 544
ENTRY_CRC_LEN = 536
ALLOC_UNIT = 2 * MIB
PATH_LEN = 80

FILE, MKDIR, DELETE, ADD_DAXDEV, INVALID = range(5)
TYPE_NAMES = {FILE: "FILE", MKDIR: "MKDIR", DELETE: "DELETE",
              ADD_DAXDEV: "ADD_DAXDEV", INVALID: "INVALID"}
SIMPLE, INTERLEAVED = 0, 1
FLAGS_RW = 2


class FamfsError(Exception):
    """What is on media cannot be read as famfs."""


def crc32(data):
    return zlib.crc32(data) & 0xFFFFFFFF


def slots(log_len):
    return (log_len - LOG_HEADER) // ENTRY


def slot_offset(index):
    return LOG_OFFSET + LOG_HEADER + ENTRY * index


# ---- encode ----------------------------------------------------------------


def encode_super(log_len, fs_uuid, dev_uuid, system_uuid, dev_size, name,
                 flags=0, dd_uuid=bytes(16), **over):
    """200 bytes; `over` replaces single fields before the crc is computed."""
    f = {"magic": SB_MAGIC, "version": SB_VERSION, "log_offset": LOG_OFFSET,
         "log_len": log_len, "alloc_unit": ALLOC_UNIT,
         "omf_major": OMF[0], "omf_minor": OMF[1]}
    f.update(over)
    head = struct.pack("<5Q2I", f["magic"], f["version"], f["log_offset"],
                       f["log_len"], f["alloc_unit"], f["omf_major"],
                       f["omf_minor"])
    head += fs_uuid + dev_uuid + system_uuid
    assert len(head) == SB_CRC_LEN
    tail = struct.pack("<QIIQ", crc32(head), flags, 0, dev_size)
    tail += dd_uuid + name.encode()[:64].ljust(64, b"\0")
    assert len(head + tail) == SB_SIZE
    return head + tail


def encode_log_header(log_len, next_index, next_seqnum=None, **over):
    f = {"magic": LOG_MAGIC, "len": log_len, "last_index": slots(log_len) - 1}
    f.update(over)
    head = struct.pack("<3Q", f["magic"], f["len"], f["last_index"])
    if next_seqnum is None:
        next_seqnum = next_index
    return head + struct.pack("<3Q", crc32(head), next_seqnum, next_index)


def encode_entry(seqnum, etype, body, pad=0):
    """544 bytes with a right crc, whatever the body says."""
    data = struct.pack("<QII", seqnum, etype, pad) + body.ljust(520, b"\0")
    assert len(data) == ENTRY_CRC_LEN
    return data + struct.pack("<Q", crc32(data))


def encode_extents(extents):
    """extents: (devindex, offset, len)"""
    return b"".join(struct.pack("<3Q", *e) for e in extents)


def encode_path(path):
    raw = path if isinstance(path, bytes) else path.encode()
    assert len(raw) <= PATH_LEN
    return raw.ljust(PATH_LEN, b"\0")


def encode_file(path, size, mode, uid, gid, fmap, flags=FLAGS_RW):
    """fmap: a dict as in expect.json; single numbers in it may lie."""
    body = struct.pack("<Q4I", size, flags, uid, gid, mode)
    body += encode_path(path)
    if "ie" in fmap:
        body += struct.pack("<4I", fmap["ext_type"], 0, fmap["niext"], 0)
        il = fmap["ie"][0]
        body += struct.pack("<2Q", il["nstrips"], il["chunk_size"])
        body += encode_extents((s["devindex"], s["offset"], s["len"])
                               for s in il["strips"])
    else:
        body += struct.pack("<4I", fmap["ext_type"], 0, fmap["nextents"], 0)
        body += encode_extents((s["devindex"], s["offset"], s["len"])
                               for s in fmap["se"])
    return body


def encode_mkdir(path, mode, uid, gid):
    return struct.pack("<3I", uid, gid, mode) + encode_path(path)


def encode_add_daxdev(size, dev_uuid, index):
    return struct.pack("<Q", size) + dev_uuid + struct.pack("<2I", index, 0)


# ---- decode ----------------------------------------------------------------


def decode_super(raw):
    if len(raw) < SB_SIZE:
        raise FamfsError("superblock: %d bytes, need %d" % (len(raw), SB_SIZE))
    (magic, version, log_offset, log_len, unit, major, minor) = \
        struct.unpack_from("<5Q2I", raw, 0)
    crc, flags = struct.unpack_from("<QI", raw, 96)
    (dev_size,) = struct.unpack_from("<Q", raw, 112)
    if magic != SB_MAGIC:
        raise FamfsError("superblock: magic %#x" % magic)
    if version != SB_VERSION:
        raise FamfsError("superblock: version %d" % version)
    if crc != crc32(raw[:SB_CRC_LEN]):
        raise FamfsError("superblock: crc %#x" % crc)
    if log_offset != LOG_OFFSET:
        raise FamfsError("superblock: log offset %#x" % log_offset)
    return {"version": version, "log_len": log_len, "alloc_unit": unit,
            "omf": (major, minor), "uuid": raw[48:64], "dev_uuid": raw[64:80],
            "system_uuid": raw[80:96], "flags": flags, "dev_size": dev_size,
            "dd_uuid": raw[120:136],
            "secondary": bool(flags & SB_SECONDARY)
            and raw[120:136] == raw[64:80],
            "dev_name": raw[136:200].split(b"\0")[0]}


def decode_log_header(raw, log_len):
    magic, length, last, crc, seq, nxt = struct.unpack_from("<6Q", raw, 0)
    if magic != LOG_MAGIC:
        raise FamfsError("log header: magic %#x" % magic)
    if crc != crc32(raw[:LOG_CRC_LEN]):
        raise FamfsError("log header: crc %#x" % crc)
    if length != log_len or last != slots(log_len) - 1 or nxt > last + 1:
        raise FamfsError("log header: len %d last_index %d next_index %d"
                         % (length, last, nxt))
    return {"next_seqnum": seq, "next_index": nxt}


def _extents(raw, off, count):
    return [dict(zip(("devindex", "offset", "len"),
                     struct.unpack_from("<3Q", raw, off + 24 * i)))
            for i in range(count)]


def decode_fmap(raw):
    ext_type, _, count, _ = struct.unpack_from("<4I", raw, 120)
    if ext_type == SIMPLE:
        return {"ext_type": 0, "nextents": count,
                "se": _extents(raw, 136, min(count, 16))}
    if ext_type != INTERLEAVED:
        raise FamfsError("extent type %d" % ext_type)
    nstrips, chunk = struct.unpack_from("<2Q", raw, 136)
    return {"ext_type": 1, "niext": count,
            "ie": [{"nstrips": nstrips, "chunk_size": chunk,
                    "strips": _extents(raw, 152, min(nstrips, 16))}]}


def decode_entry(raw, index):
    seqnum, etype = struct.unpack_from("<QI", raw, 0)
    (crc,) = struct.unpack_from("<Q", raw, ENTRY_CRC_LEN)
    if crc != crc32(raw[:ENTRY_CRC_LEN]):
        raise FamfsError("log entry %d: crc %#x" % (index, crc))
    if seqnum != index:
        raise FamfsError("log entry %d: seqnum %d" % (index, seqnum))
    e = {"index": index, "type": etype}
    if etype == FILE:
        e["size"], e["flags"], e["uid"], e["gid"], e["mode"] = \
            struct.unpack_from("<Q4I", raw, 16)
        e["path"] = raw[40:120].split(b"\0")[0]
        e["fmap"] = decode_fmap(raw)
    elif etype == MKDIR:
        e["uid"], e["gid"], e["mode"] = struct.unpack_from("<3I", raw, 16)
        e["path"] = raw[28:108].split(b"\0")[0]
    elif etype == ADD_DAXDEV:
        (e["dd_size"],) = struct.unpack_from("<Q", raw, 16)
        e["dd_uuid"] = raw[24:40]
        (e["dd_index"],) = struct.unpack_from("<I", raw, 40)
    elif etype != INVALID:
        raise FamfsError("log entry %d: type %d" % (index, etype))
    return e


# ---- reading ---------------------------------------------------------------


class Device:
    """A raw device, or a part of a file from `base` on."""

    def __init__(self, path, base=0, size=None):
        self.path = path
        self.base = base
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.lseek(self.fd, 0, os.SEEK_END) - base
        if size is not None:
            if size > self.size:
                raise FamfsError("%s: %d bytes from %d on, not %d"
                                 % (path, self.size, base, size))
            self.size = size

    @classmethod
    def parse(cls, text):
        """PATH, PATH@BASE or PATH@BASE:SIZE; numbers may be hexadecimal."""
        path, _, rest = text.rpartition("@")
        if not path:
            return cls(text)
        base, _, size = rest.partition(":")
        return cls(path, int(base, 0), int(size, 0) if size else None)

    def read(self, offset, length):
        if offset + length > self.size:
            raise FamfsError("%s: %d bytes at %#x are past the end"
                             % (self.path, length, offset))
        out = b""
        while len(out) < length:
            got = os.pread(self.fd, length - len(out),
                           self.base + offset + len(out))
            if not got:
                raise FamfsError("%s: short read" % self.path)
            out += got
        return out

    def close(self):
        os.close(self.fd)


class Volume:
    """A file system over its devices, primary first, in any order after it.

    Further devices are told apart by their secondary superblock where they
    have one; otherwise their place in the list is their device index.
    """

    def __init__(self, devices):
        self.sb = decode_super(devices[0].read(0, min(SB_SIZE, devices[0].size)))
        if self.sb["secondary"]:
            raise FamfsError("%s: a secondary superblock" % devices[0].path)
        self.header = decode_log_header(
            devices[0].read(LOG_OFFSET, LOG_HEADER), self.sb["log_len"])
        self.entries = self._read_log(devices[0])
        self.devices = self._place(devices)

    def _read_log(self, dev):
        count = self.header["next_index"]
        out = []
        for first in range(0, count, 4096):
            n = min(4096, count - first)
            raw = dev.read(slot_offset(first), n * ENTRY)
            out += [decode_entry(raw[i * ENTRY:(i + 1) * ENTRY], first + i)
                    for i in range(n)]
        return out

    def _place(self, devices):
        place = {0: devices[0]}
        want = {e["dd_uuid"]: e["dd_index"] for e in self.entries
                if e["type"] == ADD_DAXDEV}
        for position, dev in enumerate(devices[1:], 1):
            place[self._index_of(dev, want, position)] = dev
        return place

    def _index_of(self, dev, want, position):
        try:
            sb = decode_super(dev.read(0, SB_SIZE))
        except FamfsError:
            return position
        if not sb["secondary"] or sb["uuid"] != self.sb["uuid"]:
            return position
        if sb["dev_uuid"] not in want:
            raise FamfsError("%s: device %s is not in the log"
                             % (dev.path, uuid.UUID(bytes=sb["dev_uuid"])))
        return want[sb["dev_uuid"]]

    def files(self):
        """FILE entries in log order; the first of a path wins."""
        seen = set()
        for e in self.entries:
            if e["type"] in (FILE, MKDIR) and e["path"] not in seen:
                seen.add(e["path"])
                if e["type"] == FILE:
                    yield e

    def dirs(self):
        seen = set()
        for e in self.entries:
            if e["type"] == MKDIR and e["path"] not in seen:
                seen.add(e["path"])
                yield e

    def _device(self, index):
        if index not in self.devices:
            raise FamfsError("device %d is missing" % index)
        return self.devices[index]

    def content(self, entry):
        """The file's bytes, in pieces."""
        walk = walk_simple if entry["fmap"]["ext_type"] == SIMPLE \
            else walk_interleaved
        for devindex, offset, length in walk(entry["size"], entry["fmap"]):
            dev = self._device(devindex)
            while length:
                n = min(length, 4 * MIB)
                yield dev.read(offset, n)
                offset += n
                length -= n

    def sha256(self, entry):
        h = hashlib.sha256()
        for piece in self.content(entry):
            h.update(piece)
        return h.hexdigest()


def walk_simple(size, fmap):
    """(devindex, offset, length) pieces, in file order."""
    left = size
    for e in fmap["se"]:
        n = min(left, e["len"])
        if n:
            yield e["devindex"], e["offset"], n
        left -= n
    if left:
        raise FamfsError("extents cover %d of %d bytes" % (size - left, size))


def walk_interleaved(size, fmap):
    """One piece per chunk, as the format's formula has it."""
    il = fmap["ie"][0]
    chunk_size, n = il["chunk_size"], il["nstrips"]
    pos = 0
    while pos < size:
        chunk, within = divmod(pos, chunk_size)
        stripe, strip = divmod(chunk, n)
        s = il["strips"][strip]
        length = min(chunk_size - within, size - pos)
        start = stripe * chunk_size + within
        if start + length > s["len"]:
            raise FamfsError("strip %d is too short" % strip)
        yield s["devindex"], s["offset"] + start, length
        pos += length


# ---- test content ----------------------------------------------------------

M64 = (1 << 64) - 1
CONTENT_RULE = "famfs-golden-v1"


def _mix(x):
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M64
    return x ^ (x >> 31)


def _fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & M64
    return h


_PAGE = b"".join(struct.pack("<Q", _mix(k)) for k in range(1, 512))


def generate(path, size):
    """The bytes of a file under the content rule, page by page.

    Byte i, with p = i / 4096 and o = i % 4096: of mix(fnv(path) + p) where
    o < 8, else of mix(o / 8).
    """
    raw = path if isinstance(path, bytes) else path.encode()
    seed = _fnv(raw)
    for page in range((size + 4095) // 4096):
        data = struct.pack("<Q", _mix((seed + page) & M64)) + _PAGE
        yield data[:size - page * 4096]


def generated_sha256(path, size):
    h = hashlib.sha256()
    for piece in generate(path, size):
        h.update(piece)
    return h.hexdigest()
