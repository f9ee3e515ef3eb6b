#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""report-check.py [REPORT.html]: what a reader of the bench's report sees, in headless Chromium
at the widths of a desktop and of a phone.

The page must not need a script, nor anything from elsewhere, nor scroll sideways; its plots
must be there and have a size, and its text be large enough to read. Needs chromium; --shots DIR
leaves pictures there.
"""
import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
MEASURE = """<script>
const f = document.getElementById('f');
f.onload = () => {
	const d = f.contentDocument, e = d.documentElement;
	const box = x => x.getBoundingClientRect();
	const wide = [...d.querySelectorAll('body > *, body > figure > *')].filter(x => box(x).right > e.clientWidth + 1);
	document.getElementById('out').textContent = JSON.stringify({
		client: e.clientWidth, scroll: e.scrollWidth, wide: wide.map(x => x.tagName + ' ' + x.textContent.slice(0, 40)),
		plots: [...d.querySelectorAll('svg')].filter(x => box(x).width > 250 && box(x).height > 100).length,
		svgs: d.querySelectorAll('figure svg').length, rows: d.querySelectorAll('tr').length,
		headings: d.querySelectorAll('h2').length,
		font: parseFloat(d.defaultView.getComputedStyle(d.querySelector('p')).fontSize)});
};
f.srcdoc = document.getElementById('page').textContent;
</script>"""


def chromium(*words):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not program:
        raise SystemExit("report-check: no chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as profile:
        p = subprocess.run([program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                            f"--user-data-dir={profile}", *words],
                           capture_output=True, text=True, check=False, timeout=900)
    return p.stdout


def measure(text, width, height, work):
    wrapper = work / "wrapper.html"
    wrapper.write_text("<!doctype html><meta charset=utf-8><body style='margin:0'>"
                       f"<iframe id=f style='border:0' width={width} height={height}></iframe>"
                       f"<textarea id=page hidden>{html.escape(text)}</textarea><pre id=out></pre>{MEASURE}", encoding="utf-8")
    dom = chromium("--window-size=1400,1000", "--dump-dom", wrapper.as_uri())
    found = re.search(r'<pre id="out">(\{.*?\})</pre>', dom, re.S)
    if not found:
        raise SystemExit("report-check: chromium did not show the page")
    return json.loads(html.unescape(found.group(1)))


def main():
    args = sys.argv[1:]
    shots = pathlib.Path(args[args.index("--shots") + 1]) if "--shots" in args else None
    names = [a for i, a in enumerate(args) if a != "--shots" and (not i or args[i - 1] != "--shots")]
    page = pathlib.Path(names[0]) if names else TOP / "out/bench/report.html"
    text = page.read_text(encoding="utf-8")
    bad = []
    if re.search(r"<script|\son[a-z]+\s*=\s*[\"']|javascript:", text):
        bad.append("it has a script")
    # A namespace is only a name
    elsewhere = re.findall(r"(?:src|href)\s*=\s*[\"'](?!#|data:)([^\"']+)|url\((?!#)([^)]+)", text)
    if elsewhere:
        bad.append(f"it loads {elsewhere[0]}")
    with tempfile.TemporaryDirectory() as work:
        for name, (width, height) in WIDTHS.items():
            m = measure(text, width, height, pathlib.Path(work))
            if m["client"] != width or m["scroll"] > m["client"]:
                bad.append(f"{name}: {m['scroll']} wide in {m['client']}")
            if m["wide"]:
                bad.append(f"{name}: wider than the page: {m['wide'][:3]}")
            if not m["svgs"] or m["plots"] < m["svgs"]:
                bad.append(f"{name}: {m['plots']} of {m['svgs']} plots can be seen")
            if m["font"] < 14:
                bad.append(f"{name}: letters of {m['font']} px")
            print(f"{name}: {width} wide, {m['headings']} headings, {m['svgs']} plots, {m['rows']} rows of tables")
            if shots:
                shots.mkdir(parents=True, exist_ok=True)
                chromium(f"--window-size={max(width, 500)},{height}", f"--screenshot={shots / name}.png", page.resolve().as_uri())
    for b in bad:
        print(f"report-check: {b}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
