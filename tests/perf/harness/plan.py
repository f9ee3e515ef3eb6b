# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: variants, loads, and the virtual machines that they are put into.

A Vm boots once and runs Groups, one after the other. A Group is a mount: of the bench
server under one variant, or of an anchor, which a few lines of shell set up. Its Steps are
runs of famfs-bench (or fio). Every figure that is compared comes from a Step of the same
words under another variant, so the words are made here, once for all variants.
"""
import dataclasses
import shlex

VARIANTS = {
    "c": "in-kernel C, V10's algorithm and layout, unvalidated: the c of every ratio",
    "c+v": "the same with the validation that the product has",
    "static": "generic static maps of the series, extent list and stripe, in C",
    "c-slot": "in-kernel C on the product's slots",
    "bpf-array": "the product: slots in a BPF array",
    "bpf-hash": "BPF hash from nodeid to the metadata of a whole file",
    "bpf-arena": "slots in a BPF arena",
    "bpf-blob": "BPF, metadata reached from the inode",
    "bpf-inode": "a BPF program per inode, extents as constants",
    "upcall": "the server is asked for each mapping",
}
ANCHORS = {
    "famfs": "the product whole: mkfs.famfs, mount -t famfs, famfs creat; should cost what bpf-array does",
    "ext4-dax": "ext4 on the same device, -o dax",
    "xfs-dax": "XFS on the same device, -o dax",
    "device-dax": "the device itself, mapped",
    "hugetlbfs": "huge pages, shared file",
    "anon": "anonymous memory",
    "tmpfs": "tmpfs, huge=never; huge=always for 2 MiB",
    "fuse-cache": "plain FUSE, page cache",
    "fuse-direct": "plain FUSE, FOPEN_DIRECT_IO",
    "ext4-dax-base": "ext4-dax on the kernel without patches",
    "xfs-dax-base": "xfs-dax on the kernel without patches",
    "device-dax-base": "device-dax on the kernel without patches",
    "tmpfs-base": "tmpfs on the kernel without patches",
}
LOADS = {
    "fault-4k": "first touch of each 4 KiB: read, write, in sequence, at random",
    "fault-2m": "first touch of each 2 MiB",
    "scan": "every 4 KiB in sequence, off the colour of 2 MiB, and munmap + close; and one in 2 MiB",
    "mmaplock": "mmap_lock taken by two threads that fault",
    "fork": "touch, fork, touch in the child",
    "io": "read() and write() of 4 KiB, 64 KiB, 1 MiB, with and without O_DIRECT",
    "interleave": "faults and 4 KiB I/O on files of 1, 2, 3, 6 and 16 strips",
    "chunks": "6 strips, chunks of 2 MiB and 64 MiB, at random",
    "extents": "one file in 1, 16, 1,000 and 100,000 pieces, at random",
    "files": "open, mmap, touch, munmap, close: 20,000 of 1 to 1,000,000 files",
    "million": "each of 1,000,000 files once: memory",
    "meta": "stat, open, readdir",
    "kv": "LMDB, read-only, a mapping of the file",
    "fio": "fio, mmap and psync engines",
    "split": "parts of a fault and of a call: entry, obtain, validate, the rest",
    "threads": "1, 2 and 4 CPUs side by side: locked instructions, and stores to lines of others",
    "native": "resolves, cache lines and a full log on this machine's own CPU",
}
STRIPS = (1, 2, 3, 6, 16)
EXTENTS = (1, 16, 1000, 100000)
FILES = (1, 1000, 100000, 1000000)
DRAWS = 20000
DRAWS_FEW = 4000                # of files that fit into any cache
THREADS = (1, 2, 4)
MIB = 1 << 20
MNT = "/mnt/b"
# Of the staged installation, at their own paths
FAMFS = ("/usr/sbin/mkfs.famfs", "/usr/sbin/mount.famfs", "/usr/bin/famfs",
         "/usr/libexec/famfs/famfs-bpfd", "/usr/libexec/famfs/famfs-holder")

# Some thousands of requests, until the allocators of both sides are in their steady state
WARMUP_FILE = "warmup=simple:16777216"
WARMUP = f"famfs-bench read -f {MNT}/warmup -s 4k -p 4 > /dev/null"

# These keep something at each inode, so every file is opened before they begin. Of a million
# it is those that will be visited; as V10, which gets its metadata when a file is opened.
PER_FILE = ("c", "c+v", "static", "bpf-blob", "bpf-inode")
PER_FILE_MAX = 100000
# What is not asked for: (variant, load, at most so many files or extents, why). All else that a
# run has not got is missing, and makes it fail.
LACKS = (
    ("bpf-hash", "extents", 32, "13 KiB a file, as in the prototype: room for 32 extents"),
    ("bpf-hash", "files", 32768, "13 KiB a file: its map is for 32,768 files"),
    ("bpf-blob", "extents", 1, "it knows one extent, or strips"),
    ("bpf-inode", "extents", 2048, "a jump reaches over 2,048 extents"),
    ("bpf-inode", "files", 1000, "a program per file takes 0.3 million instructions to load, and some KiB"),
) + tuple((v, "files", 100000, "one variant of each way to find the metadata has a million files, or half of the "
           "time would go there") for v in ("c+v", "bpf-arena", "bpf-blob", "upcall"))


@dataclasses.dataclass
class Step:
    load: str
    words: str                                  # of famfs-bench, after the program's name
    params: dict = dataclasses.field(default_factory=dict)
    before: str = ""                            # shell, not measured
    fio: str = ""                               # a job file instead
    alone: bool = False                         # a fault maps one page, not those around it

    def command(self, variant):
        if self.load == "mmaplock":
            params = " ".join(f"--param {shlex.quote(f'{k}={v}')}" for k, v in self.params.items())
            return f"(unset FAMFS_BENCH_EXACT; famfs-bench {self.words} --variant {shlex.quote(variant)} {params})"
        if self.load == "threads":
            return f"(unset FAMFS_BENCH_EXACT; famfs-bench {self.words} > /dev/null)"
        if self.fio:
            return (f"{self.words} fio --output-format=json --output=/tmp/fio.json "
                    f"/fio/{self.fio} > /tmp/fio.log 2>&1 && cat /tmp/fio.json")
        params = " ".join(f"--param {shlex.quote(f'{k}={v}')}" for k, v in self.params.items())
        words = f"famfs-bench {self.words} --exact --variant {shlex.quote(variant)} {params}"
        # A parameter says so in the row
        return f"one_page {words} --param fault_around=4096" if self.alone else words


@dataclasses.dataclass
class Group:
    variant: str
    steps: list
    layout: list = dataclasses.field(default_factory=list)   # of the server
    unit: int = 21
    drawn: int = 0
    plain: str = ""
    setup: str = ""                             # of an anchor
    teardown: str = ""
    prepare: str = ""                           # once it is mounted

    def takes_turns(self):
        """Do load and server take turns, as two processes?"""
        return bool(self.plain) or self.variant == "upcall"

    def server(self):
        words = ["famfs-bench-server", "--exact", "--unit", str(self.unit)]
        # Where two processes take turns, a tick must not choose between them
        if self.takes_turns():
            words.append("--fifo")
        if self.drawn:
            words += ["--only-drawn", str(self.drawn)]
        if self.plain:
            words += ["--plain", self.plain, "--variant", self.variant]
        else:
            words += ["--variant", self.variant, "--device", "$PMEM"]
        for word in self.layout + ([WARMUP_FILE] if self.takes_turns() else []):
            words += ["--layout", word]
        return " ".join(w if w.startswith("$") else shlex.quote(w) for w in words)


@dataclasses.dataclass
class Vm:
    name: str
    groups: list
    pmem: tuple = ("4G",)
    mem: str = "1G"
    programs: tuple = ()
    cpus: int = 1                               # more: without -icount
    plugin: bool = True                         # ... under the plugin that counts lines
    flavour: str = "bench"                      # of the kernel: this, or base
    seconds: int = 40                           # until it was measured here
    timeout: int = 3000

    def steps(self):
        return [s for g in self.groups for s in g.steps]


def can(variant, load, n):
    """Is this variant asked for so many files or extents?"""
    return all(n <= most for v, what, most, _ in LACKS if (v, what) == (variant, load))


# ---- the words of each load ----

def touches(load, op, name, size, params, random=False, access=("read", "write")):
    """A file for each, since only the first touch of a file is cold."""
    layout, steps = [], []
    for how in access:
        file = f"{name}{how[0]}"
        layout.append((file, size))
        steps.append(Step(load, f"{op} -f {MNT}/{file}" + (" -w" if how == "write" else "") +
                          (" -R" if random else ""), dict(params)))
    return layout, steps


def fault_4k(scale):
    a, b = touches("fault-4k", "touch4k", "q", 16 * MIB // scale, {"layout": "simple"})
    c, d = touches("fault-4k", "touch4k", "r", 16 * MIB // scale, {"layout": "simple"}, True)
    return (a, b) if scale > 1 else (a + c, b + d)


def fault_2m(scale):
    a, b = touches("fault-2m", "touch2m", "h", 128 * MIB // scale, {"layout": "simple"})
    c, d = touches("fault-2m", "touch2m", "i", 128 * MIB, {"layout": "simple"}, True, ("read",))
    return (a, b) if scale > 1 else (a + c, b + d)


def scan(scale):
    """In all: 8 MiB in sequence, and one page in each 2 MiB, whose own means and ends are compared."""
    steps, files = [], []
    for how in ("read",) if scale > 1 else ("read", "write"):
        w = " -w" if how == "write" else ""
        files += [(f"a{how[0]}", 8 * MIB), (f"b{how[0]}", 64 * MIB // scale), (f"c{how[0]}", 64 * MIB // scale)]
        steps += [Step("scan", f"scan -f {MNT}/a{how[0]}{w}", {"layout": "simple"}),
                  Step("scan", f"sparse -f {MNT}/b{how[0]}{w}", {"layout": "simple"}),
                  Step("scan", f"sparse -f {MNT}/c{how[0]} -R{w}", {"layout": "simple"}),
                  Step("scan", f"scan -f {MNT}/b{how[0]} -s 2m{w}", {"layout": "simple"})]
    return files, steps


def fork():
    return [("k", 4 * MIB)], [Step("fork", f"fork -f {MNT}/k", {"layout": "simple"})]


def io(scale):
    steps = []
    for op in ("read", "write"):
        for size in ("4k",) if scale > 1 else ("4k", "64k", "1m"):
            for direct in ("",) if scale > 1 else ("", " -D"):
                steps.append(Step("io", f"{op} -f {MNT}/j -s {size}{direct} -n {4096 // scale}",
                                  {"layout": "simple"}))
    return [("j", 64 * MIB)], steps


def kv():
    return ([("v", 64 * MIB)],
            [Step("kv", f"kv -f {MNT}/v -c 20000 -n 20000", {"layout": "simple"},
                  before="[ -e /tmp/kv ] || famfs-bench kv-fill -f /tmp/kv -b 60m -c 20000; "
                         f"dd if=/tmp/kv of={MNT}/v bs=2M conv=notrunc status=none")])


def simple_file_loads(scale=1):
    """Loads that one contiguous file will do for: what anchors have, too."""
    parts = [fault_4k(scale), fault_2m(scale), io(scale), scan(scale)]
    if scale == 1:
        parts += [fork(), kv()]
    return [f for files, _ in parts for f in files], [s for _, steps in parts for s in steps]


def strip_loads(scale=1):
    layout, steps = [], []
    for n in STRIPS if scale == 1 else (3, 6, 16):
        params = {"layout": "strips", "strips": n, "chunk": 2 * MIB}
        a, b = touches("interleave", f"touch4k -b {16 * MIB // scale}", f"s{n}", 96 * MIB, params)
        c, d = touches("interleave", f"touch2m -b {96 * MIB // (1 if scale == 1 else 2)}",
                       f"t{n}", 96 * MIB, params)
        layout += [f"{file}=strips:{n}:2m:{size}" for file, size in a + c]
        steps += b + d
        for op in ("read", "write"):
            steps.append(Step("interleave", f"{op} -f {MNT}/s{n}r -s 4k -n {4096 // scale}", params))
    return layout, steps


def chunk_loads():
    layout, steps = [], []
    for chunk in (2, 64):
        params = {"layout": "strips", "strips": 6, "chunk": chunk * MIB}
        layout.append(f"c{chunk}=strips:6:{chunk}m:384m")
        steps.append(Step("chunks", f"touch4k -R -n 4096 -f {MNT}/c{chunk}", params))
        steps.append(Step("chunks", f"read -R -n 4096 -f {MNT}/c{chunk}", params))
    return layout, steps


def split_loads(scale=1):
    """Stamps cost, so these files are not those of other loads."""
    steps = []
    for file, params in (("y", {"layout": "simple"}), ("z", {"layout": "strips", "strips": 6, "chunk": 2 * MIB})):
        for words in ("", "-w", "-s 4k", "-s 4k -w") if scale == 1 else ("",):
            steps.append(Step("split", f"split -f {MNT}/{file} -b {16 * MIB // scale} {words}", params))
    return ["y=simple:16m", "z=strips:6:2m:96m"], steps


def extent_groups(variant):
    """unit 4 KiB: pieces of 4 to 12 KiB. A mount each, since their number is the mount's."""
    groups = []
    for n in (n for n in EXTENTS if can(variant, "extents", n)):
        params = {"layout": "extents", "extents": n}
        steps = [Step("extents", f"{op} -R -n 4096 -f {MNT}/x", params) for op in ("touch4k", "read")]
        groups.append(Group(variant, steps, [f"x=extents:{n}:{'16m' if n == 1 else 0}"], unit=12))
    return groups


