"""Figure of when a transformer pays: more and more to undo, with and without one."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.style import COLORS, PALETTE, label_line, spread_labels

__all__ = ["payoff"]

_NETWORKS = {"oracle": "oracle", "stn": "transformer", "baseline": "no transformer"}
_UNDONE = {"undone_shift": "shift", "undone_scale": "size", "undone_rotation": "rotation"}


def payoff(runs: pd.DataFrame) -> Figure:
    """Accuracy against the strength of the distortion, and what the transformer undoes of it.

    Parameters
    ----------
    runs : columns `model` (`oracle`, `stn`, `baseline`), `distortion`, `test_accuracy`, and for
        transformers `undone_shift`, `undone_scale` and `undone_rotation`: slopes, 1 where all is
        undone, nan where there is nothing to undo. A row a run.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 3.6))
    ends = []
    for model, name in _NETWORKS.items():
        part = runs[runs["model"] == model]
        if len(part):
            ends.append(
                (*_line(axes[0], part, "test_accuracy", COLORS[model]), name, COLORS[model])
            )
    spread_labels(axes[0], ends)
    axes[0].set(ylabel="test accuracy")
    transformers, ends = runs[runs["model"] == "stn"], []
    for height, text in ((0, "ignored"), (1, "undone")):
        axes[1].axhline(height, color="0.8", lw=1, zorder=0)
        label_line(axes[1], 0, height, text, "0.5", dx=0, dy=6)
    for color, (column, name) in zip(PALETTE, _UNDONE.items(), strict=False):
        part = transformers.dropna(subset=column)
        if len(part):
            ends.append((*_line(axes[1], part, column, color), name, color))
    spread_labels(axes[1], ends, gap=0.09)
    axes[1].set(ylabel="share undone", xlim=axes[0].get_xlim())
    for axis in axes:
        axis.set_xlabel("strength of the distortion")
    return figure


def _line(axis: Axes, runs: pd.DataFrame, column: str, color) -> tuple[float, float]:
    """A dot a run and a line through the means; returns where the line ends."""
    means = runs.groupby("distortion")[column].mean()
    axis.plot(runs["distortion"], runs[column], "o", color=color, ms=4, alpha=0.6, mew=0)
    axis.plot(means.index, means, color=color, lw=1.6)
    return float(means.index[-1]), float(means.iloc[-1])
