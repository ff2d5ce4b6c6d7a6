"""Make the one table of ratios of what pytest-benchmark measured.

python benchmarks/table.py MEASURED.json [RATIOS.json]    prints it, and writes it with its machine
"""

import json
import sys
from pathlib import Path

import torch

from stnlib.provenance import provenance


def rows(benchmarks):
    """One row for each other side of each group: times in ms, ratio = theirs / ours.

    A group without another side gives one row, without a ratio.
    """
    groups = {}
    for one in benchmarks:
        groups.setdefault(one["group"], {})[one["extra_info"]["of"]] = one
    table = []
    for group, sides in groups.items():
        ours = sides.pop("stnlib")
        figures = {
            name if of == "stnlib" else f"{name}, {of}": value
            for of, one in {"stnlib": ours, **sides}.items()
            for name, value in one["extra_info"].items()
            if name != "of"
        }
        for of, other in sides.items() or [(None, None)]:
            row = {"what": group, "ms": milliseconds(ours), "against": of}
            if other:
                row |= {"their_ms": milliseconds(other)}
                row |= {"ratio": round(median(other) / median(ours), 3)}
            table.append(row | {"figures": figures})
    return table


def median(one):
    return one["stats"]["median"]


def milliseconds(one):
    return float(f"{1000 * median(one):.4g}")


def line(row):
    text = f"{row['what']:34} {row['ms']:10.4g} ms"
    if row["against"]:
        text += f"  {row['against']:14} {row['their_ms']:10.4g} ms  ratio {row['ratio']:6.2f}"
    return text + "".join(f"  {name}: {value}" for name, value in row["figures"].items())


def main():
    """Print, and write where a second name is given."""
    measured, *target = map(Path, sys.argv[1:])
    table = rows(json.loads(measured.read_text(encoding="utf-8"))["benchmarks"])
    print(*map(line, table), sep="\n")
    if target:
        machine = provenance(torch.device("cpu"), "digits")
        content = {"rows": table, "provenance": machine}
        target[0].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
