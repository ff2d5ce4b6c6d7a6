"""Figures of the theory chapter: each takes results and returns a Matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from stnlib.book.figures.style import COLORS, PALETTE, label_line, show_image
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
    "centred": ("trained on centred digits", PALETTE[0], "-"),
    "shifted": ("trained on shifted digits", PALETTE[1], "--"),
    "moved back": ("trained on centred digits, shown images moved back", "black", ":"),
}


def invariance(
    curves: Mapping[str, Mapping[str, Mapping[float, float]]],
    examples: Mapping[str, Tensor] | None = None,
    chance: float = 0.1,
) -> Figure:
    """Accuracy against the amount of a movement, a panel a movement, examples above.

    ``curves``: label of the axis → name of the line → amount → accuracy; ``examples``: label of
    the axis → a few images (N, 1, H, W) along it.
    """
    heights = (1, 3) if examples else (1,)
    size = (max(5.0, 2.75 * len(curves)), 3.0 + 0.6 * len(heights))
    fig, axes = plt.subplots(
        len(heights), len(curves), figsize=size, height_ratios=heights, squeeze=False
    )
    for column, (label, lines) in enumerate(curves.items()):
        if examples:
            strip = np.concatenate([image[0].numpy() for image in examples[label]], axis=1)
            axes[0, column].imshow(strip, vmin=0, vmax=1)
            axes[0, column].set_axis_off()
        ax = axes[-1, column]
        for name, line in lines.items():
            text, colour, style = LINES[name]
            ax.plot(
                list(line), list(line.values()), style, color=colour, marker="o", ms=3.5, label=text
            )
        ax.axhline(chance, color="0.6", lw=1)
        ax.set(xlabel=label, ylim=(0, 1.02))
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 5, 10]))
    axes[-1, 0].set_ylabel("accuracy")
    axes[-1, -1].annotate(
        "guessing", (0.5, chance), (0, -10), xycoords=("axes fraction", "data"), color="0.4",
        textcoords="offset points", ha="center", fontsize="x-small",
    )  # fmt: skip
    legend = axes[-1, 0].get_legend_handles_labels()
    fig.legend(*legend, loc="outside lower center", ncols=2 if examples else 1, fontsize="small")
    return fig


def three_parts(image: Tensor, grid: Tensor, output: Tensor, theta: Tensor) -> Figure:
    """Input, input with the sampling points, output with the same points: coloured in pairs.

    ``image``, ``output`` (1, H, W); ``grid`` (h, w, 2) normalised; ``theta`` (6,).
    """
    fig, axes = plt.subplots(1, 3, figsize=(8.2, 3.7))
    for ax, picture in zip(axes, (image, image, output), strict=True):
        show_image(ax, picture)
    rows, columns = (np.linspace(0, n - 1, 6).round().astype(int) for n in grid.shape[:2])
    height, width = image.shape[1:]
    colours = plt.get_cmap("viridis")(np.linspace(0.15, 1, 6))
    for row, colour in zip(rows, colours, strict=True):
        points = grid[row, columns]
        x, y = to_pixels(points[:, 0], width), to_pixels(points[:, 1], height)
        axes[1].plot(x, y, "-o", color=colour, ms=5, lw=0.8, clip_on=False)
        axes[2].plot(columns, [row] * 6, "-o", color=colour, ms=5, lw=0.8)
    rows = "\n".join("  ".join(f"{v:5.2f}" for v in part) for part in theta.view(2, 3).tolist())
    titles = (
        "input U",
        "points of the grid, in the input",
        "the same points, in the output V",
    )
    below = (
        f"1  the localisation network\nlooks at U and says θ =\n{rows}",
        "2  the grid generator\nmaps each output pixel by θ\nto a point of the input",
        "3  the sampler\nreads U at these points,\nbetween the pixels",
    )
    for ax, title, text in zip(axes, titles, below, strict=True):
        ax.set_title(title, fontsize="small")
        ax.set_xlabel(text, fontsize="small")
        ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return fig


def forward_and_backward(forward: Tensor, backward: Tensor, source: Tensor) -> Figure:
    """A small image, its pixels pushed forward, and read backward; holes in red.

    ``source`` (h, w), ``backward`` (H, W) in [0, 1]; ``forward`` (H, W), NaN where no pixel fell.
    """
    fig, axes = plt.subplots(1, 3, figsize=(8.2, 3.2))
    titles = ("input", "forward: each input pixel is sent", "backward: each output pixel asks")
    for ax, picture, title in zip(axes, (source, forward, backward), titles, strict=True):
        shown = np.ma.masked_invalid(picture.numpy())
        colours = plt.get_cmap("gray").with_extremes(bad=PALETTE[3])
        ax.imshow(shown, cmap=colours, vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize="small")
    holes = int(forward.isnan().sum())
    axes[1].set_xlabel(f"{holes} pixels that nothing fell on")
    axes[2].set_xlabel("0 pixels without a value")
    return fig


def draw_footprint(axes: Axes, image: Tensor, grid: Tensor, output: Tensor, title="") -> None:
    """Input with the outline of what is read, its top edge thick; and the output, beside it.

    ``axes``: two; ``image``, ``output`` (1, H, W); ``grid`` (h, w, 2), normalised.
    """
    show_image(axes[0], image, title)
    show_image(axes[1], output, "output")
    height, width = image.shape[1:]
    line = footprint(grid[None])[0]
    x, y = to_pixels(line[:, 0], width), to_pixels(line[:, 1], height)
    axes[0].plot(x, y, color=PALETTE[1], lw=1.8, clip_on=False)
    top = slice(0, grid.shape[1])
    axes[0].plot(x[top], y[top], color=PALETTE[1], lw=4.5, clip_on=False)
    # Room for a footprint that leaves the image.
    axes[0].set(xlim=(-0.25 * width, 1.25 * width), ylim=(1.25 * height, -0.25 * height))


def footprints(image: Tensor, grids: Mapping[str, Tensor], outputs: Sequence[Tensor]) -> Figure:
    """Inputs with footprints above, outputs below; a column a transform."""
    fig, axes = plt.subplots(2, len(grids), figsize=(1.35 * len(grids), 3.1))
    for pair, (title, grid), output in zip(axes.T, grids.items(), outputs, strict=True):
        draw_footprint(pair, image, grid, output, title)
    return fig


def lattices(grids: Mapping[str, Tensor]) -> Figure:
    """What a transform does to a square lattice: where its lines are read in the input."""
    fig, axes = plt.subplots(1, len(grids), figsize=(1.35 * len(grids), 1.75))
    for ax, (title, grid) in zip(axes, grids.items(), strict=True):
        ax.add_patch(plt.Rectangle((-1, -1), 2, 2, fc="0.9", ec="none"))
        for lines in (grid, grid.transpose(0, 1)):
            for line in lines:
                ax.plot(line[:, 0], line[:, 1], color=COLORS["stn"], lw=0.9)
        ax.plot(grid[0, :, 0], grid[0, :, 1], color=PALETTE[1], lw=2.5)
        ax.set(xlim=(-1.5, 1.5), ylim=(1.5, -1.5), xticks=[], yticks=[], aspect="equal")
        ax.set_title(title, fontsize="small")
        ax.spines[:].set_visible(False)
    return fig


def undone(pictures: Sequence[Sequence[Tensor]], misses, rows, columns) -> Figure:
    """Warped images and the best that each family can do about it.

    ``pictures[i][j]`` (1, H, W): warp i and, from j = 1 on, family j-1's answer to it;
    ``misses[i][j-1]``: how far points still are from their place, in pixels.
    """
    shape = len(rows), len(columns) + 1
    # Laid out by hand: so many axes take seconds to lay out otherwise.
    fig, axes = plt.subplots(
        *shape, figsize=(1.25 * shape[1] + 0.4, 1.38 * shape[0] + 0.3), layout="none"
    )
    fig.subplots_adjust(left=0.08, right=0.99, top=0.97, bottom=0.03, wspace=0.08, hspace=0.22)
    for i, line in enumerate(pictures):
        for j, picture in enumerate(line):
            ax = axes[i, j]
            show_image(ax, picture, ("warped", *columns)[j] if i == 0 else "")
            if j:
                miss = misses[i][j - 1]
                exact = miss < 1e-6
                ax.set_xlabel("undone" if exact else f"{miss:.1f}", fontsize="small", labelpad=2,
                              color=COLORS["stn"] if exact else "black")  # fmt: skip
        axes[i, 0].set_ylabel(rows[i], rotation=0, ha="right", va="center")
    return fig


def rulers(width: int) -> Figure:
    """A row of pixels under the two conventions of align_corners, and what mixing them does."""
    aligned = np.linspace(-1, 1, width)
    kinds = (
        ("align_corners=True\n±1: centres of the\noutermost pixels", np.arange(width), aligned),
        (
            "align_corners=False\n±1: edges of\nthe image",
            np.arange(width),
            aligned * (1 - 1 / width),
        ),
        ("mixed: grid True,\nsampler False", ((aligned + 1) * width - 1) / 2, aligned),
    )
    fig, axes = plt.subplots(3, 1, figsize=(8, 4.4), sharex=True)
    for i, (ax, (name, places, values)) in enumerate(zip(axes, kinds, strict=True)):
        for pixel in range(width):
            box = plt.Rectangle((pixel - 0.5, 0), 1, 1, fc="0.92", ec="0.55", lw=0.8)
            ax.add_patch(box)
        colour = PALETTE[3] if i == 2 else COLORS["stn"]
        ax.plot(places, [0.5] * width, "o", color=colour, ms=7)
        for place, value in zip(places, values, strict=True):
            ax.annotate(f"{value:.2f}".rstrip("0").rstrip("."), (place, 0.5), (0, 12),
                        textcoords="offset points", ha="center", color=colour)  # fmt: skip
        if i == 1:
            for edge in (-1, 1):
                x = (edge + 1) * width / 2 - 0.5
                ax.plot([x, x], [-0.1, 1.1], color=colour, lw=2.5)
                label_line(ax, x, -0.35, f"{edge}", colour, dx=-4)
        ax.set(ylim=(-0.6, 1.2), xlim=(-1.1, width + 0.1), yticks=[], xticks=range(width))
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)
    axes[-1].set_xlabel("pixel of the input")
    return fig


def costs(counts: Mapping[str, int]) -> Figure:
    """Multiply-adds of each part, as dots on a logarithmic axis with their numbers."""
    fig, ax = plt.subplots(figsize=(7, 2.3))
    names = list(counts)
    colours = [COLORS["baseline"] if "classifier" in n else COLORS["stn"] for n in names]
    ax.hlines(names, 1, list(counts.values()), color="0.85", lw=1)
    ax.scatter(list(counts.values()), names, color=colours, s=60, zorder=2)
    for row, value in enumerate(counts.values()):
        label_line(ax, value, row, f"{value:,}", "black", dx=8)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set(xscale="log", xlabel="multiply-adds for one image")
    ax.set_xlim(min(counts.values()) / 2, 8 * max(counts.values()))
    ax.tick_params(axis="y", length=0)
    return fig
