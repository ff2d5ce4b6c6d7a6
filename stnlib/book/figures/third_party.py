"""Figures of other people's transformers: when the monitor warned, and when they failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from stnlib.book.figures.rows import WIDTH
from stnlib.book.figures.style import BLUE, ORANGE, RED, STATES, spread_labels

__all__ = ["NAMES", "courses", "fates", "leads"]

NAMES = {
    "tutorial": "PyTorch's tutorial",
    "keras": "Keras's manner",
    "tanh": "bounded by tanh",
    "tanh-adam": "the same, Adam",
}
LINES = {"accuracy": "black", "coverage": BLUE, "black": ORANGE}
FATES = {"alive": ("kept", "o", STATES["looks"]), "blind": ("blind", "X", STATES["blind"])}
FATES |= {"shrunken": ("shrunken", "X", STATES["shrunken"]), "died": ("failed", "X", "black")}
SMALL = 9.5  # points


def leads(table: pd.DataFrame) -> Figure:
    """How long before its first sign a loss was warned of, a mark a training that was lost.

    At the right: how many of those that were kept were warned of.

    Parameters
    ----------
    table : pd.DataFrame
        Of `stnlib.book.third_party.recording.runs`; controls are left out.

    Returns
    -------
    Figure
        A row a network and its images.
    """
    table = table[~table["frozen"]]
    cells = [(n, d) for n in NAMES for d in dict.fromkeys(table["data"])]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.42 * len(cells) + 1.0))
    for place, (network, data) in enumerate(cells):
        runs = table[(table["network"] == network) & (table["data"] == data)]
        lost = runs[runs["failed"].notna()]
        lead = (lost["failed"] - lost["warned"]).fillna(0).clip(lower=0)
        apart = np.random.default_rng(0).uniform(-0.22, 0.22, len(lead))
        for early, marker, color in ((True, "o", BLUE), (False, "X", "black")):
            some = ((lead > 0) == early).to_numpy()
            x = lead[some].where(lead[some] > 0, 0.5)
            axis.plot(x, place + apart[some], marker, color=color, ms=6.5, mec="white", mew=0.5)
        kept = runs[runs["failed"].isna()]["warned"].notna()
        axis.annotate(f"{kept.sum()} of {len(kept)}", (1.02, place), va="center", fontsize=SMALL,
                      xycoords=("axes fraction", "data"))  # fmt: skip
    axis.annotate("kept, and\nwarned of", (1.02, -0.8), fontsize=SMALL, va="bottom",
                  xycoords=("axes fraction", "data"))  # fmt: skip
    axis.set_xscale("log")
    axis.set_xticks([0.5, 2, 10, 100], ["not\nbefore", "2", "10", "100"])
    axis.set_xticks([], minor=True)
    axis.set_yticks(range(len(cells)), [f"{NAMES[n]}, {d}" for n, d in cells])
    axis.set(ylim=(len(cells) - 0.5, -0.6))
    axis.tick_params(labelsize=SMALL)
    axis.set_xlabel("steps from the warning to the first sign", fontsize=SMALL)
    return figure


def fates(table: pd.DataFrame) -> Figure:
    """What became of every training, a row a network and rate, the transformers' own.

    At the right: mean accuracies, with the transformer and of the classifier alone.

    Parameters
    ----------
    table : pd.DataFrame
        Of `stnlib.book.third_party.recording.runs`.

    Returns
    -------
    Figure
        One panel.
    """
    cells = [(n, lr) for n in NAMES for lr in sorted(set(table[table["network"] == n]["lr"]))]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.27 * len(cells) + 1.0))
    most = table[~table["frozen"]].groupby(["network", "lr"]).size().max()
    for place, (network, lr) in enumerate(cells):
        here = table[(table["network"] == network) & (table["lr"] == lr)]
        runs, alone = here[~here["frozen"]], here[here["frozen"]]["accuracy"].mean()
        for x, fate in enumerate(sorted(runs["fate"], key=list(FATES).index)):
            _, marker, color = FATES[fate]
            axis.plot(x, place, marker, color=color, ms=8, mec="white", mew=0.6)
        note = f"{runs['accuracy'].mean():.2f}" + (
            "" if np.isnan(alone) else f", alone {alone:.2f}"
        )
        axis.text(most, place, note, va="center", fontsize=SMALL)
    axis.set_yticks(range(len(cells)), [f"{NAMES[n]}, {lr:g}" for n, lr in cells])
    axis.set(xlim=(-0.6, most + 2), ylim=(len(cells) - 0.4, -0.6), xticks=[])
    axis.tick_params(axis="y", length=0, labelsize=SMALL)
    axis.spines[["left", "bottom"]].set_visible(False)
    for fate, (said, marker, color) in FATES.items():
        if (table["fate"] == fate).any():
            axis.plot([], [], marker, color=color, label=said)
    figure.legend(ncols=4, loc="outside upper center", fontsize=SMALL, handletextpad=0.1)
    return figure


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
    size = (WIDTH, 2.3 * len(found))
    figure, axes = plt.subplots(len(found), 1, figsize=size, sharex=True, squeeze=False)
    for axis, one in zip(axes[:, 0], found, strict=True):
        run, steps = one["rows"][0], pd.DataFrame(one["rows"][1:]).set_index("n")
        steps["accuracy"] = steps["accuracy"].rolling(5, min_periods=1).mean()
        ends = []
        for name, color in LINES.items():
            axis.plot(steps.index, steps[name].astype(float), color=color, lw=1.5)
            ends.append((steps.index[-1], steps[name].iloc[-1], name, color))
        axis.set(ylim=(-0.04, 1.04), xlim=(0, 1.3 * steps.index[-1]))
        axis.set_xticks(range(0, steps.index[-1] + 1, 100))
        axis.tick_params(labelsize=SMALL)
        spread_labels(axis, ends, gap=0.12)
        title = f"{NAMES[one['what']['network']]}, {one['what']['lr']:g}"
        axis.set_title(title, fontsize=SMALL, loc="right")
        if run["warned"]:
            axis.axvline(run["warned"], color=RED, lw=1.2, ls="--")
            text = f"warned, step {run['warned']}"
            axis.text(run["warned"], 1.05, text, color=RED, fontsize=SMALL, va="bottom")
    axes[-1, 0].set_xlabel("step", fontsize=SMALL)
    return figure