def file_groups(variant, counts):
    groups = []
    for n in (n for n in counts if can(variant, "files", n)):
        draws = DRAWS_FEW if n <= 1000 else DRAWS
        steps = [Step("files", f"files -d {MNT} -c {n} -n {draws} --dist {dist}")
                 for dist in (("zipf", "uniform") if n > 1 else ("uniform",))]
        groups.append(Group(variant, steps, [f"f=files:{n}:4k"], unit=12,
                            drawn=DRAWS if variant in PER_FILE and n > PER_FILE_MAX else 0))
    return groups


def meta_group(variant):
    n = 1000
    steps = [Step("meta", f"{op} -d {MNT} -c {n}") for op in ("stat", "open", "readdir")]
    return Group(variant, steps, [f"f=files:{n}:4k"], unit=12)


def mapped_group(variant, scale=1):
    files, steps = simple_file_loads(scale)
    layout = [f"{name}=simple:{size}" for name, size in files]
    a, b = strip_loads(scale)
    layout, steps = layout + a, steps + b
    a, b = split_loads(scale)
    layout, steps = layout + a, steps + b
    if scale == 1:
        a, b = chunk_loads()
        layout, steps = layout + a, steps + b
    return Group(variant, steps, layout)


# ---- anchors ----

def fill(files):
    return "; ".join(f"famfs-bench fill -f {MNT}/{name} -b {size}" for name, size in files)


