"""What all figures share: colours that the colour-blind tell apart, and how images show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from torch import Tensor

__all__ = [
    "BLUE",
    "COLORS",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "RED",
    "STATES",
    "draw_undone",
    "image_grid",
    "label_line",
    "show_image",
    "spread_labels",
    "use_style",
]

PALETTE = sns.color_palette("colorblind")
BLUE, ORANGE, GREEN, RED, PURPLE = PALETTE[:5]
GREY = "0.55"
COLORS = {  # one colour a subject, the same in every chapter
    "baseline": PALETTE[7],
    "baseline_wide": ORANGE,
    "stn": BLUE,
    "stn_frozen": GREEN,
    "truth": "black",
    "paper": RED,
    "clipped": RED,
    "bilinear": BLUE,
    "oracle": GREEN,
    "crop": PURPLE,
    "flip": ORANGE,
}
STATES = {  # one colour a word of `stnlib.records.outcome.in_a_word`, in every figure
    "looks": "#029e73",
    "learns": "#029e73",
    "idle": "#de8f05",
    "shrunken": "#cc78bc",
    "point": "#ca9161",
    "blind": "#56b4e9",
    "black": "black",
    "diverged": "0.6",
    "at chance": "0.75",
}


def use_style() -> None:
    """Set the book's style: white ground, few lines, readable when printed."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind")
    plt.rcParams.update(
        {
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


def show_image(axis: Axes, image: Tensor, title: str = "") -> None:
    """Draw one image, black 0 and white 1, without ticks.

    Parameters
    ----------
    axis : Axes
        The panel.
    image : Tensor
        (C, H, W), C 1 or 3, float in [0, 1] or uint8.
    title : str
        Above it.
    """
    pixels = image.detach().cpu()
    pixels = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    top = 1 if pixels.is_floating_point() else 255
    axis.imshow(pixels.numpy(), vmin=0, vmax=top)
    axis.set(xticks=[], yticks=[])
    axis.set_title(title, fontsize="small")
    sns.despine(ax=axis, left=True, bottom=True)


def image_grid(
    rows: Sequence[Tensor],
    names: Sequence[str] = (),
    titles: Sequence[str] = (),
    size: float = 1.1,
) -> Figure:
    """Rows of images, one batch a row.

    Parameters
    ----------
    rows : Sequence[Tensor]
        Each (N, C, H, W), the same N.
    names, titles : Sequence[str]
        One a row, at its left; one a column, above.
    size : float
        Inches an image.

    Returns
    -------
    Figure
        A panel an image.
    """
    count = len(rows[0])
    figure, axes = plt.subplots(
        len(rows), count, figsize=(size * count + 0.9, size * len(rows) + 0.3), squeeze=False
    )
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            show_image(axes[i, j], image, titles[j] if titles and i == 0 else "")
        if names:
            axes[i, 0].set_ylabel(names[i], rotation=0, ha="right", va="center", fontsize="small")
    return figure


def label_line(
    axis: Axes, x: float, y: float, text: str, color: Any, dx: float = 5, dy: float = 0
) -> Annotation:
    """Write beside a line's point, in the line's colour; better than a legend.

    Parameters
    ----------
    axis : Axes
        The panel.
    x, y : float
        The point.
    text : str
        What is written.
    color : Any
        The line's.
    dx, dy : float
        How far off, in points of the print.

    Returns
    -------
    Annotation
        What was drawn.
    """
    return axis.annotate(
        text, (x, y), (dx, dy), textcoords="offset points", color=color, va="center"
    )


def spread_labels(
    axis: Axes, ends: Sequence[tuple[float, float, str, Any]], gap: float = 0.07
) -> None:
    """Label several lines at their ends, apart where they crowd.

    Parameters
    ----------
    axis : Axes
        The panel.
    ends : Sequence[tuple[float, float, str, Any]]
        (x, y, text, color) of each line's last point.
    gap : float
        Between two labels, at least; of the axis' height.
    """
    low, high = axis.get_ylim()
    place = -np.inf
    for x, y, text, color in sorted(ends, key=lambda end: end[1]):
        place = max(y, place + gap * (high - low))
        axis.text(x, place, f"  {text}", color=color, va="center", fontsize="small")


def draw_undone(axis: Axes, x: float) -> None:
    """Draw where all of a distortion is undone, and where none, for slopes against the truth.

    Parameters
    ----------
    axis : Axes
        The panel.
    x : float
        Where the words begin.
    """
    axis.set_ylabel("share undone")
    for height, text in ((0, "ignored"), (1, "undone")):
        axis.axhline(height, color="0.8", lw=1, zorder=0)
        label_line(axis, x, height, text, "0.5", dx=0, dy=6)
