"""How a spatial transformer ends: images with their views, above what it hands on."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from torch import Tensor

from stnlib.book.figures.style import show_image
from stnlib.transforms import boxes

__all__ = ["end"]


def end(images: Tensor, theta: Tensor, outputs: Tensor, color: str) -> Figure:
    """Images with the outlines of their views, and under each what the classifier is given.

    All images of a figure have one scale, so that every outline is in view.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    images : Tensor
        (N, C, H, W), C 1 or 3, float in [0, 1].
    theta : Tensor
        (N, 6), the affine θ of each.
    outputs : Tensor
        (N, C, h, w), the same images as the transformer hands them on.
    color : str
        Of the outlines.

    Returns
    -------
    Figure
        Two rows of N panels.
    """
    size = images.shape[-2:]
    quads = boxes(theta, size)
    side = max(size)
    reach = max(side / 2, float((quads - (side - 1) / 2).abs().max())) * 1.06
    figure, axes = plt.subplots(2, len(images), figsize=(1.05 * len(images), 2.15), squeeze=False)
    for column, image in enumerate(images):
        above, below = axes[:, column]
        show_image(above, image)
        outline = Polygon(quads[column].tolist(), fill=False, ec=color, lw=1.8)
        above.add_patch(outline)
        middle = (side - 1) / 2
        above.set(xlim=(middle - reach, middle + reach), ylim=(middle + reach, middle - reach))
        show_image(below, outputs[column])
        frame = Polygon([(0, 0), (1, 0), (1, 1), (0, 1)], transform=below.transAxes)
        frame.set(fill=False, ec="0.7", lw=1)
        below.add_patch(frame)
    return figure
