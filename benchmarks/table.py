"""Make the one table of ratios of what pytest-benchmark measured, and hold it against the bars.

python benchmarks/table.py MEASURED.json [RATIOS.json]    prints it, and writes it with its machine

Exit status 1 says that a bar was missed. Tiny sizes (``--tiny``) are held against none.

Where only some things were measured, the others keep the rows that RATIOS.json has. A row names
the source that it measured, and when and on what.
"""

import json
import os
import sys
from pathlib import Path

import torch

from stnlib.records.provenance import provenance


def rows(benchmarks):
    """One row for each other side of each group: times in ms, ratio = theirs / ours.

    A group without another side gives one row, without a ratio. `figures` are ours, in a
    group's first row only; `their_figures` the other side's.
    """
    groups = {}
    for one in benchmarks:
        groups.setdefault(one["group"], {})[one["extra_info"]["of"]] = one
    table = []
    for group, sides in groups.items():
        ours = sides.pop("stnlib")
        shown = figures(ours)
        for of, other in sides.items() or [(None, None)]:
            row = {"what": group, "ms": milliseconds(ours), "against": of, "figures": shown}
            if other:
                row |= {"their_ms": milliseconds(other), "their_figures": figures(other)}
                row |= {"ratio": float(f"{median(other) / median(ours):.3g}")}
            table.append(row)
            shown = {}
    return table


def figures(one):
    return {name: value for name, value in one["extra_info"].items() if name != "of"}


def median(one):
    return one["stats"]["median"]


def milliseconds(one):
    return float(f"{1000 * median(one):.4g}")


class Table:
    """Look-ups in rows; what is not there raises KeyError."""

    def __init__(self, table):
        self.rows = {(row["what"], row["against"]): row for row in table}
        self.first = {row["what"]: row for row in reversed(table)}

    def ratio(self, what, *others):
        """To the fastest of the others."""
        return min(self.rows[what, other]["ratio"] for other in others)

    def figure(self, what, name):
        return self.first[what]["figures"][name]

    def ms(self, what, of="stnlib"):
        return self.first[what]["ms"] if of == "stnlib" else self.rows[what, of]["their_ms"]


PILLOW = ("Pillow", "Pillow, its own images")
OTHERS = (*PILLOW, "torchvision, tensors", "torchvision, Pillow", "kornia")
ONE, TWO = "no sweep, one process", "no sweep, two processes"
MEMORY = "decoding C10D and 5 steps"
SMALL = "epoch, C10D STN, output 32×32"


def of_monitor(name):
    return lambda t: t.figure(f"step, {name}", "added by the monitor, share")


def of_distortion(t):
    return t.ratio("distortion", *OTHERS)


def of_plain_loop(t):
    return min(t.ratio(f"epoch, C10D {model}", "plain PyTorch") for model in ("baseline", "STN"))


def share(task, model, name):
    return lambda t: t.figure(f"epoch, {task} {model}", name)


def of_transformer(task):
    return lambda t: t.ms(f"epoch, {task} STN") / t.ms(f"epoch, {task} baseline")


def overhead(t):
    """What a sweep adds to each run, as a share of a run of 60 s."""
    added = t.ms("8 runs", "one worker") - t.ms("8 runs", ONE)
    return added / t.figure("8 runs", "runs") / 60_000