def one_page(steps):
    """The page cache maps 16 pages in a read fault, whatever madvise(2) says: 15 of 16 touches
    would be none."""
    return [dataclasses.replace(s, alone=s.load in ("fault-4k", "fork")) for s in steps]


def anchor_fs(variant, mkfs, mount, scale=1, loads=None):
    files, steps = simple_file_loads(scale)
    if loads:
        steps = [s for s in steps if s.load in loads]
    names = {s.words.split("/b/")[1].split()[0] for s in steps}
    files = [f for f in files if f[0] in names]
    if variant.startswith("tmpfs"):
        steps = one_page(steps)
    if scale == 1 and not loads:
        steps += [Step("meta", f"{op} -d {MNT}/f -c 1000") for op in ("stat", "open", "readdir")]
        steps += [Step("files", f"files -d {MNT}/f -c 1000 -n {DRAWS_FEW} --dist {dist}")
                  for dist in ("zipf", "uniform")]
    make = "" if scale > 1 or loads else f"; mkdir {MNT}/f; famfs-bench make -d {MNT}/f -c 1000 -s 4k"
    return Group(variant, steps, setup=f"{mkfs} && {mount}", teardown=f"umount {MNT}",
                 prepare=f"{fill(files)}{make}; sync")


EXT4 = ("mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512,lazy_itable_init=0,"
        "lazy_journal_init=0 $PMEM", f"mount -t ext4 -o dax=always $PMEM {MNT}")
