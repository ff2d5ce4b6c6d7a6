"""Figures of the CIFAR-10 chapter and its appendix; none is too wide for a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stnlib.book.figures.style import BLUE, COLORS, ORANGE, STATES, spread_labels
from stnlib.records.outcome import BLIND, IDLE, LIVING

__all__ = ["accuracies", "courses", "ends", "inside", "onsets", "rates", "traced", "undoing"]

_WIDTH = 5.4  # inches
_TITLES = {"c10": "C10", "c10d": "C10D", "shapes10": "Shapes-10", "shapes10d": "Shapes-10-D"}
_COLORS = STATES | {"learns": COLORS["baseline"]}  # who has no transformer has no state of it
_SAID = {"learns": "no transformer"}
_RATES = ("#b48ad6", "#7a3bb5", "#2d0a4e")  # from the lowest; colours that no state has


def accuracies(
    runs: pd.DataFrame, known: Mapping[str, float] | None = None, label: str = "test accuracy"
) -> Figure:
    """How accurate trainings are, a row a group, a mark a training.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a training: `row` (its group, in order), `accuracy` and `outcome` (in a word).
    known : Mapping[str, float] | None
        The paper's accuracies by group, drawn as diamonds.
    label : str
        Of the axis.

    Returns
    -------
    Figure
        One panel; at the right what became of each group.
    """
    figure, axis, places = _rows(runs, 0.3)
    for name, place in places.items():
        group = runs[runs["row"] == name]
        apart = place + np.linspace(-0.13, 0.13, len(group)) * (len(group) > 1)
        for outcome, x, y in zip(group["outcome"], group["accuracy"], apart, strict=True):
            _mark(axis, x, y, outcome)
        if known and name in known:
            axis.plot(known[name], place, "D", mfc="none", mec=COLORS["paper"], ms=9, mew=1.5)
        axis.text(1.02, place, _in_words(group["outcome"]), va="center", fontsize=9)
    axis.set(xlim=(0, 1), xlabel=label)
    if known:
        axis.plot([], [], "D", mfc="none", mec=COLORS["paper"], ms=8, label="the paper")
    _explain(figure, axis, runs["outcome"])
    return figure


def ends(runs: pd.DataFrame) -> Figure:
    """What became of trainings, a row a group, a mark a training.

    Parameters
    ----------
    runs : pd.DataFrame
        A row a training: `row` (its group, in order), `lr`, `outcome` (in a word) and `fell`
        (it learned before it went black; ringed).

    Returns
    -------
    Figure
        One panel, a column a learning rate.
    """
    figure, axis, places = _rows(runs, 0.24)
    columns = {rate: 7 * i for i, rate in enumerate(sorted(runs["lr"].unique()))}
    for (name, rate), group in runs.groupby(["row", "lr"]):
        ordered = group.sort_values("outcome", key=lambda ends: ends.map(list(STATES).index))
        for x, (outcome, fell) in enumerate(zip(ordered["outcome"], ordered["fell"], strict=True)):
            _mark(axis, columns[rate] + x, places[name], outcome)
            if fell:
                ring = {"mfc": "none", "mec": COLORS["paper"], "ms": 12, "mew": 1.5}
                axis.plot(columns[rate] + x, places[name], "o", **ring)
    for rate, x in columns.items():
        axis.text(x - 0.4, -1.0, f"{rate:g}", fontsize=10)
    axis.set(xlim=(-1, max(columns.values()) + 6), xticks=[])
    axis.set_ylim(len(places) - 0.4, -1.6)
    axis.spines["bottom"].set_visible(False)
    ring = {"mfc": "none", "mec": COLORS["paper"], "ms": 11}
    axis.plot([], [], "o", **ring, label="learned first")
    _explain(figure, axis, runs["outcome"])
    return figure


def _rows(runs: pd.DataFrame, height: float) -> tuple[Figure, Axes, dict[str, int]]:
    """A panel with a row a group, and where each is."""
    places = {name: i for i, name in enumerate(dict.fromkeys(runs["row"]))}
    figure, axis = plt.subplots(figsize=(_WIDTH, height * len(places) + 1.1))
    axis.set_yticks(range(len(places)), list(places), fontsize=10)
    axis.set_ylim(len(places) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=10)
    axis.spines["left"].set_visible(False)
    return figure, axis, places


def _mark(axis: Axes, x: float, y: float, outcome: str) -> None:
    """A cross where a transformer is lost, a dot elsewhere."""
    marker = "o" if outcome in LIVING else "X"
    axis.plot(x, y, marker, color=_COLORS[outcome], ms=8, mew=0, alpha=0.85)


def _explain(figure: Figure, axis: Axes, outcomes: pd.Series) -> None:
    """A legend above of what occurs."""
    for outcome, color in _COLORS.items():
        if (outcomes == outcome).any():
            marker = "o" if outcome in LIVING else "X"
            axis.plot([], [], marker, color=color, mew=0, label=_SAID.get(outcome, outcome))
    place = dict(ncols=4, fontsize=10, handletextpad=0.2, columnspacing=1.0)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", **place)


def _in_words(outcomes: pd.Series) -> str:
    counts = outcomes.value_counts()
    if set(counts.index) == {"learns"}:
        return f"n = {len(outcomes)}"
    return "\n".join(f"{count} {name}" for name, count in counts.items())


def _panels(data: Sequence[str], rows: int) -> tuple[Figure, np.ndarray]:
    """Panels for data sets side by side, of epochs."""
    figure, axes = plt.subplots(
        rows, len(data), figsize=(_WIDTH, 1.3 * rows + 0.8), sharex=True, sharey="row"
    )
    axes = np.reshape(axes, (rows, len(data)))
    for axis, name in zip(axes[0], data, strict=True):
        axis.set_title(_TITLES[name], fontsize=11)
    for axis in axes[-1]:
        axis.set_xlabel("epoch", fontsize=10)
    for axis in axes.flat:
        axis.tick_params(labelsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure, axes


def _lines(axis: Axes, table: pd.DataFrame, column: str) -> None:
    """A line a training in the colour of its end, dashed where the sampler is the clipped one."""
    for (outcome, sampler, _), run in table.groupby(["outcome", "sampler", "seed"]):
        dash = "--" if sampler == "clipped" else "-"
        axis.plot(run["epoch"], run[column], dash, color=_COLORS[outcome], lw=1.5, alpha=0.9)
        if run["epoch"].max() < table["epoch"].max():
            axis.plot(run["epoch"].iloc[-1], run[column].iloc[-1], "s", color=_COLORS[outcome])


def courses(histories: pd.DataFrame, paper: pd.DataFrame) -> Figure:
    """Validation accuracy over epochs, the paper's Figure 5 among ours.

    Parameters
    ----------
    histories : pd.DataFrame
        Of `stnlib.book.photographs.courses`.
    paper : pd.DataFrame
        `data`, `model`, `epoch` and `val_accuracy`; one run a model.

    Returns
    -------
    Figure
        A panel a data set.
    """
    sets = list(dict.fromkeys(histories["data"]))
    figure, axes = _panels(sets, 1)
    for axis, data in zip(axes[0], sets, strict=True):
        ours, theirs = (table[table["data"] == data] for table in (histories, paper))
        axis.set_ylim(0, 1)
        _lines(axis, ours, "accuracy")
        for _, run in theirs.groupby("model"):
            look = {"color": COLORS["paper"], "ms": 4, "lw": 0, "mew": 1}
            axis.plot(run["epoch"], run["val_accuracy"], "x", **look)
    axes[0, 0].set_ylabel("validation\naccuracy", fontsize=10)
    _name(figure, histories["outcome"], {"paper, both networks": (COLORS["paper"], "x")})
    return figure


def inside(histories: pd.DataFrame) -> Figure:
    """What accuracy does not say: how much is in view, and how much the view moves.

    Parameters
    ----------
    histories : pd.DataFrame
        Of `stnlib.book.photographs.courses`.

    Returns
    -------
    Figure
        A column a data set; coverage above, corner spread below.
    """
    seen = histories[histories["transformer"]]
    sets = list(dict.fromkeys(seen["data"]))
    figure, axes = _panels(sets, 2)
    for column, data in zip(axes.T, sets, strict=True):
        part = seen[seen["data"] == data]
        _lines(column[0], part, "coverage")
        _lines(column[1], part.assign(spread=part["spread"].clip(lower=1e-4)), "spread")
        column[0].set_ylim(-0.03, 1.03)
        column[1].set(yscale="log", ylim=(8e-5, 1e3))
        column[1].axhspan(8e-5, BLIND, color=STATES["blind"], alpha=0.18, lw=0)
        column[1].axhspan(BLIND, IDLE, color=STATES["idle"], alpha=0.18, lw=0)
    last = axes[1, -1]
    edge = last.get_xlim()[1]
    for height, name in ((1e-3, "blind"), (0.07, "idle")):
        last.text(edge, height, f" {name}", color=STATES[name], fontsize=9, va="center")
    axes[0, 0].set_ylabel("coverage", fontsize=10)
    axes[1, 0].set_ylabel("spread of the view,\npixels", fontsize=10)
    _name(figure, seen["outcome"])
    return figure


def _name(
    figure: Figure, outcomes: pd.Series, more: Mapping[str, tuple[Any, str]] | None = None
) -> None:
    """A legend above: colours are ends, dashes samplers."""
    axis = figure.axes[0]
    for outcome in (o for o in _COLORS if (outcomes == o).any()):
        axis.plot([], [], color=_COLORS[outcome], lw=2.5, label=_SAID.get(outcome, outcome))
    axis.plot([], [], "--", color="0.3", label="clipped sampler")
    for name, (color, marker) in (more or {}).items():
        axis.plot([], [], marker, color=color, label=name)
    place = dict(ncols=3, fontsize=9, handlelength=1.6, columnspacing=1.0)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside upper left", **place)


_TRACED = {"coverage": "coverage", "phi": "‖φ‖₁", "accuracy": "batch\naccuracy"}


def onsets(whole: pd.DataFrame, around: Mapping[str, pd.DataFrame], onset: int) -> Figure:
    """One training from its first step to its last, and several around their onsets.

    Parameters
    ----------
    whole : pd.DataFrame
        Of `stnlib.diagnostics.Trace.to_frame`.
    around : Mapping[str, pd.DataFrame]
        The same by a training's name, whose steps are counted from its onset. The first one is
        that of `whole`.
    onset : int
        That of `whole`, a step.

    Returns
    -------
    Figure
        A row a quantity; the whole at the left, the onsets at the right.
    """
    figure, axes = plt.subplots(
        len(_TRACED), 2, figsize=(_WIDTH, 0.95 * len(_TRACED) + 0.6), sharex="col", sharey="row"
    )
    for (left, right), (column, name) in zip(axes, _TRACED.items(), strict=True):
        left.plot(whole.index, whole[column], color="black", lw=0.8)
        left.axvline(onset, color=COLORS["paper"], lw=1)
        right.axvline(0, color=COLORS["paper"], lw=1)
        for color, frame in zip(("black", BLUE, ORANGE), around.values(), strict=False):
            right.plot(frame.index, frame[column], color=color, lw=1.3)
        left.set_ylabel(name, fontsize=10)
        if column != "phi":
            left.set_ylim(-0.03, 1.03)
    zero = whole.index[whole["phi"] == 0]
    if len(zero):
        axes[1, 0].axvspan(zero[0], zero[-1], color=STATES["blind"], alpha=0.3, lw=0)
        axes[1, 0].text(zero[0], 300, "φ = 0 ", color=STATES["blind"], fontsize=10, ha="right")
    axes[1, 0].set_yscale("symlog", linthresh=0.1)
    axes[1, 0].set_ylim(0, 2000)
    axes[1, 0].set_yticks([0, 1, 100])
    axes[0, 0].set_title("whole training", fontsize=10)
    axes[0, 1].set_title("around the onset", fontsize=10)
    axes[-1, 0].set_xlabel("step", fontsize=10)
    axes[-1, 1].set_xlabel("steps from the onset", fontsize=10)
    for name, color in zip(around, ("black", BLUE, ORANGE), strict=False):
        axes[0, 1].plot([], [], color=color, label=name)
    figure.legend(
        *axes[0, 1].get_legend_handles_labels(), ncols=3, fontsize=9, loc="outside upper center"
    )
    for axis in axes.flat:
        axis.tick_params(labelsize=9)
    return figure


def rates(histories: pd.DataFrame) -> Figure:
    """Validation accuracy by learning rate: the colour is the rate, the dash the transformer.

    Parameters
    ----------
    histories : pd.DataFrame
        Of `stnlib.book.photographs.courses`, of one data set and up to three rates.

    Returns
    -------
    Figure
        One panel, a line a training.
    """
    figure, axis = plt.subplots(figsize=(_WIDTH, 3.1))
    axis.set_ylim(0.25, 0.85)
    labels = []
    for color, (rate, part) in zip(_RATES, histories.groupby("lr"), strict=False):
        for (transformer, _, _), run in part.groupby(["transformer", "sampler", "seed"]):
            dash = "-" if transformer else "--"
            axis.plot(run["epoch"], run["accuracy"], dash, color=color, lw=1.5)
            if run["outcome"].iloc[0] == "black":
                axis.plot(run["epoch"].iloc[-1], 0.265, "X", color=color, ms=9, clip_on=False)
        for transformer, name in ((True, f"{rate:g}"), (False, f"{rate:g}, none")):
            whole = part[(part["transformer"] == transformer) & (part["outcome"] != "black")]
            last = whole[whole["epoch"] == histories["epoch"].max()]
            if len(last):
                labels.append((last["epoch"].max(), last["accuracy"].mean(), name, color))
    spread_labels(axis, labels, 0.08)
    axis.plot([], [], "-", color="0.3", label="transformer")
    axis.plot([], [], "--", color="0.3", label="none")
    axis.plot([], [], "X", color="0.3", label="black")
    figure.legend(*axis.get_legend_handles_labels(), ncols=3, fontsize=10, loc="outside upper left")
    axis.set_xlabel("epoch", fontsize=10)
    axis.set_ylabel("validation accuracy", fontsize=10)
    axis.tick_params(labelsize=9)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def undoing(histories: pd.DataFrame) -> Figure:
    """How much of a distortion θ undoes, epoch by epoch; the colour is the rate.

    Parameters
    ----------
    histories : pd.DataFrame
        Of `stnlib.book.photographs.courses`, of transformers at up to three rates.

    Returns
    -------
    Figure
        A panel for the shift, and one for the rotation.
    """
    figure, axes = plt.subplots(2, 1, figsize=(_WIDTH, 4.2), sharex=True, sharey=True)
    for axis, column in zip(axes, ("shift", "rotation"), strict=True):
        for height in (0, 1):
            axis.axhline(height, color="0.8", lw=1, zorder=0)
        axis.set_title(column, fontsize=11, loc="left")
        axis.set_ylabel("share undone", fontsize=10)
        axis.set_ylim(-0.15, 1.6)
        labels = []
        for color, (rate, part) in zip(_RATES, histories.groupby("lr"), strict=False):
            for _, run in part.groupby(["sampler", "seed"]):
                axis.plot(run["epoch"], run[column], color=color, lw=1.5)
            last = part[part["epoch"] == part["epoch"].max()]
            labels.append((last["epoch"].max(), last[column].mean(), f"{rate:g}", color))
        spread_labels(axis, labels, 0.13)
        axis.tick_params(labelsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[-1].set_xlabel("epoch", fontsize=10)
    return figure


def traced(frame: pd.DataFrame, worst: int) -> Figure:
    """Every step of a training, and those around its worst.

    Parameters
    ----------
    frame : pd.DataFrame
        Of `stnlib.diagnostics.Trace.to_frame`.
    worst : int
        A step.

    Returns
    -------
    Figure
        A row a quantity; the whole at the left.
    """
    near = frame.loc[worst - 40 : worst + 60]
    figure = onsets(frame, {"": near.set_index(near.index - worst)}, worst)
    figure.legends[0].remove()
    figure.axes[1].set_title("around the worst step", fontsize=10)
    figure.axes[-1].set_xlabel("steps from the worst one", fontsize=10)
    return figure
