# SPDX-License-Identifier: GPL-2.0-only
"""report.html, self-contained and without scripts, and the table in README.md."""
import functools
import html
import shutil
import subprocess

from . import doctables, plan, results, tables

STYLE = """
:root { color-scheme: light dark; --line: #8884; --head: #8882; --ok: #2a7d2a; --miss: #b3261e; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.wide { overflow-x: auto; } figure { margin: 1.5rem 0; } figcaption { font-size: .9rem; }
figure svg { display: block; width: 100%; min-width: 26rem; max-width: 46rem; height: auto; background: #fff; }
table { border-collapse: collapse; font-size: .9rem; } th, td { padding: .2rem .6rem; text-align: left;
border-bottom: 1px solid var(--line); vertical-align: top; } thead th { background: var(--head); }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { overflow-x: auto; font-size: .8rem; background: var(--head); padding: .5rem; }
.ok { color: var(--ok); } .miss { color: var(--miss); font-weight: bold; } code { overflow-wrap: anywhere; }
td:first-child, td code.name { white-space: nowrap; } td.what { min-width: 11rem; }
"""
GNUPLOT_HEAD = """set terminal svg size 640,{height} font "sans-serif,14" background "white"
set encoding utf8
set grid xtics ytics lc rgb "#dddddd"
set border 3 lc rgb "#666666"
set tics nomirror
set key top left reverse Left samplen 1.5
"""
COLOURS = ["#1b6ca8", "#d1495b", "#2e8b57", "#8d5a97", "#c98b2b", "#4a4a4a", "#17a2a2", "#a0522d", "#6b8e23", "#e377c2"]


class PlotError(Exception):
    pass


@functools.lru_cache(maxsize=None)      # a plot goes into the page and into docs/
def gnuplot(script):
    """SVG; PlotError says what gnuplot does."""
    if not shutil.which("gnuplot"):
        raise PlotError("there is no gnuplot: apt install gnuplot-nox")
    p = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=False)
    at = p.stdout.find("<svg")
    if p.returncode or at < 0:
        # The last line says what is wrong; those before it show where
        raise PlotError((p.stderr.strip().splitlines() or [f"gnuplot's status is {p.returncode}"])[-1].strip())
    return p.stdout[at:]


def block(name, lines):
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def name_of(variant):
    return variant.replace("_", "\\\\_")


# ---- the plots: each returns a script, or None without data ----

