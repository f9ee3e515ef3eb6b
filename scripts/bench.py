#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""./run bench: the A/B study, from kernel to results.json. See docs/performance.md.

Exact figures come from QEMU -icount, each VM run twice, and the two must agree; native
ones from a program on this machine. What there is, is written even if something failed;
what is missing, is said.
"""
import argparse
import concurrent.futures
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests/perf"))
sys.dont_write_bytecode = True
from harness import bars, patches, plan, results, vm  # noqa: E402 pylint: disable=wrong-import-position

BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build"))
OUT = TOP / "out/bench"
CACHE = pathlib.Path(os.environ.get("FAMFS_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "famfs-bpf")
SCHEMA = TOP / "tests/perf/results.schema.json"
ROOM = 4 << 30          # free bytes below out/: backing files are sparse, but are written to
ONCE = {"million", "threads", "mmaplock"}   # nothing of these is compared


def say(text):
    print(text, file=sys.stderr, flush=True)


def die(text, status=1):
    say(f"bench: {text}")
    sys.exit(status)


# ---- the command line ----

def parse():
    p = argparse.ArgumentParser(prog="./run bench", description="Run the A/B study, or a part of it.",
                                epilog="Results: out/bench/results.json, out/bench/report.html.")
    p.add_argument("loads", nargs="*", metavar="LOAD", help="only these; --list names them")
    p.add_argument("--variant", default="", metavar="A,B", help="only these variants and anchors")
    p.add_argument("--quick", action="store_true", help="a subset, under three minutes")
    p.add_argument("--list", action="store_true", help="loads and variants")
    p.add_argument("--readme", action="store_true", help="then put the tables into README.md and docs/performance.md")
    p.add_argument("--tap", action="store_true", help="say the outcome as tests")
    p.add_argument("--once", action="store_true", help="one run of each VM: half the time, nothing is compared")
    p.add_argument("--each-patch", action="store_true",
                   help="ext4-DAX and XFS-DAX on a kernel for each patch before FUSE: out/bench/each-patch.json")
    p.add_argument("--from", dest="source", metavar="FILE", help="no run: report and --readme from results.json, or each-patch.json")
    args = p.parse_intermixed_args()
    args.variants = [v for v in args.variant.split(",") if v]
    for load in args.loads:
        if load not in plan.LOADS:
            die(f"no load '{load}': ./run bench --list", 2)
    for v in args.variants:
        if v not in plan.VARIANTS and v not in plan.ANCHORS:
            die(f"no variant '{v}': ./run bench --list", 2)
    if args.quick and args.loads:
        die("--quick has its own loads", 2)
    if args.each_patch and (args.quick or args.loads or args.variants or args.tap or args.once):
        die("--each-patch goes with --readme and --from only", 2)
    return args


def show_list():
    for title, table in (("Loads", plan.LOADS), ("Variants", plan.VARIANTS), ("Anchors", plan.ANCHORS)):
        print(f"{title}:")
        for k, v in table.items():
            print(f"  {k:12} {v}")


# ---- what the figures are of ----

def output(*words):
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True, cwd=TOP).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def first_line(text):
    return text.splitlines()[0] if text else "unknown"


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def describe(kernels, runs):
    kernel = kernels["bench"]
    commit = output("git", "rev-parse", "HEAD")
    if output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += "-dirty"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit,
        "kernel_key": kernel.name,
        **({"base_kernel_key": kernels["base"].name} if "base" in kernels else {}),
        "config_sha256": hashlib.sha256((kernel / ".config").read_bytes()).hexdigest(),
        "compiler": first_line(output("gcc", "--version")),
        "bpf_compiler": first_line(output("clang", "--version")),
        "qemu": first_line(output("qemu-system-x86_64", "--version")),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "host_kernel": f"{platform.release()} {platform.version()}",
        "arguments": sys.argv[1:],
        "runs": runs,
        "missing": [],
    }


def prepare(flavours):
    """Packages, user space, kernels; where the kernels are: with the series, and without."""
    run_or_die([TOP / "scripts/deps.sh"])
    known = (TOP / "scripts/kernel-build.sh").read_text(encoding="utf-8")
    build = {"bench": "bench" if "\nbench)" in known else "ci", "base": "base"}
    kernels = {f: pathlib.Path(output_or_die([TOP / "scripts/kernel-build.sh", build[f]]))
               for f in ("bench", "base") if f == "bench" or f in flavours}
    run_or_die([TOP / "scripts/build.sh"])
    return kernels


def run_or_die(words, **more):
    p = subprocess.run(words, text=True, check=False, **more)
    if p.returncode:
        die(f"{pathlib.Path(words[0]).name} failed")
    return p.stdout


def output_or_die(words):
    lines = run_or_die(words, stdout=subprocess.PIPE).strip().splitlines()
    if not lines:
        die(f"{pathlib.Path(words[0]).name} said nothing")
    return lines[-1]


# ---- progress ----

class Progress:
    """Time left, from how long each VM took here the last time."""

    def __init__(self, jobs, workers):
        self.file = CACHE / "bench-times.json"
        try:
            self.known = json.loads(self.file.read_text())
        except (OSError, ValueError):
            self.known = {}
        self.cost = {}
        for v, run in jobs:
            steps = max(1, len(v.steps()))
            self.cost[v.name, run] = self.known.get(f"{v.name}/{steps}", v.seconds)
        self.left = dict(self.cost)
        self.workers = workers
        self.lock = threading.Lock()
        self.t0 = time.monotonic()
        self.last = 0.0

    def seconds_left(self):
        return max(sum(self.left.values()) / self.workers, max(self.left.values(), default=0))

    def step(self, v, run, text):
        with self.lock:
            share = self.cost[v.name, run] / max(1, len(v.steps()))
            self.left[v.name, run] = max(0, self.left[v.name, run] - share)
            self.show(text)

    def show(self, text, force=False):
        if not force and time.monotonic() - self.last < (0.2 if sys.stderr.isatty() else 5):
            return
        self.last = time.monotonic()
        total, left = sum(self.cost.values()), sum(self.left.values())
        line = f"bench: {100 * (1 - left / total) if total else 100:3.0f} %, about " \
               f"{self.seconds_left() / 60:.1f} min left: {text}"
        if sys.stderr.isatty():
            print(f"\r{line[:110]:110}", end="", file=sys.stderr, flush=True)
        else:
            say(line)

    def finished(self, v, run, seconds):
        with self.lock:
            self.left[v.name, run] = 0
            self.known[f"{v.name}/{max(1, len(v.steps()))}"] = round(seconds, 1)
            try:
                self.file.write_text(json.dumps(self.known, indent=1))
            except OSError:
                pass
            self.show(f"{v.name} took {seconds:.0f} s", True)


# ---- the run ----

class Study:
    def __init__(self, kernels, runs):
        self.kernels = kernels
        self.runs = runs
        self.machines = []
        self.program = None         # that runs on this machine
        self.stopped = False
        self.lock = threading.RLock()       # a signal may come while it is held
        self.workers = min(2, os.cpu_count() or 1)

    def stop(self):
        self.stopped = True
        with self.lock:
            for m in self.machines:
                m.stop()
            self.program_stop()

    def program_stop(self):
        if self.program and self.program.poll() is None:
            try:
                os.killpg(self.program.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def run_program(self, words):
        """(status, stdout, stderr) of a program on this machine; None if the study was stopped."""
        if self.stopped:
            return None
        self.program = subprocess.Popen(words, stdin=subprocess.DEVNULL,  # pylint: disable=consider-using-with
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        errors="replace", process_group=0)
        # The signal may have come between the two lines above
        if self.stopped:
            self.program_stop()
        out, err = self.program.communicate()
        return None if self.stopped else (self.program.returncode, out, err)

    def initramfs(self, extra, made):
        if extra not in made:
            made[extra] = OUT / f"initramfs-{len(made)}.cpio"
            vm.make_initramfs(TOP, BUILD, made[extra], extra)
        return made[extra]

    def machine(self, kernels, initramfs, where):
        """One that stop() ends; None if that came first."""
        machine = vm.Machine(TOP, BUILD, kernels, initramfs, OUT / where)
        with self.lock:
            if self.stopped:
                return None
            self.machines.append(machine)
        return machine

    def one(self, v, run, initramfs, progress):
        machine = self.machine(self.kernels, initramfs, f"run{run}")
        if not machine:
            return None
        t0 = time.monotonic()
        outcome = machine.run(v, lambda s, g: progress.step(v, run, f"{s.load} under {g.variant}"))
        progress.finished(v, run, time.monotonic() - t0)
        return outcome

    def run(self, vms):
        """{(name, run): Outcome, or why there is none}"""
        jobs = [(v, run) for v in vms for run in range(1, self.runs + 1)
                if run == 1 or not {s.load for s in v.steps()} <= ONCE]
        made, done = {}, {}
        for v in vms:
            self.initramfs(v.programs, made)
        progress = Progress(jobs, self.workers)
        jobs.sort(key=lambda job: -progress.cost[job[0].name, job[1]])
        progress.show(f"{len(jobs)} VMs", True)
        with concurrent.futures.ThreadPoolExecutor(self.workers) as pool:
            futures = {pool.submit(self.one, v, run, made[v.programs], progress): (v.name, run) for v, run in jobs}
            for f in concurrent.futures.as_completed(futures):
                # What the others measure is worth being written
                if f.exception():
                    done[futures[f]] = f"{type(f.exception()).__name__}: {f.exception()}"
                else:
                    done[futures[f]] = f.result() or "the run was stopped"
        for path in made.values():
            path.unlink(missing_ok=True)
        if sys.stderr.isatty():
            print(file=sys.stderr)
        return done


def native_line(line, rows, found, missing, name):
    """A row, or a bar."""
    try:
        row = json.loads(line)
        if "variant" in row:
            rows.append(vm.parse_row(line))
        elif isinstance(row["name"], str) and {"value", "must", "aim", "ok"} <= row.keys():
            found.append(row)
    except (ValueError, TypeError, KeyError) as e:
        missing.append(f"native: a line of {name}, which is garbled ({e}): {line[:80]}")


def native_rows(study, quick, missing):
    """The programs that time things on this CPU print rows, and bars."""
    rows, found = [], []
    where = BUILD / "tests/perf/native"
    for words in ([where / "famfs-bench-native"] + (["--quick"] if quick else []),
                  [where / "famfs-bench-lines"] + (["--quick"] if quick else []),
                  [where / "famfs-bench-mount"] + (["--log-mib", "8"] if quick else [])):
        name = words[0].name
        if not words[0].exists():
            missing.append(f"native: {name} is not built")
            continue
        outcome = study.run_program(words)
        if not outcome:
            missing.append(f"native: {name}: the run was stopped")
            continue
        status, out, err = outcome
        # A small log says nothing of a full one
        kept = [] if quick and "mount" in name else found
        for line in out.splitlines():
            native_line(line, rows, kept, missing, name)
        if status:
            missing.append(f"native: {name}: {(err.strip().splitlines() or ['it failed'])[-1][:300]}")
    return rows, found


def join(done, vms, meta):
    """One list of rows; whether the runs agree."""
    rows, differ = [], []
    for v in vms:
        asked = {run: o for (name, run), o in done.items() if name == v.name}
        had = {run: o for run, o in sorted(asked.items()) if not isinstance(o, str)}
        for run, why in sorted(asked.items()):
            if run not in had:
                meta["missing"].append(f"all of {v.name}, run {run}: {why}")
        for o in had.values():
            meta["missing"] += [m for m in dict.fromkeys(o.missing) if m not in meta["missing"]]
            if o.died:
                say(f"bench: {o.died}")
        if not had:
            continue
        o = had[min(had)]
        meta.setdefault("base_kernel" if v.flavour == "base" else "kernel", o.kernel)
        meta.setdefault("qemu_lines", {})[v.name] = o.qemu
        rows += o.rows
        if len(had) == 2:
            differ += results.differences(had[1].rows, had[2].rows)
    return rows, differ


def write(meta, rows, bar_list):
    everything = {"meta": meta, "results": rows, "bars": bar_list}
    path = OUT / "results.json"
    errors = results.validate(everything, SCHEMA)
    path.with_suffix(".tmp").write_text(json.dumps(everything, indent=1) + "\n")
    path.with_suffix(".tmp").replace(path)
    for e in errors[:10]:
        say(f"bench: results.json breaks its schema: {e}")
    return everything, not errors


def read_results(name):
    """Of an earlier run; whatever is wrong with them is one line."""
    try:
        everything = json.loads(pathlib.Path(name).read_text(encoding="utf-8"))
        errors = results.validate(everything, SCHEMA)
    except (OSError, ValueError) as e:
        die(f"{name}: {e}")
    except ImportError:
        die("needs the package python3-jsonschema")
    if errors:
        die(f"{name} is not the results of a run: {' '.join(errors[0].split())}")
    return everything


def report(everything, readme):
    """Whether all of it could be made."""
    from harness import report as maker  # pylint: disable=import-outside-toplevel
    failed = maker.write_html(everything, OUT / "report.html")
    if readme:
        failed += maker.write_docs(everything, TOP)
    for f in dict.fromkeys(failed):
        say(f"bench: {f}")
    return not failed


def show_bars(bar_list):
    for b in bar_list:
        if b["value"] is not None:
            print(f"{'ok  ' if b['ok'] else 'MISS'} {b['name']:24} {b['value']:<9} must {b['must']}, aim {b['aim']}")


def show_tap(everything, differ, valid, lacks):
    """Each variant answered, each exact bar holds. lacks: the kernel is one without variants."""
    count = 0

    def test(good, rule, why=""):
        nonlocal count
        count += 1
        print(f"{'not ok' if good is False else 'ok'} {count} - {rule}{'' if good is not None else f' # SKIP {why}'}")
        if good is False and why:
            print(f"# {why}")

    meta, rows = everything["meta"], everything["results"]
    for v in plan.VARIANTS:
        missing = [m for m in meta["missing"] if f" {v}:" in m or f" {v} (" in m]
        known = lacks and any("kernel lacks" in m for m in missing)
        good = any(r["variant"] == v and r["kind"] == "exact" for r in rows) and not missing
        test(None if known else good, f"bench: {v} answers", missing[0] if missing else "no figures")
    test(not differ, "bench: minima and medians are the same in two runs", f"{len(differ)} differ, such as {differ[:1]}")
    test(valid, "bench: results.json is what its schema says")
    native = ("ab.native", "ab.mount-seconds", "ab.map-bytes", "ab.lines")
    for b in everything["bars"]:
        if b["value"] is not None and not b["name"].startswith(native):
            test(b["ok"], f"{b['name']}: {b.get('what', '')}", f"{b['value']}, must be {b['must']}; {b.get('from', '')}")
    print(f"1..{count}")


def one_patch(study, kernel, number, initramfs):
    """Outcome of the machine of patches.py on one kernel; None if the study was stopped."""
    machine = study.machine({"base": kernel}, initramfs, f"patch{number}")
    return machine.run(patches.machine(), lambda *_: None) if machine else None


def measure_patches():
    """{"meta", "steps"}: a kernel for each; the next is built while one is measured."""
    study = Study({}, 1)
    signal.signal(signal.SIGINT, lambda *_: study.stop())
    signal.signal(signal.SIGTERM, lambda *_: study.stop())
    run_or_die([TOP / "scripts/deps.sh"])
    run_or_die([TOP / "scripts/build.sh"])
    found = [("", "")] + patches.series(TOP / "kernel-patches")
    initramfs = study.initramfs((), {})
    t0, futures, kernels = time.monotonic(), [], []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for n in range(len(found)):
            # Kernels are kept for a while only: one that nobody has run yet must not go
            if n >= 2:
                concurrent.futures.wait(futures[n - 2:n - 1])
            if study.stopped:
                break
            left = (time.monotonic() - t0) / n * (len(found) - n) / 60 if n else 1.5 * len(found)
            say(f"bench: kernel with the first {n} of {len(found) - 1} patches; about {left:.0f} min left")
            kernels.append(pathlib.Path(output_or_die([TOP / "scripts/kernel-build.sh", f"base+{n}" if n else "base"])))
            futures.append(pool.submit(one_patch, study, kernels[-1], n, initramfs))
    initramfs.unlink(missing_ok=True)
    steps, missing = [], []
    for (patch, subject), future in zip(found, futures):
        outcome = None if future.exception() else future.result()
        if not outcome or outcome.missing or outcome.died:
            missing.append(f"{patch or 'no patch'}: " + (
                str(future.exception()) if future.exception() else
                "; ".join([*outcome.missing, outcome.died]) if outcome else "the run was stopped"))
        if outcome:
            steps.append({"patch": patch, "subject": subject, "kernel": outcome.kernel, "rows": outcome.rows})
    if len(futures) < len(found):
        missing.append("the run was stopped")
    meta = describe({"bench": kernels[0]}, 1) if kernels else {}
    meta.update(missing=missing, seconds=round(time.monotonic() - t0, 1))
    everything = {"meta": meta, "steps": steps}
    (OUT / "each-patch.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    say(f"bench: {len(steps)} kernels in {meta['seconds']:.0f} s: {OUT / 'each-patch.json'}")
    return everything


def each_patch(source, readme):
    """Measure, or read what was; exit status."""
    try:
        everything = json.loads(pathlib.Path(source).read_text(encoding="utf-8")) if source else measure_patches()
        meta, steps = everything["meta"], everything["steps"]
        text = list(patches.lines(steps))
    except (OSError, ValueError, KeyError, TypeError) as e:
        die(f"{source or 'the results'}: {e}")
    for m in meta["missing"]:
        say(f"bench: missing: {m}")
    print("\n".join(text))
    if readme and steps:
        from harness import report as maker  # pylint: disable=import-outside-toplevel
        maker.fill(TOP / "docs/performance.md", [*text, "", f"Commit {meta['commit'][:12]}, {meta['compiler']}."],
                   "patches", "--each-patch --readme")
        script = patches.plot(steps)
        if script:
            (TOP / "docs/performance-story.svg").write_text(maker.gnuplot(script), encoding="utf-8")
    return 1 if meta["missing"] or not steps else 0


def check_room():
    if os.geteuid() != 0:
        die("not root: packages, kernels and BPF programs of the native rows need it")
    OUT.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(OUT).free
    if free < ROOM:
        die(f"no room: {OUT} has {free >> 20} MiB free, {ROOM >> 20} are needed")
    lock = open(OUT / "lock", "w", encoding="utf-8")    # pylint: disable=consider-using-with
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        die("another bench is running in this checkout")
    return lock


def judge(args, bar_list, differ, meta, whole, lacks):
    """Exit status. Native bars are reported, and fail nothing. lacks: see show_tap()."""
    status = 0
    for d in differ[:20]:
        say(f"bench: not exact: {d}")
    for m in meta["missing"]:
        say(f"bench: missing: {m}")
        # What a variant is known not to do, plan.LACKS, is not asked for
        if not (lacks and "kernel lacks" in m):
            status = 1
    if not (args.quick or args.loads or args.variants):
        for b in bar_list:
            if b["value"] is None:
                say(f"bench: {b['name']} has no value: not all of its rows are there")
                status = 1
    if args.quick and any(b["ok"] is False and not b["name"].startswith("ab.native") for b in bar_list):
        status = 1
    if differ:
        say(f"bench: {len(differ)} exact figures differ between two runs")
        status = 1
    for b in bar_list:
        if b["name"].startswith("ab.c-obtain") and b["ok"] is False:
            say(f"bench: {b['name']} is {b['value']}: c is not what the prototype measured")
            status = 1
    return status if whole else 1


def main():
    args = parse()
    if args.list:
        show_list()
        return 0
    if args.each_patch and args.source:
        return each_patch(args.source, args.readme)
    if args.source:
        everything = read_results(args.source)
        OUT.mkdir(parents=True, exist_ok=True)
        return 0 if report(everything, args.readme) else 1
    lock = check_room()
    if args.each_patch:
        return each_patch(None, args.readme)
    t0 = time.monotonic()
    vms = plan.select(plan.quick() if args.quick else plan.full(), args.loads, args.variants)
    kernels = prepare({v.flavour for v in vms})
    meta = describe(kernels, 1 if args.once else 2)
    native = (not args.loads or "native" in args.loads) and not args.variants
    if not vms and not native:
        die("nothing to do: none of these variants has any of these loads", 2)

    study = Study(kernels, meta["runs"])

    def interrupted(_sig, _frame):
        study.stop()
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    done = study.run(vms) if vms else {}
    rows, differ = join(done, vms, meta)
    given = []
    if native and not study.stopped:
        say("bench: native rows on this CPU")
        more, given = native_rows(study, args.quick, meta["missing"])
        rows += more
    elif native:
        meta["missing"].append("native: the run was stopped")
    meta["exact"] = "one run, nothing was compared" if args.once else \
        f"{len(differ)} figures differ" if differ else "all exact figures were the same in two runs"
    meta["seconds"] = round(time.monotonic() - t0, 1)
    bar_list = bars.compute(rows, given, args.quick)
    everything, valid = write(meta, rows, bar_list)
    reported = report(everything, args.readme)
    lacks = "-bench-" not in kernels["bench"].name
    if args.tap:
        show_tap(everything, differ, valid, lacks)
    else:
        show_bars(bar_list)
    status = judge(args, bar_list, differ, meta, valid and reported and not study.stopped, lacks)
    say(f"bench: {len(rows)} rows in {meta['seconds']:.0f} s: {OUT / 'results.json'}")
    lock.close()
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        die("stopped", 130)
