"""Figures of the chapter on the collapse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.style import COLORS, PALETTE
from stnlib.book.stats import tally
from stnlib.records.outcome import LIVING

__all__ = ["STATES", "death_rates", "fan", "foresight", "one_curve", "outcome_map", "samplers"]

#: a colour for each word of `stnlib.records.outcome.in_a_word`
STATES = {
    "looks": PALETTE[0],
    "learns": PALETTE[0],
    "idle": PALETTE[9],
    "shrunken": PALETTE[1],
    "black": "black",
    "point": PALETTE[3],
    "diverged": "0.6",
    "blind": PALETTE[4],
    "at chance": "0.6",
}


def fan(rows: Sequence[Mapping], titles: Mapping[str, str], before: int = 150) -> Figure:
    """Branches of one snapshot: coverage on the way to death, a panel a change.

    Parameters
    ----------
    rows : of an observation of `stnlib.book.autopsy.branches`: the training itself, and then
        its branches.
    titles : panels, by the label of their change.
    before : steps of the training to show ahead of the snapshot.

    What is drawn calls them forks, as the chapter's stored outputs do.
    """
    first, *branches = rows
    figure, axes = plt.subplots(
        2, -(-len(titles) // 2), figsize=(9, 5), sharex=True, sharey=True, squeeze=False
    )
    steps = first["begun"] + 1 + 5 * np.arange(len(first["course"])) - first["fork"]
    shown = steps >= -before
    for axis, (change, title) in zip(axes.flat, titles.items(), strict=False):
        course = np.array(first["course"])
        axis.plot(steps[shown], course[shown], color="0.6", lw=1.2)
        for row in branches:
            if row["change"] == change:
                x = 1 + 5 * np.arange(len(row["course"]))
                color = "black" if row["died"] else PALETTE[0]
                axis.plot(x, row["course"], color=color, lw=1.3)
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
    tables : a panel each, by title; a row a run: `id` ("none" for no change), `change` (the label)
        and `died`. The first one's shares set the order of the changes.
    label : of the axis.
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
    color = "black" if is_base else PALETTE[0]
    axis.plot([share.low, share.high], [place, place], color=color, lw=1.5)
    axis.plot(share.k / share.n, place, "o", color=color, ms=6, clip_on=False)
    axis.text(1.03, place, f"{share.k} of {share.n}", va="center", fontsize="small")
    if is_base:
        axis.axvspan(share.low, share.high, color="0.92", zorder=0)


def outcome_map(table: pd.DataFrame) -> Figure:
    """What became of runs, a bar a cell: learning rate across, locnet's share of it down.

    Parameters
    ----------
    table : a row a run: `lr`, `loc_lr_factor` (nan for a baseline), `outcome`.
    """
    rates = sorted(table["lr"].unique())
    factors = [*sorted(table["loc_lr_factor"].dropna().unique(), reverse=True), np.nan]
    factors = factors if table["loc_lr_factor"].isna().any() else factors[:-1]
    figure, axis = plt.subplots(figsize=(7.5, 0.75 * len(factors) + 1.2))
    for place, factor in enumerate(reversed(factors)):
        same = (
            table["loc_lr_factor"].isna() if np.isnan(factor) else table["loc_lr_factor"] == factor
        )
        for column, lr in enumerate(rates):
            _bar(axis, column, place, table[same & (table["lr"] == lr)]["outcome"])
    names = ["baseline" if np.isnan(f) else f"× {f:g}" for f in reversed(factors)]
    axis.set(xticks=range(len(rates)), xticklabels=[f"{lr:g}" for lr in rates])
    axis.set(yticks=range(len(factors)), yticklabels=names)
    axis.set(xlabel="learning rate of the classifier", ylabel="localisation network's rate")
    for state, color in STATES.items():
        if (table["outcome"] == state).any():
            axis.plot([], [], "s", color=color, label=state)
    axis.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure


def _bar(axis: Axes, column: int, place: int, states: pd.Series) -> None:
    """A cell: its runs' states as parts of a bar, and how many died."""
    if states.empty:
        return
    left, width = column - 0.42, 0.84
    for state, color in STATES.items():
        share = (states == state).mean() * width
        axis.barh(place, share, left=left, color=color, height=0.5, alpha=0.9)
        left += share
    dead = int((~states.isin(LIVING)).sum())
    axis.text(column, place + 0.37, f"{dead} of {len(states)}", ha="center", fontsize="x-small")


