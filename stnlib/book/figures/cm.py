"""Figures of the Cluttered MNIST chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor

from stnlib.book.figures.style import COLORS, label_line, show_image
from stnlib.sampler import to_pixels

__all__ = [
    "accuracy_by_size",
    "accuracy_dots",
    "courses",
    "digit_places",
    "pairs",
    "rotation_response",
    "translation_response",
]

NAMES = {
    "baseline": "baseline",
    "baseline_wide": "baseline, as many parameters as the STN",
    "stn": "STN",
    "stn_frozen": "STN, frozen at the identity",
}


def digit_places(positions: Tensor) -> Figure:
    """Where the digits' centres are: a map, and how often each row and column occurs.

    Parameters
    ----------
    positions : Tensor
        (N, 2), normalised (x, y), ±1 the centres of the outermost of 40×40 pixels.

    Returns
    -------
    Figure
        Three panels.
    """
    x, y = to_pixels(positions, 40).numpy().T
    figure, axes = plt.subplots(1, 3, figsize=(10, 3))
    counts, _, _ = np.histogram2d(y, x, bins=40, range=((-0.5, 39.5),) * 2)
    axes[0].imshow(counts, cmap="cividis")
    axes[0].set(xlabel="x of the digit's centre, pixels", ylabel="y, pixels")
    for axis, values, name in ((axes[1], x, "x"), (axes[2], y, "y")):
        places, share = np.unique(values, return_counts=True)
        axis.bar(places, share / len(values), color="0.4")
        axis.set(xlabel=f"{name} of the digit's centre, pixels", ylabel="share of images")
    axes[2].set(ylim=(0, 1))
    return figure


def courses(histories: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Accuracy over epochs in training and validation, the paper's run beside ours.

    Parameters
    ----------
    histories, paper : pd.DataFrame
        `model`, `epoch`, `train_accuracy`, `val_accuracy`; a row a run and epoch; of the paper one
        run a model.

    Returns
    -------
    Figure
        Two panels.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, sharex=True)
    panels = {"training": "train_accuracy", "validation": "val_accuracy"}
    for axis, (title, column) in zip(axes, panels.items(), strict=True):
        for model in ("baseline", "stn"):
            ours, theirs = (table[table["model"] == model] for table in (histories, paper))
            color = COLORS[model]
            sns.lineplot(ours, x="epoch", y=column, color=color, errorbar="sd", ax=axis)
            axis.plot(theirs["epoch"], theirs[column], "o--", color=color, ms=4, lw=1)
            if title == "validation":  # in training the curves end on one another
                end = ours.groupby("epoch")[column].mean()
                dy = 9 if model == "stn" else -9
                label_line(axis, end.index[-1], end.iloc[-1], NAMES[model], color, dy=dy)
        axis.set(title=title, xlabel="epoch", ylabel="accuracy")
    axes[0].plot([], [], "-", color="0.3", label="ours: mean and standard deviation")
    axes[0].plot([], [], "o--", color="0.3", ms=4, lw=1, label="the paper: one run")
    axes[0].legend(loc="lower right")
    return figure


def pairs(before: Tensor, after: Tensor, titles: Sequence[str]) -> Figure:
    """Images as they came and as the transformer handed them on, side by side.

    Parameters
    ----------
    before, after : Tensor
        (N, C, H, W) float in [0, 1].
    titles : Sequence[str]
        One a pair; `O.` (original) and `T.` (transformed) are added, as in the paper.

    Returns
    -------
    Figure
        Four pairs a row.
    """
    rows = -(-len(before) // 4)
    figure, axes = plt.subplots(rows, 8, figsize=(10, 1.45 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    shown = zip(axes.reshape(-1, 2), before, after, titles, strict=False)
    for (left, right), original, transformed, title in shown:
        show_image(left, original, f"{title} O.")
        show_image(right, transformed, f"{title} T.")
    return figure


def accuracy_dots(table: pd.DataFrame, paper: Mapping[str, float]) -> Figure:
    """Test accuracy of every run, by model, with the mean.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `model`, `test_accuracy`.
    paper : Mapping[str, float]
        The paper's accuracy by model, drawn where there is one.

    Returns
    -------
    Figure
        A row of dots a model.
    """
    models = [name for name in NAMES if name in set(table["model"])]
    figure, axis = plt.subplots(figsize=(8, 0.75 * len(models) + 0.8))
    jitter = np.random.default_rng(0)  # the same at each drawing
    for i, model in enumerate(models):
        runs = table.loc[table["model"] == model, "test_accuracy"]
        axis.plot(runs, i + jitter.uniform(-0.1, 0.1, len(runs)), "o", ms=5, color=COLORS[model])
        mean = runs.mean()
        axis.plot([mean, mean], [i - 0.3, i + 0.3], color=COLORS[model], lw=2)
        if model in paper:
            axis.plot(paper[model], i, "D", mfc="none", mec="black", ms=7)
            axis.annotate("the paper", (paper[model], i), (0, 11), textcoords="offset points",
                          ha="center")  # fmt: skip
    axis.set(xlabel="test accuracy", ylim=(len(models) - 0.5, -0.5))
    axis.set_yticks(range(len(models)), [NAMES[model] for model in models])
    return figure


def translation_response(positions: Tensor, theta: Tensor) -> Figure:
    """Where the transformer looks against where the digit is, along x and y.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    positions : Tensor
        (N, 2), normalised (x, y) of the digits' centres.
    theta : Tensor
        (N, 6), affine; its translation is where the output's centre is read.

    Returns
    -------
    Figure
        Two panels.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 4))
    for axis, name, column, index in zip(axes, "xy", (0, 1), (2, 5), strict=True):
        where, look = positions[:, column].numpy(), theta[:, index].numpy()
        axis.plot([-0.5, 0.5], [-0.5, 0.5], "--", color="black", lw=1)
        axis.annotate("on the digit", (0.3, 0.37), rotation=38, ha="center", fontsize="small")
        jitter = np.random.default_rng(0).uniform(-0.012, 0.012, len(where))
        axis.plot(where + jitter, look, ".", ms=3, alpha=0.4, color=COLORS["stn"])
        axis.set(xlabel=f"{name} of the digit's centre", ylabel=f"{name} of the view's centre")
        axis.set(xlim=(-0.5, 0.5), ylim=(-0.6, 0.6))
    return figure


