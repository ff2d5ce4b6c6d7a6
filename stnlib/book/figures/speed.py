"""The figure of measured speed on the status page, and its rows."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from stnlib.book.figures.style import BLUE, ORANGE

__all__ = ["alternatives", "speed_ratios"]

# Rows that compare ours with ours.
_OWN = r"^8 runs$|^step, |, output 32×32$"


def alternatives(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return what others can do as well, for `speed_ratios`.

    Parameters
    ----------
    rows : list[dict[str, Any]]
        The rows of `benchmarks/ratios.json`.

    Returns
    -------
    pd.DataFrame
        `what`, without a sampler's padding, `against` and `ratio` (theirs over ours).
    """
    table = pd.DataFrame(rows)[["what", "against", "ratio"]].dropna()
    table = table[~table["what"].str.contains(_OWN)]
    names = table["what"].str.replace(" sampler, .*", " sampler", regex=True)
    return table.assign(what=names)


def speed_ratios(table: pd.DataFrame) -> Figure:
    """How many times as long as ours others take: bars that begin at 1.

    Parameters
    ----------
    table : pd.DataFrame
        `what`, `against` (text) and `ratio` (theirs over ours, > 0). Rows that agree in both texts
        are one bar, to their median, with a line from the least to the greatest.

    Returns
    -------
    Figure
        A bar a row, the first on top.

    Raises
    ------
    ValueError
        One line, where a ratio is not positive.
    """
    if not (table["ratio"] > 0).all():
        raise ValueError("ratio must be a number > 0 in every row")
    bars = table.groupby(["what", "against"], sort=False)["ratio"].agg(["min", "median", "max"])
    figure, axis = plt.subplots(figsize=(9, 1 + 0.26 * len(bars)))
    axis.axvline(1, color="black", lw=0.8)
    for place, (least, middle, most) in enumerate(bars.to_numpy()):
        axis.barh(place, middle - 1, left=1, height=0.7, color=BLUE if middle >= 1 else ORANGE)
        axis.hlines(place, least, most, color="black", lw=1.5)
        beyond, ha = (max(most, 1), "left") if middle >= 1 else (min(least, 1), "right")
        axis.text(beyond, place, f" {middle:.3g} ", ha=ha, va="center", fontsize="small")
    names = [f"{what}  |  {against}" for what, against in bars.index]
    axis.set_yticks(range(len(bars)), names, fontsize="small")
    limits = min(0.5, bars["min"].min() / 2), max(2, bars["max"].max() * 2)
    axis.set(xscale="log", xlim=limits, ylim=(len(bars) - 0.4, -0.6))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlabel("their time over ours (logarithmic): right of 1 ours is faster")
    return figure
