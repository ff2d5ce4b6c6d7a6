"""Figures of learning rates: when they fall, where transformers look, and how much they move."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.rows import WIDTH, draw_runs, explain
from stnlib.book.figures.style import BLUE, ORANGE, PURPLE, STATES, label_line
from stnlib.optim import schedule
from stnlib.records.outcome import BLIND, IDLE

__all__ = ["accuracy", "ahead", "courses", "moving", "window"]

_COURSES = {  # by name: course and warm-up as of `schedule`, colour, where the name stands
    "step decay": ("step", 0.0, ORANGE, (0.36, 0.17)),
    "cosine": ("cosine", 0.0, PURPLE, (0.17, 0.66)),
    "warm-up, cosine": ("cosine", 0.1, BLUE, (0.4, 0.82)),
}


def courses(lost: Sequence[float], steps: int) -> Figure:
    """Courses of the learning rate, and the steps at which transformers were lost.

    Parameters
    ----------
    lost : Sequence[float]
        A step a training.
    steps : int
        Of a whole training.

    Returns
    -------
    Figure
        One panel: a line a schedule, a cross a training.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 2.9))
    progress = np.linspace(0, 1, 500)
    for name, (kind, warmup, color, (x, y)) in _COURSES.items():
        factors = [schedule(kind, p, warmup) for p in progress]
        axis.plot(progress * steps, factors, color=color, lw=2)
        label_line(axis, x * steps, y, name, color, dx=0)
    axis.plot(lost, np.full(len(lost), 1.12), "|", color=STATES["black"], ms=13, mew=1.5)
    label_line(axis, max(lost), 1.12, f"steps at which {len(lost)} transformers were lost", "black")
    axis.set(xlabel="step", ylabel="share of the highest rate", ylim=(-0.03, 1.22))
    axis.set_xlim(-0.02 * steps, 1.02 * steps)
    _small(axis)
    return figure


