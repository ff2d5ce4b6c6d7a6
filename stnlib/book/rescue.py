"""What the records say of the advice on the page *My STN is black*."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from stnlib.book.stats import Share, in_words, tally
from stnlib.records.outcome import Outcome, lost
from stnlib.records.store import Record
from stnlib.training.config import RunConfig, defaults

__all__ = ["DATA", "RULES", "as_text", "counts", "looking", "plain"]

DATA = {"cm": "CM", "c10d": "C10D, 64 × 64", "c10": "C10"}
# What may differ from the defaults in a training that counts, within these sizes of a batch.
_BATCHES = (defaults()["batch_size"], 100)
_FREE = {"data", "n_train", "seed", "epochs", "lr", "precision", "sampler", "batch_size"}
_FREE |= {"schedule", "warmup", "loc_lr_factor"}


def _constant(config: RunConfig) -> bool:
    return config.schedule == "constant" and not config.warmup and config.loc_lr_factor == 1


def _falling(config: RunConfig, *factors: float) -> bool:
    rises_and_falls = config.schedule == "cosine" and config.warmup > 0
    return rises_and_falls and config.loc_lr_factor in factors


RULES: dict[str, Callable[[RunConfig], bool]] = {
    "0.0001 or 0.0003, constant": lambda c: _constant(c) and c.lr <= 3e-4,
    "0.001, constant": lambda c: _constant(c) and c.lr == 1e-3,
    "0.001, warm-up, cosine, × 0.1": lambda c: _falling(c, 0.1) and c.lr == 1e-3,
    "0.001, warm-up, cosine, × 0.3 or × 1": lambda c: _falling(c, 0.3, 1.0) and c.lr == 1e-3,
    "0.01 or 0.02, constant": lambda c: _constant(c) and c.lr in (0.01, 0.02),
    "0.01 or 0.02, warm-up, cosine, × 0.1 or × 0.3": (
        lambda c: _falling(c, 0.1, 0.3) and c.lr in (0.01, 0.02)
    ),
}


def plain(record: Record, *others: str) -> bool:
    """Whether a training is the paper's network on `DATA`, with nothing changed but rates.

    Parameters
    ----------
    record : Record
        Of any training. The clipped sampler counts where the border is black, for there it has
        the gradient of the correct one.
    *others : str
        Fields of the configuration that may differ as well.
    """
    config = record.config
    if config.data not in DATA or config.model != "stn":
        return False
    changed = {name for name, value in config.to_dict().items() if value != defaults()[name]}
    same = ("bilinear",) if config.data == "c10" else ("bilinear", "clipped")
    usual = config.warmup_of == "both" and config.batch_size in _BATCHES
    return changed <= _FREE.union(others) and config.sampler in same and usual


def counts(records: Iterable[Record]) -> pd.DataFrame:
    """Rates, data sets and what became of the transformers.

    Parameters
    ----------
    records : Iterable[Record]
        Those that are not `plain`, or of no rule, are left out.

    Returns
    -------
    pd.DataFrame
        A row a training: `rule`, `data`, `lr`, `factor`, `outcome`, `lost`, `val_accuracy`.
    """
    rows = []
    for record in filter(plain, records):
        config = record.config
        for name, holds in RULES.items():
            if holds(config):
                row = {"rule": name, "data": DATA[config.data], "lr": config.lr}
                row |= {"factor": config.loc_lr_factor, "epochs": config.epochs}
                row |= {"outcome": str(record.outcome), "lost": lost(record)}
                rows.append(row | {"val_accuracy": record.last["val_accuracy"]})
    return pd.DataFrame(rows)


def looking(found: pd.DataFrame) -> Share:
    """How many of these transformers look.

    Parameters
    ----------
    found : pd.DataFrame
        Rows of `counts`.
    """
    return tally(found["outcome"] == Outcome.LOOKS)


def as_text(found: pd.DataFrame) -> str:
    """The counts as a small table in Markdown: a row a rule, a column a data set.

    Parameters
    ----------
    found : pd.DataFrame
        What `counts` returned.
    """
    cells = found.groupby(["rule", "data"])["outcome"].agg(in_words)
    lines = [f"| rate | {' | '.join(DATA.values())} |", "| --- |" + " --- |" * len(DATA)]
    for rule in RULES:
        told = [str(cells.get((rule, data), "")) for data in DATA.values()]
        lines.append(f"| {rule} | {' | '.join(told)} |")
    return "\n".join(lines)
