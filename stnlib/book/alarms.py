"""Alarms: what the monitor says of a training that was traced, and how early.

A trace holds the numbers by which the monitor judges. Its criteria have changed since the first
traces were made, so all traces are judged anew, by today's. Two numbers are not in those that are
older than they are, and are got from others: a view's size in pixels is its extent times the
image's side, and the spread of its corners lies between two bounds that the spreads of θ's entries
give. The step of θ is the same number in all of them, because their θ is affine and is what its
layer gives. *Black* meant 0 to within 0.01 in the older ones and is relative to the input today;
for images in [0, 1] that are not flat the two are the same to within that hundredth. Images that
were normalised to a mean of 0 may count as black later, or never; of these trainings the first
warning is one of large steps, or of a view that shrinks, in any case.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stnlib.book.stats import Share, tally
from stnlib.diagnostics import Criteria, Trace
from stnlib.diagnostics.criteria import Judge
from stnlib.diagnostics.looks import STILL, UNHURRIED
from stnlib.records.store import Record

__all__ = ["SOON", "TRACED", "Measured", "corner_spreads", "first_alarm", "measured", "retold"]

#: the studies whose trainings were traced while the monitor looked on and did nothing
TRACED = ("cm-map", "cm-edge", "cm-inverted", "cm-claims", "cm-hidden")
TRACED += ("c10-probe", "c10-frames", "c10d-probe", "c10d-cures", "recipe")

SOON = 3  # steps; a warning that comes so late leaves time to go back and to nothing else
AT = ("data", "lr", "loc_lr_factor")


class Measured(NamedTuple):
    """How well the monitor warned; each None, or nan, where there is nothing to count.

    Parameters
    ----------
    ahead : Share | None
        Of the deaths, those that were warned of before their onset.
    lead : float
        Median over all deaths of the steps from the warning to the onset; 0 where it came no
        sooner, or not at all.
    soon : Share | None
        Of the deaths, those whose lead is at most `SOON`.
    where_lost, where_none : Share | None
        Of the transformers that are kept to the end, those that were warned of: where others
        are lost at the same rates, and where none is.
    """

    ahead: Share | None
    lead: float
    soon: Share | None
    where_lost: Share | None
    where_none: Share | None


def corner_spreads(frame: pd.DataFrame, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that a view's corners can differ between images.

    An entry of a corner is a sum of three entries of θ, two of them with signs. The mean square of
    its spread over the four corners is the sum of the squares of theirs, and no corner's is above
    the sum of theirs.

    Parameters
    ----------
    frame : pd.DataFrame
        `theta_std_0` to `theta_std_5` of affine θ, a row a step.
    side : int
        Of the square images, in pixels.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Bounds of the trace's `corner_spread`, in pixels; the second is at most √3 times the first.
    """
    spreads = frame[[f"theta_std_{i}" for i in range(6)]].to_numpy().reshape(-1, 2, 3)
    bounds = np.hypot.reduce(spreads, axis=2), spreads.sum(axis=2)
    least, most = (bound.max(axis=1) * (side - 1) / 2 for bound in bounds)
    return least, most


def first_alarm(
    trace: Trace, side: int, most: bool = True, *, paced: bool = False
) -> tuple[float, str | None]:
    """The first thing that the monitor's criteria, as they are today, find in a trace.

    Parameters
    ----------
    trace : Trace
        Of an affine transformer.
    side : int
        Of the square images, in pixels.
    most : bool
        Where the trace does not know how much corners differ: whether to take the most that they
        can, or the least.
    paced : bool
        Whether to look only where the monitor does by default, and not at each step.

    Returns
    -------
    tuple[float, str | None]
        Step and kind; nan and None where they find nothing.
    """
    columns = {n: c for n, c in trace.columns.items() if not n.startswith("theta_")}
    if "corner_spread" not in columns:
        columns["corner_spread"] = corner_spreads(trace.to_frame(), side)[most].tolist()
        columns["extent_pixels"] = [extent * side for extent in columns["extent"]]
    steps = columns.pop("step_number")
    judge, number = Judge(Criteria()), 0
    while number < len(steps):
        row = {name: column[number] for name, column in columns.items()}
        if found := judge.judge(int(steps[number]), row):
            return found.step, found.kind
        number += UNHURRIED if paced and row["step"] <= STILL else 1
    return math.nan, None


def retold(pairs: Iterable[tuple[Record, Trace]], most: bool = True) -> list[str | None]:
    """The first alarms that are not those that the monitor gave when the traces were made.

    Parameters
    ----------
    pairs : Iterable[tuple[Record, Trace]]
        Of `stnlib.book.deaths.traces`.
    most : bool
        As of `first_alarm`.

    Returns
    -------
    list[str | None]
        Their kinds, one for each trace whose first alarm is another or comes at another step.
    """
    found = [
        (*first_alarm(trace, record.config.side, most), trace.events) for record, trace in pairs
    ]
    return [kind for step, kind, told in found if ([(step, kind)] if kind else []) != told[:1]]


def measured(runs: pd.DataFrame, at: Sequence[str] = AT) -> Measured:
    """How well the monitor warned of deaths, and how often of transformers that were kept.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `onset` and `warning` (steps, nan for none), `lost` and `kept` (whether), and
        `at`; as of `stnlib.book.deaths.outcomes`.
    at : Sequence[str]
        Columns that trainings at the same rates have alike.

    Returns
    -------
    Measured
        Of all of them.
    """
    gone = runs.dropna(subset="onset")
    lead = (gone["onset"] - gone["warning"]).clip(lower=0).fillna(0)
    said = runs["warning"].notna()
    beside_lost = runs["lost"].groupby([runs[name] for name in at]).transform("any")
    counted = lead > 0, lead <= SOON, said[runs["kept"] & beside_lost]
    counted += (said[runs["kept"] & ~beside_lost],)
    ahead, soon, *alarms = (tally(so) if len(so) else None for so in counted)
    return Measured(ahead, lead.median(), soon, *alarms)