def accuracy(runs: pd.DataFrame, alone: pd.DataFrame) -> Figure:
    """Validation accuracy against the learning rate.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `panel`, `lr`, `val_accuracy` and `outcome`.
    alone : pd.DataFrame
        The same of networks without a transformer, whose means are a line.

    Returns
    -------
    Figure
        A panel each, one below the other.
    """
    names = list(dict.fromkeys(runs["panel"]))
    figure, axes = plt.subplots(
        len(names), 1, figsize=(WIDTH, 1.0 * len(names) + 0.9), sharex=True, squeeze=False
    )
    for axis, name in zip(axes[:, 0], names, strict=True):
        part, means = (t[t["panel"] == name] for t in (runs, alone))
        means = means.groupby("lr")["val_accuracy"].mean()
        axis.plot(means.index, means, color="0.55", lw=1.5, zorder=1)
        sizes = part.groupby("lr").size()
        many = " or ".join(f"{n}" for n in sorted(sizes.unique(), reverse=True))
        axis.set_title(f"{name} (n = {many} a rate)", fontsize=10, loc="left")
        apart = 10 ** np.random.default_rng(0).uniform(-0.05, 0.05, len(part))
        draw_runs(axis, part["lr"] * apart, part["val_accuracy"], part["outcome"])
        axis.set(xscale="log", ylim=(0, 1.03), yticks=(0, 0.5, 1))
        _small(axis)
    first = axes[0, 0]
    label_line(first, 1e-4, 0.2, "line: no transformer", "0.4", dx=0)
    axes[-1, 0].set(xlabel="learning rate")
    axes[-1, 0].xaxis.set_major_formatter("{x:g}")
    axes[len(names) // 2, 0].set_ylabel("validation accuracy", fontsize=11)
    explain(figure, runs["outcome"])
    return figure


def window(runs: pd.DataFrame) -> Figure:
    """What became of transformers, by the rates of their two networks.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `classifier` and `localisation` (rates above 0), and `view` (one of `STATES`).

    Returns
    -------
    Figure
        One panel, both axes logarithmic; the runs of a pair of rates are a cluster.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 4.6))
    wide, step = 5, 0.07  # marks a line, and decades between two
    for (x, y), cell in runs.groupby(["localisation", "classifier"]):
        states = sorted(cell["view"], key=list(STATES).index)
        place = np.arange(len(states))
        across = x * 10 ** (step * (place % wide - (wide - 1) / 2))
        lines = -(-len(states) // wide)
        up = y * 10 ** (step / 1.9 * ((lines - 1) / 2 - place // wide))
        draw_runs(axis, across, up, pd.Series(states), ms=4.5, mew=0)
    axis.set(xscale="log", yscale="log")
    axis.set(xlabel="rate of the localisation network", ylabel="rate of the classifier")
    (left, right), (low, high) = axis.get_xlim(), axis.get_ylim()
    for share in (0.01, 0.1, 1, 10, 100):
        top = min(high, right / share)
        axis.plot([low * share, top * share], [low, top], color="0.88", lw=1, zorder=0)
        above = {"dx": -8, "dy": 9} if top == high else {"dx": 3}
        label_line(axis, top * share, top, f"× {share:g}", "0.4", **above)
    axis.set(xlim=(left, right), ylim=(low, high))
    _small(axis)
    explain(figure, runs["view"])
    return figure


def moving(courses: pd.DataFrame) -> Figure:
    """How much the view differs between images, over epochs.

    Parameters
    ----------
    courses : pd.DataFrame
        A row a run and epoch: `group`, `key`, `outcome` (at the end), `epoch` and `moves`, the
        corner spread in pixels.

    Returns
    -------
    Figure
        A panel a group, a line a run in the colour of its outcome.
    """
    groups = list(dict.fromkeys(courses["group"]))
    size = (WIDTH, 2.1 * -(-len(groups) // 2) + 0.7)
    figure, axes = plt.subplots(
        -(-len(groups) // 2), 2, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    least, most = BLIND / 10, courses["moves"].max()
    for axis, group in zip(axes.flat, groups, strict=False):
        runs = courses[courses["group"] == group]
        for _, run in runs.groupby("key"):
            moves, color = run["moves"].clip(lower=least), STATES[run["outcome"].iloc[-1]]
            axis.plot(run["epoch"], moves, color=color, lw=1.8)
        axis.set_title(f"{group}\nn = {runs['key'].nunique()}", fontsize=10, loc="left")
        axis.axhspan(least / 2, BLIND, color=STATES["blind"], alpha=0.12, lw=0)
        axis.axhspan(BLIND, IDLE, color=STATES["idle"], alpha=0.12, lw=0)
        axis.set(yscale="log", ylim=(least / 1.6, 1.6 * most))
        _small(axis)
    for axis in axes.flat[len(groups) :]:
        axis.axis("off")
    end = courses["epoch"].max()
    for height, name in ((BLIND, "blind"), (IDLE, "idle")):
        text = label_line(axes[0, 0], end, height, name, "0.35", dx=0, dy=-9)
        text.set(ha="right", fontsize=10)
    figure.supxlabel("epoch", fontsize=11)
    figure.supylabel("movement of the view (pixels)", fontsize=11)
    explain(figure, courses.groupby("key")["outcome"].last())
    return figure


def ahead(leads: pd.DataFrame) -> Figure:
    """How far networks with a transformer are ahead of those without, over epochs.

    Parameters
    ----------
    leads : pd.DataFrame
        Of `stnlib.book.rates.leads`.

    Returns
    -------
    Figure
        A panel for each length of training, a line a pair in the colour of its end.
    """
    lengths = sorted(leads["epochs"].unique())
    figure, axes = plt.subplots(1, len(lengths), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    for axis, length in zip(axes[0], lengths, strict=True):
        runs = leads[leads["epochs"] == length]
        axis.axhline(0, color="0.6", lw=1)
        for _, run in runs.groupby("key"):
            axis.plot(run["epoch"], run["lead"], color=STATES[run["outcome"].iloc[0]], lw=1.8)
        title = f"{length} epochs\nn = {runs['key'].nunique()} pairs"
        axis.set_title(title, fontsize=10, loc="left")
        axis.set(xlim=(0.5, length + 0.5))
        _small(axis)
    axes[0, 0].set_ylabel("validation accuracy,\nminus no transformer", fontsize=11)
    figure.supxlabel("epoch", fontsize=11)
    explain(figure, leads.groupby("key")["outcome"].first())
    return figure


def _small(axis: Axes) -> None:
    axis.tick_params(labelsize=10)
    axis.xaxis.label.set_size(11)
    axis.yaxis.label.set_size(11)
