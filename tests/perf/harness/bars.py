# SPDX-License-Identifier: GPL-2.0-only
"""The bars that the study sets for the product, computed from rows. A ratio is the worst of
its layouts and of read and write, of minimum and of median. The worst of a part is not the
worst: where a row is missing, the bar has no value, and is not met."""
from . import plan, results

LAYOUTS = ({"layout": "simple"}, {"layout": "strips", "strips": 3}, {"layout": "strips", "strips": 6},
           {"layout": "strips", "strips": 16})

# What the prototype's figures of obtaining a mapping have in them and ours have not
PROTOTYPE_CLOCK = 7

# What each load of a file system has in a full run, and in --quick
SIDES = {"fault-4k": {"read", "write"}, "fault-2m": {"read", "write"}, "io": {"read", "write"},
         "scan": {"read", "write"}, "fork": {"read"}}
SIDES_QUICK = {**SIDES, "scan": {"read"}, "fork": set()}


def layout_name(layout):
    return layout["layout"] if "strips" not in layout else f"{layout['strips']} strips"


def side(row):
    return row["params"].get("access", row["params"].get("op"))


class Bars:
    def __init__(self, rows, quick=False):
        self.rows = rows
        self.quick = quick
        self.sides = SIDES_QUICK if quick else SIDES
        self.bars = []

    def one(self, **want):
        found = results.find(self.rows, **want)
        return found[0] if found else None

    def pairs(self, ops, other, metric, layouts=LAYOUTS, product="bpf-array"):
        """[(what, product's figure, other's)] of each layout, op, minimum and median; nothing
        if one of them is missing. An anchor has only the one layout; it is the other of all."""
        found = []
        for layout in layouts:
            for op in ops:
                load = op["load"] if layout["layout"] == "simple" else "interleave"
                a = self.one(variant=product, load=load, metric=metric, params={**layout, **op["params"]})
                b = self.one(variant=other, load=load, metric=metric, params={**layout, **op["params"]}) or \
                    self.anchor(other, op, metric)
                if not a or not b:
                    return []
                for what, x, y in zip(("median", "minimum"), results.figures(a), results.figures(b)):
                    if x is None or not y:
                        return []
                    found.append((f"{layout_name(layout)}, {op['name']}, {what}", x, y))
        return found

    def anchor(self, other, op, metric):
        if "-" in other and other.split("-")[0] in ("ext4", "fuse"):
            return self.one(variant=other, load=op["load"], metric=metric,
                            params={"layout": "simple", **op["params"]})
        return None

    def add(self, name, what, found, must, aim, study="ab"):
        """found: (value, where) candidates; the worst is the bar's."""
        found = list(found)
        value, source = max(found) if found else (None, "")
        bar = {"name": f"{study}.{name}", "what": what, "value": None if value is None else round(value, 4),
               "must": must, "aim": aim, "ok": None if value is None else value <= must,
               "aim_met": None if value is None or aim is None else value <= aim}
        if source:
            bar["from"] = source
        self.bars.append(bar)

    def ratio(self, name, what, ops, other, metric, must, aim):
        self.add(name, what, ((x / y, f"{where}: {x} / {y}") for where, x, y in
                              self.pairs(ops, other, metric)), must, aim)

    def difference(self, name, what, ops, other, metric, must, aim):
        self.add(name, what, ((x - y, f"{where}: {x} - {y}") for where, x, y in
                              self.pairs(ops, other, metric)), must, aim)

    def within(self, name, what, value, low, high):
        self.bars.append({"name": f"ab.{name}", "what": what, "value": value, "must": [low, high],
                          "aim": None, "ok": None if value is None else low <= value <= high,
                          "aim_met": None})

    def medians(self, name, what, ops, other, metric, must, aim):
        self.add(name, what, ((x / y, f"{where}: {x} / {y}") for where, x, y in
                              self.pairs(ops, other, metric) if where.endswith("median")), must, aim, "fast")

    def same_rows(self, a, b, loads, metrics, **params):
        """[(ratio, where)] of each row of two variants; nothing unless both have the same rows,
        of each of the loads, read and written."""
        mine, others = ({results.key(r)[1:]: r for r in self.rows
                         if r["variant"] == v and r["load"] in loads and r["metric"] in metrics and
                         all(r["params"].get(k) == x for k, x in params.items())} for v in (a, b))
        if mine.keys() != others.keys() or any(
                not self.sides[load] <= {side(r) for r in mine.values() if r["load"] == load} for load in loads):
            return []
        found = []
        for key, row in mine.items():
            other = others[key]
            what = " ".join(str(v) for k, v in row["params"].items() if k != "layout")
            if other["value"]:
                found.append((row["value"] / other["value"],
                              f"{a} / {b}, {row['metric']}, {what}: {row['value']} / {other['value']}"))
        return found

    def growth(self, name, what, load, metric, param, big, small, must, aim):
        """A figure at the largest count against that at the smallest, in the same load."""
        found = []
        for row in results.find(self.rows, variant="bpf-array", load=load, metric=metric, params={param: big}):
            if row["params"].get("pass") != "warm":
                continue
            base = self.one(variant="bpf-array", load=load, metric=metric, params={**row["params"], param: small})
            if base:
                for kind, x, y in zip(("median", "minimum"), results.figures(row), results.figures(base)):
                    found.append((x / y, f"{kind}: {x} / {y}, {row['params']['op']}"))
        self.add(name, what, found, must, aim)


