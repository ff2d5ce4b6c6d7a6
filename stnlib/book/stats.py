"""Means over seeds, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

__all__ = [
    "Contrast",
    "Interval",
    "Share",
    "Summary",
    "holm",
    "in_words",
    "mean_share",
    "paired_difference",
    "share_contrast",
    "share_difference",
    "stratified_p",
    "summarize",
    "tally",
    "wilson",
]


class Summary(NamedTuple):
    """Mean and standard deviation (n - 1 in the denominator) of n values."""

    mean: float
    std: float
    n: int

    def __str__(self) -> str:
        spread = f" ± {self.std:.3f}" if self.n > 1 else ""
        return f"{self.mean:.3f}{spread} (n={self.n})"


class Interval(NamedTuple):
    """An estimate with its 95 % confidence interval, the p-value against 0, and n."""

    mean: float
    low: float
    high: float
    p: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}] (n={self.n})"


class Share(NamedTuple):
    """k of n runs, with the bounds of the 95 % interval of the probability behind them."""

    k: int
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.k} of {self.n} [{self.low:.2f}, {self.high:.2f}]"


class Contrast(NamedTuple):
    """A weighted sum of shares, such as a difference, with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def in_words(outcomes: pd.Series) -> str:
    """How many there are of each, the most frequent first, as in ``3 black, 1 blind``."""
    return ", ".join(f"{n} {name}" for name, n in outcomes.value_counts().items())


def wilson(k: int, n: int) -> Share:
    """A share with Wilson's score interval (Wilson, 1927), sound for few runs and for 0 or all.

    Raises
    ------
    ValueError
        Unless 0 <= k <= n and n >= 1.
    """
    interval = stats.binomtest(k, n).proportion_ci(method="wilson")
    return Share(k, n, *map(float, interval))


def tally(such: Sequence[bool]) -> Share:
    """How many are such, as `wilson` says it."""
    return wilson(int(np.sum(such)), len(such))


def share_contrast(*terms: tuple[float, Share]) -> Contrast:
    """A weighted sum of the shares of independent runs.

    Put together from the Wilson intervals (Zou and Donner, 2008, Statistics in Medicine 27), and
    so sound for few runs and for shares of 0 and 1; for a difference of two it is Newcombe's
    hybrid (1998, Statistics in Medicine 17, method 10).

    Parameters
    ----------
    terms : a weight and a share each.
    """
    middles = np.array([weight * share.k / share.n for weight, share in terms])
    ends = np.array([(weight * share.low, weight * share.high) for weight, share in terms])
    below = np.linalg.norm(middles - ends.min(axis=1))
    above = np.linalg.norm(middles - ends.max(axis=1))
    value = float(middles.sum())
    return Contrast(value, value - float(below), value + float(above))


def mean_share(first: Share, second: Share) -> Contrast:
    """The mean of two shares, a `share_contrast`."""
    return share_contrast((0.5, first), (0.5, second))


def share_difference(first: Share, second: Share) -> Contrast:
    """`first`'s share minus `second`'s, a `share_contrast`."""
    return share_contrast((1, first), (-1, second))


def summarize(values: Sequence[float]) -> Summary:
    """Mean and spread of values, one a seed; the spread of a single value is nan."""
    values = np.asarray(values, dtype=float)
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    return Summary(float(values.mean()), float(spread), len(values))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
    """Mean of `first` - `second`, value by value, with Student's t interval.

    Parameters
    ----------
    first, second : equally long, at least two values each, the i-th of both from one seed.

    Raises
    ------
    ValueError
        When they do not pair up.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape or first.ndim != 1 or len(first) < 2:
        raise ValueError(
            "first and second must be of one length, at least 2, "
            f"not {first.shape} and {second.shape}"
        )
    difference, n = first - second, len(first)
    mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * error
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if error else float(mean == 0)
    return Interval(*map(float, (mean, mean - half, mean + half, p)), n=n)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several comparisons, corrected for their number (Holm, 1979).

    Returns
    -------
    In the order of `p_values`, each in [0, 1]. Whoever calls settled what lies below 0.05 is wrong
    about any of them in at most one of twenty families of comparisons.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty(len(p))
    found[order] = np.minimum(stepped, 1)
    return found.tolist()


def stratified_p(tables: Sequence[tuple[int, int, int, int]]) -> float:
    """Exact two-sided p-value of no effect within strata, given how many of each stratum died.

    It is Fisher's test with several tables: runs of one stratum are compared with each other only.

    Parameters
    ----------
    tables : a stratum each: k of n with the change, k of n without it, as (k, n, k, n).
    """
    chances, seen = np.ones(1), 0
    for k, n, k_base, n_base in tables:
        counts = np.arange(n + 1)
        chances = np.convolve(chances, stats.hypergeom.pmf(counts, n + n_base, k + k_base, n))
        seen += k
    return float(min(1.0, chances[chances <= chances[seen] * (1 + 1e-9)].sum()))
