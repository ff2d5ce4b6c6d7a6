"""Rows of runs with a mark each: what became of every run, or how accurate it is.

All are so narrow that a phone need not shrink their type below what can be read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.style import COLORS, PALETTE, STATES
from stnlib.book.stats import Contrast
from stnlib.records.outcome import LIVING

__all__ = ["WIDTH", "accuracies", "contrasts", "draw_runs", "explain", "marks", "switches"]

WIDTH = 5.4  # inches
_STATES = STATES | {"learns": COLORS["baseline"]}  # who has no transformer has no state of it
_SAID = {"learns": "no transformer"}


def marks(
    runs: pd.DataFrame, notes: Mapping[str, str] | None = None, bold: Collection[str] = ()
) -> Figure:
    """What became of runs, a row a group.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `row` (its group's name) and `outcome` (of
        `stnlib.records.outcome.in_a_word`). Groups stand in the order in which they come.
    notes : Mapping[str, str] | None
        Written at the right of a group, by its name.
    bold : Collection[str]
        Groups whose names are bold.

    Returns
    -------
    Figure
        One panel.
    """
    figure, axis, places = _rows(runs, 0.205)
    most = max(runs["row"].value_counts().max(), 6)
    for name, place in places.items():
        _line(axis, runs[runs["row"] == name]["outcome"], place)
        axis.text(most + 0.2, place, (notes or {}).get(name, ""), va="center", fontsize=10)
        axis.get_yticklabels()[place].set_fontweight("bold" if name in bold else "normal")
    axis.set(xlim=(-0.6, most), xticks=[])
    axis.spines["bottom"].set_visible(False)
    explain(figure, runs["outcome"])
    return figure


def accuracies(runs: pd.DataFrame, label: str = "validation accuracy") -> Figure:
    """How accurate runs are, a row a group, with its mean as a line.

    At the right stand the mean and the number of runs.

    Parameters
    ----------
    runs : pd.DataFrame
        As for `marks`, and `accuracy`.
    label : str
        Of the axis.

    Returns
    -------
    Figure
        One panel.
    """
    figure, axis, places = _rows(runs, 0.3)
    low, high = runs["accuracy"].min(), runs["accuracy"].max()
    edge = high + 0.04 * (high - low)
    for name, place in places.items():
        group = runs[runs["row"] == name]
        mean = group["accuracy"].mean()
        axis.plot([mean, mean], [place - 0.33, place + 0.33], color="0.3", lw=2)
        apart = place + np.random.default_rng(0).uniform(-0.15, 0.15, len(group))
        draw_runs(axis, group["accuracy"], apart, group["outcome"])
        note = f"{mean:.3f} (n = {len(group)})"
        axis.text(edge, place, note, va="center", fontsize=10)
    axis.set(xlim=(low - 0.04 * (high - low), edge), xlabel=label)
    explain(figure, runs["outcome"])
    return figure


def switches(runs: pd.DataFrame, factors: Sequence[str], groups: str) -> Figure:
    """What became of runs for every combination of factors, each on or off.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a run: `outcome`, a bool column a factor, and the column of `groups`.
    factors : Sequence[str]
        Columns, which are the names of the switches.
    groups : str
        Column whose values stand side by side.

    Returns
    -------
    Figure
        One panel: a row a combination, with a full circle where a factor is on.
    """
    cells = runs.groupby(list(factors), sort=False).ngroup()
    order = runs.assign(cell=cells).drop_duplicates("cell")
    order = order.assign(on=order[list(factors)].sum(axis=1)).sort_values(["on", *factors])
    figure, axis = plt.subplots(figsize=(WIDTH, 0.36 * len(order) + 1.3))
    wide = runs.groupby([cells, groups]).size().max() + 1.5
    lefts = {v: 1.6 * len(factors) + i * wide for i, v in enumerate(sorted(runs[groups].unique()))}
    for place, (cell, row) in enumerate(zip(order["cell"], order.to_dict("records"), strict=True)):
        for x, factor in enumerate(factors):
            face = "0.2" if row[factor] else "none"
            axis.plot(1.6 * x, place, "o", ms=9, mfc=face, mec="0.2")
        for value, left in lefts.items():
            _line(axis, runs[(cells == cell) & (runs[groups] == value)]["outcome"], place, left)
    for value, left in lefts.items():
        axis.text(left, -0.9, f"{groups} {value:g}", fontsize=10)
    for x, factor in enumerate(factors):
        axis.text(1.6 * x, -0.75, factor, fontsize=10, rotation=45, rotation_mode="anchor")
    axis.set(xlim=(-0.8, left + wide - 1), ylim=(len(order) - 0.4, -2.6))
    axis.axis("off")
    explain(figure, runs["outcome"])
    return figure


def contrasts(effects: Mapping[str, Mapping[str, Contrast]], label: str) -> Figure:
    """Effects with their intervals, a row each.

    Parameters
    ----------
    effects : Mapping[str, Mapping[str, Contrast]]
        By series, of which each has a colour, and row.
    label : str
        Of the axis.

    Returns
    -------
    Figure
        One panel.
    """
    names = list(next(iter(effects.values())))
    figure, axis = plt.subplots(figsize=(WIDTH, 0.5 * len(names) + 1.2))
    for i, (series, found) in enumerate(effects.items()):
        places = np.arange(len(names)) + 0.3 * (i - (len(effects) - 1) / 2)
        for place, effect in zip(places, found.values(), strict=True):
            axis.plot([effect.low, effect.high], [place, place], color=PALETTE[i], lw=1.6)
        axis.plot([e.value for e in found.values()], places, "o", color=PALETTE[i], label=series)
    axis.axvline(0, color="0.6", lw=1, zorder=0)
    axis.set_yticks(range(len(names)), names, fontsize=10)
    axis.set(xlabel=label, ylim=(len(names) - 0.4, -0.6))
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=10)
    figure.legend(ncols=2, loc="outside upper center", fontsize=10)
    return figure


def draw_runs(
    axis: Axes, x: Sequence[float], y: Sequence[float], outcomes: pd.Series, **look: float
) -> None:
    """Draw a mark a run: a dot where the transformer is not lost, a cross where it is.

    Parameters
    ----------
    axis : Axes
        The panel.
    x, y : Sequence[float]
        Where the marks lie.
    outcomes : pd.Series
        A word a run.
    **look : float
        Of the marks, for `Axes.plot`.
    """
    for at, up, outcome in zip(x, y, outcomes, strict=True):
        axis.plot(at, up, **_look(outcome) | look)


def explain(figure: Figure, outcomes: pd.Series) -> None:
    """Say above a figure which mark is which outcome.

    Parameters
    ----------
    figure : Figure
        It gets a legend.
    outcomes : pd.Series
        Words that occur in it.
    """
    axis = figure.axes[0]
    handles = []
    for outcome in _STATES:
        if (outcomes == outcome).any():
            handles += axis.plot([], [], **_look(outcome), label=_SAID.get(outcome, outcome))
    figure.legend(
        handles=handles,
        ncols=4,
        loc="outside upper center",
        fontsize=10,
        handletextpad=0.1,
        columnspacing=1.0,
    )


def _line(axis: Axes, outcomes: pd.Series, y: float, left: float = 0) -> None:
    """Draw a mark a run in a line, 1 apart, alike beside alike."""
    known = list(_STATES)
    alike = pd.Series(sorted(outcomes, key=known.index))
    draw_runs(axis, left + np.arange(len(alike)), np.full(len(alike), y), alike)


def _look(outcome: str) -> dict:
    return {
        "marker": "o" if outcome in (*LIVING, "at chance") else "X",
        "color": _STATES[outcome],
        "ls": "",
        "ms": 8,
        "mec": "white",
        "mew": 0.6,
    }


def _rows(runs: pd.DataFrame, height: float) -> tuple[Figure, Axes, dict[str, int]]:
    """A panel with a row a group, from the top, and at which height each lies."""
    places = {name: place for place, name in enumerate(dict.fromkeys(runs["row"]))}
    figure, axis = plt.subplots(figsize=(WIDTH, height * len(places) + 1.0))
    axis.set_yticks(range(len(places)), places, fontsize=10)
    axis.set_ylim(len(places) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=10)
    axis.spines["left"].set_visible(False)
    return figure, axis, places
