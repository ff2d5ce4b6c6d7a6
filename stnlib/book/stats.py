"""Means over seeds, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

__all__ = [
    "Contrast",
    "Interval",
    "Share",
    "Summary",
    "bootstrap",
    "holm",
    "in_words",
    "paired_difference",
    "share_contrast",
    "share_difference",
    "stratified_p",
    "summarize",
    "tally",
    "wilson",
]


class Summary(NamedTuple):
    """Mean and spread of some values; as a text "0.920 ± 0.020 (n=3)".

    Parameters
    ----------
    mean, std : float
        The standard deviation has n - 1 in the denominator; nan for one value.
    n : int
        How many.
    """

    mean: float
    std: float
    n: int

    def __str__(self) -> str:
        spread = f" ± {self.std:.3f}" if self.n > 1 else ""
        return f"{self.mean:.3f}{spread} (n={self.n})"


class Interval(NamedTuple):
    """An estimate and its 95 % confidence interval; as a text "+0.020 [+0.010, +0.030] (n=3)".

    Parameters
    ----------
    mean, low, high : float
        The estimate, and the bounds of the interval.
    p : float
        The p-value against 0.
    n : int
        Of how many values.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}] (n={self.n})"


class Share(NamedTuple):
    """A share of runs; as a text "3 of 3 [0.44, 1.00]".

    Parameters
    ----------
    k, n : int
        k of n.
    low, high : float
        Bounds of the 95 % interval of the probability behind them.
    """

    k: int
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.k} of {self.n} [{self.low:.2f}, {self.high:.2f}]"