def plot_bars(rows, columns, unit, clip_at=None):
    """A pair of bars for each variant, contiguous file; what is longer than the plot is cut."""
    variants = [v for v in list(plan.VARIANTS) + list(plan.ANCHORS)
                if any(tables.figure(rows, v, c, tables.SIMPLE) is not None for c in columns)]
    if not variants:
        return None
    values = sorted(f for v in variants for c in columns
                    if (f := tables.figure(rows, v, c, tables.SIMPLE)) is not None)
    top = clip_at or 1.35 * values[len(values) * 3 // 4]
    height = 90 + 38 * len(variants)
    script = GNUPLOT_HEAD.format(height=height)
    plots = []
    for i, column in enumerate(columns):
        lines = []
        for y, v in enumerate(reversed(variants)):
            f = tables.figure(rows, v, column, tables.SIMPLE)
            if f is None:
                continue
            low = y + 0.38 - 0.38 * (i + 1)
            lines.append(f"{min(f, top)} {low:.2f} {low + 0.34:.2f} {low + 0.17:.2f} "
                         f"\"{tables.number(f)}{' (cut)' if f > top else ''}\"")
        script += block(f"d{i}", lines)
        plots.append(f"$d{i} using 1:4:(0):1:2:3 with boxxyerror fs solid noborder lc rgb \"{COLOURS[i]}\" title \"{column[0]}\"")
        plots.append(f"$d{i} using 1:4:5 with labels left offset 0.5,0 font \",11\" notitle")
    tics = ", ".join(f"\"{name_of(v)}\" {y}" for y, v in enumerate(reversed(variants)))
    script += f"set xrange [0:{top * 1.22:.0f}]\nset yrange [-0.7:{len(variants) + 0.4}]\nset ytics ({tics})\n"
    script += f"set xlabel \"{unit}\"\nset key top right horizontal\nplot " + ", \\\n  ".join(plots) + "\n"
    return script


def plot_pairs(rows, variants, load, metric, params, unit):
    """Of each variant a bar on the kernel of the series, and one on that without patches."""
    found = {}
    for v in variants:
        for i, name in enumerate((v, f"{v}-base")):
            r = results.find(rows, variant=name, load=load, metric=metric, params=params)
            if r:
                found[v, i] = r[0]["value"]
    names = [v for v in variants if (v, 0) in found]
    if not names:
        return None
    top = max(found.values())
    script = GNUPLOT_HEAD.format(height=90 + 44 * len(names))
    plots = []
    for i, title in enumerate(("with the series", "without")):
        lines = [f"{found[v, i]} {y - 0.38 * i:.2f} {y + 0.34 - 0.38 * i:.2f} {y + 0.17 - 0.38 * i:.2f} \"{tables.number(found[v, i])}\""
                 for y, v in enumerate(reversed(names)) if (v, i) in found]
        if not lines:
            continue
        script += block(f"d{i}", lines)
        plots.append(f"$d{i} using 1:4:(0):1:2:3 with boxxyerror fs solid noborder lc rgb \"{COLOURS[i]}\" title \"{title}\"")
        plots.append(f"$d{i} using 1:4:5 with labels left offset 0.5,0 font \",11\" notitle")
    tics = ", ".join(f"\"{name_of(v)}\" {y}" for y, v in enumerate(reversed(names)))
    script += f"set xrange [0:{top * 1.22:.0f}]\nset yrange [-0.7:{len(names) + 0.4}]\nset ytics ({tics})\n"
    script += f"set xlabel \"{unit}\"\nset key top right horizontal\nplot " + ", \\\n  ".join(plots) + "\n"
    return script


def plot_lines(series, xlabel, ylabel, log="", xtics=""):
    """series: {name: [(x, y)]}"""
    series = {k: sorted(v) for k, v in series.items() if v}
    if not series or max(len(v) for v in series.values()) < 2:
        return None
    script = GNUPLOT_HEAD.format(height=400)
    if log:
        script += f"set logscale {log}\n"
    if xtics:
        script += f"set xtics ({xtics})\n"
    # On a logarithmic axis each of the four has to say its units
    script += f"set xlabel \"{xlabel}\"\nset ylabel \"{ylabel}\"\nset key outside bottom center horizontal\n" \
        "set offsets graph 0.03, graph 0.03, graph 0.1, graph 0.1\n"
    plots = []
    for i, (name, points) in enumerate(series.items()):
        script += block(f"d{i}", [f"{x} {y}" for x, y in points])
        plots.append(f"$d{i} using 1:2 with linespoints lw 2 pt 7 ps 0.6 dt {1 + i // 5} "
                     f"lc rgb \"{COLOURS[i % len(COLOURS)]}\" title \"{name_of(name)}\"")
    return script + "plot " + ", \\\n  ".join(plots) + "\n"


def series_of(rows, load, metric, param, variants=(), **params):
    """Without upcall, unless it is asked for: a plot would have no room for the others."""
    found = {}
    for v in variants or [v for v in plan.VARIANTS if v != "upcall"]:
        points = {r["params"][param]: r["value"] for r in
                  results.find(rows, variant=v, load=load, metric=metric, params=params) if param in r["params"]}
        found[v] = list(points.items())
    return found


def series_native(rows):
    found = {}
    for r in results.find(rows, load="resolve", metric="latency", params={"strips": 6}) or \
            results.find(rows, load="resolve", metric="latency", params={"strips": 1}):
        if r["kind"] == "native" and "files" in r["params"] and not r["variant"].startswith("empty"):
            found.setdefault(r["variant"], []).append((r["params"]["files"], r["value"]))
    return found


def plots(rows):
    c = tables.COLUMNS
    instr = "instructions, median, warm"
    yield ("4 KiB first touch", "./run bench fault-4k", plot_bars(rows, c[0:2], instr))
    yield ("2 MiB first touch", "./run bench fault-2m", plot_bars(rows, c[2:4], instr))
    yield ("read() and write() of 4 KiB", "./run bench io", plot_bars(rows, c[4:6], instr))
    yield ("Touching every 4 KiB in sequence, the mapping 4 KiB off: mean a page", "./run bench scan", plot_pairs(
        rows, ("bpf-array", "ext4-dax", "xfs-dax", "device-dax", "tmpfs"), "scan", "touch-mean",
        {"op": "scan", "stride": 4096, "access": "read", "pass": "warm"}, instr))
    yield ("With the patches to mm and fs/dax, and without: 4 KiB read fault", "./run bench fault-4k", plot_pairs(
        rows, ("bpf-array", "ext4-dax", "xfs-dax", "device-dax", "tmpfs"), "fault-4k", "touch",
        {"layout": "simple", "access": "read", "order": "sequential", "pass": "warm"}, instr))
    yield ("With the patches to mm and fs/dax, and without: 2 MiB read fault", "./run bench fault-2m", plot_pairs(
        rows, ("bpf-array", "ext4-dax", "xfs-dax", "device-dax"), "fault-2m", "touch",
        {"layout": "simple", "access": "read", "order": "sequential", "pass": "warm"}, instr))
    yield ("4 KiB read fault against number of strips", "./run bench interleave", plot_lines(
        series_of(rows, "interleave", "touch", "strips", op="touch4k", access="read", **{"pass": "warm"}),
        "strips", "instructions"))
    yield ("First touch of a file against number of files, drawn uniformly", "./run bench files", plot_lines(
        series_of(rows, "files", "touch", "files", dist="uniform", **{"pass": "warm"}), "files", "instructions", "x"))
    yield ("4 KiB read fault at random against number of extents", "./run bench extents", plot_lines(
        series_of(rows, "extents", "touch", "extents", op="touch4k", **{"pass": "warm"}), "extents", "instructions", "x"))
    yield ("From hot to cold: a resolve on this machine's CPU, against number of files", "./run bench native",
           plot_lines(series_native(rows), "files", "ns", "xy"))


# ---- the page ----

def table(head, lines, numbers=()):
    out = ['<div class="wide"><table><thead><tr>', *(f"<th>{html.escape(h)}</th>" for h in head), "</tr></thead><tbody>"]
    for line in lines:
        out.append("<tr>" + "".join(f'<td{" class=n" if i in numbers else ""}>{cell}</td>' for i, cell in enumerate(line)) + "</tr>")
    out.append("</tbody></table></div>")
    return "".join(out)


def esc(v):
    return html.escape(str(v))


def bars_table(bars):
    lines = []
    for b in bars:
        state = "not measured" if b["ok"] is None else '<span class="ok">met</span>' if b["ok"] else '<span class="miss">missed</span>'
        lines.append((f'<code class="name">{esc(b["name"])}</code>', tables.number(b["value"]), state, tables.number(b["must"]),
                      tables.number(b["aim"]), esc(b.get("what", "")), esc(b.get("from", ""))))
    return table(("bar", "value", "", "must", "aim", "what", "worst of its rows"), lines, (1, 3, 4))


def rows_table(rows):
    lines = []
    for r in rows:
        spread = r["spread"]
        low = spread.get("min") if isinstance(spread, dict) else None
        lines.append((esc(r["variant"]), esc(" ".join(f"{k}={v}" for k, v in r["params"].items())), esc(r["metric"]),
                      tables.number(r["value"]), tables.number(low), tables.number(r["n"]), esc(r["unit"]), esc(r["kind"])))
    return table(("variant", "parameters", "metric", "value", "minimum", "n", "unit", "kind"), lines, (3, 4, 5))


def meta_table(meta):
    lines = []
    for k, v in meta.items():
        if k == "qemu_lines":
            lines += [(esc(f"qemu, {vm}"), f"<code>{esc(line)}</code>") for vm, line in v.items()]
        elif k == "missing":
            lines += [("missing", esc(m)) for m in v]
        else:
            lines.append((esc(k), f"<code>{esc(' '.join(v) if isinstance(v, list) else v)}</code>"))
    return table(("", ""), lines)


def write_html(everything, path):
    """Sentences: which plots could not be made."""
    meta, rows, bars = everything["meta"], everything["results"], everything["bars"]
    out = ['<!doctype html><html lang="en"><head><meta charset="utf-8">',
           '<meta name="viewport" content="width=device-width, initial-scale=1">',
           f"<title>famfs-bpf: the A/B study</title><style>{STYLE}</style></head><body>",
           "<h1>Who says where the bytes of a file are: BPF against C in the kernel</h1>"]
    out += [f"<p>{esc(s)}</p>" for s in tables.summary(everything)]
    out.append(f"<p>Exact figures are guest instructions under QEMU <code>-icount</code>: {esc(meta.get('exact', ''))}. They "
               "count instructions, not stalls. Native figures are of this machine's own CPU. How: docs/performance.md.</p>")
    if meta["missing"]:
        out.append(f"<p>{len(meta['missing'])} things are missing; they are listed at the end.</p>")
    out.append("<h2>Bars</h2>" + bars_table(bars))
    out.append("<h2>What it costs</h2><p>Instructions, warm, median.</p>")
    out.append(table(("variant", "file", *(c[0] for c in tables.COLUMNS)),
                     [(esc(v), n, *(tables.number(f) for f in fs)) for v, n, fs in tables.costs(rows)], range(2, 8)))
    failed = []
    for title, command, script in plots(rows):
        out.append(f"<h2>{esc(title)}</h2>")
        if not script:
            out.append(f"<p>No data in this run; <code>{esc(command)}</code> measures it.</p>")
            continue
        try:
            out.append(f'<figure><div class="wide">{gnuplot(script)}</div>'
                       f"<figcaption>Measured by <code>{esc(command)}</code></figcaption></figure>")
        except PlotError as e:
            failed.append(f"no plot '{title}': {e}")
            out.append(f'<p class="miss">The plot could not be made: {esc(e)}</p>')
        out.append(f"<details><summary>Data and gnuplot commands</summary><pre>{esc(script)}</pre></details>")
    out.append("<h2>All rows</h2>")
    for load in dict.fromkeys(r["load"] for r in rows):
        mine = [r for r in rows if r["load"] == load]
        out.append(f"<details><summary>{esc(load)}: {esc(plan.LOADS.get(load, ''))} ({len(mine)} rows)</summary>{rows_table(mine)}</details>")
    out.append("<h2>What was measured</h2>" + meta_table(meta) + "</body></html>\n")
    path.write_text("\n".join(out), encoding="utf-8")
    return failed


# ---- README.md and docs/performance.md ----

def cost_lines(rows, short):
    """short: variants by their file of 6 strips only, where they have one."""
    yield "| variant | file | " + " | ".join(c[0] for c in tables.COLUMNS) + " |"
    yield "|---|---|" + "---|" * len(tables.COLUMNS)
    lines = tables.costs(rows)
    striped = {v for v, name, _ in lines if name == "6 strips"}
    for v, name, figures in lines:
        if short and v in striped and name != "6 strips":
            continue
        yield f"| {'**bpf-array**' if v == 'bpf-array' else v} | {name} | " + " | ".join(tables.number(f) for f in figures) + " |"


def bar_lines(bars):
    yield "| bar | value | must be at most | aim |"
    yield "|---|---|---|---|"
    for b in bars:
        state = "not measured" if b["ok"] is None else tables.number(b["value"]) + ("" if b["ok"] else " **missed**")
        yield f"| {b.get('what', b['name'])} (`{b['name']}`) | {state} | {tables.number(b['must'])} | {tables.number(b['aim'])} |"


def growth_lines(rows):
    """What grows: strips, extents, files; median of warm 4 KiB read faults."""
    for title, load, param, params in (
            ("strips", "interleave", "strips", {"op": "touch4k", "access": "read"}),
            ("extents, at random", "extents", "extents", {"op": "touch4k"}),
            ("files, drawn uniformly", "files", "files", {"dist": "uniform"}),
            ("files, drawn by Zipf", "files", "files", {"dist": "zipf"})):
        series = {v: dict(points) for v, points in series_of(
            rows, load, "touch", param, (*plan.VARIANTS, *plan.ANCHORS), **params, **{"pass": "warm"}).items() if points}
        counts = sorted({x for points in series.values() for x in points})
        if not counts:
            continue
        yield ""
        yield f"| {title} | " + " | ".join(tables.number(c) for c in counts) + " |"
        yield "|---|" + "---|" * len(counts)
        for v, points in series.items():
            yield f"| {v} | " + " | ".join(tables.number(points.get(c)) for c in counts) + " |"


def split_lines(rows):
    parts = ("entry", "to-begin", "to-obtain", "obtain", "validate", "after-begin", "exit")
    lines = []
    for v in plan.VARIANTS:
        found = {r["metric"]: r["value"] for r in
                 results.find(rows, variant=v, load="split", params={"layout": "strips", "access": "read"})
                 if "size" not in r["params"]}
        if found:
            lines.append(f"| {v} | " + " | ".join(tables.number(found.get(p)) for p in parts) + " |")
    if lines:
        yield ""
        yield "| of a 4 KiB read fault, 6 strips | " + " | ".join(parts) + " |"
        yield "|---|" + "---|" * len(parts)
        yield from lines


def base_lines(rows):
    """The same file system with the series and without: warm touches of a contiguous file."""
    ops = (("4 KiB read", "fault-4k", "touch", {"access": "read", "order": "sequential"}),
           ("4 KiB write", "fault-4k", "touch", {"access": "write", "order": "sequential"}),
           ("2 MiB read", "fault-2m", "touch", {"access": "read", "order": "sequential"}),
           ("2 MiB write", "fault-2m", "touch", {"access": "write", "order": "sequential"}),
           ("scan, a page", "scan", "touch-mean", {"access": "read", "stride": 4096}),
           ("munmap + close of it", "scan", "unmap-close", {"access": "read", "stride": 4096}))
    lines = []
    for v in ("bpf-array", "ext4-dax", "ext4-dax-base", "xfs-dax", "xfs-dax-base", "device-dax", "device-dax-base",
              "tmpfs", "tmpfs-base"):
        found = [results.find(rows, variant=v, load=load, metric=metric, params={**params, "pass": "warm"})
                 for _, load, metric, params in ops]
        if any(found):
            lines.append(f"| {v} | " + " | ".join(tables.number(f[0]["value"]) if f else "" for f in found) + " |")
    if lines:
        yield ""
        yield "| with the series; -base: without | " + " | ".join(o[0] for o in ops) + " |"
        yield "|---|" + "---|" * len(ops)
        yield from lines


def provenance(meta):
    seconds = f"{meta['seconds'] / 60:.0f} minutes in all, " if meta.get("seconds", 0) >= 600 else \
        f"{meta['seconds']:.0f} s in all, " if "seconds" in meta else ""
    missing = f"{len(meta['missing'])} things missing" if meta["missing"] else "nothing missing"
    return (f"Commit {meta['commit'][:12]}, {meta.get('compiler', '')}, {meta.get('exact', '')}, {seconds}{missing}. "
            f"Native figures: {meta['cpu']}.")


def readme_lines(everything):
    yield "Instructions, warm, median; exact (QEMU `-icount`, one CPU, no mitigations). docs/performance.md has the rest."
    yield ""
    yield from cost_lines(everything["results"], True)
    yield ""
    yield from bar_lines(everything["bars"])
    yield ""
    yield " ".join(tables.summary(everything))
    yield provenance(everything["meta"])


def docs_lines(everything):
    rows = everything["results"]
    yield " ".join(tables.summary(everything))
    yield ""
    yield from cost_lines(rows, False)
    yield from growth_lines(rows)
    yield from split_lines(rows)
    yield from base_lines(rows)
    yield from doctables.lines(rows)
    for title, name, _ in docs_plots(rows):
        yield ""
        yield f"![{title}]({name})"
    yield ""
    yield from bar_lines(everything["bars"])
    yield ""
    yield provenance(everything["meta"])


def docs_plots(rows):
    """(title, file's name, script) of the plots that are kept in docs/."""
    for title, _, script in plots(rows):
        if script:
            # All of its words: two titles may differ in the last one
            words = "".join(c if c.isalnum() else " " for c in title.lower().replace("()", "")).split()
            yield title, f"performance-{'-'.join(words)}.svg", script


def fill(path, lines, name="bench", words="--readme"):
    """Between the markers of this name; SystemExit if there are none. words: what made the lines."""
    first, last = f"<!-- {name}:begin", f"<!-- {name}:end -->"
    text = path.read_text(encoding="utf-8")
    begin, end = text.find(first), text.find(last)
    if begin < 0 or end < begin:
        raise SystemExit(f"bench: {path.name} has no '{first} -->' and '{last}'")
    body = "\n".join([f"{first}: made by ./run bench {words} -->", *lines, last])
    path.write_text(text[:begin] + body + text[end + len(last):], encoding="utf-8")


def write_docs(everything, top):
    """Sentences: which plots could not be made."""
    failed = []
    for title, name, script in docs_plots(everything["results"]):
        try:
            (top / "docs" / name).write_text(gnuplot(script), encoding="utf-8")
        except PlotError as e:
            failed.append(f"no plot '{title}': {e}")
    fill(top / "README.md", readme_lines(everything))
    fill(top / "docs/performance.md", docs_lines(everything))
    return failed
