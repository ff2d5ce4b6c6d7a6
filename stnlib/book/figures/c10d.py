"""Figures of the CIFAR-10 chapter."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from stnlib.book.figures.style import COLORS, PALETTE, image_grid, spread_labels
from stnlib.data.sets import DataSet
from stnlib.diagnostics import footprint
from stnlib.transforms import family

__all__ = ["courses", "examples", "footprints", "transformer_courses", "undoing"]

NAMES = {"baseline": "baseline", "clipped": "STN, clipped sampler", "bilinear": "STN, correct"}
TITLES = {"c10": "C10", "c10d": "C10D", "shapes10": "Shapes-10", "shapes10d": "Shapes-10-D"}


def examples(sets: Sequence[DataSet], count: int = 10) -> Figure:
    """The first test images of data sets, named by the set that they are of.

    Parameters
    ----------
    sets : Sequence[DataSet]
        Of the same objects in the same order.
    count : int
        Images of each.

    Returns
    -------
    Figure
        A row a data set.
    """
    first = sets[0]
    titles = [first.classes[label] for label in first.test.labels[:count]]
    rows = [data.test.images[:count] for data in sets]
    return image_grid(rows, [TITLES[data.name] for data in sets], titles, size=1.0)


def courses(histories: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Accuracy over epochs: the paper's Figure 5, its runs among ours.

    Parameters
    ----------
    histories : pd.DataFrame
        A row a run and epoch: `data`, `network` (`baseline`, `clipped`, `bilinear`), `seed`,
        `epoch`, `train_accuracy`, `val_accuracy`.
    paper : pd.DataFrame
        `data`, `model`, `epoch` and the two accuracies; one run a model.

    Returns
    -------
    Figure
        A row a data set.
    """
    sets = list(dict.fromkeys(histories["data"]))
    figure, axes = plt.subplots(
        len(sets), 2, figsize=(10, 3.6 * len(sets)), sharey=True, sharex=True, squeeze=False
    )
    for row, data in zip(axes, sets, strict=True):
        ours, theirs = (table[table["data"] == data] for table in (histories, paper))
        for axis, what, name in zip(row, ("train", "val"), ("training", "validation"), strict=True):
            axis.set(title=f"{TITLES[data]}, {name}", xlabel="epoch", ylabel="accuracy")
            axis.set_ylim(0, 1)
            _runs(axis, ours, f"{what}_accuracy", label=what == "val")
            for model, run in theirs.groupby("model"):
                marker = {"baseline": "o--", "stn": "X--"}[model]
                look = {"color": COLORS["truth"], "ms": 4, "lw": 0.8, "alpha": 0.7}
                axis.plot(run["epoch"], run[f"{what}_accuracy"], marker, **look)
    axes[0, 0].plot([], [], "-", color="0.3", label="ours, a line a run")
    axes[0, 0].plot([], [], "o--", color="0.3", ms=4, lw=1, label="the paper: baseline")
    axes[0, 0].plot([], [], "X--", color="0.3", ms=5, lw=1, label="the paper: STN")
    axes[0, 0].legend(loc="center right", fontsize="small")
    return figure


def _runs(
    axis: Axes, table: pd.DataFrame, column: str, label: bool = False, gap: float = 0.07
) -> None:
    """One line a run, in its network's colour; each network named at the end of its first run."""
    ends, longest = [], table["epoch"].max()
    for network, runs in table.groupby("network", sort=False):
        color = COLORS[network]
        for _, run in runs.groupby("seed"):
            axis.plot(run["epoch"], run[column], color=color, lw=1.5, alpha=0.8)
            if run["epoch"].max() < longest:  # it ended before the others: say where
                axis.plot(run["epoch"].iloc[-1], run[column].iloc[-1], "s", color=color)
        last = runs[runs["seed"] == runs["seed"].min()].iloc[-1]
        early = last["epoch"] < longest  # then other curves may go on beside it
        ends.append((last["epoch"], last[column] + 0.07 * early, NAMES[network], color))
    if label:
        spread_labels(axis, ends, gap)


