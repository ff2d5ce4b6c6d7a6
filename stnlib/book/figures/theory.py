"""Figures of the theory chapter and of the appendix pages that it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from stnlib.book.figures.style import (
    BLUE,
    COLORS,
    ORANGE,
    RED,
    label_line,
    show_image,
    spread_labels,
)
from stnlib.diagnostics import footprint
from stnlib.sampler import to_pixels

__all__ = [
    "costs",
    "draw_footprint",
    "footprints",
    "forward_and_backward",
    "invariance",
    "lattices",
    "rulers",
    "three_parts",
    "undone",
]

WIDTH = 6.4  # inches: at 390 pixels of a phone, type of 10 points is 8 pixels high
LINES = {
    "centred": ("trained on\n  centred digits", COLORS["baseline"], "-"),
    "shifted": ("trained on\n  shifted digits", ORANGE, "--"),
    "moved back": ("the first, shown\n  images moved back", COLORS["stn"], "-"),
}


def invariance(
    curves: Mapping[str, Mapping[str, Mapping[float, float]]],
    examples: Mapping[str, Tensor],
    n: int,
    chance: float = 0.1,
) -> Figure:
    """Accuracy against the amount of a movement.

    Parameters
    ----------
    curves : Mapping[str, Mapping[str, Mapping[float, float]]]
        Label of the axis → name of the line, of `LINES` → amount → accuracy.
    examples : Mapping[str, Tensor]
        Label of the axis → a few images (N, 1, H, W) along it.
    n : int
        Images that each accuracy is of.
    chance : float
        Accuracy of a guess.

    Returns
    -------
    Figure
        A row a movement, its examples above.
    """
    shape = 2 * len(curves)
    size = (WIDTH, 3.3 * len(curves))
    figure, axes = plt.subplots(shape, 1, figsize=size, height_ratios=(1, 3) * len(curves))
    for row, (label, lines) in enumerate(curves.items()):
        strip, axis = axes[2 * row], axes[2 * row + 1]
        pictures = np.concatenate([image[0].numpy() for image in examples[label]], axis=1)
        strip.imshow(pictures, vmin=0, vmax=1)
        strip.set_axis_off()
        ends = []
        for name, line in lines.items():
            text, color, style = LINES[name]
            axis.plot(*zip(*line.items(), strict=True), style, color=color, marker="o", ms=4)
            ends.append((*list(line.items())[-1], text, color))
        axis.axhline(chance, color="0.6", lw=1)
        left = min(min(line) for line in lines.values())
        label_line(axis, left, chance, "guessing", "0.4", dx=0, dy=-7).set_fontsize("small")
        axis.set(xlabel=label, ylim=(0, 1.02), ylabel=f"accuracy (n = {n})")
        axis.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        spread_labels(axis, ends, gap=0.22)
    return figure


def three_parts(image: Tensor, grid: Tensor, output: Tensor, theta: Tensor) -> Figure:
    """Input, input with the sampling points, output with the same points: coloured in pairs.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    image, output : Tensor
        (1, H, W).
    grid : Tensor
        (h, w, 2).
    theta : Tensor
        (6,), affine.

    Returns
    -------
    Figure
        Three panels.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.3))
    for axis, picture in zip(axes, (image, image, output), strict=True):
        show_image(axis, picture)
    rows, columns = (np.linspace(0, n - 1, 6).round().astype(int) for n in grid.shape[:2])
    height, width = image.shape[1:]
    for row, color in zip(rows, plt.get_cmap("viridis")(np.linspace(0.15, 1, 6)), strict=True):
        points = grid[row, columns]
        x, y = to_pixels(points[:, 0], width), to_pixels(points[:, 1], height)
        axes[1].plot(x, y, "-o", color=color, ms=4, lw=0.8, clip_on=False)
        axes[2].plot(columns, [row] * 6, "-o", color=color, ms=4, lw=0.8)
    rows = "\n".join("  ".join(f"{v:5.2f}" for v in part) for part in theta.view(2, 3).tolist())
    titles = ("input U", "where to read", "output V")
    below = (
        f"1 localisation network\nlooks at U, says θ =\n{rows}",
        "2 grid generator\nsends each output pixel\nto a point of the input",
        "3 sampler\nreads U there,\nbetween the pixels",
    )
    for axis, title, text in zip(axes, titles, below, strict=True):
        axis.set_title(title)
        axis.set_xlabel(text, fontsize="small")
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