XFS = ("mkfs.xfs -q -f -d su=2m,sw=1 $PMEM", f"mount -t xfs -o dax=always $PMEM {MNT}")


def anchor_famfs():
    files, steps = simple_file_loads()
    steps = [s for s in steps if s.load in ("fault-4k", "fault-2m", "io", "kv")]
    make = [f"famfs creat -s {size} {MNT}/{name}" for name, size in files]
    layout, more = strip_loads()
    for word in layout:
        name, rest = word.split("=")
        _, strips, _, size = rest.split(":")
        if strips == "6":
            make.append(f"famfs creat -s {size} -C 2m -N 6 -B 6 {MNT}/{name}")
    steps += [s for s in more if s.params["strips"] == 6]
    return Group("famfs", steps, setup=f"mkfs.famfs $PMEM > /tmp/mkfs.log && mount.famfs $PMEM {MNT}",
                 prepare="(" + "; ".join(make) + ") > /tmp/creat.log 2>&1 || cat /tmp/creat.log",
                 teardown=f"umount {MNT}")


def anchor_memory():
    """Where there is no file system to mount, or more than one kind of page."""
    groups = [
        anchor_fs("tmpfs", "true", f"mount -t tmpfs -o huge=never,size=600M t {MNT}",
                  loads=("fault-4k", "fork", "io", "kv", "scan")),
        anchor_fs("tmpfs", "true", f"mount -t tmpfs -o huge=always,size=600M t {MNT}",
                  loads=("fault-2m",)),
        Group("anon", [Step("fault-4k", f"touch4k -f anon -b 16m {w}", {"layout": "simple"})
                       for w in ("", "-w")] +
              [Step("fault-2m", f"touch2m -f anon -b 64m {w}", {"layout": "simple"}) for w in ("", "-w")],
              setup="true", teardown="true"),
        Group("hugetlbfs",
              [Step("fault-2m", f"touch2m -f {MNT}/{f} {w}", {"layout": "simple"})
               for f, w in (("h", ""), ("w", "-w"))],
              setup=f"echo 64 > /proc/sys/vm/nr_hugepages && mount -t hugetlbfs h {MNT}",
              prepare=f"truncate -s 64M {MNT}/h {MNT}/w",
              teardown=f"umount {MNT}; echo 0 > /proc/sys/vm/nr_hugepages"),
    ]
    return groups


