"""What the chapter on CIFAR-10 and its appendix ask of the records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from stnlib.records import store
from stnlib.records.outcome import BLACK, corner_spread, in_a_word
from stnlib.records.store import Record

__all__ = ["census", "courses", "learned_then_black", "tests"]

_PLAIN = ("c10", "c10d", "c10-probe", "c10d-probe", "c10d-rates", "c10d-authors", "recipe")


def tests(runs: Iterable[Record], row: str) -> pd.DataFrame:
    """How accurate trainings are on test images, and what became of them.

    Parameters
    ----------
    runs : Iterable[Record]
        One a training.
    row : str
        What they have in common.

    Returns
    -------
    pd.DataFrame
        A row a training: `row`, `accuracy` and `outcome` (in a word).
    """
    found = [(row, r.result["test_accuracy"], in_a_word(r)) for r in runs]
    return pd.DataFrame(found, columns=["row", "accuracy", "outcome"])


def courses(runs: Iterable[Record]) -> pd.DataFrame:
    """What trainings do, epoch by epoch.

    Parameters
    ----------
    runs : Iterable[Record]
        One a training.

    Returns
    -------
    pd.DataFrame
        A row a training and epoch: `data`, `sampler`, `seed`, `lr`, `transformer` (whether it has
        one), `outcome` (of the training, in a word), `epoch`, `accuracy` (validation), `coverage`,
        `black`, `spread` (corner spread in input pixels), `shift` and `rotation` (shares undone);
        nan where a quantity is not known.
    """
    rows = []
    for record in runs:
        config = record.config
        same = {name: getattr(config, name) for name in ("data", "sampler", "seed", "lr")}
        same |= {"transformer": config.has_transformer, "outcome": in_a_word(record)}
        for count, epoch in enumerate(record.history, start=1):
            row = same | {"epoch": count, "accuracy": epoch["val_accuracy"]}
            if config.has_transformer:
                row |= {"coverage": epoch["coverage"], "black": epoch["black"]}
                row["spread"] = corner_spread(replace(record, history=record.history[:count]))
            if "undone_tx" in epoch:
                row["shift"] = (epoch["undone_tx"] + epoch["undone_ty"]) / 2
                row["rotation"] = epoch["undone_rotation"]
            rows.append(row)
    return pd.DataFrame(rows)


def learned_then_black(record: Record) -> bool:
    """Whether a training did what the paper's did on C10D.

    Parameters
    ----------
    record : Record
        It passed 0.5 in validation; at the end it is black, and its accuracy that of a guess.
    """
    course = [row["val_accuracy"] for row in record.history]
    return record.last["black"] >= BLACK and course[-1] <= 0.12 and max(course) > 0.5


def census() -> pd.DataFrame:
    """Every transformer that was trained on photographs in the paper's manner.

    That is at a constant rate, on zeros as padding, with nothing done against the collapse.

    Returns
    -------
    pd.DataFrame
        A row a training: `row` (data, length and sampler), `lr`, `outcome` (in a word) and
        `fell` (`learned_then_black`).
    """
    made = {record.key: record for name in _PLAIN for record in store.of_study(name)}
    rows = []
    for record in made.values():
        config = record.config
        plain = config.schedule == "constant" and config.padding == "zeros"
        if config.has_transformer and plain and config.data in ("c10", "c10d"):
            row = {"row": _setting(record), "lr": config.lr, "outcome": in_a_word(record)}
            rows.append(row | {"fell": learned_then_black(record)})
    return pd.DataFrame(rows).sort_values(["row", "lr"], kind="stable", ignore_index=True)


def _setting(record: Record) -> str:
    config = record.config
    name = f"{config.data.upper()}, {config.epochs} epochs"
    if config.n_train:
        name = f"C10 probe, {config.epochs} epochs"
    elif config.output_size:
        name = f"C10D probe, {config.epochs} epochs"
    elif config.optimizer != "adam":
        name = f"{config.data.upper()}, authors' mode"
    sampler = {"clipped": "clipped", "bilinear": "correct"}[config.sampler]
    return f"{name}, {sampler}"