def touch(load, op):
    return [{"load": load, "name": access, "params":
             {"op": op, "access": access, "order": "sequential", "pass": "warm"}}
            for access in ("read", "write")]


def calls(direct=False):
    return [{"load": "io", "name": op, "params": {"op": op, "size": 4096, "direct": direct, "pass": "warm",
                                                  "order": "sequential"}} for op in ("read", "write")]


TOUCHES = ("fault-4k", "fault-2m", "io", "scan", "fork")


def all_of(lists):
    """Lists of candidates made one; nothing if one of them is empty."""
    lists = list(lists)
    return [x for one in lists for x in one] if all(lists) else []


def sparse(b, v, access):
    params = {"op": "sparse", "access": access, "pass": "cold"}
    row = b.one(variant=v, load="scan", metric="touch", params={**params, "advice": "none"})
    other = b.one(variant=v, load="scan", metric="touch", params={**params, "advice": "random", "order": "random"})
    return [(row["value"] / other["value"], f"{v}, {access}: {row['value']} / {other['value']}")] \
        if row and other and other["value"] else []


def locks(b, v, access):
    locked, faults = (b.one(variant=v, load="mmaplock", metric=m, params={"access": access})
                      for m in ("mmap-locks", "faults"))
    return [(locked["value"] / faults["value"], f"{v}, {access}: {locked['value']} in {faults['value']} faults")] \
        if locked and faults and faults["value"] else []


def of_files(b, load, metric, counts, **params):
    """A row of each number of files at least, or nothing."""
    rows = [r for r in results.find(b.rows, variant="bpf-array", load=load, metric=metric, params=params)
            if r["params"]["files"] >= min(counts)]
    return rows if set(counts) <= {r["params"]["files"] for r in rows} else []


def compute_fast(b):
    """What the patches to mm and fs/dax are worth, against the kernel without them."""
    f4, f2 = touch("fault-4k", "touch4k"), touch("fault-2m", "touch2m")
    base = "ext4-dax-base"
    b.medians("fault-4k-read", "4 KiB read fault, warm, isolated, bpf-array / ext4-DAX unpatched", f4[:1], base,
              "touch", 0.78, 0.70)
    b.medians("fault-4k-write", "4 KiB write fault, warm, isolated, bpf-array / ext4-DAX unpatched", f4[1:], base,
              "touch", 0.65, 0.60)
    b.medians("fault-2m-read", "2 MiB read fault, warm, isolated, bpf-array / ext4-DAX unpatched", f2[:1], base,
              "touch", 0.70, 0.62)
    scan = {"op": "scan", "stride": 4096, "pass": "warm"}
    for other, must, aim in (("device-dax", 0.15, 0.05), ("tmpfs", 0.4, 0.1)):
        b.add(f"scan.{other}", f"touch of every 4 KiB in sequence, mapping misaligned, mean a page, bpf-array / {other}",
              all_of(b.same_rows("bpf-array", o, ("scan",), ("touch-mean",), **scan) for o in (other, f"{other}-base")),
              must, aim, "fast")
    b.add("sparse", "one touch in 2 MiB, at random, cold / without map-around", all_of(
        sparse(b, v, access) for v in ("bpf-array", "ext4-dax", "xfs-dax")
        for access in sorted(b.sides["scan"])), 1.05, 1.00, "fast")
    b.add("mmap-lock", "mmap_lock acquisitions per fault, two threads on one file", all_of(
        locks(b, v, access) for v in ("bpf-array", "ext4-dax") for access in ("read", "write")), 0, 0, "fast")
    for fs in ("ext4", "xfs"):
        b.add(fs, f"{fs}-DAX with the patches / without, each row",
              b.same_rows(f"{fs}-dax", f"{fs}-dax-base", TOUCHES, ("touch", "touch-mean", "touch-child", "call")),
              1.00, 0.95, "fast")
    b.add("unmap-close", "munmap + close after touching, ext4- and XFS-DAX with the patches / without",
          all_of(b.same_rows(f"{fs}-dax", f"{fs}-dax-base", ("scan",), ("unmap-close",))
                 for fs in ("ext4", "xfs")), 1.05, 1.00, "fast")


