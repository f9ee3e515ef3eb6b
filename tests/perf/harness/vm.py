# SPDX-License-Identifier: GPL-2.0-only
"""Runs one Vm of a plan, and turns what it says into rows.

The VM's root is an initramfs: under -icount a root on the host would let the clock jump.
So all that it gets is one script, and all that comes back is its output: rows, and lines
that begin with @@ where a step begins and ends.
"""
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading

from . import plan, threads

# 8-byte copies: with ERMS, a copy of 4 KiB would count as 4096 instructions
CPU = "max,la57=off,erms=off,fsrm=off"
PROGRAMS = ["mount", "umount", "mkfs.ext4", "mkfs.xfs", "sync", "grep", "sed", "cat", "ls", "mkdir",
            "ndctl", "sleep", "dd", "truncate", "uname", "readlink", "sort"]

PRELUDE = r"""
exec 2>&1
# Where the stack and a mapping begin would be another at each boot
echo 0 > /proc/sys/kernel/randomize_va_space
mkdir -p /mnt/b /opt/famfs /run/famfs
echo "@@kernel $(uname -r) $(uname -v)"
make_pmem() {
	ndctl create-namespace -f -e namespace0.0 -m fsdax -M mem > /tmp/ndctl.log 2>&1 || cat /tmp/ndctl.log
	PMEM=/dev/pmem0
	export PMEM
}
make_devdax() {
	local d
	ndctl create-namespace -f -e namespace0.0 -m devdax -a 2M -M mem > /tmp/ndctl.log 2>&1 &&
		ndctl create-namespace -f -e namespace1.0 -m devdax -a 4096 -M mem >> /tmp/ndctl.log 2>&1 ||
		cat /tmp/ndctl.log
	for d in /sys/bus/dax/devices/*; do
		case $(cat "$d/align") in
		4096) export DAX4K=/dev/${d##*/};;
		2097152) export DAX2M=/dev/${d##*/};;
		esac
	done
	[ -n "$DAX4K" ] && [ -n "$DAX2M" ]
}
step() { # ID COMMAND...
	echo "@@begin $1"
	eval "$2"
	echo "@@end $1 $?"
}
export -f step
one_page() { # COMMAND...
	local file=/sys/kernel/debug/fault_around_bytes old status
	old=$(cat $file) && echo 4096 > $file || return 1
	"$@"
	status=$?
	echo "$old" > $file
	return $status
}
export -f one_page
"""


def guest_script(vm):
    """The whole script; steps are numbered through."""
    lines = [PRELUDE]
    if vm.cpus == 1:
        lines.append("export FAMFS_BENCH_EXACT=1")
    if any(not g.variant.startswith("device-dax") for g in vm.groups):
        lines.append("make_pmem")
    number = 0
    for i, g in enumerate(vm.groups):
        lines.append(f"cat > /tmp/group{i} <<'END_OF_GROUP'")
        if g.takes_turns():
            lines.append(plan.WARMUP)
        if g.prepare:
            lines.append(g.prepare)
        for s in g.steps:
            if s.before:
                lines.append(s.before)
            lines.append(f"step {number} {quote(s.command(g.variant))}")
            number += 1
        lines.append("END_OF_GROUP")
        lines.append(f"echo '@@group {i}'")
        if g.setup:
            lines.append(f"{g.setup} && . /tmp/group{i}")
        else:
            lines.append(f"{g.server()} {plan.MNT} -- bash /tmp/group{i}")
        lines.append(f"echo \"@@groupend {i} $?\"")
        if g.teardown:
            lines.append(g.teardown)
    lines.append("echo '@@done'")
    return "\n".join(lines) + "\n"


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def make_initramfs(top, build, out, extra=()):
    """The programs of the guest with their libraries; one for all VMs with the same extra."""
    perf = build / "tests/perf"
    words = PROGRAMS + [f"{build}/stage{e}:{e}" if e.startswith("/") else e for e in extra]
    words += [f"{p}:/bin/{p.name}" for p in (perf / "famfs-bench", perf / "famfs-bench-server") if p.exists()]
    words += [f"{job}:/fio/{job.name}" for job in sorted((top / "tests/perf/fio").glob("*.fio"))]
    subprocess.run([top / "tests/vm/mkrd.sh", out, *words], check=True, stderr=subprocess.DEVNULL)