def forward_and_backward(forward: Tensor, backward: Tensor, source: Tensor) -> Figure:
    """A small image, its pixels pushed forward, and read backward; holes in red.

    Parameters
    ----------
    forward, backward : Tensor
        (H, W) in [0, 1]; NaN where no pixel fell.
    source : Tensor
        (h, w) in [0, 1].

    Returns
    -------
    Figure
        Three panels, the small image first.
    """
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.6))
    titles = ("input", "sent forward", "read backward")
    for axis, picture, title in zip(axes, (source, forward, backward), titles, strict=True):
        shown = np.ma.masked_invalid(picture.numpy())
        axis.imshow(shown, cmap=plt.get_cmap("gray").with_extremes(bad=RED), vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], title=title)
    for axis, picture in zip(axes[1:], (forward, backward), strict=True):
        axis.set_xlabel(f"{int(picture.isnan().sum())} of {picture.numel()}\nwithout a value",
                        fontsize="small")  # fmt: skip
    return figure


def draw_footprint(
    axes: Sequence[Axes], image: Tensor, grid: Tensor, output: Tensor, title: str = ""
) -> None:
    """Draw the input with the outline of what is read, its top edge thick; and the output.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    axes : Sequence[Axes]
        Two panels.
    image, output : Tensor
        (1, H, W).
    grid : Tensor
        (h, w, 2).
    title : str
        Above the input.
    """
    show_image(axes[0], image, title)
    show_image(axes[1], output)
    height, width = image.shape[1:]
    line = footprint(grid[None])[0]
    x, y = to_pixels(line[:, 0], width), to_pixels(line[:, 1], height)
    axes[0].plot(x, y, color=ORANGE, lw=1.8, clip_on=False)
    top = slice(0, grid.shape[1])
    axes[0].plot(x[top], y[top], color=ORANGE, lw=4.5, clip_on=False)
    # Room for a footprint that leaves the image.
    axes[0].set(xlim=(-0.25 * width, 1.25 * width), ylim=(1.25 * height, -0.25 * height))


def footprints(image: Tensor, grids: Mapping[str, Tensor], outputs: Sequence[Tensor]) -> Figure:
    """Inputs with footprints above, outputs below; three a row.

    Parameters
    ----------
    image : Tensor
        (1, H, W).
    grids : Mapping[str, Tensor]
        By title, (h, w, 2); a multiple of three.
    outputs : Sequence[Tensor]
        (1, h, w), one a grid.

    Returns
    -------
    Figure
        A pair of panels a grid, the input above the output.
    """
    bands = len(grids) // 3
    figure, axes = plt.subplots(2 * bands, 3, figsize=(WIDTH, 2.8 * bands),
                                height_ratios=(7, 5) * bands)  # fmt: skip
    pairs = [axes[2 * band : 2 * band + 2, k] for band in range(bands) for k in range(3)]
    for pair, (title, grid), output in zip(pairs, grids.items(), outputs, strict=True):
        draw_footprint(pair, image, grid, output, title)
        pair[0].set_title(title, fontsize="medium")
    for row, name in enumerate(("input and window", "output") * bands):
        axes[row, 0].set_ylabel(name, fontsize="small")
    return figure


def lattices(grids: Mapping[str, Tensor], below: Mapping[str, str]) -> Figure:
    """What a transform does to a square lattice: where its lines are read in the input.

    Parameters
    ----------
    grids : Mapping[str, Tensor]
        By title, (h, w, 2); a multiple of three.
    below : Mapping[str, str]
        What is written under each, by its title.

    Returns
    -------
    Figure
        A panel a grid, three a row.
    """
    rows = len(grids) // 3
    figure, axes = plt.subplots(rows, 3, figsize=(WIDTH, 2.1 * rows))
    for axis, (title, grid) in zip(axes.flat, grids.items(), strict=True):
        axis.add_patch(plt.Rectangle((-1, -1), 2, 2, fc="0.9", ec="none"))
        for line in (*grid, *grid.transpose(0, 1)):
            axis.plot(line[:, 0], line[:, 1], color=BLUE, lw=0.9)
        axis.plot(grid[0, :, 0], grid[0, :, 1], color=ORANGE, lw=2.5)
        axis.set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5), xticks=[], yticks=[], aspect="equal")
        axis.set_title(title)
        axis.set_xlabel(below[title], fontsize="small")
        axis.spines[:].set_visible(False)
    return figure


