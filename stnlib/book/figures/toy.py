"""Figures of the one-dimensional toy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from stnlib.book.figures.style import BLUE, GREEN, GREY, PURPLE, RED, label_line

__all__ = ["ends", "exits", "landscapes"]

SERIES = (
    (RED, "o", "-"),
    (GREEN, "s", "--"),
    (PURPLE, "^", "-."),
    ("black", "v", ":"),
    (BLUE, "D", "-"),
)


def landscapes(
    s: np.ndarray, t: np.ndarray, panels: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """The loss over (s, t), and which way its gradient leads.

    Parameters
    ----------
    s, t : np.ndarray
        (n,), (m,) the scales and shifts, each rising; s > 0.
    panels : Mapping[str, tuple[np.ndarray, np.ndarray]]
        Title → loss (m, n), and descent (m, n, 2), the negative gradient.

    Returns
    -------
    Figure
        A panel a title.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 3.5), sharey=True)
    for axis, (title, (height, descent)) in zip(axes, panels.items(), strict=True):
        axis.pcolormesh(s, t, height, cmap="Greys", vmax=2 * height.max(), shading="gouraud")
        axis.fill_between(s, 1 + s, 1 + t[-1], color="white")
        axis.plot(s, 1 + s, color="black", lw=1)
        length = np.linalg.norm(descent, axis=-1)
        there = length > 1e-3
        row, column = np.nonzero(there)
        arrows = descent[there] / length[there][:, None]
        inward = arrows @ (1, 0) * (1 - s[column]) - arrows @ (0, 1) * t[row] > -1e-9
        for chosen, color in ((inward, BLUE), (~inward, RED)):
            axis.quiver(s[column][chosen], t[row][chosen], *arrows[chosen].T, color=color,
                        scale=16, width=0.009, pivot="mid")  # fmt: skip
        axis.plot(1, 0, "*", color="black", ms=11)
        axis.text(0.5 * (s[0] + 1), 0.9 * t[-1], "out of sight", fontsize="small")
        axis.set(title=title, xlabel="scale s", xlim=(s[0], s[-1]), ylim=(-0.15, t[-1]))
    axes[0].set_ylabel("shift t")
    return figure


def _log_axis(axis: Axes, sizes: Sequence[float], xlabel: str) -> None:
    axis.set(xscale="log", xlabel=xlabel)
    axis.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())


def exits(sizes: Sequence[float], laws: Mapping[str, tuple[np.ndarray, Sequence[float]]]) -> Figure:
    """Steps until the image is out of sight against the size of a step, both logarithmic.

    Parameters
    ----------
    sizes : Sequence[float]
        Of a step.
    laws : Mapping[str, tuple[np.ndarray, Sequence[float]]]
        Name → predicted and measured, one of each a size; inf and nan are not drawn.

    Returns
    -------
    Figure
        A line and marks a law.
    """
    figure, axis = plt.subplots(figsize=(7.2, 4.3))
    first, place = int(np.argmin(sizes)), 0.0
    series = zip(laws.items(), SERIES, strict=False)
    for (name, (predicted, found)), (color, mark, style) in sorted(
        series, key=lambda one: one[0][1][0][first]
    ):
        axis.plot(sizes, predicted, style, color=color, lw=1.6)
        axis.plot(sizes, found, mark, color=color, ms=6)
        place = max(predicted[first], 1.5 * place)  # labels keep clear of one another
        label_line(axis, min(sizes), place, name, color, dx=-8).set_ha("right")
    _log_axis(axis, sizes, "σ: how far a step moves the view")
    axis.set(yscale="log", ylabel="steps until out of sight")
    axis.set_xlim(min(sizes) / 2.3, max(sizes) * 1.1)
    return figure


def ends(
    sizes: Sequence[float],
    shares: Mapping[str, Sequence[float]],
    paths: Mapping[str, np.ndarray],
) -> Figure:
    """What becomes of the features: examples on the left, the two ends on the right.

    Parameters
    ----------
    sizes : Sequence[float]
        σ at the start, one a simulation.
    shares : Mapping[str, Sequence[float]]
        Name of an end → the share of walkers that reach it, in [0, 1], one a size.
    paths : Mapping[str, np.ndarray]
        Name → features over those at the start, (steps,).

    Returns
    -------
    Figure
        Two panels.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6))
    for (name, path), (color, _, style) in zip(paths.items(), SERIES, strict=False):
        left.plot(np.arange(1, len(path) + 1), path, style, color=color, lw=1.8)
        label_line(left, len(path), path[-1], name, color)
    left.set(xlabel="step", ylabel="features φ, in those at the start")
    left.axhline(1, color=GREY, lw=0.8)
    for (name, share), (color, mark, style) in zip(shares.items(), SERIES, strict=False):
        right.plot(sizes, share, style, marker=mark, color=color, lw=1.8)
        high = int(np.argmax(share))
        label = label_line(right, sizes[high], share[high], name, color, dx=0, dy=10)
        label.set_ha("right" if high else "left")
    _log_axis(right, sizes, "σ at the start, lr (1 + ‖φ‖₁)")
    right.set(ylabel="share of the walkers", ylim=(-0.05, 1.15))
    right.yaxis.set_major_formatter(PercentFormatter(1))
    return figure
