"""Figures of the chapter on remedies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stnlib.book.figures.collapse import draw_states
from stnlib.book.figures.style import (
    BLUE,
    PALETTE,
    STATES,
    draw_undone,
    label_line,
    spread_labels,
)
from stnlib.optim import plateau, schedule
from stnlib.records.outcome import LIVING

__all__ = ["outcomes", "paces", "rates", "schedules", "settings", "steps", "undoing"]

_UNDONE = {"undone_tx": "shift in x", "undone_ty": "shift in y", "undone_rotation": "rotation"}
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


def schedules(courses: Mapping[str, tuple[str, float]]) -> Figure:
    """Courses of the learning rate: its factor against the share of the training that is done.

    Parameters
    ----------
    courses : Mapping[str, tuple[str, float]]
        By title: name and warm-up as of `stnlib.optim.schedule`; `plateau` is drawn for ten epochs
        of which the fifth and later bring nothing.

    Returns
    -------
    Figure
        A panel a course.
    """
    figure, axes = plt.subplots(1, len(courses), figsize=(1.75 * len(courses), 1.9), sharey=True)
    progress = np.linspace(0, 1, 400)
    losses = [1 / (1 + min(epoch, 4)) for epoch in range(10)]
    for axis, (title, (name, warmup)) in zip(axes, courses.items(), strict=True):
        factors = [schedule(name, p, warmup) for p in progress]
        if name == "plateau":
            factors = [plateau(losses[: int(p * 9.99)]) for p in progress]
        axis.plot(progress, factors, color=BLUE)
        axis.fill_between(progress, factors, color=BLUE, alpha=0.15, lw=0)
        axis.set_title(title, fontsize="small")
        axis.set(xticks=[0, 1], yticks=[0, 1], ylim=(0, 1.08))
    axes[0].set_ylabel("factor of\nthe rate")
    axes[len(axes) // 2].set_xlabel("share of the training")
    return figure


def rates(runs: pd.DataFrame) -> Figure:
    """Validation accuracy against the learning rate, every run a mark.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `stnlib.book.remedies.table`, and `panel`.

    Returns
    -------
    Figure
        A panel a network.
    """
    panels = list(dict.fromkeys(runs["panel"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2.6 * len(panels), 2.9), sharex=True, sharey=True, squeeze=False
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        part = runs[runs["panel"] == panel].assign(power=lambda t: np.log10(t["lr"]))
        _marks(axis, part, "power", "val_accuracy", most=0.04)
        axis.set(title=panel, xlabel="learning rate", ylim=(0, 1))
        axis.set(xticks=range(-4, -1), xticklabels=["0.0001", "0.001", "0.01"])
    axes[0, 0].set_ylabel("validation accuracy")
    _legend(figure, axes[0, -1], runs["outcome"])
    return figure


def _marks(
    axis: Axes, runs: pd.DataFrame, x: str, y: str, along: bool = False, most: float = 0.15
) -> None:
    """A dot a living run, a cross a lost one, set apart by up to `most` along y, or else x."""
    for outcome, part in runs.groupby("outcome"):
        apart = np.random.default_rng(0).uniform(-most, most, len(part))
        places = part[x] + apart * (not along), part[y] + apart * along
        marker = "o" if outcome in LIVING else "X"
        axis.plot(*places, marker, color=STATES[outcome], ms=6, alpha=0.75, mew=0)


def _legend(figure: Figure, axis: Axes, outcomes: pd.Series) -> None:
    for outcome, color in STATES.items():
        if (outcomes == outcome).any():
            axis.plot([], [], "o" if outcome in LIVING else "X", color=color, label=outcome)
    place = dict(ncols=6, loc="outside upper center", handletextpad=0.3, columnspacing=1.2)
    figure.legend(*axis.get_legend_handles_labels(), **place)


def outcomes(verdicts: pd.DataFrame, runs: pd.DataFrame, kinds: Sequence[str]) -> Figure:
    """What became of the runs with each remedy, as parts of a bar, and how accurate each is.

    Bold are the names of remedies that help by Fisher's test of each alone, uncorrected.

    Parameters
    ----------
    verdicts : pd.DataFrame
        Of `stnlib.book.remedies.verdicts`.
    runs : pd.DataFrame
        Of `stnlib.book.remedies.table`; those without a transformer are drawn as a line each.
    kinds : Sequence[str]
        Groups, from the top, below no remedy.

    Returns
    -------
    Figure
        Two panels.
    """
    places, at = {}, 0.0
    for kind in ("", *kinds):
        for i, name in enumerate(verdicts.index[verdicts["kind"] == kind]):
            at += 1.0 if i or not kind else 1.6
            places[name] = at
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.27 * at + 1.0), sharey=True)
    seen = runs[runs["id"].isin(places)].assign(y=lambda t: t["id"].map(places))
    transformed = seen[seen["transformer"]]
    for place, states in transformed.groupby("y")["outcome"]:
        draw_states(axes[0], place, states, height=0.7)
        living = f"{states.isin(LIVING).sum()} of {len(states)}"
        axes[0].text(1.03, place, living, va="center", fontsize="small")
    axes[0].set(xlabel="share of trainings", xlim=(0, 1))
    _marks(axes[1], transformed, "val_accuracy", "y", along=True)
    for place, mean in seen[~seen["transformer"]].groupby("y")["val_accuracy"].mean().items():
        axes[1].plot([mean] * 2, [place - 0.4, place + 0.4], color="0.4", lw=2)
    axes[1].plot([], [], color="0.4", lw=2, label="no transformer")
    axes[1].set(xlabel="validation accuracy", xlim=(0, 1))
    shown = verdicts.loc[list(places)]
    axes[0].set(yticks=list(places.values()), yticklabels=shown["remedy"], ylim=(at + 0.7, 0.3))
    for label, helps in zip(axes[0].get_yticklabels(), shown["helps"], strict=True):
        label.set_fontweight("bold" if helps else "normal")
    _legend(figure, axes[1], transformed["outcome"])
    return figure


def settings(runs: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Validation accuracy of two or more settings side by side.

    Parameters
    ----------
    runs : pd.DataFrame
        Of `stnlib.book.remedies.table`, and `setting`.
    names : Mapping[str, str]
        Titles, by data set; those without a run are left out.

    Returns
    -------
    Figure
        A panel a data set.
    """
    kinds = list(dict.fromkeys(runs["setting"]))
    present = {data: title for data, title in names.items() if (runs["data"] == data).any()}
    size = (1.9 * len(present) + 0.5, 2.9)
    figure, axes = plt.subplots(1, len(present), figsize=size, sharey=True, squeeze=False)
    for axis, (data, title) in zip(axes[0], present.items(), strict=True):
        part = runs[runs["data"] == data]
        _marks(axis, part.assign(x=part["setting"].map(kinds.index)), "x", "val_accuracy")
        axis.set(title=title, xticks=range(len(kinds)), xlim=(-0.5, len(kinds) - 0.5), ylim=(0, 1))
        axis.set_xticklabels(kinds, fontsize="small")
    axes[0, 0].set_ylabel("validation accuracy")
    _legend(figure, axes[0, -1], runs["outcome"])
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


def undoing(history: pd.DataFrame) -> Figure:
    """How much of each part of a distortion a transformer undoes, over epochs.

    Parameters
    ----------
    history : pd.DataFrame
        One run's rows, with `epoch`, `undone_tx`, `undone_ty` and `undone_rotation`: slopes of what
        it does against what it should do, 1 where it undoes all.

    Returns
    -------
    Figure
        A line a part.
    """
    figure, axis = plt.subplots(figsize=(6.5, 2.8))
    draw_undone(axis, 0.4)
    ends = []
    for color, (column, name) in zip(PALETTE, _UNDONE.items(), strict=False):
        axis.plot(history["epoch"], history[column], "o-", color=color, ms=3)
        ends.append((history["epoch"].iloc[-1], history[column].iloc[-1], name, color))
    spread_labels(axis, ends, gap=0.09)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
