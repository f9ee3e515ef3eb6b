#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""format.py [--check] FILE...: what clang-format would write, but for alignment.

The kernel aligns comments and values with tabs, which clang-format 14 cannot keep: lines
that differ in white space after their first word only are left as they are. --check
prints what would change and changes nothing.
"""

import difflib
import re
import subprocess
import sys


def squeeze(line):
    return re.sub(r"(\S)\s+", r"\1 ", line).rstrip()


def formatted(path):
    out = subprocess.run(["clang-format", path], check=True, capture_output=True, text=True)
    with open(path, encoding="utf-8") as f:
        old = f.read().splitlines()
    new = out.stdout.splitlines()
    sm = difflib.SequenceMatcher(None, [squeeze(x) for x in old],
                                 [squeeze(x) for x in new], autojunk=False)
    result = []
    for tag, i1, i2, j1, j2 in sm.get_opcodes():
        result += old[i1:i2] if tag == "equal" else new[j1:j2]
    return old, result


def main():
    args = sys.argv[1:]
    check = args[:1] == ["--check"]
    for path in args[check:]:
        old, new = formatted(path)
        if old == new:
            continue
        if check:
            for line in difflib.unified_diff(old, new, path, "formatted", n=0, lineterm=""):
                print(line)
        else:
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(new) + "\n")


main()