@dataclasses.dataclass
class Outcome:
    rows: list
    missing: list               # sentences
    kernel: str = ""
    qemu: str = ""
    died: str = ""


def qemu_line(pid):
    """The command line of the emulator below a boot.sh, without the machine's own paths."""
    todo = [pid]
    while todo:
        p = todo.pop()
        try:
            words = pathlib.Path(f"/proc/{p}/cmdline").read_bytes().decode().split("\0")[:-1]
            if words and words[0].endswith("qemu-system-x86_64"):
                return " ".join(os.path.basename(w) if w.startswith("/") else
                                ",".join(f"{k.split('=')[0]}={os.path.basename(k)}" if "=/" in k else k
                                         for k in w.split(",")) for w in words)
            for t in pathlib.Path(f"/proc/{p}/task").iterdir():
                todo += [int(c) for c in (t / "children").read_text().split()]
        except OSError:
            continue
    return ""


def fio_rows(text, step, variant):
    """Completion latencies: under -icount a ns is an instruction. Percentiles are those of
    fio's own buckets, which are a few per cent wide."""
    job = json.loads(text)["jobs"][0]
    side = job["read"] if job["read"]["total_ios"] else job["write"]
    if job["error"] or not side["total_ios"]:
        raise ValueError(f"fio's error is {job['error']}")
    lat = side["clat_ns"] if side["clat_ns"]["N"] else side["lat_ns"]
    return [{"variant": variant, "load": "fio", "params": dict(step.params), "metric": "latency",
             "unit": "instructions", "kind": "exact", "value": lat["percentile"]["50.000000"],
             "n": side["total_ios"],
             "spread": {"min": lat["min"], "max": lat["max"], "mean": round(lat["mean"], 1)}}]


ROW_FIELDS = {"variant": str, "load": str, "params": dict, "metric": str, "unit": str, "kind": str,
              "value": (int, float), "n": int, "spread": (dict, int, float, type(None))}


def parse_row(line):
    """ValueError if it is not a whole row: the console of a VM that dies may end in half of one."""
    row = json.loads(line)
    if not isinstance(row, dict) or row.keys() != ROW_FIELDS.keys() or \
            not all(isinstance(row[k], t) for k, t in ROW_FIELDS.items()):
        raise ValueError("not the fields of a row")
    return row


class Reader:
    """Line by line what the guest says."""

    def __init__(self, vm, on_step):
        self.vm = vm
        self.on_step = on_step
        self.steps = [(g, s) for g in vm.groups for s in g.steps]
        self.done = [False] * len(self.steps)
        self.passed = []        # numbers of the steps that went well, in the order in which they ran
        self.outcome = Outcome([], [])
        self.text = []          # since the last @@ line, what is no row
        self.step = None
        self.group = 0
        self.reason = {}        # of a group
        self.finished = False

    def line(self, line):
        line = line.rstrip("\n")
        try:
            if line.startswith("@@"):
                self.mark(line[2:].split(" ", 1))
            elif '{"variant"' in line:
                self.row(parse_row(line))
            elif line:
                self.text.append(line)
        except (ValueError, TypeError, IndexError) as e:
            self.outcome.missing.append(f"a line of {self.vm.name}, which is garbled ({e}): {line[:80]}")

    def row(self, row):
        if self.step is not None:
            step = self.steps[self.step][1]
            row["params"] = {"op": row["load"], **row["params"]}
            row["load"] = step.load
        else:
            # Of a mount: which one, the first load on it says
            row["params"]["mount"] = self.vm.groups[self.group].steps[0].load
        self.outcome.rows.append(row)

    def mark(self, words):
        what, rest = words[0], words[1] if len(words) > 1 else ""
        if what == "kernel":
            self.outcome.kernel = rest
        elif what == "group":
            self.group = int(rest)
            self.text = []
        elif what == "begin":
            self.step = int(rest)
            self.text = []
        elif what == "end":
            self.step_end(*map(int, rest.split()))
        elif what == "groupend":
            number, status = map(int, rest.split())
            if status:
                self.reason[number] = self.last_words()
                # Figures of a mount that another variant answered are worth nothing
                if "another variant answered" in self.reason[number] or "rejected" in self.reason[number]:
                    variant = self.vm.groups[number].variant
                    self.outcome.rows = [r for r in self.outcome.rows if r["variant"] != variant]
                    self.outcome.missing.append(f"all of {variant}: {self.reason[number]}")
        elif what == "done":
            self.finished = True

    def last_words(self):
        return self.text[-1][:300] if self.text else "no reason given"

    def step_end(self, number, status):
        group, step = self.steps[number]
        self.step = None
        self.done[number] = True
        if status == 0 and step.fio:
            try:
                self.outcome.rows += fio_rows("\n".join(self.text), step, group.variant)
            except (ValueError, KeyError) as e:
                status, self.text = 1, [f"fio: {e}"]
        if status:
            self.outcome.missing.append(f"{step.load} under {group.variant} ({step.words}): {self.last_words()}")
        else:
            self.passed.append(number)
        self.on_step(step, group)

    def end(self, why):
        """What never came, each mount in one sentence."""
        number = 0
        for i, g in enumerate(self.vm.groups):
            left = [s for k, s in enumerate(g.steps) if not self.done[number + k]]
            number += len(g.steps)
            if left:
                loads = ", ".join(dict.fromkeys(s.load for s in left))
                self.outcome.missing.append(f"{loads} under {g.variant}: {self.reason.get(i, why)}")
        return self.outcome


