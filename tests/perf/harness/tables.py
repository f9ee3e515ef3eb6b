# SPDX-License-Identifier: GPL-2.0-only
"""Figures as people want to see them: what a variant costs, per load, and three sentences."""
from . import plan, results

SIMPLE = {"layout": "simple"}
STRIPS6 = {"layout": "strips", "strips": 6}

# title, load of one contiguous file, metric, params
COLUMNS = [
    ("4 KiB read fault", "fault-4k", "touch", {"op": "touch4k", "access": "read", "order": "sequential"}),
    ("4 KiB write fault", "fault-4k", "touch", {"op": "touch4k", "access": "write", "order": "sequential"}),
    ("2 MiB read fault", "fault-2m", "touch", {"op": "touch2m", "access": "read", "order": "sequential"}),
    ("2 MiB write fault", "fault-2m", "touch", {"op": "touch2m", "access": "write", "order": "sequential"}),
    ("read() 4 KiB", "io", "call", {"op": "read", "size": 4096, "direct": False, "order": "sequential"}),
    ("write() 4 KiB", "io", "call", {"op": "write", "size": 4096, "direct": False, "order": "sequential"}),
]


def strips_name(strips):
    return f"{strips} strips" if strips > 1 else "contiguous"


def figure(rows, variant, column, layout, passed="warm"):
    """The median, or None."""
    _, load, metric, params = column
    found = results.find(rows, variant=variant, load=load if layout["layout"] == "simple" else "interleave",
                         metric=metric, params={**params, **layout, "pass": passed})
    return found[0]["value"] if found else None


def costs(rows):
    """[(variant, layout's name, [figures])] of all that have any."""
    lines = []
    for variant in list(plan.VARIANTS) + list(plan.ANCHORS):
        for layout, name in ((SIMPLE, "contiguous"), (STRIPS6, "6 strips")):
            figures = [figure(rows, variant, c, layout) for c in COLUMNS]
            if any(f is not None for f in figures):
                lines.append((variant, name, figures))
    return lines


def number(v, digits=4):
    """For people: thousands apart, no more digits than mean anything."""
    if v is None:
        return ""
    if isinstance(v, list):
        return f"{v[0]} to {v[1]}"
    if isinstance(v, float) and v != int(v):
        return f"{v:.{digits}g}"
    return f"{int(v):,}"


def bar_named(bars, name):
    return next((b for b in bars if b["name"] == name and b["value"] is not None), None)


def sentence_cost(rows, bars):
    product = figure(rows, "bpf-array", COLUMNS[0], STRIPS6) or figure(rows, "bpf-array", COLUMNS[0], SIMPLE)
    if product is None:
        return "This run has no figure of a fault under bpf-array."
    text = f"A warm 4 KiB read fault costs {number(product)} instructions when BPF computes the mapping"
    ratio, adds = bar_named(bars, "ab.fault-4k.c"), bar_named(bars, "ab.bpf-adds")
    ext4 = figure(rows, "ext4-dax", COLUMNS[0], SIMPLE)
    if ratio:
        text += f", at worst {number(ratio['value'])} times what it costs with V10's algorithm in the kernel"
    if adds:
        text += f", of which BPF itself adds {number(adds['value'])}"
    if ext4:
        text += f"; ext4-DAX needs {number(ext4)}"
    return text + "."


def sentence_native(bars):
    hot, cold = bar_named(bars, "ab.native-hot"), bar_named(bars, "ab.native-cold-ratio")
    parts = []
    if hot:
        parts.append(f"a resolve out of warm caches takes {number(hot['value'], 3)} ns")
    if cold:
        parts.append(f"one of a million files, out of cold ones, takes {number(cold['value'], 3)} times as long as V10's layout")
    if not parts:
        return "Nothing was timed on this machine's own CPU in this run."
    return f"On this machine's own CPU, {', and '.join(parts)}."


def sentence_bars(bars):
    known = [b for b in bars if b["ok"] is not None]
    missed = [b["name"] for b in known if not b["ok"]]
    text = f"Of {len(bars)} bars, {len(known)} were measured and {len(known) - len(missed)} are met"
    if missed:
        text += f"; missed: {', '.join(missed)}"
    return text + "."


def summary(everything):
    rows, bars = everything["results"], everything["bars"]
    return [sentence_cost(rows, bars), sentence_native(bars), sentence_bars(bars)]