def undone(
    misses: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str]
) -> Figure:
    """How far each family leaves points from their place, for each warp.

    Parameters
    ----------
    misses : Sequence[Sequence[float]]
        Of each warp and family, in pixels.
    rows, columns : Sequence[str]
        Names of the warps and of the families.

    Returns
    -------
    Figure
        A table whose cells are blue where the warp is undone.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.42 * len(rows) + 0.9))
    for i, row in enumerate(misses):
        for j, miss in enumerate(row):
            exact = miss < 1e-6
            box = plt.Rectangle((j - 0.48, i - 0.46), 0.96, 0.92, fc=BLUE if exact else "0.93")
            axis.add_patch(box)
            axis.text(j, i, "undone" if exact else f"{miss:.1f}", ha="center", va="center",
                      color="white" if exact else "black", fontsize="small")  # fmt: skip
    axis.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xticks(range(len(columns)), columns, fontsize="small")
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return figure


def rulers(width: int) -> Figure:
    """A row of pixels under the two conventions of align_corners, and what mixing them does.

    Parameters
    ----------
    width : int
        Pixels.

    Returns
    -------
    Figure
        Three panels.
    """
    aligned = np.linspace(-1, 1, width)
    centres, mixed = np.arange(width), ((aligned + 1) * width - 1) / 2
    kinds = (
        ("align_corners=True: ±1 are the centres of the outermost pixels", centres, aligned),
        ("align_corners=False: ±1 are the edges of the image", centres, aligned * (1 - 1 / width)),
        ("mixed, grid True and sampler False: half a pixel outside", mixed, aligned),
    )
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 3.3), sharex=True)
    for axis, (name, places, values), color in zip(axes, kinds, (BLUE, BLUE, RED), strict=True):
        for pixel in range(width):
            box = plt.Rectangle((pixel - 0.5, 0), 1, 1, fc="0.92", ec="0.55", lw=0.8)
            axis.add_patch(box)
        axis.plot(places, [0.35] * width, "o", color=color, ms=7)
        for place, value in zip(places, values, strict=True):
            axis.annotate(f"{value:.2f}".rstrip("0").rstrip("."), (place, 0.35), (0, 10),
                          textcoords="offset points", ha="center", color=color,
                          bbox={"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.7})  # fmt: skip
        axis.set(ylim=(-0.45, 1.15), xlim=(-1.1, width + 0.1), yticks=[], xticks=range(width))
        axis.set_title(name, fontsize="small", loc="left")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    for text, edge in (("-1", -0.5), ("1", width - 0.5)):
        axes[1].plot([edge, edge], [-0.1, 1.1], color=BLUE, lw=2.5)
        label_line(axes[1], edge, -0.3, text, BLUE, dx=-4)
    axes[-1].set_xlabel("pixel of the input")
    return figure


def costs(bars: Mapping[str, Mapping[str, int]]) -> Figure:
    """Multiply-adds as stacked bars with their sums.

    Parameters
    ----------
    bars : Mapping[str, Mapping[str, int]]
        Name of the bar → name of the part → count; the same names of parts in each.

    Returns
    -------
    Figure
        A bar a name, the first on top.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 0.7 * len(bars) + 1.4))
    colors = {"classifier": COLORS["baseline"], "localisation network": COLORS["stn"],
              "grid and sampler": ORANGE}  # fmt: skip
    most = max(sum(parts.values()) for parts in bars.values())
    for i, parts in enumerate(bars.values()):
        left = 0
        for name, count in parts.items():
            axis.barh(i, count, left=left, color=colors[name])
            left += count
        axis.text(left + 0.01 * most, i, f"{left / 1e6:.2f}", va="center")
    axis.set_yticks(range(len(bars)), list(bars))
    axis.set(xlabel="multiply-adds for one image, millions", xlim=(0, 1.15 * most))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}")
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0)
    for name, color in colors.items():
        axis.bar(0, 0, color=color, label=name)  # for the legend
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    return figure