def rotation_response(table: pd.DataFrame) -> Figure:
    """Rotation of θ against the rotation of the digit, one line a seed.

    Parameters
    ----------
    table : pd.DataFrame
        `seed`, `degrees` (of the digit), `rotation` (of θ, mean over images); a row a seed and
        angle.

    Returns
    -------
    Figure
        One panel.
    """
    figure, axis = plt.subplots(figsize=(6, 4))
    limit = table["degrees"].max()
    axis.plot([-limit, limit], [-limit, limit], "--", color="black", lw=1)
    at = (0.7 * limit, 0.7 * limit)
    axis.annotate("undone", at, (-6, 6), textcoords="offset points", ha="right")
    for _, run in table.groupby("seed"):
        axis.plot(run["degrees"], run["rotation"], color=COLORS["stn"], lw=1, alpha=0.7)
    middle = table.groupby("degrees")["rotation"].mean()
    label_line(axis, middle.index[-1], middle.iloc[-1], "measured", COLORS["stn"])
    axis.set(xlabel="rotation of the digit, degrees", ylabel="mean rotation of θ, degrees")
    return figure


def accuracy_by_size(table: pd.DataFrame, target: float) -> Figure:
    """Test accuracy against the number of training images.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `model`, `n_train`, `test_accuracy`.
    target : float
        Accuracy to mark.

    Returns
    -------
    Figure
        A line a model.
    """
    figure, axis = plt.subplots(figsize=(8, 4))
    for model, runs in table.groupby("model"):
        color = COLORS[model]
        sns.lineplot(
            runs, x="n_train", y="test_accuracy", marker="o", color=color, errorbar="sd", ax=axis
        )
        means = runs.groupby("n_train")["test_accuracy"].mean()
        label_line(axis, means.index[-1], means.iloc[-1], NAMES[model], color, dx=8)
    axis.axhline(target, color="black", lw=0.8, ls=":")
    sizes = sorted(table["n_train"].unique())
    axis.set(xscale="log", xlabel="training images", ylabel="test accuracy")
    axis.set_xticks(sizes, [f"{int(n):,}" for n in sizes])
    axis.minorticks_off()
    return figure
