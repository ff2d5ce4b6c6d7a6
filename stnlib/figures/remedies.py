"""Figures of the chapter on remedies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.figures.collapse import STATES
from stnlib.figures.style import PALETTE, label_line, spread_labels
from stnlib.schedules import plateau, schedule

__all__ = ["paces", "rates", "schedules", "settings", "shares", "steps"]

_TRACED = {"coverage": "coverage", "step": "step of θ", "phi": "‖φ‖₁", "accuracy": "batch accuracy"}


def steps(traces: Mapping[str, pd.DataFrame]) -> Figure:
    """What transformers do from step to step, a line a training.

    Parameters
    ----------
    traces : by the training's name: `stnlib.diagnostics.Trace.to_frame`.
    """
    figure, axes = plt.subplots(1, len(_TRACED), figsize=(10.5, 2.7), sharex=True)
    for axis, (column, title) in zip(axes, _TRACED.items(), strict=True):
        for i, (name, trace) in enumerate(traces.items()):
            axis.plot(trace.index, trace[column], color=("black", *PALETTE)[i], lw=1.3, label=name)
        axis.set(title=title, xlabel="step")
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
    courses : a panel each, by title: name and warm-up as of `stnlib.schedules.schedule`;
        `plateau` is drawn for ten epochs of which the fifth and later bring nothing.
    """
    figure, axes = plt.subplots(1, len(courses), figsize=(1.75 * len(courses), 1.9), sharey=True)
    progress = np.linspace(0, 1, 400)
    losses = [1 / (1 + min(epoch, 4)) for epoch in range(10)]
    for axis, (title, (name, warmup)) in zip(axes, courses.items(), strict=True):
        factors = [schedule(name, p, warmup) for p in progress]
        if name == "plateau":
            factors = [plateau(losses[: int(p * 9.99)]) for p in progress]
        axis.plot(progress, factors, color=PALETTE[0])
        axis.fill_between(progress, factors, color=PALETTE[0], alpha=0.15, lw=0)
        axis.set_title(title, fontsize="small")
        axis.set(xticks=[0, 1], yticks=[0, 1], ylim=(0, 1.08))
    axes[0].set_ylabel("factor of\nthe rate")
    axes[len(axes) // 2].set_xlabel("share of the training")
    return figure


def rates(runs: pd.DataFrame) -> Figure:
    """Validation accuracy against the learning rate, a panel a network, every run a mark.

    Parameters
    ----------
    runs : of `stnlib.remedies.table`, and `panel`.
    """
    panels = list(dict.fromkeys(runs["panel"]))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2.6 * len(panels), 2.9), sharex=True, sharey=True, squeeze=False
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        _marks(axis, runs[runs["panel"] == panel].assign(place=lambda t: t["lr"]), spread=0)
        axis.set(title=panel, xscale="log", xlabel="learning rate", ylim=(0, 1))
    axes[0, 0].set_ylabel("validation accuracy")
    _legend(figure, axes[0, -1], runs["outcome"])
    return figure


def _marks(axis: Axes, runs: pd.DataFrame, spread: float = 0.12) -> None:
    """A mark a run at its `place`: a dot for the living, a cross for the lost."""
    for outcome, part in runs.groupby("outcome"):
        x = part["place"].to_numpy(dtype=float)
        if spread:
            x = x + np.random.default_rng(0).uniform(-spread, spread, len(x))
        marker = "o" if outcome == "alive" else "X"
        color = STATES[outcome]
        axis.plot(x, part["val_accuracy"], marker, color=color, ms=6, alpha=0.75, mew=0)


def _legend(figure: Figure, axis: Axes, outcomes: pd.Series) -> None:
    for outcome, color in STATES.items():
        if (outcomes == outcome).any():
            axis.plot([], [], "o" if outcome == "alive" else "X", color=color, label=outcome)
    figure.legend(*axis.get_legend_handles_labels(), ncols=5, loc="outside upper center")


