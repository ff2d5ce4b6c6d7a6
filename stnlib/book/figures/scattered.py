"""Figure of when a transformer pays: more and more to undo, with and without one."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.rows import WIDTH
from stnlib.book.figures.style import COLORS, PALETTE, draw_undone, spread_labels

__all__ = ["payoff"]

_NETWORKS = {"oracle": "oracle", "stn": "transformer", "baseline": "no transformer"}
_UNDONE = {"undone_shift": "shift", "undone_scale": "size", "undone_rotation": "rotation"}


def payoff(runs: pd.DataFrame) -> Figure:
    """Accuracy against the strength of the distortion, and what the transformer undoes of it.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `model` (`oracle`, `stn`, `baseline`), `distortion`, `test_accuracy`, and for
        transformers `undone_shift`, `undone_scale` and `undone_rotation`: slopes, 1 where all is
        undone, nan where there is nothing to undo.

    Returns
    -------
    Figure
        Two panels, the second below the first; how many runs of each network there are stands
        between them.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(WIDTH, 6.2), sharex=True)
    ends = []
    for model, name in _NETWORKS.items():
        part = runs[runs["model"] == model]
        ends += _line(above, part, "test_accuracy", name, COLORS[model])
    spread_labels(above, ends)
    above.set_ylabel("test accuracy", fontsize=11)
    sizes = runs.groupby(["distortion", "model"]).size().groupby("distortion").min()
    for strength, n in sizes.items():
        text = f"n = {n}" if strength == sizes.index[0] else f"{n}"
        below.annotate(text, (strength, 1.03), xycoords=("data", "axes fraction"), ha="center")
    draw_undone(below, 0)
    transformers, ends = runs[runs["model"] == "stn"], []
    for color, (column, name) in zip(PALETTE[3:], _UNDONE.items(), strict=False):
        ends += _line(below, transformers.dropna(subset=column), column, name, color)
    spread_labels(below, ends, gap=0.09)
    below.set_xlabel("strength of the scattering", fontsize=11)
    for axis in (above, below):
        axis.tick_params(labelsize=10)
    return figure


def _line(axis: Axes, runs: pd.DataFrame, column: str, name: str, color: Any) -> list[tuple]:
    """Draw a dot a run and a line through the means, if there are any; return its end's label."""
    if runs.empty:
        return []
    means = runs.groupby("distortion")[column].mean()
    axis.plot(runs["distortion"], runs[column], "o", color=color, ms=4, alpha=0.6, mew=0)
    axis.plot(means.index, means, color=color, lw=1.6)
    return [(means.index[-1], means.iloc[-1], name, color)]
