"""Figures of the sampler chapter and of the appendix pages that it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from stnlib.book.figures.style import BLUE, COLORS, GREY, label_line, spread_labels
from stnlib.book.stats import wilson

__all__ = [
    "agreement",
    "footprints",
    "kernels",
    "positions",
    "scale_slopes",
    "values_and_slopes",
]

WIDTH = 6.4  # inches: at 390 pixels of a phone, type of 10 points is 8 pixels high
SAMPLERS = {  # told apart without colours, too
    "correct": (COLORS["bilinear"], "-"),
    "clipped": (COLORS["clipped"], "--"),
}
METHODS = {"at points": GREY, "linearised": COLORS["stn_frozen"], "pyramid": BLUE}


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
    figure, axes = plt.subplots(1, len(curves), figsize=(WIDTH, 2.6), sharey=True)
    for axis, (name, (value, parts)) in zip(axes, curves.items(), strict=True):
        for part in parts:
            axis.fill_between(x, part, color=BLUE, alpha=0.15, lw=0)
            axis.plot(x, part, color=BLUE, alpha=0.4, lw=0.8)
        axis.plot(x, value, color=BLUE, lw=2)
        axis.plot(range(len(row)), row, "o", color="black")
        axis.set(title=f"{name} kernel", xlabel="x (pixels)")
    axes[0].set(ylabel="value", ylim=(0, 1.1))
    axes[0].annotate("a pixel", (1.2, row[1] + 0.06), fontsize="small")
    note = {"color": BLUE, "fontsize": "small", "textcoords": "offset points"}
    axes[-1].annotate("the sum of all", (2.5, sum(row[2:4]) / 2), (4, 22), **note)
    end = len(row) - 1
    axes[-1].annotate("one pixel's share", (end + 0.5, row[end] / 2), (-14, 32),
                      arrowprops={"arrowstyle": "-", "color": BLUE}, **note)  # fmt: skip
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
    figure, axes = plt.subplots(
        2, len(panels), figsize=(WIDTH, 3.2), sharex=True, sharey="row", squeeze=False
    )
    for (top, bottom), (title, series) in zip(axes.T, panels.items(), strict=True):
        for row, axis in enumerate((top, bottom)):
            if shade:
                axis.axvspan(*shade, color="0.93", lw=0)
            for line in lines:
                axis.axvline(line, color="0.8", lw=0.6)
            for name, curve in series.items():
                color, style = SAMPLERS.get(name, SAMPLERS["correct"])
                axis.plot(x, curve[row], style, color=color, lw=1.8, label=name)
        top.set_title(title)
        bottom.axhline(0, color=GREY, lw=0.8)
        bottom.set(xlabel="x (pixels)", xlim=(float(x[0]), float(x[-1])))
        bottom.xaxis.set_major_locator(MultipleLocator(1 if len(panels) == 1 else 2))
        if len(series) > 1:
            top.legend(fontsize="small")
    axes[0, 0].set_ylabel("value")
    axes[1, 0].set_ylabel("slope")
    return figure


def footprints(maps: Mapping[str, np.ndarray]) -> Figure:
    """The weight of every pixel of the input, as numbers.

    Parameters
    ----------
    maps : Mapping[str, np.ndarray]
        By title, (H, W).

    Returns
    -------
    Figure
        A panel a map.
    """
    figure, axes = plt.subplots(1, len(maps), figsize=(WIDTH, 3.5), squeeze=False)
    for axis, (title, weights) in zip(axes[0], maps.items(), strict=True):
        top = max(1.0, 1.2 * weights.max())
        axis.imshow(weights, cmap="Blues", vmin=0, vmax=top)
        for (n, m), weight in np.ndenumerate(weights):
            axis.text(m, n, f"{weight:.1f}", ha="center", va="center", fontsize="small",
                      color="white" if weight > 0.5 * top else "black")  # fmt: skip
        axis.set(title=title, xticks=[], yticks=[])
    return figure


def agreement(
    factors: Sequence[int], counts: Mapping[str, Sequence[int]], n: int, chance: float
) -> Figure:
    """Share of starts whose gradient points to the solution, against the shrink factor.

    Parameters
    ----------
    factors : Sequence[int]
        Input over output, rising.
    counts : Mapping[str, Sequence[int]]
        By the way of reading, of `METHODS`; good starts at each factor.
    n : int
        Starts at each.
    chance : float
        The share of a random direction.

    Returns
    -------
    Figure
        A line a way of reading, with intervals of 95 %.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.4))
    ends = []
    for i, (name, found) in enumerate(counts.items()):
        share = np.array(found) / n
        low, high = np.array([wilson(k, n)[2:] for k in found]).T
        places = np.array(factors) * 1.03 ** (i - 1)  # beside one another, to be seen
        axis.errorbar(places, share, (share - low, high - share), marker="o", color=METHODS[name],
                      lw=1.8, elinewidth=1)  # fmt: skip
        ends.append((1.08 * factors[-1], share[-1], name, METHODS[name]))
    axis.axhline(chance, color=GREY, lw=0.8, ls=":")
    label_line(axis, factors[0], chance, "a random direction", "0.4", dx=0, dy=8)
    axis.set_xscale("log", base=2)
    axis.set_xticks(factors, [f"1/{f}" if f > 1 else "1" for f in factors])
    axis.set(xlabel="size of the output, in sizes of the input", ylim=(0, 1.08))
    axis.set_ylabel(f"good starts (n = {n} each)")
    spread_labels(axis, ends)
    return figure


