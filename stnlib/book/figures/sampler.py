"""Figures of the sampler chapter: each takes results and returns a Matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from stnlib.book.figures.style import PALETTE, spread_labels

__all__ = [
    "agreement",
    "difference_images",
    "footprints",
    "images",
    "kernels",
    "positions",
    "scale_derivatives",
    "values_and_slopes",
]

BLUE, GREEN, RED, PURPLE = (PALETTE[i] for i in (0, 2, 3, 4))
SERIES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"))  # told apart without colours too
GREY = "0.55"


def kernels(row: Sequence[float], x: np.ndarray, curves: Mapping[str, tuple]) -> Figure:
    """A row of pixels read with each kernel.

    ``curves`` maps a kernel's name to (value at x, contributions of the pixels at x).
    """
    fig, axes = plt.subplots(1, len(curves), figsize=(9, 2.8), sharey=True)
    for ax, (name, (value, parts)) in zip(axes, curves.items(), strict=True):
        for part in parts:
            ax.fill_between(x, part, color=BLUE, alpha=0.15, lw=0)
            ax.plot(x, part, color=BLUE, alpha=0.4, lw=0.8)
        ax.plot(x, value, color=BLUE, lw=2)
        ax.plot(range(len(row)), row, "o", color="black")
        ax.set(title=f"{name} kernel", xlabel="x (pixels)")
    axes[0].set(ylabel="value", ylim=(0, 1.1))
    axes[0].annotate("a pixel", (1.15, row[1] + 0.05))
    axes[-1].annotate("the sum of all", (3.4, 0.45), color=BLUE)
    axes[-1].annotate("one pixel's share", (2, 0.3), xytext=(1.95, 0.85), color=BLUE,
                      arrowprops={"arrowstyle": "-", "color": BLUE})  # fmt: skip
    return fig


def values_and_slopes(
    x: np.ndarray,
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    lines: Sequence[float] = (),
    xlabel: str = "x (pixels)",
    shade: tuple[float, float] | None = None,
) -> Figure:
    """Value above and derivative below, a column a panel, a line a series.

    ``panels``: title → series name → (value, slope). ``lines`` marks the pixel centres and
    ``shade`` the range of x that lies inside of the image.
    """
    width = min(9, 3.2 + 2.9 * len(panels))
    fig, axes = plt.subplots(
        2, len(panels), figsize=(width, 4.2), sharex=True, sharey="row", squeeze=False,
    )  # fmt: skip
    for column, (title, series) in enumerate(panels.items()):
        for row, what in enumerate(("value", "slope")):
            ax = axes[row, column]
            if shade:
                ax.axvspan(*shade, color="0.93", lw=0)
            for line in lines:
                ax.axvline(line, color="0.8", lw=0.6)
            for (name, curve), (colour, style) in zip(series.items(), SERIES, strict=False):
                ax.plot(x, curve[row], style, color=colour, lw=1.8, label=name)
            if column == 0:
                ax.set_ylabel("value" if what == "value" else "derivative")
        axes[0, column].set_title(title)
        axes[1, column].axhline(0, color=GREY, lw=0.8)
        axes[1, column].set(xlabel=xlabel, xlim=(float(x[0]), float(x[-1])))
        axes[1, column].xaxis.set_major_locator(MultipleLocator(1 if len(panels) == 1 else 2))
        if len(series) > 1:
            axes[0, column].legend(frameon=False, fontsize=8)
    return fig


def footprints(maps: Mapping[str, np.ndarray], point: tuple[float, float] | None = None) -> Figure:
    """The weight of every pixel of the input, as numbers where there are few."""
    fig, axes = plt.subplots(1, len(maps), figsize=(3.1 * len(maps), 3.1))
    for ax, (title, weights) in zip(np.atleast_1d(axes), maps.items(), strict=True):
        ax.imshow(weights, cmap="Blues", vmin=0, vmax=max(1.0, 1.2 * weights.max()))
        for (n, m), weight in np.ndenumerate(weights):
            if weights.size < 50 and weight > 0:
                dark = weight > 0.5 * max(1.0, 1.2 * weights.max())
                ax.text(m, n + 0.15, f"{weight:.2f}", ha="center", va="center", fontsize=8,
                        color="white" if dark else "black")  # fmt: skip
        ax.set(title=title, xlabel="m (pixels)", ylabel="n (pixels)")
        ax.set(xticks=range(weights.shape[1]), yticks=range(weights.shape[0]))
    if point:
        np.atleast_1d(axes)[0].plot(*point, "x", color=RED, ms=7, mew=2)
    return fig


def images(rows: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """A table of grey images: row name → column name → image in [0, 1]."""
    columns = max(len(row) for row in rows.values())
    fig, axes = plt.subplots(
        len(rows), columns, figsize=(2.1 * columns, 2.2 * len(rows)), squeeze=False,
    )  # fmt: skip
    for i, (name, row) in enumerate(rows.items()):
        for (title, image), ax in zip(row.items(), axes[i], strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[], title="" if i else title)
            ax.spines[:].set_visible(True)
        axes[i, 0].set_ylabel(name)
    return fig


def difference_images(maps: Mapping[str, np.ndarray], label: str) -> Figure:
    """Signed images on one scale: orange above, blue below, white at zero."""
    reach = max(np.abs(m).max() for m in maps.values())
    fig, axes = plt.subplots(1, len(maps), figsize=(2.6 * len(maps) + 0.8, 2.7))
    for (title, values), ax in zip(maps.items(), axes, strict=True):
        shown = ax.imshow(values, cmap="PuOr_r", vmin=-reach, vmax=reach)
        ax.set(xticks=[], yticks=[], title=title)
        ax.spines[:].set_visible(True)
    fig.colorbar(shown, ax=axes, label=label, shrink=0.8)
    return fig


def agreement(
    factors: Sequence[int], shares: Mapping[str, Sequence[float]], chance: float
) -> Figure:
    """Share of starts whose gradient points to the solution, against the shrink factor."""
    fig, ax = plt.subplots(figsize=(6.5, 3.3))
    for (_, share), (colour, style) in zip(shares.items(), SERIES, strict=False):
        ax.plot(factors, share, style, marker="o", color=colour, lw=1.8)
    ax.axhline(chance, color=GREY, lw=0.8)
    ax.annotate("a random direction", (factors[0], chance), xytext=(0, 4), color=GREY,
                textcoords="offset points")  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_xticks(factors, [f"1/{f}" if f > 1 else "1" for f in factors])
    ax.set(xlabel="size of the output, in sizes of the input", ylim=(0, 1.08))
    ax.set_ylabel("share of starts that head\nwithin 60° of the solution")
    pairs = zip(shares.items(), SERIES, strict=False)
    spread_labels(ax, [(factors[-1], s[-1], name, color) for (name, s), (color, _) in pairs])
    return fig


def positions(width: int, rows: Mapping[str, Sequence[float]]) -> Figure:
    """Where each output pixel of a row is read, on a ruler of pixels."""
    fig, ax = plt.subplots(figsize=(7, 2.2))
    for pixel in range(width):
        ax.axvspan(pixel - 0.5, pixel + 0.5, color="0.93" if pixel % 2 else "0.86", lw=0)
    for height, ((_, places), (colour, _)) in enumerate(zip(rows.items(), SERIES, strict=False)):
        ax.plot(places, [-height] * width, "o", color=colour, ms=9)
        for i, place in enumerate(places):
            ax.annotate(
                str(i), (place, -height), ha="center", va="center", color="white", fontsize=7
            )
    ax.annotate("black", (width, 1 - len(rows)), xytext=(10, 0), textcoords="offset points",
                va="center")  # fmt: skip
    ax.set(xlabel="pixel of the input that output pixel 0, 1, 2, … is read at", ylim=(-1.6, 0.6))
    ax.set_yticks([0, -1], list(rows))
    ax.set_xticks(range(width + 1))
    ax.spines[["top", "right", "left"]].set_visible(False)
    return fig


def scale_derivatives(scales: np.ndarray, panels: Mapping[str, Mapping]) -> Figure:
    """Loss above and its derivatives with respect to scale below, a column a signal.

    ``panels``: title → {"loss": values, "derivatives": name → values,
    "differences": name → values, drawn as dots}.
    """
    fig, axes = plt.subplots(
        2, len(panels), figsize=(9.5, 5.4), sharex=True, sharey="row",
        height_ratios=(1, 2),
    )  # fmt: skip
    for column, (title, panel) in enumerate(panels.items()):
        top, bottom = axes[:, column]
        top.plot(scales, panel["loss"], color="black", lw=1.8)
        top.set_title(title)
        bottom.axhline(0, color=GREY, lw=0.8)
        for (name, values), (colour, style) in zip(
            panel["derivatives"].items(), (("black", "-"), *SERIES), strict=False
        ):
            thick = 4 if name.startswith("true") else 1.8
            bottom.plot(scales, values, style, color=colour, lw=thick,
                        alpha=0.3 if thick > 2 else 1, label=name)  # fmt: skip
        for (name, values), (colour, _), mark in zip(
            panel["differences"].items(), SERIES, ("o", "x"), strict=False
        ):
            bottom.plot(scales[::6], values[::6], mark, color=colour, ms=5, label=name)
        bottom.set_xlabel("scale s (larger: zoomed out)")
        for ax in (top, bottom):
            ax.axvline(1, color="0.8", lw=0.8)
    axes[0, 0].set_ylabel("loss L(s)")
    axes[1, 0].set_ylabel("dL/ds")
    axes[1, -1].legend(frameon=False, fontsize=8)
    return fig
