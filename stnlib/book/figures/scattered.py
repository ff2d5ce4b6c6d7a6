"""Figure of when a transformer pays: more and more to undo, with and without one."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
        Two panels.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.6))
    ends = []
    for model, name in _NETWORKS.items():
        part = runs[runs["model"] == model]
        ends += _line(left, part, "test_accuracy", name, COLORS[model])
    spread_labels(left, ends)
    left.set(ylabel="test accuracy", xlabel="strength of the distortion")
    draw_undone(right, 0)
    transformers, ends = runs[runs["model"] == "stn"], []
    for color, (column, name) in zip(PALETTE, _UNDONE.items(), strict=False):
        ends += _line(right, transformers.dropna(subset=column), column, name, color)
    spread_labels(right, ends, gap=0.09)
    right.set(xlim=left.get_xlim(), xlabel="strength of the distortion")
    return figure


def _line(axis: Axes, runs: pd.DataFrame, column: str, name: str, color: Any) -> list[tuple]:
    """Draw a dot a run and a line through the means, if there are any; return its end's label."""
    if runs.empty:
        return []
    means = runs.groupby("distortion")[column].mean()
    axis.plot(runs["distortion"], runs[column], "o", color=color, ms=4, alpha=0.6, mew=0)
    axis.plot(means.index, means, color=color, lw=1.6)
    return [(means.index[-1], means.iloc[-1], name, color)]
