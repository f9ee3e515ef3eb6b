# SPDX-License-Identifier: GPL-2.0-only
"""Tables of docs/performance.md that README.md has no room for: lines of markdown, and none
where a run has no such rows."""
from . import plan, results, tables

EVERYONE = (*plan.VARIANTS, *plan.ANCHORS)
WARM = {"pass": "warm"}


def one(rows, **want):
    found = results.find(rows, **want)
    return found[0] if found else None


def value(row):
    return tables.number(row["value"]) if row else ""


def spread(row, name):
    return row["spread"].get(name) if row and isinstance(row["spread"], dict) else None


def table(title, head, lines):
    """A table with an empty line before it; lines of nothing but their first cell are left out."""
    lines = [line for line in lines if any(line[1:])]
    if lines:
        yield ""
        yield f"| {title} | " + " | ".join(head) + " |"
        yield "|---|" + "---|" * len(head)
        for line in lines:
            yield "| " + " | ".join(line) + " |"


def by_variant(rows, title, columns, variants=EVERYONE):
    """columns: (title, what find() is to find)"""
    yield from table(title, [c for c, _ in columns], (
        [v, *(value(one(rows, variant=v, **want)) for _, want in columns)] for v in variants))


# ---- under -icount ----

def cold(rows):
    columns = tables.COLUMNS[:4]
    lines = []
    for v in EVERYONE:
        for layout, name in ((tables.SIMPLE, "contiguous"), (tables.STRIPS6, "6 strips")):
            lines.append([f"{v}, {name}", *(tables.number(tables.figure(rows, v, c, layout, "cold")) for c in columns)])
    yield from table("cold: the first touches of a file", [c[0] for c in columns], lines)


def io(rows):
    def want(op, size, direct):
        return {"load": "io", "metric": "call", "params": {
            "op": op, "size": size, "direct": direct, "order": "sequential", **tables.SIMPLE, **WARM}}
    names = {4096: "4 KiB", 65536: "64 KiB", 1 << 20: "1 MiB"}
    yield from by_variant(rows, "contiguous, a call", [
        (f"{op}() {names[size]}{', O_DIRECT' if direct else ''}", want(op, size, direct))
        for size, direct in ((4096, True), (65536, False), (65536, True), (1 << 20, False), (1 << 20, True))
        for op in ("read", "write")])


def fork(rows):
    yield from by_variant(rows, "4 MiB, touched every 4 KiB", [
        (title, {"load": "fork", "metric": metric, "params": WARM})
        for title, metric in (("fork()", "fork"), ("a touch in the child", "touch-child"))])


def meta(rows):
    lines = []
    for v in EVERYONE:
        calls = [one(rows, variant=v, load="meta", metric="call", params={"op": op, "files": 1000, **WARM})
                 for op in ("stat", "open", "readdir")]
        entries = one(rows, variant=v, load="meta", metric="entries", params={"op": "readdir", "files": 1000, **WARM})
        mean = spread(calls[2], "mean")
        lines.append([v, value(calls[0]), value(calls[1]),
                      tables.number(round(mean * calls[2]["n"] / entries["value"]))
                      if mean and entries and entries["value"] else ""])
    yield from table("1,000 files", ["stat", "open + close", "readdir, an entry: mean"], lines)


def kv(rows):
    lines = []
    for v in EVERYONE:
        for passed in ("cold", "warm"):
            row = one(rows, variant=v, load="kv", metric="get", params={"pass": passed})
            lines.append([f"{v}, {passed}", value(row), *(tables.number(spread(row, k)) for k in ("mean", "p99", "max"))])
    yield from table("LMDB, a lookup of 20,000 in a new mapping", ["median", "mean", "99 %", "longest"], lines)


def fio(rows):
    jobs = list(dict.fromkeys(r["params"]["job"] for r in results.find(rows, load="fio", metric="latency")))
    lines = []
    for v in EVERYONE:
        found = [one(rows, variant=v, load="fio", metric="latency", params={"job": j}) for j in jobs]
        lines.append([v, *(f"{value(r)} ({tables.number(round(spread(r, 'mean') or 0))})" if r else "" for r in found)])
    yield from table("fio, completion: median (mean)", jobs, lines)


def threads(rows):
    yield from by_variant(rows, "per warm 4 KiB fault, 6 strips", [
        (f"{title}, {n} CPU{'s' if n > 1 else ''}",
         {"load": "threads", "metric": metric, "params": {"threads": n, **WARM}})
        for title, metric in (("locked instructions", "locked-instructions"),
                              ("stores to lines of another CPU", "shared-stores")) for n in plan.THREADS])


# ---- memory, and the time to attach ----

def per_file(rows):
    metrics = ("mem.map", "mem.kernel", "mem.slab", "mem.vmalloc", "mem.server")
    lines = []
    for v in EVERYONE:
        found = {}
        for r in results.find(rows, variant=v, load="server"):
            if r["metric"] in metrics and r["params"].get("mount") in ("files", "million"):
                found.setdefault((r["params"]["files"], r["params"]["mount"]), {})[r["metric"]] = r["value"]
        # The most that all have, and a million
        most = max((n for n, _ in found if n < plan.FILES[-1]), default=0)
        for (n, what), sums in sorted(found.items()):
            if n in (most, plan.FILES[-1]):
                which = ", each visited" if what == "million" else \
                    ", few prepared" if v in plan.PER_FILE and n > plan.PER_FILE_MAX else ""
                lines.append([f"{v}, {n:,} files{which}",
                              *(tables.number(round(sums[m] / n, 1)) if m in sums else "" for m in metrics)])
    yield from table("bytes a file", ["map", "kept at inodes", "slab, with inodes", "vmalloc, with maps", "server"], lines)


