"""Figures of why transformers are lost, and of what foretells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator
from torch import Tensor

from stnlib.book.figures.rows import WIDTH, draw_runs, explain
from stnlib.book.figures.style import BLUE, GREEN, GREY, RED, STATES, show_image
from stnlib.book.stats import tally

__all__ = [
    "branches",
    "fan",
    "foresight",
    "goodbye",
    "leads",
    "outcome_map",
    "reach",
]

SMALL = 9.5  # points; legible where the book's column is as narrow as a phone


def goodbye(
    image: Tensor, grids: Sequence[Tensor], outputs: Tensor, steps: Sequence[int]
) -> Figure:
    """Views of several images at some steps, and what one of them shows.

    Each panel is as wide as its views need, so that none leaves it; how many images that is stands
    below it.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    image : Tensor
        (1, H, W) in [0, 1].
    grids : Sequence[Tensor]
        One a step, (N, h, w, 2), normalised; the first view is the one of `image`.
    outputs : Tensor
        What it shows, (steps, 1, h, w) in [0, 1].
    steps : Sequence[int]
        Their numbers.

    Returns
    -------
    Figure
        A column a step.
    """
    size = (WIDTH, 2 * WIDTH / len(steps) + 0.5)
    figure, axes = plt.subplots(2, len(steps), figsize=size, squeeze=False)
    for axis, below, grid, output, step in zip(*axes, grids, outputs, steps, strict=True):
        show_image(axis, image)
        axis.images[0].set_extent((-1, 1, 1, -1))
        corners = np.array([g[[0, 0, -1, -1, 0], [0, -1, -1, 0, 0]].numpy() for g in grid])
        for place, corner in enumerate(corners):
            axis.plot(*corner.T, color=RED if place == 0 else BLUE, lw=1.5 if place == 0 else 0.8)
        far = 1.08 * max(1, float(np.abs(corners).max()))
        axis.set(xlim=(-far, far), ylim=(far, -far), facecolor="0.93")
        axis.set_title(f"step {step}", fontsize=SMALL)
        axis.set_xlabel(f"{far:.0f} ×", fontsize=SMALL)
        show_image(below, output)
    for row, name in zip(axes, ("views", "output"), strict=True):
        row[0].set_ylabel(name, fontsize=SMALL)
    return figure


def fan(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Branches of one snapshot: coverage after it.

    Parameters
    ----------
    rows : Sequence[Mapping[str, Any]]
        Of an observation of `stnlib.book.autopsy.branches`: the training itself, of which the last
        150 steps before the snapshot are drawn, and then its branches.
    titles : Mapping[str, str]
        Of the panels, by the label of their change.

    Returns
    -------
    Figure
        A panel a change.
    """
    first, *others = rows
    figure, axes = plt.subplots(
        -(-len(titles) // 2), 2, figsize=(WIDTH, 4.8), sharex=True, sharey=True, squeeze=False
    )
    steps = first["begun"] + 1 + 5 * np.arange(len(first["course"])) - first["fork"]
    shown = steps >= -150
    for axis, (change, title) in zip(axes.flat, titles.items(), strict=False):
        axis.plot(steps[shown], np.array(first["course"])[shown], color="0.6", lw=1.2)
        for row in others:
            if row["change"] == change:
                x = 1 + 5 * np.arange(len(row["course"]))
                axis.plot(x, row["course"], color="black" if row["died"] else BLUE, lw=1.3)
                if row["died"]:
                    axis.plot(x[-1], row["course"][-1], "X", color="black", ms=7)
        axis.axvline(0, color="0.5", lw=1, ls=":")
        axis.set_title(title, fontsize=SMALL)
        axis.set_ylim(-0.03, None)
        axis.tick_params(labelsize=SMALL)
    for axis in axes[-1]:
        axis.set_xlabel("steps after the snapshot", fontsize=SMALL)
    for axis in axes[:, 0]:
        axis.set_ylabel("coverage", fontsize=SMALL)
    return figure


def branches(table: pd.DataFrame, effects: pd.DataFrame) -> Figure:
    """How many branches are lost, by the one thing that was changed, a mark a branch.

    Parameters
    ----------
    table : pd.DataFrame
        A row a branch: `id` ("none" for no change), `change` (the label) and `died`.
    effects : pd.DataFrame
        Of `stnlib.book.autopsy.contrasts.contrasts`.

    Returns
    -------
    Figure
        A row a change, with how many are lost; those that remain after the correction for the
        number of changes are green where fewer are lost than without a change, and red where more.
    """
    names = table.drop_duplicates("id").set_index("id")["change"].to_dict()
    names["none"] = "nothing"
    shares = table.groupby("id", sort=False)["died"].mean().sort_values(kind="stable")
    figure, axis = plt.subplots(figsize=(WIDTH, 0.2 * len(shares) + 0.8))
    most = table["id"].value_counts().max()
    for place, change in enumerate(shares.index):
        died = np.sort(table[table["id"] == change]["died"].to_numpy(bool))
        for end, marker, color in ((False, "o", BLUE), (True, "X", "black")):
            x = np.flatnonzero(died == end)
            axis.plot(x, np.full(len(x), place), marker, color=color, ms=6.5, mec="white", mew=0.5)
        axis.text(most + 0.3, place, f"{died.sum()} of {len(died)}", va="center", fontsize=SMALL)
    axis.set_yticks(range(len(shares)), [names[change] for change in shares.index])
    for label, change in zip(axis.get_yticklabels(), shares.index, strict=True):
        label.set(fontsize=SMALL, color=_verdict(effects, change))
        label.set_fontweight("bold" if change == "none" else "normal")
    axis.set(xlim=(-0.7, most), ylim=(len(shares) - 0.4, -0.6), xticks=[])
    axis.tick_params(axis="y", length=0)
    axis.spines[["left", "bottom"]].set_visible(False)
    for marker, color, said in (("o", BLUE, "still on the image"), ("X", "black", "lost")):
        axis.plot([], [], marker, color=color, label=said)
    figure.legend(ncols=2, loc="outside upper center", fontsize=SMALL, handletextpad=0.1)
    return figure


def _verdict(effects: pd.DataFrame, change: str) -> Any:
    if change == "none" or effects["holm"][change] >= 0.05:
        return "black"
    return GREEN if effects["difference"][change] < 0 else RED


def outcome_map(table: pd.DataFrame) -> Figure:
    """What became of runs: learning rate across, localisation network's factor down, a mark a run.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `lr`, `loc_lr_factor` (nan without a transformer), `outcome`.

    Returns
    -------
    Figure
        One panel.
    """
    table = table.assign(row=table["loc_lr_factor"].fillna(-1))  # -1: no transformer, the last row
    rates, factors = sorted(table["lr"].unique()), sorted(table["row"].unique(), reverse=True)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.55 * len(factors) + 1.2))
    for (factor, lr), states in table.groupby(["row", "lr"])["outcome"]:
        alike = pd.Series(sorted(states, key=list(STATES).index))
        i = np.arange(len(alike))
        x, y = 5 * rates.index(lr) + i % 4, 4 * factors.index(factor) + i // 4
        draw_runs(axis, x, y, alike, ms=6)
    axis.set_xticks([5 * i + 1.5 for i in range(len(rates))], [f"{lr:g}" for lr in rates])
    names = ["no\ntransformer" if f < 0 else f"× {f:g}" for f in factors]
    axis.set_yticks([4 * i + 1 for i in range(len(factors))], names)
    axis.set(xlim=(-1, 5 * len(rates) - 1), ylim=(4 * len(factors) - 1, -1))
    axis.tick_params(length=0, labelsize=SMALL)
    axis.tick_params(axis="x", rotation=40)
    axis.set_xlabel("learning rate of the classifier", fontsize=SMALL)
    axis.set_ylabel("localisation network's factor", fontsize=SMALL)
    explain(figure, table["outcome"])
    return figure