class Contrast(NamedTuple):
    """A weighted sum of shares, such as a difference; as a text "-1.00 [-1.00, -0.21]".

    Parameters
    ----------
    value, low, high : float
        The sum, and the bounds of its 95 % interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def in_words(outcomes: pd.Series) -> str:
    """How many there are of each.

    Parameters
    ----------
    outcomes : pd.Series
        A word a run.

    Returns
    -------
    str
        The most frequent first, as in "3 black, 1 blind".
    """
    return ", ".join(f"{n} {name}" for name, n in outcomes.value_counts().items())


def wilson(k: int, n: int) -> Share:
    """A share with Wilson's score interval (Wilson, 1927), sound for few runs and for 0 or all.

    Parameters
    ----------
    k, n : int
        k of n, 0 <= k <= n and n >= 1.

    Returns
    -------
    Share
        With the interval.

    Raises
    ------
    ValueError
        For other numbers.
    """
    interval = stats.binomtest(k, n).proportion_ci(method="wilson")
    return Share(k, n, *map(float, interval))


def tally(so: Sequence[bool]) -> Share:
    """The share of runs of which something is so.

    Parameters
    ----------
    so : Sequence[bool]
        Whether it is, at least one.

    Returns
    -------
    Share
        As of `wilson`.
    """
    return wilson(int(np.sum(so)), len(so))


def share_contrast(*terms: tuple[float, Share]) -> Contrast:
    """A weighted sum of the shares of independent runs.

    Put together from the Wilson intervals (Zou and Donner, 2008, Statistics in Medicine 27), and
    so sound for few runs and for shares of 0 and 1; for a difference of two it is Newcombe's
    hybrid (1998, Statistics in Medicine 17, method 10).

    Parameters
    ----------
    *terms : tuple[float, Share]
        A weight and a share each.

    Returns
    -------
    Contrast
        With its interval.
    """
    middles = np.array([weight * share.k / share.n for weight, share in terms])
    ends = np.array([(weight * share.low, weight * share.high) for weight, share in terms])
    below = np.linalg.norm(middles - ends.min(axis=1))
    above = np.linalg.norm(middles - ends.max(axis=1))
    value = middles.sum()
    return Contrast(*map(float, (value, value - below, value + above)))


def share_difference(share: Share, base: Share) -> Contrast:
    """One share minus another, a `share_contrast`.

    Parameters
    ----------
    share, base : Share
        Of independent runs; the second is subtracted.

    Returns
    -------
    Contrast
        With its interval.
    """
    return share_contrast((1, share), (-1, base))


def summarize(values: Sequence[float]) -> Summary:
    """Mean and spread.

    Parameters
    ----------
    values : Sequence[float]
        One a seed.

    Returns
    -------
    Summary
        The spread of a single value is nan.
    """
    values = np.asarray(values, dtype=float)
    spread = values.std(ddof=1) if len(values) > 1 else np.nan
    return Summary(float(values.mean()), float(spread), len(values))


def paired_difference(values: Sequence[float], base: Sequence[float]) -> Interval:
    """Mean of `values` - `base`, one by one, with Student's t interval.

    Parameters
    ----------
    values, base : Sequence[float]
        Equally long, at least two each, the i-th of both from one seed.

    Returns
    -------
    Interval
        Of the difference.

    Raises
    ------
    ValueError
        One line, where they do not pair up.
    """
    values, base = np.asarray(values, dtype=float), np.asarray(base, dtype=float)
    if values.shape != base.shape or values.ndim != 1 or len(values) < 2:
        raise ValueError(
            "values and base must be of one length, at least 2, "
            f"not {values.shape} and {base.shape}"
        )
    difference, n = values - base, len(values)
    mean, error = difference.mean(), difference.std(ddof=1) / np.sqrt(n)
    half = stats.t.ppf(0.975, n - 1) * error
    p = 2 * stats.t.sf(abs(mean) / error, n - 1) if error else mean == 0
    return Interval(*map(float, (mean, mean - half, mean + half, p)), n=n)


def bootstrap(
    statistic: Callable[[np.ndarray], float | np.ndarray], n: int, draws: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a statistic's 95 % interval, by drawing seeds with replacement (Efron, 1979).

    It serves what has no formula, such as a curve's mean at each epoch. With three seeds its
    interval is too narrow: there it describes, and settles nothing.

    Parameters
    ----------
    statistic : Callable[[np.ndarray], float | np.ndarray]
        Of the drawn seeds, indices from 0 to n - 1: a number, or one a point of a curve.
    n : int
        Seeds.
    draws : int
        How often n seeds are drawn, always the same.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Lower and upper bounds, of the statistic's shape. Draws in which it is nan do not count.
    """
    rng = np.random.default_rng(0)
    drawn = [statistic(rng.integers(n, size=n)) for _ in range(draws)]
    low, high = np.nanquantile(drawn, (0.025, 0.975), axis=0)
    return low, high


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several comparisons, corrected for their number (Holm, 1979).

    Parameters
    ----------
    p_values : Sequence[float]
        One a comparison, in [0, 1].

    Returns
    -------
    list[float]
        In the same order and range. Whoever calls settled what lies below 0.05 is wrong about any
        of them in at most one of twenty families of comparisons.
    """
    rising = pd.Series(np.asarray(p_values, dtype=float)).sort_values()
    corrected = (rising * np.arange(len(rising), 0, -1)).cummax().clip(upper=1)
    return corrected.sort_index().tolist()


def stratified_p(tables: Sequence[tuple[int, int, int, int]]) -> float:
    """Exact two-sided p-value of no effect within strata, given how many of each stratum died.

    It is Fisher's test with several tables: runs of one stratum are compared with each other only.

    Parameters
    ----------
    tables : Sequence[tuple[int, int, int, int]]
        A stratum each: k of n with the change, k of n without it, as (k, n, k, n).

    Returns
    -------
    float
        In [0, 1].
    """
    chances, seen = np.ones(1), 0
    for k, n, k_base, n_base in tables:
        counts = np.arange(n + 1)
        chances = np.convolve(chances, stats.hypergeom.pmf(counts, n + n_base, k + k_base, n))
        seen += k
    return float(min(1.0, chances[chances <= chances[seen] * (1 + 1e-9)].sum()))
