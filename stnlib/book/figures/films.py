"""A transformer from moment to moment: where it looks, and what it hands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torch import Tensor

from stnlib.book.figures.style import show_image
from stnlib.transforms import boxes

__all__ = ["Moment", "film"]

_SIDE = 0.8  # inches a panel


class Moment(NamedTuple):
    """One column of a film.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    title : str
        Above it.
    theta : Tensor
        (N, 6), affine, one a view.
    outputs : Tensor
        (M, C, h, w), what is handed on of the images that are shown.
    color : Any
        Of the outlines.
    """

    title: str
    theta: Tensor
    outputs: Tensor
    color: Any


def film(images: Tensor, moments: Sequence[Moment]) -> Figure:
    """Images, then a column a moment: the outlines of the views, and the outputs below.

    The outlines of a column have the scale that shows them whole, so a view that is far away
    makes the image, drawn as a grey square, small.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    images : Tensor
        (M, C, H, W), C 1 or 3, float in [0, 1].
    moments : Sequence[Moment]
        Columns, from the left.

    Returns
    -------
    Figure
        M + 1 rows.
    """
    shape = len(images) + 1, len(moments) + 1
    size = _SIDE * shape[1], _SIDE * shape[0] + 0.3
    figure, axes = plt.subplots(*shape, figsize=size, squeeze=False)
    axes[0, 0].axis("off")
    words = "where it\nlooks →\n\nimage ↓"
    axes[0, 0].text(0.5, 0.4, words, ha="center", va="center", fontsize=9)
    columns = [images, *(moment.outputs for moment in moments)]
    for column, pictures in enumerate(columns):
        for axis, picture in zip(axes[1:, column], pictures, strict=True):
            show_image(axis, picture)
            _frame(axis, "0.7", lw=1)
    for axis, moment in zip(axes[0, 1:], moments, strict=True):
        _outlines(axis, moment, images.shape[-2:])
        axis.set_title(moment.title, fontsize=9)
    return figure


def _outlines(axis: Axes, moment: Moment, size: tuple[int, int]) -> None:
    """The views' outlines over a grey square that is the image."""
    height, width = size
    quads = boxes(moment.theta, size)
    middle = (max(size) - 1) / 2
    reach = max(max(size) / 2, float((quads - middle).abs().max())) * 1.08
    image = [(-0.5, -0.5), (width - 0.5, -0.5), (width - 0.5, height - 0.5), (-0.5, height - 0.5)]
    axis.add_patch(Polygon(image, fc="0.82", lw=0))
    for quad in quads:
        axis.add_patch(Polygon(quad.tolist(), fill=False, ec=moment.color, lw=1))
    ends = middle - reach, middle + reach
    axis.set(xlim=ends, ylim=ends[::-1], aspect="equal", xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _frame(axis: Axes, color: str, **look: Any) -> None:
    corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
    axis.add_patch(Polygon(corners, transform=axis.transAxes, fill=False, ec=color, **look))
