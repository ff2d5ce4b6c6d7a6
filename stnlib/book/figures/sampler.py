"""Figures of the sampler chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from stnlib.book.figures.style import BLUE, GREEN, GREY, PURPLE, RED, spread_labels

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

SERIES = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"))  # told apart without colours too


def kernels(
    row: Sequence[float], x: np.ndarray, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Figure:
    """A row of pixels read with each kernel.

    Parameters
    ----------
    row : Sequence[float]
        Values of the pixels.
    x : np.ndarray
        (n,) places, in pixels.
    curves : Mapping[str, tuple[np.ndarray, np.ndarray]]
        A kernel's name → value at each place (n,), and what each pixel adds to it (pixels, n).

    Returns
    -------
    Figure
        A panel a kernel.
    """
    figure, axes = plt.subplots(1, len(curves), figsize=(9, 2.8), sharey=True)
    for axis, (name, (value, parts)) in zip(axes, curves.items(), strict=True):
        for part in parts:
            axis.fill_between(x, part, color=BLUE, alpha=0.15, lw=0)
            axis.plot(x, part, color=BLUE, alpha=0.4, lw=0.8)
        axis.plot(x, value, color=BLUE, lw=2)
        axis.plot(range(len(row)), row, "o", color="black")
        axis.set(title=f"{name} kernel", xlabel="x (pixels)")
    axes[0].set(ylabel="value", ylim=(0, 1.1))
    axes[0].annotate("a pixel", (1.15, row[1] + 0.05))
    axes[-1].annotate("the sum of all", (3.4, 0.45), color=BLUE)
    axes[-1].annotate("one pixel's share", (2, 0.3), xytext=(1.95, 0.85), color=BLUE,
                      arrowprops={"arrowstyle": "-", "color": BLUE})  # fmt: skip
    return figure


def values_and_slopes(
    x: np.ndarray,
    panels: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    *,
    lines: Sequence[float] = (),
    shade: tuple[float, float] | None = None,
) -> Figure:
    """Values above and derivatives below.

    Parameters
    ----------
    x : np.ndarray
        (n,) places, in pixels.
    panels : Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]]
        Title → name of a series → value and slope, (n,).
    lines : Sequence[float]
        Centres of pixels, to be marked.
    shade : tuple[float, float] | None
        The range of x that lies inside of the image.

    Returns
    -------
    Figure
        A column a panel.
    """
    width = min(9, 3.2 + 2.9 * len(panels))
    figure, axes = plt.subplots(
        2, len(panels), figsize=(width, 4.2), sharex=True, sharey="row", squeeze=False
    )
    for (top, bottom), (title, series) in zip(axes.T, panels.items(), strict=True):
        for row, axis in enumerate((top, bottom)):
            if shade:
                axis.axvspan(*shade, color="0.93", lw=0)
            for line in lines:
                axis.axvline(line, color="0.8", lw=0.6)
            for (name, curve), (color, style) in zip(series.items(), SERIES, strict=False):
                axis.plot(x, curve[row], style, color=color, lw=1.8, label=name)
        top.set_title(title)
        bottom.axhline(0, color=GREY, lw=0.8)
        bottom.set(xlabel="x (pixels)", xlim=(float(x[0]), float(x[-1])))
        bottom.xaxis.set_major_locator(MultipleLocator(1 if len(panels) == 1 else 2))
        if len(series) > 1:
            top.legend(frameon=False, fontsize=8)
    axes[0, 0].set_ylabel("value")
    axes[1, 0].set_ylabel("derivative")
    return figure


def footprints(maps: Mapping[str, np.ndarray], point: tuple[float, float] | None = None) -> Figure:
    """The weight of every pixel of the input, as numbers where there are few.

    Parameters
    ----------
    maps : Mapping[str, np.ndarray]
        By title, (H, W).
    point : tuple[float, float] | None
        (x, y) to mark in the first, in pixels.

    Returns
    -------
    Figure
        A panel a map.
    """
    figure, axes = plt.subplots(1, len(maps), figsize=(3.1 * len(maps), 3.1), squeeze=False)
    for axis, (title, weights) in zip(axes[0], maps.items(), strict=True):
        top = max(1.0, 1.2 * weights.max())
        axis.imshow(weights, cmap="Blues", vmin=0, vmax=top)
        for (n, m), weight in np.ndenumerate(weights):
            if weights.size < 50 and weight > 0:
                axis.text(m, n + 0.15, f"{weight:.2f}", ha="center", va="center", fontsize=8,
                          color="white" if weight > 0.5 * top else "black")  # fmt: skip
        axis.set(title=title, xlabel="m (pixels)", ylabel="n (pixels)")
        axis.set(xticks=range(weights.shape[1]), yticks=range(weights.shape[0]))
    if point:
        axes[0, 0].plot(*point, "x", color=RED, ms=7, mew=2)
    return figure


def images(rows: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """A table of grey images.

    Parameters
    ----------
    rows : Mapping[str, Mapping[str, np.ndarray]]
        Row name → column name → image (H, W) in [0, 1].

    Returns
    -------
    Figure
        A panel an image.
    """
    columns = max(len(row) for row in rows.values())
    size = (2.1 * columns, 2.2 * len(rows))
    figure, axes = plt.subplots(len(rows), columns, figsize=size, squeeze=False)
    for i, (name, row) in enumerate(rows.items()):
        for (title, image), axis in zip(row.items(), axes[i], strict=True):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[], title="" if i else title)
            axis.spines[:].set_visible(True)
        axes[i, 0].set_ylabel(name)
    return figure


def difference_images(maps: Mapping[str, np.ndarray], label: str) -> Figure:
    """Signed images on one scale: orange above, blue below, white at zero.

    Parameters
    ----------
    maps : Mapping[str, np.ndarray]
        By title, (H, W); at least two.
    label : str
        Of the scale.

    Returns
    -------
    Figure
        A panel an image.
    """
    reach = max(np.abs(m).max() for m in maps.values())
    figure, axes = plt.subplots(1, len(maps), figsize=(2.6 * len(maps) + 0.8, 2.7))
    for (title, values), axis in zip(maps.items(), axes, strict=True):
        shown = axis.imshow(values, cmap="PuOr_r", vmin=-reach, vmax=reach)
        axis.set(xticks=[], yticks=[], title=title)
        axis.spines[:].set_visible(True)
    figure.colorbar(shown, ax=axes, label=label, shrink=0.8)
    return figure


def agreement(
    factors: Sequence[int], shares: Mapping[str, Sequence[float]], chance: float
) -> Figure:
    """Share of starts whose gradient points to the solution, against the shrink factor.

    Parameters
    ----------
    factors : Sequence[int]
        Input over output, rising.
    shares : Mapping[str, Sequence[float]]
        By the sampler's name, one a factor.
    chance : float
        The share of a random direction.

    Returns
    -------
    Figure
        A line a sampler.
    """
    figure, axis = plt.subplots(figsize=(6.5, 3.3))
    ends = []
    for (name, share), (color, style) in zip(shares.items(), SERIES, strict=False):
        axis.plot(factors, share, style, marker="o", color=color, lw=1.8)
        ends.append((factors[-1], share[-1], name, color))
    axis.axhline(chance, color=GREY, lw=0.8)
    axis.annotate("a random direction", (factors[0], chance), xytext=(0, 4), color=GREY,
                  textcoords="offset points")  # fmt: skip
    axis.set_xscale("log", base=2)
    axis.set_xticks(factors, [f"1/{f}" if f > 1 else "1" for f in factors])
    axis.set(xlabel="size of the output, in sizes of the input", ylim=(0, 1.08))
    axis.set_ylabel("share of starts that head\nwithin 60° of the solution")
    spread_labels(axis, ends)
    return figure


def positions(width: int, rows: Mapping[str, Sequence[float]]) -> Figure:
    """Where each output pixel of a row is read, on a ruler of pixels.

    Parameters
    ----------
    width : int
        Pixels of the input, and of the output.
    rows : Mapping[str, Sequence[float]]
        By name, two; a place an output pixel.

    Returns
    -------
    Figure
        A row of numbered dots a name.
    """
    figure, axis = plt.subplots(figsize=(7, 2.2))
    for pixel in range(width):
        axis.axvspan(pixel - 0.5, pixel + 0.5, color="0.93" if pixel % 2 else "0.86", lw=0)
    for height, (places, (color, _)) in enumerate(zip(rows.values(), SERIES, strict=False)):
        axis.plot(places, [-height] * width, "o", color=color, ms=9)
        for i, place in enumerate(places):
            axis.annotate(str(i), (place, -height), ha="center", va="center", color="white",
                          fontsize=7)  # fmt: skip
    axis.annotate("black", (width, 1 - len(rows)), xytext=(10, 0), textcoords="offset points",
                  va="center")  # fmt: skip
    axis.set(xlabel="pixel of the input that output pixel 0, 1, 2, … is read at", ylim=(-1.6, 0.6))
    axis.set_yticks([0, -1], list(rows))
    axis.set_xticks(range(width + 1))
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def scale_derivatives(scales: np.ndarray, panels: Mapping[str, Mapping]) -> Figure:
    """Loss above and its derivatives with respect to scale below.

    Parameters
    ----------
    scales : np.ndarray
        (n,).
    panels : Mapping[str, Mapping]
        Title of a signal → `loss`, (n,); `derivatives`, by name, (n,); `differences`, the same,
        drawn as dots.

    Returns
    -------
    Figure
        A column a signal.
    """
    figure, axes = plt.subplots(
        2, len(panels), figsize=(9.5, 5.4), sharex=True, sharey="row", height_ratios=(1, 2)
    )
    for (top, bottom), (title, panel) in zip(axes.T, panels.items(), strict=True):
        top.plot(scales, panel["loss"], color="black", lw=1.8)
        top.set_title(title)
        bottom.axhline(0, color=GREY, lw=0.8)
        for (name, values), (color, style) in zip(
            panel["derivatives"].items(), (("black", "-"), *SERIES), strict=False
        ):
            look = {"lw": 4, "alpha": 0.3} if name.startswith("true") else {"lw": 1.8}
            bottom.plot(scales, values, style, color=color, label=name, **look)
        for (name, values), (color, _), mark in zip(
            panel["differences"].items(), SERIES, ("o", "x"), strict=False
        ):
            bottom.plot(scales[::6], values[::6], mark, color=color, ms=5, label=name)
        bottom.set_xlabel("scale s (larger: zoomed out)")
        for axis in (top, bottom):
            axis.axvline(1, color="0.8", lw=0.8)
    axes[0, 0].set_ylabel("loss L(s)")
    axes[1, 0].set_ylabel("dL/ds")
    axes[1, -1].legend(frameon=False, fontsize=8)
    return figure