def reach(table: pd.DataFrame) -> Figure:
    """What became of runs over σ at the first step, a row a rate of the classifier's.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `lr`, `outcome` and `reach`, which is σ.

    Returns
    -------
    Figure
        One panel.
    """
    rates = sorted(table["lr"].unique(), reverse=True)
    figure, axis = plt.subplots(figsize=(WIDTH, 0.33 * len(rates) + 1.2))
    for place, lr in enumerate(rates):
        runs = table[table["lr"] == lr].sort_values("reach")
        apart = place + np.linspace(-0.28, 0.28, 5)[np.arange(len(runs)) % 5]
        draw_runs(axis, runs["reach"], apart, runs["outcome"], ms=6)
        axis.axhline(place + 0.5, color="0.9", lw=0.8)
        note = f"n = {len(runs)}"
        axis.annotate(note, (1.01, place), xycoords=("axes fraction", "data"), fontsize=SMALL,
                      va="center")  # fmt: skip
    axis.set_xscale("log")
    ticks = [x for x in (0.005, 0.01, 0.02, 0.04, 0.08) if x > 0.8 * table["reach"].min()]
    axis.xaxis.set_major_locator(plt.FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_yticks(range(len(rates)), [f"{lr:g}" for lr in rates])
    axis.set(ylim=(len(rates) - 0.5, -0.5))
    axis.tick_params(labelsize=SMALL)
    axis.set_xlabel("σ at the first step, half image sides", fontsize=SMALL)
    axis.set_ylabel("learning rate of the classifier", fontsize=SMALL)
    explain(figure, table["outcome"])
    return figure


def foresight(forecasts: Mapping[str, pd.DataFrame]) -> Figure:
    """How well forecasts tell which runs will be lost, by how long before the onset.

    Parameters
    ----------
    forecasts : Mapping[str, pd.DataFrame]
        By name; a row a lead in steps (the index), from the longest to the shortest: balanced
        accuracy `judged`, its 95 % interval from `low` to `high`, and the shares `dying` and
        `living` behind it.

    Returns
    -------
    Figure
        A line a forecast, from left to right in time.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    colors = (GREY, BLUE, "black")
    for i, ((name, table), color) in enumerate(zip(forecasts.items(), colors, strict=False)):
        told = table[["judged", "low", "high"]].astype(float)
        x = -told.index.to_numpy() + 0.16 * (i - 1)
        axis.vlines(x, told["low"], told["high"], color=color, lw=1.2, alpha=0.6)
        axis.plot(x, told["judged"], "o-", color=color, ms=4, lw=1.5)
        axis.annotate(name, (x[-1], told["judged"].iloc[-1]), (9, -3), color=color, fontsize=SMALL,
                      textcoords="offset points", annotation_clip=False)  # fmt: skip
    for lead in (table.index[0], table.index[len(table) // 2], table.index[-1]):
        n = table["dying"][lead].n, table["living"][lead].n
        side = "left" if lead == table.index[0] else "center"  # off the axis
        axis.text(-lead, 0.02, f"n = {n[0]} + {n[1]}", ha=side, fontsize=SMALL)
    axis.axhline(0.5, color="0.6", lw=1, ls=":")
    axis.set(ylim=(0, 1.03), xticks=[-lead for lead in table.index if lead % 2 == 0] + [-1])
    axis.tick_params(labelsize=SMALL)
    axis.set_xlabel("steps from the onset", fontsize=SMALL)
    axis.set_ylabel("balanced accuracy", fontsize=SMALL)
    return figure


LEADS = (0, 1, 2, 3, 10, 100, np.inf)  # steps; the last of each bin


def leads(lead: pd.Series) -> Figure:
    """How long before the onset a warning comes, a mark a lost transformer.

    Parameters
    ----------
    lead : pd.Series
        Steps, 0 where it was not warned of before.

    Returns
    -------
    Figure
        One panel.
    """
    names = ["not before", "1 step", "2", "3", "4 to 10", "11 to 100", "more"]
    bins = np.searchsorted(LEADS, lead.to_numpy())
    figure, axis = plt.subplots(figsize=(WIDTH, 3.0))
    for place in range(len(LEADS)):
        i = np.arange((bins == place).sum())
        color = "black" if place == 0 else BLUE
        x = place + 0.14 * (i % 5 - 2)
        axis.plot(x, i // 5, "X" if place == 0 else "o", color=color, ms=5.5, mec="white", mew=0.4)
        axis.text(place, len(i) / 5 + 0.6, str(len(i)), ha="center", fontsize=SMALL)
    axis.set_xticks(range(len(names)), names, rotation=30)
    axis.set(yticks=[], ylim=(-0.7, np.bincount(bins).max() / 5 + 1.6))
    axis.spines["left"].set_visible(False)
    axis.tick_params(labelsize=SMALL)
    share = tally(lead > 0)
    title = f"warned before the onset: {share.k} of {share.n}"
    axis.set_title(title, fontsize=SMALL)
    return figure
