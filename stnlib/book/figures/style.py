"""What all figures share: colours that the colour-blind tell apart, and how images show."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

__all__ = [
    "COLORS",
    "PALETTE",
    "image_grid",
    "label_line",
    "show_image",
    "spread_labels",
    "use_style",
]

PALETTE = sns.color_palette("colorblind")
COLORS = {  # one colour a subject, the same in every chapter
    "baseline": PALETTE[7],
    "baseline_wide": PALETTE[1],
    "stn": PALETTE[0],
    "stn_frozen": PALETTE[2],
    "truth": "black",
    "paper": PALETTE[3],
    "clipped": PALETTE[3],
    "bilinear": PALETTE[0],
    "oracle": PALETTE[2],
    "crop": PALETTE[4],
    "flip": PALETTE[1],
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


def show_image(axes: Axes, image: Tensor, title: str = "") -> None:
    """Draw one image, black 0 and white 1, without ticks.

    Parameters
    ----------
    image : (C, H, W), C 1 or 3, float in [0, 1] or uint8.
    """
    pixels = image.detach().cpu()
    pixels = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)
    top = 1 if pixels.is_floating_point() else 255
    axes.imshow(pixels.numpy(), vmin=0, vmax=top)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize="small")
    sns.despine(ax=axes, left=True, bottom=True)


def image_grid(
    rows: Sequence[Tensor],
    names: Sequence[str] = (),
    titles: Sequence[str] = (),
    size: float = 1.1,
) -> Figure:
    """Rows of images, one batch a row.

    Parameters
    ----------
    rows : each (N, C, H, W), the same N.
    names : one a row, at its left.
    titles : one a column, above.
    size : inches an image.
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


def label_line(axes: Axes, x: float, y: float, text: str, color, dx: float = 5, dy: float = 0):
    """Write `text` beside a line's point, in the line's colour; better than a legend."""
    return axes.annotate(
        text, (x, y), (dx, dy), textcoords="offset points", color=color, va="center"
    )


def spread_labels(axes: Axes, ends: Sequence[tuple[float, float, str, object]], gap: float = 0.07):
    """Label several lines at their ends, `gap` (of the axis' height) apart where they crowd.

    Parameters
    ----------
    ends : (x, y, text, color) of each line's last point.
    """
    low, high = axes.get_ylim()
    place = -np.inf
    for x, y, text, color in sorted(ends, key=lambda end: end[1]):
        place = max(y, place + gap * (high - low))
        axes.text(x, place, f"  {text}", color=color, va="center", fontsize="small")