def one_curve(table: pd.DataFrame, x: str, label: str) -> Figure:
    """Share of runs lost or at chance against a quantity known beforehand; a dot a cell.

    Parameters
    ----------
    table : a row a run: `lr`, `loc_lr_factor`, `outcome`, and the quantity `x`.
    """
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    factors = sorted(table["loc_lr_factor"].unique(), reverse=True)
    markers = dict(zip(factors, "osD^vP*X<>hd", strict=False))
    for (factor, _), runs in table.groupby(["loc_lr_factor", "lr"]):
        share = tally(~runs["outcome"].isin(LIVING))
        where = float(np.exp(np.log(runs[x]).mean()))
        axis.plot([where, where], [share.low, share.high], color="0.75", lw=1, zorder=0)
        axis.plot(where, share.k / share.n, markers[factor], color=PALETTE[0], ms=7, alpha=0.8)
    for factor in factors:
        axis.plot([], [], markers[factor], color=PALETTE[0], label=f"× {factor:g}")
    axis.set(xscale="log", xlabel=label, ylabel="share lost or at chance", ylim=(-0.04, 1.04))
    place = dict(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.legend(title="locnet's rate", fontsize="small", title_fontsize="small", **place)
    return figure


def foresight(forecasts: Mapping[str, pd.DataFrame]) -> Figure:
    """How well forecasts tell who will die, by how long before the death they are made.

    Parameters
    ----------
    forecasts : by name; a row a lead in steps (the index), from the longest to the shortest:
        balanced accuracy `judged`, and its 95 % interval from `low` to `high`.
    """
    figure, axis = plt.subplots(figsize=(7.0, 3.4))
    for (name, table), color in zip(forecasts.items(), (PALETTE[0], "black", "0.55"), strict=False):
        table = table[["judged", "low", "high"]].astype(float)
        axis.fill_between(table.index, table["low"], table["high"], color=color, alpha=0.12, lw=0)
        axis.plot(table.index, table["judged"], "o-", color=color, ms=4)
        end = table.index[-1], table["judged"].iloc[-1]
        beside = dict(xytext=(7, -3), textcoords="offset points", annotation_clip=False)
        axis.annotate(name, end, color=color, fontsize="small", **beside)
    axis.axhline(0.5, color="0.6", lw=1, ls=":")
    axis.set(xlabel="steps before the death begins", ylabel="balanced accuracy", ylim=(0, 1.03))
    axis.invert_xaxis()
    return figure


def samplers(table: pd.DataFrame, panel: str, titles: Mapping[str, str], y: str) -> Figure:
    """A number of each run by sampler, a panel a condition; every run a dot, the bar its mean.

    Parameters
    ----------
    table : a row a run: `sampler`, the columns `panel` and `y`.
    titles : panels, by the value of `panel`.
    """
    figure, axes = plt.subplots(
        1, len(titles), figsize=(2.5 * len(titles) + 0.6, 2.9), sharey=True, squeeze=False
    )
    for axis, (value, title) in zip(axes[0], titles.items(), strict=True):
        for place, sampler in enumerate(("clipped", "bilinear")):
            values = table[(table[panel] == value) & (table["sampler"] == sampler)][y]
            if values.empty:
                continue
            jitter = np.linspace(-0.12, 0.12, len(values))
            axis.plot(place + jitter, values, "o", color=COLORS[sampler], ms=5, alpha=0.8)
            axis.plot([place - 0.25, place + 0.25], [values.mean()] * 2, color="black", lw=2)
        axis.set(xticks=[0, 1], xticklabels=["clipped", "correct"], xlim=(-0.5, 1.5), title=title)
    axes[0, 0].set_ylabel(y.replace("_", " "))
    return figure
