"""Tables: records as tidy frames, one row a run, or a run and epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from stnlib.records.outcome import at_chance, corner_spread, diverged
from stnlib.records.store import Record

__all__ = ["histories", "table"]


def table(records: Iterable[Record]) -> pd.DataFrame:
    """Records as one tidy table: one row a run.

    Returns
    -------
    pd.DataFrame
        Columns: `study`, `key`, every field of the configuration, everything in the result,
        `val_accuracy` and `val_loss` after the last epoch; `outcome`, `corner_spread` (in input
        pixels), `diverged` and `at_chance` (see `stnlib.records.outcome`); `data_fingerprint`,
        `threads`, `date`.
    """
    return pd.DataFrame([_row(record) for record in records])


def _row(record: Record) -> dict[str, Any]:
    return {
        "study": record.study,
        "key": record.key,
        **record.config.to_dict(),
        **record.result,
        **{name: record.last[name] for name in ("val_accuracy", "val_loss")},
        "outcome": record.outcome,
        "corner_spread": corner_spread(record) if record.outcome else math.nan,
        "diverged": diverged(record),
        "at_chance": at_chance(record),
        "data_fingerprint": record.provenance["data"],
        **{name: record.provenance[name] for name in ("threads", "date")},
    }


def histories(records: Iterable[Record]) -> pd.DataFrame:
    """The course of records as one tidy table: one row a run and epoch.

    Columns: `key`, every field of the configuration, and those of the history.
    """
    rows = []
    for record in records:
        same = {"key": record.key, **record.config.to_dict()}
        rows += [same | row for row in record.history]
    return pd.DataFrame(rows)
