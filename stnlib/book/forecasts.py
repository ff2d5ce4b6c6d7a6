"""Forecasts: what would have foretold that a transformer dies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from stnlib.book.stats import Share, share_contrast, tally

__all__ = [
    "Threshold",
    "balanced_accuracy",
    "fit_threshold",
    "forecast",
    "mixed",
    "pairs",
    "resampled",
    "told",
]


class Threshold(NamedTuple):
    """Above it a run is said to die.

    Parameters
    ----------
    value : float
        Of a predictor.
    accuracy : float
        Balanced, on the runs that it was fitted to.
    """

    value: float
    accuracy: float


def balanced_accuracy(said: Sequence[bool], died: Sequence[bool]) -> float:
    """Mean of the shares of the dying and of the living that were told right.

    Parameters
    ----------
    said, died : Sequence[bool]
        Whether a run was said to die, and did.

    Returns
    -------
    float
        In [0, 1]; 0.5 for a guess.

    Raises
    ------
    ValueError
        One line, where all died or none.
    """
    said, died = np.asarray(said, dtype=bool), np.asarray(died, dtype=bool)
    if died.all() or not died.any():
        raise ValueError("balanced accuracy needs runs that died and runs that lived")
    return float((said[died].mean() + (~said[~died]).mean()) / 2)


def fit_threshold(values: Sequence[float], died: Sequence[bool]) -> Threshold:
    """The threshold of the best balanced accuracy, midway (in the logarithm) between two values.

    Parameters
    ----------
    values : Sequence[float]
        Above 0, one a run.
    died : Sequence[bool]
        Whether it did.

    Returns
    -------
    Threshold
        The lowest of those that are as good.
    """
    logs = np.log(np.asarray(values, dtype=float))
    places = np.unique(logs)
    middles = np.exp((places[1:] + places[:-1]) / 2)
    if not len(middles):  # all alike: nothing to tell them by
        return Threshold(float(np.exp(places[0])), 0.5)
    scored = [Threshold(float(m), balanced_accuracy(np.exp(logs) > m, died)) for m in middles]
    return max(scored, key=lambda threshold: threshold.accuracy)


def mixed(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at those rates at which some died and some lived.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `lr`, `loc_lr_factor` and `death`, nan for none.

    Returns
    -------
    pd.DataFrame
        Some of the rows.
    """
    shares = runs["death"].notna().groupby([runs["lr"], runs["loc_lr_factor"]]).transform("mean")
    return runs[(shares > 0) & (shares < 1)]


def told(said: Sequence[bool], died: Sequence[bool]) -> dict[str, float | Share]:
    """How well it was told who dies.

    Parameters
    ----------
    said, died : Sequence[bool]
        Whether a run was said to die, and did; runs of either end.

    Returns
    -------
    dict[str, float | Share]
        `judged`, the balanced accuracy, with its 95 % interval from `low` to `high`; and how many
        were told right, of the `dying` and of the `living`.
    """
    said, died = np.asarray(said, dtype=bool), np.asarray(died, dtype=bool)
    dying, living = tally(said[died]), tally(~said[~died])
    mean, low, high = share_contrast((0.5, dying), (0.5, living))
    return {"judged": mean, "low": low, "high": high, "dying": dying, "living": living}


def forecast(past: pd.DataFrame, fresh: pd.DataFrame, predictors: Sequence[str]) -> pd.DataFrame:
    """How well a threshold on a predictor tells who dies: fitted on `past` runs, judged on `fresh`.

    Parameters
    ----------
    past, fresh : pd.DataFrame
        A row a run: `death`, nan for none, and the predictors, above 0, nan where not known.
    predictors : Sequence[str]
        Columns.

    Returns
    -------
    pd.DataFrame
        A row a predictor: `threshold`, its balanced accuracy `fitted`, and what `told` says of the
        fresh runs; nan where the runs of either kind have one outcome only.
    """
    rows = {}
    for name in predictors:
        before, after = past.dropna(subset=name), fresh.dropna(subset=name)
        died, dies = before["death"].notna(), after["death"].notna()
        rows[name] = {}
        if all(0 < outcome.mean() < 1 for outcome in (died, dies)):
            value, accuracy = fit_threshold(before[name], died)
            rows[name] = {"threshold": value, "fitted": accuracy} | told(after[name] > value, dies)
    columns = ["threshold", "fitted", "judged", "low", "high", "dying", "living"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def pairs(
    frames: Mapping[str, pd.DataFrame], onsets: pd.Series, column: str, lead: int
) -> np.ndarray:
    """Of each run about to die and each still alive at that step: has the former more?

    A run that dies is compared with its risk set only, the runs whose death has not begun when its
    own does, and at the same step, so that long runs have no more chances than short ones. The mean
    of the pairs is the concordance (Harrell and others, 1982, JAMA 247), 0.5 for a guess.

    Parameters
    ----------
    frames : Mapping[str, pd.DataFrame]
        Of each run, a row a step.
    onsets : pd.Series
        The step with which each run's death begins, by the same names; nan for none.
    column : str
        Of the frames.
    lead : int
        Steps before the onset.

    Returns
    -------
    np.ndarray
        (runs, runs) in the order of `onsets`: 1, 0, or nan where the two are no pair.
    """
    found = np.full((len(onsets), len(onsets)), np.nan)
    for i, (name, begun) in enumerate(onsets.items()):
        at = begun - lead
        if at in frames[name].index:
            own = frames[name][column][at]
            for j, (other, ends) in enumerate(onsets.items()):
                if not ends <= begun:
                    found[i, j] = own > frames[other][column][at]
    return found


def resampled(more: np.ndarray) -> Callable[[np.ndarray], float]:
    """The concordance of drawn runs, for `stnlib.book.stats.bootstrap`.

    Parameters
    ----------
    more : np.ndarray
        Of `pairs`.

    Returns
    -------
    Callable[[np.ndarray], float]
        Of the drawn runs' numbers; nan where they make no pair.
    """

    def concordance(drawn: np.ndarray) -> float:
        some = more[np.ix_(drawn, drawn)]
        return float(np.nanmean(some)) if not np.isnan(some).all() else np.nan

    return concordance
