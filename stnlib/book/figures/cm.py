"""Figures of the Cluttered MNIST chapter."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from stnlib.book.figures.style import COLORS, label_line
from stnlib.sampler import to_pixels

__all__ = [
    "accuracy_by_size",
    "accuracy_dots",
    "courses",
    "digit_places",
    "rotation_response",
    "translation_response",
]

WIDTH = 6.4  # inches: at 390 pixels of a phone, type of 10 points is 8 pixels high
NAMES = {
    "baseline": "baseline",
    "baseline_wide": "wider baseline",
    "stn_frozen": "STN, frozen",
    "stn": "STN",
}


def digit_places(positions: Tensor) -> Figure:
    """How often each column and each row has a digit's centre.

    Parameters
    ----------
    positions : Tensor
        (N, 2), normalised (x, y), ±1 the centres of the outermost of 40×40 pixels.

    Returns
    -------
    Figure
        Two panels.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.3), sharex=True, sharey=True)
    for axis, values, name in zip(axes, to_pixels(positions, 40).numpy().T, "xy", strict=True):
        places, share = np.unique(values, return_counts=True)
        axis.bar(places, share / len(values), color="0.4")
        axis.set(xlabel=f"{name} of the digit's centre (pixel)", ylim=(0, 1))
    axes[0].set_ylabel(f"share of {len(positions):,} images")
    return figure


def courses(histories: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Accuracy over epochs in training and validation, the paper's run beside ours.

    Parameters
    ----------
    histories, paper : pd.DataFrame
        `model`, `seed`, `epoch`, `train_accuracy`, `val_accuracy`; a row a run and epoch; of the
        paper one run a model, without a seed.

    Returns
    -------
    Figure
        Two panels, a line a run.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4), sharey=True, sharex=True)
    panels = {"training": "train_accuracy", "validation": "val_accuracy"}
    for axis, (title, column) in zip(axes, panels.items(), strict=True):
        for model in ("baseline", "stn"):
            ours, theirs = (table[table["model"] == model] for table in (histories, paper))
            color = COLORS[model]
            for _, run in ours.groupby("seed"):
                axis.plot(run["epoch"], run[column], color=color, lw=0.7, alpha=0.5)
            axis.plot(theirs["epoch"], theirs[column], "o", color=color, ms=4)
            if title == "validation":  # in training the curves end on one another
                end = ours.groupby("epoch")[column].mean()
                dy = 20 if model == "stn" else -24
                words = label_line(axis, end.index[-1], end.iloc[-1], NAMES[model], color, 0, dy)
                words.set_ha("right")
        axis.set(title=title, xlabel="epoch")
    n = histories["seed"].nunique()
    axes[0].plot([], [], "-", color="0.3", lw=0.7, label=f"ours, n = {n} each")
    axes[0].plot([], [], "o", color="0.3", ms=4, label="the paper, one each")
    axes[0].legend(loc="lower right", fontsize="small")
    axes[0].set_ylabel("accuracy")
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
    figure, axis = plt.subplots(figsize=(WIDTH, 0.68 * len(models) + 0.8))
    jitter = np.random.default_rng(0)  # the same at each drawing
    rows = []
    for i, model in enumerate(models):
        runs = table.loc[table["model"] == model, "test_accuracy"]
        axis.plot(runs, i + jitter.uniform(-0.1, 0.1, len(runs)), "o", ms=5, color=COLORS[model])
        mean = runs.mean()
        axis.plot([mean, mean], [i - 0.25, i + 0.25], color=COLORS[model], lw=2)
        if model in paper:
            axis.plot(paper[model], i + 0.35, "D", mfc="none", mec=COLORS["paper"], ms=6)
            label_line(axis, paper[model], i + 0.35, "the paper", COLORS["paper"], dx=7)
        rows.append(f"{NAMES[model]}\nn = {len(runs)}")
    axis.set(xlabel="test accuracy", ylim=(len(models) - 0.4, -0.5))
    axis.set_yticks(range(len(models)), rows)
    axis.tick_params(axis="y", length=0)
    return figure


