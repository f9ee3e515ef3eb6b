#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the A/B harness makes of rows, without a VM: bars, differences, reports. TAP.

The rows are made up, but which there are follows from the plan, as famfs-bench would print
them: a bar that a full run cannot give a value to is found here, not after an hour.
"""
import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(TOP / "tests/perf"), str(TOP / "scripts")]
import bench  # noqa: E402 pylint: disable=wrong-import-position
from harness import bars, doctables, patches, plan, report, results, vm  # noqa: E402 pylint: disable=wrong-import-position

SCHEMA = TOP / "tests/perf/results.schema.json"
MIB = 1 << 20
# As the native programs name them
NATIVE_BARS = ("ab.lines-cold-ratio", "ab.lines-cold-with-inode-ratio", "ab.native-cold-ratio",
               "ab.native-hot", "ab.mount-seconds")


# ---- rows as the programs print them ----

def row(variant, load, params, metric, value=1000, unit="instructions", kind="exact", spread=True):
    return {"variant": variant, "load": load, "params": params, "metric": metric, "unit": unit, "kind": kind,
            "value": value, "n": 10,
            "spread": {"min": value - 1, "p99": value + 2, "max": value + 9, "mean": value + 1} if spread else None}


def option(words, name, default=None):
    return words[words.index(name) + 1] if name in words else default


def step_rows(variant, step):
    """What famfs-bench says in one step, both passes."""
    if step.fio:
        return [row(variant, "fio", dict(step.params), "latency")]
    words = step.words.split()
    op, how = words[0], {"access": "write" if "-w" in words else "read"}
    order = {"order": "random" if "-R" in words else "sequential"}
    size = {"4k": 4096, "64k": 65536, "1m": MIB, "2m": 2 * MIB, None: 4096}[option(words, "-s")]
    base = {"op": op, **step.params}
    if step.load == "threads":
        return [row(variant, "threads", {**step.params, "pass": p}, m, 30, "count/op", spread=False)
                for p in ("cold", "warm") for m in ("locked-instructions", "shared-loads", "shared-stores")]
    if step.load == "split":
        return [row(variant, "split", {**base, **how, **({"size": size} if "-s" in words else {})}, m, 58 if
                    step.params["layout"] == "simple" else 98) for m in ("entry", "obtain", "exit")]
    if step.load == "mmaplock":
        return [row(variant, "mmaplock", {**base, **how, "threads": 2}, m, v, "count", "native", False)
                for m, v in (("faults", 1024), ("mmap-locks", 0))]
    made = []
    for passed in ({"pass": "cold"}, {"pass": "warm"}):
        if op in ("touch4k", "touch2m", "sparse"):
            advice = {"advice": "random" if "-R" in words else "none"} if op == "sparse" else {}
            made.append(row(variant, step.load, {**base, **how, **order, **advice, **passed}, "touch"))
        elif op == "scan":
            made += [row(variant, step.load, {**base, **how, "stride": size, **passed}, m)
                     for m in ("touch-mean", "unmap-close")]
        elif op == "fork":
            made += [row(variant, step.load, {**base, **how, **order, **passed}, m) for m in ("touch-child", "fork")]
        elif op in ("read", "write"):
            made.append(row(variant, step.load, {**base, "size": size, "direct": "-D" in words, **order, **passed}, "call"))
        elif op == "kv":
            made.append(row(variant, step.load, {**base, "keys": 20000, **passed}, "get"))
        elif op in ("files", "stat", "open", "readdir"):
            files = {"files": int(option(words, "-c")), "dist": option(words, "--dist", "all"), **passed}
            made += [row(variant, step.load, {**base, **files}, m)
                     for m in (("touch", "visit") if op == "files" else ("call",))]
            made += [row(variant, step.load, {**base, **files}, m, 0 if m == "requests" else 1000, "count", spread=False)
                     for m in ("requests", *(("entries",) if op == "readdir" else ()))]
        else:
            raise ValueError(f"what does '{op}' print?")
    return made


def server_rows(group):
    files = max([int(w.split(":")[1]) for w in group.layout if "=files:" in w] or [len(group.layout)])
    params = {"files": files, "mount": group.steps[0].load}
    return [row(group.variant, "server", params, m, v, unit, spread=False) for m, v, unit in (
        ("mem.map", 64 * files, "bytes"), ("mem.kernel", 0, "bytes"), ("mem.programs", 4096, "bytes"),
        ("programs", 1, "count"), ("attach-time", 300000, "ns"), ("mem.slab", 1300 * files, "bytes"),
        ("mem.vmalloc", 64 * files, "bytes"), ("mem.server", 75 * files, "bytes"))]


def native_rows():
    made = []
    for strips in (1, 6):
        for n in (1, 256, 1000000):
            made += [{**row(v, "resolve", {"files": n, "strips": strips}, "latency", 10.5 + n / 1e4, "ns", "native"),
                      "spread": 0.4} for v in ("bpf-array", "c", "empty-bpf")]
            made.append({**row("bpf-array", "resolve", {"files": n, "strips": strips, "to": "c"}, "latency-ratio",
                               0.51, "ratio", "native"), "spread": 0.01})
        made += [{**row(v, "lookup", {"files": 1000000, "strips": strips}, m, 1.5, "per lookup"), "spread": 0}
                 for v in ("bpf-array", "c") for m in ("lines", "dependent-lines", "page-table-lines")]
    return made + [{**row("bpf-array", "mount", {"entries": 986880, "files": 986872, "strips": 1}, "decode", 0.3, "s",
                          "native"), "spread": 0.01}]


def plan_rows(vms):
    made = []
    for v in vms:
        for g in v.groups:
            made += [r for s in g.steps for r in step_rows(g.variant, s)]
            if g.layout:
                made += server_rows(g)
    return made


def everything(rows):
    given = [{"name": n, "value": 0.1, "must": 1, "aim": 0.5, "ok": True, "from": "6 strips"} for n in NATIVE_BARS]
    return {"meta": {"date": "2026-01-01T00:00:00Z", "commit": "0" * 40, "cpu": "a CPU", "arguments": [], "runs": 2,
                     "missing": ["kv under c: why"], "seconds": 3725.2, "exact": "all"},
            "results": rows, "bars": bars.compute(rows, given)}


FULL = plan_rows(plan.full()) + native_rows()


def by_name(rows, **more):
    return {b["name"]: b for b in bars.compute(rows, **more)}


def without(rows, **want):
    gone = results.find(rows, **want)
    check(gone, f"no row of {want}")
    return [r for r in rows if r not in gone]


def check(good, text):
    if not good:
        raise AssertionError(text)


# ---- tests ----

def bars_of_a_full_run():
    """a full run gives each bar a value, but for the native ones"""
    none = {n for n, b in by_name(FULL).items() if b["value"] is None}
    check(none == set(NATIVE_BARS), f"without value: {none ^ set(NATIVE_BARS)}")
    found = by_name(FULL)
    check(found["ab.c-obtain.simple"]["value"] == 65 and found["ab.fault-4k.c"]["value"] == 1, found["ab.fault-4k.c"])
    check(all(b["what"] for b in everything(FULL)["bars"]), "a bar has no description")
    # One of each kind: the rows of a whole run take seconds
    kinds = {(r["load"], r["metric"], r["kind"]): r for r in FULL}
    errors = results.validate({**everything(FULL), "results": list(kinds.values())}, SCHEMA)
    check(not errors, errors[:2])


def bars_of_parts():
    """the worst of a part of the rows is no value"""
    quarter = {"layout": "strips", "strips": 16, "access": "write", "op": "touch4k"}
    for bar, gone in (
            ("ab.fault-4k.c", {"variant": "c", "load": "interleave", "params": quarter}),
            ("ab.fault-4k.ext4", {"variant": "bpf-array", "load": "interleave", "params": quarter}),
            ("ab.bpf-adds", {"variant": "c-slot", "load": "interleave", "params": {"strips": 3, "op": "touch2m"}}),
            ("ab.io.fuse-direct", {"variant": "fuse-direct", "load": "io", "params": {"op": "write", "size": 4096}}),
            ("ab.files", {"variant": "bpf-array", "load": "files", "params": {"files": 1}}),
            ("ab.open-fault.requests", {"variant": "bpf-array", "metric": "requests", "params": {"files": 100000}}),
            ("ab.map-bytes-per-file", {"variant": "bpf-array", "metric": "mem.map", "params": {"files": 1000000}}),
            ("fast.scan.tmpfs", {"variant": "tmpfs-base", "load": "scan"}),
            ("fast.sparse", {"variant": "xfs-dax", "load": "scan", "params": {"op": "sparse", "advice": "none"}}),
            ("fast.mmap-lock", {"variant": "ext4-dax", "load": "mmaplock", "params": {"access": "write"}}),
            ("fast.ext4", {"variant": "ext4-dax-base", "load": "io", "params": {"size": MIB, "op": "write"}}),
            ("fast.xfs", {"variant": "xfs-dax", "load": "fork", "metric": "touch-child"}),
            ("fast.unmap-close", {"variant": "xfs-dax-base", "load": "scan", "params": {"access": "write"}})):
        found = by_name(without(FULL, **gone))[bar]
        check(found["value"] is None and found["ok"] is None, f"{bar} is {found['value']} without {gone}")
    # Both kernels may have lost the same rows
    both = without(without(FULL, variant="ext4-dax", load="io"), variant="ext4-dax-base", load="io")
    check(by_name(both)["fast.ext4"]["value"] is None, "fast.ext4 without io")


def bars_of_selections():
    """--quick has the bars that it is for, a selected load is no failure"""
    quick = by_name(plan_rows(plan.quick()), quick=True)
    for name in ("ab.c-obtain.simple", "ab.c-obtain.strips6", "ab.fault-4k.c", "ab.fault-2m.c", "ab.bpf-adds", "ab.io.c",
                 "ab.fault-4k.ext4", "ab.fault-2m.ext4", "ab.io.ext4", "ab.io.fuse-direct"):
        check(quick[name]["value"] is not None, f"--quick has no {name}")
    check(all(v.flavour == "bench" for v in plan.quick()), "--quick needs a second kernel")
    one = by_name(plan_rows(plan.select(plan.full(), ["fault-4k", "interleave"], [])))
    check(one["ab.fault-4k.c"]["value"] == 1, one["ab.fault-4k.c"])
    check(one["fast.ext4"]["value"] is None and one["ab.bpf-adds"]["value"] is None, "bars of more than fault-4k")
    check(all(b["value"] is None for b in by_name([]).values()), "a bar of no rows")


def worst_of_all():
    """a ratio is the worst of layouts, of read and write, of minimum and median"""
    rows = json.loads(json.dumps(FULL))
    params = {"layout": "strips", "strips": 16, "op": "touch4k", "access": "write", "pass": "warm"}
    results.find(rows, variant="bpf-array", load="interleave", metric="touch", params=params)[0]["value"] = 1100
    bar = by_name(rows)["ab.fault-4k.c"]
    check(bar["value"] == 1.1 and not bar["ok"] and bar["from"].startswith("16 strips, write, median"), bar)


def runs_that_differ():
    """a figure that differs, and a row that is in one run only, are differences"""
    first = [row("c", "fault-4k", {"op": "touch4k"}, "touch"), row("c", "scan", {"op": "scan"}, "touch-mean"),
             row("bpf-hash", "io", {"op": "read"}, "call"), row("c", "io", {"op": "read"}, "call"),
             row("c", "server", {"files": 1}, "mem.slab", 5, "bytes", spread=False)]
    check(not results.differences(first, first), "the same differ")
    for i, expected in ((0, 1), (1, 0), (2, 0), (3, 1), (4, 0)):
        second = json.loads(json.dumps(first))
        second[i]["value"] += 1
        check(len(results.differences(first, second)) == expected, f"{first[i]['metric']} changed")
        less = first[:i] + first[i + 1:]
        for a, b in ((first, less), (less, first)):
            said = results.differences(a, b)
            check(len(said) == 1 and first[i]["metric"] in said[0], f"{first[i]['metric']} is in one run only: {said}")
    second = json.loads(json.dumps(first))
    second[0]["spread"]["min"] -= 1
    check(len(results.differences(first, second)) == 1, "a minimum changed")


def plots():
    """gnuplot makes each plot of a full run, on log axes too, and each has a name of its own"""
    for log in ("", "x", "y", "xy"):
        script = report.plot_lines({"a_b": [(1, 10), (1000, 2000)], "c": [(1, 20), (1000, 30)]}, "files", "ns", log)
        check(report.gnuplot(script).startswith("<svg"), log)
    made = list(report.docs_plots(FULL))
    check(len(made) == len(list(report.plots(FULL))), "a plot has no data")
    check(len({name for _, name, _ in made}) == len(made), [name for _, name, _ in made])
    for _, _, script in made:
        report.gnuplot(script)


def plot_that_fails():
    """what gnuplot complains of is in the report, and is no 'No data'"""
    good = report.GNUPLOT_HEAD
    try:
        report.GNUPLOT_HEAD = good + "set nonsense\n"
        with tempfile.TemporaryDirectory() as w:
            page = pathlib.Path(w) / "report.html"
            failed = report.write_html(everything(FULL), page)
            text = page.read_text(encoding="utf-8")
    finally:
        report.GNUPLOT_HEAD = good
    check(len(failed) == len(list(report.plots(FULL))) and "unrecognized" in failed[0].lower(), failed)
    check("could not be made" in text and "No data in this run" not in text, "the page does not say so")


def documents():
    """the tables of README.md and docs/performance.md are all there"""
    text = "\n".join(report.docs_lines(everything(FULL)))
    for title, _ in doctables.SECTIONS:
        check(f"### {title}" in text, f"no table '{title}'")
    for words in ("| upcall | ", "drawn by Zipf", "62 minutes in all", "1 things missing", "bpf-hash, files | 32,768"):
        check(words in text, f"no '{words}'")
    check("###" not in "\n".join(report.readme_lines(everything(FULL))), "README.md is to be short")
    with tempfile.TemporaryDirectory() as w:
        page = pathlib.Path(w) / "report.html"
        check(not report.write_html(everything(FULL), page), "a plot failed")
    list(report.docs_lines(everything([])))


def plan_and_lacks():
    """nobody is asked for what he is known not to do, and all else is"""
    for v, load, most, why in plan.LACKS:
        check(v in plan.VARIANTS and why, v)
        asked = [int(w.split(":")[1]) for vm_ in plan.full() for g in vm_.groups if g.variant == v
                 for w in g.layout if f"={load}:" in w]
        counts = plan.FILES if load == "files" else plan.EXTENTS
        # Those of stat and open are 1,000 again
        check(set(asked) == {n for n in counts if n <= most}, f"{v}: {asked}")
    alone = [g.variant for v in plan.full() for g in v.groups for s in g.steps if s.load == "fault-4k" and s.alone]
    check(set(alone) == {"tmpfs", "tmpfs-base", "fuse-cache"}, set(alone))


def lines_of_a_guest():
    """a garbled line costs a sentence, not the rows before and after it"""
    machine = plan.select(plan.full(), ["fault-4k"], ["c"])[0]
    reader = vm.Reader(machine, lambda s, g: None)
    good = json.dumps(row("c", "touch4k", {"layout": "simple"}, "touch"))
    for line in ("@@kernel x", "@@group 0", "@@begin 0", good, good[:40], "x" + good, '{"variant": 1}', "@@end zero",
                 "@@begin 99999", good, "@@begin 0", good, "@@end 0 0", "@@done"):
        reader.line(line + "\n")
    outcome = reader.end("it ended")
    garbled = [m for m in outcome.missing if "garbled" in m]
    check(len(outcome.rows) == 2 and len(garbled) == 5, (len(outcome.rows), outcome.missing))


def stopped_before_it_began():
    """a VM that is stopped before it begins does not begin"""
    machine = vm.Machine(TOP, pathlib.Path("/nonexistent"), {"bench": pathlib.Path("/nonexistent")}, None,
                         pathlib.Path(tempfile.mkdtemp()))
    machine.stop()
    outcome = machine.run(plan.select(plan.full(), ["kv"], ["c"])[0], None)
    machine.work.joinpath("variant-c.log").unlink()
    machine.work.rmdir()
    check(machine.process is None and outcome.missing == ["kv under c: the run was stopped"], outcome.missing)


def native_program_is_stopped():
    """a program on this machine is stopped, and no other one begins"""
    study = bench.Study({}, 1)
    check(study.run_program(["echo", "x"]) == (0, "x\n", ""), "echo")
    threading.Timer(0.2, study.stop).start()
    t0 = time.monotonic()
    check(study.run_program(["sleep", "30"]) is None and time.monotonic() - t0 < 5, "sleep went on")
    check(study.run_program(["false"]) is None and study.program.args == ["sleep", "30"], "another one began")


def exit_status():
    """what is missing, a plot, and a bar without a value make a run fail"""
    def status(missing=(), differ=(), whole=True, lacks=False, loads=(), bar_list=()):
        args = types.SimpleNamespace(quick=False, loads=loads, variants=[])
        with contextlib.redirect_stderr(io.StringIO()):
            return bench.judge(args, bar_list, list(differ), {"missing": list(missing)}, whole, lacks)
    none = [{"name": "ab.x", "value": None, "ok": None}]
    check(status() == 0 and status(loads=["kv"], bar_list=none) == 0, "a good run fails")
    check(status(["kv under c: why"]) and status(differ=["x"]) and status(whole=False) and status(bar_list=none),
          "a bad run does not fail")
    check(not status(["io under c: c: the kernel lacks it"], lacks=True), "a kernel without variants")
    good = vm.Outcome([row("c", "kv", {}, "get")], ["x"])
    meta = {"missing": []}
    rows, differ = bench.join({("a", 1): good, ("a", 2): "OSError: why", ("b", 1): "the run was stopped"},
                              [plan.Vm("a", []), plan.Vm("b", [])], meta)
    check(len(rows) == 1 and not differ and len(meta["missing"]) == 3, meta)


def wrong_results():
    """--from with what is no results of a run is one line"""
    with tempfile.TemporaryDirectory() as w:
        name = pathlib.Path(w) / "results.json"
        for text in ("{", "[]", '{"meta": 1, "results": [], "bars": []}', "\0", None):
            if text is None:
                name.unlink()
            else:
                name.write_text(text, encoding="utf-8")
            p = subprocess.run([sys.executable, TOP / "scripts/bench.py", "--from", name], capture_output=True,
                               text=True, check=False)
            check(p.returncode == 1 and p.stderr.startswith("bench: ") and p.stderr.count("\n") == 1, (text, p.stderr))


def patch_by_patch():
    """the table of patches has what changed, what did not, and what became dearer"""
    found = patches.series(TOP / "kernel-patches")
    check(found and all(n.endswith(".patch") and not s.startswith("fuse") for n, s in found), found)
    same = plan_rows([patches.machine()])
    check(all(None not in patches.figures(same, v) for v in patches.VARIANTS), patches.figures(same, "xfs-dax-base"))
    dearer = [{**r, "value": 1100} if r["variant"].startswith("ext4") and r["load"] == "fault-2m" and
              r["params"]["pass"] == "cold" else r for r in same]
    names = ["", "0001-a.patch", "0002-b.patch", "0003-c.patch"]
    text = "\n".join(patches.lines([{"patch": n, "subject": "", "rows": rows}
                                    for n, rows in zip(names, (same, same, dearer, same))]))
    check("| 0001 |" not in text and "No figure differs by 0001." in text, text)
    check("| 0002 | ext4 |" in text and "| 0002 | XFS" not in text and "**1,100**" in text, text)
    check("dearer, in instructions: 0002 by 100 (most: ext4, 2 MiB, cold)." in text, text)
    steps = [{"patch": n, "subject": "", "rows": same} for n in ("", "0007-a.patch", "0012-b.patch", "0027-c.patch")]
    check("up to 0027" in report.gnuplot(patches.plot(steps)) and not patches.plot(steps[:1]), "the plot")
    check("|  | XFS |" in text.splitlines()[-4] and "| 0003 | ext4 |" in text, text)


TESTS = (bars_of_a_full_run, bars_of_parts, bars_of_selections, worst_of_all, runs_that_differ, plots, plot_that_fails,
         documents, plan_and_lacks, lines_of_a_guest, stopped_before_it_began, native_program_is_stopped, exit_status,
         wrong_results, patch_by_patch)


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for i, test in enumerate(TESTS, 1):
        try:
            test()
            print(f"ok {i} - {test.__doc__}", flush=True)
        except Exception:     # pylint: disable=broad-exception-caught
            failed += 1
            print(f"not ok {i} - {test.__doc__}")
            print("\n".join(f"# {line}" for line in traceback.format_exc().splitlines()[-6:]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
