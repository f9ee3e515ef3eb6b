# SPDX-License-Identifier: GPL-2.0-only
"""What each patch before FUSE is worth: ext4-DAX and XFS-DAX on a kernel with the first N of
them, for every N. Each is of use without FUSE, so each is measured without it."""
import re

from . import plan, results, tables

COLUMNS = (
    ("4 KiB read", "fault-4k", "touch", {"access": "read", "order": "sequential", "pass": "warm"}),
    ("4 KiB write", "fault-4k", "touch", {"access": "write", "order": "sequential", "pass": "warm"}),
    ("2 MiB read", "fault-2m", "touch", {"access": "read", "order": "sequential", "pass": "warm"}),
    ("2 MiB write", "fault-2m", "touch", {"access": "write", "order": "sequential", "pass": "warm"}),
    ("4 KiB, cold", "fault-4k", "touch", {"access": "read", "order": "sequential", "pass": "cold"}),
    ("2 MiB, cold", "fault-2m", "touch", {"access": "read", "order": "sequential", "pass": "cold"}),
    ("one in 2 MiB, cold", "scan", "touch", {"op": "sparse", "access": "read", "advice": "none", "pass": "cold"}),
    ("scan, a page", "scan", "touch-mean", {"op": "scan", "access": "read", "stride": 4096, "pass": "warm"}),
    ("munmap + close", "scan", "unmap-close", {"op": "scan", "access": "read", "stride": 4096, "pass": "warm"}),
)
VARIANTS = {"ext4-dax-base": "ext4", "xfs-dax-base": "XFS"}
# Timer ticks are in means of a whole pass: less than this says nothing
NOISE = {"touch": 0, "touch-mean": 0.01, "unmap-close": 0.02}


def series(where):
    """(file, subject) of the patches up to the first that is about FUSE."""
    found = []
    for name in (where / "series").read_text(encoding="utf-8").split():
        if not name.endswith(".patch"):
            continue
        text = (where / name).read_text(encoding="utf-8")
        if "\n+++ b/fs/fuse/" in text:
            break
        subject = re.search(r"^Subject: \[PATCH\] (.*(?:\n .*)*)", text, re.M)
        found.append((name, " ".join(subject.group(1).split()) if subject else name))
    return found


def machine():
    loads = ("fault-4k", "fault-2m", "scan")
    return plan.Vm("patches", [plan.anchor_fs("ext4-dax-base", *plan.EXT4, loads=loads),
                               plan.anchor_fs("xfs-dax-base", *plan.XFS, loads=loads)],
                   mem="1G", flavour="base", seconds=40)


def figures(rows, variant):
    """Of each column: the value, or None."""
    found = [results.find(rows, variant=variant, load=load, metric=metric, params=params)
             for _, load, metric, params in COLUMNS]
    return [f[0]["value"] if f else None for f in found]


def differs(column, a, b):
    if a is None or b is None:
        return a is not b
    return abs(a - b) > NOISE[COLUMNS[column][2]] * max(a, b)


def lines(steps):
    """Markdown. steps: [{"patch", "subject", "rows"}], the first of them without any patch."""
    silent, losses = [], []
    yield "| after patch | on | " + " | ".join(c[0] for c in COLUMNS) + " |"
    yield "|---|---|" + "---|" * len(COLUMNS)
    before = {}
    for i, step in enumerate(steps):
        number, said = step["patch"][:4] if i else "none", False
        for variant, name in VARIANTS.items():
            now, old = figures(step["rows"], variant), before.get(variant)
            changed = [k for k in range(len(COLUMNS)) if old and differs(k, old[k], now[k])]
            if not old or changed or i == len(steps) - 1:
                cells = [f"**{tables.number(v)}**" if k in changed else tables.number(v) for k, v in enumerate(now)]
                yield f"| {number if not said else ''} | {name} | " + " | ".join(cells) + " |"
                said = True
            losses += [f"{name}, {COLUMNS[k][0]}: {tables.number(old[k])} to {tables.number(now[k])} by {number}"
                       for k in changed if None not in (old[k], now[k]) and now[k] > old[k]]
            before[variant] = now
        if not said:
            silent.append(number)
    yield ""
    if silent:
        yield f"No figure differs by {', '.join(silent)}."
    yield f"What became dearer: {'; '.join(losses) or 'nothing'}."