def positions(width: int, rows: Mapping[str, Sequence[float]]) -> Figure:
    """Where each output pixel of a row is read, on a ruler of pixels.

    Parameters
    ----------
    width : int
        Pixels of the input, and of the output.
    rows : Mapping[str, Sequence[float]]
        By name, of `SAMPLERS`, two; a place an output pixel.

    Returns
    -------
    Figure
        A row of numbered dots a name.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 2.3))
    for pixel in range(width):
        axis.axvspan(pixel - 0.5, pixel + 0.5, color="0.93" if pixel % 2 else "0.86", lw=0)
    for height, (name, places) in enumerate(rows.items()):
        axis.plot(places, [-height] * width, "o", color=SAMPLERS[name][0], ms=15)
        for i, place in enumerate(places):
            axis.annotate(str(i), (place, -height), ha="center", va="center", color="white",
                          fontsize=10)  # fmt: skip
    label_line(axis, width, 1 - len(rows), "black", "black", dx=11)
    axis.set(xlabel="pixel of the input where output pixels 0, 1, 2, … are read")
    axis.set(xlim=(-0.6, width + 0.9), ylim=(-1.6, 0.6))
    axis.set_yticks([0, -1], list(rows))
    axis.set_xticks(range(width + 1))
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def scale_slopes(
    scales: np.ndarray,
    panels: Mapping[str, Mapping[str, np.ndarray]],
    measured: Mapping[str, np.ndarray],
) -> Figure:
    """What each sampler reports as the slope of its loss with respect to scale, and the truth.

    Parameters
    ----------
    scales : np.ndarray
        (n,).
    panels : Mapping[str, Mapping[str, np.ndarray]]
        Title of a signal → name, of `SAMPLERS` or `true` → slopes, (n,).
    measured : Mapping[str, np.ndarray]
        Title of a signal → slopes of the clipped sampler's own loss, (n,), drawn as dots.

    Returns
    -------
    Figure
        A panel a signal.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.3), sharex=True, sharey=True)
    for axis, (title, slopes) in zip(axes, panels.items(), strict=True):
        axis.axhline(0, color=GREY, lw=0.8)
        axis.axvline(1, color="0.8", lw=0.8)
        for name, values in slopes.items():
            color, style = SAMPLERS.get(name, ("black", "-"))
            look = {"lw": 5, "alpha": 0.25} if name == "true" else {"lw": 1.8}
            axis.plot(scales, values, style, color=color, label=name, **look)
        axis.plot(scales[::6], measured[title][::6], "o", color=COLORS["clipped"], ms=4,
                  label="clipped, measured")  # fmt: skip
        axis.set(title=title, xlabel="scale s (larger: zoomed out)")
    axes[0].set_ylabel("slope of the loss, dL/ds")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
                  fontsize="small")  # fmt: skip
    return figure
