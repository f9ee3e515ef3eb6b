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
# Timer ticks are in means of a whole pass, and a wait for RCU in munmap and close: less than this
# share says nothing
NOISE = {"touch": 0, "touch-mean": 0.01, "unmap-close": 0.5}


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


def dearer(number, found):
    """found: [(instructions more, "which figure")] of one patch, at least one."""
    more = sorted(found)
    by = f"{more[0][0]:.0f} to {more[-1][0]:.0f}" if more[0][0] != more[-1][0] else f"{more[0][0]:.0f}"
    return f"{number} by {by} (most: {more[-1][1]})"


def lines(steps):
    """Markdown. steps: [{"patch", "subject", "rows"}], the first of them without any patch."""
    silent, losses, before = [], [], {}
    yield "| after patch | on | " + " | ".join(c[0] for c in COLUMNS) + " |"
    yield "|---|---|" + "---|" * len(COLUMNS)
    for i, step in enumerate(steps):
        number, said, more = step["patch"][:4] if i else "none", False, []
        for variant, name in VARIANTS.items():
            now, old = figures(step["rows"], variant), before.get(variant)
            changed = [k for k in range(len(COLUMNS)) if old and differs(k, old[k], now[k])]
            if not old or changed or i == len(steps) - 1:
                cells = [f"**{tables.number(v)}**" if k in changed else tables.number(v) for k, v in enumerate(now)]
                yield f"| {number if not said else ''} | {name} | " + " | ".join(cells) + " |"
                said = True
            more += [(now[k] - old[k], f"{name}, {COLUMNS[k][0]}")
                     for k in changed if None not in (old[k], now[k]) and now[k] > old[k]]
            before[variant] = now
        if more:
            losses.append(dearer(number, more))
        if not said:
            silent.append(number)
    yield ""
    if silent:
        yield f"No figure differs by {', '.join(silent)}."
    yield f"What became dearer, in instructions: {'; '.join(losses) or 'nothing'}."


# The patches in three parts, for the plot: the last of each
PARTS = (("0007", "pages belong to one file"), ("0012", "VMA lock, tree, one round"), ("9999", "the rest"))
STORY = range(7)                # columns of it: of a single fault, medians


def plot(steps):
    """A gnuplot script: what each part of the patches leaves of each kind of fault."""
    ends = [steps[0]] + [[s for s in steps[1:] if s["patch"][:4] <= last][-1:] for last, _ in PARTS]
    if not all(ends):
        return None
    ends = [ends[0]] + [e[0] for e in ends[1:]]
    titles = ["unpatched"] + [f"up to {e['patch'][:4]}: {what}" for e, (_, what) in zip(ends[1:], PARTS)]
    table = ["what " + " ".join(f"\"{t}\"" for t in titles)]
    for variant, name in VARIANTS.items():
        values = [figures(e["rows"], variant) for e in ends]
        table += [f"\"{name}, {COLUMNS[k][0]}\" " + " ".join("NaN" if v[k] is None else str(v[k]) for v in values)
                  for k in STORY]
    return """set terminal svg size 900,460 font "sans-serif,13" background "white"
set encoding utf8
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#666666"
set tics nomirror
set style data histograms
set style histogram clustered gap 1
set style fill solid noborder
set boxwidth 0.9
set yrange [0:*]
set ylabel "instructions, median"
set key outside bottom center horizontal
set xtics rotate by -35
set rmargin 16
$d << EOD
""" + "\n".join(table) + """
EOD
plot for [i=2:5] $d using i:xtic(1) title columnheader(i) lc rgb word("#4a4a4a #d1495b #c98b2b #1b6ca8", i - 1)
"""