PEAK, INPUT, NETS = "share of the GEMM peak", "input's share", ("baseline", "STN")
# What is asked (at least, at most; None: nothing, shown beside the row before) and how it is told.
BARS = [
    ("distortion against Pillow, torchvision, kornia", ">=", 4, of_distortion),
    ("C10D epoch against the plain loop", ">=", 2.5, of_plain_loop),
    *((f"{t} {m}, {PEAK}", ">=", 0.65, share(t, m, PEAK)) for t in ("C10", "C10D") for m in NETS),
    *((f"{t} {m}, {INPUT}", "<=", 0.03, share(t, m, INPUT)) for t in ("C10", "C10D") for m in NETS),
    *(
        (f"{t} STN's epoch over the baseline's", "<=", 1.12, of_transformer(t))
        for t in ("C10", "C10D")
    ),
    (
        "C10D with an output of 32×32, epoch against 64×64 without a transformer",
        ">=",
        2,
        lambda t: t.ratio(SMALL, "64×64 without a transformer"),
    ),
    ("a monitor's share of a step, CM STN", "<=", 0.03, of_monitor("cm STN, batch 128")),
    ("a monitor's share of a step, C10 STN", "<=", 0.03, of_monitor("c10 STN, batch 128")),
    ("the same, PyTorch tutorial's STN", "<=", 0.08, of_monitor("tutorial STN, batch 64")),
    ("the same, a dense flow", "<=", 0.3, of_monitor("dense flow, batch 64")),
    ("two workers against one, runs an hour", ">=", 1.8, lambda t: t.ratio("8 runs", "one worker")),
    (
        "two processes against one, no sweep",
        ">=",
        None,
        lambda t: t.ms("8 runs", ONE) / t.ms("8 runs", TWO),
    ),
    ("sweep's overhead, share of a 60 s run", "<=", 0.02, overhead),
    ("peak memory of C10D, GiB", "<=", 2, lambda t: t.figure(MEMORY, "GiB")),
]


def bars(table):
    """What is asked, what was measured and whether that will do, where the rows can tell."""
    judged, lookup = [], Table(table)
    for what, sense, bar, tell in BARS:
        try:
            value = float(f"{tell(lookup):.3g}")
        except KeyError:
            continue
        row = {"what": what, "asked": "", "measured": value, "met": None}
        if bar is not None:
            row["asked"] = f"{sense} {bar}"
            row["met"] = value >= bar if sense == ">=" else value <= bar
        judged.append(row)
    return judged


def machine(origin, table):
    """The processors of the rows and the versions; what was measured ran on one thread."""
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    devices = "; ".join(dict.fromkeys(row["device"] for row in table))
    machine = {"device": devices, "system": origin["system"]}
    return machine | {"versions": versions, "cores": os.cpu_count(), "threads": 1}


def renewed(old, new):
    """Rows of an old table, those of things that a new one has replaced by its own, in place."""
    groups = {}
    for row in [*old, *new]:
        groups.setdefault(row["what"], []).append(row)
    fresh = {row["what"] for row in new}
    kept = {what: [row for row in new if row["what"] == what] for what in fresh}
    return [row for what, rows in groups.items() for row in kept.get(what, rows)]


def line(row):
    text = f"{row['what']:34} {row['ms']:10.4g} ms"
    if row["against"]:
        text += f"  {row['against']:24} {row['their_ms']:10.4g} ms  ratio {row['ratio']:6.2f}"
    return text + "".join(f"  {name}: {value}" for name, value in row["figures"].items())


def judgement(row):
    verdict = {True: "met", False: "MISSED", None: ""}[row["met"]]
    return f"{row['what']:48} {row['measured']:8.3g}  {row['asked']:8} {verdict}"


def main():
    """Print, and write where a second name is given."""
    measured, *target = map(Path, sys.argv[1:])
    found = json.loads(measured.read_text(encoding="utf-8"))
    if found["tiny"]:
        print(*map(line, rows(found["benchmarks"])), "", "tiny sizes: not judged", sep="\n")
        return
    origin = provenance(torch.device("cpu"), "")
    origin_of_row = {name: origin[name] for name in ("source", "date", "device")}
    table = [row | origin_of_row for row in rows(found["benchmarks"])]
    print(*map(line, table), "", *map(judgement, bars(table)), sep="\n")
    if target:
        old = json.loads(target[0].read_text())["rows"] if target[0].exists() else []
        table = renewed(old, table)
        content = {"machine": machine(origin, table), "bars": bars(table), "rows": table}
        target[0].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(row["met"] is False for row in bars(table)))


if __name__ == "__main__":
    main()
