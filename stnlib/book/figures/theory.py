"""Figures of the theory chapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from stnlib.book.figures.style import BLUE, COLORS, ORANGE, RED, label_line, show_image
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

LINES = {
    "centred": ("trained on centred digits", BLUE, "-"),
    "shifted": ("trained on shifted digits", ORANGE, "--"),
    "moved back": ("trained on centred digits, shown images moved back", "black", ":"),
}


def invariance(
    curves: Mapping[str, Mapping[str, Mapping[float, float]]],
    examples: Mapping[str, Tensor] | None = None,
    chance: float = 0.1,
) -> Figure:
    """Accuracy against the amount of a movement.

    Parameters
    ----------
    curves : Mapping[str, Mapping[str, Mapping[float, float]]]
        Label of the axis → name of the line, of `LINES` → amount → accuracy.
    examples : Mapping[str, Tensor] | None
        Label of the axis → a few images (N, 1, H, W) along it.
    chance : float
        Accuracy of a guess.

    Returns
    -------
    Figure
        A panel a movement, its examples above.
    """
    heights = (1, 3) if examples else (1,)
    size = (max(5.0, 2.75 * len(curves)), 3.0 + 0.6 * len(heights))
    figure, axes = plt.subplots(
        len(heights), len(curves), figsize=size, height_ratios=heights, squeeze=False
    )
    for column, (label, lines) in enumerate(curves.items()):
        if examples:
            strip = np.concatenate([image[0].numpy() for image in examples[label]], axis=1)
            axes[0, column].imshow(strip, vmin=0, vmax=1)
            axes[0, column].set_axis_off()
        axis = axes[-1, column]
        for name, line in lines.items():
            text, color, style = LINES[name]
            axis.plot(*zip(*line.items(), strict=True), style, color=color, marker="o", ms=3.5,
                      label=text)  # fmt: skip
        axis.axhline(chance, color="0.6", lw=1)
        axis.set(xlabel=label, ylim=(0, 1.02))
        axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 5, 10]))
    axes[-1, 0].set_ylabel("accuracy")
    axes[-1, -1].annotate(
        "guessing", (0.5, chance), (0, -10), xycoords=("axes fraction", "data"), color="0.4",
        textcoords="offset points", ha="center", fontsize="x-small",
    )  # fmt: skip
    legend = axes[-1, 0].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=2 if examples else 1, fontsize="small")
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
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 3.7))
    for axis, picture in zip(axes, (image, image, output), strict=True):
        show_image(axis, picture)
    rows, columns = (np.linspace(0, n - 1, 6).round().astype(int) for n in grid.shape[:2])
    height, width = image.shape[1:]
    for row, color in zip(rows, plt.get_cmap("viridis")(np.linspace(0.15, 1, 6)), strict=True):
        points = grid[row, columns]
        x, y = to_pixels(points[:, 0], width), to_pixels(points[:, 1], height)
        axes[1].plot(x, y, "-o", color=color, ms=5, lw=0.8, clip_on=False)
        axes[2].plot(columns, [row] * 6, "-o", color=color, ms=5, lw=0.8)
    rows = "\n".join("  ".join(f"{v:5.2f}" for v in part) for part in theta.view(2, 3).tolist())
    titles = ("input U", "points of the grid, in the input", "the same points, in the output V")
    below = (
        f"1  the localisation network\nlooks at U and says θ =\n{rows}",
        "2  the grid generator\nmaps each output pixel by θ\nto a point of the input",
        "3  the sampler\nreads U at these points,\nbetween the pixels",
    )
    for axis, title, text in zip(axes, titles, below, strict=True):
        axis.set_title(title, fontsize="small")
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
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 3.2))
    titles = ("input", "forward: each input pixel is sent", "backward: each output pixel asks")
    for axis, picture, title in zip(axes, (source, forward, backward), titles, strict=True):
        shown = np.ma.masked_invalid(picture.numpy())
        axis.imshow(shown, cmap=plt.get_cmap("gray").with_extremes(bad=RED), vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize="small")
    holes = int(forward.isnan().sum())
    axes[1].set_xlabel(f"{holes} pixels that nothing fell on")
    axes[2].set_xlabel("0 pixels without a value")
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
    show_image(axes[1], output, "output")
    height, width = image.shape[1:]
    line = footprint(grid[None])[0]
    x, y = to_pixels(line[:, 0], width), to_pixels(line[:, 1], height)
    axes[0].plot(x, y, color=ORANGE, lw=1.8, clip_on=False)
    top = slice(0, grid.shape[1])
    axes[0].plot(x[top], y[top], color=ORANGE, lw=4.5, clip_on=False)
    # Room for a footprint that leaves the image.
    axes[0].set(xlim=(-0.25 * width, 1.25 * width), ylim=(1.25 * height, -0.25 * height))


def footprints(image: Tensor, grids: Mapping[str, Tensor], outputs: Sequence[Tensor]) -> Figure:
    """Inputs with footprints above, outputs below.

    Parameters
    ----------
    image : Tensor
        (1, H, W).
    grids : Mapping[str, Tensor]
        By title, (h, w, 2).
    outputs : Sequence[Tensor]
        (1, h, w), one a grid.

    Returns
    -------
    Figure
        A column a grid.
    """
    figure, axes = plt.subplots(2, len(grids), figsize=(1.35 * len(grids), 3.1))
    for pair, (title, grid), output in zip(axes.T, grids.items(), outputs, strict=True):
        draw_footprint(pair, image, grid, output, title)
    return figure


def lattices(grids: Mapping[str, Tensor]) -> Figure:
    """What a transform does to a square lattice: where its lines are read in the input.

    Parameters
    ----------
    grids : Mapping[str, Tensor]
        By title, (h, w, 2).

    Returns
    -------
    Figure
        A panel a grid.
    """
    figure, axes = plt.subplots(1, len(grids), figsize=(1.35 * len(grids), 1.75))
    for axis, (title, grid) in zip(axes, grids.items(), strict=True):
        axis.add_patch(plt.Rectangle((-1, -1), 2, 2, fc="0.9", ec="none"))
        for line in (*grid, *grid.transpose(0, 1)):
            axis.plot(line[:, 0], line[:, 1], color=BLUE, lw=0.9)
        axis.plot(grid[0, :, 0], grid[0, :, 1], color=ORANGE, lw=2.5)
        axis.set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5), xticks=[], yticks=[], aspect="equal")
        axis.set_title(title, fontsize="small")
        axis.spines[:].set_visible(False)
    return figure


def undone(
    pictures: Sequence[Sequence[Tensor]],
    misses: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
) -> Figure:
    """Warped images and the best that each family can do about it.

    Parameters
    ----------
    pictures : Sequence[Sequence[Tensor]]
        Of each warp, (1, H, W): the warped image and then each family's answer to it.
    misses : Sequence[Sequence[float]]
        Of each warp and family: how far points still are from their place, in pixels.
    rows, columns : Sequence[str]
        Names of the warps and of the families.

    Returns
    -------
    Figure
        A row a warp, the warped image first.
    """
    shape = len(rows), len(columns) + 1
    # Laid out by hand: so many axes take seconds to lay out otherwise.
    size = (1.25 * shape[1] + 0.4, 1.38 * shape[0] + 0.3)
    figure, axes = plt.subplots(*shape, figsize=size, layout="none")
    figure.subplots_adjust(left=0.08, right=0.99, top=0.97, bottom=0.03, wspace=0.08, hspace=0.22)
    for i, (warped, *answers) in enumerate(pictures):
        show_image(axes[i, 0], warped, "" if i else "warped")
        axes[i, 0].set_ylabel(rows[i], rotation=0, ha="right", va="center")
        for axis, answer, miss, name in zip(axes[i, 1:], answers, misses[i], columns, strict=True):
            show_image(axis, answer, "" if i else name)
            text, color = ("undone", BLUE) if miss < 1e-6 else (f"{miss:.1f}", "black")
            axis.set_xlabel(text, fontsize="small", labelpad=2, color=color)
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
        ("align_corners=True\n±1: centres of the\noutermost pixels", centres, aligned),
        ("align_corners=False\n±1: edges of\nthe image", centres, aligned * (1 - 1 / width)),
        ("mixed: grid True,\nsampler False", mixed, aligned),
    )
    figure, axes = plt.subplots(3, 1, figsize=(8, 4.4), sharex=True)
    for axis, (name, places, values), color in zip(axes, kinds, (BLUE, BLUE, RED), strict=True):
        for pixel in range(width):
            box = plt.Rectangle((pixel - 0.5, 0), 1, 1, fc="0.92", ec="0.55", lw=0.8)
            axis.add_patch(box)
        axis.plot(places, [0.5] * width, "o", color=color, ms=7)
        for place, value in zip(places, values, strict=True):
            axis.annotate(f"{value:.2f}".rstrip("0").rstrip("."), (place, 0.5), (0, 12),
                          textcoords="offset points", ha="center", color=color)  # fmt: skip
        axis.set(ylim=(-0.6, 1.2), xlim=(-1.1, width + 0.1), yticks=[], xticks=range(width))
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    for text, edge in (("-1", -0.5), ("1", width - 0.5)):
        axes[1].plot([edge, edge], [-0.1, 1.1], color=BLUE, lw=2.5)
        label_line(axes[1], edge, -0.35, text, BLUE, dx=-4)
    axes[-1].set_xlabel("pixel of the input")
    return figure


def costs(counts: Mapping[str, int]) -> Figure:
    """Multiply-adds of each part, as dots on a logarithmic axis with their numbers.

    Parameters
    ----------
    counts : Mapping[str, int]
        By the part's name.

    Returns
    -------
    Figure
        A dot a part, the first on top.
    """
    figure, axis = plt.subplots(figsize=(7, 2.3))
    names, values = list(counts), list(counts.values())
    colors = [COLORS["baseline" if "classifier" in name else "stn"] for name in names]
    axis.hlines(names, 1, values, color="0.85", lw=1)
    axis.scatter(values, names, color=colors, s=60, zorder=2)
    for row, value in enumerate(values):
        label_line(axis, value, row, f"{value:,}", "black", dx=8)
    axis.set(xscale="log", xlabel="multiply-adds for one image", ylim=(len(names) - 0.5, -0.5))
    axis.set_xlim(min(values) / 2, 8 * max(values))
    axis.tick_params(axis="y", length=0)
    return figure
