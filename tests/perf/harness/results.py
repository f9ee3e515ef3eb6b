# SPDX-License-Identifier: GPL-2.0-only
"""Rows of several runs made one, and checked: exact means that the runs agree."""
import json

# Its seed is another at each boot, so is the way to a bucket
NOT_COMPARED = ("bpf-hash",)


def key(row):
    return (row["variant"], row["load"], json.dumps(row["params"], sort_keys=True), row["metric"])


def index(rows):
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


# Of a whole pass: timer ticks are in it
MEANS = ("touch-mean", "unmap-close")


def is_exact(row):
    """Means and maxima have ticks in them and are not looked at; nor is memory."""
    return row["metric"] not in MEANS and row["kind"] == "exact" and row["unit"] == "instructions" and row["variant"] not in NOT_COMPARED


def name(row):
    params = " ".join(f"{k}={v}" for k, v in row["params"].items())
    return f"{row['variant']} {row['load']} {params}: {row['metric']}"


def figures(row):
    return row["value"], row["spread"]["min"] if isinstance(row["spread"], dict) else None


def differences(first, second):
    """Sentences, one for each exact figure that is not the same in both runs."""
    said = []
    other = index(second)
    for k, rows in index(first).items():
        for a, b in zip(rows, other.get(k, [])):
            if is_exact(a) and figures(a) != figures(b):
                said.append(f"{name(a)}: median, minimum {figures(a)} and {figures(b)}")
    return said


def find(rows, **want):
    """Rows of these fields; params compares those that it names."""
    found = []
    for row in rows:
        if all(row["params"].get(k) == v for k, v in want.get("params", {}).items()) and \
                all(row[k] == v for k, v in want.items() if k != "params"):
            found.append(row)
    return found


def validate(results, schema_path):
    """Errors as sentences; needs python3-jsonschema."""
    import jsonschema  # pylint: disable=import-outside-toplevel
    schema = json.loads(schema_path.read_text())
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}"
            for e in jsonschema.Draft202012Validator(schema).iter_errors(results)]