def anchor_device_dax(variant="device-dax"):
    steps = [Step("fault-4k", f"touch4k -f $DAX4K -b 16m {w}", {"layout": "simple"}) for w in ("", "-w")]
    steps += [Step("fault-2m", f"touch2m -f $DAX2M -b 128m {w}", {"layout": "simple"}) for w in ("", "-w")]
    steps += [Step("scan", f"scan -f $DAX4K -b 8m {w}", {"layout": "simple"}) for w in ("", "-w")]
    return Group(variant, steps,
                 setup='make_devdax', teardown="true")


# ---- the kernel without patches ----

def base_vms():
    """The anchors that the patches before FUSE change, where they are not."""
    loads = ("fault-4k", "fault-2m", "io", "scan", "fork")
    return [Vm("base-fs", [anchor_fs("ext4-dax-base", *EXT4, loads=loads),
                           anchor_fs("xfs-dax-base", *XFS, loads=loads),
                           anchor_fs("tmpfs-base", "true", f"mount -t tmpfs -o huge=never,size=600M t {MNT}",
                                     loads=("fault-4k", "scan"))], mem="1G", flavour="base"),
            Vm("base-device", [anchor_device_dax("device-dax-base")], pmem=("1G", "1G"), mem="1G",
               seconds=15, flavour="base")]


def lock_vms():
    """Two CPUs; counts, not time."""
    steps = [Step("mmaplock", f"mmaplock -f {MNT}/l -b {4 * MIB} {w}", {"layout": "simple"}) for w in ("", "-w")]
    ext4 = {"setup": f"mount -t tracefs t /sys/kernel/tracing; {EXT4[0]} && {EXT4[1]}", "teardown": f"umount {MNT}",
            "prepare": fill([("l", 4 * MIB)])}
    trace = "[ -d /sys/kernel/tracing/events ] || mount -t tracefs t /sys/kernel/tracing"
    return [Vm("locks", [Group("ext4-dax", steps, **ext4),
                         Group("bpf-array", steps, ["l=simple:4m"], prepare=trace)],
               pmem=("1G",), cpus=2, plugin=False, seconds=20),
            Vm("base-locks", [Group("ext4-dax-base", steps, **ext4)], pmem=("1G",), cpus=2, plugin=False,
               flavour="base", seconds=20)]


