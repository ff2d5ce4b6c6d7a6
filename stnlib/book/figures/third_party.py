"""Figures of other people's transformers: when the monitor warned, and when they failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stnlib.book.figures.style import PALETTE, spread_labels

__all__ = ["NAMES", "courses", "warnings_and_failures"]

NAMES = {
    "tutorial": "PyTorch's tutorial",
    "keras": "Keras's manner",
    "tanh": "bounded by tanh",
    "tanh-adam": "the same, Adam",
}
COLORS = (PALETTE[0], PALETTE[3], PALETTE[2], "0.5")
LOOKS = {name: (COLORS[i], "os^v"[i]) for i, name in enumerate(NAMES)}
LINES = {"accuracy": "black", "coverage": PALETTE[0], "black": PALETTE[1]}


def warnings_and_failures(table: pd.DataFrame) -> Figure:
    """The step of the warning against that of the failure, a mark a run; below the line is early.

    Filled: died; hollow: shrunken. Runs that stay alive stand in the column at the right where
    they were warned of, runs that fail unannounced in the row at the top.

    Parameters
    ----------
    table : of `stnlib.book.third_party.recording.runs`; runs of transformers that are trained.
    """
    figure, axis = plt.subplots(figsize=(6.5, 5))
    top = 1.3 * table["steps"].max()
    axis.plot([1, top], [1, top], color="0.6", lw=1)
    place = {"rotation": 39, "rotation_mode": "anchor", "color": "0.4", "fontsize": "small"}
    axis.text(1.2, 1.35, "warned as it fails", **place)
    axis.axhspan(top, 2.2 * top, color="0.93", lw=0)
    axis.axvspan(top, 2.2 * top, color="0.93", lw=0)
    axis.text(1.1, 1.5 * top, "never warned", va="center", fontsize="small")
    centred = {"ha": "center", "va": "bottom", "fontsize": "small"}
    axis.text(1.5 * top, 2.3 * top, "alive,\nbut warned", **centred)
    for network, runs in table.groupby("network", sort=False):
        color, marker = LOOKS[network]
        runs = runs[runs["failed"].notna() | runs["warned"].notna()]
        x, y = (_spread(runs[name].fillna(1.5 * top)) for name in ("failed", "warned"))
        faces = [color if fate == "died" else "none" for fate in runs["fate"]]
        axis.scatter(x, y, s=38, marker=marker, facecolors=faces, edgecolors=[color], zorder=3)
        axis.plot([], [], marker, color=color, label=NAMES[network])
    axis.legend(loc="upper left", bbox_to_anchor=(0, 0.9), labelcolor="linecolor", handletextpad=0)
    limits = (0.8, 2.2 * top)
    axis.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    axis.set(xlabel="step at which it fails", ylabel="step of the warning")
    return figure


def _spread(values: pd.Series) -> np.ndarray:
    """The same, a little apart along the diagonal: equal ones are told from one another."""
    return values.to_numpy() * np.exp(np.random.default_rng(0).uniform(-0.06, 0.06, len(values)))


def courses(found: Sequence[Mapping[str, Any]]) -> Figure:
    """A run a panel: accuracy (mean of 25 steps), coverage and black outputs, with the warning.

    Parameters
    ----------
    found : observations of `stnlib.book.third_party`.
    """
    size = (3.6 * len(found), 3.2)
    figure, axes = plt.subplots(1, len(found), figsize=size, sharey=True, squeeze=False)
    for axis, one in zip(axes[0], found, strict=True):
        run, steps = one["rows"][0], pd.DataFrame(one["rows"][1:]).set_index("n")
        steps["accuracy"] = steps["accuracy"].rolling(5, min_periods=1).mean()
        for name, color in LINES.items():
            axis.plot(steps.index, steps[name].astype(float), color=color, lw=1.5)
        ends = [(steps.index[-1], steps[name].iloc[-1], name, LINES[name]) for name in LINES]
        axis.set(title=f"{NAMES[one['what']['network']]}, lr {one['what']['lr']:g}", xlabel="step")
        axis.set(ylim=(-0.04, 1.04), xlim=(0, 1.35 * steps.index[-1]))
        axis.set_xticks(range(0, steps.index[-1] + 1, 100))
        spread_labels(axis, ends)
        _warning(axis, run)
    return figure


def _warning(axis: Axes, run: Mapping[str, Any]) -> None:
    if run["warned"]:
        axis.axvline(run["warned"], color=PALETTE[3], lw=1.2, ls="--")
        text = f" step {run['warned']}: {run['warning']}"
        axis.text(run["warned"], 1.05, text, color=PALETTE[3], fontsize="small", va="bottom")
        axis.set_title(axis.get_title(), pad=18)
