"""The edge of the map: single changes there, and what can be known before a transformer is lost.

Forecasts are fitted on the map as it stood when the fresh runs were made. A lead is counted from
the onset of the loss, its first step.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from stnlib.book import forecasts, remedies
from stnlib.book.claims.facts import dates, frame, runs, traced, watched
from stnlib.book.deaths import ahead, courses
from stnlib.book.stats import Contrast, bootstrap

__all__ = ["LEARNING", "changed", "concordance", "course", "forecast", "fresh", "monitored", "past"]

# Of the map: all but its highest rate, at which classifiers fail by themselves.
LEARNING = 0.03


def changed(lr: float) -> pd.DataFrame:
    """Single changes to a cell of the map, and the cell itself.

    Parameters
    ----------
    lr : float
        Of both parts.

    Returns
    -------
    pd.DataFrame
        A row a run, those of one change together and the least lost first: of
        `stnlib.book.remedies.table`, with `row` (the change's name) and `reach`, which is σ.
    """
    some = runs("cm-claims", "cm-map", lr=lr, model="stn", loc_lr_factor=1.0)
    reach = traced("cm-claims", "cm-map").set_index("key")["reach"]
    table = remedies.table(some).assign(reach=[reach[record.key] for record in some])
    table["row"] = table["remedy"].replace("none", "nothing")
    table["share"] = table.groupby("row")["lost"].transform("mean")
    return table.sort_values(["share", "row"], kind="stable").drop(columns="share")


@cache
def past() -> pd.DataFrame:
    """The map's cells in which some are lost and some are not, before the fresh runs were made.

    Returns
    -------
    pd.DataFrame
        A row a run, of `stnlib.book.deaths.outcomes`.
    """
    begun = min(dates(runs("cm-edge")))
    older = {r.key for r in runs("cm-map") if r.provenance["date"] < begun or r.study != "cm-map"}
    table = traced("cm-map")
    return forecasts.mixed(table[(table["lr"] < LEARNING) & table["key"].isin(older)])


def fresh() -> pd.DataFrame:
    """The runs that forecasts are judged on: fresh seeds of two cells of the map.

    Returns
    -------
    pd.DataFrame
        A row a run, of `stnlib.book.deaths.outcomes`.
    """
    return traced("cm-edge")


@cache
def _courses(study: str) -> dict[str, tuple[pd.Series, int | None]]:
    return courses(watched(study))


def forecast(lead: int, *predictors: str) -> pd.DataFrame:
    """How well a threshold tells who is lost, so many steps before the onset.

    Parameters
    ----------
    lead : int
        Steps, at least 1.
    *predictors : str
        `step` (the largest step of θ until then), `reach` or `lr`.

    Returns
    -------
    pd.DataFrame
        Of `stnlib.book.forecasts.forecast`.
    """
    parts = [
        table.assign(step=table["key"].map(ahead(_courses(study), lead)))
        for table, study in ((past(), "cm-map"), (fresh(), "cm-edge"))
    ]
    return forecasts.forecast(*parts, predictors)


def monitored(lead: int) -> dict:
    """How well the monitor's warnings tell it, which have nothing to fit.

    Parameters
    ----------
    lead : int
        Steps, at least 1; runs that are lost sooner do not count.

    Returns
    -------
    dict
        Of `stnlib.book.forecasts.told`.
    """
    table = fresh()
    some = table[~(table["onset"] <= lead)]
    warning = some["warning"].where(some["kind"] != "blind")
    said = warning <= some["onset"].fillna(np.inf) - lead
    return forecasts.told(said, some["death"].notna())


def course(leads: range) -> dict[str, pd.DataFrame]:
    """Balanced accuracies by lead, of three ways to tell.

    Parameters
    ----------
    leads : range
        Steps, the longest first.

    Returns
    -------
    dict[str, pd.DataFrame]
        By name; a row a lead, with `judged`, `low`, `high`, `dying` and `living`.
    """
    both = {lead: forecast(lead, "step", "lr") for lead in leads}
    told = {"learning rate": {lead: table.loc["lr"] for lead, table in both.items()}}
    told["step of θ"] = {lead: table.loc["step"] for lead, table in both.items()}
    told["monitor"] = {lead: monitored(lead) for lead in leads}
    return {name: pd.DataFrame(rows).T for name, rows in told.items()}


def concordance(column: str, lead: int) -> Contrast:
    """How often a run about to be lost has more than one that is not lost yet, at the same step.

    Parameters
    ----------
    column : str
        Of the trace, such as `phi`.
    lead : int
        Steps before the onset.

    Returns
    -------
    Contrast
        The share of such pairs, with a 95 % interval from drawing runs anew; 0.5 for a guess.
    """
    onsets = fresh().set_index("key")["onset"]
    frames = {key: frame(key, "cm-edge") for key in onsets.index}
    more = forecasts.pairs(frames, onsets, column, lead)
    low, high = bootstrap(forecasts.resampled(more), len(more))
    return Contrast(float(np.nanmean(more)), float(low), float(high))
