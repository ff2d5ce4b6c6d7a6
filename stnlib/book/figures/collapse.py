"""Figures of the chapter on the collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.style import BLUE, COLORS, STATES
from stnlib.book.stats import tally
from stnlib.records.outcome import LIVING

__all__ = [
    "death_rates",
    "draw_states",
    "fan",
    "foresight",
    "one_curve",
    "outcome_map",
    "samplers",
]


def draw_states(
    axis: Axes, place: float, states: pd.Series, left: float = 0, width: float = 1, **look: Any
) -> None:
    """Draw what became of runs as parts of a bar.

    Parameters
    ----------
    axis : Axes
        The panel.
    place : float
        Height of the bar's middle.
    states : pd.Series
        One of `STATES` a run.
    left, width : float
        Where the bar begins, and how long all of it is.
    **look : Any
        Of the parts, for `Axes.barh`.
    """
    for state, color in STATES.items():
        share = (states == state).mean() * width
        axis.barh(place, share, left=left, color=color, **look)
        left += share


def fan(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Figure:
    """Branches of one snapshot: coverage on the way to death.

    What is drawn calls them forks, as the chapter's stored outputs do.

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
    first, *branches = rows
    figure, axes = plt.subplots(
        2, -(-len(titles) // 2), figsize=(9, 5), sharex=True, sharey=True, squeeze=False
    )
    steps = first["begun"] + 1 + 5 * np.arange(len(first["course"])) - first["fork"]
    shown = steps >= -150
    for axis, (change, title) in zip(axes.flat, titles.items(), strict=False):
        axis.plot(steps[shown], np.array(first["course"])[shown], color="0.6", lw=1.2)
        for row in branches:
            if row["change"] == change:
                x = 1 + 5 * np.arange(len(row["course"]))
                axis.plot(x, row["course"], color="black" if row["died"] else BLUE, lw=1.3)
                if row["died"]:
                    axis.plot(x[-1], row["course"][-1], "X", color="black", ms=7)
        axis.axvline(0, color="0.5", lw=1, ls=":")
        axis.set(title=title, ylim=(-0.03, 0.8))
    for axis in axes[-1]:
        axis.set_xlabel("steps after the fork")
    for axis in axes[:, 0]:
        axis.set_ylabel("coverage")
    return figure


def death_rates(
    tables: Mapping[str, pd.DataFrame], label: str = "share of forks that die"
) -> Figure:
    """Share of runs that died, by change, with 95 % intervals; the band is that of no change.

    Parameters
    ----------
    tables : Mapping[str, pd.DataFrame]
        By title; a row a run: `id` ("none" for no change), `change` (the label) and `died`. The
        first one's shares set the order of the changes.
    label : str
        Of the axis.

    Returns
    -------
    Figure
        A panel a table.
    """
    first = next(iter(tables.values()))
    names = {i: c for t in tables.values() for i, c in zip(t["id"], t["change"], strict=True)}
    names |= {"none": "unchanged"}
    shares = first.groupby("id", sort=False)["died"].mean().sort_values()
    places = {change: i for i, change in enumerate(dict.fromkeys([*shares.index, *names]))}
    size = 2.3 + 3 * len(tables), 0.33 * len(places) + 0.9
    figure, axes = plt.subplots(1, len(tables), figsize=size, sharey=True, squeeze=False)
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        for change, died in table.groupby("id")["died"]:
            _share(axis, places[change], died, change == "none")
        axis.set(title=title, xlim=(-0.03, 1.0), xlabel=label)
    axes[0, 0].set(yticks=range(len(places)), yticklabels=[names[change] for change in places])
    return figure


def _share(axis: Axes, place: int, died: pd.Series, is_base: bool) -> None:
    share = tally(died)
    color = "black" if is_base else BLUE
    axis.plot([share.low, share.high], [place, place], color=color, lw=1.5)
    axis.plot(share.k / share.n, place, "o", color=color, ms=6, clip_on=False)
    axis.text(1.03, place, f"{share.k} of {share.n}", va="center", fontsize="small")
    if is_base:
        axis.axvspan(share.low, share.high, color="0.92", zorder=0)


def outcome_map(table: pd.DataFrame) -> Figure:
    """What became of runs: learning rate across, locnet's share of it down.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `lr`, `loc_lr_factor` (nan for a baseline), `outcome`.

    Returns
    -------
    Figure
        A bar a cell, with how many are lost or at chance.
    """
    table = table.assign(row=table["loc_lr_factor"].fillna(-1))  # -1: a baseline, at the bottom
    rates, factors = (sorted(table[name].unique()) for name in ("lr", "row"))
    figure, axis = plt.subplots(figsize=(7.5, 0.75 * len(factors) + 1.2))
    for (factor, lr), states in table.groupby(["row", "lr"])["outcome"]:
        column, place = rates.index(lr), factors.index(factor)
        draw_states(axis, place, states, column - 0.42, 0.84, height=0.5, alpha=0.9)
        text = f"{(~states.isin(LIVING)).sum()} of {len(states)}"
        axis.text(column, place + 0.37, text, ha="center", fontsize="x-small")
    axis.set_xticks(range(len(rates)), [f"{lr:g}" for lr in rates])
    axis.set_yticks(range(len(factors)), ["baseline" if f < 0 else f"× {f:g}" for f in factors])
    axis.set(xlabel="learning rate of the classifier", ylabel="localisation network's rate")
    for state, color in STATES.items():
        if (table["outcome"] == state).any():
            axis.plot([], [], "s", color=color, label=state)
    axis.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def one_curve(table: pd.DataFrame) -> Figure:
    """Share of runs lost or at chance against σ at the first step, which is known beforehand.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `lr`, `loc_lr_factor`, `outcome` and `reach`, which is σ.

    Returns
    -------
    Figure
        A dot a cell of the two rates.
    """
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    factors = sorted(table["loc_lr_factor"].unique(), reverse=True)
    markers = dict(zip(factors, "osD^vP*X<>hd", strict=False))
    for (factor, _), runs in table.groupby(["loc_lr_factor", "lr"]):
        share = tally(~runs["outcome"].isin(LIVING))
        where = float(np.exp(np.log(runs["reach"]).mean()))
        axis.plot([where, where], [share.low, share.high], color="0.75", lw=1, zorder=0)
        axis.plot(where, share.k / share.n, markers[factor], color=BLUE, ms=7, alpha=0.8)
    for factor in factors:
        axis.plot([], [], markers[factor], color=BLUE, label=f"× {factor:g}")
    axis.set(xscale="log", xlabel="σ at the first step, half image sides", ylim=(-0.04, 1.04))
    axis.set_ylabel("share lost or at chance")
    axis.legend(title="locnet's rate", fontsize="small", title_fontsize="small",
                loc="center left", bbox_to_anchor=(1.0, 0.5))  # fmt: skip
    return figure


def foresight(forecasts: Mapping[str, pd.DataFrame]) -> Figure:
    """How well forecasts tell who will die, by how long before the death they are made.

    Parameters
    ----------
    forecasts : Mapping[str, pd.DataFrame]
        By name; a row a lead in steps (the index), from the longest to the shortest: balanced
        accuracy `judged`, and its 95 % interval from `low` to `high`.

    Returns
    -------
    Figure
        A line a forecast.
    """
    figure, axis = plt.subplots(figsize=(7.0, 3.4))
    for (name, table), color in zip(forecasts.items(), (BLUE, "black", "0.55"), strict=False):
        table = table[["judged", "low", "high"]].astype(float)
        axis.fill_between(table.index, table["low"], table["high"], color=color, alpha=0.12, lw=0)
        axis.plot(table.index, table["judged"], "o-", color=color, ms=4)
        axis.annotate(name, (table.index[-1], table["judged"].iloc[-1]), (7, -3), color=color,
                      textcoords="offset points", fontsize="small",
                      annotation_clip=False)  # fmt: skip
    axis.axhline(0.5, color="0.6", lw=1, ls=":")
    axis.set(xlabel="steps before the death begins", ylabel="balanced accuracy", ylim=(0, 1.03))
    axis.invert_xaxis()
    return figure


def samplers(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Coverage of each run by sampler; every run a dot, the bar its mean.

    Parameters
    ----------
    table : pd.DataFrame
        A row a run: `sampler`, `alter` and `coverage`.
    titles : Mapping[str, str]
        Of the panels, by the value of `alter`.

    Returns
    -------
    Figure
        A panel a kind of images.
    """
    size = (2.5 * len(titles) + 0.6, 2.9)
    figure, axes = plt.subplots(1, len(titles), figsize=size, sharey=True, squeeze=False)
    for axis, (value, title) in zip(axes[0], titles.items(), strict=True):
        for place, sampler in enumerate(("clipped", "bilinear")):
            such = (table["alter"] == value) & (table["sampler"] == sampler)
            values = table[such]["coverage"]
            jitter = np.linspace(-0.12, 0.12, len(values))
            axis.plot(place + jitter, values, "o", color=COLORS[sampler], ms=5, alpha=0.8)
            axis.plot([place - 0.25, place + 0.25], [values.mean()] * 2, color="black", lw=2)
        axis.set(xticks=[0, 1], xticklabels=["clipped", "correct"], xlim=(-0.5, 1.5), title=title)
    axes[0, 0].set_ylabel("coverage")
    return figure