def shares(verdicts: pd.DataFrame, runs: pd.DataFrame, kinds: Sequence[str]) -> Figure:
    """How many runs each remedy loses, with 95 % intervals, and how accurate they all are.

    Parameters
    ----------
    verdicts : of `stnlib.remedies.verdicts`; the remedy `nothing` is drawn as a band.
    runs : of `stnlib.remedies.table`; those without a transformer are drawn as a bar each.
    kinds : groups, from the top.
    """
    order = [("", "nothing")]
    for kind in kinds:
        order += [(kind, name) for name in verdicts.index[verdicts["kind"] == kind]]
    places, at = {}, 0.0
    for i, (kind, name) in enumerate(order):
        at += 1.6 if i and kind != order[i - 1][0] else 1.0
        places[name] = at
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.27 * at + 1.0), sharey=True)
    _intervals(axes[0], verdicts, places)
    learnt = runs[runs["transformer"] & runs["remedy"].isin(places)]
    for outcome, part in learnt.groupby("outcome"):
        y = part["remedy"].map(places) + np.random.default_rng(0).uniform(-0.2, 0.2, len(part))
        marker = "o" if outcome == "alive" else "X"
        axes[1].plot(part["val_accuracy"], y, marker, color=STATES[outcome], ms=5, alpha=0.8, mew=0)
    for name, part in runs[~runs["transformer"]].groupby("remedy"):
        if name in places:
            mean = part["val_accuracy"].mean()
            axes[1].plot([mean] * 2, [places[name] - 0.4, places[name] + 0.4], color="0.4", lw=2)
    axes[1].plot([], [], color="0.4", lw=2, label="no transformer")
    _legend(figure, axes[1], learnt["outcome"])
    axes[1].set(xlabel="validation accuracy", xlim=(0, 1))
    axes[0].set(yticks=list(places.values()), yticklabels=list(places))
    axes[0].set(ylim=(at + 0.7, 0.3))
    return figure


def _intervals(axis: Axes, verdicts: pd.DataFrame, places: Mapping[str, float]) -> None:
    base = verdicts.loc["nothing", "lost"]
    axis.axvspan(base.low, base.high, color="0.92", lw=0, zorder=0)
    for name, place in places.items():
        share, helps = verdicts.loc[name, ["lost", "helps"]]
        color = PALETTE[0] if helps else "0.35"
        axis.plot([share.low, share.high], [place] * 2, color=color, lw=1.5)
        axis.plot(share.k / share.n, place, "o", color=color, ms=5)
        axis.text(1.04, place, f"{share.k} of {share.n}", va="center", fontsize="small")
    axis.set(xlabel="share of trainings lost", xlim=(-0.03, 1.0))


def settings(runs: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Validation accuracy of two or more settings side by side, a panel a data set.

    Parameters
    ----------
    runs : of `stnlib.remedies.table`, and `setting`.
    names : panels: title by data set.
    """
    kinds = list(dict.fromkeys(runs["setting"]))
    present = {data: title for data, title in names.items() if (runs["data"] == data).any()}
    figure, axes = plt.subplots(
        1, len(present), figsize=(1.9 * len(present) + 0.5, 2.9), sharey=True, squeeze=False
    )
    for axis, (data, title) in zip(axes[0], present.items(), strict=True):
        part = runs[runs["data"] == data]
        _marks(axis, part.assign(place=part["setting"].map(kinds.index)))
        axis.set(title=title, xticks=range(len(kinds)), xlim=(-0.5, len(kinds) - 0.5), ylim=(0, 1))
        axis.set_xticklabels(kinds, fontsize="small")
    axes[0, 0].set_ylabel("validation accuracy")
    _legend(figure, axes[0, -1], runs["outcome"])
    return figure


def paces(histories: pd.DataFrame, goal: float, colors: Mapping[str, str]) -> Figure:
    """Validation accuracy over epochs, a line a run, with the epoch in which it reaches a goal.

    Parameters
    ----------
    histories : columns `network`, `seed`, `epoch`, `val_accuracy`.
    goal : accuracy; nan-free runs that never reach it have no mark.
    colors : by network.
    """
    figure, axis = plt.subplots(figsize=(7.5, 4))
    axis.axhline(goal, color="0.75", lw=1, zorder=0)
    ends = []
    for network, runs in histories.groupby("network", sort=False):
        for _, run in runs.groupby("seed"):
            axis.plot(run["epoch"], run["val_accuracy"], color=colors[network], lw=1.6)
            reached = run[run["val_accuracy"] >= goal]["epoch"]
            if len(reached):
                axis.plot(reached.iloc[0], goal, "o", color=colors[network], ms=6)
        last = runs[runs["seed"] == runs["seed"].min()].iloc[-1]
        ends.append((last["epoch"], last["val_accuracy"], network, colors[network]))
    spread_labels(axis, ends, gap=0.05)
    label_line(axis, 0, goal, f"{goal:.2f}", "0.4", dx=0, dy=7)
    axis.set(xlabel="epoch", ylabel="validation accuracy")
    return figure