def compute(rows, given=(), quick=False):
    """given: bars that a producer of native rows has computed itself; they win by name. quick:
    rows are of --quick, which has less than a full run."""
    b = Bars(rows, quick)
    f4, f2 = touch("fault-4k", "touch4k"), touch("fault-2m", "touch2m")
    for layout, name, where, low, high in (("simple", "simple", "contiguous", 62, 68),
                                           ("strips", "strips6", "6 strips", 96, 106)):
        found = [r for r in results.find(rows, variant="c", load="split", metric="obtain",
                                         params={"layout": layout, "access": "read"}) if "size" not in r["params"]]
        b.within(f"c-obtain.{name}", f"instructions to obtain a mapping in c, {where}: check that the C variant is "
                 f"as fast as the prototype; {PROTOTYPE_CLOCK} instructions for reading the clock, which the "
                 "prototype's figure included, are added",
                 found[0]["value"] + PROTOTYPE_CLOCK if found else None, low, high)
    b.ratio("fault-4k.c", "4 KiB first touch, warm, bpf-array / c", f4, "c", "touch", 1.04, 1.02)
    b.ratio("fault-2m.c", "2 MiB first touch, warm, bpf-array / c", f2, "c", "touch", 1.04, 1.02)
    b.difference("bpf-adds", "instructions per fault, bpf-array - c-slot", f4 + f2, "c-slot", "touch", 105, 60)
    b.add("lines-cold-ratio", "dependent cache lines per cold lookup, interleaved, bpf-array / c", [], 0.6, 0.4)
    b.add("lines-cold-with-inode-ratio", "dependent cache lines per cold lookup, with the line of the inode, "
          "interleaved, bpf-array / c", [], 0.6, 0.4)
    b.add("native-cold-ratio", "native cold resolve, 1,000,000 files, bpf-array / V10 in C", [], 0.8, 0.5)
    b.add("native-hot", "native hot resolve, ns", [], 10, 5)
    b.ratio("fault-4k.ext4", "4 KiB first touch, warm, bpf-array / ext4-DAX", f4, "ext4-dax", "touch", 0.96, None)
    b.ratio("fault-2m.ext4", "2 MiB first touch, warm, bpf-array / ext4-DAX", f2, "ext4-dax", "touch", 0.96, None)
    b.ratio("io.c", "4 KiB read() and write(), bpf-array / c", calls(), "c", "call", 1.08, 1.04)
    b.ratio("io.ext4", "4 KiB read() and write(), bpf-array / ext4-DAX", calls(), "ext4-dax", "call", 0.95, 0.85)
    b.ratio("io.fuse-direct", "4 KiB read() and write(), bpf-array / plain FUSE, FOPEN_DIRECT_IO", calls(),
            "fuse-direct", "call", 0.25, 0.15)
    b.growth("files", "instructions per fault, 1,000,000 files / 1 file", "files", "touch", "files",
             1000000, 1, 1.01, 1.00)
    b.growth("extents", "instructions per fault, 100,000 extents / 1 extent", "extents", "touch", "extents",
             100000, 1, 1.15, 1.05)
    b.add("mount-seconds", "decode and fill of a full log of 1,000,000 entries, s", [], 2, 0.5)
    b.add("open-fault.requests", "FUSE requests of warm open + first touch",
          [(r["value"], f"{r['params']['files']} files") for r in
           of_files(b, "files", "requests", plan.FILES, **{"pass": "warm"})], 0, 0)
    b.add("map-bytes-per-file", "map memory per file, bytes",
          [(r["value"] / r["params"]["files"], f"{r['params']['files']} files") for r in
           of_files(b, "server", "mem.map", [n for n in plan.FILES if n >= 100000])], 64, 64)
    compute_fast(b)
    named = {bar["name"]: bar for bar in b.bars}
    for bar in given:
        named[bar["name"]] = {**{k: named.get(bar["name"], {}).get(k) for k in ("what",)
                                 if named.get(bar["name"], {}).get(k)}, "aim_met": None if bar.get("value") is None
                              else bar["value"] <= bar["aim"], **bar}
    return list(named.values())
