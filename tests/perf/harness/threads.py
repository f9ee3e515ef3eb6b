# SPDX-License-Identifier: GPL-2.0-only
"""Rows from what plugin/lines.c wrote: what CPUs share while they fault side by side."""
import bisect
import re

PASSES = ("cold", "warm")
LEAST = 0.01                    # of a store per operation, to be worth a row of its own


class Symbols:
    """Address to function. What is in no file of the kernel's is a BPF program or trampoline."""

    def __init__(self, system_map):
        table = sorted((int(a, 16), n) for a, t, n in (line.split() for line in system_map.read_text().splitlines())
                       if t in "tTwW")
        self.addresses = [a for a, _ in table]
        self.names = [n for _, n in table]
        self.end = next((int(line.split()[0], 16) for line in system_map.read_text().splitlines()
                         if line.endswith(" _end")), 1 << 64)

    def name(self, address):
        if address < 1 << 47:
            return "user space"
        if address >= self.end or address < self.addresses[0]:
            return "BPF"
        name = self.names[max(0, bisect.bisect_right(self.addresses, address) - 1)]
        return re.sub(r"\.(constprop|isra|part|cold)\..*", "", name)


def sections(path):
    """[(operations, {address: [locked, loads, stores]})], one a pass"""
    found = []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[0] == "ops":
            found.append((int(words[1]), {}))
        elif found and len(words) == 4:
            counts = found[-1][1].setdefault(int(words[0], 16), [0, 0, 0])
            for i in range(3):
                counts[i] += int(words[i + 1])
    return found


def rows(path, steps, passed, system_map):
    symbols = Symbols(system_map)
    found = sections(path)
    made = []
    for i, number in enumerate(passed):
        group, step = steps[number]
        for k, which in enumerate(PASSES):
            if 2 * i + k >= len(found) or not found[2 * i + k][0]:
                continue
            ops, by_address = found[2 * i + k]
            made += section_rows(group.variant, {**step.params, "pass": which}, ops, by_address, symbols)
    return made


def section_rows(variant, params, ops, by_address, symbols):
    by_name = {}
    for address, counts in by_address.items():
        sums = by_name.setdefault(symbols.name(address), [0, 0, 0])
        for i in range(3):
            sums[i] += counts[i]

    def row(metric, value, more=None):
        return {"variant": variant, "load": "threads", "params": {**params, **(more or {})}, "metric": metric,
                "unit": "count/op", "kind": "exact", "value": round(value / ops, 3), "n": ops, "spread": None}
    made = [row(metric, sum(c[i] for c in by_name.values()))
            for i, metric in enumerate(("locked-instructions", "shared-loads", "shared-stores"))]
    for name, counts in sorted(by_name.items()):
        for i, metric in ((0, "locked-instructions-in"), (2, "shared-stores-in")):
            if counts[i] >= LEAST * ops:
                made.append(row(metric, counts[i], {"function": name}))
    return made
