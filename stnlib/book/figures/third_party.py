"""Figures of other people's transformers: when the monitor warned, and when they failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stnlib.book.figures.style import BLUE, GREEN, ORANGE, RED, spread_labels

__all__ = ["NAMES", "courses", "warnings_and_failures"]

NAMES = {
    "tutorial": "PyTorch's tutorial",
    "keras": "Keras's manner",
    "tanh": "bounded by tanh",
    "tanh-adam": "the same, Adam",
}
LOOKS = dict(zip(NAMES, zip((BLUE, RED, GREEN, "0.5"), "os^v", strict=True), strict=True))
LINES = {"accuracy": "black", "coverage": BLUE, "black": ORANGE}


def warnings_and_failures(table: pd.DataFrame) -> Figure:
    """The step of the warning against that of the failure, a mark a run; below the line is early.

    Filled: died; hollow: shrunken. Runs that stay alive stand in the column at the right where
    they were warned of, runs that fail unannounced in the row at the top.

    Parameters
    ----------
    table : pd.DataFrame
        Of `stnlib.book.third_party.recording.runs`; runs of transformers that are trained.

    Returns
    -------
    Figure
        One panel.
    """
    figure, axis = plt.subplots(figsize=(6.5, 5))
    top = 1.3 * table["steps"].max()
    axis.plot([1, top], [1, top], color="0.6", lw=1)
    along = {"rotation": 39, "rotation_mode": "anchor", "color": "0.4"}
    axis.text(1.2, 1.35, "warned as it fails", fontsize="small", **along)
    axis.axhspan(top, 2.2 * top, color="0.93", lw=0)
    axis.axvspan(top, 2.2 * top, color="0.93", lw=0)
    axis.text(1.1, 1.5 * top, "never warned", va="center", fontsize="small")
    at = (1.5 * top, 2.3 * top)
    axis.text(*at, "alive,\nbut warned", ha="center", va="bottom", fontsize="small")
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
    """Accuracy (mean of 25 steps), coverage and black outputs, with the warning.

    Parameters
    ----------
    found : Sequence[Mapping[str, Any]]
        Observations of `stnlib.book.third_party`.

    Returns
    -------
    Figure
        A panel a run.
    """
    size = (3.6 * len(found), 3.2)
    figure, axes = plt.subplots(1, len(found), figsize=size, sharey=True, squeeze=False)
    for axis, one in zip(axes[0], found, strict=True):
        run, steps = one["rows"][0], pd.DataFrame(one["rows"][1:]).set_index("n")
        steps["accuracy"] = steps["accuracy"].rolling(5, min_periods=1).mean()
        ends = []
        for name, color in LINES.items():
            axis.plot(steps.index, steps[name].astype(float), color=color, lw=1.5)
            ends.append((steps.index[-1], steps[name].iloc[-1], name, color))
        axis.set(ylim=(-0.04, 1.04), xlim=(0, 1.35 * steps.index[-1]), xlabel="step")
        axis.set_xticks(range(0, steps.index[-1] + 1, 100))
        spread_labels(axis, ends)
        title = f"{NAMES[one['what']['network']]}, lr {one['what']['lr']:g}"
        axis.set_title(title, pad=18 if run["warned"] else None)
        if run["warned"]:
            axis.axvline(run["warned"], color=RED, lw=1.2, ls="--")
            text = f" step {run['warned']}: {run['warning']}"
            axis.text(run["warned"], 1.05, text, color=RED, fontsize="small", va="bottom")
    return figure