def programs(rows):
    lines = []
    for v in plan.VARIANTS:
        at = [r for r in results.find(rows, variant=v, load="server", metric="programs") if r["value"]]
        if not at:
            continue
        params = max(at, key=lambda r: (r["value"], r["params"]["files"]))["params"]
        count, size, time = (one(rows, variant=v, load="server", metric=m, params=params)
                             for m in ("programs", "mem.programs", "attach-time"))
        if size and time:
            lines.append([f"{v}, {params['files']:,} files", value(count), tables.number(size["value"]),
                          tables.number(round(size["value"] / count["value"])), tables.number(time["value"]),
                          tables.number(round(time["value"] / count["value"]))])
    yield from table("BPF, as attached", ["programs", "bytes", "bytes each", "instructions to load, and to fill maps",
                                          "the same, a program"], lines)


# ---- natively ----

def cache_lines(rows):
    metrics = (("lines", "lines"), ("of them one after the other", "dependent-lines"), ("of the inode", "inode-lines"),
               ("shared by all files", "shared-lines"), ("of page tables", "page-table-lines"),
               ("instructions of the program", "program-instructions"), ("misses, 32 MiB of cache", "llc-misses"),
               ("of them page tables", "llc-misses-page-table"))
    layouts = dict.fromkeys((r["params"]["files"], r["params"]["strips"]) for r in results.find(rows, load="lookup"))
    for n in dict.fromkeys(n for n, _ in layouts):
        yield from table(f"cache lines of a cold lookup, of {n:,} files", [t for t, _ in metrics], (
            [f"{v}, {tables.strips_name(s)}",
             *(value(one(rows, variant=v, load="lookup", metric=m, params={"files": n, "strips": s})) for _, m in metrics)]
            for m, s in layouts if m == n for v in ("bpf-array", "c")))


def with_spread(row):
    return f"{tables.number(row['value'], 3)} ± {tables.number((row['spread'] or 0) / 2, 2)}" if row else ""


def native(rows):
    """Working sets are those of slots; c has other things to read."""
    latency = [r for r in results.find(rows, load="resolve", metric="latency") if "files" in r["params"]]
    for strips in sorted({r["params"]["strips"] for r in latency} & {1, 6}):
        mine = [r for r in latency if r["params"]["strips"] == strips]
        counts = sorted({r["params"]["files"] for r in mine})
        variants = [v for v in dict.fromkeys(r["variant"] for r in mine) if not v.startswith("empty")]
        lines = [[v, *(with_spread(one(mine, variant=v, params={"files": n})) for n in counts)] for v in variants]
        lines.append(["bpf-array / c", *(with_spread(one(
            rows, variant="bpf-array", load="resolve", metric="latency-ratio",
            params={"files": n, "strips": strips, "to": "c"})) for n in counts)])
        yield from table(f"ns of a resolve, {tables.strips_name(strips)}: median ± half of the quartiles' distance",
                         [f"{n:,} file{'s' if n > 1 else ''}, {size(64 * n)}" for n in counts], lines)


def size(n):
    for unit in ("bytes", "KiB", "MiB"):
        if n < 1024:
            return f"{tables.number(round(n, 1), 3)} {unit}"
        n /= 1024
    return f"{tables.number(round(n, 1), 3)} GiB"


def mount(rows):
    found = results.find(rows, load="mount")
    if found:
        yield from table(f"a mount of a full log, {found[0]['params']['files']:,} files", ["value", "unit"], (
            [r["metric"], with_spread(r) if r["kind"] == "native" else value(r), r["unit"]] for r in found))


# ---- what is not there ----

def not_asked(_rows):
    yield from table("not asked for", ["above", "why"], (
        [f"{v}, {load}", f"{most:,}", why] for v, load, most, why in plan.LACKS))


def not_compared(_rows):
    yield from table("of the kind exact, but not compared between runs", ["why"], (
        [f"{field} {name}", why] for field, names in results.NOT_COMPARED.items() for name, why in names.items()))


SECTIONS = (
    ("Cold first touches, instructions", cold),
    ("Larger and direct I/O, instructions", io),
    ("fork, instructions", fork),
    ("Metadata, instructions", meta),
    ("A key-value store, instructions", kv),
    ("fio, instructions", fio),
    ("What CPUs share", threads),
    ("Memory", per_file),
    ("Programs", programs),
    ("Cache lines", cache_lines),
    ("Resolves on this machine's CPU", native),
    ("A mount on this machine's CPU", mount),
    ("What a run is not asked for", not_asked),
    ("What is counted, and may still differ", not_compared),
)


def lines(rows):
    for title, section in SECTIONS:
        made = list(section(rows))
        if made:
            yield ""
            yield f"### {title}"
            yield from made