def anchor_fuse(variant, scale=1):
    files, steps = simple_file_loads(scale)
    if variant == "fuse-direct":
        steps = [s for s in steps if s.load == "io"]
    else:
        steps = one_page(s for s in steps if s.load in ("io", "fault-4k"))
    names = {s.words.split("/b/")[1].split()[0] for s in steps}
    return Group(variant, steps, [f"{name}=simple:{size}" for name, size in files if name in names],
                 plain=variant.split("-")[1])


def fio_groups(variants):
    env = f"FILE={MNT}/o SIZE={16 * MIB}"
    jobs = ("mmap-randread", "mmap-write", "psync-randread", "psync-randwrite-direct")

    def steps():
        return [Step("fio", env, {"layout": "simple", "job": job}, fio=f"{job}.fio") for job in jobs]
    groups = [Group(v, steps(), [f"o=simple:{16 * MIB}"]) for v in variants]
    groups.append(Group("ext4-dax", steps(), setup=f"{EXT4[0]} && {EXT4[1]}", teardown=f"umount {MNT}",
                        prepare=fill([("o", 16 * MIB)])))
    return groups


def thread_groups():
    """Two passes a step, which the plugin tells apart; a file for each, or none would be cold."""
    def steps():
        return [Step("threads", f"touch4k -f {MNT}/u{n} -b {4 * MIB} -t {n} --pin --ticks",
                     {"layout": "strips", "threads": n}) for n in THREADS]
    files = [f"u{n}" for n in THREADS]
    groups = [Group(v, steps(), [f"{f}=strips:6:2m:12m" for f in files])
              for v in VARIANTS if v != "upcall"]
    groups.append(Group("ext4-dax", steps(), setup=f"{EXT4[0]} && {EXT4[1]}", teardown=f"umount {MNT}",
                        prepare=fill([(f, 4 * MIB) for f in files])))
    return groups


# ---- all of it ----

def full():
    vms = []
    for v in VARIANTS:
        vms.append(Vm(f"variant-{v}", [mapped_group(v), meta_group(v)] + extent_groups(v) +
                      file_groups(v, [n for n in FILES if n <= 100000]), mem="2G", pmem=("6G",)))
        if can(v, "files", FILES[-1]):
            vms.append(Vm(f"many-{v}", file_groups(v, FILES[-1:]), pmem=("6G",), mem="2G", seconds=60))
    vms.append(Vm("million", [Group("bpf-array", [Step("million", f"files -d {MNT} -c 1000000 -p 1")],
                                    ["f=files:1000000:4k"], unit=12)],
                  pmem=("6G",), mem="5G", seconds=240))
    vms.append(Vm("famfs", [anchor_famfs()], pmem=("8G",), mem="2G", programs=FAMFS))
    vms.append(Vm("anchors-fs", [anchor_fs("ext4-dax", *EXT4), anchor_fs("xfs-dax", *XFS)], mem="1G"))
    vms.append(Vm("anchors-other", anchor_memory() + [anchor_fuse("fuse-cache"), anchor_fuse("fuse-direct")],
                  mem="2G"))
    vms.append(Vm("anchors-device", [anchor_device_dax()], pmem=("1G", "1G"), mem="1G", seconds=15))
    vms += base_vms() + lock_vms()
    vms.append(Vm("threads", thread_groups(), pmem=("1G",), mem="1G", cpus=max(THREADS), seconds=120))
    vms.append(Vm("fio", fio_groups(VARIANTS), mem="2G", programs=("fio",), seconds=60))
    return vms


def quick():
    """Everything that an exact bar of faults and I/O on one kernel needs, fewer touches. What is
    compared with the kernel without patches is not here: to build that takes longer than all this."""
    scale = 4
    groups = [mapped_group(v, scale) for v in VARIANTS]
    half = len(groups) // 2
    anchors = [anchor_fs("ext4-dax", *EXT4, scale=scale), anchor_fuse("fuse-direct", scale)]
    return [Vm("quick-1", groups[:half] + anchors, seconds=60, timeout=1500),
            Vm("quick-2", groups[half:], seconds=60, timeout=1500)]


def select(vms, loads, variants):
    """Only these loads and variants (empty: all), and no VM or mount that has none of them."""
    chosen = []
    for vm in vms:
        groups = []
        for g in vm.groups:
            steps = [s for s in g.steps if not loads or s.load in loads]
            if steps and (not variants or g.variant in variants):
                groups.append(dataclasses.replace(g, steps=steps))
        if groups:
            chosen.append(dataclasses.replace(vm, groups=groups))
    return chosen
