"""Figures of trainings side by side: step by step, and epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stnlib.book.figures.style import (
    PALETTE,
    label_line,
    spread_labels,
)

__all__ = ["paces", "steps"]

_TRACED = {"coverage": "coverage", "step": "step of θ", "phi": "‖φ‖₁", "accuracy": "batch accuracy"}


def steps(traces: Mapping[str, pd.DataFrame], label: str = "step") -> Figure:
    """What transformers do from step to step.

    Parameters
    ----------
    traces : Mapping[str, pd.DataFrame]
        By the training's name, of `stnlib.diagnostics.Trace.to_frame`.
    label : str
        What their index counts.

    Returns
    -------
    Figure
        A panel a quantity, a line a training.
    """
    figure, axes = plt.subplots(1, len(_TRACED), figsize=(10.5, 2.7), sharex=True)
    for axis, (column, title) in zip(axes, _TRACED.items(), strict=True):
        for i, (name, trace) in enumerate(traces.items()):
            axis.plot(trace.index, trace[column], color=("black", *PALETTE)[i], lw=1.3, label=name)
        axis.set(title=title, xlabel=label)
        if column in ("step", "phi"):
            axis.set_yscale("log")
        else:
            axis.set_ylim(-0.03, 1.03)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside upper center")
    return figure


def paces(histories: pd.DataFrame, goal: float, colors: Mapping[str, str]) -> Figure:
    """Validation accuracy over epochs, a line a run, with the epoch in which it reaches a goal.

    Where a network has several runs, they are thin, and their mean is thick.

    Parameters
    ----------
    histories : pd.DataFrame
        A row a run and epoch: `network`, `seed`, `epoch`, `val_accuracy`.
    goal : float
        Accuracy; runs that never reach it have no mark.
    colors : Mapping[str, str]
        By network.

    Returns
    -------
    Figure
        One panel.
    """
    figure, axis = plt.subplots(figsize=(7.5, 4))
    axis.axhline(goal, color="0.75", lw=1, zorder=0)
    ends = []
    for network, runs in histories.groupby("network", sort=False):
        color, several = colors[network], runs["seed"].nunique() > 1
        width = 0.7 if several else 1.8
        for _, run in runs.groupby("seed"):
            axis.plot(run["epoch"], run["val_accuracy"], color=color, lw=width, alpha=0.8)
            reached = run[run["val_accuracy"] >= goal]["epoch"]
            if len(reached):
                axis.plot(reached.iloc[0], goal, "o", color=color, ms=6)
        mean = runs.groupby("epoch")["val_accuracy"].mean()
        if several:
            axis.plot(mean.index, mean, color=color, lw=1.8)
        ends.append((mean.index[-1], mean.iloc[-1], network, color))
    spread_labels(axis, ends, gap=0.05)
    label_line(axis, 0, goal, f"{goal:.2f}", "0.4", dx=0, dy=7)
    axis.set(xlabel="epoch", ylabel="validation accuracy")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