class Machine:
    """One run of a Vm. stop() from another thread ends it."""

    def __init__(self, top, build, kernels, initramfs, work):
        self.top, self.build, self.kernels, self.initramfs = top, build, kernels, initramfs
        self.work = work
        self.process = None
        self.stopped = False
        # Of both; reentrant, since stop() may come from a signal
        self.lock = threading.RLock()

    def start(self, words, env):
        """False if it was stopped before: a VM that nobody can stop any more must not begin."""
        with self.lock:
            if not self.stopped:
                self.process = subprocess.Popen(     # pylint: disable=consider-using-with
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    text=True, errors="replace", process_group=0, env=env)
            return self.process is not None

    def run(self, vm, on_step):
        reader = Reader(vm, on_step)
        self.work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="vm-", dir=self.work) as w:
            words = [self.top / "tests/vm/boot.sh", "-k", self.kernels[vm.flavour] / "vmlinux.pvh",
                     "-i", self.build / "vminit", "-w", w, "-R", self.initramfs, "-C", CPU,
                     "-m", vm.mem, "-t", str(vm.timeout)]
            if vm.cpus == 1:
                words.append("-I")
            elif not vm.plugin:
                words += ["-c", str(vm.cpus)]
            else:
                plugin = self.build / "tests/perf/bench-lines.so"
                words += ["-c", str(vm.cpus), "-Q", f"-plugin {plugin},out={w}/lines"]
            for i, size in enumerate(vm.pmem):
                words += ["-p", f"{size}:{w}/pmem{i}"]
            words += ["--", guest_script(vm)]
            log = self.work / f"{vm.name}.log"
            with open(log, "w", encoding="utf-8") as out:
                accel = "tcg,thread=single" if vm.cpus > 1 and vm.plugin else "tcg"
                if not self.start(["nice", "-n", "5", *words], {**os.environ, "VM_ACCEL": accel}):
                    return reader.end("the run was stopped")
                try:
                    for line in self.process.stdout:
                        out.write(line)
                        reader.line(line)
                        if not reader.outcome.qemu:
                            reader.outcome.qemu = qemu_line(self.process.pid)
                    said = self.process.stderr.read()
                finally:
                    self.stop_group()
                status = self.process.wait()
                out.write(said)
            lines = pathlib.Path(w) / "lines"
            if lines.exists():
                try:
                    reader.outcome.rows += threads.rows(lines, reader.steps, reader.passed,
                                                        self.kernels[vm.flavour] / "System.map")
                except (ValueError, IndexError, OSError) as e:
                    reader.outcome.missing.append(f"what CPUs share in {vm.name}: {e}")
            why = "the run was stopped" if self.stopped else \
                f"the VM ended early ({(said.strip().splitlines() or [f'status {status}'])[-1][:200]})"
            if not reader.finished and not self.stopped:
                reader.outcome.died = f"{vm.name}: {why}; log: {log}"
            return reader.end(why)

    def stop(self):
        with self.lock:
            self.stopped = True
            self.stop_group()

    def stop_group(self):
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL if self.stopped else signal.SIGTERM)
            except ProcessLookupError:
                pass
