# SPDX-License-Identifier: GPL-2.0-only
"""report.html and the table in README.md, from results.json."""
import html


def fmt(v):
    return "" if v is None else f"{v:g}" if isinstance(v, (int, float)) else str(v)


def write_html(everything, path):
    meta, rows, bars = everything["meta"], everything["results"], everything["bars"]
    out = ["<!doctype html><meta charset=utf-8><title>famfs-bpf: the A/B study</title>"]
    out.append("<table><tr><th>bar<th>value<th>must<th>aim")
    for b in bars:
        out.append(f"<tr><td>{html.escape(b['name'])}<td>{fmt(b['value'])}<td>{fmt(b['must'])}<td>{fmt(b['aim'])}")
    out.append("</table><table><tr><th>variant<th>load<th>parameters<th>metric<th>median<th>unit")
    for r in rows:
        params = " ".join(f"{k}={v}" for k, v in r["params"].items())
        out.append(f"<tr><td>{html.escape(r['variant'])}<td>{html.escape(r['load'])}<td>{html.escape(params)}"
                   f"<td>{html.escape(r['metric'])}<td>{fmt(r['value'])}<td>{html.escape(r['unit'])}")
    out.append(f"</table><p>{html.escape(meta['commit'])}, {html.escape(meta['cpu'])}")
    path.write_text("\n".join(out), encoding="utf-8")


def write_readme(everything, path):
    raise SystemExit("bench: --readme: no table yet")
