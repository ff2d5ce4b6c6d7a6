"""The whole study on one page: the paper's numbers beside ours, each of ours with its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from stnlib.book import paper
from stnlib.book.stats import summarize
from stnlib.records import store
from stnlib.records.store import Record
from stnlib.training.config import RunConfig

__all__ = ["linked", "network", "overview"]

_DATA = {"cm": "CM", "c10": "C10", "c10d": "C10D"}
_WITHOUT = {
    "baseline": "no transformer",
    "crop": "centre crop",
    "oracle": "oracle (true θ)",
    "stn_frozen": "STN, frozen at the identity",
}


def network(config: RunConfig) -> str:
    """What a network is called on the page.

    Parameters
    ----------
    config : RunConfig
        Of a run.

    Returns
    -------
    str
        What tells it apart: its kind, its sampler, its output, how its images are augmented.
    """
    sampler = "clipped" if config.sampler == "clipped" else "correct"
    size = f", output {config.output_size}×{config.output_size}" if config.output_size else ""
    images = ", mirrored images" if config.augment == "flip" else ""
    return _WITHOUT.get(config.model, f"STN, {sampler} sampler") + size + images


def linked(made: Iterable[Record]) -> str:
    """Test accuracy of runs: mean, spread and n, and a link to each record, by its seed.

    Parameters
    ----------
    made : Iterable[Record]
        Of one configuration but for the seed.

    Returns
    -------
    str
        Markdown. Links are relative to the book's folder; records that lie elsewhere have none.
    """
    made = sorted(made, key=lambda record: record.seed)
    seeds = " ".join(_place(record.config) for record in made)
    return f"{summarize([r.result['test_accuracy'] for r in made])}; seed {seeds}"


def _place(config: RunConfig) -> str:
    path, book = store.locate(config), store.folders()[0].parent
    if path is None or book not in path.parents:
        return str(config.seed)
    return f"[{config.seed}]({path.relative_to(book).as_posix()})"


def overview(columns: Mapping[str, Iterable[Record]]) -> str:
    """The table of the whole study: the paper's test accuracy, then ours.

    Parameters
    ----------
    columns : Mapping[str, Iterable[Record]]
        Records by setting.

    Returns
    -------
    str
        Markdown, a row a data set and network.

    Raises
    ------
    ValueError
        One line, where runs that would be averaged differ in more than their seeds.
    """
    cells: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for setting, made in columns.items():
        for record in made:
            row = record.config.data, network(record.config)
            cells.setdefault(row, {}).setdefault(setting, []).append(record)
    without = tuple(_WITHOUT.values())
    order = sorted(
        cells, key=lambda row: (list(_DATA).index(row[0]), not row[1].startswith(without))
    )
    lines = []
    for data, name in order:
        told = {}
        for setting, made in cells[data, name].items():
            if len({record.config.replace(seed=0) for record in made}) > 1:
                raise ValueError(f"{data}, {name}, {setting}: runs differ in more than their seeds")
            told[setting] = linked(made)
        lines.append({"data": _DATA[data], "network": name, "paper": _paper(data, name)} | told)
    return _markdown(pd.DataFrame(lines, columns=["data", "network", "paper", *columns]).fillna(""))


def _paper(data: str, name: str) -> str:
    """The paper's test accuracy, for its own two networks."""
    # Its sampler was the clipped one, which we ran where it failed: not on Cluttered MNIST.
    sampler = "correct" if data == "cm" else "clipped"
    model = {"no transformer": "baseline", f"STN, {sampler} sampler": "stn"}.get(name)
    return f"{paper.TEST_ACCURACY[data, model]:.2f}" if model else ""


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
