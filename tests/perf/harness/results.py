# SPDX-License-Identifier: GPL-2.0-only
"""Rows of several runs made one, and checked: exact means that the runs agree."""
import json

# Rows whose kind is exact, because they are counted and not timed, but which are not compared
# between runs. They are published with this list, so that nobody takes them for repeatable.
NOT_COMPARED = {
    "variant": {"bpf-hash": "its seed is another at each boot, so is the way to a bucket"},
    "metric": {"touch-mean": "a mean of a whole pass, with timer ticks in it",
               "unmap-close": "one long operation, with timer ticks in it"},
    "unit": {"bytes": "memory depends on what else the kernel did",
             "count": "faults and requests of a whole pass", "count/op": "of several CPUs, which race",
             "ns": "the time to attach, with timer ticks in it"},
}


def key(row):
    return (row["variant"], row["load"], json.dumps(row["params"], sort_keys=True), row["metric"])


def index(rows):
    found = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def is_exact(row):
    """Of what is exact, median and minimum are looked at; means and maxima have ticks in them."""
    return row["kind"] == "exact" and not any(row[field] in names for field, names in NOT_COMPARED.items())


def name(row):
    params = " ".join(f"{k}={v}" for k, v in row["params"].items())
    return f"{row['variant']} {row['load']} {params}: {row['metric']}"


def figures(row):
    return row["value"], row["spread"]["min"] if isinstance(row["spread"], dict) else None


def differences(first, second):
    """Sentences, one for each exact figure that is not the same in both runs, or in one only.
    A row that is not compared must still be in both."""
    said = []
    mine, other = index(first), index(second)
    for k in dict.fromkeys([*mine, *other]):
        a, b = mine.get(k, []), other.get(k, [])
        if len(a) != len(b):
            said.append(f"{name((a or b)[0])}: {len(a)} rows in the first run, {len(b)} in the second")
        said += [f"{name(x)}: median, minimum {figures(x)} and {figures(y)}"
                 for x, y in zip(a, b) if is_exact(x) and figures(x) != figures(y)]
    return said


def find(rows, params=None, **want):
    """Rows of these fields; params compares those that it names. Called for each cell of each
    table: what most rows differ in is looked at first."""
    for field in ("variant", "load", "metric"):
        if field in want:
            value = want.pop(field)
            rows = [row for row in rows if row[field] == value]
    return [row for row in rows if all(row[k] == v for k, v in want.items()) and
            all(row["params"].get(k) == v for k, v in (params or {}).items())]


def validate(results, schema_path):
    """Errors as sentences; needs python3-jsonschema."""
    import jsonschema  # pylint: disable=import-outside-toplevel
    schema = json.loads(schema_path.read_text())
    return [f"{'/'.join(map(str, e.absolute_path)) or 'all of it'}: {e.message[:200]}"
            for e in jsonschema.Draft202012Validator(schema).iter_errors(results)]