QUANTITIES = {
    "val_accuracy": "validation\naccuracy",
    "coverage": "coverage",
    "object_coverage": "object\ncoverage",
    "black": "share of\nblack outputs",
    "theta_error": "error of θ,\npixels",
}


def transformer_courses(histories: pd.DataFrame, x: str = "epoch") -> Figure:
    """What becomes of transformers.

    Parameters
    ----------
    histories : pd.DataFrame
        A row a run and epoch: `network`, `seed`, `epoch` and those of `QUANTITIES`, nan where a
        quantity is not known.
    x : str
        What `epoch` counts, for the axis.

    Returns
    -------
    Figure
        A panel a quantity.
    """
    names = [name for name in QUANTITIES if name in histories and histories[name].notna().any()]
    figure, axes = plt.subplots(len(names), 1, figsize=(7.5, 1.7 * len(names)), sharex=True)
    for axis, name in zip(axes, names, strict=True):
        axis.set(ylabel=QUANTITIES[name], ylim=(-0.04, 1.04))
        _runs(axis, histories, name, label=name == names[0], gap=0.14)  # the panels are low
        if name == "theta_error":  # a few pixels, or thousands where a view has gone
            most = histories[name].max()
            far = {"yscale": "log", "ylim": (1, 2 * most)}
            axis.set(**(far if most > 100 else {"ylim": (0, 1.1 * most)}))
    axes[-1].set_xlabel(x)
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


UNDONE = {"shift": "shift undone", "undone_rotation": "rotation undone"}


def undoing(histories: pd.DataFrame) -> Figure:
    """How much of a distortion θ undoes, epoch by epoch.

    Parameters
    ----------
    histories : pd.DataFrame
        A row a run and epoch: `lr`, `seed`, `epoch`, `shift` and `undone_rotation`, slopes of what
        θ does against what it should do, 1 where all is undone.

    Returns
    -------
    Figure
        A panel for the shift, and one for the rotation.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharex=True, sharey=True)
    for axis, (column, title) in zip(axes, UNDONE.items(), strict=True):
        axis.axhline(1, color="0.8", lw=1)
        axis.set(title=title, xlabel="epoch", ylim=(-0.1, 1.55))
        ends = []
        for (rate, runs), color in zip(histories.groupby("lr"), PALETTE, strict=False):
            for _, run in runs.groupby("seed"):
                axis.plot(run["epoch"], run[column], "o-", ms=3, lw=1.5, color=color)
            ends.append((run["epoch"].iloc[-1], run[column].iloc[-1], f"rate {rate:g}", color))
        spread_labels(axis, ends, 0.1)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("slope against the truth")
    return figure


REACH = 5  # how far a panel of `footprints` shows around the input, which is from -1 to 1


def footprints(thetas: Sequence[Tensor], titles: Sequence[str]) -> Figure:
    """Where transformers look: the outline of each image's view.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    thetas : Sequence[Tensor]
        (N, 6) float, affine, one an epoch.
    titles : Sequence[str]
        One a panel.

    Returns
    -------
    Figure
        A panel an epoch.
    """
    columns = min(len(thetas), 5)
    rows = -(-len(thetas) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2 * columns, 2.25 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, theta, title in zip(axes.flat, thetas, titles, strict=False):
        axis.fill([-1, 1, 1, -1], [-1, -1, 1, 1], color="0.88")
        outlines = footprint(family("affine").grid(theta.double(), (2, 2))).numpy()
        axis.set_prop_cycle(color=plt.get_cmap("cividis")(np.linspace(0, 0.9, len(outlines))))
        axis.plot(outlines[..., 0].T, outlines[..., 1].T, lw=1)
        beyond = (np.abs(outlines).max(2).min(1) > REACH).sum()
        if beyond:
            axis.text(0, REACH, f"{beyond} off the page", ha="center", va="top", fontsize="small")
        axis.set(xlim=(-REACH, REACH), ylim=(REACH, -REACH), aspect="equal")
        axis.set_title(title, fontsize="small")
    return figure