def translation_response(positions: Tensor, thetas: Mapping[int, Tensor]) -> Figure:
    """Where the transformers look against where the digit is, along x and y.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    positions : Tensor
        (N, 2), normalised (x, y) of the digits' centres in 40×40 pixels.
    thetas : Mapping[int, Tensor]
        Seed → (N, 6), affine; its translation is where the output's centre is read.

    Returns
    -------
    Figure
        Two panels: the images of the first seed as dots, a fitted line a seed.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4), sharex=True, sharey=True)
    pixels, ends = 39 / 2, np.array([-8.0, 8.0])
    for axis, name, column, index in zip(axes, "xy", (0, 1), (2, 5), strict=True):
        where = pixels * positions[:, column].numpy()
        axis.plot(ends, ends, "--", color=COLORS["truth"], lw=1)
        jitter = np.random.default_rng(0).uniform(-0.35, 0.35, len(where))
        for k, theta in enumerate(thetas.values()):
            look = pixels * theta[:, index].numpy()
            if k == 0:
                axis.plot(where + jitter, look, ".", ms=2, alpha=0.3, color=COLORS["stn"])
            fit = np.polyval(np.polyfit(where, look, 1), ends)
            axis.plot(ends, fit, color=COLORS["stn"], lw=1, alpha=0.8)
        axis.set(xlabel=f"{name} of the digit's centre", title=name)
    label_line(axes[0], -8, 8, "dashed: on the digit\n(pixels from the middle)", "black", dx=0)
    label_line(axes[1], -8, 8, f"lines: n = {len(thetas)} seeds\ndots: one of them",
               COLORS["stn"], dx=0)  # fmt: skip
    axes[0].set_ylabel("centre of the view")
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
    figure, axis = plt.subplots(figsize=(WIDTH, 2.9))
    limit = table["degrees"].max()
    axis.plot([-limit, limit], [-limit, limit], "--", color="black", lw=1)
    at = (0.7 * limit, 0.7 * limit)
    axis.annotate("fully undone", at, (-6, 6), textcoords="offset points", ha="right")
    for _, run in table.groupby("seed"):
        axis.plot(run["degrees"], run["rotation"], color=COLORS["stn"], lw=1, alpha=0.7)
    middle = table.groupby("degrees")["rotation"].mean()
    label_line(axis, middle.index[-1], middle.iloc[-1], f"measured\nn = {table['seed'].nunique()}",
               COLORS["stn"])  # fmt: skip
    axis.set(xlabel="rotation of the digit, degrees", ylabel="mean rotation of θ, degrees")
    return figure


def accuracy_by_size(table: pd.DataFrame, target: float, needed: Mapping[str, float]) -> Figure:
    """Test accuracy against the number of training images, a dot a run.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `model`, `n_train`, `test_accuracy`.
    target : float
        Accuracy to mark.
    needed : Mapping[str, float]
        Images that each model needs for it.

    Returns
    -------
    Figure
        A line a model through its means, and an arrow between what the two need.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.3))
    for model, runs in table.groupby("model"):
        color = COLORS[model]
        axis.plot(runs["n_train"], runs["test_accuracy"], "o", color=color, ms=4, alpha=0.6)
        means = runs.groupby("n_train")["test_accuracy"].mean()
        axis.plot(means.index, means, color=color, lw=1.8)
        label_line(axis, means.index[-1], means.iloc[-1], NAMES[model], color, dx=8)
    axis.axhline(target, color="black", lw=0.8, ls=":")
    few, many = needed["stn"], needed["baseline"]
    axis.annotate(
        "",
        (few, target),
        (many, target),
        arrowprops={"arrowstyle": "->", "lw": 1.6, "color": "black"},
    )
    label_line(axis, few, target, f"{many / few:.1f} times fewer  ", "black", dx=0, dy=10).set_ha(
        "right"
    )
    sizes = sorted(table["n_train"].unique())
    n = table.groupby(["model", "n_train"]).size().max()
    axis.set(xscale="log", xlabel=f"training images (n = {n} runs each)", ylabel="test accuracy")
    axis.set_xticks(sizes, [f"{int(size):,}" for size in sizes])
    axis.minorticks_off()
    return figure
